"""OpenSLO v2alpha (`openslo.com/v2alpha`, all kinds) → OpenSLO v1. Pure.

Format: https://github.com/OpenSLO/OpenSLO, `enhancements/v2alpha.md`. `sli` and `sliRef` are v1's `indicator` and
`indicatorRef`, `dataSourceRef` and `dataSourceSpec` its `metricSource`; `m` is a minute and there is no `displayName`
beside the name. What else a file says stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.document import Document, DocumentPath, validate
from slo_engine import openslo_values as values
from slo_engine.importers.conversion import (
    API_VERSION,
    Conversion,
    Imported,
    description_of,
    labels_of,
    name_of,
    percent,
    ratio,
)
from slo_engine.importers.counters import NO_RATIO, Ratio, counter_ratio
from slo_engine.importers.openslo_windows import Calendar, window_of
from slo_engine.importers.queries import quotient

VERSION = "openslo.com/v2alpha"
_KINDS = ("SLO", "SLI", "DataSource", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
_OWN_SOURCE = "Paceline"
_KNOWN_SPECS = ("histogram", "nativeHistogram", "boolean", "indicator")
"""What Paceline reads of a thresholdMetric: kinds of histograms, gauges of 0 and 1, and its own indicators."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _SourceSpec(_Model):
    description: str = ""
    type: Annotated[str, Field(description="Prometheus.")]
    connection_details: Annotated[Any, Field(alias="connectionDetails")] = None


class _Metric(_Model):
    ref: Annotated[str, Field(alias="dataSourceRef")] = ""
    source: Annotated[_SourceSpec | None, Field(alias="dataSourceSpec")] = None
    spec: Annotated[dict[str, Any], Field(description="a mapping with query.")]


class _Ratio(_Model):
    counter: bool = False
    good: _Metric | None = None
    bad: _Metric | None = None
    total: _Metric | None = None
    raw_type: Annotated[Literal["success", "failure"] | None, Field(alias="rawType")] = None
    raw: _Metric | None = None


class _SliSpec(_Model):
    description: str = ""
    threshold_metric: Annotated[_Metric | None, Field(alias="thresholdMetric")] = None
    ratio_metric: Annotated[_Ratio | None, Field(alias="ratioMetric")] = None


class _Metadata(_Model):
    name: Annotated[str, AfterValidator(values.object_name), Field(description="a name such as web-availability.")]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Sli(_Model):
    metadata: _Metadata | None = None
    spec: Annotated[_SliSpec, Field(description="a mapping with ratioMetric.")]


class _Objective(_Model):
    display_name: Annotated[str, Field(alias="displayName")] = ""
    labels: Any = None
    op: str | None = None
    value: float | None = None
    target: float | str | None = None
    target_percent: Annotated[float | str | None, Field(alias="targetPercent")] = None
    time_slice_target: Annotated[float | str | None, Field(alias="timeSliceTarget")] = None
    time_slice_window: Annotated[int | str | None, Field(alias="timeSliceWindow")] = None
    sli: _Sli | None = None
    sli_ref: Annotated[str | None, Field(alias="sliRef")] = None
    composite_weight: Annotated[float | str | None, Field(alias="compositeWeight")] = None


class _TimeWindow(_Model):
    duration: Annotated[str, Field(description="a duration such as 28d.")]
    is_rolling: Annotated[bool, Field(alias="isRolling")] = False
    calendar: Calendar | None = None


class _SloSpec(_Model):
    description: str = ""
    service: Annotated[str, Field(min_length=1, description="the name of the service.")]
    sli: _Sli | None = None
    sli_ref: Annotated[str | None, Field(alias="sliRef")] = None
    budgeting_method: Annotated[Literal["Occurrences", "Timeslices", "RatioTimeslices"], Field(alias="budgetingMethod")]
    time_window: Annotated[
        list[_TimeWindow], Field(alias="timeWindow", min_length=1, max_length=1, description="a list of one window.")
    ]
    objectives: Annotated[list[_Objective], Field(min_length=1, description="a list of at least one objective.")]
    alert_policies: Annotated[list[Any], Field(alias="alertPolicies")] = []


class _Object(_Model):
    api_version: Annotated[str, Field(alias="apiVersion")]
    kind: str
    metadata: Annotated[_Metadata, Field(description="a mapping with name.")]


class _SloObject(_Object):
    spec: Annotated[_SloSpec, Field(description="a mapping with service, sli, timeWindow and objectives.")]


class _SliObject(_Object):
    spec: Annotated[_SliSpec, Field(description="a mapping with ratioMetric.")]


class _SourceObject(_Object):
    spec: Annotated[_SourceSpec, Field(description="a mapping with type.")]


class _OtherObject(_Object):
    spec: dict[str, Any] = {}


def recognises(value: Any) -> bool:
    """Whether a document says that it is OpenSLO v2alpha."""
    return isinstance(value, dict) and str(value.get("apiVersion")).startswith("openslo.com/")


def convert(document: Document) -> Imported:
    """The object of one document. Raises ConfigError with every mistake."""
    found = Conversion(document)
    version, kind = document.value.get("apiVersion"), document.value.get("kind")
    if version != VERSION:
        found.refuse(("apiVersion",), f"{str(version)[:40]!r} is not known", VERSION)
    if kind not in _KINDS:
        found.refuse(("kind",), f"{str(kind)[:40]!r} is not known", f"one of {', '.join(_KINDS)}")
    found.finished(())
    return found.finished([_converted(found, str(kind))])


def _converted(found: Conversion, kind: str) -> dict[str, Any]:
    head = {"apiVersion": API_VERSION, "kind": kind}
    if kind == "SLO":
        slo = validate(found.document, _SloObject)
        spec, annotations = _slo(found, slo.spec)
        return {**head, "metadata": _slo_metadata(found, slo.metadata, annotations), "spec": spec}
    if kind == "SLI":
        sli = validate(found.document, _SliObject)
        read = _sli(found, ("spec",), sli.spec)
        if read.annotations:
            found.note(("spec",), f"an SLO that refers to it needs the annotation {_pairs(read.annotations)}")
        metadata, spec = sli.metadata, read.sli
    elif kind == "DataSource":
        source = validate(found.document, _SourceObject)
        metadata, spec = source.metadata, _source(found, ("spec",), source.spec) | {"connectionDetails": {}}
    else:
        other = validate(found.document, _OtherObject)
        metadata, spec = other.metadata, other.spec
    return {**head, "metadata": _metadata(metadata), "spec": spec}


def _pairs(annotations: dict[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in annotations.items())


def _metadata(metadata: _Metadata) -> dict[str, Any]:
    """Metadata of an object that is no SLO: its name stays, because others refer to it."""
    given = {"name": metadata.name, "labels": metadata.labels, "annotations": metadata.annotations}
    return {key: value for key, value in given.items() if value}


def _slo_metadata(found: Conversion, metadata: _Metadata, annotations: dict[str, str]) -> dict[str, Any]:
    labels, settings = labels_of(found, ("metadata", "labels"), metadata.labels)
    name = name_of(found, ("metadata", "name"), metadata.name)
    given = {"name": name, "labels": labels, "annotations": annotations | settings | metadata.annotations}
    return {key: value for key, value in given.items() if value}


def _slo(found: Conversion, spec: _SloSpec) -> tuple[dict[str, Any], dict[str, str]]:
    """The specification of an SLO, and the annotations that its SLI needs."""
    at, window = ("spec",), spec.time_window[0]
    indicator, annotations = _indicator(found, at, spec)
    objectives = [_objective(found, (*at, "objectives", i), o) for i, o in enumerate(spec.objectives)]
    if not indicator and not any(o.sli or o.sli_ref for o in spec.objectives):
        found.refuse((*at, "sli"), "is missing", "sli or sliRef; for a composite in each objective")
    window_at = (*at, "timeWindow", 0)
    given = {
        "description": description_of(found, (*at, "description"), spec.description),
        "service": spec.service,
        **indicator,
        "budgetingMethod": spec.budgeting_method,
        "timeWindow": [
            window_of(found, window_at, window.duration, is_rolling=window.is_rolling, calendar=window.calendar)
        ],
        "objectives": objectives,
        "alertPolicies": spec.alert_policies,
    }
    return {key: value for key, value in given.items() if value}, annotations


def _indicator(
    found: Conversion, at: DocumentPath, where: _SloSpec | _Objective
) -> tuple[dict[str, Any], dict[str, str]]:
    """`indicator` or `indicatorRef`, nothing where neither is given, and the annotations it needs."""
    if where.sli is not None and where.sli_ref is not None:
        found.refuse((*at, "sliRef"), "stands beside sli", "one of the two")
    if where.sli is None:
        return ({"indicatorRef": where.sli_ref} if where.sli_ref else {}), {}
    read = _sli(found, (*at, "sli", "spec"), where.sli.spec)
    metadata = where.sli.metadata
    named = {"metadata": _metadata(metadata)} if metadata else {}
    return {"indicator": {**named, "spec": read.sli}}, read.annotations


def _objective(found: Conversion, at: DocumentPath, objective: _Objective) -> dict[str, Any]:
    if objective.labels:
        found.note((*at, "labels"), "left out: OpenSLO v1 has labels of SLOs alone")
    indicator, annotations = _indicator(found, at, objective)
    if annotations:
        found.note((*at, "sli"), "summed over its groups: parts of a composite have none")
    given = {
        "displayName": objective.display_name or None,
        "op": objective.op,
        "value": objective.value,
        **_targets(found, at, objective),
        "timeSliceTarget": _number(found, (*at, "timeSliceTarget"), objective.time_slice_target, values.slice_target),
        "timeSliceWindow": _slice(found, (*at, "timeSliceWindow"), objective.time_slice_window),
        **indicator,
        "compositeWeight": _number(found, (*at, "compositeWeight"), objective.composite_weight, values.weight),
    }
    return {key: value for key, value in given.items() if value is not None}


def _targets(found: Conversion, at: DocumentPath, objective: _Objective) -> dict[str, Decimal]:
    given = {"target": objective.target, "targetPercent": objective.target_percent}
    written = {key: found.text((*at, key), value) for key, value in given.items() if value is not None}
    if len(written) != 1:
        found.refuse(at, "has both targets" if written else "has no target", "target or targetPercent")
    elif "target" in written:
        return {"target": found.checked((*at, "target"), lambda: ratio(written["target"]), Decimal(0))}
    else:
        path = (*at, "targetPercent")
        return {"target": found.checked(path, lambda: percent(written["targetPercent"]), Decimal(0))}
    return {}


def _number(
    found: Conversion, path: DocumentPath, value: float | str | None, read: Callable[[str], Decimal]
) -> Decimal | None:
    """A number exactly as it was written."""
    return None if value is None else found.checked(path, lambda: read(found.text(path, value)), None)


def _slice(found: Conversion, path: DocumentPath, value: int | str | None) -> str | None:
    """The length of a slice; a number without a unit is minutes."""
    if value is not None:
        found.checked(path, lambda: values.slice_window(value), None)
    return f"{value}m" if isinstance(value, int) else value


# ---- the SLI


def _sli(found: Conversion, at: DocumentPath, sli: _SliSpec) -> Ratio:
    described = {"description": sli.description} if sli.description else {}
    if (sli.threshold_metric is None) == (sli.ratio_metric is None):
        problem = "has both thresholdMetric and ratioMetric" if sli.ratio_metric else "has no metric"
        found.refuse(at, problem, "either thresholdMetric or ratioMetric")
        return NO_RATIO
    if sli.ratio_metric is not None:
        read = _ratio(found, (*at, "ratioMetric"), sli.ratio_metric)
    else:
        assert sli.threshold_metric is not None  # noqa: S101 - one of the two
        read = _threshold(found, (*at, "thresholdMetric"), sli.threshold_metric)
    return Ratio(described | read.sli, read.annotations)


def _threshold(found: Conversion, at: DocumentPath, metric: _Metric) -> Ratio:
    if not set(metric.spec) & set(_KNOWN_SPECS):
        problem = "a threshold on the value of a query has no events to count"
        found.refuse(at, problem, "a histogram, a gauge of 0 and 1, or a ratioMetric")
        return NO_RATIO
    return Ratio({"thresholdMetric": _metric(found, at, metric, metric.spec)})


def _ratio(found: Conversion, at: DocumentPath, metric: _Ratio) -> Ratio:
    given = tuple(name for name in ("good", "bad", "total", "raw") if getattr(metric, name) is not None)
    if given not in {("good", "total"), ("bad", "total"), ("raw",)}:
        problem = f"has {' and '.join(given)}" if given else "has no queries"
        found.refuse(at, problem, "good and total, or bad and total")
        return NO_RATIO
    if metric.raw is not None:
        return _raw(found, at, metric, metric.raw)
    part = metric.good or metric.bad
    assert part is not None and metric.total is not None  # noqa: S101, PT018 - one of the pairs above
    name: Literal["good", "bad"] = "good" if metric.good else "bad"
    queries = [_query(found, (*at, key), m) for key, m in ((name, part), ("total", metric.total))]
    if queries[0] is None or queries[1] is None:
        return NO_RATIO
    read = counter_ratio(found, name, queries[0], queries[1], counter=metric.counter)
    return _with_sources(found, at, read, {name: (name, part), "total": ("total", metric.total)})


def _raw(found: Conversion, at: DocumentPath, metric: _Ratio, raw: _Metric) -> Ratio:
    """A ratio of Paceline's own indicators stays; one of Prometheus is taken apart into its counts."""
    if "indicator" in raw.spec:
        return Ratio({"ratioMetric": {"rawType": metric.raw_type, "raw": _metric(found, (*at, "raw"), raw, raw.spec)}})
    query = _query(found, (*at, "raw"), raw)
    if metric.raw_type is None:
        found.refuse((*at, "rawType"), "is missing", "success (good over total) or failure (bad over total)")
    parts = found.checked(query[0], lambda: quotient(query[1]), None) if query else None
    if query is None or parts is None or metric.raw_type is None:
        return NO_RATIO
    part, total, complement = parts
    kind: Literal["good", "bad"] = "good" if (metric.raw_type == "success") != complement else "bad"
    found.note(query[0], f"taken apart: above the line stand the {kind} events, below it all events")
    read = counter_ratio(found, kind, (query[0], part), (query[0], total))
    return _with_sources(found, at, read, {kind: ("raw", raw), "total": ("raw", raw)})


def _with_sources(found: Conversion, at: DocumentPath, read: Ratio, metrics: dict[str, tuple[str, _Metric]]) -> Ratio:
    """The SLI with the data sources that the file names, each with its key there, in the place of Prometheus."""
    if not read.sli:
        return read
    ours = dict(read.sli["ratioMetric"])
    for key, (written, metric) in metrics.items():
        ours[key] = _metric(found, (*at, written), metric, ours[key]["metricSource"]["spec"])
    return Ratio({"ratioMetric": ours}, read.annotations)


def _query(found: Conversion, at: DocumentPath, metric: _Metric) -> tuple[DocumentPath, str] | None:
    """Where a metric's query stands, and the query."""
    path, query = (*at, "spec", "query"), metric.spec.get("query")
    if not isinstance(query, str) or not query:
        found.refuse(path, "is missing", "a query of Prometheus")
        return None
    return path, query


def _metric(found: Conversion, at: DocumentPath, metric: _Metric, spec: dict[str, Any]) -> dict[str, Any]:
    """A metric of OpenSLO v1."""
    if bool(metric.ref) == (metric.source is not None):
        found.refuse(at, "has both sources" if metric.ref else "has no source", "dataSourceRef or dataSourceSpec")
        return {}
    if metric.source is None:
        return {"metricSource": {"metricSourceRef": metric.ref, "spec": spec}}
    source = _source(found, (*at, "dataSourceSpec"), metric.source)
    return {"metricSource": {"type": source["type"], "spec": spec}}


def _source(found: Conversion, at: DocumentPath, source: _SourceSpec) -> dict[str, Any]:
    """A data source without its connection, which may hold secrets and which Paceline does not use."""
    if source.connection_details:
        found.note(
            (*at, "connectionDetails"), "left out: Paceline's rules run in Prometheus, which needs no connection"
        )
    if source.type not in {"Prometheus", _OWN_SOURCE}:
        wanted = "Prometheus" if source.type.lower() == "prometheus" else f"Prometheus or {_OWN_SOURCE}"
        found.refuse((*at, "type"), f"{source.type[:40]!r} is not supported", wanted)
    return {"type": source.type} | ({"description": source.description} if source.description else {})
