"""The SLOs that one OpenSLO document says, and its composite. Pure.

Objectives, their SLIs, the window, the annotations and the alert policies come together here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from collector.document import Document, nearest, validate
from collector.errors import ConfigError, Mistake
from slo_engine.indicator import Indicator
from slo_engine.openslo_alerts import Alert, out_of_reach, policies_of
from slo_engine.openslo_checks import annotation_mistakes, is_composite, settings_in, slo_mistakes
from slo_engine.openslo_model import PREFIX, Annotations, Objective, SloFile, SloSource, TimeWindow
from slo_engine.openslo_objects import Objects, Place, collected, exact
from slo_engine.openslo_sli import IndicatorMeasure, Measure, judged, measured, sli_of, unfit_slice, unsuited
from slo_engine.openslo_values import name as checked_name
from slo_engine.openslo_values import slug
from slo_engine.promql import CounterRatio, loses
from slo_engine.slo import Budgeting, Composite, IndicatorSli, Part, Sli, Slo
from slo_engine.windows import CALENDAR_SIGNS, CalendarWindow, Window, parse_window

_BUDGETING: dict[str, Budgeting] = {
    "Occurrences": "occurrences",
    "Timeslices": "timeslices",
    "RatioTimeslices": "ratio_timeslices",
}
_DECIMALS = Decimal("1e-9")


@dataclass(frozen=True)
class ReadDocument:
    """A document as read: its SLOs, each with the place of its name; and what a composite is made of."""

    file: SloFile
    place: Place
    settings: Annotations
    window: Window | CalendarWindow
    alerts: tuple[Alert, ...]
    slos: list[tuple[Slo, Place]]
    parts: list[tuple[Part, Place]]


@dataclass(frozen=True)
class _Judged:
    """An objective that was checked: where it stands, and what it measures."""

    place: Place
    measure: Measure


def read_slos(document: Document, objects: Objects, indicators: Mapping[str, Indicator]) -> ReadDocument:
    """Raises ConfigError with all mistakes of the document."""
    document = exact(document)
    spec = Place(document, ("spec",))
    mistakes = list(slo_mistakes(document, objects))
    file = collected(mistakes, validate, document, SloFile)
    settings = collected(mistakes, _settings, document)
    window = collected(mistakes, _window, spec, file)
    objectives = _objectives(spec, objects, indicators, mistakes)
    alerts = collected(mistakes, policies_of, spec, objects)
    if file is None or settings is None or window is None or alerts is None or mistakes:
        raise ConfigError(*mistakes)
    if len(objectives) != len(file.spec.objectives):
        raise ConfigError  # what is missing is said in the file of the SLI
    read = ReadDocument(file, Place(document), settings, window, tuple(alerts), [], [])
    for number, objective in enumerate(objectives):
        mistakes.extend(_grouped(read, objective))
        at = objective.place
        mistakes.extend(unfit_slice(objective.measure, file.spec.objectives[number], at, window.length))
        collected(mistakes, _add, read, number, objective)
    if not is_composite(spec):
        mistakes.extend(m for slo, _ in read.slos for m in out_of_reach(alerts, slo.name, 1 / (1 - slo.target)))
    if mistakes:
        raise ConfigError(*mistakes)
    return read


def _settings(document: Document) -> Annotations:
    """Paceline's annotations. Raises ConfigError with paths as they stand in the file."""
    found, place = settings_in(document)
    unknown = list(annotation_mistakes(document))
    fields = {f.alias or n for n, f in Annotations.model_fields.items()}
    texts = {k: v for k, v in found.value.items() if k in fields and isinstance(v, str)}
    try:
        settings = validate(replace(found, value=texts), Annotations)
    except ConfigError as error:
        prefix = f"{'.'.join(map(str, place.path))}.{PREFIX}"
        raise ConfigError(*unknown, *(replace(m, path=prefix + m.path) for m in error.mistakes)) from None
    if unknown:
        raise ConfigError(*unknown)
    return settings


def _window(spec: Place, file: SloFile | None) -> Window | CalendarWindow:
    """Raises ConfigError; without a mistake where the checks of the file say it."""
    if file is None or len(file.spec.time_window) != 1:
        raise ConfigError
    given = file.spec.time_window[0]
    if given.calendar:
        return _of_calendar(given, spec.at("timeWindow", 0))
    if given.duration[-1] in {"M", "Q", "Y"}:
        raise ConfigError
    return parse_window(given.duration)


def _of_calendar(given: TimeWindow, place: Place) -> CalendarWindow:
    assert given.calendar is not None  # noqa: S101 - the caller asked
    sign = given.duration[-1]
    if sign not in CALENDAR_SIGNS:
        raise place.at("duration").refused(f"{given.duration!r} is not of the calendar", "a number of d, w, M, Q or Y")
    try:
        made = CalendarWindow(CALENDAR_SIGNS[sign], int(given.duration[:-1]), given.calendar.time_zone)
    except ValueError as error:
        raise _split(place.at("duration"), error) from None
    try:
        started = replace(made, start=given.calendar.start_time)
    except ValueError as error:
        raise _split(place.at("calendar", "startTime"), error) from None
    return made if made.count == 1 else started  # the start of a single unit is the unit's own


def _split(place: Place, error: ValueError) -> ConfigError:
    problem, _, expected = str(error).partition("; expected ")
    return place.refused(problem, expected or "a shorter window")


def _objectives(
    spec: Place, objects: Objects, indicators: Mapping[str, Indicator], mistakes: list[Mistake]
) -> list[_Judged]:
    """What each objective measures; those whose SLI is broken are left out, and their mistakes added."""
    found: list[_Judged] = []
    composite = is_composite(spec)
    for place in spec.items("objectives"):
        sli = collected(mistakes, sli_of, place if composite else spec, objects)
        measure = collected(mistakes, measured, sli, objects, indicators) if sli else None
        if sli is None or measure is None:
            continue
        mistakes.extend(unsuited(measure, sli, place))
        if isinstance(measure, SloSource) and not composite:
            at = sli.at("ratioMetric", "raw", "metricSource", "spec", "slo")
            mistakes.append(at.mistake("another SLO is measured only as a part of a composite", "an indicator"))
        found.append(_Judged(place, measure))
    return found


def _grouped(read: ReadDocument, objective: _Judged) -> Iterator[Mistake]:
    """Only what Prometheus measures alone has labels to group by."""
    composite = is_composite(read.place.at("spec"))
    at = read.place.at("metadata", "annotations", f"{PREFIX}group-by")
    if read.settings.group_by and (composite or isinstance(objective.measure, IndicatorMeasure)):
        problem = "the parts of a composite have no groups together" if composite else "an indicator has no labels"
        yield at.mistake(problem, "no group-by, or an SLI of Prometheus")
    if isinstance(objective.measure, CounterRatio):
        measure = objective.measure
        for query in filter(None, (measure.total_query, measure.good_query, measure.bad_query)):
            if lost := loses(query, read.settings.group_by):
                yield at.mistake(f"the query {query[:60]} sums {lost} away", f"sum by ({lost}) (…) in the query")


# ---- the SLOs of a document


def _add(read: ReadDocument, number: int, found: _Judged) -> None:
    """Adds the SLO of an objective, and its part of a composite. Raises ConfigError for a name that is none."""
    objective = read.file.spec.objectives[number]
    composite = is_composite(read.place.at("spec"))
    weight = objective.weight or Decimal(1)
    if isinstance(found.measure, SloSource):
        read.parts.append((Part(slo=found.measure.slo, weight=weight), found.place))
        return
    name, title, place = _named(read, number, objective)
    sli = judged(found.measure, objective)
    target = objective.target or objective.target_percent
    assert target is not None  # noqa: S101 - checked by slo_mistakes
    slo = _made(read, name, title, sli, target)
    slo = replace(slo, alert_policies=() if composite else slo.alert_policies)
    if isinstance(sli, IndicatorSli):
        slo = replace(slo, slice=objective.slice_window, slice_target=objective.slice_target)
    read.slos.append((slo, place))
    if composite:
        read.parts.append((Part(slo=name, weight=weight), found.place))


def _named(read: ReadDocument, number: int, objective: Objective) -> tuple[str, str, Place]:
    """Name, title, and where the name comes from: an only objective has those of the file."""
    metadata = read.file.metadata
    title = metadata.display_name or metadata.name
    if len(read.file.spec.objectives) == 1:
        return metadata.name, title, read.place.at("metadata", "name")
    place = read.place.at("spec", "objectives", number, "displayName")
    name = f"{metadata.name}-{slug(objective.display_name) or number + 1}"
    try:
        checked_name(name)
    except ValueError:
        problem = f"the SLO of this objective would be {name[:100]!r}, which is too long"
        raise place.refused(problem, "shorter names: at most 63 letters together") from None
    return name, f"{title}: {objective.display_name or number + 1}", place


def _made(read: ReadDocument, name: str, title: str, sli: Sli, target: Decimal) -> Slo:
    spec, settings = read.file.spec, read.settings
    return Slo(
        name=name,
        title=title,
        description=spec.description,
        owner_service=spec.service,
        target=target,
        window=read.window,
        sli=sli,
        sla_target=settings.sla_target,
        budgeting=_BUDGETING[spec.budgeting_method],
        group_by=settings.group_by,
        alert_policies=tuple(alert.policy for alert in read.alerts),
        team=settings.team,
        owner=settings.owner,
        tier=settings.tier,
        runbook=settings.runbook,
        review_at=settings.review_at,
        alert_class=settings.alert_class,
        minimum_events=settings.minimum_events,
        file=read.place.document.file,
        line=read.place.document.line(("metadata", "name")),
    )


# ---- the composite of a document


def composite_of(read: ReadDocument, by_name: Mapping[str, Slo]) -> Slo:
    """The composite of a document. Its target is the mean of its parts' by weight: so is its budget."""
    mistakes: list[Mistake] = []
    for number, (part, objective) in enumerate(read.parts):
        mistakes.extend(_of_part(read, part, objective, by_name))
        if part.slo in {other.slo for other, _ in read.parts[:number]}:
            mistakes.append(objective.mistake(f"{part.slo!r} is a part already", "each SLO once, with its weight"))
    if mistakes:
        raise ConfigError(*mistakes)
    weighed = [(by_name[part.slo], part.weight) for part, _ in read.parts]
    whole = sum(weight for _, weight in weighed)
    budget = sum((weight * (1 - slo.target) for slo, weight in weighed), Decimal(0)) / whole
    fastest = sum((weight / (1 - slo.target) for slo, weight in weighed), Decimal(0)) / whole
    metadata = read.file.metadata
    mistakes.extend(out_of_reach(read.alerts, metadata.name, fastest))
    if mistakes:
        raise ConfigError(*mistakes)
    title = metadata.display_name or metadata.name
    sli = Composite(parts=tuple(part for part, _ in read.parts))
    return _made(read, metadata.name, title, sli, (1 - budget).quantize(_DECIMALS).normalize())


def _of_part(read: ReadDocument, part: Part, objective: Place, by_name: Mapping[str, Slo]) -> Iterator[Mistake]:
    """The mistakes of a part that is an SLO of another document."""
    source = objective.at("indicator", "spec", "ratioMetric", "raw", "metricSource", "spec", "slo")
    if source.get() is None:
        return
    slo = by_name.get(part.slo)
    if part.slo == read.file.metadata.name:
        yield source.mistake("is the composite itself", "another SLO")
    elif slo is None:
        near = nearest(part.slo, by_name)
        expected = near or "the name of an SLO that is no composite"
        yield source.mistake(f"there is no SLO {part.slo[:60]!r} that can be a part", expected)
    else:
        given = objective.get("target"), objective.get("targetPercent")
        if given != (None, None):
            yield objective.mistake(f"{part.slo} has its own target", "no target here")
        if slo.window != read.window:
            yield source.mistake(f"{part.slo} has the window {slo.window.label}", read.window.label)
