"""From real systems to numbers: a ticket in Redmine, an alert of Alertmanager, a target that is down and up again.

Each is made by hand in its own system. What Paceline publishes and explains of it is compared with what that system
itself says.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from redmine_server import RedmineServer, redmine_at, require, stored
from small_site import served

from collector.events import Incident, IncidentState
from paceline.doctor import Seen, examine
from paceline.service import Service
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import Running, build, configuration, looking, utc_now

pytestmark = pytest.mark.integration

SECRET = "a-secret-of-this-very-test"  # noqa: S105 - it opens nothing but this test's own door
MINUTES = (True, True, False, False, True)
"""Whether the target is up, minute by minute."""
SETTINGS = """\
logs: {{level: error}}
calendars:
  default: {{timezone: UTC, hours: {{monday-sunday: "00:00-24:00"}}}}
sources:
  - type: redmine
    name: desk
    url: {redmine}
    token: {key}
    issues: [{{becomes: ticket}}]
    statuses: {{closed: Closed}}
  - type: alertmanager
    name: alerts
    webhook_secret: {secret}
    incidents: [{{labels: {{severity: page}}}}]
  - type: probe
    name: checks
    spread: 1s
    targets: [{{service: shop, url: "{target}"}}]
"""


@dataclass
class Clock:
    """The present, less some time."""

    behind: timedelta = timedelta()

    def __call__(self) -> datetime:
        """What this clock shows."""
        return utc_now() - self.behind


@dataclass(frozen=True)
class Lived:
    """What happened, as each system tells it, and where Paceline tells of it."""

    url: str
    opened_at: datetime
    answered_at: datetime
    alert: Mapping[str, Any]
    first_minute: datetime


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def _up(port: int) -> Iterator[None]:
    """Something that answers on a port."""
    with ThreadingHTTPServer(("127.0.0.1", port), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield
        server.shutdown()
        thread.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def redmine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedmineServer]:
    """A real Redmine. Without the package the tests are skipped with the reason, and fail where CI=true."""
    require()
    with redmine_at(tmp_path_factory.mktemp("redmine")) as found:
        yield found


@pytest.fixture(scope="module")
def target_port() -> int:
    """Where the target listens, while it does."""
    return _free_port()


@pytest.fixture(scope="module")
def clock() -> Clock:
    """The clock of the service."""
    return Clock()


@pytest.fixture(scope="module")
def running(
    redmine: RedmineServer, target_port: int, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The service."""
    folder = tmp_path_factory.mktemp("service")
    target = f"http://127.0.0.1:{target_port}/health"
    text = SETTINGS.format(redmine=redmine.url, key=redmine.keys["admin"], secret=SECRET, target=target)
    (folder / "paceline.yaml").write_text(text, encoding="utf-8")
    found = build(configuration(folder / "paceline.yaml", {}, folder), clock, {})
    yield found
    found.close()


@pytest.fixture(scope="module")
def address(running: Running, clock: Clock) -> Iterator[str]:
    """Where the service answers, and takes webhooks."""
    webhooks = Webhooks(running.service, running.log, clock)
    with served(create_app(running.service, webhooks=webhooks)) as url:
        yield url
    webhooks.close()


@pytest.fixture(scope="module")
def alertmanager(
    address: str,
    tmp_path_factory: pytest.TempPathFactory,
    requires_tool: Callable[[str], str],
    fetch: Any,
    eventually: Any,
) -> Iterator[int]:
    """The port of a real Alertmanager that sends to the service."""
    program, folder, port = requires_tool("prometheus-alertmanager"), tmp_path_factory.mktemp("am"), _free_port()
    hook = {"url": f"{address}/webhooks/alerts", "http_config": {"authorization": {"credentials": SECRET}}}
    settings = {
        "route": {"receiver": "paceline", "group_wait": "0s", "group_interval": "1s"},
        "receivers": [{"name": "paceline", "webhook_configs": [hook]}],
    }
    (folder / "am.yml").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder}/am.yml",
                f"--storage.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: fetch(f"http://127.0.0.1:{port}/-/ready").status == 200)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def _is_told(service: Service, state: IncidentState) -> bool:
    """Whether Alertmanager has told of an incident in a state."""
    service.drain()
    return [event.state for event in service.events.events(Incident)] == [state]


def _post(port: int, alert: Mapping[str, Any]) -> int:
    """Hand an alert in, as Prometheus does."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/api/v2/alerts", json.dumps([alert]), {"Content-Type": "application/json"})
        return connection.getresponse().status


@pytest.fixture(scope="module")
def lived(  # noqa: PLR0917 - fixtures are arguments
    redmine: RedmineServer,
    running: Running,
    address: str,
    alertmanager: int,
    clock: Clock,
    target_port: int,
    eventually: Any,
) -> Lived:
    """All of it happened, was collected and evaluated."""
    service = running.service
    desk, _, checks = service.configuration.sources

    # A target that is up, down for two minutes, and up again.
    begun = utc_now().replace(second=0, microsecond=0) - timedelta(minutes=10)
    for minute, is_up in enumerate(MINUTES):
        clock.behind = utc_now() - (begun + timedelta(minutes=minute, seconds=1))
        with _up(target_port) if is_up else contextlib.nullcontext():
            assert service.collect(checks).error is None
    clock.behind = timedelta()

    # An alert that fires, and is resolved.
    ended = datetime.now(UTC).replace(microsecond=0)
    alert: dict[str, Any] = {
        "labels": {"alertname": "ShopDown", "service": "shop", "environment": "production", "severity": "page"},
        "generatorURL": "http://prometheus.example.com/graph?g0.expr=up",
        "startsAt": (ended - timedelta(minutes=7, seconds=53)).isoformat(),
    }
    assert _post(alertmanager, alert) == 200
    eventually(lambda: _is_told(service, IncidentState.DETECTED))
    alert["endsAt"] = ended.isoformat()
    assert _post(alertmanager, alert) == 200
    eventually(lambda: _is_told(service, IncidentState.RESOLVED))

    # A ticket that is opened by one and answered by another.
    redmine.project("help")
    number = redmine.issue("help", by="ada")
    earlier = stored(utc_now() - timedelta(minutes=25))
    redmine.sql("UPDATE issues SET created_on = ? WHERE id = ?", [(earlier, number)])
    redmine.update(number, by="grace", notes="it starts if you plug it in")
    told = redmine.told(f"issues/{number}.json", include="journals")["issue"]
    assert service.collect(desk).error is None
    service.refresh()
    return Lived(
        url=address,
        opened_at=datetime.fromisoformat(told["created_on"]),
        answered_at=datetime.fromisoformat(told["journals"][0]["created_on"]),
        alert=alert,
        first_minute=begun,
    )


def _explained(fetch: Any, lived: Lived, indicator: str) -> Any:
    """What the API tells of an indicator's last days: one number, which its units add up to."""
    answer = fetch(f"{lived.url}/api/v1/explain/{indicator}?window=7d")
    (number,) = answer.json["numbers"]
    assert (answer.status, number["agrees"], number["stats"]) == (200, True, number["exported"])
    return answer.json | {"number": number}


def test_the_ticket_was_answered_when_redmine_says_so(lived: Lived, fetch: Any) -> None:
    """One ticket, answered in time; how long it took is what lies between Redmine's own times."""
    met = _explained(fetch, lived, "support_first_response")
    took = _explained(fetch, lived, "support_first_response_time")
    (unit,) = took["units"]

    assert (met["number"]["numerator"], met["number"]["denominator"]) == (1, 1)
    assert took["number"]["stats"]["p50"] == (lived.answered_at - lived.opened_at).total_seconds()
    assert (datetime.fromisoformat(unit["at"]), unit["labels"]) == (lived.answered_at, {"queue": "help"})
    assert unit["unit"]["url"].endswith("/issues/1")


def test_the_incident_lasted_as_long_as_the_alert_fired(lived: Lived, fetch: Any) -> None:
    """From when it began to fire to when Alertmanager says that it ended: 7 min 53 s."""
    found = _explained(fetch, lived, "incident_time_to_restore")
    (unit,) = found["units"]

    assert (found["number"]["service"], found["number"]["environment"]) == ("shop", "production")
    assert found["number"]["stats"]["p50"] == 473
    assert (unit["unit"]["kind"], unit["unit"]["url"]) == ("incident", lived.alert["generatorURL"])


def test_the_minutes_without_an_answer_were_down(lived: Lived, fetch: Any) -> None:
    """Five minutes checked, two of them down; those that were not checked are unknown, neither up nor down."""
    found = _explained(fetch, lived, "uptime")
    checked, unchecked = found["units"][: len(MINUTES)], found["units"][len(MINUTES) :]

    assert (found["number"]["numerator"], found["number"]["denominator"]) == (3, 5)
    assert [(datetime.fromisoformat(unit["unit"]["at"]), unit["outcome"]) for unit in checked] == [
        (lived.first_minute + timedelta(minutes=minute), "good" if is_up else "bad")
        for minute, is_up in enumerate(MINUTES)
    ]
    assert {(unit["outcome"], unit["reason"]) for unit in unchecked} == {("excluded", "unknown")}


def test_the_doctor_names_the_statuses_that_nobody_mapped(lived: Lived, running: Running) -> None:
    """What Redmine calls a new ticket stands in no setting: it is named with what it was taken as."""
    del lived
    found = running.service.configuration
    since = utc_now() - timedelta(days=1)

    diagnosis = examine(found.sources[0], looking(found, {}), found.organisation, since, Seen())

    assert diagnosis.error is None
    assert {(word.what, word.word, word.taken_as) for word in diagnosis.unmapped} == {("status", "New", "open")}
    assert "No name under `statuses` fits this status: 'New'. See docs/tracking.md." in diagnosis.advice


def test_all_three_are_metrics(lived: Lived, fetch: Any) -> None:
    """What is explained is what Prometheus reads."""
    said = fetch(f"{lived.url}/metrics").text

    samples = dict(line.rsplit(" ", 1) for line in said.splitlines() if 'window="7d"' in line)
    shop = 'environment="production",service="shop",stat="{}",team="",window="7d"'
    desk = 'environment="",queue="help",service="",stat="value",team="/",window="7d"'

    assert samples[f"platform_support_first_response_ratio{{{desk}}}"] == "1.0"
    assert samples[f"platform_incident_restore_seconds{{{shop.format('p50')}}}"] == "473.0"
    assert samples[f"platform_uptime_ratio{{{shop.format('value')}}}"] == "0.6"
