"""A real Redmine: tickets that people open, answer and close over its API, read by the source into a store."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from redmine_server import STATUSES, Issue, RedmineServer, redmine_at, require, stored

from collector.events import Ticket
from collector.findings import Findings
from collector.http import Exchange, Method, Wire
from collector.people import People
from collector.run import Failure, Runner, RunOutcome
from collector.source import SourceContext
from collector.sources.redmine import RedmineConfig
from collector.store import Database, EventStore

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
PEOPLE = People(b"k" * 32)
TICKETS = [{"becomes": "ticket"}]
WORDS = {"open": ["New"], "in_progress": ["In Progress"], "waiting": ["Feedback"], "resolved": ["Resolved"]}


@dataclass
class Listener:
    """Hears what is asked of a server and answered, and lets it through."""

    heard: list[Exchange] = field(default_factory=list)
    on_answer: Callable[[Exchange], object] = lambda _: None

    def play(self, method: Method, path: str, request: bytes) -> None:
        """Nothing is answered but by the server."""

    def keep(self, exchange: Exchange) -> None:
        """The server answered."""
        self.heard.append(exchange)
        self.on_answer(exchange)

    def paths(self) -> list[str]:
        """The paths that were asked for, without their queries."""
        return [urlsplit(one.path).path.lstrip("/") for one in self.heard]

    def details(self) -> list[str]:
        """The issues of which what happened to them was asked, in order."""
        return sorted(path for path in self.paths() if path.startswith("issues/"))

    def listed(self) -> list[list[int]]:
        """The ids of the issues on each page of a list."""
        bodies = [json.loads(one.body) for one in self.heard if urlsplit(one.path).path == "/issues.json"]
        return [[issue["id"] for issue in body["issues"]] for body in bodies]


@dataclass
class Desk:
    """A project of the server, and a store into which it is read run after run."""

    server: RedmineServer
    project: int
    name: str
    database: Database
    context: SourceContext
    settings: dict[str, Any]
    ear: Listener = field(default_factory=Listener)

    def read(self, at: datetime = NOW, by: str = "grace", **settings: Any) -> RunOutcome:
        """A run of the source, with the real runner."""
        self.ear.heard.clear()
        wire = Wire(tape=self.ear, sleep=lambda _: None)
        context = replace(self.context, clock=lambda: at, wire=wire, findings=Findings())
        self.context = context
        base = {"type": "redmine", "name": "desk", "url": self.server.url, "token": self.server.keys.get(by, by)}
        source = RedmineConfig.model_validate({**base, **self.settings, **settings}).build(context)
        return Runner(self.database, self.store, lambda: at).run("desk", source)

    @property
    def store(self) -> EventStore:
        """The events."""
        return EventStore(self.database)

    def tickets(self) -> dict[int, Ticket]:
        """What is stored, by the issues' ids."""
        return {int(ticket.native_id): ticket for ticket in self.store.events(Ticket)}

    def issue(self, by: str = "ada") -> int:
        """The id of a new issue."""
        return self.server.issue(self.name, by, tracker="Support")

    def told(self, issue: int) -> dict[str, Any]:
        """An issue as the server tells it."""
        told: dict[str, Any] = self.server.told(f"issues/{issue}.json", include="journals")["issue"]
        return told


@pytest.fixture(scope="module")
def redmine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedmineServer]:
    """A server whose answering user lives in another zone than its clock."""
    require()
    with redmine_at(tmp_path_factory.mktemp("redmine")) as server:
        zone = ("Pacific Time (US & Canada)",)
        server.sql("INSERT INTO user_preferences (user_id, hide_mail, time_zone) VALUES (6, 1, ?)", [zone])
        yield server


@pytest.fixture(scope="module")
def desks(redmine: RedmineServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Desk]]:
    """Makes projects with stores of their own; further arguments are settings."""
    with contextlib.ExitStack() as stack:

        def make(name: str, **settings: Any) -> Desk:
            folder = tmp_path_factory.mktemp(name)
            database = Database.open(folder)
            stack.callback(database.close)
            context = SourceContext(data_dir=folder, base_dir=folder, people=PEOPLE, clock=lambda: NOW)
            fields = {"projects": [name], "issues": TICKETS, "statuses": WORDS, **settings}
            return Desk(redmine, redmine.project(name), name, database, context, fields)

        yield make


def at(text: str) -> datetime:
    """A time as the server shows it."""
    return datetime.fromisoformat(text)


def an_issue(number: int, project: int, updated_at: datetime) -> Issue:
    """A new issue of the day before."""
    return Issue(number=number, project=project, created_at=NOW - DAY, updated_at=updated_at)


# ---- the life of a ticket


@pytest.fixture(scope="module")
def lived(desks: Callable[..., Desk]) -> tuple[Desk, int]:
    """A desk whose ticket was answered, waited, was resolved, came again and was closed."""
    desk = desks("lived")
    issue = desk.issue(by="ada")
    desk.server.update(issue, "grace", notes="Have you looked at the manual?", status="In Progress")
    desk.server.update(issue, "grace", notes="She never looks.", private_notes=True)
    desk.server.update(issue, "grace", status="Feedback")
    desk.server.update(issue, "ada", notes="I have.")
    desk.server.update(issue, "grace", status="Resolved")
    desk.server.update(issue, "grace", status="In Progress")
    desk.server.update(issue, "admin", status="Closed")
    assert desk.read().error is None
    return desk, issue


def test_each_change_of_status_is_a_transition_at_its_time(lived: tuple[Desk, int]) -> None:
    """What was answered, waited, resolved, came again and was closed went through these states, when Redmine says."""
    desk, issue = lived
    moved = [j["created_on"] for j in desk.told(issue)["journals"] if j["details"]]

    assert [(t.state, t.at) for t in desk.tickets()[issue].transitions] == list(
        zip(["in_progress", "waiting", "resolved", "in_progress", "closed"], map(at, moved), strict=True)
    )


def test_a_ticket_is_told_as_redmine_has_it(lived: tuple[Desk, int]) -> None:
    """Who opened it, where, when and how urgent it is, and when it ended."""
    desk, issue = lived
    told, ticket = desk.told(issue), desk.tickets()[issue]

    assert (ticket.queue, ticket.type, ticket.priority, ticket.state) == ("lived", "Support", "Normal", "closed")
    assert ticket.author == PEOPLE.hashed("ada")
    assert (ticket.created_at, ticket.updated_at) == (at(told["created_on"]), at(told["updated_on"]))
    assert (ticket.closed_at, ticket.resolved_at) == (at(told["closed_on"]), at(told["closed_on"]))


def test_public_notes_are_replies(lived: tuple[Desk, int]) -> None:
    """What somebody noted for all to see is a reply by them; a private note and a change without a word are none."""
    desk, issue = lived
    said = [j["created_on"] for j in desk.told(issue)["journals"] if j["notes"] and not j["private_notes"]]

    assert [(r.author, r.at) for r in desk.tickets()[issue].replies] == [
        (PEOPLE.hashed("grace"), at(said[0])),
        (PEOPLE.hashed("ada"), at(said[1])),
    ]


def test_a_status_that_no_setting_maps_is_named(lived: tuple[Desk, int]) -> None:
    """A status without a meaning here is taken as Redmine has it, and named with how often it was met."""
    desk, _ = lived

    assert desk.context.findings.unmapped == {("status", "Closed", "closed"): 2}


def test_a_wrong_key_is_no_empty_server(lived: tuple[Desk, int]) -> None:
    """Redmine answers a wrong key with what everybody may see; the run fails, and what was read stays."""
    desk, issue = lived

    outcome = desk.read(by="a-key-of-nobody")

    assert outcome.failure is Failure.CREDENTIALS
    assert desk.ear.paths() == ["users/current.json"]
    assert issue in desk.tickets()


# ---- long lists


@pytest.fixture(scope="module")
def moving(desks: Callable[..., Desk]) -> Desk:
    """A desk with two pages of closed issues, some of which changed while they were read: the first, and the last."""
    desk = desks("moving", parallel=4)
    old = [
        Issue(
            number=1_000 + n,
            project=desk.project,
            status=STATUSES["Closed"],
            created_at=NOW - 9 * DAY,
            updated_at=NOW - 3 * DAY + timedelta(minutes=n),
            closed_at=NOW - 8 * DAY,
            moves=[(NOW - 8 * DAY, 1, STATUSES["Closed"])],
        )
        for n in range(104)
    ]
    desk.server.insert(old)

    def change(exchange: Exchange) -> None:
        if len(desk.ear.listed()) == 1 and "/issues.json" in exchange.path:
            desk.ear.on_answer = lambda _: None
            desk.server.update(1_000, "admin", notes="Again.", status="Feedback")
            desk.server.update(1_101, "admin", notes="Again.", status="Feedback")

    desk.ear.on_answer = change
    assert desk.read().error is None
    return desk


def test_nothing_is_skipped_while_issues_change(moving: Desk) -> None:
    """Issues that change between two pages move to the end of the list: all are met, and these as they are now."""
    states = {number: ticket.state for number, ticket in moving.tickets().items()}

    assert sorted(states) == list(range(1_000, 1_104))
    assert {number for number, state in states.items() if state == "waiting"} == {1_000, 1_101}


def test_only_what_changed_is_asked_for_again(moving: Desk) -> None:
    """A later run asks what happened to the issue that changed since, and to no other."""
    changed = (NOW + timedelta(hours=1), 1_050)
    moving.server.sql("UPDATE issues SET updated_on = ? WHERE id = ?", [(stored(changed[0]), changed[1])])

    outcome = moving.read(NOW + timedelta(hours=2))

    assert (outcome.error, outcome.changed) == (None, 1)
    assert {"issues/1050.json"} <= set(moving.ear.details()) <= {f"issues/{n}.json" for n in (1_000, 1_050, 1_101)}


def test_more_issues_of_one_second_than_a_page_holds_are_all_met(desks: Callable[..., Desk]) -> None:
    """A bulk edit gives more issues one second than a page holds: they are read on by their ids."""
    desk = desks("bulk", issues=[{"becomes": "nothing"}])
    desk.server.insert([an_issue(2_000 + n, desk.project, NOW - DAY) for n in range(230)])
    desk.server.insert([an_issue(2_999, desk.project, NOW)])

    assert desk.read().error is None

    assert {number for page in desk.ear.listed() for number in page} == {*range(2_000, 2_230), 2_999}


# ---- what is gone


def test_a_deleted_issue_is_found_a_day_later(desks: Callable[..., Desk]) -> None:
    """What was deleted on the server is removed here by the next day's look at what there is."""
    desk = desks("deleting")
    desk.server.insert([an_issue(n, desk.project, NOW - DAY) for n in (3_000, 3_001)])
    desk.read()
    desk.server.delete("issues/3000.json")

    outcome = desk.read(NOW + DAY)

    assert (outcome.error, outcome.removed) == (None, 1)
    assert set(desk.tickets()) == {3_001}


def test_a_project_that_is_hidden_deletes_nothing(desks: Callable[..., Desk]) -> None:
    """Issues of a project that the key may not see any more look as if they were deleted; they stay, and it is said."""
    desk, hidden = desks("seen"), desks("hidden")
    desk.server.insert([an_issue(4_000, desk.project, NOW - DAY), an_issue(4_001, hidden.project, NOW - DAY)])
    both = ["seen", "hidden"]
    desk.read(projects=both)
    desk.server.sql("UPDATE projects SET is_public = 0 WHERE id = ?", [(hidden.project,)])
    desk.server.sql("DELETE FROM members WHERE project_id = ?", [(hidden.project,)])

    outcome = desk.read(NOW + DAY, projects=both)

    assert (outcome.error, outcome.removed, set(desk.tickets())) == (None, 0, {4_000, 4_001})
    assert "a project is not shown any more" in " ".join(outcome.truncations)


def test_what_is_asked_for_fits_the_query(moving: Desk) -> None:
    """The list is asked for with all statuses, in the order of changes."""
    moving.read(NOW + timedelta(hours=3))
    queries = [parse_qs(urlsplit(one.path).query) for one in moving.ear.heard if "/issues.json" in one.path]

    assert [(q["status_id"], q["sort"], q["limit"]) for q in queries] == [(["*"], ["updated_on,id"], ["100"])]
