"""Observations, windows and subjects → a frozen Snapshot. Reads the store; judges nothing by the wall clock.

A number is withheld, not repeated, while a source it rests on is stale; a window without units has no number. What did
not change since the evaluation before is the same object as then: no unit entered, left or matured.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.bulk import seldom_collecting
from collector.store import Judge, ObservationStore, Series, Tally, to_micros
from slo_engine import budget, burn
from slo_engine.benchmarks import QUICK_CHECK, quick_check
from slo_engine.catalog import QUANTILES
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Outcome, Reason, Subject
from slo_engine.organisation import Organisation, levels
from slo_engine.slo import EventCounts, Operator, Slo, SloStatus
from slo_engine.snapshot import Accounting, Number, Part, SloState, Snapshot, SourceState
from slo_engine.statistics import ordered_interval, ordered_quantiles, wilson
from slo_engine.units import CODES, NEVER, SHARED_FOR, Columns, Floats, Ints, Pool, Units, units_of
from slo_engine.windows import BURN_WINDOWS, INDICATOR_WINDOWS, Window

_MICROSECOND = timedelta(microseconds=1)
_EXHAUSTION_WINDOW = "3d"
_GOOD, _BAD, _MEASURED, _PENDING, _EXCLUDED = (
    CODES[o] for o in (Outcome.GOOD, Outcome.BAD, Outcome.MEASURED, Outcome.PENDING, Outcome.EXCLUDED)
)
_SCORED_WINDOWS = frozenset({"28d", "90d"})
_SCORED_STATS = ("p50", "per_day", "value")

OUT_OF_SCOPE = frozenset({Reason.NOT_SUCCESSFUL.value, Reason.CANCELLED.value, Reason.SKIPPED.value})
"""Units that the indicator does not ask about: they are counted, but do not lower its coverage."""


@dataclass(frozen=True)
class Span:
    """A stretch of time after `after` and up to `until`, in microseconds, with the label it has everywhere."""

    after: int
    until: int
    label: str

    @property
    def days(self) -> float:
        """Length in days of 24 hours."""
        return (self.until - self.after) / 86_400e6


def rolling(windows: Iterable[Window], at: datetime) -> list[Span]:
    """The spans of rolling windows that end at a time."""
    end = to_micros(at)
    return [Span(to_micros(at - w.length), end, w.label) for w in windows]


def subject_of(series: Series, organisation: Organisation | None = None) -> Subject:
    """Whom a series is about: with the team that the organisation gives its service, where it has none of its own."""
    team = series.team or (organisation.team(series.service) if organisation else "")
    return Subject(series.service, series.environment, team)


def _whereabouts(series: Series) -> tuple[str, str]:
    """Where units of several services can be the same: in one indicator and environment."""
    return series.indicator, series.environment


@dataclass(frozen=True, eq=False)
class Group:
    """The series behind the numbers of a subject, by dimension. A level pools those of all its services."""

    subject: Subject
    by_dimension: Mapping[str, Sequence[int]]
    series: tuple[int, ...]
    sources: frozenset[str]
    pooled: bool = False
    pools: dict[str | None, Pool] = field(default_factory=dict)
    """The rows of a level once they were asked for, of all its series or of one dimension: several indicators read
    the same ones, and the level goes on with them when a series comes or goes."""


_SUBJECT = attrgetter("subject")


def _toggle(ordered: list[int], number: int) -> None:
    """Put a number into an ordered list, or take it out where it is in."""
    place = bisect_left(ordered, number)
    if place < len(ordered) and ordered[place] == number:
        del ordered[place]
    else:
        ordered.insert(place, number)


class Standing:
    """What an SLO makes of one series: good and bad in each window and since the beginning. Compared by identity."""

    __slots__ = ("counts", "first_at", "totals", "until")

    def __init__(self, counts: Ints, totals: EventCounts, first_at: int | None, until: int) -> None:
        self.counts = counts
        self.totals = totals
        self.first_at = first_at
        self.until = until


class Reader:
    """The units of the store's series at a time. What was read is kept, so that a later time costs what changed.

    With an organisation a service's numbers carry its team, and each level of teams has numbers of its own.
    """

    def __init__(self, store: ObservationStore, at: datetime, organisation: Organisation | None = None) -> None:
        self._store = store
        self.now = to_micros(at)
        self._organisation = organisation or Organisation()
        self._start_anew()

    def _start_anew(self) -> None:
        self.columns = Columns(self._store)
        self._series = self._store.series()
        self._standings: dict[tuple[Judge, tuple[int, ...]], dict[int, Standing]] = {}
        self._totals: dict[int, tuple[int, int]] = {}
        self._histograms: dict[tuple[Any, ...], dict[int, tuple[Ints, int]]] = {}
        self._sharing: dict[tuple[str, str], set[int]] = {}
        self._pools: dict[tuple[str, str, str], Group] = {}
        self._of_service: dict[tuple[str, str], list[int]] = {}
        self._groups: dict[str, list[Group]] = {}
        self._regroup()

    def _regroup(self) -> None:
        """Sort all series anew; groups that stay as they are stay the same objects."""
        self.has_levels = any(s.team for s in self._organisation.services)
        self._pools, self._of_service = {}, {}
        for number, series in sorted(self._series.items()):
            for service in {"", series.service}:
                self._of_service.setdefault((series.indicator, service), []).append(number)
        for name in {s.indicator for s in self._series.values()} | set(self._groups):
            before = {g.subject: g for g in self._groups.get(name, ())}
            self._groups[name] = self._grouped(self._of_service.get((name, ""), ()), before)

    def _exchange(self, gone: Mapping[int, Series], fresh: Mapping[int, Series]) -> None:
        """Take some series out and put others in: only the groups that they belong to are made anew."""
        news: dict[tuple[str, Subject], dict[str, list[int]]] = {}
        places: set[tuple[str, str]] = set()
        for number, series in (*gone.items(), *fresh.items()):
            for service in {"", series.service}:
                places.add((series.indicator, service))
                _toggle(self._of_service.setdefault((series.indicator, service), []), number)
            for one in self._whose(series):
                news.setdefault((series.indicator, one), {}).setdefault(series.dimension, []).append(number)
        self._pools = {key: pool for key, pool in self._pools.items() if key[:2] not in places}
        for (name, subject), numbers in news.items():
            groups = self._groups.setdefault(name, [])
            place = bisect_left(groups, subject, key=_SUBJECT)
            known = groups[place] if place < len(groups) and groups[place].subject == subject else None
            groups[place : place + (known is not None)] = self._exchanged(subject, known, numbers)

    def _exchanged(self, subject: Subject, known: Group | None, news: Mapping[str, Sequence[int]]) -> list[Group]:
        """A group with some series more or less; none where none is left."""
        held = {} if known is None else dict(known.by_dimension)
        for dimension, numbers in news.items():
            ids = list(held.get(dimension, ()))
            for number in numbers:
                _toggle(ids, number)
            held[dimension] = ids
        # Dimensions stand in the order of their first series, as when all are sorted anew.
        by_dimension = dict(sorted(((d, ids) for d, ids in held.items() if ids), key=lambda item: item[1][0]))
        pooled = any(subject in self._above(self._series[n]) for ids in by_dimension.values() for n in ids)
        return [self._group(subject, by_dimension, known, pooled=pooled)] if by_dimension else []

    def _group(
        self, subject: Subject, by_dimension: Mapping[str, Sequence[int]], known: Group | None, *, pooled: bool
    ) -> Group:
        """The group of some series: the known one where that has the same."""
        series = tuple(chain.from_iterable(by_dimension.values()))
        if known is not None and known.series == series and known.pooled == pooled:
            return known
        pools = known.pools if known is not None and pooled else {}
        return Group(subject, by_dimension, series, frozenset(self.sources(series)), pooled, pools)

    def _above(self, series: Series) -> set[Subject]:
        """The levels that pool a series."""
        subject = subject_of(series, self._organisation)
        return {Subject("", subject.environment, one) for one in levels(subject.team)} if self.has_levels else set()

    def _whose(self, series: Series) -> set[Subject]:
        """All that a series is counted for."""
        return {subject_of(series, self._organisation), *self._above(series)}

    def _groups_of(self, series: Series) -> Iterator[Group]:
        """The groups that a series is in."""
        groups = self._groups.get(series.indicator, [])
        return (groups[bisect_left(groups, one, key=_SUBJECT)] for one in self._whose(series))

    def turn(self, at: datetime, changes: Mapping[int, int], organisation: Organisation) -> set[Group]:
        """Go on to a later time; the groups that changed by then. Going back forgets everything.

        `changes`: for each series that changed, the earliest time (microseconds) where it did.
        """
        now, before = to_micros(at), self.now
        moved = organisation.services != self._organisation.services
        self.now, self._organisation = now, organisation
        if now < before:
            self._start_anew()
            return {g for groups in self._groups.values() for g in groups}
        for number, first in changes.items():
            self.columns.forget(number, first)
            self._totals.pop(number, None)
            for standings in self._standings.values():
                standings.pop(number, None)
            for histograms in self._histograms.values():
                histograms.pop(number, None)
            if number in self._series:
                self._sharing.pop(_whereabouts(self._series[number]), None)
        gone, fresh = self._changed_series(changes)
        for number in changes:
            if number in self._series:
                self._sharing.pop(_whereabouts(self._series[number]), None)
        if moved:
            self._regroup()
        else:
            self._exchange(gone, fresh)
        return {g for n in changes if n in self._series for g in self._groups_of(self._series[n])}

    def _changed_series(self, changes: Mapping[int, int]) -> tuple[dict[int, Series], dict[int, Series]]:
        """The series that are gone, and those that are new."""
        if not changes:
            return {}, {}
        there = self._store.series(among=changes)
        gone = {n: self._series.pop(n) for n in changes if n not in there and n in self._series}
        fresh = {n: s for n, s in there.items() if n not in self._series}
        self._series |= fresh
        return gone, fresh

    def series(self, indicator: Indicator) -> Sequence[int]:
        """The series of an indicator."""
        return self._of_service.get((indicator.observed_as, ""), ())

    def groups(self, indicator: Indicator) -> Sequence[Group]:
        """The series of an indicator by subject, in the order of subjects: levels of teams come first."""
        return self._groups.get(indicator.observed_as, ())

    def pool(self, indicator: Indicator, service: str, environment: str) -> Group:
        """The series of an indicator that a service and an environment take in, where they are told."""
        key = (indicator.observed_as, service, environment)
        if key not in self._pools:
            ids = self._of_service.get((indicator.observed_as, service), ())
            series = tuple(n for n in ids if environment in ("", self._series[n].environment))
            subject = Subject(service, environment)
            self._pools[key] = Group(subject, {"": series}, series, frozenset(self.sources(series)))
        return self._pools[key]

    def _grouped(self, numbers: Sequence[int], before: Mapping[Subject, Group]) -> list[Group]:
        found: dict[Subject, dict[str, list[int]]] = {}
        pooled: set[Subject] = set()
        whose: dict[tuple[str, str, str], set[Subject]] = {}
        for number in numbers:
            series = self._series[number]
            place = series.service, series.environment, series.team
            if place not in whose:
                pooled |= self._above(series)
                whose[place] = self._whose(series)
            for one in whose[place]:
                found.setdefault(one, {}).setdefault(series.dimension, []).append(number)
        return [
            self._group(subject, by_dimension, before.get(subject), pooled=subject in pooled)
            for subject, by_dimension in sorted(found.items())
        ]

    def sources(self, numbers: Iterable[int]) -> set[str]:
        """The sources that some series rest on."""
        return {one for source in {self._series[n].source for n in numbers} for one in source.split("+")}

    def prepare(self, numbers: Iterable[int], after: int) -> None:
        """Have what some series hold after a time."""
        # A unit that two services share is looked for a little before the window.
        self.columns.prepare(numbers, after - SHARED_FOR if self.has_levels else after, self.now)

    def units(self, number: int, column: int | None = None) -> Units:
        """The units of a prepared series, with the column that judges them; see `units_of`."""
        return units_of(self.columns.rows(number), self.now, column, self.columns.missing_time)

    def pooled(
        self, group: Group, column: int | None = None, dimension: str | None = None, *, once: bool = False
    ) -> Units:
        """The units of a group whose series are prepared, or of one dimension; see `Pool.units`."""
        numbers = group.series if dimension is None else group.by_dimension.get(dimension, ())
        if len(numbers) == 1:
            return self.units(numbers[0], column)
        # What few series have is sooner put together than kept.
        pool = group.pools.setdefault(dimension, Pool()) if group.pooled else Pool()
        stamp = (self.columns.version, numbers)
        if pool.stamp[0] != stamp[0] or pool.stamp[1] is not numbers:
            pool.fill({n: self.columns.rows(n) for n in numbers})
            pool.stamp = stamp
        return pool.units(self.now, column, self.columns.missing_time, once=once)

    def histograms(self, numbers: Sequence[int], spans: Sequence[Span]) -> tuple[Ints, int]:
        """For each span the histogram of some prepared series, and until when (exclusive) these hold."""
        width = self.columns.width
        known = self._histograms.setdefault((width, *((s.after - self.now, s.until - self.now) for s in spans)), {})
        for number in numbers:
            if number not in known or known[number][1] <= self.now:
                units = self.units(number)
                cuts, until = _cuts(units, spans, self.now)
                known[number] = np.array([units.between(*cut).histogram(width) for cut in cuts]), until
        if not numbers:
            return np.zeros((len(spans), width), dtype=np.int64), NEVER
        found = [known[n] for n in numbers]
        pooled: Ints = found[0][0] if len(found) == 1 else np.sum([counts for counts, _ in found], axis=0)
        return pooled, min(until for _, until in found)

    def shares(self, indicator: Indicator, group: Group) -> bool:
        """True where services of one level and environment, whose series are prepared, have a unit in common."""
        if not group.pooled:
            return False
        place = indicator.observed_as, group.subject.environment
        sharing = self._sharing.get(place)
        if sharing is None:
            inside = [n for n in self.series(indicator) if _whereabouts(self._series[n]) == place]
            sharing = self._sharing[place] = self.columns.sharing(inside)
        return not sharing.isdisjoint(group.series)

    def count(self, numbers: Iterable[int]) -> None:
        """Have the totals of some prepared series: one question to the store for all that are not known."""
        missing = [n for n in numbers if n not in self._totals or self._totals[n][1] <= self.now]
        if missing:
            before = self.columns.tallies(missing, Judge())
            for number in missing:
                times = self.columns.rows(number).at
                end = int(times.searchsorted(self.now, side="right"))
                until = int(times[end]) if end < times.size else NEVER
                self._totals[number] = (before[number].units + end, until)

    def total(self, group: Group) -> Iterator[tuple[str, int]]:
        """For each dimension of a counted group how many units there ever were, whatever became of them."""
        for dimension, ids in group.by_dimension.items():
            yield dimension, sum(self._totals[n][0] for n in ids)

    def standings(self, slo: Slo, column: int | None, windows: Sequence[Window], ids: Sequence[int]) -> list[Standing]:
        """What an SLO makes of some prepared series."""
        lengths = tuple(w.length // _MICROSECOND for w in windows)
        judge = Judge()
        if slo.operator is not None:
            name = f"part_{column}" if column else "value"
            judge = Judge(name, slo.operator.value, slo.threshold or 0.0)
        known = self._standings.setdefault((judge, lengths), {})
        missing = [n for n in ids if n not in known or known[n].until <= self.now]
        if missing:
            before = self.columns.tallies(missing, judge)
            for number in missing:
                units = self.units(number, column)
                known[number] = _standing(slo, units, self.now, np.array(lengths), before[number])
        return [known[n] for n in ids]


# --- numbers of indicators -------------------------------------------------------------------------------


class Summary(NamedTuple):
    """The numbers of an indicator and a subject for each span, and until when (exclusive) they stay as they are."""

    until: int
    lengths: tuple[int, ...]
    held: tuple[Any, ...]
    """By span what its units are known by: while that is the same, so are its numbers."""
    numbers: tuple[tuple[Number, ...], ...]
    accounting: tuple[Accounting, ...]


def summarise(
    indicator: Indicator, reader: Reader, spans: Sequence[Span], fresh: set[str]
) -> Iterator[Number | Accounting]:
    """The numbers of an indicator for each subject and span, and what stands beside them."""
    groups = [g for g in reader.groups(indicator) if g.sources <= fresh]
    reader.prepare((n for g in groups for n in g.series), min((s.after for s in spans), default=reader.now))
    for group in groups:
        summary = _summary(indicator, group, reader, spans)
        for numbers, accounting in zip(summary.numbers, summary.accounting, strict=True):
            yield from numbers
            yield accounting


def _summary(
    indicator: Indicator, group: Group, reader: Reader, spans: Sequence[Span], before: Summary | None = None
) -> Summary:
    """The numbers of a group whose series are prepared. A span that holds the same units as before keeps its rows."""
    lengths = tuple(s.until - s.after for s in spans)
    if before is not None and before.lengths != lengths:
        before = None
    if indicator.shape is Shape.DURATION or reader.shares(indicator, group):
        return _of_units(indicator, group, reader, spans, before)
    everything, until = reader.histograms(group.series, spans)
    counted = everything
    if indicator.shape is Shape.FREQUENCY and indicator.dimensions:
        counted, _ = reader.histograms(group.by_dimension.get(indicator.dimensions[0], ()), spans)
    held = tuple((own.tobytes(), beside.tobytes()) for own, beside in zip(counted, everything, strict=True))
    numbers, accounting = [], []
    for index, span in enumerate(spans):
        if before is not None and before.held[index] == held[index]:
            numbers.append(before.numbers[index])
            accounting.append(before.accounting[index])
        else:
            numbers.append((_count(indicator, group.subject, counted[index], span),))
            accounting.append(_accounting(indicator, group.subject, everything[index], span, reader))
    return Summary(until, lengths, held, tuple(numbers), tuple(accounting))


def _of_units(
    indicator: Indicator, group: Group, reader: Reader, spans: Sequence[Span], before: Summary | None
) -> Summary:
    """The numbers of a group where values count, or where a unit of several series counts once."""
    duration = indicator.shape is Shape.DURATION
    once = reader.shares(indicator, group)
    units = counted = reader.pooled(group, indicator.column() if duration else None, once=once)
    if indicator.shape is Shape.FREQUENCY and indicator.dimensions:
        counted = reader.pooled(group, None, indicator.dimensions[0], once=once)
    cuts, until = _cuts(units, spans, reader.now)
    held = tuple((cut, units.pending) for cut in cuts)
    numbers, accounting = [], []
    for index, (span, cut) in enumerate(zip(spans, cuts, strict=True)):
        if before is not None and before.held[index] == held[index]:
            numbers.append(before.numbers[index])
            accounting.append(before.accounting[index])
            continue
        inside, width = units.between(*cut), reader.columns.width
        if duration:
            numbers.append(tuple(_durations(indicator, group.subject, inside, span)))
        else:
            own = counted.between(*counted.cut(span.after, min(span.until, reader.now)))
            numbers.append((_count(indicator, group.subject, own.histogram(width), span),))
        accounting.append(_accounting(indicator, group.subject, inside.histogram(width), span, reader))
    return Summary(until, tuple(s.until - s.after for s in spans), held, tuple(numbers), tuple(accounting))


def _cuts(units: Units, spans: Sequence[Span], now: int) -> tuple[list[tuple[int, int]], int]:
    """Where the spans begin and end among some units, and until when (exclusive) rolling ones hold the same."""
    cuts = [units.cut(s.after, min(s.until, now)) for s in spans]
    nexts = (_next(units.at, cut, s.until - s.after) for cut, s in zip(cuts, spans, strict=True))
    return cuts, min([units.ripens_at, *nexts])


def _next(times: Ints, cut: tuple[int, int], length: int) -> int:
    """When the first unit leaves a rolling window, or the next one enters."""
    start, end = cut
    leaves = int(times[start]) + length if start < end else NEVER
    enters = int(times[end]) if end < times.size else NEVER
    return min(leaves, enters)


def _durations(indicator: Indicator, subject: Subject, units: Units, span: Span) -> Iterator[Number]:
    """The duration of a subject and span and its parts: a part that no unit has is absent, not 0."""
    yield _duration(indicator, subject, "", units.measured(), span)
    for column, part in enumerate(indicator.dimensions, start=1):
        values = units.measured(column)
        if values.size:
            yield _duration(indicator, subject, part, values, span)


def _count(indicator: Indicator, subject: Subject, histogram: Ints, span: Span) -> Number:
    """The share or frequency of a subject and span: no units, no value, except that a count of nothing is a fact."""
    stats: dict[str, float] = {}
    if indicator.shape is Shape.RATIO:
        n = int(histogram[_GOOD] + histogram[_BAD])
        share = int(histogram[CODES[Outcome(indicator.share_of)]])
        interval = wilson(share, n)
        if interval:
            stats = {"value": share / n, "low": interval[0], "high": interval[1]}
    else:
        n = int(histogram[_MEASURED] + histogram[_GOOD])
        if n:
            stats = {"per_day": n / span.days}  # that nothing happened is the count's to say
    return Number(indicator=indicator.name, subject=subject, window=span.label, n=n, stats=stats)


def _duration(indicator: Indicator, subject: Subject, part: str, values: Floats, span: Span) -> Number:
    ordered = np.sort(values)
    stats = ordered_quantiles(ordered, QUANTILES)
    interval = ordered_interval(ordered)
    if interval:
        stats["low"], stats["high"] = interval
    return Number(
        indicator=indicator.name,
        subject=subject,
        window=span.label,
        dimension=part,
        n=ordered.size,
        stats=stats,
    )


def _accounting(indicator: Indicator, subject: Subject, histogram: Ints, span: Span, reader: Reader) -> Accounting:
    excluded = reader.columns.excluded(histogram) if histogram[_EXCLUDED + 1 :].any() else {}
    used = int(histogram[_GOOD] + histogram[_BAD] + histogram[_MEASURED])
    asked = used + sum(n for reason, n in excluded.items() if reason not in OUT_OF_SCOPE)
    return Accounting(
        indicator=indicator.name,
        subject=subject,
        window=span.label,
        pending=int(histogram[_PENDING]),
        excluded=excluded,
        coverage=used / asked if asked else None,
    )


# --- SLOs ------------------------------------------------------------------------------------------------


def judged(slo: Slo, units: Units) -> tuple[Ints, NDArray[np.bool_]]:
    """The times of an SLO's final units, and whether each was good."""
    if slo.operator is None:
        final = (units.outcome == _GOOD) | (units.outcome == _BAD)
        return units.at[final], units.outcome[final] == _GOOD
    final = units.outcome == _MEASURED
    return units.at[final], _compare(units.values[0, final], slo.operator, slo.threshold or 0.0)


def _compare(values: Floats, operator: Operator, threshold: float) -> NDArray[np.bool_]:
    compare = {
        Operator.LTE: np.less_equal,
        Operator.LT: np.less,
        Operator.GTE: np.greater_equal,
        Operator.GT: np.greater,
    }
    good: NDArray[np.bool_] = compare[operator](values, threshold)
    return good


def _standing(slo: Slo, units: Units, now: int, lengths: Ints, before: Tally) -> Standing:
    """What an SLO makes of the units of a series, and of what the series had before them."""
    times, good = judged(slo, units)
    passed = np.concatenate([[0], np.cumsum(good)])
    starts = times.searchsorted(now - lengths, side="right")
    end = int(times.searchsorted(now, side="right"))
    counts = np.stack([passed[end] - passed[starts], end - starts], axis=1)
    counts[:, 1] -= counts[:, 0]
    leaves = times[starts[starts < end]] + lengths[starts < end]
    future = int(units.at.searchsorted(now, side="right"))
    until = min(units.ripens_at, int(leaves.min()) if leaves.size else NEVER)
    if future < units.at.size:
        until = min(until, int(units.at[future]))
    first = before.first_at if before.first_at is not None else int(times[0]) if end else None
    all_good = int(passed[end])
    return Standing(counts, EventCounts(before.good + all_good, before.bad + end - all_good), first, until)


def windows_of(slo: Slo) -> dict[str, Window]:
    """The windows that an SLO's events are counted in, by label."""
    return {w.label: w for w in (*BURN_WINDOWS, *INDICATOR_WINDOWS, slo.window)}


def state_of(
    slo: Slo, indicator: Indicator, reader: Reader, fresh: set[str], at: datetime, tiers: Sequence[burn.Tier] = ()
) -> SloState:
    """An SLO at a time, the reader's: exact counts in each window, budget, burn rates, status."""
    pool = reader.pool(indicator, slo.service, slo.environment)
    reader.prepare(pool.series, reader.now - max(w.length for w in windows_of(slo).values()) // _MICROSECOND)
    return _state(slo, _standings(slo, indicator, reader, pool), pool.sources - fresh, at, tiers)


def _standings(slo: Slo, indicator: Indicator, reader: Reader, pool: Group) -> list[Standing]:
    """What an SLO makes of each of its series, which are prepared."""
    column = None if slo.operator is None else indicator.column(slo.dimension)
    return reader.standings(slo, column, list(windows_of(slo).values()), pool.series)


def _state(
    slo: Slo, standings: Sequence[Standing], missing: frozenset[str], at: datetime, tiers: Sequence[burn.Tier]
) -> SloState:
    """An SLO from what it makes of each series, where some sources are missing."""
    counts = _pooled(slo, standings)
    whole = counts[slo.window.label]
    coverage = _covered(standings, slo.window, at)
    burns = {label: budget.burn_rate(c, slo.target) for label, c in counts.items()}
    burn_rates = {label: rate for label, rate in burns.items() if rate is not None}
    remaining = budget.remaining_ratio(whole, slo.target)
    alerting = burn.active(slo, counts, burn_rates, tiers)
    status, why = _status(slo, whole, coverage, sorted(missing), alerting=alerting)
    usable = not missing
    return SloState(
        slo=slo,
        status=status,
        why=why,
        counts=counts if usable else {},
        attainment=budget.attainment(whole) if usable else None,
        budget_remaining=remaining if usable else None,
        budget_remaining_events=budget.remaining_events(whole, slo.target) if usable and whole.total else None,
        burn_rates=burn_rates if usable else {},
        time_to_exhaustion_seconds=(
            budget.time_to_exhaustion(remaining, slo.window, burn_rates.get(_EXHAUSTION_WINDOW)) if usable else None
        ),
        coverage=coverage,
        totals=EventCounts(sum(s.totals.good for s in standings), sum(s.totals.bad for s in standings)),
    )


def _pooled(slo: Slo, standings: Sequence[Standing]) -> dict[str, EventCounts]:
    labels = windows_of(slo)
    if not standings:
        return {label: EventCounts() for label in labels}
    pooled = np.sum([s.counts for s in standings], axis=0).tolist()
    return {label: EventCounts(good, bad) for label, (good, bad) in zip(labels, pooled, strict=True)}


def _covered(standings: Sequence[Standing], window: Window, at: datetime) -> float:
    """The share of the window since the first unit was seen; 0 where none was."""
    first = min((s.first_at for s in standings if s.first_at is not None), default=None)
    if first is None:
        return 0.0
    known = timedelta(microseconds=to_micros(at) - first)
    return min(1.0, known / window.length)


def _status(
    slo: Slo, counts: EventCounts, coverage: float, stale: Sequence[str], *, alerting: bool
) -> tuple[SloStatus, str]:
    """The status, and in words why it is not healthy."""
    unknown = SloStatus.INSUFFICIENT_DATA
    if stale:
        return unknown, f"no recent success of {', '.join(stale)}"
    if counts.total < slo.minimum_events:
        return (
            unknown,
            f"{counts.total} events in {slo.window.label}, at least {slo.minimum_events} are needed",
        )
    if coverage < slo.minimum_coverage:
        return unknown, f"events are known for {coverage:.0%} of {slo.window.label} only"
    return budget.status(slo, counts, alerting=alerting)


# --- the whole -------------------------------------------------------------------------------------------


class _Judged(NamedTuple):
    """An SLO's state with what it was made from."""

    slo: Slo
    standings: list[Standing]
    missing: frozenset[str]
    state: SloState


class Evaluator:
    """Evaluates one store again and again. What did not change costs a look, and stays the same object.

    One thread evaluates at a time; changes may be told from any.
    """

    def __init__(self, store: ObservationStore) -> None:
        self._store = store
        self._reader: Reader | None = None
        self._told: SimpleQueue[Mapping[int, int]] = SimpleQueue()
        self._summaries: dict[str, dict[Group, Summary]] = {}
        self._states: dict[str, _Judged] = {}
        self._parts: dict[tuple[str, Subject], tuple[Summary | None, Part]] = {}
        self._scores: dict[Subject, tuple[dict[str, Summary], dict[str, Mapping[str, float]]]] = {}
        self._scored_for: Organisation | None = None

    def apply(self, changes: Mapping[int, int]) -> None:
        """Hear which series changed since the last evaluation, and from what time on (microseconds)."""
        if changes:
            self._told.put(changes)

    def evaluate(  # noqa: PLR0913, PLR0917 - everything a snapshot depends on, and nothing else
        self,
        indicators: Mapping[str, Indicator],
        slos: Sequence[Slo],
        sources: Sequence[SourceState],
        at: datetime,
        tiers: Sequence[burn.Tier] = (),
        windows: Sequence[Window] = INDICATOR_WINDOWS,
        organisation: Organisation | None = None,
    ) -> Snapshot:
        """Everything that is known at a time, from the stored observations up to then."""
        with seldom_collecting():
            return self._evaluated(indicators, slos, sources, at, tiers, windows, organisation or Organisation())

    def _evaluated(  # noqa: PLR0913, PLR0917 - as evaluate
        self,
        indicators: Mapping[str, Indicator],
        slos: Sequence[Slo],
        sources: Sequence[SourceState],
        at: datetime,
        tiers: Sequence[burn.Tier],
        windows: Sequence[Window],
        organisation: Organisation,
    ) -> Snapshot:
        reader = self._turned(at, organisation)
        fresh = {s.name for s in sources if s.fresh}
        lengths = [w.length for w in windows] + [w.length for slo in slos for w in windows_of(slo).values()]
        reader.prepare(
            dict.fromkeys(n for i in indicators.values() for n in reader.series(i)),
            reader.now - max(lengths, default=timedelta()) // _MICROSECOND,
        )
        spans = rolling(windows, at)
        shown = {name: self._shown(indicator, reader, spans, fresh) for name, indicator in indicators.items()}
        return Snapshot.of(
            self._in_parts(shown, _totals(indicators, reader)),
            at=at,
            slos=tuple(self._state(slo, indicators[slo.indicator], reader, fresh, at, tiers) for slo in slos),
            sources=tuple(sources),
            services=organisation.services,
            scores=self._scored(shown, organisation),
        )

    def _turned(self, at: datetime, organisation: Organisation) -> Reader:
        """The reader at a time. What is remembered of groups that changed since is forgotten."""
        changes: dict[int, int] = {}
        while not self._told.empty():
            for number, first in self._told.get().items():
                changes[number] = min(first, changes.get(number, first))
        if self._reader is None:
            self._reader = Reader(self._store, at, organisation)
            return self._reader
        for group in self._reader.turn(at, changes, organisation):
            for known in self._summaries.values():
                known.pop(group, None)
        return self._reader

    def _shown(
        self, indicator: Indicator, reader: Reader, spans: Sequence[Span], fresh: set[str]
    ) -> dict[Group, Summary]:
        """The numbers of an indicator whose sources are fresh, by group."""
        known = self._summaries.get(indicator.name, {})
        lengths = tuple(s.until - s.after for s in spans)
        found = {}
        for group in reader.groups(indicator):
            before = known.get(group)
            if before is None or before.until <= reader.now or before.lengths != lengths:
                if not group.sources <= fresh:
                    continue
                before = known[group] = _summary(indicator, group, reader, spans, before)
            if group.sources <= fresh:
                found[group] = before
        self._summaries[indicator.name] = {g: known[g] for g in reader.groups(indicator) if g in known}
        return found

    def _in_parts(
        self,
        shown: Mapping[str, Mapping[Group, Summary]],
        totals: Mapping[tuple[str, Subject], tuple[tuple[str, float], ...]],
    ) -> list[Part]:
        """The parts of a snapshot: that of before where neither numbers nor totals changed."""
        wanted = {(name, group.subject): own for name, known in shown.items() for group, own in known.items()}
        before, self._parts = self._parts, {}
        for key in (*wanted, *(k for k in totals if k not in wanted)):
            summary, own = wanted.get(key), totals.get(key, ())
            known = before.get(key)
            if known is None or known[0] is not summary or known[1].totals != own:
                numbers = tuple(chain.from_iterable(summary.numbers)) if summary else ()
                known = summary, Part(*key, numbers, summary.accounting if summary else (), own)
            self._parts[key] = known
        return [part for _, part in self._parts.values()]

    def _state(
        self,
        slo: Slo,
        indicator: Indicator,
        reader: Reader,
        fresh: set[str],
        at: datetime,
        tiers: Sequence[burn.Tier],
    ) -> SloState:
        """The state of an SLO: that of before where all it was made from is the same."""
        pool = reader.pool(indicator, slo.service, slo.environment)
        standings, missing = _standings(slo, indicator, reader, pool), pool.sources - fresh
        before = self._states.get(slo.name)
        if (
            before is not None
            and before.state.coverage in {0.0, 1.0}  # in between it grows with time
            and (before.slo, before.missing, before.standings) == (slo, missing, standings)
        ):
            return before.state
        state = _state(slo, standings, missing, at, tiers)
        self._states[slo.name] = _Judged(slo, standings, missing, state)
        return state

    def _scored(
        self, shown: Mapping[str, Mapping[Group, Summary]], organisation: Organisation
    ) -> dict[tuple[Subject, str], Mapping[str, float]]:
        """The Quick Check scores of production in the windows that have them."""
        found: dict[Subject, dict[str, Summary]] = {}
        for name in QUICK_CHECK:
            for group, summary in shown.get(name, {}).items():
                found.setdefault(group.subject, {})[name] = summary
        before, self._scores = self._scores, {}
        if organisation != self._scored_for:
            before, self._scored_for = {}, organisation
        for subject, summaries in found.items():
            known = before.get(subject)
            if known is None or not _same(known[0], summaries):
                production = organisation.is_production(subject.service, subject.environment)
                known = summaries, _scores_by_window(summaries) if production else {}
            self._scores[subject] = known
        return {(subject, window): own for subject, (_, known) in self._scores.items() for window, own in known.items()}


def _same(some: Mapping[str, Summary], others: Mapping[str, Summary]) -> bool:
    """True where the summaries are the same objects."""
    return len(some) == len(others) and all(others.get(name) is summary for name, summary in some.items())


def _scores_by_window(summaries: Mapping[str, Summary]) -> dict[str, Mapping[str, float]]:
    """The scores of a subject in the windows that have them; nothing for a window without any."""
    found: dict[str, dict[str, Number]] = {}
    for name, summary in summaries.items():
        for rows in summary.numbers:
            if rows and rows[0].window in _SCORED_WINDOWS:
                found.setdefault(rows[0].window, {})[name] = rows[0]
    scores = {window: _scores(numbers) for window, numbers in found.items()}
    return {window: own for window, own in scores.items() if own}


def _scores(numbers: Mapping[str, Number]) -> dict[str, float]:
    """The scores of a subject's numbers by indicator, and their means; nothing for what has no value."""
    values = {
        name: next((number.stats[key] for key in _SCORED_STATS if number.stats.get(key, -1.0) >= 0), None)
        for name, number in numbers.items()
    }
    check = quick_check(values)
    means = {"throughput": check.throughput, "stability": check.stability, "overall": check.overall}
    return {**check.scores, **{kind: mean for kind, mean in means.items() if mean is not None}}


def _totals(
    indicators: Mapping[str, Indicator], reader: Reader
) -> dict[tuple[str, Subject], tuple[tuple[str, float], ...]]:
    """How many units of each dimension there ever were, whatever became of them.

    Levels have none: a counter is summed where it is asked for, and a service that moves would make it fall.
    """
    groups = [
        (indicator, group)
        for indicator in indicators.values()
        if indicator.shape is Shape.FREQUENCY
        for group in reader.groups(indicator)
        if not group.pooled
    ]
    reader.count(n for _, group in groups for n in group.series)
    return {
        (indicator.name, group.subject): tuple((dimension, float(total)) for dimension, total in reader.total(group))
        for indicator, group in groups
    }


def evaluate(  # noqa: PLR0913, PLR0917 - everything a snapshot depends on, and nothing else
    store: ObservationStore,
    indicators: Mapping[str, Indicator],
    slos: Sequence[Slo],
    sources: Sequence[SourceState],
    at: datetime,
    tiers: Sequence[burn.Tier] = (),
    windows: Sequence[Window] = INDICATOR_WINDOWS,
    organisation: Organisation | None = None,
) -> Snapshot:
    """Everything that is known at a time, from the stored observations up to then: once, with nothing remembered."""
    return Evaluator(store).evaluate(indicators, slos, sources, at, tiers, windows, organisation)
