"""What a tracker's own words mean here: which issues are tickets or incidents, where they stand, how severe they are.

Shared by all sources of issues. A rule fits an issue by its project, type, components, labels and severity; the first
one that fits decides. Statuses are mapped by name. A status that no name fits is taken for what the tracker's own
category says, and counted: `paceline doctor` lists it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.events import Incident, IncidentState, Reply, Ticket, TicketState, Transition
from collector.findings import Findings
from collector.name_rules import NameRules
from collector.patterns import Pattern, any_matches

_PLACES = ("project", "type", "component", "label", "severity")
_GROUP = re.compile(r"\{(\w+)\}")
_ENDED = frozenset({TicketState.RESOLVED, TicketState.CLOSED})
_OF_INCIDENTS = {
    TicketState.OPEN: "detected",
    TicketState.IN_PROGRESS: "acknowledged",
    TicketState.WAITING: "acknowledged",
    TicketState.RESOLVED: "resolved",
    TicketState.CLOSED: "closed",
}
"""What the states of a ticket are called in an incident's transitions."""


class Meaning(StrEnum):
    """What an issue is here."""

    TICKET = "ticket"
    INCIDENT = "incident"
    NOTHING = "nothing"


class IssueRule(BaseModel):
    """Which issues are tickets, incidents, or nothing here. What is not given fits all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    becomes: Meaning = Field(description="What such an issue is: `ticket`, `incident`, or `nothing`.")
    project: NameRules = Field(default_factory=list, description="Projects or queues, as the tracker names them.")
    type: NameRules = Field(default_factory=list, description="Types of issues: issue type, tracker, request type.")
    component: NameRules = Field(default_factory=list, description="Components or categories; one that fits is enough.")
    label: NameRules = Field(default_factory=list, description="Labels or tags, whole; one that fits is enough.")
    severity: NameRules = Field(
        default_factory=list, description="Severities or priorities, as the tracker names them."
    )
    queue: str = Field(
        default="",
        description="The queue of such tickets; `{name}` stands for a named group of the expressions beside it, or for "
        "`project`, `type`, `component`. The project unless given.",
    )
    service: str = Field(
        default="", description="The service it is about; `{name}` as above. The component unless given, if it has one."
    )
    environment: str = Field(default="", description="The environment of such incidents; `{name}` as above.")
    journey: str = Field(
        default="", description="The self-service journey that such tickets ask for by hand; `{name}` as above."
    )

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Self:
        known = {g for place in _PLACES for text in getattr(self, place) for g in Pattern(text).group_names}
        known |= set(_PLACES)
        texts = (self.queue, self.service, self.environment, self.journey)
        for wanted in (name for text in texts for name in _GROUP.findall(text)):
            if wanted not in known:
                raise ValueError(
                    f"no expression has a group named {wanted!r}; expected one of {', '.join(sorted(known))}"
                )
        return self

    @cached_property
    def _patterns(self) -> Mapping[str, tuple[Pattern, ...]]:
        return {place: tuple(Pattern(t) for t in getattr(self, place)) for place in _PLACES}

    def names(self, issue: Issue) -> dict[str, str] | None:
        """What the names of this rule stand for, where all of it fits an issue; None where a part does not."""
        told = {
            "project": [issue.project],
            "type": [issue.type],
            "component": issue.components,
            "label": issue.labels,
            "severity": [issue.severity],
        }
        found = {place: next(iter(names), "") for place, names in told.items()}
        for place, rules in self._patterns.items():
            if not rules:
                continue
            fitting = ((name, g) for name in told[place] for r in rules if (g := r.groups(name)) is not None)
            first = next(fitting, None)
            if first is None:
                return None
            found |= {place: first[0], **first[1]}
        return found


class Statuses(BaseModel):
    """What the tracker's statuses mean. One that is not named here is taken by the tracker's own category."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    open: NameRules = Field(default_factory=list, description="Nobody has taken it on yet.")
    in_progress: NameRules = Field(
        default_factory=list, description="Somebody works on it. An incident is acknowledged by this, and not resolved."
    )
    waiting: NameRules = Field(
        default_factory=list, description="It waits for who asked: the clock of the resolution stands still."
    )
    resolved: NameRules = Field(
        default_factory=list, description="It is done: of an incident, the service works again."
    )
    closed: NameRules = Field(
        default_factory=list, description="Nothing more comes of it. What is closed and was never resolved ended then."
    )

    @model_validator(mode="after")
    def _each_means_one_thing(self) -> Self:
        seen: dict[str, str] = {}
        for state in TicketState:
            for text in getattr(self, state.value):
                other = seen.setdefault(text, state.value)
                if other != state.value:
                    raise ValueError(f"{text!r} is named under `{other}` and `{state.value}`; expected under one")
        return self

    @cached_property
    def _patterns(self) -> Sequence[tuple[Pattern, TicketState]]:
        """The most precise first: a name beats a glob, a glob an expression."""
        found = [(Pattern(text), state) for state in TicketState for text in getattr(self, state.value)]
        return sorted(found, key=lambda pair: pair[0].rank)

    def state(self, name: str) -> TicketState | None:
        """What a status means; None where no name fits it."""
        return next((state for rule, state in self._patterns if rule.matches(name)), None)


class Status(NamedTuple):
    """A tracker's status: its name, and what the tracker itself takes it for."""

    name: str
    category: TicketState = TicketState.OPEN


class StatusChange(NamedTuple):
    """When an issue came to a status."""

    at: datetime
    status: Status


@dataclass(frozen=True, kw_only=True)
class Issue:
    """An issue in its tracker's own words, with people already hashed.

    `changes`: how its status changed, in any order, without the one it began with, which is `began` where the tracker
    tells it. `ended_at`: when the tracker says that it was resolved or closed; used where `changes` do not tell.
    `started_at`: when what it tells of began, where that is not when it was written. `severity`: the tracker's
    severity, urgency or priority.
    """

    native_id: str
    created_at: datetime
    status: Status
    updated_at: datetime | None = None
    url: str | None = None
    project: str = ""
    type: str = ""
    components: Sequence[str] = ()
    labels: Sequence[str] = ()
    severity: str = ""
    title: str | None = None
    author: str | None = None
    author_team: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    changes: Sequence[StatusChange] = ()
    began: Status | None = None
    replies: Sequence[Reply] = ()
    links: Sequence[str] = ()


@dataclass(frozen=True)
class Severities:
    """Severities by the names that they have here."""

    names: Mapping[str, Sequence[str]]
    findings: Findings

    def of(self, said: str) -> str | None:
        """The name of a severity here; its own where none is set, None where an issue has none."""
        if not said:
            return None
        found = next((ours for ours, rules in self.names.items() for r in rules if Pattern(r).matches(said)), None)
        if found is None and self.names:
            self.findings.unmap("severity", said, said)
        return found or said


@dataclass(frozen=True)
class Tracking:
    """The rules of one source at work."""

    source: str
    rules: Sequence[IssueRule]
    statuses: Statuses
    severities: Severities
    findings: Findings
    _states: dict[Status, tuple[TicketState, bool]] = field(default_factory=dict, repr=False)

    def event(self, issue: Issue) -> Ticket | Incident | None:
        """What an issue is by the first rule that fits; None where it is nothing here."""
        for rule in self.rules:
            names = rule.names(issue)
            if names is None:
                continue
            if rule.becomes is Meaning.NOTHING:
                return None
            return self._made(issue, rule, names)
        self.findings.unmap("type", issue.type or issue.project, "nothing")
        return None

    def _made(self, issue: Issue, rule: IssueRule, names: Mapping[str, str]) -> Ticket | Incident:
        state = self._state(issue.status, counted=True)
        life = list(self._life(issue, state))
        service = _filled(rule.service, names) or names["component"] or None
        if rule.becomes is Meaning.INCIDENT:
            return self._incident(issue, rule, names, service, life)
        entered = _ended(life) if state in _ENDED else {}
        resolved_at = entered.get(TicketState.RESOLVED)
        closed_at = entered.get(TicketState.CLOSED)
        return Ticket(
            source=self.source,
            native_id=issue.native_id,
            updated_at=issue.updated_at,
            url=issue.url,
            queue=_filled(rule.queue, names) or issue.project or self.source,
            state=state,
            created_at=issue.created_at,
            type=issue.type or None,
            title=issue.title,
            service=service,
            journey=_filled(rule.journey, names) or None,
            priority=self.severities.of(issue.severity),
            author=issue.author,
            author_team=issue.author_team,
            resolved_at=resolved_at or closed_at,
            closed_at=closed_at,
            replies=tuple(issue.replies),
            transitions=tuple(Transition(at=at, state=state.value) for at, state in life),
            labels=tuple(issue.labels),
            links=tuple(issue.links),
        )

    def _incident(
        self,
        issue: Issue,
        rule: IssueRule,
        names: Mapping[str, str],
        service: str | None,
        life: Sequence[tuple[datetime, TicketState]],
    ) -> Incident:
        state = self._state(issue.status, counted=False)
        entered = _ended(life) if state in _ENDED else {}
        acknowledged = (at for at, told in life if _OF_INCIDENTS[told] == IncidentState.ACKNOWLEDGED)
        shown = IncidentState.RESOLVED if state in _ENDED else IncidentState(_OF_INCIDENTS[state])
        return Incident(
            source=self.source,
            native_id=issue.native_id,
            updated_at=issue.updated_at,
            url=issue.url,
            service=service,
            environment=_filled(rule.environment, names) or None,
            state=shown,
            started_at=issue.started_at or issue.created_at,
            severity=self.severities.of(issue.severity),
            title=issue.title,
            detected_at=issue.created_at,
            acknowledged_at=next(acknowledged, None),
            restored_at=entered.get(TicketState.RESOLVED),
            closed_at=entered.get(TicketState.CLOSED),
            labels=tuple(issue.labels),
            links=tuple(issue.links),
            transitions=tuple(Transition(at=at, state=_OF_INCIDENTS[state]) for at, state in life),
        )

    def _life(self, issue: Issue, state: TicketState) -> Iterator[tuple[datetime, TicketState]]:
        """When it came to which state, in order; a change of names within a state is none.

        Nor is it one that what is closed is called resolved again: nobody opened it. Who writes for somebody else often
        begins by waiting for them. A tracker may tell no history, or not the last of it: then the end is when the
        tracker says it was.
        """
        began = None if issue.began is None else self._state(issue.began, counted=False)
        last = began if began not in _ENDED else None
        if last is not None and last is not TicketState.OPEN:
            yield issue.created_at, last
        over: set[TicketState] = set()
        for change in sorted(issue.changes, key=lambda c: c.at):
            told = self._state(change.status, counted=True)
            if told not in _ENDED:
                over.clear()
            if told is not last and told not in over:
                yield change.at, told
            over.add(told)
            last = told
        if state in _ENDED and last not in _ENDED and issue.ended_at is not None:
            yield issue.ended_at, state

    def _state(self, status: Status, *, counted: bool) -> TicketState:
        """What a status means. One that the settings do not name is noted, where it is to be counted."""
        known = self._states.get(status)
        if known is None:
            found = self.statuses.state(status.name)
            known = self._states[status] = (found or status.category, found is not None)
        state, named = known
        if counted and not named:
            self.findings.unmap("status", status.name, state.value)
        return state


def _ended(life: Sequence[tuple[datetime, TicketState]]) -> dict[TicketState, datetime]:
    """When the last stretch in which it was over came to each of the states that end it: reopening begins anew."""
    found: dict[TicketState, datetime] = {}
    for at, state in life:
        if state in _ENDED:
            found.setdefault(state, at)
        else:
            found.clear()
    return found


def _filled(template: str, names: Mapping[str, str]) -> str:
    return _GROUP.sub(lambda found: names.get(found[1], ""), template)


# ---- issues of forges, which are open or closed, and say the rest by labels


class Turn(NamedTuple):
    """Something that happened to an issue of a forge: it was closed or reopened, or a label was added or removed.

    `remedied`: whether closing it says that something was done; not for one that is not planned, or a duplicate.
    """

    at: datetime
    closed: bool | None = None
    label: str = ""
    added: bool = True
    remedied: bool = True


@dataclass(frozen=True)
class LabelStates:
    """What labels say of where an issue stands."""

    acknowledged: Sequence[Pattern] = ()
    waiting: Sequence[Pattern] = ()

    def state(self, labels: Iterable[str], *, closed: bool) -> TicketState:
        """Where an issue with some labels stands: one that waits for who asked does, whoever has taken it on."""
        if closed:
            return TicketState.CLOSED
        names = list(labels)
        if any(any_matches(self.waiting, name) for name in names):
            return TicketState.WAITING
        taken_on = any(any_matches(self.acknowledged, name) for name in names)
        return TicketState.IN_PROGRESS if taken_on else TicketState.OPEN

    def life(
        self, labels: Iterable[str], turns: Iterable[Turn], created_at: datetime | None = None
    ) -> list[tuple[Turn, TicketState]]:
        """The turns by which an issue came to another state, with that state, from the labels that it has now.

        The first is its creation, where that is given and labels that it had from the beginning say where it stood.
        """
        ordered = sorted(turns, key=lambda turn: turn.at)
        names = set(labels)
        for turn in reversed(ordered):
            if turn.label:
                (names.discard if turn.added else names.add)(turn.label)
        closed, now = False, self.state(names, closed=False)
        found: list[tuple[Turn, TicketState]] = []
        if created_at is not None and now is not TicketState.OPEN:
            found.append((Turn(created_at), now))
        for turn in ordered:
            if turn.label:
                (names.add if turn.added else names.discard)(turn.label)
            closed = closed if turn.closed is None else turn.closed
            before, now = now, self.state(names, closed=closed)
            if now is not before:
                found.append((turn, now))
        return found


def of_ticket(life: Iterable[tuple[Turn, TicketState]]) -> tuple[Transition, ...]:
    """The transitions of a ticket."""
    return tuple(Transition(at=turn.at, state=state.value) for turn, state in life)


def of_incident(life: Iterable[tuple[Turn, TicketState]]) -> tuple[Transition, ...]:
    """The transitions of an incident: closed as done is resolved; closed as nothing to be done is only closed."""
    return tuple(
        Transition(
            at=turn.at,
            state="resolved" if state is TicketState.CLOSED and turn.remedied else _OF_INCIDENTS[state],
        )
        for turn, state in life
    )
