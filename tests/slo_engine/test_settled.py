"""What is kept of a service's settled past: marks, and which commits stay open."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace as replace_fields

from collector.events import Change, ChangeState, Commit, Deployment, Event, Result, Review, ReviewState
from collector.store import Database, DerivationStore, EventStore, ObservationRow, ObservationStore, Series
from slo_engine.derive import derive
from slo_engine.indicator import Asked, Events, Piece, families
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


REQUEST = Change(
    source="hub",
    native_id="o/shop#1",
    repository="o/shop",
    state=ChangeState.MERGED,
    first_commit_at=START + timedelta(days=57),
    created_at=START + timedelta(days=58),
    merged_at=START + timedelta(days=59),
    merge_sha=sha("59"),
    author="person:" + "a" * 32,
)


def test_of_an_open_request_nobody_is_kept() -> None:
    """A request that is not settled stays with the state, so that it need not be read again; its author does not."""
    [piece] = delivery.settling(SETTLING)(PlainEvents([*LINE, *RELEASES, REQUEST]), Organisation(), Asked())
    state = decoded(piece.state)

    assert state is not None
    assert [row[0] for row in state.repositories["o/shop"].open_requests] == [REQUEST.id]
    assert b"a" * 32 not in (piece.state or b"")


def review(hours: int) -> Review:
    """A review of the request by another human, so long after it was opened."""
    return Review(
        source="hub",
        native_id=f"review {hours}",
        repository="o/shop",
        change_native_id=REQUEST.native_id,
        author="person:" + "b" * 32,
        state=ReviewState.APPROVED,
        at=REQUEST.created_at + timedelta(hours=hours),
    )


def observed(folder: Path, *batches: Sequence[Event]) -> tuple[dict[Series, list[Any]], list[str]]:
    """The observations after writing some batches and deriving after each, and how the last pieces were derived."""
    database, family = Database.open(folder), next(f for f in families() if f.name == "delivery")
    told, derivations, ways = EventStore(database), DerivationStore(database), list[str]()

    def pieces(events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
        ways.clear()
        for piece in delivery.settling(SETTLING)(events, organisation, asked):
            ways.append("whole" if piece.after is None else "continued")
            yield piece

    for batch in batches:
        with database.transaction() as transaction:
            told.write(transaction, batch)
        derive([replace(family, pieces=pieces)], told, derivations, Organisation())
    store = ObservationStore(database)
    found = {s: store.window([n], -(2**62), 2**62, *ObservationRow._fields) for n, s in store.series().items()}
    database.close()
    return {series: sorted(rows) for series, rows in found.items() if rows}, ways


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([review(5)], id="the first review"),
        pytest.param([review(5), review(2)], id="an earlier one"),
        pytest.param([replace_fields(REQUEST, ready_at=START + timedelta(days=58, hours=3))], id="another version"),
    ],
)
def test_what_comes_later_of_an_open_request_counts(tmp_path: Path, later: list[Event]) -> None:
    """One after the other, judged each time from what was settled: as if all had been there at first."""
    first = [*LINE, *RELEASES, REQUEST, review(9)]
    one_by_one, ways = observed(tmp_path / "each", first, *([event] for event in later))
    at_once, _ = observed(tmp_path / "once", [*first, *later])

    assert ways == ["continued"]
    assert one_by_one == at_once
