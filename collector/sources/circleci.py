"""Runs and deployments from CircleCI: the cloud, and CircleCI Server.

Pipelines come newest first and cannot be asked for by time. A pass goes down to what is known; each page is a place to
go on from. What had not ended is read again by its id, and once a day the last days are read whole: a workflow that is
run again is a new one of an old pipeline, whose own times do not move.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote, urlsplit

import msgspec
from pydantic import Field

from collector import paging
from collector.api import CiConfig, Url
from collector.deploying import DeploymentRule
from collector.durations import Duration
from collector.errors import BadRecord, ContractError, Mistake, SourceError
from collector.events import Event, PipelineRun, RunState
from collector.http import Answer, ApiClient
from collector.patterns import Pattern
from collector.secrets import reveal
from collector.source import About, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.circleci.shapes import (
    Job,
    Named,
    Pipeline,
    Project,
    Shapes,
    Version,
    Workflow,
    carried_over,
    time_of,
    web_slug,
)
from collector.times import as_rfc3339, parsed
from collector.webhooks import Delivery, Received, id_of, is_signed

_NOT_FOUND, _BAD_REQUEST = 404, 400
_MOST_PROJECTS = 250
_PAGE = 100
_EPOCH = datetime.fromtimestamp(0, UTC)
_ONCE_A_DAY = timedelta(days=1)
_GIVEN_UP = timedelta(days=90)
"""How long a pipeline may wait for somebody before it is looked at no more: most of those that do wait for ever."""
_ANEW = "!"
"""Before a place in a pass that began anew, because its server refused its own next page."""
_BEING_MADE = frozenset({"pending", "setup-pending", "setup"})
"""States of a pipeline whose workflows are still to come."""


_ABOUT = About(
    system="CircleCI (cloud and Server)",
    gives=("pipeline_run", "deployment"),
    tested="official schema",
    scopes=(("personal API token", "it reads what its user may see; project tokens are not accepted by API v2"),),
    costs=(
        ("pipelines", "1 050: 50 pages of 20, and the workflows of each"),
        ("workflows that a rule with `job` may take", "1 000: the jobs of each"),
        ("deployments by deploy markers", "1 000: the pipeline behind each, and two lists for each component"),
    ),
    limits=(
        "Pages hold 20 pipelines, whatever is asked for, and there is no filter by time: a run stops at what it knows.",
        "An organisation's list covers the 250 projects that were built last, of those that the token's user follows.",
        "A workflow that is run again is looked for once a day, in pipelines of the last `reruns`.",
        (
            "The list of pipelines sometimes refuses its own page token: this is reported, and the next run begins "
            "again. Where it refuses it twice, what is older is left out."
        ),
        "A pipeline that has not ended 90 days after it was made is not looked at again.",
        "Deploy markers tell when a version was last deployed, not each attempt nor how it ended.",
    ),
    example="""\
sources:
  - type: circleci
    name: circleci
    token: ${CIRCLECI_TOKEN:-}
    projects: [gh/example/shop]
    deployments:
      - {pipeline: release, job: deploy-production, ref: main}
""",
    more="""\
## What is read

Repositories are called `owner/name`, as their host calls them.

- **Runs** are workflows. A run of a workflow again is a run of its own. `failing` is still under way, `on_hold` waits,
  `canceled`, `not_run` and `unauthorized` are neither success nor failure.
- **Deployments by rules**: with `job`, jobs that were carried over from an earlier workflow and approvals are left out.
  When a workflow's jobs are read, it starts when its first job does; else its start is not known.
- **Deploy markers** are read where there are no rules, or with `own_deployments: true`. The service is the component,
  unless a rule for the environment names another.
- **Webhooks**: add one to each project, for `https://paceline.example.com/webhooks/circleci`, with `webhook_secret` as
  its secret, and the events *Workflow Completed* and *Job Completed*.
""",
)


class CircleCiConfig(CiConfig):
    """Settings of projects or organisations on CircleCI."""

    about: ClassVar[About] = _ABOUT

    type: Literal["circleci"]
    url: Url = Field(default="https://circleci.com/api/v2", description="Address of the API; `/api/v2` of a server.")
    projects: list[Annotated[str, Field(pattern=r"^[^/]+/[^/]+/[^/]+$")]] = Field(
        default_factory=list, description="Projects by their slugs: `gh/owner/name`, or `circleci/…/…` of its settings."
    )
    organisations: list[Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]] = Field(
        default_factory=list, description="Organisations, such as `gh/owner`, whose followed projects are read."
    )
    reruns: Duration = Field(
        default=timedelta(days=7), description="How far back workflows that are run again are looked for, once a day."
    )
    own_deployments: bool | None = Field(
        default=None, description="Whether deploy markers are read; unless given, where there are no rules beside them."
    )

    def build(self, context: SourceContext) -> CircleCiSource:
        """The source."""
        client = self.client(context, headers={"Circle-Token": reveal(self.token)})
        return CircleCiSource(config=self, context=context, client=client, shapes=self._shapes(context))

    def receiver(self, context: SourceContext) -> CircleCiHooks | None:
        """What takes its webhooks; None without a secret."""
        secret = reveal(self.webhook_secret)
        return CircleCiHooks(secret, self._shapes(context)) if secret else None

    def _shapes(self, context: SourceContext) -> Shapes:
        return Shapes(self.name, _app_of(self.url), context.people, self.deploying(context))

    @property
    def reads_own_deployments(self) -> bool:
        """Whether deploy markers are read."""
        return not self.deployments if self.own_deployments is None else self.own_deployments

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """As every API's; and that there is something to read."""
        found = list(super().check(context))
        if not self.projects and not self.organisations:
            expected = "`projects`, `organisations` or both"
            found.append(Mistake(file="", line=0, path="projects", problem="nothing is named", expected=expected))
        return found


def _app_of(url: str) -> str:
    """Where people look at what an API tells."""
    parts = urlsplit(url)
    return "https://app.circleci.com" if parts.hostname == "circleci.com" else f"{parts.scheme}://{parts.netloc}"


# ---- how it is asked


@dataclass(frozen=True, kw_only=True)
class CircleCiSource:
    """See CircleCiConfig."""

    config: CircleCiConfig
    context: SourceContext = field(repr=False)
    client: ApiClient
    shapes: Shapes = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Workflows with what they deployed, then what deploy markers tell, of each project and organisation."""
        notes = Notes()
        yield from pull(None if self.context.since else cursor, _Reading(self).streams(), notes)


@dataclass(frozen=True)
class _Reading:
    """One run. `names`: of repositories that pipelines do not name, by the slug of their project."""

    source: CircleCiSource
    names: dict[str, str] = field(default_factory=dict)

    def streams(self) -> Iterator[Stream]:
        """The lists, in the order in which they are read."""
        config = self.source.config
        for slug in config.projects:
            yield Stream(f"pipelines of {slug}", _List(self, f"project/{quote(slug, safe='')}/pipeline", {}).read)
        for slug in config.organisations:
            yield Stream(f"pipelines of {slug}", _List(self, "pipeline", {"org-slug": slug}).read)
        if config.reads_own_deployments:
            for slug in (*config.projects, *config.organisations):
                yield Stream(f"deployments of {slug}", _Markers(self, slug).read)

    def ask(self, path: str, parameters: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET."""
        return self.source.client.get(path, parameters)

    def start(self, state: State) -> datetime:
        """From when on a pass reads."""
        config = self.source.config
        return config.horizon(self.source.context) if state.since is None else state.since - config.overlap

    def repository_of(self, pipeline: Pipeline) -> str:
        """The name of a pipeline's repository; that of its project where the pipeline does not tell."""
        named = self.source.shapes.repository_of(pipeline)
        slug = pipeline.project_slug
        if not named and slug not in self.names:
            project = self.ask(f"project/{quote(slug, safe='')}").read(Project)
            self.names[slug] = f"{project.organization_name or project.organization_id}/{project.name}"
        return named or self.names[slug]

    def pipeline(self, one: str) -> Answer | None:
        """A pipeline by its id; None where it is gone."""
        try:
            return self.ask(f"pipeline/{quote(one, safe='')}")
        except SourceError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    def all_pages(self, path: str, parameters: Mapping[str, str] | None = None) -> list[Answer]:
        """Every page of a list."""
        pages = paging.continued(self.source.client, path, parameters or {}, _following, parameter="page-token")
        return [answer for answer, _ in pages]

    def events(self, pipelines: Sequence[Pipeline], notes: Notes) -> tuple[list[Event], set[str]]:
        """Workflows of pipelines, with what they deployed; and the ids of those pipelines that have not ended."""
        parallel = self.source.config.parallel
        runs: list[PipelineRun] = []
        open_ones = {p.id for p in pipelines if p.state in _BEING_MADE}
        asked = paging.side_by_side(self._workflows, pipelines, parallel)
        for pipeline, answers in zip(pipelines, asked, strict=True):
            if answers is None:
                notes.cut(f"pipeline {pipeline.id}: its workflows are gone")
                open_ones.discard(pipeline.id)
                continue
            of_pipeline = self._runs(pipeline, _items(answers, Workflow, notes), notes)
            runs += of_pipeline
            if any(run.state is not RunState.COMPLETED for run in of_pipeline):
                open_ones.add(pipeline.id)
        return list(self._with_deployments(runs, notes)), open_ones

    def _runs(self, pipeline: Pipeline, workflows: Sequence[Workflow], notes: Notes) -> list[PipelineRun]:
        if not workflows:
            return []
        repository = self.repository_of(pipeline)
        return [self.source.shapes.run(pipeline, workflow, repository, notes) for workflow in workflows]

    def _workflows(self, pipeline: Pipeline) -> list[Answer] | None:
        """None where the pipeline is gone."""
        try:
            return self.all_pages(f"pipeline/{quote(pipeline.id, safe='')}/workflow")
        except SourceError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    def _with_deployments(self, runs: Sequence[PipelineRun], notes: Notes) -> Iterator[Event]:
        shapes, rules = self.source.shapes, self.source.config.deployments
        asked = [run for run in runs if any(_may_take_jobs(rule, run) for rule in rules)]
        answers = paging.side_by_side(self._jobs, asked, self.source.config.parallel)
        jobs = {run.id: _items(found, Job, notes) for run, found in zip(asked, answers, strict=True)}
        for run in runs:
            own = jobs.get(run.id, ())
            began = [at for job in own if (at := time_of(job.started_at)) and not carried_over(job, run)]
            whole = msgspec.structs.replace(run, started_at=min(began, default=None))
            yield whole
            deployment = shapes.deploying.of(whole)
            yield from () if deployment is None else (deployment,)
            yield from shapes.parts_deployed(run, own, notes)

    def _jobs(self, run: PipelineRun) -> list[Answer]:
        return self.all_pages(f"workflow/{quote(run.native_id.partition('/')[2], safe='')}/job")


@dataclass(frozen=True)
class _List:
    """A list of pipelines, newest first."""

    reading: _Reading
    path: str
    parameters: Mapping[str, str]

    def read(self, state: State, notes: Notes) -> Iterator[Part]:
        """What had not ended, then page by page down to what is known; once a day further down."""
        config, now = self.reading.source.config, self.reading.source.context.clock()
        is_sweep = state.swept_at is None or now - state.swept_at >= _ONCE_A_DAY
        floor = self.reading.start(state)
        given_up = (state.since or _EPOCH) - _GIVEN_UP
        state = msgspec.structs.replace(state, open=tuple(m for m in state.open if _made_at(m) >= given_up))
        if is_sweep and state.since is not None:
            floor = min(floor, state.since - config.reruns)
        # While a pass is under way it comes first: what had not ended may be so much that nothing else would be read.
        for part in () if state.after is not None else self._unfinished(state, notes, whole=is_sweep):
            state = part.state
            yield part
        anew, projects = _ANEW if (state.after or "").startswith(_ANEW) else "", set[str]()
        for found, token in self._pages(state, notes):
            if found is None:
                yield Part((), self._refused(state, now, notes, anew=bool(anew), own=bool(projects)))
                return
            projects |= {pipeline.project_slug for pipeline in found}
            wanted = [p for p in found if (at := time_of(p.created_at)) is None or at >= floor]
            state, events = self._after(state, wanted, notes)
            following = token if wanted or not found else None
            state = msgspec.structs.replace(state, after=following and f"{anew}{following}")
            if following is None:
                state = msgspec.structs.replace(state.ended(), swept_at=now if is_sweep else state.swept_at)
            yield Part(events, state)
            if following is None:
                break
        if self.parameters and len(projects) >= _MOST_PROJECTS:
            notes.cut(f"{self.path}: the list ends at {_MOST_PROJECTS} projects; name others under `projects`")

    def _pages(self, state: State, notes: Notes) -> Iterator[tuple[list[Pipeline] | None, str | None]]:
        """Pages with the token of the next one; None for one whose token the server does not know any more."""
        token, seen = (state.after or "").removeprefix(_ANEW) or None, set[str]()
        while True:
            try:
                answer = self.reading.ask(self.path, {**self.parameters, **({"page-token": token} if token else {})})
            except SourceError as error:
                if token is None or error.status not in {_BAD_REQUEST, _NOT_FOUND}:
                    raise
                notes.cut(f"{error}; it does not know its own next page")
                yield None, None
                return
            following = _following(answer)
            if following in seen:
                raise ContractError(f"{answer.asked}: its pages never end: one comes again as the next")
            yield _items([answer], Pipeline, notes), following
            if following is None:
                return
            seen.add(following)
            token = following

    def _refused(self, state: State, now: datetime, notes: Notes, *, anew: bool, own: bool) -> State:
        """The state where a server refuses its own next page: the next run begins again, but not for ever.

        Where it refuses what it handed out right before (`own`), and did so in the pass before, the list ends there.
        """
        if own and anew:
            notes.cut(f"{self.path}: what is older is not handed out, so it is left out")
            return msgspec.structs.replace(state.ended(), swept_at=now)
        notes.warn(f"{self.path}: the next run begins again")
        return msgspec.structs.replace(state, after=_ANEW if own else None)

    def _unfinished(self, state: State, notes: Notes, *, whole: bool) -> Iterator[Part]:
        """Pipelines that had not ended, by their ids; old ones, that wait for somebody, once a day."""
        config = self.reading.source.config
        newest = state.since or _EPOCH
        due = [mark for mark in state.open if whole or _made_at(mark) >= newest - config.reruns]
        for start in range(0, len(due), _PAGE):
            marks = due[start : start + _PAGE]
            ids = [mark.partition(" ")[2] for mark in marks]
            answers = paging.side_by_side(self.reading.pipeline, ids, config.parallel)
            found = [answer.read(Pipeline) for answer in answers if answer is not None]
            left = msgspec.structs.replace(state, open=tuple(m for m in state.open if m not in marks))
            events, open_ones = self.reading.events(found, notes)
            state = _marked(left, (p for p in found if p.id in open_ones))
            yield Part(events, state)

    def _after(self, state: State, pipelines: Sequence[Pipeline], notes: Notes) -> tuple[State, list[Event]]:
        events, open_ones = self.reading.events(pipelines, notes)
        for pipeline in pipelines:
            state = state.begun(time_of(pipeline.created_at))
        return _marked(state, (p for p in pipelines if p.id in open_ones)), events


def _made_at(mark: str) -> datetime:
    return parsed(mark.partition(" ")[0]) or _EPOCH


def _marked(state: State, pipelines: Iterable[Pipeline]) -> State:
    """The state with pipelines that have not ended, each with when it was made."""
    marks = {f"{as_rfc3339(time_of(p.created_at) or _EPOCH)} {p.id}" for p in pipelines}
    return msgspec.structs.replace(state, open=tuple(sorted({*state.open, *marks})))


@dataclass(frozen=True)
class _Markers:
    """What deploy markers tell of a project's or an organisation's components."""

    reading: _Reading
    slug: str

    def read(self, state: State, notes: Notes) -> Iterator[Part]:
        """Versions that were deployed since."""
        start, parallel = self.reading.start(state), self.reading.source.config.parallel
        asked = {**self._place(notes), "page-size": str(_PAGE)}
        organisation = {name: value for name, value in asked.items() if name != "project-id"}
        environments = self._listed("deploy/environments", organisation, Named, notes)
        names = {environment.id: environment.name for environment in environments}
        components = self._listed("deploy/components", asked, Named, notes)
        found: list[tuple[Named, Version]] = []
        for component, answer in zip(
            components, paging.side_by_side(self._versions, components, parallel), strict=True
        ):
            if _following(answer) is not None:
                notes.cut(f"component {component.id}: only the first page of its versions is handed out")
            found += [(component, version) for version in _items([answer], Version, notes)]
        fresh = [(c, v) for c, v in found if (at := time_of(v.last_deployed_at)) is None or at >= start]
        for _, version in fresh:
            state = state.begun(time_of(version.last_deployed_at))
        yield Part(self._events(fresh, names, notes), state.ended())

    def _place(self, notes: Notes) -> dict[str, str]:
        """The ids of the organisation, and of the project where it is one."""
        if self.slug in self.reading.source.config.projects:
            project = self.reading.ask(f"project/{quote(self.slug, safe='')}").read(Project)
            return {"org-id": project.organization_id or "", "project-id": project.id}
        found, rejected = self.reading.ask("me/collaborations").items(Named)
        notes.reject(rejected)
        known = next((o.id for o in found if o.slug and web_slug(o.slug) == web_slug(self.slug)), None)
        if known is None:
            raise SourceError(f"me/collaborations: the token's user is in no organisation {self.slug!r}")
        return {"org-id": known}

    def _listed(self, path: str, parameters: Mapping[str, str], kind: type[Named], notes: Notes) -> list[Named]:
        return _items(self.reading.all_pages(path, parameters), kind, notes)

    def _versions(self, component: Named) -> Answer:
        return self.reading.ask(f"deploy/components/{quote(component.id, safe='')}/versions")

    def _events(
        self, found: Sequence[tuple[Named, Version]], environments: Mapping[str, str], notes: Notes
    ) -> list[Event]:
        pipelines = self._pipelines(sorted({v.pipeline_id for _, v in found if v.pipeline_id}))
        events: list[Event] = []
        for component, version in found:
            pipeline = pipelines.get(version.pipeline_id or "")
            workflow = Workflow(id=version.workflow_id or "", status="success")
            run = None if pipeline is None else self._run(pipeline, workflow, notes)
            environment = environments.get(version.environment_id or "") or "unnamed"
            event = self.reading.source.shapes.deployed(component, environment, version, pipeline, run)
            if event is None:
                where = f"component {component.id} version {version.name[:80]!r}"
                notes.reject([BadRecord(where, "it does not say when it was deployed")])
                continue
            events.append(event)
        return events

    def _run(self, pipeline: Pipeline, workflow: Workflow, notes: Notes) -> PipelineRun:
        return self.reading.source.shapes.run(pipeline, workflow, self.reading.repository_of(pipeline), notes)

    def _pipelines(self, ids: Sequence[str]) -> dict[str, Pipeline]:
        """Pipelines by their ids, without those that are gone."""
        answers = paging.side_by_side(self.reading.pipeline, ids, self.reading.source.config.parallel)
        return {one: a.read(Pipeline) for one, a in zip(ids, answers, strict=True) if a is not None}


class _Listed(msgspec.Struct):
    next_page_token: str | None = None


def _following(answer: Answer) -> str | None:
    return answer.read(_Listed).next_page_token or None


def _items(answers: Iterable[Answer], kind: type[paging.T], notes: Notes) -> list[paging.T]:
    """The items of pages; those that are not as documented are set aside."""
    items: list[paging.T] = []
    for answer in answers:
        found, rejected = answer.items(kind, "items")
        notes.reject(rejected)
        items += found
    return items


def _may_take_jobs(rule: DeploymentRule, run: PipelineRun) -> bool:
    """Whether a rule for jobs may take one of a workflow: only then its jobs are asked for."""
    named = ((rule.pipeline, run.pipeline), (rule.repository, run.repository), (rule.ref, run.ref or ""))
    return bool(rule.job) and all(not texts or any(Pattern(t).matches(name) for t in texts) for texts, name in named)


# ---- webhooks


class _Delivered(msgspec.Struct):
    type: str
    id: str = ""
    project: Named | None = None
    organization: Named | None = None
    pipeline: Pipeline | None = None
    workflow: Workflow | None = None
    job: Job | None = None


@dataclass(frozen=True)
class CircleCiHooks:
    """Takes webhooks, whose bodies are signed."""

    secret: str
    shapes: Shapes

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the newest signature that is known here is right."""
        signatures = delivery.headers.get("circleci-signature", "").split(",")
        signed = next((one.strip() for one in signatures if one.strip().startswith("v1=")), "")
        return is_signed(self.secret, delivery.body, signed, prefix="v1=")

    def read(self, delivery: Delivery) -> Received:
        """A workflow that ended, or what a job that ended deployed."""
        try:
            found = msgspec.json.decode(delivery.body, type=_Delivered)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ContractError(f"a delivery is no webhook as documented: {error}") from None
        delivered, notes = found.id[:200] or id_of(delivery), Notes()
        if found.type not in {"workflow-completed", "job-completed"}:
            return Received(id=delivered, ignored=f"events of the kind {found.type[:80]!r} are not read")
        if found.workflow is None or found.pipeline is None or (found.type == "job-completed" and found.job is None):
            why = "it does not name its pipeline, workflow or job; the next run reads it"
            return Received(id=delivered, rejected=[BadRecord(f"{found.type} {delivered}", why)])
        run = self._run(found, found.pipeline, found.workflow, notes)
        if found.type == "job-completed":
            events: list[Event] = list(self.shapes.parts_deployed(run, [found.job] if found.job else [], notes))
            return Received(id=delivered, events=events, ignored="" if events else "no rule takes this job")
        deployment = self.shapes.deploying.of(run)
        return Received(id=delivered, events=[run] if deployment is None else [run, deployment])

    def _run(self, found: _Delivered, pipeline: Pipeline, workflow: Workflow, notes: Notes) -> PipelineRun:
        project, organisation = found.project or Named(id=""), found.organization or Named(id="")
        pipeline.project_slug = project.slug or ""
        repository = self.shapes.repository_of(pipeline) or f"{organisation.name}/{project.name}"
        return self.shapes.run(pipeline, workflow, repository, notes)
