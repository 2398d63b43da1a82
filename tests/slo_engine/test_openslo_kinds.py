"""All kinds of OpenSLO v1: what a file says is what the SLO has, and references hold across documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples

from collector.document import Document, read_documents
from collector.errors import ConfigError
from slo_engine.comparison import Operator
from slo_engine.openslo import load_slos, slos_of
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, TimeSlices
from slo_engine.slo import AlertPolicy, Composite, Part, Slo
from slo_engine.windows import CalendarWindow, parse_window

GOOD = Path(__file__).parent / "good"
RATIO = CounterRatio(total_query="requests_total", bad_query='requests_total{code=~"5.."}')

Read = Callable[..., list[Slo]]


def metric(spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A metric of Prometheus."""
    return {"metricSource": {"type": "Prometheus", "spec": spec} | more}


def ratio(total: str = "requests_total", bad: str = 'requests_total{code=~"5.."}') -> dict[str, Any]:
    """The spec of an SLI of two counters."""
    both = {"total": metric({"query": total}), "bad": metric({"query": bad})}
    return {"ratioMetric": {"counter": True} | both}


def threshold(**spec: str) -> dict[str, Any]:
    """The spec of an SLI with one query and a threshold."""
    return {"thresholdMetric": metric(spec)}


def thing(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """An object of any kind."""
    return {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": name} | metadata, "spec": spec}


def slo(sli: dict[str, Any] | None, *objectives: dict[str, Any], name: str = "checkout", **spec: Any) -> dict[str, Any]:
    """An SLO; without an SLI each objective has its own."""
    content = {
        "service": "shop",
        "budgetingMethod": "Occurrences",
        "timeWindow": [{"duration": "28d", "isRolling": True}],
        "objectives": list(objectives) or [{"target": "0.99"}],
    }
    return thing("SLO", name, content | ({"indicator": {"spec": sli}} if sli else {}) | spec)


def read(*documents: dict[str, Any]) -> list[Slo]:
    """The SLOs among some documents."""
    return slos_of([Document("slo.yaml", one, {}) for one in documents], {})


def mistakes(*documents: dict[str, Any]) -> list[str]:
    """What is wrong with some documents."""
    with pytest.raises(ConfigError) as caught:
        read(*documents)
    return [f"{m.path}: {m.problem}" for m in caught.value.mistakes]


# ---- SLIs


@pytest.mark.parametrize(
    ("spec", "objective", "sli"),
    [
        (ratio(), {}, RATIO),
        (
            ratio("sum(rate(a[$__window]))", "sum(rate(b[$__window]))"),
            {},
            CounterRatio(total_query="sum(rate(a[$__window]))", bad_query="sum(rate(b[$__window]))"),
        ),
        (
            threshold(histogram='latency_seconds{job="a"}'),
            {"op": "lte", "value": 0.5},
            Histogram(metric="latency_seconds", matchers='job="a"', threshold=0.5),
        ),
        (
            threshold(histogram="latency_seconds"),
            {"op": "gt", "value": 1},
            Histogram(metric="latency_seconds", threshold=1, operator=Operator.GT),
        ),
        (
            threshold(nativeHistogram="latency_seconds"),
            {"op": "lt", "value": 0.5},
            NativeHistogram(metric="latency_seconds", threshold=0.5, operator=Operator.LT),
        ),
        (threshold(boolean='probe_success{job="a"}'), {}, BooleanGauge(selector='probe_success{job="a"}')),
    ],
    ids=["selectors", "expressions", "histogram", "slow", "native", "boolean"],
)
def test_every_kind_of_promql_is_read(spec: dict[str, Any], objective: dict[str, Any], sli: object) -> None:
    """Each kind has its place in OpenSLO."""
    [found] = read(slo(spec, {"target": 0.99} | objective))

    assert (found.sli, found.promql, found.indicator) == (sli, sli, "")


def test_good_of_total_is_read() -> None:
    """The good side instead of the bad one."""
    spec = {"ratioMetric": {"counter": True, "total": metric({"query": "a"}), "good": metric({"query": "b"})}}

    [found] = read(slo(spec))

    assert found.sli == CounterRatio(total_query="a", good_query="b")


def test_an_sli_and_its_data_source_may_stand_elsewhere() -> None:
    """A named SLI is that of its object, and a metric without a type has that of its DataSource."""
    source = thing("DataSource", "metrics", {"type": "Prometheus", "connectionDetails": {"url": "http://p"}})
    sli = {"thresholdMetric": {"metricSource": {"metricSourceRef": "metrics", "spec": {"boolean": "up"}}}}

    [found] = read(slo(None, indicatorRef="probe"), thing("SLI", "probe", sli), source)

    assert found.sli == BooleanGauge(selector="up")


def test_references_hold_across_files(tmp_path: Path) -> None:
    """An object of one file is named in another."""
    (tmp_path / "a.yaml").write_text(json.dumps(slo(None, indicatorRef="errors")), encoding="utf-8")
    (tmp_path / "b.yaml").write_text(json.dumps(thing("SLI", "errors", ratio())), encoding="utf-8")

    assert [one.sli for one in load_slos(tmp_path, {})] == [RATIO]


def test_an_sli_that_nobody_names_is_checked_too() -> None:
    """A mistake in an unused object is a mistake."""
    assert mistakes(thing("SLI", "errors", {})) == ["spec: has no metric"]


def test_a_broken_sli_is_answered_once_however_many_name_it() -> None:
    """Two SLOs name one SLI with a mistake: one sentence."""
    broken = thing("SLI", "errors", ratio("a{"))
    users = [slo(None, name=name, indicatorRef="errors") for name in ("one", "two")]

    assert len(mistakes(*users, broken)) == 1


# ---- windows and budgets


@pytest.mark.parametrize(
    ("duration", "calendar", "window"),
    [
        ("1M", {"startTime": "2026-01-01 00:00:00"}, CalendarWindow("month", 1, "Europe/Berlin")),
        ("1Q", {}, CalendarWindow("quarter", 1, "Europe/Berlin")),
        ("1Y", {"startTime": "2026-01-01"}, CalendarWindow("year", 1, "Europe/Berlin")),
        ("2w", {"startTime": "2026-01-05T00:00"}, CalendarWindow("week", 2, "Europe/Berlin", date(2026, 1, 5))),
        ("3M", {"startTime": "2026-02-01 00:00"}, CalendarWindow("month", 3, "Europe/Berlin", date(2026, 2, 1))),
    ],
)
def test_calendar_windows_are_read(duration: str, calendar: dict[str, str], window: CalendarWindow) -> None:
    """`M` is a month; windows of several units count from their start, one of a single unit has no other."""
    given = {"duration": duration, "calendar": {"timeZone": "Europe/Berlin"} | calendar}

    [found] = read(slo(ratio(), timeWindow=[given]))

    assert found.window == window


@pytest.mark.parametrize(
    ("method", "objective", "slices"),
    [
        ("Timeslices", {"timeSliceTarget": 0.95, "timeSliceWindow": "1m"}, ("timeslices", "1m", Decimal("0.95"))),
        ("Timeslices", {"timeSliceTarget": 1, "timeSliceWindow": 5}, ("timeslices", "5m", Decimal(1))),
        ("RatioTimeslices", {"timeSliceWindow": "30s"}, ("ratio_timeslices", "30s", None)),
    ],
)
def test_time_slices_of_promql_wrap_its_sli(
    method: str, objective: dict[str, Any], slices: tuple[str, str, Decimal | None]
) -> None:
    """A number without a unit is minutes; the SLO's own slices stay empty."""
    [found] = read(slo(ratio(), {"target": 0.99} | objective, budgetingMethod=method))

    assert found.sli == TimeSlices(sli=RATIO, slice=slices[1], target=slices[2])
    assert (found.budgeting, found.slice, found.slice_target) == (slices[0], None, None)


def test_a_target_of_slices_is_exact(tmp_path: Path) -> None:
    """0.950 of a file does not pass through a float."""
    objective = {"target": 0.99, "timeSliceTarget": "SLICE", "timeSliceWindow": "1m"}
    text = json.dumps(slo(ratio(), objective, budgetingMethod="Timeslices")).replace('"SLICE"', "0.950")
    (tmp_path / "slo.yaml").write_text(text, encoding="utf-8")

    [found] = load_slos(tmp_path, {})

    assert isinstance(found.sli, TimeSlices)
    assert str(found.sli.target) == "0.950"


# ---- objectives


def test_several_objectives_are_several_slos() -> None:
    """Each has a name of its own from its display name or its number, and its own target."""
    found = read(slo(ratio(), {"target": 0.99, "displayName": "Most of it!"}, {"target": 0.999}))

    assert [(one.name, one.title, one.target) for one in found] == [
        ("checkout-2", "checkout: 2", Decimal("0.999")),
        ("checkout-most-of-it", "checkout: Most of it!", Decimal("0.99")),
    ]


def test_a_composite_weighs_slis_of_its_own() -> None:
    """Each objective with an SLI is an SLO and a part; the composite has the mean of their targets by weight."""
    api = {"displayName": "API", "target": "0.99", "indicator": {"spec": ratio()}, "compositeWeight": 3}
    web = {"displayName": "Web", "target": "0.95", "indicator": {"spec": threshold(boolean="up")}}

    whole, first, second = read(slo(None, api, web))

    assert whole.sli == Composite(
        parts=(Part(slo="checkout-api", weight=Decimal(3)), Part(slo="checkout-web", weight=Decimal(1)))
    )
    assert (whole.name, whole.target) == ("checkout", Decimal("0.98"))
    assert [(one.name, one.sli) for one in (first, second)] == [
        ("checkout-api", RATIO),
        ("checkout-web", BooleanGauge(selector="up")),
    ]


def other(name: str, **objective: Any) -> dict[str, Any]:
    """An objective of a composite that is another SLO."""
    source = {"metricSource": {"type": "Paceline", "spec": {"slo": name}}}
    return {"indicator": {"spec": {"ratioMetric": {"rawType": "success", "raw": source}}}} | objective


def test_a_composite_weighs_other_slos() -> None:
    """Parts may be SLOs of other documents; they keep their own targets and stay SLOs of their own."""
    parts = [other("search", compositeWeight=2), other("pay")]

    found = read(slo(None, *parts, name="journey"), slo(ratio(), name="search"), slo(ratio(), name="pay"))

    assert [one.name for one in found] == ["journey", "pay", "search"]
    assert found[0].sli == Composite(parts=(Part(slo="search", weight=Decimal(2)), Part(slo="pay", weight=Decimal(1))))


def test_a_part_is_no_composite_and_no_part_twice() -> None:
    """Composites of composites could turn in a circle."""
    journey = slo(None, other("search"), other("pay"), name="journey")
    outer = slo(None, other("journey"), other("pay"), other("pay"), name="outer")

    found = mistakes(journey, outer, slo(ratio(), name="search"), slo(ratio(), name="pay"))

    at = "spec.objectives[0].indicator.spec.ratioMetric.raw.metricSource.spec.slo"
    assert found == [
        f"{at}: there is no SLO 'journey' that can be a part",
        "spec.objectives[2]: 'pay' is a part already",
    ]


def test_a_part_has_the_window_of_its_composite() -> None:
    """Burn rates of different windows have no mean."""
    week = [{"duration": "7d", "isRolling": True}]
    parts = slo(ratio(), name="search", timeWindow=week), slo(ratio(), name="pay")

    [found] = mistakes(slo(None, other("search"), other("pay"), name="journey"), *parts)

    assert found.endswith("search has the window 7d")


# ---- settings and alerts


def test_group_review_and_promise_are_annotations() -> None:
    """Labels to group by, the day of the next review, and what was promised to others."""
    content = slo(ratio())
    content["metadata"]["annotations"] = {
        "paceline.dev/group-by": "cluster, route",
        "paceline.dev/review-at": "2026-06-30",
        "paceline.dev/sla-target": "0.950",
    }

    [found] = read(content)

    assert (found.group_by, found.review_at, found.sla_target) == (
        ("cluster", "route"),
        date(2026, 6, 30),
        Decimal("0.95"),
    )


CONDITION = {
    "severity": "page",
    "condition": {"kind": "burnrate", "op": "gt", "threshold": "14.4", "lookbackWindow": "60m", "alertAfter": "2m"},
}
POLICY = {
    "description": "Somebody must look.",
    "alertWhenBreaching": True,
    "alertWhenNoData": True,
    "conditions": [{"conditionRef": "fast"}],
    "notificationTargets": [{"targetRef": "on-call"}],
}
OBJECTS = (
    thing("AlertPolicy", "page", POLICY, displayName="Fast burn"),
    thing("AlertCondition", "fast", CONDITION),
    thing("AlertNotificationTarget", "on-call", {"target": "slack"}),
)
FAST = AlertPolicy(
    name="page",
    title="Fast burn",
    description="Somebody must look.",
    severity="page",
    operator=Operator.GT,
    factor=Decimal("14.4"),
    lookback=parse_window("1h"),
    after=timedelta(minutes=2),
    targets=("on-call",),
)


@pytest.mark.parametrize("named", ["page", {"alertPolicyRef": "page"}], ids=["name", "reference"])
def test_a_policy_is_named(named: object) -> None:
    """By its name alone, or as a reference; its condition and targets are named in it."""
    [found] = read(slo(ratio(), alertPolicies=[named]), *OBJECTS)

    assert found.alert_policies == (FAST,)


def test_a_policy_is_written_in_place() -> None:
    """Policy, condition and target inside the SLO are the same as by reference."""
    target = {"kind": "AlertNotificationTarget", "metadata": {"name": "on-call"}, "spec": {"target": "slack"}}
    condition = {"kind": "AlertCondition", "metadata": {"name": "fast"}, "spec": CONDITION}
    spec = POLICY | {"conditions": [condition], "notificationTargets": [target]}
    policy = {"kind": "AlertPolicy", "metadata": {"name": "page", "displayName": "Fast burn"}, "spec": spec}

    [found] = read(slo(ratio(), alertPolicies=[policy]))

    assert found.alert_policies == (FAST,)


def test_a_composite_keeps_the_policies_to_itself() -> None:
    """One incident in a part is one alert."""
    parts = [{"target": "0.99", "indicator": {"spec": ratio()}}, {"target": "0.99", "indicator": {"spec": ratio()}}]

    found = read(slo(None, *parts, alertPolicies=["page"]), *OBJECTS)

    assert [len(one.alert_policies) for one in found] == [1, 0, 0]


# ---- whole files


def test_good_files_are_read() -> None:
    """The files beside the bad ones hold every kind, and load."""
    found = load_slos(GOOD, {})

    assert [one.name for one in found] == [
        "checkout",
        "checkout-api",
        "checkout-web",
        "login",
        "search-most",
        "search-nearly-all",
    ]


def test_an_slo_knows_where_it_was_read() -> None:
    """File and line of its name; they make no difference between two SLOs."""
    found = next(one for one in load_slos(GOOD, {}) if one.name == "login")

    assert (Path(found.file).name, found.line) == ("login.good.yaml", 5)


EVERYTHING = [one.value for path in sorted(GOOD.glob("*.yaml")) for one in read_documents(path)]


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path of a value, below its root."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, below in pairs for found in ((*path, key), *paths_of(below, (*path, key)))]


PLACES = [(number, path) for number, one in enumerate(EVERYTHING) for path in paths_of(one)]
ODD: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 0, -1, 10**400, 0.5, "", "x", "1M", "\x00", [], {}, [[]], [5], [{}], {"a": 1}]
)


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), value=ODD)
def test_whatever_stands_at_any_place_is_read_or_refused(
    place: tuple[int, tuple[str | int, ...]], value: object
) -> None:
    """No value of any kind of object ends in another error than mistakes that say what to write."""
    documents = deepcopy(EVERYTHING)
    inner = documents[place[0]]
    for part in place[1][:-1]:
        inner = inner[part]
    inner[place[1][-1]] = value

    try:
        read(*documents)
    except ConfigError as error:
        assert str(error)  # noqa: PT017 - the law has two sides
        assert all(m.expected and m.problem for m in error.mistakes)  # noqa: PT017 - the law has two sides
