"""The name service's outage, story DNS_OUTAGE: when it was, and what it did to whoever worked meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from collector.events import Event, Incident, IncidentState, Transition
from paceline.demo.organisation import Example
from paceline.demo.period import DAY, HOUR, MINUTE, Period, moment
from paceline.demo.stories import DNS_OUTAGE

PAGER = "pager"


class Outage(NamedTuple):
    """From when to when the name service answered nothing, and until when it still failed now and then."""

    start: int
    end: int
    calm: int


def outage(period: Period) -> Outage:
    """Wednesday 13:05 to 14:32 UTC, calm at 14:50."""
    start = period.week(DNS_OUTAGE.since) + 2 * DAY + 13 * HOUR + 5 * MINUTE
    return Outage(start, start + 87 * MINUTE, start + 105 * MINUTE)


def events(example: Example) -> Iterator[Event]:
    """The incident of the outage."""
    start, end, _ = outage(example.period)
    yield incident(f"{DNS_OUTAGE.name}/incident", "Name service", start, end, "Names are not resolved", severity="1")


def incident(  # noqa: PLR0913 - what is known of an incident
    native_id: str,
    service: str,
    start: int,
    end: int,
    title: str,
    *,
    severity: str = "2",
    deployment: str | None = None,
) -> Incident:
    """An incident of production that somebody noticed after three minutes and ended."""
    states = ((start, "detected"), (start + 3 * MINUTE, "acknowledged"), (end, "resolved"))
    return Incident(
        source=PAGER,
        native_id=native_id,
        url=f"https://pager.example/{native_id}",
        service=service,
        environment="production",
        state=IncidentState.RESOLVED,
        started_at=moment(start),
        severity=severity,
        title=title,
        detected_at=moment(start),
        acknowledged_at=moment(start + 3 * MINUTE),
        restored_at=moment(end),
        deployment_native_id=deployment,
        transitions=tuple(Transition(at=moment(at), state=state) for at, state in states),
    )
