"""Records of ServiceNow's Table API as issues and deployments.

Each field comes with its value and what people see. Values are the same for everybody: times are in UTC, states are
numbers; what people see depends on who asks. So names of states come from the choices in English, not from the records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import msgspec

from collector.errors import BadRecord
from collector.events import Deployment, Reply, Result, TicketState
from collector.people import People
from collector.streams import Notes
from collector.tracking import Issue, Status, StatusChange

STATES = ("state", "hold_reason")
"""The fields whose history tells where a task stood."""
_ON_HOLD, _AWAITING_CALLER = "3", "1"
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_OPEN, _DOING = TicketState.OPEN, TicketState.IN_PROGRESS
_RESOLVED, _CLOSED = TicketState.RESOLVED, TicketState.CLOSED
_OF_INCIDENTS = {
    "1": ("New", _OPEN),
    "2": ("In Progress", _DOING),
    "3": ("On Hold", _DOING),
    "6": ("Resolved", _RESOLVED),
    "7": ("Closed", _CLOSED),
    "8": ("Canceled", _CLOSED),
}
_OF_TASKS = {
    "-5": ("Pending", _DOING),
    "1": ("Open", _OPEN),
    "2": ("Work in Progress", _DOING),
    "3": ("Closed Complete", _CLOSED),
    "4": ("Closed Incomplete", _CLOSED),
    "7": ("Closed Skipped", _CLOSED),
}
_HOLD_REASONS = {"1": "Awaiting Caller", "3": "Awaiting Problem", "4": "Awaiting Vendor", "5": "Awaiting Change"}
_RESULTS = {
    "successful": Result.SUCCESS,
    "successful_issues": Result.SUCCESS,
    "unsuccessful": Result.FAILURE,
}
"""Close codes of changes. One that was cancelled has none."""


class Cell(msgspec.Struct):
    """A field: its value, and what who asks would see."""

    value: str | None = None
    display_value: str | None = None


Record = dict[str, Cell]


def value(record: Record, name: str) -> str:
    """The value of a field; empty where there is none."""
    cell = record.get(name)
    return (cell.value if cell else None) or ""


def shown(record: Record, name: str) -> str:
    """What people see of a field, such as the name of what it refers to."""
    cell = record.get(name)
    return (cell.display_value if cell else None) or ""


def time(text: str) -> datetime | None:
    """A time as the API writes it, which is in UTC; None where there is none."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if _TIME.fullmatch(text) else None


def as_query(at: datetime) -> str:
    """A time as a query asks for it: plain text is taken for UTC, whoever asks."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


class Entry(msgspec.Struct):
    """A comment in the journal of a task."""

    element_id: str
    sys_created_on: str
    sys_created_by: str = ""


class Audited(msgspec.Struct):
    """A change of a field of a task."""

    documentkey: str
    fieldname: str
    newvalue: str
    sys_created_on: str
    oldvalue: str = ""
    sys_id: str = ""


class Choice(msgspec.Struct):
    """What a value of a field is called."""

    name: str
    element: str
    value: str
    label: str


class History(NamedTuple):
    """What was read about some tasks beside their records, by their ids."""

    comments: Mapping[str, Sequence[Entry]]
    changes: Mapping[str, Sequence[Audited]]


class Fields(NamedTuple):
    """The fields of a task that say what it is; `people`: who asked, the first that is given."""

    project: str
    component: Sequence[str]
    severity: str
    type: str
    people: Sequence[str]


@dataclass(frozen=True)
class Shapes:
    """Makes issues and deployments of records."""

    source: str
    url: str
    people: People
    fields: Fields
    labels: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """What a value is called, by table, field and value."""

    def learn(self, choices: Iterable[Choice]) -> None:
        """What the instance calls its states."""
        self.labels.update({(c.name, c.element, c.value): c.label for c in choices})

    def issue(self, table: str, record: Record, history: History, notes: Notes) -> Issue | BadRecord:
        """A task as an issue."""
        number, key = value(record, "number"), value(record, "sys_id")
        opened_at = time(value(record, "opened_at")) or time(value(record, "sys_created_on"))
        if not key or opened_at is None:
            return BadRecord(f"{table} {number}", "`sys_id` or `opened_at` is missing; may the user read the fields?")
        state, reason = value(record, "state"), value(record, "hold_reason")
        began, changes = self._life(table, record, history.changes.get(key, ()), notes)
        who = next((login for name in self.fields.people if (login := value(record, name))), "")
        return Issue(
            native_id=key,
            created_at=opened_at,
            status=self._status(table, state, reason, notes),
            updated_at=time(value(record, "sys_updated_on")),
            url=f"{self.url}/nav_to.do?uri={table}.do%3Fsys_id%3D{key}",
            project=shown(record, self.fields.project),
            type=shown(record, self.fields.type) if self.fields.type else table,
            components=tuple(filter(None, (shown(record, name) for name in self.fields.component))),
            severity=shown(record, self.fields.severity),
            title=value(record, "short_description") or None,
            author=self.people.hashed(who) if who else None,
            ended_at=time(value(record, "resolved_at")) or time(value(record, "closed_at")),
            changes=changes or self._dated(table, record, notes),
            began=began,
            replies=tuple(self._replies(history.comments.get(key, ()))),
            links=tuple(filter(None, (number, shown(record, "caused_by")))),
        )

    def deployment(self, record: Record, environment: str) -> Deployment | BadRecord | None:
        """A change as the deployment that it was; None for one that is not over, and for one that was cancelled."""
        number, key = value(record, "number"), value(record, "sys_id")
        result = _RESULTS.get(value(record, "close_code"))
        if result is None:
            return None
        finished_at = time(value(record, "work_end")) or time(value(record, "closed_at"))
        service = next((name for field in self.fields.component if (name := shown(record, field))), "")
        if not key or finished_at is None or not service:
            return BadRecord(f"change_request {number}", "`work_end` or what it changed (a service) is missing")
        return Deployment(
            source=self.source,
            native_id=key,
            updated_at=time(value(record, "sys_updated_on")),
            url=f"{self.url}/nav_to.do?uri=change_request.do%3Fsys_id%3D{key}",
            service=service,
            environment=environment,
            finished_at=finished_at,
            result=result,
            started_at=time(value(record, "work_start")),
            labels=tuple(filter(None, (value(record, "type"),))),
            links=(number,) if number else (),
        )

    def _status(self, table: str, state: str, reason: str, notes: Notes) -> Status:
        """A state by its name; one on hold with why, so that what waits for who asked can be told apart."""
        usual = _OF_INCIDENTS if table == "incident" else _OF_TASKS
        known, category = usual.get(state, ("", _OPEN))
        name = self.labels.get((table, "state", state)) or self.labels.get(("task", "state", state)) or known
        if not known:
            notes.unknown(f"{table} state", name or state, "open")
        if table == "incident" and state == _ON_HOLD and reason:
            why = self.labels.get((table, "hold_reason", reason)) or _HOLD_REASONS.get(reason, reason)
            return Status(f"{name}: {why}", TicketState.WAITING if reason == _AWAITING_CALLER else category)
        return Status(name or state, category)

    def _life(
        self, table: str, record: Record, audited: Sequence[Audited], notes: Notes
    ) -> tuple[Status | None, list[StatusChange]]:
        """The state that a task began with, where that is told, and those that it came to.

        Its state and why it is on hold change in one moment, or one by one.
        """
        dated = sorted(
            ((at, row) for row in audited if (at := time(row.sys_created_on)) is not None), key=itemgetter(0)
        )
        rows = [row for _, row in dated]
        state, reason = _first(rows, "state", ""), _first(rows, "hold_reason", value(record, "hold_reason"))
        began = self._status(table, state, reason, notes) if state else None
        found: list[StatusChange] = []
        for at, together in groupby(dated, key=itemgetter(0)):
            at_once = [row for _, row in together]
            reason = next(reversed(_one_by_one(at_once, "hold_reason", reason)), reason)
            states = _one_by_one(at_once, "state", state) or [state]
            state = states[-1]
            found += [StatusChange(at, self._status(table, one, reason, notes)) for one in states if one]
        return began, found

    def _dated(self, table: str, record: Record, notes: Notes) -> list[StatusChange]:
        """What an incident itself tells of its history, where no other is read: when it was resolved, and closed."""
        if table != "incident" or _OF_INCIDENTS.get(value(record, "state"), ("", _OPEN))[1] not in {_RESOLVED, _CLOSED}:
            return []
        ends = ((time(value(record, name)), state) for name, state in (("resolved_at", "6"), ("closed_at", "7")))
        return [StatusChange(at, self._status(table, state, "", notes)) for at, state in ends if at is not None]

    def _replies(self, entries: Sequence[Entry]) -> Iterable[Reply]:
        for entry in entries:
            if (at := time(entry.sys_created_on)) is not None:
                who = entry.sys_created_by
                yield Reply(at=at, author=self.people.hashed(who) if who else None, bot=self.people.is_bot(who))


def _first(rows: Iterable[Audited], name: str, usual: str) -> str:
    """The value that a field had before it was changed for the first time."""
    own = [row for row in rows if row.fieldname == name]
    at_once = [row for row in own if row.sys_created_on == own[0].sys_created_on]
    reached = {row.newvalue for row in at_once}
    return next((row.oldvalue for row in at_once if row.oldvalue not in reached), own[0].oldvalue if own else usual)


def _one_by_one(rows: Iterable[Audited], name: str, now: str) -> list[str]:
    """The values that a field came to within a second, each from the one before it: nobody tells their order."""
    left, found = [row for row in rows if row.fieldname == name], list[str]()
    while left:
        reached = {row.newvalue for row in left}
        following = min(left, key=lambda row: (row.oldvalue != now, row.oldvalue in reached))
        left.remove(following)
        now = following.newvalue
        found.append(now)
    return found
