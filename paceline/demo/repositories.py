"""Repositories: commits, squashed or merged, the requests they came by, reviews, and the checks that ran on them."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from collector.events import Change, ChangeState, Commit, Event, Result, Review, ReviewState
from paceline.demo.organisation import Example
from paceline.demo.period import HOUR, MINUTE, happens, moment
from paceline.demo.pipelines import CHECK, FORGE, Run, ending, pipeline_name, run_events
from paceline.demo.requests import Request
from paceline.demo.trouble import outage

GIT = "git"
MERGE_BOT = "merge-queue"
_MERGING = 0.3
"""How many repositories merge instead of squashing."""
_BY_BOT = 0.05
"""How many squashed changes a bot merged, with their author as co-author."""


@dataclass
class Line:
    """The default branch of a repository as it grows: its commits with their times, and who changed what."""

    repository: str
    shas: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def at(self, when: int) -> int:
        """The number of the newest commit at a time; -1 before the first."""
        return bisect_right(self.times, when) - 1

    def grow(self, sha: str, at: int, request: Request) -> None:
        """Put a commit upon the others."""
        self.shas.append(sha)
        self.times.append(at)
        self.requests.append(request)


def sha_of(*scope: object) -> str:
    """A commit id that only what it is of decides."""
    return hashlib.blake2b("/".join(map(str, scope)).encode(), digest_size=20).hexdigest()


class Repository:
    """One repository and everything about its changes until they are merged."""

    def __init__(self, example: Example, name: str, requests: Sequence[Request]) -> None:
        self.name, self._example, self._requests = name, example, requests
        self._dice = example.period.dice("repository", name)
        self._merging = happens(self._dice, _MERGING)
        self._outage = outage(example.period)
        self.line = Line(name)

    def events(self) -> Iterator[Event]:
        """Commits, requests, reviews and checks; afterwards the line is complete."""
        bot = self._example.hashed(MERGE_BOT)
        numbered = list(enumerate(self._requests, 1))
        for number, request in sorted(numbered, key=lambda n: (n[1].merged or n[1].opened, n[0])):
            head = self._sha("head", number)
            merge = None
            if request.merged is not None:
                commits = list(self._commits(number, request, head, bot))
                merge = commits[-1].sha
                yield from commits
            yield self._change(number, request, head, merge)
            yield from self._reviews(number, request)
            yield from self._checks(number, request, head)

    def _sha(self, *scope: object) -> str:
        return sha_of(self._example.period.seed, self.name, *scope)

    def _commits(self, number: int, request: Request, head: str, bot: str) -> Iterator[Commit]:
        """What a merged request puts on the default branch, last the commit that is its new head."""
        assert request.merged is not None  # noqa: S101 - asked of merged requests only
        at = max(request.merged, self.line.times[-1] + 1 if self.line.times else 0)
        parents = (self.line.shas[-1],) if self.line.shas else ()
        tip = None
        if self._merging and parents:
            for commit in self._branch(number, request, head, at):
                tip = commit.sha
                yield commit
        sha = self._sha("main", number)
        by_bot = tip is None and happens(self._dice, _BY_BOT)
        self.line.grow(sha, at, request)
        yield Commit(
            source=GIT,
            native_id=f"{self.name}@{sha}",
            repository=self.name,
            sha=sha,
            parents=parents if tip is None else (*parents, tip),
            authored_at=moment(at),
            committed_at=moment(at),
            author=bot if by_bot else request.author.second,
            co_authors=(request.author.second,) if by_bot else (),
            bot=by_bot,
            on_default_branch=True,
            paths=(request.path,),
        )

    def _branch(self, number: int, request: Request, head: str, merged: int) -> Iterator[Commit]:
        """The commits of a branch that is merged as it is."""
        base = self.line.shas[max(self.line.at(request.began), 0)]
        count = self._dice.randint(1, 3)
        last = max(request.began, min(request.opened, merged - MINUTE))
        for step in range(count):
            sha = head if step == count - 1 else self._sha("branch", number, step)
            at = request.began + (last - request.began) * step // max(count - 1, 1)
            yield Commit(
                source=GIT,
                native_id=f"{self.name}@{sha}",
                repository=self.name,
                sha=sha,
                parents=(base,),
                authored_at=moment(at),
                committed_at=moment(at),
                author=request.author.second,
                paths=(request.path,),
            )
            base = sha

    def _change(self, number: int, request: Request, head: str, merge: str | None) -> Change:
        merged = None if merge is None else moment(self.line.times[-1])
        return Change(
            source=FORGE,
            native_id=f"{self.name}!{number}",
            url=f"https://{self.name}/changes/{number}",
            repository=self.name,
            state=ChangeState.OPEN if merged is None else ChangeState.MERGED,
            created_at=moment(request.opened),
            number=number,
            target_branch="main",
            source_branch=f"topic/{number}",
            ready_at=moment(request.ready),
            first_commit_at=moment(request.began),
            merged_at=merged,
            closed_at=merged,
            merge_sha=merge,
            head_sha=head,
            author=request.author.key,
        )

    def _reviews(self, number: int, request: Request) -> Iterator[Review]:
        if request.reviewer is None:
            return
        again = happens(self._dice, 0.25)
        first = ReviewState.CHANGES_REQUESTED if again else ReviewState.APPROVED
        states = [(request.reviewed, first)]
        if again and request.merged is not None:
            states.append((max(request.reviewed + 1, request.merged - 10 * MINUTE), ReviewState.APPROVED))
        for step, (at, state) in enumerate(states):
            yield Review(
                source=FORGE,
                native_id=f"{self.name}!{number}/review-{step}",
                repository=self.name,
                change_native_id=f"{self.name}!{number}",
                at=moment(at),
                state=state,
                author=request.reviewer.key,
            )

    def _checks(self, number: int, request: Request, head: str) -> Iterator[Event]:
        """Checks of a request until one is green."""
        created = request.opened + self._dice.randint(5, 60)
        for attempt in range(1, 5):
            result = ending(self._dice, created, self._outage)
            run = Run(
                native_id=f"{self.name}/check-{number}.{attempt}",
                repository=self.name,
                pipeline=pipeline_name("check", request.product),
                sha=head,
                ref=f"topic/{number}",
                actor=request.author.key,
                created=created,
                result=result,
                jobs=CHECK,
            )
            yield from run_events(run, self._dice)
            if result == Result.SUCCESS:
                return
            created += int(self._dice.uniform(0.3, 1.5) * HOUR)
