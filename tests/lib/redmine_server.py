"""A real Redmine on loopback: the one of the Debian package, with a fresh database in a folder of its own.

Nothing of the package's own instance is touched: its empty database, which holds the statuses, trackers, roles and
workflows that Redmine begins with, is copied. The server's clock stands in a zone half an hour off, so that a time that
is not in UTC shows.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

PACKAGE = Path("/usr/share/redmine")
TEMPLATE = Path("/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default")
"""The database that the package made when it was installed."""
ZONE = "Asia/Kolkata"
ADMIN = "admin"
PEOPLE = {"ada": ("Ada", "Byron", 5), "grace": ("Grace", "Hopper", 4)}
"""Users beside the administrator: first and last name, and their role in a project: Reporter, Developer."""
STATUSES = {"New": 1, "In Progress": 2, "Resolved": 3, "Feedback": 4, "Closed": 5, "Rejected": 6}
TRACKERS = {"Bug": 1, "Feature": 2, "Support": 3}
PRIORITIES = {"Low": 1, "Normal": 2, "High": 3, "Urgent": 4, "Immediate": 5}
_OFFSET = timezone(timedelta(hours=5, minutes=30))
_PATIENCE_SECONDS = 60.0
_PORT = re.compile(r"Listening on http://127\.0\.0\.1:(\d+)")
_USERS = """\
INSERT INTO users (id, login, firstname, lastname, type, status, language, mail_notification)
VALUES (?, ?, ?, ?, 'User', 1, 'en', 'none')"""
_ADDRESSES = """\
INSERT INTO email_addresses (user_id, address, is_default, created_on, updated_on) VALUES (?, ?, 1, ?, ?)"""
_TOKENS = "INSERT INTO tokens (user_id, action, value, created_on, updated_on) VALUES (?, 'api', ?, ?, ?)"
_ISSUES = """\
INSERT INTO issues (id, tracker_id, project_id, subject, description, status_id, priority_id, author_id, created_on,
                    updated_on, closed_on, root_id, lft, rgt)
VALUES (?, 3, ?, ?, ?, ?, 2, ?, ?, ?, ?, ?, 1, 2)"""
_NOTES = """\
INSERT INTO journals (journalized_id, journalized_type, user_id, notes, created_on) VALUES (?, 'Issue', ?, ?, ?)"""
_MOVES = "INSERT INTO journals (journalized_id, journalized_type, user_id, created_on) VALUES (?, 'Issue', 6, ?)"
_DETAILS = """\
INSERT INTO journal_details (journal_id, property, prop_key, old_value, value)
VALUES (last_insert_rowid(), 'attr', 'status_id', ?, ?)"""
_DATABASE = """\
production:
  adapter: sqlite3
  database: {database}
  encoding: utf8
  timeout: 20000
"""
# Loading all of Redmine before the first request would take twice as long as what the tests ask of it.
_RACKUP = """\
require '{package}/config/application'
Rails.application.config.before_initialize do |app|
  app.config.eager_load = false
  app.config.log_level = :warn
end
Rails.application.initialize!
run Rails.application
"""


def missing() -> str | None:
    """Why there can be no such server here; None where there can."""
    absent = [str(p) for p in (PACKAGE / "config.ru", TEMPLATE) if not os.access(p, os.R_OK)]
    absent += [] if shutil.which("puma") else ["puma"]
    return f"no Redmine of the packages redmine-sqlite and puma: {', '.join(absent)}" if absent else None


def require() -> None:
    """Skip a test where there can be no such server; fail it where CI=true."""
    reason = missing()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must run every test")
    if reason is not None:
        pytest.skip(reason)


@dataclass(frozen=True)
class RedmineServer:
    """A running server. `keys`: the API keys of its users by their logins."""

    url: str
    database: Path
    process: subprocess.Popen[bytes]
    keys: Mapping[str, str] = field(repr=False)

    def ask(
        self, path: str, by: str | None = ADMIN, body: Any = None, method: str = "", **parameters: str
    ) -> tuple[int, Any]:
        """Status and answer of a request of a user, None for nobody; with a body it is a POST unless said otherwise."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_PATIENCE_SECONDS)
        headers = {"Content-Type": "application/json", **({"X-Redmine-API-Key": self.keys[by]} if by else {})}
        sent = None if body is None else json.dumps(body)
        target = f"/{path}" + (f"?{urlencode(parameters)}" if parameters else "")
        with contextlib.closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), target, sent, headers)
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, json.loads(content) if content.strip() else None

    def told(self, path: str, **parameters: str) -> Any:
        """What the administrator is answered."""
        status, answer = self.ask(path, **parameters)
        assert status == http.client.OK, (status, path)
        return answer

    def project(self, identifier: str, *, parent: int | None = None, public: bool = True) -> int:
        """The id of a new project, in which everybody has their role."""
        fields = {"name": identifier.title(), "identifier": identifier, "is_public": public}
        body = {"project": {**fields, **({"parent_id": parent} if parent else {})}}
        number = int(self._made("projects.json", ADMIN, body)["project"]["id"])
        people = {u["login"]: u["id"] for u in self.told("users.json")["users"]}
        for login, (_, _, role) in PEOPLE.items():
            member = {"membership": {"user_id": people[login], "role_ids": [role]}}
            self._made(f"projects/{identifier}/memberships.json", ADMIN, member)
        return number

    def issue(self, project: str, by: str = "ada", **fields: Any) -> int:
        """The id of a new issue; `tracker`, `status` and `priority` by their names."""
        body = {"issue": {"project_id": project, "subject": "it does not start", **_by_id(fields)}}
        return int(self._made("issues.json", by, body)["issue"]["id"])

    def update(self, issue: int, by: str = "grace", **fields: Any) -> None:
        """Change an issue, or note something on it: `notes`, `private_notes`, and fields as of a new one."""
        status, answer = self.ask(f"issues/{issue}.json", by, {"issue": _by_id(fields)}, "PUT")
        assert status in {http.client.OK, http.client.NO_CONTENT}, (status, answer)

    def delete(self, path: str) -> None:
        """Delete something."""
        status, answer = self.ask(path, method="DELETE")
        assert status in {http.client.OK, http.client.NO_CONTENT}, (status, answer)

    def _made(self, path: str, by: str, body: Any) -> Any:
        status, answer = self.ask(path, by, body)
        assert status == http.client.CREATED, (status, answer)
        return answer

    def sql(self, statement: str, rows: Iterable[Sequence[Any]] = ((),)) -> None:
        """Run a statement for each row, in one transaction. Times are written by `stored`."""
        _run(self.database, (statement, rows))

    def insert(self, issues: Sequence[Issue]) -> None:
        """Put issues with a history of one's own into a project, by their ids."""
        _run(self.database, *_statements(issues))


@dataclass(frozen=True, kw_only=True)
class Issue:
    """An issue to be put into the database. `notes`: who wrote when; `moves`: when it came to which status."""

    number: int
    project: int
    created_at: datetime
    updated_at: datetime
    status: int = 1
    author: int = 1
    closed_at: datetime | None = None
    notes: Sequence[tuple[datetime, int]] = ()
    moves: Sequence[tuple[datetime, int, int]] = ()
    """When, from which status, to which one."""


def stored(at: datetime) -> str:
    """A time as the server's database holds it: of its own zone."""
    return at.astimezone(_OFFSET).strftime("%Y-%m-%d %H:%M:%S.%f")


@contextlib.contextmanager
def redmine_at(folder: Path) -> Iterator[RedmineServer]:
    """A server with a fresh database in a folder; stopped at the end whatever happens."""
    keys = {login: secrets.token_hex(20) for login in (ADMIN, *PEOPLE)}
    database = _prepared(folder, keys)
    log = folder / "log" / "puma.txt"
    # The package looks for an instance below a folder of its own: the path leads out of it, and into ours.
    site = "/".join([".."] * 16) + str(folder)
    variables = {"X_DEBIAN_SITEID": site, "RAILS_ENV": "production", "TZ": ZONE, "RUBYOPT": "-W0"}
    command = ["puma", "--dir", str(PACKAGE), "--bind", "tcp://127.0.0.1:0", str(folder / "config.ru")]
    with log.open("wb") as out:
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **variables}
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        server = RedmineServer(_address(process, log), database, process, keys)
        assert server.ask("users/current.json")[0] == http.client.OK, log.read_text()
        yield server
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where a server listens, once it does."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = _PORT.search(log.read_text())
        if found:
            return f"http://127.0.0.1:{found[1]}"
        time.sleep(0.05)
    raise AssertionError(f"Redmine did not start: {log.read_text()}")


def _prepared(folder: Path, keys: Mapping[str, str]) -> Path:
    """The database of a folder that has all that an instance needs, with its API switched on and users with keys."""
    for name in ("config", "log", "tmp", "files"):
        (folder / name).mkdir(parents=True)
    database = folder / "redmine.db"
    shutil.copyfile(TEMPLATE, database)
    (folder / "config" / "database.yml").write_text(_DATABASE.format(database=database), encoding="utf-8")
    (folder / "config" / "secret_key.txt").write_text(secrets.token_hex(64), encoding="utf-8")
    (folder / "config.ru").write_text(_RACKUP.format(package=PACKAGE), encoding="utf-8")
    people = [(5 + n, login, *names) for n, (login, (*names, _)) in enumerate(PEOPLE.items())]
    numbers = {ADMIN: 1, **{login: number for number, login, *_ in people}}
    at = "2026-01-01 00:00:00"
    _run(
        database,
        ("PRAGMA journal_mode = WAL", [()]),
        ("INSERT INTO settings (name, value, updated_on) VALUES (?, ?, ?)", [("rest_api_enabled", "1", at)]),
        (_USERS, people),
        (_ADDRESSES, [(number, f"{login}@people.example", at, at) for number, login, *_ in people]),
        (_TOKENS, [(numbers[login], key, at, at) for login, key in keys.items()]),
    )
    return database


def _run(database: Path, *statements: tuple[str, Iterable[Sequence[Any]]]) -> None:
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        for statement, rows in statements:
            for row in rows:
                connection.execute(statement, row)


def _by_id(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an issue as the API wants them: what has a name here by its id."""
    known: Mapping[str, Mapping[str, int]] = {"tracker": TRACKERS, "status": STATUSES, "priority": PRIORITIES}
    return {f"{k}_id" if k in known else k: known[k][v] if k in known else v for k, v in fields.items()}


def _statements(issues: Sequence[Issue]) -> Iterator[tuple[str, Iterable[Sequence[Any]]]]:
    yield _ISSUES, [_row(issue) for issue in issues]
    noted = "Have a look at the manual."
    yield _NOTES, [(i.number, who, noted, stored(at)) for i in issues for at, who in i.notes]
    for issue in issues:
        for at, before, after in issue.moves:
            yield _MOVES, [(issue.number, stored(at))]
            yield _DETAILS, [(str(before), str(after))]


def _row(issue: Issue) -> Sequence[Any]:
    closed = stored(issue.closed_at) if issue.closed_at else None
    told = (issue.number, issue.project, f"Ticket {issue.number}", "It does not start. " * 20, issue.status)
    return (*told, issue.author, stored(issue.created_at), stored(issue.updated_at), closed, issue.number)
