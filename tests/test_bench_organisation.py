"""The synthetic organisation of the benchmark: the same on every machine, and of the shape it claims."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from collector.events import AnyEvent, Change, Commit, Deployment, Incident, Review
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.indicators.delivery import FAMILY

ROOT = Path(__file__).parent.parent
SIZE = (2, 300, 1_200, 20)


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The benchmark as a module: bench/ is no package."""
    spec = importlib.util.spec_from_file_location("bench_organisation", ROOT / "bench" / "organisation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its types are resolved by the name of their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def synthetic(bench: ModuleType) -> Any:
    """A tiny organisation whose history has been told."""
    made = bench.Synthetic(bench.Size(*SIZE))
    made.told = list(made.history())
    return made


@pytest.fixture(scope="module")
def batch(bench: ModuleType, synthetic: Any) -> Any:
    """The first batch after the history."""
    return synthetic.batch(100)


@pytest.fixture(scope="module")
def observed(bench: ModuleType, synthetic: Any, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What the engine derives from the history: indicator, outcome, value."""
    database = Database.open(tmp_path_factory.mktemp("organisation"))
    events, observations = EventStore(database), ObservationStore(database)
    with database.transaction() as transaction:
        events.write(transaction, synthetic.told)
    bench.derive(bench.families(), events, DerivationStore(database), bench.Organisation())
    found = [
        (series.indicator, *row)
        for number, series in observations.series().items()
        for row in observations.window([number], -(2**62), 2**62, "outcome", "value")
    ]
    database.close()
    return found


def test_the_same_seed_gives_the_same_organisation(bench: ModuleType, synthetic: Any) -> None:
    """Two machines measure the same events."""
    assert list(bench.Synthetic(bench.Size(*SIZE)).history()) == synthetic.told


def test_another_seed_gives_another_organisation(bench: ModuleType, synthetic: Any) -> None:
    """The seed is what the events follow from."""
    assert list(bench.Synthetic(bench.Size(*SIZE), seed=2).history()) != synthetic.told


def test_there_are_as_many_events_as_asked_for(synthetic: Any) -> None:
    """Deployments, commits and incidents are exactly those of the size."""
    counts = Counter(type(e) for e in synthetic.told)
    assert (counts[Deployment], counts[Commit], counts[Incident]) == SIZE[1:]


def test_every_event_is_valid(synthetic: Any, batch: Any) -> None:
    """What is made in memory is what a file of events could say."""
    whole = [*synthetic.told, *batch.events]
    assert msgspec.json.decode(msgspec.json.encode(whole), type=list[AnyEvent]) == whole


def test_no_event_is_told_twice(synthetic: Any) -> None:
    """The history holds one version of each event."""
    assert len({e.id for e in synthetic.told}) == len(synthetic.told)


def test_parents_come_before_their_children(synthetic: Any) -> None:
    """The commits make a graph: no parent is missing, and none is younger."""
    commits = {e.sha: e for e in synthetic.told if isinstance(e, Commit)}
    assert all(commits[p].committed_at <= c.committed_at for c in commits.values() for p in c.parents)


def test_deployments_ship_known_commits(synthetic: Any) -> None:
    """Each deployment names a commit of its repository."""
    commits = {(e.repository, e.sha) for e in synthetic.told if isinstance(e, Commit)}
    assert {(e.repository, e.sha) for e in synthetic.told if isinstance(e, Deployment)} <= commits


def test_a_batch_continues_the_history(synthetic: Any, batch: Any) -> None:
    """A batch is new events of each kind, and new versions of requests that waited."""
    known = {e.id for e in synthetic.told}
    assert {type(e) for e in batch.events if e.id not in known} == {Commit, Change, Review, Deployment, Incident}
    assert {type(e) for e in batch.events if e.id in known} <= {Change}


def test_every_delivery_indicator_is_observed(observed: list[tuple[Any, ...]]) -> None:
    """The organisation has something to say about each indicator of delivery."""
    assert {i.observed_as for i in FAMILY.indicators} <= {indicator for indicator, _, _ in observed}


def test_no_duration_is_negative(observed: list[tuple[Any, ...]]) -> None:
    """Nothing is deployed before it was written."""
    values = [value for _, _, value in observed if value is not None]
    assert len(values) > 100
    assert min(values) >= 0
