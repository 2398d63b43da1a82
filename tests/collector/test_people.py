"""People become keyed hashes; bots are told apart."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import ConfigError
from collector.people import People, is_bot, load_key

KEY = b"k" * 32


@pytest.mark.parametrize(
    "name",
    [
        "dependabot",
        "dependabot[bot]",
        "49699333+dependabot[bot]@users.noreply.github.example",
        "github-actions",
        "GitHub-Actions[bot]",
        "jenkins",
        "jenkins@ci.example",
        "k8s-ci-robot",
        "renovate",
        "web-flow",
        "acme-release-bot",
        "acme-ci-robot",
        "project_17_bot_0123abc@noreply.gitlab.example",
    ],
)
def test_automation_is_a_bot(name: str) -> None:
    """`dependabot`, `github-actions`, `jenkins`, `k8s-ci-robot`, `renovate` → bots."""
    assert is_bot(name)


@pytest.mark.parametrize(
    "name",
    ["bot_tom", "mr-bot-ham", "abbot", "talbot@x.example", "robotina", "renovator", "jenkinson", "", "@"],
)
def test_people_with_bot_in_their_name_are_people(name: str) -> None:
    """`bot_tom`, `mr-bot-ham` → people."""
    assert not is_bot(name)


def test_one_bot_among_names_is_enough() -> None:
    """An account is a bot where its login or its address says so."""
    assert is_bot("Release Manager", "renovate@x.example")


@given(st.text(), st.text())
def test_a_hash_hides_whom_it_stands_for(name: str, other: str) -> None:
    """Generate hostile names: a hash has one shape, is stable, and tells different people apart."""
    people = People(KEY)

    hashed = people.hashed(name)

    assert re.fullmatch(r"person:[0-9a-f]{32}", hashed)
    assert hashed == People(KEY).hashed(name)
    assert (hashed == people.hashed(other)) == (name.strip().casefold() == other.strip().casefold())


def test_case_and_outer_blanks_do_not_matter() -> None:
    """One address written differently is one person."""
    people = People(KEY)

    assert people.hashed(" Ada@X.Example\n") == people.hashed("ada@x.example")


def test_a_hash_is_not_hashed_again() -> None:
    """What was exported can be imported: hashing a hash changes nothing."""
    people = People(KEY)

    assert people.hashed(people.hashed("ada")) == people.hashed("ada")


def test_what_only_looks_like_a_hash_is_hashed() -> None:
    """A name with the prefix of a hash does not get through in clear."""
    assert "ada" not in People(KEY).hashed("person:ada")


def test_another_key_gives_other_hashes() -> None:
    """Without the key nobody can test whether an address is in the store."""
    assert People(KEY).hashed("ada") != People(b"l" * 32).hashed("ada")


def test_bytes_that_were_no_text_can_be_hashed() -> None:
    """Git hands out names in unknown encodings; they hash like any other."""
    assert People(KEY).hashed("J\udcf6rg").startswith("person:")


def test_the_key_is_generated_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """The first use makes the key; later ones read it; nobody else can."""
    first = load_key(tmp_path, None)

    assert load_key(tmp_path, None) == first
    assert len(first) == 64
    assert stat.S_IMODE((tmp_path / "people.key").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["people.key"]


def test_two_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    """Whoever is first wins, and everybody reads the same whole key."""
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_key(tmp_path, None), range(32)))

    assert len(keys) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["people.key"]


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    """A key from the environment is used as it is, and no file is written."""
    assert load_key(tmp_path, "e" * 32) == b"e" * 32
    assert list(tmp_path.iterdir()) == []


def test_a_short_key_is_refused_without_being_told(tmp_path: Path) -> None:
    """A key that could be guessed is a mistake; the message does not repeat it."""
    with pytest.raises(ConfigError, match="PACELINE_PEOPLE_KEY: the key is too short") as caught:
        load_key(tmp_path, "hunter2")

    assert "hunter2" not in str(caught.value)
