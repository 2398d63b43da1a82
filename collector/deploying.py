"""Which runs deploy what, and where: the rules that all sources of pipelines share.

A rule fits a finished run or job by its pipeline, job, environment, ref and repository, and says which service went
where. The first rule that fits decides. Without a rule nothing is a deployment: a lint run is no release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from collector.events import Deployment, PipelineRun, Result, RunState
from collector.findings import Findings
from collector.name_rules import NameRules
from collector.patterns import Pattern

_PLACES = ("repository", "pipeline", "job", "environment", "ref")
_GROUP = re.compile(r"\{(\w+)\}")
_SOUNDS_LIKE_ONE = re.compile(
    r"(?<![a-z])(deploy|deployment|release|publish|rollout|roll-out|ship|promote|go-?live|cd)(?![a-z])", re.IGNORECASE
)
_ENDED = frozenset({Result.SUCCESS, Result.FAILURE, Result.ERROR, Result.TIMEOUT})
"""Cancelled and skipped runs deployed nothing and failed at nothing."""


class DeploymentRule(BaseModel):
    """Which runs deploy, and what. What is not given fits all; `pipeline`, `job` or `environment` must be given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: NameRules = Field(default_factory=list, description="Names of pipelines or workflows.")
    job: NameRules = Field(
        default_factory=list,
        description="Names of jobs. With it each such job is a deployment, else the run as a whole is one.",
    )
    environment: NameRules = Field(
        default_factory=list, description="Environments, as the system itself names them on a run or job."
    )
    ref: NameRules = Field(default_factory=list, description="Branches or tags.")
    repository: NameRules = Field(default_factory=list, description="Repositories, as the source names them.")
    service: str = Field(
        default="",
        description=(
            "The service that is deployed; `{name}` stands for a named group of the expressions beside it. The last "
            "part of the repository's name unless given."
        ),
    )
    to: str = Field(
        default="",
        description="The environment it goes to; `{name}` as above. What the system names, else `production`.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.pipeline or self.job or self.environment):
            raise ValueError("this rule takes every run; expected `pipeline`, `job` or `environment`")
        known = {g for place in _PLACES for text in getattr(self, place) for g in Pattern(text).group_names}
        known |= {"repository", "environment"}
        for wanted in (*_GROUP.findall(self.service), *_GROUP.findall(self.to)):
            if wanted not in known:
                raise ValueError(
                    f"no expression has a group named {wanted!r}; expected one of {', '.join(sorted(known))}"
                )
        return self

    @cached_property
    def _patterns(self) -> Mapping[str, tuple[Pattern, ...]]:
        return {place: tuple(Pattern(t) for t in getattr(self, place)) for place in _PLACES}

    def groups(self, names: Mapping[str, str]) -> dict[str, str] | None:
        """What the named groups found where all of its rules fit; None where one does not."""
        found: dict[str, str] = {}
        for place, rules in self._patterns.items():
            if not rules:
                continue
            first = next((g for r in rules if (g := r.groups(names.get(place, ""))) is not None), None)
            if first is None:
                return None
            found |= first
        return found


@dataclass(frozen=True)
class Deployments:
    """The rules of one source at work."""

    source: str
    rules: Sequence[DeploymentRule]
    findings: Findings

    def of(self, run: PipelineRun, *, version: str | None = None) -> Deployment | None:
        """The deployment that a run or job is, by the first rule that fits; None where it is none, or not yet.

        A run that allows failure and failed is none. `finished_at` is the run's own: what is re-run later beside it
        moves nothing.
        """
        if run.state is not RunState.COMPLETED or run.result not in _ENDED or run.finished_at is None:
            return None
        if run.allow_failure and run.result is not Result.SUCCESS:
            return None
        names = {
            "repository": run.repository,
            "pipeline": run.pipeline,
            "job": run.task or "",
            "environment": run.environment or "",
            "ref": run.ref or "",
        }
        for place, rule in enumerate(self.rules):
            # A rule without `job` means whole runs, unless it asks for an environment, which jobs may name too.
            if bool(rule.job) != bool(run.task) and (rule.job or not rule.environment):
                continue
            groups = rule.groups(names)
            if groups is not None:
                self.findings.take(place, _shown(names))
                return self._deployment(run, rule, {**names, **groups}, version)
        self.findings.leave(f"{run.repository}: {_shown(names)}", lookalike=bool(_sounds_like_one(names)))
        return None

    def place(self, repository: str, environment: str, ref: str = "") -> tuple[str, str]:
        """The service and the environment of what the system itself calls a deployment.

        By the first rule for its environment, else the last part of the repository's name and the environment itself.
        """
        names = {"repository": repository, "pipeline": "", "job": "", "environment": environment, "ref": ref}
        for number, rule in enumerate(self.rules):
            groups = rule.groups(names)
            if groups is not None:
                self.findings.take(number, _shown(names))
                found = {**names, **groups}
                return _filled(rule.service, found) or _last(repository), _filled(rule.to, found) or environment
        self.findings.leave(f"{repository}: {_shown(names)}", lookalike=False)
        return _last(repository), environment

    def _deployment(
        self, run: PipelineRun, rule: DeploymentRule, names: Mapping[str, str], version: str | None
    ) -> Deployment:
        service = _filled(rule.service, names) or _last(run.repository)
        environment = _filled(rule.to, names) or run.environment or "production"
        assert run.finished_at is not None  # noqa: S101 - looked at before
        assert run.result is not None  # noqa: S101 - likewise
        return Deployment(
            source=self.source,
            native_id=f"{run.native_id}/{service}/{environment}",
            updated_at=run.updated_at,
            url=run.url,
            service=service,
            environment=environment,
            finished_at=run.finished_at,
            result=run.result,
            repository=run.repository,
            sha=run.sha,
            started_at=run.started_at,
            version=version,
            ref=run.ref,
            pipeline_run_native_id=run.native_id,
            actor=run.actor,
            bot=run.bot,
        )


def _filled(template: str, names: Mapping[str, str]) -> str:
    return _GROUP.sub(lambda found: names.get(found[1], ""), template)


def _last(repository: str) -> str:
    """The last part of a repository's name."""
    return repository.rstrip("/").rpartition("/")[2]


def _shown(names: Mapping[str, str]) -> str:
    job = f" / {names['job']}" if names["job"] else ""
    where = f" ({names['environment']})" if names["environment"] else ""
    return f"{names['pipeline']}{job}{where}"


def _sounds_like_one(names: Mapping[str, str]) -> bool:
    return bool(names["environment"] or _SOUNDS_LIKE_ONE.search(f"{names['pipeline']} {names['job']}"))
