"""Delivery: deployment frequency, change lead time with its stages, change delivery time. Pure.

definitions.md §2. Which change shipped in which deployment is decided once, from all known events, along the
commit graph; the answer does not depend on any window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from collector.events import Change, ChangeState, Commit, Deployment, Result, Review
from slo_engine.graph import CommitGraph
from slo_engine.indicator import Events, Family, Indicator, Shape
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros
from slo_engine.organisation import Organisation

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


class _Release(NamedTuple):
    """A deployment as the arithmetic needs it; ordered by time, then by id, so that ties have one order."""

    at: int
    id: str
    source: str
    service: str
    environment: str
    repository: str | None
    sha: str | None
    result: str


class _Merged(NamedTuple):
    """A change: a merged request, or a commit of the default branch that belongs to none. Times in microseconds."""

    id: str
    source: str
    commit: int | None
    merged_at: int | None
    first_commit_at: int | None
    first_commit_id: str
    ready_at: int | None
    first_review_at: int | None
    rule: str


@dataclass(frozen=True)
class _Commits:
    """A repository's commits in columns, and their graph."""

    graph: CommitGraph
    ids: Sequence[str]
    sources: Sequence[str]
    authored: Sequence[int]
    committed: Sequence[int]
    on_line: Sequence[bool]


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of the three indicators."""
    del organisation
    releases = _releases(events)
    yield from _frequency(releases)
    chains: dict[str, dict[tuple[str, str], list[_Release]]] = defaultdict(lambda: defaultdict(list))
    for release in releases:
        if release.result == Result.SUCCESS and release.repository:
            chains[release.repository][release.service, release.environment].append(release)
    commits = _commits_by_repository(events, chains)
    changes = _requests_by_repository(events)
    for repository in sorted(chains):
        graph = commits.get(repository) or _commits([])
        merged = list(_merged(graph, changes.get(repository, [])))
        for (service, environment), chain in sorted(chains[repository].items()):
            yield from _shipped(Subject(service, environment), chain, graph, merged)


def _releases(events: Events) -> list[_Release]:
    names = ("finished_at", "id", "source", "service", "environment", "repository", "sha", "result")
    return sorted(_Release(*row) for row in events.columns(Deployment, *names))


def _frequency(releases: Iterable[_Release]) -> Iterator[Observation]:
    for release in releases:
        succeeded = release.result == Result.SUCCESS
        yield Observation(
            indicator=DEPLOYMENT_FREQUENCY.name,
            dimension=release.result,
            unit=release.id,
            at=from_micros(release.at),
            subject=Subject(release.service, release.environment),
            source=release.source,
            outcome=Outcome.MEASURED if succeeded else Outcome.EXCLUDED,
            reason="" if succeeded else Reason.NOT_SUCCESSFUL,
        )


_CommitRow = tuple[str, str, str, str, str, int, int, bool]
_COMMIT_COLUMNS = (
    "repository",
    "sha",
    "source",
    "id",
    "parents",
    "authored_at",
    "committed_at",
    "on_default_branch",
)


def _commits_by_repository(events: Events, wanted: Iterable[str]) -> dict[str, _Commits]:
    rows: dict[str, list[_CommitRow]] = {r: [] for r in wanted}
    for row in events.columns(Commit, *_COMMIT_COLUMNS):
        if row[0] in rows:
            rows[row[0]].append(row)
    return {repository: _commits(_once(found)) for repository, found in rows.items()}


def _once(rows: list[_CommitRow]) -> list[_CommitRow]:
    """Each commit once, also where two sources report the same repository; a shallow one lacks parents."""
    if len({row[1] for row in rows}) == len(rows):
        return rows
    known: dict[str, _CommitRow] = {}
    for row in sorted(rows):
        first = known.setdefault(row[1], row)
        known[row[1]] = (*first[:4], max(first[4], row[4], key=len), *first[5:7], first[7] or row[7])
    return list(known.values())


def _commits(rows: list[_CommitRow]) -> _Commits:
    if not rows:
        return _Commits(CommitGraph(), [], [], [], [], [])
    _, shas, sources, ids, parents, authored, committed, on_line = zip(*rows, strict=True)
    return _Commits(CommitGraph.of(shas, parents), ids, sources, authored, committed, on_line)


class _Request(NamedTuple):
    """A merged request with what the arithmetic needs of its reviews."""

    id: str
    source: str
    native_id: str
    merge_sha: str | None
    merged_at: int | None
    first_commit_at: int | None
    created_at: int
    ready_at: int | None
    commit_shas: str
    author: str | None
    first_review_at: int | None


def _requests_by_repository(events: Events) -> dict[str, list[_Request]]:
    reviews: dict[tuple[str, str, str], list[tuple[int, str | None]]] = defaultdict(list)
    columns = ("source", "repository", "change_native_id", "at", "author", "bot")
    for source, repository, native_id, at, author, bot in events.columns(Review, *columns):
        if not bot:
            reviews[source, repository, native_id].append((at, author))
    found: dict[str, list[_Request]] = defaultdict(list)
    names = ("repository", "state", *_Request._fields[:-1])
    for repository, state, *row in events.columns(Change, *names):
        if state != ChangeState.MERGED:
            continue
        request = _Request._make((*row, None))
        others = [
            at
            for at, author in reviews[request.source, repository, request.native_id]
            if at >= request.created_at and (author is None or author != request.author)
        ]
        found[repository].append(request._replace(first_review_at=min(others, default=None)))
    return {repository: sorted(requests) for repository, requests in found.items()}


def _merged(commits: _Commits, requests: list[_Request]) -> Iterator[_Merged]:
    """All changes of a repository: requests first, then what stands on the default branch without one."""
    owner = commits.graph.brought_by(commits.on_line)
    first = _first_commits(commits, owner)
    claimed: set[int] = set()
    number = commits.graph.number
    for request in requests:
        commit = number.get(request.merge_sha) if request.merge_sha else None
        own = [number[s] for s in request.commit_shas[2:-2].split('","') if s in number]
        if commit is not None:
            claimed.add(commit)
            own += _rebased(commits, commit, request)
        claimed.update(own)
        known = _first_of(commits, own, request.merged_at, first.get(commit) if commit is not None else None)
        started = request.first_commit_at
        if started is not None and request.merged_at is not None and started > request.merged_at:
            started = None  # a wrong clock: the graph has a committer time instead
        yield _Merged(
            id=request.id,
            source=request.source,
            commit=commit,
            merged_at=request.merged_at,
            first_commit_at=started if started is not None else (known[0] if known else None),
            first_commit_id="" if started is not None or known is None else commits.ids[known[1]],
            ready_at=request.created_at if request.ready_at is None else request.ready_at,
            first_review_at=request.first_review_at,
            rule="graph" if started is not None or known is None else known[2],
        )
    for commit, (at, which, rule) in first.items():
        if commit not in claimed:
            yield _Merged(
                id=commits.ids[commit],
                source=commits.sources[commit],
                commit=commit,
                merged_at=commits.committed[commit],
                first_commit_at=at,
                first_commit_id=commits.ids[which] if which != commit else "",
                ready_at=None,
                first_review_at=None,
                rule=rule,
            )


def _first_commits(commits: _Commits, owner: list[int]) -> dict[int, tuple[int, int, str]]:
    """For each commit of the line: author time and number of the first commit it brought, and the rule used.

    An author time after the merge comes from a wrong clock: the committer time stands in for it.
    """
    first: dict[int, tuple[int, int, str]] = {}
    authored, committed, ids = commits.authored, commits.committed, commits.ids
    for commit, tip in enumerate(owner):
        if tip < 0:
            continue
        at, rule = authored[commit], "graph"
        if at > committed[tip]:
            at, rule = committed[commit], "graph, committer time"
        best = first.get(tip)
        # Of commits of one second the id decides: the answer must not depend on the order of reading.
        if best is None or at < best[0] or (at == best[0] and ids[commit] < ids[best[1]]):
            first[tip] = (at, commit, rule)
    return first


def _first_of(
    commits: _Commits, own: Iterable[int], merged_at: int | None, brought: tuple[int, int, str] | None
) -> tuple[int, int, str] | None:
    """The first commit of a request, as `_first_commits` gives it: of those it names and those its merge brought.

    A squash brought itself alone; the commits it was made of are known only by name.
    """
    found = [] if brought is None else [brought]
    for commit in own:
        late = merged_at is not None and commits.authored[commit] > merged_at
        at = commits.committed[commit] if late else commits.authored[commit]
        found.append((at, commit, "graph, committer time" if late else "graph"))
    return min(found, key=lambda f: (f[0], commits.ids[f[1]]), default=None)


def _rebased(commits: _Commits, head: int, request: _Request) -> list[int]:
    """The commits that a rebase merge put on the line below its head; none where it was no rebase.

    A rebase makes as many commits as the request had, and keeps their author times.
    """
    names = request.commit_shas[2:-2].split('","')
    run = [head]
    while len(run) < len(names) and len(parents := commits.graph.parents[run[-1]]) == 1:
        run.append(parents[0])
    before = [commits.graph.number.get(n) for n in names]
    known = sorted(commits.authored[n] for n in before if n is not None)
    times = sorted(commits.authored[n] for n in run)
    same = known == times if len(known) == len(names) else times[0] == request.first_commit_at
    return run if len(run) == len(names) and same else []


def _shipped(
    subject: Subject, chain: list[_Release], commits: _Commits, merged: Iterable[_Merged]
) -> Iterator[Observation]:
    """The changes of one service in one environment, each judged once."""
    deployed = [commits.graph.number.get(r.sha) if r.sha else None for r in chain]
    first = commits.graph.shipped_in(deployed)
    horizon = chain[0].at
    # The first known deployment after one whose commit the graph lacks contains an unknown part of what is new.
    blind = {i for i in range(1, len(chain)) if deployed[i] is not None and deployed[i - 1] is None}
    times = [from_micros(r.at) for r in chain]
    for change in merged:
        index = first[change.commit] if change.commit is not None else -1
        release = chain[index] if index >= 0 else None
        if change.merged_at is None:
            yield _without_value(subject, change, release, horizon, Reason.MISSING_TIME)
        elif change.merged_at < horizon or index == 0:
            yield _without_value(subject, change, release, change.merged_at, Reason.BEFORE_HORIZON)
        elif change.commit is None:
            yield _without_value(subject, change, None, change.merged_at, Reason.UNKNOWN_COMMIT)
        elif release is None:
            yield _without_value(subject, change, None, change.merged_at, None)
        elif index in blind:
            yield _without_value(subject, change, release, release.at, Reason.UNKNOWN_BASE)
        else:
            yield _measured(subject, change, release, times[index])


def _without_value(
    subject: Subject, change: _Merged, release: _Release | None, at: int, reason: Reason | None
) -> Observation:
    """A change that is left out for a reason or, without one, waits for its deployment."""
    return Observation(
        indicator=CHANGE_LEAD_TIME.name,
        unit=change.id,
        at=from_micros(release.at if release else at),
        subject=subject,
        source=_sources(change, release),
        outcome=Outcome.EXCLUDED if reason else Outcome.PENDING,
        reason=reason or "",
        evidence=(release.id,) if release else (),
    )


def _measured(subject: Subject, change: _Merged, release: _Release, at: datetime) -> Observation:
    """A shipped change: its lead time and stages, as far as they are known."""
    first_at, stages = change.first_commit_at, _stages(change, release.at)
    seconds = (release.at - first_at) / 1e6 if first_at is not None and first_at <= release.at else None
    missing = "" if stages[-1] is not None else Reason.MERGED_AFTER_DEPLOYMENT
    return Observation(
        indicator=CHANGE_LEAD_TIME.name,
        unit=change.id,
        at=at,
        subject=subject,
        source=_sources(change, release),
        outcome=Outcome.MEASURED,
        value=seconds,
        parts=stages,
        reason=missing if seconds is not None else Reason.MISSING_TIME,
        rule=change.rule,
        evidence=(release.id, change.first_commit_id) if change.first_commit_id else (release.id,),
    )


def _stages(change: _Merged, deployed_at: int) -> tuple[float | None, ...]:
    """The stages in seconds, None where an end is unknown. Where all are known they add up to the lead time.

    A draft is not ready; a request never reviewed has no pickup and no review; what was deployed before its
    merge has no delivery. A review of a draft counts from when it became ready; one after the merge is none.
    """
    first, ready, review, merged = (
        change.first_commit_at,
        change.ready_at,
        change.first_review_at,
        change.merged_at,
    )
    if merged is not None:
        ready = ready if ready is not None and ready <= merged else None
        review = review if review is not None and review <= merged else None
    if first is not None and ready is not None:
        ready = max(ready, first)
    if ready is not None and review is not None:
        review = max(review, ready)
    bounds = (first, ready, review, merged, deployed_at)
    return tuple(
        (end - start) / 1e6 if start is not None and end is not None and end >= start else None
        for start, end in pairwise(bounds)
    )


def _sources(change: _Merged, release: _Release | None) -> str:
    """The sources a judgement rests on: its number is shown only while all of them are fresh."""
    if release is None or release.source == change.source:
        return change.source
    return "+".join(sorted((change.source, release.source)))


FAMILY = Family(
    name="delivery",
    inputs=(Commit, Change, Review, Deployment),
    indicators=(CHANGE_LEAD_TIME, CHANGE_DELIVERY_TIME, DEPLOYMENT_FREQUENCY),
    observe=observe,
)
