"""Puts the parts of access together, and an app behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from collector.http import Wire
from paceline.access.account import SIGNED_IN, account_routes
from paceline.access.doorkeeper import Doorkeeper
from paceline.access.guard import BODY_SECONDS, Guard, Rates, Refused
from paceline.access.headers import HEADERS, SafeHeaders
from paceline.access.oidc import Provider
from paceline.access.settings import AccessSettings
from paceline.access.trail import Trail
from paceline.logs import Log
from paceline.pages.look import Look


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who knows people, counts requests and keeps the trail."""

    keeper: Doorkeeper
    rates: Rates
    trail: Trail
    provider: Provider | None
    log: Log


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the service is: its address for people, the folder of its settings and that of its data."""

    url: str
    base_dir: Path
    data_dir: Path


def build_access(
    settings: AccessSettings,
    place: Place,
    key: bytes,
    *,
    clock: Callable[[], datetime],
    log: Log,
    wire: Wire | None = None,
) -> Access:
    """The parts by the settings. `key` makes keyed hashes and seals cookies; `clock` tells real time."""
    provider = None
    if settings.oidc.issuer:
        back = f"{place.url}{SIGNED_IN}"
        provider = Provider(settings.oidc, back, clock=clock, wire=wire, base_dir=place.base_dir)
    return Access(
        keeper=Doorkeeper(settings, place.url, key, clock=clock, log=log),
        rates=Rates(settings.limits),
        trail=Trail(place.data_dir, clock, log),
        provider=provider,
        log=log,
    )


def put_behind(app: FastAPI, access: Access, look: Look) -> None:
    """Give an app the routes of accounts, and stand before all its routes."""
    app.include_router(account_routes(access.keeper, access.trail, look, access.provider, access.log))
    _stand_before(app, access, look.message)


def guard(app: FastAPI, access: Access, body_seconds: float = BODY_SECONDS) -> None:
    """Stand before all routes of an app that has no pages, and give its answers the headers of safety."""
    _stand_before(app, access, lambda detail, status: PlainTextResponse(f"{detail}\n", status), body_seconds)
    app.add_middleware(SafeHeaders, headers=HEADERS)  # the last one is the outermost


def _stand_before(app: FastAPI, access: Access, page: Refused, body_seconds: float = BODY_SECONDS) -> None:
    app.add_middleware(
        Guard,
        routes=lambda: app.routes,
        keeper=access.keeper,
        rates=access.rates,
        trail=access.trail,
        page=page,
        body_seconds=body_seconds,
    )
