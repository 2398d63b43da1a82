"""Pipelines, case by case: times are seconds after the start of the year, values are seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from msgspec.structs import replace
from steps import Derived

from collector.events import Event, PipelineRun, Result, RunKind, RunState
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore
from slo_engine.derive import derive
from slo_engine.indicators import pipelines
from slo_engine.indicators.pipelines import COLUMNS
from slo_engine.observation import Observation, Outcome, Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.plain_events import PlainEvents

START = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOBODY = Organisation()


def at(seconds: float | None) -> datetime | None:
    """A time in seconds after the start, None where it is unknown."""
    return None if seconds is None else START + timedelta(seconds=seconds)


def pipeline(name: str, *times: float | None, **more: Any) -> PipelineRun:
    """A completed pipeline run with its times of creation, start and finish."""
    created, started, finished = (*times, None, None, None)[:3]
    fields: dict[str, Any] = {
        "source": "ci",
        "native_id": name,
        "repository": "o/shop",
        "pipeline": "build",
        "state": RunState.COMPLETED,
        "result": Result.SUCCESS,
        "created_at": at(created),
        "started_at": at(started),
        "finished_at": at(finished),
    }
    return PipelineRun(**(fields | more))


def job(name: str, *times: float | None, **more: Any) -> PipelineRun:
    """A completed job of the pipeline run "p"."""
    return pipeline(name, *times, **{"run_kind": RunKind.TASK, "task": name, "parent_native_id": "p", **more})


def observed(indicator: str, *events: Event, organisation: Organisation = NOBODY) -> dict[str, Observation]:
    """The observations of an indicator by the name of their run."""
    known = PlainEvents(events)
    found = [o for o in pipelines.observe(known, organisation) if o.indicator == indicator]
    by_name = {known.by_id[o.unit].native_id: o for o in found}
    assert len(by_name) == len(found), "a run is judged once"
    return by_name


def waits(*events: Event) -> dict[str, tuple[str, float | None, datetime | None]]:
    """For each run how its wait was judged: its reason or outcome, the seconds, when."""
    return {n: (o.reason or str(o.outcome), o.value, o.at) for n, o in observed("pipeline_wait", *events).items()}


def verdicts(*events: Event) -> dict[str, tuple[str, datetime | None]]:
    """For each run how its success was judged: its reason or outcome, and when."""
    return {n: (o.reason or str(o.outcome), o.at) for n, o in observed("pipeline_success", *events).items()}


# --- how long jobs wait ----------------------------------------------------------------------------------


def test_a_job_waits_from_its_creation_to_its_start() -> None:
    """A job created at 10 s and started at 52.5 s waited 42.5 s, dated at its start."""
    assert waits(job("test", 10, 52.5, 100)) == {"test": ("measured", 42.5, at(52.5))}


def test_a_job_that_starts_at_once_waited_nothing() -> None:
    """No wait is a value: 0 s."""
    assert waits(job("test", 10, 10, 20)) == {"test": ("measured", 0.0, at(10))}


def test_a_pipeline_with_known_jobs_waits_through_them() -> None:
    """Where the jobs are known the pipeline's own wait is not counted beside them."""
    found = waits(pipeline("p", 0, 5, 100), job("build", 0, 7, 50), job("test", 50, 53, 100))

    assert {name: value for name, (_, value, _) in found.items()} == {"build": 7.0, "test": 3.0}


def test_a_pipeline_without_known_jobs_waits_itself() -> None:
    """Where a source reports no jobs of a run, the run's own wait counts."""
    found = waits(pipeline("p", 0, 5, 100), pipeline("q", 200, 220, 300), job("build", 0, 7, 50))

    assert {name: value for name, (_, value, _) in found.items()} == {"build": 7.0, "q": 20.0}


def test_jobs_of_another_source_do_not_stand_for_a_pipeline() -> None:
    """Two sources may use one id: the jobs of one are not those of the other's run."""
    found = waits(pipeline("p", 0, 5, 100), job("build", 0, 7, 50, source="other"))

    assert {name: value for name, (_, value, _) in found.items()} == {"p": 5.0, "build": 7.0}


def test_jobs_that_do_not_name_their_run_are_not_counted_twice() -> None:
    """Jobs without a parent wait in place of all runs of their pipeline, and of no other."""
    loose = job("build", 0, 7, 50, parent_native_id=None)
    found = waits(pipeline("p", 0, 5, 100), pipeline("q", 0, 9, 100, pipeline="nightly"), loose)

    assert {name: value for name, (_, value, _) in found.items()} == {"build": 7.0, "q": 9.0}


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.EXECUTING, RunState.FINALIZING])
def test_a_job_that_has_not_started_is_pending(state: RunState) -> None:
    """A job in the queue has no wait yet: pending since its creation, and looked at again."""
    assert waits(job("test", 10, None, None, state=state, result=None)) == {"test": ("pending", None, at(10))}


def test_a_running_job_has_waited() -> None:
    """The wait is over with the start, whether the job has finished or not."""
    running = job("test", 10, 30, None, state=RunState.EXECUTING, result=None)

    assert waits(running) == {"test": ("measured", 20.0, at(30))}


@pytest.mark.parametrize(
    ("times", "when"),
    [((None, 30, 40), 30), ((None, None, 40), 40), ((10, None, 40), 40), ((10, None, None), 10)],
)
def test_a_job_without_a_time_is_set_aside_and_counted(times: tuple[float | None, ...], when: float) -> None:
    """A finished job without a creation or a start → left out with a reason, dated by the times it has."""
    assert waits(job("test", *times)) == {"test": ("missing_time", None, at(when))}


def test_a_start_before_the_creation_is_no_negative_wait() -> None:
    """A wrong clock says nothing about the wait: left out with a reason."""
    assert waits(job("test", 30, 29, 40)) == {"test": ("missing_time", None, at(29))}


@pytest.mark.parametrize(("result", "reason"), [("skip", "skipped"), ("cancellation", "cancelled")])
def test_a_job_that_never_ran_did_not_wait(result: str, reason: str) -> None:
    """Skipped, or cancelled in the queue → no wait, left out with a reason."""
    assert waits(job("test", 10, None, 40, result=Result(result))) == {"test": (reason, None, at(40))}


def test_a_skipped_job_did_not_wait_whatever_its_times_say() -> None:
    """Some systems give skipped jobs a start: it is no start."""
    assert waits(job("test", 10, 12, 12, result=Result.SKIP)) == {"test": ("skipped", None, at(12))}


def test_a_job_cancelled_at_work_has_waited() -> None:
    """What happens after the start does not change the wait."""
    assert waits(job("test", 10, 12, 40, result=Result.CANCELLATION)) == {"test": ("measured", 2.0, at(12))}


# --- how many runs succeed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "judged"),
    [
        ("success", "good"),
        ("failure", "bad"),
        ("error", "bad"),
        ("timeout", "bad"),
        ("cancellation", "cancelled"),
        ("skip", "skipped"),
    ],
)
def test_a_completed_run_is_judged_by_its_result(result: str, judged: str) -> None:
    """Cancelled and skipped are neither success nor failure; each is dated when it finished."""
    assert verdicts(pipeline("p", 0, 5, 100, result=Result(result))) == {"p": (judged, at(100))}


def test_a_job_that_may_fail_does_not_decide() -> None:
    """A green pipeline with a failed `allow_failure` job succeeded, and jobs are no runs of their own."""
    failed = job("lint", 0, 7, 50, result=Result.FAILURE, allow_failure=True)

    assert verdicts(pipeline("p", 0, 5, 100), failed) == {"p": ("good", at(100))}


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.EXECUTING, RunState.FINALIZING])
def test_a_run_that_is_not_completed_is_pending(state: RunState) -> None:
    """Running, blocked, created → judged once finished, whatever it says until then."""
    started = pipeline("p", 3, 5, None, state=state, result=None)
    wrapping_up = pipeline("q", 3, 5, None, state=state, result=Result.FAILURE)

    assert verdicts(started, wrapping_up) == {"p": ("pending", at(3)), "q": ("pending", at(3))}


def test_a_completed_run_without_a_result_is_pending() -> None:
    """Without a result nothing is judged, not even that it failed."""
    assert verdicts(pipeline("p", 0, 5, 100, result=None)) == {"p": ("pending", at(0))}


def test_a_run_that_finished_nobody_knows_when_is_set_aside_and_counted() -> None:
    """The time of the last report is not when it ended: it dates the run, which is left out with a reason."""
    reported = pipeline("p", 0, 5, None, updated_at=at(70))
    unreported = pipeline("q", 0, 5, None)

    assert verdicts(reported, unreported) == {"p": ("missing_time", at(70)), "q": ("missing_time", at(5))}


def test_a_run_without_any_time_is_not_dropped() -> None:
    """It is kept and counted, outside every window that is published."""
    assert verdicts(pipeline("p")) == {"p": ("missing_time", EPOCH)}
    assert waits(pipeline("p")) == {"p": ("missing_time", None, EPOCH)}


def test_a_cancelled_run_without_an_end_is_cancelled() -> None:
    """What is out of scope anyway needs no time of its end to be counted as that."""
    found = pipeline("p", 0, None, None, result=Result.CANCELLATION, updated_at=at(70))

    assert verdicts(found) == {"p": ("cancelled", at(70))}


# --- for whom --------------------------------------------------------------------------------------------


def subjects(organisation: Organisation, *events: Event) -> dict[str, Subject]:
    """The subject of each run."""
    return {n: o.subject for n, o in observed("pipeline_success", *events, organisation=organisation).items()}


def test_without_a_catalogue_the_repository_names_the_service() -> None:
    """The last part of the repository's path; a run's environment is not a service's."""
    events = (pipeline("p", 0, 1, 2), pipeline("q", 0, 1, 2, repository="group/sub/api", environment="staging"))

    assert subjects(NOBODY, *events) == {"p": Subject("shop"), "q": Subject("api")}


def test_the_catalogue_names_the_service_of_a_pipeline() -> None:
    """Whole names are compared: `deploy` is not `deploy-docs`."""
    organisation = Organisation(
        services=(
            Service(name="web", repositories=patterns(["o/shop"]), pipelines=patterns(["deploy"])),
            Service(name="docs", repositories=patterns(["o/shop"]), pipelines=patterns(["*docs"])),
        )
    )
    events = [pipeline(name, 0, 1, 2, pipeline=name) for name in ("deploy", "deploy-docs", "redeploy")]

    found = subjects(organisation, *events)

    assert found == {"deploy": Subject("web"), "deploy-docs": Subject("docs"), "redeploy": Subject("shop")}


def test_a_pipeline_s_name_is_its_repository_s() -> None:
    """Two repositories may have a pipeline of one name: each counts for its own service."""
    organisation = Organisation(
        services=tuple(
            Service(name=name, repositories=patterns([f"o/{name}"]), pipelines=patterns(["build"]))
            for name in ("api", "web")
        )
    )
    events = [pipeline(name, 0, 1, 2, repository=f"o/{name}") for name in ("api", "web")]

    assert subjects(organisation, *events) == {"api": Subject("api"), "web": Subject("web")}


# --- laws ------------------------------------------------------------------------------------------------

_seconds = st.none() | st.integers(0, 50)
_run = st.builds(
    lambda name, task, parent, loose, result, state, times, repository: (job if task else pipeline)(
        f"{'j' if task else 'p'}{name}",
        *times,
        result=result,
        state=state,
        repository=repository,
        **({"parent_native_id": None if loose else f"p{parent}"} if task else {}),
    ),
    st.integers(0, 6),
    st.booleans(),
    st.integers(0, 6),
    st.booleans(),
    st.none() | st.sampled_from(Result),
    st.sampled_from(RunState),
    st.tuples(_seconds, _seconds, _seconds),
    st.sampled_from(["o/shop", "o/api"]),
)
_runs = st.lists(_run, max_size=12, unique_by=lambda e: e.id)


def _sorted(observations: Iterator[Observation]) -> list[Observation]:
    return sorted(observations, key=lambda o: (o.indicator, o.unit))


@given(events=_runs, data=st.data())
def test_order_and_duplicates_change_nothing(events: list[PipelineRun], data: st.DataObject) -> None:
    """The same events give the same observations, however often and in whatever order they come."""
    again = data.draw(st.permutations(events + events))

    assert _sorted(pipelines.observe(PlainEvents(again), NOBODY)) == _sorted(
        pipelines.observe(PlainEvents(events), NOBODY)
    )


@given(events=_runs)
def test_a_repository_can_be_derived_alone(events: list[PipelineRun]) -> None:
    """The observations of all runs are those of each repository's runs by themselves."""
    known = PlainEvents(events)
    apart = [
        o
        for name in ("o/shop", "o/api")
        for o in pipelines.observe_runs(known.columns(PipelineRun, *COLUMNS, repository=name), NOBODY)
    ]

    assert _sorted(iter(apart)) == _sorted(pipelines.observe(known, NOBODY))


@given(events=_runs)
def test_every_run_is_accounted_for(events: list[PipelineRun]) -> None:
    """Each pipeline run is judged once for success, each job once for its wait, and no wait is negative."""
    found = list(pipelines.observe(PlainEvents(events), NOBODY))

    assert sorted(o.unit for o in found if o.indicator == "pipeline_success") == sorted(
        e.id for e in events if e.run_kind == RunKind.PIPELINE
    )
    waiting = [o.unit for o in found if o.indicator == "pipeline_wait"]
    assert {e.id for e in events if e.run_kind == RunKind.TASK} <= set(waiting)
    assert len(waiting) == len(set(waiting))
    assert all(o.value is None or o.value >= 0 for o in found)
    assert all(
        (o.value is not None) == (o.outcome is Outcome.MEASURED) for o in found if o.indicator == "pipeline_wait"
    )


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Callable[[list[PipelineRun]], EventStore]]:
    """Makes a store of some runs."""
    database = Database.open(tmp_path)

    def filled(events: list[PipelineRun]) -> EventStore:
        store = EventStore(database)
        with database.transaction() as transaction:
            store.write(transaction, events)
        return store

    yield filled
    database.close()


def test_the_store_gives_what_events_in_memory_give(stores: Callable[[list[PipelineRun]], EventStore]) -> None:
    """The family reads the store's columns as it reads a test's."""
    events = [
        pipeline("p", 0, 5, 100, updated_at=at(100)),
        job("build", 0, 7, 50),
        pipeline("q", 0, None, None, repository="o/api", state=RunState.PENDING, result=None),
        pipeline("r", None, 3, None, repository="o/api", result=Result.TIMEOUT),
    ]

    assert _sorted(pipelines.observe(stores(events), NOBODY)) == _sorted(pipelines.observe(PlainEvents(events), NOBODY))


class Kept:
    """A store into which runs are written and derived."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder)
        self.events, self.store = EventStore(self.database), DerivationStore(self.database)

    def after(self, *runs: PipelineRun) -> tuple[int, int]:
        """Write runs and derive: how many pieces, and how many observations differed."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, runs)
        done = derive([pipelines.FAMILY], self.events, self.store)
        return done.pieces, done.observations


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """An empty store."""
    made = Kept(tmp_path)
    yield made
    made.database.close()


def test_only_the_repositories_with_new_runs_are_derived_again(kept: Kept) -> None:
    """A new run, or one that moved, touches its own repositories; the others keep their observations."""
    first = kept.after(pipeline("1", 0, 5, 9), pipeline("2", 0, 5, 9, repository="o/web"))
    second = kept.after(pipeline("3", 0, 5, 9))
    moved = kept.after(pipeline("2", 0, 5, 9, repository="o/api", updated_at=at(20)))

    assert (first, second, moved) == ((2, 4), (1, 2), (2, 4))
    assert set(kept.store.pieces("pipelines")) == {"o/shop", "o/web", "o/api"}


def test_a_run_under_way_is_replaced_when_it_ends(kept: Kept) -> None:
    """What was pending at its creation is gone, and its wait and success stand at their own times."""
    kept.after(pipeline("1", 0, 5, 9), pipeline("p", 10, state=RunState.PENDING, result=None, updated_at=at(10)))

    assert kept.after(pipeline("p", 10, 15, 20, updated_at=at(20))) == (1, 4)


def test_a_job_told_later_waits_in_place_of_its_pipeline(kept: Kept) -> None:
    """Whether the pipeline is under way or over: its own wait is gone, the job's is there; another job is one more."""
    kept.after(pipeline("p", 0, 5, 9), pipeline("q", 0, 5, state=RunState.EXECUTING, result=None))

    assert kept.after(job("j1", 1, 2, 3)) == (1, 2)
    assert kept.after(job("j2", 1, 2, 3, parent_native_id="q")) == (1, 2)
    assert kept.after(job("j3", 1, 2, 3)) == (1, 1)


def test_a_pipeline_told_after_its_job_does_not_wait(kept: Kept) -> None:
    """The job waited already: the pipeline only succeeds."""
    kept.after(job("j1", 1, 2, 3))

    assert kept.after(pipeline("p", 0, 5, 9)) == (1, 1)


def test_what_is_written_during_a_derivation_is_told_again() -> None:
    """It is judged already, and still open when it comes as something new: its repository is not judged as a whole."""
    derived = Derived(pipelines.FAMILY)
    derived.after(pipeline("1", 0, 5, 9), meanwhile=[pipeline("2", 0, 5, 9)])
    derived.after(pipeline("3", 0, 5, 9), meanwhile=[pipeline("4", 0, 5, 9), job("j1", 1, 2, 3, parent_native_id="3")])

    (piece,) = derived.after(pipeline("5", 0, 5, 9))

    assert piece.after is not None
    assert derived.everything == derived.anew


@settings(max_examples=examples(60), deadline=None)
@given(batches=st.lists(st.tuples(_runs, _runs), min_size=2, max_size=6))
def test_runs_written_meanwhile_are_judged_as_all_at_once(batches: list[tuple[list[PipelineRun], ...]]) -> None:
    """Whatever is written while numbers are made."""
    derived = Derived(pipelines.FAMILY)
    for now, meanwhile in batches:
        derived.after(*now, meanwhile=meanwhile)
        assert derived.everything == derived.anew


_told = st.builds(
    lambda one, seconds, name: replace(one, updated_at=at(seconds), pipeline=name),
    *(_run, st.integers(0, 50), st.sampled_from(["build", "build", "test"])),
)


@settings(max_examples=examples(20), deadline=None)
@given(batches=st.lists(st.lists(_told, min_size=1, max_size=6), min_size=2, max_size=6))
def test_what_is_told_late_or_otherwise_is_judged_as_if_it_had_been_known(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[PipelineRun]]
) -> None:
    """Runs and jobs in any order, again, elsewhere or otherwise: deriving everything anew would change nothing."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(migrated, folder / "paceline.db")
    kept = Kept(folder)
    for batch in batches:
        kept.after(*batch)
    kept.store.set_stamp("pipelines", {})
    again = kept.after()
    kept.database.close()

    assert again[1] == 0
