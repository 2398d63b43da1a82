"""How a field of an event becomes a column, and its value a value of the database and back.

One table of rules for all kinds: text and enums stay text, times become microseconds, tuples become JSON.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from collector.events import Event
from collector.store.dialects import TEXT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(at: datetime) -> int:
    """Microseconds since 1970 UTC of an aware time, exactly."""
    delta = at - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(micros: int) -> datetime:
    """The aware UTC time of microseconds since 1970."""
    return _EPOCH + micros * _MICROSECOND


@dataclass(frozen=True)
class Column:
    """A field as the database keeps it. `least` sorts below every value and stands for NULL in comparisons."""

    name: str
    sql_type: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]]
    nullable: bool
    least: Any
    encode: Callable[[Any], Any] | None
    decode: Callable[[Any], Any] | None


@cache
def columns_of(event_type: type[Event]) -> tuple[Column, ...]:
    """The columns of an event's table, without its id, in the order of the fields."""
    return tuple(_column(f) for f in msgspec.structs.fields(event_type))


def _column(field: msgspec.structs.FieldInfo) -> Column:
    plain, nullable = _plain(field.type)
    if plain is datetime:
        return Column(field.name, sa.BigInteger, nullable, -(2**63), to_micros, from_micros)
    if typing.get_origin(plain) is tuple:
        return Column(field.name, TEXT, nullable, "", _to_json, _from_json(plain))
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return Column(field.name, TEXT, nullable, "", str, None)
    sql_type, least = _SCALARS[plain]
    return Column(field.name, sql_type, nullable, least, None, bool if plain is bool else None)


_SCALARS: dict[Any, tuple[sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]], Any]] = {
    str: (TEXT, ""),
    bool: (sa.Boolean, False),
    int: (sa.BigInteger, -(2**63)),
    float: (sa.Double, -1.7976931348623157e308),
}


def _plain(annotation: Any) -> tuple[Any, bool]:
    """A field's type without Annotated and None, and whether None was allowed."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _plain(annotation.__origin__)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not types.NoneType]
        return _plain(inner[0])[0], True
    return annotation, False


def _to_json(value: Any) -> str:
    """Empty text for an empty tuple, so that of two versions the one that knows more compares greater."""
    return _JSON(value).decode() if value else ""


_JSON = msgspec.json.Encoder().encode


def _from_json(annotation: Any) -> Callable[[str], Any]:
    decode = msgspec.json.Decoder(annotation).decode
    return lambda text: decode(text) if text else ()


@dataclass(frozen=True)
class Same:
    """A column of which all rows hold one value: nothing, a text, a whole number, true or false."""

    value: Any


Values = list[Any] | Same
"""A column of some rows, as the database takes it."""


def encoder(event_type: type[Event]) -> Callable[[Sequence[Event]], list[Values]]:
    """A function from events, one at least, to their columns in the order of the fields.

    Columns and not rows, because most of a row's fields say nothing, or what all the others say: that is seen at a
    glance. What reads them is compiled, as dataclasses compile their methods: each event of an import goes through it.
    """
    columns = columns_of(event_type)
    fields = ", ".join(f"[e.{column.name} for e in events]" for column in columns)
    # Only field names of our own types go in.
    read: Callable[[Sequence[Event]], list[list[Any]]] = eval(f"lambda events: [{fields}]")  # noqa: S307
    encoded = [
        _ENCODED.get(column.encode, _numbers if column.sql_type is sa.Double else _scalars) for column in columns
    ]
    return lambda events: [encode(values) for encode, values in zip(encoded, read(events), strict=True)]


def _scalars(values: list[Any]) -> Values:
    first = values[0]
    # Most columns that are not the same differ at their ends; only the others are looked through.
    alike = isinstance(first, (str, int, types.NoneType)) and first == values[-1] and values.count(first) == len(values)
    return Same(first) if alike else values


def _numbers(values: list[Any]) -> Values:
    """What is no number is nothing."""
    if all(value == value for value in values):  # noqa: PLR0124 - only what is no number differs from itself
        return _nothing(values) or values
    return [value if value == value else None for value in values]  # noqa: PLR0124 - likewise


def _nothing(values: list[Any]) -> Same | None:
    return Same(None) if values[0] is None and values.count(None) == len(values) else None


def _times(values: list[Any]) -> Values:
    """As `to_micros`, in place: calling it for each would be half of what it takes."""
    return _nothing(values) or [
        None if at is None else ((d := at - _EPOCH).days * 86_400 + d.seconds) * 1_000_000 + d.microseconds
        for at in values
    ]


def _texts(values: list[Any]) -> Values:
    same = _scalars(values)
    if isinstance(same, Same):
        return Same(None if same.value is None else str(same.value))
    return [None if value is None else str(value) for value in values]


def _lists(values: list[Any]) -> Values:
    if not any(values):
        return _scalars([None if value is None else "" for value in values])
    return [None if value is None else _to_json(value) for value in values]


_ENCODED: Mapping[Any, Callable[[list[Any]], Values]] = {to_micros: _times, str: _texts, _to_json: _lists}


def decoder(event_type: type[Event]) -> Callable[[Any], Event]:
    """A function from a row (without the id) back to the event it was."""
    columns = columns_of(event_type)

    def decode(row: Any) -> Event:
        values = {
            c.name: v if v is None or c.decode is None else c.decode(v) for c, v in zip(columns, row, strict=True)
        }
        return msgspec.convert(values, event_type)

    return decode
