"""Health that tells the truth: what is broken is named, the rest works, each state has a metric and an alert."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from collector.errors import StoreError
from collector.store import Database
from collector.store.leases import NoLongerHolder
from paceline import readiness
from paceline.health import Health
from paceline.scheduler import _refresh
from paceline.service import Service
from paceline.web import create_app
from paceline.wiring import Running
from slo_engine.alerts import health_alerts
from slo_engine.catalog import FIXED
from slo_engine.snapshot import OwnHealth

DOCS = Path(__file__).parents[2] / "docs"
NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)


class Lines:
    """A log that is kept."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, event: str, **_values: Any) -> None:
        """Keep it."""
        self.said.append(f"info: {event}")

    def warning(self, event: str, **_values: Any) -> None:
        """Keep it."""
        self.said.append(f"warning: {event}")

    def error(self, event: str, **_values: Any) -> None:
        """Keep it."""
        self.said.append(f"error: {event}")


class Elsewhere:
    """What is asked about the database, the disk, the inbox and the log of deliveries; tests set it."""

    def __init__(self) -> None:
        self.at: datetime | None = None
        self.broken = False
        self.left = 100 << 30
        self.since: datetime | None = None

    def probe(self) -> datetime | None:
        """The database's time."""
        if self.broken:
            raise StoreError("the store failed, nothing was kept: disk I/O error")
        return self.at

    def waiting(self) -> int:
        """One delivery, where one waits."""
        return int(self.since is not None)

    def oldest(self) -> int | None:
        """Since when it waits."""
        return None if self.since is None else int(self.since.timestamp() * 1e6)

    def newest(self) -> dict[str, Any]:
        """No summary was ever due."""
        return {}

    def free(self, _folder: Path) -> tuple[int, int]:
        """The size of the disk, and what is left."""
        return 200 << 30, self.left


@pytest.fixture
def elsewhere() -> Elsewhere:
    """All is well at first."""
    return Elsewhere()


@pytest.fixture
def lines() -> Lines:
    """What the log was told."""
    return Lines()


@pytest.fixture
def health(elsewhere: Elsewhere, lines: Lines, tmp_path: Path) -> Health:
    """Looks at what tests set."""
    database: Any = elsewhere
    return Health(
        database=database,
        inbox=elsewhere,
        reports=elsewhere,
        deliveries=["mail"],
        folder=tmp_path,
        clock=lambda: NOW,
        real=lambda: NOW,
        log=lines,
        free=elsewhere.free,
    )


def broken(health: Health) -> list[str]:
    """The parts in trouble."""
    return [trouble.part for trouble in health.troubles()]


def test_nothing_is_wrong_before_anybody_looked(health: Health) -> None:
    """What was not looked at is neither well nor broken, and has no metric but the failures' zero."""
    assert health.state == OwnHealth()
    assert broken(health) == []
    assert health.exposition.text.decode().splitlines()[-1] == "platform_evaluation_failures_total 0.0"


def test_a_store_that_takes_no_writes_is_told_once(health: Health, elsewhere: Elsewhere, lines: Lines) -> None:
    """However often somebody looks: one line when it begins, one when it is over."""
    for elsewhere.broken in (False, True, True, True, False, False):
        health.look()
        assert health.state.writable is not elsewhere.broken

    assert lines.said == ["error: the store cannot be written", "info: over: the store cannot be written"]


@pytest.mark.parametrize(("left", "parts"), [((512 << 20), []), ((512 << 20) - 1, ["disk"]), (0, ["disk"])])
def test_a_disk_is_nearly_full_below_512_mebibytes(
    health: Health, elsewhere: Elsewhere, left: int, parts: list[str]
) -> None:
    """Exactly as much as that is enough."""
    elsewhere.left = left
    health.look()

    assert broken(health) == parts


@pytest.mark.parametrize(
    ("ahead", "parts"), [(0, []), (10, []), (-10, []), (11, ["clock"]), (-11, ["clock"]), (3600, ["clock"])]
)
def test_clocks_that_differ_are_told(health: Health, elsewhere: Elsewhere, ahead: int, parts: list[str]) -> None:
    """By more than ten seconds, in either direction."""
    elsewhere.at = NOW + timedelta(seconds=ahead)
    health.look()

    assert health.state.clock_ahead_seconds == ahead
    assert broken(health) == parts


def test_the_time_that_asking_took_is_no_skew(health: Health, elsewhere: Elsewhere) -> None:
    """A database that answers after half a minute may have looked at its clock at any moment of it."""
    times = iter([NOW, NOW + timedelta(seconds=30)])
    health._real = lambda: next(times)
    elsewhere.at = NOW + timedelta(seconds=29)
    health.look()

    assert health.state.clock_ahead_seconds == 0


@pytest.mark.parametrize(("minutes", "parts"), [(None, []), (5, []), (6, ["webhooks"])])
def test_deliveries_that_wait_for_long_are_told(
    health: Health, elsewhere: Elsewhere, minutes: int | None, parts: list[str]
) -> None:
    """The drain comes each second: five minutes say that it does not work."""
    elsewhere.since = None if minutes is None else NOW - timedelta(minutes=minutes)
    health.look()

    assert health.state.waiting_seconds == 60 * (minutes or 0)
    assert broken(health) == parts


def test_evaluations_that_fail_are_counted_since_when(health: Health) -> None:
    """Until one succeeds; the counter stays. Who lost the election has not failed."""
    for _ in range(2):
        with pytest.raises(StoreError), health.evaluation():
            raise StoreError("the store cannot be read")
    with pytest.raises(NoLongerHolder), health.evaluation():
        raise NoLongerHolder("another replica is the evaluator")
    said = [trouble.said for trouble in health.troubles()]
    with health.evaluation():
        pass

    assert said == ["no evaluation has succeeded since 2026-03-09 06:00:00 UTC"]
    assert (broken(health), health.state.evaluation_failures, health.state.evaluated) == ([], 2, True)


def test_metrics_are_made_anew_only_where_something_changed(health: Health) -> None:
    """A look that finds the same keeps the bytes that a scrape has read already."""
    health.look()
    first = health.exposition
    health.look()

    assert health.exposition is first


# --- on a real store -------------------------------------------------------------------------------------


@pytest.fixture
def client(collected: Service) -> Iterator[TestClient]:
    """Asks a service whose store is real."""
    with TestClient(create_app(collected)) as found:
        yield found


@pytest.fixture
def another_writer(settings_file: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Opens the store's file as another program does, and lets go of it at the end."""
    opened: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        opened.append(sqlite3.connect(settings_file.parent / ".paceline" / "paceline.db", isolation_level=None))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def impatient(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store's connections wait a tenth of a second for others, in place of half a minute."""
    monkeypatch.setattr("collector.store.database._BUSY_TIMEOUT_MS", 100)
    service.events._database._engine.dispose()  # those that are open wait for long


def test_a_locked_store_is_named_and_the_rest_works(
    settings_file: Path,
    collected: Service,
    client: TestClient,
    another_writer: Callable[[], sqlite3.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program holds the lock: pages and metrics stay, /readyz names the store; let go, all is well again."""
    impatient(collected, monkeypatch)
    before = client.get("/metrics").text
    other = another_writer()
    other.execute("BEGIN IMMEDIATE")
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "usage_event", "native_id": "1", "capability": "x", "at": "2026-03-05T10:00:00Z"}\n')
    failed = collected.collect(collected.configuration.sources[0])
    collected.look()
    during, metrics = client.get("/readyz").json(), client.get("/metrics")
    page = client.get("/")
    other.execute("ROLLBACK")
    collected.look()
    after = client.get("/readyz").json()

    assert (failed.failure, failed.error) == (
        "store",
        "the store failed, nothing was kept: database is locked; another process has been writing for too long",
    )
    assert during["status"] == "degraded"
    assert during["problems"] == ["the store cannot be written: nothing new is kept"]
    assert {part for part, how in during["parts"].items() if how != "ok"} == {"store"}
    assert (page.status_code, metrics.status_code) == (200, 200)
    assert "platform_store_writable 0.0" in metrics.text
    assert "platform_deployments_total" in before
    assert (after["status"], after["problems"]) == ("ok", [])
    assert collected.collect(collected.configuration.sources[0]).succeeded


def test_the_probe_changes_nothing_that_is_kept(running: Running, collected: Service) -> None:
    """What is derived and evaluated after a hundred looks is what it was."""
    stamps = dict(collected.stamps)
    for _ in range(100):
        running.database.probe()
    collected.refresh()

    assert dict(collected.stamps) == stamps


def test_an_evaluation_that_fails_is_told(
    collected: Service, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was published stays; metrics and /readyz say since when; the log has one line for each change."""
    lines = Lines()
    works = collected._evaluator.evaluate
    published = collected.published
    assert published is not None

    def fails(*_arguments: Any, **_options: Any) -> Any:
        raise StoreError("the store cannot be read: disk I/O error")

    monkeypatch.setattr(collected._evaluator, "evaluate", fails)
    for _ in range(3):
        _refresh(collected, lines)
    during, metrics = client.get("/readyz").json(), client.get("/metrics").text
    assert collected.published is published
    monkeypatch.setattr(collected._evaluator, "evaluate", works)
    _refresh(collected, lines)

    assert during["problems"] == ["no evaluation has succeeded since 2026-03-09 06:00:00 UTC"]
    assert during["parts"]["evaluation"] == "degraded"
    assert "platform_evaluation_last_success 0.0" in metrics
    assert "platform_evaluation_failures_total 3.0" in metrics
    assert "platform_deployments_total" in metrics
    assert lines.said == ["error: evaluate failed; the last numbers stay published", "info: evaluates again"]
    assert client.get("/readyz").json()["status"] == "ok"


def test_of_a_thousand_broken_sources_twenty_are_named(collected: Service) -> None:
    """The rest is counted: an answer of health stays one that a person reads."""
    published = collected.published
    assert published is not None
    (state,) = published.snapshot.sources
    many = tuple(replace(state, name=f"s{n}", fresh=False, failure="credentials") for n in range(1000))
    found = readiness.readiness(
        replace(published, snapshot=replace(published.snapshot, sources=many)), collected.health, collected.role
    )

    assert len(found.problems) == 21
    assert found.problems[0] == "source s0 is not fresh"
    assert found.problems[-1] == "and 1980 more problems of sources"


def test_refused_credentials_and_used_up_quotas_are_named(collected: Service) -> None:
    """What waiting does not mend says that a person must act."""
    published = collected.published
    assert published is not None
    (state,) = published.snapshot.sources
    states = (
        replace(state, name="forge", failure="credentials"),
        replace(state, name="ci", quota={"core": (0, 5000), "search": (3, 30)}),
    )
    found = readiness.readiness(
        replace(published, snapshot=replace(published.snapshot, sources=states)), collected.health, collected.role
    )

    assert found.problems == [
        "source forge fails (credentials): a person must give it valid credentials",
        "source ci has used up its limit of 5000 core",
    ]


def test_the_shape_of_readiness_is_documented(client: TestClient) -> None:
    """The API's own description has it for both answers, and what comes fits it."""
    described = client.get("/openapi.json").json()["paths"]["/readyz"]["get"]["responses"]
    shapes = {status: answer["content"]["application/json"]["schema"]["$ref"] for status, answer in described.items()}

    assert shapes == {"200": "#/components/schemas/HealthView", "503": "#/components/schemas/HealthView"}
    assert readiness.HealthView.model_validate(client.get("/readyz").json()).status == "ok"


def test_a_summary_on_its_way_has_a_metric(health: Health) -> None:
    """Each state is 0 or 1, so that a rule may look for one of them."""
    health.state = replace(health.state, reports={"mail": "retrying"})
    text = health.exposition.text.decode()

    assert 'platform_report_delivery_status{kind="mail",status="retrying"} 1.0' in text
    assert 'platform_report_delivery_status{kind="mail",status="sent"} 0.0' in text
    assert broken(health) == ["deliveries"]


# --- what the documentation says -------------------------------------------------------------------------


def rows() -> list[list[str]]:
    """The states that the operating guide tells of: state, what works, metric, alert, what to do."""
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    table = text.partition("<!-- states -->")[2].partition("<!-- /states -->")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]


def test_every_state_has_its_metric_and_its_alert() -> None:
    """Both exist, the alert is made, and every cell says something."""
    metrics, alerts = {metric.name for metric in FIXED}, {rule.alert for rule in health_alerts()}
    table = rows()

    assert {row[2].strip("`") for row in table} <= metrics
    assert {row[3].strip("`") for row in table} <= alerts
    assert all(len(row) == 5 and all(row) for row in table)


def test_every_alert_on_paceline_itself_is_a_state() -> None:
    """And reads the metric of its row."""
    by_alert = {row[3].strip("`"): row[2].strip("`") for row in rows()}
    known = {rule.alert: set(re.findall(r"platform_[a-z_]+", rule.expr)) for rule in health_alerts()}

    assert set(known) == set(by_alert)
    first = {"PlatformSourceStale": "platform_source_fresh"}  # what makes it stale has metrics of its own
    assert all(first.get(alert, metric) in known[alert] for alert, metric in by_alert.items())


def test_the_doctor_says_that_the_store_takes_no_writes(
    run: Callable[..., tuple[object, str, str]],
    collected: Service,
    another_writer: Callable[[], sqlite3.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the words of the database, beside what it found at the sources."""
    impatient(collected, monkeypatch)
    another_writer().execute("BEGIN IMMEDIATE")

    _, told, _ = run("doctor")

    assert "! The store cannot be written: nothing new is kept." in told
    assert "database is locked; another process has been writing for too long." in told
    assert "events (files): it can be read" in told


def test_a_store_that_is_no_database_says_what_to_do(tmp_path: Path) -> None:
    """Garbage, and a file that was cut off, are named as damaged; neither is written over."""
    (tmp_path / "paceline.db").write_bytes(b"garbage" * 5000)
    with pytest.raises(StoreError, match="its file is damaged: put it aside and restore a backup"):
        Database.open(tmp_path)

    assert (tmp_path / "paceline.db").read_bytes() == b"garbage" * 5000
