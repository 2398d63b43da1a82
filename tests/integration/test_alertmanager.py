"""A real Alertmanager sends its alerts through Paceline; they arrive enriched by webhook, Slack's blocks and mail."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from paceline.enricher import Enricher, build_enricher, router
from paceline.notify import NotifySettings
from paceline.resources import alert_windows
from paceline.wiring import Running, build, configuration, utc_now
from slo_engine.alert_windows import load_tiers

pytestmark = pytest.mark.integration

BEARER_TOKEN = "a-bearer-token-of-this-test"  # noqa: S105 - it opens nothing but this test's own door
BAD_RUNS, GOOD_RUNS = 3, 2
PLANTED_NAME = "Wilhelmina Quarterstaff"
SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: pipelines
  displayName: Pipelines succeed
  annotations: {paceline.dev/alert-class: rate}
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        rawType: success
        raw: {metricSource: {type: Paceline, spec: {indicator: pipeline_success}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.99}]
"""


# --- who is sent something -------------------------------------------------------------------------------


@dataclass
class Inbox:
    """What arrived, by webhook and by mail."""

    posted: list[tuple[str, Any]] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    http_port: int = 0
    mail_port: int = 0

    def at(self, path: str, status: str, receiver: str = "bearer") -> Any:
        """The first notification that was posted to a path with a status."""
        found = (body for where, body in self.posted if where == path and body["receiver"] == receiver)
        return next((body for body in found if body["status"] == status), None)

    def chat(self, start: str) -> Any:
        """The first blocks whose text begins so."""
        return next((b for where, b in self.posted if where == "/chat" and b["text"].startswith(start)), None)

    def mail(self, start: str) -> EmailMessage | None:
        """The first mail whose subject begins so."""
        return next((mail for mail in self.mails if mail["Subject"].startswith(start)), None)


def _http(inbox: Inbox) -> type[BaseHTTPRequestHandler]:
    class Receive(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.posted.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Receive


def _smtp(inbox: Inbox) -> type[socketserver.StreamRequestHandler]:
    class Receive(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            for line in self.rfile:
                command = line.split()[0].upper()
                self.wfile.write({b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(command, b"250 ok\r\n"))
                if command == b"DATA":
                    text = b"".join(iter(self.rfile.readline, b".\r\n"))
                    inbox.mails.append(message_from_bytes(text, policy=default))
                    self.wfile.write(b"250 kept\r\n")
                elif command == b"QUIT":
                    return

    return Receive


@contextlib.contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    with server:
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    """A receiver of webhooks and a mail server on loopback."""
    found = Inbox()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _http(found))
    mail = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _smtp(found))
    found.http_port, found.mail_port = http.server_port, mail.server_address[1]
    with _running(http), _running(mail):
        yield found


# --- Paceline --------------------------------------------------------------------------------------------


def _events(now: datetime) -> Iterator[dict[str, Any]]:
    """Runs of the last half hour, most of them failed, and two deployments before."""
    for number in range(BAD_RUNS + GOOD_RUNS):
        at = now - timedelta(minutes=30 - number)
        yield {
            "kind": "pipeline_run",
            "native_id": f"run {number}",
            "repository": "shop",
            "pipeline": "deploy",
            "state": "completed",
            "result": "failure" if number < BAD_RUNS else "success",
            "created_at": at.isoformat(),
            "started_at": at.isoformat(),
            "finished_at": (at + timedelta(seconds=30)).isoformat(),
            "url": f"https://ci.example.com/runs/{number}",
        }
    for version, minutes in (("1.2.3", 40), ("1.2.4", 0)):
        yield {
            "kind": "deployment",
            "native_id": version,
            "service": "shop",
            "environment": "production",
            "version": version,
            "result": "success",
            "finished_at": (now - timedelta(minutes=minutes)).isoformat(),
            "actor": PLANTED_NAME,
        }


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that has collected and evaluated."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "slo.yaml").write_text(SLO, encoding="utf-8")
    lines = (json.dumps(event) + "\n" for event in _events(utc_now()))
    (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")
    settings = folder / "paceline.yaml"
    settings.write_text(
        "sources: [{type: files, name: events, path: events.jsonl}]\nslos: [slo.yaml]\nlogs: {level: error}\n",
        encoding="utf-8",
    )
    found = build(configuration(settings, {}, folder), utc_now, {})
    collected = found.service.collect(found.service.configuration.sources[0])
    assert (collected.error, collected.rejected_total) == (None, 0)
    found.service.refresh()
    yield found
    found.close()


@pytest.fixture(scope="module")
def webhook(running: Running, inbox: Inbox) -> Iterator[tuple[str, Enricher]]:
    """The address of the enricher's webhook, served by a real server; and the enricher."""
    here = f"http://127.0.0.1:{inbox.http_port}"
    mail = {"host": "127.0.0.1", "port": inbox.mail_port, "security": "none", "sender": "paceline@example.com"}
    settings = NotifySettings.model_validate(
        {
            "secret": BEARER_TOKEN,
            "base_url": "https://paceline.example.com",
            "targets": [
                {"type": "webhook", "name": "hook", "url": f"{here}/hook"},
                {"type": "slack", "name": "chat", "url": f"{here}/chat", "receivers": ["bearer"]},
                {"type": "email", "name": "mail", "to": ["oncall@example.com"], "receivers": ["bearer"], **mail},
            ],
        }
    )
    tiers = load_tiers(alert_windows())
    enricher = build_enricher(running.service, settings, tiers=tiers, log=running.log, clock=utc_now)
    app = FastAPI()
    app.include_router(router(enricher, settings))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/webhooks/alertmanager", enricher
        server.should_exit = True
        thread.join()
    enricher.close()


# --- Alertmanager ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager."""

    port: int

    def post(self, labels: Mapping[str, str], starts_at: datetime, ends_at: datetime | None = None) -> int:
        """The status of an alert that is handed in as Prometheus does it."""
        alert = {
            "labels": dict(labels),
            "annotations": {"summary": f"{labels['slo']} burns", "description": "1h: 60 times <too> fast"},
            "startsAt": starts_at.isoformat(),
            "generatorURL": "http://prometheus.example.com/graph?g0.expr=up",
        }
        if ends_at is not None:
            alert["endsAt"] = ends_at.isoformat()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/api/v2/alerts", json.dumps([alert]), {"Content-Type": "application/json"})
            return connection.getresponse().status


@pytest.fixture(scope="module")
def alertmanager(
    webhook: tuple[str, Enricher],
    tmp_path_factory: pytest.TempPathFactory,
    requires_tool: Callable[[str], str],
    fetch: Any,
    eventually: Any,
) -> Iterator[Alertmanager]:
    """An Alertmanager with two receivers: one shows a bearer token, the other a password."""
    program, folder = requires_tool("prometheus-alertmanager"), tmp_path_factory.mktemp("alertmanager")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shown = {
        "bearer": {"authorization": {"credentials": BEARER_TOKEN}},
        "basic": {"basic_auth": {"username": "alertmanager", "password": BEARER_TOKEN}},
        "stranger": {},
    }
    configured = {
        "route": {
            "receiver": "stranger",
            "group_by": ["slo"],
            "group_wait": "0s",
            "group_interval": "1s",
            "routes": [{"receiver": name, "matchers": [], "continue": True} for name in shown],
        },
        "receivers": [
            {"name": name, "webhook_configs": [{"url": webhook[0], "send_resolved": True, "http_config": config}]}
            for name, config in shown.items()
        ],
    }
    (folder / "am.yml").write_text(json.dumps(configured), encoding="utf-8")
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
        yield Alertmanager(port)
    finally:
        process.terminate()
        process.wait(timeout=20)


STARTED_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
PAGE = {"alertname": "PlatformSloBurnPage", "slo": "pipelines", "service": "shop", "severity": "page"}


@pytest.fixture(scope="module")
def fired(alertmanager: Alertmanager) -> Alertmanager:
    """The Alertmanager after a page about the SLO."""
    assert alertmanager.post(PAGE, STARTED_AT) == 200
    return alertmanager


def test_the_alert_arrives_with_what_is_known(fired: Alertmanager, inbox: Inbox, eventually: Any) -> None:
    """Contributors, newest bad events and the deployment before it stand beside the alert as Alertmanager sent it."""
    del fired
    body = eventually(lambda: inbox.at("/hook", "firing"))
    (alert,) = body["alerts"]
    found = alert["paceline"]

    assert (body["version"], alert["labels"]) == ("4", PAGE)
    assert (found["window"], found["bad"], found["total"]) == ("6h", BAD_RUNS, BAD_RUNS + GOOD_RUNS)
    assert [(c["service"], c["bad"], c["total"]) for c in found["contributors"]] == [("shop", 3, 5)]
    assert [e["url"] for e in found["bad_events"]] == [f"https://ci.example.com/runs/{n}" for n in (2, 1, 0)]
    assert [(d["label"], d["environment"]) for d in found["deployments"]] == [("1.2.3", "production")]
    assert found["explain_url"] == "https://paceline.example.com/explain/pipeline_success?window=6h"
    assert (found["slo"]["name"], found["problem"]) == ("pipelines", "")


def test_the_chat_is_sent_blocks(fired: Alertmanager, inbox: Inbox, eventually: Any) -> None:
    """Slack's blocks say who contributes, what was deployed before, and link to the explanation."""
    del fired
    body = eventually(lambda: inbox.chat("[FIRING] pipelines burns"))
    said = "\n".join(block["text"]["text"] for block in body["blocks"] if block["type"] == "section")

    assert "*Top contributors: 3 of 5 events bad in 6h*" in said
    assert "1.2.3 of shop/production, success" in said
    assert "1h: 60 times &lt;too&gt; fast" in said
    assert "<https://paceline.example.com/explain/pipeline_success?window=6h|Explain>" in said


def test_mail_is_sent(fired: Alertmanager, inbox: Inbox, eventually: Any) -> None:
    """A mail server gets the same as text and as HTML."""
    del fired
    mail = eventually(lambda: inbox.mail("[FIRING] pipelines burns"))
    text = mail.get_body(("plain",)).get_content()

    assert "Top contributors: 3 of 5 events bad in 6h" in text
    assert "Explain: https://paceline.example.com/explain/pipeline_success?window=6h" in text
    assert "&lt;too&gt;" in mail.get_body(("html",)).get_content()


def test_basic_auth_is_enough(fired: Alertmanager, inbox: Inbox, eventually: Any) -> None:
    """The receiver that shows its password is heard, too."""
    del fired

    assert eventually(lambda: inbox.at("/hook", "firing", "basic"))


def test_a_stranger_is_not_heard(
    fired: Alertmanager, inbox: Inbox, webhook: tuple[str, Enricher], fetch: Any, eventually: Any
) -> None:
    """The receiver without a secret fails, and Alertmanager counts it."""
    failed = 'alertmanager_notifications_failed_total{integration="webhook"} '
    metrics = f"http://127.0.0.1:{fired.port}/metrics"
    eventually(lambda: float(fetch(metrics).text.partition(failed)[2].split()[0]) >= 1)

    assert inbox.at("/hook", "firing", "stranger") is None
    assert webhook[1].counts["", "queued"] >= 1


def test_the_resolution_follows_and_nobody_is_named(fired: Alertmanager, inbox: Inbox, eventually: Any) -> None:
    """When the alert is over that is sent as well; who deployed stands nowhere."""
    fired.post(PAGE, STARTED_AT, datetime.now(UTC))

    body = eventually(lambda: inbox.at("/hook", "resolved"))
    eventually(lambda: inbox.chat("[RESOLVED] pipelines burns"))
    eventually(lambda: inbox.mail("[RESOLVED] pipelines burns"))

    assert [alert["status"] for alert in body["alerts"]] == ["resolved"]
    said = json.dumps(inbox.posted) + "".join(mail.as_string() for mail in inbox.mails)
    assert PLANTED_NAME.split(maxsplit=1)[0] not in said
    assert "person:" not in said


def test_an_alert_of_something_else_goes_through(alertmanager: Alertmanager, inbox: Inbox, eventually: Any) -> None:
    """What Paceline knows nothing about is handed on as it came."""
    alertmanager.post({"alertname": "DiskFull", "slo": "unknown", "host": "db-1"}, datetime.now(UTC))

    body = eventually(lambda: next((b for _, b in inbox.posted if b.get("groupLabels") == {"slo": "unknown"}), None))

    assert body["alerts"][0]["labels"] == {"alertname": "DiskFull", "slo": "unknown", "host": "db-1"}
    assert body["alerts"][0]["paceline"]["contributors"] == []
