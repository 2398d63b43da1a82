"""Looks through everything that leaves the process for people: what is published by which labels, and who is in it.

Words that Paceline says of nothing at all, of an empty store, are its own and nobody's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from collector.document import dump
from collector.people import People
from paceline.identity_files import Reviewed
from paceline.outputs import Output, Ways, unwatched
from paceline.privacy import MASK, Hit, KnownPeople, Search, plain
from paceline.resources import starter_slos
from paceline.wiring import Running, build, configuration
from slo_engine.identities import Identities

_SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)\{(.*)\} ", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_WORDS = re.compile(r"[^\W_]+")
_EXAMPLES, _MOST_FOUND = 3, 1_000
_READ_AROUND, _AROUND = 200, 30


@dataclass(frozen=True, kw_only=True)
class LabelUse:
    """A label of a metric: how many values it has, and some of them."""

    metric: str
    label: str
    values: int
    examples: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ChannelUse:
    """A way out of the process: how many texts take it, of how many characters."""

    channel: str
    texts: int
    characters: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """A person in a text that leaves the process. The excerpt is masked: it says where, and not who."""

    channel: str
    place: str
    what: str
    excerpt: str


@dataclass(frozen=True, kw_only=True)
class PeopleMapped:
    """Of how many accounts the reviewed files say whose they are."""

    accounts: int
    people_mapped: int

    @property
    def coverage(self) -> float | None:
        """Their share, 0 to 1; None where no account is known."""
        return self.people_mapped / self.accounts if self.accounts else None


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What leaves the process, and who is in it. `findings` are at most 1,000, of `total`."""

    people: PeopleMapped
    labels: tuple[LabelUse, ...]
    channels: tuple[ChannelUse, ...]
    findings: tuple[Found, ...] = ()
    total: int = 0

    @property
    def clean(self) -> bool:
        """Whether nobody was found."""
        return not self.total


def audited(
    running: Running,
    people: People,
    outputs: Iterable[Output],
    own: Collection[str] = (),
    searched: Callable[[int], object] = unwatched,
) -> Audit:
    """What some outputs of a running service say. `own` are words that are nobody's, in lower case.

    After each output `searched` is told how many there were.
    """
    configured = running.service.configuration
    known = KnownPeople(running.service.events, configured.identities)
    everybody, privacy = known.everybody(), configured.settings.privacy
    # Who answers for a service is told by the mailbox of a team; one that is somebody's own is found all the same.
    owners = {s.owner.casefold() for s in configured.services if people.hashed(s.owner) not in everybody}
    search = Search(
        people=people,
        known=everybody,
        domains=_domains(configured.reviewed),
        public=lambda text: text.casefold() in own or text.casefold() in owners or privacy.is_public(text),
    )
    labels = _Labels()
    sizes: dict[str, list[int]] = defaultdict(list)
    found: list[Found] = []
    total = 0
    for count, output in enumerate(outputs, 1):
        sizes[output.channel].append(len(output.text))
        if output.channel == "metrics":
            labels.read(output.text)
        for one in _found(output, search):
            total += 1
            found += [one] if len(found) < _MOST_FOUND else []
        searched(count)
    return Audit(
        people=_mapped(known.accounts(), configured.identities),
        labels=tuple(labels.uses(search)),
        channels=tuple(ChannelUse(channel=c, texts=len(s), characters=sum(s)) for c, s in sizes.items()),
        findings=tuple(found),
        total=total,
    )


def _found(output: Output, search: Search) -> Iterator[Found]:
    """Who is in an output, in the form in which it is read and, if that differs, as it is written."""
    read = plain(output.text)
    for text in filter(search.anybody, dict.fromkeys((read, output.text))):
        for hit in search.hits(text):
            yield Found(
                channel=output.channel,
                place=search.masked(plain(output.place)),
                what=hit.what,
                excerpt=_excerpt(text, hit, search),
            )


def _excerpt(text: str, hit: Hit, search: Search) -> str:
    """What stands around a hit, masked before it is cut: half a name would be shown else."""
    before = search.masked(text[max(hit.start - _READ_AROUND, 0) : hit.start].rpartition("\n")[2])
    after = search.masked(text[hit.end : hit.end + _READ_AROUND].partition("\n")[0])
    return f"{before[-_AROUND:]}{MASK}{after[:_AROUND]}".strip()


class _Labels:
    """The labels of an exposition, with their values."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], set[str]] = defaultdict(set)

    def read(self, text: str) -> None:
        """Note the labels of all series of a text."""
        for metric, labels in _SERIES.findall(text):
            for label, value in _LABEL.findall(labels):
                self._values[metric, label].add(value)

    def uses(self, search: Search) -> Iterator[LabelUse]:
        """Each label of each metric."""
        for (metric, label), values in sorted(self._values.items()):
            examples = tuple(search.masked(v) for v in sorted(values)[:_EXAMPLES])
            yield LabelUse(metric=metric, label=label, values=len(values), examples=examples)


def _mapped(accounts: Collection[str], identities: Identities) -> PeopleMapped:
    known = {*identities.people, *identities.people.values(), *identities.humans}
    return PeopleMapped(accounts=len(accounts), people_mapped=len(known.intersection(accounts)))


def _domains(reviewed: Reviewed) -> tuple[str, ...]:
    """What the addresses of the reviewed files end with."""
    every = (one.partition("@")[2] for person in reviewed.people for one in person)
    return tuple(sorted(set(filter(None, every))))


def own_words(commands: click.Group, clock: Callable[[], datetime]) -> frozenset[str]:
    """The words of what leaves the process where nothing was ever collected, in lower case."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "paceline.yaml"
        settings = {"logs": {"level": "error"}, "slos": [str(slo) for slo in starter_slos()]}
        path.write_text(dump([settings]), encoding="utf-8")
        running = build(configuration(path, {}, path.parent), clock, {})
        try:
            texts = [plain(o.text) for o in Ways(running, commands, path, clock).outputs()]
        finally:
            running.close()
    return frozenset(word.casefold() for text in texts for word in _WORDS.findall(text))
