"""Where the numbers of an SLO come from: whose bad events spent its budget, which sources told, what is left out now.

Every expected share was made by hand from the counts of the events.
"""

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
from slo_engine.burn import Tier
from slo_engine.catalog import SERIES_LABELS
from slo_engine.evaluate import Evaluator, evaluate
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Observation, Outcome, Subject, labelled
from slo_engine.organisation import Organisation, Service
from slo_engine.promql import CounterRatio
from slo_engine.slo import Composite, IndicatorSli, Operator, Part, Slo
from slo_engine.snapshot import SloState, Snapshot, SourceState
from slo_engine.windows import CalendarWindow, parse_window

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SUCCESS = Indicator(
    name="success",
    version="1",
    title="Success",
    definition="Share that went well.",
    shape=Shape.RATIO,
    metric="platform_success",
)
WAIT = replace(
    SUCCESS,
    name="wait",
    metric="platform_wait",
    shape=Shape.DURATION,
    dimension="stage",
    dimensions=("queue", "run"),
)
REQUESTS = replace(SUCCESS, name="requests", metric="platform_requests", labels=("journey", "outcome", ""))
JOINERS = replace(SUCCESS, name="joiners", metric="platform_joiners", people=True)
INDICATORS = {i.name: i for i in (SUCCESS, WAIT, REQUESTS, JOINERS)}
TIER = Tier(
    name="Fast",
    severity="page",
    budget_share=Decimal("0.02"),
    long=parse_window("1h"),
    short=parse_window("5m"),
    minimum_bad_events=2,
)


def several(service: str, good: int, bad: int = 0, **fields: Any) -> list[Observation]:
    """Units of a service in production an hour ago: the good ones, then the bad ones."""
    at = fields.pop("at", NOON - HOUR)
    known: dict[str, Any] = {"indicator": "success", "source": "ci", "subject": Subject(service, "production")}
    return [
        Observation(
            **known
            | {"unit": f"{service}-{n}", "at": at + n * timedelta(microseconds=1)}
            | {"outcome": Outcome.GOOD if n < good else Outcome.BAD}
            | fields
        )
        for n in range(good + bad)
    ]


def slo(**fields: Any) -> Slo:
    """An SLO: nine of ten units of anybody in a week, from one unit on, however young it is."""
    known: dict[str, Any] = {"name": "works", "title": "Works", "description": "", "owner_service": "shop"}
    known |= {"target": Decimal("0.9"), "window": parse_window("7d"), "sli": IndicatorSli(indicator="success")}
    return Slo(**known | {"minimum_events": 1, "minimum_coverage": 0.0} | fields)


def on(indicator: str, **fields: Any) -> Slo:
    """The same SLO on another indicator, or on a part of it."""
    return slo(sli=IndicatorSli(indicator=indicator, **fields))


def excluding(starts_at: datetime, ends_at: datetime, **fields: Any) -> Exclusion:
    """An exclusion for the SLO `works`."""
    known: dict[str, Any] = {"reason": ExclusionReason.MAINTENANCE, "author": "platform", "ticket": "OPS-1"}
    return Exclusion(**known | {"starts_at": starts_at, "ends_at": ends_at, "slo": "works"} | fields)


def source(name: str = "ci", *, fresh: bool = True) -> SourceState:
    """A source, fresh or not."""
    return source_state(
        name, fresh=fresh, last_success_at=NOON, last_run_at=NOON, last_duration_seconds=1.0, newest_event_at=NOON
    )


def snapshot(store: ObservationStore, *slos: Slo, **fields: Any) -> Snapshot:
    """What is known at noon; the sources are fresh unless told otherwise."""
    sources = fields.pop("sources", [source(), source("tickets")])
    return evaluate(store, INDICATORS, slos, sources, fields.pop("at", NOON), **fields)


def spent(found: SloState) -> dict[tuple[str, ...], float]:
    """The shares of the budget by service and by the labels that are not empty, in the order of the state."""
    return {
        (
            subject.service,
            *(f"{name}={value}" for name, value in zip(SERIES_LABELS, labels, strict=True) if value),
        ): ratio
        for subject, labels, ratio in found.spent
    }


# --- who spent the budget ---------------------------------------------------------------------------------


def test_each_series_spent_its_bad_events_over_the_budget_of_all(put: Any) -> None:
    """Of 200 units 20 may be bad: 8 of the bank are 40 % of that, 3 of the shop 15 %, none of the depot nothing."""
    store = put(*several("shop", 77, 3), *several("bank", 72, 8), *several("depot", 40))

    (found,) = snapshot(store, slo()).slos

    assert spent(found) == {("bank",): 0.4, ("shop",): 0.15}
    assert found.budget_remaining == pytest.approx(1 - 0.4 - 0.15)


def test_an_overspent_budget_is_spent_more_than_once(put: Any) -> None:
    """Six bad units where two are allowed: three budgets, all of them the shop's."""
    (found,) = snapshot(put(*several("shop", 14, 6)), slo()).slos

    assert (spent(found), found.budget_remaining) == ({("shop",): 3.0}, -2.0)


def test_the_five_that_spent_most_are_named(put: Any) -> None:
    """Seven spent, five are named: those with more first, ties by name; together they spent less than all."""
    bad = {"g": 3, "f": 1, "e": 1, "d": 1, "c": 2, "b": 1, "a": 1}
    units = [unit for name, n in bad.items() for unit in several(name, 100 - n, n)]

    (found,) = snapshot(put(*units), slo()).slos

    assert list(spent(found)) == [("g",), ("c",), ("a",), ("b",), ("d",)]
    assert found.budget_remaining == pytest.approx(1 - 10 / 70)
    assert sum(spent(found).values()) == pytest.approx(8 / 70)


def test_series_of_several_sources_are_one(put: Any) -> None:
    """The shop's bad units that two systems told are one number of the shop."""
    told = several("shop", 0, 1, source="tickets", unit="ticket")

    (found,) = snapshot(put(*several("shop", 18, 1), *told), slo()).slos

    assert spent(found) == {("shop",): 1.0}


def test_only_the_window_of_the_slo_counts(put: Any) -> None:
    """What was bad before the month began spent nothing of its budget."""
    before = several("shop", 0, 9, at=datetime(2026, 2, 28, 12, tzinfo=UTC))

    (found,) = snapshot(put(*before, *several("bank", 19, 1)), slo(window=CalendarWindow("month"))).slos

    assert spent(found) == {("bank",): 0.5}


def test_what_is_excluded_spent_nothing(put: Any) -> None:
    """The bad units of an excluded hour are in no budget: only those after it are somebody's."""
    store = put(*several("shop", 10, 10, at=NOON - 5 * HOUR), *several("bank", 19, 1))

    (found,) = snapshot(store, slo(), exclusions=[excluding(NOON - 6 * HOUR, NOON - 4 * HOUR)]).slos

    assert spent(found) == {("bank",): 0.5}


def test_a_series_is_named_with_its_team(put: Any) -> None:
    """Services carry the team that the catalogue gives them; the levels above are not listed beside them."""
    catalogue = Organisation(services=(Service(name="shop", team="/sales/web"), Service(name="bank", team="/sales")))
    store = put(*several("shop", 9, 1), *several("bank", 9, 1))

    (found,) = snapshot(store, slo(), organisation=catalogue).slos

    assert [one.subject for one in found.spent] == [
        Subject("bank", "production", "/sales"),
        Subject("shop", "production", "/sales/web"),
    ]


def test_a_service_that_moves_takes_its_share_along(put: Any) -> None:
    """The catalogue gives the shop to another team, and nothing else happened: the share is the new team's at once."""
    kept = Evaluator(put(*several("shop", 9, 1), *several("shop", 1, at=NOON - 9 * DAY, unit="old")))
    teams = ("/sales", "/web")

    before, after = (
        kept.evaluate(
            INDICATORS, [slo()], [source()], NOON, organisation=Organisation(services=(Service(name="shop", team=t),))
        )
        .slos[0]
        .spent[0]
        .subject.team
        for t in teams
    )

    assert (before, after) == teams


def test_labels_that_a_metric_may_have_tell_series_apart(put: Any) -> None:
    """Journeys stand on the line; what is no label of the metric, and what is nobody's to see, is taken together."""
    kinds = [("db", "failed", "somebody"), ("db", "expired", "another"), ("dns", "failed", "somebody")]
    units = [
        one
        for kind in kinds
        for one in several("", 9, 1, indicator="requests", dimension=labelled(*kind), subject=Subject())
    ]

    (found,) = snapshot(put(*units), on("requests")).slos

    assert spent(found) == pytest.approx({("", "journey=db"): 2 / 3, ("", "journey=dns"): 1 / 3})


@pytest.mark.parametrize(("part", "name"), [("queue", ("shop", "stage=queue")), ("", ("shop",))])
def test_the_part_of_a_duration_that_is_judged_is_named(put: Any, part: str, name: tuple[str, ...]) -> None:
    """Of an SLO on the time in the queue the stage is the queue; of one on the whole time there is none."""
    late = several("shop", 0, 2, indicator="wait", outcome=Outcome.MEASURED, value=90.0, parts=(70.0, 20.0))
    fast = several("bank", 0, 18, indicator="wait", outcome=Outcome.MEASURED, value=9.0, parts=(7.0, 2.0))
    judged = {"operator": Operator.LTE, "threshold": 60.0, "dimension": part}

    (found,) = snapshot(put(*late, *fast), on("wait", **judged)).slos

    assert spent(found) == {name: 1.0}


def test_of_people_nobody_is_named(put: Any) -> None:
    """However many people there are: whose share it is could tell who came when."""
    (found,) = snapshot(put(*several("shop", 80, 20, indicator="joiners")), on("joiners")).slos

    assert (found.budget_remaining, found.spent) == (-1.0, ())


def test_of_a_stale_source_nobody_is_named(put: Any) -> None:
    """Where the SLO's numbers are withheld, so are the shares."""
    (found,) = snapshot(put(*several("shop", 9, 1)), slo(), sources=[source(fresh=False)]).slos

    assert (found.budget_remaining, found.spent) == (None, ())


def by_minute(**fields: Any) -> Slo:
    """An SLO that counts minutes: bad where one of its units is."""
    return slo(budgeting="timeslices", slice=MINUTE, slice_target=Decimal("0.95"), **fields)


def test_slices_of_one_series_are_its_own(put: Any) -> None:
    """Two of four minutes are bad, and all units are of the shop in two systems: it spent five budgets."""
    minutes = [several("shop", n % 2, 1 - n % 2, at=NOON - HOUR + n * MINUTE, unit=f"{n}") for n in range(4)]
    told = several("shop", 1, at=NOON - HOUR, source="tickets")

    (found,) = snapshot(put(*(one for own in minutes for one in own), *told), by_minute()).slos

    assert spent(found) == {("shop",): 5.0}
    assert found.budget_remaining == -4.0


def test_slices_that_several_share_are_nobody_s(put: Any) -> None:
    """A minute with bad units of two services is bad once: whose it is cannot be said."""
    (found,) = snapshot(put(*several("shop", 0, 1), *several("bank", 0, 1)), by_minute()).slos

    assert (found.budget_remaining, found.spent) == (-9.0, ())


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=8),
    target=st.decimals("0.5", "0.999", places=3),
)
def test_what_is_spent_and_what_is_left_add_up(put: Any, counts: list[tuple[int, int]], target: Decimal) -> None:
    """What the five spent that spent most, and what the others did, is all that does not remain."""
    store = put(*(unit for n, (good, bad) in enumerate(counts) for unit in several(f"s{n}", good, bad)))

    (found,) = snapshot(store, slo(target=target)).slos
    allowed = float((1 - target) * sum(map(sum, counts)))
    shares = sorted((bad / allowed for _, bad in counts if bad), reverse=True)

    assert found.budget_remaining is not None
    assert list(spent(found).values()) == pytest.approx(shares[:5])
    assert sum(spent(found).values()) + sum(shares[5:]) == pytest.approx(1 - found.budget_remaining)


# --- which sources told -----------------------------------------------------------------------------------


def measured() -> Slo:
    """An SLO that Prometheus measures."""
    return slo(name="answers", sli=CounterRatio(total_query="asked_total", bad_query='asked_total{code="500"}'))


def composite(*names: str, **fields: Any) -> Slo:
    """A composite of SLOs by name."""
    return slo(name="whole", sli=Composite(parts=tuple(Part(slo=name) for name in names)), **fields)


def of_service(name: str) -> Slo:
    """An SLO on the units of the service of its name."""
    return slo(name=name, sli=IndicatorSli(indicator="success", service=name))


@pytest.mark.parametrize("fresh", [True, False])
def test_an_slo_knows_the_sources_of_its_events(put: Any, *, fresh: bool) -> None:
    """Those of its own units and no others, stale or not: then it matters most how old they are."""
    store = put(*several("shop", 9, 1, source="ci+tickets"), *several("bank", 9, source="bank-ci"))

    (found,) = snapshot(store, of_service("shop"), sources=[source(fresh=fresh), source("tickets")]).slos

    assert found.sources == {"ci", "tickets"}


def test_a_composite_has_the_sources_of_all_its_parts(put: Any) -> None:
    """As old as its oldest part, it rests on the sources of each."""
    store = put(*several("shop", 9, 1), *several("bank", 9, source="tickets"))

    found = snapshot(store, composite("shop", "bank"), of_service("shop"), of_service("bank")).slos[0]

    assert found.sources == {"ci", "tickets"}


@pytest.mark.parametrize("part", [measured(), of_service("nobody")], ids=["measured elsewhere", "without units"])
def test_a_composite_with_a_part_of_unknown_origin_is_of_unknown_origin(put: Any, part: Slo) -> None:
    """How old that part's data are nobody knows here, so neither is it known of the whole."""
    store = put(*several("shop", 9, 1))

    whole, one, other = snapshot(store, composite("shop", part.name), of_service("shop"), part).slos

    assert [whole.sources, one.sources, other.sources] == [frozenset(), frozenset({"ci"}), frozenset()]


# --- above which burn rates it alerts ----------------------------------------------------------------------


def test_busy_slos_of_every_kind_have_thresholds(put: Any) -> None:
    """Counted here, measured by Prometheus or put together: 2 % of a week's budget in an hour is 3.36 times as fast."""
    busy: dict[str, Any] = {"alert_class": "rate"}
    slos = [slo(**busy), replace(measured(), **busy), composite("works", **busy), of_service("shop")]

    found = snapshot(put(*several("shop", 9, 1)), *slos, tiers=[TIER]).thresholds

    assert found == {name: {("1h", "page"): Decimal("3.36")} for name in ("works", "answers", "whole")}


def test_new_tiers_give_new_thresholds(put: Any) -> None:
    """A kept evaluator follows its tiers: half of the share, half of the burn rate."""
    kept = Evaluator(put(*several("shop", 9, 1)))
    promise = slo(alert_class="rate")
    half = replace(TIER, budget_share=Decimal("0.01"))

    found = [kept.evaluate(INDICATORS, [promise], [source()], NOON, tiers).thresholds for tiers in ([TIER], [half], [])]

    assert found == [{"works": {("1h", "page"): Decimal(share)}} for share in ("3.36", "1.68")] + [{}]


# --- what is left out now ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        (NOON - timedelta(microseconds=1), False),
        (NOON, True),
        (NOON + HOUR - timedelta(microseconds=1), True),
        (NOON + HOUR, False),
    ],
)
def test_an_exclusion_holds_from_its_start_until_just_before_its_end(put: Any, at: datetime, *, holds: bool) -> None:
    """Its start is left out, its end counts again."""
    found = snapshot(put(), slo(), at=at, exclusions=[excluding(NOON, NOON + HOUR)])

    assert found.excluding == {"works": holds}


def test_a_recurring_exclusion_holds_again(put: Any) -> None:
    """Each Tuesday from 11 to 13 o'clock in UTC: it holds a week later, and not on the day after."""
    weekly = excluding(NOON - HOUR, NOON + HOUR, zone="UTC", recurrence="FREQ=WEEKLY")
    kept = Evaluator(put())
    times = (NOON, NOON + DAY, NOON + 7 * DAY)

    found = [kept.evaluate(INDICATORS, [slo()], [source()], at, exclusions=[weekly]).excluding for at in times]

    assert found == [{"works": True}, {"works": False}, {"works": True}]


@pytest.mark.parametrize(
    ("slos", "expected"),
    [
        ([slo(), slo(name="other")], {"works": True}),
        ([composite("works", "other"), slo(), slo(name="other")], {"works": True, "whole": True}),
        ([replace(measured(), name="works")], {}),
    ],
    ids=["of another", "of a part", "measured elsewhere"],
)
def test_only_slos_whose_events_are_left_out_say_so(put: Any, slos: Sequence[Slo], expected: dict[str, bool]) -> None:
    """A composite follows its parts; of what Prometheus measures nothing is left out here, and others say nothing."""
    assert snapshot(put(), *slos, exclusions=[excluding(NOON, NOON + HOUR)]).excluding == expected


def test_without_exclusions_nothing_is_said(put: Any) -> None:
    """No exclusion, no line: 0 would say that one could hold."""
    assert snapshot(put(), slo()).excluding == {}
