"""PromQL of other formats as Paceline counts: events per second, with `$__window` for the range. Pure.

The syntax trees are those of `slo_engine/promql.py`, the library's owner; nodes are told apart by the name of their
class, so that this module does not import the library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slo_engine import promql
from slo_engine.promql import WINDOW

_TEMPLATE = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
_COMMENT = re.compile(r"#[^\n]*")
_INCREASE = re.compile(r"\bincrease(?=\s*\()")
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_PER_WINDOW = ("sum_over_time", "count_over_time", "changes", "resets")
_SCALING_AGGREGATES = {"sum", "avg", "min", "max", "topk", "bottomk"}
_SCALING_BINARIES = {"+", "-", "or", "and", "unless"}
_EVENTS = "events per second of a counter, such as sum(rate(errors_total[{{.window}}]))"


@dataclass(frozen=True)
class Query:
    """PromQL that Paceline's files take, and whether `increase` became `rate`.

    `by` are the labels its result is grouped by; None where the query does not name them.
    """

    text: str
    by: tuple[str, ...] | None = ()
    was_increase: bool = False

    @property
    def windowed(self) -> bool:
        """Whether it has a range, rather than being the selector of a counter."""
        return WINDOW in self.text


def windowed(text: str) -> str:
    """The text without comments and with `$__window` for `{{.window}}`.

    Raises ValueError where another template is left.
    """
    found = _outside_quotes(_COMMENT, "", _TEMPLATE.sub(WINDOW, text)).strip()
    left = re.search(r"\{\{.*?\}\}", _QUOTED.sub("", found))
    if left is not None:
        raise ValueError(f"the template {left[0][:40]} is not known; expected only {{{{.window}}}}")
    return found


def events(text: str) -> Query:
    """The events of a query, per second. Raises ValueError saying what was expected.

    `increase` becomes `rate` where that scales the whole result and changes nothing else; the sum of a counter becomes
    the counter, because Paceline takes rates before sums.
    """
    query = windowed(text)
    tree = _tree(query)
    if WINDOW not in query:
        if any(_kind(n) in {"MatrixSelector", "SubqueryExpr"} for n in _nodes(tree)):
            raise ValueError("reads a range of its own; expected {{.window}} in its place")
        return Query(_counter(_summed_counter(tree) or query))
    names = [n.func.name for n in _nodes(tree) if _kind(n) == "Call"]
    for name in names:
        if name in _PER_WINDOW:
            raise ValueError(f"{name}() counts per window, and differently for each window; expected {_EVENTS}")
    increases = "increase" in names
    if increases and not _scales(tree):
        raise ValueError(f"increase() counts per window and its result is used with other numbers; expected {_EVENTS}")
    if increases:
        query = _outside_quotes(_INCREASE, "rate", query)
    return Query(_counter(query), _grouping(tree), increases)


def _counter(query: str) -> str:
    """The query, checked as Paceline's own files are; what to write is said in the words of the other format."""
    try:
        return promql.counter(query)
    except ValueError as error:
        raise ValueError(str(error).replace(WINDOW, "{{.window}}")) from None


def same_unit(part: Query, total: Query) -> bool:
    """Whether both count in the same unit; if not, their ratio was wrong in the other format."""
    return part.was_increase == total.was_increase or not (part.windowed and total.windowed)


def quotient(text: str) -> tuple[str, str, bool]:
    """Numerator and denominator of a ratio, and whether it counts the good (`1 - good / total`).

    Raises ValueError where the query is no quotient that can be taken apart.
    """
    query = windowed(text)
    stand_in = _stand_in(query)
    tree = _inside(_tree(query))
    good = _kind(tree) == "BinaryExpr" and str(tree.op) == "-" and _number(tree.lhs) == 1
    if good:
        tree = _inside(tree.rhs)
    if _kind(tree) != "BinaryExpr" or str(tree.op) != "/" or tree.modifier is not None:
        problem = "a ratio is no count of events, and this one is no quotient that can be taken apart"
        raise ValueError(f"{problem}; expected bad events / all events, or 1 - good events / all events")
    return _text(tree.lhs, stand_in), _text(tree.rhs, stand_in), good


@dataclass(frozen=True)
class Selector:
    """A selector of series: the metric's name and its matchers, as (label, sign, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def without(self, label: str) -> tuple[tuple[str, str, str], ...]:
        """The matchers of all other labels, sorted."""
        return tuple(sorted(m for m in self.matchers if m[0] != label))

    def values(self, label: str) -> list[tuple[str, str]]:
        """The sign and value of each matcher of a label."""
        return [(sign, value) for name, sign, value in self.matchers if name == label]


_SIGNS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def selector(text: str) -> Selector:
    """The parts of a selector. Raises ValueError where the text is more than one."""
    promql.gauge(text)
    tree: Any = promql.parsed(text)
    matchers = tree.matchers.matchers
    return Selector(tree.name or "", tuple((m.name, _SIGNS[str(m.op).rpartition(".")[2]], m.value) for m in matchers))


def written(name: str, matchers: tuple[tuple[str, str, str], ...]) -> str:
    """A selector as text."""
    escaped = ((k, s, v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for k, s, v in matchers)
    inside = ",".join(f'{k}{s}"{v}"' for k, s, v in escaped)
    return f"{name}{{{inside}}}" if inside else name


# ---- the tree


def _tree(query: str) -> Any:
    try:
        return promql.parsed(query.replace(WINDOW, _stand_in(query)))
    except ValueError as error:
        problem = str(error).partition("; expected ")[0]
        raise ValueError(f"{problem}; expected a query that Prometheus accepts") from None


def _stand_in(query: str) -> str:
    """A duration that stands for the window while a query is a tree: one that is printed as it is read."""
    return next(weeks for n in range(97, 1_000) if (weeks := f"{n}w") not in query)


def _text(node: Any, stand_in: str) -> str:
    """A part of a tree as a query, the window in its place again."""
    return str(node.prettify()).replace(stand_in, WINDOW)


def _kind(node: Any) -> str:
    return type(node).__name__


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        below = getattr(node, name, None)
        if below is not None:
            yield from _nodes(below)
    for argument in getattr(node, "args", None) or ():
        yield from _nodes(argument)


def _inside(node: Any) -> Any:
    while _kind(node) == "ParenExpr":
        node = node.expr
    return node


def _number(node: Any) -> float | None:
    node = _inside(node)
    return float(node.val) if _kind(node) == "NumberLiteral" else None


def _summed_counter(tree: Any) -> str:
    """The counter of `sum(counter)`, or empty text."""
    node = _inside(tree)
    if _kind(node) == "AggregateExpr" and str(node.op) == "sum" and node.modifier is None:
        inner = _inside(node.expr)
        return str(inner.prettify()) if _kind(inner) == "VectorSelector" else ""
    return ""


def _grouping(tree: Any) -> tuple[str, ...] | None:
    """The labels a query groups its result by; None where it does not name them."""
    node = _inside(tree)
    kind = _kind(node)
    if kind == "BinaryExpr":
        return _grouping(node.rhs) if _grouping(node.lhs) == () else _grouping(node.lhs)
    if kind == "Call":
        return () if node.func.name in {"vector", "scalar", "time"} else None
    if kind != "AggregateExpr":
        return () if kind == "NumberLiteral" else None
    if node.modifier is None:
        return ()
    return tuple(node.modifier.labels) if str(node.modifier.type).endswith("By") else None


def _scales(node: Any) -> bool:
    """Whether the result is multiplied by a number when every increase in it is: then rates give the same ratio."""
    node = _inside(node)
    kind = _kind(node)
    if kind == "Call":
        if node.func.name in {"vector", "clamp_min"}:
            return _number(node.args[-1]) == 0 and all(_scales(a) for a in node.args[:-1])
        return str(node.func.name) == "increase"
    if kind == "AggregateExpr":
        return str(node.op) in _SCALING_AGGREGATES and _scales(node.expr)
    if kind == "UnaryExpr":
        return _scales(node.expr)
    return kind == "BinaryExpr" and _binary_scales(node)


def _binary_scales(node: Any) -> bool:
    if str(node.op) in _SCALING_BINARIES:
        return _scales(node.lhs) and _scales(node.rhs)
    if str(node.op) == "*":
        numbers = [side for side in (node.lhs, node.rhs) if _number(side) is not None]
        return len(numbers) == 1 and any(_scales(side) for side in (node.lhs, node.rhs))
    return str(node.op) == "/" and _number(node.rhs) is not None and _scales(node.lhs)


def _outside_quotes(pattern: re.Pattern[str], by: str, query: str) -> str:
    """The query with a pattern replaced, but not inside strings."""
    pieces = re.split(f"({_QUOTED.pattern})", query)
    return "".join(p if i % 2 else pattern.sub(by, p) for i, p in enumerate(pieces))
