"""What an SLI of OpenSLO measures, and how an objective judges it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from collector.document import nearest
from collector.errors import ConfigError, Mistake
from slo_engine.indicator import Indicator, Shape
from slo_engine.openslo_model import (
    METRIC_EXAMPLE,
    SOURCE_TYPES,
    DataSourceFile,
    IndicatorSource,
    Objective,
    Query,
    SliFile,
    SloSource,
    ThresholdQuery,
    source_of,
)
from slo_engine.openslo_objects import Objects, Place
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, TimeSlices
from slo_engine.slo import IndicatorSli, Operator, PromqlSli

_METRICS = ("thresholdMetric", "ratioMetric")
_COUNTS = ("good", "bad", "total")
_THRESHOLDS = "histogram, nativeHistogram or boolean"
_RECORDED = timedelta(minutes=5)
"""What a recording of Prometheus holds: a whole number of slices."""


@dataclass(frozen=True)
class IndicatorMeasure:
    """Units of an indicator; its objective must suit its shape."""

    source: IndicatorSource
    indicator: Indicator


@dataclass(frozen=True)
class HistogramMeasure:
    """A histogram whose threshold is the objective's value."""

    kind: Literal["histogram", "nativeHistogram"]
    metric: str
    matchers: str


Measure: TypeAlias = IndicatorMeasure | HistogramMeasure | CounterRatio | BooleanGauge | SloSource
"""What is measured, before an objective says what is good. SloSource: a part of a composite that is an SLO itself."""


def sli_of(owner: Place, objects: Objects) -> Place | None:
    """Where the `spec` of the SLI of an SLO or of an objective stands; None where it names none.

    Raises ConfigError for an unknown reference, and for an SLI beside a reference.
    """
    given = owner.given("indicator", "indicatorRef")
    if len(given) > 1:
        raise owner.at("indicatorRef").refused("stands beside indicator", "one of the two")
    if "indicatorRef" in given:
        return objects.named("SLI", owner.at("indicatorRef"), SliFile)[0]
    return owner.at("indicator", "spec") if given else None


def measured(spec: Place, objects: Objects, indicators: Mapping[str, Indicator]) -> Measure:
    """What the `spec` of an SLI measures.

    Raises ConfigError with every mistake; without one where the shape of the file is wrong, which validation says.
    """
    given = spec.given(*_METRICS)
    if len(given) != 1:
        if not isinstance(spec.get(), dict):
            raise ConfigError
        problem = "has both thresholdMetric and ratioMetric" if given else "has no metric"
        raise spec.refused(problem, "either thresholdMetric or ratioMetric")
    metric = spec.at(given[0])
    return _ratio(metric, objects, indicators) if given[0] == "ratioMetric" else _threshold(metric, objects, indicators)


def _threshold(metric: Place, objects: Objects, indicators: Mapping[str, Indicator]) -> Measure:
    source = metric.at("metricSource")
    if _type(source, objects) == "Paceline":
        return _indicator(source, indicators)
    found = _spec(source).read(ThresholdQuery)
    given = source.at("spec").given("histogram", "nativeHistogram", "boolean")
    if len(given) != 1:
        raise source.at("spec").refused(f"{'gives more than one query' if given else 'has no query'}", _THRESHOLDS)
    if found.boolean is not None:
        return BooleanGauge(selector=found.boolean)
    if found.histogram is not None:
        return HistogramMeasure("histogram", *found.histogram)
    metric_name, matchers = found.native_histogram or ("", "")
    return HistogramMeasure("nativeHistogram", metric_name, matchers)


def _ratio(metric: Place, objects: Objects, indicators: Mapping[str, Indicator]) -> Measure:
    counts = [metric.at(k) for k in metric.given(*_COUNTS)]
    if metric.get("raw") is None:
        return _counters(metric, objects)
    source = metric.at("raw", "metricSource")
    if _type(source, objects) == "Prometheus":
        expected = "good or bad, and total: counters, or events per second over $__window"
        raise metric.at("raw").refused("a ratio cannot be added up over a window", expected)
    if counts:
        raise ConfigError(*(_own_units(place) for place in counts))
    if metric.get("rawType") != "success":
        problem = "is missing" if metric.get("rawType") is None else "Paceline's indicators count good over total"
        raise metric.at("rawType").refused(problem, "success (good over total)")
    if "slo" in source.at("spec").keys():  # noqa: SIM118 - a method of ours
        return source.at("spec").read(SloSource)
    return _indicator(source, indicators)


def _own_units(place: Place) -> Mistake:
    problem = "Paceline's indicators count good and bad units themselves"
    return place.mistake(problem, f"raw: {{{METRIC_EXAMPLE}}}")


def _counters(metric: Place, objects: Objects) -> CounterRatio:
    if not isinstance(metric.get(), dict):
        raise ConfigError
    given = {k: metric.at(k) for k in metric.given(*_COUNTS)}
    for place in given.values():
        if _type(place.at("metricSource"), objects) == "Paceline":
            raise ConfigError(_own_units(place))
    mistakes = list(_sides(metric, given))
    queries: dict[str, str] = {}
    for name, place in given.items():
        try:
            queries[f"{name}_query"] = _spec(place.at("metricSource")).read(Query).query
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if mistakes or len(queries) != len(given):
        raise ConfigError(*mistakes)
    return CounterRatio(**queries)


def _sides(metric: Place, given: Mapping[str, Place]) -> Iterator[Mistake]:
    if "total" not in given:
        yield metric.at("total").mistake("is missing", "the query of all events")
    if "good" in given and "bad" in given:
        yield given["bad"].mistake("stands beside good", "one of the two: the other one is total minus it")
    if "good" not in given and "bad" not in given:
        yield metric.mistake("has neither good nor bad", "the query of the good or of the bad events")
    if metric.get("counter") is not True:
        problem = "is missing" if metric.get("counter") is None else "a number that goes up and down counts no events"
        yield metric.at("counter").mistake(problem, "counter: true, and queries of counters")


def _type(source: Place, objects: Objects) -> str:
    """Paceline or Prometheus: as written, or as the DataSource says."""
    written, reference = source.get("type"), source.get("metricSourceRef")
    if not isinstance(source.get(), dict) or not (written is None or written in SOURCE_TYPES):
        raise ConfigError
    if reference is None:
        if written is None:
            raise source.at("type").refused("is missing", "Paceline or Prometheus, or a metricSourceRef")
        return str(written)
    found = objects.named("DataSource", source.at("metricSourceRef"), DataSourceFile)[1].spec.type
    if found not in SOURCE_TYPES:
        problem = f"{str(reference)[:60]!r} is a DataSource of type {found[:40]}"
        raise source.at("metricSourceRef").refused(problem, "one of type Prometheus or Paceline")
    if written not in {None, found}:
        raise source.at("type").refused(f"{written} is not the type of {reference}", f"{found}, or no type")
    return found


def _spec(source: Place) -> Place:
    if not isinstance(source.get("spec"), dict):
        raise ConfigError
    return source.at("spec")


def _indicator(source: Place, indicators: Mapping[str, Indicator]) -> IndicatorMeasure:
    place = _spec(source)
    named = indicators.get(str(place.get("indicator")))
    read = place.read(source_of(named.labels) if named else IndicatorSource)
    indicator = indicators.get(read.indicator)
    if indicator is None:
        near = nearest(read.indicator, indicators)
        listed = ", ".join(sorted(indicators))
        expected = f"{near}; the indicators are {listed}" if near else f"one of {listed}"
        raise place.at("indicator").refused(f"there is no indicator {read.indicator[:60]!r}", expected)
    if indicator.shape in {Shape.FREQUENCY, Shape.MEASURE}:
        problem = f"{indicator.name} has no good and bad units"
        raise place.at("indicator").refused(problem, "a duration or a ratio indicator")
    if read.dimension and read.dimension not in indicator.dimensions:
        expected = f"one of {', '.join(indicator.dimensions)}" if indicator.dimensions else "no dimension"
        raise place.at("dimension").refused(f"{indicator.name} has no {read.dimension[:40]!r}", expected)
    mistakes = list(_mislabelled(place, read, indicator))
    if mistakes:
        raise ConfigError(*mistakes)
    return IndicatorMeasure(read, indicator)


def _mislabelled(place: Place, read: IndicatorSource, indicator: Indicator) -> Iterator[Mistake]:
    """The mistakes of labels: one that must be chosen and is not, and a value that there is none of."""
    for label in filter(None, indicator.labels):
        value, known = getattr(read, label), indicator.values.get(label, ())
        listed = f"one of {', '.join(known)}" if known else f"a {label}: its values are never one number together"
        if not value and label in indicator.apart:
            yield place.at(label).mistake("is missing", listed)
        if value and known and value not in known:
            problem = f"{indicator.name} has no {label} {value[:40]!r}"
            yield place.at(label).mistake(problem, nearest(value, known) or listed)


# ---- the objective


_SECONDS = "a threshold in seconds, such as 86400 for a day"


def unsuited(measure: Measure, spec: Place, objective: Place) -> Iterator[Mistake]:
    """The mistakes of a metric and an objective that do not suit each other."""
    if isinstance(measure, IndicatorMeasure):
        shape, named = measure.indicator.shape, measure.indicator.name
        wanted = "thresholdMetric" if shape is Shape.DURATION else "ratioMetric"
        other = next(m for m in _METRICS if m != wanted)
        if spec.get(other) is not None:
            yield spec.at(other).mistake(f"{named} is a {shape.value} indicator", f"{wanted} instead of {other}")
        yield from _compared(objective, wanted=shape is Shape.DURATION, problem=f"{named} judges its units itself")
    elif isinstance(measure, HistogramMeasure):
        yield from _compared(objective, wanted=True, problem="", value="the bound of a bucket, such as 0.5")
        yield from _of_bucket(measure, objective)
    else:
        named = "a boolean gauge is good at 1" if isinstance(measure, BooleanGauge) else "a ratio has no threshold"
        yield from _compared(objective, wanted=False, problem=named)


def unfit_slice(measure: Measure, objective: Objective, place: Place, window: timedelta) -> Iterator[Mistake]:
    """A mistake where the slices of an objective do not fit into what is recorded, or into the window."""
    length = objective.slice_window
    if length is None:
        return
    at = place.at("timeSliceWindow")
    if isinstance(measure, IndicatorMeasure):
        if length >= window:
            yield at.mistake("is not shorter than the window", "a slice such as 1h")
    elif _RECORDED % length:
        problem = "five minutes, which are recorded, hold no whole number of these slices"
        yield at.mistake(problem, "1m, 5m, 30s or another part of 5m")


def _compared(objective: Place, *, wanted: bool, problem: str, value: str = _SECONDS) -> Iterator[Mistake]:
    for key, expected in (("op", "lte, lt, gte or gt"), ("value", value)):
        if wanted and key not in objective.keys():  # noqa: SIM118 - a method of ours
            yield objective.at(key).mistake("is missing", expected)
        if not wanted and key in objective.keys():  # noqa: SIM118 - likewise
            yield objective.at(key).mistake(problem, f"no {key}")


def _of_bucket(measure: HistogramMeasure, objective: Place) -> Iterator[Mistake]:
    """A classic bucket holds what is at most its bound: only `lte` and `gt` can be answered."""
    meant = {"lt": "lte", "gte": "gt"}.get(str(objective.get("op")))
    if measure.kind == "histogram" and meant:
        problem = f"a bucket holds what is at most its bound, so {objective.get('op')} cannot be told"
        yield objective.at("op").mistake(problem, meant)


def judged(measure: Measure, objective: Objective) -> IndicatorSli | PromqlSli:
    """The SLI of a measure and an objective that suit each other. A SloSource is none: it raises TypeError."""
    if isinstance(measure, SloSource):
        raise TypeError(f"{measure.slo} is an SLO, no SLI")
    if isinstance(measure, IndicatorMeasure):
        return _counted(measure, objective)
    found = _histogram(measure, objective) if isinstance(measure, HistogramMeasure) else measure
    if objective.slice_window is None:
        return found
    return TimeSlices(sli=found, slice=_text(objective.slice_window), target=objective.slice_target)


def _counted(measure: IndicatorMeasure, objective: Objective) -> IndicatorSli:
    source = measure.source
    chosen = ((label, getattr(source, label)) for label in measure.indicator.labels if label)
    return IndicatorSli(
        **source.model_dump(include=set(IndicatorSource.model_fields)),
        labels=tuple((label, value) for label, value in chosen if value),
        operator=objective.op,
        threshold=objective.value,
    )


def _histogram(measure: HistogramMeasure, objective: Objective) -> Histogram | NativeHistogram:
    kind = Histogram if measure.kind == "histogram" else NativeHistogram
    return kind(
        metric=measure.metric,
        matchers=measure.matchers,
        threshold=objective.value or 0.0,
        operator=objective.op or Operator.LTE,
    )


def _text(length: timedelta) -> str:
    """A duration as Prometheus reads it: `1m`, `90s`."""
    seconds = int(length.total_seconds())
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
