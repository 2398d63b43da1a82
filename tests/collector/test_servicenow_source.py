"""ServiceNow: tasks with the states they went through, who replied when, changes, and what access rules hide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from names import PLANTED_NAME
from providers.servicenow import World, config, provider, small
from pydantic import ValidationError
from replay import Reply

from collector.errors import AuthError, ContractError, RetryableError, SourceError
from collector.events import Deployment, Event, Incident, IncidentState, Result, Ticket, TicketState
from collector.http import Wire
from collector.source import Page, SourceContext

_WHOLE = {"X-Total-Count": "0"}
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def at(clock: str) -> datetime:
    """A time of 2026-03-01 in UTC."""
    hours, minutes = clock.split(":")
    return DAY + timedelta(hours=int(hours), minutes=int(minutes))


def pages(world: World, context: SourceContext, cursor: str | None = None, **fields: Any) -> list[Page]:
    """What a run reports."""
    wire = Wire(adapter=provider(world), sleep=lambda _: None, chance=lambda: 0.0)
    return list(config(**fields).build(replace(context, wire=wire)).pull(cursor))


def events(world: World, context: SourceContext, **fields: Any) -> list[Event]:
    """The events of a first run."""
    return [event for page in pages(world, context, **fields) for event in page.events]


def only(world: World, context: SourceContext, **fields: Any) -> Any:
    """The one event of a first run."""
    (found,) = events(world, context, **fields)
    return found


def said(found: list[Page]) -> list[str]:
    """What pages say beside events."""
    return [text for page in found for text in (*page.truncations, *page.warnings)]


def test_an_incident_keeps_the_states_it_went_through(context: SourceContext) -> None:
    """Acknowledged ≠ resolved; reopened → the last resolution; all in UTC, whoever asks."""
    world = World()
    task = world.task(1, state="7", priority="1", caused_by="CHG0000004")
    for clock, state in (("09:05", "2"), ("10:00", "6"), ("10:30", "2"), ("11:00", "6"), ("18:00", "7")):
        world.state(task, f"2026-03-01 {clock}:00", state)

    found = only(world, context)

    assert isinstance(found, Incident)
    assert (found.state, found.service, found.severity) == (IncidentState.RESOLVED, "shop", "1 - Critical")
    assert (found.started_at, found.acknowledged_at) == (at("9:00"), at("9:05"))
    assert (found.restored_at, found.closed_at) == (at("11:00"), at("18:00"))
    assert found.links == ("INC0000001", "CHG0000004")


def test_a_ticket_that_awaits_its_caller_waits(context: SourceContext) -> None:
    """On hold waits for who asked where that is why; on hold for a vendor does not."""
    world = World()
    task = world.task(1, state="3", hold_reason="4")
    world.state(task, "2026-03-01 09:10:00", "3")
    world.state(task, "2026-03-01 09:10:00", "1", "hold_reason")
    world.state(task, "2026-03-01 09:40:00", "4", "hold_reason")

    found = only(world, context)

    assert isinstance(found, Ticket)
    assert [(t.at, t.state) for t in found.transitions] == [(at("9:10"), "waiting"), (at("9:40"), "in_progress")]
    assert found.state is TicketState.IN_PROGRESS


def test_a_ticket_that_began_on_hold_waited_from_its_first_moment(context: SourceContext) -> None:
    """The audit tells what a state was before it was changed for the first time."""
    world = World()
    task = world.task(1, state="2", hold_reason="1")
    world.state(task, "2026-03-01 09:40:00", "2", was="3")

    found = only(world, context)

    assert [(t.at, t.state) for t in found.transitions] == [(at("9:00"), "waiting"), (at("9:40"), "in_progress")]


def test_states_of_one_second_come_one_from_the_other(context: SourceContext) -> None:
    """The audit has whole seconds and no order within them: what was resolved and closed at once was resolved."""
    world = World()
    task = world.task(1, state="7", priority="1")
    world.state(task, "2026-03-01 10:00:00", "7", was="6")
    world.state(task, "2026-03-01 10:00:00", "6", was="2")
    world.state(task, "2026-03-01 09:30:00", "2", was="1")

    found = only(world, context)

    assert [(t.at, t.state) for t in found.transitions] == [
        (at("9:30"), "acknowledged"),
        (at("10:00"), "resolved"),
        (at("10:00"), "closed"),
    ]


def test_only_comments_are_replies(context: SourceContext) -> None:
    """Work notes are not seen by who asked; the caller's own comment is known as theirs."""
    world = World()
    task = world.task(1)
    world.comment(task, "2026-03-01 09:30:00", "agent", "work_notes")
    world.comment(task, "2026-03-01 09:20:00", task["caller_id.user_name"])
    world.comment(task, "2026-03-01 10:00:00", "agent")

    found = only(world, context)

    assert [reply.at for reply in found.replies] == [at("9:20"), at("10:00")]
    assert [reply.author == found.author for reply in found.replies] == [True, False]


def test_states_are_called_as_the_instance_calls_them(context: SourceContext) -> None:
    """A state of the instance's own is mapped by its English label, in the history too."""
    world = World()
    world.choice("incident", "10", "Awaiting deploy")
    task = world.task(1, state="10")
    world.state(task, "2026-03-01 09:30:00", "10")

    found = only(world, context, statuses={"resolved": "Awaiting deploy"})

    assert (found.state, found.resolved_at) == (TicketState.RESOLVED, at("9:30"))


def test_a_state_that_is_not_known_is_said(context: SourceContext) -> None:
    """A new value survives: the task is open, and the value is counted."""
    world = World()
    world.task(1, state="42")

    found = pages(world, context)

    assert [event.state for page in found for event in page.events if isinstance(event, Ticket)] == [TicketState.OPEN]
    assert said(found) == ["incident state '42' is not known here; it is taken as open"]


def test_changes_are_deployments_by_their_close_codes(context: SourceContext) -> None:
    """Successful with issues was deployed; unsuccessful failed; cancelled and open ones are none."""
    world = World()
    for number, code in enumerate(["successful", "successful_issues", "unsuccessful", "cancelled", ""]):
        world.change(number, code)

    found = [e for e in events(world, context, changes={"environment": "live"}) if isinstance(e, Deployment)]

    assert [e.result for e in found] == [Result.SUCCESS, Result.SUCCESS, Result.FAILURE]
    assert {(e.service, e.environment, e.started_at, e.finished_at) for e in found} == {
        ("shop", "live", at("10:00"), at("10:30"))
    }


def test_a_change_of_nothing_is_set_aside(context: SourceContext) -> None:
    """Without a service nobody knows what was deployed."""
    world = World()
    world.change(1, "successful", business_service="")

    found = pages(world, context, changes={})

    assert [str(bad) for page in found for bad in page.rejected] == [
        "change_request CHA0000001: `work_end` or what it changed (a service) is missing"
    ]


def test_without_the_audit_ends_are_known_and_that_is_said(context: SourceContext) -> None:
    """A token that may not read the history: what the record tells is kept, what is missing is said."""
    world = small()
    world.refused = {"sys_audit"}

    found = pages(world, context)

    incident = next(e for page in found for e in page.events if isinstance(e, Incident))
    assert (incident.acknowledged_at, incident.restored_at) == (None, at("11:00"))
    assert any(text.startswith("sys_audit: ") for text in said(found))


def test_records_that_access_rules_hide_are_said(context: SourceContext) -> None:
    """A short page ends nothing, and how many are hidden is said; nothing counts as deleted then."""
    world = World()
    for number in range(1, 251):
        world.task(number, sys_updated_on=f"2026-03-01 09:{number // 60:02}:{number % 60:02}")
    world.hidden = {f"{number:032x}" for number in range(1, 120)}

    found = pages(world, context)

    assert len({event.id for page in found for event in page.events}) == 131
    assert said(found) == ["incident: access rules hide 119 records that were updated since"]
    assert [page.complete for page in found if page.complete] == []


def test_more_records_of_one_second_than_a_page_holds_are_all_read(context: SourceContext) -> None:
    """An import writes a thousand tasks in a second: the page goes on within it."""
    world = World()
    for number in range(1, 351):
        world.task(number)

    assert len({event.id for event in events(world, context)}) == 350


def test_what_is_updated_while_it_is_read_is_not_lost(context: SourceContext) -> None:
    """A task of the first page moves to the end: none of those behind it is passed over."""
    world = World()
    for number in range(1, 251):
        world.task(number, sys_updated_on=f"2026-03-01 09:{number // 60:02}:{number % 60:02}")
    wire = Wire(adapter=provider(world), sleep=lambda _: None, chance=lambda: 0.0)
    reading = config().build(replace(context, wire=wire)).pull(None)

    seen = list(next(reading).events)
    world.tables["incident"][3]["sys_updated_on"] = "2026-03-01 10:00:00"
    seen += [event for page in reading for event in page.events]

    assert len({event.id for event in seen}) == 250


def test_a_run_after_a_run_asks_for_what_was_updated_since(context: SourceContext) -> None:
    """The place comes from the records, with an overlap of an hour; not from our clock."""
    world = small()
    last = pages(world, context)[-1].cursor
    world.task(9, sys_updated_on="2026-03-01 11:30:00")
    world.task(10, sys_updated_on="2026-03-01 08:00:00")

    found = pages(world, context, last)

    assert sorted(e.native_id[-1] for page in found for e in page.events if isinstance(e, Ticket)) == ["2", "3", "9"]


def test_a_task_that_was_deleted_is_found_within_a_day(context: SourceContext, new_bench: Callable[[str], Any]) -> None:
    """Deleted at the source → found by reconciliation, and its numbers go."""
    world, bench = small(), new_bench("kept")
    wire = Wire(adapter=provider(world), sleep=lambda _: None, chance=lambda: 0.0)
    bench.runner.run("sample", config().build(replace(context, wire=wire)))
    del world.tables["incident"][1]

    tomorrow = replace(context, wire=wire, clock=lambda: context.clock() + timedelta(days=1))
    outcome = bench.runner.run("sample", config().build(tomorrow))

    assert (outcome.succeeded, outcome.removed) == (True, 1)


def test_a_query_that_is_passed_over_is_noticed(context: SourceContext) -> None:
    """ServiceNow ignores what it does not understand: an unasked record is an error, not a number."""
    world = small()
    world.task(9, sys_updated_on="2019-01-01 00:00:00")
    world.passes_over_queries = True

    with pytest.raises(ContractError, match="not what was asked for"):
        pages(world, context)


def test_a_table_that_is_refused_is_said_and_the_others_go_on(context: SourceContext) -> None:
    """One table that may not be read is no reason to lose the other."""
    world = small()
    world.refused = {"sc_req_item"}

    found = pages(world, context)

    assert {type(event).__name__ for page in found for event in page.events} == {"Incident", "Ticket"}
    assert any(text.startswith("sc_req_item: ") for text in said(found))


def test_a_source_that_may_read_nothing_fails(context: SourceContext) -> None:
    """All tables refused must not look like "no data"."""
    world = small()
    world.refused = {"incident", "sc_req_item"}

    with pytest.raises(AuthError):
        pages(world, context)


@pytest.mark.parametrize("number", [1, 2, 3], ids=["a table", "the journal", "the audit"])
def test_an_answer_that_breaks_off_is_no_whole_one(context: SourceContext, number: int) -> None:
    """A query that takes too long ends with what there was and an error, as 200: nothing of it is taken for all."""
    world = World()
    world.task(1)
    stand_in = provider(world)
    told = {"message": "Transaction cancelled: maximum execution time exceeded", "detail": PLANTED_NAME}
    stand_in.faults = {number + 1: Reply({"result": [], "error": told, "status": "failure"}, headers=_WHOLE)}

    with pytest.raises(RetryableError) as caught:
        list(config().build(replace(context, wire=Wire(adapter=stand_in, sleep=lambda _: None))).pull(None))

    assert PLANTED_NAME not in str(caught.value)


def test_an_instance_that_sleeps_is_an_error(context: SourceContext) -> None:
    """A developer instance that hibernates answers 200 with a page for people."""
    asked = provider(World())
    asked.routes.clear()
    page = Reply(body=b"<html><title>Instance Hibernating page</title></html>", headers={"Content-Type": "text/html"})
    asked.route(r".*")(lambda _: page)
    wire = Wire(adapter=asked, sleep=lambda _: None)

    with pytest.raises(SourceError):
        list(config().build(replace(context, wire=wire)).pull(None))


def test_a_user_with_a_password_is_asked_with_both(context: SourceContext) -> None:
    """Basic credentials where a user is named, OAuth's token otherwise."""
    asked = provider(World())
    wire = Wire(adapter=asked, sleep=lambda _: None)

    list(config(username="paceline").build(replace(context, wire=wire)).pull(None))
    list(config().build(replace(context, wire=wire)).pull(None))

    assert sorted({request.headers["authorization"].split()[0] for request in asked.asked}) == ["Basic", "Bearer"]


@pytest.mark.parametrize(
    "fields", [{"query": "a=1^NQb=2"}, {"query": "a=1^ORDERBYa"}, {"tables": ["incident?x=1"]}, {"tables": []}]
)
def test_settings_that_would_change_what_is_asked_are_refused(fields: dict[str, Any]) -> None:
    """A query of one's own narrows what is read, and never widens it."""
    with pytest.raises(ValidationError):
        config(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"project_field": "assigned_to"},
        {"component_fields": ["cmdb_ci", "assignment_group.manager"]},
        {"severity_field": "caller_id.user_name"},
        {"type_field": "opened_by"},
    ],
)
def test_a_field_of_people_is_no_queue_and_no_service(fields: dict[str, Any]) -> None:
    """What becomes a queue, a service or a severity is shown: nobody's name may."""
    with pytest.raises(ValidationError, match="this field names people; expected one of groups, services or kinds"):
        config(**fields)
