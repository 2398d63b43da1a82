"""Workers and replicas on one PostgreSQL: killed, frozen and thawed, with nothing lost and nothing doubled.

What takes long runs with `make test-replicas`, which prints the figures that docs/operations.md tells.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from forked import Process
from receivers import Hook, hook
from stores import Server

pytestmark = [pytest.mark.integration, pytest.mark.long]

KEY = "0123456789abcdef0123456789abcdef"
SECRET = "a-secret-of-these-tests"  # noqa: S105 - it opens nothing but their own door
PAGES, PAGE = 3, 40
WEBHOOKS = 24
LONG, LATE = "s0", "s1"
"""Sources that hang in their second page: in that of the one a worker is killed, that of the other lasts longer."""
WITHIN_SECONDS = 15.0
SCRAPE_SECONDS = 0.5
CONFIGURATION = """\
evaluate_every: 2s
logs: {{format: json}}
store: ${{STORE}}
replicas: {{collect: workers, jobs: 2}}
report:
  hour: 0
  deliveries: [{{type: webhook, name: wall, url: "{wall}"}}]
sources:
  - {{type: webhook, name: releases, kind: deployment, webhook_secret: {secret}, every: 1h}}
{sources}
"""
SOURCE = """\
  - type: http_json
    name: s{n}
    url: {url}/${{WHO}}
    timeout: 10m
    every: {every}
    lists:
      - path: s{n}
        paging: {{kind: page, size_parameter: per_page, size: {page}}}
        events:
          - kind: deployment
            fields:
              native_id: id
              service: {{value: shop}}
              environment: {{value: production}}
              result: {{value: success}}
              finished_at: at
              updated_at: at
"""


# --- a system that is collected from -------------------------------------------------------------------


class Provider(ThreadingHTTPServer):
    """Lists of deployments, in pages; which worker asks it stands in the path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Listing)
        self.asked: list[tuple[str, str, int]] = []
        self.hanging = threading.Event()
        """`LONG` hangs."""
        self.released = {name: threading.Event() for name in (LONG, LATE)}
        self.began = datetime.now(UTC) - timedelta(days=20)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def runs(self) -> Counter[str]:
        """How many runs each worker began."""
        return Counter(who for who, _, page in self.asked if page == 1)


class _Listing(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        who, name = parts.path.strip("/").split("/")
        page = int(parse_qs(parts.query).get("page", ["1"])[0])
        self.server.asked.append((who, name, page))
        if page == 2 and name in self.server.released:
            if name == LONG:
                self.server.hanging.set()
            self.server.released[name].wait()
        items = range((page - 1) * PAGE, page * PAGE) if page <= PAGES else ()
        at = [(self.server.began + timedelta(minutes=n)).isoformat() for n in items]
        body = json.dumps([{"id": f"{name}-{n}", "at": t} for n, t in zip(items, at, strict=True)]).encode()
        with contextlib.suppress(OSError):  # whoever asked may be dead
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _provider() -> Iterator[Provider]:
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            for held in server.released.values():
                held.set()
            server.shutdown()
            thread.join()


# --- processes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """A process, and where it answers."""

    name: str
    workspace: Any
    process: Process
    url: str

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by series as they are written."""
        _, text = _got(self.url)
        lines = (line for line in text.splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}

    def send(self, number: int) -> float:
        """Send a signal; when."""
        at = time.monotonic()
        self.process.send_signal(number)
        return at

    def end(self, number: int) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.send(number)
        return self.process.wait(timeout=30)


@dataclass
class Start:
    """Starts processes, each in a folder of its own, all with the same settings."""

    workspaces: Callable[..., Any]
    configuration: str
    variables: Mapping[str, str]
    stack: contextlib.ExitStack

    def __call__(self, command: str, name: str) -> Running:
        """A process that answers; killed at the end whatever happens."""
        workspace = self.workspaces(self.configuration, WHO=name, **self.variables)
        process = workspace.start(command, "--port", "0")
        self.stack.callback(_gone, process)
        line = next((line for line in process.stdout if line.startswith(("Metrics", "Worker"))), None)
        assert line is not None, workspace.log
        return Running(name, workspace, process, line.split()[-1].removesuffix("/metrics"))


def _gone(process: Process) -> None:
    if process.poll() is None:
        process.kill()  # also where it is frozen
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _got(url: str, path: str = "/metrics", seconds: float = 60.0) -> tuple[int, str]:
    """The status and text of an answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=seconds)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@dataclass
class Scrapes:
    """Asks for the metrics of processes every half second, each by itself; one that is frozen may answer late."""

    seen: list[tuple[float, str, bool]] = field(default_factory=list)
    """When an answer came, whose it was, and whether it holds the domain's metrics."""
    values: dict[str, list[float]] = field(default_factory=dict)
    """By process that exposed it, a counter as it was seen, in order."""
    stopped: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def of(self, one: Running) -> None:
        """Begin to scrape a process."""
        self.threads.append(threading.Thread(target=self._scrape, args=(one,)))
        self.threads[-1].start()

    def exposing(self, since: float = 0.0) -> list[str]:
        """Who exposed the domain's metrics after a time, in the order of answers."""
        return [name for at, name, exposes in self.seen if exposes and at > since]

    def close(self) -> None:
        """Scrape no more."""
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _scrape(self, one: Running) -> None:
        while not self.stopped.wait(SCRAPE_SECONDS):
            with contextlib.suppress(OSError, http.client.HTTPException):
                _, text = _got(one.url)
                self.seen.append((time.monotonic(), one.name, "platform_source_staleness_seconds" in text))
                counted = [li for li in text.splitlines() if li.startswith("platform_deployments_total{")]
                if counted:
                    self.values.setdefault(one.name, []).append(sum(float(li.rsplit(" ", 1)[1]) for li in counted))


@dataclass
class Shop:
    """Everything that runs, and what is asked of it."""

    start: Start
    provider: Provider
    wall: Hook
    scrapes: Scrapes
    address: str
    sources: int
    eventually: Callable[..., Any]
    workers: list[Running] = field(default_factory=list)
    evaluators: list[Running] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def serve(self, name: str) -> Running:
        """One more that serves, and is scraped from its first answer on."""
        self.evaluators.append(self.start("serve", name))
        self.scrapes.of(self.evaluators[-1])
        return self.evaluators[-1]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds in the store."""
        with psycopg.connect(self.address) as connection:
            return connection.execute(query.encode()).fetchall()

    def replaced(self, one: Running, number: int, by: Running) -> float:
        """Kill or freeze the evaluator; seconds until the other one exposes. Meanwhile what was late ends."""
        at = one.send(number)
        self.provider.released[LATE].set()
        self.eventually(lambda: by.name in self.scrapes.exposing(at), 60.0)
        return next(t for t, name, exposes in self.scrapes.seen if exposes and name == by.name and t > at) - at


@pytest.fixture
def shop(
    request: pytest.FixtureRequest,
    postgresql: Server,
    workspaces: Callable[..., Any],
    eventually: Callable[..., Any],
) -> Iterator[Shop]:
    """A system to collect from by so many sources, a place for the summary, a database; as yet nothing of Paceline."""
    number: int = request.param
    with contextlib.ExitStack() as stack:
        provider, wall = stack.enter_context(_provider()), stack.enter_context(hook())
        sources = "".join(
            SOURCE.format(n=n, url=provider.url, page=PAGE, every="1s" if n == number - 1 else "1h")
            for n in range(number)
        )
        configuration = CONFIGURATION.format(wall=wall.url, secret=SECRET, sources=sources)
        address = postgresql.empty()
        variables = {"STORE": address, "PACELINE_PEOPLE_KEY": KEY}
        scrapes = Scrapes()
        start = Start(workspaces, configuration, variables, stack)
        stack.callback(scrapes.close)
        # Last in, first out: those who are scraped end after the scraping, unless they are frozen.
        found = Shop(start, provider, wall, scrapes, address, number, eventually)
        stack.callback(_thawed, found)
        yield found


def _thawed(shop: Shop) -> None:
    for one in shop.evaluators:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGCONT)


def _delivered(to: Running, native_id: str) -> int:
    """The status of one deployment sent to a process."""
    record = {
        "native_id": native_id,
        "service": "shop",
        "environment": "production",
        "result": "success",
        "finished_at": "2026-03-02T09:00:00Z",
        "updated_at": "2026-03-02T09:00:00Z",
    }
    parts = urlsplit(to.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {SECRET}", "X-Paceline-Delivery": native_id}
        connection.request("POST", "/webhooks/releases", json.dumps(record), headers)
        return connection.getresponse().status


DONE = "SELECT count(*) FROM source_run WHERE succeeded AND source LIKE 's%'"
EVENTS = "SELECT source, count(*), count(DISTINCT native_id) FROM event_deployment GROUP BY 1 ORDER BY 1"


@pytest.mark.parametrize("shop", [3], indirect=True)
def test_a_replica_takes_over(shop: Shop) -> None:
    """The evaluator is killed: another one is in time, sends the summary that was due, and all that came is there."""
    one, other = shop.serve("one"), shop.serve("other")
    shop.provider.released[LONG].set()
    shop.workers.append(shop.start("worker", "w"))
    shop.eventually(lambda: shop.rows(DONE) == [(shop.sources - 1,)], 60.0)

    _webhooks_reach_both(shop, one, other)
    _the_evaluator_is_killed(shop, one, other)
    _all_end(shop)

    _all_is_there_once(shop)


@pytest.mark.replicas
@pytest.mark.parametrize("shop", [8], indirect=True)
def test_three_workers_and_two_evaluators(shop: Shop) -> None:
    """Work is spread, who dies or freezes is replaced in time, one exposes, and all that came is there once."""
    one, other = shop.serve("one"), shop.serve("other")
    shop.workers.extend(shop.start("worker", f"w{n}") for n in range(3))

    _a_worker_is_killed(shop)
    _webhooks_reach_both(shop, one, other)
    _the_evaluator_is_killed(shop, one, other)
    third = shop.serve("third")
    _the_evaluator_is_frozen(shop, other, third)
    jobs = _all_end(shop)

    _all_is_there_once(shop)
    assert len(shop.provider.runs()) == 3
    assert min(jobs) > 0
    sys.stdout.write(f"\n{json.dumps(shop.figures, indent=1)}\nload {os.getloadavg()}\n")


def _all_is_there_once(shop: Shop) -> None:
    """Every event, the summary, and whoever exposed."""
    events = [("releases", WEBHOOKS, WEBHOOKS)]
    events += [(f"s{n}", PAGES * PAGE, PAGES * PAGE) for n in range(shop.sources)]
    assert shop.rows(EVENTS) == events
    assert len(shop.wall.posted) == 1
    _one_exposed_at_a_time(shop.scrapes)
    for name, counts in shop.scrapes.values.items():
        assert counts == sorted(counts), name


def _a_worker_is_killed(shop: Shop) -> None:
    """In the middle of a page; another one collects that source anew, and the others' work is spread."""
    shop.provider.hanging.wait(60)
    shop.eventually(lambda: shop.rows(DONE) == [(shop.sources - 2,)], 60.0)
    (first,) = [who for who, name, _ in shop.provider.asked if (name, _) == (LONG, 1)]
    dead = next(worker for worker in shop.workers if worker.name == first)
    kept = shop.rows("SELECT count(*) FROM event_deployment WHERE source = 's0'")

    at = dead.send(signal.SIGKILL)
    shop.provider.released[LONG].set()
    shop.eventually(lambda: shop.rows(DONE) == [(shop.sources - 1,)], 60.0)

    shop.figures["run of a killed worker taken over and ended after (s)"] = round(time.monotonic() - at, 1)
    assert kept == [(0,)]
    assert [who for who, name, page in shop.provider.asked if (name, page) == (LONG, 1)] != [first]
    shop.workers.remove(dead)


def _webhooks_reach_both(shop: Shop, *replicas: Running) -> None:
    """Each delivery is sent to one of them, every third to the other as well."""
    for n, to in zip(range(WEBHOOKS), itertools.cycle(replicas), strict=False):
        assert _delivered(to, f"d-{n}") == 202
        if n % 3 == 0:
            assert _delivered(next(r for r in replicas if r is not to), f"d-{n}") == 200  # it is known there, too
    shop.eventually(lambda: ("releases", WEBHOOKS, WEBHOOKS) in shop.rows(EVENTS))


def _the_evaluator_is_killed(shop: Shop, one: Running, other: Running) -> None:
    """Before it could send the summary, whose data are complete only meanwhile: the other one sends it."""
    shop.eventually(shop.scrapes.exposing, 60.0)
    assert set(shop.scrapes.exposing()) == {one.name}
    assert shop.wall.posted == []

    seconds = shop.replaced(one, signal.SIGKILL, other)

    shop.figures["evaluator replaced after a kill (s)"] = round(seconds, 1)
    assert seconds <= WITHIN_SECONDS
    shop.eventually(lambda: shop.wall.posted)


def _the_evaluator_is_frozen(shop: Shop, one: Running, other: Running) -> None:
    """And thawed, when it neither exposes nor sends; in between sources go on being collected."""
    shop.eventually(lambda: one.name in shop.scrapes.exposing() and other.metrics())
    before = shop.provider.runs()

    seconds = shop.replaced(one, signal.SIGSTOP, other)
    shop.eventually(lambda: (shop.provider.runs() - before).total() > 3)
    thawed = one.send(signal.SIGCONT)
    shop.eventually(lambda: len([1 for at, name, _ in shop.scrapes.seen if name == one.name and at > thawed]) > 4)

    shop.figures["evaluator replaced after a freeze (s)"] = round(seconds, 1)
    assert seconds <= WITHIN_SECONDS
    assert set(shop.scrapes.exposing(thawed)) == {other.name}
    assert json.loads(_got(one.url, "/readyz")[1])["evaluator"] == "another replica"


def _all_end(shop: Shop) -> list[float]:
    """Whoever is left is told to stop and does; the jobs that each worker left has done, as its own metrics say."""
    jobs = [worker.metrics()['platform_worker_jobs_total{outcome="done"}'] for worker in shop.workers]
    shop.figures["runs begun by each worker"] = dict(shop.provider.runs())
    shop.figures["jobs done, as the workers left tell it"] = jobs
    shop.scrapes.close()
    ends = [one.end(signal.SIGTERM) for one in (*shop.workers, *shop.evaluators[1:])]

    assert ends == [0] * len(ends)
    return jobs


def _one_exposed_at_a_time(scrapes: Scrapes) -> None:
    """Who exposed later began when who exposed before had ended, but for one scrape."""
    spans: dict[str, list[float]] = {}
    for at, name, exposes in scrapes.seen:
        if exposes:
            spans.setdefault(name, []).append(at)
    in_order = sorted(spans.values())
    assert len(in_order) == len(scrapes.threads)
    for before, after in itertools.pairwise(in_order):
        assert max(before) < min(after) + SCRAPE_SECONDS
