"""Documentation pages, and the code that each describes. Pure. Times in microseconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

from collector.events import DocPage, event_id
from slo_engine.changes import names
from slo_engine.indicator import Events
from slo_engine.observation import Subject
from slo_engine.organisation import Organisation


class Version(NamedTuple):
    """A version of a page; ordered by time, then by when it was written, then by id."""

    changed_at: int
    updated_at: int | None
    id: str
    source: str
    repository: str
    path: str
    reviewed_at: int | None
    service: str | None
    team: str | None
    covers: str


class Cover(NamedTuple):
    """Code that a page describes: a file, a folder with all that is in it, or a glob; all where it is empty."""

    repository: str
    path: str

    @classmethod
    def of(cls, text: str, repository: str) -> Cover:
        """`src/pay` of the page's own repository, `shop:src/pay` of the repository `shop`."""
        where, colon, path = text.partition(":")
        if colon and where and not where.startswith("/"):
            return cls(where, _plain(path))
        return cls(repository, _plain(text))

    def has(self, path: str) -> bool:
        """Whether a file of its repository is meant. Case counts."""
        if not self.path or path == self.path or path.startswith(f"{self.path}/"):
            return True
        return self.is_glob and fnmatchcase(path, self.path)

    @property
    def is_glob(self) -> bool:
        """Whether it may mean files by a pattern."""
        return any(c in self.path for c in "*?[")


def _plain(path: str) -> str:
    found = path.strip().removeprefix("./").strip("/")
    return "" if found == "." else found


@dataclass(frozen=True)
class Page:
    """A page by its place, with its versions in order. The last one says whose it is and what it covers."""

    id: str
    versions: Sequence[Version]
    subject: Subject

    @property
    def last(self) -> Version:
        """Its last version."""
        return self.versions[-1]

    @cached_property
    def covers(self) -> tuple[Cover, ...]:
        """The code that it describes."""
        return tuple(Cover.of(text, self.last.repository) for text in names(self.last.covers))

    @property
    def reviews(self) -> dict[int, str]:
        """When somebody looked at it, with the version that tells of it.

        Its reviews; before the first of them, and where there is none, its changes.
        """
        reviewed = {v.reviewed_at: v.id for v in reversed(self.versions) if v.reviewed_at is not None}
        first = min(reviewed, default=None)
        changed = {v.changed_at: v.id for v in self.versions if first is None or v.changed_at < first}
        return changed | reviewed


def page_id(repository: str, path: str) -> str:
    """What a page is known by, whatever its versions."""
    return event_id("page", repository, path)


def read_pages(events: Events, organisation: Organisation, **where: str) -> list[Page]:
    """All pages, or those of a repository, in the order of their ids."""
    found: dict[str, list[Version]] = defaultdict(list)
    for row in events.columns(DocPage, *Version._fields, **where):
        version = Version._make(row)
        found[page_id(version.repository, version.path)].append(version)
    ordered = ((i, sorted(v, key=_when)) for i, v in sorted(found.items()))
    return [Page(i, versions, _subject(versions[-1], organisation)) for i, versions in ordered]


def _when(version: Version) -> tuple[int, int, str]:
    return version.changed_at, -1 if version.updated_at is None else version.updated_at, version.id


def _subject(version: Version, organisation: Organisation) -> Subject:
    """The service that a page names, else the only one of its repository; the team that it names."""
    owners = organisation.of_repository(version.repository)
    service = owners[0] if len(owners) == 1 else ""
    if version.service:
        service = organisation.component(version.service) or version.service
    team = (version.team or "").strip("/")
    return Subject(service=service, team=f"/{team}" if team else "")


@dataclass(frozen=True)
class Map:
    """The pages that describe a repository's code. Its pages are no code themselves, wherever they stand."""

    repository: str
    pages: Sequence[Page]
    no_code: frozenset[str] = frozenset()
    _known: dict[str, tuple[Page, ...]] = field(default_factory=dict, repr=False)

    def of(self, path: str) -> tuple[Page, ...]:
        """The pages that cover a file."""
        found = self._known.get(path)
        if found is None:
            fitting = set() if path in self.no_code else self._covering(path)
            found = self._known[path] = tuple(self._by_id[i] for i in sorted(fitting))
        return found

    def _covering(self, path: str) -> set[str]:
        places, globs = self._covers
        above = (path[:end] for end, c in enumerate(path) if c == "/")
        fitting = {i for place in ("", path, *above) for i in places.get(place, ())}
        return fitting | {i for i, cover in globs if cover.has(path)}

    @cached_property
    def _covers(self) -> tuple[Mapping[str, Sequence[str]], Sequence[tuple[str, Cover]]]:
        """The pages of each file or folder by its path, and those of globs, by id."""
        own = [(p.id, c) for p in self.pages for c in p.covers if c.repository == self.repository]
        places: dict[str, list[str]] = defaultdict(list)
        for identity, cover in own:
            places[cover.path].append(identity)
        return places, [(i, c) for i, c in own if c.is_glob]

    def of_all(self, paths: Iterable[str]) -> Mapping[str, Page]:
        """The pages that cover any of some files, by id."""
        return {page.id: page for path in paths for page in self.of(path)}

    @cached_property
    def _by_id(self) -> dict[str, Page]:
        return {p.id: p for p in self.pages}


def maps(pages: Iterable[Page]) -> dict[str, Map]:
    """For each repository that pages cover code of, its map."""
    found: dict[str, list[Page]] = defaultdict(list)
    standing: dict[str, set[str]] = defaultdict(set)
    for page in pages:
        standing[page.last.repository].add(page.last.path)
        for repository in sorted({c.repository for c in page.covers}):
            found[repository].append(page)
    return {name: Map(name, own, frozenset(standing[name])) for name, own in found.items()}
