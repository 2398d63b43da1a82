"""Observations, windows and subjects to numbers: with observations written by hand into a real store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.store import ObservationStore, to_micros
from slo_engine.apart import Apart, Mirror, News
from slo_engine.evaluate import Evaluator, Wanted, evaluate
from slo_engine.exposition import LineWriter, Publisher
from slo_engine.indicator import Indicator, Shape
from slo_engine.numbers import summarise
from slo_engine.observation import Observation, Outcome, Reason, Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.reading import Reader, Span, rolling
from slo_engine.slo import EventCounts, IndicatorSli, Operator, Slo, SloStatus
from slo_engine.slo_states import Conditions, state_of
from slo_engine.snapshot import Accounting, Number, Part, Snapshot, SourceState
from slo_engine.windows import parse_window

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
API = Subject("api", "production")
WEB = Subject("web", "production")
WEEK = parse_window("7d")

WAIT = Indicator(
    name="wait",
    version="1",
    title="Wait",
    definition="Time waited.",
    shape=Shape.DURATION,
    metric="platform_wait",
    dimension="stage",
    dimensions=("queue", "work"),
)
WORK = Indicator(
    name="work",
    version="1",
    title="Work",
    definition="Time worked.",
    shape=Shape.DURATION,
    metric="platform_work",
    part_of=WAIT,
    part="work",
)
SUCCESS = Indicator(
    name="success",
    version="1",
    title="Success",
    definition="Share that went well.",
    shape=Shape.RATIO,
    metric="platform_success",
)
FAILURE = Indicator(
    name="failure",
    version="1",
    title="Failure",
    definition="Share that failed.",
    shape=Shape.RATIO,
    metric="platform_failure",
    share_of="bad",
)
RELEASES = Indicator(
    name="releases",
    version="1",
    title="Releases",
    definition="Releases per day.",
    shape=Shape.FREQUENCY,
    metric="platform_releases",
    dimension="outcome",
    dimensions=("success", "failure"),
)
INDICATORS = {i.name: i for i in (WAIT, WORK, SUCCESS, FAILURE, RELEASES)}


def unit(name: str, ago: timedelta = timedelta(hours=1), **fields: Any) -> Observation:
    """An observation of WAIT that was measured some time before now, unless told otherwise."""
    return Observation(
        **{
            "indicator": "wait",
            "unit": name,
            "at": NOW - ago,
            "subject": API,
            "source": "ci",
            "outcome": Outcome.MEASURED,
            "value": 60.0,
            **fields,
        }
    )


def judged(name: str, outcome: Outcome, **fields: Any) -> Observation:
    """An observation that states its own outcome."""
    return unit(name, **{"indicator": "success", "outcome": outcome, "value": None, **fields})


def source(name: str = "ci", *, fresh: bool = True) -> SourceState:
    """A source, fresh or not."""
    return source_state(
        name, fresh=fresh, last_success_at=NOW, last_run_at=NOW, last_duration_seconds=1.0, newest_event_at=NOW
    )


def slo(**fields: Any) -> Slo:
    """An SLO on WAIT: half of the units within a minute, in a week, from two units on."""
    counted: dict[str, Any] = {"indicator": "wait", "operator": Operator.LTE, "threshold": 60.0}
    counted |= {name: fields.pop(name) for name in IndicatorSli.__dataclass_fields__ if name in fields}
    return Slo(
        **{
            "name": "fast",
            "title": "Fast",
            "description": "",
            "owner_service": "ci",
            "target": Decimal("0.5"),
            "window": WEEK,
            "sli": IndicatorSli(**counted),
            "minimum_events": 2,
            "minimum_coverage": 0.0,
            **fields,
        }
    )


def of(store: ObservationStore, slos: Sequence[Slo] = (), *sources: SourceState) -> Snapshot:
    """The snapshot of a store in one window of a week."""
    return evaluate(store, INDICATORS, slos, sources or (source(),), NOW, windows=[WEEK])


def number(snapshot: Snapshot, name: str, subject: Subject = API, part: str = "") -> Number:
    """A number that is there."""
    found = snapshot.number(name, subject, "7d", part)
    assert found is not None
    return found


def beside(snapshot: Snapshot, name: str, subject: Subject = API) -> Accounting:
    """What stands beside a number that is there."""
    found = snapshot.beside(number(snapshot, name, subject))
    assert found is not None
    return found


# --- windows and values ----------------------------------------------------------------------------------


def test_a_window_holds_its_end_but_not_its_start(put: Any) -> None:
    """A window is (after, until]: a unit on its first moment is out, one on its last moment is in."""
    store = put(
        unit("start", timedelta(days=7)),
        unit("just in", timedelta(days=7) - timedelta(microseconds=1)),
        unit("end", timedelta(0)),
    )

    assert number(of(store), "wait").n == 2


def test_what_lies_in_the_future_is_not_counted(put: Any) -> None:
    """A unit dated after the evaluation is in no window and in no total."""
    store = put(unit("now"), unit("later", -timedelta(seconds=1)))

    assert number(of(store), "wait").n == 1


def test_no_units_have_no_value(put: Any) -> None:
    """An empty window has n 0 and no statistic at all: absent, not 0."""
    snapshot = of(put(unit("old", timedelta(days=30)), judged("old", Outcome.GOOD, ago=timedelta(days=30))))

    assert (number(snapshot, "wait").n, number(snapshot, "wait").stats) == (0, {})
    assert (number(snapshot, "success").n, number(snapshot, "success").stats) == (0, {})
    assert beside(snapshot, "wait").coverage is None


def test_the_statistics_of_a_duration(put: Any) -> None:
    """The median of 1, 2, 3, 4 is 2.5: linear interpolation everywhere, and no interval below six values."""
    store = put(*(unit(str(v), value=float(v)) for v in (4, 1, 3, 2)))

    found = number(of(store), "wait")

    assert (found.n, found.stats) == (
        4,
        {"p50": 2.5, "p75": 3.25, "p90": pytest.approx(3.7), "p95": pytest.approx(3.85)},
    )


def test_the_interval_of_a_median_holds_order_statistics(put: Any) -> None:
    """With six values the 95 % interval of the median reaches from the least to the greatest."""
    store = put(*(unit(str(v), value=float(v)) for v in range(1, 7)))

    stats = number(of(store), "wait").stats

    assert (stats["low"], stats["p50"], stats["high"]) == (1.0, 3.5, 6.0)


def test_parts_have_their_own_numbers_and_absent_parts_have_none(put: Any) -> None:
    """A part that no unit has is absent, not 0; one that some units have is counted over those."""
    store = put(unit("a", value=70.0, parts=(None, 50.0, None, None)), unit("b", value=10.0))

    snapshot = of(store)

    assert (number(snapshot, "wait", part="work").n, number(snapshot, "wait", part="work").stats["p50"]) == (1, 50.0)
    assert snapshot.number("wait", API, "7d", "queue") is None


def test_an_indicator_that_is_a_part_reads_that_part(put: Any) -> None:
    """change_delivery_time reads the delivery part of change_lead_time's units; so does any part_of."""
    store = put(
        unit("a", value=70.0, parts=(20.0, 50.0, None, None)), unit("b", value=90.0, parts=(60.0, 30.0, None, None))
    )

    found = number(of(store), "work")

    assert (found.n, found.stats["p50"]) == (2, 40.0)


def test_a_missing_part_is_left_out_with_its_reason(put: Any) -> None:
    """The request merged after its commit was deployed: its whole holds, its part is absent and counted."""
    late = unit("late", parts=(20.0, None, None, None), reason=Reason.MERGED_AFTER_DEPLOYMENT)
    silent = unit("silent", parts=(20.0, None, None, None))
    snapshot = of(put(late, silent, unit("whole", parts=(20.0, 40.0, None, None))))

    assert number(snapshot, "wait").n == 3
    assert number(snapshot, "work").n == 1
    assert beside(snapshot, "work").excluded == {"merged_after_deployment": 1, "missing_time": 1}
    assert beside(snapshot, "work").coverage == pytest.approx(1 / 3)


def test_a_part_is_known_where_the_whole_is_not(put: Any) -> None:
    """A unit without a value counts for the part it has, and is left out of the whole as missing_time."""
    snapshot = of(put(unit("a", value=None, parts=(None, 40.0, None, None), reason=Reason.MISSING_TIME)))

    assert (number(snapshot, "wait").n, beside(snapshot, "wait").excluded) == (0, {"missing_time": 1})
    assert (number(snapshot, "work").n, beside(snapshot, "work").excluded) == (1, {})


# --- what is not final -----------------------------------------------------------------------------------


def test_pending_and_excluded_units_are_counted_beside_the_number(put: Any) -> None:
    """Only final units make the number; the others stand beside it, so nothing vanishes silently."""
    store = put(
        unit("1"),
        unit("2", outcome=Outcome.PENDING, value=None),
        unit("3", outcome=Outcome.EXCLUDED, value=None, reason=Reason.BEFORE_HORIZON),
        unit("4", outcome=Outcome.EXCLUDED, value=None, reason=Reason.BEFORE_HORIZON),
        unit("5", outcome=Outcome.EXCLUDED, value=None, reason=Reason.UNKNOWN_BASE),
    )

    snapshot = of(store)

    assert number(snapshot, "wait").n == 1
    assert beside(snapshot, "wait").pending == 1
    assert beside(snapshot, "wait").excluded == {"before_horizon": 2, "unknown_base": 1}
    assert beside(snapshot, "wait").coverage == 0.25


def test_a_unit_that_has_not_matured_is_pending(put: Any) -> None:
    """A deployment one hour old is pending, in neither term, until the attribution lag has passed."""
    store = put(
        judged("young", Outcome.GOOD, matures_at=NOW + timedelta(microseconds=1)),
        judged("ripe", Outcome.BAD, matures_at=NOW),
        judged("out", Outcome.EXCLUDED, matures_at=NOW + timedelta(days=1), reason=Reason.UNKNOWN_BASE),
    )

    snapshot = of(store)

    assert (number(snapshot, "success").n, number(snapshot, "success").stats["value"]) == (1, 0.0)
    assert (beside(snapshot, "success").pending, beside(snapshot, "success").excluded) == (1, {"unknown_base": 1})


def test_what_an_indicator_does_not_ask_about_leaves_its_coverage_alone(put: Any) -> None:
    """A failed release is counted as left out, but frequency covers every release it asks about."""
    store = put(
        unit("1", indicator="releases", dimension="success"),
        unit("2", indicator="releases", dimension="failure", outcome=Outcome.EXCLUDED, reason=Reason.NOT_SUCCESSFUL),
    )

    snapshot = of(store)

    assert (beside(snapshot, "releases").excluded, beside(snapshot, "releases").coverage) == (
        {"not_successful": 1},
        1.0,
    )


# --- shapes ----------------------------------------------------------------------------------------------


def test_a_ratio_has_wilson_s_interval(put: Any) -> None:
    """6 of 23 are 26.1 %, between 12.5 and 46.5 %."""
    store = put(*(judged(f"g{i}", Outcome.GOOD) for i in range(6)), *(judged(f"b{i}", Outcome.BAD) for i in range(17)))

    found = number(of(store), "success")

    assert found.n == 23
    assert found.stats == {
        "value": pytest.approx(6 / 23),
        "low": pytest.approx(0.1255, abs=1e-4),
        "high": pytest.approx(0.4647, abs=1e-4),
    }


def test_a_ratio_counts_the_outcome_it_declares(put: Any) -> None:
    """A fail rate is bad units over judged units: at most 1 by construction."""
    store = put(
        judged("1", Outcome.BAD, indicator="failure"),
        judged("2", Outcome.GOOD, indicator="failure"),
        judged("3", Outcome.BAD, indicator="failure"),
        judged("4", Outcome.GOOD, indicator="failure"),
        judged("5", Outcome.GOOD, indicator="failure"),
    )

    assert number(of(store), "failure").stats["value"] == 0.4


def test_a_frequency_counts_its_first_dimension_per_day(put: Any) -> None:
    """14 successes in 7 days are 2 a day, whatever failed beside them; totals keep each kind apart."""
    store = put(
        *(unit(f"s{i}", indicator="releases", dimension="success") for i in range(14)),
        *(
            unit(
                f"f{i}",
                indicator="releases",
                dimension="failure",
                outcome=Outcome.EXCLUDED,
                reason=Reason.NOT_SUCCESSFUL,
            )
            for i in range(3)
        ),
    )

    snapshot = of(store)

    assert (number(snapshot, "releases").n, number(snapshot, "releases").stats) == (14, {"per_day": 2.0})
    assert snapshot.totals == {("releases", API, "success"): 14.0, ("releases", API, "failure"): 3.0}


def test_a_count_of_nothing_is_a_fact_while_the_source_is_fresh(put: Any) -> None:
    """No release in a week of a service that once had one counts 0, and no frequency is made of it."""
    snapshot = of(put(unit("old", timedelta(days=20), indicator="releases", dimension="success")))

    assert (number(snapshot, "releases").n, number(snapshot, "releases").stats) == (0, {})


def test_a_service_that_only_ever_failed_has_no_success_per_day(put: Any) -> None:
    """Failures make a service known; its count of successes is 0."""
    store = put(
        unit("1", indicator="releases", dimension="failure", outcome=Outcome.EXCLUDED, reason=Reason.NOT_SUCCESSFUL)
    )

    assert number(of(store), "releases").n == 0


# --- stale sources ---------------------------------------------------------------------------------------


def test_a_stale_source_withholds_its_numbers(put: Any) -> None:
    """Of a source that is not fresh nothing is published, not even a count of 0."""
    store = put(unit("1"), unit("2", indicator="releases", dimension="success"))

    snapshot = of(store, (), source(fresh=False))

    assert (snapshot.numbers, snapshot.accounting) == ((), ())


def test_a_number_needs_every_source_it_rests_on(put: Any) -> None:
    """A change from one source shipped by another: one of them stale withholds it, for that service only."""
    store = put(unit("1", source="cd+ci"), unit("2", subject=WEB))

    snapshot = of(store, (), source("ci"), source("cd", fresh=False))

    assert {n.subject for n in snapshot.numbers} == {WEB}


def test_a_stale_source_makes_an_slo_unknown(put: Any) -> None:
    """A stale source gives insufficient_data, never 0 and never green, and no budget is shown."""
    store = put(*(unit(str(i)) for i in range(20)))

    (state,) = of(store, [slo()], source(fresh=False)).slos

    assert (state.status, state.why) == (SloStatus.INSUFFICIENT_DATA, "no recent success of ci")
    assert (state.counts, state.burn_rates) == ({}, {})
    assert (state.attainment, state.budget_remaining, state.budget_remaining_events) == (None, None, None)
    assert state.time_to_exhaustion_seconds is None


# --- SLOs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "good"),
    [(Operator.LTE, 2), (Operator.LT, 1), (Operator.GTE, 2), (Operator.GT, 1)],
)
def test_the_threshold_itself_is_judged_by_the_operator(put: Any, operator: Operator, good: int) -> None:
    """At exactly the threshold lte and gte are good, lt and gt are bad."""
    store = put(unit("below", value=59.999), unit("at", value=60.0), unit("above", value=60.001))

    (state,) = of(store, [slo(operator=operator)]).slos

    assert state.counts["7d"] == EventCounts(good, 3 - good)


def test_a_threshold_of_zero_is_a_threshold(put: Any) -> None:
    """A threshold of 0 seconds is not taken for none."""
    (state,) = of(put(unit("none", value=0.0), unit("some", value=0.1)), [slo(threshold=0.0)]).slos

    assert state.counts["7d"] == EventCounts(1, 1)


def test_an_slo_on_a_part_judges_the_part(put: Any) -> None:
    """With a dimension the threshold holds for that part; units without it do not count."""
    store = put(unit("a", value=500.0, parts=(460.0, 40.0, None, None)), unit("b", value=10.0))

    (state,) = of(store, [slo(dimension="work", minimum_events=1)]).slos

    assert state.counts["7d"] == EventCounts(1, 0)


def test_an_slo_on_a_ratio_takes_the_observations_own_outcome(put: Any) -> None:
    """Good and bad come from the observation; pending and excluded ones are in no term."""
    store = put(
        judged("1", Outcome.GOOD),
        judged("2", Outcome.BAD),
        judged("3", Outcome.PENDING),
        judged("4", Outcome.GOOD, matures_at=NOW + timedelta(hours=1)),
        judged("5", Outcome.EXCLUDED, reason=Reason.UNKNOWN_BASE),
    )

    (state,) = of(store, [slo(indicator="success", operator=None, threshold=None)]).slos

    assert state.counts["7d"] == EventCounts(1, 1)


def test_services_are_pooled_over_observations(put: Any) -> None:
    """Two services with 1 and 99 units: the blended figure pools units, it is no average of averages."""
    store = put(unit("slow", value=600.0, subject=WEB), *(unit(str(i)) for i in range(99)))

    (pooled, own) = of(store, [slo(), slo(name="web", service="web", minimum_events=1)]).slos

    assert (pooled.counts["7d"], pooled.attainment) == (EventCounts(99, 1), 0.99)
    assert (own.counts["7d"], own.attainment) == (EventCounts(0, 1), 0.0)


def test_an_slo_takes_in_only_its_environment(put: Any) -> None:
    """Staging does not count towards a promise about production."""
    store = put(unit("1"), unit("2", subject=Subject("api", "staging"), value=900.0))

    (state,) = of(store, [slo(environment="production", minimum_events=1)]).slos

    assert state.counts["7d"] == EventCounts(1, 0)


def test_burn_rates_are_exact_in_each_window(put: Any) -> None:
    """Burn is (bad / total) / (1 - target) per window; a window without events has none."""
    store = put(
        unit("1", timedelta(minutes=50), value=900.0),
        *(unit(f"h{i}", timedelta(minutes=40)) for i in range(3)),
        *(unit(f"d{i}", timedelta(hours=20)) for i in range(6)),
    )

    (state,) = of(store, [slo(target=Decimal("0.9"))]).slos

    assert (state.burn_rates["1h"], state.burn_rates["1d"]) == (2.5, 1.0)
    assert "5m" not in state.burn_rates
    assert state.counts["5m"] == EventCounts(0, 0)


def test_an_overspent_budget_is_negative(put: Any) -> None:
    """Budget overspent gives a negative remainder, not 0, and no time to exhaustion."""
    store = put(*(unit(f"b{i}", value=900.0) for i in range(6)), *(unit(f"g{i}") for i in range(4)))

    (state,) = of(store, [slo(target=Decimal("0.8"))]).slos

    assert (state.status, state.budget_remaining, state.budget_remaining_events) == (SloStatus.EXHAUSTED, -2.0, -4.0)
    assert state.time_to_exhaustion_seconds is None


def test_the_time_to_exhaustion_follows_the_last_three_days(put: Any) -> None:
    """Remaining share times window over the burn rate of the last 3 days: 0.75 · 7 d / 1."""
    store = put(
        unit("b", timedelta(days=1), value=900.0),
        *(unit(f"g{i}", timedelta(days=2)) for i in range(9)),
        *(unit(f"o{i}", timedelta(days=5)) for i in range(30)),
    )

    (state,) = of(store, [slo(target=Decimal("0.9"))]).slos

    assert (state.budget_remaining, state.burn_rates["3d"]) == (0.75, 1.0)
    assert state.time_to_exhaustion_seconds == pytest.approx(0.75 * 7 * 86_400)


def test_nothing_burns_has_no_time_to_exhaustion(put: Any) -> None:
    """Burn of 0 never ends: the time is absent."""
    (state,) = of(put(unit("1"), unit("2")), [slo()]).slos

    assert (state.status, state.why, state.time_to_exhaustion_seconds) == (SloStatus.HEALTHY, "", None)


def test_too_few_events_are_not_judged(put: Any) -> None:
    """Below the least number of events an SLO says so; its exact counts stay visible."""
    (state,) = of(put(unit("1", value=900.0)), [slo()]).slos

    assert (state.status, state.why) == (SloStatus.INSUFFICIENT_DATA, "1 event in 7d, at least 2 are needed")
    assert state.counts["7d"] == EventCounts(0, 1)


def test_an_slo_without_any_unit_is_unknown(put: Any) -> None:
    """An SLO that matches nothing is not green, and has no attainment and no budget."""
    (state,) = of(put(unit("1")), [slo(service="nobody")]).slos

    assert (state.status, state.coverage) == (SloStatus.INSUFFICIENT_DATA, 0.0)
    assert (state.attainment, state.budget_remaining, state.budget_remaining_events) == (None, None, None)


@pytest.mark.parametrize(
    ("first", "status", "coverage"),
    [(timedelta(days=3, hours=12), SloStatus.INSUFFICIENT_DATA, 0.5), (timedelta(days=30), SloStatus.HEALTHY, 1.0)],
)
def test_an_slo_younger_than_its_window_is_unknown(
    put: Any, first: timedelta, status: SloStatus, coverage: float
) -> None:
    """SLO younger than its window: coverage shown, status insufficient_data, no extrapolation."""
    store = put(unit("first", first), *(unit(str(i)) for i in range(5)))

    (state,) = of(store, [slo(minimum_coverage=0.9)]).slos

    assert (state.status, state.coverage) == (status, coverage)


def test_totals_count_every_final_unit_since_the_beginning(put: Any) -> None:
    """The counter behind an SLO does not forget what its window has left behind."""
    store = put(unit("old", timedelta(days=400), value=900.0), unit("1"), unit("2"))

    (state,) = of(store, [slo()]).slos

    assert (state.totals, state.counts["7d"]) == (EventCounts(2, 1), EventCounts(2, 0))


def test_what_is_tallied_is_counted_since_the_beginning_good_and_bad(put: Any) -> None:
    """Also what every window has left behind counts; what is excluded, or not over yet, does not."""
    tallied = replace(INDICATORS["success"], tallied=True)
    store = put(
        judged("old", Outcome.BAD, ago=timedelta(days=400)),
        judged("1", Outcome.GOOD),
        judged("2", Outcome.GOOD),
        judged("3", Outcome.EXCLUDED, reason=Reason.UNKNOWN),
        judged("4", Outcome.BAD, ago=-timedelta(minutes=1)),
    )

    snapshot = Evaluator(store).evaluate({"success": tallied}, [], [source()], NOW)

    assert snapshot.totals == {("success", API, "good"): 2.0, ("success", API, "bad"): 1.0}


# --- laws ------------------------------------------------------------------------------------------------

_OUTCOMES = [Outcome.GOOD, Outcome.BAD, Outcome.PENDING, Outcome.EXCLUDED]
_units = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(_OUTCOMES)), max_size=12)
_cuts = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12)).map(sorted)
_law = settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _span(after: int, until: int, label: str) -> Span:
    start = to_micros(NOW)
    return Span(start - after * 3_600_000_000, start - until * 3_600_000_000, label)


@_law
@given(units=_units, cuts=_cuts)
def test_a_split_window_adds_up(put: Any, units: list[tuple[int, Outcome]], cuts: list[int]) -> None:
    """Cut a window in two: the units, the pending and the excluded of the parts are those of the whole."""
    store = put(*(judged(str(i), o, ago=timedelta(hours=h), reason="unknown_base") for i, (h, o) in enumerate(units)))
    late, middle, early = cuts
    spans = [_span(early, late, "whole"), _span(early, middle, "first"), _span(middle, late, "second")]

    found = list(summarise(SUCCESS, Reader(store, NOW), spans, {"ci"}))
    numbers = {f.window: f.n for f in found if isinstance(f, Number)}
    others = {f.window: f.pending + sum(f.excluded.values()) for f in found if isinstance(f, Accounting)}
    whole, first, second = (s.label for s in spans)

    assert numbers.get(whole, 0) == numbers.get(first, 0) + numbers.get(second, 0)
    assert others.get(whole, 0) == others.get(first, 0) + others.get(second, 0)


@_law
@given(units=_units, order=st.randoms(use_true_random=False))
def test_the_order_of_units_changes_nothing(put: Any, units: list[tuple[int, Outcome]], order: Any) -> None:
    """The same observations give the same snapshot whatever their order."""
    observations = [judged(str(i), o, ago=timedelta(hours=h)) for i, (h, o) in enumerate(units)]
    promise = slo(indicator="success", operator=None, threshold=None)
    before = of(put(*observations), [promise])

    order.shuffle(observations)

    assert of(put(*observations), [promise]) == before


@_law
@given(good=st.integers(0, 20), bad=st.integers(0, 20))
def test_budget_used_and_left_make_one(put: Any, good: int, bad: int) -> None:
    """What is left of the budget and what is used add up to all of it."""
    store = put(
        *(judged(f"g{i}", Outcome.GOOD) for i in range(good)), *(judged(f"b{i}", Outcome.BAD) for i in range(bad))
    )
    promise = slo(indicator="success", operator=None, threshold=None, target=Decimal("0.75"))

    state = state_of(promise, SUCCESS, Reader(store, NOW), Conditions(fresh=frozenset({"ci"})))

    assert (state.budget_remaining is None) == (good + bad == 0)
    assert state.budget_remaining is None or state.budget_remaining + bad / (0.25 * (good + bad)) == pytest.approx(1)


def test_a_rolling_span_ends_at_the_given_time() -> None:
    """A span of 7 days is 7 days of 24 hours, and carries its window's label."""
    (span,) = rolling([WEEK], NOW)

    assert (span.until, span.days, span.label) == (to_micros(NOW), 7.0, "7d")


# --- evaluated again and again ----------------------------------------------------------------------------

_moments = st.integers(0, 24 * 130)
_unit = st.tuples(_moments, st.sampled_from(_OUTCOMES), st.sampled_from([API, WEB]), st.sampled_from([None, 30]))
# One unit stands once in a series at one time: the store refuses a second.
_sets = st.lists(st.lists(_unit, max_size=10, unique_by=lambda u: (u[0], u[2])), min_size=2, max_size=4)
TEAMS = Organisation(services=(Service(name="api", team="/shop/basket"), Service(name="web", team="/shop/search")))
SHOP, BASKET = Subject("", "production", "/shop"), Subject("", "production", "/shop/basket")
ALL = Subject("", "production", "/")


def _stored(units: list[tuple[int, Outcome, Subject, int | None]]) -> list[Observation]:
    """Judged and measured observations of the same moments. Two have one name: services may share a unit."""
    several: list[Observation] = []
    for i, (hours, outcome, who, ripens) in enumerate(units):
        name, ago = str(i // 2), timedelta(hours=hours - 48)
        matures_at = None if ripens is None else NOW + timedelta(hours=ripens)
        several += [
            judged(name, outcome, ago=ago, subject=who, matures_at=matures_at, reason="unknown_base"),
            unit(name, ago, subject=who, value=float(hours), parts=(None, 1.0, None, None)),
            unit(name, ago, subject=who, indicator="releases", dimension="success"),
        ]
    return several


@_law
@given(several=_sets, hours=st.lists(st.integers(0, 60), min_size=4, max_size=4).map(sorted))
def test_what_is_kept_never_changes_an_answer(
    put: Any, several: list[list[tuple[int, Outcome, Subject, int | None]]], hours: list[int]
) -> None:
    """After any changes, at any later times, an evaluator that kept what it knew says what a new one says."""
    promises = [slo(), slo(name="judged", indicator="success", operator=None, threshold=None)]
    kept = Evaluator(put())
    for units, after in zip(several, hours, strict=False):
        store = put(*_stored(units))
        kept.apply(put.changes)
        at = NOW + timedelta(hours=after)

        assert kept.evaluate(INDICATORS, promises, [source()], at, organisation=TEAMS) == evaluate(
            store, INDICATORS, promises, [source()], at, organisation=TEAMS
        )


class Elsewhere:
    """Another one that evaluates at once, as another process would; what is new crosses as bytes."""

    def __init__(self, store: ObservationStore) -> None:
        self._apart = Apart(store)
        self._mirror = Mirror(0)
        self.asked = 0
        self.silent = False

    def evaluate(self, organisation: Organisation, wanted: Wanted) -> bool:
        """Evaluate what is wanted."""
        self.asked += 1
        for name, news in self._apart.answer(wanted, organisation):
            self._mirror.hear(name, msgspec.msgpack.decode(msgspec.msgpack.encode(news), type=News))
        self._mirror.heard()
        return True

    def evaluated(self) -> Mapping[str, Mapping[Subject, Part]] | None:
        """All of it; None when it is silent."""
        return None if self.silent else self._mirror.parts


@_law
@given(
    several=_sets,
    hours=st.lists(st.integers(0, 60), min_size=4, max_size=4).map(sorted),
    silent=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_what_is_evaluated_elsewhere_is_what_is_evaluated_here(
    put: Any, several: list[list[tuple[int, Outcome, Subject, int | None]]], hours: list[int], silent: list[bool]
) -> None:
    """After any changes, and where the other one says nothing now and then, snapshot and bytes are the same."""
    promises = [slo(), slo(name="judged", indicator="success", operator=None, threshold=None)]
    other = Elsewhere(put())
    shared, alone = Evaluator(put(), other, LineWriter()), Evaluator(put())
    beside, publisher = Publisher(), Publisher()
    for units, after, other.silent in zip(several, hours, silent, strict=False):
        put(*_stored(units))
        shared.apply(put.changes)
        alone.apply(put.changes)
        at = NOW + timedelta(hours=after)
        here = alone.evaluate(INDICATORS, promises, [source()], at, organisation=TEAMS)
        there = shared.evaluate(INDICATORS, promises, [source()], at, organisation=TEAMS)

        assert there == here
        assert beside.expose(there, INDICATORS, "1").text == publisher.expose(here, INDICATORS, "1").text
    assert other.asked > 1


def test_what_is_evaluated_elsewhere_and_did_not_change_is_the_same_part(put: Any) -> None:
    """Only what changed comes again, with its lines; a subject without news stays one object."""
    store = put(unit("1"), unit("2", subject=WEB))
    evaluator = Evaluator(store, Elsewhere(store))
    first = evaluator.evaluate({"wait": WAIT}, [], [source()], NOW)
    put(unit("1"), unit("2", subject=WEB), unit("3", subject=WEB))
    evaluator.apply(put.changes)
    second = evaluator.evaluate({"wait": WAIT}, [], [source()], NOW)

    assert [one is other for one, other in zip(first.parts, second.parts, strict=True)] == [True, False]
    assert [p.lines.keys() for p in second.parts] == [p.lines.keys() for p in first.parts]
    assert all(p.lines for p in second.parts)


def test_parts_come_with_their_lines_where_these_are_written_at_once(put: Any) -> None:
    """Those of a subject without news stay one object."""
    evaluator = Evaluator(put(unit("1"), unit("2", subject=WEB)), lines=LineWriter())
    first = evaluator.evaluate({"wait": WAIT}, [], [source()], NOW)
    put(unit("1"), unit("2", subject=WEB), unit("3", subject=WEB))
    evaluator.apply(put.changes)
    second = evaluator.evaluate({"wait": WAIT}, [], [source()], NOW)

    assert all(p.lines for p in (*first.parts, *second.parts))
    assert [one is other for one, other in zip(first.parts, second.parts, strict=True)] == [True, False]


def test_what_has_gone_since_it_was_evaluated_elsewhere_is_gone(put: Any) -> None:
    """Also where the other one says nothing any more."""
    other = Elsewhere(put(unit("1")))
    evaluator = Evaluator(put(unit("1")), other)
    first = evaluator.evaluate({"wait": WAIT}, [], [source()], NOW)
    put()
    evaluator.apply(put.changes)
    other.silent = True
    second = evaluator.evaluate({"wait": WAIT}, [], [source()], NOW)

    assert [bool(s.parts) for s in (first, second)] == [True, False]


def test_numbers_of_people_are_not_evaluated_elsewhere(put: Any) -> None:
    """They are withheld by what all of them are about, which one process must know."""
    store = put(unit("1"))
    other = Elsewhere(store)
    Evaluator(store, other).evaluate({"wait": replace(WAIT, people=True), "success": SUCCESS}, [], [source()], NOW)

    assert other.asked == 0


def test_an_evaluator_that_asks_for_the_first_time_is_told_everything(put: Any) -> None:
    """Changes that nobody told the evaluator before it are in what the next one is told."""
    store = put(unit("1"))
    other = Elsewhere(store)
    Evaluator(store, other).evaluate({"wait": WAIT}, [], [source()], NOW)
    put(unit("1"), unit("2"))

    assert number(Evaluator(store, other).evaluate({"wait": WAIT}, [], [source()], NOW), "wait").n == 2


def test_what_did_not_change_is_the_same_object(put: Any) -> None:
    """A later evaluation without a new, leaving or maturing unit gives the same numbers and states again."""
    evaluator = Evaluator(put(unit("1", timedelta(days=100)), unit("2"), judged("3", Outcome.GOOD)))
    first = evaluator.evaluate(INDICATORS, [slo()], [source()], NOW)
    second = evaluator.evaluate(INDICATORS, [slo()], [source()], NOW + timedelta(seconds=1))

    assert [id(n) for n in second.numbers] == [id(n) for n in first.numbers]
    assert [id(a) for a in second.accounting] == [id(a) for a in first.accounting]
    assert second.slos[0] is first.slos[0]


def test_what_did_not_change_is_the_same_part(put: Any) -> None:
    """What is known of a subject stays one object while another subject changes."""
    waits = {"wait": INDICATORS["wait"]}
    evaluator = Evaluator(put(unit("1"), unit("2", subject=WEB)))
    first = evaluator.evaluate(waits, [], [source()], NOW)
    put(unit("1"), unit("2", subject=WEB), unit("3", subject=WEB))
    evaluator.apply(put.changes)
    second = evaluator.evaluate(waits, [], [source()], NOW)

    assert [p.subject for p in first.parts] == [API, WEB]
    assert [one is other for one, other in zip(first.parts, second.parts, strict=True)] == [True, False]


def test_the_parts_are_those_of_the_numbers(put: Any) -> None:
    """Parts that the evaluation hands over are those that numbers, accounting and totals make up."""
    store = put(unit("1"), judged("2", Outcome.GOOD), unit("3", indicator="releases", dimension="success"))
    snapshot = evaluate(store, INDICATORS, [], [source()], NOW, organisation=TEAMS)

    assert {p.indicator for p in snapshot.parts} == {"wait", "work", "success", "releases"}
    assert snapshot.parts == replace(snapshot, made_of=None).parts


def test_a_snapshot_with_something_added_has_the_same_parts(put: Any) -> None:
    """They are the same objects, so that they are not written anew; other numbers are other parts."""
    snapshot = evaluate(put(unit("1")), INDICATORS, [], [source()], NOW)

    assert replace(snapshot, duration_seconds=1.0).parts is snapshot.parts
    assert {n.window for p in replace(snapshot, numbers=snapshot.numbers[:1]).parts for n in p.numbers} == {"7d"}


def test_only_the_windows_that_a_unit_left_are_counted_anew(put: Any) -> None:
    """A unit that is no longer of the last 7 days is still one of the last 28: their number stays the same object."""
    evaluator = Evaluator(put(unit("1", timedelta(days=7) - timedelta(minutes=1)), unit("2")))
    first = evaluator.evaluate(INDICATORS, [], [source()], NOW)
    second = evaluator.evaluate(INDICATORS, [], [source()], NOW + timedelta(minutes=2))

    assert [number(s, "wait").n for s in (first, second)] == [2, 1]
    assert second.number("wait", API, "28d") is first.number("wait", API, "28d")


def test_going_back_in_time_forgets(put: Any) -> None:
    """A clock that was set back gives what was true then."""
    evaluator = Evaluator(put(unit("1"), unit("2", -timedelta(hours=1))))
    evaluator.evaluate(INDICATORS, [], [source()], NOW + timedelta(hours=2))

    assert number(evaluator.evaluate(INDICATORS, [], [source()], NOW, windows=[WEEK]), "wait").n == 1


def test_a_change_of_long_ago_reaches_the_totals(put: Any) -> None:
    """What is dated before every window is counted too, and counted again when it changes."""
    old = [unit(str(i), timedelta(days=200 + i), value=900.0) for i in range(3)]
    evaluator = Evaluator(put(*old, unit("new")))
    evaluator.evaluate(INDICATORS, [slo()], [source()], NOW)
    put(*old[:1], unit("new"))
    evaluator.apply(put.changes)

    (state,) = evaluator.evaluate(INDICATORS, [slo()], [source()], NOW).slos

    assert state.totals == EventCounts(1, 1)


def test_an_old_unit_that_matures_late_is_counted_when_it_does(put: Any) -> None:
    """A unit from before every window that waits for its verdict joins the totals once it is final."""
    late = judged("late", Outcome.BAD, ago=timedelta(days=300), matures_at=NOW + timedelta(hours=1))
    evaluator = Evaluator(put(late, judged("1", Outcome.GOOD)))
    promise = slo(indicator="success", operator=None, threshold=None)

    before, after = (
        evaluator.evaluate(INDICATORS, [promise], [source()], NOW + timedelta(hours=h)).slos[0].totals for h in (0, 2)
    )

    assert (before, after) == (EventCounts(1, 0), EventCounts(1, 1))


# --- teams -------------------------------------------------------------------------------------------------


def teams(store: ObservationStore, organisation: Organisation = TEAMS) -> Snapshot:
    """The snapshot of a store for services with teams."""
    return evaluate(store, INDICATORS, [], [source()], NOW, windows=[WEEK], organisation=organisation)


def test_a_service_carries_its_team_and_each_level_has_its_numbers(put: Any) -> None:
    """Beside the services stand the whole organisation, the group and the teams, levels first."""
    snapshot = teams(put(unit("1"), unit("2", subject=WEB)))

    assert [n.subject for n in snapshot.numbers if n.indicator == "wait"] == [
        ALL,
        SHOP,
        BASKET,
        Subject("", "production", "/shop/search"),
        Subject("api", "production", "/shop/basket"),
        Subject("web", "production", "/shop/search"),
    ]


def test_a_level_pools_units(put: Any) -> None:
    """Two services with 1 and 99 units: the level's median is that of the units, no average of medians."""
    store = put(unit("slow", value=900.0, subject=WEB), *(unit(str(i), value=10.0) for i in range(99)))

    found = number(teams(store), "wait", SHOP)

    assert (found.n, found.stats["p50"]) == (100, 10.0)


def test_a_level_counts_a_shared_unit_once_at_its_earliest_time(put: Any) -> None:
    """A change that reached two services is one change of their group, when it first reached one; each counts it."""
    store = put(
        unit("shared", timedelta(days=1), subject=WEB, value=500.0), unit("shared", timedelta(days=8)), unit("own")
    )
    snapshot = teams(store)

    assert number(snapshot, "wait", Subject("web", "production", "/shop/search")).n == 1
    assert number(snapshot, "wait", SHOP).n == 1


def test_a_shared_unit_that_one_service_could_use_is_used(put: Any) -> None:
    """Left out of one service and measured at another, a unit counts as measured, and lowers no coverage."""
    left_out = unit("shared", timedelta(days=2), outcome=Outcome.EXCLUDED, value=None, reason=Reason.BEFORE_HORIZON)
    snapshot = teams(put(left_out, unit("shared", timedelta(days=1), subject=WEB)))

    assert (number(snapshot, "wait", SHOP).n, beside(snapshot, "wait", SHOP).excluded) == (1, {})
    assert beside(snapshot, "wait", SHOP).coverage == 1.0


def test_a_level_accounts_for_what_its_services_left_out(put: Any) -> None:
    """Coverage and reasons of a level are those of all its units."""
    left_out = unit("2", subject=WEB, outcome=Outcome.EXCLUDED, value=None, reason=Reason.UNKNOWN_BASE)
    snapshot = teams(put(unit("1"), left_out))

    assert (beside(snapshot, "wait", ALL).coverage, beside(snapshot, "wait", ALL).excluded) == (
        0.5,
        {"unknown_base": 1},
    )


def test_levels_have_no_counters(put: Any) -> None:
    """Counters are summed where they are asked for: a service that moves would make a level's fall."""
    snapshot = teams(put(unit("1", indicator="releases", dimension="success")))

    assert list(snapshot.totals) == [("releases", Subject("api", "production", "/shop/basket"), "success")]


def test_without_teams_there_are_no_levels(put: Any) -> None:
    """A catalogue that names no team leaves the numbers as they are."""
    store = put(unit("1"))

    assert teams(store, Organisation(services=(Service(name="api"),))).numbers == of(store).numbers


def test_a_catalogue_that_first_names_teams_pools_what_services_share(put: Any) -> None:
    """Without teams nobody asks which units are the same; from the first team on it matters."""
    evaluator = Evaluator(put(unit("shared"), unit("shared", timedelta(hours=2), subject=WEB)))
    evaluator.evaluate(INDICATORS, [], [source()], NOW)

    found = evaluator.evaluate(INDICATORS, [], [source()], NOW, windows=[WEEK], organisation=TEAMS)

    assert number(found, "wait", SHOP).n == 1


def test_other_indicators_are_read_anew(put: Any) -> None:
    """A duration that gains parts shows them, though what was read before had none."""
    whole = replace(WAIT, dimension="", dimensions=())
    evaluator = Evaluator(put(unit("1", parts=(None, 5.0, None, None))))
    evaluator.evaluate({"wait": whole}, [], [source()], NOW)

    found = evaluator.evaluate({"wait": WAIT}, [], [source()], NOW, windows=[WEEK])

    assert [(n.dimension, n.stats["p50"]) for n in found.numbers] == [("", 60.0), ("work", 5.0)]


def test_a_moved_service_is_its_new_team_s(put: Any) -> None:
    """From the next evaluation on its units are pooled where it belongs now."""
    evaluator = Evaluator(put(unit("1")))
    evaluator.evaluate(INDICATORS, [], [source()], NOW, organisation=TEAMS)
    moved = Organisation(services=(Service(name="api", team="/pay"),))

    found = {n.subject.team for n in evaluator.evaluate(INDICATORS, [], [source()], NOW, organisation=moved).numbers}

    assert found == {"/", "/pay"}


def test_a_stale_source_withholds_the_level_too(put: Any) -> None:
    """A level whose services rest on a stale source has no number; the fresh service keeps its own."""
    store = put(unit("1"), unit("2", subject=WEB, source="late"))
    snapshot = evaluate(store, INDICATORS, [], [source(), source("late", fresh=False)], NOW, organisation=TEAMS)

    assert {n.subject for n in snapshot.numbers} == {BASKET, Subject("api", "production", "/shop/basket")}


def test_an_slo_of_a_service_counts_its_units_once(put: Any) -> None:
    """The levels above a service add nothing to its promises, nor to one for all services."""
    store = put(unit("1"), unit("2", subject=WEB))
    promises = [slo(minimum_events=1), slo(name="own", service="api", minimum_events=1)]

    states = evaluate(store, INDICATORS, promises, [source()], NOW, organisation=TEAMS).slos

    assert [s.counts["7d"].total for s in states] == [2, 1]


def test_a_service_that_vanishes_leaves_its_levels(put: Any) -> None:
    """A level goes on with what is left of it; one that has nothing left is gone."""
    evaluator = Evaluator(put(unit("1"), unit("2", subject=WEB, value=900.0)))
    evaluator.evaluate(INDICATORS, [], [source()], NOW, organisation=TEAMS)
    store = put(unit("1"))
    evaluator.apply(put.changes)

    left = evaluator.evaluate(INDICATORS, [], [source()], NOW, windows=[WEEK], organisation=TEAMS)

    assert number(left, "wait", SHOP).n == 1
    assert {n.subject for n in left.numbers} == {ALL, SHOP, BASKET, Subject("api", "production", "/shop/basket")}
    assert left == teams(store)


def test_counters_go_on_while_their_source_is_stale(put: Any) -> None:
    """A stale source withholds numbers; what was counted so far stays, and numbers come back with the source."""
    released = unit("1", indicator="releases", dimension="success")
    evaluator = Evaluator(put(released))
    fresh, stale, again = (
        evaluator.evaluate(INDICATORS, [], [source(fresh=yes)], NOW, windows=[WEEK]) for yes in (True, False, True)
    )

    assert fresh.totals == stale.totals == again.totals == {("releases", API, "success"): 1.0}
    assert ([n.n for n in fresh.numbers], stale.numbers, [n.n for n in again.numbers]) == ([1], (), [1])


# --- scores ------------------------------------------------------------------------------------------------


def test_production_has_quick_check_scores(put: Any) -> None:
    """An hour and a half of lead time scores 8; staging and windows of a week have no score."""
    lead_time = replace(WAIT, name="change_lead_time", metric="platform_lead")
    hours: dict[str, Any] = {"indicator": "change_lead_time", "value": 5_400.0}
    store = put(unit("1", **hours), unit("2", **hours, subject=Subject("api", "staging")))

    scores = evaluate(store, {"change_lead_time": lead_time}, [], [source()], NOW).scores

    assert scores == {
        (API, window): {"change_lead_time": 8.0, "throughput": 8.0, "overall": 8.0} for window in ("28d", "90d")
    }


def test_scores_follow_what_changed(put: Any) -> None:
    """A service whose lead time changed is scored anew, the score of the other one stays; both as if asked at first."""
    found = {"change_lead_time": replace(WAIT, name="change_lead_time", metric="platform_lead")}
    quick: dict[str, Any] = {"indicator": "change_lead_time", "value": 1_800.0}
    slow: dict[str, Any] = {"indicator": "change_lead_time", "value": 2 * 86_400.0}
    evaluator = Evaluator(put(unit("1", **quick), unit("2", **quick, subject=WEB)))
    first = evaluator.evaluate(found, [], [source()], NOW).scores
    store = put(unit("1", **quick), unit("2", **slow, subject=WEB))
    evaluator.apply(put.changes)

    second = evaluator.evaluate(found, [], [source()], NOW).scores

    assert [first[who, "28d"]["overall"] for who in (API, WEB)] == [10.0, 10.0]
    assert [second[who, "28d"]["overall"] for who in (API, WEB)] == [10.0, 6.0]
    assert second[API, "28d"] is first[API, "28d"]
    assert second == evaluate(store, found, [], [source()], NOW).scores
