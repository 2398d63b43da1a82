"""Records that somebody wrote, in a file or a request, become events. Nothing here knows where they came from.

A record holds the fields of one event as docs/events.md lists them, without `source`: the configuration names it.
People are hashed before anything else looks, and no message quotes a value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from collector.errors import BadRecord
from collector.events import TYPE_OF_KIND, Event, kind_of, person_fields, time_fields
from collector.people import People
from collector.times import parsed

_LARGEST = 2**63 - 1

_A_KIND = f"expected one of {', '.join(TYPE_OF_KIND)}"
_A_NUMBER = "expected a number of at most 64 bits"
_A_TIME = "expected a time with an offset, for example 2026-01-31T09:00:00Z"


@dataclass(frozen=True)
class Cells:
    """A record of a CSV file: text by column, empty cells left out."""

    by_column: dict[str, str]


class _RefusedError(Exception):
    """Why a record cannot be used: the field and what was expected, never the value."""


@dataclass(frozen=True)
class _Nature:
    """What is to be known of a kind before its records are converted."""

    people: tuple[str, ...]
    times: tuple[str, ...]
    nested: Mapping[str, type[msgspec.Struct]]
    lists: frozenset[str]
    numbers: tuple[str, ...]
    has_bot: bool


@cache
def _nature(struct: type[msgspec.Struct]) -> _Nature:
    types = {f.name: _plain(f.type) for f in _fields(struct)}
    items = {n: _plain(t.item_type) for n, t in types.items() if isinstance(t, inspect.VarTupleType)}
    return _Nature(
        people=person_fields(struct),
        times=time_fields(struct),
        nested={n: t.cls for n, t in items.items() if isinstance(t, inspect.StructType)},
        lists=frozenset(n for n, t in items.items() if not isinstance(t, inspect.StructType)),
        numbers=tuple(n for n, t in types.items() if isinstance(t, (inspect.IntType, inspect.FloatType))),
        has_bot="bot" in types,
    )


def _fields(struct: type[msgspec.Struct]) -> Sequence[inspect.Field]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - narrows for the type checker
    return info.fields


def _plain(info: inspect.Type) -> inspect.Type:
    """A type without its descriptions and without None."""
    if isinstance(info, inspect.Metadata):
        return _plain(info.type)
    if isinstance(info, inspect.UnionType):
        return _plain(next(t for t in info.types if not isinstance(t, inspect.NoneType)))
    return info


@dataclass(frozen=True, kw_only=True)
class Records:
    """Turns records that somebody wrote into events. People are hashed before anything else looks."""

    source: str
    people: People
    kind: str | None = None

    def event(self, record: object, location: str, stamped_at: datetime) -> Event:
        """The event in a record, which is used up. `stamped_at` is its `updated_at` where it states none.

        Raises BadRecord with the location, the field and what was expected, never with the value.
        """
        try:
            return self._event(record, stamped_at)
        except _RefusedError as refused:
            # `from None`: what msgspec says may quote the value.
            raise BadRecord(location, str(refused)) from None

    def _event(self, record: object, stamped_at: datetime) -> Event:
        lax = isinstance(record, Cells)
        values = record.by_column if isinstance(record, Cells) else record
        if not isinstance(values, dict):
            raise _RefusedError("the record is no object; expected one JSON object with the fields of one event")
        event_type = self._type(values.pop("kind", None))
        nature = _nature(event_type)
        if "source" in values:
            raise _RefusedError("`source` is not part of a record; expected the configuration alone to name it")
        if lax:
            _split_cells(values, nature)
        self._hash_people(values, nature)
        if lax:
            _parse_times(values, nature)
        values["source"] = self.source
        if values.get("updated_at") is None:
            values["updated_at"] = stamped_at
        try:
            event = msgspec.convert(values, event_type, strict=not lax)
        except (msgspec.ValidationError, OverflowError):
            # Rarely needed forms of time are only looked for where the fast way failed.
            event = _second_try(values, event_type, lax=lax)
        _refuse_what_no_store_holds(event, nature.numbers)
        return event

    def _type(self, stated: object) -> type[Event]:
        kind = self.kind if stated is None else stated
        if kind is None:
            raise _RefusedError(f"`kind` is missing, here and in the configuration; {_A_KIND}")
        event_type = TYPE_OF_KIND.get(kind) if isinstance(kind, str) else None
        if event_type is None:
            raise _RefusedError(f"`kind` is unknown; {_A_KIND}")
        return event_type

    def _hash_people(self, values: dict[str, Any], nature: _Nature) -> None:
        """Replace people by their hashes. Automation is told by its account, here or never."""
        for name in nature.people:
            value = values.get(name)
            if isinstance(value, str):
                if nature.has_bot and self.people.is_bot(value):
                    values.setdefault("bot", True)
                values[name] = self.people.hashed(value) if value.strip() else None
            elif isinstance(value, list):
                values[name] = [self.people.hashed(v) if isinstance(v, str) else v for v in value]
        for name, struct in nature.nested.items():
            for item in _objects(values.get(name)):
                self._hash_people(item, _nature(struct))


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _split_cells(values: dict[str, Any], nature: _Nature) -> None:
    """Cells of text lists are split at `;`; those of nested records hold JSON."""
    for name in nature.lists & values.keys():
        values[name] = [part for part in map(str.strip, values[name].split(";")) if part]
    for name in nature.nested.keys() & values.keys():
        try:
            values[name] = msgspec.json.decode(values[name])
        except (msgspec.DecodeError, RecursionError):
            raise _RefusedError(f"`{name}`: expected a list of objects in JSON") from None


def _parse_times(values: dict[str, Any], nature: _Nature, path: str = "") -> None:
    """Times become aware; a naive one is refused, because guessing its zone would falsify durations."""
    for name in nature.times:
        value = values.get(name)
        if value is None or isinstance(value, datetime):
            continue
        at = parsed(value) if isinstance(value, str) else None
        if at is None:
            raise _RefusedError(f"`{path}{name}`: {_A_TIME}")
        values[name] = at
    for name, struct in nature.nested.items():
        for i, item in enumerate(_objects(values.get(name))):
            _parse_times(item, _nature(struct), f"{name}[{i}].")


def _second_try(values: dict[str, Any], event_type: type[Event], *, lax: bool) -> Event:
    _parse_times(values, _nature(event_type))
    try:
        return msgspec.convert(values, event_type, strict=not lax)
    except msgspec.ValidationError as error:
        raise _RefusedError(_reason(str(error), event_type)) from None


def _refuse_what_no_store_holds(event: Event, numbers: tuple[str, ...]) -> None:
    """Numbers beyond 64 bits and infinite ones would make the whole run fail later."""
    for name in numbers:
        value = getattr(event, name)
        if value is not None and not -_LARGEST <= value <= _LARGEST:
            raise _RefusedError(f"`{name}`: {_A_NUMBER}")


_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_QUOTED = re.compile(r"`(.*)`", re.DOTALL)
_A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def _reason(message: str, event_type: type[Event]) -> str:
    """The sentence of msgspec with its field first, and without the value, which some sentences quote."""
    found = _WHERE.fullmatch(message)
    what, path = (found["what"], found["path"] or "") if found else ("", "")
    quoted = _QUOTED.search(what)
    name = quoted[1] if quoted else ""
    inside = _nature(event_type).nested.get(path.partition("[")[0], event_type)
    if what.startswith("Object missing"):
        return f"`{path + '.' if path else ''}{name}` is missing; expected in every {_title(event_type)}"
    if what.startswith("Object contains unknown field"):
        known = [n for n in inside.__struct_fields__ if n != "source"]
        near = difflib.get_close_matches(name, known, n=1)
        shown = f" `{name}`" if _A_NAME.fullmatch(name) else ""
        return f"unknown field{shown}; expected " + (f"`{near[0]}`?" if near else f"one of {', '.join(known)}")
    if what.startswith("Invalid enum value"):
        return f"`{path}`: expected one of {', '.join(_values(event_type, path))}"
    if what == "Number out of range":
        return f"`{path}`: {_A_NUMBER}"
    if what.startswith("Expected `"):
        return f"`{path}`: e{what[1:]}"
    return f"`{path}`: expected a value as the reference of events describes it"


def _title(event_type: type[Event]) -> str:
    return f"record of kind {kind_of(event_type)}"


def _values(event_type: type[Event], name: str) -> list[str]:
    """The values of an enum field."""
    plain = next(_plain(f.type) for f in _fields(event_type) if f.name == name)
    return [str(v) for v in plain.cls] if isinstance(plain, inspect.EnumType) else []
