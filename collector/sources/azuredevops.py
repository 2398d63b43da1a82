"""Changes, reviews, runs and deployments from Azure DevOps: the cloud, and Azure DevOps Server.

Pull requests have no "updated since": closed ones are asked for by when they were closed, open ones as a whole. Runs
are asked for by when they finished, so that one whose stage ran again comes again. Classic releases live on another
host, which gets the same credentials because the settings name it. Work items are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote, urlsplit

import msgspec
from pydantic import Field

from collector import paging
from collector.api import CiConfig, Url
from collector.deploying import DeploymentRule
from collector.errors import AuthError, BadRecord, ContractError, SourceError
from collector.events import ChangeState, Event, PipelineRun, RunState
from collector.gitcommand import basic
from collector.history import forge_history
from collector.http import Answer, ApiClient
from collector.name_rules import NameRules
from collector.patterns import Pattern
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.azuredevops.hooks import AzureDevOpsHooks
from collector.systems.azuredevops.shapes import (
    CHANGES,
    Build,
    Deployed,
    Named,
    PullRequest,
    Record,
    Release,
    Released,
    Repository,
    Shapes,
    Thread,
    git_path,
    time_of,
)
from collector.times import as_rfc3339, parsed

_VERSION = {"api-version": "7.1"}
_TOKEN = "x-ms-continuationtoken"  # noqa: S105 - the name of a header
_SIGN_IN, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 203, 401, 403, 404
_PAGE, _RUNS = 100, 200
_WINDOW = timedelta(days=30)
_TOLERANCE = timedelta(seconds=1)
"""Servers compare what they round."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_IN_CLOUD = "dev.azure.com"
_OLD_CLOUD = ".visualstudio.com"


_ABOUT = About(
    system="Azure DevOps (cloud and Server)",
    gives=("commit", "change", "review", "pipeline_run", "deployment"),
    tested="official schema",
    scopes=(
        ("Code (read)", "pull requests, their threads, names of repositories, clones without files"),
        ("Build (read)", "runs and their timelines"),
        ("Environment (read & manage)", "deployments to environments; the system has no smaller scope for them"),
        ("Release (read)", "classic releases, unless `releases: false`"),
    ),
    costs=(
        ("pull requests that were merged", "1 010: 10 pages, and the threads of each"),
        ("pull requests that were abandoned or are open", "10"),
        ("runs", "5; where a rule with `job` may take the run, one more for each"),
        ("deployments to environments", "20: 10 pages, and 10 for the runs behind them"),
        ("deployments of classic releases", "20: 10 pages, and 10 for what the releases carry"),
    ),
    limits=(
        "Pull requests have no time of their last update: reviews are read once a pull request is merged.",
        "Retention deletes runs, often after 30 days: what was read is kept. A run that is deleted under way goes.",
        "Azure DevOps Server must be 2022.1 or newer, the first with REST API 7.1.",
        "Usage is limited by throughput units: the server first delays answers, then answers 429, which is waited for.",
        "A job that runs out of time is reported as cancelled, so it is no failure.",
        "A run whose stage ran again has a new end, and a rule for whole runs follows it; one with `job` does not.",
    ),
    example="""\
sources:
  - type: azuredevops
    name: azure
    url: https://dev.azure.com/example
    token: ${AZURE_DEVOPS_TOKEN:-}
    projects: [Shop]
    deployments:
      - {pipeline: release, job: Deploy production}
""",
    more="""\
## What is read

Repositories are called `project/repository`; runs of repositories elsewhere keep those names (`owner/name`).

- **Changes** are pull requests. The merge commit is `lastMergeCommit`, whichever strategy made it. *Ready* is when a
  draft was last published, else the creation. Votes become reviews (10 and 5 approve, -5 and -10 ask for changes, 0
  takes a vote back), and so does each comment that somebody wrote.
- **Runs** are builds, of YAML and classic pipelines. `partiallySucceeded` is a success; cancelled, skipped and
  abandoned are neither success nor failure. A run of a pull request is of its head commit.
- **Deployments by rules**: `job` fits names of stages and of jobs. Where a stage fits, its jobs are not looked at. A
  stage or job in which a task failed and that was allowed to go on did not deploy. Each attempt counts by itself.
- **Deployments of the system** are read where there are no rules, or with `own_deployments: true`: to environments
  (of the commit that their run built) and of classic releases (of the commit of their primary artifact). Rejected,
  cancelled and waiting ones are none.
- **Service hooks**: choose *Web Hooks*, give `https://paceline.example.com/webhooks/azure`, any user name, and
  `webhook_secret` as the password. Use *Pull request created*, *updated*, *merge attempted*, *Build completed* with
  resource version 2.0, and *Release deployment completed*.

Work items are not read.
""",
)


class AzureDevOpsConfig(CiConfig):
    """Settings of an organisation of Azure DevOps, or of a collection of Azure DevOps Server."""

    about: ClassVar[About] = _ABOUT

    type: Literal["azuredevops"]
    url: Url = Field(
        description="The organisation, `https://dev.azure.com/name`, or a server's collection, `https://server/tfs/name`."
    )
    bearer: bool = Field(
        default=False, description="Whether `token` is an access token of Entra ID; a personal access token else."
    )
    projects: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1, description="Projects by their names.")
    include: NameRules = Field(default_factory=list, description="Only repositories that a rule fits.")
    exclude: NameRules = Field(default_factory=list, description="No repository that a rule fits.")
    commits: bool = Field(
        default=True, description="Whether commits are read, through a clone without files; lead times need them."
    )
    own_deployments: bool | None = Field(
        default=None,
        description="Whether environments and classic releases are read; unless given, where there are no rules.",
    )
    releases: bool = Field(
        default=True, description="Whether classic releases are among them; a token without that scope needs `false`."
    )
    release_url: Url | None = Field(
        default=None, description="Where classic releases are asked for; `vsrm.dev.azure.com` in the cloud, else `url`."
    )

    def build(self, context: SourceContext) -> AzureDevOpsSource:
        """The source. The host of classic releases gets the same credentials."""
        token = reveal(self.token)
        authorization = f"Bearer {token}" if self.bearer else basic("", token)
        headers = {"Authorization": authorization}
        release_url = self.release_url or _release_url(self.url)
        return AzureDevOpsSource(
            config=self,
            context=context,
            client=self.client(context, headers=headers),
            release_client=self.client(context, headers=headers, url=release_url),
            authorization=authorization,
        )

    def receiver(self, context: SourceContext) -> AzureDevOpsHooks | None:
        """What takes its service hooks; None without a secret."""
        secret = reveal(self.webhook_secret)
        return AzureDevOpsHooks(secret, self.shapes(context, {}), self.takes) if secret else None

    def shapes(self, context: SourceContext, names: Mapping[str, str]) -> Shapes:
        """What makes events of answers; `names` of repositories by their ids."""
        return Shapes(self.name, self.url, context.people, self.deploying(context), names)

    def wants(self, repository: str) -> bool:
        """Whether a repository is read."""
        names = (repository, repository.rpartition("/")[2])
        included = not self.include or any(Pattern(r).matches(n) for r in self.include for n in names)
        return included and not any(Pattern(r).matches(n) for r in self.exclude for n in names)

    def takes(self, event: Event) -> bool:
        """Whether an event is kept: of a repository that is read, or of none that is known."""
        repository: str | None = getattr(event, "repository", None)
        return repository is None or self.wants(repository)

    @property
    def reads_own_deployments(self) -> bool:
        """Whether environments and classic releases are read."""
        return not self.deployments if self.own_deployments is None else self.own_deployments


def _release_url(url: str) -> str:
    """Where an organisation's classic releases are: a server has them where all else is."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == _IN_CLOUD:
        return parts._replace(netloc=f"vsrm.{_IN_CLOUD}").geturl()
    if host.endswith(_OLD_CLOUD):
        return parts._replace(netloc=f"{host.removesuffix(_OLD_CLOUD)}.vsrm{_OLD_CLOUD}").geturl()
    return url


# ---- how it is asked


def _admitted(answer: Answer) -> Answer:
    """The answer. Credentials that are not accepted get a page for signing in, as a success."""
    if answer.status == _SIGN_IN:
        said = "answered 203 with its sign-in page: the token is wrong, has expired, or is for another organisation"
        raise AuthError(f"{answer.asked}: {said}", status=_UNAUTHORISED)
    return answer


def _following(answer: Answer) -> str | None:
    return _admitted(answer).headers.get(_TOKEN) or None


@dataclass(frozen=True, kw_only=True)
class AzureDevOpsSource:
    """See AzureDevOpsConfig."""

    config: AzureDevOpsConfig
    context: SourceContext = field(repr=False)
    client: ApiClient
    release_client: ApiClient
    authorization: str = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Changes with reviews, runs, and deployments of each project."""
        projects = [_Project(self, name) for name in self.config.projects]
        notes = Notes()
        streams = (stream for project in projects for stream in project.streams())
        yield from pull(None if self.context.since else cursor, streams, notes)


@dataclass(frozen=True)
class _Project:
    """One project, during one run."""

    source: AzureDevOpsSource
    name: str
    clones: list[str] = field(default_factory=list)
    """The repositories whose commits are read, once the project's repositories were asked for."""

    def streams(self) -> Iterator[Stream]:
        """Its lists, in the order in which they are read: last what a token most likely lacks a scope for."""
        config = self.source.config
        yield Stream(f"changes of {self.name}", self.changes)
        yield Stream(f"runs of {self.name}", self.runs)
        if config.commits:
            yield from map(self._history, self.clones)
        if config.reads_own_deployments:
            yield Stream(f"environments of {self.name}", self.environments)
        if config.reads_own_deployments and config.releases:
            yield Stream(f"releases of {self.name}", self.releases)

    def _history(self, repository: str) -> Stream:
        config, context = self.source.config, self.source.context
        url, authorization = f"{config.url}/{git_path(repository)}", self.source.authorization
        return forge_history(config, context, repository, url, authorization=authorization)

    @cached_property
    def shapes(self) -> Shapes:
        """With the names of the project's repositories, which runs may leave out."""
        found, _ = self._get("git/repositories").items(Repository, "value")
        names = {r.id: f"{(r.project and r.project.name) or self.name}/{r.name}" for r in found if r.id and r.name}
        disabled = {r.id for r in found if r.is_disabled}
        wants = self.source.config.wants
        self.clones.extend(sorted(n for one, n in names.items() if one not in disabled and wants(n)))
        return self.source.config.shapes(self.source.context, names)

    def _path(self, path: str) -> str:
        return f"{quote(self.name)}/_apis/{path}"

    def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> Answer:
        return _admitted(self.source.client.get(self._path(path), {**_VERSION, **(parameters or {})}))

    def _start(self, state: State) -> datetime:
        config = self.source.config
        return config.horizon(self.source.context) if state.since is None else state.since - config.overlap

    # ---- changes

    def changes(self, state: State, notes: Notes) -> Iterator[Part]:
        """Those closed since, a month at a time, then all that are open: a month that was read is not read again."""
        shapes = self.shapes
        start = (parsed(state.after) if state.after else None) or self._start(state)
        now = self.source.context.clock()
        while True:
            end = start + _WINDOW
            until = {"searchCriteria.maxTime": as_rfc3339(end)} if end < now else {}
            asked = {
                "searchCriteria.status": "all",
                "searchCriteria.queryTimeRangeType": "closed",
                "searchCriteria.minTime": as_rfc3339(start),
            }
            for found in self._pull_requests({**asked, **until}, notes):
                for pr in found:
                    state = state.begun(_since(start, time_of(pr.closed_date), "searchCriteria.minTime"))
                yield Part(self._closed(found, notes), state)
            if not until:
                break
            start = end
            state = msgspec.structs.replace(state, after=as_rfc3339(start))
        for found in self._pull_requests({"searchCriteria.status": "active"}, notes):
            yield Part([shapes.change(pr, notes) for pr in found], state)
        yield Part((), state.ended())

    def _pull_requests(self, parameters: Mapping[str, str], notes: Notes) -> Iterator[list[PullRequest]]:
        def count(answer: Answer) -> int:
            return len(_admitted(answer).read(_Counted).value)

        for answer in paging.by_offset(
            self.source.client,
            self._path("git/pullrequests"),
            {**_VERSION, **parameters},
            count,
            size=_PAGE,
            offset_parameter="$skip",
            size_parameter="$top",
        ):
            found, rejected = _admitted(answer).items(PullRequest, "value")
            notes.reject(rejected)
            undated = [pr.pull_request_id for pr in found if time_of(pr.creation_date) is None]
            why = "its time of creation has no zone"
            notes.reject(BadRecord(f"{answer.asked} (id {number})", why) for number in undated)
            wanted = (pr for pr in found if self.source.config.wants(self.shapes.repository_of(pr)))
            yield [pr for pr in wanted if pr.pull_request_id not in undated]

    def _closed(self, found: Sequence[PullRequest], notes: Notes) -> list[Event]:
        """Closed ones; merged ones with their reviews."""
        merged, others = list[PullRequest](), list[PullRequest]()
        for pr in found:
            (merged if CHANGES.get(pr.status.lower()) is ChangeState.MERGED else others).append(pr)
        events: list[Event] = [self.shapes.change(pr, notes) for pr in others]
        asked = paging.side_by_side(self._threads, merged, self.source.config.parallel)
        for pr, answer in zip(merged, asked, strict=True):
            if answer is None:
                notes.cut(f"pull request {pr.pull_request_id}: its threads are not shown, so its reviews are missing")
                events.append(self.shapes.change(pr, notes))
                continue
            threads, rejected = answer.items(Thread, "value")
            notes.reject(rejected)
            events.append(self.shapes.change(pr, notes, threads))
            events += self.shapes.reviews(pr, threads, notes)
        return events

    def _threads(self, pr: PullRequest) -> Answer | None:
        """None where the repository is gone, or closed to the token."""
        path = f"git/repositories/{quote(pr.repository.id or '')}/pullRequests/{pr.pull_request_id}/threads"
        try:
            return self._get(path)
        except SourceError as error:
            if error.status not in {_FORBIDDEN, _NOT_FOUND}:
                raise
            return None

    # ---- runs

    def runs(self, state: State, notes: Notes) -> Iterator[Part]:
        """Those under way, then all that finished since, then what was under way and is in neither list."""
        left = set(state.open)
        waiting = {str(b.id): b for found, _ in self._unfinished(notes) for b in found}
        state = msgspec.structs.replace(state, open=tuple(sorted(left | waiting.keys())))
        yield Part(self._events(list(waiting.values()), notes), state)
        start = self._start(state)
        asked = {
            "statusFilter": "completed",
            "queryOrder": "finishTimeAscending",
            "minTime": as_rfc3339(start),
            "$top": str(_RUNS),
        }
        for found, following in self._builds(asked, notes, start=state.after):
            left.difference_update(str(b.id) for b in found)
            for build in found:
                state = state.begun(_since(start, time_of(build.finish_time), "minTime"))
            state = msgspec.structs.replace(state, after=following)
            yield Part(self._events(found, notes), state)
        state = msgspec.structs.replace(state, open=tuple(sorted(waiting)))
        yield self._left(sorted(left - waiting.keys()), state.ended(), notes)

    def _unfinished(self, notes: Notes) -> Iterator[tuple[list[Build], str | None]]:
        for status in ("inProgress", "notStarted"):
            yield from self._builds({"statusFilter": status, "$top": str(_RUNS)}, notes)

    def _left(self, ids: Sequence[str], state: State, notes: Notes) -> Part:
        """What became of runs that were under way: one that is nowhere was deleted, unless one cannot be read."""
        own = Notes()
        found = self._by_id(ids, own)
        notes.reject(own.rejected)
        still = {str(b.id) for b in found if (b.status or "").lower() != "completed"}
        missing = set(ids) - {str(b.id) for b in found}
        gone = [] if own.rejected else sorted(missing)
        still |= missing.difference(gone)
        complete = [
            Complete(
                kind=PipelineRun,
                where={"native_id": f"run/{one}"},
                dated="created_at",
                since=_EPOCH,
                native_ids=frozenset(),
            )
            for one in gone
        ]
        state = msgspec.structs.replace(state, open=tuple(sorted({*state.open, *still})))
        return Part(self._events(found, notes), state, complete)

    def _by_id(self, ids: Sequence[str], notes: Notes) -> list[Build]:
        found: list[Build] = []
        for start in range(0, len(ids), _PAGE):
            asked = {"buildIds": ",".join(ids[start : start + _PAGE]), "$top": str(_PAGE)}
            found += [b for builds, _ in self._builds(asked, notes) for b in builds]
        return found

    def _builds(
        self, parameters: Mapping[str, str], notes: Notes, *, start: str | None = None
    ) -> Iterator[tuple[list[Build], str | None]]:
        for answer, following in paging.continued(
            self.source.client,
            self._path("build/builds"),
            {**_VERSION, **parameters},
            _following,
            parameter="continuationToken",
            start=start,
        ):
            found, rejected = answer.items(Build, "value")
            notes.reject(rejected)
            yield found, following

    def _events(self, found: Sequence[Build], notes: Notes) -> list[Event]:
        """Runs and what they deployed; of those whose jobs a rule asks for, also what these deployed."""
        runs = [run for build in found if self.source.config.wants((run := self._named(build, notes)).repository)]
        events: list[Event] = []
        for run in runs:
            deployment = self.shapes.deploying.of(run)
            events += [run] if deployment is None else [run, deployment]
        asked = [r for r in runs if r.state is RunState.COMPLETED and self._asks_for_jobs(r)]
        timelines = paging.side_by_side(self._timelines, asked, self.source.config.parallel)
        for run, answers in zip(asked, timelines, strict=True):
            for answer in answers:
                records, rejected = answer.items(Record, "records")
                notes.reject(rejected)
                events += self.shapes.parts_deployed(run, records, notes)
        return list({e.id: e for e in events}.values())

    def _named(self, build: Build, notes: Notes) -> PipelineRun:
        run = self.shapes.run(build, notes)
        return run if run.repository else msgspec.structs.replace(run, repository=self.name)

    def _asks_for_jobs(self, run: PipelineRun) -> bool:
        return any(_may_take_jobs(rule, run) for rule in self.source.config.deployments)

    def _timelines(self, run: PipelineRun) -> list[Answer]:
        """The stages, jobs and tasks of a run, and those of earlier attempts; none where they are gone."""
        path = f"build/builds/{run.native_id.partition('/')[2]}/timeline"
        newest = self._timeline(path)
        if newest is None:
            return []
        records, _ = newest.items(Record, "records")
        earlier = {a.timeline_id for r in records for a in r.previous_attempts or () if a.timeline_id}
        found = (self._timeline(f"{path}/{quote(one)}") for one in sorted(earlier))
        return [newest, *(answer for answer in found if answer is not None)]

    def _timeline(self, path: str) -> Answer | None:
        try:
            return self._get(path)
        except SourceError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    # ---- the system's own deployments

    def environments(self, state: State, notes: Notes) -> Iterator[Part]:
        """Deployments to environments, newest first: read until they are older than what is known.

        The next run starts at the oldest one that has not ended.
        """
        start, waiting = self._start(state), datetime.max.replace(tzinfo=UTC)
        kept = state
        for environment in self._environments(notes):
            for found in self._records(environment, notes):
                for one in found:
                    at = time_of(one.queue_time) or time_of(one.start_time)
                    kept = kept.begun(at)
                    waiting = min(waiting, at) if at and one.result is None else waiting
                ended = [one for one in found if one.result is not None]
                yield Part(self._deployed(ended, environment, notes), state)
                if found and all((time_of(o.queue_time) or time_of(o.start_time) or start) < start for o in found):
                    break
        reached = None if kept.reached is None else min(kept.reached, waiting)
        yield Part((), msgspec.structs.replace(kept, reached=reached).ended())

    def _environments(self, notes: Notes) -> Iterator[Named]:
        for answer, _ in paging.continued(
            self.source.client,
            self._path("distributedtask/environments"),
            {**_VERSION, "$top": str(_PAGE)},
            _following,
            parameter="continuationToken",
        ):
            found, rejected = answer.items(Named, "value")
            notes.reject(rejected)
            yield from found

    def _records(self, environment: Named, notes: Notes) -> Iterator[list[Deployed]]:
        for answer, _ in paging.continued(
            self.source.client,
            self._path(f"distributedtask/environments/{environment.id}/environmentdeploymentrecords"),
            {**_VERSION, "top": str(_PAGE)},
            _following,
            parameter="continuationToken",
        ):
            found, rejected = answer.items(Deployed, "value")
            notes.reject(rejected)
            yield found

    def _deployed(self, found: Sequence[Deployed], environment: Named, notes: Notes) -> list[Event]:
        owners = sorted({str(one.owner.id) for one in found if one.owner and one.owner.id})
        runs = {str(b.id): self._named(b, notes) for b in self._by_id(owners, notes)}
        events: list[Event] = []
        for one in found:
            run = runs.get(str(one.owner.id)) if one.owner else None
            events += filter(self.source.config.takes, self.shapes.deployed(one, environment, run, notes))
        return events

    def releases(self, state: State, notes: Notes) -> Iterator[Part]:
        """Deployments of classic releases that changed since, in the order of their ids.

        One that ends after its page was read, while a long pass goes on, is found by the next: that one starts no later
        than this one did.
        """
        config, start = self.source.config, self._start(state)
        if state.after is None:
            state = msgspec.structs.replace(state, swept_at=self.source.context.clock())
        for answer, following in paging.continued(
            self.source.release_client,
            self._path("release/deployments"),
            {
                **_VERSION,
                "minModifiedTime": as_rfc3339(start),
                "queryOrder": "ascending",
                "$top": str(_PAGE),
            },
            _following,
            parameter="continuationToken",
            start=state.after,
        ):
            found, rejected = answer.items(Released, "value")
            notes.reject(rejected)
            for one in found:
                state = state.begun(_since(start, time_of(one.last_modified_on), "minModifiedTime"))
            state = msgspec.structs.replace(state, after=following)
            self._complete(found)
            events = [event for one in found for event in self.shapes.released(one, notes) if config.takes(event)]
            yield Part(events, state if following else _no_later(state).ended())

    def _complete(self, found: Sequence[Released]) -> None:
        """Fill in what releases carry: the list of deployments may leave it out."""
        bare = sorted({one.release.id for one in found if not one.release.artifacts})
        if not bare:
            return
        asked = {"releaseIdFilter": ",".join(map(str, bare)), "$expand": "artifacts", "$top": str(_PAGE)}
        path = self._path("release/releases")
        answer = _admitted(self.source.release_client.get(path, {**_VERSION, **asked}))
        known = {release.id: release.artifacts for release in answer.items(Release, "value")[0]}
        for one in found:
            one.release.artifacts = one.release.artifacts or known.get(one.release.id)


def _since(start: datetime, at: datetime | None, asked: str) -> datetime | None:
    """A time that a list was asked for. One before it proves that the server took no notice of what was asked."""
    if at is not None and at < start - _TOLERANCE:
        raise ContractError(
            f"the server takes no notice of `{asked}`; Azure DevOps Server 2022.1 is the first to do so"
        )
    return at


def _no_later(state: State) -> State:
    """The state of a pass that has met nothing newer than its own beginning."""
    if state.reached is None or state.swept_at is None:
        return state
    return msgspec.structs.replace(state, reached=min(state.reached, state.swept_at))


class _Counted(msgspec.Struct):
    value: list[msgspec.Raw]


def _may_take_jobs(rule: DeploymentRule, run: PipelineRun) -> bool:
    """Whether a rule for jobs may take one of a run: only then its timeline is asked for."""
    named = ((rule.pipeline, run.pipeline), (rule.repository, run.repository), (rule.ref, run.ref or ""))
    return bool(rule.job) and all(not texts or any(Pattern(t).matches(name) for t in texts) for texts, name in named)
