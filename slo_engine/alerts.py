"""Alerts: burn rates of busy SLOs, budgets of those that count few events, missing data, Paceline's own health.

One alert for each severity and SLO holds all tiers of that severity: one incident is one notification, whichever tier
sees it first and whichever ends last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from slo_engine import catalog
from slo_engine.annotations import RECORDED, WHO, Links, age, annotated, budget, burn, burn_texts, events, since
from slo_engine.burn import Severity, Tier, highest_burn, plain, tiers_for
from slo_engine.recordings import (
    BAD,
    BUDGET,
    COVERAGE,
    ERROR,
    GROUP,
    LEFT_EVENTS,
    OBJECTIVE,
    PERIOD_BURN,
    PERIOD_DAYS,
    RATE,
    TOTAL,
    TOTAL_RATE,
    Scope,
    bad_events,
    limit,
)
from slo_engine.rule import Rule, bracketed, either, known
from slo_engine.slo import AlertPolicy, IndicatorSli, Operator, Slo
from slo_engine.windows import BURN_WINDOWS, Window, parse_window

PAGE, TICKET = "PlatformSloBurnPage", "PlatformSloBurnTicket"
BURN_ALERTS: dict[Severity, str] = {"page": PAGE, "ticket": TICKET}
BUDGET_ALERTS = "PlatformSloBudget"
NO_DATA, IMPOSSIBLE = "PlatformSloNoData", "PlatformSloImpossibleCounts"
POLICY_ALERTS = "PlatformSloPolicy"
DATA_OLD = "PlatformDataOld"
FEWEST_BAD_EVENTS = 2
"""One bad event alone never alerts, whatever a policy says."""

LEAST_FREE_BYTES = 512 << 20
"""Where less is left, a disk is nearly full."""
MOST_SKEW_SECONDS = 10
"""By how much clocks may differ."""
LONGEST_WAIT_SECONDS = 300
"""How long a delivery of a webhook may wait until it is written."""

_STALE_AFTER = "15m"
_OLD_SNAPSHOT_SECONDS = 900
_GROUP_GONE = "6h"
"""For how long a group that sends nothing any more is missed; then it counts as removed."""
_IMPOSSIBLE_SHARE = 0.01
"""Rates of two counters differ by rounding; more than this is a mistake of the query or of the source."""
_INFO = f"topk by (slo) (1, {known(catalog.SLO_INFO.name, 'slo, service, team, tier')})"
"""One line for each SLO, also while two replicas disagree about its labels: a second one would fail the whole rule."""
_COMPARED = {Operator.GTE: ">=", Operator.GT: ">", Operator.LTE: "<=", Operator.LT: "<"}
_HOUR = parse_window("1h")


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An alert that was asked for and is not made, and why."""

    slo: str
    alert: str
    reason: str


def burn_alerts(scope: Scope, tiers: Sequence[Tier], links: Links) -> Iterator[Rule]:
    """Multi-window, multi-burn-rate alerts of the busy SLOs; the factor follows from each SLO's own period."""
    busy = [slo for slo in scope.slos if slo.alert_class == "rate"]
    served = {t.name for slo in busy for t in tiers_for(slo, tiers, scope.slos)[0]}
    for severity in get_args(Severity):
        own = [tier for tier in tiers if tier.severity == severity and tier.name in served]
        if not own:
            continue
        conditions = (bracketed(_burns(scope, tier, tiers)) for tier in own)
        condition = f"{bracketed(either(*conditions))}\nand on (slo) {_of_class('rate')}"
        if severity == "ticket":
            condition += f"\n{_not_after_a_page(own)}"
        texts = burn_texts(scope, severity, own)
        yield _alert(BURN_ALERTS[severity], condition, severity, annotated(*texts, busy, links))


def _burns(scope: Scope, tier: Tier, tiers: Iterable[Tier]) -> str:
    """Both windows of a tier burn faster than its factor, and enough events are bad.

    Half an event less than the minimum is enough: from rates an event may count as a little less than one.
    """
    above = f"> on (slo) group_left () ({limit(tier)})"
    lines = [
        f"{ERROR}{tier.long.label} {above}",
        f"{ERROR}{tier.short.label} {above}",
        f"{bad_events(scope, tier.long)} >= {plain_half(tier.minimum_bad_events)}",
    ]
    if tier.instead_of:
        faster = next(t for t in tiers if t.name == tier.instead_of)
        lines.append(f"on (slo) ({limit(faster)}) >= 1")
    if any(slo.window.seconds < tier.long.seconds for slo in scope.slos):
        lines.append(f"on (slo) round({PERIOD_DAYS} * 86400) >= {int(tier.long.seconds)}")
    return "\nand ".join(lines)


def plain_half(minimum: int) -> str:
    """The minimum less half an event."""
    return f"{minimum - 0.5:g}"


def _not_after_a_page(tiers: Iterable[Tier]) -> str:
    """What was paged for is no news when the page is over: it is still in the ticket's windows, and ends with them."""
    page = f'ALERTS{{alertname="{PAGE}",alertstate="firing"}}'
    short = max(tier.short for tier in tiers)
    past = f"max_over_time({page}[{short.label}])\nunless on (slo, {GROUP}) {page}"
    return f"unless on (slo, {GROUP}) {bracketed(past)}"


def budget_alerts(scope: Scope, links: Links) -> Iterator[Rule]:
    """Tickets of SLOs that count few events: half, three quarters, all of the budget, and "the next one breaches"."""
    few = [slo for slo in scope.slos if slo.alert_class == "count"]
    if not few:
        return
    sure = f"and on (slo) {_of_class('count')}\n{_enough(scope)}"
    used, left = PERIOD_BURN, LEFT_EVENTS
    steps = (
        ("HalfUsed", f"{used} >= 0.5 < 0.75\nunless {left} < 1", "half of the error budget is used"),
        ("MostlyUsed", f"{used} >= 0.75 < 1\nunless {left} < 1", "three quarters of the error budget are used"),
        # Where fewer than one bad event is allowed at all, that is no news until one happened.
        ("NextBreaches", f"{used} > 0 < 1\nand {left} < 1", "the next bad event breaches the target"),
        ("Exhausted", f"{used} >= 1", "the error budget is used up"),
    )
    for name, condition, said in steps:
        texts = annotated(f"{WHO}: {said}", budget(RECORDED), few, links)
        yield _alert(f"{BUDGET_ALERTS}{name}", f"{condition}\n{sure}", "ticket", texts)


def _enough(scope: Scope) -> str:
    """Small n is said, not alarmed."""
    lines = []
    if scope.counted:
        lines.append(f'on (slo) max by (slo) ({catalog.SLO_STATUS.name}{{status="insufficient_data"}}) == 1')
    if scope.measured:
        least = known(catalog.SLO_MINIMUM_EVENTS.name)
        seen = "\nor ".join(f"{TOTAL}{w.label} < on (slo) group_left () {least}" for w in _periods(scope))
        lines += [
            f"{COVERAGE} < on (slo) group_left () {known(catalog.SLO_MINIMUM_COVERAGE.name)}",
            bracketed(seen),
        ]
    return "\n".join(f"unless {line}" for line in lines)


def _periods(scope: Scope) -> Iterable[Window]:
    return scope.periods.values()


def policy_alerts(scope: Scope, links: Links) -> Iterator[Rule]:
    """The alert policies of SLOs as alerts of their own; equal policies of several SLOs are one alert."""
    for (name, policy), slos in _policies(scope).items():
        names = "|".join(slo.name for slo in slos)
        window = policy.lookback.label
        factor = f"{plain(policy.factor)} * {BUDGET}"
        condition = (
            f'{ERROR}{window}{{slo=~"{names}"}} {_COMPARED[policy.operator]} on (slo) group_left () ({factor})\n'
            f"and {bad_events(scope, policy.lookback)} >= {plain_half(FEWEST_BAD_EVENTS)}"
        )
        said = policy.description or policy.title or policy.name
        summary = f"{WHO}: {_literal(said)} ({burn(policy.lookback)} times as fast as allowed over {window})"
        description = (
            f"{window}: {events(scope, policy.lookback)}. {since(BURN_WINDOWS[0], policy.lookback)} {budget(RECORDED)}"
        )
        texts = annotated(summary, description, slos, links)
        wait = f"{int(policy.after.total_seconds())}s" if policy.after else ""
        yield _alert(name, condition, policy.severity, texts, wait=wait)


def policy_alert_name(policy: AlertPolicy) -> str:
    """The name of the alert that a policy becomes."""
    return POLICY_ALERTS + "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", policy.name))


def _policies(scope: Scope) -> dict[tuple[str, AlertPolicy], list[Slo]]:
    found: dict[tuple[str, AlertPolicy], list[Slo]] = {}
    for slo in scope.slos:
        for policy in slo.alert_policies:
            if not policy_refusal(slo, policy, scope):
                found.setdefault((policy_alert_name(policy), policy), []).append(slo)
    return found


def policy_refusal(slo: Slo, policy: AlertPolicy, scope: Scope) -> str:
    """Why a policy of an SLO becomes no alert; empty where it does."""
    if policy.lookback.seconds < parse_window(RATE).seconds:
        return f"it looks back over {policy.lookback.label}; the shortest window that is recorded is {RATE}"
    if isinstance(slo.sli, IndicatorSli) and policy.lookback not in BURN_WINDOWS:
        counted = ", ".join(w.label for w in BURN_WINDOWS)
        return f"it looks back over {policy.lookback.label}; Paceline counts {counted}"
    highest = highest_burn(slo, scope.slos)
    if policy.operator in {Operator.GTE, Operator.GT} and policy.factor > highest:
        return f"a burn rate of {plain(policy.factor)} is out of reach: total failure burns at {plain(highest)}"
    return ""


def refused(scope: Scope, tiers: Sequence[Tier]) -> Iterator[Refused]:
    """What is not made for these SLOs, and why: tiers and policies that cannot fire."""
    for slo in scope.slos:
        if slo.alert_class == "rate":
            for dropped in tiers_for(slo, tiers, scope.slos)[1]:
                tier = dropped.tier
                alert = f"tier {tier.name} of {BURN_ALERTS[tier.severity]}"
                yield Refused(slo=slo.name, alert=alert, reason=dropped.reason)
        for policy in slo.alert_policies:
            reason = policy_refusal(slo, policy, scope)
            if reason:
                yield Refused(slo=slo.name, alert=policy_alert_name(policy), reason=reason)


def no_data_alerts(scope: Scope, links: Links) -> Iterator[Rule]:
    """Missing is its own alert, never "ok". An idle SLO counts 0 events and does not trip it."""
    window = BURN_WINDOWS[0].label
    counted = f"max by (slo) ({catalog.SLO_INFO.name})"
    there = f"({TOTAL}{window} and {BAD}{window})"
    missing = f"{counted}\nunless on (slo) {there}"
    if scope.evaluated:
        past = f"max by (slo) (last_over_time({catalog.SLO_STATUS.name}[1h]))"
        missing = f"({counted} or ({OBJECTIVE} unless on (slo) {past}))\nunless on (slo) {there}"
    if scope.composites:
        missing += f"\nunless on (slo) {known(catalog.SLO_PART_WEIGHT.name)}"
    grouped = ""
    if any(slo.group_by for slo in scope.measured):
        seen = f'last_over_time({TOTAL_RATE}{{{GROUP}!=""}}[{_GROUP_GONE}])'
        grouped = f"{seen}\nunless {TOTAL_RATE}\nand on (slo) {TOTAL_RATE}"
    description = (
        f"A source it rests on is stale, its query finds no series, or nobody computes it. {age()} "
        "Its burn rate and budget are not good, they are not known."
    )
    texts = annotated(f"{WHO} has no fresh data: its state is unknown", description, scope.slos, links)
    yield _alert(NO_DATA, either(missing, grouped), "ticket", texts, wait=_STALE_AFTER)
    if scope.measured:
        yield _impossible(scope, links)


def _impossible(scope: Scope, links: Links) -> Rule:
    """More good events than events, or fewer than no bad ones: the numbers are wrong, and alerts clamp them."""
    total, bad = f"{TOTAL}{_HOUR.label}", f"{BAD}{_HOUR.label}"
    condition = f"{bad} < -0.5 - {_IMPOSSIBLE_SHARE} * {total}\nor\n{bad} > 0.5 + {1 + _IMPOSSIBLE_SHARE} * {total}"
    description = (
        f"{events(scope, _HOUR)} in {_HOUR.label}: the queries for good, bad and all events do not fit together. "
        "Its error ratio is held between 0 and 1 for alerts; the recorded events are as measured."
    )
    texts = annotated(f"{WHO} counts what cannot be", description, scope.measured, links)
    return _alert(IMPOSSIBLE, condition, "ticket", texts, wait=_STALE_AFTER)


def health_alerts() -> Iterator[Rule]:
    """Paceline itself is watched, also without an SLO."""
    snapshot, fresh = catalog.SNAPSHOT_TIMESTAMP.name, catalog.SOURCE_FRESH.name
    yield Rule(
        alert=DATA_OLD,
        expr=f"absent({snapshot})\nor\ntime() - max({snapshot}) > {_OLD_SNAPSHOT_SECONDS}",
        wait="5m",
        labels={"severity": "ticket"},
        annotations={
            "summary": "Paceline publishes no new numbers; every SLO it computes is blind",
            "description": "Look at /readyz and the log of Paceline; check that Prometheus reaches it. SLOs that "
            "Prometheus measures go on for an hour with what was last known of them.",
        },
    )
    yield Rule(
        alert="PlatformNoEvaluator",
        expr=f"max({catalog.EVALUATOR_LEADER.name}) == 0",
        wait="2m",
        labels={"severity": "ticket"},
        annotations={
            "summary": "No replica of Paceline is the evaluator: nothing is derived, exposed or sent",
            "description": "Replicas answer and none of them holds the lease. Look at their logs, and whether they "
            "reach PostgreSQL and may write there.",
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
        alert="PlatformMetricsNotSent",
        expr=f"max by (kind) ({catalog.PUSH_SUCCESS.name}) == 0",
        wait=_STALE_AFTER,
        labels={"severity": "ticket"},
        annotations={
            "summary": "A receiver does not take the metrics that Paceline sends ({{ $labels.kind }})",
            "description": "Where only it has them, its alerts see nothing new. The log of Paceline says why.",
        },
    )
    yield from _own_alerts()
    yield Rule(
        alert="PlatformSourceRefused",
        expr=f'max by (source) ({catalog.COLLECTOR_FAILURE.name}{{kind="credentials"}}) == 1',
        wait=_STALE_AFTER,
        labels={"severity": "ticket"},
        annotations={
            "summary": "The system of source {{ $labels.source }} refuses its credentials",
            "description": "Waiting does not help: give it a token that is valid and may read what is asked. The page "
            "of the sources says which rights it needs.",
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


def _own_alerts() -> Iterator[Rule]:
    """What a process says of itself, where a person must act."""
    told: tuple[tuple[str, str, str, str, str], ...] = (
        (
            "PlatformStoreNotWritable",
            f"min({catalog.STORE_WRITABLE.name}) == 0",
            "5m",
            "Paceline cannot write its store: nothing is collected, webhooks are refused",
            "What was published stays shown. The log says why: a full disk, a database that is down, or one in use.",
        ),
        (
            "PlatformDataDiskFull",
            f"min({catalog.DATA_FREE.name}) < {LEAST_FREE_BYTES}",
            "5m",
            "The disk of Paceline's data is nearly full: {{ $value | humanize1024 }}B are left",
            "Before it is full, make room or a larger volume: then nothing can be collected, nor a webhook taken.",
        ),
        (
            "PlatformClockSkew",
            f"max(abs({catalog.STORE_CLOCK_AHEAD.name})) > {MOST_SKEW_SECONDS}",
            "5m",
            "The clocks of Paceline and its database differ by {{ $value | humanizeDuration }}",
            "Staleness and deadlines are by Paceline's clock. Look at the time service of both machines.",
        ),
        (
            "PlatformInboxBacklog",
            f"max({catalog.INBOX_OLDEST.name}) > {LONGEST_WAIT_SECONDS}",
            "5m",
            "Deliveries of webhooks wait for {{ $value | humanizeDuration }} to be written as events",
            "They are kept and not lost; numbers lack them. Look whether the store takes writes, and at the log.",
        ),
        (
            "PlatformEvaluationFails",
            f"min({catalog.EVALUATION_SUCCESS.name}) == 0",
            "10m",
            "Paceline cannot evaluate what it has: the numbers that it shows grow old",
            "The log says why. Collecting goes on, and nothing is lost: the next evaluation that works has it all.",
        ),
    )
    for name, condition, wait, summary, description in told:
        texts = {"summary": summary, "description": description}
        yield Rule(alert=name, expr=condition, wait=wait, labels={"severity": "ticket"}, annotations=texts)
    yield Rule(
        alert="PlatformReportNotDelivered",
        expr=f'max by (kind) ({catalog.REPORT_DELIVERY.name}{{status=~"retrying|failed"}}) == 1',
        wait="1h",
        labels={"severity": "ticket"},
        annotations={
            "summary": "The weekly summary does not reach {{ $labels.kind }}",
            "description": "GET /api/v1/deliveries says why. What failed is tried no more: mend it and send it with "
            "`paceline report --deliver`.",
        },
    )


def _of_class(alert_class: str) -> str:
    return known(f'{catalog.SLO_INFO.name}{{kind="{alert_class}"}}', info=catalog.SLO_INFO.name)


def _literal(text: str) -> str:
    """A person's words as a template shows them: braces are no actions."""
    return text.replace("{{", "{ {").replace("}}", "} }")


def _alert(name: str, condition: str, severity: str, annotations: dict[str, str], *, wait: str = "") -> Rule:
    """An alert with the labels that identify it: those of the condition's series and of its SLO; the value stays."""
    expr = f"{bracketed(condition)}\n* on (slo) group_left (service, team, tier) {_INFO}"
    return Rule(alert=name, expr=expr, wait=wait, labels={"severity": severity}, annotations=annotations)
