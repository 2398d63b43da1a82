"""The changes of a repository that reached production, with the files they touch. Pure. Times in microseconds.

What shipped where follows from the commit graph as everywhere else; a change that no known deployment tells of is
taken to have arrived with its merge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from collector.events import Deployment, Result
from slo_engine.changes import Commits, History, Merged, history, paths_of, read_commits, read_requests
from slo_engine.indicator import Events
from slo_engine.organisation import Organisation, Service, any_matches
from slo_engine.shipping import RELEASE_COLUMNS, Chain, Release, shipped

MERGED = "merged, no deployment known"


class Reached(NamedTuple):
    """A change that users have had since `at`. `release` is its deployment's id, or ""; `paths` are None if unknown."""

    at: int
    change: str
    merged_at: int
    release: str
    source: str
    paths: frozenset[str] | None
    bot: bool
    rule: str


@dataclass(frozen=True)
class Repository:
    """A repository's history, and what each service deployed of it to each of its production environments."""

    name: str
    history: History
    releases: Mapping[tuple[str, str], Sequence[Release]]

    @property
    def services(self) -> set[str]:
        """The services that are deployed from it."""
        return {service for service, _ in self.releases}

    def reached(self, organisation: Organisation) -> Iterator[Reached]:
        """Each change that reached production, once. One that waits for its deployment is not among them."""
        placed = self._placed(organisation)
        for change in self.history.changes:
            paths = paths_of(self.history.commits, change)
            own = [p for p, service in placed.get(change.id, ()) if _is_own(service, paths)]
            release = min((r for r, _ in own if r is not None), default=None)
            waits = bool(own) and not any(unknown for _, unknown in own)
            if change.merged_at is None or (release is None and waits):
                continue
            yield Reached(
                at=change.merged_at if release is None else max(release.at, change.merged_at),
                change=change.id,
                merged_at=change.merged_at,
                release="" if release is None else release.id,
                source=change.source if release is None else "+".join(sorted({change.source, release.source})),
                paths=None if paths is None else frozenset(paths),
                bot=change.bot,
                rule=MERGED if release is None else "deployed",
            )

    def _placed(
        self, organisation: Organisation
    ) -> Mapping[str, list[tuple[tuple[Release | None, bool], Service | None]]]:
        """For each change its deployment by each service, and whether nobody knows of it."""
        found: dict[str, list[tuple[tuple[Release | None, bool], Service | None]]] = defaultdict(list)
        for (service, _), releases in self.releases.items():
            chain = shipped(Chain(releases, self.history, rules=organisation.delivery))
            for change, index, _, reason in chain.shipments:
                release = releases[index] if index >= 0 and reason is None else None
                found[change.id].append(((release, reason is not None), organisation.service(service)))
        return found


def _is_own(service: Service | None, paths: Iterable[str] | None) -> bool:
    """Whether a change is a service's: in a shared repository it touches the service's paths, as far as is known."""
    if service is None or not service.paths or paths is None:
        return True
    return any(any_matches(service.paths, path) for path in paths)


def read_repository(events: Events, organisation: Organisation, name: str) -> Repository:
    """A repository with all its commits, merged requests and successful production deployments."""
    identities = organisation.identities
    commits = Commits.of(read_commits(events, name, identities))
    requests = read_requests(events, name, identities=identities)
    found: dict[tuple[str, str], list[Release]] = defaultdict(list)
    for release in _releases(events, organisation, name):
        if organisation.is_production(release.service, release.environment):
            found[release.service, release.environment].append(release)
    return Repository(name, history(commits, requests), {place: sorted(own) for place, own in sorted(found.items())})


def _releases(events: Events, organisation: Organisation, name: str) -> Iterator[Release]:
    """What was deployed of a repository: it says so, or it is the only one of its service."""
    succeeded = Result.SUCCESS.value
    rows = events.columns(Deployment, *RELEASE_COLUMNS, repository=name, result=succeeded)
    if own := {s.name for s in organisation.services if only_repository(s) == name}:
        raw = [r for r in events.distinct(Deployment, "service") if organisation.deployed(r) in own]
        rows += [r for r in _of_services(events, raw) if not r[RELEASE_COLUMNS.index("repository")]]
    for row in rows:
        release = Release._make(row)
        yield release._replace(service=organisation.deployed(release.service) or release.service, repository=name)


def _of_services(events: Events, raw: list[str]) -> list[tuple[object, ...]]:
    return events.columns(Deployment, *RELEASE_COLUMNS, service=raw, result=Result.SUCCESS.value) if raw else []


def only_repository(service: Service) -> str | None:
    """The repository of a service that has one and names it exactly."""
    only = service.repositories[0] if len(service.repositories) == 1 else None
    return only.text if only is not None and only.rank == 0 else None


def changed_paths(history: History, wanted: set[str]) -> Iterator[tuple[str, Merged]]:
    """The changes of some files, by file."""
    for change in history.changes:
        for path in (paths_of(history.commits, change) or set()) & wanted:
            yield path, change
