"""Charts of pages: what the script of pages is given to draw a line with its band, and what stands for it in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Scale = Literal["share", "seconds", "number"]
"""What the values are: shares from 0 to 1, seconds, or plain numbers."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One place of a chart. None is a gap: nothing is known there, and nothing is drawn.

    `low` and `high` are the ends of its interval. `few`: it rests on few units, and is drawn hollow. `text` is what is
    told of it, without its time.
    """

    at: datetime
    value: float | None
    low: float | None = None
    high: float | None = None
    few: bool = False
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A line over time. `about` says in words what it shows, for whoever does not see it; `zone` is that of its days.

    `limit` is where a line is drawn across, `top` what the values cannot exceed.
    """

    name: str
    about: str
    zone: str
    scale: Scale
    marks: Sequence[Mark]
    limit: float | None = None
    top: float | None = None

    @property
    def drawable(self) -> bool:
        """Whether there is anything to draw."""
        return any(mark.value is not None for mark in self.marks)

    @property
    def data(self) -> dict[str, Any]:
        """What `charts.js` reads: columns of the marks, times in seconds since 1970."""
        marks = self.marks
        return {
            "zone": self.zone,
            "scale": self.scale,
            "limit": self.limit,
            "top": self.top,
            "at": [mark.at.timestamp() for mark in marks],
            "value": [mark.value for mark in marks],
            "low": [mark.low for mark in marks],
            "high": [mark.high for mark in marks],
            "few": [mark.value if mark.few else None for mark in marks],
            "text": [mark.text for mark in marks],
        }
