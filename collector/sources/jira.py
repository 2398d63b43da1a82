"""Issues of Jira, Cloud or Data Center, with Jira Service Management: tickets and incidents by rules, with replies."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import Field, field_validator

from collector.api import HookedConfig, TrackerConfig, Url
from collector.errors import Mistake, SourceError
from collector.events import Event, Incident, Ticket
from collector.findings import Findings
from collector.http import ApiClient
from collector.paging import side_by_side
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.jira.api import Asking, is_cloud, zone_of
from collector.systems.jira.hooks import JiraReceiver
from collector.systems.jira.shapes import COMMON, Chosen, FieldItem, Read, Shapes
from collector.times import as_rfc3339, parsed
from collector.tracking import Tracking

_SWEEP_EVERY = timedelta(days=1)
_SWEPT = timedelta(days=30)
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)
_ID = re.compile(r"customfield_\d+")
_FIELD_SETTINGS = ("type_field", "severity_field", "team_field", "started_field")
_ABOUT = About(
    system="Jira",
    gives=("ticket", "incident"),
    tested="official schema",
    scopes=(
        ("Jira Cloud: `username` and an API token of an account", "that may browse the projects"),
        ("scopes of such a token, where it has any: `read:jira-work`, `read:jira-user`", "issues, and who asks"),
        ("Data Center: a personal access token", "of an account that may browse the projects, without `username`"),
        ("agent in service projects", "to see requests of all customers and which notes are internal"),
    ),
    costs=(
        ("issues of Jira Cloud", "20 requests for 1 000: 100 issues, and the changes of their status, at a time"),
        ("issues of a Data Center", "11 requests for 1 000; fewer issues at a time where `maxResults` is lowered"),
        ("comments", "1 for each ticket on Cloud with 20 or more, and each commented request of a Data Center"),
        ("incidents", "1 for each, for the addresses that it is linked with"),
        ("a run in which nothing happened", "4 requests, 6 at most"),
    ),
    limits=(
        "A search of Cloud hands out 40 changes and 20 comments of an issue: both are read where they are whole.",
        "A Data Center lowers `maxResults` and ends searches at 10 000 issues: others go on from there.",
        "Times in queries are minutes of the account's own clock: each is asked for from the minute's beginning.",
        "What is deleted, or moved out of what is read, is found once a day, of the last 30 days.",
        "Commits and pull requests of the development panel have no public API; links to addresses are read.",
    ),
    example="""\
sources:
  - type: jira
    name: desk
    url: https://acme.atlassian.net
    username: paceline@acme.example
    token: ${JIRA_TOKEN}
    projects: [HELP]
    issues:
      - {type: Incident, becomes: incident}
      - becomes: ticket
""",
    more="""\
**What becomes what.** Each issue is what the first rule of `issues` makes of it: its project (by key), type,
components, labels and severity are what rules look at. Its id stays when it is moved to another project, and so does
its event. Sub-tasks are issues of a type of their own; a rule `becomes: nothing` leaves them out.

| Jira | Paceline |
|---|---|
| project key | `queue` of a ticket, unless a rule says otherwise |
| issue type, or the value of `type_field` | `type` |
| priority, or the value of `severity_field` | `priority` of a ticket, `severity` of an incident |
| component | `service`, unless a rule says otherwise |
| reporter | `author`; the only value of `team_field` is `author_team` |
| created; `started_field` of an incident | when it was detected; when it started |
| resolution date | the end, where the history does not tell it |
| its key; linked issues and the parent; remote links of an incident | `links`, as keys and as addresses |

**Statuses.** `statuses` maps them by name. One that is not named there counts by its category: *to do* is open, *in
progress* is in progress, *done* is resolved. The history is read by the statuses' ids, so that a status which was
renamed has its present name throughout. Names are those that the account's language shows.

**Replies** are the public comments: no internal note of a service project, none that a role or group alone may see.
Comments of apps are those of bots.

**Jira Service Management.** `type_field: Request Type` lets rules take requests by what customers chose; issues without
a request type keep their issue type. `team_field: Organizations` gives a request's only organization as the team of who
asks. The SLAs that Jira computes are not read: response and resolution are computed from replies and statuses, by the
calendars set here. Map what stops Jira's clock (`Waiting for customer`) under `statuses.waiting`, and it stands still
here too.

**Which Jira it is** says the server itself, or `deployment`. A wrong token must not look like an empty Jira, which lets
nobody search too: with a token, each run asks first whose it is.

**People.** An account is known by its login on a Data Center, on Cloud by its address where that is public, else by its
account id.

**Webhooks.** A webhook for *Issue: created* with `webhook_secret` as its secret brings new issues at once. Other events
name one change, not the whole of an issue: the next run reads it. So it does with new ones where `jql` or the names of
fields decide what they are.
""",
)


class JiraConfig(TrackerConfig, HookedConfig):
    """Settings of a Jira."""

    type: Literal["jira"]
    about: ClassVar[About] = _ABOUT

    username: str = Field(
        default="", description="The address of the account whose API token `token` is (Cloud); a login otherwise."
    )
    deployment: Literal["cloud", "data_center"] | None = Field(
        default=None, description="Which Jira it is; each run asks the server unless given."
    )
    projects: list[Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$")]] = Field(
        default_factory=list, description="Projects that are read, by their keys."
    )
    jql: str = Field(
        default="",
        description="Which issues are read, as a query; of `projects`, where both are given. It must not look at what "
        "changes as work goes on: an issue that it leaves counts as deleted.",
    )
    site: Url | None = Field(
        default=None, description="Where people look at issues, where that is not `url` (as with api.atlassian.com)."
    )
    type_field: str = Field(
        default="", description="The field that holds the type, by name or id; the issue type unless given."
    )
    severity_field: str = Field(
        default="", description="The field that holds the severity, by name or id; the priority unless given."
    )
    team_field: str = Field(default="", description="The field that holds the team of who asks, by name or id.")
    started_field: str = Field(
        default="",
        description="The field that holds when an incident started, by name or id; its creation unless given.",
    )

    @field_validator("jql")
    @classmethod
    def _is_a_condition(cls, value: str) -> str:
        if _ORDER.search(value):
            raise ValueError("the order is not free; expected a query without ORDER BY")
        return value.strip()

    def build(self, context: SourceContext) -> JiraSource:
        """The source; nothing is asked before the first pull."""
        token = reveal(self.token)
        client = self.client(
            context,
            headers={"Authorization": f"Bearer {token}"} if token and not self.username else None,
            basic=(self.username, token) if self.username else None,
        )
        return JiraSource(self, context, client, anonymous=not token)

    def receiver(self, context: SourceContext) -> JiraReceiver | None:
        """What takes new issues; None without `webhook_secret`."""
        secret = reveal(self.webhook_secret)
        if not secret:
            return None
        chosen = Chosen(*self._fields)
        undecided = "`jql` decides whether an issue is read" if self.jql else ""
        if not all(name in COMMON or _ID.fullmatch(name) for name in chosen.ids):
            undecided = "fields are set by names, which the server alone knows"
        shapes = self.shapes(context, chosen)
        return JiraReceiver(secret, self.projects, undecided, shapes, chosen, self.tracking(context))

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """As every API's; and that it is said what is read."""
        found = list(super().check(context))
        if not self.projects and not self.jql:
            found.append(_mistake("projects", "nothing is named", "`projects`, `jql` or both"))
        if self.username and not self.token.get_secret_value():
            found.append(_mistake("username", "an account without a token", "`token` beside it"))
        return found

    def shapes(self, context: SourceContext, chosen: Chosen) -> Shapes:
        """What makes issues of answers and deliveries."""
        return Shapes(self.site or self.url, context.people, chosen)

    def chosen(self, fields: Sequence[FieldItem]) -> Chosen:
        """The ids of the fields that are set. Raises SourceError where a name is none's, or several fields'."""
        return Chosen(*(_id_of(name, text, fields) for name, text in zip(_FIELD_SETTINGS, self._fields, strict=True)))

    @property
    def _fields(self) -> Sequence[str]:
        return [getattr(self, name) for name in _FIELD_SETTINGS]

    @property
    def names_fields(self) -> bool:
        """Whether any field is set."""
        return any(self._fields)


def _id_of(setting: str, text: str, fields: Sequence[FieldItem]) -> str:
    """The id of the field that a setting names; empty where it names none."""
    if not text or any(f.id == text for f in fields):
        return text
    wanted = text.casefold()
    found = [f.id for f in fields if wanted in {f.name.casefold(), (f.untranslated_name or "").casefold()}]
    if len(found) != 1:
        said = f"fields {', '.join(sorted(found))} have this name" if found else "no field has this name or id"
        raise SourceError(f"{setting}: {said}; name the field by its id, as `rest/api/2/field` lists it")
    return found[0]


def _mistake(path: str, problem: str, expected: str) -> Mistake:
    return Mistake(file="", line=0, path=path, problem=problem, expected=expected)


@dataclass(frozen=True)
class JiraSource:
    """See JiraConfig. One stream: the issues that are read."""

    config: JiraConfig
    context: SourceContext = field(repr=False)
    client: ApiClient = field(repr=False)
    anonymous: bool

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Issues updated since the cursor's."""
        streams = [Stream("issues", self._issues)]
        return pull(None if self.context.since else cursor, streams, Notes())

    def _issues(self, state: State, notes: Notes) -> Iterator[Part]:
        asking = self._asking()
        chosen = self.config.chosen(asking.fields()) if self.config.names_fields else Chosen()
        shapes = self.config.shapes(self.context, chosen)
        shapes.learn(asking.statuses(), notes)
        reading = _Reading(self.config, self.context, asking, shapes, self.config.tracking(self.context))
        yield from reading.parts(state, notes)

    def _asking(self) -> Asking:
        config = self.config
        cloud = is_cloud(self.client) if config.deployment is None else config.deployment == "cloud"
        asking = Asking(self.client, cloud, config.projects, config.jql)
        if self.anonymous:
            return asking
        return dataclasses.replace(asking, zone=zone_of(asking.account().time_zone))


@dataclass(frozen=True)
class _Reading:
    """A run: what is asked, and what becomes of the answers."""

    config: JiraConfig
    context: SourceContext
    asking: Asking
    shapes: Shapes
    tracking: Tracking

    def parts(self, state: State, notes: Notes) -> Iterator[Part]:
        """What was updated since a state, and once a day what is gone; nothing that was read as it stands."""
        floor = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
        # What is updated from now on is dated later than what is the newest now: the next run reads it.
        reached = state.reached or self.asking.newest(floor)
        if reached is not None:
            state = state.begun(reached)
            after = parsed(state.after) if state.after else None
            for issues in self.asking.updated(floor, after, self.shapes.chosen, notes):
                known = set(state.open)
                fresh = [issue for issue in issues if issue.version not in known]
                state = self._moved(state, issues, reached)
                yield Part(self._events(fresh, notes), state)
            state = self._ended(state, reached)
        yield from self._swept(state)

    def _moved(self, state: State, issues: Sequence[Read], reached: datetime) -> State:
        """The state after some issues: where the list goes on, and what of them the next run meets again."""
        last = max((issue.created_at for issue in issues), default=None)
        again = {issue.version for issue in issues if issue.updated_at >= reached - self.config.overlap}
        return msgspec.structs.replace(
            state,
            after=as_rfc3339(last) if last else state.after,
            open=tuple(sorted(again.union(state.open))),
        )

    def _ended(self, state: State, reached: datetime) -> State:
        """The state after all of them, without what will not be met again."""
        start = reached - self.config.overlap
        still = (v for v in state.open if (parsed(v.partition("@")[2]) or start) >= start)
        return msgspec.structs.replace(state.ended(), open=tuple(still))

    def _events(self, issues: Sequence[Read], notes: Notes) -> list[Event]:
        """What issues are by the rules, with what has to be asked for each."""
        histories = self.asking.histories(issues, notes) if issues else {}
        made = [(i, self.tracking.event(self.shapes.issue(i, histories.get(i.id, ()), notes))) for i in issues]
        found = [(issue, event) for issue, event in made if event is not None]
        return list(side_by_side(lambda one: self._whole(*one, notes), found, self.config.parallel))

    def _whole(self, issue: Read, event: Ticket | Incident, notes: Notes) -> Event:
        if isinstance(event, Incident):
            return msgspec.structs.replace(event, links=(*event.links, *self.asking.elsewhere(issue.id)))
        replies = self.shapes.replies(issue, self.asking.comments(issue), notes)
        return msgspec.structs.replace(event, replies=replies)

    def _swept(self, state: State) -> Iterator[Part]:
        """Once a day: what there is of the recent past, so that what was deleted is seen."""
        now = self.context.clock()
        if state.swept_at is not None and now - state.swept_at < _SWEEP_EVERY:
            yield Part((), state)
            return
        # After a first pass there is nothing that could have been deleted.
        whole = self._there_is(now - _SWEPT) if state.swept_at is not None else []
        yield Part((), msgspec.structs.replace(state, swept_at=now), whole)

    def _there_is(self, since: datetime) -> list[Complete]:
        """All tickets and incidents created since a time.

        From a list without any nothing follows: so looks the list of an account that lost its permissions.
        """
        notes = Notes()
        tracking = self.config.tracking(dataclasses.replace(self.context, findings=Findings()))
        listed = [issue for page in self.asking.created(since, self.shapes.chosen, notes) for issue in page]
        if notes.rejected or not listed:
            return []
        made = [tracking.event(self.shapes.issue(issue, (), notes)) for issue in listed]
        tickets = frozenset(e.native_id for e in made if isinstance(e, Ticket))
        incidents = frozenset(e.native_id for e in made if isinstance(e, Incident))
        return [
            Complete(kind=Ticket, where={}, dated="created_at", since=since, native_ids=tickets),
            Complete(kind=Incident, where={}, dated="detected_at", since=since, native_ids=incidents),
        ]
