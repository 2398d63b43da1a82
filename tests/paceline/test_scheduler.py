"""What runs when: sources at once, deliveries each in a job of its own, the last week when it is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from paceline.deliveries import Deliveries
from paceline.scheduler import schedule
from paceline.service import Service
from paceline.settings import ReportSettings
from paceline.wiring import Running
from slo_engine.weekly import Week

NAME = "weekly-2026-W10.md"


@pytest.fixture
def reports(settings_file: Path) -> Path:
    """The folder of the summaries."""
    return settings_file.parent / "reports"


@pytest.fixture
def look(running: Running, clock: Any) -> Callable[[], None]:
    """Looks once for what is due, as the job of `report.directory` does."""
    deliveries = Deliveries(running.service, running.log, clock)
    (directory,) = running.service.configuration.deliveries
    return lambda: deliveries.send_due(directory)


def _written(reports: Path) -> list[str]:
    return sorted(p.name for p in reports.glob("*")) if reports.exists() else []


@pytest.mark.usefixtures("collected")
def test_no_summary_before_its_hour(look: Callable[[], None], reports: Path, clock: Any) -> None:
    """At 06:59 on Monday the summary is not written, at 07:00 it is."""
    clock.at = datetime(2026, 3, 9, 6, 59, tzinfo=UTC)
    look()
    before = _written(reports)

    clock.at = datetime(2026, 3, 9, 7, 0, tzinfo=UTC)
    look()

    assert (before, _written(reports)) == ([], [NAME])


def test_a_summary_waits_for_its_data(look: Callable[[], None], service: Service, reports: Path, clock: Any) -> None:
    """A source that has not succeeded since the week's end holds the summary back until it has."""
    clock.at = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
    look()
    before = _written(reports)

    service.collect(service.configuration.sources[0])
    look()

    assert (before, _written(reports)) == ([], [NAME])
    assert "**Data complete" not in (reports / NAME).read_text(encoding="utf-8")


def test_a_day_late_the_summary_says_what_it_lacks(look: Callable[[], None], reports: Path, clock: Any) -> None:
    """A source that never comes back delays the summary by one day, and stands in its first lines."""
    clock.at = datetime(2026, 3, 10, 6, 59, tzinfo=UTC)
    look()
    before = _written(reports)

    clock.at = datetime(2026, 3, 10, 7, 0, tzinfo=UTC)
    look()

    assert (before, _written(reports)) == ([], [NAME])
    assert "**Data complete 0%: 0 of 1 sources cover the whole week" in (reports / NAME).read_text(encoding="utf-8")


@pytest.mark.usefixtures("collected")
def test_a_week_is_written_once(look: Callable[[], None], reports: Path, clock: Any) -> None:
    """What was written once is left alone, and does not come back where somebody deletes it."""
    clock.move(timedelta(hours=2))
    look()
    (reports / NAME).unlink()

    look()

    assert _written(reports) == []


@pytest.mark.usefixtures("collected")
def test_a_file_of_an_earlier_version_is_left_alone(look: Callable[[], None], reports: Path, clock: Any) -> None:
    """A store without a log, as before an upgrade, does not have a file overwritten that stands there."""
    reports.mkdir()
    (reports / NAME).write_text("read already", encoding="utf-8")
    clock.move(timedelta(hours=2))

    look()

    assert (reports / NAME).read_text(encoding="utf-8") == "read already"


@pytest.mark.usefixtures("collected")
def test_the_next_week_has_its_own_file(look: Callable[[], None], reports: Path, clock: Any) -> None:
    """A week later the next summary is written beside the first."""
    clock.move(timedelta(hours=2))
    look()

    clock.move(timedelta(days=8))
    look()

    assert _written(reports) == [NAME, "weekly-2026-W11.md"]


@pytest.mark.usefixtures("collected")
def test_a_folder_that_cannot_be_made_may_be_later(look: Callable[[], None], reports: Path, clock: Any) -> None:
    """Where a file stands in its way nothing is lost: it is written once that is gone, and no half of it is left."""
    clock.move(timedelta(hours=2))
    reports.write_text("a file, no folder", encoding="utf-8")
    look()
    reports.unlink()

    clock.move(timedelta(minutes=1))
    look()

    assert _written(reports) == [NAME]


@pytest.mark.parametrize(
    ("week", "report", "due"),
    [
        ("2026-W10", {}, "2026-03-09T06:00Z"),
        ("2026-W13", {}, "2026-03-30T05:00Z"),  # the clock went forward on the Sunday before
        ("2026-W43", {}, "2026-10-26T06:00Z"),  # and back
        ("2026-W12", {"weekday": "sunday", "hour": 1}, "2026-03-29T00:00Z"),
        ("2026-W12", {"weekday": "sunday", "hour": 2}, "2026-03-29T01:00Z"),  # 02:00 does not come: 03:00
        ("2026-W12", {"weekday": "sunday", "hour": 7}, "2026-03-29T05:00Z"),
        ("2026-W42", {"weekday": "sunday", "hour": 2}, "2026-10-25T00:00Z"),  # it comes twice: the first
    ],
)
def test_a_week_is_due_at_its_local_hour(week: str, report: dict[str, Any], due: str) -> None:
    """Also in the weeks in which the clock changes, and on the very day."""
    berlin = Week.parse(week, ZoneInfo("Europe/Berlin"))

    found = ReportSettings.model_validate(report).due_at(berlin)

    assert f"{found:%Y-%m-%dT%H:%MZ}" == due


def test_every_source_has_its_job_at_once(running: Running, service: Service, clock: Any) -> None:
    """Each source starts at once and comes again on its interval; so does each delivery, in a job of its own."""
    jobs = {job.id: job for job in schedule(service, running.log, clock).get_jobs()}

    assert set(jobs) == {"collect events", "drain", "evaluate", "deliver directory"}
    assert jobs["collect events"].next_run_time == clock()
    assert jobs["collect events"].trigger.interval == timedelta(minutes=5)
    assert jobs["drain"].trigger.interval == timedelta(seconds=1)
    assert {str(jobs[i].trigger.interval) for i in ("evaluate", "deliver directory")} == {"0:01:00"}
