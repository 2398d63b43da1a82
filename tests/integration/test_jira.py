"""What the source of Jira asks, sent to a server of the published description: nothing of it may be wrong there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openapi import described
from prism import Prism, serving
from providers.jira import sample
from replay import Request

from collector.http import Wire
from collector.people import People
from collector.source import SourceContext

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DESCRIPTION = ROOT.parent / "shared" / "openapi" / "jira.json"
PRISM = ROOT / "tests" / "npm" / "node_modules" / ".bin" / "prism"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
IN_PROSE = ("/comment", "/remotelink")
"""Paths that are documented elsewhere: the description here was trimmed."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Request]:
    """Every request of a first run on Cloud that the description should know."""
    folder = tmp_path_factory.mktemp("jira")
    made = sample(folder)
    assert made.provider is not None
    context = SourceContext(
        data_dir=folder,
        base_dir=folder,
        people=People(b"k" * 32),
        clock=lambda: NOW,
        wire=Wire(adapter=made.provider, sleep=lambda _: None),
    )
    assert [e for page in made.config.build(context).pull(None) for e in page.events]
    return [one for one in made.provider.asked if not one.path.endswith(IN_PROSE)]


@pytest.fixture(scope="module")
def jira(
    requires_tool: Callable[[str], str], asked: Sequence[Request], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prism]:
    """A server of the description; skips where it, or the program, is not here."""
    if not DESCRIPTION.is_file():
        pytest.skip("the description is not here")
    with serving(requires_tool(str(PRISM)), described(DESCRIPTION), asked, tmp_path_factory.mktemp("prism")) as server:
        yield server


def test_nothing_that_is_asked_is_wrong(jira: Prism, asked: Sequence[Request]) -> None:
    """The account, the statuses, both pages of the search and the histories: each request is taken."""
    assert {one.path.rpartition("/")[2] for one in asked} == {"myself", "status", "jql", "bulkfetch"}
    assert {said for one in asked for said in jira.complaints(one)} == set()


@pytest.mark.parametrize("wrong", [{"startAt": 100}, {"fields": "summary"}, {"maxResults": "many"}])
def test_what_the_new_search_does_not_know_is_found(
    jira: Prism, asked: Sequence[Request], wrong: dict[str, object]
) -> None:
    """The old search's place in the list, or a field of another type, planted into a request of ours, is refused."""
    right = next(one for one in asked if one.path.endswith("/search/jql"))
    planted = right._replace(body=json.dumps({**right.json(), **wrong}).encode())

    assert jira.complaints(right) == []
    assert len(jira.complaints(planted)) == 1
