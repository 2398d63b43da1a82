"""What single incidents and deployments spent of an SLO's error budget. Reads the store.

A bad unit is charged to every incident that decided about it, and to itself where it is a deployment. The deployment
that ended a failure decided, too, but spent nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from collector.events import Deployment, Event, Incident
from collector.store import EventStore, ObservationStore, Series, to_micros
from slo_engine.budget import allowed
from slo_engine.event_lines import line_of
from slo_engine.exclusions import Exclusion, counted, excluded
from slo_engine.gate import Policy, Spend, spends_of
from slo_engine.indicator import Indicator
from slo_engine.organisation import Organisation
from slo_engine.selecting import takes_in
from slo_engine.slo import IndicatorSli, Slo
from slo_engine.slo_states import judge_of
from slo_engine.snapshot import SloState
from slo_engine.windows import CalendarWindow

_MICROSECOND = timedelta(microseconds=1)
CHARGED = (Incident, Deployment)
"""The kinds of events that bad units are charged to."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Where the units of SLOs stand."""

    indicators: Mapping[str, Indicator]
    observations: ObservationStore
    events: EventStore
    exclusions: Sequence[Exclusion] = ()
    organisation: Organisation = field(default_factory=Organisation)
    _series: dict[str, Mapping[int, Series]] = field(default_factory=dict)

    def series(self, indicator: Indicator) -> Mapping[int, Series]:
        """The series of an indicator, by their number, as they were when first asked for."""
        name = indicator.observed_as
        if name not in self._series:
            self._series[name] = self.observations.series(name)
        return self._series[name]


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
    known = ledger.events.find(sorted({event_id for ids in bad for event_id in ids}), CHARGED)
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
    every = ledger.series(indicator)
    own = [number for number, series in every.items() if takes_in(slo.counted, indicator, series, ledger.organisation)]
    judge, _ = judge_of(slo, indicator)
    bad = list(ledger.observations.bad(own, after, now, judge, "at", "unit", "evidence"))
    kept = counted(np.array([row[1] for row in bad], dtype=np.int64), slots)
    for (number, when, unit, evidence), keep in zip(bad, kept, strict=True):
        if keep:
            yield BadUnit(every[number], when, _ids(unit, evidence))


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
