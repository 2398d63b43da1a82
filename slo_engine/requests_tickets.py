"""Tickets as helps in place of self-service: which journey they ask for, and what they are linked with. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple, Protocol

import msgspec

from collector.conditions import Where
from collector.events import Ticket
from collector.patterns import any_matches, patterns
from slo_engine.indicator import Events
from slo_engine.name_rules import NameRules
from slo_engine.organisation import Organisation
from slo_engine.requests_options import JourneyOptions


class Call(NamedTuple):
    """A ticket as the arithmetic needs it, a call for help: `journey` is what it asks for, empty where unknown."""

    created_at: int
    id: str
    source: str
    native_id: str
    url: str | None
    journey: str
    author: str | None
    team: str | None
    bot: bool
    links: tuple[str, ...]

    @property
    def names(self) -> Iterator[str]:
        """What links may call it. A bare number means something else in every system."""
        return (n for n in (self.url, self.native_id) if n and not n.isdigit())


_COLUMNS = (
    *("created_at", "id", "source", "native_id", "url", "queue", "type", "journey", "labels", "author"),
    *("author_team", "links"),
)
_TEXTS = msgspec.json.Decoder(tuple[str, ...])


def read_calls(
    events: Events, organisation: Organisation, queues: NameRules, journeys: Iterable[JourneyOptions], **where: Where
) -> list[Call]:
    """The tickets of the platform's queues, all where no rule names these, in the order of their creation."""
    ours, rules = patterns(queues), [(j.name, tuple(map(patterns, j.rules))) for j in journeys if any(j.rules)]

    @cache
    def asks(queue: str, kind: str | None, labels: str) -> str:
        own = _texts(labels) or ("",)
        fitting = (
            name
            for name, (queues, types, wanted) in rules
            if (not queues or any_matches(queues, queue))
            and (not types or any_matches(types, kind or ""))
            and (not wanted or any(any_matches(wanted, label) for label in own))
        )
        return next(fitting, "")

    found: list[Call] = []
    for row in events.columns(Ticket, *_COLUMNS, **where):
        at, key, source, native_id, url, queue, kind, journey, labels, author, team, links = row
        if ours and not any_matches(ours, queue):
            continue
        wanted = journey or asks(queue, kind, labels)
        bot = organisation.identities.is_bot(author)
        person = organisation.identities.person(author)
        found.append(Call(at, key, source, native_id, url, wanted, person, team, bot, _texts(links)))
    return sorted(found)


def _texts(text: str) -> tuple[str, ...]:
    return _TEXTS.decode(text) if text else ()


class Linked(Protocol):
    """What tickets may be linked with: an attempt, a deployment."""

    @property
    def names(self) -> Iterator[str]:
        """What the links of tickets may call it."""

    @property
    def links(self) -> tuple[str, ...]:
        """What it is linked with itself."""


@dataclass(frozen=True)
class Calls:
    """Tickets in the order of their creation, by what they are called, linked with, and by whom they are."""

    all: tuple[Call, ...]

    @cached_property
    def _called(self) -> Mapping[str, list[Call]]:
        return _by((name, call) for call in self.all for name in call.names)

    @cached_property
    def _linked(self) -> Mapping[str, list[Call]]:
        return _by((link, call) for call in self.all for link in call.links)

    @cached_property
    def _asking(self) -> Mapping[str, list[Call]]:
        return _by((call.journey, call) for call in self.all)

    def linked(self, one: Linked) -> list[Call]:
        """The tickets that name something, or that it names, in order."""
        found = {c for name in one.names for c in self._linked.get(name, ())}
        return sorted(found.union(*(self._called.get(link, ()) for link in one.links)))

    def asking(self, journey: str) -> list[Call]:
        """The tickets that ask for a journey, in order."""
        return self._asking.get(journey, [])


def _by(pairs: Iterable[tuple[str, Call]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for key, call in pairs:
        found[key].append(call)
    return found
