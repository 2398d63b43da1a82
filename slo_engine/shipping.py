"""Which change shipped in which deployment, and which deployments are rollbacks. Pure.

definitions.md §2 "Which change shipped where": decided once, from all known events. A chain is what one service
deployed to one environment from one repository, successes only, in order of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from collector.patterns import any_matches
from slo_engine.changes import Commits, History, Merged, names
from slo_engine.graph import SHIPPED_BEFORE
from slo_engine.observation import Reason
from slo_engine.organisation import DeliveryRules


class Release(NamedTuple):
    """A deployment as the arithmetic needs it; ordered by time, then by id, so that ties have one order."""

    at: int
    id: str
    source: str
    native_id: str
    service: str
    environment: str
    repository: str | None
    sha: str | None
    result: str
    started_at: int | None
    version: str | None
    artifact: str | None
    ref: str | None
    change_shas: str
    rolled_back: bool
    labels: str
    links: str
    url: str | None


RELEASE_COLUMNS = ("finished_at", *Release._fields[1:])


class Shipment(NamedTuple):
    """What became of a change in a chain: the number of the deployment that shipped it (-1: none), how, or why not."""

    change: Merged
    by: int
    rule: str
    reason: Reason | None


@dataclass(frozen=True)
class Start:
    """What a chain begins with where its past is settled: its horizon, its last deployment, what had shipped."""

    horizon: int
    last: Release
    last_known: bool
    """Whether the last deployment's commit, or its list of changes, is known: else the next has no base."""
    graph: bool = True
    """Whether commits of the repository are known at all."""
    shipped: frozenset[str] = frozenset()
    """Ids of commits that are known here and had shipped before."""
    seen: frozenset[str] = frozenset()
    """Ids of settled commits that are deployed again here: they are known to bring nothing new."""


@dataclass(frozen=True)
class Chain:
    """The successful deployments of a service to an environment from a repository, with what they shipped."""

    releases: Sequence[Release]
    history: History
    start: Start | None = None
    own: frozenset[int] | None = None
    """In a shared repository the commits that are the service's own; None where all are."""
    rules: DeliveryRules = field(default_factory=DeliveryRules, repr=False)

    @property
    def commits(self) -> Commits:
        """The repository's commits."""
        return self.history.commits

    @property
    def horizon(self) -> int:
        """When the chain's first known deployment finished."""
        return self.start.horizon if self.start else self.releases[0].at

    @cached_property
    def roots(self) -> list[tuple[int, ...]]:
        """For each deployment the commits that it is known to contain: its own, else those of the provider's list."""
        number = self.commits.graph.number
        found: list[tuple[int, ...]] = []
        for release in self.releases:
            own = number.get(release.sha) if release.sha else None
            if own is not None:
                found.append((own,))
            else:
                found.append(tuple([number[s] for s in names(release.change_shas) if s in number]))
        return found

    @cached_property
    def first(self) -> list[int]:
        """For each commit the index of the first deployment that contains it; -1: none, or SHIPPED_BEFORE."""
        before = () if self.start is None else self.start.shipped
        return self.commits.graph.shipped_in(self.roots, [self.commits.graph.number[s] for s in before])

    @cached_property
    def blind(self) -> set[int]:
        """The deployments after one whose content nobody knows: they contain an unknown part of what is new."""
        unknown = [not roots and not self._listed(i) for i, roots in enumerate(self.roots)]
        before = [False if self.start is None else not self.start.last_known, *unknown]
        return {i for i, roots in enumerate(self.roots) if roots and before[i]}

    def known(self, index: int) -> bool:
        """Whether it is known what a deployment contains."""
        return bool(self.roots[index]) or self._listed(index)

    def _listed(self, index: int) -> bool:
        release = self.releases[index]
        return bool(release.change_shas) or (self.start is not None and release.sha in self.start.seen)

    @cached_property
    def shipments(self) -> Sequence[Shipment]:
        """Every change of the repository, judged once."""
        graph = self.start.graph if self.start else bool(self.commits.ids)
        judge = _by_graph if graph else _by_list_or_time
        return list(judge(self))

    @cached_property
    def asked(self) -> Sequence[Shipment]:
        """Of the shipments those of requests."""
        return [s for s in self.shipments if s.change.request is not None]

    @cached_property
    def compared(self) -> Mapping[str, int]:
        """For each commit id in the providers' lists the first deployment that names it."""
        found: dict[str, int] = {}
        for index, release in enumerate(self.releases):
            for sha in names(release.change_shas):
                found.setdefault(sha, index)
        return found

    def before(self, index: int) -> Release | None:
        """The deployment before one."""
        if index > 0:
            return self.releases[index - 1]
        return self.start.last if self.start else None

    @cached_property
    def rollbacks(self) -> set[int]:
        """The deployments that went back: they say so, or their commit is an ancestor of the one before."""
        return {i for i, release in enumerate(self.releases) if release.rolled_back or self._went_back(i, release)}

    @cached_property
    def hotfixes(self) -> set[int]:
        """The deployments that shipped a hotfix, or say that they are one."""
        rules, requests = self.rules, self.history.hotfixes(self.rules)
        found = {i for i, release in enumerate(self.releases) if _is_hotfix(release, rules)}
        found -= self.redeployments  # a hotfix deployed again fixes nothing more
        if requests:
            placed = (s for s in self.shipments if s.by >= 0 and s.reason is None)
            found |= {s.by for s in placed if s.change.id in requests}
        return found

    @cached_property
    def redeployments(self) -> set[int]:
        """The deployments of what was deployed already just before."""
        same = set()
        for index, release in enumerate(self.releases):
            before = self.before(index)
            if (
                before is not None
                and not release.rolled_back
                and _content(release)
                and _content(release) == _content(before)
            ):
                same.add(index)
        return same

    def _went_back(self, index: int, release: Release) -> bool:
        number, before = self.commits.graph.number, self.before(index)
        commit = number.get(release.sha) if release.sha else None
        tip = number.get(before.sha) if before is not None and before.sha else None
        if commit is None or tip is None or commit == tip or self.first[commit] == index:
            return False  # what it ships first cannot have been in the one before
        return self.commits.graph.is_ancestor(commit, tip, self.first)


def _is_hotfix(release: Release, rules: DeliveryRules) -> bool:
    ref = (release.ref or "").removeprefix("refs/heads/").removeprefix("refs/tags/")
    tags = (ref, release.version or "")
    return (
        any_matches(rules.hotfix_branches, ref)
        or (bool(rules.hotfix_tags) and any(any_matches(rules.hotfix_tags, tag) for tag in tags))
        or (bool(release.labels) and any(any_matches(rules.hotfix_labels, label) for label in names(release.labels)))
    )


def _content(release: Release) -> str | None:
    return release.sha or release.artifact or release.version


def _by_graph(chain: Chain) -> Iterable[Shipment]:
    first, blind, horizon, opens = chain.first, chain.blind, chain.horizon, chain.start is None
    unknown = {i for i, release in enumerate(chain.releases) if release.sha not in chain.commits.graph.number}
    for change in chain.history.changes:
        index, rule = (first[change.commit] if change.commit >= 0 else -1), change.rule
        if index == SHIPPED_BEFORE:
            continue  # judged when it shipped
        if index < 0 and change.commit < 0 and chain.compared and change.request is not None:
            index, rule = _listed_in(chain, change), "compare"
        elif index in unknown:
            rule = rule.replace("graph", "compare", 1)
        yield Shipment(change, index, rule, _reason(change, index, horizon, blind, opens=opens))


def _reason(change: Merged, index: int, horizon: int, blind: set[int], *, opens: bool) -> Reason | None:
    if change.merged_at is None:
        return Reason.MISSING_TIME
    if change.merged_at < horizon or (opens and index == 0):
        return Reason.BEFORE_HORIZON
    if change.commit < 0 and index < 0:
        return Reason.UNKNOWN_COMMIT
    return Reason.UNKNOWN_BASE if index in blind else None


def _by_list_or_time(chain: Chain) -> Iterable[Shipment]:
    """Without a graph: by the provider's lists where it makes any, else the first deployment after the merge."""
    for change in chain.history.changes:
        if chain.compared:
            index, rule = _listed_in(chain, change), "compare"
        else:
            index, rule = _after_merge(chain, change), "time"
        if change.merged_at is None:
            yield Shipment(change, index, rule, Reason.MISSING_TIME)
        elif change.merged_at < chain.horizon or (index == 0 and chain.start is None):
            yield Shipment(change, index, rule, Reason.BEFORE_HORIZON)
        else:
            yield Shipment(change, index, rule, None)


def _listed_in(chain: Chain, change: Merged) -> int:
    request = change.request
    if request is None:
        return -1
    shas = (request.merge_sha, request.head_sha, *request.commits)
    return min((chain.compared[s] for s in shas if s is not None and s in chain.compared), default=-1)


def _after_merge(chain: Chain, change: Merged) -> int:
    """The first deployment that began after the merge, from the branch it was merged to; -1 for none."""
    merged_at, branch = change.merged_at, change.request.target_branch if change.request else None
    if merged_at is None:
        return -1
    for index, release in enumerate(chain.releases):
        began = release.at if release.started_at is None else release.started_at
        if began >= merged_at and (not release.ref or not branch or _branch(release.ref) == branch):
            return index
    return -1


def _branch(ref: str) -> str:
    return ref.removeprefix("refs/heads/")
