"""Delivery: DORA's five metrics, with cadence and time to restore, service by service. Pure.

definitions.md §2. What shipped where, and which incident belongs to which deployment, is decided once, from all known
events; the answer does not depend on any window.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from collector.events import Change, Commit, Deployment, Incident, Result, Review, kind_of
from slo_engine.changes import COMMIT_COLUMNS, Commits, History, history, read_requests
from slo_engine.incidents import read_incidents
from slo_engine.indicator import Events, Family, Indicator, Piece, Shape
from slo_engine.observation import Observation
from slo_engine.organisation import Organisation
from slo_engine.services import Judged, judged, observations
from slo_engine.shipping import RELEASE_COLUMNS, Release

STAGES = ("coding", "pickup", "review", "delivery")

DEPLOYMENT_FREQUENCY = Indicator(
    name="deployment_frequency",
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
    version="1",
    title="Incident time to restore",
    definition="Time from the start of an incident to its last resolution, for the incidents restored in the window.",
    shape=Shape.DURATION,
    metric="platform_incident_restore",
)
DEPLOY_CADENCE = Indicator(
    name="deploy_cadence",
    version="1",
    title="Deploy cadence",
    definition=(
        "Share of the service-weeks with merged, undeployed changes in which the declared number of production "
        "deployments was met."
    ),
    shape=Shape.RATIO,
    metric="platform_deploy_cadence",
)

_REPOSITORIES_KEPT = 4


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of all services."""
    latest = {piece.scope: piece for piece in pieces(events, organisation, {}, None, lambda _: None)}
    for piece in latest.values():
        yield from piece.observations


def pieces(
    events: Events,
    organisation: Organisation,
    known: Mapping[str, tuple[str, ...]],
    since: Mapping[str, int] | None,
    state: Callable[[str], bytes | None],
) -> Iterator[Piece]:
    """The services that new events touch, each derived."""
    return _Batch(events, organisation, known, since, state).pieces()


class _Batch:
    """One pass over the services to derive."""

    def __init__(
        self,
        events: Events,
        organisation: Organisation,
        known: Mapping[str, tuple[str, ...]],
        since: Mapping[str, int] | None,
        state: Callable[[str], bytes | None],
    ) -> None:
        self._events, self._organisation, self._since, self._state = events, organisation, since, state
        self._incidents = read_incidents(events, organisation)
        self._named: dict[str, list[str]] = defaultdict(list)
        for raw in events.distinct(Deployment, "service"):
            self._named[organisation.deployed(raw) or raw].append(raw)
        self._reads = {scope: set(reads) for scope, reads in known.items()}
        self._answered: dict[str, set[str]] = defaultdict(set)
        self._owned: set[str] = set()
        for scope, reads in known.items():
            self._note(scope, {r for r in reads if not r.startswith(_REPOSITORY)})
        self._histories: OrderedDict[str, History] = OrderedDict()

    @property
    def _scopes(self) -> set[str]:
        return {*self._named, *self._incidents.of_service}

    def pieces(self) -> Iterator[Piece]:
        """Each touched service; one may come again when another one turns out to answer for its incident."""
        gone = self._reads.keys() - self._scopes
        waiting = {*self._scopes, *gone} if self._since is None else self._touched(self._since)
        while waiting:
            again: set[str] = set()
            for scope in sorted(waiting, key=lambda s: (sorted(self._reads.get(s, ())), s)):
                piece = self._piece(scope)
                again |= self._affected(scope, piece)
                yield piece
            waiting = again

    def _touched(self, since: Mapping[str, int]) -> set[str]:
        """The services that events after these revisions may change."""
        events, organisation = self._events, self._organisation
        deployment, incident = since.get("deployment", 0), since.get("incident", 0)
        raw = {*events.distinct(Deployment, "service", deployment), *events.moved(Deployment, deployment)}
        scopes = {organisation.deployed(name) or name for name in raw}
        left = events.moved(Incident, incident)
        scopes |= {(organisation.component(name) or name) if name else "" for name in left}
        changed = [i for i in self._incidents.all if i.revision > incident]
        scopes |= {i.service for i in changed}
        repositories: set[str] = set()
        for kind in (Commit, Change, Review):
            revision = since.get(kind_of(kind), 0)
            repositories |= {*events.distinct(kind, "repository", revision), *events.moved(kind, revision)}
        for scope, reads in self._reads.items():
            if any(_REPOSITORY + r in reads for r in repositories):
                scopes.add(scope)
        scopes |= self._answering({n for i in changed for n in (*i.names, *i.links)})
        scopes |= {scope for i in changed for scope in self._answered.get(i.id, ())}
        return scopes

    def _answering(self, tokens: set[str]) -> set[str]:
        """The services whose deployments or changes have one of these names or links."""
        if not tokens:
            return set()
        found: set[str] = set()
        for column in ("native_id", "artifact", "version", "sha", "url"):
            rows = self._events.columns(Deployment, "service", **{column: sorted(tokens)})
            found |= {self._organisation.deployed(raw) or raw for (raw,) in rows}
        repositories = {r for (r,) in self._events.columns(Commit, "repository", sha=sorted(tokens))}
        repositories |= {r for (r,) in self._events.columns(Change, "repository", url=sorted(tokens))}
        found |= {s for s, reads in self._reads.items() if any(_REPOSITORY + r in reads for r in repositories)}
        return found

    def _piece(self, scope: str) -> Piece:
        releases = self._releases(scope)
        repositories = {r.repository for r in releases if r.repository and r.result == Result.SUCCESS}
        histories = {r: self._history(r) for r in sorted(repositories)}
        elsewhere = {i for i, scopes in self._answered.items() if scopes - {scope}}
        found = judged(scope, releases, histories, self._incidents, elsewhere, self._owned, self._organisation)
        return Piece(scope, list(observations(found)), _reads(found, repositories))

    def _releases(self, scope: str) -> list[Release]:
        raw = self._named.get(scope, [])
        if not raw:
            return []
        rows = self._events.columns(Deployment, *RELEASE_COLUMNS, service=raw)
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
            commits = Commits.of(self._events.columns(Commit, *COMMIT_COLUMNS, repository=repository))
            found = history(commits, read_requests(self._events, repository))
        self._histories[repository] = found
        while len(self._histories) > _REPOSITORIES_KEPT:
            self._histories.popitem(last=False)
        return found

    def _affected(self, scope: str, piece: Piece) -> set[str]:
        """Note what a service answers for, and name the services for which that makes a difference."""
        before, now = self._reads.get(scope, set()), set(piece.reads)
        self._reads[scope] = now
        self._note(scope, now - before)
        affected: set[str] = set()
        for read in before ^ now:
            kind, _, identity = read.partition(":")
            incident = self._incidents.by_id.get(identity)
            if kind + ":" == _INCIDENT:
                affected.add(incident.service if incident else "")
                if read not in now:
                    self._answered[identity].discard(scope)
            elif kind + ":" == _OWN:
                affected |= self._answered[identity]
                if read not in now:
                    self._owned.discard(identity)
                    affected |= self._answering({*incident.names, *incident.links}) if incident else set()
        return affected - {scope, ""}

    def _note(self, scope: str, reads: Iterable[str]) -> None:
        for read in reads:
            if read.startswith(_INCIDENT):
                self._answered[read.removeprefix(_INCIDENT)].add(scope)
            elif read.startswith(_OWN):
                self._owned.add(read.removeprefix(_OWN))


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
)
