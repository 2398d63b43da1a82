"""The example organisation: the same each time, of the size it claims, nobody in it, and nothing known too early."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.events import (
    Approval,
    Change,
    ChangeState,
    Deployment,
    Incident,
    IncidentState,
    Member,
    MemberKind,
    Probe,
    Reply,
    Result,
    SelfServiceAttempt,
    Ticket,
    TicketState,
    Transition,
)
from paceline.demo.folder import SETTINGS, demo_config, make
from paceline.demo.known import known
from paceline.demo.organisation import SITES, TEAM_SIZES, Example, load_example
from paceline.demo.period import Period, period_ending
from paceline.demo.stories import LEAST_WEEKS, STORIES
from paceline.wiring import configuration

NOW = datetime(2026, 5, 20, 15, 30, 20, tzinfo=UTC)
"""A Wednesday in 2026-W21."""
NOON = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[2]
_TIME = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')
_PERSON = re.compile(r"person:[0-9a-f]{32}")

Folder = tuple[Path, dict[str, int]]


@pytest.fixture(scope="module")
def period() -> Period:
    """The shortest example, of which half of the last week is known."""
    whole = period_ending("2026-W14", LEAST_WEEKS, NOW)
    return replace(whole, until=NOON)


@pytest.fixture(scope="module")
def example(period: Period) -> Example:
    """Who there is."""
    return load_example(demo_config(), period)


@pytest.fixture(scope="module")
def folder(period: Period, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The example as a folder, and how many events each source has."""
    path = tmp_path_factory.mktemp("example")
    return path, make(path, period, standing=True)


def texts(path: Path) -> dict[str, bytes]:
    """Everything in a folder, by name."""
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


# --- the organisation ------------------------------------------------------------------------------------


def test_it_has_forty_services_in_twelve_teams_of_three_groups(example: Example) -> None:
    """Each service belongs to one of the teams, and each team has people."""
    teams = {p.team for p in example.products}
    assert (len(example.products), len(teams), len({t.split("/")[1] for t in teams})) == (40, 12, 3)
    assert teams == set(TEAM_SIZES)


def test_it_has_three_hundred_people_at_three_sites(example: Example) -> None:
    """All of them differ, and every site has some."""
    assert len({p.key for p in example.people}) == 300
    assert {p.site for p in example.people} == set(SITES)


def test_the_sites_work_as_the_settings_say(folder: Folder) -> None:
    """The calendars that events follow are those by which the example is judged."""
    organisation = configuration(folder[0] / SETTINGS, {}, folder[0]).organisation
    assert {name: str(organisation.calendar(name)) for name in SITES} == {n: str(c) for n, c in SITES.items()}


# --- the files -------------------------------------------------------------------------------------------


def test_the_same_seed_and_end_give_the_same_bytes(folder: Folder, period: Period, tmp_path: Path) -> None:
    """Made again, every file is the same."""
    make(tmp_path, period, standing=True)
    assert texts(tmp_path) == texts(folder[0])


def test_another_seed_gives_another_organisation(folder: Folder, period: Period, tmp_path: Path) -> None:
    """With other dice other things happen."""
    make(tmp_path, replace(period, seed=2), standing=True)
    assert (tmp_path / "events/forge.jsonl").read_bytes() != (folder[0] / "events/forge.jsonl").read_bytes()


def test_nothing_is_told_before_it_happened(folder: Folder) -> None:
    """No time in any file is later than what is known, but for the roster: who will start is known before."""
    told = b"".join(raw for name, raw in texts(folder[0] / "events").items() if name != "roster.jsonl")
    assert max(_TIME.findall(told.decode())) <= f"{NOON:%Y-%m-%dT%H:%M:%SZ}"


def test_people_are_hashes(folder: Folder, example: Example) -> None:
    """Every person in the files is one of the example's hashes, and no synthetic name gets through."""
    told = b"".join(texts(folder[0]).values()).decode()
    known_people = {p.key for p in example.people} | {p.second for p in example.people}
    assert set(_PERSON.findall(told)) <= known_people | {example.hashed("merge-queue")}
    assert "dev-0" not in told


def test_every_record_has_a_name_of_its_own(folder: Folder) -> None:
    """No two records of a file are the same event."""
    lines = [json.loads(line) for line in (folder[0] / "events/forge.jsonl").read_bytes().splitlines()]
    assert len({(line["kind"], line["native_id"]) for line in lines}) == len(lines) == folder[1]["forge"]


def test_files_are_as_old_as_what_they_tell(folder: Folder) -> None:
    """The silent prober's file was last written to when it fell silent, twelve days before the end."""
    written = (folder[0] / "events/portal-probes.jsonl").stat().st_mtime
    assert datetime.fromtimestamp(written, UTC) == datetime(2026, 3, 24, 3, 0, tzinfo=UTC)


def test_the_settings_are_sound_and_say_that_it_is_an_example(folder: Folder) -> None:
    """The folder can be used as it is; its time stands at its end."""
    settings = configuration(folder[0] / SETTINGS, {}, folder[0]).settings
    assert settings.notice == "This is an example organisation; its numbers are invented."
    assert settings.as_of == NOON


# --- the weeks -------------------------------------------------------------------------------------------


def test_an_example_that_ends_now_knows_the_present_week_up_to_now() -> None:
    """On a Wednesday its last week is the present one, and seconds do not count."""
    found = period_ending("now", 26, NOW)
    assert (found.label(0), found.until) == ("2026-W21", datetime(2026, 5, 20, 15, 30, tzinfo=UTC))


def test_weeks_are_counted_from_the_last() -> None:
    """The 26 weeks to 2026-W14 begin with 2025-W41."""
    found = period_ending("2026-W14", 26, NOW)
    assert (found.label(0), found.label(13), found.label(25)) == ("2026-W14", "2026-W01", "2025-W41")


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)
def test_every_story_lies_within_the_shortest_example(story: object) -> None:
    """A story begins in the example, and its commands name its weeks."""
    found = next(s for s in STORIES if s is story)
    assert LEAST_WEEKS > found.since >= found.until >= 0
    assert all("{" not in command for command in found.commands(period_ending("2026-W14", LEAST_WEEKS, NOW)))


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)
def test_the_page_tells_every_story(story: object) -> None:
    """docs/demo.md has what the command says of the usual example."""
    found = next(s for s in STORIES if s is story)
    page = (ROOT / "docs/demo.md").read_text(encoding="utf-8")
    told = [found.what, f"To see: {found.shows}.", *found.commands(period_ending("2026-W14", 26, NOW))]
    assert f"### `{found.name}`\n" in page
    assert [text for text in told if text not in page] == []


# --- what is known ---------------------------------------------------------------------------------------


def test_a_change_merged_later_is_still_open() -> None:
    """Its merge is not known yet, and neither is its merge commit."""
    merged = Change(
        source="forge",
        native_id="1",
        repository="r",
        state=ChangeState.MERGED,
        created_at=NOON - HOUR,
        merged_at=NOON + HOUR,
        closed_at=NOON + HOUR,
        merge_sha="a" * 40,
    )
    seen = known(merged, NOON)
    assert isinstance(seen, Change)
    assert (seen.state, seen.merged_at, seen.closed_at, seen.merge_sha) == (ChangeState.OPEN, None, None, None)


def test_an_incident_restored_later_is_still_open() -> None:
    """Its acknowledgement is known, its end is not."""
    states = (Transition(at=NOON - HOUR, state="acknowledged"), Transition(at=NOON + HOUR, state="resolved"))
    incident = Incident(
        source="pager",
        native_id="1",
        state=IncidentState.RESOLVED,
        started_at=NOON - 2 * HOUR,
        restored_at=NOON + HOUR,
        transitions=states,
    )
    seen = known(incident, NOON)
    assert isinstance(seen, Incident)
    assert (seen.state, seen.restored_at, seen.transitions) == (IncidentState.DETECTED, None, states[:1])


def test_a_ticket_has_the_state_it_had() -> None:
    """Of two replies and two states one each is known."""
    ticket = Ticket(
        source="desk",
        native_id="1",
        queue="help",
        state=TicketState.RESOLVED,
        created_at=NOON - 2 * HOUR,
        resolved_at=NOON + HOUR,
        replies=(Reply(at=NOON - HOUR), Reply(at=NOON + HOUR)),
        transitions=(Transition(at=NOON - HOUR, state="in_progress"), Transition(at=NOON + HOUR, state="resolved")),
    )
    seen = known(ticket, NOON)
    assert isinstance(seen, Ticket)
    assert (seen.state, seen.resolved_at, len(seen.replies), len(seen.transitions)) == ("in_progress", None, 1, 1)


def test_an_attempt_that_ends_later_still_runs_and_waits() -> None:
    """Nobody has decided its approval yet."""
    attempt = SelfServiceAttempt(
        source="portal",
        native_id="1",
        journey="new-service",
        started_at=NOON - HOUR,
        finished_at=NOON + HOUR,
        result=Result.SUCCESS,
        approvals=(Approval(requested_at=NOON - HOUR, decided_at=NOON + HOUR, actor_team="/a", approved=True),),
    )
    seen = known(attempt, NOON)
    assert isinstance(seen, SelfServiceAttempt)
    assert (seen.finished_at, seen.result) == (None, None)
    assert seen.approvals == (Approval(requested_at=NOON - HOUR),)


def test_somebody_who_leaves_later_is_still_there() -> None:
    """The roster does not know of it yet, but it knows who will start tomorrow."""
    member = Member(
        source="roster",
        native_id="1",
        person="person:" + "a" * 32,
        member_kind=MemberKind.HIRE,
        started_at=NOON + 24 * HOUR,
        entered_at=NOON - HOUR,
        left_at=NOON + 48 * HOUR,
    )
    seen = known(member, NOON)
    assert isinstance(seen, Member)
    assert seen.left_at is None


def test_what_has_not_happened_is_not_told() -> None:
    """A deployment that ends later is no event yet, though it has begun, and neither is a probe of later."""
    deployment = Deployment(
        source="forge",
        native_id="1",
        service="api",
        environment="production",
        started_at=NOON - HOUR,
        finished_at=NOON + HOUR,
        result=Result.SUCCESS,
    )
    probe = Probe(source="probes", native_id="1", service="dns", at=NOON + HOUR, passed=1)
    assert (known(deployment, NOON), known(probe, NOON)) == (None, None)


# --- the command -----------------------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_left_alone(
    run: Callable[..., tuple[object, str, str]], tmp_path: Path
) -> None:
    """The command writes nothing there and says what to do."""
    (tmp_path / "mine").write_text("", encoding="utf-8")
    code, out, errors = run("demo", "--dir", str(tmp_path), config=False)
    assert (code, out, sorted(p.name for p in tmp_path.iterdir() if p.name == "events")) == (2, "", [])
    assert "is not empty; name a new folder with --dir" in errors


def test_a_week_that_is_none_is_refused(run: Callable[..., tuple[object, str, str]], tmp_path: Path) -> None:
    """The sentence says what was expected, and nothing is written."""
    code, out, errors = run("demo", "--dir", str(tmp_path / "new"), "--ending", "yesterday", config=False)
    assert (code, out, (tmp_path / "new").exists()) == (2, "", False)
    assert "--ending: 'yesterday' is no week; expected an ISO week, for example 2026-W14, or now" in errors
