"""A ticket's life: when it was open, when its clock ran, when it was resolved. Pure.

definitions.md §5: waiting for the requester pauses, reopening continues the clock. Times are integer microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from slo_engine.calendars import WorkCalendar


class Phase(IntEnum):
    """What a state means for the clock. Of changes at one moment the later in this order is taken to come last."""

    RUNNING = 0
    WAITING = 1
    ENDED = 2


PhaseOf = Callable[[str], Phase]
Stretch = tuple[int, int | None]
"""From a time up to another, which is None while it goes on."""

_MICRO = 1e-6


class Life(NamedTuple):
    """What a ticket's states come to.

    `open`: when it was not resolved. `running`: when it neither was, nor waited for who opened it. `resolved_at`: its
    last resolution, None while it is open. `undated`: it is resolved, but nobody knows when.
    """

    open: Sequence[Stretch]
    running: Sequence[Stretch]
    resolved_at: int | None
    undated: bool = False

    def open_from(self, at: int) -> int | None:
        """The first moment from a time on at which it is open; None where it stays resolved."""
        for start, end in self.open:
            if end is None or at < end:
                return max(at, start)
        return None

    def elapsed(self, calendar: WorkCalendar) -> float:
        """Business seconds of the clock until it was resolved; never negative."""
        return sum(calendar.business_seconds(start, end) for start, end in self.running if end is not None)

    def lapse(self, calendar: WorkCalendar, allowed: float) -> int | None:
        """The last moment at which no more than so many business seconds have passed; None where that never ends."""
        left = allowed
        for start, end in self.running:
            at = last_moment(calendar, start, left)
            if end is None or at < end:
                return at
            left -= calendar.business_seconds(start, end)
        return None


def last_moment(calendar: WorkCalendar, start: int, allowed: float) -> int:
    """The last moment at which no more than so many business seconds have passed since a time.

    What is due at closing time is due until the next opening: nothing passes in between.
    """
    return calendar.after_business(start, allowed + _MICRO) - 1


def life(
    created_at: int, state: str, changes: Iterable[tuple[int, Phase]], updated_at: int | None, phase_of: PhaseOf
) -> Life:
    """The life of a ticket from its dated changes, in any order, and the state that it has now.

    A change of state that nobody dated happened when the ticket was last written; an end that nobody dated, or that
    lies before the creation, is unknown.
    """
    dated = _in_turn(changes)
    at, last = dated[-1] if dated else (created_at, Phase.RUNNING)
    now = phase_of(state)
    if now is Phase.ENDED and (last is not now or at < created_at):
        return Life((), (), None, undated=True)
    if now is not last:
        dated.append((at, Phase.RUNNING) if updated_at is None else (max(at, updated_at), now))
    return _life(created_at, dated)


def _in_turn(changes: Iterable[tuple[int, Phase]]) -> list[tuple[int, Phase]]:
    """The changes that change something, in order: closed after resolved is no news."""
    found: list[tuple[int, Phase]] = []
    for at, phase in sorted(set(changes)):
        if phase is not (found[-1][1] if found else Phase.RUNNING):
            found.append((at, phase))
    return found


def _life(created_at: int, dated: Sequence[tuple[int, Phase]]) -> Life:
    open_: list[Stretch] = []
    running: list[Stretch] = []
    times = [created_at, *(max(at, created_at) for at, _ in dated)]
    phases = [Phase.RUNNING, *(phase for _, phase in dated)]
    for start, end, phase in zip(times, [*times[1:], None], phases, strict=True):
        if phase is Phase.RUNNING:
            running.append((start, end))
        if phase is not Phase.ENDED and start != end:
            begun = open_.pop()[0] if open_ and open_[-1][1] == start else start
            open_.append((begun, end))
    return Life(open_, running, times[-1] if phases[-1] is Phase.ENDED else None)
