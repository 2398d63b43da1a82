"""What an indicator gets by being declared, where it has one number for a service or a team."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any, get_args

import promql_parser
import pytest

from dashboards import panels
from dashboards.making import (
    Making,
    datasource,
    environment_variable,
    service_variable,
    team_variable,
    window_variable,
)
from dashboards.queries import queries, substituted, variable_queries, variables_in
from dashboards.rows import default_rows
from slo_engine.catalog import catalog, metrics_of
from slo_engine.indicator import Indicator, Shape
from slo_engine.indicators import delivery as delivery_family
from slo_engine.indicators import pipelines as pipelines_family

RATIO = Indicator(
    name="tea_success",
    version="7",
    title="Tea orders",
    definition="Share of tea orders that were served hot.",
    shape=Shape.RATIO,
    metric="platform_tea",
    dimension="kind",
    dimensions=("green", "black"),
)
DURATION = Indicator(
    name="tea_time",
    version="3",
    title="Tea time",
    definition="Time from the order to the cup.",
    shape=Shape.DURATION,
    metric="platform_tea_time",
)
FREQUENCY = Indicator(
    name="tea_breaks",
    version="2",
    title="Tea breaks",
    definition="Breaks for tea per day of the window.",
    shape=Shape.FREQUENCY,
    metric="platform_tea_breaks",
)
BUILT_IN = (*delivery_family.FAMILY.indicators, *pipelines_family.FAMILY.indicators)
DECLARED = (*BUILT_IN, RATIO, DURATION, FREQUENCY)
METRICS = {m.name: m for m in catalog(DECLARED)}
VALUES = {"service": "checkout", "environment": "production", "team": "/shop", "window": "28d"}


def board_of(*indicators: Indicator, base_url: str = "") -> dict[str, Any]:
    """A board of nothing but the default rows of these indicators."""
    variables = [
        datasource(),
        team_variable(indicators),
        service_variable(indicators),
        environment_variable(indicators),
        window_variable(indicators, "28d"),
    ]
    rows = default_rows(indicators, Making(indicators=indicators, base_url=base_url))
    return panels.board("tea", "Tea", "What tea is like.", variables, rows).document


BOARD = board_of(*DECLARED)
VARIABLES = {v["name"]: v for v in BOARD["templating"]["list"]}
PANELS = BOARD["panels"]
QUERYING = [p for p in PANELS if p.get("targets")]
TARGETS = [t for p in QUERYING for t in p["targets"]]
QUERIES = queries(BOARD)
SELECTORS = [(title, expr) for title, expr in QUERIES] + [(n, s) for n, s, _ in variable_queries(BOARD)]


def titled(title: str, board: dict[str, Any] = BOARD) -> dict[str, Any]:
    """The panel with a title."""
    return next(p for p in board["panels"] if p["title"] == title)


def selector(expr: str) -> promql_parser.VectorSelector:
    """The one selector of an expression."""
    node: Any = promql_parser.parse(substituted(expr, VALUES))
    inner = node.expr if isinstance(node, promql_parser.AggregateExpr) else node
    assert isinstance(inner, promql_parser.VectorSelector)
    return inner


def names_of(found: promql_parser.VectorSelector) -> list[str]:
    """The metrics that a selector names, one by one or in a list of alternatives."""
    listed = [m.value for m in found.matchers.matchers if m.name == "__name__"]
    return [found.name] if found.name else listed[0].split("|")


def result_labels(expr: str) -> set[str]:
    """The labels that the series of an expression have."""
    grouped = re.search(r"by \(([^)]*)\)", expr)
    own = set(METRICS[names_of(selector(expr))[0]].labels)
    return set(grouped[1].split(", ")) if grouped else own


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """The squares of the grid that a panel covers."""
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


@pytest.mark.parametrize(("title", "expr"), SELECTORS)
def test_every_query_names_published_metrics_and_their_labels(title: str, expr: str) -> None:
    """Every query parses, names an exported metric, and only filters by labels which that metric has."""
    found = selector(expr)
    filtered = {m.name for m in found.matchers.matchers} - {"__name__"}
    assert all(filtered <= set(METRICS[name].labels) for name in names_of(found))


@pytest.mark.parametrize(("name", "metric", "label"), variable_queries(BOARD))
def test_every_variable_lists_a_label_that_its_metrics_have(name: str, metric: str, label: str) -> None:
    """A variable reads its values from a label of metrics that exist."""
    assert all(label in METRICS[m].labels for m in names_of(selector(metric)))


def test_no_variable_hides_a_missing_metric() -> None:
    """A variable with "All = .*" would hide a missing metric: All is the list of the values that exist."""
    assert [name for name, v in VARIABLES.items() if "allValue" in v] == []
    assert [name for name, v in VARIABLES.items() if v.get("includeAll")] == ["team"]


def test_every_variable_in_use_exists() -> None:
    """Each variable in the document is declared, and each declared one is used."""
    assert variables_in(json.dumps(BOARD)) - {"__all"} == set(VARIABLES)


@pytest.mark.parametrize(("title", "expr"), QUERIES)
def test_panels_calculate_nothing(title: str, expr: str) -> None:
    """There is no arithmetic in panels that `explain` does not know: filters and label drops only."""
    assert re.fullmatch(r"(max by \([a-z, ]+\) \()?platform_\w+(\{[^{}]*\})?\)?", expr)


@pytest.mark.parametrize("panel", QUERYING, ids=lambda p: p["title"])
def test_legend_labels_survive_the_aggregation(panel: dict[str, Any]) -> None:
    """Legend labels are labels of the series, within `by()` where there is one."""
    for target in panel["targets"]:
        legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert legend <= result_labels(target["expr"])


def test_panel_ids_are_unique_and_stable() -> None:
    """Panel ids are unique, and an indicator that is added moves nobody's id, so links to panels survive."""
    before = {p["title"]: p["id"] for p in board_of(*BUILT_IN)["panels"]}
    after = {p["title"]: p["id"] for p in PANELS}
    assert len({p["id"] for p in PANELS}) == len(PANELS)
    assert before.items() <= after.items()


def test_panels_lie_on_the_grid_without_overlap() -> None:
    """No two panels share a square of the 24 columns (Grafana would move them without a word)."""
    assert all(a.isdisjoint(b) for a, b in combinations([cells(p) for p in PANELS], 2))
    assert {x for p in PANELS for x, _ in cells(p)} == set(range(24))


@pytest.mark.parametrize("panel", QUERYING, ids=lambda p: p["title"])
def test_every_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """Every panel has a description, a unit that Grafana knows, and words for the absence of data."""
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["description"]
    assert defaults["unit"] in get_args(panels.Unit)
    assert defaults["noValue"].startswith("No data: ")


@pytest.mark.parametrize("indicator", DECLARED, ids=lambda i: i.name)
def test_panels_of_an_indicator_carry_its_definition_and_version(indicator: Indicator) -> None:
    """Each panel of an indicator states the definition and the version of the definition."""
    own = {m.name for m in metrics_of(indicator).all()}
    shown = [p for p in QUERYING if {names_of(selector(t["expr"]))[0] for t in p["targets"]} & own]
    stated = f"Definition: {indicator.name}, version {indicator.version}."
    assert len(shown) >= 4
    assert all(indicator.definition in p["description"] for p in shown)
    assert all(stated in p["description"] for p in shown)


@pytest.mark.parametrize("indicator", DECLARED, ids=lambda i: i.name)
def test_every_metric_of_an_indicator_is_on_the_board(indicator: Indicator) -> None:
    """Whoever declares an indicator gets panels for each of its metrics, n and coverage included."""
    shown = {name for _, expr in QUERIES for name in names_of(selector(expr))}
    assert {m.name for m in metrics_of(indicator).all()} <= shown


def test_the_whole_of_a_split_indicator_is_not_mixed_with_its_parts() -> None:
    """The headline of a split indicator selects the series without the label, its parts those with it."""
    whole = titled("Change lead time: median")["targets"][0]["expr"]
    parts = titled("Change lead time: median by stage")["targets"][0]["expr"]
    assert 'stage=""' in whole
    assert 'stage!=""' in parts


def matchers(expr: str) -> dict[str, list[tuple[str, str]]]:
    """The operators and values by which the selector of an expression filters each label."""
    found: dict[str, list[tuple[str, str]]] = {}
    for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', expr):
        found.setdefault(label, []).append((operator, value))
    return found


OF_INDICATORS = [
    expr
    for _, expr in QUERIES
    if names_of(selector(expr))[0] in {m.name for i in DECLARED for m in metrics_of(i).all()}
]
OF_LEVELS = [expr for expr in OF_INDICATORS if expr.startswith("max by (team, environment)")]
OF_SERVICES = [expr for expr in OF_INDICATORS if expr not in OF_LEVELS]


@pytest.mark.parametrize("expr", OF_SERVICES)
def test_panels_of_services_leave_levels_of_teams_out(expr: str) -> None:
    """A level pools services that stand beside it, so panels of services take only what has a service."""
    assert matchers(expr)["service"] == [("=~", "$service"), ("!=", "")]
    assert "team" not in matchers(expr)


@pytest.mark.parametrize("expr", OF_LEVELS)
def test_tables_by_team_take_levels_alone(expr: str) -> None:
    """A level is what has a team and no service; what has neither is shown with them."""
    assert matchers(expr)["service"] == [("=", "")]
    assert matchers(expr)["team"] == [("=~", "$team|")]


@pytest.mark.parametrize("indicator", DECLARED, ids=lambda i: i.name)
def test_every_indicator_is_shown_by_team_with_its_n(indicator: Indicator) -> None:
    """Beside the values of each level stand n and coverage; rows come by name, for teams are not ranked."""
    table = titled(f"{indicator.title}: by team")
    shown = {names_of(selector(t["expr"]))[0] for t in table["targets"]}
    own = metrics_of(indicator)
    assert {own.value.name, own.samples.name, own.coverage.name} <= shown
    assert table["options"]["sortBy"] == [{"displayName": "Team", "desc": False}]


def test_rows_of_a_table_are_told_apart_by_all_their_keys() -> None:
    """Team and environment are the first columns, and no value takes their place."""
    organise = titled("Tea time: by team")["transformations"][1]["options"]
    by_place = sorted(organise["indexByName"], key=organise["indexByName"].__getitem__)
    assert by_place[:3] == ["team", "environment", "Value #A"]
    assert sorted(organise["indexByName"].values()) == list(range(len(by_place)))


def test_an_indicator_without_an_environment_still_shows() -> None:
    """A subject without an environment, or without a service, is on the board, whatever is chosen."""
    assert ("=~", "$environment|") in matchers(titled("Tea time: median")["targets"][0]["expr"])["environment"]
    assert ("=~", "$environment|") in matchers(titled("Tea time: by team")["targets"][0]["expr"])["environment"]


def test_every_query_asks_the_chosen_data_source() -> None:
    """Panels, queries and variables ask the data source behind the variable, none a fixed one."""
    asked = [*QUERYING, *TARGETS, *(v for v in VARIABLES.values() if v["type"] == "query")]
    assert all(a["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for a in asked)


def test_a_week_is_drawn_in_minutes() -> None:
    """A 7-day range gives steps of minutes, not 4 hours: grafanalib's defaults are gone."""
    assert not any("maxDataPoints" in p for p in PANELS)
    assert not any("intervalFactor" in t or "step" in t for t in TARGETS)


def test_queries_of_a_panel_have_ids() -> None:
    """Each query has an id of its own within its panel, by which units and columns refer to it."""
    assert all([t["refId"] for t in p["targets"]] == list("ABCDEFGHIJKL")[: len(p["targets"])] for p in QUERYING)


def test_threshold_steps_start_with_null() -> None:
    """The first step of thresholds is null as a value, not as text, and there always is one."""
    found = [p["fieldConfig"]["defaults"]["thresholds"]["steps"] for p in QUERYING]
    assert all(steps[0]["value"] is None for steps in found)


def test_the_board_refreshes_calmly_in_the_readers_time_zone() -> None:
    """The board refreshes once a minute at most, in the browser's zone, under a stable uid."""
    assert BOARD["refresh"] == "1m"
    assert BOARD["timepicker"]["refresh_intervals"][0] == "1m"
    assert BOARD["timezone"] == "browser"
    assert BOARD["uid"] == "tea"
    assert BOARD["schemaVersion"] >= 36


def test_transformations_are_known_ones() -> None:
    """Only transformations that Grafana has are used; an unknown one blanks the panel."""
    assert {t["id"] for p in QUERYING for t in p["transformations"]} == {"merge", "organize"}


@pytest.mark.parametrize("panel", [p for p in QUERYING if p["type"] == "stat"], ids=lambda p: p["title"])
def test_no_data_looks_unlike_zero_and_unlike_green(panel: dict[str, Any]) -> None:
    """No data is words in a colour that no value has; values without a target have no colour."""
    defaults = panel["fieldConfig"]["defaults"]
    absent = defaults["mappings"][0]["options"]
    assert absent["match"] == "null+nan"
    assert absent["result"]["color"] == panels.SKY
    assert absent["result"]["text"].startswith("No data: ")
    assert defaults["color"] == {"mode": "fixed", "fixedColor": "text"}


def test_tables_name_every_column() -> None:
    """Each value of a table is renamed or hidden: "Value #C" tells nobody anything."""
    for table in [p for p in QUERYING if p["type"] == "table" and len(p["targets"]) > 1]:
        organise = table["transformations"][1]["options"]
        named = organise["renameByName"].keys() | organise["excludeByName"].keys()
        assert {f"Value #{t['refId']}" for t in table["targets"]} <= named


def test_the_board_names_no_provider() -> None:
    """Dashboards know no system that events come from."""
    assert not re.search("github|gitlab|jira|jenkins|argo", json.dumps(BOARD), re.IGNORECASE)


def test_two_indicators_of_one_title_are_refused() -> None:
    """Two rows of one title would give panels of one id: the mistake is named."""
    with pytest.raises(ValueError, match="Tea time: median"):
        board_of(DURATION, DURATION)


def test_a_headline_leads_to_the_events_behind_it() -> None:
    """Where Paceline's address is known, the number of a service leads to its explaining page."""
    (link,) = titled("Tea time: median", board_of(DURATION, base_url="https://p.example"))["fieldConfig"]["defaults"][
        "links"
    ]

    assert link["url"].startswith("https://p.example/explain/tea_time?service=${__field.labels.service}&")
    assert titled("Tea time: median")["fieldConfig"]["defaults"]["links"] == []


def test_a_variable_without_a_value_is_named() -> None:
    """Filling in a query without a value for one of its variables says which."""
    with pytest.raises(KeyError, match="service"):
        substituted('x{service="${service:regex}"}', {})
