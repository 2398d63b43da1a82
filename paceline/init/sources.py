"""What was found and chosen, as settings: sources with their rules, and the services of a catalogue."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector.repositories import is_url, repository_name
from paceline.init.forges import Listing, Owner
from paceline.init.proposals import NOTHING, IncidentProposal, Proposal, exactly
from paceline.init.repositories import App, RepositoryFound, service_name

_LONGEST_NAME = 48
_USUAL = "production"
"""The environment that is production where nobody says otherwise."""
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A repository or the repositories of an owner, with what was proposed and what was chosen of it.

    `owner` is the forge that is asked, with `listing` where all repositories of an owner are read. `authorised`: the
    clone of a URL needs the forge's token.
    """

    repository: RepositoryFound | None = None
    owner: Owner | None = None
    listing: Listing | None = None
    authorised: bool = False
    proposals: tuple[Proposal, ...] = (NOTHING,)
    chosen: Proposal = NOTHING
    incidents: IncidentProposal | None = None
    takes_incidents: bool = False
    not_asked: str = ""
    """Why its forge was not asked, in a sentence."""

    @property
    def repositories(self) -> tuple[str, ...]:
        """The repositories that are read, as forges call them."""
        if self.repository is not None:
            return (self.repository.name,)
        return self.listing.read if self.listing else ()

    @property
    def apps(self) -> tuple[App, ...]:
        """The apps that are services of their own: those of which the chosen rule can tell deployments apart."""
        return self.repository.apps if self.repository and self.chosen.by_app else ()


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A source as it will be written. `notes` stand above it, or above one of its settings."""

    settings: Mapping[str, Any]
    above: tuple[str, ...] = ()
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that will be written but the SLOs. `production`: environments, where not only `production` is it."""

    sources: tuple[Planned, ...]
    services: tuple[Mapping[str, Any], ...] = ()
    production: tuple[str, ...] = ()


def facts(subject: Subject) -> tuple[str, ...]:
    """What was seen, in sentences: names of branches, files and repositories, and counts."""
    own = _about_repository(subject.repository) if subject.repository else ()
    own += (subject.not_asked,) if subject.not_asked else ()
    return (*own, *(_about_listing(subject.owner, subject.listing) if subject.owner and subject.listing else ()))


def plan_of(subjects: Sequence[Subject], base_dir: Path) -> Plan:
    """The settings of what was chosen; paths are written as seen from the folder of the settings."""
    names = _Names()
    named = [e for s in subjects for e in s.chosen.production]
    usual = [_USUAL for s in subjects if s.chosen != NOTHING and not s.chosen.production]
    services = tuple(_services(subjects))
    return Plan(
        sources=tuple(planned for s in subjects for planned in _sources(s, base_dir, names)),
        services=services if len(services) > 1 else (),
        production=tuple(dict.fromkeys(exactly(e) for e in (*named, *usual))) if set(named) - {_USUAL} else (),
    )


class _Names:
    """Names of sources, each once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def new(self, wanted: str) -> str:
        """A name as sources may have it, with a number where it is taken."""
        plain = re.sub(r"[^a-z0-9_.-]+", "-", wanted.lower()).strip("-._")[:_LONGEST_NAME] or "source"
        name, number = plain, 2
        while name in self._used:
            name, number = f"{plain}-{number}", number + 1
        self._used.add(name)
        return name


def _sources(subject: Subject, base_dir: Path, names: _Names) -> Iterator[Planned]:
    if subject.repository is not None:
        yield from _of_repository(subject, subject.repository, base_dir, names)
    if subject.owner is not None:
        yield _of_forge(subject, subject.owner, names)


def _of_repository(subject: Subject, found: RepositoryFound, base_dir: Path, names: _Names) -> Iterator[Planned]:
    """The repository itself: once, or for each app with deployments of its own."""
    place = found.place if is_url(found.place) else os.path.relpath(found.place, base_dir)
    own = {"repository_name": found.name} if found.name != repository_name(found.place) else {}
    token = {"token": f"${{{subject.owner.kind.variable}}}"} if subject.owner and subject.authorised else {}
    common = {"repository": place, **own, **token}
    above = _about_repository(found)
    rules: list[tuple[App | None, Mapping[str, Any]]] = [*subject.chosen.by_app.items()]
    for number, (app, rule) in enumerate(rules or [(None, subject.chosen.repository)]):
        name = names.new(app.name if app else found.name.rpartition("/")[2])
        more = {"service": app.name, "paths": True} if app else {}
        yield Planned(
            settings={"type": "git", "name": name, **common, **more, **rule},
            above=above if number == 0 else (),
            notes=_why(subject) if number == 0 and not subject.chosen.forge else {},
        )


def _about_repository(found: RepositoryFound) -> tuple[str, ...]:
    """What was seen in a repository: names and counts."""
    tags = len(found.releases) + len(found.other_tags)
    kinds = sorted({kind for _, kind in found.ci})
    seen = [f"{found.name}: default branch {found.branch or 'unknown'}, branches: {found.branches}, tags: {tags}."]
    if found.ci:
        files = ", ".join(file for file, _ in found.ci[:_SHOWN])
        more = f" and {len(found.ci) - _SHOWN} more" if len(found.ci) > _SHOWN else ""
        pages = ", ".join(f"docs/sources/{kind}.md" for kind in kinds)
        seen.append(f"It is built by {files}{more}; how runs are read: {pages}.")
    return tuple(seen)


def _of_forge(subject: Subject, owner: Owner, names: _Names) -> Planned:
    listing, rule = subject.listing, subject.chosen
    in_place = subject.repository is not None
    settings: dict[str, Any] = {"type": owner.kind.type, "name": names.new(owner.kind.type)}
    settings |= {k: v for k, v in owner.settings.items() if k != "type"}
    if listing is not None and not listing.beyond:
        settings |= {"organisations": [owner.name], **({"exclude": list(listing.forks)} if listing.forks else {})}
    else:
        settings["repositories"] = list(subject.repositories)
    notes = _why(subject) if rule.forge or not in_place else {}
    if in_place:
        settings["commits"] = False
        notes["commits"] = ("The repository above gives the commits.",)
    settings |= rule.forge
    if not rule.forge and (in_place or subject.proposals[0] != NOTHING):
        settings["own_deployments"] = False
        notes["own_deployments"] = ("Only what was chosen counts, and nothing twice.",)
    above = _about_listing(owner, listing) if listing else ()
    if (incidents := subject.incidents) is not None:
        if subject.takes_incidents and incidents.labels:
            settings["issues"] = {"incidents": [exactly(label) for label in incidents.labels]}
            notes["issues"] = (f"Incidents: {incidents.text}.",)
        else:
            above = (*above, f"Incidents: {incidents.text}; none are read. `issues` would say which are.")
    return Planned(settings=settings, above=above, notes=notes)


def _about_listing(owner: Owner, listing: Listing) -> tuple[str, ...]:
    """How many repositories are read, and what was left out of them."""
    left = [
        f"{len(names)} {why} ({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"
        for names, why in (
            (listing.archived, "archived"),
            (listing.forks, "forks"),
            (listing.beyond, "used longer ago than these"),
        )
        if names
    ]
    if listing.unusable:
        left.append(f"{listing.unusable} that the forge showed in another shape than documented")
    out = f" Left out: {'; '.join(left)}." if left else ""
    return (f"{owner.name} at {owner.kind.system}: {len(listing.read)} repositories.{out}",)


def _why(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Above the rule what was chosen and why, and what else there was."""
    chosen = subject.chosen
    lines = [f"Deployments: {chosen.text}. Why: {chosen.reason}."]
    lines += [f"Not taken: {p.text}." for p in subject.proposals if p not in (chosen, NOTHING)]
    settings = chosen.forge or chosen.repository or next(iter(chosen.by_app.values()), {})
    return {next(iter(settings), "type"): tuple(lines)}


def _services(subjects: Sequence[Subject]) -> Iterator[Mapping[str, Any]]:
    """A service for each app, else for each repository; what deployments call the same is one service."""
    found: dict[str, dict[str, Any]] = {}
    for subject in subjects:
        for app in subject.apps:
            entry = found.setdefault(app.name, {"repositories": [], "paths": [], "sign": app.sign})
            entry["repositories"] += map(exactly, subject.repositories)
            entry.setdefault("paths", []).append(_within(app.path))
        for repository in () if subject.apps else subject.repositories:
            called = repository.rpartition("/")[2]
            entry = found.setdefault(service_name(called), {"repositories": []})
            entry["repositories"].append(exactly(repository))
            if called != service_name(called):
                entry["deployed_as"] = [exactly(called)]
    yield from ({"name": name, **entry} for name, entry in found.items())


def _within(folder: str) -> str:
    """The rule for everything in a folder, also where its name reads as a glob."""
    return f"{folder}/*" if exactly(folder) == folder else f"/{re.escape(folder)}/.*/"
