"""Killed at any moment, the next run leaves the store as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.long]

KEY = "0123456789abcdef0123456789abcdef"
BIG = "sources: [{{type: git, name: big, repository: {repository}, deployments: {{rule: tags}}}}]\n"
TEA = "sources: [{{type: tea, name: tea, orders: {orders}}}]\n"
TABLES_OF_A_RUN = ("event_commit", "event_deployment", "kind_revision", "source_cursor")
TABLES_OF_A_DERIVATION = ("series", "observation", "piece", "derivation")
MOMENTS = (0.1, 0.3, 0.5, 0.65, 0.8, 0.95)
"""When to kill, as shares of the time that an undisturbed run takes."""


def _killed_after(workspace: Any, command: str, seconds: float) -> int:
    """Start a command and kill it after a while; its exit code."""
    process = workspace.start(command)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    process.kill()
    process.stdout.close()
    code: int = process.wait()
    return code


def _only(dump: Mapping[str, list[Any]], *tables: str) -> dict[str, list[Any]]:
    """Some tables; one that is not made yet is empty."""
    return {t: dump.get(t, []) for t in tables}


@pytest.fixture(scope="session")
def collected(big_repository: Path, workspaces: Any) -> tuple[Any, float]:
    """A workspace that collected the big repository undisturbed, and the seconds it took."""
    workspace = workspaces(BIG.format(repository=big_repository), PACELINE_PEOPLE_KEY=KEY)
    started = time.monotonic()
    workspace.run("collect")
    return workspace, time.monotonic() - started


def _of_a_run(dump: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """What one run of the big repository writes at once."""
    return _only(dump, *TABLES_OF_A_RUN)


def _of_a_piece(dump: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """What the derivation of the one service's deliveries writes at once: series, by number and family, and units."""
    series = [row for row in dump.get("series", []) if row[1] == "delivery"]
    numbers = {row[0] for row in series}
    return {"series": series, "observation": [row for row in dump.get("observation", []) if row[0] in numbers]}


def _killed_at_moments(
    workspace: Any, command: str, seconds: float, look: Callable[[Mapping[str, list[Any]]], dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the store held after each of the kills, each in a run of its own."""
    found = []
    for moment in MOMENTS:
        _killed_after(workspace, command, seconds * moment)
        found.append(look(workspace.dump()))
    return found


def test_a_killed_collection_keeps_all_or_nothing(
    collected: tuple[Any, float], big_repository: Path, workspaces: Any
) -> None:
    """Killed after any share of its time, a collection leaves nothing or all; run to its end, it is as undisturbed."""
    undisturbed, seconds = collected
    workspace = workspaces(BIG.format(repository=big_repository), PACELINE_PEOPLE_KEY=KEY)
    everything, nothing = _of_a_run(undisturbed.dump()), _of_a_run({})

    left = _killed_at_moments(workspace, "collect", seconds, _of_a_run)
    workspace.run("collect")

    assert [state for state in left if state not in (nothing, everything)] == []
    assert workspace.dump() == undisturbed.dump()


def test_the_history_is_not_empty(collected: tuple[Any, float]) -> None:
    """What the killed runs are compared with holds every commit and release."""
    dump = collected[0].dump()

    assert (len(dump["event_commit"]), len(dump["event_deployment"])) == (10_000, 200)


def test_collecting_again_changes_nothing(collected: tuple[Any, float]) -> None:
    """A second run of the same history reports no change, and no row differs."""
    workspace, _ = collected
    before = workspace.dump()

    outcomes = workspace.json("collect")

    assert [(o["succeeded"], o["changed"]) for o in outcomes] == [(True, 0)]
    assert workspace.dump() == before


@pytest.fixture(scope="session")
def tea_run(workspaces: Any, tea_house: Path) -> Callable[[int], Any]:
    """A workspace whose plug-in source reports so many orders in pages of 4 000."""

    def make(orders: int) -> Any:
        return workspaces(TEA.format(orders=orders), PACELINE_PEOPLE_KEY=KEY, PYTHONPATH=str(tea_house))

    return make


def _left_by(workspace: Any, place: str) -> dict[str, list[Any]]:
    """What the store holds after a run whose source killed the process there."""
    dying = replace(workspace, variables={**workspace.variables, "PACELINE_TEST_DIES_AT": place})
    dying.run("collect", fails=-signal.SIGKILL)
    return _only(workspace.dump(), "event_ticket", "source_cursor", "kind_revision", "quarantine")


def test_a_source_that_kills_its_process_leaves_nothing(tea_run: Callable[[int], Any]) -> None:
    """Killed before the first page, between pages or before the commit, a run keeps nothing; the next gives all."""
    undisturbed, workspace = tea_run(14_000), tea_run(14_000)
    undisturbed.run("collect")
    nothing: dict[str, list[Any]] = {"event_ticket": [], "source_cursor": [], "kind_revision": [], "quarantine": []}

    # From page 2 on, earlier pages are written inside the open transaction.
    left = {place: _left_by(workspace, place) for place in ("start", "2", "end")}
    workspace.run("collect")

    assert left == dict.fromkeys(("start", "2", "end"), nothing)
    assert len(workspace.dump()["event_ticket"]) == 14_000
    assert workspace.dump() == undisturbed.dump()


def test_pages_that_wait_in_memory_are_not_kept_either(tea_run: Callable[[int], Any]) -> None:
    """Killed after the last page of a short run, before anything was written, the run keeps nothing."""
    workspace = tea_run(3_000)

    left = _left_by(workspace, "end")
    outcomes = workspace.json("collect")

    assert (left["event_ticket"], left["source_cursor"]) == ([], [])
    assert [(o["events"], o["changed"]) for o in outcomes] == [(3_000, 3_000)]


def test_a_killed_derivation_keeps_all_or_nothing(
    collected: tuple[Any, float], derived: tuple[Mapping[str, list[Any]], float], workspaces: Any
) -> None:
    """Killed between collecting and deriving, the next evaluation gives an undisturbed run's observations."""
    expected, seconds = derived
    workspace = _copied(collected[0], workspaces)
    everything, nothing = _of_a_piece(expected), _of_a_piece({})

    left = _killed_at_moments(workspace, "evaluate", seconds, _of_a_piece)
    workspace.run("evaluate")

    assert [state for state in left if state not in (nothing, everything)] == []
    assert _only(workspace.dump(), *TABLES_OF_A_DERIVATION) == expected


@pytest.fixture(scope="session")
def derived(collected: tuple[Any, float], workspaces: Any) -> tuple[Mapping[str, list[Any]], float]:
    """What an undisturbed evaluation derives from the big repository, and the seconds it took."""
    workspace = _copied(collected[0], workspaces)
    started = time.monotonic()
    workspace.run("evaluate")
    seconds = time.monotonic() - started
    found = _only(workspace.dump(), *TABLES_OF_A_DERIVATION)
    # Every change, each deployment three times, and as many weeks as the history touches.
    assert 0 < len(_of_a_piece(found)["observation"]) - 10_000 - 3 * 200 <= 6
    return found, seconds


def _copied(workspace: Any, workspaces: Any) -> Any:
    """Another workspace with the same events."""
    copy = workspaces(workspace.config.read_text(), **workspace.variables)
    copy.data.mkdir()
    (copy.data / "paceline.db").write_bytes((workspace.data / "paceline.db").read_bytes())
    return copy


def test_the_people_key_survives(tea_house: Path, workspaces: Any) -> None:
    """A killed first run leaves a key that the next runs use: a person stays one person; only the owner reads it."""
    workspace = workspaces(TEA.format(orders=20), PYTHONPATH=str(tea_house))
    dying = replace(workspace, variables={**workspace.variables, "PACELINE_TEST_DIES_AT": "0"})

    dying.run("collect", fails=-signal.SIGKILL)
    first = (workspace.data / "people.key").read_text()
    workspace.run("collect")
    before = workspace.dump()
    workspace.run("collect")

    assert (workspace.data / "people.key").read_text() == first
    assert (workspace.data / "people.key").stat().st_mode & 0o777 == 0o600
    assert workspace.dump() == before
    assert max(os.listdir(workspace.data)) == "people.key"  # noqa: PTH208 - no draft beside it
