"""A small forge: repositories of an organisation, as Forgejo documents its REST API, and as Gitea lists runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.gitea import GiteaConfig
from collector.systems.gitea.shapes import Task

BASE = "https://git.example.com"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
BULK_KIND = Task
_REPOSITORY = "repos/(?P<owner>[^/]+)/(?P<repository>[^/]+)"
_MAIN = "a" * 40
_NEVER = "0001-01-01T00:00:00Z"
_at = lru_cache(maxsize=None)(datetime.fromisoformat)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)")


def at(day: int, hour: int = 9, minute: int = 0) -> str:
    """A time of February 2026 as the API writes it."""
    return f"2026-02-{day:02}T{hour:02}:{minute:02}:00+01:00"


def user(number: int = 11, login: str = PLANTED_LOGIN) -> dict[str, Any]:
    """Somebody."""
    return {
        "id": number,
        "login": login,
        "login_name": "",
        "source_id": 0,
        "full_name": PLANTED_NAME,
        "email": PLANTED_MAIL,
        "avatar_url": f"{BASE}/avatars/{number}",
        "html_url": f"{BASE}/{login}",
        "language": "",
        "is_admin": False,
        "last_login": _NEVER,
        "created": at(1),
        "restricted": False,
        "active": False,
        "prohibit_login": False,
        "location": "",
        "pronouns": "",
        "website": "",
        "description": "",
        "visibility": "public",
        "followers_count": 0,
        "following_count": 0,
        "starred_repos_count": 0,
    }


REVIEWER = user(12, "grace")
GHOST = user(-1, "Ghost")
ROBOT = user(-2, "forgejo-actions")


def label(number: int, name: str) -> dict[str, Any]:
    """A label."""
    return {
        "id": number,
        "name": name,
        "exclusive": False,
        "is_archived": False,
        "color": "ee0701",
        "description": "",
        "url": f"{BASE}/api/v1/repos/shop/api/labels/{number}",
    }


def repository(number: int, name: str, **more: Any) -> dict[str, Any]:
    """A repository."""
    return {
        "id": number,
        "owner": user(2, "shop"),
        "name": name.rpartition("/")[2],
        "full_name": name,
        "description": "",
        "empty": False,
        "private": True,
        "fork": False,
        "template": False,
        "mirror": False,
        "size": 120,
        "language": "Python",
        "html_url": f"{BASE}/{name}",
        "url": f"{BASE}/api/v1/repos/{name}",
        "clone_url": f"{BASE}/{name}.git",
        "default_branch": "main",
        "archived": False,
        "created_at": at(1),
        "updated_at": at(20),
        "archived_at": "1970-01-01T01:00:00+01:00",
        "has_issues": True,
        "has_pull_requests": True,
        "has_releases": True,
        "has_actions": True,
        "object_format_name": "sha1",
        "internal": False,
        **more,
    }


def branch(ref: str, sha: str) -> dict[str, Any]:
    """One end of a pull request."""
    return {"label": ref, "ref": ref, "sha": sha, "repo_id": 1, "repo": repository(1, "shop/api")}


def pull(number: int, **more: Any) -> dict[str, Any]:
    """A pull request, opened on the tenth and merged on the twelfth unless told otherwise."""
    made = {
        "id": 1000 + number,
        "url": f"{BASE}/shop/api/pulls/{number}",
        "number": number,
        "user": user(),
        "title": f"Change {number}",
        "body": "",
        "labels": [label(1, "backend")],
        "milestone": None,
        "assignee": None,
        "assignees": None,
        "requested_reviewers": [REVIEWER],
        "requested_reviewers_teams": None,
        "state": "closed",
        "draft": False,
        "is_locked": False,
        "comments": 1,
        "review_comments": 0,
        "additions": 3,
        "deletions": 1,
        "changed_files": 1,
        "html_url": f"{BASE}/shop/api/pulls/{number}",
        "diff_url": f"{BASE}/shop/api/pulls/{number}.diff",
        "patch_url": f"{BASE}/shop/api/pulls/{number}.patch",
        "mergeable": True,
        "merged": True,
        "merged_at": at(12, 15),
        "merge_commit_sha": f"{0xFF00 + number:040x}",
        "merged_by": REVIEWER,
        "allow_maintainer_edit": False,
        "base": branch("main", _MAIN),
        "head": branch(f"change-{number}", f"{number:040x}"),
        "merge_base": _MAIN,
        "due_date": None,
        "created_at": at(10),
        "updated_at": at(12, 15, number),
        "closed_at": at(12, 15),
        "pin_order": 0,
        "flow": 0,
    }
    return {**made, **more}


def unmerged(number: int, state: str = "open", **more: Any) -> dict[str, Any]:
    """A pull request that was not merged."""
    closed = at(12) if state == "closed" else None
    without: dict[str, Any] = {"merged": False, "merged_at": None, "merge_commit_sha": None, "merged_by": None}
    return pull(number, **{**without, "state": state, "closed_at": closed, **more})


def commit(sha: str, authored_at: str) -> dict[str, Any]:
    """A commit of a pull request."""
    person = {"name": PLANTED_NAME, "email": PLANTED_MAIL, "date": authored_at}
    inner = {"url": f"{BASE}/x", "author": person, "committer": person, "message": "A step\n", "tree": None}
    return {
        "url": f"{BASE}/api/v1/repos/shop/api/git/commits/{sha}",
        "sha": sha,
        "created": authored_at,
        "html_url": f"{BASE}/shop/api/commit/{sha}",
        "commit": inner,
        "author": user(),
        "committer": user(),
        "parents": [],
    }


def review(number: int, state: str, submitted_at: str, by: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """A review."""
    return {
        "id": number,
        "user": by,
        "team": None,
        "state": state,
        "body": f"Thanks, {PLANTED_NAME}",
        "commit_id": _MAIN,
        "stale": False,
        "official": True,
        "dismissed": False,
        "comments_count": 1,
        "submitted_at": submitted_at,
        "updated_at": submitted_at,
        "html_url": f"{BASE}/shop/api/pulls/1#issuecomment-{number}",
        "pull_request_url": f"{BASE}/shop/api/pulls/1",
        **more,
    }


def happening(number: int, kind: str, created_at: str, by: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Something on a timeline."""
    return {
        "id": number,
        "type": kind,
        "html_url": f"{BASE}/shop/api/pulls/1#issuecomment-{number}",
        "pull_request_url": f"{BASE}/shop/api/pulls/1",
        "issue_url": "",
        "user": by,
        "body": f"Hello {PLANTED_NAME}",
        "created_at": created_at,
        "updated_at": created_at,
        "old_title": "",
        "new_title": "",
        **more,
    }


def run(number: int, status: str, created: str, stopped: str | None = None, **more: Any) -> dict[str, Any]:
    """A run as Forgejo lists it."""
    return {
        "id": number,
        "title": "A step",
        "repository": repository(1, "shop/api"),
        "workflow_id": "deploy.yml",
        "index_in_repo": number - 200,
        "trigger_user": user(),
        "ScheduleID": 0,
        "prettyref": "main",
        "is_ref_deleted": False,
        "commit_sha": _MAIN,
        "is_fork_pull_request": False,
        "need_approval": False,
        "approved_by": 0,
        "event": "push",
        "event_payload": json.dumps({"pusher": {"full_name": PLANTED_NAME, "email": PLANTED_MAIL}}),
        "trigger_event": "push",
        "status": status,
        "started": created,
        "stopped": stopped or "1970-01-01T01:00:00+01:00",
        "created": created,
        "updated": stopped or created,
        "duration": 60_000_000_000,
        "html_url": f"{BASE}/shop/api/actions/runs/{number - 200}",
        **more,
    }


def workflow_run(number: int, conclusion: str, created: str, stopped: str | None, **more: Any) -> dict[str, Any]:
    """A run as Gitea lists it."""
    return {
        "id": number,
        "url": f"{BASE}/api/v1/repos/shop/api/actions/runs/{number}",
        "html_url": f"{BASE}/shop/api/actions/runs/{number - 200}",
        "display_title": "A step",
        "path": "deploy.yml@refs/heads/main",
        "event": "push",
        "run_attempt": 1,
        "run_number": number - 200,
        "head_sha": _MAIN,
        "head_branch": "main",
        "status": "completed" if stopped else "in_progress",
        "conclusion": conclusion,
        "actor": user(),
        "trigger_actor": user(),
        "repository": repository(1, "shop/api"),
        "created_at": created,
        "updated_at": stopped or created,
        "started_at": created,
        "completed_at": stopped or "1970-01-01T01:00:00+01:00",
        **more,
    }


def workflow_job(number: int, name: str, conclusion: str, completed_at: str | None, **more: Any) -> dict[str, Any]:
    """A job as Gitea lists those of a run."""
    return {
        "id": number,
        "url": f"{BASE}/api/v1/repos/shop/api/actions/jobs/{number}",
        "html_url": f"{BASE}/shop/api/actions/runs/1/jobs/{number}",
        "run_id": number // 10,
        "name": name,
        "labels": ["ubuntu-latest"],
        "run_attempt": 1,
        "head_sha": _MAIN,
        "head_branch": "main",
        "status": "completed" if completed_at else "in_progress",
        "conclusion": conclusion,
        "runner_id": 1,
        "runner_name": "runner",
        "steps": [],
        "created_at": at(13),
        "started_at": at(13),
        "completed_at": completed_at or _NEVER,
        **more,
    }


def task(number: int, name: str, status: str, created_at: str, updated_at: str, **more: Any) -> dict[str, Any]:
    """A job that a runner took."""
    return {
        "id": number,
        "name": name,
        "head_branch": "main",
        "head_sha": _MAIN,
        "run_number": number // 10 - 200,
        "event": "push",
        "display_title": "A step",
        "status": status,
        "workflow_id": "deploy.yml",
        "url": f"{BASE}/shop/api/actions/runs/{number // 10 - 200}",
        "created_at": created_at,
        "updated_at": updated_at,
        "run_started_at": created_at,
        **more,
    }


def release(number: int, tag: str, created_at: str, **more: Any) -> dict[str, Any]:
    """A release."""
    return {
        "id": number,
        "tag_name": tag,
        "target_commitish": "main",
        "name": tag,
        "body": "",
        "url": f"{BASE}/api/v1/repos/shop/api/releases/{number}",
        "html_url": f"{BASE}/shop/api/releases/tag/{tag}",
        "tarball_url": "",
        "zipball_url": "",
        "upload_url": "",
        "hide_archive_links": False,
        "draft": False,
        "prerelease": False,
        "created_at": created_at,
        "published_at": created_at,
        "author": user(),
        "assets": [],
        **more,
    }


def issue(number: int, *labels: str, **more: Any) -> dict[str, Any]:
    """An issue, open unless told otherwise; pull requests have numbers below 100."""
    made = {
        "id": 4000 + number,
        "url": f"{BASE}/api/v1/repos/shop/api/issues/{100 + number}",
        "html_url": f"{BASE}/shop/api/issues/{100 + number}",
        "number": 100 + number,
        "user": user(),
        "original_author": "",
        "original_author_id": 0,
        "title": f"Issue {number}",
        "body": "",
        "ref": "",
        "assets": [],
        "labels": [label(n, name) for n, name in enumerate(labels)],
        "milestone": None,
        "assignee": None,
        "assignees": None,
        "state": "open",
        "is_locked": False,
        "comments": 0,
        "created_at": at(14),
        "updated_at": at(14, 10, number),
        "closed_at": None,
        "due_date": None,
        "pull_request": None,
        "repository": {"id": 1, "name": "api", "owner": "shop", "full_name": "shop/api"},
        "pin_order": 0,
    }
    return {**made, **more}


@dataclass
class World:
    """What the server holds, all of it of shop/api; `most`: how many items a page holds at most.

    `product`: which of the servers it is; `old` lists no runs.
    """

    repositories: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    commits: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    reviews: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    timelines: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    issues: list[dict[str, Any]] = field(default_factory=list)
    most: int = 50
    product: Literal["forgejo", "gitea", "old"] = "forgejo"


def world() -> World:
    """A Forgejo with something of everything, in pages of three."""
    wip = {"old_title": "WIP: Change 1", "new_title": "Change 1"}
    return World(
        repositories=[
            repository(1, "shop/api"),
            repository(2, "shop/docs", has_actions=False, has_issues=False, has_releases=False),
            repository(3, "shop/old", archived=True),
        ],
        pulls=[
            pull(1),
            pull(2, merge_commit_sha=None),
            unmerged(3, title="WIP: something", draft=True, user=None),
            unmerged(4, "closed"),
            {k: v for k, v in unmerged(5, "frozen").items() if k not in {"draft", "labels", "head"}},
        ],
        commits={1: [commit("d" * 40, at(9)), commit("c" * 40, at(8))], 2: [commit("e" * 40, at(9))]},
        reviews={
            1: [
                review(1, "REQUEST_REVIEW", at(10), REVIEWER),
                review(2, "COMMENT", at(11, 10), user()),
                review(3, "REQUEST_CHANGES", at(11, 12), REVIEWER, dismissed=True),
                review(4, "APPROVED", at(11, 13), REVIEWER),
            ],
            2: [review(5, "PONDERED", at(11), GHOST)],
        },
        timelines={
            1: [
                happening(11, "change_title", at(11), user(), **wip),
                happening(12, "comment", at(11, 11), user()),
                happening(13, "comment", at(11, 12, 30), REVIEWER),
                happening(14, "merge_pull", at(12, 15), REVIEWER),
            ],
            2: [happening(15, "comment", at(11), ROBOT)],
            102: [happening(21, "comment", at(14, 11), REVIEWER)],
        },
        runs=[
            run(201, "success", at(13), at(13, 9, 31)),
            run(202, "running", at(13, 10)),
            run(203, "failure", at(13, 11), at(13, 11, 5), workflow_id="test.yml", trigger_user=None),
            run(204, "pondering", at(13, 12)),
        ],
        tasks=[
            task(2011, "build", "success", at(13), at(13, 9, 10)),
            task(2012, "deploy-production", "success", at(13, 9, 11), at(13, 9, 30)),
            task(2021, "deploy-production", "running", at(13, 10), at(13, 10, 1)),
            task(2031, "test", "failure", at(13, 11), at(13, 11, 5), workflow_id="test.yml"),
        ],
        releases=[
            release(301, "v1.0.0", at(15)),
            release(302, "v1.1.0-rc1", at(16), prerelease=True),
            release(303, "v1.1.0", at(17), draft=True),
        ],
        tags={"v1.0.0": "b" * 40},
        issues=[
            issue(1, "incident", state="closed", closed_at=at(15)),
            issue(2, "support", comments=1),
            issue(3, "feature"),
            issue(4, "incidental"),
        ],
        most=3,
    )


def gitea() -> World:
    """The same of Gitea, which lists the jobs of a run."""
    held = world()
    held.product = "gitea"
    held.runs = [
        workflow_run(201, "success", at(13), at(13, 9, 31)),
        workflow_run(202, "", at(13, 10), None),
        workflow_run(203, "failure", at(13, 11), at(13, 11, 5), path="test.yml@refs/tags/v1.0.0", head_branch=""),
    ]
    held.jobs = {
        201: [
            workflow_job(2011, "build", "success", at(13, 9, 10)),
            workflow_job(2012, "deploy-production", "success", at(13, 9, 30)),
        ],
        202: [workflow_job(2021, "deploy-production", "", None)],
        203: [workflow_job(2031, "test", "failure", at(13, 11, 5))],
    }
    return held


def provider(held: World) -> Provider:  # noqa: C901 - one route after another
    """The API of a world."""
    made = Provider(f"{BASE}/api/v1", with_etags=False)

    def page(asked: Request, items: Sequence[Any]) -> list[Any]:
        size = min(asked.number("limit", 30), held.most)
        start = (asked.number("page", 1) - 1) * size
        return list(items[start : start + size])

    def listed(asked: Request, items: Sequence[Any]) -> Reply:
        return Reply(page(asked, items), headers={"X-Total-Count": str(len(items))})

    def counted(asked: Request, key: str, items: Sequence[Any]) -> Reply:
        return Reply({"total_count": len(items), key: page(asked, items)})

    def of(name: str, items: Sequence[Any]) -> Sequence[Any]:
        return items if name == "api" else []

    def newest_first(items: Sequence[dict[str, Any]], by: str) -> list[dict[str, Any]]:
        return sorted(items, key=lambda i: (_at(i[by]), i["id"]), reverse=True)

    @made.route("orgs/(?P<owner>[^/]+)/repos")
    def owned(asked: Request, owner: str) -> Reply:
        return listed(asked, held.repositories) if owner == "shop" else _missing()

    @made.route("users/(?P<owner>[^/]+)/repos")
    def personal(asked: Request, owner: str) -> Reply:
        return listed(asked, held.repositories[:1]) if owner == "ada" else _missing()

    @made.route(_REPOSITORY)
    def one(asked: Request, owner: str, repository: str) -> Reply:
        del asked
        name = f"{owner}/{repository}".lower()
        return next((Reply(r) for r in held.repositories if r["full_name"] == name), _missing())

    @made.route(f"{_REPOSITORY}/pulls")
    def pulls(asked: Request, owner: str, repository: str) -> Reply:
        del owner
        if asked.one("state", "open") not in {"open", "closed", "all"}:
            return Reply({"message": "bad state"}, status=400)
        kept = [p for p in held.pulls if asked.one("state", "open") in {"all", p["state"]}]
        by = "updated_at" if asked.one("sort") == "recentupdate" else "created_at"
        return listed(asked, of(repository, newest_first(kept, by)))

    @made.route(rf"{_REPOSITORY}/pulls/(?P<number>\d+)/commits")
    def commits(asked: Request, owner: str, repository: str, number: str) -> Reply:
        del owner, repository
        return listed(asked, held.commits.get(int(number), []))

    @made.route(rf"{_REPOSITORY}/pulls/(?P<number>\d+)/reviews")
    def reviews(asked: Request, owner: str, repository: str, number: str) -> Reply:
        del owner, repository
        return listed(asked, held.reviews.get(int(number), []))

    @made.route(rf"{_REPOSITORY}/issues/(?P<number>\d+)/timeline")
    def timeline(asked: Request, owner: str, repository: str, number: str) -> Reply:
        del owner, repository
        return listed(asked, held.timelines.get(int(number), []))

    @made.route(f"{_REPOSITORY}/actions/runs")
    def runs(asked: Request, owner: str, repository: str) -> Reply:
        del owner
        if held.product == "old":
            return _missing()
        by = "created" if held.product == "forgejo" else "created_at"
        number = asked.one("run_number")
        kept = [r for r in held.runs if number in {"", str(r.get("index_in_repo"))}]
        return counted(asked, "workflow_runs", of(repository, newest_first(kept, by)))

    @made.route(rf"{_REPOSITORY}/actions/runs/(?P<number>\d+)")
    def one_run(asked: Request, owner: str, repository: str, number: str) -> Reply:
        del asked, owner, repository
        return next((Reply(r) for r in held.runs if r["id"] == int(number)), _missing())

    @made.route(rf"{_REPOSITORY}/actions/runs/(?P<number>\d+)/jobs")
    def jobs(asked: Request, owner: str, repository: str, number: str) -> Reply:
        del owner, repository
        return counted(asked, "jobs", held.jobs.get(int(number), []))

    @made.route(f"{_REPOSITORY}/actions/tasks")
    def tasks(asked: Request, owner: str, repository: str) -> Reply:
        del owner
        return counted(asked, "workflow_runs", of(repository, newest_first(held.tasks, "created_at")))

    @made.route(f"{_REPOSITORY}/releases")
    def releases(asked: Request, owner: str, repository: str) -> Reply:
        del owner
        return listed(asked, of(repository, newest_first(held.releases, "created_at")))

    @made.route(f"{_REPOSITORY}/tags/(?P<tag>[^/]+)")
    def tag(asked: Request, owner: str, repository: str, tag: str) -> Reply:
        del asked, owner, repository
        if tag not in held.tags:
            return _missing()
        named = {"url": f"{BASE}/x", "sha": held.tags[tag], "created": at(15)}
        return Reply({"name": tag, "message": tag, "id": held.tags[tag], "commit": named})

    @made.route(f"{_REPOSITORY}/issues")
    def issues(asked: Request, owner: str, repository: str) -> Reply:
        del owner
        since = asked.one("since")
        if since and not _TIME.fullmatch(since):
            return Reply({"message": "bad date"}, status=422)
        after = _at(since) if since else None
        kept = [i for i in held.issues if after is None or _at(i["updated_at"]) >= after]
        kept = kept if asked.one("type") == "issues" else [*kept, issue(99, pull_request={"merged": False})]
        return listed(asked, of(repository, newest_first(kept, "created_at")))

    return made


def _missing() -> Reply:
    return Reply({"message": "The target couldn't be found.", "url": f"{BASE}/api/swagger", "errors": []}, status=404)


def settings(**more: Any) -> GiteaConfig:
    """The configuration of the sample."""
    plain = {
        "name": "sample",
        "type": "gitea",
        "url": BASE,
        "token": TOKEN,
        "organisations": ["shop"],
        "commits": False,
        "releases": "production",
        "issues": {"incidents": "incident", "tickets": "support"},
    }
    return GiteaConfig.model_validate({**plain, **more})


def sample(folder: Path) -> Sample:
    """The world's API with a configuration."""
    del folder
    return sample_of(settings(), provider(world()))


def bulk(items: int) -> Iterator[bytes]:
    """Pages of tasks with so many items in all."""
    for start in range(0, items, 50):
        size = min(50, items - start)
        page = [task(start + n, f"job-{n}", "success", at(13), at(13, 9, 5)) for n in range(size)]
        yield json.dumps({"total_count": items, "workflow_runs": page}).encode()
