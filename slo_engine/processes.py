"""A first derivation shared among processes: judging is Python, and one process uses one processor.

Each process opens the store itself and derives some pieces of each family as `slo_engine.derive` does, so whatever
ends in between leaves what is whole. What pieces mean for each other is left to the caller.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, cast

from collector.bulk import seldom_collecting
from collector.errors import StoreError
from collector.store import Database, DerivationStore, EventStore, Place
from slo_engine.derive import Done, Task, written
from slo_engine.indicator import Asked
from slo_engine.organisation import Organisation

_SHARE = 8
"""How many pieces in a row one process has: neighbours by name often share a repository."""


class _Share(NamedTuple):
    """What a process is given."""

    place: Place
    organisation: Organisation
    tasks: Sequence[Task]


@dataclass(frozen=True)
class Processes:
    """Derives in `count` processes on the store at a place; see `slo_engine.derive.Helpers`."""

    place: Place
    count: int

    def __call__(self, organisation: Organisation, tasks: Sequence[Task]) -> Mapping[str, Sequence[Done]]:
        """Derive and write all these pieces. Raises StoreError where one of the processes does.

        One that cannot start or is killed, as for want of memory, costs nothing but time: what it did not do is missing
        in the result.
        """
        if self.count < 2 or all(len(task.scopes) < self.count for task in tasks):  # noqa: PLR2004 - alone nothing is shared
            return {}
        # Not forked: the service has threads, whose locks a copy would hold for ever.
        context = multiprocessing.get_context("spawn")
        with contextlib.ExitStack() as stack:
            reports: list[Connection] = []
            for number in range(self.count):
                share = _Share(self.place, organisation, [self._part(task, number) for task in tasks])
                report, told = context.Pipe(duplex=False)
                stack.callback(report.close)
                process = context.Process(target=_work, args=(share, told))
                with told, contextlib.suppress(OSError):
                    process.start()
                    stack.callback(process.join)
                    stack.callback(process.terminate)
                    reports.append(report)
            found: dict[str, list[Done]] = {task.family.name: [] for task in tasks}
            for name, done in _reported(reports):
                found[name].append(done)
            return found

    def _part(self, task: Task, number: int) -> Task:
        """The pieces of a task that one of the processes derives."""
        return task._replace(scopes=[s for i, s in enumerate(task.scopes) if i // _SHARE % self.count == number])


def _reported(reports: list[Connection]) -> Iterator[tuple[str, Done]]:
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
            yield said


def _work(share: _Share, told: Connection) -> None:
    """Do one process's share. When nobody listens any more, it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it says when to stop
    with contextlib.suppress(BrokenPipeError):
        try:
            database = Database.open(share.place)
            for task in share.tasks:
                for done in _done(task, database, share.organisation):
                    told.send((task.family.name, done))
            database.close()
        except StoreError as error:
            told.send(str(error))


def _done(task: Task, database: Database, organisation: Organisation) -> Iterator[Done]:
    events = EventStore(database)
    asked = Asked(only=frozenset(task.scopes), revisions=events.revisions())
    with seldom_collecting(), events.steadily():
        yield from written(task.family, events, organisation, DerivationStore(database), asked, task.why)
