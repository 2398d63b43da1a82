"""What Azure DevOps answers and delivers, and which events it makes. Asks nothing itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from collector.deploying import Deployments
from collector.errors import BadRecord
from collector.events import (
    Change,
    ChangeState,
    Deployment,
    Event,
    Integer,
    PipelineRun,
    Result,
    Review,
    ReviewState,
    RunState,
)
from collector.people import People
from collector.streams import Notes

_SHA = re.compile(r"[0-9a-f]{40}")
_SET = frozenset({"1", "true"})
_ONLY_STAGE = "__default"
_RESULTS = {
    "succeeded": Result.SUCCESS,
    "partiallysucceeded": Result.SUCCESS,
    "succeededwithissues": Result.SUCCESS,
    "failed": Result.FAILURE,
    "canceled": Result.CANCELLATION,
    "abandoned": Result.CANCELLATION,
    "skipped": Result.SKIP,
    "none": Result.SKIP,
}
_STATES = {
    "completed": RunState.COMPLETED,
    "inprogress": RunState.EXECUTING,
    "cancelling": RunState.FINALIZING,
    "notstarted": RunState.PENDING,
    "postponed": RunState.PENDING,
    "none": RunState.PENDING,
}
CHANGES = {"active": ChangeState.OPEN, "completed": ChangeState.MERGED, "abandoned": ChangeState.CLOSED}
_VOTES = {
    "10": ReviewState.APPROVED,
    "5": ReviewState.APPROVED,
    "0": ReviewState.DISMISSED,
    "-5": ReviewState.CHANGES_REQUESTED,
    "-10": ReviewState.CHANGES_REQUESTED,
}
_RELEASED = {"succeeded": Result.SUCCESS, "partiallysucceeded": Result.SUCCESS, "failed": Result.FAILURE}
_NOT_RELEASED = frozenset({"undefined", "notdeployed", "inprogress"})
_STOPPED = frozenset({"canceled", "phasecanceled", "cancelling", "rejected"})
"""How an operation ends that nobody let finish: no deployment failed."""


class Person(msgspec.Struct, rename="camel"):
    """Somebody, or a service."""

    unique_name: str | None = None
    id: str | None = None
    descriptor: str | None = None


class Named(msgspec.Struct):
    """What has an id and a name."""

    id: str | int | None = None
    name: str | None = None


class Repository(msgspec.Struct, rename="camel"):
    """A repository: of a project, of a pull request, or (`type`, `url`) of a run."""

    id: str | None = None
    name: str | None = None
    project: Named | None = None
    type: str | None = None
    url: str | None = None
    is_disabled: bool | None = None


class Head(msgspec.Struct, rename="camel"):
    """A commit by its id."""

    commit_id: str | None = None


class Label(msgspec.Struct):
    """A label of a pull request."""

    name: str
    active: bool | None = None


class PullRequest(msgspec.Struct, rename="camel"):
    """A pull request."""

    pull_request_id: Integer
    repository: Repository
    creation_date: datetime
    status: str = ""
    closed_date: datetime | None = None
    created_by: Person | None = None
    title: str | None = None
    source_ref_name: str | None = None
    target_ref_name: str | None = None
    is_draft: bool | None = None
    last_merge_commit: Head | None = None
    last_merge_source_commit: Head | None = None
    labels: list[Label] | None = None


class Property(msgspec.Struct):
    """A property of a thread."""

    value: Any = msgspec.field(default=None, name="$value")


class Comment(msgspec.Struct, rename="camel"):
    """A comment in a thread."""

    id: int
    author: Person | None = None
    published_date: datetime | None = None
    comment_type: str | None = None
    is_deleted: bool | None = None


class Thread(msgspec.Struct, rename="camel"):
    """A conversation, or what the system noted of a vote or a state."""

    id: int
    published_date: datetime | None = None
    comments: list[Comment] | None = None
    properties: dict[str, Property | None] | None = None
    identities: dict[str, Person] | None = None
    is_deleted: bool | None = None

    def said(self, name: str) -> str:
        """The text of a property, empty where there is none."""
        found = (self.properties or {}).get(name)
        return "" if found is None or found.value is None else str(found.value)


class Href(msgspec.Struct):
    """An address."""

    href: str | None = None


class Links(msgspec.Struct):
    """Addresses for browsers."""

    web: Href | None = None

    @property
    def page(self) -> str | None:
        """What a browser opens."""
        return None if self.web is None else self.web.href


class Build(msgspec.Struct, rename="camel"):
    """A run of a pipeline."""

    id: int
    status: str | None = None
    result: str | None = None
    reason: str | None = None
    queue_time: datetime | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    last_changed_date: datetime | None = None
    source_branch: str | None = None
    source_version: str | None = None
    definition: Named | None = None
    project: Named | None = None
    repository: Repository | None = None
    requested_for: Person | None = None
    requested_by: Person | None = None
    trigger_info: dict[str, Any] | None = None
    links: Links | None = msgspec.field(default=None, name="_links")


class Attempt(msgspec.Struct, rename="camel"):
    """An earlier attempt of a stage or job."""

    timeline_id: str | None = None


class Record(msgspec.Struct, rename="camel"):
    """A stage, job or task of a run. Its id is the same in each run of a pipeline."""

    id: str
    type: str = ""
    name: str | None = None
    parent_id: str | None = None
    attempt: Integer | None = None
    result: str | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    previous_attempts: list[Attempt] | None = None


class Deployed(msgspec.Struct, rename="camel"):
    """A run's deployment to an environment. It does not say of which commit: its `owner`, the run, does."""

    id: int
    owner: Named | None = None
    definition: Named | None = None
    queue_time: datetime | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    result: str | None = None


class Artifact(msgspec.Struct, rename="camel"):
    """What a release carries."""

    type: str | None = None
    is_primary: bool | None = None
    definition_reference: dict[str, Named | None] | None = None


class Release(msgspec.Struct):
    """A classic release."""

    id: int
    name: str | None = None
    artifacts: list[Artifact] | None = None
    links: Links | None = msgspec.field(default=None, name="_links")


class Released(msgspec.Struct, rename="camel"):
    """An attempt to deploy a classic release to one of its stages."""

    id: int
    release: Release
    release_environment: Named | None = None
    release_definition: Named | None = None
    attempt: Integer | None = None
    deployment_status: str | None = None
    operation_status: str | None = None
    started_on: datetime | None = None
    completed_on: datetime | None = None
    last_modified_on: datetime | None = None
    requested_for: Person | None = None


def time_of(value: datetime | None) -> datetime | None:
    """A time; none where there is only the year 1, or no zone."""
    return None if value is None or value.tzinfo is None or value.year == 1 else value


def _sha(text: str | None) -> str | None:
    return text.lower() if text and _SHA.fullmatch(text.lower()) else None


def _commit(head: Head | None) -> str | None:
    return None if head is None else _sha(head.commit_id)


def _ref(text: str | None) -> str | None:
    return text and text.removeprefix("refs/heads/").removeprefix("refs/tags/")


# ---- what it means


@dataclass(frozen=True)
class Shapes:
    """Turns answers and deliveries into events. `names`: of repositories, by their ids."""

    source: str
    url: str
    people: People
    deploying: Deployments
    names: Mapping[str, str]

    def who(self, person: Person | None) -> tuple[str | None, bool]:
        """The hash of somebody, and whether it is a bot: a service of the system's own, or one by its name."""
        account = person and (person.unique_name or person.id)
        if person is None or not account:
            return None, False
        service = (person.descriptor or "").startswith(("svc.", "s2s.")) or account.startswith("Build\\")
        return self.people.hashed(account), service or self.people.is_bot(account)

    def change(self, pr: PullRequest, notes: Notes, threads: Sequence[Thread] | None = None) -> Change:
        """A pull request. It says when it was ready only once its threads are known.

        The system has no time of a pull request's last update. An open one is dated at its creation, a draft not at
        all: what comes after it counts as later.
        """
        state = CHANGES.get(pr.status.lower())
        if state is None:
            notes.unknown("status of a pull request", pr.status, "open")
            state = ChangeState.OPEN
        if state is ChangeState.OPEN and pr.is_draft:
            state = ChangeState.WIP
        created, closed = time_of(pr.creation_date), time_of(pr.closed_date)
        merged = state is ChangeState.MERGED
        author, bot = self.who(pr.created_by)
        head = _commit(pr.last_merge_source_commit)
        repository = self.repository_of(pr)
        return Change(
            source=self.source,
            native_id=str(pr.pull_request_id),
            updated_at=closed or (None if state is ChangeState.WIP else created),
            url=f"{self.url}/{git_path(repository)}/pullrequest/{pr.pull_request_id}",
            repository=repository,
            state=state,
            created_at=pr.creation_date,
            number=pr.pull_request_id,
            title=pr.title,
            target_branch=_ref(pr.target_ref_name),
            source_branch=_ref(pr.source_ref_name),
            ready_at=None if threads is None or pr.is_draft else _ready_at(threads) or created,
            merged_at=closed if merged else None,
            closed_at=closed,
            merge_sha=(_commit(pr.last_merge_commit) or head) if merged else None,
            head_sha=head,
            author=author,
            bot=bot,
            labels=tuple(label.name for label in pr.labels or () if label.active is not False),
        )

    def repository_of(self, pr: PullRequest) -> str:
        """The whole name of a pull request's repository."""
        known = self.names.get(pr.repository.id or "")
        project = (pr.repository.project and pr.repository.project.name) or ""
        return known or f"{project}/{pr.repository.name or pr.repository.id}"

    def reviews(self, pr: PullRequest, threads: Iterable[Thread], notes: Notes) -> Iterator[Review]:
        """Votes, and comments that people wrote; each vote is a thread that the system wrote."""
        for thread in threads:
            if thread.is_deleted:
                continue
            if thread.said("CodeReviewThreadType") == "VoteUpdate":
                yield from self._vote(pr, thread, notes)
                continue
            for comment in thread.comments or ():
                at = time_of(comment.published_date)
                if comment.comment_type == "text" and not comment.is_deleted and at is not None:
                    native_id = f"{pr.pull_request_id}/{thread.id}/{comment.id}"
                    yield self._review(pr, native_id, at, ReviewState.COMMENTED, comment.author)

    def _vote(self, pr: PullRequest, thread: Thread, notes: Notes) -> Iterator[Review]:
        vote, at = thread.said("CodeReviewVoteResult"), time_of(thread.published_date)
        if at is None:
            return
        state = _VOTES.get(vote)
        if state is None:
            notes.unknown("vote", vote, "a comment")
        writer = next((c.author for c in thread.comments or () if c.author), None)
        voter = (thread.identities or {}).get(thread.said("CodeReviewVotedByIdentity"), writer)
        yield self._review(pr, f"{pr.pull_request_id}/{thread.id}", at, state or ReviewState.COMMENTED, voter)

    def _review(
        self, pr: PullRequest, native_id: str, at: datetime, state: ReviewState, person: Person | None
    ) -> Review:
        author, bot = self.who(person)
        return Review(
            source=self.source,
            native_id=native_id,
            repository=self.repository_of(pr),
            change_native_id=str(pr.pull_request_id),
            at=at,
            state=state,
            author=author,
            bot=bot,
        )

    def repository_of_run(self, build: Build) -> str:
        """The whole name of what a run built; empty where the run does not tell. Other systems' names are their own."""
        repository = build.repository or Repository()
        if known := self.names.get(repository.id or ""):
            return known
        if (repository.type or "").lower() != "tfsgit":
            return (repository.name or repository.id or "").strip("$/")
        project, found, name = unquote(urlsplit(repository.url or "").path).rpartition("/_git/")
        if found and name:
            return f"{project.rpartition('/')[2]}/{name}"
        return f"{build.project.name}/{repository.name}" if build.project and repository.name else ""

    def run(self, build: Build, notes: Notes) -> PipelineRun:
        """A run of a pipeline. One of a pull request is of its head, not of the merge that was tried."""
        status = (build.status or "").lower()
        state = _STATES.get(status)
        if state is None:
            notes.unknown("status of a run", build.status or "", "pending")
        completed = state is RunState.COMPLETED
        author, bot = self.who(build.requested_for or build.requested_by)
        head = _sha(str((build.trigger_info or {}).get("pr.sourceSha", "")))
        project = (build.project and build.project.name) or ""
        return PipelineRun(
            source=self.source,
            native_id=f"run/{build.id}",
            updated_at=time_of(build.last_changed_date) or time_of(build.finish_time),
            url=(build.links and build.links.page) or f"{self.url}/{quote(project)}/_build/results?buildId={build.id}",
            repository=self.repository_of_run(build),
            pipeline=(build.definition and build.definition.name) or "unnamed",
            state=state or RunState.PENDING,
            result=_result(build.result, notes) if completed else None,
            created_at=time_of(build.queue_time),
            started_at=time_of(build.start_time),
            finished_at=time_of(build.finish_time),
            sha=head or _sha(build.source_version),
            ref=_ref(build.source_branch),
            actor=author,
            bot=bot,
        )

    def parts_deployed(self, run: PipelineRun, records: Sequence[Record], notes: Notes) -> Iterator[Deployment]:
        """What stages and jobs of a run deployed. Where a rule takes a stage, its jobs are parts of one deployment."""
        parents = {r.id: r.parent_id for r in records}
        broken = {a for r in records if _is(r, "task") and r.result == "failed" for a in _above(r.id, parents)}
        taken = set[str]()
        for record in sorted(records, key=lambda r: not _is(r, "stage")):
            named = _is(record, "stage") or _is(record, "job")
            if not named or record.name == _ONLY_STAGE or taken.intersection(_above(record.id, parents)):
                continue
            found = self.deploying.of(self._task(run, record, notes, allowed=record.id in broken))
            if found is not None:
                taken.add(record.id)
                yield msgspec.structs.replace(found, pipeline_run_native_id=run.native_id)

    def _task(self, run: PipelineRun, record: Record, notes: Notes, *, allowed: bool) -> PipelineRun:
        """A stage or job. With issues, and a task in it that failed, it was only allowed to go on."""
        result = _result(record.result, notes)
        allowed = allowed and (record.result or "").lower() == "succeededwithissues"
        number = run.native_id.partition("/")[2]
        return msgspec.structs.replace(
            run,
            native_id=f"job/{number}/{record.id}/{record.attempt or 1}",
            updated_at=time_of(record.finish_time),
            task=record.name or record.id,
            attempt=record.attempt or 1,
            result=Result.FAILURE if allowed else result,
            allow_failure=allowed,
            started_at=time_of(record.start_time),
            finished_at=time_of(record.finish_time),
        )

    def deployed(self, one: Deployed, environment: Named, run: PipelineRun | None, notes: Notes) -> Iterator[Event]:
        """A finished deployment to an environment, of the commit that its run built, where that run is still there."""
        result, finished = _result(one.result, notes), time_of(one.finish_time)
        if result not in {Result.SUCCESS, Result.FAILURE}:
            return
        native_id = f"environment/{environment.id}/{one.id}"
        if finished is None:
            notes.reject([BadRecord(native_id, "it has a result and no time of its end")])
            return
        named = run.repository if run else (one.definition and one.definition.name) or "unnamed"
        service, where = self.deploying.place(named, environment.name or native_id, (run and run.ref) or "")
        found = Deployment(
            source=self.source,
            native_id=native_id,
            updated_at=finished,
            service=service,
            environment=where,
            finished_at=finished,
            result=result,
            started_at=time_of(one.start_time),
            pipeline_run_native_id=None if one.owner is None else f"run/{one.owner.id}",
        )
        if run is not None:
            whose = {"url": run.url, "repository": run.repository, "sha": run.sha, "ref": run.ref}
            found = msgspec.structs.replace(found, **whose, actor=run.actor, bot=run.bot)
        yield found

    def released(self, one: Released, notes: Notes) -> Iterator[Event]:
        """A finished deployment of a classic release. Rejected, cancelled and waiting ones are none.

        Its time is that of its end: a later change of the record, an approval for example, moves nothing.
        """
        status = (one.deployment_status or "").lower()
        result = _RELEASED.get(status)
        if result is None and status not in _NOT_RELEASED:
            notes.unknown("status of a release's deployment", one.deployment_status or "", "not deployed")
        failed = result is not Result.SUCCESS
        if result is None or (failed and (one.operation_status or "").lower() in _STOPPED):
            return
        native_id, finished = f"release/{one.id}", time_of(one.completed_on)
        if finished is None:
            notes.reject([BadRecord(native_id, "it has ended and no time of its end")])
            return
        origin = self._origin(one.release)
        stage = (one.release_environment and one.release_environment.name) or native_id
        named = origin.repository or (one.release_definition and one.release_definition.name) or "unnamed"
        service, where = self.deploying.place(named, stage, origin.ref or "")
        actor, bot = self.who(one.requested_for)
        yield Deployment(
            source=self.source,
            native_id=native_id,
            updated_at=time_of(one.last_modified_on) or finished,
            url=None if one.release.links is None else one.release.links.page,
            service=service,
            environment=where,
            finished_at=finished,
            result=result,
            repository=origin.repository or None,
            sha=origin.sha,
            started_at=time_of(one.started_on),
            version=one.release.name,
            artifact=origin.version,
            ref=origin.ref,
            pipeline_run_native_id=origin.run,
            actor=actor,
            bot=bot,
        )

    def _origin(self, release: Release) -> Origin:
        """Where the primary artifact of a release comes from; nothing where it does not tell."""
        artifacts = release.artifacts or ()
        primary = next((a for a in artifacts if a.is_primary), artifacts[0] if len(artifacts) == 1 else None)
        if primary is None:
            return Origin()
        said = {key.lower(): value or Named() for key, value in (primary.definition_reference or {}).items()}

        def of(key: str) -> Named:
            return said.get(key, Named())

        kind, project = (primary.type or "").lower(), of("project").name
        built = kind == "build"
        place = of("repository") if built else of("definition")
        name = of("repository.name").name or place.name
        whole = f"{project}/{name}" if project and name and "/" not in name else name
        return Origin(
            repository=self.names.get(str(of("repository.id").id or place.id)) or whole or "",
            sha=_sha(str((of("sourceversion") if built else of("version")).id or "")),
            ref=_ref(of("branch").name or str(of("branch").id or "")) or None,
            version=of("version").name if built else None,
            run=f"run/{of('version').id}" if built and of("version").id else None,
        )


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a release carries: which commit of which repository, built as what by which run."""

    repository: str = ""
    sha: str | None = None
    ref: str | None = None
    version: str | None = None
    run: str | None = None


def _result(text: str | None, notes: Notes) -> Result:
    found = _RESULTS.get((text or "none").lower())
    if found is None:
        notes.unknown("result", text or "", "neither success nor failure")
    return found or Result.SKIP


def _ready_at(threads: Iterable[Thread]) -> datetime | None:
    """When a pull request last ceased to be a draft; None where it never was one."""
    moved = (t for t in threads if t.said("CodeReviewThreadType") == "IsDraftUpdate")
    times = (time_of(t.published_date) for t in moved if t.said("CodeReviewIsDraftNowSet").lower() not in _SET)
    return max(filter(None, times), default=None)


def _is(record: Record, kind: str) -> bool:
    return record.type.lower() == kind


def _above(record: str, parents: Mapping[str, str | None]) -> Iterator[str]:
    """The ids of what a record is in, itself left out."""
    seen, above = {record}, parents.get(record)
    while above is not None and above not in seen:
        seen.add(above)
        yield above
        above = parents.get(above)


def git_path(repository: str) -> str:
    """Where a repository is below its organisation, in a browser and for Git."""
    project, _, name = repository.partition("/")
    return f"{quote(project)}/_git/{quote(name)}"
