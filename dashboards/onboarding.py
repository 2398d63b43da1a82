"""The board of onboarding."""

from __future__ import annotations

from dashboards import panels
from dashboards.making import Board, Making, datasource, team_variable, window_variable
from dashboards.panels import Dashboard
from dashboards.rows import default_rows

UID = "paceline-onboarding"
INDICATORS = ("onboarding_success", "onboarding_time")


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: onboarding",
        "How soon newcomers deploy their first change.",
        [datasource(), team_variable(declared), window_variable(declared, "90d")],
        default_rows(declared, making),
    )


BOARD = Board(UID, board, INDICATORS)
