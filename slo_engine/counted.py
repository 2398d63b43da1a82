"""Which stored units are in a number, and as what: the evaluation's answer, one unit at a time.

The evaluation computes over arrays; here every unit is judged by itself, so that it can be listed. That both agree
is a law with a test of its own.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
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

    def add(self, judged: Judgement, units: int = 1) -> None:
        """Add units that count in the same way."""
        self.roles[judged.role] += units
        self.outcomes[judged.outcome] += units
        if judged.reason:
            self.reasons[judged.reason] += units

    def add_values(self, indicator: Indicator, judged: Judgement, values: Sequence[float | None]) -> None:
        """Add the value of a unit of a duration, and its parts."""
        if indicator.shape is Shape.DURATION and judged.outcome == Outcome.MEASURED:
            for part in ("", *indicator.dimensions):
                value = values[indicator.column(part)]
                if value is not None:
                    self.values.setdefault(part, array("d")).append(value)


@dataclass
class Counted:
    """The units of some groups in a span, added up by group.

    `listed`: by series how many units are listed. `given`: of an indicator with an arithmetic of its own, the units of
    each group as it is given them. `elsewhere`: units of the span that are not listed, as (series, time, unit), because
    a level of teams counts a unit that reached several of its services once.
    """

    tallies: dict[Group, Tally] = field(default_factory=dict)
    given: dict[Group, SampledUnits] = field(default_factory=dict)
    listed: dict[int, int] = field(default_factory=dict)
    elsewhere: set[tuple[int, int, str]] = field(default_factory=set)

    @property
    def total(self) -> int:
        """How many units are listed."""
        return sum(self.listed.values())


def count(
    groups: Mapping[Group, Sequence[int]],
    series: Mapping[int, Series],
    store: ObservationStore,
    judge: UnitJudge,
    after: int,
) -> Counted:
    """The units of groups, given with the series of each that are asked for, after a time and up to the judge's now.

    Where no value counts, and no unit is in two places, the store counts those that are alike: there are millions.
    """
    found = Counted()
    for group, numbers in groups.items():
        own = {n: series[n] for n in numbers}
        if judge.indicator.shape is Shape.MEASURE:
            _give(found, group, own, store, judge, after)
            continue
        tally = found.tallies[group] = Tally()
        once = group.pooled and len(numbers) > 1
        shared = store.repeated(numbers, after - SHARED_FOR, judge.now) if once else set()
        if not shared and judge.indicator.shape is not Shape.DURATION:
            _add_alike(found, tally, own, store, judge, after)
        else:
            _add_each(found, tally, own, store, judge, after, shared)
    return found


def _add_alike(
    found: Counted, tally: Tally, series: Mapping[int, Series], store: ObservationStore, judge: UnitJudge, after: int
) -> None:
    """Add up units without values: all that are alike have one judgement."""
    listed: Counter[int] = Counter()
    for number, outcome, reason, matures_at, units in store.alike(series, after, judge.now, judge.now):
        if not judge.is_gone(outcome, matures_at):
            tally.add(judge(series[number], ("", 0, outcome, reason, matures_at)), units)
            listed[number] += units
    found.listed |= listed


def _add_each(  # noqa: PLR0913, PLR0917 - as `count`, and what is in two places
    found: Counted,
    tally: Tally,
    series: Mapping[int, Series],
    store: ObservationStore,
    judge: UnitJudge,
    after: int,
    shared: Collection[str],
) -> None:
    """Add up units one by one."""
    listed: Counter[int] = Counter()
    seen: dict[str, list[_Sighting]] = {}

    def keep(sighting: _Sighting) -> None:
        tally.add(sighting.judged)
        tally.add_values(judge.indicator, sighting.judged, sighting.row[5:])
        listed[sighting.number] += 1

    for sighting in _sightings(series, store, judge, after - SHARED_FOR if shared else after):
        if sighting.row[0] in shared:
            seen.setdefault(sighting.row[0], []).append(sighting)
        elif sighting.at > after:
            keep(sighting)
    for counts, sighting in _once(seen.values()):
        if sighting.at > after and counts:
            keep(sighting)
        elif sighting.at > after:
            found.elsewhere.add((sighting.number, sighting.at, sighting.row[0]))
    found.listed |= listed


def _sightings(
    series: Mapping[int, Series], store: ObservationStore, judge: UnitJudge, after: int
) -> Iterator[_Sighting]:
    """The units that some series have after a time, without those that are gone."""
    for number, *row in store.between(series, after, judge.now, *NARROW):
        if not judge.is_gone(row[2], row[4]):
            yield _Sighting(number, row, judge(series[number], row))


def _give(
    found: Counted,
    group: Group,
    series: Mapping[int, Series],
    store: ObservationStore,
    judge: UnitJudge,
    after: int,
) -> None:
    """Have the units of a group as an indicator's own arithmetic is given them."""
    known = {n: list(some) for n, some in groupby(_sightings(series, store, judge, after), lambda s: s.number)}
    parts = [(one.dimension, _columns(known.get(n, ()))) for n, one in series.items()]
    found.given[group] = SampledUnits.of(parts)
    found.listed |= {n: len(some) for n, some in known.items()}


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
    row: Sequence[Any]
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


def _once(sightings: Iterable[list[_Sighting]]) -> Iterator[tuple[bool, _Sighting]]:
    """Each sighting, and whether it counts: not where it follows another of its unit within SHARED_FOR."""
    for several in sightings:
        before: _Sighting | None = None
        for sighting in sorted(several, key=lambda s: s.order):
            yield before is None or abs(sighting.at - before.at) > SHARED_FOR, sighting
            before = sighting
