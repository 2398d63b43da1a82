"""Every published metric: its name, help and labels keep to the rules, and an indicator gets its own for nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from slo_engine.catalog import ALLOWED_LABELS, Metric, catalog, metrics_of
from slo_engine.indicator import Indicator, Shape, indicators

RATIO = Indicator(
    name="success",
    version="1",
    title="Success",
    definition="Share that went well.",
    shape=Shape.RATIO,
    metric="platform_success",
)
EVERY = pytest.mark.parametrize("metric", catalog([*indicators().values(), RATIO]), ids=lambda m: m.name)
WRONG_ENDINGS = (
    r".*_(count|sum|bucket|created|percent|percentage|minutes?|hours?|days?|ms|milliseconds|seconds_seconds)"
)


@EVERY
def test_labels_are_among_the_allowed_ones(metric: Metric) -> None:
    """No login, sha, ticket or number can become a label: each label is on the list, `_info` metrics excepted."""
    assert metric.name.endswith("_info") or set(metric.labels) <= ALLOWED_LABELS


@EVERY
def test_a_metric_has_help(metric: Metric) -> None:
    """Every metric says what it is in a sentence."""
    assert re.fullmatch(r"[A-Z1].{10,}\.", metric.help)


@EVERY
def test_a_name_is_prefixed_and_in_base_units(metric: Metric) -> None:
    """Names start with platform_, hold no other unit than the base one, and no suffix of another metric type."""
    assert re.fullmatch(r"platform_[a-z0-9_]+", metric.name)
    assert not re.fullmatch(WRONG_ENDINGS, metric.name.removesuffix("_per_day"))


@EVERY
def test_only_counters_end_in_total(metric: Metric) -> None:
    """A counter ends in _total, and a gauge does not."""
    assert (metric.type == "counter") == metric.name.endswith("_total")


@EVERY
def test_a_metric_names_each_label_once(metric: Metric) -> None:
    """A label stands once, and `quantile` and `le` belong to other metric types."""
    assert len(set(metric.labels)) == len(metric.labels)
    assert not {"quantile", "le", "job", "instance"} & set(metric.labels)


def test_no_metric_is_published_twice() -> None:
    """Each name is one metric."""
    names = [m.name for m in catalog(indicators().values())]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("shape", "value", "labels"),
    [
        (Shape.DURATION, "platform_success_seconds", ("service", "environment", "team", "window", "stage", "stat")),
        (Shape.RATIO, "platform_success_ratio", ("service", "environment", "team", "window", "stage", "stat")),
        (Shape.FREQUENCY, "platform_success_per_day", ("service", "environment", "team", "window")),
    ],
)
def test_the_shape_decides_name_and_labels(shape: Shape, value: str, labels: tuple[str, ...]) -> None:
    """A declared indicator has its value, and beside it always n, coverage, pending and excluded."""
    found = metrics_of(replace(RATIO, shape=shape, dimension="stage", dimensions=("one",)))

    assert (found.value.name, found.value.labels) == (value, labels)
    assert {m.name for m in found.all()} >= {
        "platform_success_samples",
        "platform_success_coverage_ratio",
        "platform_success_pending",
        "platform_success_excluded",
    }


def test_a_frequency_has_a_counter_of_everything() -> None:
    """A frequency also has a counter by its dimension; other shapes have none."""
    frequency = metrics_of(replace(RATIO, shape=Shape.FREQUENCY, dimension="outcome", dimensions=("ok",)))

    assert frequency.total is not None
    assert (frequency.total.name, frequency.total.labels) == (
        "platform_success_total",
        ("service", "environment", "team", "outcome"),
    )
    assert metrics_of(RATIO).total is None


def test_what_is_tallied_has_a_counter_of_good_and_bad() -> None:
    """A counter tells when units became known, which a share of a window cannot."""
    found = metrics_of(replace(RATIO, tallied=True)).total

    assert found is not None
    assert (found.name, found.labels) == (
        "platform_success_judged_total",
        ("service", "environment", "team", "outcome"),
    )
