"""Tasks of Backstage's scaffolder become self-service attempts, however they came here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from collector.errors import BadRecord
from collector.events import AttemptEnd, Result, SelfServiceAttempt
from collector.expressions import Expression, NoResultError, as_text
from collector.patterns import Pattern
from collector.people import People
from collector.streams import Notes
from collector.systems.backstage.references import reference
from collector.times import parsed

RUNNING = ("open", "processing")
_ENDS: Mapping[str, tuple[Result, AttemptEnd]] = {
    "completed": (Result.SUCCESS, AttemptEnd.COMPLETED),
    "failed": (Result.FAILURE, AttemptEnd.COMPLETED),
    "cancelled": (Result.CANCELLATION, AttemptEnd.CANCELLED),
    "skipped": (Result.CANCELLATION, AttemptEnd.CANCELLED),
}
_OF_THE_END = frozenset({"completion", "cancelled"})


class Task(msgspec.Struct, rename="camel"):
    """A run of a template."""

    id: str
    status: str
    created_at: str
    spec: dict[str, Any] = {}
    last_heartbeat_at: str | None = None
    created_by: str | None = None


class TaskEvent(msgspec.Struct, rename="camel"):
    """What happened in a task: a line of a step's log, or its end."""

    type: str
    created_at: str
    body: Any = None


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Makes attempts of tasks.

    `fields`: expressions for `target`, `service` and `environment`, which look at what the task was started with.
    `harmless`: actions that leave nothing behind.
    """

    source: str
    app_url: str
    people: People
    journeys: Mapping[str, str]
    requester: Literal["name", "email"]
    fields: Mapping[str, str]
    harmless: Sequence[str]

    def attempt(self, task: Task, events: Sequence[TaskEvent], notes: Notes) -> SelfServiceAttempt:
        """The attempt that a task is. Raises BadRecord where it cannot be one."""
        location = f"scaffolder task {task.id}"
        started_at = parsed(task.created_at)
        template = template_of(task)
        if started_at is None or not template:
            lacks = "template" if started_at else "time"
            raise BadRecord(location, f"it has no {lacks}; expected one in every task")
        beat_at = parsed(task.last_heartbeat_at or "")
        result, ended = self._end(task, notes)
        finished_at = None if ended is None else _ended_at(events) or beat_at or started_at
        requester = self._requester(task)
        return SelfServiceAttempt(
            source=self.source,
            native_id=f"task/{task.id}",
            updated_at=finished_at or beat_at or started_at,
            url=f"{self.app_url}/create/tasks/{task.id}",
            journey=self._journey(template),
            started_at=started_at,
            requester=self.people.hashed(requester) if requester else None,
            finished_at=finished_at,
            result=result,
            ended=ended,
            side_effects=ended is not AttemptEnd.CANCELLED or self._left_something(task, events),
            bot=self.people.is_bot(requester) if requester else False,
            **self._fields(task, location),
        )

    def _end(self, task: Task, notes: Notes) -> tuple[Result | None, AttemptEnd | None]:
        if task.status in RUNNING:
            return None, None
        if task.status not in _ENDS:
            notes.unknown("status", task.status, "not ended")
        return _ENDS.get(task.status, (None, None))

    def _journey(self, template: str) -> str:
        return next((name for rule, name in self.journeys.items() if Pattern(rule).matches(template)), template)

    def _requester(self, task: Task) -> str:
        """Who started it: a person's name in the catalogue, or their address; empty where no person did."""
        user = _mapping(task.spec.get("user"))
        who = reference(str(user.get("ref") or task.created_by or ""), kind="")
        profile = _mapping(_mapping(_mapping(user.get("entity")).get("spec")).get("profile"))
        mail = profile.get("email") if self.requester == "email" else None
        return str(mail) if mail else who.name if who.kind == "user" else ""

    def _fields(self, task: Task, location: str) -> dict[str, Any]:
        try:
            return {
                name: as_text(Expression(text).of(task.spec), f"`{name}`") for name, text in self.fields.items() if text
            }
        except NoResultError as error:
            raise BadRecord(location, str(error)) from None

    def _left_something(self, task: Task, events: Sequence[TaskEvent]) -> bool:
        """Whether a step ended that is not harmless: what it made stands there though the task was cancelled."""
        actions = {str(s.get("id")): str(s.get("action")) for s in map(_mapping, _listed(task.spec.get("steps")))}
        done = {
            str(body.get("stepId")) for body in (_mapping(e.body) for e in events) if body.get("status") == "completed"
        }
        return any(not _fits(self.harmless, actions.get(step, step)) for step in done - {"None"})


def template_of(task: Task) -> str:
    """The name of a task's template, with its namespace unless that is the usual one; empty where it has none."""
    ref = _mapping(task.spec.get("templateInfo")).get("entityRef")
    return reference(ref, kind="template").short if isinstance(ref, str) else ""


def _fits(rules: Collection[str], name: str) -> bool:
    return any(Pattern(rule).matches(name) for rule in rules)


def _ended_at(events: Sequence[TaskEvent]) -> datetime | None:
    """When a task ended last: one that was retried ended before."""
    times = [parsed(event.created_at) for event in events if event.type in _OF_THE_END]
    return max(filter(None, times), default=None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
