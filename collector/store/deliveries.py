"""The log of the weekly summary's deliveries: what became of each week on its way to each place.

Whoever sends holds the entry for a while, taken in one transaction: of several processes on one database one sends.
Where that one dies, the entry becomes free again when its time is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from collector.store.database import Database
from collector.store.dialects import insert
from collector.store.tables import REPORT_DELIVERY


class DeliveryState(StrEnum):
    """Where a delivery stands. `failed` is tried no more by itself."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class DeliveryRecord:
    """An entry of the log. Times are microseconds since 1970 UTC.

    `edition` grows when somebody wants it sent anew. It is not tried before `due_at`, and has
    been since `first_tried_at`. `digest`: SHA-256 of what
    was sent last, in hex. `error`: why the last attempt failed. `holder` may send until `held_until`.
    """

    week: str
    delivery: str
    state: DeliveryState
    edition: int
    attempts: int
    due_at: int
    first_tried_at: int | None
    last_tried_at: int | None
    sent_at: int | None
    error: str | None
    digest: str | None
    holder: str | None
    held_until: int | None


_T = REPORT_DELIVERY.c
_NAMES = tuple(field.name for field in fields(DeliveryRecord))
_COLUMNS = tuple(_T[name] for name in _NAMES)
_FREE = {"holder": None, "held_until": None}


class DeliveryLog:
    """Keeps the log. Every method raises StoreError where the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(self, week: str, delivery: str, due_at: int) -> None:
        """Have a week delivered from a time on (microseconds); nothing where it is in the log already."""
        row = {"week": week, "delivery": delivery, "state": DeliveryState.PENDING.value, "due_at": due_at}
        statement = insert(REPORT_DELIVERY).values(**row, edition=1, attempts=0).on_conflict_do_nothing()
        with self._database.transaction() as transaction:
            transaction.execute(statement)

    def find(self, week: str, delivery: str) -> DeliveryRecord | None:
        """The entry of a week and a delivery."""
        return next(iter(self._records(_T.week == week, _T.delivery == delivery)), None)

    def oldest(self, delivery: str) -> str:
        """The oldest week of a delivery; empty for a new one."""
        query = sa.select(sa.func.min(_T.week)).where(_T.delivery == delivery)
        with self._database.reading() as connection:
            return connection.execute(query).scalar() or ""

    def waiting(self, delivery: str, now: int) -> list[DeliveryRecord]:
        """What may be tried at a time: is due, or was begun by somebody who did not end in time. Oldest week first."""
        return self._records(_T.delivery == delivery, _may_be_taken(now), order=(_T.week,))

    def listed(self, limit: int) -> list[DeliveryRecord]:
        """The entries of the newest weeks, newest first, by the deliveries' names."""
        return self._records(order=(_T.week.desc(), _T.delivery), limit=limit)

    def newest(self) -> dict[str, DeliveryRecord]:
        """By delivery, the entry of its newest week."""
        other = REPORT_DELIVERY.alias()
        newest = sa.select(sa.func.max(other.c.week)).where(other.c.delivery == _T.delivery).scalar_subquery()
        return {record.delivery: record for record in self._records(_T.week == newest)}

    def claim(self, record: DeliveryRecord, now: int, until: int, holder: str) -> DeliveryRecord | None:
        """Take what is waiting in order to send it until a time; None where somebody else has it, or it was sent."""
        return self._claim(record, now, until, holder, _may_be_taken(now))

    def claim_now(
        self, record: DeliveryRecord, now: int, until: int, holder: str, *, anew: bool
    ) -> DeliveryRecord | None:
        """The same, also where it is not due or failed; what was sent only `anew`, which makes another edition."""
        free = sa.or_(_T.state != DeliveryState.SENDING.value, _T.held_until <= now)
        wanted = sa.true() if anew else _T.state != DeliveryState.SENT.value
        begun_again = {"first_tried_at": now, "edition": _T.edition + int(anew)}
        return self._claim(record, now, until, holder, sa.and_(free, wanted), **begun_again)

    def _claim(
        self, record: DeliveryRecord, now: int, until: int, holder: str, free: Any, **more: Any
    ) -> DeliveryRecord | None:
        values = {
            "state": DeliveryState.SENDING.value,
            "attempts": _T.attempts + 1,
            "first_tried_at": sa.func.coalesce(_T.first_tried_at, now),
            "last_tried_at": now,
            "holder": holder,
            "held_until": until,
            **more,
        }
        statement = sa.update(REPORT_DELIVERY).where(*_is(record), free).values(**values)
        # On the disk before anything is sent: else a power failure could make one edition of two.
        with self._database.transaction(flushed=True) as transaction:
            if not transaction.execute(statement).rowcount:
                return None
            return _record(transaction.execute(sa.select(*_COLUMNS).where(*_is(record))).one())

    def sent(self, held: DeliveryRecord, at: int, digest: str) -> bool:
        """It was sent; False where the holder's time was over and somebody else took it, who sends it again."""
        return self._settle(held, state=DeliveryState.SENT.value, sent_at=at, digest=digest, error=None)

    def later(self, held: DeliveryRecord, due_at: int, error: str) -> bool:
        """It could not be sent, and is tried again at a time (microseconds)."""
        return self._settle(held, state=DeliveryState.PENDING.value, due_at=due_at, error=error)

    def failed(self, held: DeliveryRecord, error: str) -> bool:
        """It could not be sent, and is given up."""
        return self._settle(held, state=DeliveryState.FAILED.value, error=error)

    def _settle(self, held: DeliveryRecord, **values: Any) -> bool:
        own = sa.update(REPORT_DELIVERY).where(*_is(held), _T.holder == held.holder).values(**values, **_FREE)
        with self._database.transaction(flushed=True) as transaction:
            return int(transaction.execute(own).rowcount) == 1

    def _records(self, *where: Any, order: Sequence[Any] = (), limit: int | None = None) -> list[DeliveryRecord]:
        query = sa.select(*_COLUMNS).where(*where).order_by(*order).limit(limit)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(query)]


def _is(record: DeliveryRecord) -> tuple[Any, Any]:
    return _T.week == record.week, _T.delivery == record.delivery


def _may_be_taken(now: int) -> Any:
    pending = sa.and_(_T.state == DeliveryState.PENDING.value, _T.due_at <= now)
    return sa.or_(pending, sa.and_(_T.state == DeliveryState.SENDING.value, _T.held_until <= now))


def _record(row: Any) -> DeliveryRecord:
    found: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    return DeliveryRecord(**found | {"state": DeliveryState(found["state"])})
