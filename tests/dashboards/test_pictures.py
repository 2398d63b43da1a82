"""The documentation's pictures of boards: all are there, not large, and the page that draws them draws."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import board_pictures
import pytest
from asking import Opened
from boards import Filled, demo_boards

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = sorted((DOCS / "pictures").glob("*.png"))
MOST_BYTES = 3_000_000
NAMES = [board.uid.removeprefix("paceline-") for board in demo_boards()]


def test_every_board_has_a_picture_in_both_themes() -> None:
    """None is missing, and none is of a board that is gone."""
    wanted = {f"{name}-{theme}" for name in NAMES for theme in board_pictures.THEMES}

    assert {picture.stem for picture in PICTURES} == wanted


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_shown(picture: Path) -> None:
    """The page about dashboards shows it."""
    assert f"pictures/{picture.name}" in (DOCS / "dashboards.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_as_wide_as_all(picture: Path) -> None:
    """The width stands in a PNG's header."""
    assert int.from_bytes(picture.read_bytes()[16:20]) == board_pictures.WIDTH


def test_pictures_are_small() -> None:
    """All together are fetched with the repository."""
    assert sum(picture.stat().st_size for picture in PICTURES) < MOST_BYTES


@pytest.mark.long
@pytest.mark.integration
def test_the_page_draws_a_board(filled: Filled, requires_tool: Callable[[str], str], tmp_path: Path) -> None:
    """The script ends without a fault on the board that has every kind of panel."""
    requires_tool("chromium")
    if not board_pictures.CHARTS.is_dir():
        assert os.environ.get("CI") != "true", "CI must draw a board"
        pytest.skip("uPlot is not installed in tests/npm")
    board = next(board for board in filled.boards if board.uid == "paceline-delivery")
    asked = board_pictures.answered(Opened(board.document, filled.answers, filled.now), [filled.now])
    page = tmp_path / "page.html"
    page.write_text(board_pictures.page_of(asked | {"theme": "light"}), encoding="utf-8")

    command = board_pictures.chromium(tmp_path / "profile", "--dump-dom", page.as_uri())
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert "<title>drawn</title>" in shown
