"""Builds from Jenkins: of jobs in folders, of the branches of multibranch projects, and what of them deploys.

One request lists all jobs with their last builds; only jobs that built since the last read are asked for more. What
Jenkins answers holds absolute addresses of its own: they are shown, and never followed. Builds that it discards stay
here: what it no longer lists was not deleted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Literal, NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec
from pydantic import Field

from collector.api import CiConfig
from collector.errors import BadRecord, ContractError, Mistake, RetryableError, SourceError
from collector.events import Event, PipelineRun, Result, RunState
from collector.http import ApiClient
from collector.name_rules import NameRules
from collector.paging import side_by_side
from collector.patterns import Pattern
from collector.secrets import reveal
from collector.source import About, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.jenkins.shapes import Build, Item, Job, Notification, Reading, Stage, as_build
from collector.times import from_epoch
from collector.webhooks import Delivery, Received, bearer, id_of, is_same, password

T = TypeVar("T")
R = TypeVar("R")

_DEPTH = 4
"""Folders in folders that one answer lists; deeper ones are asked for by themselves."""
_NEWEST, _CAP = 20, 100
"""How many builds are asked for where few are new; how many `builds` holds, and are asked for at once."""
_SMALLEST_RANGE = 10
_SERVER_ERRORS = 500
_MISSING = frozenset({403, 404})
_SHOWN_JOBS = 5
_BUILD = (
    "_class,number,url,timestamp,duration,result,building,inProgress,"
    "actions[_class,causes[_class,userId],lastBuiltRevision[SHA1,branch[name]],remoteUrls,queuingDurationMillis]"
)
_ENDS = frozenset({"COMPLETED", "FINALIZED"})


class JenkinsConfig(CiConfig):
    """Settings of a Jenkins controller."""

    about: ClassVar[About] = About(
        system="Jenkins",
        gives=("pipeline_run", "deployment"),
        tested="recorded shape",
        scopes=(
            ("Overall/Read, Job/Read", "to list jobs and read their builds; `token` is an API token of `username`"),
        ),
        costs=(
            ("all jobs with their last builds", "1 request a run, and 1 for each folder deeper than four"),
            ("builds of one job; later 1 for each job that built since the last run", "10"),
            ("stages of builds, only of pipelines that a rule with `job` fits", "1 000"),
        ),
        limits=(
            "Jenkins discards old builds: what it discarded before it was read is reported as cut off.",
            "Its list of builds ends after 100; older ones are read from the whole list, 100 at a time.",
        ),
        example="""
sources:
  - type: jenkins
    name: jenkins
    url: https://jenkins.example.com
    username: paceline
    token: ${JENKINS_TOKEN:-}
    jobs: ["shop/*"]
    deployments:
      - {pipeline: "shop/*", job: Deploy, ref: main}
""",
        more="""
## What is read

| Jenkins | Paceline |
|---|---|
| job; of a multibranch project the project | `pipeline`, by its full name (`folder/job`) |
| the branch's job, else the branch that was checked out | `ref` |
| the remote address that was checked out, as `group/name` | `repository`; the job's folder where nothing was |
| SUCCESS, FAILURE, NOT_BUILT | success, failure, skip |
| UNSTABLE | failure; `unstable: success` where such builds are released all the same |
| ABORTED | cancellation; a timeout where the `timeout` step ended it |
| a build that ended without a result | error: the controller stopped under it |
| `queuingDurationMillis`, with the plug-in Metrics | the wait before the build's start; without it no wait is known |

## Which commit

Shared libraries are checked out too. Of several repositories the one counts whose name stands in the
job's full name, else the first; name the others as `libraries`, or the one as `repository`.

## Deployments

A rule without `job` takes whole builds, one with `job` takes stages of pipelines by their names: with
the stage's own time, read through the plug-in *Pipeline: REST API*. A stage that failed in a build that succeeded
(`catchError`) deployed nothing and failed at nothing.

## Webhooks

The plug-in *Notification* sends what it knows of a build: format JSON, protocol HTTP, event *Job
Completed* (`completed`, `finalized` or `all`). It sends no header of its own, but credentials of the address:
`https://jenkins:SECRET@paceline.example.com/webhooks/<name>`, best kept as a secret text. A bearer token is taken too.
It names no stages, and of pipelines no checkout: what these deployed comes with the next run.
""",
    )

    type: Literal["jenkins"]
    username: str = Field(default="", description="The user whose API token `token` is; nobody's unless given.")
    jobs: NameRules = Field(
        default_factory=list, description="Full names of jobs that are read, such as `shop/*`; all unless given."
    )
    exclude: NameRules = Field(default_factory=list, description="Of these, no job that a rule fits.")
    repository: str = Field(
        default="", description="The repository of all these builds, where their checkouts do not tell it right."
    )
    libraries: NameRules = Field(
        default_factory=list, description="Repositories that builds check out beside their own: shared libraries."
    )
    unstable: Literal["failure", "success"] = Field(default="failure", description="What an unstable build is.")

    def build(self, context: SourceContext) -> JenkinsSource:
        """The source; nothing is asked before the first pull."""
        token = reveal(self.token)
        basic = (self.username, token) if self.username or token else None
        return JenkinsSource(self, context, self.client(context, basic=basic))

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """As every API's; and that a token is somebody's."""
        found = list(super().check(context))
        if self.token.get_secret_value() and not self.username:
            expected = "the user whose API token `token` is"
            found.append(Mistake(file="", line=0, path="username", problem="it is missing", expected=expected))
        return found

    def receiver(self, context: SourceContext) -> JenkinsReceiver | None:
        """What takes the notifications of builds; None without a `webhook_secret`."""
        secret = reveal(self.webhook_secret)
        return JenkinsReceiver(secret, self, self.reading(context)) if secret else None

    def reading(self, context: SourceContext) -> Reading:
        """How builds become events here."""
        return Reading(
            source=self.name,
            people=context.people,
            deploying=self.deploying(context),
            repository=self.repository,
            libraries=tuple(Pattern(rule) for rule in self.libraries),
            unstable=Result(self.unstable),
        )

    def wants(self, job: Job) -> bool:
        """Whether a job is read, by its full name."""
        return self._wants(job.shown) or self._wants(job.name)

    def _wants(self, name: str) -> bool:
        included = not self.jobs or any(Pattern(rule).matches(name) for rule in self.jobs)
        return included and not any(Pattern(rule).matches(name) for rule in self.exclude)


@dataclass(frozen=True)
class JenkinsSource:
    """See JenkinsConfig. One stream: the builds of all jobs, job by job in the order of their names."""

    config: JenkinsConfig
    context: SourceContext = field(repr=False)
    client: ApiClient

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Builds since the cursor; those that ran when they were last read are read again."""
        # Other jobs than before have other builds: these are read from the start.
        rules = msgspec.json.encode([self.config.jobs, self.config.exclude])
        key = f"builds {hashlib.sha256(rules).hexdigest()[:8]}"
        reading = self.config.reading(self.context)
        notes = Notes()
        streams = [Stream(key, lambda state, notes: _Pass(self, reading, notes).read(state))]
        return pull(None if self.context.since else cursor, streams, notes)

    def jobs(self) -> Iterator[Job]:
        """All jobs that are wanted, below all folders. Raises SourceError."""
        waiting = [Job("", of_branch=False)]
        while waiting:
            folder = waiting.pop()
            answer = self.client.get(f"{folder.path}api/json", {"tree": _tree(_DEPTH)})
            items, rejected = answer.items(Item, "jobs")
            if rejected:
                raise ContractError(str(rejected[0]))
            for job, deeper in _below(items, folder, _DEPTH):
                if deeper:
                    waiting.append(job)
                elif self.config.wants(job):
                    yield job

    def builds(self, job: Job, start: int, size: int) -> _Range:
        """Builds of a job from the newest one's place on. A server that breaks on many is asked for fewer."""
        bears = _CAP
        while True:
            end, name = (min(start + size, _CAP), "builds") if start < _CAP else (start + size, "allBuilds")
            try:
                answer = self.client.get(f"{job.path}api/json", {"tree": f"{name}[{_BUILD}]{{{start},{end}}}"})
            except RetryableError as error:
                broke = error.status is not None and error.status >= _SERVER_ERRORS
                if not broke or error.retry_after_seconds is not None or size // 2 < _SMALLEST_RANGE:
                    raise
                size = bears = size // 2
            else:
                found, rejected = answer.items(Build, name)
                return _Range(found, rejected, start, end, bears)

    def one(self, job: Job, number: str) -> Build:
        """One build."""
        return self.client.get(f"{job.path}{number}/api/json", {"tree": _BUILD}).read(Build)

    def stages(self, job: Job, number: int) -> tuple[list[Stage], list[BadRecord]]:
        """The stages of a pipeline's build."""
        return self.client.get(f"{job.path}{number}/wfapi/describe").items(Stage, "stages")


class _Range(NamedTuple):
    """Builds, the newest first, of the places from `start` to before `end`; `bears`: how many the server can."""

    builds: list[Build]
    rejected: list[BadRecord]
    start: int
    end: int
    bears: int

    @property
    def is_last(self) -> bool:
        """Whether there are no older builds."""
        return len(self.builds) + len(self.rejected) < self.end - self.start


@dataclass
class _Pass:
    """One read of all builds since a time; `open` are the native ids of builds that run."""

    source: JenkinsSource
    reading: Reading
    notes: Notes
    open: set[str] = field(default_factory=set)
    discarded: list[str] = field(default_factory=list)

    def read(self, state: State) -> Iterator[Part]:
        """The parts of a stream: what ran before, then job by job what is new."""
        jobs = sorted(self.source.jobs())
        if not jobs:
            self.notes.warn("no job is visible, or none fits `jobs` and `exclude`")
        if state.after is None:
            # What builds while this pass reads is older than nothing that the next pass starts from.
            state = state.begun(max((job.built_at for job in jobs if job.built_at), default=None))
        self.open = set(state.open)
        events = self._again({job.name: job for job in jobs})
        yield Part(events, self._at(state))
        since = self._since(state)
        late = [j for j in jobs if j.built_at and j.built_at >= since and j.name > (state.after or "")]
        for job, first in zip(late, self._side_by_side(partial(self._first, state), late), strict=True):
            held: list[Event] = []
            for builds in () if first is None else self._new(job, first, since, state.since):
                if held:
                    yield Part(held, state)
                held = self._events(job, builds)
            state = self._at(msgspec.structs.replace(state, after=job.name))
            yield Part(held, state)
        self._say_discarded()
        yield Part((), state.ended())

    def _at(self, state: State) -> State:
        return msgspec.structs.replace(state, open=tuple(sorted(self.open)))

    def _since(self, state: State) -> datetime:
        config = self.source.config
        return config.horizon(self.source.context) if state.since is None else state.since - config.overlap

    def _side_by_side(self, ask: Callable[[T], R], many: Sequence[T]) -> Iterator[R | None]:
        """What is asked for each, None where it is gone or not to be read."""

        def patiently(one: T) -> R | SourceError:
            try:
                return ask(one)
            except SourceError as error:
                if error.status not in _MISSING:
                    raise
                return error

        for found in side_by_side(patiently, many, self.source.config.parallel):
            if isinstance(found, SourceError):
                self.notes.cut(str(found))
                yield None
            else:
                yield found

    def _again(self, jobs: Mapping[str, Job]) -> list[Event]:
        """The builds that ran when they were last read."""
        places = [native_id.removeprefix("run/").rpartition("/") for native_id in sorted(self.open)]
        known = [(jobs[name], number) for name, _, number in places if name in jobs]
        self.open.clear()
        if len(known) < len(places):
            self.notes.warn("builds that ran when they were last read are gone with their jobs")
        found = self._side_by_side(lambda one: self.source.one(*one), known)
        return [e for (job, _), build in zip(known, found, strict=True) if build for e in self._events(job, [build])]

    def _first(self, state: State, job: Job) -> _Range:
        return self.source.builds(job, 0, _CAP if state.since is None else _NEWEST)

    def _new(self, job: Job, page: _Range, since: datetime, read: datetime | None) -> Iterator[list[Build]]:
        """The builds of a job that started since then; `read`: up to when all were read before."""
        bears = page.bears
        while True:
            self.notes.reject(page.rejected)
            started = [(from_epoch(build.timestamp or 0), build) for build in page.builds]
            yield [build for at, build in started if at is None or at >= since]
            known = [at for at, _ in started if at is not None]
            if known and min(known) < since:
                return
            if page.is_last:
                if known and page.builds[-1].number > 1 and (read is None or min(known) > read):
                    self.discarded.append(job.shown)
                return
            page = self.source.builds(job, page.end, bears)
            bears = min(bears, page.bears)

    def _events(self, job: Job, builds: Sequence[Build]) -> list[Event]:
        """The events of builds; which of them run is noted."""
        runs: list[tuple[PipelineRun, Build]] = []
        for build in builds:
            run = self.reading.run(job, build, self.notes)
            if isinstance(run, BadRecord):
                self.notes.reject([run])
                continue
            (self.open.discard if run.state is RunState.COMPLETED else self.open.add)(run.native_id)
            runs.append((run, build))
        staged = [(run.native_id, build.number) for run, build in runs if self.reading.needs_stages(run, build)]
        found = self._side_by_side(lambda one: self.source.stages(job, one[1]), staged)
        stages = {key: answer[0] for (key, _), answer in zip(staged, found, strict=True) if answer}
        return [
            event
            for run, _ in runs
            for event in (run, *self.reading.deployments(run, stages.get(run.native_id, ()), self.notes))
        ]

    def _say_discarded(self) -> None:
        if self.discarded:
            shown = ", ".join(self.discarded[:_SHOWN_JOBS]) + (", …" if len(self.discarded) > _SHOWN_JOBS else "")
            self.notes.cut(f"older builds of {len(self.discarded)} jobs were discarded before they were read: {shown}")


@dataclass(frozen=True)
class JenkinsReceiver:
    """Takes what the plug-in Notification sends when builds end."""

    secret: str = field(repr=False)
    config: JenkinsConfig
    reading: Reading

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the secret came as the password of the address, or as a bearer token."""
        given = bearer(delivery) or password(delivery)
        return is_same(self.secret, given)

    def read(self, delivery: Delivery) -> Received:
        """The build, and what it deployed where its checkout is told. Raises ContractError for no notification."""
        told = _decoded(delivery.body)
        delivered = id_of(delivery)
        name = "/".join(map(unquote, re.findall(r"(?:^|/)job/([^/]+)", told.url)))
        if told.build.phase not in _ENDS:
            return Received(id=delivered, ignored=f"phase {told.build.phase[:40]}: only the end of a build is read")
        job = Job(name, of_branch=False)
        if not self.config.wants(job):
            return Received(id=delivered, ignored="a job that is not read")
        notes = Notes()
        run = self.reading.run(job, as_build(told.build), notes)
        if isinstance(run, BadRecord):
            return Received(id=delivered, rejected=[run])
        if run.finished_at is None or run.started_at is None:
            return Received(id=delivered, rejected=[BadRecord(f"{job.shown} #{told.build.number}", "it has no result")])
        # The API knows more of the build (who started it, how long it waited): its version is the later one.
        between = run.started_at + (run.finished_at - run.started_at) / 2
        run = msgspec.structs.replace(run, updated_at=between)
        # Of a pipeline the plug-in names no checkout. The service may hang on it, and the deployment's id on the
        # service: made here it would be another one than the next run reads.
        checked_out = bool(run.sha and told.build.scm and told.build.scm.url)
        deployed = self.reading.deployments(run, (), notes) if checked_out else ()
        return Received(id=delivered, events=[run, *deployed])


def _decoded(body: bytes) -> Notification:
    try:
        return msgspec.json.decode(body, type=Notification)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ContractError("a notification is not as the plug-in documents it; is its format JSON?") from None


def _tree(depth: int) -> str:
    """What is asked of the jobs in a folder, and in folders in it; of the deepest only whether something is there."""
    inner = _tree(depth - 1) if depth else "jobs[name]"
    return f"jobs[_class,name,lastBuild[timestamp],{inner}]"


def _below(items: Sequence[Item], folder: Job, depth: int) -> Iterator[tuple[Job, bool]]:
    """The jobs in a folder; and the folders that lie too deep for one answer."""
    for item in items:
        started = item.last.timestamp if item.last else None
        name = f"{folder.name}/{item.name}" if folder.name else item.name
        job = Job(name, folder.of_branch, from_epoch(started or 0))
        if item.jobs is None:
            yield job, False
            continue
        inside = job._replace(of_branch="MultiBranchProject" in item.kind)
        if depth == 0 and item.jobs:
            yield inside, True
        else:
            yield from _below(item.jobs, inside, depth - 1)
