"""PostgreSQL as the store that several processes share: connections, transactions, many rows at once.

It keeps the promises that SQLite makes by itself: one transaction writes at a time, whoever reads sees one moment, and
what cannot be kept as it is becomes what SQLite makes of it.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import psycopg
import sqlalchemy as sa
from psycopg.abc import Buffer
from psycopg.types.numeric import FloatDumper, IntLoader
from psycopg.types.string import StrDumperUnknown
from sqlalchemy.engine import Connection, Engine
from sqlmodel import create_engine

from collector.errors import StoreError

_PATIENCE_MS = 30_000
"""How long a writer waits for another one, as with SQLite."""
_CONNECT_SECONDS = 10
_CONNECTIONS, _MORE_CONNECTIONS = 5, 25
_WRITING = 7_223_001
"""The advisory lock of whoever writes. Others of the same database have their own numbers."""
_JSON = msgspec.json.Encoder(enc_hook=str).encode
_FEW = 50
"""So many rows are sent one by one: a table to stage them in would cost more."""


def postgresql_engine(address: Callable[[], str], name: str = "paceline", frozen_seconds: int = 0) -> Engine:
    """An engine for `postgresql://user:password@host/database`. Raises StoreError, without the text, for another.

    `address`: asked for again by each new connection, since a password may be exchanged. `name`: what the server calls
    its connections. `frozen_seconds`: see `Database.open`.
    """
    # Not the driver but SQLAlchemy says when a transaction begins; a single select needs none.
    options = {"autocommit": True, "connect_timeout": _CONNECT_SECONDS, "application_name": name}
    engine = create_engine(
        _url(address()),
        connect_args=options,
        paramstyle="format",
        pool_size=_CONNECTIONS,
        max_overflow=_MORE_CONNECTIONS,
        pool_pre_ping=True,  # a server that restarts or fails over costs no request
    )

    @sa.event.listens_for(engine, "do_connect")
    def _connecting(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        parameters.update(connection_options(address()))

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: Any) -> None:
        raw.adapters.register_dumper(float, _Number)
        raw.adapters.register_dumper(str, _Text)
        with _wrapped():
            raw.execute(f"SET lock_timeout = {_PATIENCE_MS}")
            raw.execute(f"SET idle_in_transaction_session_timeout = {frozen_seconds * 1_000}")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        with _wrapped():
            raw.execute(_beginning(connection.get_execution_options()))

    return engine


@contextlib.contextmanager
def _wrapped() -> Iterator[None]:
    """An error of the driver, as when the server restarts while one waits, is wrapped as SQLAlchemy wraps its own."""
    try:
        yield
    except psycopg.Error as error:
        raise sa.exc.OperationalError("", None, error) from error


def connection_options(text: str) -> dict[str, Any]:
    """What the driver itself needs to connect to an address. Raises StoreError, without the text, for another."""
    url = _url(text)
    return dict(url.get_dialect()().create_connect_args(url)[1])


def _url(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise StoreError("the address of the store cannot be read; expected postgresql://user@host/database") from None
    if url.drivername not in {"postgresql", "postgres"}:
        raise StoreError(f"the store {url.drivername} is not known; expected postgresql://user@host/database")
    return url.set(drivername="postgresql+psycopg")


def _beginning(options: Any) -> str:
    if options.get("paceline_read"):
        return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    lines = ["BEGIN"]
    if options.get("paceline_patient"):
        lines.append("SET LOCAL lock_timeout = 0")
    if not options.get("paceline_flushed"):
        lines.append("SET LOCAL synchronous_commit = off")
    # Revisions and numbers of series are counted on from the last: as in SQLite one writes, and sees what was written.
    return "; ".join([*lines, f"SELECT pg_advisory_xact_lock({_WRITING})"])


def _kept(value: Any) -> Any:
    """What is kept of a value: of what is no number nothing, as in SQLite; of a text all but the character 0."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return None if value != value else value  # noqa: PLR0124 - only what is no number differs from itself


class _Number(FloatDumper):
    def dump(self, obj: float) -> Buffer | None:
        kept = _kept(obj)
        return None if kept is None else super().dump(kept)


class _Text(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(_kept(obj))


class _ZeroOrOne(IntLoader):
    """What is true or false as a number, as SQLite's driver gives it."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


def plain_cursor(raw: Any) -> Any:
    """A cursor whose rows hold what those of SQLite's driver would."""
    cursor = raw.cursor()
    cursor.adapters.register_loader("bool", _ZeroOrOne)
    return cursor


def write_rows(
    connection: Connection,
    statement: Any,
    text: str,
    names: Sequence[str],
    rows: Sequence[Any],
    taken: set[Any] | None = None,
) -> int:
    """Run an insert with its text for many rows of plain values, as if one after the other; how many it changed.

    Rows that cannot meet another are copied into their table. `taken`, the keys of one column that others have, grows
    by theirs. It says the truth because one transaction writes at a time. The other rows are copied into a table of
    this connection, and from there with one statement into their own. Of rows with the same key each goes into a round
    of its own, because one statement changes no row twice.
    """
    if len(rows) <= _FEW:
        return max(connection.exec_driver_sql(text, list(rows)).rowcount, 0)
    table: sa.Table = statement.table
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor:
        if " ON CONFLICT " not in text:
            return _copied(cursor, table, _quoted(table.name), names, rows)
        key = [names.index(column.name) for column in table.primary_key]
        new, others = ([], rows) if taken is None else _parted(rows, key[0], taken)
        changed = _copied(cursor, table, _quoted(table.name), names, new) if new else 0
        if not others:
            return changed
        staged, made, moved = _staging(table.name, tuple(names), text)
        cursor.execute(made)
        for some in _rounds(others, key):
            cursor.execute(f"TRUNCATE {staged}")
            _copied(cursor, table, staged, names, some)
            cursor.execute(moved)
            changed += max(cursor.rowcount, 0)
        return changed


def _parted(rows: Sequence[Any], key: int, taken: set[Any]) -> tuple[list[Any], list[Any]]:
    """The rows with a key that nobody has had, and the others; `taken` grows by the keys of the first."""
    new: list[Any] = []
    others: list[Any] = []
    for row in rows:
        own = row[key]
        if own in taken:
            others.append(row)
        else:
            taken.add(own)
            new.append(row)
    return new, others


def _copied(cursor: Any, table: sa.Table, into: str, names: Sequence[str], rows: Sequence[Any]) -> int:
    # The driver's own dumpers are compiled: rows that are whole, nearly all of them, need no others.
    for kind, dumper in ((str, StrDumperUnknown), (float, FloatDumper)):
        cursor.adapters.register_dumper(kind, dumper)
    numbers = [n for n, name in enumerate(names) if isinstance(table.c[name].type, sa.Float)]
    kept = [[_kept(cell) for cell in row] for row in rows] if _is_odd(rows, numbers) else rows
    with cursor.copy(f"COPY {into} ({', '.join(map(_quoted, names))}) FROM STDIN") as copy:
        for row in kept:
            copy.write_row(row)
    return len(rows)


def _is_odd(rows: Sequence[Any], numbers: Sequence[int]) -> bool:
    """Whether rows may hold what is not kept as it is. Looking at each text by itself would cost as much as copying."""
    if any(row[n] != row[n] for n in numbers for row in rows):
        return True
    return rb"\u0000" in _JSON(rows)


@lru_cache(maxsize=128)
def _staging(table: str, names: tuple[str, ...], text: str) -> tuple[str, str, str]:
    """The table in which rows wait, the statement that makes it, and the one that moves rows on from there."""
    staged, columns = _quoted(f"incoming_{table}"), ", ".join(map(_quoted, names))
    made = f"CREATE TEMP TABLE IF NOT EXISTS {staged} ON COMMIT DELETE ROWS AS "
    made += f"SELECT {columns} FROM {_quoted(table)} WITH NO DATA"  # noqa: S608 - names of our own tables
    head, _, rest = text.partition(" VALUES (")
    values, _, tail = rest.partition(")")
    given = iter(names)
    # What is no value of a row stands in the statement itself.
    chosen = [_quoted(next(given)) if value.startswith("%s") else value for value in values.split(", ")]
    return staged, made, f"{head} SELECT {', '.join(chosen)} FROM {staged}{tail}"  # noqa: S608 - likewise


def _rounds(rows: Sequence[Any], key: Sequence[int]) -> Iterator[Sequence[Any]]:
    """Rows in rounds none of which has a key twice, each after those that came before it."""
    if len({tuple([row[n] for n in key]) for row in rows}) == len(rows):
        yield rows
        return
    seen: dict[tuple[Any, ...], int] = defaultdict(int)
    rounds: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        own = tuple([row[n] for n in key])
        rounds[seen[own]].append(row)
        seen[own] += 1
    yield from rounds.values()


def _quoted(name: str) -> str:
    return f'"{name}"'
