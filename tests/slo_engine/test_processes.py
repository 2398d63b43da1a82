"""A first derivation in several processes: the same observations, whatever one process knows of the others' pieces."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from collector.events import Deployment, Event, Incident, IncidentState, Result
from collector.store import Database, DerivationStore, EventStore, ObservationRow, ObservationStore, Series
from slo_engine.derive import Derived, Done, Finished, Helpers, Task, Why, derive
from slo_engine.indicators import onboarding
from slo_engine.indicators.delivery import FAMILY
from slo_engine.organisation import Organisation
from slo_engine.processes import Processes

START = datetime(2026, 1, 5, tzinfo=UTC)
SERVICES = 60


def deployment(service: int, number: int) -> Deployment:
    """A deployment of a service; each has one a day."""
    return Deployment(
        source="cd",
        native_id=f"service-{service:02}/{number}",
        service=f"service-{service:02}",
        environment="production",
        finished_at=START + timedelta(days=number, minutes=service),
        result=Result.SUCCESS,
        version=f"1.{number}",
    )


def incident(service: int, number: int, **fields: Any) -> Incident:
    """An incident of a service an hour after its deployment."""
    started = deployment(service, number).finished_at + timedelta(hours=1)
    return Incident(
        source="pager",
        native_id=f"incident-{service}-{number}",
        service=f"service-{service:02}",
        environment="production",
        state=IncidentState.RESOLVED,
        started_at=started,
        restored_at=started + timedelta(minutes=service + 1),
        updated_at=started + timedelta(hours=2),
        **fields,
    )


EVENTS: list[Event] = [
    *(deployment(service, number) for service in range(SERVICES) for number in range(4)),
    *(incident(service, 1) for service in range(0, SERVICES, 3)),
    # Judged by different processes: the first service's incidents name deployments of the last ones.
    *(incident(n, 2, deployment_native_id=deployment(SERVICES - 1 - n, 2).native_id) for n in range(5)),
]


class Store:
    """A store in a folder of its own with all events."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database = folder, Database.open(folder)
        self.events = EventStore(self.database)
        with self.database.transaction() as transaction:
            self.events.write(transaction, EVENTS)

    def derive(self, helpers: Helpers | None = None) -> Derived:
        """Derive delivery, with the help of others or without."""
        return derive([FAMILY], self.events, DerivationStore(self.database), Organisation(), START, helpers)

    def observed(self) -> dict[Series, list[Any]]:
        """The stored observations by series."""
        stored = ObservationStore(self.database)
        return {
            series: stored.window([number], -(2**62), 2**62, *ObservationRow._fields)
            for number, series in stored.series().items()
        }


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Store]:
    """Makes stores with all events."""

    def make(name: str) -> Store:
        made = Store(tmp_path / name)
        request.addfinalizer(made.database.close)
        return made

    return make


class Pair(NamedTuple):
    """A store that one process derived and one that two derived, and what that came to."""

    alone: Store
    shared: Store
    found: Sequence[Derived]
    observed: Sequence[dict[Series, list[Any]]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both, derived once: processes take long to begin."""
    alone, shared = (Store(tmp_path_factory.mktemp(name)) for name in ("alone", "shared"))
    found = alone.derive(), shared.derive(Processes(shared.folder, 2))
    yield Pair(alone, shared, found, (alone.observed(), shared.observed()))
    for one in (alone, shared):
        one.database.close()


def test_two_processes_judge_as_one_does(pair: Pair) -> None:
    """Also where an incident of one process's service means a deployment of another's."""
    one, two = pair.found

    assert pair.observed[1] == pair.observed[0]
    assert two.observations >= one.observations
    assert pair.shared.derive().families == ()


def test_what_is_new_afterwards_goes_on_from_there(pair: Pair) -> None:
    """A store that two processes derived takes new events as any other."""
    for one in (pair.alone, pair.shared):
        with one.database.transaction() as transaction:
            one.events.write(transaction, [deployment(7, 5), incident(7, 5)])
        one.derive()

    assert pair.shared.observed() == pair.alone.observed() != pair.observed[0]


def test_few_pieces_are_not_worth_a_process(store: Callable[[str], Store]) -> None:
    """What one process does sooner alone is not asked of others; nor is what follows a first derivation."""
    asked: list[str] = []

    @contextlib.contextmanager
    def helpers(organisation: Organisation, tasks: Sequence[Task]) -> Iterator[Finished]:
        del organisation
        asked.extend(task.family.name for task in tasks)
        yield dict

    found = store("found")
    found.derive(helpers)
    with found.database.transaction() as transaction:
        found.events.write(transaction, [deployment(7, 5)])
    found.derive(helpers)

    assert asked == ["delivery"]
    tasks = [Task(FAMILY, ["service-00", "service-01"], Why("", 0, ""))]
    with Processes(found.folder, 1)(Organisation(), tasks) as finished:
        assert finished() == {}


def test_shares_become_smaller() -> None:
    """Who takes the last one is soon done: nobody waits long for the others. Each piece is in one share."""
    scopes = [f"service-{number:04}" for number in range(1_000)]
    shares = [task.scopes for task in Processes(Path(), 2).shares(Task(FAMILY, scopes, Why("", 0, "")))]

    assert [scope for share in shares for scope in share] == scopes
    assert len(shares[0]) > 100
    assert max(map(len, shares[-4:])) <= 8


def test_what_is_not_shared_is_derived_before_anybody_is_waited_for(store: Callable[[str], Store]) -> None:
    """While other processes derive their share, this one has work of its own."""
    found = store("found")
    derivations = DerivationStore(found.database)
    known: list[bool] = []

    @contextlib.contextmanager
    def helpers(organisation: Organisation, tasks: Sequence[Task]) -> Iterator[Finished]:
        del organisation, tasks

        def finished() -> Mapping[str, Sequence[Done]]:
            known.append(bool(derivations.stamp(onboarding.FAMILY.name)))
            return {}

        yield finished

    derive([FAMILY, onboarding.FAMILY], found.events, derivations, Organisation(), START, helpers)

    assert known == [True]


def test_a_process_that_is_killed_costs_only_time(store: Callable[[str], Store]) -> None:
    """What the others did not do is done here."""
    alone, shared = store("alone"), store("shared")
    alone.derive()
    killer = threading.Thread(target=_kill_a_child)
    killer.start()
    shared.derive(Processes(shared.folder, 2))
    killer.join()

    assert shared.observed() == alone.observed()


def _kill_a_child() -> None:
    """Kill the first process that is started, as soon as it is there."""
    while not (children := multiprocessing.active_children()):
        pass
    os.kill(children[0].pid or 0, signal.SIGKILL)
