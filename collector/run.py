"""One run of a source: cursor → pull → events and cursor in one transaction → outcome, measured and isolated.

The only place that retries, keeps time and catches what a source throws: a failing source costs its own run.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import pickle
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from collector.bulk import seldom_collecting
from collector.errors import (
    AuthError,
    BadRecord,
    ConfigError,
    ContractError,
    PacelineError,
    RetryableError,
    SourceError,
    StoreError,
    let_go,
)
from collector.events import Collection, happened_at
from collector.http import Traffic
from collector.source import Page, Source
from collector.store import Database, EventStore, Guard, SourceRun, Transaction, to_micros

_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 120.0
# Who heard nothing for so long lets others have the place: the next run is not far.
_REPEATED_WITHIN_SECONDS = 60.0
# Up to here a run's pages wait in memory, so that a slow source does not hold the store's write lock meanwhile.
_HELD_EVENTS = 5_000
_SHOWN_RECORDS = 100
_SPOOLED_BYTES = 32 << 20
# What happened within this time before a list was asked for may have come by a webhook, and not be in the list yet.
_NOT_LISTED_YET = timedelta(minutes=10)

STALE_AFTER = timedelta(hours=1)
"""How long a success counts for a source that does not say."""

Progress = Callable[[str, int], None]


class Failure(StrEnum):
    """Why a run failed, in one word that a label can hold."""

    CREDENTIALS = "credentials"
    UNAVAILABLE = "unavailable"
    CONTRACT = "contract"
    REFUSED = "refused"
    CONFIGURATION = "configuration"
    STORE = "store"
    DEFECT = "defect"


_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (AuthError, Failure.CREDENTIALS),
    (RetryableError, Failure.UNAVAILABLE),
    (ContractError, Failure.CONTRACT),
    (SourceError, Failure.REFUSED),
    (ConfigError, Failure.CONFIGURATION),
    (StoreError, Failure.STORE),
)
"""The first that fits."""


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What one run of a source did. `error` says what happened and what to do; None after a success.

    `rejected` are the first of the records set aside, `rejected_total` how many there were; the store has all.
    `truncations`: what the system holds and did not hand out. `removed`: how many events were deleted there. A run that
    failed may have kept events up to a checkpoint.
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
    truncations: tuple[str, ...] = ()
    truncated_total: int = 0
    removed: int = 0
    newest_event_at: datetime | None = None
    requests: int = 0
    error: str | None = None
    failure: Failure | None = None
    limited_seconds: float = 0.0
    """For how long the system, or the account that it was asked with, wants to be left alone."""

    @property
    def succeeded(self) -> bool:
        """True where everything was read and kept."""
        return self.error is None

    @property
    def needs_a_person(self) -> bool:
        """Whether waiting cannot help: credentials were refused."""
        return self.failure is Failure.CREDENTIALS


@dataclass
class _Tally:
    """What was kept."""

    events: int = 0
    changed: int = 0
    removed: int = 0
    rejected: list[BadRecord] = field(default_factory=list)
    rejected_total: int = 0
    warnings: list[str] = field(default_factory=list)
    truncations: list[str] = field(default_factory=list)
    truncated_total: int = 0
    newest: datetime | None = None
    began: str | None = None
    """The cursor that goes on from here; None where the source is read from its beginning."""

    def count(self, page: Page) -> None:
        """A page is kept; its texts as far as somebody reads them."""
        self.events += len(page.events)
        self.rejected_total += len(page.rejected)
        self.truncated_total += len(page.truncations)
        self.rejected.extend(page.rejected[: _SHOWN_RECORDS - len(self.rejected)])
        self.warnings.extend(page.warnings[: _SHOWN_RECORDS - len(self.warnings)])
        self.truncations.extend(page.truncations[: _SHOWN_RECORDS - len(self.truncations)])
        if page.events:
            newest = max(map(happened_at, page.events))
            self.newest = newest if self.newest is None else max(self.newest, newest)


@dataclass(frozen=True)
class Runner:
    """Runs sources against a store. Clock, sleep, randomness and what measures waits are passed in."""

    database: Database
    store: EventStore
    clock: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    timer: Callable[[], float] = time.perf_counter
    spool: Path | None = None
    """Where several processes write: a folder in which the pages of a long run wait, so that no other writer does."""

    def guarded(self, guard: Guard) -> Runner:
        """The same, whose runs write only where a guard lets them."""
        database = self.database.guarded(guard)
        return dataclasses.replace(self, database=database, store=EventStore(database))

    def run(
        self,
        name: str,
        source: Source,
        progress: Progress | None = None,
        stale_after: timedelta = STALE_AFTER,
        traffic: Traffic | None = None,
    ) -> RunOutcome:
        """Run a source once. Never raises for what the source does: the outcome says it, and the store keeps it.

        `stale_after` is kept with the outcome: so long after a success the source counts as fresh. `traffic` counts
        what the source's clients ask.
        """
        started_at, started = self.clock(), time.perf_counter()
        tally, error, failure, limited = _Tally(), None, None, 0.0
        try:
            self._with_retries(name, source, tally, progress)
        except PacelineError as problem:
            error, failure = str(problem), next(f for kind, f in _FAILURES if isinstance(problem, kind))
            limited = (isinstance(problem, RetryableError) and problem.retry_after_seconds) or 0.0
            let_go(problem)
        except Exception as problem:  # noqa: BLE001 - a defect in one source must not stop the others
            error = f"{type(problem).__name__}: a defect in the source, not in its data; please report it"
            failure = Failure.DEFECT
            let_go(problem)
        outcome = RunOutcome(
            source=name,
            started_at=started_at,
            finished_at=self.clock(),
            duration_seconds=time.perf_counter() - started,
            events=tally.events,
            changed=tally.changed,
            removed=tally.removed,
            rejected=tuple(tally.rejected),
            rejected_total=tally.rejected_total,
            warnings=tuple(dict.fromkeys(tally.warnings)),
            truncations=tuple(dict.fromkeys(tally.truncations)),
            truncated_total=tally.truncated_total,
            newest_event_at=tally.newest,
            requests=traffic.requests if traffic else 0,
            error=error,
            failure=failure,
            limited_seconds=max(limited, _resets_in_seconds(traffic)),
        )
        with contextlib.suppress(PacelineError):  # the outcome itself still reaches the caller
            self.store.record_run(_as_record(outcome, traffic), _as_event(outcome, stale_after))
        return outcome

    def _with_retries(self, name: str, source: Source, tally: _Tally, progress: Progress | None) -> None:
        heard = self.timer()

        def told(name: str, events: int) -> None:
            nonlocal heard
            heard = self.timer()
            if progress is not None:
                progress(name, events)

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with seldom_collecting(waits=True):
                    self._once(name, source, tally, told)
            except RetryableError as error:
                # Who asks for more patience than a run has is not asked again before: the next run is.
                impatient = (error.retry_after_seconds or 0.0) > _LONGEST_WAIT_SECONDS
                if attempt == _ATTEMPTS or impatient or self.timer() - heard > _REPEATED_WITHIN_SECONDS:
                    raise
                let_go(error)
                self.sleep(self._wait(attempt, error.retry_after_seconds))
            else:
                return

    def _wait(self, attempt: int, asked: float | None) -> float:
        backoff = _FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1) * (0.5 + self.jitter())
        return min(max(backoff, asked or 0.0), _LONGEST_WAIT_SECONDS)

    def _once(self, name: str, source: Source, tally: _Tally, progress: Progress) -> None:
        begun_at = self.clock()
        tally.began = self.store.cursor(name)
        pages = source.pull(tally.began)
        held, waiting = list[Page](), 0
        try:
            for page in pages:
                held.append(page)
                waiting += len(page.events)
                progress(name, tally.events + waiting)
                if waiting + len(held) >= _HELD_EVENTS:
                    self._keep(name, held, tally, begun_at, () if page.checkpoint else pages, progress)
                    held, waiting = [], 0
        except SourceError:
            self._keep(name, held[: _checkpoints(held)], tally, begun_at)
            raise
        self._keep(name, held, tally, begun_at)

    def _keep(
        self,
        name: str,
        held: list[Page],
        tally: _Tally,
        begun_at: datetime,
        more: Iterable[Page] = (),
        progress: Progress | None = None,
    ) -> None:
        """Keep pages, and those that follow up to the next checkpoint, with the last one's cursor: all or nothing."""
        if not held:
            return
        kept = copy.deepcopy(tally)
        with contextlib.ExitStack() as stack:
            if self.spool is not None:
                more = stack.enter_context(_spooled(more, self.spool))
            transaction = stack.enter_context(self.database.transaction())
            if kept.began is not None and self.store.cursor_within(transaction, name) is None:
                raise StoreError(f"{name} was deleted while it was read; the next run reads it anew")
            last = held[-1].cursor
            for page in held:
                self._write(transaction, name, page, kept, begun_at)
            held.clear()
            for page in more:
                self._write(transaction, name, page, kept, begun_at)
                last = page.cursor
                if progress is not None:
                    progress(name, kept.events)
                if page.checkpoint:
                    break
            self.store.set_cursor(transaction, name, last)
            kept.began = last
        vars(tally).update(vars(kept))

    def _write(self, transaction: Transaction, name: str, page: Page, kept: _Tally, begun_at: datetime) -> None:
        kept.count(page)
        kept.changed += self.store.write(transaction, page.events)
        for complete in page.complete:
            kept.removed += self.store.remove_missing(
                transaction,
                complete.kind,
                complete.native_ids,
                source=name,
                where=complete.where,
                dated=complete.dated,
                span=(to_micros(complete.since), to_micros(begun_at - _NOT_LISTED_YET)),
                at=to_micros(self.clock()),
            )
        self.store.reject(transaction, name, page.rejected)


@contextlib.contextmanager
def _spooled(pages: Iterable[Page], folder: Path) -> Iterator[Iterator[Page]]:
    """The pages up to the next checkpoint, all of which are read before the first is given; small ones wait in memory.

    They are our own objects in a file without a name.
    """
    with tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES, dir=str(folder)) as file:
        for page in pages:
            pickle.dump(page, file, pickle.HIGHEST_PROTOCOL)
            if page.checkpoint:
                break
        end = file.tell()
        file.seek(0)
        yield (pickle.load(file) for _ in iter(lambda: file.tell() < end, False))  # noqa: S301 - written above


def _resets_in_seconds(traffic: Traffic | None) -> float:
    """When the last of the used up limits is over."""
    spent = [left.resets_in_seconds for left in traffic.quota.values() if left.remaining <= 0] if traffic else []
    return max((seconds for seconds in spent if seconds), default=0.0)


def _checkpoints(held: Sequence[Page]) -> int:
    """How many of the pages may be kept although the run broke after them: up to the last checkpoint."""
    return max((n for n, page in enumerate(held, start=1) if page.checkpoint), default=0)


def _as_record(outcome: RunOutcome, traffic: Traffic | None) -> SourceRun:
    quota = traffic.quota if traffic else {}
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
        truncations=outcome.truncations,
        truncated_total=outcome.truncated_total,
        removed_total=outcome.removed,
        requests_total=outcome.requests,
        failure=outcome.failure.value if outcome.failure else None,
        quota={name: (left.remaining, left.limit) for name, left in sorted(quota.items())},
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
