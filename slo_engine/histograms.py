"""How many units of each outcome the series of a store have, kept side by side so that many are soon added up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from slo_engine.units import ALL_TIME, NEVER, Ints, Rows, codes_of

Places = NDArray[np.intp]

# The histograms of so many series are added up at a time: of more they fill no cache.
_AT_ONCE = 2_000


class Histograms:
    """Of some series a histogram for each of some spans, and until when (exclusive) these hold."""

    def __init__(self, spans: int, width: int) -> None:
        self._counts = np.zeros((0, spans, width), dtype=np.int32)  # half as much to add up
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
        known = self._places
        for number in numbers:
            if number not in known:
                known[number] = self._place()
        return np.array([known[number] for number in numbers], dtype=np.intp)

    def expired(self, places: Places, now: int) -> list[int]:
        """Which of some places have no histograms that hold at a time."""
        found: list[int] = np.flatnonzero(self._until[places] <= now).tolist()
        return found

    def put(self, places: Places | int, histograms: Ints | Sequence[Ints], until: Ints | int) -> None:
        """Have the histograms of a series by span, or those of several, and until when each hold."""
        self._counts[places], self._until[places] = histograms, until

    def pooled(self, series: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
        """For each of several sets of series their histograms together, by span, and until when (exclusive) they hold.

        Many sets cost little more than one.
        """
        found = np.zeros((len(series), *self._counts.shape[1:]), dtype=np.int64)
        until = np.full(len(series), NEVER, dtype=np.int64)
        some: list[int] = []
        size = 0
        for number, own in enumerate(series):
            some += [number] if own else []
            size += len(own)
            if some and (size >= _AT_ONCE or number == len(series) - 1):
                places = self.places(list(chain.from_iterable(series[n] for n in some)))
                firsts = np.cumsum([0, *(len(series[n]) for n in some[:-1])])
                found[some] = np.add.reduceat(self._counts[places], firsts, axis=0)
                until[some] = np.minimum.reduceat(self._until[places], firsts)
                some, size = [], 0
        return found, until

    def _place(self) -> int:
        """A place that no series has."""
        if not self._free:
            size = len(self._until)
            more = max(size, 64)
            self._counts = np.concatenate([self._counts, np.zeros((more, *self._counts.shape[1:]), dtype=np.int32)])
            self._until = np.concatenate([self._until, np.zeros(more, dtype=np.int64)])
            self._free = list(range(size + more - 1, size - 1, -1))
        place = self._free.pop()
        self._until[place] = ALL_TIME
        return place


def counted(series: Sequence[Rows], spans: Sequence[tuple[int, int]], now: int, width: int) -> tuple[Ints, Ints]:
    """The histograms of series by span (after, until], and until when (exclusive) those of each series hold.

    Many small series in one look. Of these series nothing is pending: see `Rows.is_final`.
    """
    sizes = np.array([rows.at.size for rows in series], dtype=np.int64)
    begins = np.cumsum(sizes) - sizes
    at = np.concatenate([*(rows.at for rows in series), [NEVER]])  # so that there is one behind the last
    bins = np.concatenate([codes_of(rows.outcome, rows.reason) for rows in series])
    bins += np.repeat(np.arange(sizes.size) * width, sizes)
    ends = begins + sizes
    found = np.empty((sizes.size, len(spans), width), dtype=np.int64)
    until = np.full(sizes.size, NEVER, dtype=np.int64)
    for place, (after, end) in enumerate(spans):
        left, there = at[:-1] <= after, at[:-1] <= min(end, now)
        found[:, place] = np.bincount(bins[there & ~left], minlength=sizes.size * width).reshape(-1, width)
        first, behind = begins + sums(left, begins, ends), begins + sums(there, begins, ends)
        leaves = np.where(first < behind, at[first] + (end - after), NEVER)
        enters = np.where(behind < ends, at[behind], NEVER)
        until = np.minimum(until, np.minimum(leaves, enters))
    return found, until


def sums(which: NDArray[np.bool_], begins: Ints, ends: Ints) -> Ints:
    """How many are true in each stretch."""
    before = np.concatenate([[0], np.cumsum(which)])
    found: Ints = before[ends] - before[begins]
    return found
