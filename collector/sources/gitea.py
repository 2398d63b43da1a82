"""Changes, reviews, runs, releases and issues of Gitea and Forgejo, by their REST API and their webhooks.

Their lists know no "updated since" but that of issues: the others are read newest first, down to where the last run
was. Runs of workflows come in two shapes, and their jobs from two lists; older servers tell jobs alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, pairwise
from typing import Any, ClassVar, Literal, Protocol, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import Field

from collector import paging, streams
from collector.api import ForgeConfig
from collector.errors import ContractError, SourceError
from collector.events import Change, Deployment, Event, Incident, Ticket
from collector.gitcommand import basic
from collector.history import forge_history
from collector.http import Answer, ApiClient
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream
from collector.systems.gitea.hooks import GiteaReceiver
from collector.systems.gitea.shapes import (
    Details,
    Happening,
    Issue,
    Job,
    Pull,
    PullCommit,
    PullReview,
    Reader,
    Release,
    Repository,
    Run,
    Tag,
    Task,
    last_part,
)
from collector.times import as_rfc3339, parsed

_SWEEP_EVERY = timedelta(days=1)
_SWEPT = timedelta(days=30)
_RUN_AGAIN = timedelta(days=7)
_TOLERATED = timedelta(seconds=1)
_PAGE = 50
_NOT_FOUND = 404


class GiteaConfig(ForgeConfig):
    """Settings of a Gitea or Forgejo server."""

    type: Literal["gitea"]
    releases: str = Field(
        default="",
        description="The environment that published releases go to, such as `production`; none are read unless given.",
    )

    about: ClassVar[About] = About(
        system="Gitea and Forgejo",
        gives=("change", "review", "commit", "pipeline_run", "deployment", "incident", "ticket"),
        tested="official schema",
        scopes=(
            ("read:repository", "pull requests, runs, releases, and the clone where `commits` are read"),
            ("read:issue", "reviews and comments, and issues where `issues` is set"),
            ("read:organization", "the repositories of `organisations`"),
        ),
        costs=(
            ("merged pull requests", "3 020: a page names 50; the commits, the reviews and the timeline of each"),
            ("pull requests that are open or closed", "20"),
            ("runs of Gitea", "1 020: the jobs of each"),
            ("runs of Forgejo with ten jobs each", "220: pages of runs, and of their tasks"),
            ("releases", "1 020: the tag of each"),
            ("repositories in which nothing happened", "4 000: one for each list, and one for the repository if named"),
        ),
        limits=(
            "A page holds 50 items unless the server allows more. Lists end nowhere.",
            "Runs of before 1.24, and of Forgejo before it listed runs, are known by their jobs alone.",
            "Runs that were started again are found for seven days, within a day.",
            "A run that has not ended after 30 days is not looked at again.",
            "Forgejo does not tell when a job ended: the last update of its task is taken.",
            "Pull requests, issues and releases of the last 30 days that were deleted are found once a day.",
        ),
        example="""\
- name: forge
  type: gitea
  url: https://git.example.com
  token: ${GITEA_TOKEN:-}
  organisations: [shop]
  deployments:
    - pipeline: deploy.yml
      ref: main
""",
        more="""\
A pull request is a change; its first commit, its reviews and its timeline are read once it is merged. It is a draft as
long as its title begins with `WIP:` or `[WIP]`; the timeline tells when that changed.

A run of a workflow is a run, called by the workflow's file (`deploy.yml`), and so is each of its jobs. Which of them
deploy is for `deployments` to say: these servers know no environments. With `releases: production` each published
release is a deployment of its tag; drafts and pre-releases are none.

Issues are incidents or tickets by their labels. `organisations` may name a person, whose repositories are then read.

Webhooks of repositories, organisations or the whole system, as JSON and signed with the secret: pull requests, issues,
runs (`workflow_run` of Gitea, `action_run_…` of Forgejo). What a webhook does not tell comes with the next run.
""",
    )

    def build(self, context: SourceContext) -> GiteaSource:
        """The source; it asks nothing before its first pull."""
        return GiteaSource(self, context)

    def receiver(self, context: SourceContext) -> GiteaReceiver | None:
        """What takes the webhooks of repositories, organisations or the system."""
        secret = reveal(self.webhook_secret)
        return GiteaReceiver(self.reader(context), self.is_read, secret) if secret else None

    def reader(self, context: SourceContext) -> Reader:
        """What makes events of what is read."""
        return Reader(self.name, context.people, self.deploying(context), self.issues)

    def is_read(self, repository: str) -> bool:
        """Whether a repository is one of those that are named, or of an organisation that is."""
        name = repository.lower()
        if any(name == own.lower() for own in self.repositories):
            return True
        owner = name.partition("/")[0]
        return self.wants(repository) and any(owner == o.lower() for o in self.organisations)


class _Total(msgspec.Struct):
    total_count: int | None = None


class _Numbered(Protocol):
    @property
    def id(self) -> int: ...


N = TypeVar("N", bound=_Numbered)
T = TypeVar("T")


@dataclass(frozen=True)
class GiteaSource:
    """See GiteaConfig. One pull reads what is new in each repository since the cursor."""

    config: GiteaConfig
    context: SourceContext = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Events of all repositories; each page is a place from which the next run may go on."""
        notes = Notes()
        yield from streams.pull(None if self.context.since else cursor, self.asked().streams(notes), notes)

    def asked(self) -> Asked:
        """The lists of one pull. Raises RetryableError where the token cannot be read."""
        token = reveal(self.config.token)
        headers = {"Authorization": f"token {token}"} if token else None
        client = self.config.client(self.context, headers=headers, url=f"{self.config.url}/api/v1")
        return Asked(self.config, self.context, client, self.config.reader(self.context))


@dataclass(frozen=True)
class Asked:
    """The lists of one pull."""

    config: GiteaConfig
    context: SourceContext
    client: ApiClient
    reader: Reader

    def streams(self, notes: Notes) -> Iterator[Stream]:
        """The lists of each repository, and a broken one for each that is refused."""
        found: dict[str, Repository] = {}
        for name in self.config.repositories:
            try:
                one = self.client.get(f"repos/{quote(name)}").read(Repository)
            except SourceError as error:
                yield _refused(name, error)
            else:
                found.setdefault(one.full_name.lower(), one)
        for owner in self.config.organisations:
            try:
                many = self._owned(owner, notes)
            except SourceError as error:
                yield _refused(owner, error)
            else:
                for one in many:
                    if self.config.wants(one.full_name) and (self.config.archived or not one.archived):
                        found.setdefault(one.full_name.lower(), one)
        services = Counter(last_part(r.full_name) for r in found.values())
        for repository in found.values():
            yield from self._of(repository, alone=services[last_part(repository.full_name)] == 1)

    def _owned(self, owner: str, notes: Notes) -> list[Repository]:
        """The repositories of an organisation, or of a person of that name."""
        try:
            return list(chain.from_iterable(self._pages(f"orgs/{quote(owner)}/repos", {}, Repository, notes)))
        except SourceError as error:
            if error.status != _NOT_FOUND:
                raise
            return list(chain.from_iterable(self._pages(f"users/{quote(owner)}/repos", {}, Repository, notes)))

    def _of(self, repository: Repository, *, alone: bool) -> Iterator[Stream]:
        """The lists of a repository that it uses; `alone`: no other one is the same service."""
        name = repository.full_name
        if repository.has_pull_requests:
            yield self._changes(name)
        if repository.has_actions:
            runs = _Runs(self, name)
            yield Stream(f"{name} runs", runs.read)
            yield Stream(f"{name} tasks", runs.read_tasks)
        if self.config.releases and repository.has_releases:
            yield self._releases(name)
        if self.config.issues is not None and repository.has_issues:
            yield self._issues(name, alone=alone)
        if self.config.commits and not repository.empty:
            yield self._commits(name)

    def _commits(self, name: str) -> Stream:
        """By the address that was given, whatever the server calls its own: the token goes nowhere else."""
        token, url = reveal(self.config.token), f"{self.config.url}/{name}.git"
        authorization = basic("oauth2", token) if token else ""
        return forge_history(self.config, self.context, name, url, authorization=authorization)

    def _changes(self, name: str) -> Stream:
        path = f"repos/{quote(name)}/pulls"
        recent = {"state": "all", "sort": "recentupdate"}

        def listed(floor: datetime, notes: Notes) -> Iterator[list[Pull]]:
            return self.down(path, recent, Pull, floor, lambda p: p.updated_at, notes)

        def read(state: State, notes: Notes) -> Iterator[Part]:
            known, met, before = set(state.open), list[Pull](), state
            for pulls in listed(self.floor(state), notes):
                met += pulls
                fresh = [p for p in pulls if p.version not in known and not _was_read(before, p.updated_at)]
                merged = [p for p in fresh if p.merged]
                found = paging.side_by_side(
                    lambda p: self._details(name, p.number, notes), merged, self.config.parallel
                )
                details = dict(zip((p.id for p in merged), found, strict=True))
                events = (self.reader.change(name, p, details.get(p.id, Details()), notes) for p in fresh)
                state = _down_to(before, [p.updated_at for p in met])
                yield Part(list(chain.from_iterable(events)), state)
            state = self._ended(state, [(p.updated_at, p.version) for p in met])
            yield Part((), state)
            yield from self._swept(state, lambda since: self._known_changes(name, since, listed))

        return Stream(f"{name} pull requests", read)

    def _details(self, name: str, number: int, notes: Notes) -> Details:
        """The commits, the reviews and the timeline of a pull request."""
        path = f"repos/{quote(name)}"
        lean = {"verification": "false", "files": "false"}
        return Details(
            self._each(f"{path}/pulls/{number}/commits", lean, PullCommit, notes),
            self._each(f"{path}/pulls/{number}/reviews", {}, PullReview, notes),
            self._each(f"{path}/issues/{number}/timeline", {}, Happening, notes),
        )

    def _known_changes(
        self, name: str, since: datetime, listed: Callable[[datetime, Notes], Iterator[list[Pull]]]
    ) -> list[Complete]:
        notes = Notes()
        ids = frozenset(str(p.id) for p in _twice(lambda: listed(since, notes)))
        if notes.rejected:
            return []
        return [Complete(kind=Change, where={"repository": name}, dated="created_at", since=since, native_ids=ids)]

    def _releases(self, name: str) -> Stream:
        path = f"repos/{quote(name)}/releases"

        def listed(floor: datetime, notes: Notes) -> Iterator[list[Release]]:
            for page in self.down(path, {}, Release, floor, lambda r: r.created_at, notes):
                yield [r for r in page if not r.draft and not r.prerelease]

        def made(release: Release) -> Deployment:
            return self.reader.release(name, release, self._tagged(name, release.tag_name), self.config.releases)

        def read(state: State, notes: Notes) -> Iterator[Part]:
            known, met, floor = set(state.open), list[Release](), self.floor(state)
            if state.swept_at is not None and self._is_due(state):
                # Those of older tags, and pre-releases that became releases, keep the place of their tag in the list.
                floor = min(floor, self.context.clock() - _SWEPT)
            for releases in listed(floor, notes):
                met += releases
                fresh = [r for r in releases if _seen(r) not in known]
                yield Part(list(paging.side_by_side(made, fresh, self.config.parallel)), state)
            state = self._ended(state, [(r.created_at, _seen(r)) for r in met])
            yield Part((), state)
            # Beside rules, runs make deployments that this list does not name.
            alone = not self.config.deployments
            yield from self._swept(state, lambda since: self._known_releases(name, since, listed) if alone else [])

        return Stream(f"{name} releases", read)

    def _known_releases(
        self, name: str, since: datetime, listed: Callable[[datetime, Notes], Iterator[list[Release]]]
    ) -> list[Complete]:
        notes = Notes()
        ids = frozenset(f"release/{r.id}" for r in _twice(lambda: listed(since, notes)))
        if notes.rejected:
            return []
        return [Complete(kind=Deployment, where={"repository": name}, dated="finished_at", since=since, native_ids=ids)]

    def _tagged(self, name: str, tag: str) -> str | None:
        """The commit of a release's tag: the release itself names a branch."""
        try:
            found = self.client.get(f"repos/{quote(name)}/tags/{quote(tag, safe='')}").read(Tag)
        except SourceError as error:
            if error.status != _NOT_FOUND:
                raise
            return None
        return found.commit.sha if found.commit else None

    def _issues(self, name: str, *, alone: bool) -> Stream:
        path = f"repos/{quote(name)}/issues"

        def listed(since: datetime, notes: Notes) -> Iterator[list[Issue]]:
            asked = {"type": "issues", "state": "all", "since": as_rfc3339(since.replace(microsecond=0))}
            for issues in self._pages(path, asked, Issue, notes):
                if any(i.updated_at < since.replace(microsecond=0) - _TOLERATED for i in issues):
                    raise ContractError(f"GET {path}: it gives what is older than was asked for")
                yield issues

        def timeline(issue: Issue, notes: Notes) -> Sequence[Happening]:
            asks = self.reader.issue(name, issue, None) is not None
            return self._each(f"{path}/{issue.number}/timeline", {}, Happening, notes) if asks else ()

        def read(state: State, notes: Notes) -> Iterator[Part]:
            known, met = set(state.open), dict[int, Issue]()
            for issues in listed(self.floor(state), notes):
                fresh = [i for i in issues if i.version not in known and i.id not in met]
                met |= {i.id: i for i in issues}
                found = paging.side_by_side(lambda i: timeline(i, notes), fresh, self.config.parallel)
                events = (self.reader.issue(name, i, r) for i, r in zip(fresh, found, strict=True))
                yield Part([e for e in events if e is not None], state)
            state = self._ended(state, [(i.updated_at, i.version) for i in met.values()])
            yield Part((), state)
            yield from self._swept(state, lambda since: self._known_issues(name, since, listed, alone=alone))

        return Stream(f"{name} issues", read)

    def _known_issues(
        self, name: str, since: datetime, listed: Callable[[datetime, Notes], Iterator[list[Issue]]], *, alone: bool
    ) -> list[Complete]:
        """Tickets and incidents as far as their repository can be told by what is kept of them."""
        notes = Notes()
        made = [self.reader.issue(name, i, None) for i in _twice(lambda: listed(since, notes))]
        if notes.rejected:
            return []
        tickets = frozenset(e.native_id for e in made if isinstance(e, Ticket))
        incidents = frozenset(e.native_id for e in made if isinstance(e, Incident))
        whole: list[Complete] = []
        if self.config.issues is not None and not self.config.issues.queue:
            of = {"queue": name}
            whole.append(Complete(kind=Ticket, where=of, dated="created_at", since=since, native_ids=tickets))
        if alone:
            of = {"service": last_part(name)}
            whole.append(Complete(kind=Incident, where=of, dated="started_at", since=since, native_ids=incidents))
        return whole

    # -- lists

    def floor(self, state: State) -> datetime:
        """From when on a stream is read."""
        return self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap

    def _ended(self, state: State, met: Sequence[tuple[datetime, str]]) -> State:
        """The state after a pass. What of the next one's overlap was read as it stands is remembered in `open`."""
        state = state.begun(max((at for at, _ in met), default=None)).ended()
        if state.since is None:
            return state
        start = state.since - self.config.overlap
        return msgspec.structs.replace(state, open=tuple(sorted({version for at, version in met if at >= start})))

    def _is_due(self, state: State) -> bool:
        """Whether the recent past is looked at: once a day."""
        return state.swept_at is None or self.context.clock() - state.swept_at >= _SWEEP_EVERY

    def _swept(self, state: State, known: Callable[[datetime], list[Complete]]) -> Iterator[Part]:
        """Once a day: what there is of the recent past, so that what was deleted is seen."""
        now = self.context.clock()
        if not self._is_due(state):
            return
        # After a first pass there is nothing that could have been deleted.
        whole = known(now - _SWEPT) if state.swept_at is not None else []
        yield Part((), msgspec.structs.replace(state, swept_at=now), whole)

    def down(  # noqa: PLR0913 - each is part of what is asked
        self,
        path: str,
        parameters: Mapping[str, str],
        kind: type[N],
        floor: datetime,
        at: Callable[[N], datetime | None],
        notes: Notes,
        *,
        key: str | None = None,
    ) -> Iterator[list[N]]:
        """The pages of a list that stands newest first, down to a time; each item once, though the list may move.

        Of a list that was asked for in an order (`sort`), that order is proven; the others stand in that of their ids,
        which their times follow more or less: there a whole page must be older.
        """
        known: set[int] = set()
        for items in self._pages(path, parameters, kind, notes, key=key):
            times = [time for item in items if (time := at(item)) is not None]
            if "sort" in parameters and any(newer < older - _TOLERATED for newer, older in pairwise(times)):
                raise ContractError(f"GET {path}: it does not stand in the order that was asked for")
            fresh = [i for i in items if i.id not in known]
            known |= {i.id for i in items}
            yield [i for i in fresh if (at(i) or floor) >= floor]
            if times and max(times) < floor:
                return

    def _pages(
        self, path: str, parameters: Mapping[str, str], kind: type[T], notes: Notes, *, key: str | None = None
    ) -> Iterator[list[T]]:
        """The pages of a list, until one is empty or all were read that the server counts."""
        sizes: list[int] = []
        for answer in paging.numbered(
            self.client, path, parameters, lambda _: sizes[-1], size=_PAGE, size_parameter="limit"
        ):
            items, rejected = answer.items(kind, key)
            notes.reject(rejected)
            sizes.append(len(items) + len(rejected))
            yield items
            total = _total(answer, key)
            if total is not None and sum(sizes) >= total:
                return

    def _each(
        self, path: str, parameters: Mapping[str, str], kind: type[T], notes: Notes, *, paged: bool = True
    ) -> list[T]:
        """All items of a list of one thing; none where that was deleted since it was listed."""
        try:
            if paged:
                return list(chain.from_iterable(self._pages(path, parameters, kind, notes)))
            items, rejected = self.client.get(path, parameters).items(kind)
        except SourceError as error:
            if error.status != _NOT_FOUND:
                raise
            return []
        notes.reject(rejected)
        return items

    def jobs(self, name: str, run: Run, notes: Notes) -> list[Job]:
        """The jobs of a run of Gitea."""
        if not run.has_job_list:
            return []
        path = f"repos/{quote(name)}/actions/runs/{run.id}/jobs"
        return list(chain.from_iterable(self._pages(path, {}, Job, notes, key="jobs")))


@dataclass(frozen=True)
class _Stretch:
    """The runs that a pass had read when it broke off, by their ids; what has moved since `as_of` is not meant."""

    lowest: int
    highest: int
    as_of: datetime

    @classmethod
    def of(cls, text: str | None) -> _Stretch | None:
        """What the place of a state says."""
        lowest, highest, as_of = (text or "").split() or ("", "", "")
        at = parsed(as_of)
        return None if at is None else cls(int(lowest), int(highest), at)

    @property
    def text(self) -> str:
        """As the place of a state."""
        return f"{self.lowest} {self.highest} {as_rfc3339(self.as_of)}"

    def holds(self, run: Run) -> bool:
        """Whether a run was read as it stands."""
        unmoved = run.moved_at is not None and run.moved_at <= self.as_of
        return run.has_ended and unmoved and self.lowest <= run.id <= self.highest

    @classmethod
    def down_to(cls, before: _Stretch | None, ids: Sequence[int], as_of: datetime | None) -> _Stretch | None:
        """With these ids from the top down; only once they have come down to those of before."""
        if not ids or as_of is None or (before is not None and min(ids) > before.highest):
            return before
        if before is None:
            return cls(min(ids), max(ids), as_of)
        return cls(min(before.lowest, *ids), max(before.highest, *ids), before.as_of)


@dataclass
class _Runs:
    """The runs of a repository, and the jobs that no run lists. Which of the two there are, the first page tells."""

    asked: Asked
    name: str
    has_tasks: bool = False
    numbers: dict[int, str] = field(default_factory=dict)
    lists_runs: bool = True

    @property
    def _path(self) -> str:
        return f"repos/{quote(self.name)}/actions"

    def read(self, state: State, notes: Notes) -> Iterator[Part]:
        """Runs, newest first; those that had not ended, and once a day those that were started again."""
        now = self.asked.context.clock()
        due = state.swept_at is None or now - state.swept_at >= _SWEEP_EVERY
        floor = self.asked.floor(state)
        known, met, held = set(state.open), list[Run](), _Stretch.of(state.after)
        as_of: datetime | None = None
        try:
            pages = self.asked.down(
                f"{self._path}/runs",
                {},
                Run,
                min(floor, now - _RUN_AGAIN) if due and state.since is not None else floor,
                lambda r: r.begun_at,
                notes,
                key="workflow_runs",
            )
            for runs in pages:
                self._take(runs)
                met += runs
                as_of = as_of or max((at for r in runs if (at := r.moved_at)), default=None)
                fresh = [r for r in runs if r.version not in known and self._may_be_new(r, floor, state)]
                events = self._events([r for r in fresh if held is None or not held.holds(r)], notes)
                stretch = _Stretch.down_to(held, [r.id for r in met], as_of)
                yield Part(events, msgspec.structs.replace(state, after=stretch and stretch.text))
        except SourceError as error:
            if error.status != _NOT_FOUND:
                raise
            self.lists_runs, self.has_tasks = False, True
            return
        late = self._unended(state, {r.id for r in met}, notes)
        met += late
        ended = msgspec.structs.replace(self._ended(state, met), swept_at=now if due else state.swept_at)
        yield Part(self._events(late, notes), ended)

    def _take(self, runs: Sequence[Run]) -> None:
        self.has_tasks = self.has_tasks or any(not r.has_job_list for r in runs)
        self.numbers |= {r.number: r.native_id for r in runs if r.number is not None}

    def _may_be_new(self, run: Run, floor: datetime, state: State) -> bool:
        """Whether a run is of this pass, or of before and has moved since the last time those were looked at."""
        if state.swept_at is None or (run.begun_at or floor) >= floor:
            return True
        return run.moved_at is None or run.moved_at >= state.swept_at - self.asked.config.overlap

    def _unended(self, state: State, met: set[int], notes: Notes) -> list[Run]:
        """The runs that had not ended before, and are not in the part of the list that was read."""
        del notes
        found: list[Run] = []
        for number in (int(entry) for entry in state.open if entry.isdigit() and int(entry) not in met):
            try:
                found.append(self.asked.client.get(f"{self._path}/runs/{number}").read(Run))
            except SourceError as error:
                if error.status != _NOT_FOUND:
                    raise
        self._take(found)
        return found

    def _ended(self, state: State, met: Sequence[Run]) -> State:
        """`open` holds the ids of runs that have not ended, and the versions of those in the overlap that have."""
        state = state.begun(max((r.begun_at for r in met if r.begun_at), default=None)).ended()
        if state.since is None:
            return state
        start, given_up = state.since - self.asked.config.overlap, self.asked.context.clock() - _SWEPT
        kept = {r.version for r in met if r.has_ended and r.begun_at and r.begun_at >= start}
        kept |= {str(r.id) for r in met if not r.has_ended and r.begun_at and r.begun_at >= given_up}
        return msgspec.structs.replace(state, open=tuple(sorted(kept)))

    def _events(self, runs: Sequence[Run], notes: Notes) -> list[Event]:
        asked, name = self.asked, self.name
        found = paging.side_by_side(lambda r: asked.jobs(name, r, notes), runs, asked.config.parallel)
        events: list[Event] = []
        for run, jobs in zip(runs, found, strict=True):
            events += asked.reader.run(name, run, notes)
            for job in jobs:
                events += asked.reader.job(name, run, job, notes)
        return events

    def read_tasks(self, state: State, notes: Notes) -> Iterator[Part]:
        """Jobs that a runner took, newest first, from the oldest that had not ended; where runs do not list theirs."""
        if not self.has_tasks:
            return
        met: list[Task] = []
        floor = self.asked.floor(state)
        for tasks in self.asked.down(
            f"{self._path}/tasks", {}, Task, floor, lambda t: t.created_at, notes, key="workflow_runs"
        ):
            met += tasks
            events = (self.asked.reader.task(self.name, t, self._run_of(t), notes) for t in tasks)
            yield Part(list(chain.from_iterable(events)), state)
        now = self.asked.context.clock()
        unended = [t.created_at for t in met if not t.has_ended and t.created_at > now - _RUN_AGAIN]
        newest = max((t.created_at for t in met), default=None)
        since = min(unended, default=newest) or state.since
        yield Part((), msgspec.structs.replace(state, since=since))

    def _run_of(self, task: Task) -> str | None:
        """The run of a task, which names it by its number in the repository."""
        if task.run_number is None or not self.lists_runs:
            return None
        if task.run_number not in self.numbers:
            answer: Answer = self.asked.client.get(f"{self._path}/runs", {"run_number": str(task.run_number)})
            runs, _ = answer.items(Run, "workflow_runs")
            self._take([r for r in runs if r.number == task.run_number])
        return self.numbers.get(task.run_number)


def _refused(name: str, error: SourceError) -> Stream:
    """Stands for what is not told: the others go on."""

    def read(state: State, notes: Notes) -> Iterator[Part]:
        del state, notes
        raise error

    return Stream(name, read)


def _down_to(before: State, times: Sequence[datetime]) -> State:
    """The state of a pass from the newest time down that has met these: from `reached` down to `after` all was read.

    Where an earlier run broke off in the pass (`before`), only once the new part has come down to what that one read.
    """
    if not times or (before.reached is not None and min(times) > before.reached):
        return before
    lowest = min([*times, *filter(None, [_after(before)])])
    return msgspec.structs.replace(before.begun(max(times)), after=as_rfc3339(lowest))


def _was_read(before: State, at: datetime) -> bool:
    """Whether an earlier run that broke off in this pass has read what was updated then, and its details."""
    lowest = _after(before)
    if lowest is None or before.reached is None:
        return False
    return lowest + _TOLERATED < at < before.reached - _TOLERATED


def _after(state: State) -> datetime | None:
    return parsed(state.after) if state.after else None


def _twice(listed: Callable[[], Iterator[list[T]]]) -> Iterator[T]:
    """The items that two readings of a list name: a third may be named by one of them alone.

    What is updated or deleted while pages are read moves others over the end of a page. These are not gone.
    """
    for _ in range(2):
        yield from chain.from_iterable(listed())


def _seen(release: Release) -> str:
    return f"{release.id}@{release.at.isoformat()}"


def _total(answer: Answer, key: str | None) -> int | None:
    """How many items a list holds, as its header or its body says."""
    said: Any = answer.headers.get("x-total-count", "")
    if said.isascii() and said.isdigit():
        return int(said)
    return answer.read(_Total).total_count if key else None
