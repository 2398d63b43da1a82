"""Pyrra: `ServiceLevelObjective` objects (`pyrra.dev/v1alpha1`) → OpenSLO v1. Pure.

Format: https://pyrra.dev, its custom resource for Kubernetes, which it reads from files as well. Targets are per cent
in quotes, windows are Prometheus durations: `m` is a minute, a year has 365 days, and there is no month.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.document import Document, DocumentPath, validate
from slo_engine.importers import queries
from slo_engine.importers.conversion import (
    PREFIX,
    Conversion,
    Imported,
    description_of,
    labels_of,
    name_of,
    percent,
    plain,
    prometheus,
    rolling,
    runbook_of,
    slo_document,
)
from slo_engine.importers.counters import NO_RATIO, Ratio, counter_ratio, group_by
from slo_engine.importers.queries import Selector
from slo_engine.openslo_values import labels

OBJECT = ("pyrra.dev/v1alpha1", "ServiceLevelObjective")
OWN = "pyrra.dev/"
_SERVICE_LABELS = ("service", "app.kubernetes.io/name", "app")
_DURATION = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
_UNITS = tuple(
    timedelta(**unit)
    for unit in (
        {"days": 365},
        {"weeks": 1},
        {"days": 1},
        {"hours": 1},
        {"minutes": 1},
        {"seconds": 1},
        {"milliseconds": 1},
    )
)
_ALERTS = {
    "name": "Paceline's alerts have one name per tier and carry the SLO as a label",
    "absentName": "Paceline's no-data alert has a name of its own",
    "severities": "severities belong to the tiers of config/alert-windows/",
}
_MACHINERY = {
    "partial_response_strategy": "it is a setting of Thanos' ruler",
    "performanceOverAccuracy": "Paceline's rules are cheap and exact at once",
    "ruleOutput": "it says where Kubernetes keeps Pyrra's rules",
}


def _label(text: str) -> str:
    labels(text)
    return text


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Query(_Model):
    metric: Annotated[str, Field(min_length=1, description="a selector of series.")]


class _Ratio(_Model):
    errors: _Query
    total: _Query
    grouping: list[Annotated[str, AfterValidator(_label)]] = []


class _Latency(_Model):
    success: _Query
    total: _Query
    grouping: list[Annotated[str, AfterValidator(_label)]] = []


class _LatencyNative(_Model):
    total: _Query
    latency: Annotated[str, Field(description="a duration such as 200ms.")]
    grouping: list[Annotated[str, AfterValidator(_label)]] = []


class _BoolGauge(_Model):
    metric: Annotated[str, Field(min_length=1, description="a selector of a gauge of 0 and 1.")]
    grouping: list[Annotated[str, AfterValidator(_label)]] = []


class _Indicator(_Model):
    ratio: _Ratio | None = None
    latency: _Latency | None = None
    latency_native: Annotated[_LatencyNative | None, Field(alias="latencyNative")] = None
    bool_gauge: _BoolGauge | None = None


class _Alerting(_Model):
    disabled: bool = False
    burnrates: bool = True
    absent: bool = True
    name: str = ""
    absent_name: Annotated[str, Field(alias="absentName")] = ""
    severities: dict[str, str] = {}


class _Spec(_Model):
    description: str = ""
    target: Annotated[str | int | float, Field(description='per cent in quotes, such as "99.9".')]
    window: Annotated[str, Field(description="a duration such as 28d.")]
    indicator: Annotated[_Indicator, Field(description="a mapping with ratio, latency, latencyNative or bool_gauge.")]
    alerting: _Alerting = _Alerting()
    partial_response_strategy: str = ""
    performance: Annotated[bool, Field(alias="performanceOverAccuracy")] = False
    rule_output: Annotated[dict[str, Any], Field(alias="ruleOutput")] = {}


class _Object(_Model):
    api_version: Annotated[str, Field(alias="apiVersion")]
    kind: str
    metadata: Annotated[dict[str, Any], Field(description="a mapping with name.")]
    spec: Annotated[_Spec, Field(description="a mapping with target, window and indicator.")]
    status: Any = None


def recognises(value: Any) -> bool:
    """Whether a document says that it is one of Pyrra's."""
    return isinstance(value, dict) and str(value.get("apiVersion")).startswith(OWN)


def convert(document: Document) -> Imported:
    """The SLO of one document. Raises ConfigError with every mistake."""
    found = Conversion(document)
    for key, wanted in zip(("apiVersion", "kind"), OBJECT, strict=True):
        if document.value.get(key) != wanted:
            found.refuse((key,), f"{str(document.value.get(key))[:40]!r} is not known", wanted)
    found.finished(())
    read = validate(document, _Object)
    metadata, service = _metadata(found, read.metadata)
    spec, at = read.spec, ("spec",)
    _left_out(found, spec)
    written = found.text((*at, "target"), spec.target)
    target = found.checked((*at, "target"), lambda: percent(written), Decimal(0))
    window: dict[str, Any] = found.checked((*at, "window"), lambda: _window(spec.window), {})
    ratio, objective = _indicator(found, (*at, "indicator"), spec.indicator)
    metadata["annotations"] |= ratio.annotations | _alert_class(found, spec.alerting)
    return found.finished(
        [
            slo_document(
                metadata,
                description=description_of(found, (*at, "description"), spec.description),
                service=service,
                sli=ratio.sli,
                window=window,
                objective=objective | {"target": target},
            )
        ]
    )


# ---- who it belongs to


def _metadata(found: Conversion, metadata: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """OpenSLO's metadata, and the service, which Pyrra does not know."""
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        found.refuse(("metadata", "name"), "is missing", "a name such as requests-availability")
        return {"name": "refused", "annotations": {}}, "refused"
    given, annotations = (_mapping(found, metadata, key) for key in ("labels", "annotations"))
    kept, settings = labels_of(found, ("metadata", "labels"), given, prefix=OWN)
    runbook = runbook_of(found, ("metadata", "annotations"), annotations, prefix=OWN)
    namespace = str(metadata.get("namespace") or "")
    candidates = (str(given.get(key) or "") for key in _SERVICE_LABELS)
    service = next(filter(None, (*candidates, namespace, name)))
    found.note(("metadata",), f"the service becomes {service}: Pyrra knows none")
    if namespace != service and namespace:
        found.note(("metadata", "namespace"), "left out: an SLO's name is one for all namespaces")
    named = name_of(found, ("metadata", "name"), name)
    return {"name": named, "labels": kept, "annotations": settings | runbook}, service


def _mapping(found: Conversion, metadata: dict[str, Any], key: str) -> dict[str, Any]:
    given = metadata.get(key) or {}
    if not isinstance(given, dict):
        found.refuse(("metadata", key), "is no mapping", "keys with texts")
        return {}
    return given


# ---- the window


def _window(text: str) -> dict[str, Any]:
    """A rolling window of Paceline. Raises ValueError saying what was expected."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        hint = "; expected 30d or 28d: there is no unit M" if text.endswith("M") else "; expected one such as 28d"
        raise ValueError(f"{text[:40]!r} is no duration of Prometheus{hint}")
    length = sum((int(n) * unit for n, unit in zip(match.groups(), _UNITS, strict=True) if n), timedelta())
    if length < timedelta(days=1):
        raise ValueError(f"{text!r} is shorter than a day; expected at least 1d, such as 28d")
    if length % timedelta(hours=1):
        raise ValueError(f"{text!r} is no whole number of hours; expected one such as 28d")
    if re.fullmatch("[0-9]+[wd]", text):
        return rolling(text)
    whole_days = not length % timedelta(days=1)
    return rolling(f"{length.days}d" if whole_days else f"{length // timedelta(hours=1)}h")


# ---- the indicator

_Sli = tuple[Ratio, dict[str, Any]]
"""An SLI, and what its objective says beside the target."""


def _indicator(found: Conversion, at: DocumentPath, indicator: _Indicator) -> _Sli:
    keys = {"ratio": "ratio", "latency": "latency", "latency_native": "latencyNative", "bool_gauge": "bool_gauge"}
    given = [key for name, key in keys.items() if getattr(indicator, name) is not None]
    if len(given) != 1:
        problem = f"has {' and '.join(given)}" if given else "has no indicator"
        found.refuse(at, problem, f"one of {', '.join(keys.values())}")
    elif indicator.ratio is not None:
        return _ratio(found, (*at, "ratio"), indicator.ratio), {}
    elif indicator.latency is not None:
        return _latency(found, (*at, "latency"), indicator.latency)
    elif indicator.latency_native is not None:
        return _latency_native(found, (*at, "latencyNative"), indicator.latency_native)
    elif indicator.bool_gauge is not None:
        return _bool_gauge(found, (*at, "bool_gauge"), indicator.bool_gauge), {}
    return NO_RATIO, {}


def _selector(found: Conversion, at: DocumentPath, text: str) -> Selector | None:
    """A selector, which is all that Pyrra takes."""
    return found.checked(at, lambda: queries.selector(text), None)


def _ratio(found: Conversion, at: DocumentPath, ratio: _Ratio) -> Ratio:
    errors_at, total_at = (*at, "errors", "metric"), (*at, "total", "metric")
    selectors = _selector(found, errors_at, ratio.errors.metric), _selector(found, total_at, ratio.total.metric)
    if None in selectors:
        return NO_RATIO
    if selectors[0] == selectors[1]:
        found.refuse(errors_at, "is the same as the total: everything would be bad", "a selector of the errors alone")
    sli = counter_ratio(found, "bad", (errors_at, ratio.errors.metric), (total_at, ratio.total.metric))
    return Ratio(sli.sli, group_by(tuple(ratio.grouping)))


def _latency(found: Conversion, at: DocumentPath, latency: _Latency) -> _Sli:
    success_at, total_at = (*at, "success", "metric"), (*at, "total", "metric")
    success, total = (
        _selector(found, success_at, latency.success.metric),
        _selector(found, total_at, latency.total.metric),
    )
    if success is None or total is None:
        return NO_RATIO, {}
    bound = found.checked(success_at, lambda: _bound(success), None)
    if bound is None:
        return NO_RATIO, {}
    grouping, base = group_by(tuple(latency.grouping)), success.name.removesuffix("_bucket")
    if (f"{base}_bucket", f"{base}_count") == (success.name, total.name) and success.without("le") == total.without(
        "le"
    ):
        metric = prometheus(queries.written(base, success.without("le")), "histogram")
        return Ratio({"thresholdMetric": metric}, grouping), {"op": "lte", "value": bound}
    found.note(at, "stays two counters: they are not bucket and count of one histogram with the same matchers")
    good = queries.written(success.name, (*success.without("le"), ("le", "=~", _either(bound))))
    sli = counter_ratio(found, "good", (success_at, good), (total_at, latency.total.metric))
    return Ratio(sli.sli, grouping), {}


def _bound(success: Selector) -> Decimal:
    """The upper bound of the one bucket that a selector names, in the metric's unit."""
    bounds = success.values("le")
    if len(bounds) != 1 or bounds[0][0] != "=":
        raise ValueError('names no bucket; expected one bucket such as le="0.25"')
    try:
        bound = Decimal(bounds[0][1])
    except InvalidOperation:
        raise ValueError(f'le="{bounds[0][1][:40]}" is no number; expected one bucket such as le="0.25"') from None
    if not bound.is_finite():
        raise ValueError(f'every event is in the bucket le="{bounds[0][1]}"; expected one such as le="0.25"')
    return bound


def _either(bound: Decimal) -> str:
    """A pattern for a bucket's bound as Prometheus 2 and 3 write it: `1` and `1.0`."""
    text = plain(bound)
    return text.replace(".", "[.]") if "." in text else f"{text}|{text}[.]0"


def _latency_native(found: Conversion, at: DocumentPath, latency: _LatencyNative) -> _Sli:
    metric_at = (*at, "total", "metric")
    selector = _selector(found, metric_at, latency.total.metric)
    seconds = found.checked((*at, "latency"), lambda: _seconds(latency.latency), None)
    if selector is None or seconds is None:
        return NO_RATIO, {}
    metric = prometheus(queries.written(selector.name, selector.matchers), "nativeHistogram")
    sli = Ratio({"thresholdMetric": metric}, group_by(tuple(latency.grouping)))
    return sli, {"op": "lte", "value": seconds}


def _seconds(text: str) -> Decimal:
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text[:40]!r} is no duration of Prometheus; expected one such as 200ms")
    length = sum((int(n) * unit for n, unit in zip(match.groups(), _UNITS, strict=True) if n), timedelta())
    if not length:
        raise ValueError(f"{text!r} is no time; expected one such as 200ms")
    return Decimal(length // timedelta(milliseconds=1)) / 1000


def _bool_gauge(found: Conversion, at: DocumentPath, gauge: _BoolGauge) -> Ratio:
    if _selector(found, (*at, "metric"), gauge.metric) is None:
        return NO_RATIO
    return Ratio({"thresholdMetric": prometheus(gauge.metric, "boolean")}, group_by(tuple(gauge.grouping)))


# ---- what Pyrra's rules and alerts have and Paceline's have not


def _left_out(found: Conversion, spec: _Spec) -> None:
    given = found.document.value["spec"]
    for key, reason in _MACHINERY.items():
        if given.get(key):
            found.note(("spec", key), f"left out: {reason}")
    alerting = given.get("alerting") or {}
    for key, reason in _ALERTS.items():
        if alerting.get(key):
            found.note(("spec", "alerting", key), f"left out: {reason}")
    if not spec.alerting.absent:
        found.note(("spec", "alerting", "absent"), "left out: missing data is always an alert of its own")


def _alert_class(found: Conversion, alerting: _Alerting) -> dict[str, str]:
    key = "disabled" if alerting.disabled else "burnrates"
    quiet = alerting.disabled or not alerting.burnrates
    if quiet:
        path = ("spec", "alerting", key)
        found.note(path, f"becomes {PREFIX}alert-class: count, which never pages; route its tickets away")
    return {f"{PREFIX}alert-class": "count" if quiet else "rate"}
