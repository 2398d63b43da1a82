"""One judged unit as people read it: what it is in the number, and the events that decided. Never who."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from collector.people import PERSON_PREFIX
from collector.store import ObservationRow, Series, from_micros
from slo_engine.counted import NARROW, Role, UnitJudge
from slo_engine.event_lines import EventLine, unknown
from slo_engine.indicator import Shape
from slo_engine.observation import Subject, label_values
from slo_engine.organisation import Organisation


@dataclass(frozen=True, kw_only=True)
class UnitLine:
    """One judged unit with the events that decided, and what it is in the number."""

    at: datetime
    subject: Subject
    value: float | None
    parts: Mapping[str, float]
    outcome: str
    reason: str
    role: Role
    rule: str
    unit: EventLine
    evidence: tuple[EventLine, ...]
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class UnitLines:
    """Makes the line of a unit."""

    judge: UnitJudge
    series: Mapping[int, Series]
    organisation: Organisation
    known: Mapping[str, EventLine]
    people: dict[str, int] = field(default_factory=dict)
    """Whom this answer speaks of, in the order in which they appear."""

    def __call__(self, number: int, row: ObservationRow) -> UnitLine:
        """The line of a unit of a series."""
        series, indicator = self.series[number], self.judge.indicator
        judged = self.judge(series, [getattr(row, name) for name in NARROW])
        values = (row.value, row.part_1, row.part_2, row.part_3, row.part_4)
        named = zip(indicator.dimensions, values[1:], strict=False) if indicator.shape is Shape.DURATION else ()
        team = series.team or self.organisation.team(series.service)
        return UnitLine(
            at=_day(from_micros(row.at)) if indicator.people else from_micros(row.at),
            # Of somebody neither team nor label is told: the numbers of these may be withheld.
            subject=Subject() if indicator.people else Subject(series.service, series.environment, team),
            value=values[indicator.column()],
            parts={name: seconds for name, seconds in named if seconds is not None},
            outcome=judged.outcome,
            reason=judged.reason,
            role=judged.role,
            rule=row.rule,
            unit=self._person(row.unit) if indicator.people else self._event(row.unit),
            evidence=tuple(map(self._event, msgspec.json.decode(row.evidence))),
            labels={} if indicator.people else {k: value for k, value in self._named(series) if k and value},
        )

    def _named(self, series: Series) -> Iterable[tuple[str, str]]:
        """The labels of a unit and their values."""
        labels = self.judge.indicator.labels
        return zip(labels, label_values(series.dimension, len(labels)), strict=True) if labels else ()

    def _event(self, event_id: str) -> EventLine:
        """The line of an event; where it is about a person, only of what kind it is: a link would lead to them."""
        if event_id.startswith(PERSON_PREFIX):
            return self._person(event_id)
        line = self.known.get(event_id) or unknown(event_id)
        return EventLine(id="", kind=line.kind, label="", at=None, url=None) if self.judge.indicator.people else line

    def _person(self, unit: str) -> EventLine:
        """Somebody, by a number that means something in this answer only."""
        number = self.people.setdefault(unit, len(self.people) + 1)
        return EventLine(id="", kind="person", label=str(number), at=None, url=None)


def _day(at: datetime) -> datetime:
    """The beginning of a time's day: of people nothing more precise is told."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
