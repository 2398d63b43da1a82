"""What reading a real Redmine costs: the one of the Debian package on loopback, with issues put into its database.

    make bench ARGS=bench/redmine.py
    .venv/bin/python bench/redmine.py --issues 20000

Beside the source stands a bare loop that asks the same of the same server and looks at nothing: what the source takes
longer is its own. Then: how much more requests at a time bring, whether memory stays flat, and what a later run costs.
PACELINE_BENCH_FULL=1 reads 20 000 issues.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from threading import local
from typing import NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "lib"))

from redmine_server import STATUSES, Issue, RedmineServer, missing, redmine_at

from collector.http import Exchange, Method, Traffic, Wire
from collector.people import People
from collector.run import Runner
from collector.source import SourceContext
from collector.sources.redmine import RedmineConfig
from collector.store import Database, EventStore

NOW = datetime.now(UTC).replace(microsecond=0)
FULL, USUAL = 20_000, 2_000
SLICE = 200
"""Of so many issues it is measured what more requests at a time bring."""
PARALLEL = (1, 2, 4, 8)
CHANGED = 10
RATIO_AT_MOST, GROWTH_AT_MOST = 1.5, 1.25
_KILOBYTES = 1024
_SPACING = timedelta(minutes=1)
_ADA, _GRACE = 5, 6


def issues(count: int, project: int) -> list[Issue]:
    """Issues a minute apart, the last one new: each was taken on, answered twice and closed."""

    def one(number: int) -> Issue:
        updated_at = NOW - _SPACING * (count - number)
        begun = updated_at - timedelta(days=2)
        return Issue(
            number=number,
            project=project,
            author=_ADA,
            status=STATUSES["Closed"],
            created_at=begun,
            updated_at=updated_at,
            closed_at=updated_at,
            notes=[(begun + timedelta(hours=2), _GRACE), (begun + timedelta(hours=3), _ADA)],
            moves=[(begun + timedelta(hours=1), 1, 2), (updated_at, 2, STATUSES["Closed"])],
        )

    return [one(number) for number in range(1, count + 1)]


@dataclass
class Paths:
    """Notes what a source asks of a server."""

    asked: list[str] = field(default_factory=list)

    def play(self, method: Method, path: str, request: bytes) -> None:
        """Nothing is answered but by the server."""

    def keep(self, exchange: Exchange) -> None:
        """The server answered."""
        self.asked.append(exchange.path)


class Figures(NamedTuple):
    """What a run took: seconds, and of these how many of this process's own processor time."""

    seconds: float
    own_seconds: float
    requests: int
    changed: int

    def __str__(self) -> str:
        rate, own = self.changed / self.seconds, self.own_seconds / self.changed * 1e3
        return f"{rate:.1f} issues/s, {self.requests} requests, {own:.1f} ms of our own processor time for each"


@dataclass
class Import:
    """A store into which the source reads, run after run."""

    server: RedmineServer
    folder: Path
    database: Database
    seen: list[tuple[int, int]] = field(default_factory=list)
    """How many events were read, and the process's memory then, in bytes."""

    def run(self, parallel: int, last: int, paths: Paths | None = None) -> Figures:
        """What a run took that reads the last so many issues."""
        traffic = Traffic()
        context = SourceContext(
            data_dir=self.folder,
            base_dir=self.folder,
            people=People(b"k" * 32),
            clock=lambda: NOW,
            wire=Wire(traffic=traffic, tape=paths),
        )
        settings = {"url": self.server.url, "token": self.server.keys["grace"], "history": f"{last}m"}
        rules = {"issues": [{"becomes": "ticket"}], "statuses": {"open": ["New"], "in_progress": ["In Progress"]}}
        named = {"type": "redmine", "name": "desk", "parallel": parallel}
        config = RedmineConfig.model_validate({**named, **settings, **rules})
        begun, worked = time.perf_counter(), time.process_time()
        runner = Runner(self.database, EventStore(self.database), lambda: NOW)
        outcome = runner.run("desk", config.build(context), self._progress, traffic=traffic)
        assert outcome.error is None, outcome.error
        seconds, own_seconds = time.perf_counter() - begun, time.process_time() - worked
        return Figures(seconds, own_seconds, traffic.requests, outcome.changed)

    def _progress(self, _: str, events: int) -> None:
        self.seen.append((events, resident()))


def resident() -> int:
    """The memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def importing(server: RedmineServer) -> Iterator[Import]:
    """An import into a new store."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder))
        try:
            yield Import(server, Path(folder), database)
        finally:
            database.close()


def bare(server: RedmineServer, paths: Sequence[str], parallel: int) -> float:
    """Seconds to ask for the same, issues side by side as the source does, and to look at nothing."""
    own = local()
    parts = urlsplit(server.url)

    def ask(path: str) -> None:
        connection = getattr(own, "connection", None) or http.client.HTTPConnection(str(parts.hostname), parts.port)
        own.connection = connection
        connection.request("GET", path, headers={"X-Redmine-API-Key": server.keys["grace"]})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == http.client.OK, path

    begun = time.perf_counter()
    with ThreadPoolExecutor(parallel) as threads:
        for _, alike in groupby(paths, key=lambda path: path.startswith("/issues/")):
            list(threads.map(ask, alike))
    return time.perf_counter() - begun


def beside(server: RedmineServer, say: Callable[[str], None]) -> bool:
    """The source beside the bare loop, by how many requests it makes at a time."""
    ratios: list[float] = []
    for parallel in PARALLEL:
        paths = Paths()
        with importing(server) as own:
            took = own.run(parallel, SLICE, paths)
        alone = bare(server, paths.asked, parallel)
        ratios.append(took.seconds / alone)
        say(f"parallel {parallel}: {took}; the same asked alone {alone:.1f} s: {ratios[-1]:.2f} times as long")
    return statistics.median(ratios) <= RATIO_AT_MOST


def whole(server: RedmineServer, count: int, say: Callable[[str], None]) -> bool:
    """All issues into a new store; then a later run, after some of them changed."""
    with importing(server) as own:
        took = own.run(4, count)
        assert took.changed == count, took
        say(f"{count} issues: {took.seconds:.1f} s, {took}")
        marks = [count // 10, count // 2, count]
        memory = [next(size for events, size in own.seen if events >= mark) for mark in marks]
        told = ", ".join(f"{size / _KILOBYTES**2:.0f} MB at {mark}" for mark, size in zip(marks, memory, strict=True))
        say(f"memory: {told}")
        for number in range(1, CHANGED + 1):
            server.update(number, "grace", notes="Once more.")
        took = own.run(4, count)
        say(f"after {CHANGED} changed: {took.seconds:.2f} s, {took}")
        return memory[-1] <= memory[0] * GROWTH_AT_MOST


def main() -> None:
    """Print the figures; exit with 1 where the source is slow beside the server, or memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    usual = FULL if os.environ.get("PACELINE_BENCH_FULL") == "1" else USUAL
    parser.add_argument("--issues", type=int, default=usual)
    count = parser.parse_args().issues
    if (reason := missing()) is not None:
        print(f"not measured: {reason}")
        return
    say = partial(print, flush=True)
    with tempfile.TemporaryDirectory() as folder, redmine_at(Path(folder)) as server:
        begun = time.perf_counter()
        server.insert(issues(count, server.project("desk")))
        say(f"{count} issues put into the database in {time.perf_counter() - begun:.1f} s")
        good = [beside(server, say), whole(server, count, say)]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
