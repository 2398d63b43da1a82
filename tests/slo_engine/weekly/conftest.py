"""What tests of the weekly summary share: a store, and the small organisation in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from weeks import Small, organisation

from collector.store import Database


@pytest.fixture
def small(migrated: Path, tmp_path: Path) -> Iterator[Small]:
    """A store of its own for each test."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    database = Database.open(tmp_path)
    yield Small(database)
    database.close()


@pytest.fixture(scope="module")
def settled(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """The small organisation, for tests that only read."""
    folder = tmp_path_factory.mktemp("settled")
    shutil.copy(migrated, folder / "paceline.db")
    database = Database.open(folder)
    yield organisation(Small(database))
    database.close()
