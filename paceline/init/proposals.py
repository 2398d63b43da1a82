"""What could count as a deployment, and as an incident: each proposal with what it matches, the best one first.

Nothing is guessed: a proposal is made of what was found, and the order says which evidence is the more direct. A
system's own deployments to production come first, then releases that people made, then runs that only sound like one,
and last each commit on the default branch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collector.sources.git import TagRule
from paceline.doctor import Diagnosis
from paceline.init.forges import KINDS
from paceline.init.repositories import App, RepositoryFound, named_by

PUBLISHED = "published releases"
"""The environment that published releases go to while they are only looked at."""
_PRODUCTION = re.compile(r"(.*[-_/ ])?(production|prod|live)([-_/ ].*)?", re.IGNORECASE)
_NO_PRODUCTION = re.compile(
    r"(.*[-_/ ])?(no|non|not|pre|like|preview|test|staging|stage|dev|sandbox|demo)([-_/ ].*)?", re.IGNORECASE
)
"""Words that say of a name with `prod` in it that it is something else: `non-prod`, `prod-like`."""
_LOOKALIKE = re.compile(
    r"(?P<repository>[^:]*): (?P<pipeline>.*?)(?: / (?P<job>.*?))?(?: \((?P<environment>[^()]*)\))?"
)
_SHOWN = 3
_SHOWN_APPS = 10


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One way to tell what was deployed. `text`: what it is and what it matches; `reason`: why it may be right.

    `forge` and `repository` are settings of these sources. `by_app`: the repository's for each app of a monorepo.
    """

    text: str
    reason: str
    forge: Mapping[str, Any] = field(default_factory=dict)
    repository: Mapping[str, Any] = field(default_factory=dict)
    by_app: Mapping[App, Mapping[str, Any]] = field(default_factory=dict)
    production: tuple[str, ...] = ()


NOTHING = Proposal(
    text="nothing counts as a deployment yet",
    reason="lead time, frequency and fail rate have no value until `deployments` says what deploys",
)


def deployment_proposals(
    repository: RepositoryFound | None, looked: Diagnosis | None, days: int
) -> tuple[Proposal, ...]:
    """The proposals for a repository, for what its forge reported in the last days, or for both; the best first."""
    span = f"in the last {days} days"
    found: list[Proposal] = []
    if looked is not None:
        found += _own(looked, span)
    if repository is not None:
        found += _tags(repository)
    elif looked is not None:
        found += _published(looked, span)
    if looked is not None:
        found += _sounding(looked, span)
    if repository is not None:
        found += _branch(repository, span)
    return (*found, NOTHING)


def _own(looked: Diagnosis, span: str) -> Iterator[Proposal]:
    """Deployments that the system itself knows; production is an environment whose name says so."""
    counts = {e: n for e, n in looked.environments.items() if e != PUBLISHED}
    production = tuple(e for e in counts if _PRODUCTION.fullmatch(e) and not _NO_PRODUCTION.fullmatch(e))
    if production:
        took = " · ".join(f"environment {e}: {counts[e]} deployments" for e in production)
        rest = ", ".join(f"{e} ({n})" for e, n in counts.items() if e not in production)
        beside = f"; not production: {rest}" if rest else ""
        yield Proposal(
            text=f"{KINDS[looked.type].system}'s own deployments: {took} {span}{beside}",
            reason="the system itself recorded them, with environment and outcome",
            forge={"own_deployments": True},
            production=production,
        )


def _tags(found: RepositoryFound) -> Iterator[Proposal]:
    """Release tags: of each app where these have tags of their own, else of the repository as a whole."""
    others = _left_out(found.other_tags)
    by_name: dict[str, list[str]] = {a.name: [] for a in found.apps}
    rest = [t for t in found.releases if named_by(t) not in by_name]
    for tag in found.releases:
        by_name.get(named_by(tag), []).append(tag)
    own = {a: by_name[a.name] for a in found.apps}
    if any(own.values()):
        took = _some([f"{a.name}: {len(tags)} match, last {tags[-1]}" for a, tags in own.items() if tags], " · ")
        silent = [a.name for a, tags in own.items() if not tags]
        without = f"; none of {_some(silent, ', ')}" if silent else ""
        yield Proposal(
            text=f"release tags of each app: {took}{_left_out((*rest, *found.other_tags))}{without}",
            reason="a release tag was set by whoever released, and names the app",
            by_app={a: _tag_rule(a.release_tag) for a, tags in own.items() if tags},
        )
    if found.releases:
        rule = _tag_rule()
        yield Proposal(
            text=f"release tags: {len(found.releases)} match, last {found.releases[-1]}{others}",
            reason="a release tag was set by whoever released",
            repository=rule,
            by_app=dict.fromkeys(found.apps, rule),
        )


def _some(names: Sequence[str], between: str) -> str:
    """The first of many, and how many more there are."""
    more = f"{between}{len(names) - _SHOWN_APPS} more" if len(names) > _SHOWN_APPS else ""
    return between.join(names[:_SHOWN_APPS]) + more


def _tag_rule(pattern: str = "") -> Mapping[str, Any]:
    rule = TagRule(rule="tags", pattern=pattern) if pattern else TagRule(rule="tags")
    return {"deployments": rule.model_dump(exclude_unset=True)}


def _left_out(tags: Sequence[str]) -> str:
    """What no rule takes, the newest first."""
    if not tags:
        return ""
    shown = ", ".join(reversed(tags[-_SHOWN:]))
    return f"; {len(tags)} {'does' if len(tags) == 1 else 'do'} not: {shown}{', …' if len(tags) > _SHOWN else ''}"


def _published(looked: Diagnosis, span: str) -> Iterator[Proposal]:
    count = looked.environments.get(PUBLISHED, 0)
    releases = KINDS[looked.type].releases
    if count and releases is not None:
        yield Proposal(
            text=f"published releases: {count} {span}",
            reason="a release was published by whoever released; a pre-release is none",
            forge={"releases": releases("production")},
        )


def _sounding(looked: Diagnosis, span: str) -> Iterator[Proposal]:
    """Runs and jobs whose names sound like deploying and that no rule took, by name over all repositories."""
    counts: Counter[tuple[str, str]] = Counter()
    for name, runs in looked.lookalikes:
        if (found := _LOOKALIKE.fullmatch(name)) is not None:
            counts["job" if found["job"] else "pipeline", found["job"] or found["pipeline"]] += runs
    for (kind, name), runs in counts.most_common(_SHOWN):
        yield Proposal(
            text=f"{kind} {name}: {runs} of {looked.finished_runs} finished runs and jobs {span}",
            reason="its name sounds like deploying, and nothing more direct was found",
            forge={"deployments": [{kind: exactly(name), "to": "production"}]},
        )


def _branch(found: RepositoryFound, span: str) -> Iterator[Proposal]:
    if found.branch:
        rule = {"deployments": {"rule": "branch"}}
        yield Proposal(
            text=f"each commit on {found.branch}: {found.commits} {span}",
            reason="only right where every merge is deployed at once; nothing else in the repository tells of releases",
            repository=rule,
            by_app=dict.fromkeys(found.apps, rule),
        )


def exactly(name: str) -> str:
    """A rule that fits this name alone, also where the name reads as a glob or as an expression."""
    return f"/{re.escape(name)}/" if name.startswith("/") or re.search(r"[*?\[]", name) else name


@dataclass(frozen=True, kw_only=True)
class IncidentProposal:
    """Labels of issues that could mean incidents. `text` says how many issues carry each, or why there is none."""

    labels: tuple[str, ...]
    text: str


def incident_proposal(labels: Sequence[str], looked: Diagnosis, days: int) -> IncidentProposal:
    """What labels propose that sound like incidents, with how many issues carry each."""
    if not labels:
        return IncidentProposal(labels=(), text="no label of issues sounds like an incident")
    counts = " · ".join(f"labelled {label}: {looked.incidents.get(label, 0)}" for label in labels)
    return IncidentProposal(labels=tuple(labels), text=f"issues {counts} in the last {days} days")
