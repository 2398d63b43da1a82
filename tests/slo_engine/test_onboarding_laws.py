"""Laws of onboarding that hold for every history: small worlds are made up, and nothing is worked out.

A world has three people, two repositories and two hundred days. Batches of its events arrive one after another in a
real store, in any order; what is stored in the end must be what all events say at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from collector.conditions import Above
from collector.events import (
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    Member,
    MemberKind,
    Milestone,
    MilestoneKind,
    PipelineRun,
    Result,
    RunState,
    kind_of,
)
from collector.patterns import patterns
from slo_engine.identities import Identities
from slo_engine.indicator import Asked, Piece
from slo_engine.indicators import onboarding
from slo_engine.indicators.onboarding import OnboardingOptions
from slo_engine.observation import Observation, Outcome, as_row
from slo_engine.organisation import Organisation, Service
from slo_engine.plain_events import PlainEvents

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 200
PEOPLE = ("person:ada", "person:bob", "person:cyd")
ALIAS = "person:ada-at-home"
REPOSITORIES = ("o/shop", "o/mono")
ORGANISATION = Organisation(
    identities=Identities(people={ALIAS: PEOPLE[0]}),
    services=tuple(
        Service(name=n, repositories=patterns(["o/mono"]), paths=patterns([f"{n}/*"])) for n in ("api", "web")
    ),
    options=(OnboardingOptions(known_for=timedelta(days=20), follow=timedelta(days=60), bulk_share=0.5),),
)


def after(days: float) -> datetime:
    """A time in days after the start."""
    return START + timedelta(days=days)


class World:
    """A made-up history, the same for the same seed."""

    def __init__(self, seed: int, *, roster: bool) -> None:
        self.random = Random(seed)  # noqa: S311 - a test's own worlds
        self.events: list[Event] = []
        self.shas: dict[str, list[str]] = {r: [] for r in REPOSITORIES}
        self.lines: dict[str, list[str]] = {r: [] for r in REPOSITORIES}
        self.latest: dict[str, tuple[str | None, datetime]] = {}
        for number in range(self.random.randint(1, 4) if roster else 0):
            self.events.append(self.member(number))
        days = sorted(self.random.uniform(0, DAYS) for _ in range(self.random.randint(2, 40)))
        for number, day in enumerate(days):
            make = self.random.choice(
                (self.commit, self.commit, self.request, self.deployment, self.run, self.milestone)
            )
            self.events.append(make(number, after(round(day, 2))))

    def who(self) -> str | None:
        """Somebody, perhaps nobody."""
        return self.random.choice((*PEOPLE, ALIAS, None))

    def member(self, number: int) -> Member:
        """A stay on the roster."""
        start = after(self.random.randint(0, DAYS))
        entered, left = (self.random.choice((None, start + timedelta(days=self.random.randint(-9, 60)))) for _ in "ab")
        return Member(
            source="hr",
            native_id=str(number),
            person=self.random.choice((*PEOPLE, ALIAS)),
            member_kind=self.random.choice(list(MemberKind)),
            started_at=start,
            entered_at=entered,
            left_at=left,
            team=self.random.choice((None, "web", "/data")),
            codes=self.random.random() < 0.9,
            bot=self.random.random() < 0.05,
        )

    def commit(self, number: int, at: datetime) -> Commit:
        """A commit on the line or beside it; some merge what stands beside it, and some were written the day before."""
        repository = self.random.choice(REPOSITORIES)
        line, beside = self.lines[repository], self.shas[repository]
        on_line = self.random.random() < 0.6
        below = line[-1:] if on_line else beside[-1:]
        parents = tuple(dict.fromkeys((*below, *(beside[-1:] if below and self.random.random() < 0.4 else ()))))
        beside.append(f"{number + 1:040x}")
        if on_line:
            line.append(beside[-1])
            self.latest[repository] = (beside[-1], at)
        return Commit(
            source="git",
            native_id=f"c{number}",
            repository=repository,
            sha=beside[-1],
            authored_at=at - timedelta(days=self.random.choice((0, 0, 1))),
            committed_at=at,
            parents=parents,
            author=self.who(),
            co_authors=self.random.choice(((), (), (PEOPLE[2],))),
            bot=self.random.random() < 0.1,
            on_default_branch=on_line,
            paths=self.random.choice((None, ("api/a",), ("web/a", "api/b"))),
        )

    def request(self, number: int, at: datetime) -> Change:
        """A request, most often merged."""
        repository = self.random.choice(REPOSITORIES)
        merge_sha, committed_at = self.latest.get(repository, (None, at))
        beside = [sha for sha in self.shas[repository] if sha not in self.lines[repository]]
        merged = self.random.random() < 0.8
        return Change(
            source="forge",
            native_id=f"r{number}",
            repository=repository,
            state=ChangeState.MERGED if merged else ChangeState.OPEN,
            created_at=at - timedelta(days=self.random.choice((0.1, 2))),
            merged_at=at if merged else None,
            merge_sha=merge_sha if at - committed_at < timedelta(days=1) else None,
            commit_shas=tuple(beside[-1:]),
            author=self.who(),
            bot=self.random.random() < 0.1,
        )

    def deployment(self, number: int, at: datetime) -> Deployment:
        """A deployment, most often a successful one to production."""
        repository = self.random.choice(REPOSITORIES)
        return Deployment(
            source="cd",
            native_id=f"d{number}",
            service=self.random.choice(("api", "web") if repository == "o/mono" else ("shop",)),
            environment=self.random.choice(("production", "production", "staging")),
            repository=repository,
            finished_at=at,
            result=self.random.choice((Result.SUCCESS, Result.SUCCESS, Result.FAILURE)),
            sha=self.random.choice([None, *self.shas[repository][-3:]]),
        )

    def run(self, number: int, at: datetime) -> PipelineRun:
        """A run, green or not."""
        return PipelineRun(
            source="ci",
            native_id=f"p{number}",
            repository=self.random.choice(REPOSITORIES),
            pipeline="build",
            state=RunState.COMPLETED,
            result=self.random.choice((Result.SUCCESS, Result.FAILURE)),
            created_at=at,
            finished_at=at,
            actor=self.who(),
        )

    def milestone(self, number: int, at: datetime) -> Milestone:
        """A milestone that a source reports."""
        kinds = [k for k in MilestoneKind if k is not MilestoneKind.ROSTER_START]
        person = self.random.choice((*PEOPLE, ALIAS))
        return Milestone(
            source="lms", native_id=f"m{number}", person=person, milestone=self.random.choice(kinds), at=at
        )


worlds = st.builds(lambda seed, roster: World(seed, roster=roster).events, st.integers(0, 10**6), st.booleans())


def rows(observations: Iterable[Observation]) -> list[Any]:
    """Observations in a form and order that can be compared."""
    return sorted((as_row(o) for o in observations), key=repr)


def observed(events: Iterable[Event]) -> list[Any]:
    """What all events say at once."""
    return rows(onboarding.observe(PlainEvents(events), ORGANISATION))


@settings(max_examples=examples(50), deadline=None)
@given(events=worlds, seed=st.integers(0, 10**6))
def test_order_and_duplicates_change_nothing(events: list[Event], seed: int) -> None:
    """The same events give the same observations, however often and in whatever order they come."""
    again = events + events
    Random(seed).shuffle(again)  # noqa: S311 - a test's own order

    assert observed(again) == observed(events)


@settings(max_examples=examples(50), deadline=None)
@given(events=worlds)
def test_the_units_of_a_milestone_add_up(events: list[Event]) -> None:
    """Each episode has one final judgement of each milestone and one time, and a value is never negative."""
    found = list(onboarding.observe(PlainEvents(events), ORGANISATION))
    success = [o for o in found if o.indicator == "onboarding_success"]
    final = Counter((o.unit, *o.dimension.split("\x1f")) for o in success if o.outcome is not Outcome.PENDING)
    timed = Counter((o.unit, *o.dimension.split("\x1f")[:3]) for o in found if o.indicator == "onboarding_time")

    assert final == timed
    assert all(o.value is None or o.value >= 0 for o in found)


@settings(max_examples=examples(50), deadline=None)
@given(events=worlds)
def test_who_waits_is_judged_when_the_waiting_ends(events: list[Event]) -> None:
    """A pending twin ends with the deadline of its judgement, or where somebody left before it."""
    found = [o for o in onboarding.observe(PlainEvents(events), ORGANISATION) if o.indicator == "onboarding_success"]
    judged = {(o.unit, o.dimension, o.at): o for o in found if o.outcome is not Outcome.PENDING}
    waiting = [o for o in found if o.outcome is Outcome.PENDING and (o.unit, o.dimension, o.matures_at) not in judged]

    assert all(any(j.reason == "left" for k, j in judged.items() if k[:2] == (o.unit, o.dimension)) for o in waiting)


# --- piece by piece ------------------------------------------------------------------------------------------------


class Growing(PlainEvents):
    """Events that come one batch after another: each is of the revision of its batch, as in a store."""

    def __init__(self) -> None:
        super().__init__(())
        self.revision = 0
        self._written: dict[str, int] = {}
        self._left: list[tuple[type[Event], int, str]] = []

    def write(self, events: Iterable[Event]) -> None:
        """Add a batch; what moved elsewhere left where it was."""
        self.revision += 1
        for event in events:
            old = self.by_id.get(event.id)
            field = PLACE[type(event)]
            if old is not None and getattr(old, field) != getattr(event, field):
                self._left.append((type(event), self.revision, getattr(old, field)))
            if old != event:
                self.by_id[event.id], self._written[event.id] = event, self.revision

    def columns(self, event_type: type[Event], *names: str, **where: Any) -> list[tuple[Any, ...]]:
        """Columns of the events of a kind that fit, also by revision."""
        newer = where.pop("revision", Above(-1)).value
        some = PlainEvents(e for e in self.by_id.values() if self._written[e.id] > newer)
        return some.columns(event_type, *names, **where)

    def distinct(self, event_type: type[Event], name: str, since: int = -1) -> list[str]:
        """The values of a text column."""
        return sorted({v for (v,) in self.columns(event_type, name, revision=Above(since)) if v is not None})

    def moved(self, event_type: type[Event], since: int) -> list[str]:
        """The places that an event of a kind left after a revision."""
        return sorted({left for kind, revision, left in self._left if kind is event_type and revision > since})


PLACE: dict[type[Event], str] = {
    Commit: "repository",
    Change: "repository",
    PipelineRun: "repository",
    Deployment: "service",
    Member: "person",
    Milestone: "person",
}


class Kept:
    """The pieces of the family, kept while events come."""

    def __init__(self) -> None:
        self.events = Growing()
        self.pieces: dict[str, Piece] = {}

    def after(self, *events: Event) -> list[str]:
        """Add events and derive: who was looked at."""
        since = dict.fromkeys(map(kind_of, PLACE), self.events.revision) if self.pieces else None
        self.events.write(events)
        known = {scope: piece.reads for scope, piece in self.pieces.items()}
        revisions = {kind_of(t): int(bool(self.events.columns(t, "id"))) for t in PLACE}
        states = {scope: piece.state for scope, piece in self.pieces.items()}
        asked = Asked(known=known, since=since, revisions=revisions, state=states.get)
        found = list(onboarding.pieces(self.events, ORGANISATION, asked))
        self.pieces |= {piece.scope: piece for piece in found}
        return [piece.scope for piece in found]

    def observations(self) -> list[Any]:
        """All that is kept."""
        return sorted(
            (as_row(o) for p in self.pieces.values() for o in p.observations if isinstance(o, Observation)), key=repr
        )


def mixed(events: list[Event], order: int) -> list[Event]:
    """Events in another order; commits come after their parents, as a history is read."""
    shuffled = list(events)
    Random(order).shuffle(shuffled)  # noqa: S311 - a test's own order
    commits = iter([e for e in events if isinstance(e, Commit)])
    return [next(commits) if isinstance(e, Commit) else e for e in shuffled]


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 10**6), order=st.integers(0, 10**6), roster=st.booleans(), size=st.integers(1, 15))
def test_step_by_step_is_all_at_once(seed: int, order: int, roster: bool, size: int) -> None:  # noqa: FBT001 - drawn
    """Whatever came when, what is kept is what all events say at once."""
    events = mixed(World(seed, roster=roster).events, order)
    kept = Kept()
    for start in range(0, len(events), size):
        kept.after(*events[start : start + size])

    assert kept.observations() == observed(events)


def changed(event: Event, random: Random) -> Event:
    """Another version of an event: of somebody else, elsewhere, with another result, or with another start or end."""
    fields: dict[str, Any] = {
        "author": (*PEOPLE, None),
        "actor": (*PEOPLE, None),
        "repository": REPOSITORIES,
        "result": (Result.SUCCESS, Result.FAILURE),
        "started_at": (after(random.randint(0, DAYS)),),
        "left_at": (None, after(random.randint(0, DAYS))),
        "finished_at": (after(random.randint(0, DAYS)),),
    }
    fixed = {"repository"} if isinstance(event, Commit) else set()  # what a commit is in a graph of stays there
    name = random.choice([n for n in fields if n in event.__struct_fields__ and n not in fixed] or ["source"])
    value = random.choice(fields.get(name, (event.source,)))
    return msgspec.structs.replace(event, **{name: value})


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 10**6), order=st.integers(0, 10**6), roster=st.booleans(), size=st.integers(1, 6))
def test_events_that_change_are_judged_anew(seed: int, order: int, roster: bool, size: int) -> None:  # noqa: FBT001 - drawn
    """Newer versions of events leave nothing of the older ones."""
    random = Random(order)  # noqa: S311 - a test's own order
    old = World(seed, roster=roster).events
    new = [changed(e, random) for e in random.sample(old, len(old) // 2)]
    kept = Kept()
    kept.after(*old)
    for start in range(0, len(new), size):
        kept.after(*new[start : start + size])

    assert kept.observations() == observed([*old, *new])
