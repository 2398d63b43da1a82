"""A whole history against plain Git: what ships where, and the medians, computed twice by different means.

PACELINE_TEST_REPOSITORY may name a local repository with release tags; without it one is made.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from collector.events import Commit, Deployment
from collector.people import People
from collector.run import Runner
from collector.source import SourceContext
from collector.sources.git import GitConfig
from collector.store import Database, DerivationStore, EventStore, ObservationRow, ObservationStore
from slo_engine.derive import derive
from slo_engine.indicators import delivery

NOW = datetime(2026, 3, 2, tzinfo=UTC)
RELEASE = r"([a-z_]+[-_/])?v?\d+(\.\d+)+"
SAMPLE = 150


@dataclass(frozen=True)
class Change:
    """A measured change: its commit, the commit and time (s) of its deployment, lead and delivery time (s)."""

    sha: str
    deployed_sha: str
    deployed_at: int
    lead: float | None
    delivery: float | None


@dataclass(frozen=True)
class PlainGit:
    """The same questions asked of git itself."""

    path: Path

    def lines(self, *arguments: str) -> list[str]:
        """The lines of a git command."""
        command = ["git", "--no-replace-objects", "-C", str(self.path), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    @cached_property
    def tag_times(self) -> dict[str, int]:
        """When each release tag was made."""
        listed = self.lines("for-each-ref", "--format=%(creatordate:unix) %(refname:strip=2)", "refs/tags")
        pairs = (line.split(" ") for line in listed)
        return {name: int(at) for at, name in pairs if re.fullmatch(RELEASE, name)}

    @cached_property
    def commit_times(self) -> dict[str, tuple[int, int]]:
        """Author and committer time of every commit of HEAD."""
        listed = (line.split(" ") for line in self.lines("log", "--format=%H %at %ct", "HEAD"))
        return {sha: (int(authored), int(committed)) for sha, authored, committed in listed}

    def shipped(self) -> dict[str, int]:
        """For each commit the number of the release that shipped it: `git rev-list tag ^all-earlier-tags`."""
        found: dict[str, int] = {}
        tags = sorted(self.tag_times, key=lambda name: self.tag_times[name])
        for n, tag in enumerate(tags):
            earlier = [f"^{t}^{{commit}}" for t in tags[:n]]
            found |= dict.fromkeys(self.lines("rev-list", f"{tag}^{{commit}}", *earlier), n)
        return found

    def measured(self) -> dict[str, tuple[float | None, float | None]]:
        """Lead and delivery time of each change of the default branch that shipped after the first release."""
        times = sorted(self.tag_times.values())
        shipped = self.shipped()
        found: dict[str, tuple[float | None, float | None]] = {}
        for line in self.lines("rev-list", "--first-parent", "--parents", "HEAD"):
            sha, *parents = line.split(" ")
            merged_at = self.commit_times[sha][1]
            if shipped.get(sha, 0) == 0 or merged_at < times[0]:
                continue
            brought = self.lines("rev-list", sha, f"^{parents[0]}") if len(parents) > 1 else [sha]
            starts = (self.commit_times[b] for b in brought)
            first = min(authored if authored <= merged_at else committed for authored, committed in starts)
            at = times[shipped[sha]]
            found[sha] = (at - first if first <= at else None, at - merged_at if merged_at <= at else None)
        return found


def median_of(values: Iterator[float | None]) -> float:
    """The median of what is known."""
    return statistics.median([v for v in values if v is not None])


def written(repository: Any) -> None:
    """A history of 60 merged branches, six releases from main and six from a second line, in one import."""
    lines: list[str] = []

    def commit(ref: str, mark: int, at: int, *parents: int, authored: int | None = None) -> None:
        start = 1_767_225_600
        lines.extend([f"commit {ref}", f"mark :{mark}"])
        lines.append(f"author A <a@x.example> {start + (at if authored is None else authored) * 3600} +0000")
        lines.extend([f"committer C <c@x.example> {start + at * 3600} +0000", "data 1", "x"])
        lines.extend(f"{'merge' if n else 'from'} :{p}" for n, p in enumerate(parents))

    commit("refs/heads/main", 1, 0)
    tip, second_line = 1, 0
    for n in range(1, 61):
        work, more, merge, release = (n * 10 + i for i in range(1, 5))
        commit(f"refs/heads/feature-{n}", work, n * 10 - 7 - n % 3, tip)
        wrong_clock = 99_999 if n % 20 == 7 else None
        commit(f"refs/heads/feature-{n}", more, n * 10 - 3, work, authored=wrong_clock)
        commit("refs/heads/main", merge, n * 10 + n % 4, tip, more)
        tip = merge
        if n % 10 == 0:
            commit("refs/heads/maintenance", release, n * 10 + 4, *([second_line] if second_line else []), merge)
            second_line = release
        if n % 5 == 0:
            tagged = release if n % 10 == 0 else merge
            lines.extend([f"tag v{n % 10 // 5 + 1}.{n}.0", f"from :{tagged}"])
            lines.extend([f"tagger T <t@x.example> {1_767_225_600 + (n * 10 + 5 + n % 7) * 3600} +0000", "data 1", "x"])
    repository.git("fast-import", "--quiet", stdin="\n".join([*lines, ""]).encode())


@pytest.fixture(scope="module")
def plain(repository_at: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> PlainGit:
    """The repository that is asked for, or the made one."""
    asked = os.environ.get("PACELINE_TEST_REPOSITORY")
    if asked:
        return PlainGit(Path(asked))
    made = repository_at(tmp_path_factory.mktemp("synthetic") / "shop")
    written(made)
    return PlainGit(made.path)


@pytest.fixture(scope="module")
def changes(plain: PlainGit, tmp_path_factory: pytest.TempPathFactory) -> list[Change]:
    """The measured changes after an import into a store and a derivation."""
    folder = tmp_path_factory.mktemp("service")
    context = SourceContext(data_dir=folder, base_dir=folder, people=People(b"k" * 32), clock=lambda: NOW)
    settings = {"name": "git", "type": "git", "repository": str(plain.path)}
    config = GitConfig.model_validate({**settings, "deployments": {"rule": "tags", "pattern": RELEASE}})
    database = Database.open(folder)
    events, observations = EventStore(database), ObservationStore(database)
    outcome = Runner(database, events, lambda: NOW).run("git", config.build(context))
    assert outcome.error is None
    derive([delivery.FAMILY], events, DerivationStore(database))
    series = list(observations.series("change_lead_time"))
    rows = [ObservationRow(*r) for r in observations.window(series, -(2**62), 2**62, *ObservationRow._fields)]
    measured = [r for r in rows if r.outcome == "measured"]
    shas = {i: e.sha for i, e in events.find([r.unit for r in measured]).items() if isinstance(e, Commit)}
    deployments = {d.id: d for d in events.events(Deployment)}
    found = []
    for row in measured:
        deployment = deployments[row.evidence.strip('["]').partition('"')[0]]
        at = int(deployment.finished_at.timestamp())
        found.append(Change(shas[row.unit], deployment.sha or "", at, row.value, row.part_4))
    database.close()
    return found


def test_each_change_ships_in_the_earliest_release_that_contains_it(plain: PlainGit, changes: list[Change]) -> None:
    """Of the releases that `git tag --contains` lists for a change, the earliest is the deployment that was found."""
    sample = changes[:: max(1, len(changes) // SAMPLE)]
    for change in sample:
        containing = [t for t in plain.lines("tag", "--contains", change.sha) if t in plain.tag_times]
        earliest = min(plain.tag_times[t] for t in containing)
        names = [f"{t}^{{commit}}" for t in containing if plain.tag_times[t] == earliest]

        assert change.deployed_sha in plain.lines("rev-parse", *names), change
        assert change.deployed_at == earliest, change


def test_medians_are_those_of_plain_git(plain: PlainGit, changes: list[Change]) -> None:
    """Lead and delivery time of every change, and so their medians, equal those computed from `git rev-list`."""
    expected = plain.measured()
    found = {c.sha: (c.lead, c.delivery) for c in changes}
    medians = [median_of(v[i] for v in found.values()) for i in (0, 1)]
    sys.stdout.write(f"{len(found)} changes, median lead {medians[0]:.0f} s, median delivery {medians[1]:.0f} s\n")

    assert len(found) >= 50
    assert found == expected
    assert medians == [median_of(v[i] for v in expected.values()) for i in (0, 1)]
