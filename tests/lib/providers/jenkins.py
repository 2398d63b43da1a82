"""A stand-in for Jenkins: folders, a multibranch project, builds by ranges, stages, and its own idea of its address.

The shapes are those of the core and of the plug-ins git, metrics, workflow-job and pipeline-rest-api.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of
from requests import PreparedRequest

from collector.sources.jenkins import JenkinsConfig

BASE = "https://jenkins.example.com/ci"
TOLD = "http://jenkins.internal:8080/"
"""What Jenkins believes its address to be; nobody else reaches it there."""
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
USER = "paceline"
START = 1_771_200_000_000
"""2026-02-16 00:00 UTC, in milliseconds."""
HOUR = 3_600_000
SHOP = "https://git.example.com/acme/shop.git"
LIBRARY = "https://git.example.com/acme/pipeline-library.git"
CAP = 100
BULK_KIND = "builds"

_RANGE = re.compile(r"(builds|allBuilds)\[.*\]\{(\d+),(\d+)\}")
_FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
_PROJECT = "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject"
_PIPELINE = "org.jenkinsci.plugins.workflow.job.WorkflowJob"
_FREESTYLE = "hudson.model.FreeStyleProject"


def build_data(url: str, sha: str, branch: str) -> dict[str, Any]:
    """What the git plug-in keeps of a checkout."""
    return {
        "_class": "hudson.plugins.git.util.BuildData",
        "lastBuiltRevision": {"SHA1": sha, "branch": [{"SHA1": sha, "name": branch}]},
        "remoteUrls": [url],
    }


def started_by(user: str | None) -> dict[str, Any]:
    """Who started a build; nobody, where a commit did."""
    cause: dict[str, Any] = {"_class": "jenkins.branch.BranchEventCause", "shortDescription": "Push event"}
    if user is not None:
        by = f"Started by user {PLANTED_NAME}"
        cause = {"_class": "hudson.model.Cause$UserIdCause", "shortDescription": by, "userId": user}
        cause["userName"] = PLANTED_NAME
    return {"_class": "hudson.model.CauseAction", "causes": [cause]}


def queued(milliseconds: int) -> dict[str, Any]:
    """What the plug-in Metrics keeps of a build's wait."""
    times = {"queuingDurationMillis": milliseconds, "buildableTimeMillis": milliseconds, "executorUtilization": 1.0}
    return {"_class": "jenkins.metrics.impl.TimeInQueueAction", **times}


def build(number: int, at: int, *actions: Any, minutes: float = 5, result: str | None = "SUCCESS") -> dict[str, Any]:
    """A build that started at some milliseconds; one without a result runs."""
    return {
        "actions": [{}, *actions, None],
        "building": result is None,
        "inProgress": result is None,
        "duration": 0 if result is None else int(minutes * 60_000),
        "number": number,
        "result": result,
        "timestamp": at,
        "displayName": f"#{number}",
        "description": f"for {PLANTED_MAIL}",
        "estimatedDuration": 300_000,
        "queueId": 4_000 + number,
    }


def stage(number: int, name: str, at: int, *, status: str = "SUCCESS", minutes: float = 1) -> dict[str, Any]:
    """A stage of a pipeline."""
    href = {"self": {"href": f"/execution/node/{number}/wfapi/describe"}}
    times = {"startTimeMillis": at, "durationMillis": int(minutes * 60_000), "pauseDurationMillis": 0}
    return {"_links": href, "id": str(number), "name": name, "execNode": "", "status": status, **times}


@dataclass
class Job:
    """A job and its builds, the oldest first; `stages` by the build's number."""

    kind: str
    builds: list[dict[str, Any]] = field(default_factory=list)
    stages: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass
class World:
    """What a controller holds: jobs by their full names, and folders with their kinds."""

    jobs: dict[str, Job] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    broken_above: int = CAP
    """A range of more builds breaks the server."""

    def inside(self, folder: str) -> Iterator[tuple[str, str]]:
        """The names and kinds of what stands in a folder."""
        prefix = f"{folder}/" if folder else ""
        every = {**self.folders, **{name: job.kind for name, job in self.jobs.items()}}
        for name, kind in every.items():
            if name.startswith(prefix) and "/" not in name[len(prefix) :]:
                yield name, kind


def small_world() -> World:
    """Folders, a multibranch project with two branches, a job of 130 builds, one that never built."""
    sha = [f"{n:040x}" for n in range(200)]
    nightly = [
        build(n, START + n * HOUR, started_by(None), build_data(SHOP, sha[n], "refs/remotes/origin/main"), minutes=9)
        for n in range(3, 133)
    ]
    main = [
        build(
            number,
            START + number * 10 * HOUR,
            started_by(user),
            build_data(LIBRARY, sha[150], "v1"),
            queued(30_000),
            build_data(SHOP, sha[number], "main"),
            minutes=20,
            result=result,
        )
        for number, user, result in [
            (1, PLANTED_LOGIN, "SUCCESS"),
            (2, None, "UNSTABLE"),
            (3, "jenkins", "ABORTED"),
            (4, None, "FROZEN"),
            (5, PLANTED_MAIL, "SUCCESS"),
            (6, None, None),
        ]
    ]
    for one in (*nightly, *main):
        one["_class"] = "org.jenkinsci.plugins.workflow.job.WorkflowRun"
    stages = {
        n: [
            stage(6, "Build", b["timestamp"] + 60_000),
            stage(11, "Deploy", b["timestamp"] + 120_000, status={"ABORTED": "ABORTED"}.get(b["result"], "SUCCESS")),
            stage(17, "Smoke", 0, status="SKIPPED", minutes=0),
        ]
        for n, b in enumerate(main, start=1)
    }
    release = [build(n, START + n * HOUR, started_by(PLANTED_LOGIN)) for n in range(1, 4)]
    return World(
        folders={"team": _FOLDER, "team/shop": _PROJECT, "team/a": _FOLDER, "team/a/b": _FOLDER, "team/a/b/c": _FOLDER}
        | {"team/a/b/c/d": _FOLDER, "empty": _FOLDER},
        jobs={
            "nightly": Job(_PIPELINE, nightly),
            "team/shop/main": Job(_PIPELINE, main, stages),
            "team/shop/feature%2Fcart": Job(_PIPELINE, []),
            "team/a/b/c/d/release": Job(_FREESTYLE, release),
        },
    )


class Controller(Provider):
    """A controller with basic credentials, which the stand-in reads as they are meant."""

    def _asked(self, request: PreparedRequest) -> Request:
        asked = super()._asked(request)
        scheme, _, given = asked.headers.get("authorization", "").partition(" ")
        plain = base64.b64decode(given).decode() if scheme == "Basic" else ""
        return asked._replace(headers={**asked.headers, "credentials": plain})


def controller(world: World) -> Controller:
    """A controller that answers from a world. It has no ETags."""
    provider = Controller(BASE, with_etags=False)

    @provider.route("(?P<place>(?:job/[^/]+/)*)api/json")
    def listed(asked: Request, place: str = "") -> Reply:
        name = _name(asked)
        tree = asked.one("tree")
        found = _RANGE.fullmatch(tree)
        if found is None:
            return Reply({"_class": "hudson.model.Hudson", "jobs": _items(world, name, tree.count("jobs["))})
        job = world.jobs.get(name)
        if job is None:
            return Reply(body=b"<html>Not Found</html>", status=404, headers={"Content-Type": "text/html"})
        key, start, end = found[1], int(found[2]), int(found[3])
        if end - start > world.broken_above:
            return Reply(body=b"<html>Oops!</html>", status=500, headers={"Content-Type": "text/html"})
        newest = [_shown(name, one) for one in reversed(job.builds)]
        return Reply({"_class": job.kind, key: newest[: CAP if key == "builds" else None][start:end]})

    @provider.route(r"(?P<place>(?:job/[^/]+/)+)(?P<number>\d+)/api/json")
    def one(asked: Request, place: str, number: str) -> Reply:
        job = world.jobs.get(_name(asked), Job(""))
        found = [_shown(_name(asked), b) for b in job.builds if str(b["number"]) == number]
        return Reply(found[0]) if found else Reply(status=404, body=b"<html>Not Found</html>")

    @provider.route(r"(?P<place>(?:job/[^/]+/)+)(?P<number>\d+)/wfapi/describe")
    def described(asked: Request, place: str, number: str) -> Reply:
        stages = world.jobs[_name(asked)].stages.get(int(number))
        if stages is None:
            return Reply(status=404, body=b"<html>Not Found</html>")
        return Reply({"id": number, "name": f"#{number}", "status": "SUCCESS", "stages": stages})

    return provider


def _name(asked: Request) -> str:
    """The full name of the job in a path, as Jenkins keeps it: decoded once."""
    return "/".join(re.findall(r"job/([^/]+)/", asked.path)).replace("%25", "%").replace("%20", " ")


def _items(world: World, folder: str, depth: int) -> list[dict[str, Any]]:
    if not depth:
        return []
    found = []
    for name, kind in world.inside(folder):
        item: dict[str, Any] = {"_class": kind, "name": name.rpartition("/")[2]}
        if name in world.jobs:
            builds = world.jobs[name].builds
            item["lastBuild"] = {"timestamp": builds[-1]["timestamp"]} if builds else None
        elif depth > 1:
            item["jobs"] = _items(world, name, depth - 1)
        found.append(item)
    return found


def _shown(job: str, one: Mapping[str, Any]) -> dict[str, Any]:
    place = "".join(f"job/{part}/" for part in job.replace("%", "%25").split("/"))
    return {**one, "url": f"{TOLD}{place}{one['number']}/"}


def config(**settings: Any) -> JenkinsConfig:
    """Settings for the stand-in."""
    return JenkinsConfig.model_validate(
        {"name": "sample", "type": "jenkins", "url": BASE, "username": USER, "token": TOKEN, **settings}
    )


def rules() -> Sequence[Mapping[str, Any]]:
    """The stage Deploy of main goes to production; each release is one."""
    return [
        {"pipeline": "team/shop", "job": "Deploy", "ref": "main"},
        {"pipeline": "*/release", "service": "releases", "to": "staging"},
    ]


def sample(folder: Path) -> Sample:
    """The small world."""
    del folder
    return sample_of(config(deployments=rules(), libraries=["acme/pipeline-library"]), controller(small_world()))


def bulk(items: int) -> Iterator[bytes]:
    """Bodies of ranges of builds that together hold so many."""
    page = [_shown("nightly", one) for one in small_world().jobs["nightly"].builds[:CAP]]
    for start in range(0, items, CAP):
        yield json.dumps({"_class": _PIPELINE, "builds": page[: items - start]}).encode()
