"""The queries inside a finished dashboard, and what follows from their text: times, and the labels of their results.

For the lint, for tests and for a check against a real Prometheus. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from slo_engine.promql import parsed

# A dollar and a digit are a group of a pattern.
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::\w+)?\}|([A-Za-z_]\w*))")
_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_LABEL_VALUES = re.compile(r"label_values\((.+),\s*(\w+)\)")

# What stands for a variable while a query is looked at: odd times, by which they are known again in its tree.
_STANDS_FOR = {
    "__rate_interval": "4111s",
    "__interval": "2111s",
    "__range": "8111s",
    "__range_s": "8111",
    "__range_ms": "8111000",
    "__interval_ms": "2111000",
}
_CHOSEN = "6111s"
_SECONDS = {4111: "$__rate_interval", 2111: "$__interval", 8111: "$__range", 6111: "a variable"}
_SETS = frozenset({"and", "unless"})
_SCALARS = frozenset({"time", "scalar", "pi"})
_COMPARING = frozenset({"==", "!=", ">", "<", ">=", "<="})
_MEASURED = re.compile(r"(?<!_timestamp)_(ratio|seconds)$")
_KEEP_MEASURE = frozenset(
    (
        *("sum", "avg", "min", "max", "topk", "bottomk", "limitk"),
        *("avg_over_time", "min_over_time", "max_over_time", "last_over_time"),
        *("abs", "clamp", "clamp_min", "clamp_max", "sort", "sort_desc", "label_replace", "label_join"),
    )
)
_CHANGES = frozenset({"rate", "irate", "increase", "resets", "delta", "idelta", "deriv"})
_PICKING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})

Known = Callable[[str], frozenset[str] | None]
"""The labels that the series of a metric may have; None where nobody knows."""


class Range(NamedTuple):
    """A range of time in a query: the function that reads it, and how long it is, by its variable or in seconds."""

    function: str
    length: str


def panels_of(dashboard_json: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The panels from top to bottom, rows and what is folded into them included."""
    return [one for panel in dashboard_json["panels"] for one in (panel, *panel.get("panels", ()))]


def queries(dashboard_json: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The title of a panel and an expression of it, with its variables, for each query from top to bottom."""
    return [
        (panel["title"], target["expr"]) for panel in panels_of(dashboard_json) for target in panel.get("targets", ())
    ]


def variable_queries(dashboard_json: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The name, the selector and the label of each variable that reads `label_values(selector, label)`."""
    found = []
    for variable in dashboard_json["templating"]["list"]:
        match = _LABEL_VALUES.fullmatch(variable["query"])
        if match:
            found.append((variable["name"], match[1], match[2]))
    return found


def is_label_values(query: str) -> bool:
    """Whether a variable's query is `label_values(selector, label)`, which `variable_queries` reads."""
    return _LABEL_VALUES.fullmatch(query) is not None


def annotation_queries(dashboard_json: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The name and the expression of each annotation that asks Prometheus."""
    listed = dashboard_json.get("annotations", {}).get("list", ())
    return [(one["name"], one["target"]["expr"]) for one in listed if "expr" in one.get("target", {})]


def annotation_labels(dashboard_json: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The labels that the words of each annotation name."""
    listed = dashboard_json.get("annotations", {}).get("list", ())
    return {
        one["name"]: frozenset(_LEGEND.findall(one.get("titleFormat", "") + one.get("textFormat", "")))
        for one in listed
    }


def legend_labels(target: Mapping[str, Any]) -> frozenset[str]:
    """The labels that the legend of a query names."""
    return frozenset(_LEGEND.findall(target.get("legendFormat", "")))


def variables_in(text: str) -> set[str]:
    """The names of the variables that a text uses: `$name`, `${name}` or `${name:format}`."""
    return {braced or bare for braced, bare in _VARIABLE.findall(text)}


def substituted(expr: str, variables: Mapping[str, str]) -> str:
    """An expression with values in place of its variables, as Grafana sends it.

    Several values are written as a pattern, `(a|b)`. Raises KeyError naming a variable that has no value.
    """
    return _VARIABLE.sub(lambda match: variables[match[1] or match[2]], expr)


def as_promql(expr: str) -> str:
    """An expression with something in place of each variable that is a label's value as well as a length of time."""
    return _VARIABLE.sub(lambda match: _STANDS_FOR.get(match[1] or match[2], _CHOSEN), expr)


def ranges(expr: str) -> list[Range]:
    """The ranges of time that functions read. Raises ValueError for what is no PromQL."""
    found = []
    for node in _walk(parsed(as_promql(expr))):
        if _kind(node) == "Call":
            lengths = [a.range.total_seconds() for a in node.args if _kind(a) in {"MatrixSelector", "SubqueryExpr"}]
            found += [Range(node.func.name, _SECONDS.get(int(s), f"{s:.0f}s")) for s in lengths]
    return found


def counted(expr: str) -> list[tuple[str, str]]:
    """Each function of how a counter or a gauge changes, with the metric that it reads.

    Raises ValueError for what is no PromQL.
    """
    calls = [n for n in _walk(parsed(as_promql(expr))) if _kind(n) == "Call" and n.func.name in _CHANGES]
    selectors = [(n.func.name, a.vector_selector) for n in calls for a in n.args if _kind(a) == "MatrixSelector"]
    return [(function, selector.name) for function, selector in selectors if selector.name]


def zeros(expr: str) -> bool:
    """Whether a query gives a number of its own where there is no data. Raises ValueError for what is no PromQL."""
    either = [n for n in _walk(parsed(as_promql(expr))) if _kind(n) == "BinaryExpr" and str(n.op) == "or"]
    return any(_kind(n) == "Call" and n.func.name == "vector" for one in either for n in _walk(one.rhs))


def measure(expr: str) -> str:
    """The base unit of a result, by the names of its metrics: ratio, seconds; empty where the text does not say.

    Raises ValueError for what is no PromQL.
    """
    return _measure(parsed(as_promql(expr)))


def _measure(node: Any) -> str:
    kind = _kind(node)
    if kind == "VectorSelector":
        return _measure_named([node.name] if node.name else _named(node))
    if kind == "BinaryExpr":
        return _measure_of_two(node)
    if kind == "Call":
        return _measure(node.args[0]) if node.func.name in _KEEP_MEASURE else ""
    if kind == "AggregateExpr":
        return _measure(node.expr) if str(node.op) in _KEEP_MEASURE else ""
    below = node.vector_selector if kind == "MatrixSelector" else getattr(node, "expr", None)
    return "" if below is None else _measure(below)


def _measure_named(names: Sequence[str]) -> str:
    found = {match[1] if (match := _MEASURED.search(name)) else "" for name in names}
    return found.pop() if len(found) == 1 else ""


def _measure_of_two(node: Any) -> str:
    left, right, operator = _measure(node.lhs), _measure(node.rhs), str(node.op)
    if operator in _SETS or operator in _COMPARING:
        return right if _is_scalar(node.lhs) else left
    return left if left == right and operator in {"or", "+", "-"} else ""


def groupings(expr: str) -> list[tuple[frozenset[str], Any]]:
    """The labels that each `by` names, and the tree below it. Raises ValueError for what is no PromQL."""
    nodes = [n for n in _walk(parsed(as_promql(expr))) if _kind(n) == "AggregateExpr" and n.modifier]
    return [(frozenset(n.modifier.labels), n.expr) for n in nodes if not _is_without(n.modifier)]


def result_labels(expr: str, known: Known) -> frozenset[str] | None:
    """The labels that the series of a result may have; None where the text does not say and `known` neither.

    Raises ValueError for what is no PromQL.
    """
    return labels_of_tree(parsed(as_promql(expr)), known)


def labels_of_tree(node: Any, known: Known) -> frozenset[str] | None:
    """As `result_labels`, for a part of a query."""
    made = _LABELS.get(_kind(node))
    return made(node, known) if made else frozenset()


def _of_selector(node: Any, known: Known) -> frozenset[str] | None:
    names = [node.name] if node.name else _named(node)
    found = [known(name) for name in names]
    return frozenset[str]().union(*(f for f in found if f)) if found and None not in found else None


def _named(node: Any) -> list[str]:
    return [name for m in node.matchers.matchers if m.name == "__name__" for name in m.value.split("|")]


def _of_call(node: Any, known: Known) -> frozenset[str] | None:
    below = [labels_of_tree(a, known) for a in node.args if _kind(a) not in {"NumberLiteral", "StringLiteral"}]
    if not below or node.func.name in _SCALARS:
        return frozenset()
    if below[0] is not None and node.func.name in {"label_replace", "label_join"}:
        return below[0] | {node.args[1].val}
    return below[-1] if node.func.name == "histogram_quantile" else below[0]


def _of_aggregate(node: Any, known: Known) -> frozenset[str] | None:
    below = labels_of_tree(node.expr, known)
    if str(node.op) in _PICKING:
        return below
    if node.modifier is None:
        return frozenset()
    named = frozenset[str](node.modifier.labels)
    if _is_without(node.modifier):
        return None if below is None else below - named
    return named if below is None else named & below


def _of_binary(node: Any, known: Known) -> frozenset[str] | None:
    left, right = labels_of_tree(node.lhs, known), labels_of_tree(node.rhs, known)
    if _is_scalar(node.lhs) or _is_scalar(node.rhs):
        return right if _is_scalar(node.lhs) else left
    if str(node.op) in _SETS:
        return left
    if str(node.op) == "or":
        return None if left is None or right is None else left | right
    return _matched(node.modifier, left, right)


def _matched(modifier: Any, left: frozenset[str] | None, right: frozenset[str] | None) -> frozenset[str] | None:
    """The labels of what is matched one to one, or many to one."""
    card = str(modifier.card).rpartition(".")[2] if modifier else "OneToOne"
    if card != "OneToOne":
        many = left if card == "ManyToOne" else right
        return None if many is None else many | frozenset(modifier.group_labels or ())
    if modifier is None or modifier.matching is None:
        return left
    named = frozenset[str](modifier.matching.labels)
    if str(modifier.matching.type).endswith("Include"):
        return named if left is None else named & left
    return None if left is None else left - named


def _is_scalar(node: Any) -> bool:
    kind = _kind(node)
    if kind in {"ParenExpr", "UnaryExpr"}:
        return _is_scalar(node.expr)
    if kind == "BinaryExpr":
        return _is_scalar(node.lhs) and _is_scalar(node.rhs)
    return kind == "NumberLiteral" or (kind == "Call" and node.func.name in _SCALARS)


def _is_without(modifier: Any) -> bool:
    return str(modifier.type).endswith("Without")


def _kind(node: Any) -> str:
    # The library of the tree has one owner, slo_engine.promql; by their names its nodes are known everywhere.
    return type(node).__name__


def _below(node: Any, known: Known) -> frozenset[str] | None:
    return labels_of_tree(node.vector_selector if _kind(node) == "MatrixSelector" else node.expr, known)


_LABELS: Mapping[str, Callable[[Any, Known], frozenset[str] | None]] = {
    "VectorSelector": _of_selector,
    "MatrixSelector": _below,
    "SubqueryExpr": _below,
    "ParenExpr": _below,
    "UnaryExpr": _below,
    "Call": _of_call,
    "AggregateExpr": _of_aggregate,
    "BinaryExpr": _of_binary,
}


def _walk(node: Any) -> Iterator[Any]:
    """A node of a tree and all below it."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        below = (getattr(found, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector"))
        waiting.extend(one for one in (*below, *(getattr(found, "args", None) or ())) if _kind(one) in _NODES)


_NODES = frozenset({*_LABELS, "NumberLiteral", "StringLiteral"})
