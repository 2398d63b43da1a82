"""Whose a merged change is, and when it first reached production. Pure. definitions.md §3.

Times are integer microseconds. Of a repository only what came after a time is read: a change that somebody wrote
after they joined is contained in commits and deployments of later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

from collector.conditions import Above
from collector.events import Change, ChangeState, Commit, Deployment, Result
from collector.patterns import any_matches
from slo_engine.changes import (
    COMMIT_COLUMNS,
    REQUEST_COLUMNS,
    Commits,
    History,
    Merged,
    Request,
    history,
    names,
    paths_of,
)
from slo_engine.indicator import Events
from slo_engine.organisation import Organisation
from slo_engine.shipping import RELEASE_COLUMNS, Chain, Release

Person = Callable[[str | None, bool], str | None]
"""The person behind an account, given whether its source calls it a bot; None for bots and for whom nobody asks."""


def joined(*sources: str) -> str:
    """The sources that a judgement rests on: its number is shown only while all of them are fresh."""
    return "+".join(sorted({one for source in sources for one in source.split("+")}))


CLOCKS = timedelta(days=30) // timedelta(microseconds=1)
"""How far the clocks of those who commit may be wrong: so much more is read."""


class Credit(NamedTuple):
    """A merged change of somebody, and when they last worked on it."""

    merged_at: int
    worked_at: int
    change: Merged


class Delivered(NamedTuple):
    """The first production deployment that contains a change, how that is known, and whose word it is."""

    at: int
    id: str
    source: str
    rule: str


Writers = Mapping[str, tuple[str | None, tuple[str, ...]]]
"""Who wrote each commit, by its id: its author and its co-authors, of those whom somebody asks for."""


@dataclass(frozen=True)
class Work:
    """A repository after a time: its history, and who wrote each commit (author, co-authors)."""

    history: History
    writers: Writers = field(default_factory=dict)
    requesters: Mapping[str, str] = field(default_factory=dict)
    """The people who made the requests, by the requests' ids."""

    @property
    def commits(self) -> Commits:
        """The commits."""
        return self.history.commits

    def credits(self) -> Iterator[tuple[str, Credit]]:
        """Each person with each merged change of theirs, in no order."""
        for change in self.history.changes:
            if change.merged_at is not None:
                for person, worked_at in self._workers(change).items():
                    yield person, Credit(change.merged_at, worked_at, change)

    def _workers(self, change: Merged) -> dict[str, int]:
        """Who worked on a change, and when last: its author, and those who wrote its commits or are named in them.

        A squash is dated at the merge, so it does not tell when its author worked. Who made it, or the merge, wrote
        nothing: only where nobody human made the request does the squash tell whose it was.
        """
        found: dict[str, int] = {}
        request, tip = change.request, change.commit
        if request is not None and (author := self.requesters.get(request.id)):
            found[author] = request.created_at
        named = set(request.commits) if request is not None else set()
        for commit in {*change.own, *(self.commits.brought.get(tip, ()) if tip >= 0 else ())}:
            sha = self.commits.shas[commit]
            author, others = self.writers.get(sha, (None, ()))
            merges = "," in self.commits.parents_json[commit]
            if author is not None and not merges:
                squashed = request is not None and commit == tip and sha not in named
                if request is None or not squashed:
                    found[author] = max(self._written(commit), found.get(author, 0))
                elif request.author is None or request.bot:
                    found[author] = max(request.created_at, found.get(author, 0))
            for other in others:
                found[other] = max(self._written(commit), found.get(other, 0))
        return found

    def _written(self, commit: int) -> int:
        return self.commits.authored[commit]


_BOT, _WRITER = COMMIT_COLUMNS.index("bot"), len(COMMIT_COLUMNS)


def read_work(events: Events, repository: str, after: int, person: Person) -> Work:
    """What was merged in a repository after a time, with whose work it is."""
    commits, writers = _read_commits(events, repository, after, person)
    requests = sorted(
        Request._make((*row, None))
        for row in events.columns(Change, *REQUEST_COLUMNS, repository=repository, state=ChangeState.MERGED.value)
    )
    makers = {r.id: person(r.author, bool(r.bot)) for r in requests}
    return Work(
        history(commits, requests),
        writers,
        {id_: maker for id_, maker in makers.items() if maker is not None},
    )


def _read_commits(events: Events, repository: str, after: int, person: Person) -> tuple[Commits, Writers]:
    """The commits of a repository after a time, and who wrote each."""
    columns = (*COMMIT_COLUMNS, "author", "co_authors")
    rows = events.columns(Commit, *columns, repository=repository, committed_at=Above(after - CLOCKS))
    writers = _writers(((row[0], row[_WRITER], row[-1], row[_BOT]) for row in rows), person)
    # Without new commits the old ones tell that the repository's graph is known.
    rows = rows or events.columns(Commit, *COMMIT_COLUMNS, repository=repository)
    return Commits.of(row[:_WRITER] for row in rows), writers


def _writers(rows: Iterable[tuple[str, str | None, str, bool]], person: Person) -> Writers:
    """Who wrote each commit; what one source does not know of it, another may."""
    found: dict[str, tuple[str | None, tuple[str, ...]]] = {}
    for sha, author, co_authors, bot in rows:
        writer = person(author, bool(bot))
        others = {p for name in names(co_authors) if (p := person(name, False)) is not None} if co_authors else ()
        if writer is not None or others:
            known = found.get(sha, (None, ()))
            writers = [w for w in (known[0], writer) if w is not None]
            found[sha] = (min(writers, default=None), tuple(sorted({*known[1], *others})))
    return found


def read_releases(
    events: Events, organisation: Organisation, raw_names: Iterable[str], after: int
) -> dict[str, dict[tuple[str, str], list[Release]]]:
    """The successful production deployments after a time: by repository, then by service and environment."""
    found: dict[str, dict[tuple[str, str], list[Release]]] = defaultdict(lambda: defaultdict(list))
    rows = events.columns(
        *(Deployment, *RELEASE_COLUMNS),
        service=sorted(raw_names),
        result=Result.SUCCESS.value,
        finished_at=Above(after),
    )
    for row in rows:
        release = Release._make(row)
        service = organisation.deployed(release.service) or release.service
        repository = release.repository or only_repository(organisation, service)
        if repository is not None and organisation.is_production(service, release.environment):
            found[repository][service, release.environment].append(release)
    return found


def only_repository(organisation: Organisation, service: str) -> str | None:
    """The one repository that the catalogue names for a service, where it names one exactly."""
    entry = organisation.service(service)
    rules = entry.repositories if entry else ()
    return rules[0].text if len(rules) == 1 and rules[0].rank == 0 else None


def delivered(
    organisation: Organisation,
    work: Work,
    changes: Sequence[Merged],
    releases: Mapping[tuple[str, str], Sequence[Release]],
) -> dict[str, Delivered]:
    """For each change that reached production the first deployment that contains it, by the change's id.

    What was deployed before counts for nothing here: the first known deployment of a service contains what it contains.
    """
    found: dict[str, Delivered] = {}
    for (service, _), own in sorted(releases.items()):
        entry = organisation.service(service)
        mine = [c for c in changes if not entry or not entry.paths or _touches(work.commits, c, entry.paths)]
        ordered = sorted(own)
        for shipment in Chain(ordered, replace(work.history, changes=mine)).shipments:
            if shipment.by >= 0:
                release = ordered[shipment.by]
                one = Delivered(release.at, release.id, release.source, shipment.rule.split(",", maxsplit=1)[0])
                found[shipment.change.id] = min(one, found.get(shipment.change.id, one))
    return found


def _touches(commits: Commits, change: Merged, paths: Sequence[object]) -> bool:
    """Whether a change is a service's own in a shared repository; what nobody knows is not."""
    touched = paths_of(commits, change)
    return touched is not None and any(any_matches(paths, p) for p in touched)  # type: ignore[arg-type] # its rules
