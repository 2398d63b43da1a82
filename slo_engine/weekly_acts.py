"""Who did something in which week, carried on from one derivation to the next. Pure. Times are integer microseconds.

A week is Monday 00:00 to Monday 00:00 UTC. Of the last weeks it is kept when everybody was first active; of all acts
only a mark, by which one that was known otherwise before is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from slo_engine.headcount import WEEK, next_monday
from slo_engine.settled import Marks, text_mark

_OPEN_WEEKS = 8
"""So many of the last weeks with acts stay open: acts that are told of less late than this cost nothing old."""
_BEGINNING, _NEVER = -(2**62), 2**62
_ID = 8
"""So many hex digits of an act's id are in its mark; two that share them cost time and nothing else."""


_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Times a number, its upper half differs wherever the number does but for one in four billion."""
_HALF = np.uint64(32)


@dataclass(frozen=True)
class Acts:
    """What people did, in columns: there are millions. `who`: of each act whose it is, as a place in `whose`.

    `whose`: a person and the source that tells of them; the person is empty where it was nobody who counts. `at` are
    microseconds.
    """

    ids: Sequence[str]
    who: NDArray[np.int64]
    at: NDArray[np.int64]
    whose: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, ids: Sequence[str], people: Sequence[str], at: Sequence[int], sources: Sequence[str]) -> Acts:
        """The acts of columns of one length."""
        places: dict[tuple[str, str], int] = {}
        who = [places.setdefault(one, len(places)) for one in zip(people, sources, strict=True)]
        return cls(ids, np.array(who, dtype=np.int64), np.array(at, dtype=np.int64), list(places))

    def taken(self, where: NDArray[np.bool_]) -> Acts:
        """Some of them."""
        ids = [self.ids[n] for n in np.flatnonzero(where).tolist()]
        return Acts(ids, self.who[where], self.at[where], self.whose)

    def of_somebody(self) -> Acts:
        """Those of people who count."""
        counts = np.array([bool(person) for person, _ in self.whose], dtype=bool)
        return self if counts.all() else self.taken(counts[self.who])


Who = tuple[str, int, str]
"""A person, the end of a week, and the source that tells of them."""


class Changed(NamedTuple):
    """What new acts change: when some were first active in a week, and when (with the person) some were said to be."""

    first: Mapping[Who, int]
    reopened: frozenset[tuple[int, str]]
    state: bytes


class _State(msgspec.Struct, array_like=True, frozen=True):
    """The first acts since `monday`, as (person, source, time), and the marks of all acts."""

    monday: int
    first: list[tuple[str, str, int]]
    known: bytes


def weekly(acts: Acts) -> dict[Who, int]:
    """When everybody was first active in each week."""
    own = acts.of_somebody()
    ends = next_monday(own.at + 1)
    order = np.lexsort((own.at, ends, own.who))
    who, end = own.who[order], ends[order]
    first = np.ones(order.size, dtype=bool)
    first[1:] = (who[1:] != who[:-1]) | (end[1:] != end[:-1])
    found = zip(who[first].tolist(), end[first].tolist(), own.at[order][first].tolist(), strict=True)
    return {(own.whose[n][0], monday, own.whose[n][1]): at for n, monday, at in found}


def settled(acts: Acts, first: Mapping[Who, int]) -> bytes:
    """What all acts, with what `weekly` says of them, can be carried on from."""
    return _packed(_BEGINNING, first, Marks().joined(_marks(acts.of_somebody())))


def carried_on(packed: bytes, acts: Acts) -> Changed | None:
    """What acts change that are new or were written again; None where that cannot be told without all the others."""
    state = msgspec.msgpack.decode(packed, type=_State)
    known, marks = Marks(state.known), _marks(acts)
    new = acts.taken(np.array([not known.among([mark]) for mark in marks.tolist()], dtype=bool))
    own = new.of_somebody()
    if (own.at < state.monday).any() or any(known.begins(identity[:_ID]) for identity in new.ids):
        return None
    first = {(person, next_monday(at + 1), source): at for person, source, at in state.first}
    before = dict(first)
    for who, at in weekly(own).items():
        first[who] = min(at, first.get(who, at))
    differing = {who for who, at in first.items() if before.get(who) != at}
    reopened = frozenset((before[who], who[0]) for who in differing if who in before)
    # What another source tells of the same moment is reopened with it.
    changed = {who: at for who, at in first.items() if who in differing or (at, who[0]) in reopened}
    return Changed(
        changed, reopened, _packed(state.monday, first, known.joined(_marks(own)) if new.ids else state.known)
    )


def _packed(monday: int, first: Mapping[Who, int], known: bytes) -> bytes:
    """A state of which the last weeks are open."""
    weeks = sorted({week for _, week, _ in first})
    if len(weeks) > _OPEN_WEEKS:
        monday = max(monday, weeks[-_OPEN_WEEKS] - WEEK)
    kept = sorted((person, source, at) for (person, _, source), at in first.items() if at >= monday)
    return msgspec.msgpack.encode(_State(monday, kept, known))


def _marks(acts: Acts) -> NDArray[np.uint64]:
    """The marks of acts as they are told: what is told otherwise has another one, which begins alike."""
    ids = np.frombuffer(bytes.fromhex("".join([identity[:_ID] for identity in acts.ids])), dtype=">u4")
    whose = np.array([text_mark(f"{person}\0{source}") for person, source in acts.whose], dtype=np.uint64)
    told = whose[acts.who] ^ (acts.at.astype(np.uint64) * _SPREAD >> _HALF)
    return ids.astype(np.uint64) << _HALF | told
