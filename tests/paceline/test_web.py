"""The service over HTTP: every route, from memory, before and after the first snapshot."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from paceline.service import Service
from paceline.web import create_app
from paceline.wiring import Running

ROUTES = ["/", "/metrics", "/healthz", "/readyz", "/api/v1/slos", "/openapi.json"]


@pytest.fixture
def before(service: Service) -> Iterator[TestClient]:
    """A client of a service without a snapshot."""
    with TestClient(create_app(service)) as client:
        yield client


@pytest.fixture
def client(collected: Service) -> Iterator[TestClient]:
    """A client of a service with a snapshot."""
    with TestClient(create_app(collected)) as client:
        yield client


@pytest.mark.parametrize("path", ROUTES)
def test_a_route_answers_with_safe_headers(client: TestClient, path: str) -> None:
    """Every route answers, runs no script of others, and is not guessed to be another type."""
    answer = client.get(path)

    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_head_answers_as_get_does(client: TestClient, path: str) -> None:
    """Monitors that only ask for the head get the same status and type."""
    assert client.head(path).status_code == 200
    assert client.head(path).headers["content-type"] == client.get(path).headers["content-type"]


@pytest.mark.parametrize(("path", "status"), [("/metrics", 503), ("/readyz", 503), ("/api/v1/slos", 503)])
def test_before_the_first_snapshot_nothing_is_claimed(before: TestClient, path: str, status: int) -> None:
    """Without a snapshot there are no metrics and no SLOs to show: 503, not an empty success."""
    assert before.get(path).status_code == status


def test_the_process_and_the_page_answer_from_the_start(before: TestClient) -> None:
    """Liveness does not wait for data, and the page says what it waits for."""
    assert before.get("/healthz").json() == {"status": "ok", "problems": []}
    assert "The first numbers are being computed." in before.get("/").text


def test_a_scrape_needs_no_store(running: Running, collected: Service, settings_file: Path) -> None:
    """A scrape makes no network or SQL call: it answers with the store closed and its file gone."""
    with TestClient(create_app(collected)) as client:
        first = client.get("/metrics")
        running.database.close()
        (settings_file.parent / ".paceline" / "paceline.db").unlink()

        assert client.get("/metrics").content == first.content
        assert {client.get(path).status_code for path in ROUTES} == {200}


def test_metrics_are_the_published_bytes(client: TestClient, collected: Service) -> None:
    """Text and OpenMetrics, plain and compressed, are the snapshot's own bytes."""
    assert collected.published is not None
    exposition = collected.published.exposition
    plain = client.get("/metrics", headers={"accept-encoding": "identity"})
    open_metrics = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    packed = client.get("/metrics", headers={"accept-encoding": "gzip"})

    assert plain.content == exposition.text
    assert open_metrics.content == exposition.openmetrics
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", gzip.decompress(exposition.text_gzip))
    assert plain.headers["vary"] == "Accept, Accept-Encoding"


def test_the_slos_are_json(client: TestClient) -> None:
    """An SLO that cannot be judged is null where it has no value, and says why."""
    (slo,) = client.get("/api/v1/slos").json()["slos"]

    assert (slo["name"], slo["target"], slo["window"], slo["status"]) == ("fast", 0.9, "28d", "insufficient_data")
    assert (slo["attainment"], slo["error_budget_remaining_ratio"]) == (None, None)
    assert slo["why"] == "0 events in 28d, at least 10 are needed"


def test_a_stale_source_is_a_problem_but_not_an_outage(collected: Service, clock: Any) -> None:
    """A stale source shows in /readyz by name; the service still answers."""
    clock.move(timedelta(hours=2))
    collected.refresh()

    with TestClient(create_app(collected)) as client:
        answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "source events is not fresh" in answer.json()["problems"]


def test_the_page_shows_numbers_and_sources(client: TestClient) -> None:
    """The status page has the frequency with its n, the SLO, and the source's state."""
    page = client.get("/").text

    assert "0.29 per day" in page
    assert "insufficient data" in page
    assert "fresh" in page


def test_the_page_escapes_what_comes_from_outside(settings_file: Path, collected: Service) -> None:
    """A service named like a script is text on the page."""
    with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(
            '{"kind": "deployment", "native_id": "x", "service": "<script>alert(1)</script>", '
            '"environment": "production", "finished_at": "2026-03-05T10:00:00Z", "result": "success"}\n'
        )
    collected.collect(collected.configuration.sources[0])
    collected.refresh()

    with TestClient(create_app(collected)) as client:
        page = client.get("/").text

    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


def test_the_api_describes_itself(client: TestClient) -> None:
    """OpenAPI lists the routes for programs, each once, and what they answer before the first snapshot."""
    described = client.get("/openapi.json").json()

    assert described["openapi"].startswith("3.")
    assert set(described["paths"]) == {"/metrics", "/healthz", "/readyz", "/api/v1/slos"}
    assert {tuple(p) for p in described["paths"].values()} == {("get",)}
    assert set(described["paths"]["/api/v1/slos"]["get"]["responses"]) == {"200", "503"}


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
@pytest.mark.parametrize("path", ROUTES)
def test_nothing_can_be_written(client: TestClient, method: str, path: str) -> None:
    """No route takes a write."""
    assert client.request(method, path).status_code == 405


def test_an_unknown_path_is_not_found(client: TestClient) -> None:
    """What is not there answers 404, with the same headers."""
    assert client.get("/nothing").status_code == 404
    assert client.get("/nothing").headers["x-content-type-options"] == "nosniff"
