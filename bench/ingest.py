"""How many events a second go into the store, beside what the database's driver takes at most, in the same run.

    make bench ARGS=bench/ingest.py                       100 000 events of each kind (PACELINE_BENCH_EVENTS=…)
    .venv/bin/python bench/ingest.py --grow               a cycle with 1, 3 and 10 million events stored; not part of
                                                          `make bench`, it takes long and 10 GB below TMPDIR
    .venv/bin/python bench/ingest.py --fill               writing alone into stores of so many events
    .venv/bin/python bench/ingest.py --kinds commit,probe --databases sqlite

Through `EventStore.write`, 10 000 events at a time. `new`: into an empty store in one transaction, as a run of a source
writes them. `paged`: each 10 000 a transaction. `known`: all once more. `raw`: the same events' rows, made before, with
the driver alone into the store's own table in one transaction, `executemany` into SQLite and `COPY` into PostgreSQL:
with all of its indexes, and with its key alone, so that one sees what the store's work and what its indexes cost. Under
each figure by the clock stands what it is by processor time, this process and the database's together: the clock also
shows other work of the machine.

`--grow` takes the organisation of `bench/organisation.py`: a thousand services with a longer and longer history. A
cycle is what the service does: it writes 1 000 new events, derives, evaluates every window, publishes. Medians of five.

PostgreSQL does not wait for the disk here (`fsync=off`), and SQLite only when its log is moved.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import repeat
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from organisation import Size, in_a_process, medians
from psycopg.types.string import StrDumperUnknown
from pydantic import SecretStr
from stores import Server, program, started

from collector.bulk import seldom_collecting
from collector.events import Commit, Deployment, Event, PipelineRun, Probe, Result, RunState, event_ids, kind_of
from collector.store import Database, EventStore, Place
from collector.store.columns import columns_of, encoder
from collector.store.tables import EVENT_TABLES

EVENTS = int(os.environ.get("PACELINE_BENCH_EVENTS", "100000"))
PAGE = 10_000
SIZES = (1_000_000, 3_000_000, 10_000_000)
WHOLE = Size.of(1_000)
WHOLE_EVENTS = 7_700_000
"""About so many events has an organisation of this size."""
_START = datetime(2016, 1, 1, tzinfo=UTC)
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def _sha(number: int) -> str:
    return blake2b(str(number).encode(), digest_size=20).hexdigest()


def _at(number: int) -> datetime:
    return _START + timedelta(seconds=20 * number)


def commit(n: int) -> Commit:
    """A commit as a clone with its files tells it."""
    return Commit(
        source="git",
        native_id=_sha(n),
        repository=f"org/service-{n % 50}",
        sha=_sha(n),
        authored_at=_at(n),
        committed_at=_at(n + 9),
        parents=(_sha(n - 1),),
        author=f"person:{n % 300:032x}",
        paths=(f"service-{n % 50}/src/main.py", "README.md"),
    )


def deployment(n: int) -> Deployment:
    """A deployment as a system of CI tells it."""
    return Deployment(
        source="ci",
        native_id=str(10_000_000 + n),
        updated_at=_at(n),
        url=f"https://ci.example.com/org/service-{n % 50}/runs/{n}",
        service=f"service-{n % 50}",
        environment="production",
        finished_at=_at(n),
        started_at=_at(n - 9),
        result=Result.SUCCESS,
        repository=f"org/service-{n % 50}",
        sha=_sha(n),
        version=f"v{n}",
        ref="main",
        pipeline_run_native_id=str(n),
        actor=f"person:{n % 300:032x}",
    )


def pipeline_run(n: int) -> PipelineRun:
    """A run of a pipeline."""
    return PipelineRun(
        source="ci",
        native_id=str(10_000_000 + n),
        updated_at=_at(n),
        url=f"https://ci.example.com/org/service-{n % 50}/runs/{n}",
        repository=f"org/service-{n % 50}",
        pipeline="build",
        state=RunState.COMPLETED,
        result=Result.SUCCESS,
        created_at=_at(n - 18),
        started_at=_at(n - 9),
        finished_at=_at(n),
        sha=_sha(n),
        ref="main",
        actor=f"person:{n % 300:032x}",
    )


def probe(n: int) -> Probe:
    """A minute of probes."""
    return Probe(
        source="prometheus",
        native_id=f"service-{n % 50}/{n // 50}",
        service=f"service-{n % 50}",
        at=_START + timedelta(minutes=n // 50),
        passed=4,
        checks=4,
        environment="production",
        latency_seconds=0.125 + n % 7,
    )


KINDS: dict[str, Callable[[int], Event]] = {
    "commit": commit,
    "deployment": deployment,
    "pipeline_run": pipeline_run,
    "probe": probe,
}


@dataclass(frozen=True)
class Spent:
    """What something took, by the clock and of processors, in seconds."""

    clock: float
    processor: float

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.clock + other.clock, self.processor + other.processor)


Clock = Callable[[], float]
"""Processor time so far of all that works."""


def spent(work: Callable[[], object], processor: Clock) -> Spent:
    """What some work takes."""
    before, began = processor(), time.perf_counter()
    work()
    return Spent(time.perf_counter() - began, processor() - before)


def with_children(pids: Callable[[], Sequence[int]]) -> Clock:
    """This process and others: their processor time, in the ticks that the system counts of others.

    With it what others took that the same process began and that have ended: PostgreSQL makes indexes with helpers.
    """

    def now() -> float:
        working = [_counted(pid) for pid in pids()]
        ended = [_counted(parent) for parent in {int(fields[1]) for fields in working}]
        ticks = sum(int(f[11]) + int(f[12]) for f in working) + sum(int(f[13]) + int(f[14]) for f in ended)
        return time.process_time() + ticks / _CLOCK_TICKS

    return now


def _counted(pid: int) -> list[str]:
    """What the system counts of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()


def write(database: Database, events: Sequence[Event]) -> None:
    """Events through the store in one transaction, page after page, as a run of a source."""
    store = EventStore(database)
    with seldom_collecting(), database.transaction() as transaction:
        for start in range(0, len(events), PAGE):
            store.write(transaction, events[start : start + PAGE])


def write_paged(database: Database, events: Sequence[Event]) -> None:
    """Events through the store, a page a transaction."""
    for start in range(0, len(events), PAGE):
        write(database, events[start : start + PAGE])


def rows_of(events: Sequence[Event]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns of a kind, and the rows of its events as the store makes them."""
    event_type = type(events[0])
    encoded = encoder(event_type)(events)
    whole = [values if isinstance(values, list) else [values.value] * len(events) for values in encoded]
    ids = event_ids(kind_of(event_type), events)
    return ["id", *(c.name for c in columns_of(event_type)), "revision"], list(
        zip(ids, *whole, repeat(1), strict=False)
    )


def unindexed(table: sa.Table) -> list[str]:
    """What leaves a table its key alone."""
    return [f"DROP INDEX {index.name}" for index in table.indexes]


@dataclass(frozen=True)
class Sqlite:
    """Stores in a folder, each a database of its own."""

    folder: Path
    name: str = "SQLite"

    def place(self, name: str) -> Place:
        """Where a new store is."""
        return self.folder / name

    def processor(self, _database: Database) -> Clock:
        """Everything happens in this process."""
        return time.process_time

    def raw(self, events: Sequence[Event], name: str, *, indexed: bool) -> Spent:
        """What the driver alone takes for an empty table of the store."""
        table, (names, rows) = EVENT_TABLES[type(events[0])], rows_of(events)
        Database.open(self.folder / name).close()
        insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
        with contextlib.closing(sqlite3.connect(self.folder / name / "paceline.db")) as connection:
            for pragma in ("synchronous=NORMAL", "cache_size=-65536", "wal_autocheckpoint=8192"):
                connection.execute(f"PRAGMA {pragma}")
            for statement in () if indexed else unindexed(table):
                connection.execute(statement)

            def work() -> None:
                with connection:
                    connection.executemany(insert, rows)

            return spent(work, time.process_time)


@dataclass(frozen=True)
class Postgresql:
    """Stores on a server, each a database of its own."""

    server: Server
    name: str = "PostgreSQL"

    def place(self, _name: str) -> Place:
        """Where a new store is."""
        return SecretStr(self.server.empty())

    def processor(self, database: Database) -> Clock:
        """This process and those of the server that serve the store."""
        with database.reading() as connection:
            name = str(connection.scalar(sa.text("SELECT current_database()")))
        return with_children(lambda: self._backends(name))

    def _backends(self, name: str) -> list[int]:
        with psycopg.connect(self.server.url()) as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
            return [pid for (pid,) in connection.execute(query, (name,))]

    def raw(self, events: Sequence[Event], _name: str, *, indexed: bool) -> Spent:
        """What COPY alone takes for an empty table of the store."""
        table, (names, rows) = EVENT_TABLES[type(events[0])], rows_of(events)
        address = self.server.empty()
        with contextlib.closing(Database.open(SecretStr(address))) as database, database.transaction() as transaction:
            if indexed:
                transaction.begin(table, len(rows))  # else its indexes wait for the store's first events
        with psycopg.connect(address) as connection:
            connection.execute("SET synchronous_commit = off")
            connection.adapters.register_dumper(str, StrDumperUnknown)
            connection.commit()

            def work() -> None:
                with connection.cursor().copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN".encode()) as copy:
                    for row in rows:
                        copy.write_row(row)
                connection.commit()

            return spent(work, with_children(lambda: [connection.info.backend_pid]))


Kind = Sqlite | Postgresql


def compared(on: Kind, name: str) -> None:
    """Print what a kind of events costs through the store and without it."""
    events = [KINDS[name](n) for n in range(EVENTS)]
    with contextlib.closing(Database.open(on.place(name))) as database:
        processor = on.processor(database)
        new, known = (spent(lambda: write(database, events), processor) for _ in range(2))
    with contextlib.closing(Database.open(on.place(f"{name}-paged"))) as database:
        paged = spent(lambda: write_paged(database, events), on.processor(database))
    raw, keyed = on.raw(events, f"{name}-raw", indexed=True), on.raw(events, f"{name}-key", indexed=False)
    for clock, label in ((True, f"{on.name:12}{name:14}"), (False, f"{'':12}{'  by processor':14}")):
        figures = [EVENTS / max(one.clock if clock else one.processor, 1e-9) for one in (new, paged, known, raw, keyed)]
        print(f"{label}" + "".join(f"{figure:12,.0f}" for figure in figures) + f"{figures[0] / figures[3]:9.0%}")


def cycles(sizes: Sequence[int]) -> None:
    """Print what a cycle costs with so many events stored, and the last one beside the first."""
    names = ("events", "GB", "new/s", "derived s", "cycle s", "processor", "peak MB")
    print("".join(map("{:>12}".format, names)) + "  its steps")
    found: list[dict[str, float]] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "store"
            made = in_a_process("make", place, *WHOLE.with_deployments(WHOLE.deployments * size // WHOLE_EVENTS))
            derived = in_a_process("first", place)
            running = in_a_process("cycles", place, *range(6))
        middle = medians(running["cycles"][1:])
        found.append(middle | {"seconds": middle["seconds"] + middle["import"]})
        taken = ", ".join(f"{name} {middle[name]:.2f}" for name in ("import", "derive", "evaluate", "expose"))
        print(
            f"{made['events']:12,}{made['stored_mb'] / 1_000:12.2f}{made['events'] / made['seconds']:12,.0f}"
            f"{derived['seconds']:12.1f}{found[-1]['seconds']:12.2f}{middle['processor']:12.2f}"
            f"{running['memory_mb']:12,.0f}  {taken}",
            flush=True,
        )
    ratios = [found[-1][name] / found[0][name] for name in ("seconds", "processor")]
    print(f"the last cycle beside the first: {ratios[0]:.2f} by the clock, {ratios[1]:.2f} of processors")


def grown(on: Kind, name: str, sizes: Sequence[int]) -> None:
    """Print how a store grows: events a second up to each size, and what 1 000 new ones cost then."""
    with contextlib.closing(Database.open(on.place(f"{name}-grown"))) as database:
        processor, stored = on.processor(database), 0
        for size in sizes:
            total, before = Spent(0, 0), stored
            while stored < size:
                events = [KINDS[name](n) for n in range(stored, min(stored + 10 * PAGE, size))]
                total += spent(lambda: write(database, events), processor)  # noqa: B023 - called at once
                stored += len(events)
            few = [KINDS[name](n) for n in range(stored, stored + 1_000)]
            stored += len(few)
            more = spent(lambda: write(database, few), processor)  # noqa: B023 - called at once
            count = size - before
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{on.name:12}{name:14}{size:12,}{count / total.clock:12,.0f}{count / total.processor:12,.0f}"
                f"{more.clock * 1000:10,.0f}{more.processor * 1000:10,.0f}{memory:10,.0f}",
                flush=True,
            )


@contextlib.contextmanager
def databases(names: Sequence[str]) -> Iterator[list[Kind]]:
    """The databases that are asked for and there."""
    with contextlib.ExitStack() as stack:
        found: list[Kind] = []
        if "sqlite" in names:
            found.append(Sqlite(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        if "postgresql" in names and program("initdb") is not None:
            found.append(Postgresql(stack.enter_context(started())))
        elif "postgresql" in names:
            print("PostgreSQL is not installed")
            if os.environ.get("CI") == "true":
                sys.exit(1)
        yield found


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description="Events a second into the store.")
    parser.add_argument("--grow", action="store_true", help="show what a cycle costs as a store grows")
    parser.add_argument("--fill", action="store_true", help="show how writing goes on as a store grows")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="the sizes of a growing store")
    parser.add_argument("--kinds", help="kinds of events; default: all, and commits for a growing store")
    parser.add_argument("--databases", default="sqlite,postgresql", help="which databases")
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",")]
    if asked.grow:
        cycles(sizes)
        return
    kinds = (asked.kinds or ("commit" if asked.fill else ",".join(KINDS))).split(",")
    with databases(asked.databases.split(",")) as found:
        if asked.fill:
            print(
                f"{'':26}{'events':>12}{'new/s':>12}{'processor/s':>12}{'1000 ms':>10}{'proc. ms':>10}{'peak MB':>10}"
            )
        else:
            print(f"{'':26}{'new/s':>12}{'paged/s':>12}{'known/s':>12}{'raw/s':>12}{'raw, key/s':>12}{'of raw':>9}")
        for on in found:
            for name in kinds:
                if asked.fill:
                    grown(on, name, sizes)
                else:
                    compared(on, name)


if __name__ == "__main__":
    main()
