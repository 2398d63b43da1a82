"""Issues of Jira, Cloud and Data Center: what becomes of each, how they are read on, and what webhooks bring."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openapi
import pytest
from names import PLANTED_LOGIN
from providers.jira import (
    BASE,
    BEGAN,
    BULK_KIND,
    ORGANIZATIONS,
    REQUEST_TYPE,
    SEVERITY,
    START,
    TOKEN,
    World,
    at,
    bulk,
    login,
    provider,
    sample,
    stamp,
    status,
    user,
    world,
)
from pydantic import ValidationError
from replay import Provider, Reply

from collector.errors import AuthError, ContractError, RetryableError, SourceError
from collector.events import Event, Incident, IncidentState, Ticket, TicketState, Transition
from collector.events import Reply as Answered
from collector.findings import Findings
from collector.http import Answer, Wire
from collector.source import Page, SourceContext
from collector.sources.jira import JiraConfig
from collector.streams import Notes
from collector.systems.jira.api import Asking, moment, quoted, zone_of
from collector.systems.jira.shapes import Chosen, Listed, words
from collector.webhooks import Delivery, Received

DESCRIBED = Path(__file__).parents[3] / "shared" / "openapi" / "jira.json"
TICKETS: Sequence[dict[str, Any]] = ({"becomes": "ticket"},)
INCIDENTS: Sequence[dict[str, Any]] = ({"becomes": "incident"},)
SECRET = "s" * 20
BERLIN = ZoneInfo("Europe/Berlin")
BOTH = pytest.mark.parametrize("cloud", [True, False], ids=["cloud", "data center"])


@dataclass
class Reader:
    """Reads a Jira run after run."""

    world: World
    api: Provider
    config: JiraConfig
    context: SourceContext
    cursor: str | None = None
    pages: list[Page] = field(default_factory=list)

    def run(self, *, later: timedelta = timedelta()) -> list[Event]:
        """The events of a run, some time after the first; its cursor is the next one's."""
        self.pages = []
        now = self.context.clock() + later
        for page in self.config.build(replace(self.context, clock=lambda: now)).pull(self.cursor):
            self.pages.append(page)
            self.cursor = page.cursor
        return list(chain.from_iterable(page.events for page in self.pages))

    def tickets(self) -> list[Ticket]:
        """The tickets of a run."""
        return [e for e in self.run() if isinstance(e, Ticket)]

    def ticket(self) -> Ticket:
        """The only ticket of a run."""
        (found,) = self.tickets()
        return found

    def incident(self) -> Incident:
        """The only event of a run, an incident."""
        (found,) = self.run()
        assert isinstance(found, Incident)
        return found

    def asked(self, ending: str) -> int:
        """How often a path was asked for."""
        return len([one for one in self.api.asked if one.path.endswith(ending)])

    def sent(self, ending: str) -> list[dict[str, Any]]:
        """What was sent to a path."""
        return [one.json() for one in self.api.asked if one.path.endswith(ending)]


Readers = Callable[..., Reader]


@pytest.fixture
def reader_of(context: SourceContext) -> Readers:
    """A reader of a world; further arguments are settings."""

    def make(made: World, **settings: Any) -> Reader:
        api = provider(made)
        wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
        known = {"name": "desk", "type": "jira", "url": BASE, "token": TOKEN, "projects": ["HELP"], "issues": TICKETS}
        config = JiraConfig.model_validate(known | settings)
        return Reader(made, api, config, replace(context, wire=wire, findings=Findings()))

    return make


# ---- what an issue becomes


def test_an_issue_is_a_ticket(reader_of: Readers, context: SourceContext) -> None:
    """An issue is a ticket of its project, with its history, its public replies and the hashes of who wrote."""
    cloud = World()
    issue = cloud.issue(0, "HELP", "Question", labels=["vpn"], components=[{"id": "1", "name": "cart"}])
    cloud.comment(issue, 5, user("mira"))
    cloud.move(issue, 6, "3")
    cloud.move(issue, 20, "5")

    assert reader_of(cloud).run() == [
        Ticket(
            source="desk",
            native_id="10001",
            updated_at=at(20),
            url="https://jira.example.com/browse/HELP-1",
            queue="HELP",
            state=TicketState.RESOLVED,
            created_at=at(0),
            type="Question",
            title="no way in",
            service="cart",
            priority="Medium",
            author=context.people.hashed(f"5b10-{PLANTED_LOGIN}"),
            resolved_at=at(20),
            replies=(Answered(at=at(5), author=context.people.hashed("5b10-mira")),),
            transitions=(Transition(at=at(6), state="in_progress"), Transition(at=at(20), state="resolved")),
            labels=("vpn",),
            links=("HELP-1",),
        )
    ]


def test_a_data_center_gives_the_same_of_an_issue(reader_of: Readers, context: SourceContext) -> None:
    """Of a Data Center a ticket is the same; its people are known by their logins."""
    center = World(cloud=False)
    issue = center.issue(0)
    center.comment(issue, 5, login("mira"))
    center.move(issue, 20, "5")

    ticket = reader_of(center).ticket()

    assert (ticket.state, ticket.resolved_at) == (TicketState.RESOLVED, at(20))
    assert (ticket.author, ticket.replies[0].author) == (
        context.people.hashed(PLANTED_LOGIN),
        context.people.hashed("mira"),
    )


def test_an_issue_is_an_incident_by_a_rule(reader_of: Readers) -> None:
    """An incident has its own start, its severity by the names here, and the addresses that it is linked with."""
    cloud = World(fields=[{"id": BEGAN, "name": "Began"}, {"id": SEVERITY, "name": "Impact"}])
    chosen = {BEGAN: stamp(at(-12)), SEVERITY: {"id": "1", "value": "Everybody"}}
    issue = cloud.issue(0, "HELP", "Incident", **chosen)
    issue["remote"].append("https://git.example.com/acme/shop/pull/7")
    cloud.move(issue, 3, "3")
    cloud.move(issue, 9, "5")
    settings = {"started_field": "began", "severity_field": SEVERITY, "severities": {"sev1": "Everybody"}}

    incident = reader_of(cloud, issues=INCIDENTS, **settings).incident()

    assert (incident.started_at, incident.detected_at, incident.acknowledged_at) == (at(-12), at(0), at(3))
    assert (incident.restored_at, incident.state, incident.severity) == (at(9), IncidentState.RESOLVED, "sev1")
    assert incident.links == ("HELP-1", "https://git.example.com/acme/shop/pull/7")


def test_statuses_that_nobody_mapped_are_taken_by_their_category_and_named(reader_of: Readers) -> None:
    """To do is open, in progress is in progress, done is resolved; each unmapped status is counted for `doctor`."""
    cloud = World()
    cloud.move(cloud.issue(0), 5, "3")
    cloud.move(cloud.issue(1), 6, "5")
    cloud.issue(2)
    reader = reader_of(cloud, statuses={"open": "Open"})

    states = [ticket.state for ticket in reader.tickets()]

    assert states == [TicketState.IN_PROGRESS, TicketState.RESOLVED, TicketState.OPEN]
    assert {word for _, word, _ in reader.context.findings.unmapped} == {"In Progress", "Resolved"}


def test_an_unknown_category_is_named(reader_of: Readers) -> None:
    """A category that nobody documented → the issue survives as open; the unknown value is counted and named."""
    cloud = World()
    cloud.issue(0, status=status("1") | {"statusCategory": {"id": 9, "key": "dormant"}})
    reader = reader_of(cloud)

    assert reader.ticket().state is TicketState.OPEN
    assert [w for page in reader.pages for w in page.warnings] == [
        "status category 'dormant' is not known here; it is taken as open"
    ]


@BOTH
def test_waiting_for_who_asked_is_seen(reader_of: Readers, cloud: bool) -> None:  # noqa: FBT001 - one of both
    """A status mapped to waiting stops the clock, and going on ends it."""
    made = World(cloud=cloud)
    issue = made.issue(0)
    made.move(issue, 5, "10100")
    made.move(issue, 65, "3")

    ticket = reader_of(made, statuses={"waiting": "Waiting *"}).ticket()

    assert [(t.at, t.state) for t in ticket.transitions] == [(at(5), "waiting"), (at(65), "in_progress")]


@BOTH
def test_a_reopened_issue_is_resolved_at_its_last_resolution(
    reader_of: Readers,
    cloud: bool,  # noqa: FBT001 - one of both
) -> None:
    """Reopened → resolved at the *last* resolution; while it is open it has none."""
    made = World(cloud=cloud)
    issue = made.issue(0)
    made.move(issue, 5, "5")
    made.move(issue, 8, "1")
    reader = reader_of(made)
    reopened = reader.ticket()
    made.move(issue, 90, "5")

    assert (reopened.state, reopened.resolved_at) == (TicketState.OPEN, None)
    assert reader.ticket().resolved_at == at(90)


def test_a_renamed_status_is_known_by_its_id(reader_of: Readers) -> None:
    """What a status was called when an issue came to it does not matter: its id tells what it is called now."""
    cloud = World()
    issue = cloud.issue(0)
    cloud.move(issue, 5, "10100", was="On hold")
    issue["fields"]["status"] = status("10100")

    ticket = reader_of(cloud, statuses={"waiting": "Waiting for customer"}).ticket()

    assert [t.state for t in ticket.transitions] == ["waiting"]


def test_a_status_that_is_gone_is_known_by_its_name(reader_of: Readers) -> None:
    """A status that was deleted since has the name that the history gives."""
    cloud = World()
    issue = cloud.issue(0)
    cloud.move(issue, 5, "777", was="Parked")
    cloud.move(issue, 15, "3")

    ticket = reader_of(cloud, statuses={"waiting": "Parked"}).ticket()

    assert [t.state for t in ticket.transitions] == ["waiting", "in_progress"]


def test_an_end_without_history_is_the_resolution_date(reader_of: Readers) -> None:
    """Where no history tells when an issue was done, its resolution date does: imported issues have no other."""
    cloud = World()
    cloud.issue(0, status=status("5"), resolutiondate=stamp(at(45)))

    assert reader_of(cloud).ticket().resolved_at == at(45)


def test_other_fields_that_change_are_no_status(reader_of: Readers) -> None:
    """A field of the workflow's name, or of an app's that is called status too, moves nothing."""
    center = World(cloud=False)
    issue = center.issue(0)
    center.change(issue, 5, {"field": "Workflow", "fieldtype": "jira", "to": "3", "toString": "In Progress"})
    center.change(issue, 6, {"field": "status", "fieldtype": "custom", "to": "5", "toString": "Resolved"})

    assert reader_of(center).ticket().transitions == ()


def test_nobody_is_an_author_too(reader_of: Readers) -> None:
    """A reporter whose account was deleted → the ticket survives without an author."""
    cloud = World()
    issue = cloud.issue(0, reporter=None, creator=None)
    cloud.comment(issue, 5, None)

    ticket = reader_of(cloud).ticket()

    assert (ticket.author, ticket.replies) == (None, (Answered(at=at(5)),))


def test_who_asked_is_the_author(reader_of: Readers, context: SourceContext) -> None:
    """An agent who writes down what somebody else asks for is not the author: the reporter is."""
    cloud = World()
    cloud.issue(0, reporter=user("ada"), creator=user("mira"))
    cloud.issue(1, reporter=None, creator=user("mira"))

    found = [ticket.author for ticket in reader_of(cloud).tickets()]

    assert found == [context.people.hashed("5b10-ada"), context.people.hashed("5b10-mira")]


def test_what_began_as_waiting_waits_from_its_first_moment(reader_of: Readers) -> None:
    """Who writes for a customer often begins by waiting for them: the history tells what the first status was."""
    cloud = World()
    issue = cloud.issue(0, status=status("4", "Waiting for customer"))
    cloud.move(issue, 30, "3")

    ticket = reader_of(cloud, statuses={"waiting": "Waiting for customer"}).ticket()

    assert [(t.at, t.state) for t in ticket.transitions] == [(at(0), "waiting"), (at(30), "in_progress")]


def test_what_never_left_its_first_status_had_it_from_the_beginning(reader_of: Readers) -> None:
    """Without a change of the status a comment later on is no time at which it began to wait."""
    cloud = World()
    issue = cloud.issue(0, status=status("4", "Waiting for customer"))
    cloud.comment(issue, 45, user("mira"))

    ticket = reader_of(cloud, statuses={"waiting": "Waiting for customer"}).ticket()

    assert [(t.at, t.state) for t in ticket.transitions] == [(at(0), "waiting")]


def test_links_are_keys_and_addresses(reader_of: Readers) -> None:
    """Its own key; what an issue is part of and linked with, from both ends, by key and by address, each once."""
    cloud = World()
    outward = {"id": "1", "type": {"name": "Blocks"}, "outwardIssue": {"id": "9", "key": "OPS-9"}}
    inward = {"id": "2", "type": {"name": "Blocks"}, "inwardIssue": {"id": "9", "key": "OPS-9"}}
    cloud.issue(0, parent={"id": "8", "key": "HELP-8"}, issuelinks=[outward, inward])

    assert reader_of(cloud, site="https://people.example.com").ticket().links == (
        "HELP-1",
        "HELP-8",
        "https://people.example.com/browse/HELP-8",
        "OPS-9",
        "https://people.example.com/browse/OPS-9",
    )


def test_a_record_that_is_not_as_documented_is_set_aside(reader_of: Readers) -> None:
    """One broken issue is named by its id, without values; those beside it are read."""
    cloud = World()
    cloud.issue(0)
    cloud.issue(1, labels="vpn")
    cloud.issue(2)["fields"]["status"] = None
    reader = reader_of(cloud)

    assert [t.native_id for t in reader.tickets()] == ["10001"]
    assert [r.location for page in reader.pages for r in page.rejected] == [
        "rest/api/3/issue (id 10002)",
        "rest/api/3/issue (id 10003)",
    ]


# ---- replies


def test_internal_notes_of_cloud_are_no_replies(reader_of: Readers) -> None:
    """What only agents see, or only a role, answers nobody."""
    cloud = World()
    issue = cloud.issue(0, "DESK")
    cloud.comment(issue, 5, user("mira"), public=False)
    cloud.comment(issue, 6, user("mira"), visibility={"type": "role", "value": "Developers"})
    cloud.comment(issue, 7, user("mira"))
    reader = reader_of(cloud, projects=["DESK"])

    assert [r.at for r in reader.ticket().replies] == [at(7)]
    assert reader.asked("/comment") == 0


def test_internal_notes_of_a_data_center_are_asked_for(reader_of: Readers) -> None:
    """A Data Center tells which notes are internal only where a request's comments are asked for."""
    center = World(cloud=False)
    issue = center.issue(0, "DESK")
    center.comment(issue, 5, login("mira"), public=False)
    center.comment(issue, 7, login("mira"))
    center.issue(1, "DESK")
    reader = reader_of(center, projects=["DESK"])

    assert [[r.at for r in t.replies] for t in reader.tickets()] == [[at(7)], []]
    assert reader.asked("/comment") == 1


def test_comments_of_other_projects_come_with_the_issue(reader_of: Readers) -> None:
    """A project without customers has no internal notes: nothing more is asked."""
    center = World(cloud=False)
    center.comment(center.issue(0), 5, login("mira"))
    reader = reader_of(center)

    assert len(reader.ticket().replies) == 1
    assert reader.asked("/comment") == 0


def test_all_comments_are_read(reader_of: Readers) -> None:
    """A search comes with 20 comments of an issue; the others are on pages of their own."""
    cloud = World(most=10)
    issue = cloud.issue(0)
    for number in range(25):
        cloud.comment(issue, number, user("mira"))
    reader = reader_of(cloud)

    assert len(reader.ticket().replies) == 25
    assert reader.asked("/comment") == 3


def test_comments_that_a_data_center_cuts_are_read_whole(reader_of: Readers) -> None:
    """A list that comes with fewer comments than it counts → the others are asked for."""
    center = World(cloud=False)
    issue = center.issue(0)
    center.comment(issue, 5, login("mira"))
    center.comment(issue, 6, login("mira"))
    issue["shown_comments"] = 1

    assert [r.at for r in reader_of(center).ticket().replies] == [at(5), at(6)]


def test_an_issue_that_vanishes_before_its_comments_are_read_has_none(reader_of: Readers) -> None:
    """Deleted between the list and its comments → the run goes on; the daily look finds that it is gone."""
    cloud = World()
    issue = cloud.issue(0)
    for number in range(21):
        cloud.comment(issue, number, user("mira"))
    reader = reader_of(cloud)
    reader.api.faults = {7: Reply({"errorMessages": ["Issue Does Not Exist"]}, status=404)}

    assert reader.ticket().replies == ()


def test_comments_that_are_refused_fail_the_run(reader_of: Readers) -> None:
    """A refusal other than "not found" is no "nobody has replied"."""
    center = World(cloud=False)
    center.comment(center.issue(0, "DESK"), 5, login("mira"))
    reader = reader_of(center, projects=["DESK"])
    reader.api.faults = {6: Reply({}, status=400)}

    with pytest.raises(SourceError, match="/comment: answered 400"):
        reader.run()


@pytest.mark.parametrize(
    ("author", "bot"),
    [
        (user("automation", "app"), True),
        (user("mira", "customer"), False),
        ({"name": "renovate-bot", "key": "r"}, True),
        ({"name": "bot_tom", "key": "t"}, False),
    ],
)
def test_apps_and_bots_are_told_apart(reader_of: Readers, author: dict[str, Any], bot: bool) -> None:  # noqa: FBT001 - one of several values
    """Type flag, then list, then pattern: an app's comment is a bot's, a customer's is not."""
    cloud = World()
    cloud.comment(cloud.issue(0), 5, author)

    assert [r.bot for r in reader_of(cloud).ticket().replies] == [bot]


# ---- fields with names of their own


def test_a_request_type_may_be_the_type(reader_of: Readers) -> None:
    """Rules take requests by what customers chose; an issue without a request type keeps its issue type."""
    cloud = World(fields=[{"id": REQUEST_TYPE, "name": "Anfragetyp", "untranslatedName": "Request Type"}])
    chosen = {"requestType": {"id": "7", "name": "New laptop"}, "currentStatus": {"status": "Open"}}
    cloud.issue(0, **{REQUEST_TYPE: chosen})
    cloud.issue(1, **{REQUEST_TYPE: None})
    rules = [{"type": "New *", "becomes": "ticket", "journey": "laptop"}, {"becomes": "ticket"}]

    found = reader_of(cloud, type_field="request type", issues=rules).tickets()

    assert [(t.type, t.journey) for t in found] == [("New laptop", "laptop"), ("Task", None)]


def test_the_only_organization_is_the_team_of_who_asks(reader_of: Readers) -> None:
    """One organization is the author's team; of several none is."""
    cloud = World(fields=[{"id": ORGANIZATIONS, "name": "Organizations"}])
    cloud.issue(0, **{ORGANIZATIONS: [{"id": "1", "name": "Basket"}]})
    cloud.issue(1, **{ORGANIZATIONS: [{"id": "1", "name": "Basket"}, {"id": "2", "name": "Bank"}]})

    found = reader_of(cloud, team_field="Organizations").tickets()

    assert [t.author_team for t in found] == ["Basket", None]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Impakt", "severity_field: no field has this name or id"),
        ("Impact", "severity_field: fields customfield_1, customfield_2 have this name"),
    ],
)
def test_a_field_that_is_not_one_is_named(reader_of: Readers, name: str, said: str) -> None:
    """A name that no field has, or several, is an error that says so; nothing is guessed."""
    cloud = World(fields=[{"id": "customfield_1", "name": "Impact"}, {"id": "customfield_2", "name": "Impact"}])

    with pytest.raises(SourceError, match=said):
        reader_of(cloud, severity_field=name).run()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" High ", ["High"]),
        (2, ["2"]),
        (1.5, ["1.5"]),
        ({"id": "1", "value": "High", "child": {"value": "Very"}}, ["High"]),
        ([{"name": "a"}, {"value": "b"}], ["a", "b"]),
        ({"requestType": {"name": "Laptop"}}, ["Laptop"]),
        ({"accountId": "5b10", "displayName": "Ada", "name": "ada"}, []),
        (True, []),
        (None, []),
        ("", []),
    ],
)
def test_the_words_of_a_field_are_never_a_persons(value: object, expected: list[str]) -> None:
    """Texts, numbers, options, request types and lists of them are words; an account is none."""
    assert list(words(value)) == expected


# ---- queries


def test_a_query_is_made_of_projects_a_filter_and_times(reader_of: Readers) -> None:
    """All conditions hold at once, whatever the filter is made of, and issues come as they were created."""
    cloud = World()
    cloud.issue(0)
    reader = reader_of(cloud, jql="type = Bug OR type = Task", history="30d")
    reader.run()

    assert reader.sent("search/jql")[-1]["jql"] == (
        'project in ("HELP") AND (type = Bug OR type = Task) AND updated >= "2026-01-31 10:00"'
        " ORDER BY created ASC, key ASC"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HELP", '"HELP"'),
        ('A" OR project = "B', '"A\\" OR project = \\"B"'),
        ("back\\slash", '"back\\\\slash"'),
        ("in", '"in"'),
    ],
)
def test_values_in_a_query_stay_values(text: str, expected: str) -> None:
    """Quotes, backslashes and words of the language are no part of the query."""
    assert quoted(text) == expected


@pytest.mark.parametrize(
    ("instant", "zone", "expected"),
    [
        (datetime(2026, 3, 1, 9, 0, 59, tzinfo=UTC), "UTC", "2026-03-01 09:00"),
        (datetime(2026, 3, 1, 9, 0, tzinfo=UTC), "Asia/Kolkata", "2026-03-01 14:30"),
        (datetime(2026, 3, 1, 2, 0, tzinfo=UTC), "America/New_York", "2026-02-28 21:00"),
        (datetime(2026, 3, 1, 9, 0, tzinfo=UTC), None, "2026-02-28 21:00"),
        (datetime(2026, 3, 1, 9, 0, tzinfo=UTC), "Mars/Olympus", "2026-02-28 21:00"),
        (datetime(2026, 3, 1, 9, 0, tzinfo=UTC), "../Berlin", "2026-02-28 21:00"),
        (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "Europe/Berlin", "2026-03-29 03:30"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Europe/Berlin", "2026-10-25 01:30"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Europe/Berlin", "2026-10-25 01:30"),
        (datetime(2026, 10, 25, 2, 0, tzinfo=UTC), "Europe/Berlin", "2026-10-25 03:00"),
    ],
)
def test_times_in_a_query_are_minutes_of_the_accounts_clock(instant: datetime, zone: str | None, expected: str) -> None:
    """Rounded down, never later than meant: in any zone, in one nobody knows, in the hour that comes twice."""
    assert moment(instant, zone_of(zone)) == f'"{expected}"'


@BOTH
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Los_Angeles", "Pacific/Kiritimati"])
def test_an_account_in_another_zone_misses_nothing(
    reader_of: Readers,
    zone: str,
    cloud: bool,  # noqa: FBT001 - one of both
) -> None:
    """The user's zone is ahead or behind → what is updated after a run is found by the next one."""
    made = World(cloud=cloud, zone=zone)
    made.issue(0)
    reader = reader_of(made, overlap="1s")
    reader.run()
    made.issue(0.5)
    made.issue(3)

    assert [t.created_at for t in reader.tickets()] == [at(0.5), at(3)]


def test_an_account_without_a_zone_misses_nothing(reader_of: Readers) -> None:
    """A zone that Jira does not tell → the query reaches back far enough for any."""
    cloud = World(zone=None)
    cloud.issue(0)
    reader = reader_of(cloud, overlap="1s")
    reader.run()
    cloud.issue(3)

    assert [t.created_at for t in reader.tickets()] == [at(3)]


# ---- reading on


@BOTH
def test_all_pages_are_read(reader_of: Readers, cloud: bool) -> None:  # noqa: FBT001 - one of both
    """Fewer issues on a page than were asked for, many in the same second → everything is read, each once."""
    made = World(cloud=cloud, most=7)
    ids = [made.issue(number // 20)["id"] for number in range(45)]
    found = [ticket.native_id for ticket in reader_of(made).tickets()]

    assert sorted(found) == ids


@pytest.mark.parametrize(("cloud", "requests"), [(True, 20), (False, 11)])
def test_a_thousand_issues_cost_what_the_page_says(
    reader_of: Readers,
    cloud: bool,  # noqa: FBT001 - one of both
    requests: int,
) -> None:
    """The stated costs hold, beside what every run asks: whose account it is, which Jira, statuses, the newest."""
    made = World(cloud=cloud)
    for number in range(1_000):
        made.issue(number)
    reader = reader_of(made)

    assert len(reader.tickets()) == 1_000
    assert len(reader.api.asked) - 4 == requests


@BOTH
def test_what_was_read_as_it_stands_is_not_given_again(reader_of: Readers, cloud: bool) -> None:  # noqa: FBT001 - one of both
    """A run in which nothing happened lists the overlap, gives nothing, and asks for nothing of single issues."""
    made = World(cloud=cloud)
    made.comment(made.issue(0, "DESK"), 5, login("mira"))
    reader = reader_of(made, projects=["DESK"])
    reader.run()
    reader.api.asked.clear()

    assert reader.run() == []
    assert len(reader.api.asked) == 5


def test_an_empty_jira_gives_nothing(reader_of: Readers) -> None:
    """Nothing that was ever updated → no event, and the next run asks again from the beginning."""
    reader = reader_of(World())

    assert reader.run() == []
    assert "since" not in json.loads(reader.cursor or "")["streams"]["issues"]


@BOTH
def test_an_issue_updated_in_the_minute_of_the_cursor_is_read(reader_of: Readers, cloud: bool) -> None:  # noqa: FBT001 - one of both
    """Several share the boundary minute → none is lost, though times in queries have no seconds."""
    made = World(cloud=cloud)
    first = made.issue(0.1)
    made.touch(first, 0.5)
    reader = reader_of(made, overlap="1s")
    reader.run()
    made.issue(0.3)

    assert [t.native_id for t in reader.tickets()] == ["10002"]


@BOTH
def test_an_issue_updated_while_pages_are_read_is_not_lost(reader_of: Readers, cloud: bool) -> None:  # noqa: FBT001 - one of both
    """Items are updated while paging → each is read, and what changed after it was read comes with the next run."""
    made = World(cloud=cloud, most=4)
    issues = [made.issue(number) for number in range(12)]
    made.before_page = lambda n: made.touch(issues[0], 600) if n == 2 else made.touch(issues[-1], 605)
    reader = reader_of(made)
    first = reader.tickets()
    made.before_page = lambda _: None
    second = reader.tickets()

    assert sorted({t.native_id for t in first}) == [i["id"] for i in issues]
    assert (issues[0]["id"], at(600)) in [(t.native_id, t.updated_at) for t in second]


def test_an_issue_deleted_while_pages_are_read_hides_no_other(reader_of: Readers) -> None:
    """Deleted between two pages of a Data Center → those behind move up, and none of them is passed over."""
    center = World(cloud=False, most=10)
    issues = [center.issue(number) for number in range(25)]
    center.before_page = lambda n: center.delete(issues[n]) if n in {2, 3} else None

    found = {t.native_id for t in reader_of(center).tickets()}

    assert {i["id"] for i in center.issues} <= found


def test_the_cursor_is_not_ahead_of_what_changed_meanwhile(reader_of: Readers) -> None:
    """The next run starts from what was newest before this one began: our clock plays no part."""
    cloud = World(most=2)
    issues = [cloud.issue(number) for number in range(4)]
    cloud.before_page = lambda _: cloud.touch(issues[-1], 900)
    reader = reader_of(cloud, overlap="1s")
    reader.run()

    assert json.loads(reader.cursor or "")["streams"]["issues"]["since"] == "2026-02-16T09:03:00Z"


@BOTH
def test_long_lists_are_read_in_several_searches(cloud: bool) -> None:  # noqa: FBT001 - one of both
    """Hard caps → a search ends before the cap, and another one goes on from the last issue's creation."""
    made = World(cloud=cloud, most=10)
    ids = [made.issue(number)["id"] for number in range(50)]
    api = provider(made)
    client = Wire(adapter=api).client(BASE, headers={"Authorization": f"Bearer {TOKEN}"})
    asking = Asking(client, cloud, ["HELP"], zone=BERLIN, window=20)

    found = [i.id for page in asking.updated(START - timedelta(days=1), None, Chosen(), Notes()) for i in page]

    assert found == ids
    assert len({one.json()["jql"] for one in api.asked}) == 3


def test_a_minute_with_more_issues_than_a_search_goes_on() -> None:
    """An import of more issues in one minute than a search is trusted with → that search goes on, and ends."""
    made = World(most=10)
    ids = [made.issue(number / 1_000)["id"] for number in range(45)]
    api = provider(made)
    client = Wire(adapter=api).client(BASE, headers={"Authorization": f"Bearer {TOKEN}"})
    asking = Asking(client, is_cloud=True, zone=BERLIN, window=20)

    found = [i.id for page in asking.updated(START - timedelta(days=1), None, Chosen(), Notes()) for i in page]

    assert sorted(found) == ids
    assert len(api.asked) == 2 + 5


def test_a_pass_that_breaks_goes_on_where_it_was(reader_of: Readers) -> None:
    """Page 3 of 4 fails → the next run goes on from the last page that was kept, and nothing is missing."""
    cloud = World(most=3)
    ids = [cloud.issue(number * 120)["id"] for number in range(12)]
    reader = reader_of(cloud)
    reader.api.faults = {9: Reply({"errorMessages": ["x"]}, status=400)}
    with pytest.raises(SourceError):
        reader.run()
    kept = [e.native_id for page in reader.pages for e in page.events]

    rest = [t.native_id for t in reader.tickets()]

    assert (len(kept), sorted({*kept, *rest})) == (6, ids)
    assert rest[0] not in ids[:5]


def test_a_query_that_is_passed_over_is_an_error(reader_of: Readers) -> None:
    """An item last updated long before `since` proves that it was ignored → error, not a silent full read."""
    cloud = World()
    cloud.issue(-10_000)
    reader = reader_of(cloud)
    reader.cursor = json.dumps({"version": 1, "streams": {"issues": {"since": "2026-02-16T09:00:00Z"}}})
    cloud.deaf = True

    with pytest.raises(ContractError, match="was passed over"):
        reader.run()


def test_issues_in_another_order_are_an_error(reader_of: Readers) -> None:
    """A list that does not stand in the order that was asked for would be read on from the wrong place."""
    cloud = World(deaf=True)
    cloud.issue(0)
    cloud.touch(cloud.issue(-3_000), 5)

    with pytest.raises(ContractError, match="do not come in the order"):
        reader_of(cloud).run()


def test_the_cursor_does_not_grow(reader_of: Readers) -> None:
    """What was read as it stands is remembered for as long as it is listed again, and no longer."""
    cloud = World()
    cloud.issue(0)
    reader = reader_of(cloud)
    reader.run()
    cloud.issue(180)
    reader.run()

    assert json.loads(reader.cursor or "")["streams"]["issues"]["open"] == ["10002@2026-02-16T12:00:00.000+0000"]


# ---- histories


def test_a_long_history_of_cloud_is_read_whole(reader_of: Readers) -> None:
    """A search hands out 40 changes; those of the status are read on their own pages, all of them."""
    cloud = World()
    issue = cloud.issue(0)
    for number in range(45):
        cloud.move(issue, 1 + number, "1" if number % 2 else "3")
    reader = reader_of(cloud)

    assert len(reader.ticket().transitions) == 45
    assert reader.sent("changelog/bulkfetch") == [
        {"issueIdsOrKeys": ["10001"], "fieldIds": ["status"], "maxResults": 1000, **following}
        for following in ({}, {"nextPageToken": "c40"})
    ]


def test_histories_that_run_in_a_circle_are_an_error(reader_of: Readers) -> None:
    """A page of histories that comes again as the next one → error, instead of asking for ever."""
    cloud = World()
    cloud.issue(0)
    reader = reader_of(cloud)
    reader.api.faults = dict.fromkeys((6, 7), Reply({"issueChangeLogs": [], "nextPageToken": "c0"}))

    with pytest.raises(ContractError, match="one comes again as the next"):
        reader.run()


def test_a_cut_history_of_a_data_center_is_asked_for_alone(reader_of: Readers) -> None:
    """A list that comes with a part of a history → the issue is asked for its whole one."""
    center = World(cloud=False)
    issue = center.issue(0)
    center.move(issue, 5, "3")
    center.move(issue, 9, "5")
    issue["shown_histories"] = 1

    assert [t.at for t in reader_of(center).ticket().transitions] == [at(5), at(9)]


def test_a_history_that_nobody_hands_out_is_said(reader_of: Readers) -> None:
    """A history that stays cut → what there is of it counts, and the run says that it is not all."""
    center = World(cloud=False)
    issue = center.issue(0)
    center.move(issue, 5, "3")
    center.move(issue, 9, "5")
    issue["shown_histories"] = issue["known_histories"] = 1
    reader = reader_of(center)

    assert reader.ticket().state is TicketState.RESOLVED
    assert [t for page in reader.pages for t in page.truncations] == [
        "1 issues come without their whole history: when they changed is partly unknown"
    ]


# ---- moved and deleted


def test_a_moved_issue_is_the_same_ticket(reader_of: Readers, bench: Any) -> None:
    """A ticket is moved to another project → one ticket, judged again by its new place."""
    cloud = World()
    issue = cloud.issue(0)
    reader = reader_of(cloud, projects=["HELP", "OPS"])
    bench.write(*reader.run())
    issue["key"] = "OPS-7"
    issue["fields"]["project"] |= {"key": "OPS"}
    cloud.touch(issue, 5)
    bench.write(*reader.run())

    assert [(t.native_id, t.queue) for t in bench.store.events(Ticket)] == [("10001", "OPS")]


@BOTH
def test_a_deleted_issue_is_removed(reader_of: Readers, bench: Any, cloud: bool) -> None:  # noqa: FBT001 - one of both
    """Deleted at the source → found by the daily look at the recent past, and removed; what is older stays."""
    made = World(cloud=cloud, fields=[{"id": BEGAN, "name": "Began"}])
    old, gone, _ = made.issue(-40 * 24 * 60), made.issue(0), made.issue(1)
    broken = made.issue(2, "HELP", "Incident", **{BEGAN: stamp(at(-60 * 24 * 60))})
    rules = [{"type": "Incident", "becomes": "incident"}, *TICKETS]
    reader = reader_of(made, issues=rules, started_field="Began")
    bench.runner.run("desk", reader.config.build(reader.context))
    made.delete(old)
    made.delete(gone)
    made.delete(broken)
    tomorrow = replace(reader.context, clock=lambda: reader.context.clock() + timedelta(days=1))

    outcome = bench.runner.run("desk", reader.config.build(tomorrow))

    assert (outcome.succeeded, outcome.removed) == (True, 2)
    assert [t.native_id for t in bench.store.events(Incident)] == []
    assert {t.native_id for t in bench.store.events(Ticket)} == {"10001", "10003"}


def test_what_is_no_ticket_any_more_is_removed(reader_of: Readers, bench: Any) -> None:
    """Relabelled so that another rule takes it → what it was is removed with the daily look, what it is stays."""
    cloud = World()
    issue = cloud.issue(0)
    reader = reader_of(cloud, issues=[{"label": "outage", "becomes": "incident"}, *TICKETS])
    bench.runner.run("desk", reader.config.build(reader.context))
    issue["fields"]["labels"] = ["outage"]
    cloud.touch(issue, 5)
    tomorrow = replace(reader.context, clock=lambda: reader.context.clock() + timedelta(days=1))
    bench.runner.run("desk", reader.config.build(tomorrow))

    assert [*bench.store.events(Ticket)] == []
    assert [i.native_id for i in bench.store.events(Incident)] == ["10001"]


def test_an_empty_list_removes_nothing(reader_of: Readers) -> None:
    """An account that lost its permissions finds nothing without being refused: from that nothing follows."""
    cloud = World()
    issue = cloud.issue(0)
    reader = reader_of(cloud)
    reader.run()
    cloud.delete(issue)
    reader.run(later=timedelta(days=1))

    assert [c for page in reader.pages for c in page.complete] == []


def test_a_list_with_a_broken_record_removes_nothing(reader_of: Readers) -> None:
    """A list of which a part cannot be read is not a whole one."""
    cloud = World()
    cloud.issue(0)
    reader = reader_of(cloud)
    reader.run()
    cloud.issue(1, labels="vpn")
    reader.run(later=timedelta(days=1))

    assert [c for page in reader.pages for c in page.complete] == []


def test_the_daily_look_counts_no_word_twice(reader_of: Readers) -> None:
    """What no setting maps is counted where issues are read, not where they are only looked at."""
    cloud = World()
    cloud.issue(0)
    reader = reader_of(cloud)
    reader.run()
    before = reader.context.findings.unmapped.copy()
    reader.run(later=timedelta(days=1))

    assert before
    assert reader.context.findings.unmapped == before


# ---- who asks, and what is refused


@pytest.mark.parametrize(
    ("username", "header"),
    [
        ("", f"Bearer {TOKEN}"),
        ("ada@acme.example", f"Basic {b64encode(f'ada@acme.example:{TOKEN}'.encode()).decode()}"),
    ],
)
def test_a_token_is_a_password_or_stands_alone(reader_of: Readers, username: str, header: str) -> None:
    """An API token of Cloud goes with its account's address, a personal access token of a Data Center alone."""
    reader = reader_of(World(), username=username)
    reader.api.token = ""
    reader.run()

    assert {one.headers["authorization"] for one in reader.api.asked} == {header}


def test_without_a_token_what_everybody_may_see_is_read(reader_of: Readers) -> None:
    """A public Jira is read by nobody in particular: whose account it is, is not asked."""
    cloud = World(zone="UTC")
    cloud.issue(0)
    reader = reader_of(cloud, token="")
    reader.api.token = ""

    assert len(reader.tickets()) == 1
    assert reader.asked("myself") == 0


def test_a_wrong_token_is_no_empty_jira(reader_of: Readers) -> None:
    """Jira lets nobody search too, so that a wrong token only finds less: the account is asked for first."""
    reader = reader_of(World())
    reader.api.token = "another"  # noqa: S105 - planted

    with pytest.raises(AuthError):
        reader.run()


def test_an_answer_to_a_refused_login_is_none(reader_of: Readers) -> None:
    """200 and `X-Seraph-LoginReason: AUTHENTICATED_FAILED` → the credentials are refused, whatever it answers."""
    reader = reader_of(World())
    refused = Reply({"issues": [], "isLast": True}, headers={"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"})
    reader.api.faults = {4: refused}

    with pytest.raises(AuthError, match="the credentials were refused"):
        reader.run()


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"X-Authentication-Denied-Reason": "CAPTCHA_CHALLENGE; login-url=https://x"}, "log in once in a browser"),
        ({}, "check its credentials and what they allow"),
    ],
)
def test_a_refused_account_says_what_to_do(reader_of: Readers, headers: dict[str, str], said: str) -> None:
    """After too many wrong logins Jira wants a person: the error says so."""
    reader = reader_of(World())
    reader.api.faults = {2: Reply({}, status=403, headers=headers)}

    with pytest.raises(AuthError, match=said):
        reader.run()


def test_an_account_of_nobody_is_refused(reader_of: Readers) -> None:
    """An answer that names no account is not Jira's."""
    reader = reader_of(World())
    reader.api.faults = {2: Reply({"timeZone": "UTC"})}

    with pytest.raises(ContractError, match="it names no account"):
        reader.run()


def test_a_search_that_is_gone_names_the_setting(reader_of: Readers) -> None:
    """410 of the search that Cloud gave up → `ContractError` naming the endpoint and what to set."""
    reader = reader_of(World(), deployment="data_center")
    reader.api.routes += [(m, p, h) for m, p, h in provider(World(cloud=False)).routes if m == "GET"]

    with pytest.raises(
        ContractError, match=r"POST https://jira.example.com/rest/api/2/search: answered 410; .*`deploy"
    ):
        reader.run()


def test_a_search_that_is_not_there_names_the_setting(reader_of: Readers) -> None:
    """A Data Center taken for Cloud does not have its search: the error names what to set."""
    reader = reader_of(World(cloud=False), deployment="cloud")
    reader.api.routes += [(m, p, h) for m, p, h in provider(World()).routes if m == "GET"]

    with pytest.raises(SourceError, match="answered 404; check `url`, and whether `deployment` is right"):
        reader.run()


def test_which_jira_it_is_says_the_server(reader_of: Readers) -> None:
    """Self-hosted under any name → the server's own word decides, not a part of the host."""
    center = World(cloud=False)
    center.issue(0)
    reader = reader_of(center, deployment=None)

    assert len(reader.tickets()) == 1
    assert reader.asked("rest/api/2/search") == 2


def test_what_jira_says_of_a_query_is_told_without_values(reader_of: Readers) -> None:
    """A bad query fails with Jira's own words; a value that may be somebody's name is left out."""
    cloud = World()
    reader = reader_of(cloud, jql="assignee = ada")
    said = [
        "The value 'HELP' does not exist for the field 'project'.",
        "The value 'ada' does not exist for the field 'assignee'.",
    ]
    reader.api.faults = {4: Reply({"errorMessages": said, "errors": {}}, status=400)}

    with pytest.raises(SourceError) as error:
        reader.run()

    assert str(error.value) == (
        "POST https://jira.example.com/rest/api/3/search/jql: answered 400; check `projects` and `jql`: "
        "The value 'HELP' does not exist for the field 'project'.; "
        "The value '…' does not exist for the field 'assignee'."
    )


def test_a_bad_query_without_reasons_is_one_too(reader_of: Readers) -> None:
    """400 with a body that nobody documented → the error says that no reason was given."""
    reader = reader_of(World())
    reader.api.faults = {4: Reply(body=b"<html>", status=400)}

    with pytest.raises(SourceError, match="it does not say why"):
        reader.run()


def test_a_limit_is_waited_for(reader_of: Readers) -> None:
    """429 with `Retry-After` longer than patience → the run ends with the server's wish."""
    reader = reader_of(World())
    limited = Reply({}, status=429, headers={"Retry-After": "1800", "X-RateLimit-Remaining": "0"})
    reader.api.faults = {4: limited}

    with pytest.raises(RetryableError) as error:
        reader.run()

    assert error.value.retry_after_seconds == 1800


@BOTH
def test_a_page_that_is_too_large_is_asked_for_in_parts(reader_of: Readers, cloud: bool) -> None:  # noqa: FBT001 - one of both
    """502 on a big page → smaller page, then retry: the list is read all the same."""
    made = World(cloud=cloud)
    for number in range(120):
        made.issue(number)
    reader = reader_of(made)
    reader.api.faults = {number: Reply({}, status=502) for number in range(5, 13)}

    assert len(reader.tickets()) == 120
    assert {one["maxResults"] for one in reader.sent("search/jql" if cloud else "api/2/search")} == {1, 100, 50, 25}


def test_a_server_that_breaks_on_the_smallest_page_fails_the_run(reader_of: Readers) -> None:
    """502 on every page → failure; an unattended run always ends."""
    cloud = World()
    cloud.issue(0)
    reader = reader_of(cloud)
    reader.api.faults = {number: Reply({}, status=502) for number in range(5, 50)}

    with pytest.raises(RetryableError):
        reader.run()


def test_an_address_of_somebody_is_no_link(reader_of: Readers) -> None:
    """Mail addresses and profiles that people link do not reach the store."""
    cloud = World()
    issue = cloud.issue(0)
    issue["remote"] += ["mailto:mira@example.com", "https://people.example.com/@mira", "https://git.example.com/1"]

    assert reader_of(cloud, issues=INCIDENTS).incident().links == ("HELP-1", "https://git.example.com/1")


@pytest.mark.parametrize("code", [401, 403, 404])
def test_an_incident_without_links_elsewhere_has_none(reader_of: Readers, code: int) -> None:
    """Where linking is switched off Jira refuses the list of links: the incident is read without."""
    cloud = World()
    cloud.issue(0)
    reader = reader_of(cloud, issues=INCIDENTS)
    reader.api.faults = {7: Reply({}, status=code)}

    assert reader.incident().links == ("HELP-1",)


def test_what_does_not_say_when_is_set_aside(reader_of: Readers) -> None:
    """A comment or a change whose time cannot be read is counted; the issue, and what is beside it, survive."""
    center = World(cloud=False)
    issue = center.issue(0)
    center.comment(issue, 5, login("mira"))
    center.move(issue, 9, "5")
    issue["comments"].append({**issue["comments"][0], "created": "yesterday"})
    issue["histories"].append({**issue["histories"][0], "created": "yesterday"})
    reader = reader_of(center)
    ticket = reader.ticket()

    assert (len(ticket.replies), len(ticket.transitions)) == (1, 1)
    assert [r.location for page in reader.pages for r in page.rejected] == ["history of HELP-1", "comments of HELP-1"]


def test_a_newest_issue_without_a_time_is_an_error(reader_of: Readers) -> None:
    """An answer from which nobody can tell whether anything is new must not look like "nothing is new"."""
    reader = reader_of(World())
    reader.api.faults = {4: Reply({"issues": [{"id": "1", "key": "A-1", "fields": {"updated": "yesterday"}}]})}

    with pytest.raises(ContractError, match="does not say when it was updated"):
        reader.run()


@pytest.mark.parametrize(
    "reply",
    [
        {"issues": [], "isLast": False},
        {"issues": [], "isLast": False, "nextPageToken": "t1"},
    ],
    ids=["no next page", "the same page again"],
)
def test_pages_of_cloud_that_do_not_end_are_an_error(reader_of: Readers, reply: dict[str, Any]) -> None:
    """A list that is cut short, or runs in a circle, must not look like a whole one."""
    cloud = World()
    cloud.issue(0)
    reader = reader_of(cloud)
    reader.api.faults = dict.fromkeys((5, 6, 7), Reply(reply))

    with pytest.raises(ContractError, match="its pages do not end as documented"):
        reader.run()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"issues": [], "total": 7}, "it gives no more than 0 of 7 issues"),
        ({"issues": []}, "it does not say how many issues there are"),
    ],
)
def test_pages_of_a_data_center_that_end_early_are_an_error(
    reader_of: Readers, reply: dict[str, Any], said: str
) -> None:
    """A cap that gives an empty page before the end → the run fails saying so; never a silent end."""
    center = World(cloud=False)
    center.issue(0)
    reader = reader_of(center)
    reader.api.faults = {5: Reply(reply)}

    with pytest.raises(ContractError, match=said):
        reader.run()


# ---- webhooks


def delivery(event: str, issue: dict[str, Any], secret: str = SECRET) -> Delivery:
    """What Jira sends of an issue."""
    shown = {key: issue[key] for key in ("id", "key", "fields")}
    body = json.dumps({"timestamp": 1_771_232_400_000, "webhookEvent": event, "issue": shown}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature": f"sha256={signature}", "x-atlassian-webhook-identifier": "d1"}
    return Delivery(headers=headers, body=body, received_at=at(1))


Receive = Callable[..., Received]


@pytest.fixture
def receive(reader_of: Readers) -> Receive:
    """What is in a delivery; further arguments are settings."""

    def take(told: Delivery, **settings: Any) -> Received:
        reader = reader_of(World(), webhook_secret=SECRET, **settings)
        receiver = reader.config.receiver(reader.context)
        assert receiver is not None
        assert receiver.is_genuine(told)
        return receiver.read(told)

    return take


def test_a_new_issue_is_told_at_once(receive: Receive) -> None:
    """A new issue arrives with its webhook, just older than what is listed of it, which is never less."""
    received = receive(delivery("jira:issue_created", World().issue(0)))

    assert received.id == "d1"
    assert [(e.native_id, e.updated_at) for e in received.events] == [("10001", at(0) - timedelta(microseconds=1))]


@pytest.mark.parametrize(
    ("event", "fields", "settings", "said"),
    [
        ("jira:issue_updated", {}, {}, "no new issue; the next run reads what has changed"),
        ("comment_created", {}, {}, "no new issue; the next run reads what has changed"),
        ("jira:issue_created", {}, {"projects": ["OPS"]}, "an issue of a project that is not read"),
        ("jira:issue_created", {}, {"jql": "a = b"}, "`jql` decides whether an issue is read; the next run reads it"),
        (
            "jira:issue_created",
            {},
            {"type_field": "Request Type"},
            "fields are set by names, which the server alone knows; the next run reads it",
        ),
        (
            "jira:issue_created",
            {},
            {"issues": [{"type": "Bug", "becomes": "ticket"}]},
            "by the rules this issue is neither a ticket nor an incident",
        ),
    ],
)
def test_a_delivery_that_is_not_a_whole_issue_is_left_to_the_next_run(
    receive: Receive, event: str, fields: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    """One change is not the whole of an issue, and what only the server can tell is not guessed."""
    received = receive(delivery(event, World().issue(0, **fields)), **settings)

    assert (received.events, received.ignored) == ((), said)


def test_a_told_issue_has_the_fields_that_are_set_by_ids(receive: Receive) -> None:
    """A field that is set by its id means the same in a delivery as in a list."""
    issue = World().issue(0, **{REQUEST_TYPE: {"requestType": {"name": "Laptop"}}})

    received = receive(delivery("jira:issue_created", issue), type_field=REQUEST_TYPE)

    assert [e.type for e in received.events if isinstance(e, Ticket)] == ["Laptop"]


@pytest.mark.parametrize("field", ["status", "created"])
def test_a_told_issue_that_is_not_as_documented_is_set_aside(receive: Receive, field: str) -> None:
    """A new issue without a status, or without a time, is kept aside with its id."""
    received = receive(delivery("jira:issue_created", World().issue(0, **{field: "yesterday"})))

    assert [r.location for r in received.rejected] == ["webhook (id 10001)"]


def test_a_delivery_that_is_signed_by_somebody_else_is_refused(reader_of: Readers) -> None:
    """Signature over the raw body: another secret, or none, opens nothing."""
    reader = reader_of(World(), webhook_secret=SECRET)
    receiver = reader.config.receiver(reader.context)
    assert receiver is not None
    told = delivery("jira:issue_created", World().issue(0), secret="x" * 20)

    assert not receiver.is_genuine(told)
    assert not receiver.is_genuine(replace(told, headers={}))


def test_without_a_secret_nothing_is_received(reader_of: Readers) -> None:
    """No secret is set → nobody may deliver."""
    reader = reader_of(World())

    assert reader.config.receiver(reader.context) is None


# ---- settings


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"projects": []}, ["projects"]),
        ({"projects": [], "jql": "labels = help"}, []),
        ({"username": "ada@acme.example", "token": ""}, ["username"]),
        ({"username": "ada@acme.example", "token": "file:/nowhere/token"}, ["token"]),
    ],
)
def test_check_names_what_is_missing(reader_of: Readers, settings: dict[str, Any], paths: list[str]) -> None:
    """Nothing that is read, or an account without a token, is a mistake at start."""
    reader = reader_of(World(), **settings)

    assert [m.path for m in reader.config.check(reader.context)] == paths


@pytest.mark.parametrize("settings", [{"jql": "a = b order  by key"}, {"projects": ["A\nB"]}, {"deployment": "server"}])
def test_settings_that_cannot_work_are_refused(reader_of: Readers, settings: dict[str, Any]) -> None:
    """A query with an order of its own, a project of two lines, an unknown kind of Jira are refused at start."""
    with pytest.raises(ValidationError):
        reader_of(World(), **settings)


# ---- the published description


@pytest.mark.skipif(not DESCRIBED.is_file(), reason="the provider's description is not here")
def test_what_is_asked_and_answered_is_as_described(context: SourceContext, tmp_path: Path) -> None:
    """Each request of a run is one that the published description knows, and so is each answer of the stand-in."""
    made = sample(tmp_path)
    assert made.provider is not None
    wire = Wire(adapter=made.provider)
    settings = {**made.config.model_dump(), "token": TOKEN, "type_field": REQUEST_TYPE}
    config = JiraConfig.model_validate(settings)
    assert [e for page in config.build(replace(context, wire=wire)).pull(None) for e in page.events]
    described = [one for one in made.provider.asked if not one.path.endswith(("/comment", "/remotelink"))]

    found = {
        violation
        for asked in described
        for reply in [made.provider._reply(asked)]
        for violation in openapi.check(DESCRIBED, asked, reply.status, reply.bytes())
        # Of many issues at once Jira tells times as numbers, as the description's own example does.
        if ".created: " not in violation
    }

    assert found == set()
    assert {one.path.rpartition("/")[2] for one in described} == {"myself", "field", "status", "jql", "bulkfetch"}


def test_bulk_pages_are_as_documented() -> None:
    """What measurements are made of is what the source reads."""
    pages = [Answer(200, {}, body, "POST").items(Listed, BULK_KIND) for body in bulk(250)]

    assert [(len(found), rejected) for found, rejected in pages] == [(100, []), (100, []), (50, [])]
    assert world().issues
