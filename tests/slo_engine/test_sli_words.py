"""What an SLI measures, in a few words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, TimeSlices
from slo_engine.sli_words import measured_by
from slo_engine.slo import Composite, IndicatorSli, Operator, Part, Sli

GAUGE = BooleanGauge(selector='probe_success{job="login"}')


def duration(seconds: float, operator: Operator = Operator.LTE, dimension: str = "") -> IndicatorSli:
    """An SLI on a duration."""
    return IndicatorSli(indicator="lead", operator=operator, threshold=seconds, dimension=dimension)


@pytest.mark.parametrize(
    ("sli", "said"),
    [
        (IndicatorSli(indicator="change_fail_rate"), "change_fail_rate"),
        (duration(86_400.0), "lead ≤ 1d"),
        (duration(3_601.0, Operator.LT), "lead < 3601s"),
        (duration(5_400.0, Operator.GT, "review"), "lead review > 90m"),
        (duration(0.5, Operator.GTE), "lead ≥ 0.5s"),
        (CounterRatio(total_query="a_total", bad_query='a_total{code="5"}'), "Prometheus: counters a_total"),
        (Histogram(metric="d_seconds", threshold=0.5), "Prometheus: histogram d_seconds ≤ 0.5"),
        (NativeHistogram(metric="d_seconds", threshold=2), "Prometheus: histogram d_seconds ≤ 2"),
        (GAUGE, "Prometheus: gauge probe_success"),
        (
            TimeSlices(sli=GAUGE, slice="1m", target=Decimal("0.95")),
            "Prometheus: slices of 1m of gauge probe_success",
        ),
        (
            Composite(parts=(Part(slo="api", weight=Decimal("3.0")), Part(slo="web"))),
            "SLOs: api (weight 3), web (weight 1)",
        ),
    ],
)
def test_every_kind_is_said_in_words(sli: Sli, said: str) -> None:
    """Who counts, what, and the exact bound."""
    assert measured_by(sli) == said
