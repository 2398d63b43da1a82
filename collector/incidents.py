"""What sources of incidents have in common: which are read, what severities and places are called, how one went.

An incident is told in its system's own words and becomes an event here. A text that comes with it is read for what it
names and not kept: addresses, tickets by their keys, commits, an image by its digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec
from pydantic import Field

from collector.api import ApiConfig
from collector.errors import ContractError
from collector.events import Incident, IncidentState, Transition
from collector.http import Answer
from collector.name_rules import NameRules
from collector.patterns import Pattern
from collector.source import SourceContext
from collector.streams import Notes
from collector.tracking import Severities

T = TypeVar("T")

Life = Sequence[tuple[datetime, IncidentState]]
"""When an incident came to which state, in any order."""

_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\(){}\[\]]+")
_TICKET = re.compile(r"(?<![\w/-])[A-Z][A-Z0-9]{1,9}-[0-9]{1,9}(?![\w-])")
_COMMIT = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{40}(?![0-9a-zA-Z])")
_IMAGE = re.compile(r"(?<![\w./:-])[\w./:-]+@sha256:[0-9a-f]{64}(?![0-9a-zA-Z])")
_PUNCTUATION = ".,;:!?*_"
_LONGEST_TEXT = 20_000
_LONGEST_ADDRESS = 500
_MOST_NAMES = 50
_DEEPEST = 8
_ORDER = tuple(IncidentState)
"""Of what happened in one moment the state that comes later counts."""


class IncidentConfig(ApiConfig):
    """Settings of a source that asks a system for incidents."""

    services: NameRules = Field(
        default_factory=list,
        description="Services whose incidents are read, as the system names them; all unless given.",
    )
    severities: dict[str, NameRules] = Field(
        default_factory=dict,
        description="What severities are called here, by the system's own names: `critical: [P1, SEV-1]`.",
    )
    environments: dict[str, NameRules] = Field(
        default_factory=dict,
        description="Environments by the services in them: `staging: '*-staging'`. All others are in production.",
    )

    def wants(self, service: str) -> bool:
        """Whether the incidents of a service are read."""
        return not self.services or any(Pattern(rule).matches(service) for rule in self.services)

    def incidents(self, context: SourceContext) -> Incidents:
        """The settings at work."""
        return Incidents(self.name, Severities(self.severities, context.findings), self.environments)


@dataclass(frozen=True, kw_only=True)
class Told:
    """An incident in its system's own words.

    `life`: how it went, as far as that is known. `restored_at`: the last resolution, where the system tells it apart.
    `severity`: the system's own severity, priority or urgency. `texts`: what is read for names and not kept.
    """

    native_id: str
    started_at: datetime
    state: IncidentState
    updated_at: datetime | None = None
    url: str | None = None
    service: str = ""
    title: str | None = None
    severity: str = ""
    detected_at: datetime | None = None
    restored_at: datetime | None = None
    closed_at: datetime | None = None
    life: Life = ()
    labels: Sequence[str] = ()
    texts: Iterable[str] = ()


@dataclass(frozen=True)
class Incidents:
    """Makes events of what was told."""

    source: str
    severities: Severities
    environments: Mapping[str, Sequence[str]]

    def event(self, told: Told) -> Incident:
        """The incident. One that was opened again is not restored; acknowledged is not resolved."""
        over = told.state is IncidentState.RESOLVED
        restored_at = _resolved_at(told) if over else None
        end = [(restored_at, IncidentState.RESOLVED)] if restored_at is not None else []
        life = list(_lived([*told.life, *end]))
        named = mentioned(told.title or "", *told.texts)
        return Incident(
            source=self.source,
            native_id=told.native_id,
            updated_at=told.updated_at,
            url=told.url,
            service=told.service or None,
            environment=self._environment(told.service),
            state=told.state,
            started_at=told.started_at,
            severity=self.severities.of(told.severity),
            title=told.title,
            detected_at=told.detected_at or told.started_at,
            acknowledged_at=next((at for at, state in life if state is IncidentState.ACKNOWLEDGED), None),
            restored_at=restored_at,
            closed_at=told.closed_at if over else None,
            shas=named.shas,
            artifact=named.artifact,
            labels=tuple(told.labels),
            links=named.links,
            transitions=tuple(Transition(at=at, state=state.value) for at, state in life),
        )

    def _environment(self, service: str) -> str | None:
        fitting = (name for name, rules in self.environments.items() if any(Pattern(r).matches(service) for r in rules))
        return next(fitting, None)


def _in_turn(life: Life) -> list[tuple[datetime, IncidentState]]:
    return sorted(life, key=lambda step: (step[0], _ORDER.index(step[1])))


def _resolved_at(told: Told) -> datetime | None:
    """When it was resolved since it was opened for the last time; None where nobody tells. Reopening clears others."""
    steps = _in_turn(told.life)
    opened = next((n for n in range(len(steps), 0, -1) if steps[n - 1][1] is not IncidentState.RESOLVED), 0)
    reopened = any(state is IncidentState.RESOLVED for _, state in steps[:opened])
    if told.restored_at is not None and not (reopened and told.restored_at < steps[opened - 1][0]):
        return told.restored_at
    return max((at for at, _ in steps[opened:]), default=None)


def _lived(life: Life) -> Iterator[tuple[datetime, IncidentState]]:
    """The changes of state in order; what changes none is left out."""
    last: IncidentState | None = None
    for at, state in _in_turn(life):
        if state is not last:
            yield at, state
        last = state


def alone(answer: Answer, kind: type[T], notes: Notes, key: str = "") -> T | None:
    """The only item of an answer, or the one under `key`; None for one that cannot be used, which is set aside.

    Raises ContractError where there is nothing like it.
    """
    body: bytes = answer.body
    if key:
        found = answer.read(dict[str, msgspec.Raw]).get(key)
        if found is None:
            raise ContractError(f"{answer.asked}: the answer is not as documented: it has no `{key}`")
        body = bytes(found)
    items, rejected = Answer(answer.status, answer.headers, b"[" + body + b"]", answer.asked).items(kind)
    notes.reject(rejected)
    return items[0] if items else None


class Mentioned(NamedTuple):
    """What texts name: addresses and tickets, commits, and the first image that is named by its digest."""

    links: tuple[str, ...] = ()
    shas: tuple[str, ...] = ()
    artifact: str | None = None


def mentioned(*texts: str) -> Mentioned:
    """What texts name. An address with an `@` is left out: it may be somebody's. Only whole commit ids are read."""
    links, shas, images = dict[str, None](), dict[str, None](), list[str]()
    for text in texts:
        read = text[:_LONGEST_TEXT]
        addresses = [a.rstrip(_PUNCTUATION) for a in _ADDRESS.findall(read)]
        links |= dict.fromkeys(a for a in addresses if "@" not in a and len(a) <= _LONGEST_ADDRESS)
        links |= dict.fromkeys(_TICKET.findall(_ADDRESS.sub(" ", read)))
        shas |= dict.fromkeys(_COMMIT.findall(read))
        images += _IMAGE.findall(read)
    return Mentioned(tuple(links)[:_MOST_NAMES], tuple(shas)[:_MOST_NAMES], images[0] if images else None)


def texts_in(value: object, depth: int = 0) -> Iterator[str]:
    """The texts that stand somewhere in a JSON value."""
    if isinstance(value, str):
        yield value
    elif depth < _DEEPEST and isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_in(part, depth + 1)
