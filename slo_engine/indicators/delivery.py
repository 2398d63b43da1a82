"""Delivery: DORA's five metrics, with cadence and time to restore, service by service. Pure.

definitions.md §2. What shipped where, and which incident belongs to which deployment, is decided once, from all known
events; the answer does not depend on any window.
"""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property

from collector.conditions import Above, Where
from collector.events import Change, Commit, Deployment, Incident, Result, Review, kind_of
from slo_engine.changes import Commits, History, history, read_commits, read_requests
from slo_engine.incidents import Settled, read_incidents
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Pieces, Shape, Silent
from slo_engine.later import Later, Meant, waiting_only
from slo_engine.observation import Observation, as_observations, by_series
from slo_engine.organisation import Organisation
from slo_engine.services import Judged, judged, observations
from slo_engine.settled import Settling, State, answered, boundaries, decoded, settle
from slo_engine.shipping import RELEASE_COLUMNS, Release

STAGES = ("coding", "pickup", "review", "delivery")

DEPLOYMENT_FREQUENCY = Indicator(
    name="deployment_frequency",
    noun="deployments",
    version="1",
    title="Deployments",
    definition="Successful deployments of the service to the environment per day of the window.",
    shape=Shape.FREQUENCY,
    metric="platform_deployments",
    dimension="outcome",
    dimensions=tuple(r.value for r in Result),
)
CHANGE_LEAD_TIME = Indicator(
    name="change_lead_time",
    noun="changes",
    version="1",
    title="Change lead time",
    definition=(
        "Time from the author time of a change's first commit to its first production deployment, "
        "for the changes first deployed in the window."
    ),
    shape=Shape.DURATION,
    metric="platform_change_lead_time",
    dimension="stage",
    dimensions=STAGES,
)
CHANGE_DELIVERY_TIME = Indicator(
    name="change_delivery_time",
    noun="changes",
    version="1",
    title="Change delivery time",
    definition=(
        "Time from the merge of a change to its first production deployment: the platform's own part, "
        "for the changes first deployed in the window."
    ),
    shape=Shape.DURATION,
    metric="platform_change_delivery_time",
    part_of=CHANGE_LEAD_TIME,
    part="delivery",
)
CHANGE_FAIL_RATE = Indicator(
    name="change_fail_rate",
    noun="deployments",
    version="1",
    title="Change fail rate",
    definition=(
        "Share of the successful deployments older than the attribution lag to which a failure is attributed: "
        "an incident, rollback, revert or hotfix of one of their changes."
    ),
    shape=Shape.RATIO,
    metric="platform_change_fail",
    share_of="bad",
)
FAILED_DEPLOYMENT_RECOVERY_TIME = Indicator(
    name="failed_deployment_recovery_time",
    noun="failed deployments",
    version="1",
    title="Failed deployment recovery time",
    definition=(
        "Time from a failed deployment to its recovery: its last attributed incident resolved, or the rollback or "
        "fix deployed, for the recoveries in the window."
    ),
    shape=Shape.DURATION,
    metric="platform_failed_deployment_recovery",
)
DEPLOYMENT_REWORK_RATE = Indicator(
    name="deployment_rework_rate",
    noun="deployments",
    version="1",
    title="Deployment rework rate",
    definition=(
        "Share of the successful deployments that were unplanned: a rollback, one that contains a revert or a hotfix, "
        "or one linked as an incident's remedy."
    ),
    shape=Shape.RATIO,
    metric="platform_deployment_rework",
    share_of="bad",
)
INCIDENT_TIME_TO_RESTORE = Indicator(
    name="incident_time_to_restore",
    noun="incidents",
    version="1",
    title="Incident time to restore",
    definition="Time from the start of an incident to its last resolution, for the incidents restored in the window.",
    shape=Shape.DURATION,
    metric="platform_incident_restore",
)
DEPLOY_CADENCE = Indicator(
    name="deploy_cadence",
    noun="weeks of services",
    version="2",
    title="Deploy cadence",
    definition=(
        "Share of the service-weeks with merged, undeployed changes in which the declared number of production "
        "deployments was met."
    ),
    shape=Shape.RATIO,
    metric="platform_deploy_cadence",
)

_REPOSITORIES_KEPT = 4
_FULL_ID = re.compile("[0-9a-f]{40}([0-9a-f]{24})?")


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of all services."""
    latest = {piece.scope: piece for piece in pieces(events, organisation, Asked())}
    for piece in latest.values():
        yield from as_observations(piece.observations)


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The services that new events touch, each derived."""
    return _Batch(events, organisation, asked, Settling()).pieces()


def settling(how: Settling) -> Pieces:
    """`pieces` with another way of settling: whatever it is, the observations are the same."""
    return lambda events, organisation, asked: _Batch(events, organisation, asked, how).pieces()


def scopes(events: Events, organisation: Organisation) -> set[str]:
    """The services that have deployments or incidents."""
    return _Batch(events, organisation, Asked(), Settling()).scopes


class _Batch:
    """One pass over the services to derive."""

    def __init__(self, events: Events, organisation: Organisation, asked: Asked, how: Settling) -> None:
        self._how = how
        self._events, self._organisation, self._asked = events, organisation, asked
        self._since, self._state, self._revisions = asked.since, asked.state, asked.revisions
        self._asking: set[str] = set()
        """New incidents that name something: somebody may have to answer for them."""
        self._busy: set[str] = set()
        """Services with new deployments, or that a new incident means, and repositories with new commits: there is more
        to judge than requests that wait."""
        self._left: set[str] = set()
        """Services and repositories that an event left: what they were judged by is no longer there."""
        self._incidents = read_incidents(events, organisation)
        self._meant = Meant(self._incidents)
        self._named: dict[str, list[str]] = defaultdict(list)
        for raw in events.distinct(Deployment, "service"):
            self._named[organisation.deployed(raw) or raw].append(raw)
        self._reads = {scope: set(reads) for scope, reads in asked.known.items()}
        self._answered: dict[str, set[str]] = defaultdict(set)
        self._owned: dict[str, set[str]] = defaultdict(set)
        for scope, reads in asked.known.items():
            self._note(scope, {r for r in reads if not r.startswith(_REPOSITORY)})
        self._owned_before = frozenset(self._owned)
        self._histories: OrderedDict[str, History] = OrderedDict()

    @cached_property
    def scopes(self) -> set[str]:
        """All services of which something is known."""
        return {*self._named, *self._incidents.of_service}

    def pieces(self) -> Iterator[Piece]:
        """Each touched service; one may come again when another one turns out to answer for its incident."""
        if self._asked.only is not None:
            yield from self._each(self._asked.only, again=False)
            return
        gone = self._reads.keys() - self.scopes
        waiting = {*self.scopes, *gone} if self._since is None else self._touched(self._since)
        done = set(self._asked.derived)
        meant = [self._taken(scope, reads) for scope, reads in sorted(self._asked.derived.items())]
        waiting = (waiting - done).union(*meant)
        half = self._asked.half
        if half is not None and not half.first:
            yield from self._each(half.of(waiting), again=False)
            return
        wave = 0
        while waiting:
            again: set[str] = set()
            for piece, affected in self._wave(waiting, wave):
                again |= affected
                done.add(piece.scope)
                yield piece
            if not again and self._asking:
                again = self._with_commits(self._asking) - done
                self._asking = set()
            waiting, wave = again, wave + 1

    def _wave(self, waiting: AbstractSet[str], wave: int) -> Iterator[tuple[Piece, set[str]]]:
        """Some services, with those for which each makes a difference; what another process derived meanwhile last."""
        half = None if wave else self._asked.half
        own = waiting if half is None else half.of(waiting)
        for piece in self._each(own, again=wave > 0):
            yield piece, self._affected(piece.scope, piece.reads)
        others, came = (None if half is None else self._asked.others()), set()
        if others is not None:
            with contextlib.suppress(Silent):
                for piece in others:
                    came.add(piece.scope)
                    yield piece, self._taken(piece.scope, piece.reads)
                return
        for piece in self._each(waiting - own - came, again=wave > 0):
            yield piece, self._affected(piece.scope, piece.reads)

    def _each(self, scopes: Iterable[str], *, again: bool) -> Iterator[Piece]:
        """Some services, those that share a repository one after the other."""
        for scope in sorted(scopes, key=lambda s: (sorted(self._reads.get(s, ())), s)):
            piece = self._piece(scope, again=again)
            if piece is not None:
                yield piece

    def _touched(self, since: Mapping[str, int]) -> set[str]:
        """The services that events after these revisions may change."""
        events, organisation = self._events, self._organisation
        deployment, incident = since.get("deployment", 0), since.get("incident", 0)
        left = {organisation.deployed(name) or name for name in events.moved(Deployment, deployment)}
        left |= {(organisation.component(n) or n) if n else "" for n in events.moved(Incident, incident)}
        left |= self._answering_for_none()
        self._left |= left
        self._busy = {organisation.deployed(n) or n for n in events.distinct(Deployment, "service", deployment)}
        scopes = self._busy | left
        changed = self._incidents.since(incident)
        scopes |= {i.service for i in changed}
        repositories: set[str] = set()
        for kind in (Commit, Change, Review):
            revision = since.get(kind_of(kind), 0)
            gone = events.moved(kind, revision)
            self._left |= {_REPOSITORY + name for name in gone}
            new = events.distinct(kind, "repository", revision)
            self._busy |= {_REPOSITORY + name for name in new} if kind is Commit else set()
            repositories |= {*new, *gone}
        wanted = {_REPOSITORY + r for r in repositories}
        scopes |= {scope for scope, reads in self._reads.items() if not wanted.isdisjoint(reads)}
        meant = self._answering({n for i in changed for n in (*i.names, *i.links)})
        self._busy |= meant
        scopes |= meant
        self._asking = {i.id for i in changed if i.names}
        scopes |= {scope for i in changed for scope in self._answered.get(i.id, ())}
        return scopes

    def _answering_for_none(self) -> set[str]:
        """The services that answer for an incident which was deleted at its source."""
        known = self._incidents.by_id
        answered = (self._answered, self._owned)
        return {scope for one in answered for identity, own in one.items() if identity not in known for scope in own}

    def _answering(self, tokens: set[str]) -> set[str]:
        """The services whose deployments or changes have one of these names or links."""
        if not tokens:
            return set()
        found: set[str] = set()
        for column in ("native_id", "artifact", "sha", "url"):
            rows = self._events.columns(Deployment, "service", **{column: sorted(tokens)})
            found |= {self._organisation.deployed(raw) or raw for (raw,) in rows}
        return found | self._reading(self._events.columns(Change, "repository", url=sorted(tokens)))

    def _reading(self, repositories: Iterable[tuple[str]]) -> set[str]:
        """The services that are judged by a repository."""
        wanted = {_REPOSITORY + r for (r,) in repositories}
        return {s for s, reads in self._reads.items() if not wanted.isdisjoint(reads)} if wanted else set()

    def _with_commits(self, incidents: Iterable[str]) -> set[str]:
        """The services that may have a commit named by incidents that no service answers for. It reads all commits."""
        known = [self._incidents.by_id[i] for i in incidents if not self._owned.get(i) and not self._answered.get(i)]
        shas = sorted({n for i in known for n in i.names if _FULL_ID.fullmatch(n)})
        return self._reading(self._events.columns(Commit, "repository", sha=shas)) if shas else set()

    def _piece(self, scope: str, *, again: bool) -> Piece | None:
        """A service, from its settled state where there is one that new events leave alone, else as a whole.

        None where what is new changes nothing yet, as a comment on a request that waits does.
        """
        packed = None if self._since is None else self._state(scope)
        state = None if self._touches(scope) else decoded(packed)
        if state is not None and self._since is not None:
            if not again and self._only_waiting(scope, state, self._since):
                return None
            with contextlib.suppress(Settled):
                return self._continued(scope, state)
        releases = self._releases(scope)
        judged_in = {e for e in {r.environment for r in releases} if self._organisation.is_judged(scope, e)}
        succeeded = [r for r in releases if r.result == Result.SUCCESS and r.environment in judged_in]
        repositories = {r.repository for r in succeeded if r.repository}
        histories = {r: self._history(r) for r in sorted(repositories)}
        found = judged(
            scope,
            releases,
            histories,
            self._incidents,
            self._elsewhere(scope),
            self._owned_by_others(scope),
            self._organisation,
        )
        reads = _reads(found, repositories)
        return Piece(scope, list(observations(found)), reads, self._settled(found, None, reads))

    def _settled(self, found: Judged, before: State | None, reads: Sequence[str]) -> bytes | None:
        """The packed state to go on from; None where there is no good one."""
        for at in boundaries(found, self._how):
            with contextlib.suppress(Settled):
                return settle(found, before, at, self._how, self._revisions, reads)
        return None

    def _only_waiting(self, scope: str, state: State, since: Mapping[str, int]) -> bool:
        """Whether all that is new are versions of, and reviews on, requests that nobody merged yet."""
        events, incidents = self._events, self._incidents
        if scope in self._busy or not self._busy.isdisjoint(_REPOSITORY + name for name in state.repositories):
            return False
        if any(i.service == scope or i.id in self._answered for i in incidents.since(since["incident"])):
            return False
        return all(waiting_only(events, name, found, since) for name, found in state.repositories.items())

    def _touches(self, scope: str) -> bool:
        return scope in self._left or not self._left.isdisjoint(self._reads.get(scope, ()))

    def _owned_by_others(self, scope: str) -> AbstractSet[str]:
        """The incidents that their own service answers for; those of a service itself are never asked for."""
        left = {i for i in self._answering_alone(scope, self._owned, _OWN) if not self._is_own(i, scope)}
        return self._owned.keys() - left if left else self._owned.keys()

    def _elsewhere(self, scope: str) -> AbstractSet[str]:
        """The incidents of a service for which others answer."""
        own = {i.id for i in self._incidents.of_service.get(scope, ()) if i.id in self._answered}
        return own - self._answering_alone(scope, self._answered, _INCIDENT) if own else own

    def _answering_alone(self, scope: str, scopes: Mapping[str, set[str]], kind: str) -> set[str]:
        """The incidents for which a service answers and no other one does."""
        read = (r.removeprefix(kind) for r in self._reads.get(scope, ()) if r.startswith(kind))
        return {i for i in read if scopes.get(i) == {scope}}

    def _is_own(self, identity: str, scope: str) -> bool:
        incident = self._incidents.by_id.get(identity)
        return incident is not None and incident.service == scope

    def _continued(self, scope: str, state: State) -> Piece:
        """A service from its settled state and what came later. Raises Settled where that is not enough."""
        organisation = self._organisation
        later = Later(self._events, state, lambda e: organisation.is_judged(scope, e), organisation.identities)
        releases = later.releases(self._releases(scope, after=state.at), self._named.get(scope, []))
        histories = {name: later.history(name) for name in sorted(state.repositories)}
        later.check_incidents(scope, self._meant)
        starts = later.starts(releases, histories)
        found = judged(
            scope,
            releases,
            histories,
            self._incidents,
            self._elsewhere(scope),
            self._owned_by_others(scope),
            self._organisation,
            starts,
            state.at,
            state.week,
            later.named,
        )
        if list(found.incident_sources) != state.incident_sources or answered(found, state.reads) != state.answered:
            raise Settled
        repositories = {r.removeprefix(_REPOSITORY) for r in state.reads if r.startswith(_REPOSITORY)}
        reads = tuple(sorted({*state.reads, *_reads(found, repositories)}))
        new = list(observations(found))
        reopened = frozenset((moment, unit) for moment, unit in state.reopened)
        dated = (values[:2] for rows in by_series(new).values() for values in rows)
        if any(moment <= state.at and (moment, unit) not in reopened for moment, unit in dated):
            raise Settled  # something late: its row would be forgotten the next time
        kept = frozenset((moment, unit) for moment, unit in state.kept)
        packed = self._settled(found, state, reads)
        same = packed is None and set(reads) == self._reads.get(scope)
        if packed is None and not same:
            packed = self._state(scope)
        return Piece(scope, new, reads, packed, state.at, reopened, kept, same_state=same)

    def _releases(self, scope: str, after: int | None = None) -> list[Release]:
        """The deployments of a service; only those after a time."""
        raw = self._named.get(scope, [])
        if not raw:
            return []
        later: dict[str, Where] = {} if after is None else {"finished_at": Above(after)}
        rows = self._events.columns(Deployment, *RELEASE_COLUMNS, service=raw, **later)
        entry = self._organisation.service(scope)
        only = entry.repositories[0].text if entry and len(entry.repositories) == 1 else None
        if only is not None and entry is not None and entry.repositories[0].rank:
            only = None
        releases = [Release._make(row) for row in rows]
        if raw != [scope]:
            releases = [r._replace(service=scope) for r in releases]
        if only is not None:
            releases = [r if r.repository else r._replace(repository=only) for r in releases]
        return sorted(releases)

    def _history(self, repository: str) -> History:
        """A repository's changes; the last few are kept, for services that share one."""
        found = self._histories.pop(repository, None)
        if found is None:
            identities = self._organisation.identities
            commits = Commits.of(read_commits(self._events, repository, identities))
            found = history(commits, read_requests(self._events, repository, identities=identities))
        self._histories[repository] = found
        while len(self._histories) > _REPOSITORIES_KEPT:
            self._histories.popitem(last=False)
        return found

    def _affected(self, scope: str, reads: Iterable[str]) -> set[str]:
        """Note what a service answers for, and name the services for which that makes a difference."""
        before, now = self._reads.get(scope, set()), set(reads)
        self._reads[scope] = now
        self._note(scope, now - before)
        affected: set[str] = set()
        for read in before ^ now:
            kind, _, identity = read.partition(":")
            incident = self._incidents.by_id.get(identity)
            if kind + ":" == _INCIDENT:
                affected |= {incident.service} if incident else set()
                if read not in now:
                    _drop(self._answered, identity, scope)
            elif kind + ":" == _OWN:
                affected |= self._answered.get(identity, set())
                if read not in now:
                    _drop(self._owned, identity, scope)
                    affected |= self._answering({*incident.names, *incident.links}) if incident else set()
        return (affected & self.scopes) - {scope}

    def _taken(self, scope: str, reads: Iterable[str]) -> set[str]:
        """`_affected` for a service that another process derived, which knew nothing of what is found here.

        So it is looked at again itself where it was said otherwise whether an incident's own service answers for it.
        """
        affected = self._affected(scope, reads)
        asked = {read.removeprefix(_INCIDENT) for read in self._reads[scope] if read.startswith(_INCIDENT)}
        differing = {i for i in asked if (i in self._owned) != (i in self._owned_before)}
        return affected | {scope} if differing else affected

    def _note(self, scope: str, reads: Iterable[str]) -> None:
        for read in reads:
            if read.startswith(_INCIDENT):
                self._answered[read.removeprefix(_INCIDENT)].add(scope)
            elif read.startswith(_OWN):
                self._owned[read.removeprefix(_OWN)].add(scope)


def _drop(scopes: dict[str, set[str]], identity: str, scope: str) -> None:
    """A service no longer answers for an incident."""
    scopes[identity].discard(scope)
    if not scopes[identity]:
        del scopes[identity]


_REPOSITORY, _INCIDENT, _OWN = "repository:", "incident:", "own:"


def _reads(found: Judged, repositories: Iterable[str]) -> tuple[str, ...]:
    """What a service was judged by: repositories, others' incidents that mean it, and its own that do."""
    read = [_REPOSITORY + r for r in repositories]
    read += [_INCIDENT + i for i in found.attribution.foreign]
    return tuple(sorted(read + [_OWN + i for i in found.attribution.own]))


FAMILY = Family(
    name="delivery",
    inputs=(Commit, Change, Review, Deployment, Incident),
    indicators=(
        CHANGE_LEAD_TIME,
        CHANGE_DELIVERY_TIME,
        DEPLOYMENT_FREQUENCY,
        DEPLOY_CADENCE,
        CHANGE_FAIL_RATE,
        FAILED_DEPLOYMENT_RECOVERY_TIME,
        DEPLOYMENT_REWORK_RATE,
        INCIDENT_TIME_TO_RESTORE,
    ),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    halves=True,
)
