"""The first two rungs of the boards' ladder: each board alone, and its queries beside the catalogue. No server.

The third, Grafana's types, is in test_ladder_types.py, the fourth, a Prometheus with data, in test_ladder_data.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from boards import demo_boards, recorded
from planted import Fault, faults, planted

from dashboards.boards import all_boards
from dashboards.lint import findings, findings_together
from dashboards.lint_queries import query_findings
from dashboards.making import Making
from slo_engine.indicator import indicators

DECLARED = tuple(indicators().values())
RECORDED = recorded()
DOCUMENTS: list[dict[str, Any]] = [board.document for board in demo_boards()]


def test_nothing_is_wrong_with_the_boards() -> None:
    """Neither with one alone nor between them."""
    assert findings_together(DOCUMENTS) == []


def test_nothing_is_wrong_without_an_address_and_below_a_notice() -> None:
    """The boards are as good where nothing leads to Paceline's pages and a sentence stands above everything."""
    made = all_boards(Making(indicators=DECLARED, notice="These numbers are invented."))

    assert findings_together([board.document for board in made]) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d["uid"])
def test_queries_name_what_is_published(document: dict[str, Any]) -> None:
    """Every query parses, names metrics and labels that there are, and its panel says which definition it shows."""
    assert query_findings(document, DECLARED, RECORDED) == []


@pytest.mark.parametrize("fault", faults("lint"), ids=lambda f: f.name)
def test_a_planted_mistake_is_found(fault: Fault) -> None:
    """A board with one mistake is named, with what is wrong and what was expected."""
    wrong = planted(DOCUMENTS, fault)

    assert [said for said in findings(wrong, DOCUMENTS) if fault.says in said and said.startswith(wrong["title"])]


@pytest.mark.parametrize("fault", faults("queries", "types", "data"), ids=lambda f: f.name)
def test_what_later_rungs_find_passes_the_first(fault: Fault) -> None:
    """A board alone does not show what the later rungs are for."""
    assert findings(planted(DOCUMENTS, fault), DOCUMENTS) == []


@pytest.mark.parametrize("fault", faults("queries"), ids=lambda f: f.name)
def test_a_planted_query_is_found(fault: Fault) -> None:
    """A query that names what there is not is found by the rung of the queries."""
    wrong = planted(DOCUMENTS, fault)

    assert [
        said
        for said in query_findings(wrong, DECLARED, RECORDED)
        if fault.says in said and said.startswith(wrong["title"])
    ]


@pytest.mark.parametrize("fault", faults("types", "data"), ids=lambda f: f.name)
def test_what_later_rungs_find_passes_the_second(fault: Fault) -> None:
    """Queries that are right beside the catalogue do not show what types and data are for."""
    assert query_findings(planted(DOCUMENTS, fault), DECLARED, RECORDED) == []


def test_two_boards_of_one_uid_are_found() -> None:
    """Grafana would keep the second of them alone."""
    assert findings_together([DOCUMENTS[0], DOCUMENTS[0] | {"title": "Another"}])[-1] == (
        f"{DOCUMENTS[0]['uid']}: 2 boards have this uid; expected one"
    )


def test_a_finding_names_board_panel_and_what_was_expected() -> None:
    """A sentence says where, what and what else."""
    document: dict[str, Any] = {
        "uid": "tea",
        "title": "Tea",
        "description": "All about tea.",
        "schemaVersion": 39,
        "tags": ["paceline"],
        "time": {"from": "now-7d", "to": "now"},
        "panels": [{"id": 1, "type": "text", "title": "t" * 81, "gridPos": {"x": 0, "y": 0, "w": 24, "h": 4}}],
    }

    assert findings(document) == [f"Tea, panel '{'t' * 81}': the title has 81 characters; expected at most 80"]
