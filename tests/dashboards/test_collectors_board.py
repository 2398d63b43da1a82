"""The board of the collectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collector.run import Failure
from dashboards import collectors
from dashboards.lint_queries import metrics_in
from dashboards.making import Making
from dashboards.panels import GREEN, VERMILLION, Dashboard
from dashboards.queries import panels_of
from slo_engine import catalog
from slo_engine.indicator import indicators

GOLDEN = Path(__file__).parent / "golden"
OF_SOURCES = (
    *("platform_collector_", "platform_source_", "platform_exposition_", "platform_snapshot_", "platform_telemetry_"),
)


def made(*names: str, base_url: str = "") -> Dashboard:
    """The board of these indicators."""
    return collectors.board(Making(indicators=tuple(indicators()[name] for name in names), base_url=base_url))


BOARD = made(*indicators()).document
SOURCES = "Sources, stale ones first"
BROUGHT = "What each source brought since the beginning"


def titled(title: str, board: dict[str, Any] = BOARD) -> Any:
    """The first panel with a title."""
    return next(p for p in panels_of(board) if p["title"] == title)


def expressions(title: str) -> list[str]:
    """The queries of a panel."""
    return [t["expr"] for t in titled(title)["targets"]]


def column(title: str, name: str) -> dict[str, Any]:
    """What is special about a column of a table."""
    overrides = titled(title)["fieldConfig"]["overrides"]
    found = [o["properties"] for o in overrides if o["matcher"]["options"] == name]
    return {p["id"]: p["value"] for properties in found for p in properties}


def columns(title: str, board: dict[str, Any] = BOARD) -> list[str]:
    """The titles of a table's columns, in the order in which they are shown."""
    options = titled(title, board)["transformations"][1]["options"]
    by_place = sorted(options["indexByName"], key=options["indexByName"].__getitem__)
    return [options["renameByName"][name] for name in by_place]


def test_the_board_of_the_built_in_indicators_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    golden(GOLDEN / f"{collectors.UID}.json", made(*indicators()).text())


def test_sources_are_shown_whatever_is_declared() -> None:
    """Sources are there before any indicator is; then nothing asks for teams and windows."""
    board = made().document

    assert [v["name"] for v in board["templating"]["list"]] == ["datasource", "source"]
    assert "$team" not in json.dumps(board)
    assert "$window" not in json.dumps(board)


def test_stale_sources_come_first() -> None:
    """What is not fresh is 0 and stands above what is 1."""
    assert titled(SOURCES)["options"]["sortBy"] == [{"displayName": "Fresh", "desc": False}]


def test_a_source_is_told_in_one_line() -> None:
    """Whether it is fresh, why it failed, and how far behind it is, in no more columns than can be read."""
    assert columns(SOURCES) == [
        "Source",
        "Type",
        "Fresh",
        "Last success (ago)",
        "Last run succeeded",
        "Why it failed",
        "Newest event (ago)",
        "Last run (ago)",
        "Last run took",
    ]


def test_every_reason_for_a_failure_has_words() -> None:
    """Whatever a run fails for, the board says it in a sentence."""
    words = column(SOURCES, "Why it failed")["mappings"][0]["options"]

    assert set(words) == {failure.value for failure in Failure}


def test_a_source_that_did_not_fail_is_not_called_without_data() -> None:
    """An empty reason is none, in the cell of a source whose last run succeeded."""
    assert column(SOURCES, "Why it failed")["noValue"] == "none"
    assert column(SOURCES, "Last run succeeded")["noValue"] == "no data"


def test_freshness_over_time_is_in_words_and_colours() -> None:
    """A band says fresh or stale; nothing is told by its colour alone."""
    words = titled("Fresh or stale, over time")["fieldConfig"]["defaults"]["mappings"][0]["options"]

    assert [(words[v]["text"], words[v]["color"]) for v in "10"] == [("fresh", GREEN), ("stale", VERMILLION)]


def test_failures_are_seen_before_a_source_is_stale() -> None:
    """Each reason for which runs of a source fail has a band of its own."""
    (target,) = titled("Failing runs over time, by reason")["targets"]

    assert target["expr"] == 'max by (source, kind) (platform_collector_last_run_failure{source=~"$source"})'
    assert target["legendFormat"] == "{{source}}: {{kind}}"


def test_what_was_lost_is_counted_when_it_was_lost() -> None:
    """Rejected, cut off and deleted: how much at each step, so that a bad night is seen."""
    assert expressions("Records rejected, at each step") == [
        'max by (source) (increase(platform_collector_rejected_records_total{source=~"$source"}[$__rate_interval]))'
    ]


def test_totals_are_exact() -> None:
    """What a source brought since the beginning is the counter itself: an increase over time is only an estimate."""
    assert not [expr for expr in expressions(BROUGHT) if "increase" in expr]


def test_coverage_stands_beside_what_was_brought() -> None:
    """The share of usable records has its n; without the indicator there is no column of it."""
    assert columns(BROUGHT)[-2:] == ["Coverage", "Counted (n)"]
    assert "Coverage" not in columns(BROUGHT, made().document)


def test_the_limit_of_an_api_is_a_dashed_line() -> None:
    """What is left is seen against what is allowed in all."""
    overrides = titled("Requests that an API still allows, and its limit")["fieldConfig"]["overrides"]
    dashed = [o["matcher"]["options"] for o in overrides for p in o["properties"] if p["id"] == "custom.lineStyle"]

    assert dashed == ["B"]


def test_every_metric_of_sources_is_on_the_board() -> None:
    """Whatever is published about sources, the exposition and where it is sent can be seen here."""
    wanted = {m.name for m in catalog.FIXED if m.name.startswith(OF_SOURCES)}

    assert wanted
    assert wanted <= metrics_in(BOARD)


def test_missing_parts_are_told_from_parts_that_are_there() -> None:
    """Each part of the metrics is complete or missing, in words; none is left out of the list."""
    words = column("Are all parts of the metrics there?", "State")["mappings"][0]["options"]

    assert [words[v]["text"] for v in "01"] == ["complete", "missing"]
    assert expressions("Are all parts of the metrics there?") == ["max by (kind) (platform_exposition_failed)"]


def test_what_changed_or_is_withheld_is_said() -> None:
    """Restatements, unknown names, withheld numbers and the definitions in use are part of whether to trust numbers."""
    wanted = {m.name for m in (catalog.RESTATEMENTS, catalog.UNMATCHED, catalog.SUPPRESSED, catalog.INDICATOR_INFO)}

    assert wanted <= metrics_in(BOARD)


def test_where_nothing_is_sent_the_board_says_so() -> None:
    """Most are scraped and send nothing: an empty table is no failure."""
    sent = titled("Do receivers take the metrics?")

    assert columns("Do receivers take the metrics?") == [
        *("Way", "Took the last", "Took all (ago)", "Failures since the start"),
    ]
    assert sent["fieldConfig"]["defaults"]["noValue"] == "No data: metrics are sent nowhere, they are scraped"


def test_a_source_leads_to_the_hours_behind_its_freshness() -> None:
    """The explaining page is asked for the source of the row."""
    overrides = titled(SOURCES, made("source_freshness", base_url="https://p.example").document)["fieldConfig"]
    links = [p["value"] for o in overrides["overrides"] for p in o["properties"] if p["id"] == "links"]

    assert links[0][0]["url"] == (
        'https://p.example/explain/source_freshness?label=source%3D${__data.fields["Source"]:percentencode}&window=${window:percentencode}'
    )
