"""The service as a process: signals, faults, restarts, traces, and that nobody is named anywhere."""

from __future__ import annotations

import http.server
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import DEFAULT_TIMEOUT
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = pytest.mark.integration

PLANTED = ("wilhelmina", "quarterstaff", "eve@evil", "<script>", "people.example")
FAST = "evaluate_every: 1s\n"
REPORT = "report: {directory: weekly, hour: 0}\n"
GIT = """\
  - type: git
    name: {name}
    repository: {repository}
    every: 1s
    stale_after: {stale_after}
    deployments: {{rule: tags}}
"""


def git(name: str, repository: Path, stale_after: str = "1h") -> str:
    """A source's settings."""
    return GIT.format(name=name, repository=repository, stale_after=stale_after)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service(serving: Any, workspaces: Any, configuration: str, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end it within five seconds with code 0."""
    with serving(workspaces(configuration)) as served:
        code, seconds = served.stop(number)

    assert code == 0
    assert seconds < 5


def test_a_signal_does_not_wait_for_a_slow_source(
    serving: Any, workspaces: Any, tea_house: Path, eventually: Any
) -> None:
    """A run that would go on for minutes is given up within five seconds, with code 0 and nothing of it kept."""
    slow = {"PYTHONPATH": str(tea_house), "PACELINE_TEST_SLEEPS": "300"}
    workspace = workspaces(FAST + "sources: [{type: tea, name: slow, orders: 10}]\n", **slow)
    with serving(workspace) as served:
        eventually((workspace.data / "slept").exists)
        code, seconds = served.stop()

    assert code == 0
    assert seconds < 5
    assert "given up" in workspace.log
    assert workspace.dump()["event_ticket"] == []


def test_a_taken_port_is_one_clear_line(workspaces: Any) -> None:
    """Where the port is taken, one line says so and how to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        said = workspaces(FAST).run("serve", "--port", port, fails=1).stderr

    assert f"cannot listen on 127.0.0.1 port {port}" in said
    assert "--port" in said
    assert len(said.splitlines()) == 1


def test_a_failing_source_is_the_only_one_that_suffers(
    serving: Any, workspaces: Any, world: Any, tmp_path: Path, eventually: Any
) -> None:
    """A repository vanishes: its numbers go, the other's stay, and health says so without telling paths."""
    lost, kept = tmp_path / "lost.git", tmp_path / "kept.git"
    shutil.copytree(world.repository, lost)
    shutil.copytree(world.repository, kept)
    workspace = workspaces(FAST + "sources:\n" + git("lost", lost, "3s") + git("kept", kept))
    with serving(workspace) as served:
        eventually(lambda: served.get("/readyz").json["status"] == "ok")
        assert _services(served) == {"lost", "kept"}

        shutil.rmtree(lost)

        eventually(lambda: _services(served) == {"kept"})
        health, metrics = served.get("/readyz"), served.metrics()

    assert (health.status, health.json["status"]) == (200, "degraded")
    assert "lost" in health.text
    assert str(tmp_path) not in health.text
    assert metrics['platform_source_fresh{source="lost"}'] == 0
    assert metrics['platform_collector_last_run_success{source="lost"}'] == 0
    assert metrics['platform_source_fresh{source="kept"}'] == 1


def _services(served: Any) -> set[str]:
    """The services that have a number of deployments."""
    named = (s for s in served.metrics() if s.startswith("platform_deployments_samples{"))
    return {series.partition('service="')[2].partition('"')[0] for series in named}


def test_the_first_scrape_after_a_restart_is_complete(
    serving: Any, workspaces: Any, configuration: str, eventually: Any
) -> None:
    """What the store knows is published before the first scrape, not only after the first run."""
    workspace = workspaces(configuration.replace("every: 2s", "every: 1h"))
    with serving(workspace) as served:
        eventually(lambda: served.get("/readyz").json["status"] == "ok")
        before = set(served.metrics())
        served.stop()

    with serving(workspace) as served:
        after = set(served.metrics())

    assert before <= after


def test_the_weekly_summary_is_written_once(serving: Any, workspaces: Any, configuration: str, eventually: Any) -> None:
    """The last whole week is written when its data is complete, and left alone by the next start."""
    workspace = workspaces(configuration + REPORT)
    folder = workspace.path / "weekly"
    workspace.run("collect")
    expected = workspace.run("report").stdout
    with serving(workspace):
        eventually(lambda: list(folder.glob("weekly-*.md")))
    (written,) = folder.iterdir()
    text = written.read_text()
    written.write_text("kept")

    with serving(workspace) as served:
        eventually(lambda: served.get("/readyz").json["status"] == "ok")

    assert text == expected
    assert [p.read_text() for p in folder.iterdir()] == ["kept"]


def test_no_summary_is_written_before_anything_was_collected(
    serving: Any, workspaces: Any, configuration: str, eventually: Any
) -> None:
    """A service that starts with an empty store late in the week does not write an empty summary, and keep it."""
    workspace = workspaces(configuration + REPORT)
    with serving(workspace) as served:
        eventually(lambda: served.get("/readyz").json["status"] == "ok")

    written = [p.read_text() for p in (workspace.path / "weekly").glob("*")]

    assert [text for text in written if "No observation so far" in text] == []
    assert "failed" not in workspace.log


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[bytes]]]:
    """A receiver of traces on loopback, and the bodies that came."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            """Ask for a password, whatever was given."""
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    server.shutdown()
    server.server_close()


def test_runs_and_evaluations_are_traced(
    serving: Any, workspaces: Any, configuration: str, receiver: tuple[str, list[bytes]]
) -> None:
    """With OTLP configured, spans of collection and evaluation arrive, and no person is in them."""
    url, bodies = receiver
    with serving(workspaces(configuration, OTEL_EXPORTER_OTLP_ENDPOINT=url)) as served:
        served.stop()

    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    names = {s.name for r in requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans}

    assert {"paceline.collect", "paceline.derive", "paceline.evaluate"} <= names
    assert [word for word in PLANTED if word in str(requests).lower()] == []


def test_a_receiver_that_hangs_does_not_hold_up_the_end(serving: Any, workspaces: Any, configuration: str) -> None:
    """Where nobody takes the traces, a signal ends the service before the exporter would give up, with code 0."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with serving(workspaces(configuration, OTEL_EXPORTER_OTLP_ENDPOINT=url)) as served:
            code, seconds = served.stop()

    assert code == 0
    assert seconds < DEFAULT_TIMEOUT


def test_a_password_in_a_url_is_never_told(
    serving: Any, workspaces: Any, receiver: tuple[str, list[bytes]], eventually: Any
) -> None:
    """A repository's URL with a password is refused by its server: neither log, page, API nor traces repeat it."""
    url, bodies = receiver
    repository = url.replace("://", "://user:S3cr3tWord@") + "/far.git"
    source = f"sources: [{{type: git, name: far, repository: '{repository}', every: 1s}}]\n"
    workspace = workspaces(FAST + source, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    with serving(workspace) as served:
        eventually(lambda: "collect failed" in workspace.log)
        eventually(lambda: 'last_run_success{source="far"} 0' in served.get("/metrics").text)
        told = [served.get(path).text for path in ("/", "/metrics", "/readyz", "/api/v1/slos")]
        served.stop()
    command = workspace.run("collect", "--output", "json", fails=1)

    everything = [*told, workspace.log, command.stdout, command.stderr, *map(repr, bodies)]
    assert bodies
    assert [text for text in everything if "s3cr3tword" in text.lower()] == []


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("evaluate",),
    ("evaluate", "--output", "json"),
    ("explain", "change_lead_time", "--window", "90d", "--limit", "1000"),
    ("explain", "change_lead_time", "--window", "90d", "--output", "json"),
    ("explain", "deployment_frequency", "--output", "json"),
    ("report",),
    ("rules",),
)


@pytest.fixture(scope="session")
def collected(workspaces: Any, configuration: str) -> Any:
    """A workspace whose history, with names and mails planted in it, is collected."""
    workspace = workspaces(configuration)
    workspace.run("collect")
    return workspace


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_names_a_person(collected: Any, command: tuple[str, ...]) -> None:
    """Names and mails planted in the history appear in no output of a command."""
    done = collected.run(command[0], *command[1:])
    said = (done.stdout + done.stderr).lower()

    assert len(said) > 100
    assert [word for word in PLANTED if word in said] == []


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/slos", "/readyz", "/healthz"])
def test_no_page_names_a_person(shop: Any, path: str) -> None:
    """Nor in a page, the metrics or the API."""
    assert [word for word in PLANTED if word in shop.get(path).text.lower()] == []


def test_nobody_is_in_the_log_or_the_boards(shop: Any, collected: Any, tmp_path: Path) -> None:
    """Nor in the log, or in a dashboard."""
    collected.run("dashboards build", "--out", str(tmp_path))
    boards = [p.read_text().lower() for p in tmp_path.iterdir()]

    assert len(boards) > 1
    assert [word for word in PLANTED if any(word in text for text in (shop.workspace.log.lower(), *boards))] == []
