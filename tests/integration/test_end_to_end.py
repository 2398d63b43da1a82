"""From a fault at the source to the notification, with real Paceline, Prometheus and Alertmanager.

`pytest -s` shows how long it took. Burn rates are tried with the windows, factors and rules that are delivered, made
for one evaluation a second; only Alertmanager waits less. Good events in great number end a fault, so that nobody
waits until the bad ones have left all windows. Outages are seen in time-lapse: the rules as they are delivered, with
each of their durations a sixtieth, so that a minute lasts a second.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from ruamel.yaml import YAML

from collector.durations import parse_duration
from slo_engine.alert_windows import load_tiers
from slo_engine.alerts import DATA_OLD, NO_DATA, PAGE, TICKET
from slo_engine.annotations import Links
from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos
from slo_engine.rule_files import render_alertmanager, render_rules
from slo_engine.slo import Slo

pytestmark = [pytest.mark.integration, pytest.mark.long]

TIERS = load_tiers(Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml")
EXPORTER = Path(__file__).with_name("slo_exporter.py")
BUILDS, CHECKOUT = "builds-pass", "checkout-answers"
BUDGET = 0.01
SLOS = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: builds-pass
  annotations: {paceline.dev/alert-class: rate, paceline.dev/runbook: https://runbooks.example/builds}
spec:
  service: delivery
  indicator:
    spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: Paceline, spec: {indicator: pipeline_success}}}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.99}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout-answers, annotations: {paceline.dev/alert-class: rate}}
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'shop_requests_total{code="500"}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: shop_requests_total}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.99}]
"""
CONFIGURATION = """\
evaluate_every: 1s
slos: [slos.yaml]
sources: [{type: files, name: ci, path: runs.jsonl, every: 1s}]
"""
GOOD_BUILDS, BAD_BUILDS, REPAIRED_BUILDS = 30 * 24 * 12, 20, 400
GOOD_REQUESTS, BAD_REQUESTS, REPAIRED_REQUESTS = 100, 3000, 1_000_000
LAPSE = 60
_BETWEEN_BUILDS = timedelta(minutes=5)
_HISTORY_SECONDS = 360
_PATIENCE_SECONDS = 60.0
_TICKET_WAIT, _TICKET_WAIT_SECONDS = "2s500ms", 2.5
"""Between two evaluations, as the delivered wait is."""
_DURATION = re.compile(r"(?<=\[|:)\d+[a-z]+(?=\]|:)|(?<=for: )\d+[a-z]+$|(?<=interval: )\d+[a-z]+$", re.MULTILINE)
_BURN = re.compile(r"(\w+): ([\d.]+) times, (\d+) bad of (\d+) events")
_LEFT = re.compile(r"Error budget left: (-?[\d.]+)% \((-?[\d.]+) bad events\)")


# --- what is watched ----------------------------------------------------------------------------------


@dataclass
class Runs:
    """Pipeline runs that a CI system appends to a file; the test's own count of them."""

    path: Path
    ended: list[tuple[datetime, bool]] = field(default_factory=list)

    def append(self, runs: Sequence[tuple[datetime, bool]]) -> None:
        """Add runs, each with its end and whether it was good, in one write."""
        first = len(self.ended)
        lines = [json.dumps(_run(first + n, at, good=good)) + "\n" for n, (at, good) in enumerate(runs)]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
        self.ended += runs

    def end_now(self, count: int, *, good: bool) -> None:
        """Runs that end now."""
        self.append([(datetime.now(UTC), good)] * count)

    def count(self, window: str, at: datetime) -> tuple[int, int]:
        """Bad and all runs of the window that ends at a time."""
        since = at - parse_duration(window)
        within = [good for ended, good in self.ended if since < ended <= at]
        return within.count(False), len(within)


def _run(number: int, at: datetime, *, good: bool) -> Mapping[str, Any]:
    return {
        "kind": "pipeline_run",
        "native_id": f"run {number}",
        "repository": "shop",
        "pipeline": "build",
        "state": "completed",
        "result": "success" if good else "failure",
        "created_at": (at - timedelta(minutes=1)).isoformat(),
        "started_at": (at - timedelta(minutes=1)).isoformat(),
        "finished_at": at.isoformat(),
    }


@dataclass(frozen=True)
class Exporter:
    """A running exporter of request counters."""

    process: subprocess.Popen[str]
    address: str

    def count(self, code: int, requests: int) -> None:
        """Requests that ended with a code, all at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{code} {requests}\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def exporting() -> Iterator[Exporter]:
    """An exporter of its own, killed at the end whatever happens."""
    command = [sys.executable, str(EXPORTER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Exporter(process, process.stdout.readline().strip())
        finally:
            process.kill()


# --- what watches -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notification:
    """What Alertmanager sent to a receiver about one alert, and when it arrived."""

    arrived: float
    receiver: str
    alert: Mapping[str, Any]

    @property
    def what(self) -> tuple[str, str]:
        """The alert's name, and `firing` or `resolved`."""
        return self.alert["labels"]["alertname"], self.alert["status"]

    @property
    def starts_at(self) -> datetime:
        """Since when Prometheus fires it."""
        return datetime.fromisoformat(self.alert["startsAt"])


@dataclass(frozen=True)
class Receiver:
    """A webhook on loopback that keeps what arrives."""

    url: str
    received: list[Notification]

    def about(self, slo: str) -> list[Notification]:
        """The notifications of an SLO, as they came."""
        return [n for n in list(self.received) if n.alert["labels"].get("slo") == slo]

    def first(self, name: str, status: str = "firing", slo: str = "") -> Notification | None:
        """The first notification of an alert, of an SLO where one is given."""
        every = self.about(slo) if slo else list(self.received)
        return next((n for n in every if n.what == (name, status)), None)


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A running webhook receiver."""
    received: list[Notification] = []

    class _Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived = time.time()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.extend(Notification(arrived, body["receiver"], alert) for alert in body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: what arrived is kept."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Receiver(f"http://127.0.0.1:{server.server_port}/", received)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Watch:
    """A Prometheus and an Alertmanager that notifies a receiver."""

    prometheus: str
    alertmanager: str
    receiver: Receiver
    fetch: Callable[..., Any]

    def query(self, expr: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and values of the series that an expression gives now."""
        answer = self.fetch(f"{self.prometheus}/api/v1/query?query={quote(expr)}").json
        return [(s["metric"], float(s["value"][1])) for s in answer["data"]["result"]]

    def alerts(self, slo: str, name: str) -> list[Mapping[str, Any]]:
        """The alerts that Alertmanager knows of an SLO, with their states."""
        found: list[Mapping[str, Any]] = self.fetch(f"{self.alertmanager}/api/v2/alerts").json
        return [a for a in found if (a["labels"].get("slo"), a["labels"]["alertname"]) == (slo, name)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(log: Path, *command: str) -> Iterator[None]:
    """A server that writes only warnings, of which there must be none; ended by its own id."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=log.parent, stdout=file, stderr=file)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _routes(slos: Sequence[Slo], url: str) -> str:
    """Routes and inhibit rules as they are delivered, with receivers; only the waits are shorter."""
    made = YAML(typ="safe").load(re.sub(r"group_wait: \S+", f"group_wait: {_TICKET_WAIT}", render_alertmanager(slos)))
    made["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    return json.dumps(
        made | {"receivers": [{"name": n, "webhook_configs": [{"url": url}]} for n in ("page", "ticket")]}
    )


def _history(folder: Path, promtool: str, exporter: str) -> None:
    """An exporter that counted nothing for minutes: a rate is exact where its window is full of samples."""
    now = int(time.time())
    lines = [
        f'shop_requests_total{{code="{code}",instance="{exporter}",job="{exporter}"}} 0 {at}'
        for code in ("200", "500")
        for at in range(now - _HISTORY_SECONDS, now)
    ]
    (folder / "history.om").write_text("\n".join(["# TYPE shop_requests counter", *lines, "# EOF", ""]))
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "-q", "history.om", "data"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


Watching = Callable[[str, Sequence[Slo], Sequence[str]], contextlib.AbstractContextManager[Watch]]


@pytest.fixture(scope="module")
def watching(
    tmp_path_factory: pytest.TempPathFactory, requires_tool: Callable[[str], str], fetch: Any, eventually: Any
) -> Watching:
    """Starts a Prometheus with rules, which scrapes Paceline and an exporter every second, and an Alertmanager."""
    programs, promtool = (
        [requires_tool(n) for n in ("prometheus", "prometheus-alertmanager")],
        requires_tool("promtool"),
    )

    @contextlib.contextmanager
    def watch(rules: str, slos: Sequence[Slo], targets: Sequence[str]) -> Iterator[Watch]:
        folder = tmp_path_factory.mktemp("watch")
        addresses = [f"127.0.0.1:{_free_port()}" for _ in programs]
        (folder / "rules.yml").write_text(rules, encoding="utf-8")
        configuration = {
            "global": {"scrape_interval": "1s"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [addresses[1]]}]}]},
            "scrape_configs": [{"job_name": t, "static_configs": [{"targets": [t]}]} for t in targets],
        }
        (folder / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")
        _history(folder, promtool, targets[-1])
        with contextlib.ExitStack() as stack:
            receiver = stack.enter_context(receiving())
            (folder / "alertmanager.yml").write_text(_routes(slos, receiver.url), encoding="utf-8")
            alertmanager = (
                *(programs[1], "--config.file=alertmanager.yml", "--storage.path=am", "--cluster.listen-address="),
                *(f"--web.listen-address={addresses[1]}", "--log.level=warn"),
            )
            prometheus = (
                *(programs[0], "--config.file=prometheus.yml", "--storage.tsdb.path=data"),
                *(f"--web.listen-address={addresses[0]}", "--log.level=warn"),
            )
            for name, command in (("alertmanager", alertmanager), ("prometheus", prometheus)):
                stack.enter_context(_running(folder / f"{name}.txt", *command))
            found = Watch(f"http://{addresses[0]}", f"http://{addresses[1]}", receiver, fetch)
            for url in (found.prometheus, found.alertmanager):
                eventually(lambda url=url: fetch(f"{url}/-/ready").status == 200, _PATIENCE_SECONDS)
            yield found

    return watch


# --- a fault, and its end -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Incident:
    """What was seen of a fault at the source of one SLO, from quiet traffic until after its end."""

    fault_at: float
    page: Notification
    ticket: Mapping[str, Any]
    burns_after_recovery: bool
    explained: int
    notified: Sequence[Notification]


Platform = tuple[Runs, Any, Sequence[Slo]]


@pytest.fixture(scope="module")
def platforms(workspaces: Any) -> Callable[[], Platform]:
    """Makes workspaces with an SLO that Paceline counts and one that Prometheus measures.

    There is a month of good runs, one every five minutes: for minutes to come every window ends between two of them.
    """

    def make() -> Platform:
        workspace = workspaces(CONFIGURATION)
        runs, now = Runs(workspace.path / "runs.jsonl"), datetime.now(UTC)
        runs.append([(now - _BETWEEN_BUILDS * (n + 0.5), True) for n in reversed(range(GOOD_BUILDS))])
        (workspace.path / "slos.yaml").write_text(SLOS, encoding="utf-8")
        return runs, workspace, load_slos(workspace.path / "slos.yaml", indicators())

    return make


@pytest.fixture(scope="module")
def platform(platforms: Callable[[], Platform]) -> Platform:
    """The platform on which something fails."""
    return platforms()


@pytest.fixture(scope="module")
def runs(platform: Platform) -> Runs:
    """Its runs."""
    return platform[0]


@pytest.fixture(scope="module")
def incidents(serving: Any, platform: Platform, watching: Watching, eventually: Any) -> Mapping[str, Incident]:
    """A fault at each source, its page, its end, and what came after."""
    runs, workspace, slos = platform
    faults: dict[str, float] = {}
    with serving(workspace) as served, exporting() as exporter:
        rules = render_rules(slos, TIERS, Links(paceline=served.url), interval_seconds=1)
        with watching(rules, slos, [urlsplit(served.url).netloc, exporter.address]) as watch:
            eventually(lambda: watch.query("slo:sli_total:rate5m"), _PATIENCE_SECONDS)
            exporter.count(200, GOOD_REQUESTS)
            eventually(lambda: len(watch.query("slo:period_error_budget_remaining:ratio == 1")) == len(slos))
            assert watch.receiver.received == []

            faults[CHECKOUT] = time.time()
            exporter.count(500, BAD_REQUESTS)
            pages = {CHECKOUT: eventually(lambda: watch.receiver.first(PAGE, slo=CHECKOUT), _PATIENCE_SECONDS)}
            faults[BUILDS] = time.time()
            runs.end_now(BAD_BUILDS, good=False)
            pages[BUILDS] = eventually(lambda: watch.receiver.first(PAGE, slo=BUILDS), _PATIENCE_SECONDS)
            # A ticket that nothing silences would have been sent by then.
            eventually(lambda: time.time() > pages[BUILDS].arrived + 2 * _TICKET_WAIT_SECONDS)
            tickets = {name: eventually(lambda name=name: watch.alerts(name, TICKET)) for name in pages}

            exporter.count(200, REPAIRED_REQUESTS)
            runs.end_now(REPAIRED_BUILDS, good=True)
            ends = [
                eventually(lambda name=name: watch.receiver.first(PAGE, "resolved", name), _PATIENCE_SECONDS).arrived
                for name in pages
            ]
            eventually(lambda: time.time() > max(ends) + 2 * _TICKET_WAIT_SECONDS)
            still = 'slo:sli_error:ratio_rate3d{{slo="{0}"}} > 0.01 < slo:sli_error:ratio_rate6h{{slo="{0}"}}'
            return {
                name: Incident(
                    fault_at=faults[name],
                    page=page,
                    ticket=tickets[name][0],
                    burns_after_recovery=bool(watch.query(still.format(name))),
                    explained=watch.fetch(page.alert["annotations"]["explain_url"] or served.url).status,
                    notified=watch.receiver.about(name),
                )
                for name, page in pages.items()
            }


@pytest.mark.parametrize("name", [BUILDS, CHECKOUT])
def test_a_fault_is_one_page_that_recovery_resolves(incidents: Mapping[str, Incident], name: str) -> None:
    """All that is ever sent about an incident: that it pages, to the page's receiver, and that it is over."""
    sent = [(n.receiver, *n.what) for n in incidents[name].notified]

    assert sent == [("page", PAGE, "firing"), ("page", PAGE, "resolved")]


@pytest.mark.parametrize("name", [BUILDS, CHECKOUT])
def test_the_ticket_of_a_page_is_inhibited(incidents: Mapping[str, Incident], name: str) -> None:
    """Alertmanager knows the ticket, and that the page silences it."""
    status = incidents[name].ticket["status"]

    assert status["state"] == "suppressed"
    assert status["inhibitedBy"] == [incidents[name].page.alert["fingerprint"]]


def test_what_was_paged_for_is_no_ticket_afterwards(incidents: Mapping[str, Incident]) -> None:
    """After the recovery three days still burn too fast, and there is no ticket."""
    incident = incidents[BUILDS]

    assert incident.burns_after_recovery
    assert TICKET not in [n.what[0] for n in incident.notified]


def test_the_page_of_an_indicator_has_the_exact_numbers(incidents: Mapping[str, Incident], runs: Runs) -> None:
    """Burn rate, bad and all runs of each window, and what is left, are those of the runs in the file."""
    page = incidents[BUILDS].page
    text = page.alert["annotations"]["description"]
    counts = {w: runs.count(w, page.starts_at) for w in ("5m", "30m", "1h", "6h")}
    bad, total = runs.count("30d", page.starts_at)
    [(left, left_events)] = _LEFT.findall(text)

    assert _BURN.findall(text) == [(w, f"{b / n / BUDGET:.1f}", str(b), str(n)) for w, (b, n) in counts.items()]
    assert (bad, total) == (BAD_BUILDS, GOOD_BUILDS + BAD_BUILDS)
    assert float(left) == pytest.approx(100 * (1 - bad / (BUDGET * total)), abs=0.01)
    assert float(left_events) == pytest.approx(BUDGET * total - bad, abs=0.05)


def test_the_page_of_a_query_has_the_numbers_of_the_exporter(incidents: Mapping[str, Incident]) -> None:
    """Bad and all requests of each window, and what is left, are what the exporter counted, within a percent.

    A rate of Prometheus is of as many seconds as lie between samples: of 5 minutes it extrapolates one.
    """
    text = incidents[CHECKOUT].page.alert["annotations"]["description"]
    total = GOOD_REQUESTS + BAD_REQUESTS
    burns = {w: tuple(map(float, numbers)) for w, *numbers in _BURN.findall(text)}
    [left] = _LEFT.findall(text)

    expected = (BAD_REQUESTS / total / BUDGET, BAD_REQUESTS, total)
    assert burns == {w: pytest.approx(expected, rel=0.01) for w in ("5m", "30m", "1h", "6h")}
    allowed = BUDGET * total
    assert tuple(map(float, left)) == pytest.approx(
        (100 * (1 - BAD_REQUESTS / allowed), allowed - BAD_REQUESTS), rel=0.01
    )


def test_the_links_of_a_page_lead_somewhere(incidents: Mapping[str, Incident]) -> None:
    """The runbook is the SLO's, and the page of the units behind it is there."""
    incident = incidents[BUILDS]

    assert incident.page.alert["annotations"]["runbook_url"] == "https://runbooks.example/builds"
    assert incident.explained == 200


@pytest.mark.parametrize("name", [BUILDS, CHECKOUT])
def test_the_time_from_a_fault_to_its_notification(incidents: Mapping[str, Incident], name: str) -> None:
    """With a second between collections, scrapes and evaluations it takes seconds."""
    seconds = incidents[name].page.arrived - incidents[name].fault_at

    print(f"\n{name}: {seconds:.2f} s from the fault to its notification")  # noqa: T201 - what -s is for
    assert 0 < seconds < 20


# --- outages, in time-lapse ---------------------------------------------------------------------------


def _sixtieth(duration: re.Match[str]) -> str:
    milliseconds = parse_duration(duration[0]) / timedelta(milliseconds=1) / LAPSE
    return f"{milliseconds:.0f}ms"


Outage = tuple[Sequence[Notification], Sequence[Notification]]


@pytest.fixture(scope="module")
def outage(serving: Any, platforms: Callable[[], Platform], watching: Watching, eventually: Any) -> Outage:
    """What is sent after the exporter is killed, and what after Paceline is too."""
    _, workspace, slos = platforms()
    rules = _DURATION.sub(_sixtieth, render_rules(slos, TIERS))
    with contextlib.ExitStack() as stack:
        served, exporter = stack.enter_context(serving(workspace)), stack.enter_context(exporting())
        watch = stack.enter_context(watching(rules, slos, [urlsplit(served.url).netloc, exporter.address]))
        eventually(lambda: len(watch.query("slo:sli_total:events5m")) == len(slos), _PATIENCE_SECONDS)
        assert watch.receiver.received == []
        exporter.process.kill()
        eventually(lambda: watch.receiver.first(NO_DATA), _PATIENCE_SECONDS)
        first = list(watch.receiver.received)
        served.stop(signal.SIGKILL)
        eventually(lambda: watch.receiver.first(DATA_OLD), _PATIENCE_SECONDS)
        return first, list(watch.receiver.received)[len(first) :]


def test_a_killed_exporter_is_said(outage: Outage) -> None:
    """Its SLO has no data: one ticket says that its state is unknown, and nothing else is sent."""
    sent = [(n.receiver, *n.what, n.alert["labels"]["slo"]) for n in outage[0]]

    assert sent == [("ticket", NO_DATA, "firing", CHECKOUT)]
    assert outage[0][0].alert["annotations"]["summary"] == f"{CHECKOUT} has no fresh data: its state is unknown"


def test_a_killed_paceline_is_said(outage: Outage) -> None:
    """A ticket says that nothing new is published, and the missing exporter is not forgotten."""
    sent = [n.what for n in outage[1]]

    assert (DATA_OLD, "firing") in sent
    assert (NO_DATA, "resolved") not in sent
