"""SLOs at a time and over finished windows: calendar windows, exclusions, composites, promises to others.

Every expected count was made by hand from the times of the events.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from source_states import source_state

from collector.store import ObservationStore
from slo_engine.burn import Tier
from slo_engine.evaluate import Evaluator, evaluate
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.exposition import slo_samples
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Observation, Outcome, Reason, Subject
from slo_engine.promql import CounterRatio
from slo_engine.reading import Reader
from slo_engine.slo import Composite, EventCounts, IndicatorSli, Operator, Part, Slo, SloStatus
from slo_engine.slo_states import Conditions, Finished, finished, states_of
from slo_engine.snapshot import SloState, SourceState
from slo_engine.windows import CalendarWindow, parse_window

BERLIN = "Europe/Berlin"
MONTH = CalendarWindow("month", zone=BERLIN)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
API = Subject("api", "production")
SUCCESS = Indicator(
    name="success",
    version="1",
    title="Success",
    definition="Share that went well.",
    shape=Shape.RATIO,
    metric="platform_success",
)
WAIT = replace(SUCCESS, name="wait", shape=Shape.DURATION, metric="platform_wait")
INDICATORS = {"success": SUCCESS}
TIER = Tier(
    name="page",
    severity="page",
    budget_share=Decimal("0.02"),
    long=parse_window("1h"),
    short=parse_window("5m"),
    minimum_bad_events=2,
)


def utc(text: str) -> datetime:
    """A time from text; in UTC unless it says another offset."""
    return datetime.fromisoformat(text).astimezone(UTC)


def berlin(text: str) -> datetime:
    """A wall time of Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN))


def event(at: datetime, *, good: bool = True, **fields: Any) -> Observation:
    """A unit that succeeded or not."""
    known: dict[str, Any] = {"indicator": "success", "unit": f"{at}", "at": at, "subject": API, "source": "ci"}
    return Observation(**known | {"outcome": Outcome.GOOD if good else Outcome.BAD} | fields)


def several(first: datetime, good: int, bad: int = 0, **fields: Any) -> list[Observation]:
    """Units a microsecond apart: the good ones, then the bad ones."""
    step = timedelta(microseconds=1)
    return [event(first + n * step, good=n < good, **fields) for n in range(good + bad)]


def slo(**fields: Any) -> Slo:
    """An SLO: nine of ten units in a week, from one unit on, however young it is."""
    known: dict[str, Any] = {"name": "works", "title": "Works", "description": "", "owner_service": "shop"}
    known |= {"target": Decimal("0.9"), "window": parse_window("7d"), "sli": IndicatorSli(indicator="success")}
    return Slo(**known | {"minimum_events": 1, "minimum_coverage": 0.0} | fields)


def of_service(name: str, **fields: Any) -> Slo:
    """An SLO on the units of the service of its name."""
    return slo(name=name, sli=IndicatorSli(indicator="success", service=name), **fields)


def composite(*weights: tuple[str, str], **fields: Any) -> Slo:
    """A composite of SLOs by name and weight."""
    parts = tuple(Part(slo=name, weight=Decimal(weight)) for name, weight in weights)
    return slo(name="whole", sli=Composite(parts=parts), **fields)


def excluding(starts_at: datetime, ends_at: datetime, **fields: Any) -> Exclusion:
    """An exclusion for the SLO `works`."""
    known: dict[str, Any] = {"reason": ExclusionReason.MAINTENANCE, "author": "platform", "ticket": "OPS-1"}
    return Exclusion(**known | {"starts_at": starts_at, "ends_at": ends_at, "slo": "works"} | fields)


def source(name: str = "ci", *, fresh: bool = True) -> SourceState:
    """A source, fresh or not."""
    return source_state(name, fresh=fresh)


def states(store: ObservationStore, slos: Sequence[Slo], at: datetime, **fields: Any) -> dict[str, SloState]:
    """The states of SLOs by name; all sources are fresh unless told otherwise."""
    sources = fields.pop("sources", [source()])
    found = evaluate(store, INDICATORS, slos, sources, at, **fields).slos
    assert [s.slo for s in found] == list(slos)
    return {s.slo.name: s for s in found}


def state(store: ObservationStore, promise: Slo, at: datetime, **fields: Any) -> SloState:
    """The state of one SLO."""
    return states(store, [promise], at, **fields)[promise.name]


def over(store: ObservationStore, promise: Slo, at: datetime, **fields: Any) -> list[Finished]:
    """The finished windows of an SLO, newest first."""
    known: dict[str, Any] = {"fresh": frozenset({"ci"})}
    known |= {name: fields.pop(name) for name in ("fresh", "exclusions") if name in fields}
    return finished(promise, SUCCESS, Reader(store, at), Conditions(**known), BERLIN, **fields)


# --- windows of the calendar ------------------------------------------------------------------------------


def test_a_month_holds_its_first_moment_and_nothing_before(put: Any) -> None:
    """March begins in Berlin when it is 23:00 in UTC: the unit of that moment is March's, the one before February's."""
    store = put(
        event(utc("2026-02-28T22:59:59.999999+00:00")),
        event(utc("2026-02-28T23:00:00+00:00"), good=False),
        event(utc("2026-03-10T12:00:00+00:00")),
    )

    assert state(store, slo(window=MONTH), utc("2026-03-10T12:00:00+00:00")).counts["month"] == EventCounts(1, 1)


def test_a_month_ends_on_the_clocks_of_its_zone(put: Any) -> None:
    """The last hour of March is that before midnight in summer time; then April has no unit yet."""
    store = put(event(berlin("2026-03-31T23:59:59")))
    last, next_month = berlin("2026-03-31T23:59:59.999999"), berlin("2026-04-01T00:00:00")

    assert state(store, slo(window=MONTH), last).counts["month"] == EventCounts(1, 0)
    assert state(store, slo(window=MONTH), next_month).counts["month"] == EventCounts(0, 0)


@pytest.mark.parametrize(
    ("window", "first"),
    [
        (CalendarWindow("day", zone=BERLIN), "2026-05-20T00:00:00+02:00"),
        (CalendarWindow("week", zone=BERLIN), "2026-05-18T00:00:00+02:00"),
        (CalendarWindow("week", 2, BERLIN, date(2026, 5, 11)), "2026-05-11T00:00:00+02:00"),
        (CalendarWindow("quarter", zone=BERLIN), "2026-04-01T00:00:00+02:00"),
        (CalendarWindow("year", zone=BERLIN), "2026-01-01T00:00:00+01:00"),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_each_unit_of_the_calendar_counts_from_its_first_moment(put: Any, window: CalendarWindow, first: str) -> None:
    """A day, a week, a fortnight, a quarter and a year: the units from local midnight on."""
    store = put(event(utc(first) - timedelta(microseconds=1)), *several(utc(first), good=2, bad=1))

    found = state(store, slo(window=window), utc("2026-05-20T15:00:00+00:00"))

    assert found.counts[window.label] == EventCounts(2, 1)


def test_rolling_windows_stand_beside_the_calendar_s(put: Any) -> None:
    """Burn rates are of rolling windows, whatever window the budget has."""
    store = put(event(berlin("2026-03-31T22:00"), good=False), event(berlin("2026-04-01T01:00")))

    found = state(store, slo(window=MONTH), berlin("2026-04-01T02:00"))

    assert (found.counts["month"], found.counts["1d"]) == (EventCounts(1, 0), EventCounts(1, 1))
    assert found.burn_rates["1d"] == 5.0
    assert found.budget_remaining == 1.0


def test_a_month_lasts_as_long_as_its_clocks_say(put: Any) -> None:
    """March in Berlin has 743 hours: half of the budget, burnt at 2.5, lasts 148.6 of them."""
    at = berlin("2026-03-20T12:00")
    store = put(*several(at - HOUR, good=3, bad=1), *several(at - 10 * DAY, good=16), event(at - 30 * DAY))

    found = state(store, slo(window=MONTH), at)

    assert (found.budget_remaining, found.burn_rates["3d"]) == (0.5, 2.5)
    assert found.time_to_exhaustion_seconds == pytest.approx(0.5 * 743 * 3_600 / 2.5)


def test_the_coverage_of_a_month_is_of_its_days_so_far(put: Any) -> None:
    """First seen on the 11th: at the end of the 20th half of the month so far is known, and that is too little."""
    store = put(event(berlin("2026-01-11T00:00")), event(berlin("2026-01-20T00:00")))

    found = state(store, slo(window=MONTH, minimum_coverage=0.9), berlin("2026-01-21T00:00"))

    assert (found.coverage, found.status) == (0.5, SloStatus.INSUFFICIENT_DATA)
    assert found.why == "events are known for 50% of month only"


def test_a_new_month_of_an_old_slo_is_covered_from_its_first_moment(put: Any) -> None:
    """What is known for longer than the month is known for all of it, from local midnight on."""
    store = put(event(berlin("2026-01-11T00:00")), event(berlin("2026-02-01T00:00")))

    assert state(store, slo(window=MONTH), berlin("2026-02-01T00:00")).coverage == 1.0
    assert state(store, slo(window=MONTH), berlin("2026-02-01T00:01")).coverage == 1.0


@pytest.mark.parametrize("later", [timedelta(0), timedelta(microseconds=1), timedelta(minutes=1), DAY])
def test_a_kept_evaluator_turns_the_month_at_local_midnight(put: Any, later: timedelta) -> None:
    """What it knew of March ends with March: it says what a new one says, at midnight and after."""
    midnight = berlin("2026-04-01T00:00")
    store = put(event(midnight - 40 * DAY), *several(midnight - HOUR, good=8, bad=2), event(midnight))
    kept = Evaluator(store)
    times = (midnight - timedelta(microseconds=1), midnight, midnight + later)

    before, _, after = (kept.evaluate(INDICATORS, [slo(window=MONTH)], [source()], at).slos[0] for at in times)

    assert before.counts["month"] == EventCounts(8, 2)
    assert after.counts["month"] == EventCounts(1, 0)
    assert after == state(store, slo(window=MONTH), midnight + later)


def test_the_coverage_of_a_young_slo_grows(put: Any) -> None:
    """Seen for the first time just now: nothing is covered yet, and a minute later something is."""
    at = utc("2026-03-10T12:00+00:00")
    kept = Evaluator(put(event(at)))

    first, second = (
        kept.evaluate(INDICATORS, [slo()], [source()], at + later).slos[0].coverage
        for later in (timedelta(0), timedelta(minutes=1))
    )

    assert [first, second] == pytest.approx([0.0, 1 / (7 * 24 * 60)])


@pytest.mark.parametrize("threshold", [None, 60.0])
def test_many_series_together_count_as_each_alone(put: Any, threshold: float | None) -> None:
    """Of twelve services, each with an SLO of its own beside that of all: also of units that wait, or are to come."""
    draw = random.Random(1)  # noqa: S311 - the same units each time
    services, units = [f"s{n}" for n in range(12)], []
    for number, service in enumerate(services[1:] * 30):
        at = NOON - timedelta(seconds=draw.choice((-300, 0, 60, 4_000, 90_000, 700_000, 9_000_000)) + draw.random())
        outcome = draw.choice((Outcome.GOOD, Outcome.BAD, Outcome.EXCLUDED, Outcome.PENDING))
        known: dict[str, Any] = {"unit": str(number), "subject": Subject(service, "production"), "outcome": outcome}
        known |= {"matures_at": at + draw.choice((-1, 1, 3)) * HOUR} if draw.random() < 0.2 else {}
        if threshold is not None:
            measured = outcome in {Outcome.GOOD, Outcome.BAD} and draw.random() < 0.9
            known |= {"indicator": "wait", "outcome": Outcome.MEASURED if measured else outcome}
            known |= {"value": draw.choice((1.0, 60.0, 61.0, None))} if measured else {}
        units.append(event(at, **known))
    store = put(*units)
    operator = None if threshold is None else Operator.LTE
    name = "success" if threshold is None else "wait"
    sli = IndicatorSli(indicator=name, operator=operator, threshold=threshold)
    slos = [slo(name="all", sli=sli), *(slo(name=s, sli=replace(sli, service=s)) for s in services)]
    kept, known_as = Evaluator(store), {"success": SUCCESS, "wait": WAIT}

    for minutes in (0, 3, 5, 61, 119, 181, 10_000):
        at = NOON + timedelta(minutes=minutes)
        found = {s.slo.name: s for s in kept.evaluate(known_as, slos, [source()], at).slos}
        fresh = {s.slo.name: s for s in evaluate(store, known_as, slos, [source()], at).slos}

        assert found == fresh
        whole, each = found["all"], [found[service] for service in services]
        for window, counts in whole.counts.items():
            assert counts.good == sum(s.counts[window].good for s in each)
            assert counts.bad == sum(s.counts[window].bad for s in each)
        assert whole.totals == EventCounts(
            sum(s.totals.good for s in each if s.totals), sum(s.totals.bad for s in each if s.totals)
        )


def test_other_tiers_are_looked_at_anew(put: Any) -> None:
    """An alert that is active because its tiers changed puts the SLO at risk at once."""
    at = utc("2026-03-10T12:00+00:00")
    promise = slo(alert_class="rate")
    kept = Evaluator(
        put(*several(at - DAY * 5, good=96), *several(at - timedelta(minutes=1), good=0, bad=4), event(at - 9 * DAY))
    )

    without, with_tiers = (
        kept.evaluate(INDICATORS, [promise], [source()], at, tiers).slos[0].status for tiers in ((), (TIER,))
    )

    assert (without, with_tiers) == (SloStatus.HEALTHY, SloStatus.AT_RISK)


# --- exclusions -------------------------------------------------------------------------------------------

NOON = utc("2026-03-10T12:00+00:00")


def test_an_exclusion_drops_both_sides_and_raw_stands_beside(put: Any) -> None:
    """Six bad and four good units of an excluded hour are in no count; raw counts keep them."""
    store = put(*several(NOON - 5 * HOUR, good=4, bad=6), *several(NOON - HOUR, good=19, bad=1))

    found = state(store, slo(), NOON, exclusions=[excluding(NOON - 6 * HOUR, NOON - 4 * HOUR)])

    assert (found.counts["7d"], found.raw["7d"]) == (EventCounts(19, 1), EventCounts(23, 7))
    assert found.attained == "95.0% (raw 76.7%)"
    assert (found.attainment, found.budget_remaining, found.budget_remaining_events) == (0.95, 0.5, 1.0)
    assert (found.status, found.burn_rates["1d"]) == (SloStatus.HEALTHY, 0.5)


def test_overlapping_exclusions_count_once(put: Any) -> None:
    """Two exclusions of the same hour take its units away once."""
    store = put(*several(NOON - 5 * HOUR, good=4, bad=6), event(NOON - HOUR))
    twice = [excluding(NOON - 6 * HOUR, NOON - 4 * HOUR), excluding(NOON - 5 * HOUR, NOON - 3 * HOUR)]

    found = state(store, slo(), NOON, exclusions=twice)

    assert (found.counts["7d"], found.raw["7d"]) == (EventCounts(1, 0), EventCounts(5, 6))


def test_an_exclusion_holds_its_start_but_not_its_end(put: Any) -> None:
    """The unit at which it begins is excluded, the one at which it ends counts again."""
    start, end = NOON - 6 * HOUR, NOON - 4 * HOUR
    store = put(event(start - timedelta(microseconds=1)), event(start, good=False), event(end))

    assert state(store, slo(), NOON, exclusions=[excluding(start, end)]).counts["7d"] == EventCounts(2, 0)


def test_a_recurring_exclusion_follows_the_clocks(put: Any) -> None:
    """From 22:00 to 06:00 each Saturday: in the night of the change it ends at 04:00 UTC, a week before at 05:00."""
    weekly = excluding(
        berlin("2026-03-21T22:00"), berlin("2026-03-22T06:00"), zone=BERLIN, recurrence="FREQ=WEEKLY;BYDAY=SA"
    )
    nights = ("2026-03-22T04:30+00:00", "2026-03-29T03:30+00:00", "2026-03-29T04:30+00:00")
    store = put(*(event(utc(night), good=False) for night in nights), event(utc("2026-03-22T05:30+00:00")))

    found = state(store, slo(window=MONTH), utc("2026-03-30T12:00+00:00"), exclusions=[weekly])

    assert (found.counts["month"], found.raw["month"]) == (EventCounts(1, 1), EventCounts(1, 3))


def test_excluding_everything_leaves_nothing_to_say(put: Any) -> None:
    """Without a unit that counts the state is unknown, neither green nor red; raw counts stay."""
    store = put(*several(NOON - HOUR, good=18, bad=2))

    found = state(store, slo(), NOON, exclusions=[excluding(NOON - 8 * DAY, NOON + DAY)])

    assert (found.status, found.counts["7d"]) == (SloStatus.INSUFFICIENT_DATA, EventCounts(0, 0))
    assert (found.attainment, found.budget_remaining, found.budget_remaining_events) == (None, None, None)
    assert (found.burn_rates, found.raw["7d"]) == ({}, EventCounts(18, 2))


@pytest.mark.parametrize(
    "other", [excluding(NOON - DAY, NOON, slo="works-too"), excluding(NOON - DAY, NOON, slo="", service="bank")]
)
def test_an_exclusion_of_another_slo_changes_nothing(put: Any, other: Exclusion) -> None:
    """Whatever is excluded elsewhere, the state is the same, and nothing stands beside it."""
    store = put(*several(NOON - HOUR, good=18, bad=2))

    assert state(store, slo(), NOON, exclusions=[other]) == state(store, slo(), NOON)


def test_two_slos_on_the_same_units_are_excluded_apart(put: Any) -> None:
    """An exclusion of one SLO leaves another one on the very same units alone."""
    store = put(*several(NOON - HOUR, good=18, bad=2))

    found = states(store, [slo(), slo(name="other")], NOON, exclusions=[excluding(NOON - DAY, NOON)])

    assert [found[name].counts["7d"].total for name in ("works", "other")] == [0, 20]


def test_what_is_excluded_stays_in_the_counter(put: Any) -> None:
    """A counter must not fall when somebody excludes a night: it keeps what was seen."""
    store = put(*several(NOON - HOUR, good=18, bad=2))

    found = state(store, slo(), NOON, exclusions=[excluding(NOON - DAY, NOON)])

    assert found.totals == EventCounts(18, 2)


def unknown(at: datetime, **fields: Any) -> Observation:
    """A unit of which nobody knows whether it was good."""
    return event(at, outcome=Outcome.EXCLUDED, reason=Reason.UNKNOWN, **fields)


def test_units_that_are_unknown_lower_the_coverage(put: Any) -> None:
    """A prober that is dead leaves units that are neither up nor down: of ten in the window six are known."""
    known = several(NOON - 8 * DAY, 1) + several(NOON - 3 * DAY, 6)
    store = put(*known, *(unknown(NOON - DAY - n * HOUR) for n in range(4)), unknown(NOON - 9 * DAY))

    found = state(store, slo(minimum_coverage=0.9), NOON)

    assert (found.coverage, found.status) == (0.6, SloStatus.INSUFFICIENT_DATA)


def test_unknown_units_leave_the_window(put: Any) -> None:
    """A gap counts as long as it is in the window, also where nothing else is told meanwhile."""
    store = put(*several(NOON - 8 * DAY, 1), *several(NOON - DAY, 3), unknown(NOON - 6 * DAY))
    kept = Evaluator(store)
    before, after = (
        kept.evaluate(INDICATORS, [slo()], [source()], at).slos[0].coverage for at in (NOON, NOON + 2 * DAY)
    )

    assert (before, after) == (0.75, 1.0)


def test_what_is_excluded_need_not_be_known(put: Any) -> None:
    """A gap within an excluded time is no gap: both sides of the ratio drop it."""
    store = put(*several(NOON - 8 * DAY, 1), *several(NOON - DAY, 3), unknown(NOON - 3 * DAY))

    found = state(store, slo(), NOON, exclusions=[excluding(NOON - 4 * DAY, NOON - 2 * DAY)])

    assert found.coverage == 1.0


def test_a_finished_window_says_how_much_of_it_was_known(put: Any) -> None:
    """In a month with half of its units unknown nobody can say whether the target was met."""
    march = utc("2026-03-10T12:00")
    store = put(*several(march - 60 * DAY, 1), *several(march, 2), unknown(march + DAY), unknown(march + 2 * DAY))

    (found,) = over(store, slo(minimum_coverage=0.9), berlin("2026-04-15T12:00"), most=1)

    assert (found.met, found.counts.total) == (None, 2)


def test_an_exclusion_leaves_the_coverage_alone(put: Any) -> None:
    """The units before it were known, so the window is covered although its beginning is excluded."""
    store = put(event(NOON - 9 * DAY), event(NOON - HOUR))

    found = state(store, slo(minimum_coverage=1.0), NOON, exclusions=[excluding(NOON - 10 * DAY, NOON - DAY)])

    assert (found.coverage, found.status) == (1.0, SloStatus.HEALTHY)


def test_a_kept_evaluator_hears_of_a_new_exclusion(put: Any) -> None:
    """Excluded afterwards, a bad hour is forgiven at the next evaluation, and comes back when the exclusion goes."""
    kept = Evaluator(put(*several(NOON - HOUR, good=1, bad=1)))
    asked = ((), (excluding(NOON - DAY, NOON),), ())

    found = [kept.evaluate(INDICATORS, [slo()], [source()], NOON, exclusions=e).slos[0].counts["7d"] for e in asked]

    assert found == [EventCounts(1, 1), EventCounts(0, 0), EventCounts(1, 1)]


# --- promises to others -----------------------------------------------------------------------------------


def test_an_sla_has_a_budget_of_its_own(put: Any) -> None:
    """Two bad of a hundred: the target of 99 % is missed twice over, of the 95 % that were promised 60 % are left."""
    store = put(*several(NOON - HOUR, good=98, bad=2))

    found = state(store, slo(target=Decimal("0.99"), sla_target=Decimal("0.95")), NOON)

    assert (found.attainment, found.budget_remaining, found.sla_budget_remaining) == (0.98, -1.0, 0.6)
    assert found.status is SloStatus.EXHAUSTED


def test_without_units_an_sla_has_no_budget_either(put: Any) -> None:
    """No unit, no budget: absent, not 100 %."""
    found = state(put(event(NOON - 20 * DAY)), slo(sla_target=Decimal("0.95")), NOON)

    assert found.sla_budget_remaining is None


# --- composites -------------------------------------------------------------------------------------------


def shop(good: int, bad: int, at: datetime = NOON - HOUR) -> list[Observation]:
    """Units of the shop."""
    return several(at, good, bad, subject=Subject("shop", "production"))


def bank(good: int, bad: int, at: datetime = NOON - HOUR) -> list[Observation]:
    """Units of the bank, from a source of its own."""
    return several(at, good, bad, subject=Subject("bank", "production"), source="bank-ci")


BOTH = [source(), source("bank-ci")]


def test_a_composite_burns_at_the_mean_of_its_parts_by_weight(put: Any) -> None:
    """Burn 0.5 with weight 3 and 1.5 with weight 1 are 0.75, however many units each has."""
    whole = composite(("shop", "3"), ("bank", "1"))
    store = put(*shop(950, 50), *bank(17, 3))

    found = states(store, [whole, of_service("shop"), of_service("bank")], NOON, sources=BOTH)["whole"]

    assert (found.burn_rates["7d"], found.burn_rates["1d"]) == (0.75, 0.75)
    assert [found.budget_remaining, found.attainment] == pytest.approx([0.25, 0.925])
    assert (found.status, found.counts, found.totals) == (SloStatus.HEALTHY, {}, None)


def test_a_composite_whose_budget_is_just_used_up_is_exhausted(put: Any) -> None:
    """Burns of 1.9 and 0.1 weigh alike: exactly nothing is left, whatever floats make of it."""
    whole = composite(("shop", "3"), ("bank", "3"))
    store = put(*shop(81, 19), *bank(99, 1))

    found = states(store, [of_service("shop"), of_service("bank"), whole], NOON, sources=BOTH)["whole"]

    assert (found.budget_remaining, found.status) == (0.0, SloStatus.EXHAUSTED)


@pytest.mark.parametrize(
    ("bad", "status"), [((6, 7, 8), SloStatus.EXHAUSTED), ((6, 7, 7), SloStatus.AT_RISK)], ids=["all", "less"]
)
def test_sevenths_add_up_exactly(put: Any, bad: tuple[int, int, int], status: SloStatus) -> None:
    """Of three times 70 units 21 may be bad, by parts 6/7, 7/7 and 8/7 of a budget: with one fewer some is left."""
    names = ("a", "b", "c")
    units = [several(NOON - HOUR, 70 - n, n, subject=Subject(name)) for name, n in zip(names, bad, strict=True)]
    whole = composite(*((name, "1") for name in names))

    found = states(put(*units[0], *units[1], *units[2]), [*map(of_service, names), whole], NOON)

    assert found["whole"].status is status


def test_a_part_without_events_in_a_window_has_no_weight_there(put: Any) -> None:
    """In the last hour only the shop had units: the composite's burn rate there is the shop's."""
    whole = composite(("shop", "1"), ("bank", "1"))
    store = put(*shop(95, 5, NOON - timedelta(minutes=10)), *bank(20, 0, NOON - DAY * 2))

    found = states(store, [of_service("shop"), of_service("bank"), whole], NOON, sources=BOTH)["whole"]

    assert (found.burn_rates["1h"], found.burn_rates["7d"]) == (0.5, 0.25)
    assert "5m" not in found.burn_rates


@pytest.mark.parametrize(
    ("bank_units", "sources", "why"),
    [
        ((0, 0), BOTH, "bank: 0 events in 7d, at least 1 are needed"),
        ((20, 0), [source(), source("bank-ci", fresh=False)], "bank: no recent success of bank-ci"),
    ],
    ids=["without events", "stale"],
)
def test_a_composite_is_unknown_where_a_part_is(
    put: Any, bank_units: tuple[int, int], sources: list[SourceState], why: str
) -> None:
    """A part without units or with a stale source: nothing is said of the whole but which part, and why."""
    whole = composite(("shop", "1"), ("bank", "1"))
    store = put(*shop(20, 0), *bank(*bank_units))

    found = states(store, [of_service("shop"), of_service("bank"), whole], NOON, sources=sources)["whole"]

    assert (found.status, found.why) == (SloStatus.INSUFFICIENT_DATA, why)
    assert (found.burn_rates, found.budget_remaining, found.attainment) == ({}, None, None)


def measured() -> Slo:
    """An SLO that Prometheus measures."""
    sli = CounterRatio(total_query="asked_total", bad_query='asked_total{code="500"}')
    return slo(name="answers", sli=sli, sla_target=Decimal("0.8"))


def test_a_composite_with_a_part_of_prometheus_is_left_to_prometheus(put: Any) -> None:
    """Half of what it rests on is not known here: no budget is made up from the other half."""
    whole = composite(("shop", "1"), ("answers", "1"))

    found = states(put(*shop(20, 0)), [of_service("shop"), measured(), whole], NOON)["whole"]

    assert (found.status, found.budget_remaining) == (SloStatus.INSUFFICIENT_DATA, None)
    assert found.why == "answers: measured by Prometheus, whose rules know its state"


def test_a_composite_takes_exclusions_from_its_parts(put: Any) -> None:
    """What is excluded of a part is in no burn rate of the whole."""
    whole = composite(("shop", "1"))
    store = put(*shop(0, 10, NOON - 5 * HOUR), *shop(19, 1))
    outage = excluding(NOON - 6 * HOUR, NOON - 4 * HOUR, slo="shop")

    found = states(store, [of_service("shop"), whole], NOON, exclusions=[outage])["whole"]

    assert found.budget_remaining == 0.5


def test_a_composite_has_a_budget_for_its_sla(put: Any) -> None:
    """It attains 95 %: half of the budget of 90 % is left, and three quarters of that of 80 %."""
    whole = composite(("shop", "1"), sla_target=Decimal("0.8"))

    found = states(put(*shop(19, 1)), [of_service("shop"), whole], NOON)["whole"]

    assert (found.budget_remaining, found.sla_budget_remaining) == (0.5, 0.75)


def test_the_month_of_a_composite_lasts_as_long_as_its_clocks_say(put: Any) -> None:
    """Its budget of March ends when those of its parts do: 743 hours, half of them left, burnt at 0.5."""
    whole = composite(("shop", "1"), window=MONTH)

    found = states(put(*shop(19, 1)), [of_service("shop", window=MONTH), whole], NOON)

    assert found["whole"].time_to_exhaustion_seconds == 743 * 3_600
    assert found["shop"].time_to_exhaustion_seconds == 743 * 3_600


def test_a_burning_composite_is_at_risk(put: Any) -> None:
    """A burn-rate tier that fires puts a composite at risk as it does any other SLO."""
    parts = [of_service("shop"), of_service("bank")]
    whole = composite(("shop", "1"), ("bank", "1"), alert_class="rate")
    early = NOON - 5 * DAY
    store = put(*shop(96, 0, early), *bank(96, 0, early), *shop(0, 4, NOON - timedelta(minutes=1)))

    quiet, burning = (states(store, [*parts, whole], NOON, sources=BOTH, tiers=t)["whole"] for t in ((), (TIER,)))

    assert (quiet.status, burning.status) == (SloStatus.HEALTHY, SloStatus.AT_RISK)
    assert burning.why == "a burn-rate alert is active"


# --- SLOs that Prometheus measures ------------------------------------------------------------------------


def test_of_an_slo_of_prometheus_only_its_definition_is_published(put: Any) -> None:
    """Its rules work out the rest: objectives, period and minima, and no status that would say who counts it."""
    snapshot = evaluate(put(), INDICATORS, [measured()], [source()], NOON)

    assert [metric.name for metric, _, _ in slo_samples(snapshot)] == [
        "platform_slo_info",
        "platform_slo_objective_ratio",
        "platform_slo_sla_objective_ratio",
        "platform_slo_period_seconds",
        "platform_slo_minimum_events",
        "platform_slo_minimum_coverage_ratio",
    ]


def test_an_slo_of_prometheus_has_no_numbers_here(put: Any) -> None:
    """Its state says who knows it, and shows neither a count nor a budget."""
    found = state(put(*shop(20, 0)), measured(), NOON)

    assert (found.status, found.why) == (
        SloStatus.INSUFFICIENT_DATA,
        "measured by Prometheus, whose rules know its state",
    )
    assert (found.counts, found.raw, found.totals, found.attainment) == ({}, {}, None, None)


def test_states_alone_are_those_of_the_snapshot(put: Any) -> None:
    """A report that asks for the states gets what the service shows, for every kind and in their order."""
    whole = composite(("shop", "1"), ("bank", "2"))
    slos = [whole, of_service("shop"), measured(), of_service("bank", window=MONTH)]
    store = put(*shop(18, 2), *bank(19, 1))
    conditions = Conditions(fresh=frozenset({"ci", "bank-ci"}))

    found = states_of(slos, INDICATORS, Reader(store, NOON), conditions)

    assert found == evaluate(store, INDICATORS, slos, BOTH, NOON).slos


# --- windows that are over --------------------------------------------------------------------------------


def test_did_we_meet_march(put: Any) -> None:
    """Of each month its bounds, counts, attainment, and whether the target was met: just met is met."""
    store = put(
        event(berlin("2025-12-31T23:00")),
        *several(berlin("2026-01-31T23:00"), good=8, bad=2),
        *several(berlin("2026-02-01T00:00"), good=9, bad=1),
        *several(berlin("2026-03-31T23:59"), good=10),
        event(berlin("2026-04-01T00:00"), good=False),
    )

    found = over(store, slo(), berlin("2026-04-15T12:00"), most=3)

    assert [(f.counts, f.attainment, f.met) for f in found] == [
        (EventCounts(10, 0), 1.0, True),
        (EventCounts(9, 1), 0.9, True),
        (EventCounts(8, 2), 0.8, False),
    ]
    assert [(f.start, f.end) for f in found[:1]] == [(berlin("2026-03-01T00:00"), berlin("2026-04-01T00:00"))]
    assert [f.budget_remaining for f in found] == [1.0, 0.0, -1.0]


def test_an_slo_with_a_calendar_window_has_its_own(put: Any) -> None:
    """A quarterly budget is judged by quarter, in the zone of the SLO."""
    promise = slo(window=CalendarWindow("quarter", zone="America/New_York"))

    (found,) = over(put(event(utc("2026-01-01T04:59+00:00"))), promise, utc("2026-02-01T00:00+00:00"), most=1)

    assert (found.start, found.end) == (utc("2025-10-01T04:00+00:00"), utc("2026-01-01T05:00+00:00"))
    assert found.counts == EventCounts(1, 0)


def test_a_window_with_too_few_events_is_not_judged(put: Any) -> None:
    """One bad unit is no evidence where two are needed: neither met nor missed, and it says why."""
    store = put(event(berlin("2026-01-01T00:00")), event(berlin("2026-03-05T00:00"), good=False))

    (found,) = over(store, slo(minimum_events=2), berlin("2026-04-15T12:00"), most=1)

    assert (found.met, found.why) == (None, "1 event in month, at least 2 are needed")


def test_the_month_in_which_an_slo_began_is_not_judged(put: Any) -> None:
    """Seen first on the 16th of April, a month of 30 days: half of it is known, and nothing is said."""
    store = put(*several(utc("2026-04-16T00:00+00:00"), good=20))
    promise = slo(window=CalendarWindow("month"), minimum_coverage=0.9)

    april, march = over(store, promise, utc("2026-05-02T00:00+00:00"), most=2)

    assert (april.met, april.why, april.counts) == (
        None,
        "events are known for 50% of month only",
        EventCounts(20, 0),
    )
    assert (march.met, march.attainment, march.budget_remaining) == (None, None, None)


def test_what_was_known_before_the_oldest_month_covers_it(put: Any) -> None:
    """A quiet beginning of the oldest month that is asked for does not make an old SLO young."""
    store = put(event(berlin("2025-06-01T12:00")), *several(berlin("2026-03-25T12:00"), good=20))

    (found,) = over(store, slo(minimum_coverage=0.9), berlin("2026-04-15T12:00"), most=1)

    assert (found.met, found.why) == (True, "")


def test_a_stale_source_leaves_finished_windows_open(put: Any) -> None:
    """What the source has not told yet may lie in March."""
    store = put(event(berlin("2026-01-01T00:00")), *several(berlin("2026-03-05T00:00"), good=20))

    (found,) = over(store, slo(), berlin("2026-04-15T12:00"), most=1, fresh=frozenset())

    assert (found.met, found.why) == (None, "no recent success of ci")


def test_finished_windows_are_given_raw_and_adjusted(put: Any) -> None:
    """Without the excluded night March was met; raw counts say that it would not have been."""
    night = berlin("2026-03-05T00:00")
    store = put(event(berlin("2026-01-01T00:00")), *several(night, good=0, bad=5), *several(night + DAY, good=20))

    (found,) = over(store, slo(), berlin("2026-04-15T12:00"), most=1, exclusions=(excluding(night, night + 6 * HOUR),))

    assert (found.counts, found.raw, found.met) == (EventCounts(20, 0), EventCounts(20, 5), True)


def test_without_exclusions_nothing_stands_beside_a_finished_window(put: Any) -> None:
    """Raw counts are given where they may differ."""
    other = excluding(berlin("2026-03-05T00:00"), berlin("2026-03-06T00:00"), slo="another")

    (found,) = over(put(event(berlin("2026-03-05T00:00"))), slo(), berlin("2026-04-15"), most=1, exclusions=(other,))

    assert (found.raw, found.counts) == (None, EventCounts(1, 0))


def test_a_finished_month_is_the_month_at_its_last_moment(put: Any) -> None:
    """What the month's last evaluation showed is what the history says."""
    last = berlin("2026-03-31T23:59:59.999999")
    store = put(
        event(berlin("2026-02-01T00:00")), *several(berlin("2026-03-01T00:00"), good=4), *several(last - HOUR, 5, 1)
    )
    promise = slo(window=MONTH)

    (found,) = over(store, promise, berlin("2026-04-01T00:00"), most=1)
    shown = state(store, promise, last)

    assert (found.counts, found.attainment) == (shown.counts["month"], shown.attainment)
    assert found.budget_remaining == shown.budget_remaining


def test_only_final_units_are_in_finished_windows(put: Any) -> None:
    """A unit of March that is still pending is in no count of March."""
    march = berlin("2026-03-31T23:00")
    later = replace(slo(), minimum_events=0)
    store = put(event(march, matures_at=march + 30 * DAY), event(march - DAY, good=False))

    (found,) = over(store, later, berlin("2026-04-15T12:00"), most=1)

    assert found.counts == EventCounts(0, 1)
