"""Old events are pruned, and no number changes: neither then nor by what comes later. On both databases."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from collector.conditions import Above
from collector.errors import StoreError
from collector.events import Collection, Commit, Event, Probe, UsageEvent, kind_of
from collector.store import Database, DerivationStore, EventStore, RetentionStore, Series, to_micros
from collector.store.tables import OBSERVATION, SERIES
from paceline.cli import cli
from paceline.deleting import delete_source, erase
from paceline.retention import DEFAULT, kept_for
from paceline.service import Service
from paceline.wiring import Running, build, configuration
from slo_engine.derive import derive
from slo_engine.explain import Selection
from slo_engine.indicator import families
from slo_engine.indicators.adoption import AdoptionOptions
from slo_engine.indicators.reliability import ReliabilityOptions
from slo_engine.indicators.sources import SourcesOptions
from slo_engine.indicators.support import SupportOptions
from slo_engine.organisation import Organisation
from slo_engine.weekly import Week

pytestmark = [pytest.mark.both_stores, pytest.mark.long]

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
HORIZON = START + 30 * DAY
END = START + 60 * DAY
PRUNED = (Probe, UsageEvent, Collection)
PEOPLE = tuple(f"person:{n:032x}" for n in range(5))
_BRIEF = ReliabilityOptions(ahead=timedelta(hours=2), longest_gap=timedelta(hours=6))
USUAL = Organisation(options=(_BRIEF,))
CHANGED = Organisation(
    options=(
        _BRIEF.model_copy(update={"pass_share": 0.9}),
        AdoptionOptions(not_meaningful=()),
        SupportOptions(users=("ci",)),
        SourcesOptions(ahead=3 * DAY),
    )
)
SETTLED = HORIZON + timedelta(hours=6) + DAY
"""After it every observation rests on kept events alone: slots look back at a longest report and a longest gap."""


def history(seed: int, size: int = 60) -> list[Event]:
    """Made-up checks, uses and runs, of which some pieces pause for long or end early."""
    random = Random(seed)  # noqa: S311 - a test's own worlds
    found: list[Event] = []
    for number in range(size):
        at = START + random.random() * (END - START)
        own: dict[str, Any] = {"source": random.choice(("one", "two")), "native_id": str(number)}
        if HORIZON - 10 * DAY < at < HORIZON + 12 * DAY and number % 3:
            at -= 15 * DAY  # a pause across the horizon
        checks: dict[str, Any] = {
            "checks": 3,
            "passed": random.randint(0, 3),
            "duration_seconds": random.choice((0, 240, 9_000)),
        }
        found += [
            Probe(**own, service=random.choice(("api", "web")), environment=None, at=at, **checks),
            UsageEvent(**own, capability=random.choice(("ci", "cd")), at=at, person=random.choice(PEOPLE)),
            Collection(
                source="",
                native_id=own["native_id"],
                collector=random.choice(("one", "two", "broken")),
                started_at=at - MINUTE,
                finished_at=at,
                succeeded=number % 4 > 0,
                events=number,
                stale_after_seconds=random.choice((3600.0, 86_400.0, 1e7)),
            ),
        ]
    gone = [e for e in found if getattr(e, "service", None) == "web" and _dated(e) > HORIZON - 5 * DAY]
    return [e for e in found if e not in gone]


def _dated(event: Event) -> datetime:
    at: datetime = event.finished_at if isinstance(event, Collection) else event.at  # type: ignore[attr-defined]
    return at


@dataclass(frozen=True)
class Stored:
    """A store in a folder."""

    database: Database

    @property
    def events(self) -> EventStore:
        """Its events."""
        return EventStore(self.database)

    def tell(self, events: Sequence[Event], organisation: Organisation = USUAL) -> Stored:
        """The same after some events, derived from."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        derive(families(), self.events, DerivationStore(self.database), organisation)
        return self

    def derive(self) -> None:
        """Derive what changed."""
        self.tell([])

    def prune(self, before: datetime = HORIZON) -> Stored:
        """The same without what is older."""
        for event_type in PRUNED:
            list(RetentionStore(self.database).prune(event_type, to_micros(before)))
        return self

    def judged(self, after: datetime | None = None, until: datetime = END + 400 * DAY) -> dict[Series, list[Any]]:
        """The observations of a stretch of time, by series."""
        least = -(2**62) if after is None else to_micros(after)
        rows = sa.select(SERIES, OBSERVATION).join(OBSERVATION, OBSERVATION.c.series_id == SERIES.c.id)
        rows = rows.where(OBSERVATION.c.at > least, OBSERVATION.c.at <= to_micros(until))
        found: dict[Series, list[Any]] = {}
        with self.database.reading() as connection:
            for _, *rest in connection.execute(rows):
                found.setdefault(Series(*rest[:8]), []).append(tuple(rest[9:]))
        return {series: sorted(own, key=repr) for series, own in found.items()}


@pytest.fixture
def store(tmp_path: Path, store_kind: str) -> Iterator[Callable[[str], Stored]]:
    """Makes stores of their own."""
    with contextlib.ExitStack() as stack:
        yield lambda name: Stored(stack.enter_context(closing(Database.open(tmp_path / name))))


# --- what is judged ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_what_comes_later_is_judged_as_if_nothing_had_been_pruned(store: Callable[[str], Stored], seed: int) -> None:
    """Pruning changes no judgement; later events, and other definitions, judge what rests on kept events the same."""
    events = history(seed)
    before = [e for e in events if _dated(e) < HORIZON + 5 * DAY]
    later = [e for e in events if _dated(e) >= HORIZON + 5 * DAY]
    whole, pruned = store("whole").tell(before), store("pruned").tell(before)
    told = pruned.judged()

    pruned.prune().derive()
    kept = pruned.judged()
    for some in (later[1::2], later[::2]):
        whole.tell(some)
        pruned.tell(some)
    going_on = pruned.judged(after=SETTLED), whole.judged(after=SETTLED)
    whole.tell([], CHANGED)
    pruned.tell([], CHANGED)
    changed = pruned.judged(after=SETTLED), whole.judged(after=SETTLED)

    assert kept == told
    assert 0 < pruned.events.counts()["probe"] < whole.events.counts()["probe"]
    assert going_on[0] == going_on[1]
    assert changed[0] == changed[1] != going_on[1]
    assert pruned.judged(until=HORIZON - MINUTE) == _until(told, HORIZON - MINUTE)


def _until(judged: Mapping[Series, list[Any]], until: datetime) -> dict[Series, list[Any]]:
    found = {series: [row for row in rows if row[0] <= to_micros(until)] for series, rows in judged.items()}
    return {series: rows for series, rows in found.items() if rows}


def test_what_is_pruned_does_not_come_back(store: Callable[[str], Stored]) -> None:
    """Events that are older than they are kept are not taken in again, however they come; they are counted."""
    events = history(7)
    old = [e for e in events if _dated(e) < HORIZON]
    pruned = store("pruned").tell(events).prune()
    counts, told = pruned.events.counts(), pruned.judged()

    pruned.tell([*old, *events])

    assert (pruned.events.counts(), pruned.judged()) == (counts, told)
    ignored = {kind: one.ignored for kind, one in pruned.events.forgotten().items()}
    assert ignored == {kind_of(t): 2 * sum(isinstance(e, t) for e in old) for t in PRUNED}


def test_the_horizon_only_moves_on(store: Callable[[str], Stored]) -> None:
    """Whoever keeps events longer again does not have those that are gone: they stay out."""
    pruned = store("pruned").prune().prune(HORIZON - 10 * DAY)

    assert pruned.events.kept_since() == {kind_of(t): to_micros(HORIZON) for t in PRUNED}


def test_pruning_goes_in_small_transactions(store: Callable[[str], Stored]) -> None:
    """Between two transactions others write; as many as were counted before are gone at the end, and the last stays."""
    long = store("long")
    runs = [
        Collection(
            source="",
            native_id=str(n),
            collector="one",
            started_at=START,
            finished_at=START + n * MINUTE,
            succeeded=n < 2_000,
        )
        for n in range(2_500)
    ]
    with long.database.transaction() as transaction:
        long.events.write(transaction, runs)
    retention = RetentionStore(long.database)
    due = retention.due(Collection, to_micros(HORIZON))

    gone = []
    for deleted in retention.prune(Collection, to_micros(HORIZON)):
        gone.append(deleted)
        with long.database.transaction() as transaction:
            long.events.write(transaction, [_commit(len(gone))])

    assert (gone, due, long.events.counts()["commit"]) == ([1_000, 1_000, 498], 2_498, 3)
    left = long.events.columns(Collection, "native_id", finished_at=Above(0))
    assert sorted(left) == [("1999",), ("2499",)]


def _commit(number: int) -> Commit:
    return Commit(
        source="git",
        native_id=str(number),
        repository="o/shop",
        sha=f"{number:040x}",
        authored_at=START,
        committed_at=START,
    )


def test_a_deleted_source_leaves_nothing_that_rests_on_pruned_events(store: Callable[[str], Stored]) -> None:
    """Of a source whose old events are gone the judgements go too, also those that it shared; others stay."""
    pruned = store("pruned").tell(history(3)).prune()

    proof = delete_source(pruned.database, pruned.derive, "two")

    left = {(series.source, series.scope) for series, rows in pruned.judged().items() if rows}
    assert {one.after for one in proof} == {0}
    assert [one for one in left if "two" in one[0].split("+") or one[1] == "two"] == []
    assert {"one"} <= {source for source, _ in left}


def test_somebody_is_erased_from_what_rests_on_pruned_events(store: Callable[[str], Stored]) -> None:
    """Days on which somebody used something go with them, although no event tells of these days any more."""
    pruned = store("pruned").tell(history(4)).prune()
    before = {row[1] for rows in pruned.judged(until=HORIZON).values() for row in rows}

    proof = erase(pruned.database, pruned.derive, [PEOPLE[0]])

    after = {row[1] for rows in pruned.judged(until=HORIZON).values() for row in rows}
    assert PEOPLE[0] in before
    assert not any(one.after for one in proof)
    assert set(PEOPLE[1:]) & before <= after


# --- what is published ---------------------------------------------------------------------------------

NOW = START + 500 * DAY
_SETTINGS = """\
data_dir: data
sources:
  - {type: files, name: one, path: events.jsonl}
retention: {probe: 400d, usage_event: 400d}
indicators:
  reliability: {ahead: 1h, longest_gap: 1h}
  sources: {ahead: 1d}
logs: {level: error}
processes: 1
"""


def _line(kind: str, number: float, **more: Any) -> str:
    at = (START + number * DAY).isoformat()
    return json.dumps({"kind": kind, "native_id": f"{kind}-{number}", "at": at, **more}) + "\n"


def _lines(first: int, last: int) -> str:
    """Checks and uses on every third day."""
    return "".join(
        _line("probe", day, service="api", checks=2, passed=day % 3) + _line("usage_event", day + 0.5, capability="ci")
        for day in range(first, last, 3)
    )


@pytest.fixture
def settings(tmp_path: Path, store_kind: str) -> Callable[[str], Path]:
    """Makes folders with settings, and checks and uses of more than a year."""

    def made(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "paceline.yaml").write_text(_SETTINGS, encoding="utf-8")
        (folder / "events.jsonl").write_text(_lines(0, 490), encoding="utf-8")
        return folder / "paceline.yaml"

    return made


@contextlib.contextmanager
def serving(path: Path) -> Iterator[Running]:
    """The service of settings, at NOW."""
    with closing(build(configuration(path, {}, path.parent), lambda: NOW, {})) as running:
        yield running


def _collected(service: Service) -> list[str]:
    assert service.collect(service.configuration.sources[0]).error is None
    return _shown(service)


def _shown(service: Service) -> list[str]:
    """The published lines, but for those about the store and the process themselves."""
    lines = service.refresh().exposition.text.decode().splitlines()
    own = ("platform_store_", "platform_snapshot_duration", "platform_collector_", "platform_build")
    return [line for line in lines if not any(name in line for name in own)]


def test_no_published_number_changes(settings: Callable[[str], Path]) -> None:
    """Not by pruning, not by a restart after it, and later events change the same as where all are kept."""
    whole, pruned = settings("whole"), settings("pruned")
    with serving(pruned) as running:
        before = _collected(running.service)
        told = running.pruner.prune()
        after = _shown(running.service)
    with serving(pruned) as running:
        restarted = _shown(running.service)
        pruned.with_name("events.jsonl").write_text(_lines(0, 500), encoding="utf-8")
        later = _collected(running.service)
        running.service.collect(running.service.configuration.sources[0], since=START)
        own = running.service.refresh().exposition.text.decode()
    with serving(whole) as running:
        _collected(running.service)
        whole.with_name("events.jsonl").write_text(_lines(0, 500), encoding="utf-8")
        expected = _collected(running.service)

    assert [(one.kind, one.kept_since, one.events) for one in told] == [
        ("collection", NOW - 400 * DAY, 0),
        ("probe", NOW - 400 * DAY, 34),
        ("usage_event", NOW - 400 * DAY, 34),
    ]
    assert any(line.startswith("platform_uptime_judged_total") for line in before)
    assert (after, restarted) == (before, before)
    assert later == expected != before
    assert 'platform_store_pruned_events_total{kind="probe"} 34' in own
    assert 'platform_store_ignored_events_total{kind="probe"} 34' in own


def test_what_is_not_kept_is_said_where_a_number_is_explained(settings: Callable[[str], Path]) -> None:
    """Of a window that reaches back further than events are kept all units stand there, and that events are missing."""
    path = settings("explained")
    with serving(path) as running:
        _collected(running.service)
        long, short = Selection(window="490d"), Selection(window="90d")
        before = running.service.explain("uptime", long)
        running.pruner.prune()
        after, usual = running.service.explain("uptime", long), running.service.explain("uptime", short)

    assert (after.total, after.numbers) == (before.total, before.numbers)
    assert before.not_kept() == usual.not_kept() == []
    since = f"{NOW - 400 * DAY:%Y-%m-%d}"
    sentence = (
        f"Events of the kind probe from before {since} are no longer kept: "
        "their units stand as they were judged, without the events themselves."
    )
    assert after.not_kept() == [sentence]


def test_the_records_of_a_week_whose_runs_are_gone_are_not_known(settings: Callable[[str], Path]) -> None:
    """A summary of long ago says that nothing is known, not the part that is left."""
    with serving(settings("weekly")) as running:
        _collected(running.service)
        runs = [
            Collection(
                source="",
                native_id=str(hour),
                collector="one",
                started_at=START,
                finished_at=START + timedelta(hours=hour),
                succeeded=True,
                events=5,
            )
            for hour in (1, 2)
        ]
        with running.database.transaction() as transaction:
            running.service.events.write(transaction, runs)
        week = Week.parse("2026-W02", running.service.zone)
        before = running.service.summary(week).data.sources[0].records
        running.pruner.prune()
        after = running.service.summary(week).data.sources[0].records

    assert (before, after) == (10, None)


# --- when and how much ---------------------------------------------------------------------------------


def test_the_service_prunes_a_little_at_a_time_and_once_a_day(settings: Callable[[str], Path]) -> None:
    """Each look deletes some batches at most; once all is gone nothing is looked for until the next UTC day."""
    now = [NOW]
    with serving(settings("little")) as running:
        _collected(running.service)
        pauses: list[float] = []
        pruner = replace(running.pruner, clock=lambda: now[0], pause=pauses.append)
        looks = [pruner.look(), pruner.look()]
        now[0] += 3 * DAY
        looks.append(pruner.look())

    assert looks == [68, 0, 2]
    assert len(pauses) == 4


def test_what_fails_is_tried_again(settings: Callable[[str], Path]) -> None:
    """A store that cannot be written stops no job: what is old goes at the next look."""

    class Failing(RetentionStore):
        fails = True

        def prune(self, event_type: type[Event], before: int) -> Iterator[int]:
            if self.fails:
                raise StoreError("the disk is full")
            return super().prune(event_type, before)

    with serving(settings("failing")) as running:
        _collected(running.service)
        store = Failing(running.database)
        pruner = replace(running.pruner, store=store)
        first = pruner.look()
        store.fails = False

        assert (first, pruner.look()) == (0, 68)


def test_db_prune_says_what_goes_and_deletes_it(settings: Callable[[str], Path]) -> None:
    """A dry run deletes nothing and counts the same events as go then."""
    path = settings("command")
    path.write_text(path.read_text(encoding="utf-8") + f"as_of: {NOW.isoformat()}\n", encoding="utf-8")
    with serving(path) as running:
        _collected(running.service)
    arguments = ["db", "prune", "--config", str(path), "--output", "json"]

    tried = CliRunner().invoke(cli, [*arguments, "--dry-run"])
    pruned, again = CliRunner().invoke(cli, arguments), CliRunner().invoke(cli, arguments)
    shown = CliRunner().invoke(cli, ["db", "prune", "--dry-run", "--config", str(path)])

    assert json.loads(tried.stdout)["kinds"]["probe"]["events"] == 34
    assert json.loads(pruned.stdout)["kinds"] == json.loads(tried.stdout)["kinds"]
    assert json.loads(again.stdout)["kinds"]["probe"]["events"] == 0
    assert "Nothing was deleted." in shown.stdout


def test_runs_are_kept_for_400_days_unless_told() -> None:
    """Of all other kinds everything is kept, and of runs too where that is said."""
    usual = kept_for({}, families(), Organisation(), ())
    always = kept_for({"collection": None, "probe": timedelta(days=500)}, families(), Organisation(), ())

    assert usual == {Collection: DEFAULT}
    assert always == {Probe: timedelta(days=500)}
