"""How far somebody has come since they joined, and what that was judged by. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from collector.events import MilestoneKind
from collector.patterns import Pattern
from slo_engine.acts import NEVER
from slo_engine.episodes import Episode


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What of the options says whom to look at, and at what. Durations in microseconds."""

    tutorials: tuple[Pattern, ...]
    rehire_gap: int
    bulk_share: float
    bulk_span: int
    known_for: int
    first_activity: bool
    end: Callable[[Episode], int]
    """When an episode is no longer followed."""


class Reached(NamedTuple):
    """A milestone that was reached: when, by which events, how that is known, from which source."""

    at: int
    evidence: tuple[str, ...]
    rule: str
    source: str


class Progress(NamedTuple):
    """An episode and the milestones that were reached in it.

    `sources`: whose word it is, beside the roster's, that a milestone was not reached. `events` are those that decided.
    """

    episode: Episode
    reached: Mapping[MilestoneKind, Reached]
    sources: Mapping[MilestoneKind, frozenset[str]]
    events: frozenset[str]


@dataclass
class Known:
    """What a person was judged by: read from, and kept as, the words of their piece."""

    repositories: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    until: int = NEVER
    """Until when what anybody does where they work can say something else of them."""
    running: int = NEVER
    """Until when their own pipeline runs can."""
    end: int = NEVER
    by: str = ""
    unsure: bool = False
    """Whether nobody looked up what is deployed from their repositories, because nothing was to be judged."""

    @classmethod
    def of(cls, words: Iterable[str]) -> Known:
        """From the words of a piece."""
        texts: dict[str, set[str]] = defaultdict(set)
        for word in words:
            kind, _, text = word.partition(":")
            texts[kind].add(text)
        places = texts["repository"], texts["service"], texts["event"]
        until, running, end = (int(min(texts[name], default=NEVER)) for name in ("until", "running", "end"))
        return cls(*places, until, running, end, min(texts["by"], default=""), "unsure" in texts)

    @property
    def words(self) -> tuple[str, ...]:
        """The words to keep."""
        kinds = (("repository", self.repositories), ("service", self.services), ("event", self.events))
        found = [f"{kind}:{text}" for kind, texts in kinds for text in texts]
        found += ["unsure:"] if self.unsure else []
        times = (f"until:{self.until}", f"running:{self.running}", f"end:{self.end}")
        return tuple(sorted([*found, *times, f"by:{self.by}"]))


@dataclass
class Person:
    """Somebody while they are looked at."""

    episodes: list[Episode]
    known: Known
    fresh: set[str] = field(default_factory=set)
    """Repositories of which nobody looked up yet which services are deployed from them."""
    scan: bool = True
    """Whether it is still to be found out where they work."""
    first: dict[str, int] = field(default_factory=dict)
    """For each repository when they first did something there."""
    runs: dict[int, Reached] = field(default_factory=dict)
    """For each episode's start the first green run."""
    merged: dict[int, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))
    """For each episode's start the merged changes: time, id, source."""
    deployed: dict[int, Reached] = field(default_factory=dict)
    delivering: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """For each episode's start the sources of the deployments where they work."""
