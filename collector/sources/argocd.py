"""Deployments from Argo CD: each sync in the history of an application, and the last one where it failed.

One request lists all applications with the times of their last operations; only those that moved since the last read
are asked for whole, because the list hands out no history. Argo CD keeps the last syncs of each (ten, by default) and
the last operation: syncs that it dropped before they were read are reported as cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote

import msgspec
from pydantic import AfterValidator, Field

from collector.api import CiConfig
from collector.deploying import DeploymentRule, Deployments
from collector.errors import BadRecord, ContractError, SourceError
from collector.events import Event
from collector.findings import Findings
from collector.http import ApiClient
from collector.name_rules import NameRules
from collector.paging import side_by_side
from collector.patterns import Pattern
from collector.secrets import reveal
from collector.source import About, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.argocd.shapes import Application, Entry, Reading, Span, history
from collector.webhooks import Delivery, Received, bearer, id_of, is_same

_LIST = "api/v1/applications"
_FIELDS = (
    *("metadata.name", "metadata.namespace", "status.health"),
    *("status.operationState.startedAt", "status.operationState.finishedAt", "status.operationState.phase"),
)
_OF_INCIDENTS = ("metadata.labels", "spec")
_MISSING = frozenset({403, 404})
_SHOWN = 5
_UNDER_WAY = frozenset({"Running", "Terminating", ""})


def _place(value: str) -> str:
    if not re.fullmatch(r"namespace|cluster|project|label:\S+", value):
        raise ValueError("this says no place; expected namespace, cluster, project, or label:name")
    return value


class ArgoCdConfig(CiConfig):
    """Settings of an Argo CD server."""

    about: ClassVar[About] = About(
        system="Argo CD",
        gives=("deployment", "incident"),
        tested="official schema",
        scopes=(
            ("applications, get", "to read applications; for a local account with the capability `apiKey`, or a role"),
        ),
        costs=(
            ("all applications with their last operations", "1 request a run"),
            ("applications that synced since the last run; all of them in the first", "1 000"),
        ),
        limits=(
            "A history holds the last syncs (`revisionHistoryLimit`, 10 unless set): a gap is reported as cut off.",
            "Of failed syncs only the last operation is known; webhooks bring those between two reads.",
            "The list of applications has no pages.",
        ),
        example="""
sources:
  - type: argocd
    name: argocd
    url: https://argocd.example.com
    token: ${ARGOCD_TOKEN:-}
    environment_from: label:env
    deployments:
      - {pipeline: "/(?P<service>.+)-(?:dev|prod)/", service: "{service}"}
""",
        more="""
## What is read

| Argo CD | Paceline |
|---|---|
| a sync in `status.history` | a successful deployment at `deployedAt` |
| `status.operationState`, Failed or Error | a failed deployment at `finishedAt` |
| a terminated operation | no deployment; a failed one where Argo CD's time limit ended it |
| an automated sync of what was deployed already | nothing: it repaired what had drifted |
| a manual sync of what was deployed already | a deployment |
| a return to what the history holds further back | a rollback |
| a dry run, or a sync of chosen resources | nothing |
| `repoURL` of the source in Git, as `group/name` | `repository` |
| a whole commit id; the version of a chart | `sha`; `version`, and `artifact` with the chart's name |
| `initiatedBy` | who deployed, hashed; automated syncs are a bot's |

Of several sources the first one in Git with a path says repository and commit, the first chart says the version. In
many places this repository holds manifests alone: changes of the service itself then ship where its pipeline writes
there.

## Deployments

Unless there are rules, each application is a service of its own name, and goes to `environment_from`: the namespace of
its destination, its cluster, its project, or one of its labels; where that is empty, to the next of these. With rules
only what one of them fits is a deployment: `pipeline` is the application's name, `environment` what was just said, and
a rule without `service` means the application's name.

## Incidents

With `incidents_from_health` an application that becomes Degraded is an incident, until it is Healthy again. Argo CD
tells the time of it from version 3.0 on; times between two reads in which it was degraded are not seen.

## Webhooks

Argo CD Notifications sends what this template says, which is the application as the API hands it out:

```yaml
service.webhook.paceline: |
  url: https://paceline.example.com/webhooks/<name>
  headers: [{name: Authorization, value: Bearer $paceline-secret}]
template.paceline: |
  webhook:
    paceline:
      method: POST
      body: '{"metadata": {{toJson .app.metadata}}, "spec": {{toJson .app.spec}}, "status": {
        "history": {{toJson .app.status.history}}, "operationState": {{toJson .app.status.operationState}}}}'
trigger.paceline: |
  - when: app.status?.operationState.phase in ['Succeeded', 'Failed', 'Error']
    oncePer: app.status?.operationState.startedAt
    send: [paceline]
```

Subscribe applications, or all of them, to the trigger `paceline` and the service `paceline`.
""",
    )

    type: Literal["argocd"]
    projects: list[str] = Field(
        default_factory=list, description="Projects whose applications are read; all unless given."
    )
    applications: NameRules = Field(
        default_factory=list, description="Names of applications that are read; all unless given."
    )
    exclude: NameRules = Field(default_factory=list, description="Of these, no application that a rule fits.")
    environment_from: Annotated[str, AfterValidator(_place)] = Field(
        default="namespace", description="What names the environment: namespace, cluster, project, or label:name."
    )
    incidents_from_health: bool = Field(
        default=False, description="Whether an application that is degraded is an incident."
    )

    def build(self, context: SourceContext) -> ArgoCdSource:
        """The source; nothing is asked before the first pull."""
        token = reveal(self.token)
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return ArgoCdSource(self, context, self.client(context, headers=headers))

    def receiver(self, context: SourceContext) -> ArgoCdReceiver | None:
        """What takes the notifications of syncs; None without a `webhook_secret`."""
        secret = reveal(self.webhook_secret)
        return ArgoCdReceiver(secret, self, self.reading(context)) if secret else None

    def deploying(self, context: SourceContext) -> Deployments:
        """The rules at work: without any, each application is a service. Its name stands for one that is not said."""
        rules = self.deployments or [DeploymentRule(pipeline=["*"])]
        named = [rule if rule.service else rule.model_copy(update={"service": "{pipeline}"}) for rule in rules]
        return Deployments(self.name, named, context.findings if self.deployments else Findings())

    def reading(self, context: SourceContext) -> Reading:
        """How applications become events here."""
        return Reading(
            source=self.name,
            url=self.url,
            people=context.people,
            deploying=self.deploying(context),
            environment_from=self.environment_from,
        )

    def wants(self, app: Application) -> bool:
        """Whether an application is read, by its name."""
        name = app.metadata.name
        included = not self.applications or any(Pattern(rule).matches(name) for rule in self.applications)
        return included and not any(Pattern(rule).matches(name) for rule in self.exclude)


class _Listing(msgspec.Struct):
    items: list[msgspec.Raw] | None


@dataclass(frozen=True)
class ArgoCdSource:
    """See ArgoCdConfig. One stream for each project that is named, or one for all."""

    config: ArgoCdConfig
    context: SourceContext = field(repr=False)
    client: ApiClient

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """What was deployed since the cursor."""
        streams = [
            Stream(f"project {project}" if project else "applications", partial(self._read, project))
            for project in self.config.projects or [""]
        ]
        return pull(None if self.context.since else cursor, streams, Notes())

    def _read(self, project: str, state: State, notes: Notes) -> Iterator[Part]:
        """The parts of a stream: incidents, then application by application what was deployed."""
        apps = self._listed(project, notes)
        if state.after is None:
            # What is synced while this pass reads is older than nothing that the next pass starts from.
            state = state.begun(max((app.moved_at for app in apps if app.moved_at), default=None))
        if self.config.incidents_from_health:
            events, state = self._incidents(apps, state, notes)
            yield Part(events, state)
        since = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
        # One without an operation may have a history all the same: it was restored from elsewhere.
        late = [app for app in apps if (state.since is None if app.moved_at is None else app.moved_at >= since)]
        late = [app for app in late if app.key > (state.after or "")]
        reading, dropped = self.config.reading(self.context), list[str]()
        for app, found in zip(late, side_by_side(self._whole, late, self.config.parallel), strict=True):
            events = []
            if isinstance(found, SourceError):
                notes.cut(str(found))
            else:
                entries = history(found, notes)
                events = list(reading.deployments(found, entries, Span(since, state.since), notes))
                if _misses(entries, state.since or since):
                    dropped.append(app.metadata.name)
            state = msgspec.structs.replace(state, after=app.key)
            yield Part(events, state)
        if dropped:
            shown = ", ".join(dropped[:_SHOWN]) + (", …" if len(dropped) > _SHOWN else "")
            notes.cut(f"the history of {len(dropped)} applications dropped syncs before they were read: {shown}")
        yield Part((), state.ended())

    def _listed(self, project: str, notes: Notes) -> list[Application]:
        """The applications that are wanted, by namespace and name, with their last operations."""
        fields = (*_FIELDS, *(_OF_INCIDENTS if self.config.incidents_from_health else ()))
        asked = {"fields": ",".join(f"items.{name}" for name in fields)}
        answer = self.client.get(_LIST, {**asked, **({"projects": project} if project else {})})
        apps: list[Application] = []
        if answer.read(_Listing).items:
            apps, rejected = answer.items(Application, "items")
            notes.reject(rejected)
        if not apps:
            notes.warn(f"no application is visible{f' in the project {project}' if project else ''}")
        return sorted(filter(self.config.wants, apps), key=lambda app: app.key)

    def _whole(self, app: Application) -> Application | SourceError:
        """An application with its history; the error where it is gone, or not to be read."""
        namespace = app.metadata.namespace
        path = f"{_LIST}/{quote(app.metadata.name, safe='')}"
        try:
            return self.client.get(path, {"appNamespace": namespace} if namespace else {}).read(Application)
        except SourceError as error:
            if error.status not in _MISSING:
                raise
            return error

    def _incidents(self, apps: Sequence[Application], state: State, notes: Notes) -> tuple[list[Event], State]:
        """What became degraded or healthy since the last read; which incidents last is kept in the state."""
        known = {native_id.removeprefix("health/").rpartition("/")[0]: native_id for native_id in state.open}
        keys = {app.key for app in apps}
        for gone in [key for key in known if key not in keys]:
            notes.warn("applications that were degraded are gone: nobody knows whether they recovered")
            del known[gone]
        # Whose an incident is says the same rule; it took nothing by that.
        reading = self.config.reading(replace(self.context, findings=Findings()))
        events: list[Event] = list(reading.incidents(apps, known, notes))
        return events, msgspec.structs.replace(state, open=tuple(sorted(known.values())))


def _misses(entries: Sequence[Entry], read: datetime) -> bool:
    """Whether a history began to be dropped later than it was read."""
    return bool(entries) and entries[0].id > 0 and entries[0].deployed_at > read


@dataclass(frozen=True)
class ArgoCdReceiver:
    """Takes applications that Argo CD Notifications sends when an operation of theirs is over."""

    secret: str = field(repr=False)
    config: ArgoCdConfig
    reading: Reading

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the secret came as a bearer token."""
        return is_same(self.secret, bearer(delivery))

    def read(self, delivery: Delivery) -> Received:
        """What the last operation deployed. Raises ContractError for what is no application."""
        try:
            app = msgspec.json.decode(delivery.body, type=Application)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise ContractError("a notification is no application; is its template the documented one?") from None
        delivered, operation = id_of(delivery), app.status.operation
        if not self.config.wants(app) or (self.config.projects and app.spec.project not in self.config.projects):
            return Received(id=delivered, ignored="an application that is not read")
        if operation is None or operation.phase in _UNDER_WAY:
            return Received(id=delivered, ignored="an operation that is under way")
        if operation.finished_at is None:
            return Received(id=delivered, rejected=[BadRecord(app.key, "its operation has no end")])
        notes = Notes()
        events = list(self.reading.last(app, notes))
        rejected, _, _ = notes.taken()
        ignored = "" if events or rejected else "an operation that deployed nothing, or that no rule takes"
        return Received(id=delivered, events=events, rejected=rejected, ignored=ignored)
