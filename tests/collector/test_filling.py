"""Many events at once: an empty store is filled, what is the same in all rows is said once, names are found by ids."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from collector.events import Deployment, Probe, Result, SelfServiceAttempt
from collector.store.tables import EVENT_MOVED, EVENT_TABLES

AT = datetime(2026, 1, 2, tzinfo=UTC)
MANY = 1_200
INDEXES = {str(index.name) for index in EVENT_TABLES[Deployment].indexes}


def deployment(n: int, **fields: Any) -> Deployment:
    """One of many."""
    given: dict[str, Any] = {
        "source": "ci",
        "service": f"s{n % 3}",
        "environment": "production",
        "result": Result.SUCCESS,
    }
    return Deployment(**given | {"native_id": str(n), "finished_at": AT + timedelta(seconds=n)} | fields)


def indexes(bench: Any) -> set[str]:
    """The indexes of deployments, as another process sees them."""
    with contextlib.closing(sqlite3.connect(bench.folder / "paceline.db")) as connection:
        query = "SELECT name FROM sqlite_master WHERE tbl_name = 'event_deployment' AND sql LIKE 'CREATE INDEX%'"
        return {name for (name,) in connection.execute(query)}


@pytest.mark.sqlite
def test_others_see_an_empty_store_with_its_indexes_while_it_is_filled(bench: Any) -> None:
    """Indexes wait for the end of the transaction, and nobody else sees that: before it there is nothing to find."""
    with bench.database.transaction() as transaction:
        bench.store.write(transaction, map(deployment, range(MANY)))
        own = transaction.execute(
            sa.text("SELECT count(*) FROM sqlite_master WHERE name LIKE 'ix_event_depl%'")
        ).scalar()
        meanwhile = indexes(bench), bench.store.counts()["deployment"]

    assert (own, meanwhile) == (0, (INDEXES, 0))
    assert (indexes(bench), bench.store.counts()["deployment"]) == (INDEXES, MANY)


@pytest.mark.sqlite
def test_a_store_that_could_not_be_filled_is_as_it_was(bench: Any) -> None:
    """An import that fails in mid-run keeps no event and costs no index; the next one is as good as the first."""

    def fail() -> None:
        with bench.database.transaction() as transaction:
            bench.store.write(transaction, map(deployment, range(MANY)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert (indexes(bench), bench.store.counts()["deployment"]) == (INDEXES, 0)
    assert bench.write(*map(deployment, range(MANY))) == MANY
    assert indexes(bench) == INDEXES


@pytest.mark.both_stores
def test_a_newer_version_in_the_same_import_counts(bench: Any) -> None:
    """Of an event that comes twice while a store is filled the newer version stays; nothing was left by it."""
    with bench.database.transaction() as transaction:
        first = bench.store.write(transaction, map(deployment, range(MANY)))
        moved = deployment(7, service="other", updated_at=AT)
        second = bench.store.write(transaction, [moved, *map(deployment, range(MANY))])
        left = transaction.execute(sa.select(sa.func.count()).select_from(EVENT_MOVED)).scalar()

    assert (first, second, left) == (MANY, 1, 0)
    assert bench.store.columns(Deployment, "service", native_id="7") == [("other",)]


@pytest.mark.both_stores
def test_what_moves_after_an_import_is_noted(bench: Any) -> None:
    """Once a store is filled, an event that changes its service leaves the old one as ever."""
    bench.write(*map(deployment, range(MANY)))

    bench.write(deployment(7, service="other", updated_at=AT))

    assert bench.store.moved(Deployment, 1) == ["s1"]


@pytest.mark.both_stores
def test_a_list_that_is_whole_removes_what_the_same_import_brought(bench: Any) -> None:
    """Events that are written and found missing in one transaction are gone; their indexes are there in between."""
    with bench.database.transaction() as transaction:
        bench.store.write(transaction, map(deployment, range(MANY)))
        asked: dict[str, Any] = {"source": "ci", "where": {"service": "s0"}, "dated": "finished_at", "at": 0}
        names = {str(n) for n in range(1, MANY)}
        gone = bench.store.remove_missing(transaction, Deployment, names, span=(0, 2**62), **asked)

    assert (gone, bench.store.counts()["deployment"]) == (1, MANY - 1)


@pytest.mark.both_stores
@pytest.mark.parametrize(
    "odd",
    [{}, {"sha": "a" * 40}, {"bot": True}, {"labels": ("hotfix",)}, {"rolled_back": True}, {"version": ""}],
    ids=lambda odd: next(iter(odd), "none"),
)
def test_what_is_the_same_in_many_rows_is_stored_in_each(bench: Any, odd: dict[str, Any]) -> None:
    """Many events at once come back as they went, whichever fields are empty in all of them or in all but one."""
    events = [*map(deployment, range(MANY)), deployment(MANY, **odd)]

    bench.write(*events)

    found = {event.native_id: event for event in bench.store.events(Deployment)}
    assert found == {event.native_id: event for event in events}


@pytest.mark.both_stores
@pytest.mark.parametrize("same", ["it's", 'a\\"b', "", "a; --", "ü\t\n", "?", "%s"])
def test_a_text_that_all_rows_have_is_kept_whatever_stands_in_it(bench: Any, same: str) -> None:
    """A statement may say what is the same in many rows: no quote, sign or mark in it means anything else there."""
    bench.write(*(deployment(n, version=same, service=same) for n in range(MANY)))

    assert set(bench.store.columns(Deployment, "version", "service")) == {(same, same)}
    assert bench.store.counts()["deployment"] == MANY


@pytest.mark.both_stores
def test_an_event_that_is_known_again_and_again_is_one(bench: Any) -> None:
    """Pages of one import, and of the next, that overlap: each event is written once, of its versions the newest."""
    newer = [deployment(n, version="2", updated_at=AT) for n in range(500, 700)]
    with bench.database.transaction() as transaction:
        pages = [map(deployment, range(1_100)), map(deployment, range(900, 2_000)), newer, map(deployment, range(600))]
        changed = [bench.store.write(transaction, page) for page in pages]

    assert changed == [1_100, 900, 200, 0]
    assert bench.write(*map(deployment, range(2_100)), *newer) == 100
    found = bench.store.columns(Deployment, "native_id", "version")
    assert sorted(found) == sorted((str(n), "2" if 500 <= n < 700 else None) for n in range(2_100))


@pytest.mark.both_stores
def test_an_event_is_found_by_its_name_in_every_source(bench: Any) -> None:
    """A native id finds the events of each source that has it, and an unknown one finds none."""
    bench.write(deployment(1), deployment(1, source="cd"), deployment(2))
    bench.write(SelfServiceAttempt(source="portal", native_id="1", journey="j", started_at=AT))

    assert sorted(bench.store.columns(Deployment, "source", native_id=["1", "3"])) == [("cd",), ("ci",)]
    assert bench.store.columns(Deployment, "native_id", native_id="2", service="s2") == [("2",)]
    assert bench.store.columns(SelfServiceAttempt, "source", native_id=["1"]) == [("portal",)]
    assert bench.store.columns(Deployment, "source", native_id=["3"]) == []


@pytest.mark.sqlite
def test_a_store_of_before_finds_events_by_name(bench: Any) -> None:
    """Sources that wrote before the store knew which there are, are known after it was brought forward."""
    bench.write(deployment(1), Probe(source="p", native_id="1", service="s", at=AT, passed=1))
    bench.database.close()
    with contextlib.closing(sqlite3.connect(bench.folder / "paceline.db")) as connection, connection:
        for statement in _BACK:
            connection.execute(statement)

    database = type(bench.database).open(bench.folder)
    found = type(bench.store)(database).columns(Deployment, "source", native_id=["1"])
    database.close()

    assert found == [("ci",)]
    assert indexes(bench) == INDEXES


_BACK = (
    "DROP TABLE event_source",
    "DROP INDEX ix_event_deployment_artifact_set",
    "DROP INDEX ix_event_ticket_journey_revision_set",
    "CREATE INDEX ix_event_deployment_artifact ON event_deployment (artifact)",
    "CREATE INDEX ix_event_deployment_native_id ON event_deployment (native_id)",
    "CREATE INDEX ix_event_deployment_revision ON event_deployment (revision)",
    "CREATE INDEX ix_event_member_person_revision ON event_member (person, revision)",
    "CREATE INDEX ix_event_milestone_person_revision ON event_milestone (person, revision)",
    "CREATE INDEX ix_event_self_service_attempt_native_id ON event_self_service_attempt (native_id)",
    "CREATE INDEX ix_event_ticket_journey_revision ON event_ticket (journey, revision)",
    "UPDATE alembic_version SET version_num = '0007'",
)
