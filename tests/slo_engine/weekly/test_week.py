"""Calendar weeks: Monday 00:00 to Monday 00:00 on the clocks of a place, also where these change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from weeks import BERLIN

from slo_engine.weekly import Week


@pytest.mark.parametrize(("label", "hours"), [("2026-W13", 167), ("2026-W43", 169), ("2026-W10", 168)])
def test_a_week_across_a_clock_change(label: str, hours: int) -> None:
    """In 2026 the week to 29 March has 167 h in Berlin, the week to 25 October 169 h: Monday to Monday local."""
    week = Week.parse(label, BERLIN)

    assert week.end - week.start == timedelta(hours=hours)
    assert week.start.astimezone(BERLIN).strftime("%a %H:%M") == "Mon 00:00"
    assert week.end.astimezone(BERLIN).strftime("%a %H:%M") == "Mon 00:00"


@pytest.mark.parametrize(
    ("at", "label"),
    [
        (datetime(2026, 12, 31, 12, 0, tzinfo=BERLIN), "2026-W52"),
        (datetime(2027, 1, 4, 0, 0, tzinfo=BERLIN), "2026-W53"),
        (datetime(2027, 1, 3, 23, 59, tzinfo=BERLIN), "2026-W52"),
        (datetime(2026, 3, 9, 0, 0, tzinfo=BERLIN), "2026-W10"),
        (datetime(2026, 3, 8, 23, 59, 59, tzinfo=BERLIN), "2026-W09"),
        (datetime(2026, 3, 8, 23, 0, tzinfo=UTC), "2026-W10"),
    ],
)
def test_last_week_is_the_last_whole_local_week(at: datetime, label: str) -> None:
    """Never the last 7 · 24 h; asked on Monday 00:00 exactly it is the one just ended."""
    assert Week.last_before(at, BERLIN).label == label


def test_the_53rd_week_can_be_asked_for() -> None:
    """2026 has 53 ISO weeks; the last begins in December and ends in January."""
    week = Week.parse("2026-W53", BERLIN)

    assert (f"{week.monday}", week.label, week.before.label) == ("2026-12-28", "2026-W53", "2026-W52")


@pytest.mark.parametrize("text", ["2026-W00", "2025-W53", "2026W14", "2026-W1", "w14", "", "0001-W01", "9999-W52"])
def test_what_is_no_week_is_refused(text: str) -> None:
    """A week that does not exist is answered with what was expected."""
    with pytest.raises(ValueError, match="is no week; expected an ISO week, for example 2026-W14"):
        Week.parse(text, BERLIN)
