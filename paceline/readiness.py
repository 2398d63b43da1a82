"""What `/readyz` says: whether numbers are published, which parts work, and what does not. From memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, Field

from paceline.health import Health, Trouble
from paceline.replicas import Role
from paceline.service import Published
from slo_engine.snapshot import SourceState

_MOST_SOURCES = 20
"""So many are named: of a thousand that fail, the page of the sources has the rest."""


class Part(StrEnum):
    """What can break apart from the rest."""

    NUMBERS = "numbers"
    METRICS = "metrics"
    STORE = "store"
    EVALUATION = "evaluation"
    SOURCES = "sources"
    WEBHOOKS = "webhooks"
    DELIVERIES = "deliveries"
    TELEMETRY = "telemetry"
    DISK = "disk"
    CLOCK = "clock"
    EVALUATOR = "evaluator"
    QUEUE = "queue"


_OF_A_WORKER = (Part.QUEUE, Part.STORE, Part.DISK, Part.CLOCK)
"""What a worker rests on. The rest is told by those that serve."""


class HealthView(BaseModel):
    """Whether the service works, what does not, and what does."""

    status: Literal["ok", "degraded", "starting"] = Field(
        description="starting: no numbers yet, answered with 503. degraded: something is broken, the rest works."
    )
    problems: list[str] = Field(
        default=[], description="What does not work, a sentence each; empty for who may not look."
    )
    parts: dict[Part, Literal["ok", "degraded"]] | None = Field(
        default=None, description="Each part, and whether it works; absent for who may not look."
    )
    evaluator: Literal["this replica", "another replica", "nobody"] | None = Field(
        default=None, description="Of several replicas, which one is the evaluator; absent without replicas."
    )

    def told(self) -> dict[str, Any]:
        """As JSON, without what there is not."""
        return self.model_dump(mode="json", exclude_none=True)


def starting() -> HealthView:
    """What is said before numbers are published."""
    return HealthView(status="starting", problems=["no snapshot is published yet"])


def readiness(published: Published | None, health: Health, role: Role) -> HealthView:
    """What a service says of itself. Details stay in the log."""
    if published is None:
        return starting()
    evaluator = role.evaluator() if role.shared else None
    troubles = list(_troubles(published, health))
    if evaluator == "nobody":
        troubles.insert(0, Trouble(part=Part.EVALUATOR, said="no replica is the evaluator"))
    foreign = {Part.QUEUE} if role.shared else {Part.QUEUE, Part.EVALUATOR}
    own = [part for part in Part if part not in foreign]
    return _view(troubles, own).model_copy(update={"evaluator": evaluator})


def worker_readiness(health: Health, *, ready: bool) -> HealthView:
    """What a worker says of itself; `ready`: whether it takes runs from the queue."""
    troubles = [trouble for trouble in health.troubles() if trouble.part in _OF_A_WORKER]
    if not ready:
        troubles.insert(0, Trouble(part=Part.QUEUE, said="the queue cannot be reached"))
    return _view(troubles, _OF_A_WORKER)


def _view(troubles: Sequence[Trouble], parts: Sequence[Part]) -> HealthView:
    broken = {trouble.part for trouble in troubles}
    return HealthView(
        status="degraded" if troubles else "ok",
        problems=[trouble.said for trouble in troubles],
        parts={part: "degraded" if part in broken else "ok" for part in parts},
    )


def _troubles(published: Published, health: Health) -> Iterator[Trouble]:
    """What does not work although the service answers."""
    yield from _sources(published.snapshot.sources)
    for part in published.exposition.failed_parts:
        yield Trouble(part=Part.METRICS, said=f"the {part} metrics are missing")
    for metric, n in sorted(published.exposition.cut.items()):
        yield Trouble(part=Part.METRICS, said=f"{n} series of {metric} are cut")
    for name, week in sorted(published.undelivered.items()):
        yield Trouble(part=Part.DELIVERIES, said=f"delivery {name} of week {week} failed")
    for push in published.snapshot.pushes:
        if push.succeeded is False:
            yield Trouble(part=Part.TELEMETRY, said=f"a receiver does not take the metrics sent over {push.kind}")
    yield from health.troubles()


def _sources(states: Sequence[SourceState]) -> Iterator[Trouble]:
    said = [*_said(states)]
    for text in said[:_MOST_SOURCES]:
        yield Trouble(part=Part.SOURCES, said=text)
    if len(said) > _MOST_SOURCES:
        yield Trouble(part=Part.SOURCES, said=f"and {len(said) - _MOST_SOURCES} more problems of sources")


def _said(states: Sequence[SourceState]) -> Iterator[str]:
    """Those whose numbers are withheld first; then what fails, and is still fresh enough."""
    for state in states:
        if not state.fresh:
            yield f"source {state.name} is not fresh"
    for state in states:
        if state.failure is not None:
            needs = ": a person must give it valid credentials" if state.failure == "credentials" else ""
            yield f"source {state.name} fails ({state.failure}){needs}"
    for state in states:
        for limit, (left, most) in state.quota.items():
            if left == 0 and most:
                yield f"source {state.name} has used up its limit of {most} {limit}"
