"""Published judgements that changed afterwards, in words. Pure: the log and the events are handed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TypeVar

import msgspec

from collector.events import Event
from collector.store import Restatement, from_micros
from slo_engine.event_lines import EventLine, line_of, unknown
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Outcome, Subject
from slo_engine.words import duration_text

T = TypeVar("T")
_MANY = re.compile(r"(\d+) more units")


@dataclass(frozen=True, kw_only=True)
class RestatedLine:
    """A judgement that changed: when that was noticed, of which unit, what changed in words, and why.

    `unit` is None where the line stands for many units; `change` then says how many.
    """

    at: datetime
    indicator: str
    subject: Subject
    unit: EventLine | None
    change: str
    why: str


class _Judgement(msgspec.Struct, array_like=True, frozen=True):
    """What the log keeps of a judgement; `at` is in microseconds since 1970, values and parts as the indicator's."""

    at: int
    outcome: str
    reason: str | None
    value: float | None
    part_1: float | None = None
    part_2: float | None = None
    part_3: float | None = None
    part_4: float | None = None

    @property
    def parts(self) -> tuple[float | None, ...]:
        return self.part_1, self.part_2, self.part_3, self.part_4


def units_in(records: Iterable[Restatement]) -> int:
    """How many judgements some records of the log stand for: one may say `12 more units`."""
    matches = (None if r.unit else _MANY.fullmatch(r.was) for r in records)
    return sum(int(m[1]) if m else 1 for m in matches)


def restated_lines(
    records: Sequence[Restatement],
    indicators: Mapping[str, Indicator],
    events: Mapping[str, Event],
    zone: tzinfo = UTC,
) -> list[RestatedLine]:
    """Records of the log in words, in their order. `events` by id; one that is not among them shows its id."""
    return [
        RestatedLine(
            at=from_micros(r.restated_at),
            indicator=r.indicator,
            subject=_whose(r, indicators.get(r.indicator)),
            unit=_event_line(r.unit, events),
            change=change_text(r, indicators.get(r.indicator), zone),
            why=r.why,
        )
        for r in records
    ]


def _whose(record: Restatement, indicator: Indicator | None) -> Subject:
    """For whom a judgement is; of somebody's not even the team is told."""
    if indicator is not None and indicator.people:
        return Subject()
    return Subject(record.service, record.environment, record.team)


def _event_line(unit: str, events: Mapping[str, Event]) -> EventLine | None:
    if not unit:
        return None
    return line_of(events[unit]) if unit in events else unknown(unit)


def change_text(record: Restatement, indicator: Indicator | None = None, zone: tzinfo = UTC) -> str:
    """From what to what: `good → bad`, `3.2 h → 4.1 h`, `new, 12 Nov 2026 10:00: bad`, `gone, was good`.

    A record of many units says how many. Where two values read the same they are shown exactly. Days and times are
    those of `zone`.
    """
    if not record.unit:
        return record.was
    was, now = _read(record.was), _read(record.now)
    if was is None or now is None:
        if now is not None:
            return f"new, {_minute(now.at, zone)}: {_verdict(now, indicator)}"
        return "gone" if was is None else f"gone, was {_verdict(was, indicator)}"
    return "; ".join(_differences(was, now, indicator, zone))


def _read(text: str) -> _Judgement | None:
    return msgspec.json.decode(text, type=_Judgement) if text else None


def _differences(was: _Judgement, now: _Judgement, indicator: Indicator | None, zone: tzinfo) -> list[str]:
    """All that differs between two judgements, what matters most first."""
    found = []
    if (was.outcome, was.reason, was.value) != (now.outcome, now.reason, now.value):
        found.append(_pair(was, now, lambda j: _verdict(j, indicator), _exactly))
    if was.at != now.at:
        times = (lambda at: _minute(at, zone)), (lambda at: from_micros(at).astimezone(zone).isoformat(" "))
        found.append("dated " + _pair(was.at, now.at, *times))
    names = indicator.dimensions if indicator and indicator.shape is Shape.DURATION else ()
    for place, (before, after) in enumerate(zip(was.parts, now.parts, strict=True)):
        if before != after:
            name = names[place] if place < len(names) else f"part {place + 1}"
            found.append(f"{name} {_pair(before, after, _length, str)}")
    return found


def _pair(was: T, now: T, *forms: Callable[[T], str]) -> str:
    """Both in the first form in which they differ."""
    for form in forms:
        before, after = form(was), form(now)
        if before != after:
            break
    return f"{before} → {after}"


def _verdict(judgement: _Judgement, indicator: Indicator | None) -> str:
    """A judgement in a word or two."""
    reason = (judgement.reason or "").replace("_", " ")
    if judgement.outcome == Outcome.EXCLUDED or (reason and judgement.value is None):
        return f"left out ({reason or 'no reason'})"
    if judgement.outcome != Outcome.MEASURED:
        return judgement.outcome
    if judgement.value is None:
        return "counted"
    if indicator is None or indicator.shape is Shape.DURATION:
        return duration_text(judgement.value)
    return f"{judgement.value:g}"


def _exactly(judgement: _Judgement) -> str:
    value = "" if judgement.value is None else f" {judgement.value!r}"
    return f"{judgement.outcome}{value}" + (f" ({judgement.reason})" if judgement.reason else "")


def _length(seconds: float | None) -> str:
    return "absent" if seconds is None else duration_text(seconds)


def _minute(at: int, zone: tzinfo) -> str:
    return f"{from_micros(at).astimezone(zone):%d %b %Y %H:%M}"
