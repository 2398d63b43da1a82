"""The changes of a repository that reached production, with the files they touch. Pure. Times in microseconds.

What shipped where follows from the commit graph as everywhere else; a change that no known deployment tells of is
taken to have arrived with its merge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

from collector.events import Deployment, Result
from collector.patterns import any_matches
from slo_engine.changes import Commits, History, Merged, history, names, read_commits, read_requests
from slo_engine.indicator import Events
from slo_engine.organisation import Organisation, Service
from slo_engine.shipping import RELEASE_COLUMNS, Chain, Release

MERGED = "merged, no deployment known"


class Reached(NamedTuple):
    """A change that users have had since `at`. `release` is its deployment's id, or "".

    `told`: lists of the files that it touches, as JSON; None where nobody knows any.
    """

    at: int
    change: str
    merged_at: int
    release: str
    source: str
    told: tuple[str, ...] | None
    bot: bool
    rule: str

    @property
    def paths(self) -> set[str] | None:
        """The files that it touches; None where nobody knows."""
        return _paths(self.told)


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
            told = self.told[change.id]
            own = [p for p in placed.get(change.id, ()) if p.service is None or _is_own(p.service, told)]
            release = min([p.release for p in own if p.release is not None], default=None)
            waits = bool(own) and not any(p.unknown for p in own)
            if change.merged_at is None or (release is None and waits):
                continue
            yield Reached(
                at=change.merged_at if release is None else max(release.at, change.merged_at),
                change=change.id,
                merged_at=change.merged_at,
                release="" if release is None else release.id,
                source=change.source if release is None else _sources(change.source, release.source),
                told=told,
                bot=bool(change.bot),
                rule=MERGED if release is None else "deployed",
            )

    def changed(self, wanted: set[str]) -> Iterator[tuple[str, Merged]]:
        """The changes of some files, by file."""
        for change in self.history.changes:
            for text in self.told[change.id] or ():
                for path in wanted.intersection(names(text)):
                    yield path, change

    @cached_property
    def told(self) -> Mapping[str, tuple[str, ...] | None]:
        """By change what is told of the files that it touches, as JSON; None where nobody knows any."""
        return {change.id: _told(self.history.commits, change) for change in self.history.changes}

    def _placed(self, organisation: Organisation) -> Mapping[str, list[_Placed]]:
        """For each change its deployment by each service, and whether nobody knows of it."""
        found: dict[str, list[_Placed]] = defaultdict(list)
        for (name, _), releases in self.releases.items():
            service = organisation.service(name)
            shared = service if service is not None and service.paths else None
            chain = Chain(releases, self.history, rules=organisation.delivery)
            for change, index, _, reason in chain.shipments:
                release = releases[index] if index >= 0 and reason is None else None
                found[change.id].append(_Placed(release, reason is not None, shared))
        return found


class _Placed(NamedTuple):
    """What became of a change in a chain. `service`: the one that it must be of, where several share the code."""

    release: Release | None
    unknown: bool
    service: Service | None


@cache
def _sources(change: str, release: str) -> str:
    return "+".join(sorted({change, release}))


def _told(commits: Commits, change: Merged) -> tuple[str, ...] | None:
    """What is told of the files that a change touches, as `paths_of` finds it: most of it nobody needs to decode."""
    if change.request is not None and change.request.paths is not None:
        return (change.request.paths,)
    brought = commits.brought.get(change.commit, ()) if change.commit >= 0 else ()
    own = {*change.own, *brought} if len(brought) > 1 or change.request is not None else change.own
    texts = [text for commit in own if (text := commits.paths[commit]) is not None]
    return tuple(sorted(texts)) if texts else None


def _paths(told: tuple[str, ...] | None) -> set[str] | None:
    return None if told is None else {path for text in told for path in names(text)}


def _is_own(service: Service, told: tuple[str, ...] | None) -> bool:
    """Whether a change in a shared repository is a service's: it touches its paths, as far as is known."""
    return told is None or any(any_matches(service.paths, path) for path in _paths(told) or ())


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
