"""A worker, and commands beside replicas, on a real PostgreSQL: what each does with its work and says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from fastapi.testclient import TestClient
from stores import Server

from collector.store.coordination import Coordination
from paceline.dispatch import Asked
from paceline.replicas import EVALUATOR, LEASE_SECONDS, RENEW_SECONDS
from paceline.wiring import Part, Running, build, configuration
from paceline.worker import Worker, create_app

pytestmark = pytest.mark.integration
_PATIENCE_SECONDS = 120
KEY = {"PACELINE_PEOPLE_KEY": "0123456789abcdef0123456789abcdef"}
SETTINGS = """\
replicas: {{collect: workers}}
logs: {{level: error}}
store: {store}
sources:
  - {{type: files, name: events, path: events.jsonl}}
"""
EVENT = (
    '{"kind": "deployment", "native_id": "1", "service": "shop", "environment": "production", '
    '"finished_at": "2026-03-03T10:00:00Z", "result": "success"}\n'
)
Opened = Callable[[Part], Running]
OpenedAt = Callable[[str, Part], Running]


@pytest.fixture
def address(postgresql: Server) -> str:
    """An empty database."""
    return postgresql.empty()


@pytest.fixture
def opened_at(tmp_path: Path) -> Iterator[OpenedAt]:
    """Opens services of one file of an event, on a database, as parts of several processes; closed at the end."""
    path = tmp_path / "paceline.yaml"
    (tmp_path / "events.jsonl").write_text(EVENT, encoding="utf-8")
    with contextlib.ExitStack() as stack:

        def make(store: str, part: Part) -> Running:
            path.write_text(SETTINGS.format(store=store), encoding="utf-8")
            found = build(configuration(path, KEY, tmp_path), environ=KEY, part=part)
            stack.callback(found.close)
            return found

        yield make


@pytest.fixture
def opened(opened_at: OpenedAt, address: str) -> Opened:
    """The same on one database."""
    return lambda part: opened_at(address, part)


@pytest.fixture
def worker(opened: Opened) -> Worker:
    """A worker that takes no jobs yet."""
    running = opened(Part.WORK)
    assert running.replica is not None
    return Worker(running, running.replica)


def _worked(worker: Worker, jobs: int) -> None:
    """Let it work until so many jobs have ended, and stop it."""

    async def until() -> None:
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while worker.jobs.total() < jobs:  # noqa: ASYNC110 - counts that another task adds to
                await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(until())


def test_a_worker_collects_what_is_asked_for_and_counts_it(worker: Worker, opened: Opened) -> None:
    """A source it knows is done, one it does not know failed, one whose account rests is put off; none waits then."""
    serving = opened(Part.SERVE).replica
    assert serving is not None
    serving.coordination.pause("account tired", 60)
    for asked in (
        Asked(source="events", lock="source events"),
        Asked(source="unknown", lock="source unknown"),
        Asked(source="resting", lock="account tired"),
    ):
        serving.queue.ask(asked)
    worker._sources["resting"] = worker._sources["events"]

    _worked(worker, 3)

    assert worker.jobs == {"done": 1, "failed": 1, "postponed": 1}
    assert serving.queue.waiting() == frozenset()
    assert (worker.busy, worker.at_work, worker.ready) == (0, 0, False)


def test_a_worker_says_how_it_is(worker: Worker) -> None:
    """It lives; it is ready while it takes jobs; its metrics are its own and no domain's."""
    worker.jobs["done"] = 3
    with TestClient(create_app(worker)) as client:
        before = client.get("/readyz")
        worker.ready = True
        after = client.get("/readyz")
        metrics = client.get("/metrics").text

        assert (client.get("/healthz").status_code, before.status_code, after.status_code) == (200, 503, 200)
    assert before.json()["problems"] == ["the queue cannot be reached"]
    assert 'platform_worker_jobs_total{outcome="done"} 3.0' in metrics
    assert "platform_worker_ready 1.0" in metrics
    assert "platform_source" not in metrics


def _derived(address: str) -> int:
    with psycopg.connect(address) as connection:
        found = connection.execute("SELECT count(*) FROM observation").fetchone()
    assert found is not None
    return int(found[0])


def test_a_command_derives_only_while_nobody_is_the_evaluator(opened: Opened, address: str) -> None:
    """Beside an elected evaluator it tells what is stored and writes no number; alone it holds the lease meanwhile."""
    serving = opened(Part.SERVE).replica
    assert serving is not None
    serving.election.look()
    beside = opened(Part.ALONE).service
    beside.collect(beside.configuration.sources[0])
    published = beside.refresh()
    found = _derived(address)
    serving.election.close()

    command = opened(Part.ALONE)
    command.service.refresh()
    held = serving.coordination.held_by(EVALUATOR)
    command.close()

    assert (found, _derived(address) > 0) == (0, True)
    assert "platform_deployments_total{" not in published.exposition.text.decode()
    assert held is not None
    assert held != serving.coordination.holder
    assert serving.coordination.held_by(EVALUATOR) is None


def test_connections_of_helpers_can_be_ended_by_who_takes_over(opened: Opened) -> None:
    """Who shares a derivation is called as the process it works for."""
    running = opened(Part.SERVE)
    assert running.replica is not None
    helpers = running.service._helpers

    assert getattr(helpers, "name", None) == f"paceline {running.replica.coordination.holder}"


def test_counters_do_not_fall_where_another_replica_takes_over(opened: Opened, address: str) -> None:
    """Who was elected exposes nothing before it has evaluated, and then no less than the one before."""
    one, other = opened(Part.SERVE), opened(Part.SERVE)
    assert one.replica is not None
    assert other.replica is not None
    one.replica.election.look()
    other.service.refresh()
    one.service.collect(one.service.configuration.sources[0])
    one.service.refresh()
    one.replica.election.close()

    other.replica.election.look()
    elected = (other.service.exposes(), other.service.shows())
    quick = other.service.refresh(derives=False)

    assert (elected, other.service.shows()) == ((True, False), True)
    counter = next(
        line for line in quick.exposition.text.decode().splitlines() if line.startswith("platform_deployments_total{")
    )
    assert counter.endswith(" 1.0")
    with closing(Coordination(one.replica.place, "x")) as looking:
        assert looking.held_by(EVALUATOR) == other.replica.coordination.holder


# --- a database that is away -----------------------------------------------------------------------------


@dataclass
class Line:
    """A way to a server that can be cut: whoever is connected is hung up on, and nobody else gets through."""

    target: int
    cut: threading.Event = field(default_factory=threading.Event)
    made: list[socket.socket] = field(default_factory=list)

    def serve(self, listening: socket.socket) -> None:
        """Connect whoever comes, until the socket is closed."""
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            if self.cut.is_set():
                taken.close()
                continue
            other = socket.create_connection(("127.0.0.1", self.target))
            self.made += [taken, other]
            for one, to in ((taken, other), (other, taken)):
                threading.Thread(target=_pumped, args=(one, to), daemon=True).start()

    def away(self) -> None:
        """Cut it."""
        self.cut.set()
        while self.made:
            with contextlib.suppress(OSError):
                self.made.pop().shutdown(socket.SHUT_RDWR)


def _pumped(one: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(1 << 16):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_RDWR)
    one.close()


@pytest.fixture
def line(address: str) -> Iterator[tuple[Line, str]]:
    """A line to the database, and the address that goes through it."""
    listening = socket.create_server(("127.0.0.1", 0))
    parts = urlsplit(address)
    found = Line(parts.port or 0)
    thread = threading.Thread(target=found.serve, args=(listening,))
    thread.start()
    yield found, address.replace(f":{parts.port}/", f":{listening.getsockname()[1]}/")
    found.away()
    with contextlib.suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def _eventually(found: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not found():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_everybody_recovers_from_a_database_that_was_away(line: tuple[Line, str], opened_at: OpenedAt) -> None:
    """Meanwhile nobody is the evaluator and no job is taken; afterwards both are again, by themselves."""
    way, through = line
    serving = opened_at(through, Part.SERVE)
    working = opened_at(through, Part.WORK)
    assert serving.replica is not None
    assert working.replica is not None
    worker = Worker(working, working.replica)
    serving.replica.election.start(lambda: None)

    async def throughout() -> None:
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await asyncio.to_thread(_story, way, serving, worker)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(throughout())

    assert worker.jobs == {"done": 1, "failed": 0, "postponed": 0}
    assert working.service.events.runs()["events"].succeeded


def _story(way: Line, serving: Running, worker: Worker) -> None:
    replica = serving.replica
    assert replica is not None
    _eventually(lambda: serving.service.exposes() and worker.ready)
    way.away()
    at = time.monotonic()
    _eventually(lambda: not serving.service.exposes())
    assert time.monotonic() - at < LEASE_SECONDS + RENEW_SECONDS
    _eventually(lambda: not worker.ready)
    way.cut.clear()
    _eventually(lambda: serving.service.exposes() and worker.ready)
    replica.queue.ask(Asked(source="events", lock="source events"))
    _eventually(lambda: worker.jobs.total() == 1)
