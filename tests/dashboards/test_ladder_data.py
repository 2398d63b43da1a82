"""The fourth rung of the boards' ladder: a real Prometheus with 26 weeks of the example answers every query."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asking import Opened, data_findings
from boards import Filled, demo_boards
from planted import Fault, faults, planted

pytestmark = pytest.mark.integration

DOCUMENTS: list[dict[str, Any]] = [board.document for board in demo_boards()]

RIGHTLY = {
    r"_excluded\b.* gives nothing|left out, and why': nothing": "a reason for which nothing is left out is absent",
    r"ALERTS\{.* gives nothing|'Alerts that fire.*': nothing": "nobody evaluates alerts over the example's past",
    r"restore_pending\{.* gives nothing|'(Incidents open now|Open incidents over time)': nothing": "all are over",
    r"platform_slo_sla_.* gives nothing|'Promised to others.*': nothing": "nothing is promised to others",
    r"platform_slo_part_weight.* gives nothing|'What it consists of': nothing": "no SLO consists of others",
    r"'(Budget lasts for|What spent the budget|Burn rates .*)': .*nothing.* at first": "the first SLO spends nothing",
    r"platform_slo_excluded_events.* gives nothing at first": "the first SLO leaves nothing out",
    r'stat="(low|high)".* gives nothing|the median lies between.: nothing': "these have too few units for an interval",
    r"reliability, annotation Deployments: .* gives nothing": "nobody deploys what is probed in the half hour",
    r"platform_catalogue_unmatched.* gives nothing|'Names that the catalogue.*': nothing": "all names are known",
    r"platform_collector_api_quota_.* gives nothing|'Requests that an API.*': nothing": "files have no quota",
    r"platform_exposition_.* gives nothing|'(Parts that are missing|Series that are cut off)': nothing": "all is there",
    r"platform_telemetry_.* gives nothing|'(Do receivers take|Metrics that were not taken).*': nothing": "none is sent",
    r"platform_restatements_total.* gives nothing|'Published units that changed.*': nothing": "nothing is restated",
}
"""What the example rightly does not show, and why; each must still be needed."""


@pytest.fixture(scope="module")
def found(filled: Filled) -> dict[str, list[str]]:
    """By board, what is wrong with what it shows."""
    opened = (Opened(document, filled.answers, filled.now) for document in DOCUMENTS)
    return {one.document["uid"]: data_findings(one) for one in opened}


@pytest.mark.parametrize("uid", [document["uid"] for document in DOCUMENTS])
def test_everything_on_a_board_shows_something(uid: str, found: dict[str, list[str]]) -> None:
    """Each query, variable and annotation is answered with data, in series that can be told apart and read."""
    assert [said for said in found[uid] if not any(re.search(known, said) for known in RIGHTLY)] == []


@pytest.mark.parametrize("known", RIGHTLY)
def test_what_is_rightly_empty_still_is(known: str, found: dict[str, list[str]]) -> None:
    """An exception that nothing needs any more hides the next mistake."""
    assert [said for each in found.values() for said in each if re.search(known, said)]


@pytest.mark.parametrize("fault", faults("data"), ids=lambda f: f.name)
def test_a_planted_silence_is_found(fault: Fault, filled: Filled) -> None:
    """A query that is right and shows nothing, or nothing readable, is named with its board and panel."""
    wrong = planted(DOCUMENTS, fault)

    said = data_findings(Opened(wrong, filled.answers, filled.now))

    assert [one for one in said if fault.says in one and one.startswith(wrong["title"])]
