"""Two queries of another format as one `ratioMetric` of OpenSLO v1: good or bad events, and all events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from collector.document import DocumentPath
from slo_engine.importers.conversion import PREFIX, Conversion, prometheus
from slo_engine.importers.queries import Query, events, same_unit


@dataclass(frozen=True)
class Ratio:
    """An SLI of OpenSLO, and the annotations that belong to it."""

    sli: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


NO_RATIO = Ratio()
"""Stands in after a mistake was told."""


def counter_ratio(
    found: Conversion,
    kind: Literal["good", "bad"],
    part: tuple[DocumentPath, str],
    total: tuple[DocumentPath, str],
    *,
    counter: bool = True,
) -> Ratio:
    """The SLI of two queries, each given with its path. What is wrong with them is refused at that path.

    Without `counter` the metrics may go down, and only queries with a range of their own count anything.
    """
    part_query = found.checked(part[0], lambda: events(part[1]), None)
    total_query = found.checked(total[0], lambda: events(total[1]), None)
    if part_query is None or total_query is None:
        return NO_RATIO
    if not counter and not (part_query.windowed and total_query.windowed):
        problem = "a value that goes up and down is no count of events"
        found.refuse(total[0], problem, "counters, or queries with [{{.window}}] as their range")
    if not same_unit(part_query, total_query):
        problem = "counts per second, and the other query per window: their ratio is none"
        found.refuse(part[0] if total_query.was_increase else total[0], problem, "rate() in both queries")
    if part_query.was_increase and total_query.was_increase:
        found.note(part[0], "increase() became rate(): Paceline counts per second, the ratio is the same")
    metrics = {kind: prometheus(part_query.text), "total": prometheus(total_query.text)}
    return Ratio(
        {"ratioMetric": {"counter": True, **metrics}}, _grouped(found, (part[0], total[0]), part_query, total_query)
    )


def group_by(labels: tuple[str, ...]) -> dict[str, str]:
    """The annotation of labels an SLO is grouped by; none where there are none."""
    return {f"{PREFIX}group-by": ", ".join(labels)} if labels else {}


def _grouped(found: Conversion, paths: tuple[DocumentPath, DocumentPath], part: Query, total: Query) -> dict[str, str]:
    if part.by is None or total.by is None:
        at = paths[0] if part.by is None else paths[1]
        found.note(at, "summed over all series: to keep groups apart, name their labels: sum by (…)")
        return {}
    if set(part.by) != set(total.by):
        names = [", ".join(by) or "nothing" for by in (part.by, total.by)]
        problem = f"is grouped by {names[0]}, and the total by {names[1]}"
        found.refuse(paths[0], problem, "the same labels in both queries")
    return group_by(total.by)
