"""Durations as people write them: `5m`, `6h`, `28d`. A leaf."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

_DURATION = re.compile(r"([0-9]+)([smhdw])")
_UNIT = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_LONGEST = timedelta(days=36_500)
"""A hundred years: windows of it still end within the calendar."""
EXPECTED = "a number and one of s m h d w, for example 5m, 6h or 28d"


def parse_duration(text: Any) -> timedelta:
    """The duration of `30s`, `5m`, `6h`, `28d` or `4w`. Raises ValueError saying what was expected.

    `M` is refused: OpenSLO means a calendar month by it, and others a minute.
    """
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!r} is no duration; expected {EXPECTED}")
    try:
        duration = int(match[1]) * _UNIT[match[2]]
    except (OverflowError, ValueError):  # too many digits for a timedelta, or even for a number
        duration = _LONGEST + _UNIT["s"]
    if duration > _LONGEST:
        raise ValueError(f"{text[:20]!r} is too long; expected at most {_LONGEST.days}d")
    return duration


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
"""A duration in settings."""
