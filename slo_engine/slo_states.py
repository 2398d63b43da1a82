"""SLOs at a time: exact counts in each window, budget, burn rates, status; and finished windows. definitions.md §6.

Times that are excluded count for neither side of the ratio; raw counts stand beside. What rests on a stale source is
withheld.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.store import Judge, Tally, from_micros, to_micros
from slo_engine import budget, burn
from slo_engine.exclusions import Exclusion, Slot, counted, excluded
from slo_engine.indicator import Indicator
from slo_engine.observation import Outcome
from slo_engine.reading import Group, Reader
from slo_engine.slices import Slices, length_of, sliced, slices_over
from slo_engine.slo import Composite, EventCounts, IndicatorSli, Operator, Slo, SloStatus
from slo_engine.snapshot import SloState
from slo_engine.spenders import Names, names_of, spent
from slo_engine.units import CODES, NEVER, Floats, Ints, Units, side_by_side, units_of
from slo_engine.windows import BURN_WINDOWS, INDICATOR_WINDOWS, CalendarWindow, Window
from slo_engine.words import duration_text, so_many

_MICROSECOND = timedelta(microseconds=1)
_EXHAUSTION_WINDOW = "3d"
_GOOD, _BAD, _MEASURED = (CODES[o] for o in (Outcome.GOOD, Outcome.BAD, Outcome.MEASURED))
# From so many series on they are looked at together, and of so many at most: the rows of more fill no cache.
_MANY, _AT_ONCE = 8, 128

AnyWindow = Window | CalendarWindow
Windows = Mapping[str, AnyWindow]
"""Windows by label."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What an SLO's state depends on beside its units."""

    fresh: frozenset[str]
    """The sources whose numbers may be shown."""
    tiers: tuple[burn.Tier, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()


class Standing:
    """What an SLO makes of one series: good and bad in each window and since the beginning. Compared by identity.

    `raw` is the same with what was excluded; None where nothing can be. `slices`: of an SLO that counts slices of time,
    how many of its window are over and not wholly excluded. `unknown`: units of its window that are neither good nor
    bad because nobody knows.
    """

    __slots__ = ("counts", "first_at", "raw", "slices", "totals", "unknown", "until")

    def __init__(  # noqa: PLR0913 - what is known of a series
        self,
        counts: NDArray[np.float64],
        raw: NDArray[np.float64] | None,
        *,
        totals: EventCounts | None,
        first_at: int | None,
        until: int,
        slices: int | None = None,
        unknown: int = 0,
    ) -> None:
        self.unknown = unknown
        self.counts = counts
        self.raw = raw
        self.totals = totals
        self.first_at = first_at
        self.until = until
        self.slices = slices


class _Bounds(NamedTuple):
    """Where windows begin: each holds what is dated after its time up to now. `ends`: when the calendar turns.

    `own`: the place of the SLO's own window among them.
    """

    afters: Ints
    rolling: NDArray[np.bool_]
    ends: int
    own: int


def windows_of(slo: Slo) -> Windows:
    """The windows that an SLO's events are counted in, by label."""
    return {w.label: w for w in (*BURN_WINDOWS, *INDICATOR_WINDOWS, slo.window)}


def state_of(slo: Slo, indicator: Indicator, reader: Reader, conditions: Conditions) -> SloState:
    """An SLO on an indicator at the reader's time."""
    pool = reader.pool(indicator, slo.counted)
    reader.prepare(pool.series, looked_back(slo, reader.now))
    made_from = standings(slo, indicator, reader, pool, conditions)
    return stated(slo, indicator, reader, pool, made_from, conditions)


def stated(
    slo: Slo, indicator: Indicator, reader: Reader, pool: Group, made_from: Sequence[Standing], conditions: Conditions
) -> SloState:
    """An SLO on an indicator from what it makes of each series of its pool: what may be said of it."""
    series = names_of(slo, indicator, reader, pool)
    found = state(slo, made_from, pool.sources - conditions.fresh, reader.now, conditions, series)
    found = of_people(found, indicator, reader.organisation.smallest_group)
    return replace(found, sources=pool.sources, noun=_noun(slo, indicator))


def _noun(slo: Slo, indicator: Indicator) -> str:
    """What the events are called that an SLO counts: an indicator's units, or slices of time."""
    return indicator.noun if slo.slice is None else f"slices of {duration_text(slo.slice.total_seconds())}"


def earliest(slos: Sequence[Slo], now: int) -> int:
    """The time after which the units of some SLOs are looked at."""
    return min((looked_back(slo, now) for slo in slos), default=now)


def looked_back(slo: Slo, now: int, windows: Windows | None = None) -> int:
    """The slice in which the longest window begins is looked at from its start."""
    margin = 0 if slo.budgeting == "occurrences" else length_of(slo)
    return int(_bounds(slo, now, windows or windows_of(slo)).afters.min()) - margin


def _bounds(slo: Slo, now: int, windows: Windows) -> _Bounds:
    """The windows of an SLO at a time.

    A calendar window holds its first moment, but not the slice that ends there.
    """
    at, first = from_micros(now), 0 if slo.budgeting == "occurrences" else 1
    afters, ends = [], NEVER
    for window in windows.values():
        if isinstance(window, CalendarWindow):
            start, end = map(to_micros, window.bounds(at))
            afters.append(start - 1 + first)
            ends = min(ends, end)
        else:
            afters.append(now - window.length // _MICROSECOND)
    rolling = np.array([isinstance(w, Window) for w in windows.values()])
    return _Bounds(np.array(afters), rolling, ends, list(windows).index(slo.window.label))


def standings(slo: Slo, indicator: Indicator, reader: Reader, pool: Group, conditions: Conditions) -> list[Standing]:
    """What an SLO makes of each of its series, which are prepared; of all of them together where it counts slices."""
    about = tuple(e for e in conditions.exclusions if e.concerns(slo))
    judge, column = judge_of(slo, indicator)
    slices, windows = None if slo.budgeting == "occurrences" else slo.slice, windows_of(slo)
    known: dict[int, Any] = reader.kept.setdefault((judge, slo.window, slices, about), {})
    missing = [n for n in pool.series if n not in known or known[n].until <= reader.now]
    slots = excluded(about, slo, looked_back(slo, reader.now), reader.now) if about and (missing or slices) else None
    if slices:
        for number in missing:
            known[number] = _sliced(slo, reader.units(number, column), reader.now, slots)
        return [_of_slices(slo, [known[n] for n in pool.series], reader.now, slots, windows)]
    if missing:
        bounds, before = _bounds(slo, reader.now, windows), reader.columns.tallies(missing, judge)
        if len(missing) >= _MANY and slots is None:
            for start in range(0, len(missing), _AT_ONCE):
                known |= _together(slo, missing[start : start + _AT_ONCE], reader, column, bounds, before)
            missing = [n for n in missing if n not in known or known[n].until <= reader.now]
        for number in missing:
            units = reader.units(number, column)
            unknown = units.at[units.reason == reader.columns.unknown]
            known[number] = _standing(slo, units, unknown, reader.now, bounds, before[number], slots)
    return [known[n] for n in pool.series]


def judge_of(slo: Slo, indicator: Indicator) -> tuple[Judge, int | None]:
    """What makes a unit good, in the store's words, and the column that is compared; None where it says so itself."""
    if slo.operator is None:
        return Judge(), None
    column = indicator.column(slo.dimension)
    return Judge(f"part_{column}" if column else "value", slo.operator.value, slo.threshold or 0.0), column


def judged(slo: Slo, units: Units) -> tuple[Ints, NDArray[np.bool_]]:
    """The times of an SLO's final units, and whether each was good."""
    final = _final(slo, units)
    return units.at[final], _good(slo, units, final)


def _final(slo: Slo, units: Units) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = units.outcome == (_GOOD if slo.operator is None else _MEASURED)
    return found if slo.operator is not None else found | (units.outcome == _BAD)


def _good(slo: Slo, units: Units, final: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of an SLO's final units were good."""
    if slo.operator is None:
        found: NDArray[np.bool_] = units.outcome[final] == _GOOD
        return found
    return _compare(units.values[0, final], slo.operator, slo.threshold or 0.0)


def _compare(values: Floats, operator: Operator, threshold: float) -> NDArray[np.bool_]:
    compare = {
        Operator.LTE: np.less_equal,
        Operator.LT: np.less,
        Operator.GTE: np.greater_equal,
        Operator.GT: np.greater,
    }
    good: NDArray[np.bool_] = compare[operator](values, threshold)
    return good


def _standing(  # noqa: PLR0913, PLR0917 - a series, and all that it is judged by
    slo: Slo,
    units: Units,
    unknown: Ints,
    now: int,
    bounds: _Bounds,
    before: Tally,
    slots: Sequence[Slot] | None,
) -> Standing:
    """What an SLO makes of the units of a series, of those that are unknown, and of what the series had before them."""
    times, good = judged(slo, units)
    raw, until = _counted(times, good.astype(np.float64), now, bounds)
    until = min(until, units.ripens_at, _next_after(units, now))
    end = int(times.searchsorted(now, side="right"))
    passed = int(np.count_nonzero(good[:end]))
    first = before.first_at if before.first_at is not None else int(times[0]) if end else None
    totals = EventCounts(before.good + passed, before.bad + end - passed)
    unknown = unknown if slots is None else unknown[counted(unknown, slots)]
    missed = 0
    if unknown.size:  # hardly ever
        gaps, gaps_until = _counted(unknown, np.zeros(unknown.size), now, bounds)
        missed = int(gaps[bounds.own, 1])
        until = min(until, gaps_until)
    if slots is None:
        return Standing(raw, None, totals=totals, first_at=first, until=until, unknown=missed)
    kept = counted(times, slots)
    counts, _ = _counted(times[kept], good[kept].astype(np.float64), now, bounds)
    return Standing(counts, raw, totals=totals, first_at=first, until=until, unknown=missed)


def _together(
    slo: Slo, numbers: Sequence[int], reader: Reader, column: int | None, bounds: _Bounds, before: Mapping[int, Tally]
) -> dict[int, Standing]:
    """What an SLO makes of many prepared series, in one look; without those that have units nobody knows."""
    now, rows = reader.now, {n: reader.columns.rows(n) for n in numbers}
    plain = {n: own for n, own in rows.items() if not (own.reason == reader.columns.unknown).any()}
    if not plain:
        return {}
    whole, every = side_by_side(list(plain.values()), now)
    units = units_of(whole, now, column, reader.columns.missing_time)
    final = _final(slo, units)
    own = every.only(final)
    passed = np.concatenate([[0.0], np.cumsum(_good(slo, units, final).astype(np.float64))])
    edges = own.up_to(np.append(bounds.afters, now))
    starts, ends = edges[:, :-1], edges[:, -1]
    counts = np.stack([passed[ends, np.newaxis] - passed[starts], (ends[:, np.newaxis] - starts) * 1.0], axis=2)
    counts[:, :, 1] -= counts[:, :, 0]
    times = np.append(own.at, NEVER)
    leaving = bounds.rolling & (starts < ends[:, np.newaxis])
    nexts = np.where(leaving, times[starts] + (now - bounds.afters), NEVER).min(axis=1)
    nexts = np.minimum(nexts, every.least(whole.at, whole.at > now, NEVER))
    nexts = np.minimum(nexts, every.least(whole.matures_at, whole.unripe(now), NEVER))
    totals = (passed[ends] - passed[own.begins]).astype(np.int64).tolist()
    sizes, firsts = (ends - own.begins).tolist(), times[own.begins].tolist()
    found = {}
    for number, one, until, at, n, size in zip(plain, counts, nexts.tolist(), firsts, totals, sizes, strict=True):
        known = before[number]
        found[number] = Standing(
            one.copy(),
            None,
            totals=EventCounts(known.good + n, known.bad + size - n),
            first_at=known.first_at if known.first_at is not None else at if size else None,
            until=min(bounds.ends, until),
        )
    return found


class _Sliced(NamedTuple):
    """The slices of one series, with and without what is excluded, and until when (exclusive) they stay so."""

    raw: Slices
    kept: Slices
    until: int


def _sliced(slo: Slo, units: Units, now: int, slots: Sequence[Slot] | None) -> _Sliced:
    times, good = judged(slo, units)
    raw = adjusted = Slices.of(length_of(slo), times, good)
    if slots is not None:
        kept = counted(times, slots)
        adjusted = Slices.of(length_of(slo), times[kept], good[kept])
    return _Sliced(raw, adjusted, min(units.ripens_at, _next_after(units, now)))


def _next_after(units: Units, now: int) -> int:
    """When the next unit comes that lies in the future."""
    future = int(units.at.searchsorted(now, side="right"))
    return int(units.at[future]) if future < units.at.size else NEVER


def _of_slices(
    slo: Slo, series: Sequence[_Sliced], now: int, slots: Sequence[Slot] | None, windows: Windows
) -> Standing:
    """What an SLO that counts slices of time makes of all its series."""
    bounds = _bounds(slo, now, windows)
    over = slices_over(length_of(slo), int(bounds.afters[bounds.own]), now, slots or ())
    counts, _ = _counted(*Slices.pooled([s.kept for s in series]).judged(slo, now), now, bounds)
    raw = None
    if slots is not None:
        raw, _ = _counted(*Slices.pooled([s.raw for s in series]).judged(slo, now), now, bounds)
    return Standing(counts, raw, totals=None, first_at=None, until=now, slices=over)


def _counted(times: Ints, good: NDArray[np.float64], now: int, bounds: _Bounds) -> tuple[NDArray[np.float64], int]:
    """Good and bad in each window, and until when (exclusive) they stay so unless something new comes."""
    passed = np.concatenate([[0.0], np.cumsum(good)])
    starts = times.searchsorted(bounds.afters, side="right")
    end = int(times.searchsorted(now, side="right"))
    counts = np.stack([passed[end] - passed[starts], (end - starts).astype(np.float64)], axis=1)
    counts[:, 1] -= counts[:, 0]
    leaving = bounds.rolling & (starts < end)
    leaves = times[starts[leaving]] + (now - bounds.afters[leaving])
    return counts, min(bounds.ends, int(leaves.min()) if leaves.size else NEVER)


def state(  # noqa: PLR0913, PLR0917 - what is known of an SLO, and all that it is judged by
    slo: Slo,
    standings: Sequence[Standing],
    missing: frozenset[str],
    now: int,
    conditions: Conditions,
    series: Names | None = None,
    windows: Windows | None = None,
) -> SloState:
    """An SLO from what it makes of each series, where some sources are missing.

    `series`: how these are published, where it may be said which of them spent the budget. `windows`: those that were
    counted, all of an SLO unless told.
    """
    at, labels = from_micros(now), list(windows or windows_of(slo))
    by_series = _stacked(labels, [s.counts for s in standings])
    counts = _pooled(labels, by_series)
    whole = counts[slo.window.label]
    coverage = _covered(slo.window, standings, whole, at)
    burns = {label: budget.burn_rate(c, slo.target) for label, c in counts.items()}
    burn_rates = {label: rate for label, rate in burns.items() if rate is not None}
    remaining = budget.remaining_ratio(whole, slo.target)
    alerting = burn.active(slo, counts, burn_rates, conditions.tiers)
    status, why = _status(slo, slo.window.label, whole, coverage, sorted(missing), alerting=alerting)
    raw = [s.raw for s in standings if s.raw is not None]
    excludable = bool(raw) or (not standings and any(e.concerns(slo) for e in conditions.exclusions))
    totals = [s.totals for s in standings if s.totals is not None]
    if missing:
        return withheld(slo, status, why, coverage, _summed(totals))
    return SloState(
        slo=slo,
        status=status,
        why=why,
        counts=counts,
        raw=_pooled(labels, _stacked(labels, raw)) if excludable else {},
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
        spent=() if series is None else spent(slo, whole, series, by_series[:, labels.index(slo.window.label), 1]),
    )


def of_people(found: SloState, indicator: Indicator, smallest: int) -> SloState:
    """What may be said of an SLO's state where its units are people: nothing of few, and of its own window alone.

    Shorter windows, and what is counted since the beginning, would tell when each of them came.
    """
    label = found.slo.window.label
    if not indicator.people:
        return found
    if few := _few(indicator, found.counts.get(label, EventCounts()), smallest):
        return withheld(found.slo, SloStatus.INSUFFICIENT_DATA, few, found.coverage)
    return replace(
        found,
        counts={name: own for name, own in found.counts.items() if name == label},
        raw={name: own for name, own in found.raw.items() if name == label},
        burn_rates={name: own for name, own in found.burn_rates.items() if name == label},
        time_to_exhaustion_seconds=None,
        totals=None,
    )


def _few(indicator: Indicator, counts: EventCounts, smallest: int) -> str:
    """Why nothing is said of so many people; empty text where they are enough, or are none."""
    return f"fewer than {smallest} people" if indicator.people and 0 < counts.total < smallest else ""


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


def _stacked(labels: Sequence[str], counts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Good and bad of each series in each window: series, windows, two."""
    return np.concatenate([np.empty((0, 2)), *counts]).reshape(len(counts), len(labels), 2)


def _pooled(labels: Sequence[str], counts: NDArray[np.float64]) -> dict[str, EventCounts]:
    """The counts of all series together, by window."""
    pooled = counts.sum(axis=0).tolist()
    return {
        label: EventCounts(exact_count(good), exact_count(bad))
        for label, (good, bad) in zip(labels, pooled, strict=True)
    }


def exact_count(count: float) -> int | Decimal:
    """A count; those of slices that are good in part stay fractions, free of what adding floats leaves."""
    near = round(count, 9)
    return int(near) if near.is_integer() else Decimal(repr(near))


def _covered(window: AnyWindow, standings: Sequence[Standing], counts: EventCounts, at: datetime) -> float:
    """The share of the window so far in which units were known, from the first one on; 0 where none was.

    Of slices the share that has units: one without is unknown. Of units that are unknown themselves as well.
    """
    for standing in standings:
        if standing.slices is not None:
            return _share(counts, standing.slices)
    first = min((s.first_at for s in standings if s.first_at is not None), default=None)
    begins = window.bounds(at)[0] if isinstance(window, CalendarWindow) else at - window.length
    since = None if first is None else from_micros(first)
    return _known_units(counts, sum(s.unknown for s in standings)) * _known_share(since, begins, at)


def _known_units(counts: EventCounts, unknown: int) -> float:
    """The share of units of which it is known whether they were good."""
    return float(counts.total / (counts.total + unknown)) if unknown else 1.0


def _share(counts: EventCounts, slices: int) -> float:
    """The share of slices that has units."""
    return min(1.0, float(counts.total / slices)) if slices else 0.0


def _known_share(first: datetime | None, start: datetime, end: datetime) -> float:
    """The share of a stretch of time that follows the first unit."""
    if first is None or first > end:
        return 0.0
    return 1.0 if first <= start else (end - first) / (end - start)


def _status(
    slo: Slo, label: str, counts: EventCounts, coverage: float, stale: Sequence[str], *, alerting: bool
) -> tuple[SloStatus, str]:
    """The status in a window, and in words why it is not healthy."""
    unknown = SloStatus.INSUFFICIENT_DATA
    if stale:
        return unknown, f"no recent success of {', '.join(stale)}"
    if counts.total < slo.minimum_events:
        had = so_many(counts.total, "event", budget.shown(counts.total))
        return unknown, f"{had} in {label}, at least {slo.minimum_events} are needed"
    if coverage < slo.minimum_coverage:
        return unknown, f"events are known for {coverage:.0%} of {label} only"
    return budget.status(slo, counts, alerting=alerting)


def is_counted(slo: Slo) -> bool:
    """Whether Paceline counts the SLO's events."""
    return isinstance(slo.sli, IndicatorSli)


# --- what is known of all series together ------------------------------------------------------------------


def needed_windows(slos: Sequence[Slo]) -> dict[str, Windows]:
    """By SLO the windows that it takes to tell its budget, and those of the composites that it is a part of."""
    labels = {slo.name: {slo.window.label} for slo in slos}
    for slo in slos:
        if isinstance(slo.sli, Composite):
            for part in slo.sli.parts:
                labels.setdefault(part.slo, set()).add(slo.window.label)
    return {s.name: {label: w for label, w in windows_of(s).items() if label in labels[s.name]} for s in slos}


class Pooled(NamedTuple):
    """The units of all series of an SLO at a time, together, and when those are dated of which nobody knows.

    `first_at`: when the first final one was that lies before them; None where none does.
    """

    group: Group
    units: Units
    unknown: Ints
    first_at: int | None


def pooled_state(  # noqa: PLR0913, PLR0917 - an SLO, its units, and all that they are judged by
    slo: Slo, indicator: Indicator, own: Pooled, now: int, conditions: Conditions, windows: Windows, smallest: int
) -> SloState:
    """An SLO at a time in some windows from its units together: as `state_of`, but for totals and who spent."""
    about = tuple(e for e in conditions.exclusions if e.concerns(slo))
    slots = excluded(about, slo, looked_back(slo, now, windows), now) if about else None
    made: list[Standing] = []
    if slo.budgeting != "occurrences":
        made = [_of_slices(slo, [_sliced(slo, own.units, now, slots)], now, slots, windows)]
    elif own.group.series:
        before = Tally(0, 0, 0, own.first_at, ripens=False)
        made = [_standing(slo, own.units, own.unknown, now, _bounds(slo, now, windows), before, slots)]
    missing = own.group.sources - conditions.fresh
    found = of_people(state(slo, made, missing, now, conditions, windows=windows), indicator, smallest)
    return replace(found, totals=None, sources=own.group.sources, noun=_noun(slo, indicator))


# --- SLOs that are not counted here -----------------------------------------------------------------------


def states_of(
    slos: Sequence[Slo], indicators: Mapping[str, Indicator], reader: Reader, conditions: Conditions
) -> tuple[SloState, ...]:
    """The states of SLOs of all kinds, in their order."""
    own = [s for s in slos if is_counted(s)]
    pools = [reader.pool(indicators[s.indicator], s.counted) for s in own]
    reader.prepare(dict.fromkeys(n for pool in pools for n in pool.series), earliest(own, reader.now))
    counted = {s.name: state_of(s, indicators[s.indicator], reader, conditions) for s in own}
    return with_others(slos, counted, reader.now, conditions)


def with_others(
    slos: Sequence[Slo], counted: Mapping[str, SloState], now: int, conditions: Conditions
) -> tuple[SloState, ...]:
    """The states of SLOs in their order, given those that are counted here; composites follow from their parts."""
    found = {slo.name: counted.get(slo.name) or _measured_elsewhere(slo) for slo in slos}
    return tuple(
        replace(composite_state(s, found, now, conditions), sources=_sources_of(s.sli, found))
        if isinstance(s.sli, Composite)
        else found[s.name]
        for s in slos
    )


def _sources_of(sli: Composite, parts: Mapping[str, SloState]) -> frozenset[str]:
    """The sources of all parts of a composite; none where those of one are unknown."""
    own = [parts[part.slo].sources for part in sli.parts]
    return frozenset().union(*own) if all(own) else frozenset()


def _measured_elsewhere(slo: Slo) -> SloState:
    """An SLO that Prometheus measures: its rules know its state, Paceline its definition."""
    return withheld(slo, SloStatus.INSUFFICIENT_DATA, "measured by Prometheus, whose rules know its state")


def composite_state(slo: Slo, parts: Mapping[str, SloState], now: int, conditions: Conditions) -> SloState:
    """A composite from the states of its parts, by name: its burn rate is the mean of theirs by weight.

    A part without events in a window has no burn rate there, and no weight. Where the state of a part is unknown, the
    composite's is too.
    """
    assert isinstance(slo.sli, Composite)  # noqa: S101 - the caller asks for composites
    own = [(parts[p.slo], p.weight) for p in slo.sli.parts]
    for part, _ in own:
        if part.status is SloStatus.INSUFFICIENT_DATA:
            return withheld(slo, part.status, f"{part.slo.name}: {part.why}")
    exact = {label: rate for label in windows_of(slo) if (rate := _mean_burn(own, label)) is not None}
    spent = exact.get(slo.window.label)
    if spent is None:
        return withheld(slo, SloStatus.INSUFFICIENT_DATA, f"its parts have no events in {slo.window.label}")
    remaining, rates = float(1 - spent), {label: float(rate) for label, rate in exact.items()}
    alerting = burn.active(slo, _of_parts(own), rates, conditions.tiers)
    status, why = budget.status_of(_as_decimal(1 - spent), alerting=alerting)
    errors = spent * Fraction(1 - slo.target)
    return SloState(
        slo=slo,
        status=status,
        why=why,
        counts={},
        raw={},
        attainment=float(1 - errors),
        budget_remaining=remaining,
        budget_remaining_events=None,
        sla_budget_remaining=None if slo.sla_target is None else float(1 - errors / Fraction(1 - slo.sla_target)),
        burn_rates=rates,
        time_to_exhaustion_seconds=budget.time_to_exhaustion(
            remaining, _exact(slo.window, from_micros(now)), rates.get(_EXHAUSTION_WINDOW)
        ),
        coverage=min(s.coverage for s, _ in own),
        totals=None,
    )


def _mean_burn(parts: Sequence[tuple[SloState, Decimal]], label: str) -> Fraction | None:
    """The mean of burn rates in a window by weight, exactly: whether the budget is used up hangs on it."""
    own = [(s.slo.target, s.counts.get(label, EventCounts()), Fraction(w)) for s, w in parts]
    burns = [(w * Fraction(c.bad) / Fraction(c.total) / Fraction(1 - target), w) for target, c, w in own if c.total]
    if not burns:
        return None
    return sum((burnt for burnt, _ in burns), Fraction(0)) / sum((w for _, w in burns), Fraction(0))


def _of_parts(parts: Sequence[tuple[SloState, Decimal]]) -> dict[str, EventCounts]:
    """The events of all parts, in the windows that all of them have."""
    counts = [s.counts for s, _ in parts]
    return {
        label: EventCounts(sum(c[label].good for c in counts), sum(c[label].bad for c in counts))
        for label in counts[0]
        if all(label in c for c in counts)
    }


def _as_decimal(exact: Fraction) -> Decimal:
    """A fraction as decimal; of the sign that it has."""
    return Decimal(exact.numerator) / exact.denominator


# --- what follows from settings ----------------------------------------------------------------------------


def thresholds_of(
    slos: Sequence[Slo], tiers: Sequence[burn.Tier]
) -> dict[str, dict[tuple[str, burn.Severity], Decimal]]:
    """By SLO of any kind the burn rates above which it alerts, see `burn.thresholds`; without those that have none."""
    found = {slo.name: burn.thresholds(slo, tiers, slos) for slo in slos}
    return {name: own for name, own in found.items() if own}


def concerned(slos: Sequence[Slo], exclusions: Sequence[Exclusion]) -> dict[str, tuple[Exclusion, ...]]:
    """By SLO whose events Paceline counts the exclusions that concern it, a composite's from its parts."""
    own = {s.name: tuple(e for e in exclusions if e.concerns(s)) for s in slos if is_counted(s)}
    for slo in slos:
        if isinstance(slo.sli, Composite):
            parts = (own.get(part.slo, ()) for part in slo.sli.parts)
            own[slo.name] = tuple(chain.from_iterable(parts))
    return {name: about for name, about in own.items() if about}


def excluding(about: Mapping[str, Sequence[Exclusion]], now: int) -> dict[str, bool]:
    """By SLO whether one of its exclusions holds at a time (microseconds)."""
    return {name: any(e.slots(now - 1, now) for e in own) for name, own in about.items()}


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
    pool = reader.pool(indicator, slo.counted)
    # The slice in which the first window begins is looked at from its start.
    margin = 1 if slo.budgeting == "occurrences" else length_of(slo)
    reader.prepare(pool.series, to_micros(bounds[-1][0]) - margin)
    judge, column = judge_of(slo, indicator)
    before = [t.first_at for t in reader.columns.tallies(pool.series, judge).values() if t.first_at is not None]
    units = reader.pooled(pool, column)
    times, good = judged(slo, units)
    unknown = units.at[units.reason == reader.columns.unknown]
    first = min([*before, *times[:1].tolist()], default=None)
    stale, smallest = sorted(pool.sources - conditions.fresh), reader.organisation.smallest_group
    known = _Known(times, good, unknown, first, stale, calendar.label, indicator, smallest)
    about = tuple(e for e in conditions.exclusions if e.concerns(slo))
    return [_finished(slo, known, start, end, about) for start, end in bounds]


class _Known(NamedTuple):
    """The final units of an SLO and the unknown ones, when the first of all was, which sources have nothing new."""

    times: Ints
    good: NDArray[np.bool_]
    unknown: Ints
    first_at: int | None
    stale: Sequence[str]
    label: str
    indicator: Indicator
    smallest: int


def _before(window: CalendarWindow, at: datetime) -> Iterator[tuple[datetime, datetime]]:
    start, _ = window.bounds(at)
    while True:
        start, end = window.before(start)
        yield start, end


def _finished(slo: Slo, known: _Known, start: datetime, end: datetime, about: Sequence[Exclusion]) -> Finished:
    first, last = to_micros(start), to_micros(end) - 1
    times, good = known.times, known.good
    raw = counts = _in_all(slo, times, good, first, last)
    slots: list[Slot] = []
    if about:
        slots = excluded(about, slo, first - 1 if slo.budgeting == "occurrences" else first - length_of(slo), last)
        kept = counted(times, slots)
        counts = _in_all(slo, times[kept], good[kept], first, last)
    if slo.budgeting == "occurrences":
        gaps = known.unknown[counted(known.unknown, slots)] if about else known.unknown
        missed = int(np.count_nonzero((gaps >= first) & (gaps <= last)))
        since = None if known.first_at is None else from_micros(known.first_at)
        coverage = _known_units(counts, missed) * _known_share(since, start, end)
    else:
        coverage = _share(counts, slices_over(length_of(slo), first, last + 1, slots))
    status, why = _status(slo, known.label, counts, coverage, known.stale, alerting=False)
    if few := _few(known.indicator, counts, known.smallest):
        return Finished(start, end, EventCounts(), None, None, None, None, few)
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


def _in_all(slo: Slo, times: Ints, good: NDArray[np.bool_], first: int, last: int) -> EventCounts:
    """Good and bad of a finished window: units by their time, slices by their end."""
    if slo.budgeting == "occurrences":
        inside = (times >= first) & (times <= last)
        passed = int(np.count_nonzero(good[inside]))
        return EventCounts(passed, int(np.count_nonzero(inside)) - passed)
    ends, shares = sliced(slo, times, good, last + 1)
    inside = ends > first
    total = float(shares[inside].sum())
    return EventCounts(exact_count(total), exact_count(int(np.count_nonzero(inside)) - total))
