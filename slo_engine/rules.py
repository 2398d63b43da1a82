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
_INFO = f"topk by (slo) (1, max by (slo, service, team, tier) ({catalog.SLO_INFO.name}))"
"""One line for each SLO, also while two replicas disagree about its labels: a second one would fail the whole rule."""
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
    """The rules for some SLOs in any order: recordings first, then the alerts that read them.

    Without an SLO only the alerts on Paceline's own health are left.
    """
    if not slos:
        return [*_health_alerts()]
    slos = sorted(slos, key=lambda slo: slo.name)
    return [
        *_recordings(slos),
        *_burn_alerts(slos, tiers),
        *_budget_alerts(slos),
        *_no_data_alerts(slos),
        *_health_alerts(),
    ]


def _recordings(slos: Sequence[Slo]) -> Iterator[Rule]:
    yield Rule(record="slo:objective:ratio", expr=f"max by (slo) ({catalog.SLO_OBJECTIVE.name})")
    # In floats 1 - 0.9 is a little less than 0.1, and a burn rate of exactly 1 would be above 1.
    yield Rule(record="slo:error_budget:ratio", expr="round(1 - slo:objective:ratio, 1e-12)")
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
    named = {tier.name: tier for tier in tiers}
    served = {t.name for slo in slos if slo.alert_class == "rate" for t in tiers_for(slo, named.values())[0]}
    for tier in named.values():
        if tier.name not in served:
            continue
        limit, label = _limit(tier), tier.long.label
        condition = (
            f"{_ERROR}{label} > on (slo) ({limit})\n"
            f"and on (slo) {_ERROR}{tier.short.label} > on (slo) ({limit})\n"
            f"and on (slo) {_bad(tier.long)} >= {tier.minimum_bad_events}\n"
            f"and on (slo) {_of_class('rate')}"
        )
        if tier.instead_of:
            condition += f"\nand on (slo) {_limit(named[tier.instead_of])} >= 1"
        burn = _queried(f'max({catalog.SLO_BURN_RATE.name}{{slo=%q,window="{label}"}})', 'printf "%.1f"')
        summary = (
            f"{{{{ $labels.slo }}}} burns its error budget {burn} times as fast as allowed: "
            f"{{{{ $value | humanizePercentage }}}} of the events of {label} are bad"
        )
        description = f"{_events(tier.long)} {_budget()}"
        yield _alert(f"PlatformSloBurn{tier.name}", condition, tier.severity, (summary, description), slos)


def _limit(tier: Tier) -> str:
    """The share of bad events above which a tier fires: its factor times the error budget."""
    share, long = plain(tier.budget_share), int(tier.long.seconds)
    return f"{share} * slo:time_period:days * 86400 / {long} * slo:error_budget:ratio"


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
        # Where fewer than one bad event is allowed at all, that is no news until one happened.
        ("NextBreaches", f"{used} > 0 < 1\nand on (slo) {left} < 1", "the next bad event breaches the target"),
        ("Exhausted", f"{used} >= 1", "the error budget is used up"),
    )
    for name, condition, said in steps:
        summary = f"{{{{ $labels.slo }}}}: {said}"
        texts = (summary, _budget())
        yield _alert(f"PlatformSloBudget{name}", f"{condition}\n{known}", "ticket", texts, slos)


def _no_data_alerts(slos: Sequence[Slo]) -> Iterator[Rule]:
    """Missing is its own alert, never "ok". An idle SLO counts 0 events and does not trip it."""
    shortest = BURN_WINDOWS[0]
    summary = "{{ $labels.slo }} has no fresh data: its state is unknown"
    description = f"A source it rests on is stale, or Paceline does not compute it. {_age()} {_WHERE_TO_LOOK}"
    yield _alert(
        "PlatformSloNoData",
        f"max by (slo) ({catalog.SLO_INFO.name})\nunless on (slo) slo:sli_total:events{shortest.label}",
        "ticket",
        (summary, description),
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
        alert="PlatformMetricsIncomplete",
        expr=f"max({catalog.EXPOSITION_FAILED.name}) == 1",
        wait="5m",
        labels={"severity": "ticket"},
        annotations={
            "summary": "A part of Paceline's metrics could not be produced and is missing",
            "description": f"{catalog.EXPOSITION_FAILED.name} says which, the log of Paceline why.",
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


def _alert(
    name: str, condition: str, severity: str, texts: tuple[str, str], slos: Sequence[Slo], *, wait: str = ""
) -> Rule:
    """An alert with the labels that identify it; every number is in an annotation. `texts`: summary, description."""
    annotations = {"summary": texts[0], "description": texts[1]}
    runbook = "".join(
        f"{{{{ if eq $labels.slo {names} }}}}{url}{{{{ end }}}}" for url, names in sorted(_runbooks(slos).items())
    )
    if runbook:
        annotations["runbook_url"] = runbook
    return Rule(
        alert=name, expr=_labelled(condition), wait=wait, labels={"severity": severity}, annotations=annotations
    )


def _runbooks(slos: Sequence[Slo]) -> dict[str, str]:
    """The runbooks, and the SLOs of each as template literals."""
    found: dict[str, str] = {}
    for slo in slos:
        if slo.runbook:
            found[slo.runbook] = f'{found.get(slo.runbook, "")} "{slo.name}"'.strip()
    return found


_WHERE_TO_LOOK = "The events behind it: `paceline explain`, or the status page."


def _events(window: Window) -> str:
    """How many events were bad: numbers are queried when the alert is rendered."""
    bad = f'max({catalog.SLO_EVENTS.name}{{slo=%q,window="{window.label}",outcome="bad"}})'
    total = f"slo:sli_total:events{window.label}{{slo=%q}}"
    whole = 'printf "%.0f"'
    return f"{_queried(bad, whole)} bad of {_queried(total, whole)} events in {window.label}."


def _budget() -> str:
    """What is left, how long it lasts, how old the numbers are."""
    ratio = _queried("slo:period_error_budget_remaining:ratio{slo=%q}", "humanizePercentage")
    events = _queried(f"max({catalog.SLO_BUDGET_EVENTS.name}{{slo=%q}})", 'printf "%.1f"')
    lasts = _queried(
        f"min({catalog.SLO_EXHAUSTION.name}{{slo=%q}})",
        "humanizeDuration",
        before=" At the rate of the last 3 days it is used up in ",
        after=".",
        otherwise="",
    )
    return f"Error budget left: {ratio} ({events} bad events).{lasts} {_age()} {_WHERE_TO_LOOK}"


def _age() -> str:
    return f"Data age: {_queried(f'time() - max({catalog.SNAPSHOT_TIMESTAMP.name})', 'humanizeDuration')}."


def _queried(query: str, form: str, *, before: str = "", after: str = "", otherwise: str = "no value") -> str:
    """A template that shows a query's first value; `%q` in the query is the SLO."""
    escaped = query.replace('"', '\\"')
    asked = f'printf "{escaped}" $labels.slo | query' if "%q" in query else f'query "{escaped}"'
    shown = f"{before}{{{{ . | first | value | {form} }}}}{after}"
    return f"{{{{ with {asked} }}}}{shown}{{{{ else }}}}{otherwise}{{{{ end }}}}"


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
