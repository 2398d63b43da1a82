"""What reading a system costs beside asking it: recorded pages become events, and events are stored.

    make bench ARGS=bench/sources.py
    .venv/bin/python bench/sources.py --items 1000000      whether memory stays flat

Pages in the shape of the systems are made before the clock starts, and answered from memory: what is measured is
unpacking, normalising and, in the second figure, writing into SQLite with the cursor, as `paceline collect` does it.
Beside it stands how fast the same bodies are unpacked into plain objects by Python's own JSON library, in the same run.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "lib"))

from providers import azuredevops, buildbot, github, gitlab

from collector.bulk import seldom_collecting
from collector.http import Exchange, Method, Wire
from collector.people import People
from collector.registry import source_types
from collector.run import Runner
from collector.source import SourceConfig, SourceContext
from collector.store import Database, EventStore

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
PARSED_A_SECOND, STORED_A_SECOND = 20_000, 10_000
ROUNDS = 3
_HEADERS = {"content-type": "application/json"}

Bodies = dict[tuple[str, int], bytes]
"""Pages by the list they are of, and their number from 1."""


@dataclass
class Pages:
    """Answers lists of one system from memory; all else is empty."""

    answer: Callable[[str, dict[str, list[str]], bytes], tuple[bytes, dict[str, str]]]

    def play(self, method: Method, path: str, request: bytes) -> Exchange:
        """The answer to a request."""
        parts = urlsplit(path)
        body, headers = self.answer(parts.path, parse_qs(parts.query), request)
        return Exchange(method, path, request, 200, {**_HEADERS, **headers}, body)

    def keep(self, exchange: Exchange) -> None:
        """Nothing is asked that could be kept."""


@dataclass(frozen=True)
class System:
    """A system, the settings that read its list, and its pages."""

    name: str
    items: int
    config: SourceConfig
    pages: Pages
    bodies: list[bytes] = field(default_factory=list)


def _made(key: str, **settings: Any) -> SourceConfig:
    return source_types().by_key[key].model_validate({"type": key, "name": "bench", **settings})


def github_runs(items: int) -> System:
    """Runs of workflows: 1 000 to a repository, which is what the API hands out at once."""
    per, size = 1_000, 100
    names = [f"acme/r{n}" for n in range(max(items // per, 1))]
    bodies = [body for _, body in zip(range(min(items, 20_000) // size), github.bulk(min(items, 20_000)), strict=False)]
    runs = re.compile(r".*/repos/(acme/r\d+)/actions/runs")
    nothing = json.dumps({"data": {"repository": {"pullRequests": _no_nodes(), "releases": _no_nodes()}}}).encode()

    def answer(path: str, query: dict[str, list[str]], request: bytes) -> tuple[bytes, dict[str, str]]:
        found = runs.fullmatch(path)
        if request:
            return nothing, {}
        if found is None:
            return b"[]", {}
        page = int(query.get("page", ["1"])[0])
        if query.get("per_page") == ["1"]:
            return b'{"total_count": 1000, "workflow_runs": []}', {}
        place = (int(found[1].rpartition("/r")[2]) * per // size + page - 1) % len(bodies)
        following = f"https://api.github.com{path}?page={page + 1}&per_page=100"
        more = {"link": f'<{following}>; rel="next"'} if page < per // size else {}
        return bodies[place].replace(b'"total_count": %d' % min(items, 20_000), b'"total_count": 1000'), more

    config = _made("github", repositories=names, commits=False, own_deployments=False, history="3650d")
    return System("GitHub, runs", len(names) * per, config, Pages(answer), bodies)


def _no_nodes() -> dict[str, Any]:
    return {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}


def azure_builds(items: int) -> System:
    """Builds of a project of Azure DevOps, 200 to a page."""
    bodies = list(azuredevops.bulk(min(items, 20_000)))
    last = max(items // 200, 1)

    def answer(path: str, query: dict[str, list[str]], request: bytes) -> tuple[bytes, dict[str, str]]:
        del request
        if not path.endswith("/_apis/build/builds") or query.get("statusFilter") != ["completed"]:
            return b'{"count": 0, "value": []}', {}
        page = int(query.get("continuationToken", ["1"])[0])
        more = {"x-ms-continuationtoken": str(page + 1)} if page < last else {}
        return bodies[(page - 1) % len(bodies)], more

    config = _made(
        "azuredevops",
        url="https://ado.example/shop",
        projects=["Web Shop"],
        commits=False,
        releases=False,
        history="3650d",
    )
    return System("Azure DevOps, builds", items, config, Pages(answer), bodies)


def buildbot_builds(items: int) -> System:
    """Builds of a Buildbot master, 200 to a page, by ascending ids."""
    bodies = list(buildbot.bulk(min(items, 20_000)))
    builders = json.dumps({"builders": [{"builderid": 1, "name": "tests"}], "meta": {"total": 1}}).encode()

    def answer(path: str, query: dict[str, list[str]], request: bytes) -> tuple[bytes, dict[str, str]]:
        del request
        name = path.rpartition("/")[2]
        if name == "builders":
            return builders, {}
        if name != "builds" or "buildid__gt" not in query:
            return json.dumps({name: [], "meta": {"total": 0}}).encode(), {}
        after = int(query["buildid__gt"][0])
        if after >= items:
            return b'{"builds": [], "meta": {"total": 0}}', {}
        page = bodies[after // 200 % len(bodies)]
        lap = after // 20_000 * 20_000
        return (_moved(page, lap) if lap else page), {}

    config = _made("buildbot", url="https://buildbot.example.com", history="3650d")
    return System("Buildbot, builds", items, config, Pages(answer), bodies)


def _moved(page: bytes, by: int) -> bytes:
    """The same builds under later ids: a list that goes on must not come again."""
    return re.sub(rb'"buildid": (\d+)', lambda m: b'"buildid": %d' % (int(m[1]) + by), page)


def gitlab_jobs(items: int) -> System:
    """Jobs of pipelines of GitLab, 100 to a page."""
    bodies = list(gitlab.bulk(min(items, 20_000)))
    pipeline = {"id": 1, "iid": 1, "sha": "a" * 40, "ref": "main", "status": "success", "source": "push"}
    times = {"created_at": "2026-02-01T09:00:00Z", "updated_at": "2026-02-01T09:30:00Z", "web_url": "https://g/x"}
    pipelines = json.dumps([{**pipeline, **times}]).encode()
    project = json.dumps({"id": 1, "path_with_namespace": "acme/shop", "default_branch": "main"}).encode()
    last = max(items // 100, 1)

    def answer(path: str, query: dict[str, list[str]], request: bytes) -> tuple[bytes, dict[str, str]]:
        del request
        if path.endswith("/acme%2Fshop"):
            return project, {}
        if path.endswith("/pipelines") and "source" not in query:
            return (pipelines if query["updated_after"][0] < "2026-02-01" else b"[]"), {}
        if not path.endswith("/jobs"):
            return b"[]", {}
        page = int(query.get("page", ["1"])[0])
        following = f"https://gitlab.com{path}?page={page + 1}&per_page=100"
        more = {"link": f'<{following}>; rel="next"'} if page < last else {}
        return bodies[(page - 1) % len(bodies)], more

    config = _made("gitlab", repositories=["acme/shop"], commits=False, own_deployments=False, history="3650d")
    return System("GitLab, jobs", items, config, Pages(answer), bodies)


SYSTEMS = (github_runs, azure_builds, buildbot_builds, gitlab_jobs)


def context_of(system: System, folder: Path) -> SourceContext:
    """What the service lends the source of a system."""
    wire = Wire(tape=system.pages)
    return SourceContext(data_dir=folder, base_dir=folder, people=People(b"k" * 32), clock=lambda: NOW, wire=wire)


def parsed(system: System, folder: Path) -> float:
    """Seconds of processor time to make events of all pages; refuses a source that made too few."""
    source, events = system.config.build(context_of(system, folder)), 0
    with seldom_collecting():
        started = time.process_time()
        for page in source.pull(None):
            events += len(page.events)
        used = time.process_time() - started
    assert events >= min(system.items, 20_000) * 0.9, f"{system.name}: {events} events of {system.items} items"
    return used


def stored(system: System, folder: Path) -> float:
    """Seconds of processor time to make events of all pages and keep them."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        database = Database.open(Path(place))
        runner = Runner(database, EventStore(database), lambda: NOW)
        started = time.process_time()
        outcome = runner.run("bench", system.config.build(context_of(system, folder)))
        used = time.process_time() - started
        assert outcome.error is None, outcome.error
        database.close()
    return used


def unpacked(system: System) -> float:
    """Seconds of processor time in which Python's own library unpacks as many items."""
    started = time.process_time()
    for body in system.bodies:
        json.loads(body)
    used = time.process_time() - started
    items = sum(1 for _ in system.bodies) and min(system.items, 20_000)
    return used * system.items / items


def main() -> None:
    """Print items a second of each system, and how much memory it took."""
    parser = argparse.ArgumentParser(description="Measures what reading a system costs beside asking it.")
    parser.add_argument("--items", type=int, default=20_000)
    items = parser.parse_args().items
    for make in SYSTEMS:
        with tempfile.TemporaryDirectory() as name:
            system, folder = make(items), Path(name)
            told = list(_figures(system, folder))
            print(f"{system.name:22}  {told[0]}", *(f"{'':22}  {line}" for line in told[1:]), sep="\n", flush=True)


def _figures(system: System, folder: Path) -> Iterator[str]:
    rounds = ROUNDS if system.items <= 100_000 else 1
    before = _memory()
    reading = statistics.median(parsed(system, folder) for _ in range(rounds))
    grown = _memory() - before
    rate, peer = system.items / reading, system.items / unpacked(system)
    beside = f"{rate / PARSED_A_SECOND:.1f} of the limit, {rate / peer:.2f} of json.loads"
    yield f"{rate:,.0f} items/s made into events ({beside})"
    if system.items <= 100_000:
        keeping = system.items / statistics.median(stored(system, folder) for _ in range(rounds))
        yield f"{keeping:,.0f} items/s stored as well ({keeping / STORED_A_SECOND:.1f} of the limit)"
    size = sum(map(len, system.bodies)) / len(system.bodies) / 1e3
    yield f"{system.items:,} items, pages of {size:,.0f} kB; the peak of memory grew by {grown:.0f} MB"


def _memory() -> float:
    """The most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
