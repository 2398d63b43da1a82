"""What CircleCI answers and delivers, and which events it makes. Asks nothing itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import msgspec

from collector.deploying import Deployments
from collector.events import Deployment, PipelineRun, Result, RunState
from collector.people import People
from collector.streams import Notes
from collector.times import as_rfc3339

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_WITH_NAMES = {"gh": "github", "github": "github", "bb": "bitbucket", "bitbucket": "bitbucket"}
"""Slugs that say whose the repository is, by how the web interface calls their first part."""
_STATES = {
    "success": (RunState.COMPLETED, Result.SUCCESS),
    "failed": (RunState.COMPLETED, Result.FAILURE),
    "error": (RunState.COMPLETED, Result.ERROR),
    "infrastructure_fail": (RunState.COMPLETED, Result.ERROR),
    "terminated-unknown": (RunState.COMPLETED, Result.ERROR),
    "timedout": (RunState.COMPLETED, Result.TIMEOUT),
    "canceled": (RunState.COMPLETED, Result.CANCELLATION),
    "not_run": (RunState.COMPLETED, Result.SKIP),
    "unauthorized": (RunState.COMPLETED, Result.SKIP),
    "retried": (RunState.COMPLETED, Result.SKIP),
    "running": (RunState.EXECUTING, None),
    "failing": (RunState.EXECUTING, None),
    "on_hold": (RunState.PENDING, None),
    "queued": (RunState.PENDING, None),
    "not_running": (RunState.PENDING, None),
    "blocked": (RunState.PENDING, None),
}
"""Of workflows and of jobs. `unauthorized` was not let run, so it failed at nothing."""


class Actor(msgspec.Struct):
    """Who started a pipeline."""

    login: str | None = None


class Trigger(msgspec.Struct):
    """What started a pipeline."""

    type: str | None = None
    actor: Actor | None = None


class Vcs(msgspec.Struct):
    """What a pipeline built: a repository by its address, a commit, a branch or a tag."""

    target_repository_url: str | None = None
    revision: str | None = None
    branch: str | None = None
    tag: str | None = None


class Git(msgspec.Struct):
    """The same, of a pipeline whose host is known by its trigger alone."""

    checkout_url: str | None = None
    checkout_sha: str | None = None
    branch: str | None = None
    tag: str | None = None


class Parameters(msgspec.Struct):
    """What a trigger said."""

    git: Git | None = None


class Pipeline(msgspec.Struct):
    """A pipeline: what its workflows have in common."""

    id: str
    number: int | None = None
    project_slug: str = ""
    state: str | None = None
    created_at: datetime | None = None
    trigger: Trigger | None = None
    vcs: Vcs | None = None
    trigger_parameters: Parameters | None = None


class Workflow(msgspec.Struct):
    """A workflow."""

    id: str
    name: str = ""
    status: str | None = None
    created_at: datetime | None = None
    stopped_at: datetime | None = None


class Job(msgspec.Struct):
    """A job of a workflow; webhooks call its number `number`."""

    id: str
    name: str = ""
    type: str | None = None
    status: str | None = None
    job_number: int | None = None
    number: int | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None


class Project(msgspec.Struct):
    """A project."""

    id: str
    name: str = ""
    slug: str = ""
    organization_id: str | None = None
    organization_name: str | None = None


class Named(msgspec.Struct):
    """An organisation, an environment or a component."""

    id: str
    name: str = ""
    slug: str | None = None


class Version(msgspec.Struct):
    """A version of a component: when it was last deployed to an environment."""

    name: str = ""
    environment_id: str | None = None
    pipeline_id: str | None = None
    workflow_id: str | None = None
    last_deployed_at: datetime | None = None


def time_of(value: datetime | None) -> datetime | None:
    """A time; none where it has no zone."""
    return None if value is None or value.tzinfo is None else value


def _sha(*texts: str | None) -> str | None:
    return next((text.lower() for text in texts if text and _SHA.fullmatch(text.lower())), None)


def web_slug(slug: str) -> str:
    """A slug as the web interface writes it."""
    kind, _, rest = slug.partition("/")
    return f"{_WITH_NAMES.get(kind, kind)}/{rest}"


def _path_of(address: str) -> str:
    """`owner/name` of a repository's address, as a URL or as `git@host:owner/name.git`."""
    path = urlsplit(address).path if "://" in address else address.partition(":")[2]
    return path.strip("/").removesuffix(".git")


# ---- what it means


@dataclass(frozen=True)
class Shapes:
    """Turns answers and deliveries into events."""

    source: str
    app: str
    people: People
    deploying: Deployments

    def repository_of(self, pipeline: Pipeline) -> str:
        """What the host calls a pipeline's repository; empty where the pipeline does not tell."""
        kind, _, rest = pipeline.project_slug.partition("/")
        if kind in _WITH_NAMES:
            return rest
        git = pipeline.trigger_parameters and pipeline.trigger_parameters.git
        named = (pipeline.vcs and pipeline.vcs.target_repository_url) or (git and git.checkout_url)
        return _path_of(named) if named else ""

    def run(self, pipeline: Pipeline, workflow: Workflow, repository: str, notes: Notes) -> PipelineRun:
        """A workflow. What starts by a schedule is nobody's."""
        state, result = self._state("a workflow", workflow.status, notes)
        created, stopped = time_of(workflow.created_at), time_of(workflow.stopped_at)
        ended = stopped if state is RunState.COMPLETED else None
        vcs, git = pipeline.vcs or Vcs(), (pipeline.trigger_parameters or Parameters()).git or Git()
        trigger = pipeline.trigger or Trigger()
        login = trigger.actor and trigger.actor.login
        return PipelineRun(
            source=self.source,
            native_id=f"workflow/{workflow.id}",
            updated_at=ended or created,
            url=f"{self._page(pipeline)}/workflows/{workflow.id}",
            repository=repository,
            pipeline=workflow.name or "unnamed",
            state=state,
            result=result,
            created_at=created,
            finished_at=ended,
            sha=_sha(vcs.revision, git.checkout_sha),
            ref=vcs.branch or vcs.tag or git.branch or git.tag or None,
            actor=self.people.hashed(login) if login else None,
            bot=trigger.type == "scheduled_pipeline" or (bool(login) and self.people.is_bot(login or "")),
        )

    def _page(self, pipeline: Pipeline) -> str:
        return f"{self.app}/pipelines/{web_slug(pipeline.project_slug)}/{pipeline.number}"

    def parts_deployed(self, run: PipelineRun, jobs: Iterable[Job], notes: Notes) -> Iterator[Deployment]:
        """What jobs of a workflow deployed. An approval deploys nothing, nor does a job of an earlier workflow."""
        for job in jobs:
            if job.type == "approval" or carried_over(job, run):
                continue
            state, result = self._state("a job", job.status, notes)
            number = job.job_number or job.number
            task = msgspec.structs.replace(
                run,
                native_id=f"job/{job.id}",
                updated_at=time_of(job.stopped_at),
                url=f"{run.url}/jobs/{number}" if number else run.url,
                task=job.name or job.id,
                state=state,
                result=result,
                started_at=time_of(job.started_at),
                finished_at=time_of(job.stopped_at),
            )
            found = self.deploying.of(task)
            if found is not None:
                yield msgspec.structs.replace(found, pipeline_run_native_id=run.native_id)

    @staticmethod
    def _state(what: str, status: str | None, notes: Notes) -> tuple[RunState, Result | None]:
        known = _STATES.get(status or "")
        if known is None:
            notes.unknown(f"status of {what}", status or "", "pending")
        return known or (RunState.PENDING, None)

    def deployed(
        self,
        component: Named,
        environment: str,
        version: Version,
        pipeline: Pipeline | None,
        run: PipelineRun | None,
    ) -> Deployment | None:
        """The last deployment of a version to an environment; None where it has no time."""
        at = time_of(version.last_deployed_at)
        if at is None:
            return None
        named = run.repository if run else component.name
        service, where = self.deploying.place(named, environment, (run and run.ref) or "")
        found = Deployment(
            source=self.source,
            native_id=f"version/{component.id}/{version.environment_id}/{version.name}/{as_rfc3339(at)}",
            updated_at=at,
            url=None if pipeline is None else self._page(pipeline),
            service=component.name if service == named.rpartition("/")[2] else service,
            environment=where,
            finished_at=at,
            result=Result.SUCCESS,
            version=version.name or None,
            pipeline_run_native_id=version.workflow_id and f"workflow/{version.workflow_id}",
        )
        if run is None:
            return found
        whose = {"repository": run.repository, "sha": run.sha, "ref": run.ref, "actor": run.actor}
        return msgspec.structs.replace(found, **whose, bot=run.bot)


def carried_over(job: Job, run: PipelineRun) -> bool:
    """Whether a job began before its workflow: "rerun from failed" shows what succeeded before once more."""
    started = time_of(job.started_at)
    return started is not None and run.created_at is not None and started < run.created_at
