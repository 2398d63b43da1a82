"""The board of self-service: journeys, outcomes, time to fulfil, adoption; and how long people wait."""

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

UID = "paceline-self-service"
INDICATORS = (
    "self_service_success",
    "self_service_first_attempt",
    "self_service_time",
    "self_service_assisted",
    "self_service_outcome",
    "self_service_adoption",
    "self_service_success_by_requester",
    "team_autonomy",
    "developer_wait_time",
)


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: self-service",
        "Do people get what they ask the platform for, by themselves?",
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
