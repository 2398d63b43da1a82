"""Sources: for how much of the time each was fresh, and how much of what it reported could be used. Pure.

Hours and counts follow from the runs of each source alone; new runs replace only what comes after them. No clock is
asked: hours after the last run are judged ahead, as if no other run came, and one that comes replaces them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
from pydantic import Field

from collector.conditions import Above
from collector.durations import Duration
from collector.events import Collection
from collector.patterns import any_matches, patterns
from slo_engine.indicator import Asked, Events, Family, Indicator, Piece, Shape, Unit
from slo_engine.measure import Measured, Sample
from slo_engine.observation import NO_PARTS, Observation, Outcome, Row, Subject, as_observations, from_micros, labelled
from slo_engine.options import Options
from slo_engine.organisation import Organisation
from slo_engine.statistics import wilson

HOUR = 3_600_000_000
"""An hour in microseconds. Hours begin at whole hours UTC."""
_OPEN_HOURS = 12
"""So many of the latest hours stay open: runs that are told of less late than this cost no whole derivation."""
_EVIDENCE = 5
_ACCEPTED, _REJECTED = "accepted", "rejected"


def _share_accepted(sample: Sample) -> Measured:
    """The share of the records of a source that could be used, with Wilson's interval."""
    counted = sample.inside & sample.is_(Outcome.MEASURED)
    accepted, rejected = (
        int(np.sum(sample.value[counted & sample.named(1, kind, 2)])) for kind in (_ACCEPTED, _REJECTED)
    )
    n = accepted + rejected
    bounds = wilson(accepted, n)
    if bounds is None:
        return Measured(0)
    return Measured(n, {"value": accepted / n, "low": bounds[0], "high": bounds[1]}, coverage=1.0)


SOURCE_FRESHNESS = Indicator(
    name="source_freshness",
    noun="hours",
    version="1",
    title="Source freshness",
    definition=(
        "Share of the hours in the window in which the source was fresh throughout: its last successful run was never "
        "older than it may be."
    ),
    shape=Shape.RATIO,
    metric="platform_source_freshness",
    labels=("source",),
)
SOURCE_COVERAGE = Indicator(
    name="source_coverage",
    noun="records",
    version="1",
    title="Source coverage",
    definition="Share of the records that the source reported in the window that could be used.",
    shape=Shape.MEASURE,
    metric="platform_source_coverage",
    labels=("source", ""),
    measure=_share_accepted,
    stats=("value", "low", "high"),
    unit=Unit.RATIO,
)


class SourcesOptions(Options):
    """How far ahead sources are judged, and which are not."""

    ahead: Duration = Field(
        default=timedelta(days=28),
        description="For this long after its last run, failed or not, the hours of a source that no longer runs count.",
    )
    left_out: tuple[str, ...] = Field(
        default=(), description="Rules for the names of sources that do not count, for example removed ones."
    )


class _Run(NamedTuple):
    """A run. Times in microseconds."""

    finished_at: int
    id: str
    source: str
    succeeded: bool
    events: int
    rejected: int
    stale_after_seconds: float

    @property
    def fresh_until(self) -> int:
        """Until when a success counts; as good as for ever where that is beyond all times."""
        return self.finished_at + int(min(self.stale_after_seconds, 1e11) * 1e6)


COLUMNS = _Run._fields
"""The columns of a run that are read, in its order."""


class _State(msgspec.Struct, array_like=True, frozen=True):
    """A source as it stood before an hour: its last success then, as a row of COLUMNS, if it had one.

    `hour` is the number of hours since 1970.
    """

    hour: int
    last: tuple[int, str, str, bool, int, int, float] | None


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The hours of all sources."""
    for piece in pieces(events, organisation, Asked()):
        yield from as_observations(piece.observations)


def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The sources with new runs, each from its first new hour on where its state allows that."""
    names = events.distinct(Collection, "collector")
    left: set[str] = set()
    if asked.only is not None:
        touched = set(asked.only)
    elif asked.since is None:
        touched = {*names, *asked.known}
    else:
        revision = asked.since["collection"]
        left = set(events.moved(Collection, revision))
        touched = {*events.distinct(Collection, "collector", revision), *left}
    options = organisation.options_of(SourcesOptions)
    for name in sorted(touched - set(asked.derived)):
        if any_matches(patterns(options.left_out), name):
            yield Piece(name, ())
            continue
        later = _later(events, name, options, asked) if asked.since is not None and name not in left else None
        yield later or _derived(name, _read(events, name), options, None)


def scopes(events: Events, organisation: Organisation) -> list[str]:
    """The sources that ran."""
    del organisation
    return events.distinct(Collection, "collector")


def _read(events: Events, name: str, **where: Above) -> list[_Run]:
    """The runs of a source, in the order in which they ended."""
    rows = map(_Run._make, events.columns(Collection, *COLUMNS, collector=name, **where))
    return sorted(r._replace(succeeded=bool(r.succeeded)) for r in rows)  # a database may have no truth values


def _later(events: Events, name: str, options: SourcesOptions, asked: Asked) -> Piece | None:
    """A source from the hour of its state on; None where something new lies before."""
    packed = asked.state(name)
    if packed is None or asked.since is None:
        return None
    state = msgspec.msgpack.decode(packed, type=_State)
    new = _read(events, name, revision=Above(asked.since["collection"]))
    if not new or new[0].finished_at // HOUR < state.hour:
        return None
    return _derived(name, _read(events, name, finished_at=Above(state.hour * HOUR - 1)), options, state)


def _derived(name: str, runs: Sequence[_Run], options: SourcesOptions, state: _State | None) -> Piece:
    """The hours of a source's runs, all of them or those from a state on."""
    if not runs:
        return Piece(name, ())
    last = _Run._make(state.last) if state is not None and state.last is not None else None
    # The hour in which a source was first heard of is not whole.
    first = runs[0].finished_at // HOUR + 1 if state is None else state.hour
    until = (runs[-1].finished_at + options.ahead // timedelta(microseconds=1)) // HOUR
    observations = [*_hours(name, runs, last, range(first, until)), *_counts(name, runs)]
    settled = _settled(runs, state)
    return Piece(
        name,
        observations,
        state=settled if settled is not None or state is None else msgspec.msgpack.encode(state),
        after=None if state is None else state.hour * HOUR,
        same_state=settled is None and state is not None,
    )


def _settled(runs: Sequence[_Run], state: _State | None) -> bytes | None:
    """How a source stood some hours before its last run, packed; None where that is hardly later than the state."""
    hour = runs[-1].finished_at // HOUR - _OPEN_HOURS
    started = runs[0].finished_at // HOUR if state is None else state.hour + _OPEN_HOURS
    if hour <= started:
        return None
    before = [tuple(r) for r in runs if r.succeeded and r.finished_at < hour * HOUR]
    last = before[-1] if before else (state.last if state else None)
    return msgspec.msgpack.encode((hour, last))


def _hours(name: str, runs: Sequence[_Run], last: _Run | None, hours: range) -> Iterator[Observation | Row]:
    """Each hour: good where the last success before every moment of it was still recent enough."""
    successes = [r for r in runs if r.succeeded]
    by_hour: dict[int, list[_Run]] = defaultdict(list)
    for run in runs:
        by_hour[run.finished_at // HOUR].append(run)
    place = 0
    for hour in hours:
        start, end = hour * HOUR, (hour + 1) * HOUR
        while place < len(successes) and successes[place].finished_at <= start:
            last, place = successes[place], place + 1
        fresh, before = last is not None, last
        while place < len(successes) and successes[place].finished_at < end:
            fresh = fresh and last is not None and last.fresh_until >= successes[place].finished_at
            last, place = successes[place], place + 1
        fresh = fresh and last is not None and last.fresh_until >= end
        inside = by_hour.get(hour, [])
        # Hours ahead name no run: the next one would be another, and each of them would have to be written again.
        lapsed = [before] if before is not None and start <= before.fresh_until < end else []
        deciding = inside[:1] if fresh else [*lapsed, *inside]
        source = last.source if last else ""
        if not fresh and not deciding:
            yield _silent(name, hour, source)
        else:
            yield _hour(name, hour, Outcome.GOOD if fresh else Outcome.BAD, source, deciding)


def _hour(name: str, hour: int, outcome: Outcome, source: str, runs: Sequence[_Run]) -> Observation:
    """One hour of a source: dated at its last microsecond, when it is over."""
    return Observation(
        indicator=SOURCE_FRESHNESS.name,
        unit=_unit(name, hour),
        at=from_micros((hour + 1) * HOUR - 1),
        subject=Subject(),
        source=source,
        outcome=outcome,
        dimension=labelled(name),
        evidence=tuple(dict.fromkeys(r.id for r in runs[:_EVIDENCE])),
    )


@lru_cache(maxsize=65_536)
def _silent(name: str, hour: int, source: str) -> Row:
    """An hour in which nothing was heard of a source: most are ahead, and the same after each of its runs.

    What `as_row` would make of it, many times faster: every source has a month of them from its first run on.
    """
    values = ((hour + 1) * HOUR - 1, _unit(name, hour), None, *NO_PARTS, Outcome.BAD.value, "", None, "", "[]")
    return Row((SOURCE_FRESHNESS.name, labelled(name), *Subject(), source), values)


def _unit(name: str, hour: int) -> str:
    return f"{_told(hour)} {name}"


@lru_cache(maxsize=16_384)
def _told(hour: int) -> str:
    return f"{from_micros(hour * HOUR):%Y-%m-%dT%HZ}"


def _counts(name: str, runs: Iterable[_Run]) -> Iterator[Observation]:
    """How many records were used and refused in each hour, where there were any."""
    by_hour: dict[tuple[int, str], list[_Run]] = defaultdict(list)
    for run in runs:
        if run.events > 0:
            by_hour[run.finished_at // HOUR, _ACCEPTED].append(run)
        if run.rejected > 0:
            by_hour[run.finished_at // HOUR, _REJECTED].append(run)
    for (hour, kind), own in by_hour.items():
        yield Observation(
            indicator=SOURCE_COVERAGE.name,
            unit=_unit(name, hour),
            at=from_micros((hour + 1) * HOUR - 1),
            subject=Subject(),
            source=own[0].source,
            outcome=Outcome.MEASURED,
            value=float(sum(r.events if kind == _ACCEPTED else r.rejected for r in own)),
            dimension=labelled(name, kind),
            rule="" if len(own) == 1 else f"{len(own)} runs",
            evidence=tuple(r.id for r in own[:_EVIDENCE]),
        )


def _forgets(_scope: str, before: int, _organisation: Organisation) -> int:
    """Whole hours after it: how a source stood before them its last run and its last success tell, which stay."""
    return -(-before // HOUR) * HOUR - 1


FAMILY = Family(
    name="sources",
    inputs=(Collection,),
    indicators=(SOURCE_FRESHNESS, SOURCE_COVERAGE),
    observe=observe,
    pieces=pieces,
    scopes=scopes,
    options=SourcesOptions,
    forgets={Collection: _forgets},
)
