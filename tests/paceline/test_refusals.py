"""What is answered where there is nothing else: pages for people, JSON for programs, the same headers on both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from paceline.service import Service
from paceline.web import create_app

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HEADERS = ("content-security-policy", "x-content-type-options", "referrer-policy")


@pytest.fixture
def client(collected: Service) -> Iterator[TestClient]:
    """A client of a service with a snapshot, which is answered when the service fails."""
    with TestClient(create_app(collected), raise_server_exceptions=False) as found:
        yield found


def looks_like_a_page(answer: Any, heading: str) -> bool:
    """Whether an answer is a page in the look of all pages, with a heading and the headers of all answers."""
    has = f"<h1>{heading}</h1>" in answer.text and 'aria-label="Pages"' in answer.text
    return has and all(name in answer.headers for name in HEADERS)


@pytest.mark.parametrize("path", ["/nowhere", "/slos/nowhere", "/weekly/2026-W99", "/static/../secret"])
def test_an_unknown_address_is_answered_with_a_page(client: TestClient, path: str) -> None:
    """With the way back."""
    answer = client.get(path, headers=BROWSER)

    assert (answer.status_code, looks_like_a_page(answer, "Not found")) == (404, True)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"/slos?status={'x' * 10_000}", "status: String should have at most 200 characters."),
        ("/explain/uptime?limit=0", "limit: Input should be greater than or equal to 1."),
        ("/explain/uptime?label=x&label=y", "label: String should match pattern"),
        ("/weekly/2026-W10?format=pdf", "format: Input should be"),
    ],
)
def test_what_cannot_be_understood_is_named_on_a_page(client: TestClient, path: str, said: str) -> None:
    """By its name in the address, with what was expected; what was sent is not told back."""
    answer = client.get(path, headers=BROWSER)

    assert (answer.status_code, looks_like_a_page(answer, "Not understood")) == (422, True)
    assert said in answer.text
    assert "xxx" not in answer.text


def test_another_method_is_refused_on_a_page(client: TestClient) -> None:
    """And the method that there is is told."""
    answer = client.post("/", headers=BROWSER)

    assert (answer.status_code, looks_like_a_page(answer, "Not shown")) == (405, True)
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/nowhere", "*/*"), ("/explain/uptime?limit=0", "*/*"), ("/api/v1/nowhere", BROWSER["Accept"])],
)
def test_programs_are_answered_with_json(client: TestClient, path: str, accept: str) -> None:
    """Unless a browser asks for a page; under /api nobody does."""
    answer = client.get(path, headers={"Accept": accept})

    assert "detail" in answer.json()
    assert all(name in answer.headers for name in HEADERS)


@pytest.mark.parametrize(("accept", "found"), [(BROWSER["Accept"], "Something failed"), ("*/*", '"detail"')])
def test_a_failure_is_told_without_its_cause(client: TestClient, collected: Service, accept: str, found: str) -> None:
    """No traceback, no text of the error, and the headers of all answers."""

    def failing(*_: object) -> None:
        raise RuntimeError("/secret/path")

    collected.explain_published = failing  # type: ignore[method-assign, assignment] # it fails
    answer = client.get("/explain/uptime", headers={"Accept": accept})

    assert answer.status_code == 500
    assert found in answer.text
    assert "secret" not in answer.text
    assert all(name in answer.headers for name in HEADERS)


def test_a_week_to_come_has_no_summary(client: TestClient) -> None:
    """Nothing can be told of it yet; the week that runs has one."""
    assert client.get("/weekly/2026-W12").status_code == 404
    assert client.get("/weekly/2026-W11").status_code == 200


def test_before_the_first_numbers_no_week_is_told(service: Service) -> None:
    """An empty summary would read as a week in which nothing happened."""
    with TestClient(create_app(service)) as client:
        assert client.get("/weekly/2026-W10", headers=BROWSER).status_code == 503
        assert client.get("/weekly/2026-W10?format=json").json() == {"detail": "no snapshot is published yet"}
