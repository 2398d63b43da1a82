"""Numbers as people read them, by shape and unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from slo_engine.indicator import Indicator, Shape, Unit
from slo_engine.measure import Measured, Sample
from slo_engine.number_words import cell_text, interval_text, value_text
from slo_engine.observation import labelled


def _nothing(_: Sample) -> Measured:
    return Measured(n=0)


def indicator(**fields: Any) -> Indicator:
    """A ratio, unless told otherwise."""
    given: dict[str, Any] = {"shape": Shape.RATIO, "metric": "platform_x", **fields}
    return Indicator(name="x", version="1", title="X", definition="X.", **given)


def measure(unit: Unit, *stats: str) -> Indicator:
    """An arithmetic of its own."""
    return indicator(shape=Shape.MEASURE, measure=_nothing, stats=stats, unit=unit)


DURATION = indicator(shape=Shape.DURATION)
TIME = measure(Unit.SECONDS, "p50", "p75", "low", "high")
SCORE = measure(Unit.RATIO, "value", "low", "high")
PEOPLE = measure(Unit.COUNT, "value", "kept")
DAY = 86_400.0


@pytest.mark.parametrize(
    ("one", "stats", "value", "interval"),
    [
        (indicator(), {"value": 0.94, "low": 0.9, "high": 0.97}, "94.0%", "90.0% to 97.0%"),
        (DURATION, {"p50": 7 * DAY, "p75": 8 * DAY, "p90": 9 * DAY}, "median 7.0 d, p90 9.0 d", ""),
        (indicator(shape=Shape.FREQUENCY), {"per_day": 0.25}, "0.25 per day", ""),
        (TIME, {"p50": 7 * DAY, "p75": 9 * DAY, "low": 4 * DAY}, "median 7.0 d, p75 9.0 d", "from 4.0 d"),
        (TIME, {"low": 4 * DAY}, "no value", "from 4.0 d"),
        (SCORE, {"value": -0.25, "low": -0.5, "high": 0.0}, "-25.0%", "-50.0% to 0.0%"),
        (PEOPLE, {"value": 1234.0, "kept": 0.5}, "1,234, kept 0.5", ""),
        (measure(Unit.SECONDS, "high"), {"high": 90.0}, "high 90 s", ""),
        (indicator(), {}, "no value", ""),
    ],
    ids=[
        "ratio",
        "duration",
        "frequency",
        "half an interval",
        "no median",
        "score",
        "count",
        "a bound alone",
        "nothing",
    ],
)
def test_a_number_in_words(one: Indicator, stats: Mapping[str, float], value: str, interval: str) -> None:
    """The leading statistic comes first, in the indicator's own unit; an interval may have one end."""
    assert (value_text(one, stats), interval_text(one, stats)) == (value, interval)


@pytest.mark.parametrize(
    ("labels", "dimension", "text"),
    [
        (("journey", "method"), labelled("db", "map"), "journey db, method map"),
        (("journey", "method"), labelled("", "map"), "method map"),
        (("journey", ""), "", ""),
        ((), "review", "review"),
    ],
)
def test_what_a_number_is_about(labels: tuple[str, ...], dimension: str, text: str) -> None:
    """Labels are named with their values; all values together, and the indicator's own label, are not."""
    assert cell_text(indicator(labels=labels), dimension) == text
