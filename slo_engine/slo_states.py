"""SLOs at a time: exact counts in each window, budget, burn rates, status; and finished windows. definitions.md §6.

Times that are excluded count for neither side of the ratio; raw counts stand beside. What rests on a stale source is
withheld.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.store import Judge, Tally, from_micros, to_micros
from slo_engine import budget, burn
from slo_engine.exclusions import Exclusion, Slot, counted, excluded
from slo_engine.indicator import Indicator
from slo_engine.observation import Outcome
from slo_engine.reading import Group, Reader
from slo_engine.slices import sliced
from slo_engine.slo import Composite, EventCounts, IndicatorSli, Operator, Slo, SloStatus
from slo_engine.snapshot import SloState
from slo_engine.units import CODES, NEVER, Floats, Ints, Units
from slo_engine.windows import BURN_WINDOWS, INDICATOR_WINDOWS, CalendarWindow, Window

_MICROSECOND = timedelta(microseconds=1)
_EXHAUSTION_WINDOW = "3d"
_GOOD, _BAD, _MEASURED = (CODES[o] for o in (Outcome.GOOD, Outcome.BAD, Outcome.MEASURED))

AnyWindow = Window | CalendarWindow


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What an SLO's state depends on beside its units."""

    fresh: frozenset[str]
    """The sources whose numbers may be shown."""
    tiers: tuple[burn.Tier, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()


class Standing:
    """What an SLO makes of one series: good and bad in each window and since the beginning. Compared by identity.

    `raw` is the same with what was excluded; None where nothing can be.
    """

    __slots__ = ("counts", "first_at", "raw", "totals", "until")

    def __init__(
        self,
        counts: NDArray[np.float64],
        raw: NDArray[np.float64] | None,
        totals: EventCounts | None,
        first_at: int | None,
        until: int,
    ) -> None:
        self.counts = counts
        self.raw = raw
        self.totals = totals
        self.first_at = first_at
        self.until = until


def windows_of(slo: Slo) -> dict[str, AnyWindow]:
    """The windows that an SLO's events are counted in, by label."""
    return {w.label: w for w in (*BURN_WINDOWS, *INDICATOR_WINDOWS, slo.window)}


def state_of(slo: Slo, indicator: Indicator, reader: Reader, conditions: Conditions) -> SloState:
    """An SLO on an indicator at the reader's time."""
    pool = reader.pool(indicator, slo.service, slo.environment)
    reader.prepare(pool.series, _earliest(slo, reader.now))
    return state(
        slo,
        standings(slo, indicator, reader, pool, conditions),
        pool.sources - conditions.fresh,
        reader.now,
        conditions,
    )


def earliest(slos: Sequence[Slo], now: int) -> int:
    """The time after which the units of some SLOs are looked at."""
    return min((_earliest(slo, now) for slo in slos), default=now)


def _earliest(slo: Slo, now: int) -> int:
    return int(_afters(tuple(windows_of(slo).values()), now).min())


def _afters(windows: Sequence[AnyWindow], now: int) -> Ints:
    """For each window the time after which it begins."""
    at = from_micros(now)
    return np.array(
        [
            to_micros(w.bounds(at)[0]) - 1 if isinstance(w, CalendarWindow) else now - w.length // _MICROSECOND
            for w in windows
        ]
    )


def standings(slo: Slo, indicator: Indicator, reader: Reader, pool: Group, conditions: Conditions) -> list[Standing]:
    """What an SLO makes of each of its series, which are prepared; of all of them together where it counts slices."""
    column = None if slo.operator is None else indicator.column(slo.dimension)
    windows = tuple(windows_of(slo).values())
    about = tuple(e for e in conditions.exclusions if e.concerns(slo))
    slots = excluded(about, slo, _earliest(slo, reader.now), reader.now) if about else []
    if slo.budgeting != "occurrences":
        return [_of_slices(slo, reader.pooled(pool, column), reader.now, windows, slots if about else None)]
    judge = Judge()
    if slo.operator is not None:
        judge = Judge(f"part_{column}" if column else "value", slo.operator.value, slo.threshold or 0.0)
    known: dict[int, Standing] = reader.kept.setdefault((judge, windows, about), {})
    missing = [n for n in pool.series if n not in known or known[n].until <= reader.now]
    if missing:
        before = reader.columns.tallies(missing, judge)
        for number in missing:
            units = reader.units(number, column)
            known[number] = _standing(slo, units, reader.now, windows, before[number], slots if about else None)
    return [known[n] for n in pool.series]


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


def _standing(
    slo: Slo, units: Units, now: int, windows: Sequence[AnyWindow], before: Tally, slots: Sequence[Slot] | None
) -> Standing:
    """What an SLO makes of the units of a series, and of what the series had before them."""
    times, good = judged(slo, units)
    raw, until = _counted(times, good.astype(np.float64), now, windows)
    until = min(until, units.ripens_at)
    future = int(units.at.searchsorted(now, side="right"))
    if future < units.at.size:
        until = min(until, int(units.at[future]))
    end = int(times.searchsorted(now, side="right"))
    passed = int(np.count_nonzero(good[:end]))
    first = before.first_at if before.first_at is not None else int(times[0]) if end else None
    totals = EventCounts(before.good + passed, before.bad + end - passed)
    if slots is None:
        return Standing(raw, None, totals, first, until)
    kept = counted(times, slots)
    counts, _ = _counted(times[kept], good[kept].astype(np.float64), now, windows)
    return Standing(counts, raw, totals, first, until)


def _of_slices(
    slo: Slo, units: Units, now: int, windows: Sequence[AnyWindow], slots: Sequence[Slot] | None
) -> Standing:
    """What an SLO that counts slices of time makes of the units of all its series."""
    times, good = judged(slo, units)
    ends, shares = sliced(slo, times, good, now)
    raw, _ = _counted(ends, shares, now, windows)
    first = int(times[0]) if times.size else None
    if slots is None:
        return Standing(raw, None, None, first, now)
    kept = counted(times, slots)
    ends, shares = sliced(slo, times[kept], good[kept], now)
    return Standing(_counted(ends, shares, now, windows)[0], raw, None, first, now)


def _counted(
    times: Ints, good: NDArray[np.float64], now: int, windows: Sequence[AnyWindow]
) -> tuple[NDArray[np.float64], int]:
    """Good and bad in each window, and until when (exclusive) they stay so unless something new comes."""
    passed = np.concatenate([[0.0], np.cumsum(good)])
    afters = _afters(windows, now)
    starts = times.searchsorted(afters, side="right")
    end = int(times.searchsorted(now, side="right"))
    counts = np.stack([passed[end] - passed[starts], (end - starts).astype(np.float64)], axis=1)
    counts[:, 1] -= counts[:, 0]
    until = NEVER
    for window, after, start in zip(windows, afters.tolist(), starts.tolist(), strict=True):
        if isinstance(window, CalendarWindow):
            until = min(until, to_micros(window.bounds(from_micros(now))[1]))
        elif start < end:
            until = min(until, int(times[start]) + now - after)
    return counts, until


def state(
    slo: Slo, standings: Sequence[Standing], missing: frozenset[str], now: int, conditions: Conditions
) -> SloState:
    """An SLO from what it makes of each series, where some sources are missing."""
    at, labels = from_micros(now), list(windows_of(slo))
    counts = _pooled(labels, [s.counts for s in standings])
    whole = counts[slo.window.label]
    coverage = _covered(standings, slo.window, at)
    burns = {label: budget.burn_rate(c, slo.target) for label, c in counts.items()}
    burn_rates = {label: rate for label, rate in burns.items() if rate is not None}
    remaining = budget.remaining_ratio(whole, slo.target)
    alerting = burn.active(slo, counts, burn_rates, conditions.tiers)
    status, why = _status(slo, whole, coverage, sorted(missing), alerting=alerting)
    raw = [s.raw for s in standings if s.raw is not None]
    totals = [s.totals for s in standings if s.totals is not None]
    if missing:
        return withheld(slo, status, why, coverage, _summed(totals))
    return SloState(
        slo=slo,
        status=status,
        why=why,
        counts=counts,
        raw=_pooled(labels, raw) if raw else {},
        attainment=budget.attainment(whole),
        budget_remaining=remaining,
        budget_remaining_events=budget.remaining_events(whole, slo.target) if whole.total else None,
        sla_budget_remaining=budget.remaining_ratio(whole, slo.sla_target) if slo.sla_target is not None else None,
        burn_rates=burn_rates,
        time_to_exhaustion_seconds=budget.time_to_exhaustion(
            remaining, _exact(slo.window, at), burn_rates.get(_EXHAUSTION_WINDOW)
        ),
        coverage=coverage,
        totals=_summed(totals),
    )


def withheld(
    slo: Slo, status: SloStatus, why: str, coverage: float = 0.0, totals: EventCounts | None = None
) -> SloState:
    """An SLO of which nothing is said but its status and why."""
    return SloState(
        slo=slo,
        status=status,
        why=why,
        counts={},
        raw={},
        attainment=None,
        budget_remaining=None,
        budget_remaining_events=None,
        sla_budget_remaining=None,
        burn_rates={},
        time_to_exhaustion_seconds=None,
        coverage=coverage,
        totals=totals,
    )


def _summed(totals: Sequence[EventCounts]) -> EventCounts | None:
    """Counts together; None where there are none, as slices are not counted since the beginning."""
    return EventCounts(sum(t.good for t in totals), sum(t.bad for t in totals)) if totals else None


def _exact(window: AnyWindow, at: datetime) -> Window:
    """A window with its length; of the calendar's that of the one that holds a time, whatever the clocks do in it."""
    if isinstance(window, CalendarWindow):
        start, end = window.bounds(at)
        return Window(end - start, window.label)
    return window


def _pooled(labels: Sequence[str], counts: Sequence[NDArray[np.float64]]) -> dict[str, EventCounts]:
    if not counts:
        return {label: EventCounts() for label in labels}
    pooled = np.sum(counts, axis=0).tolist()
    return {label: EventCounts(_whole(good), _whole(bad)) for label, (good, bad) in zip(labels, pooled, strict=True)}


def _whole(count: float) -> int | Decimal:
    """A count; those of slices that are good in part stay fractions, free of what adding floats leaves."""
    near = round(count, 9)
    return int(near) if near.is_integer() else Decimal(repr(near))


def _covered(standings: Sequence[Standing], window: AnyWindow, at: datetime) -> float:
    """The share of the window so far in which units were known, from the first one on; 0 where none was."""
    first = min((s.first_at for s in standings if s.first_at is not None), default=None)
    if first is None:
        return 0.0
    begins = window.bounds(at)[0] if isinstance(window, CalendarWindow) else at - window.length
    known = at - max(from_micros(first), begins)
    return min(1.0, max(0.0, known / (at - begins))) if at > begins else 0.0


def _status(
    slo: Slo, counts: EventCounts, coverage: float, stale: Sequence[str], *, alerting: bool
) -> tuple[SloStatus, str]:
    """The status, and in words why it is not healthy."""
    unknown, label = SloStatus.INSUFFICIENT_DATA, slo.window.label
    if stale:
        return unknown, f"no recent success of {', '.join(stale)}"
    if counts.total < slo.minimum_events:
        return unknown, f"{budget.shown(counts.total)} events in {label}, at least {slo.minimum_events} are needed"
    if coverage < slo.minimum_coverage:
        return unknown, f"events are known for {coverage:.0%} of {label} only"
    return budget.status(slo, counts, alerting=alerting)


def is_counted(slo: Slo) -> bool:
    """Whether Paceline counts the SLO's events."""
    return isinstance(slo.sli, IndicatorSli)


# --- SLOs that are not counted here -----------------------------------------------------------------------


def states_of(
    slos: Sequence[Slo], indicators: Mapping[str, Indicator], reader: Reader, conditions: Conditions
) -> tuple[SloState, ...]:
    """The states of SLOs of all kinds, in their order."""
    counted = {s.name: state_of(s, indicators[s.indicator], reader, conditions) for s in slos if is_counted(s)}
    return with_others(slos, counted)


def with_others(slos: Sequence[Slo], counted: Mapping[str, SloState]) -> tuple[SloState, ...]:
    """The states of SLOs in their order, given those that are counted here; composites follow from their parts."""
    found = {slo.name: counted.get(slo.name) or _measured_elsewhere(slo) for slo in slos}
    return tuple(composite_state(s, found) if isinstance(s.sli, Composite) else found[s.name] for s in slos)


def _measured_elsewhere(slo: Slo) -> SloState:
    """An SLO that Prometheus measures: its rules know its state, Paceline its definition."""
    return withheld(slo, SloStatus.INSUFFICIENT_DATA, "measured by Prometheus, whose rules know its state")


def composite_state(slo: Slo, parts: Mapping[str, SloState]) -> SloState:
    """A composite from the states of its parts, by name: its burn rate is the mean of theirs by weight.

    A part without events in a window has no burn rate there, and no weight.
    """
    assert isinstance(slo.sli, Composite)  # noqa: S101 - the caller asks for composites
    own = [(parts[p.slo], p.weight) for p in slo.sli.parts]
    for part, _ in own:
        if part.status is SloStatus.INSUFFICIENT_DATA:
            return withheld(slo, part.status, f"{part.slo.name}: {part.why}")
    rates: dict[str, float] = {}
    for label in windows_of(slo):
        known = [(s.burn_rates[label], float(w)) for s, w in own if label in s.burn_rates]
        if known:
            rates[label] = sum(rate * weight for rate, weight in known) / sum(weight for _, weight in known)
    spent = rates.get(slo.window.label)
    if spent is None:
        return withheld(slo, SloStatus.INSUFFICIENT_DATA, f"its parts have no events in {slo.window.label}")
    remaining = 1 - spent
    status, why = budget.status_of(Decimal(remaining), alerting=False)
    return SloState(
        slo=slo,
        status=status,
        why=why,
        counts={},
        raw={},
        attainment=1 - spent * float(1 - slo.target),
        budget_remaining=remaining,
        budget_remaining_events=None,
        sla_budget_remaining=None,
        burn_rates=rates,
        time_to_exhaustion_seconds=budget.time_to_exhaustion(remaining, slo.window, rates.get(_EXHAUSTION_WINDOW)),
        coverage=min(s.coverage for s, _ in own),
        totals=None,
    )


# --- windows that are over --------------------------------------------------------------------------------


class Finished(NamedTuple):
    """A window that is over: its bounds in UTC, what was counted in it, and whether the target was met.

    `met` is None where too few events were counted or too little of the window is known to say.
    """

    start: datetime
    end: datetime
    counts: EventCounts
    raw: EventCounts | None
    attainment: float | None
    budget_remaining: float | None
    met: bool | None
    why: str


def finished(
    slo: Slo, indicator: Indicator, reader: Reader, conditions: Conditions, zone: str, most: int = 13
) -> list[Finished]:
    """The last finished windows of an SLO on an indicator, newest first.

    Those of its own calendar window; for a rolling one the calendar months of a zone: "did we meet March?"
    """
    calendar = slo.window if isinstance(slo.window, CalendarWindow) else CalendarWindow("month", zone=zone)
    bounds = list(islice(_before(calendar, from_micros(reader.now)), most))
    pool = reader.pool(indicator, slo.service, slo.environment)
    reader.prepare(pool.series, to_micros(bounds[-1][0]) - 1)
    column = None if slo.operator is None else indicator.column(slo.dimension)
    about = tuple(e for e in conditions.exclusions if e.concerns(slo))
    units = reader.pooled(pool, column)
    return [_finished(slo, units, start, end, about, sorted(pool.sources - conditions.fresh)) for start, end in bounds]


def _before(window: CalendarWindow, at: datetime) -> Iterator[tuple[datetime, datetime]]:
    start, _ = window.bounds(at)
    while True:
        start, end = window.before(start)
        yield start, end


def _finished(
    slo: Slo, units: Units, start: datetime, end: datetime, about: Sequence[Exclusion], stale: Sequence[str]
) -> Finished:
    after, until = to_micros(start) - 1, to_micros(end) - 1
    times, good = judged(slo, units)
    inside = (times > after) & (times <= until)
    raw = _in_all(slo, times[inside], good[inside], until + 1)
    counts = raw
    if about:
        kept = counted(times[inside], excluded(about, slo, after, until))
        counts = _in_all(slo, times[inside][kept], good[inside][kept], until + 1)
    known_from = from_micros(int(times[0])) if times.size else end
    coverage = min(1.0, max(0.0, (end - max(known_from, start)) / (end - start)))
    status, why = _status(slo, counts, coverage, stale, alerting=False)
    unknown = status is SloStatus.INSUFFICIENT_DATA
    remaining = budget.remaining_ratio(counts, slo.target)
    return Finished(
        start=start,
        end=end,
        counts=counts,
        raw=raw if about else None,
        attainment=budget.attainment(counts),
        budget_remaining=remaining,
        met=None if unknown or remaining is None else remaining >= 0,
        why=why if unknown else "",
    )


def _in_all(slo: Slo, times: Ints, good: NDArray[np.bool_], until: int) -> EventCounts:
    if slo.budgeting == "occurrences":
        passed = int(np.count_nonzero(good))
        return EventCounts(passed, times.size - passed)
    ends, shares = sliced(slo, times, good, until)
    total = float(shares.sum())
    return EventCounts(_whole(total), _whole(ends.size - total))
