"""The board of adoption and satisfaction."""

from __future__ import annotations

from dashboards import panels
from dashboards.making import Board, Making, datasource, team_variable, window_variable
from dashboards.panels import Dashboard
from dashboards.rows import default_rows

UID = "paceline-adoption"
INDICATORS = (
    "active_users",
    "active_users_retention",
    "capability_adoption",
    "survey_nps",
    "survey_csat",
    "survey_csat_score",
    "survey_response_rate",
)


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: adoption and satisfaction",
        "Who uses the platform, comes back, and is content.",
        [datasource(), team_variable(declared), window_variable(declared, "90d")],
        default_rows(declared, making),
    )


BOARD = Board(UID, board, INDICATORS)
