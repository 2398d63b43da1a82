"""Onboarding, case by case. 2 March 2026 is a Monday.

Unless told otherwise the calendar works Monday to Friday in UTC, somebody joins on 2 March, and M4, the first change in
production, is due after ten working days: at the end of Friday 13 March, which is Saturday 14 March 00:00.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from source_states import source_state

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
    RunKind,
    RunState,
)
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.calendars import WorkCalendar
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.identities import Identities
from slo_engine.indicators import onboarding
from slo_engine.indicators.onboarding import OnboardingOptions
from slo_engine.observation import Observation, Outcome, Subject, from_micros, label_values, to_micros
from slo_engine.organisation import Organisation, Service
from slo_engine.plain_events import PlainEvents
from slo_engine.snapshot import Number, Snapshot, SourceState
from slo_engine.windows import parse_window

NOBODY = Organisation()
DAY = 86_400.0
M1, M2, M3, M4, M5 = (
    MilestoneKind.ACCESS_GRANTED,
    MilestoneKind.FIRST_GREEN_RUN,
    MilestoneKind.FIRST_MERGED_CHANGE,
    MilestoneKind.FIRST_DEPLOYED_CHANGE,
    MilestoneKind.TENTH_MERGED_CHANGE,
)


def on(month: int, day: int, hour: int = 0, minute: int = 0, year: int = 2026) -> datetime:
    """A time in UTC."""
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


DUE = on(3, 14)
"""The deadline of M4 for who joins on 2 March."""


def joins(who: str = "new", start: datetime | None = None, **more: Any) -> Member:
    """Somebody on the roster, from 2 March on."""
    fields: dict[str, Any] = {
        "source": "hr",
        "native_id": who,
        "person": f"person:{who}",
        "member_kind": MemberKind.HIRE,
        "started_at": start or on(3, 2),
    }
    return Member(**(fields | more))


def told(stage: MilestoneKind, at: datetime, who: str = "new") -> Milestone:
    """A milestone that a source reports directly."""
    return Milestone(source="lms", native_id=f"{who}/{stage}/{at}", person=f"person:{who}", milestone=stage, at=at)


def sha(number: int) -> str:
    """The id of a commit."""
    return f"{number:040x}"


def commit(number: int, at: datetime, *parents: int, who: str | None = "new", **more: Any) -> Commit:
    """A commit on the default branch of the shop."""
    fields: dict[str, Any] = {
        "source": "git",
        "native_id": f"{more.get('repository', 'o/shop')}@{number}",
        "repository": "o/shop",
        "sha": sha(number),
        "parents": tuple(map(sha, parents)),
        "authored_at": at,
        "committed_at": at,
        "author": who and f"person:{who}",
        "on_default_branch": True,
    }
    return Commit(**(fields | more))


def request(number: int, merged_at: datetime, merge: int | None = None, who: str | None = "new", **more: Any) -> Change:
    """A merged request."""
    fields: dict[str, Any] = {
        "source": "forge",
        "native_id": f"{more.get('repository', 'o/shop')}!{number}",
        "repository": "o/shop",
        "state": ChangeState.MERGED,
        "created_at": merged_at - timedelta(hours=1),
        "merged_at": merged_at,
        "merge_sha": None if merge is None else sha(merge),
        "author": who and f"person:{who}",
    }
    return Change(**(fields | more))


def deploy(number: int, at: datetime, **more: Any) -> Deployment:
    """A successful deployment of the shop to production."""
    fields: dict[str, Any] = {
        "source": "cd",
        "native_id": f"{number}@{at}",
        "service": "shop",
        "environment": "production",
        "repository": "o/shop",
        "finished_at": at,
        "result": Result.SUCCESS,
        "sha": sha(number),
    }
    return Deployment(**(fields | more))


def run(at: datetime, who: str = "new", **more: Any) -> PipelineRun:
    """A green pipeline run that somebody caused."""
    fields: dict[str, Any] = {
        "source": "ci",
        "native_id": f"run {at}",
        "repository": "o/shop",
        "pipeline": "build",
        "state": RunState.COMPLETED,
        "result": Result.SUCCESS,
        "created_at": at - timedelta(minutes=5),
        "finished_at": at,
        "actor": f"person:{who}",
    }
    return PipelineRun(**(fields | more))


def observed(indicator: str, *events: Event, organisation: Organisation = NOBODY) -> list[Observation]:
    """The observations of an indicator."""
    return [o for o in onboarding.observe(PlainEvents(events), organisation) if o.indicator == indicator]


def stage_of(observation: Observation) -> str:
    """The milestone that an observation is about."""
    return label_values(observation.dimension, 3)[0]


def finals(stage: str, *events: Event, organisation: Organisation = NOBODY) -> list[tuple[str, datetime]]:
    """How the success of a milestone was judged in the end, and where that is dated, in the order of time."""
    found = [o for o in observed("onboarding_success", *events, organisation=organisation) if stage_of(o) == stage]
    judged = [(o.reason or str(o.outcome), o.at) for o in found if o.outcome is not Outcome.PENDING]
    return sorted(judged, key=lambda j: j[1])


def waits(stage: str, *events: Event, organisation: Organisation = NOBODY) -> list[tuple[datetime, datetime | None]]:
    """From when until when a milestone is pending."""
    found = [o for o in observed("onboarding_success", *events, organisation=organisation) if stage_of(o) == stage]
    return sorted((o.at, o.matures_at) for o in found if o.outcome is Outcome.PENDING)


def times(stage: str, *events: Event, organisation: Organisation = NOBODY) -> list[tuple[str, float | None]]:
    """How long a milestone took: reason or outcome, and working days."""
    found = [o for o in observed("onboarding_time", *events, organisation=organisation) if stage_of(o) == stage]
    return [(o.reason or str(o.outcome), None if o.value is None else round(o.value / DAY, 6)) for o in found]


def reached(stage: str, *events: Event, organisation: Organisation = NOBODY) -> list[tuple[datetime | None, str]]:
    """When a milestone was reached, and by which rule."""
    found = [o for o in observed("onboarding_time", *events, organisation=organisation) if stage_of(o) == stage]
    return [(o.matures_at, o.rule) for o in found if o.outcome is Outcome.MEASURED]


# --- deadlines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "judged"), [(on(3, 3), "good"), (on(3, 13, 23), "good"), (on(3, 16), "bad")])
def test_good_and_bad_are_dated_at_the_deadline(at: datetime, judged: str) -> None:
    """Good and bad are both dated at the deadline, or a hiring wave looks too good."""
    assert finals(M4, joins(), told(M4, at)) == [(judged, DUE)]


def test_who_never_arrives_is_bad_at_the_deadline() -> None:
    """Nothing happened by the end of the tenth working day: bad then."""
    assert finals(M4, joins(), deploy(1, on(3, 3))) == [("bad", DUE)]


def test_until_the_deadline_everybody_is_pending() -> None:
    """Reached early is provisional until then; not due is pending: both wait from the start to the deadline."""
    assert waits(M4, joins(), told(M4, on(3, 3))) == [(on(3, 2), DUE)]
    assert waits(M4, joins(), deploy(1, on(3, 3))) == [(on(3, 2), DUE)]


def test_each_milestone_has_its_own_deadline() -> None:
    """2, 5, 5, 10 and 30 working days from Monday 2 March: their ends, with nothing reached."""
    events = (joins(), told(M1, on(5, 4)), run(on(5, 4), who="other"), deploy(1, on(5, 4)), commit(1, on(5, 4)))

    due = {stage: finals(stage, *events) for stage in (M1, M2, M3, M4, M5)}

    assert due == {
        M1: [("bad", on(3, 4))],
        M2: [("bad", on(3, 7))],
        M3: [("bad", on(3, 7))],
        M4: [("bad", DUE)],
        M5: [("bad", on(4, 11))],
    }


def test_a_deadline_is_an_option() -> None:
    """With three working days for M4, Wednesday is the last day: a minute into Thursday is late."""
    organisation = Organisation(options=(OnboardingOptions(first_deployed_change_days=3),))

    assert finals(M4, joins(), told(M4, on(3, 5, 0, 1)), organisation=organisation) == [("bad", on(3, 5))]


def test_a_milestone_of_which_nothing_is_known_is_not_judged() -> None:
    """Without a source that could show it, nobody failed to reach it."""
    found = {stage_of(o) for o in observed("onboarding_success", joins(), commit(1, on(3, 3)))}

    assert found == {M3, M5}


# --- working days ------------------------------------------------------------------------------------------------

BERLIN = Organisation(calendars={"berlin": WorkCalendar(zone=ZoneInfo("Europe/Berlin"), country="DE")})
ALL_DAYS = WorkCalendar(hours=WorkCalendar().hours + tuple((d, WorkCalendar().hours[0][1]) for d in (5, 6)))


def test_ten_working_days_across_a_holiday_and_a_clock_change() -> None:
    """Ten working days across a public holiday and a clock change, in the site's own calendar: still ten working days.

    From Monday 23 March 2026: 23-27 March (5), the clocks change on the 29th, 30 March-2 April (9), Good Friday and
    Easter Monday are free, 7 April is the tenth. It ends at midnight in Berlin, 22:00 UTC.
    """
    events = (joins(start=on(3, 23, 7), site="berlin"), told(M4, on(4, 7, 21)))

    assert finals(M4, *events, organisation=BERLIN) == [("good", on(4, 7, 22))]
    assert times(M4, *events, organisation=BERLIN) == [("measured", round(9 + 23 / 24, 6))]


def test_a_start_on_a_sunday_counts_from_monday() -> None:
    """Start on a Sunday → the first working day is Monday: due with those who joined on Monday."""
    assert finals(M4, joins(start=on(3, 1, 9)), deploy(1, on(3, 3))) == [("bad", DUE)]
    assert times(M4, joins(start=on(3, 1, 9)), told(M4, on(3, 3))) == [("measured", 1.0)]


def test_the_clock_starts_at_midnight_of_the_site() -> None:
    """Who joins at 15:00 UTC in New York joined at its midnight, 05:00 UTC; a day later is one working day."""
    new_york = Organisation(calendars={"ny": WorkCalendar(zone=ZoneInfo("America/New_York"))})
    events = (joins(start=on(3, 3, 15), site="ny"), told(M4, on(3, 4, 5)))

    assert times(M4, *events, organisation=new_york) == [("measured", 1.0)]


def test_a_date_written_as_midnight_utc_is_that_date_everywhere() -> None:
    """Rosters write 3 March as 00:00Z: in New York that is not the evening of the 2nd."""
    new_york = Organisation(calendars={"ny": WorkCalendar(zone=ZoneInfo("America/New_York"))})
    events = (joins(start=on(3, 3), site="ny"), told(M4, on(3, 4, 5)))

    assert times(M4, *events, organisation=new_york) == [("measured", 1.0)]


def test_a_weekend_takes_no_time() -> None:
    """From Monday to the next Monday 12:00 are five and a half working days, in seconds of 86 400 a day."""
    assert times(M4, joins(), told(M4, on(3, 9, 12))) == [("measured", 5.5)]


def test_a_closed_day_of_the_site_moves_the_deadline() -> None:
    """One day closed between start and deadline: due a working day later, Tuesday 17 March 00:00."""
    closed = WorkCalendar(special=((date(2026, 3, 4), None),))
    organisation = Organisation(calendars={"default": closed})

    assert finals(M4, joins(), deploy(1, on(3, 3)), organisation=organisation) == [("bad", on(3, 17))]


# --- episodes ----------------------------------------------------------------------------------------------------


def starts(*members: Event, organisation: Organisation = NOBODY) -> list[datetime]:
    """When onboardings begin."""
    found = observed("onboarding_time", *members, deploy(1, on(3, 3)), organisation=organisation)
    return sorted(o.at for o in found if stage_of(o) == M4)


def test_a_return_after_200_days_is_a_new_episode() -> None:
    """Re-hire after 200 days → new episode. Left on 1 March, 200 days later is 17 September."""
    first = joins("1", on(1, 5), left_at=on(3, 1), person="person:new")
    back = joins("2", on(9, 17), person="person:new", member_kind=MemberKind.REHIRE)

    assert starts(first, back) == [on(1, 5), on(9, 17)]


def test_a_return_after_30_days_is_the_same_episode() -> None:
    """After 30 → the same: it began on 5 January and nobody left."""
    first = joins("1", on(1, 5), left_at=on(3, 1), person="person:new")
    back = joins("2", on(3, 31), person="person:new", member_kind=MemberKind.REHIRE)

    assert starts(first, back) == [on(1, 5)]
    assert times(M4, first, back, told(M4, on(4, 1))) == [("measured", 62.0)]


def test_a_return_after_exactly_the_gap_is_new() -> None:
    """180 days after 1 March is 28 August."""
    first = joins("1", on(1, 5), left_at=on(3, 1), person="person:new")
    back = [joins("2", on(8, day), person="person:new", member_kind=MemberKind.REHIRE) for day in (27, 28)]

    assert [len(starts(first, one)) for one in back] == [1, 2]


def test_two_rosters_that_know_the_same_start_make_one_episode() -> None:
    """The same person and day from two sources is one onboarding, and what one lacks the other knows."""
    events = (joins(team="web"), joins(source="directory"), told(M4, on(3, 3)))
    found = observed("onboarding_time", *events)

    assert [(o.subject.team, o.source) for o in found if stage_of(o) == M4] == [("/web", "directory+hr+lms")]
    assert len({o.unit for o in found}) == 1


def test_accounts_of_one_person_are_one_person() -> None:
    """One person with three addresses: the roster's account and those of commits are merged by the reviewed file."""
    organisation = Organisation(
        identities=Identities(people={"person:mail": "person:new", "person:private": "person:new"})
    )
    events = (joins("mail"), joins("new", source="directory"), commit(1, on(3, 3), who="private"))

    assert reached(M3, *events, organisation=organisation) == [(on(3, 3), "merge")]


def test_a_transfer_is_an_episode_of_its_own() -> None:
    """A new team is a new start, whoever stays in the company."""
    first = joins("1", on(1, 5), person="person:new", team="web")
    moved = joins("2", on(3, 2), person="person:new", team="/data", member_kind=MemberKind.TRANSFER)
    found = observed("onboarding_time", first, moved, deploy(1, on(3, 3)))

    assert sorted((o.at, o.subject.team, label_values(o.dimension, 4)[1]) for o in found) == [
        (on(1, 5), "/web", "hire"),
        (on(3, 2), "/data", "transfer"),
    ]


def test_what_somebody_did_before_a_return_is_not_done_again() -> None:
    """Milestones of the first stay are none of the second."""
    first = joins("1", on(1, 5, year=2025), left_at=on(3, 1, year=2025), person="person:new")
    back = joins("2", on(3, 2), person="person:new", member_kind=MemberKind.REHIRE)
    events = (first, back, commit(1, on(2, 3, year=2025)), commit(2, on(3, 4), 1))

    assert reached(M3, *events) == [(on(2, 3, year=2025), "merge"), (on(3, 4), "merge")]


def test_a_start_date_that_moved_is_judged_anew() -> None:
    """Start date moved → recomputed: the same native id with a new start has one episode, from the new start."""
    later = joins(start=on(3, 9), updated_at=on(3, 5))

    assert starts(joins(), later) == [on(3, 9)]
    assert finals(M4, joins(), later, deploy(1, on(3, 3))) == [("bad", on(3, 21))]


def test_a_leaver_before_the_deadline_is_set_aside() -> None:
    """Leaver before the deadline → excluded at the deadline, no longer pending from leaving, censored in the time.

    Monday to Friday 00:00 are four working days without arriving.
    """
    events = (joins(left_at=on(3, 6)), deploy(1, on(3, 3)))

    assert finals(M4, *events) == [("left", DUE)]
    assert waits(M4, *events) == [(on(3, 2), on(3, 6))]
    assert times(M4, *events) == [("left", 4.0)]


def test_who_arrived_and_left_before_the_deadline_is_set_aside_as_well() -> None:
    """To leave out only the leavers who had not arrived would flatter the share; the time they took is known."""
    events = (joins(left_at=on(3, 6)), told(M4, on(3, 4)))

    assert finals(M4, *events) == [("left", DUE)]
    assert times(M4, *events) == [("measured", 2.0)]


def test_who_leaves_after_the_deadline_was_late() -> None:
    """On the tenth day they were still there, and had not arrived."""
    assert finals(M4, joins(left_at=on(3, 30)), deploy(1, on(3, 3))) == [("bad", DUE)]


def test_what_happens_after_leaving_is_no_milestone() -> None:
    """A change merged after its author left."""
    assert reached(M3, joins(left_at=on(3, 6)), commit(1, on(3, 9))) == []


def test_who_never_came_has_no_time() -> None:
    """Left on the first day or before: set aside, without a duration of nothing."""
    events = (joins(left_at=on(3, 2)), deploy(1, on(3, 3)))

    assert (finals(M4, *events), waits(M4, *events), times(M4, *events)) == ([("left", DUE)], [], [("left", None)])


def test_an_entry_made_too_late_is_set_aside() -> None:
    """Roster entry made later than T → excluded with a reason: nobody could have helped in time."""
    late, just = joins(entered_at=on(3, 14, 1)), joins(entered_at=DUE)
    veterans = [joins(f"v{i}", on(1, 5, year=2020), entered_at=on(1, 5, year=2020)) for i in range(9)]

    assert finals(M4, late, told(M4, on(3, 3)), *veterans)[-1] == ("late_roster", DUE)
    assert finals(M4, just, told(M4, on(3, 3)), *veterans)[-1] == ("good", DUE)


def _roster(old: int, new: int) -> list[Member]:
    """Some people who were entered apart, long ago, and some entered within the week of 2 March."""
    first = datetime(2020, 1, 6, tzinfo=UTC)
    veterans = [first + timedelta(days=30 * i) for i in range(old)]
    wave = [on(3, 2 + i % 5) for i in range(new)]
    return [
        joins(f"{kind}{i}", at, entered_at=at)
        for kind, all_ in (("v", veterans), ("n", wave))
        for i, at in enumerate(all_)
    ]


def test_a_quarter_of_the_roster_in_one_week_is_an_import() -> None:
    """25 % of the roster imported in one week → excluded with a reason; no burst of failures. 5 of 20 are 25 %."""
    found = finals(M4, *_roster(15, 5), deploy(1, on(3, 3)))

    assert [judged for judged, at in found if at.year == 2026] == ["bulk_import"] * 5


def test_a_fifth_of_the_roster_in_one_week_is_a_hiring_wave() -> None:
    """4 of 20 are 20 %, and not more: they count."""
    found = finals(M4, *_roster(16, 4), deploy(1, on(3, 3)))

    assert [judged for judged, at in found if at.year == 2026] == ["bad"] * 4


def test_the_first_load_of_a_roster_is_an_import() -> None:
    """Everybody entered on one day; who comes two weeks later is somebody new."""
    loaded = [joins(f"v{i}", on(2, 23), entered_at=on(2, 24)) for i in range(8)]
    later = joins("later", on(3, 16), entered_at=on(3, 10))

    assert [judged for judged, _ in finals(M4, *loaded, later, deploy(1, on(3, 3)))] == ["bulk_import"] * 8 + ["bad"]


def test_the_first_load_stays_an_import_when_the_roster_has_grown() -> None:
    """The roster of that time counts: it was all of it, whatever it became."""
    loaded = [joins(f"first{i}", on(11, 4, year=2019), entered_at=on(11, 5, year=2019)) for i in range(2)]
    found = finals(M4, *loaded, *_roster(15, 0), deploy(1, on(3, 3)))

    assert [judged for judged, at in found if at == on(11, 16, year=2019)] == ["bulk_import"] * 2


def test_managers_and_bots_have_no_onboarding() -> None:
    """Managers, bots → not episodes: who is not expected to code is set aside and counted, a bot is nobody."""
    events = (joins("boss", codes=False), joins("robot", bot=True), deploy(1, on(3, 3)))

    assert finals(M4, *events) == [("not_eligible", DUE)]
    assert times(M4, *events) == [("not_eligible", None)]


@pytest.mark.parametrize(("humans", "judged"), [((), []), (("person:robot",), [("bad", DUE)])])
def test_the_list_decides_who_is_a_bot(humans: tuple[str, ...], judged: list[Any]) -> None:
    """A person whom a source takes for a bot is a person where the list says so."""
    organisation = Organisation(identities=Identities(humans=frozenset(humans)))

    assert finals(M4, joins("robot", bot=True), deploy(1, on(3, 3)), organisation=organisation) == judged


def test_a_unit_is_a_person_of_a_team() -> None:
    """The unit is the person's key, the subject the team as a path; labels say stage, kind and method."""
    one = next(o for o in observed("onboarding_success", joins(team="shop/web"), told(M4, on(3, 3))))

    assert (one.unit, one.subject.team, one.source) == ("person:new", "/shop/web", "hr+lms")
    assert label_values(one.dimension, 3) == (M4, "hire", "roster")


# --- milestones --------------------------------------------------------------------------------------------------


def test_the_first_green_run_is_one_s_own() -> None:
    """A failed run, a job, another's run and one before the start are none; the first green pipeline is."""
    events = (
        run(on(3, 1, 12)),
        run(on(3, 3), result=Result.FAILURE),
        run(on(3, 4), run_kind=RunKind.TASK),
        run(on(3, 5), who="other"),
        run(on(3, 6)),
        run(on(3, 7)),
    )

    assert reached(M2, joins(), *events) == [(on(3, 6), "run")]


def test_the_first_and_the_tenth_merged_change() -> None:
    """M3 is the first, M5 the tenth change on the default branch: the days of 3 to 12 March."""
    line = [commit(n, on(3, 2 + n), *([n - 1] if n > 1 else [])) for n in range(1, 12)]

    assert reached(M3, joins(), *line) == [(on(3, 3), "merge")]
    assert reached(M5, joins(), *line) == [(on(3, 12), "merge")]


def test_changes_in_several_repositories_add_up() -> None:
    """Five in each of two: the tenth counts, wherever it is."""
    shop = [commit(n, on(3, 2 + n), *([n - 1] if n > 1 else [])) for n in range(1, 6)]
    web = [commit(n, on(3, 10 + n), *([n - 1] if n > 1 else []), repository="o/web") for n in range(1, 6)]

    assert reached(M5, joins(), *shop, *web) == [(on(3, 15), "merge")]


def test_commits_before_the_start_are_ignored() -> None:
    """Commits before the start → not milestones, even where they are merged and deployed after it."""
    before = [commit(1, on(2, 27)), commit(2, on(2, 27), 1, on_default_branch=False)]
    merge = commit(3, on(3, 3), 1, 2, who="other")

    assert reached(M3, joins(), *before, merge, deploy(3, on(3, 4))) == []
    assert reached(M4, joins(), *before, merge, deploy(3, on(3, 4))) == []


def test_a_request_from_before_the_start_is_ignored() -> None:
    """A squash is dated at the merge; when the work was done, the request's own time says."""
    old = request(1, on(3, 3), 1, created_at=on(2, 20))
    squash = commit(1, on(3, 3))

    assert reached(M3, joins(), old, squash) == []


def test_a_squash_by_a_bot_credits_the_author_and_co_authors() -> None:
    """Squash merge by a bot → credit author and `Co-authored-by`."""
    squash = commit(1, on(3, 4), who="robot", bot=True, co_authors=("person:pair",))
    events = (joins(), joins("pair"), request(1, on(3, 4), 1), squash, deploy(1, on(3, 5)))

    assert reached(M3, *events) == [(on(3, 4), "merge")] * 2
    assert reached(M4, *events) == [(on(3, 5), "graph")] * 2


def test_a_bot_s_request_is_nobody_s() -> None:
    """A change by a bot is no milestone of whoever merges it."""
    merge = commit(2, on(3, 4), 1, 9)
    events = (commit(1, on(3, 3), who="other"), commit(9, on(3, 3), 1, who="robot", bot=True, on_default_branch=False))

    assert reached(M3, joins(), request(1, on(3, 4), 2, who="robot", bot=True), *events, merge) == []


def test_who_presses_merge_is_not_the_author() -> None:
    """A merge commit by the newcomer brings another's work: no change of theirs."""
    events = (commit(1, on(3, 3), who="other"), commit(9, on(3, 3), 1, who="other", on_default_branch=False))

    assert reached(M3, joins(), *events, commit(2, on(3, 4), 1, 9)) == []


def test_who_squashes_is_not_the_author() -> None:
    """Another's request, squashed by the newcomer by hand: no change of theirs."""
    assert reached(M3, joins(), request(1, on(3, 4), 1, who="other"), commit(1, on(3, 4))) == []


def test_a_squash_tells_whose_a_bot_s_request_is() -> None:
    """A merge queue opens requests of its own for what somebody wrote."""
    queue = request(1, on(3, 4), 1, who="queue", bot=True)

    assert reached(M3, joins(), queue, commit(1, on(3, 4))) == [(on(3, 4), "merge")]


def test_a_branch_without_a_request_credits_its_authors() -> None:
    """Only Git is known: who wrote the commits that a merge brought."""
    events = (commit(1, on(3, 2), who="other"), commit(9, on(3, 3), 1, on_default_branch=False))

    assert reached(M3, joins(), *events, commit(2, on(3, 4), 1, 9, who="other")) == [(on(3, 4), "merge")]


def test_a_request_with_commits_by_others_credits_them() -> None:
    """Who wrote a commit of another's request has merged a change."""
    own = commit(9, on(3, 3), on_default_branch=False)
    squash = commit(1, on(3, 4), who="other")

    assert reached(M3, joins(), request(1, on(3, 4), 1, who="other", commit_shas=(sha(9),)), own, squash) == [
        (on(3, 4), "merge")
    ]


def test_an_open_or_closed_request_is_no_change() -> None:
    """Closed-unmerged is no change."""
    states = (ChangeState.OPEN, ChangeState.CLOSED)
    events = [msgspec.structs.replace(request(n, on(3, 4)), state=s, merged_at=None) for n, s in enumerate(states)]

    assert reached(M3, joins(), *events) == []


def test_a_tutorial_repository_has_no_milestones() -> None:
    """Tutorial repositories → not milestones: neither runs, nor changes, nor deployments there."""
    place = {"repository": "o/git-tutorial"}
    events = (run(on(3, 3), **place), commit(1, on(3, 3), **place), deploy(1, on(3, 4), **place))

    assert [reached(stage, joins(), *events) for stage in (M2, M3, M4)] == [[], [], []]


def test_which_repositories_are_tutorials_is_an_option() -> None:
    """The organisation's own rules replace the usual ones."""
    organisation = Organisation(options=(OnboardingOptions(tutorial_repositories=("o/shop",)),))
    events = (joins(), commit(1, on(3, 3)), commit(1, on(3, 4), repository="o/git-tutorial"))

    assert reached(M3, *events, organisation=organisation) == [(on(3, 4), "merge")]


def test_a_reported_milestone_wins_where_it_is_earlier() -> None:
    """The earlier of a source's own word and what the events show; of equal ones the source's word."""
    work = (joins(), commit(1, on(3, 4)))

    assert reached(M3, *work, told(M3, on(3, 3))) == [(on(3, 3), "reported")]
    assert reached(M3, *work, told(M3, on(3, 5))) == [(on(3, 4), "merge")]
    assert reached(M3, *work, told(M3, on(3, 4))) == [(on(3, 4), "reported")]


def test_access_granted_beforehand_is_there_on_the_first_day() -> None:
    """Prepared before the start is the best case: reached at once, and not ignored."""
    events = (joins(), told(M1, on(2, 26)))

    assert finals(M1, *events) == [("good", on(3, 4))]
    assert times(M1, *events) == [("measured", 0.0)]


def test_access_of_an_earlier_stay_is_not_this_one_s() -> None:
    """Who returns needs access again."""
    first = joins("1", on(1, 5, year=2025), left_at=on(3, 1, year=2025), person="person:new")
    back = joins("2", on(3, 2), person="person:new", member_kind=MemberKind.REHIRE)

    assert finals(M1, first, back, told(M1, on(1, 5, 9, year=2025)))[-1] == ("bad", on(3, 4))


def test_milestones_are_followed_for_a_year() -> None:
    """What happens 366 days after the start is no onboarding any more."""
    start = on(3, 2, year=2025)

    assert reached(M3, joins(start=start), commit(1, start + timedelta(days=366))) == []
    assert reached(M3, joins(start=start), commit(1, start + timedelta(days=364))) != []


# --- the first change in production ------------------------------------------------------------------------------


def test_the_first_deployment_that_contains_the_change() -> None:
    """A deployment before the change, a failed one and one to staging do not contain it; the next success does."""
    events = (
        *(commit(1, on(3, 2), who="other"), commit(2, on(3, 3), 1), commit(3, on(3, 4), 2, who="other")),
        deploy(1, on(3, 3, 12)),
        deploy(3, on(3, 4, 1), result=Result.FAILURE),
        deploy(3, on(3, 4, 2), environment="staging"),
        deploy(3, on(3, 5)),
        deploy(3, on(3, 6)),
    )

    assert reached(M4, joins(), *events) == [(on(3, 5), "graph")]


def test_the_evidence_is_the_change_and_its_deployment() -> None:
    """Beside the roster's entry, which anybody can look up."""
    member, change, deployment = joins(), commit(1, on(3, 3)), deploy(1, on(3, 4))
    one = next(o for o in observed("onboarding_time", member, change, deployment) if stage_of(o) == M4)

    assert one.evidence == (member.id, change.id, deployment.id)


def test_a_later_change_may_reach_production_first() -> None:
    """Whichever of their changes is deployed first: here that of another repository."""
    events = (
        *(commit(1, on(3, 3)), deploy(1, on(3, 12))),
        *(commit(7, on(3, 5), repository="o/web"), deploy(7, on(3, 6), repository="o/web", service="web")),
    )

    assert reached(M4, joins(), *events) == [(on(3, 6), "graph")]


def test_a_deployed_commit_nobody_knows_contains_what_its_list_says() -> None:
    """Without the commit the provider's own comparison tells."""
    events = (commit(1, on(3, 3)), deploy(99, on(3, 4)), deploy(98, on(3, 5), change_shas=(sha(1),)))

    assert reached(M4, joins(), *events) == [(on(3, 5), "compare")]


def test_without_a_graph_the_first_deployment_after_the_merge_counts() -> None:
    """Nobody knows the repository's commits: by time."""
    events = (request(1, on(3, 3), who="new"), deploy(1, on(3, 2, 12)), deploy(2, on(3, 4)))

    assert reached(M4, joins(), *events) == [(on(3, 4), "time")]


def test_a_repository_whose_commits_stopped_is_not_judged_by_time() -> None:
    """Its commits are known up to January: that none came since does not make it one without a graph."""
    events = (commit(1, on(1, 5), who="other"), request(1, on(3, 3), 77), deploy(88, on(3, 4)))

    assert reached(M4, joins(), *events) == []
    assert reached(M3, joins(), *events) == [(on(3, 3), "merge")]


def test_a_service_that_nobody_had_deployed_before_counts() -> None:
    """Its first known deployment has no lead times, but it contains the change."""
    assert reached(M4, joins(), commit(1, on(3, 3)), deploy(1, on(3, 4))) == [(on(3, 4), "graph")]


def test_in_a_shared_repository_the_paths_say_whose_a_change_is() -> None:
    """A change of the web's files is not delivered by a deployment of the api, though its commit is in it."""
    organisation = Organisation(
        services=tuple(
            Service(name=name, repositories=patterns(["o/mono"]), paths=patterns([f"{name}/*"]))
            for name in ("api", "web")
        )
    )
    place = {"repository": "o/mono"}
    events = (
        commit(1, on(3, 3), paths=("web/a.ts",), **place),
        deploy(1, on(3, 4), service="api", **place),
        deploy(1, on(3, 6), service="web", **place),
    )

    assert reached(M4, joins(), *events, organisation=organisation) == [(on(3, 6), "graph")]


def test_a_deployment_without_a_repository_is_the_catalogue_s() -> None:
    """The catalogue names the one repository of the service that deployments call otherwise."""
    shop = Service(name="shop", deployed_as=patterns(["shop-prod"]), repositories=patterns(["o/shop"]))
    events = (commit(1, on(3, 3)), deploy(1, on(3, 4), service="shop-prod", repository=None))

    assert reached(M4, joins(), *events, organisation=Organisation(services=(shop,))) == [(on(3, 4), "graph")]


def test_what_is_waited_for_is_named_as_a_source() -> None:
    """Who merged and was not deployed is judged by the deployments' source too: a silent one must not say bad."""
    found = observed("onboarding_success", joins(), commit(1, on(3, 3)), deploy(99, on(3, 4)))

    assert {o.source for o in found if stage_of(o) == M4} == {"cd+git+hr"}


# --- without a roster --------------------------------------------------------------------------------------------


def test_without_a_roster_the_first_activity_starts_the_clock() -> None:
    """No roster → clock `first_activity`, said in a label: from the day of the first commit."""
    old = commit(1, on(9, 1, year=2025), who="old")
    events = (old, commit(2, on(3, 3, 15), 1), commit(3, on(3, 4), 2, who="old"), deploy(3, on(3, 5)))
    found = [o for o in observed("onboarding_time", *events) if stage_of(o) == M4 and o.unit == "person:new"]

    assert [(o.at, o.value, label_values(o.dimension, 4)[1:3]) for o in found] == [
        (on(3, 3), 2 * DAY, ("unknown", "first_activity"))
    ]


def test_without_a_roster_those_of_the_first_months_may_not_be_new() -> None:
    """Where little of a repository's past is known, nobody knows whether its first authors were new."""
    events = (
        commit(1, on(1, 5), who="old"),
        commit(2, on(4, 4), 1),
        commit(3, on(4, 6), 2, who="newer"),
        deploy(3, on(4, 7)),
    )
    found = observed("onboarding_time", *events)

    assert {o.unit: o.reason for o in found} == {
        "person:old": "before_horizon",
        "person:new": "before_horizon",
        "person:newer": "",
    }


def test_with_a_roster_nobody_else_has_an_onboarding() -> None:
    """Who is not on the roster is not new."""
    found = observed("onboarding_time", joins("1"), commit(1, on(1, 5), who="old"), commit(2, on(6, 5), 1))

    assert {o.unit for o in found} == {"person:1"}


def test_the_clock_of_first_activity_can_be_turned_off() -> None:
    """No roster and no such clock: nothing is said."""
    organisation = Organisation(options=(OnboardingOptions(first_activity=False),))

    assert observed("onboarding_time", commit(1, on(1, 5)), organisation=organisation) == []


def test_a_reported_start_is_a_roster_of_its_own() -> None:
    """Who is not on a roster but whose start a source reports begins there."""
    found = observed("onboarding_time", told(MilestoneKind.ROSTER_START, on(3, 2, 8)), told(M4, on(3, 4)))

    assert [(o.at, o.value, label_values(o.dimension, 4)[1:3]) for o in found] == [
        (on(3, 2), 2 * DAY, ("hire", "roster"))
    ]


def test_times_are_whole_microseconds() -> None:
    """A start is dated exactly at midnight of its day."""
    (one,) = [o for o in observed("onboarding_time", joins(start=on(3, 2, 9)), told(M4, on(3, 4))) if stage_of(o) == M4]

    assert to_micros(one.at) == to_micros(on(3, 2))


# --- end to end --------------------------------------------------------------------------------------------------


class Kept:
    """A store into which events are written, derived and evaluated."""

    def __init__(self, folder: Path, organisation: Organisation = NOBODY) -> None:
        self.database, self.organisation = Database.open(folder), organisation
        self.events, self.store = EventStore(self.database), DerivationStore(self.database)

    def after(self, *events: Event) -> tuple[int, int]:
        """Write events and derive: how many people were looked at, and how many observations differed."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        done = derive([onboarding.FAMILY], self.events, self.store, self.organisation)
        return done.pieces, done.observations

    def told(self, now: datetime) -> Snapshot:
        """What is published of 90 days at a time, with every source fresh."""
        known = {i.name: i for i in onboarding.FAMILY.indicators}
        sources = [fresh(name, now) for name in ("hr", "git", "cd", "lms", "ci", "forge")]
        windows = (parse_window("90d"),)
        return evaluate(ObservationStore(self.database), known, [], sources, now, (), windows, self.organisation)


def fresh(name: str, now: datetime) -> SourceState:
    """A source that has just succeeded."""
    return source_state(name, last_success_at=now, last_run_at=now, last_duration_seconds=1.0, newest_event_at=now)


@pytest.fixture
def kept(migrated: Path, tmp_path: Path) -> Iterator[Kept]:
    """A store of its own for each test."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    found = Kept(tmp_path)
    yield found
    found.database.close()


def cohort(*arrivals: datetime | None, team: str = "/web") -> list[Event]:
    """People who joined a team on 2 March and arrived then or never."""
    names = [f"{team[1:]}-{n}" for n in range(len(arrivals))]
    members = [joins(name, team=team) for name in names]
    return [*members, *(told(M4, at, name) for name, at in zip(names, arrivals, strict=True) if at is not None)]


def everybody(snapshot: Snapshot, indicator: str, dimension: str = M4) -> list[Number]:
    """The numbers of the whole organisation for a milestone, all kinds and methods together."""
    whole = Subject(team="/")
    labels = [n for n in snapshot.numbers if label_values(n.dimension, 3) == (dimension, "", "")]
    return [n for n in labels if n.indicator == indicator and n.subject == whole]


SIX = (on(3, 3), on(3, 4), on(3, 5), on(3, 6), on(3, 16), None)


def test_success_is_published_after_the_deadline(kept: Kept) -> None:
    """Four of six arrived by 13 March: 4/6 from the 14th on, and no value on the 12th."""
    kept.after(*cohort(*SIX))
    (before,) = everybody(kept.told(on(3, 12)), "onboarding_success")
    (after,) = everybody(kept.told(DUE), "onboarding_success")

    assert (before.n, before.stats) == (0, {})
    assert after.n == 6
    assert after.stats["value"] == pytest.approx(4 / 6)


def test_until_the_deadline_all_are_published_as_pending(kept: Kept) -> None:
    """Six pending on the twelfth, whoever has arrived by then, and none on the day after the deadline."""
    kept.after(*cohort(*SIX))

    assert [_pending(kept.told(now)) for now in (on(3, 12), on(3, 15))] == [6, 0]


def _pending(snapshot: Snapshot) -> int:
    whole = [a for a in snapshot.accounting if a.indicator == "onboarding_success" and a.subject == Subject(team="/")]
    return sum(a.pending for a in whole if label_values(a.dimension, 3) == (M4, "", ""))


def test_the_time_is_published_with_those_on_the_way(kept: Kept) -> None:
    """On 20 March five of six arrived after 1, 2, 3, 4 and 10 working days: the curve is at 1/2 after three days."""
    kept.after(*cohort(*SIX))
    (found,) = everybody(kept.told(on(3, 20)), "onboarding_time")

    assert (found.n, found.stats["p50"] / DAY, found.stats["p75"] / DAY) == (6, 3.0, 10.0)


def test_the_time_is_what_was_known_at_the_time(kept: Kept) -> None:
    """On 5 March 12:00 three had arrived: 3/6 were left after three days, so the median is there; p75 is not."""
    kept.after(*cohort(*SIX))
    (found,) = everybody(kept.told(on(3, 5, 12)), "onboarding_time")

    assert (found.n, found.stats["p50"] / DAY, "p75" in found.stats) == (6, 3.0, False)


def test_a_cohort_of_four_is_suppressed(kept: Kept) -> None:
    """Cohort of four → suppressed, also when total minus the other cohorts would reveal it: 6 + 4 would."""
    kept.after(*cohort(*SIX), *cohort(*SIX[:4], team="/data"))
    snapshot = kept.told(on(3, 20))
    shown = {n.subject.team: n.n for n in snapshot.numbers if label_values(n.dimension, 3) == (M4, "", "")}

    assert "/data" not in shown
    assert len(shown) == 1


def test_only_who_is_touched_is_looked_at_again(kept: Kept) -> None:
    """A milestone, a commit or a run touches its person; another's run nobody; a change after the tenth nobody."""
    line = [commit(n, on(3, 3, n), *([n - 1] if n > 1 else [])) for n in range(1, 11)]
    kept.after(joins(), joins("b"), *line, deploy(10, on(3, 4)), run(on(3, 4)))

    assert kept.after(told(M4, on(3, 5), "b"))[0] == 1
    assert kept.after(run(on(3, 9)), run(on(3, 10), who="stranger"))[0] == 0
    assert kept.after(commit(11, on(3, 9), 10), deploy(11, on(3, 10)))[0] == 0
    assert kept.after(commit(12, on(3, 9), 11, who="b"))[0] == 1
    assert kept.after(joins("c"))[0] == 1


def test_who_moves_on_the_roster_moves_in_the_store(kept: Kept) -> None:
    """A start that moved leaves no judgement of the old one, and the last person to go leaves nothing."""
    kept.after(joins(), deploy(1, on(3, 3)))
    first = _stored(kept)
    kept.after(joins(start=on(3, 9), updated_at=on(3, 5)))

    assert (first, _stored(kept)) == ({on(3, 2), DUE}, {on(3, 9), on(3, 21)})


def _stored(kept: Kept) -> set[datetime]:
    store = ObservationStore(kept.database)
    return {from_micros(at) for (at,) in store.window(list(store.series()), -(2**62), 2**62, "at")}
