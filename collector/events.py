"""The event types: what a source reports happened. The contract of the project; imports nothing of ours.

Every source, file import and webhook speaks these types, and docs/events.schema.json publishes them. They are
frozen, their times are aware and in UTC, their id follows from (kind, source, native id), and a person appears
only as a keyed hash. Values and attribute names follow the OpenTelemetry CI/CD and VCS conventions and
CDEvents, the concept's home named at each type.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Annotated, Any

import msgspec

Timestamp = Annotated[datetime, msgspec.Meta(tz=True, description="A time with an offset; kept in UTC.")]
PersonKey = Annotated[str, msgspec.Meta(description="A keyed hash (person:…). Imports hash what they are given.")]
Sha = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}([0-9a-f]{24})?$", description="A full Git object id.")]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Result(StrEnum):
    """How a run, task or deployment ended. OpenTelemetry `cicd.pipeline.result`."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLATION = "cancellation"
    SKIP = "skip"


class RunState(StrEnum):
    """Where a run stands. OpenTelemetry `cicd.pipeline.run.state`, and `completed` once it has a result."""

    PENDING = "pending"
    EXECUTING = "executing"
    FINALIZING = "finalizing"
    COMPLETED = "completed"


class RunKind(StrEnum):
    """A pipeline run, or one job (OpenTelemetry: task run) inside it."""

    PIPELINE = "pipeline"
    TASK = "task"


class ChangeState(StrEnum):
    """State of a change. OpenTelemetry `vcs.change.state`."""

    OPEN = "open"
    WIP = "wip"
    CLOSED = "closed"
    MERGED = "merged"


class ReviewState(StrEnum):
    """What a review said."""

    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    COMMENTED = "commented"
    DISMISSED = "dismissed"


class IncidentState(StrEnum):
    """State of an incident. CDEvents `incident.detected`, `.resolved`; acknowledged is still open."""

    DETECTED = "detected"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class TicketState(StrEnum):
    """State of a ticket, after the tracker's own names were mapped."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    RESOLVED = "resolved"
    CLOSED = "closed"


class MemberKind(StrEnum):
    """Why somebody is on the roster."""

    HIRE = "hire"
    REHIRE = "rehire"
    TRANSFER = "transfer"
    CONTRACTOR = "contractor"
    INTERN = "intern"


class MilestoneKind(StrEnum):
    """Steps of an onboarding, M0 to M5."""

    ROSTER_START = "roster_start"
    ACCESS_GRANTED = "access_granted"
    FIRST_GREEN_RUN = "first_green_run"
    FIRST_MERGED_CHANGE = "first_merged_change"
    FIRST_DEPLOYED_CHANGE = "first_deployed_change"
    TENTH_MERGED_CHANGE = "tenth_merged_change"


class AttemptEnd(StrEnum):
    """How a self-service attempt ended beyond its result: why it is nobody's failure, or that it is one."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class SurveyScale(StrEnum):
    """The scale of a survey question: recommendation 0 to 10, satisfaction 1 to 5."""

    NPS = "nps"
    CSAT = "csat"


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public reply on a ticket."""

    at: Timestamp
    author: PersonKey | None = None
    bot: bool = False

    def __post_init__(self) -> None:
        """Keep times in UTC."""
        _in_utc(self)


class Transition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a ticket's or an incident's state."""

    at: Timestamp
    state: str

    def __post_init__(self) -> None:
        """Keep times in UTC."""
        _in_utc(self)


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A human step inside a self-service attempt: an approval, a manual step, an admin's re-run."""

    requested_at: Timestamp
    decided_at: Timestamp | None = None
    actor: PersonKey | None = None
    actor_team: str | None = None
    approved: bool | None = None

    def __post_init__(self) -> None:
        """Keep times in UTC."""
        _in_utc(self)


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag=str.lower,
):
    """What all events carry.

    `source` is the configured name of the source and `native_id` the source's own id; together with the kind
    they are the event's identity. `updated_at` is the source's clock when this version was written: of two
    versions of one event the later wins, whatever the order in which they arrive.
    """

    source: str
    native_id: NonEmpty
    updated_at: Timestamp | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        """Keep times in UTC; a naive time is refused, because guessing its zone would falsify durations."""
        _in_utc(self)

    @property
    def kind(self) -> str:
        """The event's kind as it is written in files: `commit`, `change`, `pipeline_run` and so on."""
        return kind_of(type(self))

    @property
    def id(self) -> str:
        """32 hex digits from (kind, source, native id): the same event is the same id everywhere."""
        return event_id(kind_of(type(self)), self.source, self.native_id)


class Commit(Event, frozen=True, kw_only=True, tag="commit"):
    """A Git commit. OpenTelemetry `vcs.ref.head.revision`.

    `on_default_branch`: it stands on the first-parent line of the default branch, so it is what a merge or a
    direct push put there. `reverts`: ids that its message says it reverts. `paths`: what it touches, None
    where unknown.
    """

    repository: NonEmpty
    sha: Sha
    authored_at: Timestamp
    committed_at: Timestamp
    tree_sha: Sha | None = None
    parents: tuple[Sha, ...] = ()
    author: PersonKey | None = None
    co_authors: tuple[PersonKey, ...] = ()
    bot: bool = False
    on_default_branch: bool = False
    reverts: tuple[str, ...] = ()
    paths: tuple[str, ...] | None = None


class Change(Event, frozen=True, kw_only=True, tag="change"):
    """A pull or merge request. CDEvents `change`, OpenTelemetry `vcs.change`.

    `merge_sha` is, in order: the merge, the squash, the rebased head commit. `first_commit_at` is the author
    time of its first commit where the provider knows it, else the commit graph tells.
    """

    repository: NonEmpty
    state: ChangeState
    created_at: Timestamp
    number: Integer | None = None
    title: str | None = None
    target_branch: str | None = None
    source_branch: str | None = None
    ready_at: Timestamp | None = None
    first_commit_at: Timestamp | None = None
    merged_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    merge_sha: Sha | None = None
    head_sha: Sha | None = None
    commit_shas: tuple[Sha, ...] = ()
    author: PersonKey | None = None
    bot: bool = False
    labels: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    paths: tuple[str, ...] | None = None


class Review(Event, frozen=True, kw_only=True, tag="review"):
    """A review of, or a comment on, a change."""

    repository: NonEmpty
    change_native_id: NonEmpty
    at: Timestamp
    state: ReviewState
    author: PersonKey | None = None
    bot: bool = False


class PipelineRun(Event, frozen=True, kw_only=True, tag="pipeline_run"):
    """A run of a pipeline or of one of its jobs. OpenTelemetry `cicd.pipeline.run`, `cicd.pipeline.task.run`."""

    repository: NonEmpty
    pipeline: NonEmpty
    state: RunState
    run_kind: RunKind = RunKind.PIPELINE
    task: str | None = None
    parent_native_id: str | None = None
    attempt: Integer = 1
    result: Result | None = None
    created_at: Timestamp | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    sha: Sha | None = None
    ref: str | None = None
    environment: str | None = None
    actor: PersonKey | None = None
    bot: bool = False
    allow_failure: bool = False


class Deployment(Event, frozen=True, kw_only=True, tag="deployment"):
    """One release of one service to one environment that reached a terminal state.

    OpenTelemetry `deployment`, CDEvents `service.deployed`, `.upgraded`, `.rolledback`. `finished_at` is when
    it reached that state: the success status, not a later update. `previous_sha` and `change_shas` are the
    provider's own comparison, where it makes one.
    """

    service: NonEmpty
    environment: NonEmpty
    finished_at: Timestamp
    result: Result
    repository: str | None = None
    sha: Sha | None = None
    started_at: Timestamp | None = None
    version: str | None = None
    artifact: str | None = None
    ref: str | None = None
    pipeline_run_native_id: str | None = None
    previous_sha: Sha | None = None
    change_shas: tuple[Sha, ...] = ()
    rolled_back: bool = False
    actor: PersonKey | None = None
    actor_team: str | None = None
    bot: bool = False
    labels: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


class Incident(Event, frozen=True, kw_only=True, tag="incident"):
    """A failure that users or monitoring noticed. CDEvents `incident`.

    `restored_at` is the last resolution: acknowledged is not resolved, and reopening clears it. The deployment,
    commits or artifact it names come before any guess by time.
    """

    service: str | None = None
    environment: str | None = None
    state: IncidentState
    started_at: Timestamp
    severity: str | None = None
    title: str | None = None
    detected_at: Timestamp | None = None
    acknowledged_at: Timestamp | None = None
    restored_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    deployment_native_id: str | None = None
    shas: tuple[Sha, ...] = ()
    artifact: str | None = None
    labels: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    transitions: tuple[Transition, ...] = ()


class Ticket(Event, frozen=True, kw_only=True, tag="ticket"):
    """A request for support. CDEvents `ticket`. A pull request is no ticket."""

    queue: NonEmpty
    state: TicketState
    created_at: Timestamp
    type: str | None = None
    title: str | None = None
    service: str | None = None
    journey: str | None = None
    priority: str | None = None
    author: PersonKey | None = None
    author_team: str | None = None
    resolved_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    replies: tuple[Reply, ...] = ()
    transitions: tuple[Transition, ...] = ()
    labels: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


class SelfServiceAttempt(Event, frozen=True, kw_only=True, tag="self_service_attempt"):
    """One run of a self-service action by somebody for a target. Several attempts may make one request."""

    journey: NonEmpty
    started_at: Timestamp
    requester: PersonKey | None = None
    requester_team: str | None = None
    target: str | None = None
    service: str | None = None
    environment: str | None = None
    finished_at: Timestamp | None = None
    result: Result | None = None
    ended: AttemptEnd | None = None
    side_effects: bool = True
    dry_run: bool = False
    load_test: bool = False
    bot: bool = False
    approvals: tuple[Approval, ...] = ()
    waiting_for_requester_seconds: Seconds = 0.0
    links: tuple[str, ...] = ()


class Member(Event, frozen=True, kw_only=True, tag="member"):
    """A stay on the roster: one person, one start. `entered_at` is when the roster learnt of it."""

    person: PersonKey
    member_kind: MemberKind
    started_at: Timestamp
    entered_at: Timestamp | None = None
    left_at: Timestamp | None = None
    team: str | None = None
    site: str | None = None
    codes: bool = True
    bot: bool = False


class Milestone(Event, frozen=True, kw_only=True, tag="milestone"):
    """A step of an onboarding that a source reports directly."""

    person: PersonKey
    milestone: MilestoneKind
    at: Timestamp


class Probe(Event, frozen=True, kw_only=True, tag="probe"):
    """Checks of a target over a span: `passed` of `checks` in `duration_seconds` from `at`."""

    service: NonEmpty
    at: Timestamp
    passed: Integer
    checks: Integer = 1
    duration_seconds: Seconds = 60.0
    environment: str | None = None
    target: str | None = None
    latency_seconds: Seconds | None = None


class DocPage(Event, frozen=True, kw_only=True, tag="doc_page"):
    """A version of a documentation page. `covers`: the code paths it describes."""

    repository: NonEmpty
    path: NonEmpty
    changed_at: Timestamp
    reviewed_at: Timestamp | None = None
    service: str | None = None
    team: str | None = None
    covers: tuple[str, ...] = ()


class SurveyResponse(Event, frozen=True, kw_only=True, tag="survey_response"):
    """An answer to one question of a survey wave. `invited`: how many were asked in this wave."""

    survey: NonEmpty
    wave: NonEmpty
    question: NonEmpty
    scale: SurveyScale
    score: Integer
    at: Timestamp
    respondent: PersonKey | None = None
    team: str | None = None
    invited: Integer | None = None


class UsageEvent(Event, frozen=True, kw_only=True, tag="usage_event"):
    """Somebody, or a service, used a capability of the platform. CloudEvents carry it."""

    capability: NonEmpty
    at: Timestamp
    action: str | None = None
    person: PersonKey | None = None
    team: str | None = None
    service: str | None = None
    bot: bool = False
    count: Integer = 1


class Collection(Event, frozen=True, kw_only=True, tag="collection"):
    """A run of a source of Paceline's: `collector` is the source's name, and `events` is how many it reported.

    Paceline writes one itself after each run. It tells from when on the source counts as stale again:
    `stale_after_seconds` after the end of a run that succeeded.
    """

    collector: NonEmpty
    started_at: Timestamp
    finished_at: Timestamp
    succeeded: bool
    events: Integer = 0
    rejected: Integer = 0
    stale_after_seconds: Seconds = 3600.0


AnyEvent = (
    Commit
    | Change
    | Review
    | PipelineRun
    | Deployment
    | Incident
    | Ticket
    | SelfServiceAttempt
    | Member
    | Milestone
    | Probe
    | DocPage
    | SurveyResponse
    | UsageEvent
    | Collection
)

EVENT_TYPES: tuple[type[Event], ...] = (
    Commit,
    Change,
    Review,
    PipelineRun,
    Deployment,
    Incident,
    Ticket,
    SelfServiceAttempt,
    Member,
    Milestone,
    Probe,
    DocPage,
    SurveyResponse,
    UsageEvent,
    Collection,
)


@cache
def kind_of(event_type: type[Event]) -> str:
    """The kind of an event type as files write it."""
    tag = event_type.__struct_config__.tag
    assert isinstance(tag, str)  # noqa: S101 - each type above states its tag
    return tag


TYPE_OF_KIND: dict[str, type[Event]] = {kind_of(t): t for t in EVENT_TYPES}


def event_id(kind: str, source: str, native_id: str) -> str:
    """32 hex digits, the same for the same event on every machine and run."""
    hashed = _begun(kind, source)
    hashed.update(native_id.encode("utf-8", "surrogateescape"))
    return hashed.hexdigest()


def event_ids(kind: str, events: Iterable[Event]) -> list[str]:
    """The ids of events of a kind, in their order: what those of one source share is hashed once."""
    begun: dict[str, Callable[[], hashlib.blake2b]] = {}
    ids: list[str] = []
    for event in events:
        source = event.source
        if source not in begun:
            begun[source] = _begun(kind, source).copy
        hashed = begun[source]()
        hashed.update(event.native_id.encode("utf-8", "surrogateescape"))
        ids.append(hashed.hexdigest())
    return ids


def _begun(kind: str, source: str) -> hashlib.blake2b:
    return hashlib.blake2b(f"{kind}\x00{source}\x00".encode("utf-8", "surrogateescape"), digest_size=16)


@cache
def time_fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """The names of a type's times: by the project's convention `at`, or ending in `_at`."""
    return tuple(name for name in struct.__struct_fields__ if name == "at" or name.endswith("_at"))


_HAPPENED = {Commit: "committed_at", Change: "created_at", Ticket: "created_at", DocPage: "changed_at"}
"""The time at which an event of a kind happened, where it is not its first required time."""


@cache
def _happened_field(event_type: type[Event]) -> str:
    required = {f.name for f in msgspec.structs.fields(event_type) if f.required}
    fallback = next((n for n in time_fields(event_type) if n in required), "updated_at")
    return _HAPPENED.get(event_type, fallback)


def happened_at(event: Event) -> datetime:
    """When an event happened, in UTC; 1970 for a run without any time."""
    at: datetime | None = getattr(event, _happened_field(type(event)))
    return at or event.updated_at or datetime.fromtimestamp(0, UTC)


@cache
def _times_of(struct: type[msgspec.Struct]) -> Callable[[Any], tuple[datetime | None, ...]]:
    """A function that reads all times of a struct at once; an import of a history calls it for each commit."""
    names = time_fields(struct)
    read: Any = attrgetter(*names)
    return read if len(names) > 1 else lambda one: (read(one),)


def _in_utc(struct: Any) -> None:
    own: type[msgspec.Struct] = type(struct)
    for value in _times_of(own)(struct):
        if value is not None and value.tzinfo is not UTC:
            break
    else:
        return
    for name in time_fields(own):
        value = getattr(struct, name)
        if value is None or value.tzinfo is UTC:
            continue
        if value.tzinfo is None:
            raise ValueError(f"{name} has no time zone ({value.isoformat()}); write an offset, for example Z")
        try:
            in_utc = value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError(f"{name} is outside the years 1 to 9999 in UTC") from error
        msgspec.structs.force_setattr(struct, name, in_utc)


@cache
def person_fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """The names of a type's fields that hold people, alone or in a tuple."""
    return tuple(f.name for f in msgspec.structs.fields(struct) if "person:…" in _descriptions(f.type))


def _descriptions(annotation: Any) -> str:
    """All descriptions inside an annotation: Annotated, optional and tuple forms alike."""
    found = [getattr(meta, "description", None) or "" for meta in getattr(annotation, "__metadata__", ())]
    inner = getattr(annotation, "__args__", ())
    return " ".join(found + [_descriptions(a) for a in inner])


def json_schema() -> dict[str, Any]:
    """The JSON Schema of one event in a file or webhook. Empty input does not match: `kind` is required.

    `source` is not part of a record: the configuration names the source that reads it.
    """
    schema = msgspec.json.schema(AnyEvent)
    for definition in schema["$defs"].values():
        definition["description"] = inspect.cleandoc(definition["description"])
        definition.get("properties", {}).pop("source", None)
        if "required" in definition:
            definition["required"] = [name for name in definition["required"] if name != "source"]
    _demand_offsets(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:paceline:events:1",
        "title": "Paceline event",
        **schema,
    }


def _demand_offsets(schema: Any) -> None:
    """State the offset of times as a pattern too: validators may ignore a `format`."""
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, dict) and part.get("format") == "date-time":
            part["pattern"] = "([Zz]|[+-][0-9]{2}:?[0-9]{2})$"
        elif isinstance(part, (dict, list)):
            _demand_offsets(part)
