"""Recordings of what APIs answered, so that a report of a defect can be repeated: without people, texts and secrets.

A recording is a file of JSON Lines for each source, an exchange a line. What names a person is replaced by the same
made-up name everywhere; free text, keys and addresses go; ids, times, states, paths and counts stay, because a number
rests on them. Look at a recording before you hand it on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from collector.errors import SourceError
from collector.http import Exchange, Method
from collector.people import People

_KEPT_HEADERS = re.compile(
    r"link|etag|content-type|date|location|retry-after|x-?ratelimit-.*|ratelimit-.*|x-total.*|x-next-page|x-page"
    r"|x-per-page|x-prev-page|x-ms-continuationtoken|last-modified"
)
_LOGINS = ("login", "email", "emailaddress", "username", "userid", "uniquename", "mail", "accountid")
_NAMES = (
    *("displayname", "realname", "nickname", "authorname", "committername", "actorname", "sendername"),
    *("firstname", "lastname", "givenname", "familyname", "middlename", "formatted"),
)
_IN_PERSONS = frozenset({"name", "fullname"})
_PERSONS = re.compile(
    r"(user|author|owner|assignee|committer|creator|sender|actor|reviewer|culprit|approver|createdby|closedby|mergedby"
    r"|requestedby|requestedfor|triggeredby|initiatedby|assignedto|by)s?"
)
"""Under these keys somebody is told of; a `fullName` elsewhere is that of a job or a repository."""
_PLAINLY = re.compile(r"(user|author|assignee|committer|creator|sender|actor|reviewer|approver|requester|\w*by)s?")
"""Under these keys a text is somebody's account."""
_TEAM = re.compile(r"[:/]")
"""What owns something is a team where it is a path, or a reference such as `group:default/shop`."""
_CELL = frozenset({"value", "displayvalue"})
"""How some systems write a field: what it is, and what is seen of it."""
_TEXTS = (
    *("body", "description", "message", "title", "summary", "comment", "text", "content", "note", "subject", "bio"),
    *("bodyhtml", "bodytext", "reason", "statestring", "notes", "tweet"),
)
_SECRETS = ("token", "secret", "password", "passwd", "privatekey", "apikey", "authorization", "cookie")
_PLACES = re.compile(r"page|next|continu|cursor|after")
"""Tokens that say where a list goes on are no secrets: without them nothing could be replayed."""
_SECRET_VALUE = re.compile(r"gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+")
_MAIL = re.compile(r"[\w.+'-]+@[\w-]+(\.[\w-]+)+")
_NAME_AND_MAIL = re.compile(r"([^<>\"\n]{2,60}?) *<([\w.+'-]+@[^<>\s]+)>")
_REFERENCE = re.compile(r"#\d+")
_USER = re.compile(r"(?<![\w-])(user:[\w.-]+/|/users/)(?=[\w.-]*[A-Za-z])([\w.-]+)")
"""Somebody's place in a catalogue, or page."""
_PICTURES = re.compile(r"avatar|gravatar|picture|image_?url|photo", re.IGNORECASE)
_REMOVED = "Text removed."
_SHORTEST = 3


class Recorder:
    """Writes what is answered, and passes every request on. `close` it: names that were met late stand earlier too."""

    def __init__(self, path: Path, people: People) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._people, self._lock = path, people, Lock()
        self._known: dict[str, str] = {}
        self._asked: set[str] = set()
        path.write_text("", encoding="utf-8")

    def play(self, method: Method, path: str, request: bytes) -> None:
        """Nothing is kept that could answer."""
        del method, path, request

    def keep(self, exchange: Exchange) -> None:
        """Write an exchange without what concerns nobody else."""
        line: dict[str, Any] = {"method": exchange.method, "path": exchange.path, "status": exchange.status}
        with self._lock:
            self._asked.update(re.split(r"[/?&=%]", exchange.path))
            self._asked.update(re.findall(r"[\w.-]+", exchange.request.decode("utf-8", "replace")))
            line["headers"] = {k: v for k, v in exchange.headers.items() if _KEPT_HEADERS.fullmatch(k)}
            line["body"] = self._clean(_as_json(exchange.body))
            if exchange.request:
                line["request"] = _as_json(exchange.request)
            with self._path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")

    def close(self) -> None:
        """Replace every name that was met wherever it stands, in links too.

        Those that stand in what was asked for stay, or nothing would be found again: an account that owns repositories.
        """
        names = sorted((n for n in self._known if n not in self._asked), key=len, reverse=True)
        if names:
            rule = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, names)) + r")(?![\w-])")
            text = self._path.read_text(encoding="utf-8")
            self._path.write_text(rule.sub(lambda m: self._known[m[1]], text), encoding="utf-8")

    def _pseudonym(self, name: str) -> str:
        """The same made-up name for the same person; automation keeps its own, because it counts otherwise."""
        if len(name) < _SHORTEST or self._people.is_bot(name):
            return name
        made = f"user-{self._people.hashed(name)[7:15]}"
        self._known[name] = made + ("@example.invalid" if "@" in name else "")
        return self._known[name]

    def _clean(self, value: Any, under: str = "") -> Any:
        if isinstance(value, dict):
            plain = {k: _plain(k) for k in value}
            # An organisation has a login too; what has repositories of its own is asked for, and keeps its name.
            person = bool(_PERSONS.fullmatch(under)) or any(p.endswith(_LOGINS) for p in plain.values())
            person = person or under.endswith(_LOGINS) or bool(_PLAINLY.fullmatch(under))
            if str(value.get("kind", "")).lower() == "user" and isinstance(value.get("metadata"), dict):
                self._text(f"user:default/{value['metadata'].get('name', '')}")  # known, and so replaced at the end
            told = value.get("system") is True  # what the system itself says, such as that somebody approved
            step = under.startswith("step")  # what a step is called may be made of what somebody entered
            return {
                k: _REMOVED if step and plain[k] == "name" else self._field(plain[k], v, person=person, told=told)
                for k, v in value.items()
            }
        if isinstance(value, list):
            return [self._clean(one, under) for one in value]
        return self._text(value) if isinstance(value, str) else value

    def _field(self, key: str, value: Any, *, person: bool, told: bool) -> Any:
        secret = key.endswith(_SECRETS) and not _PLACES.search(key)
        if not isinstance(value, str):
            return None if secret and value else self._clean(value, key)
        if secret or _PICTURES.search(key):
            return "removed" if secret and value else ""
        names = key.endswith((*_LOGINS, *_NAMES)) or (person and key in _IN_PERSONS | _CELL) or _PLAINLY.fullmatch(key)
        owns = key == "owner" and not _TEAM.search(value)
        if value and (names or owns) and not _USER.search(value):
            return self._pseudonym(value)
        if value and key.endswith(_TEXTS) and not told:
            return " ".join([_REMOVED, *_REFERENCE.findall(value)])
        return self._text(value)

    def _text(self, value: str) -> str:
        value = _SECRET_VALUE.sub("removed", value)
        value = _USER.sub(lambda m: m[1] + self._pseudonym(m[2]), value)
        if "@" not in value:
            return value
        value = _NAME_AND_MAIL.sub(lambda m: f"{self._pseudonym(m[1])} <{self._pseudonym(m[2])}>", value)
        return _MAIL.sub(lambda m: m[0] if m[0].endswith(".invalid") else self._pseudonym(m[0]), value)


def _plain(key: str) -> str:
    """A key as it is compared: systems write `user_name`, `userName` and `user-name`."""
    return re.sub(r"[_-]", "", key.lower())


class Player:
    """Answers from a recording, and asks nobody. The same request again gets the next answer that was kept of it."""

    def __init__(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            found = [_exchange(json.loads(line)) for line in lines]
        except (OSError, ValueError, KeyError, TypeError):
            raise SourceError(f"{path.name}: this is no recording; expected a file that --record made") from None
        self._kept: dict[tuple[str, str, bytes], list[Exchange]] = {}
        for one in found:
            self._kept.setdefault((one.method, one.path, one.request), []).append(one)
        self._lock = Lock()

    def play(self, method: Method, path: str, request: bytes) -> Exchange:
        """The next answer. Raises SourceError for what was never asked."""
        with self._lock:
            known = self._kept.get((method, path, _canonical(request)))
            if not known:
                raise SourceError(f"{method} {path.partition('?')[0]}: the recording holds no such request")
            return known.pop(0) if len(known) > 1 else known[0]

    def keep(self, exchange: Exchange) -> None:
        """Nothing is asked that could be kept."""
        del exchange


def recordings(folder: Path) -> Iterator[str]:
    """The names of the sources that a folder has recordings of."""
    yield from (path.stem for path in sorted(folder.glob("*.jsonl")))


def _as_json(body: bytes) -> Any:
    """A body as JSON; what is none says only how long it was."""
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return f"({len(body)} bytes that are no JSON)"


def _canonical(request: bytes) -> bytes:
    return json.dumps(_as_json(request), sort_keys=True).encode() if request else b""


def _exchange(line: dict[str, Any]) -> Exchange:
    body = b"" if line["body"] is None else json.dumps(line["body"]).encode()
    request = json.dumps(line["request"], sort_keys=True).encode() if "request" in line else b""
    return Exchange(line["method"], line["path"], request, line["status"], line["headers"], body)
