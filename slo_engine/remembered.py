"""Events of which families ask, one after the other, which names there are: each such question is asked once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from collector.conditions import Where
from collector.events import Event
from slo_engine.indicator import Events

E = TypeVar("E", bound=Event)


class Remembered:
    """The events as they are, but for the names in them, which stay what they were when first asked for.

    For one derivation. What is written meanwhile has a revision after those it derives from, so the next one sees it.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._distinct: dict[tuple[type[Event], str, int], list[str]] = {}
        self._moved: dict[tuple[type[Event], int], list[str]] = {}

    def events(self, event_type: type[E]) -> Iterable[E]:
        """The events of a kind, each once."""
        return self._events.events(event_type)

    def columns(self, event_type: type[Event], *names: str, **where: Where) -> list[tuple[Any, ...]]:
        """Columns of the events of a kind that fit."""
        return self._events.columns(event_type, *names, **where)

    def distinct(self, event_type: type[Event], name: str, since: int = -1) -> list[str]:
        """The values of a text column, in order; only those of events written after a revision."""
        asked = event_type, name, since
        if asked not in self._distinct:
            self._distinct[asked] = self._events.distinct(event_type, name, since)
        return list(self._distinct[asked])

    def moved(self, event_type: type[Event], since: int) -> list[str]:
        """The services or repositories that an event of a kind left after a revision."""
        asked = event_type, since
        if asked not in self._moved:
            self._moved[asked] = self._events.moved(event_type, since)
        return list(self._moved[asked])
