"""From a number to the events behind it, and back: the units listed add up to the number that is exported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from collector.errors import PacelineError
from collector.store import EventStore, ObservationRow, ObservationStore, from_micros, to_micros
from slo_engine.catalog import QUANTILES, metrics_of
from slo_engine.counted import Counted, Role, Tally, UnitJudge, count
from slo_engine.event_lines import EventLine, line_of, one_line
from slo_engine.indicator import Indicator, Shape, named_of, widths_of
from slo_engine.numbers import OUT_OF_SCOPE, shown, summarise
from slo_engine.observation import Outcome, Subject, label_values
from slo_engine.of_indicator import narrowed
from slo_engine.organisation import Organisation, levels
from slo_engine.reading import Group, Reader, Span, rolling
from slo_engine.sampling import NOW, measured, reach_of, spans_of
from slo_engine.snapshot import Accounting, Number, Snapshot, SourceState
from slo_engine.statistics import median_interval, quantiles, wilson
from slo_engine.suppression import Cell
from slo_engine.unit_lines import UnitLine, UnitLines
from slo_engine.units import ALL_TIME
from slo_engine.weekly.week import Week
from slo_engine.windows import INDICATOR_WINDOWS, parse_window

MOST_UNITS = 10_000
"""How many units one answer lists at most; it always says how many there are."""

_COLUMNS = ("series_id", *ObservationRow._fields)


class UnknownIndicator(PacelineError):  # noqa: N818 - it says what is asked for, and what there is
    """There is no indicator, and no exported metric, of this name."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which number is asked for. Empty text takes in everything.

    `window` is a rolling window; `week`, an ISO week, replaces it. `team` is a level of the organisation
    (`/commerce`), whose services are pooled. `labels` are values of the indicator's labels; all values of one that is
    not named are taken together, but for one that is kept apart. Of the units `limit` are listed, from the `offset`-th
    on.
    """

    window: str = "28d"
    week: str = ""
    service: str = ""
    environment: str = ""
    team: str = ""
    dimension: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    limit: int = MOST_UNITS
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class ExplainedNumber:
    """A number added up from its units, beside the exported one.

    `dimension` is the part of a duration, or the values of the published labels. `numerator` and `denominator`: of a
    ratio its two counts; of a frequency the count and the days of the window; other shapes have none. `exported` are
    the statistics as they are published, None where they are not: because the window is not, or because the sources in
    `stale` have not succeeded lately. `fewer_than`: the number is withheld, since it or what it would reveal is about
    fewer people than this; then nothing else is told.
    """

    subject: Subject
    dimension: str
    n: int | None
    numerator: float | None
    denominator: float | None
    stats: Mapping[str, float]
    exported: Mapping[str, float] | None
    stale: tuple[str, ...]
    fewer_than: int | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether the units add up to the exported number; None where none is exported."""
        return None if self.exported is None else dict(self.exported) == dict(self.stats)


@dataclass(frozen=True, kw_only=True)
class SourceAge:
    """How old the data of a source is. Its numbers are exported only while it is fresh."""

    name: str
    fresh: bool
    last_success_at: datetime | None
    age_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A number, its definition, and the units behind or beside it, oldest first.

    Units after `after` are looked at: the beginning of the window, or what else the indicator's arithmetic looks back
    to; None where that is everything there ever was. `total` is how many units there are; `units` are those from the
    `offset`-th on, as many as were asked for.

    `kept_since`: for kinds of events that are not kept from the beginning of that time on, since when they are.
    """

    indicator: Indicator
    window: str
    after: datetime | None
    until: datetime
    at: datetime
    numbers: tuple[ExplainedNumber, ...]
    accounting: tuple[Accounting, ...]
    sources: tuple[SourceAge, ...]
    total: int
    offset: int
    units: tuple[UnitLine, ...]
    kept_since: Mapping[str, datetime] = field(default_factory=dict)

    def not_kept(self) -> list[str]:
        """What is to be said of events that are no longer kept, in sentences."""
        return [
            f"Events of the kind {kind} from before {at:%Y-%m-%d} are no longer kept: their units stand as they were "
            "judged, without the events themselves."
            for kind, at in self.kept_since.items()
        ]


def subject_text(subject: Subject) -> str:
    """For whom a number is, as people read it: `api/production, /commerce/checkout`, or `/commerce, production`."""
    named = "/".join(filter(None, (subject.service, subject.environment)))
    return one_line(", ".join(filter(None, (named, subject.team) if subject.service else (subject.team, named))))


def find_indicator(indicators: Mapping[str, Indicator], name: str) -> Indicator:
    """The indicator of a name, or of the name of one of its exported metrics. Raises UnknownIndicator."""
    if name in indicators:
        return indicators[name]
    for indicator in indicators.values():
        if name == indicator.metric or name in {m.name for m in metrics_of(indicator).all()}:
            return indicator
    raise UnknownIndicator(f"{name!r} is no indicator; there are {', '.join(sorted(indicators))}")


def explain(  # noqa: PLR0913 - a number's whole address, and all that it is judged by
    indicator: Indicator,
    selection: Selection,
    observations: ObservationStore,
    events: EventStore,
    *,
    at: datetime,
    zone: ZoneInfo,
    sources: Sequence[SourceState],
    organisation: Organisation | None = None,
    published: Snapshot | None = None,
    kept_since: Mapping[str, int] | None = None,
) -> Explanation:
    """The units of an indicator in a rolling window that ends at `at`, or in an ISO week.

    A week is judged as its summary judges it: at its end, or now where it has not ended. The exported numbers are
    those of a snapshot, else of an evaluation made now. Raises PacelineError for a window or week that cannot be
    read, and for a part the indicator does not have. `kept_since`: for kinds of which old events are not kept, since
    when they are (microseconds). A stale source hides no unit here: events are facts, whatever
    the age of the last run.
    """
    _check(indicator, selection)
    span = _span(at, zone, selection)
    at = min(at, from_micros(span.until))
    (span,) = spans_of(indicator, [span], to_micros(at))
    own = {indicator.name: indicator}
    known = narrowed(observations, indicator.observed_as, organisation or Organisation())
    reader = Reader(known, at, organisation, widths_of(own), named_of(own))
    series = observations.series(indicator.observed_as)
    # A derivation may run meanwhile: what has gone since is left out.
    chosen = {g: [n for n in ids if n in series] for g, ids in _chosen(indicator, selection, reader).items()}
    cells = _withheld(indicator, selection, span, reader)
    groups = {g: ids for g, ids in chosen.items() if Cell(g.subject, span.label, g.cell) not in cells}
    judge = UnitJudge(indicator, selection.dimension, to_micros(at))
    after = reach_of(indicator, span)
    counted = count(groups, series, observations, judge, after)
    fresh = {s.name for s in sources if s.fresh}
    found = [_explained(judge, group, counted, span, reader) for group in groups]
    exported = _exported(indicator, span, fresh, reader, published)
    rows = _page(counted, observations, judge, after, selection)
    line = UnitLines(judge, series, organisation or Organisation(), _events_of(rows, events))
    return Explanation(
        indicator=indicator,
        window=span.label,
        after=None if after <= ALL_TIME else from_micros(after),
        until=from_micros(span.until),
        at=at,
        numbers=(
            *(
                _beside_exported(number, group, fresh, exported)
                for group, (numbers, _) in zip(groups, found, strict=True)
                for number in numbers
            ),
            *(_of_few(group, reader.organisation.smallest_group) for group in chosen if group not in groups),
        ),
        accounting=tuple(beside for _, beside in found),
        sources=tuple(_ages(sorted({s for g in groups for s in g.sources}), sources, at)),
        total=counted.total,
        offset=selection.offset,
        units=tuple(line(row[0], ObservationRow(*row[1:])) for row in rows),
        kept_since={k: from_micros(since) for k, since in sorted((kept_since or {}).items()) if since > after},
    )


def _withheld(indicator: Indicator, selection: Selection, span: Span, reader: Reader) -> frozenset[Cell]:
    """What is withheld because it concerns too few people, whatever the age of the sources."""
    if not indicator.people:
        return frozenset()
    # All published windows together: what one reveals of another is withheld in each.
    spans = [span] if selection.week or span.label == NOW else rolling(INDICATOR_WINDOWS, from_micros(reader.now))
    _, cells = shown(indicator, reader, spans, reader.sources(reader.series(indicator)))
    return cells


def _of_few(group: Group, smallest: int) -> ExplainedNumber:
    """A number that is withheld."""
    return replace(_number(group, group.cell, 0, None, {}), n=None, fewer_than=smallest)


def _check(indicator: Indicator, selection: Selection) -> None:
    """Raise PacelineError for a part or label that the indicator does not have, and for a window that is not shown."""
    published = [w.label for w in INDICATOR_WINDOWS]
    if indicator.people and not selection.week and selection.window not in published:
        listed = ", ".join(published)
        raise PacelineError(f"{indicator.name} is about people: it is told for {listed} or a week, not for others")
    if selection.dimension and selection.dimension not in indicator.dimensions:
        known = f"one of {', '.join(indicator.dimensions)}" if indicator.dimensions else "no dimension"
        raise PacelineError(f"{indicator.name} has no {selection.dimension!r}; expected {known}")
    for label, _ in selection.labels:
        if not label or label not in indicator.labels:
            listed = ", ".join(filter(None, indicator.labels))
            raise PacelineError(f"{indicator.name} has no label {label!r}; expected {listed or 'no label'}")


def label_choice(text: str) -> tuple[str, str]:
    """A label and its value from `journey=provision-db`. Raises PacelineError for what is no such choice."""
    label, between, value = text.partition("=")
    if not (label and between and value):
        raise PacelineError(f"{text!r} chooses no label; expected a label and its value, like journey=provision-db")
    return label, value


def _span(at: datetime, zone: ZoneInfo, selection: Selection) -> Span:
    try:
        if selection.week:
            return Week.parse(selection.week, zone).span
        return rolling([parse_window(selection.window)], at)[0]
    except ValueError as error:
        raise PacelineError(str(error)) from error


def _chosen(indicator: Indicator, selection: Selection, reader: Reader) -> dict[Group, Sequence[int]]:
    """The evaluation's groups that are asked for, with the series of each."""
    team = "/" + selection.team.strip("/") if selection.team else ""
    # What names teams by itself is one number for the whole organisation, unless a service is asked for.
    whole = any(g.pooled and g.own for g in reader.groups(indicator)) and not (selection.service or team)
    found = {}
    for group in reader.cells(indicator):
        subject = group.subject
        if whole:
            asked = subject.team == "/" if group.pooled else not subject.team
        elif selection.service or not team:
            asked = not group.pooled and selection.service in ("", subject.service)
            asked = asked and (not team or team in levels(subject.team))
        else:
            asked = not subject.service and subject.team == team
        asked = asked and selection.environment in ("", subject.environment)
        if asked and _is_chosen(indicator, group.cell, dict(selection.labels)):
            split = indicator.shape is Shape.FREQUENCY and selection.dimension
            found[group] = group.by_dimension.get(selection.dimension, ()) if split else group.series
    return found


def _is_chosen(indicator: Indicator, cell: str, wanted: Mapping[str, str]) -> bool:
    """Whether a cell has the label values that are asked for, and no others where they can be taken together."""
    named = [label for label in indicator.labels if label]
    return all(
        value == wanted.get(label, "" if label not in indicator.apart else value)
        for label, value in zip(named, label_values(cell, len(named)), strict=True)
    )


Exported = Mapping[tuple[Subject, str], Number]


def _exported(
    indicator: Indicator, span: Span, fresh: set[str], reader: Reader, published: Snapshot | None
) -> Exported:
    """The exported numbers of a window by subject and dimension."""
    found: Iterable[Number | Accounting]
    if published is None:
        found = summarise(indicator, reader, [span], fresh)
    else:
        found = (n for n in published.numbers if (n.indicator, n.window) == (indicator.name, span.label))
    return {(n.subject, n.dimension): n for n in found if isinstance(n, Number)}


_Found = tuple[list[ExplainedNumber], Accounting]


def _explained(judge: UnitJudge, group: Group, counted: Counted, span: Span, reader: Reader) -> _Found:
    """The numbers of a group from its units alone, and what stands beside them."""
    indicator = judge.indicator
    if indicator.shape is Shape.MEASURE:
        sample = counted.given[group].sample(indicator, group.subject, span, judge.now, reader.organisation)
        number, beside = measured(indicator, sample, span.label, group.cell)
        return [_number(group, number.dimension, number.n, None, number.stats)], beside
    tally = counted.tallies[group]
    numbers = [
        _number(group, part or group.cell, n, fraction, stats)
        for part, n, fraction, stats in _statistics(judge, tally, span)
    ]
    return numbers, _accounting(indicator, group, tally, span)


def _number(
    group: Group, dimension: str, n: int, fraction: tuple[float, float] | None, stats: Mapping[str, float]
) -> ExplainedNumber:
    return ExplainedNumber(
        subject=group.subject,
        dimension=dimension,
        n=n,
        numerator=fraction[0] if fraction else None,
        denominator=fraction[1] if fraction else None,
        stats=stats,
        exported=None,
        stale=(),
    )


def _beside_exported(number: ExplainedNumber, group: Group, fresh: set[str], exported: Exported) -> ExplainedNumber:
    known = exported.get((number.subject, number.dimension))
    return replace(number, exported=known.stats if known else None, stale=tuple(sorted(group.sources - fresh)))


def _statistics(
    judge: UnitJudge, tally: Tally, span: Span
) -> Iterator[tuple[str, int, tuple[float, float] | None, dict[str, float]]]:
    """For each number of a subject: its dimension, n, its two sides where it has them, its statistics."""
    indicator, roles = judge.indicator, tally.roles
    if indicator.shape is Shape.DURATION:
        for part in ("", *indicator.dimensions):
            values = np.array(tally.values.get(part, ()), dtype=np.float64)
            if (values.size or not part) and judge.dimension in ("", part):
                interval = median_interval(values)
                stats = quantiles(values, QUANTILES) | dict(zip(("low", "high"), interval or (), strict=False))
                yield part, int(values.size), None, stats
    elif indicator.shape is Shape.RATIO:
        share, n = roles[Role.NUMERATOR], roles[Role.NUMERATOR] + roles[Role.DENOMINATOR]
        bounds = wilson(share, n)
        yield "", n, (share, n), {"value": share / n, "low": bounds[0], "high": bounds[1]} if bounds else {}
    elif judge.dimension in ("", *indicator.dimensions[:1]):
        n = roles[Role.COUNT]
        yield "", n, (n, span.days), {"per_day": n / span.days} if n else {}


def _accounting(indicator: Indicator, group: Group, tally: Tally, span: Span) -> Accounting:
    used = sum(tally.outcomes[o] for o in (Outcome.GOOD, Outcome.BAD, Outcome.MEASURED))
    asked = used + sum(n for reason, n in tally.reasons.items() if reason not in OUT_OF_SCOPE)
    return Accounting(
        indicator=indicator.name,
        subject=group.subject,
        window=span.label,
        dimension=group.cell,
        pending=tally.outcomes[Outcome.PENDING],
        excluded=dict(sorted(tally.reasons.items())),
        coverage=used / asked if asked else None,
    )


def _ages(names: Iterable[str], sources: Sequence[SourceState], at: datetime) -> Iterable[SourceAge]:
    known = {s.name: s for s in sources}
    for name in names:
        state = known.get(name)
        last = state.last_success_at if state else None
        age = max((at - last).total_seconds(), 0.0) if last else None
        yield SourceAge(name=name, fresh=state is not None and state.fresh, last_success_at=last, age_seconds=age)


def _page(
    counted: Counted, observations: ObservationStore, judge: UnitJudge, after: int, selection: Selection
) -> list[tuple[Any, ...]]:
    """The whole rows of the units that are listed, oldest first: only these are read whole."""
    limit, elsewhere = min(selection.limit, MOST_UNITS), counted.elsewhere
    if selection.offset >= counted.total:
        return []
    # What is counted elsewhere can stand anywhere among the others.
    offset = 0 if elsewhere else selection.offset
    most = limit + selection.offset - offset + len(elsewhere)
    asked = after, judge.now, judge.now, *_COLUMNS
    rows = observations.page(counted.listed, *asked, offset=offset, limit=most)
    start = selection.offset - offset
    return [row for row in rows if row[:3] not in elsewhere][start : start + limit]


def _events_of(rows: Iterable[tuple[Any, ...]], events: EventStore) -> Mapping[str, EventLine]:
    found = [ObservationRow(*row[1:]) for row in rows]
    ids = {row.unit for row in found} | {i for row in found for i in msgspec.json.decode(row.evidence)}
    return {i: line_of(event) for i, event in events.find(sorted(ids)).items()}
