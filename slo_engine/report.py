"""The weekly summary: one calendar week on one page, as Markdown. The same week gives the same bytes.

A week is Monday 00:00 to Monday 00:00 local time, also across a clock change, and computed in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from collector.store import ObservationStore, to_micros
from slo_engine.evaluate import Reader, Span, state_of, summarise
from slo_engine.indicator import Indicator, Shape
from slo_engine.slo import Slo, SloStatus
from slo_engine.snapshot import Accounting, Number, SloState, SourceState

_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_FIRST_YEAR, _LAST_YEAR = 1900, 9999  # the days beside a week must be in the calendar too
_FEW = 10
_READABLE = ((120.0, 1.0, "{:.0f} s"), (7_200.0, 60.0, "{:.0f} min"), (172_800.0, 3_600.0, "{:.1f} h"))
_WORST = 12
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


def weekly(
    week: Week,
    observations: ObservationStore,
    indicators: Mapping[str, Indicator],
    slos: Sequence[Slo],
    sources: Sequence[SourceState],
) -> str:
    """The summary of a week. What was not observed is said in its first lines, not drawn as zero."""
    reader = Reader(observations, week.end - timedelta(microseconds=1))
    names = {s.name for s in sources}
    fresh = {s.name for s in sources if s.last_success_at is not None and s.last_success_at >= week.end}
    states = [state_of(s, indicators[s.indicator], reader, fresh, week.end - timedelta(microseconds=1)) for s in slos]
    lines = [
        f"# Platform summary, week {week.label}",
        "",
        f"{week.monday:%d %B %Y} to {week.monday + timedelta(days=6):%d %B %Y}, {week.zone.key}.",
        "",
        *_completeness(week, sources, fresh),
        _verdict(states),
        "",
        *_slo_table(states),
        *_delivery(week, reader, indicators, names, fresh),
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
        attained = "no value" if state.attainment is None else share_text(state.attainment)
        left = "no value"
        if state.budget_remaining is not None and state.budget_remaining_events is not None:
            left = f"{state.budget_remaining:.0%} ({state.budget_remaining_events:.1f} events)"
        status = state.status.value.replace("_", " ") + (f": {state.why}" if state.why else "")
        target = f"{share_text(float(slo.target))} in {slo.window.label}"
        n = counts.total if counts else 0
        lines.append(f"| {escaped(slo.title)} | {target} | {attained} | {n} | {left} | {escaped(status)} |")
    if len(ordered) > _WORST:
        lines.append(f"\nAnd {len(ordered) - _WORST} more.")
    return [*lines, ""]


def _delivery(
    week: Week, reader: Reader, indicators: Mapping[str, Indicator], names: set[str], fresh: set[str]
) -> list[str]:
    lines: list[str] = []
    for indicator in indicators.values():
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


def duration_text(seconds: float) -> str:
    """Seconds as people read them: `53 s`, `12 min`, `3.2 h`, `4.1 d`."""
    for limit, size, form in _READABLE:
        if seconds < limit:
            return form.format(seconds / size)
    return f"{seconds / 86_400:.1f} d"


def share_text(share: float) -> str:
    """A share as people read it: `99.9%`. Never rounded to all or nothing: 0.99995 is `99.995%`."""
    for digits in (1, 2, 3, 4, 5):
        text = f"{share:.{digits}%}"
        if share in {0, 1} or float(text[:-1]) not in {0, 100}:
            return text
    return text


def escaped(text: str) -> str:
    """Text from outside inside a Markdown table: one line, no markup, no mention, at most 120 characters."""
    flat = re.sub(r"[\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+", " ", text)[:120]
    return re.sub(r"([\\`*_{}\[\]<>|#@])", r"\\\1", flat)
