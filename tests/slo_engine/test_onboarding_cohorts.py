"""Whether the median time of onboarding tells the truth: cohorts of which it is known, some of them not there yet.

The calendar has no weekends here, so that a day is a day. Who joined lately and has not arrived is not left out but
counts as not there yet; leaving them out makes every wave of hiring look fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import cache
from random import Random
from typing import NamedTuple

import numpy as np
import pytest

from collector.events import Event, Member, MemberKind, Milestone, MilestoneKind
from slo_engine.calendars import WorkCalendar
from slo_engine.indicators import onboarding
from slo_engine.indicators.onboarding import ONBOARDING_TIME, measure_time
from slo_engine.measure import OUTCOME_CODES, Measured, Sample
from slo_engine.observation import Observation, Subject, to_micros
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents
from slo_engine.statistics import median_interval

pytestmark = pytest.mark.long

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = 86_400.0
EVERY_DAY = WorkCalendar(hours=tuple((weekday, (time(9), time(17))) for weekday in range(7)))
ORGANISATION = Organisation(calendars={"default": EVERY_DAY})
STAGE = MilestoneKind.FIRST_DEPLOYED_CHANGE
TRUE_MEDIAN = 30.0


SHOWN = Milestone(source="lms", native_id="0", person="person:other", milestone=STAGE, at=NOW - timedelta(days=500))
"""Somebody not on the roster arrived: the milestone is one that a source reports."""


def joined(number: int, days_ago: int, took: float | None, left_after: int | None = None) -> list[Event]:
    """Somebody who joined so many days before now, and took so many days, or left before."""
    start, who = NOW - timedelta(days=days_ago), f"person:{number}"
    left_at = None if left_after is None else start + timedelta(days=left_after)
    member = Member(
        source="hr", native_id=who, person=who, member_kind=MemberKind.HIRE, started_at=start, left_at=left_at
    )
    if took is None:
        return [member]
    at = start + timedelta(days=took)
    return [member, Milestone(source="lms", native_id=who, person=who, milestone=STAGE, at=at)]


def sample(observations: Sequence[Observation], now: datetime = NOW, window: float = 365) -> Sample:
    """The units of the time to the first change in production, as an evaluation hands them over."""
    units = [o for o in observations if o.indicator == ONBOARDING_TIME.name and o.dimension.startswith(STAGE)]
    people = {unit: number for number, unit in enumerate(sorted({o.unit for o in units}))}
    dimensions = sorted({o.dimension for o in units})
    return Sample(
        after=to_micros(now - timedelta(days=window)),
        until=to_micros(now),
        now=to_micros(now),
        subject=Subject(team="/"),
        organisation=ORGANISATION,
        at=np.array([to_micros(o.at) for o in units], dtype=np.int64),
        value=np.array([np.nan if o.value is None else o.value for o in units]),
        outcome=np.array([OUTCOME_CODES[o.outcome] for o in units], dtype=np.int16),
        matures_at=np.array([0 if o.matures_at is None else to_micros(o.matures_at) for o in units], dtype=np.int64),
        unit=np.array([people[o.unit] for o in units], dtype=np.int64),
        dimension=np.array([dimensions.index(o.dimension) for o in units], dtype=np.int64),
        dimensions=dimensions,
    )


def measured(*people: list[Event], now: datetime = NOW, window: float = 365) -> Measured:
    """What the family and its measure say of some people."""
    events = [SHOWN, *(e for person in people for e in person)]
    return measure_time(sample(list(onboarding.observe(PlainEvents(events), ORGANISATION)), now, window))


def days(found: Measured, stat: str) -> float | None:
    """A statistic in days."""
    return None if stat not in found.stats else round(found.stats[stat] / DAY, 6)


# --- by hand -------------------------------------------------------------------------------------------------------


def test_those_on_the_way_count_as_not_there_yet() -> None:
    """Of four, three took 10, 20 and 30 days and one has been on the way for 15.

    Left on the way: after 10 days 3/4, after 20 days 3/4 · 1/2 = 3/8, so the median is 20; after 30 days 0: p75 is 30.
    """
    found = measured(joined(1, 60, 10), joined(2, 60, 20), joined(3, 60, 30), joined(4, 15, None))

    assert (found.n, found.pending, days(found, "p50"), days(found, "p75")) == (4, 1, 20.0, 30.0)


def test_a_leaver_counts_up_to_leaving() -> None:
    """The same with one who left after 15 days: at risk until then, and not on the way any more."""
    found = measured(joined(1, 60, 10), joined(2, 60, 20), joined(3, 60, 30), joined(4, 60, None, left_after=15))

    assert (found.n, found.pending, days(found, "p50"), days(found, "p75")) == (4, 0, 20.0, 30.0)


def test_nobody_there_yet_is_no_median() -> None:
    """Two on the way: no value, but their number."""
    found = measured(joined(1, 10, None), joined(2, 5, None))

    assert found == Measured(n=2, stats={}, pending=2)


def test_what_comes_later_is_not_known_yet() -> None:
    """Seen ten days after the start, an arrival on the twentieth day has not happened."""
    found = measured(joined(1, 60, 20), now=NOW - timedelta(days=50))

    assert found == Measured(n=1, stats={}, pending=1)


def test_a_leaver_of_tomorrow_is_on_the_way() -> None:
    """Who will leave in five days is still there."""
    assert measured(joined(1, 10, None, left_after=15)) == Measured(n=1, stats={}, pending=1)


def test_the_window_is_of_starts() -> None:
    """Who joined before the window is not in it, whenever they arrived."""
    assert measured(joined(1, 100, 95), joined(2, 50, 20), window=90).n == 1


def test_nobody_waits_for_longer_than_they_are_followed() -> None:
    """After a year somebody is not on the way any more, but was not there within it."""
    found = measured(joined(1, 400, None), joined(2, 400, 20), window=500)

    assert (found.n, found.pending, days(found, "p50")) == (2, 0, 20.0)


def test_who_is_left_out_is_not_at_risk() -> None:
    """A manager has no time."""
    manager = Member(
        source="hr",
        native_id="m",
        person="person:m",
        member_kind=MemberKind.HIRE,
        started_at=NOW - timedelta(days=9),
        codes=False,
    )

    assert measured([manager], joined(1, 60, 20)).n == 1


def test_each_site_has_its_own_days() -> None:
    """One of the two works Monday to Friday: fourteen days on the way are ten working days there.

    They were at risk for 10 days, the others for 11 and 12: after 11 days 1/2 is left, after 12 nobody. Counted as 14
    days they would have been at risk at 11 and 12 too, and the median 12.
    """
    weekdays = Organisation(calendars={"default": EVERY_DAY, "office": WorkCalendar()})
    member = Member(
        source="hr",
        native_id="o",
        person="person:o",
        member_kind=MemberKind.HIRE,
        started_at=NOW - timedelta(days=14),
        site="office",
    )
    events = [member, *joined(1, 60, 11), *joined(2, 60, 12)]
    units = sample(list(onboarding.observe(PlainEvents(events), weekdays)))
    found = measure_time(
        Sample(**{name: getattr(units, name) for name in Sample.__dataclass_fields__} | {"organisation": weekdays})
    )

    assert (found.n, days(found, "p50"), days(found, "p75")) == (3, 11.0, 12.0)


LATE = (1, 2, 3, 3, 4)
ARRIVED = (5, 9, 13, 16, 19, 21, 22.4, 24, 26, 27, 28, 29.5, 31)
STILL = (35, 38, 41, 44, 47, 50, 53, 56, 59, 62, 65, 68)


def test_completers_alone_are_biased() -> None:
    """30 recent hires, true median 30 days → completers alone say 22.4, Kaplan-Meier 31.0.

    Five joined 1 to 4 days ago, thirteen arrived, twelve are on the way for 35 days and more. Of the thirteen the
    seventh took 22.4 days. The five leave 25 at risk at the first arrival, and nobody else leaves before the last:
    12/25 were not there after 31 days, 13/25 before.
    """
    waiting = [joined(n, ago, None) for n, ago in enumerate((*LATE, *STILL))]
    found = measured(*waiting, *(joined(100 + n, 70, took) for n, took in enumerate(ARRIVED)))

    assert (found.n, found.pending, float(np.median(ARRIVED)), days(found, "p50")) == (30, 17, 22.4, 31.0)


# --- cohorts of which the truth is known ---------------------------------------------------------------------------


def cohort(seed: int, size: int, draw: Callable[[Random], float], lately: int = 90) -> list[list[Event]]:
    """People who joined within the last days, of whom those are known to have arrived who did so before now."""
    random = Random(seed)  # noqa: S311 - a cohort that is the same every time
    people = []
    for number in range(size):
        ago, took = random.randint(1, lately), draw(random)
        people.append(joined(number, ago, took if took <= ago else None))
    return people


def exponential(random: Random) -> float:
    """A time with a median of thirty days, most often short."""
    return random.expovariate(np.log(2) / TRUE_MEDIAN)


def lognormal(random: Random) -> float:
    """A time with a median of thirty days, most often about that."""
    return random.lognormvariate(np.log(TRUE_MEDIAN), 0.5)


def completers(people: list[list[Event]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How many days those took who arrived: what a report says that looks at nobody else."""
    pairs = [events for events in people if len(events) > 1]
    return np.array([(arrived.at - member.started_at) / timedelta(days=1) for member, arrived in pairs])  # type: ignore[attr-defined] # a member and a milestone


class Found(NamedTuple):
    """What is said of a cohort: by its measure, and by those alone who arrived."""

    low: float
    high: float
    median: float
    arrived: np.ndarray[tuple[int], np.dtype[np.float64]]


@cache
def of_cohorts(size: int, draw: Callable[[Random], float]) -> list[Found]:
    """What is said of 300 cohorts, worked out once."""
    found = []
    for seed in range(300):
        people = cohort(seed, size, draw)
        said = measured(*people)
        low, high, median = (days(said, stat) for stat in ("low", "high", "p50"))
        found.append(Found(low or 0.0, high or np.inf, median or np.nan, completers(people)))
    return found


@pytest.mark.parametrize(("size", "draw"), [(30, exponential), (60, exponential), (120, lognormal)])
def test_the_interval_holds_the_truth(size: int, draw: Callable[[Random], float]) -> None:
    """Of 300 cohorts with a true median of thirty days the 95 % interval holds it in about as many as it says.

    An end that is absent is no end. The interval of those who arrived fails the same check.
    """
    cohorts = of_cohorts(size, draw)
    held = sum(one.low <= TRUE_MEDIAN <= one.high for one in cohorts)
    naive = [median_interval(one.arrived) or (0.0, np.inf) for one in cohorts]

    assert held >= 0.93 * 300
    assert sum(low <= TRUE_MEDIAN <= high for low, high in naive) < 0.93 * 300


def test_the_median_is_not_biased() -> None:
    """The mean of 300 medians is thirty days within half a day; of those who arrived it is days less."""
    cohorts = of_cohorts(120, lognormal)
    naive = [float(np.median(one.arrived)) for one in cohorts]

    assert abs(float(np.nanmean([one.median for one in cohorts])) - TRUE_MEDIAN) < 0.5
    assert float(np.mean(naive)) < TRUE_MEDIAN - 3
