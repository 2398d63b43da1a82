"""Numbers about people: what is withheld, so that neither a number nor a difference of two is about a few.

Cells of teams here are named by their path; `/` holds all. The smallest group is 5 people.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from slo_engine.evaluate import Evaluator, evaluate
from slo_engine.exposition import expose
from slo_engine.indicator import Indicator, Shape
from slo_engine.measure import Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, labelled
from slo_engine.organisation import Organisation, levels
from slo_engine.reading import Reader
from slo_engine.slo import EventCounts, IndicatorSli, Slo, SloStatus
from slo_engine.slo_states import Conditions, finished
from slo_engine.snapshot import SloState, Snapshot
from slo_engine.suppression import Cell, withheld
from slo_engine.windows import parse_window

K = 5
WINDOWS = {"7d": 7.0, "28d": 28.0}


def cell(team: str = "/", window: str = "28d", *labels: str, service: str = "") -> Cell:
    """A cell of a team."""
    return Cell(Subject(service, "", team), window, labelled(*labels))


def hidden(sizes: Mapping[Cell, int], labels: int = 0) -> set[Cell]:
    """What is withheld of some numbers of people."""
    return set(withheld({place: (n,) for place, n in sizes.items()}, K, WINDOWS, labels))


# --- by itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("people", "shown"), [(0, True), (1, False), (4, False), (5, True)])
def test_a_number_of_few_is_withheld(people: int, *, shown: bool) -> None:
    """One to four people are few; nobody is nobody, and five are enough."""
    assert (cell() not in hidden({cell(): people})) is shown


def test_who_waits_counts_as_well() -> None:
    """A number that rests on nobody yet is withheld while two wait: they would be the ones it tells of."""
    assert withheld({cell(): (0, 2)}, K, WINDOWS) == {cell()}


# --- together ---------------------------------------------------------------------------------------------


def test_a_team_that_leaves_few_of_the_whole_goes_with_them() -> None:
    """A cohort of four or fewer is suppressed, also when total minus the other cohorts would reveal it: 12 - 9 = 3."""
    sizes = {cell(): 12, cell("/a"): 9, cell("/b"): 3}

    assert hidden(sizes) == {cell("/a"), cell("/b")}


def test_the_smallest_of_the_other_teams_goes() -> None:
    """Of 23 people 10, 10 and 3 are in teams: without the 3 one of the tens goes too, so that 13 are left."""
    sizes = {cell(): 23, cell("/a"): 10, cell("/b"): 10, cell("/c"): 3}

    assert hidden(sizes) == {cell("/a"), cell("/c")}


def test_people_of_no_team_are_not_worked_out() -> None:
    """Of 12 people 10 are in a team: the other 2 stand nowhere, and must not be the difference."""
    assert hidden({cell(): 12, cell("/a"): 10}) == {cell("/a")}


def test_what_lies_below_a_withheld_team_counts_as_its_part() -> None:
    """/a is withheld; its parts of 6 and 6 are shown, and 14 - 6 - 6 would be the 2 people of /b: one of them goes."""
    sizes = {cell(): 14, cell("/a"): 12, cell("/a/x"): 6, cell("/a/y"): 6, cell("/b"): 2}

    assert hidden(sizes) == {cell("/a"), cell("/b"), cell("/a/x")}


def test_a_shorter_window_that_leaves_few_is_withheld() -> None:
    """8 people in 28 days and 6 of them in 7 days: the 2 in between would be the difference."""
    assert hidden({cell(): 8, cell(window="7d"): 6}) == {cell(window="7d")}


def test_everything_there_ever_was_contains_every_window() -> None:
    """A number of now is about all, so that it minus a window's is about the others."""
    assert hidden({cell(window="now"): 8, cell(window="7d"): 6}) == {cell(window="7d")}


def test_a_label_s_value_that_leaves_few_is_withheld() -> None:
    """Of 11 people 9 came by one journey and 2 by another: both are withheld, and all of them are shown."""
    sizes = {cell(): 11, cell("/", "28d", "db"): 9, cell("/", "28d", "vm"): 2}

    assert hidden(sizes, 1) == {cell("/", "28d", "db"), cell("/", "28d", "vm")}


def test_labels_of_two_kinds_are_parts_each_by_itself() -> None:
    """By journey 6 and 6, by kind 10 and 2: the kinds are withheld, and the journeys stay."""
    journeys = {cell("/", "28d", j, ""): 6 for j in ("db", "vm")}
    kinds = {cell("/", "28d", "", "hire"): 10, cell("/", "28d", "", "rehire"): 2}

    assert hidden({cell(): 12, **journeys, **kinds}, 2) == set(kinds)


def test_another_direction_is_looked_at_too() -> None:
    """A team's 7 days within the organisation's 28: 12 - 9 would be 3 people."""
    assert hidden({cell(): 12, cell("/a", "7d"): 9}) == {cell("/a", "7d")}


def test_a_service_is_part_of_its_team() -> None:
    """Numbers of a team and of its service are subtracted as those of teams are."""
    assert hidden({cell("/a"): 12, cell("/a", service="api"): 9}) == {cell("/a", service="api")}


def test_what_reveals_nobody_is_shown() -> None:
    """Teams of 10 and 10, or the same people in both windows, tell of nobody by themselves."""
    assert hidden({cell(): 20, cell("/a"): 10, cell("/b"): 10, cell("/b", "7d"): 10}) == set()


# --- the law, with people instead of numbers --------------------------------------------------------------

TEAMS = ("", "/a", "/a/x", "/a/y", "/b")
JOURNEYS = ("", "db", "vm")


class Person(NamedTuple):
    """Somebody: of which team, by which journey, and how many days ago."""

    team: str
    journey: str
    days: int


def _is_in(person: Person, place: Cell) -> bool:
    """Whether a number is about somebody."""
    inside = place.subject.team in {"/", *levels(person.team)}
    return inside and place.dimension in ("", person.journey) and person.days <= WINDOWS[place.window]


def _contains(whole: Cell, part: Cell) -> bool:
    teams = whole.subject.team == "/" or whole.subject.team in levels(part.subject.team)
    return teams and whole.dimension in ("", part.dimension) and WINDOWS[whole.window] >= WINDOWS[part.window]


_people = st.lists(
    st.builds(Person, st.sampled_from(TEAMS), st.sampled_from(JOURNEYS), st.sampled_from([1, 20])), max_size=60
)


@settings(max_examples=examples(60), deadline=None)
@given(people=_people)
def test_nothing_that_is_shown_isolates_a_few(people: list[Person]) -> None:
    """No shown number is of 1 to 4, no difference of two that contain each other, and no rest without shown parts.

    Told by sets of people: what a number is about, less what the others are about.
    """
    cells = [
        cell(team, window, journey) for team, window, journey in product(("/", *filter(None, TEAMS)), WINDOWS, JOURNEYS)
    ]
    about = {c: frozenset(i for i, one in enumerate(people) if _is_in(one, c)) for c in cells}
    gone = withheld({c: (len(own),) for c, own in about.items()}, K, WINDOWS, 1)
    shown = [c for c in cells if c not in gone]

    assert all(not 0 < len(about[c]) < K for c in shown)
    for whole in shown:
        parts = [c for c in shown if c != whole and _contains(whole, c)]
        teams = [c for c in parts if (c.window, c.dimension) == (whole.window, whole.dimension)]
        journeys = [c for c in parts if (c.window, c.subject) == (whole.window, whole.subject)]
        assert all(not 0 < len(about[whole] - about[c]) < K for c in parts)
        assert all(not 0 < len(about[whole].difference(*(about[c] for c in some))) < K for some in (teams, journeys))


_by_two_journeys = st.lists(
    st.tuples(st.sampled_from(TEAMS), st.sets(st.sampled_from(JOURNEYS[1:]), min_size=1)), max_size=60
)


@settings(max_examples=examples(60), deadline=None)
@given(people=_by_two_journeys)
def test_who_came_by_two_journeys_uncovers_nobody(people: list[tuple[str, set[str]]]) -> None:
    """People count in each of their journeys: still no shown number less its shown journeys or teams is 1 to 4."""
    teams, journeys = ("/", *filter(None, TEAMS)), JOURNEYS
    sizes = {
        cell(team, "28d", journey): sum(
            team in {"/", *levels(own)} and journey in {"", *travelled} for own, travelled in people
        )
        for team, journey in product(teams, journeys)
    }
    shown = {c: n for c, n in sizes.items() if c not in hidden(sizes, 1)}

    assert all(not 0 < n < K for n in shown.values())
    for whole, n in shown.items():
        own = [shown.get(whole._replace(dimension=labelled(j)), 0) for j in JOURNEYS[1:] if not whole.dimension]
        below = [shown.get(whole._replace(subject=Subject("", "", t)), 0) for t in ("/a", "/b")]
        assert not any(own) or not 0 < n - sum(own) < K
        assert whole.subject.team != "/" or not any(below) or not 0 < n - sum(below) < K


@settings(max_examples=examples(50), deadline=None)
@given(people=_people, order=st.randoms(use_true_random=False))
def test_the_order_of_numbers_decides_nothing(people: list[Person], order: Any) -> None:
    """The same numbers in another order have the same ones withheld."""
    cells = [cell(team, "28d", journey) for team, journey in product(("/", *filter(None, TEAMS)), JOURNEYS)]
    sizes = [(c, sum(_is_in(one, c) for one in people)) for c in cells]
    shuffled = order.sample(sizes, len(sizes))

    assert hidden(dict(shuffled), 1) == hidden(dict(sizes), 1)


# --- in what is published ---------------------------------------------------------------------------------

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TWO = [parse_window("7d"), parse_window("28d")]


def _count(sample: Sample) -> Measured:
    people = len(set(sample.unit.tolist()))
    return Measured(people, {"value": float(people)}, coverage=1.0)


ARRIVED = Indicator(
    name="arrived",
    version="1",
    title="Arrived in time",
    definition="Share of joiners who arrived in time.",
    shape=Shape.RATIO,
    metric="platform_arrived",
    labels=("kind",),
    people=True,
)
ACTIVE = Indicator(
    name="active",
    version="1",
    title="Active",
    definition="Active people.",
    shape=Shape.MEASURE,
    metric="platform_active",
    people=True,
    measure=_count,
    stats=("value",),
)
JOINED = Indicator(
    name="joined",
    version="1",
    title="Joined",
    definition="People who joined.",
    shape=Shape.FREQUENCY,
    metric="platform_joined",
    people=True,
)
INDICATORS = {i.name: i for i in (ARRIVED, ACTIVE, JOINED)}
DESK = source_state("desk", last_success_at=NOW, last_run_at=NOW, last_duration_seconds=1.0, newest_event_at=NOW)


def joiner(name: int, indicator: str = "arrived", kind: str = "hire", days: int = 1, **fields: Any) -> Observation:
    """Somebody who arrived in time."""
    given: dict[str, Any] = {"subject": Subject(team="/a"), "outcome": Outcome.GOOD, "source": "desk"}
    dimension = labelled(kind) if indicator == "arrived" else ""
    at = NOW - timedelta(days=days)
    return Observation(indicator=indicator, unit=f"person:{name}", at=at, dimension=dimension, **given | fields)


def at(store: Any, smallest: int = K) -> Snapshot:
    """What is published."""
    organisation = Organisation(smallest_group=smallest)
    return evaluate(store, INDICATORS, [], [DESK], NOW, windows=TWO, organisation=organisation)


def shown(snapshot: Snapshot, name: str = "arrived") -> set[tuple[str, str, str]]:
    """What numbers there are: team, window and label's value."""
    return {(n.subject.team, n.window, n.dimension) for n in snapshot.numbers if n.indicator == name}


def test_a_withheld_number_has_nothing_beside_it(put: Any) -> None:
    """Neither n nor what waits or was left out is published of a number that is withheld."""
    snapshot = at(put(*(joiner(i) for i in range(3)), joiner(9, outcome=Outcome.PENDING)))

    assert (snapshot.numbers, snapshot.accounting) == ((), ())
    assert "platform_arrived_samples" not in expose(snapshot, INDICATORS, "1").text.decode()


def test_a_small_kind_takes_another_with_it(put: Any) -> None:
    """Six hires and three transfers are nine people; the hires alone would tell of the transfers."""
    hires, transfers = (joiner(i) for i in range(6)), (joiner(i, kind="transfer") for i in range(6, 9))

    assert {kind for _, _, kind in shown(at(put(*hires, *transfers)))} == {""}


def test_people_are_counted_not_what_they_did(put: Any) -> None:
    """Six units of three people are three people."""
    twice = [joiner(i % 3, days=1 + i) for i in range(6)]

    assert shown(at(put(*twice))) == set()


def test_the_smallest_group_is_the_organisation_s(put: Any) -> None:
    """Where three people are enough, three are shown."""
    store = put(*(joiner(i) for i in range(3)))

    assert ("/a", "28d", "hire") in shown(at(store, smallest=3))
    assert ("/a", "28d", "hire") not in shown(at(store, smallest=4))


def test_a_measure_says_itself_how_many_people_it_is_about(put: Any) -> None:
    """Four active people are withheld; of five everything is shown."""
    four = [joiner(i, "active") for i in range(4)]

    assert shown(at(put(*four)), "active") == set()
    assert ("/a", "7d", "") in shown(at(put(*four, joiner(4, "active"))), "active")


def test_a_counter_of_few_is_withheld(put: Any) -> None:
    """Since the beginning two joined: the counter begins with the fifth."""
    assert at(put(*(joiner(i, "joined") for i in range(2)))).totals == {}
    assert at(put(*(joiner(i, "joined") for i in range(5)))).totals == {("joined", Subject(team="/a"), ""): 5.0}


def test_how_many_numbers_are_withheld_is_published(put: Any) -> None:
    """Three hires: for the team and the whole, in two windows, with and without their kind, makes eight."""
    lines = expose(at(put(*(joiner(i) for i in range(3)))), INDICATORS, "1").text.decode().splitlines()

    assert 'platform_suppressed_numbers{metric="platform_arrived_ratio"} 8.0' in lines


def test_others_numbers_are_not_withheld(put: Any) -> None:
    """What is not about people is shown whatever its size, and nothing is said to be withheld."""
    plain = {"arrived": Indicator(**{**vars(ARRIVED), "people": False})}
    snapshot = evaluate(put(joiner(1)), plain, [], [DESK], NOW, windows=TWO)

    assert len(snapshot.numbers) == 8
    assert snapshot.suppressed == {}


_joiners = st.lists(
    st.tuples(
        st.integers(0, 12), st.sampled_from(["hire", "transfer", ""]), st.sampled_from([1, 20]), st.sampled_from(TEAMS)
    ),
    max_size=20,
    unique_by=lambda j: j[0],
)


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several=st.lists(_joiners, min_size=2, max_size=3), sizes=st.lists(st.integers(3, 6), min_size=3, max_size=3))
def test_what_is_kept_withholds_what_a_new_look_does(
    put: Any, several: list[list[tuple[int, str, int, str]]], sizes: list[int]
) -> None:
    """After any changes, of joiners or of the smallest group, an evaluator says what a new one says."""
    kept = Evaluator(put())
    for joiners, smallest in zip(several, sizes, strict=False):
        store = put(
            *(
                joiner(i, one, kind, days, subject=Subject(team=team))
                for i, kind, days, team in joiners
                for one in INDICATORS
            )
        )
        kept.apply(put.changes)
        found = kept.evaluate(
            INDICATORS, [], [DESK], NOW, windows=TWO, organisation=Organisation(smallest_group=smallest)
        )

        assert found == at(store, smallest)


# --- objectives on people ---------------------------------------------------------------------------------

PROMISE = Slo(
    name="arrivals",
    title="Arrivals",
    description="",
    owner_service="platform",
    target=Decimal("0.5"),
    window=TWO[1],
    sli=IndicatorSli(indicator="arrived"),
    minimum_events=1,
    minimum_coverage=0.0,
)


def promised(store: Any) -> SloState:
    """The state of the promise."""
    (state,) = evaluate(store, INDICATORS, [PROMISE], [DESK], NOW, windows=TWO).slos
    return state


def test_an_objective_on_few_people_says_nothing_but_that(put: Any) -> None:
    """Of four arrivals neither good nor bad, budget nor counter is told."""
    state = promised(put(*(joiner(i) for i in range(4))))

    assert (state.status, state.why) == (SloStatus.INSUFFICIENT_DATA, "fewer than 5 people")
    assert (state.counts, state.totals, state.attainment) == ({}, None, None)


def test_an_objective_on_people_tells_its_own_window_alone(put: Any) -> None:
    """Of five arrivals the window of the promise is told; shorter ones would tell who came when."""
    state = promised(put(*(joiner(i, days=1 + i) for i in range(5))))

    assert state.counts == {"28d": EventCounts(5, 0)}
    assert (set(state.burn_rates), state.totals) == ({"28d"}, None)


def test_a_finished_window_of_few_people_is_withheld(put: Any) -> None:
    """A month with four arrivals says that they are fewer than five."""
    reader = Reader(put(*(joiner(i, days=3) for i in range(4))), NOW)

    (february,) = finished(PROMISE, ARRIVED, reader, Conditions(fresh=frozenset({"desk"})), "UTC", 1)

    assert (february.counts, february.met, february.why) == (EventCounts(), None, "fewer than 5 people")
