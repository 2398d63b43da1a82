"""Events that are kept no longer: those of a kind dated before a time, which only moves on.

They go in small transactions, so that nobody waits. What was derived from them stays as it is: nothing is noted as
changed, and a derivation replaces nothing that rests on them. One that is told of again is not kept again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from collector.events import Event, kind_of
from collector.store.database import Database
from collector.store.dialects import greatest, insert
from collector.store.events import EventStore, Forgotten
from collector.store.tables import BELONGS_TO, DATED_BY, EVENT_TABLES, FORGOTTEN, REMOVED, STAYS

_BATCH = 1_000


class RetentionStore:
    """Prunes events; others may work on the store meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._events = EventStore(database)

    def told(self) -> dict[str, Forgotten]:
        """What is kept no longer, by kind; kinds of which everything is kept are absent."""
        return self._events.forgotten()

    def due(self, event_type: type[Event], before: int) -> int:
        """How many events pruning would delete. Reads of each piece what is older."""
        return sum(self._count(event_type, name, before) for name in self._names(event_type))

    def prune(self, event_type: type[Event], before: int) -> Iterator[int]:
        """Delete the events of a kind dated before a time, some at a time: how many, after each transaction.

        From the first on none that is so old is taken in. Of what says how a piece went on, the last stays.
        """
        if event_type not in DATED_BY:
            raise ValueError(f"events of the kind {kind_of(event_type)} have no time by which they could be pruned")
        self._begin(event_type, before)
        for name in self._names(event_type):
            stays = self._stays(event_type, name, before)
            while ids := self._older(event_type, name, before, stays):
                yield self._delete(event_type, ids, before)
                if len(ids) < _BATCH:
                    break

    def _names(self, event_type: type[Event]) -> list[str]:
        return self._events.distinct(event_type, _piece(event_type).name)

    def _begin(self, event_type: type[Event], before: int) -> None:
        """Take in none that is older from now on; it never becomes less."""
        kind = kind_of(event_type)
        statement = insert(FORGOTTEN).values(kind=kind, before=before, pruned=0, ignored=0)
        later = greatest(statement.excluded.before, FORGOTTEN.c.before)
        with self._database.transaction() as transaction:
            transaction.execute(statement.on_conflict_do_update(index_elements=["kind"], set_={"before": later}))
            old = (REMOVED.c.kind == kind) & (REMOVED.c.removed_at < before)
            transaction.execute(sa.delete(REMOVED).where(old))

    def _older(self, event_type: type[Event], name: str, before: int, stays: Sequence[str]) -> list[str]:
        own = EVENT_TABLES[event_type].c
        query = sa.select(own.id).where(*_older(event_type, name, before), own.id.not_in(stays))
        with self._database.reading() as connection:
            return list(connection.scalars(query.order_by(_dated(event_type)).limit(_BATCH)))

    def _delete(self, event_type: type[Event], ids: Sequence[str], before: int) -> int:
        table, kind = EVENT_TABLES[event_type], kind_of(event_type)
        with self._database.transaction() as transaction:
            # One may have been dated anew since it was looked for.
            own = sa.delete(table).where(table.c.id.in_(ids), _dated(event_type) < before)
            gone: int = transaction.execute(own).rowcount
            counted = sa.update(FORGOTTEN).where(FORGOTTEN.c.kind == kind)
            transaction.execute(counted.values(pruned=FORGOTTEN.c.pruned + gone))
        return gone

    def _count(self, event_type: type[Event], name: str, before: int) -> int:
        query = sa.select(sa.func.count()).where(*_older(event_type, name, before))
        with self._database.reading() as connection:
            older = int(connection.scalar(query) or 0)
        return older - len(self._stays(event_type, name, before)) if older else 0

    def _stays(self, event_type: type[Event], name: str, before: int) -> list[str]:
        """The events before a time from which a piece goes on after it."""
        own, found = EVENT_TABLES[event_type].c, set[str]()
        with self._database.reading() as connection:
            for condition in _staying(event_type):
                query = sa.select(own.id).where(*_older(event_type, name, before), condition)
                newest = query.order_by(_dated(event_type).desc(), own.id.desc()).limit(1)
                found |= set(connection.scalars(newest))
        return sorted(found)


def _piece(event_type: type[Event]) -> Any:
    """The column that says which piece an event belongs to; its index has the time behind it."""
    (name,) = BELONGS_TO[event_type]
    return EVENT_TABLES[event_type].c[name]


def _dated(event_type: type[Event]) -> Any:
    return EVENT_TABLES[event_type].c[DATED_BY[event_type][0]]


def _older(event_type: type[Event], name: str, before: int) -> tuple[Any, Any]:
    return _piece(event_type) == name, _dated(event_type) < before


def _staying(event_type: type[Event]) -> Iterator[Any]:
    """The conditions of which each keeps the last event that fits."""
    if event_type in STAYS:
        yield sa.true()
        yield from (EVENT_TABLES[event_type].c[name] == sa.true() for name in STAYS[event_type])
