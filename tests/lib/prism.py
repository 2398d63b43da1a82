"""Prism, a server that answers from a description of an API and says what is wrong with what it is asked.

It checks what our own check cannot know of: whether somebody else's reading of the description agrees.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openapi import Description
from replay import Request

# What belongs to a connection; and media types, of which descriptions list one where providers have names of their own.
_NOT_OURS = {"host", "connection", "accept", "accept-encoding", "content-length", "if-none-match"}
_REFUSED = 400
_PATIENCE_SECONDS = 60.0
_WHOLE = ("openapi", "swagger", "info", "servers", "host", "basePath", "schemes", "consumes", "produces", "security")


def trimmed(description: Description, asked: Iterable[Request], base: str = "") -> dict[str, Any]:
    """A description with no more than some requests need: their paths, and what these refer to."""
    document = description.document
    found = [description.operation(one, base) for one in asked]
    templates = {one.template for one in found if not isinstance(one, str)}
    paths = {template: item for template, item in document["paths"].items() if template in templates}
    kept: dict[str, Any] = {**{name: document[name] for name in _WHOLE if name in document}, "paths": paths}
    waiting = set(_references(paths))
    known: set[str] = set()
    while waiting:
        reference = waiting.pop()
        known.add(reference)
        waiting |= set(_references(_put(document, kept, reference))) - known
    for place in ("components.securitySchemes", "securityDefinitions"):
        _put_whole(document, kept, place.split("."))
    return kept


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _put(document: Mapping[str, Any], kept: dict[str, Any], reference: str) -> Any:
    """Put what a reference names into the trimmed document; what it was."""
    *folders, name = reference.removeprefix("#/").split("/")
    source: Any = document
    target: Any = kept
    for folder in folders:
        source, target = source[folder], target.setdefault(folder, {})
    target[name] = source[name]
    return source[name]


def _put_whole(document: Mapping[str, Any], kept: dict[str, Any], place: list[str]) -> None:
    source: Any = document
    for folder in place:
        source = source.get(folder, {})
    if source:
        _put(document, kept, "#/" + "/".join(place))


@dataclass(frozen=True)
class Prism:
    """A running server of one description."""

    port: int
    description: Description
    base: str = ""

    def complaints(self, asked: Request) -> list[str]:
        """What it says is wrong with a request; empty where nothing is."""
        operation = self.description.operation(asked, self.base)
        if isinstance(operation, str):
            return [operation]
        query = urlsplit(asked.url).query
        headers = {k: v for k, v in asked.headers.items() if k not in _NOT_OURS}
        status, answered, body = self._answer(asked, f"{operation.path}?{query}" if query else operation.path, headers)
        said = f"{asked.method} {operation.template}"
        violations = [v for v in json.loads(answered.get("sl-violations", "[]")) if v["location"][0] == "request"]
        if not violations and status >= _REFUSED:
            return [f"{said}: {status} {one}" for one in _reasons(body)]
        return [f"{said}: {_shown(one)}" for one in violations]

    def _answer(self, asked: Request, target: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request(asked.method, target, asked.body or None, dict(headers))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def _reasons(body: bytes) -> list[str]:
    """Why a request was refused: each violation, else what the problem is called."""
    try:
        problem = json.loads(body)
    except ValueError:
        return ["without a reason"]
    listed = problem.get("validation") if isinstance(problem, dict) else None
    title = problem.get("title") if isinstance(problem, dict) else None
    return [_shown(one) for one in listed] if listed else [str(title or "as the description has it")]


def _shown(violation: Mapping[str, Any]) -> str:
    return f"{'.'.join(map(str, violation['location'])).removeprefix('request.')}: {violation['message']}"


@contextlib.contextmanager
def serving(
    program: str, description: Description, asked: Iterable[Request], folder: Path, base: str = ""
) -> Iterator[Prism]:
    """A server of what a description says of some requests, until the end; its words in a file of the folder."""
    document, words = folder / "description.json", folder / "prism.txt"
    document.write_text(json.dumps(trimmed(description, asked, base)), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with words.open("wb") as out:
        command = [program, "mock", "--host", "127.0.0.1", "--port", str(port), "--verboseLevel", "warn", str(document)]
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        _wait(process, port, words)
        yield Prism(port, description, base)
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, words: Path) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"Prism did not start: {words.read_text(encoding='utf-8')[-2000:]}")
