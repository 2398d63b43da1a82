"""Releases: each service's deployments, those that failed, and how they were put right.

Tells the story BAD_RELEASE_WEEK: in one week most deployments of a team fail.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator
from typing import NamedTuple

from collector.events import Commit, Deployment, Event, Result
from paceline.demo.organisation import PLATFORM, Example, Product
from paceline.demo.period import HOUR, MINUTE, happens, moment
from paceline.demo.pipelines import DELIVER, FORGE, Run, pipeline_name, run_events
from paceline.demo.repositories import GIT, Line, sha_of
from paceline.demo.stories import BAD_RELEASE_WEEK
from paceline.demo.trouble import incident, outage

BAD_TEAM = "/commerce/checkout"
_FAILS, _FAILS_BADLY = 0.04, 0.75
_ROLLS_OUT_BADLY = 0.02
_BY_PLATFORM = {"1": 0.02, "2": 0.04, "3": 0.3}
"""How often somebody of the platform has to deploy for a team."""
_BUILD = 12 * MINUTE
_TUESDAY = 1


class Step(NamedTuple):
    """A planned release: when, and up to which commit of the line."""

    at: int
    upto: int


class Releases:
    """The releases of one service from its repository's line."""

    def __init__(self, example: Example, product: Product, line: Line) -> None:
        self._example, self._product, self._line = example, product, line
        self._dice = example.period.dice("releases", product.name)
        self._outage = outage(example.period)
        self._count = 0
        self._live: list[str] = []
        """The commits that were deployed to production, in their order."""

    def events(self) -> Iterator[Event]:
        """Deployments with their pipelines and incidents, one after the other."""
        free, deployed = 0, -1
        for step in sorted(self._planned()):
            at = max(step.at, free)
            upto = max(step.upto, self._line.at(at - _BUILD))
            if upto <= deployed:
                continue
            at = self._after_outage(at)
            deployed, free = upto, at + 5 * MINUTE
            yield from self._delivered(at, upto)
            if happens(self._dice, self._fails(at)):
                free = yield from self._failed(at)

    def _planned(self) -> Iterator[Step]:
        """When this service is released: with each change, once a day, or on Tuesdays."""
        own = [i for i, r in enumerate(self._line.requests) if self._concerns(r.path, r.product)]
        if self._product.tier == "1":
            for number in own:
                yield Step(self._line.times[number] + _BUILD + int(self._dice.uniform(5, 40) * MINUTE), number)
            return
        yield from self._batches(own)

    def _batches(self, own: list[int]) -> Iterator[Step]:
        """Releases of what was built since the one before."""
        released = 0
        for day in self._example.rhythms["berlin"].days:
            if self._product.tier == "3" and moment(day.midnight + 12 * HOUR).weekday() != _TUESDAY:
                continue
            at = day.midnight + int(self._dice.uniform(10, 15.5) * HOUR)
            built = bisect_right(own, self._line.at(at - _BUILD))
            if built > released:
                released = built
                yield Step(at, own[built - 1])

    def _concerns(self, path: str, product: Product) -> bool:
        return product == self._product or path.startswith("lib/")

    def _after_outage(self, at: int) -> int:
        start, end, _ = self._outage
        return end + int(self._dice.uniform(10, 90)) * MINUTE if start - 10 * MINUTE < at < end else at

    def _fails(self, at: int) -> float:
        return _FAILS_BADLY if self._is_bad(at) else _FAILS

    def _is_bad(self, at: int) -> bool:
        return self._product.team == BAD_TEAM and BAD_RELEASE_WEEK.holds(self._example.period, at)

    def _delivered(self, at: int, upto: int) -> Iterator[Event]:
        """A commit goes to staging and then to production, now and then in a second try."""
        sha = self._line.shas[upto]
        yield self._deployment(at - 8 * MINUTE, sha, environment="staging")
        if happens(self._dice, _ROLLS_OUT_BADLY):
            yield self._deployment(at - 4 * MINUTE, sha, result=Result.FAILURE)
        made = self._deployment(at, sha, upto=upto)
        yield made
        author = self._line.requests[upto].author
        run = Run(
            native_id=f"{self._product.name}/deliver-{self._count}",
            repository=self._product.repository,
            pipeline=pipeline_name("deliver", self._product),
            sha=sha,
            ref="main",
            actor=author.key,
            created=at - _BUILD,
            result=Result.SUCCESS,
            jobs=DELIVER,
            environment="production",
        )
        yield from run_events(run, self._dice)

    def _deployment(  # noqa: PLR0913 - what is known of a deployment
        self,
        at: int,
        sha: str,
        *,
        environment: str = "production",
        result: Result = Result.SUCCESS,
        ref: str = "main",
        rolled_back: bool = False,
        upto: int | None = None,
    ) -> Deployment:
        self._count += 1
        if environment == "production" and result == Result.SUCCESS:
            self._live.append(sha)
        author = None if upto is None else self._line.requests[upto].author
        by_platform = happens(self._dice, _BY_PLATFORM[self._product.tier])
        return Deployment(
            source=FORGE,
            native_id=self._name(f"deployment-{self._count}", at),
            url=f"https://{self._product.repository}/deployments/{self._count}",
            service=self._product.name,
            environment=environment,
            finished_at=moment(at),
            started_at=moment(at - 3 * MINUTE),
            result=result,
            repository=self._product.repository,
            sha=sha,
            version=f"1.{self._count}.0",
            ref=ref,
            rolled_back=rolled_back,
            actor=None if author is None else author.key,
            actor_team=f"{PLATFORM}/delivery" if by_platform else self._product.team,
        )

    def _name(self, what: str, at: int) -> str:
        story = f"{BAD_RELEASE_WEEK.name}/" if self._is_bad(at) else ""
        return f"{story}{self._product.name}/{what}"

    def _failed(self, at: int) -> Generator[Event, None, int]:
        """What follows a deployment that failed; gives back when the next one may go."""
        failed, noticed = self._name(f"deployment-{self._count}", at), at + int(self._dice.uniform(4, 45) * MINUTE)
        how = self._dice.choices(("rollback", "hotfix", "repair"), (0.4, 0.25, 0.35))[0]
        restored = noticed + int(self._dice.lognormvariate(3.7, 0.6) * MINUTE) + 10 * MINUTE
        if how == "rollback" and len(self._live) > 1:
            yield self._deployment(restored - 3 * MINUTE, self._live[-2], rolled_back=True)
        if how == "hotfix":
            yield from self._hotfix(restored - 3 * MINUTE)
        if how != "rollback" or happens(self._dice, 0.8):
            named = failed if happens(self._dice, 0.3) else None
            name, title = self._name(f"incident-{self._count}", at), f"{self._product.name} answers with errors"
            yield incident(name, self._product.name, noticed, restored, title, deployment=named)
        return restored + 15 * MINUTE

    def _hotfix(self, at: int) -> Iterator[Event]:
        """A commit upon what is deployed, released from a branch of its own."""
        sha, written = sha_of(self._example.period.seed, self._product.name, "hotfix", at), moment(at - 20 * MINUTE)
        author = self._dice.choice(self._line.requests).author.key
        yield Commit(
            source=GIT,
            native_id=f"{self._product.repository}@{sha}",
            repository=self._product.repository,
            sha=sha,
            parents=(self._live[-1],),
            authored_at=written,
            committed_at=written,
            author=author,
            paths=(f"{self._product.folder}/src/api.py".removeprefix("/"),),
        )
        yield self._deployment(at, sha, ref=f"hotfix/{self._count}")
