"""What SLOs lost of their error budgets in a week, and what the bad units have in common. Nobody is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

import numpy as np

from collector.events import Deployment, Event, Incident
from collector.store import Series, to_micros
from slo_engine.budget import allowed
from slo_engine.event_lines import line_of
from slo_engine.exclusions import counted, excluded
from slo_engine.gate import Spend, spends_of
from slo_engine.indicator import Indicator
from slo_engine.observation import from_micros, label_values
from slo_engine.slices import length_of, sliced
from slo_engine.slo import IndicatorSli, Slo, SloStatus
from slo_engine.slo_states import judged
from slo_engine.snapshot import SloState
from slo_engine.spending import CHARGED, BadUnit, Ledger, bad_units
from slo_engine.units import Ints
from slo_engine.weekly.counting import SloUnits
from slo_engine.weekly.known import Asked, Outage, clean, outages
from slo_engine.weekly.model import Contributor, Loss
from slo_engine.windows import CalendarWindow
from slo_engine.words import duration_text

MOST_LOSSES = 12
"""Of so many SLOs it is told where their budgets went."""
_MOST = 3
_YEAR = timedelta(days=366)
_KINDS = ("incident", "deployment")


class Bad(NamedTuple):
    """The bad units of a stretch of time: when (microseconds, in order), and how bad each was, 0 to 1."""

    at: Ints
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]

    @property
    def units(self) -> float:
        """How many."""
        return round(float(self.weights.sum()), 9)


def losing(state: SloState, indicators: Mapping[str, Indicator]) -> bool:
    """Whether it may be told what an SLO lost: its units are counted here, known, and no people."""
    if not (isinstance(state.slo.sli, IndicatorSli) and state.counts):
        return False
    return not indicators[state.slo.indicator].people


def bad_of(slo: Slo, asked: Asked, units: SloUnits, after: int, until: int) -> Bad:
    """The bad units, or slices, of an SLO whose units were read: after a time, up to and with another."""
    times, good = judged(slo, units.units(slo, to_micros(asked.at)))
    margin = 0 if slo.budgeting == "occurrences" else length_of(slo)
    slots = excluded(asked.known.exclusions, slo, after - margin, until)
    kept = (times <= until) & (times > after - margin) & counted(times, slots)
    times, good = times[kept], good[kept]
    shares = good.astype(np.float64)
    if margin:
        times, shares = sliced(slo, times, good, until + 1)
    inside = (times > after) & (shares < 1)
    return Bad(times[inside], 1 - shares[inside])


def losses(states: Iterable[SloState], asked: Asked, units: SloUnits) -> list[tuple[SloState, Bad, float]]:
    """The SLOs that lost budget in the week, the greatest share of the budget first, ties by name."""
    after, until = to_micros(asked.week.start) - 1, to_micros(asked.at)
    found = []
    for state in states:
        if not losing(state, asked.known.indicators):
            continue
        bad = bad_of(state.slo, asked, units, after, until)
        budget = allowed(state.counts[state.slo.window.label], state.slo.target)
        if bad.at.size and budget:
            found.append((state, bad, bad.units / float(budget)))
    return sorted(found, key=lambda f: (-f[2], f[0].slo.name))


@dataclass(frozen=True)
class Charging:
    """Says what bad units have in common."""

    asked: Asked
    _incidents: dict[str, Event] = field(default_factory=dict)
    """Incidents by id, as they were asked for."""

    def loss(self, state: SloState, bad: Bad, lost: float) -> Loss:
        """What an SLO lost, by incidents, deployments, labels and services: at most three of each."""
        slo, indicator = state.slo, self.asked.known.indicators[state.slo.indicator]
        found: Mapping[tuple[str, str], float]
        found = self._of_units(slo, indicator) if slo.budgeting == "occurrences" else self._of_slices(slo, bad)
        return Loss(
            slo=slo.name,
            title=clean(slo.title or slo.name),
            lost=lost,
            units=bad.units,
            noun=indicator.noun,
            contributors=tuple(_most(found, bad.units)),
        )

    def reviews(self, state: SloState, above: float) -> list[Spend]:
        """The incidents and deployments that spent more than a share of an SLO's budget in its whole window."""
        slo = state.slo
        counts = state.counts.get(slo.window.label)
        if counts is None or slo.budgeting != "occurrences" or not losing(state, self.asked.known.indicators):
            return []
        if counts.bad <= above * float(allowed(counts, slo.target)):
            return []
        units = list(bad_units(slo, self._ledger, self.asked.at))
        charged = self._charged(units, self._found(units))
        return [
            spend
            for kind in ("incident", "deployment")
            for spend in spends_of(slo, counts, kind, {name: n for (k, name), n in charged.items() if k == kind})
            if spend.share > above
        ]

    @cached_property
    def _ledger(self) -> Ledger:
        known = self.asked.known
        return Ledger(
            indicators=known.indicators,
            observations=known.observations,
            events=known.events,
            exclusions=known.exclusions,
            organisation=known.organisation,
        )

    @cached_property
    def _outages(self) -> dict[str, list[Outage]]:
        """The incidents of a year, by service: no window of a budget that is told looks back further."""
        found: dict[str, list[Outage]] = {}
        after, until = to_micros(self.asked.at - _YEAR), to_micros(self.asked.at)
        for outage in outages(self.asked.known.events, self.asked.known.organisation, after, until):
            found.setdefault(outage.service, []).append(outage)
        return found

    def _of_units(self, slo: Slo, indicator: Indicator) -> Counter[tuple[str, str]]:
        """How many bad units of the week each contributor has."""
        week = replace(slo, window=CalendarWindow("week", zone=self.asked.week.zone.key))
        units = list(bad_units(week, self._ledger, self.asked.at))
        found = self._charged(units, self._found(units))
        for unit in units:
            found.update(self._about(unit.series, indicator))
        return found

    def _found(self, units: Iterable[BadUnit]) -> dict[str, Event]:
        return self.asked.known.events.find(sorted({event_id for unit in units for event_id in unit.ids}), CHARGED)

    def _charged(self, units: Iterable[BadUnit], events: Mapping[str, Event]) -> Counter[tuple[str, str]]:
        """Bad units by incident and deployment: those that decided, else the incident during which they happened."""
        found: Counter[tuple[str, str]] = Counter()
        for unit in units:
            own = [events[i] for i in dict.fromkeys(unit.ids) if i in events]
            incidents = {e.id: e for e in own if isinstance(e, Incident)} or self._during(unit)
            found.update(("incident", self._incident(e)) for e in incidents.values() if self._shows(e))
            found.update(("deployment", self._deployment(e)) for e in own[:1] if self._deployed(e, unit))
        return found

    def _during(self, unit: BadUnit) -> dict[str, Event]:
        service, environment = unit.series.service, unit.series.environment
        return self._known([o.id for o in self._outages.get(service, ()) if o.holds(unit.at, service, environment)])

    def _known(self, ids: Sequence[str]) -> dict[str, Event]:
        """Incidents by their ids."""
        missing = [i for i in ids if i not in self._incidents]
        if missing:
            self._incidents.update(self.asked.known.events.find(missing, CHARGED))
        return {i: self._incidents[i] for i in ids if i in self._incidents}

    def _deployed(self, event: Event, unit: BadUnit) -> bool:
        return isinstance(event, Deployment) and event.id == unit.ids[0] and self._shows(event)

    def _shows(self, event: Event) -> bool:
        """Whether it is the business of whoever is told."""
        return self.asked.concerns_service(self._service(event))

    def _service(self, event: Event) -> str:
        name = getattr(event, "service", None) or ""
        organisation = self.asked.known.organisation
        known = organisation.component(name) if isinstance(event, Incident) else organisation.deployed(name)
        return known or name

    def _incident(self, event: Event) -> str:
        """An incident by its service, its number where it has one, and when it was; never by its title."""
        assert isinstance(event, Incident)  # noqa: S101 - the caller asks for incidents
        label = line_of(event).label
        number = "" if event.id.startswith(label) else f"{label} "
        restored = event.restored_at
        # One that was open when the week ended is told as open, whenever it is asked for.
        ends = "open"
        if restored is not None and restored <= self.asked.at:
            ends = duration_text((restored - event.started_at).total_seconds())
        whose = self._service(event)
        of = f"of {whose} " if whose else ""
        return clean(f"{number}{of}on {self.asked.shown(event.started_at)}, {ends}")

    def _deployment(self, event: Event) -> str:
        return clean(f"{line_of(event).label} of {self._service(event)}")

    def _about(self, series: Series, indicator: Indicator) -> Iterator[tuple[str, str]]:
        """The label values and the service of a series."""
        values = label_values(series.dimension, len(indicator.labels)) if indicator.labels else ()
        for label, value in zip(indicator.labels, values, strict=False):
            if label and value:
                yield label, clean(value)
        if series.service and self.asked.concerns_service(series.service):
            yield "service", clean(series.service)

    def _of_slices(self, slo: Slo, bad: Bad) -> dict[tuple[str, str], float]:
        """Slices by the incidents during which they ended; whose units made them bad is not known."""
        service = slo.service or slo.owner_service
        ended = list(zip((bad.at - 1).tolist(), bad.weights.tolist(), strict=True))
        own = {
            o.id: sum(weight for at, weight in ended if o.holds(at, service, slo.environment))
            for o in self._outages.get(service, ())
        }
        events = self._known([i for i, weight in own.items() if weight])
        return {("incident", self._incident(e)): own[i] for i, e in events.items() if self._shows(e)}


def _most(found: Mapping[tuple[str, str], float], units: float) -> Iterator[Contributor]:
    """The contributors of each kind with the most bad units, at most three; kinds in a fixed order."""
    kinds = sorted(
        {kind for kind, _ in found}, key=lambda k: (_KINDS.index(k) if k in _KINDS else 2, k == "service", k)
    )
    for kind in kinds:
        own = sorted(((name, n) for (k, name), n in found.items() if k == kind), key=lambda f: (-f[1], f[0]))
        for name, n in own[:_MOST]:
            yield Contributor(kind=kind, name=name, units=float(n), share=n / units if units else 0.0)


def lifts_at(state: SloState, bad: Bad, bound: float) -> datetime | None:
    """When at the earliest an SLO's budget is no longer below a share, if nothing else goes wrong.

    Of a rolling window: once enough of its bad units, which are `bad`, have left it. None where that is not known.
    """
    slo = state.slo
    if isinstance(slo.window, CalendarWindow):
        return None
    counts = state.counts.get(slo.window.label)
    if counts is None or state.status is SloStatus.INSUFFICIENT_DATA:
        return None
    budget = float(allowed(counts, slo.target))
    left = bad.weights.sum() - np.cumsum(bad.weights)
    enough = np.flatnonzero(left <= budget * (1 - bound)) if bound else np.flatnonzero(left < budget)
    if not enough.size:
        return None
    return from_micros(int(bad.at[int(enough[0])])) + slo.window.length
