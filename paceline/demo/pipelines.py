"""Runs of pipelines with their jobs: how long they wait and take, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from collector.events import Event, PipelineRun, Result, RunKind, RunState
from paceline.demo.organisation import Product
from paceline.demo.period import MINUTE, happens, moment
from paceline.demo.trouble import Outage

FORGE = "forge"
_FAILS = 0.11
CHECK, DELIVER = ("build", "test"), ("build", "test", "deploy")
"""The jobs of a check, and of a delivery."""


class Run(NamedTuple):
    """A run of a pipeline: for what, by whom and from when on."""

    native_id: str
    repository: str
    pipeline: str
    sha: str
    ref: str
    actor: str
    created: int
    result: Result
    jobs: tuple[str, ...]
    environment: str | None = None


def pipeline_name(kind: str, product: Product) -> str:
    """What a pipeline is called: in a shared repository each service has its own."""
    return f"{kind}-{product.name}" if product.folder else kind


def ending(dice: Random, created: int, outage: Outage) -> Result:
    """How a check ends: within the outage nothing succeeds."""
    if outage.start - 5 * MINUTE < created < outage.end:
        return Result.ERROR
    return Result.FAILURE if happens(dice, _FAILS) else Result.SUCCESS


def run_events(run: Run, dice: Random) -> Iterator[Event]:
    """The run and its jobs, one after the other; the last one decides how it ended."""
    at = run.created
    for number, job in enumerate(run.jobs, 1):
        started = at + 2 + int(dice.lognormvariate(3.0, 0.9))
        finished = started + int(dice.lognormvariate(5.0, 0.5))
        result = run.result if number == len(run.jobs) else Result.SUCCESS
        yield _event(run, f"{run.native_id}/{job}", job, (at, started, finished), result)
        at = finished
    yield _event(run, run.native_id, None, (run.created, run.created + 2, at), run.result)


def _event(run: Run, native_id: str, job: str | None, times: tuple[int, int, int], result: Result) -> PipelineRun:
    created, started, finished = map(moment, times)
    return PipelineRun(
        source=FORGE,
        native_id=native_id,
        repository=run.repository,
        pipeline=run.pipeline,
        state=RunState.COMPLETED,
        run_kind=RunKind.TASK if job else RunKind.PIPELINE,
        task=job,
        parent_native_id=run.native_id if job else None,
        result=result,
        created_at=created,
        started_at=started,
        finished_at=finished,
        sha=run.sha,
        ref=run.ref,
        environment=run.environment if job in (None, "deploy") else None,
        actor=run.actor,
    )
