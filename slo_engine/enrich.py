"""An alert and what is known about it → the alert as people read it: contributors, changes before it, where to look.

Pure: the findings are given. What comes out is text without markup; whoever sends it escapes it. The alert's own
labels and annotations go through as they are; findings name units and services, never people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from slo_engine.event_lines import one_line, web_link
from slo_engine.snapshot import SloState
from slo_engine.words import duration_text, share_text

AlertStatus = Literal["firing", "resolved"]

_LINKS = {"dashboard_url": "Dashboard", "runbook_url": "Runbook"}
"""Annotations that are addresses, and what they are called."""
_NAMING = ("slo", "group", "service", "environment", "team", "severity")
"""Labels that stand under the title, in this order."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert as it came. `ends_at` is None while it fires."""

    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None = None
    fingerprint: str = ""
    generator_url: str = ""


@dataclass(frozen=True, kw_only=True)
class Contributor:
    """Where bad events are: `bad` of `total` events of a service and environment, by reason (may be empty)."""

    service: str
    environment: str
    reason: str
    bad: int
    total: int
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class BadEvent:
    """One bad event: when, whose, which unit, why, and where it can be looked at."""

    at: datetime
    service: str
    environment: str
    unit: str
    reason: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployment that finished before the alert began."""

    at: datetime
    service: str
    environment: str
    result: str
    label: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is known about an alert. Empty where its SLO is not known, or is not counted by Paceline.

    `window`: over which events were counted, as `6h`; `bad` of `total` events. `contributors` come with the most bad
    ones first, `events` the newest first, `deployments` the last first.
    """

    slo: SloState | None = None
    window: str = ""
    bad: int = 0
    total: int = 0
    contributors: tuple[Contributor, ...] = ()
    events: tuple[BadEvent, ...] = ()
    deployments: tuple[Deployed, ...] = ()
    explain_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of text, and where it may lead (http or https)."""

    text: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Section:
    """Some lines under a title."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class EnrichedAlert:
    """An alert with what is known about it, in reading order. `problem` says what could not be found."""

    alert: Alert
    findings: Findings
    title: str
    about: str
    description: str
    state: str
    sections: tuple[Section, ...]
    links: tuple[Line, ...]
    problem: str = ""


def enrich(alert: Alert, findings: Findings, problem: str = "") -> EnrichedAlert:
    """The alert with its findings as text."""
    return EnrichedAlert(
        alert=alert,
        findings=findings,
        title=one_line(alert.annotations.get("summary") or alert.labels.get("alertname") or "Alert"),
        about=_about(alert),
        description=alert.annotations.get("description", ""),
        state=_state(findings.slo) if findings.slo else "",
        sections=tuple(s for s in _sections(alert, findings) if s.lines),
        links=tuple(_links(alert, findings)),
        problem=problem,
    )


def _about(alert: Alert) -> str:
    """Name, labels that say whose it is, and since when."""
    named = (f"{name} {one_line(alert.labels[name])}" for name in _NAMING if alert.labels.get(name))
    times = f"since {_time(alert.starts_at)}"
    if alert.ends_at is not None:
        lasted = max((alert.ends_at - alert.starts_at).total_seconds(), 0.0)
        times = f"{_time(alert.starts_at)} to {_time(alert.ends_at)}, {duration_text(lasted)}"
    return " · ".join(filter(None, (one_line(alert.labels.get("alertname", "")), *named, times)))


def _state(state: SloState) -> str:
    """Where the SLO stands as Paceline computed it last."""
    slo = state.slo
    parts = [f"target {share_text(float(slo.target))} over {slo.window.label}"]
    if state.attainment is not None:
        parts.append(f"attained {share_text(state.attainment)}")
    if state.budget_remaining is not None:
        parts.append(f"error budget left {state.budget_remaining:.0%}")
    if state.time_to_exhaustion_seconds is not None:
        parts.append(f"used up in {duration_text(state.time_to_exhaustion_seconds)} at this rate")
    return f"{one_line(slo.title or slo.name)}: {', '.join(parts)}. Status: {state.status.replace('_', ' ')}."


def _sections(alert: Alert, findings: Findings) -> Iterator[Section]:
    yield Section(
        title=f"Top contributors: {findings.bad} of {findings.total} events bad in {findings.window}",
        lines=tuple(_contributor(c, findings.bad) for c in findings.contributors),
    )
    yield Section(title="Newest bad events", lines=tuple(map(_bad_event, findings.events)))
    yield Section(
        title="Last deployments before it",
        lines=tuple(_deployed(d, alert.starts_at) for d in findings.deployments),
    )


def _contributor(found: Contributor, bad: int) -> Line:
    share = f", {found.bad / bad:.0%} of the bad ones" if bad else ""
    why = f" ({one_line(found.reason)})" if found.reason else ""
    return Line(text=f"{_whose(found)}{why}: {found.bad} of {found.total} bad{share}", url=web_link(found.url))


def _bad_event(event: BadEvent) -> Line:
    why = f" ({one_line(event.reason)})" if event.reason else ""
    return Line(text=f"{_time(event.at)} {_whose(event)}: {one_line(event.unit)}{why}", url=web_link(event.url))


def _deployed(found: Deployed, before: datetime) -> Line:
    ago = duration_text(max((before - found.at).total_seconds(), 0.0))
    text = f"{ago} before, {_time(found.at)}: {one_line(found.label)} of {_whose(found)}, {one_line(found.result)}"
    return Line(text=text, url=web_link(found.url))


def _whose(found: Contributor | BadEvent | Deployed) -> str:
    return one_line("/".join(filter(None, (found.service, found.environment)))) or "no service"


def _links(alert: Alert, findings: Findings) -> Iterator[Line]:
    """Where to look, the explanation first; what is no web address is left out."""
    explained = findings.explain_url or alert.annotations.get("explain_url")
    found = {"Explain": explained, **{text: alert.annotations.get(name) for name, text in _LINKS.items()}}
    found["Source"] = alert.generator_url
    for text, url in found.items():
        link = web_link(url)
        if link is not None:
            yield Line(text=text, url=link)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def as_json(enriched: EnrichedAlert) -> dict[str, Any]:
    """What was found, for programs. Times are ISO 8601 in UTC; what is not known is null or empty."""
    findings = enriched.findings
    state = findings.slo
    return {
        "slo": None if state is None else _slo_json(state),
        "window": findings.window,
        "bad": findings.bad,
        "total": findings.total,
        "contributors": [_fields(c) for c in findings.contributors],
        "bad_events": [_fields(e) for e in findings.events],
        "deployments": [_fields(d) for d in findings.deployments],
        "explain_url": findings.explain_url or enriched.alert.annotations.get("explain_url"),
        "problem": enriched.problem,
    }


def _slo_json(state: SloState) -> dict[str, Any]:
    return {
        "name": state.slo.name,
        "title": state.slo.title,
        "target": float(state.slo.target),
        "window": state.slo.window.label,
        "status": state.status.value,
        "attainment": state.attainment,
        "error_budget_remaining_ratio": state.budget_remaining,
        "error_budget_remaining_events": state.budget_remaining_events,
        "time_to_exhaustion_seconds": state.time_to_exhaustion_seconds,
        "burn_rates": dict(state.burn_rates),
    }


def _fields(found: Contributor | BadEvent | Deployed) -> dict[str, Any]:
    return {k: v.astimezone(UTC).isoformat() if isinstance(v, datetime) else v for k, v in vars(found).items()}
