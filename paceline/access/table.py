"""The one table of who may ask for what: every route of the service stands in it, and what does not is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, compile_path

from paceline.access.caller import Caller, Role
from paceline.access.settings import Scope


class Door(StrEnum):
    """How a route is guarded, and which limit it falls under."""

    PUBLIC = "public"
    """Everybody may; who is not known is told less."""
    LOOK = "look"
    """A role or a scope is needed."""
    SCRAPE = "scrape"
    """Likewise, unless the settings open it."""
    SIGNED = "signed"
    """What is sent is signed or carries a secret of its own, which the route checks."""
    SIGN_IN = "sign in"
    """Everybody may, seldom."""
    CLOSED = "closed"
    """Nobody may."""


@dataclass(frozen=True)
class Need:
    """What a route asks of who asks for it: the least role, or one of the scopes."""

    door: Door
    role: Role = Role.NOBODY
    scopes: frozenset[Scope] = frozenset()

    def is_met_by(self, caller: Caller) -> bool:
        """Whether somebody may."""
        return self.door is not Door.CLOSED and (caller.role >= self.role or bool(self.scopes & caller.scopes))


_READ = frozenset({Scope.READ, Scope.OPERATE})
_PUBLIC = Need(Door.PUBLIC)
_VIEW = Need(Door.LOOK, Role.VIEWER, _READ)
_OPERATE = Need(Door.LOOK, Role.OPERATOR, frozenset({Scope.OPERATE}))
_SIGN_IN = Need(Door.SIGN_IN)
_SIGNED = Need(Door.SIGNED)

ROUTES: Mapping[str, Need] = {
    "GET /healthz": _PUBLIC,
    "GET /readyz": _PUBLIC,
    "GET /static/{name}": _PUBLIC,
    "GET /account": _PUBLIC,
    "POST /account/sign-out": _PUBLIC,
    "GET /account/sign-in": _SIGN_IN,
    "GET /account/signed-in": _SIGN_IN,
    "GET /metrics": Need(Door.SCRAPE, Role.VIEWER, frozenset({Scope.METRICS})),
    "GET /openapi.json": _VIEW,
    "GET /": _VIEW,
    "GET /slos": _VIEW,
    "GET /slos/{name}": _VIEW,
    "GET /slos/{name}/explain": _VIEW,
    "GET /indicators": _VIEW,
    "GET /indicators/{name}": _VIEW,
    "GET /weekly": _VIEW,
    "GET /weekly/{week}": _VIEW,
    "GET /sources": _VIEW,
    "GET /definitions": _VIEW,
    "GET /explain/{indicator}": _VIEW,
    "GET /api/v1/explain/{indicator}": _VIEW,
    "GET /api/v1/slos": _VIEW,
    "GET /api/v1/slos/{name}/history": _VIEW,
    "GET /api/v1/restatements": _VIEW,
    "GET /api/v1/gate": Need(Door.LOOK, Role.VIEWER, _READ | {Scope.GATE}),
    "GET /api/v1/annotations": Need(Door.LOOK, Role.VIEWER, _READ | {Scope.ANNOTATIONS}),
    "GET /api/v1/deliveries": _OPERATE,
    "GET /api/v1/audit": _OPERATE,
    "GET /webhooks": _OPERATE,
    "POST /webhooks/{source}": _SIGNED,
    "POST /webhooks/alertmanager": _SIGNED,
}
"""What each route needs. HEAD is as GET."""
UNKNOWN = Need(Door.LOOK, Role.VIEWER, _READ)
"""What is needed to be told that there is no such address, or that it takes no such method."""
_CLOSED = Need(Door.CLOSED)


class Table:
    """What a request needs, by the routes that an app has: matched as its router matches them, the first that fits."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = [
            (compile_path(path)[0], method, ROUTES.get(f"{method} {path}")) for method, path in listed(routes)
        ]

    def need(self, method: str, path: str) -> Need:
        """What asking for a path by a method needs."""
        asked = "GET" if method == "HEAD" else method
        for fits, known, need in self._routes:
            if known in {asked, "*"} and fits.match(path):
                return need or _CLOSED
        return UNKNOWN


def listed(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of all routes of an app; those without methods are `*`."""
    for route in iter_route_contexts(list(routes)):
        for method in sorted({"GET" if m == "HEAD" else m for m in route.methods or {"*"}}):
            yield method, str(route.path)


def unlisted(routes: Iterable[BaseRoute]) -> list[str]:
    """The routes that the table does not have: nobody decided who may ask for them."""
    return sorted({name for method, path in listed(routes) if (name := f"{method} {path}") not in ROUTES})
