"""The typed shape of OpenSLO v1 files: which keys there are, and which value may stand at each. Pure.

Values are read by `slo_engine/openslo_values.py`. What a source of metrics says is checked later, when its type is
known: `IndicatorSource`, `Query`, `ThresholdQuery`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from slo_engine import openslo_values as values
from slo_engine import promql
from slo_engine.slo import AlertClass, Operator
from slo_engine.windows import Window

API_VERSION = "openslo/v1"
PREFIX = "paceline.dev/"
METRIC_EXAMPLE = "metricSource: {type: Paceline, spec: {indicator: …}}"
SOURCE_TYPES = ("Paceline", "Prometheus")
_DESCRIPTION = Annotated[str, Field(max_length=1050)]


def _query(check: Callable[[str], object]) -> BeforeValidator:
    """A check of PromQL that answers what is no text too."""

    def checked(value: Any) -> object:
        if value is None:
            return None
        if not isinstance(value, str):
            raise ValueError("is no text; expected PromQL")  # noqa: TRY004 - pydantic collects these
        return check(value)

    return BeforeValidator(checked)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Annotations(_Model):
    """Paceline's own settings of an SLO, without their prefix."""

    owner: Annotated[str, AfterValidator(values.team)] = ""
    team: Annotated[str, AfterValidator(values.team)] = ""
    tier: str = ""
    runbook: Annotated[str, AfterValidator(values.url)] = ""
    alert_class: Annotated[AlertClass, Field(alias="alert-class")] = "count"
    minimum_events: Annotated[int, Field(alias="minimum-events"), BeforeValidator(values.minimum)] = 10
    sla_target: Annotated[Decimal | None, Field(alias="sla-target"), BeforeValidator(values.target)] = None
    review_at: Annotated[date | None, Field(alias="review-at"), BeforeValidator(values.review_at)] = None
    group_by: Annotated[tuple[str, ...], Field(alias="group-by"), BeforeValidator(values.labels)] = ()


class _MetadataOf(_Model):
    display_name: Annotated[str, Field(alias="displayName")] = ""
    labels: dict[str, str | list[str]] = {}
    annotations: dict[str, Annotated[str, BeforeValidator(values.text)]] = {}


class Metadata(_MetadataOf):
    """Of an SLO."""

    name: Annotated[str, AfterValidator(values.name), Field(description="a DNS label, such as merge-to-production.")]


class ObjectMetadata(_MetadataOf):
    """Of any other object."""

    name: Annotated[str, AfterValidator(values.object_name), Field(description="a name, such as api-requests.")]


# ---- what is measured


class IndicatorSource(_Model):
    """`spec` of a metric source of type Paceline; see `source_of` for the labels of an indicator."""

    indicator: Annotated[str, Field(description="the name of an indicator.")]
    service: str = ""
    environment: str = ""
    dimension: str = ""
    team: Annotated[str, AfterValidator(values.team_path)] = ""


@lru_cache(maxsize=256)
def source_of(labels: tuple[str, ...]) -> type[IndicatorSource]:
    """The `spec` of a metric source on an indicator with labels: a key for each that is published."""
    keys: dict[str, Any] = {label: (str, "") for label in labels if label}
    return create_model("IndicatorSource", __base__=IndicatorSource, **keys)


class SloSource(_Model):
    """`spec` of a metric source of type Paceline in a composite: another SLO."""

    slo: str


class Query(_Model):
    """`spec` of a metric source of type Prometheus in a ratioMetric."""

    query: Annotated[
        str, AfterValidator(promql.counter), Field(description="the selector of a counter, or PromQL with $__window.")
    ]


class ThresholdQuery(_Model):
    """`spec` of a metric source of type Prometheus in a thresholdMetric: one of the three."""

    histogram: Annotated[tuple[str, str] | None, _query(promql.histogram)] = None
    native_histogram: Annotated[tuple[str, str] | None, Field(alias="nativeHistogram"), _query(promql.histogram)] = None
    boolean: Annotated[str | None, _query(promql.gauge)] = None


class MetricSource(_Model):
    """Where a metric comes from: a type, or a DataSource that has one."""

    type: Literal["Paceline", "Prometheus"] | None = None
    metric_source_ref: Annotated[str | None, Field(alias="metricSourceRef")] = None
    spec: Annotated[dict[str, Any], Field(description="a mapping with indicator, service, environment; or a query.")]


class Metric(_Model):
    """A metric source, as OpenSLO nests it."""

    metric_source: Annotated[
        MetricSource, Field(alias="metricSource", description="a mapping: {type: Paceline, spec: {…}}.")
    ]


class RatioMetric(_Model):
    """Good or bad over total, or a ratio that somebody else counts."""

    counter: bool = False
    raw_type: Annotated[Literal["success", "failure"] | None, Field(alias="rawType")] = None
    raw: Metric | None = None
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None


class SliSpec(_Model):
    """Of an SLI, written in the SLO or as an object."""

    description: _DESCRIPTION = ""
    threshold_metric: Annotated[Metric | None, Field(alias="thresholdMetric")] = None
    ratio_metric: Annotated[RatioMetric | None, Field(alias="ratioMetric")] = None


class Sli(_Model):
    """An SLI inside an SLO."""

    kind: Literal["SLI"] = "SLI"
    metadata: ObjectMetadata | None = None
    spec: Annotated[SliSpec, Field(description="a mapping with thresholdMetric or ratioMetric.")]


# ---- alerts


class Condition(_Model):
    """When a policy alerts."""

    kind: Literal["burnrate"] = "burnrate"
    op: Annotated[Operator, BeforeValidator(values.burn_operator), Field(description="gte or gt.")]
    threshold: Annotated[
        Decimal, BeforeValidator(values.factor), Field(description="the burn rate to alert on, such as 14.4.")
    ]
    lookback_window: Annotated[
        Window, BeforeValidator(values.lookback), Field(alias="lookbackWindow", description="a window such as 1h.")
    ]
    alert_after: Annotated[timedelta, BeforeValidator(values.waiting), Field(alias="alertAfter")] = timedelta(0)


class ConditionSpec(_Model):
    """Of an AlertCondition."""

    description: _DESCRIPTION = ""
    severity: Annotated[str, AfterValidator(values.severity), Field(description="a word such as page or ticket.")]
    condition: Annotated[
        Condition, Field(description="a mapping with kind, op, threshold, lookbackWindow, alertAfter.")
    ]


class InlineCondition(_Model):
    """A condition in its policy: written there, or by name."""

    condition_ref: Annotated[str | None, Field(alias="conditionRef")] = None
    kind: Literal["AlertCondition"] | None = None
    metadata: ObjectMetadata | None = None
    spec: ConditionSpec | None = None


class TargetSpec(_Model):
    """Of an AlertNotificationTarget."""

    target: Annotated[str, Field(min_length=1, description="where notifications go, such as slack.")]
    description: _DESCRIPTION = ""


class InlineTarget(_Model):
    """A notification target in its policy: written there, or by name."""

    target_ref: Annotated[str | None, Field(alias="targetRef")] = None
    kind: Literal["AlertNotificationTarget"] | None = None
    metadata: ObjectMetadata | None = None
    spec: TargetSpec | None = None


def _breaching(value: Any) -> bool:
    if value is not True:
        raise ValueError("a policy that does not alert when the condition holds; expected alertWhenBreaching: true")
    return True


def _resolved(value: Any) -> bool:
    if value is not False:
        problem = "whether the end of an alert is notified is a setting of Alertmanager's receivers"
        raise ValueError(f"{problem} (send_resolved); expected alertWhenResolved: false")
    return False


class PolicySpec(_Model):
    """Of an AlertPolicy. Every SLO has an alert of its own for missing data."""

    description: _DESCRIPTION = ""
    alert_when_no_data: Annotated[bool, Field(alias="alertWhenNoData")] = True
    alert_when_resolved: Annotated[bool, BeforeValidator(_resolved), Field(alias="alertWhenResolved")] = False
    alert_when_breaching: Annotated[
        bool, BeforeValidator(_breaching), Field(alias="alertWhenBreaching", description="true.")
    ]
    conditions: Annotated[list[InlineCondition], Field(description="a list of one: {conditionRef: …}.")]
    notification_targets: Annotated[list[InlineTarget], Field(alias="notificationTargets")] = []


class InlinePolicy(_Model):
    """A policy in its SLO: written there, or by name."""

    policy_ref: Annotated[str | None, Field(alias="alertPolicyRef")] = None
    kind: Literal["AlertPolicy"] | None = None
    metadata: ObjectMetadata | None = None
    spec: PolicySpec | None = None


def _reference(value: Any) -> Any:
    """A policy by its bare name."""
    return {"alertPolicyRef": value} if isinstance(value, str) else value


# ---- the SLO


class Calendar(_Model):
    """Where windows of the calendar begin."""

    start_time: Annotated[date | None, BeforeValidator(values.start), Field(alias="startTime")] = None
    time_zone: Annotated[
        str,
        AfterValidator(values.zone),
        Field(alias="timeZone", description="an IANA zone such as Europe/Berlin, or UTC."),
    ]


class TimeWindow(_Model):
    """Rolling, or of the calendar."""

    duration: Annotated[str, AfterValidator(values.duration), Field(description="a window such as 28d, or 1M.")]
    is_rolling: Annotated[bool | None, Field(alias="isRolling", description="true or false.")] = None
    calendar: Calendar | None = None


class Objective(_Model):
    """A target, and what it is for."""

    display_name: Annotated[str, Field(alias="displayName")] = ""
    op: Annotated[Operator | None, BeforeValidator(values.operator)] = None
    value: Annotated[float | None, BeforeValidator(values.threshold)] = None
    target: Annotated[Decimal | None, BeforeValidator(values.target)] = None
    target_percent: Annotated[Decimal | None, BeforeValidator(values.target_percent), Field(alias="targetPercent")] = (
        None
    )
    slice_target: Annotated[Decimal | None, BeforeValidator(values.slice_target), Field(alias="timeSliceTarget")] = None
    slice_window: Annotated[timedelta | None, BeforeValidator(values.slice_window), Field(alias="timeSliceWindow")] = (
        None
    )
    indicator: Sli | None = None
    indicator_ref: Annotated[str | None, Field(alias="indicatorRef")] = None
    weight: Annotated[Decimal | None, BeforeValidator(values.weight), Field(alias="compositeWeight")] = None


class SloSpec(_Model):
    """Of an SLO."""

    description: _DESCRIPTION = ""
    service: Annotated[str, Field(min_length=1, description="the name of the service that owns the SLO.")]
    indicator: Sli | None = None
    indicator_ref: Annotated[str | None, Field(alias="indicatorRef")] = None
    budgeting_method: Annotated[
        str, BeforeValidator(values.budgeting_method), Field(alias="budgetingMethod", description="Occurrences.")
    ]
    time_window: Annotated[
        list[TimeWindow],
        Field(alias="timeWindow", description="a list of one: {duration: 28d, isRolling: true}."),
    ]
    objectives: Annotated[list[Objective], Field(description="a list of objectives.")]
    alert_policies: Annotated[
        list[Annotated[InlinePolicy, BeforeValidator(_reference)]], Field(alias="alertPolicies")
    ] = []


# ---- files


class _File(_Model):
    api_version: Annotated[str, Field(alias="apiVersion")]
    kind: str


class SloFile(_File):
    """`kind: SLO`."""

    metadata: Annotated[Metadata, Field(description="a mapping with name.")]
    spec: Annotated[SloSpec, Field(description="a mapping with service, indicator, objectives, ….")]


class _ObjectFile(_File):
    metadata: Annotated[ObjectMetadata, Field(description="a mapping with name.")]


class SliFile(_ObjectFile):
    """`kind: SLI`."""

    spec: Annotated[SliSpec, Field(description="a mapping with thresholdMetric or ratioMetric.")]


class _ServiceSpec(_Model):
    description: _DESCRIPTION = ""


class ServiceFile(_ObjectFile):
    """`kind: Service`."""

    spec: _ServiceSpec = _ServiceSpec()


class _DataSourceSpec(_Model):
    description: _DESCRIPTION = ""
    type: Annotated[str, Field(min_length=1, description="Prometheus or Paceline.")]
    connection_details: Annotated[Any, Field(alias="connectionDetails")] = None


class DataSourceFile(_ObjectFile):
    """`kind: DataSource`. Rules run in the Prometheus that loads them, so nothing here connects to one."""

    spec: Annotated[_DataSourceSpec, Field(description="a mapping with type.")]


class PolicyFile(_ObjectFile):
    """`kind: AlertPolicy`."""

    spec: Annotated[PolicySpec, Field(description="a mapping with alertWhenBreaching, conditions, ….")]


class ConditionFile(_ObjectFile):
    """`kind: AlertCondition`."""

    spec: Annotated[ConditionSpec, Field(description="a mapping with severity and condition.")]


class TargetFile(_ObjectFile):
    """`kind: AlertNotificationTarget`."""

    spec: Annotated[TargetSpec, Field(description="a mapping with target.")]


KINDS: dict[str, type[BaseModel]] = {
    "SLO": SloFile,
    "SLI": SliFile,
    "Service": ServiceFile,
    "DataSource": DataSourceFile,
    "AlertPolicy": PolicyFile,
    "AlertCondition": ConditionFile,
    "AlertNotificationTarget": TargetFile,
}
"""The kinds of OpenSLO v1, and the shape of each."""
