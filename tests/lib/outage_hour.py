"""One bad hour of every class of sources at once, in earnest: a real service, real servers, a real Prometheus.

Beside those that go away stand steady ones, one of each way in which sources are read: they must not notice.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import itertools
import json
import os
import pkgutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import providers
import requests
from fastapi.testclient import TestClient
from forked import Forks
from outages import (
    HOUR,
    NEWS,
    WRONGS,
    Phase,
    Promise,
    Seen,
    Troubled,
    asked,
    begins,
    grown,
    judged,
    phase_at,
    spans,
    unlike,
    unnamed,
)
from replay import Sample
from ruamel.yaml import YAML
from soaking import MOST_GROWTH, resident_mb
from stores import free_port, program
from written import plain

from collector.api import ApiConfig
from collector.events import Collection
from collector.store.tables import EVENT_TABLES
from collector.webhooks import Delivery
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import build, configuration, utc_now

TOKEN = "t0ken-of-the-sample"  # noqa: S105 - it opens the stand-ins
KEY = "0123456789abcdef0123456789abcdef"
_STEP_SECONDS = 15
_UP_SECONDS = 120.0
_WARM_MINUTES = 2.0
_PUSHED = ("webhook", "cdevents", "alertmanager")
_SHORT: Mapping[str, Any] = {"every": "1m", "stale_after": "5m"}
_NEVER_STALE = ("probe",)
"""Whose target is gone: that is what it measures, and no fault of its own."""
_BY_TIME = ("probe", "prometheus")
"""What these report depends on when they are asked."""
STEADY = ("steady-api", "steady-files", "steady-git", "steady-hook", "steady-probe")


# --- servers -----------------------------------------------------------------------------------------------


@dataclass
class Front:
    """A server on loopback whose phase can be changed: it refuses connections, hangs and drips, or answers."""

    answer: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, Mapping[str, str], bytes]]
    port: int = field(default_factory=free_port)
    phase: Phase = "up"
    _server: ThreadingHTTPServer | None = None
    _changed: threading.Event = field(default_factory=threading.Event)
    _number: Iterator[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def become(self, phase: Phase) -> None:
        """Change: whoever waits is let go."""
        self.phase = phase
        before, self._changed = self._changed, threading.Event()
        before.set()
        if phase == "down":
            self.close()
        elif self._server is None:
            self._open()

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _open(self) -> None:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if front.phase in {"down", "slow"}:
                    front.keep_waiting(self)
                    self.close_connection = True
                    return
                status, headers, content = front.answer(self, body)
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_HEAD = do_OPTIONS = _do  # noqa: N815 - named by the library

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                """Who asked may be gone."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def keep_waiting(self, handler: BaseHTTPRequestHandler) -> None:
        """Say nothing at all, or a byte each second, until the phase is over."""
        changed, phase = self._changed, self.phase
        if phase == "down":
            return
        if next(self._number) % 2:
            changed.wait(900)
            return
        for byte in itertools.chain(b"HTTP/1.1 200 OK\r\n", itertools.cycle(b"X-Slow: y\r\n")):
            if changed.wait(1.0):
                return
            with contextlib.suppress(OSError):
                handler.wfile.write(bytes([byte]))


def of_provider(troubled: Troubled, front: list[Front]) -> Callable[..., tuple[int, Mapping[str, str], bytes]]:
    """What a provider answers, over HTTP."""

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        headers = dict(handler.headers)
        request = requests.Request(handler.command, f"{front[0].url}{handler.path}", headers, data=body).prepare()
        try:
            reply = troubled.send(request)
        except requests.exceptions.RequestException:
            return 503, {}, b""
        return reply.status_code, dict(reply.headers), reply.content

    return answer


@dataclass
class Repositories:
    """Repositories by `git http-backend`, as wrong as a provider is."""

    root: Path
    phase: Phase = "up"
    wrong: str = "500"

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """What git, or a broken server in its place, answers."""
        path, _, query = handler.path.partition("?")
        if self.phase == "wrong" and self.wrong in {"500", "401"}:
            return int(self.wrong), {"WWW-Authenticate": 'Basic realm="git"'}, b"no"
        if self.phase == "wrong" and self.wrong == "html":
            return 200, {"Content-Type": "text/html"}, b"<html><title>We will be back soon</title></html>"
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "uploadpack.allowFilter",
            "GIT_CONFIG_VALUE_0": "true",
            "GIT_CONFIG_KEY_1": "safe.directory",
            "GIT_CONFIG_VALUE_1": "*",
            "REQUEST_METHOD": handler.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": handler.headers["Content-Type"] or "",
            "HTTP_CONTENT_ENCODING": handler.headers["Content-Encoding"] or "",
            "GIT_PROTOCOL": handler.headers["Git-Protocol"] or "",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=variables, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(headers.pop("Status", "200 OK").split()[0])
        return status, headers, content[: len(content) // 2] if self.phase == "wrong" else content


def commit(repository: Path, message: str, at: str, files: Mapping[str, str] | None = None) -> None:
    """Commit files, into a repository that is made where there is none."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(repository), "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "c", f"GIT_{who}_EMAIL": "c@people.example", f"GIT_{who}_DATE": at}
    if not repository.exists():
        repository.mkdir(parents=True)
        subprocess.run(["git", "init", "--quiet", "-b", "main", str(repository)], check=True, env=environment)
    for name, text in (files or {}).items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(text, encoding="utf-8")
    git = ["git", "-C", str(repository)]
    subprocess.run([*git, "add", "."], check=True, env=environment)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", message], check=True, env=environment)


# --- what is collected -------------------------------------------------------------------------------------


@dataclass
class Away:
    """A source whose provider has a bad hour: how to change its phase, and how it is written in the settings."""

    name: str
    settings: Mapping[str, Any]
    become: Callable[[Phase], object]
    spoil: Callable[[str], object] = lambda _: None
    deliveries: Sequence[Delivery] = ()


def api_source(
    name: str, sample: Sample, stack: contextlib.ExitStack, happen: Callable[[], object] = lambda: None
) -> Away:
    """One that asks an API; `happen`: what happens in the bad hour."""
    assert sample.provider is not None
    troubled = Troubled(sample.provider, NEWS.get(name))
    front = Front(lambda *_: (500, {}, b""))
    front.answer = of_provider(troubled, [front])
    sample.provider.base = front.url + urlsplit(sample.provider.base).path.rstrip("/")
    stack.callback(front.close)

    def become(phase: Phase) -> None:
        if phase == "back":
            happen()
        troubled.phase = phase
        front.become(phase)

    settings = {**plain(sample.config, front.url), **_SHORT, "name": name, "type": name}
    if name != "prometheus":
        settings["history"] = "400d"
    return Away(name, settings, become, lambda how: setattr(troubled, "wrong", how) if how in WRONGS else None)


def prometheus_source(stack: contextlib.ExitStack) -> Away:
    """A Prometheus that holds twelve hours up to the present."""
    module = importlib.import_module("providers.prometheus")
    held = module.world()

    def now(_: object) -> int:
        return int(time.time())

    fields = {"now": property(now), "first": property(lambda _: int(time.time()) - 43_200)}
    held.__class__ = type("Present", (type(held),), fields)
    made: Sample = module.sample(Path())
    sample = Sample(made.config, made.take_away, module.provider(held))
    return api_source("prometheus", sample, stack)


def file_source(name: str, folder: Path, sample: Sample) -> Away:
    """One that reads a file, whose last line is written in the bad hour."""
    setting = "path"
    path = folder / name / str(getattr(sample.config, setting))
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[-1] = lines[-1].removesuffix("\n") + "\n"

    def become(phase: Phase) -> None:
        if path.is_dir():
            path.rmdir()
        if phase == "wrong":
            path.unlink(missing_ok=True)
            path.mkdir()
        elif phase in {"up", "back"}:
            path.write_text("".join(lines if phase == "back" else lines[:-1]), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
        if phase == "slow":
            os.mkfifo(path)  # who opens it waits for ever

    given = plain(sample.config, "http://none")
    return Away(name, {**given, **_SHORT, "name": name, "type": name, setting: f"{name}/{path.name}"}, become)


def git_source(name: str, folder: Path, stack: contextlib.ExitStack) -> Away:
    """A repository over HTTP, to which somebody commits in the bad hour."""
    repository = folder / name / "shop"
    for number in range(3):
        commit(repository, f"Step {number}", f"2026-01-0{number + 2}T08:00:00Z", {"docs/page.md": f"Page {number}.\n"})
    served = Repositories(folder / name)
    front = Front(served.answer)
    stack.callback(front.close)

    def become(phase: Phase) -> None:
        if phase == "back":
            later = {"docs/page.md": "Another.\n", "docs/new.md": "New.\n"}
            commit(repository, "Later", "2026-01-05T08:00:00Z", later)
        served.phase = phase
        front.become(phase)

    settings = {"name": name, "type": name, "repository": f"{front.url}/shop/.git", **_SHORT}
    return Away(name, settings, become, lambda how: setattr(served, "wrong", how) if how in WRONGS else None)


def pushed_source(kind: str, sample: Sample, port: int) -> Away:
    """One that is told, whose system says nothing, drips, lies, and says everything twice when it is back."""
    phase: list[Phase] = ["up"]
    number = itertools.count(1)
    name = {"alertmanager": "alerts"}.get(kind, kind)  # the other name is taken

    def tell() -> None:
        for delivery in sample.deliveries if phase[0] == "back" else sample.deliveries[:1]:
            # The same is told again and again, each time as another delivery.
            body = delivery.body + b" " * next(number)
            if phase[0] in {"up", "back"}:
                for _ in range(2 if phase[0] == "back" else 1):
                    post(port, name, delivery.headers, body)
            elif phase[0] == "slow":
                drip(port, name, delivery.headers, body)
            elif phase[0] == "wrong":
                post(port, name, {**delivery.headers, "authorization": "Bearer of bad news"}, body)
                post(port, name, delivery.headers, body[: len(body) // 3])

    def become(new: Phase) -> None:
        phase[0] = new

    made = Away(name, {}, become, deliveries=sample.deliveries)
    made.settings = {**plain(sample.config, "http://none"), **_SHORT, "name": name, "type": kind, "silent_after": "2m"}
    made.spoil = lambda how: tell() if how == "minute" else None
    return made


def post(port: int, name: str, headers: Mapping[str, str], body: bytes) -> int:
    """The status of a delivery; 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        try:
            connection.request("POST", f"/webhooks/{name}", body, {"Content-Type": "application/json", **headers})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0


def drip(port: int, name: str, headers: Mapping[str, str], body: bytes) -> None:
    """A delivery that breaks off."""
    head = [f"POST /webhooks/{name} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    head += [f"{key}: {value}" for key, value in headers.items()]
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as own:
        own.sendall("\r\n".join([*head, "", ""]).encode())
        for byte in body[:20]:
            own.sendall(bytes([byte]))
            time.sleep(0.1)


def probe_source(stack: contextlib.ExitStack, name: str = "probe") -> Away:
    """Checks of a target that goes away."""
    front = Front(lambda *_: (200, {}, b"well"))
    stack.callback(front.close)
    phase: list[Phase] = ["up"]

    def answer(*_: Any) -> tuple[int, Mapping[str, str], bytes]:
        return (500, {}, b"") if phase[0] == "wrong" else (200, {}, b"well")

    front.answer = answer

    def become(new: Phase) -> None:
        phase[0] = new
        front.become(new)

    settings = {"name": name, "type": "probe", "targets": [{"service": name, "url": f"{front.url}/health"}]}
    return Away(name, {**settings, **_SHORT}, become)


def steady_sources(folder: Path, port: int, stack: contextlib.ExitStack) -> list[Away]:
    """One of each way in which sources are read, whose providers never go away."""
    told = folder / "steady.jsonl"
    record = {"kind": "usage_event", "native_id": "1", "capability": "builds", "at": "2026-03-05T10:00:00Z"}
    told.write_text(json.dumps(record) + "\n", encoding="utf-8")
    commit(folder / "steady-repository", "Begin", "2026-01-02T08:00:00Z")
    own = folder / "http_json-steady"
    own.mkdir()
    api = api_source("http_json", importlib.import_module("providers.http_json").sample(own), stack)
    (folder / "webhook-steady").mkdir()
    sample = importlib.import_module("providers.webhook").sample(folder / "webhook-steady")
    hook = pushed_source("webhook", sample, port)
    api.name, hook.name = "steady-api", "steady-hook"
    api.settings = {**api.settings, "name": "steady-api"}
    hook.settings = {**hook.settings, "name": "steady-hook"}
    counter = itertools.count(1)

    def tell(how: str) -> None:
        if how == "minute":
            first = sample.deliveries[0]
            post(port, "steady-hook", first.headers, first.body + b" " * next(counter))

    hook.spoil = tell
    return [
        api,
        hook,
        probe_source(stack, "steady-probe"),
        Away("steady-files", {"name": "steady-files", "type": "files", "path": told.name, **_SHORT}, lambda _: None),
        Away(
            "steady-git",
            {"name": "steady-git", "type": "git", "repository": "steady-repository", **_SHORT},
            lambda _: None,
        ),
    ]


def away_sources(folder: Path, port: int, stack: contextlib.ExitStack) -> list[Away]:
    """One of every class of sources that there is."""
    found = [git_source("git", folder, stack), git_source("docs", folder, stack), probe_source(stack)]
    found.append(prometheus_source(stack))
    for module in pkgutil.iter_modules(providers.__path__):
        if module.name in {"docs", "probe", "prometheus"}:
            continue
        own = folder / module.name
        own.mkdir()
        sample, happen = asked(module.name, own)
        if isinstance(sample.config, ApiConfig):
            found.append(api_source(module.name, sample, stack, happen))
        elif module.name in _PUSHED:
            found.append(pushed_source(module.name, sample, port))
        else:
            found.append(file_source(module.name, folder, sample))
    found.append(files_source(folder))
    return sorted(found, key=lambda one: one.name)


def files_source(folder: Path) -> Away:
    """A file of events."""
    own = folder / "files"
    own.mkdir()
    records = [
        {"kind": "usage_event", "native_id": str(n), "capability": "builds", "at": f"2026-03-0{n}T10:00:00Z"}
        for n in range(1, 6)
    ]
    (own / "events.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")

    class Config:
        """As a sample's."""

        path = "events.jsonl"

    config_type = importlib.import_module("collector.sources.files").FilesConfig
    config = config_type.model_validate({"name": "files", "type": "files", "path": Config.path})
    return file_source("files", folder, Sample(config, lambda: None))


# --- the hour ----------------------------------------------------------------------------------------------


@dataclass
class Hour:
    """What was seen."""

    scale: float
    found: dict[str, list[str]] = field(default_factory=dict)
    """By source, what was not as promised."""
    lines: list[str] = field(default_factory=list)
    readiness: list[tuple[float, list[str]]] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    doctor: str = ""

    @property
    def passed(self) -> bool:
        """Whether all was as promised."""
        return not any(self.found.values())


def bad_hour(base: Forks, folder: Path, minutes: float, say: Callable[[str], object]) -> Hour:
    """Live through it."""
    own = folder / "served"
    own.mkdir(parents=True)
    seen, port = Hour(minutes / 60), free_port()
    with contextlib.ExitStack() as stack:
        away, steady = away_sources(own, port, stack), steady_sources(own, port, stack)
        _settings(own / "paceline.yaml", [*away, *steady], ".paceline")
        for one in (*away, *steady):
            one.become("up")
        service = base.elsewhere(own, PACELINE_PEOPLE_KEY=KEY, SAMPLE_TOKEN=TOKEN)
        assert service.run("rules", "--config", "paceline.yaml", "--out", "rules.yaml") == 0, service.log[-3_000:]
        pid = service.start("serve", "serve", "--config", "paceline.yaml", "--port", str(port))
        ending = stack.enter_context(contextlib.ExitStack())
        ending.callback(service.kill, pid, signal.SIGTERM)
        _wait_for(port, "/metrics")
        began = time.time()
        prometheus = stack.enter_context(_prometheus(folder / "prometheus", own / "rules.yaml", port))
        _Living(seen, away, steady, service, pid, port, began, say).live()
        _judge(seen, away, prometheus, began)
        ending.close()
        _compare(seen, away, own, service)
        log = service.log
        # Until then threads for those that fail are begun, each with a connection to the store.
        seen.found["memory"] = grown(seen.memory, begins("slow", seen.scale), MOST_GROWTH)
        seen.found["the log"] = ["Traceback" for line in log.splitlines() if "Traceback" in line][:1]
        seen.lines.append(f"lines of the log {len(log.splitlines())}")
    return seen


def _settings(path: Path, sources: Sequence[Away], data: str) -> None:
    with path.open("w", encoding="utf-8") as out:
        YAML().dump(
            {
                "data_dir": data,
                "logs": {"format": "json", "level": "warning"},
                "sources": [dict(one.settings) for one in sources],
            },
            out,
        )


def _wait_for(port: int, path: str) -> None:
    until = time.monotonic() + _UP_SECONDS
    while _get(port, path)[0] != http.client.OK:
        assert time.monotonic() < until, "the service does not answer"
        time.sleep(0.2)


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""


@dataclass
class _Living:
    """The hour as it goes on."""

    seen: Hour
    away: Sequence[Away]
    steady: Sequence[Away]
    service: Forks
    pid: int
    port: int
    began: float
    say: Callable[[str], object]
    phase: Phase = "up"
    doctor: int | None = None

    def live(self) -> None:
        """Change what is to be changed, and look, until it is over."""
        whole = sum(minutes for _, minutes in HOUR) * self.seen.scale
        for step in itertools.count():
            minute = (time.time() - self.began) / 60
            if minute >= whole:
                break
            self._change(minute)
            if step % 4 == 0:
                self._look(minute)
            time.sleep(max(self.began + (step + 1) * _STEP_SECONDS - time.time(), 0))
        if self.doctor is not None:
            self.service.kill(self.doctor)
            self.seen.doctor = (self.service.folder / "doctor.out").read_text(encoding="utf-8", errors="replace")

    def _change(self, minute: float) -> None:
        scale = self.seen.scale
        if (now := phase_at(minute, scale)) != self.phase:
            self.phase = now
            self.say(f"minute {minute:.1f}: {now}")
            threads = [threading.Thread(target=one.become, args=(now,)) for one in self.away]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if now == "wrong":
            share = (minute - begins("wrong", scale)) / (dict(HOUR)["wrong"] * scale)
            for one in self.away:
                one.spoil(WRONGS[min(int(share * len(WRONGS)), len(WRONGS) - 1)])
        if self.doctor is None and now == "down" and minute > begins("down", scale) + 8 * scale:
            self.doctor = self.service.start("doctor", "doctor", "--config", "paceline.yaml")

    def _look(self, minute: float) -> None:
        for one in (*self.away, *self.steady):
            threading.Thread(target=one.spoil, args=("minute",), daemon=True).start()
        status, body = _get(self.port, "/readyz")
        self.seen.readiness.append((minute, json.loads(body).get("problems", []) if status else ["no answer"]))
        with contextlib.suppress(OSError):
            self.seen.memory.append((minute, resident_mb(self.pid)))


@contextlib.contextmanager
def _prometheus(folder: Path, rules: Path, scraped: int) -> Iterator[int]:
    folder.mkdir(parents=True)
    found = program("prometheus") or Path("/usr/bin/prometheus")
    port = free_port()
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {_STEP_SECONDS}s, evaluation_interval: {_STEP_SECONDS}s}}\n"
        f"rule_files: ['{rules}']\n"
        f"scrape_configs: [{{job_name: paceline, static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]}}]\n",
        encoding="utf-8",
    )
    options = [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (
        (folder / "log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [str(found), f"--config.file={folder}/prometheus.yml", *options], stdout=log, stderr=log
        ) as process,
    ):
        try:
            _wait_for(port, "/-/ready")
            yield port
        finally:
            process.terminate()


def _series(port: int, expression: str, began: float, until: float) -> dict[str, list[tuple[float, float]]]:
    """By source, minutes since the beginning and values."""
    query = f"query={quote(expression)}&start={began:.0f}&end={until:.0f}&step={_STEP_SECONDS}"
    status, body = _get(port, f"/api/v1/query_range?{query}")
    assert status == http.client.OK, body
    return {
        one["metric"]["source"]: [((at - began) / 60, float(value)) for at, value in one["values"]]
        for one in json.loads(body)["data"]["result"]
    }


def _judge(seen: Hour, away: Sequence[Away], port: int, began: float) -> None:
    until = time.time()
    firing = _series(port, 'ALERTS{alertname="PlatformSourceStale",alertstate="firing"}', began, until)
    succeeded = _series(port, "platform_collector_last_success_timestamp_seconds", began, until)
    staleness = _series(port, "platform_source_staleness_seconds", began, until)
    fresh = _series(port, "platform_source_fresh", began, until)
    counted = _series(port, "platform_collector_events_total", began, until)
    promise = Promise(stale_after=5, every=1, slack=3.0)
    gone, back = begins("down", seen.scale), begins("back", seen.scale)
    for one in away:
        fired = list(spans([at for at, _ in firing.get(one.name, [])], _STEP_SECONDS / 60))
        before = [value for at, value in succeeded.get(one.name, []) if at < begins("wrong", seen.scale)]
        last = (max(before) - began) / 60 if before else None
        if one.name in _NEVER_STALE:
            ever = [at for at, value in fresh.get(one.name, []) if value != 1 and at > _WARM_MINUTES]
            seen.found[one.name] = [f"it was not fresh in minute {ever[0]:.1f}"] if ever else []
        else:
            seen.found[one.name] = judged(Seen(fired=fired, last_success=last), promise, back)
        told = [value for at, value in counted.get(one.name, []) if gone + 2 < at < begins("wrong", seen.scale)]
        if told and one.name not in _BY_TIME and max(told) > min(told):
            seen.found[one.name].append(f"{max(told) - min(told):.0f} events were counted while it was away")
        shown = ", ".join(f"{a:.1f} to {b:.1f}" for a, b in fired) or "never"
        seen.lines.append(f"{one.name}: last success {last or float('nan'):.1f}, alert {shown}")
    for name in STEADY:
        worst = max((value for at, value in staleness.get(name, []) if at > _WARM_MINUTES), default=float("inf"))
        ever = [at for at, value in fresh.get(name, []) if value != 1 and at > _WARM_MINUTES]
        seen.found[name] = [f"it was not fresh in minute {ever[0]:.1f}"] if ever or worst > 300 else []
        if firing.get(name):
            seen.found[name].append("its alert fired")
        seen.lines.append(f"{name}: never older than {worst:.0f} s")
    _readiness(seen, away)


def _readiness(seen: Hour, away: Sequence[Away]) -> None:
    """Each that is away is named before it is back, or counted where there are too many to name."""
    during = [said for at, said in seen.readiness if begins("down", seen.scale) + 8 < at < begins("back", seen.scale)]
    named = {one.name for one in away for said in during if any(f"source {one.name} " in line for line in said)}
    seen.lines.append(f"/readyz named {len(named)} of {len(away)} sources")
    missing = {one.name for one in away} - named - set(_NEVER_STALE)
    counted = any("more problems of sources" in line for said in during for line in said)
    seen.found["/readyz"] = [f"it names neither {', '.join(sorted(missing))} nor how many more"] * bool(
        missing and not counted
    )
    last = [line for line in (seen.readiness[-1][1] if seen.readiness else ["no answer"]) if "source" in line]
    seen.found["/readyz at the end"] = last
    seen.found["doctor"] = unnamed([one.name for one in away], seen.doctor)


def _compare(seen: Hour, away: Sequence[Away], own: Path, service: Forks) -> None:
    """What is stored of each source against an undisturbed run."""
    _settings(own / "undisturbed.yaml", away, "undisturbed")
    service.run("collect", "--config", "undisturbed.yaml")
    _deliver(away, own / "undisturbed.yaml", service.environment)
    stored, whole = ids(own / ".paceline"), ids(own / "undisturbed")
    for one in away:
        found, wanted = stored.get(one.name, []), whole.get(one.name, [])
        # Of what is gone a probe tells that it is gone, at each minute.
        compared = wanted if one.name != "probe" else found
        seen.found[one.name] += unlike(found, compared, grows=one.name in _BY_TIME)
        seen.lines.append(f"{one.name}: {len(found)} events")


def _deliver(away: Sequence[Away], settings: Path, environment: Mapping[str, str]) -> None:
    """Everything that the systems tell, once, to a service that nothing happens to."""
    with contextlib.closing(build(configuration(settings, environment, settings.parent), environ=environment)) as made:
        webhooks = Webhooks(made.service, made.log, utc_now)
        with TestClient(create_app(made.service, webhooks=webhooks)) as client:
            for one in away:
                for told in one.deliveries:
                    answer = client.post(f"/webhooks/{one.name}", content=told.body, headers=dict(told.headers))
                    assert answer.is_success, (one.name, answer.text)
        webhooks.close()
        made.service.drain()


def ids(place: Path) -> dict[str, list[tuple[str, str]]]:
    """By source, the kinds and ids of what is stored."""
    found: dict[str, list[tuple[str, str]]] = {}
    with contextlib.closing(sqlite3.connect(place / "paceline.db")) as connection:
        for event_type, table in EVENT_TABLES.items():
            if event_type is Collection:
                continue
            for source, native_id in connection.execute(f"SELECT source, native_id FROM {table.name}"):  # noqa: S608
                found.setdefault(source, []).append((table.name, native_id))
    return found
