"""Windows of the calendar: where they begin and end, in every zone and where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slo_engine.windows import CALENDAR_SIGNS, CalendarUnit, CalendarWindow, zone_named

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # clocks go back from 01:00 to midnight, which happens twice
    "America/Sao_Paulo",  # clocks went forward at midnight, which did not happen
    "America/St_Johns",  # clocks went back at 00:01, across midnight
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # 30 December 2011 did not happen
)
UNITS: tuple[CalendarUnit, ...] = ("day", "week", "month", "quarter", "year")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

times = st.datetimes(min_value=datetime(1975, 1, 1), max_value=datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis takes naive bounds and adds the zone
windows = st.builds(CalendarWindow, st.sampled_from(UNITS), st.integers(1, 6), st.sampled_from(ZONES))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def length(window: CalendarWindow, at: str) -> timedelta:
    start, end = window.bounds(utc(at))
    return end - start


# ---- laws


@given(windows, times)
@example(CalendarWindow("day", 1, "America/St_Johns"), datetime(2010, 11, 7, 2, 45, tzinfo=UTC))
@example(CalendarWindow("day", 1, "America/Sao_Paulo"), datetime(2018, 11, 4, 3, 0, tzinfo=UTC))
@example(CalendarWindow("day", 1, "Pacific/Apia"), datetime(2011, 12, 30, 10, 0, tzinfo=UTC))
def test_a_window_holds_the_time_it_was_asked_for(window: CalendarWindow, at: datetime) -> None:
    """The first bound is included, the second one excluded."""
    start, end = window.bounds(at)

    assert start <= at < end


@given(windows, times)
@example(CalendarWindow("day", 1, "America/St_Johns"), datetime(2010, 11, 7, 2, 45, tzinfo=UTC))
@example(CalendarWindow("day", 1, "Pacific/Apia"), datetime(2011, 12, 30, 10, 0, tzinfo=UTC))
def test_windows_tile_time(window: CalendarWindow, at: datetime) -> None:
    """Each window ends where the next one begins, and is the one before it: no gap, no overlap."""
    start, end = window.bounds(at)

    assert window.bounds(end)[0] == end
    assert window.before(end) == (start, end)
    assert window.before(start)[1] == start


@given(windows, times, st.floats(0, 0.999))
def test_every_time_of_a_window_has_the_same_bounds(window: CalendarWindow, at: datetime, share: float) -> None:
    """Bounds belong to the window, not to the time that was asked for."""
    start, end = window.bounds(at)

    assert window.bounds(start + (end - start) * share) == (start, end)


@given(st.sampled_from(ZONES), times)
def test_a_year_holds_whole_quarters_and_a_quarter_whole_months(zone: str, at: datetime) -> None:
    """A longer unit begins with the first of the shorter ones it is made of."""
    month, quarter, year = (CalendarWindow(u, 1, zone).bounds(at) for u in ("month", "quarter", "year"))

    assert year[0] <= quarter[0] <= month[0] < month[1] <= quarter[1] <= year[1]
    assert CalendarWindow("month", 1, zone).bounds(quarter[0])[0] == quarter[0]
    assert CalendarWindow("quarter", 1, zone).bounds(year[0])[0] == year[0]


@given(st.sampled_from(ZONES), times)
def test_twelve_months_are_a_year_and_four_quarters_too(zone: str, at: datetime) -> None:
    """Counted from January, several units are the longer unit."""
    january = date(2026, 1, 1)
    year = CalendarWindow("year", 1, zone).bounds(at)

    assert CalendarWindow("month", 12, zone, january).bounds(at) == year
    assert CalendarWindow("quarter", 4, zone, january).bounds(at) == year


@given(times)
def test_a_week_begins_on_monday_at_local_midnight(at: datetime) -> None:
    """Weeks run from Monday 00:00 to Monday 00:00 on the clocks of the zone."""
    start, end = CalendarWindow("week", 1, "Europe/Berlin").bounds(at)
    local = [time.astimezone(zone_named("Europe/Berlin")) for time in (start, end)]

    assert [(time.weekday(), time.time().isoformat()) for time in local] == [(0, "00:00:00")] * 2


@given(windows, times)
def test_the_nominal_length_is_that_of_a_window_within_four_days_in_a_hundred(
    window: CalendarWindow, at: datetime
) -> None:
    """A month is called 30 days and has 28 to 31: what is computed with the nominal length is near the truth."""
    start, end = window.bounds(at)
    shortest, longest = timedelta(seconds=window.seconds * 0.93), timedelta(seconds=window.seconds * 1.04)

    assert shortest - DAY <= end - start <= longest + DAY


# ---- months, days, years


@pytest.mark.parametrize(
    ("at", "days"),
    [("2026-02-10T00:00Z", 28), ("2028-02-10T00:00Z", 29), ("2026-04-30T23:59Z", 30), ("2026-12-31T12:00Z", 31)],
)
def test_a_month_has_28_to_31_days(at: str, days: int) -> None:
    """A month ends with its last day, in leap years too."""
    assert length(CalendarWindow("month"), at) == days * DAY


@pytest.mark.parametrize(
    ("zone", "at", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00+01:00", 25),
        ("Europe/Berlin", "2026-06-01T12:00+02:00", 24),
        ("America/Havana", "2026-11-01T12:00-05:00", 25),
        ("America/Sao_Paulo", "2018-11-04T12:00-02:00", 23),
        ("Australia/Lord_Howe", "2026-04-05T12:00+10:30", 24.5),
        ("America/St_Johns", "2010-11-06T12:00-02:30", 24),
        ("America/St_Johns", "2010-11-07T12:00-03:30", 25),
    ],
)
def test_a_day_is_as_long_as_its_clocks_say(zone: str, at: str, hours: float) -> None:
    """Clock changes make days of 23 and of 25 hours, also where midnight is skipped or happens twice."""
    assert length(CalendarWindow("day", 1, zone), at) == hours * HOUR


def test_a_month_with_a_clock_change_has_an_hour_less() -> None:
    """March in Berlin has 743 hours, not 744."""
    assert length(CalendarWindow("month", 1, "Europe/Berlin"), "2026-03-10T00:00Z") == 31 * DAY - HOUR


def test_a_month_begins_at_local_midnight() -> None:
    """In Berlin the last hours of a month in UTC are the first of the next month."""
    start, end = CalendarWindow("month", 1, "Europe/Berlin").bounds(utc("2026-07-31T22:30Z"))

    assert (start, end) == (utc("2026-08-01T00:00+02:00"), utc("2026-09-01T00:00+02:00"))


@pytest.mark.parametrize(
    ("unit", "start", "end"),
    [
        ("day", "2026-05-20", "2026-05-21"),
        ("week", "2026-05-18", "2026-05-25"),
        ("month", "2026-05-01", "2026-06-01"),
        ("quarter", "2026-04-01", "2026-07-01"),
        ("year", "2026-01-01", "2027-01-01"),
    ],
)
def test_units_begin_where_people_expect_them(unit: CalendarUnit, start: str, end: str) -> None:
    """20 May 2026, a Wednesday, stands in the week of Monday the 18th and in the second quarter."""
    found = CalendarWindow(unit).bounds(utc("2026-05-20T15:00Z"))

    assert found == (utc(f"{start}T00:00Z"), utc(f"{end}T00:00Z"))


def test_the_day_that_a_zone_skipped_is_no_window() -> None:
    """Samoa had no 30 December 2011: the 31st follows the 29th."""
    samoa = CalendarWindow("day", 1, "Pacific/Apia")

    assert samoa.before(utc("2011-12-31T00:00+14:00")) == (utc("2011-12-29T00:00-10:00"), utc("2011-12-30T00:00-10:00"))


# ---- several units


def test_windows_of_several_units_are_counted_from_the_start() -> None:
    """Two-week windows begin with the week of `start`, before it as well as after it."""
    sprint = CalendarWindow("week", 2, "UTC", date(2026, 1, 12))

    assert sprint.bounds(utc("2026-01-20T00:00Z")) == (utc("2026-01-12T00:00Z"), utc("2026-01-26T00:00Z"))
    assert sprint.bounds(utc("2026-01-10T00:00Z")) == (utc("2025-12-29T00:00Z"), utc("2026-01-12T00:00Z"))


def test_another_start_shifts_the_windows() -> None:
    """A week later is the other fortnight."""
    sprint = CalendarWindow("week", 2, "UTC", date(2026, 1, 19))

    assert sprint.bounds(utc("2026-01-20T00:00Z")) == (utc("2026-01-19T00:00Z"), utc("2026-02-02T00:00Z"))


@pytest.mark.parametrize(
    ("window", "label", "seconds"),
    [
        (CalendarWindow("day", 3), "3days", 3 * 86_400.0),
        (CalendarWindow("day"), "day", 86_400),
        (CalendarWindow("week", 2), "2w", 14 * 86_400),
        (CalendarWindow("month"), "month", 30 * 86_400),
        (CalendarWindow("month", 2), "2M", 60 * 86_400),
        (CalendarWindow("quarter"), "quarter", 90 * 86_400),
        (CalendarWindow("year"), "year", 365 * 86_400),
    ],
)
def test_a_window_has_a_label_and_a_nominal_length(window: CalendarWindow, label: str, seconds: float) -> None:
    """One unit is called by its name, several are written as OpenSLO does."""
    assert (window.label, window.seconds, window.days) == (label, seconds, seconds / 86_400)


def test_openslo_writes_every_unit_with_a_sign_of_its_own() -> None:
    """`M` is a month; `m`, a minute, is no unit of the calendar."""
    assert CALENDAR_SIGNS == {"d": "day", "w": "week", "M": "month", "Q": "quarter", "Y": "year"}


# ---- mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("month", 0), "0 months are no window; expected 1 or more, at most a hundred years"),
        (("year", 101), "101 years are no window; expected 1 or more, at most a hundred years"),
        (("hour",), "'hour' is no unit; expected one of day, week, month, quarter, year"),
        (("month", 1, "UTC", date(2026, 1, 15)), "2026-01-15 is not the first day of a month; expected 2026-01-01"),
        (("week", 2, "UTC", date(2026, 1, 14)), "2026-01-14 is not the first day of a week; expected 2026-01-12"),
        (
            ("day", 1, "Europe/Belrin"),
            "'Europe/Belrin' is no time zone; expected an IANA name, for example Europe/Berlin",
        ),
    ],
)
def test_a_window_that_cannot_be_is_refused(arguments: tuple[object, ...], said: str) -> None:
    """The sentence says what to write."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is compared as a whole
        CalendarWindow(*arguments)  # type: ignore[arg-type]

    assert str(refused.value) == said


@pytest.mark.parametrize("name", ["CET", "EST", "EST5EDT", "GMT"])
def test_an_abbreviation_is_no_zone(name: str) -> None:
    """`CET` is an offset to some and a place with summer time to others."""
    expected = f"'{name}' is an abbreviation; expected the name of a place such as Europe/Berlin, or UTC"
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is compared as a whole
        zone_named(name)

    assert str(refused.value) == expected


@pytest.mark.parametrize("name", ["", "../etc", "Europe", "a" * 300, "nul\0"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    """Folders, paths and broken text are no zones."""
    with pytest.raises(ValueError, match="is no time zone; expected an IANA name"):
        zone_named(name)


def test_a_naive_time_is_refused() -> None:
    """Guessing the zone of a time would shift the window."""
    with pytest.raises(ValueError, match="has no time zone"):
        CalendarWindow("month").bounds(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
