"""Pipelines: how long jobs wait for a runner, and how many runs succeed. Pure.

Each run is judged by itself, and what it waits for is known from the runs of its own repository: so a repository
can be derived alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from collector.events import PipelineRun, Result, RunKind, RunState
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Shape
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros
from slo_engine.organisation import Organisation

PIPELINE_WAIT = Indicator(
    name="pipeline_wait",
    version="1",
    title="Pipeline wait",
    definition=(
        "Time from the creation of a job to its start, for the jobs started in the window; "
        "of pipelines whose jobs are not known, the pipeline's own."
    ),
    shape=Shape.DURATION,
    metric="platform_pipeline_wait",
)
PIPELINE_SUCCESS = Indicator(
    name="pipeline_success",
    version="1",
    title="Pipeline success",
    definition=(
        "Share of the pipeline runs finished in the window that succeeded; failed, broken and timed-out ones did not, "
        "cancelled and skipped ones do not count."
    ),
    shape=Shape.RATIO,
    metric="platform_pipeline_success",
)

_OUTCOMES: Mapping[str, tuple[Outcome, str]] = {
    Result.SUCCESS: (Outcome.GOOD, ""),
    Result.FAILURE: (Outcome.BAD, ""),
    Result.ERROR: (Outcome.BAD, ""),
    Result.TIMEOUT: (Outcome.BAD, ""),
    Result.CANCELLATION: (Outcome.EXCLUDED, Reason.CANCELLED),
    Result.SKIP: (Outcome.EXCLUDED, Reason.SKIPPED),
}
_UNDATED = 0
"""When a run without any time is: in no window that is published, but kept, counted and listed in the longest one."""


class _Run(NamedTuple):
    """A run as the arithmetic needs it. Times in microseconds."""

    repository: str
    pipeline: str
    id: str
    source: str
    native_id: str
    parent_native_id: str | None
    run_kind: str
    state: str
    result: str | None
    created_at: int | None
    started_at: int | None
    finished_at: int | None
    updated_at: int | None

    def at(self, *preferred: int | None) -> int:
        """The first time that is known: of the preferred ones, else of its creation, else of its last report."""
        times = (*preferred, self.created_at, self.updated_at)
        return next((t for t in times if t is not None), _UNDATED)


COLUMNS = _Run._fields
"""The columns of a run that `observe_runs` reads, in its order."""


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of both indicators, one repository after the other."""
    for repository in events.distinct(PipelineRun, "repository"):
        rows = events.columns(PipelineRun, *COLUMNS, repository=repository)
        yield from observe_runs(rows, organisation)


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The repositories with new runs, each as a whole."""
    touched = _touched(events, asked) if asked.only is None else asked.only
    for repository in sorted(touched - set(asked.derived)):
        rows = events.columns(PipelineRun, *COLUMNS, repository=repository)
        yield Piece(repository, observe_runs(rows, organisation))


def _touched(events: Events, asked: Asked) -> set[str]:
    if asked.since is None:
        return {*events.distinct(PipelineRun, "repository"), *asked.known}
    revision = asked.since["pipeline_run"]
    return {
        *events.distinct(PipelineRun, "repository", revision),
        *(set(events.moved(PipelineRun, revision)) & set(asked.known)),
    }


def scopes(events: Events, organisation: Organisation) -> list[str]:
    """The repositories that have runs."""
    del organisation
    return events.distinct(PipelineRun, "repository")


def observe_runs(rows: Iterable[tuple[Any, ...]], organisation: Organisation) -> Iterator[Observation]:
    """The observations of one repository's runs, given as rows of COLUMNS, each run once."""
    runs = list(map(_Run._make, rows))
    tasks = [r for r in runs if r.run_kind == RunKind.TASK]
    split = {(r.source, r.parent_native_id) for r in tasks}
    # Tasks that do not say whose they are wait beside their pipeline's runs: those would be counted twice.
    loose = {(r.source, r.pipeline) for r in tasks if r.parent_native_id is None}

    @cache
    def subject(repository: str, pipeline: str) -> Subject:
        return Subject(organisation.of_run(repository, pipeline) or repository.rsplit("/", 1)[-1])

    for run in runs:
        who = subject(run.repository, run.pipeline)
        if run.run_kind == RunKind.TASK:
            yield _waited(run, who)
            continue
        yield _succeeded(run, who)
        if (run.source, run.native_id) not in split and (run.source, run.pipeline) not in loose:
            yield _waited(run, who)


def _waited(run: _Run, subject: Subject) -> Observation:
    """How long a run waited: dated at its start, or when it was created while it waits."""
    outcome, reason, value = Outcome.MEASURED, "", None
    at = run.at(run.started_at, run.finished_at)
    if run.result == Result.SKIP or (run.result == Result.CANCELLATION and run.started_at is None):
        outcome, reason = _OUTCOMES[run.result]
    elif run.started_at is None and run.state != RunState.COMPLETED:
        outcome, at = Outcome.PENDING, run.at()
    elif run.created_at is None or run.started_at is None or run.started_at < run.created_at:
        # A start before the creation comes from a wrong clock: how long the wait was is not known, and never negative.
        outcome, reason = Outcome.EXCLUDED, Reason.MISSING_TIME
    else:
        value = (run.started_at - run.created_at) / 1e6
    return _observation(PIPELINE_WAIT, run, subject, at, outcome, reason, value)


def _succeeded(run: _Run, subject: Subject) -> Observation:
    """Whether a pipeline's run succeeded: its own result says, so jobs that may fail do not decide."""
    if run.state != RunState.COMPLETED or run.result is None:
        return _observation(PIPELINE_SUCCESS, run, subject, run.at(), Outcome.PENDING)
    outcome, reason = _OUTCOMES[run.result]
    if run.finished_at is None and outcome is not Outcome.EXCLUDED:
        # The time of the last report is not when it ended: it dates the run, which is set aside and counted.
        outcome, reason = Outcome.EXCLUDED, Reason.MISSING_TIME
    at = run.finished_at if run.finished_at is not None else run.at(run.updated_at, run.started_at)
    return _observation(PIPELINE_SUCCESS, run, subject, at, outcome, reason)


def _observation(  # noqa: PLR0913, PLR0917 - a judgement's parts
    indicator: Indicator,
    run: _Run,
    subject: Subject,
    at: int,
    outcome: Outcome,
    reason: str = "",
    value: float | None = None,
) -> Observation:
    return Observation(
        indicator=indicator.name,
        unit=run.id,
        at=from_micros(at),
        subject=subject,
        source=run.source,
        outcome=outcome,
        value=value,
        reason=reason,
    )


FAMILY = Family(
    name="pipelines",
    inputs=(PipelineRun,),
    indicators=(PIPELINE_WAIT, PIPELINE_SUCCESS),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
)
