"""The windows numbers are given for, rolling and of the calendar, and how durations are written. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

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


# ---- the calendar

CalendarUnit = Literal["day", "week", "month", "quarter", "year"]
CALENDAR_SIGNS: dict[str, CalendarUnit] = {"d": "day", "w": "week", "M": "month", "Q": "quarter", "Y": "year"}
"""How OpenSLO writes a unit of the calendar: `1M` is a month (`1m` would be a minute)."""

_SIGN = {unit: sign for sign, unit in CALENDAR_SIGNS.items()}
_NOMINAL_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 90, "year": 365}
_MOST_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_DAYS = {"day": 1, "week": 7}
_MONDAY = date(1970, 1, 5).toordinal()
_LONGEST_DAYS = 36_500
"""A hundred years: windows of it still end within the calendar."""
_ABBREVIATION = re.compile(r"[A-Z0-9+-]+")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class CalendarWindow:
    """A window of the calendar in an IANA zone: `count` days, weeks, months, quarters or years.

    It begins at local midnight; weeks begin on Monday, quarters in January, April, July and October. Windows of
    several units are counted from `start`, the first day of one of them; without it from 1970, weeks from Monday,
    5 January 1970. Raises ValueError for an unknown zone, a count below 1, and a start that is no first day of its
    unit.
    """

    unit: CalendarUnit
    count: int = 1
    zone: str = "UTC"
    start: date | None = None

    def __post_init__(self) -> None:
        if self.unit not in get_args(CalendarUnit):
            raise ValueError(f"{self.unit!r} is no unit; expected one of {', '.join(get_args(CalendarUnit))}")
        if not 1 <= self.count <= _LONGEST_DAYS // _NOMINAL_DAYS[self.unit]:
            raise ValueError(f"{self.count} {self.unit}s are no window; expected 1 or more, at most a hundred years")
        zone_named(self.zone)
        if self.start is not None and self._first_day(self._ordinal(self.start)) != self.start:
            first = self._first_day(self._ordinal(self.start))
            raise ValueError(f"{self.start} is not the first day of a {self.unit}; expected {first}")

    @property
    def most_days(self) -> int:
        """How many days one of them has at most."""
        return self.count * _MOST_DAYS[self.unit]

    @property
    def label(self) -> str:
        """`month`, `quarter`…, and with several units `2w`, `3M`: the label it has everywhere.

        Days are `3days`: `3d` is a rolling window.
        """
        if self.count == 1:
            return self.unit
        return f"{self.count}days" if self.unit == "day" else f"{self.count}{_SIGN[self.unit]}"

    @property
    def length(self) -> timedelta:
        """The nominal length: a month is 30 days of 24 hours, a quarter 90, a year 365."""
        return timedelta(days=_NOMINAL_DAYS[self.unit] * self.count)

    @property
    def seconds(self) -> float:
        """The nominal length in seconds, the same for every window; the true one is the distance of `bounds`."""
        return self.length.total_seconds()

    @property
    def days(self) -> float:
        """The nominal length in days of 24 hours."""
        return self.length / timedelta(days=1)

    def bounds(self, at: datetime) -> tuple[datetime, datetime]:
        """The first time of the window that holds `at`, and the first time after it, in UTC.

        Exact where clocks change: a day has 23, 24 or 25 hours. `at` is aware; a naive one raises ValueError.
        """
        if at.tzinfo is None:
            raise ValueError(f"{at.isoformat()} has no time zone")
        number = self._number(at.astimezone(self._zone).date())
        # A clock that goes back across midnight shows a date twice: the window is the one that holds the instant.
        while at < self._starts_at(number):
            number -= 1
        while at >= self._starts_at(number + 1):
            number += 1
        return self._starts_at(number), self._starts_at(number + 1)

    def before(self, start: datetime) -> tuple[datetime, datetime]:
        """The bounds of the window that ends where the one that begins at `start` begins."""
        return self.bounds(start - _MICROSECOND)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return zone_named(self.zone)

    @cached_property
    def _anchor(self) -> int:
        return self._ordinal(self.start or (date(1970, 1, 5) if self.unit == "week" else date(1970, 1, 1)))

    def _number(self, day: date) -> int:
        """The number of the window that holds a local day."""
        return (self._ordinal(day) - self._anchor) // self.count

    def _ordinal(self, day: date) -> int:
        """The number of the unit that holds a day."""
        if self.unit in _MONTHS:
            return (day.year * 12 + day.month - 1) // _MONTHS[self.unit]
        return (day.toordinal() - _MONDAY) // _DAYS[self.unit]

    def _first_day(self, ordinal: int) -> date:
        if self.unit in _MONTHS:
            year, month = divmod(ordinal * _MONTHS[self.unit], 12)
            return date(year, month + 1, 1)
        return date.fromordinal(ordinal * _DAYS[self.unit] + _MONDAY)

    def _starts_at(self, number: int) -> datetime:
        """When a window begins: its local midnight; where clocks skip it the first time after, twice the first."""
        day = self._first_day(self._anchor + number * self.count)
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(UTC)


def zone_named(name: str) -> ZoneInfo:
    """The IANA zone of a name such as `Europe/Berlin` or `UTC`.

    Raises ValueError with the nearest name for a misspelt one, and for abbreviations such as `CET` and `EST`: they
    name an offset to some and a place with summer time to others.
    """
    if name != "UTC" and _ABBREVIATION.fullmatch(name):
        raise ValueError(f"{name!r} is an abbreviation; expected the name of a place such as Europe/Berlin, or UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = next(iter(difflib.get_close_matches(name, available_timezones(), n=1)), "Europe/Berlin")
        raise ValueError(f"{name[:40]!r} is no time zone; expected an IANA name, for example {near}") from error
