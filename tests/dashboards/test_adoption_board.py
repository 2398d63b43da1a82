"""The board of adoption and satisfaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shown_boards import Shown, made

from dashboards import adoption

GOLDEN = Path(__file__).parent / "golden"
BOARD = Shown.of(adoption.BOARD)
LEVEL = 'service="",team=~"$team|",window="$window"'


def test_the_board_of_the_built_in_indicators_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    golden(GOLDEN / f"{adoption.UID}.json", BOARD.dashboard.text())


def test_without_users_and_surveys_there_is_no_board() -> None:
    """Indicators of other boards give no empty one."""
    assert made(adoption.BOARD, "uptime") is None


def test_surveys_alone_have_their_rows_and_no_capabilities() -> None:
    """Who counts no users sees answers, and nothing that stays empty."""
    found = made(adoption.BOARD, *adoption.SATISFACTION)

    assert found is not None
    rows = [p["title"] for p in found.document["panels"] if p["type"] == "row"]
    assert rows == ["Are they content? $team, last $window", "Answers over time: $team", "Numbers about people"]
    assert [v["name"] for v in found.document["templating"]["list"]] == ["datasource", "team", "window"]


def test_a_part_of_the_indicators_gets_default_rows() -> None:
    """Where only one is declared, its default panels stand here once, and none that the others would be missed in."""
    found = made(adoption.BOARD, "survey_nps")

    assert found is not None
    rows = [p["title"] for p in found.document["panels"] if p["type"] == "row"]
    assert rows == ["Net promoter score: $team, last $window", "Numbers about people"]


def test_active_users_of_all_capabilities_come_first() -> None:
    """Who uses several capabilities counts once."""
    assert BOARD.titles[1] == "Active users"
    assert BOARD.asks("Active users") == [f'max by (team) (platform_active_users{{{LEVEL},kind="",stat="value"}})']


def test_retention_has_n_and_its_interval() -> None:
    """N are those who were active before."""
    assert BOARD.asks("Of those active before, active again")[1] == (
        f'max by (team) (platform_active_users_retention_samples{{{LEVEL},kind=""}})'
    )
    assert len(BOARD.asks("Active again: the share lies between")) == 2


def test_the_score_has_n_its_interval_and_who_did_not_answer() -> None:
    """Twenty points of thirty answers may be none; and of many who did not answer nothing is known."""
    value, n = BOARD.asks("Net promoter score")

    assert value == f'max by (team, kind) (platform_survey_nps{{{LEVEL},kind!="",stat="value"}})'
    assert n == f'max by (team, kind) (platform_survey_nps_samples{{{LEVEL},kind!=""}})'
    assert BOARD.titles.index("The score lies between") == BOARD.titles.index("Net promoter score") + 1
    assert BOARD.titles.index("Of those invited, answered") == BOARD.titles.index("Net promoter score") + 2


def test_the_score_says_which_wave_it_is_of() -> None:
    """Answers of the window before belong to a wave that reaches into this one."""
    description = BOARD.panel("Net promoter score")["description"]

    assert "latest wave" in description
    assert "window before" in description


def test_a_score_below_zero_is_seen() -> None:
    """More may be against than for: the axis does not begin with zero."""
    assert "min" not in BOARD.panel("Net promoter score: over time")["fieldConfig"]["defaults"]


def test_questions_stand_in_the_order_of_names() -> None:
    """They are not compared with each other."""
    assert BOARD.panel("Satisfied answers, by question")["options"]["sortBy"] == [
        {"desc": False, "displayName": "Question"}
    ]


def test_capabilities_can_be_chosen_and_questions_are_not_among_them() -> None:
    """The variable has the kinds of what is used, not of what is asked."""
    assert "survey" not in BOARD.variable("kind")["query"]
    assert 'kind=~"$kind"' in BOARD.asks("Active users, by capability")[0]
    assert "$kind" not in BOARD.asks("Satisfied answers, by question")[0]


def test_services_and_teams_that_use_a_capability_are_not_mixed() -> None:
    """By method, each for itself."""
    assert BOARD.asks("Services or teams, by capability")[0] == (
        "max by (team, kind, method) "
        f'(platform_capability_adoption_ratio{{{LEVEL},kind=~"$kind",method!="",stat="value"}})'
    )


def test_people_who_are_left_out_are_counted() -> None:
    """The platform's own team is no user of it."""
    assert BOARD.asks("People left out, and why") == [
        f'max by (team, reason) (platform_active_users_excluded{{{LEVEL},kind=""}})'
    ]


def test_newcomers_are_a_link_away() -> None:
    """Users come from those who join, with the same team."""
    assert BOARD.leads_to("Of those active before, active again")[-1].startswith(
        "/d/paceline-onboarding?${team:queryparam}&"
    )


def test_every_number_about_people_is_listed_where_it_is_withheld() -> None:
    """Capabilities are of services; all else here is about people."""
    (listed,) = BOARD.asks("How many numbers are withheld")

    assert listed == (
        "max by (metric) (platform_suppressed_numbers{metric=~"
        '"platform_active_users|platform_active_users_retention_ratio|platform_survey_nps|platform_survey_csat_ratio'
        '|platform_survey_csat_score|platform_survey_response_ratio"})'
    )
