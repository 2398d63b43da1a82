"""Takes alerts from Alertmanager, adds what is known about them, and hands them on: `/webhooks/alertmanager`.

The webhook only checks and queues. One thread enriches and sends, again and again where a target fails for a while,
so a notification that was taken is sent at least once while the process lives. An alert that cannot be enriched goes
out as it came.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import hmac
import random
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from collector.errors import PacelineError, RetryableError, StoreError
from collector.secrets import is_guessable, reveal
from paceline.logs import Log
from paceline.notify import Message, NotifySettings, Sender, Target
from paceline.service import Service
from slo_engine.burn import Tier
from slo_engine.contributors import Known, find
from slo_engine.enrich import Alert, AlertStatus, EnrichedAlert, Findings, enrich

PATH = "/webhooks/alertmanager"
LARGEST_BODY_BYTES = 4 << 20
MOST_WAITING = 500
"""Notifications, each counted once for each target it is still to be sent to; beyond it Alertmanager must wait."""
MOST_WAITING_BYTES = 64 << 20
SAME_SECONDS = 3_600.0
"""How long the same notification is taken for a repetition."""
GIVE_UP_SECONDS = 3_600.0
"""How long sending is tried. An older notification would mislead, and Alertmanager repeats what still fires."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 60.0
_HELD_SECONDS = 60.0
"""How long other replicas leave a notification to the one that took it, unless that one says more."""
_ENRICH_SECONDS = 10.0
"""How long the alerts of one notification may be enriched; the rest of them goes out as it came."""
_CLOSE_SECONDS = 5.0


# --- what comes in ---------------------------------------------------------------------------------------

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _IncomingAlert(msgspec.Struct, rename="camel"):
    status: AlertStatus
    labels: dict[str, str]
    starts_at: _Time
    annotations: dict[str, str] = {}
    ends_at: _Time | None = None
    fingerprint: str = ""
    generator_url: str = msgspec.field(name="generatorURL", default="")


class _Incoming(msgspec.Struct, rename="camel"):
    version: Literal["4"]
    group_key: str
    status: AlertStatus
    receiver: str
    alerts: Annotated[list[_IncomingAlert], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class Notification:
    """What Alertmanager sent. `payload` is its JSON as it came, `size` its bytes."""

    status: AlertStatus
    receiver: str
    group_key: str
    alerts: tuple[Alert, ...]
    payload: Mapping[str, Any]
    size: int = 0

    @property
    def key(self) -> str:
        """The same for repetitions: group, status and the alerts. One that fires anew began at another time."""
        alerts = sorted((a.fingerprint, a.status, a.starts_at.isoformat()) for a in self.alerts)
        return hashlib.sha256(repr((self.receiver, self.group_key, self.status, alerts)).encode()).hexdigest()


class BadNotification(PacelineError):  # noqa: N818 - the sender's mistake, not ours
    """The body is no webhook of Alertmanager; says where it differs, without showing what stands there."""


def read_notification(body: bytes) -> Notification:
    """The notification of a webhook's body: JSON, version 4. Raises BadNotification."""
    try:
        payload = msgspec.json.decode(body)
        found = msgspec.convert(payload, _Incoming)
        alerts = tuple(map(_alert, found.alerts))
    except msgspec.ValidationError as error:
        raise BadNotification(f"no webhook of Alertmanager, version 4: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadNotification("no JSON in UTF-8; expected a webhook of Alertmanager, version 4") from None
    except OverflowError:
        raise BadNotification("a time of an alert is out of range; expected RFC 3339") from None
    return Notification(
        status=found.status,
        receiver=found.receiver,
        group_key=found.group_key,
        alerts=alerts,
        payload=payload,
        size=len(body),
    )


def _alert(found: _IncomingAlert) -> Alert:
    ended = found.ends_at if found.status == "resolved" else None  # a firing one ends in the year 1
    return Alert(
        status=found.status,
        labels=found.labels,
        annotations=found.annotations,
        starts_at=found.starts_at.astimezone(UTC),
        ends_at=None if ended is None or ended.year == 1 else ended.astimezone(UTC),
        fingerprint=found.fingerprint,
        generator_url=found.generator_url,
    )


# --- the queue -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A target with what sends to it."""

    target: Target
    sender: Sender


class Taken(StrEnum):
    """What became of a notification at the door."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"
    FULL = "full"
    UNWANTED = "unwanted"


@dataclass(order=True)
class _Job:
    """Something to do at a time (monotonic seconds): enrich a notification, or send it to a destination."""

    due: float
    number: int
    notification: Notification = field(compare=False)
    accepted_at: float = field(compare=False)
    destination: Destination | None = field(default=None, compare=False)
    message: Message | None = field(default=None, compare=False)
    failures: int = field(default=0, compare=False)


class Claims(Protocol):
    """What replicas tell each other of notifications, by their keys. Every method may raise StoreError."""

    def take_alert(self, name: str, seconds: float) -> bool:
        """Take one for some seconds; False where another replica has it."""

    def keep_alert(self, name: str, seconds: float) -> None:
        """It was sent."""

    def forget_alert(self, name: str) -> None:
        """It was not."""


class _Nobody:
    """There is no other replica."""

    def take_alert(self, name: str, seconds: float) -> bool:
        del name, seconds
        return True

    def keep_alert(self, name: str, seconds: float) -> None:
        """Nobody asks."""

    def forget_alert(self, name: str) -> None:
        """Nobody asks."""


class Enricher:
    """Takes notifications and hands them on, enriched. Its thread starts with the first one.

    `claims`: what tells a repetition that reaches another replica.
    """

    def __init__(
        self,
        lookup: Callable[[Alert], Findings],
        destinations: Sequence[Destination],
        log: Log,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        claims: Claims | None = None,
    ) -> None:
        self._claims: Claims = claims or _Nobody()
        self._lookup, self._destinations, self._log = lookup, tuple(destinations), log
        self._clock, self._chance = clock, chance
        self._changed = threading.Condition()
        self._jobs: list[_Job] = []
        self._numbers = 0
        self._taken: dict[str, float] = {}
        self._paused: dict[str, float] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._thread: threading.Thread | None = None
        self._closing = False

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """How many notifications: by target and `sent`, `retried`, `failed`; with an empty target, by `Taken`."""
        with self._changed:
            return dict(self._counts)

    def take(self, notification: Notification) -> Taken:
        """Queue a notification: unless it is a repetition, nobody wants it, or too much is waiting. Never blocks."""
        with self._changed:
            taken = self._judged(notification)
            self._counts["", taken] += 1
            if taken is Taken.QUEUED:
                now = self._clock()
                self._taken[notification.key] = now
                self._push(now, notification, now)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="enricher", daemon=True)
                    self._thread.start()
            return taken

    def _judged(self, notification: Notification) -> Taken:
        now = self._clock()
        self._taken = {key: at for key, at in self._taken.items() if now - at < SAME_SECONDS}
        if not any(d.target.wants(notification.receiver) for d in self._destinations):
            return Taken.UNWANTED
        if notification.key in self._taken:
            return Taken.DUPLICATE
        waiting = sum(job.notification.size for job in self._jobs) + notification.size
        full = self._closing or len(self._jobs) >= MOST_WAITING or waiting > MOST_WAITING_BYTES
        return Taken.FULL if full else Taken.QUEUED

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Take nothing more, try once more to send what is waiting, and say what was left unsent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        with self._changed:
            if self._jobs:
                self._log.error("alerts were not sent before the end", notifications=len(self._jobs))

    def _push(
        self,
        due: float,
        notification: Notification,
        accepted_at: float,
        destination: Destination | None = None,
        message: Message | None = None,
    ) -> None:
        self._numbers += 1
        heapq.heappush(self._jobs, _Job(due, self._numbers, notification, accepted_at, destination, message))
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                job = self._next()
            if job is None:
                return
            if job.destination is None:
                self._enrich(job)
            else:
                self._send(job, job.destination)

    def _next(self) -> _Job | None:
        """The next job, once it is due; None at the end. When closing nothing waits for its time."""
        while not (self._closing and not self._jobs):
            now = self._clock()
            if self._jobs and (self._closing or self._jobs[0].due <= now):
                job = heapq.heappop(self._jobs)
                until = self._paused.get(job.destination.target.name, now) if job.destination else now
                if until <= now or self._closing:
                    return job
                # Its target just failed: it waits behind what failed, so that alerts arrive in their order.
                job.due = until
                heapq.heappush(self._jobs, job)
            else:
                self._changed.wait(self._jobs[0].due - now if self._jobs else None)
        return None

    def _enrich(self, job: _Job) -> None:
        notification = job.notification
        if not self._claimed(notification.key, _HELD_SECONDS):
            self._log.info("the same alerts were sent by another replica", status=notification.status)
            return
        began = self._clock()
        message = Message(
            status=notification.status,
            receiver=notification.receiver,
            thread=notification.group_key,
            payload=notification.payload,
            alerts=tuple(self._enriched(alert, began) for alert in notification.alerts),
        )
        with self._changed:
            for destination in self._destinations:
                if destination.target.wants(notification.receiver):
                    self._push(job.due, notification, job.accepted_at, destination, message)

    def _claimed(self, key: str, seconds: float) -> bool:
        """Whether no other replica has it. Where that cannot be asked it is sent: twice is better than never."""
        try:
            return self._claims.take_alert(key, seconds)
        except StoreError as error:
            self._log.warning("whether another replica has sent the same alerts cannot be asked", error=str(error))
            return True

    def _settled(self, key: str, *, sent: bool) -> None:
        """Tell other replicas what became of it."""
        with contextlib.suppress(StoreError):
            if sent:
                self._claims.keep_alert(key, SAME_SECONDS)
            else:
                self._claims.forget_alert(key)

    def _enriched(self, alert: Alert, began: float) -> EnrichedAlert:
        if self._clock() - began > _ENRICH_SECONDS:
            return enrich(alert, Findings(), "Not enriched: it came with too many others.")
        try:
            return enrich(alert, self._lookup(alert))
        except Exception as error:  # noqa: BLE001 - whatever fails here must not lose an alert
            self._log.error(
                "an alert could not be enriched", alert=alert.labels.get("alertname", ""), error=_said(error)
            )
            return enrich(alert, Findings(), "It could not be enriched; the log of Paceline says why.")

    def _send(self, job: _Job, destination: Destination) -> None:
        name = destination.target.name
        try:
            if job.message is not None:
                destination.sender.send(job.message)
        except RetryableError as error:
            self._later(job, name, error)
        except Exception as error:  # noqa: BLE001 - one target's defect must not stop the others
            self._failed(job, name, error)
        else:
            with self._changed:
                self._counts[name, "sent"] += 1
                self._paused.pop(name, None)
            self._settled(job.notification.key, sent=True)
            self._log.info(
                "alert sent", target=name, status=job.notification.status, alerts=len(job.notification.alerts)
            )

    def _later(self, job: _Job, name: str, error: RetryableError) -> None:
        """Wait twice as long after each failure, half of it by chance, and never less than the target asked for."""
        longest = min(_FIRST_WAIT_SECONDS * 2.0**job.failures, _LONGEST_WAIT_SECONDS)
        wait = max(longest * (1 + self._chance()) / 2, error.retry_after_seconds or 0.0)
        due = self._clock() + wait
        if self._closing or due - job.accepted_at > GIVE_UP_SECONDS:
            self._failed(job, name, error)
            return
        self._claimed(job.notification.key, wait + _HELD_SECONDS)
        self._log.warning("alert not sent, it is tried again", target=name, error=str(error), seconds=round(wait, 1))
        with self._changed:
            self._counts[name, "retried"] += 1
            self._paused[name] = job.due = due
            job.failures += 1
            heapq.heappush(self._jobs, job)

    def _failed(self, job: _Job, name: str, error: Exception) -> None:
        self._log.error(
            "alert not sent, it is given up",
            target=name,
            status=job.notification.status,
            alerts=len(job.notification.alerts),
            error=_said(error),
        )
        with self._changed:
            self._counts[name, "failed"] += 1
            # Alertmanager may send it again: then it is no repetition.
            self._taken.pop(job.notification.key, None)
        self._settled(job.notification.key, sent=False)


def _said(error: Exception) -> str:
    """Our own errors say what happened; of others only the kind, their words may hold anything."""
    return str(error) if isinstance(error, PacelineError) else type(error).__name__


def build_enricher(
    service: Service,
    settings: NotifySettings,
    *,
    tiers: Sequence[Tier],
    log: Log,
    clock: Callable[[], datetime],
    claims: Claims | None = None,
) -> Enricher:
    """The enricher of a service; `claims`: where it has replicas."""
    reach = service.configuration.settings.network.reach
    targets = [target.within(reach) for target in settings.targets]
    destinations = [Destination(target=target, sender=target.build(clock)) for target in targets]
    return Enricher(lookup_of(service, settings, tiers=tiers, clock=clock), destinations, log, claims=claims)


def lookup_of(
    service: Service, settings: NotifySettings, *, tiers: Sequence[Tier], clock: Callable[[], datetime]
) -> Callable[[Alert], Findings]:
    """What finds out about an alert what a service knows."""

    def lookup(alert: Alert) -> Findings:
        published, configuration = service.published, service.configuration
        known = Known(
            slos=configuration.slos,
            states={state.slo.name: state for state in published.snapshot.slos} if published else {},
            indicators=service.indicators,
            tiers=tiers,
            exclusions=configuration.exclusions,
            organisation=configuration.organisation,
            observations=service.observations,
            events=service.events,
            base_url=settings.base_url,
        )
        return find(alert, known, clock())

    return lookup


# --- the door --------------------------------------------------------------------------------------------


class TakenView(BaseModel):
    """What became of a notification: `queued`, or `duplicate` where the same one was taken within an hour."""

    status: str


class RefusedView(BaseModel):
    """Why a notification was not taken, and what was expected."""

    detail: str


_REFUSALS: dict[int | str, dict[str, Any]] = {code: {"model": RefusedView} for code in (400, 401, 403, 413, 422, 503)}


def router(enricher: Enricher, settings: NotifySettings) -> APIRouter:
    """The webhook. It is closed unless a secret is set."""
    made = APIRouter()

    @made.post(
        PATH,
        summary="Alerts of Alertmanager, to be enriched and handed on",
        status_code=202,
        response_model=TakenView,
        responses={200: {"model": TakenView}, **_REFUSALS},
        openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
    )
    async def alertmanager(request: Request) -> Response:
        refusal = _unauthorised(settings, request.headers.get("authorization", ""))
        if refusal is not None:
            return refusal
        body = await _body(request)
        if body is None:
            return _refused(413, f"the body is larger than {LARGEST_BODY_BYTES} bytes; set max_alerts in Alertmanager")
        try:
            notification = read_notification(body)
        except BadNotification as error:
            return _refused(400, str(error))
        return _answer(enricher.take(notification))

    return made


async def _body(request: Request) -> bytes | None:
    """The body; None where it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY_BYTES:
            return None
    return bytes(body)


def _unauthorised(settings: NotifySettings, given: str) -> Response | None:
    """The refusal of who does not show the secret; None for who does."""
    try:
        secret = reveal(settings.secret)
    except RetryableError as error:
        return _refused(503, str(error))
    if not secret:
        return _refused(403, "this webhook is closed; set notify.secret to open it")
    if is_guessable(secret):
        return _refused(503, "the secret of notify.secret can be guessed; its file holds too little")
    scheme, _, credentials = given.partition(" ")
    basic = b64encode(f"{settings.username}:{secret}".encode()).decode()
    expected = {"bearer": secret, "basic": basic}.get(scheme.lower(), "")
    if expected and hmac.compare_digest(credentials.strip().encode(), expected.encode()):
        return None
    refusal = _refused(401, "a bearer token or basic auth with the secret of notify.secret is expected")
    refusal.headers["WWW-Authenticate"] = 'Bearer, Basic realm="paceline"'
    return refusal


def _answer(taken: Taken) -> Response:
    if taken is Taken.FULL:
        refusal = _refused(503, "too many notifications are waiting to be sent; try again later")
        refusal.headers["Retry-After"] = "30"
        return refusal
    if taken is Taken.UNWANTED:
        return _refused(422, "no target takes notifications for this receiver; see `receivers` in notify.targets")
    return JSONResponse({"status": taken.value}, status_code=202 if taken is Taken.QUEUED else 200)


def _refused(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status_code=status)
