"""An event as it was known at a time: what happened later is not in it yet. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from collector.events import (
    Change,
    ChangeState,
    Event,
    Incident,
    IncidentState,
    Member,
    SelfServiceAttempt,
    Ticket,
    TicketState,
    happened_at,
)


def known(event: Event, until: datetime) -> Event | None:
    """The event as it stood at a time; None where it had not happened. Runs and deployments come when they ended."""
    form = _FORMS.get(type(event))
    if form is not None:
        return form(event, until) if _began(event) <= until else None
    ended = getattr(event, "finished_at", None) or happened_at(event)
    return event if ended <= until else None


def _began(event: Event) -> datetime:
    return event.entered_at or event.started_at if isinstance(event, Member) else happened_at(event)


def _change(event: Change, until: datetime) -> Change:
    ready = event.ready_at if event.ready_at is not None and event.ready_at <= until else None
    seen = event if ready == event.ready_at else msgspec.structs.replace(event, ready_at=ready)
    if seen.merged_at is None or seen.merged_at <= until:
        return seen
    return msgspec.structs.replace(seen, state=ChangeState.OPEN, merged_at=None, closed_at=None, merge_sha=None)


def _incident(event: Incident, until: datetime) -> Incident:
    if event.restored_at is None or event.restored_at <= until:
        return event
    past = tuple(t for t in event.transitions if t.at <= until)
    return msgspec.structs.replace(event, state=IncidentState.DETECTED, restored_at=None, transitions=past)


def _ticket(event: Ticket, until: datetime) -> Ticket:
    past = tuple(t for t in event.transitions if t.at <= until)
    replies = tuple(r for r in event.replies if r.at <= until)
    if len(past) == len(event.transitions):
        return msgspec.structs.replace(event, replies=replies)
    resolved_at = event.resolved_at if event.resolved_at is not None and event.resolved_at <= until else None
    state = TicketState(past[-1].state) if past else TicketState.OPEN
    return msgspec.structs.replace(event, state=state, replies=replies, transitions=past, resolved_at=resolved_at)


def _attempt(event: SelfServiceAttempt, until: datetime) -> SelfServiceAttempt:
    if event.finished_at is None or event.finished_at <= until:
        return event
    waiting = tuple(
        a if a.decided_at is None or a.decided_at <= until
        else msgspec.structs.replace(a, decided_at=None, actor=None, actor_team=None, approved=None)
        for a in event.approvals
        if a.requested_at <= until
    )  # fmt: skip
    return msgspec.structs.replace(event, finished_at=None, result=None, ended=None, approvals=waiting)


def _member(event: Member, until: datetime) -> Member:
    return event if event.left_at is None or event.left_at <= until else msgspec.structs.replace(event, left_at=None)


_FORMS: dict[type[Event], Callable[[Any, datetime], Event]] = {
    Change: _change,
    Incident: _incident,
    Ticket: _ticket,
    SelfServiceAttempt: _attempt,
    Member: _member,
}
"""The kinds that are reported before they are over."""
