"""A calendar week in a zone: Monday 00:00 to Monday 00:00 local time, also across a clock change. Computed in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from slo_engine.observation import to_micros
from slo_engine.reading import Span

_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_FIRST_YEAR, _LAST_YEAR = 1900, 9999  # the days beside a week must be in the calendar too


@dataclass(frozen=True)
class Week:
    """An ISO week in a zone."""

    monday: date
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo) -> Week:
        """The week of `2026-W14`. Raises ValueError saying what was expected."""
        match = _WEEK.fullmatch(text)
        try:
            monday = date.fromisocalendar(int(match[1]), int(match[2]), 1) if match else None
        except ValueError:
            monday = None
        if monday is None or not _FIRST_YEAR < monday.year < _LAST_YEAR:
            raise ValueError(f"{text!r} is no week; expected an ISO week, for example 2026-W14")
        return cls(monday, zone)

    @classmethod
    def last_before(cls, at: datetime, zone: ZoneInfo) -> Week:
        """The last whole week at a time; asked on Monday 00:00 exactly, the one just ended."""
        today = at.astimezone(zone).date()
        return cls(today - timedelta(days=today.weekday() + 7), zone)

    @property
    def label(self) -> str:
        """`2026-W14`."""
        year, week, _ = self.monday.isocalendar()
        return f"{year}-W{week:02}"

    @property
    def start(self) -> datetime:
        """Its first moment, in UTC."""
        return _midnight(self.monday, self.zone)

    @property
    def end(self) -> datetime:
        """The first moment after it, in UTC."""
        return _midnight(self.monday + timedelta(days=7), self.zone)

    @property
    def before(self) -> Week:
        """The week before."""
        return Week(self.monday - timedelta(days=7), self.zone)

    @property
    def span(self) -> Span:
        """From its first moment to the last before its end."""
        return Span(to_micros(self.start) - 1, to_micros(self.end) - 1, self.label)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
