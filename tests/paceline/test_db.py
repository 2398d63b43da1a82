"""`paceline db`: the store is backed up, restored and moved, and numbers stay what they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stores import Server

from collector.errors import ConfigError
from collector.store import SCHEMA_REVISION, Database, digests
from paceline.settings import overlaid
from paceline.wiring import build, configuration

Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def evaluated(run: Run, settings_file: Path) -> Path:
    """The settings of a small history whose events are collected and judged, in SQLite."""
    with settings_file.open("a", encoding="utf-8") as out:
        out.write("as_of: 2026-03-03T09:00:00Z\n")
    assert run("collect")[0] == 0
    assert run("evaluate")[0] == 0
    return settings_file


def _held(folder: Path) -> dict[str, Any]:
    with closing(Database.open(folder)) as database:
        return {one.table: {"rows": one.rows, "sha256": one.digest} for one in digests(database)}


def test_a_backup_is_a_store_of_its_own_and_comes_back(evaluated: Path, run: Run, tmp_path: Path) -> None:
    """What is restored into an empty folder is, table by table, what was backed up."""
    before = _held(tmp_path / ".paceline")

    code, said, _ = run("db", "backup", str(tmp_path / "kept" / "copy.db"), "--output", "json")
    shutil.rmtree(tmp_path / ".paceline")
    restored = run("db", "restore", str(tmp_path / "kept" / "copy.db"))

    assert (code, json.loads(said)) == (0, before)
    assert (restored[0], "every table holds the same" in restored[1]) == (0, True)
    assert _held(tmp_path / ".paceline") == before
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["copy.db"]


def test_nothing_is_written_over(evaluated: Path, run: Run, tmp_path: Path) -> None:
    """A backup needs a new file, and a restore an empty store."""
    run("db", "backup", str(tmp_path / "copy.db"))

    again = run("db", "backup", str(tmp_path / "copy.db"))
    restored = run("db", "restore", str(tmp_path / "copy.db"))

    assert (again[0], "is there already" in again[2]) == (2, True)
    assert (restored[0], "is not empty" in restored[2]) == (1, True)


def test_a_store_is_migrated_before_anything_starts(settings_file: Path, run: Run) -> None:
    """A store that is not there yet gets its schema, and the second time there is nothing to do."""
    first = run("db", "migrate")
    second = run("db", "migrate", "--output", "json")

    assert (first[0], f"had no schema; now it has {SCHEMA_REVISION}" in first[1]) == (0, True)
    assert json.loads(second[1]) == {"from": SCHEMA_REVISION, "to": SCHEMA_REVISION}


def test_a_move_needs_somewhere_to_go(evaluated: Path, run: Run) -> None:
    """Without the setting `store` there is nothing to move to."""
    code, _, said = run("db", "move")

    assert (code, "name no `store` to move to" in said) == (2, True)


def test_a_wrong_address_is_told_without_its_password() -> None:
    """What is no address of PostgreSQL is refused when the settings are read; the secret in it is not told."""
    with pytest.raises(ConfigError, match="no address of a PostgreSQL database") as caught:
        overlaid({}, {"PACELINE_STORE": "mysql://me:s3cret@host/name"})

    assert "s3cret" not in str(caught.value)


def _exposed(settings_file: Path, store: str | None, *, collect: bool = False) -> list[bytes]:
    """The lines of the metrics, without how long it took to compute them."""
    environ = {} if store is None else {"PACELINE_STORE": store}
    with closing(build(configuration(settings_file, environ, settings_file.parent), environ=environ)) as running:
        for source in running.service.configuration.sources if collect else ():
            running.service.collect(source)
        text = running.service.refresh().exposition.text
    return [line for line in text.splitlines() if b"platform_snapshot_duration_seconds" not in line]


@pytest.mark.integration
def test_a_moved_store_serves_the_same_numbers(
    evaluated: Path, run: Run, tmp_path: Path, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is moved holds the same in every table, and is exposed byte for byte as before."""
    store = postgresql.empty()
    monkeypatch.setenv("PACELINE_STORE", store)

    code, said, _ = run("db", "move", "--output", "json")

    assert (code, json.loads(said)) == (0, _held(tmp_path / ".paceline"))
    assert _exposed(evaluated, store) == _exposed(evaluated, None)


@pytest.mark.integration
def test_a_cycle_on_postgresql_gives_the_same_numbers(evaluated: Path, postgresql: Server) -> None:
    """What is collected and judged on PostgreSQL is exposed byte for byte as what was on SQLite."""
    found = _exposed(evaluated, postgresql.empty(), collect=True)

    assert any(line.startswith(b"platform_deployments_total{") for line in found)
    assert found == _exposed(evaluated, None)
