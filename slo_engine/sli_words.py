"""What an SLI measures, in a few words for a table. Pure."""

from __future__ import annotations

from slo_engine.comparison import Operator
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, PromqlSli, TimeSlices
from slo_engine.slo import IndicatorSli, Sli

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "m"))
_SIGNS = {Operator.LTE: "≤", Operator.LT: "<", Operator.GTE: "≥", Operator.GT: ">"}


def measured_by(sli: Sli) -> str:
    """What is counted, and who counts: Paceline an indicator, Prometheus the rest."""
    if isinstance(sli, IndicatorSli):
        named = (f"{label} {value}" for label, value in sli.labels)
        return " ".join(filter(None, (sli.indicator, sli.dimension, *named, sli.team, _duration(sli))))
    if isinstance(sli, (CounterRatio, Histogram, NativeHistogram, BooleanGauge, TimeSlices)):
        return f"Prometheus: {_promql(sli)}"
    return "SLOs: " + ", ".join(f"{part.slo} (weight {part.weight.normalize():f})" for part in sli.parts)


def _duration(sli: IndicatorSli) -> str:
    """The bound of a duration, exactly, in the largest unit that holds it."""
    if sli.operator is None or sli.threshold is None:
        return ""
    size, unit = next(((s, u) for s, u in _UNITS if not sli.threshold % s), (1.0, "s"))
    return f"{_SIGNS[sli.operator]} {sli.threshold / size:g}{unit}"


def _promql(sli: PromqlSli) -> str:
    match sli:
        case CounterRatio():
            return "counters " + ", ".join(sli.metrics())
        case Histogram() | NativeHistogram():
            return f"histogram {sli.metric} {_SIGNS[sli.operator]} {sli.threshold:g}"
        case BooleanGauge():
            return "gauge " + ", ".join(sli.metrics())
        case TimeSlices():
            return f"slices of {sli.slice} of {_promql(sli.sli)}"
