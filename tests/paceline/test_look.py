"""Numbers in pages as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from paceline.pages.look import amount_text, counted_text, in_seconds
from slo_engine.indicator import indicators


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (1_234_567, "1,234,567"), (28.0, "28"), (Decimal("12.5"), "12.50"), (0.125, "0.12"), (-3, "-3")],
)
def test_amounts_have_no_exponent(number: float | Decimal, text: str) -> None:
    """A million is told whole, and a part of one with two decimals."""
    assert amount_text(number) == text


@pytest.mark.parametrize(("number", "text"), [(1, "1 run"), (0, "0 runs"), (1_200, "1,200 runs")])
def test_one_is_no_plural(number: int, text: str) -> None:
    """So many of something."""
    assert counted_text(number, "run", "runs") == text


@pytest.mark.parametrize(
    ("name", "is_duration"),
    [("change_lead_time", True), ("developer_wait_time", True), ("survey_nps", False), ("active_users", False)],
)
def test_only_durations_are_told_in_seconds(name: str, is_duration: bool) -> None:  # noqa: FBT001 - a column of a table
    """An answer of nine in a survey is no nine seconds."""
    assert in_seconds(indicators()[name]) is is_duration
