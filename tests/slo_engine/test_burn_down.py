"""The error budget over an SLO's window: at each time it is what evaluating at that time gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.store import ObservationStore
from slo_engine.burn_down import BurnDown, burn_down, untold
from slo_engine.comparison import Operator
from slo_engine.evaluate import evaluate
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Observation, Outcome, Subject
from slo_engine.organisation import Organisation
from slo_engine.promql import CounterRatio
from slo_engine.slo import Budgeting, Composite, EventCounts, IndicatorSli, Part, Slo
from slo_engine.snapshot import SloState
from slo_engine.windows import CalendarWindow, parse_window

BERLIN = "Europe/Berlin"
NOW = datetime(2026, 4, 9, 13, 7, 11, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SUCCESS = Indicator(
    name="success",
    version="1",
    title="Success",
    definition="Share that went well.",
    shape=Shape.RATIO,
    metric="platform_success",
)
WAIT = replace(
    SUCCESS, name="wait", shape=Shape.DURATION, metric="platform_wait", dimension="stage", dimensions=("queue", "work")
)
PEOPLE = replace(SUCCESS, name="people", metric="platform_people", people=True)
INDICATORS = {"success": SUCCESS, "wait": WAIT, "people": PEOPLE}
WINDOWS = (
    parse_window("7d"),
    parse_window("2d"),
    CalendarWindow("week", zone=BERLIN),
    CalendarWindow("month", zone=BERLIN),
)
MAINTENANCE = Exclusion(
    reason=ExclusionReason.MAINTENANCE,
    author="platform",
    ticket="OPS-1",
    starts_at=datetime(2026, 4, 6, 22, 0, tzinfo=UTC),
    ends_at=datetime(2026, 4, 7, 5, 30, tzinfo=UTC),
    zone="UTC",
    recurrence="FREQ=DAILY",
    slo="works",
)
SOURCE = source_state("ci")


def slo(**fields: Any) -> Slo:
    """An SLO: nine of ten units in a week, from one unit on, however young it is."""
    known: dict[str, Any] = {"name": "works", "title": "Works", "description": "", "owner_service": "shop"}
    known |= {"target": Decimal("0.9"), "window": parse_window("7d"), "sli": IndicatorSli(indicator="success")}
    return Slo(**known | {"minimum_events": 1, "minimum_coverage": 0.0} | fields)


def sliced(budgeting: Budgeting, **fields: Any) -> Slo:
    """An SLO that counts slices of an hour, good where four of five units are."""
    return slo(budgeting=budgeting, slice=timedelta(hours=1), slice_target=Decimal("0.8"), **fields)


CLASSES = {
    "occurrences": slo(),
    "of a service": slo(sli=IndicatorSli(indicator="success", service="api")),
    "timeslices": sliced("timeslices"),
    "ratio timeslices": sliced("ratio_timeslices"),
    "threshold": slo(sli=IndicatorSli(indicator="wait", operator=Operator.LTE, threshold=60.0)),
    "threshold of a stage": slo(
        sli=IndicatorSli(indicator="wait", operator=Operator.LT, threshold=60.0, dimension="queue")
    ),
    "rate": slo(target=Decimal("0.999"), alert_class="rate"),
}


def unit(at: datetime, number: int = 0, **fields: Any) -> Observation:
    """A unit that succeeded."""
    known: dict[str, Any] = {"indicator": "success", "unit": f"{at}-{number}", "at": at, "source": "ci"}
    return Observation(**known | {"subject": Subject("api", "production"), "outcome": Outcome.GOOD} | fields)


@st.composite
def units(draw: st.DrawFn) -> list[Observation]:
    """Units of two services over three weeks: of a ratio with an outcome, of a duration with a value and a part."""
    found = []
    for number in range(draw(st.integers(0, 40))):
        at = NOW - draw(st.integers(0, 21 * 24 * 60)) * MINUTE
        subject = Subject(draw(st.sampled_from(["api", "web"])), "production")
        outcome = draw(st.sampled_from([Outcome.GOOD, Outcome.GOOD, Outcome.BAD]))
        seconds = draw(st.sampled_from([30.0, 60.0, 90.0]))
        found.append(unit(at, number, subject=subject, outcome=outcome))
        measured = {"outcome": Outcome.MEASURED, "value": seconds, "parts": (seconds / 2, None)}
        found.append(unit(at, number, subject=subject, indicator="wait", **measured))
    return found


def state(store: ObservationStore, promise: Slo, at: datetime, exclusions: Sequence[Exclusion] = ()) -> SloState:
    """An SLO at a time, as it is published."""
    (found,) = evaluate(store, INDICATORS, [promise], [SOURCE], at, exclusions=exclusions).slos
    return found


def burnt(store: ObservationStore, promise: Slo, at: datetime = NOW, exclusions: Sequence[Exclusion] = ()) -> BurnDown:
    """What was left of an SLO's budget over its window."""
    about = INDICATORS[promise.indicator]
    return burn_down(promise, about, store, at, zone=BERLIN, organisation=Organisation(), exclusions=exclusions)


@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=units(), window=st.sampled_from(WINDOWS), exclusions=st.sampled_from([(), (MAINTENANCE,)]))
def test_each_point_is_what_is_published_at_that_time(
    put: Any, name: str, made: list[Observation], window: Any, exclusions: Sequence[Exclusion]
) -> None:
    """The last point is the exported share with its counts; each one before is what was exported then."""
    promise = replace(CLASSES[name], window=window)
    store = put(*made)

    left = burnt(store, promise, exclusions=exclusions).left
    looked_at = [left[-1], left[len(left) // 2], left[1]]
    published = [state(store, promise, one.at, exclusions) for one in looked_at]

    assert left[-1].at == NOW
    assert [one.remaining for one in looked_at] == [found.budget_remaining for found in published]
    assert [one.counts for one in looked_at] == [found.counts[window.label] for found in published]


def test_a_rolling_budget_comes_back(put: Any) -> None:
    """What spent the budget leaves the window a week later, and the budget is whole again."""
    times = [NOW - 9 * DAY + n * DAY for n in range(10)]
    store = put(*(unit(at, outcome=Outcome.BAD if n == 1 else Outcome.GOOD) for n, at in enumerate(times)))

    left = [one.remaining for one in burnt(store, slo(target=Decimal("0.5"))).left]

    assert left[0] == pytest.approx(1 - 1 / 1.5)  # one of three is bad, one and a half may be
    assert left[-1] == 1.0


def test_a_calendar_budget_begins_with_its_window(put: Any) -> None:
    """What spent the budget of the month before does not count, and nothing comes back within the month."""
    month = slo(window=CalendarWindow("month", zone=BERLIN), target=Decimal("0.5"))
    store = put(
        unit(datetime(2026, 3, 31, 21, 59, tzinfo=UTC), outcome=Outcome.BAD),
        unit(datetime(2026, 3, 31, 22, 0, tzinfo=UTC)),
        unit(datetime(2026, 4, 3, 9, 0, tzinfo=UTC), outcome=Outcome.BAD),
    )

    found = burnt(store, month)

    assert (found.start, found.end) == (datetime(2026, 3, 31, 22, tzinfo=UTC), datetime(2026, 4, 30, 22, tzinfo=UTC))
    assert [one.remaining for one in found.left] == [1.0, 1.0, 1.0, *[0.0] * 7]


def test_days_are_those_of_the_zone_also_across_a_clock_change(put: Any) -> None:
    """The budget is told at each midnight of the zone: on a day of 23 hours, too."""
    at = datetime(2026, 3, 30, 12, 0, tzinfo=UTC)

    times = [one.at for one in burnt(put(), slo(), at).left]

    assert times[-3:] == [datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC), at]


def test_a_short_window_is_told_by_the_hour(put: Any) -> None:
    """A window of two days has a point for each hour."""
    assert len(burnt(put(), slo(window=parse_window("2d"))).left) == 48


def test_without_events_nothing_is_left_and_nothing_is_spent(put: Any) -> None:
    """A time whose window has no events has no share: it is a gap, not a whole budget."""
    assert {(one.counts, one.remaining) for one in burnt(put(), slo()).left} == {(EventCounts(), None)}


def test_a_unit_that_is_not_judged_yet_does_not_count(put: Any) -> None:
    """What matures later is in no point, as it is in no published number."""
    store = put(unit(NOW - DAY), unit(NOW - 2 * DAY, outcome=Outcome.BAD, matures_at=NOW + DAY))

    assert burnt(store, slo()).left[-1].counts == EventCounts(1, 0)


@pytest.mark.parametrize(
    ("promise", "why"),
    [
        (slo(sli=CounterRatio(total_query="requests_total", good_query="good_total")), "Prometheus counts its events"),
        (slo(sli=Composite(parts=(Part(slo="works"),))), "It is made of other SLOs"),
        (slo(sli=IndicatorSli(indicator="people")), "It is about people"),
        (slo(), ""),
    ],
)
def test_what_has_no_chart_says_why(promise: Slo, why: str) -> None:
    """PromQL, composites and SLOs about people have no points of their own, and a sentence that says so."""
    assert untold(promise, INDICATORS.get(promise.indicator)).startswith(why)


def test_an_slo_that_cannot_be_told_is_refused(put: Any) -> None:
    """Day by day, a budget about people would tell when each of them came."""
    with pytest.raises(ValueError, match="works: It is about people"):
        burnt(put(), slo(sli=IndicatorSli(indicator="people")))
