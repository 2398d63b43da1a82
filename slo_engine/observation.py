"""Observations: one judged unit of an indicator each. A leaf; imports only what an event is.

definitions.md §1: when, for whom, value, outcome, evidence. Every number is an aggregation of observations.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec


class Outcome(StrEnum):
    """How a unit was judged. Only good and bad count; pending and excluded stand beside the number as counts.

    `MEASURED`: the unit has a value, and only an objective's threshold can say good or bad.
    """

    GOOD = "good"
    BAD = "bad"
    MEASURED = "measured"
    PENDING = "pending"
    EXCLUDED = "excluded"


class Reason(StrEnum):
    """Why a unit is excluded: the closed list."""

    BEFORE_HORIZON = "before_horizon"
    UNKNOWN_BASE = "unknown_base"
    UNKNOWN_COMMIT = "unknown_commit"
    MISSING_TIME = "missing_time"
    MERGED_AFTER_DEPLOYMENT = "merged_after_deployment"
    NOT_SUCCESSFUL = "not_successful"
    UNKNOWN_PATHS = "unknown_paths"
    BOT = "bot"
    RESOLVED_BEFORE_START = "resolved_before_start"
    UNATTRIBUTED = "unattributed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class Subject(NamedTuple):
    """For whom a number is. Empty text where a part does not apply."""

    service: str = ""
    environment: str = ""
    team: str = ""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One judged unit of an indicator.

    `unit` is the id of the event that was judged, `evidence` the ids of all events that decided, `rule` how they
    were brought together. `parts` are the pieces a duration is made of, in seconds, in the order of the indicator's
    dimensions, None where unknown; `dimension` names the kind a counted unit is of. A measured unit whose value is
    unknown counts as excluded, and `reason` says why. Before `matures_at` the unit is pending whatever its outcome:
    so an observation follows from the events alone and needs no clock.
    """

    indicator: str
    unit: str
    at: datetime
    subject: Subject
    source: str
    outcome: Outcome
    value: float | None = None
    parts: tuple[float | None, ...] = ()
    reason: str = ""
    dimension: str = ""
    matures_at: datetime | None = None
    rule: str = ""
    evidence: tuple[str, ...] = ()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware time, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC time of microseconds since 1970, the form in which events' columns give times."""
    return _EPOCH + micros * _MICROSECOND
