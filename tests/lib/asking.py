"""A board opened as Grafana opens it: its variables filled in, its queries sent to a real Prometheus.

What comes back is judged here: `data_findings` says which panels, variables and annotations show nothing or cannot be
read. In a sentence the name of the panel and the query stand as they were sent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise, product
from typing import Any

from boards import Answers

from dashboards.lint import place, sentences
from dashboards.queries import legend_labels, panels_of, substituted, variable_queries, variables_in
from slo_engine.catalog import SUBJECT_LABELS

Json = Mapping[str, Any]

_WIDTH = 1_000
"""The points that are drawn: a panel is so many pixels wide."""
_SCRAPE_SECONDS = 15
"""How often Grafana believes that Prometheus scrapes, unless the data source says otherwise."""
_STEPS = (15, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 604_800)
_ALL = "$__all"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_SQUARES_FOR_A_NUMBER = 2
_WITH_LEGEND = frozenset({"bargauge", "stat", "state-timeline", "timeseries"})


@dataclass(frozen=True)
class Opened:
    """A board in front of somebody: what it asks, and what it is answered."""

    document: Json
    answers: Answers
    now: datetime

    @cached_property
    def start(self) -> datetime:
        """Where the board's time begins; it ends now."""
        said = re.fullmatch(r"now-(\d+)([mhdw])", self.document["time"]["from"])
        assert said is not None, self.document["time"]
        return self.now - timedelta(**{_UNITS[said[2]]: int(said[1])})

    @cached_property
    def step(self) -> int:
        """The seconds between two points of a chart: one for each pixel, rounded as Grafana does."""
        exact = (self.now - self.start).total_seconds() / _WIDTH
        return next(step for step, longer in pairwise(_STEPS) if exact < (step + longer) / 2)

    @cached_property
    def values(self) -> dict[str, list[str]]:
        """The values that each variable offers; what a variable offers depends on those before it."""
        return {name: values for name, (values, _) in self._variables.items()}

    @cached_property
    def chosen(self) -> dict[str, list[str]]:
        """What is chosen at first."""
        return {name: chosen for name, (_, chosen) in self._variables.items()}

    @cached_property
    def _variables(self) -> dict[str, tuple[list[str], list[str]]]:
        asked = {name: (selector, label) for name, selector, label in variable_queries(self.document)}
        found = dict[str, tuple[list[str], list[str]]]()
        for variable in self.document["templating"]["list"]:
            name = variable["name"]
            if name in asked:
                selector, label = asked[name]
                known = self.texts({n: chosen for n, (_, chosen) in found.items()})
                values = self.answers.values(label, substituted(selector, known), self.start, self.now)
                found[name] = (values, _at_first(variable, values))
            elif variable["type"] != "datasource":
                found[name] = (_listed(variable), _at_first(variable, _listed(variable)))
        return found

    def texts(self, chosen: Mapping[str, Sequence[str]] | None = None) -> dict[str, str]:
        """What stands for each variable in a query: one value, or a pattern of several."""
        rate = max(self.step + _SCRAPE_SECONDS, 4 * _SCRAPE_SECONDS)
        length = int((self.now - self.start).total_seconds())
        times = {
            "interval": f"{self.step}s",
            "rate_interval": f"{rate}s",
            "range": f"{length}s",
            "range_s": str(length),
        }
        own = {name: _written(values) for name, values in (self.chosen if chosen is None else chosen).items()}
        return own | {f"__{name}": text for name, text in times.items()}

    def asked(self, target: Json, chosen: Mapping[str, Sequence[str]] | None = None) -> str:
        """A query as it is sent."""
        return substituted(target["expr"], self.texts(chosen))

    def series(self, target: Json, chosen: Mapping[str, Sequence[str]] | None = None) -> list[Mapping[str, str]]:
        """The labels of the series that a query of a panel gives. Raises ValueError for one that is refused."""
        expr = self.asked(target, chosen)
        if target.get("instant"):
            found = self.answers.instant(expr, self.now)
        else:
            found = self.answers.over(expr, self.start, self.now, self.step)
        return [one["metric"] for one in found]

    def ever(self, target: Json) -> bool:
        """Whether a query gives anything, whatever is chosen: all values, or each where only one can be."""
        used = variables_in(target["expr"])
        single = (
            {v["name"] for v in self.document["templating"]["list"] if not v.get("multi")} & used & set(self.values)
        )
        one_each = [[(name, [value]) for value in self.values[name]] for name in sorted(single)]
        return any(self.series(target, self.values | dict(some)) for some in product(*one_each))


def _written(values: Sequence[str]) -> str:
    # As Grafana escapes for PromQL: what is special in a pattern, and then the backslashes of its text.
    escaped = [re.sub(r"([\\^$*+?.()|\[\]{}])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _listed(variable: Json) -> list[str]:
    """The values of a variable that asks nobody."""
    return [option.strip() for option in str(variable.get("query", "")).split(",")]


def _at_first(variable: Json, values: list[str]) -> list[str]:
    """What is chosen when the board is opened: what it says itself, else the first value."""
    current = variable.get("current", {}).get("value", [])
    named = [current] if isinstance(current, str) else list(current)
    ordered = sorted(values, key=lambda v: (len(v), v)) if variable.get("sort") in {3, 4} else sorted(values)
    return values if named == [_ALL] else named or ordered[:1]


def data_findings(opened: Opened) -> list[str]:
    """What a board does not show, one sentence each; empty if nothing.

    A query that gives nothing for what is chosen at first is asked for everything that can be chosen, and its sentence
    says whether that helps. Of an annotation only this counts: most of the time nothing happens.
    """
    document = opened.document
    found = [*_variable_findings(opened), *_annotation_findings(opened)]
    for panel in panels_of(document):
        found += [(place(panel), *one) for one in _panel_findings(panel, opened)]
    return sentences(document, found)


def _variable_findings(opened: Opened) -> Iterator[tuple[str, str, str]]:
    for name, values in opened.values.items():
        if not values:
            yield f"variable {name}", "it offers nothing", "data"
        for value in (v for v in opened.chosen[name] if v not in values):
            yield f"variable {name}", f"it begins with {value}, which it does not offer", f"one of {values}"


def _annotation_findings(opened: Opened) -> Iterator[tuple[str, str, str]]:
    for one in opened.document.get("annotations", {}).get("list", ()):
        if "expr" not in one.get("target", {}):
            continue
        where, labels = f"annotation {one['name']}", list[Mapping[str, str]]()
        try:
            labels = opened.series(one["target"])
        except ValueError as error:
            yield where, f"{opened.asked(one['target'])} is refused: {error}", "an answer"
            continue
        if not labels and not opened.ever(one["target"]):
            yield where, f"{opened.asked(one['target'])} gives nothing", "data"
        shown = _LEGEND.findall(one.get("titleFormat", "") + one.get("textFormat", ""))
        for label in sorted({n for n in shown if labels and not any(n in each for each in labels)}):
            yield where, f"no mark has the label {label}", "one of the labels of its marks"


def _panel_findings(panel: Json, opened: Opened) -> Iterator[tuple[str, str]]:
    legends = Counter[str]()
    for target in panel.get("targets", ()):
        try:
            labels = opened.series(target)
        except ValueError as error:
            yield f"{opened.asked(target)} is refused: {error}", "an answer"
            continue
        if not labels:
            yield f"{opened.asked(target)} gives nothing{' at first' if opened.ever(target) else ''}", "data"
        yield from _labelled(panel, target, labels)
        legends.update(_legend(target, each) for each in labels)
    if panel.get("targets") and not legends:
        yield "nothing of it shows at first", "data"
    yield from _readable(panel, legends)


def _legend(target: Json, labels: Mapping[str, str]) -> str:
    """How a series is called; without a legend Grafana writes all its labels."""
    form = target.get("legendFormat", "")
    return _LEGEND.sub(lambda found: labels.get(found[1], ""), form).strip() if form else str(sorted(labels.items()))


def _labelled(panel: Json, target: Json, labels: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """A label that nothing has is in no legend, and a label that a row has is a named or hidden column.

    Whose a number is may be left open: there are subjects without an environment, and levels of teams are no service.
    """
    named = legend_labels(target) - set(SUBJECT_LABELS)
    for label in sorted(n for n in named if labels and not any(n in each for each in labels)):
        yield f"no series of {target['expr']} has the label {label} of its legend", "one of their labels"
    if panel["type"] == "table":
        titled = {n for t in panel.get("transformations", ()) for n in _titled(t)}
        for label in sorted({n for each in labels for n in each} - titled):
            yield f"a column would be called {label}", "a title for it, or none of it"


def _titled(transformation: Json) -> set[str]:
    options = transformation.get("options", {})
    return {*options.get("renameByName", {}), *options.get("excludeByName", {})}


def _readable(panel: Json, legends: Counter[str]) -> Iterator[tuple[str, str]]:
    """Series can be told apart by their names, and numbers have room."""
    if panel["type"] in _WITH_LEGEND and sum(legends.values()) > 1:
        for legend in sorted(name for name, times in legends.items() if times > 1 or not name):
            yield f"{legends[legend]} series are called {legend!r}", "a name for each"
    squares = panel["gridPos"]["w"] * panel["gridPos"]["h"]
    if panel["type"] == "stat" and sum(legends.values()) * _SQUARES_FOR_A_NUMBER > squares:
        yield f"{sum(legends.values())} numbers stand in {squares} squares", "room for each, or fewer"
