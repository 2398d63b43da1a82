"""The board of support and documentation."""

from __future__ import annotations

from dashboards import panels
from dashboards.making import Board, Making, datasource, team_variable, window_variable
from dashboards.panels import Dashboard
from dashboards.rows import default_rows

UID = "paceline-support"
INDICATORS = (
    "support_first_response",
    "support_first_response_time",
    "support_resolution",
    "support_resolution_time",
    "support_open_tickets",
    "support_open_ticket_age",
    "support_tickets_per_100_users",
    "documentation_freshness",
    "documentation_reviewed",
)


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: support and documentation",
        "How people are helped, and whether pages keep up with the code.",
        [datasource(), team_variable(declared), window_variable(declared, "28d")],
        default_rows(declared, making),
    )


BOARD = Board(UID, board, INDICATORS)
