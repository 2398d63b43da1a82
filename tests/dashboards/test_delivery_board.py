"""The board of delivery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards import delivery
from dashboards.making import Making
from dashboards.panels import Dashboard
from dashboards.queries import panels_of
from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.indicator import indicators
from slo_engine.windows import INDICATOR_WINDOWS

GOLDEN = Path(__file__).parent / "golden"
ADDRESS = "https://paceline.example"


def made(*names: str, base_url: str = "") -> Dashboard | None:
    """The board of these indicators."""
    return delivery.board(Making(indicators=tuple(indicators()[name] for name in names), base_url=base_url))


def document(*names: str, base_url: str = "") -> dict[str, Any]:
    """The same as Grafana loads it."""
    board = made(*names, base_url=base_url)
    assert board is not None
    return board.document


BOARD = document(*indicators())
VARIABLES = {v["name"]: v for v in BOARD["templating"]["list"]}


def titled(title: str, board: dict[str, Any] = BOARD) -> Any:
    """The first panel with a title."""
    return next(p for p in panels_of(board) if p["title"] == title)


def expressions(title: str) -> list[str]:
    """The queries of a panel."""
    return [t["expr"] for t in titled(title)["targets"]]


def rows(board: dict[str, Any]) -> list[str]:
    """The titles of the rows that are open."""
    return [p["title"] for p in board["panels"] if p["type"] == "row" and not p["collapsed"]]


def test_the_board_of_the_built_in_indicators_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    board = made(*indicators())
    assert board is not None
    golden(GOLDEN / f"{delivery.UID}.json", board.text())


def test_without_delivery_there_is_no_board() -> None:
    """Indicators of other boards give no empty one."""
    assert made("uptime") is None


def test_the_window_at_first_is_a_published_one() -> None:
    """The board opens with numbers."""
    assert VARIABLES["window"]["current"]["value"] in {w.label for w in INDICATOR_WINDOWS}


def test_the_five_metrics_and_their_score_come_first() -> None:
    """The first row answers the board's question: DORA's five, and the score of all of them."""
    first = [p["title"] for p in BOARD["panels"][1:7]]

    assert first == [
        "Change lead time, median",
        "Deployments, per day",
        "Change fail rate, share",
        "Failed deployment recovery time, median",
        "Deployment rework rate, share",
        "Quick Check, overall",
    ]


def test_the_five_are_those_with_a_score() -> None:
    """What is shown at a glance is what the Quick Check is the mean of."""
    assert set(delivery.FIVE) == set(QUICK_CHECK)


def test_the_first_number_is_of_the_whole_with_its_n_beside() -> None:
    """The tile of lead time shows no stage, and how many changes are behind it."""
    chosen = 'service=~"$service",service!="",environment=~"$environment|",window="$window"'
    labels = "service, environment, team, stage"

    assert expressions("Change lead time, median") == [
        f'max by ({labels}, stat) (platform_change_lead_time_seconds{{{chosen},stat="p50",stage=""}})',
        f'max by ({labels}) (platform_change_lead_time_samples{{{chosen},stage=""}})',
    ]


def test_what_is_not_declared_has_no_place() -> None:
    """A board of pipelines alone has no rows of DORA's metrics, open or folded."""
    board = document("pipeline_wait")

    assert rows(board) == []
    assert [p["title"] for p in board["panels"]] == ["Pipeline wait: $service, $environment, last $window"]


def test_details_are_folded() -> None:
    """What each number rests on is asked for only when somebody opens its row."""
    folded = [p for p in BOARD["panels"] if p["type"] == "row" and p["collapsed"]]

    assert len(folded) == len(delivery.INDICATORS)
    assert all(p["panels"] for p in folded)
    assert len(BOARD["panels"]) < 30


def test_pipelines_come_last() -> None:
    """Pipelines are the platform's own part, after what DORA measures."""
    assert [p["title"].partition(":")[0] for p in BOARD["panels"][-2:]] == ["Pipeline wait", "Pipeline success"]


def test_levels_of_teams_stand_in_one_table_by_name() -> None:
    """A board that ranks teams would be gamed: rows come by name, with the n of each kind of unit."""
    table = titled("The five metrics by team")
    titles = table["transformations"][1]["options"]["renameByName"].values()

    assert table["options"]["sortBy"] == [{"displayName": "Team", "desc": False}]
    assert {"Changes (n)", "Deployments (n)", "Recovered (n)"} <= set(titles)
    assert all('service="",team=~"$team|"' in t["expr"] for t in table["targets"])


def test_stages_stand_in_the_order_of_a_change() -> None:
    """Coding, pickup, review, delivery: not by their names."""
    legends = [t["legendFormat"].partition(":")[0] for t in titled("Change lead time: where it goes")["targets"]]

    assert legends == ["coding", "pickup", "review", "delivery"]


def test_scores_stand_beside_the_industry() -> None:
    """The industry's mean is repeated for each service, so that it stands in the same row as the score."""
    score, _, industry = expressions("Quick Check scores beside the industry's means")

    assert score.startswith("max by (service, environment, kind) (platform_quick_check_score{")
    assert industry.startswith("group by (service, environment, kind) (platform_quick_check_score{")
    assert industry.endswith(" * on (kind) group_left () max by (kind) (platform_quick_check_industry_mean)")


def test_the_industry_is_a_dashed_line() -> None:
    """What was published is told from what was measured."""
    overrides = titled("Quick Check over time")["fieldConfig"]["overrides"]
    dashed = [o["matcher"]["options"] for o in overrides for p in o["properties"] if p["id"] == "custom.lineStyle"]

    assert dashed == ["B"]


def test_nothing_is_coloured_without_a_target() -> None:
    """No number of delivery has a target, so none looks good or bad."""
    shown = [p["fieldConfig"]["defaults"] for p in panels_of(BOARD) if p.get("targets")]

    assert all(d["thresholds"]["steps"] == [{"color": "text", "value": None}] for d in shown)


def test_deployments_and_incidents_are_marked() -> None:
    """Charts say what else happened."""
    assert [a["name"] for a in BOARD["annotations"]["list"]] == ["Deployments", "Open incidents"]


@pytest.mark.parametrize(
    ("title", "column", "page"),
    [
        ("The five metrics by team", "Change fail rate, share", "/explain/change_fail_rate?team="),
        ("Change lead time: stages by team", "Review", "/explain/change_lead_time?team="),
    ],
)
def test_a_number_of_a_team_leads_to_its_events(title: str, column: str, page: str) -> None:
    """Each column of a table leads to the explaining page of its own indicator."""
    board = document(*indicators(), base_url=ADDRESS)
    overrides = [o for o in titled(title, board)["fieldConfig"]["overrides"] if o["matcher"]["options"] == column]
    urls = [link["url"] for o in overrides for p in o["properties"] if p["id"] == "links" for link in p["value"]]

    assert len(urls) == 1
    assert urls[0].startswith(ADDRESS + page)


def test_a_stage_leads_to_its_own_events() -> None:
    """The page that explains a stage is asked for that stage."""
    board = document(*indicators(), base_url=ADDRESS)
    overrides = titled("Change lead time: stages by team", board)["fieldConfig"]["overrides"]

    assert "&dimension=review" in str([o for o in overrides if o["matcher"]["options"] == "Review"])


def test_a_tile_leads_to_incidents_where_there_is_a_board_of_them() -> None:
    """A link leads to a board that exists."""
    alone = titled("Change fail rate, share", document("change_fail_rate"))["fieldConfig"]["defaults"]["links"]
    beside = titled("Change fail rate, share")["fieldConfig"]["defaults"]["links"]

    assert alone == []
    assert [link["url"].partition("&")[0] for link in beside] == [
        "/d/paceline-reliability?var-team=${__field.labels.team:percentencode}"
    ]
