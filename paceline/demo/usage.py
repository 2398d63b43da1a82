"""What people use of the platform: one event for each person, capability and day."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from collector.events import Event, UsageEvent
from paceline.demo.newcomers import access_at
from paceline.demo.organisation import Example, Person
from paceline.demo.period import happens, moment, opaque

SOURCE = "usage"
CAPABILITIES = {"ci": 0.75, "portal": 0.35, "docs": 0.4, "registry": 0.2, "vault": 0.12, "preview-environments": 0.15}
"""The capabilities, and how much of its days somebody uses each who uses it at all."""
_USES = {"ci": 0.95, "portal": 0.85, "docs": 0.8, "registry": 0.5, "vault": 0.45, "preview-environments": 0.3}
"""How many use it at all; preview environments spread during the period."""


def events(example: Example) -> Iterator[Event]:
    """The uses of everybody who has access."""
    for person in example.people:
        yield from _of(example, person)


def _service(example: Example, person: Person, capability: str, dice: Random) -> str | None:
    """For which of their services somebody uses it: preview environments are for what customers see."""
    own = example.products_of[person.team]
    if capability == "preview-environments":
        own = tuple(p for p in own if p.team.startswith("/commerce") and p.tier != "3")
    if capability == "vault":
        own = own[: len(own) // 2]
    return dice.choice(own).name if own else None


def _of(example: Example, person: Person) -> Iterator[UsageEvent]:
    period, rhythm = example.period, example.rhythms[person.site]
    dice = period.dice("usage", person.number)
    begins = access_at(example, person) if person.newcomer else period.start
    used = {name: share for name, share in CAPABILITIES.items() if happens(dice, _USES[name])}
    for day in rhythm.within:
        spread = (day.midnight - period.start) / (period.end - period.start)
        for capability, share in used.items():
            growing = spread if capability == "preview-environments" else 1.0
            at = rhythm.moment_of(day, dice)
            if happens(dice, share * day.weight * growing) and begins < at < (person.left or period.end):
                yield UsageEvent(
                    source=SOURCE,
                    native_id=f"{moment(at):%Y-%m-%d}/{opaque(period.seed, capability, person.number, day.midnight)}",
                    capability=capability,
                    at=moment(at),
                    person=person.key,
                    team=person.team,
                    service=_service(example, person, capability, dice),
                    count=dice.randint(1, 12),
                )
