"""The units of the store's series at a time: by whom they are about, in windows, kept from one evaluation to the next.

Reads the store; judges nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, product
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from collector.store import Judge, ObservationStore, Series, to_micros
from slo_engine.histograms import Histograms, Places, counted
from slo_engine.indicator import Indicator
from slo_engine.observation import MOST_PARTS, Outcome, Subject, label_values, labelled
from slo_engine.organisation import Organisation, levels
from slo_engine.selecting import takes_in
from slo_engine.sharing import Sharing
from slo_engine.slo import IndicatorSli
from slo_engine.units import CODES, NEVER, SHARED_FOR, Columns, Ints, Order, Pool, Units, by_time, units_of
from slo_engine.windows import Window

_MICROSECOND = timedelta(microseconds=1)
# Of so many series the histograms are counted in one look: their rows are copied for it.
_AT_ONCE = 1_000
_JUDGED = (Outcome.GOOD, Outcome.BAD)


class _Total(NamedTuple):
    """How many units of a series there ever were, and how many of them were good and bad."""

    units: int
    good: int
    bad: int


class Span(NamedTuple):
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


def subject_of(series: Series, organisation: Organisation | None = None) -> Subject:
    """Whom a series is about: with the team that the organisation gives its service, where it has none of its own."""
    team = series.team or (organisation.team(series.service) if organisation else "")
    return Subject(series.service, series.environment, team)


def published(indicator: Indicator, dimension: str) -> str:
    """The values of the labels that are published, of those that a dimension holds."""
    values = label_values(dimension, len(indicator.labels))
    return labelled(*(value for label, value in zip(indicator.labels, values, strict=True) if label))


def cells_of(indicator: Indicator, dimensions: Iterable[str]) -> dict[str, list[str]]:
    """What is published of an indicator with labels: cells of label values, each with the dimensions it takes in.

    Every combination that is there; of each label that is not `apart` also all its values together, with an empty one.
    What names no value of a label that is `shared` is in the cells of all its values.
    """
    found: dict[str, list[str]] = {}
    for dimension in dimensions:
        values = label_values(dimension, len(indicator.labels))
        choices: list[Iterable[str]] = []
        for label, value in zip(indicator.labels, values, strict=True):
            named = indicator.values[label] if label in indicator.shared and not value else (value,)
            choices += [dict.fromkeys(named if label in indicator.apart else ("", *named))] if label else []
        for cell in product(*choices):
            found.setdefault(labelled(*cell), []).append(dimension)
    return dict(sorted(found.items()))


def _whereabouts(series: Series) -> tuple[str, str]:
    """Where units of several services can be the same: in one indicator and environment."""
    return series.indicator, series.environment


@dataclass(frozen=True, eq=False)
class Group:
    """The series behind the numbers of a subject, by dimension. A level pools those of all its services.

    `own`: those that are about the subject itself. `cell`: the values of its indicator's labels, see `labelled`, where
    it holds the series of these alone.
    """

    subject: Subject
    by_dimension: Mapping[str, Sequence[int]]
    series: tuple[int, ...]
    sources: frozenset[str]
    pooled: bool = False
    own: tuple[int, ...] = ()
    cell: str = ""
    cells: dict[str, Sequence[Group]] = field(default_factory=dict)
    """By indicator the groups of its labels' values, once they were asked for."""
    pools: dict[str | None, Pool] = field(default_factory=dict)
    """The rows of a group once they were asked for, of all its series or of one dimension: several indicators read
    the same ones, and the group goes on with them when a series comes or goes."""
    names: dict[Any, Any] = field(default_factory=dict)
    """By what was asked, how its series are published; remembered as long as the group is."""
    sampled: Pool = field(default_factory=Pool)
    """The same for an arithmetic of its own, in the order in which it is given them."""


_SUBJECT = attrgetter("subject")


def _toggle(ordered: list[int], number: int) -> None:
    """Put a number into an ordered list, or take it out where it is in."""
    place = bisect_left(ordered, number)
    if place < len(ordered) and ordered[place] == number:
        del ordered[place]
    else:
        ordered.insert(place, number)


@dataclass
class _Wanted:
    """What is read of each series. It holds no reader, so that one that nobody asks any more is freed at once."""

    series: dict[int, Series]
    widths: Mapping[str, int]
    named: frozenset[str]
    has_levels: bool = False

    def width(self, number: int) -> int:
        return self.widths.get(self.series[number].indicator, MOST_PARTS + 1)

    def is_named(self, number: int) -> bool:
        # Only where services are pooled it matters which units they share.
        return self.has_levels or self.series[number].indicator in self.named


class Reader:
    """The units of the store's series at a time. What was read is kept, so that a later time costs what changed.

    With an organisation a service's numbers carry its team, and each level of teams has numbers of its own; so has each
    level of the teams that observations name. What names neither a service nor a team is about the whole organisation.
    `widths`: by indicator how many values its units can have; what is not told may have all. `named`: the indicators
    whose units are told apart in any case.
    """

    def __init__(
        self,
        store: ObservationStore,
        at: datetime,
        organisation: Organisation | None = None,
        widths: Mapping[str, int] | None = None,
        named: Iterable[str] = (),
    ) -> None:
        self._store = store
        self.now = to_micros(at)
        self.organisation = organisation or Organisation()
        self.widths, self.named = dict(widths or {}), frozenset(named)
        self._start_anew()

    def _start_anew(self) -> None:
        self._series = self._store.series()
        self._wanted = _Wanted(self._series, self.widths, self.named)
        self.columns = Columns(self._store, self._wanted.width, self._wanted.is_named)
        self.kept: dict[Any, dict[int, Any]] = {}
        """By what was asked, what others remember of a series: it is forgotten when the series changes."""
        self.measured: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        """What an arithmetic of its own made at this time of some units of a subject, by indicator, series and span."""
        self.looked_at: dict[Any, Any] = {}
        """What was made of the rows of some groups for one indicator: the next one that reads the same needs it too."""
        self._looks_at = ""
        self._totals: dict[int, tuple[_Total, int]] = {}
        self._histograms: dict[tuple[Any, ...], Histograms] = {}
        self._sharing: dict[tuple[str, str], set[int]] = {}
        self._looks: defaultdict[tuple[str, str], Sharing] = defaultdict(Sharing)
        self._pools: dict[tuple[Any, ...], Group] = {}
        self._of_service: dict[tuple[str, str], list[int]] = {}
        self._at_place: dict[tuple[str, str], list[int]] = {}
        self._groups: dict[str, list[Group]] = {}
        self._subjects: dict[tuple[str, str, str], frozenset[Subject]] = {}
        """By service, environment and team, all that a series of these is counted for."""
        self._regroup()

    def _levels_there(self) -> bool:
        """Whether anything has a team, by the catalogue or by itself."""
        return any(s.team for s in self.organisation.services) or any(s.team for s in self._series.values())

    def _regroup(self) -> None:
        """Sort all series anew; groups that stay as they are stay the same objects."""
        self.has_levels = self._wanted.has_levels = self._levels_there()
        self._pools, self._of_service, self._at_place, self._subjects = {}, {}, {}, {}
        for number, series in sorted(self._series.items()):
            self._at_place.setdefault(_whereabouts(series), []).append(number)
            for service in {"", series.service}:
                self._of_service.setdefault((series.indicator, service), []).append(number)
        for name in {s.indicator for s in self._series.values()} | set(self._groups):
            before = {g.subject: g for g in self._groups.get(name, ())}
            self._groups[name] = self._grouped(self._of_service.get((name, ""), ()), before)

    def _exchange(self, gone: Mapping[int, Series], fresh: Mapping[int, Series]) -> None:
        """Take some series out and put others in: only the groups that they belong to are made anew."""
        news: dict[tuple[str, Subject], dict[str, list[int]]] = {}
        places: set[tuple[str, str]] = set()
        for number, series in (*gone.items(), *fresh.items()):
            _toggle(self._at_place.setdefault(_whereabouts(series), []), number)
            for service in {"", series.service}:
                places.add((series.indicator, service))
                _toggle(self._of_service.setdefault((series.indicator, service), []), number)
            for one in self._whose(series):
                news.setdefault((series.indicator, one), {}).setdefault(series.dimension, []).append(number)
        self._pools = {key: pool for key, pool in self._pools.items() if key[:2] not in places}
        for (name, subject), numbers in news.items():
            groups = self._groups.setdefault(name, [])
            place = bisect_left(groups, subject, key=_SUBJECT)
            known = groups[place] if place < len(groups) and groups[place].subject == subject else None
            groups[place : place + (known is not None)] = self._exchanged(subject, known, numbers)

    def _exchanged(self, subject: Subject, known: Group | None, news: Mapping[str, Sequence[int]]) -> list[Group]:
        """A group with some series more or less; none where none is left."""
        held = {} if known is None else dict(known.by_dimension)
        for dimension, numbers in news.items():
            ids = list(held.get(dimension, ()))
            for number in numbers:
                _toggle(ids, number)
            held[dimension] = ids
        # Dimensions stand in the order of their first series, as when all are sorted anew.
        by_dimension = dict(sorted(((d, ids) for d, ids in held.items() if ids), key=lambda item: item[1][0]))
        pooled = any(subject in self._above(self._series[n]) for ids in by_dimension.values() for n in ids)
        new = tuple(chain.from_iterable(news.values()))
        return [self._group(subject, by_dimension, known, new, pooled=pooled)] if by_dimension else []

    def _group(
        self,
        subject: Subject,
        by_dimension: Mapping[str, Sequence[int]],
        known: Group | None,
        new: Collection[int] | None = None,
        *,
        pooled: bool,
    ) -> Group:
        """The group of some series: the known one where that has the same. `new`: those it lacks."""
        series = tuple(chain.from_iterable(by_dimension.values()))
        if known is not None and known.series == series and known.pooled == pooled:
            return known
        pools = {} if known is None else known.pools
        own = series
        if pooled:
            before, asked = ((), series) if known is None or not known.pooled or new is None else (known.own, new)
            found = {*before, *(n for n in asked if self._is_about(n, subject))}
            own = tuple(n for n in series if n in found)
        return Group(subject, by_dimension, series, frozenset(self.sources(series)), pooled, own, pools=pools)

    def _is_about(self, number: int, subject: Subject) -> bool:
        """True where a series is there and about a subject itself."""
        return number in self._series and self._own_subject(self._series[number]) == subject

    def _own_subject(self, series: Series) -> Subject:
        """Whom a series is about; what names nobody is about the whole organisation, where that is a level."""
        subject = subject_of(series, self.organisation)
        return subject._replace(team="/") if self.has_levels and not (subject.service or subject.team) else subject

    def _above(self, series: Series) -> set[Subject]:
        """The levels that pool a series."""
        if not self.has_levels:
            return set()
        subject = self._own_subject(series)
        return {Subject("", subject.environment, one) for one in levels(subject.team) or (subject.team,) if one}

    def _whose(self, series: Series) -> frozenset[Subject]:
        """All that a series is counted for."""
        place = series.service, series.environment, series.team
        found = self._subjects.get(place)
        if found is None:
            found = self._subjects[place] = frozenset({self._own_subject(series), *self._above(series)})
        return found

    def _groups_of(self, series: Series) -> Iterator[Group]:
        """The groups that a series is in."""
        groups = self._groups.get(series.indicator, [])
        return (groups[bisect_left(groups, one, key=_SUBJECT)] for one in self._whose(series))

    def turn(self, at: datetime, changes: Mapping[int, int], organisation: Organisation) -> set[Group]:
        """Go on to a later time; the groups that changed by then. Going back forgets everything.

        `changes`: for each series that changed, the earliest time (microseconds) where it did.
        """
        now, before = to_micros(at), self.now
        moved = organisation.services != self.organisation.services
        self.now, self.organisation = now, organisation
        self.measured.clear()
        self.looked_at.clear()
        if now < before or (moved and not self.has_levels and any(s.team for s in organisation.services)):
            return self._all_anew()
        for number, first in changes.items():
            self.columns.forget(number, first)
            self._totals.pop(number, None)
            for known in self.kept.values():
                known.pop(number, None)
            for histograms in self._histograms.values():
                histograms.forget(number)
            if number in self._series:
                self._sharing.pop(_whereabouts(self._series[number]), None)
        gone, fresh = self._changed_series(changes)
        if any(s.team for s in (*gone.values(), *fresh.values())) and self._levels_there() != self.has_levels:
            return self._all_anew()
        for number in changes:
            if number in self._series:
                self._sharing.pop(_whereabouts(self._series[number]), None)
        if moved:
            self._regroup()
        else:
            self._exchange(gone, fresh)
        return {g for n in changes if n in self._series for g in self._groups_of(self._series[n])}

    def _all_anew(self) -> set[Group]:
        self._start_anew()
        return {g for groups in self._groups.values() for g in groups}

    def _changed_series(self, changes: Mapping[int, int]) -> tuple[dict[int, Series], dict[int, Series]]:
        """The series that are gone, and those that are new."""
        if not changes:
            return {}, {}
        there = self._store.series(among=changes)
        gone = {n: self._series.pop(n) for n in changes if n not in there and n in self._series}
        fresh = {n: s for n, s in there.items() if n not in self._series}
        self._series |= fresh
        return gone, fresh

    def look_at(self, indicator: Indicator) -> None:
        """Hear which indicator comes now: what was made of other rows is not needed any more."""
        if indicator.observed_as != self._looks_at:
            self.looked_at.clear()
        self._looks_at = indicator.observed_as

    def series(self, indicator: Indicator) -> Sequence[int]:
        """The series of an indicator."""
        return self._of_service.get((indicator.observed_as, ""), ())

    def groups(self, indicator: Indicator) -> Sequence[Group]:
        """The series of an indicator by subject, in the order of subjects: levels of teams come first."""
        return self._groups.get(indicator.observed_as, ())

    def cells(self, indicator: Indicator) -> Iterable[Group]:
        """The groups of an indicator's published numbers in the order of subjects, by the values of its labels."""
        groups = self.groups(indicator)
        return chain.from_iterable(self._split(indicator, g) for g in groups) if indicator.labels else groups

    def _split(self, indicator: Indicator, group: Group) -> Sequence[Group]:
        """A group by the values of its indicator's labels; remembered as long as the group is."""
        found = group.cells.get(indicator.name)
        if found is None:
            cells = cells_of(indicator, group.by_dimension)
            found = group.cells[indicator.name] = [self._cell(group, *one) for one in cells.items()]
        return found

    def _cell(self, group: Group, cell: str, dimensions: Sequence[str]) -> Group:
        by_dimension = {d: group.by_dimension[d] for d in dimensions}
        series = tuple(chain.from_iterable(by_dimension.values()))
        sources = frozenset(self.sources(series))
        return Group(group.subject, by_dimension, series, sources, group.pooled, group.own, cell)

    def whole(self, indicator: Indicator) -> Sequence[Group]:
        """All series of an indicator together, whomever they are about, by the values of its labels."""
        by_dimension: dict[str, list[int]] = {}
        for number in self.series(indicator):
            by_dimension.setdefault(self._series[number].dimension, []).append(number)
        series = tuple(chain.from_iterable(by_dimension.values()))
        if not series:
            return []
        group = Group(Subject(), by_dimension, series, frozenset(self.sources(series)), pooled=True)
        return self._split(indicator, group) if indicator.labels else [group]

    def pool(self, indicator: Indicator, sli: IndicatorSli) -> Group:
        """The series of an indicator that an SLI on it takes in."""
        key = (indicator.observed_as, sli.service, sli.environment, sli.team, sli.labels)
        if key not in self._pools:
            ids = self._of_service.get((indicator.observed_as, sli.service), ())
            series = tuple(n for n in ids if takes_in(sli, indicator, self._series[n], self.organisation))
            subject = Subject(sli.service, sli.environment, sli.team)
            self._pools[key] = Group(subject, {"": series}, series, frozenset(self.sources(series)))
        return self._pools[key]

    def _grouped(self, numbers: Sequence[int], before: Mapping[Subject, Group]) -> list[Group]:
        found: dict[Subject, dict[str, list[int]]] = {}
        pooled: set[Subject] = set()
        whose: dict[tuple[str, str, str], frozenset[Subject]] = {}
        for number in numbers:
            series = self._series[number]
            place = series.service, series.environment, series.team
            if place not in whose:
                pooled |= self._above(series)
                whose[place] = self._whose(series)
            for one in whose[place]:
                found.setdefault(one, {}).setdefault(series.dimension, []).append(number)
        return [
            self._group(subject, by_dimension, before.get(subject), pooled=subject in pooled)
            for subject, by_dimension in sorted(found.items())
        ]

    def whose(self, numbers: Iterable[int]) -> list[tuple[Subject, str]]:
        """Whom some series are about, each with its dimension."""
        own = [self._series[n] for n in numbers]
        return [(self._own_subject(series), series.dimension) for series in own]

    def sources(self, numbers: Iterable[int]) -> set[str]:
        """The sources that some series rest on; what has none is Paceline's own knowledge, and never stale."""
        return {one for source in {self._series[n].source for n in numbers} for one in source.split("+") if one}

    def prepare(self, numbers: Iterable[int], after: int) -> None:
        """Have what some series hold after a time."""
        # A unit that two services share is looked for a little before the window.
        self.columns.prepare(numbers, after - SHARED_FOR if self.has_levels else after, self.now)

    def units(self, number: int, column: int | None = None) -> Units:
        """The units of a prepared series, with the column that judges them; see `units_of`."""
        return units_of(self.columns.rows(number), self.now, column, self.columns.missing_time)

    def pooled(
        self, group: Group, column: int | None = None, dimension: str | None = None, *, once: bool = False
    ) -> Units:
        """The units of a group whose series are prepared, or of one dimension; see `Pool.units`."""
        numbers = group.series if dimension is None else group.by_dimension.get(dimension, ())
        if len(numbers) == 1:
            return self.units(numbers[0], column)
        pool = self.filled(group.pools.setdefault(dimension, Pool()), numbers, by_time, exact=once)
        return pool.units(self.now, column, self.columns.missing_time, once=once)

    def filled(self, pool: Pool, numbers: Sequence[int], order: Order, *, exact: bool = False) -> Pool:
        """A pool with the rows that some prepared series have now."""
        version, known = pool.stamp
        if version != self.columns.version or known is not numbers:
            pool.fill({n: self.columns.rows(n) for n in numbers}, self.columns.changed_from, order, exact=exact)
            pool.stamp = self.columns.version, numbers
        return pool

    def histograms_of(self, series: Sequence[Sequence[int]], spans: Sequence[Span]) -> tuple[Ints, Ints]:
        """Of several sets of series that were counted anew the histograms of each by span, and until when these hold.

        They hold up to that time, which is left out.
        """
        return self._histograms_of(spans).pooled(series)

    def count_anew(self, numbers: Sequence[int], spans: Sequence[Span]) -> None:
        """Have the histograms of some prepared series: many at once cost far less than one by one."""
        self._counted(self._histograms_of(spans), numbers, spans)

    def _histograms_of(self, spans: Sequence[Span]) -> Histograms:
        width = self.columns.width
        key = (width, *((s.after - self.now, s.until - self.now) for s in spans))
        if key not in self._histograms:
            self._histograms[key] = Histograms(len(spans), width)
        return self._histograms[key]

    def _counted(self, known: Histograms, numbers: Sequence[int], spans: Sequence[Span]) -> Places:
        """Where the histograms of some series stand, all of which hold now."""
        places = known.places(numbers)
        expired = known.expired(places, self.now)
        final = [n for n in expired if self.columns.rows(numbers[n]).is_final(self.now)]
        for start in range(0, len(final), _AT_ONCE):
            some = final[start : start + _AT_ONCE]
            rows = [self.columns.rows(numbers[n]) for n in some]
            edges = [(s.after, s.until) for s in spans]
            known.put(places[some], *counted(rows, edges, self.now, self.columns.width))
        for n in set(expired).difference(final):
            units = self.units(numbers[n])
            cuts, until = cuts_of(units, spans, self.now)
            known.put(places[n], units.histograms(cuts, self.columns.width), until)
        return places

    def shares(self, indicator: Indicator, group: Group) -> bool:
        """True where services of one level and environment, whose series are prepared, have a unit in common."""
        if not group.pooled:
            return False
        place = indicator.observed_as, group.subject.environment
        sharing = self._sharing.get(place)
        if sharing is None:
            units = {number: self.columns.rows(number).unit for number in self._at_place.get(place, ())}
            sharing = self._sharing[place] = self._looks[place].among(units)
        return bool(sharing) and not sharing.isdisjoint(group.series)

    def count(self, numbers: Iterable[int]) -> set[int]:
        """Have the totals of some prepared series: one question to the store for all that are not known; which."""
        missing = [n for n in numbers if n not in self._totals or self._totals[n][1] <= self.now]
        if missing:
            before = self.columns.tallies(missing, Judge())
            for number in missing:
                units = self.units(number)
                end = int(units.at.searchsorted(self.now, side="right"))
                until = min(units.ripens_at, int(units.at[end]) if end < units.at.size else NEVER)
                good, bad = (int(np.count_nonzero(units.outcome[:end] == CODES[one])) for one in _JUDGED)
                found = before[number]
                self._totals[number] = (_Total(found.units + end, found.good + good, found.bad + bad), until)
        return set(missing)

    def total(self, indicator: Indicator, group: Group) -> Iterator[tuple[str, int]]:
        """For each dimension of a counted group how many units there ever were, whatever became of them.

        Of a level only what is about itself; of labels each combination of values, but for the indicator's own labels;
        of a tallied indicator the good and the bad ones.
        """
        own = set(group.own) if group.pooled else None
        if indicator.tallied:
            totals = [self._totals[n][0] for n in (group.series if own is None else own)]
            yield from zip(_JUDGED, (sum(t.good for t in totals), sum(t.bad for t in totals)), strict=True)
            return
        found: dict[str, int] = {}
        for dimension, ids in group.by_dimension.items():
            shown = published(indicator, dimension) if indicator.labels else dimension
            counted = ids if own is None else [n for n in ids if n in own]
            if counted:
                found[shown] = found.get(shown, 0) + sum(self._totals[n][0].units for n in counted)
        yield from found.items()


def cuts_of(units: Units, spans: Sequence[Span], now: int) -> tuple[list[tuple[int, int]], int]:
    """Where the spans begin and end among some units, and until when (exclusive) rolling ones hold the same."""
    places = units.at.searchsorted(_edges(tuple(spans), now), side="right").tolist()
    cuts = list(zip(places[::2], places[1::2], strict=True))
    nexts = (_next(units.at, cut, s.until - s.after) for cut, s in zip(cuts, spans, strict=True))
    return cuts, min([units.ripens_at, *nexts])


@lru_cache(maxsize=8)
def _edges(spans: tuple[Span, ...], now: int) -> Ints:
    """Where spans begin and end, of what is dated up to now."""
    return np.array([edge for s in spans for edge in (s.after, min(s.until, now))], dtype=np.int64)


def _next(times: Ints, cut: tuple[int, int], length: int) -> int:
    """When the first unit leaves a rolling window, or the next one enters."""
    start, end = cut
    leaves = int(times[start]) + length if start < end else NEVER
    enters = int(times[end]) if end < times.size else NEVER
    return min(leaves, enters)
