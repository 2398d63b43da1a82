"""Requests of self-service: what people start, how it ends, who helped.

Tells the story BROKEN_TEMPLATE: for two weeks new-service mostly fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from collector.events import (
    Approval,
    AttemptEnd,
    Event,
    Reply,
    Result,
    SelfServiceAttempt,
    Ticket,
    TicketState,
    Transition,
)
from paceline.demo.organisation import PLATFORM, Example, Person
from paceline.demo.period import HOUR, MINUTE, happens, moment
from paceline.demo.stories import BROKEN_TEMPLATE

SOURCE, DESK = "portal", "desk"
TICKET_LABEL = "journey"
_BROKEN, _ENDS = "new-service", ("completed", "rejected", "abandoned", "cancelled", "dry run")
_SHARES = (0.91, 0.03, 0.015, 0.02, 0.025)
_FAILS, _FAILS_BROKEN, _TRIES = 0.06, 0.88, 3
_ASSISTED = 0.02


class Journey(NamedTuple):
    """Something people get for themselves: how many do each week, and how many minutes it takes."""

    name: str
    a_week: float
    minutes: float
    approved: float
    """How often their own team has to approve it."""


JOURNEYS = (
    Journey("new-service", 30, 6, 0.0),
    Journey("provision-db", 28, 9, 0.5),
    Journey("dns-record", 35, 2, 0.1),
    Journey("vault-secret", 50, 1, 0.0),
    Journey("preview-environment", 80, 4, 0.0),
)


class _Asked(NamedTuple):
    """A request: who wants what for what."""

    journey: Journey
    number: int
    person: Person
    at: int
    name: str


def events(example: Example) -> Iterator[Event]:
    """The attempts of all journeys, and the tickets of those that needed help."""
    for journey in JOURNEYS:
        dice, number = example.period.dice("self-service", journey.name), 0
        for rhythm in example.rhythms.values():
            here = [p for p in example.people if example.rhythms[p.site] is rhythm]
            for day in rhythm.within:
                expected = journey.a_week / 5 * len(here) / len(example.people) * day.weight
                for _ in range(sum(happens(dice, expected / 20) for _ in range(20))):
                    number += 1
                    person, at = dice.choice(here), rhythm.moment_of(day, dice)
                    yield from _request(example, _asked(example, journey, number, person, at), dice)


def _asked(example: Example, journey: Journey, number: int, person: Person, at: int) -> _Asked:
    broken = journey.name == _BROKEN and BROKEN_TEMPLATE.holds(example.period, at)
    return _Asked(journey, number, person, at, f"{BROKEN_TEMPLATE.name + '/' if broken else ''}{journey.name}-{number}")


def _request(example: Example, asked: _Asked, dice: Random) -> Iterator[Event]:
    """The attempts of one request: until it succeeds, or somebody gives up."""
    broken = asked.name.startswith(BROKEN_TEMPLATE.name)
    ended, at = dice.choices(_ENDS, _SHARES)[0], asked.at
    for attempt in range(1, _TRIES + 1):
        failed = ended == "completed" and happens(dice, _FAILS_BROKEN if broken else _FAILS)
        made = _attempt(asked, attempt, at, ended, dice, failed=failed)
        yield made
        if not failed:
            break
        at += int(dice.uniform(6, 25) * MINUTE) + int(asked.journey.minutes * MINUTE)
    if ended == "completed" and happens(dice, _ASSISTED if not failed else 0.5):
        yield _ticket(example, asked, made)


def _attempt(asked: _Asked, attempt: int, at: int, ended: str, dice: Random, *, failed: bool) -> SelfServiceAttempt:
    approvals = _approvals(asked, at, dice)
    waited = [a.decided_at.timestamp() for a in approvals if a.decided_at is not None]
    begins = int(waited[-1]) if waited else at
    finished = begins + int(asked.journey.minutes * MINUTE * dice.lognormvariate(0.0, 0.35)) + 5
    if ended == "abandoned":
        finished = at + 30 * HOUR
    return SelfServiceAttempt(
        source=SOURCE,
        native_id=f"{asked.name}.{attempt}",
        url=f"https://portal.example/{asked.name}.{attempt}",
        journey=asked.journey.name,
        started_at=moment(at),
        requester=asked.person.key,
        requester_team=asked.person.team,
        target=f"{asked.journey.name}-of-{asked.number}",
        finished_at=moment(finished),
        result=_RESULTS.get(ended, Result.FAILURE if failed else Result.SUCCESS),
        ended=AttemptEnd.COMPLETED if ended == "dry run" else AttemptEnd(ended),
        side_effects=ended == "completed",
        dry_run=ended == "dry run",
        approvals=approvals,
        waiting_for_requester_seconds=28.0 * HOUR if ended == "abandoned" else 0.0,
    )


_RESULTS = {"rejected": Result.FAILURE, "abandoned": Result.CANCELLATION, "cancelled": Result.CANCELLATION}


def _approvals(asked: _Asked, at: int, dice: Random) -> tuple[Approval, ...]:
    """Somebody of the own team says yes, mostly within a quarter of an hour."""
    if not happens(dice, asked.journey.approved):
        return ()
    decided = at + 20 + int(dice.lognormvariate(1.2, 0.7) * MINUTE)
    return (
        Approval(
            requested_at=moment(at + 10),
            decided_at=moment(decided),
            actor_team=f"{PLATFORM}/experience" if happens(dice, 0.04) else asked.person.team,
            approved=True,
        ),
    )


def _ticket(example: Example, asked: _Asked, attempt: SelfServiceAttempt) -> Ticket:
    """A ticket that names what went wrong; somebody helps on the next morning at the latest."""
    dice = example.period.dice("helped", asked.name)
    opened = int((attempt.finished_at or attempt.started_at).timestamp()) + dice.randint(5, 90) * MINUTE
    helping = [p for p in example.people if p.team.startswith(PLATFORM)]
    done = example.rhythms["berlin"].next(opened + dice.randint(1, 4) * HOUR, dice)
    return Ticket(
        source=DESK,
        native_id=f"help-{asked.name}",
        url=f"https://desk.example/help-{asked.name}",
        queue="platform-help",
        state=TicketState.RESOLVED,
        created_at=moment(opened),
        type="question",
        journey=asked.journey.name,
        author=asked.person.key,
        author_team=asked.person.team,
        resolved_at=moment(done),
        replies=(Reply(at=moment(done - 10 * MINUTE), author=dice.choice(helping).key),),
        transitions=(Transition(at=moment(done), state="resolved"),),
        links=(attempt.native_id,),
    )
