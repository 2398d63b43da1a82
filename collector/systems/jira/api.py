"""How a Jira is asked: the searches, histories and comments of Jira Cloud and of a Data Center, which differ.

Issues are read in the order in which they were created, which nothing that happens meanwhile changes: an issue that is
updated between two pages keeps its place, and one that only now belongs to the list was updated later than the newest
one before the reading began.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from collector.errors import AuthError, BadRecord, ContractError, RetryableError, SourceError
from collector.http import Answer, ApiClient, refuse
from collector.streams import Notes
from collector.systems.jira.shapes import (
    COMMON,
    Changelog,
    Chosen,
    Comment,
    Comments,
    FieldItem,
    History,
    Listed,
    Read,
    StatusItem,
    User,
    read,
)
from collector.times import parsed

T = TypeVar("T")

_PAGE = 100
_SMALLEST_PAGE = 10
_AGAIN = 5
"""So many issues of a page are asked for again with the next: one that is deleted meanwhile moves those behind it."""
_WINDOW = 5_000
"""Beyond 10 000 issues a Data Center cuts a search off: after so many, a new one starts where that one had come to."""
_AT_ONCE = 1_000
_COMMENTS_LISTED = 20
"""A search of Jira Cloud comes with no more comments of an issue."""
_BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _GONE = 400, 401, 403, 404, 410
_SERVER_ERRORS = 500
_ZONES_APART = timedelta(hours=26)
_EARLIEST_ZONE = ZoneInfo("Etc/GMT+12")
_REFUSED_LOGIN = "AUTHENTICATED_FAILED"
_FIELD_OR_VALUE = re.compile(r"(?P<field>[Ff]ield )?(?P<quote>['\"])(?P<value>.*?)(?P=quote)")


def quoted(text: str) -> str:
    """A text as a value in JQL, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def moment(at: datetime, zone: tzinfo) -> str:
    """A time as JQL takes it: the minute that it is in, on the clock of the account that asks.

    Of an hour that comes twice in autumn nobody can say which one is meant: then it is the hour before both.
    """
    local = at.astimezone(zone)
    first, second = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
    wall = local.replace(tzinfo=None)
    if first is not None and second is not None and first > second:
        wall -= first - second
    return f'"{wall:%Y-%m-%d %H:%M}"'


def zone_of(name: str | None) -> tzinfo:
    """The zone of an account. Of one that is not known the clock is read as the one that is behind all others."""
    try:
        return ZoneInfo(name or "")
    except (KeyError, ValueError, OSError):
        return _EARLIEST_ZONE


class _Server(msgspec.Struct, rename="camel"):
    deployment_type: str = ""


class _Place(msgspec.Struct, rename="camel"):
    """Where a page stands in a list."""

    total: int | None = None
    is_last: bool | None = None
    next_page_token: str | None = None


class _Errors(msgspec.Struct, rename="camel"):
    error_messages: list[str] = []


class _UpdatedFields(msgspec.Struct):
    updated: str


class _Updated(msgspec.Struct):
    fields: _UpdatedFields


class _Newest(msgspec.Struct):
    issues: list[_Updated]


class _OfIssue(msgspec.Struct, rename="camel"):
    issue_id: str
    change_histories: list[History] = []


class _RemoteObject(msgspec.Struct):
    url: str | None = None


class _RemoteLink(msgspec.Struct):
    object: _RemoteObject | None = None


@dataclass(frozen=True)
class Asking:
    """Asks one Jira. `is_cloud`: which of both it is. `projects`, `jql`: what is read of it.

    `zone`: whose clock the account goes by. `window`: how many issues one search is trusted to hand out.
    """

    client: ApiClient = field(repr=False)
    is_cloud: bool
    projects: Sequence[str] = ()
    jql: str = ""
    zone: tzinfo = _EARLIEST_ZONE
    window: int = _WINDOW

    @property
    def root(self) -> str:
        """Where the API is."""
        return f"rest/api/{3 if self.is_cloud else 2}"

    # -- what holds for a whole run

    def account(self) -> User:
        """The account that asks. Raises AuthError where it is nobody's: a search would only find less, silently."""
        answer = self.client.get(f"{self.root}/myself", understood={_FORBIDDEN})
        if answer.status == _FORBIDDEN:
            if "CAPTCHA" in answer.headers.get("x-authentication-denied-reason", ""):
                why = "Jira wants this account to solve a CAPTCHA: log in once in a browser"
                raise AuthError(f"{answer.asked}: answered 403; {why}", status=_FORBIDDEN)
            refuse(answer.status, answer.headers, answer.asked)
        found = _let_in(answer).read(User)
        if not (found.account_id or found.name or found.key):
            raise ContractError(f"{answer.asked}: it names no account; is this the address of a Jira?")
        return found

    def statuses(self) -> list[StatusItem]:
        """All statuses."""
        return list(self._get(f"{self.root}/status").read(list[StatusItem]))

    def fields(self) -> list[FieldItem]:
        """All fields."""
        return list(self._get(f"{self.root}/field").read(list[FieldItem]))

    # -- issues

    def newest(self, floor: datetime) -> datetime | None:
        """When the issue that was updated last was updated; None where none was since a time."""
        jql = self._condition(f"updated >= {moment(floor, self.zone)}")
        query = {"jql": f"{jql} ORDER BY updated DESC", "fields": ["updated"], "maxResults": 1}
        answer = self._search(query)
        found = answer.read(_Newest).issues
        if not found:
            return None
        at = parsed(found[0].fields.updated)
        if at is None:
            raise ContractError(f"{answer.asked}: an issue does not say when it was updated")
        return at

    def updated(self, floor: datetime, after: datetime | None, chosen: Chosen, notes: Notes) -> Iterator[list[Read]]:
        """Issues updated since a time, and created since another one, in the order of their creation."""
        fields = tuple(dict.fromkeys((*COMMON, *chosen.ids)))
        for issues in self._ascending(f"updated >= {moment(floor, self.zone)}", after, fields, chosen, notes):
            if any(issue.updated_at < floor - _ZONES_APART for issue in issues):
                raise ContractError("POST search: `updated >= …` was passed over; is something rewriting the query?")
            yield issues

    def created(self, since: datetime, chosen: Chosen, notes: Notes) -> Iterator[list[Read]]:
        """Issues created since a time with what tells what they are, without their comments and histories."""
        fields = tuple(dict.fromkeys((*(n for n in COMMON if n not in {"comment", "issuelinks"}), *chosen.ids)))
        return self._ascending("", since, fields, chosen, notes, history=False)

    def _ascending(
        self,
        condition: str,
        start: datetime | None,
        fields: Sequence[str],
        chosen: Chosen,
        notes: Notes,
        *,
        history: bool = True,
    ) -> Iterator[list[Read]]:
        """Issues in the order of their creation, each once, in as many searches as that takes."""
        known: set[str] = set()
        more = True
        while more:
            begun = "" if start is None else moment(start, self.zone)
            jql = self._condition(condition, f"created >= {begun}" if begun else "")
            met, more = 0, False
            for listed in self._pages(f"{jql} ORDER BY created ASC, key ASC", fields, notes, history=history):
                fresh = [one for one in listed if one.id not in known]
                known |= {one.id for one in fresh}
                met += len(fresh)
                issues = list(self._read(fresh, chosen, notes))
                start = self._in_order(issues, start)
                yield issues
                if met >= self.window and start is not None and moment(start, self.zone) != begun:
                    more = True
                    break

    def _read(self, listed: Sequence[Listed], chosen: Chosen, notes: Notes) -> Iterator[Read]:
        for one in listed:
            try:
                yield read(one, chosen, f"{self.root}/issue")
            except BadRecord as bad:
                notes.reject([bad])

    def _in_order(self, issues: Sequence[Read], start: datetime | None) -> datetime | None:
        """When the last of some issues was created. Raises ContractError where the order is not the one asked for."""
        for issue in issues:
            if start is not None and issue.created_at < start - _ZONES_APART:
                raise ContractError("POST search: issues do not come in the order that was asked for")
            start = issue.created_at if start is None else max(start, issue.created_at)
        return start

    def _condition(self, *more: str) -> str:
        projects = f"project in ({', '.join(map(quoted, self.projects))})" if self.projects else ""
        return " AND ".join(filter(None, (projects, f"({self.jql})" if self.jql else "", *more)))

    # -- searches

    def _pages(self, jql: str, fields: Sequence[str], notes: Notes, *, history: bool) -> Iterator[list[Listed]]:
        query = {"jql": jql, "fields": list(fields)}
        if self.is_cloud:
            return self._by_token(query, notes)
        return self._by_place({**query, **({"expand": ["changelog"]} if history else {})}, notes)

    def _by_token(self, query: Mapping[str, Any], notes: Notes) -> Iterator[list[Listed]]:
        """Pages of Jira Cloud: each names the next one. There is no count."""
        token, seen, most = None, set[str](), _PAGE
        while True:
            answer, most = self._page({**query, **({"nextPageToken": token} if token else {})}, most)
            yield _items(answer, Listed, "issues", notes)
            place = answer.read(_Place)
            token = place.next_page_token
            if place.is_last or (place.is_last is None and not token):
                return
            if not token or token in seen:
                raise ContractError(f"{answer.asked}: its pages do not end as documented")
            seen.add(token)

    def _by_place(self, query: Mapping[str, Any], notes: Notes) -> Iterator[list[Listed]]:
        """Pages of a Data Center, by how many issues come before them. It gives fewer than asked for, as it likes."""
        start, most = 0, _PAGE
        while True:
            answer, most = self._page({**query, "startAt": start}, most)
            before = len(notes.rejected)
            items = _items(answer, Listed, "issues", notes)
            size = len(items) + len(notes.rejected) - before
            yield items
            total = answer.read(_Place).total
            if total is None:
                raise ContractError(f"{answer.asked}: it does not say how many issues there are")
            if start + size >= total:
                return
            if not size:
                raise ContractError(f"{answer.asked}: it gives no more than {start} of {total} issues")
            start += size - min(_AGAIN, size // 2)

    def _page(self, query: Mapping[str, Any], most: int) -> tuple[Answer, int]:
        """A page of a search, and for how many issues it was asked: fewer, where the server fails on more."""
        while True:
            try:
                return self._search({**query, "maxResults": most}), most
            except RetryableError as error:
                broke = error.retry_after_seconds is None and (error.status or 0) >= _SERVER_ERRORS
                if not broke or most // 2 < _SMALLEST_PAGE:
                    raise
                most //= 2

    def _search(self, query: Mapping[str, Any]) -> Answer:
        """An answer to a search. Raises SourceError with what Jira says of the query, without values of its own."""
        path = "rest/api/3/search/jql" if self.is_cloud else "rest/api/2/search"
        answer = self.client.post(path, query, repeatable=True, understood={_BAD_REQUEST, _NOT_FOUND, _GONE})
        if answer.status == _GONE:
            raise ContractError(
                f"{answer.asked}: answered 410; this search is gone: is `deployment: cloud` right here?"
            )
        if answer.status == _NOT_FOUND:
            raise SourceError(
                f"{answer.asked}: answered 404; check `url`, and whether `deployment` is right", status=_NOT_FOUND
            )
        if answer.status == _BAD_REQUEST:
            said = "; ".join(self._plain(m) for m in _messages(answer)) or "it does not say why"
            raise SourceError(f"{answer.asked}: answered 400; check `projects` and `jql`: {said}", status=_BAD_REQUEST)
        return _let_in(answer)

    def _plain(self, message: str) -> str:
        """What Jira says of a query, with no value but our projects: one may be somebody's name."""

        def shown(found: re.Match[str]) -> str:
            return (
                found[0] if found["field"] or found["value"] in self.projects else f"{found['quote']}…{found['quote']}"
            )

        return _FIELD_OR_VALUE.sub(shown, message)

    # -- of issues

    def histories(self, issues: Sequence[Read], notes: Notes) -> Mapping[str, Sequence[History]]:
        """The changes of the status of some issues, by their ids."""
        if not self.is_cloud:
            whole = [(issue.id, self._history(issue)) for issue in issues]
            if short := sum(log is None or log.is_cut for _, log in whole):
                notes.cut(f"{short} issues come without their whole history: when they changed is partly unknown")
            return {known: log.histories if log else () for known, log in whole}
        found: dict[str, list[History]] = {}
        for first in range(0, len(issues), _AT_ONCE):
            ids = [issue.id for issue in issues[first : first + _AT_ONCE]]
            for one in self._changes({"issueIdsOrKeys": ids, "fieldIds": ["status"], "maxResults": _AT_ONCE}):
                found.setdefault(one.issue_id, []).extend(one.change_histories)
        return found

    def _changes(self, query: Mapping[str, Any]) -> Iterator[_OfIssue]:
        token, seen = None, set[str]()
        while True:
            body = {**query, **({"nextPageToken": token} if token else {})}
            answer = _let_in(self.client.post("rest/api/3/changelog/bulkfetch", body, repeatable=True))
            # A history that lacks an entry would be a wrong one: nothing of it is set aside.
            yield from answer.read(_Bulk).issue_change_logs
            token = answer.read(_Place).next_page_token
            if not token:
                return
            if token in seen:
                raise ContractError(f"{answer.asked}: its pages never end: one comes again as the next")
            seen.add(token)

    def _history(self, issue: Read) -> Changelog | None:
        """The history of an issue of a Data Center, which comes with it; else it is asked for alone."""
        if issue.changelog is not None and not issue.changelog.is_cut:
            return issue.changelog
        asked = {"fields": "status", "expand": "changelog"}
        return self._get(f"{self.root}/issue/{issue.id}", asked).read(Listed).changelog

    def comments(self, issue: Read) -> list[Comment]:
        """All comments of an issue: those that come with it, else asked for; none where it was deleted meanwhile."""
        known = issue.fields.comment
        return known.comments if known is not None and self._is_whole(issue, known) else self._all_comments(issue)

    def _is_whole(self, issue: Read, known: Comments) -> bool:
        """Whether the comments that come with an issue are all, and tell which of them are internal."""
        if len(known.comments) < (known.total or 0) or (self.is_cloud and len(known.comments) >= _COMMENTS_LISTED):
            return False
        return not issue.of_service_desk or all(c.jsd_public is not None for c in known.comments)

    def _all_comments(self, issue: Read) -> list[Comment]:
        asked = {"orderBy": "created", "maxResults": str(_PAGE), "expand": "properties"}
        found: list[Comment] = []
        while True:
            path = f"{self.root}/issue/{issue.id}/comment"
            try:
                answer = self._get(path, {**asked, "startAt": str(len(found))})
            except SourceError as error:
                if error.status != _NOT_FOUND:
                    raise
                return []
            page = answer.read(Comments)
            found += page.comments
            if not page.comments or len(found) >= (page.total or 0):
                return found

    def elsewhere(self, issue_id: str) -> list[str]:
        """The addresses outside of Jira that an issue is linked with; none where linking is switched off.

        Without those that may be somebody's: by mail, or with an `@`.
        """
        path = f"{self.root}/issue/{issue_id}/remotelink"
        answer = self.client.get(path, understood={_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND})
        if answer.status in {_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND}:
            return []
        links = _let_in(answer).read(list[_RemoteLink])
        urls = (link.object.url or "" for link in links if link.object)
        return [url for url in urls if url.startswith(("http://", "https://")) and "@" not in url]

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> Answer:
        return _let_in(self.client.get(path, parameters))


class _Bulk(msgspec.Struct, rename="camel"):
    issue_change_logs: list[_OfIssue]


def is_cloud(client: ApiClient) -> bool:
    """Whether a server says that it is Jira Cloud. Anybody may ask."""
    return client.get("rest/api/2/serverInfo").read(_Server).deployment_type.lower() == "cloud"


def _let_in(answer: Answer) -> Answer:
    """An answer to an account that is logged in: Jira lets nobody search too, and finds what nobody may see."""
    if _REFUSED_LOGIN in answer.headers.get("x-seraph-loginreason", ""):
        raise AuthError(f"{answer.asked}: the credentials were refused; check them", status=_UNAUTHORISED)
    return answer


def _messages(answer: Answer) -> list[str]:
    try:
        return answer.read(_Errors).error_messages
    except ContractError:
        return []


def _items(answer: Answer, kind: type[T], key: str, notes: Notes) -> list[T]:
    found, rejected = answer.items(kind, key)
    notes.reject(rejected)
    return found
