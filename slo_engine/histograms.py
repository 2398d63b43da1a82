"""How many units of each outcome the series of a store have, kept side by side so that many are soon added up. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slo_engine.units import ALL_TIME, NEVER, Ints

Places = NDArray[np.intp]


class Histograms:
    """Of some series a histogram for each of some spans, and until when (exclusive) these hold."""

    def __init__(self, spans: int, width: int) -> None:
        self._counts = np.zeros((0, spans, width), dtype=np.int64)
        self._until: Ints = np.zeros(0, dtype=np.int64)
        self._places: dict[int, int] = {}
        self._free: list[int] = []

    def forget(self, number: int) -> None:
        """A series has changed, or is gone."""
        place = self._places.pop(number, None)
        if place is not None:
            self._free.append(place)

    def places(self, numbers: Sequence[int]) -> Places:
        """Where the histograms of some series stand, or will."""
        for number in numbers:
            if number not in self._places:
                self._places[number] = self._place()
        return np.fromiter(map(self._places.__getitem__, numbers), dtype=np.intp, count=len(numbers))

    def expired(self, places: Places, now: int) -> list[int]:
        """Which of some places have no histograms that hold at a time."""
        found: list[int] = np.flatnonzero(self._until[places] <= now).tolist()
        return found

    def put(self, place: int, histograms: Sequence[Ints], until: int) -> None:
        """Have the histograms of a series, by span."""
        self._counts[place], self._until[place] = histograms, until

    def pooled(self, places: Places) -> tuple[Ints, int]:
        """The histograms of some series together, by span, and until when (exclusive) they hold."""
        if places.size == 1:
            return self._counts[places[0]].copy(), int(self._until[places[0]])
        return self._counts[places].sum(axis=0), int(self._until[places].min(initial=NEVER))

    def _place(self) -> int:
        """A place that no series has."""
        if not self._free:
            size = len(self._until)
            more = max(size, 64)
            self._counts = np.concatenate([self._counts, np.zeros((more, *self._counts.shape[1:]), dtype=np.int64)])
            self._until = np.concatenate([self._until, np.zeros(more, dtype=np.int64)])
            self._free = list(range(size + more - 1, size - 1, -1))
        place = self._free.pop()
        self._until[place] = ALL_TIME
        return place
