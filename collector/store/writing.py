"""Events into their tables: of versions the later one, with the kind's next revision, and what left its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from collector.erasure import Erased
from collector.events import Commit, Event, event_ids, kind_of
from collector.store.columns import Same, Values, columns_of, encoder, to_micros
from collector.store.database import Transaction
from collector.store.dialects import among, elements, insert
from collector.store.noted import Names
from collector.store.tables import (
    BELONGS_TO,
    DATED_BY,
    ERASED_PERSON,
    EVENT_MOVED,
    EVENT_SOURCE,
    EVENT_TABLES,
    FORGOTTEN,
    FOUND_BY_NAME,
    KIND_REVISION,
    NAMED,
)

_PART = 1_000
"""So many events are on their way at once: what was read of them is still near when it is written."""


def write_events(transaction: Transaction, events: Iterable[Event]) -> int:
    """Keep events; how many were new or newer than the stored version: see `EventStore.write`."""
    erased = transaction.execute(_ERASED).scalars().all()
    if erased:
        events = Erased(erased).among(events)
    kinds = by_type(events)
    if any(event_type in DATED_BY for event_type, _ in kinds):
        kinds = [(event_type, own) for event_type, all_of in kinds if (own := _kept(transaction, event_type, all_of))]
    return sum(_write_kind(transaction, event_type, own) for event_type, own in kinds)


def _kept(transaction: Transaction, event_type: type[Event], events: list[Event]) -> list[Event]:
    """Those of some events of a kind that are not older than what is kept of it; the others are counted."""
    if event_type not in DATED_BY:
        return events
    kind, dated = kind_of(event_type), DATED_BY[event_type][0]
    before: int | None = transaction.execute(_BEFORE, {"kind": kind}).scalar()
    if before is None:
        return events
    kept = [event for event in events if to_micros(getattr(event, dated)) >= before]
    if ignored := len(events) - len(kept):
        counted = sa.update(FORGOTTEN).where(FORGOTTEN.c.kind == kind)
        transaction.execute(counted.values(ignored=FORGOTTEN.c.ignored + ignored))
    return kept


def by_type(events: Iterable[Event]) -> list[tuple[type[Event], list[Event]]]:
    """Events by their type, in the order of its name; of one type as they came."""
    all_of = list(events)
    found = sorted(set(map(type, all_of)), key=lambda one: one.__name__)
    if len(found) == 1:
        return [(found[0], all_of)]
    return [(event_type, [event for event in all_of if type(event) is event_type]) for event_type in found]


def next_revision(transaction: Transaction, event_type: type[Event]) -> int:
    """The revision that the next change of a kind gets."""
    last: int | None = transaction.execute(_REVISION_OF, {"kind": kind_of(event_type)}).scalar()
    return 1 + (last or 0)


def set_revision(transaction: Transaction, event_type: type[Event], revision: int) -> None:
    """Remember the revision that the last change of a kind got."""
    statement = insert(KIND_REVISION).values(kind=kind_of(event_type), revision=revision)
    transaction.execute(statement.on_conflict_do_update(index_elements=["kind"], set_={"revision": revision}))


_ERASED = sa.select(ERASED_PERSON.c.mark)
_BEFORE = sa.select(FORGOTTEN.c.before).where(FORGOTTEN.c.kind == sa.bindparam("kind"))
_REVISION_OF = sa.select(KIND_REVISION.c.revision).where(KIND_REVISION.c.kind == sa.bindparam("kind"))


def _write_kind(transaction: Transaction, event_type: type[Event], events: Sequence[Event]) -> int:
    revision = next_revision(transaction, event_type)
    names, upsert, encode = _writing(event_type)
    table = EVENT_TABLES[event_type]
    if revision == 1:
        transaction.begin(table, len(events))
    if event_type in FOUND_BY_NAME:
        _note_sources(transaction, event_type, events)
    ids = event_ids(kind_of(event_type), events)
    taken = transaction.written(table)
    # Nobody has derived anything yet from what this transaction itself began to write.
    asked = taken is None if transaction.copies else not transaction.is_fresh(table) and bool(_place(event_type))
    before = _stored(transaction, event_type, ids) if asked else {}

    def parts() -> Iterator[list[Values]]:
        for start in range(0, len(events), _PART):
            end = start + _PART
            yield [ids[start:end], *encode(events[start:end]), Same(revision)]

    empty = _empty(event_type, events) if transaction.copies and len(events) >= _PART else ()
    changed = transaction.write_columns(
        upsert, names, parts(), set(map(hash, before)) if taken is None else taken, empty
    )
    if changed:
        set_revision(transaction, event_type, revision)
        transaction.note(kind_of(event_type), revision, _names(event_type, events))
        if not transaction.is_fresh(table):
            _note_moves(transaction, event_type, revision, before)
    return changed


def _names(event_type: type[Event], events: Iterable[Event]) -> Names:
    """By column the names that some events have there."""
    found = {column: set(map(attrgetter(column), events)) for column in NAMED.get(event_type, ())}
    for names in found.values():
        names.discard(None)
    return found


def _empty(event_type: type[Event], events: Sequence[Event]) -> tuple[str, ...]:
    """The columns that none of some events fills."""
    first, last = events[0], events[-1]
    names = (c.name for c in columns_of(event_type) if c.nullable)
    maybe = [name for name in names if getattr(first, name) is None and getattr(last, name) is None]
    return tuple(name for name in maybe if all(value is None for value in map(attrgetter(name), events)))


def _note_sources(transaction: Transaction, event_type: type[Event], events: Sequence[Event]) -> None:
    kind = kind_of(event_type)
    rows = [{"kind": kind, "source": source} for source in sorted({event.source for event in events})]
    transaction.execute(insert(EVENT_SOURCE).on_conflict_do_nothing(), rows)


@cache
def _writing(event_type: type[Event]) -> tuple[list[str], Any, Callable[[Sequence[Event]], list[Values]]]:
    """The column names, the upsert and the encoder of a kind."""
    table, columns = EVENT_TABLES[event_type], columns_of(event_type)
    names = ["id", *(c.name for c in columns), "revision"]
    statement = insert(table).values({n: sa.bindparam(n) for n in names})

    def comparable(side: Any) -> Any:
        terms: list[Any] = []
        for c in sorted(columns, key=lambda c: c.name != "updated_at"):
            if c.nullable:  # NULL has no place in an order, and the least of values must not be taken for it
                terms.append(side[c.name].is_not(None))
            terms.append(sa.func.coalesce(side[c.name], _literal(c.least)))
        return sa.tuple_(*terms)

    upsert = statement.on_conflict_do_update(
        index_elements=["id"],
        set_={n: statement.excluded[n] for n in names[1:]},
        where=comparable(statement.excluded) > comparable(table.c),
    )
    return names, upsert, encoder(event_type)


def _literal(least: Any) -> Any:
    if isinstance(least, bool):
        return sa.true() if least else sa.false()
    return sa.literal_column("''" if isinstance(least, str) else repr(least))


@cache
def _place(event_type: type[Event]) -> tuple[str, ...]:
    """The columns that say where an event belongs: its pieces, then its time in those derived from a time on.

    None for commits, which never move.
    """
    if event_type is Commit:
        return ()
    return (*BELONGS_TO.get(event_type, ()), *DATED_BY.get(event_type, ()))


def _stored(transaction: Transaction, event_type: type[Event], ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """For those of some events that are stored already: where they belong."""
    text = _places_text(event_type, False, transaction.dialect)
    return {row[0]: row[1:] for row in transaction.rows(text, (listed(ids),))}


def _note_moves(
    transaction: Transaction, event_type: type[Event], revision: int, before: Mapping[str, tuple[Any, ...]]
) -> None:
    """Remember which places lost an event with this revision. One that is dated anew leaves all of its places."""
    if not before or not _place(event_type):
        return
    pieces, left = len(BELONGS_TO[event_type]), set[str]()
    text = _places_text(event_type, True, transaction.dialect)
    for identity, *now in transaction.rows(text, (listed(list(before)), revision)):
        was = before[identity]
        moved = was[pieces:] != tuple(now[pieces:])
        left |= {old or "" for old, new in zip(was[:pieces], now, strict=False) if moved or old != new}
    if left:
        rows = [{"kind": kind_of(event_type), "revision": revision, "left": name} for name in sorted(left)]
        transaction.execute(insert(EVENT_MOVED), rows)


def listed(ids: Sequence[str]) -> str:
    """Keys as the one value `ids` of a statement: see `is_asked`."""
    return msgspec.json.encode(ids).decode()


_ASKED = elements(sa.bindparam("ids", type_=sa.Text)).table_valued("value", name="asked")
_ASKED_IDS = sa.select(_ASKED.c.value).scalar_subquery()


def is_asked(column: Any) -> Any:
    """Whether a key is among those of the value `ids`: one statement however many they are."""
    return among(column, _ASKED_IDS)


@lru_cache(maxsize=64)
def _places_text(event_type: type[Event], of_a_revision: bool, dialect: Any) -> str:  # noqa: FBT001 - a key
    own = EVENT_TABLES[event_type].c
    query = sa.select(own.id, *(own[name] for name in _place(event_type))).where(is_asked(own.id))
    if of_a_revision:
        query = query.where(own.revision == sa.bindparam("revision"))
    return str(query.compile(dialect=dialect))
