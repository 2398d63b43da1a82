"""When people of a site work: their calendar, the shape of their day and week, the quiet weeks of the year."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cached_property
from random import Random
from typing import NamedTuple

from paceline.demo.period import DAY, HOUR, Period, happens, moment, seconds
from slo_engine.calendars import WorkCalendar
from slo_engine.observation import from_micros, to_micros

_OF_WEEKDAY = (0.9, 1.1, 1.15, 1.05, 0.8)
_QUIET = 0.35
"""How much is done between the years."""
_BEFORE, _AFTER = 40 * DAY, 60 * DAY
"""How far before the first week and beyond the last somebody may have worked or wait for a working day."""
_OPENS, _CLOSES = 8.5, 18.5
_HUMPS = ((10.7, 1.1), (15.2, 1.4))
"""Middle and width of the busy hours before and after noon."""


class WorkingDay(NamedTuple):
    """A working day of a site: its local midnight in seconds, and how busy it is (1 is usual)."""

    midnight: int
    weight: float


class Rhythm:
    """The working days of one site around a period."""

    def __init__(self, calendar: WorkCalendar, period: Period) -> None:
        self.calendar = calendar
        self._period = period

    @cached_property
    def days(self) -> list[WorkingDay]:
        """All working days, from before the period to after it."""
        return list(self._working_days())

    @cached_property
    def within(self) -> list[WorkingDay]:
        """The working days of the period that have begun."""
        start, end = self._period.start, min(self._period.end, self._period.known)
        return [d for d in self.days if start - DAY < d.midnight < end]

    def _working_days(self) -> Iterator[WorkingDay]:
        day = moment(self._period.start - _BEFORE).date()
        last = moment(self._period.end + _AFTER).date()
        while day <= last:
            if self.calendar.is_working(day):
                noon = datetime.combine(day, time(12), tzinfo=self.calendar.zone)
                midnight = from_micros(self.calendar.day_start(to_micros(noon)))
                yield WorkingDay(seconds(midnight), _weight(day))
            day += timedelta(days=1)

    def moment_of(self, day: WorkingDay, dice: Random) -> int:
        """A time of a working day, more likely one of its busy hours."""
        middle, width = _HUMPS[happens(dice, 0.5)]
        hour = min(max(dice.gauss(middle, width), _OPENS), _CLOSES)
        return day.midnight + int(hour * HOUR)

    def next(self, at: float, dice: Random) -> int:
        """The time itself where people work then, else some time of the next working morning."""
        index = bisect_right(self._midnights, at) - 1
        today = self.days[index]
        hour = (at - today.midnight) / HOUR
        if _OPENS <= hour < _CLOSES:
            return int(at)
        following = today if hour < _OPENS else self.days[index + 1]
        return following.midnight + int(dice.uniform(_OPENS, _OPENS + 2) * HOUR)

    def day_after(self, at: float, days: int) -> WorkingDay:
        """The working day that follows the one of a time by so many; 0 is the first on or after it."""
        return self.days[bisect_left(self._midnights, at - DAY + 1) + days]

    @cached_property
    def _midnights(self) -> list[int]:
        return [d.midnight for d in self.days]


def _weight(day: date) -> float:
    quiet = (day.month, day.day) >= (12, 22) or (day.month, day.day) <= (1, 2)
    return _OF_WEEKDAY[day.weekday()] * (_QUIET if quiet else 1.0) if day.weekday() < len(_OF_WEEKDAY) else _QUIET


def business_after(calendar: WorkCalendar, at: float, open_seconds: float) -> int:
    """The second at which a calendar has been open for so long since a time."""
    return seconds(from_micros(calendar.after_business(int(at) * 10**6, open_seconds)))
