"""The units that an indicator's own arithmetic is given, and what it makes of them. Pure.

Samples are put together in one order whatever that of the units, so that sums of floats are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from slo_engine.indicator import Indicator, Reach
from slo_engine.measure import Mask, Sample
from slo_engine.observation import Outcome, Subject
from slo_engine.organisation import Organisation
from slo_engine.reading import Group, Reader, Span
from slo_engine.snapshot import Accounting, Number
from slo_engine.units import ALL_TIME, CODES, NEVER, Codes, Floats, Ints, Rows, joined

NOW = "now"
"""The window's label of a number that looks at everything there ever was."""

_PENDING, _EXCLUDED = CODES[Outcome.PENDING], CODES[Outcome.EXCLUDED]


def reach_of(indicator: Indicator, span: Span) -> int:
    """The time after which an indicator looks at units, in microseconds, for the number of a span."""
    if indicator.measure is None or indicator.reach is Reach.WINDOW:
        return span.after
    return ALL_TIME if indicator.reach is Reach.ALL else 2 * span.after - span.until


def spans_of(indicator: Indicator, spans: Sequence[Span], now: int) -> Sequence[Span]:
    """The spans that an indicator has numbers for: those asked for, or the one of everything up to now."""
    if indicator.reach is not Reach.ALL or not spans:
        return spans
    return [Span(ALL_TIME, now, NOW)]


class SampledUnits(NamedTuple):
    """The stored units of a number in the order of time, before any window is cut: see `Sample` for the columns."""

    at: Ints
    value: Floats
    outcome: Codes
    matures_at: Ints
    unit: Ints
    dimension: Ints
    dimensions: tuple[str, ...]

    @classmethod
    def of(cls, parts: Iterable[tuple[str, Rows]]) -> SampledUnits:
        """The units of some series, each with what its units name."""
        known = list(parts)
        names = tuple(sorted({name for name, _ in known}))
        rows = joined([rows for _, rows in known])
        sizes = [rows.at.size for _, rows in known]
        dimension = np.repeat(np.array([names.index(name) for name, _ in known], dtype=np.int64), sizes)
        order = _order(rows, dimension)
        return cls._made(rows.taken(order), dimension[order], names)

    @classmethod
    def of_group(cls, group: Group, reader: Reader) -> SampledUnits:
        """The units of a group whose series are prepared: in order already but for what is new."""
        names = tuple(sorted(group.by_dimension))
        codes = np.zeros(max(group.series, default=0) + 1, dtype=np.int64)
        for code, name in enumerate(names):
            codes[list(group.by_dimension[name])] = code
        pool = reader.filled(group.sampled, group.series, lambda rows, owner: _order(rows, codes[owner]))
        return cls._made(pool.rows, codes[pool.owner], names)

    @classmethod
    def _made(cls, rows: Rows, dimension: Ints, names: tuple[str, ...]) -> SampledUnits:
        return cls(rows.at, rows.values[0], rows.outcome, rows.matures_at, rows.unit, dimension, names)

    def places(self, indicator: Indicator, span: Span, now: int) -> tuple[int, ...]:
        """Where the stretches that a number looks at begin and end: while these are the same, so are its units."""
        edges = {reach_of(indicator, span), span.after, min(span.until, now)}
        return tuple(int(place) for place in self.at.searchsorted(sorted(edges), side="right"))

    def waits(self, now: int) -> int:
        """How many units are pending at a time: while some are, a number may change with time alone."""
        return int(np.count_nonzero(_waiting(self, now)))

    def until(self, indicator: Indicator, spans: Sequence[Span], now: int, waits: int) -> int:
        """Until when (exclusive) rolling spans hold the same units, and no number changes with time alone."""
        if indicator.reach is Reach.ALL or waits:
            return now
        found = [NEVER]
        for edge in {e for s in spans for e in (reach_of(indicator, s), s.after)} | {now}:
            place = int(self.at.searchsorted(edge, side="right"))
            if place < self.at.size:
                found.append(int(self.at[place]) + now - edge)
        return min(found)

    def sample(
        self, indicator: Indicator, subject: Subject, span: Span, now: int, organisation: Organisation
    ) -> Sample:
        """The units within an indicator's reach of a span, without those that are gone."""
        start, end = self.at.searchsorted((reach_of(indicator, span), min(span.until, now)), side="right")
        kept: slice | Ints = slice(start, end)
        pending = self.outcome[kept] == _PENDING
        if pending.any():
            matures_at = self.matures_at[kept]
            kept = start + np.flatnonzero(~pending | (matures_at == ALL_TIME) | (matures_at > now))
        return Sample(
            after=span.after,
            until=span.until,
            now=now,
            subject=subject,
            organisation=organisation,
            at=self.at[kept],
            value=self.value[kept],
            outcome=self.outcome[kept],
            matures_at=self.matures_at[kept],
            unit=self.unit[kept],
            dimension=self.dimension[kept],
            dimensions=self.dimensions,
        )


def _order(rows: Rows, dimension: Ints) -> Ints:
    """The order of time; of the same time that of what can be told apart, so that it is one whatever that of rows."""
    found: Ints = np.lexsort((rows.values[0], rows.outcome, dimension, rows.at))
    return found


def _waiting(units: SampledUnits, now: int) -> Mask:
    """Which units are pending: because nothing says when they mature, or because they have not."""
    endless = (units.outcome == _PENDING) & (units.matures_at == ALL_TIME)
    found: Mask = (endless & (units.at <= now)) | ((units.matures_at > now) & (units.outcome != _EXCLUDED))
    return found


def measured(indicator: Indicator, sample: Sample, window: str, cell: str) -> tuple[Number, Accounting]:
    """What an indicator's own arithmetic makes of a sample. A statistic that is no finite number has no value."""
    assert indicator.measure is not None  # noqa: S101 - the caller asks for indicators with a measure
    found = indicator.measure(sample)
    stats = {name: float(found.stats[name]) for name in indicator.stats if name in found.stats}
    number = Number(
        indicator=indicator.name,
        subject=sample.subject,
        window=window,
        dimension=cell,
        n=found.n,
        stats={name: value for name, value in stats.items() if isfinite(value)},
    )
    return number, Accounting(
        indicator=indicator.name,
        subject=sample.subject,
        window=window,
        dimension=cell,
        pending=found.pending,
        excluded={reason: n for reason, n in sorted(found.excluded.items()) if n},
        coverage=found.coverage,
    )
