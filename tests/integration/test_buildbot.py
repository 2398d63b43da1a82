"""A real Buildbot: master and worker on loopback, builds of every end, read by `paceline collect` and by its posts."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from providers.http_json import described

from collector.document import validate
from collector.events import PipelineRun
from collector.people import People, load_key
from collector.source import SourceContext
from collector.sources.buildbot import BuildbotConfig
from collector.sources.http_json import HttpJsonConfig
from collector.webhooks import Delivery

pytestmark = pytest.mark.integration

BUILDBOT = Path(__file__).parents[2] / ".venv-buildbot" / "bin"
SECRET = "a-secret-of-the-posts"  # noqa: S105 - planted
OWNER = "Wilhelmina Quarterstaff <wilhelmina@quarterstaff.example>"
MASTER = """\
from buildbot.plugins import reporters, schedulers, steps, util, worker

def builder(name, command):
    source = steps.Git(repourl={repository!r}, mode="full", method="clobber")
    factory = util.BuildFactory([source, steps.ShellCommand(command=["sh", "-c", command])])
    return util.BuilderConfig(name=name, workernames=["w1"], factory=factory)

c = BuildmasterConfig = {{
    "workers": [worker.Worker("w1", "pass")],
    "protocols": {{"pb": {{"port": "tcp:{pb}:interface=127.0.0.1"}}}},
    "builders": [
        builder("tests", "true"),
        builder("deploy-shop", "true"),
        builder("broken", "false"),
        builder("slow", "while [ ! -e {flag} ]; do sleep 0.1; done"),
        builder("endless", "sleep 600"),
    ],
    "schedulers": [
        schedulers.AnyBranchScheduler(name="commits", treeStableTimer=1, builderNames=["tests"]),
        schedulers.ForceScheduler(
            name="force",
            builderNames=["deploy-shop", "broken", "slow", "endless"],
            properties=[util.StringParameter(name="version", default="1.0")],
        ),
    ],
    "collapseRequests": False,
    "www": {{
        "port": "tcp:{web}:interface=127.0.0.1",
        "plugins": {{}},
        "change_hook_dialects": {{"base": True}},
    }},
    "buildbotURL": "http://127.0.0.1:{web}/",
    "db": {{"db_url": "sqlite:///state.sqlite"}},
    "buildbotNetUsageData": None,
    "services": [
        reporters.HttpStatusPush("http://127.0.0.1:{posts}/webhooks/ci", headers={{"Authorization": "Bearer {secret}"}})
    ],
}}
"""
SETTINGS = """\
sources:
  - type: buildbot
    name: ci
    url: {url}
    deployments: [{{pipeline: deploy-*, to: production}}]
    repositories: {{{repository}: acme/shop}}
"""


ENDS = ("success", "failure")
NOW = datetime.now(UTC)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@dataclass
class Posts:
    """What a master posted."""

    port: int
    deliveries: list[Delivery] = field(default_factory=list)

    def builders(self, *, complete: bool) -> set[str]:
        """The builders of which a build was posted as begun, or as ended."""
        posted = [json.loads(d.body) for d in self.deliveries]
        return {p["builder"]["name"] for p in posted if p["complete"] is complete}


@dataclass(frozen=True)
class Master:
    """A running master with a worker, and the repository that it builds."""

    web: int
    folder: Path
    repository: Any
    posts: Posts

    @property
    def flag(self) -> Path:
        """A file on which the slow builder waits."""
        return self.folder / "flag"

    @property
    def url(self) -> str:
        """Where people look at it."""
        return f"http://127.0.0.1:{self.web}"

    def ask(self, path: str, body: Any = None) -> Any:
        """The answer of the master's API."""
        sent = None if body is None else json.dumps(body)
        return json.loads(self._answer(path, sent, "application/json"))

    def _answer(self, path: str, sent: str | None, kind: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET" if sent is None else "POST", path, sent, {"Content-Type": kind})
            return connection.getresponse().read()

    def call(self, path: str, method: str, **parameters: Any) -> Any:
        """What a command to the master returns."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        return self.ask(f"/api/v2/{path}", body)["result"]

    def force(self, builder: str) -> None:
        """Have a builder build the newest commit."""
        builders = {b["name"]: b["builderid"] for b in self.ask("/api/v2/builders")["builders"]}
        place = {"repository": self.repository.path.as_uri(), "branch": "main", "revision": "", "project": ""}
        self.call("forceschedulers/force", "force", builderid=builders[builder], username=OWNER, **place)

    def commit(self, at: float) -> str:
        """The id of a new commit, which the master hears of."""
        sha: str = self.repository.commit(f"by {OWNER}", at=at, author=OWNER)
        place = {"repository": self.repository.path.as_uri(), "branch": "main", "revision": sha, "author": OWNER}
        self._answer("/change_hook/base", urlencode({**place, "comments": "c"}), "application/x-www-form-urlencoded")
        return sha

    def builds(self) -> dict[str, dict[str, Any]]:
        """The newest build of each builder by its name, as the API has it."""
        builders = {b["builderid"]: b["name"] for b in self.ask("/api/v2/builders")["builders"]}
        return {builders[b["builderid"]]: b for b in self.ask("/api/v2/builds?order=buildid")["builds"]}

    def build(self, builder: str) -> dict[str, Any]:
        """The newest build of a builder, as the API has it."""
        return self.builds()[builder]


@pytest.fixture(scope="module")
def posts() -> Iterator[Posts]:
    """Listens to what a master posts."""
    found = Posts(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {k.lower(): v for k, v in self.headers.items()}
            found.deliveries.append(Delivery(headers=headers, body=body, received_at=NOW))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = int(server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield found
        server.shutdown()


@contextlib.contextmanager
def running(folder: Path, *command: str) -> Iterator[None]:
    """A program that runs in the foreground until the end, its words in a file."""
    with (folder / "words.txt").open("ab") as words:
        process = subprocess.Popen(command, cwd=folder, stdout=words, stderr=words)
        try:
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def master(
    requires_tool: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    repository_at: Any,
    posts: Posts,
    eventually: Any,
) -> Iterator[Master]:
    """A master with a worker."""
    buildbot, worker = (requires_tool(str(BUILDBOT / name)) for name in ("buildbot", "buildbot-worker"))
    folder = tmp_path_factory.mktemp("buildbot")
    repository = repository_at(folder / "shop")
    repository.commit(at=0)
    made = Master(free_port(), folder, repository, posts)
    pb = free_port()
    subprocess.run([buildbot, "create-master", "--quiet", "--relocatable", "m"], cwd=folder, check=True)
    place = {"repository": repository.path.as_uri(), "flag": made.flag, "secret": SECRET}
    (folder / "m" / "master.cfg").write_text(MASTER.format(web=made.web, pb=pb, posts=posts.port, **place))
    subprocess.run(
        [worker, "create-worker", "--quiet", "--relocatable", "w", f"127.0.0.1:{pb}", "w1", "pass"],
        cwd=folder,
        check=True,
    )
    with running(folder / "m", buildbot, "start", "--nodaemon"):
        eventually(lambda: made.ask("/api/v2/builders")["builders"])
        with running(folder / "w", worker, "start", "--nodaemon"):
            eventually(lambda: any(w["connected_to"] for w in made.ask("/api/v2/workers")["workers"]))
            yield made


@dataclass(frozen=True)
class Collected:
    """What the store held after each of two runs: first with builds that ran, then with all of them ended."""

    first: dict[str, dict[str, Any]]
    second: dict[str, dict[str, Any]]
    deployments: list[dict[str, Any]]
    said: list[Any]
    shas: list[str]
    builds: dict[str, dict[str, Any]]
    workspace: Any


def rows(workspace: Any, table: str) -> list[dict[str, Any]]:
    """The rows of a table of the store."""
    with contextlib.closing(sqlite3.connect(workspace.data / "paceline.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY native_id")]  # noqa: S608


def runs(workspace: Any) -> dict[str, dict[str, Any]]:
    """The stored runs by their pipeline."""
    return {row["pipeline"]: row for row in rows(workspace, "event_pipeline_run")}


@pytest.fixture(scope="module")
def collected(master: Master, workspaces: Any, eventually: Any) -> Collected:
    """One build succeeds with two changes, one deploys, one fails, one runs on, one is cancelled; then a second run."""
    workspace = workspaces(SETTINGS.format(url=master.url, repository=master.repository.path.as_uri()))
    shas = [master.commit(at=1), master.commit(at=2)]
    for name in ("broken", "slow", "endless", "deploy-shop"):
        master.force(name)
    eventually(lambda: len(master.posts.builders(complete=False)) == 5, 60)
    eventually(lambda: master.posts.builders(complete=True) == {"tests", "broken", "deploy-shop"}, 60)
    said = workspace.json("collect")
    first = runs(workspace)
    master.call(f"builds/{master.build('endless')['buildid']}", "stop", reason="enough")
    master.flag.touch()
    eventually(lambda: "slow" in master.posts.builders(complete=True), 60)
    eventually(lambda: master.build("endless")["complete"], 60)
    said += workspace.json("collect")
    return Collected(
        first, runs(workspace), rows(workspace, "event_deployment"), said, shas, master.builds(), workspace
    )


def test_builds_of_each_end_are_read(collected: Collected) -> None:
    """Success, failure and cancellation are what the master calls them, each with its time and commit."""
    found = {name: (row["state"], row["result"]) for name, row in collected.second.items()}

    assert found == {
        "tests": ("completed", "success"),
        "deploy-shop": ("completed", "success"),
        "broken": ("completed", "failure"),
        "slow": ("completed", "success"),
        "endless": ("completed", "cancellation"),
    }
    assert {row["repository"] for row in collected.second.values()} == {"acme/shop"}
    assert {row["sha"] for row in collected.second.values()} == {collected.shas[1]}


def test_times_are_those_of_the_master(collected: Collected) -> None:
    """Asked for, begun, ended: in that order, to the second as the master has them."""
    seconds = {n: (r["started_at"] // 10**6, r["finished_at"] // 10**6) for n, r in collected.second.items()}

    assert seconds == {name: (b["started_at"], b["complete_at"]) for name, b in collected.builds.items()}
    assert all(row["created_at"] <= row["started_at"] <= row["finished_at"] for row in collected.second.values())


def test_a_build_that_ran_is_read_again_until_it_ended(collected: Collected) -> None:
    """Still running → no end and no result yet, and looked at again until finished."""
    before = {n: (collected.first[n]["state"], collected.first[n]["result"]) for n in ("slow", "endless")}

    assert before == {"slow": ("executing", None), "endless": ("executing", None)}
    assert collected.first["slow"]["native_id"] == collected.second["slow"]["native_id"]


def test_a_deployment_names_its_commit(collected: Collected) -> None:
    """The builder that a rule names deployed once, with the version that was asked for."""
    (row,) = collected.deployments

    assert (row["service"], row["environment"], row["result"]) == ("shop", "production", "success")
    assert (row["sha"], row["version"]) == (collected.shas[1], "1.0")


def test_what_is_read_once_more_is_the_same(collected: Collected) -> None:
    """A second run changes the two builds that ran, and nothing of the three that had ended; neither run complains."""
    assert [(one["error"], one["rejected"], one["warnings"]) for one in collected.said] == [(None, [], [])] * 2
    assert [one["changed"] for one in collected.said] == [6, 2]


def test_nobody_is_named_in_the_store(collected: Collected) -> None:
    """Whose builds they are stands in the store as a hash alone."""
    dumped = str(collected.workspace.dump()).lower()

    assert "person:" in dumped
    assert [word for word in ("wilhelmina", "quarterstaff") if word in dumped] == []


def config_of(master: Master) -> BuildbotConfig:
    """The settings of the master for a source that is no workspace's."""
    names = {master.repository.path.as_uri(): "acme/shop"}
    fields = {"name": "ci", "type": "buildbot", "url": master.url, "webhook_secret": SECRET, "repositories": names}
    return BuildbotConfig.model_validate(fields)


def context_of(workspace: Any) -> SourceContext:
    """What a source gets that hashes people as a workspace does."""
    people = People(load_key(workspace.data, None))
    return SourceContext(data_dir=workspace.data, base_dir=workspace.path, people=people, clock=lambda: NOW)


def test_posts_bring_what_the_api_has(master: Master, collected: Collected, eventually: Any) -> None:
    """The same native id by webhook and by polling → one: the master's last post of each build is what was read."""
    receiver = config_of(master).receiver(context_of(collected.workspace))
    assert receiver is not None
    # Each begins and ends; by default a master does not tell of the end of what was cancelled.
    eventually(lambda: len(master.posts.deliveries) == 9)

    assert all(map(receiver.is_genuine, master.posts.deliveries))
    posted = [e for d in master.posts.deliveries for e in receiver.read(d).events if isinstance(e, PipelineRun)]
    names = ("id", "pipeline", "repository", "result", "sha", "actor", "url", "ref")
    ended = sorted([getattr(e, n) for n in names] for e in posted if e.finished_at)
    assert ended == sorted([row[n] for n in names] for row in collected.second.values() if row["result"] in ENDS)


def test_a_description_in_the_settings_gives_the_same(master: Master, collected: Collected) -> None:
    """What the page on any JSON API shows for Buildbot reports what the source of its own does, field by field."""
    address = ("https://buildbot.example.com", master.url)
    document = described("buildbot.yaml", collected.workspace.path, address, BUILDBOT_TOKEN="")
    shown = validate(document, HttpJsonConfig, at=("sources", 0))
    names = {master.repository.path.as_uri(): "/".join(master.repository.path.parts[-2:])}
    fields = {"name": "ci", "type": "buildbot", "url": master.url, "deployments": shown.deployments}
    own = BuildbotConfig.model_validate({**fields, "repositories": names})
    context = context_of(collected.workspace)

    events, wanted = ([e for page in c.build(context).pull(None) for e in page.events] for c in (shown, own))

    assert {e.id: e for e in events} == {e.id: e for e in wanted}
    assert [e.kind for e in wanted].count("deployment") == 1


def test_many_builds_are_read_page_by_page(master: Master, collected: Collected) -> None:
    """Two full pages and a rest, of builds that the master's database holds: each is read once, in their order."""
    source = config_of(master).build(context_of(collected.workspace))
    before = [e.native_id for page in source.pull(None) for e in page.events]
    names = ("number", "builderid", "buildrequestid", "workerid", "masterid", "started_at", "complete_at", "results")
    began = int(NOW.timestamp())
    rows = [(number, 1, 1, 1, 1, began + number, began + number + 9, number % 7) for number in range(100, 550)]
    with contextlib.closing(sqlite3.connect(master.folder / "m" / "state.sqlite", timeout=20)) as connection:
        connection.executemany(
            f"INSERT INTO builds ({', '.join(names)}, state_string, locks_duration_s) "  # noqa: S608 - names of columns
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', 0)",
            rows,
        )
        connection.commit()

    pages = [[e.native_id for e in page.events] for page in source.pull(None)]

    assert [len(page) for page in pages] == [200, 200, 55, 0]
    assert [name for page in pages for name in page] == [*before, *(f"run/{n}" for n in range(6, 456))]
