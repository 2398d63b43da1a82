"""The times of several series after each other: many small ones together cost what a large one does. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Lined:
    """Times of some series, in order within each: of all those of the first one, then those of the next."""

    def __init__(self, at: Ints, sizes: Sequence[int] | Ints) -> None:
        self.at, self.sizes = at, np.asarray(sizes, dtype=np.int64)
        self.ends = np.cumsum(self.sizes)
        """Where each series ends, and the next one begins."""
        self.begins = self.ends - self.sizes

    @cached_property
    def owner(self) -> Ints:
        """For each time the place of its series."""
        return np.repeat(np.arange(self.sizes.size), self.sizes)

    def only(self, which: NDArray[np.bool_]) -> Lined:
        """Some of the times, by a mask."""
        return Lined(self.at[which], np.bincount(self.owner[which], minlength=self.sizes.size))

    def up_to(self, edges: Ints) -> Ints:
        """For each series and edge where what is dated up to and including the edge ends, among all times."""
        low, high = int(edges.min()), int(edges.max())
        length = high - low + 2
        # All series are asked at once: by the series first, then by the time as far as edges reach.
        keys = self.owner * length + (np.clip(self.at, low, high + 1) - low)
        wanted = np.arange(self.sizes.size)[:, np.newaxis] * length + (edges - low)
        found: Ints = keys.searchsorted(wanted, side="right")
        return found

    def least(self, times: Ints, which: NDArray[np.bool_], otherwise: int) -> Ints:
        """For each series the least of those times that are marked; what is told otherwise where none is."""
        found = np.full(self.sizes.size, otherwise, dtype=np.int64)
        np.minimum.at(found, self.owner[which], times[which])
        return found
