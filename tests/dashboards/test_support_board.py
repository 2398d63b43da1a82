"""The board of support and documentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shown_boards import PACELINE, Shown, made

from dashboards import support

GOLDEN = Path(__file__).parent / "golden"
BOARD = Shown.of(support.BOARD)
LEVEL = 'service="",team=~"$team|"'


def test_the_board_of_the_built_in_indicators_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    golden(GOLDEN / f"{support.UID}.json", BOARD.dashboard.text())


def test_without_support_and_documentation_there_is_no_board() -> None:
    """Indicators of other boards give no empty one."""
    assert made(support.BOARD, "uptime") is None


def test_documentation_alone_has_its_row_and_no_queues() -> None:
    """Who has no tickets sees pages, and nothing that stays empty."""
    found = made(support.BOARD, *support.DOCUMENTATION)

    assert found is not None
    rows = [p["title"] for p in found.document["panels"] if p["type"] == "row"]
    assert rows == [
        "Does documentation keep up? $team, last $window",
        "Documentation by service: $service, last $window",
    ]
    assert [v["name"] for v in found.document["templating"]["list"]] == ["datasource", "team", "service", "window"]


def test_open_tickets_come_first_and_are_of_now() -> None:
    """How many wait is a question of this moment, whatever window is chosen."""
    assert BOARD.titles[1:3] == ["Open tickets now", "Age of open tickets"]
    assert BOARD.asks("Open tickets now") == [
        f'max by (team) (platform_support_open_tickets{{{LEVEL},window="now",queue="",stat="value"}})'
    ]


def test_what_is_of_now_is_explained_without_a_window() -> None:
    """The page takes none for a number of a moment."""
    assert BOARD.leads_to("Open tickets now") == [
        f"{PACELINE}/explain/support_open_tickets?team=${{__field.labels.team}}"
    ]


def test_the_promises_stand_beside_n_and_lead_to_their_slos() -> None:
    """Answered and resolved in time, and how many tickets that is."""
    assert BOARD.asks("First response in time") == [
        f'max by (team) (platform_support_first_response_ratio{{{LEVEL},window="$window",queue="",stat="value"}})',
        f'max by (team) (platform_support_first_response_samples{{{LEVEL},window="$window",queue=""}})',
    ]
    assert BOARD.leads_to("Resolved in time")[-1].startswith("/d/paceline-overview?")


def test_how_long_it_takes_is_told_by_median_and_nine_of_ten() -> None:
    """Two statistics of the same tickets, and their number."""
    legends = [t["legendFormat"] for t in BOARD.panel("Time to a first response")["targets"]]

    assert legends == ["{{team}}: median", "{{team}}: nine of ten within", "{{team}}: tickets (n)"]


def test_times_of_a_queue_say_that_its_opening_hours_count() -> None:
    """A day of them is no day of the calendar."""
    assert "opening hours" in BOARD.panel("Time to a resolution")["description"]


def test_each_queue_has_a_row_in_the_order_of_names() -> None:
    """Open, age, answered, resolved: what belongs together stands together."""
    panel = BOARD.panel("Each queue")

    assert len(panel["targets"]) == 7
    assert panel["options"]["sortBy"] == [{"desc": False, "displayName": "Queue"}]
    assert {expr.partition("(platform")[0] for expr in BOARD.asks("Each queue")} == {"max by (team, queue) "}


def test_queues_can_be_chosen() -> None:
    """All queues that there are at first."""
    assert BOARD.variable("queue")["current"]["value"] == ["$__all"]
    assert 'queue=~"$queue"' in BOARD.asks("Open tickets, by queue")[0]


def test_tickets_per_user_lead_to_the_users() -> None:
    """More tickets may be more users."""
    assert BOARD.leads_to("Tickets per 100 users")[-1].startswith("/d/paceline-adoption?${team:queryparam}&")


def test_documentation_is_told_by_method() -> None:
    """A map of code to pages and the age of pages are different questions."""
    assert BOARD.asks("Changes whose page followed in time")[0] == (
        f'max by (team, method) (platform_docs_fresh_ratio{{{LEVEL},window="$window",method!="",stat="value"}})'
    )
    assert 'window="now"' in BOARD.asks("Pages that were reviewed")[0]


def test_services_whose_pages_drift_are_found_by_name() -> None:
    """Each chosen service has a row of its own that leads to the days behind it; levels of teams have none there."""
    assert BOARD.asks("Code and its pages, by service")[0] == (
        "max by (service, method) (platform_docs_fresh_ratio"
        '{service=~"$service",service!="",window="$window",method!="",stat="value"})'
    )
    assert BOARD.rows_lead_to("Code and its pages, by service") == [
        (
            f'{PACELINE}/explain/documentation_freshness?service=${{__data.fields["Service"]}}'
            '&label=method%3D${__data.fields["Method"]}&window=${window}'
        )
    ]


def test_tickets_that_are_neither_answered_nor_late_are_counted() -> None:
    """They are in no share yet."""
    assert any("_pending{" in expr for expr in BOARD.asks("What it rests on"))


def test_only_numbers_about_people_are_listed_as_withheld() -> None:
    """Tickets are no people; users are."""
    assert BOARD.asks("How many numbers are withheld") == [
        'max by (metric) (platform_suppressed_numbers{metric=~"platform_support_tickets_per_100_users"})'
    ]
