"""What is wrong with the queries of a dashboard beside the catalogue of metrics, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from dashboards.lint import place, sentences
from dashboards.queries import (
    annotation_queries,
    as_promql,
    groupings,
    labels_of_tree,
    legend_labels,
    panels_of,
    result_labels,
    variable_queries,
)
from slo_engine.catalog import catalog, metrics_of
from slo_engine.indicator import Indicator
from slo_engine.promql import Selected, selectors

Json = Mapping[str, Any]
Labels = Mapping[str, frozenset[str]]
"""The labels of each metric by its name."""

SCRAPED_LABELS = frozenset({"instance", "job"})
"""What Prometheus adds to every series that it scrapes."""
RECORDED_LABELS = frozenset({"group", "slo"})
ALERT_LABELS = frozenset(("alertname", "alertstate", "slo", "group", "service", "team", "tier", "severity", "source"))


def query_findings(document: Json, indicators: Iterable[Indicator], recorded: Collection[str] = ()) -> list[str]:
    """What is wrong with the queries of a board, one sentence each; empty if nothing is.

    They must parse, and name metrics that are published for these indicators, or `recorded` by rules, and labels that
    these have. Where a panel shows an indicator, its description must name the definition and its version.
    """
    declared = tuple(indicators)
    labels = {m.name: frozenset(m.labels) | SCRAPED_LABELS for m in catalog(declared)}
    labels |= dict.fromkeys(recorded, RECORDED_LABELS) | {"ALERTS": ALERT_LABELS}
    owners = {m.name: i for i in declared for m in metrics_of(i).all()}
    found = [(place(p), what, expected) for p in panels_of(document) for what, expected in _panel(p, labels, owners)]
    for name, selector, label in variable_queries(document):
        found += [(f"variable {name}", *one) for one in _query(selector, frozenset({label}), labels)]
    for name, expr in annotation_queries(document):
        found += [(f"annotation {name}", *one) for one in _query(expr, frozenset(), labels)]
    return sentences(document, found)


def metrics_in(document: Json) -> set[str]:
    """The names of the metrics that a board asks for. Raises ValueError for what is no PromQL."""
    exprs = [t["expr"] for p in panels_of(document) for t in p.get("targets", ())]
    exprs += [selector for _, selector, _ in variable_queries(document)]
    exprs += [expr for _, expr in annotation_queries(document)]
    return {name for expr in exprs for one in selectors(as_promql(expr)) for name in _names(one)}


def _panel(panel: Json, labels: Labels, owners: Mapping[str, Indicator]) -> Iterator[tuple[str, str]]:
    shown = dict[str, Indicator]()
    for target in panel.get("targets", ()):
        expr = target.get("expr", "")
        wrong = list(_query(expr, legend_labels(target), labels))
        yield from wrong
        if not wrong:
            names = [name for one in selectors(as_promql(expr)) for name in _names(one)]
            shown |= {owners[name].name: owners[name] for name in names if name in owners}
    for indicator in shown.values():
        wanted = f"Definition: {indicator.name}, version {indicator.version}."
        if wanted not in panel.get("description", ""):
            yield f"it shows {indicator.name} and not the version of its definition", f"{wanted!r} in its description"


def _query(expr: str, named: frozenset[str], labels: Labels) -> Iterator[tuple[str, str]]:
    """What is wrong with a query whose result must have some labels."""
    try:
        found = selectors(as_promql(expr))
    except ValueError as error:
        yield f"{expr} {error}", "PromQL"
        return
    for selector in found:
        yield from _selector(selector, labels)
    for grouped, below in groupings(expr):
        inside = labels_of_tree(below, labels.get)
        for label in sorted(grouped - inside if inside is not None else ()):
            yield f"{expr} groups by {label}, which nothing below has", "one of its labels"
    result = result_labels(expr, labels.get)
    for label in sorted(named - result if result is not None else ()):
        yield f"{label} is read from the result of {expr}, which has no such label", "one of its labels"


def _selector(selector: Selected, labels: Labels) -> Iterator[tuple[str, str]]:
    names = _names(selector)
    unknown = [name for name in names if name not in labels]
    if unknown or not names:
        yield f"{selector.text} names {', '.join(unknown) or 'no metric'}", "a metric of the catalogue, or a recording"
    matched = {label for label, _, _ in selector.matchers} - {"__name__"}
    for name in (n for n in names if n in labels):
        for label in sorted(matched - labels[name]):
            yield f"{selector.text} filters by {label}", f"a label of {name}: {', '.join(sorted(labels[name]))}"


def _names(selector: Selected) -> list[str]:
    """The metric that a selector names, or those of an alternative `__name__=~"a|b"`."""
    listed = (value.split("|") for label, _, value in selector.matchers if label == "__name__")
    return [selector.metric] if selector.metric else [name for names in listed for name in names]
