"""Which deployments failed, how they recovered, and which were unplanned. Pure.

definitions.md §2, the rows of fail rate, recovery and rework. A deployment fails once, however many the causes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from slo_engine.graph import SHIPPED_BEFORE
from slo_engine.incidents import Attribution, Settled
from slo_engine.shipping import Chain, Release

_FIRST_OF_RULES = ("named", "linked", "window", "rollback", "revert (message)", "revert (tree)", "hotfix")


class Cause(NamedTuple):
    """Why a deployment failed, or was unplanned: the rule, and the event that tells."""

    rule: str
    evidence: str


@dataclass
class Verdict:
    """What is known of a successful deployment's fate."""

    failures: set[Cause] = field(default_factory=set)
    rework: set[Cause] = field(default_factory=set)
    restored: list[int | None] = field(default_factory=list)
    """When each of its incidents was resolved; None while one is open."""
    remedies: list[Release] = field(default_factory=list)
    """The deployments that put it right."""

    @property
    def recovered_at(self) -> int | None:
        """When its last incident was resolved; without incidents, when the first remedy was deployed."""
        if self.restored:
            return None if None in self.restored else max(r for r in self.restored if r is not None)
        return min((r.at for r in self.remedies), default=None)


def rule_of(causes: set[Cause]) -> str:
    """The first of the rules by which a deployment was judged, in the order of the definition."""
    return min((c.rule for c in causes), key=_FIRST_OF_RULES.index, default="")


def judge(chains: Sequence[Chain], attribution: Attribution) -> dict[str, Verdict]:
    """The verdicts on successful deployments by id; one that is absent neither failed nor was unplanned."""
    found: dict[str, Verdict] = defaultdict(Verdict)
    for hit in attribution.causes:
        verdict = found[hit.release.id]
        verdict.failures.add(Cause(hit.rule, hit.incident.id))
        verdict.restored.append(hit.incident.restored_at)
    for hit in attribution.remedies:
        found[hit.release.id].rework.add(Cause("remedy", hit.incident.id))
    for chain in chains:
        for failed, remedy, cause in _undone(chain):
            if failed is not None:
                found[failed.id].failures.add(cause)
                if remedy is not None:
                    found[failed.id].remedies.append(remedy)
            if remedy is not None:
                # The remedy's own evidence is what it put right.
                found[remedy.id].rework.add(cause if failed is None else cause._replace(evidence=failed.id))
    return dict(found)


def _undone(chain: Chain) -> Iterator[tuple[Release | None, Release | None, Cause]]:
    """Of a chain: the deployment that failed, the one that put it right, and how that is known."""
    for index in sorted(chain.rollbacks):
        release = chain.releases[index]
        yield _previous(chain, index), release, Cause("rollback", release.id)
    yield from _reverted(chain)
    for index in sorted(chain.hotfixes):
        release = chain.releases[index]
        yield _previous(chain, index), release, Cause("hotfix", release.id)


def _previous(chain: Chain, index: int) -> Release | None:
    if index == 0 and chain.start is not None:
        raise Settled
    return chain.before(index)


def _reverted(chain: Chain) -> Iterator[tuple[Release | None, Release | None, Cause]]:
    """Reverts of what an earlier deployment shipped: in a later deployment, or merged and not yet deployed."""
    first, owner, ids = chain.first, chain.commits.owner, chain.commits.ids
    for revert in chain.history.reverts:
        if chain.own is not None and revert.commit not in chain.own:
            continue  # another service's part of a shared repository
        index = first[revert.commit]
        if index == SHIPPED_BEFORE or (index == -1 and owner[revert.commit] < 0):  # settled, or never merged
            continue
        remedy = chain.releases[index] if index >= 0 else None
        cause = Cause(revert.how, ids[revert.commit])
        if not revert.undone:  # of something nobody knows: unplanned work all the same
            yield None, remedy, cause
        for undone in sorted({first[u] for u in revert.undone}):
            if undone == SHIPPED_BEFORE:
                raise Settled
            if undone < 0 or undone == index:
                continue  # what it undoes never reached anybody
            # What shipped with the horizon's deployment, or on an unknown base, may have shipped long before.
            sure = undone not in chain.blind and (undone > 0 or chain.start is not None)
            yield (chain.releases[undone] if sure else None), remedy, cause
