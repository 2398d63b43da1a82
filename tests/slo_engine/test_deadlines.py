"""Units that are judged at a deadline: two observations each, pending until then and final from then on.

The unit `a` started three days before NOW and is due a day after it: until then it is pending, and at DUE it is bad.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from source_states import source_state

from collector.store import Database, EventStore, ObservationStore
from slo_engine.evaluate import evaluate
from slo_engine.explain import Selection, explain
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Observation, Outcome, Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.slo import EventCounts, IndicatorSli, Slo
from slo_engine.snapshot import Snapshot
from slo_engine.windows import parse_window

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STARTED, DUE = NOW - timedelta(days=3), NOW + timedelta(days=1)
JUST_BEFORE = DUE - timedelta(microseconds=1)
API, WEB = Subject("api"), Subject("web")
WEEK = parse_window("7d")

ANSWERED = Indicator(
    name="answered",
    version="1",
    title="Answered",
    definition="Share answered in time.",
    shape=Shape.RATIO,
    metric="platform_answered",
)
ARRIVED = Indicator(
    name="arrived",
    version="1",
    title="Arrived",
    definition="Units that arrived.",
    shape=Shape.FREQUENCY,
    metric="platform_arrived",
)
INDICATORS = {i.name: i for i in (ANSWERED, ARRIVED)}
PROMISE = Slo(
    name="answers",
    title="Answers",
    description="",
    owner_service="desk",
    target=Decimal("0.5"),
    window=WEEK,
    sli=IndicatorSli(indicator="answered"),
    minimum_events=1,
    minimum_coverage=0.0,
)
SOURCE = source_state("desk", last_success_at=NOW, last_run_at=NOW, last_duration_seconds=1.0, newest_event_at=NOW)


def seen(outcome: Outcome, at: datetime, **fields: Any) -> Observation:
    """An observation of the unit `a`, unless told otherwise."""
    kept: dict[str, Any] = {"indicator": "answered", "unit": "a", "subject": API, "source": "desk", **fields}
    return Observation(outcome=outcome, at=at, **kept)


def twins(**fields: Any) -> tuple[Observation, Observation]:
    """The unit `a`: pending from its start, bad at its deadline."""
    return seen(Outcome.PENDING, STARTED, matures_at=DUE, **fields), seen(Outcome.BAD, DUE, **fields)


def at(store: ObservationStore, moment: datetime, organisation: Organisation | None = None) -> Snapshot:
    """What is known at a time."""
    return evaluate(store, INDICATORS, [PROMISE], [SOURCE], moment, windows=[WEEK], organisation=organisation)


def counts(snapshot: Snapshot, subject: Subject = API) -> tuple[int, dict[str, float], int]:
    """n, the share without its interval, and how many are pending."""
    number = snapshot.number("answered", subject, "7d")
    assert number is not None
    beside = snapshot.beside(number)
    assert beside is not None
    return number.n, {k: v for k, v in number.stats.items() if k == "value"}, beside.pending


def test_before_its_deadline_a_unit_is_pending_and_not_bad(put: Any) -> None:
    """An open ticket whose time is not up counts as pending, and the future judgement is in no window."""
    assert counts(at(put(*twins()), JUST_BEFORE)) == (0, {}, 1)


def test_at_its_deadline_a_unit_is_bad_and_pending_no_more(put: Any) -> None:
    """From the deadline on the unit is judged once, and what said that it was pending is gone."""
    assert counts(at(put(*twins()), DUE)) == (1, {"value": 0.0}, 0)


def test_a_unit_that_is_pending_without_an_end_stays_pending(put: Any) -> None:
    """What no time ends is shown as pending however old it is."""
    assert counts(at(put(seen(Outcome.PENDING, STARTED)), DUE)) == (0, {}, 1)


def test_an_objective_counts_the_judgement_from_the_deadline_on(put: Any) -> None:
    """Until the deadline an SLO has no event of the unit; at the deadline it has one bad one."""
    store = put(*twins())

    before, after = at(store, JUST_BEFORE).slos[0], at(store, DUE).slos[0]

    assert (before.counts["7d"], after.counts["7d"]) == (EventCounts(0, 0), EventCounts(0, 1))
    assert (before.totals, after.totals) == (EventCounts(0, 0), EventCounts(0, 1))


def test_a_counter_counts_a_unit_once(put: Any) -> None:
    """Of a unit that waited until its deadline one is counted since the beginning, not two."""
    good = seen(Outcome.GOOD, DUE, indicator="arrived")
    store = put(seen(Outcome.PENDING, STARTED, indicator="arrived", matures_at=DUE), good)

    assert at(store, JUST_BEFORE).totals == {("arrived", API, ""): 1.0}
    assert at(store, DUE).totals == {("arrived", API, ""): 1.0}


def test_a_counter_counts_an_old_unit_once(put: Any) -> None:
    """Units that lie before every window are counted by the database, which leaves out what was only pending."""
    good = seen(Outcome.GOOD, DUE, indicator="arrived")
    store = put(seen(Outcome.PENDING, STARTED, indicator="arrived", matures_at=DUE), good)

    assert at(store, DUE + timedelta(days=40)).totals == {("arrived", API, ""): 1.0}


def test_a_level_of_teams_judges_a_unit_once(put: Any) -> None:
    """A unit of two services is pending once, then bad once, for the level that holds both."""
    teams = Organisation(services=(Service(name="api", team="/shop"), Service(name="web", team="/shop")))
    store = put(*twins(), *twins(subject=WEB))

    assert counts(at(store, JUST_BEFORE, teams), Subject(team="/shop")) == (0, {}, 1)
    assert counts(at(store, DUE, teams), Subject(team="/shop")) == (1, {"value": 0.0}, 0)


@pytest.mark.parametrize(
    ("moment", "listed"), [(JUST_BEFORE, [("pending", STARTED)]), (DUE, [("bad", DUE)])], ids=["before", "after"]
)
def test_an_explanation_lists_a_unit_once(
    put: Any, tmp_path: Path, moment: datetime, listed: list[tuple[str, datetime]]
) -> None:
    """The units behind a number name the one judgement that holds then."""
    store = put(*twins())
    database = Database.open(tmp_path / "events")

    found = explain(
        ANSWERED,
        Selection(window="7d"),
        store,
        EventStore(database),
        at=moment,
        zone=ZoneInfo("UTC"),
        sources=[SOURCE],
    )
    database.close()

    assert [(u.outcome, u.at) for u in found.units] == listed
    assert found.total == len(listed)
