"""A small organisation whose every page has something to show, and its service on a port: for tests of pages."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute, iter_route_contexts

from paceline.web import create_app
from paceline.wiring import build, configuration

HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>&amp;'\""
NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
"""A Monday; the week before it is 2026-W10."""
PLACES: Mapping[str, str] = {
    "/weekly/{week}": "/weekly/2026-W10",
    "/slos/{name}": "/slos/hold",
    "/indicators/{name}": "/indicators/change_fail_rate?team=/commerce",
    "/explain/{indicator}": "/explain/change_fail_rate?service=shop",
}
"""Where to look at pages whose address has parts that vary."""
_DAYS = 40
_SETTINGS = f"""\
as_of: {NOW:%Y-%m-%dT%H:%M:%SZ}
logs: {{level: error}}
catalogue: services.yaml
slos: [slos.yaml]
sources:
  - {{type: files, name: events, path: events.jsonl, stale_after: 3650d}}
  - {{type: git, name: gone, repository: 'file:///nowhere/gone.git'}}
"""
_SERVICES = """\
services:
  - {name: shop, team: /commerce/shop}
  - {name: pay, team: /commerce/pay}
"""
_SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}, displayName: {title}}}
spec:
  description: {title}
  service: shop
  indicator:
    spec:
      ratioMetric:
        rawType: success
        raw: {{metricSource: {{type: Paceline, spec: {{indicator: {indicator}}}}}}}
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 28d, isRolling: true}}]
  objectives: [{{target: {target}}}]
"""
_SLOS = (
    {"name": "hostile", "title": json.dumps(HOSTILE), "indicator": "change_fail_rate", "target": "0.5"},
    {"name": "hold", "title": "Deployments hold", "indicator": "change_fail_rate", "target": "0.99"},
    {"name": "rework", "title": "Little is done twice", "indicator": "deployment_rework_rate", "target": "0.9"},
)


@dataclass(frozen=True)
class Site:
    """A service that answers. `places`: where to look at pages whose address has parts that vary, by the route."""

    url: str
    app: FastAPI
    places: Mapping[str, str]

    @property
    def pages(self) -> list[str]:
        """The addresses of all its pages, from its own routes: one with a varying part must be among `places`."""
        routes = [one.original_route for one in iter_route_contexts(self.app.routes)]
        shown = [
            r.path
            for r in routes
            if isinstance(r, APIRoute) and "GET" in (r.methods or ()) and r.response_class is HTMLResponse
        ]
        return [self.places[path] if "{" in path else path for path in shown]


@contextlib.contextmanager
def opened_site(folder: Path) -> Iterator[Site]:
    """The service of the small organisation, from files in a folder, with its numbers published."""
    (folder / "paceline.yaml").write_text(_SETTINGS, encoding="utf-8")
    (folder / "services.yaml").write_text(_SERVICES, encoding="utf-8")
    (folder / "slos.yaml").write_text("---\n".join(map(_slo, _SLOS)), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(r) + "\n" for r in _records()), encoding="utf-8")
    with site_of(folder / "paceline.yaml", PLACES) as found:
        yield found


@contextlib.contextmanager
def site_of(settings: Path, places: Mapping[str, str]) -> Iterator[Site]:
    """The service of settings, with everything collected and its numbers published."""
    running = build(configuration(settings, {}, settings.parent), environ={})
    with contextlib.closing(running):
        for source in running.service.configuration.sources:
            running.service.collect(source)
        running.service.refresh()
        app = create_app(running.service)
        with served(app) as url:
            yield Site(url, app, places)


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """An app on a free port of the loopback; its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _slo(values: Mapping[str, str]) -> str:
    return _SLO.format(**values)


def _records() -> Iterator[dict[str, Any]]:
    """A deployment a day of each service, every seventh with an incident; requests, tickets and runs beside them."""
    for day in range(_DAYS):
        at = NOW - timedelta(days=day, hours=2)
        for service in ("shop", "pay", HOSTILE):
            yield {
                "kind": "deployment",
                "native_id": f"{service}-{day}",
                "service": service,
                "environment": "production",
                "finished_at": _text(at),
                "result": "success",
                "version": HOSTILE,
                "url": f"https://ci.example.com/{day}",
            }
        if day % 7 == 2:
            yield _incident(day, at + timedelta(hours=1))


def _incident(day: int, at: datetime) -> dict[str, Any]:
    return {
        "kind": "incident",
        "native_id": f"incident-{day}",
        "service": "shop",
        "environment": "production",
        "state": "resolved",
        "started_at": _text(at),
        "restored_at": _text(at + timedelta(hours=1)),
        "title": HOSTILE,
        "url": f"https://pager.example.com/{day}",
    }


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
