"""What of a service's past is settled, so that new events cost what is new. Pure.

Deployments up to a time are settled with what they shipped. What comes later is judged from the settled state and
the events since; whatever would have to look into the settled past is noticed, and the service is judged as a whole
again. So the state saves time and never changes a judgement.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import compress
from operator import and_, gt, or_
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from slo_engine.cadence import week_start
from slo_engine.changes import Merged, Request, names
from slo_engine.distinct import distinct
from slo_engine.graph import SHIPPED_BEFORE
from slo_engine.incidents import Incident, Settled
from slo_engine.observation import Reason
from slo_engine.services import Judged, Place
from slo_engine.shipping import Chain, Release, Shipment

_MICROSECOND = timedelta(microseconds=1)
_PREFIX = 16
_ABOVE = 1 << 64
_TRIED, _STEP = 12, 3
"""How many boundaries are tried, and how many deployments lie between them."""


@dataclass(frozen=True, kw_only=True)
class Settling:
    """When a service's past is settled. It decides how much is read again, never what is found.

    `kept`: so many of the latest deployments stay open at least, and all of the last `open_for`: reverts, rollbacks
    and incidents mostly concern those. It is settled again when twice as many came on top. `dormant_after`: after so
    long a branch that nobody merged is set aside.
    """

    kept: int = 4
    open_for: timedelta = timedelta(days=2)
    dormant_after: timedelta = timedelta(days=30)


class Marks:
    """A set of 64-bit marks that is kept as bytes."""

    def __init__(self, packed: bytes = b"") -> None:
        # Mostly a few marks are looked for: bisecting the bytes themselves is sooner done than an array operation.
        self._marks = memoryview(packed).cast("Q")

    def among(self, marks: Iterable[int]) -> bool:
        """True where one of some marks is in the set."""
        return any(self._least(mark) == mark for mark in marks) if len(self._marks) else False

    def hold(self, marks: NDArray[np.uint64]) -> bool:
        """True where one of many marks is in the set."""
        known = np.frombuffer(self._marks, dtype=np.uint64)
        if not known.size or not marks.size:
            return False
        return bool((known[np.minimum(known.searchsorted(marks), known.size - 1)] == marks).any())

    def begins(self, prefix: str) -> bool:
        """True where a mark made from a commit id begins with some hex digits."""
        low = int(prefix[:_PREFIX].ljust(_PREFIX, "0"), 16)
        return self._least(low) <= int(prefix[:_PREFIX].ljust(_PREFIX, "f"), 16)

    def _least(self, mark: int) -> int:
        """The least mark of the set that is no less than another; above all marks where there is none."""
        place = bisect_left(self._marks, mark)
        return self._marks[place] if place < len(self._marks) else _ABOVE

    def joined(self, more: NDArray[np.uint64]) -> bytes:
        """The set with more marks, packed."""
        known, new = np.frombuffer(self._marks, dtype=np.uint64), distinct(more)
        # The set is in order and little comes to it: finding each a place takes a fiftieth of sorting all anew.
        places = known.searchsorted(new)
        absent = known.searchsorted(new, side="right") == places
        return np.insert(known, places[absent], new[absent]).tobytes()


def mark(identity: str) -> int:
    """The mark of a commit's or an event's id, both hex digits."""
    return int(identity[:_PREFIX], 16)


def marks(identities: Iterable[str]) -> NDArray[np.uint64]:
    """The marks of many ids at once."""
    ids = list(identities)
    lengths = set(map(len, ids))
    size = lengths.pop() // 2 if len(lengths) == 1 else 0
    if size < _PREFIX // 2:
        ids, size = [i[:_PREFIX] for i in ids], _PREFIX // 2
    # All are of one length, nearly always as they come: to cut each takes longer than everything else.
    packed = np.frombuffer(bytes.fromhex("".join(ids)), dtype=np.uint8).reshape(-1, size)
    return np.ascontiguousarray(packed[:, : _PREFIX // 2]).view(">u8").ravel().astype(np.uint64)


def text_mark(text: str) -> int:
    """The mark of any text. Two texts may share one, which costs time and nothing else."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def text_marks(texts: Sequence[str]) -> set[int]:
    """The marks of many texts at once."""
    told = "\0".join(texts).encode("utf-8", "surrogatepass").split(b"\0")
    # One that holds what stands between them would fall into two.
    return set(map(zlib.crc32, told)) if len(told) == len(texts) else set(map(text_mark, texts))


class RepositoryState(msgspec.Struct, array_like=True, frozen=True):
    """A repository as far as one service has settled it."""

    graph: bool
    commits: bytes
    """Marks of the settled commits: shipped everywhere, with what brought them."""
    dormant: bytes
    """Marks of commits of branches that nobody merged for a month."""
    trees: bytes
    """Marks of the trees of settled commits of the default line."""
    requests: bytes
    """Marks of the settled requests."""
    missing: bytes
    """Marks of commit ids that something settled names and nobody knew."""
    beginnings: list[str]
    """Beginnings of such ids."""
    open_commits: list[tuple[Any, ...]]
    """The rows of the other commits."""
    open_requests: list[tuple[Any, ...]]
    """The other requests, as `changes.Request` but for the author."""


class ChainState(msgspec.Struct, array_like=True, frozen=True):
    """A chain as far as it is settled."""

    environment: str
    repository: str
    horizon: int
    last: tuple[Any, ...]
    last_known: bool
    shipped: list[str]


class State(msgspec.Struct, array_like=True, frozen=True):
    """A service as far as it is settled: up to and with `at`, by what was known at `revisions`."""

    at: int
    revisions: dict[str, int]
    repositories: dict[str, RepositoryState]
    chains: list[ChainState]
    deployments: bytes
    names: bytes
    incident_sources: list[str]
    reads: list[str]
    reopened: list[tuple[int, str]]
    kept: list[tuple[int, str]]
    """Observations of settled units that are dated later: recoveries and restored incidents."""
    answered: list[str]
    """The incidents that mean another service too: its own for which another answers, another's that it does not."""
    week: dict[str, tuple[list[int], bool]]
    """For each environment the deployments of the week that holds `at`, and whether work waited in it."""


def decoded(packed: bytes | None) -> State | None:
    """A state as it was packed; None for none, or one of another version."""
    try:
        return msgspec.msgpack.decode(packed, type=State) if packed else None
    except msgspec.DecodeError:
        return None


def boundaries(judged: Judged, how: Settling) -> list[int]:
    """The times up to which a service could be settled, best first; none where it is not worth while."""
    times = sorted(r.at for c in judged.chains.values() for r in c.releases)
    if len(times) <= how.kept:
        return []
    latest = min(times[-how.kept - 1], times[-1] - how.open_for // _MICROSECOND)
    found = [t for t in times if t <= latest]
    return found[-1 : -_TRIED * _STEP : -_STEP] if len(found) >= max(2 * how.kept, 1) else []


def settle(
    judged: Judged, before: State | None, at: int, how: Settling, revisions: Mapping[str, int], reads: Sequence[str]
) -> bytes:
    """The packed state of a judged service up to a time, on top of the state it was judged from.

    Raises Settled where what is open already concerns what would be settled: such a state would be of no use.
    """
    repositories: dict[str, RepositoryState] = {}
    reopened: list[tuple[int, str]] = []
    chains: list[ChainState] = []
    for repository in sorted({r for _, r in judged.chains}):
        own = [c for (_, r), c in judged.chains.items() if r == repository]
        old = before.repositories.get(repository) if before else None
        work = _Repository(own, old, at, how, judged.incidents)
        work.check()
        repositories[repository] = work.state()
        reopened += work.reopened()
        chains += [_chain_state(c, place, at, work) for place, c in judged.chains.items() if place[1] == repository]
    past = [r for r in judged.releases if r.at <= at]
    names_marks = text_marks(_tokens(judged, past, at))
    open_incidents = [i for i in judged.incidents if i.started_at > at]
    settled_ids = {r.id for r in past}
    if any(h.release.id in settled_ids and h.incident.started_at > at for h in judged.attribution.causes) or any(
        text_mark(t) in names_marks for i in open_incidents for t in i.tokens
    ):
        raise Settled
    shas = [mark(n) for i in open_incidents for n in i.names if is_full_id(n)]
    if any(Marks(r.commits).among(shas) or Marks(r.dormant).among(shas) for r in repositories.values()):
        raise Settled
    state = State(
        at=at,
        revisions=dict(revisions),
        repositories=repositories,
        chains=chains,
        deployments=Marks(before.deployments if before else b"").joined(marks(r.id for r in past)),
        names=Marks(before.names if before else b"").joined(np.fromiter(names_marks, dtype=np.uint64)),
        incident_sources=list(judged.incident_sources),
        reads=list(reads),
        reopened=sorted(set(reopened)),
        kept=sorted({*_kept(judged, at), *((m, u) for m, u in (before.kept if before else ()) if m > at)}),
        answered=answered(judged, reads),
        week=_week(judged, before, at),
    )
    return msgspec.msgpack.encode(state)


def _kept(judged: Judged, at: int) -> Iterable[tuple[int, str]]:
    for chain in judged.chains.values():
        for release in chain.releases:
            verdict = judged.verdicts.get(release.id)
            recovered = verdict.recovered_at if verdict is not None and verdict.failures else None
            if release.at <= at and recovered is not None and recovered > at:
                yield recovered, release.id
    for incident in judged.incidents:
        restored = incident.restored_at
        if incident.started_at <= at and restored is not None and restored > at:
            yield restored, incident.id


def answered(judged: Judged, reads: Iterable[str]) -> list[str]:
    """The incidents between services: its own for which another one answers, and others' that answer themselves."""
    own = {i.id for i in judged.incidents} & judged.others
    foreign = {r.partition(":")[2] for r in reads if r.startswith("incident:")} & judged.owned
    return sorted(own | foreign)


class _Repository:
    """What of a repository is settled for all chains of a service."""

    def __init__(
        self,
        chains: Sequence[Chain],
        old: RepositoryState | None,
        at: int,
        how: Settling,
        incidents: Sequence[Incident],
    ) -> None:
        self.chains, self.old, self.at, self._incidents = chains, old, at, incidents
        self.history, self.commits = chains[0].history, chains[0].commits
        self.graph = old.graph if old else bool(self.commits.ids)
        size = len(self.commits.ids)
        self.past = [self._past(chain) for chain in chains]
        done = np.logical_and.reduce([np.ones(size, dtype=bool), *self.past])
        owner = np.array(self.commits.owner, dtype=np.int64)
        settled = (owner >= 0) & (done[owner] if size else done)
        committed = np.array(self.commits.committed, dtype=np.int64)
        dormant = (owner < 0) & (committed < at - how.dormant_after // _MICROSECOND)
        self.settled: list[bool] = settled.tolist()
        self.dormant: list[bool] = dormant.tolist()
        # A branch sleeps as a whole: what an open commit stands on would lead from it into what is set aside.
        self._open = np.flatnonzero(~dormant & ~settled).tolist()
        for commit in self._open:
            woken = [p for p in self.commits.graph.parents[commit] if self.dormant[p]]
            for parent in woken:
                self.dormant[parent] = False
            self._open += woken  # and what these stand on
        self.unsettled: list[int] = np.flatnonzero(~settled).tolist()
        self._dormant = np.flatnonzero(self.dormant).tolist()

    def _past(self, chain: Chain) -> NDArray[np.bool_]:
        """For each commit whether it shipped in the settled past."""
        first = np.array(chain.first, dtype=np.int64)
        past = np.array([r.at <= self.at for r in chain.releases], dtype=bool)
        shipped: NDArray[np.bool_] = first == SHIPPED_BEFORE
        return shipped | ((first >= 0) & past[np.maximum(first, 0)]) if past.size else shipped

    def shipped(self, chain: Chain, first: int) -> bool:
        """True where the deployment of that number is settled, or was before."""
        return first == SHIPPED_BEFORE or (first >= 0 and chain.releases[first].at <= self.at)

    def state(self) -> RepositoryState:
        """The state."""
        old, shas = self.old, self.commits.shas
        beginnings = {n for n in self.history.unresolved if len(n) < _PREFIX} | set(old.beginnings if old else ())
        return RepositoryState(
            graph=self.graph,
            commits=Marks(old.commits if old else b"").joined(marks(compress(shas, self.settled))),
            dormant=Marks(old.dormant if old else b"").joined(marks(shas[i] for i in self._dormant)),
            trees=Marks(old.trees if old else b"").joined(marks(self._trees)),
            requests=Marks(old.requests if old else b"").joined(marks(r for r, yes in self._requests.items() if yes)),
            missing=Marks(old.missing if old else b"").joined(marks(self._missing())),
            beginnings=sorted(beginnings),
            open_commits=sorted(map(self.commits.row, self._open)),
            open_requests=sorted(self._open_requests()),
        )

    def _open_requests(self) -> Iterable[Request]:
        asked = (shipment.change for chain in self.chains for shipment in chain.asked)
        known = {c.id: c.request for c in (*self.history.whole, *asked) if c.request is not None}
        return [known[r]._replace(author=None) for r, settled in self._requests.items() if not settled and r in known]

    def check(self) -> None:
        """Raise Settled where a revert, rollback or hotfix that is open undoes what would be settled.

        Also where a request stays open that a settled deployment names: without it, it would seem to ship nowhere.
        """
        if any(self._named(chain, shipment) for chain in self.chains for shipment in chain.asked):
            raise Settled
        for past in self.past:
            for revert in self.history.reverts:
                if not past[revert.commit] and any(past[u] or self.dormant[u] for u in revert.undone):
                    raise Settled
        number = self.commits.graph.number
        line = compress(self.commits.trees, map(gt, self.commits.on_line, self.settled))
        if not self._trees.isdisjoint(filter(None, line)):
            raise Settled
        for chain in self.chains:
            first = next((i for i, r in enumerate(chain.releases) if r.at > self.at), None)
            if first in chain.rollbacks or first in chain.hotfixes:
                raise Settled
            for index in range(first if first is not None else len(chain.releases), len(chain.releases)):
                release, before = chain.releases[index], chain.before(index)
                commit = number.get(release.sha) if release.sha else None
                again = before is not None and before.sha == release.sha
                if (
                    commit is not None
                    and not again
                    and (self.settled[commit] or self.shipped(chain, chain.first[commit]))
                ):
                    raise Settled

    def _named(self, chain: Chain, shipment: Shipment) -> bool:
        """Whether a request that stays open shipped only because a settled deployment names it."""
        change = shipment.change
        shipped = change.commit < 0 and self.shipped(chain, shipment.by)
        return shipped and change.request is not None and not self._requests[change.id]

    @cached_property
    def _trees(self) -> set[str]:
        """The trees of settled commits of the default line."""
        line = map(and_, self.commits.on_line, self.settled)
        return set(filter(None, compress(self.commits.trees, line)))

    @cached_property
    def _requests(self) -> dict[str, bool]:
        """The requests, and whether each is settled."""
        at_rest = list(map(or_, self.settled, self.dormant))
        found = {c.id: self._placed(c, at_rest) for c in self.history.whole if c.request is not None}
        for chain in self.chains:
            for shipment in chain.asked:
                if not self._done(chain, shipment):
                    found[shipment.change.id] = False
        return found

    def _placed(self, change: Merged, at_rest: Sequence[bool]) -> bool:
        """Whether all commits of a request are settled: an open one is claimed by it, also for other services."""
        dated = change.merged_at is None or change.merged_at <= self.at
        return dated and all(map(at_rest.__getitem__, change.own))

    def _done(self, chain: Chain, shipment: Shipment) -> bool:
        """Whether a change is settled for a chain."""
        commit, merged_at = shipment.change.commit, shipment.change.merged_at
        dated = merged_at is None or merged_at <= self.at  # what is dated later is judged again each time
        if commit >= 0:
            return self.settled[commit] or (self.dormant[commit] and dated)
        return self.shipped(chain, shipment.by) or (shipment.reason is not None and dated)

    def _missing(self) -> set[str]:
        """Full commit ids that are named here and that nobody knows."""
        known = self.commits.graph.number
        named = set(self.history.unresolved) | self.commits.cut
        for chain in self.chains:
            for release in chain.releases:
                if release.sha and release.sha not in known:
                    named.add(release.sha)
                if release.change_shas:
                    named.update(s for s in names(release.change_shas) if s and s not in known)
        named |= {n for incident in self._incidents for n in incident.names if n not in known}
        return {n for n in named if is_full_id(n)}

    def reopened(self) -> list[tuple[int, str]]:
        """The observations of unsettled changes that are dated in the settled past."""
        requests, found = self._requests, []
        for chain in self.chains:
            for shipment in chain.shipments:
                change = shipment.change
                if change.request is None and self.settled[change.commit]:  # as nearly all are
                    continue
                done = requests[change.id] if change.request is not None else self._done(chain, shipment)
                waits = not done and not self.shipped(chain, shipment.by)
                dated = chain.horizon if change.merged_at is None else change.merged_at
                if waits and dated <= self.at:
                    found.append((dated, change.id))
        return found


def is_full_id(text: str) -> bool:
    """True for what may be a commit's whole id."""
    return len(text) >= _PREFIX and all(c in "0123456789abcdef" for c in text)


def _chain_state(chain: Chain, place: Place, at: int, work: _Repository) -> ChainState:
    past = [i for i, r in enumerate(chain.releases) if r.at <= at]
    if past:
        last, known = chain.releases[past[-1]], chain.known(past[-1])
    elif chain.start is not None:
        last, known = chain.start.last, chain.start.last_known
    else:
        raise Settled  # nothing of this chain is settled: it cannot be started from here
    shas = chain.commits.shas
    shipped = [shas[i] for i in work.unsettled if work.shipped(chain, chain.first[i])]
    return ChainState(place[0], place[1], chain.horizon, tuple(last), known, shipped)


def _tokens(judged: Judged, past: Sequence[Release], at: int) -> list[str]:
    """What an incident could name or be linked with in the settled past, or a request that nobody knew of then."""
    found: list[str | None] = []
    for release in past:
        found += (release.native_id, release.artifact, release.version, release.sha, release.url)
        if release.links:
            found += names(release.links)
    for chain in judged.chains.values():
        number, releases = chain.commits.graph.number, chain.releases
        listed = (s for r in releases if r.change_shas and r.at <= at for s in names(r.change_shas))
        found += (s for s in listed if s not in number)
        for change, index, _, _ in chain.asked:
            request = change.request
            if request is not None and index >= 0 and releases[index].at <= at:
                found.append(request.url)
                if request.links:
                    found += names(request.links)
    return [text for text in found if text]


def _week(judged: Judged, before: State | None, at: int) -> dict[str, tuple[list[int], bool]]:
    zone = judged.organisation.zone
    start = week_start(at, zone)
    found: dict[str, tuple[list[int], bool]] = {}
    for (environment, _), chain in judged.chains.items():
        times, busy = found.get(environment, ([], False))
        times = times + [r.at for r in chain.releases if start <= r.at <= at]
        busy = busy or any(
            index >= 0
            and start <= chain.releases[index].at <= at
            and _waited(judged, change, reason, chain.releases[index].at)
            for change, index, _, reason in chain.shipments
        )
        found[environment] = (times, busy)
    if before is not None and week_start(before.at, zone) == start:
        for environment, (times, busy) in before.week.items():
            more, also = found.get(environment, ([], False))
            found[environment] = (sorted([*times, *more]), busy or also)
    return found


def _waited(judged: Judged, change: Merged, reason: Reason | None, shipped_at: int) -> bool:
    """Whether a shipped change made the week busy: the same changes count as where weeks are judged."""
    placed = reason in {None, Reason.UNKNOWN_BASE} and change.id not in judged.unknown_paths
    return placed and change.merged_at is not None and change.merged_at <= shipped_at
