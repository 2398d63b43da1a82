"""Indicators with an arithmetic of their own: what they are given, when they are asked again, what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.errors import ConfigError
from collector.store import ObservationStore
from slo_engine.catalog import metrics_of
from slo_engine.evaluate import Evaluator, evaluate
from slo_engine.exposition import expose
from slo_engine.indicator import Family, Indicator, Reach, Shape, Unit, _check
from slo_engine.measure import Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, labelled
from slo_engine.organisation import Organisation, Service
from slo_engine.snapshot import Accounting, Number, Snapshot
from slo_engine.windows import parse_window

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WEEK = parse_window("7d")
SHOP, BASKET, WHOLE = Subject(team="/shop"), Subject(team="/shop/basket"), Subject(team="/")
ANN, BEA, CAT = "person:aa", "person:bb", "person:cc"


def _active(sample: Sample) -> Measured:
    """How many people were active in the window, and what share of them had been in the one before."""
    inside = set(sample.unit[sample.inside].tolist())
    before = set(sample.unit[~sample.inside].tolist())
    stats = {"value": float(len(inside))}
    if before:
        stats["kept"] = len(inside & before) / len(before)
    return Measured(n=len(inside), stats=stats)


def _age(sample: Sample) -> Measured:
    """How old the oldest unit that is still open is, in seconds; what was closed is left out."""
    waits = sample.is_(Outcome.PENDING)
    ages = (sample.now - sample.at[waits]) / 1e6
    stats = {"high": float(ages.max())} if ages.size else {}
    left = int(np.count_nonzero(sample.is_(Outcome.EXCLUDED)))
    return Measured(
        n=int(ages.size), stats=stats, pending=int(ages.size), excluded={"rejected": left, "bot": 0}, coverage=0.5
    )


def _score(sample: Sample) -> Measured:
    """Promoters minus detractors over all, by the second label: which answer a unit is."""
    yes, no = (int(np.count_nonzero(sample.named(1, a, 2))) for a in ("yes", "no"))
    return Measured(n=yes + no, stats={"value": (yes - no) / (yes + no), "nothing": float("nan"), "other": 1.0})


ACTIVE = Indicator(
    name="active",
    version="1",
    title="Active people",
    definition="People with an action.",
    shape=Shape.MEASURE,
    metric="platform_active",
    measure=_active,
    stats=("value", "kept"),
    reach=Reach.TWICE,
)
AGE = Indicator(
    name="age",
    version="1",
    title="Age of what is open",
    definition="Age of the oldest open unit.",
    shape=Shape.MEASURE,
    metric="platform_age",
    measure=_age,
    stats=("high",),
    unit=Unit.SECONDS,
    reach=Reach.ALL,
)
SCORE = Indicator(
    name="score",
    version="1",
    title="Score",
    definition="Share of yes minus share of no.",
    shape=Shape.MEASURE,
    metric="platform_score",
    labels=("kind", ""),
    measure=_score,
    stats=("value", "nothing"),
    unit=Unit.RATIO,
)
INDICATORS = {i.name: i for i in (ACTIVE, AGE, SCORE)}
DESK = source_state("desk", last_success_at=NOW, last_run_at=NOW, last_duration_seconds=1.0, newest_event_at=NOW)


def seen(unit: str, ago: timedelta = timedelta(hours=1), **fields: Any) -> Observation:
    """Somebody of a team was active some time before now, unless told otherwise."""
    given: dict[str, Any] = {"indicator": "active", "subject": SHOP, "source": "desk", "outcome": Outcome.MEASURED}
    return Observation(**{**given, "unit": unit, "at": NOW - ago, **fields})


def answer(unit: str, said: str, kind: str = "yearly", **fields: Any) -> Observation:
    """An answer to a survey of a kind."""
    return seen(unit, indicator="score", dimension=labelled(kind, said), **fields)


def at(store: ObservationStore, moment: datetime = NOW, **fields: Any) -> Snapshot:
    """What is known at a time, in one window."""
    return evaluate(store, INDICATORS, [], [DESK], moment, windows=[WEEK], **fields)


def number(snapshot: Snapshot, name: str, subject: Subject = SHOP, window: str = "7d", cell: str = "") -> Number:
    """A number that is there."""
    found = snapshot.number(name, subject, window, cell)
    assert found is not None
    return found


# --- what a measure is given ------------------------------------------------------------------------------


def test_a_person_of_several_observations_is_one_unit(put: Any) -> None:
    """Ann acted twice and Bea once: two people were active."""
    store = put(seen(ANN), seen(ANN, timedelta(hours=2)), seen(BEA))

    assert number(at(store), "active").stats == {"value": 2.0}


def test_the_window_before_is_within_reach(put: Any) -> None:
    """Of Ann and Bea, active the week before, Ann was again this week: a half was kept; what is older is not seen."""
    store = put(seen(ANN), seen(ANN, timedelta(days=8)), seen(BEA, timedelta(days=13)), seen(CAT, timedelta(days=15)))

    assert number(at(store), "active").stats == {"value": 1.0, "kept": 0.5}


def test_a_person_of_two_teams_is_one_of_the_level_above(put: Any) -> None:
    """Units of several teams are pooled as they are: who is told apart by the measure itself."""
    store = put(seen(ANN), seen(ANN, subject=BASKET), seen(BEA, subject=BASKET))

    assert number(at(store), "active", WHOLE).n == 2
    assert number(at(store), "active", BASKET).n == 2


def test_people_are_told_apart_where_no_team_is_known(put: Any) -> None:
    """Distinct people are counted whether or not anything is pooled."""
    store = put(seen(ANN, subject=Subject()), seen(BEA, subject=Subject()))

    assert number(at(store), "active", Subject()).n == 2


def test_what_lies_in_the_future_or_is_gone_is_not_given(put: Any) -> None:
    """A sample holds what is there now: no unit of tomorrow, and no pending one whose judgement has come."""
    gone = seen(BEA, timedelta(hours=3), outcome=Outcome.PENDING, matures_at=NOW)
    store = put(seen(ANN), gone, seen(CAT, -timedelta(hours=1)))

    assert number(at(store), "active").n == 1


def test_the_indicator_s_own_label_tells_units_apart(put: Any) -> None:
    """Three said yes and one no: the score of what is published together is a half."""
    store = put(*(answer(str(i), "yes") for i in range(3)), answer("3", "no"))

    assert number(at(store), "score", cell="yearly").stats == {"value": 0.5}


def test_a_published_label_splits_what_a_measure_is_given(put: Any) -> None:
    """Each kind of survey has its score, and all of them together theirs."""
    store = put(answer("1", "yes"), answer("2", "no", "exit"))

    found = {n.dimension: n.stats["value"] for n in at(store).numbers if n.subject == SHOP}

    assert found == {"": 0.0, "yearly": 1.0, "exit": -1.0}


def test_the_organisation_s_rules_are_given(put: Any) -> None:
    """A measure may ask the organisation; with other rules it is asked again."""
    asked: list[int] = []

    def smallest(sample: Sample) -> Measured:
        asked.append(sample.organisation.smallest_group)
        return Measured(n=1, stats={"value": float(sample.organisation.smallest_group)})

    one = {"active": replace(ACTIVE, measure=smallest)}
    kept = Evaluator(put(seen(ANN)))
    for size in (5, 5, 9):
        kept.evaluate(one, [], [DESK], NOW, windows=[WEEK], organisation=Organisation(smallest_group=size))

    assert asked == [5, 5, 9, 9]


# --- what becomes of it -----------------------------------------------------------------------------------


def test_what_looks_at_everything_has_one_number_for_now(put: Any) -> None:
    """The age of what is open is one of a moment: 40 days, whatever windows there are."""
    store = put(seen("1", timedelta(days=40), indicator="age", outcome=Outcome.PENDING))

    found = [n for n in at(store).numbers if n.subject == SHOP]

    assert [(n.window, n.stats) for n in found] == [("now", {"high": 40 * 86_400.0})]


def test_what_a_measure_says_beside_its_number_is_published(put: Any) -> None:
    """Pending, left out and coverage are the measure's own; a reason that nothing was left out for is not named."""
    left = seen("2", indicator="age", outcome=Outcome.EXCLUDED, reason="rejected")
    snapshot = at(put(seen("1", indicator="age", outcome=Outcome.PENDING), left))

    assert snapshot.beside(number(snapshot, "age", window="now")) == Accounting(
        indicator="age", subject=SHOP, window="now", pending=1, excluded={"rejected": 1}, coverage=0.5
    )


def test_a_statistic_that_is_no_number_is_absent(put: Any) -> None:
    """What cannot be said has no value, and what an indicator does not declare is not published."""
    assert set(number(at(put(answer("1", "yes"))), "score").stats) == {"value"}


def test_a_measure_s_metrics_are_named_by_its_unit() -> None:
    """Seconds and ratios say so in the name; a count has none to say, and the statistics are a label."""
    assert metrics_of(AGE).value.name == "platform_age_seconds"
    assert metrics_of(SCORE).value.name == "platform_score_ratio"
    assert metrics_of(ACTIVE).value.name == "platform_active"
    assert metrics_of(SCORE).value.labels == ("service", "environment", "team", "window", "kind", "stat")


def test_a_measure_is_published(put: Any) -> None:
    """Its statistics are series of one metric, n stands beside them."""
    lines = expose(at(put(seen(ANN), seen(ANN, timedelta(days=8)))), INDICATORS, "1").text.decode().splitlines()

    assert 'platform_active{environment="",service="",stat="kept",team="/shop",window="7d"} 1.0' in lines
    assert 'platform_active_samples{environment="",service="",team="/shop",window="7d"} 1.0' in lines


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stats": ()}, "do not belong together"),
        ({"measure": None}, "do not belong together"),
        ({"labels": ("", "kind")}, "stands before others"),
        ({"labels": ("kind",), "shared": ("kind",)}, "whose values are not known"),
        ({"labels": ("kind",), "apart": ("queue",)}, "kept apart"),
        ({"labels": ("kind",), "dimension": "stage"}, "a dimension"),
    ],
)
def test_an_indicator_that_contradicts_itself_is_refused(wrong: dict[str, Any], said: str) -> None:
    """A declaration that nothing could be published of is refused where it is loaded."""
    family = Family(name="f", inputs=(), indicators=(replace(ACTIVE, **wrong),), observe=lambda _e, _o: ())

    with pytest.raises(ConfigError, match=said):
        _check([family])


# --- when it is asked again -------------------------------------------------------------------------------


def test_a_label_s_only_value_and_all_together_are_measured_once(put: Any) -> None:
    """The same units of the same subject give the same number: one with the label's value, one without."""
    asked: list[Sample] = []

    def counting(sample: Sample) -> Measured:
        asked.append(sample)
        return _score(sample)

    store = put(answer(ANN, "yes"), answer(BEA, "no"), answer(CAT, "yes"))

    found = evaluate(store, {"score": replace(SCORE, measure=counting)}, [], [DESK], NOW, windows=[WEEK])

    one, whole = (number(found, "score", cell=cell) for cell in (labelled("yearly"), ""))
    assert (one.dimension, whole.dimension, one.stats == whole.stats) == ("yearly", "", True)
    assert len({(s.subject, s.after) for s in asked}) == len(asked)


def _asked_again(put: Any, indicator: Indicator, *units: Observation) -> int:
    """How often a measure is asked in three evaluations, a second apart, of units that do not change."""
    asked: list[Sample] = []

    def counting(sample: Sample) -> Measured:
        asked.append(sample)
        return Measured(n=1, stats={"value": 1.0})

    one = replace(indicator, measure=counting, labels=())
    kept = Evaluator(put(*units))
    for second in range(3):
        kept.evaluate({one.name: one}, [], [DESK], NOW + timedelta(seconds=second), windows=[WEEK])
    return len(asked)


def test_what_did_not_change_is_not_measured_again(put: Any) -> None:
    """Units that stay in their windows are measured once for the team and once for the whole."""
    assert _asked_again(put, ACTIVE, seen(ANN), seen(BEA, timedelta(days=9))) == 2


def test_what_is_pending_is_measured_each_time(put: Any) -> None:
    """A duration that is under way grows with time alone."""
    assert _asked_again(put, ACTIVE, seen(ANN, outcome=Outcome.PENDING)) == 6


def test_what_looks_at_everything_is_measured_each_time(put: Any) -> None:
    """Ages grow with time alone."""
    assert _asked_again(put, AGE, seen("1", indicator="age")) == 6


_TEAMS = Organisation(services=(Service(name="api", team="/shop"),))
_outcomes = st.sampled_from([Outcome.MEASURED, Outcome.PENDING, Outcome.EXCLUDED])
_units = st.lists(
    st.tuples(
        st.integers(0, 24 * 20), st.sampled_from([ANN, BEA, CAT]), _outcomes, st.sampled_from([SHOP, BASKET, Subject()])
    ),
    max_size=8,
    unique_by=lambda u: (u[0], u[1], u[3]),
)


def _stored(units: list[tuple[int, str, Outcome, Subject]]) -> list[Observation]:
    """What was seen, as each of the indicators has it; what is pending matures a day and a half after NOW."""
    found = []
    for hours, who, outcome, subject in units:
        matures_at = NOW + timedelta(hours=36) if outcome is Outcome.PENDING and hours % 2 else None
        one: dict[str, Any] = {"outcome": outcome, "subject": subject, "matures_at": matures_at}
        one["ago"] = timedelta(hours=hours - 48)
        said = labelled(("yearly", "exit", "")[hours % 3], ("yes", "no")[hours % 2])
        found += [seen(who, **one), seen(who, indicator="age", **one)]
        found.append(seen(who, indicator="score", dimension=said, **one))
    return found


def _nobody(sample: Sample) -> Measured:
    """As the score; nothing where nobody answered."""
    return _score(sample) if sample.at.size else Measured(n=0)


_SAFE = {**INDICATORS, "score": replace(SCORE, measure=_nobody)}


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several=st.lists(_units, min_size=2, max_size=4), hours=st.lists(st.integers(0, 60), min_size=4, max_size=4))
def test_what_is_kept_never_changes_an_answer(
    put: Any, several: list[list[tuple[int, str, Outcome, Subject]]], hours: list[int]
) -> None:
    """After any changes, at any later times, an evaluator that kept what it knew says what a new one says."""
    windows = [WEEK, parse_window("3d")]
    kept = Evaluator(put())
    for units, after in zip(several, sorted(hours), strict=False):
        store, moment = put(*_stored(units)), NOW + timedelta(hours=after)
        kept.apply(put.changes)

        assert kept.evaluate(_SAFE, [], [DESK], moment, windows=windows, organisation=_TEAMS) == evaluate(
            store, _SAFE, [], [DESK], moment, windows=windows, organisation=_TEAMS
        )
