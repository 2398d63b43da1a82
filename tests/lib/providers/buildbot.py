"""A stand-in for a Buildbot master: builders, builds by ids and filters as its REST API knows them, their requests.

The shapes are those that a master of version 4.3 answers. A filter of an unknown field is passed over without a word,
a parameter that is no filter is refused, and `meta.total` is the size of the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.buildbot import BuildbotConfig

BASE = "https://buildbot.example.com/api/v2"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
START = 1_771_200_000
"""2026-02-16 00:00 UTC, in seconds."""
SHOP = "https://git.example.com/acme/shop.git"
LIBRARY = "git@git.example.com:acme/library.git"
BULK_KIND = "builds"
_OWNER = f"{PLANTED_NAME} <{PLANTED_MAIL}>"
_PAGED = {"order", "limit", "offset", "field", "property"}
_TESTS: Mapping[str, Callable[[int, int], bool]] = {
    "gt": lambda own, asked: own > asked,
    "ge": lambda own, asked: own >= asked,
    "lt": lambda own, asked: own < asked,
    "le": lambda own, asked: own <= asked,
}


def sha(number: int) -> str:
    """The id of the n-th commit."""
    return f"{number:040x}"


@dataclass
class World:
    """What a master holds. Ids count from 1 over all builders."""

    builders: list[dict[str, Any]] = field(default_factory=list)
    builds: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    buildsets: list[dict[str, Any]] = field(default_factory=list)
    changes: dict[int, list[str]] = field(default_factory=dict)
    """Revisions of the changes in a build, by its id."""

    def builder(self, name: str) -> int:
        """The id of a builder, made where it is new."""
        for one in self.builders:
            if one["name"] == name:
                return int(one["builderid"])
        builder = {"builderid": len(self.builders) + 1, "name": name, "masterids": [1], "tags": [], "projectid": None}
        described = {"description": f"by {PLANTED_NAME}", "description_format": None, "description_html": None}
        self.builders.append({**builder, **described})
        return len(self.builders)

    def build(
        self,
        builder: str,
        at: int,
        *,
        seconds: int | None = 300,
        waited: int = 20,
        results: int | None = 0,
        stamps: list[dict[str, Any]] | None = None,
        **properties: Any,
    ) -> dict[str, Any]:
        """A build that began some seconds after the start; without `seconds` it still runs."""
        number = len(self.builds) + 1
        stamps = [_stamp("", SHOP, sha(number))] if stamps is None else stamps
        self.buildsets.append(_buildset(number, at - waited, stamps))
        request = {"buildrequestid": number, "buildsetid": number, "builderid": self.builder(builder), "priority": 0}
        claimed = {"claimed": True, "claimed_at": START + at, "claimed_by_masterid": 1, "waited_for": False}
        ended = None if seconds is None else START + at + seconds
        done = {"complete": ended is not None, "complete_at": ended, "results": -1 if seconds is None else results}
        submitted = {"submitted_at": START + at - waited, "properties": None}
        self.requests.append({**request, **claimed, **done, **submitted})
        build = {"builderid": self.builder(builder), "buildid": number, "buildrequestid": number, "number": number}
        states = {"state_string": f"for {PLANTED_NAME}", "locks_duration_s": 0, "masterid": 1, "workerid": 1}
        results = None if seconds is None else results
        times = {"started_at": START + at, "complete_at": ended, "complete": ended is not None, "results": results}
        self.builds.append({**build, **states, **times, "properties": _properties(builder, stamps, properties)})
        return self.builds[-1]

    def end(self, build: dict[str, Any], seconds: int, results: int) -> None:
        """A build that ran has ended."""
        build |= {"complete": True, "complete_at": build["started_at"] + seconds, "results": results}


def _stamp(codebase: str, repository: str, revision: str | None, branch: str = "main") -> dict[str, Any]:
    place = {"codebase": codebase, "repository": repository, "project": "shop", "branch": branch}
    return {"ssid": 1, **place, "revision": revision, "created_at": START, "patch": None}


def _buildset(number: int, at: int, stamps: list[dict[str, Any]]) -> dict[str, Any]:
    reason = f"A build was forced by '{_OWNER}'"
    whole = {"bsid": number, "reason": reason, "submitted_at": START + at, "complete": True, "complete_at": START + at}
    parents = {"parent_buildid": None, "parent_relationship": None, "rebuilt_buildid": None, "external_idstring": None}
    return {**whole, **parents, "results": 0, "sourcestamps": stamps}


def _properties(builder: str, stamps: list[dict[str, Any]], more: Mapping[str, Any]) -> dict[str, Any]:
    own = {"buildername": [builder, "Builder"], "scheduler": ["force", "Scheduler"], "workername": ["w1", "Worker"]}
    if len(stamps) == 1:  # of several codebases none stands for the build
        names = ("branch", "revision", "repository", "codebase", "project")
        own |= {name: [stamps[0][name], "Build"] for name in names}
    own |= {"reason": [f"asked by {PLANTED_NAME}", "Force Build Form"]}
    return own | {name: [value, "Step"] for name, value in more.items()}


def _selected(asked: Request, rows: list[dict[str, Any]], key: str) -> Reply:
    """The rows that the filters of a request leave, in its order, at most its limit."""
    for name, values in asked.query.items():
        column, _, operator = name.partition("__")
        if name in _PAGED:
            continue
        if not operator:
            return Reply({"error": f"unrecognized query parameter '{name}'"}, status=400)
        if not rows or column not in rows[0]:
            continue  # passed over
        numbers = [int(v) for v in values]
        test = _TESTS.get(operator)
        rows = [r for r in rows if (test(r[column], numbers[0]) if test else r[column] in numbers)]
    if order := asked.one("order"):
        rows = sorted(rows, key=lambda r: int(r[order.lstrip("-")]), reverse=order.startswith("-"))
    rows = rows[: asked.number("limit", len(rows))]
    shown = asked.query.get("field", ())
    listed = [{k: v for k, v in r.items() if not shown or k in shown} for r in rows]
    return Reply({key: listed, "meta": {"total": len(listed)}})


def _with_properties(asked: Request, build: dict[str, Any]) -> dict[str, Any]:
    wanted = asked.query.get("property", ())
    return {**build, "properties": {k: v for k, v in build["properties"].items() if k in wanted}}


def provider(world: World) -> Provider:
    """The API of a master."""
    api = Provider(BASE, token=TOKEN, with_etags=False)

    @api.route("builders")
    def builders(asked: Request) -> Reply:
        return _selected(asked, world.builders, "builders")

    @api.route("builds")
    def builds(asked: Request) -> Reply:
        return _selected(asked, [_with_properties(asked, b) for b in world.builds], "builds")

    @api.route("buildrequests")
    def buildrequests(asked: Request) -> Reply:
        return _selected(asked, world.requests, "buildrequests")

    @api.route("buildsets")
    def buildsets(asked: Request) -> Reply:
        return _selected(asked, world.buildsets, "buildsets")

    @api.route(r"builds/(?P<number>\d+)/changes")
    def changes(asked: Request, number: str) -> Reply:
        rows = [_change(n, revision) for n, revision in enumerate(world.changes.get(int(number), ()), start=1)]
        return _selected(asked, rows, "changes")

    return api


def _change(number: int, revision: str) -> dict[str, Any]:
    people = {"author": _OWNER, "committer": None, "comments": f"for {PLANTED_NAME}"}
    place = {"branch": "main", "repository": SHOP, "codebase": "", "project": "", "files": ["a"], "revlink": ""}
    return {"changeid": number, "revision": revision, "when_timestamp": START, "properties": {}, **people, **place}


def world() -> World:
    """Two pages of builds, and one of each kind that there is."""
    made = World()
    for number in range(205):
        made.build("tests", number * 60, results=(0, 1, 2)[number % 3], owners=["Ada <ada@people.example>"])
    hour = 20_000
    made.build("tests", hour, results=3, owner=_OWNER)
    made.build("tests", hour + 10, results=4, owners=[_OWNER, "Bob <bob@people.example>"])
    made.build("tests", hour + 20, results=5, owner=None)
    made.build("tests", hour + 30, results=6, owner="dependabot[bot] <dependabot[bot]@users.noreply.example>")
    made.build("tests", hour + 40, results=7)
    deployed = made.build("deploy-shop", hour + 50, got_revision=sha(205), environment="production", version="1.2.0")
    made.changes[deployed["buildid"]] = [sha(205), sha(204), "r17"]
    made.build("deploy-shop", hour + 60, results=2, environment="production", owner=_OWNER)
    made.build("tests", hour + 70, seconds=None, owner=_OWNER)
    both = [_stamp("web", SHOP, sha(7)), _stamp("lib", LIBRARY, None)]
    made.build("both", hour + 80, stamps=both, got_revision={"lib": sha(8), "web": sha(7)})
    made.build("nightly", hour + 90, stamps=[], virtual_builder_name="cleaning")
    return made


def sample(folder: Path) -> Sample:
    """A master with two pages of builds."""
    del folder
    settings = {
        "name": "sample",
        "type": "buildbot",
        "url": BASE.removesuffix("/api/v2"),
        "token": TOKEN,
        "deployments": [{"pipeline": "deploy-*", "to": "production"}],
    }
    return sample_of(BuildbotConfig.model_validate(settings), provider(world()))


def bulk(items: int) -> Iterator[bytes]:
    """Pages of builds as they come over the wire."""
    made = World()
    for number in range(200):
        made.build("tests", number * 60, owners=[_OWNER], got_revision=sha(number))
    for first in range(0, items, 200):
        page = [{**b, "buildid": b["buildid"] + first} for b in made.builds[: items - first]]
        yield json.dumps({"builds": page, "meta": {"total": len(page)}}).encode()
