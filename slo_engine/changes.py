"""The changes of a repository: merged requests, and commits of the default branch that belong to none. Pure.

definitions.md §2 "Change". What a merge brought is answered for all merges together, each commit visited once.
Times are integer microseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import msgspec

from collector.conditions import Where
from collector.events import Change, ChangeState, Commit, Review
from collector.patterns import Pattern, any_matches
from slo_engine.graph import CommitGraph
from slo_engine.identities import Identities
from slo_engine.indicator import Events
from slo_engine.organisation import DeliveryRules

COMMIT_COLUMNS = (
    *("sha", "source", "id", "parents", "authored_at", "committed_at", "on_default_branch"),
    *("bot", "reverts", "tree_sha", "paths"),
)
_BOT = COMMIT_COLUMNS.index("bot")
_NOTHING_SAID = Identities()


class CommitRow(NamedTuple):
    """A commit as the store gives it; `parents`, `reverts` and `paths` are JSON text."""

    sha: str
    source: str
    id: str
    parents: str
    authored_at: int
    committed_at: int
    on_default_branch: bool
    bot: bool
    reverts: str
    tree_sha: str | None
    paths: str | None


@dataclass(frozen=True)
class Commits:
    """A repository's commits in columns, and their graph."""

    graph: CommitGraph
    ids: Sequence[str] = ()
    sources: Sequence[str] = ()
    authored: Sequence[int] = ()
    committed: Sequence[int] = ()
    on_line: Sequence[bool] = ()
    bots: Sequence[bool] = ()
    reverts: Sequence[str] = ()
    trees: Sequence[str | None] = ()
    paths: Sequence[str | None] = ()
    parents_json: Sequence[str] = ()

    @classmethod
    def of(cls, rows: Iterable[tuple[object, ...]]) -> Commits:
        """The commits of rows of COMMIT_COLUMNS, each once, also where two sources report the same repository."""
        given = list(rows)
        if not given:
            return cls(CommitGraph())
        shas, sources, ids, parents, authored, committed, on_line, bots, reverts, trees, paths = zip(
            *given, strict=True
        )
        graph = CommitGraph.of(shas, parents)
        if len(graph.number) < len(given):
            return cls.of(_once(given))
        return cls(graph, ids, sources, authored, committed, on_line, bots, reverts, trees, paths, parents)

    @cached_property
    def owner(self) -> list[int]:
        """For each commit the commit of the default branch's line that brought it there; -1 where none did."""
        return self.graph.brought_by(self.on_line)

    @cached_property
    def shas(self) -> list[str]:
        """The commits' ids by number."""
        return list(self.graph.number)

    @cached_property
    def ordered(self) -> list[str]:
        """The commits' ids in their order: those with one beginning stand together."""
        return sorted(self.graph.number)

    def row(self, commit: int) -> CommitRow:
        """The row of a commit."""
        return CommitRow(
            *(self.shas[commit], self.sources[commit], self.ids[commit], self.parents_json[commit]),
            *(self.authored[commit], self.committed[commit], self.on_line[commit], self.bots[commit]),
            *(self.reverts[commit], self.trees[commit], self.paths[commit]),
        )

    @cached_property
    def cut(self) -> set[str]:
        """Ids of parents that are not among the commits."""
        known = self.graph.number
        lacking = (
            text
            for text, found in zip(self.parents_json, self.graph.parents, strict=True)
            if (not found and text) or ("," in text and text.count(",") >= len(found))
        )
        return {p for text in lacking for p in names(text) if p not in known}

    @cached_property
    def brought(self) -> dict[int, list[int]]:
        """For each commit of the line the commits it brought, itself among them."""
        found: dict[int, list[int]] = defaultdict(list)
        for commit, tip in enumerate(self.owner):
            if tip >= 0:
                found[tip].append(commit)
        return found


def read_commits(
    events: Events, repository: str, identities: Identities = _NOTHING_SAID, **where: Where
) -> list[tuple[Any, ...]]:
    """The commits of a repository that fit, as rows of COMMIT_COLUMNS; a bot's is one by what is said of its author."""
    if not identities:
        return events.columns(Commit, *COMMIT_COLUMNS, repository=repository, **where)
    rows = events.columns(Commit, *COMMIT_COLUMNS, "author", repository=repository, **where)
    return [(*row[:_BOT], identities.is_bot(author, bool(row[_BOT])), *row[_BOT + 1 :]) for *row, author in rows]


def adds(known: tuple[object, ...], new: tuple[object, ...]) -> bool:
    """Whether a new row of a commit says all that a known one of it says."""
    return _once([known, new])[0][3:] == tuple(new)[3:]


def _once(rows: list[tuple[object, ...]]) -> list[CommitRow]:
    """Each commit once; what one source's shallow or less curious copy lacks, the other knows."""
    known: dict[str, CommitRow] = {}
    for row in sorted((CommitRow._make(r) for r in rows), key=lambda r: (r.sha, r.source, r.id)):
        first = known.setdefault(row.sha, row)
        known[row.sha] = first._replace(
            parents=max(first.parents, row.parents, key=len),
            on_default_branch=first.on_default_branch or row.on_default_branch,
            bot=first.bot or row.bot,
            reverts=max(first.reverts, row.reverts, key=len),
            tree_sha=first.tree_sha or row.tree_sha,
            paths=row.paths if first.paths is None else first.paths,
        )
    return list(known.values())


class Request(NamedTuple):
    """A merged request with what the arithmetic needs of its reviews. Tuples are JSON text."""

    id: str
    source: str
    native_id: str
    merge_sha: str | None
    head_sha: str | None
    merged_at: int | None
    first_commit_at: int | None
    created_at: int
    ready_at: int | None
    commit_shas: str
    author: str | None
    bot: bool
    source_branch: str | None
    target_branch: str | None
    labels: str
    links: str
    url: str | None
    paths: str | None
    first_review_at: int | None = None

    @property
    def commits(self) -> list[str]:
        """The ids of its own commits."""
        return names(self.commit_shas)

    def is_hotfix(self, rules: DeliveryRules) -> bool:
        """True where its branch or a label says that it is a hotfix."""
        branch = self.source_branch or ""
        return any_matches(rules.hotfix_branches, branch) or (
            bool(self.labels) and _any_label(rules.hotfix_labels, self.labels)
        )


REQUEST_COLUMNS = Request._fields[:-1]


@lru_cache(maxsize=4096)
def _any_label(rules: tuple[Pattern, ...], labels: str) -> bool:
    """Whether one of a request's labels fits; many requests have the same."""
    return any(any_matches(rules, label) for label in names(labels))


class Merged(NamedTuple):
    """A change. `commit` is the number of the commit that put it on its branch; -1 where the graph lacks it."""

    id: str
    source: str
    commit: int
    merged_at: int | None
    first_commit_at: int | None
    first_commit_id: str
    ready_at: int | None
    first_review_at: int | None
    rule: str
    bot: bool
    own: tuple[int, ...]
    request: Request | None


@dataclass(frozen=True)
class Revert:
    """A commit that undoes others: by its message, or because its tree is that of an earlier commit."""

    commit: int
    undone: tuple[int, ...]
    how: str


@dataclass(frozen=True)
class History:
    """A repository: its commits, its changes, its reverts."""

    commits: Commits = field(default_factory=lambda: Commits(CommitGraph()))
    changes: Sequence[Merged] = ()
    reverts: Sequence[Revert] = ()
    whole: Sequence[Merged] = ()
    """All changes, where `changes` are only those of one service."""
    unresolved: frozenset[str] = frozenset()
    """Commit ids, or their beginnings, that something names and the graph lacks."""
    remembered: dict[DeliveryRules, frozenset[str]] = field(default_factory=dict, repr=False, compare=False)

    def hotfixes(self, rules: DeliveryRules) -> frozenset[str]:
        """The requests that are hotfixes, by id. They are looked for once, however many services ask."""
        if rules not in self.remembered:
            requests = (c.request for c in self.whole if c.request is not None)
            self.remembered[rules] = frozenset(r.id for r in requests if r.is_hotfix(rules))
        return self.remembered[rules]


def read_requests(
    events: Events,
    repository: str,
    ids: Sequence[str] | None = None,
    identities: Identities = _NOTHING_SAID,
) -> list[Request]:
    """The merged requests of a repository, in the order of their ids, with their first human review.

    With `ids` only those of them. Who is whom, and who is a bot, is as the identities say.
    """
    merged: dict[str, Where] = {"state": ChangeState.MERGED.value}
    chosen: dict[str, Where] = {"repository": repository} if ids is None else {"id": list(ids)}
    rows = [] if ids is not None and not ids else events.columns(Change, *REQUEST_COLUMNS, **chosen, **merged)
    requests = [Request._make((*row, None)) for row in rows]
    if not requests:
        return []
    if identities:
        requests = [
            r._replace(author=identities.person(r.author), bot=identities.is_bot(r.author, r.bot)) for r in requests
        ]
    names_of: dict[str, Where] = {} if ids is None else {"change_native_id": [r.native_id for r in requests]}
    reviews: dict[tuple[str, str], list[tuple[int, str | None]]] = defaultdict(list)
    for source, native_id, at, author in _human_reviews(events, repository, identities, names_of):
        reviews[source, native_id].append((at, author))
    return sorted(
        r if own is None else Request._make((*r[:-1], _first_review(r, own)))
        for r in requests
        for own in (reviews.get((r.source, r.native_id)),)
    )


def _human_reviews(
    events: Events, repository: str, identities: Identities, where: Mapping[str, Where]
) -> Iterable[tuple[Any, ...]]:
    """The reviews of a repository that no bot made: source, request, time, and the person where one is known."""
    columns = ("source", "change_native_id", "at", "author")
    if not identities:
        return events.columns(Review, *columns, repository=repository, bot=0, **where)
    return [
        (source, native_id, at, identities.person(author))
        for source, native_id, at, author, bot in events.columns(
            Review, *columns, "bot", repository=repository, **where
        )
        if not identities.is_bot(author, bool(bot))
    ]


def _first_review(request: Request, reviews: Iterable[tuple[int, str | None]]) -> int | None:
    """The first review by another human, not before the request was opened."""
    return min(
        (at for at, author in reviews if at >= request.created_at and (author is None or author != request.author)),
        default=None,
    )


def history(commits: Commits, requests: Sequence[Request]) -> History:
    """The changes and reverts of a repository."""
    number = commits.graph.number
    reverts, unresolved = _reverts(commits)
    missing = {r.merge_sha for r in requests if r.merge_sha and r.merge_sha not in number}
    missing.update(s for r in requests if r.commit_shas for s in r.commits if s and s not in number)
    changes = list(_changes(commits, requests))
    return History(commits, changes, reverts, changes, frozenset(unresolved | missing))


def _changes(commits: Commits, requests: Sequence[Request]) -> Iterator[Merged]:
    """Requests first, then what stands on the default branch without one."""
    first = _first_commits(commits)
    claimed: set[int] = set()
    for request in requests:
        change = _of_request(commits, request, first)
        claimed.update(change.own)
        yield change
    ids, sources, committed, bots = commits.ids, commits.sources, commits.committed, commits.bots
    for commit, (at, which, rule) in first.items():
        if commit not in claimed:
            start = ids[which] if which != commit else ""
            who, merged_at, bot = sources[commit], committed[commit], bool(bots[commit])
            yield Merged._make((ids[commit], who, commit, merged_at, at, start, None, None, rule, bot, (commit,), None))


def _of_request(commits: Commits, request: Request, first: Mapping[int, tuple[int, int, str]]) -> Merged:
    number = commits.graph.number
    commit = number.get(request.merge_sha, -1) if request.merge_sha else -1
    named = request.commits
    own = [number[s] for s in named if s in number]
    if commit >= 0:
        own = [commit, *own, *_rebased(commits, commit, request, named)]
    known = _first_of(commits, own[1:] if commit >= 0 else own, request.merged_at, first.get(commit))
    started = request.first_commit_at
    if started is not None and request.merged_at is not None and started > request.merged_at:
        started = None  # a wrong clock: the graph has a committer time instead
    first_commit_id, rule = ("", "graph") if started is not None or known is None else (commits.ids[known[1]], known[2])
    return Merged(
        request.id,
        request.source,
        commit,
        request.merged_at,
        started if started is not None or known is None else known[0],
        first_commit_id,
        request.created_at if request.ready_at is None else request.ready_at,
        request.first_review_at,
        rule,
        bool(request.bot),
        tuple(own),
        request,
    )


def _first_commits(commits: Commits) -> dict[int, tuple[int, int, str]]:
    """For each commit of the line: author time and number of the first commit it brought, and the rule used.

    An author time after the merge comes from a wrong clock: the committer time stands in for it.
    """
    first: dict[int, tuple[int, int, str]] = {}
    authored, committed, ids = commits.authored, commits.committed, commits.ids
    for commit, tip in enumerate(commits.owner):
        if tip < 0:
            continue
        at, rule = _began(authored[commit], committed[commit], committed[tip])
        best = first.get(tip)
        # Of commits of one second the id decides: the answer must not depend on the order of reading.
        if best is None or at < best[0] or (at == best[0] and ids[commit] < ids[best[1]]):
            first[tip] = (at, commit, rule)
    return first


def _began(authored_at: int, committed_at: int, merged_at: int | None) -> tuple[int, str]:
    """When a commit was begun, and by which clock: nothing begins after it was merged."""
    if merged_at is None or authored_at <= merged_at:
        return authored_at, "graph"
    if committed_at <= merged_at:
        return committed_at, "graph, committer time"
    return merged_at, "graph, merge time"


def _first_of(
    commits: Commits, own: Iterable[int], merged_at: int | None, brought: tuple[int, int, str] | None
) -> tuple[int, int, str] | None:
    """The first commit of a request, as `_first_commits` gives it: of those it names and those its merge brought.

    A squash brought itself alone; the commits it was made of are known only by name.
    """
    found = [] if brought is None else [brought]
    if brought is not None and merged_at is not None and brought[0] > merged_at:
        found = [(merged_at, brought[1], "graph, merge time")]
    for commit in own:
        at, rule = _began(commits.authored[commit], commits.committed[commit], merged_at)
        found.append((at, commit, rule))
    if len(found) < 2:  # noqa: PLR2004 - as nearly always
        return found[0] if found else None
    return min(found, key=lambda f: (f[0], commits.ids[f[1]]))


def _rebased(commits: Commits, head: int, request: Request, named: Sequence[str]) -> list[int]:
    """The commits that a rebase merge put on the line below its head; none where it was no rebase.

    A rebase makes as many commits as the request had, and keeps their author times.
    """
    if not named:
        return [head] if commits.authored[head] == request.first_commit_at else []
    run = [head]
    while len(run) < len(named) and len(parents := commits.graph.parents[run[-1]]) == 1:
        run.append(parents[0])
    before = [commits.graph.number.get(n) for n in named]
    known = sorted(commits.authored[n] for n in before if n is not None)
    times = sorted(commits.authored[n] for n in run)
    same = known == times if len(known) == len(named) else times[0] == request.first_commit_at
    return run if len(run) == len(named) and same else []


def _reverts(commits: Commits) -> tuple[list[Revert], set[str]]:
    """The reverts of a repository, without reverts of reverts: to apply again undoes nothing that failed."""
    by_message, unresolved = _by_message(commits)
    undoing = {r.commit for r in by_message}
    by_tree = [r for r in _by_tree(commits) if r.commit not in undoing]
    undoing |= {r.commit for r in by_tree}
    kept = []
    for revert in (*by_message, *by_tree):
        undone = tuple(u for u in revert.undone if u not in undoing)
        if undone or not revert.undone:
            kept.append(Revert(revert.commit, undone, revert.how))
    return sorted(kept, key=lambda r: commits.ids[r.commit]), unresolved


def _by_message(commits: Commits) -> tuple[list[Revert], set[str]]:
    found, unresolved = [], set()
    for commit, text in enumerate(commits.reverts):
        if not text:
            continue
        undone = []
        for name in names(text):
            target = _named(commits, name)
            if target is None:
                unresolved.add(name)
            elif target != commit:
                undone.append(target)
        found.append(Revert(commit, tuple(undone), "revert (message)"))
    return found, unresolved


def _named(commits: Commits, name: str) -> int | None:
    """The commit of an id or its beginning; None where none or more than one fits."""
    exact = commits.graph.number.get(name)
    if exact is not None:
        return exact
    ordered = commits.ordered
    first = bisect_left(ordered, name)
    fitting = [sha for sha in ordered[first : first + 2] if sha.startswith(name)]
    return commits.graph.number[fitting[0]] if len(fitting) == 1 else None


def _by_tree(commits: Commits) -> Iterator[Revert]:
    """Commits of the line whose tree is that of an earlier one, not the one just below: what lies between is undone."""
    last: dict[str, int] = {}
    place: dict[int, int] = {}
    line: list[int] = []
    for commit in commits.graph.in_order(commits.on_line):
        tree = commits.trees[commit]
        parents = commits.graph.parents[commit]
        if not parents or parents[0] not in place:
            last, place, line = {}, {}, []  # another line begins here
        place[commit] = len(line)
        line.append(commit)
        if tree is None:
            continue
        before = last.get(tree)
        if before is not None and before < place[commit] - 1 and commits.trees[line[-2]] != tree:
            yield Revert(commit, tuple(line[before + 1 : -1]), "revert (tree)")
        last[tree] = place[commit]


def paths_of(commits: Commits, change: Merged) -> set[str] | None:
    """The paths a change touches: as its request says, else as its commits do; None where nobody knows."""
    if change.request is not None and change.request.paths is not None:
        return set(names(change.request.paths))
    brought = commits.brought.get(change.commit, []) if change.commit >= 0 else []
    told = [commits.paths[c] for c in {*change.own, *brought}]
    known = [text for text in told if text is not None]
    return {path for text in known for path in names(text)} if known else None


def names(text: str) -> list[str]:
    """The texts of a JSON list, as the store keeps tuples; empty text for none."""
    found: list[str] = msgspec.json.decode(text) if text else []
    return found
