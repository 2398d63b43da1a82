"""From a number to the events behind it. The same reading as the evaluation, so the list adds up to the number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from collector.errors import PacelineError
from collector.events import Event, happened_at
from collector.store import EventStore, ObservationRow, ObservationStore, from_micros, to_micros
from slo_engine.evaluate import Reader, Span, rolling, subject_of, summarise
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Outcome, Reason, Subject
from slo_engine.report import Week
from slo_engine.snapshot import Accounting, Number
from slo_engine.windows import parse_window

_COLUMNS = ("series_id", *ObservationRow._fields)


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """An event in one line: what it is, when it happened, where to look. Never who."""

    id: str
    kind: str
    label: str
    at: datetime | None
    url: str | None


@dataclass(frozen=True, kw_only=True)
class UnitLine:
    """One judged unit with the events that decided."""

    at: datetime
    subject: Subject
    value: float | None
    parts: Mapping[str, float]
    outcome: str
    reason: str
    rule: str
    unit: EventLine
    evidence: tuple[EventLine, ...]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A number, its definition, and every unit behind or beside it, oldest first."""

    indicator: Indicator
    window: str
    after: datetime
    until: datetime
    numbers: tuple[Number, ...]
    accounting: tuple[Accounting, ...]
    units: tuple[UnitLine, ...]


def explain(  # noqa: PLR0913 - the number's whole address
    indicator: Indicator,
    observations: ObservationStore,
    events: EventStore,
    *,
    at: datetime,
    zone: ZoneInfo,
    window: str = "28d",
    week: str = "",
    service: str = "",
    environment: str = "",
    dimension: str = "",
) -> Explanation:
    """The units of an indicator in a rolling window that ends at `at`, or in an ISO week.

    A week is judged as its summary judges it: at its end, or now where it has not ended. Raises PacelineError for a
    window or week that cannot be read, and for a part the indicator does not have. A stale source hides nothing
    here: events are facts, whatever the age of the last run.
    """
    if dimension and dimension not in indicator.dimensions:
        known = f"one of {', '.join(indicator.dimensions)}" if indicator.dimensions else "no dimension"
        raise PacelineError(f"{indicator.name} has no {dimension!r}; expected {known}")
    span = _span(at, zone, window, week)
    at = min(at, from_micros(span.until))
    reader = Reader(observations, at)
    everything = reader.sources(reader.series(indicator))
    found = [
        f
        for f in summarise(indicator, reader, [span], everything)
        if service in ("", f.subject.service) and environment in ("", f.subject.environment)
    ]
    series = {
        number: one
        for number, one in observations.series(indicator.observed_as).items()
        if service in ("", one.service) and environment in ("", one.environment)
    }
    rows = sorted(observations.window(list(series), span.after, to_micros(at), *_COLUMNS), key=lambda r: (r[1], r[2]))
    lines = _lines(events, rows)
    return Explanation(
        indicator=indicator,
        window=span.label,
        after=from_micros(span.after),
        until=from_micros(span.until),
        numbers=tuple(f for f in found if isinstance(f, Number) and (not dimension or f.dimension == dimension)),
        accounting=tuple(f for f in found if isinstance(f, Accounting)),
        units=tuple(_unit(indicator, ObservationRow(*row[1:]), subject_of(series[row[0]]), lines, at) for row in rows),
    )


def _span(at: datetime, zone: ZoneInfo, window: str, week: str) -> Span:
    try:
        if week:
            return Week.parse(week, zone).span
        return rolling([parse_window(window)], at)[0]
    except ValueError as error:
        raise PacelineError(str(error)) from error


def _lines(events: EventStore, rows: Iterable[tuple[Any, ...]]) -> Mapping[str, EventLine]:
    found = [ObservationRow(*row[1:]) for row in rows]
    ids = {row.unit for row in found} | {i for row in found for i in msgspec.json.decode(row.evidence)}
    return {i: line_of(event) for i, event in events.find(sorted(ids)).items()}


def _unit(
    indicator: Indicator, row: ObservationRow, subject: Subject, lines: Mapping[str, EventLine], now: datetime
) -> UnitLine:
    unripe = row.matures_at is not None and from_micros(row.matures_at) > now and row.outcome != Outcome.EXCLUDED
    parts = (row.part_1, row.part_2, row.part_3, row.part_4)
    named = zip(indicator.dimensions, parts, strict=False) if indicator.shape is Shape.DURATION else ()
    value = (row.value, *parts)[indicator.column()]
    lacking = indicator.shape is Shape.DURATION and row.outcome == Outcome.MEASURED and value is None
    outcome = Outcome.PENDING.value if unripe else Outcome.EXCLUDED.value if lacking else row.outcome
    return UnitLine(
        at=from_micros(row.at),
        subject=subject,
        value=value,
        parts={name: seconds for name, seconds in named if seconds is not None},
        outcome=outcome,
        reason=(row.reason or Reason.MISSING_TIME.value) if outcome == Outcome.EXCLUDED else "",
        rule=row.rule,
        unit=lines.get(row.unit, _gone(row.unit)),
        evidence=tuple(lines.get(i, _gone(i)) for i in msgspec.json.decode(row.evidence)),
    )


def line_of(event: Event) -> EventLine:
    """An event in one line. Only fields that cannot hold a person are shown."""
    short = str(getattr(event, "sha", None) or "")[:10]
    named = getattr(event, "version", None)
    number = getattr(event, "number", None)
    label = " ".join(filter(None, (named, f"#{number}" if number is not None else "", short))) or event.id[:10]
    return EventLine(id=event.id, kind=event.kind, label=label, at=happened_at(event), url=event.url)


def _gone(event_id: str) -> EventLine:
    return EventLine(id=event_id, kind="event", label=event_id[:10], at=None, url=None)
