"""Issues of a Redmine: tickets and incidents by rules, with their statuses, replies and ends.

Its list is read in the order of changes, each page from where the one before ended, so that what changes meanwhile is
met again and never skipped. What happened to an issue is told only of each alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, ClassVar, Literal, NamedTuple

import msgspec
from pydantic import AfterValidator, Field

from collector.api import TrackerConfig
from collector.durations import Duration
from collector.errors import AuthError, BadRecord, ContractError, SourceError
from collector.events import Event, Incident, Ticket
from collector.findings import Findings
from collector.http import ApiClient
from collector.paging import side_by_side
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.redmine.shapes import Names, Person, Row, Shapes, StatusOf, Whole, status_of
from collector.times import as_rfc3339
from collector.tracking import Tracking

_PAGE = 100
_MOST_PAGES = 100_000
_FORBIDDEN, _NOT_FOUND = 403, 404
_GONE = frozenset({_FORBIDDEN, _NOT_FOUND})
_SECOND = timedelta(seconds=1)
_OVER = timedelta(minutes=1)
"""So long after a second nothing can come of it, though the server's clock be late."""
_SWEEP_EVERY = timedelta(days=1)
_SWEPT = timedelta(days=30)
_OURS = frozenset(
    {"key", "limit", "offset", "page", "sort", "include", "query_id", "f", "status_id", "updated_on", "created_on"}
    | {"issue_id", "project_id", "subproject_id", "set_filter", "format"}
)
"""What the source asks for itself; a `key` would stand in addresses, and a stored query takes no other filters."""
_ABOUT = About(
    system="Redmine",
    gives=("ticket", "incident"),
    tested="real server",
    scopes=(
        ("the REST web service", "switched on under Administration, Settings, API"),
        ("View issues", "in each project that is read; the key is that of a user, who need not be an administrator"),
        ("View private notes", "not needed: private notes are no replies, and are passed over"),
    ),
    costs=(
        ("issues", "1 010: pages of 100, and what happened to each"),
        ("issues that the rules leave out", "10"),
        ("projects and people of a run", "1 000: each of them once, where something changed"),
        ("a run in which nothing happened", "2 requests, and 1 for each further project that is named"),
        ("issues of the last 30 days", "10 once a day, to find those that were deleted"),
    ),
    limits=(
        "A page holds 100 issues, whatever is asked for. Lists end nowhere.",
        "Issues of the last 30 days that were deleted, or made private, are found once a day.",
        "Where a whole project is shown no more, its issues stay as they were, which is said.",
    ),
    example="""\
- name: desk
  type: redmine
  url: https://redmine.example.com
  token: ${REDMINE_KEY:-}
  projects: [helpdesk]
  issues:
    - becomes: ticket
  statuses:
    waiting: [Feedback]
    resolved: [Resolved]
""",
    more="""\
**What becomes what.** An issue is a ticket or an incident by the first of the rules under `issues` that fits: `project`
is the project's identifier, `type` the tracker, `component` the category, `severity` the priority or the custom field
that `severity_field` names, `label` a value of the custom fields that `label_fields` names. An issue that moves to
another project stays the same one.

**Statuses.** Redmine itself knows only whether a status is a closed one: such a one means `closed`, any other `open`,
unless `statuses` names it. How an issue came to its statuses is read from its history.

**Replies.** A note is a reply, unless it is private. A user is known by the login, where the key may see it.

**Which issues.** All that the key sees, or those of `projects`, with the projects below them unless
`subprojects: false`. `filters` narrows the list as the API does, for example `{tracker_id: "3"}`; what no longer fits
a filter is taken for deleted.

**Credentials.** The key of a user goes to `token`; with `username` it is that user's password. Redmine answers a wrong
key with what everybody may see, so the key is proven first. Without either, what everybody may see is what is read.
Redmine sends no webhooks.
""",
)


def _filters(value: dict[str, str]) -> dict[str, str]:
    ours = sorted(_OURS & {name.partition("[")[0] for name in value})
    if ours:
        raise ValueError(f"{', '.join(ours)}: the source sets this itself; expected other filters, such as tracker_id")
    return value


class RedmineConfig(TrackerConfig):
    """Settings of a Redmine."""

    type: Literal["redmine"]
    about: ClassVar[About] = _ABOUT

    username: str = Field(default="", description="The user whose password `token` is; it is an API key unless given.")
    projects: list[str] = Field(
        default_factory=list, description="Identifiers of the projects that are read; all unless given."
    )
    subprojects: bool = Field(default=True, description="Whether the projects below these are read too.")
    filters: Annotated[dict[str, str], AfterValidator(_filters)] = Field(
        default_factory=dict, description="More filters of the list of issues, as the API names them."
    )
    severity_field: str = Field(
        default="", description="The custom field that tells how severe an issue is; the priority unless given."
    )
    label_fields: list[str] = Field(
        default_factory=list, description="The custom fields whose values are an issue's labels."
    )
    overlap: Duration = Field(
        default=timedelta(minutes=5),
        description="How much of what was read before is listed again each time, for what the system shows late.",
    )

    def build(self, context: SourceContext) -> RedmineSource:
        """The source; it asks nothing before its first pull."""
        token = reveal(self.token)
        client = self.client(
            context,
            headers={"X-Redmine-API-Key": token} if token and not self.username else None,
            basic=(self.username, token) if self.username else None,
        )
        shapes = Shapes(self.url, context.people, self.severity_field, self.label_fields)
        tracking, quiet = self.tracking(context), self.tracking(replace(context, findings=Findings()))
        return RedmineSource(client, self, context, shapes, tracking, quiet, proves=bool(token or self.username))


# ---- what the API hands out


class _User(msgspec.Struct):
    login: str | None = None


class _Account(msgspec.Struct):
    user: _User


class _Project(msgspec.Struct):
    identifier: str


class _OneProject(msgspec.Struct):
    project: _Project


class _OneIssue(msgspec.Struct):
    issue: msgspec.Raw


class _Statuses(msgspec.Struct):
    issue_statuses: list[StatusOf]


class _Total(msgspec.Struct):
    total_count: int


class _Listed(NamedTuple):
    """A page of issues, and whether more come after it."""

    rows: Sequence[Row]
    more: bool


class _Met(NamedTuple):
    """When an issue was changed, and whether that second was over when it was read: else more of it may come."""

    at: datetime
    settled: bool


# ---- reading


@dataclass(frozen=True)
class RedmineSource:
    """See RedmineConfig. A stream for each project that is named, or one for all; and one that looks for deletions."""

    client: ApiClient
    config: RedmineConfig
    context: SourceContext = field(repr=False)
    shapes: Shapes = field(repr=False)
    tracking: Tracking = field(repr=False)
    quiet: Tracking = field(repr=False)
    proves: bool
    names: Names = field(default_factory=Names, repr=False)
    """What was asked in this run."""
    refused: list[SourceError] = field(default_factory=list, repr=False)
    """Why lists of issues could not be read in this run."""

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Issues that changed since the cursor's time."""
        if self.proves:
            self._prove()
        run = replace(self, names=Names(), refused=[])
        yield from pull(None if self.context.since else cursor, run._streams(), Notes())  # noqa: SLF001 - itself, afresh

    def _streams(self) -> Iterator[Stream]:
        for name, within in self._scopes():
            yield Stream(f"issues {name}".strip(), partial(self._issues, within))
        yield Stream("deletions", self._deletions)

    def _prove(self) -> None:
        """A wrong key is answered with what everybody may see: only this tells that it is one."""
        try:
            self.client.get("users/current.json").read(_Account)
        except AuthError as error:
            if error.status != _FORBIDDEN:
                raise
            raise AuthError(f"{error}; is the REST web service switched on?", status=error.status) from None

    def _scopes(self) -> Sequence[tuple[str, Mapping[str, str]]]:
        """The lists that are read: by the project that is named, what it is asked for with."""
        if not self.config.projects:
            return [("", {})]
        below = "*" if self.config.subprojects else "!*"
        return [(name, {"project_id": name, "subproject_id": below}) for name in self.config.projects]

    # -- issues

    def _issues(self, within: Mapping[str, str], state: State, notes: Notes) -> Iterator[Part]:
        """Issues of a list; that it is refused is remembered."""
        try:
            yield from self._read(within, state, notes)
        except SourceError as error:
            self.refused.append(error)
            raise

    def _read(self, within: Mapping[str, str], state: State, notes: Notes) -> Iterator[Part]:
        """Issues in the order in which they changed. `open` holds those of the overlap, as they were read before."""
        floor = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
        before, met, now = set(state.open), dict[str, _Met](), self.context.clock()
        start = max(floor, _time(state.after)) if state.after else floor
        for rows, place in self._changed(within, start, notes):
            newest = max(r.updated_on for r in rows)
            fresh = [r for r in rows if r.version not in before and r.version not in met]
            over = max(newest, now - _OVER)
            met = {r.version: _Met(r.updated_on, r.version in before or r.updated_on < over) for r in rows} | met
            met = {version: one for version, one in met.items() if one.at >= newest - self.config.overlap}
            # A time that is still to come must not have everything before it passed over.
            state = msgspec.structs.replace(state.begun(min(newest, now)), after=as_rfc3339(place))
            yield Part(self._events(fresh, notes), state)
        known = sorted(version for version, one in met.items() if one.settled)
        yield Part((), msgspec.structs.replace(state.ended(), open=tuple(known)))

    def _changed(
        self, within: Mapping[str, str], start: datetime, notes: Notes
    ) -> Iterator[tuple[Sequence[Row], datetime]]:
        """Pages of the issues that changed at a time or later, in that order; and from when on to go on after each."""
        at = start.replace(microsecond=0)
        for _ in range(_MOST_PAGES):
            asked = {**within, "updated_on": f">={as_rfc3339(at)}", "sort": "updated_on,id"}
            rows, more = self._listed(asked, notes)
            times = [row.updated_on for row in rows]
            # Servers keep parts of seconds that they do not show: those of the second before may come along.
            if times != sorted(times) or (times and times[0] < at - _SECOND):
                raise ContractError("GET issues.json: not what was asked for; is a proxy leaving parameters out?")
            if rows:
                yield rows, times[-1]
            if not more:
                return
            if times[-1] > at:
                at = times[-1]
                continue
            between = {**within, "updated_on": f"><{as_rfc3339(at)}|{as_rfc3339(at + _SECOND)}"}
            for page in self._by_id(between, notes):
                yield page, at
            at += 2 * _SECOND
        raise ContractError("GET issues.json: its pages never end")

    def _by_id(self, asked: Mapping[str, str], notes: Notes) -> Iterator[Sequence[Row]]:
        """Pages of issues in the order of their ids, so that none is skipped however they change meanwhile."""
        after = 0
        for _ in range(_MOST_PAGES):
            rows, more = self._listed({**asked, "issue_id": f">={after + 1}", "sort": "id"}, notes)
            if any(row.id <= after for row in rows):
                raise ContractError("GET issues.json: not what was asked for; is a proxy leaving parameters out?")
            if rows:
                yield rows
            if not more:
                return
            after = rows[-1].id
        raise ContractError("GET issues.json: its pages never end")

    def _listed(self, asked: Mapping[str, str], notes: Notes) -> _Listed:
        """A page of the list, of issues in all statuses."""
        answer = self.client.get("issues.json", {**self.config.filters, **asked, "status_id": "*", "limit": str(_PAGE)})
        rows, rejected = answer.items(Row, "issues")
        notes.reject(rejected)
        more = answer.read(_Total).total_count > len(rows) + len(rejected)
        if more and not rows:
            raise ContractError(f"{answer.asked}: none of its issues can be read, and more would follow")
        return _Listed(rows, more)

    def _events(self, rows: Sequence[Row], notes: Notes) -> list[Event]:
        """What issues become. What happened to one is asked only where a rule takes it."""
        self._learn(rows)
        taken = {row.id: row for row in rows if self._kind(row) is not None}
        asked = side_by_side(partial(self._whole, notes), list(taken.values()), self.config.parallel)
        found = [whole for whole in asked if whole is not None]
        self._meet({number for whole in found for number in whole.people})
        # One that no rule takes is told too: what its tracker is called may have to be mapped.
        left = [row for row in rows if row.id not in taken]
        made = (self.tracking.event(self.shapes.issue(row, self.names, notes)) for row in (*left, *found))
        return [event for event in made if event is not None]

    def _kind(self, row: Row) -> type[Event] | None:
        """What an issue becomes, by what a list tells of it; nothing is noted."""
        event = self.quiet.event(self.shapes.issue(row, self.names, Notes()))
        return None if event is None else type(event)

    def _whole(self, notes: Notes, row: Row) -> Whole | None:
        """An issue with what happened to it; None where it is gone since it was listed, or cannot be used."""
        answer = self.client.get(f"issues/{row.id}.json", {"include": "journals,relations"}, understood=_GONE)
        if answer.status in _GONE:
            return None
        try:
            return msgspec.json.decode(answer.read(_OneIssue).issue, type=Whole)
        except msgspec.ValidationError as error:
            notes.reject([BadRecord(answer.asked, f"it is not as documented: {error}")])
            return None

    def _learn(self, rows: Sequence[Row]) -> None:
        """Ask what the ids in issues stand for: statuses, and the identifiers of projects."""
        if rows and not self.names.statuses:
            answer = self.client.get("issue_statuses.json")
            self.names.statuses |= {s.id: status_of(s) for s in answer.read(_Statuses).issue_statuses}
        projects = {row.project.id: row.project.name for row in rows if row.project.id not in self.names.projects}
        self.names.projects |= side_by_side(self._project, sorted(projects.items()), self.config.parallel)

    def _project(self, project: tuple[int, str]) -> tuple[int, str]:
        """A project's id and identifier; its name where it is not shown."""
        number, name = project
        answer = self.client.get(f"projects/{number}.json", understood=_GONE)
        return number, name if answer.status in _GONE else answer.read(_OneProject).project.identifier

    def _meet(self, users: set[int]) -> None:
        """Ask who users are."""
        unknown = sorted(users - self.names.people.keys())
        self.names.people |= side_by_side(self._person, unknown, self.config.parallel)

    def _person(self, number: int) -> tuple[int, Person]:
        answer = self.client.get(f"users/{number}.json", understood=_GONE)
        login = None if answer.status in _GONE else answer.read(_Account).user.login
        return number, self.shapes.person(number, login)

    # -- deletions

    def _deletions(self, state: State, notes: Notes) -> Iterator[Part]:
        """Once a day: which issues of the last days there are. `open` remembers the projects that they were in."""
        if len(self.refused) == len(self._scopes()):
            raise self.refused[0]  # beside this stream, which asks nothing on most days, the run would be a success
        now = self.context.clock()
        if state.swept_at is None:
            # After a first pass there is nothing that could have been deleted.
            yield Part((), _swept(state, now, dict.fromkeys(self.names.projects, now.date().toordinal())))
        elif now - state.swept_at >= _SWEEP_EVERY:
            yield self._missed(state, now, notes)

    def _missed(self, state: State, now: datetime, notes: Notes) -> Part:
        """Which issues there are: what is not among them was deleted, unless it only cannot be seen."""
        own, sweep = Notes(), _Sweep((now - _SWEPT).replace(microsecond=0))
        for _, within in self._scopes():
            self._sweep(sweep, within, own)
        entries = (entry.partition("@") for entry in state.open)
        days = {int(number): int(day) for number, _, day in entries}
        known = {number: day for number, day in days.items() if day >= sweep.since.date().toordinal()}
        for number in sorted(known.keys() - sweep.projects):
            # Of a project that is read no more, though it is there, nothing was deleted.
            self._sweep(sweep, {"project_id": str(number), "subproject_id": "!*"}, own)
        if sweep.hidden:
            notes.cut("a project is not shown any more: what was deleted is not looked for, as it would look the same")
        if own.rejected:
            notes.cut("an issue of the list cannot be read: what was deleted is not looked for")
        state = _swept(state, now, known | dict.fromkeys(sweep.projects, now.date().toordinal()))
        return Part((), state, [] if sweep.hidden or own.rejected else sweep.whole())

    def _sweep(self, sweep: _Sweep, within: Mapping[str, str], notes: Notes) -> None:
        """Note which issues there are. A project that was deleted has none; one that is not shown may have some."""
        try:
            for rows in self._by_id({**within, "created_on": f">={as_rfc3339(sweep.since)}"}, notes):
                self._learn(rows)
                sweep.note((row, self._kind(row)) for row in rows)
        except SourceError as error:
            if error.status not in _GONE:
                raise
            sweep.hidden = sweep.hidden or error.status == _FORBIDDEN


@dataclass
class _Sweep:
    """The issues that were made since a time, as far as they were met, and the projects that they are in."""

    since: datetime
    projects: set[int] = field(default_factory=set)
    hidden: bool = False
    tickets: set[str] = field(default_factory=set)
    incidents: set[str] = field(default_factory=set)

    def note(self, rows: Iterable[tuple[Row, type[Event] | None]]) -> None:
        """Issues, and what each becomes."""
        for row, kind in rows:
            self.projects.add(row.project.id)
            if kind is not None:
                (self.tickets if kind is Ticket else self.incidents).add(str(row.id))

    def whole(self) -> list[Complete]:
        """What there is of each kind."""
        tickets, incidents = frozenset(self.tickets), frozenset(self.incidents)
        return [
            Complete(kind=Ticket, where={}, dated="created_at", since=self.since, native_ids=tickets),
            Complete(kind=Incident, where={}, dated="detected_at", since=self.since, native_ids=incidents),
        ]


def _swept(state: State, now: datetime, projects: Mapping[int, int]) -> State:
    """The state after a look at what there is: `open` holds projects with the days on which issues were met in them."""
    remembered = tuple(f"{number}@{day}" for number, day in sorted(projects.items()))
    return msgspec.structs.replace(state, swept_at=now, open=remembered)


def _time(text: str) -> datetime:
    """A time as `after` holds it."""
    return datetime.fromisoformat(text)
