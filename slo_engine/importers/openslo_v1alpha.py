"""OpenSLO v1alpha (`openslo/v1alpha`: SLO and Service) → OpenSLO v1. Pure.

Format: https://github.com/OpenSLO/OpenSLO, the drafts of 2021. Queries stand in the objectives (`ratioMetrics`),
windows have a unit and a count. An SLO of several objectives becomes one SLO for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from collector.document import Document, DocumentPath, validate
from slo_engine.importers.conversion import (
    API_VERSION,
    Conversion,
    Imported,
    description_of,
    name_of,
    once,
    ratio,
    slo_document,
)
from slo_engine.importers.counters import NO_RATIO, Ratio, counter_ratio
from slo_engine.importers.openslo_windows import Calendar, window_of
from slo_engine.openslo_values import slice_target

VERSION = "openslo/v1alpha"
_KINDS = ("SLO", "Service")
_SIGNS = {"Second": "s", "Minute": "m", "Hour": "h", "Day": "d", "Week": "w", "Month": "M", "Quarter": "Q", "Year": "Y"}
_SECONDS_A_DAY = {"Second": 86_400, "Minute": 1_440, "Hour": 24}
_SLICE = "1m"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Metric(_Model):
    source: Annotated[str, Field(description="prometheus.")]
    query_type: Annotated[str, Field(alias="queryType", description="promql.")]
    query: Annotated[str, Field(min_length=1, description="PromQL.")]


class _Ratio(_Model):
    incremental: bool = False
    good: Annotated[_Metric, Field(description="a mapping with source, queryType and query.")]
    total: Annotated[_Metric, Field(description="a mapping with source, queryType and query.")]


class _Objective(_Model):
    display_name: Annotated[str, Field(alias="displayName")] = ""
    value: float | None = None
    op: str = ""
    target: Annotated[float | str, Field(description="a ratio such as 0.999.")]
    time_slice_target: Annotated[float | str | None, Field(alias="timeSliceTarget")] = None
    ratio_metrics: Annotated[_Ratio | None, Field(alias="ratioMetrics")] = None
    ratio_metric: Annotated[_Ratio | None, Field(alias="ratioMetric")] = None


class _TimeWindow(_Model):
    unit: Literal["Second", "Minute", "Hour", "Day", "Week", "Month", "Quarter", "Year"]
    count: Annotated[int, Field(ge=1, description="a number of units, such as 28.")]
    is_rolling: Annotated[bool, Field(alias="isRolling")] = False
    calendar: Calendar | None = None


class _Metadata(_Model):
    name: Annotated[str, Field(min_length=1, description="a name such as web-availability.")]
    display_name: Annotated[str, Field(alias="displayName")] = ""


class _Spec(_Model):
    description: str = ""
    service: Annotated[str, Field(min_length=1, description="the name of the service.")]
    indicator: dict[str, Any] | None = None
    time_windows: Annotated[
        list[_TimeWindow], Field(alias="timeWindows", min_length=1, max_length=1, description="a list of one window.")
    ]
    budgeting_method: Annotated[Literal["Occurrences", "Timeslices"], Field(alias="budgetingMethod")]
    objectives: Annotated[list[_Objective], Field(min_length=1, description="a list of at least one objective.")]


class _Slo(_Model):
    api_version: Annotated[str, Field(alias="apiVersion")]
    kind: str
    metadata: Annotated[_Metadata, Field(description="a mapping with name.")]
    spec: Annotated[_Spec, Field(description="a mapping with service, timeWindows and objectives.")]


class _ServiceSpec(_Model):
    description: str = ""


class _Service(_Model):
    api_version: Annotated[str, Field(alias="apiVersion")]
    kind: str
    metadata: Annotated[_Metadata, Field(description="a mapping with name.")]
    spec: _ServiceSpec = _ServiceSpec()


def recognises(value: Any) -> bool:
    """Whether a document says that it is OpenSLO v1alpha."""
    return isinstance(value, dict) and value.get("apiVersion") == VERSION


def convert(document: Document) -> Imported:
    """The SLOs, or the service, of one document. Raises ConfigError with every mistake."""
    found = Conversion(document)
    kind = document.value.get("kind")
    if kind not in _KINDS:
        found.refuse(("kind",), f"{str(kind)[:40]!r} is not known", " or ".join(_KINDS))
        return found.finished(())
    return found.finished(_service(found) if kind == "Service" else _slos(found))


def _metadata(found: Conversion, metadata: _Metadata, suffix: str = "", title: str = "") -> dict[str, Any]:
    name = name_of(found, ("metadata", "name"), f"{metadata.name}{suffix}")
    return {"name": name, "displayName": title or metadata.display_name}


def _service(found: Conversion) -> list[dict[str, Any]]:
    read = validate(found.document, _Service)
    metadata = {k: v for k, v in _metadata(found, read.metadata).items() if v}
    described = description_of(found, ("spec", "description"), read.spec.description)
    spec = {"description": described} if described else {}
    return [{"apiVersion": API_VERSION, "kind": "Service", "metadata": metadata, "spec": spec}]


def _slos(found: Conversion) -> list[dict[str, Any]]:
    read = validate(found.document, _Slo)
    if read.spec.indicator is not None:
        problem = "a threshold on the value of a query has no events to count"
        expected = "ratioMetrics in the objectives, or after the import a histogram or a gauge of 0 and 1"
        found.refuse(("spec", "indicator"), problem, expected)
        return []
    window = _window(found, ("spec", "timeWindows", 0), read.spec.time_windows[0])
    documents = [_slo(found, read, i, window) for i in range(len(read.spec.objectives))]
    at = ("spec", "objectives")
    if len(documents) > 1:
        found.note(at, f"become {len(documents)} SLOs, one for each")
    once(found, (((*at, i, "displayName"), one["metadata"]["name"]) for i, one in enumerate(documents)))
    return documents


def _window(found: Conversion, at: DocumentPath, window: _TimeWindow) -> dict[str, Any]:
    count, unit = window.count, window.unit
    a_day = _SECONDS_A_DAY.get(unit, 0)
    if a_day and not count % a_day:
        count, unit = count // a_day, "Day"
    if unit in {"Second", "Minute"}:
        found.refuse(at, f"{count} {unit.lower()}s are no whole number of days", "unit: Day and count: 28")
        return {}
    duration = f"{count}{_SIGNS[unit]}"
    return window_of(found, at, duration, is_rolling=window.is_rolling, calendar=window.calendar)


def _slo(found: Conversion, read: _Slo, number: int, window: dict[str, Any]) -> dict[str, Any]:
    objective, at = read.spec.objectives[number], ("spec", "objectives", number)
    alone = len(read.spec.objectives) == 1
    suffix = "" if alone else f"-{objective.display_name or number + 1}"
    title = ": ".join(filter(None, (read.metadata.display_name, "" if alone else objective.display_name)))
    written = found.text((*at, "target"), objective.target)
    sli = _sli(found, at, objective)
    document = slo_document(
        {**_metadata(found, read.metadata, suffix, title), "annotations": sli.annotations},
        description=description_of(found, ("spec", "description"), read.spec.description),
        service=read.spec.service,
        sli=sli.sli,
        window=window,
        objective={
            **({"displayName": objective.display_name} if objective.display_name else {}),
            "target": found.checked((*at, "target"), lambda: ratio(written), Decimal(0)),
            **_slices(found, at, objective, read.spec.budgeting_method),
        },
    )
    document["spec"]["budgetingMethod"] = read.spec.budgeting_method
    return document


def _slices(found: Conversion, at: DocumentPath, objective: _Objective, method: str) -> dict[str, Any]:
    path, value = (*at, "timeSliceTarget"), objective.time_slice_target
    if method != "Timeslices":
        if value is not None:
            found.note(path, "left out: only Timeslices have one")
        return {}
    if value is None:
        found.refuse(path, "is missing", "the ratio that makes a slice good, such as 0.99")
        return {}
    found.note(path, f"the slices become {_SLICE} long: v1alpha does not say it")
    written = found.text(path, value)
    target = found.checked(path, lambda: slice_target(written), Decimal(0))
    return {"timeSliceTarget": target, "timeSliceWindow": _SLICE}


def _sli(found: Conversion, at: DocumentPath, objective: _Objective) -> Ratio:
    metrics = objective.ratio_metrics or objective.ratio_metric
    if metrics is None:
        found.refuse((*at, "ratioMetrics"), "is missing", "queries of the good and of all events")
        return NO_RATIO
    if objective.value is not None:
        found.note((*at, "value"), "left out: a ratio has no threshold")
    at = (*at, "ratioMetrics" if objective.ratio_metrics else "ratioMetric")
    mistakes = list(_not_prometheus(at, metrics))
    for path, problem, expected in mistakes:
        found.refuse(path, problem, expected)
    if mistakes:
        return NO_RATIO
    queries = (((*at, "good", "query"), metrics.good.query), ((*at, "total", "query"), metrics.total.query))
    return counter_ratio(found, "good", *queries, counter=metrics.incremental)


def _not_prometheus(at: DocumentPath, metrics: _Ratio) -> Iterator[tuple[DocumentPath, str, str]]:
    for key, metric in (("good", metrics.good), ("total", metrics.total)):
        if metric.source.lower() != "prometheus":
            yield (*at, key, "source"), f"{metric.source[:40]!r} is not supported", "prometheus"
        elif metric.query_type.lower() not in {"promql", "query"}:
            yield (*at, key, "queryType"), f"{metric.query_type[:40]!r} is not supported", "promql"
