"""The numbers of an indicator for each subject and window, and what stands beside them. No data has no value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from slo_engine.catalog import QUANTILES
from slo_engine.distinct import distinct
from slo_engine.indicator import Indicator, Reach, Shape
from slo_engine.observation import Outcome, Reason, Subject
from slo_engine.reading import Group, Reader, Span, cuts_of
from slo_engine.sampling import SampledUnits, measured, reach_of, spans_of
from slo_engine.snapshot import Accounting, Number
from slo_engine.statistics import MANY, described, ordered_interval, ordered_quantiles, wilson
from slo_engine.suppression import Cell, withheld
from slo_engine.units import CODES, NEVER, Floats, Ints, Rows, Units, codes_of, joined, side_by_side, units_of

_GOOD, _BAD, _MEASURED, _PENDING, _EXCLUDED = (
    CODES[o] for o in (Outcome.GOOD, Outcome.BAD, Outcome.MEASURED, Outcome.PENDING, Outcome.EXCLUDED)
)

OUT_OF_SCOPE = frozenset(
    reason.value
    for reason in (
        *(Reason.NOT_SUCCESSFUL, Reason.CANCELLED, Reason.SKIPPED, Reason.REJECTED, Reason.ABANDONED),
        *(Reason.DRY_RUN, Reason.LOAD_TEST, Reason.PLATFORM_TEAM, Reason.NOT_ELIGIBLE, Reason.SUPERSEDED),
    )
)
"""Units that the indicator does not ask about: they are counted, but do not lower its coverage."""

T = TypeVar("T")

# Of these units are counted; of others values are looked at.
_COUNTED = frozenset({Shape.RATIO, Shape.FREQUENCY})

# So many groups are looked at together: of more, their rows would not stay in the processor's cache.
_AT_ONCE = 64


class Summary(NamedTuple):
    """The numbers of an indicator and a subject for each span, and until when (exclusive) they stay as they are."""

    until: int
    lengths: tuple[int, ...]
    held: tuple[Any, ...]
    """By span what its units are known by: while that is the same, so are its numbers."""
    numbers: tuple[tuple[Number, ...], ...]
    accounting: tuple[Accounting, ...]
    people: tuple[tuple[int, int], ...] = ()
    """Of an indicator about people, by span how many its numbers rest on, and how many there are in all."""


def summarise(
    indicator: Indicator, reader: Reader, spans: Sequence[Span], fresh: Collection[str]
) -> Iterator[Number | Accounting]:
    """The numbers of an indicator for each subject and span, and what stands beside them; without what is withheld."""
    rows, _ = shown(indicator, reader, spans, fresh)
    yield from rows


def shown(
    indicator: Indicator, reader: Reader, spans: Sequence[Span], fresh: Collection[str]
) -> tuple[list[Number | Accounting], frozenset[Cell]]:
    """The numbers of an indicator, what stands beside them, and what is withheld because it concerns too few people."""
    found = list(_summaries(indicator, reader, spans, frozenset(fresh)))
    cells = withheld_of(indicator, sizes_of(indicator, found), reader.organisation.smallest_group, spans)
    return [row for summary in found for row in rows_of(summary, cells)], cells


def rows_of(summary: Summary, cells: frozenset[Cell]) -> Iterator[Number | Accounting]:
    """The rows of a summary span by span, without those that are withheld."""
    for numbers, beside in zip(summary.numbers, summary.accounting, strict=True):
        if cells and Cell(beside.subject, beside.window, beside.dimension) in cells:
            continue
        yield from numbers
        yield beside


def sizes_of(indicator: Indicator, summaries: Iterable[Summary]) -> dict[Cell, tuple[int, int]]:
    """How many people each of an indicator's numbers is about; empty where it is not about people."""
    if not indicator.people:
        return {}
    return {
        Cell(beside.subject, beside.window, beside.dimension): people
        for summary in summaries
        for beside, people in zip(summary.accounting, summary.people, strict=True)
    }


def withheld_of(
    indicator: Indicator, sizes: Mapping[Cell, tuple[int, int]], smallest: int, spans: Sequence[Span]
) -> frozenset[Cell]:
    """What of an indicator's numbers is withheld because it concerns too few people."""
    lengths = {span.label: float(span.until - span.after) for span in spans}
    return withheld(sizes, smallest, lengths, sum(1 for label in indicator.labels if label))


def _summaries(indicator: Indicator, reader: Reader, spans: Sequence[Span], fresh: frozenset[str]) -> Iterator[Summary]:
    """The summaries of all groups whose sources are fresh."""
    cells = list(reader.cells(indicator))
    groups = [g for g in cells if g.sources <= fresh]
    earliest = min((reach_of(indicator, s) for s in spans), default=reader.now)
    # Those of stale sources too: whether a level's services share units is asked of all of them.
    reader.prepare((n for g in cells for n in g.series), earliest)
    for group in groups:
        yield summary_of(indicator, group, reader, spans)


def summary_of(
    indicator: Indicator, group: Group, reader: Reader, spans: Sequence[Span], before: Summary | None = None
) -> Summary:
    """The numbers of a group whose series are prepared. Rows that say the same as before are those of before."""
    if before is not None and before.lengths != _lengths(spans):
        before = None
    found = _going_on(_summary(indicator, group, reader, spans, before), before)
    return found._replace(people=_people(indicator, group, reader, spans, found)) if indicator.people else found


def summaries_of(
    indicator: Indicator,
    groups: Sequence[Group],
    reader: Reader,
    spans: Sequence[Span],
    before: Sequence[Summary | None],
) -> list[Summary]:
    """What `summary_of` gives for each of some groups; many small ones in one look, which costs far less."""
    found: dict[int, Summary] = {}
    known = [None if one is None or one.lengths != _lengths(spans) else one for one in before]
    if indicator.shape is Shape.DURATION and indicator.measure is None and not indicator.people:
        small = [n for n, group in enumerate(groups) if _is_small(indicator, group, reader)]
        for start in range(0, len(small), _AT_ONCE):
            some = small[start : start + _AT_ONCE]
            together = _together(indicator, [groups[n] for n in some], reader, spans, [known[n] for n in some])
            found |= {n: _going_on(own, known[n]) for n, own in zip(some, together, strict=True)}
    elif indicator.shape in _COUNTED and not indicator.people:
        plain = [n for n, group in enumerate(groups) if not reader.shares(indicator, group)]
        if plain:
            reader.count_anew(reader.series(indicator), spans)
            counts = _counts_of(indicator, [groups[n] for n in plain], reader, spans)
            for n, own in zip(plain, counts, strict=True):
                found[n] = _going_on(_counted(indicator, groups[n], reader, spans, own, known[n]), known[n])
    return [
        found[n] if n in found else summary_of(indicator, group, reader, spans, known[n])
        for n, group in enumerate(groups)
    ]


def _going_on(found: Summary, before: Summary | None) -> Summary:
    """A summary after another one: rows that say the same as before are those of before."""
    if before is None:
        return found
    pairs = zip(found.numbers, before.numbers, strict=True)
    numbers = tuple([own if own is known else _as_before(own, known) for own, known in pairs])
    accounting = _as_before(found.accounting, before.accounting)
    return found._replace(numbers=_as_before(numbers, before.numbers), accounting=accounting)


def _is_small(indicator: Indicator, group: Group, reader: Reader) -> bool:
    """Whether the units of a group are few, and each counts for itself."""
    size = 0
    for number in group.series:
        size += reader.columns.rows(number).at.size
        if size >= MANY:
            return False
    return not reader.shares(indicator, group)


class _Cut(NamedTuple):
    """The rows of some small groups side by side, and where the spans begin and end among those of each series.

    By group: how many series it has, what its units are known by in each span, and until when that holds.
    """

    rows: Rows
    starts: Ints
    ends: Ints
    series: Ints
    held: list[tuple[Any, ...]]
    until: list[int]


def _cut(groups: Sequence[Group], reader: Reader, spans: Sequence[Span]) -> _Cut:
    """The rows of small groups; the same for all indicators that read these."""
    key = (reader.columns.version, tuple(groups), tuple(spans))
    if key in reader.looked_at:
        known: _Cut = reader.looked_at[key]
        return known
    now, first = reader.now, min(s.after for s in spans)
    every = [reader.columns.rows(n) for group in groups for n in group.series]
    skipped = [_before(first, own, now) for own in every]
    whole, line = side_by_side(every, now, skipped)
    series = np.array([len(group.series) for group in groups])
    firsts = np.cumsum(series) - series
    edges = line.up_to(np.array([edge for s in spans for edge in (s.after, min(s.until, now))], dtype=np.int64))
    unripe = whole.unripe(now)
    starts, ends = edges[:, ::2], edges[:, 1::2]
    times = np.append(whole.at, NEVER)
    leaves = np.where(starts < ends, times[starts] + np.array(_lengths(spans)), NEVER)
    enters = np.where(ends < line.ends[:, np.newaxis], times[ends], NEVER)
    nexts = np.minimum(np.minimum(leaves, enters).min(axis=1), line.least(whole.matures_at, unripe, NEVER))
    until = np.minimum.reduceat(nexts, firsts).tolist()
    pending = np.add.reduceat(np.bincount(line.owner[unripe], minlength=line.sizes.size), firsts).tolist()
    cuts = np.add.reduceat(edges - (line.begins - np.array(skipped))[:, np.newaxis], firsts).tolist()
    held = [
        tuple([((own[i], own[i + 1]), waits) for i in range(0, len(own), 2)])
        for own, waits in zip(cuts, pending, strict=True)
    ]
    found = reader.looked_at[key] = _Cut(whole, starts, ends, series, held, until)
    return found


def _together(
    indicator: Indicator,
    groups: Sequence[Group],
    reader: Reader,
    spans: Sequence[Span],
    before: Sequence[Summary | None],
) -> list[Summary]:
    """The durations of small groups: their series stand side by side, and are cut, counted and sorted together."""
    width, lengths = reader.columns.width, _lengths(spans)
    whole, starts, ends, series, held, until = _cut(groups, reader, spans)
    units = units_of(whole, reader.now, indicator.column(), reader.columns.missing_time)
    new = np.array(
        [
            [known is None or known.held[i] != one for i, one in enumerate(own)]
            for own, known in zip(held, before, strict=True)
        ]
    )
    cells = np.cumsum(new).reshape(new.shape) - 1
    # Where each unit of a window that is looked at stands, and in which cell: that of its group and window.
    asked = np.repeat(new, series, axis=0)
    sizes = (ends - starts)[asked]
    places = np.repeat(starts[asked] - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
    cell, count = np.repeat(np.repeat(cells, series, axis=0)[asked], sizes), int(new.sum())
    codes = codes_of(units.outcome, units.reason)[places]
    histograms = iter(np.bincount(cell * width + codes, minlength=count * width).reshape(-1, width).tolist())
    told = (_described(column[places], codes, cell, count) for column in _columns(indicator, units))
    durations = zip(*told, strict=True)
    found = []
    for group, own, known, is_new, at in zip(groups, held, before, new.tolist(), until, strict=True):
        numbers, accounting = [], []
        for index, span in enumerate(spans):
            if known is not None and not is_new[index]:
                numbers.append(known.numbers[index])
                accounting.append(known.accounting[index])
                continue
            numbers.append(_numbers(indicator, group, span, next(durations)))
            accounting.append(_accounting(indicator, group, next(histograms), span, reader))
        found.append(Summary(at, lengths, own, tuple(numbers), tuple(accounting)))
    return found


def _before(after: int, rows: Rows, now: int) -> int:
    """How many of some rows nobody looks at: they are dated up to a time, and none of them waits."""
    return int(rows.at.searchsorted(after, side="right")) if rows.ripe_at <= now else 0


def _columns(indicator: Indicator, units: Units) -> list[Floats]:
    """The values of the whole and of its parts; unknown where units have none."""
    lacking = np.full(units.at.size, np.nan)
    known = len(units.values)
    return [units.values[n] if n < known else lacking for n in range(1 + len(indicator.dimensions))]


def _described(values: Floats, codes: Ints, cell: Ints, count: int) -> list[tuple[int, dict[str, float]]]:
    """How many units of each cell have a value, and its statistics."""
    there = (codes == _MEASURED) & ~np.isnan(values)
    own, values = cell[there], values[there]
    # So small a number is put in order by its digits, not by comparing.
    order = np.argsort(own.astype(np.int16 if count < 1 << 15 else np.int64), kind="stable")
    values, sizes = values[order], np.bincount(own, minlength=count).tolist()
    start = 0
    for size in sizes:
        values[start : start + size].sort()
        start += size
    return list(zip(sizes, described(values, sizes, QUANTILES), strict=True))


def _numbers(
    indicator: Indicator, group: Group, span: Span, told: Iterable[tuple[int, dict[str, float]]]
) -> tuple[Number, ...]:
    """The duration of a subject and span and its parts: a part that no unit has is absent, not 0."""
    dimensions = (group.cell, *indicator.dimensions)
    return tuple(
        [
            Number(
                indicator=indicator.name,
                subject=group.subject,
                window=span.label,
                dimension=dimension,
                n=size,
                stats=stats,
            )
            for place, (dimension, (size, stats)) in enumerate(zip(dimensions, told, strict=True))
            if place == 0 or size
        ]
    )


def _as_before(rows: tuple[T, ...], known: tuple[T, ...]) -> tuple[T, ...]:
    """The known rows where all are equal, else some rows of which each that is equal is the known one."""
    if rows == known:
        return known
    if len(rows) != len(known):
        return rows
    return tuple(old if row == old else row for row, old in zip(rows, known, strict=True))


def _people(
    indicator: Indicator, group: Group, reader: Reader, spans: Sequence[Span], found: Summary
) -> tuple[tuple[int, int], ...]:
    """By span how many people the numbers of a group rest on, and how many there are with those who wait or are left.

    An arithmetic of its own says itself how many; only where it rests on none, those beside it count.
    """
    if indicator.measure is not None:
        rows = zip(found.numbers, found.accounting, strict=True)
        return tuple((one.n, one.n or beside.pending + sum(beside.excluded.values())) for (one,), beside in rows)
    units = joined([reader.columns.rows(n).there(reader.now) for n in group.series])
    final = np.isin(units.outcome, (_GOOD, _BAD, _MEASURED)) & (units.matures_at <= reader.now)
    inside = [(units.at > s.after) & (units.at <= s.until) for s in spans]
    return tuple((distinct(units.unit[own & final]).size, distinct(units.unit[own]).size) for own in inside)


def _summary(
    indicator: Indicator, group: Group, reader: Reader, spans: Sequence[Span], before: Summary | None = None
) -> Summary:
    if indicator.measure is not None:
        return _measured(indicator, group, reader, spans, before)
    if indicator.shape is Shape.DURATION or reader.shares(indicator, group):
        return _of_units(indicator, group, reader, spans, before)
    reader.count_anew(group.series, spans)
    (counts,) = _counts_of(indicator, [group], reader, spans)
    return _counted(indicator, group, reader, spans, counts, before)


class _Counts(NamedTuple):
    """The histograms by span of what a group counts and of all it has, and until when (exclusive) these hold."""

    counted: list[list[int]]
    everything: list[list[int]]
    until: int


def _counts_of(
    indicator: Indicator, groups: Sequence[Group], reader: Reader, spans: Sequence[Span]
) -> Iterator[_Counts]:
    """What some groups, whose series were counted anew, count where each unit counts for itself."""
    every, until = reader.histograms_of([group.series for group in groups], spans)
    counted = everything = every.tolist()
    if indicator.shape is Shape.FREQUENCY and indicator.dimensions:
        own = [group.by_dimension.get(indicator.dimensions[0], ()) for group in groups]
        counted = reader.histograms_of(own, spans)[0].tolist()
    return map(_Counts, counted, everything, until.tolist())


def _counted(
    indicator: Indicator,
    group: Group,
    reader: Reader,
    spans: Sequence[Span],
    counts: _Counts,
    before: Summary | None,
) -> Summary:
    """The numbers of a group that counts its units."""
    held = tuple(zip(counts.counted, counts.everything, strict=True))
    numbers, accounting = [], []
    for index, span in enumerate(spans):
        if before is not None and before.held[index] == held[index]:
            numbers.append(before.numbers[index])
            accounting.append(before.accounting[index])
        else:
            numbers.append((_count(indicator, group, counts.counted[index], span),))
            accounting.append(_accounting(indicator, group, counts.everything[index], span, reader))
    return Summary(counts.until, _lengths(spans), held, tuple(numbers), tuple(accounting))


def _of_units(
    indicator: Indicator, group: Group, reader: Reader, spans: Sequence[Span], before: Summary | None
) -> Summary:
    """The numbers of a group where values count, or where a unit of several series counts once."""
    duration = indicator.shape is Shape.DURATION
    once = reader.shares(indicator, group)
    units = counted = reader.pooled(group, indicator.column() if duration else None, once=once)
    if indicator.shape is Shape.FREQUENCY and indicator.dimensions:
        counted = reader.pooled(group, None, indicator.dimensions[0], once=once)
    cuts, until = cuts_of(units, spans, reader.now)
    held, width = tuple((cut, units.pending) for cut in cuts), reader.columns.width
    new = [before is None or before.held[index] != one for index, one in enumerate(held)]
    histograms = iter(units.histograms([cut for cut, is_new in zip(cuts, new, strict=True) if is_new], width))
    numbers, accounting = [], []
    for index, (span, cut) in enumerate(zip(spans, cuts, strict=True)):
        if before is not None and not new[index]:
            numbers.append(before.numbers[index])
            accounting.append(before.accounting[index])
            continue
        if duration:
            numbers.append(tuple(_durations(indicator, group, units.between(*cut), span)))
        else:
            (own,) = counted.histograms([counted.cut(span.after, min(span.until, reader.now))], width)
            numbers.append((_count(indicator, group, own.tolist(), span),))
        accounting.append(_accounting(indicator, group, next(histograms).tolist(), span, reader))
    return Summary(until, _lengths(spans), held, tuple(numbers), tuple(accounting))


def _measured(
    indicator: Indicator, group: Group, reader: Reader, spans: Sequence[Span], before: Summary | None
) -> Summary:
    """The numbers of a group that the indicator's own arithmetic gives.

    One may change with time alone while units of it are pending, or where it looks at everything there ever was: it is
    measured again each time.
    """
    lengths, spans = _lengths(spans), spans_of(indicator, spans, reader.now)
    units = SampledUnits.of_group(group, reader)
    waits = units.waits(reader.now)
    until = units.until(indicator, spans, reader.now, waits)
    numbers, accounting, held = [], [], []
    for index, span in enumerate(spans):
        known = (units.places(indicator, span, reader.now), waits)
        held.append(known)
        if before is not None and before.held[index] == known and not waits and indicator.reach is not Reach.ALL:
            numbers.append(before.numbers[index])
            accounting.append(before.accounting[index])
            continue
        # A label's only value, and all its values together, are about the same units.
        place = (indicator.name, group.subject, group.series, span)
        if place not in reader.measured:
            sample = units.sample(indicator, group.subject, span, reader.now, reader.organisation)
            reader.measured[place] = measured(indicator, sample, span.label, group.cell)
        number, beside = reader.measured[place]
        numbers.append((msgspec.structs.replace(number, dimension=group.cell),))
        accounting.append(msgspec.structs.replace(beside, dimension=group.cell))
    return Summary(until, lengths, tuple(held), tuple(numbers), tuple(accounting))


def _lengths(spans: Sequence[Span]) -> tuple[int, ...]:
    return tuple(s.until - s.after for s in spans)


def _durations(indicator: Indicator, group: Group, units: Units, span: Span) -> Iterator[Number]:
    """The duration of a subject and span and its parts: a part that no unit has is absent, not 0."""
    whole, *parts = units.ordered(1 + len(indicator.dimensions), QUANTILES)
    yield _duration(indicator, group.subject, group.cell, whole, span)
    for part, values in zip(indicator.dimensions, parts, strict=True):
        if values.size:
            yield _duration(indicator, group.subject, part, values, span)


def _count(indicator: Indicator, group: Group, histogram: Sequence[int], span: Span) -> Number:
    """The share or frequency of a subject and span: no units, no value, except that a count of nothing is a fact."""
    stats: dict[str, float] = {}
    if indicator.shape is Shape.RATIO:
        n = histogram[_GOOD] + histogram[_BAD]
        share = histogram[CODES[Outcome(indicator.share_of)]]
        interval = wilson(share, n)
        if interval:
            stats = {"value": share / n, "low": interval[0], "high": interval[1]}
    else:
        n = histogram[_MEASURED] + histogram[_GOOD]
        if n:
            stats = {"per_day": n / span.days}  # that nothing happened is the count's to say
    return Number(
        indicator=indicator.name, subject=group.subject, window=span.label, dimension=group.cell, n=n, stats=stats
    )


def _duration(indicator: Indicator, subject: Subject, part: str, ordered: Floats, span: Span) -> Number:
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


def _accounting(indicator: Indicator, group: Group, histogram: Sequence[int], span: Span, reader: Reader) -> Accounting:
    excluded = reader.columns.excluded(histogram)
    used = histogram[_GOOD] + histogram[_BAD] + histogram[_MEASURED]
    asked = used + sum(n for reason, n in excluded.items() if reason not in OUT_OF_SCOPE)
    return Accounting(
        indicator=indicator.name,
        subject=group.subject,
        window=span.label,
        dimension=group.cell,
        pending=histogram[_PENDING],
        excluded=excluded,
        coverage=used / asked if asked else None,
    )
