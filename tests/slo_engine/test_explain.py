"""From a number to what is behind it: the list adds up to the number, and names nobody."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.errors import PacelineError
from collector.events import Change, ChangeState, Commit, Deployment, Event, PipelineRun, Result, RunState
from collector.store import (
    Database,
    DerivationStore,
    EventStore,
    ObservationStore,
    Replacement,
    Series,
    to_micros,
)
from slo_engine.catalog import QUANTILES
from slo_engine.counted import Role
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.event_lines import EventLine, line_of, unknown, web_link
from slo_engine.explain import (
    ExplainedNumber,
    Explanation,
    Selection,
    UnknownIndicator,
    explain,
    find_indicator,
    subject_text,
)
from slo_engine.indicator import Indicator, Shape, families, indicators
from slo_engine.number_words import labels_of
from slo_engine.observation import MOST_PARTS, Observation, Outcome, Reason, Subject, labelled
from slo_engine.organisation import Organisation, Service
from slo_engine.snapshot import Snapshot, SourceState
from slo_engine.statistics import median_interval, quantiles, wilson
from slo_engine.unit_lines import UnitLine

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
    return source_state(
        name,
        fresh=fresh,
        staleness_seconds=age.total_seconds(),
        last_success_at=NOW - age,
        last_run_at=NOW,
        last_duration_seconds=1.0,
        last_succeeded=fresh,
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
_law = settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


# --- every registered indicator: the list adds up to what is exported -----------------------------------

TEAMS = Organisation(
    services=(
        Service(name="api", team="/commerce/checkout"),
        Service(name="web", team="/commerce/search"),
        Service(name="cron", team="/data"),
    )
)
_seconds = st.none() | st.integers(0, 10**6).map(float)


def _observations(indicator: Indicator) -> st.SearchStrategy[Observation]:
    """Observations of an indicator: some unripe, left out or without a value, some of one unit in two services."""
    whole = indicator.part_of or indicator
    usual = [Outcome.GOOD, Outcome.BAD] if indicator.shape is Shape.RATIO else [Outcome.MEASURED, Outcome.MEASURED]
    parts = st.tuples(*([_seconds] * len(whole.dimensions))) if whole.shape is Shape.DURATION else st.just(())
    kinds: tuple[str, ...] = indicator.dimensions if whole.shape is Shape.FREQUENCY and whole.dimensions else ("",)
    if whole.labels:
        kinds = tuple(labelled(*values) for values in product(("", "a", "b"), repeat=len(whole.labels)))
    return st.builds(
        lambda outcome, reason, hours, number, service, environment, ripe, **fields: unit(
            str(number),
            timedelta(hours=hours),
            dimension=kinds[number % len(kinds)],
            indicator=whole.name,
            subject=Subject(service, environment),
            outcome=outcome,
            reason=reason if outcome is Outcome.EXCLUDED else "",
            matures_at=None if ripe else NOW + timedelta(hours=1),
            **fields,
        ),
        outcome=st.sampled_from([*usual, Outcome.PENDING, Outcome.EXCLUDED]),
        reason=st.sampled_from(Reason).map(str),
        hours=st.integers(0, 70 * 24),
        number=st.integers(0, 9),
        service=st.sampled_from(["api", "web", "cron", "unowned"]),
        environment=st.sampled_from(["production", "staging"]),
        ripe=st.sampled_from([True, True, True, False]),
        value=_seconds,
        parts=parts,
        source=st.sampled_from(["ci", "git", "ci+tracker"]),
    )


def _is_about(unit: UnitLine, indicator: Indicator, number: ExplainedNumber) -> bool:
    """Whether a listed unit names the label values of a number."""
    chosen = labels_of(indicator, number.dimension).items()
    return all(unit.labels.get(name, "") == value for name, value in chosen if value or name in indicator.apart)


def _key(o: Observation) -> tuple[object, ...]:
    """A unit is judged once for a subject."""
    return o.subject, o.unit


def added_up(found: Explanation, number: ExplainedNumber) -> dict[str, float]:
    """The statistics of a number from nothing but the units listed."""
    pooled = not number.subject.service
    own = [
        u
        for u in found.units
        if u.subject == number.subject or (pooled and u.subject.environment == number.subject.environment)
        if _is_about(u, found.indicator, number)
    ]
    roles = Counter(u.role for u in own)
    if found.indicator.shape is Shape.MEASURE or found.indicator.people:
        return dict(number.stats)  # only its own arithmetic knows how units add up; of people it is not told whose
    if counted := roles[Role.NUMERATOR] + roles[Role.DENOMINATOR]:
        low, high = wilson(roles[Role.NUMERATOR], counted) or (None, None)
        return {"value": roles[Role.NUMERATOR] / counted, "low": low, "high": high}  # type: ignore[dict-item]
    if roles[Role.COUNT]:
        assert found.after is not None
        return {"per_day": roles[Role.COUNT] / ((found.until - found.after) / timedelta(days=1))}
    part = "" if found.indicator.labels else number.dimension
    values = [u.parts.get(part) if part else u.value for u in own if u.role is Role.VALUE]
    known = np.array([v for v in values if v is not None])
    return quantiles(known, QUANTILES) | dict(zip(("low", "high"), median_interval(known) or (), strict=False))


_everything = settings(max_examples=examples(12), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", sorted(indicators()))
@_everything
@given(
    data=st.data(),
    team=st.sampled_from(["", "/", "/commerce", "/commerce/search"]),
    window=st.sampled_from(["7d", "28d", "90d"]),
)
def test_every_indicator_s_units_add_up_to_what_is_exported(
    bench: Bench, name: str, data: st.DataObject, team: str, window: str
) -> None:
    """For services and for levels of teams, in every window: the list gives the exported numbers, exactly."""
    indicator = indicators()[name]
    bench.put(*data.draw(st.lists(_observations(indicator), max_size=25, unique_by=_key)))
    snapshot = evaluate(bench.observations, {name: indicator}, [], FRESH, NOW, organisation=TEAMS)

    found = bench.explain(indicator, window=window, team=team, organisation=TEAMS, published=snapshot)
    exported = {
        (n.subject, n.dimension): (n.n, dict(n.stats))
        for n in snapshot.numbers
        if n.window in {window, "now"} and (n.subject.team == team if team else n.subject.service)
        if not (team and n.subject.service)
        if not any(v for name, v in labels_of(indicator, n.dimension).items() if name not in indicator.apart)
    }

    told = [n for n in found.numbers if n.fewer_than is None]
    assert {(n.subject, n.dimension): (n.n, added_up(found, n)) for n in told} == exported
    assert {(n.subject, n.dimension): (n.n, dict(n.stats)) for n in told} == exported
    assert all(n.agrees for n in told)
    shown = {(n.subject, n.dimension if indicator.labels else "") for n in told}
    assert sorted(found.accounting, key=lambda a: (a.subject, a.dimension)) == sorted(
        (a for a in snapshot.accounting if a.window in {window, "now"} and (a.subject, a.dimension) in shown),
        key=lambda a: (a.subject, a.dimension),
    )
    assert found.total == len(found.units)


@_everything
@given(data=st.data(), limit=st.integers(1, 7), team=st.sampled_from(["", "/commerce"]))
def test_pages_together_are_the_whole_list(bench: Bench, data: st.DataObject, limit: int, team: str) -> None:
    """Read page by page, every unit comes once and in order, also where many are of one moment."""
    hours = st.integers(0, 3)
    drawn = data.draw(st.lists(_observations(WAIT), max_size=25))
    moments = [msgspec.structs.replace(o, at=NOW - timedelta(hours=data.draw(hours))) for o in drawn]
    bench.put(*{_key(o): o for o in moments}.values())

    whole = bench.explain(WAIT, team=team, organisation=TEAMS)
    pages = [
        bench.explain(WAIT, team=team, organisation=TEAMS, limit=limit, offset=offset)
        for offset in range(0, whole.total + limit, limit)
    ]

    assert [u for p in pages for u in p.units] == list(whole.units)
    assert all((p.total, p.numbers) == (whole.total, whole.numbers) for p in pages)


# --- what stands beside the units ------------------------------------------------------------------------


def test_a_ratio_has_two_sides(bench: Bench) -> None:
    """Good of good and bad: each unit says on which side it counts; pending and left-out ones on none."""
    outcomes = [Outcome.GOOD, Outcome.BAD, Outcome.GOOD, Outcome.PENDING, Outcome.EXCLUDED]
    bench.put(
        *(
            unit(str(i), timedelta(hours=9 - i), indicator="success", outcome=o, value=None)
            for i, o in enumerate(outcomes)
        )
    )

    found = bench.explain(SUCCESS)

    assert [u.role for u in found.units] == ["numerator", "denominator", "numerator", "", ""]
    assert [(n.numerator, n.denominator, n.n) for n in found.numbers] == [(2, 3, 3)]


def test_a_failure_rate_counts_the_bad_ones(bench: Bench) -> None:
    """Of an indicator that counts bad units the bad ones are the numerator."""
    failures = replace(SUCCESS, share_of="bad")
    bench.put(*(unit(str(i), indicator="success", outcome=o, value=None) for i, o in enumerate(["good", "bad"])))

    found = bench.explain(failures)

    assert {u.outcome: u.role for u in found.units} == {"good": "denominator", "bad": "numerator"}


def test_a_kind_narrows_the_units_that_are_counted(bench: Bench) -> None:
    """Asked for failures only, a frequency lists those, and has no number: only successes are a frequency."""
    releases = indicators()["deployment_frequency"]
    bench.put(
        unit("1", indicator=releases.name, dimension="success"),
        unit("2", indicator=releases.name, dimension="failure", outcome=Outcome.EXCLUDED, reason="not_successful"),
    )

    everything, failures, successes = (bench.explain(releases, dimension=d) for d in ("", "failure", "success"))

    assert [u.role for u in everything.units] == ["count", ""]
    assert ([u.unit.id for u in failures.units], failures.numbers) == (["2"], ())
    assert ([u.unit.id for u in successes.units], [n.n for n in successes.numbers]) == (["1"], [1])


def test_a_stale_source_withholds_the_number_and_is_named(bench: Bench) -> None:
    """The units are facts and stay listed; the number is not exported, and it is said because of what."""
    bench.put(unit("1"), unit("2", source="ci+tracker"), unit("3", subject=Subject("web", "production")))

    found = bench.explain(WAIT, sources=(_source("ci"), _source("tracker", fresh=False)))

    assert [(n.subject.service, n.stale, n.exported is None, n.agrees) for n in found.numbers] == [
        ("api", ("tracker",), True, None),
        ("web", (), False, True),
    ]
    assert [(s.name, s.fresh, s.age_seconds) for s in found.sources] == [("ci", True, 60), ("tracker", False, 172_800)]
    assert found.total == 3


def test_a_source_that_is_gone_is_not_fresh(bench: Bench) -> None:
    """Units of a source that is no longer configured have an unknown age."""
    bench.put(unit("1"))

    found = bench.explain(WAIT, sources=())

    assert [(s.name, s.fresh, s.last_success_at, s.age_seconds) for s in found.sources] == [("ci", False, None, None)]


def test_only_the_sources_of_the_chosen_units_are_shown(bench: Bench) -> None:
    """The age of data that the number does not rest on does not matter."""
    bench.put(unit("1"), unit("2", source="git", subject=Subject("web")))

    assert [s.name for s in bench.explain(WAIT, service="web").sources] == ["git"]


def test_a_window_that_is_not_published_has_no_exported_number(bench: Bench) -> None:
    """A number of 14 days can be added up, but there is nothing to compare it with."""
    bench.put(unit("1"))
    snapshot = evaluate(bench.observations, {"wait": WAIT}, [], FRESH, NOW)

    found = bench.explain(WAIT, window="14d", published=snapshot)

    assert [(n.n, n.exported, n.agrees) for n in found.numbers] == [(1, None, None)]


def test_a_number_that_moved_since_it_was_published_does_not_agree(bench: Bench) -> None:
    """Observations derived after the snapshot: both numbers are shown, and that they differ."""
    bench.put(unit("1"))
    snapshot = evaluate(bench.observations, {"wait": WAIT}, [], FRESH, NOW)
    bench.put(unit("1"), unit("2", value=90.0))

    (number,) = bench.explain(WAIT, published=snapshot).numbers

    assert (number.stats["p50"], (number.exported or {})["p50"], number.agrees) == (75.0, 60.0, False)


def test_a_level_of_teams_pools_its_services(bench: Bench) -> None:
    """A unit that reached two services of a level is one unit there; each environment has its own number."""
    web, data = Subject("web", "production"), Subject("cron", "production")
    bench.put(
        unit("1", timedelta(hours=3)),
        unit("1", timedelta(hours=2), subject=web, value=90.0),
        unit("2", subject=web, value=30.0),
        unit("3", subject=data),
        unit("4", subject=Subject("api", "staging")),
    )

    found = bench.explain(WAIT, team="/commerce", organisation=TEAMS)
    narrowed = bench.explain(WAIT, team="/commerce", environment="production", organisation=TEAMS)

    assert [(n.subject, n.n) for n in found.numbers] == [
        (Subject("", "production", "/commerce"), 2),
        (Subject("", "staging", "/commerce"), 1),
    ]
    assert [(u.unit.id, u.subject, u.value) for u in narrowed.units] == [
        ("1", Subject("api", "production", "/commerce/checkout"), 60.0),
        ("2", Subject("web", "production", "/commerce/search"), 30.0),
    ]


def test_a_service_within_a_team_is_shown_by_itself(bench: Bench) -> None:
    """Team and service together ask for that service, where it is the team's."""
    bench.put(unit("1"), unit("2", subject=Subject("web", "production")))

    own = bench.explain(WAIT, team="/commerce", service="api", organisation=TEAMS)
    other = bench.explain(WAIT, team="/data", service="api", organisation=TEAMS)

    assert [(n.subject.service, n.n) for n in own.numbers] == [("api", 1)]
    assert (other.numbers, other.total) == ((), 0)


def test_an_answer_lists_no_more_than_it_is_asked_for(bench: Bench) -> None:
    """A limit shortens the list and says how many there are; the number stays whole."""
    bench.put(*(unit(str(i), timedelta(hours=i)) for i in range(5)))

    found = bench.explain(WAIT, limit=2, offset=1)

    assert ([u.unit.id for u in found.units], found.total, found.offset) == (["3", "2"], 5, 1)
    assert found.numbers[0].n == 5
    assert bench.explain(WAIT, offset=5).units == ()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("change_fail_rate", "change_fail_rate"),
        ("platform_change_fail", "change_fail_rate"),
        ("platform_change_fail_ratio", "change_fail_rate"),
        ("platform_change_lead_time_seconds", "change_lead_time"),
        ("platform_change_lead_time_samples", "change_lead_time"),
        ("platform_deployments_total", "deployment_frequency"),
        ("platform_deployments_per_day", "deployment_frequency"),
        ("platform_pipeline_wait_excluded", "pipeline_wait"),
    ],
)
def test_a_metric_s_name_finds_its_indicator(name: str, found: str) -> None:
    """What stands in a panel or an alert can be asked for as it stands there."""
    assert find_indicator(indicators(), name).name == found


@pytest.mark.parametrize("name", ["", "platform", "platform_slo_burn_rate", "change_lead", "CHANGE_LEAD_TIME"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(UnknownIndicator, match=r"is no indicator; there are .*change_delivery_time, change_"):
        find_indicator(indicators(), name)


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://ci.example.com/runs/1?x=1#log", "https://ci.example.com/runs/1?x=1#log"),
        ("http://ci.example.com/", "http://ci.example.com/"),
        ("javascript:alert(1)", None),
        ("data:text/html,<script>", None),
        ("file:///etc/passwd", None),
        ("//ci.example.com/runs/1", None),
        ("https://user:word@ci.example.com/", None),
        ("https://", None),
        ("https://[::1/", None),
        ("https://ci.example.com/\nSet-Cookie: a", None),
        ("java\tscript:alert(1)", None),
        ("", None),
        (None, None),
    ],
)
def test_only_plain_web_addresses_become_links(url: str | None, link: str | None) -> None:
    """Scripts, files, credentials and broken addresses are no links."""
    assert web_link(url) == link


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (Subject("api", "production", "/commerce/checkout"), "api/production, /commerce/checkout"),
        (Subject("api", "", ""), "api"),
        (Subject("", "production", "/commerce"), "/commerce, production"),
        (Subject("", "", "/"), "/"),
        (Subject("a\x1b[2J\nb"), "a [2J b"),
    ],
)
def test_a_subject_reads_as_people_say_it(subject: Subject, text: str) -> None:
    """Service and environment with their team, or the team's level with its environment; on one line."""
    assert subject_text(subject) == text


def test_an_event_s_line_has_its_plain_names() -> None:
    """A run shows pipeline and job, a change its number: on one line, cut, and never a title."""
    run = PipelineRun(
        source="ci",
        native_id="1",
        repository="o/api",
        pipeline="build\x1b[31m\nand test",
        task="unit",
        state=RunState.COMPLETED,
        url="https://ci.example.com/1",
    )
    change = Change(
        source="hub",
        native_id="1",
        repository="o/api",
        state=ChangeState.MERGED,
        created_at=NOW,
        number=7,
        title="Planted Name fixes it",
    )

    assert (line_of(run).label, line_of(run).url) == ("build [31m and test unit", "https://ci.example.com/1")
    assert "Planted" not in repr(line_of(change))
    assert line_of(change).label == "#7"
    assert len(line_of(msgspec.structs.replace(run, pipeline="x" * 500)).label) == 80


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


def test_a_person_has_no_line_of_their_own() -> None:
    """Where a unit is somebody, what is shown of it is that, and not the key."""
    assert unknown(f"person:{'a' * 32}") == EventLine(id="", kind="person", label="", at=None, url=None)
