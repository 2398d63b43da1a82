"""Working days and opening hours of a site or a queue, in its own zone. Pure; sole importer of holidays.

A day is what the clocks there make of it: 23 or 25 hours where they change. Times are in microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import holidays

from slo_engine.observation import from_micros, to_micros

DAY_SECONDS = 86_400.0
"""What a working day counts for in published durations, however long it is open."""

Hours = tuple[time, time]
"""Opening and closing, local; closing at 00:00 is midnight at the end of the day."""

_SECOND = 1_000_000
_NINE_TO_FIVE: Hours = (time(9), time(17))
_FURTHEST = 3_700
"""How many days are looked through for the next open one."""


class _Day(NamedTuple):
    """A local day: its first moment, the one after it, and when it opens and closes (the same where it does not)."""

    start: int
    end: int
    opens: int
    closes: int


@dataclass(frozen=True, kw_only=True)
class WorkCalendar:
    """When a site or a queue works.

    `hours`: opening hours by weekday, 0 for Monday; a weekday without any is free. `country` and `subdivision` name
    public holidays (ISO 3166: `DE`, `BE`). `special`: hours of single days, None for a closed one; these win.
    """

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    hours: tuple[tuple[int, Hours], ...] = tuple((day, _NINE_TO_FIVE) for day in range(5))
    country: str = ""
    subdivision: str = ""
    special: tuple[tuple[date, Hours | None], ...] = ()

    def __str__(self) -> str:
        """Everything that it says, in one line."""
        return repr((self.zone.key, self.hours, self.country, self.subdivision, self.special))

    def is_working(self, day: date) -> bool:
        """Whether a day has opening hours; a half day has."""
        found = _day(self, day)
        return found.opens < found.closes

    def local_date(self, at: int) -> date:
        """The local day of a time."""
        return from_micros(at).astimezone(self.zone).date()

    def day_start(self, at: int) -> int:
        """The first moment of the local day of a time."""
        return _day(self, self.local_date(at)).start

    def working_seconds(self, start: int, end: int) -> float:
        """Working days between two times, a whole one as DAY_SECONDS; 0 where the end is not after the start."""
        shares = (
            (min(end, d.end) - max(start, d.start)) / (d.end - d.start)
            for d in self._days(start, end)
            if d.opens < d.closes
        )
        return DAY_SECONDS * sum(shares)

    def after_working_days(self, start: int, days: int) -> int:
        """The end of the last of so many working days from the day of a time on: when a deadline has passed."""
        left = days
        for found in self._days(start):
            left -= found.opens < found.closes
            if left <= 0:
                return found.end
        raise AssertionError

    def business_seconds(self, start: int, end: int) -> float:
        """Seconds between two times in which it is open; 0 where the end is not after the start."""
        return sum(max(0, min(end, d.closes) - max(start, d.opens)) for d in self._days(start, end)) / _SECOND

    def after_business(self, start: int, seconds: float) -> int:
        """The time at which it has been open for so many seconds since a time."""
        left = round(seconds * _SECOND)
        for found in self._days(start):
            begins = max(start, found.opens)
            if begins + left <= found.closes:
                return begins + left
            left -= max(0, found.closes - begins)
        raise AssertionError

    def _days(self, start: int, end: int | None = None) -> Iterator[_Day]:
        """The local days from that of a time on, up to that of another."""
        day = self.local_date(start)
        for ahead in range(_FURTHEST):
            found = _day(self, day + timedelta(days=ahead))
            if end is not None and found.start >= end:
                return
            yield found


@lru_cache(maxsize=65_536)
def _day(calendar: WorkCalendar, day: date) -> _Day:
    start, end = (_moment(d, time(), calendar.zone) for d in (day, day + timedelta(days=1)))
    hours = _hours(calendar, day)
    if hours is None:
        return _Day(start, end, start, start)
    closes = end if hours[1] == time() else _moment(day, hours[1], calendar.zone)
    return _Day(start, end, _moment(day, hours[0], calendar.zone), closes)


def _hours(calendar: WorkCalendar, day: date) -> Hours | None:
    special = dict(calendar.special)
    if day in special:
        return special[day]
    if calendar.country and day in _holidays(calendar.country, calendar.subdivision, day.year):
        return None
    return dict(calendar.hours).get(day.weekday())


@lru_cache(maxsize=512)
def _holidays(country: str, subdivision: str, year: int) -> frozenset[date]:
    """The public holidays of a year."""
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=year))


def _moment(day: date, at: time, zone: ZoneInfo) -> int:
    """A local time in microseconds; one that the clocks skip is the moment at which they do, roughly."""
    return to_micros(datetime.combine(day, at, tzinfo=zone).astimezone(UTC))
