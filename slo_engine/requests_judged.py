"""What became of a request: definitions.md §4, one request at a time. Pure. Times are integer microseconds."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from slo_engine.observation import Outcome, Reason
from slo_engine.organisation import Organisation
from slo_engine.requests_attempts import NO_FAILURE, Attempt, Ending, Request
from slo_engine.requests_options import Limits
from slo_engine.requests_tickets import Call, Calls

MOST_EVIDENCE = 20
"""So many events at most stand behind a judgement: a script may try a thousand times."""

_SET_ASIDE = {
    Ending.REJECTED: Reason.REJECTED,
    Ending.ABANDONED: Reason.ABANDONED,
    Ending.CANCELLED: Reason.CANCELLED,
}


@dataclass(frozen=True)
class Helped:
    """What else is known about a journey: `calls` are tickets, `inferred` those of a request by its first attempt.

    `undone`: by target when what was made for it was deleted again, and by which attempt, in order.
    """

    calls: Calls
    inferred: Mapping[str, Sequence[Call]] = field(default_factory=dict)
    undone: Mapping[str, Sequence[tuple[int, str]]] = field(default_factory=dict)


class Judgement(NamedTuple):
    """What became of a request. Only good and bad count; `rule` says why it is bad, or who helped.

    It is dated `at`, and final from `matures_at` on. `waits_until`: it was in progress until this deadline. `seconds`:
    how long it took, where it ended well. `first_worked`: whether its first attempt ended well.
    """

    ending: Ending
    at: int
    outcome: Outcome
    reason: str = ""
    rule: str = ""
    evidence: tuple[str, ...] = ()
    matures_at: int | None = None
    waits_until: int | None = None
    seconds: float | None = None
    first_worked: bool = False


def inferred(requests: Iterable[Request], calls: Calls, journey: str, limits: Limits) -> dict[str, list[Call]]:
    """The tickets that ask for what a request of the same person asked for, soon after its start or its good end.

    By the request's first attempt. One ticket is about one request: the last one before it. One that is linked with
    an attempt is about that.
    """
    by_person: dict[str, list[Request]] = defaultdict(list)
    linked: set[str] = set()
    for request in requests:
        linked.update(c.id for a in request.attempts for c in calls.linked(a))
        if request.first.requester and not (request.first.dry_run or request.first.load_test):
            by_person[request.first.requester].append(request)
    found: dict[str, list[Call]] = defaultdict(list)
    for call in calls.asking(journey):
        own = by_person.get(call.author or "", [])
        before = bisect_right(own, call.created_at, key=lambda r: r.first.started_at) - 1
        if before >= 0 and call.id not in linked and call.created_at <= _asked_until(own[before], limits):
            found[own[before].first.id].append(call)
    return found


def _asked_until(request: Request, limits: Limits) -> int:
    """Until when a ticket of the same person is taken to be about a request."""
    ends = [a.finished_at for a in request.attempts if a.ending(limits.patience) is Ending.SUCCESS]
    started = request.first.started_at + limits.ticket_window
    return max([started, *(end + limits.grace for end in ends if end is not None)])


def judge(request: Request, limits: Limits, helped: Helped, organisation: Organisation) -> Judgement:
    """What became of a request, by all that is known; no clock."""
    endings = [a.ending(limits.patience) for a in request.attempts]
    reason = _out_of_scope(request, organisation)
    counting = [a for a, e in zip(request.attempts, endings, strict=True) if e not in NO_FAILURE]
    if not counting:
        found = _set_aside(request, endings[-1], reason or _SET_ASIDE[endings[-1]])
        return found._replace(matures_at=found.at + limits.grace)
    ending, end = _terminal(counting, limits)
    if reason:
        return _set_aside(request, ending, reason)
    deadline = counting[0].started_at + limits.expiry
    evidence = tuple(a.id for a in request.attempts) if len(request.attempts) > 1 else ()
    if ending is Ending.IN_PROGRESS or (ending is Ending.EXPIRED and end is None) or (end or 0) > deadline:
        return Judgement(
            Ending.EXPIRED, deadline, Outcome.BAD, rule="expired", evidence=_few(evidence), waits_until=deadline
        )
    if end is None or end < counting[0].started_at:
        return _set_aside(request, ending, Reason.MISSING_TIME)
    found = Judgement(ending, end, Outcome.BAD, rule=ending, evidence=_few(evidence), matures_at=end + limits.grace)
    return _fulfilled(found, request, counting, limits, helped, organisation) if ending is Ending.SUCCESS else found


def _out_of_scope(request: Request, organisation: Organisation) -> str:
    """Why a request says nothing about self-service, whatever became of it; empty where it does."""
    if organisation.is_platform(request.team):
        return Reason.PLATFORM_TEAM
    if any(a.bot for a in request.attempts):
        return Reason.BOT
    if request.first.dry_run:
        return Reason.DRY_RUN
    return Reason.LOAD_TEST if request.first.load_test else ""


def _set_aside(request: Request, ending: Ending, reason: str) -> Judgement:
    evidence = tuple(a.id for a in request.attempts) if len(request.attempts) > 1 else ()
    at = max(request.first.started_at, *(a.end for a in request.attempts))
    return Judgement(ending, at, Outcome.EXCLUDED, reason=reason, evidence=_few(evidence))


def _terminal(counting: Sequence[Attempt], limits: Limits) -> tuple[Ending, int | None]:
    """How attempts ended together, and when: with the first that ended well, else with the last one."""
    endings = [a.ending(limits.patience) for a in counting]
    if Ending.SUCCESS in endings:
        times = [a.finished_at for a, e in zip(counting, endings, strict=True) if e is Ending.SUCCESS]
        return Ending.SUCCESS, min((t for t in times if t is not None), default=None)
    if endings[-1] is Ending.IN_PROGRESS:
        return Ending.IN_PROGRESS, None
    ended = [a.finished_at for a, e in zip(counting, endings, strict=True) if e is not Ending.IN_PROGRESS]
    return endings[-1], max((t for t in ended if t is not None), default=None)


def _fulfilled(
    found: Judgement,
    request: Request,
    counting: Sequence[Attempt],
    limits: Limits,
    helped: Helped,
    organisation: Organisation,
) -> Judgement:
    """A request that ended well: whether by itself, and in time."""
    waited = sum(a.waited for a in counting if a.started_at <= found.at)
    seconds = max((found.at - counting[0].started_at) / 1e6 - waited, 0.0)
    worked = counting[0].ending(limits.patience) is Ending.SUCCESS
    found = found._replace(seconds=seconds, first_worked=worked, rule="")
    for rule, events in _touches(request, found.at, limits, helped, organisation):
        if events:
            evidence = dict.fromkeys((*events, *found.evidence))
            return found._replace(ending=Ending.ASSISTED, rule=rule, evidence=_few(tuple(evidence)))
    if round(seconds * 1e6) > limits.target:
        return found._replace(rule="late")
    return found._replace(outcome=Outcome.GOOD)


def _touches(
    request: Request, end: int, limits: Limits, helped: Helped, organisation: Organisation
) -> Iterator[tuple[str, list[str]]]:
    """How a human may have helped, strongest evidence first, each with the events that say so."""
    first, until = request.first, end + limits.grace
    yield "actor", [a.id for a in request.attempts if _by_platform(a, organisation)]
    yield "linked", [c.id for a in request.attempts for c in helped.calls.linked(a)]
    yield "inferred", [c.id for c in helped.inferred.get(first.id, ())]
    again = (*request.attempts, *request.later) if first.target is not None else ()
    yield "re-requested", [a.id for a in again if end < a.started_at <= until]
    undone = helped.undone.get(first.target, ()) if first.target is not None else ()
    yield "deleted", [key for at, key in undone if end <= at <= until]


def _by_platform(attempt: Attempt, organisation: Organisation) -> bool:
    """Whether somebody of the platform team took a step inside an attempt. What a bot decides is no help."""
    return any(
        a.decided_at is not None
        and organisation.is_platform(a.actor_team)
        and not organisation.identities.is_bot(a.actor)
        for a in attempt.approvals
    )


def _few(events: tuple[str, ...]) -> tuple[str, ...]:
    return events[:MOST_EVIDENCE]
