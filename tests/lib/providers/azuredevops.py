"""Azure DevOps as a stand-in: a project of a server's collection, in the shape of REST API 7.1, with its paging."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.azuredevops import AzureDevOpsConfig

BASE = "https://ado.example/tfs/shop"
PROJECT = "Web Shop"
BULK_KIND = "build"
_MOST = 2  # the server's own limit: fewer than anybody asks for


def guid(name: str) -> str:
    """An id that is always the same for a name."""
    return str(uuid5(NAMESPACE_URL, name))


def sha(digit: str) -> str:
    """A commit id."""
    return digit * 40


def person(name: str = PLANTED_NAME, account: str = PLANTED_MAIL, descriptor: str = "aad.MmE2Nz") -> dict[str, Any]:
    """An identity."""
    return {
        "displayName": name,
        "url": f"{BASE}/_apis/Identities/{guid(account)}",
        "_links": {"avatar": {"href": f"{BASE}/_apis/GraphProfile/MemberAvatars/{descriptor}"}},
        "id": guid(account),
        "uniqueName": account,
        "imageUrl": f"{BASE}/_api/_common/identityImage?id={guid(account)}",
        "descriptor": descriptor,
    }


REVIEWER = person("Grace Hopper", "grace@people.example", "aad.R3JhY2U")
SERVICE = person("Web Shop Build Service", f"Build\\{guid('service')}", "svc.QnVpbGQ")
_PROJECT = {"id": guid(PROJECT), "name": PROJECT, "state": "wellFormed", "visibility": "private", "revision": 7}


def repository(name: str) -> dict[str, Any]:
    """A repository."""
    return {
        "id": guid(name),
        "name": name,
        "url": f"{BASE}/_apis/git/repositories/{guid(name)}",
        "project": {**_PROJECT, "lastUpdateTime": "2025-11-01T08:00:00.123Z"},
        "defaultBranch": "refs/heads/main",
        "size": 72832,
        "remoteUrl": f"https://{PLANTED_LOGIN}@ado.example/tfs/shop/Web%20Shop/_git/{name}",
        "sshUrl": f"ssh://ado.example:22/tfs/shop/Web%20Shop/_git/{name}",
        "webUrl": f"{BASE}/Web%20Shop/_git/{name}",
        "isDisabled": False,
        "isInMaintenance": False,
    }


def pull_request(number: int, status: str, created: str, closed: str | None = None, **more: Any) -> dict[str, Any]:
    """A pull request as lists hold it."""
    found = {
        "repository": {k: v for k, v in repository("web").items() if k in {"id", "name", "url", "project"}},
        "pullRequestId": number,
        "codeReviewId": number,
        "status": status,
        "createdBy": person(),
        "creationDate": created,
        "title": f"Cart, step {number}",
        "description": "More of the cart.",
        "sourceRefName": f"refs/heads/feature/{number}",
        "targetRefName": "refs/heads/main",
        "mergeStatus": "succeeded",
        "isDraft": False,
        "mergeId": guid(f"merge {number}"),
        "lastMergeSourceCommit": {"commitId": sha("a"), "url": f"{BASE}/_apis/git/commits/a"},
        "lastMergeTargetCommit": {"commitId": sha("b"), "url": f"{BASE}/_apis/git/commits/b"},
        "lastMergeCommit": {"commitId": sha("c"), "url": f"{BASE}/_apis/git/commits/c"},
        "reviewers": [{**REVIEWER, "vote": 10, "hasDeclined": False, "isFlagged": False, "isRequired": True}],
        "labels": [{"id": guid("hotfix"), "name": "hotfix", "active": True}],
        "url": f"{BASE}/_apis/git/pullRequests/{number}",
        "supportsIterations": True,
        **({"closedDate": closed, "closedBy": REVIEWER} if closed else {}),
        **more,
    }
    return {name: value for name, value in found.items() if value is not ...}


def said(kind: str, **properties: str) -> dict[str, Any]:
    """Properties of a thread that the system wrote."""
    return {n: {"$type": "System.String", "$value": v} for n, v in {"CodeReviewThreadType": kind, **properties}.items()}


def thread(number: int, at: str, author: dict[str, Any] | None, kind: str = "text", **more: Any) -> dict[str, Any]:
    """A thread of one comment."""
    comment: dict[str, Any] = {
        "id": 1,
        "parentCommentId": 0,
        "author": author,
        "content": "Is that so?",
        "publishedDate": at,
        "lastUpdatedDate": at,
        "lastContentUpdatedDate": at,
        "commentType": kind,
        "usersLiked": [],
    }
    return {
        "pullRequestThreadContext": None,
        "id": number,
        "publishedDate": at,
        "lastUpdatedDate": at,
        "comments": [comment],
        "threadContext": None,
        "properties": {},
        "identities": None,
        "isDeleted": False,
        **more,
    }


def vote(number: int, at: str, result: str, voter: dict[str, Any] = REVIEWER) -> dict[str, Any]:
    """A vote: a thread that the system wrote."""
    told = said("VoteUpdate", CodeReviewVoteResult=result, CodeReviewVotedByIdentity="1")
    return thread(number, at, SERVICE, "system", properties=told, identities={"1": voter})


def build(number: int, result: str | None, finished: str | None, **more: Any) -> dict[str, Any]:
    """A run of a pipeline."""
    found = {
        "_links": {
            "self": {"href": f"{BASE}/{guid(PROJECT)}/_apis/build/Builds/{number}"},
            "web": {"href": f"{BASE}/{guid(PROJECT)}/_build/results?buildId={number}"},
        },
        "properties": {},
        "tags": [],
        "validationResults": [],
        "plans": [{"planId": guid(f"plan {number}")}],
        "triggerInfo": {"ci.sourceBranch": "refs/heads/main", "ci.triggerRepository": guid("web")},
        "id": number,
        "buildNumber": f"20260220.{number}",
        "status": "completed" if result else "inProgress",
        "queueTime": "2026-02-20T08:00:00.4617612Z",
        "startTime": "2026-02-20T08:01:00.1234567Z",
        "url": f"{BASE}/{guid(PROJECT)}/_apis/build/Builds/{number}",
        "definition": {
            "drafts": [],
            "id": 3,
            "name": "ci",
            "url": f"{BASE}/{guid(PROJECT)}/_apis/build/Definitions/3?revision=9",
            "uri": "vstfs:///Build/Definition/3",
            "path": "\\",
            "type": "build",
            "queueStatus": "enabled",
            "revision": 9,
            "project": _PROJECT,
        },
        "project": _PROJECT,
        "uri": f"vstfs:///Build/Build/{number}",
        "sourceBranch": "refs/heads/main",
        "sourceVersion": sha("c"),
        "priority": "normal",
        "reason": "individualCI",
        "requestedFor": person(),
        "requestedBy": SERVICE,
        "lastChangedDate": finished or "2026-02-20T08:01:01Z",
        "lastChangedBy": SERVICE,
        "orchestrationPlan": {"planId": guid(f"plan {number}")},
        "repository": {"id": guid("web"), "type": "TfsGit", "clean": None, "checkoutSubmodules": False},
        "retainedByRelease": False,
        "triggeredByBuild": None,
        **({"result": result} if result else {}),
        **({"finishTime": finished} if finished else {}),
        **more,
    }
    return {name: value for name, value in found.items() if value is not ...}


def record(kind: str, name: str, result: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    """A stage, phase, job or task of a run; its id is the same in all runs of the pipeline."""
    return {
        "previousAttempts": [],
        "id": guid(f"{kind} {name}"),
        "parentId": parent and guid(parent),
        "type": kind,
        "name": name,
        "startTime": "2026-02-21T08:02:00.5Z",
        "finishTime": "2026-02-21T08:04:00.25Z",
        "currentOperation": None,
        "percentComplete": None,
        "state": "completed",
        "result": result,
        "resultCode": None,
        "changeId": 12,
        "lastModified": "2026-02-21T08:04:01Z",
        "workerName": "Agent 4",
        "order": 1,
        "details": None,
        "errorCount": 0,
        "warningCount": 0,
        "url": None,
        "log": None,
        "task": None,
        "attempt": 1,
        "identifier": name,
        **more,
    }


def deployed(number: int, owner: int, result: str | None, finished: str | None) -> dict[str, Any]:
    """A deployment to an environment. The time of what has not happened is left out."""
    return {
        "id": number,
        "environmentId": 1,
        "requestIdentifier": guid(f"request {number}"),
        "serviceOwner": guid("service owner"),
        "planType": "Build",
        "planId": guid(f"plan {owner}"),
        "stageName": "production",
        "stageAttempt": 1,
        "jobName": "Deploy",
        "jobAttempt": 1,
        "definition": {"_links": {"web": {"href": f"{BASE}/_build/definition?id=4"}}, "id": 4, "name": "release"},
        "owner": {"_links": {"web": {"href": f"{BASE}/_build/results?buildId={owner}"}}, "id": owner, "name": "4"},
        "queueTime": f"2026-02-2{number}T09:00:00Z",
        **({"startTime": f"2026-02-2{number}T09:01:00Z"} if result else {}),
        **({"finishTime": finished} if finished else {}),
        **({"result": result} if result else {}),
    }


ARTIFACT = {
    "sourceId": f"{guid(PROJECT)}:3",
    "type": "Build",
    "alias": "_ci",
    "definitionReference": {
        "branch": {"id": "refs/heads/main", "name": "refs/heads/main"},
        "definition": {"id": "3", "name": "ci"},
        "project": {"id": guid(PROJECT), "name": PROJECT},
        "repository": {"id": guid("web"), "name": "web"},
        "sourceVersion": {"id": sha("c"), "name": ""},
        "version": {"id": "1", "name": "20260220.1"},
    },
    "isPrimary": True,
    "isRetained": False,
}


def released(number: int, status: str, operation: str, **more: Any) -> dict[str, Any]:
    """An attempt to deploy a classic release; the list leaves out what the release carries."""
    return {
        "id": number,
        "release": {
            "id": 55,
            "name": "Release-2",
            "url": f"{BASE}/_apis/Release/releases/55",
            "artifacts": [],
            "_links": {"web": {"href": f"{BASE}/_release?releaseId=55"}},
            "createdOn": "2026-02-20T08:00:00Z",
            "reason": "none",
        },
        "releaseDefinition": {"id": 38, "name": "Web CD", "url": f"{BASE}/_apis/Release/definitions/38", "_links": {}},
        "releaseEnvironment": {"id": 118, "name": "PROD", "_links": {}},
        "definitionEnvironmentId": 43,
        "attempt": 1,
        "reason": "manual",
        "deploymentStatus": status,
        "operationStatus": operation,
        "requestedBy": person(),
        "requestedFor": person(),
        "queuedOn": "2026-02-22T10:00:00Z",
        "startedOn": "2026-02-22T10:01:00.09Z",
        "completedOn": "2026-02-22T10:05:00.5Z",
        "lastModifiedOn": "2026-02-22T10:05:01.133Z",
        "lastModifiedBy": SERVICE,
        "conditions": [],
        "preDeployApprovals": [],
        "postDeployApprovals": [],
        "_links": {},
        **more,
    }


class World:
    """What the server holds. Tests change it."""

    def __init__(self) -> None:
        self.repositories = [repository("web"), repository("docs")]
        self.pull_requests = [
            pull_request(1, "completed", "2026-01-26T08:00:00Z", "2026-01-28T08:00:00.1234567Z"),
            pull_request(2, "abandoned", "2026-02-21T08:00:00Z", "2026-02-22T08:00:00Z", isDraft=True),
            pull_request(3, "completed", "2026-02-22T08:00:00Z", "2026-02-24T08:00:00Z", createdBy=None, labels=...),
            pull_request(4, "active", "2026-02-27T08:00:00Z", isDraft=True, lastMergeCommit=..., reviewers=[]),
            pull_request(5, "completed", "2026-02-23T08:00:00Z", "2026-02-24T09:00:00Z", createdBy=SERVICE),
        ]
        draft = said("IsDraftUpdate", CodeReviewIsDraftNowSet="0")
        self.threads: dict[int, list[dict[str, Any]]] = {
            1: [
                thread(1, "2026-01-26T08:30:00Z", SERVICE, "system", properties=draft),
                thread(2, "2026-01-26T09:00:00Z", REVIEWER),
                vote(3, "2026-01-27T09:00:00Z", "10"),
            ],
            3: [vote(4, "2026-02-23T09:00:00Z", "-5"), vote(5, "2026-02-23T10:00:00Z", "7", person())],
        }
        other = {"id": "octo/tool", "type": "GitHub", "name": "octo/tool", "url": "https://github.com/octo/tool.git"}
        release = {"definition": {**build(0, None, None)["definition"], "id": 4, "name": "release"}}
        self.builds = [
            build(1, "succeeded", "2026-02-20T08:05:00.5Z"),
            build(2, "failed", "2026-02-20T09:05:00Z", requestedFor=None, repository=other),
            build(3, "canceled", "2026-02-20T10:05:00Z", startTime=..., sourceVersion="C1234"),
            build(4, "partiallySucceeded", "2026-02-21T08:05:00Z", **release),
            build(5, None, None),
        ]
        self.timelines: dict[int, list[dict[str, Any]]] = {
            4: [
                record("Stage", "Build", "succeeded"),
                record("Stage", "Deploy", "succeeded", attempt=2, previousAttempts=[_attempt(1)]),
                record("Job", "Deploy web", "succeeded", "Stage Deploy", attempt=2),
                record("Stage", "Announce", "skipped"),
            ]
        }
        self.earlier: dict[str, list[dict[str, Any]]] = {
            guid("timeline 1"): [
                record("Stage", "Deploy", "failed", finishTime="2026-02-21T08:03:00Z"),
                record("Job", "Deploy web", "failed", "Stage Deploy"),
            ]
        }
        self.environments = [{"id": 1, "name": "production"}, {"id": 2, "name": "staging"}]
        self.deployed: dict[int, list[dict[str, Any]]] = {
            1: [
                deployed(1, 1, "succeeded", "2026-02-21T09:05:00Z"),
                deployed(2, 1, "canceled", "2026-02-22T09:05:00Z"),
                deployed(3, 99, "failed", "2026-02-23T09:05:00Z"),
            ],
            2: [deployed(4, 1, None, None)],
        }
        self.released = [
            released(1, "succeeded", "approved"),
            released(2, "notDeployed", "rejected", completedOn=None),
            released(3, "failed", "phaseFailed", completedOn="2026-02-22T11:05:00Z"),
        ]
        self.releases = [{"id": 55, "name": "Release-2", "artifacts": [ARTIFACT]}]


def _attempt(number: int) -> dict[str, Any]:
    return {"attempt": number, "timelineId": guid(f"timeline {number}"), "recordId": guid("Stage Deploy")}


def _listed(items: Sequence[Any], token: str | None = None) -> Reply:
    return Reply(
        {"count": len(items), "value": list(items)}, headers={"x-ms-continuationtoken": token} if token else {}
    )


def _tokened(asked: Request, most: int, items: Sequence[Any]) -> Reply:
    """A page that begins at the token, which is a place in the list."""
    start = asked.number("continuationToken", 0)
    size = min(asked.number("$top", asked.number("top", 50)), most)
    following = start + size
    return _listed(items[start:following], str(following) if following < len(items) else None)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def provider(world: World, most: int = _MOST) -> Provider:  # noqa: C901 - one function per path
    """The server; `most` is how many items it gives at once."""
    stand_in = Provider(BASE)
    project = "Web%20Shop/_apis"

    @stand_in.route(f"{project}/git/repositories")
    def repositories(asked: Request) -> Reply:
        return _listed(world.repositories)

    @stand_in.route(f"{project}/git/pullrequests")
    def pull_requests(asked: Request) -> Reply:
        found = sorted(world.pull_requests, key=lambda pr: -int(pr["pullRequestId"]))
        if (status := asked.one("searchCriteria.status", "active")) != "all":
            found = [pr for pr in found if pr["status"] == status]
        if asked.one("searchCriteria.queryTimeRangeType") == "closed":
            after, before = asked.time("searchCriteria.minTime"), asked.time("searchCriteria.maxTime")
            found = [pr for pr in found if "closedDate" in pr]
            found = [pr for pr in found if after is None or _time(pr["closedDate"]) >= after]
            found = [pr for pr in found if before is None or _time(pr["closedDate"]) < before]
        start = asked.number("$skip", 0)
        return _listed(found[start : start + min(asked.number("$top", 101), most)])

    @stand_in.route(f"{project}/git/repositories/(?P<repository>[^/]+)/pullRequests/(?P<number>\\d+)/threads")
    def threads(asked: Request, repository: str, number: str) -> Reply:
        return _listed(world.threads.get(int(number), []))

    @stand_in.route(f"{project}/build/builds")
    def builds(asked: Request) -> Reply:
        found = list(world.builds)
        if ids := asked.one("buildIds"):
            return _tokened(asked, most, [b for b in found if str(b["id"]) in ids.split(",")])
        if status := asked.one("statusFilter"):
            found = [b for b in found if b["status"] == status]
        if asked.one("queryOrder") == "finishTimeAscending":
            after = asked.time("minTime")
            found = sorted(found, key=lambda b: str(b["finishTime"]))
            found = [b for b in found if after is None or _time(b["finishTime"]) >= after]
        return _tokened(asked, most, found)

    @stand_in.route(f"{project}/build/builds/(?P<number>\\d+)/timeline")
    def timeline(asked: Request, number: str) -> Reply:
        return _timeline(world.timelines.get(int(number)), number)

    @stand_in.route(f"{project}/build/builds/(?P<number>\\d+)/timeline/(?P<earlier>[^/]+)")
    def earlier_timeline(asked: Request, number: str, earlier: str) -> Reply:
        return _timeline(world.earlier.get(earlier), earlier)

    @stand_in.route(f"{project}/distributedtask/environments")
    def environments(asked: Request) -> Reply:
        return _tokened(asked, most, world.environments)

    @stand_in.route(f"{project}/distributedtask/environments/(?P<number>\\d+)/environmentdeploymentrecords")
    def records(asked: Request, number: str) -> Reply:
        return _tokened(asked, most, world.deployed[int(number)][::-1])

    @stand_in.route(f"{project}/release/deployments")
    def deployments(asked: Request) -> Reply:
        after = asked.time("minModifiedTime")
        found = sorted(world.released, key=lambda d: int(d["id"]), reverse=asked.one("queryOrder") != "ascending")
        return _tokened(asked, most, [d for d in found if after is None or _time(d["lastModifiedOn"]) >= after])

    @stand_in.route(f"{project}/release/releases")
    def releases(asked: Request) -> Reply:
        wanted = asked.one("releaseIdFilter").split(",")
        return _listed([r for r in world.releases if str(r["id"]) in wanted])

    return stand_in


def _timeline(records: Sequence[Any] | None, name: str) -> Reply:
    if records is None:
        return Reply({"$id": "1", "message": "There is no timeline.", "typeKey": "TimelineNotFoundException"}, 404)
    whole = {"records": list(records), "lastChangedBy": guid("service"), "lastChangedOn": "2026-02-21T08:05:00Z"}
    return Reply({**whole, "id": guid(f"timeline of {name}"), "changeId": 12, "url": f"{BASE}/_apis/timeline"})


def settings(**more: Any) -> AzureDevOpsConfig:
    """The sample's settings."""
    given = {
        "name": "sample",
        "type": "azuredevops",
        "url": BASE,
        "token": "t0ken-of-the-sample",
        "bearer": True,
        "projects": [PROJECT],
        "history": "40d",
        "commits": False,
        "own_deployments": True,
        "deployments": [{"pipeline": "release", "job": "Deploy", "to": "production"}],
    }
    return AzureDevOpsConfig.model_validate({**given, **more})


def sample(folder: Path) -> Sample:
    """A project with some of everything."""
    del folder
    return sample_of(settings(), provider(World()))


def bulk(items: int) -> Iterator[bytes]:
    """Pages of runs, in the size that is asked for."""
    for start in range(0, items, 200):
        page = [build(n, "succeeded", "2026-02-20T08:05:00.5Z") for n in range(start, min(start + 200, items))]
        yield json.dumps({"count": len(page), "value": page}).encode()
