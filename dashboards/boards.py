"""All boards, in the order in which a reader meets them."""

from __future__ import annotations

from itertools import chain

from dashboards import (
    adoption,
    collectors,
    delivery,
    leaders,
    onboarding,
    overview,
    panels,
    reliability,
    self_service,
    slo,
    support,
)
from dashboards.making import (
    Board,
    Making,
    datasource,
    environment_variable,
    service_variable,
    team_variable,
    window_variable,
)
from dashboards.panels import Dashboard, with_notice
from dashboards.rows import default_rows

OTHERS_UID = "paceline-others"


def _others(making: Making) -> Dashboard | None:
    """The indicators that no board claims, as plug-ins declare them."""
    claimed = frozenset(chain.from_iterable(board.indicators for board in BOARDS))
    left = tuple(i for i in making.indicators if i.name not in claimed)
    if not left:
        return None
    variables = [datasource(), team_variable(left)]
    if any(i.like_delivery for i in left):
        variables += [service_variable(left), environment_variable(left)]
    return panels.board(
        OTHERS_UID,
        "Paceline: other indicators",
        "Indicators that have no board of their own.",
        [*variables, window_variable(left, "28d")],
        default_rows(left, making),
    )


BOARDS = (
    overview.BOARD,
    leaders.BOARD,
    slo.BOARD,
    delivery.BOARD,
    reliability.BOARD,
    onboarding.BOARD,
    self_service.BOARD,
    support.BOARD,
    adoption.BOARD,
    collectors.BOARD,
    Board(OTHERS_UID, _others),
)


def all_boards(making: Making) -> tuple[Dashboard, ...]:
    """Every board that has something to show. Raises ValueError where two indicators have one title."""
    made = (board.make(making) for board in BOARDS)
    return tuple(with_notice(board, making.notice) for board in made if board is not None)
