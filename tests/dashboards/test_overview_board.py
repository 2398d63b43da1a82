"""The overview: one row for each SLO."""

from __future__ import annotations

import json
from typing import Any

from dashboards import overview
from dashboards.making import Making
from dashboards.panels import GREEN
from dashboards.slo_queries import BURN_WINDOWS_SHOWN
from slo_engine.slo import SloStatus
from slo_engine.windows import BURN_WINDOWS

BOARD = overview.board(Making(indicators=())).document
TABLE = "Are the promises kept? Least budget first"


def titled(title: str) -> dict[str, Any]:
    """The panel with a title."""
    return next(p for p in BOARD["panels"] if p["title"] == title)


def column(title: str, name: str) -> dict[str, Any]:
    """What is special about a column of a table."""
    overrides = titled(title)["fieldConfig"]["overrides"]
    properties = next(o["properties"] for o in overrides if o["matcher"]["options"] == name)
    return {p["id"]: p["value"] for p in properties}


def test_only_columns_with_a_target_are_coloured() -> None:
    """Budget and burn rate have a target and colours; an attainment is judged by its own SLO's target."""
    assert "thresholds" in column(TABLE, "Budget left")
    assert "thresholds" in column(TABLE, "Burn 1h")
    assert "thresholds" not in column(TABLE, "Attained")
    assert GREEN not in json.dumps(column(TABLE, "Budget left"))


def test_threshold_steps_of_a_column_start_with_null() -> None:
    """The first step of a column's thresholds is null as a value, not as text."""
    assert column(TABLE, "Budget left")["thresholds"]["steps"][0]["value"] is None


def test_every_status_has_words_and_insufficient_data_is_not_green() -> None:
    """Each status is worded; insufficient data never looks healthy."""
    words = column(TABLE, "Status")["mappings"][0]["options"]
    assert {s.value for s in SloStatus} <= set(words)
    assert [s for s, shown in words.items() if shown["color"] == GREEN] == ["healthy"]


def test_the_worst_slo_comes_first() -> None:
    """The table of SLOs starts with the least budget left."""
    assert titled(TABLE)["options"]["sortBy"] == [{"displayName": "Budget left", "desc": False}]


def test_windows_shown_are_published_ones() -> None:
    """Burn windows are among those that are published."""
    assert set(BURN_WINDOWS_SHOWN) <= {w.label for w in BURN_WINDOWS}
