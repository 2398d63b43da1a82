"""How long people waited for runners, summed by day. Pure. Times are integer microseconds since 1970 UTC.

Millions of jobs wait: what a repository's jobs waited on a day, for one team, is one sum with its longest waits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import NamedTuple

from collector.events import Result, RunKind, RunState
from slo_engine.observation import Reason

DAY = 86_400_000_000
MOST_EVIDENCE = 20


class Job(NamedTuple):
    """A run of a pipeline, or of one of its jobs, as the arithmetic needs it. `actor` is the person."""

    id: str
    source: str
    pipeline: str
    native_id: str
    parent_native_id: str | None
    run_kind: str
    state: str
    result: str | None
    created_at: int | None
    started_at: int | None
    finished_at: int | None
    actor: str | None
    bot: bool


class Whose(NamedTuple):
    """Who waited on which day (its number since 1970), and whose jobs."""

    day: int
    team: str
    source: str


@dataclass
class DaySum:
    """What jobs waited: `seconds` in which at least one of a run's jobs did, how many jobs, the longest ones first."""

    seconds: float = 0.0
    waits: list[tuple[int, str]] = field(default_factory=list)

    @property
    def jobs(self) -> int:
        """How many jobs waited."""
        return len(self.waits)

    @property
    def longest(self) -> tuple[str, ...]:
        """The ids of the jobs that waited longest."""
        return tuple(key for _, key in nlargest(MOST_EVIDENCE, self.waits))


@dataclass(frozen=True)
class CiWaits:
    """The waits of a repository by day, the jobs that were left out by day and reason, and those that still wait."""

    sums: dict[Whose, DaySum] = field(default_factory=lambda: defaultdict(DaySum))
    excluded: dict[tuple[Whose, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    pending: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))


def ci_waits(jobs: Sequence[Job], team_of: Callable[[str | None, int], str], *, bots: bool) -> CiWaits:
    """What people waited for the jobs of a repository.

    Of pipelines whose jobs are not known, the pipeline's own wait counts. Jobs of one run that wait side by side make
    people wait once. `team_of` says whose team somebody was in; `bots`: whether jobs count that a bot started.
    """
    found = CiWaits()
    for run in _runs(jobs):
        actor = next((j.actor for j in run if j.actor), None)
        waiting: list[tuple[int, int, str]] = []
        for job in _waiting(run):
            at = next((t for t in (job.started_at, job.finished_at, job.created_at) if t is not None), 0)
            whose = Whose(at // DAY, team_of(actor, at), job.source)
            reason = Reason.BOT if run[0].bot and not bots else _left_out(job)
            if reason:
                found.excluded[whose, reason].append(job.id)
            elif job.started_at is None:
                found.pending[whose.team, job.source].append((at, job.id))
            elif job.created_at is not None:
                waiting.append((job.created_at, job.started_at, job.id))
                found.sums[whose].waits.append((job.started_at - job.created_at, job.id))
        for start, end in union((s, e) for s, e, _ in waiting):
            found.sums[Whose(end // DAY, team_of(actor, end), run[0].source)].seconds += (end - start) / 1e6
    return found


def _runs(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """The runs, each with its jobs behind it; jobs that do not say whose they are stand alone."""
    runs: dict[tuple[str, str], list[Job]] = {}
    loose: list[Job] = []
    for job in sorted(jobs, key=lambda j: (j.run_kind != RunKind.PIPELINE, j.id)):
        parent = job.native_id if job.run_kind == RunKind.PIPELINE else job.parent_native_id
        if parent is None:
            loose.append(job)
        else:
            runs.setdefault((job.source, parent), []).append(job)
    # Jobs that do not say whose they are wait beside their pipeline's runs: those would be counted twice.
    told = {(j.source, j.pipeline) for j in loose}
    for run in runs.values():
        if len(run) > 1 or (run[0].source, run[0].pipeline) not in told or run[0].run_kind == RunKind.TASK:
            yield run
    yield from ([job] for job in loose)


def _waiting(run: Sequence[Job]) -> Iterable[Job]:
    """What of a run waits: its jobs, or itself where none is known."""
    tasks = [j for j in run if j.run_kind == RunKind.TASK]
    return tasks or run


def _left_out(job: Job) -> str:
    """Why nobody can say how long a job waited; empty where it has waited, or still does."""
    if job.result == Result.SKIP:
        return Reason.SKIPPED
    if job.result == Result.CANCELLATION and job.started_at is None:
        return Reason.CANCELLED
    if job.started_at is None and job.state != RunState.COMPLETED:
        return ""
    # A start before the creation comes from a wrong clock: how long the wait was is not known, and never negative.
    known = job.created_at is not None and job.started_at is not None and job.started_at >= job.created_at
    return "" if known else Reason.MISSING_TIME


def union(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of time joined where they meet, in order."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
