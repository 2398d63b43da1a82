"""How newcomers find their way in: the roster, when access is granted, when their first work appears.

Tells the story SLOW_ONBOARDING: a cohort whose access comes two weeks late.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.events import Event, Member, Milestone, MilestoneKind
from paceline.demo.organisation import Example, Person
from paceline.demo.period import DAY, HOUR, happens, moment, opaque
from paceline.demo.stories import SLOW_ONBOARDING

SOURCE = "roster"
_COHORT_WAITS = 10
"""Working days until the cohort has access."""
_SELDOM_LATE = 0.12
"""How many others begin to work too late for ten days."""


def access_at(example: Example, person: Person) -> int:
    """When a newcomer gets access: within two working days, the cohort much later."""
    dice = example.period.dice("access", person.number)
    days = _COHORT_WAITS if person.cohort else dice.choices((0, 1, 2), (0.4, 0.45, 0.15))[0]
    day = example.rhythms[person.site].day_after(person.started, days)
    return max(day.midnight + int(dice.uniform(10, 17) * HOUR), person.started + HOUR)


def first_work_at(example: Example, person: Person) -> int:
    """When somebody opens their first change: for newcomers soon after they have access."""
    if not person.newcomer:
        return example.period.start - 30 * DAY
    dice, access = example.period.dice("first work", person.number), access_at(example, person)
    days = dice.randint(8, 14) if happens(dice, _SELDOM_LATE) else dice.randint(0, 2)
    day = example.rhythms[person.site].day_after(access, days)
    return max(day.midnight + int(dice.uniform(9, 17) * HOUR), access + HOUR)


def events(example: Example) -> Iterator[Event]:
    """The roster, and the access that newcomers were granted."""
    loaded = example.period.start
    for person in example.people:
        stay = opaque("stay", person.key)
        name = f"{SLOW_ONBOARDING.name}/{stay}" if person.cohort else f"stay/{stay}"
        yield Member(
            source=SOURCE,
            native_id=name,
            person=person.key,
            member_kind=person.kind,
            started_at=moment(person.started),
            entered_at=moment(max(person.started - 5 * DAY, loaded)),
            left_at=None if person.left is None else moment(person.left),
            team=person.team,
            site=person.site,
            codes=person.codes,
        )
        if person.newcomer:
            yield Milestone(
                source=SOURCE,
                native_id=f"{name}/access",
                person=person.key,
                milestone=MilestoneKind.ACCESS_GRANTED,
                at=moment(access_at(example, person)),
            )
