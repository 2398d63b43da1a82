"""Which sources are due, said by the elected evaluator to the workers, from what the store says of their last runs.

So nothing is lost or doubled when another replica is elected: it reads the same store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from collector.errors import StoreError
from collector.source import SourceConfig
from collector.store import SourceRun, from_micros
from paceline.logs import Log

_NEVER = from_micros(0)
_AGAIN = timedelta(seconds=30)
"""What was asked for is not asked for again before, whatever the clock of a worker says of when its run began."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A source that is to be collected. Those of one `lock` take turns; a `punctual` one waits for no other."""

    source: str
    lock: str
    punctual: bool = False


class Queue(Protocol):
    """Where jobs wait; see `paceline.queue`. Every method may raise StoreError."""

    def waiting(self) -> frozenset[str]:
        """The sources that are waiting or being collected."""

    def ask(self, asked: Asked) -> bool:
        """Have a source collected."""


class Dispatch:
    """Puts what is due into the queue."""

    def __init__(
        self,
        sources: Sequence[SourceConfig],
        runs: Callable[[], Mapping[str, SourceRun]],
        queue: Queue,
        paused: Callable[[], frozenset[str]],
        lock_of: Callable[[SourceConfig], str],
        log: Log,
    ) -> None:
        self._sources, self._runs, self._queue = sources, runs, queue
        self._paused, self._lock_of, self._log = paused, lock_of, log
        self._asked: dict[str, datetime] = {}

    def look(self, now: datetime) -> int:
        """Ask for what is due and neither waits nor runs nor must be left alone; how many. Never raises."""
        try:
            waiting, paused, asked = self._queue.waiting(), self._paused(), 0
            for source in due(self._sources, self._runs(), now):
                lock = self._lock_of(source)
                if source.name in waiting or lock in paused or self._was_just_asked(source, now):
                    continue
                asked += self._queue.ask(Asked(source=source.name, lock=lock, punctual=source.punctual))
                self._asked[source.name] = now
        except StoreError as error:
            self._log.error("sources that are due cannot be given to workers; they wait", error=str(error))
            return 0
        return asked

    def _was_just_asked(self, source: SourceConfig, now: datetime) -> bool:
        at = self._asked.get(source.name)
        return at is not None and timedelta(0) <= now - at < min(source.every / 2, _AGAIN)


def due(sources: Sequence[SourceConfig], runs: Mapping[str, SourceRun], now: datetime) -> Iterator[SourceConfig]:
    """The sources that are due, those first that were collected longest ago.

    A punctual one is due once in each of its intervals, counted from midnight; another one when its interval is over
    since its last run began.
    """
    begun = {s.name: from_micros(runs[s.name].started_at) if s.name in runs else _NEVER for s in sources}
    for source in sorted(sources, key=lambda one: begun[one.name]):
        last = begun[source.name]
        if last < _interval(now, source.every) if source.punctual else last <= now - source.every:
            yield source


def _interval(now: datetime, length: timedelta) -> datetime:
    """When the interval of this length began that a time is in."""
    return now - (now - _NEVER) % length
