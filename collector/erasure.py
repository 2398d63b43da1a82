"""Events without somebody: what stays of an event when a person in it is erased. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, TypeVar

import msgspec

from collector.events import Event, person_fields
from collector.people import PERSON_PREFIX

T = TypeVar("T", bound=msgspec.Struct)

_DIGITS = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
"""What a key looks like where an id is made of it."""


def mark_of(person: str) -> str:
    """What is remembered of somebody who was erased: a hash of their keyed hash, which tells nobody who they were."""
    return hashlib.sha256(f"erased\0{person}".encode()).hexdigest()


class Erased:
    """Knows of keyed hashes of people whether they were erased, by what is remembered of those."""

    def __init__(self, marks: Collection[str]) -> None:
        self._marks = frozenset(marks)
        self._known: dict[str, bool] = {}

    def __contains__(self, person: str) -> bool:
        known = self._known.get(person)
        if known is None:
            known = self._known[person] = mark_of(person) in self._marks
        return known

    def among(self, events: Iterable[Event]) -> list[Event]:
        """What stays of events, in their order."""
        return [left for event in events if (left := self.without(event)) is not None]

    def without(self, event: Event) -> Event | None:
        """An event that names none of them, as if the source had not said who it was.

        None where it is about one of them: a membership, a milestone, or one whose own id is made of the person's.
        """
        left = self._record(event)
        if left is None:
            return None
        tokens = _DIGITS.findall(msgspec.json.encode(left).decode())
        return None if any(f"{PERSON_PREFIX}{digits}" in self for digits in tokens) else left

    def _record(self, record: T) -> T | None:
        changed: dict[str, Any] = {}
        people, nested = _people(type(record))
        for name, required in people:
            value = getattr(record, name)
            if isinstance(value, tuple):
                kept = tuple(person for person in value if person not in self)
                if kept != value:
                    changed[name] = kept
            elif value is not None and value in self:
                if required:
                    return None
                changed[name] = None
        for name in nested:
            inner = tuple(left for one in getattr(record, name) if (left := self._record(one)) is not None)
            if inner != getattr(record, name):
                changed[name] = inner
        return msgspec.structs.replace(record, **changed) if changed else record


@cache
def _people(kind: type[msgspec.Struct]) -> tuple[tuple[tuple[str, bool], ...], tuple[str, ...]]:
    """The fields of a record that hold people, and whether one must; those with records that hold some."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    named = tuple((name, fields[name].required) for name in person_fields(kind))
    nested = tuple(name for name, field in fields.items() if any(map(person_fields, _records(field.type))))
    return named, nested


def _records(annotation: Any) -> list[type[msgspec.Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [found for inner in getattr(annotation, "__args__", ()) for found in _records(inner)]
