"""Who did something in which week, carried on from one derivation to the next. Pure. Times are integer microseconds.

A week is Monday 00:00 to Monday 00:00 UTC. Of the last weeks it is kept when everybody was first active; of all acts
only a mark, by which one that was known otherwise before is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


class Act(NamedTuple):
    """Something that somebody did; `person` is empty where it was nobody who counts."""

    id: str
    person: str
    at: int
    source: str


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


def weekly(acts: Iterable[Act]) -> dict[Who, int]:
    """When everybody was first active in each week."""
    first: dict[Who, int] = {}
    for _, person, at, source in acts:
        if person:
            who = person, next_monday(at + 1), source
            if at < first.get(who, _NEVER):
                first[who] = at
    return first


def settled(acts: Sequence[Act], first: Mapping[Who, int]) -> bytes:
    """What all acts, with what `weekly` says of them, can be carried on from."""
    return _packed(_BEGINNING, first, Marks().joined(_marks(acts)))


def carried_on(packed: bytes, acts: Sequence[Act]) -> Changed | None:
    """What acts change that are new or were written again; None where that cannot be told without all the others."""
    state = msgspec.msgpack.decode(packed, type=_State)
    known = Marks(state.known)
    new = [act for act in acts if not known.among([_mark(act)])]
    if any((act.person and act.at < state.monday) or known.begins(act.id[:_ID]) for act in new):
        return None
    first = weekly(Act("", person, at, source) for person, source, at in state.first)
    before = dict(first)
    for who, at in weekly(new).items():
        first[who] = min(at, first.get(who, at))
    differing = {who for who, at in first.items() if before.get(who) != at}
    reopened = frozenset((before[who], who[0]) for who in differing if who in before)
    # What another source tells of the same moment is reopened with it.
    changed = {who: at for who, at in first.items() if who in differing or (at, who[0]) in reopened}
    return Changed(changed, reopened, _packed(state.monday, first, known.joined(_marks(new)) if new else state.known))


def _packed(monday: int, first: Mapping[Who, int], known: bytes) -> bytes:
    """A state of which the last weeks are open."""
    weeks = sorted({week for _, week, _ in first})
    if len(weeks) > _OPEN_WEEKS:
        monday = max(monday, weeks[-_OPEN_WEEKS] - WEEK)
    kept = sorted((person, source, at) for (person, _, source), at in first.items() if at >= monday)
    return msgspec.msgpack.encode(_State(monday, kept, known))


def _marks(acts: Iterable[Act]) -> NDArray[np.uint64]:
    """The marks of the acts of somebody."""
    own = [act for act in acts if act.person]
    ids = np.frombuffer(bytes.fromhex("".join([act.id[:_ID] for act in own])), dtype=">u4").astype(np.uint64)
    return ids << np.uint64(32) | np.array([_told(act) for act in own], dtype=np.uint64)


def _mark(act: Act) -> int:
    """The mark of an act as it is told: what is told otherwise has another one, which begins alike."""
    return int(act.id[:_ID], 16) << 32 | _told(act)


def _told(act: Act) -> int:
    return text_mark(f"{act.person}\0{act.at}\0{act.source}")
