"""SLIs that Prometheus measures: one class per kind, with what it says and the PromQL it becomes. Pure.

Sole importer of promql_parser. Every operand is put in parentheses, rates are taken before sums, and the bad events
are zero where there are none, with the labels of the total. Windows are Prometheus durations (`5m`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import promql_parser
from promql_parser import MatchOp

from collector.durations import parse_duration
from slo_engine.comparison import Operator

WINDOW = "$__window"
"""Stands for the range in an expression of an author: `sum(rate(errors_total[$__window]))`."""
_FLOAT_NOISE = Decimal("1e-9")
"""Rates are floats: a slice exactly at its target stays good."""
_NODE = promql_parser.Expr
_LENGTH = re.compile(r"(?:\boffset|\[|:)\s*[+-]?\s*([\w.]+(?:(?<=[eE])[+-]\d+)?)", re.IGNORECASE)
_MOST_SECONDS = 1e12
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`""")
_SIGNS = ((MatchOp.Equal, "="), (MatchOp.NotEqual, "!="), (MatchOp.Re, "=~"), (MatchOp.NotRe, "!~"))
_OTHER_UNITS = {"increase": "rate", "delta": "rate", "irate": "rate", "idelta": "rate"}
"""Functions that do not give events per second over the whole range, and the one that does."""
_SERIES_OF_HISTOGRAMS = ("_bucket", "_count", "_sum")
_LONGEST, _DEEPEST = 4_000, 200
"""Far above what people write, and far below what ends the stack of the parser."""
_SELECTOR = 'a selector such as http_requests_total{code=~"5.."}'
_EXPRESSION = f"an expression such as sum(rate(errors_total[{WINDOW}]))"


class Selected(NamedTuple):
    """A selector in a query: its text, the name of its metric, and its matchers as (label, sign, value)."""

    text: str
    metric: str
    matchers: tuple[tuple[str, str, str], ...]

    def only(self, keep: Callable[[str], bool]) -> str:
        """The text with the matchers of some labels alone."""
        return _select(self.metric, *(_matched(*m) for m in self.matchers if keep(m[0])))


# ---- the kinds


@dataclass(frozen=True, kw_only=True)
class CounterRatio:
    """Cumulative counters: `total`, and either the `good` or the `bad` ones of it.

    Each is the selector of a counter, or an expression with `$__window` as its range that gives events per second.
    OpenSLO: `ratioMetric` with `counter: true`.
    """

    total_query: str
    good_query: str = ""
    bad_query: str = ""

    def total(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of all events per second over the window."""
        return _rates(self.total_query, window, by)

    def bad(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of the bad events per second over the window; 0 where there are events and none is bad."""
        total = self.total(window, by)
        if self.bad_query:
            return f"({_rates(self.bad_query, window, by)}) or (0 * ({total}))"
        good = f"({_rates(self.good_query, window, by)}) or (0 * ({total}))"
        return f"({total}) - ({good})"

    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics it reads."""
        return metric_names(*filter(None, (self.total_query, self.good_query, self.bad_query)))


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """A classic histogram with a bucket that ends exactly at the threshold (in the metric's unit).

    `operator` is `lte` (the events of the bucket are good) or `gt` (all others are): a bucket holds what is at most
    its bound. A threshold without a bucket gives no bad events at all, which the no-data alert shows, rather than 0 or
    100 %. OpenSLO: `thresholdMetric` with `histogram: metric{…}`.
    """

    metric: str
    matchers: str = ""
    threshold: float
    operator: Operator = Operator.LTE

    def total(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of all events per second over the window."""
        return _rates(_select(f"{self.metric}_count", self.matchers), window, by)

    def bad(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of the bad events per second over the window."""
        bucket = _rates(_select(f"{self.metric}_bucket", self.matchers, bound(self.threshold)), window, by)
        return bucket if self.operator is Operator.GT else f"({self.total(window, by)}) - ({bucket})"

    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics it reads."""
        return (f"{self.metric}_bucket", f"{self.metric}_count")


@dataclass(frozen=True, kw_only=True)
class NativeHistogram:
    """A native histogram; the share below the threshold is interpolated inside the bucket that holds it.

    So `lt` and `lte` are one, and `gt` and `gte`. OpenSLO: `thresholdMetric` with `nativeHistogram: metric{…}`.
    """

    metric: str
    matchers: str = ""
    threshold: float
    operator: Operator = Operator.LTE

    def total(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of all events per second over the window."""
        return f"histogram_count({self._rates(window, by)})"

    def bad(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of the bad events per second over the window; without events 0, where a share would be NaN."""
        total, at = self.total(window, by), _plain(self.threshold)
        low, high = (at, "Inf") if self.operator in {Operator.LTE, Operator.LT} else ("-Inf", at)
        share = f"histogram_fraction({low}, {high}, {self._rates(window, by)})"
        return f"(({share}) * (({total}) > 0)) or (0 * ({total}))"

    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics it reads."""
        return (self.metric,)

    def _rates(self, window: str, by: tuple[str, ...]) -> str:
        return _rates(_select(self.metric, self.matchers), window, by)


@dataclass(frozen=True, kw_only=True)
class BooleanGauge:
    """A gauge that is 1 while all is well and 0 while it is not; its samples are the events.

    Without samples there is no event: neither up nor down. OpenSLO: `thresholdMetric` with `boolean: selector`.
    """

    selector: str

    def total(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of the samples per second over the window."""
        return f"({_sum(f'count_over_time({self.selector}[{window}])', by)}) / {_seconds(window)}"

    def bad(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of the samples of 0 per second over the window."""
        all_of, ones = (f"{f}_over_time({self.selector}[{window}])" for f in ("count", "sum"))
        return f"({_sum(f'({all_of}) - ({ones})', by)}) / {_seconds(window)}"

    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics it reads."""
        return metric_names(self.selector)


@dataclass(frozen=True, kw_only=True)
class TimeSlices:
    """Slices of time as events: one is good if the ratio of another kind in it is at least the target.

    Without a target each slice is bad by its share of bad events (OpenSLO's `RatioTimeslices`). A slice without events
    is unknown, and no event. OpenSLO: `budgetingMethod: Timeslices`.
    """

    sli: CounterRatio | Histogram | NativeHistogram | BooleanGauge
    slice: str
    target: Decimal | None = None

    def total(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of the known slices per second over the window."""
        known = f"({self.sli.total(self.slice, by)}) > 0"
        return f"(count_over_time(({known})[{window}:{self.slice}])) / {_seconds(window)}"

    def bad(self, window: str, by: tuple[str, ...] = ()) -> str:
        """PromQL of the bad slices per second over the window."""
        total, bad = self.sli.total(self.slice, by), self.sli.bad(self.slice, by)
        judged = f"({bad}) / (({total}) > 0)"
        if self.target is not None:
            judged = f"({judged}) > bool {_plain(1 - self.target + _FLOAT_NOISE)}"
        return f"(sum_over_time(({judged})[{window}:{self.slice}])) / {_seconds(window)}"

    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics it reads."""
        return self.sli.metrics()


PromqlSli: TypeAlias = CounterRatio | Histogram | NativeHistogram | BooleanGauge | TimeSlices


# ---- the text


def _sum(expr: str, by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def _rates(query: str, window: str, by: tuple[str, ...]) -> str:
    """Events per second of a selector or of an author's expression, summed by the labels of the SLO."""
    return _sum(query.replace(WINDOW, window) if WINDOW in query else f"rate({query}[{window}])", by)


def _select(metric: str, *matchers: str) -> str:
    within = ", ".join(filter(None, matchers))
    return f"{metric}{{{within}}}" if within else metric


def _seconds(window: str) -> str:
    return _plain(Decimal(str(parse_duration(window).total_seconds())))


def _plain(number: float | Decimal) -> str:
    return f"{Decimal(str(number)).normalize():f}"


def bound(threshold: float) -> str:
    """The matcher of the bucket that ends at a threshold: its `le` is written as `1`, `1.0` or `1e+06`."""
    plain = _plain(threshold)
    written = [plain] if "." in plain else [plain, f"{plain}.0"]
    mantissa, _, exponent = f"{Decimal(plain).normalize():e}".partition("e")
    if not -4 <= int(exponent) < 6:  # noqa: PLR2004 - where client libraries change to exponents
        written.append(f"{mantissa}e{int(exponent):+03d}")
    if len(written) == 1:
        return f'le="{plain}"'
    return 'le=~"' + "|".join(re.sub(r"([.+])", r"[\1]", text) for text in written) + '"'


# ---- what people write


def counter(text: str) -> str:
    """The text, if it is the selector of a counter or an expression with `$__window`.

    Raises ValueError saying what was expected.
    """
    node = parsed(text)
    if WINDOW not in text:
        if _ranges(node):
            raise ValueError(f"reads a range of its own; expected {WINDOW} in its place, {_EXPRESSION}")
        _plain_selector(node, f"{_SELECTOR}, or {_EXPRESSION}")
        return text
    if not _ranges(node):
        raise ValueError(f"{WINDOW} is no range here; expected {_EXPRESSION}")
    if isinstance(node, (promql_parser.MatrixSelector, promql_parser.SubqueryExpr)):
        problem = "is a range without a function"
        raise ValueError(f"{problem}; expected the selector alone, or {_EXPRESSION}")  # noqa: TRY004 - pydantic collects these
    for call in (n for n in _walk(node) if isinstance(n, promql_parser.Call)):
        _events_per_second(call)
    return text


def loses(text: str, by: tuple[str, ...]) -> str:
    """The first of the labels that an expression of an author sums away; empty text where it keeps all of them."""
    node: Any = parsed(text)
    while isinstance(node, promql_parser.ParenExpr):
        node = node.expr
    if not isinstance(node, promql_parser.AggregateExpr):
        return ""
    modifier = node.modifier
    named = set(modifier.labels) if modifier else set()
    without = modifier is not None and modifier.type == promql_parser.AggModifierType.Without
    return next((label for label in by if (label in named) is without), "")


def gauge(text: str) -> str:
    """The text, if it is a selector of series. Raises ValueError saying what was expected."""
    _plain_selector(parsed(text), "a selector such as probe_success{job='login'}")
    return text


def histogram(text: str) -> tuple[str, str]:
    """Name and matchers of `metric{matchers}`. Raises ValueError saying what was expected."""
    example = "the name of a histogram with matchers, such as http_request_duration_seconds{job='api'}"
    node = _plain_selector(parsed(text), example)
    name = node.name or ""
    if not name:
        raise ValueError(f"has no name of a metric before the braces; expected {example}")
    for suffix in _SERIES_OF_HISTOGRAMS:
        if name.endswith(suffix):
            raise ValueError(f"{name} is a series of a histogram; expected {name.removesuffix(suffix)}")
    if node.matchers.or_matchers:
        raise ValueError(f"has matchers with or; expected {example}")
    if any(m.name == "le" for m in node.matchers.matchers):
        raise ValueError("has a matcher on le; expected none: the objective's value says which bucket")
    return name, ", ".join(_matcher(m) for m in node.matchers.matchers)


def metric_names(*queries: str) -> tuple[str, ...]:
    """The metrics that queries read, sorted, each once."""
    found = (n for q in queries for n in _walk(parsed(q)) if isinstance(n, promql_parser.VectorSelector))
    return tuple(sorted({name for selector in found if (name := _named(selector))}))


def selectors(*queries: str) -> tuple[Selected, ...]:
    """The selectors of series in queries, each once, in the order of their text; without their ranges."""
    found = (n for q in queries for n in _walk(parsed(q)) if isinstance(n, promql_parser.VectorSelector))
    return tuple(sorted({_selected(node) for node in found if not node.matchers.or_matchers}))


def _selected(node: promql_parser.VectorSelector) -> Selected:
    # The name stands before the braces where there is one; a matcher on it that is no equality stays inside them.
    name = _named(node)
    inside = [m for m in node.matchers.matchers if not (m.name == "__name__" and m.op == MatchOp.Equal)]
    matchers = tuple((m.name, next(s for op, s in _SIGNS if op == m.op), m.value) for m in inside)
    return Selected(_select(name, *map(_matcher, inside)), name, matchers)


def _is_endless(length: str) -> bool:
    """Whether a length in plain seconds is so long that the parser ends the process instead of refusing it."""
    try:
        return not abs(float(length)) < _MOST_SECONDS
    except ValueError:  # with a unit it is refused as it should be
        return False


def parsed(text: str) -> promql_parser.Expr:
    """The syntax tree. Raises ValueError saying what does not parse."""
    if len(text) > _LONGEST or text.count("(") > _DEEPEST:
        problem = f"is longer than {_LONGEST} characters or has more than {_DEEPEST} pairs of parentheses"
        raise ValueError(f"{problem}; expected {_SELECTOR}, or a recording of what it says")
    if "#" in re.sub(_QUOTED, "", text):  # it would comment out what is written behind the text
        raise ValueError(f"holds a comment; expected {_SELECTOR}, without #")
    if any(_is_endless(found) for found in _LENGTH.findall(re.sub(_QUOTED, "", text))):
        raise ValueError(f"reads or goes back further than there is time; expected {_SELECTOR}, or {_EXPRESSION}")
    try:
        return promql_parser.parse(text.replace(WINDOW, "5m"))
    except ValueError as error:
        problem = str(error).partition("\n")[0][:120]
        raise ValueError(f"is no PromQL ({problem}); expected {_SELECTOR}, or {_EXPRESSION}") from None


def _named(selector: promql_parser.VectorSelector) -> str:
    if selector.name:
        return selector.name
    exact = (m.value for m in selector.matchers.matchers if m.name == "__name__" and m.op == MatchOp.Equal)
    return next(exact, "")


def _matcher(matcher: promql_parser.Matcher) -> str:
    return _matched(matcher.name, next(sign for op, sign in _SIGNS if op == matcher.op), matcher.value)


def _matched(label: str, sign: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{label}{sign}"{escaped}"'


def _plain_selector(node: promql_parser.Expr, expected: str) -> promql_parser.VectorSelector:
    if not isinstance(node, promql_parser.VectorSelector):
        raise ValueError(f"is no selector of series; expected {expected}")  # noqa: TRY004 - pydantic collects these
    if node.offset is not None or node.at is not None:
        raise ValueError(f"has an offset or a time; expected {expected}")
    return node


def _events_per_second(call: promql_parser.Call) -> None:
    """Refuses what does not count events per second, and rates of sums, which miss resets of counters."""
    name = call.func.name
    if name in _OTHER_UNITS:
        raise ValueError(f"{name}() gives no events per second; expected {_OTHER_UNITS[name]}()")
    subqueries = (a for a in call.args if name == "rate" and isinstance(a, promql_parser.SubqueryExpr))
    if any(isinstance(n, promql_parser.AggregateExpr) for s in subqueries for n in _walk(s)):
        raise ValueError("takes the rate of a sum, which misses resets; expected the sum of rates: sum(rate(…))")


def _ranges(node: promql_parser.Expr) -> bool:
    return any(isinstance(n, (promql_parser.MatrixSelector, promql_parser.SubqueryExpr)) for n in _walk(node))


def _walk(node: Any) -> Iterator[Any]:
    """A node of the tree and all below it."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        below = (getattr(found, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector"))
        waiting.extend(one for one in (*below, *(getattr(found, "args", None) or ())) if isinstance(one, _NODE))
