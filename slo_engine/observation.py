"""Observations: one judged unit of an indicator each. A leaf; imports only what an event is.

definitions.md §1: when, for whom, value, outcome, evidence. Every number is an aggregation of observations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec


class Outcome(StrEnum):
    """How a unit was judged. Only good and bad count; pending and excluded stand beside the number as counts.

    `MEASURED`: the unit has a value, and only an objective's threshold can say good or bad. A `PENDING` one with a time
    at which it matures is gone from then on: another observation of its unit, dated at its deadline, takes its place.
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
    LATE_ROSTER = "late_roster"
    BULK_IMPORT = "bulk_import"
    LEFT = "left"
    NOT_ELIGIBLE = "not_eligible"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    DRY_RUN = "dry_run"
    LOAD_TEST = "load_test"
    PLATFORM_TEAM = "platform_team"
    UNKNOWN = "unknown"
    SUPERSEDED = "superseded"
    IMPOSSIBLE = "impossible"
    """What the event says cannot be: more passed than was checked, or a score outside the scale."""


_BETWEEN = "\x1f"


def labelled(*values: str) -> str:
    """The `dimension` of a unit whose indicator has labels: their values in that order, "" for one it does not name."""
    return _BETWEEN.join(values) if any(values) else ""


def label_values(dimension: str, labels: int) -> tuple[str, ...]:
    """The values of so many labels that `labelled` put together."""
    return tuple(dimension.split(_BETWEEN)) if dimension else ("",) * labels


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


MOST_PARTS = 4
"""How many parts of a duration an observation has room for."""


Key = tuple[str, str, str, str, str, str]
"""What tells series of a family apart: indicator, dimension, service, environment, team, source."""


class Row(NamedTuple):
    """An observation as the store keeps it: for families that make millions, where an object each would be the cost.

    `values`: time in microseconds, unit, value, the four parts, outcome, reason, the time it matures or None, rule,
    evidence as a JSON list.
    """

    key: Key
    values: tuple[Any, ...]


class Rows(NamedTuple):
    """Observations of one series, each as the `values` of a Row: where nearly all are of a few series."""

    key: Key
    values: Sequence[tuple[Any, ...]]


NO_PARTS = (None,) * MOST_PARTS


def by_series(observations: Iterable[Observation | Row | Rows]) -> dict[Key, list[tuple[Any, ...]]]:
    """The `values` of observations by their series' key."""
    found: dict[Key, list[tuple[Any, ...]]] = {}
    for one in observations:
        if type(one) is Rows:
            found.setdefault(one.key, []).extend(one.values)
            continue
        key, values = one if type(one) is Row else as_row(one)  # type: ignore[arg-type]
        own = found.get(key)
        if own is None:
            own = found[key] = []
        own.append(values)
    return found


def as_row(o: Observation) -> Row:
    """The row of an observation."""
    matures_at = None if o.matures_at is None else to_micros(o.matures_at)
    evidence = msgspec.json.encode(o.evidence).decode() if o.evidence else "[]"
    values = (o.outcome.value, o.reason, matures_at, o.rule, evidence)
    key = (o.indicator, o.dimension, *o.subject, o.source)
    return Row(key, (to_micros(o.at), o.unit, o.value, *(o.parts or NO_PARTS), *values))


def as_observation(row: Row) -> Observation:
    """The observation of a row."""
    indicator, dimension, service, environment, team, source = row.key
    at, unit, value, *parts, outcome, reason, matures_at, rule, evidence = row.values
    return Observation(
        indicator=indicator,
        dimension=dimension,
        subject=Subject(service, environment, team),
        source=source,
        at=from_micros(at),
        unit=unit,
        value=value,
        parts=() if parts == [None] * MOST_PARTS else tuple(parts),
        outcome=Outcome(outcome),
        reason=reason,
        matures_at=None if matures_at is None else from_micros(matures_at),
        rule=rule,
        evidence=tuple(msgspec.json.decode(evidence, type=list[str])),
    )


def as_observations(found: Iterable[Observation | Row | Rows]) -> Iterator[Observation]:
    """Each of some observations, whatever their form."""
    for one in found:
        if isinstance(one, Rows):
            yield from (as_observation(Row(one.key, values)) for values in one.values)
        else:
            yield as_observation(one) if isinstance(one, Row) else one
