"""A stand-in for a Redmine: projects, users and issues with their journals, as version 5.0 answers.

As there, a list holds open issues unless told otherwise, at most 100 of them whatever is asked for, a filter that it
does not know is passed over, and a wrong key is answered with what everybody may see. Seconds have parts that are not
shown, by which lists are sorted all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.redmine import RedmineConfig

BASE = "https://redmine.example.com"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
START = datetime(2026, 2, 16, 9, tzinfo=UTC)
STATUSES = {1: "New", 2: "In Progress", 3: "Resolved", 4: "Feedback", 5: "Closed", 6: "Rejected"}
CLOSED = frozenset({5, 6})
TRACKERS = {1: "Bug", 2: "Feature", 3: "Support"}
_MOST = 100
_NUMBERS = {name: number for number, name in STATUSES.items()}


def at(minutes: float) -> datetime:
    """Minutes after the world's start."""
    return START + timedelta(minutes=minutes)


def shown(time: datetime | None) -> str | None:
    """A time as the API shows it: whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None


@dataclass
class World:
    """What a Redmine holds. `hidden` are projects that the key may not see."""

    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    users: dict[int, dict[str, Any]] = field(default_factory=dict)
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    key: str = TOKEN
    on_list: Callable[[], object] = lambda: None
    """Is called after each page of issues."""

    def project(self, identifier: str, parent: int | None = None) -> int:
        """The id of a new project."""
        number = len(self.projects) + 1
        place = {"parent": {"id": parent, "name": "…"}} if parent else {}
        words = {"name": identifier.title(), "description": f"asks {PLANTED_NAME}", "status": 1, "is_public": True}
        self.projects[number] = {"id": number, "identifier": identifier, **words, **place}
        return number

    def user(self, login: str, name: str = PLANTED_NAME) -> int:
        """The id of a new user; one without a login is nobody."""
        number = len(self.users) + 5
        first, _, last = name.partition(" ")
        told = {"login": login, "firstname": first, "lastname": last, "mail": PLANTED_MAIL, "last_login_on": None}
        self.users[number] = {"id": number, **told, "created_on": shown(START), "updated_on": shown(START)}
        return number

    def issue(self, minutes: float, *, project: int = 1, author: int = 5, tracker: int = 3, **fields: Any) -> int:
        """The id of a new issue, new unless said otherwise."""
        number = len(self.issues) + 1
        self.issues[number] = {
            "project_id": project,
            "tracker_id": tracker,
            "status_id": 1,
            "author_id": author,
            "created_on": at(minutes),
            "updated_on": at(minutes),
            "closed_on": None,
            "subject": "It does not start",
            "journals": [],
            "relations": [],
            **fields,
        }
        return number

    def note(
        self,
        issue: int,
        minutes: float,
        text: str | None = None,
        *,
        by: int = 6,
        to: str | int | None = None,
        private: bool = False,
    ) -> None:
        """Something is noted on an issue, or its status changed, or both."""
        told = self.issues[issue]
        details = [{"property": "attr", "name": "assigned_to_id", "old_value": None, "new_value": "6"}]
        if to is not None:
            status = to if isinstance(to, int) else _NUMBERS[to]
            moved = {"old_value": str(told["status_id"]), "new_value": str(status)}
            details.append({"property": "attr", "name": "status_id", **moved})
            told |= {"status_id": status, "closed_on": at(minutes) if status in CLOSED else told["closed_on"]}
        journal = {"user_id": by, "notes": text, "created_on": at(minutes), "private_notes": private}
        told["journals"].append({"id": 100 * issue + len(told["journals"]), **journal, "details": details})
        told["updated_on"] = at(minutes)

    def seen(self, asked: Request) -> dict[int, dict[str, Any]]:
        """The issues that whoever asks may see: with a wrong key, none."""
        genuine = asked.headers.get("x-redmine-api-key") == self.key
        shown_here = {n: i for n, i in self.issues.items() if i["project_id"] not in self.hidden}
        return shown_here if genuine else {}

    def below(self, number: int) -> set[int]:
        """A project and those below it."""
        own = [n for n, p in self.projects.items() if p.get("parent", {}).get("id") == number]
        return {number}.union(*(self.below(n) for n in own))

    def user_ref(self, number: int) -> dict[str, Any]:
        """A user as an issue names one."""
        user = self.users.get(number, {"firstname": PLANTED_NAME, "lastname": ""})
        return {"id": number, "name": f"{user['firstname']} {user['lastname']}".strip()}

    def told(self, number: int, *, whole: bool = False) -> dict[str, Any]:
        """An issue as a list has it, or as it is alone."""
        issue = self.issues[number]
        status = issue["status_id"]
        own = {
            "id": number,
            "project": {"id": issue["project_id"], "name": self.projects[issue["project_id"]]["name"]},
            "tracker": {"id": issue["tracker_id"], "name": TRACKERS.get(issue["tracker_id"], "?")},
            "status": {"id": status, "name": STATUSES.get(status, "?"), "is_closed": status in CLOSED},
            "priority": issue.get("priority", {"id": 2, "name": "Normal"}),
            "author": self.user_ref(issue["author_id"]),
            "assigned_to": self.user_ref(6),
            "subject": issue["subject"],
            "description": f"{PLANTED_NAME} <{PLANTED_MAIL}> cannot start it.",
            "start_date": "2026-02-16",
            "due_date": None,
            "done_ratio": 0,
            "is_private": False,
            "estimated_hours": None,
            "custom_fields": issue.get("custom_fields", []),
            "created_on": shown(issue["created_on"]),
            "updated_on": shown(issue["updated_on"]),
            "closed_on": shown(issue["closed_on"]),
        }
        if "category" in issue:
            own["category"] = issue["category"]
        if whole:
            own["journals"] = [self._journal(j) for j in issue["journals"]]
            own |= {"relations": issue["relations"]} if issue["relations"] else {}
        return own

    def _journal(self, journal: dict[str, Any]) -> dict[str, Any]:
        own = {k: journal[k] for k in ("id", "notes", "private_notes", "details")}
        return {**own, "user": self.user_ref(journal["user_id"]), "created_on": shown(journal["created_on"])}


def _second(text: str) -> datetime:
    """A time as a filter has it; anything else fails the test, as the server refuses it."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _within(asked: Request, name: str, time: datetime) -> bool:
    """Whether a time fits a filter, as Redmine compares it: later than the second before."""
    said = asked.one(name)
    if not said:
        return True
    first, _, last = said[2:].partition("|")
    assert said[:2] in {">=", "><"}, said
    return time > _second(first) - timedelta(seconds=1) and (not last or time <= _second(last))


def _fits(world: World, asked: Request, number: int, issue: dict[str, Any]) -> bool:
    """Whether the list that is asked for has an issue."""
    project = asked.one("project_id")
    own = next((n for n, p in world.projects.items() if project in {p["identifier"], str(n)}), 0)
    places = {own} if asked.one("subproject_id") == "!*" else world.below(own)
    return (
        _within(asked, "updated_on", issue["updated_on"])
        and _within(asked, "created_on", issue["created_on"])
        and number >= int(asked.one("issue_id", ">=0").removeprefix(">="))
        and (asked.one("status_id") == "*" or issue["status_id"] not in CLOSED)
        and (not project or issue["project_id"] in places)
        and asked.one("tracker_id", str(issue["tracker_id"])) == str(issue["tracker_id"])
    )


def provider(world: World) -> Provider:
    """The API of a Redmine."""
    api = Provider(BASE, with_etags=False)
    _add_lists(api, world)
    _add_single(api, world)
    return api


def _add_lists(api: Provider, world: World) -> None:
    @api.route("users/current.json")
    def current(asked: Request) -> Reply:
        genuine = asked.headers.get("x-redmine-api-key") == world.key
        return Reply(
            {"user": {"id": 5, "login": "reader", "api_key": world.key}} if genuine else None, 200 if genuine else 401
        )

    @api.route("issue_statuses.json")
    def statuses(asked: Request) -> Reply:
        del asked
        return Reply({"issue_statuses": [{"id": n, "name": s, "is_closed": n in CLOSED} for n, s in STATUSES.items()]})

    @api.route("issues.json")
    def issues(asked: Request) -> Reply:
        project = asked.one("project_id")
        known = {name: n for n, p in world.projects.items() for name in (p["identifier"], str(n))}
        if project and project not in known:
            return Reply(body=b" ", status=404)
        if project and known[project] in world.hidden:
            return Reply(body=b" ", status=403)
        rows = {n: i for n, i in world.seen(asked).items() if _fits(world, asked, n, i)}
        order = sorted(rows) if asked.one("sort") == "id" else sorted(rows, key=lambda n: (rows[n]["updated_on"], n))
        size = min(asked.number("limit", 25), _MOST)
        page = [world.told(n) for n in order[asked.number("offset", 0) :][:size]]
        world.on_list()
        return Reply({"issues": page, "total_count": len(order), "offset": 0, "limit": size})


def _add_single(api: Provider, world: World) -> None:
    @api.route(r"issues/(?P<number>\d+).json")
    def issue(asked: Request, number: str) -> Reply:
        if int(number) not in world.issues:
            return Reply(body=b" ", status=404)
        if int(number) not in world.seen(asked):
            return Reply(body=b" ", status=403)
        return Reply({"issue": world.told(int(number), whole="journals" in asked.one("include"))})

    @api.route(r"projects/(?P<number>\d+).json")
    def project(asked: Request, number: str) -> Reply:
        del asked
        found = world.projects.get(int(number))
        hidden = int(number) in world.hidden
        return Reply({"project": found}) if found and not hidden else Reply(body=b" ", status=403 if found else 404)

    @api.route(r"users/(?P<number>\d+).json")
    def user(asked: Request, number: str) -> Reply:
        del asked
        found = world.users.get(int(number))
        return Reply({"user": found}) if found else Reply(body=b" ", status=404)


def world() -> World:
    """Two pages of issues, and one of each kind that there is."""
    made = World()
    desk, shop = made.project("desk"), made.project("shop")
    ada, grace, bot = made.user("ada"), made.user("grace"), made.user("jenkins", "CI")
    for number in range(120):
        made.issue(number, project=desk, author=ada, tracker=2)
    asked = made.issue(200, author=ada)
    made.note(asked, 205, "Have a look.", by=grace, to="In Progress")
    made.note(asked, 206, "Not for you.", by=grace, private=True)
    made.note(asked, 210, "And now?", by=grace, to="Feedback")
    made.note(asked, 220, "It starts.", by=ada, to="Resolved")
    made.note(asked, 230, to="Closed", by=bot)
    category = {"id": 1, "name": "checkout"}
    broken = made.issue(
        300, project=shop, tracker=1, author=99, category=category, priority={"id": 5, "name": "Urgent"}
    )
    made.note(broken, 310, "Seen.", by=99, to="In Progress")
    made.note(broken, 320, to="Rejected")
    made.issues[broken]["relations"] = [{"id": 1, "issue_id": asked, "issue_to_id": broken, "relation_type": "relates"}]
    made.issue(330)
    return made


def sample(folder: Path) -> Sample:
    """A desk for tickets and a shop with incidents."""
    del folder
    settings = {
        "name": "sample",
        "type": "redmine",
        "url": BASE,
        "token": TOKEN,
        "parallel": 1,
        "issues": [
            {"becomes": "incident", "type": ["Bug"]},
            {"becomes": "ticket", "type": ["Support"]},
        ],
        "statuses": {"waiting": ["Feedback"], "resolved": ["Resolved"]},
    }
    return sample_of(RedmineConfig.model_validate(settings), provider(world()))
