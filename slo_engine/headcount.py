"""Who was on the roster when, and in which team. Pure. Times are integer microseconds since 1970 UTC."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from collector.conditions import Above
from collector.events import Member
from slo_engine.indicator import Events
from slo_engine.organisation import Organisation

WEEK = 7 * 86_400_000_000
_MONDAY = 4 * 86_400_000_000
"""The first Monday of 1970, 00:00 UTC."""
Time = TypeVar("Time", int, NDArray[np.int64])


class Stay(NamedTuple):
    """A stay on the roster; `left_at` is None while it lasts."""

    started_at: int
    id: str
    source: str
    left_at: int | None
    team: str
    developer: bool


@dataclass(frozen=True)
class Roster:
    """Everybody's stays, by person and in the order of their starts. `known_at`: the newest time that it tells of."""

    stays: Mapping[str, Sequence[Stay]] = field(default_factory=dict)
    known_at: int = 0

    def stay(self, person: str | None, at: int) -> Stay | None:
        """Where somebody was at a time: the stay that began last, of those that had not ended."""
        own = self.stays.get(person or "", ())
        return next((s for s in reversed(own) if s.started_at <= at and (s.left_at is None or at < s.left_at)), None)

    def developers(self, until: int) -> Iterator[tuple[int, Mapping[str, Counter[str]]]]:
        """At the beginning of each week, Monday 00:00 UTC, up to a time: by team the developers' stays, by id."""
        first = min((s.started_at for stays in self.stays.values() for s in stays), default=until)
        for monday in range(next_monday(first), until + 1, WEEK):
            teams: dict[str, Counter[str]] = defaultdict(Counter)
            for person in self.stays:
                stay = self.stay(person, monday)
                if stay is not None and stay.developer:
                    teams[stay.team][stay.id] += 1
            yield monday, teams


def next_monday(at: Time) -> Time:
    """The first Monday 00:00 UTC from a time on, or from each of some times."""
    return at + (_MONDAY - at) % WEEK


def read_roster(events: Events, organisation: Organisation) -> Roster:
    """The roster without bots."""
    stays: dict[str, list[Stay]] = defaultdict(list)
    known_at = 0
    columns = ("person", "started_at", "id", "source", "left_at", "team", "codes", "bot", "entered_at", "updated_at")
    for person, start, key, source, left, team, codes, bot, *noted in events.columns(Member, *columns):
        known_at = max(known_at, start, *(t for t in (left, *noted) if t is not None))
        someone = organisation.identities.person(person)
        if someone is not None and not organisation.identities.is_bot(person, flagged=bool(bot)):
            stays[someone].append(Stay(start, key, source, left, team_path(team), bool(codes)))
    return Roster({person: sorted(own) for person, own in sorted(stays.items())}, known_at)


def changed_people(events: Events, organisation: Organisation, revision: int) -> set[str]:
    """Whose stays events after a revision may change."""
    accounts = {a for (a,) in events.columns(Member, "person", revision=Above(revision))}
    return {organisation.identities.person(a) or a for a in accounts.union(events.moved(Member, revision))}


def team_path(team: str | None) -> str:
    """A team as a path with one slash in front; empty where unknown."""
    parts = [p for p in (team or "").split("/") if p]
    return "/" + "/".join(parts) if parts else ""
