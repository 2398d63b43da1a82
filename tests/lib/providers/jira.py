"""A stand-in for Jira, Cloud and Data Center: issues, both searches with the JQL that is asked, histories, comments.

The shapes are those of the published description of Cloud; where a Data Center differs, those that it answers. Times in
queries are minutes on the clock of the account that asks. A page holds no more issues than the server likes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.jira import JiraConfig

BASE = "https://jira.example.com"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
START = datetime(2026, 2, 16, 9, 0, tzinfo=UTC)
BULK_KIND = "issues"
REQUEST_TYPE, ORGANIZATIONS, SEVERITY, BEGAN = (f"customfield_1000{n}" for n in range(4))
STATUSES = {
    "1": ("Open", "new"),
    "3": ("In Progress", "indeterminate"),
    "5": ("Resolved", "done"),
    "6": ("Closed", "done"),
    "10100": ("Waiting for customer", "indeterminate"),
}
_COMMENTS, _CHANGES = 20, 40
"""What a search of Cloud comes with at most, of an issue."""
_SINCE = re.compile(r'(updated|created) >= "(\d{4}-\d\d-\d\d \d\d:\d\d)"')
_PROJECTS = re.compile(r"project in \(((?:\"(?:[^\"\\]|\\.)*\"(?:, )?)+)\)")
_ORDER = re.compile(r" ORDER BY (updated|created) (ASC|DESC)")


def at(minutes: float) -> datetime:
    """Minutes after the start."""
    return START + timedelta(minutes=minutes)


def stamp(time: datetime) -> str:
    """A time as Jira writes it: the offset without a colon."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}{time:%z}"


def user(login: str = PLANTED_LOGIN, kind: str = "atlassian") -> dict[str, Any]:
    """Somebody on Cloud, whose address is not public."""
    return {"accountId": f"5b10-{login}", "accountType": kind, "active": True, "displayName": PLANTED_NAME}


def login(name: str = PLANTED_LOGIN) -> dict[str, Any]:
    """Somebody on a Data Center."""
    account = {"name": name, "key": "JIRAUSER10100", "emailAddress": PLANTED_MAIL}
    return {**account, "displayName": PLANTED_NAME, "active": True, "timeZone": "Europe/Berlin"}


def status(number: str, name: str = "") -> dict[str, Any]:
    """A status, by its id."""
    known, category = STATUSES.get(number, ("", "new"))
    names = {"id": number, "name": name or known, "self": f"{BASE}/rest/api/2/status/{number}"}
    return {**names, "statusCategory": {"id": 2, "key": category, "colorName": "green", "name": category}}


@dataclass
class World:
    """What a Jira holds, and what it is like. `zone`: the account's. `most`: issues on a page."""

    cloud: bool = True
    zone: str | None = "Europe/Berlin"
    most: int = 100
    issues: list[dict[str, Any]] = field(default_factory=list)
    fields: list[dict[str, Any]] = field(default_factory=list)
    before_page: Callable[[int], object] = lambda _: None
    """What happens before the n-th search for issues is answered."""
    searches: int = 0
    deaf: bool = False
    """Whether it passes over what a query asks for."""

    def issue(self, minutes: float, project: str = "HELP", kind: str = "Task", /, **fields: Any) -> dict[str, Any]:
        """An issue that was written then; further arguments are its fields."""
        number = 10_000 + len(self.issues) + 1
        whom = user() if self.cloud else login()
        desk = project == "DESK"
        told: dict[str, Any] = {
            "summary": "no way in",
            "status": status("1"),
            "issuetype": {"id": "3", "name": kind, "subtask": False},
            "project": {
                "id": "11" if desk else "10",
                "key": project,
                "name": project.title(),
                "projectTypeKey": "service_desk" if desk else "software",
            },
            "components": [],
            "labels": [],
            "priority": {"id": "3", "name": "Medium"},
            "created": stamp(at(minutes)),
            "updated": stamp(at(minutes)),
            "resolutiondate": None,
            "reporter": whom,
            "creator": whom,
            "issuelinks": [],
        }
        made = {"id": str(number), "key": f"{project}-{number - 10_000}", "fields": told | fields}
        self.issues.append({**made, "comments": [], "histories": [], "remote": []})
        return self.issues[-1]

    def touch(self, issue: dict[str, Any], minutes: float) -> None:
        """Something of an issue was changed."""
        issue["fields"]["updated"] = stamp(max(at(minutes), _time(issue, "updated")))

    def move(self, issue: dict[str, Any], minutes: float, to: str, was: str = "") -> None:
        """An issue came to a status, by its id; `was`: what that was called then."""
        before = issue["fields"]["status"]
        names = {"from": before["id"], "fromString": before["name"], "to": to, "toString": was or STATUSES[to][0]}
        self.change(issue, minutes, {"field": "status", "fieldtype": "jira", "fieldId": "status", **names})
        issue["fields"]["status"] = status(to, was if to not in STATUSES else "")
        done = to in {"5", "6"}
        issue["fields"]["resolutiondate"] = stamp(at(minutes)) if done else None

    def change(self, issue: dict[str, Any], minutes: float, *items: dict[str, Any]) -> None:
        """Fields of an issue were changed at once."""
        number = str(len(issue["histories"]) + 1)
        author = user() if self.cloud else login()
        issue["histories"].append({"id": number, "author": author, "created": stamp(at(minutes)), "items": [*items]})
        self.touch(issue, minutes)

    def comment(self, issue: dict[str, Any], minutes: float, author: Any, *, public: bool = True, **more: Any) -> None:
        """Somebody wrote below an issue; `public` is what it says in a service project."""
        wrote = {"id": str(len(issue["comments"]) + 1), "author": author, "body": f"Dear {PLANTED_NAME}"}
        kept = {"created": stamp(at(minutes)), "updated": stamp(at(minutes)), **more}
        internal = {"properties": [{"key": "sd.public.comment", "value": {"internal": not public}}]}
        issue["comments"].append({**wrote, **kept, **({"jsdPublic": public} if self.cloud else internal)})
        self.touch(issue, minutes)

    def delete(self, issue: dict[str, Any]) -> None:
        """An issue is gone."""
        self.issues.remove(issue)

    def found(self, jql: str) -> list[dict[str, Any]]:
        """The issues that a query finds, in its order."""
        if self.deaf:
            return self.issues
        zone = ZoneInfo(self.zone or "UTC")
        rows = list(self.issues)
        for name, minute in _SINCE.findall(jql):
            since = datetime.strptime(minute, "%Y-%m-%d %H:%M").replace(tzinfo=zone)
            rows = [row for row in rows if _time(row, name) >= since]
        if projects := _PROJECTS.search(jql):
            keys = json.loads(f"[{projects[1]}]")
            rows = [row for row in rows if row["fields"]["project"]["key"] in keys]
        order = _ORDER.search(jql)
        assert order is not None, jql
        return sorted(rows, key=lambda row: (_time(row, order[1]), row["key"]), reverse=order[2] == "DESC")


def _time(issue: Mapping[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(issue["fields"][name])


def _shown(world: World, issue: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """An issue as a search lists it: the fields that were asked for, and no more comments than it likes."""
    whole = issue["comments"]
    comments = whole[:_COMMENTS] if world.cloud else whole[: issue.get("shown_comments")]
    # Cloud counts what it shows; a Data Center counts all, and keeps to itself which of them are internal.
    total = len(comments) if world.cloud else len(whole)
    comments = [{k: v for k, v in c.items() if k != "properties"} for c in comments]
    listed = {"comments": comments, "total": total, "maxResults": len(comments), "startAt": 0}
    fields = {**issue["fields"], "comment": listed}
    made: dict[str, Any] = {"id": issue["id"], "key": issue["key"], "self": f"{BASE}/rest/api/2/issue/{issue['id']}"}
    made["fields"] = {name: fields[name] for name in asked["fields"] if name in fields}
    if "changelog" in asked.get("expand", ()):
        made["changelog"] = _changelog(issue["histories"][: issue.get("shown_histories")], len(issue["histories"]))
    return made


def _changelog(histories: list[dict[str, Any]], total: int) -> dict[str, Any]:
    return {"startAt": 0, "maxResults": total, "total": total, "histories": histories}


def provider(world: World) -> Provider:
    """The API of a Jira."""
    api = Provider(BASE, token=TOKEN, with_etags=False)
    (_cloud if world.cloud else _data_center)(api, world)
    _of_each(api, world)
    root = f"rest/api/{3 if world.cloud else 2}"

    @api.route("rest/api/2/serverInfo")
    def server_info(_: Request) -> Reply:
        kind = "Cloud" if world.cloud else "Data Center"
        return Reply({"baseUrl": BASE, "version": "10.3.1", "deploymentType": kind, "serverTitle": "Jira"})

    @api.route(f"{root}/myself")
    def myself(_: Request) -> Reply:
        whom = user("paceline") if world.cloud else login("paceline")
        return Reply({**whom, "timeZone": world.zone} if world.zone else whom | {"timeZone": None})

    @api.route(f"{root}/status")
    def statuses(_: Request) -> Reply:
        return Reply([status(number) for number in STATUSES])

    @api.route(f"{root}/field")
    def fields(_: Request) -> Reply:
        return Reply(world.fields)

    return api


def _of_each(api: Provider, world: World) -> None:
    root = f"rest/api/{3 if world.cloud else 2}"

    @api.route(rf"{root}/issue/(?P<number>\d+)/comment")
    def comments(asked: Request, number: str) -> Reply:
        start, size = asked.number("startAt", 0), min(asked.number("maxResults", 50), world.most)
        for one in world.issues:
            if one["id"] == number:
                page = one["comments"][start : start + size]
                return Reply({"comments": page, "startAt": start, "maxResults": size, "total": len(one["comments"])})
        return Reply({"errorMessages": ["Issue Does Not Exist"], "errors": {}}, status=404)

    @api.route(rf"{root}/issue/(?P<number>\d+)/remotelink")
    def links(_: Request, number: str) -> Reply:
        for one in world.issues:
            if one["id"] == number:
                return Reply([{"id": n, "object": {"url": u, "title": "x"}} for n, u in enumerate(one["remote"])])
        return Reply({"errorMessages": ["Issue Does Not Exist"], "errors": {}}, status=404)


def _rows(world: World, asked: Request) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """A query, what it finds, and how many of these come at once."""
    query = asked.json()
    if query["maxResults"] > 1:
        world.searches += 1
        world.before_page(world.searches)
    return query, world.found(query["jql"]), min(query["maxResults"], world.most)


def _cloud(api: Provider, world: World) -> None:
    @api.route("rest/api/3/search/jql", "POST")
    def search(asked: Request) -> Reply:
        query, rows, size = _rows(world, asked)
        start = int(query.get("nextPageToken", "t0").removeprefix("t"))
        more = start + size < len(rows)
        page = [_shown(world, row, query) for row in rows[start : start + size]]
        following = {"nextPageToken": f"t{start + size}"} if more else {}
        return Reply({"issues": page, "isLast": not more, **following})

    @api.route("rest/api/3/changelog/bulkfetch", "POST")
    def changelogs(asked: Request) -> Reply:
        query = asked.json()
        own = [row for row in world.issues if row["id"] in query["issueIdsOrKeys"]]
        entries = [(row["id"], h) for row in own for h in row["histories"] if _of_status(h)]
        start = int(query.get("nextPageToken", "c0").removeprefix("c"))
        size = min(query["maxResults"], _CHANGES)
        logs = [{"issueId": i, "changeHistories": [_numbered(h)]} for i, h in entries[start : start + size]]
        following = {"nextPageToken": f"c{start + size}"} if start + size < len(entries) else {}
        return Reply({"issueChangeLogs": logs, **following})

    @api.route(r"rest/api/\d/search", "POST")
    def gone(_: Request) -> Reply:
        said = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
        return Reply({"errorMessages": [said], "errors": {}}, status=410)


def _of_status(history: Mapping[str, Any]) -> bool:
    return any(item["field"] == "status" for item in history["items"])


def _numbered(history: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as Cloud gives it of many issues at once: its time is a number of milliseconds."""
    return {**history, "created": int(datetime.fromisoformat(history["created"]).timestamp() * 1000)}


def _data_center(api: Provider, world: World) -> None:
    @api.route("rest/api/2/search", "POST")
    def search(asked: Request) -> Reply:
        query, rows, size = _rows(world, asked)
        start = query.get("startAt", 0)
        page = [_shown(world, row, query) for row in rows[start : start + size]]
        return Reply({"expand": "names", "startAt": start, "maxResults": size, "total": len(rows), "issues": page})

    @api.route(r"rest/api/2/issue/(?P<number>\d+)")
    def issue(_: Request, number: str) -> Reply:
        own = next(row for row in world.issues if row["id"] == number)
        log = _changelog(own["histories"][: own.get("known_histories")], len(own["histories"]))
        return Reply({"id": number, "key": own["key"], "fields": {"status": own["fields"]["status"]}, "changelog": log})


def world() -> World:
    """A Cloud with some issues of each kind that there is, on several small pages."""
    made = World(most=3, fields=[{"id": REQUEST_TYPE, "name": "Request Type", "custom": True}])
    first = made.issue(0, labels=["vpn"])
    made.comment(first, 5, user())
    made.comment(first, 30, user("mira"))
    made.move(first, 31, "3")
    made.move(first, 50, "5")
    late = made.issue(10, components=[{"id": "1", "name": "cart"}])
    for number in range(22):
        made.comment(late, 60 + number, user("robot", "app") if number % 2 else user("mira"))
    broken = made.issue(20, "OPS", "Incident", priority={"id": "1", "name": "Highest"})
    broken["remote"].append("https://git.example.com/acme/shop/pull/7")
    made.move(broken, 25, "3")
    made.move(broken, 45, "6")
    nobodys = made.issue(30, reporter=None, creator=None, parent={"id": "10001", "key": "HELP-1"})
    made.move(nobodys, 33, "10100")
    made.issue(40, "HELP", "Sub-task")
    desk = made.issue(70, "DESK", "Service Request")
    made.comment(desk, 75, user("mira"), public=False)
    return made


def sample(folder: Path) -> Sample:
    """A Cloud with three pages of issues."""
    del folder
    settings = {
        "name": "sample",
        "type": "jira",
        "url": BASE,
        "token": TOKEN,
        "deployment": "cloud",
        "projects": ["HELP", "OPS", "DESK"],
        "issues": [
            {"type": "Sub-task", "becomes": "nothing"},
            {"type": "Incident", "becomes": "incident", "service": "shop"},
            {"becomes": "ticket"},
        ],
        "statuses": {"waiting": "Waiting *"},
    }
    return sample_of(JiraConfig.model_validate(settings), provider(world()))


def bulk(items: int) -> Iterator[bytes]:
    """Pages of issues as they come over the wire."""
    made = World()
    for number in range(100):
        issue = made.issue(number)
        made.comment(issue, number + 5, user("mira"))
    names = {"fields": ["summary", *made.issues[0]["fields"], "comment"]}
    for first in range(0, items, 100):
        page = [_shown(made, {**row, "id": str(int(row["id"]) + first)}, names) for row in made.issues[: items - first]]
        yield json.dumps({"issues": page, "isLast": first + 100 >= items}).encode()
