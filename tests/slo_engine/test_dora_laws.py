"""Laws of the delivery indicators that hold for every history: small worlds are made up, and nothing is worked out."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from laws import examples
from source_states import source_state

from collector.events import (
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    Incident,
    IncidentState,
    Result,
    Review,
    ReviewState,
    Transition,
    happened_at,
    time_fields,
)
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationRow, ObservationStore, Series
from slo_engine.beside import answer, told_in
from slo_engine.derive import Part, Second, derive
from slo_engine.evaluate import evaluate
from slo_engine.indicator import Family, Piece
from slo_engine.indicators import delivery
from slo_engine.indicators.delivery import FAMILY
from slo_engine.observation import Observation, Outcome
from slo_engine.organisation import Organisation, Service
from slo_engine.plain_events import PlainEvents
from slo_engine.settled import Settling
from slo_engine.windows import parse_window

pytestmark = pytest.mark.long

START = datetime(2026, 3, 20, tzinfo=UTC)
"""Ten days before a clock change in Berlin: the worlds last two weeks."""
HOURS = 14 * 24
WEEK = timedelta(days=7)
ADA, BOB = "person:" + "a" * 32, "person:" + "b" * 32
RATES = ("change_fail_rate", "deployment_rework_rate", "deploy_cadence")
CATALOGUE = Organisation(
    judged=patterns(("staging",)),
    services=tuple(
        Service(name=n, repositories=patterns(("o/mono",)), paths=patterns((f"{n}/*", "shared/*")))
        for n in ("api", "web")
    ),
)
BERLIN = Organisation(zone=ZoneInfo("Europe/Berlin"), judged=patterns(("staging",)))


T = TypeVar("T")


class World(NamedTuple):
    """A made-up history and who judges it."""

    events: list[Event]
    organisation: Organisation


def at(hours: float) -> datetime:
    """A time in hours after the start."""
    return START + timedelta(hours=hours)


def sha(name: object) -> str:
    """The id of a commit of that name."""
    return hashlib.sha1(str(name).encode(), usedforsecurity=False).hexdigest()


def url(name: str) -> str:
    """Where an event of that name is looked at."""
    return f"https://tools.example/{name}"


class Maker:
    """Makes up events from a seed: far faster than drawing each field, and hypothesis still shrinks how many there are.

    Fields are odd on purpose: clocks run backwards, commits are unknown, incidents end before they begin.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - made-up worlds need no secrets
        self.known: list[str] = [sha("unknown")]

    def pick(self, *choices: T) -> T:
        """One of some choices."""
        return self._random.choice(choices)

    def hour(self) -> datetime:
        """A time of the world."""
        return at(self._random.randint(0, HOURS))

    def maybe_hour(self) -> datetime | None:
        """A time of the world, or none."""
        return self.pick(self.hour(), None)

    def some(self, choices: Sequence[T], most: int) -> tuple[T, ...]:
        """Up to so many of some choices, each once."""
        return tuple(self._random.sample(choices, self._random.randint(0, min(most, len(choices)))))

    def paths(self) -> tuple[str, ...] | None:
        """What a change touches, if anybody knows."""
        return self.pick(None, ("api/a",), ("web/b",), ("shared/c",), ("docs/d",), ("api/a", "web/b"))

    def commits(self, count: int) -> list[Event]:
        """A random graph with merges, one or two lines, reverts and trees that come back."""
        parents = [self.some(range(max(0, n - 4), n), 2) or (max(0, n - 1),) if n else () for n in range(count)]
        line: set[int] = set()
        for tip in {count - 1, self.pick(*range(count))}:
            self._walk(tip, parents, line)
        times = sorted(self.hour() for _ in range(count))
        self.known += map(sha, range(count))
        return [
            Commit(
                source="git",
                native_id=f"c{n}",
                repository="o/mono",
                sha=sha(n),
                parents=tuple(map(sha, parents[n])),
                authored_at=self.pick(times[n], times[n], self.hour()),
                committed_at=times[n],
                on_default_branch=n in line,
                tree_sha=self.pick(None, *(sha(f"tree {t}") for t in range(5))),
                reverts=tuple(map(sha, self.some(range(n), 1))),
                paths=self.paths(),
                bot=self.pick(True, False, False),
            )
            for n in range(count)
        ]

    @staticmethod
    def _walk(tip: int, parents: Sequence[Sequence[int]], line: set[int]) -> None:
        while tip not in line:
            line.add(tip)
            tip = parents[tip][0] if parents[tip] else tip

    def request(self, n: int) -> Event:
        """A request, mostly merged."""
        return Change(
            source="hub",
            native_id=f"pr{n}",
            url=url(f"pr{n}"),
            repository="o/mono",
            state=self.pick(ChangeState.MERGED, ChangeState.MERGED, ChangeState.CLOSED),
            created_at=self.hour(),
            ready_at=self.maybe_hour(),
            first_commit_at=self.maybe_hour(),
            merged_at=self.pick(self.hour(), self.maybe_hour()),
            merge_sha=self.pick(*self.known, None),
            commit_shas=self.some(self.known, 3),
            source_branch=self.pick(None, "feature", "hotfix/x"),
            target_branch="main",
            links=self.pick((), (), (url("i0"),)),
            paths=self.paths(),
            author=ADA,
            bot=self.pick(True, False, False),
        )

    def review(self, n: int) -> Event:
        """A review of a request by another human."""
        return Review(
            source="hub",
            native_id=f"review {n}",
            repository="o/mono",
            change_native_id=f"pr{n // 2}",
            at=self.hour(),
            state=ReviewState.APPROVED,
            author=BOB,
        )

    def deployment(self, n: int) -> Event:
        """A deployment: forward, backward, again, of an unknown commit, failed. The first two open their horizons."""
        good = Result.SUCCESS
        return Deployment(
            source="cd",
            native_id=f"d{n}",
            url=url(f"d{n}"),
            service=self.pick("api", "web") if n > 1 else ("api", "web")[n],
            environment=self.pick("production", "production", "production", "staging") if n > 1 else "production",
            repository=self.pick("o/mono", "o/mono", "o/mono", None) if n > 1 else "o/mono",
            finished_at=self.hour() if n > 1 else START,
            result=self.pick(good, good, good, good, Result.FAILURE, Result.CANCELLATION) if n > 1 else good,
            sha=self.pick(*self.known, None),
            change_shas=self.pick((), (), self.some(self.known, 2)),
            rolled_back=self.pick(True, *[False] * 5),
            ref=self.pick(None, "main", "main", "hotfix/y"),
            artifact=self.pick(None, "image-1", "image-2"),
            links=self.pick((), (), (), (url("i0"),), (url("i1"),)),
        )

    def incident(self, n: int) -> Event:
        """An incident, naming, linked or near; open, resolved, reopened, or resolved before it began."""
        return Incident(
            source="pager",
            native_id=f"i{n}",
            url=url(f"i{n}"),
            service=self.pick(None, "api", "web", "web", "api"),
            environment=self.pick(None, "production", "production", "staging"),
            state=self.pick(*IncidentState, IncidentState.RESOLVED),
            started_at=self.hour(),
            restored_at=self.maybe_hour(),
            closed_at=self.maybe_hour(),
            deployment_native_id=self.pick(None, None, None, "d0", "d3"),
            shas=self.pick((), (), self.some(self.known, 2)),
            artifact=self.pick(None, None, None, "image-1"),
            links=self.pick((), (), (), (url("d1"),), (url("pr0"),)),
            transitions=tuple(
                Transition(at=self.hour(), state=self.pick("detected", "resolved")) for _ in range(self.pick(0, 0, 2))
            ),
        )


def made_up(seed: int, counts: Sizes, organisation: Organisation) -> World:
    """A world of so many commits, requests, deployments and incidents of one repository with two services."""
    maker = Maker(seed)
    counted = zip((maker.request, maker.deployment, maker.incident), counts[1:], strict=True)
    events = [*maker.commits(counts[0]), *(make(n) for make, size in counted for n in range(size))]
    return World([*events, *(maker.review(n) for n in range(2 * counts[1]))], organisation)


Sizes = tuple[int, int, int, int]
hours = st.integers(0, HOURS)
seeds = st.integers(0, 2**32)
sizes = st.tuples(st.integers(1, 15), st.integers(0, 4), st.integers(0, 10), st.integers(0, 4))
organisations = st.sampled_from([CATALOGUE, BERLIN])
worlds = st.builds(made_up, seeds, sizes, organisations)


def observed(world: World) -> list[Observation]:
    """The observations of a world."""
    return list(FAMILY.observe(PlainEvents(world.events), world.organisation))


def canonical(observations: Iterable[Observation]) -> list[str]:
    """Observations without their order."""
    return sorted(map(repr, observations))


def of(found: Iterable[Observation], *indicators: str) -> list[Observation]:
    """The observations of some indicators."""
    return [o for o in found if o.indicator in indicators]


def with_events(world: World, *more: Event) -> World:
    """A world with more events."""
    return world._replace(events=[*world.events, *more])


def judged(found: Iterable[Observation], *indicators: str) -> list[Observation]:
    """The observations of some indicators that are final: good or bad."""
    return [o for o in of(found, *indicators) if o.outcome in {Outcome.GOOD, Outcome.BAD}]


law = settings(max_examples=examples(100), deadline=None)


# --- what a unit is --------------------------------------------------------------------------------------------------


@law
@given(worlds)
def test_a_unit_is_judged_once(world: World) -> None:
    """Each change, deployment, incident and week is judged at most once per service, environment and indicator."""
    found = Counter((o.indicator, o.subject, o.unit) for o in observed(world))

    assert max(found.values(), default=1) == 1


@law
@given(worlds)
def test_every_rate_is_between_0_and_1(world: World) -> None:
    """Each deployment or week is good or bad once, so the share of either is between 0 and 1."""
    for name in RATES:
        final = judged(observed(world), name)
        units = {(o.subject, o.unit) for o in final}
        assert len({(o.subject, o.unit) for o in final if o.outcome is Outcome.BAD}) <= len(units) == len(final)


@law
@given(worlds)
def test_what_is_judged_is_what_succeeded(world: World) -> None:
    """Fail rate and rework rate judge exactly the deployments that the frequency counts."""
    found = observed(world)
    counted = {(o.subject, o.unit) for o in of(found, "deployment_frequency") if o.outcome is Outcome.MEASURED}

    assert {(o.subject, o.unit) for o in judged(found, "change_fail_rate")} == counted
    assert {(o.subject, o.unit) for o in judged(found, "deployment_rework_rate")} == counted
    assert counted == {
        ((e.service, e.environment, ""), e.id)
        for e in world.events
        if isinstance(e, Deployment) and e.result is Result.SUCCESS
    }


@law
@given(worlds)
def test_what_failed_is_what_recovers(world: World) -> None:
    """Every bad deployment has one recovery, measured, pending or excluded with a reason, and no other has one."""
    found = observed(world)
    recoveries = of(found, "failed_deployment_recovery_time")

    assert {(o.subject, o.unit) for o in recoveries} == {
        (o.subject, o.unit) for o in of(found, "change_fail_rate") if o.outcome is Outcome.BAD
    }
    assert {str(o.reason or o.outcome) for o in recoveries} <= {"measured", "pending", "resolved_before_start"}


@law
@given(worlds)
def test_every_incident_is_judged(world: World) -> None:
    """Every incident is restored, pending or set aside with a reason: none vanishes, whatever its clocks say."""
    found = of(observed(world), "incident_time_to_restore")

    assert {o.unit for o in found} == {e.id for e in world.events if isinstance(e, Incident)}
    assert {o.outcome for o in found if not o.reason} <= {Outcome.MEASURED, Outcome.PENDING}


@law
@given(worlds)
def test_an_incident_fails_a_deployment_or_is_unattributed(world: World) -> None:
    """No incident is at once the evidence of a failure and unattributed, and none is unattributed twice."""
    found = of(observed(world), "change_fail_rate")
    left_out = [o.unit for o in found if o.outcome is Outcome.EXCLUDED]
    evidence = {e for o in found for e in o.evidence}

    assert len(set(left_out)) == len(left_out)
    assert set(left_out) <= {e.id for e in world.events if isinstance(e, Incident)} - evidence
    assert {str(o.reason) for o in found if o.outcome is Outcome.EXCLUDED} <= {"unattributed"}


@law
@given(worlds)
def test_a_bad_verdict_says_why(world: World) -> None:
    """A failed or unplanned deployment has a rule and evidence among the known events, and a good one has no rule."""
    known = {e.id for e in world.events}
    for o in judged(observed(world), "change_fail_rate", "deployment_rework_rate"):
        assert (o.outcome is Outcome.BAD) == bool(o.rule)
        assert bool(o.evidence) or o.outcome is Outcome.GOOD
        assert set(o.evidence) <= known


# --- values ----------------------------------------------------------------------------------------------------------


@law
@given(worlds)
def test_nothing_is_negative(world: World) -> None:
    """No value and no stage is negative, whatever the clocks say; what has no value is not measured as 0."""
    for o in observed(world):
        assert min([o.value or 0, *(p for p in o.parts if p is not None)]) >= 0
        assert o.value is None or o.outcome is Outcome.MEASURED


@law
@given(worlds)
def test_stages_partition_the_lead_time(world: World) -> None:
    """Where all stages of a change are known, they add up to its lead time; else they never exceed it."""
    for o in of(observed(world), "change_lead_time"):
        parts = [p for p in o.parts if p is not None]
        if len(parts) == 4:
            assert sum(parts) == pytest.approx(o.value)
        if o.value is not None and not o.reason:
            assert sum(parts) <= o.value + 1e-6


@law
@given(worlds)
def test_recovery_runs_from_the_deployment(world: World) -> None:
    """A recovery is dated at its end, which lies its value after the deployment; a pending one at the deployment."""
    finished = {e.id: e.finished_at for e in world.events if isinstance(e, Deployment)}
    for o in of(observed(world), "failed_deployment_recovery_time"):
        assert (o.at - finished[o.unit]).total_seconds() == pytest.approx(o.value or 0)


def ancestors(world: World, tip: str | None) -> set[str]:
    """A commit and all that is reachable from it, walked slowly; nothing where the graph lacks it."""
    parents = {e.sha: e.parents for e in world.events if isinstance(e, Commit)}
    found: set[str] = set()
    stack = [tip] if tip in parents else []
    while stack:
        one = stack.pop()
        if one is not None and one in parents and one not in found:
            found.add(one)
            stack.extend(parents[one])
    return found


def commit_of(event: Event) -> str | None:
    """The commit that ships with a change."""
    return event.sha if isinstance(event, Commit) else event.merge_sha if isinstance(event, Change) else None


def chain_of(world: World, one: Deployment) -> tuple[str, str, str | None]:
    """The chain of a deployment; the catalogue knows the repository of one that does not say it."""
    home = "o/mono" if world.organisation is CATALOGUE else None
    return one.service, one.environment, one.repository or home


@law
@given(worlds)
def test_a_change_ships_in_the_first_deployment_that_contains_it(world: World) -> None:
    """Along the graph: what a change is measured with contains it, and no success of its chain before does."""
    by_id = {e.id: e for e in world.events}
    for o in of(observed(world), "change_lead_time"):
        if o.outcome is not Outcome.MEASURED or not o.rule.startswith("graph"):
            continue
        shipping = by_id[o.evidence[0]]
        assert isinstance(shipping, Deployment)
        commit = commit_of(by_id[o.unit])
        chain = sorted(
            (
                e
                for e in world.events
                if isinstance(e, Deployment)
                and e.result is Result.SUCCESS
                and chain_of(world, e) == chain_of(world, shipping)
            ),
            key=lambda d: (d.finished_at, d.id),
        )
        before = chain[: chain.index(shipping)]
        assert before, "the first deployment opens the horizon and measures nothing"
        assert commit in ancestors(world, shipping.sha)
        assert all(commit not in ancestors(world, d.sha) for d in before)


# --- what changes nothing --------------------------------------------------------------------------------------------


@law
@given(worlds, st.randoms(use_true_random=False))
def test_order_and_duplicates_change_nothing(world: World, random: Random) -> None:
    """The same events give the same observations whatever their order of arrival and their duplicates."""
    twice = [*world.events, *random.sample(world.events, len(world.events) // 2)]
    other = world._replace(events=random.sample(twice, len(twice)))

    assert canonical(observed(other)) == canonical(observed(world))


@law
@given(worlds, st.integers(1, 5))
def test_many_incidents_fail_a_deployment_once(world: World, copies: int) -> None:
    """However many incidents tell of the same failure, the same deployments are bad, each once."""
    again = [
        msgspec.structs.replace(e, native_id=f"{e.native_id} again {n}")
        for e in world.events
        if isinstance(e, Incident)
        for n in range(copies)
    ]

    def bad(one: World) -> list[tuple[Any, str]]:
        verdicts = of(observed(one), "change_fail_rate")
        return sorted((o.subject, o.unit) for o in verdicts if o.outcome is Outcome.BAD)

    assert bad(with_events(world, *again)) == bad(world)


@law
@given(worlds, st.integers(-200, 200))
def test_whole_weeks_later_the_same_is_judged(world: World, weeks: int) -> None:
    """Everything moved by whole weeks, in a zone without clock changes, is judged the same at the moved times."""
    here = world._replace(organisation=CATALOGUE)
    moved = here._replace(events=[_moved(e, weeks * WEEK) for e in here.events])

    def judgements(one: World, back: timedelta) -> list[tuple[Any, ...]]:
        return sorted(
            (o.indicator, o.subject, str(o.at - back), o.outcome, o.reason, o.rule, str(o.value), str(o.parts))
            for o in observed(one)
        )

    assert judgements(moved, weeks * WEEK) == judgements(here, timedelta(0))


E = TypeVar("E", Event, Transition)


def _moved(one: E, by: timedelta) -> E:
    """An event with all its times moved."""
    times = {n: getattr(one, n) for n in time_fields(type(one))}
    fields: dict[str, Any] = {n: t + by for n, t in times.items() if t is not None}
    if isinstance(one, Incident):
        fields["transitions"] = tuple(_moved(t, by) for t in one.transitions)
    return msgspec.structs.replace(one, **fields)


def _pointing_nowhere(event: Event) -> Event:
    """An event that names and links no other."""
    if isinstance(event, Incident):
        return msgspec.structs.replace(event, deployment_native_id=None, shas=(), artifact=None, links=())
    return msgspec.structs.replace(event, links=()) if isinstance(event, (Deployment, Change)) else event


@law
@given(worlds, st.sampled_from(["api", "web"]))
def test_a_service_is_judged_by_its_own_events(world: World, service: str) -> None:
    """Where nothing points across services, another one's deployments and incidents change nothing for this one."""
    world = world._replace(events=[_pointing_nowhere(e) for e in world.events])

    def elsewhere(event: Event) -> bool:
        return isinstance(event, (Deployment, Incident)) and event.service not in {None, service}

    def about(one: World) -> list[str]:
        return canonical(o for o in observed(one) if o.subject.service == service)

    alone = world._replace(events=[e for e in world.events if not elsewhere(e)])

    assert about(alone) == about(world)


@law
@given(worlds)
def test_a_reason_is_of_the_closed_list_and_only_where_something_is_left_out(world: World) -> None:
    """Excluded units say why; good and bad ones need no reason."""
    for o in observed(world):
        assert bool(o.reason) or o.outcome is not Outcome.EXCLUDED
        assert not o.reason or o.outcome not in {Outcome.GOOD, Outcome.BAD}


# --- through the store -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Database]]:
    """Makes empty databases, copied from one that is migrated: migrating takes longer than most tests."""
    folder = tmp_path_factory.mktemp("laws")
    Database.open(folder / "empty").close()
    place = folder / "data"

    def make() -> Database:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        shutil.copy(folder / "empty" / "paceline.db", place / "paceline.db")
        return Database.open(place)

    yield make
    shutil.rmtree(folder, ignore_errors=True)


through_the_store = settings(
    max_examples=examples(24),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a world through a database takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def stored(
    database: Database,
    batches: Sequence[Sequence[Event]],
    organisation: Organisation,
    family: Family = FAMILY,
    second: Second | None = None,
) -> dict[Any, Any]:
    """The observations after writing some batches of events, derived after each of them."""
    events, observations = EventStore(database), ObservationStore(database)
    for batch in batches:
        with database.transaction() as transaction:
            events.write(transaction, batch)
        derive([family], events, DerivationStore(database), organisation, second=second)
    found: dict[Series, list[Any]] = {
        series: sorted(observations.window([number], -(2**62), 2**62, *ObservationRow._fields))
        for number, series in observations.series().items()
    }
    return {series: rows for series, rows in found.items() if rows}


@through_the_store
@given(world=worlds, random=st.randoms(use_true_random=False))
def test_piece_by_piece_is_all_at_once(world: World, random: Random, new_database: Callable[[], Database]) -> None:
    """Events that arrive in any order and in parts, judged after each part, are judged as if all came at once."""
    other = random.sample(world.events, len(world.events))
    cuts = sorted(random.sample(range(len(other)), min(3, len(other))))
    parts = [other[a:b] for a, b in zip([0, *cuts], [*cuts, len(other)], strict=True)]

    at_once = new_database()
    whole = stored(at_once, [world.events], world.organisation)
    at_once.close()
    in_parts = new_database()
    pieces = stored(in_parts, parts, world.organisation)
    in_parts.close()

    assert pieces == whole
    assert sum(map(len, whole.values())) == len(observed(world))


class Aside:
    """A second one that derives its part before the first begins; what it found crosses as bytes."""

    def __init__(self, database: Database) -> None:
        self._events, self._store = EventStore(database), DerivationStore(database)
        self._found: dict[str, list[Piece]] = {}

    def ask(self, organisation: Organisation, parts: Sequence[Part]) -> bool:
        """Derive these parts at once."""
        self._found = told_in(answer(self._events, self._store, organisation, parts))
        return True

    def found(self, family: str) -> list[Piece] | None:
        """The pieces of a family."""
        return self._found.get(family)

    def derived(self, pieces: int) -> None:
        """Forget them."""
        del pieces
        self._found = {}


SETTLINGS = (
    Settling(kept=0, open_for=timedelta(0), dormant_after=timedelta(0)),
    Settling(kept=1, open_for=timedelta(0), dormant_after=timedelta(0)),
    Settling(kept=1, open_for=timedelta(hours=4), dormant_after=timedelta(days=2)),
    Settling(kept=2, open_for=timedelta(0)),
)


# A new incident of one service is linked with a deployment of another, where nothing else is new.
@example(world=made_up(0, (1, 0, 5, 3), BERLIN), random=Random(0), late=0, settling=SETTLINGS[0])  # noqa: S311 - as above
# A request without a time of its merge waits, dated at the first deployment, and ships by a deployment that comes late.
@example(world=made_up(989, (12, 4, 8, 3), BERLIN), random=Random(1), late=2, settling=SETTLINGS[0])  # noqa: S311 - as above
@through_the_store
@given(
    world=worlds,
    random=st.randoms(use_true_random=False),
    late=st.integers(0, 6),
    settling=st.sampled_from(SETTLINGS),
)
def test_a_settled_past_changes_no_judgement(
    world: World, random: Random, late: int, settling: Settling, new_database: Callable[[], Database]
) -> None:
    """Events in their order, some of them late or again, judged after each few from what was settled before."""
    ordered = sorted(world.events, key=lambda e: (happened_at(e), e.id))
    for event in random.sample(ordered, min(late, len(ordered))):
        ordered.remove(event)
        ordered.insert(random.randint(0, len(ordered)), event)
    parts = [ordered[n : n + 3] for n in range(0, len(ordered), 3)]
    family = replace(FAMILY, pieces=delivery.settling(settling))

    at_once = new_database()
    whole = stored(at_once, [world.events], world.organisation)
    at_once.close()
    in_parts = new_database()
    pieces = stored(in_parts, parts, world.organisation, family)
    in_parts.close()

    assert pieces == whole


_DATED: dict[type[Event], str] = {Change: "created_at", Review: "at", Deployment: "finished_at", Incident: "started_at"}


def remove(database: Database, gone: Collection[Event], events: Collection[Event]) -> None:
    """Hand over whole lists of all but some events, as sources do that read what is left."""
    with database.transaction() as transaction:
        for kind, dated in _DATED.items():
            left = {e.native_id for e in events if isinstance(e, kind) and e not in gone}
            source = next((e.source for e in events if isinstance(e, kind)), "")
            EventStore(database).remove_missing(
                transaction, kind, left, source=source, where={}, dated=dated, span=(-(2**62), 2**62), at=0
            )


# A request whose own commit is still open ships with a deployment that names it; it is reviewed, or read, only then.
@example(world=made_up(100816, (1, 2, 1, 3), BERLIN), random=Random(12), settling=SETTLINGS[0])  # noqa: S311 - as above
@example(world=made_up(100816, (1, 2, 1, 3), BERLIN), random=Random(15), settling=SETTLINGS[0])  # noqa: S311 - as above
@through_the_store
@given(world=worlds, random=st.randoms(use_true_random=False), settling=st.sampled_from(SETTLINGS))
def test_two_halves_side_by_side_are_the_whole(
    world: World, random: Random, settling: Settling, new_database: Callable[[], Database]
) -> None:
    """Neither half knows what the other finds, and what pieces mean for each other is found all the same."""
    other = random.sample(world.events, len(world.events))
    cuts = sorted(random.sample(range(len(other)), min(5, len(other))))
    parts = [other[a:b] for a, b in zip([0, *cuts], [*cuts, len(other)], strict=True)]

    at_once = new_database()
    whole = stored(at_once, [world.events], world.organisation)
    at_once.close()
    in_parts = new_database()
    family = replace(FAMILY, pieces=delivery.settling(settling))
    pieces = stored(in_parts, parts, world.organisation, family, Aside(in_parts))
    in_parts.close()

    assert pieces == whole


@through_the_store
@given(
    world=worlds, random=st.randoms(use_true_random=False), count=st.integers(1, 6), settling=st.sampled_from(SETTLINGS)
)
def test_what_was_deleted_at_its_source_leaves_no_trace(
    world: World, random: Random, count: int, settling: Settling, new_database: Callable[[], Database]
) -> None:
    """Deleted at the source → the numbers are restated as if it had never been there."""
    family = replace(FAMILY, pieces=delivery.settling(settling))
    can_go = [e for e in world.events if not isinstance(e, Commit)]
    gone = random.sample(can_go, min(count, len(can_go)))
    left = [e for e in world.events if e not in gone]

    never = new_database()
    whole = stored(never, [left], world.organisation)
    never.close()
    was = new_database()
    stored(was, [world.events], world.organisation, family)
    remove(was, gone, world.events)
    again = stored(was, [[]], world.organisation, family)
    was.close()

    assert again == whole


@through_the_store
@given(counts=sizes, organisation=organisations, old=seeds, new=seeds, cut=st.integers(0, 40))
def test_an_older_version_leaves_no_trace(
    counts: Sizes, organisation: Organisation, old: int, new: int, cut: int, new_database: Callable[[], Database]
) -> None:
    """A history that was judged, and then told anew in all its fields, is judged as if it had been told so at first."""
    before = made_up(old, counts, organisation).events
    after = [msgspec.structs.replace(e, updated_at=at(HOURS)) for e in made_up(new, counts, organisation).events]

    at_once = new_database()
    whole = stored(at_once, [after], organisation)
    at_once.close()
    in_parts = new_database()
    pieces = stored(in_parts, [before, after[:cut], after[cut:]], organisation)
    in_parts.close()

    assert pieces == whole


SOURCES = tuple(
    source_state(name, last_success_at=START, last_run_at=START, last_duration_seconds=1.0, newest_event_at=START)
    for name in ("cd", "git", "hub", "pager")
)


@through_the_store
@given(world=worlds, asked=hours, later=st.integers(0, 100))
def test_asking_for_another_range_judges_nothing_anew(
    world: World, asked: int, later: int, new_database: Callable[[], Database]
) -> None:
    """Numbers asked for at any time and in any window leave every observation as it is, and shares within 0 to 1."""
    database = new_database()
    observations = ObservationStore(database)
    before = stored(database, [world.events], world.organisation)
    found = {i.name: i for i in FAMILY.indicators}
    for moment in (asked, asked + later):
        windows = [parse_window(w) for w in ("1d", "7d", "28d")]
        snapshot = evaluate(observations, found, [], SOURCES, at(moment), windows=windows)
        shares = [n.stats["value"] for n in snapshot.numbers if n.indicator in RATES and "value" in n.stats]
        assert all(0 <= share <= 1 for share in shares)
        assert all(n.stats for n in snapshot.numbers if n.n)
        assert not any(n.stats for n in snapshot.numbers if not n.n)
    after = stored(database, [[]], world.organisation)
    database.close()

    assert after == before
