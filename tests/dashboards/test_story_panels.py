"""The planted stories of the example organisation can be seen on the boards, and the documentation says where.

Each test asks what a panel asks, with what a reader would choose, at the end of a week of the story.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asking import Opened
from boards import Filled, demo_boards

from dashboards.queries import panels_of
from paceline.demo.stories import STORIES

pytestmark = pytest.mark.integration

DOCUMENTS: dict[str, Any] = {board.document["title"]: board.document for board in demo_boards()}
PAGE = (Path(__file__).parents[2] / "docs" / "dashboards.md").read_text(encoding="utf-8")
TOLD = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (.+?) \|", PAGE, re.MULTILINE)
"""Story, board and panel of each row of the documentation's table."""


@dataclass(frozen=True)
class Reader:
    """Somebody who looks at the boards at the end of a week, so many weeks before the last."""

    filled: Filled

    def sees(
        self, board: str, panel: str, by: str, *, column: str = "", ago: int = 0, **chosen: str | list[str]
    ) -> dict[str, float]:
        """The numbers of a panel, or of a column of it, by a label of theirs."""
        found = self.rows(board, panel, column, ago, **chosen)
        return {one["metric"].get(by, ""): float(one["value"][1]) for one in found}

    def statuses(self, slo: str) -> list[str]:
        """What the overview says for the status of an SLO."""
        found = self.rows("overview", "Are the promises kept? Least budget first", "Status", 0)
        return [one["metric"]["status"] for one in found if one["metric"]["slo"] == slo]

    def rows(self, board: str, panel: str, column: str, ago: int, **chosen: str | list[str]) -> list[Mapping[str, Any]]:
        """The series of a panel's query, as Prometheus answers."""
        document = DOCUMENTS[f"Paceline: {board}"]
        at = self.filled.now - timedelta(weeks=ago)
        opened = Opened(document, self.filled.answers, at)
        values = opened.chosen | {n: [v] if isinstance(v, str) else v for n, v in chosen.items()}
        return self.filled.answers.instant(opened.asked(_asked(_panel(document, panel), column), values), at)


def _panel(document: dict[str, Any], title: str) -> Mapping[str, Any]:
    return next(panel for panel in panels_of(document) if panel["title"] == title)


def _asked(panel: Mapping[str, Any], column: str) -> Mapping[str, Any]:
    """The query behind a column of a table, of series by the end of their legend, else the first."""
    targets: Sequence[Mapping[str, Any]] = panel["targets"]
    if panel["type"] != "table" or not column:
        return next(target for target in targets if target["legendFormat"].endswith(column))
    (organised,) = (one["options"] for one in panel["transformations"] if one["id"] == "organize")
    (name,) = (name for name, title in organised["renameByName"].items() if title == column)
    places = organised["indexByName"]
    keys = len(places) - len(targets)
    return targets[int(places[name]) - keys]


@pytest.fixture
def reader(filled: Filled) -> Reader:
    """Who looks at the boards of the example's past."""
    return Reader(filled)


# ---- silent-source


def test_the_silent_source_is_stale(reader: Reader) -> None:
    """Of twelve sources one is not fresh, and is named."""
    fresh = reader.sees("collectors", "Sources, stale ones first", "source", column="Fresh")

    assert [source for source, value in fresh.items() if value == 0] == ["portal-probes"]


def test_uptime_of_the_silent_part_is_withheld(reader: Reader) -> None:
    """The portal, which had its uptime before, has none: neither good nor bad."""
    before, now = (reader.sees("platform reliability", "Uptime of each part", "service", ago=n) for n in (2, 0))

    assert before.keys() - now.keys() == {"portal"}


def test_the_band_of_the_silent_part_ends(reader: Reader) -> None:
    """The other parts were up in the last minutes; of the portal nothing is known."""
    down = reader.sees("platform reliability", "When each part was up or down", "service")

    assert down == {"ci": 0.0, "dns": 0.0, "registry": 0.0, "vault": 0.0}


def test_the_promise_about_the_silent_part_says_insufficient_data(reader: Reader) -> None:
    """Its SLO is among those with too little data, and keeps its row."""
    (status,) = reader.statuses("portal-is-up")

    assert status == "insufficient_data"


# ---- support-backlog


def test_the_backlog_of_support_grows(reader: Reader) -> None:
    """Open questions of platform-help pile up from four to nearly seventy, those of the other queues do not."""
    weeks = [
        reader.sees("support and documentation", "Open tickets, by queue", "queue", ago=n) for n in (4, 3, 2, 1, 0)
    ]

    assert [week["platform-help"] for week in weeks] == [4, 39, 60, 63, 69]
    assert max(week[queue] for week in weeks for queue in week.keys() - {"platform-help"}) <= 6


def test_first_responses_of_the_backlog_are_late(reader: Reader) -> None:
    """One of ten is answered in time where it was all of them, and the other queues are as ever."""
    before, then = (
        reader.sees("support and documentation", "First response in time, by queue", "queue", ago=n, window="7d")
        for n in (4, 1)
    )

    assert (before["platform-help"], round(then["platform-help"], 2)) == (1, 0.09)
    assert min(then[queue] for queue in then.keys() - {"platform-help"}) > 0.9


# ---- dns-outage


def test_the_outage_takes_more_than_the_budget(reader: Reader) -> None:
    """After 87 minutes more than twice the error budget of dns-is-up is spent, and was not before."""
    before, after = (reader.sees("one SLO", "Error budget left", "slo", slo="dns-is-up", ago=n) for n in (3, 2))

    assert before["dns-is-up"] > 0.5
    assert round(after["dns-is-up"], 2) == -1.48


def test_the_outage_burns_for_a_week(reader: Reader) -> None:
    """Over seven days its budget burnt nearly ten times as fast as it may."""
    burnt = reader.sees("one SLO", "Burn rates", "window", slo="dns-is-up", ago=2)

    assert round(burnt["7d"], 1) == 9.6


def test_the_outage_is_in_the_uptime_of_its_part_alone(reader: Reader) -> None:
    """Uptime of dns is 99.04 % in that week, and the other parts stay above 99.9 %."""
    uptime = reader.sees("platform reliability", "Uptime of each part", "service", column="Last 7d", ago=2)

    assert round(uptime["dns"], 4) == 0.9904
    assert min(uptime[part] for part in uptime.keys() - {"dns"}) > 0.999


def test_pipelines_fail_beside_the_outage(reader: Reader) -> None:
    """Pipeline success of everybody falls in that week and comes back."""
    before, then, after = (
        reader.sees("platform reliability", "Pipeline success, by level of teams", "team", ago=n, window="7d")["/"]
        for n in (3, 2, 1)
    )

    assert then < min(before, after) - 0.02


# ---- bad-release-week


def test_the_bad_week_is_one_teams(reader: Reader) -> None:
    """Half of the checkout team's deployments fail; no other team is anywhere near."""
    rates = reader.sees(
        "delivery", "The five metrics by team", "team", column="Change fail rate, share", ago=3, window="7d"
    )
    others = rates.keys() - {"/commerce/checkout", "/commerce", "/"}

    assert round(rates["/commerce/checkout"], 2) == 0.49
    assert max(rates[team] for team in others) < 0.15


def test_the_bad_week_is_reworked(reader: Reader) -> None:
    """More than a quarter of that team's deployments mend another one, and hardly any a week earlier."""
    before, then = (
        reader.sees(
            "delivery", "The five metrics by team", "team", column="Deployment rework rate, share", ago=n, window="7d"
        )
        for n in (4, 3)
    )

    assert before["/commerce/checkout"] < 0.05
    assert then["/commerce/checkout"] > 0.25


# ---- broken-template


def test_the_broken_template_breaks_one_journey(reader: Reader) -> None:
    """Success of new-service drops to a third while the others stay, and is back two weeks later."""
    before, then, after = (
        reader.sees("self-service", "Success, by journey", "journey", ago=n, window="7d") for n in (8, 6, 4)
    )

    assert before["new-service"] > 0.9
    assert then["new-service"] == pytest.approx(1 / 3, abs=0.06)
    assert min(then[journey] for journey in then.keys() - {"new-service"}) > 0.85
    assert after["new-service"] > 0.9


# ---- slow-onboarding


def test_the_cohort_is_not_productive_in_time(reader: Reader) -> None:
    """One of nine newcomers of fulfilment deploys within the promised days, of all newcomers two of three."""
    share = reader.sees("onboarding", "Share within the promised days", "team", team=["/", "/commerce/fulfilment"])

    assert (round(share["/"], 2), round(share["/commerce/fulfilment"], 2)) == (0.65, 0.11)


def test_the_cohort_takes_twice_as_long(reader: Reader) -> None:
    """The median newcomer of fulfilment needs more than twice the working days of the median newcomer."""
    days = reader.sees("onboarding", "Median time to the milestone", "team", team=["/", "/commerce/fulfilment"])

    assert days["/commerce/fulfilment"] > 2 * days["/"]


# ---- docs-drift


def test_pages_of_one_team_do_not_follow(reader: Reader) -> None:
    """None of the analytics team's changes is followed by one of its page, of all nine of ten."""
    teams = ["/", "/data/analytics"]
    share = reader.sees(
        "support and documentation", "Code and its pages, by team", "team", column="In time", team=teams
    )

    assert share["/data/analytics"] == 0
    assert share["/"] > 0.85


# ---- monorepo


def test_the_services_of_one_repository_have_numbers_of_their_own(reader: Reader) -> None:
    """Each of the four has changes and a lead time of its own, days for the one that seldom deploys."""
    four = ["batch-loader", "intake", "schemas", "stream-router"]
    time = reader.sees("delivery", "Change lead time, median", "service", service=four)
    counted = reader.sees("delivery", "Change lead time, median", "service", column=": n", service=four)

    assert sorted(time) == four
    assert len(set(counted.values())) == 4
    assert time["schemas"] > 2 * max(time[service] for service in four if service != "schemas")


# ---- small-group


def test_numbers_of_a_small_group_are_withheld(reader: Reader) -> None:
    """Of a team of three nobody learns how many are active, where everybody's number is there."""
    active = reader.sees("adoption and satisfaction", "Active users", "team", team=["/", "/data/research"])

    assert active.keys() == {"/"}


def test_the_promise_of_a_small_group_says_insufficient_data(reader: Reader) -> None:
    """Too few deployments to say anything: no budget is praised or blamed."""
    (status,) = reader.statuses("notebooks-hold")

    assert status == "insufficient_data"


# ---- the documentation's table


def test_every_story_is_told() -> None:
    """The documentation says for each story which panels show it."""
    assert {story for story, _, _ in TOLD} == {story.name for story in STORIES}


@pytest.mark.parametrize(("board", "panel"), [told[1:] for told in TOLD])
def test_a_panel_of_the_table_exists(board: str, panel: str) -> None:
    """Boards and panels are called as the table calls them."""
    titles = [one["title"] for one in panels_of(DOCUMENTS[f"Paceline: {board}"])]

    assert titles.count(panel) == 1
