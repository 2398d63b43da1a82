"""Faults of the world around: full disks, a database that goes, clocks that jump, many broken sources, too much."""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
import subprocess
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import stores
from fastapi.testclient import TestClient

from collector.errors import AuthError, RetryableError, StoreError
from collector.source import Page, Source, SourceConfig, SourceContext
from collector.store import Database, EventStore
from paceline.delivery_places import _write
from paceline.service import Service
from paceline.web import create_app
from paceline.webhooks import Webhooks
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


def _more_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


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
        append(12_000)  # more than fits into what the store has on the disk already
        failed = service.collect(source)
        service.look()
        parts = {trouble.part for trouble in service.health.troubles()}
        with TestClient(create_app(service)) as client:
            answers = {path: client.get(path).status_code for path in ("/", "/metrics", "/readyz", "/api/v1/slos")}
        _more_room(small_disk)
        done = service.collect(source)
        service.refresh()

    assert failed.failure == "store"
    assert "make room where its file is" in str(failed.error)
    assert "disk" in parts
    assert set(answers.values()) == {200}
    assert (done.error, done.changed) == (None, 12_000)


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


def test_a_clone_that_finds_no_room_is_made_anew(
    small_disk: Path, new_repository: Callable[..., Any], settings_file: Path, clock: Any
) -> None:
    """Git finds a full disk in the middle of a clone: the run fails, and with room again it reads every commit."""
    repository = new_repository("big")
    for n in range(3):
        repository.commit(f"c{n} {os.urandom(1 << 20).hex()}", at=n)
    settings_file.write_text(
        f"data_dir: {small_disk}/data\nlogs: {{level: error}}\n"
        f"sources: [{{type: git, name: big, repository: 'file://{repository.path}'}}]\n",
        encoding="utf-8",
    )
    with contextlib.closing(build(configuration(settings_file, {}, settings_file.parent), clock, {})) as running:
        (source,) = running.service.configuration.sources
        failed = running.service.collect(source)
        _more_room(small_disk)
        done = running.service.collect(source)

    assert failed.failure in {"refused", "unavailable"}
    assert (done.error, done.events) == (None, 3)


# --- the database ----------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_database_that_goes_and_comes_back_needs_no_restart(
    postgresql: stores.Server, settings_file: Path, append: Callable[[int], None], clock: Any
) -> None:
    """PostgreSQL crashes under a service: pages, metrics and health go on and say it; back, all is as if never."""
    del postgresql  # it says whether there is one; that one must not be stopped
    with stores.started() as server:
        environment = {"PACELINE_STORE": server.url("migrated")}
        found = configuration(settings_file, environment, settings_file.parent)
        with contextlib.closing(build(found, clock, environment)) as running:
            service = running.service
            (source,) = service.configuration.sources
            assert service.collect(source).succeeded
            service.refresh()
            with TestClient(create_app(service)) as client:
                server.stop()
                append(3)
                failed = service.collect(source)
                with pytest.raises(StoreError):
                    service.refresh()
                service.look()
                during = client.get("/readyz").json()
                answers = {path: client.get(path).status_code for path in ("/", "/metrics", "/api/v1/slos")}
                server.start()
                done = service.collect(source)
                service.refresh()
                service.look()
                after = client.get("/readyz").json()

    assert failed.failure == "store"
    assert {part for part, how in during["parts"].items() if how != "ok"} >= {"store", "evaluation"}
    assert set(answers.values()) == {200}
    assert (done.error, done.changed) == (None, 3)
    assert (after["status"], after["problems"]) == ("ok", [])


def test_two_services_on_one_file_are_harmless(settings_file: Path, append: Callable[[int], None], clock: Any) -> None:
    """Both collect, derive and evaluate at once: the store and the numbers are those of one alone."""
    append(200)
    with contextlib.ExitStack() as stack:
        pair = [
            stack.enter_context(
                contextlib.closing(build(configuration(settings_file, {}, settings_file.parent), clock, {}))
            )
            for _ in range(2)
        ]
        failures: list[str] = []

        def work(running: Running) -> None:
            (source,) = running.service.configuration.sources
            for _ in range(5):
                try:
                    outcome = running.service.collect(source)
                    failures.extend(filter(None, [outcome.error]))
                    running.service.refresh()
                except Exception as error:  # noqa: BLE001 - whatever comes is to be seen
                    failures.append(f"{type(error).__name__}: {error}")

        threads = [threading.Thread(target=work, args=(running,)) for running in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        numbers = [running.service.refresh().snapshot.numbers for running in pair]
        events = pair[0].database.select(lambda _: "SELECT count(*), count(DISTINCT id) FROM event_usage_event", ())

    assert failures == []
    assert numbers[0] == numbers[1]
    assert events == [(200, 200)]


# --- many sources that fail ------------------------------------------------------------------------------


class Broken(SourceConfig):
    """A source whose token has expired."""

    type: Literal["broken"] = "broken"

    def build(self, context: SourceContext) -> Source:
        """The source."""
        del context
        return _Refusing(self.name)


@dataclass(frozen=True)
class _Refusing:
    name: str

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Nothing: it is refused, with another number each time."""
        del cursor
        raise AuthError(f"GET https://{self.name}.example: answered 401 after {time.perf_counter_ns()} ns")


@dataclass
class _Told:
    """A log that counts what it is told."""

    said: Counter[str] = field(default_factory=Counter)

    def error(self, event: str, **_: object) -> None:
        """Count it."""
        self.said[event] += 1

    info = warning = debug = error


def test_a_thousand_sources_that_fail_are_borne(collected: Service) -> None:
    """One line of the log each, once; memory stays, health is short, one alert's metric each, who works is shown."""
    broken = [Broken(name=f"s{n}") for n in range(1_000)]
    (working,) = collected.configuration.sources
    collected.configuration = replace(collected.configuration, sources=(*broken, working))
    log: Any = _Told()
    collected._log = log
    for source in broken:
        collected.collect(source)
    collected.refresh()
    first, before = log.said["collect failed"], _memory()
    for source in broken[:100]:
        collected.collect(source)
    began = time.process_time()
    collected.refresh()
    cycle = time.process_time() - began
    grown = _memory() - before
    with TestClient(create_app(collected)) as client:
        answer, metrics = client.get("/readyz"), client.get("/metrics").text

    assert (first, log.said["collect failed"]) == (1_000, 1_000)
    assert grown < 32 << 20
    assert cycle < 5
    assert len(answer.content) < 4_096
    assert "and 1980 more problems of sources" in answer.text
    assert metrics.count('platform_collector_last_run_failure{kind="credentials"') == 1_000
    assert 'platform_source_fresh{source="events"} 1.0' in metrics


def _memory() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


# --- what is too much ------------------------------------------------------------------------------------


def test_a_packed_delivery_is_not_unpacked(settings_file: Path, clock: Any) -> None:
    """A body that says it is gzip is read as it came, so that no bomb goes off: it is refused in little memory."""
    settings_file.write_text(
        "logs: {level: error}\nsources: [{type: webhook, name: hook, webhook_secret: s3cret-long-enough-4711}]\n",
        encoding="utf-8",
    )
    bomb = gzip.compress(bytes(64 << 20))
    headers = {"Content-Encoding": "gzip", "Authorization": "Bearer s3cret-long-enough-4711"}
    with contextlib.closing(build(configuration(settings_file, {}, settings_file.parent), clock, {})) as running:
        webhooks = Webhooks(running.service, running.log, clock)
        with TestClient(create_app(running.service, webhooks=webhooks)) as client:
            tracemalloc.start()
            answer = client.post("/webhooks/hook", content=bomb, headers=headers)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        webhooks.close()

    assert answer.status_code == 400, answer.text
    assert most < 8 << 20


@pytest.mark.parametrize(
    ("kind", "name", "settings"),
    [
        ("files", "events.jsonl", ""),
        ("files", "events.csv", ", kind: usage_event"),
        ("roster", "people.csv", ""),
        ("roster", "people.json", ""),
        ("survey", "answers.csv", ", respondent: mail, waves: quarter, questions: {q: {column: q, scale: nps}}"),
    ],
)
def test_a_file_without_an_end_is_refused_in_little_memory(
    settings_file: Path, clock: Any, kind: str, name: str, settings: str
) -> None:
    """Two GiB in one line cost a run of theirs, in the memory of a part of it, and say what is wrong."""
    text = f"logs: {{level: error}}\nsources: [{{type: {kind}, name: bomb, path: {name}{settings}}}]\n"
    settings_file.write_text(text, encoding="utf-8")
    with (settings_file.parent / name).open("wb") as file:
        file.truncate(2 << 30)  # it takes no room on the disk
    with contextlib.closing(build(configuration(settings_file, {}, settings_file.parent), clock, {})) as running:
        (source,) = running.service.configuration.sources
        usual = resource.getrlimit(resource.RLIMIT_AS)
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 30), usual[1]))
        try:
            outcome = running.service.collect(source)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, usual)

    assert outcome.failure == "contract"
    assert f"{name}" in str(outcome.error)
    assert "is this such a file?" in str(outcome.error)
