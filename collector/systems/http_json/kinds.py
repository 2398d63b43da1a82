"""What the fields of a kind of event hold, by which settings are checked and values written as the kind has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from collector.events import (
    TYPE_OF_KIND,
    NonEmpty,
    PersonKey,
    Reply,
    TicketState,
    Timestamp,
    person_fields,
    time_fields,
)


class ChangeOfStatus(msgspec.Struct, frozen=True, kw_only=True):
    """When an issue came to a status, in the tracker's own words."""

    at: Timestamp
    status: NonEmpty


class IssueRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An issue in its tracker's own words; the rules under `issues` make a ticket or an incident of it."""

    native_id: NonEmpty
    created_at: Timestamp
    status: NonEmpty
    category: TicketState = TicketState.OPEN
    updated_at: Timestamp | None = None
    url: str | None = None
    project: str = ""
    type: str = ""
    components: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    severity: str = ""
    title: str | None = None
    author: PersonKey | None = None
    author_team: str | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    changes: tuple[ChangeOfStatus, ...] = ()
    replies: tuple[Reply, ...] = ()
    links: tuple[str, ...] = ()


ISSUE = "issue"
KINDS: Mapping[str, type[msgspec.Struct]] = {**TYPE_OF_KIND, ISSUE: IssueRecord}
"""What an item may become: the kinds of events, and an issue."""


class Holds(StrEnum):
    """What a field holds."""

    TEXT = "a text"
    TIME = "a time"
    NUMBER = "a number"
    FLAG = "true or false"
    CHOICE = "one of a list"
    TEXTS = "a list of texts"
    RECORDS = "a list of records"


@dataclass(frozen=True)
class FieldOf:
    """A field of a kind. `choices`: the values of a choice. `records`: what a list of records holds.

    `is_person`: what stands there names somebody.
    """

    name: str
    holds: Holds
    required: bool
    choices: tuple[str, ...] = ()
    records: type[msgspec.Struct] | None = None
    is_person: bool = False


@cache
def fields_of(struct: type[msgspec.Struct]) -> Mapping[str, FieldOf]:
    """The fields that a record may state, by their names: all but `source`, which the configuration names."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - narrows for the type checker
    times, people = time_fields(struct), person_fields(struct)
    return {
        f.name: replace(_field(f, is_time=f.name in times), is_person=f.name in people)
        for f in info.fields
        if f.name != "source"
    }


def _field(field: inspect.Field, *, is_time: bool) -> FieldOf:
    plain: Any = _plain(field.type)
    if is_time:
        return FieldOf(field.name, Holds.TIME, field.required)
    if isinstance(plain, inspect.VarTupleType):
        inner = _plain(plain.item_type)
        if isinstance(inner, inspect.StructType):
            return FieldOf(field.name, Holds.RECORDS, field.required, records=inner.cls)
        return FieldOf(field.name, Holds.TEXTS, field.required)
    if isinstance(plain, inspect.EnumType):
        return FieldOf(field.name, Holds.CHOICE, field.required, choices=tuple(str(v.value) for v in plain.cls))
    if isinstance(plain, inspect.BoolType):
        return FieldOf(field.name, Holds.FLAG, field.required)
    number = isinstance(plain, (inspect.IntType, inspect.FloatType))
    return FieldOf(field.name, Holds.NUMBER if number else Holds.TEXT, field.required)


def _plain(info: inspect.Type) -> inspect.Type:
    """A type without its descriptions and without None."""
    if isinstance(info, inspect.Metadata):
        return _plain(info.type)
    if isinstance(info, inspect.UnionType):
        return _plain(next(t for t in info.types if not isinstance(t, inspect.NoneType)))
    return info
