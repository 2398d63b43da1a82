"""The checks of `make soak`, for seconds: what they find in a short run, and that they would find a weakness."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from crashing import Figures, Kept, differences, kept, killed_again_and_again
from forked import Forks, forks
from outage_hour import Front
from senders import lasting, step_of
from soaking import Measured, Result, growth_per_hour, judged, quantile, soak, stored_in, unkept

pytestmark = [pytest.mark.integration, pytest.mark.long]


# --- load ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts commands."""
    with forks(tmp_path_factory.mktemp("base")) as found:
        yield found


@pytest.fixture(scope="module")
def soaked(base: Forks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """A service that took deliveries for some seconds and was killed meanwhile; where its store is."""
    folder = tmp_path_factory.mktemp("soak")
    return soak(base, folder / "soak", 4, 60, on_postgresql=False), folder / "soak" / "served" / ".paceline"


def test_each_accepted_delivery_is_stored_once(soaked: tuple[Result, Path]) -> None:
    """Killed under load, a service loses and doubles nothing that it accepted, and answered scrapes meanwhile."""
    result, _ = soaked

    assert result.verdict.passed
    assert result.verdict.accepted > 20
    assert result.faults["killed"] == 1
    assert len(result.measured.scrapes) > 0
    assert "Traceback" not in result.log


def test_a_lost_event_is_found(soaked: tuple[Result, Path]) -> None:
    """Where one accepted event is not in the store, the oracle names it."""
    _, place = soaked
    accepted = [one for one in stored_in(place)[0] if one.startswith("run-")]
    with contextlib.closing(sqlite3.connect(place / "paceline.db")) as connection, connection:
        connection.execute("DELETE FROM event_pipeline_run WHERE native_id = ?", (accepted[0].split()[0],))

    left, _, _ = stored_in(place)

    verdict = judged(accepted, [one for one in left if one.startswith("run-")])
    assert (verdict.lost, verdict.passed) == ([accepted[0]], False)


def test_what_must_be_stored_is_what_was_told_last() -> None:
    """Of a run whose deliveries came in any order the newest counts; one that was told older is found."""
    must = lasting(["run-1-0", "run-1-2", "run-2-1", "run-1-1", "run-2-0"])

    assert must == ["run-1 completed", "run-2 executing"]
    assert judged(must, ["run-1 completed", "run-2 executing"]).passed
    assert not judged(must, ["run-1 executing", "run-2 executing"]).passed


def test_each_run_is_queued_then_starts_then_ends() -> None:
    """Three deliveries tell of each run, in this order, and each delivery of one step."""
    told = [step_of(number, 2) for number in range(36)]

    assert sorted(told) == [(run, step) for run in range(12) for step in range(3)]
    assert all([step for one, step in told if one == run] == [0, 1, 2] for run in range(12))


@pytest.mark.parametrize(
    ("stored", "miscounted"),
    [(["a", "b", "b"], 0), (["a", "b", "c"], 0), (["a"], 0), (["a", "b"], 1)],
    ids=["doubled", "never sent", "lost", "counted twice"],
)
def test_the_oracle_finds_what_is_wrong(stored: list[str], miscounted: int) -> None:
    """An event that is there twice, was never sent, is missing or was counted twice fails the soak."""
    assert not judged(["a", "b"], stored, miscounted).passed


def test_the_oracle_is_content_with_what_is_right() -> None:
    """Each accepted event once, in whatever order, passes."""
    assert judged(["a", "b"], ["b", "a"]).passed


@pytest.mark.parametrize(
    ("lost", "seconds", "grown", "log", "broken"),
    [
        ([], 0.02, 1.1, "", []),
        (["a"], 0.02, 1.1, "", ["each accepted delivery is stored once"]),
        ([], 0.06, 1.1, "", ["99 of 100 scrapes take at most 50 ms"]),
        ([], 0.02, 1.4, "", ["memory does not grow"]),
        ([], 0.02, 1.1, "Traceback (most recent call last)", ["nothing but errors of ours is in the log"]),
    ],
    ids=["all well", "lost", "slow", "grown", "a stack trace"],
)
def test_what_is_promised_and_not_kept_is_named(
    lost: list[str], seconds: float, grown: float, log: str, broken: list[str]
) -> None:
    """A run fails for a lost event, slow scrapes, memory that grows, a stack trace: each by its sentence."""
    memory = [(60.0 * minute, 100.0 * (1 + (grown - 1) * minute / 29)) for minute in range(30)]
    measured = Measured(scrapes=[seconds] * 100, memory=[(at, mb) for at, mb in memory if at >= 360])
    verdict = replace(judged(["a", "b"], ["a", "b"]), lost=lost)
    result = Result(verdict, measured, Counter(), {}, 1_740.0, log)

    assert unkept(result, 1_740.0) == broken


def test_memory_that_grows_is_told_as_growth() -> None:
    """Ten MB more each minute after the warm-up are 600 MB an hour; what came before does not count."""
    leaking = [(60.0 * minute, 100.0 + 10 * minute) for minute in range(30)]
    warming = [(0.0, 5_000.0), *((60.0 * minute, 100.0) for minute in range(5, 30))]

    assert growth_per_hour(leaking, 300) == pytest.approx(600)
    assert growth_per_hour(warming, 300) == pytest.approx(0)


def test_a_quantile_is_a_value_that_was_measured() -> None:
    """The 99th of a hundred values, and the longest of all."""
    values = [n / 1_000 for n in range(1, 101)]

    assert (quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)) == (0.051, 0.1, 0.1)


# --- one bad hour ----------------------------------------------------------------------------------------


def test_the_doctor_tells_what_it_knows_until_it_is_killed(base: Forks, tmp_path: Path) -> None:
    """Beside sources that are away or hang it tells of each that it has looked at, into a file at once."""
    (tmp_path / "events.jsonl").write_text(
        '{"kind": "usage_event", "native_id": "1", "capability": "builds", "at": "2026-03-01T10:00:00Z"}\n', "utf-8"
    )
    hangs = Front(lambda *_: (200, {}, b"[]"))
    hangs.become("slow")
    with contextlib.closing(hangs):
        slow = f"{{type: gitlab, name: slow, url: '{hangs.url}', repositories: [acme/shop], token: t}}"
        away, here = "{type: files, name: away, path: none.jsonl}", "{type: files, name: here, path: events.jsonl}"
        listed = "".join(f"  - {one}\n" for one in (away, here, slow))
        (tmp_path / "paceline.yaml").write_text(f"sources:\n{listed}", "utf-8")
        started = base.elsewhere(tmp_path)
        pid = started.start("doctor", "doctor", "--config", "paceline.yaml")
        until = time.monotonic() + 60
        while "here (files)" not in (told := (tmp_path / "doctor.out").read_text("utf-8")):
            assert time.monotonic() < until, (told, started.log)
            assert started.poll(pid) is None, (told, started.log)
            time.sleep(0.05)
        assert started.kill(pid) == -signal.SIGKILL

    assert [name for name in ("away", "here", "slow") if f"{name} (" in told] == ["away", "here"]


# --- kills -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(base: Forks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Figures, Path]:
    """What three kills on SQLite came to; the folder of the stores that were compared."""
    folder = tmp_path_factory.mktemp("kills") / "loop"
    return killed_again_and_again(base, folder, 3, seed=7, on_postgresql=False), folder


def test_killed_on_sqlite_the_store_is_as_undisturbed(killed: tuple[Figures, Path]) -> None:
    """Collections, evaluations and the service are killed at random moments: nothing is lost, doubled or else."""
    figures, _ = killed

    assert figures.differences == []
    assert figures.kills.total() >= 3
    assert figures.rows > 100


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})", "lost"),
        ("UPDATE {table} SET {column} = 'else' WHERE rowid = (SELECT max(rowid) FROM {table})", "more than expected"),
    ],
    ids=["lost", "else"],
)
@pytest.mark.parametrize(("table", "column"), [("event_commit", "native_id"), ("source_cursor", "cursor")])
def test_what_a_kill_would_cost_is_found(
    killed: tuple[Figures, Path], tmp_path: Path, table: str, column: str, planted: str, said: str
) -> None:
    """An event or a cursor of the store that a kill had taken or changed is a difference."""
    _, folder = killed
    with (
        contextlib.closing(sqlite3.connect(folder / "killed" / ".paceline" / "paceline.db")) as whole,
        contextlib.closing(sqlite3.connect(tmp_path / "paceline.db")) as copy,
        copy,
    ):
        whole.backup(copy)
        assert copy.execute(planted.format(table=table, column=column)).rowcount == 1

    kind = "cursors" if column == "cursor" else table
    found = differences(kept(tmp_path), kept(folder / "undisturbed" / ".paceline"))

    assert [line for line in found if line.startswith(f"{kind}: {said}")] != []


def test_killed_on_postgresql_the_store_is_as_undisturbed(base: Forks, short_path: Path) -> None:
    """Workers and the database's own first process are killed too: the same is true."""
    figures = killed_again_and_again(base, short_path / "loop", 5, seed=3, on_postgresql=True)

    assert figures.differences == []
    assert figures.kills["postgresql"] > 0


def _kept(*rows: tuple[str, int]) -> Kept:
    return {"event_commit": Counter(rows)}


@pytest.mark.parametrize(
    "found",
    [_kept(("a", 1)), _kept(("a", 1), ("b", 2), ("b", 2)), _kept(("a", 1), ("b", 3)), {}],
    ids=["lost", "doubled", "else", "all lost"],
)
def test_a_store_that_differs_is_found(found: Kept) -> None:
    """A row that is missing, there twice or different is a difference."""
    expected = _kept(("a", 1), ("b", 2))

    assert differences(found, expected) != []
    assert differences(expected, expected) == []
