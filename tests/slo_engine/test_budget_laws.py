"""Laws of the error budget over histories of any kind, and an oracle that counts their events one by one.

Histories lie around the night of 29 March 2026, in which the clocks of Berlin lose an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.store import ObservationStore
from slo_engine.evaluate import Evaluator, evaluate
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Observation, Outcome, Subject
from slo_engine.reading import Reader
from slo_engine.slo import Budgeting, EventCounts, IndicatorSli, Slo, SloStatus
from slo_engine.slo_states import Conditions, finished
from slo_engine.snapshot import SloState
from slo_engine.windows import CalendarWindow, Window, parse_window

START = datetime(2026, 2, 26, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
BERLIN = "Europe/Berlin"
TARGET = Decimal("0.9")
SUCCESS = Indicator(
    name="success",
    version="1",
    title="Success",
    definition="Share that went well.",
    shape=Shape.RATIO,
    metric="platform_success",
)
INDICATORS = {"success": SUCCESS}
SOURCE = source_state("ci", last_success_at=START, last_run_at=START, last_duration_seconds=1.0, newest_event_at=START)


class Event(NamedTuple):
    """A unit: half hours after START, good or bad, of which service; when it matures, in half hours, if it waits."""

    at: int
    good: bool
    service: str
    matures_at: int | None

    @property
    def time(self) -> datetime:
        """When it happened."""
        return half_hours(self.at)


def half_hours(number: int) -> datetime:
    """So many half hours after START."""
    return START + number * HOUR / 2


def slo(name: str, window: Window | CalendarWindow, budgeting: Budgeting = "occurrences") -> Slo:
    """An SLO on all services: nine of ten."""
    return Slo(
        name=name,
        title=name,
        description="",
        owner_service="shop",
        target=TARGET,
        sla_target=Decimal("0.75"),
        window=window,
        sli=IndicatorSli(indicator="success"),
        budgeting=budgeting,
        slice=None if budgeting == "occurrences" else HOUR,
        slice_target=Decimal("0.6") if budgeting == "timeslices" else None,
        minimum_events=1,
        minimum_coverage=0.0,
    )


MONTH, WEEK = CalendarWindow("month", zone=BERLIN), parse_window("7d")
SLOS = [
    slo("rolling", WEEK),
    slo("long", parse_window("90d")),
    slo("day", CalendarWindow("day", zone=BERLIN)),
    slo("fortnight", CalendarWindow("week", 2, BERLIN, date(2026, 3, 2))),
    slo("month", MONTH),
    slo("quarter", CalendarWindow("quarter", zone=BERLIN)),
    slo("slices", WEEK, "timeslices"),
    slo("slices-of-month", MONTH, "timeslices"),
    slo("shares", WEEK, "ratio_timeslices"),
    slo("shares-of-day", CalendarWindow("day", zone="Asia/Kathmandu"), "ratio_timeslices"),
]
KINDS: tuple[Budgeting, ...] = ("occurrences", "timeslices", "ratio_timeslices")

_LAST = 2 * 24 * 60
_moments = st.integers(0, _LAST)
_events = st.lists(
    st.builds(Event, _moments, st.booleans(), st.sampled_from(["api", "web"]), st.none() | _moments),
    max_size=30,
    unique_by=lambda event: (event.at, event.service),
)
_final = _events.map(lambda events: [e._replace(matures_at=None) for e in events])
_exclusions = st.lists(
    st.builds(
        lambda start, length, weekly, name: Exclusion(
            reason=ExclusionReason.OTHER,
            author="shop",
            ticket="OPS-1",
            starts_at=half_hours(start),
            ends_at=half_hours(start + length),
            slo=name,
            zone=BERLIN if weekly else "",
            recurrence="FREQ=WEEKLY" if weekly else "",
        ),
        _moments,
        st.integers(1, 200),
        st.booleans(),
        st.sampled_from(["*", "rolling", "slices*", "*month"]),
    ),
    max_size=3,
)
_law = settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stored(put: Any, events: Sequence[Event], copies: int = 1) -> ObservationStore:
    """A store of events, each as often as asked for."""
    return put(  # type: ignore[no-any-return] # a fixture
        *(
            Observation(
                indicator="success",
                unit=f"{event.at}-{copy}",
                at=event.time,
                subject=Subject(event.service, "production"),
                source="ci",
                outcome=Outcome.GOOD if event.good else Outcome.BAD,
                matures_at=None if event.matures_at is None else half_hours(event.matures_at),
            )
            for event in events
            for copy in range(copies)
        )
    )


def states(store: ObservationStore, at: datetime, exclusions: Sequence[Exclusion] = ()) -> tuple[SloState, ...]:
    """The states of all SLOs, from nothing."""
    return evaluate(store, INDICATORS, SLOS, [SOURCE], at, exclusions=exclusions).slos


def over(store: ObservationStore, promise: Slo, at: datetime, most: int = 1) -> list[EventCounts]:
    """What was counted in finished windows, newest first."""
    conditions = Conditions(fresh=frozenset({"ci"}))
    return [f.counts for f in finished(promise, SUCCESS, Reader(store, at), conditions, BERLIN, most)]


# ---- the oracle


def counted(slo: Slo, events: Sequence[Event], exclusions: Sequence[Exclusion], at: datetime) -> tuple[Fraction, int]:
    """Good events or slices of an SLO's window, and all of them: each looked at, one by one."""
    final = [e for e in events if e.time <= at and (e.matures_at is None or half_hours(e.matures_at) <= at)]
    kept = [e for e in final if not any(x.concerns(slo) and holds(x, e.time) for x in exclusions)]
    if slo.budgeting == "occurrences":
        inside = [e for e in kept if in_window(slo.window, e.time, at, slices=False)]
        return Fraction(sum(e.good for e in inside)), len(inside)
    slices: dict[int, list[bool]] = {}
    for event in kept:
        slices.setdefault(int(event.time.timestamp()) // 3_600, []).append(event.good)
    ends = {hour: datetime.fromtimestamp((hour + 1) * 3_600, UTC) for hour in slices}
    shares = [
        Fraction(sum(own), len(own))
        for hour, own in slices.items()
        if ends[hour] <= at and in_window(slo.window, ends[hour], at, slices=True)
    ]
    if slo.budgeting == "timeslices":
        shares = [Fraction(share >= Fraction(3, 5)) for share in shares]
    return sum(shares, Fraction(0)), len(shares)


def in_window(window: Window | CalendarWindow, time: datetime, at: datetime, *, slices: bool) -> bool:
    """Rolling windows hold their end but not their start; those of the calendar their start, slices that began then."""
    if isinstance(window, Window):
        return at - window.length < time <= at
    start = window.bounds(at)[0]
    return start < time <= at if slices else start <= time <= at


def holds(exclusion: Exclusion, time: datetime) -> bool:
    """Whether an exclusion holds a time: each week by the clocks, where it recurs."""
    starts, ends = exclusion.starts_at, exclusion.ends_at
    if not exclusion.recurrence:
        return starts <= time < ends
    zone = MONTH._zone
    weeks = [timedelta(weeks=n) for n in range(10)]
    local = [(moved(starts, week, zone), moved(ends, week, zone)) for week in weeks]
    return any(start <= time < end for start, end in local)


def moved(at: datetime, by: timedelta, zone: Any) -> datetime:
    """A time so much later on the clocks of a zone."""
    wall = at.astimezone(zone).replace(tzinfo=None) + by
    return wall.replace(tzinfo=zone).astimezone(UTC)


# ---- the laws


@_law
@given(events=_events, exclusions=_exclusions, at=_moments)
def test_states_are_what_one_counts_by_hand(
    put: Any, events: list[Event], exclusions: list[Exclusion], at: int
) -> None:
    """For any history, exclusions and time: each SLO's counts, attainment and budget are those of the oracle."""
    found = states(stored(put, events), half_hours(at), exclusions)

    for state in found:
        good, total = counted(state.slo, events, exclusions, half_hours(at))
        counts = state.counts[state.slo.window.label]
        assert [counts.good, counts.total] == pytest.approx([float(good), total]), state.slo.name
        share = float(good / total) if total else None
        assert state.attainment == (share if share is None else pytest.approx(share))
        left = float(1 - (total - good) / (Fraction(1 - TARGET) * total)) if total else None
        assert state.budget_remaining == (left if left is None else pytest.approx(left))
        assert (state.status is SloStatus.INSUFFICIENT_DATA) == (total == 0)


@_law
@given(events=_events, exclusions=_exclusions, at=_moments)
def test_raw_counts_are_those_without_exclusions(
    put: Any, events: list[Event], exclusions: list[Exclusion], at: int
) -> None:
    """What stands beside adjusted counts is what would be counted if nothing was excluded; else there is nothing."""
    store = stored(put, events)
    free, adjusted = states(store, half_hours(at)), states(store, half_hours(at), exclusions)

    concerned = [any(e.concerns(slo) for e in exclusions) for slo in SLOS]

    assert [s.raw for s in adjusted] == [s.counts if own else {} for s, own in zip(free, concerned, strict=True)]


@_law
@given(
    several=st.lists(_events, min_size=3, max_size=3),
    exclusions=st.lists(_exclusions, min_size=3, max_size=3),
    times=st.lists(_moments, min_size=6, max_size=6).map(sorted),
)
def test_a_kept_evaluator_says_what_a_new_one_says(
    put: Any, several: list[list[Event]], exclusions: list[list[Exclusion]], times: list[int]
) -> None:
    """After any changes of units and exclusions, at any later times, what is kept changes no answer."""
    kept = Evaluator(stored(put, []))
    for number, at in enumerate(map(half_hours, times)):
        store, now = stored(put, several[number // 2]), exclusions[number // 2]
        kept.apply(put.changes)

        assert kept.evaluate(INDICATORS, SLOS, [SOURCE], at, exclusions=now).slos == states(store, at, now)


@_law
@given(events=_final, exclusions=_exclusions, at=_moments)
def test_excluding_is_as_if_there_had_never_been_such_units(
    put: Any, events: list[Event], exclusions: list[Exclusion], at: int
) -> None:
    """Counts, budgets and burn rates are those of a history without the excluded units."""
    everywhere = [replace(e, slo="*") for e in exclusions]
    without = [e for e in events if not any(holds(x, e.time) for x in everywhere)]

    adjusted = states(stored(put, events), half_hours(at), everywhere)
    never = states(stored(put, without), half_hours(at))

    assert [(s.counts, s.burn_rates, s.attainment, s.budget_remaining) for s in adjusted] == [
        (s.counts, s.burn_rates, s.attainment, s.budget_remaining) for s in never
    ]


@_law
@given(events=_events, order=st.randoms(use_true_random=False), at=_moments)
def test_the_order_of_units_changes_nothing(put: Any, events: list[Event], order: Any, at: int) -> None:
    """The same units, told in another order, are the same state."""
    before = states(stored(put, events), half_hours(at))
    order.shuffle(events)

    assert states(stored(put, events), half_hours(at)) == before


@_law
@given(events=_final, copies=st.integers(2, 4), at=_moments)
def test_more_of_the_same_changes_no_ratio(put: Any, events: list[Event], copies: int, at: int) -> None:
    """Each unit several times: the shares of good units and of budgets stay; events become more, slices do not."""
    once = states(stored(put, events), half_hours(at))
    often = states(stored(put, events, copies), half_hours(at))

    assert [(s.attainment, s.budget_remaining, s.sla_budget_remaining, s.burn_rates) for s in often] == [
        (s.attainment, s.budget_remaining, s.sla_budget_remaining, s.burn_rates) for s in once
    ]
    for one, several in zip(once, often, strict=True):
        times = copies if one.slo.budgeting == "occurrences" else 1
        label = one.slo.window.label
        assert several.counts[label].total == times * one.counts[label].total


@_law
@given(events=_final, kind=st.sampled_from(KINDS))
def test_a_split_month_adds_up(put: Any, events: list[Event], kind: Budgeting) -> None:
    """The days of March, one of them of 23 hours, hold together what March holds: events, slices, shares of slices."""
    april = datetime(2026, 4, 1, 12, tzinfo=UTC)
    store = stored(put, events)

    (march,) = over(store, slo("month", MONTH, kind), april)
    days = over(store, slo("day", CalendarWindow("day", zone=BERLIN), kind), april, most=31)

    assert sum(float(d.good) for d in days) == pytest.approx(float(march.good))
    assert sum(float(d.bad) for d in days) == pytest.approx(float(march.bad))


@_law
@given(events=_events, exclusions=_exclusions, at=_moments)
def test_budget_burn_and_attainment_are_one(
    put: Any, events: list[Event], exclusions: list[Exclusion], at: int
) -> None:
    """Of the window: what is left is 1 - burn rate, what is missed is burn rate times budget, for target and SLA."""
    for state in states(stored(put, events), half_hours(at), exclusions):
        burn = state.burn_rates.get(state.slo.window.label)
        values = (state.budget_remaining, state.attainment, state.sla_budget_remaining)
        expected = (None,) * 3 if burn is None else pytest.approx((1 - burn, 1 - burn * 0.1, 1 - burn * 0.1 / 0.25))
        assert values == expected
