"""Deliveries of webhooks: kept before they are answered, then written as events, each once.

A delivery waits with its events in the table `inbox`. Draining writes the events and empties the row in one
transaction, so that a crash at any point loses nothing and doubles nothing. The ids stay for a while: a delivery that
is sent again changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from collector.errors import BadRecord
from collector.events import AnyEvent, Event, happened_at
from collector.pushed import Join, cursor_of
from collector.store.columns import columns_of, decoder, from_micros, to_micros
from collector.store.database import Database, Transaction
from collector.store.dialects import insert
from collector.store.events import EventStore
from collector.store.tables import EVENT_TABLES, INBOX, SOURCE_RUN
from collector.store.writing import by_type

_MOST_DELIVERIES = 500
_MOST_BYTES = 16 << 20
"""How much is written in one transaction, so that others may write in between."""
_ASKED_AT_ONCE = 500
_EVENTS = msgspec.json.Decoder(list[AnyEvent])


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A delivery as it is kept. `delivery` is its id; without one it leaves no trace but what it had rejected.

    `received_at` is in microseconds since 1970 UTC. `events` are those of `packed`; None where there are none.
    """

    source: str
    delivery: str
    received_at: int
    events: bytes | None = None
    rejected: Sequence[BadRecord] = ()
    ignored: str = ""

    @property
    def size(self) -> int:
        """About how many bytes it takes while it waits."""
        return len(self.events or b"") + 200 * (1 + len(self.rejected))


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What was written for a source: how many deliveries and events, and how many of these changed something."""

    source: str
    deliveries: int
    events: int
    changed: int


class _Waiting(NamedTuple):
    source: str
    delivery: str
    received_at: int
    events: bytes


def packed(events: Sequence[Event]) -> bytes | None:
    """Events as they wait; None for none."""
    return msgspec.json.encode(events) if events else None


class InboxStore:
    """Keeps deliveries, and writes their events."""

    def __init__(self, database: Database, events: EventStore) -> None:
        self._database, self._events = database, events

    def keep(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Keep deliveries on the disk, all or none: for each, whether it is new. Raises StoreError."""
        with self._database.transaction(flushed=True) as transaction:
            known = _known(transaction, arrivals)
            found = []
            for one in arrivals:
                key = one.source, one.delivery
                found.append(key not in known)
                if one.delivery:
                    known.add(key)
            new = [one for one, is_new in zip(arrivals, found, strict=True) if is_new]
            rows = ((a.source, a.delivery, a.received_at, a.events) for a in new if a.delivery)
            transaction.write_rows(_INSERT, _NAMES, rows)
            for source, own in _by_source(new).items():
                self._set_aside(transaction, source, own)
        return found

    def _set_aside(self, transaction: Transaction, source: str, arrivals: Sequence[Arrival]) -> None:
        """What could not be used, and one line for each reason why something was ignored: nothing vanishes."""
        rejected = [record for one in arrivals for record in one.rejected]
        ignored = {one.ignored: BadRecord(f"webhook: {one.ignored}", "ignored") for one in arrivals if one.ignored}
        self._events.reject(transaction, source, [*rejected, *ignored.values()])
        if rejected:
            at = max(one.received_at for one in arrivals)
            _count(transaction, source, at, {"rejected_total": len(rejected)})

    def waiting(self) -> int:
        """How many deliveries wait to be written."""
        query = sa.select(sa.func.count()).select_from(INBOX).where(INBOX.c.events.is_not(None))
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def oldest(self) -> int | None:
        """When the delivery came that waits longest to be written, in microseconds since 1970 UTC; None without one."""
        query = sa.select(sa.func.min(INBOX.c.received_at)).where(INBOX.c.events.is_not(None))
        with self._database.reading() as connection:
            found = connection.scalar(query)
        return None if found is None else int(found)

    def drain(self, only_told: Mapping[str, Join | None], at: int) -> list[Drained]:
        """Write the events of the deliveries that came first; nothing once none waits. Raises StoreError.

        `only_told`: the sources that have no other input, with what joins parts of an event. For them a delivery is a
        run that succeeded at this time (microseconds), and the cursor says when it came.
        """
        if not self.waiting():
            return []
        with self._database.transaction() as transaction:
            batch = _first(transaction)
            done = [
                self._write(transaction, source, own, only_told, at)
                for source, own in _by_source(sorted(batch, key=attrgetter("source"))).items()
            ]
            transaction.run_many(_marking(transaction.dialect), [(one.source, one.delivery) for one in batch])
        return done

    def _write(
        self,
        transaction: Transaction,
        source: str,
        deliveries: Sequence[_Waiting],
        only_told: Mapping[str, Join | None],
        at: int,
    ) -> Drained:
        told, unreadable = _unpacked(deliveries)
        join = only_told.get(source)
        events = told if join is None else _joined(transaction, told, join)
        changed = self._events.write(transaction, events)
        self._events.reject(transaction, source, unreadable)
        sums = {"events_total": len(told), "changed_total": changed, "rejected_total": len(unreadable)}
        happened = max((to_micros(happened_at(event)) for event in told), default=None)
        _count(transaction, source, at, sums, newest_event_at=happened, success=source in only_told)
        if source in only_told:
            newest = max(one.received_at for one in deliveries)
            self._events.set_cursor(transaction, source, cursor_of(from_micros(newest)))
        return Drained(source=source, deliveries=len(deliveries), events=len(told), changed=changed)

    def forget(self, before: int) -> int:
        """Forget the ids of deliveries that were written and came before a time (microseconds); how many."""
        old = sa.delete(INBOX).where(INBOX.c.events.is_(None), INBOX.c.received_at < before)
        with self._database.transaction() as transaction:
            return max(int(transaction.execute(old).rowcount), 0)


_NAMES = ("source", "delivery", "received_at", "events")
_INSERT = insert(INBOX).values({name: sa.bindparam(name) for name in _NAMES})


def _by_source(ordered: Sequence[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for one in ordered:
        found[one.source].append(one)
    return found


def _known(transaction: Transaction, arrivals: Sequence[Arrival]) -> set[tuple[str, str]]:
    """Which of the deliveries came before."""
    known: set[tuple[str, str]] = set()
    for source, own in _by_source(arrivals).items():
        ids = [one.delivery for one in own]
        for start in range(0, len(ids), _ASKED_AT_ONCE):
            part = ids[start : start + _ASKED_AT_ONCE]
            query = sa.select(INBOX.c.delivery).where(INBOX.c.source == source, INBOX.c.delivery.in_(part))
            known |= {(source, delivery) for (delivery,) in transaction.execute(query)}
    return known


def _first(transaction: Transaction) -> list[_Waiting]:
    """The deliveries that came first, as many as one transaction takes."""
    own = [INBOX.c[name] for name in _NAMES]
    query = sa.select(*own).where(INBOX.c.events.is_not(None)).order_by(INBOX.c.received_at).limit(_MOST_DELIVERIES)
    batch: list[_Waiting] = []
    size = 0
    with transaction.execute(query) as rows:
        for row in rows:
            batch.append(_Waiting(*row))
            size += len(row.events)
            if size >= _MOST_BYTES:
                break
    return batch


def _marking(dialect: Any) -> str:
    """The statement that empties a delivery, for the dialect."""
    statement = sa.update(INBOX).where(INBOX.c.source == sa.bindparam("s"), INBOX.c.delivery == sa.bindparam("d"))
    return str(statement.values(events=sa.null()).compile(dialect=dialect))


def _unpacked(deliveries: Sequence[_Waiting]) -> tuple[list[Event], list[BadRecord]]:
    """The events that wait, in their order. What another version of Paceline kept may not be readable."""
    events: list[Event] = []
    unreadable: list[BadRecord] = []
    for one in deliveries:
        try:
            events += _EVENTS.decode(one.events)
        except msgspec.MsgspecError:
            reason = "another version of Paceline kept it in a way that this one cannot read"
            unreadable.append(BadRecord(f"delivery {one.delivery}", reason))
    return events, unreadable


def _joined(transaction: Transaction, told: Sequence[Event], join: Join) -> list[Event]:
    """What is told of events, joined with what is stored of them, and what follows from it."""
    own = _folded(transaction, told, join)
    settled = join.settle(list(own.values()))
    more = _folded(transaction, [event for event in settled if event.id not in own], join)
    return [*(event for event in settled if event.id in own), *(now for _, now in more.values())]


def _folded(transaction: Transaction, told: Sequence[Event], join: Join) -> dict[str, tuple[Event | None, Event]]:
    """By their ids, events as they are stored, and joined with what is told of them."""
    stored = {event.id: event for kind, own in by_type(told) for event in _stored(transaction, kind, own)}
    now = dict(stored)
    for event in told:
        before = now.get(event.id)
        now[event.id] = event if before is None else join.both(before, event)
    return {event.id: (stored.get(event.id), now[event.id]) for event in told}


def _stored(transaction: Transaction, event_type: type[Event], told: Sequence[Event]) -> list[Event]:
    table, decode, ids = EVENT_TABLES[event_type], decoder(event_type), sorted({event.id for event in told})
    own = [table.c[column.name] for column in columns_of(event_type)]
    found: list[Event] = []
    for start in range(0, len(ids), _ASKED_AT_ONCE):
        query = sa.select(*own).where(table.c.id.in_(ids[start : start + _ASKED_AT_ONCE]))
        found += [decode(row) for row in transaction.execute(query)]
    return found


def _count(
    transaction: Transaction,
    source: str,
    at: int,
    sums: Mapping[str, int],
    *,
    newest_event_at: int | None = None,
    success: bool = False,
) -> None:
    """Add to the totals of a source. Whether its runs succeed is its own affair, unless it has none but deliveries."""
    last = {"last_success_at": at if success else None, "newest_event_at": newest_event_at}
    totals = {**dict.fromkeys(_TOTALS, 0), **sums}
    values = {"source": source, "started_at": at, "finished_at": at, **last, **totals}
    transaction.execute(_SUCCEEDED if success else _COUNTED, values)


_TOTALS = ("events_total", "changed_total", "rejected_total")
_LAST = ("last_success_at", "newest_event_at")


def _counting(*, success: bool) -> Any:
    """The statement that adds to the totals of a source, made once: making it takes longer than running it."""
    names = ("source", "started_at", "finished_at", *_LAST, *_TOTALS)
    told: dict[str, Any] = {name: sa.bindparam(name) for name in names}
    ended: dict[str, Any] = {"succeeded": sa.true(), "error": sa.null(), "failure": sa.null()}
    statement = insert(SOURCE_RUN).values(**told, **ended, warnings="[]")
    merged: dict[str, Any] = {name: SOURCE_RUN.c[name] + statement.excluded[name] for name in _TOTALS}
    merged |= {name: _later(statement.excluded[name], SOURCE_RUN.c[name]) for name in _LAST}
    if success:
        merged |= {name: statement.excluded[name] for name in ("started_at", "finished_at", *ended)}
    return statement.on_conflict_do_update(index_elements=["source"], set_=merged)


def _later(one: Any, other: Any) -> Any:
    """The later of two times, of which either may be missing."""
    return sa.case((one > other, one), else_=sa.func.coalesce(other, one))


_SUCCEEDED, _COUNTED = _counting(success=True), _counting(success=False)
