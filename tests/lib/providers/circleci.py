"""CircleCI as a stand-in: two projects of an organisation, in the shape of API v2, with its paging."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import NAMESPACE_URL, uuid5

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.circleci import CircleCiConfig

BASE = "https://circleci.com/api/v2"
SHOP, TOOL = "gh/acme/shop", "circleci/DdaVtNusHqi24D4YT3X4eu/6EkDPZoN4ZdMKKZtBkRodt"
BULK_KIND = "pipeline"
_MOST = 2  # pipelines on a page; nobody can ask for more


def guid(name: str) -> str:
    """An id that is always the same for a name."""
    return str(uuid5(NAMESPACE_URL, name))


def sha(digit: str) -> str:
    """A commit id."""
    return digit * 40


def pipeline(number: int, created: str, slug: str = SHOP, **more: Any) -> dict[str, Any]:
    """A pipeline of a project on GitHub."""
    found = {
        "id": guid(f"pipeline {number}"),
        "errors": [],
        "project_slug": slug,
        "updated_at": created,
        "number": number,
        "trigger_parameters": {},
        "state": "created",
        "created_at": created,
        "trigger": {
            "type": "webhook",
            "received_at": created,
            "actor": {"login": PLANTED_LOGIN, "avatar_url": "https://avatars.example/u/7?v=4"},
        },
        "vcs": {
            "provider_name": "GitHub",
            "target_repository_url": "https://github.com/acme/shop",
            "branch": "main",
            "revision": sha("c"),
            "commit": {"subject": "More of the cart", "body": ""},
            "origin_repository_url": "https://github.com/acme/shop",
        },
        **more,
    }
    return {name: value for name, value in found.items() if value is not ...}


GITLAB = {
    "gitlab": {
        "web_url": "https://gitlab.com/acme/deep/tool",
        "commit_author_name": PLANTED_NAME,
        "user_username": PLANTED_LOGIN,
        "commit_author_email": PLANTED_MAIL,
        "repo_url": "git@gitlab.com:acme/deep/tool.git",
        "type": "push",
        "ref": "refs/heads/main",
        "checkout_sha": sha("d"),
    },
    "git": {
        "tag": "",
        "checkout_sha": sha("d"),
        "ref": "refs/heads/main",
        "branch": "main",
        "checkout_url": "git@gitlab.com:acme/deep/tool.git",
    },
}
"""What a trigger on GitLab says; such a pipeline has no `vcs`."""


def workflow(name: str, status: str, created: str, stopped: str | None, **more: Any) -> dict[str, Any]:
    """A workflow; its id follows from its name and time."""
    found = {
        "pipeline_id": guid("pipeline"),
        "id": guid(f"workflow {name} {created}"),
        "name": name,
        "project_slug": SHOP,
        "status": status,
        "started_by": guid("user"),
        "pipeline_number": 7,
        "created_at": created,
        "stopped_at": stopped,
        **more,
    }
    return {key: value for key, value in found.items() if value is not ...}


def job(name: str, status: str, started: str | None, stopped: str | None, **more: Any) -> dict[str, Any]:
    """A job of a workflow."""
    found = {
        "dependencies": [],
        "job_number": 136,
        "id": guid(f"job {name} {started}"),
        "started_at": started,
        "name": name,
        "project_slug": SHOP,
        "status": status,
        "type": "build",
        "stopped_at": stopped,
        **more,
    }
    return {key: value for key, value in found.items() if value is not ...}


def version(name: str, environment: str, deployed: str | None, number: int) -> dict[str, Any]:
    """A version of a component."""
    return {
        "name": name,
        "environment_id": guid(environment),
        "namespace": "default",
        "is_live": True,
        "pipeline_id": guid(f"pipeline {number}"),
        "workflow_id": guid(f"workflow of {number}"),
        "job_id": guid(f"job of {number}"),
        "job_number": 136,
        **({"last_deployed_at": deployed} if deployed else {}),
    }


def named(name: str, **more: Any) -> dict[str, Any]:
    """An environment or a component."""
    times = {"created_at": "2026-01-20T10:00:00Z", "updated_at": "2026-02-20T10:00:00Z"}
    return {"id": guid(name), "name": name, "labels": [], **times, **more}


class World:
    """What CircleCI holds. Tests change it. `pipelines`: of a slug, in any order."""

    def __init__(self) -> None:
        self.pipelines: dict[str, list[dict[str, Any]]] = {
            SHOP: [
                pipeline(1, "2026-01-01T08:00:00.123Z"),
                pipeline(2, "2026-02-20T08:00:00.123Z"),
                pipeline(3, "2026-02-21T08:00:00Z", trigger={"type": "api", "actor": None}, updated_at=...),
                pipeline(4, "2026-02-22T08:00:00Z"),
            ],
            TOOL: [pipeline(5, "2026-02-23T08:00:00Z", TOOL, vcs=..., trigger_parameters=GITLAB)],
        }
        self.workflows: dict[str, list[dict[str, Any]]] = {
            guid("pipeline 2"): [
                workflow("test", "success", "2026-02-20T08:00:01.5Z", "2026-02-20T08:05:00Z"),
                workflow("release", "success", "2026-02-20T08:00:02Z", "2026-02-20T08:30:00Z"),
                workflow("test", "canceled", "2026-02-20T09:00:00Z", "2026-02-20T09:01:00Z"),
            ],
            guid("pipeline 3"): [workflow("test", "failed", "2026-02-21T08:00:01Z", "2026-02-21T08:05:00Z")],
            guid("pipeline 4"): [
                workflow("test", "running", "2026-02-22T08:00:01Z", None),
                workflow("nightly", "teleported", "2026-02-22T08:00:01Z", None),
            ],
            guid("pipeline 5"): [workflow("test", "success", "2026-02-23T08:00:01Z", "2026-02-23T08:05:00Z")],
        }
        release = guid("workflow release 2026-02-20T08:00:02Z")
        approval = {"type": "approval", "job_number": ..., "approval_request_id": guid("approval")}
        self.jobs: dict[str, list[dict[str, Any]]] = {
            release: [
                job("build", "success", "2026-02-20T08:01:00Z", "2026-02-20T08:10:00Z"),
                job("deploy-approved", "success", "2026-02-20T08:10:00Z", "2026-02-20T08:20:00Z", **approval),
                job("deploy-web", "success", "2026-02-20T08:20:00Z", "2026-02-20T08:25:00.75Z"),
                job("deploy-docs", "not_run", None, None, job_number=...),
            ]
        }
        self.environments = [named("production", description=""), named("staging", description="")]
        self.components = [named("web", project_id=guid(SHOP), release_count=2)]
        self.versions: dict[str, list[dict[str, Any]]] = {
            guid("web"): [
                version("1.4.0", "production", "2026-02-20T08:25:00Z", 2),
                version("1.3.0", "production", "2026-02-19T08:25:00Z", 99),
                version("1.0.0", "staging", "2025-12-01T08:25:00Z", 1),
            ]
        }
        self.versions_go_on = False

    def all_pipelines(self) -> list[dict[str, Any]]:
        """Of all projects."""
        return [one for many in self.pipelines.values() for one in many]


def _project(slug: str) -> dict[str, Any]:
    return {
        "slug": slug,
        "name": "shop" if slug == SHOP else "tool",
        "id": guid(slug),
        "organization_name": "acme",
        "organization_slug": "gh/acme",
        "organization_id": guid("acme"),
        "vcs_info": {"vcs_url": "https://github.com/acme/shop", "provider": "GitHub", "default_branch": "main"},
    }


def _paged(asked: Request, items: Sequence[Any], most: int) -> Reply:
    """A page that begins at the token, which only the server understands; null ends the list."""
    token = asked.one("page-token")
    if token and not token.startswith("AARLw"):
        return Reply({"message": "Invalid page token"}, status=400)
    start = int(token.removeprefix("AARLw") or 0)
    following = start + most
    return Reply(
        {
            "items": list(items[start:following]),
            "next_page_token": f"AARLw{following}" if following < len(items) else None,
        }
    )


def _newest_first(pipelines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(pipelines, key=lambda p: str(p.get("created_at", "")), reverse=True)


def provider(world: World, most: int = _MOST) -> Provider:  # noqa: C901 - one function per path
    """The API; `most` is how many items a page holds."""
    stand_in = Provider(BASE, with_etags=False)

    @stand_in.route("project/(?P<slug>[^/]+)/pipeline")
    def pipelines(asked: Request, slug: str) -> Reply:
        if slug not in world.pipelines:
            return Reply({"message": "Project not found"}, status=404)
        return _paged(asked, _newest_first(world.pipelines[slug]), most)

    @stand_in.route("pipeline")
    def of_organisation(asked: Request) -> Reply:
        return _paged(asked, _newest_first(world.all_pipelines()), most)

    @stand_in.route("pipeline/(?P<one>[^/]+)")
    def one_pipeline(asked: Request, one: str) -> Reply:
        found = [p for p in world.all_pipelines() if p["id"] == one]
        return Reply(found[0]) if found else Reply({"message": "Pipeline not found"}, status=404)

    @stand_in.route("pipeline/(?P<one>[^/]+)/workflow")
    def workflows(asked: Request, one: str) -> Reply:
        if not any(p["id"] == one for p in world.all_pipelines()):
            return Reply({"message": "Pipeline not found"}, status=404)
        return _paged(asked, world.workflows.get(one, []), most)

    @stand_in.route("workflow/(?P<one>[^/]+)/job")
    def jobs(asked: Request, one: str) -> Reply:
        return _paged(asked, world.jobs.get(one, []), 20)

    @stand_in.route("project/(?P<slug>[^/]+)")
    def project(asked: Request, slug: str) -> Reply:
        found = unquote(slug)
        return Reply(_project(found)) if found in world.pipelines else Reply({"message": "Not found"}, status=404)

    @stand_in.route("me/collaborations")
    def collaborations(asked: Request) -> Reply:
        avatar = "https://avatars.example/u/9?v=4"
        own = {"id": guid("acme"), "vcs-type": "github", "name": "acme", "avatar_url": avatar, "slug": "gh/acme"}
        return Reply([own])

    @stand_in.route("deploy/environments")
    def environments(asked: Request) -> Reply:
        return _marked(asked, world.environments)

    @stand_in.route("deploy/components")
    def components(asked: Request) -> Reply:
        project_id = asked.one("project-id")
        return _marked(asked, [c for c in world.components if project_id in {"", c["project_id"]}])

    @stand_in.route("deploy/components/(?P<component>[^/]+)/versions")
    def versions(asked: Request, component: str) -> Reply:
        following = "AARLw3" if world.versions_go_on else None
        return Reply({"items": world.versions.get(component, []), "next_page_token": following})

    return stand_in


def _marked(asked: Request, items: Sequence[Any]) -> Reply:
    """A list of deploy markers: it wants the organisation, and a size."""
    if asked.one("org-id") != guid("acme") or not asked.one("page-size").isdigit():
        return Reply({"message": "org-id and page-size are required"}, status=400)
    return _paged(asked, items, min(asked.number("page-size", 0), 2))


def settings(**more: Any) -> CircleCiConfig:
    """The sample's settings."""
    given = {
        "name": "sample",
        "type": "circleci",
        "token": "t0ken-of-the-sample",
        "projects": [SHOP, TOOL],
        "history": "40d",
        "own_deployments": True,
        "deployments": [{"pipeline": "release", "job": "/deploy-(?P<name>.+)/", "service": "{name}"}],
    }
    return CircleCiConfig.model_validate({**given, **more})


def sample(folder: Path) -> Sample:
    """Two projects with some of everything."""
    del folder
    return sample_of(settings(), provider(World()))


def bulk(items: int) -> Iterator[bytes]:
    """Pages of pipelines."""
    for start in range(0, items, 20):
        page = [pipeline(n, "2026-02-20T08:00:00.123Z") for n in range(start, min(start + 20, items))]
        yield json.dumps({"items": page, "next_page_token": "AARLw"}).encode()
