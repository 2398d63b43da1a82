"""Events, cursors, quarantine and run records in the database."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
import sqlalchemy as sa

from collector.conditions import Above, Where
from collector.errors import BadRecord
from collector.events import EVENT_TYPES, TYPE_OF_KIND, Event, event_id, kind_of
from collector.events import Collection as CollectionEvent
from collector.store.columns import columns_of, decoder
from collector.store.database import Database, Transaction
from collector.store.dialects import insert
from collector.store.tables import (
    BELONGS_TO,
    CURSOR,
    EVENT_MOVED,
    EVENT_SOURCE,
    EVENT_TABLES,
    FORGOTTEN,
    FOUND_BY_NAME,
    KIND_REVISION,
    NAMED,
    QUARANTINE,
    REMOVED,
    SOURCE_RUN,
)
from collector.store.writing import is_asked, listed, next_revision, set_revision, write_events

E = TypeVar("E", bound=Event)
_FETCH = 5_000
_MOST_READ = 1 << 15
"""Of more events of a kind what was read is not held."""


@dataclass(frozen=True, kw_only=True)
class SourceRun:
    """The last run of a source, and its totals. Times in microseconds since 1970 UTC."""

    source: str
    started_at: int
    finished_at: int
    succeeded: bool
    error: str | None = None
    last_success_at: int | None = None
    newest_event_at: int | None = None
    events_total: int = 0
    changed_total: int = 0
    rejected_total: int = 0
    warnings: tuple[str, ...] = ()
    truncations: tuple[str, ...] = ()
    truncated_total: int = 0
    removed_total: int = 0
    requests_total: int = 0
    failure: str | None = None
    quota: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    """By the limit's own name: how many requests are left of how many."""


class Forgotten(NamedTuple):
    """Before when (microseconds) a kind is not kept, how many of its events were pruned, and how many came late."""

    before: int
    pruned: int
    ignored: int


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A record set aside: its source, where it stands, and why it could not be used."""

    source: str
    location: str
    reason: str


class EventStore:
    """Reads and writes what sources reported. Writing an event twice changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read: dict[tuple[type[Event], tuple[str, ...]], dict[str, tuple[Any, ...]]] = {}
        """By kind and columns what was read of all events, by id, where these are few."""

    def write(self, transaction: Transaction, events: Iterable[Event]) -> int:
        """Keep events; how many were new or newer than the stored version.

        Of two versions of one event the one with the later `updated_at` stays, and of equally late ones the one
        whose columns compare greater: the result does not depend on the order of arrival. Who was erased is nobody.
        What is older than is kept of its kind is left out, and counted.
        """
        return write_events(transaction, events)

    def remove_missing(  # noqa: PLR0913 - together they say which list was whole
        self,
        transaction: Transaction,
        event_type: type[Event],
        native_ids: Collection[str],
        *,
        source: str,
        where: Mapping[str, str],
        dated: str,
        span: tuple[int, int],
        at: int,
    ) -> int:
        """Remove the events of a source that a whole list of it does not name; how many there were.

        The list is of a kind, of what has these values in these columns, and whose column `dated` lies in a span of
        time (microseconds, its end left out). What was removed is kept beside; what rests on it is derived again.
        """
        table = EVENT_TABLES[event_type]
        transaction.index()
        start, end = span
        query = sa.select(table.c.id, table.c.native_id).where(
            table.c.source == source,
            table.c[dated] >= start,
            table.c[dated] < end,
            *(table.c[n] == v for n, v in where.items()),
        )
        gone = [identity for identity, native_id in transaction.execute(query) if native_id not in native_ids]
        if not gone:
            return 0
        revision = next_revision(transaction, event_type)
        for start in range(0, len(gone), _FETCH):
            self._remove(transaction, event_type, gone[start : start + _FETCH], revision, at)
        set_revision(transaction, event_type, revision)
        return len(gone)

    def _remove(
        self, transaction: Transaction, event_type: type[Event], ids: Sequence[str], revision: int, at: int
    ) -> None:
        table, kind, decode = EVENT_TABLES[event_type], kind_of(event_type), decoder(event_type)
        own = [table.c[c.name] for c in columns_of(event_type)]
        found = transaction.execute(sa.select(table.c.id, *own).where(table.c.id.in_(ids))).all()
        removed = [(row[0], decode(row[1:])) for row in found]
        kept = [
            {"id": i, "kind": kind, "source": e.source, "removed_at": at, "event": msgspec.json.encode(e).decode()}
            for i, e in removed
        ]
        statement = insert(REMOVED)
        renewed = {n: statement.excluded[n] for n in ("removed_at", "event")}
        transaction.execute(statement.on_conflict_do_update(index_elements=["id"], set_=renewed), kept)
        transaction.execute(sa.delete(table).where(table.c.id.in_(ids)))
        left = sorted({getattr(e, name) or "" for _, e in removed for name in BELONGS_TO.get(event_type, ())})
        if left:
            rows = [{"kind": kind, "revision": revision, "left": name} for name in left]
            transaction.execute(insert(EVENT_MOVED).on_conflict_do_nothing(), rows)

    def removed(self, source: str | None = None) -> list[Event]:
        """The events that were deleted at their source, as they were."""
        query = sa.select(REMOVED.c.kind, REMOVED.c.event).order_by(REMOVED.c.id)
        if source is not None:
            query = query.where(REMOVED.c.source == source)
        with self._database.reading() as connection:
            return [msgspec.json.decode(text, type=TYPE_OF_KIND[kind]) for kind, text in connection.execute(query)]

    def cursor(self, source: str) -> str | None:
        """Where the next run of a source starts; None before its first success."""
        with self._database.reading() as connection:
            found: str | None = connection.scalar(sa.select(CURSOR.c.cursor).where(CURSOR.c.source == source))
            return found

    def cursor_within(self, transaction: Transaction, source: str) -> str | None:
        """The same, as a transaction sees it that is about to move it."""
        found: str | None = transaction.execute(sa.select(CURSOR.c.cursor).where(CURSOR.c.source == source)).scalar()
        return found

    def set_cursor(self, transaction: Transaction, source: str, cursor: str) -> None:
        """Move a source's cursor together with the events of its transaction."""
        statement = insert(CURSOR).values(source=source, cursor=cursor)
        transaction.execute(statement.on_conflict_do_update(index_elements=["source"], set_={"cursor": cursor}))

    def reject(self, transaction: Transaction, source: str, records: Iterable[BadRecord]) -> None:
        """Set records aside: place and reason, never the content."""
        rows = [{"source": source, "location": r.location, "reason": r.reason} for r in records]
        if rows:
            statement = insert(QUARANTINE)
            transaction.execute(
                statement.on_conflict_do_update(
                    index_elements=["source", "location"], set_={"reason": statement.excluded.reason}
                ),
                rows,
            )

    def quarantined(self, source: str | None = None, limit: int | None = None) -> list[Quarantined]:
        """The records set aside, by source and place; so many of them at most."""
        query = sa.select(QUARANTINE).order_by(QUARANTINE.c.source, QUARANTINE.c.location).limit(limit)
        if source is not None:
            query = query.where(QUARANTINE.c.source == source)
        with self._database.reading() as connection:
            return [Quarantined(**row) for row in connection.execute(query).mappings()]

    def events(self, event_type: type[E]) -> Iterator[E]:
        """All events of a kind, in the order of their ids."""
        table, decode = EVENT_TABLES[event_type], decoder(event_type)
        query = sa.select(*[table.c[c.name] for c in columns_of(event_type)]).order_by(table.c.id)
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=_FETCH).execute(query):
                yield cast("E", decode(row))

    def columns(self, event_type: type[Event], *names: str, **where: Where) -> list[tuple[Any, ...]]:
        """Some columns of the events of a kind as plain tuples: times in microseconds, tuples as JSON text.

        For long calculations, where an object per event would be the cost. `id` and `revision` may be asked for.
        `where` keeps the events whose column has a value, has one of some (a list), or is greater than a number
        (`Above`). No order. Who asks for all of a kind with `id` and `revision` is given the same tuples again for
        those that nobody has written since.
        """
        if not where and {"id", "revision"} <= set(names):
            return self._all(event_type, names)
        return self._asked(event_type, names, where)

    def _all(self, event_type: type[Event], names: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """All events of a kind: those that were read before are read again only where they were written since."""
        known, place, written = self._read.get((event_type, names), {}), names.index("id"), names.index("revision")
        if known:
            marks = self._asked(event_type, ("id", "revision"), {})
            rows = [own for i, now in marks if (own := known.get(i)) is not None and own[written] == now]
            same = {row[place] for row in rows}
            new = [i for i, _ in marks if i not in same]
            rows += self._asked(event_type, names, {"id": new}) if new else []
        else:
            rows = self._asked(event_type, names, {})
        self._read[event_type, names] = {row[place]: row for row in rows} if len(rows) <= _MOST_READ else {}
        return rows

    def _asked(
        self, event_type: type[Event], names: tuple[str, ...], where: Mapping[str, Where]
    ) -> list[tuple[Any, ...]]:
        if "native_id" in where and event_type in FOUND_BY_NAME:
            where = self._by_id(event_type, where)
        many = next((n for n, v in where.items() if isinstance(v, (list, tuple))), None)
        found: list[tuple[Any, ...]] = []
        for part in _parts(where, many):
            forms, values = _forms(_typed(event_type, part))
            found.extend(self._database.select(partial(_select_text, event_type, names, forms), values))
        return found

    def _by_id(self, event_type: type[Event], where: Mapping[str, Where]) -> dict[str, Where]:
        """The conditions with the ids that events of these native ids have, by every source that there is."""
        kind, named = kind_of(event_type), cast("Any", where["native_id"])
        names = named if isinstance(named, (list, tuple)) else [named]
        sources = [source for (source,) in self._database.select(_sources_text, (kind,))]
        ids = [event_id(kind, source, name) for name in names for source in sources]
        return {"id": ids, **{n: v for n, v in where.items() if n != "native_id"}}

    def steadily(self) -> contextlib.AbstractContextManager[None]:
        """While many small parts are read: let `columns` keep a connection."""
        return self._database.steadily()

    def distinct(self, event_type: type[Event], name: str, since: int = -1) -> list[str]:
        """The different values of an indexed text column; only those with an event after a revision.

        It hops along the index from one value to the next, so it costs what there are values, not events.
        """
        restricted = since >= 0
        text = partial(_distinct_text, event_type, name, restricted)
        return [value for (value,) in self._database.select(text, (since,) if restricted else ())]

    def noted(self, since: Mapping[str, int], last: Mapping[str, int]) -> dict[str, dict[str, list[str]]]:
        """By kind and column the names with something new after its revision and up to another, and maybe more.

        Only those kinds of which this process alone wrote meanwhile: of others it does not know.
        """
        found: dict[str, dict[str, list[str]]] = {}
        for kind, after in since.items():
            names = self._database.noted.since(kind, after, last[kind])
            if after == last[kind]:
                names = {column: [] for column in NAMED.get(TYPE_OF_KIND[kind], ())}
            if names is not None:
                found[kind] = names
        return found

    def moved(self, event_type: type[Event], since: int) -> list[str]:
        """The services, repositories and so on that an event of a kind left, or was dated anew in, after a revision."""
        rows = self._database.select(_moved_text, (kind_of(event_type), since))
        return sorted({left for (left,) in rows})

    def find(self, ids: Sequence[str], among: Sequence[type[Event]] = EVENT_TYPES) -> dict[str, Event]:
        """The events with these ids, of some kinds; unknown ids are absent."""
        found: dict[str, Event] = {}
        with self._database.reading() as connection:
            for event_type in among:
                table, decode = EVENT_TABLES[event_type], decoder(event_type)
                missing = [i for i in ids if i not in found]
                own = [table.c[c.name] for c in columns_of(event_type)]
                query = sa.select(table.c.id, *own).where(is_asked(table.c.id))
                for start in range(0, len(missing), _FETCH):
                    for row in connection.execute(query, {"ids": listed(missing[start : start + _FETCH])}):
                        found[row[0]] = decode(row[1:])
        return found

    def counts(self) -> dict[str, int]:
        """How many events of each kind are stored."""
        with self._database.reading() as connection:
            return {
                kind_of(t): connection.scalar(sa.select(sa.func.count()).select_from(EVENT_TABLES[t])) or 0
                for t in EVENT_TYPES
            }

    def by_source(self, event_type: type[Event]) -> dict[str, int]:
        """How many events of a kind each source has; sources without any are absent. Reads the whole table."""
        source = EVENT_TABLES[event_type].c.source
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(source, sa.func.count()).group_by(source))
            return {row[0]: row[1] for row in rows}

    def revisions(self) -> dict[str, int]:
        """For each kind how many changes it has seen; equal numbers mean equal events."""
        with self._database.reading() as connection:
            return {r.kind: r.revision for r in connection.execute(sa.select(KIND_REVISION))}

    def kept_since(self) -> dict[str, int]:
        """For each kind of which old events are not kept, since when they are, in microseconds."""
        return {kind: one.before for kind, one in self.forgotten().items()}

    def forgotten(self) -> dict[str, Forgotten]:
        """What is kept no longer, by kind; kinds of which everything is kept are absent."""
        with self._database.reading() as connection:
            return {kind: Forgotten(*rest) for kind, *rest in connection.execute(sa.select(FORGOTTEN))}

    def record_run(self, run: SourceRun, collection: CollectionEvent | None = None) -> None:
        """Keep the last run of a source, adding to its totals; with it the event that tells of it."""
        row = _run_to_row(run)
        statement = insert(SOURCE_RUN).values(row)
        sums = tuple(name for name in row if name.endswith("_total"))
        merged: dict[str, Any] = {k: v for k, v in row.items() if k not in sums}
        merged |= {name: SOURCE_RUN.c[name] + row[name] for name in sums}
        for name in ("last_success_at", "newest_event_at"):
            merged[name] = sa.func.coalesce(statement.excluded[name], SOURCE_RUN.c[name])
        with self._database.transaction() as transaction:
            transaction.execute(statement.on_conflict_do_update(index_elements=["source"], set_=merged))
            self.write(transaction, [] if collection is None else [collection])

    def runs(self) -> dict[str, SourceRun]:
        """The last run of each source that ever ran."""
        with self._database.reading() as connection:
            rows: Sequence[Mapping[Any, Any]] = connection.execute(sa.select(SOURCE_RUN)).mappings().all()
        decode = msgspec.json.decode
        listed = ("warnings", "truncations")
        return {
            r["source"]: SourceRun(
                **{
                    **r,
                    **{name: tuple(decode(r[name])) for name in listed},
                    "quota": {name: (left, limit) for name, (left, limit) in decode(r["quota"]).items()},
                }
            )
            for r in rows
        }


def _run_to_row(run: SourceRun) -> dict[str, Any]:
    texts = {name: msgspec.json.encode(getattr(run, name)).decode() for name in ("warnings", "truncations", "quota")}
    return {**run.__dict__, **texts}


def _parts(where: Mapping[str, Where], many: str | None) -> Iterator[dict[str, Where]]:
    """The conditions, with a long list of values in pieces that a statement can hold."""
    if many is None:
        yield dict(where)
        return
    values = list(cast("Sequence[Any]", where[many]))
    for start in range(0, len(values), _FETCH):
        yield {**where, many: values[start : start + _FETCH]}


def _typed(event_type: type[Event], where: Mapping[str, Where]) -> Mapping[str, Where]:
    """The conditions with what is true or false as such: not every database takes 0 and 1 for it."""
    flags = _flags(event_type)
    return where if flags.isdisjoint(where) else {n: bool(v) if n in flags else v for n, v in where.items()}


@lru_cache(maxsize=64)
def _flags(event_type: type[Event]) -> frozenset[str]:
    """The columns that are true or false."""
    return frozenset(c.name for c in EVENT_TABLES[event_type].c if isinstance(c.type, sa.Boolean))


def _forms(where: Mapping[str, Where]) -> tuple[tuple[tuple[str, str, int], ...], list[Any]]:
    """The form of each condition, and their values by position."""
    forms: list[tuple[str, str, int]] = []
    given: list[Any] = []
    for name, value in where.items():
        if isinstance(value, Above):
            forms.append((name, ">", 1))
            given.append(value.value)
        elif isinstance(value, (list, tuple)):
            # Lists of similar length share one statement: the last value fills up to a power of two.
            size = 1 << max(len(value) - 1, 0).bit_length()
            forms.append((name, "in", size))
            given.extend([*value, *[value[-1]] * (size - len(value))])
        else:
            forms.append((name, "=", 1))
            given.append(value)
    return tuple(forms), given


@lru_cache(maxsize=256)
def _select_text(
    event_type: type[Event], names: tuple[str, ...], forms: tuple[tuple[str, str, int], ...], dialect: Any
) -> str:
    table = EVENT_TABLES[event_type]
    query = sa.select(*[table.c[n] for n in names])
    for number, (name, form, size) in enumerate(forms):
        column = table.c[name]
        binds = [sa.bindparam(f"p{number}_{i}", type_=column.type) for i in range(size)]
        query = query.where(
            column.in_(binds) if form == "in" else column > binds[0] if form == ">" else column == binds[0]
        )
    return str(query.compile(dialect=dialect))


@lru_cache(maxsize=64)
def _distinct_text(event_type: type[Event], name: str, restricted: bool, dialect: Any) -> str:  # noqa: FBT001 - a key
    table = EVENT_TABLES[event_type]
    column, newest = table.c[name], table.alias()
    first = sa.select(sa.func.min(column).label("value")).cte("hop", recursive=True)
    after = sa.select(sa.select(sa.func.min(column)).where(column > first.c.value).scalar_subquery())
    hop = first.union_all(after.where(first.c.value.is_not(None)))
    query = sa.select(hop.c.value).where(hop.c.value.is_not(None))
    if restricted:
        since = sa.bindparam("since", type_=sa.BigInteger)
        query = query.where(sa.exists().where(newest.c[name] == hop.c.value, newest.c.revision > since))
    return str(query.compile(dialect=dialect))


@lru_cache(maxsize=4)
def _sources_text(dialect: Any) -> str:
    own = EVENT_SOURCE.c
    return str(sa.select(own.source).where(own.kind == sa.bindparam("k")).compile(dialect=dialect))


@lru_cache(maxsize=4)
def _moved_text(dialect: Any) -> str:
    own = EVENT_MOVED.c
    query = sa.select(own.left).where(own.kind == sa.bindparam("k"), own.revision > sa.bindparam("r"))
    return str(query.compile(dialect=dialect))
