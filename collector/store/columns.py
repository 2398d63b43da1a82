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
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from collector.events import Event, event_id, kind_of
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


def encoder(event_type: type[Event]) -> Callable[[Event, int], tuple[Any, ...]]:
    """A function from an event and its revision to its row: the id first, then the columns in order, the revision last.

    It is compiled from the columns, as dataclasses compile their methods: one expression is three times faster
    than a loop, and each event of an import goes through it.
    """
    names: dict[str, Any] = {"identity": event_id, "json": _JSON}
    parts = [f"identity({kind_of(event_type)!r}, e.source, e.native_id)"]
    for i, column in enumerate(columns_of(event_type)):
        value = f"e.{column.name}"
        if column.encode is _to_json:
            value = f"json({value}).decode() if {value} else None if {value} is None else ''"
        elif column.encode is not None:
            names[f"f{i}"] = column.encode
            value = f"None if {value} is None else f{i}({value})"
        parts.append(f"({value})")
    compiled: Callable[[Event, int], tuple[Any, ...]] = eval(  # noqa: S307 - only field names of our own types go in
        f"lambda e, revision: ({', '.join(parts)}, revision)", names
    )
    return compiled


def decoder(event_type: type[Event]) -> Callable[[Any], Event]:
    """A function from a row (without the id) back to the event it was."""
    columns = columns_of(event_type)

    def decode(row: Any) -> Event:
        values = {
            c.name: v if v is None or c.decode is None else c.decode(v) for c, v in zip(columns, row, strict=True)
        }
        return msgspec.convert(values, event_type)

    return decode
