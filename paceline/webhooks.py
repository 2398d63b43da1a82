"""Takes what systems send: `POST /webhooks/<source>`. A delivery is kept before it is answered, and written after.

What comes is checked over its raw body before anything of it is read. Many requests share one commit. The table of
deliveries is drained by the service; a delivery that comes again changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.errors import BadRecord, ContractError, RetryableError, SourceError, StoreError
from collector.source import SourceConfig
from collector.store import Arrival, packed, to_micros
from collector.webhooks import Delivery, Received, Receiver, id_of
from paceline.enricher import PATH as ALERTS_PATH
from paceline.logs import Log
from paceline.privacy import with_no_address
from paceline.service import Service

PATH = "/webhooks/{source}"
STATUS_PATH = "/webhooks"
LARGEST_BODY_BYTES = 8 << 20
MOST_READING_BYTES = 64 << 20
"""Of bodies that are being read, all requests together; beyond it senders must wait."""
MOST_WAITING_BYTES = 64 << 20
"""Of deliveries that wait for their commit."""
COMMIT_SECONDS = 0.04
"""A commit begins so long after the last one at least: where many come, they share it."""
BODY_SECONDS = 30.0
"""How long a body may take to arrive."""
RETRY_AFTER_SECONDS = 10
_READ_ASIDE_BYTES = 256 << 10
"""From here on a body is read in a thread: others need not wait for it."""
_LONGEST_ID = 200
_LONGEST_REASON = 200
_SHOWN_REASONS = 20
_MOST_REASONS = 100


class Outcome(StrEnum):
    """What became of a request."""

    TAKEN = "taken"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    REJECTED = "rejected"
    REFUSED = "refused"
    FULL = "full"


# --- many requests, one commit ---------------------------------------------------------------------------


@dataclass
class _Batch:
    arrivals: list[Arrival] = field(default_factory=list)
    size: int = 0
    kept: asyncio.Future[list[bool]] | None = None


class Committer:
    """Keeps deliveries in the order in which they came, as many at once as came while the last ones were kept."""

    def __init__(self, keep: Callable[[Sequence[Arrival]], list[bool]]) -> None:
        self._keep = keep
        self._last = -COMMIT_SECONDS
        self._changing = threading.Lock()
        self._open: _Batch | None = None
        self._bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webhooks")

    async def put(self, arrival: Arrival) -> bool | None:
        """Whether a delivery is new, once it is kept; None, at once, where too much is waiting. Raises StoreError."""
        with self._changing:
            if self._bytes + arrival.size > MOST_WAITING_BYTES:
                return None
            batch = self._open
            if batch is None:
                batch = self._open = _Batch()
                batch.kept = asyncio.wrap_future(self._thread.submit(self._commit, batch))
            place = len(batch.arrivals)
            batch.arrivals.append(arrival)
            batch.size += arrival.size
            self._bytes += arrival.size
            kept = batch.kept
        assert kept is not None  # noqa: S101 - it is set with the batch
        # Shielded: who hangs up must not take away the others' commit.
        return (await asyncio.shield(kept))[place]

    def close(self) -> None:
        """Keep what is waiting, and take nothing more."""
        self._thread.shutdown()

    def _commit(self, batch: _Batch) -> list[bool]:
        if (early := self._last + COMMIT_SECONDS - time.monotonic()) > 0:
            time.sleep(early)
        self._last = time.monotonic()
        with self._changing:
            self._open = None
        try:
            return self._keep(batch.arrivals)
        finally:
            with self._changing:
                self._bytes -= batch.size


# --- the door --------------------------------------------------------------------------------------------


class AnswerView(BaseModel):
    """What became of a delivery."""

    status: Outcome
    events: int = Field(default=0, description="How many events it brings.")
    rejected: list[str] = Field(default=[], description="Records that cannot be used, and why: the first of them.")
    reason: str = Field(default="", description="Why nothing came of it, where it was ignored.")


class RefusedView(BaseModel):
    """Why a delivery was not taken, and what was expected."""

    detail: str


class DoorView(BaseModel):
    """What came for a source since the service started."""

    source: str
    open: bool = Field(description="Whether it has a secret.")
    deliveries: dict[Outcome, int] = Field(description="How many requests, by what became of them.")
    ignored: dict[str, int] = Field(description="How many were ignored, by the reason.")


class DoorsView(BaseModel):
    """The webhooks of the configured sources."""

    waiting: int = Field(description="Deliveries that are kept and not written yet.")
    sources: list[DoorView]


class _RefusedError(Exception):
    """A request that is not taken: the status and why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Webhooks:
    """Takes the deliveries of all sources."""

    def __init__(self, service: Service, log: Log, clock: Callable[[], datetime]) -> None:
        self._service, self._log, self._clock = service, log, clock
        self._sources: Mapping[str, SourceConfig] = {s.name: s for s in service.configuration.sources}
        self._public = service.configuration.settings.privacy.is_public
        self._committer = Committer(service.inbox.keep)
        self._reading = 0
        self._counts: Counter[tuple[str, Outcome]] = Counter()
        self._ignored: Counter[tuple[str, str]] = Counter()

    def close(self) -> None:
        """Keep what is waiting, and take nothing more."""
        self._committer.close()

    def knows(self, name: str) -> bool:
        """Whether a source has this name."""
        return name in self._sources

    async def answer(self, name: str, request: Request) -> Response:
        """Take a delivery for a source, and say what became of it."""
        try:
            receiver = self._receiver(name)
            return await self._take(name, receiver, await self._delivery(request))
        except _RefusedError as refused:
            return self._refused(name, refused)
        except (RetryableError, StoreError) as error:
            self._log.error("a delivery cannot be taken now", source=name, error=str(error))
            return self._refused(name, _RefusedError(503, "it cannot be kept now; send it again later"))

    def view(self) -> DoorsView:
        """What came since the start, for each source that takes webhooks. Raises StoreError."""
        states = {name: self._is_open(config) for name, config in self._sources.items()}
        return DoorsView(
            waiting=self._service.inbox.waiting(),
            sources=[
                DoorView(
                    source=name,
                    open=is_open,
                    deliveries={o: n for o in Outcome if (n := self._counts[name, o])},
                    ignored={why: n for (whose, why), n in sorted(self._ignored.items()) if whose == name},
                )
                for name, is_open in sorted(states.items())
                if is_open or any(self._counts[name, o] for o in Outcome)
            ],
        )

    def _is_open(self, config: SourceConfig) -> bool:
        try:
            return self._service.receiver(config) is not None
        except SourceError:
            return False

    def _receiver(self, name: str) -> Receiver:
        config = self._sources.get(name)
        receiver = None if config is None else self._service.receiver(config)
        if config is None or receiver is None:
            raise _closed(name, config)
        return receiver

    async def _delivery(self, request: Request) -> Delivery:
        """The request with its body. Too large a body, or too many at once, are refused before they are in memory."""
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    self._reading += len(chunk)
                    if len(body) > LARGEST_BODY_BYTES:
                        raise _RefusedError(413, f"the body is larger than {LARGEST_BODY_BYTES} bytes")
                    if self._reading > MOST_READING_BYTES:
                        raise _RefusedError(503, "too much is being sent at once; send it again later")
        except TimeoutError:
            raise _RefusedError(408, f"the body did not arrive within {BODY_SECONDS:.0f} s") from None
        except ClientDisconnect:
            raise _RefusedError(408, "the sender hung up before the end of the body") from None
        finally:
            self._reading -= len(body)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Delivery(headers=headers, body=bytes(body), received_at=self._clock())

    async def _take(self, name: str, receiver: Receiver, delivery: Delivery) -> Response:
        if not receiver.is_genuine(delivery):
            raise _RefusedError(401, "the secret or the signature is missing or wrong; see docs/webhooks.md")
        try:
            large = len(delivery.body) > _READ_ASIDE_BYTES
            received = await asyncio.to_thread(_read, receiver, delivery) if large else _read(receiver, delivery)
        except (ContractError, BadRecord) as error:
            await self._set_aside(name, delivery, str(error))
            raise _RefusedError(400, str(error)) from None
        arrival = self._arrival(name, received, delivery.received_at)
        new = await self._committer.put(arrival)
        if new is None:
            raise _RefusedError(503, "too many deliveries are waiting to be kept; send it again later")
        if not new:
            self._counts[name, Outcome.DUPLICATE] += 1
            return _answered(AnswerView(status=Outcome.DUPLICATE), 200)
        return self._taken(name, received, arrival)

    def _arrival(self, name: str, received: Received, at: datetime) -> Arrival:
        """A delivery as it is kept: what it says of people is hashed by its source, addresses are masked here."""
        return Arrival(
            source=name,
            delivery=_short(received.id),
            received_at=to_micros(at),
            events=packed([with_no_address(event, self._public) for event in received.events]),
            rejected=received.rejected,
            ignored=received.ignored[:_LONGEST_REASON],
        )

    async def _set_aside(self, name: str, delivery: Delivery, why: str) -> None:
        """Count a body that is not as documented, and keep why; its id is not kept, so that it may come again."""
        record = BadRecord(f"delivery {id_of(delivery)}", why)
        arrival = Arrival(source=name, delivery="", received_at=to_micros(delivery.received_at), rejected=(record,))
        await self._committer.put(arrival)
        self._log.warning("a delivery cannot be used", source=name, why=why)

    def _taken(self, name: str, received: Received, arrival: Arrival) -> Response:
        outcome = Outcome.IGNORED if received.ignored and not received.events else Outcome.TAKEN
        self._counts[name, outcome] += 1
        if outcome is Outcome.IGNORED:
            key = name, arrival.ignored
            # A sender may find ever new words for why: only so many are told apart.
            self._ignored[key if key in self._ignored or len(self._ignored) < _MOST_REASONS else (name, "other")] += 1
            self._log.info("a delivery was ignored", source=name, why=arrival.ignored)
        rejected = [f"{r.location}: {r.reason}" for r in received.rejected]
        if rejected:
            self._log.warning("records of a delivery cannot be used", source=name, records=len(rejected))
        view = AnswerView(
            status=outcome,
            events=len(received.events),
            rejected=rejected[:_SHOWN_REASONS],
            reason=arrival.ignored,
        )
        return _answered(view, 202)

    def _refused(self, name: str, refused: _RefusedError) -> Response:
        if name in self._sources:
            outcome = {400: Outcome.REJECTED, 503: Outcome.FULL}.get(refused.status, Outcome.REFUSED)
            self._counts[name, outcome] += 1
        headers = {503: {"Retry-After": str(RETRY_AFTER_SECONDS)}, 401: {"WWW-Authenticate": "Bearer"}}
        return JSONResponse({"detail": refused.detail}, refused.status, headers=headers.get(refused.status))


def _read(receiver: Receiver, delivery: Delivery) -> Received:
    """What is in a delivery. Raises ContractError also for bytes that are no text, and for nests without an end."""
    try:
        delivery.body.decode()
        return receiver.read(delivery)
    except UnicodeDecodeError:
        raise ContractError("the body is no JSON in UTF-8") from None
    except RecursionError:
        raise ContractError("the body is nested too deeply") from None


def _closed(name: str, config: SourceConfig | None) -> _RefusedError:
    if config is None:
        return _RefusedError(404, "no source has this name")
    if "webhook_secret" not in type(config).model_fields:
        return _RefusedError(404, "this source takes no webhooks")
    return _RefusedError(403, f"this webhook is closed; set `webhook_secret` of {name} to open it")


def _short(delivery_id: str) -> str:
    """An id of bounded length; a long one is told apart by its hash."""
    whole = delivery_id.encode("utf-8", "surrogateescape")
    return delivery_id if len(whole) <= _LONGEST_ID else hashlib.sha256(whole).hexdigest()


def _answered(view: AnswerView, status: int) -> Response:
    return JSONResponse(view.model_dump(exclude_defaults=True), status)


_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": RefusedView} for code in (400, 401, 403, 404, 408, 413, 503)
}
_ANY_BODY: dict[str, Any] = {"requestBody": {"content": {"application/json": {"schema": {}}}}}


class Doorway:
    """Middleware that answers the deliveries for sources itself: by way of the routes they cost twice as much.

    The routes describe them, and answer what is for no source.
    """

    def __init__(self, app: ASGIApp, webhooks: Webhooks) -> None:
        self._app, self._webhooks = app, webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        source = self._source(scope) if scope["type"] == "http" else None
        if source is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await self._webhooks.answer(source, Request(scope, receive))
        except HTTPException as refused:  # by the guard, while the body came
            response = JSONResponse({"detail": refused.detail}, refused.status_code, headers=refused.headers)
        await response(scope, receive, send)

    def _source(self, scope: Scope) -> str | None:
        """The source for which something is delivered; None where a request is another one."""
        start, name = PATH.partition("{")[0], scope["path"].rpartition("/")[2]
        own = scope["method"] == "POST" and scope["path"] == start + name != ALERTS_PATH
        return name if own and self._webhooks.knows(name) else None


def webhook_routes(webhooks: Webhooks) -> APIRouter:
    """The webhooks of all sources, and what came to them. Each is closed unless its source has a secret."""
    made = APIRouter()

    @made.post(
        PATH,
        summary="Events of a source, as its system sends them",
        status_code=202,
        response_model=AnswerView,
        responses={200: {"model": AnswerView}, **_REFUSALS},
        openapi_extra=_ANY_BODY,
    )
    async def deliver(source: str, request: Request) -> Response:
        return await webhooks.answer(source, request)

    @made.get(
        STATUS_PATH,
        summary="What came to the webhooks since the start",
        response_model=DoorsView,
        responses={503: {"model": RefusedView}},
    )
    def doors() -> DoorsView | JSONResponse:
        # A plain function, so it runs beside the event loop: it reads the store.
        try:
            return webhooks.view()
        except StoreError:
            return JSONResponse({"detail": "the store cannot be read"}, 503)

    return made
