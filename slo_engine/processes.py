"""A first derivation shared among processes: judging is Python, and one process uses one processor.

Each process opens the store itself and derives some pieces as `slo_engine.derive` does, a transaction each, so whatever
ends in between leaves what is whole. What pieces mean for each other is left to the caller.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, cast

from collector.bulk import seldom_collecting
from collector.errors import StoreError
from collector.store import Database, DerivationStore, EventStore
from slo_engine.derive import Done, Why, written
from slo_engine.indicator import Asked, Family
from slo_engine.organisation import Organisation

_SHARE = 8
"""How many pieces in a row one process has, and reports together: neighbours by name often share a repository."""


class _Task(NamedTuple):
    """What a process is given."""

    folder: Path
    family: Family
    organisation: Organisation
    why: Why
    scopes: Sequence[str]


@dataclass(frozen=True)
class Processes:
    """Derives in `count` processes on the store of a folder; see `slo_engine.derive.Helpers`."""

    folder: Path
    count: int

    def __call__(
        self, family: Family, organisation: Organisation, scopes: Sequence[str], reason: Why
    ) -> Sequence[Done]:
        """Derive and write all these pieces. Raises StoreError where one of the processes does.

        One that cannot start or is killed, as for want of memory, costs nothing but time: what it did not do is missing
        in the result.
        """
        if self.count < 2 or len(scopes) < self.count:  # noqa: PLR2004 - alone nothing is shared
            return ()
        # Not forked: the service has threads, whose locks a copy would hold for ever.
        context = multiprocessing.get_context("spawn")
        with contextlib.ExitStack() as stack:
            reports: list[Connection] = []
            for number in range(self.count):
                own = [s for i, s in enumerate(scopes) if i // _SHARE % self.count == number]
                report, told = context.Pipe(duplex=False)
                stack.callback(report.close)
                process = context.Process(
                    target=_work, args=(_Task(self.folder, family, organisation, reason, own), told)
                )
                with told, contextlib.suppress(OSError):
                    process.start()
                    stack.callback(process.join)
                    stack.callback(process.terminate)
                    reports.append(report)
            return list(_reported(reports))


def _reported(reports: list[Connection]) -> Iterator[Done]:
    """What processes report, until each has ended: the pipe of one that ends says so."""
    while reports:
        for report in cast("list[Connection]", wait(reports)):
            try:
                said = report.recv()
            except (EOFError, OSError):
                reports.remove(report)
                continue
            if isinstance(said, str):
                raise StoreError(said)
            yield from said


def _work(task: _Task, told: Connection) -> None:
    """Do one process's share. When nobody listens any more, it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it says when to stop
    with contextlib.suppress(BrokenPipeError):
        try:
            database = Database.open(task.folder)
            for start in range(0, len(task.scopes), _SHARE):
                told.send(_share(task, database, task.scopes[start : start + _SHARE]))
            database.close()
        except StoreError as error:
            told.send(str(error))


def _share(task: _Task, database: Database, scopes: Sequence[str]) -> list[Done]:
    events = EventStore(database)
    asked = Asked(only=frozenset(scopes), revisions=events.revisions())
    with seldom_collecting(), events.steadily():
        return list(written(task.family, events, task.organisation, DerivationStore(database), asked, task.why))
