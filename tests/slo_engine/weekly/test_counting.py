"""The states of SLOs that the summary tells are those that the evaluation would publish at the same times."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from weeks import DAY, FAST, HOLD, INDICATORS, WEEK, Small, unit

from collector.store import Judge, to_micros
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.observation import Observation, Outcome, Reason, Subject
from slo_engine.reading import Reader
from slo_engine.slo import Slo
from slo_engine.slo_states import Conditions, states_of
from slo_engine.snapshot import SloState
from slo_engine.weekly.counting import SloUnits

UPGRADE = Exclusion(
    reason=ExclusionReason.MAINTENANCE,
    author="delivery",
    ticket="OPS-1",
    starts_at=WEEK.start - 30 * DAY,
    ends_at=WEEK.start - 20 * DAY,
    slo=HOLD.name,
)
CONDITIONS = Conditions(fresh=frozenset({"ci"}), exclusions=(UPGRADE,))
SLICED = replace(HOLD, name="sliced", budgeting="timeslices", slice=2 * DAY, slice_target=Decimal("0.5"))
EMPTY = replace(HOLD, name="empty", sli=replace(HOLD.counted, service="nobody"))
TIMES = [WEEK.end - n * DAY for n in (100, 70, 28, 7, 0)]


@pytest.fixture
def several(small: Small) -> Small:
    """Units of two services over 20 weeks: good, bad and unknown ones, some of which mature weeks later."""
    return small.put(*(counted(n) for n in range(140)), *(timed(n) for n in range(40)))


def counted(n: int) -> Observation:
    """The unit of n days before the week."""
    outcome = (Outcome.GOOD, Outcome.GOOD, Outcome.BAD, Outcome.EXCLUDED)[n % 4]
    return unit(
        "change_fail_rate",
        f"unit-{n}",
        -n * DAY,
        subject=Subject(("api", "pay")[n % 2], "production"),
        outcome=outcome,
        reason=Reason.UNKNOWN.value if outcome is Outcome.EXCLUDED else "",
        matures_at=WEEK.start - (n - 9) * DAY if n % 5 == 0 else None,
    )


def timed(n: int) -> Observation:
    """A change that was shipped n days before the week, and took n hours."""
    return unit("change_lead_time", f"change-{n}", -n * DAY, outcome=Outcome.MEASURED, value=n * 3600.0)


def told(state: SloState) -> tuple[Any, ...]:
    """What a summary tells of a state."""
    label = state.slo.window.label
    numbers = (state.attainment, state.budget_remaining, state.coverage)
    return state.status, state.why, state.counts.get(label), state.raw.get(label), state.sources, *numbers


@pytest.mark.parametrize("slo", [HOLD, FAST, SLICED, EMPTY], ids=lambda s: s.name)
def test_each_time_is_judged_as_the_evaluation_judges_it(several: Small, slo: Slo) -> None:
    """Units that lay in the future or had not matured then do not count, whenever they were read."""
    reader = Reader(several.observations, WEEK.end)
    units = SloUnits(several.observations, [slo], INDICATORS, reader)
    units.read([slo], to_micros(TIMES[0]), to_micros(WEEK.start))
    expected = [states_of([slo], INDICATORS, Reader(several.observations, at), CONDITIONS) for at in TIMES]

    found = [units.states([slo], to_micros(at), CONDITIONS) for at in TIMES]

    assert [told(state) for (state,) in found] == [told(state) for (state,) in expected]


def test_the_same_units_are_asked_for_again_from_earlier_on(several: Small) -> None:
    """What the end of the week was judged by does not keep the weeks before from being judged."""
    units = SloUnits(several.observations, [HOLD], INDICATORS, Reader(several.observations, WEEK.end))
    units.read([HOLD], to_micros(WEEK.end), to_micros(WEEK.start))
    late = units.states([HOLD], to_micros(WEEK.end), CONDITIONS)
    units.read([HOLD], to_micros(TIMES[0]), to_micros(TIMES[0]))

    (early,) = units.states([HOLD], to_micros(TIMES[0]), CONDITIONS)

    (expected,) = states_of([HOLD], INDICATORS, Reader(several.observations, TIMES[0]), CONDITIONS)
    assert told(early) == told(expected)
    assert units.states([HOLD], to_micros(WEEK.end), CONDITIONS) == late


@pytest.mark.parametrize(
    ("until", "ripe_at", "expected"),
    [
        pytest.param(WEEK.start - 9 * DAY, WEEK.start, (WEEK.start - 10 * DAY, False), id="the first one"),
        pytest.param(WEEK.start - 11 * DAY, WEEK.start, (None, False), id="none so early"),
        pytest.param(WEEK.start - 9 * DAY, WEEK.start - 5 * DAY, (None, True), id="one that has still to mature"),
    ],
)
def test_the_first_final_unit_is_found_without_reading(
    small: Small, until: datetime, ripe_at: datetime, expected: tuple[datetime | None, bool]
) -> None:
    """A unit that had not matured then was not final; it is told that there is one."""
    store = small.put(counted(10)).observations
    first, ripens = expected

    found = store.first_finals(store.series(), to_micros(until), to_micros(ripe_at), Judge())

    assert list(found.values()) == [(None if first is None else to_micros(first), ripens)]


def test_plain_units_are_read_beside_the_others(several: Small) -> None:
    """Each unit is either among the packed ones or among the rows."""
    after = dict.fromkeys(several.observations.series("change_fail_rate"), 0)

    plain, chunks = several.observations.since_but_plain(after, "at", "unit", named=True)

    packed = {name for one in plain for name in one.unit}
    rows = {name for chunk in chunks for _, _, name in chunk}
    assert packed | rows == {f"unit-{n}" for n in range(140)}
    assert packed == {f"unit-{n}" for n in range(140) if n % 4 in {0, 1} and n % 5}


def test_bad_units_are_those_that_were_final_then(several: Small) -> None:
    """A bad one that matures later is not told yet."""
    store, until = several.observations, WEEK.start - 9 * timedelta(days=1)
    numbers = store.series("change_fail_rate")

    found = store.bad(numbers, to_micros(until - 12 * DAY), to_micros(until), Judge(), "unit")

    assert {name for _, name in found} == {"unit-14", "unit-18"}
