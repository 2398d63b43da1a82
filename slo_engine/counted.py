"""Which stored units are in a number, and as what: the evaluation's answer, one unit at a time.

The evaluation computes over arrays; here every unit is judged by itself, so that it can be listed. That both agree
is a law with a test of its own.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from collector.store import ObservationStore, Series
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Outcome, Reason
from slo_engine.reading import Group
from slo_engine.sampling import SampledUnits
from slo_engine.units import ALL_TIME, CODES, SHARED_FOR, Rows

NARROW = ("unit", "at", "outcome", "reason", "matures_at", "value", "part_1", "part_2", "part_3", "part_4")
"""The columns of a unit that say how it counts."""


class Role(StrEnum):
    """What a unit is in the number: which of the listed ones are added up, and where."""

    NUMERATOR = "numerator"
    """Counted in numerator and denominator of a ratio."""
    DENOMINATOR = "denominator"
    """Counted in the denominator of a ratio only."""
    VALUE = "value"
    """Its value is one of those the quantiles are taken of."""
    COUNT = "count"
    """Counted, then divided by the days of the window."""
    GIVEN = "given"
    """One of those that the indicator's own arithmetic is given; what it makes of each is told in the definition."""
    NONE = ""
    """Not in the number: pending or left out."""


class Judgement(NamedTuple):
    """How a unit counts at a time."""

    outcome: str
    reason: str
    role: Role


@dataclass(frozen=True)
class UnitJudge:
    """Judges the units of an indicator, and of one of its dimensions where told, at a time in microseconds."""

    indicator: Indicator
    dimension: str
    now: int

    def is_gone(self, outcome: str, matures_at: int | None) -> bool:
        """Whether a unit was only ever pending, and has matured: another observation has taken its place."""
        return outcome == Outcome.PENDING and matures_at is not None and matures_at <= self.now

    def __call__(self, series: Series, row: Sequence[Any]) -> Judgement:
        """How a unit of a series counts; `row` holds its NARROW columns."""
        _, _, outcome, reason, matures_at, *values = row
        if outcome != Outcome.EXCLUDED and matures_at is not None and matures_at > self.now:
            outcome = Outcome.PENDING.value
        duration = self.indicator.shape is Shape.DURATION
        if duration and outcome == Outcome.MEASURED and values[self.indicator.column()] is None:
            outcome, reason = Outcome.EXCLUDED.value, reason or Reason.MISSING_TIME.value
        role = self._role(series.dimension, outcome, values)
        return Judgement(outcome, reason if outcome == Outcome.EXCLUDED else "", role)

    def _role(self, dimension: str, outcome: str, values: Sequence[float | None]) -> Role:
        if self.indicator.shape is Shape.MEASURE:
            return Role.GIVEN
        if self.indicator.shape is Shape.RATIO:
            if outcome == self.indicator.share_of:
                return Role.NUMERATOR
            return Role.DENOMINATOR if outcome in {Outcome.GOOD, Outcome.BAD} else Role.NONE
        if self.indicator.shape is Shape.DURATION:
            known = not self.dimension or values[self.indicator.column(self.dimension)] is not None
            return Role.VALUE if outcome == Outcome.MEASURED and known else Role.NONE
        counted = not self.indicator.dimensions or dimension == self.indicator.dimensions[0]
        return Role.COUNT if counted and outcome in {Outcome.MEASURED, Outcome.GOOD} else Role.NONE


@dataclass
class Tally:
    """Units added up: how many of each role, outcome and reason, and the values by part."""

    roles: Counter[Role] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    values: dict[str, array[float]] = field(default_factory=dict)

    def add(self, indicator: Indicator, judged: Judgement, values: Sequence[float | None]) -> None:
        """Add a unit; `values` are its value and its parts."""
        self.roles[judged.role] += 1
        self.outcomes[judged.outcome] += 1
        if judged.reason:
            self.reasons[judged.reason] += 1
        if indicator.shape is Shape.DURATION and judged.outcome == Outcome.MEASURED:
            for part in ("", *indicator.dimensions):
                value = values[indicator.column(part)]
                if value is not None:
                    self.values.setdefault(part, array("d")).append(value)


@dataclass
class Counted:
    """The units of some groups in a span: added up by group, with their times (microseconds) in no order.

    `given`: of an indicator with an arithmetic of its own, the units of each group as it is given them. `elsewhere`:
    units of the span that are not listed, as (series, time, unit), because a level of teams counts a unit that reached
    several of its services once.
    """

    tallies: dict[Group, Tally] = field(default_factory=dict)
    given: dict[Group, SampledUnits] = field(default_factory=dict)
    times: array[int] = field(default_factory=lambda: array("q"))
    elsewhere: set[tuple[int, int, str]] = field(default_factory=set)


def count(
    groups: Mapping[Group, Sequence[int]],
    series: Mapping[int, Series],
    store: ObservationStore,
    judge: UnitJudge,
    after: int,
) -> Counted:
    """The units of groups, given with the series of each that are asked for, after a time and up to the judge's now.

    The rows of one series are held at a time: a window of the whole organisation has millions.
    """
    found = Counted()
    if judge.indicator.shape is Shape.MEASURE:
        for group, numbers in groups.items():
            _give(found, group, {n: series[n] for n in numbers}, store, judge, after)
        return found
    for group, numbers in groups.items():
        tally = found.tallies[group] = Tally()
        once = group.pooled and len(numbers) > 1
        start = after - SHARED_FOR if once else after
        shared = _shared(store, numbers, start, judge.now) if once else frozenset()
        seen: dict[str, list[_Sighting]] = {}
        for sighting in _sightings({n: series[n] for n in numbers}, store, judge, start):
            if shared and hash(sighting.row[0]) in shared:
                seen.setdefault(sighting.row[0], []).append(sighting)
            elif sighting.at > after:
                _keep(found, tally, judge.indicator, sighting)
        for counts, sighting in _once(seen.values()):
            if sighting.at > after and counts:
                _keep(found, tally, judge.indicator, sighting)
            elif sighting.at > after:
                found.elsewhere.add((sighting.number, sighting.at, sighting.row[0]))
    return found


def _sightings(
    series: Mapping[int, Series], store: ObservationStore, judge: UnitJudge, after: int
) -> Iterator[_Sighting]:
    """The units that some series have after a time, without those that are gone."""
    for number, one in series.items():
        for row in store.window([number], after, judge.now, *NARROW):
            if not judge.is_gone(row[2], row[4]):
                yield _Sighting(number, row, judge(one, row))


def _give(
    found: Counted,
    group: Group,
    series: Mapping[int, Series],
    store: ObservationStore,
    judge: UnitJudge,
    after: int,
) -> None:
    """Have the units of a group as an indicator's own arithmetic is given them."""
    parts = [(one.dimension, _columns(_sightings({n: one}, store, judge, after))) for n, one in series.items()]
    found.given[group] = SampledUnits.of(parts)
    for _, rows in parts:
        found.times.frombytes(rows.at.tobytes())


def _columns(sightings: Iterable[_Sighting]) -> Rows:
    """The units of a series as arrays."""
    rows = [sighting.row for sighting in sightings]
    units, at, outcome, _, matures_at, value, *_ = zip(*rows, strict=True) if rows else ((),) * len(NARROW)
    return Rows(
        at=np.array(at, dtype=np.int64),
        values=np.array([[np.nan if v is None else v for v in value]], dtype=np.float64),
        outcome=np.array([CODES[Outcome(o)] for o in outcome], dtype=np.int16),
        reason=np.zeros(len(rows), dtype=np.int16),
        matures_at=np.array([ALL_TIME if m is None else m for m in matures_at], dtype=np.int64),
        unit=np.array([hash(u) for u in units], dtype=np.int64),
    )


class _Sighting(NamedTuple):
    """A unit as a series has it."""

    number: int
    row: tuple[Any, ...]
    judged: Judgement

    @property
    def at(self) -> int:
        """Its time in microseconds."""
        at: int = self.row[1]
        return at

    @property
    def order(self) -> tuple[bool, int, int]:
        """Used ones come before those that were left out, then the earlier one."""
        return self.judged.outcome == Outcome.EXCLUDED, self.at, self.number


def _keep(found: Counted, tally: Tally, indicator: Indicator, sighting: _Sighting) -> None:
    tally.add(indicator, sighting.judged, sighting.row[5:])
    found.times.append(sighting.at)


def _shared(store: ObservationStore, numbers: Iterable[int], after: int, until: int) -> frozenset[int]:
    """The hashes of the units that are in more than one place."""
    known = [np.array([hash(u) for (u,) in store.window([n], after, until, "unit")], dtype=np.int64) for n in numbers]
    hashes, counts = np.unique(np.concatenate([np.array([], dtype=np.int64), *known]), return_counts=True)
    return frozenset(hashes[counts > 1].tolist())


def _once(sightings: Iterable[list[_Sighting]]) -> Iterator[tuple[bool, _Sighting]]:
    """Each sighting, and whether it counts: not where it follows another of its unit within SHARED_FOR."""
    for several in sightings:
        before: _Sighting | None = None
        for sighting in sorted(several, key=lambda s: s.order):
            yield before is None or abs(sighting.at - before.at) > SHARED_FOR, sighting
            before = sighting
