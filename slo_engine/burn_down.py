"""How the error budget of an SLO was spent, from the start of its window to a time. Reads the store. definitions.md §6.

Units are judged as they are at that time, so that the last share is the one that is published for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from collector.store import ObservationStore, to_micros
from slo_engine import budget
from slo_engine.exclusions import Exclusion, counted, excluded
from slo_engine.indicator import Indicator
from slo_engine.organisation import Organisation
from slo_engine.selecting import takes_in
from slo_engine.slices import length_of, sliced
from slo_engine.slo import EventCounts, Slo
from slo_engine.slo_states import exact_count, is_counted, judged
from slo_engine.units import Columns, Floats, Ints, units_of
from slo_engine.windows import CalendarWindow

_SHORT = timedelta(days=3)
"""Windows up to this length are told hour by hour, longer ones day by day."""
_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)


class Left(NamedTuple):
    """What was left of an error budget at a time: a share of it, negative when overspent; None without events.

    `counts` are the good and bad events of the SLO's window up to then.
    """

    at: datetime
    counts: EventCounts
    remaining: float | None


class BurnDown(NamedTuple):
    """What was left at some times, the oldest first, the last of them the time that was asked for.

    `start` and `end` are the bounds of the SLO's window; that of the calendar may end later.
    """

    start: datetime
    end: datetime
    left: tuple[Left, ...]


class _Judged(NamedTuple):
    """What an SLO counts, units by their time and slices by their end: when (microseconds, in order), and how good."""

    at: Ints
    good: Floats


def untold(slo: Slo, indicator: Indicator | None) -> str:
    """Why there is nothing to draw for an SLO; empty text where there is."""
    if not is_counted(slo) or indicator is None:
        if slo.promql is not None:
            return "Prometheus counts its events: its own rules know how the budget went."
        return "It is made of other SLOs: each of them shows how its own budget went."
    if indicator.people:
        return "It is about people: from one day to the next it would tell when each of them came."
    return ""


def burn_down(  # noqa: PLR0913 - what is asked, and all that it is judged by
    slo: Slo,
    indicator: Indicator,
    store: ObservationStore,
    at: datetime,
    *,
    zone: str,
    organisation: Organisation,
    exclusions: Sequence[Exclusion] = (),
) -> BurnDown:
    """What was left of an SLO's budget at the midnights of a zone within its window, and at a time.

    A rolling window ends at each of these times, so that the budget comes back when what spent it is older; one of the
    calendar begins where it begins. Windows of up to three days are told by the hour. Raises ValueError where `untold`
    says why.
    """
    if why := untold(slo, indicator):
        raise ValueError(f"{slo.name}: {why}")
    start, end = _bounds(slo, at)
    times = [*reversed(list(_times(slo, start, at, zone))), at]
    until = np.array([to_micros(t) for t in times], dtype=np.int64)
    after = _afters(slo, until, start)
    found = _counted(slo, indicator, store, organisation, exclusions, int(after.min()), to_micros(at))
    passed = np.concatenate([[0.0], np.cumsum(found.good)])
    first, last = (found.at.searchsorted(edge, side="right") for edge in (after, until))
    good = passed[last] - passed[first]
    bad = (last - first) - good
    counts = [EventCounts(exact_count(g), exact_count(b)) for g, b in zip(good.tolist(), bad.tolist(), strict=True)]
    shares = [budget.remaining_ratio(c, slo.target) for c in counts]
    return BurnDown(start, end, tuple(map(Left, times, counts, shares)))


def _bounds(slo: Slo, at: datetime) -> tuple[datetime, datetime]:
    if isinstance(slo.window, CalendarWindow):
        return slo.window.bounds(at)
    return at - slo.window.length, at


def _times(slo: Slo, start: datetime, at: datetime, zone: str) -> Iterator[datetime]:
    """The times before one at which is told what was left, the newest first."""
    if slo.window.length <= _SHORT:
        for hours in range(1, -(-(at - start) // _HOUR)):
            yield at - hours * _HOUR
        return
    days = CalendarWindow("day", zone=zone)
    midnight = days.bounds(at - _MICROSECOND)[0]
    while midnight >= start:
        yield midnight
        midnight = days.before(midnight)[0]


def _afters(slo: Slo, until: Ints, start: datetime) -> Ints:
    """After which time the windows that end at some times hold events.

    A calendar window holds its first moment, but not the slice that ends there.
    """
    if isinstance(slo.window, CalendarWindow):
        first = to_micros(start) - (1 if slo.budgeting == "occurrences" else 0)
        return np.full(until.size, first, dtype=np.int64)
    return until - slo.window.length // _MICROSECOND


def _counted(  # noqa: PLR0913, PLR0917 - as burn_down
    slo: Slo,
    indicator: Indicator,
    store: ObservationStore,
    organisation: Organisation,
    exclusions: Sequence[Exclusion],
    after: int,
    now: int,
) -> _Judged:
    """What an SLO counts after a time and up to another, without what is excluded."""
    margin = 0 if slo.budgeting == "occurrences" else length_of(slo)
    times, good = _judged(slo, indicator, store, organisation, after - margin, now)
    about = [e for e in exclusions if e.concerns(slo)]
    if about:
        kept = counted(times, excluded(about, slo, after - margin, now))
        times, good = times[kept], good[kept]
    if slo.budgeting == "occurrences":
        return _Judged(times, good.astype(np.float64))
    return _Judged(*sliced(slo, times, good, now))


def _judged(
    slo: Slo, indicator: Indicator, store: ObservationStore, organisation: Organisation, after: int, now: int
) -> tuple[Ints, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """The times of an SLO's final units in order, and whether each was good."""
    column = None if slo.operator is None else indicator.column(slo.dimension)
    every = store.series(indicator.observed_as)
    own = [n for n, s in every.items() if takes_in(slo.counted, indicator, s, organisation)]
    columns = Columns(store, lambda _: 0 if column is None else column + 1, lambda _: False)
    columns.prepare(own, after, now)
    series = [judged(slo, units_of(columns.rows(n), now, column, columns.missing_time)) for n in own]
    times = np.concatenate([np.array([], dtype=np.int64), *(at for at, _ in series)])
    good = np.concatenate([np.array([], dtype=np.bool_), *(passed for _, passed in series)])
    order = np.argsort(times, kind="stable")
    return times[order], good[order]
