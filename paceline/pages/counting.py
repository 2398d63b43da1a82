"""How many events of which kind each source has, counted beside whoever asks: tables hold millions of events."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillCounting

from collector.errors import StoreError
from collector.events import EVENT_TYPES, Collection, kind_of
from collector.store import EventStore

Counts = Mapping[str, Mapping[str, int]]
"""By source, then by kind."""
_REPORTED = tuple(t for t in EVENT_TYPES if t is not Collection)
"""The kinds that sources report; that they ran nobody reports."""
_PATIENCE_SECONDS = 0.1


class Counting:
    """Counts kinds whose events changed, one at a time and only when asked; whoever asks again sees the result."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._counted: dict[str, tuple[int, Mapping[str, int]]] = {}
        self.counts: Counts | None = None
        """The last counts; None before the first."""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="counting")
        self._running: Future[None] | None = None
        self._asking = threading.Lock()

    def __call__(self) -> Counts | None:
        """The last counts, which may be those of a moment ago; None before the first are there, or without a store."""
        with self._asking:
            if self._running is None or self._running.done():
                self._running = self._worker.submit(self._count)
            running = self._running
        try:
            running.result(_PATIENCE_SECONDS)
        except (StillCounting, StoreError):
            return self.counts
        return self.counts

    def close(self) -> None:
        """Count no more; what is being counted is waited for."""
        self._worker.shutdown()

    def _count(self) -> None:
        revisions = self._events.revisions()
        for event_type in _REPORTED:
            kind = kind_of(event_type)
            revision = revisions.get(kind, 0)
            if self._counted.get(kind, (None,))[0] != revision:
                self._counted[kind] = revision, self._events.by_source(event_type)
        found: dict[str, dict[str, int]] = {}
        for kind, (_, counts) in self._counted.items():
            for source, n in counts.items():
                found.setdefault(source, {})[kind] = n
        self.counts = found
