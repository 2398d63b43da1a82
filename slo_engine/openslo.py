"""SLOs from OpenSLO v1 files. Specification: https://github.com/OpenSLO/OpenSLO (apiVersion `openslo/v1`).

What OpenSLO allows and Paceline cannot do yet is refused by name, never ignored. Paceline's own settings are
annotations `paceline.dev/…`, and its indicators are metric sources of type `Paceline`, so the files stay valid
OpenSLO. A duration indicator is a `thresholdMetric`; an indicator that counts good and bad units itself is a
`ratioMetric` with `rawType: success` (good over total).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from collector.document import Document, DocumentPath, nearest, read_documents, validate
from collector.errors import ConfigError, Mistake
from slo_engine.indicator import Indicator, Shape
from slo_engine.slo import AlertClass, IndicatorSli, Operator, Slo
from slo_engine.windows import parse_window

T = TypeVar("T")

API_VERSION = "openslo/v1"
PREFIX = "paceline.dev/"
SHORTEST_WINDOW = timedelta(days=1)
_WINDOW = re.compile(r"[1-9][0-9]*[a-zA-Z]")
_MOST_DECIMALS = 9
"""Beyond them the floats of a metric no longer tell targets apart."""
_LONGEST_THRESHOLD = timedelta(days=36_500).total_seconds()
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OPERATOR_SIGNS = {"<=": "lte", "<": "lt", ">=": "gte", ">": "gt", "≤": "lte", "≥": "gte"}
_CALENDAR_UNITS = {"M": "month", "Q": "quarter", "Y": "year"}
_METRIC_EXAMPLE = "metricSource: {type: Paceline, spec: {indicator: …}}"


def load_slos(path: Path, indicators: Mapping[str, Indicator]) -> list[Slo]:
    """The SLOs of a file, or of all `.yaml` and `.yml` files of a folder and its subfolders, by name.

    Hidden files and folders are passed over: Kubernetes mounts each file a second time in one. A folder without
    files gives none. Raises ConfigError with every mistake of every file.
    """
    slos: list[Slo] = []
    mistakes: list[Mistake] = []
    seen: dict[str, str] = {}
    for document in _documents(path, mistakes):
        mistakes.extend(_taken(document, seen))
        try:
            slos.append(_slo(document, indicators))
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if mistakes:
        raise ConfigError(*mistakes)
    return sorted(slos, key=lambda slo: slo.name)


def _documents(path: Path, mistakes: list[Mistake]) -> Iterator[Document]:
    for file in _files(path) if path.is_dir() else [path]:
        try:
            yield from read_documents(file)
        except ConfigError as error:
            mistakes.extend(error.mistakes)


def _files(folder: Path) -> list[Path]:
    found = (f for f in folder.rglob("*") if f.suffix in {".yaml", ".yml"} and f.is_file())
    return sorted(f for f in found if not any(p.startswith(".") for p in f.relative_to(folder).parts))


def _taken(document: Document, seen: dict[str, str]) -> Iterator[Mistake]:
    """A mistake where another SLO has the name already."""
    at = ("metadata", "name")
    name = _get(document.value, at)
    if not isinstance(name, str) or any(_header(document)):
        return
    if name in seen:
        yield document.mistake(at, f"{name!r} is already the name of the SLO in {seen[name]}", "another name")
    seen.setdefault(name, f"{Path(document.file).name}:{document.line(at)}")


# ---- the shape of a file


def _name(text: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        suggestion = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "my-slo"
        expected = f"a DNS label: at most 63 lower-case letters, digits and '-', such as {suggestion}"
        raise ValueError(f"{text[:80]!r} is no name; expected {expected}")
    return text


def _window(text: str) -> str:
    unit = text[-1:]
    if unit in _CALENDAR_UNITS and _WINDOW.fullmatch(text):
        problem = f"{text!r} is a calendar {_CALENDAR_UNITS[unit]}, which is not supported yet"
        raise ValueError(f"{problem}; expected a rolling window such as 28d")
    try:
        window = parse_window(text if _WINDOW.fullmatch(text) else "")
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is no window; expected a number of d or w, such as 28d") from error
    if window.length < SHORTEST_WINDOW:
        hint = " (m is a minute; M, a calendar month, is not supported yet)" if unit == "m" else ""
        raise ValueError(f"{text!r} is shorter than a day; expected at least 1d, such as 28d{hint}")
    return text


def _number(value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{str(value)[:40]!r} is no number; expected a ratio such as 0.999") from error
    if not number.is_finite():
        raise ValueError(f"{value} is no finite number; expected a ratio such as 0.999")
    return number


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _target(value: Any) -> Decimal:
    number = _number(value)
    if number in {1, 100}:
        problem = f"a target of {value} leaves no error budget"
        raise ValueError(f"{problem}; expected a ratio above 0 and below 1, such as 0.999")
    if number <= 0:
        problem = f"a target of {value} is met by anything"
        raise ValueError(f"{problem}; expected a ratio above 0 and below 1, such as 0.999")
    if number > 1:
        meant = _plain(number / 100) if number < 100 else "0.999"  # noqa: PLR2004 - per cent
        raise ValueError(f"{value} is no ratio; expected a number above 0 and below 1: {meant}")
    return _metric(number)


def _metric(target: Decimal) -> Decimal:
    """A target that a metric can carry."""
    if target != round(target, _MOST_DECIMALS):
        raise ValueError(f"the target has too many decimals; expected a ratio of at most {_MOST_DECIMALS} decimals")
    return target


def _target_percent(value: Any) -> Decimal:
    number = _number(value)
    if not 0 < number < 100:  # noqa: PLR2004 - per cent
        problem = f"a target of {value} % leaves no error budget or asks for nothing"
        raise ValueError(f"{problem}; expected a number above 1 and below 100, such as 99.9")
    if number <= 1:
        meant = f"{_plain(number * 100)} (per cent) or target: {value}" if number < 1 else "99.9"
        raise ValueError(f"{value} looks like a ratio; expected {meant}")
    return _metric(number / 100)


def _operator(value: Any) -> Operator:
    known = [o.value for o in Operator]
    if value not in known:
        near = _OPERATOR_SIGNS.get(str(value)) or nearest(str(value).lower(), known)
        raise ValueError(f"{value!r} is no operator; expected {near or 'one of ' + ', '.join(known)}")
    return Operator(value)


def _threshold(value: Any) -> float:
    if isinstance(value, str):
        try:
            meant = f"{parse_window(value).seconds:g}"
        except ValueError:
            meant = "86400 for a day"
        raise ValueError(f"{value[:40]!r} is no number; expected seconds: {meant}")  # noqa: TRY004 - pydantic collects these
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("no number stands here; expected seconds, such as 86400 for a day")  # noqa: TRY004
    if value < 0:
        raise ValueError(f"{value} is negative; expected seconds, 0 or more")
    if not value < _LONGEST_THRESHOLD:
        raise ValueError("the threshold is longer than a hundred years; expected seconds, such as 86400 for a day")
    return float(value)


def _budgeting_method(value: Any) -> str:
    if value in ("Timeslices", "RatioTimeslices"):  # no set: a list from the file has no hash
        raise ValueError(f"{value} is not supported yet; expected Occurrences")
    if value != "Occurrences":
        raise ValueError(f"{value!r} is no budgeting method; expected Occurrences")
    return str(value)


def _rolling(value: Any) -> bool:
    if value is not True:
        raise ValueError("a calendar window is not supported yet; expected isRolling: true")
    return True


def _refused(problem: str, expected: str) -> BeforeValidator:
    """A key of OpenSLO that Paceline cannot honour yet: empty is harmless, anything else a mistake."""

    def refuse(value: Any) -> None:
        if value:
            raise ValueError(f"{problem}; expected {expected}")

    return BeforeValidator(refuse)


def _team(text: str) -> str:
    if "@" in text:
        raise ValueError("a person's address would become a label; expected the name of a team or a role")
    return text


def _url(text: str) -> str:
    # Braces would start a template in an annotation; no address has them, or quotes, unescaped.
    if not re.fullmatch(r"https?://[^\s/\"<>\\^`{|}]+[^\s\"<>\\^`{|}]*", text):
        raise ValueError(f"{text[:60]!r} is no address; expected one like https://example.com/runbook")
    return text


def _text(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        raise ValueError(f"{value} is no text; expected it in quotes")  # noqa: TRY004 - pydantic collects these
    return value


def _minimum(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise ValueError(f'{text[:40]!r} is no number of events; expected a whole number in quotes, such as "10"')
    return int(text)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Annotations(_Model):
    owner: Annotated[str, AfterValidator(_team)] = ""
    team: Annotated[str, AfterValidator(_team)] = ""
    tier: str = ""
    runbook: Annotated[str, AfterValidator(_url)] = ""
    alert_class: Annotated[AlertClass, Field(alias="alert-class")] = "count"
    minimum_events: Annotated[int, Field(alias="minimum-events"), BeforeValidator(_minimum)] = 10


class _Metadata(_Model):
    name: Annotated[str, AfterValidator(_name), Field(description="a DNS label, such as merge-to-production.")]
    display_name: Annotated[str, Field(alias="displayName")] = ""
    labels: dict[str, str | list[str]] = {}
    annotations: dict[str, Annotated[str, BeforeValidator(_text)]] = {}


class _Source(_Model):
    indicator: Annotated[str, Field(description="the name of an indicator.")]
    service: str = ""
    environment: str = ""
    dimension: str = ""


class _MetricSource(_Model):
    type: Annotated[Literal["Paceline"], Field(description="Paceline.")]
    spec: Annotated[_Source, Field(description="a mapping with indicator, service, environment.")]


class _Metric(_Model):
    metric_source: Annotated[
        _MetricSource, Field(alias="metricSource", description="a mapping: {type: Paceline, spec: {…}}.")
    ]


_NotCounted = Annotated[
    None, _refused("Paceline's indicators count good and bad units themselves", f"raw: {{{_METRIC_EXAMPLE}}}")
]


class _RatioMetric(_Model):
    counter: bool = False
    raw_type: Annotated[Literal["success"], Field(alias="rawType", description="success (good over total).")]
    raw: Annotated[_Metric, Field(description=f"a mapping: {{{_METRIC_EXAMPLE}}}.")]
    good: _NotCounted = None
    bad: _NotCounted = None
    total: _NotCounted = None


class _SliSpec(_Model):
    description: str = ""
    threshold_metric: Annotated[_Metric | None, Field(alias="thresholdMetric")] = None
    ratio_metric: Annotated[_RatioMetric | None, Field(alias="ratioMetric")] = None


class _Sli(_Model):
    metadata: _Metadata | None = None
    spec: Annotated[_SliSpec, Field(description="a mapping with thresholdMetric or ratioMetric.")]


class _TimeWindow(_Model):
    duration: Annotated[str, AfterValidator(_window), Field(description="a rolling window such as 28d.")]
    is_rolling: Annotated[bool, BeforeValidator(_rolling), Field(alias="isRolling", description="true.")]
    calendar: Annotated[None, _refused("a calendar window is not supported yet", "isRolling: true")] = None


_NoSlices = Annotated[None, _refused("time slices are not supported yet", "budgetingMethod: Occurrences")]
_NoComposite = Annotated[None, _refused("composite SLOs are not supported yet", "one indicator under spec")]


class _Objective(_Model):
    display_name: Annotated[str, Field(alias="displayName")] = ""
    op: Annotated[Operator | None, BeforeValidator(_operator)] = None
    value: Annotated[float | None, BeforeValidator(_threshold)] = None
    target: Annotated[Decimal | None, BeforeValidator(_target)] = None
    target_percent: Annotated[Decimal | None, BeforeValidator(_target_percent), Field(alias="targetPercent")] = None
    time_slice_target: Annotated[_NoSlices, Field(alias="timeSliceTarget")] = None
    time_slice_window: Annotated[_NoSlices, Field(alias="timeSliceWindow")] = None
    indicator: _NoComposite = None
    indicator_ref: Annotated[_NoComposite, Field(alias="indicatorRef")] = None
    composite_weight: Annotated[_NoComposite, Field(alias="compositeWeight")] = None


class _SloSpec(_Model):
    description: Annotated[str, Field(max_length=1050)] = ""
    service: Annotated[str, Field(min_length=1, description="the name of the service that owns the SLO.")]
    indicator: Annotated[_Sli, Field(description="a mapping with the indicator's spec.")]
    indicator_ref: Annotated[
        Annotated[None, _refused("separate SLI objects are not supported yet", "indicator, written here")],
        Field(alias="indicatorRef"),
    ] = None
    budgeting_method: Annotated[
        str, BeforeValidator(_budgeting_method), Field(alias="budgetingMethod", description="Occurrences.")
    ]
    time_window: Annotated[
        list[_TimeWindow],
        Field(alias="timeWindow", description="a list of one: {duration: 28d, isRolling: true}."),
    ]
    objectives: Annotated[list[_Objective], Field(description="a list of one objective.")]
    alert_policies: Annotated[
        Annotated[None, _refused("alert policies are not supported yet", f"the annotation {PREFIX}alert-class")],
        Field(alias="alertPolicies"),
    ] = None


class _File(_Model):
    api_version: Annotated[str, Field(alias="apiVersion")]
    kind: str
    metadata: Annotated[_Metadata, Field(description="a mapping with name.")]
    spec: Annotated[_SloSpec, Field(description="a mapping with service, indicator, objectives, ….")]


# ---- what one field alone cannot say


def _get(value: Any, path: DocumentPath) -> Any:
    """The raw value at a path, or None where there is none: checks run over files of any shape."""
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _header(document: Document) -> Iterator[Mistake]:
    """Whether this is an OpenSLO v1 SLO at all; if not, its other mistakes would be noise."""
    for key, wanted in (("apiVersion", API_VERSION), ("kind", "SLO")):
        found = _get(document.value, (key,))
        if found != wanted:
            problem = "is missing" if found is None else f"{str(found)[:40]!r} is not supported"
            yield document.mistake((key,), problem, wanted)


def _alone(document: Document, key: str) -> Iterator[Mistake]:
    """A list that must have one item."""
    found = _get(document.value, ("spec", key))
    if isinstance(found, list) and len(found) > 1:
        yield document.mistake(
            ("spec", key, 1),
            f"more than one item of {key} is not supported yet",
            "one; write an SLO for each",
        )
    if isinstance(found, list) and not found:
        yield document.mistake(("spec", key), "is empty", "one item")


def _objectives(document: Document) -> list[dict[str, Any]]:
    """The objectives as they stand in the file; an empty mapping where one is none."""
    found = _get(document.value, ("spec", "objectives"))
    return [o if isinstance(o, dict) else {} for o in found] if isinstance(found, list) else []


def _targets(document: Document) -> Iterator[Mistake]:
    for i, objective in enumerate(_objectives(document)):
        given = {"target", "targetPercent"} & set(objective)
        at = ("spec", "objectives", i)
        if not given:
            yield document.mistake((*at, "target"), "is missing", "a ratio above 0 and below 1, such as 0.999")
        if len(given) > 1:
            yield document.mistake((*at, "targetPercent"), "stands beside target", "one of the two")


_SLI = ("spec", "indicator", "spec")
_THRESHOLD = (*_SLI, "thresholdMetric")
_RATIO = (*_SLI, "ratioMetric")
_SOURCE_OF = {
    _THRESHOLD: (*_THRESHOLD, "metricSource", "spec"),
    _RATIO: (*_RATIO, "raw", "metricSource", "spec"),
}


def _indicator(document: Document, indicators: Mapping[str, Indicator]) -> Iterator[Mistake]:
    metrics = [at for at in _SOURCE_OF if _get(document.value, at) is not None]
    if len(metrics) != 1:
        if isinstance(_get(document.value, _SLI), dict):
            problem = "has both thresholdMetric and ratioMetric" if metrics else "has no metric"
            yield document.mistake(_SLI, problem, "either thresholdMetric or ratioMetric")
        return
    at = (*_SOURCE_OF[metrics[0]], "indicator")
    name = _get(document.value, at)
    if not isinstance(name, str):
        return
    indicator = indicators.get(name)
    if indicator is None:
        near = nearest(name, indicators)
        listed = ", ".join(sorted(indicators))
        expected = f"{near}; the indicators are {listed}" if near else f"one of {listed}"
        yield document.mistake(at, f"there is no indicator {name[:60]!r}", expected)
        return
    yield from _fits(document, indicator, metrics[0], at)


def _fits(document: Document, indicator: Indicator, metric: DocumentPath, at: DocumentPath) -> Iterator[Mistake]:
    """Whether the metric, the objective and the dimension suit the shape of the indicator."""
    if indicator.shape is Shape.FREQUENCY:
        yield document.mistake(at, f"{indicator.name} has no good and bad units", "a duration or a ratio indicator")
        return
    wanted = _THRESHOLD if indicator.shape is Shape.DURATION else _RATIO
    if metric != wanted:
        problem = f"{indicator.name} is a {indicator.shape.value} indicator"
        yield document.mistake(metric, problem, f"{wanted[-1]} instead of {metric[-1]}")
    yield from _comparison(document, indicator)
    dimension = _get(document.value, (*at[:-1], "dimension"))
    if isinstance(dimension, str) and dimension and dimension not in indicator.dimensions:
        expected = f"one of {', '.join(indicator.dimensions)}" if indicator.dimensions else "no dimension"
        yield document.mistake((*at[:-1], "dimension"), f"{indicator.name} has no {dimension[:40]!r}", expected)


def _comparison(document: Document, indicator: Indicator) -> Iterator[Mistake]:
    wants = {"op": "lte, lt, gte or gt", "value": "a threshold in seconds, such as 86400 for a day"}
    for i, given in enumerate(_objectives(document)):
        for key, expected in wants.items():
            at = ("spec", "objectives", i, key)
            if indicator.shape is Shape.DURATION and key not in given:
                yield document.mistake(at, "is missing", expected)
            if indicator.shape is Shape.RATIO and key in given:
                yield document.mistake(at, f"{indicator.name} judges its units itself", f"no {key}")


def _annotations(document: Document) -> tuple[Document, DocumentPath]:
    """The document as Paceline's annotations see it: only `paceline.dev/…`, without the prefix."""
    at = ("metadata", "annotations")
    found = _get(document.value, at)
    ours = (
        {k.removeprefix(PREFIX): v for k, v in found.items() if k.startswith(PREFIX)} if isinstance(found, dict) else {}
    )
    lines: dict[DocumentPath, int] = {(): document.line(at)} | {(k,): document.line((*at, PREFIX + k)) for k in ours}
    return Document(document.file, ours, lines), at


def _annotation_mistakes(document: Document) -> Iterator[Mistake]:
    found, at = _annotations(document)
    known = sorted(f.alias or n for n, f in _Annotations.model_fields.items())
    for key in found.value:
        path = (*at, PREFIX + key)
        if key not in known:
            near = nearest(key, known)
            listed = ", ".join(PREFIX + k for k in known)
            expected = f"{PREFIX}{near}; the annotations are {listed}" if near else f"one of {listed}"
            yield document.mistake(path, "unknown annotation", expected)


def _collected(check: Callable[[], T], mistakes: list[Mistake]) -> T | None:
    try:
        return check()
    except ConfigError as error:
        mistakes.extend(error.mistakes)
        return None


def _settings(document: Document) -> _Annotations:
    """Paceline's annotations. Raises ConfigError with paths as they stand in the file."""
    found, at = _annotations(document)
    unknown = list(_annotation_mistakes(document))
    fields = {f.alias or n for n, f in _Annotations.model_fields.items()}
    texts = {k: v for k, v in found.value.items() if k in fields and isinstance(v, str)}
    try:
        settings = validate(replace(found, value=texts), _Annotations)
    except ConfigError as error:
        prefix = f"{at[0]}.{at[1]}.{PREFIX}"
        raise ConfigError(*unknown, *(replace(m, path=prefix + m.path) for m in error.mistakes)) from None
    if unknown:
        raise ConfigError(*unknown)
    return settings


def _exact(document: Document) -> Document:
    """The document with the targets as they were written: 0.9990 must not pass through a float."""
    objectives = _get(document.value, ("spec", "objectives"))
    if not isinstance(objectives, list):
        return document
    exact = [
        {k: document.texts.get(("spec", "objectives", i, k), v) if k.startswith("target") else v for k, v in o.items()}
        if isinstance(o, dict)
        else o
        for i, o in enumerate(objectives)
    ]
    return replace(document, value={**document.value, "spec": {**document.value["spec"], "objectives": exact}})


def _slo(document: Document, indicators: Mapping[str, Indicator]) -> Slo:
    """The SLO of a document. Raises ConfigError with all its mistakes."""
    mistakes = list(_header(document))
    if mistakes:
        raise ConfigError(*mistakes)
    for check in (_alone(document, "objectives"), _alone(document, "timeWindow"), _targets(document)):
        mistakes.extend(check)
    mistakes.extend(_indicator(document, indicators))
    file = _collected(lambda: validate(_exact(document), _File), mistakes)
    settings = _collected(lambda: _settings(document), mistakes)
    if mistakes or file is None or settings is None:
        raise ConfigError(*mistakes)
    return _built(file, settings)


def _built(file: _File, settings: _Annotations) -> Slo:
    spec, objective = file.spec, file.spec.objectives[0]
    sli = spec.indicator.spec
    metric = sli.threshold_metric
    if metric is None and sli.ratio_metric is not None:
        metric = sli.ratio_metric.raw
    target = objective.target or objective.target_percent
    assert metric is not None  # noqa: S101 - checked by _indicator
    assert target is not None  # noqa: S101 - checked by _targets
    source = metric.metric_source.spec
    return Slo(
        name=file.metadata.name,
        title=file.metadata.display_name or file.metadata.name,
        description=spec.description,
        owner_service=spec.service,
        target=target,
        window=parse_window(spec.time_window[0].duration),
        sli=IndicatorSli(
            indicator=source.indicator,
            operator=objective.op,
            threshold=objective.value,
            service=source.service,
            environment=source.environment,
            dimension=source.dimension,
        ),
        team=settings.team,
        owner=settings.owner,
        tier=settings.tier,
        runbook=settings.runbook,
        alert_class=settings.alert_class,
        minimum_events=settings.minimum_events,
    )
