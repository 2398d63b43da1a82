"""Support, case by case.

Unless a test says otherwise a queue works Monday to Friday, 09:00 to 17:00 UTC, replies within 4 opening hours
(14,400 s) and resolves within 24 (three days of eight). Times are given by day and clock in June 2026: the 1st, 8th
and 15th are Mondays, the 5th and 12th Fridays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from pydantic import ValidationError
from source_states import source_state

from collector.events import (
    Change,
    ChangeState,
    Event,
    Reply,
    Ticket,
    TicketState,
    Transition,
    UsageEvent,
)
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.calendars import WorkCalendar
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.identities import Identities
from slo_engine.indicator import Indicator
from slo_engine.indicators import support
from slo_engine.indicators.support import QueueOptions, SupportOptions
from slo_engine.measure import OUTCOME_CODES, Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, to_micros
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents
from slo_engine.windows import parse_window

USUAL = Organisation()
ALL_TIME = -(2**62)
AROUND_THE_CLOCK = WorkCalendar(hours=tuple((day, (time(0), time(0))) for day in range(7)))
BERLIN = ZoneInfo("Europe/Berlin")


def on(day: int, clock: str = "09:00", month: int = 6) -> datetime:
    """A time in 2026, in June unless told otherwise."""
    hour, minute = clock.split(":")
    return datetime(2026, month, day, int(hour), int(minute), tzinfo=UTC)


def berlin(month: int, day: int, clock: str) -> datetime:
    """A time in 2026 by a clock in Berlin."""
    hour, minute = clock.split(":")
    return datetime(2026, month, day, int(hour), int(minute), tzinfo=BERLIN)


def ticket(name: str = "t", created_at: datetime = on(1), **more: Any) -> Ticket:  # noqa: B008 - a constant
    """A ticket by ann that nobody has touched, opened on Monday at 09:00."""
    fields: dict[str, Any] = {
        "source": "desk",
        "native_id": name,
        "queue": "help",
        "state": TicketState.OPEN,
        "created_at": created_at,
        "author": "person:ann",
        "author_team": "commerce/checkout",
    }
    return Ticket(**(fields | more))


def replied(at: datetime, author: str | None = "person:sam", *, bot: bool = False) -> Reply:
    """A reply, by somebody of the support unless told otherwise."""
    return Reply(at=at, author=author, bot=bot)


def became(*changes: tuple[datetime, str]) -> tuple[Transition, ...]:
    """Changes of state."""
    return tuple(Transition(at=at, state=state) for at, state in changes)


def resolved(name: str, created_at: datetime, at: datetime, **more: Any) -> Ticket:
    """A ticket that was resolved."""
    return ticket(name, created_at, **{"state": TicketState.RESOLVED, "resolved_at": at, **more})


def used(name: str, at: datetime, person: str | None = "person:ann", **more: Any) -> UsageEvent:
    """A use of the capability "deploy"."""
    fields: dict[str, Any] = {"source": "portal", "native_id": name, "capability": "deploy", "at": at}
    return UsageEvent(**(fields | {"person": person, "team": "commerce/checkout"} | more))


def rows(indicator: str, events: Iterable[Event], organisation: Organisation = USUAL) -> list[Observation]:
    """The observations of an indicator in the order of time."""
    found = support.observe(PlainEvents(events), organisation)
    return sorted((o for o in found if o.indicator == indicator), key=lambda o: (o.at, o.unit))


def verdict(indicator: str, *events: Event, organisation: Organisation = USUAL) -> tuple[str, datetime, float | None]:
    """What became of the only ticket: its reason or outcome, when, and the value."""
    last = [o for o in rows(indicator, events, organisation) if o.outcome is not Outcome.PENDING][-1:]
    (found,) = last or rows(indicator, events, organisation)
    return found.reason or str(found.outcome), found.at, found.value


def standing(indicator: str, now: datetime, *events: Event, organisation: Organisation = USUAL) -> list[str]:
    """How the units of an indicator stand at a time, one word each."""
    found = [o for o in rows(indicator, events, organisation) if o.at <= now]
    waits = {id(o): o.matures_at is not None and o.matures_at > now for o in found}
    over = [o for o in found if o.outcome is Outcome.PENDING and o.matures_at is not None and o.matures_at <= now]
    return sorted(
        "pending" if waits[id(o)] or o.outcome is Outcome.PENDING else o.reason or str(o.outcome)
        for o in found
        if o not in over
    )


def sample(
    found: Sequence[Observation],
    now: datetime,
    days: float | None = None,
    organisation: Organisation = USUAL,
) -> Sample:
    """The sample of some observations at a time: of the days before it, or of everything."""
    until = to_micros(now)
    after = ALL_TIME if days is None else until - round(days * 86_400e6)
    inside = [o for o in found if after < to_micros(o.at) <= until]
    units = sorted({o.unit for o in inside})
    dimensions = sorted({o.dimension for o in inside})
    return Sample(
        after=after,
        until=until,
        now=until,
        subject=Subject(),
        organisation=organisation,
        at=np.array([to_micros(o.at) for o in inside], dtype=np.int64),
        value=np.array([np.nan if o.value is None else o.value for o in inside], dtype=np.float64),
        outcome=np.array([OUTCOME_CODES[o.outcome] for o in inside], dtype=np.int16),
        matures_at=np.array(
            [ALL_TIME if o.matures_at is None else to_micros(o.matures_at) for o in inside], dtype=np.int64
        ),
        unit=np.array([units.index(o.unit) for o in inside], dtype=np.int64),
        dimension=np.array([dimensions.index(o.dimension) for o in inside], dtype=np.int64),
        dimensions=dimensions,
    )


def measured(indicator: Indicator, now: datetime, *events: Event, days: float | None = None) -> Measured:
    """What an indicator measures at a time."""
    assert indicator.measure is not None
    return indicator.measure(sample(rows(indicator.name, events), now, days))


def with_options(**options: Any) -> Organisation:
    """An organisation with options of support."""
    return Organisation(options=(SupportOptions(**options),))


# --- the first reply -------------------------------------------------------------------------------------


def test_the_first_reply_by_another_human_counts_in_opening_hours() -> None:
    """Opened Monday 09:00 and answered 10:30 took 5,400 s, dated at the reply, and is good: at most 4 h."""
    answered = ticket(replies=(replied(on(1, "10:30")), replied(on(1, "12:00"))))

    assert verdict("support_first_response_time", answered) == ("measured", on(1, "10:30"), 5400.0)
    assert verdict("support_first_response", answered) == ("good", on(1, "10:30"), None)


def test_trap_59_pull_requests_are_not_tickets() -> None:
    """Pull requests are changes: nothing of support is said of one."""
    request = Change(
        source="desk", native_id="1", repository="o/shop", state=ChangeState.OPEN, created_at=on(1), author="person:ann"
    )

    assert list(support.observe(PlainEvents([request]), USUAL)) == []


def test_trap_60_a_first_reply_by_the_author_a_bot_or_before_creation_is_ignored() -> None:
    """First reply is by the author, a bot, or dated before creation → ignored; the next human's counts: 5,379 s."""
    organisation = Organisation(calendars={"default": AROUND_THE_CLOCK})
    spoken_to = ticket(
        replies=(
            replied(on(1) - timedelta(seconds=1)),
            replied(on(1) + timedelta(seconds=10), "person:ann"),
            replied(on(1) + timedelta(seconds=20), "person:robot", bot=True),
            replied(on(1) + timedelta(seconds=5379)),
        )
    )

    assert verdict("support_first_response_time", spoken_to, organisation=organisation) == (
        "measured",
        on(1) + timedelta(seconds=5379),
        5379.0,
    )


def test_who_opened_a_ticket_answers_it_under_no_name() -> None:
    """The author's second account is the author, and an account told to be a bot is one; a human told so is none."""
    identities = Identities(
        people={"person:annie": "person:ann"}, bots=frozenset({"person:relay"}), humans=frozenset({"person:kim"})
    )
    spoken_to = ticket(
        replies=(
            replied(on(1, "10:00"), "person:annie"),
            replied(on(1, "10:10"), "person:relay"),
            replied(on(1, "10:20"), "person:kim", bot=True),
        )
    )

    found = verdict("support_first_response", spoken_to, organisation=Organisation(identities=identities))

    assert found == ("good", on(1, "10:20"), None)


def test_a_reply_at_the_creation_took_no_time() -> None:
    """A reply in the very moment is not before it: 0 s, and the ticket was never pending."""
    at_once = ticket(replies=(replied(on(1)),))

    assert [(o.outcome, o.value) for o in rows("support_first_response_time", [at_once])] == [(Outcome.MEASURED, 0.0)]


def test_a_reply_by_a_deleted_account_is_another_human_s() -> None:
    """Nobody knows who replied: it was not the author, whom the tracker knows, and no bot."""
    assert verdict("support_first_response", ticket(replies=(replied(on(1, "10:00"), None),)))[0] == "good"


def test_trap_61_a_ticket_nobody_replied_to_has_no_value() -> None:
    """Nobody has replied → no value, and never 0: pending for as long as it is open."""
    assert verdict("support_first_response_time", ticket()) == ("pending", on(1), None)


def test_trap_61_past_its_deadline_a_ticket_is_bad_at_the_deadline() -> None:
    """Past T it is bad **at the deadline**, Monday 13:00, not when someone answers on Tuesday."""
    late = ticket(replies=(replied(on(2, "10:00")),))

    assert verdict("support_first_response", late) == ("bad", on(1, "13:00"), None)
    assert verdict("support_first_response", ticket()) == ("bad", on(1, "13:00"), None)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (on(1, "08:59"), []),
        (on(1, "09:00"), ["pending"]),
        (on(1, "12:59"), ["pending"]),
        (on(1, "13:00"), ["bad"]),
        (on(3, "12:00"), ["bad"]),
    ],
)
def test_an_unanswered_ticket_is_pending_until_its_deadline(now: datetime, expected: list[str]) -> None:
    """What a time knows of a ticket answered on Tuesday: not yet there, pending until Monday 13:00, then bad."""
    late = ticket(replies=(replied(on(2, "10:00")),))

    assert standing("support_first_response", now, late) == expected


@pytest.mark.parametrize(
    ("now", "expected"), [(on(1, "10:29"), ["pending"]), (on(1, "10:30"), ["good"]), (on(9), ["good"])]
)
def test_an_answered_ticket_was_pending_before_its_reply(now: datetime, expected: list[str]) -> None:
    """A past evaluation sees the ticket as it was."""
    assert standing("support_first_response", now, ticket(replies=(replied(on(1, "10:30")),))) == expected


def test_a_reply_in_the_last_moment_is_in_time() -> None:
    """Answered after exactly 4 h is good; a microsecond later it is bad."""
    just, late = ((on(1, "13:00") + timedelta(microseconds=n)) for n in (0, 1))

    assert verdict("support_first_response", ticket(replies=(replied(just),)))[0] == "good"
    assert verdict("support_first_response", ticket(replies=(replied(late),))) == ("bad", on(1, "13:00"), None)


def test_what_is_due_at_closing_time_is_due_until_the_next_opening() -> None:
    """Opened at 13:00 the 4 h are over at 17:00 and no second passes until Tuesday 09:00: a reply at 20:00 took 4 h."""
    evening = ticket(created_at=on(1, "13:00"), replies=(replied(on(1, "20:00")),))

    assert verdict("support_first_response", evening) == ("good", on(1, "20:00"), None)
    assert verdict("support_first_response_time", evening) == ("measured", on(1, "20:00"), 14_400.0)
    assert verdict("support_first_response", ticket(created_at=on(1, "13:00"))) == ("bad", on(2, "09:00"), None)


def test_trap_62_twenty_business_minutes_across_a_holiday() -> None:
    """Opened Friday 17:50, Monday a holiday, answered Tuesday 09:10, hours 09-18 → 10 + 10 = 20 business minutes.

    The 25th of May 2026 is Whit Monday.
    """
    nine_to_six = tuple((day, (time(9), time(18))) for day in range(5))
    organisation = Organisation(calendars={"default": WorkCalendar(zone=BERLIN, hours=nine_to_six, country="DE")})
    across = ticket(created_at=berlin(5, 22, "17:50"), replies=(replied(berlin(5, 26, "09:10")),))

    assert verdict("support_first_response_time", across, organisation=organisation)[2] == 20 * 60


def test_a_weekend_does_not_count() -> None:
    """Opened Friday 16:00, the 4 h are over on Monday at 12:00: 1 h on Friday and 3 h on Monday."""
    assert verdict("support_first_response", ticket(created_at=on(5, "16:00"))) == ("bad", on(8, "12:00"), None)


def test_a_ticket_resolved_before_anybody_replied_was_not_left_waiting() -> None:
    """Withdrawn or done without a word before its deadline: set aside at its end, pending until then."""
    withdrawn = resolved("t", on(1), on(1, "11:00"))

    assert verdict("support_first_response", withdrawn) == ("cancelled", on(1, "11:00"), None)
    assert verdict("support_first_response_time", withdrawn) == ("cancelled", on(1, "11:00"), None)
    assert standing("support_first_response", on(1, "10:00"), withdrawn) == ["pending"]


def test_a_ticket_resolved_after_its_deadline_without_a_reply_is_bad() -> None:
    """To close it later does not undo that nobody answered in time."""
    assert verdict("support_first_response", resolved("t", on(1), on(1, "14:00"))) == ("bad", on(1, "13:00"), None)


def test_a_ticket_reopened_after_its_deadline_is_due_at_once() -> None:
    """Resolved at 11:00 without a word and reopened on Tuesday at 10:00: somebody waits again, and the 4 h are over."""
    again = ticket(transitions=became((on(1, "11:00"), "resolved"), (on(2, "10:00"), "open")))

    assert verdict("support_first_response", again) == ("bad", on(2, "10:00"), None)


def test_a_ticket_resolved_nobody_knows_when_cannot_be_late() -> None:
    """Without a reply its end decides: unknown, so it is left out with a reason. A reply in time is one anyway."""
    ended = ticket(state=TicketState.CLOSED)
    answered = ticket(state=TicketState.CLOSED, replies=(replied(on(1, "10:00")),))

    assert verdict("support_first_response", ended) == ("missing_time", on(1), None)
    assert verdict("support_first_response", answered) == ("good", on(1, "10:00"), None)


# --- the resolution --------------------------------------------------------------------------------------


def test_a_ticket_is_resolved_in_opening_hours() -> None:
    """Opened Monday 15:00, resolved Wednesday 11:00: 2 h + 8 h + 2 h = 12 h = 43,200 s, at most 24 h, so good."""
    done = resolved("t", on(1, "15:00"), on(3, "11:00"))

    assert verdict("support_resolution_time", done) == ("measured", on(3, "11:00"), 43_200.0)
    assert verdict("support_resolution", done) == ("good", on(3, "11:00"), None)


@pytest.mark.parametrize(
    ("now", "expected"), [(on(3, "16:59"), ["pending"]), (on(4, "09:00"), ["bad"]), (on(9), ["bad"])]
)
def test_an_open_ticket_is_bad_at_its_deadline(now: datetime, expected: list[str]) -> None:
    """Three days from Monday 09:00 are over on Wednesday evening: bad when Thursday opens, whenever it is resolved."""
    late = resolved("t", on(1), on(8))

    assert standing("support_resolution", now, late) == expected
    assert standing("support_resolution", now, ticket()) == expected


def test_trap_63_waiting_for_the_requester_pauses() -> None:
    """Monday 09:00 to 11:00, then waiting until Wednesday 09:00, resolved at 10:00: 2 h + 1 h = 10,800 s."""
    changes = became((on(1, "11:00"), "waiting"), (on(3, "09:00"), "in_progress"), (on(3, "10:00"), "resolved"))
    paused = ticket(state=TicketState.RESOLVED, transitions=changes)

    assert verdict("support_resolution_time", paused) == ("measured", on(3, "10:00"), 10_800.0)


def test_trap_63_the_deadline_moves_while_a_ticket_waits() -> None:
    """Of 24 h 2 h are used when it waits from Monday 11:00 to Wednesday 09:00: bad on Monday, not on Thursday.

    22 h remain: Wednesday, Thursday 16 h, Friday 6 h, until Friday the 5th at 15:00.
    """
    paused = ticket(transitions=became((on(1, "11:00"), "waiting"), (on(3, "09:00"), "open")))

    assert verdict("support_resolution", paused) == ("bad", on(5, "15:00"), None)


def test_trap_63_a_ticket_that_waits_has_no_deadline() -> None:
    """While it waits for who opened it nothing runs out: pending, for as long as that takes."""
    waiting = ticket(state=TicketState.WAITING, transitions=became((on(1, "11:00"), "waiting")))

    assert verdict("support_resolution", waiting) == ("pending", on(1), None)
    assert standing("support_resolution", on(30), waiting) == ["pending"]


def test_trap_63_reopening_continues_the_clock() -> None:
    """Resolved after 2 h, reopened on Wednesday, resolved after 1 h more: 3 h at the last one, not 17 h and not 1 h."""
    changes = became((on(1, "11:00"), "resolved"), (on(3, "09:00"), "open"), (on(3, "10:00"), "resolved"))
    again = ticket(state=TicketState.RESOLVED, transitions=changes)

    assert verdict("support_resolution_time", again) == ("measured", on(3, "10:00"), 10_800.0)
    assert verdict("support_resolution", again) == ("good", on(3, "10:00"), None)


def test_trap_63_a_reopened_ticket_goes_on_with_what_was_left() -> None:
    """2 h used on Monday, reopened Wednesday 09:00 and left open: the other 22 h are over on Friday at 15:00."""
    again = ticket(transitions=became((on(1, "11:00"), "resolved"), (on(3, "09:00"), "open")))

    assert verdict("support_resolution", again) == ("bad", on(5, "15:00"), None)


def test_trap_63_paused_time_never_makes_a_duration_negative() -> None:
    """It waited longer than it lived, says a clock that is ahead: 0 s, not less."""
    changes = became((on(1, "08:00"), "waiting"), (on(2, "12:00"), "open"), (on(2, "11:00"), "resolved"))
    odd = ticket(state=TicketState.RESOLVED, transitions=changes, resolved_at=on(2, "11:00"), updated_at=on(2, "11:00"))

    assert verdict("support_resolution_time", odd)[0] == "missing_time"
    waited = ticket(state=TicketState.RESOLVED, resolved_at=on(2, "11:00"), transitions=changes[:1])
    assert verdict("support_resolution_time", waited) == ("measured", on(2, "11:00"), 0.0)


def test_transitions_come_in_any_order() -> None:
    """Trackers list the newest first or last: only the times count, and saying it twice changes nothing."""
    changes = became((on(1, "11:00"), "waiting"), (on(3, "09:00"), "in_progress"), (on(3, "10:00"), "resolved"))
    forward = ticket(state=TicketState.RESOLVED, transitions=changes)
    backward = ticket(state=TicketState.RESOLVED, transitions=changes[::-1] + changes)

    assert rows("support_resolution", [forward]) == rows("support_resolution", [backward])


def test_a_ticket_closed_after_its_resolution_was_resolved_then() -> None:
    """Closed by a timer on the next Monday: resolved on Tuesday counts."""
    changes = became((on(2, "10:00"), "resolved"), (on(8, "10:00"), "closed"))
    timed_out = ticket(state=TicketState.CLOSED, closed_at=on(8, "10:00"), transitions=changes)

    assert verdict("support_resolution", timed_out) == ("good", on(2, "10:00"), None)


def test_a_ticket_closed_without_a_resolution_counts_at_its_closing() -> None:
    """Closed at 15:00 and never said to be resolved: 6 h, at 15:00."""
    closed = ticket(state=TicketState.CLOSED, closed_at=on(1, "15:00"))

    assert verdict("support_resolution_time", closed) == ("measured", on(1, "15:00"), 21_600.0)


@pytest.mark.parametrize("resolved_at", [None, on(1, "08:59")])
def test_an_impossible_or_unknown_end_is_set_aside_and_counted(resolved_at: datetime | None) -> None:
    """Resolved nobody knows when, or before it was opened: left out with a reason, and it is not open."""
    odd = ticket(state=TicketState.RESOLVED, resolved_at=resolved_at)

    assert verdict("support_resolution", odd) == ("missing_time", on(1), None)
    assert verdict("support_resolution_time", odd) == ("missing_time", on(1), None)
    assert rows("support_open_tickets", [odd]) == []


def test_a_ticket_reopened_nobody_knows_when_was_reopened_when_it_was_last_written() -> None:
    """Open with a time of resolution: reopened on Wednesday 09:00, when this was written, with 22 h left."""
    again = ticket(resolved_at=on(1, "11:00"), updated_at=on(3, "09:00"))

    assert verdict("support_resolution", again) == ("bad", on(5, "15:00"), None)


def test_a_ticket_reopened_without_any_time_was_never_away() -> None:
    """Open with a time of resolution and nothing else: the clock never stopped."""
    assert verdict("support_resolution", ticket(resolved_at=on(1, "11:00"))) == ("bad", on(4, "09:00"), None)


def test_a_ticket_that_waits_since_nobody_knows_when_waits_since_it_was_last_written() -> None:
    """Written on Tuesday, after 10 h: nothing runs out. Written after its deadline, the deadline had passed."""
    written = ticket(state=TicketState.WAITING, updated_at=on(2, "11:00"))
    too_late = ticket(state=TicketState.WAITING, updated_at=on(9, "11:00"))

    assert verdict("support_resolution", written)[0] == "pending"
    assert verdict("support_resolution", too_late) == ("bad", on(4, "09:00"), None)


def test_a_ticket_that_waits_and_was_never_written_lets_the_clock_run() -> None:
    """Nothing says since when it waits: no time is given away."""
    assert verdict("support_resolution", ticket(state=TicketState.WAITING))[0] == "bad"


def test_a_tracker_s_own_states_can_be_told() -> None:
    """Of states that nobody names the clock runs through; rules name those that pause or end a ticket."""
    changes = became((on(1, "10:00"), "Pending customer"), (on(2, "10:00"), "Investigating"), (on(2, "11:00"), "Done"))
    told = with_options(waiting="Pending*", resolved=("Done",))
    done = ticket(state=TicketState.RESOLVED, transitions=changes)

    assert verdict("support_resolution_time", done, organisation=told) == ("measured", on(2, "11:00"), 7_200.0)
    assert verdict("support_resolution_time", done)[0] == "missing_time"


def test_trap_69_ten_working_days_across_holidays_and_a_clock_change_are_ten() -> None:
    """80 opening hours from Monday the 23rd of March, in Berlin, are over on Tuesday the 7th of April.

    23 to 27 March five days; the clocks change on the 29th; 30 March to 2 April four; Good Friday and Easter Monday
    free; the 7th is the tenth. What is due at its evening is due until the 8th opens. A Sunday's start counts from
    Monday.
    """
    calendars = {"berlin": WorkCalendar(zone=BERLIN, country="DE")}
    ten_days = SupportOptions(calendar="berlin", resolution=timedelta(hours=80))
    organisation = Organisation(calendars=calendars, options=(ten_days,))
    starts = [berlin(3, 23, "09:00"), berlin(3, 22, "15:00")]

    found = [verdict("support_resolution", ticket(created_at=at), organisation=organisation) for at in starts]

    assert found == [("bad", berlin(4, 8, "09:00"), None)] * 2


def test_the_clock_change_takes_no_opening_hour() -> None:
    """Friday 12:00 to Monday 12:00 in Berlin is 5 h + 3 h, also where the night between has only 23 hours of a day."""
    organisation = Organisation(calendars={"default": WorkCalendar(zone=BERLIN)})
    done = resolved("t", berlin(3, 27, "12:00"), berlin(3, 30, "12:00"))

    assert verdict("support_resolution_time", done, organisation=organisation)[2] == 8 * 3600


# --- which tickets count, and where ----------------------------------------------------------------------


def test_trap_64_a_moved_ticket_is_one_ticket_judged_by_its_new_queue() -> None:
    """A later version names another queue: judged there, with its promise, and nowhere else."""
    organisation = with_options(queues=[QueueOptions(name="urgent", first_response=timedelta(hours=1))])
    before, after = ticket(updated_at=on(1)), ticket(queue="urgent", updated_at=on(1, "09:30"))

    found = rows("support_first_response", [before, after], organisation)

    assert {o.dimension for o in found} == {"urgent"}
    assert verdict("support_first_response", before, after, organisation=organisation)[:2] == ("bad", on(1, "10:00"))


@pytest.mark.parametrize("label", ["duplicate", "merged"])
def test_trap_64_a_ticket_merged_into_another_is_no_ticket_of_its_own(label: str) -> None:
    """It is left out with a reason, does not stand open, and does not count among the tickets of the users."""
    merged = ticket(labels=(label,))

    assert verdict("support_first_response", merged) == ("superseded", on(1), None)
    assert verdict("support_resolution", merged) == ("superseded", on(1), None)
    assert rows("support_open_tickets", [merged]) == []
    assert rows("support_tickets_per_100_users", [merged]) == []


def test_labels_are_compared_as_wholes() -> None:
    """A ticket about duplicate rows is none that was merged."""
    assert verdict("support_first_response", ticket(labels=("duplicate rows",)))[0] == "bad"


def test_a_relabelled_ticket_stays_one_ticket() -> None:
    """Another label changes nothing of its judgement."""
    plain, relabelled = ticket(updated_at=on(1)), ticket(labels=("network",), updated_at=on(2))

    assert rows("support_first_response", [plain, relabelled]) == rows("support_first_response", [plain])


def test_tickets_that_bots_open_do_not_count_unless_told() -> None:
    """An alert's ticket waits for nobody's answer."""
    robots = Identities(bots=frozenset({"person:ann"}))
    silent = Organisation(identities=robots)
    counted = Organisation(identities=robots, options=(SupportOptions(bot_tickets=True),))

    assert verdict("support_first_response", ticket(), organisation=silent) == ("bot", on(1), None)
    assert verdict("support_first_response", ticket(), organisation=counted)[0] == "bad"


def test_the_platform_team_s_own_tickets_can_be_left_out() -> None:
    """What the platform's own teams ask of themselves counts, unless told otherwise."""
    own = ticket(author_team="/platform/runtime")
    organisation = Organisation(platform_teams=patterns(["/platform"]), options=(SupportOptions(platform_team=False),))

    assert verdict("support_resolution", own)[0] == "bad"
    assert verdict("support_resolution", own, organisation=organisation)[0] == "platform_team"


def test_a_queue_s_own_promise_and_calendar_count() -> None:
    """The first entry that fits says what is promised; what it does not say is as for all others."""
    organisation = Organisation(
        calendars={"always": AROUND_THE_CLOCK},
        options=(
            SupportOptions(
                queues=(
                    QueueOptions(name="incidents", calendar="always", first_response=timedelta(minutes=30)),
                    QueueOptions(name="inc*", first_response=timedelta(hours=1)),
                ),
                first_response=timedelta(hours=2),
            ),
        ),
    )
    due = [
        verdict("support_first_response", ticket(queue=queue, created_at=on(6)), organisation=organisation)[1]
        for queue in ("incidents", "incoming", "help")
    ]

    assert due == [on(6, "09:30"), on(8, "10:00"), on(8, "11:00")]


def test_numbers_are_for_the_team_that_asks_by_queue() -> None:
    """Leaders ask how their teams are served: the author's team, as a path with one slash before it."""
    found = [
        (o.subject, o.dimension)
        for team in ("commerce/checkout", "/commerce/checkout/", None)
        for o in rows("support_resolution", [ticket(author_team=team)])[:1]
    ]

    assert found == [
        (Subject(team="/commerce/checkout"), "help"),
        (Subject(team="/commerce/checkout"), "help"),
        (Subject(), "help"),
    ]


@pytest.mark.parametrize("rule", ["", "/(/"])
def test_a_rule_that_cannot_fit_is_refused(rule: str) -> None:
    """An empty rule or a broken expression is a mistake where it is written, not later."""
    with pytest.raises(ValidationError, match=r"expected a (name|regular)"):
        SupportOptions(queues=(QueueOptions(name=rule),))


# --- open tickets and their age --------------------------------------------------------------------------


def test_open_tickets_are_those_open_at_the_time() -> None:
    """One resolved on Tuesday 12:00, one open since Monday, one of Wednesday: 2, then 1, then 2, of 2, 2 and 3."""
    events = (resolved("a", on(1), on(2, "12:00")), ticket("b", on(1, "10:00")), ticket("c", on(3)))
    found = [measured(support.SUPPORT_OPEN_TICKETS, now, *events) for now in (on(2), on(2, "12:00"), on(4))]

    assert [(m.n, m.stats) for m in found] == [(2, {"value": 2.0}), (2, {"value": 1.0}), (3, {"value": 2.0})]


def test_no_open_ticket_is_a_fact_where_there_were_tickets() -> None:
    """All are resolved: 0 of 1. Before any ticket there is nothing to say."""
    done = resolved("a", on(1), on(2))

    assert measured(support.SUPPORT_OPEN_TICKETS, on(3), done) == Measured(n=1, stats={"value": 0.0})
    assert measured(support.SUPPORT_OPEN_TICKETS, on(1, "08:00"), done) == Measured(n=0, stats={})


def test_a_reopened_ticket_is_open_again() -> None:
    """Open until Tuesday, resolved on Wednesday, open again from Thursday."""
    again = ticket(transitions=became((on(2), "resolved"), (on(4), "open")))
    found = [measured(support.SUPPORT_OPEN_TICKETS, on(day, "12:00"), again).stats["value"] for day in (1, 3, 4)]

    assert found == [1.0, 0.0, 1.0]


def test_a_ticket_resolved_and_reopened_in_one_moment_was_never_away() -> None:
    """One open ticket, once."""
    again = ticket(resolved_at=on(2), updated_at=on(2))

    assert measured(support.SUPPORT_OPEN_TICKETS, on(3), again) == Measured(n=1, stats={"value": 1.0})


def test_a_waiting_ticket_is_open() -> None:
    """To wait for who opened it is no end."""
    waiting = ticket(state=TicketState.WAITING, transitions=became((on(2), "waiting")))

    assert measured(support.SUPPORT_OPEN_TICKETS, on(3), waiting).stats == {"value": 1.0}


def test_the_age_of_open_tickets_counts_nights_and_weekends() -> None:
    """Opened 10 d, 4 d, 2 d and 1 d before: the median is 3 d; p90 lies 0.7 between 4 d and 10 d, at 8.2 d."""
    events = (ticket("a", on(1)), ticket("b", on(7)), ticket("c", on(9)), ticket("d", on(10)))
    found = measured(support.SUPPORT_OPEN_TICKET_AGE, on(11), *events)

    assert found.n == 4
    assert found.stats == pytest.approx({"p50": 3 * 86_400, "p90": 8.2 * 86_400})


def test_a_reopened_ticket_is_as_old_as_on_its_first_day() -> None:
    """Opened on the 1st, away from the 2nd to the 4th, on the 11th it is ten days old."""
    again = ticket(transitions=became((on(2), "resolved"), (on(4), "open")))

    assert measured(support.SUPPORT_OPEN_TICKET_AGE, on(11), again).stats["p50"] == 10 * 86_400


def test_what_is_not_open_has_no_age() -> None:
    """No open ticket, no value."""
    assert measured(support.SUPPORT_OPEN_TICKET_AGE, on(9), resolved("a", on(1), on(2))) == Measured(n=0, stats={})


# --- tickets per 100 users -------------------------------------------------------------------------------

_PEOPLE = [f"person:{n:02}" for n in range(20)]


def test_tickets_are_counted_for_each_100_active_users() -> None:
    """3 tickets of 20 users in 28 days are 15 for 100; scaled from 14 days they would be 30."""
    uses = [used(who, on(1, "12:00"), who) for who in _PEOPLE]
    asked = [ticket(name, on(1, "12:00")) for name in "abc"]
    found = [
        measured(support.SUPPORT_TICKETS_PER_100_USERS, on(2), *uses, *asked, days=days).stats for days in (28, 14)
    ]

    assert found == [{"value": 15.0}, {"value": 30.0}]


def test_n_is_the_number_of_active_users_each_once() -> None:
    """Two days, two capabilities and a second account make no second user; bots and services are none."""
    identities = Identities(people={"person:annie": "person:ann"})
    uses = (
        used("1", on(1)),
        used("2", on(2), capability="logs"),
        used("3", on(2), "person:annie"),
        used("4", on(2), "person:relay", bot=True),
        used("5", on(2), None, service="shop"),
    )
    found = rows("support_tickets_per_100_users", uses, Organisation(identities=identities))

    assert support.tickets_per_users(sample(found, on(9), 28)) == Measured(n=1, stats={"value": 0.0})


def test_without_active_users_nothing_can_be_said() -> None:
    """Tickets of nobody who used the platform have no rate; uses before the window make nobody active."""
    found = measured(support.SUPPORT_TICKETS_PER_100_USERS, on(20), used("1", on(1)), ticket("a", on(19)), days=7)

    assert found == Measured(n=0)


def test_only_what_is_told_makes_an_active_user() -> None:
    """Where capabilities are named, the use of another one counts for nobody."""
    organisation = with_options(users="deploy")
    uses = (used("1", on(1)), used("2", on(1), "person:kim", capability="logs"))

    assert [o.unit for o in rows("support_tickets_per_100_users", uses, organisation)] == ["person:ann"]


def test_the_platform_team_can_be_left_out_of_its_users() -> None:
    """Whose tickets do not count is no user either."""
    organisation = Organisation(platform_teams=patterns(["/platform"]), options=(SupportOptions(platform_team=False),))
    uses = (used("1", on(1)), used("2", on(1), "person:kim", team="platform"))

    assert [o.unit for o in rows("support_tickets_per_100_users", uses, organisation)] == ["person:ann"]


def test_a_person_s_day_is_kept_once() -> None:
    """Of a day's many uses the first is kept, as evidence: a script that never rests costs one row a day."""
    uses = [used(f"{n}", on(1, "10:00") + timedelta(minutes=n)) for n in range(5)] + [used("x", on(2))]

    found = rows("support_tickets_per_100_users", uses[::-1])

    assert [(o.at, o.evidence) for o in found] == [(on(1, "10:00"), (uses[0].id,)), (on(2), (uses[-1].id,))]


# --- laws ------------------------------------------------------------------------------------------------

_moment = st.integers(0, 14 * 24).map(lambda hours: on(1, "00:00") + timedelta(hours=hours))
_state = st.sampled_from(TicketState)
_ticket = st.builds(
    lambda name, queue, created, state, resolved_at, closed, updated, replies, changes, labels: ticket(
        f"t{name}",
        created,
        queue=queue,
        state=state,
        resolved_at=resolved_at,
        closed_at=closed,
        updated_at=updated,
        replies=tuple(Reply(at=at, author=f"person:{who}", bot=bot) for at, who, bot in replies),
        transitions=became(*changes),
        labels=labels,
    ),
    st.integers(0, 9),
    st.sampled_from(["help", "network"]),
    _moment,
    _state,
    st.none() | _moment,
    st.none() | _moment,
    st.none() | _moment,
    st.lists(st.tuples(_moment, st.sampled_from(["ann", "sam", "kim"]), st.booleans()), max_size=3),
    st.lists(st.tuples(_moment, _state.map(str)), max_size=4),
    st.sampled_from([(), ("merged",)]),
)
_use = st.builds(
    lambda name, at, who, bot, capability: used(f"u{name}", at, who, bot=bot, capability=capability),
    st.integers(0, 9),
    _moment,
    st.none() | st.sampled_from(["person:ann", "person:kim"]),
    st.booleans(),
    st.sampled_from(["deploy", "logs"]),
)
_events = st.lists(_ticket | _use, max_size=12, unique_by=lambda e: e.id)


def _sorted(observations: Iterator[Observation]) -> list[Observation]:
    return sorted(observations, key=lambda o: (o.indicator, o.unit, o.at, o.dimension, o.evidence))


@given(events=_events, data=st.data())
def test_order_and_duplicates_change_nothing(events: list[Event], data: st.DataObject) -> None:
    """The same events give the same observations, however often and in whatever order they come."""
    again = data.draw(st.permutations(events + events))

    assert _sorted(support.observe(PlainEvents(again), USUAL)) == _sorted(support.observe(PlainEvents(events), USUAL))


@given(events=_events, now=_moment)
def test_every_ticket_stands_once(events: list[Event], now: datetime) -> None:
    """At any time a ticket that was opened is good, bad, pending or excluded, and one of them."""
    opened = [e for e in events if isinstance(e, Ticket) and e.created_at <= now]

    assert len(standing("support_first_response", now, *events)) == len(opened)
    assert len(standing("support_resolution", now, *events)) == len(opened)


@given(events=_events)
def test_no_duration_is_negative_and_nothing_is_stored_twice(events: list[Event]) -> None:
    """Whatever the order of replies and states; and a unit has one row for each time of an indicator."""
    found = list(support.observe(PlainEvents(events), USUAL))
    keys = [(o.indicator, o.unit, o.at, o.dimension, o.subject, o.source) for o in found if o.dimension != "users"]

    assert all(o.value is None or o.value >= 0 for o in found)
    assert len(set(keys)) == len(keys)


@given(events=_events, now=_moment)
def test_a_ticket_is_open_or_resolved(events: list[Event], now: datetime) -> None:
    """The open tickets are those whose resolution is pending, but for those that are late already."""
    pending = standing("support_resolution_time", now, *events).count("pending")
    open_now = measured(support.SUPPORT_OPEN_TICKETS, now, *events).stats.get("value", 0.0)

    assert open_now <= pending


# --- in the store ----------------------------------------------------------------------------------------


def _stored(tmp_path: Path, *batches: Sequence[Event]) -> tuple[list[tuple[int, int]], set[tuple[Any, ...]]]:
    """What each batch of events cost, in pieces and observations, and all observations after the last one."""
    database = Database.open(tmp_path)
    events, store = EventStore(database), DerivationStore(database)
    costs = []
    for batch in batches:
        with database.transaction() as transaction:
            events.write(transaction, batch)
        done = derive([support.FAMILY], events, store)
        costs.append((done.pieces, done.observations))
    with database.reading() as connection:
        text = (
            "select s.indicator, s.dimension, s.team, s.source, o.at, o.unit, o.value, o.outcome, o.reason,"
            " o.matures_at from observation o join series s on s.id = o.series_id"
        )
        kept = {tuple(row) for row in connection.exec_driver_sql(text)}
    database.close()
    return costs, kept


_FIRST = (
    resolved("a", on(1), on(2), replies=(replied(on(1, "10:00")),)),
    ticket("b", on(2), queue="network"),
    used("1", on(1)),
    used("2", on(2), capability="logs"),
)
_MOVED = ticket("b", on(2), queue="help", updated_at=on(2, "10:00"))
_LATER = (used("3", on(3)), used("4", on(3), "person:kim"))
_DATED_ANEW = used("3", on(1, "08:00"), updated_at=on(5))


def test_only_what_new_events_touch_is_derived_again(tmp_path: Path) -> None:
    """A ticket touches its queue, one that moved also the one it left, and a use its capability."""
    costs, _ = _stored(tmp_path, _FIRST, [ticket("c", on(3), queue="new")], [_MOVED], _LATER, [])

    assert [pieces for pieces, _ in costs] == [4, 1, 2, 1, 0]


def test_pieces_make_what_all_events_make_together(tmp_path: Path) -> None:
    """One batch after the other, with a ticket that moves and a use that is dated anew, gives what all at once give."""
    (tmp_path / "apart").mkdir()
    (tmp_path / "whole").mkdir()

    _, apart = _stored(tmp_path / "apart", _FIRST, [_MOVED], _LATER, [_DATED_ANEW])
    _, whole = _stored(tmp_path / "whole", [*_FIRST[:1], *_FIRST[2:], _MOVED, _LATER[1], _DATED_ANEW])

    assert apart == whole
    assert len(apart) == len(list(support.observe(PlainEvents([*_FIRST, _MOVED, *_LATER, _DATED_ANEW]), USUAL)))


_JULY = on(3, month=7)
_MONTHS = {
    "a ticket of another month": ([ticket("a", on(1)), ticket("b", _JULY)], [ticket("c", _JULY)], 1),
    "a ticket dated anew leaves its month": (
        [ticket("a", on(1)), ticket("b", _JULY)],
        [ticket("a", on(9, month=8), updated_at=on(1, month=9))],
        2,
    ),
    "a ticket leaves its queue and its month": (
        [ticket("a", on(1)), ticket("b", _JULY)],
        [ticket("a", _JULY, queue="network", updated_at=on(1, month=9))],
        2,
    ),
    "an old ticket is resolved": (
        [ticket("a", on(1)), ticket("b", _JULY)],
        [resolved("a", on(1), _JULY, updated_at=_JULY)],
        1,
    ),
}
"""Tickets that are there, tickets that come, and how many pieces these touch."""


@pytest.mark.parametrize(("before", "after", "expected"), _MONTHS.values(), ids=_MONTHS)
def test_a_ticket_costs_the_month_in_which_it_was_opened(
    tmp_path: Path, before: list[Event], after: list[Event], expected: int
) -> None:
    """Of a queue only the months are derived again that a new or changed ticket is in, or was."""
    costs, kept = _stored(tmp_path, before, after)

    assert costs[1][0] == expected
    assert len(kept) == len(list(support.observe(PlainEvents([*before, *after]), USUAL)))


_days = st.integers(0, 70).map(lambda days: on(1) + timedelta(days=days))
_moving = st.builds(
    lambda name, queue, created, version, state: ticket(
        f"t{name}", created, queue=queue, state=state, updated_at=on(1, month=12) + timedelta(hours=version)
    ),
    st.integers(0, 3),
    st.sampled_from(["help", "network", "help:2026-06"]),
    _days,
    st.integers(0, 9),
    _state,
)
_batches = st.lists(st.lists(_moving | _use, min_size=1, max_size=3), min_size=1, max_size=6)


@settings(max_examples=examples(20), deadline=None)
@given(batches=_batches)
def test_one_after_the_other_gives_what_all_at_once_gives(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]]
) -> None:
    """Tickets that come late, again, in another queue or dated anew: the observations are the same."""
    one, all_at_once = (tmp_path_factory.mktemp(name) for name in ("one", "all"))
    shutil.copy(migrated, one / "paceline.db")
    shutil.copy(migrated, all_at_once / "paceline.db")

    assert _stored(one, *batches)[1] == _stored(all_at_once, [e for b in batches for e in b])[1]


def test_a_special_day_can_close_a_queue() -> None:
    """A closed Tuesday moves what is due on it to Wednesday: 1 h on Monday, 3 h on Wednesday."""
    calendar = WorkCalendar(special=((date(2026, 6, 2), None),))
    organisation = Organisation(calendars={"default": calendar})

    found = verdict("support_first_response", ticket(created_at=on(1, "16:00")), organisation=organisation)

    assert found == ("bad", on(3, "12:00"), None)


# --- as numbers ------------------------------------------------------------------------------------------

_TEAM = "/commerce/checkout"


def _numbers(tmp_path: Path, now: datetime, *batch: Event) -> dict[tuple[str, str], tuple[int, dict[str, float]]]:
    """By indicator and queue what is published of some events for their team: n and the statistics."""
    database = Database.open(tmp_path)
    events = EventStore(database)
    with database.transaction() as transaction:
        events.write(transaction, batch)
    derive([support.FAMILY], events, DerivationStore(database))
    indicators = {i.name: i for i in support.FAMILY.indicators}
    sources = [
        source_state(name, last_success_at=now, last_run_at=now, last_duration_seconds=1.0, newest_event_at=now)
        for name in ("desk", "portal")
    ]
    found = evaluate(ObservationStore(database), indicators, [], sources, now, windows=[parse_window("28d")])
    database.close()
    own = (n for n in found.numbers if n.subject.team == _TEAM)
    return {(n.indicator, n.dimension): (n.n, dict(n.stats)) for n in own if n.n or n.stats}


_SERVED = (
    ticket("late", on(1)),
    ticket("again", on(1), transitions=became((on(2), "resolved"), (on(4), "open"))),
    resolved("done", on(3), on(3, "10:00"), replies=(replied(on(3, "09:30")),), queue="network"),
    *(used(who, on(2), who) for who in _PEOPLE),
)


def test_tickets_become_numbers_by_queue(tmp_path: Path) -> None:
    """On the 11th: no reply in time in `help`, one in `network`, and two tickets open of three.

    Both of `help` are bad on the 1st at 13:00: nobody had replied, and "again" was resolved only on the 2nd.
    """
    found = _numbers(tmp_path, on(11), *_SERVED)

    assert {queue: found["support_first_response", queue][1]["value"] for queue in ("help", "network", "")} == {
        "help": 0.0,
        "network": 1.0,
        "": pytest.approx(1 / 3),
    }
    assert found["support_first_response_time", "network"][1]["p50"] == 1800.0
    assert found["support_resolution_time", "network"][1]["p50"] == 3600.0
    assert found["support_open_tickets", ""] == (3, {"value": 2.0})
    assert found["support_open_tickets", "network"] == (1, {"value": 0.0})
    assert found["support_open_ticket_age", "help"] == (2, {"p50": 864_000.0, "p90": 864_000.0})
    assert found["support_tickets_per_100_users", ""] == (20, {"value": 15.0})


def test_a_past_time_has_the_numbers_of_then(tmp_path: Path) -> None:
    """On the 3rd at 09:45 "again" was resolved; "done" was answered and not resolved. All three have their answer."""
    found = _numbers(tmp_path, on(3, "09:45"), *_SERVED)

    assert found["support_open_tickets", ""] == (3, {"value": 2.0})
    assert found["support_open_tickets", "network"] == (1, {"value": 1.0})
    assert found["support_first_response", ""][0] == 3
    assert ("support_resolution_time", "network") not in found
