"""What a tracker's words mean: which issues are tickets or incidents, where they stand, and what nobody mapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from collector.events import Incident, IncidentState, Ticket, TicketState
from collector.findings import Findings
from collector.patterns import patterns
from collector.tracking import (
    Issue,
    IssueRule,
    LabelStates,
    Severities,
    Status,
    StatusChange,
    Statuses,
    Tracking,
    Turn,
    of_ticket,
)

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NEW, DOING = Status("New"), Status("Doing", TicketState.IN_PROGRESS)
PENDING = Status("Pending customer", TicketState.IN_PROGRESS)
DONE, CLOSED = Status("Done", TicketState.RESOLVED), Status("Closed", TicketState.CLOSED)
STATUSES = {"open": "New", "in_progress": "Doing", "waiting": "Pending*", "resolved": "Done", "closed": "Closed"}
TICKETS: Sequence[Mapping[str, Any]] = ({"becomes": "ticket"},)
INCIDENTS: Sequence[Mapping[str, Any]] = ({"becomes": "incident"},)


def after(hours: float) -> datetime:
    """So many hours after the issue was written."""
    return AT + timedelta(hours=hours)


def issue(*changes: tuple[float, Status], **fields: Any) -> Issue:
    """An issue of project `help` whose status changed so many hours after it was written."""
    told = [StatusChange(after(hours), status) for hours, status in changes]
    known = {"native_id": "7", "project": "help", "status": told[-1].status if told else NEW, "created_at": AT}
    return Issue(**{**known, "changes": told, **fields})


def tracking(rules: Sequence[Mapping[str, Any]] = TICKETS, **settings: Any) -> Tracking:
    """Rules at work."""
    findings = Findings()
    return Tracking(
        "tracker",
        [IssueRule.model_validate(rule) for rule in rules],
        Statuses.model_validate(settings.get("statuses", STATUSES)),
        Severities(settings.get("severities", {}), findings),
        findings,
    )


def ticket(told: Issue, **settings: Any) -> Ticket:
    """An issue as a ticket."""
    found = tracking(**settings).event(told)
    assert isinstance(found, Ticket)
    return found


def incident(told: Issue, **settings: Any) -> Incident:
    """An issue as an incident."""
    found = tracking(INCIDENTS, **settings).event(told)
    assert isinstance(found, Incident)
    return found


def test_a_ticket_goes_through_the_states_that_its_statuses_mean() -> None:
    """Taken on, waiting for who asked, done: each is told with its time."""
    found = ticket(issue((1, DOING), (2, PENDING), (5, DONE)))

    assert [(t.at, t.state) for t in found.transitions] == [
        (after(1), "in_progress"),
        (after(2), "waiting"),
        (after(5), "resolved"),
    ]
    assert (found.state, found.resolved_at, found.closed_at) == (TicketState.RESOLVED, after(5), None)


def test_the_order_in_which_changes_are_told_does_not_matter() -> None:
    """A tracker may list its history from the newest on."""
    told = issue((1, DOING), (5, DONE))

    assert ticket(told) == ticket(issue(status=DONE, changes=told.changes[::-1]))


def test_closed_after_done_is_no_second_resolution() -> None:
    """Closing what is resolved is house-keeping: the resolution keeps its time."""
    found = ticket(issue((5, DONE), (80, CLOSED)))

    assert (found.state, found.resolved_at, found.closed_at) == (TicketState.CLOSED, after(5), after(80))


def test_resolved_after_closed_is_no_second_resolution() -> None:
    """Nobody opened it: calling what is closed resolved once more changes nothing."""
    told = issue((5, DONE), (8, CLOSED), (80, DONE))

    assert ticket(told).resolved_at == after(5)
    assert [t.at for t in ticket(told).transitions] == [after(5), after(8)]


def test_what_begins_as_waiting_waits_from_its_creation() -> None:
    """An agent who writes for somebody else begins by waiting for them."""
    found = ticket(issue((5, DOING), began=PENDING))

    assert [(t.at, t.state) for t in found.transitions] == [(after(0), "waiting"), (after(5), "in_progress")]


@pytest.mark.parametrize("began", [Status("To do"), DONE])
def test_a_beginning_that_says_nothing_is_no_transition(began: Status) -> None:
    """What begins as open does what all do; what was written as done (an import) ended some other time."""
    found = ticket(issue((5, DOING), began=began))

    assert [(t.at, t.state) for t in found.transitions] == [(after(5), "in_progress")]


def test_what_was_reopened_and_resolved_again_was_resolved_last() -> None:
    """Reopened → the last resolution counts."""
    found = ticket(issue((5, DONE), (6, DOING), (9, DONE)))

    assert found.resolved_at == after(9)


def test_what_was_reopened_has_no_resolution() -> None:
    """Reopened and not done again → it is open, whatever stood there before."""
    found = ticket(issue((5, CLOSED), (6, DOING), ended_at=after(5)))

    assert (found.state, found.resolved_at, found.closed_at) == (TicketState.IN_PROGRESS, None, None)


def test_an_end_without_history_is_when_the_tracker_says_it_was() -> None:
    """A tracker that tells no history still tells when an issue was closed."""
    found = ticket(issue(status=DONE, ended_at=after(4)))

    assert (found.state, found.resolved_at) == (TicketState.RESOLVED, after(4))


def test_an_end_that_nobody_dates_has_no_time() -> None:
    """The tracker says it is done, and not when: no time is guessed."""
    found = ticket(issue(status=DONE))

    assert (found.state, found.resolved_at, found.transitions) == (TicketState.RESOLVED, None, ())


def test_an_acknowledged_incident_is_still_open() -> None:
    """Acknowledged ≠ resolved."""
    found = incident(issue((1, DOING)))

    assert (found.state, found.acknowledged_at, found.restored_at) == (IncidentState.ACKNOWLEDGED, after(1), None)


def test_an_incident_is_restored_at_its_last_resolution() -> None:
    """Resolved, reopened, resolved and closed: what counts is the resolution after the reopening."""
    found = incident(issue((2, DONE), (3, NEW), (7, DONE), (30, CLOSED)))

    assert (found.state, found.restored_at, found.closed_at) == (IncidentState.RESOLVED, after(7), after(30))
    assert [t.state for t in found.transitions] == ["resolved", "detected", "resolved", "closed"]


def test_an_incident_that_was_closed_and_never_resolved_keeps_that_apart() -> None:
    """Closed without a resolution: the close time stands alone, and whoever judges it can say so."""
    found = incident(issue((2, CLOSED)))

    assert (found.state, found.restored_at, found.closed_at) == (IncidentState.RESOLVED, None, after(2))


def test_an_incident_began_when_its_tracker_says_it_began() -> None:
    """What happened at night may be written down in the morning."""
    found = incident(issue(started_at=after(-6)))

    assert (found.started_at, found.detected_at) == (after(-6), AT)


def test_a_status_that_nobody_mapped_is_taken_by_its_category_and_listed() -> None:
    """An unknown status is never a guess without a word: it is counted by name."""
    told = tracking(statuses={"waiting": "Pending*"})

    found = told.event(issue((1, DOING), (2, Status("Parked"))))

    assert found is not None
    assert found.state is TicketState.OPEN
    assert told.findings.unmapped == {
        ("status", "Doing", "in_progress"): 1,
        ("status", "Parked", "open"): 2,
    }


def test_an_address_as_a_status_is_only_counted() -> None:
    """Where a tracker's words could tell of a person, the word is not repeated."""
    told = tracking(statuses={})

    told.event(issue(status=Status("ask wilhelmina@quarterstaff.example")))

    assert list(told.findings.unmapped) == [("status", "…", "open")]


def test_the_most_precise_name_of_a_status_counts() -> None:
    """A name beats a glob, wherever it stands."""
    found = ticket(issue(status=PENDING), statuses={"open": "Pending customer", "waiting": "Pending*"})

    assert found.state is TicketState.OPEN


def test_the_first_rule_that_fits_decides() -> None:
    """Incidents by type, what is only internal left out, the rest are tickets."""
    told = tracking(
        [{"becomes": "incident", "type": "Incident"}, {"becomes": "nothing", "label": "internal"}, *TICKETS]
    )

    made = [told.event(issue(**f)) for f in ({"type": "Incident"}, {"labels": ["x", "internal"]}, {"type": "Help"})]

    assert [type(one).__name__ for one in made] == ["Incident", "NoneType", "Ticket"]


def test_whole_labels_are_compared() -> None:
    """Label `bug` does not match `debugging`: whole labels are compared."""
    told = tracking([{"becomes": "incident", "label": "bug"}])

    assert told.event(issue(labels=["debugging"])) is None


def test_what_no_rule_takes_is_listed_by_its_type() -> None:
    """An issue that no rule fits is nothing here, and is counted."""
    told = tracking([{"becomes": "incident", "type": "Incident"}])

    told.event(issue(type="Epic"))

    assert told.findings.unmapped == {("type", "Epic", "nothing"): 1}


def test_names_of_queues_and_services_are_made_of_what_was_found() -> None:
    """Groups of expressions, the project and the component that fitted fill the templates."""
    rule = {"becomes": "ticket", "component": "/app-(?P<app>.+)/", "queue": "{project}/{type}", "service": "{app}"}

    found = ticket(issue(type="Question", components=["docs", "app-shop"]), rules=[{**rule, "journey": "new-{app}"}])

    assert (found.queue, found.service, found.journey) == ("help/Question", "shop", "new-shop")


def test_a_service_is_the_component_unless_a_rule_says_otherwise() -> None:
    """The component's name goes on as it is: the catalogue knows whose it is."""
    assert [ticket(issue(components=c)).service for c in (["checkout"], [])] == ["checkout", None]


def test_severities_get_the_names_they_have_here() -> None:
    """P1 and Blocker are one severity; what is not mapped keeps its name and is listed."""
    told = tracking(INCIDENTS, severities={"critical": ["P1", "Blocker"]})

    made = [told.event(issue(severity=s)) for s in ("Blocker", "P4", "")]

    assert [one.severity for one in made if isinstance(one, Incident)] == ["critical", "P4", None]
    assert told.findings.unmapped[("severity", "P4", "P4")] == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"waiting": ["Pending"], "closed": ["Pending"]}, "named under `waiting` and `closed`"),
        ({"resolved": ["/(/"]}, "regular expression"),
        ({"done": ["Done"]}, "Extra inputs"),
    ],
)
def test_statuses_that_contradict_themselves_are_refused(settings: dict[str, Any], said: str) -> None:
    """One status means one thing."""
    with pytest.raises(ValidationError, match=said):
        Statuses.model_validate(settings)


def test_a_template_of_an_unknown_name_is_refused() -> None:
    """A rule that asks for a group no expression has says which there are."""
    with pytest.raises(ValidationError, match="no expression has a group named 'team'; expected one of component"):
        IssueRule.model_validate({"becomes": "ticket", "queue": "{team}"})


def test_a_label_from_the_beginning_tells_from_the_creation_on() -> None:
    """What was written with a label, which nobody added later, waited from its first moment until it was removed."""
    states = LabelStates(waiting=patterns(["needs info"]))

    life = states.life([], [Turn(after(3), label="needs info", added=False)], created_at=AT)

    assert [(t.at, t.state) for t in of_ticket(life)] == [(AT, "waiting"), (after(3), "open")]


def test_a_label_whose_history_was_not_read_tells_of_no_time() -> None:
    """The labels of today say nothing of when an issue got them."""
    states = LabelStates(waiting=patterns(["needs info"]))

    assert states.life(["needs info"], []) == []
