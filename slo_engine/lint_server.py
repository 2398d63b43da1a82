"""Lint against a Prometheus server: what an SLO's queries find there, and whether the server keeps it long enough.

The server is asked through a callable (`slo_engine/prometheus_api.py`). What it cannot tell is said, not guessed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

import numpy as np

from collector.durations import parse_duration
from collector.errors import AuthError, RetryableError, SourceError
from slo_engine.burn import Tier
from slo_engine.lint import Finding, Severity, lint_traffic, number, of, ordered, queries_of, written_bounds
from slo_engine.prometheus_api import (
    Ask,
    by_group,
    joined,
    label_values,
    query,
    query_range,
    retention,
    scrape_intervals,
)
from slo_engine.promql import (
    WINDOW,
    BooleanGauge,
    CounterRatio,
    Histogram,
    NativeHistogram,
    PromqlSli,
    Selected,
    TimeSlices,
    bound,
    selectors,
)
from slo_engine.recordings import RATE
from slo_engine.slo import Slo
from slo_engine.words import duration_text

_LATELY = "1h"
_SCRAPES = 4
"""So many must be within a range, also where it is open at its left end."""
_NOISE = 0.01
"""Rates of two counters differ by rounding; more than this is a mistake."""
_WEEK, _SIX_HOURS = timedelta(days=7), timedelta(hours=6)
_ENOUGH_POINTS = 4
"""A day of history says what traffic is normal."""
_SHOWN = 60
_ALIKE = 0.85

T = TypeVar("T")


@dataclass(frozen=True)
class _Server:
    """Asks one server, about one time."""

    ask: Ask
    at: datetime

    def there(self, selector: str) -> bool:
        """Whether a selector had series lately."""
        return bool(query(self.ask, f"count(present_over_time({selector}[{_LATELY}]))", self.at))

    def values(self, label: str, selector: str) -> list[str]:
        """The values of a label among the series that a selector had lately."""
        found = query(self.ask, f"count by ({label}) (present_over_time({selector}[{_LATELY}]))", self.at)
        return sorted(value for sample in found if (value := sample.labels.get(label)))

    def targets(self, selector: str) -> set[tuple[str, str]]:
        """The jobs and instances of the series that a selector had lately."""
        found = query(self.ask, f"count by (job, instance) (present_over_time({selector}[{_LATELY}]))", self.at)
        return {(s.labels.get("job", ""), s.labels.get("instance", "")) for s in found}

    @cached_property
    def names(self) -> list[str]:
        """The names of all metrics."""
        return label_values(self.ask, "__name__")

    def like(self, metric: str) -> str:
        """Names of metrics that are much like one that is not there, as advice; empty text for none."""
        near = difflib.get_close_matches(metric, self.names, cutoff=_ALIKE)
        return f"one that is there, such as {', '.join(near)}" if near else ""


def lint_server(slos: Sequence[Slo], tiers: Sequence[Tier], ask: Ask, at: datetime) -> list[Finding]:
    """What a server tells about SLOs that Prometheus measures, at a time.

    A query that it refuses is a finding. Raises RetryableError and AuthError where it does not answer at all.
    """
    measured = [slo for slo in slos if slo.promql is not None]
    if not measured:
        return []
    server, found = _Server(ask, at), list[Finding]()
    keeps = _optional(lambda: retention(ask), "for how long it keeps data", found)
    scrapes = _optional(lambda: scrape_intervals(ask), "how often it scrapes", found) or {}
    for slo in measured:
        found += _retained(slo, keeps)
        try:
            found += _about(slo, tiers, server, scrapes)
        except (RetryableError, AuthError):
            raise
        except SourceError as error:
            found.append(
                of(slo, "query-refused", "error", f"the server refuses a query of it: {error}", "another query")
            )
    return ordered(found)


def _optional(asked: Callable[[], T], what: str, found: list[Finding]) -> T | None:
    """What not every server tells."""
    try:
        return asked()
    except (RetryableError, AuthError):
        raise
    except SourceError as error:
        problem = f"the server does not tell {what}: {error}"
        write = "the address of a Prometheus, where you want that checked"
        found.append(
            Finding(slo="", file="", line=0, code="not-checked", severity="info", problem=problem, write=write)
        )
        return None


def _about(
    slo: Slo, tiers: Sequence[Tier], server: _Server, scrapes: Mapping[tuple[str, str], timedelta]
) -> Iterator[Finding]:
    sli = slo.promql
    if sli is None:
        return
    lacking = list(_series(slo, sli, server))
    yield from lacking
    yield from _buckets(slo, sli, server)
    if any(finding.severity == "error" for finding in lacking):
        return
    yield from _scraped(slo, sli, server, scrapes)
    yield from _impossible(slo, sli, server)
    yield from _traffic(slo, sli, tiers, server)


# ---- series


def _inner(sli: PromqlSli) -> CounterRatio | Histogram | NativeHistogram | BooleanGauge:
    return sli.sli if isinstance(sli, TimeSlices) else sli


def _read(sli: PromqlSli) -> tuple[str, ...]:
    """Selectors of all that an SLI reads."""
    inner = _inner(sli)
    if isinstance(inner, Histogram):
        return tuple(_chosen(f"{inner.metric}{suffix}", inner.matchers) for suffix in ("_bucket", "_count"))
    if isinstance(inner, NativeHistogram):
        return (_chosen(inner.metric, inner.matchers),)
    if isinstance(inner, BooleanGauge):
        return (inner.selector,)
    return tuple(selected.text for selected in selectors(*queries_of(inner)))


def _chosen(metric: str, matchers: str) -> str:
    return f"{metric}{{{matchers}}}" if matchers else metric


def _series(slo: Slo, sli: PromqlSli, server: _Server) -> Iterator[Finding]:
    """Metrics and series that are not there."""
    inner = _inner(sli)
    if not isinstance(inner, CounterRatio):
        yield from _lacking(slo, {one for text in _read(sli) for one in selectors(text)}, server, "error")
        return
    needed = [text for text in (inner.total_query, inner.good_query) if text]
    alone = set(selectors(*(text for text in needed if WINDOW not in text)))
    yield from _lacking(slo, alone, server, "error")
    # An author may write `a or b`, where one of them is enough.
    enough = bool(query(server.ask, sli.total(_LATELY, slo.group_by), server.at))
    inside = set(selectors(*needed)) - alone
    yield from _lacking(slo, inside, server, "warning" if enough else "error")
    if inner.bad_query:
        yield from _not_yet(slo, set(selectors(inner.bad_query)) - alone - inside, alone | inside, server)


def _lacking(slo: Slo, read: set[Selected], server: _Server, severity: Severity) -> Iterator[Finding]:
    """What a query reads and is not there: the metric, or series with its labels."""
    absent = {selected.metric for selected in read if selected.metric and not server.there(selected.metric)}
    for metric in absent:
        problem = f"there is no metric {metric} in the last {_LATELY}"
        write = server.like(metric) or "the name of a metric that is scraped"
        yield of(slo, "absent-metric", severity, problem, write)
    for selected in read:
        if selected.metric not in absent and not server.there(selected.text):
            problem = f"there are series of {selected.metric or 'other names'}, but none is {_short(selected.text)}"
            yield of(slo, "no-series", severity, problem, _matching(selected, server))


def _not_yet(slo: Slo, bad: set[Selected], others: set[Selected], server: _Server) -> Iterator[Finding]:
    """Bad events that have no series, where all events have some."""
    absent = {one.metric for one in others if one.metric and not server.there(one.metric)}
    for selected in bad:
        if selected.metric in absent or server.there(selected.text):
            continue
        text = _short(selected.text)
        problem = f"there is no series {text}: the first failure will be missed, as it makes the series"
        write = "its counter at 0 before the first event, in what exports it"
        near = "" if not selected.metric or server.there(selected.metric) else server.like(selected.metric)
        yield of(slo, "no-zero-series", "warning", problem, f"{write}; or {near}" if near else write)


def _matching(selected: Selected, server: _Server) -> str:
    """Values that the first matcher without a series could have."""
    for label, _, _ in selected.matchers if selected.metric else ():
        if not server.there(selected.only(label.__eq__)):
            values = server.values(label, selected.metric)
            return f"a {label} that is there: {', '.join(values[:5]) or 'no series has this label'}"
    return "matchers that some series has together"


# ---- buckets


def _buckets(slo: Slo, sli: PromqlSli, server: _Server) -> Iterator[Finding]:
    """Thresholds between two buckets, and bounds that are written in another way."""
    inner = _inner(sli)
    if isinstance(inner, Histogram):
        selector = _chosen(f"{inner.metric}_bucket", inner.matchers)
        there = server.values("le", selector)
        if there and inner.threshold not in map(number, there):
            yield _between(slo, selector, inner.threshold, there)
        return
    for selected, written in written_bounds(sli):
        there = server.values("le", selected.only("le".__ne__))
        same = [le for le in there if number(le) == float(written)]
        if there and not same:
            yield _between(slo, selected.text, float(written), there)
        elif any(le != written for le in same):
            problem = f'{_short(selected.text)} misses the series with le="{next(le for le in same if le != written)}"'
            yield of(slo, "bucket-spelling", "error", problem, bound(float(written)))


def _between(slo: Slo, text: str, threshold: float, there: Iterable[str]) -> Finding:
    bounds = sorted({n for le in there if (n := number(le)) is not None and np.isfinite(n)})
    below = [f"{n:g}" for n in bounds if n < threshold][-1:]
    above = [f"{n:g}" for n in bounds if n > threshold][:1]
    near = " or ".join((*below, *above)) or "a bound that the histogram has"
    problem = f"{threshold:g} is no bucket of {_short(text)}: nothing tells how many events are below it"
    return of(slo, "no-bucket", "error", problem, f"{near}, its nearest buckets; or add one at {threshold:g}")


# ---- time


def _retained(slo: Slo, keeps: timedelta | None) -> Iterator[Finding]:
    if keeps is not None and slo.window.length > keeps:
        days = f"{slo.window.days:g}d"
        problem = f"its window of {slo.window.label} is longer than the {duration_text(keeps.total_seconds())} kept"
        yield of(
            slo, "retention", "error", problem, f"--storage.tsdb.retention.time={days} or more, or a shorter window"
        )


def _scraped(
    slo: Slo, sli: PromqlSli, server: _Server, scrapes: Mapping[tuple[str, str], timedelta]
) -> Iterator[Finding]:
    """A range must hold four scrapes; with fewer a rate is a guess, or nothing."""
    text = sli.slice if isinstance(sli, TimeSlices) else RATE
    targets = {target for selector in _read(sli) for target in server.targets(selector)}
    longest = max((scrapes[t] for t in targets if t in scrapes), default=timedelta())
    if longest * _SCRAPES <= parse_duration(text):
        return
    apart, most = longest.total_seconds(), parse_duration(text).total_seconds() / _SCRAPES
    problem = f"its range of {text} holds fewer than {_SCRAPES} scrapes, which are {apart:g} s apart"
    write = f"a scrape_interval of {most:g}s or less"
    if isinstance(sli, TimeSlices):
        write += f", or slices of {apart * _SCRAPES:g}s or more"
    yield of(slo, "scrape-interval", "error", problem, write)


# ---- numbers


def _impossible(slo: Slo, sli: PromqlSli, server: _Server) -> Iterator[Finding]:
    """More bad events than events, or fewer than none."""
    hour = _LATELY
    total, bad = (
        {joined(s.labels, slo.group_by): s.value for s in query(server.ask, made(hour, slo.group_by), server.at)}
        for made in (sli.total, sli.bad)
    )
    for group, rate in sorted(bad.items()):
        all_of = total.get(group, 0.0)
        whose = f" of group {group}" if group else ""
        if rate > all_of * (1 + _NOISE):
            problem = f"{rate * 3600:.4g} bad events{whose} in {hour} are more than all {all_of * 3600:.4g}"
        elif rate < -all_of * _NOISE:
            problem = f"{-rate * 3600:.4g} more good events than events{whose} in {hour}"
        else:
            continue
        yield of(slo, "impossible-counts", "error", problem, "queries of which one counts a part of the other's events")


def _traffic(slo: Slo, sli: PromqlSli, tiers: Sequence[Tier], server: _Server) -> Iterator[Finding]:
    """What is usual: the median of the 6 hours of a week; of the group with the fewest events."""
    if slo.alert_class != "rate":
        return
    expr = sli.total("6h", slo.group_by)
    lines = query_range(server.ask, expr, server.at - _WEEK, server.at, int(_SIX_HOURS.total_seconds()))
    known = {
        g: float(np.median(line.values))
        for g, line in by_group(lines, slo.group_by)
        if line.values.size >= _ENOUGH_POINTS
    }
    if known:
        group = min(known, key=lambda g: (known[g], g))
        yield from lint_traffic(slo, tiers, known[group], group)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
