"""Incidents of PagerDuty: whose, since when, acknowledged when, and resolved when for the last time.

A first run lists incidents by when they were created. Later ones follow the log of the whole account, in which every
change of an incident stands: so what is reopened, merged or given another priority late is seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
from collector.paging import side_by_side, windows
from collector.patterns import Pattern
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.times import as_rfc3339, parsed
from collector.webhooks import Delivery, Received, id_of, is_signed

T = TypeVar("T")

_PAGE = 100
_LONGEST_SPAN = timedelta(days=150)
"""The API refuses more than six months."""
_TOLERATED = timedelta(days=1)
_A_SECOND = timedelta(seconds=1)
_AT_ONCE = 50
_MOST_SIGNATURES = 10
_NOT_FOUND = 404
_STATES = {
    "triggered": IncidentState.DETECTED,
    "acknowledged": IncidentState.ACKNOWLEDGED,
    "resolved": IncidentState.RESOLVED,
}
_TRIGGER = "trigger_log_entry"
_STEPS = {
    _TRIGGER: IncidentState.DETECTED,
    "acknowledge_log_entry": IncidentState.ACKNOWLEDGED,
    "unacknowledge_log_entry": IncidentState.DETECTED,
    "reopen_log_entry": IncidentState.DETECTED,
    "resolve_log_entry": IncidentState.RESOLVED,
}
_PUSHED = {
    "incident.triggered": IncidentState.DETECTED,
    "incident.acknowledged": IncidentState.ACKNOWLEDGED,
    "incident.unacknowledged": IncidentState.DETECTED,
    "incident.reopened": IncidentState.DETECTED,
    "incident.resolved": IncidentState.RESOLVED,
}
_ABOUT = About(
    system="PagerDuty",
    gives=("incident",),
    tested="official schema",
    scopes=(
        (
            "an API key for reading only",
            "an account's (Integrations → API Access Keys), or a user's that sees the services",
        ),
        ("`incidents.read`", "where a scoped OAuth token is used; `token_type: Bearer`"),
    ),
    costs=(
        ("incidents of a first run", "1 020 requests for 1 000: 100 at a time, and the log of each"),
        ("incidents that changed", "2 requests for each, and 1 for each 100 entries of the account's log"),
        ("a run in which nothing happened", "2 requests, and 2 for each incident of the log's last hour (`overlap`)"),
    ),
    limits=(
        "A list ends after 10 000 items and a range after six months: longer times are read in parts.",
        "PagerDuty allows 960 requests a minute; what it answers when they are used up is waited for.",
        "Alerts, notes, responders and conference bridges are not read.",
    ),
    example="""\
sources:
  - type: pagerduty
    name: oncall
    token: ${PAGERDUTY_TOKEN}
    severities:
      critical: [P1, P2]
      minor: [P3, high, low]
""",
    more="""\
**What becomes what.** An incident began when it was created. It is acknowledged from its first acknowledgement on and
is over when it is resolved; acknowledged is not resolved. When it came to each state tells its log: also that an
acknowledgement ended, and that it was opened again. Then it is not restored until it is resolved once more.

**Merged incidents.** What was merged into another incident is no failure of its own: only the other one counts, and
what was known of the merged one is taken back.

**Services.** `service` is the name of the PagerDuty service; the catalogue says by `components` which service that is.
`services` and `urgencies` choose what is read.

**Severities.** The priority counts, such as `P1`; without one the urgency, `high` or `low`. `severities` says what
they are called here.

**What it names.** Title, the details that the alert brought, and its links are read for addresses, keys of tickets,
commit ids and image digests: a deployment that is named so is the cause, whatever the time says. The text is not kept.

**The EU.** Accounts of the European region have `url: https://api.eu.pagerduty.com`.

**Webhooks.** Add a *Generic Webhook (v3)* subscription to `https://paceline.example.com/webhooks/oncall` with the
events `incident.*`, and give the signing secret that PagerDuty shows then as `webhook_secret`. What a delivery leaves
out, such as earlier acknowledgements, comes with the next run.
""",
)


class PagerDutyConfig(IncidentConfig, HookedConfig):
    """Settings of a PagerDuty account."""

    type: Literal["pagerduty"]
    about: ClassVar[About] = _ABOUT

    url: Url = Field(
        default="https://api.pagerduty.com",
        description="Address of the API; `https://api.eu.pagerduty.com` in the European region.",
    )
    token_type: Literal["Token", "Bearer"] = Field(
        default="Token", description="`Token` for an API key, `Bearer` for an OAuth token."
    )
    urgencies: NameRules = Field(
        default_factory=list, description="Urgencies of incidents that are read, `high` or `low`; all unless given."
    )

    def build(self, context: SourceContext) -> PagerDutySource:
        """The source."""
        token = reveal(self.token)
        shown = f"Token token={token}" if self.token_type == "Token" else f"Bearer {token}"  # noqa: S105 - its kind
        accept = {"Accept": "application/vnd.pagerduty+json;version=2"}
        client = self.client(context, headers={**accept, **({"Authorization": shown} if token else {})})
        return PagerDutySource(client, self, context, Shapes(self.incidents(context)))

    def receiver(self, context: SourceContext) -> PagerDutyHooks | None:
        """What takes webhooks of version 3; None without `webhook_secret`."""
        secret = reveal(self.webhook_secret)
        return PagerDutyHooks(secret, self, Shapes(self.incidents(context))) if secret else None

    def takes(self, service: str, urgency: str) -> bool:
        """Whether an incident of a service and urgency is read."""
        return self.wants(service) and (
            not self.urgencies or any(Pattern(rule).matches(urgency) for rule in self.urgencies)
        )


# ---- what the API hands out


class _Named(msgspec.Struct):
    id: str | None = None
    summary: str | None = None


class _Reason(msgspec.Struct):
    type: str | None = None


class Subject(msgspec.Struct, kw_only=True):
    """An incident. `reopened_at` stands in webhooks, `resolved_at` and `updated_at` in newer answers of the API."""

    id: str
    status: str
    created_at: Timestamp
    title: str | None = None
    summary: str | None = None
    html_url: str | None = None
    service: _Named | None = None
    urgency: str | None = None
    priority: _Named | None = None
    updated_at: Timestamp | None = None
    last_status_change_at: Timestamp | None = None
    resolved_at: Timestamp | None = None
    reopened_at: Timestamp | None = None
    resolve_reason: _Reason | None = None

    @property
    def merged(self) -> bool:
        """Whether it was resolved by being merged into another."""
        return self.resolve_reason is not None and self.resolve_reason.type == "merge_resolve_reason"

    @property
    def of(self) -> str:
        """The name of its service; empty where it has none."""
        return (self.service and self.service.summary) or ""


class _Context(msgspec.Struct):
    href: str | None = None


class Entry(msgspec.Struct, kw_only=True):
    """An entry of the log. `channel`: how it came, with the alert's details where that triggered it."""

    type: str
    created_at: Timestamp
    incident: _Named | None = None
    channel: Any = None
    contexts: list[_Context] | None = None

    @property
    def texts(self) -> Iterator[str]:
        """What came with it."""
        yield from texts_in(self.channel)
        yield from (c.href for c in self.contexts or () if c.href)


class _Paging(msgspec.Struct):
    more: bool
    limit: int = _PAGE


class _Count(msgspec.Struct):
    total: int | None = None


# ---- events


@dataclass(frozen=True)
class Shapes:
    """Makes events of incidents, the same however they came here."""

    incidents: Incidents

    def event(self, one: Subject, log: Sequence[Entry], notes: Notes) -> Incident:
        """An incident with what its log tells of it."""
        life = [(entry.created_at, _STEPS[entry.type]) for entry in log if entry.type in _STEPS]
        resolved = any(state is IncidentState.RESOLVED for _, state in life)
        return self._event(
            one,
            notes,
            updated_at=max([one.updated_at or one.created_at, *(entry.created_at for entry in log)]),
            restored_at=one.resolved_at or (None if resolved else one.last_status_change_at),
            life=life,
            texts=[text for entry in log if entry.type == _TRIGGER for text in entry.texts],
        )

    def pushed(self, one: Subject, event_type: str, at: datetime) -> Incident:
        """An incident as a webhook tells of it: a version that the API's own of that second is newer than."""
        step = _PUSHED.get(event_type)
        before = at.replace(microsecond=0) - _A_SECOND
        return self._event(one, Notes(), life=[(at, step)] if step else (), updated_at=before)

    def _event(self, one: Subject, notes: Notes, *, life: Life, **known: Any) -> Incident:
        state = _STATES.get(one.status)
        if state is None:
            notes.unknown("status", one.status, "open")
        reopened = [(one.reopened_at, IncidentState.DETECTED)] if one.reopened_at else []
        told = Told(
            native_id=one.id,
            started_at=one.created_at,
            state=state or IncidentState.DETECTED,
            url=one.html_url,
            service=one.of,
            title=one.title or one.summary,
            severity=(one.priority and one.priority.summary) or one.urgency or "",
            life=[*life, *reopened],
            **known,
        )
        return self.incidents.event(told)


# ---- reading


@dataclass(frozen=True)
class PagerDutySource:
    """See PagerDutyConfig. One stream: the incidents of the account, first by their creation, then by its log."""

    client: ApiClient
    config: PagerDutyConfig
    context: SourceContext = field(repr=False)
    shapes: Shapes = field(repr=False)
    most: int = 10_000
    """Offset and limit together: beyond that the API answers 400."""

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Incidents that were created since `history`, or changed since the cursor's."""
        return pull(None if self.context.since else cursor, [Stream("incidents", self._incidents)], Notes())

    def _incidents(self, state: State, notes: Notes) -> Iterator[Part]:
        return self._created(state, notes) if state.since is None else self._changed(state, state.since, notes)

    def _created(self, state: State, notes: Notes) -> Iterator[Part]:
        """All incidents since the horizon, the oldest first; the next run follows the log from where it ends now."""
        start = self.config.horizon(self.context)
        if state.reached is None:
            newest, _ = self._asked("log_entries", {"limit": "1"}).items(Entry, "log_entries")
            state = state.begun(max((e.created_at for e in newest), default=start))
        begun = parsed(state.after) if state.after else None
        # The server's clock may be ahead: what the log knows already was created too.
        span = (begun or start, max(self.context.clock(), (state.reached or start) + _A_SECOND))
        for incidents in self._pages("incidents", Subject, span, {"sort_by": "created_at:asc"}, notes):
            _since("incidents", incidents, start)
            if incidents:
                state = msgspec.structs.replace(state, after=as_rfc3339(incidents[-1].created_at))
            yield self._part(incidents, state, notes)
        yield Part((), state.ended())

    def _changed(self, state: State, since: datetime, notes: Notes) -> Iterator[Part]:
        """The incidents that the log tells of since then."""
        start, newest = since - self.config.overlap, since
        changed = dict[str, None]()
        span = (start, max(self.context.clock(), since + _A_SECOND))
        for entries in self._pages("log_entries", Entry, span, {}, notes):
            _since("log_entries", entries, start)
            newest = max([newest, *(entry.created_at for entry in entries)])
            changed |= {entry.incident.id: None for entry in entries if entry.incident and entry.incident.id}
        ids = list(changed)
        for first in range(0, len(ids), _AT_ONCE):
            asked = ids[first : first + _AT_ONCE]
            found = side_by_side(lambda one: self._one(one, notes), asked, self.config.parallel)
            yield self._part([one for one in found if one is not None], state, notes)
        yield Part((), msgspec.structs.replace(state, since=newest))

    def _part(self, incidents: Sequence[Subject], state: State, notes: Notes) -> Part:
        """What incidents give; what was merged into another is none, whatever was known of it before."""
        read = [one for one in incidents if self.config.takes(one.of, one.urgency or "")]
        whole = [
            Complete(
                kind=Incident,
                where={"native_id": one.id},
                dated="started_at",
                since=one.created_at,
                native_ids=frozenset(),
            )
            for one in read
            if one.merged
        ]
        own = [one for one in read if not one.merged]
        logs = side_by_side(lambda one: self._log(one.id, notes), own, self.config.parallel)
        return Part([self.shapes.event(one, log, notes) for one, log in zip(own, logs, strict=True)], state, whole)

    def _one(self, native_id: str, notes: Notes) -> Subject | None:
        """An incident by its id; None for one that is gone, or not for these credentials."""
        answer = self._asked(f"incidents/{quote(native_id, safe='')}", {}, understood=(_NOT_FOUND,))
        return None if answer.status == _NOT_FOUND else alone(answer, Subject, notes, "incident")

    def _log(self, native_id: str, notes: Notes) -> list[Entry]:
        path = f"incidents/{quote(native_id, safe='')}/log_entries"
        return list(chain.from_iterable(self._listed(path, "log_entries", Entry, {"include[]": "channels"}, notes)))

    def _pages(
        self, path: str, kind: type[T], span: tuple[datetime, datetime], asked: Mapping[str, str], notes: Notes
    ) -> Iterator[list[T]]:
        """The items of a list in a span of time, in parts that the API hands out whole."""

        def total(start: datetime, end: datetime) -> int:
            answer = self._asked(path, {**asked, **_between(start, end), "total": "true", "limit": "1"})
            return answer.read(_Count).total or 0

        start, end = span
        while start < end:
            until = min(start + _LONGEST_SPAN, end)
            for window in windows(start, until, total, self.most):
                yield from self._listed(path, path, kind, {**asked, **_between(window.start, window.end)}, notes)
            start = until

    def _listed(self, path: str, key: str, kind: type[T], asked: Mapping[str, str], notes: Notes) -> Iterator[list[T]]:
        """The pages of a list, as far as the API hands it out."""
        offset = 0
        while offset < self.most:
            size = min(_PAGE, self.most - offset)
            answer = self._asked(path, {**asked, "limit": str(size), "offset": str(offset)})
            items, rejected = answer.items(kind, key)
            notes.reject(rejected)
            yield items
            page = answer.read(_Paging)
            if not page.more:
                return
            offset += page.limit or size
        notes.cut(f"GET {path}: of one second, or of one incident, more than {self.most} items are not handed out")

    def _asked(self, path: str, asked: Mapping[str, str], understood: Collection[int] = ()) -> Answer:
        return self.client.get(path, {"time_zone": "UTC", **asked}, understood=understood)


def _since(path: str, items: Sequence[Subject | Entry], start: datetime) -> None:
    """Raises ContractError for what is older than was asked for."""
    if any(one.created_at < start - _TOLERATED for one in items):
        raise ContractError(f"GET {path}: `since` was passed over; is a proxy leaving parameters out?")


def _between(start: datetime, end: datetime) -> dict[str, str]:
    """A span in whole seconds that holds it all: other times are not documented."""
    until = end if not end.microsecond else end + _A_SECOND
    return {name: as_rfc3339(at.replace(microsecond=0)) for name, at in (("since", start), ("until", until))}


# ---- webhooks


class _Happened(msgspec.Struct):
    id: str
    event_type: str
    occurred_at: Timestamp
    data: msgspec.Raw


class _Pushed(msgspec.Struct):
    event: _Happened


class _Kind(msgspec.Struct):
    type: str | None = None


@dataclass(frozen=True)
class PagerDutyHooks:
    """Takes webhooks of version 3, whose bodies are signed."""

    secret: str = field(repr=False)
    config: PagerDutyConfig
    shapes: Shapes = field(repr=False)

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether one of the signatures is right: there are several while a secret is being replaced."""
        signatures = delivery.headers.get("x-pagerduty-signature", "").split(",")[:_MOST_SIGNATURES]
        return any(is_signed(self.secret, delivery.body, one.strip(), prefix="v1=") for one in signatures)

    def read(self, delivery: Delivery) -> Received:
        """The incident that an event is about. What an event leaves out comes with the next run."""
        answer = Answer(200, {}, delivery.body, "POST")
        event = answer.read(_Pushed).event
        known = event.id[:200] or id_of(delivery)
        told = Answer(200, {}, bytes(event.data), "POST")
        if told.read(_Kind).type != "incident":
            return Received(id=known, ignored=f"events of the kind {event.event_type[:80]!r} are not read")
        one: Subject = told.read(Subject)
        if not self.config.takes(one.of, one.urgency or ""):
            return Received(id=known, ignored="an incident that `services` or `urgencies` leave out")
        if one.merged or (one.status == "resolved" and event.event_type != "incident.resolved"):
            return Received(id=known, ignored="of this incident the next run reads what it is now")
        return Received(id=known, events=[self.shapes.pushed(one, event.event_type, event.occurred_at)])
