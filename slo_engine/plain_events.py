"""Events in memory, read as the store gives them: for tests of indicators, here and in other distributions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from collector.conditions import Above, Where
from collector.events import Event
from slo_engine.observation import to_micros

E = TypeVar("E", bound=Event)


class PlainEvents:
    """Some events, each id once: the last one given is the one that counts. All are of revision 0."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.by_id = {e.id: e for e in events}

    def events(self, event_type: type[E]) -> Iterator[E]:
        """The events of a kind, each once."""
        return (e for e in self.by_id.values() if isinstance(e, event_type))

    def columns(self, event_type: type[Event], *names: str, **where: Where) -> list[tuple[Any, ...]]:
        """Columns of the events of a kind that fit."""
        fitting = (e for e in self.events(event_type) if all(_fits(_plain(getattr(e, n)), v) for n, v in where.items()))
        return [tuple(0 if n == "revision" else _plain(getattr(e, n)) for n in names) for e in fitting]

    def distinct(self, event_type: type[Event], name: str, since: int = -1) -> list[str]:
        """The values of a text column, in order. These events have no revisions: all of them, whatever `since`."""
        del since
        return sorted({v for (v,) in self.columns(event_type, name) if v is not None})

    def moved(self, event_type: type[Event], since: int) -> list[str]:
        """Nothing: these events do not change."""
        del event_type, since
        return []


def _fits(value: Any, wanted: Where) -> bool:
    if isinstance(wanted, Above):
        return bool(value is not None and value > wanted.value)
    return value in wanted if isinstance(wanted, (list, tuple)) else bool(value == wanted)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_micros(value)
    if isinstance(value, tuple):
        return msgspec.json.encode(value).decode() if value else ""
    return str(value) if isinstance(value, StrEnum) else value
