"""What the settings of all sources that ask an API have in common, and how these become a client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from collector.deploying import DeploymentRule, Deployments
from collector.durations import Duration
from collector.errors import Mistake, PacelineError
from collector.events import Incident, IncidentState, Ticket, TicketState
from collector.http import ApiClient, Limits
from collector.name_rules import NameRules
from collector.patterns import Pattern, any_matches, patterns
from collector.secrets import IncomingSecret, Secret, reveal
from collector.source import SourceConfig, SourceContext
from collector.tracking import IssueRule, LabelStates, Severities, Statuses, Tracking, Turn, of_incident


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query and not parts.fragment
        credentials = parts.username is not None or parts.password is not None
        _ = parts.port
    except ValueError:
        usable = credentials = False
    if credentials:
        raise ValueError("an address with user and password would show them; expected `token`, or `username` beside it")
    if not usable:
        raise ValueError("this is no web address; expected for example https://git.example.com")
    return value.rstrip("/")


MOMENT = timedelta(microseconds=1)
"""By so much what a webhook tells is older than what a list tells of the same, which says more."""

Url = Annotated[str, AfterValidator(_address)]
"""The address of a server, without credentials and query."""


class ApiConfig(SourceConfig):
    """Settings of a source that asks an API. A subclass gives `url` its default, where the system has one."""

    url: Url = Field(description="Address of the server, for example https://git.example.com.")
    token: Secret = Field(
        default=SecretStr(""), description="Access token: give it as ${NAME} or as file:/path; see the scopes below."
    )
    history: Duration = Field(
        default=timedelta(days=180), description="How far back the first run reads. `collect --since` reads further."
    )
    overlap: Duration = Field(
        default=timedelta(hours=1),
        description="How much of what was read before is read again each time, for what the system shows late.",
    )
    parallel: int = Field(default=4, ge=1, le=16, description="How many requests run at the same time.")
    timeout: Duration = Field(default=timedelta(seconds=60), description="How long one answer may take.")
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust instead of the public ones, as a PEM file."
    )
    proxy: Secret = Field(default=SecretStr(""), description="Proxy for this source; none unless given.")

    def client(
        self,
        context: SourceContext,
        *,
        headers: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
        url: str | None = None,
    ) -> ApiClient:
        """A client of the server, with the given credentials. Raises SourceError where a secret cannot be read."""
        return context.wire.client(
            url or self.url,
            headers=headers,
            basic=basic,
            ca_file=self.trusted(context),
            proxy=reveal(self.proxy),
            limits=Limits(seconds=self.timeout.total_seconds()),
        )

    def trusted(self, context: SourceContext) -> Path | None:
        """The file of certificates to trust instead of the public ones, where one is given."""
        return None if self.ca_file is None else context.base_dir / self.ca_file.expanduser()

    def horizon(self, context: SourceContext) -> datetime:
        """From when on a first run reads: what was asked for, else `history` before now."""
        return context.since or context.clock() - self.history

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A file of certificates that is missing, a secret that cannot be read."""
        found: list[Mistake] = []
        if (trusted := self.trusted(context)) is not None and not trusted.is_file():
            found.append(_mistake("ca_file", "there is no such file", "a file of certificates in PEM"))
        return [*found, *_unreadable(self, "token", "proxy")]


class HookedConfig(ApiConfig):
    """Settings of a source that asks an API and takes the webhooks of its system beside that."""

    webhook_secret: IncomingSecret = Field(
        default=SecretStr(""),
        description="Opens `/webhooks/<name>`: the secret that the system signs or sends; see docs/webhooks.md.",
    )

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """As every API's; and a secret that cannot be read."""
        return [*super().check(context), *_unreadable(self, "webhook_secret")]


class CiConfig(HookedConfig):
    """Settings of a source that reads runs of pipelines: with rules for what deploys."""

    deployments: list[DeploymentRule] = Field(
        default_factory=list,
        description="Which runs or jobs deploy what, and where: the first rule that fits; see docs/deployments.md.",
    )

    def deploying(self, context: SourceContext) -> Deployments:
        """The rules at work."""
        return Deployments(self.name, self.deployments, context.findings)


class TrackerConfig(ApiConfig):
    """Settings of a source that reads a tracker: which issues are what, and what its words mean."""

    issues: list[IssueRule] = Field(
        min_length=1,
        description="Which issues are tickets or incidents: the first rule that fits; see docs/tracking.md.",
    )
    statuses: Statuses = Field(
        default_factory=Statuses, description="What the tracker's statuses mean; see docs/tracking.md."
    )
    severities: dict[str, NameRules] = Field(
        default_factory=dict, description="The tracker's severities or priorities, by the names they have here."
    )

    def tracking(self, context: SourceContext) -> Tracking:
        """The rules at work."""
        severities = Severities(self.severities, context.findings)
        return Tracking(self.name, self.issues, self.statuses, severities, context.findings)


class IssueSettings(BaseModel):
    """Which issues of a forge mean something here, by their whole labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    incidents: NameRules = Field(default_factory=list, description="Labels of issues that are incidents.")
    tickets: NameRules = Field(
        default_factory=list, description="Labels of issues that are requests for support; `*` takes all others."
    )
    queue: str = Field(default="", description="The queue of these tickets; the repository's name unless given.")

    acknowledged: NameRules = Field(
        default_factory=list, description="Labels by which somebody has taken an issue on; it is not resolved by that."
    )
    waiting: NameRules = Field(
        default_factory=list, description="Labels with which a ticket waits for who asked: its clock stands still."
    )
    severities: dict[str, NameRules] = Field(
        default_factory=dict,
        description="The labels that stand for severities of incidents, by the names they have here.",
    )

    @cached_property
    def states(self) -> LabelStates:
        """What labels say of where an issue stands."""
        return LabelStates(patterns(self.acknowledged), patterns(self.waiting))

    def severity(self, labels: Sequence[str]) -> str | None:
        """The severity that one of some labels stands for."""
        return next(
            (n for n, rules in self.severities.items() if any(any_matches(patterns(rules), t) for t in labels)), None
        )

    def kind(self, labels: Sequence[str]) -> type[Incident | Ticket] | None:
        """What an issue with some labels is."""
        if any(Pattern(rule).matches(label) for rule in self.incidents for label in labels):
            return Incident
        if "*" in self.tickets or any(Pattern(rule).matches(label) for rule in self.tickets for label in labels):
            return Ticket
        return None


class ForgeConfig(CiConfig):
    """Settings of a source that reads a forge: which repositories, and what of them."""

    repositories: list[str] = Field(
        default_factory=list, description="Repositories by their whole names, such as `group/shop`."
    )
    organisations: list[str] = Field(
        default_factory=list, description="Organisations or groups all of whose repositories are read, as they come."
    )
    include: NameRules = Field(default_factory=list, description="Of these, only repositories that a rule fits.")
    exclude: NameRules = Field(default_factory=list, description="Of these, no repository that a rule fits.")
    archived: bool = Field(default=False, description="Whether archived repositories of organisations are read.")
    commits: bool = Field(
        default=True, description="Whether commits are read, through a clone without files; lead times need them."
    )
    own_deployments: bool | None = Field(
        default=None,
        description="Whether the system's own deployments are read; unless given, where there are no rules beside it.",
    )
    issues: IssueSettings | None = Field(
        default=None, description="Which issues are incidents or tickets; none are read unless given."
    )

    def wants(self, repository: str) -> bool:
        """Whether a repository of an organisation is read."""
        name = repository.rpartition("/")[2]
        included = not self.include or any(Pattern(r).matches(n) for r in self.include for n in (repository, name))
        return included and not any(Pattern(r).matches(n) for r in self.exclude for n in (repository, name))

    @property
    def reads_own_deployments(self) -> bool:
        """Whether the system's own deployments are read."""
        return not self.deployments if self.own_deployments is None else self.own_deployments

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """As every API's; and that there is something to read."""
        found = list(super().check(context))
        if not self.repositories and not self.organisations:
            found.append(_mistake("repositories", "nothing is named", "`repositories`, `organisations` or both"))
        return found


def _unreadable(config: SourceConfig, *names: str) -> Iterator[Mistake]:
    """The secrets of settings that cannot be read."""
    for name in names:
        try:
            reveal(getattr(config, name))
        except PacelineError:
            yield _mistake(name, "its file cannot be read", "a file with the secret, readable by Paceline")


def incident_states(
    settings: IssueSettings, labels: Sequence[str], life: Sequence[tuple[Turn, TicketState]], *, closed: bool
) -> dict[str, Any]:
    """The fields of an incident that say where it stands: open, taken on by a label, or closed."""
    transitions = of_incident(life)
    taken_on = settings.states.state(labels, closed=False) is not TicketState.OPEN
    open_state = IncidentState.ACKNOWLEDGED if taken_on else IncidentState.DETECTED
    return {
        "state": IncidentState.RESOLVED if closed else open_state,
        "acknowledged_at": next((t.at for t in transitions if t.state == IncidentState.ACKNOWLEDGED), None),
        "transitions": transitions,
    }


def _mistake(path: str, problem: str, expected: str) -> Mistake:
    return Mistake(file="", line=0, path=path, problem=problem, expected=expected)
