"""What is killed again and again while the world goes on, and what must be in the store afterwards.

Nothing here waits for a right moment: moments are drawn from a seed, so that a loop can be repeated.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import psycopg
import sqlalchemy as sa
from forked import Forks
from pydantic import SecretStr
from stores import free_port, program

from collector.events import Collection
from collector.store import Database, Place
from collector.store.tables import CURSOR, EVENT_TABLES, OBSERVATION, SERIES

KEY = "0123456789abcdef0123456789abcdef"
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
_PATIENCE_SECONDS = 60.0
_PER_PAGE = 20
_SLOW_SECONDS = 8.0
_LONGEST_SECONDS = 3.0
_LOST = signal.SIGKILL


# --- a database that loses its server ----------------------------------------------------------------------


@dataclass
class Crashing:
    """A PostgreSQL that waits for the disk, as in earnest, and can be killed and started again."""

    folder: Path
    port: int
    as_user: Sequence[str] = ()

    @property
    def url(self) -> str:
        """Its address."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, also after a crash: processes of the one before may be ending still."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        options += " -c max_connections=100 -c shared_buffers=32MB"
        until = time.monotonic() + _PATIENCE_SECONDS
        while not self._run("pg_ctl", "-w", "-l", f"{self.folder}/log", "-o", options, "start"):
            assert time.monotonic() < until, (self.folder / "log").read_text()[-2_000:]
            time.sleep(0.2)

    def crash(self) -> None:
        """Kill its first process; the others end when they notice."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, _LOST)

    def stop(self) -> None:
        """End it at once, as after a power failure."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def forget_leases(self) -> None:
        """As if the time of a killed evaluator were over: until then commands leave deriving to it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("UPDATE paceline_work.lease SET expires_at = clock_timestamp()")

    def _run(self, name: str, *arguments: str) -> bool:
        done = subprocess.run(
            [*self.as_user, str(program(name)), "-D", f"{self.folder}/data", *arguments],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )
        return done.returncode == 0


@contextlib.contextmanager
def crashing(folder: Path) -> Iterator[Crashing]:
    """A server in a new folder, started; root hands it to `postgres`, as whom it runs."""
    folder.mkdir(parents=True)
    as_user: Sequence[str] = ()
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ("runuser", "-u", "postgres", "--")
    server = Crashing(folder, free_port(), as_user)
    assert server._run("initdb", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
    server.start()
    try:
        yield server
    finally:
        server.stop()


# --- what is kept ------------------------------------------------------------------------------------------

Kept = Mapping[str, Counter[tuple[Any, ...]]]
"""By what they are, rows and how often each is there."""


def kept(place: Place) -> Kept:
    """Events, cursors and observations, without what only counts attempts: revisions and numbers of series."""
    with contextlib.closing(Database.open(place)) as database, database.reading() as connection:

        def rows(query: Any) -> Counter[tuple[Any, ...]]:
            return Counter(tuple(row) for row in connection.execute(query))

        found = {
            table.name: rows(sa.select(*(c for c in table.c if c.name != "revision")))
            for event_type, table in EVENT_TABLES.items()
            if event_type is not Collection
        }
        found["cursors"] = rows(sa.select(CURSOR.c.source, CURSOR.c.cursor))
        named = [c for c in SERIES.c if c.name != "id"]
        judged = [c for c in OBSERVATION.c if c.name != "series_id"]
        joined = sa.select(*named, *judged).join_from(SERIES, OBSERVATION, SERIES.c.id == OBSERVATION.c.series_id)
        # How its sources fare is another matter: of runs that were killed there is nothing to tell.
        found["observations"] = rows(joined.where(SERIES.c.family != "sources"))
        return found


def differences(found: Kept, expected: Kept) -> list[str]:
    """What is lost, doubled or else, each in a line; nothing where both hold the same."""
    said = []
    for name in sorted({*found, *expected}):
        own, other = found.get(name, Counter()), expected.get(name, Counter())
        said += [f"{name}: lost {row}" for row in (other - own).elements()]
        said += [f"{name}: more than expected {row}" for row in (own - other).elements()]
    return said


Fault = Literal["none", "down", "slow", "wrong"]


# --- a world that goes on ----------------------------------------------------------------------------------


@dataclass
class World:
    """A repository, a file and a help desk that grow a step at a time, the same in each world of so many steps."""

    folder: Path
    steps: int = 0
    tickets: list[dict[str, Any]] = field(default_factory=list)
    desk: str = ""
    fault: Fault = "none"
    """What is wrong with the help desk now."""

    def configuration(self, *, workers: bool) -> str:
        """Settings that collect and evaluate all of it every second."""
        return f"""\
evaluate_every: 1s
logs: {{format: json}}
{"replicas: {collect: workers}" if workers else ""}
services: [{{name: shop, team: /commerce/shop}}]
sources:
  - {{type: git, name: code, repository: {self.folder / "code.git"}, every: 1s, deployments: {{rule: tags}}}}
  - {{type: files, name: told, path: {self.folder / "events.jsonl"}, every: 1s}}
  - type: http_json
    name: desk
    url: {self.desk}
    token: t0ken
    every: 1s
    lists:
      - path: tickets
        parameters: {{since: "{{since}}"}}
        paging: {{kind: page, size_parameter: per_page, size: {_PER_PAGE}}}
        since: {{field: updated_at, order: ascending}}
        events:
          - kind: ticket
            fields:
              native_id: id
              created_at: created_at
              updated_at: updated_at
              resolved_at: updated_at
              queue: {{value: help}}
              service: {{value: shop}}
              state: {{value: resolved}}
              author: author
"""

    def grow(self) -> None:
        """A day: commits and a release of them, what a file tells of them, tickets."""
        day = START + timedelta(hours=6 * self.steps)
        self._commit(day)
        with (self.folder / "events.jsonl").open("a", encoding="utf-8") as told:
            told.writelines(json.dumps(record) + "\n" for record in self._records(day))
        self.tickets += [self._ticket(day, number) for number in range(_PER_PAGE + 5)]
        self.steps += 1

    def _commit(self, day: datetime) -> None:
        repository, lines = self.folder / "code.git", []
        if not repository.exists():
            subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(repository)], check=True)
        for number in range(8):
            at = round(day.timestamp()) + 60 * number
            who = f"P{number} <p{number}@people.example>"
            people = (f"author {who} {at} +0000", f"committer {who} {at} +0000")
            lines += ["commit refs/heads/main", f"mark :{number + 1}", *people, "data 0"]
            lines += ["from refs/heads/main^0"] if self.steps and not number else []
        lines += [f"tag v1.{self.steps}.0", "from :8", f"tagger {who} {at + 600} +0000", "data 0", ""]
        command = ["git", "-C", str(repository), "fast-import", "--quiet"]
        subprocess.run(command, input="\n".join(lines).encode(), check=True)

    def _records(self, day: datetime) -> Iterator[Mapping[str, Any]]:
        for number in range(10):
            at = (day + timedelta(minutes=7 * number)).isoformat()
            name = f"{self.steps}-{number}"
            yield {
                "kind": "pipeline_run",
                "native_id": f"run {name}",
                "repository": "shop",
                "pipeline": "build",
                "state": "completed",
                "result": "failure" if number == 3 else "success",
                "created_at": at,
                "started_at": at,
                "finished_at": (day + timedelta(minutes=7 * number + 3)).isoformat(),
                "updated_at": at,
            }
        if self.steps % 5 == 0:
            at = (day + timedelta(hours=1)).isoformat()
            yield {
                "kind": "incident",
                "native_id": f"incident {self.steps}",
                "service": "code",
                "environment": "production",
                "state": "resolved",
                "started_at": at,
                "restored_at": (day + timedelta(hours=2)).isoformat(),
                "updated_at": at,
            }

    def _ticket(self, day: datetime, number: int) -> dict[str, Any]:
        at = day + timedelta(minutes=number)
        times = {"created_at": at.isoformat(), "updated_at": (at + timedelta(seconds=30)).isoformat()}
        return {"id": len(self.tickets) + number + 1, "author": f"p{number % 7}@people.example", **times}

    def page(self, query: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """A page of the tickets that were updated since a time, oldest first."""
        since = (query.get("since") or [""])[-1]
        listed = list(self.tickets)
        if since:
            begun = datetime.fromisoformat(since)
            listed = [t for t in listed if datetime.fromisoformat(t["updated_at"]) >= begun]
        size, number = (int((query.get(name) or ["1"])[-1]) for name in ("per_page", "page"))
        return listed[(number - 1) * size : number * size]


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """A world without history, its help desk served on loopback."""
    folder.mkdir(parents=True)
    made = World(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(made.page(parse_qs(urlsplit(self.path).query))).encode()
            if made.fault == "down":
                self.connection.close()
                return
            if made.fault == "slow":
                time.sleep(_SLOW_SECONDS)
            if made.fault == "wrong":
                body = b"<html><title>Sign in</title></html>"
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked was killed
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # as above
        made.desk = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


# --- the loop ----------------------------------------------------------------------------------------------


@dataclass
class Figures:
    """What a loop did: how often who was killed, and what differs in the end."""

    kills: Counter[str] = field(default_factory=Counter)
    too_late: int = 0
    """How often a command had ended before its moment came."""
    differences: list[str] = field(default_factory=list)
    rows: int = 0


@dataclass
class Loop:
    """Kills and what is killed. `server`: where the store is a PostgreSQL, it is killed too."""

    world: World
    forks: Forks
    chance: random.Random
    server: Crashing | None = None
    staying: dict[str, int] = field(default_factory=dict)
    next: list[str] = field(default_factory=list)
    """Whose turns come, last first: each victim has one before any has another."""
    seconds: float = 0.5
    """What a command takes here when nobody disturbs it."""
    figures: Figures = field(default_factory=Figures)

    @property
    def victims(self) -> list[str]:
        """Who may be killed."""
        return ["collect", "evaluate", "serve", *(["worker", "postgresql"] if self.server else [])]

    def config(self, *, workers: bool) -> str:
        """The path of settings; those with workers are another file of the same store."""
        path = self.forks.folder / ("workers.yaml" if workers else "paceline.yaml")
        path.write_text(self.world.configuration(workers=workers), encoding="utf-8")
        return str(path)

    def measure(self) -> None:
        """Look how long a collection takes, so that moments of kills fall into the work also on a slow machine."""
        for _ in range(2):  # the first one makes the store
            self.world.grow()
            began = time.monotonic()
            assert self.forks.run("collect", "--config", self.config(workers=False)) == 0, self.forks.log[-4_000:]
        self.seconds = min(time.monotonic() - began, _LONGEST_SECONDS)

    def round(self) -> None:
        """The world grows, somebody is killed at some moment, and started again where it stays."""
        self.world.grow()
        if not self.next:
            self.next = self.chance.sample(self.victims, len(self.victims))
        victim = self.next.pop()
        self._stay()
        if victim == "postgresql":
            assert self.server is not None
            command = self._start("collect")
            time.sleep(self.chance.uniform(0, self.seconds))
            self.server.crash()
            self.figures.kills[victim] += 1
            self.server.start()
            self.forks.wait(command)
        elif victim in self.staying:
            time.sleep(self.chance.uniform(0, 2 * self.seconds))
            self._killed(victim, self.staying.pop(victim))
        else:
            command = self._start(victim)
            time.sleep(self.chance.uniform(0.02, 1) * self.seconds)
            self._killed(victim, command)

    def _killed(self, victim: str, pid: int) -> None:
        code = self.forks.kill(pid)
        self.figures.kills[victim] += code == -_LOST
        self.figures.too_late += code != -_LOST

    def _stay(self) -> None:
        """Start who should be there and is not."""
        for name in ("serve", "worker") if self.server else ("serve",):
            # Who cannot reach its database while it starts ends by itself.
            if name in self.staying and has_ended(self.staying[name]):
                self.forks.wait(self.staying.pop(name))
            if name not in self.staying:
                self.staying[name] = self._start(name)

    def _start(self, command: str) -> int:
        workers = self.server is not None and command in {"serve", "worker"}
        port = ("--port", "0") if command in {"serve", "worker"} else ()
        return self.forks.start(command, command, "--config", self.config(workers=workers), *port)

    def end(self) -> None:
        """End who stays, and let an undisturbed collection and evaluation do what is left."""
        for pid in self.staying.values():
            self.forks.kill(pid)
        self.staying.clear()
        if self.server is not None:
            self.server.forget_leases()
        for command in ("collect", "evaluate"):
            assert self.forks.run(command, "--config", self.config(workers=False)) == 0, self.forks.log[-4_000:]


def has_ended(pid: int) -> bool:
    """Whether a process, which somebody else has to wait for, is over."""
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2].startswith("Z")


def killed_again_and_again(
    base: Forks,
    folder: Path,
    kills: int,
    seed: int,
    *,
    on_postgresql: bool,
    say: Callable[[str], object] = lambda _: None,
) -> Figures:
    """Kill until there were so many, then compare with what an undisturbed run makes of the same world."""
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(world(folder / "world"))
        server = stack.enter_context(crashing(folder / "postgresql")) if on_postgresql else None
        place: Place = folder / "killed" / ".paceline" if server is None else SecretStr(server.url)
        variables = {"PACELINE_PEOPLE_KEY": KEY, **({"PACELINE_STORE": server.url} if server else {})}
        (folder / "killed").mkdir()
        started = base.elsewhere(folder / "killed", **variables)
        loop = Loop(own, started, random.Random(seed), server)  # noqa: S311 - it is to be repeatable
        loop.measure()
        while loop.figures.kills.total() < kills:
            loop.round()
            if loop.figures.kills.total() % 20 == 0:
                say(f"{loop.figures.kills.total()} kills")
        loop.end()
        found = kept(place)
        if server is not None:
            _look_for_damage(server)
        expected = _undisturbed(folder, loop)
        loop.figures.differences = differences(found, expected)
        loop.figures.rows = sum(rows.total() for rows in expected.values())
        return loop.figures


def _undisturbed(folder: Path, loop: Loop) -> Kept:
    """What one collection and one evaluation keep of the same world, in a store of their own."""
    (folder / "undisturbed").mkdir()
    own = loop.forks.elsewhere(folder / "undisturbed", PACELINE_PEOPLE_KEY=KEY)
    Loop(loop.world, own, loop.chance).end()
    return kept(folder / "undisturbed" / ".paceline")


def _look_for_damage(server: Crashing) -> None:
    """Every index of a server that crashed agrees with its table."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
        connection.execute(
            "SELECT bt_index_check(c.oid, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relpersistence = 'p'"
        )
