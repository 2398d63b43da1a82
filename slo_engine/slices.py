"""Time slices: stretches of time that are good or bad by the units in them. Pure; OpenSLO's budgeting methods.

A slice without a unit is unknown, neither good nor bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from slo_engine.exclusions import Slot
from slo_engine.slo import Slo
from slo_engine.units import Ints

_MICROSECOND = timedelta(microseconds=1)


def sliced(slo: Slo, times: Ints, good: NDArray[np.bool_], now: int) -> tuple[Ints, NDArray[np.float64]]:
    """The ends of an SLO's slices that are over, in microseconds, and how good each was.

    `Timeslices`: 1 where the share of good units reaches the slice's target, else 0. `RatioTimeslices`: that share.
    Slices begin at multiples of their length since 1970, and hold their start but not their end.
    """
    assert slo.slice is not None  # noqa: S101 - SLO files with these methods must say it
    length = slo.slice // _MICROSECOND
    numbers, first, counts = np.unique(times // length, return_index=True, return_counts=True)
    passed = np.concatenate([[0], np.cumsum(good)])
    shares = (passed[first + counts] - passed[first]) / np.maximum(counts, 1)
    ends: Ints = (numbers + 1) * length
    over = ends <= now
    if slo.budgeting == "timeslices":
        # As fractions of whole numbers: 0.95 of 20 units is 19, whatever floats make of it.
        target = slo.slice_target
        assert target is not None  # noqa: S101 - as above
        top, bottom = target.as_integer_ratio()
        reached = (passed[first + counts] - passed[first]) * bottom >= counts * top
        shares = reached.astype(np.float64)
    return ends[over], shares[over]


def slices_over(length: int, after: int, until: int, slots: Sequence[Slot] = ()) -> int:
    """How many slices of a length end after a time up to and with another, without those in excluded slots as a whole.

    All in microseconds; `slots` are sorted and disjoint.
    """
    found = until // length - after // length
    for start, end in slots:
        first = -(-start // length)
        found -= max(0, min(until, end) // length - max(after // length, first))
    return found
