"""Faults of the world around: a full disk, a damaged store, a clock that jumps."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from collector.errors import RetryableError, StoreError
from collector.store import Database, EventStore
from paceline.delivery_places import _write
from paceline.service import Service
from paceline.web import create_app
from paceline.wiring import Running, build, configuration

LINE = '{{"kind": "usage_event", "native_id": "{}", "capability": "builds", "at": "2026-03-05T10:00:00Z"}}\n'


@pytest.fixture
def append(settings_file: Path) -> Callable[[int], None]:
    """Adds events to the file of the small history."""

    def more(count: int) -> None:
        with (settings_file.parent / "events.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(LINE.format(n) for n in range(count))

    return more


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Meanwhile no file of this process grows beyond a size, as where a quota is used up."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)], check=False, capture_output=True
    )
    if made.returncode and os.environ.get("CI") != "true":
        pytest.skip("a small disk can only be mounted by who may")
    assert made.returncode == 0, made.stderr.decode()
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_named_and_loses_nothing(
    small_disk: Path, settings_file: Path, append: Callable[[int], None], clock: Any
) -> None:
    """A disk of 4 MiB that others fill: what to do is said; room again, and the store is whole and has it all."""
    text = settings_file.read_text(encoding="utf-8")
    settings_file.write_text(f"data_dir: {small_disk}/data\n{text}", encoding="utf-8")
    running = build(configuration(settings_file, {}, settings_file.parent), clock, {})
    with contextlib.closing(running):
        service = running.service
        (source,) = service.configuration.sources
        assert service.collect(source).succeeded
        service.refresh()
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        append(5_000)
        failed = service.collect(source)
        service.look()
        parts = {trouble.part for trouble in service.health.troubles()}
        with TestClient(create_app(service)) as client:
            answers = {path: client.get(path).status_code for path in ("/", "/metrics", "/readyz", "/api/v1/slos")}
        filler.unlink()
        done = service.collect(source)
        service.refresh()

    assert failed.failure == "store"
    assert "make room where its file is" in str(failed.error)
    assert "disk" in parts
    assert set(answers.values()) == {200}
    assert (done.error, done.changed) == (None, 5_000)


def test_a_report_that_finds_no_room_is_written_whole_later(tmp_path: Path) -> None:
    """Nothing stands in its place meanwhile: neither half of it nor an empty file."""
    place = tmp_path / "weekly" / "2026-W10.md"
    with no_file_beyond(100), pytest.raises(RetryableError, match="cannot be written: File too large"):
        _write(place, "x" * 10_000)
    assert not place.exists()

    _write(place, "x" * 10_000)
    assert place.read_text(encoding="utf-8") == "x" * 10_000


# --- the database ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_store_that_was_cut_off_is_never_read_as_if_whole(
    running: Running, collected: Service, append: Callable[[int], None], tmp_path: Path, share: float
) -> None:
    """A copy that broke off is refused as damaged, when it is opened or when it is read."""
    append(3_000)
    collected.collect(collected.configuration.sources[0])
    running.database.close()
    data = (tmp_path / ".paceline" / "paceline.db").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "paceline.db").write_bytes(data[: int(len(data) * share)])

    with pytest.raises(StoreError, match="its file is damaged: put it aside and restore a backup"):
        _read_whole(tmp_path / "cut")


def _read_whole(folder: Path) -> None:
    with contextlib.closing(Database.open(folder)) as database:
        EventStore(database).runs()
        database.select(lambda _: "SELECT * FROM event_usage_event", ())


# --- time ------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_loses_and_invents_nothing(
    collected: Service, append: Callable[[int], None], clock: Any
) -> None:
    """An hour back, a day forward, and right again: no negative age, no lost event, and the numbers of before."""
    right, (source,) = clock.at, collected.configuration.sources
    published = collected.refresh().snapshot
    append(1)
    clock.at = right - timedelta(hours=1)
    back = collected.collect(source)
    (early,) = collected.refresh().snapshot.sources
    clock.at = right + timedelta(days=1)
    (late,) = collected.refresh().snapshot.sources
    clock.at = right
    again = collected.collect(source)
    (now,), after = collected.refresh().snapshot.sources, collected.refresh().snapshot

    assert (back.error, back.changed, again.error, again.changed) == (None, 1, None, 0)
    assert (early.staleness_seconds, early.fresh) == (0.0, True)
    assert late.fresh is False
    assert (now.staleness_seconds, now.fresh) == (0.0, True)
    wanted = {"change_delivery_time", "deploy_cadence"}
    assert [n for n in after.numbers if n.indicator in wanted] == [
        n for n in published.numbers if n.indicator in wanted
    ]
