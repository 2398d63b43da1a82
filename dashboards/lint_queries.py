"""What is wrong with the queries of a dashboard beside the catalogue of metrics, in sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from dashboards.lint import links_of, place, sentences
from dashboards.queries import (
    annotation_labels,
    annotation_queries,
    as_promql,
    counted,
    groupings,
    labels_of_tree,
    legend_labels,
    panels_of,
    result_labels,
    variable_queries,
    zeros,
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
_FIELD_LABEL = re.compile(r"__field\.labels\.(\w+)")
_IS_LABEL = re.compile(r"(?!Time$|Value$)\w+")
_OF_COUNTERS = frozenset({"rate", "irate", "increase", "resets"})
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
    told = annotation_labels(document)
    for name, expr in annotation_queries(document):
        found += [(f"annotation {name}", *one) for one in _query(expr, told[name], labels)]
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
    yield from _told(panel, labels)
    for indicator in shown.values():
        wanted = f"Definition: {indicator.name}, version {indicator.version}."
        if wanted not in panel.get("description", ""):
            yield f"it shows {indicator.name} and not the version of its definition", f"{wanted!r} in its description"


def _told(panel: Json, labels: Labels) -> Iterator[tuple[str, str]]:
    """Labels that become a column's title or part of a link are of one of the results, as far as one knows them."""
    try:
        results = [result_labels(t.get("expr", ""), labels.get) for t in panel.get("targets", ())]
    except ValueError:
        return
    known = [found for found in results if found is not None]
    if not known or len(known) < len(results):
        return
    has = frozenset[str]().union(*known)
    named = {n for link in links_of(panel) for n in _FIELD_LABEL.findall(link.get("url", ""))}
    renamed = (t.get("options", {}).get("renameByName", {}) for t in panel.get("transformations", ()))
    columns = {name for each in renamed for name in each if _IS_LABEL.fullmatch(name)}
    for label in sorted((named | columns) - has):
        yield f"a link or a column takes the label {label}, which no result has", f"one of {sorted(has)}"


def _query(expr: str, named: frozenset[str], labels: Labels) -> Iterator[tuple[str, str]]:
    """What is wrong with a query whose result must have some labels."""
    try:
        found = selectors(as_promql(expr))
    except ValueError as error:
        yield f"{expr} {error}", "PromQL"
        return
    if not found:
        yield f"{expr} asks for no metric", "one"
    for selector in found:
        yield from _selector(selector, labels)
    for function, name in counted(expr):
        if (function in _OF_COUNTERS) is not _is_counter(name):
            wanted = "rate, increase" if _is_counter(name) else "delta, deriv"
            yield f"{expr} takes {function}() of {name}", f"{wanted}, for a counter starts again at 0 and a gauge falls"
    if zeros(expr):
        yield f"{expr} is 0 where there is no data", "nothing: no data looks unlike 0"
    for grouped, below in groupings(expr):
        inside = labels_of_tree(below, labels.get)
        for label in sorted(grouped - inside if inside is not None else ()):
            yield f"{expr} groups by {label}, which nothing below has", "one of its labels"
    result = result_labels(expr, labels.get)
    for label in sorted(named - result if result is not None else ()):
        yield f"{label} is read from the result of {expr}, which has no such label", "one of its labels"


def _is_counter(name: str) -> bool:
    return name.endswith("_total")


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
