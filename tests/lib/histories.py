"""Made-up histories with events of every kind, from two sources of each: the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from collector.events import (
    Approval,
    Change,
    ChangeState,
    Collection,
    Commit,
    Deployment,
    DocPage,
    Event,
    Incident,
    IncidentState,
    Member,
    MemberKind,
    Milestone,
    MilestoneKind,
    PipelineRun,
    Probe,
    Reply,
    Result,
    Review,
    ReviewState,
    RunState,
    SelfServiceAttempt,
    SurveyResponse,
    SurveyScale,
    Ticket,
    TicketState,
    UsageEvent,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 90
_PROBED_SHARE = 30
PEOPLE = tuple(f"person:{hashlib.md5(bytes([n]), usedforsecurity=False).hexdigest()}" for n in range(7))
SOURCES = ("kept", "other")


class History:
    """A made-up history."""

    def __init__(self, seed: int, size: int = 100) -> None:
        self._random = Random(seed)  # noqa: S311 - a test's own worlds
        self._number = 0
        self._shas: list[str] = []
        makers: list[Callable[[datetime], Event]] = [
            *(self.commit, self.commit, self.change, self.review, self.run, self.deployment, self.deployment),
            *(self.incident, self.ticket, self.attempt, self.member, self.milestone, self.probe, self.page),
            *(self.answer, self.use, self.use, self.collection),
        ]
        times = sorted(self._random.randrange(DAYS * 24 * 60) for _ in range(size))
        self.events = [self._random.choice(makers)(START + timedelta(minutes=minutes)) for minutes in times]

    def batches(self, number: int = 4) -> list[list[Event]]:
        """The events in an order of their own, in parts."""
        shuffled = self._random.sample(self.events, len(self.events))
        return [shuffled[part::number] for part in range(number)]

    def _own(self) -> dict[str, Any]:
        self._number += 1
        return {"source": self._random.choice(SOURCES), "native_id": str(self._number)}

    def _who(self) -> str:
        return self._random.choice(PEOPLE)

    def _of(self, *values: Any) -> Any:
        return self._random.choice(values)

    def _repository(self) -> str:
        return str(self._of("o/shop", "o/api"))

    def _service(self) -> str:
        return str(self._of("shop", "api"))

    def _later(self, at: datetime, hours: float = 48) -> datetime:
        return at + timedelta(hours=round(self._random.uniform(0.1, hours), 3))

    def commit(self, at: datetime) -> Event:
        """A commit, mostly on the one before."""
        sha, parents = f"{len(self._shas) + 1:040x}", tuple(self._shas[-1:])
        self._shas.append(sha)
        return Commit(
            **self._own(),
            repository=self._repository(),
            sha=sha,
            parents=parents,
            authored_at=at - timedelta(hours=2),
            committed_at=at,
            author=self._who(),
            co_authors=self._of((), (PEOPLE[0], PEOPLE[1])),
            on_default_branch=self._of(True, True, False),
        )

    def _sha(self) -> str | None:
        return self._random.choice(self._shas) if self._shas else None

    def change(self, at: datetime) -> Event:
        """A request, merged or not."""
        merged = self._of(True, True, False)
        return Change(
            **self._own(),
            repository=self._repository(),
            state=ChangeState.MERGED if merged else ChangeState.OPEN,
            created_at=at,
            merged_at=self._later(at) if merged else None,
            merge_sha=self._sha() if merged else None,
            author=self._who(),
        )

    def review(self, at: datetime) -> Event:
        """A review of some request."""
        return Review(
            **self._own(),
            repository=self._repository(),
            change_native_id=str(self._random.randint(1, self._number + 1)),
            at=at,
            state=ReviewState.APPROVED,
            author=self._who(),
        )

    def run(self, at: datetime) -> Event:
        """A pipeline's run."""
        begun = self._later(at, 0.5)
        return PipelineRun(
            **self._own(),
            repository=self._repository(),
            pipeline="build",
            state=RunState.COMPLETED,
            result=self._of(Result.SUCCESS, Result.FAILURE),
            created_at=at,
            started_at=begun,
            finished_at=self._later(begun, 1),
            sha=self._sha(),
            actor=self._who(),
        )

    def deployment(self, at: datetime) -> Event:
        """A deployment to production."""
        return Deployment(
            **self._own(),
            service=self._service(),
            environment="production",
            finished_at=at,
            result=self._of(Result.SUCCESS, Result.SUCCESS, Result.FAILURE),
            repository=self._repository(),
            sha=self._sha(),
            actor=self._who(),
        )

    def incident(self, at: datetime) -> Event:
        """An incident that is over."""
        return Incident(
            **self._own(),
            service=self._service(),
            environment="production",
            state=IncidentState.RESOLVED,
            started_at=at,
            restored_at=self._later(at, 5),
        )

    def ticket(self, at: datetime) -> Event:
        """A ticket somebody answered."""
        return Ticket(
            **self._own(),
            queue=self._of("help", "infra"),
            state=TicketState.RESOLVED,
            created_at=at,
            resolved_at=self._later(at, 90),
            author=self._who(),
            journey=self._of(None, "database"),
            replies=(Reply(at=self._later(at, 20), author=self._who()),),
        )

    def attempt(self, at: datetime) -> Event:
        """An attempt to help oneself."""
        return SelfServiceAttempt(
            **self._own(),
            journey=self._of("database", "service"),
            started_at=at,
            finished_at=self._later(at, 1),
            requester=self._who(),
            result=self._of(Result.SUCCESS, Result.FAILURE),
            approvals=(Approval(requested_at=at, decided_at=at, actor=self._who(), approved=True),),
        )

    def member(self, at: datetime) -> Event:
        """Somebody who begins."""
        return Member(**self._own(), person=self._who(), member_kind=MemberKind.HIRE, started_at=at, entered_at=at)

    def milestone(self, at: datetime) -> Event:
        """A step of somebody."""
        return Milestone(**self._own(), person=self._who(), milestone=MilestoneKind.ACCESS_GRANTED, at=at)

    def probe(self, at: datetime) -> Event:
        """A check of a service. All are within some days, for each minute between two of them is judged."""
        soon = START + (at - START) / _PROBED_SHARE
        return Probe(**self._own(), service=self._service(), at=soon, passed=self._of(1, 1, 0))

    def page(self, at: datetime) -> Event:
        """A page that was written."""
        return DocPage(**self._own(), repository=self._repository(), path="docs/a.md", changed_at=at, covers=("src/",))

    def answer(self, at: datetime) -> Event:
        """An answer to a survey."""
        return SurveyResponse(
            **self._own(),
            survey="dx",
            wave="2026-Q1",
            question="nps",
            scale=SurveyScale.NPS,
            score=self._random.randint(0, 10),
            at=at,
            respondent=self._who(),
        )

    def use(self, at: datetime) -> Event:
        """A use of the platform."""
        return UsageEvent(
            **self._own(), capability=self._of("ci", "cd"), at=at, person=self._who(), service=self._service()
        )

    def collection(self, at: datetime) -> Event:
        """A run of a source, which Paceline tells of."""
        own = self._own()
        return Collection(
            source="",
            native_id=own["native_id"],
            collector=own["source"],
            started_at=at,
            finished_at=at + timedelta(minutes=1),
            succeeded=self._of(True, True, False),
        )
