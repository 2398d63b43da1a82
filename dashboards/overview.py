"""The overview: is every promise kept? One row for each SLO, and the way to everything else."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards import panels
from dashboards.making import STATUS_WORDS, Board, Making, by, datasource, helps, slo_variable
from dashboards.panels import NEUTRAL, ORANGE, VERMILLION, Column, Dashboard, Panel, Query, Row, Scale
from slo_engine import catalog

UID = "paceline-overview"
BURN_WINDOWS_SHOWN = ("1h", "6h", "3d")
"""The windows of the alert tiers: 2 % of the budget in 1 h, 5 % in 6 h, 10 % in 3 d."""

_READING = """\
*No data* is not zero and not good news: nothing happened in the window, or a source is stale; the board of collectors \
tells which. Only what has a target is coloured.
"""


def board(making: Making) -> Dashboard:  # noqa: ARG001 - every board is made from the same
    """The board of all SLOs."""
    return panels.board(
        UID,
        "Paceline: overview",
        "Does the platform keep its promises? Every SLO with its error budget, worst first.",
        [datasource(), slo_variable()],
        (Row(title="Promises", panels=_slo_panels(BURN_WINDOWS_SHOWN)),),
    )


def _slo_panels(burn_windows: Sequence[str]) -> tuple[Panel, ...]:
    chosen = 'slo=~"$slo"'
    no_slo = "No data: no SLO is configured, or its sources are stale"
    shown = "|".join(burn_windows)
    # Green is for the status alone: a full budget after three events is no good news. 0 is exhausted.
    budget = Scale(base=VERMILLION, steps=((1e-9, ORANGE), (0.25, NEUTRAL)))
    burn = Scale(base=NEUTRAL, steps=((1.0, ORANGE),))
    columns = (
        Column(
            title="Status",
            expr=f"{by(catalog.SLO_STATUS, 'slo', 'status', where=chosen)} == 1",
            label="status",
            words=STATUS_WORDS,
        ),
        Column(title="Target", expr=by(catalog.SLO_OBJECTIVE, "slo", where=chosen), unit="percentunit"),
        Column(title="Attainment", expr=by(catalog.SLO_ATTAINMENT, "slo", where=chosen), unit="percentunit"),
        Column(title="Over", expr=by(catalog.SLO_PERIOD, "slo", where=chosen), unit="dtdurations"),
        Column(
            title="Budget left",
            expr=by(catalog.SLO_BUDGET_RATIO, "slo", where=chosen),
            unit="percentunit",
            scale=budget,
        ),
        Column(title="Bad events left", expr=by(catalog.SLO_BUDGET_EVENTS, "slo", where=chosen)),
        *(
            Column(
                title=f"Burn rate {window}",
                expr=by(catalog.SLO_BURN_RATE, "slo", where=f'{chosen},window="{window}"'),
                scale=burn,
            )
            for window in burn_windows
        ),
        Column(title="Window covered", expr=by(catalog.SLO_COVERAGE, "slo", where=chosen), unit="percentunit"),
    )
    return (
        panels.text("How to read this board", _READING),
        panels.table(
            "Are the promises kept? Least budget first",
            helps(catalog.SLO_STATUS, catalog.SLO_ATTAINMENT, catalog.SLO_BUDGET_RATIO, catalog.SLO_BURN_RATE),
            columns,
            keys={"slo": "SLO"},
            no_data=no_slo,
            sort_by="Budget left",
        ),
        panels.timeseries(
            "Error budget left",
            helps(catalog.SLO_BUDGET_RATIO),
            [Query(expr=f"{catalog.SLO_BUDGET_RATIO.name}{{{chosen}}}", legend="{{slo}}")],
            unit="percentunit",
            no_data=no_slo,
            width=12,
        ),
        panels.timeseries(
            "How fast the budget burns",
            helps(catalog.SLO_BURN_RATE),
            [
                Query(
                    expr=f'{catalog.SLO_BURN_RATE.name}{{{chosen},window=~"{shown}"}}',
                    legend="{{slo}} over {{window}}",
                )
            ],
            unit="short",
            no_data=no_slo,
            width=12,
            limit=1.0,
        ),
    )


BOARD = Board(UID, board)
