"""When things happen: each source on its own interval, evaluation, the weekly summary. Sole importer of APScheduler.

Jobs are idempotent by the period they serve, so a job that runs late, twice or not at all changes no number.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from collector.errors import PacelineError
from collector.source import SourceConfig
from collector.store import from_micros
from paceline.logs import Log
from paceline.service import Service
from slo_engine.weekly.week import Week

_GRACE_SECONDS = 2.0
_LOOK_FOR_REPORT_SECONDS = 60.0
_DRAIN_SECONDS = 1.0
_LONGEST_WAIT_FOR_DATA = timedelta(days=1)


def schedule(service: Service, log: Log, clock: Callable[[], datetime]) -> BackgroundScheduler:
    """A scheduler, not yet started, with every job of the service."""
    settings = service.configuration.settings
    scheduler = BackgroundScheduler(
        timezone=service.zone,
        # A late job still runs, once, and never beside itself.
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )
    for source in service.configuration.sources:
        scheduler.add_job(
            _collect,
            IntervalTrigger(seconds=source.every.total_seconds()),
            args=(service, source, log),
            id=f"collect {source.name}",
            next_run_time=clock(),
        )
    scheduler.add_job(
        service.drain,
        IntervalTrigger(seconds=_DRAIN_SECONDS),
        id="drain",
        next_run_time=clock(),
        # One that comes while another is at work leaves at once; skipping it would be logged each second.
        max_instances=2,
    )
    scheduler.add_job(
        _refresh,
        IntervalTrigger(seconds=settings.evaluate_every.total_seconds()),
        args=(service, log),
        id="evaluate",
    )
    directory = service.configuration.report_dir
    if directory is not None:
        scheduler.add_job(
            _report,
            IntervalTrigger(seconds=_LOOK_FOR_REPORT_SECONDS),
            args=(service, directory, log, clock),
            id="report",
            next_run_time=clock(),
        )
    return scheduler


def shut_down(scheduler: BackgroundScheduler) -> bool:
    """Start no job any more and wait a few seconds for those at work; whether all of them ended."""
    waiting = threading.Thread(target=scheduler.shutdown, daemon=True)
    waiting.start()
    waiting.join(_GRACE_SECONDS)
    return not waiting.is_alive()


def _collect(service: Service, source: SourceConfig, log: Log) -> None:
    service.collect(source)
    _refresh(service, log)


def _refresh(service: Service, log: Log) -> None:
    try:
        service.refresh()
    except PacelineError as error:
        log.error("evaluate failed; the last numbers stay published", error=str(error))


def _report(service: Service, directory: Path, log: Log, clock: Callable[[], datetime]) -> None:
    """Write the last whole week once it is due and its data complete, or a day later as it is."""
    now = clock()
    week = Week.last_before(now, service.zone)
    due = week.end + timedelta(hours=service.configuration.settings.report.hour)
    waited = now >= due + _LONGEST_WAIT_FOR_DATA and _tried(service, week, now)
    if now >= due and (waited or service.covers(week)):
        write_report(service, week, directory, log)


def _tried(service: Service, week: Week, now: datetime) -> bool:
    """False until every source had its chance: a service that starts on a Wednesday has collected nothing yet."""
    if now >= service.started_at + _LONGEST_WAIT_FOR_DATA:
        return True
    runs = service.events.runs()
    names = [source.name for source in service.configuration.sources]
    return all(name in runs and from_micros(runs[name].finished_at) >= week.end for name in names)


def write_report(service: Service, week: Week, directory: Path, log: Log) -> Path | None:
    """Write a week's summary, unless it is there; None where it was or could not be written."""
    path = directory / f"weekly-{week.label}.md"
    if path.exists():
        return None
    try:
        text = service.report(week)
        directory.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except (PacelineError, OSError) as error:
        log.error("the weekly summary was not written", week=week.label, error=str(error))
        return None
    log.info("wrote the weekly summary", week=week.label, path=str(path))
    return path
