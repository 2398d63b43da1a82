"""Numbers split by what their units name, and numbers of teams that observations name themselves.

The requests of a week: journey `db` has three good and one bad, `vm` one bad, and one good request names no journey.

    cell      good  n  share
    db           3  4  0.75
    vm           0  1  0
    together     4  6  4/6
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from source_states import source_state

from collector.store import ObservationStore
from slo_engine.catalog import metrics_of
from slo_engine.evaluate import Evaluator, evaluate
from slo_engine.exposition import expose
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Observation, Outcome, Subject, labelled
from slo_engine.organisation import Organisation, Service
from slo_engine.reading import cells_of
from slo_engine.snapshot import Snapshot
from slo_engine.windows import parse_window

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WEEK = parse_window("7d")
SHOP, BASKET = Subject(team="/shop"), Subject(team="/shop/basket")
WHOLE = Subject(team="/")

SUCCESS = Indicator(
    name="success",
    version="1",
    title="Requests that succeeded",
    definition="Share of requests that succeeded.",
    shape=Shape.RATIO,
    metric="platform_success",
    labels=("journey",),
)
WAIT = Indicator(
    name="wait",
    version="1",
    title="Wait",
    definition="Time waited.",
    shape=Shape.DURATION,
    metric="platform_wait",
    labels=("journey", "method"),
    apart=("method",),
)
REQUESTS = Indicator(
    name="requests",
    version="1",
    title="Requests",
    definition="Requests a day.",
    shape=Shape.FREQUENCY,
    metric="platform_requests",
    labels=("journey", ""),
)
INDICATORS = {i.name: i for i in (SUCCESS, WAIT, REQUESTS)}
DESK = source_state("desk", last_success_at=NOW, last_run_at=NOW, last_duration_seconds=1.0, newest_event_at=NOW)


def request(name: str, journey: str, outcome: Outcome = Outcome.GOOD, **fields: Any) -> Observation:
    """A request of an hour ago, of a team unless told otherwise."""
    given: dict[str, Any] = {
        "indicator": "success",
        "unit": name,
        "at": NOW - timedelta(hours=1),
        "subject": SHOP,
        "source": "desk",
        "outcome": outcome,
        "dimension": labelled(journey),
    }
    return Observation(**given | fields)


A_WEEK = (
    request("1", "db"),
    request("2", "db"),
    request("3", "db"),
    request("4", "db", Outcome.BAD),
    request("5", "vm", Outcome.BAD),
    request("6", ""),
)


def at(store: ObservationStore, moment: datetime = NOW, organisation: Organisation | None = None) -> Snapshot:
    """What is known at a time, in one window."""
    return evaluate(store, INDICATORS, [], [DESK], moment, windows=[WEEK], organisation=organisation)


def shares(snapshot: Snapshot, subject: Subject = SHOP) -> dict[str, tuple[int, float]]:
    """By cell n and the share, without intervals."""
    return {
        n.dimension: (n.n, n.stats["value"])
        for n in snapshot.numbers
        if (n.indicator, n.subject) == ("success", subject)
    }


def test_each_label_value_has_its_number_and_all_together_one(put: Any) -> None:
    """A number is published for every journey and for all of them; what names none counts in the latter only."""
    assert shares(at(put(*A_WEEK))) == {"": (6, 4 / 6), "db": (4, 0.75), "vm": (1, 0.0)}


def test_a_label_kept_apart_is_never_pooled() -> None:
    """Two methods are never one number, while the journeys of each are; what names no method stands by itself."""
    found = cells_of(WAIT, [labelled("db", "map"), labelled("vm", "map"), labelled("db", "age"), ""])

    expected = [("", "age"), ("", "map"), ("db", "age"), ("db", "map"), ("vm", "map")]
    assert list(found) == ["", *(labelled(*cell) for cell in expected)]
    assert found[labelled("", "map")] == [labelled("db", "map"), labelled("vm", "map")]


def test_what_names_no_value_of_a_shared_label_counts_for_each() -> None:
    """Who could wait stands beside every kind of wait, and is there once."""
    shared = replace(SUCCESS, values={"journey": ("db", "vm")}, shared=("journey",))

    assert cells_of(shared, ["db", ""]) == {"": ["db", ""], "db": ["db", ""], "vm": [""]}


def test_a_label_of_the_indicator_s_own_is_not_published() -> None:
    """The calendar's name, for example, tells units apart for the arithmetic and splits no number."""
    found = cells_of(REQUESTS, [labelled("db", "berlin"), labelled("db", "london")])

    assert {cell: len(taken) for cell, taken in found.items()} == {"": 2, "db": 2}


def test_what_stands_beside_a_number_is_that_of_its_label(put: Any) -> None:
    """Pending and left out units are counted for the journey that they name, and for all together."""
    waits, left = request("7", "vm", Outcome.PENDING), request("8", "db", Outcome.EXCLUDED, reason="rejected")
    snapshot = at(put(*A_WEEK, waits, left))

    beside = {a.dimension: (a.pending, a.excluded) for a in snapshot.accounting if a.subject == SHOP}

    assert beside == {"": (1, {"rejected": 1}), "db": (0, {"rejected": 1}), "vm": (1, {})}


def test_a_number_finds_what_stands_beside_it(put: Any) -> None:
    """Coverage of a journey is looked up with the journey's number, not with that of all."""
    snapshot = at(put(*A_WEEK, request("8", "db", Outcome.EXCLUDED, reason="unknown_base")))
    number = snapshot.number("success", SHOP, "7d", "db")
    assert number is not None

    beside = snapshot.beside(number)

    assert beside is not None
    assert beside.coverage == pytest.approx(4 / 5)


def test_durations_are_split_too(put: Any) -> None:
    """The medians of 10, 20 and of 40 are 15 and 40; all together have 20."""
    waits = [
        request(n, j, Outcome.MEASURED, indicator="wait", value=v, dimension=labelled(j, "map"))
        for n, j, v in (("1", "db", 10.0), ("2", "db", 20.0), ("3", "vm", 40.0))
    ]

    found = {n.dimension: n.stats["p50"] for n in at(put(*waits)).numbers if n.subject == SHOP}

    assert found == {labelled("", "map"): 20.0, labelled("db", "map"): 15.0, labelled("vm", "map"): 40.0}


def test_a_counter_has_every_combination_and_no_sum(put: Any) -> None:
    """What is counted since the beginning is split by the published labels; sums are made where they are asked for."""
    counted = [
        request(n, j, indicator="requests", dimension=labelled(j, c))
        for n, j, c in (("1", "db", "berlin"), ("2", "db", "london"), ("3", "", "berlin"))
    ]

    assert at(put(*counted)).totals == {("requests", SHOP, "db"): 2.0, ("requests", SHOP, ""): 1.0}


def test_labels_are_on_every_metric(put: Any) -> None:
    """Value, n, coverage, pending and excluded carry the journey; of all journeys together it is empty."""
    requests = [replace_indicator(o) for o in A_WEEK]
    lines = expose(at(put(*A_WEEK, *requests)), INDICATORS, "1").text.decode().splitlines()
    own = 'service="",team="/shop"'

    assert f'platform_success_samples{{environment="",journey="db",{own},window="7d"}} 4.0' in lines
    ratio = 'platform_success_ratio{environment="",journey="",service="",stat="value",team="/shop",window="7d"}'
    assert f"{ratio} {4 / 6}" in lines
    assert f'platform_success_coverage_ratio{{environment="",journey="vm",{own},window="7d"}} 1.0' in lines
    assert f'platform_success_pending{{environment="",journey="vm",{own},window="7d"}} 0.0' in lines
    assert f'platform_requests_total{{environment="",journey="db",{own}}} 4.0' in lines


def replace_indicator(one: Observation) -> Observation:
    """The request counted by the indicator that counts them."""
    return Observation(
        indicator="requests",
        unit=one.unit,
        at=one.at,
        subject=one.subject,
        source=one.source,
        outcome=Outcome.MEASURED,
        dimension=labelled(*one.dimension.split(), "berlin") if one.dimension else labelled("", "berlin"),
    )


def test_the_metrics_of_labels_are_in_the_catalogue() -> None:
    """Each metric of an indicator names its published labels once."""
    named = {m.name: m.labels for m in metrics_of(WAIT).all()}

    assert named["platform_wait_seconds"] == ("service", "environment", "team", "window", "journey", "method", "stat")
    assert named["platform_wait_excluded"][-1] == "reason"
    assert metrics_of(REQUESTS).total is not None
    assert metrics_of(REQUESTS).total.labels == ("service", "environment", "team", "journey")  # type: ignore[union-attr]


# --- teams that observations name -------------------------------------------------------------------------


def test_a_team_that_an_observation_names_makes_levels(put: Any) -> None:
    """A team's units count for the team, each level above it and the whole, though no service has a team."""
    store = put(request("1", "db", subject=BASKET), request("2", "db", Outcome.BAD))

    found = shares(at(store))

    assert found == {"": (2, 0.5), "db": (2, 0.5)}
    assert shares(at(store), BASKET)[""] == (1, 1.0)
    assert shares(at(store), WHOLE)[""] == (2, 0.5)


def test_what_names_nobody_is_about_the_whole(put: Any) -> None:
    """A unit without a team counts for the whole organisation where teams are known, and alone where none is."""
    nobody = request("1", "", subject=Subject())

    assert shares(at(put(nobody)), Subject()) == {"": (1, 1.0)}
    assert shares(at(put(nobody, request("2", "", Outcome.BAD))), WHOLE) == {"": (2, 0.5)}
    assert shares(at(put(nobody, request("2", "", Outcome.BAD))), Subject()) == {}


def test_services_and_teams_of_one_level_are_one_subject(put: Any) -> None:
    """Units of a team's service and units of the team itself are pooled under the team's path."""
    teams = Organisation(services=(Service(name="api", team="/shop"),))
    store = put(request("1", ""), request("2", "", Outcome.BAD, subject=Subject("api")))

    assert shares(at(store, organisation=teams)) == {"": (2, 0.5)}


def test_a_counter_of_a_team_holds_its_own_units(put: Any) -> None:
    """A level's counter counts what names that level itself: sums over teams then count each unit once."""
    store = put(replace_indicator(request("1", "")), replace_indicator(request("2", "", subject=BASKET)))

    assert at(store).totals == {("requests", SHOP, ""): 1.0, ("requests", BASKET, ""): 1.0}


def test_what_paceline_knows_by_itself_is_never_stale(put: Any) -> None:
    """An observation without a source rests on no run of any collector."""
    store = put(request("1", "db", source=""))
    gone = [replace(DESK, fresh=False)]

    found = evaluate(store, INDICATORS, [], gone, NOW, windows=[WEEK])

    assert found.number("success", SHOP, "7d", "db") is not None


def test_teams_that_come_and_go_leave_the_answer_of_a_new_look(put: Any) -> None:
    """An evaluator that saw no team, then one, then none says each time what a new one says."""
    plain, team = request("1", "db", subject=Subject("api")), request("2", "vm", subject=BASKET)
    kept = Evaluator(put())
    for units in ((plain,), (plain, team), (plain, request("3", "", subject=Subject())), (team,), (plain,)):
        store = put(*units)
        kept.apply(put.changes)

        assert kept.evaluate(INDICATORS, [], [DESK], NOW, windows=[WEEK]) == at(store)
