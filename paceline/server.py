"""Runs the service: scheduler beside the web server, until a signal."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial

import uvicorn
from fastapi import FastAPI

from collector.bulk import stay
from collector.errors import PacelineError
from paceline.access.connections import MOST_HEAD_BYTES, counting
from paceline.access.peers import Peers
from paceline.access.tls import Certificate
from paceline.dispatch import Dispatch
from paceline.enricher import build_enricher
from paceline.scheduler import lead_now, schedule, shut_down
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.weeklies import Weeklies
from paceline.wiring import Running, access_of

_SLOW_READER_SECONDS = 1
_SWITCH_SECONDS = 0.0005
"""How long who answers requests waits for one that computes: each step of a request may have to wait so long."""


def serve(running: Running, host: str, port: int, clock: Callable[[], datetime], say: Callable[[str], object]) -> None:
    """Serve until interrupted. Raises PacelineError where the address cannot be used."""
    service, log = running.service, running.log
    listening = listen(host, port)
    settings = service.configuration.settings.notify
    replica = running.replica
    claims = None if replica is None else replica.coordination
    enricher = build_enricher(service, settings, tiers=service.tiers, log=log, clock=clock, claims=claims)
    webhooks = Webhooks(service, log, clock)
    stop = threading.Event()
    try:
        certificate = certificate_of(running, stop)
        scheduler = schedule(service, log, clock, _dispatch(running), running.pruner)
        if replica is not None:
            replica.election.look()
            # Now: the lease is renewed while a first derivation goes on.
            replica.election.start(partial(lead_now, scheduler, service, log, clock))
        if service.exposes():
            service.drain()
        # What the store knows already is published before the first scrape, not only after the first run.
        service.refresh()
        service.pushes.start()
        scheduler.start()
        weeklies = Weeklies(service)
        # A daemon: what it makes nobody waits for, so the end of the process may come at any time.
        threading.Thread(target=weeklies.keep_ready, args=(stop,), name="weeklies", daemon=True).start()
        scheme = "http" if certificate is None else "https"
        shown = f"{scheme}://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        say(f"Status page  {shown}/")
        say(f"Metrics      {shown}/metrics")
        say(f"SLOs         {shown}/api/v1/slos")
        app = create_app(service, enricher, webhooks, weeklies, access_of(running, clock))
        config = bounded(app, running, certificate)
        server = uvicorn.Server(config)
        _answer_soon()
        stop_on_signals(server)
        try:
            server.run(sockets=[listening])
        finally:
            stop.set()
            if replica is not None:
                # From now on nothing is exposed here: another replica need not wait for the lease's end.
                replica.election.close()
            finished = shut_down(scheduler)
        if not finished:
            # Threads cannot be stopped. Giving up a run is harmless: it keeps all or nothing.
            log.warning("a job was still at work and is given up; the next start does its work")
            webhooks.close()
            running.close()
            os._exit(0)
    finally:
        webhooks.close()
        enricher.close()
        listening.close()


def _answer_soon() -> None:
    """Whoever computes in this process lets those go first who answer requests."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    stay()


def bounded(app: FastAPI, running: Running, certificate: Certificate | None) -> uvicorn.Config:
    """How an app is served: nobody takes more time, memory or connections than is allowed."""
    settings = running.service.configuration.settings
    most = settings.server.connections
    return uvicorn.Config(
        app,
        log_level="warning",
        log_config=None,  # what it says goes where everything else does
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SLOW_READER_SECONDS,
        http=counting(most // 2, Peers(settings.access.proxy).is_proxy),
        ws="none",
        proxy_headers=False,  # else anybody on this machine could say from where a request comes
        limit_concurrency=most,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        ssl_context_factory=None if certificate is None else lambda _config, _usual: certificate.context,
    )


def _dispatch(running: Running) -> Dispatch | None:
    """What gives sources to workers, where they collect."""
    workers = running.service.configuration.settings.replicas.collect == "workers"
    return running.replica.dispatch if running.replica is not None and workers else None


def certificate_of(running: Running, stop: threading.Event) -> Certificate | None:
    """The certificate of the settings, kept new until told to stop; None where there is none."""
    configuration = running.service.configuration
    tls = configuration.settings.server.tls
    if tls.certificate is None or tls.key is None:
        return None
    found = Certificate(configuration.base_dir / tls.certificate, configuration.base_dir / tls.key, running.log)
    threading.Thread(target=found.keep_new, args=(stop,), name="certificate", daemon=True).start()
    return found


def stop_on_signals(server: uvicorn.Server) -> None:
    """Uvicorn raises a signal again once it has shut down: the default action would end us before the rest is."""

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def listen(host: str, port: int) -> socket.socket:
    """A socket to serve on. Raises PacelineError where the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise PacelineError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with PACELINE_PORT or --port"
        ) from error
    return listening
