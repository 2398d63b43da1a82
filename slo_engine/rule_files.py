"""Rules as files: for Prometheus, as a PrometheusRule object, for the Mimir ruler; and what Alertmanager needs.

The same SLOs give the same text. What is not made (a tier that cannot fire, a calendar that PromQL cannot follow) is
said in a comment, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from slo_engine.alerts import BUDGET_ALERTS, PAGE, POLICY_ALERTS, TICKET, policy_alert_name, policy_refusal, refused
from slo_engine.annotations import Links
from slo_engine.burn import Tier
from slo_engine.recordings import GROUP, Scope, rolling
from slo_engine.rule import INTERVAL_SECONDS, Rule
from slo_engine.rules import Group, groups
from slo_engine.slo import Slo
from slo_engine.windows import CalendarWindow

_MADE_BY = "# Made by `paceline rules`; changes are lost."
NAMESPACE = "paceline"
_TICKETS_WAIT = "277s"
"""No multiple of an interval: Alertmanager must not look between the end of a page and that of its ticket.

Both are told in one evaluation, milliseconds apart. A group that waits for whole minutes is looked at just then, and
a ticket that was silent all the time would be sent when all is over.
"""


def render_rules(
    slos: Sequence[Slo], tiers: Sequence[Tier], links: Links | None = None, *, interval_seconds: int = INTERVAL_SECONDS
) -> str:
    """A rule file for Prometheus as YAML text."""
    made = groups(slos, tiers, links, interval_seconds=interval_seconds)
    return _text([*_head(slos, tiers), "groups:", *_listed(made, 1)])


def render_groups(made: Iterable[Group]) -> str:
    """A rule file with some groups alone."""
    return _text([_MADE_BY, "groups:", *_listed(made, 1)])


def render_prometheus_rule(
    slos: Sequence[Slo],
    tiers: Sequence[Tier],
    links: Links | None = None,
    *,
    name: str = NAMESPACE,
    labels: Mapping[str, str] | None = None,
) -> str:
    """A `PrometheusRule` object for the Prometheus operator; `labels` are those that its rule selector asks for."""
    lines = ["apiVersion: monitoring.coreos.com/v1", "kind: PrometheusRule", "metadata:", f"  name: {_quoted(name)}"]
    if labels:
        lines += ["  labels:", *(f"    {key}: {_quoted(value)}" for key, value in sorted(labels.items()))]
    lines += ["spec:", "  groups:", *_listed(groups(slos, tiers, links), 2)]
    return _text([*_head(slos, tiers), *lines])


def render_mimir(
    slos: Sequence[Slo], tiers: Sequence[Tier], links: Links | None = None, *, namespace: str = NAMESPACE
) -> str:
    """A namespace file for the Mimir ruler, as `mimirtool rules load` takes it."""
    made = groups(slos, tiers, links)
    most = max(len(group.rules) for group in made)
    note = f"# A group holds up to {most} rules: the limit ruler_max_rules_per_rule_group must allow as many."
    return _text([*_head(slos, tiers), note, f"namespace: {_quoted(namespace)}", "groups:", *_listed(made, 1)])


def render_alertmanager(slos: Sequence[Slo], *, page: str = "page", ticket: str = "ticket") -> str:
    """Inhibit rules and routes for Alertmanager; `page` and `ticket` are names of receivers in its configuration.

    Targets of alert policies are receivers too. A page inhibits the tickets of its SLO and group.
    """
    matchers = [f'alertname=~"(?:{PAGE}|{POLICY_ALERTS}.*)"', 'severity="page"']
    targets = [f'alertname=~"(?:{TICKET}|{BUDGET_ALERTS}.*|{POLICY_ALERTS}.*)"', 'severity="ticket"']
    lines = [
        _MADE_BY,
        "# One notification for an incident: while an SLO pages, its tickets are silent.",
        "inhibit_rules:",
        f"  - source_matchers: {_quoted(matchers)}",
        f"    target_matchers: {_quoted(targets)}",
        f"    equal: {_quoted(['slo', GROUP])}",
        "# Beneath your own route; the receivers are yours.",
        "route:",
        f"  receiver: {_quoted(ticket)}",
        f"  group_by: {_quoted(['slo', GROUP, 'severity'])}",
        "  routes:",
    ]
    for matcher, receiver, goes_on in (
        *_targets(slos),
        (['alertname=~"Platform.*"', 'severity="page"'], page, False),
        (['alertname=~"Platform.*"'], ticket, False),
    ):
        lines += [f"    - matchers: {_quoted(matcher)}", f"      receiver: {_quoted(receiver)}"]
        # A page may follow within minutes and silence it.
        lines += [f"      group_wait: {_TICKETS_WAIT}"] if receiver != page else []
        lines += ["      continue: true"] if goes_on else []
    return _text(lines)


def _targets(slos: Sequence[Slo]) -> Iterator[tuple[list[str], str, bool]]:
    """Where each alert policy goes, and whether it goes on to another target."""
    scope = Scope.of(slos)
    wanted = {
        (policy_alert_name(policy), policy.targets): None
        for slo in scope.slos
        for policy in slo.alert_policies
        if policy.targets and not policy_refusal(slo, policy, scope)
    }
    for name, targets in wanted:
        for target in targets:
            yield [f'alertname="{name}"'], target, target != targets[-1]


def _head(slos: Sequence[Slo], tiers: Sequence[Tier]) -> Iterator[str]:
    """Who made it, and what is not in it."""
    yield _MADE_BY
    scope = Scope.of(slos)
    for one in refused(scope, tiers):
        yield f"# {one.slo}: {one.alert} cannot fire: {one.reason}."
    for slo in scope.evaluated:
        if isinstance(slo.window, CalendarWindow):
            yield (
                f"# {slo.name}: its window is the calendar's {slo.window.label}, which no range of Prometheus follows; "
                f"its budget here is that of the last {rolling(slo).label}."
            )


def _listed(made: Iterable[Group], depth: int) -> Iterator[str]:
    for group in made:
        lines = [f"- name: {group.name}", f"  interval: {group.interval}", "  rules:"]
        lines += [f"    {line}" for rule in group.rules for line in _rendered(rule)]
        yield from (f"{'  ' * depth}{line}" for line in lines)


def _rendered(rule: Rule) -> Iterator[str]:
    yield f"- record: {rule.record}" if rule.record else f"- alert: {rule.alert}"
    yield "  expr: |-"
    yield from (f"    {line}" for line in rule.expr.splitlines())
    if rule.wait:
        yield f"  for: {rule.wait}"
    for title, values in (("labels", rule.labels), ("annotations", rule.annotations)):
        if values:
            yield f"  {title}:"
            yield from (f"    {key}: {_quoted(value)}" for key, value in values.items())


def _quoted(value: str | list[str]) -> str:
    """JSON is YAML, whatever stands in it."""
    return json.dumps(value, ensure_ascii=False)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
