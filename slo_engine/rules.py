"""SLOs → Prometheus recording and alerting rules: which there are, in which order and group.

For n SLOs there is a constant number of rules, two more for each SLO that Prometheus measures, and one for each
distinct alert policy. Recordings and the alerts that read them stand in one group; sums over whole SLO windows of
measured SLOs are taken less often, in a second one. Names follow the ecosystem (`slo:sli_error:ratio_rate1h` …), so
that dashboards made for them work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slo_engine.alerts import budget_alerts, burn_alerts, health_alerts, no_data_alerts, policy_alerts
from slo_engine.annotations import Links
from slo_engine.burn import Tier
from slo_engine.recordings import Scope, basics, budgets, current_burn, events, sli_recordings
from slo_engine.rule import INTERVAL, INTERVAL_SECONDS, Group, Rule, interval_of, slow_interval_of
from slo_engine.slo import Slo

__all__ = ["INTERVAL", "Group", "Links", "Rule", "groups", "rules"]

GROUP, SLOW_GROUP = "paceline", "paceline-period"


def rules(
    slos: Sequence[Slo], tiers: Sequence[Tier], links: Links | None = None, *, interval_seconds: int = INTERVAL_SECONDS
) -> list[Rule]:
    """The rules for some SLOs in any order.

    Without an SLO only the alerts on Paceline's own health are left.
    """
    return [rule for group in groups(slos, tiers, links, interval_seconds=interval_seconds) for rule in group.rules]


def groups(
    slos: Sequence[Slo], tiers: Sequence[Tier], links: Links | None = None, *, interval_seconds: int = INTERVAL_SECONDS
) -> list[Group]:
    """The rules in the groups in which they are evaluated: recordings first, then the alerts that read them.

    Who evaluates them at another interval must say so here: events are counted by it. Raises ValueError for one that
    is longer than 4 minutes.
    """
    scope, links = Scope.of(slos, interval_seconds), links or Links()
    interval = interval_of(interval_seconds)
    if not slos:
        return [Group(name=GROUP, interval=interval, rules=tuple(health_alerts()))]
    slow = bool(scope.measured)
    fast = [
        *(rule for slo in scope.measured for rule in sli_recordings(slo)),
        *basics(),
        *(rule for window in scope.short_windows() for rule in events(scope, window)),
        current_burn(),
        *(() if slow else _periods(scope)),
        *burn_alerts(scope, tiers, links),
        *policy_alerts(scope, links),
        *(() if slow else budget_alerts(scope, links)),
        *no_data_alerts(scope, links),
        *health_alerts(),
    ]
    found = [Group(name=GROUP, interval=interval, rules=tuple(fast))]
    if slow:
        rest = (*_periods(scope), *budget_alerts(scope, links))
        found.append(Group(name=SLOW_GROUP, interval=slow_interval_of(interval_seconds), rules=rest))
    return found


def _periods(scope: Scope) -> Iterator[Rule]:
    """What is recorded of the SLOs' own windows."""
    known = {window.label for window in scope.short_windows()}
    for label, window in scope.periods.items():
        if label not in known:
            yield from events(scope, window)
    yield from budgets(scope)
