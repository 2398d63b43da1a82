"""A synthetic organisation of a thousand services, and what deriving its numbers costs.

    make bench ARGS=bench/organisation.py                          a tenth of the size, in a few minutes
    make bench ARGS=bench/organisation.py PACELINE_BENCH_FULL=1    1 000 services, 1 000 000 deployments
    .venv/bin/python bench/organisation.py --services 300          another size of the same shape
    PACELINE_BENCH_FAMILIES=delivery                               these families of indicators alone

The organisation is the same on every machine: services of uneven size with a repository each, three years of merges,
squashes, direct pushes, reverts and stale branches, deployments with failures, rollbacks and hotfixes, and incidents.
Every measurement runs in a process of its own. What is repeated is printed as a median; of cycles, which are what the
machine's speed moves most, the medians of several processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from collector.bulk import seldom_collecting
from collector.events import (
    AnyEvent,
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    Incident,
    IncidentState,
    Result,
    Review,
    ReviewState,
    Transition,
)
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore, to_micros
from paceline.resources import alert_windows, starter_slos
from slo_engine.alert_windows import load_tiers
from slo_engine.beside import Beside
from slo_engine.changes import COMMIT_COLUMNS, Commits, history, read_requests
from slo_engine.derive import Derived, Helpers, derive
from slo_engine.evaluate import Evaluator
from slo_engine.exposition import Exposition, LineWriter, Publisher
from slo_engine.incidents import Incidents, attribute, read_incidents
from slo_engine.indicator import Family, families, indicators
from slo_engine.openslo import load_slos
from slo_engine.organisation import Organisation, Service
from slo_engine.processes import Processes
from slo_engine.services import Judged, judged
from slo_engine.shipping import RELEASE_COLUMNS, Release
from slo_engine.slo_states import is_counted
from slo_engine.snapshot import SourceState

ENOUGH = 10.0
"""Seconds of measuring after which a first derivation is not measured again."""
PAGE = 20_000
"""Events of one transaction of the import."""
BATCHES = (1_000, *(1_000,) * 5, *(100,) * 3, 10_000)
"""New events after the history: for a fresh process, for five cycles of a running one, then fewer and more."""
RUNS = 7
"""In so many processes the cycles are measured: a machine's own speed moves within minutes."""
PATIENCE = 20.0
"""Seconds until a query that is a peer is stopped; its time for all rows follows from those it answered."""
STARTING = 600.0
"""Seconds until a process beside must be there; they are not measured, and a busy machine needs many."""
PROCESSES = 2
"""In how many processes a service derives for the first time unless told otherwise."""
CROSS_JOIN = 31.7
"""Seconds that another tool's users measured for as many incidents and deployments."""
PEER_TABLES = {
    "deployment": "SELECT id, service, environment, result, finished_at FROM event_deployment",
    "incident": "SELECT id, service, environment, started_at FROM event_incident",
}
PEER = """
SELECT incident.id, (
    SELECT deployment.id FROM deployment
    WHERE deployment.service = incident.service AND deployment.environment = incident.environment
      AND deployment.result = 'success' AND deployment.finished_at <= incident.started_at
      AND deployment.finished_at >= incident.started_at - 86400000000
    ORDER BY deployment.finished_at DESC, deployment.id DESC LIMIT 1)
FROM incident
"""
START = datetime(2023, 11, 1, tzinfo=UTC)
DAY = 86_400
SPAN = 3 * 365 * DAY
"""Seconds of history."""
SOURCES = ("git", "forge", "pager")
PRODUCTION, STAGING = "production", "staging"
STALE_BRANCHES = 5
NOBODY: frozenset[str] = frozenset()
LATEST_INCIDENT = 30 * 3_600
"""Seconds after a deployment within which the incidents that follow it start: a fifth of them too late to be its."""


class Size(NamedTuple):
    """How much of everything there is."""

    services: int
    deployments: int
    commits: int
    incidents: int

    @classmethod
    def of(cls, services: int) -> Size:
        """The shape of the whole: a deployment a day and five commits each, three incidents in three years."""
        return cls(services, 1_000 * services, 5_000 * services, round(3.2 * services))

    def with_deployments(self, deployments: int) -> Size:
        """The same services with another depth of history."""
        incidents = round(self.incidents * deployments / self.deployments)
        commits = round(self.commits * deployments / self.deployments)
        return Size(self.services, deployments, commits, incidents)


class Batch(msgspec.Struct, frozen=True):
    """Events that arrive together, and the time at which they do."""

    now: datetime
    events: list[AnyEvent]


# ---- the organisation


class Line:
    """One service and its repository: what stands on the default branch, what is deployed, which requests wait.

    Times are seconds after START. `owed` is how many commits the service is behind its pace, `left` how many it may
    still make.
    """

    def __init__(self, number: int, seed: int) -> None:
        self.random = random.Random(f"{seed}/{number}")  # noqa: S311 - the same organisation on every machine
        self.name = f"service-{number:04}"
        self.team = f"/unit-{number % 10}/team-{number % 125:03}"
        self.repository = f"forge.example/{self.name}"
        self.people = [f"person:{_hex(f'{self.team}/{n}', 16)}" for n in range(8)]
        self.salt = f"{seed}/{self.name}/"
        self.at = self.owed = self.left = self.commits = self.requests = self.deployments = self.incidents = 0
        self.line: deque[tuple[str, int]] = deque(maxlen=8)
        """The newest commits of the default branch."""
        self.live: dict[str, deque[str]] = {e: deque(maxlen=2) for e in (PRODUCTION, STAGING)}
        """For each environment the commit that is deployed, and the one before it."""
        self.waiting: list[Change] = []
        self.released: Deployment | None = None

    def history(self, share: Size) -> Iterator[Event]:
        """Three years, in the order in which they happened."""
        steps, self.left = share.deployments, share.commits
        stale = {steps * n // (STALE_BRANCHES + 1) for n in range(1, STALE_BRANCHES + 1)}
        for step in range(steps):
            if step in stale and self.left > 3:
                yield from self.stale_branch()
            commits = share.commits * (step + 1) // steps - share.commits * step // steps
            incidents = share.incidents * (step + 1) // steps - share.incidents * step // steps
            yield from self.step(SPAN * (step + 1) // steps, commits, incidents, SPAN)
        self.left = sys.maxsize

    def step(self, until: int, commits: int, incidents: int, now: int) -> Iterator[Event]:
        """Some work up to a time, its deployment, and incidents that are known of `now`."""
        self.owed += commits
        while self.owed > 0 and self.left > 0:
            self.at += int((until - self.at) * self.random.random() / 2)
            yield from self.work()
        self.at = max(until, self.at)
        yield from self.deploy()
        for _ in range(incidents):
            yield self.incident(now)

    def work(self) -> Iterator[Event]:
        """What one person puts on the default branch: six of ten commits by way of a branch and its merge."""
        kind = self.random.random()
        if kind < 0.20 and self.left > 2 and self.line:
            yield from self.merge(min(self.random.randint(2, 8), self.left - 1))
        elif kind < 0.35:
            yield from self.squash()
        else:
            yield self.commit(self.at, self.head, line=True, reverts=self.reverted())

    def merge(self, length: int) -> Iterator[Event]:
        """A branch, its request and the commit that merges it."""
        branch = list(self.branch(length))
        yield from branch
        merge = self.commit(self.at, (*self.head, branch[-1].sha), line=True)
        yield merge
        yield from self.request(_seconds(branch[0].authored_at), merge.sha, branch[-1].sha)

    def squash(self) -> Iterator[Event]:
        """A request whose commits became one: of the others only the provider knows."""
        started = self.line[0][1] if self.line else self.at
        squashed = self.commit(self.at, self.head, line=True, reverts=self.reverted())
        yield squashed
        head = _hex(f"{self.salt}head/{self.commits}", 20)
        yield from self.request(self._between(started, self.at), squashed.sha, head, names_first=True)

    def stale_branch(self) -> Iterator[Event]:
        """Commits that nobody merged, and their open request."""
        if self.line:
            branch = list(self.branch(3))
            yield from branch
            change = self.change(_seconds(branch[0].authored_at), branch[-1].sha)
            self.waiting.append(change)
            yield change

    def branch(self, length: int) -> Iterator[Commit]:
        """Commits beside the default branch, starting at one of its newest."""
        base, started = self.random.choice(self.line)
        parents: tuple[str, ...] = (base,)
        for at in sorted(self._between(started, self.at) for _ in range(length)):
            commit = self.commit(at, parents)
            parents = (commit.sha,)
            yield commit

    def commit(self, at: int, parents: tuple[str, ...], *, line: bool = False, reverts: tuple[str, ...] = ()) -> Commit:
        """One commit; on the default branch it is its new head."""
        self.commits, self.owed, self.left = (self.commits + 1, self.owed - 1, self.left - 1)
        sha, when = _hex(f"{self.salt}{self.commits}", 20), _at(at)
        if line:
            self.line.append((sha, at))
        return Commit(
            source="git",
            native_id=sha,
            repository=self.repository,
            sha=sha,
            tree_sha=_hex(f"{self.salt}tree/{self.commits}", 20),
            parents=parents,
            authored_at=when,
            committed_at=when,
            author=self.random.choice(self.people),
            bot=self.random.random() < 0.05,
            on_default_branch=line,
            reverts=reverts,
        )

    def request(self, started: int, merge_sha: str, head_sha: str, *, names_first: bool = False) -> Iterator[Event]:
        """A merged request and, mostly, a review of it."""
        opened = self.change(started, head_sha)
        ready = _seconds(opened.ready_at or opened.created_at)
        yield msgspec.structs.replace(
            opened,
            state=ChangeState.MERGED,
            updated_at=_at(self.at),
            first_commit_at=_at(started) if names_first else None,
            merged_at=_at(self.at),
            closed_at=_at(self.at),
            merge_sha=merge_sha,
        )
        if self.random.random() < 0.95:
            yield Review(
                source="forge",
                native_id=f"{self.name}/review-{self.requests}",
                repository=self.repository,
                change_native_id=opened.native_id,
                at=_at(self._between(ready, self.at)),
                state=ReviewState.APPROVED,
                author=self.random.choice(self.people),
            )

    def change(self, started: int, head_sha: str) -> Change:
        """A request as it is when it waits. A tenth began as drafts, a tenth names the ticket it is for."""
        self.requests += 1
        created = self._between(started, self.at)
        draft = self.random.random() < 0.1
        return Change(
            source="forge",
            native_id=f"{self.name}/request-{self.requests}",
            updated_at=_at(created),
            url=f"https://{self.repository}/requests/{self.requests}",
            repository=self.repository,
            state=ChangeState.OPEN,
            created_at=_at(created),
            number=self.requests,
            title=f"Change {self.requests}",
            target_branch="main",
            source_branch=f"feature/{self.requests}",
            ready_at=_at(self._between(created, self.at)) if draft else _at(created),
            head_sha=head_sha,
            author=self.random.choice(self.people),
            labels=("feature",) if self.random.random() < 0.3 else (),
            links=(f"{self.name}-{self.requests}",) if self.random.random() < 0.1 else (),
        )

    def update(self, at: int) -> Change | None:
        """A waiting request as somebody touched it; None where none waits."""
        if not self.waiting:
            return None
        which = self.random.randrange(len(self.waiting))
        labels = ("waiting", f"round-{self.random.randrange(100)}")
        self.waiting[which] = msgspec.structs.replace(self.waiting[which], updated_at=_at(at), labels=labels)
        return self.waiting[which]

    def reverted(self) -> tuple[str, ...]:
        """Two of a hundred commits take back one that is deployed; those of branches never do."""
        live = self.live[PRODUCTION]
        return (live[-1],) if live and self.random.random() < 0.05 else ()

    @property
    def head(self) -> tuple[str, ...]:
        """The head of the default branch, nothing before the first commit."""
        return (self.line[-1][0],) if self.line else ()

    def deploy(self) -> Iterator[Event]:
        """A deployment: of the head mostly, else a rollback, a redeployment or a hotfix."""
        head, draw = self.line[-1][0], self.random.random()
        environment = PRODUCTION if self.random.random() < 0.7 else STAGING
        live = self.live[environment]
        if draw < 0.02 and len(live) == 2 and live[0] != live[1]:
            yield self.deployment(environment, live[0], rolled_back=self.random.random() < 0.5)
        elif draw < 0.03 and live:
            yield self.deployment(environment, live[-1])
        elif draw < 0.04 and live and self.left > 1:
            yield from self.hotfix(environment)
        else:
            other = STAGING if environment == PRODUCTION else PRODUCTION
            yield self.deployment(other if live and live[-1] == head else environment, head)

    def hotfix(self, environment: str) -> Iterator[Event]:
        """A commit upon what is deployed, deployed from its own branch and merged afterwards."""
        fix = self.commit(self.at, (self.live[environment][-1],))
        yield fix
        yield self.deployment(environment, fix.sha, ref=f"hotfix/{self.commits}")
        yield self.commit(self.at, (*self.head, fix.sha), line=True)

    def deployment(self, environment: str, sha: str, ref: str = "main", *, rolled_back: bool = False) -> Deployment:
        """One deployment; 3 % fail, 1 % are cancelled."""
        self.deployments += 1
        draw = self.random.random()
        result = Result.FAILURE if draw < 0.03 else Result.CANCELLATION if draw < 0.04 else Result.SUCCESS
        made = Deployment(
            source="forge",
            native_id=f"{self.name}/deployment-{self.deployments}",
            service=self.name,
            environment=environment,
            finished_at=_at(self.at),
            result=result,
            repository=self.repository,
            sha=sha,
            started_at=_at(self.at - self.random.randint(60, 900)),
            version=f"1.{self.deployments}.0",
            ref=ref,
            pipeline_run_native_id=f"{self.name}/run-{self.deployments}",
            rolled_back=rolled_back,
            actor=self.random.choice(self.people),
        )
        if result is Result.SUCCESS:
            self.live[environment].append(sha)
            self.released = made if environment == PRODUCTION else self.released
        return made

    def incident(self, now: int) -> Incident:
        """A failure after the newest release, as it is known at a time: 5 % stay open, 5 % were reopened."""
        self.incidents += 1
        released = _seconds(self.released.finished_at) if self.released else self.at
        started = min(released + self.random.randint(60, LATEST_INCIDENT), now)
        restored = started + int(self.random.lognormvariate(8, 1.5))
        is_open = restored > now or self.random.random() < 0.05
        reopened = not is_open and self.random.random() < 0.05
        middle = (started + restored) // 2
        states = ((middle, "resolved"), (middle, "detected"), (restored, "resolved")) if reopened else ()
        return Incident(
            source="pager",
            native_id=f"{self.name}/incident-{self.incidents}",
            updated_at=_at(now if is_open else restored),
            service=self.name,
            environment=PRODUCTION,
            state=IncidentState.ACKNOWLEDGED if is_open else IncidentState.RESOLVED,
            started_at=_at(started),
            severity=self.random.choice(("minor", "major")),
            detected_at=_at(min(started + 60, now)),
            restored_at=None if is_open else _at(restored),
            transitions=tuple(Transition(at=_at(at), state=state) for at, state in states),
            **self.cause(),
        )

    def cause(self) -> dict[str, Any]:
        """What an incident says of its cause: the deployment, commits or a link; most say nothing."""
        draw, release = self.random.random(), self.released
        if release is None or release.sha is None or draw >= 0.4:
            return {}
        if draw < 0.2:
            return {"deployment_native_id": release.native_id}
        if draw < 0.3:
            return {"shas": (release.sha,)}
        return {"links": (f"https://{self.repository}/requests/{self.requests}", f"{self.name}-{self.requests}")}

    def _between(self, start: int, end: int) -> int:
        return start + int((end - start) * self.random.random())


class Synthetic:
    """The organisation: its whole history once, then batches that continue it."""

    def __init__(self, size: Size, seed: int = 1) -> None:
        assert size.commits >= size.deployments >= size.services, "each service deploys, and each deployment has work"
        self.size = size
        self.random = random.Random(seed)  # noqa: S311 - the same organisation on every machine
        self.lines = [Line(number, seed) for number in range(size.services)]
        # Few services are large and most are small; the largest of a thousand has sixteen times the mean.
        self.weights = [(rank + 1) ** -0.5 for rank in range(size.services)]
        self.now = SPAN

    def history(self) -> Iterator[Event]:
        """Three years of all services, one service after the other, as their sources are read for the first time."""
        columns = [_shares(total, self.weights) for total in self.size[1:]]
        for line, deployments, commits, incidents in zip(self.lines, *columns, strict=True):
            # The many small services never round to nothing.
            steps = max(deployments, 1)
            yield from line.history(Size(1, steps, max(commits, steps), incidents))

    def batch(self, count: int) -> Batch:
        """About as many new events as asked for, at all services in proportion to their size.

        120 deployments of 1 000 events, four commits each, their requests and reviews, 10 incidents; the rest are
        updates of waiting requests. It takes as long as it took in the history.
        """
        steps, incidents = max(round(0.12 * count), 1), round(0.01 * count)
        began, length = self.now, max(SPAN * steps // self.size.deployments, steps)
        self.now = began + length
        found: list[Any] = []
        for number, line in enumerate(self.random.choices(self.lines, self.weights, k=steps)):
            until = began + length * (number + 1) // steps
            found += line.step(until, 4, int(number < incidents), self.now)
        for line in self.random.choices(self.lines, self.weights, k=max(count - len(found), 0)):
            update = line.update(self.now)
            found += [] if update is None else [update]
        return Batch(_at(self.now), found)


def _shares(total: int, weights: list[float]) -> list[int]:
    """A total in whole parts by weight."""
    scale = total / sum(weights)
    bounds = [0, *(round(w * scale) for w in accumulate(weights))]
    return [after - before for before, after in pairwise(bounds)]


def _at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def _seconds(at: datetime) -> int:
    return int((at - START).total_seconds())


def _hex(text: str, size: int) -> str:
    return blake2b(text.encode(), digest_size=size).hexdigest()


# ---- what is measured, each in a process of its own


class Stores:
    """An opened store, with what a cycle needs beside it."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder)
        self.second = Beside(folder)
        self.events, self.observations = EventStore(self.database), ObservationStore(self.database)
        self.derivations = DerivationStore(self.database)
        self.evaluator, self.publisher = Evaluator(self.observations, self.second, LineWriter()), Publisher()
        self.families, known = wanted(), indicators()
        self.indicators = {i.name: known[i.name] for family in self.families for i in family.indicators}
        slos = [slo for path in starter_slos() for slo in load_slos(path, known)]
        self.slos = [slo for slo in slos if not is_counted(slo) or slo.indicator in self.indicators]
        self.tiers = load_tiers(alert_windows())
        self.organisation = catalogue(json.loads((folder / "services.json").read_text(encoding="utf-8")))

    def write(self, events: list[Any]) -> float:
        """Import some events in one transaction, as a page of a source; seconds."""
        started = time.perf_counter()
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        return time.perf_counter() - started

    def derive(self, at: datetime, helpers: Helpers | None = None) -> Derived:
        """Bring the observations up to date at a time."""
        return derive(self.families, self.events, self.derivations, self.organisation, at, helpers, self.second)

    def cycle(self, at: datetime) -> dict[str, float]:
        """What the service does after a collection: seconds of each step and of all, and series published.

        `after`: seconds of what follows: to compress what is published for scrapers, and to move the store's log.
        """
        with seldom_collecting():
            found, exposition = self._cycle(at)
        started = time.perf_counter()
        exposition.compress()
        self.derivations.rest()
        return found | {"after": time.perf_counter() - started}

    def _cycle(self, at: datetime) -> tuple[dict[str, float], Exposition]:
        used, marks = processor(), [time.perf_counter()]
        derived = self.derive(at)
        self.evaluator.apply(derived.changes)
        marks.append(time.perf_counter())
        snapshot = self.evaluator.evaluate(
            self.indicators, self.slos, states(at), at, self.tiers, organisation=self.organisation
        )
        marks.append(time.perf_counter())
        exposition = self.publisher.expose(snapshot, self.indicators, "bench", self.observations.raise_counters)
        self.derivations.published(to_micros(at))
        marks.append(time.perf_counter())
        assert not exposition.failed_parts, exposition.failed_parts
        steps = zip(("derive", "evaluate", "expose"), pairwise(marks), strict=True)
        took = {step: end - start for step, (start, end) in steps}
        used = processor() - used
        found = took | {"seconds": marks[-1] - marks[0], "processor": used, "series": exposition.series}
        return found, exposition


def wanted() -> list[Family]:
    """The families that are named, all unless told."""
    names = os.environ.get("PACELINE_BENCH_FAMILIES", "").split(",")
    return [f for f in families() if names == [""] or f.name in names]


def catalogue(services: dict[str, tuple[str, str]]) -> Organisation:
    """The catalogue of services, given with their team and repository."""
    known = (
        Service(name=name, team=team, repositories=patterns((repository,)))
        for name, (team, repository) in services.items()
    )
    return Organisation(services=tuple(known))


def states(at: datetime) -> list[SourceState]:
    """The sources at a time: all of them have just succeeded."""
    return [
        SourceState(
            name=name,
            type=name,
            fresh=True,
            staleness_seconds=0.0,
            last_success_at=at,
            last_run_at=at,
            last_duration_seconds=1.0,
            last_succeeded=True,
            error=None,
            events_total=1,
            rejected_total=0,
            newest_event_at=at,
        )
        for name in SOURCES
    ]


def batch_of(folder: Path, number: int) -> Batch:
    """A batch that `make` left beside the store. Each continues the one before: left out, its commits are missing."""
    return msgspec.json.decode((folder / f"batch-{number}.json").read_bytes(), type=Batch)


def make(folder: Path, *sizes: int) -> dict[str, Any]:
    """Import the history, and leave the batches that continue it beside the store."""
    synthetic = Synthetic(Size._make(sizes))
    services = {line.name: (line.team, line.repository) for line in synthetic.lines}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "services.json").write_text(json.dumps(services), encoding="utf-8")
    stores, events, count, started = (Stores(folder), synthetic.history(), 0, time.perf_counter())
    while page := list(islice(events, PAGE)):
        stores.write(page)
        count += len(page)
    seconds = time.perf_counter() - started
    stores.database.close()
    memory = peak_memory()
    for number, batch in enumerate(BATCHES):
        (folder / f"batch-{number}.json").write_bytes(msgspec.json.encode(synthetic.batch(batch)))
    stored = (folder / "paceline.db").stat().st_size / 1e6
    return {"events": count, "seconds": seconds, "stored_mb": stored, "memory_mb": memory}


def first(folder: Path) -> dict[str, Any]:
    """Derive everything for the first time, in as many processes as the service does."""
    stores, started = Stores(folder), time.perf_counter()
    observations = stores.derive(START + timedelta(seconds=SPAN), Processes(folder, PROCESSES)).observations
    seconds = time.perf_counter() - started
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(u.ru_utime + u.ru_stime for u in used)
    memory = peak_memory() + PROCESSES * used[1].ru_maxrss / 1024
    return {"observations": observations, "seconds": seconds, "processor": processor, "memory_mb": memory}


def write(folder: Path, number: int) -> dict[str, Any]:
    """Import one batch."""
    return {"seconds": Stores(folder).write(batch_of(folder, number).events)}


def fresh(folder: Path, number: int) -> dict[str, Any]:
    """The first cycle of a new process, after a batch came in before it started. Opening the store is part of it."""
    at, started = batch_of(folder, number).now, time.perf_counter()
    stores = Stores(folder)
    opened = time.perf_counter() - started
    found = stores.cycle(at)
    return found | {"seconds": found["seconds"] + opened}


def cycles(folder: Path, *numbers: int) -> dict[str, Any]:
    """A running process: for each batch the cycle after it, and what importing it cost."""
    stores = Stores(folder)
    for _ in range(2):  # at first it starts, then it reads what it evaluates from
        stores.cycle(START + timedelta(seconds=SPAN))
        assert stores.second.ready(STARTING), "in a service that runs for minutes the process beside is there"
    found: list[dict[str, float]] = []
    for number in numbers:
        batch = batch_of(folder, number)
        imported = stores.write(batch.events)
        found.append(stores.cycle(batch.now) | {"import": imported, "events": len(batch.events)})
    stores.second.close()
    return {"cycles": found, "memory_mb": peak_memory()}


def linked(folder: Path) -> dict[str, Any]:
    """Find the deployments of all incidents by every rule, given what each deployment shipped."""
    stores = Stores(folder)
    events, organisation = stores.events, stores.organisation
    releases: dict[str, list[Release]] = defaultdict(list)
    for row in events.columns(Deployment, *RELEASE_COLUMNS):
        releases[row[RELEASE_COLUMNS.index("service")]].append(Release._make(row))
    services = [service_of(events, organisation, name, sorted(own)) for name, own in sorted(releases.items())]
    with seldom_collecting():  # as in every derivation
        started = time.perf_counter()
        incidents = read_incidents(events, organisation)
        found = [
            attribute(s.service, s.releases, list(s.chains.values()), incidents, NOBODY, NOBODY, organisation)
            for s in services
        ]
        seconds = time.perf_counter() - started
    attributed = {hit.incident.id for attribution in found for hit in attribution.causes}
    return {
        "seconds": seconds,
        "deployments": sum(map(len, releases.values())),
        "incidents": len(incidents.all),
        "attributed": len(attributed),
    }


def service_of(events: EventStore, organisation: Organisation, name: str, releases: list[Release]) -> Judged:
    """A service with what its deployments shipped, before any incident."""
    histories = {}
    for repository in {r.repository for r in releases if r.repository}:
        commits = Commits.of(events.columns(Commit, *COMMIT_COLUMNS, repository=repository))
        histories[repository] = history(commits, read_requests(events, repository))
    return judged(name, releases, histories, Incidents([]), NOBODY, NOBODY, organisation)


def in_sql(folder: Path, indexed: int) -> dict[str, Any]:
    """The incidents' deployments by a correlated query of SQLite itself, for at most PATIENCE seconds.

    The tables hold only what the query needs, so that it reads no more than it must.
    """
    with contextlib.closing(sqlite3.connect(folder / "paceline.db")) as database:
        for table, rows in PEER_TABLES.items():
            database.execute(f"CREATE TEMP TABLE {table} AS {rows}")
        if indexed:
            database.execute("CREATE INDEX temp.known ON deployment (service, environment, finished_at)")
        (wanted,) = database.execute("SELECT count(*) FROM incident").fetchone()
        answered, started = 0, time.perf_counter()
        for _ in database.execute(PEER):
            answered += 1
            if time.perf_counter() - started > PATIENCE:
                break
        seconds = time.perf_counter() - started
    return {"seconds": seconds * wanted / answered, "answered": answered, "wanted": wanted}


def processor() -> float:
    """Seconds of processor time of this process and of those it started that still run: each has a clock on Linux."""
    started = (process.pid for process in multiprocessing.active_children())
    return time.process_time() + sum(time.clock_gettime(~pid << 3 | 2) for pid in started if pid is not None)


def peak_memory() -> float:
    """The most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- the figures


def main() -> None:
    """Make the organisation, measure it and print each figure beside its limit."""
    size = asked_for(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        whole = f"{size.services:,} services, {size.deployments:,} deployments, {size.commits:,} commits"
        say("organisation", f"{whole}, {size.incidents:,} incidents; the limits are for 1 000 services")
        imported = in_a_process("make", place / "whole", *size)
        say("import", f"{imported['events'] / imported['seconds']:,.0f} events/s, {imported['events']:,} in all")
        say("store", f"{imported['stored_mb']:,.0f} MB; peak of the import {imported['memory_mb']:.0f} MB")
        derived = first_derivation(place, size)
        new_process(place / "derived")
        runs = running_processes(place)
        running_process([run[:5] for run in runs])
        new_events(runs[-1])
        stored(place, size, derived, [medians(run[:5]) for run in runs])
        linking(place)


def asked_for(arguments: list[str]) -> Size:
    """The size to measure: a tenth unless told; what is not said follows from the number of services."""
    parser = argparse.ArgumentParser(description="Measures a synthetic organisation.")
    for name in Size._fields:
        parser.add_argument(f"--{name}", type=int)
    asked = vars(parser.parse_args(arguments))
    usual = 1_000 if os.environ.get("PACELINE_BENCH_FULL") == "1" or any(asked.values()) else 100
    size = Size.of(asked["services"] or usual)
    return size._replace(**{name: n for name, n in asked.items() if n})


def in_a_process(what: str, folder: Path, *arguments: int) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--measure", what, str(folder), *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def first_derivation(place: Path, size: Size) -> float:
    """Print what the first derivation costs: the median of three where it is short; its seconds."""
    runs: list[dict[str, Any]] = []
    while len(runs) < 3 and sum(run["seconds"] for run in runs) < ENOUGH:
        shutil.rmtree(place / "derived", ignore_errors=True)
        shutil.copytree(place / "whole", place / "derived")
        runs.append(in_a_process("first", place / "derived"))
    shutil.rmtree(place / "whole")
    middle = medians(runs)
    seconds = middle["seconds"]
    limit = 90 * size.deployments / 1_000_000
    share = f"limit {limit:.1f}, {seconds / limit:.2f} of it"
    say("first derivation", f"{seconds:.2f} s ({share}), processor {middle['processor']:.2f} s")
    say("  observations", f"{middle['observations']:,.0f}")
    memory, whole = middle["memory_mb"], 1 + PROCESSES
    say("  peak memory", f"{memory:.0f} MB in {whole} processes (limit 2 000, {memory / 2_000:.2f} of it)")
    return seconds


def new_process(folder: Path) -> None:
    """Print what the first cycle of a process costs."""
    in_a_process("write", folder, 0)
    found = in_a_process("fresh", folder, 0)
    say("cycle, new process", f"{found['seconds']:.2f} s after {BATCHES[0]:,} new events, {steps(found)}")


def running_processes(place: Path) -> list[list[dict[str, float]]]:
    """The cycles of some processes, each of which goes on from the same store. The last one has all batches."""
    runs = []
    for last in (*[6] * (RUNS - 1), len(BATCHES)):
        shutil.copytree(place / "derived", place / "running")
        runs.append(in_a_process("cycles", place / "running", *range(1, last))["cycles"])
        shutil.rmtree(place / "running")
    return runs


def running_process(runs: list[list[dict[str, float]]]) -> None:
    """Print what a cycle of a running process costs: the median of several runs' medians."""
    each = [medians(run) for run in runs]
    middle, seconds = medians(each), sorted(run["seconds"] for run in each)
    share = f"limit 1, {middle['seconds']:.2f} of it"
    say("cycle, running", f"{middle['seconds']:.2f} s ({share}), processor {middle['processor']:.2f} s")
    say("  each run", ", ".join(f"{one:.2f}" for one in seconds) + " s, each the median of five cycles")
    say("  its steps", f"{steps(middle)} for {middle['series']:,.0f} series")
    say("  after it", f"{middle['after']:.2f} s to compress it for scrapers and to move the store's log")
    say("  before it", f"{middle['import']:.2f} s to import {middle['events']:,.0f} new events")


def new_events(found: list[dict[str, float]]) -> None:
    """Print how a cycle grows with what is new."""
    print("\nnew events     cycle, seconds")
    for count in sorted(set(BATCHES)):
        own = [f for f, planned in zip(found, BATCHES[1:], strict=True) if planned == count]
        middle = medians(own)
        print(f"{middle['events']:10,.0f}     {middle['seconds']:.2f} = {steps(middle)}")


def stored(place: Path, size: Size, derived: float, whole: list[dict[str, float]]) -> None:
    """Print how a cycle grows with what is stored: the same services with shorter histories."""
    print("\ndeployments stored     first derivation     cycle after 1 000 new events, seconds")
    for part in (100, 10):
        smaller = size.with_deployments(max(size.deployments // part, size.services))
        folder = place / f"part-{part}"
        in_a_process("make", folder, *smaller)
        seconds = in_a_process("first", folder)["seconds"]
        middle = medians(in_a_process("cycles", folder, 0, 1, 2)["cycles"])
        print(f"{smaller.deployments:18,}{seconds:20.2f} s     {middle['seconds']:.2f} = {steps(middle)}")
        shutil.rmtree(folder)
    middle = medians(whole)
    print(f"{size.deployments:18,}{derived:20.2f} s     {middle['seconds']:.2f} = {steps(middle)}\n")


def linking(place: Path) -> None:
    """Print what finding the deployments of incidents costs, beside plain SQL on the same data."""
    size = Size(services=1_000, deployments=177_000, commits=177_000, incidents=3_200)
    in_a_process("make", place / "linking", *size)
    ours = in_a_process("linked", place / "linking")
    whom = f"{ours['incidents']:,.0f} incidents to {ours['deployments']:,.0f} deployments"
    say("linking", f"{ours['seconds']:.2f} s (limit 1, {ours['seconds']:.2f} of it) for {whom}")
    plain, indexed = (in_a_process("in_sql", place / "linking", n) for n in (0, 1))
    say("incidents in SQL", f"{indexed['seconds']:.2f} s with an index made for the question")
    stopped = f", from the {plain['answered']:,} answered in {PATIENCE:.0f} s"
    say("  without", f"{plain['seconds']:.1f} s{stopped if plain['answered'] < plain['wanted'] else ''}")
    say("  elsewhere", f"{CROSS_JOIN} s, a cross join in the database as reported (DevLake #8130)")


def say(name: str, figure: str) -> None:
    """Print one figure."""
    print(f"{name:20}  {figure}", flush=True)


def steps(cycle: dict[str, float]) -> str:
    """The steps of a cycle as text."""
    return ", ".join(f"{name} {cycle[name]:.2f}" for name in ("derive", "evaluate", "expose"))


def medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(f[name] for f in found) for name in found[0]}


MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    f.__name__: f for f in (make, first, write, fresh, cycles, linked, in_sql)
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measurement, given, *numbers = sys.argv[2:]
        print(json.dumps(MEASUREMENTS[measurement](Path(given), *map(int, numbers))))
    else:
        main()
