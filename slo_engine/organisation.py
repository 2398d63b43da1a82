"""Who owns what, and by which rules delivery is judged: the configuration's answer, as pure data.

Events name services, environments, pipelines and components as their sources do. The catalogue says what these are;
what it does not know keeps the name it came with, and is counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cached_property
from typing import TypeVar
from zoneinfo import ZoneInfo

from collector.patterns import Pattern, any_matches, patterns
from slo_engine.calendars import WorkCalendar
from slo_engine.identities import Identities
from slo_engine.options import Options

_DAY = timedelta(hours=24)
Own = TypeVar("Own", bound=Options)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service of the catalogue. Empty rules say nothing about a kind of name.

    `deployed_as`: what deployments call it, its own name among them. `paths`: in a shared repository, the paths whose
    changes are its own. `production`: its production environments, where they differ from the organisation's.
    `cadence`: how many successful production deployments a week with work waiting is promised.
    """

    name: str
    team: str = ""
    tier: str = ""
    owner: str = ""
    deployed_as: tuple[Pattern, ...] = ()
    repositories: tuple[Pattern, ...] = ()
    paths: tuple[Pattern, ...] = ()
    production: tuple[Pattern, ...] = ()
    pipelines: tuple[Pattern, ...] = ()
    components: tuple[Pattern, ...] = ()
    cadence: int = 1


SERVICE_RULES = ("deployed_as", "repositories", "paths", "production", "pipelines", "components")
"""The kinds of rules of a service."""


@dataclass(frozen=True, kw_only=True)
class DeliveryRules:
    """The options of definitions.md §2, with its defaults.

    `hotfix_*`: a branch, label, tag or version that marks a hotfix. `failed_rollouts`: whether a roll-out that never
    served counts in the change fail rate. `bots`: whether changes written by bots count.
    """

    attribution_lag: timedelta = _DAY
    incident_window: timedelta = _DAY
    hotfix_branches: tuple[Pattern, ...] = patterns(("hotfix", "hotfix/*", "hotfix-*"))
    hotfix_labels: tuple[Pattern, ...] = patterns(("hotfix",))
    hotfix_tags: tuple[Pattern, ...] = ()
    failed_rollouts: bool = False
    bots: bool = True


@dataclass(frozen=True, kw_only=True)
class Organisation:
    """Zone, catalogue, environments and rules: all that judging depends on beside the events.

    `production`: which environments are production. `judged`: which others are judged like it; of all others only
    the deployments are counted. `smallest_group`: numbers about fewer people are withheld; never below 3.
    """

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    services: tuple[Service, ...] = ()
    production: tuple[Pattern, ...] = patterns(("production",))
    judged: tuple[Pattern, ...] = ()
    delivery: DeliveryRules = field(default_factory=DeliveryRules)
    calendars: Mapping[str, WorkCalendar] = field(default_factory=dict)
    platform_teams: tuple[Pattern, ...] = ()
    identities: Identities = field(default_factory=Identities)
    options: tuple[Options, ...] = ()
    smallest_group: int = 5

    def calendar(self, name: str | None) -> WorkCalendar:
        """The calendar of a site or queue; one that nobody describes works Monday to Friday, 9 to 17, in the zone."""
        return self.calendars.get(name or "") or self._usual

    @cached_property
    def _usual(self) -> WorkCalendar:
        return self.calendars.get("default") or WorkCalendar(zone=self.zone)

    def options_of(self, kind: type[Own]) -> Own:
        """What was set of a family's options; its defaults where nothing was."""
        return next((o for o in self.options if isinstance(o, kind)), None) or kind()

    def is_platform(self, team: str | None) -> bool:
        """Whether a team builds the platform: by its whole path, or that of a level above."""
        if team is None or not self.platform_teams:
            return False
        return any(any_matches(self.platform_teams, one) for one in (team, *levels(team)))

    @cached_property
    def _beside(self) -> tuple[object, ...]:
        """What families with options depend on beside them."""
        calendars = {n: str(c) for n, c in sorted(self.calendars.items())}
        own = sorted(s.name for s in self.services if self.is_platform(s.team or None))
        return calendars, _texts(self.platform_teams), own

    def version_for(self, options: type[Options] | None) -> str:
        """Changes with anything that judging by some options depends on."""
        if options is None:
            return self.version
        text = repr((self.version, (self.options_of(options), *self._beside)))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @cached_property
    def version(self) -> str:
        """Changes with anything that judging depends on; a move to another team is not among it."""
        judged = sorted(
            [s.name, s.cadence, *(_texts(getattr(s, rule)) for rule in SERVICE_RULES)] for s in self.services
        )
        options = sorted((f.name, getattr(self.delivery, f.name)) for f in fields(self.delivery))
        written = [(name, _texts(value) if isinstance(value, tuple) else str(value)) for name, value in options]
        rules = (_texts(self.production), _texts(self.judged), written, self.identities.version)
        text = repr((self.zone.key, judged, *rules))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, Service]:
        return {s.name: s for s in self.services}

    def service(self, name: str) -> Service | None:
        """The catalogue's entry of a service, None where it has none."""
        return self._by_name.get(name)

    @cached_property
    def _rules(self) -> dict[str, _Rules]:
        """The rules of all services by kind."""
        return {kind: _Rules.of(self.services, kind) for kind in SERVICE_RULES}

    def deployed(self, name: str) -> str | None:
        """The service that deployments call by a name; None where no rule, or more than one, says."""
        return self._rules["deployed_as"].owner(name)

    def component(self, name: str) -> str | None:
        """The service that a tracker calls by a name: a component rule, else what deployments call it."""
        return self._rules["components"].owner(name) or self.deployed(name)

    def of_repository(self, repository: str) -> tuple[str, ...]:
        """The services that a repository's changes may belong to, by name."""
        return self._rules["repositories"].owners(repository)

    def of_run(self, repository: str, pipeline: str) -> str | None:
        """The service of a pipeline: by a pipeline rule, narrowed by the repository, else by the repository alone.

        A pipeline's name is one repository's: services of other repositories do not claim it.
        """
        owners = self.of_repository(repository)
        if repository not in self._pipelines:
            near = [s for s in self.services if s.pipelines and (not s.repositories or s.name in owners)]
            self._pipelines[repository] = _Rules.of(near, "pipelines")
        if found := self._pipelines[repository].owner(pipeline):
            return found
        return owners[0] if len(owners) == 1 else None

    @cached_property
    def _pipelines(self) -> dict[str, _Rules]:
        """The pipeline rules that count in a repository, as they were asked for."""
        return {}

    def is_production(self, service: str, environment: str) -> bool:
        """True where an environment is production, by the service's own rules or else the organisation's."""
        entry = self.service(service)
        return any_matches((entry.production if entry else ()) or self.production, environment)

    def is_judged(self, service: str, environment: str) -> bool:
        """True where more than the frequency of deployments is asked of an environment: production, unless said."""
        return any_matches(self.judged, environment) or self.is_production(service, environment)

    @property
    def default_environment(self) -> str:
        """What production is called where nobody says: the first exact rule."""
        return next((p.text for p in self.production if p.rank == 0), "production")

    def team(self, service: str) -> str:
        """The team of a service as a path, empty where unknown."""
        entry = self.service(service)
        return entry.team if entry else ""


def levels(team: str) -> tuple[str, ...]:
    """The levels a team belongs to, the whole organisation first: `/`, `/commerce`, `/commerce/checkout`."""
    parts = [p for p in team.split("/") if p]
    return ("/", *("/" + "/".join(parts[: i + 1]) for i in range(len(parts)))) if parts else ()


def unmatched(
    organisation: Organisation,
    *,
    deployments: Iterable[str] = (),
    components: Iterable[str] = (),
    runs: Iterable[tuple[str, str]] = (),
) -> dict[str, tuple[str, ...]]:
    """What events name and the catalogue does not know, or knows twice: by kind, sorted, each name once.

    The kinds are `deployment` (service names), `component` and `pipeline` (of (repository, pipeline) pairs, as
    `repository: pipeline`); a kind without any is absent. Nothing is unmatched where there is no catalogue.
    """
    if not organisation.services:
        return {}
    found = {
        "deployment": {name for name in deployments if organisation.deployed(name) is None},
        "component": {name for name in components if organisation.component(name) is None},
        "pipeline": {f"{where}: {name}" for where, name in runs if organisation.of_run(where, name) is None},
    }
    return {kind: tuple(sorted(names)) for kind, names in found.items() if names}


def _texts(rules: Iterable[Pattern]) -> list[str]:
    """Rules as texts in one order: theirs means nothing."""
    return sorted({r.text for r in rules})


@dataclass(frozen=True)
class _Rules:
    """One kind of rules of many services: exact names are looked up, the others tried one after another, once."""

    exact: dict[str, set[str]]
    others: tuple[tuple[Pattern, str], ...]
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _owned: dict[str, str | None] = field(default_factory=dict)

    @staticmethod
    def of(services: Iterable[Service], kind: str) -> _Rules:
        """The rules of services; a service's own name is among those for deployments."""
        exact: dict[str, set[str]] = {}
        others: list[tuple[Pattern, str]] = []
        for service in services:
            own: tuple[Pattern, ...] = getattr(service, kind)
            if kind == "deployed_as":
                exact.setdefault(service.name, set()).add(service.name)
            for rule in own:
                if rule.rank == 0:
                    exact.setdefault(rule.text, set()).add(service.name)
                else:
                    others.append((rule, service.name))
        return _Rules(exact, tuple(others))

    def owners(self, name: str) -> tuple[str, ...]:
        """All services with a rule that fits a name, sorted."""
        if name not in self._known:
            found = {service for rule, service in self.others if rule.matches(name)}
            self._known[name] = tuple(sorted(found | self.exact.get(name, set())))
        return self._known[name]

    def owner(self, name: str) -> str | None:
        """The one service whose rules fit a name. The most precise kind of rule decides; two that tie do not."""
        if name not in self._owned:
            best = {0: self.exact[name]} if name in self.exact else {}
            for rule, service in self.others if not best else ():
                if rule.matches(name):
                    best.setdefault(rule.rank, set()).add(service)
            found = best[min(best)] if best else set()
            self._owned[name] = next(iter(found)) if len(found) == 1 else None
        return self._owned[name]
