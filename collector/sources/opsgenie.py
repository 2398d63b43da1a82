"""Incidents of Opsgenie, or its alerts: since when, acknowledged when, and resolved when for the last time.

Both lists are read by when things were created; what has not ended is read again by its id until it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import Field

from collector.api import HookedConfig, Url
from collector.errors import ContractError
from collector.events import Incident, IncidentState, Timestamp
from collector.http import Answer, ApiClient
from collector.incidents import IncidentConfig, Incidents, Life, Told, alone, texts_in
from collector.name_rules import NameRules
from collector.paging import by_offset, continued, side_by_side
from collector.patterns import Pattern
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.times import as_rfc3339, from_epoch, parsed
from collector.webhooks import Delivery, Received, bearer, id_of, is_same

T = TypeVar("T", bound="_Listed")

_PAGE = 100
_AT_ONCE = 50
_NOT_FOUND = 404
_A_MILLISECOND = timedelta(milliseconds=1)
_NANOSECONDS = 10**17
"""From here on a number counts nanoseconds: as milliseconds it would be the year 5138."""
_SETTLED = timedelta(days=30)
_EVER = datetime.fromtimestamp(0, UTC)
_INCIDENTS = {
    "open": IncidentState.DETECTED,
    "resolved": IncidentState.RESOLVED,
    "closed": IncidentState.RESOLVED,
}
_ALERTS = {"open": IncidentState.DETECTED, "closed": IncidentState.RESOLVED}
_STEPS = {
    "IncidentOpened": IncidentState.DETECTED,
    "IncidentReopened": IncidentState.DETECTED,
    "ResponderAlertAcked": IncidentState.ACKNOWLEDGED,
    "IncidentResolved": IncidentState.RESOLVED,
}
_CLOSED = "IncidentClosed"
_ACTIONS = {
    "Create": IncidentState.DETECTED,
    "Acknowledge": IncidentState.ACKNOWLEDGED,
    "UnAcknowledge": IncidentState.DETECTED,
    "Close": IncidentState.RESOLVED,
}
_ABOUT = About(
    system="Opsgenie",
    gives=("incident",),
    tested="official schema",
    scopes=(
        ("read access", "the key of an API integration; one of a team sees what the team does"),
        ("configuration access", "for the names of services and the timelines of incidents"),
    ),
    costs=(
        ("incidents", "1 010 requests for 1 000: 100 at a time, and the timeline of each"),
        ("alerts", "10 requests for 1 000"),
        ("a run in which nothing happened", "1 request, 2 for the names of services, and 1 or 2 for each that is open"),
    ),
    limits=(
        "A list ends after 20 000 items: it is read on from the last of them.",
        "What is over is read no more: a priority that is changed later is not seen.",
        "An incident that was resolved and never closed is looked at for 30 days, in case it is opened again.",
    ),
    example="""\
sources:
  - type: opsgenie
    name: oncall
    token: ${OPSGENIE_KEY}
    severities:
      critical: [P1, P2]
      minor: [P3, P4, P5]
""",
    more="""\
**Incidents or alerts.** Incidents are read. Accounts that work with alerts alone set `reads: alerts`; `priorities: [P1,
P2]` keeps what nobody would call an incident away. Both together would count a failure twice.

**Incidents.** One began with its impact, was detected when it was created, and is restored when it was resolved for
the last time; when it is opened again it is not. One that was closed without being resolved ended when it was closed.
It is acknowledged from the first acknowledgement of a responder's alert on. An incident of several services is one for
each of them.

**Alerts.** An alert is acknowledged and over by the times of its report, to the millisecond. Its service is what a tag
says that begins with `service_tag`.

**Severities.** The priority, P1 to P5; `severities` says what these are called here.

**What it names.** Message, description and properties are read for addresses, keys of tickets, commit ids and image
digests: a deployment that is named so is the cause, whatever the time says. The text is not kept.

**The EU.** Accounts of the European region have `url: https://api.eu.opsgenie.com`.

**Webhooks.** For alerts: an outgoing *Webhook* integration to `https://paceline.example.com/webhooks/oncall` with the
actions Create, Acknowledge, UnAcknowledge and Close, and the custom header `Authorization: Bearer …` with
`webhook_secret`; Opsgenie signs nothing. What a delivery leaves out comes with the next run.
""",
)


class OpsgenieConfig(IncidentConfig, HookedConfig):
    """Settings of an Opsgenie account."""

    type: Literal["opsgenie"]
    about: ClassVar[About] = _ABOUT

    url: Url = Field(
        default="https://api.opsgenie.com",
        description="Address of the API; `https://api.eu.opsgenie.com` in the European region.",
    )
    reads: Literal["incidents", "alerts"] = Field(
        default="incidents", description="What is an incident here: Opsgenie's `incidents`, or its `alerts`."
    )
    priorities: NameRules = Field(
        default_factory=list,
        description="Priorities that are read, `P1` to `P5`, as they are at first; all unless given.",
    )
    service_tag: str = Field(
        default="service:", description="With what the tag of an alert begins that names its service."
    )

    def build(self, context: SourceContext) -> OpsgenieSource:
        """The source."""
        token = reveal(self.token)
        client = self.client(context, headers={"Authorization": f"GenieKey {token}"} if token else None)
        return OpsgenieSource(client, self, context, Shapes(self, self.incidents(context)))

    def receiver(self, context: SourceContext) -> OpsgenieHooks | None:
        """What takes webhooks; None without `webhook_secret`."""
        secret = reveal(self.webhook_secret)
        return OpsgenieHooks(secret, self, Shapes(self, self.incidents(context))) if secret else None

    def takes(self, priority: str) -> bool:
        """Whether what has a priority is read."""
        return not self.priorities or any(Pattern(rule).matches(priority) for rule in self.priorities)


# ---- what the API hands out


class _Links(msgspec.Struct):
    web: str | None = None


class _Listed(msgspec.Struct, kw_only=True, rename="camel"):
    id: str
    created_at: Timestamp
    status: str
    updated_at: Timestamp | None = None
    message: str | None = None
    description: str | None = None
    priority: str | None = None
    tags: list[str] | None = None


class Subject(_Listed, kw_only=True, rename="camel"):
    """An incident."""

    impacted_services: list[str] | None = None
    impact_start_date: Timestamp | None = None
    impact_end_date: Timestamp | None = None
    extra_properties: dict[str, Any] | None = None
    links: _Links | None = None


class _Report(msgspec.Struct, rename="camel"):
    """How many milliseconds after its creation an alert was acknowledged and closed."""

    ack_time: int | None = None
    close_time: int | None = None


class Alert(_Listed, kw_only=True, rename="camel"):
    """An alert."""

    acknowledged: bool = False
    report: _Report | None = None


class Entry(msgspec.Struct, kw_only=True, rename="camel"):
    """An entry of an incident's timeline."""

    type: str
    event_time: Timestamp


class _Entries(msgspec.Struct, rename="camel"):
    entries: list[Entry]
    next_offset: str | None = None


class _Timeline(msgspec.Struct):
    data: _Entries


class _Service(msgspec.Struct):
    id: str
    name: str


class _Next(msgspec.Struct):
    next: str | None = None


class _Paging(msgspec.Struct):
    paging: _Next | None = None


# ---- events


@dataclass(frozen=True)
class Shapes:
    """Makes events of incidents and alerts."""

    config: OpsgenieConfig
    incidents: Incidents

    def incident(
        self, one: Subject, timeline: Sequence[Entry], services: Mapping[str, str], notes: Notes
    ) -> list[Incident]:
        """An incident, once for each of its services that is read; once where it has none."""
        life = list(_life(timeline))
        state = _state(one.status, _INCIDENTS, notes)
        if state is IncidentState.DETECTED and life and life[-1][1] is IncidentState.ACKNOWLEDGED:
            state = IncidentState.ACKNOWLEDGED
        resolved = any(state is IncidentState.RESOLVED for _, state in life)
        changed_at = one.updated_at or one.created_at
        closed_at = max((entry.event_time for entry in timeline if entry.type == _CLOSED), default=changed_at)
        told = Told(
            native_id=one.id,
            started_at=one.impact_start_date or one.created_at,
            state=state,
            updated_at=max([changed_at, *(entry.event_time for entry in timeline)]),
            url=one.links.web if one.links else None,
            title=one.message,
            severity=one.priority or "",
            detected_at=one.created_at,
            restored_at=None if resolved else one.impact_end_date,
            closed_at=closed_at if one.status == "closed" else None,
            life=life,
            labels=one.tags or (),
            texts=[one.description or "", *texts_in(one.extra_properties)],
        )
        names = {key: services.get(key, key) for key in one.impacted_services or ()} or {"": ""}
        return [
            self.incidents.event(replace(told, native_id=f"{one.id}/{key}" if key else one.id, service=name))
            for key, name in names.items()
            if self.config.wants(name)
        ]

    def alert(self, one: Alert, notes: Notes) -> list[Incident]:
        """An alert, where its service is read."""
        report = one.report or _Report()
        life = [(one.created_at, IncidentState.DETECTED)]
        if report.ack_time is not None:
            life.append((one.created_at + report.ack_time * _A_MILLISECOND, IncidentState.ACKNOWLEDGED))
        ended = None if report.close_time is None else one.created_at + report.close_time * _A_MILLISECOND
        state = _state(one.status, _ALERTS, notes)
        if state is IncidentState.DETECTED and one.acknowledged:
            state = IncidentState.ACKNOWLEDGED
        return self._alert(one, state, life, updated_at=one.updated_at, restored_at=ended or one.updated_at)

    def pushed(self, one: Alert, state: IncidentState, at: datetime) -> list[Incident]:
        """An alert as a webhook tells of it: a version that the API's own of that moment is newer than."""
        return self._alert(one, state, [(at, state)], updated_at=at - _A_MILLISECOND)

    def _alert(
        self,
        one: Alert,
        state: IncidentState,
        life: Life,
        *,
        updated_at: datetime | None,
        restored_at: datetime | None = None,
    ) -> list[Incident]:
        prefix = self.config.service_tag
        named = (tag.removeprefix(prefix).strip() for tag in one.tags or () if prefix and tag.startswith(prefix))
        service = next(named, "")
        if not self.config.wants(service):
            return []
        told = Told(
            native_id=one.id,
            started_at=one.created_at,
            state=state,
            updated_at=updated_at,
            service=service,
            title=one.message,
            severity=one.priority or "",
            restored_at=restored_at,
            life=life,
            labels=one.tags or (),
            texts=[one.description or ""],
        )
        return [self.incidents.event(told)]


def _state(status: str, known: Mapping[str, IncidentState], notes: Notes) -> IncidentState:
    if status not in known:
        notes.unknown("status", status, "open")
    return known.get(status, IncidentState.DETECTED)


def _life(timeline: Sequence[Entry]) -> Iterator[tuple[datetime, IncidentState]]:
    """The states that a timeline tells of. What closes an incident acknowledges alerts: that acknowledges nothing."""
    over = False
    for entry in sorted(timeline, key=lambda e: e.event_time):
        state = _STEPS.get(entry.type)
        if state is None or (over and state is IncidentState.ACKNOWLEDGED):
            continue
        over = state is IncidentState.RESOLVED
        yield entry.event_time, state


# ---- reading


@dataclass(frozen=True)
class OpsgenieSource:
    """See OpsgenieConfig. One stream: what was created, and what is open of it."""

    client: ApiClient
    config: OpsgenieConfig
    context: SourceContext = field(repr=False)
    shapes: Shapes = field(repr=False)
    most: int = 20_000
    """Offset and limit together: beyond that the API hands out nothing."""

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """What was open, and what was created since the cursor's."""
        read = self._alerts if self.config.reads == "alerts" else self._incidents
        return pull(None if self.context.since else cursor, [Stream(self.config.reads, read)], Notes())

    def _incidents(self, state: State, notes: Notes) -> Iterator[Part]:
        services = _Names(self)

        def events(many: Sequence[Subject]) -> Iterator[list[Incident]]:
            timelines = side_by_side(lambda one: self._timeline(one.id), many, self.config.parallel)
            for one, timeline in zip(many, timelines, strict=True):
                names = services.known if one.impacted_services else {}
                yield self.shapes.incident(one, timeline, names, notes)

        return self._read("v1/incidents", Subject, events, state, notes)

    def _alerts(self, state: State, notes: Notes) -> Iterator[Part]:
        def events(many: Sequence[Alert]) -> Iterator[list[Incident]]:
            return (self.shapes.alert(one, notes) for one in many)

        return self._read("v2/alerts", Alert, events, state, notes)

    def _read(
        self,
        path: str,
        kind: type[T],
        events: Callable[[Sequence[T]], Iterator[list[Incident]]],
        state: State,
        notes: Notes,
    ) -> Iterator[Part]:
        """What was open when it was last read, then what was created since."""
        before = _by_id(state.open)
        ids = list(before)
        for first in range(0, len(ids), _AT_ONCE):
            asked = ids[first : first + _AT_ONCE]
            read = side_by_side(lambda one: self._one(path, kind, one, notes), asked, self.config.parallel)
            answers = dict(zip(asked, read, strict=True))
            found = [one for one, _ in answers.values() if one is not None]
            made = dict(zip((one.id for one in found), events(found), strict=True))
            # What is there and cannot be used stays as it was.
            known = [name for name, (one, there) in answers.items() if one is not None or not there]
            gone = [name for one in known for name in before[one] - {e.native_id for e in made.get(one, ())}]
            state = self._kept_open(state, found, made, known)
            yield Part(list(chain.from_iterable(made.values())), state, [_deleted(name) for name in gone])
        for many in self._created(path, kind, state, notes):
            wanted = [one for one in many if one.id not in before and self.config.takes(one.priority or "")]
            made = dict(zip((one.id for one in wanted), events(wanted), strict=True))
            state = self._kept_open(state, wanted, made, [one.id for one in wanted])
            for one in many:
                state = msgspec.structs.replace(state.begun(one.created_at), after=as_rfc3339(one.created_at))
            yield Part(list(chain.from_iterable(made.values())), state)
        yield Part((), state.ended())

    def _created(self, path: str, kind: type[T], state: State, notes: Notes) -> Iterator[list[T]]:
        """What was created since the state's time, the oldest first; where a list ends it is read on from there."""
        floor = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
        start = (parsed(state.after) if state.after else None) or floor
        while True:
            newest, offset, more = start, 0, True
            while more and offset < self.most:
                size = min(_PAGE, self.most - offset)
                since = f"createdAt >= {(start - _EVER) // _A_MILLISECOND}"
                asked = {"query": since, "sort": "createdAt", "order": "asc", "limit": str(size), "offset": str(offset)}
                answer = self.client.get(path, asked)
                items, rejected = answer.items(kind, "data")
                if any(one.created_at < start - _A_MILLISECOND for one in items):
                    raise ContractError(f"{answer.asked}: `query` was passed over; is a proxy leaving parameters out?")
                notes.reject(rejected)
                yield items
                newest = max([newest, *(one.created_at for one in items)])
                offset += len(items) + len(rejected)
                more = bool(items or rejected) and bool(_following(answer))
            if not more:
                return
            if newest - start < _A_MILLISECOND:
                notes.cut(f"GET {path}: of one millisecond more than {self.most} items are not handed out")
                return
            start = newest

    def _kept_open(
        self, state: State, found: Sequence[_Listed], made: Mapping[str, Sequence[Incident]], asked: Sequence[str]
    ) -> State:
        """The state with the native ids of what may still change; of others that were asked for it forgets them."""
        settled = self.context.clock() - _SETTLED
        still = [
            one.id
            for one in found
            if one.status != "closed" and (one.status == "open" or (one.updated_at or one.created_at) > settled)
        ]
        kept = [name for name in state.open if name.partition("/")[0] not in set(asked)]
        kept += [event.native_id for one in still for event in made[one]]
        return msgspec.structs.replace(state, open=tuple(sorted(set(kept))))

    def _one(self, path: str, kind: type[T], native_id: str, notes: Notes) -> tuple[T | None, bool]:
        """An item by its id, None where it cannot be used; and whether it is still there."""
        answer = self.client.get(f"{path}/{quote(native_id, safe='')}", understood=(_NOT_FOUND,))
        if answer.status == _NOT_FOUND:
            return None, False
        return alone(answer, kind, notes, "data"), True

    def _timeline(self, native_id: str) -> list[Entry]:
        """All entries of an incident's timeline."""
        path = f"v2/incident-timelines/{quote(native_id, safe='')}/entries"

        def following(answer: Answer) -> str | None:
            page = answer.read(_Timeline).data
            return page.next_offset if page.entries else None

        pages = continued(self.client, path, {"limit": str(_PAGE)}, following, parameter="offset")
        return [entry for answer, _ in pages for entry in answer.read(_Timeline).data.entries]


@dataclass
class _Names:
    """The names of services by their ids, asked for once they are needed."""

    source: OpsgenieSource

    @cached_property
    def known(self) -> Mapping[str, str]:
        """All names."""
        pages = by_offset(self.source.client, "v1/services", {}, lambda a: len(a.items(_Service, "data")[0]))
        return {one.id: one.name for answer in pages for one in answer.items(_Service, "data")[0]}


def _following(answer: Answer) -> str | None:
    paging = answer.read(_Paging).paging
    return paging.next if paging else None


def _by_id(native_ids: Sequence[str]) -> dict[str, set[str]]:
    """The native ids of events by what they were made of."""
    found: dict[str, set[str]] = {}
    for name in native_ids:
        found.setdefault(name.partition("/")[0], set()).add(name)
    return found


def _deleted(native_id: str) -> Complete:
    where = {"native_id": native_id}
    return Complete(kind=Incident, where=where, dated="started_at", since=_EVER, native_ids=frozenset())


# ---- webhooks


class _PushedAlert(msgspec.Struct, kw_only=True, rename="camel"):
    """An alert as a webhook brings it: times are numbers of milliseconds, or of nanoseconds."""

    alert_id: str
    created_at: int
    updated_at: int | None = None
    message: str | None = None
    description: str | None = None
    priority: str | None = None
    tags: list[str] | None = None


class _Pushed(msgspec.Struct):
    action: str
    alert: _PushedAlert | None = None


@dataclass(frozen=True)
class OpsgenieHooks:
    """Takes webhooks of alerts, which come with a secret and without a signature."""

    secret: str = field(repr=False)
    config: OpsgenieConfig
    shapes: Shapes = field(repr=False)

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the secret came along as a bearer token."""
        return is_same(self.secret, bearer(delivery))

    def read(self, delivery: Delivery) -> Received:
        """The alert that an action is about."""
        pushed: _Pushed = Answer(200, {}, delivery.body, "POST").read(_Pushed)
        known, alert, state = id_of(delivery), pushed.alert, _ACTIONS.get(pushed.action)
        if self.config.reads != "alerts" or alert is None:
            return Received(id=known, ignored="no alert that `reads` wants; incidents come with the next run")
        if state is None:
            return Received(id=known, ignored=f"the action {pushed.action[:80]!r} is not read")
        created_at, at = _time(alert.created_at), _time(alert.updated_at or alert.created_at)
        if created_at is None or at is None:
            raise ContractError("POST: the alert has no time of its creation")
        one = Alert(
            id=alert.alert_id,
            created_at=created_at,
            status="",
            message=alert.message,
            description=alert.description,
            priority=alert.priority,
            tags=alert.tags,
        )
        events = self.shapes.pushed(one, state, at) if self.config.takes(alert.priority or "") else []
        return Received(id=known, events=events, ignored="" if events else "`services` or `priorities` leave it out")


def _time(value: int) -> datetime | None:
    return from_epoch(value / 1_000_000 if value >= _NANOSECONDS else value)
