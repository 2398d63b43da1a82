"""The default panels of what is split by labels, about people, or has an arithmetic of its own."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import promql_parser
import pytest

from dashboards import panels
from dashboards.making import Making, datasource, team_variable, window_variable
from dashboards.queries import queries, substituted, variable_queries, variables_in
from dashboards.rows import default_rows
from slo_engine.catalog import catalog, metrics_of
from slo_engine.indicator import Indicator, Reach, Shape, Unit
from slo_engine.measure import Measured, Sample


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
DECLARED = (REQUESTS, WAIT, GUESTS, SCORE, AGE)


def board_of(*indicators: Indicator, base_url: str = "") -> dict[str, Any]:
    """A board of nothing but the default rows of these indicators."""
    variables = [datasource(), team_variable(indicators), window_variable(indicators, "90d")]
    rows = default_rows(indicators, Making(indicators=indicators, base_url=base_url))
    return panels.board("tea", "Tea", "What tea is like.", variables, rows).document


BOARD = board_of(*DECLARED)
PANELS = BOARD["panels"]
QUERIES = queries(BOARD)
METRICS = {m.name: m for m in catalog(DECLARED)}
VALUES = {"team": "/shop", "window": "90d"}


def selector(expr: str) -> promql_parser.VectorSelector:
    """The one selector of an expression."""
    node: Any = promql_parser.parse(substituted(expr, VALUES))
    return node if isinstance(node, promql_parser.VectorSelector) else node.expr


def titled(title: str, board: dict[str, Any] = BOARD) -> dict[str, Any]:
    """The panel with a title."""
    return next(p for p in board["panels"] if p["title"] == title)


def expressions(title: str) -> list[str]:
    """The queries of a panel."""
    return [t["expr"] for t in titled(title)["targets"]]


@pytest.mark.parametrize(("title", "expr"), [*QUERIES, *((n, s) for n, s, _ in variable_queries(BOARD))])
def test_every_query_names_published_metrics_and_their_labels(title: str, expr: str) -> None:
    """Every query parses, names an exported metric, and only filters by labels which that metric has."""
    found = selector(expr)
    named = [m.value for m in found.matchers.matchers if m.name == "__name__"]
    names = [found.name] if found.name else named[0].split("|")
    filtered = {m.name for m in found.matchers.matchers} - {"__name__"}

    assert all(filtered <= set(METRICS[name].labels) for name in names)


@pytest.mark.parametrize("one", DECLARED, ids=lambda i: i.name)
def test_rows_of_a_table_have_all_labels_of_their_numbers(one: Indicator) -> None:
    """A table keeps every label apart, so that no two numbers fall into one row."""
    (table,) = [p for p in PANELS if p["type"] == "table" and p["title"].startswith(f"{one.title}: by team")]
    grouped = re.search(r"by \(([^)]*)\)", table["targets"][0]["expr"])
    assert grouped is not None

    assert set(grouped[1].split(", ")) == set(metrics_of(one).samples.labels) - {"window"}


@pytest.mark.parametrize("one", DECLARED, ids=lambda i: i.name)
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
        'max by (service, environment, team, kind) (platform_tea_guests_total{team=~"$team|"})'
    ]


def test_levels_of_teams_stand_alone_beside_all_services_in_the_table() -> None:
    """What is shown at once is of the chosen levels; their services have rows of the table."""
    (now,), of_all = expressions("Tea requests"), expressions("Tea requests: by team and journey and method")

    assert now == (
        "max by (service, environment, team, journey, method, stat) "
        '(platform_tea_requests_ratio{service="",team=~"$team|",window="$window",stat="value"})'
    )
    assert 'service=""' not in "".join(of_all)


def test_numbers_lead_to_what_is_behind_them() -> None:
    """With an address, a number leads to its page: of its team, and of the window where it has one."""
    board = board_of(REQUESTS, AGE, base_url="https://numbers.example")
    rolling, all_there_is = (
        titled(title, board)["fieldConfig"]["defaults"]["links"][0]["url"] for title in ("Tea requests", "Tea age")
    )

    assert (
        rolling
        == "https://numbers.example/explain/tea_requests?team=${__field.labels.team:percentencode}&window=${window:percentencode}"
    )
    assert all_there_is == "https://numbers.example/explain/tea_age?team=${__field.labels.team:percentencode}"


def test_without_an_address_numbers_lead_nowhere() -> None:
    """Who does not serve Paceline's pages gets no dead links."""
    assert titled("Tea requests")["fieldConfig"]["defaults"]["links"] == []


def test_every_variable_in_use_exists_and_is_used() -> None:
    """Each variable in the document is declared, and each declared one is used."""
    assert variables_in(json.dumps(BOARD)) - {"__all"} == {v["name"] for v in BOARD["templating"]["list"]}


def test_panels_lie_on_the_grid_without_overlap() -> None:
    """No two panels share a square of the grid, and their ids are unique."""
    places = [p["gridPos"] for p in PANELS]
    squares = [{(x, y) for x in range(a["x"], a["x"] + a["w"]) for y in range(a["y"], a["y"] + a["h"])} for a in places]

    assert all(a.isdisjoint(b) for a, b in combinations(squares, 2))
    assert len({p["id"] for p in PANELS}) == len(PANELS)
