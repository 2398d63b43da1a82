"""Series that an SLI's query reads, made from events: what a scrape would have seen. Pure.

For each minute it is said how many events there were and how many were bad; counters, buckets and gauges follow, with
labels that the query's matchers choose. What cannot be made up (an author's own expression, a native histogram) says
so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from slo_engine import promql
from slo_engine.comparison import Operator
from slo_engine.promql import WINDOW, BooleanGauge, CounterRatio, Histogram, PromqlSli, TimeSlices
from slo_engine.windows import parse_window


class Minute(NamedTuple):
    """Events of a minute; those of slices are counted in the minute in which a slice ends."""

    total: int
    bad: int


Timeline: TypeAlias = Sequence[Minute | None]
"""Minute by minute from the first on; None where nobody counted."""

Series: TypeAlias = dict[str, list[str]]
"""Values in the notation of `promtool test rules`, by series."""

_Labels: TypeAlias = dict[str, str]
_Matchers: TypeAlias = list[Any]

MINUTES_OF_A_RATE = 5
"""In how many evaluations, a minute apart, a recorded 5-minute rate holds one event."""

_COUNTED_PER_MINUTE = 10_000
_GAUGES = 100
_SLICE_GAUGES = 5
"""Within a slice all gauges are alike: a few are enough to be added up."""
_SLICE_SCRAPES = 4
_EXAMPLES = ("200", "201", "404", "500", "503", "GET", "POST", "ok", "error", "x", "1", "")


class CannotMakeUp(ValueError):  # noqa: N818 - it says what is not possible
    """There are no series for this query; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How the series of an SLI come out of events.

    `per_minute` events are the most there can be; `spread` is in how many evaluations a recorded 5-minute rate holds
    one event, which is one more where the samples at both ends count.
    """

    per_minute: int
    series: Callable[[Timeline], Series]
    every_minutes: int = 1
    scrapes_per_minute: int = 1
    spread: int = MINUTES_OF_A_RATE
    group: str = ""


def stream_of(sli: PromqlSli, group_by: Sequence[str] = ()) -> Stream:
    """The series of an SLI with one group. Raises CannotMakeUp."""
    if not isinstance(sli, TimeSlices):
        return _stream(sli, group_by)
    every, rest = divmod(int(parse_window(sli.slice).seconds), 60)
    if rest:
        raise CannotMakeUp("its slices are no whole minutes")
    inner = _stream(sli.sli, group_by, _SLICE_SCRAPES)
    return replace(
        inner,
        per_minute=1,
        series=lambda timeline: inner.series(_within_slices(timeline, every, inner.per_minute)),
        every_minutes=every,
        scrapes_per_minute=_SLICE_SCRAPES,
        spread=MINUTES_OF_A_RATE + 1,
    )


def _stream(sli: PromqlSli, group_by: Sequence[str], scrapes: int = 1) -> Stream:
    if isinstance(sli, BooleanGauge):
        name, matchers = _selector(sli.selector)
        labels = _grouped(_chosen(matchers), group_by)
        gauges = _GAUGES if scrapes == 1 else _SLICE_GAUGES
        return Stream(
            per_minute=gauges,
            series=lambda timeline: _gauges(name, labels, timeline, scrapes, gauges),
            spread=MINUTES_OF_A_RATE + 1,
            group=_group(labels, group_by),
        )
    good, bad, both = (tuple((n, _grouped(own, group_by)) for n, own in part) for part in _parts(sli))

    def series(timeline: Timeline) -> Series:
        return {
            **_counters(good, [m and m.total - m.bad for m in timeline], scrapes),
            **_counters(bad, [m and m.bad for m in timeline], scrapes),
            **_counters(both, [m and m.total for m in timeline], scrapes),
        }

    shown = (*good, *bad, *both)[0][1]
    return Stream(per_minute=_COUNTED_PER_MINUTE, series=series, group=_group(shown, group_by))


def _group(labels: _Labels, group_by: Iterable[str]) -> str:
    return "/".join(labels[name] for name in group_by)


def _within_slices(timeline: Timeline, every: int, events: int) -> list[Minute | None]:
    """Events inside slices: each minute of a bad slice is bad throughout."""
    found: list[Minute | None] = []
    for minute in range(len(timeline)):
        ends = timeline[min(len(timeline) - 1, minute // every * every + every - 1)]
        found.append(ends and Minute(events, events if ends.bad else 0))
    return found


# ---- series


_Named: TypeAlias = tuple[tuple[str, _Labels], ...]


def _parts(sli: PromqlSli) -> tuple[_Named, _Named, _Named]:
    """The series that count good events, bad events, and all of them."""
    if isinstance(sli, Histogram):
        return _histogram(sli)
    if isinstance(sli, CounterRatio):
        return _ratio(sli)
    raise CannotMakeUp("series of a native histogram cannot be written down for promtool")


def _histogram(sli: Histogram) -> tuple[_Named, _Named, _Named]:
    labels = _chosen(_selector(f"{sli.metric}{{{sli.matchers}}}")[1])
    le = f"{sli.threshold:.15g}"
    within = ((f"{sli.metric}_bucket", labels | {"le": le}),)
    every = ((f"{sli.metric}_bucket", labels | {"le": "+Inf"}), (f"{sli.metric}_count", labels))
    return ((), within, every) if sli.operator in {Operator.GT, Operator.GTE} else (within, (), every)


def _ratio(sli: CounterRatio) -> tuple[_Named, _Named, _Named]:
    some_query = sli.bad_query or sli.good_query
    if WINDOW in sli.total_query or WINDOW in some_query:
        raise CannotMakeUp("its query is an expression of its author")
    (total, all_of), (some, chosen) = _selector(sli.total_query), _selector(some_query)
    if total == some:
        part, rest = ((total, _chosen([*all_of, *chosen])),), ((total, _chosen(all_of, but=chosen)),)
        return (rest, part, ()) if sli.bad_query else (part, rest, ())
    part, every = ((some, _chosen(chosen)),), ((total, _chosen(all_of)),)
    return ((), part, every) if sli.bad_query else (part, (), every)


def _counters(named: _Named, events: Sequence[int | None], scrapes: int) -> Series:
    """Cumulative values; the first scrape sees 0, as a counter is exported before its first event.

    One with a label of its own that never counts anything is not there at all: a series of errors often appears with
    the first error. Buckets are always there.
    """
    steps: list[float] = [0.0]
    present = [True]
    for count in events:
        steps += [(count or 0) / scrapes] * scrapes
        present += [count is not None] * scrapes
    values = [f"{v:.15g}" if there else "stale" for v, there in zip(accumulate(steps), present, strict=True)]
    return {_written(name, labels): values for name, labels in named if any(events) or "le" in labels}


def _gauges(name: str, labels: _Labels, timeline: Timeline, scrapes: int, gauges: int) -> Series:
    """As many gauges as there are events in a minute, of which as many are 0 as events are bad.

    Scraped several times a minute, they are not scraped at its very end: Prometheus 2 would count that sample in the
    slice before and in the one after.
    """
    found: Series = {}
    for number in range(gauges):
        values = ["_"]
        for minute in timeline:
            bad = minute is not None and number < (minute.bad * gauges // minute.total if minute.total else 0)
            value = "stale" if minute is None else "0" if bad else "1"
            values += [*[value] * (scrapes - 1), value if scrapes == 1 else "_"]
        found[_written(name, labels | {"paceline_example": str(number)})] = values
    return found


def _written(name: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()) if v)
    return f"{name}{{{pairs}}}"


# ---- labels


def _selector(text: str) -> tuple[str, _Matchers]:
    node = promql.parsed(text)
    matchers = [m for m in node.matchers.matchers if m.name != "__name__"]  # type: ignore[attr-defined]
    names = promql.metric_names(text)
    if len(names) != 1:
        raise CannotMakeUp("it names no metric")
    return names[0], matchers


def _grouped(labels: _Labels, group_by: Iterable[str]) -> _Labels:
    return dict.fromkeys(group_by, "x") | labels


def _chosen(matchers: _Matchers, but: _Matchers | None = None) -> _Labels:
    """Labels that all matchers choose; with `but`, that at least one of those does not. Raises CannotMakeUp."""
    if but is None:
        return {name: _value(name, own) for name, own in _by_label(matchers).items()}
    for name, others in _by_label(but).items():
        own = [m for m in matchers if m.name == name]
        for value in _candidates([*own, *others]):
            if all(_matches(m, value) for m in own) and not all(_matches(m, value) for m in others):
                return _chosen([m for m in matchers if m.name != name]) | {name: value}
    raise CannotMakeUp("no example is known of an event that its matchers leave out")


def _by_label(matchers: _Matchers) -> dict[str, _Matchers]:
    found: dict[str, _Matchers] = {}
    for matcher in matchers:
        found.setdefault(matcher.name, []).append(matcher)
    return found


def _value(name: str, matchers: _Matchers) -> str:
    for value in _candidates(matchers):
        if all(_matches(m, value) for m in matchers):
            return value
    raise CannotMakeUp(f"no example is known of a value that its matchers on {name} choose")


def _candidates(matchers: _Matchers) -> Iterator[str]:
    """Values worth a try: what the matchers spell out, then what is common."""
    for matcher in matchers:
        if str(matcher.op).endswith(("Re", "NotRe")):
            for text in matcher.value.strip("^$()").split("|"):
                yield re.sub(r"\\(.)", r"\1", re.sub(r"\.[*+]|\[[^\]]*\][*+]?|\\d\+?|\.", "0", text))
        else:
            yield matcher.value
    yield from _EXAMPLES


def _matches(matcher: Any, value: str) -> bool:
    kind = str(matcher.op).rpartition(".")[2]
    same = re.fullmatch(matcher.value, value) is not None if kind.endswith("Re") else matcher.value == value
    return same == (kind in {"Equal", "Re"})
