"""What one field of an SLO file alone cannot say: keys that need or exclude each other. Pure.

Each check runs over a file of any shape: it is silent where the shape itself is wrong, which validation answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from collector.document import Document, DocumentPath, nearest
from collector.errors import Mistake
from slo_engine.openslo_model import PREFIX, Annotations
from slo_engine.openslo_objects import Objects, Place

_SLICES = ("timeSliceTarget", "timeSliceWindow")
_EXAMPLES = {"timeSliceTarget": "a ratio above 0 and at most 1, such as 0.95", "timeSliceWindow": "a slice such as 1m"}


def slo_mistakes(document: Document, objects: Objects) -> Iterator[Mistake]:
    """All mistakes of this kind in the document of an SLO."""
    spec = Place(document, ("spec",))
    yield from _window(spec)
    objectives = spec.items("objectives")
    if spec.get("objectives") == []:
        yield spec.at("objectives").mistake("is empty", "one item or more")
    yield from _sli(spec, objectives)
    for objective in objectives:
        yield from _target(objective, composite=is_composite(spec))
        yield from _slices(objective, spec.get("budgetingMethod"))
    yield from _service(spec, objects)


def is_composite(spec: Place) -> bool:
    """Whether the objectives of an SLO have indicators of their own."""
    return any(o.given("indicator", "indicatorRef") for o in spec.items("objectives"))


def _window(spec: Place) -> Iterator[Mistake]:
    windows = spec.items("timeWindow")
    if spec.get("timeWindow") == []:
        yield spec.at("timeWindow").mistake("is empty", "one item")
    if len(windows) > 1:
        yield windows[1].mistake("a second window", "one; write an SLO for each")
    for window in windows[:1]:
        yield from _kind_of_window(window)


def _kind_of_window(window: Place) -> Iterator[Mistake]:
    rolling, calendar, duration = (window.get(k) for k in ("isRolling", "calendar", "duration"))
    by_calendar = isinstance(duration, str) and duration[-1:] in {"M", "Q", "Y"}
    if rolling is None and calendar is None:
        yield window.at("isRolling").mistake("is missing", "true, or a calendar with timeZone")
    if rolling is True and calendar is not None:
        yield window.at("calendar").mistake("stands beside isRolling: true", "one of the two")
    if rolling is False and calendar is None:
        expected = "{timeZone: Europe/Berlin, startTime: 2026-01-01 00:00:00}"
        yield window.at("calendar").mistake("is missing", expected)
    if rolling is True and calendar is None and by_calendar:
        problem = f"{duration!r} is of the calendar, so it does not roll"
        yield window.at("duration").mistake(problem, "a window such as 28d, or isRolling: false and a calendar")


def _sli(spec: Place, objectives: list[Place]) -> Iterator[Mistake]:
    outside = spec.given("indicator", "indicatorRef")
    if not is_composite(spec):
        if not outside and isinstance(spec.get(), dict):
            yield spec.at("indicator").mistake("is missing", "a mapping with the indicator's spec, or indicatorRef")
        for objective in objectives:
            if "compositeWeight" in objective.keys():  # noqa: SIM118 - a method of ours
                problem = "weighs only where each objective has an indicator of its own"
                yield objective.at("compositeWeight").mistake(problem, "no compositeWeight")
        return
    for key in outside:
        yield spec.at(key).mistake("stands beside the indicators of the objectives", "it in each objective instead")
    for objective in objectives:
        if not objective.given("indicator", "indicatorRef"):
            yield objective.at("indicator").mistake("is missing", "indicator or indicatorRef, as the others have")
    if len(objectives) == 1:
        yield objectives[0].mistake("a composite of one", "two objectives or more, or the indicator under spec")
    if spec.get("budgetingMethod") in ("Timeslices", "RatioTimeslices"):
        problem = "a composite weighs burn rates, which slices of time do not have together"
        yield spec.at("budgetingMethod").mistake(problem, "Occurrences")


def _target(objective: Place, *, composite: bool) -> Iterator[Mistake]:
    given = {"target", "targetPercent"} & objective.keys()
    if not given and not (composite and refers_to_slo(objective)):
        expected = "a ratio above 0 and below 1, such as 0.999"
        yield objective.at("target").mistake("is missing", expected)
    if len(given) > 1:
        yield objective.at("targetPercent").mistake("stands beside target", "one of the two")


def refers_to_slo(objective: Place) -> bool:
    """Whether an objective of a composite is another SLO: that one has the target."""
    return objective.get("indicator", "spec", "ratioMetric", "raw", "metricSource", "spec", "slo") is not None


def _slices(objective: Place, method: object) -> Iterator[Mistake]:
    wanted = {"Timeslices": _SLICES, "RatioTimeslices": _SLICES[1:], "Occurrences": ()}.get(str(method))
    if wanted is None:
        return
    for key in _SLICES:
        given = key in objective.keys()  # noqa: SIM118 - a method of ours
        if key in wanted and not given:
            yield objective.at(key).mistake("is missing", _EXAMPLES[key])
        if given and key not in wanted:
            meant = "Timeslices" if key == _SLICES[0] else "Timeslices or RatioTimeslices"
            yield objective.at(key).mistake(f"does nothing with {method}", f"budgetingMethod: {meant}, or no {key}")


def _service(spec: Place, objects: Objects) -> Iterator[Mistake]:
    """Where the files describe services, an SLO belongs to one of them."""
    name, known = spec.get("service"), objects.names("Service")
    if isinstance(name, str) and name and known and name not in known:
        expected = nearest(name, known) or f"one of {', '.join(known)}"
        yield spec.at("service").mistake(f"there is no Service {name[:60]!r}", expected)


# ---- annotations


def settings_in(document: Document) -> tuple[Document, Place]:
    """The document as Paceline's annotations see it: only `paceline.dev/…`, without the prefix; and where they are."""
    place = Place(document, ("metadata", "annotations"))
    ours = {k.removeprefix(PREFIX): place.get(k) for k in place.keys() if k.startswith(PREFIX)}  # noqa: SIM118 - ours
    lines: dict[DocumentPath, int] = {(): document.line(place.path)} | {
        (k,): document.line(place.at(PREFIX + k).path) for k in ours
    }
    return Document(document.file, ours, lines), place


def annotation_mistakes(document: Document) -> Iterator[Mistake]:
    """Annotations with Paceline's prefix that it does not know."""
    found, place = settings_in(document)
    known = sorted(f.alias or n for n, f in Annotations.model_fields.items())
    for key in found.value:
        if key not in known:
            near = nearest(key, known)
            listed = ", ".join(PREFIX + k for k in known)
            expected = f"{PREFIX}{near}; the annotations are {listed}" if near else f"one of {listed}"
            yield place.at(PREFIX + key).mistake("unknown annotation", expected)
