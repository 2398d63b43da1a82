"""Calendars as people write them in the settings: zone, hours by weekday, public holidays, days of their own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, time
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from collector.document import nearest
from slo_engine.calendars import Hours, WorkCalendar, holiday_regions

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CLOSED = "closed"
_SPAN = re.compile(r"([0-9]{1,2}):([0-9]{2}) ?- ?([0-9]{1,2}):([0-9]{2})")
_HOURS = 'opening and closing such as "09:00-18:00", or closed'
_WHOLE_DAY = 24 * 60


def zone(value: str) -> str:
    """A name of the IANA database. Raises ValueError with the nearest one."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = nearest(value, available_timezones()) or "Europe/Berlin"
        raise ValueError(f"{value!r} is no time zone; expected an IANA name, for example {near}") from error
    return value


def _span(text: str) -> Hours | None:
    """The hours of a text; None for `closed`."""
    if text == CLOSED:
        return None
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} are no opening hours; expected {_HOURS}")
    opens, closes = _minutes(*match.group(1, 2)), _minutes(*match.group(3, 4)) or _WHOLE_DAY
    if opens >= closes:
        problem = "nothing lies between" if opens == closes else "it closes before it opens"
        raise ValueError(f"{text!r}: {problem}; expected both on one day, midnight at its end as 24:00")
    return _clock(opens), _clock(closes)


def _minutes(hours: str, minutes: str) -> int:
    """The minutes since midnight of a time of day, up to 24:00."""
    since_midnight = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or since_midnight > _WHOLE_DAY:  # noqa: PLR2004 - minutes of an hour
        raise ValueError(f"{hours}:{minutes} is no time of day; expected 00:00 to 24:00")
    return since_midnight


def _clock(minutes: int) -> time:
    return time(minutes // 60 % 24, minutes % 60)


def _days(text: str) -> list[int]:
    """The weekdays of `friday` or `sunday-thursday`, 0 for Monday."""
    names = [part.strip() for part in text.split("-")]
    for name in names:
        if name not in WEEKDAYS:
            near = nearest(name, WEEKDAYS) or next((d for d in WEEKDAYS if name and d.startswith(name.lower())), "")
            hint = f"{near}, or " if near else ""
            raise ValueError(f"{name!r} is no weekday; expected {hint}a range such as monday-friday")
    if len(names) > 2:  # noqa: PLR2004 - the two ends of a range
        raise ValueError(f"{text!r} is no range of weekdays; expected two of them, such as monday-friday")
    first, last = WEEKDAYS.index(names[0]), WEEKDAYS.index(names[-1])
    return [day % 7 for day in range(first, last + (7 if last < first else 0) + 1)]


def _week(hours: Mapping[str, str]) -> Mapping[str, str]:
    """Hours that say one thing of each weekday, and open at least one."""
    ranges = [day for text in hours if len(days := _days(text)) > 1 for day in days]
    twice = sorted({day for day in ranges if ranges.count(day) > 1})
    if twice:
        raise ValueError(f"{WEEKDAYS[twice[0]]} lies in two ranges; expected each weekday in one")
    if not any(span for _, span in _by_weekday(hours)):
        raise ValueError("it never opens; expected hours for at least one weekday")
    return hours


def _by_weekday(hours: Mapping[str, str]) -> Iterator[tuple[int, Hours | None]]:
    """What each weekday that is named has; one named by itself wins over a range."""
    told = {day: text for key, text in hours.items() if len(days := _days(key)) > 1 for day in days}
    told |= {days[0]: text for key, text in hours.items() if len(days := _days(key)) == 1}
    return ((day, _span(text)) for day, text in sorted(told.items()))


def _date(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"{text!r} is no day; expected one such as 2026-12-24")
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"there is no {text}; expected a day of the calendar such as 2026-12-24") from error
    return text


def _region(text: str) -> str:
    country, dash, part = text.partition("-")
    regions = holiday_regions()
    if text and country not in regions:
        expected = f"{_near(country, regions)}a country by ISO 3166 such as DE or DE-BE"
        raise ValueError(f"no holidays are known of {country!r}; expected {expected}")
    if dash and part not in regions[country]:
        known = ", ".join(regions[country])
        expected = f"{_near(part, regions[country])}one of {known}" if known else f"{country} alone"
        raise ValueError(f"{country} has no part {part!r}; expected {expected}")
    return text


def _near(code: str, known: Collection[str]) -> str:
    """The code most like one, as the start of what was expected."""
    near = code.upper() if code.upper() in known else nearest(code.upper(), known)
    return f"{near}, or " if near else ""


def _text(value: object) -> object:
    """Numbers are told as such: `09:00` in another YAML may be one."""
    if isinstance(value, (int, float)):
        raise ValueError(f"{value!r} are no opening hours; expected {_HOURS}")  # noqa: TRY004 - pydantic answers ValueError
    return value


_Hours = Annotated[str, AfterValidator(lambda text: (_span(text), text)[1]), BeforeValidator(_text)]
_Days = Annotated[str, AfterValidator(lambda text: (_days(text), text)[1])]
_Date = Annotated[str, AfterValidator(_date)]


class CalendarSettings(BaseModel):
    """When a site or a queue works."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timezone: Annotated[str, AfterValidator(zone)] | None = Field(
        default=None, description="Its IANA zone; that of the organisation unless given."
    )
    hours: Annotated[dict[_Days, _Hours], AfterValidator(_week)] = Field(
        default={"monday-friday": "09:00-17:00"},
        description=(
            "Opening hours by weekday or range of weekdays; a weekday by itself wins over a range. A weekday that is "
            "not named is free."
        ),
    )
    holidays: Annotated[str, AfterValidator(_region)] = Field(
        default="", description="Whose public holidays it keeps: a country, or its part, by ISO 3166, such as `DE-BE`."
    )
    closed: list[_Date] = Field(default_factory=list, description="Days on which it is closed, beside the holidays.")
    special: dict[_Date, _Hours] = Field(
        default_factory=dict, description="Hours of single days, half days or working Saturdays; these win."
    )

    def calendar(self, usual: ZoneInfo) -> WorkCalendar:
        """The calendar as the engine takes it, in the usual zone unless it says another."""
        country, _, subdivision = self.holidays.partition("-")
        special = {day: _span(text) for day, text in self.special.items()}
        closed: dict[str, Hours | None] = dict.fromkeys(self.closed)
        return WorkCalendar(
            zone=ZoneInfo(self.timezone) if self.timezone else usual,
            hours=tuple((day, span) for day, span in _by_weekday(self.hours) if span is not None),
            country=country,
            subdivision=subdivision,
            special=_by_date({**closed, **special}.items()),
        )


def _by_date(days: Iterable[tuple[str, Hours | None]]) -> tuple[tuple[date, Hours | None], ...]:
    return tuple(sorted(((date.fromisoformat(day), span) for day, span in days), key=lambda one: one[0]))
