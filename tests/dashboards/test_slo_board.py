"""The board of one SLO: where it stands, what spent its budget, and what that rests on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shown_boards import PACELINE, Shown

from dashboards import slo
from dashboards.making import Making
from dashboards.queries import annotation_queries, queries
from slo_engine.indicator import indicators

GOLDEN = Path(__file__).parent / "golden"
BOARD = Shown(slo.board(Making(indicators=tuple(indicators().values()), base_url=PACELINE)))
EMPTY = Shown(slo.board(Making(indicators=())))
SPENT = "What spent the budget"
THRESHOLDS = "Burn rates beside the thresholds of their alerts"


def test_the_board_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    golden(GOLDEN / f"{slo.UID}.json", BOARD.dashboard.text())


@pytest.mark.parametrize(("title", "expr"), queries(BOARD.dashboard.document))
def test_every_query_is_about_the_chosen_slo(title: str, expr: str) -> None:
    """One SLO is chosen, and no panel mixes in another."""
    assert 'slo="$slo"' in expr


def test_one_slo_is_chosen_at_a_time() -> None:
    """The board is about one; many are the overview's."""
    assert not BOARD.variable("slo")["multi"]
    assert not BOARD.variable("slo")["includeAll"]


def test_the_first_row_says_where_it_stands() -> None:
    """Status, target, budget and how long it lasts come before any chart."""
    assert BOARD.titles[1:6] == [
        "Where it stands",
        "Attained, and the target",
        "Error budget left",
        "Bad events left",
        "Budget lasts for",
    ]


def test_the_board_opens_with_the_usual_window_of_an_slo() -> None:
    """A burn-down over less than the window would not show what spent the budget."""
    assert BOARD.dashboard.document["time"] == {"from": "now-28d", "to": "now"}


def test_the_end_of_the_budget_is_a_line() -> None:
    """At 0 the budget is used up, and a chart that stops there hides how far it is overspent."""
    defaults = BOARD.panel("Error budget left over time")["fieldConfig"]["defaults"]
    assert defaults["thresholds"]["steps"][1]["value"] == 0.0
    assert defaults["custom"]["thresholdsStyle"]["mode"] == "line"
    assert "min" not in defaults


def test_burn_rates_stand_beside_what_alerts() -> None:
    """The rates of the windows that have a threshold, and that threshold dashed, a page's and a ticket's apart."""
    panel = BOARD.panel(THRESHOLDS)
    legends = [t["legendFormat"] for t in panel["targets"]]
    dashed = [
        o["matcher"]["options"]
        for o in panel["fieldConfig"]["overrides"]
        if any(p["id"] == "custom.lineStyle" for p in o["properties"])
    ]
    assert "on (slo, window) platform_slo_burn_rate_threshold" in panel["targets"][0]["expr"]
    assert legends[1:] == ["page above, over {{window}}", "ticket above, over {{window}}"]
    assert dashed == ["B", "C"]


def test_what_was_left_out_stands_beside_what_counts() -> None:
    """Raw and adjusted events are told together, for each window."""
    table = BOARD.panel("Events by window, and what was left out")
    titles = table["transformations"][1]["options"]["renameByName"].values()
    assert {"Good", "Bad", "Good, left out", "Bad, left out"} <= set(titles)


def test_the_budget_is_shown_over_the_window_of_its_slo() -> None:
    """Budgets of 90 days and of a week burn down on charts of their own length."""
    assert BOARD.panel("Error budget left over time")["timeFrom"] == "$period"
    assert BOARD.variable("period")["query"] == 'label_values(platform_slo_attainment_ratio{slo="$slo"}, window)'
    assert BOARD.variable("period")["hide"] == 2


def test_bad_events_are_bars_of_when_they_became_known() -> None:
    """Growth of the counter, not the count of a rolling window, tells when it happened."""
    (expr,) = BOARD.asks("Bad events, when they became known")
    panel = BOARD.panel("Bad events, when they became known")
    assert expr == 'max by (slo) (increase(platform_sli_events_total{slo="$slo",outcome="bad"}[$__rate_interval]))'
    assert panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "bars"


def test_who_spent_the_budget_is_told_most_first() -> None:
    """Series of an SLO by what they spent; each leads to the boards of its service."""
    (expr,) = BOARD.asks(SPENT)
    assert expr.startswith("sort_desc(max by (service, environment, team, journey, queue, kind, method, stage, source)")
    assert [url.split("&")[0] for url in BOARD.leads_to(SPENT)] == [
        "/d/paceline-delivery?var-service=${__field.labels.service:percentencode}",
        "/d/paceline-reliability?var-service=${__field.labels.service:percentencode}",
    ]


def test_boards_that_are_not_made_are_not_linked() -> None:
    """Without delivery and uptime there is nowhere to go."""
    assert EMPTY.leads_to(SPENT) == []


def test_a_part_is_told_with_its_own_state() -> None:
    """Of a composite each part has its weight, its status and its budget, and leads to its own board."""
    weight, status, budget = BOARD.asks("What it consists of")
    (url,) = BOARD.rows_lead_to("What it consists of")
    assert weight == 'max by (part) (platform_slo_part_weight{slo="$slo"})'
    assert status.startswith("max by (part, status) (label_join(")
    assert budget.endswith(f"and on (part) {weight}")
    assert url.startswith('/d/paceline-slo?var-slo=${__data.fields["Part"]:percentencode}')


def test_events_and_history_are_linked_where_paceline_has_an_address() -> None:
    """Whether it was met in windows that are over, Paceline knows; Prometheus does not keep it."""
    assert BOARD.leads_to("Attained, and the target") == [
        f"{PACELINE}/slos/${{slo:percentencode}}/explain",
        f"{PACELINE}/api/v1/slos/${{slo:percentencode}}/history",
    ]
    assert EMPTY.leads_to("Attained, and the target") == []


def test_marks_are_those_of_the_services_that_it_is_about() -> None:
    """Deployments and incidents of the owner and of who spent the budget; exclusions of this SLO."""
    found = dict(annotation_queries(BOARD.dashboard.document))
    assert list(found) == ["Deployments", "Open incidents", "Exclusions"]
    assert found["Open incidents"].endswith(
        '> 0 and on (service) (platform_slo_info{slo="$slo"}'
        ' or on (service) platform_slo_budget_spent_ratio{slo="$slo",service!=""})'
    )
    assert 'platform_slo_exclusion_active{slo="$slo"}' in found["Exclusions"]
