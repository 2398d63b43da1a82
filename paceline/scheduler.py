"""When things happen: each source on its own interval, evaluation, the weekly summary. Sole importer of APScheduler.

Jobs are idempotent by the period they serve, so a job that runs late, twice or not at all changes no number.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from collector.bulk import give_back, tidy
from collector.errors import PacelineError
from collector.source import SourceConfig
from collector.store import SourceRun
from paceline.deliveries import Deliveries
from paceline.delivery_places import Delivery
from paceline.dispatch import Dispatch
from paceline.logs import Log
from paceline.retention import Pruner
from paceline.service import Service

_GRACE_SECONDS = 2.0
_LOOK_FOR_DELIVERIES_SECONDS = 60.0
_LOOK_FOR_OLD_SECONDS = 60.0
_DRAIN_SECONDS = 1.0
_DISPATCH_SECONDS = 1.0
_LOOK_SECONDS = 15.0
_GIVE_BACK_SECONDS = 30.0
_TIDY_SECONDS = 3_600.0
_SOON = timedelta(seconds=5)
_MINUTE = timedelta(minutes=1)
_COLLECTING, _PUNCTUAL, _OWN = "default", "punctual", "own"
_AT_ONCE = 10
"""How many sources are collected at the same time, and as many of those whose last run failed or took long.

Those that are punctual wait for none of them, and those that work for none that takes its time to give up.
"""
_LONG_SECONDS = 60.0


def schedule(
    service: Service,
    log: Log,
    clock: Callable[[], datetime],
    dispatch: Dispatch | None = None,
    pruner: Pruner | None = None,
) -> BackgroundScheduler:
    """A scheduler, not yet started, with every job of the service.

    `dispatch`: what gives sources to workers, where they collect. `pruner`: what deletes events that are old. Of
    several replicas only the elected evaluator collects, drains, dispatches, delivers and prunes; the others look at
    what is stored.
    """
    settings = service.configuration.settings
    sources, receivers = service.configuration.sources, service.configuration.deliveries
    if dispatch is not None:
        sources = ()
    punctual = [source for source in sources if source.punctual]
    lanes = _Lanes({name for name, run in service.events.runs().items() if _is_slow(run.succeeded, _seconds(run))})
    scheduler = BackgroundScheduler(
        timezone=service.zone,
        # Sources that wait for slow servers hold up neither checks that count at their minute nor the numbers.
        executors={
            _COLLECTING: lanes,
            _PUNCTUAL: ThreadPoolExecutor(max(1, len(punctual))),
            _OWN: ThreadPoolExecutor(7 + len(receivers)),
        },
        # A late job still runs, once, and never beside itself.
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )
    for source in punctual:
        minute = clock().replace(second=0, microsecond=0) + _MINUTE
        scheduler.add_job(
            _collect_punctual,
            IntervalTrigger(seconds=source.every.total_seconds(), start_date=minute),
            args=(service, source),
            id=f"collect {source.name}",
            executor=_PUNCTUAL,
        )
    planned = scheduler.add_job(
        _refresh,
        IntervalTrigger(seconds=settings.evaluate_every.total_seconds()),
        args=(service, log),
        id="evaluate",
        executor=_OWN,
    )
    after_runs = AfterRuns(lambda: _refresh(service, log), lambda: getattr(planned, "next_run_time", None), clock)
    for source in sources:
        if not source.punctual:
            scheduler.add_job(
                _collect,
                IntervalTrigger(seconds=source.every.total_seconds()),
                args=(lanes, service, source, after_runs),
                id=f"collect {source.name}",
                next_run_time=clock(),
            )
    if dispatch is not None:
        scheduler.add_job(
            _dispatch,
            IntervalTrigger(seconds=_DISPATCH_SECONDS),
            args=(service, dispatch, clock),
            id="dispatch",
            next_run_time=clock(),
            executor=_OWN,
        )
    scheduler.add_job(
        _drain,
        IntervalTrigger(seconds=_DRAIN_SECONDS),
        args=(service,),
        id="drain",
        next_run_time=clock(),
        # One that comes while another is at work leaves at once; skipping it would be logged each second.
        max_instances=2,
        executor=_OWN,
    )
    scheduler.add_job(
        service.look,
        IntervalTrigger(seconds=_LOOK_SECONDS),
        id="look",
        next_run_time=clock(),
        executor=_OWN,
    )
    scheduler.add_job(
        give_back,
        IntervalTrigger(seconds=_GIVE_BACK_SECONDS),
        id="give back",
        executor=_OWN,
    )
    scheduler.add_job(
        tidy,
        IntervalTrigger(seconds=_TIDY_SECONDS),
        id="tidy",
        executor=_OWN,
    )
    if pruner is not None:
        scheduler.add_job(
            _prune,
            IntervalTrigger(seconds=_LOOK_FOR_OLD_SECONDS),
            args=(service, pruner),
            id="prune",
            executor=_OWN,
        )
    deliveries = Deliveries(service, log, clock)
    for delivery in receivers:
        # Each in a job of its own: a slow receiver holds up no other, and one's defect stops no other.
        scheduler.add_job(
            _deliver,
            IntervalTrigger(seconds=_LOOK_FOR_DELIVERIES_SECONDS),
            args=(service, deliveries, delivery),
            id=f"deliver {delivery.name}",
            next_run_time=clock(),
            executor=_OWN,
        )
    return scheduler


def shut_down(scheduler: BackgroundScheduler) -> bool:
    """Start no job any more and wait a few seconds for those at work; whether all of them ended."""
    waiting = threading.Thread(target=scheduler.shutdown, daemon=True)
    waiting.start()
    waiting.join(_GRACE_SECONDS)
    return not waiting.is_alive()


def lead_now(scheduler: BackgroundScheduler, service: Service, log: Log, clock: Callable[[], datetime]) -> None:
    """Evaluate and deliver at once what is due, beside what is planned: this replica was elected."""
    scheduler.add_job(_take_over, args=(service, log), executor=_OWN)
    for delivery in service.configuration.deliveries:
        with contextlib.suppress(JobLookupError):  # it is being made
            scheduler.modify_job(f"deliver {delivery.name}", next_run_time=clock())


class _Lanes(ThreadPoolExecutor):  # type: ignore[misc] # the library tells no types
    """Threads for sources, and others for those whose last run failed or took long: `slow` names them."""

    def __init__(self, slow: set[str]) -> None:
        super().__init__(_AT_ONCE)
        self.slow = slow
        self._beside = ThreadPoolExecutor(_AT_ONCE)

    def start(self, scheduler: BackgroundScheduler, alias: str) -> None:
        """Begin to take jobs."""
        super().start(scheduler, alias)
        self._beside.start(scheduler, alias)

    def submit_job(self, job: Job, run_times: Sequence[datetime]) -> None:
        """Run a job of a source where it belongs."""
        if job.args[2].name in self.slow:
            self._beside.submit_job(job, run_times)
        else:
            super().submit_job(job, run_times)

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 - as the library calls it
        """Take no job any more."""
        super().shutdown(wait)
        self._beside.shutdown(wait)


def _is_slow(succeeded: bool, seconds: float) -> bool:  # noqa: FBT001 - how a run ended
    return not succeeded or seconds > _LONG_SECONDS


def _seconds(run: SourceRun) -> float:
    return (run.finished_at - run.started_at) / 1e6


class AfterRuns:
    """Numbers are made anew after the runs of sources: once for all that end meanwhile, and not just before the plan.

    `planned`: when they are made anew anyway, by the same clock; None where nobody knows.
    """

    def __init__(
        self, refresh: Callable[[], object], planned: Callable[[], datetime | None], clock: Callable[[], datetime]
    ) -> None:
        self._refresh, self._planned, self._clock = refresh, planned, clock
        self._waiting, self._at_work = threading.Lock(), threading.Lock()

    def __call__(self) -> None:
        """Make them anew, unless somebody is about to."""
        planned = self._planned()
        if planned is not None and planned - self._clock() <= _SOON:
            return
        if not self._waiting.acquire(blocking=False):
            return  # who waits has not begun, and will see this run, too
        with self._at_work:
            self._waiting.release()
            self._refresh()


def _collect(lanes: _Lanes, service: Service, source: SourceConfig, after_runs: AfterRuns) -> None:
    if not service.exposes():
        return
    outcome, was_slow = service.collect(source), source.name in lanes.slow
    # That it fails still is no news: of a thousand such each would make all numbers anew.
    if outcome.succeeded or outcome.changed or not was_slow:
        after_runs()
    # Last of all: until then it is at work in its lane.
    change = lanes.slow.add if _is_slow(outcome.succeeded, outcome.duration_seconds) else lanes.slow.discard
    change(source.name)


def _collect_punctual(service: Service, source: SourceConfig) -> None:
    if service.exposes():
        service.collect(source)


def _dispatch(service: Service, dispatch: Dispatch, clock: Callable[[], datetime]) -> None:
    if service.exposes():
        dispatch.look(clock())


def _drain(service: Service) -> None:
    if service.exposes():
        service.drain()


def _prune(service: Service, pruner: Pruner) -> None:
    if service.exposes():
        pruner.look()


def _deliver(service: Service, deliveries: Deliveries, delivery: Delivery) -> None:
    if service.exposes():
        deliveries.send_due(delivery)


def _take_over(service: Service, log: Log) -> None:
    """Show what is stored, then what follows from it."""
    _refresh(service, log, derives=False)
    _refresh(service, log)


def _refresh(service: Service, log: Log, *, derives: bool = True) -> None:
    failed_before = service.health.state.evaluated is False
    try:
        service.refresh(derives=derives)
    except PacelineError as error:
        if not failed_before:
            log.error("evaluate failed; the last numbers stay published", error=str(error))
    else:
        if failed_before:
            log.info("evaluates again")
    finally:
        # What was read to make them is free now. It takes some milliseconds.
        give_back()
