"""Slices of time, good or bad as a whole: OpenSLO's Timeslices and RatioTimeslices over the units of an indicator.

A slice holds its start but not its end, counts once it is over, and is unknown without a unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_states import source_state

from collector.store import ObservationStore
from slo_engine.evaluate import evaluate
from slo_engine.exclusions import Exclusion, ExclusionReason, Slot
from slo_engine.exposition import slo_samples
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Observation, Outcome, Subject, to_micros
from slo_engine.reading import Reader
from slo_engine.slices import sliced, slices_over
from slo_engine.slo import EventCounts, IndicatorSli, Operator, Slo, SloStatus
from slo_engine.slo_states import Conditions, finished
from slo_engine.snapshot import SloState, SourceState
from slo_engine.windows import CalendarWindow, parse_window

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MICROSECOND, SECOND, MINUTE, HOUR = (timedelta(seconds=s) for s in (1e-6, 1, 60, 3_600))
DAY = 24 * HOUR
WAIT = Indicator(
    name="wait", version="1", title="Wait", definition="Time waited.", shape=Shape.DURATION, metric="platform_wait"
)


def probe(at: datetime, *, good: bool = True, service: str = "api") -> Observation:
    """A measured unit: a second is good, a minute is not."""
    return Observation(
        indicator="wait",
        unit=f"{at}",
        at=at,
        subject=Subject(service, "production"),
        source="ci",
        outcome=Outcome.MEASURED,
        value=1.0 if good else 60.0,
    )


def probes(start: datetime, good: int, bad: int = 0, **fields: Any) -> list[Observation]:
    """Units a second apart: the good ones, then the bad ones."""
    return [probe(start + n * SECOND, good=n < good, **fields) for n in range(good + bad)]


def every_minute(start: datetime, minutes: Iterable[int]) -> list[Observation]:
    """A good unit in each of some minutes."""
    return [probe(start + n * MINUTE) for n in minutes]


def slo(**fields: Any) -> Slo:
    """Nine of ten minutes in a day, a minute being good if 95 % of its units were."""
    sli = IndicatorSli(indicator="wait", operator=Operator.LTE, threshold=10.0)
    known: dict[str, Any] = {"name": "up", "title": "Up", "description": "", "owner_service": "shop", "sli": sli}
    known |= {"target": Decimal("0.9"), "window": parse_window("1d"), "minimum_events": 1, "minimum_coverage": 0.0}
    known |= {"budgeting": "timeslices", "slice": MINUTE, "slice_target": Decimal("0.95")}
    return Slo(**known | fields)


def by_share(**fields: Any) -> Slo:
    """The same with minutes that are bad by their share of bad units."""
    return slo(budgeting="ratio_timeslices", slice_target=None, **fields)


def excluding(starts_at: datetime, ends_at: datetime) -> Exclusion:
    """An exclusion."""
    return Exclusion(
        reason=ExclusionReason.OTHER, author="shop", ticket="OPS-1", starts_at=starts_at, ends_at=ends_at, slo="up"
    )


def source() -> SourceState:
    """A fresh source."""
    return source_state("ci", last_success_at=NOON, last_run_at=NOON, last_duration_seconds=1.0, newest_event_at=NOON)


def state(store: ObservationStore, promise: Slo, at: datetime = NOON, *exclusions: Exclusion) -> SloState:
    """The state of an SLO."""
    (found,) = evaluate(store, {"wait": WAIT}, [promise], [source()], at, exclusions=exclusions).slos
    return found


def counts(store: ObservationStore, promise: Slo, at: datetime = NOON, *exclusions: Exclusion) -> EventCounts:
    """Good and bad slices of an SLO's window."""
    return state(store, promise, at, *exclusions).counts[promise.window.label]


# --- what a slice is --------------------------------------------------------------------------------------


def test_a_slice_is_good_from_its_target_on(put: Any) -> None:
    """With a target of 95 % a minute with 19 good of 20 units is good, one with 18 is bad."""
    store = put(*probes(NOON - 9 * MINUTE, 19, 1), *probes(NOON - 5 * MINUTE, 18, 2))

    assert counts(store, slo()) == EventCounts(1, 1)


@pytest.mark.parametrize("good", range(1, 20))
def test_a_target_is_met_exactly(put: Any, good: int) -> None:
    """Whatever floats make of n / 20, n good of 20 reach a target of n / 20, and one fewer does not."""
    store = put(*probes(NOON - 9 * MINUTE, good, 20 - good), *probes(NOON - 5 * MINUTE, good - 1, 21 - good))

    assert counts(store, slo(slice_target=Decimal(good) / 20)) == EventCounts(1, 1)


def test_a_target_between_shares_is_no_share(put: Any) -> None:
    """99.9 % of three units are all three."""
    store = put(*probes(NOON - 9 * MINUTE, 3), *probes(NOON - 5 * MINUTE, 2, 1))

    assert counts(store, slo(slice_target=Decimal("0.999"))) == EventCounts(1, 1)


def test_ratio_slices_are_bad_by_their_share(put: Any) -> None:
    """Minutes with a quarter and a half of bad units: 0.75 of two slices are bad, however many units each had."""
    store = put(*probes(NOON - 9 * MINUTE, 3, 1), *probes(NOON - 5 * MINUTE, 20, 20))

    found = state(store, by_share())

    assert found.counts["1d"] == EventCounts(Decimal("1.25"), Decimal("0.75"))
    assert [found.attainment, found.budget_remaining] == pytest.approx([0.625, -2.75])
    assert found.budget_remaining_events == pytest.approx(0.2 - 0.75)


def test_thirds_of_ratio_slices_are_whole_again(put: Any) -> None:
    """Three slices that are bad by a third each are one bad slice, without what floats leave."""
    store = put(*(unit for n in (9, 7, 5) for unit in probes(NOON - n * MINUTE, 2, 1)))

    assert repr(counts(store, by_share())) == repr(EventCounts(2, 1))


def test_a_slice_without_units_is_unknown(put: Any) -> None:
    """A prober that is down for an hour makes 60 minutes neither up nor down."""
    store = put(*every_minute(NOON - 3 * HOUR, range(60)), *every_minute(NOON - HOUR, range(60)))

    assert counts(store, slo()) == EventCounts(120, 0)


def test_slices_pool_the_units_of_all_services(put: Any) -> None:
    """A minute in which one service had 9 good and another 1 bad unit is one minute with 90 %."""
    start = NOON - 5 * MINUTE
    store = put(*probes(start, 9, service="api"), *probes(start + MICROSECOND, 0, 1, service="web"))

    assert counts(store, slo()) == EventCounts(0, 1)
    assert counts(store, slo(slice_target=Decimal("0.9"))) == EventCounts(1, 0)
    assert counts(store, by_share()) == EventCounts(Decimal("0.9"), Decimal("0.1"))


def test_a_slice_holds_its_start_but_not_its_end(put: Any) -> None:
    """The unit at the full minute belongs to the minute that begins."""
    store = put(probe(NOON - 5 * MINUTE), probe(NOON - 4 * MINUTE - MICROSECOND), probe(NOON - 4 * MINUTE, good=False))

    assert counts(store, slo()) == EventCounts(1, 1)


@pytest.mark.parametrize(("after", "total"), [(59 * SECOND, 0), (MINUTE - MICROSECOND, 0), (MINUTE, 1)])
def test_a_slice_counts_once_it_is_over(put: Any, after: timedelta, total: int) -> None:
    """What may still change is not judged: the minute counts at its end."""
    assert counts(put(probe(NOON)), slo(), NOON + after).total == total


def test_only_final_units_make_a_slice(put: Any) -> None:
    """A measured unit that has not matured is in no slice yet."""
    late = probe(NOON - 5 * MINUTE)
    pending = Observation(**{f: getattr(late, f) for f in late.__struct_fields__} | {"matures_at": NOON + HOUR})

    assert counts(put(pending), slo()) == EventCounts(0, 0)
    assert counts(put(pending), slo(), NOON + HOUR) == EventCounts(1, 0)


def test_of_slices_there_is_no_counter(put: Any) -> None:
    """They are not counted since the beginning: no counter is published, and no total."""
    found = evaluate(put(probe(NOON - HOUR)), {"wait": WAIT}, [slo()], [source()], NOON)

    assert found.slos[0].totals is None
    assert "platform_sli_events_total" not in {metric.name for metric, _, _ in slo_samples(found)}


# --- slices and windows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "total"), [(DAY, 1), (DAY + MINUTE - MICROSECOND, 1), (DAY + MINUTE, 0)])
def test_a_slice_is_of_a_rolling_window_while_its_end_is(put: Any, at: timedelta, total: int) -> None:
    """The minute leaves a window of a day a day after its end."""
    assert counts(put(probe(NOON)), slo(), NOON + at).total == total


def test_the_slice_before_a_month_is_none_of_its_slices(put: Any) -> None:
    """The last minute of February ends when March begins: it is February's alone."""
    march = datetime(2026, 3, 1, tzinfo=UTC)
    store = put(probe(march - MINUTE, good=False), probe(march), probe(march + MINUTE))
    promise = slo(window=CalendarWindow("month"))

    assert counts(store, promise, march) == EventCounts(0, 0)
    assert counts(store, promise, march + 2 * MINUTE) == EventCounts(2, 0)
    assert counts(store, promise, march - MICROSECOND).total == 0
    (february,) = finished(promise, WAIT, Reader(store, NOON), Conditions(fresh=frozenset({"ci"})), "UTC", most=1)
    assert february.counts == EventCounts(0, 1)


def test_a_slice_that_a_month_ends_in_is_the_next_month_s_as_a_whole(put: Any) -> None:
    """Kathmandu's midnight is no full hour of UTC: the hour around it counts once, where it ends."""
    promise = slo(window=CalendarWindow("month", zone="Asia/Kathmandu"), slice=HOUR)
    midnight = datetime(2026, 3, 1, tzinfo=ZoneInfo("Asia/Kathmandu"))
    store = put(*probes(midnight - 5 * MINUTE, 2), *probes(midnight + 5 * MINUTE, 0, 2))
    fresh = Conditions(fresh=frozenset({"ci"}))

    assert counts(store, promise, midnight + HOUR) == EventCounts(0, 1)
    march, february = finished(promise, WAIT, Reader(store, midnight + 40 * DAY), fresh, "UTC", most=2)
    assert (march.counts, february.counts) == (EventCounts(0, 1), EventCounts(0, 0))
    assert counts(store, by_share(window=promise.window, slice=HOUR), midnight + HOUR) == EventCounts(
        Decimal("0.5"), Decimal("0.5")
    )


def test_the_slice_in_which_the_longest_window_begins_is_whole(put: Any) -> None:
    """A slice that began before the window and ended in it counts with all of its units."""
    at = NOON + 30 * MINUTE
    edge = at - 90 * DAY
    store = put(probe(edge - 20 * MINUTE, good=False), probe(edge + 20 * MINUTE))
    promise = by_share(window=parse_window("90d"), slice=HOUR)

    assert counts(store, promise, at) == EventCounts(Decimal("0.5"), Decimal("0.5"))


# --- coverage ---------------------------------------------------------------------------------------------


def test_coverage_drops_with_unknown_slices(put: Any) -> None:
    """Down for six of 24 hours: three quarters of the minutes are known, which is too little to say anything."""
    store = put(*every_minute(NOON - DAY, range(18 * 60)))

    found = state(store, slo(minimum_coverage=0.9))

    assert (found.coverage, found.status) == (0.75, SloStatus.INSUFFICIENT_DATA)
    assert (found.attainment, found.why) == (1.0, "events are known for 75% of 1d only")


def test_all_slices_known_is_full_coverage(put: Any) -> None:
    """A unit in each minute of the day; the minute that is not over yet is not missed."""
    store = put(*every_minute(NOON - DAY, range(24 * 60)))

    found = state(store, slo(minimum_coverage=1.0), NOON + 30 * SECOND)

    assert (found.coverage, found.status, found.counts["1d"]) == (1.0, SloStatus.HEALTHY, EventCounts(1_440, 0))


def test_the_coverage_of_a_month_is_of_its_slices_so_far(put: Any) -> None:
    """Two of the four hours that March is old."""
    march = datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    store = put(probe(march - HOUR), probe(march), probe(march + 3 * HOUR))
    promise = slo(window=CalendarWindow("month", zone="Europe/Berlin"), slice=HOUR)

    assert state(store, promise, march + 4 * HOUR).coverage == 0.5
    assert state(store, promise, march).coverage == 0.0


def test_an_excluded_slice_is_not_missed(put: Any) -> None:
    """Nobody probes during maintenance: the six hours are no gap."""
    store = put(*every_minute(NOON - DAY, range(18 * 60)))

    found = state(store, slo(minimum_coverage=0.9), NOON, excluding(NOON - 6 * HOUR, NOON))

    assert (found.coverage, found.status) == (1.0, SloStatus.HEALTHY)


def test_a_finished_month_with_a_gap_is_not_judged(put: Any) -> None:
    """Half of the days were seen: whether the month was met is unknown."""
    day = datetime(2026, 2, 1, tzinfo=UTC)
    store = put(*(probe(day + n * DAY) for n in range(0, 28, 2)))
    promise = slo(window=CalendarWindow("month"), slice=DAY, minimum_coverage=0.9)

    (found,) = finished(promise, WAIT, Reader(store, NOON), Conditions(fresh=frozenset({"ci"})), "UTC", most=1)

    assert (found.counts, found.met) == (EventCounts(14, 0), None)
    assert found.why == "events are known for 50% of month only"


def test_a_finished_month_of_slices_is_met_or_not(put: Any) -> None:
    """Three of 28 days were bad: more than a tenth, unless the worst one is excluded."""
    day = datetime(2026, 2, 1, tzinfo=UTC)
    store = put(*(probe(day + n * DAY, good=n not in {5, 6, 7}) for n in range(28)))
    promise = slo(window=CalendarWindow("month"), slice=DAY, minimum_coverage=1.0)
    reader = Reader(store, NOON)

    raw, adjusted = (
        finished(promise, WAIT, reader, Conditions(fresh=frozenset({"ci"}), exclusions=e), "UTC", most=1)[0]
        for e in ((), (excluding(day + 5 * DAY, day + 6 * DAY),))
    )

    assert (raw.counts, raw.met) == (EventCounts(25, 3), False)
    assert (adjusted.counts, adjusted.raw, adjusted.met) == (EventCounts(25, 2), EventCounts(25, 3), True)


# --- exclusions inside a slice ----------------------------------------------------------------------------


def test_an_exclusion_inside_a_slice_leaves_the_rest_of_it(put: Any) -> None:
    """Half of the bad minute is excluded: it is judged by the other half, raw by both."""
    minute = NOON - 5 * MINUTE
    store = put(*probes(minute, 20), *probes(minute + 30 * SECOND, 0, 20))

    found = state(store, slo(), NOON, excluding(minute + 30 * SECOND, minute + 40 * SECOND + HOUR))

    assert (found.counts["1d"], found.raw["1d"]) == (EventCounts(1, 0), EventCounts(0, 1))


def test_a_slice_whose_units_are_all_excluded_is_unknown(put: Any) -> None:
    """It counts for neither side."""
    minute = NOON - 5 * MINUTE
    store = put(*probes(minute, 0, 20), *probes(minute + MINUTE, 20))

    found = state(store, slo(), NOON, excluding(minute, minute + 30 * SECOND))

    assert (found.counts["1d"], found.raw["1d"]) == (EventCounts(1, 0), EventCounts(1, 1))


# --- laws -------------------------------------------------------------------------------------------------

_spans = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted)


@given(st.integers(1, 7), _spans, st.lists(st.integers(0, 70), max_size=6, unique=True).map(sorted))
def test_slices_that_are_over_are_those_that_one_can_list(length: int, span: list[int], edges: list[int]) -> None:
    """Counted one by one: those that end in the span, but for those that lie in an excluded slot as a whole."""
    after, until = span
    slots = [Slot(*edges[n : n + 2]) for n in range(0, len(edges) - 1, 2)]
    ends = [end for end in range(0, 70, length) if after < end <= until]
    expected = [end for end in ends if not any(s.start <= end - length and end <= s.end for s in slots)]

    assert slices_over(length, after, until, slots) == len(expected)


@given(st.lists(st.tuples(st.integers(0, 600), st.booleans()), max_size=40), st.integers(0, 600), st.booleans())
def test_slices_are_those_that_one_counts_by_hand(units: list[tuple[int, bool]], now: int, ratio: bool) -> None:  # noqa: FBT001 - drawn
    """For any units: each minute that is over with its share of good units, or whether that reaches the target."""
    ordered = sorted(units)
    promise = by_share() if ratio else slo(slice_target=Decimal("0.6"))
    minutes = sorted({second // 60 for second, _ in ordered if (second // 60 + 1) * 60 <= now})
    inside = [[good for second, good in ordered if second // 60 == minute] for minute in minutes]
    expected = [sum(own) / len(own) if ratio else float(sum(own) * 5 >= len(own) * 3) for own in inside]
    times = np.array([to_micros(datetime.fromtimestamp(second, UTC)) for second, _ in ordered], dtype=np.int64)
    known = np.array([good for _, good in ordered], dtype=bool)

    ends, shares = sliced(promise, times, known, now * 1_000_000)

    assert ends.tolist() == [(minute + 1) * 60_000_000 for minute in minutes]
    assert shares.tolist() == pytest.approx(expected)
