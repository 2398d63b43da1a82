"""What stands behind an alert: where the bad events of its SLO are, the newest of them, and what was deployed before.

Reads the store. Units are judged as the SLO judges them; nobody is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from math import ceil
from operator import ge, gt, le, lt
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import numpy as np
from numpy.typing import NDArray

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
from slo_engine.slo import IndicatorSli, Operator, Slo
from slo_engine.snapshot import SloState
from slo_engine.windows import Window

MOST_CONTRIBUTORS = 5
MOST_EVENTS = 5
MOST_DEPLOYMENTS = 3

_VALUES = ("value", "part_1", "part_2", "part_3", "part_4")
_COLUMNS = ("at", "unit", "outcome", "matures_at", "reason", "rule", *_VALUES)
_COMPARE = {Operator.GTE: ge, Operator.GT: gt, Operator.LTE: le, Operator.LT: lt}
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
    if slo is not None and indicator is not None:
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


class _Bad(NamedTuple):
    """A bad unit: its time in microseconds, itself, its series and why."""

    at: int
    unit: str
    series: int
    reason: str


def _bad_events(slo: Slo, indicator: Indicator, span: _Span, known: Known) -> _Found:
    every = known.observations.series(indicator.observed_as)
    series = {n: s for n, s in every.items() if _takes_in(slo.sli, s)}
    slots = excluded(known.exclusions, slo, span.after, span.until)
    judge = _Judge(slo, indicator, span, slots)
    totals: Counter[tuple[str, str]] = Counter()
    bad: list[_Bad] = []
    units: list[NDArray[np.int64]] = []
    for number, about in series.items():
        final, own = judge(number, known.observations)
        totals[about.service, about.environment] += final.size
        units.append(final)
        bad.extend(own)
    return _Found(
        window=span.label,
        # What reached several services is listed with each, and is one event of the SLO.
        bad=len({b.unit for b in bad}),
        total=int(np.unique(np.concatenate(units)).size) if units else 0,
        contributors=tuple(_contributors(bad, series, totals, _Explained(slo, span.label, known.base_url))),
        events=tuple(_newest(bad, series, known.events)),
    )


def _takes_in(sli: object, series: Series) -> bool:
    """Whether an SLI counts the units of a series."""
    return isinstance(sli, IndicatorSli) and (
        sli.service in ("", series.service) and sli.environment in ("", series.environment)
    )


@dataclass(frozen=True)
class _Judge:
    """Judges the units of a series as an SLO does."""

    slo: Slo
    indicator: Indicator
    span: _Span
    slots: Sequence[Slot]

    def __call__(self, number: int, store: ObservationStore) -> tuple[NDArray[np.int64], list[_Bad]]:
        """The hashes of the final units, and the bad ones among them."""
        rows = store.window([number], self.span.after, self.span.until, *_COLUMNS)
        kept = counted(np.array([row[0] for row in rows], dtype=np.int64), self.slots)
        final = [row for row, keep in zip(rows, kept, strict=True) if keep and self._final(row)]
        bad = [_Bad(row[0], row[1], number, self._reason(row)) for row in final if not self._good(row)]
        return np.array([hash(row[1]) for row in final], dtype=np.int64), bad

    def _value(self, row: Sequence[Any]) -> float | None:
        value: float | None = row[6 + self.indicator.column(self.slo.dimension)]
        return value

    def _final(self, row: Sequence[Any]) -> bool:
        _, _, outcome, matures_at, *_ = row
        if matures_at is not None and matures_at > self.span.until:
            return False
        if self.slo.operator is None:
            return outcome in {Outcome.GOOD, Outcome.BAD}
        return outcome == Outcome.MEASURED and self._value(row) is not None

    def _good(self, row: Sequence[Any]) -> bool:
        value = self._value(row)
        if self.slo.operator is None or value is None:
            return bool(row[2] == Outcome.GOOD)
        return bool(_COMPARE[self.slo.operator](value, self.slo.threshold or 0.0))

    def _reason(self, row: Sequence[Any]) -> str:
        """Why a unit is bad, as far as it says: its longest part, its reason, or how its events belong together."""
        parts = [(seconds, name) for name, seconds in zip(self.indicator.dimensions, row[7:], strict=False) if seconds]
        if self.slo.operator is not None and not self.slo.dimension and parts:
            return f"mostly {max(parts)[1]}"
        return str(row[4] or row[5] or "")


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
            "dimension": self.slo.dimension,
            "window": self.window,
        }
        asked = urlencode({key: value for key, value in chosen.items() if value})
        return f"{self.base_url}/explain/{quote(self.slo.indicator, safe='')}" + (f"?{asked}" if asked else "")


def _explained(slo: Slo, window: str, base_url: str) -> str | None:
    return _Explained(slo, window, base_url)(slo.service, slo.environment)


def _contributors(
    bad: Iterable[_Bad], series: Mapping[int, Series], totals: Mapping[tuple[str, str], int], explained: _Explained
) -> Iterator[Contributor]:
    """By service, environment and reason, those with the most bad units first."""
    found = Counter((series[b.series].service, series[b.series].environment, b.reason) for b in bad)
    for (service, environment, reason), count in sorted(found.items(), key=lambda i: (-i[1], i[0]))[:MOST_CONTRIBUTORS]:
        yield Contributor(
            service=service,
            environment=environment,
            reason=reason,
            bad=count,
            total=totals[service, environment],
            url=explained(service, environment),
        )


def _newest(bad: Iterable[_Bad], series: Mapping[int, Series], events: EventStore) -> Iterator[BadEvent]:
    newest = nlargest(MOST_EVENTS, bad)
    stored = events.find([b.unit for b in newest])
    for one in newest:
        event = stored.get(one.unit)
        line = unknown(one.unit) if event is None else line_of(event)
        about = series[one.series]
        yield BadEvent(
            at=from_micros(one.at),
            service=about.service,
            environment=about.environment,
            unit=f"{line.kind} {line.label}",
            reason=one.reason,
            url=line.url,
        )


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
