"""A service under load for a long time, while what it depends on fails: what was accepted must be there, once."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import senders
import sqlalchemy as sa
from crashing import KEY, Crashing, Fault, World, crashing, world
from forked import Forks
from pydantic import SecretStr
from stores import free_port

from collector.events import PipelineRun
from collector.store import Database, Place
from collector.store.tables import EVENT_TABLES, INBOX, SOURCE_RUN

SECRET = "a-secret-of-the-soak-test"  # noqa: S105 - it opens nothing but its own door
_EVERY_SECONDS = 5.0
_UP_SECONDS = 120.0
_SLOW_READERS = 4
_KILLS = (0.05, 0.1, 0.15)
"""When the service is killed, as shares of the time; in a run of seconds it is killed once."""
_LONG_SECONDS = 30.0
_CONFIGURATION = """\
evaluate_every: 5s
logs: {format: json, level: warning}
sources:
  - {type: webhook, name: releases, webhook_secret: "${RELEASES_SECRET}", every: 1m}
"""


# --- the oracle --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What became of the runs that were told. `lost` and `doubled` must be empty, and `uncounted` 0."""

    accepted: int
    stored: int
    lost: Sequence[str]
    doubled: Sequence[str]
    unasked: Sequence[str]
    uncounted: int
    """By how much the total of the source differs from the deliveries that were accepted."""

    @property
    def passed(self) -> bool:
        """Whether each accepted event is there once, and nothing else."""
        return self.accepted > 0 and not (self.lost or self.doubled or self.unasked or self.uncounted)


def judged(accepted: Sequence[str], stored: Sequence[str], miscounted: int = 0) -> Verdict:
    """What must be stored against what is, and by how much the total that is told of the source is another."""
    known, found = set(accepted), Counter(stored)
    return Verdict(
        accepted=len(known),
        stored=len(found),
        lost=sorted(known - set(found)),
        doubled=sorted(one for one, count in found.items() if count > 1),
        unasked=sorted(set(found) - known),
        uncounted=miscounted,
    )


def stored_in(place: Place) -> tuple[list[str], int, int]:
    """The stored runs, each with its state, the total of events of the source, and how many deliveries wait."""
    table = EVENT_TABLES[PipelineRun]
    with contextlib.closing(Database.open(place)) as database, database.reading() as connection:
        ids = [f"{one} {state}" for one, state in connection.execute(sa.select(table.c.native_id, table.c.state))]
        query = sa.select(SOURCE_RUN.c.events_total).where(SOURCE_RUN.c.source == "releases")
        total = connection.scalar(query) or 0
        waiting = connection.scalar(sa.select(sa.func.count()).where(INBOX.c.events.is_not(None))) or 0
    return ids, int(total), int(waiting)


# --- what is measured --------------------------------------------------------------------------------------


@dataclass
class Measured:
    """What was seen of the service, every few seconds."""

    scrapes: list[float] = field(default_factory=list)
    """Seconds of each scrape that was answered with 200."""
    unanswered: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the last start of the service, and its resident memory in MB."""
    series: int = 0


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so many of the values do not exceed; of none it is no number."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


def growth_per_hour(memory: Sequence[tuple[float, float]], after: float) -> float:
    """MB an hour by a straight line through what was measured after a warm-up of so many seconds."""
    points = [(x, y) for x, y in memory if x >= after]
    if len(points) < 2:
        return float("nan")
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread: float = sum((x - mean_x) ** 2 for x, _ in points)
    total: float = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return 3_600 * total / spread


def resident_mb(pid: int) -> float:
    """The resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1_024


# --- the service and its troubles --------------------------------------------------------------------------


@dataclass
class Soak:
    """A service under load, and what happens to it."""

    forks: Forks
    world: World
    port: int
    server: Crashing | None
    seconds: float
    say: Callable[[str], object]
    measured: Measured = field(default_factory=Measured)
    faults: Counter[str] = field(default_factory=Counter)
    pid: int = 0
    started_at: float = 0.0

    def start(self) -> None:
        """Start the service and wait until it answers."""
        self.pid = self.forks.start("serve", "serve", "--config", "paceline.yaml", "--port", str(self.port))
        until = time.monotonic() + _UP_SECONDS
        while self.ask("/readyz")[0] not in {200, 503} or self.ask("/metrics")[0] != http.client.OK:
            assert time.monotonic() < until, self.forks.log[-3_000:]
            time.sleep(0.1)
        self.started_at = time.monotonic()

    def ask(self, path: str) -> tuple[int, float, bytes]:
        """The status of an answer, the seconds until it was read, and its body; status 0 where there is none."""
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                return 0, time.monotonic() - began, b""
            return answer.status, time.monotonic() - began, body

    def look(self) -> None:
        """Scrape once and note what it took."""
        status, seconds, _ = self.ask("/metrics")
        if status == http.client.OK:
            self.measured.scrapes.append(seconds)
        else:
            self.measured.unanswered += 1
        with contextlib.suppress(OSError):
            self.measured.memory.append((time.monotonic() - self.started_at, resident_mb(self.pid)))

    def go(self) -> None:
        """Scrape every few seconds for the whole time, with something else wrong each time."""
        plan, every = self._plan(), min(_EVERY_SECONDS, self.seconds / 6)
        began = time.monotonic()
        for step in range(round(self.seconds / every)):
            time.sleep(max(began + step * every - time.monotonic(), 0))
            self.look()
            while plan and plan[0][0] <= time.monotonic() - began:
                _, name, happen = plan.pop(0)
                self.faults[name] += 1
                happen()
            if step % 4 == 0:
                self.world.grow()
            if step % 60 == 59:
                self.say(f"{time.monotonic() - began:.0f} s: {self.measured.memory[-1][1]:.0f} MB")

    def _plan(self) -> list[tuple[float, str, Callable[[], object]]]:
        """What happens when, by seconds. The service is killed early, so that its memory is seen for long after."""
        plan: list[tuple[float, str, Callable[[], object]]] = [
            (self.seconds * share, "killed", self._kill)
            for share in (_KILLS if self.seconds >= _LONG_SECONDS else _KILLS[:1])
        ]
        turns: Sequence[Fault] = ("down", "none", "slow", "none", "wrong", "none")
        for number in range(int(self.seconds // 30)):
            kind = turns[number % len(turns)]
            plan.append((30.0 * number + 7, f"provider {kind}", partial(setattr, self.world, "fault", kind)))
        if self.server is not None:
            plan += [(self.seconds * share, "database gone", self._lose) for share in (0.3, 0.6)]
        return sorted(plan, key=lambda one: one[0])

    def _kill(self) -> None:
        self.forks.kill(self.pid)
        self.start()

    def _lose(self) -> None:
        assert self.server is not None
        self.server.stop()
        time.sleep(2)
        self.server.start()


@contextlib.contextmanager
def slow_readers(port: int, count: int = _SLOW_READERS) -> Iterator[None]:
    """Meanwhile some read the metrics a byte a second, and come again when they are cut off."""
    stopped = threading.Event()

    def read() -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError), socket.socket() as own:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
                own.connect(("127.0.0.1", port))
                own.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                while not stopped.wait(1.0) and own.recv(1):
                    pass
            stopped.wait(1.0)

    threads = [threading.Thread(target=read, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join(5)


@contextlib.contextmanager
def sending(port: int, rate: float, path: Path) -> Iterator[dict[str, Any]]:
    """Deliveries at a rate meanwhile; at the end what the senders say of them."""
    said: dict[str, Any] = {}
    arguments = [str(port), str(rate), str(path), SECRET]
    with subprocess.Popen(
        [sys.executable, str(Path(senders.__file__)), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first one is accepted
        try:
            yield said
        finally:
            out, _ = process.communicate("", timeout=_UP_SECONDS)
            said.update(json.loads(out))


@dataclass(frozen=True)
class Result:
    """What a soak came to."""

    verdict: Verdict
    measured: Measured
    faults: Counter[str]
    said: dict[str, Any]
    sending_seconds: float
    log: str


WARM_SHARE = 0.2
"""What share of the time is for warming up."""
MOST_SCRAPE_SECONDS = 0.05
MOST_GROWTH = 1.25
"""How much more memory there may be at the end than after the warm-up: what is kept of more events is a little more."""


def unkept(result: Result, seconds: float) -> list[str]:
    """What does not hold of what is promised, a sentence each. Of a busy machine times say nothing."""
    verdict, slowest = result.verdict, quantile(result.measured.scrapes, 0.99)
    warm = [mb for at, mb in result.measured.memory if at >= WARM_SHARE * seconds]
    told = [
        (not verdict.passed, "each accepted delivery is stored once"),
        (not slowest <= MOST_SCRAPE_SECONDS, f"99 of 100 scrapes take at most {1_000 * MOST_SCRAPE_SECONDS:.0f} ms"),
        (bool(warm) and warm[-1] > MOST_GROWTH * warm[0], "memory does not grow"),
        ("Traceback" in result.log, "nothing but errors of ours is in the log"),
    ]
    return [sentence for is_broken, sentence in told if is_broken]


def soak(
    base: Forks,
    folder: Path,
    seconds: float,
    rate: float,
    *,
    on_postgresql: bool,
    say: Callable[[str], object] = lambda _: None,
) -> Result:
    """Run a service for so long under so many deliveries a second, then compare what was accepted with what is kept."""
    own = folder / "served"
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(world(folder / "world"))
        server = stack.enter_context(crashing(folder / "postgresql")) if on_postgresql else None
        place: Place = own / ".paceline" if server is None else SecretStr(server.url)
        own.mkdir()
        made.grow()
        settings = made.configuration(workers=False).partition("sources:\n")[2].replace("every: 1s", "every: 5s")
        (own / "paceline.yaml").write_text(_CONFIGURATION + settings, encoding="utf-8")
        variables = {"PACELINE_PEOPLE_KEY": KEY, "RELEASES_SECRET": SECRET}
        variables |= {"PACELINE_STORE": server.url} if server else {}
        started = base.elsewhere(own, **variables)
        one = Soak(started, made, free_port(), server, seconds, say)
        one.start()
        began = time.monotonic()
        accepted = folder / "accepted"
        with sending(one.port, rate, accepted) as said, slow_readers(one.port):
            one.go()
        taken = time.monotonic() - began
        made.fault = "none"
        _settle(one, place)
        ids, total, _ = stored_in(place)
        # What a file and a repository tell of the same kind is no delivery.
        pushed = [i for i in ids if i.startswith("run-")]
        delivered = accepted.read_text("ascii").split()
        verdict = judged(senders.lasting(delivered), pushed, total - len(delivered))
        return Result(verdict, one.measured, one.faults, dict(said), taken, started.log)


def _settle(one: Soak, place: Place) -> None:
    """Let the service write what waits, and end it as a person would."""
    until = time.monotonic() + _UP_SECONDS
    while stored_in(place)[2] and time.monotonic() < until:
        time.sleep(0.5)
    one.forks.kill(one.pid, signal.SIGTERM)
