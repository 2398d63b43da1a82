"""Incidents, and the deployments they belong to. Pure.

definitions.md §2 "Incident → deployment": ordered rules, the rule used is kept. What an incident names or is linked
with may be of another service; an incident that another service answers for is guessed about nowhere else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from collector.events import Incident as IncidentEvent
from collector.events import IncidentState, Transition
from slo_engine.changes import names
from slo_engine.graph import SHIPPED_BEFORE
from slo_engine.indicator import Events
from slo_engine.observation import to_micros
from slo_engine.organisation import Organisation
from slo_engine.shipping import Chain, Release

_TRANSITIONS = msgspec.json.Decoder(list[Transition])
_MICROSECOND = timedelta(microseconds=1)
_EVER = -(2**62)
_OPEN = frozenset({IncidentState.DETECTED, IncidentState.ACKNOWLEDGED})
_OVER = frozenset({IncidentState.RESOLVED, "closed"})


class _Row(NamedTuple):
    """An incident as the store gives it; `shas`, `links` and `transitions` are JSON text."""

    id: str
    source: str
    native_id: str
    url: str | None
    service: str | None
    environment: str | None
    state: str
    started_at: int
    restored_at: int | None
    closed_at: int | None
    deployment_native_id: str | None
    shas: str
    artifact: str | None
    links: str
    transitions: str
    revision: int


_COLUMNS = _Row._fields


class Incident(NamedTuple):
    """An incident as the arithmetic needs it. `service` is what the catalogue makes of its component."""

    id: str
    source: str
    service: str
    environment: str | None
    started_at: int
    restored_at: int | None
    rule: str
    names: frozenset[str]
    """What it names as its cause: a deployment, commits, an artifact."""
    links: frozenset[str]
    """What it is linked with: a deployment, a change, a ticket."""
    aliases: frozenset[str]
    """How the links of its own service's deployments and changes may call it."""
    revision: int

    @property
    def tokens(self) -> tuple[str, ...]:
        """The texts by which it and a deployment can belong together, whichever of the two says so."""
        return *self.names, *self.links, *self.aliases

    @property
    def impossible(self) -> bool:
        """True where it was resolved before it started: a clock was wrong, so it says nothing."""
        return self.restored_at is not None and self.restored_at < self.started_at


class Hit(NamedTuple):
    """A deployment that an incident belongs to, or that was its remedy."""

    incident: Incident
    release: Release
    rule: str


@dataclass(frozen=True)
class Incidents:
    """All incidents, by service, by what they name, and by what they are linked with."""

    all: Sequence[Incident]

    @cached_property
    def of_service(self) -> Mapping[str, list[Incident]]:
        """The incidents of each service; those without one stand under the empty name."""
        return _grouped((i.service, i) for i in self.all)

    @cached_property
    def naming(self) -> Mapping[str, list[Incident]]:
        """The incidents that name something, by its name."""
        return _grouped((name, i) for i in self.all for name in i.names)

    @cached_property
    def linked(self) -> Mapping[str, list[Incident]]:
        """The incidents with a link, by the link."""
        return _grouped((link, i) for i in self.all for link in i.links)

    @cached_property
    def called(self) -> Mapping[str, list[Incident]]:
        """The incidents by what links may call them."""
        return _grouped((alias, i) for i in self.all for alias in i.aliases)

    @cached_property
    def _by_revision(self) -> list[Incident]:
        return sorted(self.all, key=lambda i: i.revision)

    def since(self, revision: int) -> list[Incident]:
        """The incidents written after a revision; the same list whoever asks."""
        start = bisect_right(self._by_revision, revision, key=lambda i: i.revision)
        if start not in self._from:
            self._from[start] = self._by_revision[start:]
        return self._from[start]

    @cached_property
    def _from(self) -> dict[int, list[Incident]]:
        return {}

    @cached_property
    def by_id(self) -> Mapping[str, Incident]:
        """The incidents by id."""
        return {i.id: i for i in self.all}


def _grouped(pairs: Iterable[tuple[str, Incident]]) -> dict[str, list[Incident]]:
    found: dict[str, list[Incident]] = defaultdict(list)
    for key, incident in pairs:
        found[key].append(incident)
    return found


def read_incidents(events: Events, organisation: Organisation) -> Incidents:
    """All incidents, in the order of their ids."""
    known = {"": ""}

    def incident(row: tuple[Any, ...]) -> Incident:
        told = _told(row)
        service = known.get(told.service)
        if service is None:
            service = known[told.service] = organisation.component(told.service) or told.service
        return told if service == told.service else told._replace(service=service)

    rows = events.columns(IncidentEvent, *_COLUMNS)
    return Incidents(sorted(map(incident, rows), key=attrgetter("id")))


@lru_cache(maxsize=1 << 15)
def _told(columns: tuple[Any, ...]) -> Incident:
    """What an incident says, before the catalogue: nearly all say what they did at the last look."""
    row = _Row._make(columns)
    # A bare number means something else in every system; any other id may be what a deployment's links name.
    own = row.native_id if not row.native_id.isdigit() else None
    return Incident(
        row.id,
        row.source,
        row.service or "",
        row.environment,
        row.started_at,
        *_restored(row),
        _known(row.deployment_native_id, row.artifact, *names(row.shas)),
        _known(*names(row.links)),
        _known(row.url, own),
        row.revision,
    )


def _known(*some: str | None) -> frozenset[str]:
    return frozenset([text for text in some if text])


def _restored(row: _Row) -> tuple[int | None, str]:
    """When an incident was last resolved, and how that is known. Acknowledged is not resolved; reopening clears it."""
    if row.state != IncidentState.RESOLVED:
        return None, ""
    resolved, reopened_at = _last_stretch(row)
    told, closed = ((at if at is None or at >= reopened_at else None) for at in (row.restored_at, row.closed_at))
    if told is not None:
        return max([told, *resolved]), ""
    if resolved:
        return max(resolved), "last transition"
    return closed, "closed_at" if closed is not None else "missing_time"


def _last_stretch(row: _Row) -> tuple[list[int], int]:
    """When an incident was resolved since it was opened for the last time, and when that was, after an earlier end.

    Words that are none of ours say neither: a review after the resolution opens nothing.
    """
    resolved: list[int] = []
    reopened_at, over = _EVER, False
    for change in sorted(_TRANSITIONS.decode(row.transitions or "[]"), key=attrgetter("at")):
        state = change.state.casefold()
        if state in _OPEN:
            resolved.clear()
            reopened_at, over = to_micros(change.at) if over else reopened_at, False
        elif state in _OVER:
            over = True
            resolved += [to_micros(change.at)] if state == IncidentState.RESOLVED else []
    return resolved, reopened_at


@dataclass(frozen=True)
class Attribution:
    """The incidents of a service's deployments: causes, remedies, and whose incidents were answered for here."""

    causes: Sequence[Hit]
    remedies: Sequence[Hit]
    foreign: frozenset[str]
    """Ids of other services' incidents, or of nobody's, that name or are linked with a deployment here."""
    own: frozenset[str]
    """Ids of the service's own incidents that name or are linked with a deployment here."""


class Settled(Exception):  # noqa: N818 - no error: it says that the settled past must be looked at again
    """What is asked touches the settled past: the whole piece must be derived again."""


def attribute(  # noqa: PLR0913, PLR0917 - everything the rules look at
    service: str,
    releases: Sequence[Release],
    chains: Sequence[Chain],
    incidents: Incidents,
    elsewhere: AbstractSet[str],
    owned: AbstractSet[str],
    organisation: Organisation,
    since: int | None = None,
    past: Callable[[str], bool] = lambda _: False,
) -> Attribution:
    """The deployments of a service that incidents belong to.

    `elsewhere` are incidents that name or are linked with deployments of other services, `owned` those that do so
    with their own service's: an incident's own service answers first, and only where nothing there is meant another.
    `releases` are all its deployments, `chains` the successful ones. After `since` only is known what is given here;
    raises Settled where a rule would have to look before. `past` tells whether a settled deployment has a name.
    """
    look = _Look(service, releases, chains, organisation, since, past)
    named, linked = look.named(incidents), look.linked(incidents)
    answered = {i for i, _ in named} | {h.incident.id for h in linked}
    foreign = frozenset(i for i in answered if incidents.by_id[i].service != service)
    named = [(i, hits) for i, hits in named if i not in foreign or i not in owned]
    linked = [h for h in linked if h.incident.id not in foreign or h.incident.id not in owned]
    causes: list[Hit] = []
    remedies = [h for h in linked if h.release.at >= h.incident.started_at]
    for _, hits in named:
        causes.extend(hits)
    done = {i for i, _ in named}
    before: dict[str, Hit] = {}
    for hit in linked:
        if hit.incident.id not in done and hit.release.at < hit.incident.started_at:
            best = before.get(hit.incident.id)
            if best is None or hit.release > best.release:
                before[hit.incident.id] = hit
    causes.extend(before.values())
    done |= set(before)
    for incident in incidents.of_service.get(service, ()) if service else ():
        if incident.id in done or incident.id in elsewhere or incident.impossible:
            continue
        if since is not None and incident.started_at <= since:
            continue
        release = look.window(incident)
        if release is not None:
            causes.append(Hit(incident, release, "window"))
    causes, remedies = sorted(causes, key=_by_ids), sorted(remedies, key=_by_ids)
    return Attribution(causes, remedies, foreign, frozenset(answered - foreign))


def _by_ids(hit: Hit) -> tuple[str, str]:
    return hit.incident.id, hit.release.id


class _Look:
    """Looks for incidents among the deployments of one service."""

    def __init__(
        self,
        service: str,
        releases: Sequence[Release],
        chains: Sequence[Chain],
        organisation: Organisation,
        since: int | None,
        past: Callable[[str], bool],
    ) -> None:
        self._service, self._releases, self._chains = service, releases, chains
        self._organisation, self._since, self._past = organisation, since, past
        self._succeeded = {r.id for c in chains for r in c.releases}

    def named(self, incidents: Incidents) -> list[tuple[str, list[Hit]]]:
        """For each incident that names something here, by id, the successful deployments it means (maybe none)."""
        if not incidents.naming:
            return []
        found: dict[str, dict[str, Hit]] = {}
        by_name: dict[str, list[Release]] = defaultdict(list)
        for release in self._releases:
            for name in {release.native_id, release.artifact, release.version, release.sha}:
                if name in incidents.naming:
                    by_name[str(name)].append(release)
        for name, releases in sorted(by_name.items()):
            # Every service has its 1.2.0: a version means something only to the service's own incidents.
            exact = [r for r in releases if name in {r.native_id, r.artifact, r.sha}]
            for incident in incidents.naming[name]:
                if not exact and incident.service != self._service:
                    continue
                hits = found.setdefault(incident.id, {})
                if not incident.impossible:
                    self._add(hits, incident, self._meant(incident, name, releases))
        for chain in self._chains:
            self._commits(found, incidents, chain)
        return sorted((i, list(hits.values())) for i, hits in found.items())

    def _commits(self, found: dict[str, dict[str, Hit]], incidents: Incidents, chain: Chain) -> None:
        number = chain.commits.graph.number
        for sha in sorted(incidents.naming.keys() & number.keys()):
            if chain.own is not None and number[sha] not in chain.own:
                continue  # another service's part of a shared repository
            for incident in incidents.naming[sha]:
                hits = found.setdefault(incident.id, {})
                if not incident.impossible and self._concerns(incident, chain):
                    self._add(hits, incident, self._first_with(chain, sha))

    def _add(self, hits: dict[str, Hit], incident: Incident, release: Release | None) -> None:
        if release is not None and release.id in self._succeeded:
            hits[release.id] = Hit(incident, release, "named")

    def _meant(self, incident: Incident, name: str, releases: Sequence[Release]) -> Release | None:
        """Of deployments of one name the last before the incident, else the first; a commit is sought elsewhere."""
        exact = [r for r in releases if r.native_id == name]
        if not exact and any(name in chain.commits.graph.number for chain in self._chains):
            return None
        releases = [r for r in releases if r.id in self._succeeded and self._in_place(incident, r.environment)]
        releases = [r for r in exact if r.id in self._succeeded] or releases
        if not releases:
            return None
        before = [r for r in releases if r.at < incident.started_at]
        if not before and not exact and self._since is not None:
            if incident.started_at > self._since or not self._past(name):
                raise Settled
            return None  # judged by what had that name before
        return max(before) if before else min(releases)

    def _first_with(self, chain: Chain, sha: str) -> Release | None:
        """The deployment that shipped a commit; the horizon's only where it is just that commit."""
        index = chain.first[chain.commits.graph.number[sha]]
        if index == SHIPPED_BEFORE:
            raise Settled
        if index == 0 and chain.start is None and chain.releases[0].sha != sha:
            return None
        return chain.releases[index] if index >= 0 else None

    def linked(self, incidents: Incidents) -> list[Hit]:
        """Every successful deployment that an incident is linked with, itself or by a change it shipped.

        An incident may be linked with the page of any service's deployment or change. A ticket between them, and
        links the other way, count within its own service.
        """
        if not incidents.linked and not incidents.called:
            return []
        found: dict[tuple[str, str], Hit] = {}
        for chain in self._chains:
            for release in chain.releases:
                if release.url or release.links:
                    self._link(found, incidents, release, release.url, release.links)
            for shipment in chain.asked:
                request = shipment.change.request
                if request is not None and shipment.by >= 0 and (request.links or request.url in incidents.linked):
                    self._link(found, incidents, chain.releases[shipment.by], request.url, request.links)
        return list(found.values())

    def _link(
        self, found: dict[tuple[str, str], Hit], incidents: Incidents, release: Release, url: str | None, links: str
    ) -> None:
        meant = list(incidents.linked.get(url, ())) if url else []
        for link in _texts(links):
            near = (*incidents.linked.get(link, ()), *incidents.called.get(link, ()))
            meant += [i for i in near if i.service == self._service]
        for incident in meant:
            if not incident.impossible and self._in_place(incident, release.environment):
                found[incident.id, release.id] = Hit(incident, release, "linked")

    def window(self, incident: Incident) -> Release | None:
        """The last success in the incident's environment that finished before it started, within the window."""
        width = self._organisation.delivery.incident_window // _MICROSECOND
        index = bisect_left(self._in_environment(incident.environment), (incident.started_at,))
        release = self._in_environment(incident.environment)[index - 1] if index else None
        if release is None and self._since is not None and incident.started_at - width <= self._since:
            raise Settled
        return release if release is not None and incident.started_at - release.at <= width else None

    def _in_environment(self, environment: str | None) -> list[Release]:
        key = environment or ""
        if key not in self._environments:
            self._environments[key] = sorted(
                r for c in self._chains for r in c.releases if self._fits(environment, r.environment)
            )
        return self._environments[key]

    @cached_property
    def _environments(self) -> dict[str, list[Release]]:
        return {}

    def _concerns(self, incident: Incident, chain: Chain) -> bool:
        return bool(chain.releases) and self._in_place(incident, chain.releases[0].environment)

    def _in_place(self, incident: Incident, environment: str) -> bool:
        return self._fits(incident.environment, environment)

    def _fits(self, wanted: str | None, environment: str) -> bool:
        """An incident without an environment is one of production."""
        if wanted is None:
            return self._organisation.is_production(self._service, environment)
        return wanted == environment


def _texts(links: str) -> list[str]:
    return names(links) if links else []
