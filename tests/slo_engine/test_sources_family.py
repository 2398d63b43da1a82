"""Freshness and coverage of sources, case by case: times are hours after the start of a day.

A source that may be 2 h old and succeeds at 0:30 and 4:30 is fresh from 0:30 to 2:30 and from 4:30 on: the whole hours
1 and 5 are good, 2, 3 and 4 are bad, and 0 is not whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from collector.events import Collection
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import Derived, derive
from slo_engine.evaluate import Evaluator
from slo_engine.indicators import sources
from slo_engine.indicators.sources import SOURCE_COVERAGE, SOURCE_FRESHNESS, SourcesOptions
from slo_engine.measure import OUTCOME_CODES, Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, as_row, labelled, to_micros
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
USUAL = Organisation(options=(SourcesOptions(ahead=8 * HOUR),))


def run(hour: float, *, ok: bool = True, stale_after: float = 2, **more: Any) -> Collection:
    """A run of the source `ci` that ended at an hour."""
    fields = {"source": "", "native_id": f"ci/{hour}", "collector": "ci", "succeeded": ok}
    times = {"started_at": START + hour * HOUR - timedelta(seconds=9), "finished_at": START + hour * HOUR}
    return Collection(**{**fields, **times, "stale_after_seconds": stale_after * 3600.0, **more})


def observed(*runs: Collection, organisation: Organisation = USUAL) -> list[Observation]:
    """The units of both indicators, each hour and source once."""
    found = sorted(sources.observe(PlainEvents(runs), organisation), key=lambda o: (o.indicator, o.dimension, o.at))
    keys = [(o.indicator, o.dimension, o.at) for o in found]
    assert len(keys) == len(set(keys))
    return found


def hours(*runs: Collection, organisation: Organisation = USUAL) -> dict[int, str]:
    """For each hour of the day how the freshness of a source was judged."""
    found = [o for o in observed(*runs, organisation=organisation) if o.indicator == "source_freshness"]
    return {(o.at - START) // HOUR: str(o.outcome) for o in found}


# --- freshness -------------------------------------------------------------------------------------------


def test_an_hour_is_good_if_the_source_was_fresh_throughout() -> None:
    """The table above: fresh again at 4:30, hour 4 was not fresh throughout."""
    found = hours(run(0.5), run(4.5, stale_after=9))

    assert found == {1: "good", 2: "bad", 3: "bad", 4: "bad", 5: "good"} | dict.fromkeys(range(6, 12), "good")


def test_a_silent_hour_is_the_row_of_its_observation() -> None:
    """What is written at once for an hour without a run is what any other hour would be written as."""
    hour = to_micros(START) // sources.HOUR

    assert sources._silent("ci", hour, "forge") == as_row(sources._hour("ci", hour, Outcome.BAD, "forge", ()))


def test_a_dead_source_is_not_one_miss() -> None:
    """Dead since 0:30: each further hour is bad, as far ahead as the option says, though nothing more is told."""
    assert hours(run(0.5)) == {1: "good"} | dict.fromkeys(range(2, 8), "bad")


def test_hours_ahead_lie_in_no_window_yet() -> None:
    """What is judged ahead is dated when its hour is over, so it counts only from then on."""
    last = observed(run(0.5))[-1]

    assert last.at == START + 8 * HOUR - timedelta(microseconds=1)


def test_a_failed_run_freshens_nothing_and_goes_on_counting() -> None:
    """Failures do not make a source fresh; while it is tried, its hours are judged on and on."""
    found = hours(run(0.5), run(3.5, ok=False))

    assert found == {1: "good"} | dict.fromkeys(range(2, 11), "bad")


def test_a_source_that_never_succeeded_was_never_fresh() -> None:
    """Wrong from the first run on: bad from the next hour on."""
    assert set(hours(run(0.5, ok=False), run(1.5, ok=False)).values()) == {"bad"}


def test_the_first_success_ends_what_was_bad() -> None:
    """Failed at 0:30, worked at 1:30: hour 1 was not fresh from its start, hour 2 was."""
    found = hours(run(0.5, ok=False), run(1.5))

    assert (found[1], found[2]) == ("bad", "good")


def test_the_hour_of_the_first_run_is_not_judged() -> None:
    """Before its first run a source promised nothing; the hour of it is not whole."""
    assert 0 not in hours(run(0.0), run(0.5))


@pytest.mark.parametrize(("second", "judged"), [(3.0, "good"), (3.001, "bad")])
def test_up_to_the_last_moment_a_success_counts(second: float, judged: str) -> None:
    """A success of 1:00 that may be 2 h old holds until 3:00 itself, and the next one goes on from there."""
    assert hours(run(1.0), run(second))[3] == judged


def test_the_last_success_says_how_old_it_may_be() -> None:
    """Told at 1:30 that half an hour is the most, the earlier success no longer helps."""
    found = hours(run(0.5, stale_after=9), run(1.5, stale_after=0.5))

    assert (found[1], found[2]) == ("good", "bad")


def test_each_source_has_its_own_hours() -> None:
    """Another source's success says nothing of this one; both are the whole organisation's, and always known."""
    found = observed(run(0.5), run(0.5, ok=False, native_id="git", collector="git"))

    assert {o.dimension: str(o.outcome) for o in found if o.at - START < 2 * HOUR} == {"ci": "good", "git": "bad"}
    assert {(o.subject, o.source) for o in found} == {(Subject(), "")}


def test_a_bad_hour_names_the_runs_that_decided() -> None:
    """The success that became too old in the hour, and what failed in it; an hour in which nothing ran names none."""
    success, failure = run(0.5), run(2.8, ok=False)

    found = {(o.at - START) // HOUR: o.evidence for o in observed(success, failure)}

    assert (found[1], found[2], found[3]) == ((), (success.id, failure.id), ())


def test_sources_may_be_left_out() -> None:
    """A source that was removed on purpose need not count as dead."""
    told = Organisation(options=(SourcesOptions(left_out=("old-*",)),))

    assert hours(run(0.5, collector="old-ci"), organisation=told) == {}


# --- coverage --------------------------------------------------------------------------------------------


def test_what_was_used_and_refused_is_counted_by_the_hour() -> None:
    """Two runs of an hour, 7 and 2 used, 1 refused; a run that read nothing makes no unit."""
    runs = [run(0.2, events=7), run(0.4, events=2, rejected=1), run(1.5)]

    found = [o for o in observed(*runs) if o.indicator == "source_coverage"]

    assert [(o.dimension, o.value, o.rule) for o in found] == [
        (labelled("ci", "accepted"), 9.0, "2 runs"),
        (labelled("ci", "rejected"), 1.0, ""),
    ]
    assert found[0].evidence == (runs[0].id, runs[1].id)


def sample(*observations: Observation) -> Sample:
    """The units of a number of the first day."""
    dimensions = sorted({o.dimension for o in observations})
    return Sample(
        after=to_micros(START),
        until=to_micros(START + 24 * HOUR),
        now=to_micros(START + 24 * HOUR),
        subject=Subject(),
        organisation=USUAL,
        at=np.array([to_micros(o.at) for o in observations], dtype=np.int64),
        value=np.array([o.value for o in observations], dtype=np.float64),
        outcome=np.array([OUTCOME_CODES[o.outcome] for o in observations], dtype=np.int16),
        matures_at=np.zeros(len(observations), dtype=np.int64),
        unit=np.arange(len(observations)),
        dimension=np.array([dimensions.index(o.dimension) for o in observations], dtype=np.int64),
        dimensions=dimensions,
    )


def covered(*runs: Collection) -> Measured:
    """The coverage of the day."""
    assert SOURCE_COVERAGE.measure is not None
    return SOURCE_COVERAGE.measure(sample(*(o for o in observed(*runs) if o.indicator == "source_coverage")))


def test_coverage_is_the_share_that_was_used() -> None:
    """9 of 10 records: 0.9, with Wilson's interval for 9 of 10, and 10 beside it."""
    found = covered(run(0.2, events=7), run(1.4, events=2, rejected=1))

    assert (found.n, found.stats["value"]) == (10, 0.9)
    assert found.stats["low"] == pytest.approx(0.5958, abs=1e-4)
    assert found.stats["high"] == pytest.approx(0.9821, abs=1e-4)


def test_a_source_that_reported_nothing_has_no_coverage() -> None:
    """No record has no share."""
    assert covered(run(0.2)) == Measured(0)


# --- laws ------------------------------------------------------------------------------------------------

_runs = st.builds(
    lambda name, hour, ok, stale_after, events, rejected: run(
        hour,
        ok=ok,
        stale_after=stale_after,
        native_id=str(name),
        events=events,
        rejected=rejected,
        updated_at=START + hour * HOUR,
    ),
    st.integers(0, 9),
    st.integers(0, 400).map(lambda quarter: quarter / 4),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 30.0, 1e12]),
    st.integers(0, 3),
    st.integers(0, 3),
)


@given(st.lists(_runs, max_size=8), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(runs: list[Collection], random: Any) -> None:
    """The same runs give the same hours whatever their order, and however often they come."""
    known = list(PlainEvents(runs).events(Collection))
    again = [*known, *known]
    random.shuffle(again)

    assert observed(*again) == observed(*known)


@given(st.lists(_runs, min_size=1, max_size=8))
def test_every_whole_hour_is_judged_as_its_moments_are(runs: list[Collection]) -> None:
    """An hour is good exactly where at each quarter of it the last success is not too old, asked one by one."""
    known = sorted(PlainEvents(runs).events(Collection), key=lambda r: (r.finished_at, r.id))

    def fresh(at: datetime) -> bool:
        last = [r for r in known if r.succeeded and r.finished_at <= at][-1:]
        return bool(last) and (at - last[0].finished_at).total_seconds() <= last[0].stale_after_seconds

    def throughout(hour: int) -> bool:
        moments = [START + hour * HOUR + n * HOUR / 4 for n in range(4)]
        return all(fresh(m) and fresh(m + HOUR / 4 - timedelta(microseconds=1)) for m in moments)

    found = hours(*known)

    assert {hour: judged == "good" for hour, judged in found.items()} == {hour: throughout(hour) for hour in found}
    first, last = known[0].finished_at, known[-1].finished_at
    assert sorted(found) == list(range((first - START) // HOUR + 1, (last - START) // HOUR + 8))


def derived(database: Database, runs: list[Collection]) -> Derived:
    """Write runs and derive what they touch."""
    events = EventStore(database)
    with database.transaction() as transaction:
        events.write(transaction, runs)
    return derive([sources.FAMILY], events, DerivationStore(database), USUAL)


def stored(database: Database) -> list[tuple[Any, ...]]:
    """What is stored, in order."""
    store = ObservationStore(database)
    names = ("at", "unit", "value", "outcome", "reason", "rule", "evidence")
    places = {n: (s.indicator, s.dimension) for n, s in store.series().items()}
    rows = [row for chunk in store.since(dict.fromkeys(places, -(2**62)), *names) for row in chunk]
    return sorted((*places[row[0]], *row[1:]) for row in rows)


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(st.lists(_runs, min_size=1, max_size=3), min_size=1, max_size=7))
def test_one_after_the_other_gives_what_all_at_once_gives(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Collection]]
) -> None:
    """Runs that are told of late, again or at another time: the hours are the same."""
    one, all_at_once = (tmp_path_factory.mktemp(name) for name in ("one", "all"))
    found = []
    for folder, parts in ((one, batches), (all_at_once, [[r for b in batches for r in b]])):
        shutil.copy(migrated, folder / "paceline.db")
        database = Database.open(folder)
        for part in parts:
            derived(database, part)
        found.append(stored(database))
        database.close()

    assert found[0] == found[1]


DAYS = [run(float(h), stale_after=1.0) for h in range(48)]
SEQUENCES = {
    "a run is told of very late": [DAYS, [run(3.5, ok=False, events=3)]],
    "a run is dated anew": [DAYS, [run(47.5, native_id="ci/5.0", updated_at=START)]],
    "a run was of another source": [DAYS, [run(5.0, collector="git", updated_at=START)]],
    "runs go on": [DAYS, [run(48.0)], [run(70.0)], [run(71.0, ok=False)], [run(90.0)]],
}
"""Runs in the order in which they are told of."""


@pytest.mark.parametrize("batches", SEQUENCES.values(), ids=SEQUENCES)
def test_what_comes_later_may_concern_what_came_before(
    database: Database, migrated: Path, tmp_path: Path, batches: list[list[Collection]]
) -> None:
    """Derived one after the other, hours are as if all runs had been known from the beginning."""
    (tmp_path / "whole").mkdir()
    shutil.copy(migrated, tmp_path / "whole" / "paceline.db")
    whole = Database.open(tmp_path / "whole")
    for batch in batches:
        derived(database, batch)
    derived(whole, [r for batch in batches for r in batch])
    expected = stored(whole)
    whole.close()

    assert stored(database) == expected


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Iterator[Database]:
    """A store of its own."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    opened = Database.open(tmp_path)
    yield opened
    opened.close()


def test_a_run_replaces_only_what_follows_it(database: Database) -> None:
    """After two days of hourly runs the next one turns its own hour, is what lapses in the one after, and adds one."""
    derived(database, [run(float(h), stale_after=1.0) for h in range(48)])

    done = derived(database, [run(48.0, stale_after=1.0)])

    assert (done.pieces, done.observations) == (1, 3)


def test_a_source_has_its_numbers(database: Database) -> None:
    """From runs to numbers: 4 of the 5 whole hours before 6:30 were fresh, 9 of 10 records were used."""
    derived(database, [run(0.5, events=9, rejected=1), run(2.5), run(4.6), run(6.2)])
    indicators = {i.name: i for i in (SOURCE_FRESHNESS, SOURCE_COVERAGE)}

    snapshot = Evaluator(ObservationStore(database)).evaluate(
        indicators, (), (), START + 6.5 * HOUR, organisation=USUAL
    )

    freshness = snapshot.number("source_freshness", Subject(), "7d", "ci")
    coverage = snapshot.number("source_coverage", Subject(), "7d", "ci")
    assert freshness is not None
    assert (freshness.n, freshness.stats["value"]) == (5, 0.8)
    assert coverage is not None
    assert (coverage.n, coverage.stats["value"]) == (10, 0.9)
