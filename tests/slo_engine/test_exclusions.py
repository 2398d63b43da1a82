"""Exclusions: which times count for neither side, how they recur on local clocks, and mistakes in their files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import ConfigError
from slo_engine.budget import attainment
from slo_engine.exclusion_files import load_exclusions
from slo_engine.exclusions import (
    Exclusion,
    ExclusionReason,
    Slot,
    check_recurrence,
    counted,
    excluded,
    merged,
)
from slo_engine.observation import from_micros, to_micros
from slo_engine.slo import EventCounts, IndicatorSli, Slo
from slo_engine.windows import parse_window

BAD = Path(__file__).parent / "bad" / "exclusions"
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000_000
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
YEAR = to_micros(MONDAY), to_micros(MONDAY + timedelta(days=365))


def slo(name: str = "merge-to-production", owner: str = "delivery-platform", service: str = "checkout") -> Slo:
    return Slo(
        name=name,
        title=name,
        description="",
        owner_service=owner,
        sli=IndicatorSli(indicator="change_fail_rate", service=service),
        target=Decimal("0.9"),
        window=parse_window("28d"),
    )


def exclusion(starts_at: str, ends_at: str, recurrence: str = "", *, zone: str = "Europe/Berlin") -> Exclusion:
    """An exclusion of every SLO; times are local times of the zone."""
    return Exclusion(
        slo="*",
        reason=ExclusionReason.MAINTENANCE,
        author="platform-team",
        ticket="OPS-17",
        starts_at=datetime.fromisoformat(starts_at).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC),
        ends_at=datetime.fromisoformat(ends_at).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC),
        zone=zone,
        recurrence=recurrence,
    )


def hours(start: float, end: float) -> Exclusion:
    """An exclusion of every SLO, in hours after Monday, 5 January 2026."""
    return Exclusion(
        slo="*",
        reason=ExclusionReason.OTHER,
        author="platform-team",
        ticket="OPS-17",
        starts_at=MONDAY + timedelta(hours=start),
        ends_at=MONDAY + timedelta(hours=end),
    )


def local(slots: list[Slot], zone: ZoneInfo = BERLIN) -> list[tuple[str, str]]:
    """Slots as people of a zone read them."""
    return [tuple(f"{from_micros(t).astimezone(zone):%m-%d %H:%M %Z}" for t in slot) for slot in slots]  # type: ignore[misc]


def between(one: Exclusion, after: str, until: str) -> list[Slot]:
    """What is excluded between two times in UTC."""
    return excluded([one], slo(), *(to_micros(datetime.fromisoformat(t).replace(tzinfo=UTC)) for t in (after, until)))


def length(slots: list[Slot]) -> int:
    return sum(end - start for start, end in slots)


RULES = (
    "FREQ=WEEKLY;BYDAY=MO",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=MONTHLY;COUNT=4",
    "FREQ=DAILY;UNTIL=20260401T000000Z",
    "",
)
NIGHTLY = exclusion("2026-01-05T22:00", "2026-01-06T06:00", "FREQ=DAILY")

some_hours = st.tuples(st.integers(0, 8760), st.integers(1, 400)).map(lambda at: hours(at[0], at[0] + at[1]))
recurring = st.builds(
    lambda rule, hour: exclusion("2026-01-05T00:00", f"2026-01-05T{hour:02}:30", rule),
    st.sampled_from(RULES),
    st.integers(0, 23),
)
some_exclusions = st.lists(some_hours | recurring, max_size=6)
times = st.integers(*YEAR)


# ---- the trap


def test_both_sides_of_the_ratio_drop_what_is_excluded() -> None:
    """Overlapping exclusions count once, good and bad events in them vanish alike, and the raw numbers stay."""
    slots = excluded([hours(10, 12), hours(11, 14)], slo(), *YEAR)
    good = np.array([to_micros(MONDAY + timedelta(hours=h)) for h in (1, 10, 11.5, 20)])
    bad = np.array([to_micros(MONDAY + timedelta(hours=h)) for h in (2, 11.5, 13)])
    raw = EventCounts(len(good), len(bad))
    adjusted = EventCounts(int(counted(good, slots).sum()), int(counted(bad, slots).sum()))

    assert length(slots) == 4 * HOUR
    assert (raw, adjusted) == (EventCounts(4, 3), EventCounts(2, 1))
    assert (attainment(raw), attainment(adjusted)) == (4 / 7, 2 / 3)


# ---- laws


@given(some_exclusions, times, times)
def test_slots_are_sorted_disjoint_and_inside_the_window(exclusions: list[Exclusion], one: int, other: int) -> None:
    """Slots do not even touch, hold some time, and lie after the window's start, up to and with its end."""
    after, until = sorted((one, other))
    found = excluded(exclusions, slo(), after, until)
    edges = [after, *(edge for slot in found for edge in slot), until + 2]

    assert all(left < right for left, right in pairwise(edges))


@given(some_exclusions, st.randoms(), times, times)
def test_order_and_duplicates_of_exclusions_change_nothing(
    exclusions: list[Exclusion], random: Random, one: int, other: int
) -> None:
    """Written twice, and in whatever order, the same times are excluded once."""
    after, until = sorted((one, other))
    shuffled = exclusions * 2
    random.shuffle(shuffled)

    assert excluded(shuffled, slo(), after, until) == excluded(exclusions, slo(), after, until)


@given(some_exclusions, times, times, times)
def test_the_parts_of_a_split_window_add_up(exclusions: list[Exclusion], one: int, two: int, three: int) -> None:
    """What is excluded of a window is what is excluded of its two parts."""
    after, split, until = sorted((one, two, three))
    parts = [*excluded(exclusions, slo(), after, split), *excluded(exclusions, slo(), split, until)]

    assert merged(parts) == excluded(exclusions, slo(), after, until)
    assert length(parts) == length(excluded(exclusions, slo(), after, until))


@given(some_exclusions, some_exclusions)
def test_more_exclusions_exclude_at_least_as_much(some: list[Exclusion], more: list[Exclusion]) -> None:
    """An exclusion never brings excluded time back, and overlaps count once."""
    alone, both = length(excluded(some, slo(), *YEAR)), length(excluded(some + more, slo(), *YEAR))

    assert alone <= both <= alone + length(excluded(more, slo(), *YEAR))


@given(st.lists(times))
def test_excluding_nothing_changes_nothing(at: list[int]) -> None:
    """Without exclusions every event counts."""
    assert counted(np.array(at, dtype=np.int64), excluded([], slo(), *YEAR)).all()


@given(some_exclusions, st.lists(times, min_size=1))
def test_an_event_counts_just_where_no_slot_holds_it(exclusions: list[Exclusion], at: list[int]) -> None:
    """A slot's first microsecond is excluded; its end counts again."""
    slots = excluded(exclusions, slo(), *YEAR)
    edges = [edge for slot in slots for edge in slot]
    asked = np.array(at + edges, dtype=np.int64)

    assert counted(asked, slots).tolist() == [not any(s <= t < e for s, e in slots) for t in asked.tolist()]


@given(some_hours, times)
def test_a_window_holds_its_end_and_not_its_start(one: Exclusion, at: int) -> None:
    """As for every window, the time it ends with belongs to it: an exclusion that begins there excludes it."""
    held = to_micros(one.starts_at) <= at < to_micros(one.ends_at)

    assert excluded([one], slo(), at - 1, at) == [Slot(at, at + 1)] * held


@given(st.integers(0, 8760))
def test_a_recurrence_follows_the_clocks_of_its_zone(hour: int) -> None:
    """Nightly from 22:00 to 06:00 is what clocks in Berlin show, in winter, in summer and in between."""
    at = MONDAY + timedelta(hours=hour + 24, minutes=30)
    shown = at.astimezone(BERLIN).hour

    assert (excluded([NIGHTLY], slo(), to_micros(at) - 1, to_micros(at)) != []) == (shown >= 22 or shown < 6)


# ---- clock changes


def test_a_night_with_a_clock_change_is_shorter_or_longer() -> None:
    """The wall times stay: 22:00 to 06:00 is 7 hours in spring, 9 in autumn."""
    spring = between(NIGHTLY, "2026-03-28T12:00", "2026-03-29T12:00")
    autumn = between(NIGHTLY, "2026-10-24T12:00", "2026-10-25T12:00")

    assert local(spring) == [("03-28 22:00 CET", "03-29 06:00 CEST")]
    assert (length(spring), length(autumn)) == (7 * HOUR, 9 * HOUR)


def test_a_start_that_clocks_skip_does_not_occur() -> None:
    """RFC 5545: at 02:30 nothing begins in the night in which 02:30 does not exist; the next night it does."""
    early = exclusion("2026-01-05T02:30", "2026-01-05T04:00", "FREQ=DAILY")

    assert local(between(early, "2026-03-28T00:00", "2026-03-31T00:00")) == [
        ("03-28 02:30 CET", "03-28 04:00 CET"),
        ("03-30 02:30 CEST", "03-30 04:00 CEST"),
    ]


def test_a_skipped_start_is_not_counted() -> None:
    """RFC 5545: three occurrences from 28 March, 02:30, are those of the 28th, the 30th and the 31st."""
    thrice = exclusion("2026-03-28T02:30", "2026-03-28T03:30", "FREQ=DAILY;COUNT=3")
    found = local(between(thrice, "2026-03-01T00:00", "2026-05-01T00:00"))

    assert [start for start, _ in found] == ["03-28 02:30 CET", "03-30 02:30 CEST", "03-31 02:30 CEST"]


def test_a_time_that_happens_twice_is_the_first_one() -> None:
    """RFC 5545: 02:30 in the autumn night is the one in summer time; up to 03:00 it is an hour and a half."""
    early = exclusion("2026-10-20T02:30", "2026-10-20T03:00", "FREQ=DAILY")
    found = between(early, "2026-10-24T12:00", "2026-10-25T12:00")

    assert local(found) == [("10-25 02:30 CEST", "10-25 03:00 CET")]
    assert length(found) == 1.5 * HOUR


# ---- rules


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ("FREQ=WEEKLY;BYDAY=MO,TH", ["01-05", "01-08", "01-12", "01-15"]),
        ("FREQ=WEEKLY;INTERVAL=2", ["01-05", "01-19", "02-02", "02-16"]),
        ("FREQ=MONTHLY;BYDAY=1MO", ["01-05", "02-02", "03-02", "04-06"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=3", ["01-05", "02-04", "03-04", "04-03"]),
        ("FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=5,6", ["01-05", "01-06", "01-05", "01-06"]),
        ("FREQ=DAILY;COUNT=2", ["01-05", "01-06"]),
        ("FREQ=DAILY;UNTIL=20260106T200000Z", ["01-05", "01-06"]),
        ("FREQ=DAILY;UNTIL=20260106T195959Z", ["01-05"]),
        ("freq=daily;count=1", ["01-05"]),
    ],
)
def test_rules_mean_what_rfc_5545_says(rule: str, days: list[str]) -> None:
    """Days, intervals, positions, counts; UNTIL is in UTC and included."""
    found = between(exclusion("2026-01-05T21:00", "2026-01-05T22:00", rule), "2026-01-01T00:00", "2028-01-01T00:00")

    assert [start[:5] for start, _ in local(found)][:4] == days


def test_long_occurrences_of_a_short_rule_run_together() -> None:
    """Twelve hours every hour are one slot: overlaps count once."""
    busy = exclusion("2026-01-05T00:00", "2026-01-05T12:00", "FREQ=HOURLY;COUNT=24")

    assert local(between(busy, "2026-01-01T00:00", "2026-02-01T00:00")) == [("01-05 00:00 CET", "01-06 11:00 CET")]


def test_an_occurrence_that_began_before_the_window_reaches_into_it() -> None:
    """Only the part inside is excluded, also of an occurrence that began in another year."""
    holidays = exclusion("2025-12-24T00:00", "2026-01-07T00:00", "FREQ=YEARLY")

    assert local(between(holidays, "2027-01-01T00:00", "2027-12-01T00:00")) == [("01-01 01:00 CET", "01-07 00:00 CET")]


def test_nothing_recurs_before_its_first_time() -> None:
    """A window of long ago, which the calendar's cycles would shift behind their end, is empty."""
    weekly = exclusion("2026-03-01T02:00", "2026-03-01T03:00", "FREQ=WEEKLY")
    long_ago = datetime(1985, 2, 1, tzinfo=UTC), datetime(1985, 3, 1, tzinfo=UTC)

    assert weekly.slots(*(to_micros(at) for at in long_ago)) == []


def test_zones_are_not_confused() -> None:
    """The same first occurrence recurs differently where clocks change differently."""
    berlin = exclusion("2026-01-05T07:00", "2026-01-05T08:00", "FREQ=DAILY")
    utc = exclusion("2026-01-05T06:00", "2026-01-05T07:00", "FREQ=DAILY", zone="UTC")
    july = "2026-07-01T00:00", "2026-07-02T00:00"

    assert (berlin.starts_at, berlin.ends_at) == (utc.starts_at, utc.ends_at)
    assert (local(between(berlin, *july)), local(between(utc, *july))) == (
        [("07-01 07:00 CEST", "07-01 08:00 CEST")],
        [("07-01 08:00 CEST", "07-01 09:00 CEST")],
    )


def test_a_rule_that_begins_on_a_skipped_day_is_told_where_it_begins() -> None:
    """29 February comes every four years: the sentence names the next one."""
    with pytest.raises(ValueError, match="expected from: 2028-02-29T22:00"):
        check_recurrence("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", BERLIN, datetime(2026, 3, 1, 22, tzinfo=BERLIN))


# ---- whom it concerns


@pytest.mark.parametrize(
    ("pattern", "service", "concerned"),
    [
        ("merge-to-production", "", True),
        ("merge-*", "", True),
        ("merge", "", False),
        ("MERGE-*", "", False),
        ("", "delivery-platform", True),
        ("", "checkout", True),
        ("", "search", False),
    ],
)
def test_an_exclusion_concerns_slos_by_name_glob_or_service(pattern: str, service: str, *, concerned: bool) -> None:
    """A service is the one that owns the SLO, or the one whose events it counts."""
    one = Exclusion(
        slo=pattern,
        service=service,
        reason=ExclusionReason.OTHER,
        author="platform-team",
        ticket="OPS-17",
        starts_at=MONDAY,
        ends_at=MONDAY + timedelta(hours=1),
    )

    assert one.concerns(slo()) is concerned
    assert (excluded([one], slo(), *YEAR) != []) is concerned


def test_a_service_without_a_name_concerns_nobody() -> None:
    """An SLO over all services is not meant by an exclusion of one of them."""
    one = Exclusion(
        service="checkout",
        reason=ExclusionReason.OTHER,
        author="platform-team",
        ticket="OPS-17",
        starts_at=MONDAY,
        ends_at=MONDAY + timedelta(hours=1),
    )

    assert not one.concerns(slo(service=""))


# ---- files

Put = Callable[..., Path]

FILE = """\
exclusions:
  - slo: merge-to-*
    reason: outside_hours
    author: platform-team
    ticket: OPS-17
    from: 2026-01-05T18:00
    until: 2026-01-06T08:00
    zone: Europe/Berlin
    recurrence: FREQ=WEEKLY;BYDAY=MO,TU,WE,TH
    description: Nobody is at work.
  - service: checkout
    reason: maintenance
    author: operations
    ticket: "18"
    from: 2026-02-01T00:00Z
    until: 2026-02-01 03:30:15+02:00
"""


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file of exclusions into the test's folder."""

    def write(text: str, to: str = "exclusions.yaml") -> Path:
        path = tmp_path / to
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_file_is_read_as_it_is_written(put: Put) -> None:
    """Local times follow the zone, others their offset; where each stands is kept."""
    path = put(FILE)

    assert load_exclusions(path, [slo()]) == (
        Exclusion(
            slo="merge-to-*",
            reason=ExclusionReason.OUTSIDE_HOURS,
            author="platform-team",
            ticket="OPS-17",
            starts_at=datetime(2026, 1, 5, 17, tzinfo=UTC),
            ends_at=datetime(2026, 1, 6, 7, tzinfo=UTC),
            zone="Europe/Berlin",
            recurrence="FREQ=WEEKLY;BYDAY=MO,TU,WE,TH",
            description="Nobody is at work.",
            file=str(path),
            line=2,
        ),
        Exclusion(
            service="checkout",
            reason=ExclusionReason.MAINTENANCE,
            author="operations",
            ticket="18",
            starts_at=datetime(2026, 2, 1, tzinfo=UTC),
            ends_at=datetime(2026, 2, 1, 1, 30, 15, tzinfo=UTC),
            file=str(path),
            line=11,
        ),
    )


def test_a_folder_is_read_with_its_subfolders_without_hidden_ones(put: Put) -> None:
    """Kubernetes mounts each file a second time in a hidden folder."""
    put(FILE, "b/weekly.yml")
    put("exclusions: []", "a.yaml")
    folder = put(FILE, "..data/weekly.yaml").parent.parent

    assert len(load_exclusions(folder, [slo()])) == 2


def test_the_mistakes_of_all_files_are_said_at_once(put: Put) -> None:
    """One round of editing mends all."""
    put("exclusions: 1", "a.yaml")
    folder = put("exclusion: []", "b.yaml").parent
    with pytest.raises(ConfigError) as caught:
        load_exclusions(folder, [slo()])

    assert {Path(m.file).name for m in caught.value.mistakes} == {"a.yaml", "b.yaml"}


def test_the_example_of_the_page_is_valid(put: Put) -> None:
    """What `docs/exclusions.md` shows can be copied."""
    page = Path(__file__).parents[2] / "docs" / "exclusions.md"
    example = page.read_text(encoding="utf-8").split("```yml\n")[1].split("```")[0]
    checkout = slo("checkout-availability", owner="checkout", service="")

    assert len(load_exclusions(put(example), [slo(), checkout])) == 3


@pytest.mark.parametrize("path", sorted(BAD.glob("*.bad.yaml")), ids=lambda path: path.name.split(".")[0])
def test_a_mistake_in_an_exclusion_is_answered_with_its_line(path: Path) -> None:
    """A bad file gives exactly the sentences in its first lines: one for each mistake, no other."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]

    with pytest.raises(ConfigError) as caught:
        load_exclusions(path, [slo()])

    assert str(caught.value).replace(f"{path.parent}/", "").splitlines() == expected


def test_there_is_a_bad_file_for_each_kind_of_mistake_in_an_exclusion() -> None:
    """The folder of mistakes is not empty, so that the test above cannot pass by reading nothing."""
    assert len(list(BAD.glob("*.bad.yaml"))) >= 40


def test_without_slos_no_exclusion_concerns_any(put: Put) -> None:
    """The sentence says that there are none, not that a name is misspelt."""
    with pytest.raises(ConfigError, match="there is no SLO 'merge-to-\\*'; expected none while there are no SLOs"):
        load_exclusions(put(FILE), [])
