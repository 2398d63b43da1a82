"""CDEvents 0.4 and 0.5, as CloudEvents over HTTP: one in a request, in a batch, or with its context in headers.

Each CDEvent tells that something happened to a subject: a run was queued, started, finished. What was told of one
subject becomes one event, whatever the order in which it is told. What begins before it was told of begins when it was
first told of; how long it took is then not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field, SecretStr

from collector.deploying import DeploymentRule, Deployments
from collector.errors import BadRecord, ContractError
from collector.events import (
    Change,
    ChangeState,
    Deployment,
    Event,
    Incident,
    IncidentState,
    PipelineRun,
    Result,
    Review,
    ReviewState,
    RunKind,
    RunState,
    Ticket,
    TicketState,
    Transition,
)
from collector.findings import Findings
from collector.people import People
from collector.pushed import Join, PushedConfig
from collector.secrets import reveal
from collector.source import About, SourceContext
from collector.systems.cdevents.parts import ENDED, NOWHERE, UNNAMED, joined, settled, with_deployments
from collector.systems.cdevents.shapes import (
    CdEvent,
    CloudEvent,
    Content,
    Extra,
    Reference,
    artifact_of,
    decoded,
    extra_of,
    last_part,
    path_of,
    sha_of,
)
from collector.times import parsed
from collector.webhooks import Delivery, Received, Receiver, id_of, is_shown_or_signed

_BATCH, _STRUCTURED = "application/cloudevents-batch+json", "application/cloudevents+json"
_PREFIX = "dev.cdevents."
_LONGEST_NUMBER = 12


class CdEventsConfig(PushedConfig):
    """Settings of a sink of CDEvents."""

    about: ClassVar[About | None] = About(
        system="CDEvents 0.4 and 0.5",
        gives=("change", "review", "pipeline_run", "deployment", "incident", "ticket"),
        tested="recorded shape",
        scopes=(("`webhook_secret`", "shown as bearer token, or used to sign each body"),),
        costs=(("an event", "no request of Paceline's own"),),
        limits=(
            "An event tells of one moment. Where the beginning was never told, durations are not known.",
            "There is no event for a deployment that failed; `deployments` makes some of finished runs.",
        ),
        example="""\
sources:
  - type: cdevents
    name: delivery
    webhook_secret: ${CDEVENTS_SECRET:-}
""",
        more="[Webhooks](../webhooks.md) says which event becomes what, and shows requests with curl.\n",
    )

    type: Literal["cdevents"]
    repository: str = Field(
        default="",
        description="The repository of runs and changes that name none; the path of their `source` unless given.",
    )
    deployments: list[DeploymentRule] = Field(
        default_factory=list, description="Which finished runs deploy what, and where; see docs/deployments.md."
    )

    def join(self) -> Join | None:
        """Several events tell of one subject; what a run deployed is said by all that is known of it."""
        rules = Deployments(self.name, self.deployments, Findings())
        return Join(partial(joined, repository=self.repository.strip("/")), partial(with_deployments, rules))

    def receiver(self, context: SourceContext) -> Receiver | None:
        """What takes the events; None without a secret."""
        if not reveal(self.webhook_secret):
            return None
        rules = Deployments(self.name, self.deployments, context.findings)
        reader = _Reader(self.name, context.people, self.repository.strip("/"), rules)
        return CdEventsReceiver(secret=self.webhook_secret, reader=reader)


# ---- the door


@dataclass(frozen=True, kw_only=True)
class CdEventsReceiver:
    """Takes CDEvents from whoever shows the secret or signs with it."""

    secret: SecretStr
    reader: _Reader

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the secret is shown as bearer token, or the body signed with it."""
        return is_shown_or_signed(reveal(self.secret), delivery)

    def read(self, delivery: Delivery) -> Received:
        """The events. Raises ContractError for what is no CloudEvent, and where no event can be used."""
        kind = delivery.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == _BATCH:
            return self._batch(id_of(delivery), _list_of(delivery.body))
        if kind == _STRUCTURED:
            cloud = decoded(delivery.body, CloudEvent)
            return self._one(f"{cloud.source} {cloud.id}", cloud.type, cloud.data)
        headers = delivery.headers
        if "ce-id" not in headers:
            raise ContractError(f"no CloudEvent; expected {_STRUCTURED}, {_BATCH}, or the headers ce-id and ce-type")
        delivery_id = f"{headers.get('ce-source', '')} {headers['ce-id']}"
        return self._one(delivery_id, headers.get("ce-type", ""), msgspec.Raw(delivery.body))

    def _one(self, delivery_id: str, kind: str, data: msgspec.Raw) -> Received:
        found = self.reader.read(kind, data)
        if isinstance(found, str):
            return Received(id=delivery_id, ignored=found)
        events, doubts = found
        rejected = [BadRecord(f"event {delivery_id}", doubt) for doubt in doubts]
        return Received(id=delivery_id, events=events, rejected=rejected)

    def _batch(self, delivery_id: str, items: list[msgspec.Raw]) -> Received:
        """Several events: those that cannot be used are set aside, and the good ones kept."""
        events: list[Event] = []
        rejected: list[BadRecord] = []
        ignored: dict[str, None] = {}
        for number, item in enumerate(items, start=1):
            try:
                cloud = decoded(item, CloudEvent)
                one = self._one(f"{cloud.source} {cloud.id}", cloud.type, cloud.data)
            except ContractError as error:
                rejected.append(BadRecord(f"delivery {delivery_id}, event {number}", str(error)))
                continue
            events += one.events
            rejected += one.rejected
            ignored |= {one.ignored: None} if one.ignored else {}
        if rejected and not events:
            raise ContractError(f"none of {len(items)} events can be used; the first: {rejected[0].reason}")
        said = "; ".join(ignored) or ("" if events else "a batch without events")
        return Received(id=delivery_id, events=events, rejected=rejected, ignored=said)


def _list_of(body: bytes) -> list[msgspec.Raw]:
    return decoded(body, list[msgspec.Raw])


# ---- what it means


@dataclass(frozen=True)
class _Told:
    """A CDEvent with what every kind needs."""

    event: CdEvent
    at: datetime
    predicate: str
    extra: Extra

    @property
    def content(self) -> Content:
        return self.event.subject.content

    @property
    def key(self) -> str:
        """The subject's id, with the source in whose scope it is unique."""
        return self.of(Reference(self.event.subject.id, self.event.subject.source))

    @property
    def happened(self) -> str:
        """The id of what happened, with the source in whose scope it is unique."""
        return self.of(Reference(self.event.context.id, self.event.context.source))

    @property
    def url(self) -> str | None:
        found = self.content.uri or self.content.url or ""
        return found if found.startswith(("http://", "https://")) else None

    def of(self, reference: Reference) -> str:
        """A reference as a native id: its source is that of the event unless it says another."""
        return f"{reference.source or self.event.context.source} {reference.id}"


_Made = tuple[list[Event], list[str]]


@dataclass(frozen=True)
class _Reader:
    """Turns CDEvents of one source into events."""

    source: str
    people: People
    repository: str
    rules: Deployments

    def read(self, kind: str, data: msgspec.Raw) -> _Made | str:
        """The events with doubts about them, or why it is ignored. Raises ContractError."""
        if not kind.startswith(_PREFIX):
            return f"no CDEvent but `{_shown(kind)}`"
        subject, _, rest = kind.removeprefix(_PREFIX).partition(".")
        predicate = rest.partition(".")[0]
        make = _READS.get(subject, {}).get(predicate)
        if make is None:
            return _IGNORED.get(f"{subject} {predicate}", f"`{_shown(f'{subject}.{predicate}')}` is not read")
        event = decoded(data, CdEvent)
        if event.context.type != kind:
            raise ContractError("`context.type` is not the type of the CloudEvent; expected them to be the same")
        if not (event.context.specversion or event.context.version):
            raise ContractError("`context.specversion` is missing; expected 0.5, or `context.version` in 0.4")
        at = parsed(event.context.timestamp)
        if at is None or not (event.context.id and event.context.source and event.subject.id):
            raise ContractError("`context.timestamp`, an id or `context.source` is empty or no time with an offset")
        return make(self, _Told(event, at, predicate, extra_of(event.custom_data)))

    # Each of these is the meaning of the predicates of a subject.

    def run(self, told: _Told) -> _Made:
        """A run of a pipeline, or of a task in it."""
        content, is_task = told.content, told.event.context.type.startswith(f"{_PREFIX}taskrun.")
        result, doubts = _result(told)
        times: dict[str, Any] = {_RUN_TIMES[told.predicate]: told.at}
        name = content.task_name if is_task else content.pipeline_name
        run = PipelineRun(
            **self._common(told, "task" if is_task else "run"),
            repository=self._repository(told),
            pipeline=name or UNNAMED,
            run_kind=RunKind.TASK if is_task else RunKind.PIPELINE,
            task=name if is_task else None,
            parent_native_id=f"run/{told.of(content.pipeline_run)}" if is_task and content.pipeline_run else None,
            state=_RUN_STATES[told.predicate],
            result=result,
            sha=told.extra.sha,
            ref=told.extra.ref,
            **times,
        )
        deployment = self.rules.of(run, version=told.extra.version)
        return [run, *([deployment] if deployment else [])], doubts

    def deployment(self, told: _Told) -> _Made:
        """A service that runs what it did not run before."""
        content = told.content
        if content.environment is None or not content.environment.id:
            raise ContractError("`subject.content.environment` is missing; expected its id")
        artifact = artifact_of(content.artifact_id or "")
        made = Deployment(
            **{**self._common(told, ""), "native_id": told.happened},
            service=told.extra.service or last_part(told.event.subject.id),
            environment=content.environment.id,
            finished_at=told.at,
            result=Result.SUCCESS,
            artifact=content.artifact_id,
            version=told.extra.version or artifact.get("version"),
            repository=told.extra.repository or artifact.get("repository"),
            sha=told.extra.sha or artifact.get("sha"),
            ref=told.extra.ref,
            rolled_back=told.predicate == "rolledback",
        )
        return [made], []

    def change(self, told: _Told) -> _Made:
        """A request to change a repository."""
        ended: dict[str, dict[str, Any]] = {
            "merged": {"merged_at": told.at, "closed_at": told.at},
            "abandoned": {"closed_at": told.at},
        }
        subject_id = told.event.subject.id
        is_number = subject_id.isdecimal() and len(subject_id) <= _LONGEST_NUMBER
        made = Change(
            **self._common(told, ""),
            repository=self._repository(told),
            state=_CHANGE_STATES[told.predicate],
            created_at=told.at,
            number=int(subject_id) if is_number else None,
            merge_sha=(told.extra.sha or sha_of(subject_id)) if told.predicate == "merged" else None,
            **ended.get(told.predicate, {}),
        )
        return [made], []

    def review(self, told: _Told) -> _Made:
        """A review; CDEvents says neither by whom nor what it came to."""
        made = Review(
            **{**self._common(told, ""), "native_id": told.happened},
            repository=self._repository(told),
            change_native_id=told.key,
            at=told.at,
            state=ReviewState.COMMENTED,
        )
        return [made], []

    def incident(self, told: _Told) -> _Made:
        """A failure that was noticed, reported or is over."""
        content = told.content
        state = ENDED if told.predicate == "resolved" else told.predicate
        made = Incident(
            **self._common(told, ""),
            service=told.extra.service or (last_part(content.service.id) or None if content.service else None),
            environment=(content.environment.id or None) if content.environment else None,
            state=IncidentState.DETECTED,
            started_at=told.at,
            title=content.description if told.predicate != "resolved" else None,
            artifact=content.artifact_id,
            links=(content.ticket_uri,) if content.ticket_uri else (),
            transitions=(Transition(at=told.at, state=state),),
        )
        return [settled(made)], []

    def ticket(self, told: _Told) -> _Made:
        """A request for support."""
        content = told.content
        author = None if not content.creator else self._person(content.creator)
        made = Ticket(
            **self._common(told, ""),
            queue=content.group or self._repository(told),
            state=TicketState.OPEN,
            created_at=told.at,
            type=content.ticket_type,
            title=content.summary,
            priority=content.priority,
            author=author,
            labels=tuple(content.labels or ()),
            transitions=tuple(Transition(at=told.at, state=s) for s in _TICKET_TRANSITIONS[told.predicate]),
        )
        return [settled(made)], []

    def _common(self, told: _Told, prefix: str) -> dict[str, Any]:
        native_id = f"{prefix}/{told.key}" if prefix else told.key
        return {"source": self.source, "native_id": native_id, "updated_at": told.at, "url": told.url}

    def _person(self, name: str) -> str:
        """Somebody as a ticket names them: an account or an address, or else a name of several words."""
        return self.people.named(name) if " " in name.strip() else self.people.hashed(name)

    def _repository(self, told: _Told) -> str:
        named = told.content.repository
        if told.extra.repository or (named and named.id):
            return told.extra.repository or (named.id if named else "")
        return self.repository or path_of(told.event.subject.source or told.event.context.source) or NOWHERE


_RUN_TIMES = {"queued": "created_at", "started": "started_at", "finished": "finished_at"}
_RUN_STATES = {"queued": RunState.PENDING, "started": RunState.EXECUTING, "finished": RunState.COMPLETED}
_CHANGE_STATES = {
    "created": ChangeState.OPEN,
    "updated": ChangeState.OPEN,
    "merged": ChangeState.MERGED,
    "abandoned": ChangeState.CLOSED,
}
_TICKET_TRANSITIONS: Mapping[str, tuple[str, ...]] = {"created": ("open",), "updated": (), "closed": (ENDED,)}
_OUTCOMES = {
    "success": Result.SUCCESS,
    "failure": Result.FAILURE,
    "error": Result.ERROR,
    "cancel": Result.CANCELLATION,
}

_Make = Callable[[_Reader, _Told], _Made]
_READS: Mapping[str, Mapping[str, _Make]] = {
    "pipelinerun": dict.fromkeys(("queued", "started", "finished"), _Reader.run),
    "taskrun": dict.fromkeys(("queued", "started", "finished"), _Reader.run),
    "service": dict.fromkeys(("deployed", "upgraded", "rolledback"), _Reader.deployment),
    "change": {
        **dict.fromkeys(("created", "updated", "merged", "abandoned"), _Reader.change),
        "reviewed": _Reader.review,
    },
    "incident": dict.fromkeys(("detected", "reported", "resolved"), _Reader.incident),
    "ticket": dict.fromkeys(("created", "updated", "closed"), _Reader.ticket),
}
_IGNORED = {
    "service removed": "`service.removed` releases nothing",
    "service published": "`service.published` says where a service is, and releases nothing",
}


def _result(told: _Told) -> tuple[Result | None, list[str]]:
    """How a finished run ended, and what is to be said of it."""
    if told.predicate != "finished":
        return None, []
    outcome = told.content.outcome
    result = _OUTCOMES.get(outcome or "")
    if result is None:
        said = "missing" if not outcome else f"`{_shown(outcome)}`, which is not known"
        return None, [f"`outcome` is {said}; the run is kept without a result; expected one of {', '.join(_OUTCOMES)}"]
    return result, []


def _shown(text: str) -> str:
    """A word of the sender's as it may be repeated: short and plain."""
    return text if re.fullmatch(r"[\w.-]{1,60}", text, re.ASCII) else "…"
