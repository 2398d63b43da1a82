"""What is deleted for good: a source with all that came from it, and a person's every trace.

Events go in batches, each a transaction, so that others write and read in between. Each batch notes what it touched as
any other change of events does; and families of these kinds are derived anew as a whole, because what had been derived
from them may be in any state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.erasure import Erased, mark_of
from collector.events import EVENT_TYPES, TYPE_OF_KIND, AnyEvent, Event, kind_of
from collector.events import Collection as CollectionEvent
from collector.people import PERSON_PREFIX
from collector.store.columns import columns_of, decoder
from collector.store.database import Database, Transaction
from collector.store.dialects import POSTGRESQL, insert
from collector.store.events import EventStore
from collector.store.tables import (
    BELONGS_TO,
    CURSOR,
    DERIVATION,
    ERASED_PERSON,
    EVENT_MOVED,
    EVENT_SOURCE,
    EVENT_TABLES,
    FORGOTTEN,
    INBOX,
    METADATA,
    OBSERVATION,
    PIECE,
    QUARANTINE,
    REMOVED,
    REPORT_DELIVERY,
    RESTATEMENT,
    SERIES,
    SOURCE_RUN,
)
from collector.store.writing import next_revision, set_revision

_BATCH = 5_000
_ASKED_AT_ONCE = 500
_TOLD_OF_SOURCE = (CURSOR, SOURCE_RUN, INBOX, QUARANTINE, REMOVED, EVENT_SOURCE)
"""What holds a source's own beside its events."""
_WAITING = msgspec.json.Decoder(list[AnyEvent])


@dataclass(frozen=True, order=True)
class Traces:
    """How many rows of a table hold what is looked for."""

    table: str
    rows: int


class Deletion:
    """Deletes from a store; others may work on it meanwhile. What was derived is derived anew by the engine."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._events = EventStore(database)

    # --- a source --------------------------------------------------------------------------------------

    def source_rows(self, name: str) -> list[Traces]:
        """How many rows of which table are a source's own, tables without any left out. Reads whole tables."""
        with self._database.reading() as connection:
            counted = [(table.name, _count(connection, table, condition)) for table, condition in _of_source(name)]
        return sorted(Traces(table, rows) for table, rows in counted if rows)

    def source(self, name: str) -> None:
        """Delete a source: its cursor, runs, deliveries and records first, then what it reported.

        A run of it that began before finds its cursor gone, and keeps nothing more.
        """
        own = {table.name for table in _TOLD_OF_SOURCE}
        with self._database.transaction() as transaction:
            for table, condition in _of_source(name):
                if table.name in own:
                    transaction.execute(sa.delete(table).where(condition))
            _forget_judged(transaction, name)
        for event_type in EVENT_TYPES:
            field = "collector" if event_type is CollectionEvent else "source"
            self._delete(event_type, EVENT_TABLES[event_type].c[field] == name)

    def _delete(self, event_type: type[Event], condition: Any) -> None:
        for ids in self._batches(event_type, condition):
            with self._database.transaction() as transaction:
                _forget_events(transaction, event_type, ids)
                _derive_anew(transaction, [kind_of(event_type)])
                for some in _parts(ids, _ASKED_AT_ONCE):
                    transaction.execute(sa.delete(RESTATEMENT).where(RESTATEMENT.c.unit.in_(some)))

    def _batches(self, event_type: type[Event], condition: Any) -> Iterator[list[str]]:
        """The ids of events, some at a time, in their order: one pass over the table."""
        own, last = EVENT_TABLES[event_type].c, ""
        while True:
            query = sa.select(own.id).where(own.id > last, condition).order_by(own.id).limit(_BATCH)
            with self._database.reading() as connection:
                ids = list(connection.scalars(query))
            if not ids:
                return
            yield ids
            last = ids[-1]

    def after_source(self, name: str, since: int) -> None:
        """Once all is derived anew: forget the series of a source, and the restatements that its deletion made.

        `since`: the last restatement before (`last_restatement`). What was judged of others is restated as ever.
        """
        with self._database.reading() as connection:
            query = sa.select(RESTATEMENT.c.id, RESTATEMENT.c.unit).where(RESTATEMENT.c.id > since)
            made = {number: unit for number, unit in connection.execute(query) if unit}
        known = self._events.find(sorted(set(made.values())))
        gone = [number for number, unit in made.items() if unit not in known]
        with self._database.transaction() as transaction:
            for some in _parts(gone, _ASKED_AT_ONCE):
                transaction.execute(sa.delete(RESTATEMENT).where(RESTATEMENT.c.id.in_(some)))
            _forget_series(transaction, SERIES.c.source == name)

    def last_restatement(self) -> int:
        """The number of the newest line in the log of restatements; 0 without any."""
        with self._database.reading() as connection:
            return int(connection.scalar(sa.select(sa.func.max(RESTATEMENT.c.id))) or 0)

    # --- a person --------------------------------------------------------------------------------------

    def traces(self, people: Collection[str]) -> list[Traces]:
        """How many rows of each table hold one of some keyed hashes, in any column of text or bytes.

        Reads everything that is stored.
        """
        with self._database.reading() as connection:
            return [
                Traces(t.name, _count(connection, t, _holding(t, people, connection))) for t in METADATA.sorted_tables
            ]

    def person(self, people: Collection[str]) -> None:
        """Erase keyed hashes of somebody from everything that was collected, and remember not to keep them again.

        In events they become nobody, as where a source does not say who it was; memberships and milestones go.
        """
        marks = [{"mark": mark_of(person)} for person in sorted(people)]
        with self._database.transaction(flushed=True) as transaction:
            transaction.execute(insert(ERASED_PERSON).on_conflict_do_nothing(), marks)
            self._deliveries(transaction, people)
            if families := _without_events(transaction):
                own = sa.select(SERIES.c.id).where(SERIES.c.family.in_(list(families)))
                holding = _holding(OBSERVATION, people, transaction.connection)
                transaction.execute(sa.delete(OBSERVATION).where(OBSERVATION.c.series_id.in_(own), holding))
                _derive_pruned_anew(transaction)
        erased = Erased([one["mark"] for one in marks])
        for event_type in EVENT_TYPES:
            with self._database.reading() as connection:
                condition = _holding(EVENT_TABLES[event_type], people, connection)
            for ids in self._batches(event_type, condition):
                with self._database.transaction() as transaction:
                    self._anonymise(transaction, event_type, ids, erased)
        with self._database.transaction() as transaction:
            _removed_without(transaction, people, erased)

    def _anonymise(self, transaction: Transaction, event_type: type[Event], ids: Sequence[str], erased: Erased) -> None:
        table, decode = EVENT_TABLES[event_type], decoder(event_type)
        own = [table.c[column.name] for column in columns_of(event_type)]
        found: list[Event] = []
        for some in _parts(ids, _ASKED_AT_ONCE):
            found += [decode(row) for row in transaction.execute(sa.select(*own).where(table.c.id.in_(some)))]
        _forget_events(transaction, event_type, ids)
        self._events.write(transaction, erased.among(found))
        _derive_anew(transaction, [kind_of(event_type)])

    def _deliveries(self, transaction: Transaction, people: Collection[str]) -> None:
        """Write the waiting deliveries anew that hold one of some people."""
        erased = Erased([mark_of(person) for person in people])
        digits = [_digits(person).encode() for person in people]
        waiting = transaction.execute(sa.select(INBOX).where(INBOX.c.events.is_not(None))).all()
        for row in waiting:
            if not any(one in row.events for one in digits):
                continue
            same = (INBOX.c.source == row.source) & (INBOX.c.delivery == row.delivery)
            left = msgspec.json.encode(erased.among(_WAITING.decode(row.events)))
            transaction.execute(sa.update(INBOX).where(same).values(events=left))

    def after_person(self, people: Collection[str]) -> None:
        """Once all is derived anew: forget what still holds one of some keyed hashes."""
        with self._database.transaction() as transaction:
            connection = transaction.connection
            for table in (OBSERVATION, RESTATEMENT, EVENT_MOVED, PIECE, QUARANTINE, CURSOR, INBOX):
                transaction.execute(sa.delete(table).where(_holding(table, people, connection)))
            _forget_series(transaction, _holding(SERIES, people, connection))
            for table in _TOLD:
                _masked(transaction, table, people)


_TOLD = (SOURCE_RUN, REPORT_DELIVERY)
"""What went wrong stands there in words, which may be those of others."""


def _of_source(name: str) -> list[tuple[sa.Table, Any]]:
    """The tables that hold what is a source's own, with the condition that it is."""
    own = [(table, table.c.source == name) for table in _TOLD_OF_SOURCE]
    events = [
        (t, t.c["collector" if kind is CollectionEvent else "source"] == name) for kind, t in EVENT_TABLES.items()
    ]
    return [*own, *events]


def _count(connection: Connection, table: sa.Table, condition: Any) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(table).where(condition)) or 0)


def _parts(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _forget_events(transaction: Transaction, event_type: type[Event], ids: Sequence[str]) -> None:
    """Delete events, noting what they belonged to as touched."""
    table, kind = EVENT_TABLES[event_type], kind_of(event_type)
    revision = next_revision(transaction, event_type)
    left: set[str] = set()
    for some in _parts(ids, _ASKED_AT_ONCE):
        for name in BELONGS_TO.get(event_type, ()):
            places = transaction.execute(sa.select(table.c[name]).where(table.c.id.in_(some)).distinct())
            left |= {place or "" for place in places.scalars()}
        transaction.execute(sa.delete(table).where(table.c.id.in_(some)))
    set_revision(transaction, event_type, revision)
    if left:
        rows = [{"kind": kind, "revision": revision, "left": name} for name in sorted(left)]
        transaction.execute(insert(EVENT_MOVED).on_conflict_do_nothing(), rows)


def _derive_anew(transaction: Transaction, kinds: Iterable[str]) -> None:
    """Forget of families that read one of some kinds what they were derived from: they begin with nothing."""
    wanted = set(kinds)
    for family, inputs in transaction.execute(sa.select(DERIVATION.c.family, DERIVATION.c.inputs)).all():
        if wanted & set(msgspec.json.decode(inputs)):
            transaction.execute(sa.delete(DERIVATION).where(DERIVATION.c.family == family))


def _without_events(transaction: Transaction) -> dict[str, set[str]]:
    """The families that read a kind of which old events were pruned, with the kinds that they read.

    No event tells any more what their old observations rest on.
    """
    pruned = set(transaction.execute(sa.select(FORGOTTEN.c.kind)).scalars())
    derived = transaction.execute(sa.select(DERIVATION.c.family, DERIVATION.c.inputs)).all()
    reads = {family: set(msgspec.json.decode(inputs)) for family, inputs in derived}
    return {family: kinds for family, kinds in reads.items() if pruned & kinds}


def _forget_judged(transaction: Transaction, name: str) -> None:
    """Where events were pruned, delete what a source was judged by, alone or with others: the rest is judged anew."""
    families = _without_events(transaction)
    if not families:
        return
    own = SERIES.c
    found = transaction.execute(
        sa.select(own.id, own.family, own.scope, own.source).where(own.family.in_(list(families)))
    ).all()
    runs = {family for family, kinds in families.items() if kind_of(CollectionEvent) in kinds}
    # What runs of a source are judged by is a piece of its name.
    gone = [r.id for r in found if name in r.source.split("+") or (r.family in runs and r.scope == name)]
    for some in _parts(gone, _ASKED_AT_ONCE):
        transaction.execute(sa.delete(OBSERVATION).where(OBSERVATION.c.series_id.in_(some)))
    _derive_pruned_anew(transaction)


def _derive_pruned_anew(transaction: Transaction) -> None:
    """Have families that read pruned kinds derived anew, and have others see that they were."""
    for kind in transaction.execute(sa.select(FORGOTTEN.c.kind)).scalars().all():
        event_type = TYPE_OF_KIND[kind]
        set_revision(transaction, event_type, next_revision(transaction, event_type))
        _derive_anew(transaction, [kind])


def _forget_series(transaction: Transaction, condition: Any) -> None:
    """Delete series that have no observation any more. The last number is not given again: its row stays, empty."""
    empty = ~sa.exists().where(OBSERVATION.c.series_id == SERIES.c.id)
    texts = [column.name for column in SERIES.columns if column.name != "id"]
    last = transaction.execute(sa.select(sa.func.max(SERIES.c.id))).scalar()
    blank = sa.and_(*(SERIES.c[name] == "" for name in texts))
    gone = list(transaction.execute(sa.select(SERIES.c.id).where(empty, condition | blank)).scalars())
    for some in _parts([number for number in gone if number != last], _ASKED_AT_ONCE):
        transaction.execute(sa.delete(SERIES).where(SERIES.c.id.in_(some)))
    if last in gone:
        transaction.execute(sa.update(SERIES).where(SERIES.c.id == last).values(dict.fromkeys(texts, "")))


def _removed_without(transaction: Transaction, people: Collection[str], erased: Erased) -> None:
    """Write the events that their source deleted anew, without some people."""
    holding = _holding(REMOVED, people, transaction.connection)
    for row in transaction.execute(sa.select(REMOVED).where(holding)).all():
        event = msgspec.json.decode(row.event, type=TYPE_OF_KIND[row.kind])
        left, same = erased.without(event), REMOVED.c.id == row.id
        if left is None:
            transaction.execute(sa.delete(REMOVED).where(same))
        else:
            text = msgspec.json.encode(left).decode()
            transaction.execute(sa.update(REMOVED).where(same).values(event=text))


def _digits(person: str) -> str:
    return person.removeprefix(PERSON_PREFIX)


def _holding(table: sa.Table, people: Collection[str], connection: Connection) -> Any:
    """The condition that a row holds one of some people in a column of text or bytes."""
    shared = connection.dialect.name == POSTGRESQL
    find = sa.func.strpos if shared else sa.func.instr
    found: list[Any] = []
    for column in table.columns:
        for digits in map(_digits, sorted(people)):
            if isinstance(column.type, sa.LargeBinary):
                # Bytes that are no text stand there escaped, which changes no digit.
                text = sa.func.encode(column, "escape") if shared else column
                sought: Any = digits if shared else sa.literal(digits.encode(), sa.LargeBinary)
                found.append(find(text, sought) > 0)
            elif isinstance(column.type, sa.Text):
                found.append(find(column, digits) > 0)
    return sa.or_(*found) if found else sa.false()


def _masked(transaction: Transaction, table: sa.Table, people: Collection[str]) -> None:
    """Take some keyed hashes out of the texts of a table, but for its keys."""
    texts = [c for c in table.columns if isinstance(c.type, sa.Text) and not c.primary_key]
    for digits in map(_digits, people):
        values = {column.name: sa.func.replace(column, digits, "…") for column in texts}
        holding = _holding(table, [digits], transaction.connection)
        transaction.execute(sa.update(table).where(holding).values(values))
