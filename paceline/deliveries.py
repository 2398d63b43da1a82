"""Delivers the weekly summary: when it is due and its data complete, to each place, once as far as that can be known.

The log in the store says what was sent, so a restart sends nothing again. Whoever is killed between sending and writing
that down has it sent again, with the same key: at least once, and recognisable.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from collector.errors import PacelineError, RetryableError, StoreError
from collector.store import DeliveryRecord, DeliveryState, from_micros, to_micros
from paceline.delivery_places import Delivery, Parcel
from paceline.logs import Log
from paceline.privacy import without_addresses
from paceline.service import Service
from slo_engine.event_lines import one_line
from slo_engine.weekly import Week

LEASE = timedelta(minutes=10)
"""How long one process may be at a delivery. Then another one takes it, since that one must have died."""
GIVE_UP_AFTER = timedelta(days=3)
"""How long sending is tried, from the first attempt on."""
OUTDATED_AFTER = timedelta(days=7)
"""What could not even be tried for so long is no news any more."""
_LONGEST_WAIT_FOR_DATA = timedelta(days=1)
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS, _MOST_DOUBLINGS = 60.0, 3_600.0, 10
_LONGEST_ERROR = 500


class DeliveryView(BaseModel):
    """What became of a week's summary on its way to a place. Times are UTC; what did not happen is null."""

    week: str = Field(description="The ISO week.")
    delivery: str = Field(description="The name in the settings.")
    state: DeliveryState = Field(description="failed is tried no more by itself.")
    attempts: int
    first_tried_at: datetime | None
    last_tried_at: datetime | None
    next_try_at: datetime | None = Field(description="Of what is pending, before when it is not tried.")
    sent_at: datetime | None
    error: str | None = Field(description="Why the last attempt failed.")
    digest: str | None = Field(description="SHA-256 of what was sent, in hex.")


class Deliveries:
    """Sends what is due, and what somebody wants now. Several processes may do so on one store."""

    def __init__(
        self,
        service: Service,
        log: Log,
        clock: Callable[[], datetime],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._service, self._records = service, service.delivery_log
        self._log, self._clock, self._chance = log, clock, chance
        self._report = service.configuration.settings.report
        self._base_url = service.configuration.settings.notify.base_url

    def send_due(self, delivery: Delivery) -> None:
        """Send the last whole week once it is due, and what could not be sent before. Never raises for a failure."""
        try:
            self._plan(delivery)
            now = self._clock()
            for record in self._records.waiting(delivery.name, to_micros(now)):
                if self._is_ready(record, now):
                    self._take(delivery, record)
        except StoreError as error:
            self._log.error("the weekly summary waits", delivery=delivery.name, error=str(error))

    def send_now(self, delivery: Delivery, week: Week, *, anew: bool) -> DeliveryRecord:
        """Send a week whether it is due or not; one that was sent only `anew`. What became of it. Raises StoreError."""
        self._records.plan(week.label, delivery.name, to_micros(self._clock()))
        now = self._clock()
        held = self._records.claim_now(self._found(week, delivery), *self._lease(now), anew=anew)
        if held is not None:
            self._send(delivery, held)
        return self._found(week, delivery)

    def _found(self, week: Week, delivery: Delivery) -> DeliveryRecord:
        record = self._records.find(week.label, delivery.name)
        if record is None:
            raise StoreError("an entry of the log of deliveries is gone")
        return record

    def _plan(self, delivery: Delivery) -> None:
        """Write the last whole week into the log once it is due: those before it are never sent by themselves.

        A service that tells of a time long ago, for an example or an archive, has no news.
        """
        week = self._service.last_week
        due = self._report.due_at(week)
        is_due = due <= self._clock() <= due + OUTDATED_AFTER
        if is_due and self._records.find(week.label, delivery.name) is None:
            self._records.plan(week.label, delivery.name, to_micros(due))

    def _is_ready(self, record: DeliveryRecord, now: datetime) -> bool:
        """Whether the data are complete, or a day late; what was tried before waits no more."""
        if record.attempts:
            return True
        week = self._week(record)
        waited = now >= from_micros(record.due_at) + _LONGEST_WAIT_FOR_DATA and self._tried(week, now)
        return waited or self._service.covers(week)

    def _tried(self, week: Week, now: datetime) -> bool:
        """False until every source had its chance: a service that starts on a Wednesday has collected nothing yet."""
        if now >= self._service.started_at + _LONGEST_WAIT_FOR_DATA:
            return True
        runs = self._service.events.runs()
        names = [source.name for source in self._service.configuration.sources]
        return all(name in runs and from_micros(runs[name].finished_at) >= week.end for name in names)

    def _week(self, record: DeliveryRecord) -> Week:
        return Week.parse(record.week, self._service.zone)

    def _lease(self, now: datetime) -> tuple[int, int, str]:
        return to_micros(now), to_micros(now + LEASE), secrets.token_hex(8)

    def _take(self, delivery: Delivery, record: DeliveryRecord) -> None:
        """Send it, unless somebody else is at it, or it is no news any more."""
        now = self._clock()
        held = self._records.claim(record, *self._lease(now))
        if held is None:
            return
        since = record.due_at if record.first_tried_at is None else record.first_tried_at
        if now > from_micros(since) + OUTDATED_AFTER:
            self._failed(held, "nobody could send it for a week")
        else:
            self._send(delivery, held)

    def _send(self, delivery: Delivery, held: DeliveryRecord) -> None:
        try:
            digest = delivery.send(self._parcel(delivery, held))
        except RetryableError as error:
            self._later(held, error, error.retry_after_seconds or 0.0)
        except StoreError as error:
            self._later(held, error, 0.0)
        except (PacelineError, OSError, ValueError) as error:
            self._failed(held, str(error) if isinstance(error, PacelineError) else type(error).__name__)
        else:
            self._sent(held, digest)

    def _parcel(self, delivery: Delivery, held: DeliveryRecord) -> Parcel:
        summary = self._service.derived_summary(self._week(held), delivery.whose, delivery.team)
        return Parcel(
            name=delivery.name,
            edition=held.edition,
            summary=summary,
            base_url=self._base_url,
            at=self._clock(),
        )

    def _sent(self, held: DeliveryRecord, digest: str) -> None:
        said = {"delivery": held.delivery, "week": held.week, "attempts": held.attempts}
        if self._records.sent(held, to_micros(self._clock()), digest):
            self._log.info("delivered the weekly summary", **said)
        else:
            self._log.warning("the weekly summary was delivered so slowly that it may be delivered twice", **said)

    def _later(self, held: DeliveryRecord, error: PacelineError, wished_seconds: float) -> None:
        """Wait twice as long after each failure, half of it by chance, and never less than the receiver asked for."""
        doubled = min(held.attempts - 1, _MOST_DOUBLINGS)
        longest = min(_FIRST_WAIT_SECONDS * 2.0**doubled, _LONGEST_WAIT_SECONDS)
        wait = max(longest * (1 + self._chance()) / 2, wished_seconds)
        due = self._clock() + timedelta(seconds=wait)
        if due > from_micros(held.first_tried_at or 0) + GIVE_UP_AFTER:
            self._failed(held, str(error))
            return
        self._records.later(held, to_micros(due), _shown(str(error)))
        said = {"delivery": held.delivery, "week": held.week, "error": _shown(str(error)), "seconds": round(wait)}
        self._log.warning("the weekly summary was not delivered, it is tried again", **said)

    def _failed(self, held: DeliveryRecord, why: str) -> None:
        self._records.failed(held, _shown(why))
        said = {"delivery": held.delivery, "week": held.week, "error": _shown(why)}
        self._log.error("the weekly summary was not delivered, it is given up", **said)


def _shown(error: str) -> str:
    """An error as it is kept: one line of bearable length, and nobody's address."""
    return without_addresses(one_line(error))[:_LONGEST_ERROR]


def delivery_view(record: DeliveryRecord) -> DeliveryView:
    """An entry of the log as programs read it."""
    return DeliveryView(
        week=record.week,
        delivery=record.delivery,
        state=record.state,
        attempts=record.attempts,
        first_tried_at=_time(record.first_tried_at),
        last_tried_at=_time(record.last_tried_at),
        next_try_at=_time(record.due_at) if record.state is DeliveryState.PENDING else None,
        sent_at=_time(record.sent_at),
        error=record.error,
        digest=record.digest,
    )


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
