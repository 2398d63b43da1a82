"""What stands behind an alert: where the bad events of its SLO are, the newest of them, and what was deployed before.

Reads the store. Units are judged as the SLO judges them; nobody is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import numpy as np

from collector.events import Deployment
from collector.store import EventStore, ObservationStore, Series, from_micros, to_micros
from slo_engine.alerts import policy_alert_name
from slo_engine.burn import Tier, tiers_for
from slo_engine.enrich import Alert, BadEvent, Contributor, Deployed, Findings
from slo_engine.event_lines import line_of, unknown
from slo_engine.exclusions import Exclusion, Slot, counted, excluded
from slo_engine.indicator import Indicator
from slo_engine.observation import Outcome
from slo_engine.organisation import Organisation
from slo_engine.selecting import takes_in
from slo_engine.slo import Operator, Slo
from slo_engine.snapshot import SloState
from slo_engine.units import CODES, Columns, Ints, Rows, units_of
from slo_engine.windows import Window

MOST_CONTRIBUTORS = 5
MOST_EVENTS = 5
MOST_DEPLOYMENTS = 3

_COMPARE: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.GTE: np.greater_equal,
    Operator.GT: np.greater,
    Operator.LTE: np.less_equal,
    Operator.LT: np.less,
}
_GOOD, _BAD, _MEASURED = (CODES[o] for o in (Outcome.GOOD, Outcome.BAD, Outcome.MEASURED))
_NONE: Ints = np.array([], dtype=np.int64)
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What findings are made from. `base_url` is the address of Paceline, without a slash at the end; may be empty."""

    slos: Sequence[Slo]
    states: Mapping[str, SloState]
    indicators: Mapping[str, Indicator]
    tiers: Sequence[Tier]
    exclusions: Sequence[Exclusion]
    organisation: Organisation
    observations: ObservationStore
    events: EventStore
    base_url: str = ""


def find(alert: Alert, known: Known, at: datetime) -> Findings:
    """What is known about an alert at a time: of its SLO (label `slo`), and of what was deployed before it began.

    Deployments are those of the SLO's service, else of the services that contribute, else of the alert's own label
    `service`. Raises StoreError.
    """
    slo = next((s for s in known.slos if s.name == alert.labels.get("slo")), None)
    indicator = known.indicators.get(slo.indicator) if slo else None
    found = _Found()
    if slo is not None and indicator is not None and not indicator.people:  # of people nobody is listed
        span = _span(alert, slo, known, min(at, alert.ends_at or at))
        found = _bad_events(slo, indicator, span, known)
    services = _services(alert, slo, found)
    environment = (slo.environment if slo else "") or alert.labels.get("environment", "")
    return Findings(
        slo=known.states.get(slo.name) if slo else None,
        window=found.window,
        bad=found.bad,
        total=found.total,
        contributors=found.contributors,
        events=found.events,
        deployments=tuple(_deployments(services, environment, alert.starts_at, known)),
        explain_url=_explained(slo, found.window, known.base_url) if slo and indicator else None,
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The bad events of an SLO in a window."""

    window: str = ""
    bad: int = 0
    total: int = 0
    contributors: tuple[Contributor, ...] = ()
    events: tuple[BadEvent, ...] = ()


class _Span(NamedTuple):
    """After which time, up to which, in microseconds; and the rolling window that holds it."""

    after: int
    until: int
    label: str


def _span(alert: Alert, slo: Slo, known: Known, until: datetime) -> _Span:
    """Where an alert looks back to: its policy's, its tiers' longest window, or the window of the budget."""
    policies = (p.lookback for p in slo.alert_policies if policy_alert_name(p) == alert.labels.get("alertname"))
    window = next(policies, None) or _longest(alert, slo, known)
    if window is not None:
        return _Span(to_micros(until - window.length), to_micros(until), window.label)
    if isinstance(slo.window, Window):
        return _Span(to_micros(until - slo.window.length), to_micros(until), slo.window.label)
    start = slo.window.bounds(until)[0]
    return _Span(to_micros(start) - 1, to_micros(until), f"{max(ceil((until - start) / _DAY), 1)}d")


def _longest(alert: Alert, slo: Slo, known: Known) -> Window | None:
    """The longest window of the tiers of an alert's severity; None where the budget itself is alerted on."""
    if slo.alert_class != "rate":
        return None
    usable = tiers_for(slo, known.tiers, known.slos)[0]
    return max((t.long for t in usable if t.severity == alert.labels.get("severity")), default=None)


@dataclass(frozen=True)
class _Bad:
    """The bad units of a series in the order of time, and the final ones, as hashes. `why` are places in `reasons`."""

    final: Ints
    at: Ints
    unit: Ints
    why: Ints
    reasons: Sequence[str]


def _bad_events(slo: Slo, indicator: Indicator, span: _Span, known: Known) -> _Found:
    every = known.observations.series(indicator.observed_as)
    series = {n: s for n, s in every.items() if takes_in(slo.counted, indicator, s, known.organisation)}
    columns = Columns(known.observations)
    columns.prepare(series, span.after, span.until)
    judge = _Judge(slo, indicator, span, excluded(known.exclusions, slo, span.after, span.until))
    bad = {number: judge(columns, number) for number in series}
    return _Found(
        window=span.label,
        # What reached several services is listed with each, and is one event of the SLO.
        bad=_different(b.unit for b in bad.values()),
        total=_different(b.final for b in bad.values()),
        contributors=tuple(_contributors(bad, series, _Explained(slo, span.label, known.base_url))),
        events=tuple(_newest(bad, series, known)),
    )


def _different(units: Iterable[Ints]) -> int:
    """How many different units there are."""
    return int(np.unique(np.concatenate([_NONE, *units])).size)


@dataclass(frozen=True)
class _Judge:
    """Judges the units of a series as an SLO does."""

    slo: Slo
    indicator: Indicator
    span: _Span
    slots: Sequence[Slot]

    def __call__(self, columns: Columns, number: int) -> _Bad:
        """The bad units of a prepared series, and its final ones."""
        column = None if self.slo.operator is None else self.indicator.column(self.slo.dimension)
        rows = columns.rows(number).there(self.span.until)
        units = units_of(rows, self.span.until, column, columns.missing_time)
        final = (units.at > self.span.after) & (units.at <= self.span.until) & counted(units.at, self.slots)
        if self.slo.operator is None:
            final &= (units.outcome == _GOOD) | (units.outcome == _BAD)
            good = units.outcome == _GOOD
        else:
            final &= units.outcome == _MEASURED
            good = _COMPARE[self.slo.operator](units.values[0], self.slo.threshold or 0.0)
        bad = np.flatnonzero(final & ~good)
        why, reasons = self._why(rows.taken(bad), columns.reasons)
        return _Bad(rows.unit[final], rows.at[bad], rows.unit[bad], why, reasons)

    def _why(self, bad: Rows, reasons: Sequence[str]) -> tuple[Ints, Sequence[str]]:
        """Why units are bad, as far as they say: their longest part, or their reason."""
        if self.slo.operator is None or self.slo.dimension or not self.indicator.dimensions:
            return bad.reason.astype(np.int64), reasons
        dimensions = self.indicator.dimensions
        parts = np.array([bad.value(n + 1) for n in range(len(dimensions))])
        longest = np.where(np.isnan(parts), -np.inf, parts).argmax(axis=0) + 1
        known = np.where(np.isnan(parts).all(axis=0), 0, longest)
        return known, ["", *(f"mostly {name}" for name in dimensions)]


@dataclass(frozen=True)
class _Explained:
    """Makes the addresses of pages that list the units of a service and environment."""

    slo: Slo
    window: str
    base_url: str

    def __call__(self, service: str, environment: str) -> str | None:
        """The address; None where Paceline's own is not known."""
        if not self.base_url:
            return None
        chosen = {
            "service": service,
            "environment": environment,
            "team": "" if service else self.slo.counted.team,
            "dimension": self.slo.dimension,
            "label": [f"{label}={value}" for label, value in self.slo.counted.labels],
            "window": self.window,
        }
        asked = urlencode({key: value for key, value in chosen.items() if value}, doseq=True)
        return f"{self.base_url}/explain/{quote(self.slo.indicator, safe='')}" + (f"?{asked}" if asked else "")


def _explained(slo: Slo, window: str, base_url: str) -> str | None:
    return _Explained(slo, window, base_url)(slo.service, slo.environment)


def _contributors(
    bad: Mapping[int, _Bad], series: Mapping[int, Series], explained: _Explained
) -> Iterator[Contributor]:
    """By service, environment and reason, those with the most bad units first."""
    found: Counter[tuple[str, str, str]] = Counter()
    totals: Counter[tuple[str, str]] = Counter()
    for number, own in bad.items():
        who = series[number].service, series[number].environment
        totals[who] += own.final.size
        for why, count in zip(*np.unique(own.why, return_counts=True), strict=True):
            found[*who, own.reasons[why]] += int(count)
    for (service, environment, reason), count in sorted(found.items(), key=lambda i: (-i[1], i[0]))[:MOST_CONTRIBUTORS]:
        yield Contributor(
            service=service,
            environment=environment,
            reason=reason,
            bad=count,
            total=totals[service, environment],
            url=explained(service, environment),
        )


def _newest(bad: Mapping[int, _Bad], series: Mapping[int, Series], known: Known) -> Iterator[BadEvent]:
    last = (
        (int(own.at[place]), -number, place)
        for number, own in bad.items()
        for place in range(max(own.at.size - MOST_EVENTS, 0), own.at.size)
    )
    newest = [(at, -number, place) for at, number, place in nlargest(MOST_EVENTS, last)]
    names = [_name(known.observations, number, at, int(bad[number].unit[place])) for at, number, place in newest]
    stored = known.events.find(names)
    for (at, number, place), name in zip(newest, names, strict=True):
        event = stored.get(name)
        line = unknown(name) if event is None else line_of(event)
        yield BadEvent(
            at=from_micros(at),
            service=series[number].service,
            environment=series[number].environment,
            unit=f"{line.kind} {line.label}",
            reason=bad[number].reasons[bad[number].why[place]],
            url=line.url,
        )


def _name(observations: ObservationStore, number: int, at: int, hashed: int) -> str:
    """The id of a unit, of which arrays hold the hash; empty where it has gone meanwhile."""
    units = (unit for (unit,) in observations.window([number], at - 1, at, "unit"))
    return next((unit for unit in units if hash(unit) == hashed), "")


def _services(alert: Alert, slo: Slo | None, found: _Found) -> list[str]:
    """Whose deployments are looked at."""
    if slo is not None and slo.service:
        return [slo.service]
    contributing = dict.fromkeys(c.service for c in found.contributors if c.service)
    own = alert.labels.get("service") or (slo.owner_service if slo else "")
    return list(contributing) or [own] * bool(own)


def _deployments(services: Sequence[str], environment: str, before: datetime, known: Known) -> Iterator[Deployed]:
    """The last deployments of some services that finished before a time, the last first.

    Without an environment those of judged environments, or of all where none of them is judged.
    """
    organisation, events = known.organisation, known.events
    names = {n: organisation.deployed(n) or n for n in events.distinct(Deployment, "service")} if services else {}
    called = sorted(n for n, service in names.items() if service in services)
    rows = events.columns(Deployment, "finished_at", "id", "service", "environment", service=called) if called else []
    done = [row for row in rows if row[0] < to_micros(before) and environment in ("", row[3])]
    judged = [row for row in done if environment or organisation.is_judged(names[row[2]], row[3])]
    newest = nlargest(MOST_DEPLOYMENTS, judged or done)
    stored = events.find([row[1] for row in newest])
    for finished_at, event_id, name, where in newest:
        event = stored.get(event_id)
        if isinstance(event, Deployment):
            line = line_of(event)
            yield Deployed(
                at=from_micros(finished_at),
                service=names[name],
                environment=where,
                result=event.result.value,
                label=line.label,
                url=line.url,
            )
