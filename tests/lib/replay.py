"""A small stand-in for a provider's API, at the transport: routes with real paging, ETags, and faults when told.

A provider's module in `providers/` holds a synthetic world and answers from it in the documented shape. Nothing here is
patched: the client under test gets an adapter, as requests itself would use one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from collector.source import SourceConfig
from collector.webhooks import Delivery


class Request(NamedTuple):
    """What was asked: the path without its base, the query's values, headers in lower case."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes
    url: str

    def one(self, name: str, default: str = "") -> str:
        """The last value of a parameter."""
        return (self.query.get(name) or [default])[-1]

    def number(self, name: str, default: int) -> int:
        """A parameter that is a number."""
        return int(self.one(name, str(default)))

    def time(self, name: str) -> datetime | None:
        """A parameter that is a time in RFC 3339; anything else fails the test, as it would be ignored in earnest."""
        value = self.one(name)
        if not value:
            return None
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value), f"{name}={value}"
        return datetime.fromisoformat(value)

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Reply:
    """An answer: JSON, or a raw body."""

    json: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def bytes(self) -> bytes:
        """What is sent."""
        return json.dumps(self.json).encode() if self.body is None else self.body


Handler = Callable[..., Reply]
Fault = Reply | BaseException


@dataclass
class Provider(BaseAdapter):
    """An API at `base`. Routes are regular expressions for whole paths; their named groups become arguments.

    `faults`: what the n-th request gets instead, from 1. `broken_from`: from that request on nothing is reached.
    `gone`: nothing is reached at all.
    """

    base: str
    routes: list[tuple[str, re.Pattern[str], Handler]] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    broken_from: int | None = None
    gone: bool = False
    with_etags: bool = True
    token: str = ""
    """A secret that must stand in some header of each request; else the answer is 401."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def route(self, pattern: str, method: str = "GET") -> Callable[[Handler], Handler]:
        """Answer a path with a function of the request and the path's named groups."""

        def add(handler: Handler) -> Handler:
            self.routes.append((method, re.compile(pattern), handler))
            return handler

        return add

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override] # as one
        """Answer."""
        asked = self._asked(request)
        with self._lock:
            self.asked.append(asked)
            number = len(self.asked)
        if self.gone or (self.broken_from is not None and number >= self.broken_from):
            raise requests.exceptions.ConnectionError("nobody listens")
        fault = self.faults.pop(number, None)
        if isinstance(fault, BaseException):
            raise fault
        return _response(request, fault or self._reply(asked), asked, etags=self.with_etags)

    def _asked(self, request: requests.PreparedRequest) -> Request:
        url = str(request.url)
        assert url.startswith(self.base), f"{url} is not below {self.base}"
        parts = urlsplit(url)
        path = parts.path[len(urlsplit(self.base).path) :].lstrip("/")
        body = request.body or b""
        return Request(
            method=str(request.method),
            path=path,
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={k.lower(): v if isinstance(v, str) else v.decode() for k, v in request.headers.items()},
            body=body if isinstance(body, bytes) else str(body).encode(),
            url=url,
        )

    def _reply(self, asked: Request) -> Reply:
        if self.token and not any(self.token in value for value in asked.headers.values()):
            return Reply({"message": "Bad credentials"}, status=401)
        for method, pattern, handler in self.routes:
            found = pattern.fullmatch(asked.path) if method == asked.method else None
            if found is not None:
                reply: Reply = handler(asked, **{k: unquote(v) for k, v in found.groupdict().items() if v is not None})
                return reply
        return Reply({"message": "Not Found"}, status=404)

    def close(self) -> None:
        """Nothing is kept."""


def _response(request: requests.PreparedRequest, reply: Reply, asked: Request, *, etags: bool) -> requests.Response:
    body, headers, status = reply.bytes(), dict(reply.headers), reply.status
    headers.setdefault("Content-Type", "application/json; charset=utf-8")
    if etags and status == 200 and asked.method == "GET":
        headers.setdefault("ETag", f'"{hashlib.sha256(body).hexdigest()[:16]}"')
        if asked.headers.get("if-none-match") == headers["ETag"]:
            body, status = b"", 304
    response = requests.Response()
    response.status_code, response.url, response.request = status, str(request.url), request
    response.headers.update(headers)
    response.raw = HTTPResponse(body=io.BytesIO(body), headers=headers, status=status, preload_content=False)
    return response


def page_of(asked: Request, items: Sequence[Any], *, most: int = 100, default: int = 30) -> tuple[list[Any], str]:
    """The items of the asked `page`, at most `per_page` and never more than the server's own limit; its Link header."""
    size = min(asked.number("per_page", default), most)
    page = asked.number("page", 1)
    last = max(-(-len(items) // size), 1)
    bare = asked.url.partition("?")[0]

    def link(number: int, rel: str) -> str:
        query = {**{k: v[-1] for k, v in asked.query.items()}, "page": str(number)}
        return f'<{bare}?{urlencode(query)}>; rel="{rel}"'

    links = [link(page + 1, "next"), link(last, "last")] if page < last else []
    return list(items[(page - 1) * size : page * size]), ", ".join(links)


@contextlib.contextmanager
def served(provider: Provider) -> Iterator[str]:
    """The same API over real HTTP on loopback; its address. Requests are still noted by the provider."""
    path = urlsplit(provider.base).path.rstrip("/")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or a body waits 40 ms until its headers are acknowledged

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = requests.Request(self.command, f"{address}{self.path}", dict(self.headers), data=body).prepare()
            reply = provider.send(request)
            self.send_response(reply.status_code)
            content = reply.content
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        provider.base = address + path
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield provider.base
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Sample:
    """A small configuration of a source with its input, and a way to take the input away.

    `provider` stands for its API; None where it reads what is on this machine. `deliveries` are what is sent to a
    source that only receives. `people`: whether what it reports is of people at all.
    """

    config: SourceConfig
    take_away: Callable[[], object]
    provider: Provider | None = None
    deliveries: Sequence[Delivery] = ()
    people: bool = True


def sample_of(config: SourceConfig, provider: Provider) -> Sample:
    """A sample whose API can vanish."""

    def vanish() -> None:
        provider.gone = True

    return Sample(config, vanish, provider)


def told(config_type: type[SourceConfig], folder: Path, bodies: Sequence[Delivery], **settings: Any) -> Sample:
    """A sample of a source that only receives; its secret stands in a file that can vanish."""
    secret = folder / "secret"
    secret.write_text("t0ken-of-the-sample", encoding="utf-8")
    fields = {"name": "sample", "webhook_secret": f"file:{secret}", **settings}
    return Sample(config_type.model_validate(fields), secret.unlink, deliveries=bodies)


def recorded(folder: Path) -> Iterator[dict[str, Any]]:
    """The exchanges of a folder of JSON Lines, in order."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)
