"""Finds people in texts, and keeps them out of what is shown: mail addresses, keys, names and logins somebody has.

A word is somebody's where its keyed hash is that of a person the store knows, so that no list of names is needed.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args
from urllib.parse import unquote

import msgspec

from collector.conditions import Above
from collector.events import EVENT_TYPES, Event, NonEmpty, kind_of, person_fields
from collector.people import People
from collector.store import Database, EventStore
from slo_engine.identities import Identities

MASK = "…"
_MAIL = re.compile(r"(?<![^\W_])(?!git@)[^\W_](?:[\w.+-]*\w)?@[^\W_](?:[\w-]*\w)?(?:\.[^\W_](?:[\w-]*\w)?)+")
_KEY = re.compile(r"person:[0-9a-f]{3,32}")
_HASHED = re.compile(r"person:[0-9a-f]{32}")
_WORD = re.compile(r"[^\W_](?:[\w.+'-]*[^\W_])?")
_PART = re.compile(r"[^\W_]+")
_NO_NAME = re.compile(r"\d[\d.:+-]*(?:[eET][+-]?\d[\d.:]*)?[a-zA-Z]?|[0-9a-f]{16,}")
"""Numbers, times and ids of events and commits."""
_PAIR = re.compile(r"(?<!\w)([^\W\d_][\w.'-]*),? {1,2}(?=([^\W\d_](?:[\w.'-]*\w)?))")
_BETWEEN = '"'
"""Nothing that is looked for reaches over it, nor over the end of a line: the texts between stand by themselves."""
_JOINTS = (" ", ".", "-", "_", "")
_SHORTEST, _MOST_PARTS = 3, 8
_ESCAPED = re.compile(r"\\u[0-9a-fA-F]{4}")


def _nothing(_text: str) -> bool:
    return False


def without_addresses(text: str, public: Callable[[str], bool] = _nothing) -> str:
    """A text in which each mail address is masked, but for those that are nobody's."""
    return _MAIL.sub(lambda m: m[0] if public(m[0]) else MASK, text) if "@" in text else text


# --- who is known ------------------------------------------------------------------------------------------------


class KnownPeople:
    """The people whom the store and the reviewed files know, as keyed hashes. Asked again it reads what is new."""

    def __init__(self, events: EventStore, identities: Identities) -> None:
        self._events, self._identities = events, identities
        self._seen: dict[str, int] = {}
        self._people: set[str] = set()
        self._bots: set[str] = set()

    def accounts(self) -> frozenset[str]:
        """The accounts that events name, as hashes, without those of bots."""
        revisions = self._events.revisions()
        for event_type in EVENT_TYPES:
            kind = kind_of(event_type)
            now, before = revisions.get(kind, 0), self._seen.get(kind, 0)
            if now > before:
                self._read(event_type, before)
                self._seen[kind] = now
        bots = (self._bots | self._identities.bots) - self._identities.humans
        return frozenset(self._people - bots)

    def everybody(self) -> frozenset[str]:
        """The accounts, and those that only the reviewed files name."""
        said = {*self._identities.people, *self._identities.people.values(), *self._identities.humans}
        return self.accounts() | said

    def _read(self, event_type: type[Event], since: int) -> None:
        """Note the people of the events after a revision. Their columns have no index: each is read as a whole."""
        new = Above(since)
        for name in _columns_of_people(event_type):
            texts = {text for (text,) in self._events.columns(event_type, name, revision=new) if text}
            self._people.update(one for text in texts for one in _HASHED.findall(text))
        if "bot" in event_type.__struct_fields__:
            for name in person_fields(event_type)[:1]:
                rows = self._events.columns(event_type, name, bot=1, revision=new)
                self._bots.update(one for (one,) in rows if one is not None)


@cache
def _columns_of_people(event_type: type[Event]) -> tuple[str, ...]:
    """The columns in which an event names people, also those of records inside it."""
    nested = (f.name for f in msgspec.structs.fields(event_type) if any(map(person_fields, _structs(f.type))))
    return (*person_fields(event_type), *nested)


def _structs(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for inner in get_args(annotation):
        yield from _structs(inner)


# --- what a text says of them ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Something of a person in a text: what, and from where to where."""

    what: str
    start: int
    end: int


@dataclass
class Search:
    """Looks for people in texts.

    `known` are the keyed hashes of people; `domains` are what addresses end with, so that the part before is found by
    itself; `public` says of a word or an address that it is nobody's.
    """

    people: People
    known: Collection[str]
    domains: Sequence[str] = ()
    public: Callable[[str], bool] = _nothing
    _words: dict[str, bool] = field(default_factory=dict, repr=False)
    _clean: set[str] = field(default_factory=set, repr=False)

    def anybody(self, text: str) -> bool:
        """Whether a text says something of people, as `hits` would. What was in other texts is not looked at again."""
        pieces = set(text.replace(_BETWEEN, "\n").split("\n")) - self._clean
        if self.hits("\n".join(pieces)):
            return True
        self._clean |= pieces
        return False

    def hits(self, text: str) -> list[Hit]:
        """What a text says of people, in its order; where hits overlap, the longest."""
        found = [Hit(what="a mail address", start=m.start(), end=m.end()) for m in _MAIL.finditer(text)]
        found = [hit for hit in found if not self.public(text[hit.start : hit.end])]
        found += [Hit(what="the key of a person", start=m.start(), end=m.end()) for m in _KEY.finditer(text)]
        # Texts are long and say the same again and again: each word is looked at once, and most are nobody's.
        theirs = {word: places for word in set(_WORD.findall(text)) if (places := self._places(word))}
        for one in _WORD.finditer(text) if theirs else ():
            places = theirs.get(one[0], [])
            found += [Hit(what="a login or a name", start=one.start() + a, end=one.start() + b) for a, b in places]
        names = {pair for pair in set(_PAIR.findall(text)) if self._are(*pair)}
        for both in _PAIR.finditer(text) if names else ():
            if both.groups() in names:
                found.append(Hit(what="a name of two words", start=both.start(), end=both.end(2)))
        return list(_apart(found))

    def _places(self, word: str) -> list[tuple[int, int]]:
        """Where in a word somebody stands."""
        return [(a, b) for a, b in _parts(word) if self._is(word[a:b])]

    def masked(self, text: str) -> str:
        """The text without what it says of people."""
        for hit in reversed(self.hits(text)):
            text = text[: hit.start] + MASK + text[hit.end :]
        return text

    def _is(self, word: str) -> bool:
        known = self._words.get(word)
        if known is None:
            known = self._words[word] = self._found(word)
        return known

    def _found(self, word: str) -> bool:
        if len(word) < _SHORTEST or _NO_NAME.fullmatch(word) or self.public(word):
            return False
        addresses = (f"{word}@{domain}" for domain in self.domains)
        hashes = (self.people.named(word), *map(self.people.hashed, (word, *addresses)))
        return any(one in self.known for one in hashes)

    def _are(self, first: str, second: str) -> bool:
        """Whether two words are a name, in one order or the other, or what a login is made of."""
        both = f"{first}\0{second}"
        known = self._words.get(both)
        if known is None:
            known = self._words[both] = any(map(self._pair, ((first, second), (second, first))))
        return known

    def _pair(self, names: tuple[str, str]) -> bool:
        joined = [joint.join(names) for joint in _JOINTS]
        addresses = (f"{one}@{domain}" for one in joined[1:] for domain in self.domains)
        hashes = (*map(self.people.named, joined[:1]), *map(self.people.hashed, (*joined, *addresses)))
        return not any(map(self.public, joined)) and any(one in self.known for one in hashes)


@cache
def _parts(word: str) -> tuple[tuple[int, int], ...]:
    """The places of a word and of its parts: `new-ada.l` holds `ada`, `ada.l` and `new-ada` as well."""
    parts = [(m.start(), m.end()) for m in _PART.finditer(word)][:_MOST_PARTS]
    inside = {(a, b) for i, (a, _) in enumerate(parts) for _, b in parts[i:]}
    return tuple(sorted({(0, len(word)), *inside}))


def _apart(hits: Iterable[Hit]) -> Iterator[Hit]:
    """Hits that do not overlap: the longest of those that do."""
    taken = 0
    for hit in sorted(hits, key=lambda h: (h.start, -h.end)):
        if hit.start >= taken:
            taken = hit.end
            yield hit


def plain(text: str) -> str:
    """A text as people read it: without the escapes of addresses, pages and JSON."""
    if "\\u" in text:
        text = _ESCAPED.sub(lambda m: json.loads(f'"{m[0]}"'), text)
    return html.unescape(unquote(text, errors="replace"))


# --- kept out of what is shown -----------------------------------------------------------------------------------

_NEVER_SHOWN = {
    "source",
    "native_id",
    "url",
    "title",
    "ref",
    "target",
    "source_branch",
    "target_branch",
    "artifact",
    "path",
}
"""Texts of events that are no part of a number: ids, and what only the source itself shows."""
_FREE_TEXT = ("version", "pipeline", "task")
"""Texts that a line about an event shows."""


@cache
def _shown(event_type: type[Event]) -> tuple[str, ...]:
    """The plain texts of an event that a label, a subject or a rule may be made of."""
    people = person_fields(event_type)
    fields = (f.name for f in msgspec.structs.fields(event_type) if f.type in {str, str | None, NonEmpty})
    return tuple(n for n in fields if n not in _NEVER_SHOWN and n not in people and not n.endswith("native_id"))


def with_no_address(event: Event, public: Callable[[str], bool]) -> Event:
    """An event whose names of services, teams, queues and the like hold no mail address: they would become labels."""
    changed = {
        name: without_addresses(text, public)
        for name in _shown(type(event))
        if (text := getattr(event, name)) is not None and "@" in text
    }
    return msgspec.structs.replace(event, **changed) if changed else event


class DiscreetEvents(EventStore):
    """The store of events; those that are looked up to be shown lead to nobody.

    An address of a page in which somebody's login stands is left out, and a version or a pipeline that is called like
    somebody is masked. Whoever is known is asked for anew each time: people come with events.
    """

    def __init__(
        self, database: Database, people: People, identities: Identities, public: Callable[[str], bool]
    ) -> None:
        super().__init__(database)
        self._people, self._public = people, public
        self.people = KnownPeople(self, identities)

    def find(self, ids: Sequence[str], among: Sequence[type[Event]] = EVENT_TYPES) -> dict[str, Event]:
        """The events with these ids, of some kinds, as they may be shown; unknown ids are absent."""
        found = super().find(ids, among)
        if not any(_speaks(event) for event in found.values()):
            return found
        search = Search(people=self._people, known=self.people.everybody(), public=self._public)
        return {event_id: _discreet(event, search) for event_id, event in found.items()}


def _speaks(event: Event) -> bool:
    """Whether a line about an event shows more than what it is."""
    return event.url is not None or any(getattr(event, name, None) for name in _FREE_TEXT)


def _discreet(event: Event, search: Search) -> Event:
    texts = {name: text for name in _FREE_TEXT if (text := getattr(event, name, None))}
    changed: dict[str, str | None] = {n: masked for n, text in texts.items() if (masked := search.masked(text)) != text}
    if event.url is not None and search.hits(plain(event.url)):
        changed["url"] = None
    return msgspec.structs.replace(event, **changed) if changed else event
