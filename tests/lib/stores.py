"""A real PostgreSQL, and tests that open their stores there instead of in their folders."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from pydantic import SecretStr

from collector.store import Database, Place
from collector.store.database import engine_of

MARK = "paceline.postgresql"
"""The file of a folder that names its database: who empties the folder gets another one."""


def program(name: str) -> str | None:
    """The path of one of PostgreSQL's programs, which Debian puts beside the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return shutil.which(name) or (str(places[-1]) if places else None)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass(frozen=True)
class Role:
    """An account of a server."""

    name: str
    server: Server

    def url(self, address: str) -> str:
        """An address for it."""
        return address.replace("postgres@", f"{self.name}@")

    def close(self) -> None:
        """Let nobody connect as it any more, and end the connections that are there."""
        self.server.run(f"ALTER ROLE {self.name} NOLOGIN")
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self.name}'"  # noqa: S608 - our own
        self.server.run(ended)


@dataclass
class Server:
    """A server, and the databases made on it."""

    port: int
    made: dict[str, Path] = field(default_factory=dict)
    """Which folder each stands for."""
    stop: Callable[[], None] = lambda: None
    """Ends it at once, as a crash does."""
    start: Callable[[], None] = lambda: None
    """Lets it come back."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, name: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def run(self, statement: str) -> None:
        """Run a statement outside of any database of ours."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def empty(self) -> str:
        """The address of a new database without a table."""
        name = f"empty{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def of(self, folder: Path) -> str:
        """The address of the database of a folder: a migrated one, made when it is asked for first."""
        mark = folder / MARK
        if not mark.exists():
            folder.mkdir(parents=True, exist_ok=True)
            name = f"test{next(self._numbers)}"
            self.run(f"CREATE DATABASE {name} TEMPLATE migrated")
            self.made[name] = folder
            mark.write_text(self.url(name))
            (folder / "paceline.db").touch()  # fixtures copy it
        return mark.read_text()

    def roles(self, count: int) -> list[Role]:
        """So many new accounts that may do everything."""
        names = [f"role{next(self._numbers)}" for _ in range(count)]
        for name in names:
            self.run(f"CREATE ROLE {name} SUPERUSER LOGIN")
        return [Role(name, self) for name in names]

    def forget(self, below: Path) -> None:
        """Drop the databases of the folders below one, and of those that are gone."""
        for name, folder in list(self.made.items()):
            if folder.is_relative_to(below) or not (folder / MARK).exists():
                self.run(f"DROP DATABASE {name} WITH (FORCE)")
                del self.made[name]


@contextlib.contextmanager
def started() -> Iterator[Server]:
    """A server, and in it the database `migrated`, which others are copied from."""
    # As root it refuses to run, and whoever runs it may not enter the folders of tests, which are root's alone.
    where = "/tmp" if os.geteuid() == 0 else None  # noqa: S108 - a new folder in it
    with tempfile.TemporaryDirectory(prefix="postgresql", dir=where) as folder, _running(folder) as server:
        server.run("CREATE DATABASE migrated")
        Database.open(SecretStr(server.url("migrated"))).close()
        yield server


@contextlib.contextmanager
def _running(folder: str) -> Iterator[Server]:
    as_user: Sequence[str] = ()
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ("runuser", "-u", "postgres", "--")
    server = Server(free_port())

    def run(name: str, *arguments: str) -> None:
        subprocess.run([*as_user, str(program(name)), *arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder)

    run("initdb", "-D", f"{folder}/data", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
    options = f"-p {server.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    options += " -c fsync=off -c full_page_writes=off -c max_connections=200 -c shared_buffers=64MB"
    server.start = lambda: run("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
    server.stop = lambda: run("pg_ctl", "-D", f"{folder}/data", "-w", "-m", "immediate", "stop")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def redirected(server: Server) -> Iterator[None]:
    """Meanwhile who opens the store of a folder gets its database on the server."""
    Database.opened_by = staticmethod(lambda place, *more: engine_of(_address(server, place), *more))
    try:
        yield
    finally:
        Database.opened_by = staticmethod(engine_of)


def _address(server: Server, place: Place) -> Place:
    return SecretStr(server.of(place)) if isinstance(place, Path) else place
