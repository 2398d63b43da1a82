"""ServiceNow: incidents and requests as tickets or incidents, changes as deployments, by its Table API.

A table is read by when its records were last updated. A page begins at the second in which the one before ended: what
is updated meanwhile comes again, and nothing is passed over. The states that a task went through are in the audit, what
was said publicly in the journal: both are read for a page of tasks at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.api import TrackerConfig
from collector.errors import AuthError, BadRecord, ContractError, RetryableError
from collector.events import Event, Incident, Ticket
from collector.http import Answer, ApiClient
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.servicenow.shapes import (
    STATES,
    Audited,
    Choice,
    Entry,
    Fields,
    History,
    Record,
    Shapes,
    as_query,
    time,
    value,
)
from collector.tracking import Tracking

T = TypeVar("T")

_PAGE = 100
"""Records a page: their ids must fit into the address that asks for their history."""
_MANY = 1_000
_MOST_PAGES = 100_000
_SWEEP_EVERY, _SWEPT = timedelta(days=1), timedelta(days=30)
_REFUSED = frozenset({401})
_PEOPLE = frozenset(
    {
        *("assigned_to", "caller_id", "closed_by", "email", "manager", "opened_by", "opened_for", "reopened_by"),
        *("requested_by", "requested_for", "resolved_by", "sys_created_by", "sys_updated_by", "user_name"),
    }
)
_Name = Annotated[str, Field(pattern=r"^[a-z0-9_.]+$")]


def _one_query(text: str) -> str:
    """An encoded query that others can be added to."""
    if "^NQ" in text or "ORDERBY" in text:
        raise ValueError("`^NQ` and `ORDERBY` would change what is asked beside it; expected conditions alone")
    return text


def _of_nobody(text: str) -> str:
    """A field that does not hold somebody: queues, services and severities are shown."""
    if text.rpartition(".")[2] in _PEOPLE:
        raise ValueError("this field names people; expected one of groups, services or kinds")
    return text


_Query = Annotated[str, AfterValidator(_one_query)]
_Field = Annotated[_Name, AfterValidator(_of_nobody)]


class ChangeSettings(BaseModel):
    """Which change requests are deployments, and where to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: _Query = Field(default="", description="An encoded query that such changes fit, such as `type=normal`.")
    environment: str = Field(default="production", description="The environment that they go to.")


class ServiceNowConfig(TrackerConfig):
    """Settings of a ServiceNow instance."""

    about: ClassVar[About | None] = About(
        system="ServiceNow",
        gives=("ticket", "incident", "deployment"),
        tested="recorded shape",
        scopes=(
            ("read of the tables", "the tasks (role `itil`, or `snc_read_only` beside it)"),
            ("read of `sys_journal_field`", "when somebody replied"),
            ("read of `sys_audit`", "the states that tasks went through; without it only their ends are known"),
            ("read of `sys_choice`", "what the instance calls its states, where these are not as delivered"),
        ),
        costs=(
            ("tasks", "30: 100 tasks, their comments and their states at a time"),
            ("changes", "10"),
            ("a run in which nothing happened", "2 for each table, and 2 more where the last hour had tasks"),
        ),
        limits=(
            "Access rules hide records without a word; how many a table hides is said.",
            "Tasks of the last 30 days that were deleted are found once a day, unless access rules hide some.",
            "A list has no cap. What an access rule hides of the audit looks as if nothing had changed.",
        ),
        example="""\
sources:
  - type: servicenow
    name: desk
    url: https://example.service-now.com
    username: paceline
    token: ${SERVICENOW_PASSWORD:-}
    issues:
      - {project: Platform, type: incident, becomes: incident}
      - {project: Platform, becomes: ticket}
""",
        more="""\
A record of `tables` is an issue: its project is the assignment group, its type the table, its component the business
service (else the configuration item), its severity the priority as people see it (`1 - Critical`). `issues` says which
of them are what, `statuses` what the states mean; [Tickets and incidents](../tracking.md) shows how. Unless told
otherwise *Resolved* is resolved, *Closed* and *Canceled* are closed, and *On Hold: Awaiting Caller* is waiting.

Replies are the comments in the journal; work notes are none. Who asked is the caller of an incident, whom an item was
requested for, else who opened it.

With `changes` each closed change request is a deployment of its business service: *successful* and *successful with
issues* succeeded, *unsuccessful* failed, a cancelled one is none. It ended at the actual end (`work_end`). Its commits
are not known: it counts for frequency and fail rate, and is seen in the coverage of lead time. An incident whose
*Caused by change* names it is its failure.

```yaml
sources:
  - type: servicenow
    name: desk
    url: https://example.service-now.com
    token: ${SERVICENOW_TOKEN:-}
    tables: [incident, sc_req_item]
    issues:
      - {becomes: ticket, project: [Platform, "Platform *"]}
    statuses:
      waiting: ["On Hold: Awaiting Caller", "On Hold: Awaiting Evidence"]
    changes: {query: "assignment_group.name=Platform^type=normal"}
```

Without `username` the token is an OAuth token. Numbers such as `INC0010001` are links: a deployment that names one
belongs to it.
""",
    )

    type: Literal["servicenow"]
    username: str = Field(default="", description="The user, whose password `token` is; without one it is OAuth's.")
    tables: list[_Name] = Field(
        default=["incident", "sc_req_item"], min_length=1, description="The tables that are read; each extends `task`."
    )
    query: _Query = Field(
        default="", description="An encoded query that all records must fit, as the filter of a list copies it."
    )
    project_field: _Field = Field(default="assignment_group", description="The field that is the project of an issue.")
    component_fields: list[_Field] = Field(
        default=["business_service", "cmdb_ci"], description="The fields that are components of an issue."
    )
    severity_field: _Field = Field(default="priority", description="The field that is the severity.")
    type_field: Annotated[str, AfterValidator(_of_nobody)] = Field(
        default="", pattern=r"^[a-z0-9_.]*$", description="The field that is the type; the table's name unless given."
    )
    changes: ChangeSettings | None = Field(
        default=None,
        description="Which change requests are deployments; none are read unless given.",
    )

    def build(self, context: SourceContext) -> ServiceNowSource:
        """The source."""
        token = reveal(self.token)
        basic = (self.username, token) if self.username else None
        headers = {"Authorization": f"Bearer {token}"} if token and basic is None else None
        client = self.client(context, url=f"{self.url}/api/now/table", basic=basic, headers=headers)
        people = ("caller_id.user_name", "request.requested_for.user_name", "opened_by.user_name")
        fields = Fields(self.project_field, self.component_fields, self.severity_field, self.type_field, people)
        shapes = Shapes(self.name, self.url, context.people, fields)
        return ServiceNowSource(client, self, context, shapes, self.tracking(context))


@dataclass(frozen=True)
class ServiceNowSource:
    """See ServiceNowConfig. A stream for each table, one for changes, one for what was deleted."""

    client: ApiClient
    config: ServiceNowConfig
    context: SourceContext = field(repr=False)
    shapes: Shapes = field(repr=False)
    tracking: Tracking = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """The tasks and changes that were updated since the cursor's."""
        notes = Notes()
        self._learn(notes)
        streams = [Stream(table, partial(self._tasks, table)) for table in self.config.tables]
        if self.config.changes is not None:
            streams.append(Stream("change_request", partial(self._changes, self.config.changes)))
        streams.append(Stream("deleted", self._deleted))
        return pull(None if self.context.since else cursor, streams, notes)

    def _learn(self, notes: Notes) -> None:
        """What the instance calls its states; as they are delivered where it may not be asked."""
        tables = ",".join(dict.fromkeys(["task", *self.config.tables]))
        query = f"nameIN{tables}^elementIN{','.join(STATES)}^language=en^ORDERBYsys_id"
        try:
            self.shapes.learn(self._all("sys_choice", query, Choice, ("name", "element", "value", "label"), notes))
        except AuthError as error:
            if error.status in _REFUSED:
                raise
            notes.warn("`sys_choice` may not be read: states are called as ServiceNow delivers them")

    # ---- tasks

    def _tasks(self, table: str, state: State, notes: Notes) -> Iterator[Part]:
        wanted = (
            *("number", "state", "hold_reason", "opened_at", "resolved_at", "closed_at", "short_description"),
            *("sys_created_on", self.config.project_field, *self.config.component_fields, self.config.severity_field),
            *(("caused_by",) if table == "incident" else ()),
            *((self.config.type_field,) if self.config.type_field else ()),
            *self.shapes.fields.people,
        )
        for records, after in self._pages(table, self.config.query, wanted, state, notes):
            yield Part(self._issues(table, records, notes), after)

    def _issues(self, table: str, records: Sequence[Record], notes: Notes) -> list[Event]:
        ids = [key for record in records if (key := value(record, "sys_id"))]
        history = self._history(table, ids, notes)
        events: list[Event] = []
        for record in records:
            issue = self.shapes.issue(table, record, history, notes)
            if isinstance(issue, BadRecord):
                notes.reject([issue])
            elif (event := self.tracking.event(issue)) is not None:
                events.append(event)
        return events

    def _history(self, table: str, ids: Sequence[str], notes: Notes) -> History:
        """The comments on some tasks and the states that they went through."""
        if not ids:
            return History({}, {})
        one_of = ",".join(ids)
        said: dict[str, list[Entry]] = defaultdict(list)
        query = f"element=comments^element_idIN{one_of}^ORDERBYsys_created_on^ORDERBYsys_id"
        for entry in self._readable("sys_journal_field", query, Entry, notes):
            said[entry.element_id].append(entry)
        changed: dict[str, list[Audited]] = defaultdict(list)
        query = (
            f"tablename={table}^fieldnameIN{','.join(STATES)}^documentkeyIN{one_of}^ORDERBYsys_created_on^ORDERBYsys_id"
        )
        for one in self._readable("sys_audit", query, Audited, notes):
            changed[one.documentkey].append(one)
        return History(said, changed)

    def _readable(self, table: str, query: str, kind: type[T], notes: Notes) -> list[T]:
        """The rows of a table of the system, which not everybody may read: without them something is not known."""
        try:
            return self._all(table, query, kind, kind.__struct_fields__, notes)  # type: ignore[attr-defined] # a struct
        except AuthError as error:
            if error.status in _REFUSED:
                raise
            notes.cut(f"{table}: {error}")
            return []

    # ---- changes

    def _changes(self, settings: ChangeSettings, state: State, notes: Notes) -> Iterator[Part]:
        wanted = ("number", "close_code", "work_start", "work_end", "closed_at", "type", *self.config.component_fields)
        for records, after in self._pages("change_request", settings.query, wanted, state, notes):
            made = [self.shapes.deployment(record, settings.environment) for record in records]
            notes.reject(one for one in made if isinstance(one, BadRecord))
            yield Part([one for one in made if isinstance(one, Event)], after)

    # ---- what was deleted

    def _deleted(self, state: State, notes: Notes) -> Iterator[Part]:
        """Once a day the tasks of the recent past, by their ids alone."""
        del notes
        now = self.context.clock()
        if state.swept_at is not None and now - state.swept_at < _SWEEP_EVERY:
            return
        since = now - _SWEPT
        found = [self._ids(table, since) for table in self.config.tables]
        ids = frozenset(key for some in found for key in some or ())
        whole = [
            Complete(kind=kind, where={}, dated=dated, since=since, native_ids=ids)
            for kind, dated in ((Ticket, "created_at"), (Incident, "started_at"))
        ]
        yield Part((), msgspec.structs.replace(state, swept_at=now), () if None in found else whole)

    def _ids(self, table: str, since: datetime) -> set[str] | None:
        """The ids of the tasks opened since a time; None where access rules hide some."""
        query = _all_of(self.config.query, f"opened_at>={as_query(since)}", "ORDERBYsys_id")
        found: set[str] = set()
        for answer in self._answers(table, query, ("sys_id",)):
            found |= {row["sys_id"] for row in answer.items(dict[str, str], "result")[0] if "sys_id" in row}
        return found if len(found) >= _total(answer) else None

    # ---- lists

    def _pages(
        self, table: str, own: str, wanted: Sequence[str], state: State, notes: Notes
    ) -> Iterator[tuple[list[Record], State]]:
        """The records of a table from a state on, by when they were updated, and where it stands after each page."""
        if state.after is None:
            floor = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
            place = _Place(as_query(floor), 0)
        else:
            place = msgspec.json.decode(state.after, type=_Place)
        hidden = 0
        for _ in range(_MOST_PAGES):
            query = _all_of(own, f"sys_updated_on>={place.since}", "ORDERBYsys_updated_on", "ORDERBYsys_id")
            answer = self._asked(
                table,
                {
                    "sysparm_query": query,
                    "sysparm_fields": ",".join(dict.fromkeys(["sys_id", "sys_updated_on", *wanted])),
                    "sysparm_display_value": "all",
                    "sysparm_exclude_reference_link": "true",
                    "sysparm_limit": str(_PAGE),
                    "sysparm_offset": str(place.offset),
                },
            )
            records, rejected = answer.items(Record, "result")
            notes.reject(rejected)
            times = _ordered(table, records, place.since)
            over = place.offset + _PAGE >= _total(answer)
            hidden += max(0, min(_PAGE, _total(answer) - place.offset) - len(records) - len(rejected))
            place = place.after(times)
            for at in times:
                state = state.begun(time(at))
            if over:
                if hidden:
                    notes.cut(f"{table}: access rules hide {hidden} records that were updated since")
                yield records, state.ended()
                return
            state = msgspec.structs.replace(state, after=msgspec.json.encode(place).decode())
            yield records, state
        raise ContractError(f"GET {table}: its pages never end")

    def _all(self, table: str, query: str, kind: type[T], wanted: Sequence[str], notes: Notes) -> list[T]:
        """All rows of a table that fit a query, by their values."""
        found: list[T] = []
        for answer in self._answers(table, query, wanted):
            rows, rejected = answer.items(kind, "result")
            notes.reject(rejected)
            found += rows
        return found

    def _asked(self, table: str, parameters: Mapping[str, str]) -> Answer:
        """An answer that is whole. Where a query takes too long ServiceNow says so behind what it had, with a 200."""
        answer = self.client.get(table, parameters)
        if answer.read(_Ending).error is not None:
            raise RetryableError(f"{answer.asked}: ServiceNow gave up before the end of its answer")
        return answer

    def _answers(self, table: str, query: str, wanted: Sequence[str]) -> Iterator[Answer]:
        """The pages of a list, at least one: rows that access rules hide leave pages short, and end nothing."""
        asked = {"sysparm_query": query, "sysparm_fields": ",".join(wanted), "sysparm_limit": str(_MANY)}
        for page in range(_MOST_PAGES):
            answer = self._asked(table, {**asked, "sysparm_offset": str(page * _MANY)})
            yield answer
            if (page + 1) * _MANY >= _total(answer):
                return
        raise ContractError(f"GET {table}: its pages never end")


class _Ending(msgspec.Struct):
    """What stands behind the records of an answer that is not whole."""

    error: Any = None


class _Place(msgspec.Struct, frozen=True):
    """Where the next page begins: at a second, after so many of the records that were updated in it or later."""

    since: str
    offset: int

    def after(self, times: Sequence[str]) -> _Place:
        """The place after a page: at the last second that it showed. Where that is all it showed, further in it."""
        if times and times[-1] > self.since:
            return _Place(times[-1], 0)
        return _Place(self.since, self.offset + _PAGE)


def _ordered(table: str, records: Sequence[Record], since: str) -> list[str]:
    """When the records of a page were updated. ServiceNow passes over a part of a query that it does not understand."""
    times = [value(record, "sys_updated_on") for record in records]
    if any(time(at) is None for at in times):
        raise ContractError(f"GET {table}: a record has no `sys_updated_on`; may the user read it?")
    if times != sorted(times) or (times and times[0] < since):
        raise ContractError(f"GET {table}: not what was asked for; is `query` an encoded query?")
    return times


def _total(answer: Answer) -> int:
    """How many records fit the query, those among them that access rules hide too."""
    told = answer.headers.get("x-total-count", "")
    if not told.isdigit():
        raise ContractError(f"{answer.asked}: no `X-Total-Count`; is a proxy leaving headers out?")
    return int(told)


def _all_of(*parts: str) -> str:
    """An encoded query of several parts."""
    return "^".join(filter(None, parts))
