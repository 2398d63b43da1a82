"""What the integration tests share: histories relative to now, workspaces, `paceline` as a real process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import pytest
from forked import Forks, Process, forks

PLANTED_NAME = "Wilhelmina Quarterstaff"
PLANTED_MAIL = "wilhelmina@quarterstaff.example"
PLANTED_MARKUP = "Eve <script>alert(1)<script>"
_ADA = "Ada <ada@people.example>"
_PATIENCE_SECONDS = 20.0
_POLL_SECONDS = 0.05
_COMMAND_SECONDS = 60.0
_RELEASES = 32
_BIG_CHANGES = 10_000


# --- histories -----------------------------------------------------------------------------------------


@dataclass
class Script:
    """A `git fast-import` stream: 20 000 commits in a second, at times of one's own."""

    lines: list[str] = field(default_factory=list)
    marks: int = 0

    def commit(
        self,
        branch: str,
        at: datetime,
        *parents: int,
        authored_at: datetime | None = None,
        author: str = _ADA,
        message: str = "a change",
    ) -> int:
        """The mark of a new commit; `author` is written as it is, `Name <mail>`."""
        self.marks += 1
        text = f"{message}\n"
        self.lines += [
            f"commit refs/heads/{branch}",
            f"mark :{self.marks}",
            f"author {author} {_seconds(authored_at or at)} +0000",
            f"committer {author} {_seconds(at)} +0000",
            f"data {len(text.encode())}\n{text}",
        ]
        self.lines += [f"{word} :{p}" for word, p in zip(("from", "merge"), parents, strict=False)]
        return self.marks

    def tag(self, name: str, mark: int, at: datetime) -> None:
        """An annotated tag, made at a time."""
        self.lines += [f"tag {name}", f"from :{mark}", f"tagger {_ADA} {_seconds(at)} +0000", "data 0\n"]

    def write(self, path: Path) -> dict[int, str]:
        """Make a bare repository of the stream; the ids of its commits by mark."""
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        git = ["git", "-C", str(path)]
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(path)], check=True, env=environment)
        subprocess.run(
            [*git, "fast-import", "--quiet", "--export-marks=marks"],
            input="\n".join([*self.lines, "done", ""]).encode(),
            check=True,
            env=environment,
        )
        pairs = (line.split() for line in (path / "marks").read_text().splitlines())
        return {int(mark.removeprefix(":")): sha for mark, sha in pairs}


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _hours(n: float) -> timedelta:
    return timedelta(hours=n)


@dataclass(frozen=True)
class World:
    """A service's history until now: a Git repository, and the files beside it.

    62 merged changes in 78 days and a release every 2.5 days, the last 20 minutes ago, so that also the burn rate
    of an hour has events; then two changes that wait for their release. The requests of the newer changes with
    reviews, incidents, pipelines, one failed deployment and one request whose commit nobody knows stand in
    `events.jsonl`.
    """

    repository: Path
    events: Path
    now: datetime


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The realistic history that the tests share; they only read it."""
    folder = tmp_path_factory.mktemp("world")
    now = datetime.now(UTC).replace(microsecond=0)
    script, requests = Script(), list[tuple[int, datetime]]()
    tip = script.commit("main", now - timedelta(days=79))
    for number in range(_RELEASES):
        released_at = now - timedelta(days=2.5 * (_RELEASES - 1 - number), minutes=20)
        # Every twelfth release carries a change that had to wait for 30 hours.
        for waited in (30.0 if number % 12 == 5 else 7.0, 0.5):
            tip = _merge(script, tip, released_at - _hours(waited), number)
            requests.append((tip, released_at - _hours(waited)))
        script.tag(f"v1.{number}.0", tip, released_at)
    for minutes in (10, 5):
        tip = _merge(script, tip, now - timedelta(minutes=minutes), _RELEASES)
    shas = script.write(folder / "shop.git")
    records = [record for mark, at in requests[4:] for record in _request(shas[mark], at)]
    records += [*_incidents(now), *_pipelines(now), *_oddities(now)]
    events = folder / "events.jsonl"
    events.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return World(folder / "shop.git", events, now)


def _merge(script: Script, tip: int, at: datetime, number: int) -> int:
    """A branch of two commits, merged; people whose names must never be seen write some of them."""
    planted, markup = f"{PLANTED_NAME} <{PLANTED_MAIL}>", PLANTED_MARKUP.replace("<", "(").replace(">", ")")
    who = {0: planted, 1: f"{markup} <eve@evil.example>"}.get(number % 3, _ADA)
    message = f"a change\n\nCo-authored-by: {planted}\nSigned-off-by: {planted}"
    first = script.commit("feature", at - _hours(26 + number % 5), tip, author=who, message=message)
    second = script.commit("feature", at - _hours(3), first, author=who)
    return script.commit("main", at, tip, second, author=who, message="Merge branch 'feature'")


def _request(sha: str, merged_at: datetime) -> Iterator[Mapping[str, Any]]:
    """A merged request and its review as a file states them."""
    common = {"repository": "shop", "author": PLANTED_MAIL}
    yield common | {
        "kind": "change",
        "native_id": sha[:12],
        "state": "merged",
        "title": f"By {PLANTED_NAME}",
        "created_at": (merged_at - _hours(20)).isoformat(),
        "merged_at": merged_at.isoformat(),
        "merge_sha": sha,
    }
    yield common | {
        "kind": "review",
        "native_id": f"review of {sha[:12]}",
        "change_native_id": sha[:12],
        "state": "approved",
        "author": "ada@people.example",
        "at": (merged_at - _hours(4)).isoformat(),
    }


def _incidents(now: datetime) -> Iterator[Mapping[str, Any]]:
    """Eight incidents after releases, all over since this week; one that nothing explains, one with a wrong clock."""
    old = now - timedelta(days=6)
    after_releases = [now - timedelta(days=2.5 * n) + _hours(1) for n in range(2, 10)]
    spans = [(at, max(at + _hours(2), old + _hours(n))) for n, at in enumerate(after_releases)]
    unexplained = now - timedelta(days=1, hours=6)
    for number, (started_at, restored_at) in enumerate([*spans, (unexplained, now), (unexplained, old)]):
        yield {
            "kind": "incident",
            "native_id": f"incident {number}",
            "service": "shop",
            "environment": "production",
            "state": "resolved",
            "started_at": started_at.isoformat(),
            "restored_at": restored_at.isoformat(),
        }


def _pipelines(now: datetime) -> Iterator[Mapping[str, Any]]:
    """Ten runs of a pipeline with a job each, in the last two days: the ninth failed, the tenth was cancelled."""
    for number, result in enumerate([*["success"] * 8, "failure", "cancellation"]):
        at = now - _hours(4 * number + 5)
        run = {
            "kind": "pipeline_run",
            "native_id": f"run {number}",
            "repository": "shop",
            "pipeline": "deploy",
            "state": "completed",
            "result": result,
            "created_at": at.isoformat(),
            "started_at": (at + timedelta(seconds=number)).isoformat(),
            "finished_at": (at + _hours(0.1)).isoformat(),
        }
        yield run
        yield run | {"native_id": f"job {number}", "run_kind": "task", "parent_native_id": f"run {number}"}
    yield run | {"native_id": "skipped", "run_kind": "task", "parent_native_id": "run 9", "started_at": None}


def _oddities(now: datetime) -> list[Mapping[str, Any]]:
    """What is left out of the numbers, and must be seen beside them: a failed deployment, an unknown commit."""
    failed = {
        "kind": "deployment",
        "native_id": "failed",
        "service": "shop",
        "environment": "production",
        "result": "failure",
        "finished_at": (now - _hours(30)).isoformat(),
        "actor": PLANTED_MAIL,
    }
    unknown = {
        "kind": "change",
        "native_id": "unknown",
        "repository": "shop",
        "state": "merged",
        "created_at": (now - _hours(50)).isoformat(),
        "merged_at": (now - _hours(40)).isoformat(),
        "merge_sha": "f" * 40,
    }
    return [failed, unknown]


@pytest.fixture(scope="session")
def big_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of 10 000 commits, with a release every 50."""
    script, tip = Script(), 0
    start = datetime.now(UTC) - timedelta(minutes=5 * _BIG_CHANGES)
    for number in range(_BIG_CHANGES):
        at = start + timedelta(minutes=5 * number)
        who = f"P{number % 40} <p{number % 40}@people.example>"
        tip = script.commit("main", at, *([tip] if tip else []), author=who)
        if number % 50 == 49:
            script.tag(f"v{number // 50}.0.0", tip, at + timedelta(minutes=1))
    path = tmp_path_factory.mktemp("big") / "big.git"
    script.write(path)
    return path


# --- workspaces and processes ------------------------------------------------------------------------


@dataclass(frozen=True)
class Workspace:
    """A folder with a configuration, in which `paceline` runs as a process of its own, copied by `forks`."""

    path: Path
    forks: Forks
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.path / "paceline.yaml"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.path / ".paceline"

    def environment(self) -> dict[str, str]:
        """What the process sees of the environment: nothing of the user's."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.path), "COLUMNS": "240", **self.variables}

    def run(self, command: str, *arguments: str, fails: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command with the configuration to its end; it must end with the code `fails`."""
        with (self.path / "said.txt").open("w+b") as out, (self.path / "errors.txt").open("w+b") as errors:
            process = self._begun(self._words(command, arguments), out, errors)
            try:
                code = process.wait(timeout=_COMMAND_SECONDS)
            finally:
                process.kill()
        said, told = ((self.path / name).read_text(encoding="utf-8") for name in ("said.txt", "errors.txt"))
        assert code == fails, said + told
        assert "Traceback" not in told, told
        return subprocess.CompletedProcess(command, code, said, told)

    def json(self, command: str, *arguments: str) -> Any:
        """What a command prints for programs."""
        return json.loads(self.run(command, *arguments, "--output", "json").stdout)

    def start(self, command: str, *arguments: str) -> Process:
        """Start a command and let it run; its log goes to `log.txt`."""
        with (self.path / "log.txt").open("ab") as log:
            return self._begun(self._words(command, arguments), None, log)

    def _words(self, command: str, arguments: Sequence[str]) -> list[str]:
        return [*command.split(), "--config", str(self.config), *arguments]

    def _begun(self, words: Sequence[str], out: IO[bytes] | None, errors: IO[bytes]) -> Process:
        """A started command; who starts it reads what it says, unless there is a file for that."""
        return self.forks.popen(words, self.path, self.environment(), errors, out)

    @property
    def log(self) -> str:
        """What started processes wrote to standard error so far."""
        return (self.path / "log.txt").read_text(encoding="utf-8")

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables but those that tell of clocks and attempts; nothing without a store."""
        if not (self.data / "paceline.db").exists():
            return {}
        with contextlib.closing(sqlite3.connect(self.data / "paceline.db")) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = sorted(name for (name,) in found if name not in {"source_run", "event_collection"})
            rows = {t: sorted(connection.execute(f"SELECT * FROM {t}"), key=repr) for t in tables}  # noqa: S608
        of_runs = ("kind_revision", "collection")
        return {t: [row for row in own if (t, row[0]) != of_runs] for t, own in rows.items()}


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running `paceline serve`."""

    workspace: Workspace
    process: Process
    url: str

    def get(self, path: str, **headers: str) -> Answer:
        """The answer to a request; header names with `_` for `-`."""
        return fetch(self.url + path, **headers)

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by series as they are written."""
        lines = (line for line in self.get("/metrics").text.splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; the exit code and the seconds it took."""
        asked = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=_PATIENCE_SECONDS)
        return code, time.monotonic() - asked


def fetch(url: str, **headers: str) -> Answer:
    """The answer to a GET on loopback; header names with `_` for `-`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    with contextlib.closing(connection):
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request("GET", target, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def eventually(found: Callable[[], Any], patience_seconds: float = _PATIENCE_SECONDS) -> Any:
    """The first true value of a question that is asked again and again; fails with the last one."""
    until = time.monotonic() + patience_seconds
    value: Any = None
    while time.monotonic() < until:
        with contextlib.suppress(OSError, http.client.HTTPException):
            value = found()
        if value:
            return value
        time.sleep(_POLL_SECONDS)
    pytest.fail(f"nothing came within {patience_seconds} s; the last answer was {value!r}")


@pytest.fixture(scope="session", name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    """Asks a question again and again until the answer is true."""
    return eventually


@pytest.fixture(scope="session", name="fetch")
def fetch_fixture() -> Callable[..., Answer]:
    """Gets a URL on loopback."""
    return fetch


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts `paceline` without importing it each time."""
    with forks(tmp_path_factory.mktemp("copies")) as found:
        yield found


@pytest.fixture(scope="session")
def workspaces(tmp_path_factory: pytest.TempPathFactory, copies: Forks) -> Callable[..., Workspace]:
    """Makes workspaces: a configuration as text, and environment variables."""

    def make(configuration: str, **variables: str) -> Workspace:
        folder = tmp_path_factory.mktemp("workspace")
        (folder / "paceline.yaml").write_text(configuration, encoding="utf-8")
        return Workspace(folder, copies, variables)

    return make


@contextlib.contextmanager
def serving(workspace: Workspace) -> Iterator[Served]:
    """A running service on a free port, with its first numbers published; stopped at the end whatever happens."""
    process = workspace.start("serve", "--port", "0")
    assert process.stdout is not None
    try:
        shown = next((line for line in process.stdout if line.startswith("Status page")), None)
        assert shown is not None, workspace.log
        served = Served(workspace, process, shown.split()[-1].rstrip("/"))
        eventually(lambda: served.get("/readyz").status == 200)
        yield served
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session", name="serving")
def serving_fixture() -> Callable[[Workspace], contextlib.AbstractContextManager[Served]]:
    """Starts services."""
    return serving


SLOS = Path(__file__).parents[2] / "config" / "slos"
CONFIGURATION = """\
evaluate_every: 1s
logs: {{format: json}}
services: [{{name: shop, team: /commerce/shop}}]
sources:
  - type: git
    name: shop-git
    repository: {repository}
    every: 2s
    deployments: {{rule: tags}}
  - type: files
    name: shop-files
    path: {events}
    every: 2s
slos: ["{slos}/*.yaml"]
"""


@pytest.fixture(scope="session")
def configuration(world: World) -> str:
    """The configuration that collects the shared history."""
    return CONFIGURATION.format(repository=world.repository, events=world.events, slos=SLOS)


@pytest.fixture(scope="module")
def shop(configuration: str, workspaces: Callable[..., Workspace]) -> Iterator[Served]:
    """A service of the shared history that has collected everything."""
    with serving(workspaces(configuration)) as served:
        eventually(lambda: served.get("/readyz").json["status"] == "ok")
        yield served


# --- plug-ins ----------------------------------------------------------------------------------------

HERE = Path(__file__).parent
SOURCE_FILE, INDICATOR_FILE = HERE / "plugin_source.py", HERE / "plugin_indicator.py"


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Installs files as a distribution into a folder for PYTHONPATH; entry points by their group."""

    def install(name: str, files: Mapping[str, Path], entry_points: Mapping[str, str]) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for target, file in files.items():
            (folder / target).write_bytes(file.read_bytes())
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        groups = "".join(f"[{group}]\n{entry}\n" for group, entry in entry_points.items())
        (metadata / "entry_points.txt").write_text(groups)
        return folder

    return install


@pytest.fixture(scope="session")
def tea_house(distribution: Callable[..., Path]) -> Path:
    """The plug-ins of a third party, one file each, as an installed distribution."""
    return distribution(
        "something",
        {"tea_source.py": SOURCE_FILE, "tea_indicator.py": INDICATOR_FILE},
        {"paceline.sources": "tea = tea_source:TeaConfig", "paceline.indicators": "tea = tea_indicator:FAMILY"},
    )
