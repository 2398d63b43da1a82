"""Incidents of a status page: what a team told others of a failure, and when it was over.

Read is what a page shows to everybody, or, with a token, all that its API holds. Both lists have the newest first and
are read whole: what was edited or deleted late is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import ClassVar, Literal
from urllib.parse import quote

import msgspec
from pydantic import Field

from collector.api import Url
from collector.errors import Mistake
from collector.events import Incident, IncidentState, Timestamp
from collector.http import Answer, ApiClient
from collector.incidents import IncidentConfig, Incidents, Told, alone
from collector.name_rules import NameRules
from collector.paging import numbered, side_by_side
from collector.patterns import Pattern
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull

_API = "https://api.statuspage.io"
_SHOWN = 50
"""So many incidents a page shows to everybody."""
_PAGE = 100
_NOT_FOUND = 404
_EVER = datetime.fromtimestamp(0, UTC)
_STATES = {
    "investigating": IncidentState.DETECTED,
    "identified": IncidentState.ACKNOWLEDGED,
    "monitoring": IncidentState.ACKNOWLEDGED,
    "resolved": IncidentState.RESOLVED,
    "postmortem": IncidentState.RESOLVED,
}
_LIVED = _STATES.keys() - {"postmortem"}
"""What an update of another kind tells changes no state."""
_OF_MAINTENANCE = frozenset({"scheduled", "in_progress", "verifying", "completed"})
_ABOUT = About(
    system="Statuspage",
    gives=("incident",),
    tested="official schema",
    scopes=(
        ("nothing", "what the page shows to everybody"),
        ("an API key", "with `page`: all incidents; the key of anybody who may see the page"),
    ),
    costs=(
        ("what a page shows", "1 request for its latest 50 incidents"),
        ("incidents with a key", "11 requests for 1 000: 100 at a time"),
        ("a run in which nothing happened", "as many: lists are read whole, as far as `history` goes back"),
    ),
    limits=(
        "A page shows its latest 50 incidents and no more; what is missed so is said. With a key all are read.",
        "A key may ask 60 times a minute; what is asked beyond that is asked again later.",
        "Webhooks of status pages carry no secret, so that nobody could tell who sent them: there are none.",
    ),
    example="""\
sources:
  - type: statuspage
    name: status
    url: https://status.example.com
    severities:
      minor: [none, minor]
      major: [major, critical]
""",
    more="""\
**What becomes what.** An incident that several components are affected by is one for each of them, under the name of
the component; one without a component is told once. The catalogue says by `components` which services these are.
`services` and `impacts` choose what is read. Scheduled maintenance is no incident.

**States.** *Investigating* is detected; *identified* and *monitoring* are acknowledged, since a fix that is watched is
none yet; *resolved* and *postmortem* are over. It is restored at its resolution. Updates count for when they happened
as the page displays it.

**Severities.** The impact: `none`, `minor`, `major`, `critical`. `severities` says what these are called here.

**What it names.** Name and updates are read for addresses, keys of tickets, commit ids and image digests; the text is
not kept.

**With a key.** `page` is the id that stands in the address of the page's settings, and `token` the API key:

```yaml
sources:
  - type: statuspage
    name: status
    page: kctbh9vrtdwd
    token: ${STATUSPAGE_KEY}
```
""",
)


class StatuspageConfig(IncidentConfig):
    """Settings of a status page."""

    type: Literal["statuspage"]
    about: ClassVar[About] = _ABOUT

    url: Url = Field(default=_API, description="Address of the status page, for example https://status.example.com.")
    page: str = Field(default="", description="Id of the page: with it and `token` the API is asked instead.")
    impacts: NameRules = Field(
        default_factory=list,
        description="Impacts of incidents that are read, such as `major` and `critical`; all unless given.",
    )

    def build(self, context: SourceContext) -> StatuspageSource:
        """The source."""
        token = reveal(self.token) if self.page else ""
        client = self.client(context, headers={"Authorization": f"OAuth {token}"} if token else None)
        return StatuspageSource(client, self, context, self.incidents(context))

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """No page, a token without its page, and what all sources check."""
        found = list(super().check(context))
        expected = "the address of a status page, or `page` and `token` for the API"
        if not self.page and self.url == _API:
            found.append(Mistake(file="", line=0, path="url", problem="it names no page", expected=expected))
        elif not self.page and self.token.get_secret_value():
            found.append(Mistake(file="", line=0, path="page", problem="`token` has no page", expected="its id"))
        return found

    def takes(self, impact: str) -> bool:
        """Whether incidents of an impact are read."""
        return not self.impacts or any(Pattern(rule).matches(impact) for rule in self.impacts)


# ---- what a page hands out


class _Component(msgspec.Struct):
    id: str
    name: str
    group: bool = False


class _Affected(msgspec.Struct):
    """A component as an update names it."""

    code: str
    name: str


class _Update(msgspec.Struct, kw_only=True):
    status: str
    created_at: Timestamp
    updated_at: Timestamp | None = None
    display_at: Timestamp | None = None
    body: str | None = None
    affected_components: list[_Affected] | None = None


class Subject(msgspec.Struct, kw_only=True):
    """An incident."""

    id: str
    name: str
    status: str
    created_at: Timestamp
    updated_at: Timestamp | None = None
    started_at: Timestamp | None = None
    resolved_at: Timestamp | None = None
    scheduled_for: Timestamp | None = None
    impact: str | None = None
    shortlink: str | None = None
    components: list[_Component] | None = None
    incident_updates: list[_Update] | None = None

    @property
    def affected(self) -> dict[str, str]:
        """The names of the components that it affects, by their ids; groups only where nothing in them is named."""
        listed = self.components or ()
        named = {one.id: one.name for one in listed if not one.group} or {one.id: one.name for one in listed}
        return named or {a.code: a.name for u in self.incident_updates or () for a in u.affected_components or ()}

    @property
    def planned(self) -> bool:
        """Whether it is scheduled maintenance."""
        return self.scheduled_for is not None or self.status in _OF_MAINTENANCE


# ---- reading


@dataclass(frozen=True)
class StatuspageSource:
    """See StatuspageConfig. One stream: the page's incidents."""

    client: ApiClient
    config: StatuspageConfig
    context: SourceContext = field(repr=False)
    incidents: Incidents = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """The incidents of the page."""
        read = self._all if self.config.page else self._shown
        return pull(None if self.context.since else cursor, [Stream("incidents", read)], Notes())

    def _shown(self, state: State, notes: Notes) -> Iterator[Part]:
        """What the page shows to everybody."""
        answer = self.client.get("api/v2/incidents.json")
        found, rejected = answer.items(Subject, "incidents")
        notes.reject(rejected)
        oldest = min((one.created_at for one in found), default=_EVER)
        full = len(found) + len(rejected) >= _SHOWN
        if full and oldest > (state.since or self.config.horizon(self.context)):
            reaches = f"{oldest.astimezone(UTC):%Y-%m-%d}"
            notes.cut(f"the page shows {_SHOWN} incidents, and none before {reaches}; `page` and `token` read all")
        if full and (lost := set(state.open) - {one.id for one in found}):
            notes.cut(f"incidents that were open are not shown any more, so that their end is not known: {len(lost)}")
        whole = not rejected and _newest_first(found)
        yield self._part(found, self._read(state, found), notes, (oldest if full else _EVER) if whole else None)

    def _all(self, state: State, notes: Notes) -> Iterator[Part]:
        """All that the API holds, as far as `history` goes back, and what is open from before."""
        path = f"v1/pages/{quote(self.config.page, safe='')}/incidents"
        floor = self.config.horizon(self.context)
        found: list[Subject] = []
        whole = True

        def count(answer: Answer) -> int:
            items, rejected = answer.items(Subject)
            return len(items) + len(rejected)

        for answer in numbered(self.client, path, {}, count, size=_PAGE, size_parameter="limit"):
            items, rejected = answer.items(Subject)
            notes.reject(rejected)
            whole = whole and not rejected
            found += items
            if items and max(one.created_at for one in items) < floor:
                break
        whole = whole and _newest_first(found)
        listed = {one.id for one in found}
        asked = [native_id for native_id in state.open if native_id not in listed]
        older = side_by_side(lambda one: self._one(f"{path}/{quote(one, safe='')}", notes), asked, self.config.parallel)
        found += [one for one in older if one is not None]
        yield self._part(found, self._read(state, found), notes, floor if whole else None)

    def _one(self, path: str, notes: Notes) -> Subject | None:
        answer = self.client.get(path, understood=(_NOT_FOUND,))
        return None if answer.status == _NOT_FOUND else alone(answer, Subject, notes)

    def _read(self, state: State, found: Sequence[Subject]) -> State:
        """The state after a list: the newest of it, and what is open."""
        for one in found:
            state = state.begun(one.created_at)
        still = [one.id for one in found if not one.planned and _STATES.get(one.status) is not IncidentState.RESOLVED]
        return msgspec.structs.replace(state.ended(), open=tuple(sorted(still)))

    def _part(self, found: Sequence[Subject], state: State, notes: Notes, whole_since: datetime | None) -> Part:
        """What incidents give; what else was known since a time was deleted, or is of other components now."""
        events = [event for one in found if not one.planned for event in self._events(one, notes)]
        if whole_since is None:
            return Part(events, state)
        ids = frozenset(event.native_id for event in events)
        whole = Complete(kind=Incident, where={}, dated="detected_at", since=whole_since, native_ids=ids)
        return Part(events, state, [whole])

    def _events(self, one: Subject, notes: Notes) -> Iterator[Incident]:
        """An incident, once for each component that is read; once where it has none."""
        if not self.config.takes(one.impact or ""):
            return
        if one.status not in _STATES:
            notes.unknown("status", one.status, "open")
        updates = one.incident_updates or ()
        told = Told(
            native_id=one.id,
            started_at=one.started_at or one.created_at,
            state=_STATES.get(one.status, IncidentState.DETECTED),
            updated_at=max([one.updated_at or one.created_at, *(u.updated_at or u.created_at for u in updates)]),
            url=one.shortlink,
            title=one.name,
            severity=one.impact or "",
            detected_at=one.created_at,
            restored_at=one.resolved_at,
            life=[(u.display_at or u.created_at, _STATES[u.status]) for u in updates if u.status in _LIVED],
            texts=[u.body or "" for u in updates],
        )
        for key, name in (one.affected or {"": ""}).items():
            if self.config.wants(name):
                yield self.incidents.event(replace(told, native_id=f"{one.id}/{key}" if key else one.id, service=name))


def _newest_first(listed: Sequence[Subject]) -> bool:
    """Whether a list has its order: in another one its end says nothing of what is not in it."""
    return all(one.created_at >= later.created_at for one, later in pairwise(listed))
