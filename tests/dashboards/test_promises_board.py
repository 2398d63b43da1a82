"""The board of the platform's own promises: what an indicator with labels, people or its own arithmetic gets."""

from __future__ import annotations

import json
import os
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from dashboards.build import build
from dashboards.promises import promises
from dashboards.queries import queries, substituted, variable_queries, variables_in
from slo_engine.catalog import FIXED, catalog, metrics_of
from slo_engine.indicator import Indicator, Reach, Shape, Unit, indicators
from slo_engine.measure import Measured, Sample

GOLDEN = Path(__file__).parent / "golden" / "paceline-promises.json"


def _nothing(_: Sample) -> Measured:
    return Measured(n=0)


def indicator(name: str, **fields: Any) -> Indicator:
    """A ratio by journey and, each for itself, method, unless told otherwise."""
    given: dict[str, Any] = {
        "version": "3",
        "title": name.replace("_", " ").capitalize(),
        "definition": f"What {name} is.",
        "shape": Shape.RATIO,
        "metric": f"platform_{name}",
        "labels": ("journey", "method"),
        "apart": ("method",),
    }
    return Indicator(name=name, **given | fields)


def measure(name: str, **fields: Any) -> Indicator:
    """An indicator with an arithmetic of its own."""
    given: dict[str, Any] = {
        "shape": Shape.MEASURE,
        "measure": _nothing,
        "stats": ("value",),
        "labels": (),
        "apart": (),
    }
    return indicator(name, **given | fields)


REQUESTS = indicator("tea_requests")
WAIT = indicator("tea_wait", shape=Shape.DURATION, labels=("queue", ""), apart=())
GUESTS = indicator("tea_guests", shape=Shape.FREQUENCY, labels=("kind",), apart=())
SCORE = measure("tea_score", stats=("value", "low", "high"), unit=Unit.RATIO, people=True)
AGE = measure("tea_age", stats=("p90",), unit=Unit.SECONDS, reach=Reach.ALL)
CUPS = indicator("tea_cups", labels=(), apart=())
DECLARED = (REQUESTS, WAIT, GUESTS, SCORE, AGE, CUPS)
OWN = DECLARED[:-1]
MADE = promises(DECLARED)
assert MADE is not None
BOARD = MADE.document
PANELS = BOARD["panels"]
QUERIES = queries(BOARD)
METRICS = {m.name: m for m in catalog(DECLARED)}
VALUES = {"service": "api", "team": "/shop", "window": "90d"}


def selector(expr: str) -> promql_parser.VectorSelector:
    """The one selector of an expression."""
    node: Any = promql_parser.parse(substituted(expr, VALUES))
    return node if isinstance(node, promql_parser.VectorSelector) else node.expr


def titled(title: str) -> dict[str, Any]:
    """The panel with a title."""
    return next(p for p in PANELS if p["title"] == title)


def expressions(title: str) -> list[str]:
    """The queries of a panel."""
    return [t["expr"] for t in titled(title)["targets"]]


def test_the_board_of_the_built_in_indicators_is_the_golden_one() -> None:
    """The JSON is the reviewed one, byte for byte; UPDATE_GOLDEN=1 writes it anew."""
    made = promises(indicators().values())
    assert made is not None
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(made.text(), encoding="utf-8")
    assert made.text() == GOLDEN.read_text(encoding="utf-8")


def test_what_is_like_delivery_stays_on_its_board() -> None:
    """An indicator with one number for a service is not here; where there is no other, there is no board."""
    assert not [p for p in PANELS if p["title"].startswith("Tea cups")]
    assert promises([CUPS]) is None


def test_both_boards_are_written(tmp_path: Path) -> None:
    """Each board has its file, named by its uid."""
    names = [path.name for path in build(tmp_path, DECLARED)]

    assert names == ["paceline-delivery.json", "paceline-promises.json", "provisioning.yaml"]


@pytest.mark.parametrize(("title", "expr"), [*QUERIES, *((n, s) for n, s, _ in variable_queries(BOARD))])
def test_every_query_names_published_metrics_and_their_labels(title: str, expr: str) -> None:
    """Every query parses, names an exported metric, and only filters by labels which that metric has."""
    found = selector(expr)
    named = [m.value for m in found.matchers.matchers if m.name == "__name__"]
    names = [found.name] if found.name else named[0].split("|")
    filtered = {m.name for m in found.matchers.matchers} - {"__name__"}

    assert all(filtered <= set(METRICS[name].labels) for name in names)


@pytest.mark.parametrize("one", OWN, ids=lambda i: i.name)
def test_rows_of_a_table_have_all_labels_of_their_numbers(one: Indicator) -> None:
    """A table keeps every label apart, so that no two numbers fall into one row."""
    (table,) = [p for p in PANELS if p["type"] == "table" and p["title"].startswith(f"{one.title}: by team")]
    grouped = re.search(r"by \(([^)]*)\)", table["targets"][0]["expr"])
    assert grouped is not None

    assert set(grouped[1].split(", ")) == set(metrics_of(one).samples.labels) - {"window"}


@pytest.mark.parametrize("one", OWN, ids=lambda i: i.name)
def test_every_metric_of_an_indicator_is_on_the_board(one: Indicator) -> None:
    """Whoever declares an indicator gets panels for each of its metrics, with definition and version."""
    own = {m.name for m in metrics_of(one).all()}
    shown = [p for p in PANELS if any(selector(t["expr"]).name in own for t in p.get("targets", ()))]

    assert {selector(t["expr"]).name for p in shown for t in p["targets"]} == own
    assert all(one.definition in p["description"] for p in shown)
    assert all(f"Definition: {one.name}, version 3." in p["description"] for p in shown)


@pytest.mark.parametrize("panel", [p for p in PANELS if p.get("targets")], ids=lambda p: p["title"])
def test_legends_and_words_for_no_data(panel: dict[str, Any]) -> None:
    """Legends name labels that the series have, and the absence of data says what it may mean."""
    for target in panel["targets"]:
        legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert legend <= set(METRICS[selector(target["expr"]).name or ""].labels)
    assert panel["fieldConfig"]["defaults"]["noValue"].startswith("No data: ")


def test_each_statistic_of_a_measure_is_a_column() -> None:
    """The score has its value and both ends of its interval, in its own unit."""
    stats = [re.search(r'stat="(\w+)"', expr) for expr in expressions("Tea score: by team")]

    assert [found[1] for found in stats if found] == ["value", "low", "high"]
    assert titled("Tea score")["fieldConfig"]["defaults"]["unit"] == "percentunit"
    assert titled("Tea age")["fieldConfig"]["defaults"]["unit"] == "s"


def test_what_looks_at_everything_is_asked_for_now() -> None:
    """Its window is `now`, whatever window is chosen."""
    assert all('window="now"' in expr for expr in expressions("Tea age: by team"))


def test_a_label_of_the_indicator_s_own_is_nowhere() -> None:
    """A label without a name is not published, and no query knows it."""
    assert expressions("Tea wait: by team and queue")[0].startswith("max by (team, service, environment, queue) (")


def test_a_counter_of_labels_is_shown() -> None:
    """All since the beginning, by kind."""
    assert expressions("Tea guests: since the beginning") == [
        'platform_tea_guests_total{service=~"$service|",team=~"$team|"}'
    ]


def test_what_is_withheld_is_counted() -> None:
    """The board says how many numbers about people are not shown."""
    assert expressions("How many numbers are withheld") == ["max by (metric) (platform_suppressed_numbers)"]
    assert "platform_suppressed_numbers" in {m.name for m in FIXED}


def test_every_variable_in_use_exists_and_is_used() -> None:
    """Each variable in the document is declared, and each declared one is used."""
    assert variables_in(json.dumps(BOARD)) - {"__all"} == {v["name"] for v in BOARD["templating"]["list"]}


def test_panels_lie_on_the_grid_without_overlap() -> None:
    """No two panels share a square of the grid, and their ids are unique."""
    places = [p["gridPos"] for p in PANELS]
    squares = [{(x, y) for x in range(a["x"], a["x"] + a["w"]) for y in range(a["y"], a["y"] + a["h"])} for a in places]

    assert all(a.isdisjoint(b) for a, b in combinations(squares, 2))
    assert len({p["id"] for p in PANELS}) == len(PANELS)
