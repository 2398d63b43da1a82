"""When things happen: each source on its own interval, evaluation, the weekly summary. Sole importer of APScheduler.

Jobs are idempotent by the period they serve, so a job that runs late, twice or not at all changes no number.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from collector.errors import PacelineError
from collector.source import SourceConfig
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
_MINUTE = timedelta(minutes=1)
_COLLECTING, _PUNCTUAL, _OWN = "default", "punctual", "own"
_AT_ONCE = 10
"""How many sources are collected at the same time; those that are punctual wait for none of them."""


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
    scheduler = BackgroundScheduler(
        timezone=service.zone,
        # Sources that wait for slow servers hold up neither checks that count at their minute nor the numbers.
        executors={
            _COLLECTING: ThreadPoolExecutor(_AT_ONCE),
            _PUNCTUAL: ThreadPoolExecutor(max(1, len(punctual))),
            _OWN: ThreadPoolExecutor(5 + len(receivers)),
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
    for source in sources:
        if not source.punctual:
            scheduler.add_job(
                _collect,
                IntervalTrigger(seconds=source.every.total_seconds()),
                args=(service, source, log),
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
        _refresh,
        IntervalTrigger(seconds=settings.evaluate_every.total_seconds()),
        args=(service, log),
        id="evaluate",
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


def _collect(service: Service, source: SourceConfig, log: Log) -> None:
    if service.exposes():
        service.collect(source)
        _refresh(service, log)


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
