"""The board for leaders: the week at a glance."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shown_boards import PACELINE, Shown

from dashboards import leaders
from dashboards.making import Making
from dashboards.queries import panels_of
from slo_engine.indicator import indicators
from slo_engine.windows import INDICATOR_WINDOWS

GOLDEN = Path(__file__).parent / "golden"
BOARD = Shown(leaders.board(Making(indicators=tuple(indicators().values()), base_url=PACELINE)))
EMPTY = Shown(leaders.board(Making(indicators=())))
PANELS = panels_of(BOARD.dashboard.document)
NUMBERS = [p for p in PANELS if "Beside it its 95 % interval" in p.get("description", "")]
WORST = "The 3 promises with the least error budget left"
SCREENS = 2
LINES_OF_A_SCREEN = 24  # of 30 pixels and a gap of 8, on 1,080 pixels less what the browser and Grafana take


def legends(panel: dict[str, Any]) -> list[str]:
    """How the numbers of a panel are called."""
    return [t["legendFormat"] for t in panel["targets"]]


def test_the_board_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    golden(GOLDEN / f"{leaders.UID}.json", BOARD.dashboard.text())


def test_the_verdict_comes_first() -> None:
    """How many promises are kept, of how many, and which are worst."""
    assert BOARD.titles[1:6] == [
        "Promises kept",
        "Promises broken",
        "Too little data to say",
        "Promises in all",
        WORST,
    ]


def test_kept_broken_and_unknown_are_all_promises() -> None:
    """A promise at risk is still kept; every status is counted once."""
    asked = [BOARD.asks(title)[0] for title in ("Promises kept", "Promises broken", "Too little data to say")]
    assert [re.findall(r'status=~"([^"]*)"', expr) for expr in asked] == [
        ["healthy|at_risk"],
        ["exhausted"],
        ["insufficient_data|unknown"],
    ]


def test_the_worst_promises_are_the_same_in_every_column() -> None:
    """Each column is narrowed to the three with the least budget, or rows would come apart."""
    assert [e for e in BOARD.asks(WORST) if "and on (slo) bottomk(3, max by (slo)" not in e] == []


@pytest.mark.parametrize("panel", NUMBERS, ids=lambda p: p["title"])
def test_a_number_never_stands_without_its_n(panel: dict[str, Any]) -> None:
    """The last number of a panel counts what the first rests on; it is no duration and no share."""
    counted = panel["targets"][-1]
    (special,) = [
        o["properties"] for o in panel["fieldConfig"]["overrides"] if o["matcher"]["options"] == counted["refId"]
    ]
    assert "_samples{" in counted["expr"]
    assert special == [{"id": "unit", "value": "none"}]


def test_a_number_stands_with_its_interval() -> None:
    """Two weeks whose intervals overlap cannot be told apart."""
    assert legends(BOARD.panel("Change fail rate, last 7d")) == ["share", "at least", "at most", "deployments"]


def test_a_frequency_has_no_interval() -> None:
    """Deployments are counted, all of them."""
    assert legends(BOARD.panel("Deployments, last 7d"))[0] == "per day"
    assert len(legends(BOARD.panel("Deployments, last 7d"))) == 2


def test_questions_of_a_survey_are_told_apart() -> None:
    """Answers to different questions have no mean: the label is in the name of each number."""
    assert legends(BOARD.panel("Net promoter score, last 90d"))[0] == "value {{kind}}"


def test_parts_are_not_mixed_with_the_whole() -> None:
    """Of a split number the whole is shown: all stages of lead time, all journeys, one milestone of onboarding."""
    assert 'stage=""' in BOARD.asks("Change lead time, last 7d")[0]
    assert 'journey=""' in BOARD.asks("Self-service success, last 7d")[0]
    assert 'stage="first_deployed_change",kind="",method=""' in BOARD.asks("Onboarding success, last 90d")[0]


@pytest.mark.parametrize("panel", NUMBERS, ids=lambda p: p["title"])
def test_numbers_are_of_everybody_or_one_level_of_teams(panel: dict[str, Any]) -> None:
    """A level pools its services: an average of averages is none."""
    assert all('service="",team="$team"' in t["expr"] for t in panel["targets"])


def test_it_opens_with_everybody_over_published_windows() -> None:
    """Nothing needs to be chosen, and the windows are those that numbers are published for."""
    shown = {w for panel in PANELS for w in re.findall(r"last (\w+)$", panel["title"])}
    assert BOARD.variable("team")["current"]["value"] == "/"
    assert shown <= {w.label for w in INDICATOR_WINDOWS}


@pytest.mark.parametrize("panel", NUMBERS, ids=lambda p: p["title"])
def test_no_number_is_coloured(panel: dict[str, Any]) -> None:
    """Without a target nothing is good or bad; too few to say is said in words."""
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["color"] == {"mode": "fixed", "fixedColor": "text"}
    assert defaults["noValue"] == "No data: too few to say, or a source is stale"


@pytest.mark.parametrize("panel", NUMBERS, ids=lambda p: p["title"])
def test_a_number_leads_to_its_board_and_to_its_events(panel: dict[str, Any]) -> None:
    """Whoever wants to know more goes to the board of the theme, or to the events behind the number."""
    more, explain = (link["url"] for link in panel["fieldConfig"]["defaults"]["links"])
    assert re.match(r"/d/paceline-[a-z-]+\?var-team=\$\{team\}&", more)
    assert explain.startswith(f"{PACELINE}/explain/")


def test_the_quick_check_stands_beside_the_industry() -> None:
    """The score alone says little; the industry's mean of the year is its second number."""
    assert legends(BOARD.panel("DORA Quick Check, last 28d")) == ["overall, of 10", "industry's mean"]


def test_an_organisation_without_indicators_still_sees_its_promises() -> None:
    """What Prometheus measures needs no indicator: promises and data health are left, and nothing to choose."""
    rows = [p["title"] for p in panels_of(EMPTY.dashboard.document) if p["type"] == "row"]
    assert rows == ["Does the platform keep its promises?", "Can that be trusted?"]
    assert [v["name"] for v in EMPTY.dashboard.document["templating"]["list"]] == ["datasource"]


def test_it_fits_on_two_screens() -> None:
    """Whoever reads it in a meeting scrolls once."""
    end = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in BOARD.dashboard.document["panels"])
    assert end <= SCREENS * LINES_OF_A_SCREEN
