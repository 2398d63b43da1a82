"""The queue of collecting that worker processes share, in the store's PostgreSQL. Sole importer of procrastinate.

A job names a source and nothing else: what there is to read follows from the cursor in the store. Jobs of one lock,
which stands for an account at an API, run one after the other in the order in which they came, whichever worker takes
them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import procrastinate
from procrastinate import exceptions
from procrastinate.jobs import DeleteJobCondition, Job, Status
from procrastinate.manager import JobManager
from procrastinate.schema import SchemaManager
from procrastinate.sync_psycopg_connector import wrap_exceptions
from pydantic import SecretStr

from collector.errors import StoreError
from collector.store import Transaction
from collector.store.coordination import Step
from collector.store.database import address_of
from collector.store.leases import SCHEMA, NoLongerHolder
from collector.store.postgresql import connection_options
from paceline.dispatch import Asked

STALLED_SECONDS = 12.0
"""After so long without a sign of life a worker's jobs are given to another one."""
_SIGN_SECONDS = 3.0
_POLL_SECONDS = 2.0
_LOOK_SECONDS = 3.0
_PATIENCE_SECONDS = 10.0
"""How long one of its questions may wait for a connection: then the database is taken to be away."""
_COLLECT, _PUNCTUAL = "collect", "punctual"
_TASK = "collect"
_OWN = (
    f"SELECT set_config('application_name', %s, true) FROM {SCHEMA}.procrastinate_jobs "  # noqa: S608 - our own names
    "WHERE id = %s AND status = 'doing' AND worker_id = %s AND attempts = %s"
)
_FINISH = (
    f"DELETE FROM {SCHEMA}.procrastinate_jobs "  # noqa: S608 - as above
    "WHERE id = %(job)s AND status = 'doing' AND worker_id = %(worker)s AND attempts = %(attempts)s"
)
_END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = %(name)s AND usename = current_user AND datname = current_database()"
)


@dataclass(frozen=True)
class Own:
    """Lets a run write only while its job is this worker's: one that was frozen may have been given to another."""

    job: int
    worker: int
    attempts: int

    def __call__(self, transaction: Transaction) -> None:
        """Look whether it is, and have the transaction's connection called so meanwhile. Raises NoLongerHolder."""
        if not transaction.rows(_OWN, (_named(self.job, self.attempts), self.job, self.worker, self.attempts)):
            raise NoLongerHolder("another worker was given this run, nothing was written")


def _named(job: int, attempts: int) -> str:
    """What the connection is called in which a run writes, by which another worker can end it."""
    return f"paceline run {job}.{attempts}"


Work = Callable[[str, str, Own], Awaitable[bool]]
"""Collects a source, by name, with its lock, and with what lets it write; False where that did not let it any more."""


def steps() -> Iterator[Step]:
    """The library's schema: as a whole where there is none yet, else what later versions changed."""
    migrations = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    yield Step("procrastinate", SchemaManager.get_schema())
    for path in migrations:
        yield Step(f"procrastinate {path.stem}", path.read_text(encoding="utf-8"), part_of="procrastinate")


class Asking:
    """Puts sources into the queue, for the one process that says when which is due."""

    def __init__(self, place: SecretStr) -> None:
        connector = procrastinate.SyncPsycopgConnector(**_pool(place), configure=_searching)
        self._app = _app(connector)
        self._opened = False

    def waiting(self) -> frozenset[str]:
        """The sources that are waiting or being collected. Raises StoreError."""
        with _failing():
            jobs = self._opened_app().job_manager.list_jobs(task=_TASK)
        going_on = {Status.TODO.value, Status.DOING.value}
        return frozenset(str(job.task_kwargs["source"]) for job in jobs if job.status in going_on)

    def ask(self, asked: Asked) -> bool:
        """Have a source collected; False where it is waiting already. Raises StoreError."""
        task = self._opened_app().configure_task(
            _TASK,
            lock=asked.lock,
            queueing_lock=asked.source,
            queue=_PUNCTUAL if asked.punctual else _COLLECT,
        )
        with _failing():
            try:
                task.defer(source=asked.source)
            except exceptions.AlreadyEnqueued:
                return False
        return True

    def close(self) -> None:
        """Close its connections."""
        if self._opened:
            self._app.close()

    def _opened_app(self) -> procrastinate.App:
        if not self._opened:
            with _failing(), contextlib.ExitStack() as on_failure:
                on_failure.callback(
                    self._app.close
                )  # else the same app would keep connections that nobody makes any more
                self._app.open()
                on_failure.pop_all()
            self._opened = True
        return self._app


async def work(place: SecretStr, do: Work, at_once: int, grace_seconds: float, ready: Callable[[bool], None]) -> None:
    """Take jobs until cancelled, then wait some seconds for those at work. Raises StoreError where the database fails.

    `at_once`: how many sources that are not punctual. `ready` hears whether jobs are taken.
    """
    app = _app(procrastinate.PsycopgConnector(**_pool(place), max_size=8, configure=_searching_async))
    own = _Running()

    async def collect(context: procrastinate.JobContext, source: str) -> None:
        job = context.job
        with own.running(job.id or 0):
            if not await do(source, job.lock or "", Own(job.id or 0, job.worker_id or 0, job.attempts)):
                own.lost = True

    app.task(name=_TASK, pass_context=True)(collect)
    with _failing():
        async with app.open_async():
            ready(True)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_give_on(app, own))
                    for queue, most in ((_COLLECT, at_once), (_PUNCTUAL, 8 * at_once)):
                        group.create_task(_ended(app, queue, most, grace_seconds))
            except ExceptionGroup as problems:
                raise problems.exceptions[0] from None
            finally:
                ready(False)


async def _ended(app: procrastinate.App, queue: str, at_once: int, grace_seconds: float) -> None:
    await app.run_worker_async(
        queues=[queue],
        name=queue,
        concurrency=at_once,
        fetch_job_polling_interval=_POLL_SECONDS,
        delete_jobs=DeleteJobCondition.ALWAYS,
        update_heartbeat_interval=_SIGN_SECONDS,
        stalled_worker_timeout=STALLED_SECONDS,
        shutdown_graceful_timeout=grace_seconds,
        install_signal_handlers=False,
    )
    # Nobody told it to stop: the database did.
    raise StoreError("the queue of jobs cannot be reached")


class _Running:
    """The jobs at work in this process, and whether one of them was given to another worker meanwhile."""

    def __init__(self) -> None:
        self.jobs: set[int] = set()
        self.lost = False

    @contextlib.contextmanager
    def running(self, job: int) -> Iterator[None]:
        self.jobs.add(job)
        try:
            yield
        finally:
            self.jobs.discard(job)


async def _give_on(app: procrastinate.App, own: _Running) -> None:
    """Put jobs of workers that show no sign of life back into the queue, whoever notices it first.

    Raises StoreError where this worker is one of them: it was frozen, or its signs did not reach the database. The
    library does not always notice that, so all begins anew.
    """
    while True:
        stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS)
        if own.lost or any(job.id in own.jobs for job in stalled):
            raise StoreError("this worker gave no sign of life, its work is given to another one")
        for job in stalled:
            with contextlib.suppress(exceptions.ConnectorException):  # another one was faster
                await app.job_manager.retry_job(job)
            # Frozen while it writes it would hold up every writer: idle or not, for its kernel still answers.
            name = _named(job.id or 0, job.attempts)
            await app.connector.execute_query_all_async(_END, name=name)
        await asyncio.sleep(_LOOK_SECONDS)


class _Jobs(JobManager):
    """As the library's, but that a worker ends no run that was given to another one while it was frozen."""

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001 - as there
        """Delete a job, however it ended, that is still this worker's."""
        del status, delete_job
        await self.connector.execute_query_async(_FINISH, job=job.id, worker=job.worker_id, attempts=job.attempts)


def _app(connector: Any) -> procrastinate.App:
    app = procrastinate.App(connector=connector, periodic_defaults={})
    app.job_manager = _Jobs(app.connector)
    return app


def _pool(place: SecretStr) -> dict[str, Any]:
    def options() -> dict[str, Any]:
        return connection_options(address_of(place))

    # Each new connection asks for them: a password may be exchanged.
    return {"conninfo": "", "kwargs": options, "min_size": 1, "timeout": _PATIENCE_SECONDS}


def _searching(connection: Any) -> None:
    connection.autocommit = True  # else the pool finds it in a transaction
    connection.execute(f"SET search_path = {SCHEMA}")


async def _searching_async(connection: Any) -> None:
    await connection.set_autocommit(True)
    await connection.execute(f"SET search_path = {SCHEMA}")


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    try:
        with wrap_exceptions():  # which the library forgets where connections are opened
            yield
    except exceptions.ConnectorException as error:
        raise StoreError("the queue of jobs cannot be reached") from error
