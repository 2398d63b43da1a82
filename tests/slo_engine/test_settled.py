"""What is kept of a service's settled past: marks, and which commits stay open."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from collector.events import Commit, Deployment, Result
from slo_engine.indicator import Asked
from slo_engine.indicators import delivery
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents
from slo_engine.settled import Marks, Settling, decoded, mark, marks, text_mark, text_marks

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTLING = Settling(kept=1, open_for=timedelta(0), dormant_after=timedelta(days=30))


def sha(name: str) -> str:
    """The id of a commit of that name."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def commit(name: str, day: int, *parents: str, line: bool = True) -> Commit:
    """A commit, on the default branch's line unless said."""
    when = START + timedelta(days=day)
    return Commit(
        source="git",
        native_id=name,
        repository="o/shop",
        sha=sha(name),
        parents=tuple(map(sha, parents)),
        authored_at=when,
        committed_at=when,
        on_default_branch=line,
    )


def release(name: str, day: int) -> Deployment:
    """A deployment of a commit to production."""
    return Deployment(
        source="cd",
        native_id=name,
        service="shop",
        environment="production",
        repository="o/shop",
        result=Result.SUCCESS,
        sha=sha(name),
        finished_at=START + timedelta(days=day, hours=1),
    )


LINE = [commit("0", 0), *(commit(str(day), day, str(day - 1)) for day in range(1, 60))]
RELEASES = [release(str(day), day) for day in range(60)]


def open_commits(*branch: Commit) -> list[str]:
    """The commits that stay open for a service whose last settled deployment is of day 58."""
    events = PlainEvents([*LINE, *RELEASES, *branch])
    [piece] = delivery.settling(SETTLING)(events, Organisation(), Asked())
    state = decoded(piece.state)
    assert state is not None
    return [row[0] for row in state.repositories["o/shop"].open_commits]


def packed(*numbers: int) -> bytes:
    """Marks as they are kept."""
    return Marks().joined(np.array(numbers, dtype=np.uint64))


def test_more_marks_find_their_places() -> None:
    """Below, between and above those that are there, in order and each once."""
    more = np.array([8, 2**64 - 1, 9, 1, 8], dtype=np.uint64)

    assert Marks(packed(7, 9)).joined(more) == np.array([1, 7, 8, 9, 2**64 - 1], dtype=np.uint64).tobytes()


def test_marks_are_found_again() -> None:
    """A mark of the set is found among others, the greatest that fits into 64 bits too."""
    assert Marks(packed(7, 2**64 - 1, 9)).among([1, 2**64 - 1])


def test_other_marks_are_not_found() -> None:
    """Marks below, between and above those of a set are not in it."""
    assert not Marks(packed(7, 9)).among([6, 8, 10])


def test_nothing_is_in_an_empty_set() -> None:
    """A set without marks has none of any."""
    assert not Marks().among([0, 2**64 - 1])


def test_the_beginning_of_an_id_is_found() -> None:
    """A commit id is known by its first digits."""
    assert Marks(packed(mark(sha("1")))).begins(sha("1")[:7])


def test_the_beginning_of_another_id_is_not_found() -> None:
    """Digits with which no id begins are not known, whatever stands around them."""
    assert not Marks(packed(mark("a" * 40), mark("c" * 40))).begins("b")


@pytest.mark.parametrize("ids", [[], ["a" * 40, "b" * 40], ["a" * 40, "b" * 64], ["0123456789abcdef"]])
def test_many_ids_have_the_marks_that_each_has(ids: list[str]) -> None:
    """Of one length or of several, as where a repository has changed its kind of ids."""
    assert marks(ids).tolist() == [mark(identity) for identity in ids]


@pytest.mark.parametrize("texts", [[], ["1.2.0", "größer", ""], ["a\0b", "c"], ["\ud800"]])
def test_many_texts_have_the_marks_that_each_has(texts: list[str]) -> None:
    """Also one that holds the character 0, and one that is no whole character."""
    assert text_marks(texts) == {text_mark(text) for text in texts}


def test_a_branch_that_sleeps_is_set_aside() -> None:
    """Commits of a branch that nobody touched for a month do not stay open."""
    branch = commit("old", 20, "10", line=False), commit("older", 19, "10", line=False)

    assert open_commits(*branch) == [sha("59")]


def test_a_branch_sleeps_as_a_whole() -> None:
    """What a younger commit of its branch stands on stays open with it, however old it is."""
    branch = commit("old", 20, "10", line=False), commit("young", 40, "old", line=False)

    assert sorted(open_commits(*branch)) == sorted([sha("59"), sha("old"), sha("young")])
