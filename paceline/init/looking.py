"""Looks at what is to be read, and proposes: a repository with the forge it came from, or all of an owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from collector.errors import ConfigError, Mistake, SourceError
from collector.repositories import is_url
from collector.source import SourceContext
from paceline.doctor import Diagnosis, Seen, examine
from paceline.init.forges import KINDS, Kind, Owner, incident_labels, listing, scopes_of
from paceline.init.proposals import PUBLISHED, IncidentProposal, deployment_proposals, exactly, incident_proposal
from paceline.init.repositories import RepositoryFound, host_of, look_at
from paceline.init.sources import Subject
from slo_engine.organisation import Organisation


@dataclass(frozen=True, kw_only=True)
class Looking:
    """How far to look. `days` back from now; `most` repositories of an owner; `environ` holds the tokens."""

    context: SourceContext
    environ: Mapping[str, str]
    days: int
    most: int

    @property
    def since(self) -> datetime:
        """From when on."""
        return self.context.clock() - timedelta(days=self.days)

    def repository(self, place: str) -> Subject:
        """A repository by path or URL, with its forge where that is known by its name and there is a token for it.

        Raises SourceError, also where the forge does not answer: who wants it to be left out is told how.
        """
        kind = kind_at(host_of(place)) if place.startswith("https://") else None
        token = self.token(kind) if kind else ""
        found = look_at(place, self.context, self.since, token)
        subject = self.beside(found, forge_of(found, self.environ), authorised=bool(token))
        return replace(subject, not_asked=unnamed(found, self.environ))

    def beside(self, found: RepositoryFound, owner: Owner | None, *, authorised: bool = False) -> Subject:
        """A repository that was looked at, with what its forge tells, where there is one."""
        if owner is None:
            proposals = deployment_proposals(found, None, self.days)
            return Subject(repository=found, proposals=proposals, chosen=proposals[0])
        try:
            looked, incidents = self._forge(owner, (found.name,))
        except SourceError as error:
            alone = f"Without {owner.kind.variable} the repository is read alone"
            raise SourceError(f"{error}. {alone}", status=error.status) from error
        proposals = deployment_proposals(found, looked, self.days)
        return Subject(
            repository=found,
            owner=owner,
            authorised=authorised,
            proposals=proposals,
            chosen=proposals[0],
            incidents=incidents,
            takes_incidents=bool(incidents.labels),
        )

    def owner(self, owner: Owner) -> Subject:
        """All repositories of an owner that are neither archived nor forks. Raises ConfigError, SourceError."""
        config = owner.config(self._required(owner.kind))
        listed = listing(owner, config, self.context, self.most)
        if not listed.read:
            raise SourceError(f"{owner.name} has no repository at {config.url} that is neither archived nor a fork")
        looked, incidents = self._forge(owner, listed.read)
        proposals = deployment_proposals(None, looked, self.days)
        return Subject(
            owner=owner,
            listing=listed,
            proposals=proposals,
            chosen=proposals[0],
            incidents=incidents,
            takes_incidents=bool(incidents.labels),
        )

    def _forge(self, owner: Owner, repositories: Sequence[str]) -> tuple[Diagnosis, IncidentProposal]:
        """What a forge reports of some repositories without any rule, by the doctor's own look."""
        kind, token = owner.kind, self._required(owner.kind)
        named: dict[str, Any] = {"repositories": list(repositories), "commits": False, "own_deployments": True}
        if kind.releases is not None:
            named["releases"] = kind.releases(PUBLISHED)
        config = owner.config(token, **named)
        labels = incident_labels(kind, config, self.context, repositories, config.parallel)
        if labels:
            config = owner.config(token, **named, issues={"incidents": [exactly(label) for label in labels]})
        looked = examine(config, self.context, Organisation(), self.since, Seen())
        if looked.error:
            raise SourceError(f"{looked.error}. {scopes_of(kind, config)}")
        return looked, incident_proposal(labels, looked, self.days)

    def token(self, kind: Kind) -> str:
        """The token of a kind of forge; empty where the environment has none."""
        return self.environ.get(kind.variable, "")

    def _required(self, kind: Kind) -> str:
        token = self.token(kind)
        if not token:
            expected = f"an access token of {kind.system}; docs/sources/{kind.type}.md says what it must be allowed"
            raise ConfigError(
                Mistake(file="environment", line=0, path=kind.variable, problem="it is not set", expected=expected)
            )
        return token


def kind_at(host: str) -> Kind | None:
    """The kind of forge that a server is, as far as its name tells."""
    return next((k for k in KINDS.values() if host and k.is_at(host)), None)


def forge_of(found: RepositoryFound, environ: Mapping[str, str]) -> Owner | None:
    """The forge that a repository came from, by the name of its server; None for others, and without a token.

    And for one that is only named by the remote of a folder, unless it is the usual server: whoever runs such a server
    would be handed the token.
    """
    kind = kind_at(found.host)
    if kind is None or not environ.get(kind.variable) or unnamed(found, environ) or "/" not in found.name:
        return None
    return Owner(kind=kind, name=found.name.rpartition("/")[0], url=kind.url(found.host))


def unnamed(found: RepositoryFound, environ: Mapping[str, str]) -> str:
    """Why a forge is not asked for which there is a token, in a sentence; empty where that is not so."""
    kind = kind_at(found.host)
    if kind is None or is_url(found.place) or found.host == kind.cloud or not environ.get(kind.variable):
        return ""
    return f"{found.host} is not asked: {kind.variable} goes to a server that you name, by --repo with a URL."


def read_once(subjects: Sequence[Subject]) -> tuple[list[Subject], list[str]]:
    """The subjects without repositories that are read with all of their owner; and the names of those."""
    listed = {name.lower() for s in subjects if s.listing for name in s.listing.read}
    twice = [s.repository.name for s in subjects if s.repository and s.repository.name.lower() in listed]
    return [s for s in subjects if s.repository is None or s.repository.name not in twice], twice


def as_one_service(subject: Subject) -> Subject:
    """The same repository without its apps; proposals that only tell of apps go."""
    if subject.repository is None:
        return subject
    found = replace(subject.repository, apps=())
    proposals = tuple(replace(p, by_app={}) for p in subject.proposals if p.repository or not p.by_app)
    return replace(subject, repository=found, proposals=proposals, chosen=proposals[0])
