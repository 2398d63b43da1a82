"""What processes agree on, in a real PostgreSQL: leases and what fences off, accounts that rest, alerts taken once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from stores import Server

from collector.errors import StoreError
from collector.store import Database, Transaction, digests
from collector.store.coordination import Coordination, prepared
from collector.store.dialects import insert
from collector.store.leases import Fence, NoLongerHolder, connections_of
from collector.store.tables import CURSOR
from paceline.queue import steps

pytestmark = pytest.mark.integration

Open = Callable[..., Coordination]


@pytest.fixture(scope="module")
def place(postgresql: Server) -> SecretStr:
    """A database with the schema of what processes agree on."""
    found = SecretStr(postgresql.empty())
    with closing(Database.open(found)) as database:
        prepared(database, tuple(steps()))
    return found


@pytest.fixture
def replica(place: SecretStr) -> Iterator[Open]:
    """Makes what a process with some name asks the database with."""
    made: list[Coordination] = []

    def make(holder: str) -> Coordination:
        made.append(Coordination(place, holder))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_lease_has_one_holder_until_it_ends(replica: Open) -> None:
    """Whoever renews keeps it under one token; when it is over another one takes it, under the next."""
    one, other = replica("one"), replica("other")

    first = one.claim("a", 0.6)
    renewed, refused, held = one.claim("a", 0.6), other.claim("a", 0.6), other.held_by("a")
    time.sleep(0.7)
    nobody, taken = other.held_by("a"), other.claim("a", 60)

    assert first is not None
    assert renewed is not None
    assert (first.token, first.before, renewed.token, refused, held, nobody) == (1, None, 1, None, "one", None)
    assert taken == (2, "one")
    assert one.claim("a", 60) is None


def test_a_lease_that_is_given_back_is_free(replica: Open) -> None:
    """A process that ends lets nobody wait for the end of its lease, and gives back only its own."""
    one, other = replica("one"), replica("other")
    one.claim("b", 60)

    other.resign("b")
    refused = other.claim("b", 60)
    one.resign("b")

    assert refused is None
    assert other.claim("b", 60) == (2, "one")


def _note(transaction: Transaction) -> None:
    transaction.execute(insert(CURSOR).values(source="shop", cursor="here").on_conflict_do_nothing())


def test_a_former_holder_writes_nothing(place: SecretStr, replica: Open) -> None:
    """A transaction is refused at its begin without the lease, and at its end where the lease was lost meanwhile."""
    one, other = replica("one"), replica("other")
    with closing(Database.open(place)) as database:
        claimed = one.claim("c", 60)
        assert claimed is not None
        fenced = database.guarded(Fence("c", "one", claimed.token))
        with fenced.transaction() as transaction:
            _note(transaction)
        before = digests(database)

        def lose(transaction: Transaction) -> None:
            transaction.execute(sa.delete(CURSOR))
            one.resign("c")
            other.claim("c", 60)

        with pytest.raises(NoLongerHolder), fenced.transaction() as transaction:
            lose(transaction)
        with pytest.raises(NoLongerHolder), fenced.transaction():
            pytest.fail("it may not begin")

        assert digests(database) == before


def test_a_frozen_writer_is_ended(place: SecretStr, replica: Open) -> None:
    """Who lost the lease in the middle of a transaction holds up no writer: its connection is ended."""
    begun, thawed = threading.Event(), threading.Event()
    caught: list[type[BaseException]] = []

    def freeze() -> None:
        with closing(Database.open(place, connections_of("cold"))) as database:
            try:
                with database.transaction():
                    begun.set()
                    thawed.wait(20)
            except StoreError as error:
                caught.append(type(error))

    frozen = threading.Thread(target=freeze)
    frozen.start()
    begun.wait(20)
    ended = replica("warm").end_transactions_of("cold")
    with closing(Database.open(place)) as database, database.transaction() as transaction:
        _note(transaction)
    thawed.set()
    frozen.join(20)

    assert (ended, caught) == (1, [StoreError])


def test_an_account_rests_as_long_as_somebody_was_told(replica: Open) -> None:
    """A limit that one worker met stops all, the longest wish counts, and then it is over."""
    one, other = replica("one"), replica("other")

    one.pause("account x", 0.8)
    other.pause("account x", 0.1)
    time.sleep(0.2)
    resting = other.paused()
    time.sleep(0.8)

    assert [sorted(resting), sorted(other.paused())] == [["account x"], []]


def test_a_notification_is_taken_once(replica: Open) -> None:
    """Two replicas that are told of the same alerts: one sends; the other may where the first gave up."""
    one, other = replica("one"), replica("other")

    took, refused, again = one.take_alert("k", 60), other.take_alert("k", 60), one.take_alert("k", 60)
    one.keep_alert("k", 60)
    other.forget_alert("k")
    still = other.take_alert("k", 60)
    one.forget_alert("k")

    assert (took, refused, again, still, other.take_alert("k", 60)) == (True, False, True, False, True)


def test_one_makes_the_schema_while_others_wait(postgresql: Server) -> None:
    """Replicas that start at once on a store without it all find it, and steps are taken once."""
    empty = SecretStr(postgresql.empty())

    def start(_: int) -> Any:
        with closing(Database.open(empty)) as database:
            prepared(database, tuple(steps()))
            with database.reading() as connection:
                return connection.exec_driver_sql("SELECT count(*) FROM paceline_work.step").scalar()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(start, range(4)))

    assert found == [len(list(steps())) + 1] * 4


def test_a_later_version_of_the_library_is_brought_forward(postgresql: Server) -> None:
    """A step that a newer version adds is taken alone; what was there before is not made again."""
    empty = SecretStr(postgresql.empty())
    with closing(Database.open(empty)) as database:
        prepared(database, list(steps())[:-1])
        prepared(database, tuple(steps()))
        with database.reading() as connection:
            names = [n for (n,) in connection.exec_driver_sql("SELECT name FROM paceline_work.step")]

    assert sorted(names) == sorted(["coordination 1", *(step.name for step in steps())])


def test_a_database_that_is_gone_is_an_error_of_ours() -> None:
    """Who cannot ask is told so within seconds, without the password."""
    nobody = Coordination(SecretStr("postgresql://u:s3cret@127.0.0.1:1/d"), "one")

    with pytest.raises(StoreError, match="does not say") as caught:
        nobody.claim("a", 1)

    assert "s3cret" not in str(caught.value)
