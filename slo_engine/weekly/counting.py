"""The states of SLOs at several times, from units that are read once: those of all series of an SLO lie together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collector.store import ObservationStore
from slo_engine.indicator import Indicator, widths_of
from slo_engine.reading import Group, Reader
from slo_engine.slices import length_of
from slo_engine.slo import Slo
from slo_engine.slo_states import (
    Conditions,
    Pooled,
    is_counted,
    judge_of,
    looked_back,
    needed_windows,
    pooled_state,
    with_others,
)
from slo_engine.snapshot import SloState
from slo_engine.units import ALL_TIME, Columns, Rows, Units, by_time, joined, units_of


class SloUnits:
    """The units of SLOs as far back as they were asked for. What tells the units of a series apart is not read."""

    def __init__(
        self, store: ObservationStore, slos: Sequence[Slo], indicators: Mapping[str, Indicator], reader: Reader
    ) -> None:
        widths = widths_of(indicators)
        values = {number: widths[i.observed_as] for i in indicators.values() for number in reader.series(i)}
        self._store, self._indicators, self._reader = store, indicators, reader
        self._columns = Columns(store, values.__getitem__, lambda _: False)
        self._windows = needed_windows(slos)
        self._pools: dict[Sequence[int], tuple[int, Rows]] = {}
        """By series, rows in the order of time with the version of the columns that they are from."""
        self._first: dict[str, int | None] = {}
        """By SLO when its first final unit was of those that lie before what was read."""

    def read(self, slos: Iterable[Slo], now: int, after: int) -> None:
        """Have the units that the states of some SLOs need from a time on, and those after another; in microseconds."""
        own = [s for s in slos if is_counted(s)]
        wanted: dict[int, int] = {}
        for slo in own:
            margin = 0 if slo.budgeting == "occurrences" else length_of(slo)
            start = min(looked_back(slo, now, self._windows[slo.name]), after - margin)
            wanted |= {n: start for n in self.group(slo).series if start < wanted.get(n, now)}
        self._have(wanted, now)
        self._look_before(own, wanted, now)

    def _have(self, wanted: Mapping[int, int], now: int) -> None:
        """Have the rows of each series after its time."""
        alike: dict[int, list[int]] = {}
        for number, after in wanted.items():
            alike.setdefault(after, []).append(number)
        for after, numbers in alike.items():
            self._columns.prepare(numbers, after, now)

    def _look_before(self, slos: Sequence[Slo], wanted: Mapping[int, int], now: int) -> None:
        """Find the first final units of SLOs before what was read. Where one may still mature, all is read."""
        asked: dict[tuple[Any, int], set[int]] = {}
        for slo in slos:
            judge = judge_of(slo, self._indicators[slo.indicator])[0]
            for number in self.group(slo).series:
                asked.setdefault((judge, wanted[number]), set()).add(number)
        found = {
            (judge, number): first
            for (judge, after), numbers in asked.items()
            for number, first in self._store.first_finals(numbers, after, now, judge).items()
        }
        self._have({number: ALL_TIME for (_, number), (_, ripens) in found.items() if ripens}, now)
        for slo in slos:
            judge = judge_of(slo, self._indicators[slo.indicator])[0]
            firsts = [found[judge, n][0] for n in self.group(slo).series]
            self._first[slo.name] = min((at for at in firsts if at is not None), default=None)

    def group(self, slo: Slo) -> Group:
        """The series of an SLO."""
        return self._reader.pool(self._indicators[slo.indicator], slo.counted)

    def units(self, slo: Slo, now: int) -> Units:
        """The units of an SLO at a time, in the order of time, as far as they were read."""
        column = judge_of(slo, self._indicators[slo.indicator])[1]
        return units_of(self._rows(self.group(slo).series), now, column, self._columns.missing_time)

    def _rows(self, series: Sequence[int]) -> Rows:
        version, rows = self._pools.get(series, (-1, joined(())))
        if version != self._columns.version:
            rows = joined([self._columns.rows(n) for n in series])
            if len(series) > 1:
                rows = rows.taken(by_time(rows, rows.unit))
            self._pools[series] = self._columns.version, rows
        return rows

    def states(self, slos: Sequence[Slo], now: int, conditions: Conditions) -> tuple[SloState, ...]:
        """The states of some SLOs of all kinds at a time, in their order; the parts of composites are among them.

        Each has its own window, and those of the composites that it is a part of.
        """
        counted = {s.name: self._state(s, now, conditions) for s in slos if is_counted(s)}
        return with_others(slos, counted, now, conditions)

    def _state(self, slo: Slo, now: int, conditions: Conditions) -> SloState:
        units = self.units(slo, now)
        unknown = units.at[units.reason == self._columns.unknown]
        own = Pooled(self.group(slo), units, unknown, self._first[slo.name])
        smallest = self._reader.organisation.smallest_group
        return pooled_state(
            slo, self._indicators[slo.indicator], own, now, conditions, self._windows[slo.name], smallest
        )
