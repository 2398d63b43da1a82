"""The weekly summary: one calendar week on one page, as Markdown. The same week gives the same bytes.

A week is Monday 00:00 to Monday 00:00 local time, also across a clock change, and computed in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from collector.events import Event
from collector.store import ObservationStore, Restatement, to_micros
from slo_engine.benchmarks import QUICK_CHECK, Benchmarks, QuickCheck, quick_check
from slo_engine.budget import shown
from slo_engine.exclusions import Exclusion
from slo_engine.indicator import Indicator, Shape, named_of, widths_of
from slo_engine.numbers import summarise
from slo_engine.observation import Subject
from slo_engine.organisation import Organisation
from slo_engine.promises import promises
from slo_engine.reading import Reader, Span
from slo_engine.restated import RestatedLine, restated_lines, units_in
from slo_engine.slo import Slo, SloStatus
from slo_engine.slo_states import Conditions, states_of
from slo_engine.snapshot import Accounting, Number, SloState, SourceState
from slo_engine.words import duration_text, escaped, share_text

MOST_RESTATED = 100_000
"""From so many records of the log on, the summary says that there are at least as many."""

_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_FIRST_YEAR, _LAST_YEAR = 1900, 9999  # the days beside a week must be in the calendar too
_FEW = 10
_WORST = 12
_SCORED = 20
_RESTATED = 5
_SCORED_STATS = ("p50", "per_day", "value")
_STATUS_ORDER = (SloStatus.EXHAUSTED, SloStatus.AT_RISK, SloStatus.INSUFFICIENT_DATA, SloStatus.HEALTHY)


@dataclass(frozen=True)
class Week:
    """An ISO week in a zone."""

    monday: date
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo) -> Week:
        """The week of `2026-W14`. Raises ValueError saying what was expected."""
        match = _WEEK.fullmatch(text)
        try:
            monday = date.fromisocalendar(int(match[1]), int(match[2]), 1) if match else None
        except ValueError:
            monday = None
        if monday is None or not _FIRST_YEAR < monday.year < _LAST_YEAR:
            raise ValueError(f"{text!r} is no week; expected an ISO week, for example 2026-W14")
        return cls(monday, zone)

    @classmethod
    def last_before(cls, at: datetime, zone: ZoneInfo) -> Week:
        """The last whole week at a time; asked on Monday 00:00 exactly, the one just ended."""
        today = at.astimezone(zone).date()
        return cls(today - timedelta(days=today.weekday() + 7), zone)

    @property
    def label(self) -> str:
        """`2026-W14`."""
        year, week, _ = self.monday.isocalendar()
        return f"{year}-W{week:02}"

    @property
    def start(self) -> datetime:
        """Its first moment, in UTC."""
        return _midnight(self.monday, self.zone)

    @property
    def end(self) -> datetime:
        """The first moment after it, in UTC."""
        return _midnight(self.monday + timedelta(days=7), self.zone)

    @property
    def before(self) -> Week:
        """The week before."""
        return Week(self.monday - timedelta(days=7), self.zone)

    @property
    def span(self) -> Span:
        """From its first moment to the last before its end."""
        return Span(to_micros(self.start) - 1, to_micros(self.end) - 1, self.label)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _nothing_found(_ids: Sequence[str]) -> Mapping[str, Event]:
    return {}


def weekly(  # noqa: PLR0913 - everything a summary depends on, and nothing else
    week: Week,
    observations: ObservationStore,
    indicators: Mapping[str, Indicator],
    slos: Sequence[Slo],
    sources: Sequence[SourceState],
    *,
    organisation: Organisation | None = None,
    benchmarks: Benchmarks | None = None,
    restated: Sequence[Restatement] = (),
    exclusions: Sequence[Exclusion] = (),
    find: Callable[[Sequence[str]], Mapping[str, Event]] = _nothing_found,
) -> str:
    """The summary of a week. What was not observed is said in its first lines, not drawn as zero.

    With `benchmarks` production has its Quick Check scores beside them. `restated`: records of the log, of which
    those of the week count; `find` gives the events with some ids.
    """
    organisation = organisation or Organisation()
    end = week.end - timedelta(microseconds=1)
    widths, named = widths_of(indicators), named_of(indicators)
    # Of delivery the table is by service; levels of teams have the Quick Check.
    delivered = Reader(observations, end, widths=widths, named=named)
    reader = Reader(observations, end, organisation, widths, named)
    names = {s.name for s in sources}
    fresh = {s.name for s in sources if s.last_success_at is not None and s.last_success_at >= week.end}
    conditions = Conditions(fresh=frozenset(fresh), exclusions=tuple(exclusions))
    states = states_of(slos, indicators, reader, conditions)
    lines = [
        f"# Platform summary, week {week.label}",
        "",
        f"{week.monday:%d %B %Y} to {week.monday + timedelta(days=6):%d %B %Y}, {week.zone.key}.",
        "",
        *_completeness(week, sources, fresh),
        _verdict(states),
        "",
        *_slo_table(states),
        *_delivery(week, delivered, indicators, names, fresh),
        *promises(indicators.values(), reader, week.span, fresh),
        *_quick_check(week, observations, indicators, fresh, organisation, benchmarks),
        *_restated(week, restated, indicators, find),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _completeness(week: Week, sources: Sequence[SourceState], fresh: set[str]) -> list[str]:
    if not sources:
        return ["**No source is configured: nothing was observed.**", ""]
    behind = [s for s in sources if s.name not in fresh]
    if not behind:
        return []
    said = "; ".join(f"{s.name} was last collected {_day(s.last_success_at, week.zone)}" for s in behind)
    return [
        f"**Data is incomplete:** {len(fresh)} of {len(sources)} sources cover the whole week ({said}).",
        "",
    ]


def _day(at: datetime | None, zone: ZoneInfo) -> str:
    return "never" if at is None else f"on {at.astimezone(zone):%Y-%m-%d %H:%M}"


def _verdict(states: Sequence[SloState]) -> str:
    if not states:
        return "No SLO is defined."
    counted = {status: sum(s.status is status for s in states) for status in _STATUS_ORDER}
    words = {
        SloStatus.EXHAUSTED: "out of budget",
        SloStatus.AT_RISK: "at risk",
        SloStatus.INSUFFICIENT_DATA: "without enough data",
        SloStatus.HEALTHY: "healthy",
    }
    said = ", ".join(f"{n} {words[status]}" for status, n in counted.items() if n)
    return f"Of {len(states)} SLO{'s' if len(states) > 1 else ''}: {said}."


def _slo_table(states: Sequence[SloState]) -> list[str]:
    if not states:
        return []
    ordered = sorted(states, key=lambda s: (_STATUS_ORDER.index(s.status), s.budget_remaining or 0.0, s.slo.name))
    lines = [
        "## SLOs",
        "",
        "| SLO | Target | Attained | n | Budget left | Status |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for state in ordered[:_WORST]:
        slo, counts = state.slo, state.counts.get(state.slo.window.label)
        left = "no value"
        if state.budget_remaining is not None:
            events = state.budget_remaining_events
            left = f"{state.budget_remaining:.0%}" + ("" if events is None else f" ({events:.1f} events)")
        status = state.status.value.replace("_", " ") + (f": {state.why}" if state.why else "")
        target = f"{share_text(float(slo.target))} in {slo.window.label}"
        n = shown(counts.total) if counts else 0
        lines.append(f"| {escaped(slo.title)} | {target} | {state.attained} | {n} | {left} | {escaped(status)} |")
    if len(ordered) > _WORST:
        lines.append(f"\nAnd {len(ordered) - _WORST} more.")
    return [*lines, ""]


def _delivery(
    week: Week, reader: Reader, indicators: Mapping[str, Indicator], names: set[str], fresh: set[str]
) -> list[str]:
    lines: list[str] = []
    for indicator in indicators.values():
        if not indicator.like_delivery:
            continue
        now = list(summarise(indicator, reader, [week.span], names))
        before = {
            n.subject: n
            for n in summarise(indicator, reader, [week.before.span], names)
            if isinstance(n, Number) and not n.dimension
        }
        beside = {a.subject: a for a in now if isinstance(a, Accounting)}
        whole = {n.subject for n in summarise(indicator, reader, [week.span], fresh)}
        lines += [
            _row(
                indicator,
                number,
                before.get(number.subject),
                beside.get(number.subject),
                observed=number.subject in whole,
            )
            for number in now
            if isinstance(number, Number) and not number.dimension
        ]
    if not lines:
        return ["## Indicators", "", "No observation so far.", ""]
    head = [
        "| Indicator | Service | This week | n | Week before | Change | Pending, left out |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    return ["## Indicators", "", *head, *lines, ""]


def _row(
    indicator: Indicator,
    number: Number,
    before: Number | None,
    beside: Accounting | None,
    *,
    observed: bool,
) -> str:
    """A line of the table. What a source did not observe to the week's end is no zero, and is not compared."""
    left_out = (
        "; ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in sorted(beside.excluded.items())) if beside else ""
    )
    pending = f"{beside.pending} pending" if beside and beside.pending else ""
    who = "/".join(filter(None, number.subject)) or "all"
    cells = (
        indicator.title,
        escaped(who),
        _said(indicator, number) if observed or number.n else "no value",
        str(number.n),
        _said(indicator, before) if before else "no value",
        _change(indicator, number, before) if observed else "week incomplete",
        ", ".join(filter(None, (pending, left_out))) or "none",
    )
    return "| " + " | ".join(cells) + " |"


def _said(indicator: Indicator, number: Number) -> str:
    """A number in words people read, with its interval."""
    stats = number.stats
    if indicator.shape is Shape.FREQUENCY:
        return f"{number.n}"
    key = "p50" if indicator.shape is Shape.DURATION else "value"
    if key not in stats:
        return "no value"
    show = duration_text if indicator.shape is Shape.DURATION else share_text
    interval = f" ({show(stats['low'])} to {show(stats['high'])})" if "low" in stats else ""
    return f"{'median ' if indicator.shape is Shape.DURATION else ''}{show(stats[key])}{interval}"


def _change(indicator: Indicator, now: Number, before: Number | None) -> str:
    """A comparison only where it can be made: overlapping intervals are not distinguishable."""
    if before is None:
        return "no value before"
    if indicator.shape is Shape.FREQUENCY:
        return f"{now.n - before.n:+d}"
    if min(now.n, before.n) < _FEW or "low" not in now.stats or "low" not in before.stats:
        return "too few to compare"
    if now.stats["low"] <= before.stats["high"] and before.stats["low"] <= now.stats["high"]:
        return "not distinguishable"
    key = "p50" if indicator.shape is Shape.DURATION else "value"
    return "higher" if now.stats[key] > before.stats[key] else "lower"


# --- the Quick Check -------------------------------------------------------------------------------------


def _quick_check(
    week: Week,
    observations: ObservationStore,
    indicators: Mapping[str, Indicator],
    fresh: set[str],
    organisation: Organisation,
    benchmarks: Benchmarks | None,
) -> list[str]:
    """The scores of production: of the levels of teams where the catalogue has teams, else of services."""
    if benchmarks is None:
        return []
    names = [name for name in QUICK_CHECK if name in indicators]
    values = _scored(week, observations, [indicators[n] for n in names], fresh, organisation)
    if not values:
        return []
    subjects = sorted(values, key=lambda s: (s.team.count("/") if len(s.team) > 1 else 0, s.team, *s))
    cells = [
        [_whom(subject), *(_score_cell(values[subject].get(n), benchmarks) for n in names), *_means(subject, values)]
        for subject in subjects[:_SCORED]
    ]
    if benchmarks.industry:
        known = benchmarks.industry.scores
        means = (f"{known[n]:.3g}" if n in known else "no value" for n in names)
        cells.append([f"Industry, {benchmarks.year}", *means, *_mean_cells(benchmarks.industry)])
    heads = ["For", *(indicators[n].title for n in names), "Throughput", "Stability", "Overall"]
    source = benchmarks.source
    return [
        "## Quick Check",
        "",
        f"DORA's scores of production from 0 (worst) to 10 (best); benchmark: {source.title}, {source.section}.",
        "",
        f"| {' | '.join(heads)} |",
        f"|---|{'---:|' * (len(heads) - 1)}",
        *(f"| {' | '.join(row)} |" for row in cells),
        *([f"\nAnd {len(subjects) - _SCORED} more."] if len(subjects) > _SCORED else []),
        "",
    ]


def _scored(
    week: Week,
    observations: ObservationStore,
    indicators: Sequence[Indicator],
    fresh: set[str],
    organisation: Organisation,
) -> dict[Subject, dict[str, Number]]:
    """The numbers that have a score, by subject and indicator."""
    reader = Reader(observations, week.end - timedelta(microseconds=1), organisation)
    found: dict[Subject, dict[str, Number]] = {}
    has_levels = any(s.team for s in organisation.services)
    for indicator in indicators:
        for number in summarise(indicator, reader, [week.span], fresh):
            subject = number.subject
            if not isinstance(number, Number) or number.dimension or (has_levels and subject.service):
                continue
            if organisation.is_production(subject.service, subject.environment) and _value(number) is not None:
                found.setdefault(subject, {})[indicator.name] = number
    return found


def _value(number: Number) -> float | None:
    """What a score is given for: a median, a frequency or a share. A negative duration has none."""
    return next((number.stats[key] for key in _SCORED_STATS if number.stats.get(key, -1.0) >= 0), None)


def _whom(subject: Subject) -> str:
    """For whom scores are: a service and its environment, or a level of teams and theirs."""
    if subject.service:
        return escaped(f"{subject.service}/{subject.environment}")
    return escaped(f"{'Organisation' if subject.team == '/' else subject.team}, {subject.environment}")


def _score_cell(number: Number | None, benchmarks: Benchmarks) -> str:
    """The score with its n, and where the year has tiers, what each tier prints that the value fits."""
    if number is None:
        return "no value"
    value = _value(number)
    cells = benchmarks.cells(number.indicator)
    words = [f"{tier} ({cells[tier].words})" for tier in benchmarks.tiers_of(number.indicator, value)]
    score = quick_check({number.indicator: value}).scores[number.indicator]
    return ", ".join([f"{score:.3g} (n {number.n})", *words])


def _means(subject: Subject, values: Mapping[Subject, Mapping[str, Number]]) -> list[str]:
    return _mean_cells(quick_check({name: _value(number) for name, number in values[subject].items()}))


def _mean_cells(check: QuickCheck) -> list[str]:
    means = (check.throughput, check.stability, check.overall)
    return ["no value" if mean is None else f"{mean:.3g}" for mean in means]


# --- what changed afterwards -----------------------------------------------------------------------------


def _restated(
    week: Week,
    records: Sequence[Restatement],
    indicators: Mapping[str, Indicator],
    find: Callable[[Sequence[str]], Mapping[str, Event]],
) -> list[str]:
    """How many published judgements were restated in the week, and the newest of them."""
    first, after = to_micros(week.start), to_micros(week.end)
    own = [r for r in records if first <= r.restated_at < after]
    if not own:
        return []
    newest = sorted(own, key=lambda r: (-r.restated_at, *r[1:]))[:_RESTATED]
    lines = restated_lines(newest, indicators, find([r.unit for r in newest if r.unit]), week.zone)
    n = units_in(own)
    said = (
        f"{'At least ' if len(records) >= MOST_RESTATED else ''}{n} published judgement{'s were' if n > 1 else ' was'}"
    )
    shown = units_in(newest)
    return [
        "## Restated",
        "",
        f"{said} restated this week.",
        "",
        "| When | Indicator | Service | Event | Change | Why |",
        "|---|---|---|---|---|---|",
        *(_restated_row(line, indicators, week.zone) for line in lines),
        *([f"\nAnd {n - shown} more; `paceline restatements` lists them."] if n > shown else []),
        "",
    ]


def _restated_row(line: RestatedLine, indicators: Mapping[str, Indicator], zone: ZoneInfo) -> str:
    about = indicators.get(line.indicator)
    cells = (
        f"{line.at.astimezone(zone):%Y-%m-%d %H:%M}",
        about.title if about else escaped(line.indicator),
        escaped("/".join(filter(None, line.subject[:2])) or "all"),
        escaped(f"{line.unit.kind} {line.unit.label}") if line.unit else "several",
        escaped(line.change),
        escaped(line.why),
    )
    return f"| {' | '.join(cells)} |"
