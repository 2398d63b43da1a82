"""What runs when: the weekly summary once, when its data are complete or a day late; jobs that never overlap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paceline.scheduler import _report, schedule, write_report
from paceline.service import Service
from paceline.wiring import Running
from slo_engine.weekly import Week

NAME = "weekly-2026-W10.md"


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """The folder of the summaries."""
    return tmp_path / "reports"


def _written(reports: Path) -> list[str]:
    return sorted(p.name for p in reports.glob("*")) if reports.exists() else []


def test_no_summary_before_its_hour(running: Running, collected: Service, reports: Path, clock: Any) -> None:
    """At 06:59 on Monday the summary is not written, at 07:00 it is."""
    clock.at = datetime(2026, 3, 9, 6, 59, tzinfo=UTC)
    _report(collected, reports, running.log, clock)
    before = _written(reports)

    clock.at = datetime(2026, 3, 9, 7, 0, tzinfo=UTC)
    _report(collected, reports, running.log, clock)

    assert (before, _written(reports)) == ([], [NAME])


def test_a_summary_waits_for_its_data(running: Running, service: Service, reports: Path, clock: Any) -> None:
    """A source that has not succeeded since the week's end holds the summary back until it has."""
    clock.at = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
    _report(service, reports, running.log, clock)
    before = _written(reports)

    service.collect(service.configuration.sources[0])
    _report(service, reports, running.log, clock)

    assert (before, _written(reports)) == ([], [NAME])
    assert "**Data complete" not in (reports / NAME).read_text(encoding="utf-8")


def test_a_day_late_the_summary_says_what_it_lacks(
    running: Running, service: Service, reports: Path, clock: Any
) -> None:
    """A source that never comes back delays the summary by one day, and stands in its first lines."""
    clock.at = datetime(2026, 3, 10, 6, 59, tzinfo=UTC)
    _report(service, reports, running.log, clock)
    before = _written(reports)

    clock.at = datetime(2026, 3, 10, 7, 0, tzinfo=UTC)
    _report(service, reports, running.log, clock)

    assert (before, _written(reports)) == ([], [NAME])
    assert "**Data complete 0%: 0 of 1 sources cover the whole week" in (reports / NAME).read_text(encoding="utf-8")


def test_a_week_is_written_once(running: Running, collected: Service, reports: Path, clock: Any) -> None:
    """A restart in the sending minute writes nothing anew: the file that stands there is left alone."""
    clock.move(timedelta(hours=2))
    _report(collected, reports, running.log, clock)
    (reports / NAME).write_text("read already", encoding="utf-8")

    _report(collected, reports, running.log, clock)

    assert (reports / NAME).read_text(encoding="utf-8") == "read already"


def test_the_next_week_has_its_own_file(running: Running, collected: Service, reports: Path, clock: Any) -> None:
    """A week later the next summary is written beside the first."""
    clock.move(timedelta(hours=2))
    _report(collected, reports, running.log, clock)

    clock.move(timedelta(days=8))
    _report(collected, reports, running.log, clock)

    assert _written(reports) == [NAME, "weekly-2026-W11.md"]


class Heard:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def info(self, event: str, **_values: Any) -> None:
        """Keep it."""
        self.told.append(f"info: {event}")

    def warning(self, event: str, **_values: Any) -> None:
        """Keep it."""
        self.told.append(f"warning: {event}")

    def error(self, event: str, **_values: Any) -> None:
        """Keep it."""
        self.told.append(f"error: {event}")


def test_a_summary_that_cannot_be_written_leaves_no_half(collected: Service, reports: Path) -> None:
    """Where the folder cannot be made, the failure is logged and the service goes on."""
    reports.write_text("a file, no folder", encoding="utf-8")
    log = Heard()

    assert write_report(collected, Week.parse("2026-W10", collected.zone), reports, log) is None
    assert log.told == ["error: the weekly summary was not written"]


def test_every_source_has_its_job_at_once(running: Running, service: Service, clock: Any) -> None:
    """Each source starts at once and comes again on its interval; jobs never overlap and late ones still run."""
    jobs = {job.id: job for job in schedule(service, running.log, clock).get_jobs()}

    assert set(jobs) == {"collect events", "drain", "evaluate", "report"}
    assert jobs["collect events"].next_run_time == clock()
    assert jobs["collect events"].trigger.interval == timedelta(minutes=5)
    assert jobs["drain"].trigger.interval == timedelta(seconds=1)
    assert {str(i) for i in (jobs["evaluate"].trigger.interval, jobs["report"].trigger.interval)} == {"0:01:00"}
