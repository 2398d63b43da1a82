"""From files of people, answers and pages to numbers: a roster that changes, a survey, documentation, and code.

Every number is worked out by hand. 2 March 2026 is a Monday; people work from Monday to Friday in UTC, and their first
change in production is due after ten working days.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.events import Member
from paceline.service import Service
from paceline.wiring import build, configuration
from slo_engine.observation import label_values
from slo_engine.snapshot import Accounting, Number, Snapshot

pytestmark = pytest.mark.integration

DAY = 86_400
SETTINGS = """\
logs: {level: error}
calendars:
  default: {timezone: UTC}
identities: [accounts.yaml]
sources:
  - {type: git, name: code, repository: shop, service: shop, paths: true, deployments: {rule: branch}}
  - {type: roster, name: people, path: people.csv}
  - type: survey
    name: developers
    path: answers.csv
    respondent: Who
    waves: quarter
    questions:
      recommend: {column: Recommend us?, scale: nps}
      satisfied: {column: Satisfied?, scale: csat}
    invited: {2026-Q1: 20}
  - {type: docs, name: handbook, repository: shop, map: docs/map.yaml}
"""
ACCOUNTS = "people:\n  - {person: bob, accounts: [bob-at-home], mails: [bob@people.example, bob@home.example]}\n"
HEADER = "Work email,Start date,Last day"
STAFF = [f"p{n}@people.example,2020-01-06," for n in range(20)]
FIRST = [*(f"{name}@people.example,2026-03-02," for name in ("ada", "bob", "cleo", "dora", "eve", "finn", "kim"))]
ROSTERS: Mapping[datetime, Sequence[str]] = {
    datetime(2026, 2, 20, tzinfo=UTC): [*STAFF, *FIRST, "ian@people.example,2020-01-06,2025-06-30"],
    # Ian is hired again, Jay joins, and Kim begins a week later.
    datetime(2026, 2, 27, tzinfo=UTC): [
        *STAFF,
        *FIRST[:-1],
        "kim@people.example,2026-03-09,",
        "ian@people.example,2026-03-02,",
        "jay@people.example,2026-03-02,",
    ],
    # Jay has left, and nobody had heard of Gus.
    datetime(2026, 3, 16, tzinfo=UTC): [
        *STAFF,
        *FIRST[:-1],
        "kim@people.example,2026-03-09,",
        "ian@people.example,2026-03-02,",
        "jay@people.example,2026-03-02,2026-03-10",
        "gus@people.example,2026-03-02,",
    ],
}
COMMITS = [
    ("p0@people.example", "2026-01-05T12:00:00", ["src/pay/a", "src/ship/a", "docs/pay.md", "docs/ship.md"]),
    ("ADA@people.example", "2026-03-03T12:00:00", ["src/pay/a"]),
    ("bob@home.example", "2026-03-04T12:00:00", ["src/ship/a"]),
    ("eve@people.example", "2026-03-05T12:00:00", ["docs/pay.md"]),
    ("ian@people.example", "2026-03-06T12:00:00", ["src/other"]),
    ("gus@people.example", "2026-03-09T12:00:00", ["src/other"]),
    ("finn@people.example", "2026-03-13T12:00:00", ["src/other"]),
    ("cleo@people.example", "2026-03-16T12:00:00", ["src/other"]),
    ("kim@people.example", "2026-03-17T12:00:00", ["src/other"]),
]
MAP = "pages:\n  docs/pay.md: [src/pay]\n  docs/ship.md: {covers: src/ship, reviewed: 2025-01-31}\n"
ANSWERS = """\
Timestamp,Who,Recommend us?,Satisfied?,What else?
2026-02-02T09:00:00Z,p0,3,1,
2026-02-02T09:01:00Z,p1,9,5,"Ask Wilhelmina, she knows"
2026-02-02T09:02:00Z,p2,10,4,
2026-02-02T09:03:00Z,p3,10,4,
2026-02-02T09:04:00Z,p4,9,2,
2026-02-02T09:05:00Z,p5,7,5,
2026-02-02T09:06:00Z,p6,8,3,
2026-02-02T09:07:00Z,p7,0,1,
2026-02-02T09:08:00Z,p8,6,4,
2026-02-02T09:09:00Z,p9,5,,
2026-02-03T09:00:00Z,P0,9,4,
"""


def _git(folder: Path, *arguments: str, **more: str) -> None:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **more}
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, env=environment)


def _repository(folder: Path) -> None:
    """What was built, and when: a commit on the default branch is a release."""
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "map.yaml").write_text(MAP, encoding="utf-8")
    _git(folder, "init", "--quiet", "-b", "main")
    for mail, at, paths in COMMITS:
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(at, encoding="utf-8")
        _git(folder, "add", "--all")
        who = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in (
            ("NAME", "x"), ("EMAIL", mail), ("DATE", f"{at}+0000"))}  # fmt: skip
        _git(folder, "commit", "--quiet", "-m", "a change", **who)


class Clock:
    """Shows what it is told."""

    now = datetime(2026, 2, 20, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.now


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """All of it was collected, the roster each time it was written, the rest on 23 March 2026 at 09:00."""
    folder, clock = tmp_path_factory.mktemp("people"), Clock()
    _repository(folder / "shop")
    (folder / "paceline.yaml").write_text(SETTINGS, encoding="utf-8")
    (folder / "accounts.yaml").write_text(ACCOUNTS, encoding="utf-8")
    (folder / "answers.csv").write_text(ANSWERS, encoding="utf-8")
    roster = folder / "people.csv"
    roster.touch()
    running = build(configuration(folder / "paceline.yaml", {}, folder), clock, {})
    code, people, answers, pages = running.service.configuration.sources
    for written_at, lines in ROSTERS.items():
        roster.write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8")
        os.utime(roster, (written_at.timestamp(),) * 2)
        clock.now = written_at
        assert running.service.collect(people).error is None
    clock.now = datetime(2026, 3, 23, 9, tzinfo=UTC)
    for source in (code, people, answers, pages):
        assert running.service.collect(source).error is None
    yield running.service
    running.close()


@pytest.fixture(scope="module")
def published(service: Service) -> Snapshot:
    """What is published then."""
    return service.refresh().snapshot


def _told(published: Snapshot, indicator: str, *labels: str, window: str = "90d") -> Number:
    """The only number of the whole organisation that an indicator has for some labels."""
    (one,) = [n for n in published.numbers if _is(n, indicator, labels, window)]
    return one


def _is(one: Number | Accounting, indicator: str, labels: Sequence[str], window: str = "90d") -> bool:
    named = label_values(one.dimension, len(labels))
    return (one.indicator, one.window, one.subject.team, *named) == (indicator, window, "/", *labels)


M4 = ("first_deployed_change", "", "")


def test_six_of_eight_were_productive_in_time(published: Snapshot) -> None:
    """Ada, Bob by another address, Eve, Finn, Ian after a re-hire and Kim a week later; not Cleo and Dora."""
    found = _told(published, "onboarding_success", *M4)

    assert (found.n, found.stats["value"]) == (8, 0.75)


def test_who_left_and_who_was_entered_late_are_left_out(published: Snapshot) -> None:
    """Jay left on the seventh day, Gus was entered after his deadline; those of the first load are no bulk import."""
    (found,) = [a for a in published.accounting if _is(a, "onboarding_success", M4)]

    assert (found.excluded, found.pending) == ({"left": 1, "late_roster": 1}, 0)


def test_half_of_those_who_joined_needed_six_and_a_half_days(published: Snapshot) -> None:
    """Nine joined, Jay and Dora as not there yet: the curve falls to 4/9 after 6.5 days, to 4/27 after 10.5.

    1.5, 2.5, 3.5 and 4.5 days leave 5/9; Kim's 6.5 days 4/9; Jay leaves on the way; Finn's 9.5 days leave 8/27.
    """
    found = _told(published, "onboarding_time", *M4)

    assert found.n == 9
    assert (found.stats["p50"] / DAY, found.stats["p75"] / DAY) == (6.5, 10.5)


def test_a_stay_that_ended_is_kept_beside_the_next_one(service: Service) -> None:
    """Ian's stay until 2025 is still known, though the roster names only the new one."""
    stays = [m.started_at.year for m in service.events.events(Member) if m.native_id.endswith("/2")]

    assert stays == [2026]


def test_answers_are_counted_once_for_each_person(published: Snapshot) -> None:
    """Ten people: 9, 9, 10, 10, 9 against 0, 6, 5, so (5 - 3) / 10; four and five of 5, 4, 4, 2, 5, 3, 1, 4, 4."""
    promoters = _told(published, "survey_nps", "recommend")
    satisfied = _told(published, "survey_csat", "satisfied")

    assert (promoters.n, satisfied.n) == (10, 9)
    assert promoters.stats["value"] == pytest.approx(0.2)
    assert satisfied.stats["value"] == pytest.approx(6 / 9)


def test_half_of_those_invited_answered(published: Snapshot) -> None:
    """Ten of twenty, the one who answered twice once."""
    found = _told(published, "survey_response_rate", "developers")

    assert (found.n, found.stats["value"]) == (20, 0.5)


def test_pages_followed_the_code_three_times_of_four(published: Snapshot) -> None:
    """Both began with their code; Pay was changed two days after its code, Ship not within fourteen days."""
    found = _told(published, "documentation_freshness", "map")

    assert (found.n, found.stats["value"]) == (4, 0.75)


def test_one_of_two_pages_was_reviewed(published: Snapshot) -> None:
    """Pay was changed in March; Ship was last looked at 416 days ago."""
    found = _told(published, "documentation_reviewed", "age", window="now")

    assert (found.n, found.stats["value"]) == (2, 0.5)
