"""How a field of an event becomes a column, and its value a value of the database and back.

One table of rules for all kinds: text and enums stay text, times become microseconds, tuples become JSON.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from collector.events import Event

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
    sql_type: type[sa.types.TypeEngine[Any]]
    nullable: bool
    least: Any
    encode: Callable[[Any], Any] | None
    decode: Callable[[Any], Any] | None


@lru_cache(maxsize=None)
def columns_of(event_type: type[Event]) -> tuple[Column, ...]:
    """The columns of an event's table, without its id, in the order of the fields."""
    return tuple(_column(f) for f in msgspec.structs.fields(event_type))


def _column(field: msgspec.structs.FieldInfo) -> Column:
    plain, nullable = _plain(field.type)
    if plain is datetime:
        return Column(field.name, sa.BigInteger, nullable, -(2**63), to_micros, from_micros)
    if typing.get_origin(plain) is tuple:
        decoder = msgspec.json.Decoder(plain)
        return Column(field.name, sa.Text, nullable, "", _to_json, decoder.decode)
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return Column(field.name, sa.Text, nullable, "", str, None)
    sql_type, least = _SCALARS[plain]
    return Column(field.name, sql_type, nullable, least, None, bool if plain is bool else None)


_SCALARS: dict[Any, tuple[type[sa.types.TypeEngine[Any]], Any]] = {
    str: (sa.Text, ""),
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
    return msgspec.json.encode(value).decode() if value else "[]"


def encoder(event_type: type[Event]) -> Callable[[Event], tuple[Any, ...]]:
    """A function from an event to its row: the id first, then the columns in order."""
    columns = columns_of(event_type)
    read = attrgetter(*(c.name for c in columns))
    conversions = [(i, c.encode) for i, c in enumerate(columns) if c.encode is not None]

    def encode(event: Event) -> tuple[Any, ...]:
        values = [event.id, *read(event)]
        for i, convert in conversions:
            if values[i + 1] is not None:
                values[i + 1] = convert(values[i + 1])
        return tuple(values)

    return encode


def decoder(event_type: type[Event]) -> Callable[[Any], Event]:
    """A function from a row (without the id) back to the event it was."""
    columns = columns_of(event_type)

    def decode(row: Any) -> Event:
        values = {
            c.name: v if v is None or c.decode is None else c.decode(v) for c, v in zip(columns, row, strict=True)
        }
        return msgspec.convert(values, event_type)

    return decode
