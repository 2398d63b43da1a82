"""The proof of each SLO: real promtool agrees with counted events, and disagrees with rules that are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slo_engine.alert_windows import load_tiers
from slo_engine.alerts import NO_DATA, PAGE, TICKET
from slo_engine.burn import tiers_for
from slo_engine.comparison import Operator
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, TimeSlices
from slo_engine.proof import Oracle
from slo_engine.slo import AlertPolicy, Composite, IndicatorSli, Part, Sli, Slo
from slo_engine.synthetic import CannotMakeUp, Minute, stream_of
from slo_engine.verify import Run, UnitTest, Verified, promtool, said, unit_test, verify
from slo_engine.windows import parse_window

pytestmark = pytest.mark.long

TIERS = load_tiers(Path(__file__).parents[2] / "config" / "alert-windows" / "sre-workbook.yaml")


def errors(metric: str) -> CounterRatio:
    """The share of requests that fail, of a metric of its own."""
    return CounterRatio(total_query=f'{metric}{{job="api"}}', bad_query=f'{metric}{{job="api",code=~"5.."}}')


ERRORS = errors("http_requests_total")
AUTHORS = CounterRatio(total_query="sum(rate(asked_total[$__window]))", bad_query="sum(rate(failed_total[$__window]))")
POLICY = AlertPolicy(
    name="hours", severity="page", factor=Decimal(40), lookback=parse_window("2h"), after=timedelta(minutes=10)
)
INDICATOR = IndicatorSli(indicator="pipeline_success")


def slo(sli: Sli, target: str = "0.999", period: str = "30d", **more: Any) -> Slo:
    return Slo(
        title="Checkout",
        description="",
        owner_service="shop",
        target=Decimal(target),
        window=parse_window(period),
        sli=sli,
        **({"name": "checkout", "alert_class": "rate"} | more),
    )


@pytest.fixture
def run(requires_tool: Callable[[str], str]) -> Run:
    return promtool(requires_tool("promtool"))


@pytest.fixture(scope="module")
def proof() -> UnitTest:
    """What the mistakes are put into."""
    return unit_test(slo(ERRORS), TIERS)


EVERY = [
    replace(one, name=f"{type(one.sli).__name__}-{one.target}-{one.alert_class}-{one.window.label}-{number}")
    for number, one in enumerate(
        [
            slo(errors("a_requests_total")),
            slo(errors("b_requests_total"), "0.8", "28d"),
            slo(CounterRatio(total_query="c_total", good_query='c_total{outcome!="error"}'), period="90d"),
            slo(CounterRatio(total_query="d_total", bad_query="e_total"), "0.9", group_by=("cluster", "route")),
            slo(Histogram(metric="wait_seconds", matchers='job="api"', threshold=0.3)),
            slo(Histogram(metric="work_seconds", threshold=1.0, operator=Operator.GT), "0.9"),
            slo(BooleanGauge(selector="probe_success{job='login'}"), "0.9"),
            slo(TimeSlices(sli=BooleanGauge(selector='up{job="a"}'), slice="1m", target=Decimal("0.95")), "0.98"),
            slo(TimeSlices(sli=errors("f_requests_total"), slice="5m", target=Decimal("0.95")), "0.9"),
            slo(
                TimeSlices(sli=errors("g_requests_total"), slice="1m", target=Decimal("0.95")),
                "0.995",
                alert_class="count",
            ),
            slo(NativeHistogram(metric="native_seconds", threshold=0.3), "0.9"),
            slo(AUTHORS, "0.9"),
            slo(errors("h_requests_total"), alert_class="count"),
            slo(errors("i_requests_total"), "0.99", alert_class="count", alert_policies=(POLICY,)),
            slo(INDICATOR, "0.99"),
            slo(INDICATOR, "0.9", "90d", alert_class="count"),
        ]
    )
]


@pytest.fixture(scope="module")
def proven(requires_tool: Callable[[str], str]) -> dict[str, Verified]:
    """What is found of every kind of SLI, tried together."""
    return {one.slo: one for one in verify(EVERY, TIERS, promtool(requires_tool("promtool")))}


@pytest.mark.parametrize("name", [one.name for one in EVERY])
def test_prometheus_agrees_with_counted_events(name: str, proven: dict[str, Verified]) -> None:
    """For each kind of SLI every scenario gives the alerts and ratios that counting events gives."""
    result = proven[name]

    assert result.holds, said([result])
    assert {"quiet", "fast burn and recovery", "slow burn", "no data"} <= set(result.scenarios)


def tried_together(some: Sequence[Slo], answer: Callable[[dict[str, Any]], tuple[int, str]]) -> list[Verified]:
    """What is found where promtool answers so to its test."""

    def run(_: Sequence[str], folder: Path) -> tuple[int, str]:
        return answer(json.loads((folder / "test.yml").read_text(encoding="utf-8"))["tests"][0])

    return verify(some, TIERS, run)


def about(test: dict[str, Any]) -> set[str]:
    """The SLOs that a promtool test is given the target of."""
    named = (one["series"] for one in test["input_series"] if one["series"].startswith("platform_slo_objective_ratio"))
    return {series.split('"')[1] for series in named}


def test_slos_that_read_one_metric_are_tried_apart() -> None:
    """Their made-up series would be one; those of other metrics are tried with the first."""
    some = [slo(ERRORS, name="a"), slo(ERRORS, "0.9", name="b"), slo(errors("more_total"), name="c")]
    seen: set[frozenset[str]] = set()

    def answer(test: dict[str, Any]) -> tuple[int, str]:
        seen.add(frozenset(about(test)))
        return 0, ""

    tried_together(some, answer)

    assert seen == {frozenset("ac"), frozenset("b")}


def test_of_those_tried_together_the_wrong_one_is_found() -> None:
    """Where promtool disagrees, each is tried alone, and only the one that fails alone fails."""
    some = [slo(ERRORS, name="a"), slo(errors("more_total"), name="b")]

    right, wrong = tried_together(
        some, lambda test: (1, f"FAILED {sorted(about(test))}") if "b" in about(test) else (0, "")
    )

    assert right.holds
    assert {failure.detail for failure in wrong.failures} == {"FAILED ['b']"}
    assert [failure.scenario for failure in wrong.failures] == list(wrong.scenarios)


def test_what_fails_only_together_fails_for_all() -> None:
    """Rules are deployed together: that each holds alone is not enough."""
    some = [slo(ERRORS, name="a"), slo(errors("more_total"), name="b")]

    found = tried_together(some, lambda test: (1, "FAILED") if about(test) == {"a", "b"} else (0, ""))

    assert not any(one.holds for one in found)


@pytest.mark.parametrize(
    ("old", "new", "scenario"),
    [
        ("0.02 *", "0.5 *", "short burst"),  # the fast tier never fires
        ("0.05 *", "0.5 *", "medium burn"),  # nor the slow one
        ("0.1 *", "0.3 *", "slow burn"),  # nor the ticket
        ('code=~"5.."', 'code!~"5.."', "quiet"),  # good is bad
        ("or (0 * (", "or (1 * (", "quiet"),  # no errors read as all errors
        ("for: 15m", "for: 2h", "no data"),  # missing data is never said
        ("[21570s]", "[3570s]", "fast burn and recovery"),  # six hours are one
        ("rate(http", "increase(http", "fast burn and recovery"),  # events are 300 times as many
    ],
)
def test_a_mistake_in_the_rules_is_found(run: Run, proof: UnitTest, old: str, new: str, scenario: str) -> None:
    """Rules that are wrong in one place fail in the scenario that is about it."""
    about_it = json.dumps(proof.tests[scenario])

    def with_mistake(arguments: Sequence[str], folder: Path) -> tuple[int, str]:
        # What the other scenarios find as well proves nothing, and takes promtool seconds.
        if (folder / "test.yml").read_text(encoding="utf-8") != about_it:
            return 0, ""
        path = folder / "rules.yml"
        right = path.read_text(encoding="utf-8")
        assert old in right
        path.write_text(right.replace(old, new), encoding="utf-8")
        answer = run(arguments, folder)
        path.write_text(right, encoding="utf-8")
        return answer

    [result] = verify([slo(ERRORS)], TIERS, with_mistake)

    assert [failure.scenario for failure in result.failures] == [scenario]
    assert "exp:" in result.failures[0].detail
    assert not result.holds


def test_what_cannot_be_tried_is_said() -> None:
    """An author's own expression has no series that could be made up: its recordings stand in, and that is said."""
    made = unit_test(slo(AUTHORS), TIERS)

    assert made.untried == ("its own query: its query is an expression of its author",)
    assert "sum(rate(asked_total" not in made.rules


def test_a_composite_is_proven_by_its_parts() -> None:
    """A composite has no events of its own: it is not tried, and nothing reads as if it were."""
    [result] = verify([slo(Composite(parts=(Part(slo="a"), Part(slo="b"))))], TIERS, lambda *_: (0, ""))

    assert not result.holds
    assert result.untried == ("it is made of other SLOs",)


def test_the_report_has_a_line_for_each_slo() -> None:
    """What holds and what fails, in the words of promtool."""
    results = verify([slo(INDICATOR, "0.9")], TIERS, lambda *_: (1, "Unit Testing:  test.yml\n  FAILED: this"))

    assert said(results).startswith("checkout: FAILS (quiet, fast burn and recovery, no data, slow burn)\n")
    assert "  quiet: FAILED: this\n" in said(results)


# ---- the oracle

HOURS = [Minute(10, 0)] * 60 + [Minute(10, 10)] * 10 + [Minute(10, 0)] * 410


def test_the_oracle_counts_the_events_of_a_window() -> None:
    """The window that ends with a minute holds that minute, and not the one that it began with."""
    oracle = Oracle(slo(ERRORS), TIERS, HOURS)

    assert oracle.count(70, parse_window("5m")).bad == 50
    assert oracle.count(72, parse_window("5m")).bad == 30
    assert oracle.count(70, parse_window("1h")).total == 600
    assert oracle.ratio(0, parse_window("1h")) is None


def test_the_oracle_waits_as_long_as_a_policy_does() -> None:
    """A burn of 10 is held for ten minutes before its policy fires, and ends with the window."""
    policy = replace(POLICY, factor=Decimal(10), lookback=parse_window("1h"))
    firing = Oracle(slo(ERRORS, "0.99", alert_class="count", alert_policies=(policy,)), (), HOURS).firing()
    fires = [m for m, names in enumerate(firing) if "PlatformSloPolicyHours" in names]

    # Six of sixty minutes are 10 %, ten times 1 %: from minute 66, while at least six bad minutes are in the hour.
    assert (fires[0], fires[-1]) == (76, 124)


def test_the_oracle_ends_the_ticket_with_the_page() -> None:
    """Ten minutes of outage: the page is over half an hour after it, and no ticket is left over for hours."""
    firing = Oracle(slo(ERRORS), tiers_for(slo(ERRORS), TIERS)[0], HOURS).firing()

    assert [sorted(firing[m]) for m in (60, 65, 99, 100, 480)] == [[], [PAGE, TICKET], [PAGE, TICKET], [], []]


def test_missing_data_is_expected_to_be_said() -> None:
    """The scenario in which data ends asks for nothing but the alert on it."""
    test = unit_test(slo(ERRORS), TIERS).tests["no data"]
    asked = test["tests"][0]["promql_expr_test"]

    assert [s["labels"] for question in asked for s in question["exp_samples"]] == [f'{{alertname="{NO_DATA}"}}'] * 2


# ---- made-up series


def test_bad_series_are_chosen_by_the_matchers_and_good_ones_are_not() -> None:
    """The series of bad events has a code of 500 or so; the other has one that the matcher leaves out."""
    made = stream_of(ERRORS).series([Minute(10, 3)])

    assert made == {
        'http_requests_total{code="200",job="api"}': ["0", "7"],
        'http_requests_total{code="500",job="api"}': ["0", "3"],
    }


def test_the_labels_of_a_group_are_on_every_series() -> None:
    """A grouped SLO has one group, whose name joins the labels' values."""
    stream = stream_of(ERRORS, ("cluster", "job"))

    assert stream.group == "x/api"
    assert all('cluster="x"' in name for name in stream.series([Minute(10, 3)]))


@pytest.mark.parametrize(
    ("sli", "reason"),
    [
        (AUTHORS, "an expression of its author"),
        (NativeHistogram(metric="a", threshold=1.0), "native histogram"),
        (TimeSlices(sli=ERRORS, slice="30s"), "no whole minutes"),
        (CounterRatio(total_query="a_total", bad_query='a_total{code=~"[a-c]{4}z+"}'), "no example is known"),
        (CounterRatio(total_query="a_total", bad_query="a_total"), "that its matchers leave out"),
    ],
)
def test_series_that_cannot_be_made_up_are_refused(sli: Any, reason: str) -> None:
    """No guess stands in for a query that cannot be understood."""
    with pytest.raises(CannotMakeUp, match=reason):
        stream_of(sli)


def test_all_minutes_of_a_bad_slice_are_bad() -> None:
    """Slices of two minutes, the second one bad: its inner events fail from its first minute on."""
    sli = TimeSlices(sli=CounterRatio(total_query="a_total", bad_query="b_total"), slice="2m", target=Decimal("0.9"))
    made = stream_of(sli).series([Minute(0, 0), Minute(1, 0), Minute(0, 0), Minute(1, 1)])

    assert [float(v) for v in made["b_total{}"][::4]] == [0, 0, 0, 10_000, 20_000]
