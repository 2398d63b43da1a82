"""A first derivation shared among processes: judging is Python, and one process uses one processor.

Each process opens the store itself and derives some pieces of each family as `slo_engine.derive` does, so whatever
ends in between leaves what is whole. What pieces mean for each other is left to the caller.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import Synchronized
from typing import NamedTuple, cast

from collector.bulk import collecting_between
from collector.errors import StoreError
from collector.store import Database, DerivationStore, EventStore, Guard, Place
from slo_engine.derive import Done, Finished, Task, written
from slo_engine.indicator import Asked
from slo_engine.organisation import Organisation

_FEW = 8
"""So many pieces in a row at least one process has: neighbours by name often share a repository."""
_SHARES = 4
"""A share is this part of what each process would have left to do: who is done with one takes the next, a smaller one,
so that all end together."""

_PATIENCE = 10.0
"""Seconds after which whoever takes a share, which is a matter of microseconds, is given up."""


class _Work(NamedTuple):
    """What all processes do together, share by share."""

    place: Place
    organisation: Organisation
    shares: Sequence[Task]
    guard: Guard | None = None
    name: str = "paceline"


def no_guard() -> None:
    """Nothing: every transaction may write."""


@dataclass(frozen=True)
class Processes:
    """Derives in `count` processes on the store at a place; see `slo_engine.derive.Helpers`.

    `guard`: what lets transactions write at that time, which goes to the other processes. `name`: what the database
    calls their connections, by which another process can end them.
    """

    place: Place
    count: int
    guard: Callable[[], Guard | None] = no_guard
    name: str = "paceline"

    @contextlib.contextmanager
    def __call__(self, organisation: Organisation, tasks: Sequence[Task]) -> Iterator[Finished]:
        """Begin to derive and write all these pieces. The end raises StoreError where one of the processes does.

        One that cannot start or is killed, as for want of memory, costs nothing but time: what it did not do is missing
        in the result.
        """
        if self.count < 2 or all(len(task.scopes) < self.count for task in tasks):  # noqa: PLR2004 - alone nothing is shared
            yield dict
            return
        # Not forked: the service has threads, whose locks a copy would hold for ever.
        context = multiprocessing.get_context("spawn")
        shares = [share for task in tasks for share in self.shares(task)]
        work = _Work(self.place, organisation, shares, self.guard(), self.name)
        taken = context.Value("i", 0)
        with contextlib.ExitStack() as stack:
            lines = [context.Pipe() for _ in range(self.count)]
            for report, _ in lines:
                stack.callback(report.close)
            # It listens meanwhile: nobody who reports has to wait. It ends when the processes have.
            listener = stack.enter_context(ThreadPoolExecutor(1))
            reports: list[Connection] = []
            for report, told in lines:
                process = context.Process(target=_work, args=(taken, told))
                with told, contextlib.suppress(OSError):
                    process.start()
                    stack.callback(process.join)
                    stack.callback(process.terminate)
                    reports.append(report)
            # What is much is told once all have begun: each reads it only when it has imported everything.
            for report in reports:
                with contextlib.suppress(OSError):
                    report.send(work)
            yield listener.submit(_reported, reports).result

    def shares(self, task: Task) -> Iterator[Task]:
        """The pieces of a task in parts that one of the processes derives."""
        start, pieces = 0, len(task.scopes)
        while start < pieces:
            size = max(_FEW, (pieces - start) // (self.count * _SHARES))
            yield task._replace(scopes=task.scopes[start : start + size])
            start += size


def _reported(reports: list[Connection]) -> Mapping[str, Sequence[Done]]:
    """What processes report by family, until each has ended: the pipe of one that ends says so."""
    found: dict[str, list[Done]] = defaultdict(list)
    while reports:
        for report in cast("list[Connection]", wait(reports)):
            try:
                said = report.recv()
            except (EOFError, OSError):
                reports.remove(report)
                continue
            if isinstance(said, str):
                raise StoreError(said)
            family, done = said
            found[family].append(done)
    return found


def _work(taken: Synchronized[int], told: Connection) -> None:
    """Hear what is to be done, and do one share after the other. When nobody listens any more, it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it says when to stop
    with contextlib.suppress(ConnectionError, EOFError):
        work: _Work = told.recv()
        try:
            database = Database.open(work.place, work.name)
            if work.guard is not None:
                database = database.guarded(work.guard)
            events = EventStore(database)
            with events.steadily():
                for share in collecting_between(_taken(work.shares, taken)):
                    asked = Asked(only=frozenset(share.scopes), revisions=events.revisions())
                    store = DerivationStore(database)
                    for done in written(share.family, events, work.organisation, store, asked, share.why):
                        told.send((share.family.name, done))
            database.close()
        except StoreError as error:
            told.send(str(error))


def _taken(shares: Sequence[Task], taken: Synchronized[int]) -> Iterator[Task]:
    """The shares that no other process has taken before; no more where one was killed just when it took one."""
    lock = taken.get_lock()
    while lock.acquire(timeout=_PATIENCE):
        number = taken.value
        taken.value += 1
        lock.release()
        if number >= len(shares):
            return
        yield shares[number]
