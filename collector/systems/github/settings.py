"""What GitHub's settings say, for whoever asks it and for whoever it sends to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from collector.api import ForgeConfig, Url
from collector.errors import Mistake, PacelineError
from collector.patterns import Pattern
from collector.secrets import Secret, reveal
from collector.source import SourceContext

_WHOLE_NAME = re.compile(r"[^/\s]+/[^/\s]+")


class ReleaseSettings(BaseModel):
    """What published releases are here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str = Field(min_length=1, description="The environment to which a published release goes.")
    prereleases: bool = Field(default=False, description="Whether pre-releases go there too.")


class GitHubSettings(ForgeConfig):
    """Settings of GitHub, or of a GitHub Enterprise Server."""

    url: Url = Field(
        default="https://api.github.com",
        description="Address of the REST API; of a server of your own it is https://HOST/api/v3.",
    )
    app_id: str = Field(default="", description="Instead of a token: the id of a GitHub App.")
    installation_id: str = Field(default="", description="Where that App is installed.")
    private_key: Secret = Field(default=SecretStr(""), description="The private key of that App, in PEM.")
    jobs: bool = Field(
        default=False, description="Whether jobs of all runs are read; those that a rule of deployments asks for are."
    )
    releases: ReleaseSettings | None = Field(
        default=None, description="Published releases are deployments, where this says to which environment."
    )

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """As every forge's; whole names of repositories; and that an App is whole, and no token stands beside it."""
        found = list(super().check(context))
        nameless = (name for name in self.repositories if not _WHOLE_NAME.fullmatch(name))
        found += [_mistake("repositories", f"{name!r} is no whole name", "owner/name") for name in nameless]
        own = {"app_id": self.app_id, "installation_id": self.installation_id}
        given = {**own, "private_key": self.private_key.get_secret_value()}
        if any(given.values()):
            found += [_mistake(n, "an App needs it too", "id, installation and key") for n, v in given.items() if not v]
            if self.token.get_secret_value():
                found.append(_mistake("token", "an App has a token of its own", "a token or an App, not both"))
        try:
            reveal(self.private_key)
        except PacelineError:
            found.append(
                _mistake("private_key", "its file cannot be read", "a file with the key, readable by Paceline")
            )
        return found

    def wants_jobs(self, repository: str, pipeline: str, ref: str) -> bool:
        """Whether the jobs of a run are read: they cost a request for each run."""
        return self.jobs or any(
            rule.job and _fits(rule.pipeline, pipeline) and _fits(rule.ref, ref) and _fits(rule.repository, repository)
            for rule in self.deployments
        )

    @property
    def wants_some_jobs(self) -> bool:
        """Whether there may be runs whose jobs are read."""
        return self.jobs or any(rule.job for rule in self.deployments)

    @property
    def reads_own_deployments(self) -> bool:
        """Whether GitHub's own deployments are read: beside rules or releases, which tell the same, only if asked."""
        if self.own_deployments is None and self.releases is not None:
            return False
        return super().reads_own_deployments

    @property
    def one_kind_of_deployment(self) -> bool:
        """Whether all deployments of this source come from one list, which then tells what was deleted."""
        return [bool(self.deployments), self.reads_own_deployments, self.releases is not None].count(True) == 1

    @property
    def web(self) -> str:
        """Where people and Git find what the API speaks of."""
        if self.url.endswith("/api/v3"):
            return self.url.removesuffix("/api/v3")
        return self.url.replace("://api.", "://", 1)


def last_part(repository: str) -> str:
    """The last part of a repository's name: the service that it is, unless a rule says another."""
    return repository.rpartition("/")[2]


def _fits(rules: Sequence[str], name: str) -> bool:
    return not rules or any(Pattern(rule).matches(name) for rule in rules)


def _mistake(path: str, problem: str, expected: str) -> Mistake:
    return Mistake(file="", line=0, path=path, problem=problem, expected=expected)
