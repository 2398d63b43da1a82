"""The windows numbers are given for, and how durations are written. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from collector.durations import parse_duration


@dataclass(frozen=True, order=True)
class Window:
    """A rolling window: its length, and the label it has everywhere (`28d`)."""

    length: timedelta
    label: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.length.total_seconds()

    @property
    def days(self) -> float:
        """Length in days of 24 hours."""
        return self.length / timedelta(days=1)


def parse_window(text: str) -> Window:
    """A window from `30m`, `6h`, `28d` or `4w`. Raises ValueError saying what was expected."""
    return Window(parse_duration(text), text)


INDICATOR_WINDOWS = tuple(parse_window(w) for w in ("7d", "28d", "90d"))
"""The windows every indicator is given for. 28 days always hold four weekends."""

BURN_WINDOWS = tuple(parse_window(w) for w in ("5m", "30m", "1h", "2h", "6h", "1d", "3d"))
"""The windows a burn rate is given for: those of the alert tiers, and the windows people look at."""
