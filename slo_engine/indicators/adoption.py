"""Adoption: who uses the platform, who stays, and which services use what it offers. Pure.

definitions.md §5. One unit is a person, service or team that used a capability on a UTC day: so that what is kept grows
with days, not with clicks. Days are judged alone, so new events replace only what comes after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from collector.conditions import Above
from collector.events import UsageEvent
from collector.patterns import Pattern, any_matches, patterns
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Reach, Shape, Unit
from slo_engine.measure import Ints, Mask, Measured, Sample
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros, label_values, labelled
from slo_engine.options import Options
from slo_engine.organisation import Organisation, Service, levels
from slo_engine.statistics import wilson

DAY = 86_400_000_000
"""A UTC day in microseconds."""

_PEOPLE_LABELS = ("kind", "")
"""The capability; and why a unit is set aside, which stands beside the number."""
_SERVICE_LABELS = ("kind", "method", "")
"""The capability, what is counted, and the name of the service or team."""
_SERVICES, _TEAMS = "services", "teams"

_Text = Annotated[str, Field(min_length=1)]


class Offer(BaseModel):
    """Which services a capability is meant for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    capability: _Text = Field(description="A rule for the names of capabilities.")
    services: tuple[_Text, ...] = Field(description="Rules for the names of the services that could use it.")


class AdoptionOptions(Options):
    """What counts as use, by whom, and which services a capability is for."""

    meaningful: tuple[_Text, ...] = Field(
        default=("*",),
        description="Rules for `capability/action`: what counts as use. Without an action: `capability/`.",
    )
    not_meaningful: tuple[_Text, ...] = Field(
        default=("*/login", "*/logout", "*/view"), description="Rules for `capability/action` that do not count."
    )
    platform_team: bool = Field(default=False, description="Whether the platform's own teams count as users.")
    offers: tuple[Offer, ...] = Field(
        default=(),
        description="Capabilities that are not for every service; the first entry whose `capability` fits counts.",
    )
    teams: bool = Field(default=False, description="Whether adoption by teams is published beside that by services.")

    def counts(self, capability: str, action: str | None) -> bool:
        """Whether an action is use."""
        name = f"{capability}/{action or ''}"
        return any_matches(patterns(self.meaningful), name) and not any_matches(patterns(self.not_meaningful), name)

    def eligible(self, capability: str, services: Iterable[Service]) -> list[Service]:
        """The services that a capability is meant for."""
        own = (o.services for o in self.offers if Pattern(o.capability).matches(capability))
        rules = patterns(next(own, ("*",)))
        return [s for s in services if any_matches(rules, s.name)]


def _set_aside(sample: Sample) -> dict[str, int]:
    """How many different units of the window were set aside, by reason."""
    aside = sample.inside & sample.is_(Outcome.EXCLUDED)
    found: dict[str, int] = {}
    for place in np.unique(sample.dimension[aside]).tolist():
        reason = label_values(sample.dimensions[place], len(_PEOPLE_LABELS))[-1]
        units = np.unique(sample.unit[aside & (sample.dimension == place)]).size
        found[reason] = found.get(reason, 0) + int(units)
    return found


def _active(sample: Sample, when: Mask) -> Ints:
    """The people who used something, each once."""
    found: Ints = np.unique(sample.unit[when & sample.is_(Outcome.MEASURED)])
    return found


def _active_people(sample: Sample) -> Measured:
    """How many different people used something in the window."""
    n, excluded = int(_active(sample, sample.inside).size), _set_aside(sample)
    asked = n + excluded.get(Reason.UNKNOWN.value, 0)
    return Measured(n, {"value": float(n)} if n else {}, excluded=excluded, coverage=n / asked if asked else None)


def _retained(sample: Sample) -> Measured:
    """The share of those active in the window before who are active now, with Wilson's interval."""
    now, before = _active(sample, sample.inside), _active(sample, ~sample.inside)
    stayed, n = int(np.isin(before, now).sum()), int(before.size)
    bounds = wilson(stayed, n)
    if bounds is None:
        return Measured(0)
    return Measured(n, {"value": stayed / n, "low": bounds[0], "high": bounds[1]}, coverage=1.0)


def _adopted(sample: Sample) -> Measured:
    """The share of the eligible services, or teams, that used the capability in the window, with Wilson's interval.

    Eligible are those of the catalogue at the time, in the team that the number is of; all in the whole organisation's.
    """
    if not sample.dimensions:
        return Measured(0)
    capability, method, _ = label_values(sample.dimensions[0], len(_SERVICE_LABELS))
    present = np.unique(sample.dimension[sample.inside & sample.is_(Outcome.MEASURED)]).tolist()
    used = {label_values(sample.dimensions[place], len(_SERVICE_LABELS))[-1] for place in present}
    team, services = sample.subject.team, sample.organisation.services
    inside = [s for s in services if team in {"", "/"} or _path(team) in levels(s.team)]
    eligible = sample.organisation.options_of(AdoptionOptions).eligible(capability, inside)
    names = {s.name for s in eligible} if method == _SERVICES else {_path(s.team) for s in eligible if _path(s.team)}
    excluded = {Reason.NOT_ELIGIBLE.value: len(used - names)} if used - names else {}
    bounds = wilson(len(used & names), len(names))
    if bounds is None:
        return Measured(0, excluded=excluded)
    value = len(used & names) / len(names)
    stats = {"value": value, "low": bounds[0], "high": bounds[1]}
    return Measured(len(names), stats, excluded=excluded, coverage=1.0)


ACTIVE_USERS = Indicator(
    name="active_users",
    noun="people",
    version="1",
    title="Active users",
    definition="Different eligible people with at least one meaningful action on the platform in the window.",
    shape=Shape.MEASURE,
    metric="platform_active_users",
    labels=_PEOPLE_LABELS,
    people=True,
    measure=_active_people,
    stats=("value",),
    unit=Unit.COUNT,
)
ACTIVE_USERS_RETENTION = Indicator(
    name="active_users_retention",
    noun="people",
    version="1",
    title="Retention of active users",
    definition="Share of the people active in the window before who are active in the window too.",
    shape=Shape.MEASURE,
    metric="platform_active_users_retention",
    part_of=ACTIVE_USERS,
    labels=_PEOPLE_LABELS,
    people=True,
    measure=_retained,
    stats=("value", "low", "high"),
    unit=Unit.RATIO,
    reach=Reach.TWICE,
)
CAPABILITY_ADOPTION = Indicator(
    name="capability_adoption",
    noun="services",
    version="1",
    title="Capability adoption",
    definition="Share of the eligible services, or teams, that used the capability in the window.",
    shape=Shape.MEASURE,
    metric="platform_capability_adoption",
    labels=_SERVICE_LABELS,
    apart=("kind", "method"),
    measure=_adopted,
    stats=("value", "low", "high"),
    unit=Unit.RATIO,
)


class _Use(NamedTuple):
    """A use of a capability. Time in microseconds."""

    at: int
    id: str
    source: str
    action: str | None
    person: str | None
    team: str | None
    service: str | None
    bot: bool
    times: int


COLUMNS = (*_Use._fields[:-1], "count")
"""The columns of an event that are read, in its order."""


class _Who(NamedTuple):
    """Whom a unit is about, on which day, and how it is judged."""

    indicator: str
    day: int
    unit: str
    team: str
    source: str
    reason: str
    labels: tuple[str, ...]


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The days of use of all capabilities."""
    for piece in pieces(events, organisation, Asked()):
        yield from (o for o in piece.observations if isinstance(o, Observation))


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The capabilities with new events, each from the first new day on."""
    names = events.distinct(UsageEvent, "capability")
    left: set[str] = set()
    if asked.only is not None:
        touched = set(asked.only)
    elif asked.since is None:
        touched = {*names, *asked.known}
    else:
        revision = asked.since["usage_event"]
        left = set(events.moved(UsageEvent, revision))
        touched = {*events.distinct(UsageEvent, "capability", revision), *left}
    for capability in sorted(touched - set(asked.derived)):
        whole = asked.since is None or capability in left or _moved_teams(asked.known.get(capability, ()), organisation)
        yield _piece(events, capability, organisation, None if whole else asked)


def scopes(events: Events, organisation: Organisation) -> list[str]:
    """The capabilities that are used."""
    del organisation
    return events.distinct(UsageEvent, "capability")


def _moved_teams(reads: Iterable[str], organisation: Organisation) -> bool:
    """Whether a service that used a capability has another team now than when that was derived."""
    return any(_owned(read.partition("\t")[0], organisation) != read for read in reads)


def _owned(service: str, organisation: Organisation) -> str:
    """A service with its team, in the form in which a piece remembers it."""
    return f"{service}\t{_path(organisation.team(service))}"


def _piece(events: Events, capability: str, organisation: Organisation, asked: Asked | None) -> Piece:
    """The days of a capability: all of them, or those from the first with something new."""
    after = None
    if asked is not None and asked.since is not None:
        new = events.columns(UsageEvent, "at", capability=capability, revision=Above(asked.since["usage_event"]))
        after = min((at for (at,) in new), default=0) // DAY * DAY - 1
    later = {} if after is None else {"at": Above(after)}
    uses = sorted(map(_Use._make, events.columns(UsageEvent, *COLUMNS, capability=capability, **later)))
    judge, found = _Judge(capability, organisation), dict[_Who, list[_Use]]()
    for use in uses:
        for who in judge.whom(use):
            found.setdefault(who, []).append(use)
    known = asked.known.get(capability, ()) if asked is not None else ()
    services = {who.unit for who in found if who.labels[1] == _SERVICES}
    reads = tuple(sorted({*known, *(_owned(s, organisation) for s in services)}))
    return Piece(capability, [_day(who, own) for who, own in found.items()], reads, after=after)


class _Judge:
    """Says what the uses of a capability are part of."""

    def __init__(self, capability: str, organisation: Organisation) -> None:
        options = organisation.options_of(AdoptionOptions)
        self._capability, self._organisation, self._options = capability, organisation, options
        # Few actions and teams come again and again.
        self._counts = cache(lambda action: options.counts(capability, action))
        self._is_own = cache(lambda team: organisation.is_platform(team) and not options.platform_team)

    def whom(self, use: _Use) -> Iterator[_Who]:
        """The units that a use is part of: of its person, of its service, of its team."""
        day, team = use.at // DAY, _path(use.team)
        organisation, capability = self._organisation, self._capability
        person = organisation.identities.person(use.person)
        service = (organisation.component(use.service) or use.service) if use.service else ""
        if person is not None or not service:
            reason = self._reason(use, team)
            # Nobody knows how many people the uses by unknown ones are: a day of them is one unit.
            unit = person or f"unknown {capability}"
            yield _Who(ACTIVE_USERS.name, day, unit, team, use.source, reason, (capability, reason))
        if use.times < 1 or not self._counts(use.action):
            return
        if service:
            owner = _path(organisation.team(service))
            labels = (capability, _SERVICES, service)
            yield _Who(CAPABILITY_ADOPTION.name, day, service, owner, use.source, "", labels)
            team = owner or team
        if team and self._options.teams:
            labels = (capability, _TEAMS, team)
            yield _Who(CAPABILITY_ADOPTION.name, day, team, team, use.source, "", labels)

    def _reason(self, use: _Use, team: str) -> str:
        """Why a use makes nobody active; empty where it does."""
        if use.times < 1:
            return Reason.IMPOSSIBLE.value
        if self._organisation.identities.is_bot(use.person, use.bot):
            return Reason.BOT.value
        if not self._counts(use.action):
            return Reason.NOT_ELIGIBLE.value
        if use.person is None:
            return Reason.UNKNOWN.value
        return Reason.PLATFORM_TEAM.value if self._is_own(team) else ""


def _day(who: _Who, uses: Sequence[_Use]) -> Observation:
    """A day of use: dated at its first event, which is its evidence; the value is how often."""
    return Observation(
        indicator=who.indicator,
        unit=who.unit,
        at=from_micros(uses[0].at),
        subject=Subject(team=who.team),
        source=who.source,
        outcome=Outcome.EXCLUDED if who.reason else Outcome.MEASURED,
        value=float(sum(u.times for u in uses)),
        reason=who.reason,
        dimension=labelled(*who.labels),
        evidence=(uses[0].id,),
    )


def _path(team: str | None) -> str:
    """A team's path, which begins with one slash; empty where nobody knows."""
    return "/" + team.strip("/") if team and team.strip("/") else ""


def _forgets(_scope: str, before: int, _organisation: Organisation) -> int:
    """Whole days alone: the one that a time lies in rests on what is before it."""
    return -(-before // DAY) * DAY - 1


FAMILY = Family(
    name="adoption",
    inputs=(UsageEvent,),
    indicators=(ACTIVE_USERS, ACTIVE_USERS_RETENTION, CAPABILITY_ADOPTION),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    options=AdoptionOptions,
    forgets={UsageEvent: _forgets},
)
