"""The whole of a store, copied into another: a backup, its return, and the move from SQLite to PostgreSQL.

All is one transaction in the target, and is kept only where each table there holds what it holds in the source. A
backup is a store like any other, an SQLite database, whatever it was made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.errors import StoreError
from collector.store.database import Database
from collector.store.dialects import POSTGRESQL, insert
from collector.store.tables import METADATA

_FETCH = 5_000


@dataclass(frozen=True, order=True)
class TableDigest:
    """What a table holds: how many rows, and the SHA-256 of them all in the order of their keys, in hex."""

    table: str
    rows: int
    digest: str


def digests(database: Database) -> list[TableDigest]:
    """What each table of a store holds, by name. Raises StoreError."""
    with database.reading() as connection:
        return _digests(connection)


def copy_store(source: Database, target: Database) -> list[TableDigest]:
    """Copy every table into an empty store: what each of them holds then.

    Raises StoreError, with nothing kept, where the target holds something, or would not hold the same.
    """
    with source.reading() as there, target.transaction(flushed=True) as transaction:
        full = [table.name for table in METADATA.sorted_tables if _count(transaction.connection, table)]
        if full:
            raise StoreError(f"the store is not empty: {full[0]} has rows; nothing was copied")
        for table in METADATA.sorted_tables:
            names = [column.name for column in table.columns]
            statement = insert(table).values({name: sa.bindparam(name) for name in names})
            transaction.begin(table, _count(there, table))
            transaction.write_rows(statement, names, _rows(there, table))
        _count_on(transaction.connection)
        wanted, found = _digests(there), _digests(transaction.connection)
        different = [one.table for one, other in zip(wanted, found, strict=True) if one != other]
        if different:
            raise StoreError(f"the copy differs from its source in {', '.join(different)}; nothing was kept")
    return found


def _rows(connection: Connection, table: sa.Table) -> Iterator[tuple[Any, ...]]:
    query = sa.select(table).order_by(*table.primary_key).execution_options(yield_per=_FETCH)
    for row in connection.execute(query):
        yield tuple(map(_told, row))


def _told(value: Any) -> Any:
    """A value that every database can hold: PostgreSQL knows no character 0."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) and "\0" in value else value


def _count(connection: Connection, table: sa.Table) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def _digests(connection: Connection) -> list[TableDigest]:
    return sorted(_digest(connection, table) for table in METADATA.sorted_tables)


def _digest(connection: Connection, table: sa.Table) -> TableDigest:
    digest, rows = hashlib.sha256(), 0
    for row in _rows(connection, table):
        digest.update(msgspec.msgpack.encode(row))
        rows += 1
    return TableDigest(table.name, rows, digest.hexdigest())


def _count_on(connection: Connection) -> None:
    """Let numbers that PostgreSQL gives by itself follow those that were copied."""
    if connection.dialect.name != POSTGRESQL:
        return
    for table in METADATA.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            last = sa.select(sa.func.coalesce(sa.func.max(column), 1), sa.func.count() > 0).subquery()
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(sa.select(sa.func.setval(sequence, *last.c)))
