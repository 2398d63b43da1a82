"""What Gitea and Forgejo send, by their API or their webhooks, as far as it is used; and which events that is.

A leaf of its source: it asks nobody. The two servers list runs of workflows in different shapes; one type reads both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
_DRAFT = re.compile(r"\s*(?:\[WIP\]|WIP:)", re.IGNORECASE)
_NO_TIME_BEFORE = 1971  # times that are not known are sent as year 1 or as the beginning of 1970
_ACTIONS_USER = -2

_RUNS: dict[str, tuple[RunState, Result | None]] = {
    **dict.fromkeys(("waiting", "blocked", "queued", "pending", "requested"), (RunState.PENDING, None)),
    **dict.fromkeys(("running", "in_progress", "running_with_failure"), (RunState.EXECUTING, None)),
    "cancelling": (RunState.FINALIZING, None),
    "success": (RunState.COMPLETED, Result.SUCCESS),
    "failure": (RunState.COMPLETED, Result.FAILURE),
    "cancelled": (RunState.COMPLETED, Result.CANCELLATION),
    "skipped": (RunState.COMPLETED, Result.SKIP),
}
_REVIEWS: dict[str, ReviewState | None] = {
    "APPROVED": ReviewState.APPROVED,
    "REQUEST_CHANGES": ReviewState.CHANGES_REQUESTED,
    "COMMENT": ReviewState.COMMENTED,
    "PENDING": None,
    "REQUEST_REVIEW": None,
}
"""What reviews say; None for those that were not given yet."""


class User(msgspec.Struct):
    """Somebody, a program, or who is left of a deleted account."""

    login: str = ""
    id: int = 0


class Repository(msgspec.Struct):
    """A repository and which of its parts are in use."""

    full_name: str
    archived: bool = False
    empty: bool = False
    has_pull_requests: bool = True
    has_issues: bool = True
    has_actions: bool = True
    has_releases: bool = True


class Branch(msgspec.Struct):
    """One end of a pull request."""

    ref: str | None = None
    sha: str | None = None


class Label(msgspec.Struct):
    """A label."""

    name: str = ""


class Pull(msgspec.Struct, kw_only=True):
    """A pull request."""

    id: int
    number: Integer
    created_at: Timestamp
    updated_at: Timestamp
    state: str = ""
    title: str | None = None
    draft: bool | None = None
    merged: bool = False
    merged_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    merge_commit_sha: str | None = None
    base: Branch | None = None
    head: Branch | None = None
    labels: list[Label] | None = None
    user: User | None = None
    html_url: str | None = None

    @property
    def version(self) -> str:
        """Its number and when it was updated: the same version is the same thing."""
        return f"{self.id}@{self.updated_at.isoformat()}"

    @property
    def is_draft(self) -> bool:
        """Whether it is marked as not ready: older servers do so by its title alone."""
        return bool(_DRAFT.match(self.title or "")) if self.draft is None else self.draft


class Author(msgspec.Struct):
    """Who wrote a commit, and when."""

    date: Timestamp | None = None


class InnerCommit(msgspec.Struct):
    """What git says of a commit."""

    author: Author | None = None


class PullCommit(msgspec.Struct):
    """A commit of a pull request."""

    sha: str = ""
    commit: InnerCommit | None = None


class PullReview(msgspec.Struct, kw_only=True):
    """A review of a pull request."""

    id: int
    state: str = ""
    submitted_at: Timestamp | None = None
    updated_at: Timestamp | None = None
    dismissed: bool = False
    user: User | None = None
    html_url: str | None = None


class Happening(msgspec.Struct, kw_only=True):
    """Something on the timeline of a pull request or an issue. Of a label the body says whether it was added."""

    id: int
    created_at: Timestamp
    updated_at: Timestamp | None = None
    type: str = ""
    old_title: str | None = None
    new_title: str | None = None
    body: str | None = None
    label: Label | None = None
    user: User | None = None
    html_url: str | None = None


class Details(NamedTuple):
    """What is asked for each merged pull request."""

    commits: Sequence[PullCommit] = ()
    reviews: Sequence[PullReview] = ()
    timeline: Sequence[Happening] = ()


class Run(msgspec.Struct, kw_only=True):
    """A run of a workflow: Gitea's names stand first, Forgejo's second."""

    id: int
    status: str = ""
    conclusion: str | None = None
    run_attempt: Integer = 1
    run_number: int | None = None
    index_in_repo: int | None = None
    path: str | None = None
    workflow_id: str | None = None
    head_sha: str | None = None
    commit_sha: str | None = None
    head_branch: str | None = None
    prettyref: str | None = None
    created_at: Timestamp | None = None
    created: Timestamp | None = None
    updated_at: Timestamp | None = None
    updated: Timestamp | None = None
    started_at: Timestamp | None = None
    started: Timestamp | None = None
    completed_at: Timestamp | None = None
    stopped: Timestamp | None = None
    actor: User | None = None
    trigger_user: User | None = None
    html_url: str | None = None

    @property
    def has_job_list(self) -> bool:
        """Whether the jobs of this run are listed with their times: Gitea does so, Forgejo lists tasks."""
        return self.head_sha is not None

    @property
    def number(self) -> int | None:
        """Its number within its repository."""
        return self.run_number if self.run_number is not None else self.index_in_repo

    @property
    def begun_at(self) -> datetime | None:
        """When it was made, else when it was started."""
        return _when(self.created_at, self.created, self.started_at, self.started)

    @property
    def moved_at(self) -> datetime | None:
        """When it was last seen to move."""
        known = (_when(self.updated_at, self.updated), _when(self.completed_at, self.stopped), self.begun_at)
        return max(filter(None, known), default=None)

    @property
    def native_id(self) -> str:
        """Its attempt's own id."""
        return f"run/{self.id}/{max(self.run_attempt, 1)}"

    @property
    def version(self) -> str:
        """Its attempt, and when it last moved."""
        return f"{self.native_id}@{self.moved_at.isoformat() if self.moved_at else ''}"

    @property
    def has_ended(self) -> bool:
        """Whether it has a result."""
        return (self.conclusion or self.status) in {"success", "failure", "cancelled", "skipped"}

    @property
    def workflow(self) -> str:
        """The name of its workflow's file."""
        return (self.path or "").partition("@")[0].rpartition("/")[2] or self.workflow_id or "workflow"

    @property
    def ref(self) -> str | None:
        """Its branch or tag, without what git puts before it."""
        of_path = re.sub(r"^refs/(?:heads|tags)/", "", (self.path or "").partition("@")[2])
        return of_path or self.head_branch or self.prettyref


class Job(msgspec.Struct, kw_only=True):
    """A job of a run of Gitea."""

    id: int
    name: str
    status: str = ""
    conclusion: str | None = None
    run_attempt: Integer = 1
    created_at: Timestamp | None = None
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    html_url: str | None = None


class Task(msgspec.Struct, kw_only=True):
    """A job that a runner took: Forgejo, and older servers, tell the times of these alone."""

    id: int
    name: str
    created_at: Timestamp
    updated_at: Timestamp
    status: str = ""
    run_number: int | None = None
    workflow_id: str | None = None
    head_branch: str | None = None
    head_sha: str | None = None
    run_started_at: Timestamp | None = None
    url: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it has a result."""
        return self.status in {"success", "failure", "cancelled", "skipped"}


class Release(msgspec.Struct, kw_only=True):
    """A release."""

    id: int
    tag_name: str
    created_at: Timestamp
    published_at: Timestamp | None = None
    draft: bool = False
    prerelease: bool = False
    author: User | None = None
    html_url: str | None = None

    @property
    def at(self) -> datetime:
        """When it was published."""
        return _when(self.published_at) or self.created_at


class Tagged(msgspec.Struct):
    """What a tag names."""

    sha: str | None = None


class Tag(msgspec.Struct):
    """A tag."""

    commit: Tagged | None = None


class Issue(msgspec.Struct, kw_only=True):
    """An issue that is no pull request."""

    id: int
    number: Integer
    created_at: Timestamp
    updated_at: Timestamp
    state: str = ""
    title: str | None = None
    closed_at: Timestamp | None = None
    labels: list[Label] | None = None
    comments: int = 0
    user: User | None = None
    html_url: str | None = None
    pull_request: Any = None

    @property
    def version(self) -> str:
        """Its number and when it was updated: the same version is the same thing."""
        return f"{self.id}@{self.updated_at.isoformat()}"


@dataclass(frozen=True)
class Reader:
    """Makes events of what the API or a webhook says, for the source of this name."""

    source: str
    people: People = field(repr=False)
    deploying: Deployments
    issues: IssueSettings | None = None

    def change(self, repository: str, pull: Pull, details: Details, notes: Notes) -> list[Event]:
        """A pull request and, of a merged one, its reviews."""
        reviews = [
            *self._verdicts(repository, pull, details.reviews, notes),
            *self._comments(repository, pull, details),
        ]
        person, bot = self._person(pull.user)
        authored = [c.commit.author.date for c in details.commits if c.commit and c.commit.author]
        head = pull.head.sha if pull.head else None
        change = Change(
            source=self.source,
            native_id=str(pull.id),
            updated_at=pull.updated_at,
            url=pull.html_url,
            repository=repository,
            number=pull.number,
            state=self._state(pull, notes),
            title=pull.title,
            created_at=pull.created_at,
            ready_at=_ready_at(pull, details.timeline, reviews),
            first_commit_at=min(filter(None, authored), default=None),
            merged_at=_when(pull.merged_at) if pull.merged else None,
            closed_at=_when(pull.closed_at),
            target_branch=pull.base.ref if pull.base else None,
            source_branch=pull.head.ref if pull.head else None,
            merge_sha=_sha(pull.merge_commit_sha or head) if pull.merged else None,
            head_sha=_sha(head),
            commit_shas=tuple(c.sha for c in details.commits if _sha(c.sha)),
            author=person,
            bot=bot,
            labels=_names(pull.labels),
        )
        return [change, *reviews]

    def _state(self, pull: Pull, notes: Notes) -> ChangeState:
        if pull.merged:
            return ChangeState.MERGED
        if pull.state == "closed":
            return ChangeState.CLOSED
        if pull.state != "open":
            notes.unknown("the state of a pull request", pull.state, "open")
        return ChangeState.WIP if pull.is_draft else ChangeState.OPEN

    def _verdicts(self, repository: str, pull: Pull, reviews: Sequence[PullReview], notes: Notes) -> Iterator[Review]:
        for review in reviews:
            if review.state not in _REVIEWS:
                notes.unknown("the state of a review", review.state, "a comment")
            state = _REVIEWS.get(review.state, ReviewState.COMMENTED)
            at = _when(review.submitted_at)
            if state is not None and at is not None and not _same(review.user, pull.user):
                state = ReviewState.DISMISSED if review.dismissed else state
                times = at, _when(review.updated_at) or at
                yield self._review(repository, pull, f"review/{review.id}", times, state, review.user)

    def _comments(self, repository: str, pull: Pull, details: Details) -> Iterator[Review]:
        for said in details.timeline:
            if said.type == "comment" and not _same(said.user, pull.user):
                times = said.created_at, _when(said.updated_at) or said.created_at
                yield self._review(repository, pull, f"comment/{said.id}", times, ReviewState.COMMENTED, said.user)

    def _review(
        self,
        repository: str,
        pull: Pull,
        native_id: str,
        times: tuple[datetime, datetime],
        state: ReviewState,
        user: User | None,
    ) -> Review:
        person, bot = self._person(user)
        return Review(
            source=self.source,
            native_id=native_id,
            updated_at=times[1],
            repository=repository,
            change_native_id=str(pull.id),
            at=times[0],
            state=state,
            author=person,
            bot=bot,
        )

    def run(self, repository: str, run: Run, notes: Notes) -> Iterator[Event]:
        """One attempt of a run, and what it deployed."""
        state, result = self._standing(run.status, run.conclusion, notes)
        person, bot = self._person(run.actor or run.trigger_user)
        yield from self._with_deployment(
            PipelineRun(
                source=self.source,
                native_id=run.native_id,
                updated_at=run.moved_at,
                url=run.html_url,
                repository=repository,
                pipeline=run.workflow,
                attempt=max(run.run_attempt, 1),
                state=state,
                result=result,
                created_at=run.begun_at,
                started_at=_when(run.started_at, run.started),
                finished_at=_when(run.completed_at, run.stopped) if result else None,
                sha=_sha(run.head_sha or run.commit_sha),
                ref=run.ref,
                actor=person,
                bot=bot,
            )
        )

    def job(self, repository: str, run: Run, job: Job, notes: Notes) -> Iterator[Event]:
        """A job of a run, and what it deployed."""
        state, result = self._standing(job.status, job.conclusion, notes)
        person, bot = self._person(run.actor or run.trigger_user)
        times = (_when(job.created_at), _when(job.started_at), _when(job.completed_at), run.moved_at)
        yield from self._with_deployment(
            PipelineRun(
                source=self.source,
                native_id=f"job/{job.id}/{max(job.run_attempt, 1)}",
                updated_at=max(filter(None, times), default=None),
                url=job.html_url,
                repository=repository,
                pipeline=run.workflow,
                run_kind=RunKind.TASK,
                task=job.name or str(job.id),
                parent_native_id=run.native_id,
                attempt=max(job.run_attempt, 1),
                state=state,
                result=result,
                created_at=_when(job.created_at),
                started_at=_when(job.started_at),
                finished_at=_when(job.completed_at) if result else None,
                sha=_sha(run.head_sha or run.commit_sha),
                ref=run.ref,
                actor=person,
                bot=bot,
            )
        )

    def task(self, repository: str, task: Task, run: str | None, notes: Notes) -> Iterator[Event]:
        """A job that a runner took, and what it deployed. Once it has ended its last update is its end."""
        state, result = self._standing(task.status, None, notes)
        yield from self._with_deployment(
            PipelineRun(
                source=self.source,
                native_id=f"task/{task.id}",
                updated_at=task.updated_at,
                url=task.url,
                repository=repository,
                pipeline=task.workflow_id or "workflow",
                run_kind=RunKind.TASK,
                task=task.name or str(task.id),
                parent_native_id=run,
                state=state,
                result=result,
                created_at=task.created_at,
                started_at=_when(task.run_started_at),
                finished_at=task.updated_at if result else None,
                sha=_sha(task.head_sha),
                ref=task.head_branch,
            )
        )

    def _with_deployment(self, run: PipelineRun) -> Iterator[Event]:
        yield run
        if (deployment := self.deploying.of(run)) is not None:
            yield deployment

    def _standing(self, status: str, conclusion: str | None, notes: Notes) -> tuple[RunState, Result | None]:
        said = conclusion or status
        known = _RUNS.get(said)
        if known is None:
            notes.unknown("the status of a run", said, "pending")
        return known or (RunState.PENDING, None)

    def release(self, repository: str, release: Release, sha: str | None, environment: str) -> Deployment:
        """A published release as a deployment."""
        service, place = self.deploying.place(repository, environment, release.tag_name)
        person, bot = self._person(release.author)
        return Deployment(
            source=self.source,
            native_id=f"release/{release.id}",
            updated_at=release.at,
            url=release.html_url,
            service=service,
            environment=place,
            finished_at=release.at,
            result=Result.SUCCESS,
            repository=repository,
            sha=_sha(sha),
            version=release.tag_name,
            ref=release.tag_name,
            actor=person,
            bot=bot,
        )

    def issue(self, repository: str, issue: Issue, timeline: Sequence[Happening] | None) -> Incident | Ticket | None:
        """An incident or a ticket by its labels; None for others, and for a pull request.

        `timeline`: None where it was not read, as in a webhook; the list's version, a moment newer, has it.
        """
        labels, settings = _names(issue.labels), self.issues
        kind = None if settings is None or issue.pull_request is not None else settings.kind(labels)
        if kind is None or settings is None:
            return None
        closed = issue.state == "closed"
        closed_at = _when(issue.closed_at) if closed else None
        life = settings.states.life(labels, _turns(timeline or ()), None if timeline is None else issue.created_at)
        common: dict[str, Any] = {
            "source": self.source,
            "native_id": str(issue.id),
            "updated_at": issue.updated_at - (MOMENT if timeline is None else timedelta()),
            "url": issue.html_url,
            "title": issue.title,
            "labels": labels,
            "service": last_part(repository),
            "closed_at": closed_at,
        }
        if kind is Incident:
            return Incident(
                **common,
                **incident_states(settings, labels, life, closed=closed),
                started_at=issue.created_at,
                restored_at=closed_at,
                severity=settings.severity(labels),
            )
        return Ticket(
            **common,
            queue=settings.queue or repository,
            state=settings.states.state(labels, closed=closed),
            transitions=of_ticket(life),
            created_at=issue.created_at,
            resolved_at=closed_at,
            author=self._person(issue.user)[0],
            replies=tuple(self._reply(said) for said in timeline or () if said.type == "comment"),
        )

    def _reply(self, said: Happening) -> Reply:
        person, bot = self._person(said.user)
        return Reply(at=said.created_at, author=person, bot=bot)

    def _person(self, user: User | None) -> tuple[str | None, bool]:
        """Who somebody is, as a hash, and whether that is a program; nobody for a deleted account."""
        if user is None or not user.login or (user.id < 0 and user.id != _ACTIONS_USER):
            return None, False
        return self.people.hashed(user.login), user.id == _ACTIONS_USER or self.people.is_bot(user.login)


def _ready_at(pull: Pull, timeline: Sequence[Happening], reviews: Sequence[Review]) -> datetime | None:
    """When a pull request was ready for review: the last time before its first review, else the first time.

    Its title tells: before it was first changed so, it was what that change ended.
    """
    turns = [
        (said.created_at, not _DRAFT.match(said.new_title or ""))
        for said in sorted(timeline, key=lambda said: said.created_at)
        if said.type == "change_title"
        and bool(_DRAFT.match(said.old_title or "")) is not bool(_DRAFT.match(said.new_title or ""))
    ]
    if not turns:
        return None if pull.is_draft else pull.created_at
    times = [] if turns[0][1] else [pull.created_at]
    times += [at for at, ready in turns if ready]
    reviewed = min((r.at for r in reviews if not r.bot), default=None)
    before = [at for at in times if reviewed is None or at <= reviewed]
    return before[-1] if before else next(iter(times), None)


def _same(one: User | None, other: User | None) -> bool:
    return one is not None and other is not None and one.login == other.login


def _turns(timeline: Sequence[Happening]) -> Iterator[Turn]:
    """What happened to an issue. A label that was added has `1` as its body, one that was removed none."""
    for said in timeline:
        if said.type in {"close", "reopen"}:
            yield Turn(said.created_at, closed=said.type == "close")
        elif said.type == "label" and said.label is not None:
            yield Turn(said.created_at, label=said.label.name, added=said.body == "1")


def _names(labels: Sequence[Label] | None) -> tuple[str, ...]:
    return tuple(label.name for label in labels or ())


def _when(*times: datetime | None) -> datetime | None:
    """The first time that is one: the servers write the beginning of a calendar where they mean none."""
    return next((at for at in times if at is not None and at.year >= _NO_TIME_BEFORE), None)


def _sha(text: str | None) -> str | None:
    return text if text and _SHA.fullmatch(text) else None


def last_part(repository: str) -> str:
    """The last part of a repository's whole name."""
    return repository.rpartition("/")[2]
