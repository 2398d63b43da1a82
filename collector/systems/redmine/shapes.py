"""What Redmine's API hands out of issues, and how an issue is told in the words that all trackers share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from collector.events import Reply, TicketState, Timestamp
from collector.people import People
from collector.streams import Notes
from collector.tracking import Issue, Status, StatusChange


class Ref(msgspec.Struct):
    """A project, tracker, priority, category or user, as an issue names it."""

    id: int
    name: str = ""


class StatusOf(msgspec.Struct):
    """A status. Issues of older servers do not tell whether theirs is a closed one."""

    id: int
    name: str = ""
    is_closed: bool = False


class Custom(msgspec.Struct):
    """A custom field of an issue: a text, or several."""

    name: str = ""
    value: str | list[str] | None = None

    @property
    def values(self) -> Sequence[str]:
        """What it says, without what is empty."""
        told = [self.value] if isinstance(self.value, str) else self.value or []
        return [text for text in told if text.strip()]


class Detail(msgspec.Struct):
    """A field that was changed."""

    property: str = ""
    name: str = ""
    old_value: str | None = None
    new_value: str | None = None


class Journal(msgspec.Struct):
    """Something that was noted on an issue, or changed of it, or both."""

    id: int
    created_on: Timestamp
    user: Ref | None = None
    notes: str | None = None
    private_notes: bool = False
    details: list[Detail] = []

    @property
    def is_reply(self) -> bool:
        """Whether it says something, to everybody."""
        return bool(self.notes and self.notes.strip()) and not self.private_notes


class Relation(msgspec.Struct):
    """Two issues that have to do with each other."""

    issue_id: int
    issue_to_id: int


class Row(msgspec.Struct):
    """An issue as a list has it."""

    id: int
    project: Ref
    status: StatusOf
    created_on: Timestamp
    updated_on: Timestamp
    closed_on: Timestamp | None = None
    tracker: Ref | None = None
    priority: Ref | None = None
    author: Ref | None = None
    category: Ref | None = None
    subject: str | None = None
    custom_fields: list[Custom] = []
    journals: list[Journal] = []
    relations: list[Relation] = []

    @property
    def version(self) -> str:
        """The issue as it was last changed."""
        return f"{self.id}@{int(self.updated_on.timestamp())}"

    @property
    def in_order(self) -> Sequence[Journal]:
        """What happened to it, the oldest first: whose key it is may want the newest first."""
        return sorted(self.journals, key=lambda journal: journal.id)

    @property
    def people(self) -> Iterator[int]:
        """The ids of who wrote it or on it."""
        users = (self.author, *(j.user for j in self.journals if j.is_reply))
        return (user.id for user in users if user is not None)


class Whole(Row, kw_only=True):
    """An issue as it is alone: with what happened to it."""

    journals: list[Journal]


class Person(NamedTuple):
    """Somebody, hashed; no key where nobody is known to stand behind an account."""

    key: str | None
    bot: bool = False


@dataclass
class Names:
    """What ids stand for, as far as it was asked: statuses, the identifiers of projects, users."""

    statuses: dict[int, Status] = field(default_factory=dict)
    projects: dict[int, str] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)


@dataclass(frozen=True)
class Shapes:
    """Tells issues in the words that all trackers share. `url` is where people look at them."""

    url: str
    people: People = field(repr=False)
    severity_field: str = ""
    label_fields: Sequence[str] = ()

    def issue(self, row: Row, names: Names, notes: Notes) -> Issue:
        """An issue; of one from a list without what happened to it."""
        status = names.statuses.get(row.status.id) or status_of(row.status)
        return Issue(
            native_id=str(row.id),
            created_at=row.created_on,
            updated_at=row.updated_on,
            status=status,
            url=f"{self.url}/issues/{row.id}",
            project=names.projects.get(row.project.id) or row.project.name,
            type=row.tracker.name if row.tracker else "",
            components=(row.category.name,) if row.category else (),
            labels=tuple(self._values(row, self.label_fields)),
            severity=self._severity(row),
            title=row.subject,
            author=_person(row.author, names).key,
            ended_at=row.closed_on,
            changes=[StatusChange(at, _status(d.new_value, names, notes)) for at, d in _moves(row) if d.new_value],
            began=next((_known(d.old_value, names) for _, d in _moves(row)), status),
            replies=list(_replies(row, names)),
            links=tuple(f"{self.url}/issues/{number}" for number in _related(row)),
        )

    def person(self, number: int, login: str | None) -> Person:
        """A user by the login; one whose login is not shown by the account alone, which nobody else has."""
        if login is None:
            return Person(self.people.named(f"{self.url}/users/{number}"))
        return Person(self.people.hashed(login), self.people.is_bot(login)) if login else Person(None)

    def _severity(self, row: Row) -> str:
        if self.severity_field:
            return next(self._values(row, [self.severity_field]), "")
        return row.priority.name if row.priority else ""

    @staticmethod
    def _values(row: Row, fields: Sequence[str]) -> Iterator[str]:
        return (value for one in row.custom_fields if one.name in fields for value in one.values)


def status_of(told: StatusOf) -> Status:
    """A status: Redmine knows of each only whether nothing more comes of what has it."""
    return Status(told.name or str(told.id), TicketState.CLOSED if told.is_closed else TicketState.OPEN)


def _person(user: Ref | None, names: Names) -> Person:
    return names.people.get(user.id, Person(None)) if user else Person(None)


def _moves(row: Row) -> Iterator[tuple[datetime, Detail]]:
    """When its status changed, and how."""
    for journal in row.in_order:
        for detail in journal.details:
            if (detail.property, detail.name) == ("attr", "status_id"):
                yield journal.created_on, detail


def _known(number: str | None, names: Names) -> Status | None:
    """A status by its id; None for one that was deleted."""
    return names.statuses.get(int(number)) if number and number.isdecimal() else None


def _status(number: str, names: Names, notes: Notes) -> Status:
    """A status by its id. One that was deleted is only a number."""
    known = _known(number, names)
    if known is None:
        notes.unknown("the status with the id", number, "open")
    return known or Status(number)


def _replies(row: Row, names: Names) -> Iterator[Reply]:
    for journal in row.in_order:
        if journal.is_reply:
            person = _person(journal.user, names)
            yield Reply(at=journal.created_on, author=person.key, bot=person.bot)


def _related(row: Row) -> Sequence[int]:
    ids = {number for r in row.relations for number in (r.issue_id, r.issue_to_id)}
    return sorted(ids - {row.id})
