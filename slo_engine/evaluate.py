"""Observations, windows and subjects → a frozen Snapshot. Reads the store; judges nothing by the wall clock.

A number is withheld, not repeated, while a source it rests on is stale; a window without units has no number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from collector.store import ObservationStore, Series, to_micros
from slo_engine import budget, burn
from slo_engine.catalog import QUANTILES
from slo_engine.indicator import MOST_PARTS, Indicator, Shape
from slo_engine.observation import Outcome, Reason, Subject
from slo_engine.slo import EventCounts, Operator, Slo, SloStatus
from slo_engine.snapshot import Accounting, Number, SloState, Snapshot, SourceState
from slo_engine.statistics import median_interval, quantiles, wilson
from slo_engine.windows import BURN_WINDOWS, INDICATOR_WINDOWS, Window

_ALL_TIME = -(2**62)
_COLUMNS = ("at", "value", "part_1", "part_2", "part_3", "part_4", "outcome", "reason", "matures_at")
_EXHAUSTION_WINDOW = "3d"

_OUTCOME = f"U{max(map(len, Outcome))}"
_REASON = f"U{max(map(len, Reason))}"

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


@dataclass(frozen=True)
class Units:
    """The units of one indicator, subject and dimension in columns, ordered by time."""

    at: NDArray[np.int64]
    values: NDArray[np.float64]
    """Rows of the value and its parts, NaN where unknown."""
    outcome: NDArray[np.str_]
    reason: NDArray[np.str_]

    @classmethod
    def of(cls, rows: Sequence[tuple[object, ...]], now: int, column: int | None = None) -> Units:
        """The units of some rows of _COLUMNS; where their value matters, `column` says which.

        What has not matured yet is pending; what was measured but lacks that value is excluded.
        """
        if not rows:
            empty = np.array([], dtype=np.str_)
            return cls(np.array([], dtype=np.int64), np.empty((0, 1 + MOST_PARTS)), empty, empty)
        at, *numbers, outcome, reason, matures = zip(*rows, strict=True)
        times = np.array(at, dtype=np.int64)
        order = np.argsort(times, kind="stable")
        outcomes = np.array(outcome, dtype=_OUTCOME)
        unripe = np.array([m is not None and m > now for m in matures])
        outcomes[unripe & (outcomes != Outcome.EXCLUDED)] = Outcome.PENDING
        values = np.array(numbers, dtype=np.float64).T  # None becomes NaN
        reasons = np.array(reason, dtype=_REASON)
        if column is not None:
            lacking = (outcomes == Outcome.MEASURED) & np.isnan(values[:, column])
            outcomes[lacking] = Outcome.EXCLUDED
            reasons[lacking & (reasons == "")] = Reason.MISSING_TIME
        if column:
            values = values[:, [column]]
        return cls(times[order], values[order], outcomes[order], reasons[order])

    def within(self, span: Span) -> Units:
        """The units of a span."""
        start, end = np.searchsorted(self.at, [span.after, span.until], side="right")
        return Units(self.at[start:end], self.values[start:end], self.outcome[start:end], self.reason[start:end])

    def where(self, chosen: NDArray[np.bool_]) -> Units:
        """Some of the units."""
        return Units(self.at[chosen], self.values[chosen], self.outcome[chosen], self.reason[chosen])

    def count(self, *outcomes: Outcome) -> int:
        """How many units have one of these outcomes."""
        return int(np.isin(self.outcome, [o.value for o in outcomes]).sum())

    def measured(self, column: int = 0) -> NDArray[np.float64]:
        """The values that were measured: of the whole, or of its n-th part."""
        values = self.values[:, column]
        found: NDArray[np.float64] = values[(self.outcome == Outcome.MEASURED.value) & ~np.isnan(values)]
        return found


class Reader:
    """Units from the store, each series read once per evaluation."""

    def __init__(self, store: ObservationStore, at: datetime) -> None:
        self._store = store
        self._now = to_micros(at)
        self._series = store.series()
        self._read: dict[tuple[int, int, int], list[tuple[object, ...]]] = {}

    def groups(self, indicator: Indicator) -> dict[tuple[Subject, str], list[int]]:
        """The series of an indicator by subject and dimension."""
        found: dict[tuple[Subject, str], list[int]] = {}
        for number, series in sorted(self._series.items()):
            if series.indicator == indicator.observed_as:
                found.setdefault((subject_of(series), series.dimension), []).append(number)
        return found

    def sources(self, numbers: Iterable[int]) -> set[str]:
        """The sources that some series rest on."""
        return {s for n in numbers for s in self._series[n].source.split("+")}

    def units(self, numbers: Sequence[int], column: int | None = None, after: int = _ALL_TIME) -> Units:
        """The units of some series after a time, up to the evaluation's."""
        last = self._now
        rows: list[tuple[object, ...]] = []
        for number in numbers:
            key = (number, after, last)
            if key not in self._read:
                self._read[key] = self._store.window([number], after, last, *_COLUMNS)
            rows.extend(self._read[key])
        return Units.of(rows, self._now, column)


def subject_of(series: Series) -> Subject:
    """The subject of a series."""
    return Subject(series.service, series.environment, series.team)


def evaluate(  # noqa: PLR0913, PLR0917 - everything a snapshot depends on, and nothing else
    store: ObservationStore,
    indicators: Mapping[str, Indicator],
    slos: Sequence[Slo],
    sources: Sequence[SourceState],
    at: datetime,
    tiers: Sequence[burn.Tier] = (),
    windows: Sequence[Window] = INDICATOR_WINDOWS,
) -> Snapshot:
    """Everything that is known at a time, from the stored observations up to then."""
    reader = Reader(store, at)
    fresh = {s.name for s in sources if s.fresh}
    numbers: list[Number] = []
    accounting: list[Accounting] = []
    totals: dict[tuple[str, Subject, str], float] = {}
    for indicator in indicators.values():
        for found in summarise(indicator, reader, rolling(windows, at), fresh):
            (numbers if isinstance(found, Number) else accounting).append(found)  # type: ignore[arg-type]
        if indicator.shape is Shape.FREQUENCY:
            totals |= _totals(indicator, reader)
    return Snapshot(
        at=at,
        numbers=tuple(numbers),
        accounting=tuple(accounting),
        slos=tuple(state_of(slo, indicators[slo.indicator], reader, fresh, at, tiers) for slo in slos),
        sources=tuple(sources),
        totals=totals,
    )


def summarise(
    indicator: Indicator, reader: Reader, spans: Sequence[Span], fresh: set[str]
) -> Iterator[Number | Accounting]:
    """The numbers of an indicator for each subject and span, and what stands beside them."""
    groups = reader.groups(indicator)
    subjects = sorted({subject for subject, _ in groups})
    earliest = min((s.after for s in spans), default=0)
    for subject in subjects:
        own = {dimension: ids for (who, dimension), ids in groups.items() if who == subject}
        if not reader.sources(n for ids in own.values() for n in ids) <= fresh:
            continue
        column = indicator.column() if indicator.shape is Shape.DURATION else None
        units = reader.units([n for ids in own.values() for n in ids], column, earliest)
        counted = units
        if indicator.shape is Shape.FREQUENCY and indicator.dimensions:
            counted = reader.units(own.get(indicator.dimensions[0], []), after=earliest)
        for span in spans:
            yield from _numbers(indicator, subject, counted.within(span), span)
            yield _accounting(indicator, subject, units.within(span), span)


def _numbers(indicator: Indicator, subject: Subject, units: Units, span: Span) -> Iterator[Number]:
    """The numbers of a subject and span: no units, no value, except that a count of nothing is a fact."""
    if indicator.shape is Shape.DURATION:
        yield _duration(indicator, subject, "", units.measured(), span)
        for column, part in enumerate(indicator.dimensions, start=1):
            values = units.measured(column)
            if values.size:  # a part that no unit has is absent, not 0
                yield _duration(indicator, subject, part, values, span)
        return
    if indicator.shape is Shape.RATIO:
        n = units.count(Outcome.GOOD, Outcome.BAD)
        share = units.count(Outcome(indicator.share_of))
        interval = wilson(share, n)
        stats = {"value": share / n, "low": interval[0], "high": interval[1]} if interval else {}
    else:
        n = units.count(Outcome.MEASURED, Outcome.GOOD)
        stats = {"per_day": n / span.days} if n else {}  # that nothing happened is the count's to say
    yield Number(indicator=indicator.name, subject=subject, window=span.label, n=n, stats=stats)


def _duration(indicator: Indicator, subject: Subject, part: str, values: NDArray[np.float64], span: Span) -> Number:
    stats = quantiles(values, QUANTILES)
    interval = median_interval(values)
    if interval:
        stats["low"], stats["high"] = interval
    return Number(
        indicator=indicator.name,
        subject=subject,
        window=span.label,
        dimension=part,
        n=int(values.size),
        stats=stats,
    )


def _accounting(indicator: Indicator, subject: Subject, units: Units, span: Span) -> Accounting:
    left_out = units.where(units.outcome == Outcome.EXCLUDED.value)
    reasons, counts = np.unique(left_out.reason, return_counts=True)
    excluded = {str(r): int(n) for r, n in zip(reasons, counts, strict=True)}
    used = units.count(Outcome.GOOD, Outcome.BAD, Outcome.MEASURED)
    asked = used + sum(n for reason, n in excluded.items() if reason not in OUT_OF_SCOPE)
    return Accounting(
        indicator=indicator.name,
        subject=subject,
        window=span.label,
        pending=units.count(Outcome.PENDING),
        excluded=excluded,
        coverage=used / asked if asked else None,
    )


def _totals(indicator: Indicator, reader: Reader) -> dict[tuple[str, Subject, str], float]:
    """How many units of each dimension there ever were, whatever became of them."""
    return {
        (indicator.name, subject, dimension): float(reader.units(ids).at.size)
        for (subject, dimension), ids in reader.groups(indicator).items()
    }


def judged(slo: Slo, units: Units) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The times of an SLO's final units, and whether each was good."""
    if slo.operator is None:
        final = np.isin(units.outcome, [Outcome.GOOD.value, Outcome.BAD.value])
        return units.at[final], units.outcome[final] == Outcome.GOOD.value
    final = units.outcome == Outcome.MEASURED.value
    return units.at[final], _compare(units.values[final, 0], slo.operator, slo.threshold or 0.0)


def _compare(values: NDArray[np.float64], operator: Operator, threshold: float) -> NDArray[np.bool_]:
    compare = {
        Operator.LTE: np.less_equal,
        Operator.LT: np.less,
        Operator.GTE: np.greater_equal,
        Operator.GT: np.greater,
    }
    good: NDArray[np.bool_] = compare[operator](values, threshold)
    return good


def series_of(slo: Slo, indicator: Indicator, reader: Reader) -> list[int]:
    """The series that an SLO counts: all subjects that its filters take in, pooled."""
    return [
        n
        for (subject, _), ids in reader.groups(indicator).items()
        if slo.service in ("", subject.service) and slo.environment in ("", subject.environment)
        for n in ids
    ]


def state_of(
    slo: Slo, indicator: Indicator, reader: Reader, fresh: set[str], at: datetime, tiers: Sequence[burn.Tier] = ()
) -> SloState:
    """An SLO at a time: exact counts in each window, budget, burn rates, status."""
    ids = series_of(slo, indicator, reader)
    column = None if slo.operator is None else indicator.column(slo.dimension)
    times, good = judged(slo, reader.units(ids, column))
    windows = {w.label: w for w in (*BURN_WINDOWS, *INDICATOR_WINDOWS, slo.window)}
    counts = {span.label: _counts(times, good, span) for span in rolling(windows.values(), at)}
    whole = counts[slo.window.label]
    coverage = _covered(times, slo.window, at)
    stale = sorted(reader.sources(ids) - fresh)
    burns = {label: budget.burn_rate(c, slo.target) for label, c in counts.items()}
    burn_rates = {label: rate for label, rate in burns.items() if rate is not None}
    remaining = budget.remaining_ratio(whole, slo.target)
    alerting = burn.active(slo, counts, burn_rates, tiers)
    status, why = _status(slo, whole, coverage, stale, alerting=alerting)
    usable = not stale
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
        totals=EventCounts(int(good.sum()), int((~good).sum())),
    )


def _counts(times: NDArray[np.int64], good: NDArray[np.bool_], span: Span) -> EventCounts:
    start, end = np.searchsorted(times, [span.after, span.until], side="right")
    passed = int(good[start:end].sum())
    return EventCounts(passed, int(end - start) - passed)


def _covered(times: NDArray[np.int64], window: Window, at: datetime) -> float:
    """The share of the window since the first unit was seen; 0 where none was."""
    if times.size == 0:
        return 0.0
    known = timedelta(microseconds=to_micros(at) - int(times[0]))
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
