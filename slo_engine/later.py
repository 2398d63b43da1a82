"""The events of a service that came after its settled state, and whether that state still holds. Pure.

Each check is on the safe side: where something might touch the settled past, Settled is raised and the service is
judged as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from collector.conditions import Above
from collector.events import Change, ChangeState, Deployment, Result, Review, event_id
from slo_engine.changes import Commits, History, Request, adds, history, names, read_commits, read_requests
from slo_engine.identities import Identities
from slo_engine.incidents import Incident, Incidents, Settled
from slo_engine.indicator import Events
from slo_engine.services import Place
from slo_engine.settled import Marks, RepositoryState, State, is_full_id, mark, text_mark
from slo_engine.shipping import Release, Start


def waiting_only(events: Events, repository: str, state: RepositoryState, since: Mapping[str, int]) -> bool:
    """Whether of a repository without new commits nothing is new but requests that wait, and reviews on such."""
    touched = events.columns(Change, "id", "state", repository=repository, revision=Above(since["change"]))
    reviewed = events.columns(
        Review, "source", "change_native_id", repository=repository, revision=Above(since["review"])
    )
    ids = {i for i, _ in touched} | {event_id("change", source, native) for source, native in reviewed}
    known = Marks(state.requests).among(map(mark, ids)) or not ids.isdisjoint(r[0] for r in state.open_requests)
    merged = any(s == ChangeState.MERGED for _, s in touched)
    return not known and not merged and all(i in dict(touched) or _waits(events, i) for i in ids)


def _waits(events: Events, identity: str) -> bool:
    return all(s != ChangeState.MERGED for (s,) in events.columns(Change, "state", id=identity))


class Meant:
    """What incidents name and are linked with, as marks. Many services ask it of the same new ones."""

    def __init__(self, incidents: Incidents) -> None:
        self.incidents = incidents
        self._marks: dict[int, tuple[NDArray[np.uint64], NDArray[np.uint64], frozenset[str]]] = {}

    def since(self, revision: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64], frozenset[str]]:
        """Of the incidents written after a revision: all texts, the commits that they name, and how they are read."""
        new = self.incidents.since(revision)
        if len(new) not in self._marks:
            reads = frozenset(f"{kind}:{i.id}" for i in new for kind in ("incident", "own"))
            self._marks[len(new)] = (*_marks_of(new), reads)
        return self._marks[len(new)]


def _marks_of(incidents: Iterable[Incident]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The marks of all texts of incidents, and of the commits that they name."""
    known = list(incidents)
    texts = [text_mark(t) for i in known for t in i.tokens]
    shas = [mark(n) for i in known for n in i.names if is_full_id(n)]
    return np.array(texts, dtype=np.uint64), np.array(shas, dtype=np.uint64)


class Later:
    """What is new for one service."""

    def __init__(
        self, events: Events, state: State, judged: Callable[[str], bool], identities: Identities | None = None
    ) -> None:
        self._events, self._state, self._judged = events, state, judged
        self._identities = identities or Identities()
        self._shipped: dict[str, set[str]] = {}
        for chain in state.chains:
            self._shipped.setdefault(chain.repository, set()).update(chain.shipped)

    def named(self, name: str) -> bool:
        """Whether a settled deployment has a name, or very rarely, some other text."""
        return Marks(self._state.names).among((text_mark(name),))

    def releases(self, after: list[Release], named: Sequence[str]) -> list[Release]:
        """The deployments after the settled ones, given as read. A late or changed one touches the past."""
        seen, since = Marks(self._state.deployments), self._state.revisions.get("deployment", 0)
        new = self._events.columns(Deployment, "id", "finished_at", service=list(named), revision=Above(since))
        if any(at <= self._state.at for _, at in new) or seen.among(mark(i) for i, _ in new):
            raise Settled
        places = {(c.environment, c.repository) for c in self._state.chains}
        judged = [r for r in after if r.result == Result.SUCCESS and self._judged(r.environment)]
        if any((r.environment, r.repository or "") not in places for r in judged):
            raise Settled  # a new chain opens a horizon of its own
        return after

    def history(self, repository: str) -> History:
        """The changes of a repository that are not settled."""
        state, since = self._state.repositories[repository], self._state.revisions
        commits = self._commits(repository, state, since.get("commit", 0))
        requests = self._requests(repository, state, since)
        found = history(commits, requests)
        _check_history(state, found)
        return found

    def _commits(self, repository: str, state: RepositoryState, since: int) -> Commits:
        new = read_commits(self._events, repository, self._identities, revision=Above(since))
        if new and not state.graph:
            raise Settled  # until now nothing was known of the commits, and changes were placed by time
        settled, dormant, missing = Marks(state.commits), Marks(state.dormant), Marks(state.missing)
        marks = [mark(row[0]) for row in new]
        if settled.among(marks) or dormant.among(marks) or missing.among(marks):
            raise Settled
        if any(row[0].startswith(b) for b in state.beginnings for row in new):
            raise Settled
        if any(row[0] in self._shipped.get(repository, ()) for row in new):
            raise Settled
        known = {row[0]: row for row in state.open_commits}
        again = [known.pop(row[0]) for row in new if row[0] in known]
        if again and not all(adds(old, row) for old in again for row in new if row[0] == old[0]):
            raise Settled  # less is known of a commit than was
        commits = Commits.of([*known.values(), *new])
        if dormant.among(mark(p) for p in commits.cut):
            raise Settled
        line = (t for t, on in zip(commits.trees, commits.on_line, strict=True) if t and on)
        if Marks(state.trees).among(mark(t) for t in line):
            raise Settled
        return commits

    def _requests(self, repository: str, state: RepositoryState, since: Mapping[str, int]) -> list[Request]:
        settled, revision = Marks(state.requests), since.get("change", 0)
        touched = self._events.columns(Change, "id", repository=repository, revision=Above(revision))
        reviewed = self._events.columns(
            Review, "source", "change_native_id", repository=repository, revision=Above(since.get("review", 0))
        )
        new, known = {i for (i,) in touched}, {row[0]: Request._make(row) for row in state.open_requests}
        again = {event_id("change", source, native) for source, native in set(reviewed)}
        if settled.among(map(mark, new | again)):
            raise Settled
        # Of the others that are reviewed nobody merged one yet.
        read = read_requests(self._events, repository, sorted(new | (again & known.keys())), self._identities)
        past, shipped = Marks(state.commits), self._shipped.get(repository, set())
        for request in read:
            shas = [s for s in (request.merge_sha, request.head_sha, *request.commits) if s]
            if request.id not in new:
                continue
            if past.among(map(mark, shas)) or not shipped.isdisjoint(shas) or any(map(self.named, shas)):
                raise Settled
        return sorted([*read, *(r for i, r in known.items() if i not in new and i not in again)])

    def check_incidents(self, service: str, meant: Meant) -> None:
        """No incident that is new, or not settled, may mean a settled deployment."""
        state, since = self._state, self._state.revisions.get("incident", 0)
        own = meant.incidents.of_service.get(service, ())
        if any(i.revision > since and i.started_at <= state.at for i in own):
            raise Settled
        *new, reads = meant.since(since)
        if not reads.isdisjoint(state.reads):
            raise Settled
        for texts, shas in (new, _marks_of(i for i in own if i.started_at > state.at)):
            if Marks(state.names).hold(texts):
                raise Settled
            if any(Marks(r.commits).hold(shas) or Marks(r.dormant).hold(shas) for r in state.repositories.values()):
                raise Settled

    def starts(self, releases: Iterable[Release], histories: Mapping[str, History]) -> dict[Place, Start]:
        """Where each chain goes on."""
        found: dict[Place, Start] = {}
        for chain in self._state.chains:
            last = Release(*chain.last)
            number = histories[chain.repository].commits.graph.number
            state = self._state.repositories[chain.repository]
            own = sorted(
                r
                for r in releases
                if r.result == Result.SUCCESS
                and (r.environment, r.repository or "") == (chain.environment, chain.repository)
            )
            seen = self._again(last, own, state, set(chain.shipped))
            found[chain.environment, chain.repository] = Start(
                horizon=chain.horizon,
                last=last,
                last_known=chain.last_known,
                graph=state.graph,
                shipped=frozenset(s for s in chain.shipped if s in number),
                seen=frozenset(seen),
            )
        return found

    @staticmethod
    def _again(last: Release, own: Sequence[Release], state: RepositoryState, shipped: set[str]) -> Iterable[str]:
        """The settled commits that are deployed again. One that goes back may go far: then the past is looked at."""
        settled, before = Marks(state.commits), last
        for release in own:
            shas = [s for s in (release.sha, *names(release.change_shas)) if s]
            if settled.among(map(mark, shas)) or Marks(state.dormant).among(map(mark, shas)):
                if release.sha != before.sha or release.sha is None:
                    raise Settled
                yield release.sha
            elif release.sha in shipped and release.sha != before.sha:
                raise Settled
            before = release


def _check_history(state: RepositoryState, found: History) -> None:
    """What is new may name no commit that is settled: the name leads nowhere among the new ones."""
    settled, dormant = Marks(state.commits), Marks(state.dormant)
    for name in found.unresolved:
        if settled.begins(name) or dormant.begins(name):
            raise Settled
