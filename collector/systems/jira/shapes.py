"""Issues of Jira, as its API and its webhooks describe them, in the words that all trackers share here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from collector.errors import BadRecord
from collector.events import Reply, TicketState
from collector.people import People
from collector.streams import Notes
from collector.times import from_epoch, parsed
from collector.tracking import Issue, Status, StatusChange

_CATEGORIES = {
    "new": TicketState.OPEN,
    "indeterminate": TicketState.IN_PROGRESS,
    "done": TicketState.RESOLVED,
    "undefined": TicketState.OPEN,
}
_OF_PEOPLE = frozenset({"accountId", "emailAddress", "displayName"})
_SERVICE_DESK = "service_desk"
_INTERNAL = "sd.public.comment"


class User(msgspec.Struct, rename="camel"):
    """Somebody: Jira Cloud tells the account's id and kind, a Data Center its login."""

    account_id: str | None = None
    account_type: str | None = None
    name: str | None = None
    key: str | None = None
    email_address: str | None = None
    time_zone: str | None = None


class Named(msgspec.Struct):
    """What has a name: a type, a priority, a component."""

    name: str = ""


class Category(msgspec.Struct):
    """What Jira takes a status for."""

    key: str = "undefined"


class StatusItem(msgspec.Struct, rename="camel"):
    """A status."""

    name: str
    id: str | None = None
    status_category: Category | None = None


class Project(msgspec.Struct, rename="camel"):
    """A project."""

    key: str
    id: str | None = None
    name: str | None = None
    project_type_key: str | None = None


class Property(msgspec.Struct):
    """What apps keep with a comment."""

    key: str
    value: Any = None


class Comment(msgspec.Struct, rename="camel"):
    """A comment. `jsd_public`: whether customers see it, where Jira tells; `visibility`: who alone sees it."""

    created: str
    author: User | None = None
    jsd_public: bool | None = None
    visibility: Any = None
    properties: list[Property] | None = None

    @property
    def is_public(self) -> bool:
        """Whether whoever may see the issue sees the comment."""
        hidden = (p.value for p in self.properties or () if p.key == _INTERNAL and isinstance(p.value, dict))
        internal = any(value.get("internal") in {True, "true"} for value in hidden)
        return self.jsd_public is not False and not self.visibility and not internal


class Comments(msgspec.Struct):
    """The comments that come with an issue, and how many it has."""

    comments: list[Comment]
    total: int | None = None


class Change(msgspec.Struct, rename="camel"):
    """A field that was changed."""

    field: str = ""
    fieldtype: str = "jira"
    was: str | None = msgspec.field(default=None, name="from")
    from_string: str | None = None
    to: str | None = None
    to_string: str | None = None


class History(msgspec.Struct):
    """What was changed at once. Of many issues at once Jira tells the time as a number."""

    created: str | int
    items: list[Change] = []


class Changelog(msgspec.Struct):
    """The history of an issue, or a part of it: `total` says how much there is."""

    histories: list[History] = []
    total: int | None = None

    @property
    def is_cut(self) -> bool:
        """Whether there is more of it."""
        return len(self.histories) < (self.total or 0)


class LinkedIssue(msgspec.Struct):
    """An issue that another one is linked with."""

    key: str


class IssueLink(msgspec.Struct, rename="camel"):
    """A link to another issue, from one of its ends."""

    inward_issue: LinkedIssue | None = None
    outward_issue: LinkedIssue | None = None


class Fields(msgspec.Struct):
    """The fields that every issue has."""

    status: StatusItem
    issuetype: Named
    project: Project
    created: str
    updated: str
    summary: str | None = None
    priority: Named | None = None
    components: list[Named] | None = None
    labels: list[str] | None = None
    resolutiondate: str | None = None
    reporter: User | None = None
    creator: User | None = None
    comment: Comments | None = None
    issuelinks: list[IssueLink] | None = None
    parent: LinkedIssue | None = None


class Listed(msgspec.Struct):
    """An issue as it is listed or sent. Its fields are read later: some have names of their own in each Jira."""

    id: str
    key: str
    fields: msgspec.Raw
    changelog: Changelog | None = None


class FieldItem(msgspec.Struct, rename="camel"):
    """A field that issues may have."""

    id: str
    name: str = ""
    untranslated_name: str | None = None


class Chosen(NamedTuple):
    """The ids of fields that say something of an issue; empty where the usual one does."""

    type: str = ""
    severity: str = ""
    team: str = ""
    started_at: str = ""

    @property
    def ids(self) -> Sequence[str]:
        """Those that are set, each once."""
        return tuple(dict.fromkeys(filter(None, self)))


COMMON = tuple(Fields.__struct_fields__)
"""The names of the fields that every issue has."""

_FIELDS = msgspec.json.Decoder(Fields)
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class Read:
    """An issue with its fields read. `chosen`: the values of the fields with names of their own, by their ids."""

    id: str
    key: str
    fields: Fields
    created_at: datetime
    updated_at: datetime
    chosen: Mapping[str, Any]
    changelog: Changelog | None

    @property
    def version(self) -> str:
        """What is another one once the issue was updated."""
        return f"{self.id}@{self.fields.updated}"

    @property
    def of_service_desk(self) -> bool:
        """Whether its comments may be internal notes."""
        return self.fields.project.project_type_key == _SERVICE_DESK


def read(listed: Listed, chosen: Chosen, asked: str) -> Read:
    """A listed issue with its fields read. Raises BadRecord, without values."""
    place = f"{asked} (id {listed.id})"
    try:
        fields = _FIELDS.decode(listed.fields)
        own = _RAW.decode(listed.fields) if chosen.ids else {}
        values = {name: msgspec.json.decode(own[name]) for name in chosen.ids if name in own}
    except (msgspec.DecodeError, RecursionError) as error:
        why = f": {error}" if isinstance(error, msgspec.ValidationError) else ""
        raise BadRecord(place, f"its fields are not as documented{why}") from None
    created_at, updated_at = parsed(fields.created), parsed(fields.updated)
    if created_at is None or updated_at is None:
        raise BadRecord(place, "it does not say when it was created and updated")
    return Read(listed.id, listed.key, fields, created_at, updated_at, values, listed.changelog)


def words(value: object) -> Iterator[str]:
    """The words of a field's value: a text, a number, an option, a request type, or several; never a person's."""
    match value:
        case str() if value.strip():
            yield value.strip()
        case int() | float() if not isinstance(value, bool):
            yield str(value)
        case list():
            for one in value:
                yield from words(one)
        case {"requestType": inner}:
            yield from words(inner)
        case {"value": inner}:
            yield from words(inner)
        case {"name": inner, **rest} if not _OF_PEOPLE & rest.keys():
            yield from words(inner)


@dataclass(frozen=True)
class Shapes:
    """Makes issues of what Jira tells of them. `site`: where people look at them."""

    site: str
    people: People
    chosen: Chosen
    statuses: dict[str, Status] = field(default_factory=dict)
    """By their ids: a status may have been renamed since an issue came to it."""

    def learn(self, items: Iterable[StatusItem], notes: Notes) -> None:
        """Note what statuses are called and taken for."""
        self.statuses.update({item.id: _status(item, notes) for item in items if item.id is not None})

    def issue(self, found: Read, histories: Sequence[History], notes: Notes) -> Issue:
        """An issue without its replies."""
        fields = found.fields
        kind, severity = self._word(found, self.chosen.type), self._word(found, self.chosen.severity)
        teams = list(words(found.chosen.get(self.chosen.team)))
        author = fields.reporter or fields.creator
        steps = [step for h in histories for step in self._steps(h, found.key, notes)]
        status = _status(fields.status, notes)
        began, _ = min(steps, key=lambda step: step[1].at, default=(status, None))
        return Issue(
            native_id=found.id,
            created_at=found.created_at,
            updated_at=found.updated_at,
            url=self.url(found.key),
            project=fields.project.key,
            status=status,
            type=kind or fields.issuetype.name,
            components=[c.name for c in fields.components or () if c.name],
            labels=fields.labels or (),
            severity=severity or (fields.priority.name if fields.priority else ""),
            title=fields.summary,
            author=self.who(author)[0],
            author_team=teams[0] if len(teams) == 1 else None,
            started_at=parsed(self._word(found, self.chosen.started_at)),
            ended_at=parsed(fields.resolutiondate or ""),
            changes=[change for _, change in steps],
            began=began,
            links=self._links(found),
        )

    def replies(self, found: Read, comments: Iterable[Comment], notes: Notes) -> tuple[Reply, ...]:
        """Those comments of an issue that whoever asked can see, in order."""
        replies = []
        for comment in comments:
            at = parsed(comment.created)
            if at is None:
                notes.reject([BadRecord(f"comments of {found.key}", "one does not say when it was written")])
            elif comment.is_public:
                author, bot = self.who(comment.author)
                replies.append(Reply(at=at, author=author, bot=bot))
        return tuple(sorted(replies, key=lambda reply: reply.at))

    def who(self, user: User | None) -> tuple[str | None, bool]:
        """The hash of somebody, and whether it is a bot: an app's account, or one by its name."""
        account = user and (user.name or user.email_address or user.account_id or user.key)
        if user is None or not account:
            return None, False
        return self.people.hashed(account), user.account_type == "app" or self.people.is_bot(account)

    def url(self, key: str) -> str:
        """Where people look at an issue."""
        return f"{self.site}/browse/{key}"

    def _word(self, found: Read, name: str) -> str:
        return next(words(found.chosen.get(name)), "")

    def _steps(self, history: History, key: str, notes: Notes) -> Iterator[tuple[Status, StatusChange]]:
        """The changes of the status, and what it was before each."""
        at = parsed(history.created) if isinstance(history.created, str) else from_epoch(history.created)
        for item in history.items:
            if item.field.lower() != "status" or item.fieldtype != "jira":
                continue
            if at is None:
                notes.reject([BadRecord(f"history of {key}", "a change of the status does not say when it was")])
                continue
            was = self._known(item.was, item.from_string)
            yield was, StatusChange(at, self._known(item.to, item.to_string))

    def _known(self, number: str | None, name: str | None) -> Status:
        """A status of a history. One that was deleted since has no category any more."""
        return self.statuses.get(number or "") or Status(name or number or "")

    def _links(self, found: Read) -> Sequence[str]:
        """Its own key, by which others name it; the issues that it is linked with or part of, by keys and addresses."""
        fields = found.fields
        ends = [end for link in fields.issuelinks or () for end in (link.inward_issue, link.outward_issue)]
        keys = [issue.key for issue in (fields.parent, *ends) if issue is not None]
        return tuple(dict.fromkeys((found.key, *(text for key in keys for text in (key, self.url(key))))))


def _status(item: StatusItem, notes: Notes) -> Status:
    key = item.status_category.key if item.status_category else "undefined"
    if key not in _CATEGORIES:
        notes.unknown("status category", key, "open")
    return Status(item.name, _CATEGORIES.get(key, TicketState.OPEN))
