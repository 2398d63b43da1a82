"""What forges list: the repositories of an owner, and labels of issues that sound like incidents.

Asks through the clients of the sources themselves, with the token that the environment holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec
from pydantic import ValidationError

from collector.api import ForgeConfig
from collector.errors import AuthError, ConfigError, Mistake, SourceError
from collector.http import Answer, ApiClient
from collector.paging import linked, side_by_side
from collector.source import SourceContext
from collector.sources.gitea import GiteaConfig
from collector.sources.github import GitHubConfig
from collector.sources.gitlab import GitLabConfig

TOKEN = "token"  # noqa: S105 - the setting of that name
"""The setting that names a variable: it is no text to be taken literally."""
_PAGE = {"per_page": "100"}
_NOT_FOUND = 404
_FORM = "the address of a server, and a token of it in {}"
_SOUNDS_LIKE_INCIDENT = re.compile(r"(?<![a-z])(incident|outage|post-?mortem|sev[-_ :]?\d)s?(?![a-z])", re.IGNORECASE)


class Listed(NamedTuple):
    """A repository of an owner. `used_at`: when something last happened in it, as the forge writes it."""

    name: str
    archived: bool
    fork: bool
    used_at: str


class _Of(msgspec.Struct):
    """A repository, as all of these forges show it, each in its own words."""

    full_name: str = ""
    path_with_namespace: str = ""
    archived: bool = False
    disabled: bool = False
    fork: bool = False
    forked_from_project: dict[str, Any] | None = None
    pushed_at: str | None = None
    updated_at: str | None = None
    last_activity_at: str | None = None

    def listed(self) -> Listed:
        """The same in ours."""
        return Listed(
            name=self.full_name or self.path_with_namespace,
            archived=self.archived or self.disabled,
            fork=self.fork or self.forked_from_project is not None,
            used_at=self.pushed_at or self.last_activity_at or self.updated_at or "",
        )


class _Label(msgspec.Struct):
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of forge. `variable` holds its token; `api` is what stands behind the address of a server of one's own.

    `owned` are the paths that list an owner's repositories, the next where the one before is not found.
    """

    type: str
    system: str
    variable: str
    cloud: str
    api: str
    model: Callable[[Mapping[str, Any]], ForgeConfig]
    client: Callable[[ForgeConfig, SourceContext], ApiClient]
    owned: tuple[tuple[str, Mapping[str, str]], ...]
    labels: str
    owner: str = "organisation or user"
    """What has the repositories."""
    also: tuple[str, ...] = ()
    """Other words in the names of its servers, beside its type."""
    releases: Callable[[str], Any] | None = None
    """How published releases are sent to an environment in the settings; None where they are not read."""

    def is_at(self, host: str) -> bool:
        """Whether a host is one of its servers, as far as the name tells."""
        return not {self.type, *self.also}.isdisjoint(host.split("."))

    def url(self, host: str, scheme: str = "https") -> str:
        """The `url` of a server, empty for the one that the source asks by itself."""
        return "" if host == self.cloud else f"{scheme}://{host}{self.api}"


def _github(config: ForgeConfig, context: SourceContext) -> ApiClient:
    assert isinstance(config, GitHubConfig)  # noqa: S101 - made by its own model
    return config.build(context).access.rest


def _gitlab(config: ForgeConfig, context: SourceContext) -> ApiClient:
    assert isinstance(config, GitLabConfig)  # noqa: S101 - likewise
    return config.build(context).asked().client


def _gitea(config: ForgeConfig, context: SourceContext) -> ApiClient:
    assert isinstance(config, GiteaConfig)  # noqa: S101 - likewise
    return config.build(context).asked().client


KINDS: Mapping[str, Kind] = {
    k.type: k
    for k in (
        Kind(
            type="github",
            system="GitHub",
            variable="GITHUB_TOKEN",
            cloud="github.com",
            api="/api/v3",
            model=GitHubConfig.model_validate,
            client=_github,
            owned=(("orgs/{}/repos", {"type": "all"}), ("users/{}/repos", {"type": "owner"})),
            labels="repos/{}/labels",
            releases=lambda environment: {"environment": environment},
        ),
        Kind(
            type="gitlab",
            system="GitLab",
            variable="GITLAB_TOKEN",
            cloud="gitlab.com",
            api="",
            model=GitLabConfig.model_validate,
            client=_gitlab,
            owned=(("groups/{}/projects", {"include_subgroups": "true", "with_shared": "false"}),),
            labels="projects/{}/labels",
            owner="group",
        ),
        Kind(
            type="gitea",
            system="Gitea or Forgejo",
            variable="GITEA_TOKEN",
            cloud="",
            api="",
            model=GiteaConfig.model_validate,
            client=_gitea,
            owned=(("orgs/{}/repos", {}), ("users/{}/repos", {})),
            labels="repos/{}/labels",
            also=("forgejo", "codeberg"),
            releases=str,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose repositories are read: of a kind of forge, at a server, by name. `url` is empty for the usual server."""

    kind: Kind
    name: str
    url: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """How the server is named in the settings, with its token by reference."""
        return {
            "type": self.kind.type,
            **({"url": self.url} if self.url else {}),
            TOKEN: f"${{{self.kind.variable}}}",
        }

    def config(self, token: str, **more: Any) -> ForgeConfig:
        """A source that is asked now, with the token itself. Raises ConfigError for what it cannot be."""
        try:
            return self.kind.model({**self.settings, "name": self.kind.type, "token": token, **more})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "settings"
            problem = f"{place}: {first['msg'].removeprefix('Value error, ')}"
            raise ConfigError(_mistake(self.kind, problem, _FORM.format(self.kind.variable))) from None


def owner_of(kind: Kind, text: str) -> Owner:
    """`OWNER`, or `https://HOST/OWNER` of a server of one's own. Raises ConfigError for neither."""
    try:
        parts = urlsplit(text)
        name = (parts.path if parts.scheme else text).strip("/")
        usable = name and (parts.scheme or kind.cloud) and parts.username is None and not re.search(r"\s", name)
    except ValueError:
        usable = False
    if not usable:
        form = "OWNER or https://HOST/OWNER" if kind.cloud else "https://HOST/OWNER"
        raise ConfigError(_mistake(kind, f"{text if '@' not in text else 'this address'} names no owner", form))
    return Owner(kind=kind, name=name, url=kind.url(parts.netloc, parts.scheme) if parts.scheme else "")


def _mistake(kind: Kind, problem: str, expected: str) -> Mistake:
    return Mistake(file=f"--{kind.type}", line=0, path="", problem=problem, expected=expected)


@dataclass(frozen=True)
class Listing:
    """An owner's repositories that are read, last used first, and what was left out of them, each by its name."""

    read: tuple[str, ...]
    archived: tuple[str, ...] = ()
    forks: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    unusable: int = 0


def listing(owner: Owner, config: ForgeConfig, context: SourceContext, most: int) -> Listing:
    """The repositories of an owner, at most so many. Raises SourceError; one of credentials says what they need."""
    found: list[Listed] = []
    unusable = 0
    try:
        for answer in _owned(owner, owner.kind.client(config, context)):
            good, rejected = answer.items(_Of)
            found += [one.listed() for one in good]
            unusable += len(rejected)
    except AuthError as error:
        raise AuthError(f"{error}. {scopes_of(owner.kind, config)}") from error
    except SourceError as error:
        if error.status != _NOT_FOUND:
            raise
        unseen = f"{owner.name} is no {owner.kind.owner} at {config.url}, or none that the token may see"
        raise SourceError(f"{unseen} ({error})", status=error.status) from error
    archived = tuple(sorted(r.name for r in found if r.archived))
    forks = tuple(sorted(r.name for r in found if r.fork and not r.archived))
    own = sorted((r for r in found if not r.archived and not r.fork), key=lambda r: (r.used_at, r.name), reverse=True)
    names = tuple(r.name for r in own)
    return Listing(names[:most], archived, forks, names[most:], unusable)


def scopes_of(kind: Kind, config: ForgeConfig) -> str:
    """What a token must be allowed, in a sentence."""
    scopes = config.about.scopes if config.about else ()
    needed = "; ".join(f"{scope} ({what})" for scope, what in scopes)
    return f"The token in {kind.variable} needs: {needed}"


def _owned(owner: Owner, client: ApiClient) -> Iterator[Answer]:
    for number, (path, asked) in enumerate(owner.kind.owned, start=1):
        try:
            yield from linked(client, path.format(quote(owner.name, safe="")), {**asked, **_PAGE})
        except SourceError as error:
            if error.status != _NOT_FOUND or number == len(owner.kind.owned):
                raise
        else:
            return


def incident_labels(
    kind: Kind, config: ForgeConfig, context: SourceContext, repositories: Sequence[str], parallel: int
) -> tuple[str, ...]:
    """Of the labels of some repositories those that sound like incidents. Raises SourceError where nobody answers."""
    client = kind.client(config, context)
    asked = side_by_side(partial(_labels, kind, client), repositories, parallel)
    return tuple(sorted({label for labels in asked for label in labels if _SOUNDS_LIKE_INCIDENT.search(label)}))


def _labels(kind: Kind, client: ApiClient, repository: str) -> list[str]:
    """The labels of a repository; none where they are not shown to us."""
    path = kind.labels.format(quote(repository, safe="" if kind.type == "gitlab" else "/"))
    try:
        return [label.name for answer in linked(client, path, _PAGE) for label in answer.items(_Label)[0]]
    except SourceError as error:
        if error.status is None:
            raise
        return []
