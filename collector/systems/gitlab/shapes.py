"""What GitLab sends, by its API or its webhooks, as far as it is used; and which events that is.

A leaf of its source: it asks nobody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from collector.api import MOMENT, IssueSettings, incident_states
from collector.deploying import Deployments
from collector.events import (
    Change,
    ChangeState,
    Deployment,
    Event,
    Incident,
    Integer,
    PipelineRun,
    Reply,
    Result,
    Review,
    ReviewState,
    RunKind,
    RunState,
    Ticket,
    Timestamp,
)
from collector.people import People
from collector.streams import Notes
from collector.tracking import Turn, of_ticket

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TOKEN_BOT = re.compile(r"(?:group|project)_\d+_bot", re.IGNORECASE)
_READINESS = re.compile(r"(un)?marked .*\*\*(draft|ready|work in progress)\*\*", re.IGNORECASE)
_UNNAMED, _UNNAMED_CHILD = "pipeline", "child pipeline"

_RUNS: dict[str, tuple[RunState, Result | None]] = {
    **dict.fromkeys(
        ("created", "waiting_for_resource", "waiting_for_callback", "preparing", "pending", "manual", "scheduled"),
        (RunState.PENDING, None),
    ),
    "running": (RunState.EXECUTING, None),
    "canceling": (RunState.FINALIZING, None),
    "success": (RunState.COMPLETED, Result.SUCCESS),
    "failed": (RunState.COMPLETED, Result.FAILURE),
    "canceled": (RunState.COMPLETED, Result.CANCELLATION),
    "skipped": (RunState.COMPLETED, Result.SKIP),
}
_MOVING = frozenset({"created", "waiting_for_resource", "preparing", "pending", "running", "canceling"})
_FAILURES = {
    "job_execution_timeout": Result.TIMEOUT,
    "stuck_or_timeout_failure": Result.TIMEOUT,
    **dict.fromkeys(
        (
            "api_failure",
            "archived_failure",
            "data_integrity_failure",
            "runner_system_failure",
            "runner_unsupported",
            "scheduler_failure",
            "stale_schedule",
            "unknown_failure",
        ),
        Result.ERROR,
    ),
}
"""Failures of jobs that are not their script's."""
_DEPLOYMENTS = {
    "success": Result.SUCCESS,
    "failed": Result.FAILURE,
    **dict.fromkeys(("created", "running", "blocked", "canceled", "skipped")),
}
"""How deployments ended; None for those that have not, and for those that deployed nothing."""
_CHANGES = {
    "opened": ChangeState.OPEN,
    "locked": ChangeState.OPEN,
    "closed": ChangeState.CLOSED,
    "merged": ChangeState.MERGED,
}
_VERDICTS = {
    "approved this merge request": ReviewState.APPROVED,
    "unapproved this merge request": ReviewState.DISMISSED,
    "requested changes": ReviewState.CHANGES_REQUESTED,
}
"""What the system itself notes when somebody decides."""


# ---- what the API sends, as far as it is used


class GitLabUser(msgspec.Struct):
    """Somebody, or a program."""

    username: str = ""
    id: int | None = None
    bot: bool | None = None


class Listed(msgspec.Struct):
    """What every list tells of its items."""

    id: int
    updated_at: Timestamp

    @property
    def version(self) -> str:
        """Its number and when it was updated: the same version is the same thing."""
        return f"{self.id}@{self.updated_at.isoformat()}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing about it changes without its being updated."""
        return True


def updated_at(version: str) -> datetime:
    """When a version was updated."""
    return datetime.fromisoformat(version.partition("@")[2])


class Project(msgspec.Struct):
    """A project, and which of its parts are in use."""

    path_with_namespace: str
    merge_requests_access_level: str | None = None
    builds_access_level: str | None = None
    issues_access_level: str | None = None
    empty_repo: bool = False


class MergeRequest(Listed, kw_only=True):
    """A merge request."""

    iid: Integer
    created_at: Timestamp
    state: str = ""
    title: str | None = None
    merged_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    target_branch: str | None = None
    source_branch: str | None = None
    draft: bool | None = None
    work_in_progress: bool | None = None
    sha: str | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    labels: list[str] = []
    author: GitLabUser | None = None
    web_url: str | None = None


class MergedCommit(msgspec.Struct):
    """A commit of a merge request."""

    id: str
    authored_date: Timestamp | None = None


class Note(msgspec.Struct):
    """A comment, or what the system noted."""

    id: int
    created_at: Timestamp
    updated_at: Timestamp | None = None
    body: str | None = None
    system: bool = False
    internal: bool | None = None
    author: GitLabUser | None = None


class Pipeline(Listed, kw_only=True):
    """A pipeline, without its jobs."""

    status: str = ""
    source: str | None = None
    name: str | None = None
    ref: str | None = None
    sha: str | None = None
    created_at: Timestamp | None = None
    web_url: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its jobs stand still: not while it runs, when only its own status counts as an update."""
        return self.status not in _MOVING

    @property
    def called(self) -> str:
        """A pipeline has a name only where its project gives it one."""
        return self.name or (_UNNAMED_CHILD if self.source == "parent_pipeline" else _UNNAMED)


class Job(msgspec.Struct, kw_only=True):
    """One attempt of a job."""

    id: int
    name: str
    status: str = ""
    allow_failure: bool = False
    created_at: Timestamp | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    failure_reason: str | None = None
    user: GitLabUser | None = None
    web_url: str | None = None


class Environment(msgspec.Struct):
    """An environment; `action` says what a job does with it."""

    name: str = ""
    action: str | None = None


class OwnDeployment(Listed, kw_only=True):
    """What the system itself calls a deployment."""

    status: str = ""
    ref: str | None = None
    sha: str | None = None
    finished_at: Timestamp | None = None
    environment: Environment | None = None
    deployable: Job | None = None
    user: GitLabUser | None = None


class Issue(Listed, kw_only=True):
    """An issue of any type."""

    iid: Integer
    created_at: Timestamp
    state: str = ""
    issue_type: str | None = None
    title: str | None = None
    closed_at: Timestamp | None = None
    moved_to_id: int | None = None
    severity: str | None = None
    labels: list[str] = []
    author: GitLabUser | None = None
    user_notes_count: int = 0
    web_url: str | None = None


class StateEvent(msgspec.Struct):
    """An issue was closed or reopened."""

    created_at: Timestamp
    state: str


class LabelEvent(msgspec.Struct):
    """A label was added to an issue or removed from it; it is null where the label was deleted since."""

    created_at: Timestamp
    action: str
    label: IssueLabel | None = None


class IssueLabel(msgspec.Struct):
    """A label by its name."""

    name: str


class IssueHistory(NamedTuple):
    """What was said about an issue, and what happened to it."""

    notes: Sequence[Note] = ()
    turns: Sequence[Turn] = ()


def turns_of(states: Sequence[StateEvent], labels: Sequence[LabelEvent]) -> list[Turn]:
    """What happened to an issue."""
    ends = {"closed": True, "reopened": False}
    found = [Turn(one.created_at, closed=ends[one.state]) for one in states if one.state in ends]
    named = ((one, one.label.name) for one in labels if one.label is not None)
    return [*found, *(Turn(one.created_at, label=name, added=one.action == "add") for one, name in named)]


class Details(NamedTuple):
    """What is asked for each merged merge request."""

    commits: Sequence[MergedCommit] = ()
    notes: Sequence[Note] = ()


# ---- what becomes of it


@dataclass(frozen=True)
class Reader:
    """Makes events of what the API or a webhook says, for the source of this name."""

    source: str
    people: People = field(repr=False)
    deploying: Deployments
    issues: IssueSettings | None = None
    own_deployments: bool = False

    def change(self, repository: str, asked: MergeRequest, details: Details, notes: Notes) -> list[Event]:
        """A merge request and, of a merged one, its reviews."""
        state = _CHANGES.get(asked.state)
        if state is None:
            notes.unknown("the state of a merge request", asked.state, "open")
        draft = asked.draft or asked.work_in_progress or False
        reviews = list(self._reviews(repository, asked, details.notes))
        person, bot = self._person(asked.author)
        merged = state is ChangeState.MERGED
        change = Change(
            source=self.source,
            native_id=str(asked.id),
            updated_at=asked.updated_at,
            url=asked.web_url,
            repository=repository,
            number=asked.iid,
            state=ChangeState.WIP if draft and state is ChangeState.OPEN else state or ChangeState.OPEN,
            title=asked.title,
            created_at=asked.created_at,
            ready_at=_ready_at(asked, draft, details.notes, reviews),
            first_commit_at=min((c.authored_date for c in details.commits if c.authored_date), default=None),
            merged_at=asked.merged_at if merged else None,
            closed_at=asked.closed_at,
            target_branch=asked.target_branch,
            source_branch=asked.source_branch,
            merge_sha=_sha(asked.merge_commit_sha or asked.squash_commit_sha or asked.sha) if merged else None,
            head_sha=_sha(asked.sha),
            commit_shas=tuple(c.id for c in details.commits if _sha(c.id)),
            author=person,
            bot=bot,
            labels=tuple(asked.labels),
        )
        return [change, *reviews]

    def _reviews(self, repository: str, asked: MergeRequest, notes: Sequence[Note]) -> Iterator[Review]:
        """What others than its author said of it: comments, and what the system notes of their decisions."""
        for note in notes:
            verdict = _VERDICTS.get((note.body or "").strip().lower()) if note.system else ReviewState.COMMENTED
            own = note.author is not None and asked.author is not None and note.author.username == asked.author.username
            if verdict is not None and not own:
                yield self.review(repository, str(asked.id), note, verdict)

    def review(self, repository: str, change: str, note: Note, verdict: ReviewState) -> Review:
        """A note as a review."""
        person, bot = self._person(note.author)
        return Review(
            source=self.source,
            native_id=f"note/{note.id}",
            updated_at=note.updated_at or note.created_at,
            repository=repository,
            change_native_id=change,
            at=note.created_at,
            state=verdict,
            author=person,
            bot=bot,
        )

    def runs(
        self, repository: str, pipeline: Pipeline, jobs: Sequence[Job], places: Mapping[int, str], notes: Notes
    ) -> Iterator[Event]:
        """A pipeline, the attempts of its jobs, and what was deployed by it or them."""
        state, result = self._standing(pipeline.status, None, notes)
        ordered = sorted(jobs, key=lambda job: job.id)
        person, bot = self._person(ordered[0].user if ordered else None)
        whole = PipelineRun(
            source=self.source,
            native_id=f"run/{pipeline.id}",
            updated_at=pipeline.updated_at,
            url=pipeline.web_url,
            repository=repository,
            pipeline=pipeline.called,
            state=state,
            result=result,
            created_at=pipeline.created_at,
            started_at=min((j.started_at for j in jobs if j.started_at), default=None),
            finished_at=max((j.finished_at for j in jobs if j.finished_at), default=None) if result else None,
            sha=_sha(pipeline.sha),
            ref=pipeline.ref,
            actor=person,
            bot=bot,
        )
        yield from self._with_deployment(whole)
        attempts = Counter[str]()
        for job in ordered:
            attempts[job.name] += 1
            yield from self.job(repository, pipeline, job, places.get(job.id), attempts[job.name], notes)

    def job(
        self, repository: str, pipeline: Pipeline, job: Job, environment: str | None, attempt: int, notes: Notes
    ) -> Iterator[Event]:
        """One attempt of a job, and what it deployed. It is as new as the pipeline: jobs have no time of update."""
        state, result = self._standing(job.status, job.failure_reason, notes)
        person, bot = self._person(job.user)
        yield from self._with_deployment(
            PipelineRun(
                source=self.source,
                native_id=f"job/{job.id}",
                updated_at=max(filter(None, (pipeline.updated_at, job.created_at, job.started_at, job.finished_at))),
                url=job.web_url,
                repository=repository,
                pipeline=pipeline.called,
                run_kind=RunKind.TASK,
                task=job.name,
                parent_native_id=f"run/{pipeline.id}",
                attempt=attempt,
                state=state,
                result=result,
                created_at=job.created_at,
                started_at=job.started_at,
                finished_at=job.finished_at if result else None,
                sha=_sha(pipeline.sha),
                ref=pipeline.ref,
                environment=environment,
                actor=person,
                bot=bot,
                allow_failure=job.allow_failure,
            )
        )

    def _with_deployment(self, run: PipelineRun) -> Iterator[Event]:
        yield run
        if (deployment := self.deploying.of(run)) is not None:
            yield deployment

    def _standing(self, status: str, reason: str | None, notes: Notes) -> tuple[RunState, Result | None]:
        known = _RUNS.get(status)
        if known is None:
            notes.unknown("the status of a run", status, "pending")
            return RunState.PENDING, None
        state, result = known
        return state, _FAILURES.get(reason or "", result) if result is Result.FAILURE else result

    def deployment(self, repository: str, made: OwnDeployment, notes: Notes) -> Deployment | None:
        """What the system itself calls a deployment; None where it has not ended, or deployed nothing."""
        if made.status not in _DEPLOYMENTS:
            notes.unknown("the status of a deployment", made.status, "unfinished")
        result = _DEPLOYMENTS.get(made.status)
        job = made.deployable
        named = made.environment.name if made.environment else ""
        if result is None or not named or (job is not None and job.allow_failure and result is not Result.SUCCESS):
            return None
        service, environment = self.deploying.place(repository, named, made.ref or "")
        person, bot = self._person(made.user or (job.user if job else None))
        return Deployment(
            source=self.source,
            native_id=deployment_id(made, service, environment),
            updated_at=made.updated_at,
            url=job.web_url if job else None,
            service=service,
            environment=environment,
            finished_at=made.finished_at or (job and job.finished_at) or made.updated_at,
            result=result,
            repository=repository,
            sha=_sha(made.sha),
            started_at=job.started_at if job else None,
            ref=made.ref,
            pipeline_run_native_id=f"job/{job.id}" if job else None,
            actor=person,
            bot=bot,
        )

    def issue(self, repository: str, issue: Issue, history: IssueHistory | None) -> Incident | Ticket | None:
        """An incident or a ticket, by its type or its labels; None for others, and for one that was moved.

        `history`: None where it was not read, as in a webhook; the list's version, a moment newer, has it.
        """
        settings = self.issues
        if settings is None or issue.moved_to_id is not None:
            return None
        kind = Incident if issue.issue_type == "incident" else settings.kind(issue.labels)
        if kind is None:
            return None
        closed = issue.state == "closed"
        closed_at = issue.closed_at if closed else None
        turns, created_at = (history.turns, issue.created_at) if history else ((), None)
        life = settings.states.life(issue.labels, turns, created_at)
        common: dict[str, Any] = {
            "source": self.source,
            "native_id": str(issue.id),
            "updated_at": issue.updated_at - (MOMENT if history is None else timedelta()),
            "url": issue.web_url,
            "title": issue.title,
            "labels": tuple(issue.labels),
            "service": last_part(repository),
            "closed_at": closed_at,
        }
        if kind is Incident:
            severity = (issue.severity or "").lower()
            return Incident(
                **common,
                **incident_states(settings, issue.labels, life, closed=closed),
                started_at=issue.created_at,
                restored_at=closed_at,
                severity=settings.severity(issue.labels) or (severity if severity != "unknown" else None),
            )
        return Ticket(
            **common,
            queue=settings.queue or repository,
            state=settings.states.state(issue.labels, closed=closed),
            transitions=of_ticket(life),
            created_at=issue.created_at,
            resolved_at=closed_at,
            author=self._person(issue.author)[0],
            replies=tuple(
                self._reply(n) for n in (history.notes if history else ()) if not n.system and not n.internal
            ),
        )

    def _reply(self, note: Note) -> Reply:
        person, bot = self._person(note.author)
        return Reply(at=note.created_at, author=person, bot=bot)

    def _person(self, user: GitLabUser | None) -> tuple[str | None, bool]:
        """Who somebody is, as a hash, and whether that is a program."""
        if user is None or not user.username:
            return None, False
        people, name = self.people, user.username
        return people.hashed(name), bool(user.bot) or bool(_TOKEN_BOT.match(name)) or people.is_bot(name)


def _ready_at(
    asked: MergeRequest,
    draft: bool,  # noqa: FBT001 - a fact of it
    notes: Sequence[Note],
    reviews: Sequence[Review],
) -> datetime | None:
    """When a merge request was ready for review: the last time before its first review, else the first time.

    Before its first note about it, it was what that note ended.
    """
    turns = [(n.created_at, _made_ready(n)) for n in sorted(notes, key=lambda n: n.created_at) if n.system]
    turns = [(at, ready) for at, ready in turns if ready is not None]
    if not turns:
        return None if draft else asked.created_at
    times = [] if turns[0][1] else [asked.created_at]
    times += [at for at, ready in turns if ready]
    reviewed = min((r.at for r in reviews if not r.bot), default=None)
    before = [at for at in times if reviewed is None or at <= reviewed]
    return before[-1] if before else next(iter(times), None)


def _made_ready(note: Note) -> bool | None:
    """Whether the system's note says that a merge request became ready, or a draft; None where it is about neither."""
    found = _READINESS.match(note.body or "")
    if found is None:
        return None
    return found[2].lower() == "ready" or found[1] is not None


def deployment_id(made: OwnDeployment, service: str, environment: str) -> str:
    """That of the job which made it, as rules name it, so that both are one; its own where no job did."""
    return f"job/{made.deployable.id}/{service}/{environment}" if made.deployable else f"deployment/{made.id}"


def _sha(text: str | None) -> str | None:
    return text if text and _SHA.fullmatch(text) else None


def last_part(repository: str) -> str:
    """The last part of a project's whole name."""
    return repository.rpartition("/")[2]
