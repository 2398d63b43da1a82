"""Which names a process wrote events with: what is new is looked for among these, and never missed."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from collector.conditions import Above
from collector.errors import StoreError
from collector.events import Deployment, Result
from collector.store import Database, EventStore
from collector.store.noted import Noted

AT = datetime(2026, 3, 1, tzinfo=UTC)


def deployment(number: int, service: str, hours: int = 0) -> Deployment:
    """A version of a deployment, as it was said some hours later."""
    return Deployment(
        source="cd",
        native_id=str(number),
        service=service,
        environment="production",
        finished_at=AT,
        result=Result.SUCCESS,
        updated_at=AT + timedelta(hours=hours),
    )


def looked_at(store: EventStore, since: int) -> list[str] | None:
    """The services with something new after a revision, found among those that are noted; None where none are."""
    last = store.revisions().get("deployment", 0)
    noted = store.noted({"deployment": since}, {"deployment": last})
    if "deployment" not in noted:
        return None
    rows = store.columns(Deployment, "service", service=noted["deployment"]["service"] or [""], revision=Above(since))
    return sorted({service for (service,) in rows})


pytestmark = pytest.mark.sqlite  # of PostgreSQL nothing is noted


@pytest.fixture
def noted() -> Noted:
    """Three revisions were written here: 4, 5 and 6."""
    found = Noted()
    for revision, services in ((4, {"api"}), (5, {"shop", "web"}), (6, {"api"})):
        found.note("deployment", revision, {"service": services})
    return found


@pytest.mark.parametrize(
    ("after", "names"), [(3, ["api", "shop", "web"]), (4, ["api", "shop", "web"]), (5, ["api"]), (6, [])]
)
def test_names_are_those_written_since(noted: Noted, after: int, names: list[str]) -> None:
    """Each counts from its last revision."""
    assert noted.since("deployment", after, 6) == {"service": names}


@pytest.mark.parametrize(("after", "last"), [(2, 6), (5, 7)])
def test_of_what_others_wrote_nothing_is_said(noted: Noted, after: int, last: int) -> None:
    """Before the first revision that was written here, and after the last, another process may have written."""
    assert noted.since("deployment", after, last) is None


def test_where_another_wrote_in_between_what_was_before_is_forgotten(noted: Noted) -> None:
    """Revision 7 was another's → from before 8 nothing is known any more, and from then on all."""
    noted.note("deployment", 8, {"service": {"shop"}})

    assert [noted.since("deployment", after, 8) for after in (6, 7)] == [None, {"service": ["shop"]}]


def test_too_many_names_are_not_held(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more names than that only those are known which come afterwards."""
    monkeypatch.setattr("collector.store.noted._MOST", 2)
    noted.note("deployment", 7, {"service": {"web"}})

    assert [noted.since("deployment", after, 7) for after in (5, 6)] == [None, {"service": ["web"]}]


def test_a_transaction_that_fails_notes_nothing(bench: Any) -> None:
    """What was not kept is not new; the revision is the next one's."""
    bench.write(deployment(1, "api"))
    with contextlib.suppress(StoreError), bench.database.transaction() as transaction:
        bench.store.write(transaction, [deployment(2, "shop")])
        raise StoreError("the disk is full")
    bench.write(deployment(3, "web"))

    assert looked_at(bench.store, 1) == ["web"]


def test_what_was_written_before_it_started_is_not_noted(bench: Any) -> None:
    """A process that has just started knows no names, but that nothing is new."""
    bench.write(deployment(1, "api"))
    other = Database.open(bench.folder)
    found = [looked_at(EventStore(other), since) for since in (0, 1)]
    other.close()

    assert found == [None, []]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_found_is_what_is_new(bench: Any, seed: int) -> None:
    """Two processes write, move, and send again: what is noted leads to the same names as looking at all of them."""
    random, other = Random(seed), Database.open(bench.folder)  # noqa: S311 - what is made up need be no secret
    writers = [bench.store, EventStore(other)]
    said = 0
    for step in range(30):
        writer = writers[random.random() < 0.2]
        some = [deployment(random.randrange(8), random.choice("abcde"), random.randrange(step + 1)) for _ in range(2)]
        with writer._database.transaction() as transaction:
            writer.write(transaction, some)
        for store in writers:
            for since in range(store.revisions()["deployment"] + 1):
                names = looked_at(store, since)
                said += names is not None
                assert names is None or names == store.distinct(Deployment, "service", since)
    other.close()

    assert said > 30
