"""Signing in and out, and what one may here: pages without a name on them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, Field

from collector.errors import RetryableError
from paceline.access.caller import By, Role, caller_of
from paceline.access.doorkeeper import SESSION, Doorkeeper
from paceline.access.oidc import Attempt, Provider, ProviderDownError, SignInError
from paceline.access.trail import Trail
from paceline.logs import Log
from paceline.pages.look import Look
from paceline.refusing import Limit, Refusal, refused

SIGNED_IN = "/account/signed-in"
"""Where a provider sends people back to."""
_ATTEMPT = "sign-in"
_ATTEMPT_LASTS = timedelta(minutes=10)
_LONGEST = 2_000
_Next = Annotated[str, Query(alias="next", max_length=_LONGEST)]


class TrailLine(BaseModel):
    """Something that somebody did."""

    at: str = Field(description="When, UTC.")
    action: str
    outcome: str
    role: str = Field(description="The role they had.")
    by: str = Field(description="How it was known who they are.")
    who: str = Field(description="A keyed hash of a person, or the name of a token.")
    what: str = Field(default="", description="What it was done to, such as a source's name; empty for people.")


class TrailView(BaseModel):
    """The newest first."""

    lines: list[TrailLine]


def local_path(wanted: str) -> str:
    """Where to go after a sign-in: a path of this service; anything else becomes the home page."""
    if not wanted.startswith("/") or not wanted.isprintable() or "\\" in wanted or len(wanted) > _LONGEST:
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    own = (
        not parts.scheme and not parts.netloc and not wanted.startswith("//") and not parts.path.startswith("/account")
    )
    return wanted if own else "/"


def account_routes(keeper: Doorkeeper, trail: Trail, look: Look, provider: Provider | None, log: Log) -> APIRouter:
    """What one may here, the way out, the trail; and the way in where there is a provider."""
    router = APIRouter()

    @router.get("/account", response_class=HTMLResponse, include_in_schema=False)
    async def account(request: Request) -> HTMLResponse:
        caller = caller_of(request.scope)
        return look.page(
            "account.html",
            here="/account",
            role=caller.role.name.lower() if caller.role else "",
            signed_in=caller.by is By.SESSION,
            can_sign_in=provider is not None,
            proxied=caller.by is By.PROXY,
        )

    @router.post("/account/sign-out", include_in_schema=False)
    async def sign_out(request: Request) -> Response:
        caller = caller_of(request.scope)
        keeper.end(request.scope)
        if caller.by is By.SESSION:
            trail.record("sign-out", "done", caller)
        answer = RedirectResponse("/account", 303)
        _forget(answer, keeper, SESSION)
        return answer

    @router.get(
        "/api/v1/audit",
        summary="What people did: sign-ins, refusals and changes",
        response_model=TrailView,
        responses={503: {"model": Refusal}},
    )
    def audit(limit: Limit = 100) -> TrailView | JSONResponse:
        # A plain function, so it runs beside the event loop: it reads a file.
        try:
            found = trail.newest(limit)
        except OSError:
            return refused(503, "the audit trail cannot be read")
        return TrailView(lines=[TrailLine.model_validate(line) for line in found])

    if provider is not None:
        _sign_in_routes(router, keeper, trail, look, provider, log)
    return router


def _sign_in_routes(
    router: APIRouter, keeper: Doorkeeper, trail: Trail, look: Look, provider: Provider, log: Log
) -> None:
    @router.get("/account/sign-in", include_in_schema=False)
    def sign_in(wanted: _Next = "/") -> Response:
        # A plain function, so it runs beside the event loop: it asks the provider.
        attempt = Attempt.begun()
        values = {**vars(attempt), "next": local_path(wanted)}
        try:
            sealed = keeper.seal.sealed(_ATTEMPT, values, _ATTEMPT_LASTS)
            answer = RedirectResponse(provider.begin(attempt), 302)
        except (SignInError, RetryableError) as error:
            return _failed(error)
        _remember(answer, keeper, _ATTEMPT, sealed, _ATTEMPT_LASTS)
        return answer

    @router.get(SIGNED_IN, include_in_schema=False)
    def signed_in(request: Request) -> Response:
        answer: Response
        try:
            values = keeper.seal.opened(_ATTEMPT, keeper.cookie(request.scope, _ATTEMPT))
            if values is None:
                raise SignInError("this sign-in was not begun here, or too long ago; begin again")  # noqa: TRY301 - one way out
            attempt = Attempt(state=values["state"], nonce=values["nonce"], verifier=values["verifier"])
            told = dict(request.query_params)
            found = provider.finish(attempt, told)
            caller, cookie = keeper.session(found.issuer, found.subject, found.groups)
        except (SignInError, RetryableError) as error:
            answer = _failed(error)
            _forget(answer, keeper, _ATTEMPT)
            return answer
        if caller.role is Role.NOBODY:
            trail.record("sign-in", "refused: no group with a role", caller)
            answer = look.message("You signed in, but none of your groups may look here.", 403)
        else:
            trail.record("sign-in", "done", caller)
            answer = RedirectResponse(local_path(str(values.get("next", "/"))), 302)
            _remember(answer, keeper, SESSION, cookie, keeper.settings.session)
        _forget(answer, keeper, _ATTEMPT)
        return answer

    def _failed(error: SignInError | RetryableError) -> Response:
        log.warning("a sign-in failed", why=str(error))
        later = isinstance(error, ProviderDownError | RetryableError)
        return look.message(f"The sign-in failed: {error}.", 503 if later else 403)


def _remember(answer: Response, keeper: Doorkeeper, purpose: str, text: str, lasts: timedelta) -> None:
    name = keeper.cookie_name(purpose)
    seconds = int(lasts.total_seconds())
    answer.set_cookie(name, text, seconds, path="/", secure=keeper.is_secure, httponly=True, samesite="lax")


def _forget(answer: Response, keeper: Doorkeeper, purpose: str) -> None:
    answer.delete_cookie(keeper.cookie_name(purpose), path="/", secure=keeper.is_secure, httponly=True, samesite="lax")
