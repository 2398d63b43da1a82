"""A description in the settings against a real Redmine: it gives what the source of Redmine's own gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from providers.http_json import described
from redmine_server import RedmineServer, redmine_at, require

from collector.document import validate
from collector.events import Event, Ticket
from collector.people import People
from collector.source import SourceConfig, SourceContext
from collector.sources.http_json import HttpJsonConfig
from collector.sources.redmine import RedmineConfig

pytestmark = pytest.mark.integration

ADDRESS = "https://redmine.example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedmineServer]:
    """A server with some tickets: one of a whole life, one that came again, some that nobody has touched."""
    require()
    with redmine_at(tmp_path_factory.mktemp("redmine")) as made:
        made.project("desk")
        lived, again = (made.issue("desk", by="ada", tracker="Support", priority="High") for _ in range(2))
        for _ in range(3):
            made.issue("desk", by="grace")
        made.update(lived, "grace", notes="Have you looked at the manual?", status="In Progress")
        made.update(lived, "grace", notes="She never looks.", private_notes=True)
        made.update(lived, "grace", status="Feedback")
        made.update(lived, "ada", notes="I have.")
        made.update(lived, "grace", status="Resolved")
        made.update(lived, "admin", status="Closed")
        made.update(again, "grace", status="Resolved")
        made.update(again, "grace", status="In Progress")
        yield made


@dataclass(frozen=True)
class Both:
    """What the two sources give, by the ids of the issues."""

    described: Mapping[str, Event]
    own: Mapping[str, Event]


@pytest.fixture(scope="module")
def both(server: RedmineServer, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """A first run of each."""
    folder = tmp_path_factory.mktemp("settings")
    key = server.keys["grace"]
    document = described("redmine.yaml", folder, address=(ADDRESS, server.url), REDMINE_KEY=key)
    shown = validate(document, HttpJsonConfig, at=("sources", 0))
    words = {"statuses": document.value["sources"][0]["statuses"], "issues": [{"becomes": "ticket"}]}
    fields = {"type": "redmine", "name": shown.name, "url": server.url, "token": key}
    return Both(read(shown, folder), read(RedmineConfig.model_validate({**fields, **words}), folder))


def read(config: SourceConfig, folder: Path) -> Mapping[str, Event]:
    """The events of a first run, which complains of nothing."""
    now = datetime.now(UTC)
    context = SourceContext(data_dir=folder, base_dir=folder, people=People(b"k" * 32), clock=lambda: now)
    pages = list(config.build(context).pull(None))
    assert [said for p in pages for said in (*p.rejected, *p.warnings, *p.truncations)] == []
    return {event.native_id: event for page in pages for event in page.events}


def test_a_description_gives_what_the_source_gives(both: Both) -> None:
    """What the page on any JSON API shows for Redmine reports the same tickets, field by field."""
    assert both.described == both.own
    assert len(both.own) == 5


def test_a_ticket_of_a_whole_life_is_told(both: Both) -> None:
    """The tickets that are compared have replies, changes of status and ends."""
    lived = min(both.described.values(), key=lambda e: int(e.native_id))

    assert isinstance(lived, Ticket)
    assert [t.state for t in lived.transitions] == ["in_progress", "waiting", "resolved", "closed"]
    assert len(lived.replies) == 2
    assert lived.resolved_at is not None
