"""Observations, windows and subjects → a frozen Snapshot. Reads the store; judges nothing by the wall clock.

A number is withheld, not repeated, while a source it rests on is stale; a window without units has no number. What did
not change since the evaluation before is the same object as then: no unit entered, left or matured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import chain, count
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from collector.bulk import seldom_collecting
from collector.store import ObservationStore
from slo_engine import burn
from slo_engine.benchmarks import QUICK_CHECK, quick_check
from slo_engine.exclusions import Exclusion
from slo_engine.indicator import Indicator, Shape, named_of, widths_of
from slo_engine.numbers import Summary, rows_of, sizes_of, summaries_of, withheld_of
from slo_engine.observation import Subject
from slo_engine.organisation import Organisation
from slo_engine.reading import Group, Reader, Span, rolling
from slo_engine.sampling import reach_of
from slo_engine.slo import Slo
from slo_engine.slo_states import (
    Conditions,
    Standing,
    concerned,
    earliest,
    excluding,
    is_counted,
    standings,
    stated,
    thresholds_of,
    with_others,
)
from slo_engine.snapshot import Accounting, Number, Part, SloState, Snapshot, SourceState, Written
from slo_engine.suppression import Cell
from slo_engine.windows import INDICATOR_WINDOWS, Window

_SCORED_WINDOWS = frozenset({"28d", "90d"})
_SCORED_STATS = ("p50", "per_day", "value")


class _Judged(NamedTuple):
    """An SLO's state with what it was made from."""

    slo: Slo
    pool: Group
    standings: list[Standing]
    missing: frozenset[str]
    tiers: tuple[burn.Tier, ...]
    smallest: int
    state: SloState
    settled: bool
    """Whether it stays as it is with what it was made from."""


class _Promised(NamedTuple):
    """What follows from the SLOs, the tiers and the exclusions alone."""

    slos: tuple[Slo, ...]
    tiers: tuple[burn.Tier, ...]
    exclusions: tuple[Exclusion, ...]
    thresholds: Mapping[str, Mapping[tuple[str, burn.Severity], Decimal]]
    concerned: Mapping[str, Sequence[Exclusion]]


_NONE: frozenset[Cell] = frozenset()
_Totals = tuple[tuple[str, float], ...]
_Write = Callable[[Part, Written | None], Written | None]


class _Known(NamedTuple):
    """A part of a snapshot with what it was made from."""

    summaries: tuple[Summary, ...]
    cells: frozenset[Cell]
    """What of its indicator is withheld."""
    part: Part
    written: Written | None = None
    """Its lines, where they are written with it."""


_Sources = tuple[Mapping[Subject, _Known], ...]
"""What scores are made from: the parts of each indicator of the Quick Check."""
_Found = Mapping[tuple[Subject, str], Mapping[str, float]]
"""Scores by subject and window."""


class Wanted(NamedTuple):
    """What another process is asked to evaluate; `whose`: the evaluator that asks, another one for each."""

    whose: int
    indicators: Mapping[str, Indicator]
    at: datetime
    fresh: frozenset[str]
    windows: tuple[Window, ...]
    changes: Mapping[int, int]
    """Which series changed since the question before, and from what time on (microseconds)."""


class Other(Protocol):
    """Evaluates some indicators in another process while this one evaluates the rest."""

    def evaluate(self, organisation: Organisation, wanted: Wanted) -> bool:
        """Let it begin; False where nobody is to wait for it."""

    def evaluated(self) -> Mapping[str, Mapping[Subject, Part]] | None:
        """The parts of what was asked for, by indicator, when they are there; None where it cannot say."""


class Lines(Protocol):
    """Writes how parts are published, while there is time for it."""

    def begin(self) -> None:
        """Hear that parts are about to be written."""

    def write(self, indicator: Indicator, part: Part, before: Written | None) -> Written | None:
        """The lines of a part, given those of the part before; None where there are none."""


class _KeptBack(NamedTuple):
    """What is withheld of an indicator about people, with what that follows from."""

    smallest: int
    sizes: dict[Cell, tuple[int, int]]
    cells: frozenset[Cell]


_names = count(1)


class Evaluator:
    """Evaluates one store again and again. What did not change costs a look, and stays the same object.

    One thread evaluates at a time; changes may be told from any. With `lines` each part is written at once: a part of
    it while the other process evaluates.
    """

    def __init__(self, store: ObservationStore, other: Other | None = None, lines: Lines | None = None) -> None:
        self._store, self._other, self._lines, self._name = store, other, lines, next(_names)
        self._reader: Reader | None = None
        self._told: SimpleQueue[Mapping[int, int]] = SimpleQueue()
        self._summaries: dict[str, dict[Group, Summary]] = {}
        self._states: dict[str, _Judged] = {}
        self._parts: dict[str, _Parts] = {}
        self._kept_back: dict[str, _KeptBack] = {}
        self._scores: dict[Subject, _Scores] = {}
        self._scored_for: Organisation | None = None
        self._scored_from: Sequence[_Parts] = [_NO_PARTS for _ in QUICK_CHECK]
        self._scored_as: _Found = {}
        self._promised: _Promised | None = None
        self._totals: dict[str, dict[Group, _Totals]] = {}

    def apply(self, changes: Mapping[int, int]) -> None:
        """Hear which series changed since the last evaluation, and from what time on (microseconds)."""
        if changes:
            self._told.put(changes)

    def evaluate(  # noqa: PLR0913, PLR0917 - everything a snapshot depends on, and nothing else
        self,
        indicators: Mapping[str, Indicator],
        slos: Sequence[Slo],
        sources: Sequence[SourceState],
        at: datetime,
        tiers: Sequence[burn.Tier] = (),
        windows: Sequence[Window] = INDICATOR_WINDOWS,
        organisation: Organisation | None = None,
        exclusions: Sequence[Exclusion] = (),
    ) -> Snapshot:
        """Everything that is known at a time, from the stored observations up to then."""
        organisation = organisation or Organisation()
        conditions = Conditions(
            fresh=frozenset(s.name for s in sources if s.fresh), tiers=tuple(tiers), exclusions=tuple(exclusions)
        )
        with seldom_collecting():
            return self._evaluated(indicators, slos, sources, at, windows, organisation, conditions)

    def _evaluated(  # noqa: PLR0913, PLR0917 - as evaluate
        self,
        indicators: Mapping[str, Indicator],
        slos: Sequence[Slo],
        sources: Sequence[SourceState],
        at: datetime,
        windows: Sequence[Window],
        organisation: Organisation,
        conditions: Conditions,
    ) -> Snapshot:
        changes = self._changes()
        elsewhere = self._begun(_apart(indicators), at, windows, organisation, conditions.fresh, changes)
        reader = self._turned(at, organisation, indicators, changes)
        spans, smallest = rolling(windows, at), organisation.smallest_group
        promised = self._followed(tuple(slos), conditions)
        own = [one for name, one in indicators.items() if name not in elsewhere]
        counted = {s.indicator for s in slos if is_counted(s)}
        _prepare(reader, [*own, *(indicators[n] for n in counted & elsewhere)], spans, slos)
        shown = {one.name: self._shown(one, reader, spans, conditions.fresh) for one in own}
        suppressed = self._withheld(shown, indicators, spans, smallest)
        totals = self._counted(indicators, reader, smallest)
        states = self._slo_states(slos, indicators, reader, conditions)
        parts = self._in_parts(indicators, shown, self._parts, totals, suppressed)
        found = self._other.evaluated() if self._other is not None and elsewhere else {}
        if found is None:  # it was killed meanwhile
            left = [indicators[name] for name in elsewhere]
            _prepare(reader, left, spans, slos)
            shown = {one.name: self._shown(one, reader, spans, conditions.fresh) for one in left}
            parts |= self._in_parts(indicators, shown, self._parts, totals, suppressed)
        parts |= {name: _Parts.found(own, self._parts.get(name, _NO_PARTS)) for name, own in (found or {}).items()}
        self._parts = {name: parts[name] for name in indicators}
        return Snapshot.of(
            self._ordered_parts(),
            at=at,
            suppressed=suppressed,
            slos=states,
            thresholds=promised.thresholds,
            excluding=excluding(promised.concerned, reader.now),
            sources=tuple(sources),
            services=organisation.services,
            scores=self._scored(organisation),
        )

    def parts(self, wanted: Wanted, organisation: Organisation) -> Iterator[tuple[str, Mapping[Subject, Part]]]:
        """The parts of some indicators by name, one after the other, without totals, and with nothing withheld."""
        self.apply(wanted.changes)
        with seldom_collecting():
            reader = self._turned(wanted.at, organisation, wanted.indicators, self._changes())
            spans = rolling(wanted.windows, wanted.at)
            _prepare(reader, wanted.indicators.values(), spans, ())
            before, self._parts = self._parts, {}
            for name, indicator in wanted.indicators.items():
                shown = {name: self._shown(indicator, reader, spans, wanted.fresh)}
                self._parts |= self._in_parts(wanted.indicators, shown, before, {}, {})
                yield name, {subject: one.part for subject, one in self._parts[name].known.items()}

    def _changes(self) -> dict[int, int]:
        """Which series changed since the last evaluation, as it was told, and from what time on."""
        changes: dict[int, int] = {}
        while not self._told.empty():
            for number, first in self._told.get().items():
                changes[number] = min(first, changes.get(number, first))
        return changes

    def _begun(
        self,
        indicators: Mapping[str, Indicator],
        at: datetime,
        windows: Sequence[Window],
        organisation: Organisation,
        fresh: frozenset[str],
        changes: Mapping[int, int],
    ) -> frozenset[str]:
        """Which of some indicators another process evaluates meanwhile."""
        if self._other is None or not indicators:
            return frozenset()
        wanted = Wanted(self._name, indicators, at, fresh, tuple(windows), changes)
        return frozenset(indicators) if self._other.evaluate(organisation, wanted) else frozenset()

    def _turned(
        self,
        at: datetime,
        organisation: Organisation,
        indicators: Mapping[str, Indicator],
        changes: Mapping[int, int],
    ) -> Reader:
        """The reader at a time. What is remembered of groups that changed since is forgotten."""
        widths, named = widths_of(indicators), named_of(indicators)
        if self._reader is None or (self._reader.widths, self._reader.named) != (widths, named):
            self._reader = Reader(self._store, at, organisation, widths, named)
            self._summaries, self._states = {}, {}
            return self._reader
        measured_for, remembered = self._reader.organisation, [own for own in self._summaries.values() if own]
        for group in self._reader.turn(at, changes, organisation):
            cells = chain.from_iterable(group.cells.values())
            for changed in (group, *cells):
                for known in remembered:
                    known.pop(changed, None)
        if organisation != measured_for:  # an indicator's own arithmetic may ask the organisation
            for name in named & self._summaries.keys():
                del self._summaries[name]
        return self._reader

    def _shown(
        self, indicator: Indicator, reader: Reader, spans: Sequence[Span], fresh: frozenset[str]
    ) -> dict[Group, Summary]:
        """The numbers of an indicator whose sources are fresh, by group."""
        reader.look_at(indicator)
        known = self._summaries.get(indicator.name, {})
        lengths = tuple(s.until - s.after for s in spans)
        groups = list(reader.cells(indicator))
        shown = [(group, known.get(group)) for group in groups if group.sources <= fresh]
        anew = [(g, own) for g, own in shown if own is None or own.until <= reader.now or own.lengths != lengths]
        new = summaries_of(indicator, [g for g, _ in anew], reader, spans, [own for _, own in anew])
        known |= {group: own for (group, _), own in zip(anew, new, strict=True)}
        found = {group: known[group] for group, _ in shown}
        if len(known) > len(groups):
            known = {g: known[g] for g in groups if g in known}
        self._summaries[indicator.name] = known
        return found

    def _withheld(
        self,
        shown: Mapping[str, Mapping[Group, Summary]],
        indicators: Mapping[str, Indicator],
        spans: Sequence[Span],
        smallest: int,
    ) -> dict[str, frozenset[Cell]]:
        """What is withheld of the indicators about people: as before where their numbers are about as many."""
        before, self._kept_back = self._kept_back, {}
        for name, known in shown.items():
            if not indicators[name].people:
                continue
            last, sizes = before.get(name), sizes_of(indicators[name], known.values())
            if last is None or (last.smallest, last.sizes) != (smallest, sizes):
                last = _KeptBack(smallest, sizes, withheld_of(indicators[name], sizes, smallest, spans))
            self._kept_back[name] = last
        return {name: kept.cells for name, kept in self._kept_back.items()}

    def _counted(
        self, indicators: Mapping[str, Indicator], reader: Reader, smallest: int
    ) -> dict[str, dict[Subject, _Totals]]:
        """By indicator how many units of each dimension there ever were, whatever became of them; or good and bad ones.

        Levels have only their own: a counter is summed where it is asked for, and a service that moves would make it
        fall. Of people, what concerns fewer than the smallest group is left out.
        """
        counted = [i for i in indicators.values() if i.shape is Shape.FREQUENCY or i.tallied]
        groups = {i.name: [g for g in reader.groups(i) if g.own] for i in counted}
        anew = reader.count(n for own in groups.values() for group in own for n in group.own)
        before, self._totals = self._totals, {}
        for one in counted:
            known = {} if one.people else before.get(one.name, {})
            self._totals[one.name] = {
                group: known[group]
                if group in known and anew.isdisjoint(group.own)
                else _totals(one, group, reader, smallest)
                for group in groups[one.name]
            }
        return {name: {g.subject: totals for g, totals in own.items()} for name, own in self._totals.items()}

    def _in_parts(
        self,
        indicators: Mapping[str, Indicator],
        shown: Mapping[str, Mapping[Group, Summary]],
        before: Mapping[str, _Parts],
        totals: Mapping[str, Mapping[Subject, _Totals]],
        suppressed: Mapping[str, frozenset[Cell]],
    ) -> dict[str, _Parts]:
        """The parts of the indicators that are shown, after those of before."""
        if self._lines is not None:
            self._lines.begin()
        found: dict[str, _Parts] = {}
        for name, own in shown.items():
            last, cells = before.get(name, _NO_PARTS), suppressed.get(name, _NONE)
            write = None if self._lines is None else partial(self._lines.write, indicators[name])
            last = _NO_PARTS if last.elsewhere else last
            found[name] = _Parts.of(name, own, totals.get(name, {}), cells, last, write)
        return found

    def _ordered_parts(self) -> list[Part]:
        """The parts of a snapshot; what has totals alone comes last."""
        found: list[Part] = []
        alone: list[Part] = []
        for parts in self._parts.values():
            every = [one.part for one in parts.known.values()]
            found += every[: len(parts.places)]
            alone += every[len(parts.places) :]
        return found + alone

    def _slo_states(
        self, slos: Sequence[Slo], indicators: Mapping[str, Indicator], reader: Reader, conditions: Conditions
    ) -> tuple[SloState, ...]:
        """The states of SLOs, in their order; composites after their parts are known."""
        counted = {s.name: self._state(s, indicators[s.indicator], reader, conditions) for s in slos if is_counted(s)}
        return with_others(slos, counted, reader.now, conditions)

    def _followed(self, slos: tuple[Slo, ...], conditions: Conditions) -> _Promised:
        """What follows from the SLOs, the tiers and the exclusions: as before where these are the same."""
        asked, before = (slos, conditions.tiers, conditions.exclusions), self._promised
        if before is None or before[:3] != asked:
            slos, tiers, exclusions = asked
            before = self._promised = _Promised(*asked, thresholds_of(slos, tiers), concerned(slos, exclusions))
        return before

    def _state(self, slo: Slo, indicator: Indicator, reader: Reader, conditions: Conditions) -> SloState:
        """The state of an SLO: that of before where all it was made from is the same."""
        pool = reader.pool(indicator, slo.counted)
        made_from, missing = standings(slo, indicator, reader, pool, conditions), pool.sources - conditions.fresh
        before, smallest = self._states.get(slo.name), reader.organisation.smallest_group
        if (
            before is not None
            and before.settled
            and before.pool is pool
            and (before.slo, before.missing, before.standings) == (slo, missing, made_from)
            and (before.tiers, before.smallest) == (conditions.tiers, smallest)
        ):
            return before.state
        found = stated(slo, indicator, reader, pool, made_from, conditions)
        # Between nothing and all, coverage grows with time.
        settled = found.coverage >= 1 or (bool(made_from) and all(s.first_at is None for s in made_from))
        self._states[slo.name] = _Judged(slo, pool, made_from, missing, conditions.tiers, smallest, found, settled)
        return found

    def _scored(self, organisation: Organisation) -> Mapping[tuple[Subject, str], Mapping[str, float]]:
        """The Quick Check scores of production in the windows that have them."""
        parts = tuple(self._parts.get(name, _NO_PARTS) for name in QUICK_CHECK)
        before, last = self._scored_from, self._scored_as
        anew = organisation != self._scored_for
        self._scored_for, self._scored_from = organisation, parts
        found = None if anew else self._rescored(before, parts, last)
        self._scored_as = found or self._scored_anew(tuple(one.known for one in parts), anew=anew)
        return self._scored_as

    def _rescored(self, before: Sequence[_Parts], now: Sequence[_Parts], last: _Found) -> _Found | None:
        """The scores where those of some subjects differ from before; None where others have scores than had."""
        changed: dict[Subject, None] = {}
        for was, own in zip(before, now, strict=True):
            if own is was:
                continue
            if own.after != was.number:
                return None
            for subject in own.news:
                if bool(was.known[subject].part.numbers) is not bool(own.known[subject].part.numbers):
                    return None
                changed[subject] = None
        found, sources = dict(last), tuple(one.known for one in now)
        for subject in changed:
            known = self._scores.get(subject)
            if known is not None and known.production:
                score = self._scores[subject] = known.of(_numbers_of(subject, sources))
                if list(score.scores) != list(known.scores):
                    return None
                found.update(((subject, window), own) for window, own in score.scores.items())
        return found

    def _scored_anew(self, now: _Sources, *, anew: bool) -> _Found:
        """The scores of all subjects; `anew`: which of them are production may be other than before."""
        before, self._scores = {} if anew else self._scores, {}
        own = [[subject for subject, one in parts.items() if one.part.numbers] for parts in now]
        for subject in dict.fromkeys(chain.from_iterable(own)):
            last = before.get(subject)
            if last is None:
                last = _Scores(self._production(subject))
            self._scores[subject] = last.of(_numbers_of(subject, now)) if last.production else last
        return {(subject, window): own for subject, one in self._scores.items() for window, own in one.scores.items()}

    def _production(self, subject: Subject) -> bool:
        return self._scored_for is not None and self._scored_for.is_production(subject.service, subject.environment)


def _apart(indicators: Mapping[str, Indicator]) -> dict[str, Indicator]:
    """What another process may evaluate: durations with parts, which have most values and lines, and these parts.

    Nothing about people: what is withheld of them follows from all their numbers together.
    """
    durations = {name: one for name, one in indicators.items() if one.shape is Shape.DURATION and not one.people}
    return {name: one for name, one in durations.items() if one.dimensions or one.part_of is not None}


def _prepare(reader: Reader, indicators: Iterable[Indicator], spans: Sequence[Span], slos: Sequence[Slo]) -> None:
    """Have what indicators and SLOs look at: of each series since the earliest time that is asked for it."""
    wanted: dict[int, list[int]] = {}
    earliest_at = earliest(slos, reader.now)
    for indicator in indicators:
        after = min([earliest_at, *(reach_of(indicator, s) for s in spans)])
        wanted.setdefault(after, []).extend(reader.series(indicator))
    for after, numbers in sorted(wanted.items()):  # what is held from a time on is not read again for a later one
        reader.prepare(dict.fromkeys(numbers), after)


class _Parts(NamedTuple):
    """The parts of an indicator, with what they were made from."""

    groups: tuple[Group, ...] = ()
    summaries: tuple[Summary, ...] = ()
    """Those of the groups, in their order."""
    places: Mapping[Subject, tuple[int, ...]] = {}
    """Where the groups of each subject stand."""
    totals: Mapping[Subject, _Totals] = {}
    known: Mapping[Subject, _Known] = {}
    """The part of each subject; those that have totals alone come last."""
    elsewhere: bool = False
    """Whether another process made them: then nobody knows from what."""
    number: int = 0
    """Tells those of one indicator at different times apart."""
    after: int = -1
    """The number of those before, which were of the same subjects; -1 where they were of others."""
    news: Sequence[Subject] = ()
    """The subjects that are others than in those before."""

    @classmethod
    def found(cls, parts: Mapping[Subject, Part], last: _Parts) -> _Parts:
        """The parts that another process made, after others."""
        if last.elsewhere and last.places.keys() == parts.keys() and list(last.places) == list(parts):
            places, known = last.places, dict(last.known)
            pairs = zip(parts.items(), last.known.values(), strict=True)
            news = {subject: _Known((), _NONE, part) for (subject, part), old in pairs if old.part is not part}
            known.update(news)
            return cls(places=places, known=known, elsewhere=True, number=next(_names), after=last.number, news=[*news])
        known = {subject: _Known((), _NONE, part) for subject, part in parts.items()}
        return cls(places=dict.fromkeys(parts, ()), known=known, elsewhere=True, number=next(_names))

    @classmethod
    def of(
        cls,
        name: str,
        shown: Mapping[Group, Summary],
        totals: Mapping[Subject, _Totals],
        cells: frozenset[Cell],
        last: _Parts,
        write: _Write | None,
    ) -> _Parts:
        """The parts of an indicator after others: of subjects without news they are the same objects."""
        groups, summaries = tuple(shown), tuple(shown.values())
        if _same_subjects(groups, last.groups) and totals.keys() == last.totals.keys():
            places, known, after = last.places, dict(last.known), last.number
            pairs = zip(groups, summaries, last.summaries, strict=True)
            news = [group.subject for group, new, old in pairs if new is not old]
            news += [subject for subject, own in totals.items() if own != last.totals[subject]]
            news += [subject for subject, one in known.items() if one.cells is not cells]
        else:
            places, known, after = _places(groups), {}, -1
            news = [*places, *totals]
        changed = dict.fromkeys(news)
        for subject in changed:
            rows = tuple([summaries[place] for place in places.get(subject, ())])
            before, counted = last.known.get(subject), totals.get(subject, ())
            known[subject] = _known((name, subject), rows, cells, counted, before, write)
        return cls(groups, summaries, places, totals, known, number=next(_names), after=after, news=[*changed])


_NO_PARTS = _Parts()


def _same_subjects(groups: Sequence[Group], others: Sequence[Group]) -> bool:
    """True where groups are about the same subjects, one by one; nearly all are the same groups."""
    return len(groups) == len(others) and not any(
        new is not old and new.subject != old.subject for new, old in zip(groups, others, strict=True)
    )


def _places(groups: Sequence[Group]) -> dict[Subject, tuple[int, ...]]:
    """Where the groups of each subject stand."""
    found: dict[Subject, tuple[int, ...]] = {}
    for place, group in enumerate(groups):
        found[group.subject] = (*found.get(group.subject, ()), place)
    return found


def _known(
    key: tuple[str, Subject],
    summaries: tuple[Summary, ...],
    cells: frozenset[Cell],
    totals: _Totals,
    last: _Known | None,
    write: _Write | None,
) -> _Known:
    """A part with what it is made from: that of before where its rows are the same objects."""
    if last is not None and last.cells is cells and last.part.totals == totals and _same(last.summaries, summaries):
        return last._replace(summaries=summaries)
    part = _part(key, summaries, cells, totals)
    written = None if write is None else write(part, None if last is None else last.written)
    return _Known(summaries, cells, part if written is None else part._replace(lines=written.pieces), written)


def _part(
    key: tuple[str, Subject],
    summaries: Sequence[Summary],
    cells: frozenset[Cell],
    totals: _Totals,
) -> Part:
    if not cells and len(summaries) == 1:  # nearly always, and of many services
        (one,) = summaries
        return Part(*key, tuple(chain.from_iterable(one.numbers)), one.accounting, totals)
    if not cells:
        numbers = tuple(chain.from_iterable(n for s in summaries for n in s.numbers))
        return Part(*key, numbers, tuple(chain.from_iterable(s.accounting for s in summaries)), totals)
    rows = [row for s in summaries for row in rows_of(s, cells)]
    numbers = tuple(row for row in rows if isinstance(row, Number))
    return Part(*key, numbers, tuple(row for row in rows if isinstance(row, Accounting)), totals)


def _same(some: tuple[Summary, ...], others: tuple[Summary, ...]) -> bool:
    """True where the rows of the summaries are the same objects, one by one."""
    return len(some) == len(others) and all(
        a is b or (a.numbers is b.numbers and a.accounting is b.accounting) for a, b in zip(some, others, strict=True)
    )


class _Scores(NamedTuple):
    """The Quick Check scores of a subject by window, with the numbers and the values that they were made from."""

    production: bool
    numbers: tuple[tuple[Number, ...], ...] = ((),) * len(QUICK_CHECK)
    told: tuple[Mapping[str, float | None], ...] = ({},) * len(QUICK_CHECK)
    """The value of each indicator by window."""
    values: Mapping[str, Mapping[str, float | None]] = {}
    scores: Mapping[str, Mapping[str, float]] = {}

    def of(self, numbers: tuple[tuple[Number, ...], ...]) -> _Scores:
        """The scores of some numbers, by the indicators of the Quick Check: those known where unchanged."""
        known = zip(numbers, self.numbers, self.told, strict=True)
        told = tuple([values if rows is before else _scored_values(rows) for rows, before, values in known])
        values: dict[str, dict[str, float | None]] = {}
        for name, own in zip(QUICK_CHECK, told, strict=True):
            for window, value in own.items():
                values.setdefault(window, {})[name] = value
        scores = {
            window: self.scores.get(window, {}) if self.values.get(window) == own else _scores(own)
            for window, own in values.items()
        }
        return _Scores(self.production, numbers, told, values, {window: own for window, own in scores.items() if own})


def _numbers_of(subject: Subject, parts: _Sources) -> tuple[tuple[Number, ...], ...]:
    """The numbers of a subject by indicator; empty where it has none."""
    found = [own.get(subject) for own in parts]
    return tuple([() if one is None else one.part.numbers for one in found])


def _scored_values(rows: Iterable[Number]) -> dict[str, float | None]:
    """By window the value of an indicator that has a score."""
    found: dict[str, float | None] = {}
    for row in rows:
        if row.window in _SCORED_WINDOWS and row.window not in found:
            found[row.window] = _scored_value(row.stats)  # of parts, the whole comes first
    return found


def _scored_value(stats: Mapping[str, float]) -> float | None:
    """The statistic that has a score; None where there is none."""
    for key in _SCORED_STATS:
        value = stats.get(key, -1.0)
        if value >= 0:
            return value
    return None


def _scores(values: Mapping[str, float | None]) -> dict[str, float]:
    """The scores of a subject's values by indicator, and their means; nothing for what has no value."""
    return quick_check(values).by_kind


def _totals(indicator: Indicator, group: Group, reader: Reader, smallest: int) -> _Totals:
    """How many units of each dimension a counted group ever had; of people not what concerns too few."""
    return tuple(
        (dimension, float(total))
        for dimension, total in reader.total(indicator, group)
        if not (indicator.people and 0 < total < smallest)
    )


def evaluate(  # noqa: PLR0913, PLR0917 - everything a snapshot depends on, and nothing else
    store: ObservationStore,
    indicators: Mapping[str, Indicator],
    slos: Sequence[Slo],
    sources: Sequence[SourceState],
    at: datetime,
    tiers: Sequence[burn.Tier] = (),
    windows: Sequence[Window] = INDICATOR_WINDOWS,
    organisation: Organisation | None = None,
    exclusions: Sequence[Exclusion] = (),
) -> Snapshot:
    """Everything that is known at a time, from the stored observations up to then: once, with nothing remembered."""
    return Evaluator(store).evaluate(indicators, slos, sources, at, tiers, windows, organisation, exclusions)
