"""The board of the platform's reliability."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashboards import reliability
from dashboards.making import Making
from dashboards.panels import GREEN, ORANGE, VERMILLION, Dashboard
from dashboards.queries import panels_of
from slo_engine.indicator import indicators
from slo_engine.windows import BURN_WINDOWS

GOLDEN = Path(__file__).parent / "golden"


def made(*names: str, base_url: str = "") -> Dashboard | None:
    """The board of these indicators."""
    return reliability.board(Making(indicators=tuple(indicators()[name] for name in names), base_url=base_url))


def document(*names: str, base_url: str = "") -> dict[str, Any]:
    """The same as Grafana loads it."""
    board = made(*names, base_url=base_url)
    assert board is not None
    return board.document


BOARD = document(*indicators())
VARIABLES = {v["name"]: v for v in BOARD["templating"]["list"]}
BURNING = "Burn rates of the SLOs about these parts, over one hour"


def titled(title: str, board: dict[str, Any] = BOARD) -> Any:
    """The first panel with a title."""
    return next(p for p in panels_of(board) if p["title"] == title)


def expressions(title: str, board: dict[str, Any] = BOARD) -> list[str]:
    """The queries of a panel."""
    return [t["expr"] for t in titled(title, board)["targets"]]


def columns(title: str, board: dict[str, Any] = BOARD) -> list[str]:
    """The titles of a table's columns, in the order in which they are shown."""
    options = titled(title, board)["transformations"][1]["options"]
    by_place = sorted(options["indexByName"], key=options["indexByName"].__getitem__)
    return [options["renameByName"][name] for name in by_place]


def test_the_board_of_the_built_in_indicators_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    board = made(*indicators())
    assert board is not None
    golden(GOLDEN / f"{reliability.UID}.json", board.text())


def test_without_uptime_and_incidents_there_is_no_board() -> None:
    """Pipelines alone have a board of their own."""
    assert made("pipeline_success") is None


def test_every_part_is_chosen_at_first() -> None:
    """The parts are those that are probed, and all of them are seen."""
    service = VARIABLES["service"]

    assert service["current"]["value"] == ["$__all"]
    assert service["query"] == 'label_values({__name__=~"platform_uptime_samples",service!=""}, service)'


def test_each_part_is_shown_in_every_window() -> None:
    """A bad day is seen in the week, and a bad week in the quarter; unknown minutes are said beside."""
    assert columns("Uptime of each part") == [
        "Service",
        "Environment",
        "Last 7d",
        "Last 28d",
        "Last 90d",
        "Minutes known (n)",
        "Minutes unknown",
        "Used",
        "Incidents open",
    ]


def test_unknown_minutes_are_those_without_checks() -> None:
    """Neither up nor down: what no check told, and not what was left out for another reason."""
    assert expressions("Uptime of each part")[4] == (
        'max by (service, environment) (platform_uptime_excluded{service=~"$service",service!="",'
        'environment=~"$environment|",window="$window",reason="unknown"})'
    )


def test_an_incident_of_what_is_not_probed_makes_no_row_of_a_part() -> None:
    """The table of parts takes open incidents only where there are minutes."""
    assert (
        " and on (service, environment) max by (service, environment) (platform_uptime_samples{"
        in (expressions("Uptime of each part")[-1])
    )


def test_without_incidents_parts_are_shown_alone() -> None:
    """Where nobody declares incidents, the table of parts has no column of them and no row follows."""
    board = document("uptime")

    assert "Incidents open" not in columns("Uptime of each part", board)
    assert [p["title"] for p in board["panels"] if p["type"] == "row"] == [
        "Parts of the platform: $service, $environment",
        "Uptime: $service, $environment, last $window",
    ]


def test_an_outage_is_a_band_at_its_time() -> None:
    """Also of a part that nothing is promised of; without news there is a gap, and not the last state."""
    panel = titled("When each part was up or down")
    (expr,) = expressions("When each part was up or down")
    where = 'service=~"$service",service!="",environment=~"$environment|"'
    good, bad = (
        f'max by (service, environment) (increase(platform_uptime_judged_total{{{where},outcome="{one}"}}'
        "[$__rate_interval]))"
        for one in ("good", "bad")
    )

    assert panel["type"] == "state-timeline"
    assert expr == f"{bad} / ({good} + {bad} > 0)"


def test_steps_of_bands_are_longer_than_collecting_takes() -> None:
    """Minutes become known every few minutes; in shorter steps there would be gaps."""
    assert titled("When each part was up or down")["interval"] == "10m"


def test_only_an_slo_gives_a_part_colours() -> None:
    """A burn rate has a target and is judged; uptime itself has none and is not."""
    steps = titled(BURNING)["fieldConfig"]["defaults"]["thresholds"]["steps"]

    assert [s["color"] for s in steps] == [GREEN, ORANGE, VERMILLION]
    assert GREEN not in str(titled("Uptime of each part"))


def test_burn_rates_are_of_the_parts_own_slos() -> None:
    """The SLO's service says whose it is, whoever measures it, and the window is a published one."""
    (expr,) = expressions(BURNING)

    assert expr.startswith('(max by (slo) (platform_slo_burn_rate{window="1h"}) or max by (slo) (slo:sli_error:')
    assert expr.endswith('and on (slo) platform_slo_info{service=~"$service"}')
    assert "1h" in {w.label for w in BURN_WINDOWS}


def test_a_burn_rate_leads_to_its_slo() -> None:
    """The next question is what spent the budget."""
    (link,) = titled(BURNING)["fieldConfig"]["defaults"]["links"]

    assert link["url"].startswith("/d/paceline-slo?var-slo=${__field.labels.slo:percentencode}&")


def test_only_open_incidents_are_listed_as_open() -> None:
    """A service without one has no row; incidents of the longest window count."""
    (expr,) = expressions("Incidents open now")

    assert expr == (
        'max by (service, environment) (platform_incident_restore_pending{service!="",team=~"$team|",'
        'environment=~"$environment|",window="90d"}) > 0'
    )


def test_time_to_restore_has_its_n_and_coverage() -> None:
    """How long it takes, and how many incidents that rests on."""
    assert columns("Time to restore, last $window") == [
        "Service",
        "Environment",
        "Median",
        "Nine of ten within",
        "Counted (n)",
        "Used",
    ]


def test_pipelines_stand_beside() -> None:
    """People feel a part that is down in their pipelines first."""
    assert expressions("Pipeline success, by level of teams")[0].startswith(
        'max by (team, environment) (platform_pipeline_success_ratio{service="",team=~"$team|"'
    )


def test_deployments_and_incidents_are_marked() -> None:
    """Charts say what else happened."""
    assert [a["name"] for a in BOARD["annotations"]["list"]] == ["Deployments", "Open incidents"]


def test_a_part_leads_to_its_minutes() -> None:
    """The explaining page of uptime is asked for the service and the environment of the row."""
    board = document("uptime", base_url="https://paceline.example")
    overrides = titled("Uptime of each part", board)["fieldConfig"]["overrides"]
    (links,) = [p["value"] for o in overrides for p in o["properties"] if p["id"] == "links"]

    assert links[0]["url"] == (
        'https://paceline.example/explain/uptime?service=${__data.fields["Service"]:percentencode}'
        '&environment=${__data.fields["Environment"]:percentencode}&window=${window:percentencode}'
    )
