"""A Grafana on loopback, as far as boards go: its HTTP API for folders, dashboards and the search, as documented.

It keeps every version of a board, knows tokens with a role, refuses what Grafana refuses and in its words, and writes
down what it is asked.
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

EDITOR, VIEWER = "glsa_editor_s3cr3t", "glsa_viewer_s3cr3t"
_LONGEST_UID, _LONGEST_MESSAGE = 40, 500


class Reply(NamedTuple):
    """An answer: its status, body and further headers."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


class Version(NamedTuple):
    """A version of a board, with the words of whoever saved it."""

    document: dict[str, Any]
    message: str


@dataclass
class Board:
    """A board with its history, the newest version last."""

    folder_uid: str
    versions: list[Version]
    provisioned: bool = False
    plugin: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """What stands in it now."""
        return self.versions[-1].document


@dataclass
class FakeGrafana:
    """The state of a Grafana, and what it was asked. `unique_titles`: boards of a folder as old versions keep them."""

    url: str = ""
    folders: dict[str, str] = field(default_factory=dict)
    boards: dict[str, Board] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=lambda: {EDITOR: "Editor", VIEWER: "Viewer"})
    unique_titles: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)
    instead: Callable[[str, str], Reply | None] = lambda _method, _path: None
    """Answers before Grafana does: a proxy, or a server in trouble."""
    before_save: Callable[[], object] = lambda: None
    """Happens after a board was looked at and before it is saved."""

    def put(self, uid: str, document: Mapping[str, Any], folder_uid: str = "paceline", **options: Any) -> Board:
        """Save a version of a board as somebody does in Grafana."""
        board = self.boards.setdefault(uid, Board(folder_uid, [], **options))
        number = len(board.versions) + 1
        board.versions.append(Version({**document, "id": 7, "uid": uid, "version": number}, "by hand"))
        return board

    def state(self) -> Any:
        """Everything that is kept, to be compared later."""
        return copy.deepcopy((self.folders, self.boards))

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What it was asked beside questions."""
        return [(method, path) for method, path in self.asked if method != "GET"]

    def answer(self, method: str, target: str, token: str, body: bytes) -> Reply:
        """What Grafana answers to a request."""
        parts = urlsplit(target)
        self.asked.append((method, parts.path))
        return self.instead(method, parts.path) or self._refused(method, token) or self._routed(method, parts, body)

    def _refused(self, method: str, token: str) -> Reply | None:
        """Why nobody is answered with this token."""
        role = self.roles.get(token)
        if role is None:
            return Reply(401, {"message": "Invalid API key", "messageId": "api-key.invalid", "statusCode": 401})
        if method != "GET" and role == "Viewer":
            return Reply(403, {"message": "You'll need additional permissions to perform this action.", "title": "x"})
        return None

    def _routed(self, method: str, parts: SplitResult, body: bytes) -> Reply:
        words = [unquote(word) for word in parts.path.split("/")[1:]]
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        reply = Reply(404, {"message": "Not found"})
        match (method, *words):
            case ("GET", "api", "folders", uid):
                reply = self._folder(uid)
            case ("POST", "api", "folders"):
                reply = self._make_folder(json.loads(body))
            case ("GET", "api", "dashboards", "uid", uid):
                reply = self._board(uid)
            case ("DELETE", "api", "dashboards", "uid", uid):
                reply = self._delete(uid)
            case ("POST", "api", "dashboards", "db"):
                self.before_save()
                reply = self._save(json.loads(body))
            case ("GET", "api", "search"):
                reply = self._search(query)
        return reply

    def _folder(self, uid: str) -> Reply:
        if uid not in self.folders:
            return Reply(404, {"message": "folder not found", "status": "not-found"})
        return Reply(200, {"id": 1, "uid": uid, "title": self.folders[uid], "version": 1})

    def _make_folder(self, wish: Mapping[str, Any]) -> Reply:
        if wish["uid"] in self.folders or wish["title"] in self.folders.values():
            return Reply(409, {"message": "a folder with the same name already exists"})
        self.folders[wish["uid"]] = wish["title"]
        return self._folder(wish["uid"])

    def _board(self, uid: str) -> Reply:
        board = self.boards.get(uid)
        if board is None:
            return Reply(404, {"message": "Dashboard not found", "status": "not-found"})
        title = self.folders.get(board.folder_uid, "General")
        meta = {"folderUid": board.folder_uid, "folderTitle": title, "provisioned": board.provisioned, "canSave": True}
        return Reply(200, {"dashboard": board.document, "meta": meta | {"version": len(board.versions)}})

    def _save(self, command: Mapping[str, Any]) -> Reply:
        document = command["dashboard"]
        uid, folder_uid = document["uid"], command.get("folderUid", "")
        refusals = chain(self._invalid(command, uid), self._preconditions(command, uid))
        if refused := next(refusals, None):
            return refused
        board = self.boards.setdefault(uid, Board(folder_uid, []))
        board.folder_uid = folder_uid
        number = len(board.versions) + 1
        board.versions.append(Version({**document, "id": 7, "version": number}, command.get("message", "")))
        return Reply(200, {"id": 7, "uid": uid, "url": f"/d/{uid}/x", "status": "success", "version": number})

    def _invalid(self, command: Mapping[str, Any], uid: str) -> Iterator[Reply]:
        """Why nobody may save this."""
        document, folder_uid = command["dashboard"], command.get("folderUid", "")
        if not document.get("title"):
            yield Reply(400, {"message": "Dashboard title cannot be empty", "status": "empty-name"})
        if len(uid) > _LONGEST_UID:
            yield Reply(400, {"message": "uid too long, max 40 characters"})
        if len(command.get("message", "")) > _LONGEST_MESSAGE:
            yield Reply(400, {"message": "message too long, max 500 characters"})
        if folder_uid and folder_uid not in self.folders:
            yield Reply(400, {"message": "folder not found"})
        if document.get("id") is not None:
            yield Reply(404, {"message": "Dashboard not found", "status": "not-found"})
        if uid in self.boards and self.boards[uid].provisioned:
            yield Reply(400, {"message": "Cannot save provisioned dashboard"})

    def _preconditions(self, command: Mapping[str, Any], uid: str) -> Iterator[Reply]:
        """Why it is not saved unless it may overwrite."""
        document, folder_uid = command["dashboard"], command.get("folderUid", "")
        if command.get("overwrite"):
            return
        known = self.boards.get(uid)
        if known is not None and known.plugin:
            said = f"The dashboard belongs to plugin {known.plugin}."
            yield Reply(412, {"message": said, "status": "plugin-dashboard"})
        if known is not None and document.get("version", 0) != len(known.versions):
            said = "The dashboard has been changed by someone else"
            yield Reply(412, {"message": said, "status": "version-mismatch"})
        if known is None and self.unique_titles and self._has_title(folder_uid, document["title"]):
            said = "A dashboard with the same name in the folder already exists"
            yield Reply(412, {"message": said, "status": "name-exists"})

    def _has_title(self, folder_uid: str, title: str) -> bool:
        return any(b.folder_uid == folder_uid and b.document["title"] == title for b in self.boards.values())

    def _delete(self, uid: str) -> Reply:
        if uid not in self.boards:
            return Reply(404, {"message": "Dashboard not found"})
        if self.boards[uid].provisioned:
            return Reply(400, {"message": "provisioned dashboard cannot be deleted"})
        title = self.boards.pop(uid).document["title"]
        return Reply(200, {"title": title, "message": f"Dashboard {title} deleted", "id": 7})

    def _search(self, query: Mapping[str, str]) -> Reply:
        limit, page = int(query.get("limit", "1000")), int(query.get("page", "1"))
        hits = [
            {"id": 7, "uid": uid, "title": b.document["title"], "type": "dash-db", "tags": b.document.get("tags", [])}
            for uid, b in sorted(self.boards.items())
            if b.folder_uid == query["folderUIDs"]
        ]
        return Reply(200, hits[limit * (page - 1) : limit * page])


@contextlib.contextmanager
def running(fake: FakeGrafana | None = None) -> Iterator[FakeGrafana]:
    """Serves a Grafana on loopback; its `url` is where."""
    served, lock = fake or FakeGrafana(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            with lock:
                reply = served.answer(self.command, self.path, token, self.rfile.read(length))
            page = isinstance(reply.body, str)
            body = reply.body.encode() if page else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", "text/html; charset=UTF-8" if page else "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that the server looks for

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
