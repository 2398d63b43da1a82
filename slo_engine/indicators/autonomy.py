"""Team autonomy: which deployments went to production without the platform's team. Pure. definitions.md §4.

A service is judged by itself, from its deployments, the tickets they are linked with, and who is in which team.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from pydantic import Field

from collector.conditions import Above
from collector.events import Deployment, Member, Result, Ticket
from slo_engine.headcount import Roster, changed_people, read_roster
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Shape
from slo_engine.name_rules import NameRules
from slo_engine.observation import NO_PARTS, Observation, Outcome, Reason, Row, as_observation
from slo_engine.options import Options
from slo_engine.organisation import Organisation
from slo_engine.requests_tickets import Call, Calls, read_calls
from slo_engine.settled import Marks, mark, marks

AUTONOMY = Indicator(
    name="team_autonomy",
    noun="deployments",
    version="1",
    title="Team autonomy",
    definition=(
        "Share of the successful production deployments that nobody of the platform's team made or was asked for in a "
        "ticket that is linked with them."
    ),
    shape=Shape.RATIO,
    metric="platform_team_autonomy",
)


class AutonomyOptions(Options):
    """Which tickets ask the platform's team for a deployment."""

    queues: NameRules = Field(
        default=(), description="The queues in which the platform's team is asked; all where none is named."
    )


class _Deployment(NamedTuple):
    """A deployment as the arithmetic needs it. `actor` is the person."""

    id: str
    source: str
    native_id: str
    url: str | None
    environment: str
    finished_at: int
    result: str
    actor: str | None
    actor_team: str | None
    bot: bool
    links: tuple[str, ...]

    @property
    def names(self) -> Iterator[str]:
        """What the links of tickets may call it. A bare number means something else in every system."""
        return (n for n in (self.url, self.native_id) if n and not n.isdigit())


_COLUMNS = _Deployment._fields
_LINKS = msgspec.json.Decoder(tuple[str, ...])
_NEVER = 2**62
"""Later than everything: of a piece nothing that is stored is replaced."""


class _State(msgspec.Struct, array_like=True, frozen=True):
    """A service: the marks of its deployments, and the sources that its judgements rest on beside theirs."""

    known: bytes
    sources: list[str]


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of all services, one after the other."""
    known = _Known(events, organisation)
    for service in sorted(known.named):
        judged = known.judged(service)
        yield from map(as_observation, judged.observations(judged.sources))


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The services that tickets or stays on the roster touch, each as a whole; of others the new deployments.

    A service reads the ids of its tickets, what its deployments are linked with, and whose team the roster tells.
    """
    known = _Known(events, organisation)
    touched = known.touched(asked) if asked.only is None else asked.only
    new = {} if asked.since is None or asked.only is not None else known.deployed_since(asked.since["deployment"])
    for service in sorted(touched.union(new) - set(asked.derived)):
        yield (None if service in touched else known.later(service, new[service], asked)) or known.whole(service)


def scopes(events: Events, organisation: Organisation) -> list[str]:
    """The services that have deployments."""
    return sorted(_Known(events, organisation).named)


@dataclass(frozen=True)
class _Known:
    """The events of all services; tickets and the roster are read once."""

    events: Events
    organisation: Organisation

    @cached_property
    def named(self) -> Mapping[str, list[str]]:
        """What deployments call each service."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in self.events.distinct(Deployment, "service"):
            found[self._service(name)].append(name)
        return found

    @cached_property
    def calls(self) -> Calls:
        """All tickets in the platform's queues."""
        queues = self.organisation.options_of(AutonomyOptions).queues
        return Calls(tuple(read_calls(self.events, self.organisation, queues, ())))

    @cached_property
    def roster(self) -> Roster:
        """Who is in which team."""
        return read_roster(self.events, self.organisation)

    def _service(self, name: str) -> str:
        return self.organisation.deployed(name) or name

    def judged(self, service: str) -> _Judged:
        """A service with its deployments."""
        names = self.named.get(service, [])
        rows = self.events.columns(Deployment, *_COLUMNS, service=names) if names else []
        return self._judged(service, map(self._deployment, rows))

    def _judged(self, service: str, deployments: Iterable[_Deployment]) -> _Judged:
        return _Judged(service, sorted(deployments), self.calls, self.roster, self.organisation)

    def whole(self, service: str) -> Piece:
        """A service with all its deployments."""
        judged = self.judged(service)
        found = judged.observations(judged.sources)
        return Piece(service, found, reads=judged.reads, state=_packed(Marks(), judged, judged.sources))

    def deployed_since(self, revision: int) -> Mapping[str, Sequence[_Deployment]]:
        """By service the deployments that were written after a revision."""
        found: dict[str, list[_Deployment]] = defaultdict(list)
        names = self.events.distinct(Deployment, "service", revision)
        for name, *row in self.events.columns(
            Deployment, "service", *_COLUMNS, service=names, revision=Above(revision)
        ):
            found[self._service(name)].append(self._deployment(tuple(row)))
        return found

    def later(self, service: str, new: Sequence[_Deployment], asked: Asked) -> Piece | None:
        """A service's new deployments; None where one was known before, or one means something for the others."""
        packed = asked.state(service)
        if packed is None:
            return None
        state = msgspec.msgpack.decode(packed, type=_State)
        known, judged, sources = Marks(state.known), self._judged(service, new), set(state.sources)
        if known.among(mark(d.id) for d in new) or not judged.sources <= sources:
            return None
        reads = tuple(sorted({*asked.known.get(service, ()), *judged.reads}))
        found = judged.observations(sources)
        return Piece(service, found, reads=reads, state=_packed(known, judged, sources), after=_NEVER)

    def _deployment(self, row: tuple[Any, ...]) -> _Deployment:
        *values, actor, team, bot, links = row
        people = self.organisation.identities
        flagged = people.is_bot(actor, flagged=bool(bot))
        return _Deployment._make((*values, people.person(actor), team, flagged, _LINKS.decode(links) if links else ()))

    def touched(self, asked: Asked) -> set[str]:
        """The services that events after some revisions may change as a whole."""
        if asked.since is None:
            return {*self.named, *asked.known}
        # Whatever the queue is now: a ticket may have left the platform's.
        calls = read_calls(self.events, self.organisation, (), (), revision=Above(asked.since["ticket"]))
        names = self._linked(calls).union(self.events.moved(Deployment, asked.since["deployment"]))
        tokens = {t for c in calls for t in (c.id, *c.names)}
        tokens |= changed_people(self.events, self.organisation, asked.since["member"])
        reading = {scope for scope, reads in asked.known.items() if not tokens.isdisjoint(reads)}
        return ({self._service(name) for name in names} & set(asked.known)) | reading

    def _linked(self, calls: list[Call]) -> set[str]:
        """What the deployments that tickets name call their services."""
        links = sorted({link for c in calls for link in c.links})
        wheres: list[dict[str, list[str]]] = [{"native_id": links}, {"url": links}] if links else []
        return {name for where in wheres for (name,) in self.events.columns(Deployment, "service", **where)}


@dataclass(frozen=True)
class _Judged:
    """A service with its deployments, and all that judging them takes."""

    service: str
    deployments: list[_Deployment]
    calls: Calls
    roster: Roster
    organisation: Organisation

    @property
    def reads(self) -> tuple[str, ...]:
        """Ids of tickets, links that a ticket may be called by, and people whose team nobody but the roster tells."""
        found = set(self._asked_for)
        for one in self.deployments:
            found.update(one.links)
        found.update(c.id for linked in self._linked.values() for c in linked)
        return tuple(sorted(found))

    @cached_property
    def _asked_for(self) -> set[str]:
        """The people whose team only the roster can tell."""
        return {d.actor for d in self.deployments if d.actor and not d.actor_team}

    @cached_property
    def _linked(self) -> Mapping[str, Sequence[Call]]:
        """The tickets that each deployment is linked with, of those that are linked with any."""
        linked = ((d.id, self.calls.linked(d)) for d in self.deployments) if self.calls.all else ()
        return {key: calls for key, calls in linked if calls}

    @cached_property
    def sources(self) -> set[str]:
        """That nobody was asked, and who is in which team, is known only while these report."""
        found = {c.source for linked in self._linked.values() for c in linked}
        return found.union(s.source for p in self._asked_for for s in self.roster.stays.get(p, ()))

    def observations(self, sources: Iterable[str]) -> Iterator[Row]:
        """Each deployment to an environment that is judged; each rests on some sources beside its own."""
        environments = {d.environment for d in self.deployments}
        judged = {e for e in environments if self.organisation.is_judged(self.service, e)}
        joined = {one: "+".join(sorted({one, *sources})) for one in {d.source for d in self.deployments}}
        for one in self.deployments:
            if one.environment not in judged:
                continue
            outcome, why, asked = self._verdict(one, self._linked.get(one.id, ()))
            told = (why, None, "") if outcome is Outcome.EXCLUDED else ("", None, why)
            evidence = msgspec.json.encode(asked).decode() if asked else "[]"
            yield Row(
                (AUTONOMY.name, "", self.service, one.environment, "", joined[one.source]),
                (one.finished_at, one.id, None, *NO_PARTS, outcome.value, *told, evidence),
            )

    @cached_property
    def _is_the_platform_s(self) -> bool:
        return self.organisation.is_platform(self.organisation.team(self.service) or None)

    def _verdict(self, one: _Deployment, calls: Sequence[Call]) -> tuple[Outcome, str, tuple[str, ...]]:
        """Whether a deployment went without the platform's team: the outcome, why, and the tickets that say so."""
        if one.result != Result.SUCCESS:
            return Outcome.EXCLUDED, Reason.NOT_SUCCESSFUL, ()
        if self._is_the_platform_s:
            return Outcome.EXCLUDED, Reason.PLATFORM_TEAM, ()
        stay = self.roster.stay(one.actor, one.finished_at)
        team = one.actor_team or (stay.team if stay else "")
        if self.organisation.is_platform(team or None):
            return Outcome.BAD, "actor", ()
        # A ticket that was written afterwards did not ask for it.
        asked = tuple(c.id for c in calls if c.created_at <= one.finished_at)
        if asked:
            return Outcome.BAD, "linked", asked
        known = bool(team) or one.bot
        return (Outcome.GOOD, "bot" if one.bot else "", ()) if known else (Outcome.EXCLUDED, Reason.UNKNOWN, ())


def _packed(known: Marks, judged: _Judged, sources: Iterable[str]) -> bytes:
    return msgspec.msgpack.encode(_State(known.joined(marks(d.id for d in judged.deployments)), sorted(sources)))


FAMILY = Family(
    name="autonomy",
    inputs=(Deployment, Ticket, Member),
    indicators=(AUTONOMY,),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    options=AutonomyOptions,
)
