"""Time slices: stretches of time that are good or bad by the units in them. Pure; OpenSLO's budgeting methods.

A slice without a unit is unknown, neither good nor bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo_engine.exclusions import Slot
from slo_engine.slo import Slo
from slo_engine.units import Ints

_MICROSECOND = timedelta(microseconds=1)


class Slices(NamedTuple):
    """Slices that have units, by number since 1970: how many of its units were good, and how many there were."""

    numbers: Ints
    good: Ints
    units: Ints

    @classmethod
    def of(cls, length: int, times: Ints, good: NDArray[np.bool_]) -> Slices:
        """The slices of a length of some units in the order of time; all in microseconds."""
        numbers, first, units = np.unique(times // length, return_index=True, return_counts=True)
        passed = np.concatenate([[0], np.cumsum(good)])
        return cls(numbers, passed[first + units] - passed[first], units)

    @classmethod
    def pooled(cls, several: Sequence[Slices]) -> Slices:
        """The slices of all units of several."""
        if len(several) == 1:
            return several[0]
        empty = np.array([], dtype=np.int64)
        parts = [np.concatenate([empty, *columns]) for columns in zip(*several, strict=True)] or [empty] * 3
        numbers, places = np.unique(parts[0], return_inverse=True)
        good, units = (np.bincount(places, own, numbers.size).astype(np.int64) for own in parts[1:])
        return cls(numbers, good, units)

    def judged(self, slo: Slo, now: int) -> tuple[Ints, NDArray[np.float64]]:
        """The ends of those that are over, and how good each was; see `sliced`."""
        ends: Ints = (self.numbers + 1) * length_of(slo)
        over = ends <= now
        if slo.budgeting != "timeslices":
            return ends[over], self.good[over] / self.units[over]
        target = slo.slice_target
        assert target is not None  # noqa: S101 - SLO files with this method must say it
        # As fractions of whole numbers: 0.95 of 20 units is 19, whatever floats make of it.
        top, bottom = target.as_integer_ratio()
        return ends[over], (self.good[over] * bottom >= self.units[over] * top).astype(np.float64)


def length_of(slo: Slo) -> int:
    """How long the slices of an SLO are, in microseconds."""
    assert slo.slice is not None  # noqa: S101 - SLO files that count slices must say it
    return slo.slice // _MICROSECOND


def sliced(slo: Slo, times: Ints, good: NDArray[np.bool_], now: int) -> tuple[Ints, NDArray[np.float64]]:
    """The ends of an SLO's slices that are over, in microseconds, and how good each was.

    `Timeslices`: 1 where the share of good units reaches the slice's target, else 0. `RatioTimeslices`: that share.
    Slices begin at multiples of their length since 1970, and hold their start but not their end.
    """
    return Slices.of(length_of(slo), times, good).judged(slo, now)


def slices_over(length: int, after: int, until: int, slots: Sequence[Slot] = ()) -> int:
    """How many slices of a length end after a time up to and with another, without those in excluded slots as a whole.

    All in microseconds; `slots` are sorted and disjoint.
    """
    found = until // length - after // length
    for start, end in slots:
        first = -(-start // length)
        found -= max(0, min(until, end) // length - max(after // length, first))
    return found
