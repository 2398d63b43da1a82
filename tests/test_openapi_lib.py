"""The check of exchanges against descriptions of APIs: what it finds, and what it lets pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from openapi import check
from replay import Request

RUN = {"id": 1, "name": "build", "state": "done", "started_at": "2026-01-02T03:04:05Z", "owner": {"id": 7}}
SCHEMAS: dict[str, Any] = {
    "Run": {
        "type": "object",
        "required": ["id", "state"],
        "properties": {
            "id": {"type": "integer"},
            "name": {"type": "string"},
            "state": {"type": "string", "enum": ["done", "open"]},
            "started_at": {"type": "string", "format": "date-time"},
            "owner": {"$ref": "#/components/schemas/Owner"},
            "note": {"type": "string", "nullable": True},
            "kind": {"type": "string", "nullable": True, "enum": ["a", "b"]},
        },
    },
    "Owner": {"type": "object", "properties": {"id": {"type": "integer", "minimum": 1}}},
}
PARAMETERS: list[dict[str, Any]] = [
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    {"name": "state", "in": "query", "schema": {"type": "string", "enum": ["done", "open"]}},
    {"name": "since", "in": "query", "schema": {"type": "string", "format": "date-time"}},
    {"name": "day", "in": "query", "schema": {"type": "string", "format": "date"}},
    {"name": "batch", "in": "query", "schema": {"type": "string", "format": "uuid"}},
    {"name": "whole", "in": "query", "schema": {"type": "boolean"}},
    {"name": "ids", "in": "query", "explode": False, "schema": {"type": "array", "items": {"type": "integer"}}},
]


def new_document() -> dict[str, Any]:
    """An OpenAPI 3 document of a small API."""
    runs = {"type": "array", "items": {"$ref": "#/components/schemas/Run"}}
    return {
        "openapi": "3.0.3",
        "servers": [{"url": "https://ci.example/api/v2"}],
        "paths": {
            "/runs": {
                "get": {
                    "parameters": [*PARAMETERS, {"$ref": "#/components/parameters/Group"}],
                    "responses": {"200": {"content": {"application/json": {"schema": runs}}}},
                },
                "post": {
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Owner"}}}
                    },
                    "responses": {"201": {"description": "made"}},
                },
            },
            "/runs/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                "get": {
                    "responses": {
                        "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Run"}}}}
                    }
                },
            },
            "/runs/newest": {"get": {"responses": {"200": {"description": "text"}}}},
        },
        "components": {
            "schemas": SCHEMAS,
            "parameters": {
                "Group": {"name": "group", "in": "query", "required": True, "schema": {"type": "string"}},
            },
        },
    }


def old_document() -> dict[str, Any]:
    """The same list in Swagger 2."""
    renamed = json.loads(json.dumps(SCHEMAS).replace("#/components/schemas/", "#/definitions/"))
    parameters = [{"in": "query", "name": p["name"], **p["schema"]} for p in PARAMETERS]
    return {
        "swagger": "2.0",
        "basePath": "/api/v2",
        "paths": {
            "/runs": {"get": {"parameters": parameters, "responses": {"200": {"$ref": "#/responses/Runs"}}}},
        },
        "responses": {"Runs": {"schema": {"type": "array", "items": {"$ref": "#/definitions/Run"}}}},
        "definitions": renamed,
    }


def request(path: str, query: str = "", *, method: str = "GET", body: object = None) -> Request:
    """A request as a stand-in keeps it."""
    raw = b"" if body is None else json.dumps(body).encode()
    return Request(method, path, parse_qs(query, keep_blank_values=True), {}, raw, "")


Checked = Callable[..., list[str]]


@pytest.fixture(params=["openapi", "swagger"])
def checked(request: pytest.FixtureRequest) -> Checked:
    """Checks a request for the list of runs, with one run as the answer, in both kinds of documents."""
    document = {"openapi": new_document, "swagger": old_document}[request.param]()
    group = "group=x&" if "openapi" in document else ""

    def run(query: str = "", **changes: Any) -> list[str]:
        asked = Request("GET", "runs", parse_qs(group + query, keep_blank_values=True), {}, b"", "")
        return check(document, asked, 200, json.dumps([{**RUN, **changes}]).encode())

    return run


def test_an_exchange_as_described_has_no_violation(checked: Checked) -> None:
    """Every parameter with a right value, and a whole answer, pass."""
    right = "limit=100&state=open&since=2026-01-02T03:04:05Z&day=2026-01-02&whole=true&ids=1,2"

    assert checked(f"{right}&batch=5f0c1e1c-8e57-4f5e-9a1b-0123456789ab") == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=101",
        "limit=many",
        "state=broken",
        "since=2026-01-02 03:04:05",
        "since=2026-13-02T03:04:05Z",
        "day=2026-02-30",
        "day=2026-01-02T03:04:05Z",
        "batch=5f0c1e1c",
        "whole=yes",
        "ids=1,x",
    ],
)
def test_a_mistyped_parameter_is_named(checked: Checked, query: str) -> None:
    """A value that a parameter does not take is a violation that names the parameter."""
    (said,) = checked(query)

    assert said.startswith(f"GET /runs: the query parameter {query.partition('=')[0]!r}: ")


def test_an_unknown_parameter_is_named(checked: Checked) -> None:
    """Servers ignore a parameter they do not know; here it is a violation."""
    assert checked("per_pgae=5") == ["GET /runs: the query parameter 'per_pgae' is unknown"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"id": "1"}, "[0].id: '1' is not of type 'integer'"),
        ({"state": "weird"}, "[0].state: 'weird' is not one of ['done', 'open']"),
        ({"started_at": "2026-01-02 03:04"}, "[0].started_at: '2026-01-02 03:04' is not a 'date-time'"),
        ({"owner": {"id": 0}}, "[0].owner.id: 0 is less than the minimum of 1"),
        ({"state": None}, "[0].state: None is not"),
    ],
)
def test_an_answer_that_does_not_fit_is_named_with_its_place(
    checked: Checked, changes: Mapping[str, Any], place: str
) -> None:
    """A wrong type, an unknown enum value, a time without a zone: each at its path inside the answer."""
    assert f"GET /runs: the answer{place}" in " | ".join(checked(**changes))


def test_what_may_be_null_is(checked: Checked) -> None:
    """`nullable` values are null in both kinds, with an enum beside it too."""
    assert checked(note=None, kind=None) == []


def test_an_optional_property_is_null_only_where_no_document_can_say_so() -> None:
    """Swagger 2 cannot say `nullable`, so what is optional may be null there, and not in OpenAPI 3."""
    body = json.dumps([{**RUN, "owner": None}]).encode()

    assert check(old_document(), request("runs"), 200, body) == []
    assert len(check(new_document(), request("runs", "group=x"), 200, body)) == 1


def test_a_missing_parameter_is_named() -> None:
    """A required parameter that was not asked with is a violation, also where a `$ref` describes it."""
    assert check(new_document(), request("runs"), 200, b"[]") == ["GET /runs: the query parameter 'group' is missing"]


def test_an_unknown_path_or_method_is_named() -> None:
    """A path or a method that the API does not have is a violation."""
    document = new_document()

    assert check(document, request("jobs"), 200, b"") == ["GET /jobs: there is no such path"]
    assert check(document, request("runs", method="PUT"), 200, b"") == ["PUT /runs: there is no such method"]


def test_the_most_specific_path_wins() -> None:
    """`/runs/newest` is not a run whose id is `newest`."""
    document = new_document()

    assert check(document, request("runs/newest"), 200, b"hello") == []
    assert "path parameter 'id'" in check(document, request("runs/oldest"), 200, json.dumps(RUN).encode())[0]


@pytest.mark.parametrize(("path", "base"), [("runs", ""), ("api/v2/runs", ""), ("runs", "/api/v2"), ("runs/", "")])
def test_the_base_of_a_path_does_not_matter(path: str, base: str) -> None:
    """A path is found with the document's own base before it and without."""
    assert [check(d, request(path, "group=x"), 200, b"[]", base) for d in (new_document(),)] == [[]]
    assert check(old_document(), request(path), 200, b"[]", base) == []


def test_an_undescribed_status_is_named() -> None:
    """A status that the operation does not have is a violation; 304 without a body is HTTP's own."""
    document = new_document()

    assert check(document, request("runs", "group=x"), 418, b"") == ["GET /runs: the status 418 is not described"]
    assert check(document, request("runs", "group=x"), 304, b"") == []


def test_what_is_sent_is_checked() -> None:
    """The body of a POST must fit too."""
    document = new_document()

    assert check(document, request("runs", method="POST", body={"id": 3}), 201, b"") == []
    assert check(document, request("runs", method="POST", body={"id": "3"}), 201, b"") == [
        "POST /runs: what is sent.id: '3' is not of type 'integer'"
    ]
    assert check(document, request("runs/1", body={}), 200, json.dumps(RUN).encode()) == [
        "GET /runs/{id}: no body is expected"
    ]


def test_an_answer_that_is_no_json_is_named() -> None:
    """A page in HTML is no answer."""
    assert check(new_document(), request("runs", "group=x"), 200, b"<html>") == ["GET /runs: the answer is no JSON"]


def test_a_list_in_an_envelope_is_a_list() -> None:
    """A list that is sent as `{"count", "value"}` is checked item by item."""
    body = json.dumps({"count": 1, "value": [{**RUN, "id": "1"}]}).encode()

    assert check(new_document(), request("runs", "group=x"), 200, body) == [
        "GET /runs: the answer[0].id: '1' is not of type 'integer'"
    ]


def test_a_file_is_read_like_a_document(tmp_path: Path) -> None:
    """The description may be a file."""
    path = tmp_path / "api.json"
    path.write_text(json.dumps(old_document()))

    assert check(path, request("runs"), 200, b"[]") == []
