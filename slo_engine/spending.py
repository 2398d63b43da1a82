"""What single incidents and deployments spent of an SLO's error budget. Reads the store.

A bad unit is charged to every incident that decided about it, and to itself where it is a deployment. The deployment
that ended a failure decided, too, but spent nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import ge, gt, le, lt
from typing import Any, NamedTuple

import msgspec
import numpy as np

from collector.events import Deployment, Event, Incident
from collector.store import EventStore, ObservationStore, Series, to_micros
from slo_engine.budget import allowed
from slo_engine.event_lines import line_of
from slo_engine.exclusions import Exclusion, counted, excluded
from slo_engine.gate import Policy, Spend, spends_of
from slo_engine.indicator import Indicator
from slo_engine.observation import Outcome
from slo_engine.organisation import Organisation
from slo_engine.selecting import takes_in
from slo_engine.slo import IndicatorSli, Operator, Slo
from slo_engine.snapshot import SloState
from slo_engine.windows import CalendarWindow

_COMPARE = {Operator.GTE: ge, Operator.GT: gt, Operator.LTE: le, Operator.LT: lt}
_MICROSECOND = timedelta(microseconds=1)
_VALUES = ("value", "part_1", "part_2", "part_3", "part_4")


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Where the units of SLOs stand."""

    indicators: Mapping[str, Indicator]
    observations: ObservationStore
    events: EventStore
    exclusions: Sequence[Exclusion] = ()
    organisation: Organisation = field(default_factory=Organisation)


def spends(policy: Policy, states: Iterable[SloState], ledger: Ledger, at: datetime) -> list[Spend]:
    """What incidents and deployments spent, of the SLOs where a review may be due, judged at a time.

    SLOs that count no units (slices, PromQL, composites) have none. Raises StoreError.
    """
    return [spend for state in states if _may_be_due(policy, state, ledger) for spend in _of(state, ledger, at)]


def _may_be_due(policy: Policy, state: SloState, ledger: Ledger) -> bool:
    """Whether all bad events together spent more than asks for a review: only then can a single one have."""
    rule, counts = policy.rule_for(state.slo), state.counts.get(state.slo.window.label)
    if rule is None or rule.review_above is None or counts is None or not counts.total:
        return False
    counted = isinstance(state.slo.sli, IndicatorSli) and state.slo.budgeting == "occurrences"
    units = counted and not ledger.indicators[state.slo.indicator].people
    return units and counts.bad > rule.review_above * allowed(counts, state.slo.target)


def _of(state: SloState, ledger: Ledger, at: datetime) -> Iterator[Spend]:
    slo, counts = state.slo, state.counts[state.slo.window.label]
    bad = [unit.ids for unit in bad_units(slo, ledger, at)]
    known = ledger.events.find(sorted({event_id for ids in bad for event_id in ids}))
    incidents: Counter[str] = Counter()
    deployments: Counter[str] = Counter()
    for ids in bad:
        incidents.update(i for i in set(ids) if isinstance(known.get(i), Incident))
        deployments.update(i for i in ids[:1] if isinstance(known.get(i), Deployment))
    yield from spends_of(slo, counts, "incident", _named(incidents, known))
    yield from spends_of(slo, counts, "deployment", _named(deployments, known))


class BadUnit(NamedTuple):
    """A bad unit: its series, when it was (microseconds), its event id and then the ids of the events that decided."""

    series: Series
    at: int
    ids: tuple[str, ...]


def bad_units(slo: Slo, ledger: Ledger, at: datetime) -> Iterator[BadUnit]:
    """The bad units of an SLO's window at a time."""
    indicator = ledger.indicators[slo.indicator]
    now = to_micros(at)
    window = slo.window
    start = window.bounds(at)[0] - _MICROSECOND if isinstance(window, CalendarWindow) else at - window.length
    after = to_micros(start)
    slots = excluded(ledger.exclusions, slo, after, now)
    value = _VALUES[indicator.column(slo.dimension)]
    columns = ("at", "unit", "evidence", "outcome", "matures_at", value)
    for number, series in ledger.observations.series(indicator.observed_as).items():
        if takes_in(slo.counted, indicator, series, ledger.organisation):
            rows = ledger.observations.window([number], after, now, *columns)
            bad = [row for row in rows if _is_bad(slo, row[3:], now)]
            kept = counted(np.array([row[0] for row in bad], dtype=np.int64), slots)
            own = (row for row, keep in zip(bad, kept, strict=True) if keep)
            yield from (BadUnit(series, row[0], _ids(row[1], row[2])) for row in own)


def _is_bad(slo: Slo, row: Sequence[Any], now: int) -> bool:
    """Whether a unit counts, and as bad; `row` holds its outcome, the time it matures and its value."""
    outcome, matures_at, value = row
    if matures_at is not None and matures_at > now:
        return False
    if slo.operator is None:
        return bool(outcome == Outcome.BAD)
    if outcome != Outcome.MEASURED or value is None:
        return False
    return not _COMPARE[slo.operator](value, slo.threshold or 0.0)


def _ids(unit: str, evidence: str) -> tuple[str, ...]:
    return unit, *(i for i in msgspec.json.decode(evidence, type=list[str]) if i != unit)


def _named(bad: Mapping[str, int], events: Mapping[str, Event]) -> dict[str, int]:
    """Counts by what people call an event; where two are called the same, with the beginning of their ids."""
    labels = {event_id: line_of(events[event_id]).label for event_id in bad}
    often = Counter(labels.values())
    return {
        label if often[label] == 1 else f"{label} ({event_id[:10]})": bad[event_id]
        for event_id, label in labels.items()
    }
