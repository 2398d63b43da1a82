"""What developers wait for, case by case: times are minutes after Monday, 5 January 2026, 00:00 UTC.

Opening hours are Monday to Friday, 9 to 17 UTC, where nothing else is told: minutes 540 to 1020 of a day.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ci_runs import ANN, DAY, START, at, job, run
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from msgspec.structs import replace as replaced
from source_states import source_state

from collector.events import (
    Approval,
    Commit,
    Event,
    Member,
    MemberKind,
    PipelineRun,
    Result,
    RunState,
    SelfServiceAttempt,
    Ticket,
    TicketState,
    Transition,
)
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.identities import Identities
from slo_engine.indicator import Asked
from slo_engine.indicators import wait
from slo_engine.indicators.wait import DEVELOPER_WAIT, WaitOptions, developer_wait
from slo_engine.measure import OUTCOME_CODES, Measured, Sample
from slo_engine.observation import Observation, Subject, as_observations, as_row, label_values, to_micros
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents
from slo_engine.reading import cells_of

HOUR = 60
BOB, ADA = "person:bob", "person:ada"
NOBODY = Organisation()


def attempt(name: str, start: float, end: float | None, **more: Any) -> SelfServiceAttempt:
    """An attempt of Ann's that ended well."""
    times: dict[str, Any] = {"started_at": at(start), "finished_at": at(end)}
    fields = {"source": "portal", "native_id": name, "journey": "provision-db", "requester": ANN}
    return SelfServiceAttempt(**(fields | times | {"result": None if end is None else Result.SUCCESS} | more))


def approval(requested: float, decided: float | None) -> Approval:
    """An approval."""
    times: dict[str, Any] = {"requested_at": at(requested), "decided_at": at(decided)}
    return Approval(**times)


def ticket(name: str, created: float, resolved: float | None, **more: Any) -> Ticket:
    """A ticket of Ann's."""
    fields: dict[str, Any] = {
        "source": "desk",
        "native_id": name,
        "queue": "platform",
        "state": TicketState.OPEN if resolved is None else TicketState.RESOLVED,
        "created_at": at(created),
        "resolved_at": at(resolved),
        "author": ANN,
    }
    return Ticket(**(fields | more))


def member(person: str, start: float, **more: Any) -> Member:
    """A developer's stay on the roster."""
    fields: dict[str, Any] = {
        "source": "hr",
        "native_id": f"{person}@{start}",
        "person": person,
        "team": "/commerce",
        "member_kind": MemberKind.HIRE,
        "started_at": at(start),
    }
    return Member(**(fields | more))


def commit(number: int, committed: float, author: str, **more: Any) -> Commit:
    """A commit."""
    times: dict[str, Any] = {"authored_at": at(committed), "committed_at": at(committed)}
    sha = f"{number:040x}"
    return Commit(
        **({"source": "git", "native_id": sha, "repository": "o/shop", "sha": sha, "author": author} | times | more)
    )


def observed(*events: Event, organisation: Organisation = NOBODY) -> list[Observation]:
    """All observations in the order of their times."""
    return sorted(wait.observe(PlainEvents(events), organisation), key=lambda o: (o.at, o.dimension, o.unit))


def waits(kind: str, *events: Event, organisation: Organisation = NOBODY) -> list[tuple[str, float | None]]:
    """The waits of a kind: the reason or outcome, and the seconds or how many waits there are."""
    found = observed(*events, organisation=organisation)
    shown = [o for o in found if label_values(o.dimension, 2)[0] == kind and o.rule not in {"developers", "active"}]
    return [(o.reason or str(o.outcome), o.value) for o in shown if not o.dimension.endswith("counted")]


def sample(observations: Iterable[Observation], until: float, days: float = 7, kind: str = "") -> Sample:
    """What of some observations is of a kind, in a window of so many days that ends at a time."""
    found = [o for o in observations if o.dimension in cells_of(DEVELOPER_WAIT, [o.dimension]).get(kind, ())]
    units, dimensions = sorted({o.unit for o in found}), sorted({o.dimension for o in found})
    end = to_micros(START) + int(until * 60e6)
    return Sample(
        after=end - int(days * 86_400e6),
        until=end,
        now=end,
        subject=Subject(),
        organisation=NOBODY,
        at=np.array([to_micros(o.at) for o in found], dtype=np.int64),
        value=np.array([np.nan if o.value is None else o.value for o in found], dtype=np.float64),
        outcome=np.array([OUTCOME_CODES[o.outcome] for o in found], dtype=np.int16),
        matures_at=np.full(len(found), -(2**62), dtype=np.int64),
        unit=np.array([units.index(o.unit) for o in found], dtype=np.int64),
        dimension=np.array([dimensions.index(o.dimension) for o in found], dtype=np.int64),
        dimensions=dimensions,
    )


def measured(*events: Event, until: float = 7 * DAY, days: float = 7, kind: str = "") -> Measured:
    """The wait per 100 developers in a week that ends on the next Monday at 00:00, or in another window."""
    return developer_wait(sample(observed(*events), until, days, kind))


# --- jobs --------------------------------------------------------------------------------------------------


def test_the_jobs_of_a_day_are_one_sum() -> None:
    """Two runs waited 2 and 3 minutes: 300 s, dated at the end of the day, when the sum is complete."""
    found = observed(run("1", 10, 12), run("2", 20, 23))

    assert [(o.value, o.rule, o.at) for o in found] == [
        (300.0, "2 jobs", START + timedelta(days=1, microseconds=-1)),
        (2.0, "how many jobs", START + timedelta(days=1, microseconds=-1)),
    ]


def test_a_wait_is_of_the_day_on_which_it_ended() -> None:
    """Created at 23:50, started at 00:10: 20 minutes of Tuesday; one sum for each day."""
    found = observed(run("1", DAY - 10, DAY + 10), run("2", 0, 1))

    assert [(o.at.date().isoformat(), o.value) for o in found if o.dimension == "ci\x1f"] == [
        ("2026-01-05", 60.0),
        ("2026-01-06", 1200.0),
    ]


def test_jobs_side_by_side_make_people_wait_once() -> None:
    """Of one run, two jobs wait from 0 to 5 and from 3 to 8, a third from 20 to 21: 8 + 1 min, the run itself none."""
    jobs = job("a", 0, 5), job("b", 3, 8), job("c", 20, 21)

    assert waits("ci", run("p", 0, 30), *jobs) == [("measured", 540.0)]


def test_jobs_of_two_runs_wait_twice() -> None:
    """Two people wait at the same time: both count."""
    assert waits("ci", job("a", 0, 5), job("b", 0, 5, parent_native_id="q")) == [("measured", 600.0)]


def test_jobs_that_do_not_name_their_run_stand_for_their_pipeline() -> None:
    """The runs of their pipeline are not counted beside them; those of another pipeline are."""
    loose = job("a", 0, 5, parent_native_id=None)

    found = waits("ci", loose, run("p", 0, 30), run("q", 0, 1, pipeline="nightly"))

    assert found == [("measured", 360.0)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (run("1", None, 3), "missing_time"),
        (run("1", 3, None), "missing_time"),
        (run("1", 3, 2), "missing_time"),
        (run("1", 3, 5, result=Result.SKIP), "skipped"),
        (run("1", 3, None, result=Result.CANCELLATION), "cancelled"),
        (run("1", 3, 5, bot=True), "bot"),
    ],
)
def test_jobs_nobody_waited_for_are_counted_by_reason(broken: PipelineRun, reason: str) -> None:
    """No wait is negative or guessed; for what a bot started nobody waits."""
    assert waits("ci", broken) == [(reason, 1.0)]


def test_jobs_of_bots_count_where_that_is_wanted() -> None:
    """An option says so."""
    organisation = Organisation(options=(WaitOptions(bots=True),))

    assert waits("ci", run("1", 3, 5, bot=True), organisation=organisation) == [("measured", 120.0)]


def test_a_job_in_the_queue_is_pending() -> None:
    """Two wait since minutes 3 and 4: one pending unit that stands for two."""
    queued = [run(str(m), m, None, state=RunState.PENDING, result=None) for m in (3, 4)]
    (found,) = observed(*queued)

    assert (str(found.outcome), found.value, found.at) == ("pending", 2.0, at(3))


def test_only_the_longest_waits_are_listed() -> None:
    """Of 30 jobs that waited 1 to 30 minutes, the 20 that waited longest are evidence, the longest first."""
    found = observed(*(run(f"{m:02}", 0, m) for m in range(1, 31)))[0]

    assert (len(found.evidence), found.evidence[0], found.rule) == (
        20,
        run("30", 0, 1).id,
        "30 jobs, the longest 20 listed",
    )


# --- approvals and environments ----------------------------------------------------------------------------


def test_provisioning_is_without_approvals_and_without_the_requester_s_time() -> None:
    """60 minutes, of which two approvals side by side took 10:00 to 10:20 and 5 minutes were the requester's: 35 min.

    The approvals are 20 minutes of opening hours.
    """
    both = (approval(600, 615), approval(605, 620))
    made = attempt("1", 595, 655, approvals=both, waiting_for_requester_seconds=300)

    assert waits("provisioning", made) == [("measured", 35 * 60.0)]
    assert waits("approval", made) == [("measured", 20 * 60.0)]


def test_an_approval_waits_in_opening_hours() -> None:
    """Asked for on Monday at 16:00, decided on Tuesday at 10:00: 2 hours, not 18; an option counts all of it."""
    made = attempt("1", 950, 2 * DAY, approvals=(approval(16 * HOUR, DAY + 10 * HOUR),))
    all_day = Organisation(options=(WaitOptions(business_hours=()),))

    assert waits("approval", made) == [("measured", 2 * 3600.0)]
    assert waits("approval", made, organisation=all_day) == [("measured", 18 * 3600.0)]


def test_what_is_under_way_is_pending() -> None:
    """An attempt without an end, and an approval that nobody decided on."""
    running = attempt("1", 600, None, approvals=(approval(600, None),))

    assert waits("provisioning", running) == [("pending", None)]
    assert waits("approval", running) == [("pending", None)]


def test_an_approval_nobody_decided_on_ends_with_the_attempt() -> None:
    """Asked for at 10:00, given up at 11:00."""
    given_up = attempt("1", 590, 660, result=Result.CANCELLATION, approvals=(approval(600, None),))

    assert waits("approval", given_up) == [("measured", 3600.0)]
    assert waits("provisioning", given_up) == [("measured", 600.0)]


@pytest.mark.parametrize("more", [{"dry_run": True}, {"load_test": True}])
def test_nobody_waits_for_a_trial(more: dict[str, Any]) -> None:
    """Dry runs and load tests are no waits at all."""
    assert waits("provisioning", attempt("1", 0, 10, **more)) == []


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (attempt("1", 0, 10, bot=True), "bot"),
        (attempt("1", 10, 5), "missing_time"),
        (attempt("1", 10, None, result=Result.FAILURE), "missing_time"),
    ],
)
def test_attempts_nobody_waited_for_are_set_aside(made: SelfServiceAttempt, reason: str) -> None:
    """Bots do not wait; an unknown or impossible end says nothing."""
    assert waits("provisioning", made) == [(reason, None)]


def test_an_approval_decided_before_it_was_asked_for_is_set_aside() -> None:
    """A wrong clock makes no negative wait."""
    assert waits("approval", attempt("1", 0, 10, approvals=(approval(5, 4),))) == [("missing_time", None)]


# --- tickets -----------------------------------------------------------------------------------------------


def test_a_ticket_waits_until_it_is_resolved() -> None:
    """Monday 16:00 to Tuesday 10:00 are 2 open hours, dated at the resolution."""
    (found,) = [o for o in observed(ticket("1", 16 * HOUR, DAY + 10 * HOUR)) if o.rule != "active"]

    assert (found.value, found.at) == (2 * 3600.0, at(DAY + 10 * HOUR))


def test_waiting_for_the_requester_is_no_wait_for_the_platform() -> None:
    """Open 10:00 to 16:00, waiting for the requester 11:00 to 14:00: 3 hours."""
    waiting: dict[str, Any] = {"at": at(11 * HOUR), "state": "waiting"}
    back: dict[str, Any] = {"at": at(14 * HOUR), "state": "open"}
    paused = ticket("1", 10 * HOUR, 16 * HOUR, transitions=(Transition(**waiting), Transition(**back)))

    assert waits("ticket", paused) == [("measured", 3 * 3600.0)]


@pytest.mark.parametrize(
    ("asked", "judged"),
    [
        (ticket("1", 600, None), "pending"),
        (ticket("1", 600, 500), "missing_time"),
        (ticket("1", 600, None, state=TicketState.RESOLVED), "missing_time"),
    ],
)
def test_a_ticket_without_a_known_end_has_no_wait(asked: Ticket, judged: str) -> None:
    """Open ones are pending, those that ended nobody knows when are set aside."""
    assert waits("ticket", asked) == [(judged, None)]


def test_only_the_platform_s_queues_count() -> None:
    """Where queues are named, others are somebody else's."""
    organisation = Organisation(options=(WaitOptions(queues=("platform-*",)),))

    assert waits("ticket", ticket("1", 600, 660), organisation=organisation) == []


# --- per 100 developers ------------------------------------------------------------------------------------


def test_waits_are_divided_by_the_developers_of_the_roster() -> None:
    """30 minutes of waiting among 5 developers → 1800 / 5 · 100 = 36,000 s per 100 developers; n is 5."""
    roster = [member(f"person:{i}", -100) for i in range(5)]
    found = measured(*roster, run("1", 0, 10), attempt("1", 600, 620))

    assert (found.n, dict(found.stats)) == (5, {"value": 36_000.0})


def test_each_kind_is_divided_by_the_same_developers() -> None:
    """10 minutes of them were for jobs: 600 / 5 · 100 = 12,000 s."""
    roster = [member(f"person:{i}", -100) for i in range(5)]
    found = measured(*roster, run("1", 0, 10), attempt("1", 600, 620), kind="ci")

    assert (found.n, dict(found.stats)) == (5, {"value": 12_000.0})


def test_developers_are_the_mean_of_the_window_s_mondays() -> None:
    """Two weeks, Mondays 12 and 19 January: four developers, then two → 3; 600 s → 20,000 s per 100."""
    stays = [member(f"person:{i}", -100, left_at=at(14 * DAY) if i > 1 else None) for i in range(4)]
    found = measured(*stays, attempt("1", 7 * DAY + 600, 7 * DAY + 610), until=14 * DAY + 1, days=14)

    assert (found.n, dict(found.stats)) == (3, {"value": 20_000.0})


@pytest.mark.parametrize(
    "more", [{"codes": False}, {"bot": True}, {"left_at": at(3 * DAY)}, {"started_at": at(8 * DAY)}]
)
def test_who_does_not_code_or_is_not_there_is_no_developer(more: dict[str, Any]) -> None:
    """Roles that never code, bots, those who left and those who have not come yet could not wait."""
    found = measured(member(ANN, -100), member(BOB, -99, **more), run("1", 0, 10))

    assert found.n == 1


def test_a_transfer_is_one_developer_of_the_new_team() -> None:
    """Nobody ended the stay before: the later one counts."""
    moved = member(ANN, 3 * DAY, team="/data", member_kind=MemberKind.TRANSFER)
    weeks = [o for o in observed(member(ANN, -100), moved) if o.at == at(7 * DAY)]

    assert [(o.subject.team, o.value) for o in weeks] == [("/data", 1.0)]


def test_a_wait_is_that_of_the_team_somebody_was_in() -> None:
    """By the roster, else by what the event says, else the whole organisation's."""
    events = (
        member(ANN, -100),
        run("1", 0, 10),
        attempt("1", 600, 610, requester=BOB, requester_team="data"),
        ticket("1", 600, 610, author=None),
    )
    found = {label_values(o.dimension, 2)[0]: o.subject.team for o in observed(*events) if o.rule != "developers"}

    assert found == {"ci": "/commerce", "provisioning": "/data", "ticket": "/"}


def test_a_roster_speaks_for_a_year_after_its_last_entry() -> None:
    """What nobody touches any more does not make developers for ever."""
    found = observed(member(ANN, 0))

    assert (found[0].at, found[-1].at) == (at(0), at(53 * 7 * DAY))


def test_without_a_roster_those_who_were_active_could_wait() -> None:
    """Ann and Bob committed, Ada asked for a database: three; Bob's bot is nobody; 10 minutes → 20,000 s per 100."""
    events = (
        *(commit(1, 10, ANN), commit(2, 20, ANN), commit(3, 30, BOB), commit(4, 40, "person:x", bot=True)),
        attempt("1", 600, 610, requester=ADA, requester_team="/data"),
    )
    found = measured(*events)

    assert (found.n, dict(found.stats)) == (3, {"value": 20_000.0})
    assert {o.subject.team for o in observed(*events)} == {"/"}


def test_two_accounts_are_one_person() -> None:
    """A reviewed file says whose accounts are whose."""
    organisation = Organisation(identities=Identities(people={BOB: ANN}))
    found = observed(commit(1, 10, ANN), commit(2, 20, BOB), run("1", 0, 10), organisation=organisation)

    assert developer_wait(sample(found, 7 * DAY)).n == 1


@pytest.mark.parametrize("events", [[member(ANN, -100)], [run("1", 0, 10)]])
def test_without_waits_or_developers_there_is_no_value(events: list[Event]) -> None:
    """No data is no value, never 0."""
    assert (measured(*events).n, dict(measured(*events).stats)) == (0, {})


def test_what_waits_and_what_is_set_aside_stands_beside_the_value() -> None:
    """Three jobs waited, one without a start, two in the queue, one of a bot: coverage 3 of 4."""
    events = (
        member(ANN, -100),
        *(run(str(i), 0, 1) for i in range(3)),
        run("3", 0, None),
        run("4", 0, 1, bot=True),
        *(run(str(i), 5, None, state=RunState.PENDING, result=None) for i in (5, 6)),
    )
    found = measured(*events)

    assert (found.pending, dict(found.excluded), found.coverage) == (2, {"missing_time": 1, "bot": 1}, 0.75)


# --- laws --------------------------------------------------------------------------------------------------

_minute = st.none() | st.integers(0, 3000)
_who = st.sampled_from([ANN, BOB, ADA])
_run = st.builds(
    lambda name, created, started, task, repository, state, who: (job if task else run)(
        name, created, started, repository=repository, state=state, actor=who
    ),
    st.sampled_from(["p", "q", "r", "s"]),
    *(_minute, _minute, st.booleans(), st.sampled_from(["o/shop", "o/api"]), st.sampled_from(RunState), _who),
)
_attempt = st.builds(
    lambda name, start, end, who, approvals, journey: attempt(
        name, start, end, requester=who, approvals=approvals, journey=journey
    ),
    *(st.sampled_from("ab"), st.integers(0, 3000), _minute, _who),
    st.sampled_from([(), (approval(100, 200),), (approval(100, None), approval(150, 300))]),
    st.sampled_from(["provision-db", "new-service"]),
)
_ticket = st.builds(
    lambda name, created, resolved, who, queue: ticket(name, created, resolved, author=who, queue=queue),
    *(st.sampled_from("ab"), st.integers(0, 3000), _minute, _who, st.sampled_from(["platform", "legal"])),
)
_member = st.builds(
    lambda who, start, team: member(who, start, team=team), _who, st.integers(0, 9), st.sampled_from("ab")
)
_commit = st.builds(commit, st.integers(0, 5), st.integers(0, 9000), _who)
_work = _run | _attempt | _ticket | _commit
_events = st.lists(_work, max_size=10, unique_by=lambda e: e.id)
_with_roster = st.lists(_work | _member, max_size=10, unique_by=lambda e: e.id)


def _sorted(observations: Iterable[Observation]) -> list[Observation]:
    return sorted(observations, key=lambda o: (o.at, o.dimension, o.unit, o.source, o.subject))


@given(events=_events | _with_roster, data=st.data())
def test_order_and_duplicates_change_nothing(events: list[Event], data: st.DataObject) -> None:
    """The same events give the same observations, however often and in whatever order they come."""
    again = data.draw(st.permutations(events + events))

    assert _sorted(observed(*again)) == _sorted(observed(*events))


@given(events=_events | _with_roster)
def test_all_pieces_are_what_observing_gives(events: list[Event]) -> None:
    """Piece by piece is the same as all at once."""
    pieces = wait.pieces(PlainEvents(events), NOBODY, Asked())
    found = [as_row(o) for p in pieces for o in as_observations(p.observations)]

    assert sorted(found, key=repr) == sorted(map(as_row, observed(*events)), key=repr)


@given(events=_events | _with_roster)
def test_a_store_can_keep_every_observation(events: list[Event]) -> None:
    """No two observations of a series have the same unit and time, and no wait is negative."""
    found = observed(*events)

    assert len({(o.dimension, o.subject, o.source, o.at, o.unit) for o in found}) == len(found)
    assert all(o.value is None or o.value >= 0 for o in found)


class Kept:
    """A store into which events are written and derived."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder)
        self.events, self.store = EventStore(self.database), DerivationStore(self.database)

    def after(self, *events: Event) -> tuple[int, int]:
        """Write events and derive: how many pieces, and how many observations differed."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        done = derive([wait.FAMILY], self.events, self.store, NOBODY)
        return done.pieces, done.observations


def test_only_what_new_events_touch_is_derived_again(tmp_path: Path) -> None:
    """A run touches its repository, a stay whose waits it gives a team; a first roster touches everything."""
    kept = Kept(tmp_path)
    kept.after(run("1", 0, 1), run("2", 0, 1, repository="o/api", actor=BOB), ticket("1", 600, 660))

    assert kept.after(run("3", 0, 1))[0] == 1
    assert kept.after(ticket("1", 600, 660, queue="legal", updated_at=at(700)))[0] == 2
    assert kept.after(commit(1, 10, ANN))[0] == 1
    assert kept.after(member(ADA, 0))[0] == 6
    assert kept.after(commit(2, 20, BOB))[0] == 0
    assert kept.after(member(BOB, 0))[0] == 2
    kept.database.close()


SOURCES = [
    source_state(name, last_success_at=START, last_run_at=START, last_duration_seconds=1.0, newest_event_at=START)
    for name in ("ci", "hr", "portal")
]


def test_the_published_number_is_per_100_developers_of_a_level(tmp_path: Path) -> None:
    """Five developers of /commerce and five of /data, 10 minutes of waiting in each, half of them for jobs.

    /commerce: 600 s / 5 · 100 = 12,000 s; the whole: 1200 s / 10 · 100 = 12,000 s, of which 6,000 s for jobs.
    """
    kept = Kept(tmp_path)
    kept.after(
        *(member(f"person:c{i}", -100) for i in range(5)),
        *(member(f"person:d{i}", -100, team="/data") for i in range(5)),
        attempt("1", 600, 610, requester="person:d1"),
        run("1", 0, 10, actor="person:c1"),
    )
    known, now = {wait.DEVELOPER_WAIT.name: wait.DEVELOPER_WAIT}, START + timedelta(days=7)
    snapshot = evaluate(ObservationStore(kept.database), known, [], SOURCES, now)
    found = {(n.subject.team, n.dimension): (n.n, dict(n.stats)) for n in snapshot.numbers if n.window == "7d"}
    kept.database.close()

    assert found["/commerce", ""] == found["/commerce", "ci"] == (5, {"value": 12_000.0})
    assert found["/", ""] == (10, {"value": 12_000.0})
    assert found["/", "ci"] == (10, {"value": 6_000.0})


@settings(max_examples=examples(12), deadline=None)
@given(batches=st.lists(_events | _with_roster, min_size=1, max_size=3))
def test_deriving_step_by_step_is_deriving_at_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]]
) -> None:
    """Whatever came when: deriving everything anew would change nothing."""
    kept = Kept(tmp_path_factory.mktemp("store"))
    for batch in batches:
        kept.after(*batch)
    kept.store.set_stamp("wait", {})
    again = kept.after()
    kept.database.close()

    assert again[1] == 0


def test_a_new_commit_costs_what_it_changes(tmp_path: Path) -> None:
    """The first of a week is a unit; one told late replaces it."""
    kept = Kept(tmp_path)
    kept.after(commit(1, 100, ANN))

    assert kept.after(commit(2, 200, ANN)) == (1, 0)
    assert kept.after(commit(3, 7 * DAY, ANN)) == (1, 1)
    assert kept.after(commit(4, 50, ANN)) == (1, 2)
    kept.database.close()


def test_a_commit_that_is_told_otherwise_replaces_what_was_told(tmp_path: Path) -> None:
    """What was Ann's is Bob's: hers is gone and his is there; told again as it was, nothing changes."""
    kept = Kept(tmp_path)
    kept.after(commit(1, 100, ANN))

    assert kept.after(commit(1, 100, BOB, updated_at=at(200))) == (1, 2)
    assert kept.after(commit(1, 100, BOB, updated_at=at(300))) == (1, 0)
    kept.database.close()


def test_a_commit_of_long_ago_is_found_a_place(tmp_path: Path) -> None:
    """It is told after ten weeks with commits, more than stay open: what it changes is its own week."""
    kept = Kept(tmp_path)
    kept.after(*(commit(week, week * 7 * DAY, ANN) for week in range(1, 11)))

    assert kept.after(commit(20, 10, BOB)) == (1, 1)
    kept.database.close()


_moment = st.integers(0, 14 * 7 * 2).map(lambda half_days: half_days * DAY / 2)
_told = st.builds(
    lambda number, committed, author, told, source, bot: commit(
        number, committed, author, updated_at=at(told), source=source, bot=bot
    ),
    *(st.integers(0, 12), _moment, _who, st.integers(0, 9), st.sampled_from(["git", "forge"]), st.booleans()),
)


@settings(max_examples=examples(12), deadline=None)
@given(batches=st.lists(st.lists(_told, min_size=1, max_size=8), min_size=2, max_size=6))
def test_commits_of_many_weeks_step_by_step_are_those_of_one_step(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]]
) -> None:
    """Over months, told late, again or otherwise, by two sources: deriving everything anew would change nothing."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(migrated, folder / "paceline.db")
    kept = Kept(folder)
    for batch in batches:
        kept.after(*batch)
    kept.store.set_stamp("wait", {})
    again = kept.after()
    kept.database.close()

    assert again[1] == 0


def test_a_ticket_costs_itself_while_it_waits(tmp_path: Path) -> None:
    """A new one is one unit, its end replaces it; one that was done with and is dated anew is found as well."""
    kept = Kept(tmp_path)
    kept.after(ticket("1", 600, 660), ticket("2", 600, None))

    assert kept.after(ticket("3", 500, None)) == (1, 1)
    assert kept.after(ticket("2", 600, 720, updated_at=at(720))) == (1, 2)
    assert kept.after(ticket("1", 600, 690, updated_at=at(720))) == (1, 2)
    kept.database.close()


_wanted = st.builds(lambda one, told: replaced(one, updated_at=at(told)), _ticket, st.integers(3000, 3009))


@settings(max_examples=examples(12), deadline=None)
@given(batches=st.lists(st.lists(_wanted | _member, min_size=1, max_size=5), min_size=2, max_size=6))
def test_tickets_step_by_step_are_those_of_one_step(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]]
) -> None:
    """Told late, again, otherwise or in another queue, with people who come and move: it is as if all were known."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(migrated, folder / "paceline.db")
    kept = Kept(folder)
    for batch in batches:
        kept.after(*batch)
    kept.store.set_stamp("wait", {})
    again = kept.after()
    kept.database.close()

    assert again[1] == 0
