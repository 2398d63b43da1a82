"""What processes on one PostgreSQL agree on: who holds a lease, whose turn an account is, which alert was taken.

It stands in a schema of its own beside the store, `paceline_work`, and holds nothing that must be kept: no backup has
it, and a store in a file has none. Times are the database's: clocks of machines differ. It has a connection of its own,
which waits for nobody who writes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa
from pydantic import SecretStr

from collector.errors import StoreError
from collector.store.database import Database, address_of
from collector.store.leases import SCHEMA, Claimed, connections_of
from collector.store.postgresql import connection_options

_PATIENCE_MS = 3_000
"""How long one of its statements may take: who cannot renew a lease must know that before others take it."""
_CONNECT_SECONDS = 3


class Step(NamedTuple):
    """A name, and the statements that are run once in the schema; not where the step that it is `part_of` just was."""

    name: str
    text: str
    part_of: str = ""


_OWN: tuple[Step, ...] = (
    Step(
        "coordination 1",
        """
        CREATE TABLE lease (
            name text PRIMARY KEY, holder text NOT NULL, token bigint NOT NULL, expires_at timestamptz NOT NULL
        );
        CREATE TABLE account (name text PRIMARY KEY, until timestamptz NOT NULL);
        CREATE TABLE alert (name text PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL);
        """,
    ),
)

_CLAIM = """
WITH before AS (SELECT holder FROM paceline_work.lease WHERE name = %(name)s),
taken AS (
    INSERT INTO paceline_work.lease AS l VALUES (%(name)s, %(holder)s, 1, clock_timestamp() + %(span)s)
    ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder,
        token = l.token + (l.holder <> excluded.holder OR l.expires_at <= clock_timestamp())::int,
        expires_at = excluded.expires_at
    WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
    RETURNING token
)
SELECT taken.token, before.holder FROM taken LEFT JOIN before ON true
"""
_RESIGN = "UPDATE paceline_work.lease SET expires_at = clock_timestamp() WHERE name = %s AND holder = %s"
_HELD = "SELECT holder FROM paceline_work.lease WHERE name = %s AND expires_at > clock_timestamp()"
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND usename = current_user AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
"""
_PAUSE = """
INSERT INTO paceline_work.account AS a VALUES (%s, clock_timestamp() + %s)
ON CONFLICT (name) DO UPDATE SET until = greatest(a.until, excluded.until)
"""
_PAUSED = "DELETE FROM paceline_work.account WHERE until <= clock_timestamp()"
_STILL_PAUSED = "SELECT name FROM paceline_work.account WHERE until > clock_timestamp()"
_TAKE_ALERT = """
INSERT INTO paceline_work.alert AS a VALUES (%(name)s, %(holder)s, clock_timestamp() + %(span)s)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE a.holder = excluded.holder OR a.until <= clock_timestamp()
RETURNING 1
"""
_KEEP_ALERT = "UPDATE paceline_work.alert SET until = clock_timestamp() + %s WHERE name = %s AND holder = %s"
_FORGET_ALERT = "DELETE FROM paceline_work.alert WHERE name = %s AND holder = %s"
_FORGET_ALERTS = "DELETE FROM paceline_work.alert WHERE until <= clock_timestamp()"


class Coordination:
    """Asks the database. Every method raises StoreError where it does not answer within a few seconds."""

    def __init__(self, place: SecretStr, holder: str) -> None:
        self.holder = holder
        self._place = place
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def claim(self, name: str, seconds: float) -> Claimed | None:
        """Take or renew a lease for some seconds; None where somebody else holds it."""
        values = {"name": name, "holder": self.holder, "span": _span(seconds)}
        found = self._run(_CLAIM, values)
        return Claimed(*found[0]) if found else None

    def resign(self, name: str) -> None:
        """Give a lease back, so that nobody has to wait for its end."""
        self._run(_RESIGN, (name, self.holder))

    def held_by(self, name: str) -> str | None:
        """Who holds a lease; None for nobody."""
        found = self._run(_HELD, (name,))
        return found[0][0] if found else None

    def end_transactions_of(self, holder: str) -> int:
        """End what a process has open that lost its lease: frozen in a transaction it would hold up every writer."""
        return len(self._run(_END, (connections_of(holder),)))

    def pause(self, account: str, seconds: float) -> None:
        """Let nobody ask an account for so long: its limit is reached."""
        self._run(_PAUSE, (account, _span(seconds)))

    def paused(self) -> frozenset[str]:
        """The accounts that are not to be asked now."""
        self._run(_PAUSED, ())
        return frozenset(name for (name,) in self._run(_STILL_PAUSED, ()))

    def take_alert(self, name: str, seconds: float) -> bool:
        """Take a notification for some seconds; False where another process has it."""
        self._run(_FORGET_ALERTS, ())
        return bool(self._run(_TAKE_ALERT, {"name": name, "holder": self.holder, "span": _span(seconds)}))

    def keep_alert(self, name: str, seconds: float) -> None:
        """It was sent: for so long the same one is a repetition."""
        self._run(_KEEP_ALERT, (_span(seconds), name, self.holder))

    def forget_alert(self, name: str) -> None:
        """It was not sent: whoever is told of it again may send it."""
        self._run(_FORGET_ALERT, (name, self.holder))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _run(self, text: str, values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _connected(self._place)
                cursor = self._connection.execute(text.encode(), values)
                return cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                self._drop()
                said = (str(error).splitlines() or [type(error).__name__])[0]
                raise StoreError(f"PostgreSQL does not say who does what: {said}") from error

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = None


def prepared(database: Database, more: Sequence[Step] = ()) -> None:
    """Make or bring forward the schema: of several processes one does it, the others wait. Raises StoreError.

    `more`: the steps of a library that keeps its tables there.
    """
    steps = (*_OWN, *more)
    with database.reading() as connection:
        if not _missing(connection, steps):
            return
    with database.alone() as connection:
        missing = _missing(connection, steps)
        if not missing:
            return
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor:
            for statement in _setting_up(connection):
                cursor.execute(statement)
            cursor.execute(f"SET LOCAL search_path = {SCHEMA}")
            new = {step.name for step in missing}
            for step in missing:
                if step.part_of not in new:
                    cursor.execute(step.text)
                cursor.execute("INSERT INTO step VALUES (%s)", (step.name,))


def _setting_up(connection: sa.Connection) -> Iterator[str]:
    # Asked before: to make what is there needs a right that whoever runs the service may not have.
    if not sa.inspect(connection).has_schema(SCHEMA):
        yield f"CREATE SCHEMA {SCHEMA}"
    yield f"CREATE TABLE IF NOT EXISTS {SCHEMA}.step (name text PRIMARY KEY)"


def _missing(connection: sa.Connection, steps: Sequence[Step]) -> list[Step]:
    if not sa.inspect(connection).has_table("step", schema=SCHEMA):
        return list(steps)
    done = {name for (name,) in connection.execute(sa.text(f"SELECT name FROM {SCHEMA}.step"))}  # noqa: S608 - our own
    return [step for step in steps if step.name not in done]


def _connected(place: SecretStr) -> psycopg.Connection[tuple[Any, ...]]:
    options = connection_options(address_of(place)) | {"connect_timeout": _CONNECT_SECONDS}
    connection = psycopg.connect(**options, autocommit=True, tcp_user_timeout=_PATIENCE_MS)
    connection.execute(f"SET statement_timeout = {_PATIENCE_MS}".encode())
    return connection


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
