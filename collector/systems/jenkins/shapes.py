"""What Jenkins says of jobs, builds and stages, and how these become events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec

from collector.deploying import DeploymentRule, Deployments
from collector.errors import BadRecord
from collector.events import Deployment, Integer, PipelineRun, Result, RunKind, RunState
from collector.patterns import Pattern
from collector.people import People
from collector.remotes import repository_of
from collector.streams import Notes
from collector.times import from_epoch, later, parsed

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"^(?:refs/(?:heads|tags)/|(?:refs/remotes/)?origin/)")
_REQUEST = re.compile(r"(?:PR|MR)-\d+")
"""What multibranch projects call the branch of a request to merge."""
_NO_REF = frozenset({"", "detached", "HEAD"})
_PIPELINE = "WorkflowRun"
_RESULTS = {
    "SUCCESS": Result.SUCCESS,
    "FAILURE": Result.FAILURE,
    "FAILED": Result.FAILURE,
    "ABORTED": Result.CANCELLATION,
    "NOT_BUILT": Result.SKIP,
    "NOT_EXECUTED": Result.SKIP,
    "SKIPPED": Result.SKIP,
}
"""Of builds and of stages; what unstable means is a setting."""
_GOING_ON = frozenset({"IN_PROGRESS", "PAUSED_PENDING_INPUT", "QUEUED"})
_NEVER_RAN = frozenset({Result.SKIP, Result.CANCELLATION})


class _LastBuild(msgspec.Struct):
    timestamp: float | None = None


class Item(msgspec.Struct):
    """A job, or a folder with its `jobs`."""

    name: str
    kind: str = msgspec.field(name="_class", default="")
    last: _LastBuild | None = msgspec.field(name="lastBuild", default=None)
    jobs: list[Item] | None = None


class _Cause(msgspec.Struct):
    kind: str = msgspec.field(name="_class", default="")
    user: str | None = msgspec.field(name="userId", default=None)


class _Branch(msgspec.Struct):
    name: str | None = None


class _Revision(msgspec.Struct):
    sha: str | None = msgspec.field(name="SHA1", default=None)
    branch: list[_Branch] | None = None


class _Action(msgspec.Struct):
    causes: list[_Cause] | None = None
    revision: _Revision | None = msgspec.field(name="lastBuiltRevision", default=None)
    remotes: list[str] | None = msgspec.field(name="remoteUrls", default=None)
    queued: float | None = msgspec.field(name="queuingDurationMillis", default=None)


class Build(msgspec.Struct):
    """A build of a job. Times and durations in milliseconds."""

    number: Integer
    kind: str = msgspec.field(name="_class", default="")
    url: str | None = None
    timestamp: float | None = None
    duration: float | None = None
    result: str | None = None
    building: bool | None = None
    in_progress: bool | None = msgspec.field(name="inProgress", default=None)
    actions: list[_Action | None] | None = None


class Stage(msgspec.Struct):
    """A stage of a pipeline's build. Times and durations in milliseconds."""

    id: str
    name: str
    status: str = ""
    started: float = msgspec.field(name="startTimeMillis", default=0)
    lasted: float = msgspec.field(name="durationMillis", default=0)


class _Scm(msgspec.Struct):
    url: str | None = None
    branch: str | None = None
    commit: str | None = None


class Told(msgspec.Struct):
    """A build in a notification; `timestamp` is when its phase came."""

    number: Integer
    phase: str
    status: str | None = None
    full_url: str | None = None
    timestamp: float | str | None = None
    duration: float | None = None
    scm: _Scm | None = None


class Notification(msgspec.Struct):
    """What the plug-in Notification sends: a job's path, and a build."""

    url: str
    build: Told


class Job(NamedTuple):
    """A job: its full name as addresses have it, and when it last built."""

    name: str
    of_branch: bool
    built_at: datetime | None = None

    @property
    def shown(self) -> str:
        """Its full name as people read it."""
        return unquote(self.name)

    @property
    def path(self) -> str:
        """Where it is below the server."""
        return "".join(f"job/{quote(part, safe='')}/" for part in self.name.split("/") if part)


class _Checkout(NamedTuple):
    """What a build checked out: the repository's name, the commit, the branch; empty where it is not known."""

    repository: str = ""
    sha: str = ""
    branch: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How builds become events: the same for what is asked for and what is sent."""

    source: str
    people: People
    deploying: Deployments
    repository: str
    libraries: tuple[Pattern, ...]
    unstable: Result

    @cached_property
    def results(self) -> Mapping[str, Result]:
        """What the results of builds and stages are."""
        return {**_RESULTS, "UNSTABLE": self.unstable}

    def result(self, value: str, notes: Notes) -> Result:
        """What a result is; an unknown one is neither a success nor a failure."""
        found = self.results.get(value)
        if found is None:
            notes.unknown("result", value, "a cancellation")
        return found or Result.CANCELLATION

    def run(self, job: Job, build: Build, notes: Notes) -> PipelineRun | BadRecord:
        """A build; or why it cannot be used."""
        started_at = from_epoch(build.timestamp or 0)
        if started_at is None:
            return BadRecord(f"{job.shown} #{build.number}", "it has no start")
        actions = [action for action in build.actions or () if action is not None]
        checkout = self._checkout(job, actions)
        pipeline, ref = _place(job.name, checkout.branch, of_branch=job.of_branch)
        result = self._result_of(build, actions, notes)
        finished_at = None if result is None else later(started_at, build.duration or 0)
        if result is not None and finished_at is None:
            return BadRecord(f"{job.shown} #{build.number}", "its duration is beyond all times")
        queued = next((action.queued for action in actions if action.queued is not None), None)
        user = next((c.user for a in actions for c in a.causes or () if c.user), None)
        return PipelineRun(
            source=self.source,
            native_id=_native_id(job.name, build.number),
            updated_at=finished_at or started_at,
            url=build.url,
            repository=self.repository or checkout.repository or _folder(job.name, pipeline),
            pipeline=pipeline,
            state=RunState.EXECUTING if result is None else RunState.COMPLETED,
            result=result,
            created_at=None if queued is None else later(started_at, -queued),
            started_at=started_at,
            finished_at=finished_at,
            sha=checkout.sha or None,
            ref=ref or None,
            actor=self.people.hashed(user) if user else None,
            bot=bool(user and self.people.is_bot(user)),
        )

    def _result_of(self, build: Build, actions: Sequence[_Action], notes: Notes) -> Result | None:
        """How a build ended; None while it runs."""
        if build.building:
            return None
        if build.result is None:
            # A build that is being wound up has no result yet; one that its controller lost never gets one.
            lost = build.in_progress is False or (build.in_progress is None and build.duration)
            return Result.ERROR if lost else None
        if build.result == "ABORTED" and any(
            cause.kind.endswith("ExceededTimeout") for action in actions for cause in action.causes or ()
        ):
            return Result.TIMEOUT
        return self.result(build.result, notes)

    def _checkout(self, job: Job, actions: Sequence[_Action]) -> _Checkout:
        """What the job itself checked out: the repository whose name stands in the job's, else the first one."""
        found = [_checked_out(action) for action in actions if action.revision is not None]
        own = [c for c in found if not any(rule.matches(c.repository) for rule in self.libraries)]
        if not own:
            return _Checkout()
        parts = frozenset(job.name.lower().split("/"))
        wanted = self.repository
        return max(own, key=lambda c: (c.repository == wanted, c.repository.lower().rpartition("/")[2] in parts))

    def deployments(self, run: PipelineRun, stages: Sequence[Stage], notes: Notes) -> Iterator[Deployment]:
        """What a build deployed: as a whole, and by its stages. These are no jobs: they wait for nobody by themselves.

        A stage that failed in a build that did not was allowed to.
        """
        for part in (run, *(found for stage in stages if (found := self._stage(run, stage, notes)) is not None)):
            deployment = self.deploying.of(part)
            if deployment is not None:
                yield msgspec.structs.replace(deployment, pipeline_run_native_id=run.native_id)

    def _stage(self, run: PipelineRun, stage: Stage, notes: Notes) -> PipelineRun | None:
        if stage.status in _GOING_ON:
            return None
        result, started_at = self.result(stage.status, notes), from_epoch(stage.started)
        if run.state is not RunState.COMPLETED and result is not Result.SUCCESS:
            return None  # only how the build ends tells whether the stage was allowed to fail
        if started_at is None and result not in _NEVER_RAN:
            notes.reject([BadRecord(f"{run.native_id} stage {stage.id}", "it has no start")])
        return msgspec.structs.replace(
            run,
            native_id=f"{run.native_id.replace('run/', 'job/', 1)}/{stage.id}",
            run_kind=RunKind.TASK,
            parent_native_id=run.native_id,
            task=stage.name,
            state=RunState.COMPLETED,
            result=result,
            started_at=started_at,
            finished_at=None if started_at is None else later(started_at, stage.lasted),
            allow_failure=run.result is Result.SUCCESS,
        )

    def needs_stages(self, run: PipelineRun, build: Build) -> bool:
        """Whether a rule may fit a stage of a build."""
        names = {"repository": run.repository, "pipeline": run.pipeline, "ref": run.ref or ""}
        return build.kind.endswith(_PIPELINE) and any(_may_fit(rule, names) for rule in self.deploying.rules)


def _checked_out(action: _Action) -> _Checkout:
    revision = action.revision or _Revision()
    branch = next((b.name for b in revision.branch or () if b.name), "")
    ref = _REF.sub("", branch)
    return _Checkout(
        repository_of(action.remotes[0]) if action.remotes else "",
        revision.sha if revision.sha and _SHA.fullmatch(revision.sha) else "",
        "" if ref in _NO_REF else ref,
    )


def _place(name: str, branch: str, *, of_branch: bool) -> tuple[str, str]:
    """The pipeline that a job is, and the branch: of a multibranch project it is the project, and the job's own name.

    Only a listing knows such projects; elsewhere a job that is called as the branch it builds gives it away.
    """
    project, _, last = name.rpartition("/")
    if project and (of_branch or unquote(last) == branch or _REQUEST.fullmatch(last)):
        return unquote(project), unquote(last)
    return unquote(name), branch


def _folder(name: str, pipeline: str) -> str:
    """What stands for the repository of a job that checked nothing out: its project, else its folder."""
    return pipeline if pipeline != unquote(name) else pipeline.rpartition("/")[0] or pipeline


def _native_id(job: str, number: int) -> str:
    return f"run/{job}/{number}"


def _may_fit(rule: DeploymentRule, names: Mapping[str, str]) -> bool:
    """Whether a rule for stages fits a build."""
    asked = {"repository": rule.repository, "pipeline": rule.pipeline, "ref": rule.ref}
    fit = (not texts or any(Pattern(text).matches(names[place]) for text in texts) for place, texts in asked.items())
    return bool(rule.job) and all(fit)


def as_build(told: Told) -> Build:
    """A notification as the API would tell it. Its time is when the build ended."""
    at = parsed(told.timestamp) if isinstance(told.timestamp, str) else from_epoch(told.timestamp or 0)
    lasted = told.duration or 0
    scm = told.scm or _Scm()
    revision = _Revision(sha=scm.commit, branch=[_Branch(scm.branch)]) if scm.url or scm.commit else None
    return Build(
        number=told.number,
        url=told.full_url,
        timestamp=None if at is None else at.timestamp() * 1000 - lasted,
        duration=lasted,
        result=told.status,
        building=told.status is None,
        actions=[_Action(revision=revision, remotes=[scm.url] if scm.url else None)],
    )
