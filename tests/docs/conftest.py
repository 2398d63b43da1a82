"""What the commands of the pages work on: a small organisation, and the servers that the pages name."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grafana_api
import pytest
import uvicorn
from click.testing import CliRunner, Result

from paceline.cli import cli
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import build, configuration, utc_now

ROOT = Path(__file__).parents[2]
IMPORTERS = ROOT / "tests" / "slo_engine" / "importers"
AT = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
"""When everything in the organisation is told: a Monday morning."""
WEEKS = 22
SECRETS = {
    "RELEASES_SECRET": "a-secret-of-these-tests-alone",
    "CDEVENTS_SECRET": "another-secret-of-these-tests",
    "PACELINE_GRAFANA_TOKEN": grafana_api.EDITOR,
}
SETTINGS = """\
as_of: 2026-06-01T06:00:00Z
logs: {level: error}
processes: 1
services:
  - {name: shop, team: /commerce/shop}
  - {name: api, team: /commerce/api}
indicators:
  self_service:
    journeys: [{name: provision-db, target: 30m}]
sources:
  - {type: files, name: ci, path: events/ci.jsonl}
  - {type: files, name: portal, path: events/portal.jsonl, kind: self_service_attempt}
  - {type: webhook, name: releases, kind: deployment, webhook_secret: "${RELEASES_SECRET}"}
  - {type: cdevents, name: delivery, webhook_secret: "${CDEVENTS_SECRET}"}
slos: [slos/*.yaml]
"""
CHECKOUT = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, annotations: {paceline.dev/alert-class: rate}}
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout",code="500"}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{job="checkout"}'}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.99}]
"""


@dataclass(frozen=True)
class Example:
    """The organisation's folder and what its commands are told of the environment."""

    folder: Path
    variables: Mapping[str, str]
    repository: Any

    def run(self, *arguments: str) -> Result:
        """What one of our commands says and how it ends; the working directory is the caller's."""
        return CliRunner().invoke(cli, arguments, env=dict(self.variables))

    def forget(self) -> None:
        """Remove the SLO files that a page's command wrote: the next page begins with the same promises."""
        self.repository.git("clean", "--force", "--quiet", "slos")


def _deliveries() -> Iterator[dict[str, Any]]:
    """A change of each service every day, in production six hours after its merge; one build in ten fails."""
    for number in range(7 * WEEKS):
        at = AT - timedelta(days=number, hours=8)
        for service in ("shop", "api"):
            name, sha = f"{service}-{number}", f"{number:038x}{len(service):02x}"
            yield {
                "kind": "commit",
                "native_id": sha,
                "repository": service,
                "sha": sha,
                "authored_at": _told(at - timedelta(hours=20)),
                "committed_at": _told(at - timedelta(hours=6)),
                "parents": [f"{number + 1:038x}{len(service):02x}"],
                "on_default_branch": True,
            }
            yield {
                "kind": "pipeline_run",
                "native_id": name,
                "repository": service,
                "pipeline": "build",
                "state": "completed",
                "result": "failure" if number % 10 == 0 else "success",
                "created_at": _told(at - timedelta(minutes=9)),
                "started_at": _told(at - timedelta(minutes=8)),
                "finished_at": _told(at - timedelta(minutes=1)),
            }
            yield {
                "kind": "deployment",
                "native_id": name,
                "service": service,
                "repository": service,
                "environment": "production",
                "sha": sha,
                "result": "success",
                "finished_at": _told(at),
            }


def _attempts() -> Iterator[dict[str, Any]]:
    """A database every day, for which nobody had to help."""
    for number in range(7 * WEEKS):
        at = AT - timedelta(days=number, hours=8)
        yield {
            "native_id": str(number),
            "journey": "provision-db",
            "requester_team": "/commerce/shop",
            "requester": f"person:{number % 9:032x}",
            "started_at": _told(at - timedelta(minutes=12)),
            "finished_at": _told(at),
            "result": "success",
        }


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _write(path: Path, records: Iterator[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory, repository_at: Callable[..., Any], working_directory: pytest.MonkeyPatch
) -> Example:
    """The organisation: collected, its files committed, with what earlier commands of a reader would have written."""
    folder = tmp_path_factory.mktemp("organisation") / "own"
    repository = repository_at(folder)
    (folder / "slos").mkdir()
    (folder / "paceline.yaml").write_text(SETTINGS, encoding="utf-8")
    starter = (ROOT / "config" / "slos" / "merge-to-production.yaml").read_text(encoding="utf-8")
    (folder / "slos" / "merge-to-production.yaml").write_text(starter, encoding="utf-8")
    (folder / "slos" / "checkout.yaml").write_text(CHECKOUT, encoding="utf-8")
    _write(folder / "events" / "ci.jsonl", _deliveries())
    _write(folder / "events" / "portal.jsonl", _attempts())
    (folder / "sloth.yaml").write_bytes((IMPORTERS / "sloth.yaml").read_bytes())
    (folder / "pyrra").mkdir()
    (folder / "pyrra" / "all.yaml").write_bytes((IMPORTERS / "pyrra.yaml").read_bytes())
    (folder.parent / "other" / "slos").mkdir(parents=True)
    (folder.parent / "other" / "slos" / "one.yaml").write_text(starter.replace("0.9\n", "0.8\n"), encoding="utf-8")
    repository.git("add", "paceline.yaml", "slos")
    repository.commit("ours", at=0)
    repository.tag("v1.4")
    found = Example(folder, SECRETS, repository)
    working_directory.chdir(folder)
    written = ("rules --out rules.yml", "rules --out applied-rules.yml", "dashboards build --out grafana")
    for command in ("collect", *written):
        done = found.run(*command.split())
        assert done.exit_code == 0, done.output
    return found


@pytest.fixture(scope="module")
def working_directory() -> Iterator[pytest.MonkeyPatch]:
    """Changes the working directory, for all commands of the pages; put back at the end."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


# --- the servers that the pages name ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def service_url(example: Example) -> Iterator[str]:
    """The organisation, served."""
    running = build(configuration(example.folder / "paceline.yaml", example.variables, example.folder), environ={})
    webhooks = Webhooks(running.service, running.log, utc_now)  # who signs a time signs the present
    running.service.refresh()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(running.service, None, webhooks)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()
    webhooks.close()
    running.close()


@pytest.fixture(scope="module")
def grafana_url() -> Iterator[str]:
    """A Grafana, as far as boards go."""
    with grafana_api.running() as grafana:
        yield grafana.url


@pytest.fixture(scope="module")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory, requires_tool: Callable[[str], str]) -> Iterator[str]:
    """A real Prometheus with the last requests of a checkout."""
    program, folder = requires_tool("prometheus"), tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("{}", encoding="utf-8")
    (folder / "past.om").write_text(_past(), encoding="utf-8")
    make = [
        requires_tool("promtool"),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "-q",
        "--max-block-duration=8760h",
        "past.om",
        "data",
    ]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = (
        *(program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=10y"),
        *(f"--web.listen-address={address}", "--log.level=error"),
    )
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(address)
            yield f"http://{address}"
        finally:
            process.terminate()


def _wait_for(address: str) -> None:
    """Return once a server listens; a command that asks before would wait longer than needed."""
    host, _, port = address.partition(":")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))):
            return
        time.sleep(0.1)
    pytest.fail(f"nothing listens at {address}")


def _past() -> str:
    """Counters every five minutes of the last five days; for forty minutes of each nobody was served."""
    good, bad = 0, 0
    samples: dict[str, list[str]] = {"200": [], "500": []}
    for number in range(5 * 288):
        served = number % 288 >= 8
        good, bad = good + 30 * served, bad + 30 * (not served)
        for code, count in (("200", good), ("500", bad)):
            at = AT - timedelta(minutes=5 * (5 * 288 - number))
            samples[code].append(f'http_requests_total{{code="{code}",job="checkout"}} {count} {int(at.timestamp())}')
    return "\n".join(["# TYPE http_requests counter", *samples["200"], *samples["500"], "# EOF", ""])
