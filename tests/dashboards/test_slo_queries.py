"""Questions about SLOs that have one answer whoever measures them."""

from __future__ import annotations

from functools import partial

import pytest

from dashboards import slo_queries
from dashboards.slo_queries import BURN_WINDOWS_SHOWN
from slo_engine.promql import parsed
from slo_engine.slo import SloStatus
from slo_engine.windows import BURN_WINDOWS

CHOSEN = 'slo="checkout"'
EVERY = (
    slo_queries.left(CHOSEN),
    slo_queries.left_events(CHOSEN),
    slo_queries.covered(CHOSEN),
    slo_queries.attained(CHOSEN),
    slo_queries.burn("1h", CHOSEN),
    slo_queries.burns(CHOSEN),
    slo_queries.bad_events(CHOSEN),
    slo_queries.good_events(CHOSEN),
    slo_queries.counted(CHOSEN),
    slo_queries.statuses(CHOSEN),
    slo_queries.with_status(SloStatus.HEALTHY, about='team="/shop"'),
    slo_queries.as_parts(slo_queries.left(), "platform_slo_part_weight"),
    slo_queries.worst("bottomk", 10, partial(slo_queries.burn, "3d", ""), 'team="/shop"'),
    slo_queries.stale_sources(),
)


@pytest.mark.parametrize("expr", EVERY)
def test_every_question_is_promql(expr: str) -> None:
    """Each text parses, with and without what narrows it."""
    assert parsed(expr) is not None


def test_what_paceline_counts_comes_before_what_rules_record() -> None:
    """A recording stands in where Paceline exports nothing; the worst group stands for a grouped SLO."""
    assert slo_queries.left(CHOSEN) == (
        'max by (slo) (platform_slo_error_budget_remaining_ratio{slo="checkout"})'
        ' or min by (slo) (slo:period_error_budget_remaining:ratio{slo="checkout"})'
    )


def test_attainment_of_what_prometheus_measures_follows_from_its_burn_rate() -> None:
    """The share of bad events is the recorded burn rate times the error budget."""
    recorded = slo_queries.attained().rpartition(" or ")[2]
    assert recorded == (
        "1 - max by (slo) (slo:period_burn_rate:ratio) * on (slo) max by (slo) (slo:error_budget:ratio)"
    )


def test_burn_rates_of_several_windows_are_told_apart() -> None:
    """A recording has its window in its name; the label says it, as Paceline's own series do."""
    expr = slo_queries.burns()
    assert [w for w in BURN_WINDOWS_SHOWN if f'"window", "{w}"' in expr and f"ratio_rate{w})" in expr] == [
        "1h",
        "6h",
        "3d",
    ]


def test_burn_windows_are_published_ones() -> None:
    """The windows on the boards are among those that burn rates are exported and recorded for."""
    assert set(BURN_WINDOWS_SHOWN) <= {w.label for w in BURN_WINDOWS}


def test_a_status_is_judged_only_where_paceline_has_none() -> None:
    """What Paceline withholds, its recorded budget does not tell behind its back."""
    judged = slo_queries.statuses().split(" or ", 1)[1]
    assert judged.count("slo:period_error_budget_remaining:ratio)") == judged.count(
        "slo:period_error_budget_remaining:ratio) unless on (slo) platform_slo_status"
    ) + judged.count("unless on (slo) slo:period_error_budget_remaining:ratio)")


def test_an_alert_that_fires_puts_a_measured_slo_at_risk() -> None:
    """Half the budget is left and a burn-rate alert fires: at risk, as Paceline judges its own SLOs."""
    assert (
        'ALERTS{alertname=~"PlatformSloBurnPage|PlatformSloBurnTicket",alertstate="firing"}' in slo_queries.statuses()
    )


def test_no_slo_of_a_status_is_zero_and_no_slo_at_all_is_no_data() -> None:
    """A count of nothing would be absent: 0 times the number of SLOs stands in, which is absent without any."""
    expr = slo_queries.with_status(SloStatus.EXHAUSTED, about='team="/shop"')
    assert expr.endswith(' or 0 * count(max by (slo) (platform_slo_info{team="/shop"}))')


def test_over_time_the_same_slos_are_shown_at_each_step() -> None:
    """Those that are worst at the end: asked at each step, a chart would have ever more lines."""
    picked = "topk(5, last_over_time(((m) and on (slo) platform_slo_info{x})[1m:1m] @ end()))"
    assert slo_queries.worst("topk", 5, lambda only: f"m{only}", "x") == f"m and on (slo) {picked}"


def test_over_time_no_other_series_are_worked_on() -> None:
    """Each selector is narrowed by itself: five hundred SLOs at each of a thousand steps take seconds."""
    expr = slo_queries.left("", " and on (slo) picked")
    assert expr == (
        "max by (slo) (platform_slo_error_budget_remaining_ratio and on (slo) picked)"
        " or min by (slo) (slo:period_error_budget_remaining:ratio and on (slo) picked)"
    )


def test_parts_are_told_by_their_own_label() -> None:
    """The SLOs that are parts, and only they, under the label of the weights."""
    assert slo_queries.as_parts("m", "w", "status") == (
        'max by (part, status) (label_join(m, "part", "", "slo")) and on (part) w'
    )
