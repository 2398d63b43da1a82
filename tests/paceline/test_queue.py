"""The queue of collecting in a real PostgreSQL: work is spread, accounts take turns, what stalls is given on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
from pydantic import SecretStr
from stores import Server

from collector.errors import StoreError
from collector.store import Database
from collector.store.coordination import prepared
from collector.store.leases import NoLongerHolder
from paceline.dispatch import Asked
from paceline.queue import Asking, Own, Work, steps, work

pytestmark = pytest.mark.integration
_PATIENCE_SECONDS = 60


@pytest.fixture
def place(postgresql: Server) -> SecretStr:
    """A database with an empty queue."""
    found = SecretStr(postgresql.empty())
    with closing(Database.open(found)) as database:
        prepared(database, tuple(steps()))
    return found


@pytest.fixture
def asking(place: SecretStr) -> Iterator[Asking]:
    """What puts sources into it."""
    with closing(Asking(place)) as found:
        yield found


@dataclass
class Log:
    """What workers did: who began and ended which source, in order."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)
    owns: dict[str, Own] = field(default_factory=dict)

    def worker(self, name: str, seconds: float = 0.2) -> Work:
        """What a worker of this name does with a source."""

        async def do(source: str, _lock: str, own: Own) -> bool:
            self.lines.append((name, "begins", source))
            self.owns[source] = own
            await asyncio.sleep(seconds)
            self.lines.append((name, "ends", source))
            return True

        return do

    def ended(self) -> list[str]:
        """The sources that were collected, in order."""
        return [source for _, what, source in self.lines if what == "ends"]


def test_a_queue_goes_on_with_an_exchanged_password(postgresql: Server, place: SecretStr, tmp_path: Path) -> None:
    """Who puts sources in and who takes them out connect again with what the file of the address says now."""
    before, after = postgresql.roles(2)
    file = tmp_path / "store"
    file.write_text(before.url(place.get_secret_value()), encoding="utf-8")
    rotated, log = SecretStr(f"file:{file}"), Log()
    with closing(Asking(rotated)) as asking:
        assert asking.ask(Asked(source="shop", lock="account"))
        file.write_text(after.url(place.get_secret_value()), encoding="utf-8")
        before.close()
        assert asking.waiting() == {"shop"}
        _worked(rotated, log, ["one"], 1)
    assert log.ended() == ["shop"]


@pytest.mark.parametrize("pool", [psycopg_pool.ConnectionPool, psycopg_pool.AsyncConnectionPool])
def test_a_queue_that_could_not_be_opened_can_be_later(
    place: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: Any
) -> None:
    """A database that is away when it is asked first is a failure of the store, and once it is there all goes on."""
    monkeypatch.setattr(pool.open, "__defaults__", (False, 0.1))  # it would wait for half a minute
    file = tmp_path / "store"
    file.write_text("postgresql://nobody@127.0.0.1:1/nothing", encoding="utf-8")
    told, log = SecretStr(f"file:{file}"), Log()
    with closing(Asking(told)) as asking:
        if pool is psycopg_pool.ConnectionPool:
            with pytest.raises(StoreError, match="queue of jobs cannot be reached"):
                asking.waiting()
        else:
            with pytest.raises(StoreError, match="queue of jobs cannot be reached"):
                asyncio.run(work(told, log.worker("one"), 1, 5, lambda _: None))
        monkeypatch.undo()
        file.write_text(place.get_secret_value(), encoding="utf-8")
        assert asking.ask(Asked(source="shop", lock="account"))
        _worked(told, log, ["one"], 1)
    assert log.ended() == ["shop"]


def _worked(place: SecretStr, log: Log, names: Sequence[str], runs: int, at_once: int = 1) -> None:
    """Let workers of these names work until so many runs have ended."""

    async def until() -> None:
        tasks = [asyncio.create_task(work(place, log.worker(n), at_once, 5, lambda _: None)) for n in names]
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while len(log.ended()) < runs:  # noqa: ASYNC110 - a log that any of them may write
                await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(until())


def test_work_is_spread_and_done_once(place: SecretStr, asking: Asking) -> None:
    """Six sources and two workers: both work, each source is collected once, and nothing is left."""
    for n in range(6):
        asking.ask(Asked(source=f"s{n}", lock=f"source s{n}"))
    log = Log()

    _worked(place, log, ("one", "other"), 6)

    assert sorted(log.ended()) == [f"s{n}" for n in range(6)]
    assert {name for name, _, _ in log.lines} == {"one", "other"}
    assert asking.waiting() == frozenset()


def test_what_waits_is_not_asked_for_twice(asking: Asking) -> None:
    """A source that waits is not put into the queue again, whoever asks."""
    asked = Asked(source="s", lock="source s")

    assert (asking.ask(asked), asking.ask(asked), sorted(asking.waiting())) == (True, False, ["s"])


def test_sources_of_one_account_take_turns(place: SecretStr, asking: Asking) -> None:
    """On however many workers, one begins when the one before has ended, in the order in which they were asked for."""
    for n in range(4):
        asking.ask(Asked(source=f"s{n}", lock="account x"))
    log = Log()

    _worked(place, log, ("one", "other"), 4, at_once=3)

    assert [line[1:] for line in log.lines] == [(what, f"s{n}") for n in range(4) for what in ("begins", "ends")]


def test_a_punctual_source_waits_for_no_other(place: SecretStr, asking: Asking) -> None:
    """A worker that is busy with a long run takes a probe beside it."""
    for n in range(2):
        asking.ask(Asked(source=f"long{n}", lock=f"source long{n}"))
    asking.ask(Asked(source="probe", lock="source probe", punctual=True))
    log = Log()

    _worked(place, log, ("one",), 3)

    begun = [source for _, what, source in log.lines if what == "begins"]
    assert begun.index("probe") < begun.index("long1")


def _taken(place: SecretStr, silent: str) -> Own:
    """What a worker took that has given no sign of life for so long."""
    with psycopg.connect(place.get_secret_value(), autocommit=True) as connection:
        connection.execute("SET search_path = paceline_work")
        dead = connection.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s::interval) RETURNING id", (silent,)
        ).fetchone()
        assert dead is not None
        taken = connection.execute("SELECT id, attempts FROM procrastinate_fetch_job_v2(NULL, %s)", dead).fetchone()
    assert taken is not None
    return Own(taken[0], dead[0], taken[1])


def test_the_run_of_a_dead_worker_is_given_on(place: SecretStr, asking: Asking) -> None:
    """A worker without a sign of life loses its run to another one, and writes nothing when it wakes up."""
    asking.ask(Asked(source="s", lock="source s"))
    frozen, log = _taken(place, "1 minute"), Log()

    _worked(place, log, ("other",), 1)

    assert log.ended() == ["s"]
    assert log.owns["s"] != frozen
    with closing(Database.open(place)) as database:
        thawed = database.guarded(frozen)
        with pytest.raises(NoLongerHolder, match="another worker"), thawed.transaction():
            pytest.fail("it may not begin")


def test_a_worker_that_froze_while_it_wrote_holds_up_nobody(place: SecretStr, asking: Asking) -> None:
    """Frozen in the middle of a copy its connection is not idle: whoever takes its run over ends it."""
    asking.ask(Asked(source="s", lock="source s"))
    frozen, log = _taken(place, "1 minute"), Log()
    with closing(Database.open(place)) as database:

        def freeze() -> None:
            with database.guarded(frozen).transaction() as transaction:
                raw: Any = transaction.connection.connection.driver_connection
                with raw.cursor() as cursor, cursor.copy("COPY source_cursor (source, cursor) FROM STDIN") as copy:
                    copy.write_row(("shop", "here"))
                    _worked(place, log, ("other",), 1)

        with pytest.raises(StoreError, match="nothing was kept"):
            freeze()
        with database.transaction() as after:
            left = after.rows("SELECT count(*) FROM source_cursor", ())

    assert (log.ended(), left) == (["s"], [(0,)])


def test_a_worker_ends_no_run_that_was_given_to_another(place: SecretStr, asking: Asking) -> None:
    """It thaws when its run is over, and the run of who took over stays in the queue."""
    asking.ask(Asked(source="s", lock="source s"))
    log, given = Log(), list[Own]()

    async def freeze(_source: str, _lock: str, own: Own) -> bool:
        given.append(own)
        with psycopg.connect(place.get_secret_value()) as connection:
            connection.execute("UPDATE paceline_work.procrastinate_jobs SET attempts = attempts + 1")
        log.lines.append(("one", "ends", "s"))
        return True

    log.worker = lambda *_: freeze  # type: ignore[method-assign]
    _worked(place, log, ("one",), 1)

    assert len(given) == 1
    assert asking.waiting() == {"s"}
