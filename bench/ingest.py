"""How many events a second go into the store, beside what the database's driver takes at most, in the same run.

`store`: the same events through `EventStore.write`, all new, then all known. `raw`: their rows, made before, with the
driver alone into a table of the same columns with its key: `executemany` into SQLite, `COPY` into PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr
from stores import program, started

from collector.events import Commit, Event
from collector.store import Database, EventStore, Place
from collector.store.columns import columns_of, encoder
from collector.store.tables import EVENT_TABLES

EVENTS = int(os.environ.get("PACELINE_BENCH_EVENTS", "100000"))
_PAGE = 10_000
_START = datetime(2026, 1, 1, tzinfo=UTC)


def commits() -> list[Event]:
    """Commits as a repository has them."""
    return [
        Commit(
            source="git",
            native_id=f"{n:040x}",
            repository=f"org/service-{n % 50}",
            sha=f"{n:040x}",
            authored_at=_START + timedelta(minutes=n),
            committed_at=_START + timedelta(minutes=n + 5),
            parents=(f"{n - 1:040x}",),
            author=f"{n % 300:032x}",
            paths=(f"service-{n % 50}/src/main.py", "README.md"),
        )
        for n in range(EVENTS)
    ]


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def through_the_store(place: Place, events: Sequence[Event]) -> tuple[float, float]:
    """Events a second through the store: new ones, then the same again."""
    with contextlib.closing(Database.open(place)) as database:
        store = EventStore(database)

        def write() -> None:
            for start in range(0, len(events), _PAGE):
                with database.transaction() as transaction:
                    store.write(transaction, events[start : start + _PAGE])

        return len(events) / seconds(write), len(events) / seconds(write)


def rows_of(events: Sequence[Event]) -> tuple[str, list[tuple[Any, ...]]]:
    """The columns of commits, and their rows as the store makes them."""
    names = ["id", *(column.name for column in columns_of(Commit))]
    return ", ".join(names), list(map(encoder(Commit), events))


def raw_sqlite(folder: Path, events: Sequence[Event]) -> float:
    """Events a second with the driver of SQLite alone."""
    names, rows = rows_of(events)
    with contextlib.closing(sqlite3.connect(folder / "raw.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"CREATE TABLE raw ({names}, PRIMARY KEY (id))")
        marks = ", ".join("?" * len(rows[0]))

        def write() -> None:
            for start in range(0, len(rows), _PAGE):
                with connection:
                    connection.executemany(f"INSERT INTO raw VALUES ({marks})", rows[start : start + _PAGE])  # noqa: S608

        return len(rows) / seconds(write)


def raw_postgresql(address: str, events: Sequence[Event]) -> float:
    """Events a second with COPY alone."""
    names, rows = rows_of(events)
    table = EVENT_TABLES[Commit].name
    with psycopg.connect(address) as connection:
        connection.execute(f"CREATE TABLE raw AS SELECT {names} FROM {table} WITH NO DATA".encode())  # noqa: S608
        connection.execute("ALTER TABLE raw ADD PRIMARY KEY (id)")
        connection.commit()

        def write() -> None:
            for start in range(0, len(rows), _PAGE):
                with connection.cursor().copy(f"COPY raw ({names}) FROM STDIN".encode()) as copy:
                    for row in rows[start : start + _PAGE]:
                        copy.write_row(row)
                connection.commit()

        return len(rows) / seconds(write)


@contextlib.contextmanager
def measured() -> Iterator[Callable[[str, tuple[float, float], float], None]]:
    """Prints a line for each database."""
    print(f"{'':12}{'new/s':>10}{'known/s':>10}{'raw/s':>10}{'new of raw':>12}")
    yield lambda name, store, raw: print(
        f"{name:12}{store[0]:10,.0f}{store[1]:10,.0f}{raw:10,.0f}{store[0] / raw:12.0%}"
    )


def main() -> None:
    """Measure both."""
    events = commits()
    with measured() as tell, tempfile.TemporaryDirectory() as folder:
        tell("SQLite", through_the_store(Path(folder), events), raw_sqlite(Path(folder), events))
        if program("initdb") is None:
            print("PostgreSQL is not installed")
            sys.exit(os.environ.get("CI") == "true")
        with started() as server:
            address = server.url("migrated")
            tell("PostgreSQL", through_the_store(SecretStr(address), events), raw_postgresql(address, events))


if __name__ == "__main__":
    main()
