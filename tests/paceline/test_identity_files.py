"""Identities: reviewed files become keyed hashes, and are what everybody is compared by."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from collector.errors import ConfigError
from collector.events import Commit, SurveyResponse
from collector.people import People
from collector.registry import source_types
from paceline.identity_files import Reviewed
from paceline.settings import Configuration, load
from paceline.wiring import build
from slo_engine.identities import Identities
from slo_engine.indicator import families

KEY = "k" * 32
PEOPLE = People(KEY.encode())

FILE = """\
people:
  - person: E-17
    accounts: [ada, Ada-L]
    mails: [Ada@people.example, 3+ada-w@users.noreply.forge.example]
bots: [release-train]
humans: [acme-bot]
"""

Write = Callable[..., Configuration]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes settings with files of identities, and loads them."""

    def written(settings: str = "", **files: str) -> Configuration:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        path = tmp_path / "paceline.yml"
        path.write_text(f"identities: [{', '.join(f'{n}.yaml' for n in files)}]\n{settings}", encoding="utf-8")
        return load(path, {}, source_types(), families())

    return written


@pytest.fixture
def identities(write: Write) -> Identities:
    """What the file says, hashed."""
    return write(one=FILE).reviewed.hashed(PEOPLE)


@pytest.mark.parametrize(
    "account", ["ada", "ADA", "ada-l", "ada@people.example", "ada-w", "ADA-W@users.noreply.forge.example", "e-17"]
)
def test_trap_123_accounts_and_addresses_of_a_person_are_one(identities: Identities, account: str) -> None:
    """One person with three addresses and a `123+name@users.noreply` → merged by the reviewed file."""
    assert identities.person(PEOPLE.hashed(account)) == PEOPLE.hashed("E-17")


@pytest.mark.parametrize("account", ["bob", "ada@other.example", "17", "ada-x"])
def test_trap_123_who_is_not_in_the_file_is_a_person_of_their_own(identities: Identities, account: str) -> None:
    """An account that nobody reviewed stays what it is."""
    assert identities.person(PEOPLE.hashed(account)) == PEOPLE.hashed(account)


def test_trap_123_nobody_is_merged_by_display_name(identities: Identities) -> None:
    """A commit that only says "ada" as a name, without an address, is not the account `ada`."""
    assert identities.person(PEOPLE.named("ada")) == PEOPLE.named("ada")


@pytest.mark.parametrize(
    ("account", "flagged", "bot"),
    [
        ("release-train", False, True),
        ("Release-Train", False, True),
        ("acme-bot", True, False),
        ("other-bot", True, True),
        ("ada", False, False),
    ],
)
def test_trap_122_the_list_decides_before_the_source(
    identities: Identities, account: str, *, flagged: bool, bot: bool
) -> None:
    """A listed account is what the list says; any other what its source said, by flag, list or pattern."""
    assert identities.is_bot(PEOPLE.hashed(account), flagged) is bot


def test_the_files_are_one_list(write: Write) -> None:
    """People and bots may stand in several files."""
    found = write(one=FILE, two="bots: [night-train]\npeople: [{person: p, accounts: [bob]}]\n").reviewed

    assert (len(found.people), found.bots) == (2, ("release-train", "night-train"))


def test_what_is_read_is_not_shown(write: Write) -> None:
    """Nobody's account stands in what a configuration looks like in a log."""
    assert "ada" not in repr(write(one=FILE))


def test_a_mistake_beside_a_name_does_not_show_it(write: Write) -> None:
    """Messages about files of people are kept like any others: they say where, and quote nothing."""
    with pytest.raises(ConfigError) as caught:
        write(one="people: [{person: p, accounts: [ada], mails: [ada-at-home, 7]}]\nbots: {ada: ada}\n")

    assert len(caught.value.mistakes) == 3
    assert "ada" not in str(caught.value)


def test_no_file_says_nothing(write: Write) -> None:
    """Without files everybody is who they are."""
    found = write().reviewed

    assert found == Reviewed()
    assert not found.hashed(PEOPLE)


def test_patterns_of_the_settings_find_bots(write: Write) -> None:
    """Names, globs and expressions fit accounts whatever their case, and nothing else."""
    bots = write("bots: {patterns: [Nightly, CI-*, '/robo\\d+/']}\n").settings.bots

    assert [bots.named(n) for n in ("nightly", "ci-deploy", "robo7")] == [True, True, True]
    assert [bots.named(n) for n in ("nightly2", "mci-deploy", "robo")] == [False, False, False]


EVENTS = """\
{"kind": "survey_response", "native_id": "1", "survey": "s", "wave": "w", "question": "q", "scale": "nps", "score": 9, \
"at": "2026-03-01T10:00:00Z", "respondent": "ADA-L"}
{"kind": "commit", "native_id": "1", "repository": "o/a", "sha": "0123456789012345678901234567890123456789", \
"authored_at": "2026-03-01T10:00:00Z", "committed_at": "2026-03-01T10:00:00Z", "author": "ci-deploy@people.example"}
"""


def test_a_service_judges_by_the_files(write: Write, tmp_path: Path, clock: Callable[[], datetime]) -> None:
    """What sources call somebody is hashed, and the organisation knows who that is; patterns count at the source."""
    (tmp_path / "events.jsonl").write_text(EVENTS, encoding="utf-8")
    settings = (
        "sources: [{type: files, name: events, path: events.jsonl}]\nbots: {patterns: ci-*}\nlogs: {level: error}\n"
    )

    with closing(build(write(settings, one=FILE), clock, {"PACELINE_PEOPLE_KEY": KEY})) as running:
        running.service.collect(running.service.configuration.sources[0])
        (answer,) = running.service.events.events(SurveyResponse)
        (commit,) = running.service.events.events(Commit)
        organisation = running.service.configuration.organisation

    assert organisation.identities.person(answer.respondent) == PEOPLE.hashed("E-17")
    assert commit.bot


def test_a_change_of_the_files_restates(write: Write, tmp_path: Path) -> None:
    """What is said of accounts is among what judging depends on, for every family."""
    one, other = write(one=FILE), write(one=FILE.replace("release-train", "night-train"))
    versions = [
        {o.version_for(f.options) for f in families()}
        for o in (
            Configuration(
                settings=c.settings, base_dir=tmp_path, sources=(), slos=(), identities=c.reviewed.hashed(PEOPLE)
            ).organisation
            for c in (one, other)
        )
    ]

    assert versions[0].isdisjoint(versions[1])
