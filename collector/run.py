"""One run of a source: cursor → pull → events and cursor in one transaction → outcome, measured and isolated.

The only place that retries, keeps time and catches what a source throws: a failing source costs its own run.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collector.bulk import seldom_collecting
from collector.errors import AuthError, BadRecord, PacelineError, RetryableError
from collector.events import Collection, happened_at
from collector.source import Page, Source
from collector.store import Database, EventStore, SourceRun, to_micros

_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 120.0
# Up to here a run's pages wait in memory, so that a slow source does not hold the store's write lock meanwhile.
_HELD_EVENTS = 5_000
_SHOWN_RECORDS = 100

STALE_AFTER = timedelta(hours=1)
"""How long a success counts for a source that does not say."""

Progress = Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What one run of a source did. `error` says what happened and what to do; None after a success.

    `rejected` are the first of the records set aside, `rejected_total` how many there were; the store has all.
    """

    source: str
    started_at: datetime
    finished_at: datetime
    duration_seconds: float
    events: int = 0
    changed: int = 0
    rejected: tuple[BadRecord, ...] = ()
    rejected_total: int = 0
    warnings: tuple[str, ...] = ()
    newest_event_at: datetime | None = None
    error: str | None = None
    needs_a_person: bool = False

    @property
    def succeeded(self) -> bool:
        """True where events and cursor were kept."""
        return self.error is None


@dataclass
class _Tally:
    events: int = 0
    changed: int = 0
    rejected: list[BadRecord] = field(default_factory=list)
    rejected_total: int = 0
    warnings: list[str] = field(default_factory=list)
    newest: datetime | None = None


@dataclass(frozen=True)
class Runner:
    """Runs sources against a store. Clock, sleep and randomness are passed in."""

    database: Database
    store: EventStore
    clock: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def run(
        self, name: str, source: Source, progress: Progress | None = None, stale_after: timedelta = STALE_AFTER
    ) -> RunOutcome:
        """Run a source once. Never raises for what the source does: the outcome says it, and the store keeps it.

        `stale_after` is kept with the outcome: so long after a success the source counts as fresh.
        """
        started_at, started = self.clock(), time.perf_counter()
        tally, error, person = _Tally(), None, False
        try:
            tally = self._with_retries(name, source, progress)
        except PacelineError as failure:
            error, person = str(failure), isinstance(failure, AuthError)
        except Exception as failure:  # noqa: BLE001 - a defect in one source must not stop the others
            error = f"{type(failure).__name__}: a defect in the source, not in its data; please report it"
        outcome = RunOutcome(
            source=name,
            started_at=started_at,
            finished_at=self.clock(),
            duration_seconds=time.perf_counter() - started,
            events=tally.events,
            changed=tally.changed,
            rejected=tuple(tally.rejected),
            rejected_total=tally.rejected_total,
            warnings=tuple(dict.fromkeys(tally.warnings)),
            newest_event_at=tally.newest,
            error=error,
            needs_a_person=person,
        )
        with contextlib.suppress(PacelineError):  # the outcome itself still reaches the caller
            self.store.record_run(_as_record(outcome), _as_event(outcome, stale_after))
        return outcome

    def _with_retries(self, name: str, source: Source, progress: Progress | None) -> _Tally:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with seldom_collecting():
                    return self._once(name, source, progress)
            except RetryableError as error:
                if attempt == _ATTEMPTS:
                    raise
                self.sleep(self._wait(attempt, error.retry_after_seconds))
        raise AssertionError("unreachable")

    def _wait(self, attempt: int, asked: float | None) -> float:
        backoff = _FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1) * (0.5 + self.jitter())
        return min(max(backoff, asked or 0.0), _LONGEST_WAIT_SECONDS)

    def _once(self, name: str, source: Source, progress: Progress | None) -> _Tally:
        tally, held = _Tally(), list[Page]()
        pages = source.pull(self.store.cursor(name))
        for page in pages:
            held.append(page)
            _count(tally, page, name, progress)
            if tally.events + len(held) >= _HELD_EVENTS:
                break
        if not held:
            return tally
        with self.database.transaction() as transaction:
            last = held[-1].cursor
            for page in held:
                tally.changed += self.store.write(transaction, page.events)
                self.store.reject(transaction, name, page.rejected)
            held.clear()
            for page in pages:
                _count(tally, page, name, progress)
                tally.changed += self.store.write(transaction, page.events)
                self.store.reject(transaction, name, page.rejected)
                last = page.cursor
            self.store.set_cursor(transaction, name, last)
        return tally


def _count(tally: _Tally, page: Page, name: str, progress: Progress | None) -> None:
    tally.events += len(page.events)
    tally.rejected_total += len(page.rejected)
    tally.rejected.extend(page.rejected[: _SHOWN_RECORDS - len(tally.rejected)])
    tally.warnings.extend(page.warnings[: _SHOWN_RECORDS - len(tally.warnings)])
    if page.events:
        newest = max(map(happened_at, page.events))
        tally.newest = newest if tally.newest is None else max(tally.newest, newest)
    if progress is not None:
        progress(name, tally.events)


def _as_record(outcome: RunOutcome) -> SourceRun:
    finished = to_micros(outcome.finished_at)
    return SourceRun(
        source=outcome.source,
        started_at=to_micros(outcome.started_at),
        finished_at=finished,
        succeeded=outcome.succeeded,
        error=outcome.error,
        last_success_at=finished if outcome.succeeded else None,
        newest_event_at=to_micros(outcome.newest_event_at) if outcome.newest_event_at else None,
        events_total=outcome.events,
        changed_total=outcome.changed,
        rejected_total=outcome.rejected_total,
        warnings=outcome.warnings,
    )


def _as_event(outcome: RunOutcome, stale_after: timedelta) -> Collection:
    """What the run says of the source itself. It rests on no source but Paceline: its own is empty."""
    return Collection(
        source="",
        native_id=f"{outcome.source}/{outcome.started_at.isoformat()}",
        collector=outcome.source,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
        succeeded=outcome.succeeded,
        events=outcome.events,
        rejected=outcome.rejected_total,
        stale_after_seconds=stale_after.total_seconds(),
    )
