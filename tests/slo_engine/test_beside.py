"""A process beside that derives a part of what is new: the same observations, also where it is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from source_states import source_state

from collector.events import Commit, Deployment, Event, Incident, IncidentState, Result
from collector.store import Database, DerivationStore, EventStore, ObservationRow, ObservationStore, Series
from slo_engine.beside import Beside
from slo_engine.derive import derive
from slo_engine.evaluate import Evaluator, Wanted
from slo_engine.indicator import families, indicators
from slo_engine.organisation import Organisation

pytestmark = pytest.mark.long

START = datetime(2026, 1, 5, tzinfo=UTC)
SERVICES = 60
NOTHING = Wanted(1, {}, START, frozenset(), (), {})
SOURCES = [
    source_state(
        name, type=name, last_success_at=START, last_run_at=START, last_duration_seconds=1.0, newest_event_at=START
    )
    for name in ("cd", "git", "pager")
]


def deployment(service: int, day: int) -> Deployment:
    """A deployment of a service on a day."""
    return Deployment(
        source="cd",
        native_id=f"service-{service:02}/{day}",
        service=f"service-{service:02}",
        environment="production",
        finished_at=START + timedelta(days=day, minutes=service),
        result=Result.SUCCESS,
        repository=f"o/service-{service:02}",
        sha=f"{service * 100 + day:040x}",
        actor="person:" + "a" * 32,
    )


def commit(service: int, day: int) -> Commit:
    """What is deployed on that day, an hour before."""
    at = deployment(service, day).finished_at - timedelta(hours=1)
    sha = f"{service * 100 + day:040x}"
    return Commit(
        source="git",
        native_id=sha,
        repository=f"o/service-{service:02}",
        sha=sha,
        parents=(f"{service * 100 + day - 1:040x}",),
        authored_at=at,
        committed_at=at,
        author="person:" + "a" * 32,
        on_default_branch=True,
    )


def incident(service: int, day: int, of: int) -> Incident:
    """An incident of a service that names another one's deployment."""
    started = deployment(service, day).finished_at + timedelta(hours=1)
    return Incident(
        source="pager",
        native_id=f"incident-{service}-{day}",
        service=f"service-{service:02}",
        environment="production",
        state=IncidentState.RESOLVED,
        started_at=started,
        restored_at=started + timedelta(hours=1),
        updated_at=started + timedelta(hours=1),
        deployment_native_id=deployment(of, day).native_id,
    )


def day(number: int) -> list[Event]:
    """What happened on a day: everybody deploys, and some of their incidents mean others."""
    each = range(SERVICES)
    told: list[Event] = [commit(service, number) for service in each]
    told += [deployment(service, number) for service in each]
    return told + [incident(service, number, SERVICES - 1 - service) for service in range(0, SERVICES, 7)]


class Store:
    """A store, and what derives it."""

    def __init__(self, folder: Path, second: Beside | None = None) -> None:
        self.database, self.second = Database.open(folder), second
        self.events = EventStore(self.database)

    def tell(self, events: list[Event]) -> None:
        """Write events and derive what they change."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        derive(families(), self.events, DerivationStore(self.database), Organisation(), START, None, self.second)

    def observed(self) -> Mapping[Series, list[Any]]:
        """The stored observations by series."""
        stored = ObservationStore(self.database)
        found = {
            series: stored.window([number], -(2**62), 2**62, *ObservationRow._fields)
            for number, series in stored.series().items()
        }
        return {series: rows for series, rows in found.items() if rows}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Store]:
    """Derived by one process."""
    made = Store(tmp_path / "alone")
    yield made
    made.database.close()


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Beside]:
    """A process beside, of the store of `both`."""
    made = Beside(tmp_path / "both")
    yield made
    made.close()


@pytest.fixture
def both(tmp_path: Path, second: Beside) -> Iterator[Store]:
    """Derived by two, of which the second is ready after the first days."""
    made = Store(tmp_path / "both", second)
    for number in (1, 2, 3):
        made.tell(day(number))
    assert second.ready(60)
    yield made
    made.database.close()


@pytest.fixture
def started(tmp_path: Path, second: Beside) -> Beside:
    """One that is ready, beside an empty store."""
    Database.open(tmp_path / "both").close()
    assert second.ready(60)
    return second


def _kill() -> None:
    """Kill the process beside."""
    _signal(signal.SIGKILL)


def _signal(what: signal.Signals) -> None:
    (child,) = multiprocessing.active_children()
    os.kill(child.pid or 0, what)


def test_two_processes_find_what_one_finds(alone: Store, both: Store) -> None:
    """Also where an incident of one's service means a deployment of the other's."""
    for number in (1, 2, 3, 4, 5, 6):
        alone.tell(day(number))
    for number in (4, 5, 6):
        both.tell(day(number))

    assert both.observed() == alone.observed()
    assert len(multiprocessing.active_children()) == 1


def test_one_that_is_killed_costs_only_time(alone: Store, both: Store) -> None:
    """What it did not do is done here, and after another long derivation there is a new one."""
    for number in (1, 2, 3, 4, 5):
        alone.tell(day(number))
    _kill()
    both.tell(day(4))
    both.tell(day(5))

    assert both.observed() == alone.observed()
    assert len(multiprocessing.active_children()) == 1


def test_one_that_is_killed_at_work_costs_only_time(alone: Store, both: Store) -> None:
    """It was asked and says nothing any more."""
    for number in (1, 2, 3, 4):
        alone.tell(day(number))
    killed = both.second
    both.second = _Killed(killed) if killed is not None else None
    both.tell(day(4))

    assert both.observed() == alone.observed()


def test_after_one_that_was_killed_at_work_another_one_can_be_asked(started: Beside) -> None:
    """Nobody waits for the answer that the first one owed."""
    _signal(signal.SIGSTOP)
    assert started.ask(Organisation(), [])
    _kill()
    assert started.found("delivery") is None

    assert started.ready(60)
    assert started.ask(Organisation(), [])


def test_it_evaluates_from_the_second_time_on(both: Store, second: Beside) -> None:
    """At first it reads everything, and nobody waits for that; then its numbers are those that are made here."""
    store, at = ObservationStore(both.database), START + timedelta(days=4)
    evaluator, alone = Evaluator(store, second), Evaluator(store)
    first = evaluator.evaluate(indicators(), [], SOURCES, at)
    assert second.ready(60)
    again = evaluator.evaluate(indicators(), [], SOURCES, at)

    assert again == first == alone.evaluate(indicators(), [], SOURCES, at)
    assert [any(p.lines for p in one.parts) for one in (first, again)] == [False, True]


def test_one_that_is_killed_leaves_evaluating_to_the_service(both: Store, second: Beside) -> None:
    """It was asked for numbers and says nothing any more."""
    store, at = ObservationStore(both.database), START + timedelta(days=4)
    evaluator = Evaluator(store, second)
    first = evaluator.evaluate(indicators(), [], SOURCES, at)
    assert second.ready(60)
    _signal(signal.SIGSTOP)
    killing = threading.Timer(0.2, _kill)
    killing.start()

    assert evaluator.evaluate(indicators(), [], SOURCES, at) == first


def test_who_derives_does_not_take_the_turn_of_who_waits_for_numbers(started: Beside) -> None:
    """While one thread waits for what it evaluates, another one derives alone; afterwards it may ask again."""
    assert not started.evaluate(Organisation(), NOTHING)
    assert started.ready(60)
    assert started.evaluate(Organisation(), NOTHING)
    assert not started.ask(Organisation(), [])
    assert started.evaluated() == {}

    assert started.ask(Organisation(), [])


def test_an_answer_that_nobody_came_for_is_not_waited_for(started: Beside) -> None:
    """Who derived broke off, as where a disk is full: it may ask again, and who evaluates does so alone meanwhile."""
    assert started.ask(Organisation(), [])
    assert started.ready(60)
    assert not started.evaluate(Organisation(), NOTHING)

    assert started.ask(Organisation(), [])


class _Killed(Beside):
    """One that is killed as soon as it was asked."""

    def __init__(self, other: Beside) -> None:
        self.__dict__.update(other.__dict__)

    def ask(self, *asked: Any) -> bool:
        """Ask it and kill it."""
        began = super().ask(*asked)
        _kill()
        return began


def test_few_pieces_need_no_process(alone: Store) -> None:
    """Nor does what follows nothing: it starts when a long derivation is followed by another one."""
    alone.second = Beside(Path())
    alone.tell(day(1)[:5])
    alone.tell(day(2)[:5])

    assert multiprocessing.active_children() == []
