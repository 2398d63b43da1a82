"""What each system that delivers posts, and how it shows that it is the one: a header, a secret, a signature.

A delivery of each kind that is read, with a person where the system puts people. `SENDERS` are all there are: a test
compares them with the sources that take deliveries.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from providers import (
    alertmanager,
    argocd,
    azuredevops,
    buildbot,
    cdevents,
    circleci,
    gitea,
    github,
    jenkins,
    pagerduty,
)
from providers import jira as jira_api

NUMBER = "%NUMBER%"
"""Stands where each delivery has a number of its own."""
Headers = Mapping[str, str]
Proof = Callable[[str, bytes], Headers]
"""What a sender adds for a secret and a body."""


@dataclass(frozen=True)
class Sender:
    """A system that delivers: its posts as headers and JSON, and how it proves itself."""

    posts: Sequence[tuple[Headers, Any]]
    proof: Proof
    settings: Mapping[str, Any]
    """What its source has beside those of its sample."""


def _shown(secret: str, _: bytes) -> Headers:
    return {"authorization": f"Bearer {secret}"}


def _basic(secret: str, _: bytes) -> Headers:
    return {"authorization": "Basic " + base64.b64encode(f"hook:{secret}".encode()).decode()}


def _token(secret: str, _: bytes) -> Headers:
    return {"x-gitlab-token": secret}


def _signed(header: str, prefix: str = "") -> Proof:
    def proof(secret: str, body: bytes) -> Headers:
        return {header: prefix + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}

    return proof


# --- what is posted ----------------------------------------------------------------------------------------

_AT = "2026-02-12T10:00:00Z"
_LATER = "2026-02-13T09:30:00Z"


def _github() -> list[tuple[Headers, Any]]:
    around = {"repository": github.repository("acme/shop"), "sender": github.user()}
    deployed = github.deployment(7, _AT, [("success", _AT)])
    kinds: dict[str, dict[str, Any]] = {
        "pull_request": {"action": "closed", "pull_request": github.pull_request(1, _AT, _LATER)},
        "pull_request_review": {
            "action": "submitted",
            "pull_request": github.pull_request(1, _AT, _LATER),
            "review": github.review(5, _LATER, PLANTED_LOGIN),
        },
        "workflow_run": {"action": "completed", "workflow_run": github.run(7, _AT, name="Deploy")},
        "workflow_job": {"action": "completed", "workflow_job": github.job(7, 1, "deploy-eu", _AT, _LATER)},
        "deployment_status": {"deployment": deployed, "deployment_status": github.status("success", _AT)},
        "issues": {"action": "opened", "issue": github.issue(7, _AT, _LATER, "support")},
        "release": {"action": "published", "release": github.release(1, "v1.0", _AT)},
    }
    return [({"x-github-event": kind, "x-github-delivery": NUMBER}, {**around, **body}) for kind, body in kinds.items()]


def _gitea() -> list[tuple[Headers, Any]]:
    around = {"number": 1, "repository": gitea.repository(1, "shop/api"), "sender": gitea.user()}
    ran = gitea.workflow_run(201, "success", gitea.at(13), gitea.at(13, 9, 31))
    kinds = {
        "pull_request": {"action": "closed", "pull_request": gitea.pull(1)},
        "workflow_run": {"action": "completed", "workflow_run": ran},
        "issues": {"action": "opened", "issue": gitea.issue(2, "support")},
    }
    found: list[tuple[Headers, Any]] = [({"x-gitea-event": k}, {**around, **body}) for k, body in kinds.items()]
    own = {"action": "success", "run": gitea.run(201, "success", gitea.at(13), gitea.at(13, 9, 31))}
    return [*found, ({"x-forgejo-event": "action_run_success"}, own)]


_OF_GITLAB: dict[str, Any] = {
    "user": {"id": 11, "name": PLANTED_NAME, "username": PLANTED_LOGIN, "email": PLANTED_MAIL, "avatar_url": None},
    "project": {"id": 1, "name": "Api", "web_url": "https://g.example.com/shop/api", "path_with_namespace": "shop/api"},
}


def _gitlab() -> list[tuple[Headers, Any]]:
    times = {"created_at": "2026-02-13 09:00:00 UTC", "updated_at": "2026-02-13 09:31:00 UTC"}
    merged = {
        "id": 1001,
        "iid": 1,
        "author_id": 11,
        "title": f"by {PLANTED_NAME}",
        "state": "merged",
        "action": "merge",
        "target_branch": "main",
        "source_branch": "change-1",
        "draft": False,
        "merge_commit_sha": f"{1:040x}",
        "last_commit": {"id": f"{1:040x}", "author": {"name": PLANTED_NAME, "email": PLANTED_MAIL}},
        "url": "https://g.example.com/shop/api/-/merge_requests/1",
        **times,
    }
    ran = {
        "id": 201,
        "iid": 1,
        "ref": "main",
        "tag": False,
        "sha": "a" * 40,
        "source": "push",
        "status": "success",
        "finished_at": "2026-02-13 09:31:00 UTC",
        "url": "https://g.example.com/shop/api/-/pipelines/201",
        **times,
    }
    job = {
        "id": 5,
        "stage": "deploy",
        "name": "deploy",
        "status": "success",
        "started_at": times["created_at"],
        "finished_at": times["updated_at"],
        "allow_failure": False,
        "user": _OF_GITLAB["user"],
        **times,
        "environment": {"name": "production", "action": "start", "deployment_tier": "production"},
    }
    deployed = {
        "deployment_id": 3,
        "deployable_id": 5,
        "status": "success",
        "environment": "production",
        "status_changed_at": "2026-02-13 09:31:00 +0000",
        "short_sha": "a" * 8,
        "user_url": "https://g.example.com",
        "commit_url": "https://g.example.com/shop/api/-/commit/" + "a" * 40,
    }
    opened = {
        "id": 301,
        "iid": 3,
        "author_id": 11,
        "title": PLANTED_NAME,
        "state": "opened",
        "action": "open",
        "url": "https://g.example.com/shop/api/-/issues/3",
        **times,
    }
    kinds: dict[str, dict[str, Any]] = {
        "merge_request": {"object_attributes": merged, "labels": [{"id": 1, "title": "backend"}], "changes": {}},
        "pipeline": {"object_attributes": ran, "builds": [job]},
        "deployment": deployed,
        "issue": {"object_attributes": opened, "labels": [{"id": 2, "title": "support"}]},
    }
    return [({}, {"object_kind": k, "event_type": k, **_OF_GITLAB, **body}) for k, body in kinds.items()]


def _circleci() -> list[tuple[Headers, Any]]:
    times = {"created_at": _AT, "started_at": _AT, "stopped_at": _LATER}
    vcs = {
        "provider_name": "github",
        "origin_repository_url": "https://github.com/acme/shop",
        "revision": circleci.sha("c"),
        "branch": "main",
        "commit": {"author": {"name": PLANTED_NAME, "email": PLANTED_MAIL}},
    }
    around = {
        "id": NUMBER,
        "happened_at": _LATER,
        "project": {"id": circleci.guid(circleci.SHOP), "name": "shop", "slug": "github/acme/shop"},
        "organization": {"id": circleci.guid("acme"), "name": "acme"},
        "workflow": {"id": circleci.guid("workflow"), "name": "release", "status": "success", **times},
        "pipeline": {"id": circleci.guid("pipeline 2"), "number": 2, "trigger": {"type": "webhook"}, "vcs": vcs}
        | times,
    }
    job = {"id": circleci.guid("job"), "name": "deploy-web", "status": "success", "number": 136, **times}
    return [({}, {"type": "workflow-completed", **around}), ({}, {"type": "job-completed", "job": job, **around})]


def _azure() -> list[tuple[Headers, Any]]:
    world = azuredevops.World()
    release = azuredevops.released(1, "succeeded", "Approved")
    kinds = {
        "git.pullrequest.merged": world.pull_requests[0],
        "build.complete": world.builds[0],
        "ms.vss-release.deployment-completed-event": {"deployment": release},
    }
    kinds["build.complete"] = {**world.builds[0], "repository": {**world.builds[0]["repository"], "name": "web"}}
    return [({}, {"id": NUMBER, "eventType": k, "resource": resource}) for k, resource in kinds.items()]


def _buildbot() -> list[tuple[Headers, Any]]:
    made = buildbot.world()
    found: list[tuple[Headers, Any]] = []
    for build, asked, asked_for in zip(made.builds, made.requests, made.buildsets, strict=False):
        (builder,) = [b for b in made.builders if b["builderid"] == build["builderid"]]
        found.append(({}, {**build, "builder": builder, "buildrequest": asked, "buildset": asked_for}))
    return found[:8]


def _jira() -> list[tuple[Headers, Any]]:
    issue = jira_api.World().issue(0)
    shown = {key: issue[key] for key in ("id", "key", "fields")}
    told = {"timestamp": 1_771_232_400_000, "webhookEvent": "jira:issue_created", "user": jira_api.user()}
    return [({}, {**told, "issue": shown})]


def _jenkins() -> list[tuple[Headers, Any]]:
    scm = {"url": "https://git.example.com/team/shop.git", "branch": "main", "commit": f"{1:040x}", "changes": []}
    build = {
        "number": 1,
        "phase": "COMPLETED",
        "status": "SUCCESS",
        "timestamp": 1_771_232_400_000,
        "duration": 60_000,
        "url": f"job/{NUMBER}/1/",
        "full_url": f"{jenkins.TOLD}job/{NUMBER}/1/",
        "queue_id": 1,
        "log": "",
        "scm": {**scm, "culprits": [PLANTED_LOGIN]},
    }
    return [({}, {"name": NUMBER, "url": f"job/{NUMBER}/", "build": build})]


def _argocd() -> list[tuple[Headers, Any]]:
    apps = argocd.small_world().apps[:3]
    return [({}, {name: app[name] for name in ("metadata", "spec", "status")}) for app in apps]


def _opsgenie() -> list[tuple[Headers, Any]]:
    alert: dict[str, Any] = {
        "id": "a-1",
        "message": f"down: {PLANTED_NAME}",
        "priority": "P1",
        "tags": ["shop"],
        "tinyId": "1",
        "alias": "x",
    }
    alert |= {"createdAt": 1_771_232_400_000, "updatedAt": 1_771_232_500_000_000_000, "username": PLANTED_MAIL}
    alert["alertId"] = alert["id"]
    source = {"name": PLANTED_NAME, "type": "web"}
    return [({}, {"action": action, "alert": alert, "source": source}) for action in ("Create", "Acknowledge", "Close")]


def _pagerduty() -> list[tuple[Headers, Any]]:
    incident = pagerduty.World(largest=5).incident(0)
    event = {"id": NUMBER, "resource_type": "incident", "occurred_at": _LATER, "agent": pagerduty.PERSON}
    kinds = ("incident.triggered", "incident.acknowledged", "incident.resolved")
    return [({}, {"event": {**event, "event_type": kind, "data": incident}}) for kind in kinds]


def senders() -> dict[str, Sender]:
    """All that deliver, by the type of their source."""
    hub = _signed("x-hub-signature-256", "sha256=")
    alerts = alertmanager.notification(
        alertmanager.alert("SlowShop", labels={"severity": "page", "owner": PLANTED_MAIL})
    )
    run = cdevents.run("finished", _LATER, outcome="success")
    ticket = cdevents.ticket("created", _AT)
    context = {**{k: str(cdevents.cloud(run)[k]) for k in ("specversion", "source", "type")}, "id": NUMBER}
    told: list[tuple[Headers, Any]] = [
        ({"content-type": "application/cloudevents+json"}, {**cdevents.cloud(run), "id": NUMBER}),
        ({"content-type": "application/cloudevents-batch+json"}, [{**cdevents.cloud(ticket), "id": NUMBER}]),
        ({"content-type": "application/json", **{f"ce-{k}": v for k, v in context.items()}}, run),
    ]
    return {
        "alertmanager": Sender([({}, alerts)], _basic, {}),
        "argocd": Sender(_argocd(), _shown, {}),
        "azuredevops": Sender(_azure(), _basic, {}),
        "buildbot": Sender(_buildbot(), _shown, {}),
        "cdevents": Sender(told, _shown, {}),
        "circleci": Sender(_circleci(), _signed("circleci-signature", "v1="), {}),
        "gitea": Sender(_gitea(), _signed("x-gitea-signature"), {}),
        "github": Sender(_github(), hub, {}),
        "gitlab": Sender(_gitlab(), _token, {}),
        "jenkins": Sender(_jenkins(), _shown, {}),
        "jira": Sender(_jira(), _signed("x-hub-signature", "sha256="), {}),
        "opsgenie": Sender(_opsgenie(), _shown, {"reads": "alerts"}),
        "pagerduty": Sender(_pagerduty(), _signed("x-pagerduty-signature", "v1="), {}),
        "webhook": Sender([], _signed("x-paceline-signature-256", "sha256="), {}),
    }
