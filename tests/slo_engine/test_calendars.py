"""Calendars: working days and opening hours in a site's own zone. Durations are worked out by hand in each test."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo_engine.calendars import DAY_SECONDS, MIDNIGHT, Hours, WorkCalendar, holiday_regions
from slo_engine.observation import from_micros, to_micros

HOUR = 3_600.0
BERLIN = ZoneInfo("Europe/Berlin")
NINE_TO_SIX: Hours = (time(9), time(18))
ALL_DAY: Hours = (MIDNIGHT, MIDNIGHT)
WEEKDAYS = tuple((day, NINE_TO_SIX) for day in range(5))
OFFICE = WorkCalendar(zone=BERLIN, hours=WEEKDAYS, country="DE", subdivision="BE")
ALWAYS = WorkCalendar(zone=BERLIN, hours=tuple((day, ALL_DAY) for day in range(7)))


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    """A local time, as in `2026-03-29 10:00`."""
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=zone))


def local(micros: int, zone: ZoneInfo = BERLIN) -> str:
    """A time as the clocks of a zone show it."""
    return from_micros(micros).astimezone(zone).strftime("%Y-%m-%d %H:%M")


# ---- business hours


def test_trap_62_a_weekend_and_a_holiday_are_not_waited_through() -> None:
    """Opened Friday 17:50, Monday a holiday, answered Tuesday 09:10, hours 09 to 18 → 20 business minutes.

    10 minutes on Friday 22 May 2026, Whit Monday, 10 minutes on Tuesday.
    """
    assert OFFICE.business_seconds(at("2026-05-22 17:50"), at("2026-05-26 09:10")) == 20 * 60


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-03-02 10:00", "2026-03-02 12:30", 2.5),
        ("2026-03-02 07:00", "2026-03-02 20:00", 9),
        ("2026-03-02 18:00", "2026-03-03 09:00", 0),
        ("2026-03-07 10:00", "2026-03-08 10:00", 0),
        ("2026-03-02 00:00", "2026-03-09 00:00", 45),
        ("2025-12-31 17:00", "2026-01-02 10:00", 2),
        ("2026-03-02 10:00", "2026-03-02 10:00", 0),
        ("2026-03-02 12:00", "2026-03-02 10:00", 0),
    ],
)
def test_only_opening_hours_count(start: str, end: str, hours: float) -> None:
    """Nights, weekends and holidays pass without counting; an end that is not after the start has no duration."""
    assert OFFICE.business_seconds(at(start), at(end)) == hours * HOUR


@pytest.mark.parametrize(
    ("start", "seconds", "end"),
    [
        ("2026-03-02 10:00", 4 * HOUR, "2026-03-02 14:00"),
        ("2026-03-02 10:00", 8 * HOUR, "2026-03-02 18:00"),
        ("2026-03-02 10:00", 8 * HOUR + 60, "2026-03-03 09:01"),
        ("2026-03-06 17:50", 20 * 60, "2026-03-09 09:10"),
        ("2026-03-07 12:00", 60, "2026-03-09 09:01"),
        ("2026-03-02 20:00", 9 * HOUR, "2026-03-03 18:00"),
        ("2025-12-31 17:00", 2 * HOUR, "2026-01-02 10:00"),
        ("2026-03-07 12:00", 0, "2026-03-07 12:00"),
    ],
)
def test_a_deadline_is_met_within_opening_hours(start: str, seconds: float, end: str) -> None:
    """A promise of four hours made on a Friday evening ends on Monday; one that ends with the day ends at closing."""
    assert local(OFFICE.after_business(at(start), seconds)) == end


def test_hours_differ_by_weekday() -> None:
    """A queue that closes early on Fridays closes early on Fridays."""
    friday = WorkCalendar(zone=BERLIN, hours=(*WEEKDAYS[:4], (4, (time(9), time(13)))))

    assert friday.business_seconds(at("2026-03-06 00:00"), at("2026-03-07 00:00")) == 4 * HOUR


# ---- clock changes


@pytest.mark.parametrize(("monday", "hours"), [("2026-03-23", 167), ("2026-10-19", 169), ("2026-03-02", 168)])
def test_trap_125_a_week_has_the_hours_that_the_clocks_give_it(monday: str, hours: int) -> None:
    """In 2026 the week to 29 March has 167 h in Berlin, the week to 25 October 169 h, any other 168."""
    next_monday = (date.fromisoformat(monday) + timedelta(days=7)).isoformat()

    assert ALWAYS.business_seconds(at(f"{monday} 00:00"), at(f"{next_monday} 00:00")) == hours * HOUR


def test_a_working_day_counts_the_same_however_long_it_is() -> None:
    """Seven days of a calendar that works on Sundays are seven, with 23 hours in one of them."""
    assert ALWAYS.working_seconds(at("2026-03-23 00:00"), at("2026-03-30 00:00")) == 7 * DAY_SECONDS


def test_an_opening_time_that_the_clocks_skip_is_when_they_do() -> None:
    """Open from 02:30 on 29 March 2026 in Berlin: from 03:00, when 02:00 had been. Half an hour of the day is gone."""
    nights = WorkCalendar(zone=BERLIN, hours=((6, (time(2, 30), time(4))),))

    assert local(nights.after_business(at("2026-03-28 12:00"), 60)) == "2026-03-29 03:01"
    assert nights.business_seconds(at("2026-03-29 00:00"), at("2026-03-30 00:00")) == HOUR


def test_hours_that_the_clocks_skip_altogether_are_none() -> None:
    """Open from 02:15 to 02:45 on the night without a 2 o'clock: closed that day, and no working day."""
    nights = WorkCalendar(zone=BERLIN, hours=((6, (time(2, 15), time(2, 45))),))

    assert nights.business_seconds(at("2026-03-28 00:00"), at("2026-03-30 00:00")) == 0
    assert not nights.is_working(date(2026, 3, 29))
    assert nights.is_working(date(2026, 4, 5))


def test_a_time_that_comes_twice_is_the_first() -> None:
    """Open from 02:30 on 25 October 2026: from the first 02:30, 90 minutes before the clocks show 03:00 for good."""
    nights = WorkCalendar(zone=BERLIN, hours=((6, (time(2, 30), time(4))),))

    assert nights.business_seconds(at("2026-10-25 00:00"), at("2026-10-26 00:00")) == 2.5 * HOUR


def test_a_day_begins_when_the_clocks_skip_midnight() -> None:
    """Where clocks go forward at midnight, the day begins at 01:00 (Beirut, 29 March 2026)."""
    beirut = ZoneInfo("Asia/Beirut")
    there = WorkCalendar(zone=beirut)

    assert local(there.day_start(at("2026-03-29 12:00", beirut)), beirut) == "2026-03-29 01:00"


def test_a_day_that_a_zone_skipped_is_no_working_day() -> None:
    """Samoa had no Friday 30 December 2011: that week had four working days."""
    apia = ZoneInfo("Pacific/Apia")
    there = WorkCalendar(zone=apia)

    assert not there.is_working(date(2011, 12, 30))
    assert there.working_seconds(at("2011-12-26 00:00", apia), at("2012-01-02 00:00", apia)) == 4 * DAY_SECONDS


# ---- working days


def test_trap_69_ten_working_days_are_ten_across_a_holiday_and_a_clock_change() -> None:
    """Ten working days across a public holiday and a clock change, in the site's own calendar → still ten.

    From Monday 23 March 2026 in Berlin: 5 to the 27th, clocks forward on the 29th, 4 to Thursday 2 April, Good Friday
    and Easter Monday are free, so the tenth is Tuesday 7 April.
    """
    deadline = OFFICE.after_working_days(at("2026-03-23 14:00"), 10)

    assert local(deadline) == "2026-04-08 00:00"
    assert OFFICE.working_seconds(at("2026-03-23 00:00"), deadline) == 10 * DAY_SECONDS


def test_trap_69_a_start_on_a_sunday_counts_from_monday() -> None:
    """Start on a Sunday → the first working day is Monday, and nothing has passed until then."""
    assert local(OFFICE.after_working_days(at("2026-03-08 09:00"), 1)) == "2026-03-10 00:00"
    assert OFFICE.working_seconds(at("2026-03-08 00:00"), at("2026-03-09 00:00")) == 0


def test_a_started_working_day_counts_by_its_share() -> None:
    """From Monday 00:00 to Tuesday noon are one and a half working days, whatever the opening hours."""
    assert OFFICE.working_seconds(at("2026-03-02 00:00"), at("2026-03-03 12:00")) == 1.5 * DAY_SECONDS


def test_no_working_days_are_the_start_of_the_day() -> None:
    """A deadline of no days is where the count begins."""
    assert local(OFFICE.after_working_days(at("2026-03-08 09:00"), 0)) == "2026-03-08 00:00"


# ---- which days


def test_trap_126_a_weekend_may_be_friday_and_saturday() -> None:
    """Where the week is Sunday to Thursday, Friday is free and Sunday is not."""
    riyadh = ZoneInfo("Asia/Riyadh")
    there = WorkCalendar(zone=riyadh, hours=tuple((day, NINE_TO_SIX) for day in (6, 0, 1, 2, 3)))
    week = [date(2026, 3, 1) + timedelta(days=n) for n in range(7)]

    assert [there.is_working(day) for day in week] == [True] * 5 + [False] * 2


def test_trap_126_a_half_day_holds() -> None:
    """A half day is a working day with fewer hours; a closed one is none; both win over the weekday."""
    there = WorkCalendar(
        zone=BERLIN,
        hours=WEEKDAYS,
        special=((date(2026, 12, 24), (time(9), time(13))), (date(2026, 12, 28), None)),
    )

    assert there.business_seconds(at("2026-12-24 00:00"), at("2026-12-25 00:00")) == 4 * HOUR
    assert there.working_seconds(at("2026-12-24 00:00"), at("2026-12-25 00:00")) == DAY_SECONDS
    assert not there.is_working(date(2026, 12, 28))


def test_trap_126_a_leap_day_is_a_day() -> None:
    """29 February 2028 is a Tuesday like any other, and the year has 366 days."""
    assert OFFICE.is_working(date(2028, 2, 29))
    assert ALWAYS.working_seconds(at("2028-01-01 00:00"), at("2029-01-01 00:00")) == 366 * DAY_SECONDS


def test_a_working_saturday_wins_over_the_weekend_and_the_holidays() -> None:
    """A special day may open what would be closed."""
    there = WorkCalendar(zone=BERLIN, country="DE", special=((date(2026, 10, 3), NINE_TO_SIX),))

    assert there.is_working(date(2026, 10, 3))


@pytest.mark.parametrize(
    ("country", "subdivision", "day", "working"),
    [
        ("DE", "BE", date(2027, 3, 8), False),  # Women's Day is a holiday in Berlin
        ("DE", "BY", date(2027, 3, 8), True),
        ("DE", "BY", date(2026, 1, 6), False),  # Epiphany in Bavaria
        ("DE", "", date(2026, 1, 6), True),
        ("GB", "ENG", date(2026, 12, 28), False),  # Boxing Day is a Saturday: Monday instead
        ("", "", date(2026, 12, 25), True),
    ],
)
def test_holidays_are_those_of_the_region(country: str, subdivision: str, day: date, *, working: bool) -> None:
    """Public holidays are the country's and the subdivision's, also those kept on another day; without one, none."""
    there = WorkCalendar(zone=BERLIN, hours=WEEKDAYS, country=country, subdivision=subdivision)

    assert there.is_working(day) is working


def test_regions_are_known_by_code() -> None:
    """Countries and their subdivisions are listed, so that a mistyped one can be answered."""
    assert "BE" in holiday_regions()["DE"]


def test_a_calendar_says_everything_that_it_depends_on() -> None:
    """Two calendars that judge differently read differently, so that a change restates."""
    described = {
        str(c) for c in (OFFICE, ALWAYS, WorkCalendar(), WorkCalendar(country="DE"), WorkCalendar(zone=BERLIN))
    }

    assert len(described) == 5


# ---- what cannot be


def test_a_calendar_that_never_opens_is_refused() -> None:
    """Nothing would ever be due: said where it is made, and nothing loops."""
    with pytest.raises(ValueError, match="never opens"):
        WorkCalendar(hours=())


@pytest.mark.parametrize("hours", [(time(18), time(9)), (time(9), time(9))])
def test_hours_that_end_before_they_begin_are_refused(hours: Hours) -> None:
    """Opening hours do not go past midnight, and are not empty."""
    with pytest.raises(ValueError, match="closes before it opens"):
        WorkCalendar(hours=((0, hours),))


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_a_broken_clock_breaks_nothing(moment: datetime) -> None:
    """Times at either end of what can be written are answered, in a zone ahead of UTC and in one behind."""
    micros = to_micros(moment)
    answers = [
        WorkCalendar(zone=ZoneInfo(zone)).after_working_days(micros, 3) for zone in ("Pacific/Kiritimati", "Etc/GMT+12")
    ]

    assert [from_micros(a).year in {1900, 2199} for a in answers] == [True, True]


def test_more_than_there_ever_will_be_ends() -> None:
    """A deadline beyond all calendars is the last moment of theirs."""
    last = OFFICE.after_business(at("2026-03-02 10:00"), 1e12)

    assert from_micros(last).year == 2199
    assert OFFICE.after_working_days(at("2026-03-02 10:00"), 10**9) == last


def test_a_calendar_can_be_sent_to_another_process() -> None:
    """What was looked up already does not keep a calendar from being pickled."""
    OFFICE.day_start(at("2026-03-02 10:00"))

    assert pickle.loads(pickle.dumps(OFFICE)) == OFFICE  # noqa: S301 - made in this very line


# ---- laws

TIMES = st.integers(at("2024-12-01 00:00"), at("2027-02-01 00:00"))
CALENDARS = st.sampled_from(
    [
        OFFICE,
        ALWAYS,
        WorkCalendar(zone=ZoneInfo("America/Sao_Paulo"), country="BR", hours=((1, (time(8), time(12))), (6, ALL_DAY))),
        WorkCalendar(zone=ZoneInfo("Australia/Lord_Howe"), hours=((6, (time(1, 45), time(2, 15))), (0, NINE_TO_SIX))),
    ]
)


@given(CALENDARS, TIMES, st.integers(1, 60 * 86_400))
def test_a_deadline_is_as_far_as_it_was_promised(calendar: WorkCalendar, start: int, seconds: int) -> None:
    """`after_business` undoes `business_seconds`, and a moment earlier it was not yet that long."""
    end = calendar.after_business(start, seconds)

    assert calendar.business_seconds(start, end) == seconds
    assert calendar.business_seconds(start, end - 1) < seconds


@given(CALENDARS, TIMES, TIMES, TIMES)
def test_durations_add_up(calendar: WorkCalendar, a: int, b: int, c: int) -> None:
    """From the first to the last is from the first to the middle and from there to the last."""
    first, middle, last = sorted((a, b, c))

    business, working = calendar.business_seconds, calendar.working_seconds
    assert business(first, middle) + business(middle, last) == pytest.approx(business(first, last), abs=1e-6)
    assert working(first, middle) + working(middle, last) == pytest.approx(working(first, last), abs=1e-3)


@given(CALENDARS, TIMES, st.integers(1, 400))
def test_so_many_working_days_are_so_many(calendar: WorkCalendar, start: int, days: int) -> None:
    """From a day's start to the end of so many working days lie exactly so many, and a moment earlier fewer."""
    begin = calendar.day_start(start)
    end = calendar.after_working_days(start, days)

    assert calendar.working_seconds(begin, end) == days * DAY_SECONDS
    assert calendar.working_seconds(begin, end - 1) < days * DAY_SECONDS


@given(CALENDARS, TIMES)
def test_a_time_lies_in_its_day(calendar: WorkCalendar, moment: int) -> None:
    """A day's start is not after its times, and is of the same local date."""
    start = calendar.day_start(moment)

    assert start <= moment
    assert calendar.local_date(start) == calendar.local_date(moment)
    assert calendar.local_date(start - 1) < calendar.local_date(moment)
