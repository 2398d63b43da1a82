"""The board of delivery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dashboards import delivery
from dashboards.making import Making
from dashboards.panels import Dashboard
from slo_engine.indicator import indicators
from slo_engine.windows import INDICATOR_WINDOWS

GOLDEN = Path(__file__).parent / "golden"


def made(*names: str) -> Dashboard | None:
    """The board of these indicators."""
    return delivery.board(Making(indicators=tuple(indicators()[name] for name in names)))


EVERYTHING = made(*indicators())
assert EVERYTHING is not None
BOARD = EVERYTHING.document
VARIABLES = {v["name"]: v for v in BOARD["templating"]["list"]}


def test_the_board_of_the_built_in_indicators_is_the_golden_one(golden: Callable[[Path, str], None]) -> None:
    """The JSON is the reviewed one, byte for byte."""
    assert EVERYTHING is not None
    golden(GOLDEN / f"{delivery.UID}.json", EVERYTHING.text())


def test_without_delivery_there_is_no_board() -> None:
    """Indicators of other boards give no empty one."""
    assert made("uptime") is None


def test_the_window_at_first_is_a_published_one() -> None:
    """The board opens with numbers."""
    assert VARIABLES["window"]["current"]["value"] in {w.label for w in INDICATOR_WINDOWS}
