"""A real Git server over HTTP that wants a token: what is cloned and fetched, and where the token never stands."""

from __future__ import annotations

import os
import subprocess
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from collector.errors import AuthError, ContractError, SourceError
from collector.events import Commit
from collector.gitcommand import basic
from collector.history import history
from collector.people import People
from collector.source import SourceContext
from collector.sources.git import GitConfig, GitSource
from collector.streams import Notes, pull

pytestmark = pytest.mark.integration

TOKEN = "t0ken-that-opens-the-server"  # noqa: S105 - planted
_WRONG = "t0ken-that-opens-nothing"


@dataclass
class GitServer:
    """`git http-backend` over HTTP on loopback, for whoever has the token. A moved path answers with a redirect."""

    root: Path
    moved_to: str = ""
    page: bytes | None = None
    """What it says to everything, with 200, instead of git."""
    users: list[str] = field(default_factory=list)
    """Who asked, by the user before each right token."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Paths and the `Authorization` header of each request."""
    processes: set[bytes] = field(default_factory=set)
    """The command lines of all processes while git waited for an answer."""
    url: str = ""

    def allows(self, authorization: str | None) -> bool:
        """Whether a header holds the token."""
        user, _, token = b64decode((authorization or "").removeprefix("Basic ")).decode().partition(":")
        if token == TOKEN:
            self.users.append(user)
        return token == TOKEN

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        """What a request gets: from git where the token is right."""
        path, _, query = request.path.partition("?")
        authorization = request.headers["Authorization"]
        self.asked.append((path, authorization))
        self.processes |= _command_lines()
        if self.page is not None:
            return 200, {"Content-Type": "text/html"}, self.page
        if self.moved_to:
            return 301, {"Location": f"{self.moved_to}{request.path}"}, b""
        if not self.allows(authorization):
            return 401, {"WWW-Authenticate": 'Basic realm="git"'}, b"denied"
        length = int(request.headers["Content-Length"] or 0)
        return self._backend(request, path, query, request.rfile.read(length))

    def _backend(
        self, request: BaseHTTPRequestHandler, path: str, query: str, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.headers["Content-Type"] or "",
            "HTTP_CONTENT_ENCODING": request.headers["Content-Encoding"] or "",
            "GIT_PROTOCOL": request.headers["Git-Protocol"] or "",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=variables, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return int(headers.pop("Status", "200 OK").split()[0]), headers, content


def _command_lines() -> set[bytes]:
    """The command lines of every process that runs now."""
    found: set[bytes] = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(entry.read_bytes().replace(b"\0", b" "))
        except OSError:
            continue  # it has just ended
    return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., GitServer]]:
    """Starts Git servers on free ports of loopback; all serve the repositories of the test's folder."""
    running: list[ThreadingHTTPServer] = []

    def start(**fields: Any) -> GitServer:
        server = GitServer(root=tmp_path, **fields)

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                status, headers, body = server.answer(self)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _do  # noqa: N815 - named by the library

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        running.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=running[-1].serve_forever, args=(0.02,), daemon=True).start()
        server.url = f"http://127.0.0.1:{running[-1].server_address[1]}"
        return server

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


@pytest.fixture
def server(serve: Callable[..., GitServer]) -> GitServer:
    """A server that wants the token."""
    return serve()


@pytest.fixture
def shop(new_repository: Any) -> Any:
    """The repository that the server has at `/group/shop/.git`."""
    return new_repository("group/shop")


@pytest.fixture
def context(tmp_path: Path) -> SourceContext:
    """What the service lends a source."""
    (tmp_path / "data").mkdir()

    def no_clock() -> Any:
        raise AssertionError("nobody may ask the time")

    return SourceContext(data_dir=tmp_path / "data", base_dir=tmp_path, people=People(b"k" * 32), clock=no_clock)


@pytest.fixture
def source_of(server: GitServer, context: SourceContext) -> Callable[..., GitSource]:
    """The git source of the server's repository; further arguments are settings."""

    def make(url: str = "", **fields: Any) -> GitSource:
        repository = url or f"{server.url}/group/shop/.git"
        settings = {"token": TOKEN, **fields}
        return GitConfig(name="shop", type="git", repository=repository, **settings).build(context)

    return make


def read(source: GitSource, cursor: str | None = None) -> tuple[list[str], str | None]:
    """The ids of the commits of a pull, and its cursor."""
    pages = list(source.pull(cursor))
    shas = [e.sha for page in pages for e in page.events if isinstance(e, Commit)]
    return shas, pages[-1].cursor if pages else cursor


def test_a_clone_and_a_fetch_carry_the_token(shop: Any, server: GitServer, source_of: Any) -> None:
    """With the token a repository is cloned, and later fetched: the second run reads what is new."""
    first = shop.commit(at=1)
    source = source_of()
    cloned, cursor = read(source)
    second = shop.commit(at=2)
    fetched, _ = read(source, cursor)

    assert (cloned, fetched) == ([first], [second])
    assert set(server.users) == {"x-access-token"}


def test_the_user_beside_the_token_may_be_another(shop: Any, server: GitServer, source_of: Any) -> None:
    """Where a server wants a certain user with the token, `username` names it."""
    shop.commit(at=1)

    read(source_of(username="oauth2"))

    assert set(server.users) == {"oauth2"}


def test_a_treeless_clone_comes_over_the_wire(shop: Any, source_of: Any) -> None:
    """The server is asked for commits alone: no file and no folder crosses the wire."""
    (shop.path / "file").write_text("x")
    shop.git("add", "file")
    shop.commit(at=1)
    source = source_of()
    read(source)

    kinds = source.git.lines("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
    assert set(kinds) == {"commit"}


def test_a_forced_push_is_survived(shop: Any, source_of: Any) -> None:
    """The default branch is force-pushed → the next fetch takes it over, and the new commits are read."""
    root = shop.commit(at=1)
    shop.commit("old", at=2)
    source = source_of()
    _, cursor = read(source)
    shop.git("reset", "--quiet", "--hard", root)
    new = shop.commit("new", at=3)

    assert read(source, cursor)[0] == [new]


@pytest.mark.parametrize("page", [b"", b"<html><title>We will be back soon</title></html>"], ids=["empty", "one line"])
def test_a_page_in_place_of_git_forgets_nothing(shop: Any, server: GitServer, source_of: Any, page: bytes) -> None:
    """What git takes for an empty repository is an error: branches and tags stay, and afterwards all goes on."""
    first = shop.commit(at=1)
    shop.git("branch", "feature/old")
    source = source_of()
    _, cursor = read(source)
    server.page = page

    with pytest.raises(ContractError, match="names no branch any more"):
        read(source, cursor)

    server.page = None
    kept = source.git.text("rev-parse", "refs/heads/feature/old").strip()
    shop.git("branch", "-D", "feature/old")
    shop.git("branch", "feature/old/deeper")
    second = shop.commit(at=2)
    assert (kept, read(source, cursor)[0]) == (first, [second])
    assert source.git.lines("for-each-ref", "--format=%(refname:short)") == ["feature/old/deeper", "main"]


@pytest.mark.parametrize("cloned", [False, True])
def test_a_wrong_token_is_said_clearly(shop: Any, source_of: Any, *, cloned: bool) -> None:
    """A token that the server refuses is an AuthError that says so, at the clone and at a later fetch."""
    shop.commit(at=1)
    cursor = read(source_of())[1] if cloned else None

    with pytest.raises(AuthError, match="the server refused the token: check it, and that it may read") as caught:
        read(source_of(token=_WRONG), cursor)

    assert _WRONG not in str(caught.value)


def test_nobody_elses_credentials_are_tried(
    shop: Any, server: GitServer, source_of: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wrong token stays wrong: neither a credential helper, an askpass program nor a `.netrc` replaces it."""
    shop.commit(at=1)
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\necho {TOKEN}\n")
    askpass.chmod(0o755)
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login x password {TOKEN}\n")
    (tmp_path / ".gitconfig").write_text(f'[credential]\nhelper = "!echo username=x; echo password={TOKEN}; :"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_ASKPASS", str(askpass))
    monkeypatch.setenv("SSH_ASKPASS", str(askpass))

    with pytest.raises(AuthError):
        read(source_of(token=_WRONG))

    assert {header for _, header in server.asked} == {basic("x-access-token", _WRONG)}


def test_a_redirect_does_not_take_the_token_along(serve: Any, shop: Any, server: GitServer, source_of: Any) -> None:
    """A server that answers with another one's address gets an error that says what to do; the other gets nothing."""
    shop.commit(at=1)
    moved = serve(moved_to=server.url)

    with pytest.raises(SourceError, match="redirected, which is not followed: give the final address"):
        read(source_of(f"{moved.url}/group/shop/.git"))

    assert (len(moved.asked), server.asked) == (1, [])


def test_a_repository_that_is_not_there_is_no_refused_token(server: GitServer, source_of: Any) -> None:
    """With a right token a missing repository is an error of its own, not one of credentials."""
    with pytest.raises(SourceError, match="not found") as caught:
        read(source_of(f"{server.url}/group/nothing.git"))

    assert not isinstance(caught.value, AuthError)


def test_a_forges_commits_come_with_its_token(shop: Any, server: GitServer, context: SourceContext) -> None:
    """The commits of a repository that a forge lists are read through the same server, with the forge's token."""
    sha = shop.commit(at=1)
    url = f"{server.url}/group/shop/.git"
    stream = history("shop", "group/shop", url, source="forge", context=context, authorization=basic("oauth2", TOKEN))

    pages = list(pull(None, [stream], Notes()))

    assert [(e.native_id, e.repository) for page in pages for e in page.events] == [(f"group/shop@{sha}", "group/shop")]  # type: ignore[attr-defined]
    assert set(server.users) == {"oauth2"}


def test_the_token_stands_nowhere(shop: Any, server: GitServer, workspaces: Any) -> None:
    """No command line, no file of the clone or the store, no log and no error holds the token."""
    shop.commit(at=1)
    settings = f"""\
sources:
  - type: git
    name: shop
    repository: {server.url}/group/shop/.git
    token: ${{GIT_TOKEN}}
"""
    workspace = workspaces(settings, GIT_TOKEN=TOKEN, GIT_TRACE_CURL="1", GIT_TRACE_REDACT="0")
    refused = workspaces(settings, GIT_TOKEN=_WRONG)

    done = workspace.run("collect")
    again = workspace.run("collect")
    failed = refused.run("collect", fails=1)

    assert "refused the token" in failed.stdout + failed.stderr
    said = "".join(one.stdout + one.stderr for one in (done, again, failed)).encode()
    files = [p.read_bytes() for w in (workspace, refused) for p in w.data.rglob("*") if p.is_file()]
    places = [said, *files, *server.processes]
    secrets = [s.encode() for t in (TOKEN, _WRONG) for s in (t, basic("x-access-token", t)[6:])]
    assert any(b"git-remote-http" in line for line in server.processes)
    assert len(files) > 10
    assert [place[:80] for place in places for secret in secrets if secret in place] == []
