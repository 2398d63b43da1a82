"""Who did something first in a repository and when, kept from one look to the next. Pure.

Without a roster that is when somebody's onboarding began. Of all that was ever done in a repository the first act of
each actor is kept, with its id. What is new can only come before it; what becomes of that act has all of them read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from slo_engine.acts import NEVER, Act, Group, first_acts
from slo_engine.indicator import Asked, Events, Piece

_ACTS = "acts:"
"""What the scopes of repositories begin with; those of people are as these are called."""
_KEPT = ("kept",)
"""What a piece reads whose state says what is so."""
_PACKED = msgspec.msgpack.Decoder(list[tuple[str | None, bool, str, int, str]])

First = dict[Group, tuple[int, str]]
"""The first act of each actor: when, in microseconds, and its id."""


class Differing(NamedTuple):
    """What is otherwise in a repository: whether its beginning is, and whose first act is another one, or gone."""

    repository: str
    begun: bool
    groups: frozenset[Group]


def is_person(scope: str) -> bool:
    """Whether a piece is somebody's, and not a repository's."""
    return not scope.startswith(_ACTS)


def nothing_kept(asked: Asked) -> Iterator[Piece]:
    """The pieces of repositories where nobody will keep them up to date from now on."""
    return (Piece(scope, ()) for scope, reads in sorted(asked.known.items()) if reads == _KEPT and not is_person(scope))


class FirstActs:
    """The first acts in each repository that is asked for."""

    def __init__(self, events: Events, asked: Asked) -> None:
        self._events, self._asked = events, asked
        self._before: dict[str, First | None] = {}
        self._now: dict[str, First] = {}
        self._told: set[str] = set()

    def of(self, repository: str) -> Mapping[Group, tuple[int, str]]:
        """The first acts in a repository."""
        return self._of(repository)

    def tell(self, repository: str, acts: Iterable[Act]) -> None:
        """Hear of acts that are new in a repository, or told otherwise."""
        first = self._of(repository)
        self._told.add(repository)
        ids = {id_ for _, id_ in first.values()}
        for act in acts:
            group, told = (act.actor, bool(act.bot), act.others), (act.at, act.id)
            if act.id in ids and first.get(group) != told:
                self.look_again(repository)
                return
            if act.at != NEVER and told < first.get(group, (NEVER, "")):
                first[group] = told
                ids.add(act.id)

    def look_again(self, repository: str) -> None:
        """Read all acts in a repository: one is gone."""
        self._of(repository)
        self._told.add(repository)
        self._now[repository] = first_acts(self._events, repository)

    def _of(self, repository: str) -> First:
        if repository not in self._now:
            scope = _ACTS + repository
            packed = self._asked.state(scope) if self._asked.known.get(scope) == _KEPT else None
            rows = None if packed is None else _PACKED.decode(packed)
            kept = None if rows is None else {(who, bot, others): (at, id_) for who, bot, others, at, id_ in rows}
            self._before[repository] = kept
            self._now[repository] = first_acts(self._events, repository) if kept is None else dict(kept)
        return self._now[repository]

    def differing(self) -> Iterator[Differing]:
        """What is otherwise than it was kept."""
        for repository in sorted(self._told):
            before, now = self._before[repository], self._now[repository]
            if before != now:
                old = before or {}
                groups = frozenset(g for g in old.keys() | now.keys() if old.get(g) != now.get(g))
                yield Differing(repository, min(old.values(), default=None) != min(now.values(), default=None), groups)

    def pieces(self) -> Iterator[Piece]:
        """What is to be kept of each repository with new acts; at the first look of all."""
        # Of others acts may be known by now of which nobody was told, and by which nobody was judged.
        for repository in sorted(self._now if self._asked.since is None else self._told):
            now = self._now[repository]
            if self._before[repository] != now:
                packed = msgspec.msgpack.encode([(*group, at, id_) for group, (at, id_) in now.items()])
                yield Piece(_ACTS + repository, (), reads=_KEPT, state=packed)
