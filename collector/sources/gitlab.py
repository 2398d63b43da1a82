"""Changes, reviews, pipelines, deployments and issues of GitLab, hosted or one's own, by its REST API and its webhooks.

Every list is read in the order in which its items were updated, from the newest time that was met: so a page that
moves while it is read loses nothing, and no offset grows until the server refuses it. Trigger jobs are not read: the
pipeline that they start reports what it does itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import ClassVar, Generic, Literal, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from pydantic import Field

from collector import paging, streams
from collector.api import ForgeConfig, Url
from collector.errors import ContractError, SourceError
from collector.events import Change, Deployment, Incident, Ticket
from collector.gitcommand import basic
from collector.history import forge_history
from collector.http import Answer, ApiClient
from collector.secrets import reveal
from collector.source import About, Complete, Page, SourceContext
from collector.streams import Notes, Part, State, Stream
from collector.systems.gitlab.hooks import GitLabReceiver
from collector.systems.gitlab.shapes import (
    Details,
    Issue,
    IssueHistory,
    Job,
    LabelEvent,
    Listed,
    MergedCommit,
    MergeRequest,
    Note,
    OwnDeployment,
    Pipeline,
    Project,
    Reader,
    StateEvent,
    last_part,
    turns_of,
    updated_at,
)
from collector.times import as_rfc3339

T = TypeVar("T")
L = TypeVar("L", bound=Listed)

_SWEEP_EVERY = timedelta(days=1)
_SWEPT = timedelta(days=30)
_TOLERATED = timedelta(seconds=1)  # answers show milliseconds of times that are kept more precisely
_PAGE = "100"
_NOT_FOUND = 404
_EVERYONES = {"scope": "all", "state": "all"}


class GitLabConfig(ForgeConfig):
    """Settings of a GitLab server, or of gitlab.com."""

    type: Literal["gitlab"]
    url: Url = Field(default="https://gitlab.com", description="Address of the server, without `/api/v4`.")
    bearer: bool = Field(
        default=False, description="Whether the token is one of OAuth, sent as `Authorization: Bearer`."
    )

    about: ClassVar[About] = About(
        system="GitLab",
        gives=("change", "review", "commit", "pipeline_run", "deployment", "incident", "ticket"),
        tested="recorded shape",
        scopes=(
            ("read_api", "everything below, as somebody with the role Reporter in each project or group"),
            ("read_repository", "the clone, where `commits` are read"),
        ),
        costs=(
            ("merged merge requests", "2 011: a page names 100; the commits and the notes of each"),
            ("merge requests that are open or closed", "11"),
            ("pipelines, however many jobs they have up to 100", "1 011: the jobs of each"),
            ("deployments", "11"),
            (
                "issues that are tickets with comments",
                "2 011: when each was closed, and its comments; 1 000 for its labels",
            ),
            ("projects in which nothing happened", "5 000: one for each list, and one for the project if named"),
        ),
        limits=(
            "Lists end at 50 000 items where pages are counted. They are read by the time of the last update instead.",
            "A pipeline is read again when the system calls it updated: a status moved, or a job was run again.",
            "Child pipelines are listed by GitLab 17.0 and later; older servers hand them out nowhere.",
            "Merge requests, issues and deployments of the last 30 days that were deleted are found once a day.",
            "Deleted pipelines stay: projects delete old ones by rule.",
            "When a deployment without a job ended is not handed out: its last update is taken.",
        ),
        example="""\
- name: gitlab
  type: gitlab
  token: ${GITLAB_TOKEN:-}
  organisations: [shop]
  deployments:
    - job: deploy-production
      to: production
  issues:
    incidents: incident
""",
        more="""\
A merge request is a change; its merge commit is the merge, else the squash, else its head. Its first commit and its
notes are read once it is merged: notes tell when it was marked ready, who commented and who approved.

A pipeline and each attempt of each of its jobs are runs. A pipeline without a name is called `pipeline`, one that
another of its project started `child pipeline`. Jobs that time out or that the runner lost are told apart from jobs
whose script failed. What GitLab calls the jobs' environments is read where a rule asks for an `environment`.

Without rules, GitLab's own deployments count: the service is the project, the environment is GitLab's. A deployment has
the time at which its job ended. Failed ones whose job may fail, cancelled and skipped ones are none.

Issues of the type incident are incidents where `issues` is set; all others by their labels. Moved issues are left out.

Webhooks of projects, groups or the whole system, with the secret as their token: merge requests, comments, pipelines,
jobs, deployments, issues. What a webhook does not tell (first commits, replies) comes with the next run.
""",
    )

    def build(self, context: SourceContext) -> GitLabSource:
        """The source; it asks nothing before its first pull."""
        return GitLabSource(self, context)

    def receiver(self, context: SourceContext) -> GitLabReceiver | None:
        """What takes the webhooks of projects, groups or the system."""
        secret = reveal(self.webhook_secret)
        if not secret:
            return None
        return GitLabReceiver(self.reader(context), self.is_read, secret, environments=self.asks_for_environments)

    def reader(self, context: SourceContext) -> Reader:
        """What makes events of what is read."""
        return Reader(
            self.name, context.people, self.deploying(context), self.issues, own_deployments=self.reads_own_deployments
        )

    def is_read(self, repository: str) -> bool:
        """Whether a project is one of those that are named, or of a group that is."""
        name = repository.lower()
        if any(name == own.lower() for own in self.repositories):
            return True
        return self.wants(repository) and any(name.startswith(f"{g.lower()}/") for g in self.organisations)

    @property
    def asks_for_environments(self) -> bool:
        """Whether a rule needs to know which environment a job deploys to."""
        return any(rule.environment for rule in self.deployments)


# ---- what is asked


class _Batch(NamedTuple, Generic[L]):
    """Some items of a list, and where its stream stands after them."""

    items: Sequence[L]
    state: State


@dataclass(frozen=True)
class GitLabSource:
    """See GitLabConfig. One pull reads what was updated in each project since the cursor."""

    config: GitLabConfig
    context: SourceContext = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Events of all projects; each page is a place from which the next run may go on."""
        notes = Notes()
        yield from streams.pull(None if self.context.since else cursor, self.asked().streams(notes), notes)

    def asked(self) -> Asked:
        """The lists of one pull. Raises RetryableError where the token cannot be read."""
        return Asked(self.config, self.context, self._client(), self.config.reader(self.context))

    def _client(self) -> ApiClient:
        token = reveal(self.config.token)
        headers = {"Authorization": f"Bearer {token}"} if self.config.bearer else {"PRIVATE-TOKEN": token}
        return self.config.client(self.context, headers=headers if token else None, url=f"{self.config.url}/api/v4")


@dataclass(frozen=True)
class Asked:
    """The lists of one pull."""

    config: GitLabConfig
    context: SourceContext
    client: ApiClient
    reader: Reader

    def streams(self, notes: Notes) -> Iterator[Stream]:
        """The lists of each project, and a broken one for each group that is refused."""
        projects: dict[str, Project] = {}
        for name, ask in self._asks(notes):
            try:
                found = ask()
            except SourceError as error:
                yield _refused(name, error)
            else:
                projects |= {p.path_with_namespace.lower(): p for p in found}
        services = Counter(last_part(p.path_with_namespace) for p in projects.values())
        for project in projects.values():
            yield from self._of(project, alone=services[last_part(project.path_with_namespace)] == 1)

    def _asks(self, notes: Notes) -> Iterator[tuple[str, Callable[[], list[Project]]]]:
        """What names projects, and how they are asked for: each by its name, those of a group together."""
        for name in self.config.repositories:
            yield name, partial(self._named, name)
        for group in self.config.organisations:
            yield group, partial(self._wanted, group, notes)

    def _named(self, name: str) -> list[Project]:
        """A project as its server calls it: names are compared without case, and one that moved has another."""
        return [self.client.get(f"projects/{_quoted(name)}").read(Project)]

    def _wanted(self, group: str, notes: Notes) -> list[Project]:
        found = self._all(f"groups/{_quoted(group)}/projects", self._of_groups, Project, notes)
        return [p for p in found if self.config.wants(p.path_with_namespace)]

    @property
    def _of_groups(self) -> dict[str, str]:
        hidden = {} if self.config.archived else {"archived": "false"}
        return {"include_subgroups": "true", "with_shared": "false", "order_by": "id", "sort": "asc", **hidden}

    def _of(self, project: Project, *, alone: bool) -> Iterator[Stream]:
        """The lists of a project that has them; `alone`: no other project is the same service."""
        name = project.path_with_namespace
        if project.merge_requests_access_level != "disabled":
            yield self._changes(name)
        if project.builds_access_level != "disabled":
            yield self._pipelines(name, "pipelines", {})
            yield self._pipelines(name, "child pipelines", {"source": "parent_pipeline"})
            if self.config.reads_own_deployments:
                yield self._deployments(name)
        if self.config.issues is not None and project.issues_access_level != "disabled":
            yield self._issues(name, alone=alone)
        if self.config.commits and not project.empty_repo:
            yield self._commits(name)

    def _commits(self, name: str) -> Stream:
        token, url = reveal(self.config.token), f"{self.config.url}/{name}.git"
        authorization = basic("oauth2", token) if token else ""
        return forge_history(self.config, self.context, name, url, authorization=authorization)

    def _changes(self, name: str) -> Stream:
        path = f"projects/{_quoted(name)}/merge_requests"

        def read(state: State, notes: Notes) -> Iterator[Part]:
            for batch in self._updated(path, _EVERYONES, state, notes, MergeRequest):
                state = batch.state
                merged = [m for m in batch.items if m.state == "merged"]
                found = paging.side_by_side(lambda m: self._details(path, m.iid, notes), merged, self.config.parallel)
                details = dict(zip((m.id for m in merged), found, strict=True))
                events = [self.reader.change(name, m, details.get(m.id, Details()), notes) for m in batch.items]
                yield Part(list(chain.from_iterable(events)), state)
            yield from self._swept(state, lambda since: self._known_changes(name, path, since))

        return Stream(f"{name} merge requests", read)

    def _details(self, path: str, number: int, notes: Notes) -> Details:
        """The commits and the notes of a merge request. Notes tell all: who decided when, and when it was ready."""
        return Details(
            self._each(f"{path}/{number}/commits", {}, MergedCommit, notes),
            self._each(f"{path}/{number}/notes", {"order_by": "created_at", "sort": "asc"}, Note, notes),
        )

    def _known_changes(self, name: str, path: str, since: datetime) -> list[Complete]:
        found = self._created(path, since, MergeRequest)
        if found is None:
            return []
        ids = frozenset(str(m.id) for m in found)
        return [Complete(kind=Change, where={"repository": name}, dated="created_at", since=since, native_ids=ids)]

    def _pipelines(self, name: str, kind: str, parameters: Mapping[str, str]) -> Stream:
        path = f"projects/{_quoted(name)}"

        def read(state: State, notes: Notes) -> Iterator[Part]:
            places = _Places(self, f"{path}/deployments") if self.config.asks_for_environments else None
            for batch in self._updated(f"{path}/pipelines", parameters, state, notes, Pipeline):
                asked = paging.side_by_side(
                    lambda p: self._each(f"{path}/pipelines/{p.id}/jobs", {"include_retried": "true"}, Job, notes),
                    batch.items,
                    self.config.parallel,
                )
                jobs = list(asked)
                named = places.of(list(chain.from_iterable(jobs)), notes) if places else {}
                runs = (self.reader.runs(name, p, j, named, notes) for p, j in zip(batch.items, jobs, strict=True))
                yield Part(list(chain.from_iterable(runs)), batch.state)

        return Stream(f"{name} {kind}", read)

    def _deployments(self, name: str) -> Stream:
        path = f"projects/{_quoted(name)}/deployments"

        def read(state: State, notes: Notes) -> Iterator[Part]:
            for batch in self._updated(path, {}, state, notes, OwnDeployment):
                state = batch.state
                made = (self.reader.deployment(name, d, notes) for d in batch.items)
                yield Part([d for d in made if d is not None], state)
            if not self.config.deployments:  # beside rules, jobs make deployments that this list does not name
                yield from self._swept(state, lambda since: self._known_deployments(name, path, since))

        return Stream(f"{name} deployments", read)

    def _known_deployments(self, name: str, path: str, since: datetime) -> list[Complete]:
        notes = Notes()
        listed = chain.from_iterable(self.ascending(path, {}, since, OwnDeployment, notes))
        made = [self.reader.deployment(name, d, notes) for d in listed]
        if notes.rejected:
            return []
        ids = frozenset(d.native_id for d in made if d is not None)
        return [Complete(kind=Deployment, where={"repository": name}, dated="finished_at", since=since, native_ids=ids)]

    def _issues(self, name: str, *, alone: bool) -> Stream:
        path = f"projects/{_quoted(name)}/issues"

        def history(issue: Issue, notes: Notes) -> IssueHistory:
            made = self.reader.issue(name, issue, None)
            if made is None or self.config.issues is None:
                return IssueHistory()
            own = f"{path}/{issue.iid}"
            asks = bool(issue.user_notes_count) and isinstance(made, Ticket)
            said = self._each(f"{own}/notes", {"sort": "asc"}, Note, notes) if asks else ()
            states = self._each(f"{own}/resource_state_events", {}, StateEvent, notes)
            labelled = self.config.issues.acknowledged or self.config.issues.waiting
            labels = self._each(f"{own}/resource_label_events", {}, LabelEvent, notes) if labelled else ()
            return IssueHistory(said, turns_of(states, labels))

        def read(state: State, notes: Notes) -> Iterator[Part]:
            for batch in self._updated(path, _EVERYONES, state, notes, Issue):
                state = batch.state
                found = paging.side_by_side(lambda i: history(i, notes), batch.items, self.config.parallel)
                events = (self.reader.issue(name, i, r) for i, r in zip(batch.items, found, strict=True))
                yield Part([e for e in events if e is not None], state)
            yield from self._swept(state, lambda since: self._known_issues(name, path, since, alone=alone))

        return Stream(f"{name} issues", read)

    def _known_issues(self, name: str, path: str, since: datetime, *, alone: bool) -> list[Complete]:
        """Tickets and incidents as far as their project can be told by what is kept of them.

        A token that may not see issues any more is not refused: it gets an empty list, from which nothing follows.
        """
        listed = self._created(path, since, Issue)
        if not listed:
            return []
        made = [self.reader.issue(name, i, None) for i in listed]
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

    def _updated(
        self, path: str, parameters: Mapping[str, str], state: State, notes: Notes, kind: type[L]
    ) -> Iterator[_Batch[L]]:
        """What was updated since a stream's state, oldest first, and its state after each page.

        The overlap is listed each time. What of it was read as it stands, and had ended, is remembered in `open` and
        not given again: its commits, notes or jobs would have to be asked for once more.
        """
        overlap = self.config.overlap
        since = self.config.horizon(self.context) if state.since is None else state.since - overlap
        known = set(state.open)
        for items in self.ascending(path, parameters, since, kind, notes):
            fresh = [i for i in items if i.version not in known]
            state = state.begun(max((i.updated_at for i in items), default=None)).ended()
            known |= {i.version for i in fresh if i.has_ended}
            if state.since is not None:
                known = {v for v in known if updated_at(v) >= state.since - overlap}
            state = msgspec.structs.replace(state, open=tuple(sorted(known)))
            yield _Batch(fresh, state)

    def ascending(
        self,
        path: str,
        parameters: Mapping[str, str],
        since: datetime,
        kind: type[L],
        notes: Notes,
        *,
        by: str = "updated_at",
    ) -> Iterator[list[L]]:
        """The pages of a list in the order of a time, each asked for from the newest time of the one before.

        Items that are updated meanwhile move to its end, so that counting pages would pass over others. Only where
        more items than a page holds share a time are pages counted.
        """
        known: set[tuple[int, datetime]] = set()
        while True:
            asked = {
                **parameters,
                by.replace("_at", "_after"): as_rfc3339(since),
                "order_by": by,
                "sort": "asc",
                "per_page": _PAGE,
            }
            before = since
            for answer in paging.linked(self.client, path, asked):
                items, rejected = answer.items(kind)
                times = [getattr(i, by) for i in items]
                if times and min(times) < before - _TOLERATED:
                    raise ContractError(f"{answer.asked}: it gives what is older than was asked for")
                notes.reject(rejected)
                yield [i for i, at in zip(items, times, strict=True) if (i.id, at) not in known]
                if not _goes_on(answer):
                    return
                known.update((i.id, at) for i, at in zip(items, times, strict=True))
                since = max(times, default=before)
                if since > before:
                    break
            else:
                return

    def _created(self, path: str, since: datetime, kind: type[L]) -> list[L] | None:
        """All that was created since then; None where one of it cannot be read, so that nothing follows from it."""
        notes = Notes()
        pages = self.ascending(path, _EVERYONES, since, kind, notes, by="created_at")
        found = list(chain.from_iterable(pages))
        return None if notes.rejected else found

    def _swept(self, state: State, known: Callable[[datetime], list[Complete]]) -> Iterator[Part]:
        """Once a day: what there is of the recent past, so that what was deleted is seen."""
        now = self.context.clock()
        if state.swept_at is not None and now - state.swept_at < _SWEEP_EVERY:
            return
        # After a first pass there is nothing that could have been deleted.
        whole = known(now - _SWEPT) if state.swept_at is not None else []
        yield Part((), msgspec.structs.replace(state, swept_at=now), whole)

    def _all(self, path: str, parameters: Mapping[str, str], kind: type[T], notes: Notes) -> list[T]:
        """All items of a list that names its next page."""
        found: list[T] = []
        for answer in paging.linked(self.client, path, {**parameters, "per_page": _PAGE}):
            items, rejected = answer.items(kind)
            notes.reject(rejected)
            found += items
        return found

    def _each(self, path: str, parameters: Mapping[str, str], kind: type[T], notes: Notes) -> list[T]:
        """All items of a list of one thing; none where that was deleted since it was listed."""
        try:
            return self._all(path, parameters, kind, notes)
        except SourceError as error:
            if error.status != _NOT_FOUND:
                raise
            return []


@dataclass
class _Places:
    """Which jobs deploy to which environment: their own list does not tell, that of deployments does."""

    asked: Asked
    path: str
    since: datetime | None = None
    newest: datetime | None = None
    names: dict[int, str] = field(default_factory=dict)

    def of(self, jobs: Sequence[Job], notes: Notes) -> Mapping[int, str]:
        """The environments of jobs by their ids, of these and of some others."""
        begun = min((j.created_at for j in jobs if j.created_at), default=None)
        if begun is None:
            return self.names
        if self.since is None or self.newest is None or begun < self.since:
            self.since = start = begun
        else:
            start = self.newest - self.asked.config.overlap
        for items in self.asked.ascending(self.path, {}, start, OwnDeployment, notes):
            self.names |= {d.deployable.id: d.environment.name for d in items if d.deployable and d.environment}
            self.newest = max([d.updated_at for d in items], default=self.newest)
        return self.names


def _refused(name: str, error: SourceError) -> Stream:
    """Stands for a project or a group that is not told: the others go on."""

    def read(state: State, notes: Notes) -> Iterator[Part]:
        del state, notes
        raise error

    return Stream(name, read)


def _goes_on(answer: Answer) -> bool:
    return 'rel="next"' in answer.headers.get("link", "")


def _quoted(name: str) -> str:
    return quote(name, safe="")
