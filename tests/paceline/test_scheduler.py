"""What runs when: sources at once, deliveries each in a job of its own, the last week when it is due."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

import pytest

from collector.errors import SourceError
from collector.events import Deployment, Result
from collector.source import Page, Source, SourceConfig, SourceContext
from collector.store import Arrival, packed
from paceline.deliveries import Deliveries
from paceline.scheduler import AfterRuns, schedule
from paceline.service import Service
from paceline.settings import ReportSettings
from paceline.wiring import Running, utc_now
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

    assert set(jobs) == {"collect events", "drain", "look", "evaluate", "give back", "tidy", "deliver directory"}
    assert jobs["collect events"].next_run_time == clock()
    assert jobs["collect events"].trigger.interval == timedelta(minutes=5)
    assert jobs["drain"].trigger.interval == timedelta(seconds=1)
    assert {str(jobs[i].trigger.interval) for i in ("evaluate", "deliver directory")} == {"0:01:00"}


class Slow(SourceConfig):
    """A source whose server takes as long as the test does."""

    type: Literal["slow"] = "slow"
    over: ClassVar[threading.Event] = threading.Event()

    def build(self, context: SourceContext) -> Source:
        """The source."""
        del context
        return _Waiting(self.over)


class Punctual(SourceConfig):
    """A source that counts at its minute."""

    type: Literal["punctual"] = "punctual"
    punctual: ClassVar[bool] = True
    ran: ClassVar[threading.Event] = threading.Event()

    def build(self, context: SourceContext) -> Source:
        """The source."""
        del context
        self.ran.set()
        return _Waiting(self.ran)


@dataclass(frozen=True)
class _Waiting:
    until: threading.Event

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Nothing, after a while."""
        del cursor
        self.until.wait(timeout=20)
        return iter(())


@pytest.fixture
def many_slow(collected: Service) -> Iterator[Service]:
    """A service of a dozen sources that wait for slow servers, and one that counts at its minute."""
    slow = [Slow(name=f"slow-{n}") for n in range(12)]
    collected.configuration = replace(collected.configuration, sources=(*slow, Punctual(name="checks")))
    Slow.over.clear()
    Punctual.ran.clear()
    yield collected
    Slow.over.set()


def test_slow_sources_hold_up_no_other_work(many_slow: Service, running: Running) -> None:
    """A dozen sources wait for their servers: what counts at its minute runs at once, and numbers are made."""
    scheduler = schedule(many_slow, running.log, utc_now)
    for name in ("collect checks", "evaluate"):
        scheduler.modify_job(name, next_run_time=utc_now())
    before = many_slow.published
    scheduler.start()
    try:
        checked = Punctual.ran.wait(timeout=10)
        evaluated = _comes_true(lambda: many_slow.published is not before)
    finally:
        Slow.over.set()
        scheduler.shutdown()

    assert (checked, evaluated) == (True, True)


class Failing(SourceConfig):
    """A source whose system refuses at once, and from the second time on takes as long as the test does."""

    type: Literal["failing"] = "failing"
    began: ClassVar[Counter[str]] = Counter()
    over: ClassVar[threading.Event] = threading.Event()

    def build(self, context: SourceContext) -> Source:
        """The source."""
        del context
        self.began[self.name] += 1
        if self.began[self.name] > 1:
            self.over.wait(timeout=20)
        raise SourceError("GET https://ci.example: answered 400")


@pytest.mark.parametrize("known", [True, False], ids=["before the start", "since the start"])
def test_sources_that_fail_hold_up_none_that_works(collected: Service, running: Running, *, known: bool) -> None:
    """Thirty that failed before hang: one that works is collected again and again all the same."""
    working = collected.configuration.sources[0].model_copy(update={"every": timedelta(seconds=0.2)})
    failing = [Failing(name=f"failing-{n}", every=timedelta(seconds=0.2)) for n in range(30)]
    Failing.began.clear()
    Failing.over.clear()
    for source in failing if known else ():
        collected.collect(source)
    collected.configuration = replace(collected.configuration, sources=(*failing, working))
    collected._runner = replace(collected._runner, clock=utc_now)
    scheduler = schedule(collected, running.log, utc_now)
    scheduler.start()
    try:
        _comes_true(lambda: sum(Failing.began.values()) >= 40)
        before = collected.events.runs()[working.name].finished_at
        worked = _comes_true(lambda: collected.events.runs()[working.name].finished_at > before)
        hung = sum(Failing.began.values()) - len(failing)
    finally:
        Failing.over.set()
        scheduler.shutdown()

    assert (worked, hung) == (True, 10)


def test_what_counts_at_its_minute_begins_with_one(many_slow: Service, running: Running, clock: Any) -> None:
    """Its rounds are at whole minutes, so that none lies across two of them."""
    job = schedule(many_slow, running.log, clock).get_job("collect checks")
    at = datetime(2026, 3, 9, 9, 30, 17, tzinfo=UTC)

    assert job.trigger.get_next_fire_time(None, at) == datetime(2026, 3, 9, 9, 31, tzinfo=UTC)


def test_what_is_delivered_is_written_within_a_second(service: Service, running: Running) -> None:
    """A delivery waits for the next draining, not for the numbers."""
    source = service.configuration.sources[0].name
    deployed = Deployment(
        source=source,
        native_id="a delivered one",
        service="shop",
        environment="production",
        finished_at=service.started_at,
        updated_at=service.started_at,
        result=Result.SUCCESS,
    )
    service.inbox.keep([Arrival(source=source, delivery="d-1", received_at=0, events=packed([deployed]))])
    scheduler = schedule(service, running.log, utc_now)
    scheduler.start()
    try:
        written = _comes_true(lambda: service.inbox.waiting() == 0)
    finally:
        scheduler.shutdown()

    assert written
    assert [d.native_id for d in service.events.events(Deployment)].count("a delivered one") == 1


def test_runs_that_end_meanwhile_are_evaluated_together() -> None:
    """While numbers are made twenty runs end: they are made once more for all of them, and the last one is seen."""
    ended, seen = 0, list[int]()
    begun, go_on = threading.Event(), threading.Event()

    def refresh() -> None:
        seen.append(ended)
        begun.set()
        go_on.wait(timeout=10)

    after_runs = AfterRuns(refresh, lambda: None, utc_now)
    with ThreadPoolExecutor(21) as pool:
        pool.submit(after_runs)
        begun.wait(timeout=10)
        ended = 20
        others = [pool.submit(after_runs) for _ in range(20)]
        left = _comes_true(lambda: sum(one.done() for one in others) == 19)
        go_on.set()

    assert (left, seen) == (True, [0, 20])


@pytest.mark.parametrize(("seconds", "times"), [(4, 0), (60, 1)])
def test_numbers_that_are_planned_soon_are_not_made_before(seconds: int, times: int) -> None:
    """A run that ends just before the plan is evaluated by the plan."""
    made = list[int]()
    planned = utc_now() + timedelta(seconds=seconds)

    AfterRuns(lambda: made.append(1), lambda: planned, utc_now)()

    assert len(made) == times


def _comes_true(what: Callable[[], bool]) -> bool:
    """Whether something comes true within a few seconds."""
    until = time.monotonic() + 10
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
    return what()
