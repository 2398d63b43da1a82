"""Which series have units in common: asked again and again, of series of which few change. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from slo_engine.distinct import distinct

Ints = NDArray[np.int64]
_NONE = np.array([], dtype=np.int64)
_MANY = 4
"""Where more than one of so many series changed, a look at all of them costs less."""


class Sharing:
    """Whether some series share units, and which: a series is the same while its units are the same array."""

    def __init__(self) -> None:
        self._units: Mapping[int, Ints] = {}
        self._found: set[int] = set()
        self._ordered = _NONE
        """Units in order: all that are there, and some that were. Each was of one series while none shared any."""

    def among(self, units: Mapping[int, Ints]) -> set[int]:
        """Those series that have a unit which another of them, or they themselves, have once more."""
        if self._found or not self._has_grown_apart(units):
            self._ordered, self._found = _looked_through(units)
        self._units = dict(units)
        return self._found

    def _has_grown_apart(self, units: Mapping[int, Ints]) -> bool:
        """Whether nothing is shared still, for all that the changed series say; it may be so although this says no."""
        changed = [number for number, own in units.items() if self._units.get(number) is not own]
        if len(changed) * _MANY > len(units):
            return False
        new = np.sort(_together([units[number] for number in changed]))
        if (new[1:] == new[:-1]).any():
            return False
        before = np.sort(_together([self._units.get(number, _NONE) for number in changed]))
        # What a changed series had before is nobody else's.
        others = new[~_holds(before, new)]
        if _holds(self._ordered, others).any():
            return False
        self._ordered = np.insert(self._ordered, self._ordered.searchsorted(others), others)
        return True


def _looked_through(units: Mapping[int, Ints]) -> tuple[Ints, set[int]]:
    """All units in order, and the series that have one which is there more than once."""
    every = _together(list(units.values()))
    ordered = np.sort(every)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not shared.size:
        return ordered, set()
    # All series in one look: asked for each of them, numpy would go through what is shared each time.
    owners = np.repeat(np.array(list(units), dtype=np.int64), [own.size for own in units.values()])
    return ordered, set(distinct(owners[_holds(shared, every)]).tolist())


def _holds(ordered: Ints, numbers: Ints) -> NDArray[np.bool_]:
    """For each number whether it is among some that are in order."""
    if not ordered.size:
        return np.zeros(numbers.size, dtype=bool)
    found: NDArray[np.bool_] = ordered[np.minimum(ordered.searchsorted(numbers), ordered.size - 1)] == numbers
    return found


def _together(arrays: Sequence[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else _NONE
