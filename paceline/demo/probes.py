"""Probes of five components: an event an hour while all is well, one a minute in an hour with trouble.

Tells the story DNS_OUTAGE, and half of SILENT_SOURCE: the portal's prober stops.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from collector.events import Event, Probe
from paceline.demo.organisation import Example
from paceline.demo.period import DAY, HOUR, MINUTE, WEEK, Period, happens, moment
from paceline.demo.stories import DNS_OUTAGE, SILENT_SOURCE
from paceline.demo.trouble import outage

SOURCE, SILENT = "probes", "portal-probes"
COMPONENTS = ("dns", "ci", "registry", "vault", "portal")
SILENT_AFTER = DAY
"""For how long silence is no failure yet, as config/demo/paceline.yaml says."""
_TROUBLES_A_WEEK = 0.5
_TARGETS = 3
"""How many places each component is probed from, each minute."""


def silent_at(period: Period) -> int:
    """When the portal's prober stops: on the first Tuesday of its story, at four in the morning."""
    return period.week(SILENT_SOURCE.since) + DAY + 4 * HOUR


def events(example: Example) -> Iterator[Event]:
    """The probes of all components up to what is known; of the portal until its prober stops."""
    for component in COMPONENTS:
        dice = example.period.dice("probes", component)
        troubles = _troubles(example.period, component, dice)
        ends = min(example.period.end, example.period.known)
        yield from _of(
            component, example.period.start, silent_at(example.period) if component == "portal" else ends, troubles
        )


def _troubles(period: Period, component: str, dice: Random) -> dict[int, int]:
    """For each minute with trouble how many probes of it pass."""
    found: dict[int, int] = {}
    for week in range(period.start, period.end, WEEK):
        if happens(dice, _TROUBLES_A_WEEK):
            start = week + dice.randrange(WEEK // MINUTE) * MINUTE
            found |= {start + n * MINUTE: dice.randint(0, 2) for n in range(dice.randint(1, 6))}
    if component == "dns":
        start, end, calm = outage(period)
        found |= {at: dice.randint(1, 3) for at in range(end, calm, MINUTE)}
        found |= dict.fromkeys(range(start, end, MINUTE), 0)
    return found


def _of(component: str, start: int, end: int, troubles: dict[int, int]) -> Iterator[Probe]:
    for hour in range(start, end, HOUR):
        minutes = range(hour, min(hour + HOUR, end), MINUTE)
        if len(minutes) * MINUTE == HOUR and not any(at in troubles for at in minutes):
            yield _probe(component, hour, HOUR, HOUR // MINUTE * _TARGETS)
            continue
        for at in minutes:
            yield _probe(component, at, MINUTE, _TARGETS, troubles.get(at))


def _probe(component: str, at: int, length: int, checks: int, passed: int | None = None) -> Probe:
    planted = component == "dns" and passed is not None
    return Probe(
        source=SILENT if component == "portal" else SOURCE,
        native_id=f"{DNS_OUTAGE.name + '/' if planted else ''}{component}@{moment(at):%Y-%m-%dT%H:%M}",
        service=component,
        environment="production",
        at=moment(at),
        passed=checks if passed is None else passed,
        checks=checks,
        duration_seconds=float(length),
    )
