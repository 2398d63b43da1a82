"""The overview: how many promises are kept, one row for each SLO, and the way to everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shown_boards import PACELINE, Shown

from dashboards import overview
from dashboards.making import Making
from dashboards.panels import GREEN
from slo_engine.indicator import indicators
from slo_engine.slo import SloStatus

GOLDEN = Path(__file__).parent / "golden"
BOARD = Shown(overview.board(Making(indicators=tuple(indicators().values()), base_url=PACELINE)))
EMPTY = Shown(overview.board(Making(indicators=())))
TABLE, BASIS = "Are the promises kept? Least budget first", "What that rests on"
ALERTS = "Alerts that fire, pages first"
NEXT = "How to read this board, and what else there is"
CHOSEN = 'and on (slo) platform_slo_info{team=~"$team|",service=~"$service|"}'
STATUSES = ("Healthy", "At risk", "Budget exhausted", "Too little data")


def column(title: str, name: str) -> dict[str, Any]:
    """What is special about a column of a table."""
    overrides = BOARD.panel(title)["fieldConfig"]["overrides"]
    properties = next(o["properties"] for o in overrides if o["matcher"]["options"] == name)
    return {p["id"]: p["value"] for p in properties}


def test_the_board_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    golden(GOLDEN / f"{overview.UID}.json", BOARD.dashboard.text())


def test_the_first_row_says_how_many_promises_are_how() -> None:
    """Before any table stand the numbers that a glance takes in, and whether they can be trusted."""
    assert BOARD.titles[1:7] == [*STATUSES, "Stale sources", "Age of the numbers"]


@pytest.mark.parametrize("title", STATUSES)
def test_a_count_of_slos_is_neutral_at_zero(title: str) -> None:
    """Its colour begins with the first SLO: no exhausted budget is no alarm."""
    steps = BOARD.panel(title)["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(s["value"], s["color"] == "text") for s in steps] == [(None, True), (1.0, False)]


@pytest.mark.parametrize("title", [TABLE, BASIS])
def test_each_column_is_of_the_chosen_teams_and_services(title: str) -> None:
    """A row is an SLO whose team and service are chosen, in every column alike."""
    found = BOARD.asks(title)
    assert [e for e in found if not e.endswith(CHOSEN) and 'platform_slo_info{team=~"$team|"' not in e] == []


def test_services_to_choose_are_those_of_the_chosen_teams() -> None:
    """Variables are read from what SLOs say about themselves; All is the list of real values."""
    assert BOARD.variable("team")["query"] == "label_values(platform_slo_info, team)"
    assert BOARD.variable("service")["query"] == 'label_values(platform_slo_info{team=~"$team|"}, service)'
    assert BOARD.variable("service")["includeAll"]


def test_slos_that_prometheus_measures_stand_in_the_same_table() -> None:
    """Where Paceline exports nothing of an SLO, the recorded series of the rules fill its row."""
    budget = next(e for e in BOARD.asks(TABLE) if "error_budget_remaining_ratio" in e)
    assert "or min by (slo) (slo:period_error_budget_remaining:ratio)" in budget


def test_what_is_left_is_told_in_its_own_unit() -> None:
    """So many minutes, deployments or tickets may still be bad, beside the share of the budget."""
    organise = BOARD.panel(TABLE)["transformations"][1]["options"]
    left, unit = (next(k for k, title in organise["renameByName"].items() if title == t) for t in ("Left", "Of these"))
    assert (left, unit) == ("Value #E", "unit")
    assert organise["indexByName"]["unit"] == organise["indexByName"]["Value #E"] + 1


def test_the_age_of_the_data_stands_in_the_row_of_its_slo() -> None:
    """A budget of yesterday's data is no news of today."""
    assert "Data age" in BOARD.panel(TABLE)["transformations"][1]["options"]["renameByName"].values()


def test_only_columns_with_a_target_are_coloured() -> None:
    """Budget and burn rate have a target and colours; an attainment is judged by its own SLO's target."""
    assert "thresholds" in column(TABLE, "Budget left")
    assert "thresholds" in column(TABLE, "Burn 1h")
    assert "thresholds" not in column(TABLE, "Attained")
    assert GREEN not in json.dumps(column(TABLE, "Budget left"))


def test_threshold_steps_of_a_column_start_with_null() -> None:
    """The first step of a column's thresholds is null as a value, not as text."""
    assert column(TABLE, "Budget left")["thresholds"]["steps"][0]["value"] is None


def test_every_status_has_words_and_insufficient_data_is_not_green() -> None:
    """Each status is worded; insufficient data never looks healthy."""
    words = column(TABLE, "Status")["mappings"][0]["options"]
    assert {s.value for s in SloStatus} | {"unknown"} == set(words)
    assert [s for s, shown in words.items() if shown["color"] == GREEN] == ["healthy"]


def test_the_worst_slo_comes_first() -> None:
    """The table of SLOs starts with the least budget left."""
    assert BOARD.panel(TABLE)["options"]["sortBy"] == [{"displayName": "Budget left", "desc": False}]


@pytest.mark.parametrize("title", [TABLE, BASIS, ALERTS])
def test_an_slo_leads_to_its_own_board(title: str) -> None:
    """Whoever sees a bad row goes on to what spent the budget, over an SLO's window and not the hours looked at."""
    (url,) = BOARD.rows_lead_to(title)
    assert url == '/d/paceline-slo?var-slo=${__data.fields["SLO"]:percentencode}&${datasource:queryparam}'


def test_stale_sources_lead_to_the_collectors() -> None:
    """The number says how many, the other board which and why."""
    (url,) = BOARD.leads_to("Stale sources")
    assert url.startswith("/d/paceline-collectors?")


def test_charts_show_the_ten_that_are_worst_now() -> None:
    """The lines of five hundred SLOs could not be told apart."""
    (budget,) = BOARD.asks("Error budget left: the 10 SLOs that have least")
    (burn,) = BOARD.asks("Burn rate over 3d: the 10 SLOs that burn fastest")
    assert "bottomk(10, " in budget
    assert "topk(10, " in burn


def test_alerts_that_fire_are_told_with_their_severity() -> None:
    """Pages stand before tickets; no alert is no data, and says so."""
    (expr,) = BOARD.asks(ALERTS)
    assert 'alertstate="firing"' in expr
    assert BOARD.panel(ALERTS)["options"]["sortBy"] == [{"displayName": "Severity", "desc": False}]
    assert BOARD.panel(ALERTS)["fieldConfig"]["defaults"]["noValue"].startswith("No data: none of Paceline's alerts")


def test_every_other_board_is_one_step_away() -> None:
    """The last panel leads to each board, and says which question it answers."""
    links = BOARD.panel(NEXT)["options"]["content"]
    assert [line.split("](/d/")[1].split("?")[0] for line in links.splitlines() if line.startswith("- ")] == [
        "paceline-leaders",
        "paceline-slo",
        "paceline-delivery",
        "paceline-reliability",
        "paceline-onboarding",
        "paceline-self-service",
        "paceline-support",
        "paceline-adoption",
        "paceline-collectors",
    ]


def test_a_board_that_is_not_made_is_not_linked() -> None:
    """Without indicators of onboarding there is no board of it to go to."""
    assert "paceline-onboarding" not in EMPTY.panel(NEXT)["options"]["content"]
    assert "paceline-collectors" in EMPTY.panel(NEXT)["options"]["content"]
