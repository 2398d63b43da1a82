"""A small GitHub: REST with its paging, filters and caps, and the GraphQL that goes with it, from one world of facts.

Objects are whole as the API describes them, though most of their fields are not used here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, page_of, sample_of

from collector.sources.github import GitHubConfig

API = "https://api.github.com"
WEB = "https://github.com"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
SHA = "acb5820ced9479c074f688cc328bf03f341a511d"
MOST_RESULTS = 1_000
BULK_KIND = "workflow_runs"

_OF_USER = (
    *("followers_url", "following_url", "gists_url", "starred_url", "subscriptions_url", "organizations_url"),
    *("repos_url", "events_url", "received_events_url", "url", "html_url", "avatar_url"),
)
_OF_REPOSITORY = (
    *("archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents"),
    *("contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks"),
    *("issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges", "milestones"),
    *("notifications", "pulls", "releases", "stargazers", "statuses", "subscribers", "subscription", "tags", "teams"),
    "trees",
)


def sha(number: int) -> str:
    """A commit id of its own for each number."""
    return f"{number:040x}"


def user(login: str = PLANTED_LOGIN, **more: Any) -> dict[str, Any]:
    """An account; bots have a type of their own."""
    links = dict.fromkeys(_OF_USER, f"{API}/users/{login}")
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {
        "login": login,
        "id": 1,
        "node_id": "MDQ6VXNlcjE=",
        "gravatar_id": "",
        "type": kind,
        "site_admin": False,
        "name": PLANTED_NAME,
        "email": PLANTED_MAIL,
        **links,
        **more,
    }


def repository(name: str, **more: Any) -> dict[str, Any]:
    """A repository."""
    url = f"{API}/repos/{name}"
    flags = dict.fromkeys(("private", "fork", "archived", "disabled", "has_pages"), False)
    has = dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_downloads"), True)
    counts = dict.fromkeys(
        ("forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count", "watchers"), 0
    )
    return {
        "id": 1296269,
        "node_id": "MDEwOlJlcG9zaXRvcnkxMjk2MjY5",
        "name": name.rpartition("/")[2],
        "full_name": name,
        "owner": user(name.partition("/")[0], type="Organization"),
        "html_url": f"{WEB}/{name}",
        "url": url,
        "description": None,
        **{f"{link}_url": f"{url}/{link}" for link in (*_OF_REPOSITORY, "clone", "git", "ssh", "svn")},
        **flags,
        **has,
        **counts,
        "watchers_count": 0,
        "mirror_url": None,
        "homepage": None,
        "language": "Python",
        "license": None,
        "default_branch": "main",
        "pushed_at": "2026-02-27T09:00:00Z",
        "created_at": "2020-01-01T09:00:00Z",
        "updated_at": "2026-02-27T09:00:00Z",
        **more,
    }


def label(name: str) -> dict[str, Any]:
    """A label."""
    return {
        "id": 208045946,
        "node_id": "MDU6TGFiZWwyMDgwNDU5NDY=",
        "url": f"{API}/repos/o/r/labels/{name}",
        "name": name,
        "description": "",
        "color": "f29513",
        "default": False,
    }


def review(number: int, at: str, login: str | None = "reviewer", **more: Any) -> dict[str, Any]:
    """A review, as REST and webhooks write it."""
    return {
        "id": number,
        "node_id": f"PRR_{number}",
        "user": user(login) if login else None,
        "body": "",
        "state": "APPROVED",
        "html_url": f"{WEB}/acme/shop/pull/1#pullrequestreview-{number}",
        "pull_request_url": f"{API}/repos/acme/shop/pulls/1",
        "author_association": "MEMBER",
        "_links": {"html": {"href": WEB}, "pull_request": {"href": API}},
        "submitted_at": at,
        "updated_at": at,
        "commit_id": SHA,
        **more,
    }


def pull_request(number: int, created: str, updated: str, **more: Any) -> dict[str, Any]:
    """A pull request as REST and webhooks write it; `first_commit_at`, `ready_at`, `reviews` are for GraphQL."""
    url, name = f"{API}/repos/acme/shop/pulls/{number}", "acme/shop"
    branch = {"label": "acme:x", "repo": repository(name), "user": user("acme")}
    return {
        "id": 4_000_000_000 + number,
        "node_id": f"PR_{number}",
        "number": number,
        "state": "open",
        "locked": False,
        "title": f"Change {number}",
        "body": f"by {PLANTED_NAME} <{PLANTED_MAIL}>",
        "user": user(),
        "labels": [label("backend")],
        "milestone": None,
        "draft": False,
        "created_at": created,
        "updated_at": updated,
        "closed_at": None,
        "merged_at": None,
        "merge_commit_sha": sha(number),
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "head": {**branch, "ref": f"branch-{number}", "sha": sha(1_000 + number)},
        "base": {**branch, "ref": "main", "sha": SHA},
        "author_association": "MEMBER",
        "auto_merge": None,
        "html_url": f"{WEB}/{name}/pull/{number}",
        "url": url,
        **{f"{link}_url": f"{url}/{link}" for link in ("diff", "patch", "issue", "commits", "comments", "statuses")},
        "review_comments_url": f"{url}/comments",
        "review_comment_url": f"{url}/comments{{/number}}",
        "_links": {
            link: {"href": url}
            for link in (
                *("self", "html", "issue", "comments", "review_comments", "review_comment", "commits", "statuses"),
            )
        },
        "first_commit_at": created,
        "ready_at": None,
        "reviews": [],
        **more,
    }


def run(number: int, created: str, **more: Any) -> dict[str, Any]:
    """A run of a workflow: a minute long, and green."""
    url = f"{API}/repos/acme/shop/actions/runs/{number}"
    begun = more.get("run_started_at", created)
    ended = datetime.fromisoformat(begun).replace(second=59).isoformat().replace("+00:00", "Z")
    return {
        "id": number,
        "name": "Build",
        "node_id": f"WFR_{number}",
        "head_branch": "main",
        "head_sha": SHA,
        "path": ".github/workflows/build.yml",
        "display_title": "Change",
        "run_number": number,
        "run_attempt": 1,
        "event": "push",
        "status": "completed",
        "conclusion": "success",
        "workflow_id": 161335,
        "check_suite_id": 414944374,
        "check_suite_node_id": "MDEwOkNoZWNrU3VpdGU0MTQ5NDQzNzQ=",
        "url": url,
        "html_url": f"{WEB}/acme/shop/actions/runs/{number}",
        "pull_requests": [],
        "created_at": created,
        "updated_at": ended,
        "run_started_at": begun,
        "actor": user(),
        "triggering_actor": user(),
        **{f"{link}_url": f"{url}/{link}" for link in ("jobs", "logs", "check_suite", "artifacts", "cancel", "rerun")},
        "workflow_url": f"{API}/repos/acme/shop/actions/workflows/161335",
        "previous_attempt_url": None,
        "referenced_workflows": [],
        "head_commit": {
            "id": SHA,
            "tree_id": SHA,
            "message": "Change",
            "timestamp": created,
            "author": {"name": PLANTED_NAME, "email": PLANTED_MAIL},
            "committer": {"name": PLANTED_NAME, "email": PLANTED_MAIL},
        },
        "repository": repository("acme/shop"),
        "head_repository": repository("acme/shop"),
        **more,
    }


def job(number: int, run_id: int, name: str, begun: str, ended: str | None, **more: Any) -> dict[str, Any]:
    """A job of a run."""
    url = f"{API}/repos/acme/shop/actions/jobs/{number}"
    return {
        "id": number,
        "run_id": run_id,
        "run_url": f"{API}/repos/acme/shop/actions/runs/{run_id}",
        "run_attempt": 1,
        "node_id": f"CR_{number}",
        "head_sha": SHA,
        "head_branch": "main",
        "workflow_name": "Deploy",
        "name": name,
        "url": url,
        "html_url": f"{WEB}/acme/shop/actions/runs/{run_id}/job/{number}",
        "check_run_url": f"{API}/repos/acme/shop/check-runs/{number}",
        "status": "completed" if ended else "in_progress",
        "conclusion": "success" if ended else None,
        "created_at": begun,
        "started_at": begun,
        "completed_at": ended,
        "steps": [],
        "labels": ["ubuntu-latest"],
        "runner_id": 1,
        "runner_name": "a runner",
        "runner_group_id": 2,
        "runner_group_name": "runners",
        **more,
    }


def status(state: str, at: str) -> dict[str, Any]:
    """A status of a deployment, as REST writes it."""
    return {
        "id": 1,
        "node_id": "DES_1",
        "state": state,
        "creator": user("github-actions[bot]"),
        "description": "",
        "environment": "production",
        "created_at": at,
        "updated_at": at,
        **{f"{link}_url": f"{API}/repos/acme/shop/deployments/1" for link in ("deployment", "target", "repository")},
        "url": f"{API}/repos/acme/shop/deployments/1/statuses/1",
        "environment_url": "",
        "log_url": "",
    }


def deployment(number: int, created: str, statuses: Sequence[tuple[str, str]], **more: Any) -> dict[str, Any]:
    """A deployment as GitHub keeps it; its statuses are for the questions about them."""
    url = f"{API}/repos/acme/shop/deployments/{number}"
    return {
        "id": number,
        "node_id": f"DE_{number}",
        "sha": SHA,
        "ref": "main",
        "task": "deploy",
        "payload": {},
        "original_environment": "production",
        "environment": "production",
        "description": None,
        "creator": user("github-actions[bot]"),
        "created_at": created,
        "updated_at": max([created, *(at for _, at in statuses)]),
        "url": url,
        "statuses_url": f"{url}/statuses",
        "repository_url": f"{API}/repos/acme/shop",
        "transient_environment": False,
        "production_environment": True,
        "performed_via_github_app": None,
        "statuses": [status(state, at) for state, at in statuses],
        **more,
    }


def release(number: int, tag: str, published: str | None, **more: Any) -> dict[str, Any]:
    """A release; `tag_sha` is for GraphQL."""
    url = f"{API}/repos/acme/shop/releases/{number}"
    return {
        "id": number,
        "node_id": f"RE_{number}",
        "tag_name": tag,
        "target_commitish": "main",
        "name": tag,
        "body": f"thanks to @{PLANTED_LOGIN}",
        "draft": published is None,
        "prerelease": False,
        "created_at": published or "2026-02-01T09:00:00Z",
        "updated_at": published or "2026-02-01T09:00:00Z",
        "published_at": published,
        "author": user(),
        "assets": [],
        "url": url,
        "assets_url": f"{url}/assets",
        "upload_url": f"{url}/assets",
        "html_url": f"{WEB}/acme/shop/releases/tag/{tag}",
        "tarball_url": url,
        "zipball_url": url,
        "tag_sha": SHA,
        **more,
    }


def issue(number: int, created: str, updated: str, *labels: str, **more: Any) -> dict[str, Any]:
    """An issue; `said` are its comments: a time and a login; `happened`: a time, what, and a label or reason."""
    url = f"{API}/repos/acme/shop/issues/{number}"
    return {
        "id": 3_000_000_000 + number,
        "node_id": f"I_{number}",
        "number": number,
        "state": "open",
        "state_reason": None,
        "locked": False,
        "title": f"Trouble {number}",
        "body": f"seen by {PLANTED_MAIL}",
        "user": user(),
        "labels": [label(name) for name in labels],
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": len(more.get("said", ())),
        "created_at": created,
        "updated_at": updated,
        "closed_at": None,
        "author_association": "MEMBER",
        "url": url,
        "html_url": f"{WEB}/acme/shop/issues/{number}",
        "repository_url": f"{API}/repos/acme/shop",
        "labels_url": f"{url}/labels",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "said": [],
        "happened": [],
        **more,
    }


def comment(at: str, login: str | None) -> dict[str, Any]:
    """A comment as REST writes it."""
    url = f"{API}/repos/acme/shop/issues/comments/1"
    return {
        "id": 1,
        "node_id": "IC_1",
        "url": url,
        "html_url": f"{WEB}/acme/shop/issues/1#issuecomment-1",
        "issue_url": f"{API}/repos/acme/shop/issues/1",
        "user": user(login) if login else None,
        "body": f"Hello {PLANTED_NAME}",
        "created_at": at,
        "updated_at": at,
        "author_association": "NONE",
    }


@dataclass
class Held:
    """What one repository holds."""

    pulls: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    attempts: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    jobs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class World:
    """Repositories by name. `most`: how many items a page holds here, whatever is asked for.

    `problems`: errors that the next answers of GraphQL bring instead of data, one for each.
    """

    held: dict[str, Held] = field(default_factory=dict)
    organisations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    users: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    most: int = 100
    problems: list[dict[str, Any]] = field(default_factory=list)
    slow_from: int = 10_000
    """From which page size on GraphQL runs out of time."""


_INTERNAL = frozenset({"first_commit_at", "ready_at", "reviews", "statuses", "tag_sha", "said", "happened"})


def shown(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object as REST shows it: without what only this stand-in knows of it."""
    return {name: value for name, value in item.items() if name not in _INTERNAL}


def actor(account: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An account as GraphQL shows it: a bot's login without its ending."""
    if account is None:
        return None
    return {"__typename": account["type"], "login": account["login"].removesuffix("[bot]")}


def _page(items: Sequence[dict[str, Any]], first: int, after: str | None) -> dict[str, Any]:
    start = int(after) if after else 0
    end = start + first
    more = end < len(items)
    return {"pageInfo": {"hasNextPage": more, "endCursor": str(min(end, len(items)))}, "nodes": items[start:end]}


def review_node(item: Mapping[str, Any]) -> dict[str, Any]:
    """A review as GraphQL shows it."""
    return {
        "fullDatabaseId": str(item["id"]),
        "state": item["state"],
        "submittedAt": item["submitted_at"],
        "updatedAt": item["updated_at"],
        "url": item["html_url"],
        "author": actor(item["user"]),
    }


def change_node(item: Mapping[str, Any]) -> dict[str, Any]:
    """A pull request as GraphQL shows it."""
    ready = [{"createdAt": item["ready_at"]}] if item["ready_at"] else []
    return {
        "fullDatabaseId": str(item["id"]),
        "number": item["number"],
        "state": "MERGED" if item["merged_at"] else item["state"].upper(),
        "title": item["title"],
        "url": item["html_url"],
        "isDraft": item["draft"],
        "createdAt": item["created_at"],
        "updatedAt": item["updated_at"],
        "mergedAt": item["merged_at"],
        "closedAt": item["closed_at"],
        "headRefOid": item["head"]["sha"],
        "headRefName": item["head"]["ref"],
        "baseRefName": item["base"]["ref"],
        "mergeCommit": {"oid": item["merge_commit_sha"]} if item["merged_at"] else None,
        "author": actor(item["user"]),
        "labels": {"nodes": [{"name": one["name"]} for one in item["labels"]]},
        "commits": {"nodes": [{"commit": {"authoredDate": item["first_commit_at"]}}]},
        "timelineItems": {"nodes": ready},
        "reviews": _page([review_node(one) for one in item["reviews"]], 30, None),
    }


def release_node(item: Mapping[str, Any]) -> dict[str, Any]:
    """A release as GraphQL shows it."""
    return {
        "databaseId": item["id"],
        "tagName": item["tag_name"],
        "createdAt": item["created_at"],
        "updatedAt": item["updated_at"],
        "publishedAt": item["published_at"],
        "isDraft": item["draft"],
        "isPrerelease": item["prerelease"],
        "url": item["html_url"],
        "author": actor(item["author"]),
        "tagCommit": {"oid": item["tag_sha"]} if item["tag_sha"] else None,
    }


def _last_updated(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda one: (one["updated_at"], one["number"]), reverse=True)


def _newest(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda one: (one["created_at"], one["id"]), reverse=True)


def graphql(world: World, asked: Request) -> Reply:
    """The answer to one of the queries of this source, in the shape of the published schema."""
    said = asked.json()
    query, variables = said["query"], said["variables"]
    if world.problems:
        return Reply({"data": None, "errors": [world.problems.pop(0)]})
    if max(variables.get("first", 0), len(variables.get("ids", ()))) >= world.slow_from:
        message = "Something went wrong while executing your query. This may be the result of a timeout."
        return Reply({"data": None, "errors": [{"message": message}]})
    if "ids" in variables:
        return _nodes(world, query, variables["ids"])
    name = f"{variables['owner']}/{variables['name']}"
    held = world.held.get(name)
    if held is None:
        missing = {"type": "NOT_FOUND", "path": ["repository"], "message": f"Could not resolve to {name}"}
        return Reply({"data": {"repository": None}, "errors": [missing]})
    first, after = min(variables["first"], world.most), variables["after"]
    if "pullRequest(" in query:
        pull = next(p for p in held.pulls if p["number"] == variables["number"])
        found = {"pullRequest": {"reviews": _page([review_node(r) for r in pull["reviews"]], first, after)}}
    elif "releases(" in query:
        found = {"releases": _page([release_node(r) for r in _newest(held.releases)], first, after)}
    else:
        found = {"pullRequests": _page([change_node(p) for p in _last_updated(held.pulls)], first, after)}
    return Reply({"data": {"repository": found}}, headers={"X-RateLimit-Resource": "graphql"})


def _nodes(world: World, query: str, ids: Sequence[str]) -> Reply:
    known = {one["node_id"]: one for held in world.held.values() for one in (*held.deployments, *held.issues)}
    nodes: list[dict[str, Any] | None] = []
    errors = []
    for place, identity in enumerate(ids):
        one = known.get(identity)
        if one is None:
            errors.append({"type": "NOT_FOUND", "path": ["nodes", place], "message": f"No node {identity}"})
            nodes.append(None)
        elif "on Deployment" in query:
            items = [{"state": s["state"].upper(), "createdAt": s["created_at"]} for s in reversed(one["statuses"])]
            nodes.append({"statuses": _page(items, 50, None)})
        else:
            items = [{"createdAt": at, "author": actor(user(who) if who else None)} for at, who in one["said"]]
            turns = [_happening(*told) for told in one["happened"]]
            nodes.append({"comments": _page(items, 50, None), "timelineItems": _page(turns, 50, None)})
    return Reply({"data": {"nodes": nodes}, **({"errors": errors} if errors else {})})


def _happening(at: str, what: str, more: str = "") -> dict[str, Any]:
    """What happened to an issue as GraphQL shows it: `closed`, `reopened`, `labeled`, `unlabeled`."""
    of_label = {"label": {"name": more}} if what.endswith("labeled") else {}
    of_end = {"stateReason": more.upper() or None} if what == "closed" else {}
    return {"__typename": f"{what.capitalize()}Event", "createdAt": at, **of_label, **of_end}


def _paged(world: World, asked: Request, items: Sequence[Any], key: str = "", total: int | None = None) -> Reply:
    page, link = page_of(asked, items, most=world.most)
    listed = {"total_count": len(items) if total is None else total, key: page} if key else page
    return Reply(listed, headers={"Link": link} if link else {})


def _within(created: str) -> Callable[[str], bool]:
    """What a filter by time of creation lets through: `>=` a time, or from one to another with both."""
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    if found := re.fullmatch(f">=({moment})", created):
        return lambda at: at >= found[1]
    both = re.fullmatch(f"({moment})\\.\\.({moment})", created)
    assert both is not None, f"created={created}"
    first, last = both.groups()
    return lambda at: first <= at <= last


@dataclass
class _Server:
    """Answers of REST. It refuses what GitHub refuses: unknown repositories, filters that are no time."""

    world: World

    def pulls(self, asked: Request, held: Held) -> Reply:
        _last_updated_first(asked)
        return _paged(self.world, asked, [shown(p) for p in _last_updated(held.pulls)])

    def runs(self, asked: Request, held: Held) -> Reply:
        fits = _within(asked.one("created")) if asked.one("created") else bool
        found = [one for one in _newest(held.runs) if fits(one["created_at"])]
        return _paged(self.world, asked, found[:MOST_RESULTS], "workflow_runs", len(found))

    def run(self, _asked: Request, held: Held, number: str) -> Reply:
        return _found([one for one in held.runs if one["id"] == int(number)])

    def attempt(self, _asked: Request, held: Held, number: str, attempt: str) -> Reply:
        return _found([one for key, one in held.attempts.items() if key == (int(number), int(attempt))])

    def jobs(self, asked: Request, held: Held, number: str) -> Reply:
        assert asked.one("filter") == "all"
        return _paged(self.world, asked, held.jobs.get(int(number), []), "jobs")

    def deployments(self, asked: Request, held: Held) -> Reply:
        return _paged(self.world, asked, [shown(d) for d in _newest(held.deployments)])

    def deployment(self, _asked: Request, held: Held, number: str) -> Reply:
        return _found([shown(one) for one in held.deployments if one["id"] == int(number)])

    def statuses(self, asked: Request, held: Held, number: str) -> Reply:
        found = next(one for one in held.deployments if one["id"] == int(number))
        return _paged(self.world, asked, list(reversed(found["statuses"])))

    def releases(self, asked: Request, held: Held) -> Reply:
        return _paged(self.world, asked, [shown(r) for r in _newest(held.releases)])

    def issues(self, asked: Request, held: Held) -> Reply:
        _last_updated_first(asked)
        since = asked.time("since") or datetime.fromtimestamp(0, UTC)
        found = [i for i in _last_updated(held.issues) if datetime.fromisoformat(i["updated_at"]) >= since]
        return _paged(self.world, asked, [shown(i) for i in found])

    def comments(self, asked: Request, held: Held, number: str) -> Reply:
        found = next(one for one in held.issues if one["number"] == int(number))
        return _paged(self.world, asked, [comment(at, who) for at, who in found["said"]])

    def events(self, asked: Request, held: Held, number: str) -> Reply:
        found = next(one for one in held.issues if one["number"] == int(number))
        listed = [
            {"event": what, "created_at": at, **({"label": {"name": more}} if what.endswith("labeled") else {})}
            for at, what, more in ((*told, "")[:3] for told in found["happened"])
        ]
        return _paged(self.world, asked, listed)

    def of(self, handler: Callable[..., Reply]) -> Callable[..., Reply]:
        """What answers for a repository that there is."""

        def answer(asked: Request, owner: str, name: str, **more: str) -> Reply:
            held = self.world.held.get(f"{owner}/{name}")
            return _found([]) if held is None else handler(asked, held, **more)

        return answer

    def listed(self, owners: Mapping[str, list[dict[str, Any]]]) -> Callable[..., Reply]:
        """What answers for somebody's repositories."""

        def answer(asked: Request, owner: str) -> Reply:
            found = owners.get(owner)
            return _found([]) if found is None else _paged(self.world, asked, found)

        return answer


def _found(found: Sequence[dict[str, Any]]) -> Reply:
    return Reply(found[0]) if found else Reply({"message": "Not Found"}, status=404)


def _last_updated_first(asked: Request) -> None:
    assert (asked.one("state"), asked.one("sort"), asked.one("direction")) == ("all", "updated", "desc")


def serve(world: World, base: str = API) -> Provider:
    """The API of a world; at a base that ends with `/api` the one of a server of one's own."""
    provider, server = Provider(base), _Server(world)
    prefix = "v3/" if base.endswith("/api") else ""
    number = r"(?P<number>\d+)"
    below: dict[str, Callable[..., Reply]] = {
        "pulls": server.pulls,
        "actions/runs": server.runs,
        f"actions/runs/{number}": server.run,
        f"actions/runs/{number}/attempts/(?P<attempt>\\d+)": server.attempt,
        f"actions/runs/{number}/jobs": server.jobs,
        "deployments": server.deployments,
        f"deployments/{number}": server.deployment,
        f"deployments/{number}/statuses": server.statuses,
        "releases": server.releases,
        "issues": server.issues,
        f"issues/{number}/comments": server.comments,
        f"issues/{number}/events": server.events,
    }
    for path, handler in below.items():
        provider.route(f"{prefix}repos/(?P<owner>[^/]+)/(?P<name>[^/]+)/{path}")(server.of(handler))
    provider.route(prefix + r"orgs/(?P<owner>[^/]+)/repos")(server.listed(world.organisations))
    provider.route(prefix + r"users/(?P<owner>[^/]+)/repos")(server.listed(world.users))
    provider.route("graphql", "POST")(lambda asked: graphql(world, asked))
    return provider


def without(item: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """An object that lacks fields which it need not have."""
    return {name: value for name, value in item.items() if name not in names}


def small_world() -> World:
    """One repository of an organisation, with something of each kind, read in pages of two."""
    shop = Held(
        pulls=[
            pull_request(
                1,
                "2026-02-10T09:00:00Z",
                "2026-02-12T10:00:00Z",
                state="closed",
                merged_at="2026-02-12T10:00:00Z",
                closed_at="2026-02-12T10:00:00Z",
                first_commit_at="2026-02-09T15:00:00Z",
                ready_at="2026-02-11T09:00:00Z",
                reviews=[
                    review(11, "2026-02-11T10:00:00Z", "helper[bot]", state="COMMENTED"),
                    review(12, "2026-02-12T09:00:00Z"),
                    review(13, "2026-02-12T09:30:00Z", None, state="BLESSED"),
                ],
            ),
            pull_request(2, "2026-02-13T09:00:00Z", "2026-02-13T09:00:00Z", user=None, draft=True, labels=[]),
            pull_request(
                3, "2026-02-14T09:00:00Z", "2026-02-15T09:00:00Z", state="closed", closed_at="2026-02-15T09:00:00Z"
            ),
        ],
        runs=[
            run(101, "2026-02-12T10:01:00Z", name="Deploy"),
            run(102, "2026-02-13T10:01:00Z", conclusion="cancelled"),
            without(
                run(103, "2026-02-14T10:01:00Z", run_attempt=2, run_started_at="2026-02-14T12:00:00Z"),
                *("actor", "triggering_actor"),
            ),
            run(104, "2026-02-15T10:01:00Z", status="in_progress", conclusion=None),
            run(105, "2026-02-16T10:01:00Z", conclusion="evaporated"),
        ],
        attempts={(103, 1): run(103, "2026-02-14T10:01:00Z", conclusion="failure")},
        jobs={
            101: [
                job(1001, 101, "build", "2026-02-12T10:01:10Z", "2026-02-12T10:01:30Z"),
                job(1002, 101, "deploy-production", "2026-02-12T10:01:31Z", "2026-02-12T10:01:50Z"),
                job(1003, 101, "report", "2026-02-12T10:01:51Z", "2026-02-12T10:01:58Z", conclusion="skipped"),
            ]
        },
        releases=[
            release(201, "v1.0.0", "2026-02-12T11:00:00Z"),
            release(202, "v1.1.0-rc1", "2026-02-13T11:00:00Z", prerelease=True),
            release(203, "v1.1.0", None),
        ],
        deployments=[
            deployment(
                301,
                "2026-02-12T10:01:30Z",
                [
                    ("in_progress", "2026-02-12T10:01:31Z"),
                    ("success", "2026-02-12T10:01:50Z"),
                    ("inactive", "2026-02-20T10:00:00Z"),
                ],
            ),
            deployment(302, "2026-02-13T10:01:30Z", [("failure", "2026-02-13T10:01:50Z")]),
            deployment(303, "2026-02-14T10:01:30Z", [("queued", "2026-02-14T10:01:31Z")], creator=None),
        ],
        issues=[
            issue(
                7,
                "2026-02-12T12:00:00Z",
                "2026-02-12T14:00:00Z",
                "incident",
                state="closed",
                state_reason="completed",
                closed_at="2026-02-12T14:00:00Z",
            ),
            issue(
                8,
                "2026-02-13T12:00:00Z",
                "2026-02-13T15:00:00Z",
                "support",
                said=[("2026-02-13T12:01:00Z", "helper[bot]"), ("2026-02-13T13:00:00Z", "reviewer")],
            ),
            issue(9, "2026-02-14T12:00:00Z", "2026-02-14T12:00:00Z", "support", user=None),
            issue(
                3,
                "2026-02-14T09:00:00Z",
                "2026-02-15T09:00:00Z",
                "support",
                pull_request=dict.fromkeys(("url", "html_url", "diff_url", "patch_url"), API),
            ),
        ],
    )
    repositories = [repository("acme/shop"), repository("acme/old", archived=True)]
    return World(held={"acme/shop": shop}, organisations={"acme": repositories}, most=2)


SETTINGS: dict[str, Any] = {
    "name": "sample",
    "type": "github",
    "organisations": ["acme"],
    "token": TOKEN,
    "commits": False,
    "own_deployments": True,
    "deployments": [{"pipeline": "Deploy", "job": "/deploy-(?P<environment>\\w+)/", "to": "{environment}"}],
    "releases": {"environment": "packages"},
    "issues": {"incidents": "incident", "tickets": ["support"]},
}


def configured(**more: Any) -> GitHubConfig:
    """The sample's settings, changed."""
    return GitHubConfig.model_validate({**SETTINGS, **more})


def sample(_folder: Path) -> Sample:
    """A small world and settings that read all of it."""
    return sample_of(configured(), serve(small_world()))


def bulk(items: int) -> Iterator[bytes]:
    """Pages of a list of runs, 100 to a page."""
    for start in range(0, items, 100):
        numbers = range(start, min(start + 100, items))
        runs = [run(number, "2026-02-12T10:01:00Z") for number in numbers]
        yield json.dumps({"total_count": items, "workflow_runs": runs}).encode()
