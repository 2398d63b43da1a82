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
from collector.people import People, is_bot, load_key, normal_form

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


def test_an_address_with_a_bots_name_in_it_is_a_persons() -> None:
    """Somebody who marks what a bot sends them is no bot."""
    assert not is_bot("tom+renovate@x.example")


def test_more_bots_can_be_told() -> None:
    """An organisation's own rule is asked for the account, whatever the case and the form of its address."""
    people = People(KEY, lambda account: account.startswith("ci-"))

    assert [people.is_bot(n) for n in ("CI-deploy", "7+ci-deploy@users.noreply.x", "ci-a@x.example", "renovate")] == [
        True
    ] * 4
    assert not people.is_bot("ada", "ada@ci-x.example")


@given(st.text(), st.text())
def test_a_hash_hides_whom_it_stands_for(name: str, other: str) -> None:
    """Generate hostile names: a hash has one shape, is stable, and tells different people apart."""
    people = People(KEY)

    hashed = people.hashed(name)

    assert re.fullmatch(r"person:[0-9a-f]{32}", hashed)
    assert hashed == People(KEY).hashed(name)
    assert (hashed == people.hashed(other)) == (normal_form(name) == normal_form(other))


@pytest.mark.parametrize(
    ("written", "same"),
    [
        (" Ada@X.Example\n", "ada@x.example"),
        ("\uff21da", "ada"),  # a full-width letter
        ("Jo\u0308rg", "j\u00f6rg"),  # an accent as a character of its own
        ("STRASSE", "stra\u00dfe"),
        ("123+Ada@users.noreply.forge.example", "ada"),
        ("Ada@users.noreply.forge.example", "ada"),
        ("17-ada@users.noreply.forge.example", "ada"),
        ("ada@noreply.forge.example", "ada"),
        ("17-ada@users.noreply.github.com", "17-ada"),
        ("9+17-ada@users.noreply.github.com", "17-ada"),
    ],
)
def test_trap_123_one_account_is_one_hash_however_it_is_written(written: str, same: str) -> None:
    """A `123+name@users.noreply` is the account `name`; case and Unicode form do not matter."""
    people = People(KEY)

    assert people.hashed(written) == people.hashed(same)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@x.example", "ada@y.example"),
        ("ada", "ada@x.example"),
        ("ada+tests@x.example", "ada@x.example"),
        ("123+ada@x.example", "ada"),
        ("noreply@x.example", "x.example"),
    ],
)
def test_trap_123_other_addresses_are_other_people(one: str, other: str) -> None:
    """Only the exact address or account is the same person: nothing is guessed from parts of it."""
    assert People(KEY).hashed(one) != People(KEY).hashed(other)


def test_trap_123_a_display_name_is_nobodys_account() -> None:
    """Never merged by display name: somebody called Ada is not the account `ada`."""
    people = People(KEY)

    assert people.named("Ada") != people.hashed("ada")
    assert people.named("Ada") == people.named(" ada")


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
