"""Puts the parts together; all construction happens here. Everything else is handed what it needs."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from collector.errors import ConfigError, Mistake
from collector.http import Wire
from collector.people import People, load_key
from collector.registry import source_types
from collector.run import Runner
from collector.source import SourceContext
from collector.store import (
    Database,
    DeliveryLog,
    DerivationStore,
    EventStore,
    InboxStore,
    ObservationStore,
    RetentionStore,
    from_micros,
)
from collector.store.leases import connections_of
from paceline.dispatch import Dispatch
from paceline.health import Health
from paceline.logs import Log, configure
from paceline.privacy import DiscreetEvents
from paceline.pushing import Pushes
from paceline.quickstart import quickstart
from paceline.replicas import Election, Guest, account_of
from paceline.resources import alert_windows
from paceline.retention import Pruner, kept_for
from paceline.service import Service
from paceline.settings import Configuration, load
from paceline.slo_history import SloHistory
from paceline.telemetry import Telemetry
from slo_engine.alert_windows import load_tiers
from slo_engine.beside import Beside
from slo_engine.indicator import families, indicators
from slo_engine.processes import Processes, no_guard

if TYPE_CHECKING:
    from paceline.access.door import Access

DEFAULT_CONFIG = "paceline.yaml"
_KEY = "PACELINE_PEOPLE_KEY"
_FROZEN_SECONDS = 15
"""After so long PostgreSQL ends what a worker left open: its runs are given to another one by then."""


def utc_now() -> datetime:
    """The present, aware and in UTC: the one place that asks the clock."""
    return datetime.now(UTC)


def configuration(config: Path | None, environ: Mapping[str, str], working_dir: Path) -> Configuration:
    """The configuration of a file: the one named, `PACELINE_CONFIG`, `./paceline.yaml`, else the quickstart.

    Raises ConfigError with every mistake, including those that only a look at the world shows. Where all that is wrong
    is that something is away, which costs its source and nobody else, it says so.
    """
    named = config or (Path(environ["PACELINE_CONFIG"]) if environ.get("PACELINE_CONFIG") else None)
    if named is None and (working_dir / DEFAULT_CONFIG).exists() and not environ.get("PACELINE_REPO"):
        named = working_dir / DEFAULT_CONFIG
    if named is None:
        return quickstart(working_dir, environ, indicators())
    found = load(named, environ, source_types(), families())
    mistakes = _visible_mistakes(found)
    if not all(m.passing for m in mistakes):
        raise ConfigError(*mistakes)
    return replace(found, away=tuple(mistakes))


def _visible_mistakes(found: Configuration) -> list[Mistake]:
    # Checking writes nothing: the people key of a real run is not needed to look for repositories and files.
    context = _context(found, People(b"check only"), utc_now)
    mistakes: list[Mistake] = []
    for index, source in enumerate(found.sources):
        for mistake in source.check(context):
            place = ("sources", index, mistake.path)
            if found.document is not None:
                placed = found.document.mistake(place, mistake.problem, mistake.expected)
                mistakes.append(replace(placed, passing=mistake.passing))
    return mistakes


def _context(found: Configuration, people: People, clock: Callable[[], datetime]) -> SourceContext:
    wire = Wire(reach=found.settings.network.reach)
    return SourceContext(data_dir=found.data_dir, base_dir=found.base_dir, people=people, clock=clock, wire=wire)


def looking(found: Configuration, environ: Mapping[str, str]) -> SourceContext:
    """What a source is lent when it is looked at without a store. The folder of clones and the people key is made."""
    found.data_dir.mkdir(parents=True, exist_ok=True)
    return _context(found, people_of(found, environ), clock_of(found))


def clock_of(found: Configuration) -> Callable[[], datetime]:
    """The clock of a configuration: one that stands where its settings say a time."""
    at = found.settings.as_of
    return utc_now if at is None else lambda: at


def people_of(found: Configuration, environ: Mapping[str, str]) -> People:
    """What makes keyed hashes of people, with the key of a configuration, which is made where there is none."""
    key = load_key(found.data_dir, environ.get(_KEY))
    return People(key, found.settings.bots.named)


if TYPE_CHECKING:
    from collector.store.coordination import Coordination
    from paceline.queue import Asking


class Part(Enum):
    """What a process does on a store that it may share."""

    ALONE = auto()
    """One command, or a service that is the only one."""
    SERVE = auto()
    WORK = auto()


@dataclass(frozen=True)
class Replica:
    """One of several processes on a PostgreSQL: its place in the election, and the queue of collecting."""

    place: SecretStr
    coordination: Coordination
    election: Election
    dispatch: Dispatch
    queue: Asking

    def close(self) -> None:
        """Give back what it holds."""
        self.election.close()
        self.queue.close()
        self.coordination.close()


@dataclass(frozen=True)
class Visit:
    """One command on a PostgreSQL on which replicas may be at work."""

    coordination: Coordination
    election: Guest

    def close(self) -> None:
        """Give back what it holds."""
        self.election.close()
        self.coordination.close()


@dataclass(frozen=True)
class Running:
    """A service with what must be closed after it."""

    service: Service
    log: Log
    database: Database
    telemetry: Telemetry
    people: People
    pruner: Pruner
    second: Beside | None = None
    replica: Replica | None = None
    """What this process shares with others on one PostgreSQL, where it does."""
    visit: Visit | None = None
    """The part that one command takes in it."""

    def close(self) -> None:
        """Send what is waiting, end the process beside and close the store."""
        self.service.pushes.close()
        self.telemetry.close()
        for shared in (self.replica, self.visit):
            if shared is not None:
                shared.close()
        if self.second is not None:
            self.second.close()
        self.database.close()


def access_of(running: Running, clock: Callable[[], datetime]) -> Access:
    """Who may ask a running service for what, by its settings. `clock` tells real time, also where `as_of` stands."""
    from paceline.access.door import Place as Here  # noqa: PLC0415 - only what serves pays for the web framework
    from paceline.access.door import build_access  # noqa: PLC0415 - as above

    found = running.service.configuration
    here = Here(url=found.settings.server.url, base_dir=found.base_dir, data_dir=found.data_dir)
    key, wire = running.people.derived("access"), Wire(reach=found.settings.network.reach)
    return build_access(found.settings.access, here, key, clock=clock, log=running.log, wire=wire)


def build(
    found: Configuration,
    clock: Callable[[], datetime] | None = None,
    environ: Mapping[str, str] = os.environ,
    part: Part = Part.ALONE,
) -> Running:
    """The service of a configuration, with its store opened and migrated. It tells the time that the settings say.

    `part`: as what it takes part where several processes share a PostgreSQL. A store in a file is nobody else's.
    """
    settings = found.settings
    clock = clock or clock_of(found)
    log = configure(settings.logs.level, settings.logs.format)
    telemetry = Telemetry(settings.telemetry.otlp_endpoint)
    place = found.place if isinstance(found.place, SecretStr) else None
    holder = secrets.token_hex(8)
    name = connections_of(holder)
    database = Database.open(found.place, name, _FROZEN_SECONDS if part is Part.WORK else 0)
    found.data_dir.mkdir(parents=True, exist_ok=True)  # which a store elsewhere does not make
    people = people_of(found, environ)
    found = replace(found, identities=found.reviewed.hashed(people))
    second = Beside(found.place) if settings.processes > 1 and part is not Part.WORK else None
    events = DiscreetEvents(database, people, found.identities, settings.privacy.is_public)
    replica, visit = None, None
    if place is not None and part is Part.ALONE:
        visit = _visit(place, holder, database, log)
    elif place is not None:
        replica = _replica(found, place, holder, database, events, load_key(found.data_dir, environ.get(_KEY)), log)
    taking = replica or visit
    election = None if taking is None else taking.election
    own = database if election is None else database.guarded(election.guard)
    observations = ObservationStore(own)
    inbox, delivery_log = InboxStore(database, EventStore(database)), DeliveryLog(database)
    health = Health(
        database=database,
        inbox=inbox,
        reports=delivery_log,
        deliveries=[delivery.name for delivery in found.deliveries],
        folder=found.data_dir,
        clock=clock,
        real=utc_now,
        log=log,
    )
    service = Service(
        configuration=found,
        context=_context(found, people, clock),
        runner=Runner(
            database=database,
            store=events,
            clock=clock,
            spool=None if place is None else found.data_dir,
        ),
        events=events,
        inbox=inbox,
        observations=observations,
        derivations=DerivationStore(own),
        delivery_log=delivery_log,
        families=families(),
        tiers=load_tiers(alert_windows()),
        telemetry=telemetry,
        pushes=_pushes(found, observations, log, (lambda: True) if election is None else election.shows),
        health=health,
        log=log,
        clock=clock,
        helpers=Processes(found.place, settings.processes, no_guard if election is None else election.fence, name),
        second=second,
        slos_then=SloHistory(found, environ, indicators()).of,
        role=election,
    )
    pruner = Pruner(
        # Whoever asks for it by a command need not be the evaluator: pruning touches nothing that is derived.
        RetentionStore(own if visit is None else database),
        kept_for(settings.retention, families(), found.organisation, found.slos),
        clock,
        time.sleep,
        log,
    )
    return Running(service, log, database, telemetry, people, pruner, second, replica, visit)


def _pushes(found: Configuration, observations: ObservationStore, log: Log, allowed: Callable[[], bool]) -> Pushes:
    """What sends metrics on, once it is started. It lives in the present, also where the settings stand still."""
    telemetry, stopped, started_at = found.settings.telemetry, threading.Event(), utc_now()
    if telemetry.otlp_metrics is None and telemetry.remote_write is None:
        return Pushes((), log, utc_now, stopped)
    # Only those who send metrics pay for the import of what writes them.
    from paceline.push_senders import senders  # noqa: PLC0415

    def began() -> datetime:
        # Counters hold all that was ever observed, and outlive this process.
        first = observations.first_at()
        return started_at if first is None else min(from_micros(first), started_at)

    own = senders(found.settings, found.base_dir, began, stopped)
    return Pushes(tuple(own), log, utc_now, stopped, allowed)


def _visit(place: SecretStr, holder: str, database: Database, log: Log) -> Visit:
    from collector.store.coordination import Coordination, prepared  # noqa: PLC0415 - as below

    prepared(database)
    coordination = Coordination(place, holder)
    return Visit(coordination, Guest(coordination, log))


def _replica(  # noqa: PLR0913, PLR0917 - it is put together here alone
    found: Configuration, place: SecretStr, holder: str, database: Database, events: EventStore, key: bytes, log: Log
) -> Replica:
    # Who has a file does not pay for these.
    from collector.store.coordination import Coordination, prepared  # noqa: PLC0415
    from paceline.queue import Asking, steps  # noqa: PLC0415

    prepared(database, tuple(steps()))
    coordination, queue = Coordination(place, holder), Asking(place)
    dispatch = Dispatch(
        found.sources, events.runs, queue, coordination.paused, lambda source: account_of(source, key), log
    )
    return Replica(place, coordination, Election(coordination, log), dispatch, queue)
