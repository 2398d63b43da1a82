"""The board of self-service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shown_boards import PACELINE, Shown, made

from dashboards import self_service

GOLDEN = Path(__file__).parent / "golden"
BOARD = Shown.of(self_service.BOARD)
WHOLE = 'service="",team=~"$team|",window="$window",journey=""'
EACH = 'service="",team=~"$team|",window="$window",journey=~"$journey"'


def test_the_board_of_the_built_in_indicators_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    golden(GOLDEN / f"{self_service.UID}.json", BOARD.dashboard.text())


def test_without_self_service_there_is_no_board() -> None:
    """Indicators of other boards give no empty one."""
    assert made(self_service.BOARD, "uptime") is None


def test_waiting_alone_has_its_rows_and_no_variable_of_requests() -> None:
    """Who has no self-service sees how long people wait, and nothing that stays empty."""
    found = made(self_service.BOARD, "developer_wait_time")

    assert found is not None
    rows = [p["title"] for p in found.document["panels"] if p["type"] == "row"]
    assert rows == ["How long do people wait? $team, last $window", "Numbers about people"]
    assert [v["name"] for v in found.document["templating"]["list"]] == ["datasource", "team", "window"]


def test_success_comes_first_with_n_and_leads_to_its_slos() -> None:
    """All journeys together, and how many requests that is."""
    assert BOARD.titles[1] == "Requests that succeeded in time"
    assert BOARD.asks("Requests that succeeded in time") == [
        f'max by (team) (platform_self_service_success_ratio{{{WHOLE},stat="value"}})',
        f"max by (team) (platform_self_service_success_samples{{{WHOLE}}})",
    ]
    assert BOARD.leads_to("Requests that succeeded in time")[-1].startswith("/d/paceline-overview?")


def test_success_and_adoption_are_never_one_number() -> None:
    """Both stand in the first row, each by itself, and the board says why."""
    adopted = BOARD.panel("Self-service instead of a ticket")

    assert "different questions" in adopted["description"]
    assert {"adoption" in expr for expr in BOARD.asks("Self-service instead of a ticket")} == {True}


def test_one_script_cannot_hide_behind_its_requests() -> None:
    """Beside the share of requests stands that of requesters."""
    assert BOARD.asks("Success, every requester counting once") == [
        f'max by (team) (platform_self_service_success_by_requester_ratio{{{WHOLE},stat="value"}})',
        f"max by (team) (platform_self_service_success_by_requester_samples{{{WHOLE}}})",
    ]


def test_each_journey_has_a_row_with_its_interval_and_n() -> None:
    """By name, never by success: the table is for finding, not for ranking."""
    panel = BOARD.panel("Each journey")

    assert BOARD.asks("Each journey")[:4] == [
        f'max by (team, journey) (platform_self_service_success_ratio{{{EACH},stat="value"}})',
        f'max by (team, journey) (platform_self_service_success_ratio{{{EACH},stat="low"}})',
        f'max by (team, journey) (platform_self_service_success_ratio{{{EACH},stat="high"}})',
        f"max by (team, journey) (platform_self_service_success_samples{{{EACH}}})",
    ]
    assert panel["options"]["sortBy"] == [{"desc": False, "displayName": "Journey"}]


def test_a_row_leads_to_its_own_journey() -> None:
    """The page is asked for what stands in the row."""
    assert BOARD.rows_lead_to("Each journey") == [
        (
            f'{PACELINE}/explain/self_service_success?team=${{__data.fields["Team"]}}'
            '&label=journey%3D${__data.fields["Journey"]}&window=${window}'
        )
    ]


def test_a_number_of_all_journeys_names_none_when_it_is_explained() -> None:
    """All together have no value of the label, and the page takes no empty one."""
    assert BOARD.leads_to("Requests that succeeded in time")[0] == (
        f"{PACELINE}/explain/self_service_success?team=${{__field.labels.team}}&window=${{window}}"
    )


def test_journeys_can_be_chosen() -> None:
    """All journeys that there are at first, as a list of their names."""
    variable = BOARD.variable("journey")

    assert (variable["multi"], variable["includeAll"], variable["current"]["value"]) == (True, True, ["$__all"])
    assert variable["query"].endswith('journey!=""}, journey)')


def test_outcomes_are_stacked_bars() -> None:
    """What becomes of all requests adds up: each outcome for itself, of all journeys."""
    panel = BOARD.panel("Requests per day, by outcome")

    assert BOARD.asks("Requests per day, by outcome") == [
        f'max by (team, outcome) (platform_self_service_requests_per_day{{{WHOLE},outcome!=""}})'
    ]
    assert panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "bars"
    assert panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"


def test_the_share_that_needed_help_is_drawn_from_zero() -> None:
    """Of bad ones all matters; of good ones what is near the top."""
    helped = BOARD.panel("Somebody had to help: over time")["fieldConfig"]["defaults"]
    success = BOARD.panel("Success: over time")["fieldConfig"]["defaults"]

    assert (helped["min"], "max" in helped) == (0, False)
    assert ("min" in success, success["max"]) == (False, 1)


def test_an_interval_is_dashed_in_the_colour_of_its_value() -> None:
    """A bound is no second measurement."""
    overrides = BOARD.panel("Success: over time")["fieldConfig"]["overrides"]
    colors = {p["value"]["fixedColor"] for o in overrides for p in o["properties"] if p["id"] == "color"}
    dashed = [o["matcher"]["options"] for o in overrides if "custom.lineStyle" in {p["id"] for p in o["properties"]}]

    assert (len(colors), dashed) == (1, ["B", "C"])


def test_what_people_wait_for_adds_up() -> None:
    """Each kind of waiting, stacked."""
    title = "Waited for, per 100 developers: over time"

    assert BOARD.asks(title) == [
        (
            'max by (team, kind) (platform_developer_wait_seconds{service="",team=~"$team|",window="$window",kind!="",'
            'stat="value"})'
        )
    ]
    assert BOARD.panel(title)["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"


def test_autonomy_is_shown_by_service_and_team() -> None:
    """What every indicator of services gets."""
    assert "Team autonomy: $service, $environment, last $window" in BOARD.titles
    assert "Team autonomy: by team" in BOARD.titles


def test_left_out_requests_have_their_reasons() -> None:
    """Dry runs, cancelled and rejected requests are counted, for each number that leaves them out."""
    assert BOARD.asks("Left out, and why") == [
        f"max by (team, reason) (platform_self_service_{name}_excluded{{{WHOLE}}})"
        for name in ("success", "request_duration", "adoption")
    ]


def test_only_numbers_about_people_are_listed_as_withheld() -> None:
    """Requests are no people: of them nothing is withheld."""
    assert BOARD.asks("How many numbers are withheld") == [
        (
            "max by (metric) (platform_suppressed_numbers"
            '{metric=~"platform_self_service_success_by_requester_ratio|platform_developer_wait_seconds"})'
        )
    ]
