"""A stand-in for a Backstage: its scaffolder's tasks with what happened in them, and its catalogue.

Tasks come the newest first, by `limit`, `offset` and `status`; an older one knows none of these and hands
out all of them. The catalogue hands out pages by a cursor that holds the filter; the older one only `entities`.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.backstage import BackstageConfig

BASE = "https://backstage.example.com"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
START = datetime(2026, 2, 16, tzinfo=UTC)
_ENDS = {"completed": "Run completed", "failed": "Run failed", "cancelled": "Run cancelled"}


def written(minutes: float) -> str:
    """Minutes after the start, as Backstage writes a time."""
    return (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass
class World:
    """What a Backstage holds. `old`: one that knows no pages, filters or cursors."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    entities: list[dict[str, Any]] = field(default_factory=list)
    old: bool = False

    def task(
        self, minutes: float, status: str = "completed", *, ended: float | None = None, template: str = "new-service"
    ) -> dict[str, Any]:
        """A run of a template, which was started some minutes after the start."""
        known = f"task-{len(self.tasks) + 1:04}"
        user = {"kind": "User", "metadata": {"name": PLANTED_LOGIN}, "spec": {"profile": {"email": PLANTED_MAIL}}}
        steps = [{"id": "fetch", "action": "fetch:template"}, {"id": "publish", "action": "publish:github"}]
        spec = {
            "apiVersion": "scaffolder.backstage.io/v1beta3",
            "parameters": {"name": f"shop-{len(self.tasks) + 1}", "owner": "group:default/checkout"},
            "steps": [{**step, "name": f"for {PLANTED_NAME}", "input": {}} for step in steps],
            "output": {},
            "user": {"ref": f"user:default/{PLANTED_LOGIN}", "entity": user},
            "templateInfo": {"entityRef": f"template:default/{template}", "baseUrl": "https://git.example.com"},
        }
        who = {"createdBy": f"user:default/{PLANTED_LOGIN}", "lastHeartbeatAt": written(minutes + 1)}
        self.tasks.append({"id": known, "spec": spec, "status": status, "createdAt": written(minutes), **who})
        self.events[known] = []
        if status in _ENDS:
            self.happens(known, "completion", minutes + 5 if ended is None else ended, _ENDS[status])
        return self.tasks[-1]

    def happens(self, task: str, kind: str, minutes: float, message: str, **body: str) -> None:
        """Something happens in a task."""
        held = self.events[task]
        told = {"message": f"{message} by {PLANTED_NAME}", **body}
        held.append({"id": len(held) + 1, "taskId": task, "body": told, "type": kind, "createdAt": written(minutes)})

    def end(self, task: dict[str, Any], minutes: float, status: str) -> None:
        """A task that ran has ended."""
        task["status"] = status
        self.happens(task["id"], "completion", minutes, _ENDS[status])

    def entity(self, kind: str, name: str, namespace: str = "default", **parts: Any) -> dict[str, Any]:
        """An entity of the catalogue: `annotations`, and what its specification holds."""
        metadata = {"name": name, "namespace": namespace, "annotations": parts.pop("annotations", {})}
        self.entities.append({"apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": parts})
        return self.entities[-1]


def provider(world: World) -> Provider:
    """The backend of a Backstage."""
    api = Provider(f"{BASE}/api", token=TOKEN, with_etags=False)

    @api.route("scaffolder/v2/tasks")
    def tasks(asked: Request) -> Reply:
        rows = sorted(world.tasks, key=lambda t: str(t["createdAt"]), reverse=True)
        if world.old:
            return Reply({"tasks": rows})
        wanted = asked.query.get("status", ())
        rows = [t for t in rows if not wanted or t["status"] in wanted]
        start = asked.number("offset", 0)
        return Reply({"tasks": rows[start : start + asked.number("limit", len(rows))], "totalTasks": len(rows)})

    @api.route("scaffolder/v2/tasks/(?P<known>[^/]+)")
    def task(_: Request, known: str) -> Reply:
        found = next((t for t in world.tasks if t["id"] == known), None)
        return Reply({"error": {"name": "NotFoundError"}}, status=404) if found is None else Reply(found)

    @api.route("scaffolder/v2/tasks/(?P<known>[^/]+)/events")
    def events(_: Request, known: str) -> Reply:
        return Reply(world.events[known])

    @api.route("catalog/entities/by-query")
    def by_query(asked: Request) -> Reply:
        if world.old:
            return Reply({"error": {"name": "NotFoundError"}}, status=404)
        place = json.loads(b64decode(asked.one("cursor"))) if "cursor" in asked.query else {"start": 0}
        kind, start = place.get("kind") or asked.one("filter").removeprefix("kind="), place["start"]
        assert ("cursor" in asked.query) != ("filter" in asked.query)
        rows = [e for e in world.entities if e["kind"].lower() == kind]
        end = start + asked.number("limit", 20)
        following = b64encode(json.dumps({"kind": kind, "start": end}).encode()).decode()
        return Reply({"items": rows[start:end], "pageInfo": {"nextCursor": following} if end < len(rows) else {}})

    @api.route("catalog/entities")
    def entities(asked: Request) -> Reply:
        rows = [e for e in world.entities if e["kind"].lower() == asked.one("filter").removeprefix("kind=")]
        return Reply(rows[asked.number("offset", 0) :][: asked.number("limit", len(rows))])

    return api


def world() -> World:
    """Some tasks, of each status that there is."""
    made = World()
    for number, status in enumerate(("completed", "failed", "cancelled", "processing", "open", "completed")):
        made.task(number * 10, status)
    return made


def config(**settings: Any) -> BackstageConfig:
    """The settings of a Backstage."""
    fields = {"name": "portal", "type": "backstage", "url": BASE, "token": TOKEN, **settings}
    return BackstageConfig.model_validate(fields)


def sample(folder: Path) -> Sample:
    """A Backstage with some tasks."""
    del folder
    return sample_of(config(name="sample"), provider(world()))
