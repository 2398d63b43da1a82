"""Every route has been decided on: who may ask for it stands in the one table, and what does not is for nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from paceline.access.caller import By, Caller, Role
from paceline.access.door import Access
from paceline.access.settings import Scope
from paceline.access.table import ROUTES, Door, Table, listed, unlisted
from paceline.enricher import build_enricher
from paceline.logs import configure
from paceline.service import Service
from paceline.web import create_app
from paceline.webhooks import Webhooks

SETTINGS = {
    "tokens": [{"name": "ci", "secret": "a-token-that-nobody-guesses", "scopes": ["read", "operate", "metrics"]}],
    "oidc": {"issuer": "https://login.example", "client_id": "paceline"},
    "roles": {"viewer": "*"},
}


@pytest.fixture
def app(shared: Service, access: Callable[..., Access], clock: Any) -> Iterator[FastAPI]:
    """The whole app, as it is served."""
    log = configure("error", "text")
    enricher = build_enricher(shared, shared.configuration.settings.notify, tiers=shared.tiers, log=log, clock=clock)
    webhooks = Webhooks(shared, log, clock)
    yield create_app(shared, enricher, webhooks, None, access(SETTINGS))
    webhooks.close()
    enricher.close()


def test_every_route_is_in_the_table(app: FastAPI) -> None:
    """No route of the whole app is left out, and the table names none that is not there."""
    assert unlisted(app.routes) == []
    assert {f"{method} {path}" for method, path in listed(app.routes)} == set(ROUTES)


def test_a_route_that_nobody_decided_on_is_found(app: FastAPI) -> None:
    """A planted route without an entry makes the check of the table fail, and is refused to whoever asks."""
    app.add_api_route("/api/v1/secrets", lambda: {"secret": 1}, methods=["GET", "POST"])
    app.add_api_route("/plain", lambda: {"secret": 1})

    assert unlisted(app.routes) == ["GET /api/v1/secrets", "GET /plain", "POST /api/v1/secrets"]
    with TestClient(app, "https://paceline.example", follow_redirects=False) as client:
        asked = client.get("/api/v1/secrets", headers={"authorization": "Bearer a-token-that-nobody-guesses"})
        assert asked.status_code == 403
        assert "secret" not in asked.text
        assert client.get("/plain").status_code == 401


def test_what_everybody_may_is_a_short_list() -> None:
    """Health, files of pages, one's own account, and what checks its sender itself: nothing else is open."""
    assert {name for name, need in ROUTES.items() if need.is_met_by(Caller())} == {
        *("GET /healthz", "GET /readyz", "GET /static/{name}"),
        *("GET /account", "POST /account/sign-out", "GET /account/sign-in", "GET /account/signed-in"),
        *("POST /webhooks/{source}", "POST /webhooks/alertmanager"),
    }


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        (Scope.GATE, {"GET /api/v1/gate"}),
        (Scope.ANNOTATIONS, {"GET /api/v1/annotations"}),
        (Scope.METRICS, {"GET /metrics"}),
    ],
)
def test_a_narrow_token_opens_one_door(scope: Scope, may: set[str]) -> None:
    """A token for one thing is good for that alone."""
    caller = Caller(scopes=frozenset({scope}), by=By.TOKEN)
    assert {name for name, need in ROUTES.items() if need.is_met_by(caller) and not need.is_met_by(Caller())} == may


def test_an_operator_may_what_a_viewer_may_and_more() -> None:
    """The log of deliveries, what came to webhooks and the trail are for operators."""
    viewer, operator = (
        {name for name, need in ROUTES.items() if need.is_met_by(Caller(role=role))}
        for role in (Role.VIEWER, Role.OPERATOR)
    )
    assert operator - viewer == {"GET /webhooks", "GET /api/v1/deliveries", "GET /api/v1/audit"}
    assert viewer < operator


def test_an_unusual_path_is_no_other_door(app: FastAPI) -> None:
    """What is no route is as closed as a route: nothing is found out by spelling a path otherwise."""
    table = Table(app.routes)
    for path in ("//metrics", "/metrics/", "/METRICS", "/./metrics", "/api/v1/../../metrics", "/healthz/../metrics"):
        need = table.need("GET", path)
        assert need.door is Door.LOOK
        assert not need.is_met_by(Caller())
