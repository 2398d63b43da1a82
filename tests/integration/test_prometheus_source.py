"""A real Prometheus with hours of samples, and a target that a real blackbox exporter probes while the test runs."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from collector.events import Probe, UsageEvent
from collector.people import People
from collector.run import Runner, RunOutcome
from collector.source import SourceContext
from collector.sources.prometheus import PrometheusConfig
from collector.store import Database, EventStore
from slo_engine.indicators import reliability
from slo_engine.organisation import Organisation

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
START = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
MINUTE = timedelta(minutes=1)
MINUTES = 130
DOWN, HALF, GAP = range(60, 65), 65, range(70, 73)
"""Minutes of the history in which nothing answered, half did, and nobody looked."""
SHARE = {"query": "avg by (service) (avg_over_time(probe_success[1m]))", "service": "{service}"}
COUNTS = {
    "good": 'sum by (app) (increase(requests_total{code="200"}[1m]))',
    "total": "sum by (app) (increase(requests_total[1m]))",
    "service": "{app}-requests",
}
MOST_SAMPLES = 100
"""So few that the server refuses the first spans: whoever asks must ask for shorter ones."""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def micros(at: datetime) -> int:
    """A time as columns hold it."""
    return int(at.timestamp()) * 1_000_000


def history() -> str:
    """Samples every 15 seconds: of a probe, and of requests, 16 at a time."""
    lines: dict[str, list[str]] = {"up": [], "200": [], "500": []}
    good = bad = 0
    for minute, second in ((m, s) for m in range(MINUTES) if m not in GAP for s in (5, 20, 35, 50)):
        at = int((START + minute * MINUTE).timestamp()) + second
        served = 0 if minute in DOWN else 8 if minute == HALF else 16
        up = int(second > 30) if minute == HALF else int(served > 0)
        good, bad = good + served, bad + 16 - served
        lines["up"].append(f'probe_success{{service="shop"}} {up} {at}')
        lines["200"].append(f'requests_total{{app="shop",code="200"}} {good} {at}')
        lines["500"].append(f'requests_total{{app="shop",code="500"}} {bad} {at}')
    probe, *requests = lines.values()
    kinds = ("# TYPE probe_success gauge", "# TYPE requests counter")
    return "\n".join([kinds[0], *probe, kinds[1], *requests[0], *requests[1], "# EOF\n"])


# ---- servers


@dataclass
class Site:
    """A server that is switched on and off."""

    status: int = 200
    url: str = ""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A server that is up."""
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield found
        server.shutdown()


@contextlib.contextmanager
def running(folder: Path, *command: str) -> Iterator[None]:
    """A program that runs until the end, its words in a file."""
    with (folder / "words.txt").open("ab") as words:
        process = subprocess.Popen(command, cwd=folder, stdout=words, stderr=words)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


@dataclass(frozen=True)
class Server:
    """A running Prometheus."""

    url: str
    fetch: Callable[..., Any]

    def values(self, expr: str) -> list[float]:
        """What an expression gives now."""
        answer = self.fetch(f"{self.url}/api/v1/query?query={quote(expr)}").json
        return [float(series["value"][1]) for series in answer["data"]["result"]]


@pytest.fixture(scope="module")
def prometheus(
    site: Site,
    tmp_path_factory: pytest.TempPathFactory,
    requires_tool: Callable[[str], str],
    fetch: Any,
    eventually: Any,
) -> Iterator[Server]:
    """A Prometheus with a history, that has the exporter look at the site twice a second."""
    tools = [requires_tool(name) for name in ("promtool", "prometheus", "prometheus-blackbox-exporter")]
    folder, web, exporter = tmp_path_factory.mktemp("prometheus"), free_port(), f"127.0.0.1:{free_port()}"
    (folder / "history.om").write_text(history())
    blocks = [tools[0], "tsdb", "create-blocks-from", "openmetrics", "-q", "--max-block-duration=24h"]
    subprocess.run([*blocks, "history.om", "data"], cwd=folder, check=True, capture_output=True)
    (folder / "blackbox.json").write_text(json.dumps({"modules": {"http_2xx": {"prober": "http", "timeout": "1s"}}}))
    labels = [("__address__", "__param_target"), ("__param_target", "instance")]
    job = {
        "job_name": "blackbox",
        "metrics_path": "/probe",
        "params": {"module": ["http_2xx"]},
        "static_configs": [{"targets": [site.url], "labels": {"service": "live"}}],
        "relabel_configs": [
            *({"source_labels": [source], "target_label": target} for source, target in labels),
            {"target_label": "__address__", "replacement": exporter},
        ],
    }
    often = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    (folder / "prometheus.json").write_text(json.dumps({"global": often, "scrape_configs": [job]}))
    options = ["--storage.tsdb.path=data", "--storage.tsdb.retention.time=30d", "--log.level=warn"]
    listening = ["--config.file=prometheus.json", f"--web.listen-address=127.0.0.1:{web}"]
    probing = [tools[2], "--config.file=blackbox.json", f"--web.listen-address={exporter}", "--timeout-offset=0"]
    with (
        running(folder, *probing),
        running(folder, tools[1], *options, *listening, f"--query.max-samples={MOST_SAMPLES}"),
    ):
        server = Server(f"http://127.0.0.1:{web}", fetch)
        eventually(lambda: fetch(f"{server.url}/-/ready").status == 200)
        eventually(lambda: server.values('probe_success{service="live"}'))
        yield server


# ---- runs


@dataclass
class Reader:
    """Runs a source with the real runner."""

    database: Database
    context: SourceContext
    url: str

    def run(self, **fields: Any) -> RunOutcome:
        """A run with these queries."""
        given = {"name": "prometheus", "type": "prometheus", "url": self.url, "history": "7h", **fields}
        source = PrometheusConfig.model_validate(given).build(self.context)
        runner = Runner(self.database, self.store, lambda: NOW)
        return runner.run("prometheus", source, traffic=self.context.wire.traffic)

    @property
    def store(self) -> EventStore:
        """The events."""
        return EventStore(self.database)

    def uptime(self, service: str) -> dict[int, str]:
        """How the minutes of the history were judged."""
        found = (o for o in reliability.observe(self.store, Organisation()) if o.subject.service == service)
        return {(o.at - START) // MINUTE: str(o.reason or o.outcome) for o in found}


@pytest.fixture
def reader(prometheus: Server, tmp_path: Path) -> Iterator[Reader]:
    """A reader with a new store."""
    database = Database.open(tmp_path)
    people = People(b"k" * 32)
    context = SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=people, clock=lambda: NOW)
    yield Reader(database, context, prometheus.url)
    database.close()


EXPECTED = {n: "bad" if n in DOWN else "unknown" if n in GAP else "good" for n in range(MINUTES)}


def test_uptime_has_the_minutes_of_the_history(reader: Reader) -> None:
    """From shares and from counts alike: down for five minutes, half up for one, unknown for three."""
    first = reader.run(uptime=[SHARE, COUNTS])
    again = reader.run(uptime=[SHARE, COUNTS])

    assert (first.error, first.rejected, first.truncations, first.warnings) == (None, (), (), ())
    assert (again.error, again.changed) == (None, 0)
    for service in ("shop", "shop-requests"):
        judged = reader.uptime(service)
        assert {n: judged[n] for n in range(MINUTES)} == EXPECTED, service


def test_a_half_is_exactly_a_half(reader: Reader) -> None:
    """What Prometheus averages or extrapolates of a minute that was half up stays a half."""
    reader.run(uptime=[SHARE, COUNTS])

    at = int((START + HALF * MINUTE).timestamp()) * 1_000_000
    halves = [
        (passed, checks) for when, passed, checks in reader.store.columns(Probe, "at", "passed", "checks") if when == at
    ]
    assert len(halves) == 2
    assert {2 * passed - checks for passed, checks in halves} == {0}


def test_what_is_probed_now_is_read(reader: Reader, prometheus: Server, site: Site, eventually: Any) -> None:
    """A site is switched off and on again: from the exporter to the source, its worst and its best are seen."""
    site.status = 503
    eventually(lambda: prometheus.values('probe_success{service="live"}') == [0.0])
    site.status = 200
    eventually(lambda: prometheus.values('probe_success{service="live"}') == [1.0])
    # The minute that runs is read before it is over: by an offset into what is the future of the last one.
    seen = 'probe_success{service="live"}[2m] offset -1m'

    outcome = reader.run(
        delay="1s",
        history="1m",
        uptime=[{"query": f"{how}_over_time({seen})", "service": "live", "target": how} for how in ("min", "max")],
    )

    assert outcome.error is None
    newest = sorted(reader.store.columns(Probe, "at", "target", "passed"))[-2:]
    assert [(target, passed) for _, target, passed in newest] == [("max", 10_000), ("min", 0)]


def test_what_is_too_much_for_the_server_is_read_in_shorter_parts(reader: Reader) -> None:
    """It refuses four hours at once: all minutes come all the same, by more requests than two parts would take."""
    outcome = reader.run(uptime=[SHARE])

    assert (outcome.error, outcome.truncations) == (None, ())
    assert outcome.requests > 1 + 2
    assert len(reader.store.columns(Probe, "id", service="shop")) == MINUTES - len(GAP)


def test_usage_is_what_a_counter_grew_by(reader: Reader) -> None:
    """A quarter of an hour of requests, 16 every 15 seconds, gives about as many uses."""
    query = 'sum(increase(requests_total{code="200"}[15m]))'

    reader.run(usage=[{"query": query, "capability": "shop", "step": "15m"}])

    found = dict(reader.store.columns(UsageEvent, "at", "count"))
    assert abs(found[micros(START + 15 * MINUTE)] - 15 * 4 * 16) <= 16


def test_a_query_that_cannot_be_parsed_is_named(reader: Reader) -> None:
    """The server's own words stand beside the place in the settings."""
    outcome = reader.run(uptime=[{"query": "sum(", "service": "shop"}])

    assert (
        outcome.error == "uptime[0].query: the query is refused (bad_data): 1:5: parse error: unclosed left parenthesis"
    )
