"""Backstage's catalogue as the services of Paceline's: what it names, who owns it, where its code is.

People are never read: an owner that is no group is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from collector.errors import ContractError
from collector.http import ApiClient
from collector.paging import by_offset
from collector.remotes import repository_of
from collector.systems.backstage.references import Reference, reference

_PAGE = 200
_MOST_PAGES = 10_000
_NOT_FOUND = 404
_SLUGS = ("github.com/project-slug", "gitlab.com/project-slug", "gitea.com/repo-slug")
_SOURCE = "backstage.io/source-location"
_NAMES = ("argocd/app-name", "backstage.io/kubernetes-id")
_IN_REPOSITORY = re.compile(r"(?P<address>.+?)/(?:-/)?(?:tree|blob|src/branch)/[^/]+/?(?P<path>.*)")
_OF_GLOBS = re.compile(r"[*?\[\]]")
_A_RULE = re.compile(r"[*?\[]|^/")
"""What an annotation says is a name; as a rule it would fit others."""
_FIELDS = "kind,metadata.name,metadata.namespace,metadata.annotations,spec"


class Metadata(msgspec.Struct):
    """What every entity is called, and what others know of it."""

    name: str
    namespace: str = "default"
    annotations: dict[str, str] = {}


class Entity(msgspec.Struct):
    """An entity of the catalogue."""

    kind: str
    metadata: Metadata
    spec: dict[str, Any] = {}

    @property
    def ref(self) -> Reference:
        """What others call it."""
        return Reference(self.kind, self.metadata.namespace, self.metadata.name).folded

    def refers(self, field: str, kind: str) -> Reference | None:
        """The entity that a field of its specification names."""
        value = self.spec.get(field)
        if not isinstance(value, str) or not value:
            return None
        return reference(value, kind=kind, namespace=self.metadata.namespace.lower()).folded


class _PageInfo(msgspec.Struct, frozen=True, rename="camel"):
    next_cursor: str | None = None


class _Found(msgspec.Struct, rename="camel"):
    items: list[Entity]
    page_info: _PageInfo = _PageInfo()


def entities(client: ApiClient, kind: str) -> Iterator[Entity]:
    """All entities of a kind, page by page; from a Backstage before 1.12 by the older list."""
    asked: dict[str, str | list[str]] = {"filter": f"kind={kind}", "fields": _FIELDS, "limit": str(_PAGE)}
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        answer = client.get("entities/by-query", asked, understood={_NOT_FOUND})
        if answer.status == _NOT_FOUND:
            yield from _older(client, kind)
            return
        found = answer.read(_Found)
        yield from found.items
        following = found.page_info.next_cursor
        if not following:
            return
        if following in seen:
            raise ContractError(f"{answer.asked}: its pages never end: one comes again as the next")
        seen.add(following)
        asked = {"cursor": following, "fields": _FIELDS, "limit": str(_PAGE)}  # the filter stands in the cursor
    raise ContractError("GET entities/by-query: its pages never end")


def _older(client: ApiClient, kind: str) -> Iterator[Entity]:
    asked = {"filter": f"kind={kind}", "fields": _FIELDS, "order": "asc:metadata.name"}
    for answer in by_offset(client, "entities", asked, lambda a: len(a.read(list[Entity])), size=_PAGE):
        found: list[Entity] = answer.read(list[Entity])
        yield from found


def services_of(components: Sequence[Entity], groups: Iterable[Entity]) -> list[dict[str, Any]]:
    """The services of a catalogue as a settings file holds them, by name.

    A component that is part of another is no service of its own: what it is called and where its code is, is said of
    the other one. The team is the path of the owning group below its parents.
    """
    by_ref = {c.ref: c for c in components}
    known = {g.ref: g for g in groups}
    parts: dict[Reference, list[Entity]] = {}
    for component in components:
        parts.setdefault(_root(component, by_ref), []).append(component)
    called = _names(components)
    free = Counter(name for c in components for name in {called[c.ref], *_annotated(c, _NAMES)})
    found = [_service(by_ref[root], members, called, known, free) for root, members in parts.items()]
    return sorted(found, key=lambda service: str(service["name"]))


def _root(component: Entity, by_ref: Mapping[Reference, Entity]) -> Reference:
    """The component that one is part of, however many levels above; itself where there is none, or a circle."""
    seen, here = {component.ref}, component
    while (above := here.refers("subcomponentOf", "component")) is not None and above in by_ref:
        if above in seen:
            return component.ref
        seen.add(above)
        here = by_ref[above]
    return here.ref


def _names(components: Iterable[Entity]) -> dict[Reference, str]:
    """What each is called: its name, with its namespace where two have one name."""
    known = list(components)
    count = Counter(c.metadata.name for c in known)
    return {
        c.ref: c.metadata.name if count[c.metadata.name] == 1 else f"{c.metadata.namespace}/{c.metadata.name}"
        for c in known
    }


def _service(
    root: Entity,
    members: Sequence[Entity],
    called: Mapping[Reference, str],
    groups: Mapping[Reference, Entity],
    free: Mapping[str, int],
) -> dict[str, Any]:
    places = [_place(member) for member in sorted(members, key=lambda m: m is not root)]
    owner = root.refers("owner", "group")
    group = groups.get(owner) if owner is not None else None
    names = [n for m in members for n in (*_annotated(m, _NAMES), *([] if m is root else [called[m.ref]]))]
    others = sorted({n for n in names if free[n] == 1 and n != called[root.ref] and not _A_RULE.search(n)})
    # Where one part is a whole repository, the paths of others would leave the rest of it out.
    whole = {repository for repository, path in places if not path}
    paths = [] if whole else sorted({f"{_OF_GLOBS.sub('?', path)}/*" for _, path in places if path})
    mail = _text(group.spec.get("profile"), "email") if group is not None else ""
    service = {
        "name": called[root.ref],
        "team": _team(group, groups, _names(groups.values())) if group is not None else "",
        "owner": mail,
        "deployed_as": others,
        "repositories": sorted({repository for repository, _ in places if repository}),
        "paths": paths,
    }
    return {key: value for key, value in service.items() if value}


def _team(group: Entity, groups: Mapping[Reference, Entity], called: Mapping[Reference, str]) -> str:
    """The path of a group below its parents: `/commerce/checkout`; empty where a name in it is an address."""
    path, seen = [called[group.ref]], {group.ref}
    while (above := group.refers("parent", "group")) is not None and above in groups and above not in seen:
        seen.add(above)
        group = groups[above]
        path.append(called[group.ref])
    return "" if any("@" in part for part in path) else "/" + "/".join(reversed(path))


def _place(component: Entity) -> tuple[str, str]:
    """The repository of a component, and its folder there; empty where unknown."""
    kind, _, location = next(iter(_annotated(component, [_SOURCE])), "").partition(":")
    plain = re.split(r"[?#]", location)[0] if kind == "url" else ""
    inside = _IN_REPOSITORY.fullmatch(plain)
    folder = inside["path"].strip("/") if inside else ""
    slug = next(iter(_annotated(component, _SLUGS)), "")
    address = inside["address"] if inside else plain.rstrip("/")
    return slug or (repository_of(address) or ""), folder


def _annotated(component: Entity, names: Iterable[str]) -> list[str]:
    """What the annotations of some names say."""
    return [value for name in names if (value := component.metadata.annotations.get(name, "").strip())]


def _text(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
