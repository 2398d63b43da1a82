"""Several CDEvents that tell of one subject become one event: the same whichever came first, and however often.

What begins before it was told of begins when it was first told of; where only its end was told, how long it took is not
known, and nothing is made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from collector.deploying import Deployments
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
    RunState,
    Ticket,
    TicketState,
    Transition,
)
from collector.pushed import Pairs
from collector.systems.cdevents.shapes import path_of

ENDED = "ended"
"""What an end is called in transitions as long as the beginning is not known."""
UNNAMED = "unnamed"
"""The pipeline of runs of which nobody told the name: their ids would be as many names."""
NOWHERE = "unknown"
"""The repository of what names none, and whose source has no path."""
_ENDS = dict.fromkeys((ENDED, "resolved", "closed"), ENDED)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime.fromtimestamp(0, UTC)


def joined(known: Event, told: Event, repository: str = "") -> Event:
    """One event of two that tell of the same subject: the same whichever came first, and however often.

    `repository`: that of what names none, where the settings say it.
    """
    whole = isinstance(told, Review) or (isinstance(told, Deployment) and told.pipeline_run_native_id is None)
    if type(known) is not type(told) or whole:
        return told
    older, newer = sorted((known, told), key=lambda e: (e.updated_at or _EPOCH, msgspec.json.encode(e)))
    fields = {name: getattr(newer, name) or getattr(older, name) for name in newer.__struct_fields__}
    made = settled(type(newer)(**{**fields, **_both(older, newer), **_place(older, newer, repository)}))
    if known.updated_at is None or made.updated_at != known.updated_at or made == known:
        return made
    # What was told late changes a version that is as new: the store keeps the later of two, so it is a moment later.
    return msgspec.structs.replace(made, updated_at=known.updated_at + _MICROSECOND)


def _both(older: Event, newer: Event) -> dict[str, Any]:
    """What two events say together, where the newer one alone does not decide."""
    if isinstance(older, PipelineRun) and isinstance(newer, PipelineRun):
        return {"pipeline": older.pipeline if newer.pipeline == UNNAMED else newer.pipeline}
    if isinstance(older, Change) and isinstance(newer, Change):
        return {"created_at": min(older.created_at, newer.created_at)}
    found: dict[str, Any] = {}
    if isinstance(older, Ticket) and isinstance(newer, Ticket):
        found["created_at"] = min(older.created_at, newer.created_at)
    if isinstance(older, Incident | Ticket) and isinstance(newer, Incident | Ticket):
        told = sorted({(t.at, _ENDS.get(t.state, t.state)) for t in (*older.transitions, *newer.transitions)})
        found["transitions"] = tuple(Transition(at=at, state=state) for at, state in told)
        found["links"] = tuple(sorted({*older.links, *newer.links}))
    return found


def _place(older: Event, newer: Event, repository: str) -> dict[str, str]:
    """The repository or queue that an event names: one that only stands for none does not hide it."""
    name = next((n for n in ("repository", "queue") if isinstance(getattr(newer, n, None), str)), None)
    if name is None or isinstance(newer, Deployment):
        return {}
    stand_in = stand_in_of(newer.native_id.partition("/")[2] if isinstance(newer, PipelineRun) else newer.native_id)
    before, now = getattr(older, name), getattr(newer, name)
    return {name: before if now in {repository or stand_in, NOWHERE} else now}


def stand_in_of(key: str) -> str:
    """What stands for the repository of a subject that names none: the path of its source, with which its id begins."""
    return path_of(key.partition(" ")[0]) or NOWHERE


def with_deployments(rules: Deployments, pairs: Pairs) -> list[Event]:
    """Events, and what the finished runs among them deployed by all that is known of each.

    A single delivery may have told too little of a run for a rule to fit, or for the right service.
    """
    told = {e.pipeline_run_native_id: e for _, e in pairs if isinstance(e, Deployment) and e.pipeline_run_native_id}
    events = [e for _, e in pairs if not (isinstance(e, Deployment) and e.pipeline_run_native_id)]
    runs = [(before, run) for before, run in pairs if isinstance(run, PipelineRun)]
    return [*events, *(d for before, run in runs for d in _deployed(rules, before, run, told.get(run.native_id)))]


def _deployed(
    rules: Deployments, before: Event | None, run: PipelineRun, told: Deployment | None
) -> Iterator[Deployment]:
    """What a run deployed; with less known of it before, that was taken for another deployment: that one was none."""
    now = rules.of(run, version=told.version if told else None)
    if now is not None:
        yield now
    was = rules.of(before) if isinstance(before, PipelineRun) else None
    if was is not None and (now is None or was.id != now.id):
        yield msgspec.structs.replace(was, result=Result.CANCELLATION, updated_at=run.updated_at)


def settled(event: Event) -> Event:
    """An event whose state follows from the times that are known of it."""
    if isinstance(event, PipelineRun):
        state = (
            RunState.COMPLETED if event.finished_at else RunState.EXECUTING if event.started_at else RunState.PENDING
        )
        return msgspec.structs.replace(event, state=state)
    if isinstance(event, Change):
        closed = ChangeState.CLOSED if event.closed_at else ChangeState.OPEN
        return msgspec.structs.replace(event, state=ChangeState.MERGED if event.merged_at else closed)
    if isinstance(event, Incident):
        begun, ended = _span(event.transitions, ("detected", "reported"), "detected")
        return msgspec.structs.replace(
            event,
            state=IncidentState.RESOLVED if ended else IncidentState.DETECTED,
            started_at=begun or event.transitions[0].at,
            detected_at=begun,
            restored_at=ended if begun else None,
            transitions=_named(event.transitions, "resolved" if begun else ENDED),
        )
    if isinstance(event, Ticket):
        begun, ended = _span(event.transitions, ("open",), "open")
        return msgspec.structs.replace(
            event,
            state=TicketState.CLOSED if ended else TicketState.OPEN,
            created_at=begun or event.created_at,
            closed_at=ended if begun else None,
            transitions=_named(event.transitions, "closed" if begun else ENDED),
        )
    return event


def _span(
    transitions: Sequence[Transition], beginning: tuple[str, ...], again: str
) -> tuple[datetime | None, datetime | None]:
    """When something began and when it ended; None for what was not told. What begins again has not ended."""
    begun = min((t.at for t in transitions if t.state in beginning), default=None)
    ended = max((t.at for t in transitions if _ENDS.get(t.state) == ENDED), default=None)
    begun_again = ended is not None and any(t.at > ended for t in transitions if t.state == again)
    return begun, None if begun_again else ended


def _named(transitions: Sequence[Transition], end: str) -> tuple[Transition, ...]:
    """Transitions with the end called so: where the beginning is unknown no rule may take it for a resolution."""
    return tuple(Transition(at=t.at, state=end if t.state in _ENDS else t.state) for t in transitions)
