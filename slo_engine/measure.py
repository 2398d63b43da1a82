"""What an indicator's own arithmetic is given, and what it gives back. Pure; a leaf but for the organisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from slo_engine.observation import Outcome, Subject, label_values
from slo_engine.organisation import Organisation

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

OUTCOME_CODES: Mapping[Outcome, int] = {outcome: code for code, outcome in enumerate(Outcome)}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The units of one number: all that lie within the indicator's reach, in no order.

    Times in microseconds. The window is after `after` and up to `until`; `now` is the time of the evaluation. `unit` is
    a number for each unit's id, equal where the ids are; `dimension` says for each unit at which place of `dimensions`
    what it names stands (see `slo_engine.observation.labelled`). `value` is NaN where there is none. `outcome` are
    codes, before anything matured: ask `is_`, and `pending`.
    """

    after: int
    until: int
    now: int
    subject: Subject
    organisation: Organisation
    at: Ints
    value: Floats
    outcome: NDArray[np.int16]
    matures_at: Ints
    unit: Ints
    dimension: Ints
    dimensions: Sequence[str] = ()

    @cached_property
    def inside(self) -> Mask:
        """Which units are dated in the window."""
        found: Mask = (self.at > self.after) & (self.at <= self.until)
        return found

    @cached_property
    def pending(self) -> Mask:
        """Which units have not matured by now."""
        found: Mask = self.matures_at > self.now
        return found

    def is_(self, outcome: Outcome) -> Mask:
        """Which units were judged so, matured or not."""
        found: Mask = self.outcome == OUTCOME_CODES[outcome]
        return found

    def named(self, place: int, value: str, labels: int) -> Mask:
        """Which units name a value for the label at a place, of so many labels that the indicator has."""
        chosen = [label_values(text, labels)[place] == value for text in self.dimensions]
        found: Mask = np.array(chosen, dtype=bool)[self.dimension]
        return found


class Measured(NamedTuple):
    """What a measure found: n, the statistics that have a value, and what stands beside them.

    `n` is what the number rests on: of a number about people, how many people. A statistic that has no value is absent.
    """

    n: int
    stats: Mapping[str, float] = {}
    pending: int = 0
    excluded: Mapping[str, int] = {}
    coverage: float | None = None


class Measure(Protocol):
    """Turns the units of one number into its statistics. Pure: the same sample gives the same answer."""

    def __call__(self, sample: Sample) -> Measured:
        """The statistics of a sample; n is 0 where nothing can be said."""
