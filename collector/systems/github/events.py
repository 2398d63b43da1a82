"""The events in what GitHub answers and sends. Asks nothing.

A webhook tells less of some things than a list does; of two equally late versions the listed one wins, because the
other is dated a microsecond earlier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from collector.api import MOMENT, IssueSettings, incident_states
from collector.errors import BadRecord
from collector.events import (
    Change,
    ChangeState,
    Deployment,
    Incident,
    PipelineRun,
    Reply,
    Result,
    Review,
    ReviewState,
    RunKind,
    RunState,
    Ticket,
    TicketState,
    Transition,
)
from collector.people import People
from collector.streams import Notes
from collector.systems.github.shapes import (
    Actor,
    Branch,
    ChangeNode,
    Issue,
    Job,
    Label,
    OwnDeployment,
    PullRequest,
    ReleaseItem,
    ReviewItem,
    ReviewNode,
    Run,
    StatusItem,
)
from collector.tracking import Turn, of_ticket


class History(NamedTuple):
    """What was said about an issue, and what happened to it."""

    replies: Sequence[Reply] = ()
    turns: Sequence[Turn] = ()


_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

_STATES = {
    "queued": RunState.PENDING,
    "requested": RunState.PENDING,
    "waiting": RunState.PENDING,
    "pending": RunState.PENDING,
    "in_progress": RunState.EXECUTING,
    "completed": RunState.COMPLETED,
}
_RESULTS = {
    "success": Result.SUCCESS,
    "failure": Result.FAILURE,
    "timed_out": Result.TIMEOUT,
    "startup_failure": Result.ERROR,
    "cancelled": Result.CANCELLATION,
    "stale": Result.CANCELLATION,
    "skipped": Result.SKIP,
    "neutral": Result.SKIP,
    "action_required": Result.SKIP,
}
_REVIEWS = {
    "approved": ReviewState.APPROVED,
    "changes_requested": ReviewState.CHANGES_REQUESTED,
    "commented": ReviewState.COMMENTED,
    "dismissed": ReviewState.DISMISSED,
}
_DEPLOYED = {"success": Result.SUCCESS, "failure": Result.FAILURE, "error": Result.ERROR}
_GOES_ON = frozenset({"queued", "pending", "in_progress", "waiting"})
_DEPLOYMENT_STATES = frozenset({*_DEPLOYED, *_GOES_ON, "inactive"})
_UNREMEDIED = frozenset({"not_planned", "duplicate"})
_DELETED = "ghost"  # who stands for all accounts that were deleted, by REST
_NO_REVIEW = "pending"  # somebody still writes it


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """Makes events of one source. Unknown values are noted, and taken for something that claims nothing."""

    source: str
    people: People

    def person(self, actor: Actor | None) -> tuple[str | None, bool]:
        """The keyed hash of an account, and whether it is a bot's; nobody for one that was deleted."""
        if actor is None or actor.login == _DELETED:
            return None, False
        bot = "Bot" in {actor.type, actor.typename}
        login = actor.login if not bot or actor.login.endswith("[bot]") else f"{actor.login}[bot]"
        return self.people.hashed(login), bot or self.people.is_bot(login)

    def change(self, repository: str, node: ChangeNode, notes: Notes) -> Change:
        """A pull request. One that says it is merged without a time of it keeps that as it is."""
        author, bot = self.person(node.author)
        state = _change_state(node.state, notes, draft=node.is_draft)
        ready = next((n.created_at for n in reversed(node.timeline_items.nodes) if n and n.created_at), None)
        first = next((n.commit for n in node.commits.nodes if n and n.commit), None)
        return Change(
            source=self.source,
            native_id=str(node.full_database_id),
            updated_at=node.updated_at,
            url=node.url,
            repository=repository,
            state=state,
            created_at=node.created_at,
            number=node.number,
            title=node.title,
            target_branch=node.base_ref_name,
            source_branch=node.head_ref_name,
            ready_at=None if node.is_draft else ready or node.created_at,
            first_commit_at=first.authored_date if first else None,
            merged_at=node.merged_at,
            closed_at=node.closed_at,
            merge_sha=_sha(node.merge_commit.oid) if node.merge_commit and node.merged_at else None,
            head_sha=_sha(node.head_ref_oid),
            author=author,
            bot=bot,
            labels=tuple(n.name for n in (node.labels.nodes if node.labels else ()) if n and n.name),
        )

    def pushed_change(self, repository: str, found: PullRequest, action: str) -> Change:
        """A pull request from a webhook. It says less than the list: of two equally late ones the listed one wins."""
        ready = {"opened": found.created_at, "ready_for_review": found.updated_at}
        author, bot = self.person(found.user)
        state = "merged" if found.merged_at else found.state
        head, base = found.head or Branch(), found.base or Branch()
        return Change(
            source=self.source,
            native_id=str(found.id),
            updated_at=found.updated_at - MOMENT,
            url=found.html_url,
            repository=repository,
            state=_change_state(state, Notes(), draft=found.draft),
            created_at=found.created_at,
            number=found.number,
            title=found.title,
            target_branch=base.ref,
            source_branch=head.ref,
            ready_at=None if found.draft else ready.get(action),
            merged_at=found.merged_at,
            closed_at=found.closed_at,
            merge_sha=_sha(found.merge_commit_sha) if found.merged_at else None,
            head_sha=_sha(head.sha),
            author=author,
            bot=bot,
            labels=tuple(label.name for label in found.labels if label.name),
        )

    def reviews(self, repository: str, change: str, nodes: Iterable[ReviewNode | None], notes: Notes) -> list[Review]:
        """The reviews of a change, without those that are still being written."""
        items = (
            ReviewItem(
                id=n.full_database_id,
                state=n.state,
                submitted_at=n.submitted_at,
                updated_at=n.updated_at,
                user=n.author,
                html_url=n.url,
            )
            for n in nodes
            if n is not None
        )
        return [found for item in items if (found := self.review(repository, change, item, notes)) is not None]

    def review(self, repository: str, change: str, item: ReviewItem, notes: Notes) -> Review | None:
        """A review; None while somebody still writes it."""
        said = item.state.lower()
        if item.submitted_at is None or said == _NO_REVIEW:
            return None
        if said not in _REVIEWS:
            notes.unknown("review state", item.state, "a comment")
        author, bot = self.person(item.user)
        return Review(
            source=self.source,
            native_id=str(item.id),
            updated_at=item.updated_at or item.submitted_at,
            url=item.html_url,
            repository=repository,
            change_native_id=change,
            at=item.submitted_at,
            state=_REVIEWS.get(said, ReviewState.COMMENTED),
            author=author,
            bot=bot,
        )

    def run(self, repository: str, run: Run, notes: Notes) -> PipelineRun:
        """An attempt of a run. It ended when it was last updated: GitHub keeps no other time of its end."""
        state = _run_state(run.status, run.conclusion, notes)
        ended = state is RunState.COMPLETED
        actor, bot = self.person(run.triggering_actor or run.actor)
        return PipelineRun(
            source=self.source,
            native_id=f"run/{run.id}/{run.run_attempt}",
            updated_at=run.updated_at,
            url=run.html_url,
            repository=repository,
            pipeline=run.pipeline,
            state=state,
            attempt=run.run_attempt,
            result=_result(run.conclusion, notes) if ended else None,
            # A run keeps the time of its first attempt; a later one was created when it began.
            created_at=run.created_at if run.run_attempt == 1 else run.run_started_at or run.created_at,
            started_at=run.run_started_at,
            finished_at=run.updated_at if ended else None,
            sha=_sha(run.head_sha),
            ref=run.head_branch,
            actor=actor,
            bot=bot,
        )

    def job(self, repository: str, pipeline: str, job: Job, run: PipelineRun | None, notes: Notes) -> PipelineRun:
        """A job of an attempt; who started the run started it, which a webhook does not tell (no `run`)."""
        state = _run_state(job.status, job.conclusion, notes)
        ended = state is RunState.COMPLETED
        written = job.completed_at or job.started_at or job.created_at
        return PipelineRun(
            source=self.source,
            native_id=f"job/{job.id}",
            updated_at=written - MOMENT if written and run is None else written,
            url=job.html_url,
            repository=repository,
            pipeline=pipeline,
            state=state,
            run_kind=RunKind.TASK,
            task=job.name,
            parent_native_id=f"run/{job.run_id}/{job.run_attempt}",
            attempt=job.run_attempt,
            result=_result(job.conclusion, notes) if ended else None,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.completed_at if ended else None,
            sha=_sha(job.head_sha),
            ref=job.head_branch,
            actor=run.actor if run else None,
            bot=run.bot if run else False,
        )

    def deployment(
        self,
        repository: str,
        place: tuple[str, str],
        found: OwnDeployment,
        statuses: Sequence[StatusItem],
        *,
        listed: bool,
    ) -> Deployment | None:
        """What GitHub calls a deployment, once it succeeded or failed: dated by that status, whatever came later.

        A webhook tells one status and not those before it, so what was listed wins over any of them.
        """
        known = sorted((s for s in statuses if s.state in _DEPLOYED), key=lambda s: s.created_at)
        decisive = next((s for s in known if s.state == "success"), known[0] if known else None)
        if decisive is None:
            return None
        creator, bot = self.person(found.creator)
        service, environment = place
        return Deployment(
            source=self.source,
            native_id=f"deployment/{found.id}",
            updated_at=max(s.created_at for s in known) if listed else found.created_at - MOMENT,
            service=service,
            environment=environment,
            finished_at=decisive.created_at,
            result=_DEPLOYED[decisive.state],
            repository=repository,
            sha=_sha(found.sha),
            started_at=found.created_at,
            ref=found.ref,
            actor=creator,
            bot=bot,
        )

    def release(
        self, repository: str, place: tuple[str, str], found: ReleaseItem, sha: str | None, *, listed: bool
    ) -> Deployment | None:
        """A published release as the deployment of its tag; None for a draft. A webhook's lacks the commit."""
        if found.draft or found.published_at is None:
            return None
        author, bot = self.person(found.author)
        written = max(found.updated_at or found.published_at, found.published_at)
        return Deployment(
            source=self.source,
            native_id=f"release/{found.id}",
            updated_at=written if listed else written - MOMENT,
            url=found.html_url,
            service=place[0],
            environment=place[1],
            finished_at=found.published_at,
            result=Result.SUCCESS,
            repository=repository,
            sha=_sha(sha),
            version=found.tag_name,
            ref=found.tag_name,
            actor=author,
            bot=bot,
        )

    def issue(
        self, repository: str, service: str, found: Issue, settings: IssueSettings, history: History | None
    ) -> Incident | Ticket | None:
        """An issue as what its labels make it; None for one that means nothing here, and for a pull request.

        `history`: None where it was not read, as in a webhook.
        """
        kind = None if found.pull_request is not None else settings.kind(found.label_names)
        if kind is None:
            return None
        turns, created_at = (history.turns, found.created_at) if history else ((), None)
        life = settings.states.life(found.label_names, turns, created_at)
        # What is told without its history is a moment older: the list's version, which has it, is to stay.
        updated_at = found.updated_at - (MOMENT if history is None else timedelta())
        if kind is Incident:
            return self._incident(service, found, settings, life, updated_at)
        replies = tuple(history.replies if history else ())
        return self._ticket(settings, repository, found, replies, of_ticket(life), updated_at)

    def _incident(
        self,
        service: str,
        found: Issue,
        settings: IssueSettings,
        life: Sequence[tuple[Turn, TicketState]],
        updated_at: datetime,
    ) -> Incident:
        closed = found.state == "closed"
        return Incident(
            source=self.source,
            native_id=str(found.id),
            updated_at=updated_at,
            url=found.html_url,
            service=service,
            **incident_states(settings, found.label_names, life, closed=closed),
            started_at=found.created_at,
            severity=settings.severity(found.label_names),
            title=found.title,
            detected_at=found.created_at,
            restored_at=found.closed_at if closed and found.state_reason not in _UNREMEDIED else None,
            closed_at=found.closed_at if closed else None,
            labels=found.label_names,
        )

    def _ticket(
        self,
        settings: IssueSettings,
        repository: str,
        found: Issue,
        replies: tuple[Reply, ...],
        transitions: tuple[Transition, ...],
        updated_at: datetime,
    ) -> Ticket:
        closed = found.state == "closed"
        author, _ = self.person(found.user)
        return Ticket(
            source=self.source,
            native_id=str(found.id),
            updated_at=updated_at,
            url=found.html_url,
            queue=settings.queue or repository,
            state=settings.states.state(found.label_names, closed=closed),
            created_at=found.created_at,
            title=found.title,
            author=author,
            resolved_at=found.closed_at if closed else None,
            closed_at=found.closed_at if closed else None,
            replies=replies,
            transitions=transitions,
            labels=found.label_names,
        )

    def turn(self, kind: str, at: datetime, reason: str | None, label: Label | None) -> Turn | None:
        """What happened to an issue; None for what says nothing of where it stands."""
        match kind:
            case "ClosedEvent" | "closed":
                return Turn(at, closed=True, remedied=(reason or "").lower() not in _UNREMEDIED)
            case "ReopenedEvent" | "reopened":
                return Turn(at, closed=False)
            case "LabeledEvent" | "UnlabeledEvent" | "labeled" | "unlabeled" if label is not None and label.name:
                return Turn(at, label=label.name, added=not kind.lower().startswith("un"))
        return None

    def reply(self, at: datetime, author: Actor | None) -> Reply:
        """A comment as a reply."""
        person, bot = self.person(author)
        return Reply(at=at, author=person, bot=bot)


def goes_on(statuses: Sequence[StatusItem], notes: Notes) -> bool:
    """Whether a deployment has not ended: it neither succeeded nor failed, nor was it given up (`inactive`)."""
    for status in statuses:
        if status.state not in _DEPLOYMENT_STATES:
            notes.unknown("deployment state", status.state, "not yet ended")
    newest = max(statuses, key=lambda s: s.created_at, default=None)
    ended = any(s.state in _DEPLOYED for s in statuses)
    return not ended and (newest is None or newest.state != "inactive")


def once_each(jobs: Sequence[Job]) -> list[Job]:
    """Jobs without the copies that a later attempt shows of what it did not run again."""
    seen: set[tuple[str, datetime | None, datetime | None]] = set()
    found = []
    for job in sorted(jobs, key=lambda j: (j.run_attempt, j.id)):
        same = (job.name, job.started_at, job.completed_at)
        if job.completed_at is not None and (job.carried_over or (job.run_attempt > 1 and same in seen)):
            continue
        seen.add(same)
        found.append(job)
    return found


def undated(run: Run, asked: str) -> BadRecord | None:
    """Why an ended run cannot be used: nothing tells when it ended. None for all others."""
    if run.ended and run.updated_at is None:
        return BadRecord(f"{asked} (id {run.id})", "it has ended, and nothing says when")
    return None


def _sha(text: str | None) -> str | None:
    """A whole object id; None for anything else."""
    return text if text is not None and _SHA.fullmatch(text) else None


def _change_state(said: str, notes: Notes, *, draft: bool) -> ChangeState:
    match said.lower():
        case "merged":
            return ChangeState.MERGED
        case "closed":
            return ChangeState.CLOSED
        case "open":
            return ChangeState.WIP if draft else ChangeState.OPEN
    notes.unknown("pull request state", said, "open")
    return ChangeState.OPEN


def _run_state(status: str | None, conclusion: str | None, notes: Notes) -> RunState:
    """The state of a run or job; one that says it is completed without a conclusion is about to be."""
    state = _STATES.get(status or "")
    if state is None:
        notes.unknown("status", status or "", "executing")
        return RunState.EXECUTING
    return RunState.FINALIZING if state is RunState.COMPLETED and conclusion is None else state


def _result(conclusion: str | None, notes: Notes) -> Result:
    if conclusion not in _RESULTS:
        notes.unknown("conclusion", conclusion or "", "skipped")
    return _RESULTS.get(conclusion or "", Result.SKIP)
