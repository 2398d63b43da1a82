"""The names in events, asked for once in a derivation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from collector.events import Deployment, Result
from collector.store import Database, EventStore
from slo_engine.plain_events import PlainEvents
from slo_engine.remembered import Remembered


def deployment(service: str, number: str = "1") -> Deployment:
    """A deployment of a service."""
    return Deployment(
        source="cd",
        native_id=number,
        service=service,
        environment="production",
        finished_at=datetime(2026, 1, 5, tzinfo=UTC),
        result=Result.SUCCESS,
        updated_at=datetime(2026, 1, 5, int(number), tzinfo=UTC),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Database, EventStore]]:
    """A store with a deployment of the shop."""
    database = Database.open(tmp_path)
    write(database, deployment("shop"))
    yield database, EventStore(database)
    database.close()


def write(database: Database, *events: Deployment) -> None:
    """Write events in a transaction of their own."""
    with database.transaction() as transaction:
        EventStore(database).write(transaction, events)


def test_names_stay_what_they_were_when_first_asked_for(store: tuple[Database, EventStore]) -> None:
    """A service that is first deployed meanwhile belongs to the next derivation; a later look sees it."""
    known = Remembered(store[1])
    known.distinct(Deployment, "service").clear()  # what was given is the asker's own
    write(store[0], deployment("basket", "2"))

    assert known.distinct(Deployment, "service") == ["shop"]
    assert known.distinct(Deployment, "service", 1) == ["basket"]


def test_what_was_left_stays_what_it_was_when_first_asked_for(store: tuple[Database, EventStore]) -> None:
    """A deployment that turns out to be the basket's leaves the shop."""
    known = Remembered(store[1])
    before = known.moved(Deployment, 0)
    later = datetime(2026, 1, 6, tzinfo=UTC)
    write(store[0], replace(deployment("shop"), service="basket", updated_at=later))

    assert (before, known.moved(Deployment, 0), known.moved(Deployment, 1)) == ([], [], ["shop"])


def test_only_noted_names_are_looked_at(store: tuple[Database, EventStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """Which names may have something new was noted → nobody looks at all others; those without any are left out."""
    write(store[0], deployment("basket", "2"), deployment("web", "3"))
    known = Remembered(store[1])
    known.hear({"deployment": 1}, {"deployment": {"service": ["basket", "shop"]}})
    monkeypatch.setattr(store[1], "distinct", None)

    assert known.distinct(Deployment, "service", 1) == ["basket"]


def test_of_other_revisions_all_names_are_looked_at(store: tuple[Database, EventStore]) -> None:
    """What was noted says nothing of what came before."""
    write(store[0], deployment("basket", "2"))
    known = Remembered(store[1])
    known.hear({"deployment": 1}, {"deployment": {"service": ["basket"]}})

    assert known.distinct(Deployment, "service", 0) == ["basket", "shop"]


def test_events_themselves_are_never_remembered() -> None:
    """What is asked of them is read anew each time."""
    events = PlainEvents([deployment("shop")])
    known = Remembered(events)
    known.columns(Deployment, "service")
    events.by_id["x"] = deployment("basket", "2")

    assert sorted(known.columns(Deployment, "service")) == [("basket",), ("shop",)]
    assert len(list(known.events(Deployment))) == 2
