"""Windows and names that OpenSLO's older and newer drafts share, as OpenSLO v1 has them. Pure."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from collector.document import DocumentPath
from slo_engine.importers.conversion import Conversion, rolling
from slo_engine.windows import CALENDAR_SIGNS, CalendarWindow, parse_window

_SHORTHAND = re.compile(r"([1-9][0-9]{0,4})([a-zA-Z])")
_START = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]00:00:00)?")
_UNFIXED = {"M": "month", "Q": "quarter", "Y": "year"}


class Calendar(BaseModel):
    """Where a window of the calendar begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_time: Annotated[str, Field(alias="startTime", description="a date and time such as 2026-01-01 00:00:00.")]
    time_zone: Annotated[str, Field(alias="timeZone", description="an IANA name such as Europe/Berlin.")]


def window_of(
    found: Conversion, at: DocumentPath, duration: str, *, is_rolling: bool, calendar: Calendar | None
) -> dict[str, Any]:
    """A `timeWindow` of OpenSLO v1; `duration` is `28d`, `4w`, `1M`. What is wrong is refused at the path."""
    if calendar is None and not is_rolling:
        found.refuse(at, "is neither rolling nor of the calendar", "isRolling: true, or a calendar")
    elif calendar is not None and is_rolling:
        found.refuse((*at, "calendar"), "stands beside isRolling: true", "one of the two")
    elif calendar is None:
        return found.checked(at, lambda: _rolling(duration), {})
    else:
        return _of_calendar(found, at, duration, calendar)
    return {}


def _rolling(text: str) -> dict[str, Any]:
    match = _SHORTHAND.fullmatch(text)
    if match and match[2] in _UNFIXED:
        raise ValueError(f"a rolling {_UNFIXED[match[2]]} has no fixed length; expected days, such as 28d or 30d")
    try:
        window = parse_window(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no duration; expected one such as 28d") from None
    if window.days < 1:
        raise ValueError(f"{text!r} is shorter than a day; expected at least 1d, such as 28d")
    return rolling(text)


def _of_calendar(found: Conversion, at: DocumentPath, duration: str, calendar: Calendar) -> dict[str, Any]:
    match = _SHORTHAND.fullmatch(duration)
    if match is None or match[2] not in CALENDAR_SIGNS:
        problem = f"{duration[:40]!r} is no window of the calendar" + (
            " (m is a minute)" if duration[-1:] == "m" else ""
        )
        found.refuse(at, problem, "days, weeks, months, quarters or years, such as 1M")
        return {}
    start_at = (*at, "calendar", "startTime")
    start = _START.fullmatch(calendar.start_time)
    if start is None:
        problem = f"{calendar.start_time[:40]!r} is no midnight: windows of the calendar begin at local midnight"
        found.refuse(start_at, problem, "a date and 00:00:00, such as 2026-01-01 00:00:00")
        return {}
    first = found.checked(start_at, lambda: _day(start[1]), None)
    if first is not None:
        unit, zone = CALENDAR_SIGNS[match[2]], calendar.time_zone
        found.checked((*at, "calendar"), lambda: CalendarWindow(unit, int(match[1]), zone, first), None)
    kept = {"startTime": calendar.start_time, "timeZone": calendar.time_zone}
    return {"duration": duration, "isRolling": False, "calendar": kept}


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day; expected one such as 2026-01-01") from None
