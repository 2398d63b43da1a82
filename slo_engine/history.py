"""The events of an SLO over time as arrays: from stored observations, or from a range of a Prometheus server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from collector.store import ObservationStore
from slo_engine.exclusions import Exclusion, counted, excluded
from slo_engine.indicator import Indicator
from slo_engine.observation import to_micros
from slo_engine.organisation import Organisation
from slo_engine.prometheus_api import Ask, Line, by_group, query_range
from slo_engine.reading import Reader
from slo_engine.recordings import RATE
from slo_engine.replay import Floats, History
from slo_engine.rule import INTERVAL_SECONDS
from slo_engine.slices import sliced
from slo_engine.slo import Slo
from slo_engine.slo_states import judged
from slo_engine.windows import CalendarWindow, parse_window

_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_LONGEST_TIER = timedelta(days=3)
_RATE_SECONDS = parse_window(RATE).seconds


def observed(  # noqa: PLR0913 - what is asked, and all that it is judged by
    slo: Slo,
    indicator: Indicator,
    store: ObservationStore,
    after: datetime,
    until: datetime,
    exclusions: Sequence[Exclusion] = (),
    *,
    organisation: Organisation | None = None,
) -> History:
    """The final events of an SLO's indicator in a store, as known at `until`, without those that are excluded.

    `organisation` says which team a service is of. One window of the SLO before `after` is read too, so that the first
    minute already knows its budget.
    """
    reader = Reader(store, until, organisation)
    pool = reader.pool(indicator, slo.counted)
    first = to_micros(after) - max(_reach(slo), _LONGEST_TIER) // _MICROSECOND
    reader.prepare(pool.series, first)
    units = reader.pooled(pool, None if slo.operator is None else indicator.column(slo.dimension))
    times, good = judged(slo, units)
    inside = (times > first) & (times <= reader.now)
    about = [e for e in exclusions if e.concerns(slo)]
    if about:
        inside &= counted(times, excluded(about, slo, first, reader.now))
    times, good = times[inside], good[inside]
    if slo.budgeting != "occurrences":
        times, shares = sliced(slo, times, good, reader.now)
        return History.of(times, shares, 1 - shares, to_micros(after), reader.now)
    shares = good.astype(np.float64)
    return History.of(times, shares, 1 - shares, to_micros(after), reader.now)


def _reach(slo: Slo) -> timedelta:
    """How far back an SLO's window may reach."""
    return slo.window.length * 2 if isinstance(slo.window, CalendarWindow) else slo.window.length


def measured(
    slo: Slo, ask: Ask, after: datetime, until: datetime, step_seconds: int = INTERVAL_SECONDS
) -> dict[str, History]:
    """The events of an SLO that a Prometheus measures, by group (empty text where nothing is grouped).

    They are 5-minute rates at each step, as recording rules see them. The three days before `after` are read too, so
    that the first minute knows what the slowest tier looks back on. Raises ValueError for an SLO that Prometheus does
    not measure, and for a step that is longer than those rates.
    """
    sli = slo.promql
    if sli is None:
        raise ValueError(f"{slo.name} is not measured by Prometheus; expected an SLO with a query")
    if not 1 <= step_seconds <= _RATE_SECONDS:
        raise ValueError(f"{step_seconds} s is no step; expected 1 to {_RATE_SECONDS:.0f} s")
    first = after - _LONGEST_TIER
    totals, bads = (
        dict(by_group(query_range(ask, made(RATE, slo.group_by), first, until, step_seconds), slo.group_by))
        for made in (sli.total, sli.bad)
    )
    return {
        group: _of_rates(total, bads.get(group), to_micros(after), to_micros(until), step_seconds)
        for group, total in sorted(totals.items())
        if total.times.size
    }


def _of_rates(total: Line, bad: Line | None, after: int, until: int, step_seconds: int) -> History:
    """The events of a step are its rate times its length. Where no bad ones are known there are none."""
    at = np.round(total.times * _SECOND).astype(np.int64)
    found: Floats = np.zeros(at.size)
    if bad is not None:
        places = np.searchsorted(total.times, bad.times)
        there = (places < at.size) & (total.times[np.minimum(places, at.size - 1)] == bad.times)
        found[places[there]] = bad.values[there]
    good = (total.values - found) * step_seconds
    return History(at, good, found * step_seconds, after, until, float(step_seconds), _RATE_SECONDS)
