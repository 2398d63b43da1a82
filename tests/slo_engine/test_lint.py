"""Lint: what is well formed and still will not do what its author wants; each with what to write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import ContractError, RetryableError, SourceError
from slo_engine.alert_windows import load_tiers
from slo_engine.backtest import backtest
from slo_engine.lint import Finding, as_json, lint, lint_past, lint_rules, rules_in, usual
from slo_engine.lint_server import lint_server
from slo_engine.observation import to_micros
from slo_engine.prometheus_api import data_of, duration, label_values, query, retention, scrape_intervals
from slo_engine.promql import CounterRatio, TimeSlices
from slo_engine.replay import History
from slo_engine.rule import Rule
from slo_engine.rules import rules
from slo_engine.slo import AlertPolicy, Composite, EventCounts, IndicatorSli, Part, Slo, SloStatus
from slo_engine.snapshot import SloState
from slo_engine.windows import parse_window

SHIPPED = Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml"
TIERS = load_tiers(SHIPPED)
TODAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def slo(target: str = "0.999", window: str = "30d", **more: Any) -> Slo:
    return Slo(
        **{
            "name": "checkout",
            "title": "Checkout",
            "description": "",
            "owner_service": "shop",
            "target": Decimal(target),
            "window": parse_window(window),
            "sli": CounterRatio(total_query="asked_total", bad_query='asked_total{code="500"}'),
            "alert_class": "rate",
            "file": "slo.yaml",
            "line": 3,
            **more,
        }
    )


def codes(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in found]


def said(found: list[Finding], code: str) -> list[tuple[str, str]]:
    return [(f.problem, f.write) for f in found if f.code == code]


# ---- files


def test_an_slo_without_a_fault_has_no_finding() -> None:
    """A busy SLO with a future review and enough traffic is left in peace."""
    fine = slo(review_at=date(2026, 4, 1))

    assert lint([fine], TIERS, TODAY, {"checkout": 10.0}) == []


def test_a_finding_says_where_what_and_what_to_write() -> None:
    """The form that editors jump to."""
    [found] = lint([slo(review_at=date(2026, 2, 1))], TIERS, TODAY)

    assert str(found) == (
        "slo.yaml:3: warning: checkout: its review was due on 2026-02-01, 29 days ago; "
        "write the day of the next review, once it was reviewed [review-overdue]"
    )


@pytest.mark.parametrize("day", [date(2026, 3, 2), date(2026, 3, 3)])
def test_a_review_is_overdue_after_its_day(day: date) -> None:
    """On the day itself there is still time."""
    assert lint([slo(review_at=day)], TIERS, TODAY) == []


def test_a_tier_that_cannot_fire_says_which_stands_in() -> None:
    """At 80 % two tiers are dead; the one that is replaced is no loss."""
    found = lint([slo("0.8")], TIERS, TODAY)

    assert codes(found) == [("tier-cannot-fire", "warning"), ("tier-cannot-fire", "info")]
    assert said(found, "tier-cannot-fire") == [
        (
            (
                "tier Fast (page) cannot fire: a burn rate above 14.4 is out of reach: "
                "with a target of 0.8 total failure burns at 5"
            ),
            "a target above 0.9306, or leave it to the other tiers",
        ),
        (
            (
                "tier Slow (page) cannot fire: a burn rate above 6 is out of reach: "
                "with a target of 0.8 total failure burns at 5; Daily stands in for it"
            ),
            "a target above 0.8334, or leave it to the other tiers",
        ),
    ]


@given(st.decimals(min_value="0.01", max_value="0.99", places=2), st.sampled_from(["7d", "28d", "30d", "90d"]))
def test_the_target_that_is_advised_lets_the_tier_fire(target: Decimal, window: str) -> None:
    """Who writes what a finding says has no such finding any more."""
    found = said(lint([slo(str(target), window)], TIERS[:1], TODAY), "tier-cannot-fire")
    advised = [Decimal(write.split()[3].rstrip(",")) + Decimal("0.0001") for _, write in found]

    assert [lint([slo(str(better), window)], TIERS[:1], TODAY) for better in advised] == [[] for _ in advised]


def test_an_slo_that_cannot_page_is_an_error() -> None:
    """At 10 % no page tier is left at all."""
    found = lint([slo("0.1")], TIERS, TODAY)

    assert ("no-page", "error") in codes(found)


def test_a_tier_beyond_the_window_asks_for_a_longer_one() -> None:
    """Three days are longer than a window of one."""
    found = lint([slo("0.999", "1d")], TIERS, TODAY)

    assert said(found, "tier-cannot-fire") == [
        (
            "tier Steady (ticket) cannot fire: it looks back over 3d, further than the SLO's window of 1d",
            "a window of 3d or more",
        )
    ]


def test_count_slos_have_no_tiers_to_miss() -> None:
    """A count SLO has budget alerts alone."""
    assert lint([slo("0.5", alert_class="count")], TIERS, TODAY, {"checkout": 0.0001}) == []


def test_a_composite_is_told_what_its_parts_can_burn() -> None:
    """What total failure of the parts burns at decides, and their targets are what to change."""
    parts = [slo("0.8", name="a"), slo("0.8", name="b", sli=IndicatorSli(indicator="wait"))]
    whole = slo("0.99", name="whole", sli=Composite(parts=(Part(slo="a"), Part(slo="b"))))

    found = [f for f in lint([*parts, whole], TIERS, TODAY) if f.slo == "whole"]

    assert found[0].write == "higher targets of its parts: they burn at 5 at most, and 14.4 must be exceeded"


def test_a_policy_that_cannot_fire_is_an_error() -> None:
    """An alert policy with a factor that total failure does not reach."""
    policy = AlertPolicy(name="own", severity="page", factor=Decimal(21), lookback=parse_window("1h"))

    found = lint([slo("0.95", alert_policies=(policy,))], TIERS, TODAY)

    assert said(found, "policy-cannot-fire") == [
        (
            (
                "alert policy own becomes no alert PlatformSloPolicyOwn: "
                "a burn rate of 21 is out of reach: total failure burns at 20"
            ),
            "a threshold and lookbackWindow within these bounds",
        )
    ]


def test_two_slos_on_the_same_events_are_told() -> None:
    """One incident would alert twice; the other one is named with its place."""
    found = lint([slo(), slo("0.99", name="other", line=40)], TIERS, TODAY)

    assert [(f.slo, f.problem) for f in found if f.code == "same-query"] == [
        ("other", "it counts the same events as checkout (slo.yaml:3): one incident alerts for both")
    ]


def test_slos_that_count_in_another_way_are_two() -> None:
    """Another grouping, another threshold or slices are other events."""
    sliced = TimeSlices(sli=slo().sli, slice="1m", target=Decimal("0.9"))  # type: ignore[arg-type] # a counter's
    some = [slo(), slo(name="b", group_by=("route",)), slo(name="c", sli=sliced)]

    assert lint(some, TIERS, TODAY) == []


@pytest.mark.parametrize(
    ("query", "write"),
    [
        ('latency_bucket{le="1"}', 'le=~"1|1[.]0"'),
        ('sum(rate(latency_bucket{le="1.0"}[$__window]))', 'le=~"1|1[.]0"'),
    ],
)
def test_a_bucket_in_one_way_of_writing_is_told(query: str, write: str) -> None:
    """`le="1"` and `le="1.0"` both match."""
    sli = CounterRatio(total_query="latency_count", good_query=query)

    found = lint([slo(sli=sli)], TIERS, TODAY)

    assert [w for _, w in said(found, "bucket-spelling")] == [f"{write}, or thresholdMetric with histogram"]


@pytest.mark.parametrize("matcher", ['le=~"1|1[.]0"', 'le="0.5"', 'le="+Inf"', 'le!="1"'])
def test_a_bucket_that_is_found_however_it_is_written_is_fine(matcher: str) -> None:
    """A matcher of both ways, or a bound that has only one."""
    sli = CounterRatio(total_query="latency_count", good_query=f"latency_bucket{{{matcher}}}")

    assert lint([slo(sli=sli)], TIERS, TODAY) == []


# ---- traffic


def test_few_events_are_no_traffic_for_burn_rates() -> None:
    """Fewer than 30 in a normal 6 h: the class is count."""
    found = lint([slo("0.9")], TIERS, TODAY, {"checkout": 29 / 21_600})

    assert said(found, "few-events") == [
        (
            "it has 29 events in a normal 6 h; burn rates need 30",
            "paceline.dev/alert-class: count, or an SLI with more events",
        )
    ]


def test_thirty_events_are_enough() -> None:
    """The bound itself is no finding."""
    assert said(lint([slo("0.9")], TIERS, TODAY, {"checkout": 30 / 21_600}), "few-events") == []


def test_one_event_that_only_the_minimum_keeps_from_paging_is_told() -> None:
    """20 events an hour at 99.9 %: one failure burns 50 times as fast as allowed."""
    found = lint([slo()], TIERS, TODAY, {"checkout": 20 / 3600})

    assert said(found, "one-event-pages") == [
        (
            (
                "it has 20 events in a normal 1h: one bad event burns faster than tier Fast allows, "
                "and only its minimum of 3 bad events keeps it from paging"
            ),
            "paceline.dev/alert-class: count, or a higher minimum_bad_events of the tier",
        )
    ]
    assert codes(found) == [("one-event-pages", "warning")]


def test_one_event_that_would_page_alone_is_an_error() -> None:
    """A tier without a minimum pages for one failure."""
    reckless = [replace(tier, minimum_bad_events=1) for tier in TIERS]

    assert codes(lint([slo()], reckless, TODAY, {"checkout": 20 / 3600})) == [("one-event-pages", "error")]


def test_busy_traffic_needs_no_minimum() -> None:
    """With 1 000 events an hour at 99.9 % one failure is far below each tier."""
    assert lint([slo()], TIERS, TODAY, {"checkout": 1000 / 3600}) == []


def state(counts: Mapping[str, EventCounts], coverage: float) -> SloState:
    return SloState(
        slo=slo(),
        status=SloStatus.HEALTHY,
        why="",
        counts=counts,
        attainment=None,
        budget_remaining=None,
        budget_remaining_events=None,
        burn_rates={},
        time_to_exhaustion_seconds=None,
        coverage=coverage,
        totals=EventCounts(),
    )


def test_usual_traffic_is_that_of_the_longest_window_that_is_known() -> None:
    """Where 28 days are known their events count; with a third of a month those of a week."""
    counts = {"28d": EventCounts(28 * 86_400, 0), "7d": EventCounts(0, 2 * 7 * 86_400)}

    assert usual([state(counts, 1.0)]) == {"checkout": 1.0}
    assert usual([state(counts, 0.33)]) == {"checkout": 2.0}


def test_traffic_that_nobody_counted_is_not_guessed() -> None:
    """Without a whole day nothing is usual."""
    assert usual([state({}, 1.0), state({"7d": EventCounts(9, 0)}, 0.01)]) == {}


# ---- rules


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("{{ $value }}", "error"),
        ("{{ $value | humanizePercentage }}", "error"),
        ('{{ printf "%.2f" .Value }}', "error"),
        ('{{ with query "up" }}{{ . }}{{ end }}', "error"),
        ("14.4", "warning"),
        ("99.9 %", "warning"),
    ],
)
def test_a_number_in_a_label_of_an_alert_is_told(value: str, severity: str) -> None:
    """Each new value would be a new alert."""
    found = lint_rules([Rule(alert="Burning", expr="up", labels={"severity": "page", "burn": value})], "rules.yml")

    assert [(f.file, f.code, f.severity) for f in found] == [("rules.yml", "number-in-label", severity)]
    assert "in its label burn" in found[0].problem


@pytest.mark.parametrize("value", ["page", "{{ $labels.slo }}", "v2", "http2", ""])
def test_a_label_that_says_which_alert_it_is_is_fine(value: str) -> None:
    """Words and labels of the series are identity."""
    assert lint_rules([Rule(alert="Burning", expr="up", labels={"which": value})]) == []


def test_recordings_have_no_label_to_lint() -> None:
    """A recording is no alert."""
    assert lint_rules([Rule(record="a:b:c", expr="up", labels={"quantile": "0.9"})]) == []


def test_our_own_rules_have_no_number_in_a_label() -> None:
    """Of all kinds of SLOs."""
    some = [slo(), slo("0.99", name="few", alert_class="count"), slo(name="own", sli=IndicatorSli(indicator="wait"))]

    assert lint_rules(rules(some, TIERS)) == []


def test_rules_are_found_in_files_and_in_objects() -> None:
    """A rule file and a PrometheusRule hold the same groups."""
    groups = {"groups": [{"name": "a", "rules": [{"alert": "X", "expr": "up", "labels": {"n": 1}}]}, {"name": "b"}]}

    assert rules_in(groups) == rules_in({"kind": "PrometheusRule", "spec": groups})
    assert [(r.alert, r.labels) for r in rules_in(groups)] == [("X", {"n": "1"})]


@pytest.mark.parametrize("content", [{}, {"groups": "a"}, {"groups": [1]}, {"spec": 1}])
def test_a_file_without_groups_of_rules_is_refused(content: Mapping[str, Any]) -> None:
    """What is no rule file says what was expected."""
    with pytest.raises(ValueError, match="expected a rule file or a PrometheusRule"):
        rules_in(content)


# ---- the past


def past(asked: Slo, bad_of_each: int) -> Any:
    """Four weeks of 1 000 events a day, of which some are bad."""
    days = 28
    at = np.array([to_micros(NOW - timedelta(days=d, seconds=80 * k)) for d in range(days) for k in range(1000)])
    good = np.array([float(k >= bad_of_each) for _ in range(days) for k in range(1000)])
    known = History.of(at, good, 1 - good, to_micros(NOW - timedelta(days=days)), to_micros(NOW))
    return backtest(asked, known, TIERS)


def test_a_target_that_was_never_met_is_told_with_one_that_could_be() -> None:
    """1 % of failures every day never meet 99.9 %."""
    [found] = lint_past(past(slo("0.999", "7d"), 10))

    assert (found.code, found.severity) == ("never-met", "info")
    assert found.problem == "its target was missed in each of the last 4 windows of 7d"
    assert found.write == "a target of 0.987, which the past could keep"


def test_a_target_that_was_never_missed_is_told_with_a_tighter_one() -> None:
    """0.1 % of failures every day always meet 99 %."""
    [found] = lint_past(past(slo("0.99", "7d"), 1))

    assert (found.code, found.severity) == ("never-missed", "info")
    assert found.write.startswith("a target up to 0.99")


@pytest.mark.parametrize(("target", "window"), [("0.99", "14d"), ("0.999", "7d")])
def test_a_past_that_says_little_is_no_finding(target: str, window: str) -> None:
    """Two windows are too few; and a target as tight as the past allows is as it should be."""
    assert lint_past(past(slo(target, window), 1)) == []


def test_findings_are_json() -> None:
    """Programs read the same."""
    found = lint([slo("0.8")], TIERS, TODAY)

    assert json.loads(json.dumps(as_json(found)))[0]["code"] == "tier-cannot-fire"


# ---- the shapes of a server's answers


class Refusing:
    """A server that answers by the start of the path; an error is raised."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __call__(self, path: str) -> Any:
        """The answer that was given for the path, else no series."""
        name = path.partition("?")[0].replace("/", "_")
        answer = self._answers.get(name, {"resultType": "vector", "result": []})
        if isinstance(answer, Exception):
            raise answer
        return answer


FACTS = {
    "status_runtimeinfo": {"storageRetention": "90d"},
    "targets": {"activeTargets": []},
    "label___name___values": [],
}


def test_what_a_server_does_not_tell_is_said() -> None:
    """Not every server that speaks PromQL tells of retention and targets: that is no fault of the SLO."""
    server = Refusing(**FACTS | {"status_runtimeinfo": SourceError("404"), "targets": None})

    found = [f for f in lint_server([slo()], TIERS, server, NOW) if f.code == "not-checked"]

    assert [(f.severity, f.problem.partition(":")[0]) for f in found] == [
        ("info", "the server does not tell for how long it keeps data"),
        ("info", "the server does not tell how often it scrapes"),
    ]


def test_a_query_that_the_server_refuses_is_a_finding() -> None:
    """One SLO's query does not end the lint of the others."""
    server = Refusing(**FACTS | {"query": SourceError("422")})

    found = lint_server([slo(), slo(name="other")], TIERS, server, NOW)

    assert [(f.slo, f.code, f.severity) for f in found] == [
        ("checkout", "query-refused", "error"),
        ("other", "query-refused", "error"),
    ]


@pytest.mark.parametrize("place", ["query", "status_runtimeinfo", "targets"])
def test_a_server_that_does_not_answer_is_no_finding(place: str) -> None:
    """Nothing is known of the SLOs then: the caller hears why."""
    with pytest.raises(RetryableError):
        lint_server([slo()], TIERS, Refusing(**FACTS | {place: RetryableError("503")}), NOW)


def test_slos_on_indicators_ask_no_server() -> None:
    """Where nothing is measured by Prometheus it is not even asked for its facts."""
    own = slo(sli=IndicatorSli(indicator="wait"))

    assert lint_server([own], TIERS, Refusing(status_runtimeinfo=RetryableError("503")), NOW) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("15d", timedelta(days=15)),
        ("1m30s", timedelta(seconds=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("1y2w", timedelta(days=379)),
        ("0s", None),
        ("10GiB", None),
        ("", None),
    ],
)
def test_durations_are_read_as_prometheus_writes_them(text: str, found: timedelta | None) -> None:
    """Compound ones too; endless and sizes are none."""
    assert duration(text) == found


@pytest.mark.parametrize(
    ("text", "found"), [("15d", timedelta(days=15)), ("30d or 10GiB", timedelta(days=30)), ("10GiB", None)]
)
def test_retention_is_the_time_where_there_is_one(text: str, found: timedelta | None) -> None:
    """A server that is bounded by size keeps data for no fixed time."""
    assert retention(lambda _: {"storageRetention": text}) == found


@pytest.mark.parametrize(
    "asked",
    [
        lambda: query(lambda _: {"resultType": "vector", "result": [{}]}, "up"),
        lambda: query(lambda _: "text", "up"),
        lambda: label_values(lambda _: [1], "le"),
        lambda: scrape_intervals(lambda _: {"activeTargets": [{}]}),
        lambda: scrape_intervals(lambda _: None),
        lambda: retention(lambda _: {}),
        lambda: data_of({"status": "error"}),
        lambda: data_of([]),
    ],
)
def test_an_answer_of_another_shape_is_a_broken_contract(asked: Any) -> None:
    """Guessing would invent numbers."""
    with pytest.raises(ContractError, match="the Prometheus API answered"):
        asked()


def test_the_data_of_a_successful_answer_are_what_is_asked_for() -> None:
    """`data` beside `status: success`."""
    assert data_of({"status": "success", "data": [1]}) == [1]
