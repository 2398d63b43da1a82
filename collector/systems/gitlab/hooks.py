"""What GitLab sends by itself, and which events that is: the same as its API would give, by the same ids.

What a delivery does not tell (first commits, replies) is left to the next run, so that nothing known is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from collector.errors import BadRecord, ContractError
from collector.events import Event, Incident, Integer, ReviewState
from collector.streams import Notes
from collector.systems.gitlab.shapes import (
    Details,
    Environment,
    GitLabUser,
    Issue,
    Job,
    MergeRequest,
    Note,
    OwnDeployment,
    Pipeline,
    Project,
    Reader,
)
from collector.times import parsed
from collector.webhooks import Delivery, Received, id_of, is_same

_ID = "idempotency-key"  # the same for each try of a delivery; the id of the event is shared by others it caused


class _Label(msgspec.Struct):
    title: str = ""


class _Upstream(msgspec.Struct):
    project: Project | None = None


class _Delivered(msgspec.Struct, kw_only=True):
    """What every delivery tells."""

    object_kind: str = ""
    event_name: str = ""
    project: Project | None = None
    user: GitLabUser | None = None
    source_pipeline: _Upstream | None = None

    @property
    def named(self) -> str:
        """The project's whole name."""
        return self.project.path_with_namespace if self.project else ""

    @property
    def is_child(self) -> bool:
        """Whether a pipeline was started by another of its project."""
        upstream = self.source_pipeline.project if self.source_pipeline else None
        return upstream is not None and upstream.path_with_namespace == self.named


class _Commit(msgspec.Struct):
    id: str | None = None


class _MergeRequest(msgspec.Struct, kw_only=True):
    id: int
    iid: Integer
    created_at: str
    updated_at: str
    state: str
    action: str | None = None
    title: str | None = None
    target_branch: str | None = None
    source_branch: str | None = None
    draft: bool | None = None
    work_in_progress: bool | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    last_commit: _Commit | None = None
    author_id: int | None = None
    url: str | None = None


class _OfMergeRequest(_Delivered, kw_only=True):
    object_attributes: _MergeRequest
    labels: list[_Label] = []


class _NotedOn(msgspec.Struct):
    id: int
    author_id: int | None = None


class _Note(msgspec.Struct, kw_only=True):
    id: int
    created_at: str
    updated_at: str | None = None
    noteable_type: str = ""
    author_id: int | None = None
    system: bool = False


class _OfNote(_Delivered, kw_only=True):
    object_attributes: _Note
    merge_request: _NotedOn | None = None


class _Pipeline(msgspec.Struct, kw_only=True):
    id: int
    status: str
    name: str | None = None
    ref: str | None = None
    sha: str | None = None
    source: str | None = None
    created_at: str | None = None
    finished_at: str | None = None
    url: str | None = None


class _Build(msgspec.Struct, kw_only=True):
    id: int
    name: str
    status: str
    allow_failure: bool = False
    created_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    failure_reason: str | None = None
    user: GitLabUser | None = None
    environment: Environment | None = None


class _OfPipeline(_Delivered, kw_only=True):
    object_attributes: _Pipeline
    builds: list[_Build] = []


class _PipelineOf(msgspec.Struct):
    name: str | None = None


class _OfBuild(_Delivered, kw_only=True):
    build_id: int
    build_name: str
    build_status: str
    pipeline_id: int
    build_created_at: str | None = None
    build_started_at: str | None = None
    build_finished_at: str | None = None
    build_allow_failure: bool = False
    build_failure_reason: str | None = None
    retries_count: int = 0
    ref: str | None = None
    sha: str | None = None
    commit: _PipelineOf | None = None
    environment: Environment | None = None


class _OfDeployment(_Delivered, kw_only=True):
    deployment_id: int
    status: str
    status_changed_at: str
    environment: str
    deployable_id: int | None = None
    deployable_url: str | None = None
    commit_url: str | None = None
    ref: str | None = None


class _Issue(msgspec.Struct, kw_only=True):
    id: int
    iid: Integer
    created_at: str
    updated_at: str
    state: str
    title: str | None = None
    type: str | None = None
    action: str | None = None
    closed_at: str | None = None
    moved_to_id: int | None = None
    severity: str | None = None
    author_id: int | None = None
    url: str | None = None


class _OfIssue(_Delivered, kw_only=True):
    object_attributes: _Issue
    labels: list[_Label] = []


class _IgnoredError(Exception):
    """Nothing should come of a delivery; says why."""


@dataclass(frozen=True)
class GitLabReceiver:
    """Takes the webhooks of projects, groups and the system that carry the secret as their token.

    `is_read`: whether a project's events are wanted. `environments`: whether those of jobs are.
    """

    reader: Reader
    is_read: Callable[[str], bool]
    secret: str = field(repr=False)
    environments: bool = False

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether it carries the secret."""
        return is_same(self.secret, delivery.headers.get("x-gitlab-token", ""))

    def read(self, delivery: Delivery) -> Received:
        """What is in it; of kinds that are not read, and of projects that are not, nothing."""
        name = id_of(delivery, _ID)
        what = _decoded(delivery, _Delivered)
        kind = what.object_kind or what.event_name
        take = self._takers.get(kind)
        if take is None:
            return Received(id=name, ignored=f"the kind {kind[:40]!r} is not read")
        if not self.is_read(what.named):
            return Received(id=name, ignored="its project is not read")
        try:
            return Received(id=name, events=list(take(delivery)))
        except _IgnoredError as reason:
            return Received(id=name, ignored=str(reason))
        except BadRecord as record:
            return Received(id=name, rejected=[record])

    @property
    def _takers(self) -> Mapping[str, Callable[[Delivery], Iterator[Event]]]:
        return {
            "merge_request": self._merge_request,
            "note": self._note,
            "pipeline": self._pipeline,
            "build": self._build,
            "deployment": self._deployment,
            "issue": self._issue,
            "work_item": self._issue,
        }

    def _merge_request(self, delivery: Delivery) -> Iterator[Event]:
        """A request as it stands. A merge is as old as the delivery's last update, until the API tells its own time."""
        sent = _decoded(delivery, _OfMergeRequest)
        asked = sent.object_attributes
        where = f"merge_request {asked.id}"
        if asked.state == "merged" and asked.action != "merge":
            raise _IgnoredError("what changes after a merge comes with the next run")
        updated_at = _required(asked.updated_at, f"{where}: updated_at")
        yield from self.reader.change(
            sent.named,
            MergeRequest(
                id=asked.id,
                iid=asked.iid,
                created_at=_required(asked.created_at, f"{where}: created_at"),
                updated_at=updated_at,
                state=asked.state,
                title=asked.title,
                merged_at=updated_at if asked.state == "merged" else None,
                closed_at=updated_at if asked.state == "closed" and asked.action == "close" else None,
                target_branch=asked.target_branch,
                source_branch=asked.source_branch,
                draft=asked.draft,
                work_in_progress=asked.work_in_progress,
                sha=asked.last_commit.id if asked.last_commit else None,
                merge_commit_sha=asked.merge_commit_sha,
                squash_commit_sha=asked.squash_commit_sha,
                labels=[label.title for label in sent.labels],
                author=_author(sent, asked.author_id),
                web_url=asked.url,
            ),
            Details(),
            Notes(),
        )

    def _note(self, delivery: Delivery) -> Iterator[Event]:
        """A comment on a request, by somebody else than its author."""
        sent = _decoded(delivery, _OfNote)
        note, request = sent.object_attributes, sent.merge_request
        if note.noteable_type != "MergeRequest" or request is None or note.system:
            raise _IgnoredError("comments on merge requests alone are read")
        if note.author_id == request.author_id:
            raise _IgnoredError("its author's own comment is no review")
        created_at = _required(note.created_at, f"note {note.id}: created_at")
        updated_at = _time(note.updated_at)
        made = Note(note.id, created_at, updated_at, author=_author(sent, note.author_id))
        yield self.reader.review(sent.named, str(request.id), made, ReviewState.COMMENTED)

    def _pipeline(self, delivery: Delivery) -> Iterator[Event]:
        """A pipeline, and its jobs as they stand; those that were run again before are not named."""
        sent = _decoded(delivery, _OfPipeline)
        of = sent.object_attributes
        jobs = [_job(b) for b in sent.builds]
        times = [t for j in jobs for t in (j.created_at, j.started_at, j.finished_at)]
        pipeline = Pipeline(
            id=of.id,
            updated_at=_newest([_time(of.created_at), _time(of.finished_at), *times], f"pipeline {of.id}"),
            status=of.status,
            source="parent_pipeline" if sent.is_child else of.source,
            name=of.name,
            ref=of.ref,
            sha=of.sha,
            created_at=_time(of.created_at),
            web_url=of.url,
        )
        places = {b.id: place for b in sent.builds if (place := self._place(b.environment))}
        yield from self.reader.runs(sent.named, pipeline, jobs, places, Notes())

    def _build(self, delivery: Delivery) -> Iterator[Event]:
        """One job. Where nothing names its pipeline it is called as the API calls it."""
        sent = _decoded(delivery, _OfBuild)
        job = _job(
            _Build(
                id=sent.build_id,
                name=sent.build_name,
                status=sent.build_status,
                allow_failure=sent.build_allow_failure,
                created_at=sent.build_created_at,
                started_at=sent.build_started_at,
                finished_at=sent.build_finished_at,
                failure_reason=sent.build_failure_reason,
                user=sent.user,
            )
        )
        pipeline = Pipeline(
            id=sent.pipeline_id,
            updated_at=_newest([job.created_at, job.started_at, job.finished_at], f"job {job.id}"),
            source="parent_pipeline" if sent.is_child else None,
            name=sent.commit.name if sent.commit else None,
            ref=sent.ref,
            sha=sent.sha,
        )
        place = self._place(sent.environment)
        yield from self.reader.job(sent.named, pipeline, job, place, sent.retries_count + 1, Notes())

    def _place(self, environment: Environment | None) -> str | None:
        """What a job deploys to; one that stops or checks an environment deploys nothing."""
        starts = environment is not None and environment.action in {None, "start"}
        return environment.name if self.environments and environment is not None and starts else None

    def _deployment(self, delivery: Delivery) -> Iterator[Event]:
        sent = _decoded(delivery, _OfDeployment)
        if not self.reader.own_deployments:
            raise _IgnoredError("rules say which jobs deploy")
        changed_at = _required(sent.status_changed_at, f"deployment {sent.deployment_id}: status_changed_at")
        job = sent.deployable_id
        if job is not None and sent.status == "failed":
            raise _IgnoredError("whether its job may fail comes with the next run")
        made = OwnDeployment(
            id=sent.deployment_id,
            updated_at=changed_at,
            status=sent.status,
            ref=sent.ref,
            sha=(sent.commit_url or "").rpartition("/")[2],
            environment=Environment(sent.environment),
            deployable=None
            if job is None
            else Job(id=job, name="", finished_at=changed_at, web_url=sent.deployable_url),
            user=sent.user,
        )
        found = self.reader.deployment(sent.named, made, Notes())
        if found is None:
            raise _IgnoredError(f"a deployment that is {sent.status[:40]!r} has not ended, or deployed nothing")
        yield found

    def _issue(self, delivery: Delivery) -> Iterator[Event]:
        """An incident, or a new ticket: the replies of others come with the next run."""
        sent = _decoded(delivery, _OfIssue)
        issue = sent.object_attributes
        found = self.reader.issue(
            sent.named,
            Issue(
                id=issue.id,
                iid=issue.iid,
                created_at=_required(issue.created_at, f"issue {issue.id}: created_at"),
                updated_at=_required(issue.updated_at, f"issue {issue.id}: updated_at"),
                state=issue.state,
                issue_type=(issue.type or "").lower(),
                title=issue.title,
                closed_at=_time(issue.closed_at),
                moved_to_id=issue.moved_to_id,
                severity=issue.severity,
                labels=[label.title for label in sent.labels],
                author=_author(sent, issue.author_id),
                web_url=issue.url,
            ),
            None,
        )
        if found is None:
            raise _IgnoredError("it is neither an incident nor a ticket")
        if not isinstance(found, Incident) and issue.action != "open":
            raise _IgnoredError("what changes on a ticket comes with the next run")
        yield found


def _decoded(delivery: Delivery, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(delivery.body, type=kind)
    except msgspec.ValidationError as error:
        raise ContractError(f"the delivery is not as documented: {error}") from None
    except (msgspec.DecodeError, RecursionError):
        raise ContractError("the delivery is no JSON; its webhook must send JSON") from None


def _author(sent: _Delivered, author: int | None) -> GitLabUser | None:
    """Its author, where that is who caused the delivery: of others it has a number alone."""
    return sent.user if sent.user is not None and sent.user.id == author else None


def _job(build: _Build) -> Job:
    return Job(
        id=build.id,
        name=build.name,
        status=build.status,
        allow_failure=build.allow_failure,
        created_at=_time(build.created_at),
        started_at=_time(build.started_at),
        finished_at=_time(build.finished_at),
        failure_reason=build.failure_reason,
        user=build.user,
    )


def _time(text: str | None) -> datetime | None:
    return parsed(text) if text else None


def _required(text: str, where: str) -> datetime:
    at = parsed(text)
    if at is None:
        raise BadRecord(where, "it is no time with an offset")
    return at


def _newest(times: Sequence[datetime | None], where: str) -> datetime:
    known = [at for at in times if at is not None]
    if not known:
        raise BadRecord(where, "it has no time with an offset")
    return max(known)
