"""Attempts at self-service, and the requests they make together. Pure.

definitions.md §4: attempt ⊂ request (same requester, journey and target, attempts not far apart) ⊂ journey. Times are
integer microseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from collector.events import Approval, AttemptEnd, Result, SelfServiceAttempt
from slo_engine.indicator import Events
from slo_engine.organisation import Organisation


class Ending(StrEnum):
    """How an attempt or a request ended: the outcomes of definitions.md §4."""

    SUCCESS = "success"
    ASSISTED = "assisted"
    FAILED = "failed"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    IN_PROGRESS = "in_progress"


NO_FAILURE = (Ending.REJECTED, Ending.ABANDONED, Ending.CANCELLED)
"""Endings that are nobody's failure."""


class Attempt(NamedTuple):
    """An attempt as the arithmetic needs it. `requester` is the person; `native_id` is kept only where links use it."""

    started_at: int
    id: str
    source: str
    native_id: str
    url: str | None
    journey: str
    requester: str | None
    team: str | None
    target: str | None
    finished_at: int | None
    result: str | None
    ended: str | None
    side_effects: bool
    dry_run: bool
    load_test: bool
    bot: bool
    approvals: tuple[Approval, ...]
    waited: float
    """How long it waited for its requester, in seconds."""
    links: tuple[str, ...]

    @property
    def end(self) -> int:
        """Its end; its start where it has none."""
        return self.started_at if self.finished_at is None else self.finished_at

    @property
    def names(self) -> Iterator[str]:
        """What the links of tickets may call it. A bare number means something else in every system."""
        return (n for n in (self.url, self.native_id) if n and not n.isdigit())

    def ending(self, patience: float) -> Ending:
        """How it ended; one that waited for its requester for more than `patience` seconds was given up."""
        if self.ended in {AttemptEnd.REJECTED, AttemptEnd.ABANDONED, AttemptEnd.EXPIRED}:
            return Ending(self.ended)
        if self.ended == AttemptEnd.CANCELLED or self.result == Result.CANCELLATION:
            return Ending.FAILED if self.side_effects else Ending.CANCELLED
        return Ending.SUCCESS if self.result == Result.SUCCESS else self._unsuccessful(patience)

    def _unsuccessful(self, patience: float) -> Ending:
        if any(a.approved is False for a in self.approvals):
            return Ending.REJECTED
        if self.result in {None, Result.TIMEOUT} and self.waited > patience:
            return Ending.ABANDONED
        if self.result is None:
            return Ending.IN_PROGRESS
        return Ending.CANCELLED if self.result == Result.SKIP else Ending.FAILED


_COLUMNS = (
    *("started_at", "id", "source", "native_id", "url", "journey", "requester", "requester_team", "target"),
    *("finished_at", "result", "ended", "side_effects", "dry_run", "load_test", "bot", "approvals"),
    *("waiting_for_requester_seconds", "links"),
)
_APPROVALS = msgspec.json.Decoder(tuple[Approval, ...])
_LINKS = msgspec.json.Decoder(tuple[str, ...])


def read_attempts(events: Events, organisation: Organisation, journeys: Sequence[str] | None = None) -> list[Attempt]:
    """The attempts at some journeys, of all where that is None, in the order of their starts."""
    where: Mapping[str, Any] = {} if journeys is None else {"journey": list(journeys)}
    rows = events.columns(SelfServiceAttempt, *_COLUMNS, **where) if journeys is None or journeys else []
    return sorted(_attempt(row, organisation) for row in rows)


def _attempt(row: tuple[Any, ...], organisation: Organisation) -> Attempt:
    *values, approvals, waited, links = row
    people = organisation.identities
    decoded = _APPROVALS.decode(approvals) if approvals else (), waited, _LINKS.decode(links) if links else ()
    found = Attempt._make((*values, *decoded))
    return found._replace(
        requester=people.person(found.requester), bot=people.is_bot(found.requester, flagged=bool(found.bot))
    )


class Request(NamedTuple):
    """Attempts of one requester at one journey and target that belong together, in the order of their starts.

    `later`: those that asked for the same after it, in order.
    """

    attempts: tuple[Attempt, ...]
    later: tuple[Attempt, ...] = ()

    @property
    def first(self) -> Attempt:
        """The attempt that stands for the request."""
        return self.attempts[0]

    @property
    def team(self) -> str | None:
        """Whose it was, by the first attempt that says so."""
        return next((a.team for a in self.attempts if a.team), None)


def requests_of(attempts: Iterable[Attempt], gap: int, grace: int) -> list[Request]:
    """The requests that attempts make, given in the order of their starts, `gap` and `grace` in microseconds.

    From the end of one attempt, or its start where it has no end, to the start of the next one of its request there
    is at most the gap. What was tried without effect, or under load, makes requests of its own. Somebody unknown
    asks once; where the target is unknown, nobody can say that what follows a success asks for the same.
    """
    alike: dict[tuple[Any, ...], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        who = attempt.requester or ("", attempt.id)
        alike[who, attempt.journey, attempt.target, bool(attempt.dry_run), bool(attempt.load_test)].append(attempt)
    return sorted(request for same in alike.values() for request in _split(same, gap, grace))


def _split(same: Sequence[Attempt], gap: int, grace: int) -> Iterator[Request]:
    """The requests of attempts at the same."""
    start, end, done = 0, same[0].end, False
    for place, attempt in enumerate(same):
        if attempt.started_at - end > gap or (done and attempt.target is None):
            yield _request(same, start, place, grace)
            start, end, done = place, attempt.end, False
        end = max(end, attempt.end)
        done = done or attempt.result == Result.SUCCESS
    yield _request(same, start, len(same), grace)


def _request(same: Sequence[Attempt], start: int, stop: int, grace: int) -> Request:
    latest = max(a.end for a in same[start:stop]) + grace
    later: list[Attempt] = []
    for attempt in same[stop:]:
        if attempt.target is None or attempt.started_at > latest:
            break
        later.append(attempt)
    return Request(tuple(same[start:stop]), tuple(later))
