"""SLOs on a label's value or a team: what is counted, everywhere an SLO is counted, and what a file can say.

The requests of a week, all of teams below `/shop` but the last:

    journey  team           good  bad
    db       /shop/basket      2    1
    db       /shop/search      1    0
    vm       /shop/basket      0    2
    db       /data             0    1
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from source_states import source_state

from collector.document import Document
from collector.errors import ConfigError
from collector.store import ObservationStore, Series
from slo_engine.evaluate import evaluate
from slo_engine.history import observed
from slo_engine.indicator import Indicator, Shape
from slo_engine.measure import Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, labelled
from slo_engine.openslo import load_slos, slos_of
from slo_engine.openslo_export import exported
from slo_engine.organisation import Organisation, Service
from slo_engine.plan import compare
from slo_engine.reading import Reader
from slo_engine.selecting import takes_in
from slo_engine.sli_words import measured_by
from slo_engine.slo import EventCounts, IndicatorSli, Slo
from slo_engine.slo_states import Conditions, finished
from slo_engine.windows import parse_window

BAD = Path(__file__).parent / "bad" / "labels"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BASKET, SEARCH, DATA = (Subject(team=t) for t in ("/shop/basket", "/shop/search", "/data"))


def _nothing(_: Sample) -> Measured:
    return Measured(n=0)


def indicator(name: str, *labels: str, **fields: Any) -> Indicator:
    """A ratio with labels, unless told otherwise."""
    given: dict[str, Any] = {"version": "1", "title": name, "definition": name, "metric": f"platform_{name}"}
    return Indicator(name=name, labels=labels, **{"shape": Shape.RATIO, **given, **fields})


SUCCESS = indicator("self_service_success", "journey")
INDICATORS = {
    i.name: i
    for i in (
        SUCCESS,
        indicator("pipeline_success"),
        indicator("documentation_freshness", "method", apart=("method",), values={"method": ("map", "age")}),
        indicator("survey_csat", "kind", "", apart=("kind",)),
        indicator("survey_nps", "kind", shape=Shape.MEASURE, measure=_nothing, stats=("value",)),
    )
}
DESK = source_state("desk", last_success_at=NOW, last_run_at=NOW, last_duration_seconds=1.0, newest_event_at=NOW)


def requests(journey: str, team: Subject, good: int, bad: int, **fields: Any) -> list[Observation]:
    """So many requests of a team, an hour ago."""
    outcomes = [Outcome.GOOD] * good + [Outcome.BAD] * bad
    return [
        Observation(
            indicator="self_service_success",
            unit=f"{journey} {team.team} {place}",
            at=NOW - timedelta(hours=1),
            subject=team,
            source="desk",
            outcome=outcome,
            dimension=labelled(journey),
            **fields,
        )
        for place, outcome in enumerate(outcomes)
    ]


A_WEEK = (
    *requests("db", BASKET, 2, 1),
    *requests("db", SEARCH, 1, 0),
    *requests("vm", BASKET, 0, 2),
    *requests("db", DATA, 0, 1),
)


def promise(**chosen: Any) -> Slo:
    """An SLO on the requests that are chosen."""
    return Slo(
        name="requests",
        title="Requests",
        description="",
        owner_service="platform",
        target=Decimal("0.5"),
        window=parse_window("7d"),
        sli=IndicatorSli(indicator="self_service_success", **chosen),
        minimum_events=1,
        minimum_coverage=0.0,
    )


DB, OF_SHOP = {"labels": (("journey", "db"),)}, {"team": "/shop"}
CHOICES = pytest.mark.parametrize(
    ("chosen", "good", "bad"),
    [({}, 3, 4), (DB, 3, 2), (OF_SHOP, 3, 3), (DB | OF_SHOP, 3, 1), (DB | {"team": "/data"}, 0, 1)],
    ids=["all", "journey", "level of teams", "both", "team"],
)


@CHOICES
def test_an_slo_counts_what_its_label_and_team_take_in(put: Any, chosen: dict[str, Any], good: int, bad: int) -> None:
    """Good and bad are those of the table's rows that are chosen."""
    (state,) = evaluate(put(*A_WEEK), INDICATORS, [promise(**chosen)], [DESK], NOW).slos

    assert state.counts["7d"] == EventCounts(good, bad)
    assert state.totals == EventCounts(good, bad)


@CHOICES
def test_past_windows_and_backtests_count_the_same(put: Any, chosen: dict[str, Any], good: int, bad: int) -> None:
    """A finished month and a replay take in what the SLO's state takes in."""
    store: ObservationStore = put(*A_WEEK)
    later = NOW + timedelta(days=40)
    conditions = Conditions(fresh=frozenset({"desk"}))

    _, march = finished(promise(**chosen), SUCCESS, Reader(store, later + timedelta(days=30)), conditions, "UTC", 2)
    history = observed(promise(**chosen), SUCCESS, store, NOW - timedelta(days=1), NOW)

    assert march.counts == EventCounts(good, bad)
    assert (history.good.sum(), history.bad.sum()) == (good, bad)


def series(journey: str, **who: str) -> Series:
    """A series of requests."""
    place = {"service": "", "environment": "", "team": "", **who}
    return Series("test", "self_service_success", journey, source="desk", **place)


@pytest.mark.parametrize(
    ("sli", "one", "taken"),
    [
        (IndicatorSli(indicator="x", team="/shop"), series("db", service="api"), True),
        (IndicatorSli(indicator="x", team="/shop/basket"), series("db", service="api"), False),
        (IndicatorSli(indicator="x", team="/"), series("db"), True),
        (IndicatorSli(indicator="x", team="/shop"), series("db"), False),
        (IndicatorSli(indicator="x", labels=(("journey", "vm"),)), series("db"), False),
        (IndicatorSli(indicator="x", environment="staging"), series("db", environment="production"), False),
    ],
    ids=["team of a service", "another team", "the whole", "nobody", "another journey", "another environment"],
)
def test_which_series_an_sli_takes_in(sli: IndicatorSli, one: Series, *, taken: bool) -> None:
    """A service has the team of the catalogue; what names nobody belongs to the whole organisation only."""
    teams = Organisation(services=(Service(name="api", team="/shop"),))

    assert takes_in(sli, SUCCESS, one, teams) is taken


# --- files ------------------------------------------------------------------------------------------------


def document(**spec: str) -> dict[str, Any]:
    """An SLO on requests, with more in its metric source."""
    source = {"type": "Paceline", "spec": {"indicator": "self_service_success", **spec}}
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": "requests"},
        "spec": {
            "service": "platform",
            "indicator": {"spec": {"ratioMetric": {"rawType": "success", "raw": {"metricSource": source}}}},
            "budgetingMethod": "Occurrences",
            "timeWindow": [{"duration": "28d", "isRolling": True}],
            "objectives": [{"target": "0.9"}],
        },
    }


def read(**spec: str) -> Slo:
    """The SLO of a file."""
    (found,) = slos_of([Document("slo.yaml", document(**spec), {})], INDICATORS)
    return found


def test_a_file_names_label_and_team() -> None:
    """Beside the indicator stand its label's value and the team; an empty value chooses nothing."""
    assert read(journey="db", team="/shop").counted == IndicatorSli(
        indicator="self_service_success", team="/shop", labels=(("journey", "db"),)
    )
    assert read(journey="").counted == IndicatorSli(indicator="self_service_success")


@pytest.mark.parametrize("spec", [{"journey": "db", "team": "/shop"}, {"team": "/"}, {"journey": "db"}])
def test_what_is_exported_is_read_back_as_the_same(spec: dict[str, str]) -> None:
    """Label and team are written as they are read."""
    one = read(**spec)

    assert slos_of([Document("slo.yaml", exported(one), {})], INDICATORS) == [one]


def test_another_label_is_a_change_of_the_slo() -> None:
    """A plan says that the journey changes, and what the SLO measures then."""
    (change,) = compare([read(journey="db")], [read(journey="vm")], ()).slos

    assert [(f.before, f.after) for f in change.fields] == [("db", "vm")]
    assert change.about == "90% in 28d, self_service_success journey vm"


def test_an_sli_is_told_with_its_label_and_team() -> None:
    """In a table the journey and the team stand beside the indicator."""
    assert measured_by(read(journey="db", team="/shop").sli) == "self_service_success journey db /shop"


@pytest.mark.parametrize("path", sorted(BAD.glob("*.bad.yaml")), ids=lambda path: path.name.split(".")[0])
def test_every_mistake_is_answered(path: Path) -> None:
    """A bad file gives exactly the sentences in its first lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]

    with pytest.raises(ConfigError) as caught:
        load_slos(path, INDICATORS)

    assert str(caught.value).replace(f"{path.parent}/", "").splitlines() == expected
