"""Numbers as people read them."""

from __future__ import annotations

import pytest

from slo_engine.words import duration_text, share_text, so_many


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2, "2 s"),
        (53, "53 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "120 min"),
        (7_200, "2.0 h"),
        (11_520, "3.2 h"),
        (172_800, "2.0 d"),
        (354_240, "4.1 d"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    """A 53-second recovery is 53 s, not 0 minutes; 2 s is not rounded up to a minute."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0%"),
        (1.0, "100.0%"),
        (0.9, "90.0%"),
        (0.999, "99.9%"),
        (0.9995, "99.95%"),
        (0.99995, "99.995%"),
        (0.0004, "0.04%"),
        (0.1, "10.0%"),
        (0.01, "1.0%"),
        (3e-17, "0.0%"),
        (1 - 2e-16, "100.0%"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    """99.95 % reads as such and never as 100 %; only all is 100 %, or what floating point makes of it."""
    assert share_text(share) == text


def test_one_of_something_has_no_s() -> None:
    """As people write it."""
    assert [so_many(number, "source") for number in (0, 1, 2)] == ["0 sources", "1 source", "2 sources"]
