"""Stands before every route: who asks, whether they may, how often, and how much they send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paceline.access.caller import By, Caller, Role, with_caller
from paceline.access.doorkeeper import Doorkeeper
from paceline.access.headers import OVER_TLS, adding, encoded
from paceline.access.limits import Rate, client_key
from paceline.access.peers import AmbiguousHeaderError, header
from paceline.access.settings import LimitSettings
from paceline.access.table import Door, Need, Table
from paceline.access.trail import Trail

LARGEST_BODY_BYTES: Mapping[Door, int] = {Door.SIGNED: 8 << 20}
"""Of what is sent to a webhook; the routes themselves refuse less."""
LARGEST_OTHER_BYTES = 64 << 10
BODY_SECONDS = 35.0
"""How long a body may take to arrive, a little longer than webhooks wait themselves."""
_AT_ONCE = 5.0
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SIGN_IN = "/account/sign-in"
_NO_STORE = encoded({"Cache-Control": "no-store"})

Refused = Callable[[str, int], Response]
"""Makes the page of a refusal of its words and status."""


class _RefusalError(Exception):
    """A request is not answered."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Rates:
    """The limits of all clients, by what they ask for."""

    def __init__(self, settings: LimitSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        requests, webhooks = settings.requests_per_second, settings.webhooks_per_second
        self._requests = Rate(requests, _AT_ONCE * requests, monotonic)
        self._webhooks = Rate(webhooks, _AT_ONCE * webhooks, monotonic)
        self._attempts = Rate(settings.attempts_per_minute / 60, settings.attempts_per_minute, monotonic)

    def take(self, door: Door, client: str) -> None:
        """Count a request. Raises the refusal where there are too many."""
        rate = {Door.SIGNED: self._webhooks, Door.SIGN_IN: self._attempts}.get(door, self._requests)
        self._check(rate, client)

    def attempt(self, client: str) -> None:
        """Count a wrong token. Raises the refusal where there are too many."""
        self._check(self._attempts, client)

    def _check(self, rate: Rate, client: str) -> None:
        if wait := rate.wait(client):
            raise _RefusalError(429, f"too many requests; try again in {wait} s", Retry_After=str(wait))


class Guard:
    """Middleware around an app. `routes` are asked for once, when the first request comes."""

    def __init__(  # noqa: PLR0913 - it is put together in door.py alone
        self,
        app: ASGIApp,
        *,
        routes: Callable[[], Iterable[BaseRoute]],
        keeper: Doorkeeper,
        rates: Rates,
        trail: Trail,
        page: Refused,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app, self._routes = app, routes
        self._keeper, self._rates, self._trail, self._page = keeper, rates, trail, page
        self._headers = encoded(OVER_TLS) if keeper.is_secure else ()
        self._body_seconds = body_seconds

    @cached_property
    def _table(self) -> Table:
        return Table(self._routes())

    @cached_property
    def _signs_in(self) -> bool:
        """Whether there is a way in here: a process without pages has none."""
        return self._table.need("GET", _SIGN_IN).door is Door.SIGN_IN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no websockets
            return
        send = adding(send, self._headers)
        need = self._table.need(scope["method"], scope["path"])
        try:
            caller = self._admitted(scope, need)
            most = LARGEST_BODY_BYTES.get(need.door, LARGEST_OTHER_BYTES)
            receive = _bounded(scope, receive, most, self._body_seconds)
        except _RefusalError as refusal:
            await self._answer(scope, refusal)(scope, receive, send)
            return
        if self._keeper.settings.guarded and need.door in {Door.LOOK, Door.SCRAPE, Door.SIGN_IN}:
            send = adding(send, _NO_STORE)
        await self._app(with_caller(scope, caller), receive, send)

    def _admitted(self, scope: Scope, need: Need) -> Caller:
        """Who asks, if they may."""
        client = client_key(self._keeper.peers.client(scope))
        self._rates.take(need.door, client)
        if self._keeper.is_for_this_machine and not self._keeper.names_this_machine(header(scope, "host")):
            raise _RefusalError(421, "this address is not known here; set server.url to the one that people open")
        try:
            caller = self._keeper.caller(scope)
        except AmbiguousHeaderError:
            raise _RefusalError(400, "a header that says who asks came twice") from None
        wrong = need.door is not Door.SIGNED and self._keeper.shows_wrong_token(scope, caller)
        if wrong:
            self._rates.attempt(client)
        if need.door is Door.SCRAPE and self._keeper.settings.metrics == "open":
            return caller
        if not need.is_met_by(caller):
            raise self._refusal(need, caller)
        if scope["method"] not in _READING and need.door is not Door.SIGNED and caller.by is not By.TOKEN:
            self._same_site(scope, caller)
        return caller

    def _same_site(self, scope: Scope, caller: Caller) -> None:
        if not self._keeper.is_same_site(scope):
            self._trail.record("change", "refused: asked for by another site", caller)
            raise _RefusalError(403, "another site asked for this; nothing was changed")

    def _refusal(self, need: Need, caller: Caller) -> _RefusalError:
        if caller.by is By.NOTHING:
            return _RefusalError(401, "this is not for everybody: sign in, or show a token", WWW_Authenticate="Bearer")
        if need.role is Role.OPERATOR:
            self._trail.record("look at what is for operators", "refused", caller)
        return _RefusalError(403, "you are known here, and may not look at this")

    def _answer(self, scope: Scope, refusal: _RefusalError) -> Response:
        request = Request(scope)
        page = "text/html" in request.headers.get("accept", "") and not scope["path"].startswith("/api/")
        asked = scope["method"] in {"GET", "HEAD"} and page
        if refusal.status == 401 and asked and self._signs_in:  # noqa: PLR2004 - a status
            wanted = scope["path"] + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else "")
            response: Response = RedirectResponse(f"{_SIGN_IN}?next={quote(wanted, safe='')}", 302)
        else:
            response = (
                self._page(refusal.detail, refusal.status)
                if page
                else JSONResponse({"detail": refusal.detail}, refusal.status)
            )
        response.headers.update({"Cache-Control": "no-store", **refusal.headers})
        return response


def _bounded(scope: Scope, receive: Receive, most: int, seconds: float) -> Receive:
    """What a client sends, as long as it is not too much and does not take too long."""
    told = header(scope, "content-length")
    if told.isascii() and told.isdigit() and (len(told) > 15 or int(told) > most):  # noqa: PLR2004 - digits of an int
        raise _RefusalError(413, f"the body is larger than {most} bytes", Connection="close")
    until, size, whole = time.monotonic() + seconds, 0, False

    async def bounded() -> Message:
        nonlocal size, whole
        if whole:  # from here on it is only told when the client hangs up
            return await receive()
        try:
            async with asyncio.timeout(until - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not arrive within {seconds:.0f} s") from None
        size += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if size > most:
            raise HTTPException(413, f"the body is larger than {most} bytes")
        return message

    return bounded
