"""An indicator's numbers as people read them, in pages, tables and summaries. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from slo_engine.indicator import Indicator, Shape, Unit
from slo_engine.observation import label_values
from slo_engine.words import duration_text, share_text

NO_VALUE = "no value"

_LEADING = {Shape.DURATION: "p50", Shape.RATIO: "value", Shape.FREQUENCY: "per_day"}
_NAMES = {"p50": "median", "value": "", "per_day": ""}
_BOUNDS = ("low", "high")
_THOUSAND = 1_000


def leading(indicator: Indicator) -> str:
    """The statistic that stands for an indicator where there is room for one."""
    return _LEADING.get(indicator.shape) or indicator.stats[0]


def labels_of(indicator: Indicator, dimension: str) -> dict[str, str]:
    """The published labels of a number with their values; empty text where all values are taken together."""
    named = [label for label in indicator.labels if label]
    return dict(zip(named, label_values(dimension, len(named)), strict=True)) if named else {}


def cell_text(indicator: Indicator, dimension: str) -> str:
    """What a number is about beside its subject: the part of a duration, or `journey db`; empty for all together."""
    if not indicator.labels:
        return dimension
    return ", ".join(f"{label} {value}" for label, value in labels_of(indicator, dimension).items() if value)


def stat_text(indicator: Indicator, value: float) -> str:
    """One statistic in the indicator's unit: `3.2 h`, `94.0%`, `0.25 per day`, `12`."""
    if indicator.shape is Shape.FREQUENCY:
        return f"{value:.2f} per day"
    if indicator.shape is Shape.DURATION or (indicator.shape is Shape.MEASURE and indicator.unit is Unit.SECONDS):
        return duration_text(value)
    if indicator.shape is Shape.RATIO or indicator.unit is Unit.RATIO:
        return share_text(value)
    return f"{value:,.0f}" if abs(value) >= _THOUSAND else f"{value:.3g}"


def value_text(indicator: Indicator, stats: Mapping[str, float]) -> str:
    """A number without its interval: `median 3.2 h, p90 1.1 d`, `94.0%`, `12, kept 75.0%`; `no value` where none is."""
    first = leading(indicator)
    shown = dict.fromkeys((first, "p90") if indicator.shape is Shape.DURATION else (first, *indicator.stats))
    told = [name for name in shown if name in stats and (name == first or name not in _BOUNDS)]
    return ", ".join(f"{_NAMES.get(n, n)} {stat_text(indicator, stats[n])}".strip() for n in told) or NO_VALUE


def interval_text(indicator: Indicator, stats: Mapping[str, float]) -> str:
    """The 95 % interval of a number, `2.1 h to 4.0 h`, or the one end that is known; empty where there is none."""
    if leading(indicator) in _BOUNDS:
        return ""
    low, high = (stat_text(indicator, stats[name]) if name in stats else "" for name in _BOUNDS)
    if low and high:
        return f"{low} to {high}"
    return f"from {low}" if low else f"up to {high}" if high else ""
