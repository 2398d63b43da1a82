"""Pipelines: how long jobs wait for a runner, and how many runs succeed. Pure.

Each run is judged by itself, and what it waits for is known from the runs of its own repository: so a repository
can be derived alone, and of one that was derived before only what is new or still under way.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from collector.conditions import Above, Where
from collector.events import PipelineRun, Result, RunKind, RunState, event_id, kind_of
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Shape
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros, to_micros
from slo_engine.organisation import Organisation
from slo_engine.settled import Marks, mark, marks

PIPELINE_WAIT = Indicator(
    name="pipeline_wait",
    noun="jobs",
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
    noun="runs",
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

    @property
    def split(self) -> str | None:
        """The id of the run that it is a job of."""
        if self.run_kind != RunKind.TASK or self.parent_native_id is None:
            return None
        return event_id(kind_of(PipelineRun), self.source, self.parent_native_id)

    @property
    def belongs(self) -> tuple[str, str, str | None]:
        """What other runs go by."""
        return self.run_kind, self.pipeline, self.parent_native_id


COLUMNS = _Run._fields
"""The columns of a run that `observe_runs` reads, in its order."""
_NEVER = 2**62
"""Later than everything: of a piece only the units that are named are replaced."""
_MOST_OPEN = 1_000
"""So many runs under way are kept as they are; what becomes of others costs a whole derivation."""


class _State(msgspec.Struct, array_like=True, frozen=True):
    """A repository: the rows of its runs under way, and the marks of all others.

    `split`: the marks of the runs of which jobs are known. `loose`: by source the pipelines with jobs that do not say
    whose they are.
    """

    open: list[tuple[Any, ...]]
    closed: bytes
    split: bytes
    loose: list[tuple[str, str]]


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The observations of both indicators, one repository after the other."""
    for repository in events.distinct(PipelineRun, "repository"):
        rows = events.columns(PipelineRun, *COLUMNS, repository=repository)
        yield from observe_runs(rows, organisation)


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The repositories with new runs: what these change, or all of one where that cannot be told."""
    touched, left = _touched(events, asked) if asked.only is None else (asked.only, asked.only)
    for repository in sorted(touched - set(asked.derived)):
        later = None
        if asked.since is not None and repository not in left:
            later = _later(events, organisation, asked, repository)
        yield later or _whole(events, organisation, repository, _until(asked))


def _touched(events: Events, asked: Asked) -> tuple[set[str], set[str]]:
    """The repositories to derive, and those of them that a run left."""
    if asked.since is None:
        return {*events.distinct(PipelineRun, "repository"), *asked.known}, set()
    revision = asked.since["pipeline_run"]
    left = set(events.moved(PipelineRun, revision)) & set(asked.known)
    return {*events.distinct(PipelineRun, "repository", revision), *left}, left


def _until(asked: Asked) -> int:
    """The revision up to which all runs are known. What was written later will be told again as something new."""
    return asked.revisions.get(kind_of(PipelineRun), _NEVER)


def _read(events: Events, until: int, **where: Where) -> tuple[list[_Run], set[str]]:
    """Some runs, and the ids of those that are known before their time."""
    rows = events.columns(PipelineRun, *COLUMNS, "revision", **where)
    runs = [_Run._make(row[:-1]) for row in rows]
    return runs, {run.id for run, row in zip(runs, rows, strict=True) if row[-1] > until}


def _whole(events: Events, organisation: Organisation, repository: str, until: int) -> Piece:
    """A repository with all its runs."""
    runs, early = _read(events, until, repository=repository)
    state = _packed(_State([], b"", b"", []), runs, runs, early)
    return Piece(repository, _observe(runs, organisation), state=state)


def _later(events: Events, organisation: Organisation, asked: Asked, repository: str) -> Piece | None:
    """What new runs change in a repository; None where that cannot be told without those that are closed."""
    packed = asked.state(repository)
    if packed is None or asked.since is None:
        return None
    state = msgspec.msgpack.decode(packed, type=_State)
    revision = Above(asked.since["pipeline_run"])
    new, early = _read(events, _until(asked), repository=repository, revision=revision)
    before, split = {r.id: r for r in map(_Run._make, state.open)}, Marks(state.split)

    def among(run: str) -> bool:
        return split.among([mark(run)])

    parents = {r.split for r in new if r.split is not None and not among(r.split)}
    others = parents.union(r.id for r in new) - set(before)
    otherwise = any(r.id in before and before[r.id].belongs != r.belongs for r in new)
    if otherwise or not _loose(new) <= set(state.loose) or Marks(state.closed).among(map(mark, others)):
        return None
    changed = {i: before[i] for i in parents if i in before} | {r.id: r for r in new}
    found = _judged(changed.values(), organisation, parents.union(filter(among, changed)), set(state.loose))
    reopened = _said(before[i] for i in changed if i in before)
    packed = _packed(state, list((before | changed).values()), new, early)
    return Piece(repository, found, state=packed, after=_NEVER, reopened=reopened)


def _said(runs: Iterable[_Run]) -> frozenset[tuple[int, str]]:
    """When something may have been said of runs, with their ids."""
    nobody = Subject()
    said = (o for r in runs for o in (_waited(r, nobody), _succeeded(r, nobody)))
    return frozenset((to_micros(o.at), o.unit) for o in said)


def _packed(state: _State, runs: Sequence[_Run], new: Iterable[_Run], early: Container[str]) -> bytes:
    """A state with new runs; `runs` are those of which it has no mark, and `early` will be told again."""
    open_ = (r for r in runs if r.state != RunState.COMPLETED or r.id in early)
    waiting = sorted(open_, key=lambda r: (r.at(r.updated_at), r.id))
    kept = {r.id for r in waiting[-_MOST_OPEN:]}
    closed = Marks(state.closed).joined(marks(r.id for r in runs if r.id not in kept))
    split = Marks(state.split).joined(marks({r.split for r in new if r.split is not None}))
    loose = sorted({*state.loose, *_loose(new)})
    return msgspec.msgpack.encode(_State([tuple(r) for r in runs if r.id in kept], closed, split, loose))


def scopes(events: Events, organisation: Organisation) -> list[str]:
    """The repositories that have runs."""
    del organisation
    return events.distinct(PipelineRun, "repository")


def observe_runs(rows: Iterable[tuple[Any, ...]], organisation: Organisation) -> Iterator[Observation]:
    """The observations of one repository's runs, given as rows of COLUMNS, each run once."""
    return _observe(list(map(_Run._make, rows)), organisation)


def _observe(runs: Sequence[_Run], organisation: Organisation) -> Iterator[Observation]:
    """The observations of all runs of a repository."""
    return _judged(runs, organisation, {r.split for r in runs if r.split is not None}, _loose(runs))


def _loose(runs: Iterable[_Run]) -> set[tuple[str, str]]:
    """The pipelines with jobs that do not say whose they are.

    These wait beside their pipeline's runs: those would be counted twice.
    """
    return {(r.source, r.pipeline) for r in runs if r.run_kind == RunKind.TASK and r.parent_native_id is None}


def _judged(
    runs: Iterable[_Run], organisation: Organisation, split: Container[str], loose: Container[tuple[str, str]]
) -> Iterator[Observation]:
    """The observations of runs: `split` are the ids of those of which jobs are known."""

    @cache
    def subject(repository: str, pipeline: str) -> Subject:
        return Subject(organisation.of_run(repository, pipeline) or repository.rsplit("/", 1)[-1])

    for run in runs:
        who = subject(run.repository, run.pipeline)
        if run.run_kind == RunKind.TASK:
            yield _waited(run, who)
            continue
        yield _succeeded(run, who)
        if run.id not in split and (run.source, run.pipeline) not in loose:
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
