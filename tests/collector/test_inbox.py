"""Deliveries are kept before they are answered and written once: in order, all or nothing; replays change nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from collector.errors import BadRecord, StoreError
from collector.events import Event, Probe
from collector.pushed import Join
from collector.store import Arrival, InboxStore, SourceRun, Transaction, from_micros, packed, to_micros

pytestmark = pytest.mark.both_stores

NOW = 1_772_442_000_000_000
MakeProbe = Callable[..., Probe]


@pytest.fixture
def inbox(bench: Any) -> InboxStore:
    """An inbox in a store of its own."""
    return InboxStore(bench.database, bench.store)


def arrival(delivery: str, *events: Event, source: str = "s", at: int = NOW, **fields: Any) -> Arrival:
    """A delivery with some events."""
    return Arrival(source=source, delivery=delivery, received_at=at, events=packed(events), **fields)


def passed(bench: Any) -> dict[str, int]:
    """What is stored of probes: how many checks passed, by native id."""
    rows: Sequence[tuple[str, int]] = bench.store.columns(Probe, "native_id", "passed")
    return dict(rows)


def test_what_is_kept_is_written_by_the_next_drain(inbox: InboxStore, bench: Any, probe: MakeProbe) -> None:
    """A delivery waits with its events; drained, they are in their tables and nothing waits."""
    kept = inbox.keep([arrival("1", probe("a"), probe("b"))])
    waited = inbox.waiting(), passed(bench)

    (done,) = inbox.drain({}, NOW)

    assert (kept, waited) == ([True], (1, {}))
    assert (done.deliveries, done.events, done.changed) == (1, 2, 2)
    assert (inbox.waiting(), passed(bench)) == (0, {"a": 1, "b": 1})


def test_draining_an_empty_inbox_writes_nothing(inbox: InboxStore, bench: Any) -> None:
    """Where nothing waits nothing is done, and no transaction is opened for it."""
    assert inbox.drain({}, NOW) == []
    assert bench.store.runs() == {}


@pytest.mark.parametrize("drained", [False, True])
def test_a_replay_does_nothing(inbox: InboxStore, bench: Any, probe: MakeProbe, *, drained: bool) -> None:
    """The same delivery id again is known, before its events are written and after, whatever it holds now."""
    inbox.keep([arrival("1", probe("a"))])
    if drained:
        inbox.drain({}, NOW)

    again = inbox.keep([arrival("1", probe("a", passed=0)), arrival("2", probe("b"))])
    inbox.drain({}, NOW)

    assert again == [False, True]
    assert passed(bench) == {"a": 1, "b": 1}


def test_a_replay_in_one_commit_is_seen(inbox: InboxStore, probe: MakeProbe) -> None:
    """Of two equal ids that are kept together the first counts; another source's equal id is another delivery."""
    first, other = arrival("1", probe("a")), arrival("1", probe("a"), source="t")

    assert inbox.keep([first, first, other]) == [True, False, True]


@pytest.mark.sqlite
def test_a_failing_commit_keeps_nothing(inbox: InboxStore, bench: Any, probe: MakeProbe) -> None:
    """Where the store fails no delivery of the commit is kept, so none may be answered."""
    with closing(sqlite3.connect(bench.folder / "paceline.db")) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON inbox WHEN NEW.delivery = '2' "
                           "BEGIN SELECT RAISE(ABORT, 'full'); END")  # fmt: skip

    with pytest.raises(StoreError):
        inbox.keep([arrival("1", probe("a")), arrival("2", probe("b"))])

    assert inbox.waiting() == 0


@pytest.mark.sqlite
def test_a_failing_drain_loses_and_doubles_nothing(inbox: InboxStore, bench: Any, probe: MakeProbe) -> None:
    """Events and the mark that they are written are one transaction: it fails whole, and the next one does all."""
    inbox.keep([arrival("1", probe("a"))])
    with closing(sqlite3.connect(bench.folder / "paceline.db")) as connection:
        connection.execute("CREATE TRIGGER full BEFORE UPDATE ON inbox BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(StoreError):
        inbox.drain({}, NOW)
    failed = inbox.waiting(), passed(bench), bench.store.runs()
    with closing(sqlite3.connect(bench.folder / "paceline.db")) as connection:
        connection.execute("DROP TRIGGER full")

    inbox.drain({}, NOW)

    assert failed == (1, {}, {})
    assert (inbox.waiting(), passed(bench), bench.store.runs()["s"].events_total) == (0, {"a": 1}, 1)


def test_a_large_backlog_is_written_in_parts_and_in_order(inbox: InboxStore, probe: MakeProbe) -> None:
    """One transaction takes 500 deliveries, those that came first, so that others may write in between."""
    inbox.keep([arrival(f"{n}", probe(f"{n}"), at=NOW - n) for n in range(501)])

    first = inbox.drain({}, NOW)
    left = inbox.waiting()
    second = inbox.drain({}, NOW)

    assert [d.deliveries for d in (*first, *second)] == [500, 1]
    assert left == 1
    assert second[0].events == 1


def test_the_totals_of_a_source_count_what_was_pushed(inbox: InboxStore, bench: Any, probe: MakeProbe) -> None:
    """Pushed events and records that cannot be used count like collected ones, and leave the outcome of runs alone."""
    failed = SourceRun(source="s", started_at=1, finished_at=2, succeeded=False, error="down", events_total=5)
    bench.store.record_run(failed)
    inbox.keep([arrival("1", probe("a"), probe("b")), arrival("2", rejected=(BadRecord("here", "no"),))])

    inbox.drain({}, NOW)

    run = bench.store.runs()["s"]
    assert (run.events_total, run.changed_total, run.rejected_total) == (7, 2, 1)
    assert (run.succeeded, run.error, run.last_success_at, run.finished_at) == (False, "down", None, 2)
    assert run.newest_event_at == to_micros(probe("a").at)


def test_a_delivery_is_a_success_of_a_source_that_only_receives(
    inbox: InboxStore, bench: Any, probe: MakeProbe
) -> None:
    """A source without other input succeeded when its delivery was written; its cursor says when that came."""
    failed = SourceRun(source="s", started_at=1, finished_at=2, succeeded=False, error="silent")
    bench.store.record_run(failed)
    inbox.keep([arrival("1", probe("a"), at=NOW - 1_000_000)])

    inbox.drain({"s": None}, NOW)

    run = bench.store.runs()["s"]
    assert (run.succeeded, run.error, run.last_success_at) == (True, None, NOW)
    assert bench.store.cursor("s") == "2026-03-02T08:59:59Z"
    assert from_micros(NOW).isoformat() == "2026-03-02T09:00:00+00:00"


def test_the_newest_event_does_not_grow_older(inbox: InboxStore, bench: Any, probe: MakeProbe) -> None:
    """An old event that is pushed late does not make the newest one older."""
    inbox.keep([arrival("1", probe("a"))])
    inbox.drain({}, NOW)
    inbox.keep([arrival("2", probe("b", at=probe().at - timedelta(days=3)))])

    inbox.drain({}, NOW)

    assert bench.store.runs()["s"].newest_event_at == to_micros(probe("a").at)


def test_parts_are_joined_with_what_is_stored(inbox: InboxStore, bench: Any, probe: MakeProbe) -> None:
    """Where a delivery tells a part, it is joined with the parts before it: in one drain, and over several."""

    def add(known: Event, told: Event) -> Event:
        assert isinstance(known, Probe)
        assert isinstance(told, Probe)
        return msgspec.structs.replace(known, passed=known.passed + told.passed)

    inbox.keep([arrival("1", probe("a")), arrival("2", probe("a")), arrival("3", probe("b"))])
    inbox.drain({"s": Join(add)}, NOW)
    inbox.keep([arrival("4", probe("a"))])

    inbox.drain({"s": Join(add)}, NOW)

    assert passed(bench) == {"a": 3, "b": 1}


def test_what_is_ignored_or_rejected_is_kept_and_listed(inbox: InboxStore, bench: Any) -> None:
    """An unmatched event is kept and listed, one line for each reason, and a bad record by its place."""
    inbox.keep(
        [
            arrival("1", ignored="the kind `ping` is not read"),
            arrival("2", ignored="the kind `ping` is not read"),
            arrival("3", rejected=(BadRecord("delivery 3, record 1", "`at` is missing"),)),
        ]
    )

    listed = [(q.location, q.reason) for q in bench.store.quarantined("s")]
    assert listed == [
        ("delivery 3, record 1", "`at` is missing"),
        ("webhook: the kind `ping` is not read", "ignored"),
    ]
    assert (inbox.waiting(), bench.store.runs()["s"].rejected_total) == (0, 1)


def test_a_body_that_was_refused_may_come_again(inbox: InboxStore, bench: Any) -> None:
    """Without an id only the reason is kept: the sender may correct and repeat it."""
    bad = arrival("", rejected=(BadRecord("delivery x", "no JSON"),))

    kept = inbox.keep([bad, bad])

    assert kept == [True, True]
    assert bench.store.runs()["s"].rejected_total == 2
    assert bench.dump()["inbox"] == []


def test_what_cannot_be_read_any_more_holds_nobody_up(inbox: InboxStore, bench: Any, probe: MakeProbe) -> None:
    """Events that another version kept in another form are set aside, and those behind them are written."""
    old = Arrival(source="s", delivery="old", received_at=NOW - 1, events=b'[{"kind":"from-tomorrow"}]')
    inbox.keep([old, arrival("1", probe("a"))])

    inbox.drain({}, NOW)

    assert (inbox.waiting(), passed(bench)) == (0, {"a": 1})
    assert [q.location for q in bench.store.quarantined("s")] == ["delivery old"]


def test_old_ids_are_forgotten_and_waiting_ones_are_not(inbox: InboxStore, bench: Any, probe: MakeProbe) -> None:
    """The table has a bound: ids go after their time, unless their events are still to be written."""
    inbox.keep([arrival("written", probe("a"), at=NOW - 10), arrival("newer", probe("b"), at=NOW)])
    inbox.drain({}, NOW)
    inbox.keep([arrival("waiting", probe("c"), at=NOW - 10)])

    assert inbox.forget(NOW - 5) == 1
    assert [row[1] for row in bench.dump()["inbox"]] == ["newer", "waiting"]


@pytest.mark.sqlite
def test_what_is_answered_is_on_the_disk(bench: Any) -> None:
    """A flushed transaction waits for the disk, so that a power failure cannot take what a sender was told is kept."""
    how = sa.text("PRAGMA synchronous")
    with bench.database.transaction(flushed=True) as transaction:
        flushed = transaction.execute(how).scalar()
    with bench.database.transaction() as transaction:
        usual = transaction.execute(how).scalar()

    assert (flushed, usual) == (2, 1)  # FULL, NORMAL


def test_keeping_is_flushed(bench: Any, probe: MakeProbe) -> None:
    """Deliveries are kept by a flushed transaction; writing them on is not, since they wait until it is done."""

    class Noting:
        """The database, with how its transactions were asked for."""

        def __init__(self) -> None:
            self.flushed: list[bool] = []

        def transaction(self, *, flushed: bool = False) -> AbstractContextManager[Transaction]:
            self.flushed.append(flushed)
            found: AbstractContextManager[Transaction] = bench.database.transaction(flushed=flushed)
            return found

        def reading(self) -> Any:
            return bench.database.reading()

    noting = Noting()
    inbox = InboxStore(noting, bench.store)  # type: ignore[arg-type] # it does what is asked of a database

    inbox.keep([arrival("1", probe("a"))])
    inbox.drain({}, NOW)

    assert noting.flushed == [True, False]
