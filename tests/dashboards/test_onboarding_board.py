"""The board of onboarding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shown_boards import PACELINE, Shown, made

from dashboards import onboarding

GOLDEN = Path(__file__).parent / "golden"
BOARD = Shown.of(onboarding.BOARD)
CHOSEN = 'service="",team=~"$team|",window="$window",stage="${stage}",kind="",method=""'


def test_the_board_of_the_built_in_indicators_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    golden(GOLDEN / f"{onboarding.UID}.json", BOARD.dashboard.text())


def test_without_onboarding_there_is_no_board() -> None:
    """Indicators of other boards give no empty one."""
    assert made(onboarding.BOARD, "uptime") is None


def test_a_part_of_the_indicators_gets_default_rows() -> None:
    """Where only one is declared, its default panels stand here, and none that the other would be missed in."""
    found = made(onboarding.BOARD, "onboarding_success")

    assert found is not None
    assert "Onboarding success" in [p["title"] for p in found.document["panels"]]


def test_the_first_numbers_are_of_the_first_deployed_change_of_everybody() -> None:
    """The board opens with its question: how soon do newcomers deploy, whatever team they joined."""
    assert BOARD.variable("stage")["current"]["value"] == "first_deployed_change"
    assert BOARD.variable("team")["current"]["value"] == ["/"]


def test_the_median_is_told_in_working_days_with_n_beside_it() -> None:
    """Seconds of working time become days, as on the page that explains them: ten are no 1.43 weeks."""
    panel = BOARD.panel("Median time to the milestone")
    median, n = BOARD.asks("Median time to the milestone")

    assert median == f'max by (team) (platform_onboarding_time_seconds{{{CHOSEN},stat="p50"}}) / 86400'
    assert n == f"max by (team) (platform_onboarding_time_samples{{{CHOSEN}}})"
    assert panel["fieldConfig"]["defaults"]["unit"] == "suffix:working days"


def test_who_is_not_there_yet_is_counted_and_the_estimate_explained() -> None:
    """Those on the way and those not judged yet stand in the first row, and why the median counts them."""
    assert BOARD.asks("Joined, and still on the way") == [
        f"max by (team) (platform_onboarding_time_pending{{{CHOSEN}}})"
    ]
    assert BOARD.asks("Deadline not reached: not judged yet") == [
        f"max by (team) (platform_onboarding_success_pending{{{CHOSEN}}})"
    ]
    assert "Kaplan-Meier" in BOARD.panel("Median time to the milestone")["description"]


def test_the_share_and_the_median_have_their_intervals() -> None:
    """Nobody reads more into a dozen newcomers than they say."""
    assert BOARD.asks("The share lies between") == [
        f'max by (team) (platform_onboarding_success_ratio{{{CHOSEN},stat="{end}"}})' for end in ("low", "high")
    ]
    assert BOARD.asks("The median lies between") == [
        f'max by (team) (platform_onboarding_time_seconds{{{CHOSEN},stat="{end}"}}) / 86400' for end in ("low", "high")
    ]


def test_milestones_stand_in_the_order_in_which_they_are_reached() -> None:
    """The bars are a waterfall: each time counts from the start."""
    legends = [t["legendFormat"] for t in BOARD.panel("Median time from the start to each milestone")["targets"]]

    assert legends == [
        "{{team}} access granted",
        "{{team}} first green run",
        "{{team}} first merged change",
        "{{team}} first deployed change",
        "{{team}} tenth merged change",
    ]


def test_the_trend_reaches_back_half_a_year() -> None:
    """A window of 90 days says little in a week."""
    assert BOARD.dashboard.document["time"] == {"from": "now-26w", "to": "now"}


def test_nothing_is_coloured() -> None:
    """No target is known here: promises with a target are SLOs, to which the share leads."""
    assert BOARD.panel("Share within the promised days")["fieldConfig"]["defaults"]["color"]["mode"] == "fixed"
    assert BOARD.leads_to("Share within the promised days")[-1].startswith("/d/paceline-overview?")


def test_a_number_leads_to_the_events_behind_it() -> None:
    """The page is asked for the team, the milestone and the window of the number."""
    assert BOARD.leads_to("Median time to the milestone") == [
        (
            f"{PACELINE}/explain/onboarding_time?team=${{__field.labels.team}}"
            "&label=stage%3D${stage}&window=${window}"
        )
    ]


def test_a_row_leads_to_its_own_milestone() -> None:
    """The page is asked for what stands in the row."""
    assert BOARD.rows_lead_to("By milestone") == [
        (
            f'{PACELINE}/explain/onboarding_time?team=${{__data.fields["Team"]}}'
            '&label=stage%3D${__data.fields["Milestone"]}&window=${window}'
        )
    ]


def test_what_is_left_out_is_told_with_its_reason() -> None:
    """Late roster entries and bulk imports vanish for nobody."""
    assert BOARD.asks("Left out, and why") == [
        (
            "max by (team, stage, reason) (platform_onboarding_success_excluded"
            '{service="",team=~"$team|",window="$window",stage!="",kind="",method=""})'
        )
    ]


def test_what_is_withheld_is_counted() -> None:
    """The board says how many of its numbers about people are not shown."""
    assert BOARD.asks("How many numbers are withheld") == [
        (
            "max by (metric) (platform_suppressed_numbers"
            '{metric=~"platform_onboarding_success_ratio|platform_onboarding_time_seconds"})'
        )
    ]
