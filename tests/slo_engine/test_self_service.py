"""Self-service, case by case: times are minutes after the start of a day.

The journey `provision-db` has a target of 30 minutes, so a request without an end expires after max(4 · 30 min, 24 h) =
1440 minutes; a request is judged 24 h = 1440 minutes after its end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from pydantic import ValidationError
from source_states import source_state

from collector.events import Approval, AttemptEnd, Event, Result, SelfServiceAttempt, Ticket, TicketState
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.identities import Identities
from slo_engine.indicator import Asked
from slo_engine.indicators import self_service
from slo_engine.indicators.self_service import success_by_requester
from slo_engine.measure import OUTCOME_CODES, Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, label_values, to_micros
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents
from slo_engine.requests_options import JourneyOptions, SelfServiceOptions
from slo_engine.snapshot import Number

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = 1440
ANN, BOB, ADA = "person:ann", "person:bob", "person:ada"
OPTIONS = SelfServiceOptions(
    journeys=(
        JourneyOptions(name="provision-db", target=timedelta(minutes=30), types=("database",), undone_by=("drop-db",)),
        JourneyOptions(name="new-service", queues=("platform-*",), labels=("service", "template")),
    ),
    queues=("platform-*",),
)
ORGANISATION = Organisation(platform_teams=patterns(["/platform"]), options=(OPTIONS,))


def at(minutes: float | None) -> datetime | None:
    """A time in minutes after the start, None where it is unknown."""
    return None if minutes is None else START + timedelta(minutes=minutes)


def attempt(name: str, start: float, end: float | None, **more: Any) -> SelfServiceAttempt:
    """An attempt of Ann's at a database for the orders that ended well, unless told otherwise."""
    fields: dict[str, Any] = {
        "source": "portal",
        "native_id": name,
        "journey": "provision-db",
        "requester": ANN,
        "requester_team": "/commerce/checkout",
        "target": "orders-db",
        "started_at": at(start),
        "finished_at": at(end),
        "result": None if end is None else Result.SUCCESS,
    }
    return SelfServiceAttempt(**(fields | more))


def failed(name: str, start: float, end: float, **more: Any) -> SelfServiceAttempt:
    """An attempt that failed."""
    return attempt(name, start, end, **{"result": Result.FAILURE, **more})


def ticket(name: str, created: float, **more: Any) -> Ticket:
    """A ticket of Ann's in the platform team's queue that asks for nothing in particular."""
    fields: dict[str, Any] = {
        "source": "desk",
        "native_id": name,
        "queue": "platform-help",
        "state": TicketState.OPEN,
        "created_at": at(created),
        "author": ANN,
        "author_team": "/commerce/checkout",
    }
    return Ticket(**(fields | more))


def approval(requested: float, decided: float | None, team: str | None, **more: Any) -> Approval:
    """A granted approval by somebody of a team."""
    times: dict[str, Any] = {"requested_at": at(requested), "decided_at": at(decided)}
    return Approval(
        **times, **{"actor": BOB, "actor_team": team, "approved": None if decided is None else True, **more}
    )


def observed(indicator: str, *events: Event, organisation: Organisation = ORGANISATION) -> list[Observation]:
    """The observations of an indicator in the order of their times."""
    found = self_service.observe(PlainEvents(events), organisation)
    return sorted((o for o in found if o.indicator == indicator), key=lambda o: (o.at, o.unit, o.outcome))


def verdicts(indicator: str, *events: Event, **more: Any) -> list[tuple[str, str, datetime | None]]:
    """What each unit of an indicator was judged: its reason or outcome, the rule, and when."""
    return [(o.reason or str(o.outcome), o.rule, o.at) for o in observed(indicator, *events, **more)]


def success(*events: Event, **more: Any) -> list[tuple[str, str, datetime | None]]:
    """How the requests were judged."""
    return verdicts("self_service_success", *events, **more)


def endings(*events: Event) -> list[str]:
    """How the requests ended, those in progress too."""
    return [label_values(o.dimension, 2)[1] for o in observed("self_service_outcome", *events)]


# --- from attempts to requests -----------------------------------------------------------------------------


def test_fail_then_retry_after_five_minutes_is_one_request() -> None:
    """Fail, retry after 5 min, success → one request, `success`; first-attempt yield sees the failure."""
    events = failed("1", 0, 5), attempt("2", 10, 20)

    assert success(*events) == [("good", "", at(20))]
    assert verdicts("self_service_first_attempt", *events) == [("bad", "", at(20))]
    assert endings(*events) == ["success"]


def test_a_retry_after_61_minutes_is_another_request() -> None:
    """Retry after 61 min → two requests, one failed."""
    assert success(failed("1", 0, 5), attempt("2", 66, 76)) == [("bad", "failed", at(5)), ("good", "", at(76))]


def test_a_retry_after_60_minutes_is_the_same_request() -> None:
    """At most 60 min between the end of one and the start of the next: 5 + 60 = 65 still belongs; it took 75 min."""
    assert success(failed("1", 0, 5), attempt("2", 65, 75)) == [("bad", "late", at(75))]


def test_the_gap_counts_from_the_start_where_there_is_no_end() -> None:
    """A vanished attempt at 0 and one at 60 are one request; one at 61 is another, and the first expires."""
    vanished = attempt("1", 0, None)

    assert success(vanished, attempt("2", 60, 70)) == [("bad", "late", at(70))]
    assert success(vanished, attempt("2", 61, 71)) == [
        ("pending", "", at(0)),
        ("good", "", at(71)),
        ("bad", "expired", at(DAY)),
    ]


def test_the_gap_counts_from_the_latest_end_of_attempts_side_by_side() -> None:
    """An attempt from 0 to 90 and one from 10 to 20: a third at 140 is 50 min after the last end."""
    events = failed("1", 0, 90), failed("2", 10, 20), failed("3", 140, 150)

    assert success(*events) == [("bad", "failed", at(150))]


@pytest.mark.parametrize("other", [{"requester": BOB}, {"target": "carts-db"}])
def test_another_requester_or_target_is_another_request(other: dict[str, Any]) -> None:
    """Only the same person asking for the same thing retries."""
    assert len(success(failed("1", 0, 5), failed("2", 10, 20, **other))) == 2


def test_two_accounts_of_one_person_make_one_request() -> None:
    """A reviewed file says whose accounts are whose."""
    organisation = Organisation(identities=Identities(people={BOB: ANN}), options=(OPTIONS,))

    found = success(failed("1", 0, 5), attempt("2", 10, 20, requester=BOB), organisation=organisation)

    assert found == [("good", "", at(20))]


def test_somebody_unknown_asks_once() -> None:
    """Nobody can say that two unknown requesters are one."""
    assert len(success(failed("1", 0, 5, requester=None), attempt("2", 10, 20, requester=None))) == 2


def test_an_unknown_target_is_not_asked_for_again() -> None:
    """Without a target, failures are retried, but what follows a success is another request."""
    events = failed("1", 0, 5, target=None), attempt("2", 6, 10, target=None), attempt("3", 20, 25, target=None)

    assert success(*events) == [("good", "", at(10)), ("good", "", at(25))]


# --- terminal states ---------------------------------------------------------------------------------------


def test_a_good_request_is_final_after_the_grace() -> None:
    """Judged at the terminal state + 24 h: it is dated at its end, and pending until a ticket can no longer come."""
    (found,) = observed("self_service_success", attempt("1", 0, 10))

    assert (found.outcome, found.at, found.matures_at) == (Outcome.GOOD, at(10), at(10 + DAY))


@pytest.mark.parametrize(("end", "judged"), [(30, ("good", "")), (31, ("bad", "late"))])
def test_a_late_success_is_bad(end: float, judged: tuple[str, str]) -> None:
    """The target is 30 minutes: at it is in time, a minute later is not; it is a success that came late."""
    assert success(attempt("1", 0, end)) == [(*judged, at(end))]
    assert endings(attempt("1", 0, end)) == ["success"]


@pytest.mark.parametrize("result", [Result.FAILURE, Result.ERROR, Result.TIMEOUT])
def test_a_failed_request_is_bad(result: Result) -> None:
    """Failed, broken and timed-out attempts failed."""
    assert success(failed("1", 0, 5, result=result)) == [("bad", "failed", at(5))]


def test_quota_used_up_is_a_failure_and_an_invalid_form_is_rejected() -> None:
    """Quota used up → failed; form invalid → rejected."""
    quota = failed("1", 0, 5, ended=AttemptEnd.COMPLETED)
    form = failed("2", 100, 101, ended=AttemptEnd.REJECTED, target="carts-db")

    assert success(quota, form) == [("bad", "failed", at(5)), ("rejected", "", at(101))]
    assert endings(quota, form) == ["failed", "rejected"]


def test_a_denied_approval_rejects() -> None:
    """Somebody said no: a rule of the house is no failure of the platform."""
    denied = failed("1", 0, 5, approvals=(approval(0, 5, "/commerce", approved=False),))

    assert success(denied) == [("rejected", "", at(5))]


def test_a_job_that_vanishes_expires() -> None:
    """Job vanishes → `expired`, bad, at max(4·T, 24 h): pending from its start until then."""
    found = observed("self_service_success", attempt("1", 0, None))

    assert [(o.outcome, o.at, o.matures_at) for o in found] == [
        (Outcome.PENDING, at(0), at(DAY)),
        (Outcome.BAD, at(DAY), None),
    ]
    assert endings(attempt("1", 0, None)) == ["in_progress", "expired"]


def test_a_long_target_expires_after_four_times_it() -> None:
    """A target of 10 h: 4 · 10 h = 40 h is more than 24 h."""
    slow = SelfServiceOptions(journeys=(JourneyOptions(name="provision-db", target=timedelta(hours=10)),))

    found = success(attempt("1", 0, None), organisation=Organisation(options=(slow,)))

    assert found[-1] == ("bad", "expired", at(40 * 60))


def test_an_end_after_the_deadline_comes_too_late() -> None:
    """What ended after 25 h had expired after 24: it stays bad, and is dated at the deadline."""
    assert success(attempt("1", 0, 25 * 60)) == [("pending", "", at(0)), ("bad", "expired", at(DAY))]


def test_a_request_that_its_source_calls_expired_is_bad_at_its_end() -> None:
    """The portal gave up after an hour; like a failure it is final when nobody can retry any more."""
    (found,) = observed("self_service_success", failed("1", 0, 60, ended=AttemptEnd.EXPIRED, result=None))

    assert (found.outcome, found.rule, found.at, found.matures_at) == (Outcome.BAD, "expired", at(60), at(60 + DAY))


@pytest.mark.parametrize(("side_effects", "judged"), [(False, ("cancelled", "")), (True, ("bad", "failed"))])
def test_a_cancellation_counts_only_after_a_side_effect(side_effects: bool, judged: tuple[str, str]) -> None:  # noqa: FBT001 - a parameter
    """User cancels before a side effect, or it was cleanly undone → excluded; after → failed."""
    cancelled = failed("1", 0, 5, ended=AttemptEnd.CANCELLED, result=Result.CANCELLATION, side_effects=side_effects)

    assert success(cancelled) == [(*judged, at(5))]


def test_a_skipped_attempt_did_nothing() -> None:
    """Nothing ran, so nothing failed."""
    assert success(failed("1", 0, 5, result=Result.SKIP)) == [("cancelled", "", at(5))]


@pytest.mark.parametrize(
    "given_up",
    [
        attempt("1", 0, None, waiting_for_requester_seconds=86_401),
        failed("1", 0, 1, result=Result.TIMEOUT, waiting_for_requester_seconds=86_401),
        failed("1", 0, 1, ended=AttemptEnd.ABANDONED, result=None),
    ],
)
def test_waiting_too_long_for_the_requester_is_abandonment(given_up: SelfServiceAttempt) -> None:
    """More than 24 h waiting for the requester, without another end → abandoned, excluded."""
    assert [reason for reason, _, _ in success(given_up)] == ["abandoned"]
    assert endings(given_up) == ["abandoned"]


def test_waiting_a_day_for_the_requester_is_not_abandoned() -> None:
    """Exactly 24 h is not more than 24 h: without an end it expires like any other."""
    waiting = attempt("1", 0, None, waiting_for_requester_seconds=86_400)

    assert success(waiting)[-1] == ("bad", "expired", at(DAY))


def test_a_failure_is_not_undone_by_giving_up() -> None:
    """Failed, then cancelled without effect: the person did not get it."""
    cancelled = failed("2", 10, 11, ended=AttemptEnd.CANCELLED, side_effects=False)

    assert success(failed("1", 0, 5), cancelled) == [("bad", "failed", at(5))]


def test_the_clock_starts_after_a_rejected_form() -> None:
    """Rejected at 0, sent again at 40, done at 65: 25 minutes, in time; the first attempt that counts worked."""
    events = failed("1", 0, 1, ended=AttemptEnd.REJECTED), attempt("2", 40, 65)

    assert success(*events) == [("good", "", at(65))]
    assert verdicts("self_service_first_attempt", *events) == [("good", "", at(65))]


@pytest.mark.parametrize(("start", "end"), [(0, None), (10, 5)])
def test_an_end_that_nobody_knows_is_set_aside(start: float, end: float | None) -> None:
    """A success without an end, or with one before its start, says nothing about its time: counted, left out."""
    assert [r for r, _, _ in success(attempt("1", start, end, result=Result.SUCCESS))] == ["missing_time"]


def test_a_retry_is_no_restatement(kept: Kept) -> None:
    """Published between a failure, a rejection and their retries, nothing of them was final yet."""
    kept.after(failed("1", 0, 5), failed("2", 0, 5, ended=AttemptEnd.REJECTED, target="b"))
    kept.store.published(to_micros(at(7) or START))
    kept.after(attempt("3", 10, 20), attempt("4", 10, 20, target="b"))

    assert kept.store.restatements() == []


# --- what does not count -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"dry_run": True}, "dry_run"),
        ({"load_test": True}, "load_test"),
        ({"bot": True}, "bot"),
        ({"requester_team": "/platform/runtime"}, "platform_team"),
    ],
)
def test_what_is_no_request_of_a_user_is_excluded(more: dict[str, Any], reason: str) -> None:
    """Dry runs and load tests → excluded, like bots and the platform team's own runs, whatever became of them."""
    assert success(failed("1", 0, 5, **more)) == [(reason, "", at(5))]
    assert success(attempt("1", 0, None, **more)) == [(reason, "", at(0))]


def test_a_dry_run_is_no_first_attempt() -> None:
    """A dry run before the real one makes a request of its own."""
    events = failed("1", 0, 5, dry_run=True), attempt("2", 10, 20)

    assert verdicts("self_service_first_attempt", *events) == [("dry_run", "", at(5)), ("good", "", at(20))]


def test_a_person_whom_the_list_calls_a_bot_is_one() -> None:
    """The reviewed list decides before what the source says."""
    organisation = Organisation(identities=Identities(bots=frozenset([ANN]), humans=frozenset([BOB])))
    events = attempt("1", 0, 10), attempt("2", 0, 10, requester=BOB, bot=True)

    assert [r for r, _, _ in success(*events, organisation=organisation)] == ["bot", "good"]


# --- human touch -------------------------------------------------------------------------------------------


def test_an_approval_by_the_own_team_is_no_touch() -> None:
    """Approval by one's own team → no human touch, the wait counts: 20 of the 25 minutes were waiting."""
    own = attempt("1", 0, 25, approvals=(approval(2, 22, "/commerce/checkout"),))

    assert success(own) == [("good", "", at(25))]
    assert [o.value for o in observed("self_service_time", own)] == [1500.0]


def test_an_approval_by_the_platform_team_is_a_touch() -> None:
    """Approval by the platform team → touch."""
    theirs = attempt("1", 0, 10, approvals=(approval(1, 2, "/platform/runtime"),))

    assert success(theirs) == [("bad", "actor", at(10))]
    assert endings(theirs) == ["assisted"]


@pytest.mark.parametrize(
    "step",
    [approval(1, None, "/platform"), approval(1, 2, "/platform", actor="person:approver"), approval(1, 2, None)],
)
def test_only_a_human_of_the_platform_who_decided_touches(step: Approval) -> None:
    """A step nobody took, one by a bot, and one by nobody known are no touch."""
    organisation = Organisation(
        platform_teams=patterns(["/platform"]), identities=Identities(bots=frozenset(["person:approver"]))
    )

    assert success(attempt("1", 0, 10, approvals=(step,)), organisation=organisation) == [("good", "", at(10))]


def test_a_ticket_that_names_the_request_touches_it() -> None:
    """A ticket naming the request arrives 20 h after its green end → `assisted`."""
    named = attempt("run-1", 0, 10), ticket("t", 10 + 20 * 60, links=("run-1",))

    assert success(*named) == [("bad", "linked", at(10))]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"links": ("HELP-1",)}, {}),
        ({"links": ("https://desk/HELP-1",)}, {"url": "https://desk/HELP-1"}),
        ({"url": "https://portal/1"}, {"links": ("https://portal/1",)}),
    ],
)
def test_links_count_both_ways(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The run may name the ticket or the ticket the run, by id or by address."""
    assert success(attempt("run-1", 0, 10, **ours), ticket("HELP-1", -60, **theirs)) == [("bad", "linked", at(10))]


def test_a_bare_number_links_nothing() -> None:
    """`12` is something else in every system."""
    assert success(attempt("12", 0, 10, links=("7",)), ticket("7", 20, links=("12",))) == [("good", "", at(10))]


@pytest.mark.parametrize(("created", "judged"), [(DAY + 10, ("bad", "inferred")), (DAY + 11, ("good", ""))])
def test_a_ticket_of_the_same_requester_and_journey_is_inferred(created: float, judged: tuple[str, str]) -> None:
    """Ticket of the same requester and journey ≤ 24 h after the start or the green end → touch, the weakest evidence.

    The end is ten minutes after the start.
    """
    assert success(attempt("1", 0, 10), ticket("t", created, type="database")) == [(*judged, at(10))]


@pytest.mark.parametrize("other", [{"author": BOB}, {"author": None}, {"type": "question"}, {"queue": "legal"}])
def test_a_ticket_of_another_person_journey_or_queue_is_not_inferred(other: dict[str, Any]) -> None:
    """Same requester, same journey, and a queue of the platform's: all three."""
    assert success(attempt("1", 0, 10), ticket("t", 20, **{"type": "database", **other})) == [("good", "", at(10))]


def test_a_ticket_before_the_request_is_not_inferred() -> None:
    """Who wrote a ticket first and then helped themselves needed no help with the request."""
    assert success(attempt("1", 0, 10), ticket("t", -5, journey="provision-db")) == [("good", "", at(10))]


def test_one_ticket_is_about_one_request() -> None:
    """Two databases and one ticket: it is about the last request before it."""
    events = attempt("1", 0, 10), attempt("2", 20, 25, target="carts-db"), ticket("t", 30, journey="provision-db")

    assert success(*events) == [("good", "", at(10)), ("bad", "inferred", at(25))]


def test_the_strongest_evidence_is_said() -> None:
    """Actor of the platform team, then link, then inference."""
    touched = attempt("run-1", 0, 10, approvals=(approval(1, 2, "/platform"),))
    named = ticket("t", 30, journey="provision-db", links=("run-1",))

    assert success(touched, named) == [("bad", "actor", at(10))]
    assert success(attempt("run-1", 0, 10), named) == [("bad", "linked", at(10))]


@pytest.mark.parametrize(("again", "judged"), [(40, "re-requested"), (10 + DAY, "re-requested"), (11 + DAY, "")])
def test_green_but_asked_for_again_is_assisted(again: float, judged: str) -> None:
    """Green but re-requested within 24 h → `assisted`, within one request and beyond."""
    first = observed("self_service_success", attempt("1", 0, 10), attempt("2", again, again + 5))[0]

    assert (first.at, first.rule) == (at(10), judged)


def test_a_double_click_is_not_asked_for_again() -> None:
    """Two attempts side by side: neither was asked for after the other was green."""
    assert success(attempt("1", 0, 10), attempt("2", 1, 11)) == [("good", "", at(10))]


@pytest.mark.parametrize(("deleted", "rule"), [(60, "deleted"), (11 + DAY, "")])
def test_green_but_deleted_is_assisted(deleted: float, rule: str) -> None:
    """Deleted within 24 h, by whomever → `assisted`."""
    gone = attempt("9", deleted, deleted + 1, journey="drop-db", requester=BOB)

    assert [o.rule for o in observed("self_service_success", attempt("1", 0, 10), gone) if o.at == at(10)] == [rule]


def test_a_failed_deletion_deletes_nothing() -> None:
    """Neither does a dry run, nor the deletion of something else."""
    others = (
        failed("7", 60, 61, journey="drop-db"),
        attempt("8", 60, 61, journey="drop-db", dry_run=True),
        attempt("9", 60, 61, journey="drop-db", target="carts-db"),
    )

    assert ("good", "", at(10)) in success(attempt("1", 0, 10), *others)


# --- beside it ---------------------------------------------------------------------------------------------


def test_the_time_to_fulfil_is_that_of_good_ends() -> None:
    """Good and assisted ones, from the first attempt to the end: 20 min and 10 min; failed ones have none."""
    events = (
        *(failed("1", 0, 5), attempt("2", 10, 20)),
        attempt("3", 100, 110, target="b", approvals=(approval(100, 101, "/platform"),)),
        failed("4", 200, 210, target="c"),
    )

    found = observed("self_service_time", *events)

    assert [(o.reason or str(o.outcome), o.value) for o in found] == [
        ("measured", 1200.0),
        ("measured", 600.0),
        ("not_successful", None),
    ]


def test_waiting_for_the_requester_is_not_the_platform_s_time() -> None:
    """Of 50 minutes 30 were the requester's: 20 are left, in time. More waiting than time is 0, never negative."""
    waited = attempt("1", 0, 50, waiting_for_requester_seconds=1800)
    wrong = attempt("2", 0, 10, waiting_for_requester_seconds=3600, target="b")

    assert sorted(o.value or 0.0 for o in observed("self_service_time", waited, wrong)) == [0.0, 1200.0]
    assert {r for r, _, _ in success(waited, wrong)} == {"good"}


def test_the_assisted_share_is_of_what_ended_well() -> None:
    """A human had a hand in one of two; the failed one is not asked about."""
    events = (
        attempt("1", 0, 10),
        attempt("2", 0, 11, target="b", approvals=(approval(1, 2, "/platform"),)),
        failed("3", 0, 12, target="c"),
    )

    assert [r for r, _, _ in verdicts("self_service_assisted", *events)] == ["good", "bad", "not_successful"]


def test_success_and_adoption_are_two_metrics() -> None:
    """99 % success with 20 % adoption → two metrics, both shown, never one: 1 of 1, and 1 of 1 + 4 tickets."""
    tickets = [ticket(f"t{i}", 200 + i, author=BOB, type="database") for i in range(4)]
    events = (attempt("1", 0, 10), *tickets)

    assert [r for r, _, _ in success(*events)] == ["good"]
    assert [r for r, _, _ in verdicts("self_service_adoption", *events)] == ["good", "bad", "bad", "bad", "bad"]


def test_adoption_counts_late_successes_and_no_others() -> None:
    """Late is still self-served; assisted, failed and rejected ones are neither served so nor tickets."""
    events = (
        attempt("1", 0, 100),
        failed("2", 0, 5, target="b"),
        attempt("3", 0, 5, target="c", approvals=(approval(1, 2, "/platform"),)),
    )

    assert verdicts("self_service_adoption", *events) == [("good", "late", at(100))]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"created_at": at(-1)}, "before_horizon"),
        ({"author_team": "/platform"}, "platform_team"),
        ({"author": "person:bot"}, "bot"),
    ],
)
def test_tickets_that_need_not_be_served_are_excluded(more: dict[str, Any], reason: str) -> None:
    """Before the first attempt there was no action; the platform team and bots ask for nothing."""
    organisation = Organisation(
        platform_teams=patterns(["/platform"]),
        identities=Identities(bots=frozenset(["person:bot"])),
        options=(OPTIONS,),
    )
    events = attempt("1", 0, 10), ticket("t", 200, **{"type": "database", **more})

    assert reason in [r for r, _, _ in verdicts("self_service_adoption", *events, organisation=organisation)]


@pytest.mark.parametrize(
    ("more", "asks"),
    [
        ({"journey": "new-service"}, True),
        ({"labels": ("template",)}, True),
        ({"labels": ("templates",)}, False),
        ({"journey": "provision-db", "labels": ("template",)}, False),
    ],
)
def test_rules_say_which_tickets_ask_for_a_journey(more: dict[str, Any], asks: bool) -> None:  # noqa: FBT001 - a parameter
    """What the ticket says itself decides; then all kinds of rules of a journey must fit, whole labels."""
    events = attempt("1", 0, 10, journey="new-service"), ticket("t", 200, author=BOB, **more)
    found = verdicts("self_service_adoption", *events)

    assert (("bad", "ticket", at(200)) in found) is asks


# --- for whom ----------------------------------------------------------------------------------------------


def test_a_request_is_its_team_s_and_its_journey_s() -> None:
    """The team's path has one slash in front; an unknown team is empty; tickets that may touch it are its source."""
    events = (
        attempt("1", 0, 10, requester_team="commerce/checkout/"),
        attempt("2", 0, 11, requester_team=None, target="b"),
        ticket("t", -60, journey="provision-db"),
    )
    found = observed("self_service_success", *events)

    assert [o.subject for o in found] == [Subject(team="/commerce/checkout"), Subject()]
    assert {(o.dimension, o.source) for o in found} == {("provision-db", "desk+portal")}


def test_evidence_is_capped() -> None:
    """A script that tried 50 times is one request with 20 attempts named."""
    (found,) = observed("self_service_success", *(failed(f"{i:02}", i, i + 1) for i in range(50)))

    assert len(found.evidence) == 20


# --- a rate per requester ----------------------------------------------------------------------------------


def sample(observations: Iterable[Observation], now: float = 10_000) -> Sample:
    """All observations in one window that ends now."""
    found = list(observations)
    units, dimensions = sorted({o.unit for o in found}), sorted({o.dimension for o in found})
    return Sample(
        after=to_micros(START) - 1,
        until=to_micros(START) + int(now * 60e6),
        now=to_micros(START) + int(now * 60e6),
        subject=Subject(),
        organisation=ORGANISATION,
        at=np.array([to_micros(o.at) for o in found], dtype=np.int64),
        value=np.array([np.nan if o.value is None else o.value for o in found]),
        outcome=np.array([OUTCOME_CODES[o.outcome] for o in found], dtype=np.int16),
        matures_at=np.array([to_micros(o.matures_at) if o.matures_at else -(2**62) for o in found], dtype=np.int64),
        unit=np.array([units.index(o.unit) for o in found], dtype=np.int64),
        dimension=np.array([dimensions.index(o.dimension) for o in found], dtype=np.int64),
        dimensions=dimensions,
    )


def by_requester(*events: Event, now: float = 10_000) -> Measured:
    """The rate per requester of some events."""
    return success_by_requester(sample(observed("self_service_success_by_requester", *events), now))


def test_one_script_does_not_set_the_rate_of_requesters() -> None:
    """One script with 10,000 runs → a per-requester rate stands beside the number it would otherwise set.

    Here 100 good runs of Ann's, Bob one of two, Ada none of one: 101 of 103 = 98 %, but (1 + 0.5 + 0) / 3 = 50 %.
    """
    script = [attempt(f"s{i}", i, i + 1, target=f"db-{i}") for i in range(100)]
    others = (
        attempt("b1", 0, 1, requester=BOB),
        failed("b2", 0, 1, requester=BOB, target="b"),
        failed("a1", 0, 1, requester=ADA),
    )
    found = by_requester(*script, *others)

    assert (found.n, found.stats["value"]) == (3, 0.5)
    assert 0.0 < found.stats["low"] < 0.5 < found.stats["high"] < 1.0
    assert len(success(*script, *others)) == 103


def test_a_rate_per_requester_is_the_same_to_its_last_digit_in_every_process() -> None:
    """People are told apart by numbers that another process draws anew: their order changes nothing."""
    tried = {ANN: 1, BOB: 2, ADA: 3}  # 0.1 + 0.2 + 0.3 is another float than 0.3 + 0.2 + 0.1
    events = [
        (attempt if n < good else failed)(f"{who}{n}", n, n + 1, requester=who, target=f"{who}-{n}")
        for who, good in tried.items()
        for n in range(10)
    ]
    found = sample(observed("self_service_success_by_requester", *events))

    values = {
        success_by_requester(dataclasses.replace(found, unit=np.array(drawn)[found.unit])).stats["value"]
        for drawn in permutations(range(len(tried)))
    }

    assert len(values) == 1


def test_a_rate_per_requester_without_final_requests_has_no_value() -> None:
    """An hour after its end a request is not judged yet: one person waits, and there is no value."""
    assert by_requester(attempt("1", 0, 10), now=70) == Measured(0, {}, pending=1)


def test_what_runs_is_pending_until_it_expires() -> None:
    """A vanished job waits, then it is one person's failure."""
    assert by_requester(attempt("1", 0, None), now=70).pending == 1
    assert by_requester(attempt("1", 0, None), now=2000).stats["value"] == 0.0


def test_a_requester_who_is_unknown_lowers_the_coverage() -> None:
    """One of two requests can be used; a dry run is not asked about."""
    events = attempt("1", 0, 10), attempt("2", 0, 10, requester=None), attempt("3", 0, 10, dry_run=True)
    found = by_requester(*events)

    assert (found.n, found.coverage, dict(found.excluded)) == (1, 0.5, {"unknown": 1, "dry_run": 1})


def test_requests_of_one_person_that_end_at_once_are_all_kept() -> None:
    """A person is one unit: what ended in the same microsecond is set one later each."""
    found = observed("self_service_success_by_requester", attempt("1", 0, 10), failed("2", 0, 10, target="b"))

    assert {o.unit for o in found} == {ANN}
    assert len({o.at for o in found}) == 2


# --- options -----------------------------------------------------------------------------------------------


def test_a_journey_stands_in_the_options_once() -> None:
    """Two targets for one journey are a mistake."""
    with pytest.raises(ValidationError, match="the journey 'a' stands here twice"):
        SelfServiceOptions(journeys=(JourneyOptions(name="a"), JourneyOptions(name="a")))


def test_options_speak_as_people_do() -> None:
    """Durations are `30m`, rules one or several."""
    raw = {"journeys": [{"name": "a", "target": "30m", "types": "db"}], "gap": "2h"}
    options = SelfServiceOptions.model_validate(raw)

    assert (options.journeys[0].target, options.journeys[0].types) == (timedelta(minutes=30), ("db",))
    assert options.gap == timedelta(hours=2)


# --- laws --------------------------------------------------------------------------------------------------

_attempt = st.builds(
    lambda name, start, length, journey, who, target, more, links: attempt(
        f"r{name}",
        start,
        None if length is None else start + length,
        journey=journey,
        requester=who,
        target=target,
        links=links,
        **more,
    ),
    st.integers(0, 9),
    st.integers(0, 300),
    st.none() | st.integers(0, 2000),
    st.sampled_from(["provision-db", "new-service", "drop-db"]),
    st.sampled_from([ANN, BOB, None]),
    st.sampled_from(["orders-db", None]),
    st.sampled_from(
        [
            {},
            {"result": Result.FAILURE},
            {"result": Result.CANCELLATION, "side_effects": False},
            {"ended": AttemptEnd.REJECTED},
            {"dry_run": True},
            {"approvals": (approval(0, 1, "/platform"),)},
            {"waiting_for_requester_seconds": 90_000.0},
        ]
    ),
    st.sampled_from([(), ("t1",)]),
)
_ticket = st.builds(
    lambda name, created, who, more: ticket(f"t{name}", created, author=who, **more),
    st.integers(0, 4),
    st.integers(-100, 3000),
    st.sampled_from([ANN, BOB]),
    st.sampled_from([{}, {"journey": "provision-db"}, {"type": "database"}, {"links": ("r1",)}, {"queue": "legal"}]),
)
_events = st.lists(_attempt | _ticket, max_size=14, unique_by=lambda e: e.id)


def _sorted(observations: Iterable[Observation]) -> list[Observation]:
    return sorted(observations, key=lambda o: (o.indicator, o.dimension, o.unit, o.at, o.source, o.subject, o.outcome))


def _observe(events: Sequence[Event]) -> list[Observation]:
    return _sorted(self_service.observe(PlainEvents(events), ORGANISATION))


@given(events=_events, data=st.data())
def test_order_and_duplicates_change_nothing(events: list[Event], data: st.DataObject) -> None:
    """The same events give the same observations, however often and in whatever order they come."""
    again = data.draw(st.permutations(events + events))

    assert _observe(again) == _observe(events)


@given(events=_events)
def test_all_pieces_are_what_observing_gives(events: list[Event]) -> None:
    """Journey by journey is the same as all at once."""
    known = PlainEvents(events)
    pieces = self_service.pieces(known, ORGANISATION, Asked())

    assert _sorted(o for p in pieces for o in p.observations if isinstance(o, Observation)) == _observe(events)


@given(events=_events)
def test_every_attempt_is_in_one_request_and_every_request_is_judged_once(events: list[Event]) -> None:
    """Good, bad and excluded ones together are the requests, and each of them ends in one way."""
    final = [o for o in _observe(events) if o.indicator == "self_service_success" and o.outcome != Outcome.PENDING]
    ended = [o for o in _observe(events) if o.indicator == "self_service_outcome" and o.outcome != Outcome.PENDING]

    assert len({o.unit for o in final}) == len(final)
    assert {o.unit for o in final} == {o.unit for o in ended}
    assert len({o.unit for o in ended}) == len(ended)


@given(events=_events)
def test_a_store_can_keep_every_observation(events: list[Event]) -> None:
    """No two observations of a series have the same unit and time."""
    found = _observe(events)

    assert len({(o.indicator, o.dimension, o.subject, o.source, o.at, o.unit) for o in found}) == len(found)


# --- with the real store -----------------------------------------------------------------------------------

Write = Callable[..., tuple[int, int]]


class Kept:
    """A store into which events are written and derived."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder)
        self.events, self.store = EventStore(self.database), DerivationStore(self.database)

    def after(self, *events: Event, now: float = 0) -> tuple[int, int]:
        """Write events and derive: how many pieces, and how many observations differed."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        moment = START + timedelta(minutes=now)
        done = derive([self_service.FAMILY], self.events, self.store, ORGANISATION, moment)
        return done.pieces, done.observations


@pytest.fixture
def kept(tmp_path: Path) -> Iterable[Kept]:
    """A store of its own for each test."""
    found = Kept(tmp_path)
    yield found
    found.database.close()


def test_a_ticket_that_comes_after_the_judgement_restates_it(kept: Kept) -> None:
    """A ticket naming the request that comes to light after it was final → the judgement is restated, and logged."""
    kept.after(attempt("run-1", 0, 10))
    kept.store.published(to_micros(START) + 3 * DAY * 60_000_000)
    kept.after(ticket("t", 1000, links=("run-1",)), now=3 * DAY)

    logged = {r.indicator: r for r in kept.store.restatements()}

    assert '"good"' in logged["self_service_success"].was
    assert '"bad"' in logged["self_service_success"].now
    assert logged["self_service_success"].why == "new or changed events: ticket"


def test_only_the_journeys_that_new_events_touch_are_derived_again(kept: Kept) -> None:
    """An attempt touches its journey, a ticket what it asks for or names, a deletion what it deletes."""
    kept.after(attempt("run-1", 0, 10, links=("HELP-9",)), attempt("run-2", 0, 10, journey="new-service"))

    assert kept.after(ticket("x", 20)) == (0, 0)
    assert kept.after(ticket("HELP-9", 20))[0] == 1
    assert kept.after(ticket("y", 20, links=("run-2",)))[0] == 1
    assert kept.after(ticket("z", 20, journey="new-service"))[0] == 1
    assert kept.after(attempt("run-3", 60, 61, journey="drop-db"))[0] == 2


def test_a_ticket_that_stops_asking_is_taken_back(kept: Kept) -> None:
    """A ticket moved to another queue is one ticket, judged again."""
    kept.after(attempt("run-1", 0, 10), ticket("t", 20, type="database"))
    moved = ticket("t", 20, type="database", queue="legal", updated_at=at(30))

    assert kept.after(moved)[0] == 1
    assert _stored_as_observed(kept, attempt("run-1", 0, 10), moved)


def test_an_attempt_that_is_called_otherwise_leaves_its_journey(kept: Kept) -> None:
    """The source learnt another name for the journey: both are derived again, and the old one is empty."""
    kept.after(attempt("run-1", 0, 10), attempt("run-2", 0, 10, target="b"))
    renamed = attempt("run-1", 0, 10, journey="new-service", updated_at=at(30))

    assert kept.after(renamed)[0] == 2
    assert _stored_as_observed(kept, renamed)


SOURCES = [
    source_state(name, last_success_at=START, last_run_at=START, last_duration_seconds=1.0, newest_event_at=START)
    for name in ("portal", "desk")
]


def _published(kept: Kept, now: float) -> dict[tuple[str, str], Number]:
    """The numbers of the whole organisation for the week before a time, by indicator and labels."""
    moment = START + timedelta(minutes=now)
    known = {i.name: i for i in self_service.FAMILY.indicators}
    snapshot = evaluate(ObservationStore(kept.database), known, [], SOURCES, moment, organisation=ORGANISATION)
    everybody = [n for n in snapshot.numbers if n.window == "7d" and n.subject == Subject(team="/")]
    return {(n.indicator, n.dimension.replace("\x1f", "/")): n for n in everybody}


def test_numbers_by_journey_and_together(kept: Kept) -> None:
    """Three databases of which one failed, two services of which one was asked for in a ticket instead.

    Together 3 of 4 requests were good; of databases 2 of 3; adoption of services is 1 of 2. All are final.
    """
    kept.after(
        attempt("1", 0, 10),
        attempt("2", 0, 20, requester=BOB, target="b"),
        failed("3", 0, 5, requester=ADA, target="c"),
        attempt("4", 0, 10, requester=ADA, journey="new-service"),
        ticket("t", 60, author=BOB, journey="new-service"),
    )

    found = _published(kept, 3 * DAY)

    assert found["self_service_success", ""].stats["value"] == 0.75
    assert found["self_service_success", "provision-db"].stats["value"] == pytest.approx(2 / 3)
    assert found["self_service_adoption", "new-service"].stats["value"] == 0.5
    assert found["self_service_time", "provision-db"].stats["p50"] == 900.0
    assert found["self_service_outcome", "provision-db/failed"].n == 1
    assert found["self_service_outcome", "/success"].n == 3


def test_nothing_is_final_within_the_grace(kept: Kept) -> None:
    """An hour after its end a request has no success yet, but a time."""
    kept.after(attempt("1", 0, 10))

    found = _published(kept, 70)

    assert (found["self_service_success", ""].n, found["self_service_time", ""].n) == (0, 1)


@settings(max_examples=examples(20), deadline=None)
@given(batches=st.lists(_events, min_size=1, max_size=3))
def test_deriving_step_by_step_is_deriving_at_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]]
) -> None:
    """Whatever came when: what is stored is what all events give."""
    kept = Kept(tmp_path_factory.mktemp("store"))
    for batch in batches:
        kept.after(*batch)
    written = [e for t in (SelfServiceAttempt, Ticket) for e in kept.events.events(t)]
    same = _stored_as_observed(kept, *written)
    kept.database.close()

    assert same


def _stored_as_observed(kept: Kept, *events: Event) -> bool:
    """Whether deriving everything anew would change nothing."""
    kept.store.set_stamp("self_service", {})
    return kept.after(*events)[1] == 0
