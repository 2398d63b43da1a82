"""Where the stored observations changed while the service ran: what was made of earlier ones still holds."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from collector.store import ObservationStore

_HOUR = 3_600_000_000
_ALWAYS = -(2**62)


class _Line(NamedTuple):
    """The last change for each time: `since` when something changed, in order, and which change that was.

    A later change of earlier times stands for those before it, so both grow.
    """

    since: list[int]
    change: list[int]


class Changes:
    """Numbers the changes of stored observations, by indicator and time. Safe to ask from several threads.

    What was made of an indicator's observations up to a time is as good as new while `last` gives the same number: one
    that was asked for before they were read.
    """

    def __init__(self, store: ObservationStore) -> None:
        self._store = store
        self._lines: dict[str, _Line] = {}
        self._known: dict[int, str] | None = None
        self._count = self._forgotten_at = 0
        self._looking = threading.Lock()

    def forget(self) -> None:
        """Anything may have changed: nobody said what."""
        known = {number: series.indicator for number, series in self._store.series().items()}
        with self._looking:
            self._count += 1
            self._forgotten_at, self._known, self._lines = self._count, known, {}

    def apply(self, changes: Mapping[int, int]) -> None:
        """Some series changed, each from a time on (microseconds). One that came or went changes all times."""
        if not changes:
            return
        there = self._store.series(among=changes)
        with self._looking:
            known = {} if self._known is None else self._known
            self._count += 1
            for number, first in changes.items():
                name = there[number].indicator if number in there else known.pop(number, "")
                came_or_went = number not in there or number not in known
                if number in there:
                    known[number] = name
                for line in {name, ""}:
                    self._note(line, _ALWAYS if came_or_went else first - first % _HOUR)
            self._known = known

    def _note(self, name: str, first: int) -> None:
        line = self._lines.setdefault(name, _Line([], []))
        place = bisect_left(line.since, first)
        line.since[place:], line.change[place:] = [first], [self._count]

    def last(self, until: int, indicator: str = "") -> int:
        """The last change of what an indicator, or any, has up to a time (microseconds)."""
        with self._looking:
            line = self._lines.get(indicator)
            place = 0 if line is None else bisect_right(line.since, until)
            return max(self._forgotten_at, line.change[place - 1] if line and place else 0)

    @property
    def comings(self) -> int:
        """The last change of which series there are."""
        return self.last(_ALWAYS)
