"""How this process fares, looked at now and then: its store, disk, clock, what waits to be written, what was sent.

A look never raises, and tells the log only what has changed. Readers take `state`, which is replaced whole.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from collector.errors import StoreError
from collector.store import Database, DeliveryRecord, DeliveryState, from_micros
from collector.store.leases import NoLongerHolder
from paceline.logs import Log
from slo_engine.alerts import LEAST_FREE_BYTES, LONGEST_WAIT_SECONDS, MOST_SKEW_SECONDS
from slo_engine.exposition import Exposition, health_samples, render
from slo_engine.snapshot import OwnHealth

_STEP_BYTES = 16 << 20
"""Space is told in these steps: else every look would make other metrics."""


class Inbox(Protocol):
    """Where deliveries of webhooks wait. Every method may raise StoreError."""

    def waiting(self) -> int:
        """How many."""

    def oldest(self) -> int | None:
        """Since when the first of them waits, in microseconds since 1970 UTC."""


class Reports(Protocol):
    """The log of deliveries of the weekly summary. Every method may raise StoreError."""

    def newest(self) -> dict[str, DeliveryRecord]:
        """By delivery, the entry of its newest week."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that does not work: its part, and a sentence without a name or a secret."""

    part: str
    said: str


class Health:
    """Looks at what this process needs. `folder` holds its data, `deliveries` are the names of those configured.

    `real` tells real time, `clock` the service's own, which may stand still.
    """

    def __init__(  # noqa: PLR0913 - what is looked at, once
        self,
        *,
        database: Database,
        inbox: Inbox,
        reports: Reports,
        deliveries: Collection[str],
        folder: Path,
        clock: Callable[[], datetime],
        real: Callable[[], datetime],
        log: Log,
        free: Callable[[Path], tuple[int, int]] | None = None,
    ) -> None:
        self.state = OwnHealth()
        self.failing_since: datetime | None = None
        """Since when no evaluation succeeded; None while they do."""
        self._database, self._inbox, self._reports = database, inbox, reports
        self._deliveries, self._folder = frozenset(deliveries), folder
        self._clock, self._real, self._log = clock, real, log
        self._free = free or _free
        self._said: dict[str, str] = {}
        self._changing = threading.Lock()
        self._rendered: tuple[OwnHealth, Exposition] | None = None

    def look(self) -> OwnHealth:
        """Look at everything but the evaluation, which tells by itself. May wait as long as a writer does."""
        writable, ahead = self._store()
        size, free = self._disk()
        waiting, seconds = self._waiting()
        reports = self._report_states()
        with self._changing:
            self.state = replace(
                self.state,
                writable=writable,
                clock_ahead_seconds=ahead,
                size_bytes=size,
                free_bytes=free,
                waiting=waiting,
                waiting_seconds=seconds,
                reports=self.state.reports if reports is None else reports,
            )
        self._tell()
        return self.state

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Note whether an evaluation succeeds. Who is not the elected one any more has not failed."""
        succeeded: bool | None = False
        try:
            yield
            succeeded = True
        except NoLongerHolder:
            succeeded = None
            raise
        finally:
            if succeeded is not None:
                self._note(succeeded=succeeded)

    def _note(self, *, succeeded: bool) -> None:
        with self._changing:
            self.failing_since = None if succeeded else self.failing_since or self._clock()
            failures = self.state.evaluation_failures + (not succeeded)
            self.state = replace(self.state, evaluated=succeeded, evaluation_failures=failures)

    def troubles(self) -> list[Trouble]:
        """What does not work, in sentences."""
        state, found = self.state, list[Trouble]()
        if state.writable is False:
            found.append(Trouble(part="store", said="the store cannot be written: nothing new is kept"))
        if state.evaluated is False and self.failing_since is not None:
            since = f"{self.failing_since:%Y-%m-%d %H:%M:%S} UTC"
            found.append(Trouble(part="evaluation", said=f"no evaluation has succeeded since {since}"))
        if state.free_bytes is not None and state.free_bytes < LEAST_FREE_BYTES:
            left = f"{state.free_bytes >> 20} MiB"
            found.append(Trouble(part="disk", said=f"the disk of the data directory is nearly full: {left} are left"))
        if (ahead := state.clock_ahead_seconds) is not None and abs(ahead) > MOST_SKEW_SECONDS:
            word = "ahead of" if ahead > 0 else "behind"
            found.append(Trouble(part="clock", said=f"the database's clock is {abs(ahead):.0f} s {word} ours"))
        if (state.waiting_seconds or 0.0) > LONGEST_WAIT_SECONDS:
            said = f"{state.waiting} deliveries of webhooks wait to be written, for {state.waiting_seconds:.0f} s"
            found.append(Trouble(part="webhooks", said=said))
        found += [
            Trouble(part="deliveries", said=f"delivery {name} is tried again and again")
            for name, what in sorted(state.reports.items())
            if what == "retrying"
        ]
        return found

    @property
    def exposition(self) -> Exposition:
        """The metrics of it, rendered anew only where something changed."""
        state, known = self.state, self._rendered
        if known is None or known[0] != state:
            known = self._rendered = state, render(health_samples(state))
        return known[1]

    def _store(self) -> tuple[bool, float | None]:
        before = self._real()
        try:
            at = self._database.probe()
        except StoreError as error:
            self._say("the store cannot be written", str(error))
            return False, None
        self._say("the store cannot be written", "")
        if at is None:
            return True, None
        after = self._real()
        # Asking took a while, in which nobody knows when the answer was made: so much is no skew.
        skew = max((at - after).total_seconds(), 0.0) + min((at - before).total_seconds(), 0.0)
        return True, round(skew, 1)

    def _disk(self) -> tuple[int | None, int | None]:
        try:
            size, free = self._free(self._folder)
        except OSError as error:
            self._say("the data directory cannot be looked at", error.strerror or type(error).__name__)
            return None, None
        self._say("the data directory cannot be looked at", "")
        return size, free - free % _STEP_BYTES

    def _waiting(self) -> tuple[int | None, float | None]:
        try:
            oldest = self._inbox.oldest()
            waiting = 0 if oldest is None else self._inbox.waiting()
        except StoreError:
            return None, None
        if oldest is None:
            return 0, 0.0
        return waiting, max((self._clock() - from_micros(oldest)).total_seconds(), 0.0)

    def _report_states(self) -> dict[str, str] | None:
        try:
            newest = self._reports.newest()
        except StoreError:
            return None
        return {name: _report_state(record) for name, record in newest.items() if name in self._deliveries}

    def _tell(self) -> None:
        """Tell the log of what changed: evaluations, sources and deliveries tell of themselves."""
        troubles = {t.part: t.said for t in self.troubles()}
        for part in ("disk", "clock", "webhooks"):
            self._say(f"{part} trouble", troubles.get(part, ""))

    def _say(self, what: str, why: str) -> None:
        """Say why something does not work when it begins, and once when it has ended."""
        known = self._said.get(what, "")
        if why and not known:
            self._log.error(what, error=why)
        elif known and not why:
            self._log.info(f"over: {what}")
        self._said[what] = why


def _free(folder: Path) -> tuple[int, int]:
    """The size of the disk of a folder, and what is left for us."""
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def _report_state(record: DeliveryRecord) -> str:
    if record.state in {DeliveryState.SENT, DeliveryState.FAILED}:
        return record.state.value
    return "retrying" if record.error else "waiting"
