"""A small GitLab: two projects of a group, with what its REST API documents of them, its paging and its filters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, page_of, sample_of

from collector.sources.gitlab import GitLabConfig
from collector.systems.gitlab.shapes import Job

BASE = "https://git.example.com"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
BULK_KIND = Job
_PROJECT = r"projects/(?P<project>[^/]+)"
_MAIN = "a" * 40


def at(day: int, hour: int = 9, minute: int = 0, month: int = 2) -> str:
    """A time of 2026 as the API writes it."""
    return f"2026-{month:02}-{day:02}T{hour:02}:{minute:02}:00.123Z"


def user(number: int = 11, login: str = PLANTED_LOGIN, **more: Any) -> dict[str, Any]:
    """Somebody as lists show them."""
    return {
        "id": number,
        "username": login,
        "public_email": PLANTED_MAIL,
        "name": PLANTED_NAME,
        "state": "active",
        "locked": False,
        "avatar_url": f"{BASE}/uploads/-/system/user/avatar/{number}/avatar.png",
        "web_url": f"{BASE}/{login}",
        **more,
    }


REVIEWER = user(12, "grace")
MERGER = user(13, "project_1_bot_0f3c", bot=True)


def merge_request(number: int, **more: Any) -> dict[str, Any]:
    """A merge request, opened on the tenth and merged on the twelfth unless told otherwise."""
    made = {
        "id": 1000 + number,
        "iid": number,
        "project_id": 1,
        "title": f"Change {number}",
        "description": "",
        "state": "merged",
        "created_at": at(10),
        "updated_at": at(12, 15, number),
        "merged_by": MERGER,
        "merge_user": MERGER,
        "merged_at": at(12, 15),
        "closed_by": None,
        "closed_at": None,
        "target_branch": "main",
        "source_branch": f"change-{number}",
        "user_notes_count": 1,
        "upvotes": 0,
        "downvotes": 0,
        "author": user(),
        "assignees": [],
        "assignee": None,
        "reviewers": [REVIEWER],
        "source_project_id": 1,
        "target_project_id": 1,
        "labels": ["backend"],
        "draft": False,
        "work_in_progress": False,
        "milestone": None,
        "merge_when_pipeline_succeeds": False,
        "merge_status": "can_be_merged",
        "detailed_merge_status": "not_open",
        "sha": f"{number:040x}",
        "merge_commit_sha": f"{0xFF00 + number:040x}",
        "squash_commit_sha": None,
        "discussion_locked": None,
        "should_remove_source_branch": True,
        "force_remove_source_branch": True,
        "prepared_at": at(10, 9, 1),
        "reference": f"!{number}",
        "references": {"short": f"!{number}", "relative": f"!{number}", "full": f"shop/api!{number}"},
        "web_url": f"{BASE}/shop/api/-/merge_requests/{number}",
        "time_stats": {"time_estimate": 0, "total_time_spent": 0},
        "squash": False,
        "task_completion_status": {"count": 0, "completed_count": 0},
        "has_conflicts": False,
        "blocking_discussions_resolved": True,
        "approvals_before_merge": None,
    }
    return {**made, **more}


def commit(sha: str, authored_at: str) -> dict[str, Any]:
    """A commit as those of a merge request are listed."""
    return {
        "id": sha,
        "short_id": sha[:8],
        "created_at": authored_at,
        "parent_ids": [],
        "title": "A step",
        "message": "A step\n",
        "author_name": PLANTED_NAME,
        "author_email": PLANTED_MAIL,
        "authored_date": authored_at,
        "committer_name": PLANTED_NAME,
        "committer_email": PLANTED_MAIL,
        "committed_date": authored_at,
        "trailers": {},
        "web_url": f"{BASE}/shop/api/-/commit/{sha}",
    }


def note(number: int, body: str, created_at: str, author: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """A comment, or what the system noted."""
    return {
        "id": number,
        "type": None,
        "body": body,
        "attachment": None,
        "author": author,
        "created_at": created_at,
        "updated_at": created_at,
        "system": False,
        "noteable_id": 1001,
        "noteable_type": "MergeRequest",
        "project_id": 1,
        "resolvable": False,
        "confidential": False,
        "internal": False,
        "noteable_iid": 1,
        "commands_changes": {},
        **more,
    }


def pipeline(number: int, status: str, updated_at: str, **more: Any) -> dict[str, Any]:
    """A pipeline as it is listed."""
    return {
        "id": number,
        "iid": number - 200,
        "project_id": 1,
        "sha": _MAIN,
        "ref": "main",
        "status": status,
        "source": "push",
        "created_at": at(13),
        "updated_at": updated_at,
        "web_url": f"{BASE}/shop/api/-/pipelines/{number}",
        "name": None,
        **more,
    }


def job(number: int, name: str, status: str, finished_at: str | None, **more: Any) -> dict[str, Any]:
    """A job as those of a pipeline are listed."""
    return {
        "id": number,
        "status": status,
        "stage": "test",
        "name": name,
        "ref": "main",
        "tag": False,
        "coverage": None,
        "allow_failure": False,
        "created_at": at(13),
        "started_at": at(13, 9, 1),
        "finished_at": finished_at,
        "erased_at": None,
        "duration": 60.5,
        "queued_duration": 1.2,
        "user": user(bot=False, created_at=at(1), bio="", location=None, public_email=PLANTED_MAIL),
        "commit": commit(_MAIN, at(12)),
        "pipeline": {"id": number // 10, "iid": 1, "project_id": 1, "sha": _MAIN, "ref": "main", "status": status},
        "web_url": f"{BASE}/shop/api/-/jobs/{number}",
        "project": {"ci_job_token_scope_enabled": False},
        "artifacts": [{"file_type": "trace", "size": 1500, "filename": "job.log", "file_format": None}],
        "runner": None,
        "runner_manager": None,
        "artifacts_expire_at": None,
        "archived": False,
        "tag_list": [],
        **({"failure_reason": "script_failure"} if status == "failed" else {}),
        **more,
    }


def deployment(number: int, status: str, updated_at: str, by: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """What the system calls a deployment, by a job or by somebody's request."""
    return {
        "id": number,
        "iid": number - 300,
        "ref": "main",
        "sha": _MAIN,
        "created_at": at(13),
        "updated_at": updated_at,
        "user": user(),
        "environment": {"id": 9, "name": "production", "slug": "production", "external_url": None},
        "deployable": by,
        "status": status,
        **more,
    }


def issue(number: int, **more: Any) -> dict[str, Any]:
    """An issue, open unless told otherwise."""
    made = {
        "id": 4000 + number,
        "iid": number,
        "project_id": 1,
        "title": f"Issue {number}",
        "description": "",
        "state": "opened",
        "created_at": at(14),
        "updated_at": at(14, 10, number),
        "closed_at": None,
        "closed_by": None,
        "labels": [],
        "milestone": None,
        "assignees": [],
        "author": user(),
        "type": "ISSUE",
        "assignee": None,
        "user_notes_count": 0,
        "merge_requests_count": 0,
        "upvotes": 0,
        "downvotes": 0,
        "due_date": None,
        "confidential": False,
        "discussion_locked": None,
        "issue_type": "issue",
        "web_url": f"{BASE}/shop/api/-/issues/{number}",
        "time_stats": {"time_estimate": 0, "total_time_spent": 0},
        "task_completion_status": {"count": 0, "completed_count": 0},
        "has_tasks": False,
        "references": {"short": f"#{number}", "relative": f"#{number}", "full": f"shop/api#{number}"},
        "severity": "UNKNOWN",
        "moved_to_id": None,
        "imported": False,
        "service_desk_reply_to": None,
    }
    return {**made, **more}


def project(number: int, name: str, **more: Any) -> dict[str, Any]:
    """A project as those of a group are listed."""
    return {
        "id": number,
        "description": None,
        "name": name.rpartition("/")[2].title(),
        "path": name.rpartition("/")[2],
        "path_with_namespace": name,
        "created_at": at(1, month=1),
        "default_branch": "main",
        "http_url_to_repo": f"{BASE}/{name}.git",
        "web_url": f"{BASE}/{name}",
        "namespace": {"id": 2, "name": "Shop", "path": "shop", "kind": "group", "full_path": "shop"},
        "archived": False,
        "empty_repo": False,
        "issues_access_level": "enabled",
        "merge_requests_access_level": "enabled",
        "builds_access_level": "enabled",
        "last_activity_at": at(20),
        **more,
    }


@dataclass
class World:
    """What the server holds, all of it of the project shop/api; `most`: how many items a page holds at most."""

    projects: list[dict[str, Any]] = field(default_factory=list)
    merge_requests: list[dict[str, Any]] = field(default_factory=list)
    commits: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    notes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    turns: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    labelled: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    pipelines: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    most: int = 100


def world() -> World:
    """A world with something of everything, in pages of three."""
    deploy = job(2013, "deploy-production", "success", at(13, 9, 30), stage="deploy")
    lenient = job(2031, "deploy-production", "failed", at(13, 9, 40), allow_failure=True)
    waiting = job(2021, "deploy-production", "running", None)
    return World(
        projects=[
            project(1, "shop/api"),
            project(2, "shop/docs", builds_access_level="disabled", issues_access_level="disabled"),
            project(3, "shop/old", archived=True),
        ],
        merge_requests=[
            merge_request(1),
            merge_request(2, merge_commit_sha=None, squash_commit_sha="b" * 40, merged_at=at(12, 16)),
            merge_request(3, state="opened", draft=True, author=None, merged_at=None),
            merge_request(4, state="closed", merged_at=None, closed_at=at(12), merge_commit_sha=None),
            {k: v for k, v in merge_request(5, state="frozen", merged_at=None).items() if k not in {"draft", "labels"}},
        ],
        commits={1: [commit("d" * 40, at(9)), commit("c" * 40, at(8))], 2: [commit("e" * 40, at(9))]},
        notes={
            1: [
                note(1, "marked this merge request as **ready**", at(11), user(), system=True),
                note(2, "added 1 commit", at(11, 10), user(), system=True),
                note(3, f"Thanks, {PLANTED_NAME}!", at(11, 11), user()),
                note(4, "Nice.", at(11, 12), REVIEWER),
                note(5, "approved this merge request", at(11, 13), REVIEWER, system=True),
            ],
            2: [note(6, "A robot's remark", at(11), MERGER), note(7, "gone", at(11, 10), None)],
        },
        pipelines=[
            pipeline(201, "success", at(13, 9, 31)),
            pipeline(202, "running", at(13, 10)),
            pipeline(203, "success", at(13, 11), name="Nightly", source="schedule"),
            pipeline(204, "success", at(13, 12), source="parent_pipeline"),
            pipeline(205, "pondering", at(13, 13), sha=None),
        ],
        jobs={
            201: [
                job(2011, "test", "failed", at(13, 9, 2), created_at=at(13, 8)),
                job(2012, "test", "success", at(13, 9, 5)),
                deploy,
                job(2014, "smoke", "manual", None, started_at=None, user=None),
            ],
            202: [waiting],
            203: [lenient, job(2032, "test", "canceled", at(13, 9, 41), failure_reason=None)],
            204: [job(2041, "deploy-production", "success", at(13, 9, 50))],
        },
        deployments=[
            deployment(301, "success", at(20), deploy),
            deployment(302, "running", at(13, 9, 2), waiting),
            deployment(303, "failed", at(13, 9, 41), lenient),
            deployment(304, "success", at(13, 11), None, environment={"id": 8, "name": "staging"}, user=None),
        ],
        issues=[
            issue(1, labels=["incident"], state="closed", closed_at=at(15), severity="HIGH"),
            issue(2, labels=["support"], user_notes_count=2),
            issue(3, labels=["feature"]),
            issue(4, issue_type="incident", type="INCIDENT"),
            issue(5, labels=["support"], state="closed", closed_at=at(14), moved_to_id=9),
        ],
        comments={
            2: [
                note(21, "closed", at(14, 12), REVIEWER, system=True),
                note(22, "Looking at it", at(14, 11), REVIEWER),
                note(23, "between us", at(14, 10, 30), REVIEWER, internal=True),
            ]
        },
        most=3,
    )


def provider(held: World) -> Provider:  # noqa: C901 - one route after another
    """The API of a world."""
    made = Provider(f"{BASE}/api/v4")

    def listed(asked: Request, items: Sequence[Any]) -> Reply:
        page, link = page_of(asked, items, most=held.most, default=20)
        number = asked.number("page", 1)
        return Reply(
            page,
            headers={
                **({"Link": link} if link else {}),
                "X-Page": str(number),
                "X-Next-Page": str(number + 1) if 'rel="next"' in link else "",
                "X-Total": str(len(items)),
                "RateLimit-Limit": "2000",
                "RateLimit-Remaining": "1990",
                "RateLimit-Reset": "1772442060",
            },
        )

    def of_project(items: Sequence[Any], name: str) -> Sequence[Any] | None:
        names = {p["path_with_namespace"] for p in held.projects}
        return items if name == "shop/api" else [] if name in names else None

    def dated(asked: Request, project: str, items: Sequence[Any]) -> Reply:
        known = of_project(items, project)
        if known is None:
            return Reply({"message": "404 Project Not Found"}, status=404)
        return listed(asked, _ordered(asked, _since(asked, known)))

    @made.route(r"groups/(?P<group>[^/]+)/projects")
    def projects(asked: Request, group: str) -> Reply:
        if group != "shop":
            return Reply({"message": "404 Group Not Found"}, status=404)
        hidden = asked.one("archived") == "false"
        return listed(asked, [p for p in held.projects if not (hidden and p["archived"])])

    @made.route(_PROJECT)
    def one(asked: Request, project: str) -> Reply:
        del asked
        known = (p for p in held.projects if p["path_with_namespace"] == project.lower())
        return next((Reply(p) for p in known), Reply({"message": "404 Project Not Found"}, status=404))

    @made.route(f"{_PROJECT}/merge_requests")
    def merge_requests(asked: Request, project: str) -> Reply:
        mine = asked.one("scope", "created_by_me") != "all" or asked.one("state") not in {"", "all"}
        return dated(asked, project, [] if mine else held.merge_requests)

    @made.route(rf"{_PROJECT}/merge_requests/(?P<number>\d+)/commits")
    def commits(asked: Request, project: str, number: str) -> Reply:
        return _known(of_project(held.commits.get(int(number), []), project), lambda found: listed(asked, found))

    @made.route(rf"{_PROJECT}/merge_requests/(?P<number>\d+)/notes")
    def notes(asked: Request, project: str, number: str) -> Reply:
        found = of_project(held.notes.get(int(number), []), project)
        return _known(found, lambda known: listed(asked, _ordered(asked, known)))

    @made.route(f"{_PROJECT}/pipelines")
    def pipelines(asked: Request, project: str) -> Reply:
        children = asked.one("source") == "parent_pipeline"
        return dated(asked, project, [p for p in held.pipelines if (p["source"] == "parent_pipeline") is children])

    @made.route(rf"{_PROJECT}/pipelines/(?P<number>\d+)/jobs")
    def jobs(asked: Request, project: str, number: str) -> Reply:
        found = sorted(held.jobs.get(int(number), []), key=lambda j: -j["id"])
        if asked.one("include_retried", "false") != "true":
            found = [j for n, j in enumerate(found) if j["name"] not in {o["name"] for o in found[:n]}]
        return _known(of_project(found, project), lambda known: listed(asked, known))

    @made.route(f"{_PROJECT}/deployments")
    def deployments(asked: Request, project: str) -> Reply:
        if bool(asked.one("updated_after")) is not (asked.one("order_by") == "updated_at"):
            why = "`updated_at` filter and `updated_at` sorting must be paired"
            return Reply({"message": f"400 Bad request - {why}"}, status=400)
        return dated(asked, project, held.deployments)

    @made.route(f"{_PROJECT}/issues")
    def issues(asked: Request, project: str) -> Reply:
        return dated(asked, project, held.issues if asked.one("scope") == "all" else [])

    @made.route(rf"{_PROJECT}/issues/(?P<number>\d+)/notes")
    def comments(asked: Request, project: str, number: str) -> Reply:
        found = of_project(held.comments.get(int(number), []), project)
        return _known(found, lambda known: listed(asked, _ordered(asked, known)))

    @made.route(rf"{_PROJECT}/issues/(?P<number>\d+)/resource_(?P<what>state|label)_events")
    def happened(asked: Request, project: str, number: str, what: str) -> Reply:
        of = held.turns if what == "state" else held.labelled
        return _known(of_project(of.get(int(number), []), project), lambda known: listed(asked, known))

    return made


def _known(found: Sequence[Any] | None, reply: Any) -> Reply:
    made: Reply = Reply({"message": "404 Not found"}, status=404) if found is None else reply(found)
    return made


def _since(asked: Request, items: Sequence[Any]) -> list[Any]:
    """What was updated, or created, on or after the asked time."""
    found = list(items)
    for name in ("updated", "created"):
        after = asked.time(f"{name}_after")
        if after is not None:
            found = [i for i in found if datetime.fromisoformat(i[f"{name}_at"]) >= after]
    return found


def _ordered(asked: Request, items: Sequence[Any]) -> list[Any]:
    by = asked.one("order_by", "created_at")
    return sorted(items, key=lambda i: (i[by], i["id"]), reverse=asked.one("sort", "desc") == "desc")


def settings(**more: Any) -> GitLabConfig:
    """The configuration of the sample."""
    plain = {
        "name": "sample",
        "type": "gitlab",
        "url": BASE,
        "token": TOKEN,
        "organisations": ["shop"],
        "commits": False,
        "issues": {"incidents": "incident", "tickets": "support"},
    }
    return GitLabConfig.model_validate({**plain, **more})


def sample(folder: Path) -> Sample:
    """The world's API with a configuration."""
    del folder
    return sample_of(settings(), provider(world()))


def bulk(items: int) -> Iterator[bytes]:
    """Pages of jobs, as a pipeline lists them, with so many items in all."""
    for start in range(0, items, 100):
        page = [job(start + n, f"job-{n}", "success", at(13, 9, 5)) for n in range(min(100, items - start))]
        yield json.dumps(page).encode()
