"""A stand-in for Argo CD: the list with its own choice of fields, applications one by one, refusals in its words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from replay import Provider, Reply, Request, Sample, sample_of

from collector.sources.argocd import ArgoCdConfig

BASE = "https://argocd.example.com/argo"
TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
START = datetime(2026, 2, 1, 8, 0, tzinfo=UTC)
GIT = "https://git.example.com/acme/deploy.git"
CHARTS = "https://charts.example.com"
SELECTABLE = (
    *("metadata.name", "metadata.namespace", "metadata.annotations", "metadata.labels", "metadata.creationTimestamp"),
    *("spec", "status.sourceHydrator", "status.sync.status", "status.health", "status.summary", "status.resources"),
    *("status.operationState.startedAt", "status.operationState.finishedAt", "status.operationState.phase"),
)
"""What the list hands out where fields are chosen: no history, and no uid."""


def sha(number: int) -> str:
    """A commit id."""
    return f"{number:040x}"


def at(minutes: float) -> str:
    """A time as Argo CD writes it, so long after the start of the world."""
    return (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_git(path: str = "shop/prod", wanted: str = "HEAD", **fields: Any) -> dict[str, Any]:
    """A source in Git."""
    return {"repoURL": GIT, "path": path, "targetRevision": wanted, **fields}


def by(user: str | None) -> dict[str, Any]:
    """Who began a sync; Argo CD itself where nobody did."""
    return {"automated": True} if user is None else {"username": user}


def entry(
    number: int,
    minutes: float,
    revision: str | Sequence[str],
    *,
    user: str | None = PLANTED_LOGIN,
    source: Any = None,
    lasted: float = 2,
) -> dict[str, Any]:
    """A sync in a history, as it ended so many minutes after the start."""
    made = {"id": number, "deployStartedAt": at(minutes - lasted), "deployedAt": at(minutes), "initiatedBy": by(user)}
    if isinstance(revision, str):
        return {**made, "revision": revision, "source": source or in_git()}
    return {**made, "revisions": list(revision), "source": {"repoURL": ""}, "sources": source}


def operation(
    phase: str, minutes: float, *, revision: str = sha(1), user: str | None = PLANTED_LOGIN, **fields: Any
) -> dict[str, Any]:
    """The last operation, which began two minutes before; one that runs has no end."""
    sync = {"revision": revision, "syncStrategy": {"hook": {}}, **fields.pop("sync", {})}
    found = {
        "operation": {"initiatedBy": by(user), "retry": {"limit": 5}, "sync": sync},
        "phase": phase,
        "message": "successfully synced (all tasks run)",
        "startedAt": at(minutes - 2),
        "syncResult": {"revision": revision, "source": in_git(), "resources": []},
    }
    return found | ({} if phase in {"Running", "Terminating"} else {"finishedAt": at(minutes)}) | fields


def application(name: str, *history: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """An application. Its last operation is the history's last unless given."""
    last = history[-1]["deployedAt"] if history else None
    done = operation("Succeeded", 0) | {"startedAt": last, "finishedAt": last} if last else None
    spec = {
        "destination": {"server": "https://kubernetes.default.svc", "namespace": fields.pop("namespace", name)},
        "project": fields.pop("project", "shop"),
        "source": in_git(),
        "info": [{"name": "owner", "value": f"{PLANTED_NAME} <{PLANTED_MAIL}>"}],
        "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
    }
    status = {
        "health": {"status": "Healthy", "lastTransitionTime": at(0)},
        "history": list(history),
        "operationState": fields.pop("operation", done),
        "reconciledAt": at(1),
        "resources": [{"kind": "Deployment", "name": name, "namespace": name, "status": "Synced", "version": "v1"}],
        "sourceType": "Kustomize",
        "summary": {"images": [f"registry.example.com/{name}:1"]},
        "sync": {"status": "Synced", "revision": sha(1)},
    }
    metadata = {
        "name": name,
        "namespace": "argocd",
        "uid": f"uid-of-{name}",
        "creationTimestamp": at(-60 * 24),
        "generation": 7,
        "labels": {"env": "production"},
        "annotations": {"owner": PLANTED_MAIL},
    }
    return {
        "metadata": {**metadata, **fields.pop("metadata", {})},
        "spec": {**spec, **fields.pop("spec", {})},
        "status": {**status, **fields.pop("status", {})},
    }


@dataclass
class World:
    """What a server holds."""

    apps: list[dict[str, Any]] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    """Names of applications that the list shows and that may not be read."""


def small_world() -> World:
    """Applications of two projects: a rollback, a repair of drift, a chart with values, failures, one that runs."""
    chart = [
        {"repoURL": CHARTS, "chart": "ingress", "targetRevision": "4.*", "helm": {"valueFiles": ["$values/prod.yaml"]}},
        {"repoURL": GIT, "ref": "values", "targetRevision": "main"},
    ]
    shop = [
        entry(7, 60, sha(1)),
        entry(8, 120, sha(2), user=None),
        entry(9, 180, sha(2), user=None),
        entry(10, 240, sha(1), user=PLANTED_MAIL),
    ]
    return World(
        [
            application("shop", *shop),
            application("basket", entry(0, 90, sha(3)), operation=operation("Failed", 100, revision=sha(4))),
            application("ingress", entry(3, 30, ("4.1.0", sha(5)), source=chart), project="platform", namespace=""),
            application("queue", operation=operation("Running", 400), project="platform"),
            application("fresh", project="platform", operation=None, status={"health": {"status": "Perplexed"}}),
            application("odd", entry(1, 20, sha(6)), operation=operation("Dreaming", 20), project="platform"),
        ]
    )


def server(world: World) -> Provider:
    """A server that answers from a world. It has no ETags and no pages."""
    provider = Provider(BASE, with_etags=False)

    @provider.route("api/v1/applications")
    def listed(asked: Request) -> Reply:
        projects = asked.query.get("projects", ())
        found = [app for app in world.apps if not projects or app["spec"]["project"] in projects]
        chosen = [name.removeprefix("items.") for name in asked.one("fields").split(",") if name]
        items = [_chosen(app, chosen) if chosen else app for app in found]
        return Reply({"metadata": {"resourceVersion": "4711"}, "items": items})

    @provider.route("api/v1/applications/(?P<name>[^/]+)")
    def one(asked: Request, name: str) -> Reply:
        namespace = asked.one("appNamespace", "argocd")
        for app in world.apps:
            if (app["metadata"]["name"], app["metadata"]["namespace"]) == (
                name,
                namespace,
            ) and name not in world.hidden:
                return Reply(app)
        return Reply({"error": "permission denied", "code": 7, "message": "permission denied"}, status=403)

    return provider


def _chosen(app: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in fields:
        assert name in SELECTABLE, f"{name} would be left out"
        *path, last = name.split(".")
        value: Any = app
        for part in (*path, last):
            value = (value or {}).get(part)
        into = found
        for part in path:
            into = into.setdefault(part, {})
        if value is not None:
            into[last] = value
    return found


def config(**settings: Any) -> ArgoCdConfig:
    """Settings for the stand-in."""
    return ArgoCdConfig.model_validate({"name": "sample", "type": "argocd", "url": BASE, "token": TOKEN, **settings})


def sample(folder: Path) -> Sample:
    """The small world, project by project."""
    del folder
    return sample_of(config(projects=["shop", "platform"], incidents_from_health=True), server(small_world()))


def bulk(items: int) -> Iterator[bytes]:
    """Bodies of applications whose histories together hold so many syncs."""
    for start in range(0, items, 10):
        history = [entry(n, n, sha(n)) for n in range(start, min(start + 10, items))]
        yield json.dumps(application("shop", *history)).encode()
