"""The board of the collectors: whether the data can be trusted, and what each source costs."""

from __future__ import annotations

from dashboards import panels
from dashboards.making import YES_NO, Board, Making, age, by, datasource, helps, team_variable, window_variable
from dashboards.panels import CHART_HEIGHT, Column, Dashboard, Panel, Query, Row
from dashboards.rows import default_rows
from slo_engine import catalog

UID = "paceline-collectors"
INDICATORS = ("source_freshness", "source_coverage")


def board(making: Making) -> Dashboard:
    """The board of the sources."""
    declared = making.named(INDICATORS)
    variables = (
        [datasource(), team_variable(declared), window_variable(declared, "28d")] if declared else [datasource()]
    )
    return panels.board(
        UID,
        "Paceline: collectors",
        "Can the data be trusted? How fresh each source is, what it rejected, what its API still allows.",
        variables,
        (Row(title="Data health", panels=_health_panels()), *default_rows(declared, making)),
    )


def _health_panels() -> tuple[Panel, ...]:
    nothing = "No data: no source was collected yet, or Paceline itself is not scraped"
    key = "source"
    columns = (
        Column(title="Fresh", expr=by(catalog.SOURCE_FRESH, key), words=YES_NO),
        Column(title="Staleness", expr=by(catalog.SOURCE_STALENESS, key), unit="s"),
        Column(title="Last success (ago)", expr=age(catalog.COLLECTOR_LAST_SUCCESS, key), unit="s"),
        Column(title="Last run (ago)", expr=age(catalog.COLLECTOR_LAST_RUN, key), unit="s"),
        Column(title="Last run succeeded", expr=by(catalog.COLLECTOR_SUCCESS, key), words=YES_NO),
        Column(title="Last run took", expr=by(catalog.COLLECTOR_DURATION, key), unit="s"),
        Column(title="Newest event (ago)", expr=age(catalog.COLLECTOR_NEWEST, key), unit="s"),
        Column(title="Events", expr=by(catalog.COLLECTOR_EVENTS, key)),
        Column(title="Rejected records", expr=by(catalog.COLLECTOR_REJECTED, key)),
    )
    return (
        panels.table(
            "Can the data be trusted? Stale sources first",
            helps(
                catalog.SOURCE_FRESH,
                catalog.SOURCE_STALENESS,
                catalog.COLLECTOR_EVENTS,
                catalog.COLLECTOR_REJECTED,
            ),
            columns,
            keys={key: "Source"},
            no_data=nothing,
            sort_by="Fresh",
        ),
        panels.stat(
            "Age of the numbers shown",
            helps(catalog.SNAPSHOT_TIMESTAMP),
            [Query(expr=age(catalog.SNAPSHOT_TIMESTAMP))],
            unit="s",
            no_data=nothing,
            width=6,
            height=CHART_HEIGHT,
        ),
        panels.timeseries(
            "How stale each source is",
            helps(catalog.SOURCE_STALENESS),
            [Query(expr=catalog.SOURCE_STALENESS.name, legend="{{source}}")],
            unit="s",
            no_data=nothing,
            width=9,
        ),
        panels.timeseries(
            "How long collecting and computing take",
            helps(catalog.COLLECTOR_DURATION, catalog.SNAPSHOT_DURATION),
            [
                Query(expr=catalog.COLLECTOR_DURATION.name, legend="collecting {{source}}"),
                Query(expr=catalog.SNAPSHOT_DURATION.name, legend="computing the numbers"),
            ],
            unit="s",
            no_data=nothing,
            width=9,
        ),
        panels.table(
            "Which definitions are in use",
            helps(catalog.INDICATOR_INFO),
            (Column(title="Version", expr=by(catalog.INDICATOR_INFO, "indicator", "version"), label="version"),),
            keys={"indicator": "Indicator"},
            no_data=nothing,
        ),
    )


BOARD = Board(UID, board, INDICATORS)
