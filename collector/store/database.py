"""The database itself: opening, migrating, transactions. Knows no table's meaning."""

from __future__ import annotations

import contextlib
import copy
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice, repeat
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import create_engine

from collector.errors import RetryableError, StoreError
from collector.secrets import reveal
from collector.store.columns import Same, Values
from collector.store.dialects import INDEXED_WHEN_FILLED, POSTGRESQL, plain
from collector.store.noted import Names, Noted

SCHEMA_REVISION = "0009"
_CHUNK = 5_000
_MANY = 1_000
"""So many rows of an empty table are worth the making of its indexes anew."""
_SAID_ONCE = 250
"""So many rows are worth a statement that says what is the same in all of them."""
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_./:@-]{0,64}")
"""A text that a statement says as it is."""
_REMEMBERED = 1_000_000
"""So many keys a transaction remembers of an empty table that it fills, in less than 100 MB."""
_BUSY_TIMEOUT_MS = 30_000
# Ids are spread evenly, so an import touches its whole index: the default of 2 MB would spill on each page.
_CACHE_KIB = 64 * 1024
# A row of a commit has 300 bytes: on larger pages an import splits fewer of them.
_PAGE_BYTES = 8192
# 256 MB of log: what many transactions change, as pages of an index, is moved to the file and synced once. A service
# does so after each cycle, while nobody waits; whoever commits beyond this does it at once.
_LOG_PAGES = 32_768
_IN_USE_MS = 500
"""For so long a migration waits for a table; less than what PostgreSQL waits before it looks who holds up whom."""
_PAUSES_SECONDS = (0.25, 0.5, 1, 2, 4, 8, *[15] * 35)
"""For how long it leaves those alone who use its tables, each time. Nine minutes in all."""
_IN_USE = ("55P03", "40P01")
"""What PostgreSQL says then: a lock was not to be had in time, or two waited for each other."""
_ADVICE = (
    ("is not a database", "its file is damaged: put it aside and restore a backup"),
    ("malformed", "its file is damaged: put it aside and restore a backup"),
    ("disk is full", "make room where its file is"),
    ("No space left on device", "make room where the database is"),
    ("database is locked", "another process has been writing for too long"),
    ("readonly database", "its file, or the folder of it, may not be written"),
)
"""What to do about the words of a database."""
_FETCHED_AT_ONCE = 500
_SYNCHRONOUS = "PRAGMA synchronous=NORMAL"
# Else the driver looks in vain, for each value, how these are told to SQLite: of an insert that took a quarter.
sqlite3.register_adapter(type(None), lambda nothing: nothing)
sqlite3.register_adapter(bool, int)


Place = Path | SecretStr
"""Where a store is: a folder with an SQLite database, or the address of a PostgreSQL database, which is a secret."""


class Transaction:
    """An open transaction. Everything done through it is kept together or not at all."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._unindexed: dict[str, sa.Table] = {}
        self._fresh: dict[str, set[int] | None] = {}
        self.notes: list[tuple[str, int, Names]] = []
        """What it has written of which kind, with which revision."""

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run one Core statement."""
        return self.connection.execute(statement, parameters)

    @property
    def dialect(self) -> Any:
        """The dialect that texts are made for."""
        return _dialect(self.connection.dialect)

    def rows(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a select, as the driver's tuples: see `Database.select`."""
        return _fetched(self.connection, text, values)

    def note(self, kind: str, revision: int, names: Names) -> None:
        """Say what was written: who derives asks for it, once it is kept."""
        self.notes.append((kind, revision, names))

    def run_many(self, text: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement for each of some values."""
        if values:
            self.connection.exec_driver_sql(text, list(values))

    def is_fresh(self, table: sa.Table) -> bool:
        """Whether all that a table holds was written in this transaction, as far as it was told: see `begin`."""
        return table.name in self._fresh

    def written(self, table: sa.Table) -> set[int] | None:
        """The hashes of the keys that a table holds; None where it is not fresh, or holds too many to remember."""
        taken = self._fresh.get(table.name)
        if taken is not None and len(taken) > _REMEMBERED:
            taken = self._fresh[table.name] = None
        return taken

    def begin(self, table: sa.Table, rows: int) -> None:
        """Say that an empty table is about to be written, with so many rows at first.

        The indexes of one that is filled wait for the end: sorting all at once is four times cheaper. Others see the
        table as it was until then. In PostgreSQL they would wait for whoever takes indexes away: there the tables of
        events have none before this, and making one keeps nobody from reading.
        """
        self._fresh[table.name] = set()
        if self.connection.dialect.name == POSTGRESQL:
            self._unindexed[table.name] = table
        elif rows >= _MANY:
            self._unindexed[table.name] = table
            for index in table.indexes:
                self.connection.exec_driver_sql(_dropped(index, self.dialect))

    def index(self) -> None:
        """Make the indexes that wait: before a question that needs them, and at the end."""
        while self._unindexed:
            for statement in _made(self._unindexed.popitem()[1], self.dialect):
                self.connection.exec_driver_sql(statement)

    @property
    def copies(self) -> bool:
        """Whether rows whose keys are known to be new are written faster than others."""
        return bool(self.connection.dialect.name == POSTGRESQL)

    def write_rows(self, statement: Any, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
        """Run an insert for many rows of plain values, in the order of `names`; how many rows it changed.

        Where the driver takes positions, tuples go straight to it: four times faster than a mapping per row.
        """
        text = _positional(statement, self.dialect, tuple(names))
        changed, pending = 0, iter(rows)
        while chunk := list(islice(pending, _CHUNK)):
            if text is not None and self.copies:
                changed += _postgresql().write_rows(self.connection, statement, text, names, chunk)
                continue
            if text is not None:
                result = self.connection.exec_driver_sql(*_thinned(text, chunk))
            else:
                result = self.connection.execute(statement, [dict(zip(names, r, strict=True)) for r in chunk])
            changed += max(result.rowcount, 0)
        return changed

    def write_columns(
        self,
        statement: Any,
        names: Sequence[str],
        parts: Iterable[Sequence[Values]],
        taken: set[int],
        empty: Collection[str] = (),
    ) -> int:
        """Run an insert that compares with what is there, for the rows of some parts; how many rows it changed.

        Each part holds the columns of its rows in the order of `names`, the key first. `taken`: hashes of the keys that
        the table holds, or of more; where rows are copied it grows by theirs. `empty`: columns that no row fills.
        """
        text = _positional(statement, self.dialect, tuple(names))
        assert text is not None  # noqa: S101 - it names each column once
        if self.copies:
            given = [n for n, name in enumerate(names) if name not in empty]
            rows = (row for part in parts for row in _rows(part[n] for n in given))
            return int(
                _postgresql().write_new(
                    self.connection, statement, text, names, given=[names[n] for n in given], rows=rows, taken=taken
                )
            )
        changed = 0
        for part in parts:
            result = self.connection.exec_driver_sql(*_told(text, part))
            changed += max(result.rowcount, 0)
        return changed


Guard = Callable[[Transaction], None]
"""Looks whether a transaction may write, and raises StoreError where it must not."""


def _unguarded(transaction: Transaction) -> None:
    """Let every transaction write."""


class Database:
    """A migrated database: SQLite, or PostgreSQL for several processes. Readers never wait for a writer."""

    opened_by: ClassVar[Callable[..., Engine]]
    """What opens a place: `engine_of`. Tests have it open another one, so that the same tests run on each database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._guard: Guard = _unguarded
        # SQLite allows one writer; inside one process a lock is fairer and faster than waiting for its timeout.
        self._writing = threading.Lock()
        self._steady = threading.local()
        self.noted = Noted()
        self.found: str | None = None
        """The schema that was there when it was opened; None where there was none."""

    @classmethod
    def open(cls, place: Place, name: str = "paceline", frozen_seconds: int = 0) -> Database:
        """The database at a place, created and migrated if need be: `paceline.db` in a folder, or a PostgreSQL.

        `name`: what PostgreSQL calls the connections of this process. `frozen_seconds`: how long it lets them be idle
        in a transaction, which holds up whoever writes; 0 for ever. Raises StoreError where it cannot be opened or
        written, or is of a newer Paceline.
        """
        try:
            database = cls(cls.opened_by(place, name, frozen_seconds))
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(database.close)
                database._migrate()
                on_failure.pop_all()
        except (OSError, SQLAlchemyError, RetryableError) as error:
            raise StoreError(f"the store {_named(place)} cannot be opened: {_first_line(error)}") from error
        return database

    def guarded(self, guard: Guard) -> Database:
        """The same database, on which a transaction writes only where a guard lets it: at its begin and at its end."""
        found = copy.copy(self)
        found._guard = guard  # noqa: SLF001 - it is one of us
        return found

    @contextlib.contextmanager
    def alone(self) -> Iterator[Connection]:
        """A transaction for making tables: it waits as long as another process makes them. Raises StoreError."""
        try:
            with _alone(self._engine) as connection:
                yield connection
        except (SQLAlchemyError, self._engine.dialect.dbapi.Error) as error:  # type: ignore[union-attr] # it has one
            raise StoreError(f"the store's tables cannot be made: {_first_line(error)}") from error

    @contextlib.contextmanager
    def transaction(self, *, flushed: bool = False) -> Iterator[Transaction]:
        """A transaction that writes. Raises StoreError, with nothing kept, where the database fails.

        `flushed`: its commit is on the disk when it ends. Otherwise a power failure may take the last ones, which is
        harmless where they can be read again.
        """
        steady: Connection | None = getattr(self._steady, "connection", None)
        with self._writing:
            try:
                if flushed:
                    begun = _flushed(self._engine)
                else:
                    begun = self._engine.begin() if steady is None else _begun(steady)
                with begun as connection:
                    transaction = Transaction(connection)
                    self._guard(transaction)
                    yield transaction
                    transaction.index()
                    self._guard(transaction)
                # A server may fail alone and forget what it kept last; then others get these revisions again.
                for one in () if self._engine.dialect.name == POSTGRESQL else transaction.notes:
                    self.noted.note(*one)
            except (SQLAlchemyError, self._engine.dialect.dbapi.Error) as error:  # type: ignore[union-attr] # it has one
                raise StoreError(f"the store failed, nothing was kept: {_first_line(error)}") from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one consistent state and never blocks a writer."""
        try:
            with self._engine.connect().execution_options(paceline_read=True) as connection:
                yield connection
        except (SQLAlchemyError, self._engine.dialect.dbapi.Error) as error:  # type: ignore[union-attr] # it has one
            raise StoreError(f"the store cannot be read: {_first_line(error)}") from error

    @contextlib.contextmanager
    def steadily(self) -> Iterator[None]:
        """Let this thread keep one connection for `select` and `transaction` meanwhile.

        For many small reads opening is the cost; and what another connection writes makes SQLite forget every page that
        this one has read. Each select still sees what was committed last. Inside another one it changes nothing.
        """
        if getattr(self._steady, "connection", None) is not None:
            yield
            return
        with self._engine.connect() as connection:
            self._steady.connection = connection
            try:
                yield
            finally:
                self._steady.connection = None

    def select(self, text: Callable[[Any], str], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a select, made for the dialect, as the driver's tuples: wrapping each would double the time."""
        steady: Connection | None = getattr(self._steady, "connection", None)
        try:
            if steady is not None:
                return _fetched(steady, text(_dialect(self._engine.dialect)), values)
            with self._engine.connect().execution_options(paceline_read=True) as connection:
                return _fetched(connection, text(_dialect(connection.dialect)), values)
        except (SQLAlchemyError, self._engine.dialect.dbapi.Error) as error:  # type: ignore[union-attr] # it has one
            raise StoreError(f"the store cannot be read: {_first_line(error)}") from error

    def probe(self) -> datetime | None:
        """Write a trifle and keep it, as every run would; the database's own time, None for a file. Raises StoreError.

        SQLite notes a number in its file's head, PostgreSQL its version once more: nothing of ours changes.
        """
        with self.transaction() as transaction:
            if self._engine.dialect.name == POSTGRESQL:
                transaction.execute(sa.text("UPDATE alembic_version SET version_num = version_num"))
                at: datetime = transaction.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
                return at
            before = int(transaction.execute(sa.text("PRAGMA user_version")).scalar_one())
            # Another number each time: what does not differ would not be written.
            transaction.execute(sa.text(f"PRAGMA user_version={(before + 1) % (1 << 30)}"))
            return None

    def move_log(self) -> None:
        """Move what SQLite has written into its log to its file: while nobody waits for that, and as far as it can.

        Readers and writers go on meanwhile. What fails is tried again the next time.
        """
        if self._engine.dialect.name == POSTGRESQL:  # it has a process for that
            return
        failures = (SQLAlchemyError, self._engine.dialect.dbapi.Error)  # type: ignore[union-attr] # it has one
        with contextlib.suppress(*failures), contextlib.closing(self._engine.raw_connection()) as raw:
            cursor = raw.cursor()
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            cursor.close()

    def compact(self) -> None:
        """Give up what was deleted: no page of the database's files holds it any more.

        SQLite writes its file anew and empties its log; PostgreSQL frees the rows, its own log keeps them for a while.
        """
        with self._writing, contextlib.closing(self._engine.raw_connection()) as raw:
            cursor = raw.cursor()
            try:
                cursor.execute("VACUUM")
                if self._engine.dialect.name != POSTGRESQL:
                    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except self._engine.dialect.dbapi.Error as error:  # type: ignore[union-attr] # it has one
                raise StoreError(f"what was deleted is still in the store's files: {_first_line(error)}") from error
            finally:
                cursor.close()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self._engine.connect().execution_options(paceline_read=True) as connection:
            known = sa.inspect(connection).has_table("alembic_version")
            revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version")) if known else None
        self.found = revision
        if revision == SCHEMA_REVISION:
            return  # the common case does not pay for importing the migration tool
        if revision is not None and revision > SCHEMA_REVISION:
            raise StoreError(
                f"the store has schema {revision}, this Paceline knows up to {SCHEMA_REVISION}; use a newer Paceline"
            )
        if revision is None and self._create():
            return
        for pause in _PAUSES_SECONDS:
            if self._upgraded(revision):
                return
            time.sleep(pause)
        raise StoreError(
            f"the store's schema {revision} cannot be brought to {SCHEMA_REVISION}: somebody has been reading its "
            "tables for minutes; end that, and try again"
        )

    def _upgraded(self, revision: str | None) -> bool:
        """Bring the tables forward; False, with nothing changed, where others use one of them for longer than a moment.

        Who waits for a table keeps everybody who comes later waiting, too.
        """
        from alembic import command  # noqa: PLC0415 - see above
        from alembic.config import Config  # noqa: PLC0415
        from alembic.util import CommandError  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        try:
            with _alone(self._engine) as connection:
                if connection.dialect.name == POSTGRESQL:
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_IN_USE_MS}")
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(f"the store's schema {revision} cannot be brought to {SCHEMA_REVISION}") from error
        except SQLAlchemyError as error:
            if getattr(getattr(error, "orig", None), "sqlstate", None) not in _IN_USE:
                raise
            return False
        return True

    def _create(self) -> bool:
        """Make the tables of a new database as they are now; False where another process was faster."""
        with _alone(self._engine) as connection:
            if sa.inspect(connection).has_table("alembic_version"):
                return False
            for statement in _schema(_dialect(connection.dialect)):
                connection.exec_driver_sql(statement)
            connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(sa.text("INSERT INTO alembic_version VALUES (:now)"), {"now": SCHEMA_REVISION})
        return True


@contextlib.contextmanager
def _begun(connection: Connection) -> Iterator[Connection]:
    """A transaction on an open connection."""
    with connection.begin():
        yield connection


@contextlib.contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that waits as long as another one takes, which may be making the tables."""
    with engine.connect().execution_options(paceline_patient=True) as connection, connection.begin():
        yield connection


@contextlib.contextmanager
def _flushed(engine: Engine) -> Iterator[Connection]:
    """A transaction whose commit waits for the disk."""
    with engine.connect().execution_options(paceline_flushed=True) as connection:
        if connection.dialect.name == POSTGRESQL:  # it flushes whatever is not told otherwise
            with connection.begin():
                yield connection
            return
        raw: Any = connection.connection.driver_connection
        raw.execute("PRAGMA synchronous=FULL")
        try:
            with connection.begin():
                yield connection
        finally:
            raw.execute(_SYNCHRONOUS)


def _postgresql() -> ModuleType:
    from collector.store import postgresql  # noqa: PLC0415 - who has a file does not pay for it

    return postgresql


def _fetched(connection: Connection, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    if connection.dialect.name == POSTGRESQL:
        cursor = _postgresql().plain_cursor(connection.connection)
    else:
        cursor = connection.connection.cursor()
    try:
        cursor.execute(text, values)
        # Some at a time: the driver lets go of Python's lock at each row and takes it at once again. Who waits for it,
        # such as who answers a scrape, gets it only in between.
        found: list[tuple[Any, ...]] = []
        while some := cursor.fetchmany(_FETCHED_AT_ONCE):
            found += some
        return found
    finally:
        cursor.close()


def _dialect(dialect: Any) -> Any:
    """One dialect for all databases of a driver, so that a process makes each text once."""
    return plain(f"{dialect.name}+{dialect.driver}")


@lru_cache(maxsize=4)
def _schema(dialect: Any) -> tuple[str, ...]:
    """What makes every table and index that is not there yet. Some indexes PostgreSQL makes later: `begin`."""
    from collector.store.tables import METADATA  # noqa: PLC0415 - the tables know this module

    return tuple(
        statement
        for table in METADATA.sorted_tables
        for statement in (
            str(sa.schema.CreateTable(table, if_not_exists=True).compile(dialect=dialect)),
            *(() if dialect.name == POSTGRESQL and INDEXED_WHEN_FILLED in table.info else _made(table, dialect)),
        )
    )


@lru_cache(maxsize=64)
def _made(table: sa.Table, dialect: Any) -> tuple[str, ...]:
    """What makes the indexes of a table that are not there yet."""
    indexes = sorted(table.indexes, key=lambda i: str(i.name))
    return tuple(str(sa.schema.CreateIndex(i, if_not_exists=True).compile(dialect=dialect)) for i in indexes)


@lru_cache(maxsize=64)
def _dropped(index: sa.Index, dialect: Any) -> str:
    return str(sa.schema.DropIndex(index, if_exists=True).compile(dialect=dialect))


@lru_cache(maxsize=64)
def _positional(statement: Any, dialect: Any, names: tuple[str, ...]) -> str | None:
    """The text of a statement that takes its values by position in this order; None where it does not."""
    # Inline: nobody asks for generated keys, and a RETURNING clause would forbid sending many rows at once.
    compiled = statement.inline().compile(dialect=dialect)
    return str(compiled) if tuple(compiled.positiontup or ()) == names else None


def _thinned(text: str, rows: list[tuple[Any, ...]]) -> tuple[str, list[tuple[Any, ...]]]:
    """An insert and its rows without the columns that hold the same trifle in all of many rows: the statement says it.

    Handing SQLite each value of each row is half of what an insert costs, and a third of them say nothing.
    """
    if len(rows) < _MANY:
        return text, rows
    columns = list(zip(*rows, strict=True))
    said = tuple(map(_said, columns))
    kept = [column for column, word in zip(columns, said, strict=True) if word is None]
    return (_saying(text, said), list(zip(*kept, strict=True))) if 0 < len(kept) < len(columns) else (text, rows)


def _said(column: tuple[Any, ...]) -> str | None:
    """What a statement says for a column of nothing, of empty texts, of 0 or of 1 alone; None for any other."""
    first = column[0]
    word = "NULL" if first is None else _TRIFLES.get(first) if isinstance(first, (str, int)) else None
    return word if word is not None and column.count(first) == len(column) else None


_TRIFLES: Mapping[str | int, str] = {"": "''", 0: "0", 1: "1"}


def _told(text: str, part: Sequence[Values]) -> tuple[str, list[tuple[Any, ...]]]:
    """An insert and the rows of a part of it, without the columns of which the statement itself says what they hold."""
    said = tuple(_word(values.value) if isinstance(values, Same) else None for values in part)
    if not isinstance(part[0], list) or len(part[0]) < _SAID_ONCE or not any(said):
        return text, list(_rows(part))
    kept = (values for values, word in zip(part, said, strict=True) if word is None)
    return _saying(text, said), list(_rows(kept))


def _rows(columns: Iterable[Values]) -> Iterator[tuple[Any, ...]]:
    """The rows of some columns, the first of which is no single value."""
    return zip(*(repeat(c.value) if isinstance(c, Same) else c for c in columns), strict=False)


def _word(value: Any) -> str | None:
    """How a statement says a value that needs no care; None for any other."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'" if _PLAIN_TEXT.fullmatch(value) else None
    return str(int(value)) if 0 <= value < 1 << 63 else None


@lru_cache(maxsize=256)
def _saying(text: str, said: tuple[str | None, ...]) -> str:
    """The text of an insert with words of its own in the place of some values."""
    head, _, rest = text.partition(" VALUES (")
    values, _, tail = rest.partition(")")
    words = iter(said)
    placed = ", ".join((next(words) or value) if value == "?" else value for value in values.split(", "))
    return f"{head} VALUES ({placed}){tail}"


def engine_of(place: Place, name: str = "paceline", frozen_seconds: int = 0) -> Engine:
    """The engine of a place, whose folder is made. Raises StoreError for an address of no PostgreSQL."""
    if isinstance(place, Path):
        place.mkdir(parents=True, exist_ok=True)
        return _sqlite_engine(place / "paceline.db")
    engine: Engine = _postgresql().postgresql_engine(lambda: address_of(place), name, frozen_seconds)
    return engine


def address_of(place: SecretStr) -> str:
    """The address of a PostgreSQL as its secret says now. Raises StoreError."""
    try:
        return reveal(place)
    except RetryableError as error:
        raise StoreError(f"the address of the store: {error}") from None


Database.opened_by = staticmethod(engine_of)


def _named(place: Place) -> str:
    return f"in {place}" if isinstance(place, Path) else "in PostgreSQL"


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # SQLAlchemy, not the driver, says when a transaction begins
        raw.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # of a new file; it must come before the log
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute(_SYNCHRONOUS)
        raw.execute("PRAGMA foreign_keys=ON")
        raw.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        raw.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        raw.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A writer takes its lock at once: upgrading a read lock later would fail instead of waiting.
        reading = connection.get_execution_options().get("paceline_read")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _first_line(error: BaseException) -> str:
    """The database's own words without the statement and its values, which may hold what must not be logged."""
    cause = getattr(error, "orig", None) or error
    said = (str(cause).splitlines() or [type(cause).__name__])[0]
    return said + next((f"; {advice}" for words, advice in _ADVICE if words in said), "")
