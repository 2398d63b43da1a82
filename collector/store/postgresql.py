"""PostgreSQL as the store that several processes share: connections, transactions, many rows at once.

It keeps the promises that SQLite makes by itself: one transaction writes at a time, whoever reads sees one moment, and
what cannot be kept as it is becomes what SQLite makes of it.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any

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
_FEW = 50
"""So many rows are sent one by one: a table to stage them in would cost more."""
_STAGED = 5_000
"""So many rows are staged at once."""


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


def write_rows(connection: Connection, statement: Any, text: str, names: Sequence[str], rows: Sequence[Any]) -> int:
    """Run an insert with its text for many rows of plain values, as if one after the other; how many it changed.

    They are copied into their table, or where they are compared with what is there into a table of this connection, and
    from there moved with one statement.
    """
    if len(rows) <= _FEW:
        return max(connection.exec_driver_sql(text, list(rows)).rowcount, 0)
    table: sa.Table = statement.table
    numbers = [n for n, name in enumerate(names) if isinstance(table.c[name].type, sa.Float)]
    if any(row[n] != row[n] for n in numbers for row in rows):
        rows = [[_kept(cell) for cell in row] for row in rows]
    with _copying(connection) as cursor:
        if " ON CONFLICT " not in text:
            return _copied(cursor, _quoted(table.name), names, rows)
        return _moved(cursor, table, text, names, names, rows)


def write_new(  # noqa: PLR0913 - a statement, and what is known of its rows
    connection: Connection,
    statement: Any,
    text: str,
    names: Sequence[str],
    *,
    given: Sequence[str],
    rows: Iterator[tuple[Any, ...]],
    taken: set[int],
) -> int:
    """Run an insert that compares with what is there, as `write_rows`, for rows of which most are new.

    New rows are copied into their table while later ones are still made: the server works meanwhile. `taken`, the
    hashes of the keys that the table holds, grows by theirs. It says the truth because one transaction writes at a
    time; and a row that it wrongly holds is only compared in vain. The others follow. `given`: which columns the rows
    hold, their key first; the rest of `names` is empty.
    """
    first = list(islice(rows, _FEW + 1))
    if len(first) <= _FEW:
        return max(connection.exec_driver_sql(text, first).rowcount, 0) if first else 0
    table: sa.Table = statement.table
    others: list[tuple[Any, ...]] = []
    with _copying(connection) as cursor:
        changed = _copied(cursor, _quoted(table.name), given, _new(chain(first, rows), taken, others))
        for start in range(0, len(others), _STAGED):
            changed += _moved(cursor, table, text, names, given, others[start : start + _STAGED])
    return changed


def _new(rows: Iterable[tuple[Any, ...]], taken: set[int], others: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The rows with a key that nobody has had; `taken` grows by their keys, `others` by the other rows."""
    for row in rows:
        own = hash(row[0])
        if own in taken:
            others.append(row)
        else:
            taken.add(own)
            yield row


@contextlib.contextmanager
def _copying(connection: Connection) -> Iterator[Any]:
    """A cursor for copying."""
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor:
        # The driver's own dumpers are compiled: rows that are whole, nearly all of them, need no others.
        for kind, dumper in ((str, StrDumperUnknown), (float, FloatDumper)):
            cursor.adapters.register_dumper(kind, dumper)
        yield cursor


def _copied(cursor: Any, into: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    with cursor.copy(f"COPY {into} ({', '.join(map(_quoted, names))}) FROM STDIN") as copy:
        write = copy.write_row
        for row in rows:
            try:
                write(row)
            except psycopg.DataError:  # a character 0; nothing of the row was written
                write([_kept(cell) for cell in row])
    return max(int(cursor.rowcount), 0)


def _moved(
    cursor: Any, table: sa.Table, text: str, names: Sequence[str], given: Sequence[str], rows: Sequence[Any]
) -> int:
    """Copy rows into a table of this connection, and from there with one statement into their own.

    Of rows with the same key each goes into a round of its own, because one statement changes no row twice.
    """
    staged, made, moved = _staging(table.name, tuple(names), text)
    key, changed = [given.index(column.name) for column in table.primary_key], 0
    cursor.execute(made)
    for some in _rounds(rows, key):
        cursor.execute(f"TRUNCATE {staged}")
        _copied(cursor, staged, given, some)
        cursor.execute(moved)
        changed += max(cursor.rowcount, 0)
    return changed


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
