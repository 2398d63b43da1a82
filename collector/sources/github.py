"""GitHub and GitHub Enterprise Server: pull requests, workflow runs, deployments, releases and issues.

GraphQL reads what takes many requests by REST (pull requests with their reviews, statuses, comments); REST reads the
rest, and tells by its ETags, which cost no quota, where nothing is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import ClassVar, Literal, TypeVar

import msgspec

from collector.api import IssueSettings
from collector.deploying import Deployments
from collector.errors import BadRecord, ContractError, RetryableError, SourceError
from collector.events import Deployment, Event, Incident, PipelineRun, Reply, RunKind, Ticket
from collector.gitcommand import basic
from collector.history import forge_history
from collector.http import Answer
from collector.paging import linked, side_by_side, windows
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.github.api import (
    CHANGES,
    HISTORY,
    RELEASES,
    REVIEWS,
    STATUSES,
    Access,
    App,
    Graph,
    decoded_nodes,
)
from collector.systems.github.events import History, Shaping, goes_on, once_each, undated
from collector.systems.github.hooks import GitHubReceiver
from collector.systems.github.settings import GitHubSettings, ReleaseSettings, last_part
from collector.systems.github.shapes import (
    ChangeNode,
    CommentItem,
    Issue,
    Job,
    Node,
    OwnDeployment,
    ReleaseNode,
    Repository,
    ReviewNode,
    Run,
    StatusItem,
    TurnItem,
    as_item,
    lower,
)
from collector.times import as_rfc3339
from collector.tracking import Turn
from collector.webhooks import Receiver

_T = TypeVar("_T")

_PAGE = "100"
_LAST_UPDATED = {"state": "all", "sort": "updated", "direction": "desc", "per_page": "1"}
"""The one of a list by which its ETag tells whether there is anything new."""
_CHANGES_OF_A_PAGE = 50
_MOST_RESULTS = 1_000
_MOST_WITH_JOBS = 200
"""How many runs of which each is asked for its jobs are read at once: a limit may be 1 000 requests an hour."""
_UNAUTHORISED, _GONE = 401, 404
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_CHANGES_LATE = timedelta(days=31)
"""A run may be run again for 30 days."""
_WAITS = timedelta(days=35)
"""How long a run or a deployment may wait: 30 days for an approval, and the run is cancelled after 35."""


class GitHubConfig(GitHubSettings):
    """Settings of GitHub, or of a GitHub Enterprise Server."""

    about: ClassVar[About] = About(
        system="GitHub",
        gives=("commit", "change", "review", "pipeline_run", "deployment", "incident", "ticket"),
        tested="official schema",
        scopes=(
            ("Contents: read", "the names of repositories, releases, and commits"),
            ("Pull requests: read", "pull requests and reviews"),
            ("Actions: read", "workflow runs and jobs"),
            ("Deployments: read", "deployments and their statuses"),
            ("Issues: read", "incidents and tickets, where issues are read"),
            ("classic token: repo", "all of these; `public_repo` for public repositories alone"),
        ),
        costs=(
            ("pull requests with reviews, first commit and labels", "21, and 3 010 without GraphQL"),
            ("workflow runs", "11, and 1 for each earlier attempt; once a day as much for those of the last 62 days"),
            ("workflow runs with their jobs", "1 061"),
            ("deployments with their statuses", "20, and 1 010 without GraphQL"),
            ("releases", "11"),
            ("issues", "11"),
            ("tickets with their comments", "21"),
            ("lists without anything new", "none that counts: one for each list, answered 304"),
        ),
        limits=(
            (
                "Of one question 1 000 runs are listed: spans of time are halved until they hold no more. What one "
                "second holds beyond that is reported as cut off."
            ),
            "5 000 requests and 5 000 points of GraphQL an hour for a token, more for an App of a large organisation.",
            "Runs are kept 400 days at most, their logs less.",
        ),
        example="""\
- name: github
  type: github
  token: ${GITHUB_TOKEN:-}
  organisations: [shop]
  deployments:
    - pipeline: Deploy
      job: /deploy-(?P<place>production|staging)/
      to: "{place}"
  issues:
    incidents: incident
""",
        more="""\
A pull request is a change, a draft one as work in progress. Its merge commit is what GitHub put on the branch, be it
a merge, a squash or the head of a rebase. It is ready when it was last marked ready, else when it was opened. Reviews
are those that were submitted; comments below a pull request are none.

Each attempt of a workflow run is a run, named by its workflow; it ended when GitHub last updated it. Stale runs count
as cancelled, neutral ones and those that require an action as skipped. Jobs are read where a rule of `deployments` asks
for a `job` of that workflow, or all with `jobs: true`. What a later attempt only shows again is the earlier job.

Without rules, GitHub's own deployments count: the service is the repository, the environment is GitHub's, the time is
that of the first status `success`, whatever comes later (`inactive`). One that was given up is none. Beside rules they
count with `own_deployments: true`; a rule with an `environment` then says what it is. With `releases: {environment:
production}` a published release is a deployment of its tag's commit, and GitHub's own count only if asked for.

Where `issues` is set, its labels make incidents and tickets; pull requests are neither. An incident that was closed as
not planned, or as a duplicate, was not resolved: it ended when it was closed, which its number says. Comments are
replies.

Once a day the last 31 days are read whole, for runs that were run again and for what was deleted or relabelled.

An App instead of a token: `app_id`, `installation_id` and `private_key: file:/run/secrets/app.pem`. Enterprise Server:
`url: https://HOST/api/v3`.

Webhooks, of a repository, an organisation or an App, as `application/json` and with the secret: pull requests, pull
request reviews, workflow runs, workflow jobs, deployment statuses, issues, releases. What a webhook does not tell
(first commits, replies, a release's commit) comes with the next run.
""",
    )

    type: Literal["github"]

    def build(self, context: SourceContext) -> GitHubSource:
        """The source. Nothing is asked for yet."""
        app = App(self.app_id, self.installation_id, reveal(self.private_key)) if self.app_id else None
        access = Access(
            url=self.url,
            client=lambda url, headers: self.client(context, headers=headers, url=url),
            clock=context.clock,
            token=reveal(self.token),
            app=app,
        )
        return GitHubSource(
            config=self,
            context=context,
            access=access,
            graph=Graph(access, partial(_reset, context)),
            shaping=Shaping(source=self.name, people=context.people),
            deploying=self.deploying(context),
        )

    def receiver(self, context: SourceContext) -> Receiver | None:
        """What takes its webhooks; None without a secret."""
        if not self.webhook_secret.get_secret_value():
            return None
        return GitHubReceiver(self, Shaping(source=self.name, people=context.people), self.deploying(context))


def _reset(context: SourceContext, answer: Answer) -> float | None:
    """When the limit that an answer speaks of is set back: its headers were noted when it came."""
    quota = context.wire.traffic.quota.get(answer.headers.get("x-ratelimit-resource", "requests"))
    return quota.resets_in_seconds if quota else None


class _Total(msgspec.Struct):
    total_count: int


@dataclass(frozen=True, kw_only=True)
class GitHubSource:
    """See GitHubConfig. For each repository a stream of each kind."""

    config: GitHubConfig
    context: SourceContext = field(repr=False)
    access: Access
    graph: Graph
    shaping: Shaping
    deploying: Deployments

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """What is new since the cursor, repository by repository."""
        notes = Notes()
        yield from pull(None if self.context.since else cursor, self._streams(notes), notes)

    def _streams(self, notes: Notes) -> Iterator[Stream]:
        repositories = self._repositories(notes)
        names = [last_part(r.full_name) for r in repositories]
        for one in repositories:
            name = one.full_name
            if self.config.commits:
                yield self._commits(name)
            yield Stream(f"{name} changes", partial(self._changes, name))
            yield Stream(f"{name} runs", partial(self._runs, name))
            if self.config.reads_own_deployments:
                yield Stream(f"{name} deployments", partial(self._deployments, name))
            if self.config.releases is not None:
                yield Stream(f"{name} releases", partial(self._releases, name, self.config.releases))
            if self.config.issues is not None and one.has_issues:
                alone = names.count(last_part(name)) == 1
                yield Stream(f"{name} issues", partial(self._issues, name, self.config.issues, alone=alone))

    def _repositories(self, notes: Notes) -> list[Repository]:
        """Those that are named, and those of organisations that are wanted; each once.

        An organisation that may not be read is cut off, and the others are read; where nothing is left it is an error.
        """
        found = {name.lower(): Repository(name) for name in self.config.repositories}
        refused: list[SourceError] = []
        for organisation in self.config.organisations:
            try:
                for answer in self._listed(organisation):
                    listed, rejected = answer.items(Repository)
                    notes.reject(rejected)
                    for one in filter(self._reads, listed):
                        found.setdefault(one.full_name.lower(), one)
            except SourceError as error:
                if isinstance(error, RetryableError | ContractError) or error.status == _UNAUTHORISED:
                    raise
                refused.append(error)
                notes.cut(f"{organisation}: {error}")
        if refused and not found:
            raise refused[0]
        return list(found.values())

    def _reads(self, one: Repository) -> bool:
        return self.config.wants(one.full_name) and not one.disabled and (self.config.archived or not one.archived)

    def _listed(self, owner: str) -> Iterator[Answer]:
        """The pages of repositories of an organisation; of a user, where there is no organisation of that name."""
        asked = {"per_page": _PAGE, "sort": "full_name"}
        try:
            yield from linked(self.access.rest, f"orgs/{owner}/repos", {**asked, "type": "all"})
        except SourceError as error:
            if error.status != _GONE:
                raise
            yield from linked(self.access.rest, f"users/{owner}/repos", {**asked, "type": "owner"})

    def _floor(self, state: State) -> datetime:
        """From when on a stream reads."""
        since = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
        return since.replace(microsecond=0)

    def _sweeps(self, state: State) -> bool:
        """Whether the recent past is read again: daily, and not right after a first read."""
        return state.swept_at is not None and self.context.clock() - state.swept_at >= _DAY

    def _swept(self, state: State) -> State:
        return msgspec.structs.replace(state, swept_at=self.context.clock())

    def _commits(self, repository: str) -> Stream:
        token, url = self.access.credential, f"{self.config.web}/{repository}.git"
        authorization = basic("x-access-token", token) if token else ""
        return forge_history(self.config, self.context, repository, url, authorization=authorization)

    # ---- pull requests

    def _changes(self, repository: str, state: State, notes: Notes) -> Iterator[Part]:
        """Last updated first, down to what is known. A place holds while others come in before it."""
        if state.after is None:
            newest = self.access.rest.get(f"repos/{repository}/pulls", _LAST_UPDATED, etag=state.etag)
            if newest.unchanged:
                return
            state = msgspec.structs.replace(state, etag=newest.etag)
        floor = self._floor(state)
        pages = self.graph.connection(CHANGES, repository, ["pullRequests"], _CHANGES_OF_A_PAGE, state.after)
        for page, refused in pages:
            found, rejected = decoded_nodes(page, ChangeNode, f"pull requests of {repository}")
            notes.reject([*refused, *rejected])
            fresh = [node for node in found if node.updated_at >= floor]
            for node in fresh:
                state = state.begun(node.updated_at)
            events = [event for node in fresh for event in self._change(repository, node, notes)]
            if len(fresh) < len(found) or not page.page_info.has_next_page:
                break
            state = msgspec.structs.replace(state, after=page.page_info.end_cursor)
            yield Part(events, state)
        yield Part(events, state.ended())

    def _change(self, repository: str, node: ChangeNode, notes: Notes) -> Iterator[Event]:
        change = self.shaping.change(repository, node, notes)
        yield change
        reviews = node.reviews
        yield from self.shaping.reviews(repository, change.native_id, reviews.nodes, notes)
        if not reviews.page_info.has_next_page:
            return
        path, place = ["pullRequest", "reviews"], reviews.page_info.end_cursor
        for page, refused in self.graph.connection(REVIEWS, repository, path, 100, place, number=node.number):
            more, rejected = decoded_nodes(page, ReviewNode, f"reviews of {repository}")
            notes.reject([*refused, *rejected])
            yield from self.shaping.reviews(repository, change.native_id, more, notes)

    # ---- workflow runs

    def _runs(self, repository: str, state: State, notes: Notes) -> Iterator[Part]:
        """Spans of time, oldest first, where there are many; then what had not ended; once a day the recent past."""
        met = _Met(set(state.open), state.since)
        floor = self._floor(state)
        asked = {"per_page": "1", "exclude_pull_requests": "true"}
        newest = self.access.rest.get(f"repos/{repository}/actions/runs", asked, etag=state.etag)
        for span in () if newest.unchanged else self._spans(repository, floor, met, notes):
            for answer in span:
                yield Part(self._run_events(repository, met.runs(answer, notes), notes), state)
            state = msgspec.structs.replace(state, since=met.newest, open=met.open)
            yield Part((), state)
        state = msgspec.structs.replace(state, etag=newest.etag or state.etag)
        if missed := sorted(met.waiting - met.seen):
            answers = side_by_side(partial(self._run, repository), missed, self.config.parallel)
            runs = [run for run in answers if run is not None]
            met.note(runs, missed)
            state = msgspec.structs.replace(state, open=met.open)
            yield Part(self._run_events(repository, runs, notes), state)
        if self._sweeps(state):
            yield from self._runs_again(repository, state, met, notes)
        else:
            yield Part((), state if state.swept_at else self._swept(state))

    def _runs_again(self, repository: str, state: State, met: _Met, notes: Notes) -> Iterator[Part]:
        """The recent past read whole: what was run again since the last time, and what is gone."""
        since = self.context.clock().replace(microsecond=0) - _CHANGES_LATE
        # A run that was run again is dated by that; it may be as much older again.
        start, again = since - _CHANGES_LATE, (state.swept_at or since) - _DAY
        ids = set[str]()
        for span in self._spans(repository, start, met, notes):
            told, found = 0, set[int]()
            for answer in span:
                told = told or answer.read(_Total).total_count
                runs = met.runs(answer, notes)
                found |= {run.id for run in runs}
                ids |= {f"run/{run.id}/{n}" for run in runs for n in range(1, run.run_attempt + 1)}
                rerun = [r for r in runs if not r.ended or (r.run_attempt > 1 and (r.run_started_at or again) >= again)]
                yield Part(self._run_events(repository, rerun, notes), state)
            # What is deleted while pages are read moves others up, over the end of a page: these are not gone.
            met.whole = met.whole and len(found) >= told
        where = {"repository": repository, "run_kind": RunKind.PIPELINE.value}
        gone = Complete(kind=PipelineRun, where=where, dated="created_at", since=since, native_ids=frozenset(ids))
        state = self._swept(msgspec.structs.replace(state, open=met.open))
        yield Part((), state, (gone,) if met.whole else ())

    def _created(self, repository: str, start: datetime, last: datetime | None = None) -> Iterator[Answer]:
        """Pages of runs that were created from a second to another, both with it; newest first."""
        created = f"{as_rfc3339(start)}..{as_rfc3339(last)}" if last else f">={as_rfc3339(start)}"
        asked = {"created": created, "per_page": _PAGE, "exclude_pull_requests": "true"}
        return linked(self.access.rest, f"repos/{repository}/actions/runs", asked)

    def _spans(self, repository: str, start: datetime, met: _Met, notes: Notes) -> Iterator[Iterable[Answer]]:
        """The pages of all runs from a time on: of spans that hold no more than the 1 000 that GitHub hands out.

        Where each run costs a request, spans are shorter, since a run that breaks goes on after the last whole one.
        """
        most = _MOST_WITH_JOBS if self.config.wants_some_jobs else _MOST_RESULTS
        pages = self._created(repository, start)
        first = next(pages)
        total = first.read(_Total).total_count
        created = [run.created_at for run in first.items(Run, "workflow_runs")[0]]
        if total <= most or not created:
            yield chain([first], pages)
            return

        def count(start: datetime, end: datetime) -> int:
            asked = {"created": f"{as_rfc3339(start)}..{as_rfc3339(end - _SECOND)}", "per_page": "1"}
            answer = self.access.rest.get(f"repos/{repository}/actions/runs", asked)
            return answer.read(_Total).total_count

        for window in windows(start, max(created) + _SECOND, count, most):
            if window.total > _MOST_RESULTS:
                met.whole = False
                missing = window.total - _MOST_RESULTS
                notes.cut(f"{repository}: {missing} runs of {as_rfc3339(window.start)} are not handed out")
            if window.total:
                yield self._created(repository, window.start, window.end - _SECOND)

    def _run(self, repository: str, native_id: str) -> Run | None:
        """A run as it is now; None where it was deleted."""
        return self._one(f"repos/{repository}/actions/runs/{native_id}", Run)

    def _one(self, path: str, kind: type[_T]) -> _T | None:
        try:
            return self.access.rest.get(path).read(kind)
        except SourceError as error:
            if error.status == _GONE:
                return None
            raise

    def _run_events(self, repository: str, runs: Sequence[Run], notes: Notes) -> list[Event]:
        """Runs with their earlier attempts and the jobs that are wanted, and the deployments that these are."""
        asking = [r for r in runs if r.run_attempt > 1 or self._wants_jobs(repository, r)]
        details = side_by_side(partial(self._detail, repository), asking, self.config.parallel)
        of_run = dict(zip((r.id for r in asking), details, strict=True))
        events: list[Event] = []
        for run in runs:
            detail = of_run.get(run.id, _Detail())
            notes.reject(detail.rejected)
            attempts = [self.shaping.run(repository, r, notes) for r in (*detail.attempts, run)]
            by_attempt = {a.attempt: a for a in attempts}
            jobs = [
                self.shaping.job(repository, run.pipeline, j, by_attempt.get(j.run_attempt, attempts[-1]), notes)
                for j in once_each(detail.jobs)
            ]
            for one in (*attempts, *jobs):
                events += filter(None, (one, self.deploying.of(one)))
        return events

    def _wants_jobs(self, repository: str, run: Run) -> bool:
        return self.config.wants_jobs(repository, run.pipeline, run.head_branch or "")

    def _detail(self, repository: str, run: Run) -> _Detail:
        """The earlier attempts of a run, which its list does not show, and its jobs of all attempts."""
        path = f"repos/{repository}/actions/runs/{run.id}"
        earlier = (self._one(f"{path}/attempts/{n}", Run) for n in range(1, run.run_attempt))
        detail = _Detail([attempt for attempt in earlier if attempt is not None])
        if self._wants_jobs(repository, run):
            for answer in linked(self.access.rest, f"{path}/jobs", {"filter": "all", "per_page": _PAGE}):
                found, rejected = answer.items(Job, "jobs")
                detail.jobs.extend(found)
                detail.rejected.extend(rejected)
        return detail

    # ---- deployments and releases

    def _deployments(self, repository: str, state: State, notes: Notes) -> Iterator[Part]:
        """Newest first, down to what is known; then what had not ended; once a day the recent past whole."""
        sweeps, now = self._sweeps(state), self.context.clock()
        since, floor = now - _CHANGES_LATE, self._floor(state)
        if sweeps:
            floor = min(floor, since - _WAITS)
        after, waiting, ids, whole = state, set(state.open), set[str](), True
        seen, etag = set[str](), None if sweeps else state.etag
        for answer in linked(self.access.rest, f"repos/{repository}/deployments", {"per_page": _PAGE}, etag=etag):
            if answer.unchanged:
                break
            found, rejected = answer.items(OwnDeployment)
            notes.reject(rejected)
            after = after if ids else msgspec.structs.replace(after, etag=answer.etag)
            whole, ids = whole and not rejected, ids | {str(d.id) for d in found}
            fresh = [d for d in found if d.created_at >= floor or str(d.id) in waiting]
            events, unended = self._deployed(repository, fresh, notes)
            seen |= {str(d.id) for d in fresh}
            waiting = (waiting - {str(d.id) for d in fresh}) | unended
            for one in fresh:
                after = after.begun(one.created_at)
            yield Part(events, state)
            if any(d.created_at < floor for d in found):
                break
        path = f"repos/{repository}/deployments/"
        missed = sorted(waiting - seen)
        again = side_by_side(lambda n: self._one(path + n, OwnDeployment), missed, self.config.parallel)
        events, unended = self._deployed(repository, [d for d in again if d is not None], notes)
        after = msgspec.structs.replace(after.ended(), open=tuple(sorted((waiting & seen) | unended)))
        complete: tuple[Complete, ...] = ()
        if sweeps and whole and (more := self._deployments_again(repository, floor)) is not None:
            complete = self._gone(repository, since, {f"deployment/{n}" for n in ids | more})
        yield Part(events, self._swept(after) if sweeps or after.swept_at is None else after, complete)

    def _deployments_again(self, repository: str, floor: datetime) -> set[str] | None:
        """The ids of deployments since then, read once more; None where one cannot be read.

        What is deleted while pages are read moves others up, over the end of a page. These are not gone.
        """
        ids = set[str]()
        for answer in linked(self.access.rest, f"repos/{repository}/deployments", {"per_page": _PAGE}):
            found, rejected = answer.items(OwnDeployment)
            if rejected:
                return None
            ids |= {str(d.id) for d in found}
            if any(d.created_at < floor for d in found):
                break
        return ids

    def _gone(self, repository: str, since: datetime, ids: Iterable[str]) -> tuple[Complete, ...]:
        """That no other deployments are there; where only one list makes deployments."""
        if not self.config.one_kind_of_deployment:
            return ()
        where = {"repository": repository}
        return (Complete(kind=Deployment, where=where, dated="finished_at", since=since, native_ids=frozenset(ids)),)

    def _deployed(self, repository: str, found: Sequence[OwnDeployment], notes: Notes) -> tuple[list[Event], set[str]]:
        """The deployments that ended, and the ids of those that go on and may still end."""
        events: list[Event] = []
        unended = set[str]()
        nodes = self.graph.nodes(STATUSES, [one.node_id for one in found], Node)
        for one, node in zip(found, nodes, strict=True):
            if node is None:
                continue
            statuses = lower(node.statuses.nodes) if node.statuses else []
            if node.statuses is not None and node.statuses.page_info.has_next_page:
                path = f"repos/{repository}/deployments/{one.id}/statuses"
                statuses = self._everything(path, StatusItem, notes)
            if goes_on(statuses, notes) and one.created_at >= self.context.clock() - _WAITS:
                unended.add(str(one.id))
            place = self.deploying.place(repository, one.environment or "production", one.ref or "")
            events += filter(None, [self.shaping.deployment(repository, place, one, statuses, listed=True)])
        return events, unended

    def _everything(self, path: str, kind: type[_T], notes: Notes) -> list[_T]:
        """A list that is longer than what a query shows of it."""
        items: list[_T] = []
        for answer in linked(self.access.rest, path, {"per_page": _PAGE}):
            found, rejected = answer.items(kind)
            items += found
            notes.reject(rejected)
        return items

    def _releases(self, repository: str, settings: ReleaseSettings, state: State, notes: Notes) -> Iterator[Part]:
        """All releases, whenever the first page of them changed: one may be published long after it was made."""
        first = self.access.rest.get(f"repos/{repository}/releases", {"per_page": _PAGE}, etag=state.etag)
        if first.unchanged:
            return
        floor, ids, whole = self.config.horizon(self.context), set[str](), True
        for page, refused in self.graph.connection(RELEASES, repository, ["releases"], int(_PAGE)):
            found, rejected = decoded_nodes(page, ReleaseNode, f"releases of {repository}")
            notes.reject([*refused, *rejected])
            whole = whole and not refused and not rejected
            events: list[Event] = []
            for node in found:
                sha = node.tag_commit.oid if node.tag_commit else None
                place = self.deploying.place(repository, settings.environment, node.tag_name)
                released = self.shaping.release(repository, place, as_item(node), sha, listed=True)
                if node.is_prerelease and not settings.prereleases:
                    continue
                if released is not None and released.finished_at >= floor:
                    events.append(released)
            ids |= {event.native_id for event in events}
            yield Part(events, state)
        complete = self._gone(repository, floor, ids) if whole else ()
        yield Part((), msgspec.structs.replace(state, etag=first.etag), complete)

    # ---- issues

    def _issues(
        self, repository: str, settings: IssueSettings, state: State, notes: Notes, *, alone: bool
    ) -> Iterator[Part]:
        """What was updated, last first; once a day the recent past whole, for what is gone or was relabelled."""
        sweeps, floor, after = self._sweeps(state), self._floor(state), state
        since = self.context.clock().replace(microsecond=0) - _CHANGES_LATE
        floor = min(floor, since) if sweeps else floor
        path = f"repos/{repository}/issues"
        newest = self.access.rest.get(path, _LAST_UPDATED, etag=None if sweeps else state.etag)
        if newest.unchanged:
            return
        asked = {**_LAST_UPDATED, "per_page": _PAGE, "since": as_rfc3339(floor)}
        ids: dict[type[Event], set[str]] = {Incident: set(), Ticket: set()}
        whole = True
        for answer in linked(self.access.rest, path, asked):
            found, rejected = answer.items(Issue)
            notes.reject(rejected)
            whole = whole and not rejected
            if any(one.updated_at < floor for one in found):
                raise ContractError(f"{answer.asked}: it ignored `since`: some issues were last updated before")
            for one in found:
                after = after.begun(one.updated_at)
            events = self._issue_events(repository, settings, found, notes)
            for event in events:
                ids[type(event)].add(event.native_id)
            yield Part(events, state)
        if sweeps and whole:
            # What is updated or deleted while pages are read moves others over the end of a page: these are not gone.
            for answer in linked(self.access.rest, path, asked):
                found, rejected = answer.items(Issue)
                whole = whole and not rejected
                for one in found:
                    if (kind := settings.kind(one.label_names)) is not None:
                        ids[kind].add(str(one.id))
        after = msgspec.structs.replace(after.ended(), etag=newest.etag)
        complete = _complete_issues(repository, settings, since, ids, alone=alone) if sweeps and whole else ()
        yield Part((), self._swept(after) if sweeps or after.swept_at is None else after, complete)

    def _issue_events(
        self, repository: str, settings: IssueSettings, found: Sequence[Issue], notes: Notes
    ) -> list[Incident | Ticket]:
        histories = self._histories(repository, [i for i in found if _has_history(i, settings)], notes)
        service = last_part(repository)
        events = (self.shaping.issue(repository, service, i, settings, histories.get(i.id, History())) for i in found)
        return [event for event in events if event is not None]

    def _histories(self, repository: str, found: Sequence[Issue], notes: Notes) -> dict[int, History]:
        """The comments on issues and what happened to them, by the issues' ids."""
        histories: dict[int, History] = {}
        for one, node in zip(found, self.graph.nodes(HISTORY, [i.node_id for i in found], Node), strict=True):
            if node is not None:
                path = f"repos/{repository}/issues/{one.number}"
                histories[one.id] = History(self._replies(path, node, notes), self._turns(path, node, notes))
        return histories

    def _replies(self, path: str, node: Node, notes: Notes) -> list[Reply]:
        if node.comments is None:
            return []
        if node.comments.page_info.has_next_page:
            comments = self._everything(f"{path}/comments", CommentItem, notes)
            return [self.shaping.reply(c.created_at, c.user) for c in comments]
        return [self.shaping.reply(c.created_at, c.author) for c in node.comments.nodes if c]

    def _turns(self, path: str, node: Node, notes: Notes) -> list[Turn]:
        if node.timeline_items is None:
            return []
        if node.timeline_items.page_info.has_next_page:
            happened = self._everything(f"{path}/events", TurnItem, notes)
            told = [self.shaping.turn(t.event, t.created_at, t.state_reason, t.label) for t in happened]
        else:
            nodes = (t for t in node.timeline_items.nodes if t is not None)
            told = [self.shaping.turn(t.kind, t.created_at, t.state_reason, t.label) for t in nodes]
        return [turn for turn in told if turn is not None]


def _has_history(issue: Issue, settings: IssueSettings) -> bool:
    """Whether an issue means something here, and its history may say more than it does itself."""
    kind = None if issue.pull_request is not None else settings.kind(issue.label_names)
    ended = issue.closed_at is not None or issue.state_reason is not None
    labelled = bool(settings.acknowledged or settings.waiting)
    return kind is not None and (ended or labelled or bool(kind is Ticket and issue.comments))


@dataclass
class _Met:
    """What a reading of runs has met. `waiting`: ids of what had not ended. `whole`: nothing was left out."""

    waiting: set[str]
    newest: datetime | None
    seen: set[str] = field(default_factory=set)
    whole: bool = True

    @property
    def open(self) -> tuple[str, ...]:
        """The ids of what has not ended, for a state."""
        return tuple(sorted(self.waiting))

    def runs(self, answer: Answer, notes: Notes) -> list[Run]:
        """The runs of a page that can be used."""
        found, rejected = answer.items(Run, "workflow_runs")
        undatable = [bad for run in found if (bad := undated(run, answer.asked)) is not None]
        notes.reject([*rejected, *undatable])
        self.whole = self.whole and not rejected and not undatable
        runs = [run for run in found if undated(run, answer.asked) is None]
        self.note(runs)
        return runs

    def note(self, runs: Sequence[Run], asked: Iterable[str] = ()) -> None:
        """Runs as they are now. What was asked for and is not among them is gone."""
        ids = {str(run.id) for run in runs}
        self.seen |= ids
        self.waiting -= ids | set(asked)
        self.waiting |= {str(run.id) for run in runs if not run.ended}
        self.newest = max([run.created_at for run in runs] + ([self.newest] if self.newest else []), default=None)


@dataclass(frozen=True)
class _Detail:
    """What is read of a run by itself."""

    attempts: Sequence[Run] = ()
    jobs: list[Job] = field(default_factory=list)
    rejected: list[BadRecord] = field(default_factory=list)


def _complete_issues(
    repository: str, settings: IssueSettings, since: datetime, ids: dict[type[Event], set[str]], *, alone: bool
) -> tuple[Complete, ...]:
    """That no other issues mean something here; not where several repositories share a queue or a service's name."""
    tickets = Complete(
        kind=Ticket,
        where={"queue": repository},
        dated="created_at",
        since=since,
        native_ids=frozenset(ids[Ticket]),
    )
    incidents = Complete(
        kind=Incident,
        where={"service": last_part(repository)},
        dated="started_at",
        since=since,
        native_ids=frozenset(ids[Incident]),
    )
    return (*(() if settings.queue else (tickets,)), *((incidents,) if alone else ()))
