"""Working days and opening hours of a site or a queue, in its own zone. Pure; sole importer of holidays.

A day is what the clocks there make of it: 23 or 25 hours where they change. Times are in microseconds since 1970 UTC.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from slo_engine.observation import from_micros, to_micros

DAY_SECONDS = 86_400.0
"""What a working day counts for in published durations, however long it is open."""

Hours = tuple[time, time]
"""Opening and closing, local; closing at 00:00 is midnight at the end of the day."""

MIDNIGHT = time()
_SECOND = 1_000_000
_NINE_TO_FIVE: Hours = (time(9), time(17))
_DAY = timedelta(days=1)
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
_FIRST, _LAST = to_micros(datetime(_FIRST_YEAR, 1, 3, tzinfo=UTC)), to_micros(datetime(_LAST_YEAR, 12, 29, tzinfo=UTC))
"""Times before and after are taken for these: such events come from broken clocks, and must break nothing here."""


class _Year(NamedTuple):
    """The days of a local year, one after the other, in microseconds.

    `starts` has one more: the first moment of the next year. `opened` and `worked` tell how long it was open, and how
    many working days there were, before each day and in the whole year. A day that does not open closes when it opens.
    """

    starts: Sequence[int]
    opens: Sequence[int]
    closes: Sequence[int]
    opened: Sequence[int]
    worked: Sequence[int]

    def day(self, at: int) -> int:
        """The number of the day that a time lies in."""
        return bisect_right(self.starts, at) - 1

    def opened_by(self, at: int) -> int:
        """How long it was open in this year before a time."""
        day = self.day(at)
        return self.opened[day] + min(max(at - self.opens[day], 0), self.closes[day] - self.opens[day])

    def worked_by(self, at: int) -> float:
        """How many working days, and parts of one, there were in this year before a time."""
        day = self.day(at)
        if self.worked[day] == self.worked[day + 1]:
            return self.worked[day]
        return self.worked[day] + (at - self.starts[day]) / (self.starts[day + 1] - self.starts[day])


@dataclass(frozen=True, kw_only=True)
class WorkCalendar:
    """When a site or a queue works.

    `hours`: opening hours by weekday, 0 for Monday; a weekday without any is free. `country` and `subdivision` name
    public holidays (ISO 3166: `DE`, `BE`). `special`: hours of single days, None for a closed one; these win.
    Raises ValueError for one that never opens, and for hours that end before they begin.
    """

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    hours: tuple[tuple[int, Hours], ...] = tuple((day, _NINE_TO_FIVE) for day in range(5))
    country: str = ""
    subdivision: str = ""
    special: tuple[tuple[date, Hours | None], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no day could be made of."""
        if not self.hours:
            raise ValueError("it never opens")
        told = [*(hours for _, hours in self.hours), *(hours for _, hours in self.special if hours is not None)]
        if any(opens >= closes != MIDNIGHT for opens, closes in told):
            raise ValueError("it closes before it opens")

    def __str__(self) -> str:
        """Everything that it says, in one line; with the edition of the public holidays where it keeps any."""
        edition = _edition() if self.country else ""
        return repr((self.zone.key, self.hours, self.country, self.subdivision, self.special, edition))

    def is_working(self, day: date) -> bool:
        """Whether a day has opening hours; a half day has. A day that the zone's clocks skipped has none."""
        opens, closes = _span(self, day)
        return opens < closes

    def local_date(self, at: int) -> date:
        """The local day of a time."""
        return from_micros(_bounded(at)).astimezone(self.zone).date()

    def day_start(self, at: int) -> int:
        """The first moment of the local day of a time."""
        at = _bounded(at)
        year = self._year(self._year_of(at))
        return year.starts[year.day(at)]

    def working_seconds(self, start: int, end: int) -> float:
        """Working days between two times, a whole one as DAY_SECONDS; 0 where the end is not after the start."""
        start, end = _bounded(start), _bounded(end)
        if end <= start:
            return 0.0
        first, last = self._year_of(start), self._year_of(end)
        between = sum(self._year(year).worked[-1] for year in range(first, last))
        return DAY_SECONDS * (between + self._year(last).worked_by(end) - self._year(first).worked_by(start))

    def after_working_days(self, start: int, days: int) -> int:
        """The end of the last of so many working days from the day of a time on: when a deadline has passed.

        The start of that day for no days; the last moment known for more than there are.
        """
        at = _bounded(start)
        number = self._year_of(at)
        year = self._year(number)
        if days <= 0:
            return year.starts[year.day(at)]
        wanted = year.worked[year.day(at)] + days
        while wanted > year.worked[-1] and number < _LAST_YEAR:
            number, wanted = number + 1, wanted - year.worked[-1]
            year = self._year(number)
        return _LAST if wanted > year.worked[-1] else year.starts[bisect_left(year.worked, wanted)]

    def business_seconds(self, start: int, end: int) -> float:
        """Seconds between two times in which it is open; 0 where the end is not after the start."""
        start, end = _bounded(start), _bounded(end)
        if end <= start:
            return 0.0
        first, last = self._year_of(start), self._year_of(end)
        between = sum(self._year(year).opened[-1] for year in range(first, last))
        return (between + self._year(last).opened_by(end) - self._year(first).opened_by(start)) / _SECOND

    def after_business(self, start: int, seconds: float) -> int:
        """The first time at which it has been open for so many seconds since a time.

        The time itself for none; the last moment known for more than there are.
        """
        at, left = _bounded(start), round(seconds * _SECOND)
        if left <= 0:
            return start
        number = self._year_of(at)
        year = self._year(number)
        wanted = year.opened_by(at) + left
        while wanted > year.opened[-1] and number < _LAST_YEAR:
            number, wanted = number + 1, wanted - year.opened[-1]
            year = self._year(number)
        if wanted > year.opened[-1]:
            return _LAST
        day = bisect_left(year.opened, wanted) - 1
        return year.opens[day] + wanted - year.opened[day]

    def _year_of(self, at: int) -> int:
        """The local year of a time."""
        number = from_micros(at).year
        starts = self._year(number).starts
        return number - (at < starts[0]) + (at >= starts[-1])

    def _year(self, number: int) -> _Year:
        found = self._years.get(number)
        if found is None:
            found = self._years[number] = _year(self, number)
        return found

    @cached_property
    def _years(self) -> dict[int, _Year]:
        """The years that were asked for: deadlines are asked for by the hundred thousand, within few years."""
        return {}


def _bounded(at: int) -> int:
    return min(max(at, _FIRST), _LAST)


def _year(calendar: WorkCalendar, number: int) -> _Year:
    first, after = date(number, 1, 1), date(number + 1, 1, 1)
    days = [first + ahead * _DAY for ahead in range((after - first).days)]
    starts = [_moment(day, MIDNIGHT, calendar.zone) for day in (*days, after)]
    spans = [_span(calendar, day) for day in days]
    opens, closes = zip(*spans, strict=True)
    lasting = [start < end for start, end in pairwise(starts)]
    return _Year(
        starts,
        opens,
        closes,
        list(accumulate((b - a for a, b in spans), initial=0)),
        list(accumulate((a < b and real for (a, b), real in zip(spans, lasting, strict=True)), initial=0)),
    )


def _span(calendar: WorkCalendar, day: date) -> tuple[int, int]:
    """When a day opens and closes; twice the same moment where it does not."""
    hours = _hours(calendar, day)
    if hours is None:
        start = _moment(day, MIDNIGHT, calendar.zone)
        return start, start
    closing = day + _DAY if hours[1] == MIDNIGHT else day
    return _moment(day, hours[0], calendar.zone), _moment(closing, hours[1], calendar.zone)


def _hours(calendar: WorkCalendar, day: date) -> Hours | None:
    special = dict(calendar.special)
    if day in special:
        return special[day]
    if calendar.country and day in _holidays(calendar.country, calendar.subdivision, day.year):
        return None
    return dict(calendar.hours).get(day.weekday())


def _edition() -> str:
    """The edition of the public holidays."""
    # Its calendars take a tenth of a second to import: only who keeps holidays waits for them.
    from holidays.version import __version__  # noqa: PLC0415

    return __version__


@lru_cache(maxsize=512)
def _holidays(country: str, subdivision: str, year: int) -> frozenset[date]:
    """The public holidays of a year."""
    import holidays  # noqa: PLC0415 - see above

    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=year))


def holiday_regions() -> dict[str, tuple[str, ...]]:
    """The countries whose public holidays are known, by ISO 3166 code, with their subdivisions."""
    import holidays  # noqa: PLC0415 - see above

    return {country: tuple(parts) for country, parts in holidays.list_supported_countries().items()}


def _moment(day: date, at: time, zone: ZoneInfo) -> int:
    """A local time, the first where it comes twice. One that the clocks skip is the moment at which they do."""
    local = datetime.combine(day, at, tzinfo=zone)
    usual, later = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    return to_micros(usual) if usual <= later else _skipped(to_micros(later), to_micros(usual), zone)


def _skipped(before: int, after: int, zone: ZoneInfo) -> int:
    """The moment between two times at which the clocks of a zone go forward."""
    offset = from_micros(before).astimezone(zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if from_micros(middle).astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
