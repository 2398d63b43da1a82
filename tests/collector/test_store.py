"""The store: the same events give the same rows, whatever happened on the way."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

import collector.store
from collector.conditions import Above
from collector.errors import BadRecord, StoreError
from collector.events import (
    EVENT_TYPES,
    Change,
    ChangeState,
    Deployment,
    Event,
    Incident,
    Probe,
    Reply,
    Result,
    Ticket,
    TicketState,
    kind_of,
)
from collector.store import Database, DerivationStore, EventStore, SourceRun, from_micros, to_micros
from collector.store.database import SCHEMA_REVISION, _positional
from collector.store.derivations import _COLUMNS, _INSERT
from collector.store.tables import METADATA

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_FRESH = itertools.count()


def fresh(event: Event) -> Event:
    """The event under a native id that no other example uses."""
    return msgspec.structs.replace(event, native_id=f"{next(_FRESH)} {event.native_id}")


# --- times --------------------------------------------------------------------------------------------


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_are_exact(at: datetime) -> None:
    """A time comes back as it went, to the microsecond, in any century."""
    assert from_micros(to_micros(at)) == at
    assert from_micros(to_micros(at)).tzinfo is UTC


# --- events go in and come back -----------------------------------------------------------------------


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=kind_of)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_every_kind_comes_back_as_it_went(
    shared_benches: Any, event_strategies: Any, event_type: type[Event], data: st.DataObject
) -> None:
    """An event of any kind with any valid values is read as it was written."""
    bench, _ = shared_benches
    event = fresh(data.draw(event_strategies[event_type]))

    bench.write(event)

    assert bench.store.find([event.id]) == {event.id: event}


@settings(max_examples=examples(50), deadline=None)
@given(data=st.data())
def test_order_and_duplicates_change_nothing(shared_benches: Any, event_strategies: Any, data: st.DataObject) -> None:
    """Of conflicting versions one stays, whatever the order, the duplicates and the split into runs."""
    strategy = event_strategies[data.draw(st.sampled_from(EVENT_TYPES))]
    first, other = fresh(data.draw(strategy)), data.draw(strategy)
    names = st.sampled_from(sorted(set(first.__struct_fields__) - {"source", "native_id"}))
    changes = data.draw(st.lists(names, max_size=3))
    near = msgspec.structs.replace(first, **{n: getattr(other, n) for n in changes})
    undated = msgspec.structs.replace(near, updated_at=None)
    whole = msgspec.structs.replace(other, source=first.source, native_id=first.native_id)
    versions = [first, near, undated, whole]
    left, right = shared_benches

    left.write(*versions)
    for event in data.draw(st.permutations([*versions, *versions])):
        right.write(event)

    (kept,) = left.store.find([first.id]).values()
    assert right.store.find([first.id]) == {first.id: kept}
    assert kept in versions
    assert left.write(*versions) == 0


def test_writing_twice_changes_nothing(bench: Any, probe: Any) -> None:
    """The same native id seen twice is one event, and the second time nothing changed."""
    events = [probe(str(n)) for n in range(10)]

    assert bench.write(*events) == 10
    before = bench.dump()
    assert bench.write(*reversed(events), *events) == 0
    assert bench.dump() == before


@pytest.mark.parametrize("order", [1, -1])
def test_the_later_version_stays(bench: Any, probe: Any, order: int) -> None:
    """Of two versions the one with the later `updated_at` stays, even if its values are smaller."""
    old = probe(passed=9, updated_at=AT)
    new = probe(passed=1, updated_at=AT + timedelta(microseconds=1))

    bench.write(*[old, new][::order])

    assert list(bench.store.events(Probe)) == [new]


def test_a_dated_version_comes_before_an_undated_one(bench: Any, probe: Any) -> None:
    """A version without `updated_at` never replaces one that has it."""
    dated = probe(passed=1, updated_at=datetime(1970, 1, 1, tzinfo=UTC))

    bench.write(dated, probe(passed=9))

    assert list(bench.store.events(Probe)) == [dated]


@pytest.mark.parametrize(
    ("fields", "others"),
    [({"url": None}, {"url": ""}), ({"paths": None}, {"paths": ()}), ({}, {"number": -(2**63)})],
)
def test_absent_and_empty_are_told_apart(new_bench: Any, fields: Any, others: Any) -> None:
    """Of a version without a value and one with the least of values, the same one stays in either order."""
    change = {"source": "s", "native_id": "1", "repository": "r", "state": ChangeState.OPEN, "created_at": AT}
    absent, least = Change(**{**change, **fields}), Change(**{**change, **others})
    left, right = new_bench("left"), new_bench("right")

    left.write(absent, least)
    right.write(least, absent)

    assert list(left.store.events(Change)) == list(right.store.events(Change)) == [least]


def test_two_sources_with_one_native_id_are_two_events(bench: Any, probe: Any) -> None:
    """Two sources both posting id "42" → two."""
    bench.write(probe("42", source="a"), probe("42", source="b"))

    assert bench.store.counts()["probe"] == 2


def test_a_failed_transaction_keeps_nothing(bench: Any, probe: Any) -> None:
    """Events and cursor are kept together or not at all."""
    before = bench.dump()

    def fail() -> None:
        with bench.database.transaction() as transaction:
            bench.store.write(transaction, [probe()])
            bench.store.set_cursor(transaction, "s", "7")
            bench.store.reject(transaction, "s", [BadRecord("a:1", "no")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert bench.dump() == before


def test_revisions_count_changes_of_their_kind(bench: Any, probe: Any) -> None:
    """A kind's number grows with each write that changed something, and stands still otherwise."""
    bench.write(probe("1"), probe("2"))
    bench.write(probe("1"))
    bench.write(probe("1", updated_at=AT))

    assert bench.store.revisions() == {"probe": 2}


# --- reading ------------------------------------------------------------------------------------------


def test_find_reads_any_kind_and_leaves_out_the_unknown(bench: Any, probe: Any) -> None:
    """Events are found by id whatever their kind; an unknown id is absent."""
    ticket = Ticket(
        source="s",
        native_id="7",
        queue="help",
        state=TicketState.OPEN,
        created_at=AT,
        replies=(Reply(at=AT, author="person:" + "0" * 32),),
    )
    bench.write(probe(), ticket)

    assert bench.store.find([ticket.id, "unknown", probe().id]) == {ticket.id: ticket, probe().id: probe()}
    assert bench.store.find([]) == {}


def test_find_takes_more_ids_than_a_statement_does(bench: Any, probe: Any) -> None:
    """Many ids are asked for in parts."""
    events = [probe(str(n)) for n in range(12_000)]
    bench.write(*events)

    assert len(bench.store.find([e.id for e in events])) == 12_000


def test_columns_are_plain_values(bench: Any, probe: Any) -> None:
    """Times are microseconds, tuples JSON text or empty, and `id` may be asked for."""
    ticket = Ticket(source="s", native_id="7", queue="q", state=TicketState.OPEN, created_at=AT, labels=("a", "b"))
    bench.write(ticket)

    found = bench.store.columns(Ticket, "id", "created_at", "state", "labels", "resolved_at", "replies")

    assert found == [(ticket.id, 1_767_323_045_678_901, "open", '["a","b"]', None, "")]


def test_events_come_in_the_order_of_their_ids(bench: Any, probe: Any) -> None:
    """Reading twice gives the same order, whatever the order of writing."""
    events = [probe(str(n)) for n in range(50)]
    bench.write(*events)

    assert [e.id for e in bench.store.events(Probe)] == sorted(e.id for e in events)


def test_a_reader_sees_one_state_while_a_writer_writes(bench: Any, probe: Any) -> None:
    """A reader neither waits for a writer nor sees half of its work."""
    with bench.database.transaction() as transaction:
        bench.store.write(transaction, [probe()])
        assert bench.store.counts()["probe"] == 0

    assert bench.store.counts()["probe"] == 1


def test_runs_come_back_as_they_went(bench: Any) -> None:
    """A run's record is read as it was written."""
    run = SourceRun(
        source="s",
        started_at=1,
        finished_at=2,
        succeeded=True,
        last_success_at=2,
        newest_event_at=-5,
        events_total=3,
        changed_total=2,
        rejected_total=1,
        warnings=("cut", "ünïcode"),
    )

    bench.store.record_run(run)

    assert bench.store.runs() == {"s": run}


# --- opening and migrating ----------------------------------------------------------------------------


def _migrated(folder: Path, revision: str) -> sa.Engine:
    """An empty store that migrations brought to a revision."""
    config = Config()
    config.set_main_option("script_location", str(Path(collector.store.__file__).parent / "migrations"))
    engine = sa.create_engine(f"sqlite:///{folder / 'paceline.db'}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


def _described(engine: sa.Engine) -> dict[str, str]:
    """The statement that made each table and index."""
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version'"))
        found = {name: " ".join(str(text).split()) for name, text in rows}
        found["revision"] = str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))
    engine.dispose()
    return found


@pytest.mark.sqlite
def test_the_migrated_schema_is_the_described_one(tmp_path: Path) -> None:
    """Whoever changes an event type or a table writes a migration, too."""
    engine = _migrated(tmp_path, "head")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA)
    engine.dispose()

    assert differences == []


@pytest.mark.sqlite
def test_a_new_store_is_as_migrations_make_it(tmp_path: Path) -> None:
    """New tables are made at once; nothing of them tells that from a store that came through every version."""
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir()
    Database.open(new).close()

    assert _described(sa.create_engine(f"sqlite:///{new / 'paceline.db'}")) == _described(_migrated(old, "head"))


@pytest.mark.sqlite
def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An older program refuses a newer schema and names both."""
    Database.open(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "paceline.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match=f"schema 9999, this Paceline knows up to {SCHEMA_REVISION}"):
        Database.open(tmp_path)


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """A store of the schema before runs of sources were events, with an event and a run in it."""
    engine = _migrated(tmp_path, "0002")
    with engine.begin() as connection:
        probe = {"id": "0" * 32, "source": "s", "native_id": "1", "service": "api", "at": 5}
        probe |= {"passed": 1, "checks": 1, "duration_seconds": 60.0}
        connection.execute(sa.text(_INSERTED.format("event_probe", ", ".join(probe), ", :".join(probe))), probe)
        run = {"source": "s", "started_at": 1, "finished_at": 2, "succeeded": True, "warnings": "[]"}
        run |= dict.fromkeys(("events_total", "changed_total", "rejected_total"), 1)
        connection.execute(sa.text(_INSERTED.format("source_run", ", ".join(run), ", :".join(run))), run)
    engine.dispose()
    return tmp_path


_INSERTED = "INSERT INTO {} ({}) VALUES (:{})"


@pytest.mark.sqlite
def test_an_older_store_is_brought_forward(old_store: Path) -> None:
    """A store of the version before opens with what it held; of runs that were, no event is made up."""
    database = Database.open(old_store)
    store = EventStore(database)
    with database.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA)
    counts, runs, services = store.counts(), store.runs(), store.distinct(Probe, "service")
    database.close()

    assert differences == []
    assert (counts["probe"], counts["collection"]) == (1, 0)
    assert (runs["s"].finished_at, services) == (2, ["api"])


def test_opening_again_keeps_what_is_there(tmp_path: Path, probe: Any) -> None:
    """A store survives a restart."""
    database = Database.open(tmp_path)
    with database.transaction() as transaction:
        EventStore(database).write(transaction, [probe()])
    database.close()

    again = Database.open(tmp_path)

    assert list(EventStore(again).events(Probe)) == [probe()]
    again.close()


@pytest.mark.sqlite
def test_after_a_cycle_the_file_has_what_the_log_had_and_the_log_is_written_over(tmp_path: Path, probe: Any) -> None:
    """Else the log would grow until somebody's transaction had to wait while all of it is moved."""
    database, sizes = Database.open(tmp_path), []
    for n in range(3):
        with database.transaction() as transaction:
            EventStore(database).write(transaction, [probe(f"{n}-{i}") for i in range(500)])
        DerivationStore(database).rest()
        sizes.append((tmp_path / "paceline.db-wal").stat().st_size)
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / "paceline.db", tmp_path / "alone")
    alone = Database.open(tmp_path / "alone")

    assert len(list(EventStore(alone).events(Probe))) == 1_500
    assert sizes[2] == sizes[1]
    alone.close()
    database.close()


@pytest.mark.sqlite
def test_a_folder_that_cannot_be_used_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file where the folder should be is told in our words."""
    (tmp_path / "data").write_text("")

    with pytest.raises(StoreError, match="cannot be opened"):
        Database.open(tmp_path / "data")


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_an_error_of_ours(tmp_path: Path) -> None:
    """Something else under the database's name is not overwritten."""
    (tmp_path / "paceline.db").write_text("these are notes, many of them, and no database at all" * 9)

    with pytest.raises(StoreError, match="file is not a database"):
        Database.open(tmp_path)


@pytest.mark.sqlite
def test_a_failing_statement_is_an_error_without_values(bench: Any, probe: Any) -> None:
    """What the database says is passed on, the values are not."""
    with bench.database.transaction() as transaction:
        bench.store.write(transaction, [])
    bench.database.close()
    with contextlib.closing(sqlite3.connect(bench.folder / "paceline.db")) as connection:
        connection.execute("DROP TABLE event_probe")

    with pytest.raises(StoreError, match="nothing was kept: no such table: event_probe") as caught:
        bench.write(probe("secret-id"))

    assert "secret-id" not in str(caught.value)


# --- several writers ----------------------------------------------------------------------------------


def test_threads_may_write_at_once(bench: Any, probe: Any) -> None:
    """Writers in one process wait for each other and lose nothing."""
    batches = [[probe(f"{n}-{i}") for i in range(20)] for n in range(40)]

    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(lambda events: bench.write(*events), batches))

    assert changed == [20] * 40
    assert bench.store.counts()["probe"] == 800
    assert bench.store.revisions() == {"probe": 40}


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from collector.events import Probe
from collector.store import Database, EventStore

database = Database.open(Path(sys.argv[1]))
store = EventStore(database)
for n in range(50):
    event = Probe(
        source=sys.argv[2], native_id=str(n), service="api", at=datetime(2026, 1, 2, tzinfo=UTC), passed=1
    )
    with database.transaction() as transaction:
        store.write(transaction, [event])
        store.set_cursor(transaction, sys.argv[2], str(n))
print(store.cursor(sys.argv[2]))
"""


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Three processes that open and migrate one empty store, then write to it, all at once."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "data"), name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c")
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.sqlite
def test_processes_may_start_and_write_at_once(writers: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    """Replicas start at once → one migrates, the others wait, and all of them write without an error."""
    said = [process.communicate(timeout=60) for process in writers]

    assert said == [("49\n", "")] * 3
    database = Database.open(tmp_path / "data")
    assert EventStore(database).counts()["probe"] == 150
    database.close()


def test_any_split_into_transactions_gives_the_same_rows(new_bench: Any, probe: Any) -> None:
    """One event a transaction or all in one: the rows are the same."""
    events = [probe(str(n % 30), passed=n, updated_at=AT + timedelta(seconds=n % 7)) for n in range(200)]
    whole, parts = new_bench("whole"), new_bench("parts")

    whole.write(*events)
    for event in random.Random(7).sample(events, len(events)):  # noqa: S311 - a shuffle, not a secret
        parts.write(event)

    assert whole.dump()["event_probe"] == parts.dump()["event_probe"]


def test_many_rows_are_sent_without_asking_for_their_keys(bench: Any) -> None:
    """A RETURNING clause would forbid sending many rows at once on newer Pythons."""
    text = _positional(_INSERT, bench.database._engine.dialect, _COLUMNS)

    assert text is not None
    assert "RETURNING" not in text


# --- what is new, and what went elsewhere -----------------------------------------------------------------


def _shipped(native_id: str, service: str = "api", hour: int = 1, **more: Any) -> Deployment:
    return Deployment(
        source="cd",
        native_id=native_id,
        service=service,
        environment="production",
        finished_at=AT + timedelta(hours=hour),
        result=Result.SUCCESS,
        **more,
    )


def test_columns_are_narrowed_by_value_list_and_number(bench: Any) -> None:
    """Only the events that fit every condition come back."""
    bench.write(_shipped("1"), _shipped("2", hour=2), _shipped("3", "shop", hour=3))
    second = to_micros(AT + timedelta(hours=1))

    assert bench.store.columns(Deployment, "native_id", service="shop") == [("3",)]
    assert bench.store.columns(Deployment, "native_id", service="api", finished_at=Above(second)) == [("2",)]
    assert sorted(bench.store.columns(Deployment, "native_id", native_id=["1", "3", "9"])) == [("1",), ("3",)]
    assert bench.store.columns(Deployment, "native_id", native_id=[]) == []


def test_columns_take_more_values_than_a_statement_does(bench: Any) -> None:
    """A list of any length is read in pieces."""
    bench.write(*[_shipped(str(n)) for n in range(12_000)])

    found = bench.store.columns(Deployment, "native_id", native_id=[str(n) for n in range(11_999)])

    assert len(found) == len(set(found)) == 11_999


def test_all_that_is_read_again_is_as_it_is_now(bench: Any) -> None:
    """What was written, came or went since is seen; what stayed is not read again."""
    names, store = ("native_id", "service", "id", "revision"), bench.store
    bench.write(*[deployment(name, service="api", updated_at=AT) for name in ("stays", "changes", "goes", "moves")])
    before = {row[0]: row for row in store.columns(Deployment, *names)}
    bench.write(deployment("changes", service="api", updated_at=AT + timedelta(hours=1), artifact="a"))
    bench.write(deployment("moves", service="shop", updated_at=AT + timedelta(hours=1)), deployment("comes"))
    assert _removed(bench, {"stays", "changes"}) == 1

    found = store.columns(Deployment, *names)
    again = store.columns(Deployment, *names)
    now = {row[0]: row for row in found}

    assert sorted(found) == sorted(again) == sorted(bench.store.columns(Deployment, *names))
    assert {name: row[1] for name, row in now.items()} == {
        "stays": "api",
        "changes": "api",
        "moves": "shop",
        "comes": "web",
    }
    assert now["stays"] is before["stays"]
    assert now["changes"][3] > before["changes"][3]


def test_many_that_are_read_again_are_not_held(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a kind with many events nothing stays in memory."""
    monkeypatch.setattr("collector.store.events._MOST_READ", 2)
    bench.write(_shipped("1"), _shipped("2"), _shipped("3"))
    store = bench.store
    first, second = (sorted(store.columns(Deployment, "id", "revision")) for _ in range(2))

    assert first == second
    assert first[0] is not second[0]


def test_distinct_names_are_those_with_something_new(bench: Any) -> None:
    """After a revision only the services with a newer event are named; without one, all."""
    bench.write(_shipped("1"), _shipped("2", "shop"))
    before = bench.store.revisions()["deployment"]
    bench.write(_shipped("1"), _shipped("3", "web"))

    assert bench.store.distinct(Deployment, "service") == ["api", "shop", "web"]
    assert bench.store.distinct(Deployment, "service", before) == ["web"]
    assert bench.store.distinct(Incident, "service") == []


def test_a_move_names_the_service_that_was_left(bench: Any) -> None:
    """An event that went to another service is remembered at the one it left; a version that loses is no move."""
    bench.write(_shipped("1", updated_at=AT), _shipped("2", updated_at=AT))
    before = bench.store.revisions()["deployment"]
    bench.write(_shipped("1", "shop", updated_at=AT + timedelta(hours=1)))
    bench.write(_shipped("2", "web", updated_at=AT - timedelta(hours=1)))

    assert bench.store.moved(Deployment, before) == ["api"]
    assert bench.store.moved(Deployment, bench.store.revisions()["deployment"]) == []


@pytest.mark.parametrize(("hours", "left"), [(0, []), (1, ["api"]), (-1, ["api"])])
def test_an_event_that_is_dated_anew_leaves_its_service(bench: Any, probe: Any, hours: int, left: list[str]) -> None:
    """Where a service is derived from a time on, what an event said at its old time must be found."""
    bench.write(probe("1"))
    revision = bench.store.revisions()["probe"]

    bench.write(probe("1", at=probe().at + timedelta(hours=hours), updated_at=AT, checks=2))

    assert bench.store.moved(Probe, revision) == left


def test_a_ticket_leaves_its_queue_and_its_journey(bench: Any) -> None:
    """What belongs to two pieces may leave either."""
    ticket = Ticket(source="s", native_id="1", queue="a", state=TicketState.OPEN, created_at=AT, journey="new")
    bench.write(ticket)

    bench.write(msgspec.structs.replace(ticket, queue="b", updated_at=AT))
    bench.write(msgspec.structs.replace(ticket, queue="b", journey=None, updated_at=AT + timedelta(hours=1)))

    assert (bench.store.moved(Ticket, 1), bench.store.moved(Ticket, 2)) == (["a", "new"], ["new"])


# ---- what was deleted at its source


def deployment(native_id: str, **fields: Any) -> Deployment:
    """A deployment of web."""
    known: dict[str, Any] = {"service": "web", "environment": "production", "finished_at": AT, "result": Result.SUCCESS}
    return Deployment(native_id=native_id, **{"source": "s", **known, **fields})


def _removed(bench: Any, ids: set[str], since: datetime = AT - timedelta(days=1), source: str = "s") -> int:
    """Hand over a whole list of the deployments of api, as a run does."""
    with bench.database.transaction() as transaction:
        removed: int = bench.store.remove_missing(
            transaction,
            Deployment,
            ids,
            source=source,
            where={"service": "api"},
            dated="finished_at",
            span=(to_micros(since), to_micros(AT + timedelta(days=1))),
            at=to_micros(AT),
        )
    return removed


def test_what_a_whole_list_does_not_name_is_removed_and_kept_beside(bench: Any) -> None:
    """Deleted at the source → found by reconciliation, kept as a tombstone, and its service is derived again."""
    gone, stays = deployment("gone", service="api"), deployment("stays", service="api")
    bench.write(gone, stays)
    before = bench.store.revisions()["deployment"]

    assert _removed(bench, {"stays"}) == 1

    assert [d.native_id for d in bench.store.events(Deployment)] == ["stays"]
    assert bench.store.removed("s") == [gone]
    assert bench.store.moved(Deployment, before) == ["api"]
    assert bench.store.revisions()["deployment"] > before


@pytest.mark.parametrize(
    "other",
    [
        {"service": "web"},
        {"source": "another"},
        {"finished_at": AT - timedelta(days=2)},
        {"finished_at": AT + timedelta(days=1)},
    ],
)
def test_what_a_list_does_not_speak_of_stays(bench: Any, other: dict[str, Any]) -> None:
    """Another service, another source, an older or a later time: the list says nothing about them."""
    bench.write(deployment("other", **{"service": "api", **other}))

    assert _removed(bench, set()) == 0
    assert [d.native_id for d in bench.store.events(Deployment)] == ["other"]


def test_a_list_that_names_all_changes_nothing(bench: Any) -> None:
    """Nothing was deleted → no revision moves, and nothing is derived again."""
    bench.write(deployment("stays", service="api"))
    before = bench.store.revisions()

    assert _removed(bench, {"stays"}) == 0
    assert bench.store.revisions() == before


def test_what_was_removed_may_come_again_and_go_again(bench: Any) -> None:
    """An event that is there again counts again; it may be deleted twice."""
    event = deployment("back", service="api")
    bench.write(event)
    _removed(bench, set())
    bench.write(event)

    assert [d.native_id for d in bench.store.events(Deployment)] == ["back"]
    assert _removed(bench, set()) == 1
    assert bench.store.removed() == [event]
