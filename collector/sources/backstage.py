"""Backstage: the runs of its software templates as self-service attempts, and its catalogue as services.

A stream reads the scaffolder's tasks. The catalogue is no event: `paceline catalogue` writes it as a file of services.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from collector.api import ApiConfig, Url
from collector.errors import BadRecord, ContractError
from collector.events import SelfServiceAttempt
from collector.expressions import ExpressionText
from collector.http import ApiClient
from collector.name_rules import NameRule, NameRules
from collector.paging import side_by_side
from collector.patterns import Pattern
from collector.secrets import reveal
from collector.source import About, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.backstage.catalogue import Entity, entities, services_of
from collector.systems.backstage.tasks import RUNNING, Shapes, Task, TaskEvent, template_of
from collector.times import parsed

_PAGE = 100
_MOST_PAGES = 100_000
_GONE = frozenset({404, 410})
_ABOUT = About(
    system="Backstage",
    gives=("self_service_attempt",),
    tested="official schema",
    scopes=(
        ("an external access token of type `static`", "`backend.auth.externalAccess`, with the plugin `scaffolder`"),
        ("`scaffolder.task.read`", "for all tasks, where permissions are on"),
        ("`catalog.entity.read`, the plugin `catalog`", "for `paceline catalogue`"),
    ),
    costs=(
        ("tasks", "10 requests for 1 000, and 1 more for each that has ended: when it did"),
        ("a run in which nothing happened", "2 requests, and what the overlap holds"),
        ("components of the catalogue", "5 requests for 1 000"),
    ),
    limits=(
        "Dry runs are not kept by Backstage, so they are never seen.",
        "A task that is retried after days keeps its id: it is met again while it runs, else its first end stays.",
        "A Backstage that hands out all tasks at once is read so.",
    ),
    example="""\
sources:
  - type: backstage
    name: portal
    url: https://backstage.example.com
    token: ${BACKSTAGE_TOKEN}
    journeys: {new-*-service: new-service, postgres-database: provision-db}
""",
    more="""\
**What becomes what.** A task of the scaffolder is an attempt at a journey, which is its template: by its name, or as
`journeys` calls it. It began when it was created and ended with the event of its end, or else at its last sign of life.
`target`, `service` and `environment` are [expressions](../http-json.md#expressions) that look at the task's `spec`,
where `parameters` holds what the form was filled in with.

| Status | Result | Ended |
|---|---|---|
| `open`, `processing` | none yet: read again until it has ended | |
| `completed` | `success` | `completed` |
| `failed` | `failure` | `completed` |
| `cancelled` | `cancellation` | `cancelled`; with a side effect once a step was done that no rule of `harmless` fits |

**Who.** The requester is the user of the task, by the name in the catalogue or, with `requester: email`, by the address
of the profile, hashed. A task that another program started has none. Logs are not kept.

**The catalogue.** `paceline catalogue portal` prints the components as [services](../catalogue.md) for a file that
`catalogue:` names, and says beside it what differs from what is configured. `components` and `lifecycles` choose.

| Component | Service |
|---|---|
| `metadata.name` | `name`, with the namespace in front where two have one name |
| `spec.owner`, a group, below its `parent`s | `team`, such as `/commerce/checkout`; its profile's address is `owner` |
| `github.com/project-slug`, `gitlab.com/project-slug`, else `backstage.io/source-location` | `repositories` |
| the folder of `backstage.io/source-location` | `paths` |
| `argocd/app-name`, `backstage.io/kubernetes-id`, where no other component says the same | `deployed_as` |
| `spec.subcomponentOf` | its names, repositories and folders go to the component that it is part of |

Users are never read: a component whose owner is a user has no team.
""",
)


class BackstageConfig(ApiConfig):
    """Settings of a Backstage."""

    type: Literal["backstage"]
    about: ClassVar[About] = _ABOUT

    app_url: Url | Literal[""] = Field(
        default="", description="Where people open it, if not at `url`; links to tasks lead there."
    )
    templates: NameRules = Field(default_factory=list, description="Templates whose tasks are read; all unless given.")
    journeys: dict[NameRule, str] = Field(
        default_factory=dict, description="The journey of templates, by a rule for their names; else the name itself."
    )
    requester: Literal["name", "email"] = Field(
        default="name", description="By what a requester is known: the name in the catalogue, or the e-mail address."
    )
    target: ExpressionText = Field(
        default="parameters.name || parameters.component_id || parameters.repoUrl",
        description="Where in a task's `spec` stands for what it was started.",
    )
    service: ExpressionText | Literal[""] = Field(
        default="", description="Where the service stands that it was started for; nowhere unless given."
    )
    environment: ExpressionText | Literal[""] = Field(
        default="", description="Where the environment stands; nowhere unless given."
    )
    harmless: NameRules = Field(
        default=["fetch:*", "debug:*", "fs:*", "catalog:fetch"],
        description="Actions that leave nothing behind: a task cancelled after no other one had no side effect.",
    )
    components: NameRules = Field(
        default_factory=list, description="Types of components that are services, such as `service`; all unless given."
    )
    lifecycles: NameRules = Field(
        default_factory=list, description="Lifecycles of components that are services; all unless given."
    )

    def build(self, context: SourceContext) -> BackstageSource:
        """The source."""
        shapes = Shapes(
            source=self.name,
            app_url=self.app_url or self.url,
            people=context.people,
            journeys=self.journeys,
            requester=self.requester,
            fields={"target": self.target, "service": self.service, "environment": self.environment},
            harmless=self.harmless,
        )
        return BackstageSource(self._client(context, "scaffolder"), self, context, shapes)

    def services(self, context: SourceContext) -> Sequence[Mapping[str, Any]]:
        """The services of its catalogue, as a settings file holds them. Raises SourceError."""
        client = self._client(context, "catalog")
        components = [c for c in entities(client, "component") if self._is_service(c)]
        return services_of(components, entities(client, "group"))

    def _is_service(self, component: Entity) -> bool:
        spec = component.spec
        kinds = ((self.components, spec.get("type")), (self.lifecycles, spec.get("lifecycle")))
        return all(not rules or _fits(rules, str(value)) for rules, value in kinds)

    def _client(self, context: SourceContext, plugin: str) -> ApiClient:
        token = reveal(self.token)
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return self.client(context, url=f"{self.url}/api/{plugin}", headers=headers)


def _fits(rules: Sequence[str], name: str) -> bool:
    return any(Pattern(rule).matches(name) for rule in rules)


@dataclass(frozen=True)
class BackstageSource:
    """See BackstageConfig. One stream: the scaffolder's tasks, the newest first."""

    client: ApiClient
    config: BackstageConfig
    context: SourceContext = field(repr=False)
    shapes: Shapes = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Tasks since the cursor's, and those that had not ended."""
        return pull(None if self.context.since else cursor, [Stream("tasks", self._tasks)], Notes())

    def _tasks(self, state: State, notes: Notes) -> Iterator[Part]:
        told: set[str] = set()
        state = yield from self._running(state, notes, told)
        floor = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
        before: list[Task] = []
        for _ in range(_MOST_PAGES):
            tasks, count = self._page(int(state.after or 0), {"order": "desc:created_at"}, notes)
            if tasks and before and tasks[0].id == before[0].id:
                tasks, count = [], 0  # a Backstage that knows no pages hands out the same list again
            times = [parsed(task.created_at) for task in tasks]
            for at in times:
                state = state.begun(at)
            late = [t for t, at in zip(tasks, times, strict=True) if at is None or at >= floor]
            fresh = [t for t in late if t.id not in told]
            state = self._kept_open(state, fresh)
            falls = all(a >= b for a, b in pairwise(filter(None, times)))  # else what is new may come yet
            read_whole = not count or count > _PAGE or (bool(tasks) and not late and falls)
            following = int(state.after or 0) + count
            state = state.ended() if read_whole else msgspec.structs.replace(state, after=str(following))
            yield Part(self._attempts(fresh, notes), state)
            if read_whole:
                return
            before = tasks
        raise ContractError("GET v2/tasks: its pages never end")

    def _page(self, offset: int, asked: Mapping[str, str | list[str]], notes: Notes) -> tuple[list[Task], int]:
        """The tasks of a page, and how many items it held."""
        answer = self.client.get("v2/tasks", {**asked, "limit": str(_PAGE), "offset": str(offset)})
        found, rejected = answer.items(Task, "tasks")
        notes.reject(rejected)
        return found, len(found) + len(rejected)

    def _running(self, state: State, notes: Notes, told: set[str]) -> Generator[Part, None, State]:
        """What runs now, among it what was retried, and what ran when it was last looked at; returns the state."""
        now = self._now_running()
        left = [known for known in state.open if known not in now]
        ended = [t for t in side_by_side(self._task, left, self.config.parallel) if t is not None]
        state = self._kept_open(msgspec.structs.replace(state, open=()), [*now.values(), *ended])
        told |= {t.id for t in (*now.values(), *ended)}
        yield Part(self._attempts([*now.values(), *ended], notes), state)
        return state

    def _now_running(self) -> dict[str, Task]:
        found: dict[str, Task] = {}
        offset = 0
        for _ in range(_MOST_PAGES):
            # What cannot be used is told where all tasks are read.
            tasks, count = self._page(offset, {"status": list(RUNNING)}, Notes())
            known = len(found)
            found |= {t.id: t for t in tasks if t.status in RUNNING}
            offset += count
            # A Backstage that passes over the filter hands out what has ended too, and one that knows no pages the
            # same again: then this was enough.
            if count < _PAGE or len(found) == known or any(t.status not in RUNNING for t in tasks):
                return found
        raise ContractError("GET v2/tasks: its pages never end")

    def _task(self, known: str) -> Task | None:
        """A task by its id; None where it is gone."""
        answer = self.client.get(f"v2/tasks/{known}", understood=_GONE)
        return None if answer.status in _GONE else answer.read(Task)

    def _kept_open(self, state: State, tasks: Sequence[Task]) -> State:
        """The state with the tasks that have not ended, of templates that are read."""
        running = {t.id for t in tasks if t.status in RUNNING and self._wants(t)}
        ended = {t.id for t in tasks} - running
        return msgspec.structs.replace(state, open=tuple(sorted({*state.open, *running} - ended)))

    def _wants(self, task: Task) -> bool:
        return not self.config.templates or _fits(self.config.templates, template_of(task))

    def _attempts(self, tasks: Sequence[Task], notes: Notes) -> list[SelfServiceAttempt]:
        wanted = [t for t in tasks if self._wants(t)]
        found = []
        for task, events in zip(wanted, side_by_side(self._events, wanted, self.config.parallel), strict=True):
            try:
                found.append(self.shapes.attempt(task, events, notes))
            except BadRecord as error:
                notes.reject([error])
        return found

    def _events(self, task: Task) -> list[TaskEvent]:
        """What happened in a task that has ended. Of one that runs the server would wait for something to happen."""
        if task.status in RUNNING:
            return []
        answer = self.client.get(f"v2/tasks/{task.id}/events", understood=_GONE)
        if answer.status in _GONE:
            return []
        found: list[TaskEvent] = answer.read(list[TaskEvent])
        return found
