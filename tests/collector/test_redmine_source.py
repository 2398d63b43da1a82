"""Issues of a Redmine: what becomes of each, how its list is read on, and what is not taken for deleted."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from names import PLANTED_NAME
from providers.redmine import BASE, TOKEN, World, at, provider
from pydantic import ValidationError
from replay import Provider, Reply

from collector.errors import AuthError, ContractError, SourceError
from collector.events import Event, Incident, IncidentState, Ticket, TicketState, Transition
from collector.events import Reply as Said
from collector.findings import Findings
from collector.http import Wire
from collector.source import Complete, Page, SourceContext
from collector.sources.redmine import RedmineConfig

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 2, 9, 0, 0, 250_000, UTC)
STATUSES = {"open": ["New"], "in_progress": ["In Progress"], "waiting": ["Feedback"], "resolved": ["Resolved"]}


@dataclass
class Reader:
    """Reads a Redmine run after run."""

    api: Provider
    settings: dict[str, Any]
    context: SourceContext
    cursor: str | None = None
    pages: tuple[Page, ...] = ()
    before: int = 0

    def run(self, **settings: Any) -> list[Event]:
        """The events of a run; its cursor is the next one's. Settings are changed from then on."""
        self.settings |= settings
        self.before = len(self.api.asked)
        found = []
        for page in RedmineConfig.model_validate(self.settings).build(self.context).pull(self.cursor):
            found.append(page)
            self.cursor = page.cursor
        self.pages = tuple(found)
        return [e for page in found for e in page.events]

    def tickets(self, **settings: Any) -> list[Ticket]:
        """The tickets of a run."""
        return [e for e in self.run(**settings) if isinstance(e, Ticket)]

    def later(self, after: timedelta) -> None:
        """Time goes by."""
        now = self.context.clock() + after
        self.context = replace(self.context, clock=lambda: now)

    @property
    def asked(self) -> list[str]:
        """The paths that the last run asked for."""
        return [one.path for one in self.api.asked[self.before :]]

    @property
    def singles(self) -> list[str]:
        """The issues of which the last run asked what happened to them."""
        return [path for path in self.asked if path.startswith("issues/")]

    @property
    def complete(self) -> list[Complete]:
        """The whole lists of the last run."""
        return [c for page in self.pages for c in page.complete]

    @property
    def said(self) -> str:
        """The warnings and truncations of the last run."""
        return "\n".join(text for page in self.pages for text in (*page.warnings, *page.truncations))

    @property
    def rejected(self) -> str:
        """Why records of the last run cannot be used."""
        return "\n".join(str(record) for page in self.pages for record in page.rejected)


@pytest.fixture
def world() -> World:
    """A Redmine with two projects, who asks and who answers; without an issue."""
    made = World()
    made.project("desk")
    made.project("shop")
    made.user("ada")
    made.user("grace")
    return made


@pytest.fixture
def reader(world: World, context: SourceContext) -> Reader:
    """A reader of the world, to which every issue is a ticket."""
    api = provider(world)
    wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
    fields = {"name": "desk", "type": "redmine", "url": BASE, "token": TOKEN, "parallel": 1}
    rules = {"issues": [{"becomes": "ticket"}], "statuses": STATUSES}
    return Reader(api, {**fields, **rules}, replace(context, wire=wire, clock=lambda: NOW, findings=Findings()))


# ---- what an issue becomes


def test_an_issue_is_a_ticket(world: World, reader: Reader, context: SourceContext) -> None:
    """An issue that was answered and closed is a ticket with its life, its replies and the hashes of people."""
    issue = world.issue(0)
    world.note(issue, 5, "Have a look.", to="In Progress")
    world.note(issue, 9, to="Closed")

    assert reader.run() == [
        Ticket(
            source="desk",
            native_id="1",
            updated_at=at(9),
            url="https://redmine.example.com/issues/1",
            queue="desk",
            state=TicketState.CLOSED,
            created_at=at(0),
            type="Support",
            title="It does not start",
            priority="Normal",
            author=context.people.hashed("ada"),
            resolved_at=at(9),
            closed_at=at(9),
            replies=(Said(at=at(5), author=context.people.hashed("grace")),),
            transitions=(Transition(at=at(5), state="in_progress"), Transition(at=at(9), state="closed")),
        )
    ]


def test_an_issue_may_be_an_incident(world: World, reader: Reader) -> None:
    """A rule by tracker makes incidents: of the service that the category names, as severe as the priority."""
    issue = world.issue(0, tracker=1, category={"id": 1, "name": "checkout"}, priority={"id": 4, "name": "Urgent"})
    world.note(issue, 9, to="Resolved")

    (incident,) = reader.run(issues=[{"becomes": "incident", "type": ["Bug"]}], severities={"sev1": ["Urgent"]})

    assert isinstance(incident, Incident)
    assert (incident.service, incident.severity, incident.state) == ("checkout", "sev1", IncidentState.RESOLVED)
    assert (incident.started_at, incident.restored_at) == (at(0), at(9))


def test_private_notes_and_bare_changes_are_no_replies(world: World, reader: Reader) -> None:
    """Only what somebody says to all is a reply."""
    issue = world.issue(0)
    world.note(issue, 1, "Not for her eyes.", private=True)
    world.note(issue, 2, to="In Progress")
    world.note(issue, 3, "  ")
    world.note(issue, 4, "Good morning.")

    (ticket,) = reader.tickets()

    assert [reply.at for reply in ticket.replies] == [at(4)]


def test_a_reply_of_automation_is_one_of_a_bot(world: World, reader: Reader) -> None:
    """A note by an account of automation is flagged."""
    issue = world.issue(0)
    world.note(issue, 1, "Thank you for your message.", by=world.user("desk-bot"))

    (ticket,) = reader.tickets()

    assert [reply.bot for reply in ticket.replies] == [True]


def test_somebody_whose_login_is_not_shown_is_still_one_person(world: World, reader: Reader) -> None:
    """Who is not shown to the key is told apart by the account, not by the name, which others may have."""
    first, second = world.issue(0, author=98), world.issue(1, author=99)
    world.note(first, 2, "Me again.", by=98)

    one, other = sorted(reader.tickets(), key=lambda t: int(t.native_id))

    assert one.author == one.replies[0].author
    assert one.author != other.author
    assert (one.native_id, other.native_id) == (str(first), str(second))


def test_nobody_is_no_person(world: World, reader: Reader) -> None:
    """An account without a login, which stands for everybody who did not log in, is nobody."""
    world.issue(0, author=world.user("", "Anonymous"))

    assert [ticket.author for ticket in reader.tickets()] == [None]


def test_custom_fields_tell_labels_and_severity(world: World, reader: Reader) -> None:
    """The values of the fields that are named become labels, or say how severe an issue is; others do not count."""
    fields = [
        {"id": 1, "name": "Impact", "value": "high"},
        {"id": 2, "name": "Areas", "multiple": True, "value": ["cart", "search"]},
        {"id": 3, "name": "Phone", "value": "17"},
        {"id": 4, "name": "Release", "value": None},
    ]
    world.issue(0, custom_fields=fields)

    (ticket,) = reader.tickets(severity_field="Impact", label_fields=["Areas", "Release"])

    assert (ticket.priority, ticket.labels) == ("high", ("cart", "search"))


def test_related_issues_are_links(world: World, reader: Reader) -> None:
    """Whichever of two issues names the other, each is linked with the other's page."""
    first, second = world.issue(0), world.issue(1)
    for issue in (first, second):
        world.issues[issue]["relations"] = [{"id": 1, "issue_id": first, "issue_to_id": second}]

    links = {ticket.native_id: ticket.links for ticket in reader.tickets()}

    assert links == {"1": (f"{BASE}/issues/2",), "2": (f"{BASE}/issues/1",)}


def test_a_status_that_was_deleted_is_counted_and_named(world: World, reader: Reader) -> None:
    """A history may name a status that there is no more: it is taken as open, and said."""
    issue = world.issue(0)
    world.note(issue, 1, to=77)
    world.note(issue, 2, to="In Progress")

    (ticket,) = reader.tickets()

    assert [t.state for t in ticket.transitions] == ["in_progress"]
    assert "the status with the id '77' is not known here; it is taken as open" in reader.said


def test_a_ticket_may_begin_by_waiting(world: World, reader: Reader) -> None:
    """Written for somebody else it waits for them from the first, until its history says otherwise."""
    waits = world.issue(0)
    world.issues[waits]["status_id"] = 4  # Feedback
    world.note(waits, 3, to="In Progress")

    (ticket,) = reader.tickets()

    assert [t.state for t in ticket.transitions] == ["waiting", "in_progress"]
    assert ticket.transitions[0].at == ticket.created_at


def test_a_status_means_what_redmine_says_unless_it_is_named(world: World, reader: Reader) -> None:
    """A closed status without a meaning of its own is closed, and named for whoever sets this up."""
    world.note(world.issue(0), 1, to="Rejected")

    (ticket,) = reader.tickets()

    assert ticket.state is TicketState.CLOSED
    assert reader.context.findings.unmapped == {("status", "Rejected", "closed"): 2}


def test_changes_of_one_second_keep_their_order(world: World, reader: Reader) -> None:
    """A user may want the newest note first: what happened within one second still has the order of its ids."""
    issue = world.issue(0)
    world.note(issue, 5, to="Feedback")
    world.note(issue, 5, to="Resolved")
    world.issues[issue]["journals"].reverse()

    assert [t.state for t in reader.tickets()[0].transitions] == ["waiting", "resolved"]


def test_an_issue_that_moves_stays_the_same(world: World, reader: Reader) -> None:
    """In another project an issue keeps its id, and is of that project's queue."""
    issue = world.issue(0)
    reader.run()
    world.issues[issue] |= {"project_id": 2, "updated_on": at(5)}

    assert [(t.native_id, t.queue) for t in reader.tickets()] == [("1", "shop")]


def test_a_project_whose_identifier_is_not_shown_goes_by_its_name(world: World, reader: Reader) -> None:
    """Where the project itself is refused its name stands for it."""
    world.issue(0)
    reader.api.routes.insert(0, ("GET", reader.api.routes[-2][1], lambda *_, **__: Reply(body=b" ", status=403)))

    assert [t.queue for t in reader.tickets()] == ["Desk"]


# ---- what is asked


def test_issues_in_all_statuses_are_listed(world: World, reader: Reader) -> None:
    """Redmine lists open issues unless told otherwise: closed ones are asked for as well."""
    world.note(world.issue(0), 1, to="Closed")

    assert len(reader.tickets()) == 1


def test_what_no_rule_takes_costs_no_request_of_its_own(world: World, reader: Reader) -> None:
    """What happened to an issue is asked only where a rule takes it; one that none takes is counted once."""
    world.issue(0)
    world.issue(1, tracker=2)

    reader.run(issues=[{"becomes": "ticket", "type": ["Support"]}])

    assert reader.singles == ["issues/1.json"]
    assert reader.context.findings.unmapped == {("type", "Feature", "nothing"): 1}


def test_a_run_in_which_nothing_happened_asks_little(world: World, reader: Reader) -> None:
    """The key is proven and the list is asked for; what is listed again is known."""
    for minute in range(3):
        world.issue(minute)
    reader.run()

    assert reader.run() == []
    assert reader.asked == ["users/current.json", "issues.json"]


def test_a_second_change_within_a_second_is_met(world: World, reader: Reader) -> None:
    """What changed twice within the second in which it was read looks the same in a list: it is read again."""
    issue = world.issue(0)
    world.note(issue, 5, "One.")
    reader.later(at(5) - NOW)
    reader.run()
    world.note(issue, 5.001, "Two.")

    (ticket,) = reader.tickets()

    assert len(ticket.replies) == 2


def test_a_run_reads_from_where_the_last_one_was(world: World, reader: Reader) -> None:
    """The time in the cursor is that of the newest change, not that of our clock; some of it is listed again."""
    world.issue(0)
    world.issue(60)
    reader.run(overlap="10m")
    reader.run()

    assert reader.api.asked[reader.before + 1].one("updated_on") == ">=2026-02-16T09:50:00Z"


def test_a_time_that_is_still_to_come_hides_nothing(world: World, reader: Reader) -> None:
    """An issue that says it will change next year does not have all changes before then passed over."""
    world.issue(0, updated_on=NOW + 300 * DAY)
    reader.run()
    late = world.issue(1, updated_on=NOW + DAY)

    assert str(late) in [t.native_id for t in reader.tickets()]


def test_a_first_run_reads_as_far_back_as_it_is_told(world: World, reader: Reader) -> None:
    """What did not change for longer is not read."""
    world.issue(-60 * 24 * 30)
    world.issue(0)

    assert [t.native_id for t in reader.tickets(history="20d")] == ["2"]


@pytest.mark.parametrize(("below", "found"), [(True, ["1", "2"]), (False, ["1"])])
def test_projects_are_read_with_those_below_them(
    world: World, reader: Reader, found: list[str], *, below: bool
) -> None:
    """Only the projects that are named are read, with those below them unless told otherwise."""
    world.issue(0, project=1)
    world.issue(1, project=world.project("desk-inner", parent=1))
    world.issue(2, project=2)

    assert sorted(t.native_id for t in reader.tickets(projects=["desk"], subprojects=below)) == found


def test_filters_narrow_the_list(world: World, reader: Reader) -> None:
    """Filters of the API go along with each page."""
    world.issue(0, tracker=1)
    world.issue(1, tracker=3)

    assert [t.native_id for t in reader.tickets(filters={"tracker_id": "3"})] == ["2"]


@pytest.mark.parametrize("name", ["key", "status_id", "query_id", "f[]"])
def test_a_filter_that_the_source_sets_itself_is_refused(name: str, reader: Reader) -> None:
    """A filter that would undo what the source asks for, or put a key into addresses, is a mistake."""
    with pytest.raises(ValidationError, match="the source sets this itself"):
        reader.run(filters={name: "1"})


def test_a_password_is_sent_as_one(world: World, reader: Reader) -> None:
    """With a user's name the token is the password, and no key."""
    world.issue(0)
    with pytest.raises(AuthError):
        reader.run(username="ada")

    sent = reader.api.asked[-1].headers
    assert sent["authorization"] == "Basic " + b64encode(f"ada:{TOKEN}".encode()).decode()
    assert "x-redmine-api-key" not in sent


def test_without_credentials_nothing_is_proven(world: World, reader: Reader) -> None:
    """What everybody may see can be read without a key."""
    world.issue(0)

    assert reader.run(token="") == []
    assert "users/current.json" not in reader.asked


# ---- long lists


def test_every_page_is_read(world: World, reader: Reader) -> None:
    """A list of more than one page is read to its end, each issue once."""
    for minute in range(250):
        world.issue(minute)

    found = [t.native_id for t in reader.tickets()]

    assert sorted(found, key=int) == [str(n) for n in range(1, 251)]


def test_issues_that_change_meanwhile_are_met_again(world: World, reader: Reader) -> None:
    """An issue of a page that was read moves to the end of the list; no other one is skipped for it."""
    for minute in range(150):
        world.issue(minute)

    def change() -> None:
        world.on_list = lambda: None
        world.note(1, 500, "Again.")
        world.note(2, 501, "Again.")

    world.on_list = change
    last = {t.native_id: t.updated_at for t in reader.tickets()}

    assert len(last) == 150
    assert (last["1"], last["2"]) == (at(500), at(501))


@pytest.fixture
def crowded(world: World) -> World:
    """More issues of one second than a page holds, by parts of it in another order than by their ids; and others."""
    for number in range(130):
        world.issue(0, updated_on=at(10) + timedelta(milliseconds=(number * 7) % 900))
    world.issue(5)
    world.issue(20)
    return world


def test_a_second_that_no_page_holds_is_read_whole(crowded: World, reader: Reader) -> None:
    """A bulk edit gives more issues one second than a page holds, and parts of it are not shown: all are met."""
    assert {int(t.native_id) for t in reader.tickets()} == set(crowded.issues)


def test_each_page_of_a_crowded_second_continues_within_it(crowded: World, reader: Reader) -> None:
    """A run that breaks anywhere in a crowded second goes on without skipping what it had not read of it."""
    reader.run()
    pages = reader.pages[:-1]

    for number, page in enumerate(pages, start=1):
        found = {e.native_id for p in pages[:number] for e in p.events}
        reader.cursor = page.cursor
        assert len(found | {t.native_id for t in reader.tickets()}) == len(crowded.issues), number


def test_a_smaller_page_than_asked_for_ends_nothing(world: World, reader: Reader) -> None:
    """A server may hand out fewer issues than were asked for: how many there are is what it says."""
    for minute in range(60):
        world.issue(minute)
    _change_lists(reader, lambda told: told | {"issues": told["issues"][:25]})

    assert len({t.native_id for t in reader.tickets()}) == 60


def _change_lists(reader: Reader, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The server answers lists of issues differently."""
    method, pattern, own = next(r for r in reader.api.routes if r[1].pattern == "issues.json")

    def changed(asked: Any) -> Reply:
        reply = own(asked)
        return Reply(change(reply.json)) if reply.status == 200 else reply

    reader.api.routes.insert(0, (method, pattern, changed))


# ---- what is not as it should be


def test_a_wrong_key_is_noticed(world: World, reader: Reader) -> None:
    """A wrong key is answered with an empty list, which must not look like no data."""
    world.issue(0)

    with pytest.raises(AuthError, match=r"users/current\.json: answered 401"):
        reader.run(token="a-wrong-key")  # noqa: S106 - planted
    assert reader.asked == ["users/current.json"]


def test_a_web_service_that_is_off_is_named(reader: Reader) -> None:
    """A server whose REST web service is off refuses everybody: the error says where to look."""
    reader.api.routes.insert(0, ("GET", reader.api.routes[0][1], lambda *_, **__: Reply(body=b" ", status=403)))

    with pytest.raises(AuthError, match="is the REST web service switched on"):
        reader.run()


def test_another_refusal_of_the_key_is_told_as_it_is(reader: Reader) -> None:
    """Where there is no such address the error does not speak of credentials."""
    reader.api.routes.clear()

    with pytest.raises(SourceError, match="answered 404; check the address"):
        reader.run()


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told | {"issues": told["issues"][::-1]},
        lambda told: told | {"issues": [{**told["issues"][0], "updated_on": "2001-01-01T00:00:00Z"}]},
        lambda told: told | {"issues": [], "total_count": 7},
    ],
    ids=["in another order", "older than asked for", "none of many"],
)
def test_a_list_that_is_not_what_was_asked_for_is_none(
    world: World, reader: Reader, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """A server or a proxy that passes over the order or the time would have issues skipped: the run fails."""
    world.issue(0)
    world.issue(1)
    _change_lists(reader, change)

    with pytest.raises(ContractError):
        reader.run()


def test_ids_that_were_not_asked_for_are_noticed(crowded: World, reader: Reader) -> None:
    """A server that passes over the filter of ids would never come to an end of a crowded second."""
    del crowded
    ours = reader.api.send

    class Forgetful(Provider):
        """Leaves a filter out."""

        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override] # as requests calls it
            request.url = request.url.replace("issue_id=", "forgotten=")
            return ours(request, **options)

    reader.context = replace(reader.context, wire=replace(reader.context.wire, adapter=Forgetful(BASE)))
    with pytest.raises(ContractError, match="not what was asked for"):
        reader.run()


def test_an_issue_that_cannot_be_read_is_set_aside(world: World, reader: Reader) -> None:
    """An issue of a list without a time is set aside with its id, and the others are read."""
    world.issue(0)
    world.issue(1)
    _change_lists(
        reader, lambda told: told | {"issues": [{**told["issues"][0], "updated_on": None}, told["issues"][1]]}
    )

    assert [t.native_id for t in reader.tickets()] == ["2"]
    assert "item 1 (id 1)" in reader.rejected


def test_a_history_that_cannot_be_read_is_set_aside(world: World, reader: Reader) -> None:
    """An issue whose history is not as documented costs itself alone, and no value of it is told."""
    world.issue(0)
    world.note(2 if world.issue(1) else 0, 5, PLANTED_NAME)
    world.issues[2]["journals"][0]["private_notes"] = PLANTED_NAME

    assert [t.native_id for t in reader.tickets()] == ["1"]
    assert "issues/2.json: it is not as documented" in reader.rejected
    assert PLANTED_NAME not in reader.rejected


@pytest.mark.parametrize("leaves", [lambda w: w.issues.pop(2), lambda w: w.issues[2].update(project_id=2)])
def test_an_issue_that_goes_meanwhile_is_passed_over(
    world: World, reader: Reader, leaves: Callable[[World], object]
) -> None:
    """An issue that is deleted, or hidden, between the list and its own page is no reason to fail."""
    world.issue(0)
    world.issue(1)
    world.hidden = {2}
    world.on_list = lambda: leaves(world) if 2 in world.issues else None

    assert [t.native_id for t in reader.tickets()] == ["1"]


def test_a_project_that_is_refused_does_not_stop_the_others(world: World, reader: Reader) -> None:
    """A project that there is not is said to be cut off, and the others are read."""
    world.issue(0)

    assert [t.native_id for t in reader.tickets(projects=["nowhere", "desk"])] == ["1"]
    assert "issues nowhere: GET" in reader.said


def test_a_project_that_is_refused_alone_fails_every_run(world: World, reader: Reader) -> None:
    """Where nothing of what is named can be read the run is no success, on whatever day."""
    world.issue(0)
    reader.run(projects=["desk"])
    world.hidden = {1}

    with pytest.raises(AuthError):
        reader.run()


# ---- deletions


def gone(reader: Reader, kind: type[Event] = Ticket) -> set[str] | None:
    """The ids that the last run's whole list names; None where it has none."""
    return next((set(c.native_ids) for c in reader.complete if c.kind is kind), None)


@pytest.fixture
def settled(world: World, reader: Reader) -> Reader:
    """A reader that has read an issue in each project, a day ago."""
    world.issue(0, project=1)
    world.issue(1, project=2)
    reader.run()
    reader.later(DAY)
    return reader


def test_once_a_day_the_issues_that_there_are_are_listed(world: World, settled: Reader) -> None:
    """A day later a whole list tells what of the last thirty days there is: what was deleted is not in it."""
    del world.issues[2]
    settled.run()

    since = (NOW - 29 * DAY).replace(microsecond=0)
    assert [(c.kind, c.where, c.dated, c.since, set(c.native_ids)) for c in settled.complete] == [
        (Ticket, {}, "created_at", since, {"1"}),
        (Incident, {}, "detected_at", since, set()),
    ]


def test_the_whole_list_comes_once_a_day(settled: Reader) -> None:
    """The next run of the same day does not list everything again."""
    settled.run()
    settled.run()

    assert settled.complete == []
    assert settled.asked.count("issues.json") == 1


def test_what_became_something_else_is_no_ticket_any_more(world: World, settled: Reader) -> None:
    """An issue whose tracker changed is an incident now: the list of tickets is without it."""
    world.issues[2] |= {"tracker_id": 1, "updated_on": at(9)}
    settled.run(issues=[{"becomes": "incident", "type": ["Bug"]}, {"becomes": "ticket"}])

    assert (gone(settled, Ticket), gone(settled, Incident)) == ({"1"}, {"2"})


def test_a_project_that_is_hidden_has_lost_nothing(world: World, settled: Reader) -> None:
    """Issues of a project that is not shown any more look deleted: nothing is removed, and it is said."""
    world.hidden = {2}
    settled.run()

    assert settled.complete == []
    assert "a project is not shown any more" in settled.said


def test_a_project_is_hidden_only_as_long_as_it_matters(world: World, settled: Reader) -> None:
    """After thirty days nothing that is looked at can be of a project that was hidden."""
    world.hidden = {2}
    settled.run()
    settled.later(31 * DAY)
    settled.run()

    assert gone(settled) == set()


def test_a_project_that_was_deleted_took_its_issues_along(world: World, settled: Reader) -> None:
    """Of a project that there is no more the issues are gone."""
    del world.projects[2], world.issues[2]
    settled.run()

    assert gone(settled) == {"1"}


def test_a_project_that_is_read_no_more_has_lost_nothing(settled: Reader) -> None:
    """Whoever names fewer projects keeps what was read of the others."""
    settled.run(projects=["desk"])

    assert gone(settled) == {"1", "2"}


def test_what_moves_out_of_what_is_read_is_gone(world: World, reader: Reader) -> None:
    """An issue that moved to a project that was never read is not here any more."""
    world.issue(0, project=1)
    world.issue(1, project=1)
    reader.run(projects=["desk"])
    reader.later(DAY)
    world.issues[2]["project_id"] = 2
    reader.run()

    assert gone(reader) == {"1"}


def test_an_issue_that_cannot_be_read_is_not_taken_for_deleted(settled: Reader) -> None:
    """Where an issue of the list cannot be read nobody knows which it is: nothing is removed."""
    _change_lists(settled, lambda told: told | {"issues": [{**one, "status": None} for one in told["issues"]]})
    settled.run()

    assert settled.complete == []
    assert "cannot be read" in settled.said


def test_a_server_that_fails_while_all_is_listed_fails_the_run(settled: Reader) -> None:
    """A list that breaks off is no whole list."""
    settled.run()
    settled.later(DAY)
    settled.api.faults = {len(settled.api.asked) + n: Reply(body=b"<html>", status=200) for n in (3, 4)}

    with pytest.raises(ContractError):
        settled.run()


def test_the_cursor_holds_no_words(world: World, reader: Reader) -> None:
    """What is remembered between runs are times and ids."""
    world.issue(0)
    reader.run()

    assert reader.cursor is not None
    assert set(json.loads(reader.cursor)["streams"]) == {"issues", "deletions"}
