"""The board of the platform's reliability: uptime and incidents."""

from __future__ import annotations

from dashboards import panels
from dashboards.making import (
    Board,
    Making,
    datasource,
    environment_variable,
    service_variable,
    team_variable,
    window_variable,
)
from dashboards.panels import Dashboard
from dashboards.rows import default_rows

UID = "paceline-reliability"
INDICATORS = ("uptime",)


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: platform reliability",
        "Are the parts of the platform there when they are needed?",
        [
            datasource(),
            team_variable(declared),
            service_variable(declared),
            environment_variable(declared),
            window_variable(declared, "28d"),
        ],
        default_rows(declared, making),
    )


BOARD = Board(UID, board, INDICATORS)
