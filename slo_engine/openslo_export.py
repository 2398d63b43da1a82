"""SLOs as OpenSLO v1, the other way of `slo_engine/openslo.py`: what is written is read back as the same SLO. Pure.

Each SLO is a document of its own with one objective, whatever file it came from. Alert policies are written in place,
with their condition.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from datetime import timedelta
from decimal import Decimal
from typing import Any

from collector.document import dump
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, TimeSlices
from slo_engine.slo import AlertPolicy, Budgeting, Composite, IndicatorSli, Part, PromqlSli, Slo
from slo_engine.windows import CALENDAR_SIGNS, CalendarWindow, Window

API_VERSION = "openslo/v1"
PREFIX = "paceline.dev/"
_SIGNS = {unit: sign for sign, unit in CALENDAR_SIGNS.items()}
_METHODS: dict[Budgeting, str] = {
    "occurrences": "Occurrences",
    "timeslices": "Timeslices",
    "ratio_timeslices": "RatioTimeslices",
}
_DURATIONS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))
_DEFAULTS = {f.name: f.default for f in fields(Slo) if f.default is not MISSING}


def exported(slo: Slo) -> dict[str, Any]:
    """The SLO as an OpenSLO v1 document of plain values; numbers are exact decimals.

    Its service, the parts of a composite and the targets of alerts are named, not written. Raises ValueError for a
    `minimum_coverage` of its own, which no file can say.
    """
    if slo.minimum_coverage != _DEFAULTS["minimum_coverage"]:
        raise ValueError(f"{slo.name}: a minimum_coverage of {slo.minimum_coverage} has no place in OpenSLO")
    spec = {
        "description": slo.description,
        "service": slo.owner_service,
        "indicator": {} if isinstance(slo.sli, Composite) else _indicator(slo.name, _sli(slo.sli)),
        "budgetingMethod": _METHODS[slo.budgeting],
        "timeWindow": [_window(slo.window)],
        "objectives": _objectives(slo),
        "alertPolicies": [_policy(p) for p in slo.alert_policies],
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "SLO",
        "metadata": _given(
            {
                "name": slo.name,
                "displayName": slo.title if slo.title != slo.name else "",
                "annotations": _annotations(slo),
            }
        ),
        "spec": _given(spec),
    }


def exported_text(slos: Iterable[Slo]) -> str:
    """The SLOs as YAML, in their order, one document each. Raises ValueError as `exported` does."""
    return dump(exported(slo) for slo in slos)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """What is not empty."""
    return {key: value for key, value in values.items() if value not in ("", None, {}, [])}


def _annotations(slo: Slo) -> dict[str, str]:
    """Paceline's own settings that differ from their defaults."""
    found = {
        "owner": slo.owner,
        "team": slo.team,
        "tier": slo.tier,
        "runbook": slo.runbook,
        "alert-class": slo.alert_class if slo.alert_class != _DEFAULTS["alert_class"] else "",
        "minimum-events": str(slo.minimum_events) if slo.minimum_events != _DEFAULTS["minimum_events"] else "",
        "sla-target": "" if slo.sla_target is None else f"{slo.sla_target.normalize():f}",
        "review-at": "" if slo.review_at is None else slo.review_at.isoformat(),
        "group-by": ", ".join(slo.group_by),
    }
    return {PREFIX + key: text for key, text in found.items() if text}


def _duration(length: timedelta) -> str:
    """A length in the largest unit that holds it exactly."""
    for sign, unit in _DURATIONS:
        if not length % unit:
            return f"{length // unit}{sign}"
    return f"{length // timedelta(seconds=1)}s"


def _window(window: Window | CalendarWindow) -> dict[str, Any]:
    if isinstance(window, Window):
        return {"duration": window.label, "isRolling": True}
    start = {"startTime": f"{window.start} 00:00:00"} if window.start else {}
    return {
        "duration": f"{window.count}{_SIGNS[window.unit]}",
        "isRolling": False,
        "calendar": {**start, "timeZone": window.zone},
    }


# ---- the SLI


def _indicator(name: str, sli: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": sli}


def _paceline(spec: dict[str, str]) -> dict[str, Any]:
    return {"metricSource": {"type": "Paceline", "spec": spec}}


def _prometheus(key: str, query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {key: query}}}


def _sli(sli: IndicatorSli | PromqlSli) -> dict[str, Any]:
    """What is measured; how it is judged stands in the objective."""
    match sli:
        case IndicatorSli():
            return _counted(sli)
        case CounterRatio():
            queries = {"good": sli.good_query, "bad": sli.bad_query, "total": sli.total_query}
            counters = {key: _prometheus("query", query) for key, query in queries.items() if query}
            return {"ratioMetric": {"counter": True, **counters}}
        case Histogram():
            return {"thresholdMetric": _prometheus("histogram", _selector(sli))}
        case NativeHistogram():
            return {"thresholdMetric": _prometheus("nativeHistogram", _selector(sli))}
        case BooleanGauge():
            return {"thresholdMetric": _prometheus("boolean", sli.selector)}
        case TimeSlices():
            return _sli(sli.sli)


def _counted(sli: IndicatorSli) -> dict[str, Any]:
    names = {
        "indicator": sli.indicator,
        "service": sli.service,
        "environment": sli.environment,
        "dimension": sli.dimension,
        "team": sli.team,
        **dict(sli.labels),
    }
    source = _paceline({key: text for key, text in names.items() if text})
    if sli.threshold is None:
        return {"ratioMetric": {"rawType": "success", "raw": source}}
    return {"thresholdMetric": source}


def _selector(sli: Histogram | NativeHistogram) -> str:
    return f"{sli.metric}{{{sli.matchers}}}" if sli.matchers else sli.metric


# ---- the objective


def _objectives(slo: Slo) -> list[dict[str, Any]]:
    """One objective; of a composite one for each part, whose target is its own."""
    sli = slo.sli
    if isinstance(sli, Composite):
        return [_part(p) for p in sli.parts]
    if isinstance(sli, TimeSlices):
        slices = {"timeSliceTarget": sli.target, "timeSliceWindow": sli.slice}
        return [_given({**_judgement(sli.sli), "target": slo.target, **slices})]
    slices = {"timeSliceTarget": slo.slice_target, "timeSliceWindow": _duration(slo.slice) if slo.slice else None}
    return [_given({**_judgement(sli), "target": slo.target, **slices})]


def _judgement(sli: IndicatorSli | PromqlSli) -> dict[str, Any]:
    """`op` and `value` of what has a threshold."""
    if not isinstance(sli, (IndicatorSli, Histogram, NativeHistogram)) or sli.threshold is None:
        return {}
    return {"op": sli.operator and sli.operator.value, "value": Decimal(str(sli.threshold))}


def _part(part: Part) -> dict[str, Any]:
    raw = {"ratioMetric": {"rawType": "success", "raw": _paceline({"slo": part.slo})}}
    return {"indicator": _indicator(part.slo, raw), "compositeWeight": part.weight}


def _policy(policy: AlertPolicy) -> dict[str, Any]:
    condition = {
        "kind": "burnrate",
        "op": policy.operator.value,
        "threshold": policy.factor,
        "lookbackWindow": policy.lookback.label,
        "alertAfter": _duration(policy.after) if policy.after else "",
    }
    targets = [
        {"kind": "AlertNotificationTarget", "metadata": {"name": name}, "spec": {"target": name}}
        for name in policy.targets
    ]
    conditions = [
        {
            "kind": "AlertCondition",
            "metadata": {"name": policy.name},
            "spec": {"severity": policy.severity, "condition": _given(condition)},
        }
    ]
    return {
        "kind": "AlertPolicy",
        "metadata": _given({"name": policy.name, "displayName": policy.title}),
        "spec": _given(
            {
                "description": policy.description,
                "alertWhenBreaching": True,
                "conditions": conditions,
                "notificationTargets": targets,
            }
        ),
    }
