"""The store on a real PostgreSQL: what SQLite promises by itself is kept there, too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from stores import Server

from collector.conditions import Above
from collector.errors import StoreError
from collector.events import Probe
from collector.store import Database, DerivationStore, EventStore, Replacement, Series, copy_store, digests
from collector.store.database import SCHEMA_REVISION
from collector.store.postgresql import _rounds
from collector.store.tables import EVENT_TABLES

pytestmark = pytest.mark.integration


@pytest.fixture
def address(postgresql: Server) -> str:
    """The address of a database without a table."""
    return postgresql.empty()


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """An empty store."""
    with closing(Database.open(SecretStr(address))) as found:
        yield found


def _asked(address: str, query: str) -> list[Any]:
    with psycopg.connect(address) as connection:
        return connection.execute(query.encode()).fetchall()


def _changed(address: str, *statements: str) -> None:
    with psycopg.connect(address) as connection:
        for statement in statements:
            connection.execute(statement.encode())


# --- who connects ---------------------------------------------------------------------------------------


def test_an_exchanged_password_is_used_by_the_next_connection(postgresql: Server, address: str, tmp_path: Path) -> None:
    """The address is in a file: when connections are lost, what it says now counts, without a restart."""
    before, after = postgresql.roles(2)
    file = tmp_path / "store"
    file.write_text(before.url(address), encoding="utf-8")
    with closing(Database.open(SecretStr(f"file:{file}"))) as database:
        assert _who(database) == before.name

        before.close()
        with pytest.raises(StoreError, match="not permitted to log in"):
            _who(database)
        file.write_text(after.url(address), encoding="utf-8")
        assert _who(database) == after.name

        after.close()
        file.unlink()
        with pytest.raises(StoreError, match="file of a secret cannot be read"):
            _who(database)


def _who(database: Database) -> str:
    """As whom a store is connected."""
    with database.reading() as connection:
        return str(connection.execute(sa.text("SELECT current_user")).scalar_one())


# --- opening and migrating ----------------------------------------------------------------------------


def test_every_text_is_compared_as_in_sqlite(database: Database, address: str) -> None:
    """Text is ordered by its characters' numbers, whatever language the server speaks."""
    rows = _asked(
        address,
        "SELECT DISTINCT collation_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type = 'text'",
    )

    assert rows == [("C",)]


def test_a_newer_schema_is_refused(database: Database, address: str) -> None:
    """An older program refuses a newer schema and names both."""
    _changed(address, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match=f"schema 9999, this Paceline knows up to {SCHEMA_REVISION}"):
        Database.open(SecretStr(address))


_INDEXES_OF_BEFORE = {
    "deployment_artifact": "deployment (artifact)",
    "deployment_native_id": "deployment (native_id)",
    "deployment_revision": "deployment (revision)",
    "member_person_revision": "member (person, revision)",
    "milestone_person_revision": "milestone (person, revision)",
    "self_service_attempt_native_id": "self_service_attempt (native_id)",
    "ticket_journey_revision": "ticket (journey, revision)",
}


@pytest.fixture
def older(database: Database, address: str, probe: Any) -> str:
    """The address of a store of the schema before the last, with an event in it."""
    _write(database, probe("1"))
    _changed(
        address,
        "DROP TABLE report_delivery, erased_person, forgotten, event_source",
        *(f"CREATE INDEX ix_event_{name} ON event_{on}" for name, on in _INDEXES_OF_BEFORE.items()),
        "UPDATE alembic_version SET version_num = '0004'",
    )
    return address


@pytest.fixture
def of_indexes(database: Database, address: str) -> str:
    """The address of a store of the schema before some indexes went, on which the store's own statements run."""
    _changed(
        address,
        "DROP TABLE event_source",
        *(f"CREATE INDEX ix_event_{name} ON event_{on}" for name, on in _INDEXES_OF_BEFORE.items()),
        "UPDATE alembic_version SET version_num = '0007'",
    )
    return address


def _write(database: Database, *events: Any) -> int:
    store = EventStore(database)
    with database.transaction() as transaction:
        return store.write(transaction, events)


def test_one_migrates_while_others_wait_and_read(older: str) -> None:
    """Replicas start at once on an old schema → all of them open it, and readers are not stopped."""
    with ThreadPoolExecutor(4) as pool, psycopg.connect(older) as reader:
        reader.execute("SELECT count(*) FROM event_probe")
        opened = list(pool.map(lambda _: Database.open(SecretStr(older)), range(4)))

    counts = [EventStore(one).counts()["probe"] for one in opened]
    for one in opened:
        one.close()
    assert counts == [1] * 4
    assert _asked(older, "SELECT version_num FROM alembic_version") == [(SCHEMA_REVISION,)]


_WAITS = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"


def test_a_migration_keeps_nobody_waiting_for_a_long_reader(of_indexes: str, database: Database, probe: Any) -> None:
    """Somebody reads a table for long that it changes → others go on reading and writing; it changes it afterwards."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(of_indexes) as reader, psycopg.connect(of_indexes) as other:
        reader.execute("SELECT count(*) FROM event_deployment")
        opened = pool.submit(Database.open, SecretStr(of_indexes))
        for n in range(3):
            _until(lambda: _asked(of_indexes, _WAITS) != [])
            other.execute("SET lock_timeout = '3s'")
            other.execute("SELECT count(*) FROM event_deployment")
            other.commit()
            assert _write(database, probe(f"while {n}")) == 1
        early = opened.done()
        reader.commit()
        opened.result(timeout=60).close()

    assert not early
    assert _asked(of_indexes, "SELECT version_num FROM alembic_version") == [(SCHEMA_REVISION,)]
    assert EventStore(database).counts()["probe"] == 3


def test_a_migration_gives_up_whom_nobody_lets(of_indexes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody reads for ever → the program says that it cannot, and leaves the schema as it was."""
    monkeypatch.setattr("collector.store.database._PAUSES_SECONDS", (0, 0))
    with psycopg.connect(of_indexes) as reader:
        reader.execute("SELECT count(*) FROM event_deployment")
        with pytest.raises(StoreError, match=r"schema 0007 cannot be brought to \d+: somebody has been reading"):
            Database.open(SecretStr(of_indexes))

    assert _asked(of_indexes, "SELECT version_num FROM alembic_version") == [("0007",)]


def _until(happened: Callable[[], bool]) -> None:
    """Wait for something for ten seconds at most."""
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_failed_migration_changes_nothing(older: str) -> None:
    """A migration that breaks leaves the schema, its number and what is in it as they were."""
    _changed(older, "CREATE VIEW report_delivery AS SELECT 1")

    with pytest.raises(StoreError, match="cannot be opened"):
        Database.open(SecretStr(older))

    assert _asked(older, "SELECT version_num FROM alembic_version") == [("0004",)]
    assert _asked(older, "SELECT count(*) FROM event_probe") == [(1,)]


@pytest.mark.parametrize(
    "held",
    ["SELECT pg_advisory_xact_lock(7223001)", "LOCK TABLE event_deployment IN ACCESS EXCLUSIVE MODE"],
    ids=["while it waits for another one", "in its middle"],
)
def test_a_server_that_restarts_during_a_migration_is_one_line(older: str, held: str) -> None:
    """A connection that ends while a migration waits or works is an error of ours, and changes nothing."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(older) as other:
        other.execute(held.encode())
        opening = pool.submit(Database.open, SecretStr(older))
        until = time.monotonic() + 30
        while not _asked(older, waits)[0][0]:
            assert time.monotonic() < until
            time.sleep(0.02)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        _changed(older, f"{ended} AND datname = current_database()")
        with pytest.raises(StoreError, match="cannot be opened: terminating connection") as caught:
            opening.result()

    assert len(str(caught.value).splitlines()) == 1
    assert _asked(older, "SELECT version_num FROM alembic_version") == [("0004",)]


@pytest.mark.parametrize(
    "address", ["postgresql://u:s3cret@127.0.0.1:1/d", "postgresql://u:s3cret@[x/d", "my://u:s3cret@h"]
)
def test_what_cannot_be_opened_is_told_without_the_password(address: str) -> None:
    """A wrong address, or a server that is not there, is an error of ours that says no secret."""
    with pytest.raises(StoreError, match="store") as caught:
        Database.open(SecretStr(address))

    assert "s3cret" not in str(caught.value)


# --- several writers ----------------------------------------------------------------------------------

_WRITER = """
import sys
from datetime import UTC, datetime
from pydantic import SecretStr
from collector.events import Probe
from collector.store import Database, EventStore

database = Database.open(SecretStr(sys.argv[1]))
store = EventStore(database)
for n in range(10):
    event = Probe(
        source=sys.argv[2], native_id=str(n), service="api", at=datetime(2026, 1, 2, tzinfo=UTC), passed=1
    )
    with database.transaction() as transaction:
        store.write(transaction, [event])
database.close()
"""


@pytest.fixture
def writers(address: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that open one empty store, then write to it, all at once."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, address, name], env=environment, stderr=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_processes_may_start_and_write_at_once(writers: list[subprocess.Popen[str]], address: str) -> None:
    """Each transaction of each process counts as one change of its kind: none is lost, none counted twice."""
    said = [process.communicate(timeout=60)[1] for process in writers]

    assert said == ["", ""]
    with closing(Database.open(SecretStr(address))) as database:
        assert EventStore(database).counts()["probe"] == 20
        assert EventStore(database).revisions() == {"probe": 20}


def test_a_steady_reader_sees_what_was_committed_last(database: Database, probe: Any) -> None:
    """A connection that is kept for many small reads never stays in the past, nor does it hold anybody up."""
    store = EventStore(database)
    with store.steadily():
        before = store.columns(Probe, "native_id")
        _write(database, probe("1"))
        after = store.columns(Probe, "native_id")

    assert (before, after) == ([], [("1",)])


def test_a_lost_connection_costs_nothing(database: Database, address: str, probe: Any) -> None:
    """The server drops its connections, as when it restarts → the next statement has a new one."""
    store = EventStore(database)
    store.counts()
    with psycopg.connect(address, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'paceline'")

    assert _write(database, probe("1")) == 1


# --- rows in bulk -------------------------------------------------------------------------------------


def test_many_rows_of_one_key_are_written_one_after_the_other(database: Database, probe: Any) -> None:
    """Versions of an event that come together leave what they leave when they come apart."""
    events = [probe(str(n % 40), passed=n, checks=200) for n in range(200)]

    changed = _write(database, *events)

    assert changed == 200
    assert sorted(EventStore(database).columns(Probe, "passed")) == [(n,) for n in range(160, 200)]


@pytest.mark.parametrize("seed", range(3))
def test_new_known_and_repeated_events_of_a_write_leave_what_sqlite_has(
    bench: Any, database: Database, probe: Any, seed: int
) -> None:
    """New events are copied, others compared: of any mixture the same rows, revisions and moves stay on both."""
    random = Random(seed)  # noqa: S311 - the same each time
    writes = [
        [probe(str(random.randrange(9_000)), service=random.choice("ab"), passed=n % 3, checks=3) for n in range(size)]
        for size in (80, 5_600, 5_600, 60)
    ]
    own = bench.store

    changed = [(bench.write(*some), _write(database, *some)) for some in writes]

    theirs = EventStore(database)
    asked = ("id", "service", "passed", "revision")
    assert all(mine == other for mine, other in changed)
    assert sorted(theirs.columns(Probe, *asked)) == sorted(own.columns(Probe, *asked))
    assert theirs.revisions() == own.revisions()
    assert [theirs.moved(Probe, n) for n in range(4)] == [own.moved(Probe, n) for n in range(4)]


def test_rows_go_in_rounds_without_a_key_twice() -> None:
    """Each row comes after those of its key that came before it."""
    rows = [("a", 1), ("b", 1), ("a", 2), ("a", 3)]

    assert list(_rounds(rows, [0])) == [[("a", 1), ("b", 1)], [("a", 2)], [("a", 3)]]


def test_what_no_number_is_and_what_no_text_can_hold_is_kept_as_far_as_it_goes(database: Database, probe: Any) -> None:
    """NaN is no value, as in SQLite; a character 0 becomes the sign for what cannot be shown."""
    odd = [probe(str(n), target="a\0b", latency_seconds=float("nan")) for n in range(60)]
    whole = [probe(str(n), target=f"ab{n}", latency_seconds=0.5) for n in range(60, 120)]

    _write(database, *(event for pair in zip(odd, whole, strict=True) for event in pair))
    _write(database, *odd)

    mended = [(str(n), "a\N{REPLACEMENT CHARACTER}b", None) for n in range(60)]
    kept = {*mended, *((str(n), f"ab{n}", 0.5) for n in range(60, 120))}
    assert set(EventStore(database).columns(Probe, "native_id", "target", "latency_seconds")) == kept


# --- the first events of a kind ------------------------------------------------------------------------

_INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'event_probe' AND indexname LIKE 'ix_%' ORDER BY 1"
_OF_PROBES = [("ix_event_probe_service_at",), ("ix_event_probe_service_revision",)]


@pytest.mark.parametrize("count", [1, 1_500])
def test_the_first_events_of_a_kind_bring_its_indexes(database: Database, address: str, probe: Any, count: int) -> None:
    """They are made at the end of the transaction, and nobody waits for it who reads meanwhile, or began before."""
    store, before = EventStore(database), _asked(address, _INDEXES)
    with psycopg.connect(address) as older, psycopg.connect(address) as other:
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT count(*) FROM event_probe")
        other.execute("SET lock_timeout = 1")
        with database.transaction() as transaction:
            store.write(transaction, [probe(str(n)) for n in range(count)])
            transaction.index()
            seen = other.execute("SELECT count(*) FROM event_probe WHERE service = 'api'").fetchall()
        still = older.execute("SELECT count(*) FROM event_probe WHERE service = 'api'").fetchall()

    assert (before, seen, still) == ([], [(0,)], [(0,)])
    assert _asked(address, _INDEXES) == _OF_PROBES
    assert store.columns(Probe, "native_id", service="api", at=Above(0))[-1:] != []


def test_an_import_that_failed_leaves_no_index(database: Database, address: str, probe: Any) -> None:
    """What began a kind and broke has left nothing: the next one begins it again."""

    def fail() -> None:
        with database.transaction() as transaction:
            EventStore(database).write(transaction, [probe(str(n)) for n in range(60)])
            transaction.index()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert (_asked(address, _INDEXES), EventStore(database).counts()["probe"]) == ([], 0)
    assert _write(database, probe("1")) == 1
    assert _asked(address, _INDEXES) == _OF_PROBES


def test_keys_beyond_what_is_remembered_are_asked_for(
    database: Database, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import of more events than one remembers writes each of them once all the same."""
    monkeypatch.setattr("collector.store.database._REMEMBERED", 100)
    store = EventStore(database)

    with database.transaction() as transaction:
        pages = [[probe(str(n)) for n in range(start, start + 150)] for start in (0, 100, 200, 0)]
        changed = [store.write(transaction, page) for page in pages]

    assert changed == [150, 100, 100, 0]
    assert store.counts()["probe"] == 350


# --- a whole store ------------------------------------------------------------------------------------


@pytest.fixture
def filled(bench: Any, event_strategies: Any, probe: Any) -> Database:
    """A store in SQLite with events, a piece with its state, and a restatement."""
    bench.write(*(probe(str(n), target="ü\t\\N\n") for n in range(120)))
    series = Series("f", "i", "", "api", "production", "", "s", "api")
    row = (5, "u", 0.1, None, None, None, None, "good", "", None, "r", "[]")
    derivations = DerivationStore(bench.database)
    derivations.published(2 * 86_400_000_000)
    derivations.replace(Replacement("f", "api", {series: [row]}, "d", (), b"\x00\xff"), 1, "new")
    derivations.replace(Replacement("f", "api", {}, "d", (), None), 2, "gone")
    found: Database = bench.database
    return found


_INDEXED_KINDS = "SELECT DISTINCT substr(tablename, 7) FROM pg_indexes WHERE indexname LIKE 'ix_event_%'"


def test_a_store_moves_and_comes_back_as_it_was(
    filled: Database, database: Database, address: str, tmp_path: Path
) -> None:
    """SQLite → PostgreSQL → SQLite: every table holds the same rows, by their number and digest."""
    copy_store(filled, database)
    with closing(Database.open(tmp_path / "back")) as back:
        copy_store(database, back)
        found = digests(back)

    assert found == digests(database) == digests(filled)
    kept = {"event_probe": 120, "kind_revision": 1, "piece": 1, "published_counter": 1, "restatement": 1, "series": 1}
    assert {one.table: one.rows for one in found if one.rows} == kept
    made = {f"event_{row[0]}" for row in _asked(address, _INDEXED_KINDS)}
    assert made == {table.name for table in EVENT_TABLES.values() if table.indexes}


def test_numbers_go_on_after_a_move(filled: Database, database: Database) -> None:
    """What the database numbers itself is numbered on from what was moved."""
    copy_store(filled, database)
    derivations = DerivationStore(database)
    series = Series("f", "i", "", "api", "production", "", "s", "api")
    row = (5, "u", 0.1, None, None, None, None, "good", "", None, "r", "[]")

    derivations.replace(Replacement("f", "api", {series: [row]}, "d", (), None), 3, "again")

    assert [one.why for one in derivations.restatements()] == ["again", "gone"]


def test_a_store_that_is_not_empty_is_not_written_over(filled: Database, database: Database, probe: Any) -> None:
    """Whoever restores or moves loses nothing that is there."""
    _write(database, probe("mine"))

    with pytest.raises(StoreError, match="event_probe has rows; nothing was copied"):
        copy_store(filled, database)

    assert EventStore(database).counts()["probe"] == 1


def test_a_copy_that_differs_is_not_kept(filled: Database, database: Database) -> None:
    """Something changes rows on their way in → the difference is named, and the store stays empty."""
    with database.transaction() as transaction:
        transaction.execute(
            sa.text("CREATE FUNCTION lost() RETURNS trigger AS 'BEGIN RETURN NULL; END' LANGUAGE plpgsql")
        )
        transaction.execute(sa.text("CREATE TRIGGER lost BEFORE INSERT ON series FOR EACH ROW EXECUTE FUNCTION lost()"))

    with pytest.raises(StoreError, match="differs from its source in series; nothing was kept"):
        copy_store(filled, database)

    assert sum(one.rows for one in digests(database)) == 0


def test_names_are_not_noted(database: Database, probe: Any) -> None:
    """The server may fail alone and forget its last commits, and others get these: every name is asked for."""
    _write(database, probe("1"))
    _write(database, probe("2"))

    assert EventStore(database).noted({"probe": 1}, {"probe": 2}) == {}
