"""A process that only collects: it takes sources from the queue, with health and metrics of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from collector.errors import StoreError
from collector.run import Failure
from collector.store.leases import NoLongerHolder
from paceline.access.caller import caller_of
from paceline.access.door import guard
from paceline.health import Health
from paceline.queue import Own, work
from paceline.readiness import worker_readiness
from paceline.server import bounded, certificate_of, listen, stop_on_signals
from paceline.wiring import Replica, Running, access_of, utc_now
from slo_engine.exposition import render, worker_samples

_GRACE_SECONDS = 10.0
"""How long a run may go on after the process was told to stop: then it is given up, and another worker does it anew."""
_REST_SECONDS = 2.0
_LOOK_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3_600.0
_PUNCTUAL_FACTOR = 9


class Worker:
    """Does jobs in threads and counts how they ended."""

    def __init__(self, running: Running, replica: Replica) -> None:
        self.jobs: Counter[str] = Counter(done=0, failed=0, postponed=0)
        self.busy = 0
        self.ready = False
        self._running, self._replica = running, replica
        self._sources = {s.name: s for s in running.service.configuration.sources}
        self._at_once = running.service.configuration.settings.replicas.jobs
        self.at_work = 0
        """Threads in a run: a run that was given up still has one."""
        self._counting = threading.Lock()
        self._threads = ThreadPoolExecutor(_PUNCTUAL_FACTOR * self._at_once, "collect")

    @property
    def health(self) -> Health:
        """How the process fares besides."""
        return self._running.service.health

    async def run(self) -> None:
        """Take jobs until cancelled; where the database fails, begin anew after a rest."""
        while True:
            try:
                await work(self._replica.place, self._do, self._at_once, _GRACE_SECONDS, self._is_ready)
            except StoreError as error:
                self._running.log.error("the worker begins anew", error=str(error))
            await asyncio.sleep(_REST_SECONDS)

    def _is_ready(self, ready: bool) -> None:  # noqa: FBT001 - told by what takes jobs
        self.ready = ready

    async def _do(self, source: str, lock: str, own: Own) -> bool:
        self.busy += 1
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self._threads, self._counted, source, lock, own)
        finally:
            self.busy -= 1
        self.jobs[outcome] += outcome in self.jobs
        return outcome != "lost"

    def _counted(self, name: str, lock: str, own: Own) -> str:
        with self._counting:
            self.at_work += 1
        try:
            return self._collect(name, lock, own)
        finally:
            with self._counting:
                self.at_work -= 1

    def _collect(self, name: str, lock: str, own: Own) -> str:
        """Collect a source: `done`, `failed`, `postponed` where its account is left alone, `lost` if taken away."""
        source, coordination = self._sources.get(name), self._replica.coordination
        if source is None:
            self._running.log.warning("the settings of this worker know no such source", source=name)
            return "failed"
        try:
            if lock in coordination.paused():
                return "postponed"
            outcome = self._running.service.collect(source, guard=own)
            if outcome.limited_seconds > 0:
                coordination.pause(lock, min(outcome.limited_seconds, _LONGEST_PAUSE_SECONDS))
            if outcome.failure is Failure.STORE:
                self._still(own)
        except NoLongerHolder:
            return "lost"
        except StoreError as error:
            self._running.log.error("the state of an account cannot be told", source=name, error=str(error))
            return "failed"
        return "done" if outcome.succeeded else "failed"

    def _still(self, own: Own) -> None:
        """Raises NoLongerHolder where a run was given to another worker."""
        with self._running.database.guarded(own).transaction():
            pass


def work_until_stopped(running: Running, replica: Replica, host: str, port: int, say: Callable[[str], object]) -> None:
    """Work until interrupted. Raises PacelineError where the address cannot be used."""
    listening = listen(host, port)
    worker, stop = Worker(running, replica), threading.Event()
    certificate = certificate_of(running, stop)
    # A daemon: where the database is away a look takes long, and the end does not wait for it.
    threading.Thread(target=_look, args=(worker.health, stop), name="health", daemon=True).start()
    scheme = "http" if certificate is None else "https"
    say(f"Worker       {scheme}://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/metrics")
    app = create_app(worker)
    guard(app, access_of(running, utc_now))
    server = uvicorn.Server(bounded(app, running, certificate))
    stop_on_signals(server)

    async def both() -> None:
        working = asyncio.create_task(worker.run())
        await server.serve(sockets=[listening])
        working.cancel()
        await asyncio.wait([working], timeout=_GRACE_SECONDS + _REST_SECONDS)

    try:
        asyncio.run(both())
    finally:
        stop.set()
    if worker.at_work:
        running.log.warning("a run was still at work and is given up; another worker does it anew")
        running.close()
        os._exit(0)


def _look(health: Health, stop: threading.Event) -> None:
    """Look at how the process fares until told to stop."""
    health.look()
    while not stop.wait(_LOOK_SECONDS):
        health.look()


def create_app(worker: Worker) -> FastAPI:
    """Health and metrics of a worker, from memory."""
    app = FastAPI(title="Paceline worker", version=version("paceline"), docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        view = worker_readiness(worker.health, ready=worker.ready)
        if not caller_of(request.scope).is_known:
            view = view.model_copy(update={"problems": [], "parts": None})
        return JSONResponse(view.told(), status_code=200 if worker.ready else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        state = worker.health.state
        samples = worker_samples(version("paceline"), worker.jobs, worker.busy, state, ready=worker.ready)
        accept, encoding = (request.headers.get(h, "") for h in ("accept", "accept-encoding"))
        body, headers = render(samples).negotiate(accept, encoding)
        return Response(body, headers=headers)

    return app
