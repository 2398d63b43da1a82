"""SLO files: what loads is exact, and each mistake is answered in one sentence that says what to write."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples

from collector.document import read_documents
from collector.errors import ConfigError, Mistake
from slo_engine.indicator import Indicator, Shape, indicators
from slo_engine.openslo import load_slos
from slo_engine.slo import IndicatorSli, Operator, Slo
from slo_engine.windows import parse_window

BAD = Path(__file__).parent / "bad"
SHIPPED = Path(__file__).parents[2] / "config" / "slos" / "merge-to-production.yaml"


def indicator(name: str, shape: Shape, *dimensions: str) -> Indicator:
    return Indicator(
        name=name,
        version="1",
        title=name,
        definition=name,
        shape=shape,
        metric=f"platform_{name}",
        dimension="stage" if dimensions else "",
        dimensions=dimensions,
    )


KNOWN = {
    i.name: i
    for i in (
        indicator("change_delivery_time", Shape.DURATION),
        indicator("change_lead_time", Shape.DURATION, "coding", "review"),
        indicator("change_fail_rate", Shape.RATIO),
        indicator("deployment_frequency", Shape.FREQUENCY),
    )
}


def openslo(name: str = "merge-to-production") -> dict[str, Any]:
    """An SLO file as plain values, to be changed by a test."""
    source = {"type": "Paceline", "spec": {"indicator": "change_delivery_time"}}
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name, "annotations": {"paceline.dev/tier": "2"}},
        "spec": {
            "service": "delivery-platform",
            "indicator": {"spec": {"thresholdMetric": {"metricSource": source}}},
            "budgetingMethod": "Occurrences",
            "timeWindow": [{"duration": "28d", "isRolling": True}],
            "objectives": [{"op": "lte", "value": 86400, "target": 0.9}],
        },
    }


Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes an SLO file into the test's folder; JSON is YAML."""

    def write(content: Any, to: str = "slo.yaml") -> Path:
        path = tmp_path / to
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


def sentences(path: Path) -> list[str]:
    """What is said about a file, without its folder."""
    with pytest.raises(ConfigError) as caught:
        load_slos(path, KNOWN)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


@pytest.mark.parametrize("path", sorted(BAD.glob("*.bad.yaml")), ids=lambda path: path.name.split(".")[0])
def test_every_mistake_is_answered_with_line_path_and_what_to_write(path: Path) -> None:
    """A bad file gives exactly the sentences in its first lines: one for each mistake, no other."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]

    assert sentences(path) == expected


def test_there_is_a_bad_file_for_each_kind_of_mistake() -> None:
    """The folder of mistakes is not empty, so that the test above cannot pass by reading nothing."""
    assert len(list(BAD.glob("*.bad.yaml"))) >= 40


def test_the_shipped_slo_is_read_to_the_letter() -> None:
    """Every key of a file reaches the SLO, and what the file leaves out has its documented default."""
    assert load_slos(SHIPPED, indicators()) == [
        Slo(
            name="merge-to-production",
            title="Merged changes reach production within 24 hours",
            description="90 % of the changes deployed in the last 28 days reached production within 24 hours of "
            "their merge.",
            owner_service="delivery-platform",
            target=Decimal("0.9"),
            window=parse_window("28d"),
            sli=IndicatorSli(
                indicator="change_delivery_time", operator=Operator.LTE, threshold=86_400.0, environment="production"
            ),
            tier="2",
            runbook="https://example.com/runbooks/merge-to-production",
            alert_class="count",
            minimum_events=10,
        )
    ]


def test_every_setting_of_a_file_reaches_the_slo(put: Put) -> None:
    """Annotations, filters, operator and window are those of the file."""
    content = openslo()
    content["metadata"] |= {
        "displayName": "Reviews are quick",
        "annotations": {
            "paceline.dev/owner": "review guild",
            "paceline.dev/team": "platform",
            "paceline.dev/tier": "1",
            "paceline.dev/runbook": "https://example.com/r",
            "paceline.dev/alert-class": "rate",
            "paceline.dev/minimum-events": "30",
            "example.com/other": "someone else's",
        },
    }
    source = content["spec"]["indicator"]["spec"]["thresholdMetric"]["metricSource"]["spec"]
    source |= {"indicator": "change_lead_time", "dimension": "review", "service": "api", "environment": "staging"}
    content["spec"] |= {
        "description": "Reviewed within an hour.",
        "timeWindow": [{"duration": "4w", "isRolling": True}],
        "objectives": [{"op": "lt", "value": 3600, "targetPercent": 99.5}],
    }

    assert load_slos(put(content), KNOWN) == [
        Slo(
            name="merge-to-production",
            title="Reviews are quick",
            description="Reviewed within an hour.",
            owner_service="delivery-platform",
            target=Decimal("0.995"),
            window=parse_window("4w"),
            sli=IndicatorSli(
                indicator="change_lead_time",
                operator=Operator.LT,
                threshold=3600.0,
                service="api",
                environment="staging",
                dimension="review",
            ),
            team="platform",
            owner="review guild",
            tier="1",
            runbook="https://example.com/r",
            alert_class="rate",
            minimum_events=30,
        )
    ]


def test_an_indicator_that_judges_its_units_needs_no_threshold(put: Put) -> None:
    """A ratio indicator is a ratioMetric of good over total, without operator and value."""
    content = openslo()
    raw = {"metricSource": {"type": "Paceline", "spec": {"indicator": "change_fail_rate"}}}
    content["spec"]["indicator"]["spec"] = {"ratioMetric": {"rawType": "success", "raw": raw}}
    content["spec"]["objectives"] = [{"target": 0.95}]

    [slo] = load_slos(put(content), KNOWN)

    assert (slo.indicator, slo.operator, slo.threshold) == ("change_fail_rate", None, None)


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        ("target: 0.999", "0.001"),
        ("target: 0.9990", "0.001"),
        ("target: 9.99e-1", "0.001"),
        ('target: "0.999"', "0.001"),
        ("targetPercent: 99.9", "0.001"),
        ("targetPercent: 99.95", "0.0005"),
        ("target: 0.999999999", "0.000000001"),
    ],
)
def test_targets_are_exact_decimals(tmp_path: Path, written: str, budget: str) -> None:
    """Budgets come from exact decimals: 100 - 99.9 is not 0.1 in floats."""
    path = tmp_path / "slo.yaml"
    path.write_text(SHIPPED.read_text(encoding="utf-8").replace("target: 0.9", written), encoding="utf-8")

    [slo] = load_slos(path, indicators())

    assert 1 - slo.target == Decimal(budget)


def test_a_folder_is_read_with_its_subfolders_in_the_order_of_the_names(put: Put, tmp_path: Path) -> None:
    """SLOs come by name, from `.yaml` and `.yml` files and all their documents."""
    put(openslo("b"), "one.yml")
    put(openslo("a"), "deeper/two.yaml")
    put(openslo("c"), "notes.txt")

    assert [slo.name for slo in load_slos(tmp_path, KNOWN)] == ["a", "b"]


def test_a_folder_mounted_from_kubernetes_gives_each_slo_once(put: Put, tmp_path: Path) -> None:
    """A mounted ConfigMap holds each file twice, the second time in a hidden folder: that is no duplicate."""
    put(openslo(), "..2026_01_01_00_00_00.1/slo.yaml")
    (tmp_path / "..data").symlink_to("..2026_01_01_00_00_00.1")
    (tmp_path / "slo.yaml").symlink_to("..data/slo.yaml")

    assert [slo.name for slo in load_slos(tmp_path, KNOWN)] == ["merge-to-production"]


def test_an_empty_folder_has_no_slos(tmp_path: Path) -> None:
    """No SLO is a configuration, not a mistake."""
    assert load_slos(tmp_path, KNOWN) == []


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    """A path that does not exist is said, not read as an empty folder."""
    assert sentences(tmp_path / "slo.yaml") == [
        "slo.yaml: cannot be read (No such file or directory); expected a readable YAML file"
    ]


def test_two_files_with_one_name_are_refused(put: Put, tmp_path: Path) -> None:
    """Two SLOs of one name → refused, not "last wins"; the mistakes of all files come at once."""
    put(openslo(), "a.yaml")
    put(openslo(), "b.yaml")
    put({"kind": "SLO"}, "c.yaml")

    with pytest.raises(ConfigError) as caught:
        load_slos(tmp_path, KNOWN)

    assert [m.problem for m in caught.value.mistakes] == [
        "'merge-to-production' is already the name of the SLO in a.yaml:1",
        "is missing",
    ]


PATHS: list[tuple[str | int, ...]] = [
    *(p for p in read_documents(SHIPPED)[0].lines if p),
    ("metadata", "labels"),
    ("spec", "alertPolicies"),
    ("spec", "indicatorRef"),
    ("spec", "indicator", "spec", "ratioMetric"),
    ("spec", "objectives", 0, "targetPercent"),
    ("spec", "objectives", 0, "timeSliceTarget"),
    ("spec", "timeWindow", 0, "calendar"),
]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["1e999", "-0", "NaN", "٢٨d", "028d", [], {}, [[]], [5], [{}], {"a": 1}, {"x": {}}]),
)


def changed(content: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy with another value at a path."""
    copied = deepcopy(content)
    inner = copied
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return copied


def outcome(path: Path) -> tuple[list[Slo], tuple[Mistake, ...]]:
    """What a file gives: its SLOs, or its mistakes."""
    try:
        return load_slos(path, indicators()), ()
    except ConfigError as error:
        return [], error.mistakes


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), value=ODD)
def test_whatever_stands_in_a_file_is_read_or_refused(
    tmp_path: Path, path: tuple[str | int, ...], value: object
) -> None:
    """No value at any place ends in another error than a mistake with its line; what loads can be computed with."""
    file = tmp_path / "slo.yaml"
    file.write_text(json.dumps(changed(read_documents(SHIPPED)[0].value, path, value)), encoding="utf-8")

    slos, mistakes = outcome(file)

    assert len(slos) == (0 if mistakes else 1)
    assert all(m.line == 1 and m.expected for m in mistakes)
    assert all(0 < float(slo.target) < 1 and slo.window.label.isascii() for slo in slos)
