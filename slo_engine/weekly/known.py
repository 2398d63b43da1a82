"""What a weekly summary is made from, and what each of its parts is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Protocol

from collector.conditions import Where
from collector.events import Event, Incident
from collector.store import EventStore, ObservationStore, Restatement
from slo_engine.benchmarks import Benchmarks
from slo_engine.event_lines import one_line
from slo_engine.exclusions import Exclusion
from slo_engine.gate import Override, Policy
from slo_engine.indicator import Indicator
from slo_engine.organisation import Organisation, levels
from slo_engine.slo import IndicatorSli, Slo
from slo_engine.snapshot import SourceState
from slo_engine.weekly.week import Week

MOST_RESTATED = 100_000
"""From so many records of the log on, the summary says that there are at least as many."""
LONGEST = 120
"""How many characters of a text from outside a summary keeps."""

_MICROSECOND = timedelta(microseconds=1)
_MOVING = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What is not seen, and what turns the direction of a text."""


def clean(text: str) -> str:
    """Text from outside on one line, without what is not seen or turns its direction, cut."""
    flat = " ".join(one_line(_MOVING.sub("", text)).split())
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a summary is made from.

    `restated`: records of the log since the week began. `slos_then`: the SLOs when the week began and when it ended, as
    the history of the settings says, None where nothing knows.
    """

    observations: ObservationStore
    events: EventStore
    indicators: Mapping[str, Indicator]
    slos: Sequence[Slo]
    sources: Sequence[SourceState]
    policy: Policy
    organisation: Organisation = field(default_factory=Organisation)
    exclusions: Sequence[Exclusion] = ()
    overrides: Sequence[Override] = ()
    benchmarks: Benchmarks | None = None
    restated: Sequence[Restatement] = ()
    slos_then: tuple[Sequence[Slo], Sequence[Slo]] | None = None
    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which week is told, as of when (never after its end), and for which team: an empty one is everybody."""

    week: Week
    known: Known
    as_of: datetime
    team: str = ""

    @property
    def at(self) -> datetime:
        """The last moment that counts."""
        return self.as_of - _MICROSECOND

    @property
    def over(self) -> bool:
        """Whether the week has ended."""
        return self.as_of >= self.week.end

    @cached_property
    def fresh(self) -> frozenset[str]:
        """The sources whose numbers may be told: collected after the week's end, or lately while it is not over."""
        return self.fresh_at(self.week) if self.over else frozenset(s.name for s in self.known.sources if s.fresh)

    def fresh_at(self, week: Week) -> frozenset[str]:
        """The sources that cover a week to its end."""
        sources = self.known.sources
        return frozenset(s.name for s in sources if s.last_success_at is not None and s.last_success_at >= week.end)

    def concerns_service(self, service: str) -> bool:
        """Whether a service is the team's, or that of a team below it; every one is everybody's."""
        return not self.team or self.concerns_team(self.known.organisation.team(service))

    def concerns_team(self, team: str) -> bool:
        """Whether a team is the one that is told, or below it."""
        return not self.team or self.team in levels(team)

    def concerns(self, slo: Slo) -> bool:
        """Whether an SLO is the team's: by its own team, else by its service's."""
        if not self.team:
            return True
        counted = slo.sli.team if isinstance(slo.sli, IndicatorSli) else ""
        named = (slo.team, self.known.organisation.team(slo.owner_service), counted)
        return self.concerns_team(first_of(named))

    def shown(self, at: datetime) -> str:
        """A time on the clocks of the week's zone."""
        return f"{at.astimezone(self.week.zone):%d %b %H:%M}"


class HasColumns(Protocol):
    """Events by columns, as the store gives them."""

    def columns(self, event_type: type[Event], *names: str, **where: Where) -> list[tuple[Any, ...]]:
        """Columns of the events of a kind that fit."""


@dataclass(frozen=True, order=True)
class Outage:
    """An incident: when it was (microseconds; open ones have no end), and of which service and environment."""

    started_at: int
    restored_at: int | None
    id: str
    service: str
    environment: str

    def holds(self, at: int, service: str, environment: str) -> bool:
        """Whether something of a service happened during it."""
        same = service == self.service and (not environment or not self.environment or environment == self.environment)
        return same and self.started_at <= at and (self.restored_at is None or at <= self.restored_at)


def outages(events: HasColumns, organisation: Organisation, after: int, until: int) -> list[Outage]:
    """The incidents that were open at some time of a stretch, in order. Services are called as the catalogue does."""
    names = ("started_at", "restored_at", "id", "service", "environment")
    rows = events.columns(Incident, *names)
    return sorted(
        Outage(start, end, event_id, organisation.component(service or "") or service or "", environment or "")
        for start, end, event_id, service, environment in rows
        if start <= until and (end is None or end >= after)
    )


def first_of(texts: Iterable[str]) -> str:
    """The first text that is not empty."""
    return next(filter(None, texts), "")
