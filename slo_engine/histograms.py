"""How many units of each outcome the series of a store have, kept side by side so that many are soon added up. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slo_engine.units import ALL_TIME, NEVER, Ints


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

    def expired(self, numbers: Sequence[int], now: int) -> list[int]:
        """Those of some series whose histograms are not known at a time. Each has a place afterwards."""
        for number in numbers:
            if number not in self._places:
                self._places[number] = self._place()
        if len(numbers) == 1:
            return list(numbers) if self._until[self._places[numbers[0]]] <= now else []
        expired = np.flatnonzero(self._until[self._places_of(numbers)] <= now)
        return [numbers[place] for place in expired.tolist()]

    def put(self, number: int, histograms: Sequence[Ints], until: int) -> None:
        """Have the histograms of a series, by span."""
        place = self._places[number]
        self._counts[place], self._until[place] = histograms, until

    def pooled(self, numbers: Sequence[int]) -> tuple[Ints, int]:
        """The histograms of some series together, by span, and until when (exclusive) they hold."""
        if len(numbers) == 1:
            place = self._places[numbers[0]]
            return self._counts[place].copy(), int(self._until[place])
        places = self._places_of(numbers)
        return self._counts[places].sum(axis=0), int(self._until[places].min(initial=NEVER))

    def _places_of(self, numbers: Sequence[int]) -> NDArray[np.intp]:
        return np.fromiter(map(self._places.__getitem__, numbers), dtype=np.intp, count=len(numbers))

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
