"""Events of which families ask, one after the other, which names there are: each such question is asked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from collector.conditions import Above, Where
from collector.events import Event, kind_of
from slo_engine.indicator import Events

E = TypeVar("E", bound=Event)

Noted = Mapping[str, Mapping[str, list[str]]]
"""By kind and column the names that may have something new; of a kind that is missing it is not known."""


class Remembered:
    """The events as they are, but for the names in them, which stay what they were when first asked for.

    For one derivation. What is written meanwhile has a revision after those it derives from, so the next one sees it.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._distinct: dict[tuple[type[Event], str, int], list[str]] = {}
        self._moved: dict[tuple[type[Event], int], list[str]] = {}
        self._noted: dict[tuple[str, str, int], list[str]] = {}

    def hear(self, since: Mapping[str, int], noted: Noted) -> None:
        """Hear which names may have something new after a revision of each kind: no others are looked at."""
        for kind, columns in noted.items():
            self._noted.update(((kind, column, since[kind]), names) for column, names in columns.items())

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
            self._distinct[asked] = self._found(*asked)
        return list(self._distinct[asked])

    def _found(self, event_type: type[Event], name: str, since: int) -> list[str]:
        noted = self._noted.get((kind_of(event_type), name, since))
        if noted is None:
            return self._events.distinct(event_type, name, since)
        where: dict[str, Where] = {name: noted, "revision": Above(since)}
        return sorted({value for (value,) in self._events.columns(event_type, name, **where)}) if noted else []

    def moved(self, event_type: type[Event], since: int) -> list[str]:
        """The services or repositories that an event of a kind left after a revision."""
        asked = event_type, since
        if asked not in self._moved:
            self._moved[asked] = self._events.moved(event_type, since)
        return list(self._moved[asked])
