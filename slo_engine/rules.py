"""SLOs → Prometheus recording and alerting rules.

The rules are generic: each serves every SLO at once, joined by the `slo` label, so their number does not grow with
the number of SLOs. They read the exact counts that Paceline exports, never a mean of ratios; they divide only by
more than 0; recordings and the alerts that read them stand in one group. Names follow the ecosystem
(`slo:sli_error:ratio_rate1h` …), so that dashboards made for them work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from slo_engine import catalog
from slo_engine.burn import Tier, plain, tiers_for
from slo_engine.slo import Slo
from slo_engine.windows import BURN_WINDOWS, Window

INTERVAL = "1m"
_STALE_AFTER = "15m"
_OLD_SNAPSHOT_SECONDS = 900
_INFO = f"max by (slo, service, team, tier) ({catalog.SLO_INFO.name})"
_ERROR = "slo:sli_error:ratio_rate"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One recording rule (`record`) or alert (`alert`)."""

    expr: str
    record: str = ""
    alert: str = ""
    wait: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def rules(slos: Sequence[Slo], tiers: Sequence[Tier]) -> list[Rule]:
    """The rules for some SLOs: recordings first, then the alerts that read them. Empty without an SLO."""
    if not slos:
        return [*_health_alerts()]
    return [
        *_recordings(slos),
        *_burn_alerts(slos, tiers),
        *_budget_alerts(slos),
        *_no_data_alerts(slos),
        *_health_alerts(),
    ]


def _recordings(slos: Sequence[Slo]) -> Iterator[Rule]:
    yield Rule(record="slo:objective:ratio", expr=f"max by (slo) ({catalog.SLO_OBJECTIVE.name})")
    yield Rule(record="slo:error_budget:ratio", expr="1 - slo:objective:ratio")
    yield Rule(record="slo:time_period:days", expr=f"max by (slo) ({catalog.SLO_PERIOD.name}) / 86400")
    periods = {slo.window.label: slo.window for slo in slos}
    for window in ({w.label: w for w in BURN_WINDOWS} | periods).values():
        yield Rule(record=f"slo:sli_total:events{window.label}", expr=_total(window))
        expr = f"{_bad(window)}\n/\n(slo:sli_total:events{window.label} > 0)"
        yield Rule(record=f"{_ERROR}{window.label}", expr=expr)
    yield Rule(record="slo:current_burn_rate:ratio", expr=f"{_ERROR}5m / slo:error_budget:ratio")
    yield Rule(record="slo:period_error_budget_remaining:ratio", expr=f"max by (slo) ({catalog.SLO_BUDGET_RATIO.name})")
    yield Rule(record="slo:period_burn_rate:ratio", expr="1 - slo:period_error_budget_remaining:ratio")


def _bad(window: Window) -> str:
    """Bad events of a window. `max`, because two replicas export the same count."""
    return f'max by (slo) ({catalog.SLO_EVENTS.name}{{window="{window.label}",outcome="bad"}})'


def _total(window: Window) -> str:
    return f'sum by (slo) (max by (slo, outcome) ({catalog.SLO_EVENTS.name}{{window="{window.label}"}}))'


def _of_class(alert_class: str) -> str:
    return f'max by (slo) ({catalog.SLO_INFO.name}{{kind="{alert_class}"}})'


def _labelled(condition: str) -> str:
    """A condition with the labels of its SLO; its value stays."""
    return f"(\n{_indented(condition)}\n)\n* on (slo) group_left (service, team, tier) {_INFO}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _burn_alerts(slos: Sequence[Slo], tiers: Iterable[Tier]) -> Iterator[Rule]:
    """Multi-window, multi-burn-rate alerts of the busy SLOs; the factor follows from each SLO's own period."""
    busy = [slo for slo in slos if slo.alert_class == "rate"]
    for tier in tiers:
        if not any(tier in tiers_for(slo, [tier])[0] for slo in busy):
            continue
        share = plain(tier.budget_share / (int(tier.long.seconds)) * 86_400)
        limit = f"on (slo) ({share} * slo:time_period:days * slo:error_budget:ratio)"
        condition = (
            f"{_ERROR}{tier.long.label} > {limit}\n"
            f"and on (slo) {_ERROR}{tier.short.label} > {limit}\n"
            f"and on (slo) {_bad(tier.long)} >= {tier.minimum_bad_events}\n"
            f"and on (slo) {_of_class('rate')}"
        )
        summary = (
            f"{{{{ $labels.slo }}}} spends its error budget {tier.name.lower()}: "
            f"{{{{ $value | humanizePercentage }}}} of the events of {tier.long.label} are bad"
        )
        yield _alert(f"PlatformSloBurn{tier.name}", condition, tier.severity, summary, slos, window=tier.long)


def _budget_alerts(slos: Sequence[Slo]) -> Iterator[Rule]:
    """Tickets of SLOs that count few events: half, three quarters, all of the budget, and "the next one breaches"."""
    if not any(slo.alert_class == "count" for slo in slos):
        return
    known = (
        f"and on (slo) {_of_class('count')}\n"
        f'unless on (slo) max by (slo) ({catalog.SLO_STATUS.name}{{status="insufficient_data"}}) == 1'
    )
    left = f"max by (slo) ({catalog.SLO_BUDGET_EVENTS.name})"
    used = "slo:period_burn_rate:ratio"
    steps = (
        ("HalfUsed", f"{used} >= 0.5 < 0.75\nunless on (slo) {left} < 1", "half of the error budget is used"),
        (
            "MostlyUsed",
            f"{used} >= 0.75 < 1\nunless on (slo) {left} < 1",
            "three quarters of the error budget are used",
        ),
        ("NextBreaches", f"{used} < 1\nand on (slo) {left} < 1", "the next bad event breaches the target"),
        ("Exhausted", f"{used} >= 1", "the error budget is used up"),
    )
    for name, condition, said in steps:
        summary = f"{{{{ $labels.slo }}}}: {said}"
        yield _alert(f"PlatformSloBudget{name}", f"{condition}\n{known}", "ticket", summary, slos)


def _no_data_alerts(slos: Sequence[Slo]) -> Iterator[Rule]:
    """Missing is its own alert, never "ok". An idle SLO counts 0 events and does not trip it."""
    shortest = BURN_WINDOWS[0]
    summary = "{{ $labels.slo }} has no fresh data: its sources are stale, its state is unknown"
    yield _alert(
        "PlatformSloNoData",
        f"max by (slo) ({catalog.SLO_INFO.name})\nunless on (slo) slo:sli_total:events{shortest.label}",
        "ticket",
        summary,
        slos,
        wait=_STALE_AFTER,
    )


def _health_alerts() -> Iterator[Rule]:
    snapshot, fresh = catalog.SNAPSHOT_TIMESTAMP.name, catalog.SOURCE_FRESH.name
    yield Rule(
        alert="PlatformDataOld",
        expr=f"absent({snapshot})\nor\ntime() - max({snapshot}) > {_OLD_SNAPSHOT_SECONDS}",
        wait="5m",
        labels={"severity": "ticket"},
        annotations={
            "summary": "Paceline publishes no new numbers; every SLO it computes is blind",
            "description": "Look at /readyz and the log of Paceline; check that Prometheus reaches it.",
        },
    )
    yield Rule(
        alert="PlatformSourceStale",
        expr=f"max by (source) ({fresh}) == 0",
        wait=_STALE_AFTER,
        labels={"severity": "ticket"},
        annotations={
            "summary": "The source {{ $labels.source }} has not been collected for too long",
            "description": "Its numbers are withheld. The status page and the log of Paceline say what failed.",
        },
    )


def _alert(  # noqa: PLR0913 - an alert in all its aspects
    name: str,
    condition: str,
    severity: str,
    summary: str,
    slos: Sequence[Slo],
    *,
    window: Window | None = None,
    wait: str = "",
) -> Rule:
    """An alert with the labels that identify it; every number is in an annotation."""
    annotations = {"summary": summary, "description": _description(window)}
    runbook = "".join(f'{{{{ if eq $labels.slo "{s.name}" }}}}{s.runbook}{{{{ end }}}}' for s in slos if s.runbook)
    if runbook:
        annotations["runbook_url"] = runbook
    return Rule(
        alert=name, expr=_labelled(condition), wait=wait, labels={"severity": severity}, annotations=annotations
    )


def _description(window: Window | None) -> str:
    """How bad, how long, what to do: numbers are queried when the alert is rendered."""
    parts = [
        "Budget left: " + _queried("slo:period_error_budget_remaining:ratio{slo=%q}", "humanizePercentage"),
        _queried(f"max({catalog.SLO_BUDGET_EVENTS.name}{{slo=%q}})", 'printf "%.1f"') + " more bad events allowed",
    ]
    if window is not None:
        bad = f'max({catalog.SLO_EVENTS.name}{{slo=%q,window="{window.label}",outcome="bad"}})'
        total = f"slo:sli_total:events{window.label}{{slo=%q}}"
        parts.append(f"{_queried(bad, 'humanize')} bad of {_queried(total, 'humanize')} events in {window.label}")
    exhaustion = _queried(f"min({catalog.SLO_EXHAUSTION.name}{{slo=%q}})", "humanizeDuration")
    parts.append(f"at this rate exhausted in: {exhaustion}")
    age = _queried(
        f"time() - max({catalog.SNAPSHOT_TIMESTAMP.name}) + 0 * max({catalog.SLO_OBJECTIVE.name}{{slo=%q}})",
        "humanizeDuration",
    )
    parts.append(f"data age: {age}")
    return "; ".join(parts) + ". The events behind it: `paceline explain`, or the status page."


def _queried(query: str, form: str) -> str:
    """A template that shows a query's first value, or says that there is none."""
    escaped = query.replace('"', '\\"')
    return (
        f'{{{{ with printf "{escaped}" $labels.slo | query }}}}{{{{ . | first | value | {form} }}}}'
        "{{ else }}no value{{ end }}"
    )


def render_rules(slos: Sequence[Slo], tiers: Sequence[Tier]) -> str:
    """The rule file as YAML text; the same SLOs give the same text.

    A tier that can never fire for a busy SLO is named in a comment, with the reason.
    """
    lines = ["# Made by `paceline rules`; changes are lost."]
    for slo in sorted(slos, key=lambda s: s.name):
        if slo.alert_class == "rate":
            lines += [
                f"# {slo.name}: PlatformSloBurn{dropped.tier.name} cannot fire: {dropped.reason}."
                for dropped in tiers_for(slo, tiers)[1]
            ]
    lines += ["groups:", "  - name: paceline", f"    interval: {INTERVAL}", "    rules:"]
    for rule in rules(slos, tiers):
        lines += [f"      {line}" for line in _rendered(rule)]
    return "\n".join(lines) + "\n"


def _rendered(rule: Rule) -> Iterator[str]:
    yield f"- record: {rule.record}" if rule.record else f"- alert: {rule.alert}"
    yield "  expr: |-"
    yield from (f"    {line}" for line in rule.expr.splitlines())
    if rule.wait:
        yield f"  for: {rule.wait}"
    for title, values in (("labels", rule.labels), ("annotations", rule.annotations)):
        if values:
            yield f"  {title}:"
            # A JSON string is a YAML string, whatever stands in it.
            yield from (f"    {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
