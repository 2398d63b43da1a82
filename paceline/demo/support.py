"""Tickets: three queues of the platform, who answers them and how soon.

Tells the story SUPPORT_BACKLOG: for a month too few people answer platform-help.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from collector.events import Event, Reply, Ticket, TicketState, Transition
from paceline.demo.organisation import PLATFORM, SITES, Example, Person
from paceline.demo.period import HOUR, MINUTE, happens, moment
from paceline.demo.rhythm import WorkingDay, business_after
from paceline.demo.self_service import JOURNEYS, TICKET_LABEL
from paceline.demo.stories import SUPPORT_BACKLOG

SOURCE = "desk"
_DESK = SITES["berlin"]
"""The queues are open when Berlin works; whoever asks may sit elsewhere."""
_WAITS, _REOPENS, _NEVER_ANSWERED = 0.15, 0.04, 0.3


class Queue(NamedTuple):
    """A queue: how many tickets it gets on a usual day, and how long an answer takes, in open hours."""

    name: str
    a_day: float
    answer: float
    resolution: float
    journeys: bool = False
    """Whether people ask here for what they could do themselves."""


QUEUES = (
    Queue("platform-help", 7, 0.9, 5.0),
    Queue("access-requests", 5, 0.7, 3.0, journeys=True),
    Queue("data-help", 3, 1.2, 7.0),
)


def events(example: Example) -> Iterator[Event]:
    """The tickets of all queues."""
    answering = [p for p in example.people if p.team.startswith(PLATFORM)]
    asking = [p for p in example.people if not p.team.startswith(PLATFORM)]
    for queue in QUEUES:
        dice = example.period.dice("tickets", queue.name)
        for number, (at, author) in enumerate(_asked(example, queue, asking, dice), 1):
            yield _Telling(example, queue, dice, answering).ticket(number, at, author)


def _asked(example: Example, queue: Queue, asking: list[Person], dice: Random) -> Iterator[tuple[int, Person]]:
    """Who asks when: each at their own site's hours."""
    for site, rhythm in example.rhythms.items():
        here = [p for p in asking if p.site == site]
        for day in rhythm.within:
            for _ in range(_how_many(queue.a_day * len(here) / len(asking), day, dice)):
                at, author = rhythm.moment_of(day, dice), dice.choice(here)
                if author.started < at < (author.left or at + 1):
                    yield at, author


def _how_many(expected: float, day: WorkingDay, dice: Random) -> int:
    return sum(happens(dice, expected * day.weight / 20) for _ in range(20))


class _Telling:
    """How one ticket goes."""

    def __init__(self, example: Example, queue: Queue, dice: Random, answering: list[Person]) -> None:
        self._example, self._queue, self._dice, self._answering = example, queue, dice, answering

    def ticket(self, number: int, at: int, author: Person) -> Ticket:
        """A ticket with its replies and states, as it will be in the end."""
        backlog = self._queue.name == "platform-help" and SUPPORT_BACKLOG.holds(self._example.period, at)
        steps = self._steps(at, author, slow=backlog)
        replies = tuple(Reply(at=moment(when), author=who) for when, who, _ in steps if who)
        states = tuple(Transition(at=moment(when), state=state) for when, _, state in steps if state)
        state = TicketState(states[-1].state) if states else TicketState.OPEN
        journey = self._dice.choice(JOURNEYS).name if self._queue.journeys and happens(self._dice, 0.25) else None
        name = f"{SUPPORT_BACKLOG.name + '/' if backlog else ''}{self._queue.name}-{number}"
        return Ticket(
            source=SOURCE,
            native_id=name,
            url=f"https://desk.example/{name}",
            queue=self._queue.name,
            state=state,
            created_at=moment(at),
            type="request" if journey else "question",
            journey=journey,
            author=author.key,
            author_team=author.team,
            resolved_at=states[-1].at if state == TicketState.RESOLVED else None,
            replies=replies,
            transitions=states,
            labels=(TICKET_LABEL,) if journey else (),
        )

    def _steps(self, at: int, author: Person, *, slow: bool) -> list[tuple[int, str | None, str]]:
        """What happens to it: when, who replies, and which state follows."""
        dice, factor = self._dice, 9.0 if slow else 1.0
        if slow and happens(dice, _NEVER_ANSWERED):
            return []
        answered = self._later(at, self._queue.answer * factor)
        steps: list[tuple[int, str | None, str]] = [(answered, dice.choice(self._answering).key, "in_progress")]
        if happens(dice, _WAITS):
            steps.append((answered + 5 * MINUTE, None, "waiting"))
            back = answered + int(dice.uniform(2, 40) * HOUR)
            steps.append((back, author.key, "in_progress"))
        done = self._later(steps[-1][0], self._queue.resolution * factor)
        steps.append((done, dice.choice(self._answering).key, "resolved"))
        if happens(dice, _REOPENS):
            again = done + int(dice.uniform(1, 20) * HOUR)
            steps += [(again, author.key, "open"), (self._later(again, self._queue.resolution), None, "resolved")]
        return steps

    def _later(self, at: int, middle_hours: float) -> int:
        """So many open hours later, more or less."""
        hours = self._dice.lognormvariate(0.0, 0.7) * middle_hours
        return business_after(_DESK, at, hours * HOUR)
