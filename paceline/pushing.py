"""Sends what is published to those who do not scrape: over OTLP, and by Prometheus remote write.

Each destination has a thread of its own, which sends the newest numbers when they are published, and again at its
interval. A receiver that hangs or refuses holds up nobody else: it is told in a metric, and once in the log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from collector.errors import PacelineError
from paceline.logs import Log
from slo_engine.exposition import Exposition
from slo_engine.snapshot import PushState

_END_SECONDS = 2.0


class Sender(Protocol):
    """Sends an exposition to one destination."""

    kind: str
    every: timedelta

    def send(self, exposition: Exposition, at: datetime, may: Callable[[], bool]) -> None:
        """Send it all, while it may: it asks before each request. Raises PacelineError for what was not taken."""

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass
class _Lane:
    """One destination: what waits for it, and how it went."""

    sender: Sender
    state: PushState
    newest: Exposition | None = None
    waiting: bool = False
    said: tuple[str, int | None] | None = None
    """What kind of failure the log was told of since it last worked."""


class Pushes:
    """Pushes to all destinations. `allowed` says whether this process is the one that may tell numbers."""

    def __init__(
        self,
        senders: Sequence[Sender],
        log: Log,
        clock: Callable[[], datetime],
        stopped: threading.Event,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._lanes = [_Lane(sender, PushState(kind=sender.kind)) for sender in senders]
        self._log, self._clock, self._allowed = log, clock, allowed
        self._changed, self._stopped = threading.Condition(), stopped
        self._threads: list[threading.Thread] = []

    @property
    def states(self) -> tuple[PushState, ...]:
        """How each destination fares."""
        with self._changed:
            return tuple(lane.state for lane in self._lanes)

    def start(self) -> None:
        """Begin to send what is published from now on, and what was published last."""
        for lane in self._lanes:
            # Daemons: a receiver that hangs must not hold up the end.
            thread = threading.Thread(target=self._work, args=(lane,), name=f"push {lane.sender.kind}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def publish(self, exposition: Exposition) -> None:
        """Have an exposition sent: where an earlier one still waits, in its place."""
        with self._changed:
            for lane in self._lanes:
                lane.newest, lane.waiting = exposition, True
            self._changed.notify_all()

    def close(self) -> None:
        """End, without waiting for receivers that do not answer."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def _work(self, lane: _Lane) -> None:
        try:
            for exposition in self._due(lane):
                if self._allowed():
                    self._push(lane, exposition)
        finally:
            lane.sender.close()

    def _due(self, lane: _Lane) -> Iterator[Exposition]:
        """What is to be sent, as it comes, until the end."""
        while True:
            with self._changed:
                seconds = lane.sender.every.total_seconds()
                self._changed.wait_for(lambda: lane.waiting or self._stopped.is_set(), seconds)
                if self._stopped.is_set():
                    return
                lane.waiting, exposition = False, lane.newest
            if exposition is not None:
                yield exposition

    def _push(self, lane: _Lane, exposition: Exposition) -> None:
        at = self._clock()
        try:
            lane.sender.send(exposition, at, self._allowed)
        except Exception as error:  # noqa: BLE001 - whatever a receiver answers must not end the thread
            if not self._stopped.is_set():
                self._failed(lane, error)
            return
        if not self._allowed():
            return
        with self._changed:
            lane.state = replace(lane.state, last_success_at=at, succeeded=True)
        if lane.said:
            self._log.info("metrics are sent again", to=lane.sender.kind)
        lane.said = None

    def _failed(self, lane: _Lane, error: Exception) -> None:
        with self._changed:
            lane.state = replace(lane.state, failures=lane.state.failures + 1, succeeded=False)
        kind = type(error).__name__, getattr(error, "status", None)
        if lane.said != kind:
            why = str(error) if isinstance(error, PacelineError) else type(error).__name__
            self._log.error("metrics are not sent", to=lane.sender.kind, error=why)
        lane.said = kind
