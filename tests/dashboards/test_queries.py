"""What follows from the text of a query: its ranges of time, what it groups by, and the labels of its result."""

from __future__ import annotations

import pytest

from dashboards.queries import (
    Range,
    counted,
    groupings,
    measure,
    panels_of,
    ranges,
    result_labels,
    substituted,
    variables_in,
    zeros,
)

LABELS = {"tea": frozenset({"slo", "window", "job"}), "cup": frozenset({"slo", "team"})}


@pytest.mark.parametrize(
    ("expr", "labels"),
    [
        ("tea", {"slo", "window", "job"}),
        ('{__name__=~"tea|cup"}', {"slo", "window", "job", "team"}),
        ("max by (slo, kind) (tea)", {"slo"}),
        ("sum without (job) (tea)", {"slo", "window"}),
        ("sum(tea)", set()),
        ("topk(3, cup)", {"slo", "team"}),
        ("rate(tea[$__rate_interval])", {"slo", "window", "job"}),
        ("max_over_time((cup)[1h:5m])", {"slo", "team"}),
        ("1 - cup", {"slo", "team"}),
        ("time() - max(cup)", set()),
        ("tea or cup", {"slo", "window", "job", "team"}),
        ("cup and on (slo) tea", {"slo", "team"}),
        ("cup / on (slo) tea", {"slo"}),
        ("cup / ignoring (team) tea", {"slo"}),
        ("tea * on (slo) group_left (team) cup", {"slo", "window", "job", "team"}),
        ("tea * on (slo) group_right (job) cup", {"slo", "team", "job"}),
        ('label_replace(cup, "part", "$1", "slo", "(.+)")', {"slo", "team", "part"}),
        ("-(cup)", {"slo", "team"}),
    ],
)
def test_the_labels_of_a_result_follow_from_the_query(expr: str, labels: set[str]) -> None:
    """Grouping, matching and functions keep, drop or add labels as Prometheus does."""
    assert result_labels(expr, LABELS.get) == frozenset(labels)


@pytest.mark.parametrize("expr", ["milk", "sum without (slo) (milk)", "tea or milk", "milk * on (slo) group_left tea"])
def test_what_nobody_knows_is_not_guessed(expr: str) -> None:
    """The labels of an unknown metric leave the result open."""
    assert result_labels(expr, LABELS.get) is None


def test_by_closes_a_result_even_of_an_unknown_metric() -> None:
    """No more than what is grouped by can be there."""
    assert result_labels("max by (slo) (milk)", LABELS.get) == frozenset({"slo"})


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("rate(tea[5m])", [Range("rate", "300s")]),
        ("increase(tea[$__rate_interval])", [Range("increase", "$__rate_interval")]),
        ("increase(tea[$__range])", [Range("increase", "$__range")]),
        ("max_over_time((tea)[$window:5m])", [Range("max_over_time", "a variable")]),
        ('tea{window="$window"}', []),
    ],
)
def test_ranges_are_known_by_their_variables(expr: str, found: list[Range]) -> None:
    """Whether a range follows the chart, the board's time, a choice, or is fixed."""
    assert ranges(expr) == found


def test_what_is_grouped_by_stands_beside_what_is_grouped() -> None:
    """Only `by` names labels that must be there; `without` may name others."""
    assert [labels for labels, _ in groupings("max by (slo) (sum without (milk) (tea))")] == [{"slo"}]


def test_groups_of_a_pattern_are_no_variables() -> None:
    """`$1` belongs to a pattern and stays; a name is a variable, with or without a format."""
    assert variables_in("$1 ${2} $slo ${team:regex}") == {"slo", "team"}
    assert substituted('"$1" $slo', {"slo": "a"}) == '"$1" a'


def test_folded_panels_are_panels() -> None:
    """What a closed row holds follows the row."""
    folded = {"title": "inside"}
    row = {"title": "row", "panels": [folded]}

    assert panels_of({"panels": [row, {"title": "below"}]}) == [row, folded, {"title": "below"}]


@pytest.mark.parametrize(
    ("expr", "measured"),
    [
        ('max by (slo) (platform_slo_objective_ratio{slo="$slo"}) > 0.9', "ratio"),
        ("sort_desc(topk(3, platform_pipeline_wait_seconds or platform_change_lead_time_seconds))", "seconds"),
        ('{__name__=~"platform_uptime_ratio|platform_change_fail_ratio"}', "ratio"),
        ('{__name__=~"platform_uptime_ratio|platform_slo_period_seconds"}', ""),
        ("1 - platform_uptime_ratio", ""),
        ("platform_slo_period_seconds / 86400", ""),
        ("time() - platform_slo_data_timestamp_seconds", ""),
        ("count(platform_uptime_ratio)", ""),
        ("rate(platform_wait_seconds[$__rate_interval])", ""),
    ],
)
def test_what_a_result_is_measured_in_follows_from_the_names(expr: str, measured: str) -> None:
    """As long as nothing is calculated that changes it."""
    assert measure(expr) == measured


def test_which_metrics_are_read_by_functions_of_counters_and_gauges() -> None:
    """Each with its function, wherever it stands."""
    expr = "sum(rate(a_total[$__rate_interval])) / (1 + max(delta(b[1h]))) + max_over_time(c[1h])"

    assert sorted(counted(expr)) == [("delta", "b"), ("rate", "a_total")]


@pytest.mark.parametrize("expr", ["a or vector(0)", "sum(a) or on () (vector(0) * 2)"])
def test_a_number_in_place_of_no_data_is_seen(expr: str) -> None:
    """A vector of one's own after `or`."""
    assert zeros(expr)


@pytest.mark.parametrize("expr", ["a or b", "vector(1) - a"])
def test_a_result_of_data_alone_is_no_zero(expr: str) -> None:
    """Another metric, or a number that is calculated with."""
    assert not zeros(expr)
