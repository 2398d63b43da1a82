"""A worker's port: the same guard as in front of a service, before health and metrics alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from paceline.access.door import Access, guard
from paceline.access.table import ROUTES, listed, unlisted
from paceline.server import bounded
from paceline.wiring import Running
from paceline.worker import Worker, create_app

TOKEN = "a-token-that-nobody-guesses"  # noqa: S105 - of a test
TOKENS = {"tokens": [{"name": "prometheus", "secret": TOKEN, "scopes": ["metrics"]}]}
PAGE = {"accept": "text/html"}

Client = Callable[..., TestClient]


@pytest.fixture
def worker(running: Running) -> Worker:
    """A worker that takes no jobs."""
    replica: Any = None  # nothing is collected here
    return Worker(running, replica)


@pytest.fixture
def client(worker: Worker, access: Callable[..., Access]) -> Iterator[Client]:
    """A client of a worker behind a guard: of settings, asked by an address."""
    with ExitStack() as stack:

        def made(settings: dict[str, Any], *, url: str = "", peer: str = "192.0.2.7") -> TestClient:
            app = create_app(worker)
            guard(app, access(settings, url))
            asking = TestClient(app, "http://localhost", client=(peer, 4321), follow_redirects=False)
            return stack.enter_context(asking)

        yield made


def test_every_route_of_a_worker_is_in_the_table(worker: Worker) -> None:
    """It has health and metrics, and nothing that nobody decided on."""
    app = create_app(worker)

    assert unlisted(app.routes) == []
    assert {f"{method} {path}" for method, path in listed(app.routes)} <= set(ROUTES)


def test_metrics_of_a_worker_need_a_token_too(client: Client) -> None:
    """Health is for everybody; the metrics are for who has a token for them, unless they are open."""
    asked = client(TOKENS)
    shown = {"authorization": f"Bearer {TOKEN}"}

    assert [asked.get(path).status_code for path in ("/healthz", "/readyz", "/metrics", "/nothing")] == [
        *(200, 503, 401, 401),
    ]
    answer = asked.get("/metrics", headers=shown)
    assert (answer.status_code, "platform_worker_busy" in answer.text) == (200, True)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert client({**TOKENS, "metrics": "open"}).get("/metrics").status_code == 200


def test_a_worker_says_what_it_lacks(client: Client, worker: Worker) -> None:
    """Its store, disk and clock, to who may look. A full disk makes it no less ready: it goes on with what it can."""
    worker.ready = True
    worker.health.look()
    worker.health.state = replace(worker.health.state, free_bytes=1 << 20)
    seen, unseen = client({"anonymous": "viewer"}), client(TOKENS)

    answer = seen.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "status": "degraded",
            "problems": ["the disk of the data directory is nearly full: 1 MiB are left"],
            "parts": {"queue": "ok", "store": "ok", "disk": "degraded", "clock": "ok"},
        },
    )
    assert unseen.get("/readyz").json() == {"status": "degraded", "problems": []}
    assert "platform_data_free_bytes 1.048576e+06" in seen.get("/metrics").text


def test_a_worker_without_its_queue_is_not_ready(client: Client) -> None:
    """It says so to who may look, and takes no part until it is back."""
    answer = client({"anonymous": "viewer"}).get("/readyz")

    assert (answer.status_code, answer.json()["parts"]["queue"]) == (503, "degraded")
    assert answer.json()["problems"] == ["the queue cannot be reached"]


def test_a_worker_leads_nobody_to_a_sign_in(client: Client) -> None:
    """It has no page to sign in at: a browser is refused and not sent in a circle."""
    oidc = {"oidc": {"issuer": "https://login.example", "client_id": "paceline"}, "roles": {"viewer": "*"}}
    asked = client(oidc, url="https://paceline.example")

    assert asked.get("/metrics", headers=PAGE).status_code == 401
    assert asked.get("/account/sign-in", headers=PAGE).status_code == 401


def test_a_page_of_another_site_reads_no_worker(client: Client) -> None:
    """On loopback without a sign-in, the name must be this machine's."""
    asked = client({}, peer="127.0.0.1")

    assert asked.get("/metrics", headers={"host": "evil.example"}).status_code == 421
    assert asked.get("/metrics").status_code == 200


def test_a_worker_is_served_within_the_same_bounds(worker: Worker, running: Running) -> None:
    """What bounds connections to the service bounds them to a worker."""
    config = bounded(create_app(worker), running, None)

    assert config.limit_concurrency == running.service.configuration.settings.server.connections
    assert (config.proxy_headers, config.ws, config.server_header) == (False, "none", False)
