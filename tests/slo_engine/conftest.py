"""What tests of SLOs share: a store that holds the observations it is given."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from collector.store import Database, DerivationStore, ObservationStore, Replacement, Series, to_micros
from slo_engine.observation import MOST_PARTS, Observation


class Put:
    """Replaces what a store holds by some observations, and says which series that changed."""

    def __init__(self, database: Database) -> None:
        self.store = ObservationStore(database)
        self.changes: Mapping[int, int] = {}
        self._derivations = DerivationStore(database)

    def __call__(self, *observations: Observation) -> ObservationStore:
        """The store with these observations and no others."""
        rows: dict[Series, list[tuple[Any, ...]]] = {}
        for o in observations:
            parts = (*o.parts, *(None,) * MOST_PARTS)[:MOST_PARTS]
            matures_at = None if o.matures_at is None else to_micros(o.matures_at)
            row = (to_micros(o.at), o.unit, o.value, *parts, o.outcome.value, o.reason, matures_at, o.rule, "[]")
            rows.setdefault(Series("test", o.indicator, o.dimension, *o.subject, o.source), []).append(row)
        new = Replacement(family="test", scope="", rows=rows, definitions="", reads=(), state=None)
        _, self.changes = self._derivations.replace(new, 0, "")
        return self.store


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without an observation."""
    folder = tmp_path_factory.mktemp("migrated")
    Database.open(folder).close()
    return folder / "paceline.db"


@pytest.fixture
def put(migrated: Path, tmp_path: Path) -> Iterator[Put]:
    """A store of its own for each test."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    database = Database.open(tmp_path)
    yield Put(database)
    database.close()
