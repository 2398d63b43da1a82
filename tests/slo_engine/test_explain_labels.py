"""From numbers of labels, of people and of measures to what is behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.errors import PacelineError
from collector.store import Database, DerivationStore, EventStore, ObservationStore, Replacement, Series
from slo_engine.counted import Role
from slo_engine.evaluate import evaluate
from slo_engine.explain import Explanation, Selection, explain, label_choice
from slo_engine.indicator import Indicator, Reach, Shape
from slo_engine.measure import Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, as_row, labelled
from slo_engine.organisation import Organisation
from slo_engine.snapshot import Snapshot

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SHOP, BASKET = Subject(team="/shop"), Subject(team="/shop/basket")
ANN, BEA = f"person:{'a' * 32}", f"person:{'b' * 32}"


def _active(sample: Sample) -> Measured:
    """How many people there are in the window, how many before it, and the sum of all values."""
    inside = np.unique(sample.unit[sample.inside]).size
    before = np.unique(sample.unit[~sample.inside]).size
    left = {"bot": int(np.count_nonzero(sample.is_(Outcome.EXCLUDED)))}
    stats = {"value": float(inside), "kept": float(before), "sum": float(np.nansum(sample.value))}
    return Measured(inside, stats, pending=int(np.count_nonzero(sample.pending)), excluded=left, coverage=1.0)


def indicator(**fields: Any) -> Indicator:
    """An indicator of requests by journey and method, unless told otherwise."""
    given: dict[str, Any] = {
        "name": "requests",
        "version": "1",
        "title": "Requests",
        "definition": "Requests.",
        "shape": Shape.RATIO,
        "metric": "platform_requests",
        "labels": ("journey", "method"),
        "apart": ("method",),
    }
    return Indicator(**given | fields)


RATIO = indicator()
ACTIVE = indicator(
    shape=Shape.MEASURE,
    labels=("journey", ""),
    apart=(),
    people=True,
    measure=_active,
    stats=("value", "kept", "sum"),
    reach=Reach.TWICE,
)
EVER = indicator(
    shape=Shape.MEASURE, labels=(), apart=(), measure=_active, stats=("value", "kept", "sum"), reach=Reach.ALL
)
DESK = source_state("desk", last_success_at=NOW, last_run_at=NOW, last_duration_seconds=1.0, newest_event_at=NOW)


def request(unit: str, *labels: str, **fields: Any) -> Observation:
    """A good request of an hour ago, unless told otherwise."""
    given: dict[str, Any] = {
        "indicator": "requests",
        "unit": unit,
        "at": NOW - fields.pop("ago", timedelta(hours=1)),
        "subject": SHOP,
        "source": "desk",
        "outcome": Outcome.GOOD,
        "dimension": labelled(*labels),
    }
    return Observation(**given | fields)


@dataclass
class Bench:
    """A store, and explanations from it."""

    database: Database
    smallest_group: int = 5

    def put(self, *observations: Observation) -> None:
        """Replace all observations."""
        rows: dict[Series, list[tuple[Any, ...]]] = {}
        for key, values in map(as_row, observations):
            rows.setdefault(Series("test", *key), []).append(values)
        new = Replacement(family="test", scope="", rows=rows, definitions="", reads=(), state=None)
        DerivationStore(self.database).replace(new, 0, "")

    def snapshot(self, one: Indicator) -> Snapshot:
        """What is published."""
        return evaluate(ObservationStore(self.database), {one.name: one}, [], [DESK], NOW)

    def explain(self, one: Indicator, **selection: Any) -> Explanation:
        """The explanation of a published number."""
        return explain(
            one,
            Selection(**{"window": "7d", **selection}),
            ObservationStore(self.database),
            EventStore(self.database),
            at=NOW,
            zone=ZoneInfo("UTC"),
            sources=[DESK],
            organisation=Organisation(),
            published=self.snapshot(one),
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One store for the module; each test replaces what it holds."""
    database = Database.open(tmp_path_factory.mktemp("labels"))
    yield Bench(database)
    database.close()


# --- labels -----------------------------------------------------------------------------------------------


def test_a_label_chooses_the_units_of_its_value(bench: Bench) -> None:
    """Of two journeys the one that is named is listed, and its number is the exported one."""
    bench.put(request("1", "db", "map"), request("2", "vm", "map", outcome=Outcome.BAD))

    found = bench.explain(RATIO, labels=(("journey", "db"), ("method", "map")))

    assert [u.labels for u in found.units] == [{"journey": "db", "method": "map"}]
    assert [(n.dimension, n.n, n.agrees) for n in found.numbers] == [(labelled("db", "map"), 1, True)]


def test_labels_that_are_not_named_are_taken_together_unless_kept_apart(bench: Bench) -> None:
    """All journeys are one number, and each method has its own: as they are published."""
    bench.put(request("1", "db", "map"), request("2", "vm", "map"), request("3", "vm", "age"))

    found = bench.explain(RATIO)

    assert [(n.dimension, n.n, n.agrees) for n in found.numbers] == [
        (labelled("", "age"), 1, True),
        (labelled("", "map"), 2, True),
    ]
    assert found.total == 3


def test_what_stands_beside_is_that_of_the_label(bench: Bench) -> None:
    """Left out and pending are told for the chosen journey."""
    bench.put(request("1", "db", "map", outcome=Outcome.EXCLUDED, reason="bot"), request("2", "vm", "map"))

    (beside,) = bench.explain(RATIO, labels=(("journey", "db"),)).accounting

    assert (beside.dimension, beside.excluded) == (labelled("db", "map"), {"bot": 1})


@pytest.mark.parametrize(("label", "said"), [("queue", "expected journey, method"), ("", "expected journey, method")])
def test_a_label_that_there_is_not_is_answered(bench: Bench, label: str, said: str) -> None:
    """The labels that there are stand in the answer."""
    with pytest.raises(PacelineError, match=said):
        bench.explain(RATIO, labels=((label, "x"),))


@pytest.mark.parametrize("text", ["journey", "journey=", "=db", ""])
def test_a_choice_of_a_label_has_two_sides(text: str) -> None:
    """A name alone, or a value alone, chooses nothing."""
    with pytest.raises(PacelineError, match="like journey=provision-db"):
        label_choice(text)


def test_a_value_may_hold_the_sign() -> None:
    """Only the first sign parts a label from its value."""
    assert label_choice("journey=a=b") == ("journey", "a=b")


# --- teams ------------------------------------------------------------------------------------------------


def test_without_a_choice_the_whole_organisation_is_explained(bench: Bench) -> None:
    """Where units name teams, everything is one number, and each unit is listed once."""
    bench.put(request("1", "db", "map"), request("2", "db", "map", subject=BASKET))

    found = bench.explain(RATIO)

    assert [(n.subject.team, n.n) for n in found.numbers] == [("/", 2)]
    assert found.total == 2


def test_a_team_is_explained_by_its_units_and_those_below(bench: Bench) -> None:
    """The level of a team lists its own units and those of its parts."""
    bench.put(request("1", "db", "map"), request("2", "db", "map", subject=BASKET))

    assert bench.explain(RATIO, team="/shop").total == 2
    assert bench.explain(RATIO, team="/shop/basket").total == 1


# --- measures ---------------------------------------------------------------------------------------------


def test_a_measure_lists_what_it_looks_back_to(bench: Bench) -> None:
    """Units of the window before are listed too, as given to the arithmetic, and the answer says since when."""
    bench.put(*(request(f"{i}", "db", "", ago=timedelta(days=8)) for i in range(5)), request("late", "db", ""))

    found = bench.explain(replace(ACTIVE, people=False))

    assert found.after == NOW - timedelta(days=14)
    assert [u.role for u in found.units] == [Role.GIVEN] * 6


def test_what_looks_at_everything_has_no_beginning(bench: Bench) -> None:
    """The number of now is explained by every unit there ever was, whatever window is asked for."""
    bench.put(request("1", ago=timedelta(days=900)), request("2"))

    found = bench.explain(EVER, window="7d")

    assert (found.window, found.after, found.total) == ("now", None, 2)
    assert [(n.stats["value"], n.agrees) for n in found.numbers] == [(2.0, True)]


_samples = st.lists(
    st.tuples(
        st.integers(0, 24 * 20),
        st.sampled_from([ANN, BEA, *(f"person:{i}" for i in range(6))]),
        st.sampled_from(["db", "vm", ""]),
        st.sampled_from([Outcome.GOOD, Outcome.PENDING, Outcome.EXCLUDED]),
        st.none() | st.floats(0, 1e6),
        st.sampled_from([SHOP, BASKET, Subject()]),
    ),
    max_size=24,
    unique_by=lambda u: (u[0], u[1]),
)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=_samples, team=st.sampled_from(["", "/shop"]), window=st.sampled_from(["7d", "28d"]))
@pytest.mark.parametrize("one", [ACTIVE, EVER], ids=["twice", "all"])
def test_a_measure_of_the_listed_units_is_the_exported_number(
    bench: Bench, one: Indicator, units: list[tuple[Any, ...]], team: str, window: str
) -> None:
    """The arithmetic on just what is listed gives exactly what is published, and what stands beside it."""
    bench.put(
        *(
            request(
                who,
                *((journey, "") if one.labels else ()),
                ago=timedelta(hours=hours),
                outcome=outcome,
                value=value,
                subject=subject,
                matures_at=NOW + timedelta(hours=hours % 3 - 1) if outcome is Outcome.PENDING and hours % 2 else None,
            )
            for hours, who, journey, outcome, value, subject in units
        )
    )

    found = bench.explain(one, team=team, window=window)

    told = [n for n in found.numbers if n.fewer_than is None]
    assert all(n.agrees for n in told)
    assert [found.accounting] == [
        tuple(
            a
            for n in told
            for a in bench.snapshot(one).accounting
            if (a.subject, a.window, a.dimension) == (n.subject, found.window, n.dimension)
        )
    ]


# --- people -----------------------------------------------------------------------------------------------


def test_people_are_numbers_of_the_answer(bench: Bench) -> None:
    """Whoever comes first is person 1, also as evidence of another unit; a key stands nowhere."""
    who = [request(f"person:{i}{'0' * 31}", "db", "", ago=timedelta(hours=9 - i)) for i in range(4)]
    bench.put(*who, request(ANN, "db", "", evidence=(BEA, who[0].unit, "an event")))

    found = bench.explain(ACTIVE)

    assert [f"{u.unit.kind} {u.unit.label}" for u in found.units] == [f"person {n}" for n in range(1, 6)]
    assert [f"{e.kind} {e.label}" for e in found.units[-1].evidence] == ["person 6", "person 1", "event "]
    assert "person:" not in repr(found.units)
    assert all((line.id, line.url, line.at) == ("", None, None) for u in found.units for line in (u.unit, *u.evidence))


def test_a_person_as_evidence_is_never_named(bench: Bench) -> None:
    """Also where the number is not about people, somebody who decided is a number of the answer."""
    bench.put(request("1", "db", "map", evidence=(ANN,)))

    (unit,) = bench.explain(RATIO).units

    assert [(e.kind, e.label, e.id) for e in unit.evidence] == [("person", "1", "")]


def test_of_people_neither_team_nor_label_nor_hour_is_told(bench: Bench) -> None:
    """What would tell the numbers of teams and journeys apart again stands beside nobody."""
    bench.put(*(request(f"person:{i}", "db", "") for i in range(5)))

    found = bench.explain(ACTIVE)

    assert {(u.subject, tuple(u.labels), u.at) for u in found.units} == {
        (Subject(), (), datetime(2026, 3, 2, tzinfo=UTC))
    }


def test_a_withheld_number_is_explained_as_such(bench: Bench) -> None:
    """Of four people neither number nor unit is told, only that they are fewer than five."""
    bench.put(*(request(f"person:{i}", "db", "") for i in range(4)))

    found = bench.explain(ACTIVE)

    assert [(n.fewer_than, n.n, n.stats, n.exported) for n in found.numbers] == [(5, None, {}, None)]
    assert (found.units, found.total, found.accounting) == ((), 0, ())


def test_what_another_window_would_reveal_is_withheld_in_each(bench: Bench) -> None:
    """Eight people in 28 days and six in 7: the six are withheld, and stay so when they are asked for alone."""
    recent = [request(f"person:{i}", "db", "") for i in range(6)]
    bench.put(*recent, *(request(f"person:{i}", "db", "", ago=timedelta(days=20)) for i in range(6, 8)))

    assert [n.fewer_than for n in bench.explain(ACTIVE, window="7d").numbers] == [5]
    assert [n.n for n in bench.explain(ACTIVE, window="28d").numbers] == [8]


def test_people_are_told_for_published_windows_only(bench: Bench) -> None:
    """A window of 27 days would tell who came on the 28th."""
    with pytest.raises(PacelineError, match="told for 7d, 28d, 90d or a week"):
        bench.explain(ACTIVE, window="27d")
