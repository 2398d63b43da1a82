"""From a number to what is behind it: the list adds up to the number, and names nobody."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.errors import PacelineError
from collector.events import Commit, Deployment, Event, Result
from collector.store import (
    Database,
    DerivationStore,
    EventStore,
    ObservationStore,
    Replacement,
    Series,
    to_micros,
)
from slo_engine.derive import derive
from slo_engine.explain import Explanation, Selection, explain
from slo_engine.indicator import MOST_PARTS, Indicator, Shape, families, indicators
from slo_engine.observation import Observation, Outcome, Reason, Subject
from slo_engine.organisation import Organisation
from slo_engine.snapshot import Snapshot, SourceState

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
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


def _source(name: str, *, fresh: bool = True) -> SourceState:
    """A source that succeeded a minute ago, or two days ago where it is stale."""
    age = timedelta(minutes=1) if fresh else timedelta(days=2)
    return SourceState(
        name=name,
        type="files",
        fresh=fresh,
        staleness_seconds=age.total_seconds(),
        last_success_at=NOW - age,
        last_run_at=NOW,
        last_duration_seconds=1.0,
        last_succeeded=fresh,
        error=None,
        events_total=1,
        rejected_total=0,
        newest_event_at=NOW,
    )


FRESH = tuple(map(_source, ("ci", "git", "tracker")))


class Bench:
    """A store with events and observations, and explanations from it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.events = EventStore(database)
        self.observations = ObservationStore(database)
        self.derivations = DerivationStore(database)

    def put(self, *observations: Observation) -> None:
        """Replace all observations."""
        rows: dict[Series, list[tuple[Any, ...]]] = {}
        for o in observations:
            parts = (*o.parts, *(None,) * MOST_PARTS)[:MOST_PARTS]
            matures_at = None if o.matures_at is None else to_micros(o.matures_at)
            evidence = msgspec.json.encode(o.evidence).decode()
            row = (to_micros(o.at), o.unit, o.value, *parts, str(o.outcome), o.reason, matures_at, o.rule, evidence)
            rows.setdefault(Series("test", o.indicator, o.dimension, *o.subject, o.source), []).append(row)
        new = Replacement(family="test", scope="", rows=rows, definitions="", reads=(), state=None)
        self.derivations.replace(new, 0, "")

    def write(self, *events: Event) -> None:
        """Write events and derive the built-in indicators from them."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        derive(families(), self.events, self.derivations)

    def explain(
        self,
        indicator: Indicator,
        *,
        sources: Sequence[SourceState] = FRESH,
        organisation: Organisation | None = None,
        published: Snapshot | None = None,
        **selection: Any,
    ) -> Explanation:
        """The explanation of a number at NOW."""
        return explain(
            indicator,
            Selection(**{"window": "7d", **selection}),
            self.observations,
            self.events,
            at=NOW,
            zone=BERLIN,
            sources=sources,
            organisation=organisation,
            published=published,
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One store for the module; each test replaces what it holds."""
    database = Database.open(tmp_path_factory.mktemp("explain"))
    yield Bench(database)
    database.close()


@pytest.fixture
def new_bench(tmp_path: Path) -> Iterator[Callable[[], Bench]]:
    """Makes an empty store of a test's own."""
    database = Database.open(tmp_path)
    yield lambda: Bench(database)
    database.close()


def unit(name: str, ago: timedelta = timedelta(hours=1), **fields: Any) -> Observation:
    """An observation that was measured some time before now, unless told otherwise."""
    return Observation(
        **{
            "indicator": "wait",
            "unit": name,
            "at": NOW - ago,
            "subject": Subject("api", "production"),
            "source": "ci",
            "outcome": Outcome.MEASURED,
            "value": 60.0,
            **fields,
        }
    )


def test_the_window_is_the_evaluation_s(bench: Bench) -> None:
    """A unit on the window's first moment is not listed, one on its last is, and later ones are not."""
    bench.put(unit("start", timedelta(days=7)), unit("end", timedelta(0)), unit("later", -timedelta(hours=1)))

    found = bench.explain(WAIT)

    assert [u.unit.id for u in found.units] == ["end"]
    assert (found.after, found.until) == (NOW - timedelta(days=7), NOW)


def test_units_come_oldest_first(bench: Bench) -> None:
    """Units of several series are listed in the order of time."""
    bench.put(unit("b", timedelta(hours=2)), unit("a", timedelta(hours=3), subject=Subject("web")), unit("c"))

    assert [u.unit.id for u in bench.explain(WAIT).units] == ["a", "b", "c"]


def test_only_the_chosen_service_is_listed(bench: Bench) -> None:
    """A service and an environment narrow numbers and units alike."""
    bench.put(unit("a"), unit("b", subject=Subject("web", "production")), unit("c", subject=Subject("api", "staging")))

    found = bench.explain(WAIT, service="api", environment="production")

    assert [u.unit.id for u in found.units] == ["a"]
    assert {n.subject for n in found.numbers} == {a.subject for a in found.accounting} == {Subject("api", "production")}


def test_a_part_is_explained_by_its_whole_s_units(bench: Bench) -> None:
    """An indicator that is a part lists that part's value; a unit without it is left out, saying why."""
    bench.put(
        unit("1", parts=(20.0, 40.0, None, None)),
        unit("2", parts=(60.0, None, None, None), reason=Reason.MERGED_AFTER_DEPLOYMENT),
        unit("3", parts=(60.0, None, None, None)),
    )

    found = bench.explain(WORK)

    assert [(u.value, u.outcome, u.reason) for u in found.units] == [
        (40.0, "measured", ""),
        (None, "excluded", "merged_after_deployment"),
        (None, "excluded", "missing_time"),
    ]
    assert found.accounting[0].excluded == {"merged_after_deployment": 1, "missing_time": 1}


def test_known_parts_are_shown_by_name(bench: Bench) -> None:
    """A unit shows the parts that are known, and leaves out those that are not."""
    bench.put(unit("1", parts=(20.0, None, None, None)))

    assert bench.explain(WAIT).units[0].parts == {"queue": 20.0}


def test_a_dimension_narrows_the_numbers(bench: Bench) -> None:
    """Asked for one part, only its number is shown."""
    bench.put(unit("1", parts=(20.0, 40.0, None, None)))

    assert [n.dimension for n in bench.explain(WAIT, dimension="queue").numbers] == ["queue"]


@pytest.mark.parametrize(
    ("indicator", "selection", "said"),
    [
        (WAIT, {"dimension": "queu"}, "wait has no 'queu'; expected one of queue, work"),
        (WORK, {"dimension": "queue"}, "work has no 'queue'; expected no dimension"),
        (
            WAIT,
            {"window": "1M"},
            "'1M' is no duration; expected a number and one of s m h d w, for example 5m, 6h or 28d",
        ),
        (WAIT, {"window": "99999999999d"}, "'99999999999d' is too long; expected at most 36500d"),
        (WAIT, {"week": "2026-13"}, "'2026-13' is no week; expected an ISO week, for example 2026-W14"),
        (WAIT, {"week": "2026-W54"}, "'2026-W54' is no week; expected an ISO week, for example 2026-W14"),
        (WAIT, {"week": "0001-W01"}, "'0001-W01' is no week; expected an ISO week, for example 2026-W14"),
    ],
)
def test_what_cannot_be_read_is_answered(bench: Bench, indicator: Indicator, selection: Any, said: str) -> None:
    """A window, week or part that means nothing is refused in a sentence, not answered with an empty list."""
    with pytest.raises(PacelineError) as caught:
        bench.explain(indicator, **selection)

    assert str(caught.value) == said


def test_the_longest_window_can_be_read(bench: Bench) -> None:
    """A window of a hundred years still ends within the calendar."""
    bench.put(unit("1"))

    assert len(bench.explain(WAIT, window="36500d").units) == 1


def test_a_past_week_is_judged_at_its_end(bench: Bench) -> None:
    """A unit that ripened after the week's end is pending in its explanation, as in its summary."""
    tuesday = datetime(2026, 2, 24, 12, 0, tzinfo=UTC)
    bench.put(unit("1", at=tuesday, matures_at=datetime(2026, 3, 2, 1, 0, tzinfo=UTC)), unit("2", at=tuesday))

    found = bench.explain(WAIT, week="2026-W09")

    assert [u.outcome for u in found.units] == ["pending", "measured"]
    assert (found.numbers[0].n, found.accounting[0].pending) == (1, 1)


def test_a_week_that_has_not_ended_stops_now(bench: Bench) -> None:
    """What is dated later in the running week is in neither the number nor the list."""
    bench.put(unit("1"), unit("2", -timedelta(hours=1)))

    found = bench.explain(WAIT, week="2026-W10")

    assert (found.numbers[0].n, [u.unit.id for u in found.units]) == (1, ["1"])


def test_a_vanished_event_keeps_its_id(bench: Bench) -> None:
    """An event that is no longer stored is listed by its id, without a time."""
    bench.put(unit("gone", evidence=("also gone",)))

    (line,) = bench.explain(WAIT).units

    assert (line.unit.kind, line.unit.id, line.unit.at) == ("event", "gone", None)
    assert [e.id for e in line.evidence] == ["also gone"]


# --- laws ------------------------------------------------------------------------------------------------

_parts = st.tuples(st.none() | st.floats(0, 1e6), st.none() | st.floats(0, 1e6), st.none(), st.none())
_measured = st.builds(
    lambda hours, value, parts, ripe: {
        "ago": timedelta(hours=hours),
        "value": value,
        "parts": parts,
        "matures_at": None if ripe else NOW + timedelta(hours=1),
    },
    st.integers(0, 180),
    st.none() | st.floats(0, 1e6),
    _parts,
    st.booleans(),
)
_law = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_law
@given(units=st.lists(_measured, max_size=10), window=st.sampled_from(["1d", "7d", "28d"]))
def test_the_units_of_a_duration_re_add_to_its_number(bench: Bench, units: list[dict[str, Any]], window: str) -> None:
    """For whole and part alike: n, median, pending and excluded follow from the listed units, exactly."""
    bench.put(*(unit(str(i), **fields) for i, fields in enumerate(units)), unit("old", timedelta(days=40)))

    for indicator in (WAIT, WORK):
        found = bench.explain(indicator, window=window)
        whole = next(n for n in found.numbers if not n.dimension)
        values = [u.value for u in found.units if u.outcome == "measured" and u.value is not None]

        assert whole.n == len(values) == sum(u.outcome == "measured" for u in found.units)
        assert whole.stats.get("p50") == (pytest.approx(statistics.median(values)) if values else None)
        assert found.accounting[0].pending == sum(u.outcome == "pending" for u in found.units)
        assert sum(found.accounting[0].excluded.values()) == sum(u.outcome == "excluded" for u in found.units)


@_law
@given(outcomes=st.lists(st.sampled_from([o for o in Outcome if o != Outcome.MEASURED]), max_size=12))
def test_the_units_of_a_ratio_re_add_to_its_number(bench: Bench, outcomes: list[Outcome]) -> None:
    """Good over good and bad of the listed units is the ratio."""
    bench.put(*(unit(str(i), indicator="success", outcome=o, value=None) for i, o in enumerate(outcomes)))

    found = bench.explain(SUCCESS)
    good, bad = (sum(u.outcome == o for u in found.units) for o in ("good", "bad"))

    assert [n.n for n in found.numbers] == ([good + bad] if outcomes else [])
    assert [n.stats.get("value") for n in found.numbers if n.n] == ([good / (good + bad)] if good + bad else [])


# --- the built-in indicators -----------------------------------------------------------------------------

_HOUR = timedelta(hours=1)
PLANTED = "person:" + "a" * 32


def _history() -> list[Event]:
    """Five commits in a line, deployed one by one; the fourth deployment failed."""
    commits = [
        Commit(
            source="git",
            native_id=f"{n}" * 40,
            repository="o/api",
            sha=f"{n}" * 40,
            parents=(f"{n - 1}" * 40,) if n > 1 else (),
            authored_at=NOW - 60 * _HOUR + (n - 2) * 10 * _HOUR,
            committed_at=NOW - 60 * _HOUR + (n - 1) * 10 * _HOUR,
            author=PLANTED,
            on_default_branch=True,
        )
        for n in range(1, 6)
    ]
    deployments = [
        Deployment(
            source="git",
            native_id=f"d{c.sha}",
            service="api",
            environment="production",
            repository="o/api",
            sha=c.sha,
            finished_at=c.committed_at + _HOUR,
            result=Result.ERROR if c.sha.startswith("4") else Result.SUCCESS,
            version=f"v1.{c.sha[0]}",
            actor=PLANTED,
        )
        for c in commits
    ]
    return [*commits, *deployments]


@pytest.mark.parametrize("window", ["1d", "7d", "28d", "90d"])
@pytest.mark.parametrize("name", ["change_lead_time", "change_delivery_time"])
def test_every_built_in_duration_re_adds(new_bench: Callable[[], Bench], name: str, window: str) -> None:
    """The median and n of the built-in durations follow from what explain lists, in every window."""
    bench = new_bench()
    bench.write(*_history())

    found = bench.explain(indicators()[name], window=window)
    values = [u.value for u in found.units if u.outcome == "measured" and u.value is not None]
    whole = next(n for n in found.numbers if not n.dimension)

    assert values
    assert (whole.n, whole.stats["p50"]) == (len(values), statistics.median(values))


def test_deployment_frequency_re_adds(new_bench: Callable[[], Bench]) -> None:
    """Four successes of five deployments in 7 days: listed as such, 4/7 a day."""
    bench = new_bench()
    bench.write(*_history())

    found = bench.explain(indicators()["deployment_frequency"])

    assert [u.outcome for u in found.units] == ["measured", "measured", "measured", "excluded", "measured"]
    assert found.numbers[0].n == 4
    assert found.numbers[0].stats["per_day"] == pytest.approx(4 / 7)
    assert found.accounting[0].excluded == {"not_successful": 1}


def test_the_evidence_is_the_deployment_that_shipped_the_change(new_bench: Callable[[], Bench]) -> None:
    """The change behind the failed deployment is explained by the next success, by name and time."""
    bench = new_bench()
    bench.write(*_history())

    line = next(u for u in bench.explain(indicators()["change_lead_time"]).units if u.unit.label.startswith("4444"))

    assert [(e.kind, e.label) for e in line.evidence] == [("deployment", "v1.5 5555555555")]


def test_nobody_is_named(new_bench: Callable[[], Bench]) -> None:
    """No person, not even as a hash, is in an explanation."""
    bench = new_bench()
    bench.write(*_history())

    assert "person:" not in repr([bench.explain(i) for i in indicators().values()])
