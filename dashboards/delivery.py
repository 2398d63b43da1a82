"""The board of delivery: the five metrics of DORA for services and levels of teams."""

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

UID = "paceline-delivery"
INDICATORS = (
    "change_lead_time",
    "change_delivery_time",
    "deployment_frequency",
    "deploy_cadence",
    "change_fail_rate",
    "failed_deployment_recovery_time",
    "deployment_rework_rate",
    "incident_time_to_restore",
    "pipeline_wait",
    "pipeline_success",
)


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: delivery",
        "How fast and how safely changes reach production: the five metrics of DORA, and pipelines.",
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
