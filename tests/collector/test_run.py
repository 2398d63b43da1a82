"""One run of a source: isolated, retried, all or nothing."""

from __future__ import annotations

import dataclasses
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.errors import AuthError, BadRecord, ContractError, RetryableError, SourceError
from collector.events import Collection, Probe
from collector.http import Quota, Traffic
from collector.run import Runner
from collector.source import Complete, Page

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CLOCK = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""What the clock of a bench says."""
BAD = BadRecord("a.csv:2", "`service` is missing")


def page(cursor: str, *events: Any, **more: Any) -> Page:
    """A page."""
    return Page(events=events, cursor=cursor, **more)


def test_a_run_keeps_events_and_cursor(bench: Any, scripted: Any, probe: Any) -> None:
    """Events of all pages are kept with the cursor of the last one, and the outcome counts them."""
    source = scripted([page("1", probe("1"), probe("2")), page("2", probe("3"))])

    outcome = bench.runner.run("s", source)

    assert (outcome.succeeded, outcome.events, outcome.changed, outcome.error) == (True, 3, 3, None)
    assert bench.store.cursor("s") == "2"
    assert bench.store.counts()["probe"] == 3


def test_the_next_run_starts_at_the_cursor(bench: Any, scripted: Any, probe: Any) -> None:
    """The first run starts without a cursor, the next where the last success ended."""
    source = scripted([page("1", probe())])

    bench.runner.run("s", source)
    bench.runner.run("s", source)

    assert source.seen == [None, "1"]


def test_nothing_new_is_a_success(bench: Any, scripted: Any) -> None:
    """A source without any page succeeded and moved nothing."""
    outcome = bench.runner.run("s", scripted([]))

    assert (outcome.succeeded, outcome.events) == (True, 0)
    assert bench.store.cursor("s") is None
    assert bench.store.runs()["s"].succeeded


def test_a_page_without_events_moves_the_cursor(bench: Any, scripted: Any) -> None:
    """A source may have learnt only that there was nothing."""
    bench.runner.run("s", scripted([page("7")]))

    assert bench.store.cursor("s") == "7"


def test_the_newest_event_and_the_warnings_are_told(bench: Any, scripted: Any, probe: Any) -> None:
    """The outcome names the newest time seen, and each warning once."""
    at = probe().at
    later, earlier = probe("1", at=at), probe("2", at=at - timedelta(days=1))
    source = scripted([page("1", later, warnings=["cut"]), page("2", earlier, warnings=["cut", "odd"])])

    outcome = bench.runner.run("s", source)

    assert (outcome.newest_event_at, outcome.warnings) == (at, ("cut", "odd"))
    assert bench.store.runs()["s"].warnings == ("cut", "odd")


def test_progress_is_told_while_reading(bench: Any, scripted: Any, probe: Any) -> None:
    """Whoever waits sees the number of events grow."""
    told: list[tuple[str, int]] = []

    bench.runner.run("s", scripted([page("1", probe("1")), page("2", probe("2"))]), lambda *now: told.append(now))

    assert told == [("s", 1), ("s", 2)]


# --- isolation ----------------------------------------------------------------------------------------


def test_a_defect_in_a_source_is_an_outcome(bench: Any, scripted: Any, probe: Any) -> None:
    """A swallowed exception must not look like "no data": the run has failed, without its words."""
    source = scripted([page("1", probe()), ZeroDivisionError("secret-token")])

    outcome = bench.runner.run("s", source)

    assert outcome.error == "ZeroDivisionError: a defect in the source, not in its data; please report it"
    assert not bench.store.runs()["s"].succeeded


class Large:
    """An answer that a stack holds."""


@dataclasses.dataclass
class Circling:
    """A source whose errors stand in the frames that raised them, as those of HTTP libraries do."""

    error: Exception
    held: weakref.WeakSet[Large] = dataclasses.field(default_factory=weakref.WeakSet)

    def pull(self, _cursor: str | None) -> Iterator[Page]:
        """Fail with an error that was raised for another one."""
        answer = Large()
        self.held.add(answer)
        try:
            self._asked()
        except ConnectionError as known:
            kept = known
            raise self.error from kept
        yield page("1")

    def _asked(self) -> None:
        body = Large()
        self.held.add(body)
        try:
            _refuse()
        except ConnectionError as error:
            kept = error
            raise kept from None


def _refuse() -> None:
    raise ConnectionError


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """What is in circles stays."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("error", [RetryableError("away"), AuthError("no"), ZeroDivisionError()])
def test_what_a_failed_run_held_is_gone_at_once(bench: Any, error: Exception) -> None:
    """Neither while it waits to be repeated nor afterwards do large answers wait for garbage collection."""
    source, alive = Circling(error), list[int]()
    runner = dataclasses.replace(bench.runner, sleep=lambda _: alive.append(len(source.held)))

    assert not runner.run("s", source).succeeded
    assert len(source.held) == 0
    assert set(alive) <= {0}


def test_a_failing_source_leaves_the_others_alone(bench: Any, scripted: Any, probe: Any) -> None:
    """Token expires at night → visible, other sources unharmed."""
    failing = bench.runner.run("a", scripted([AuthError("the token was refused")]))
    working = bench.runner.run("b", scripted([page("1", probe())]))

    assert (failing.needs_a_person, working.succeeded) == (True, True)
    assert bench.store.counts()["probe"] == 1


@pytest.mark.parametrize("error", [AuthError("no"), ContractError("no"), SourceError("no"), ValueError("no")])
def test_what_a_retry_cannot_mend_is_not_retried(bench: Any, scripted: Any, error: Exception) -> None:
    """Only errors that say so are worth another try."""
    source = scripted([error, page("1")])

    outcome = bench.runner.run("s", source)

    assert (outcome.succeeded, bench.slept, len(source.seen)) == (False, [], 1)


def test_a_failure_keeps_the_last_success(bench: Any, scripted: Any, probe: Any) -> None:
    """A failed run says so, and when it last worked is still known."""
    bench.runner.run("s", scripted([page("1", probe())]))
    before = bench.store.runs()["s"]

    bench.runner.run("s", scripted([ContractError("html")]))

    run = bench.store.runs()["s"]
    assert (run.succeeded, run.error) == (False, "html")
    assert run.last_success_at == before.finished_at
    assert run.newest_event_at == before.newest_event_at
    assert run.events_total == 1


# --- retries ------------------------------------------------------------------------------------------


def test_a_passing_failure_is_retried(bench: Any, scripted: Any, probe: Any) -> None:
    """502 on a page → the run starts over after a growing wait, and loses and doubles nothing."""
    source = scripted([page("1", probe("1")), RetryableError("502"), RetryableError("502"), page("2", probe("2"))])

    outcome = bench.runner.run("s", source)

    assert (outcome.succeeded, outcome.events, outcome.changed) == (True, 2, 2)
    assert bench.slept == [2.0, 4.0]
    assert source.seen == [None, None, None]


def test_an_unattended_run_always_ends(bench: Any, scripted: Any, probe: Any) -> None:
    """A source that never answers fails after four tries, with its own words."""
    source = scripted([page("1", probe()), *(RetryableError(f"502, try {n}") for n in range(9))])

    outcome = bench.runner.run("s", source)

    assert outcome.error == "502, try 3"
    assert bench.slept == [2.0, 4.0, 8.0]
    assert bench.store.counts()["probe"] == 0


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (1.0, 2.0), (120.0, 120.0), (None, 2.0)])
def test_the_source_may_ask_for_a_longer_wait(bench: Any, scripted: Any, asked: float | None, waited: float) -> None:
    """429 with `Retry-After` → waits that long, never hammers, never hangs."""
    bench.runner.run("s", scripted([RetryableError("429", retry_after_seconds=asked), page("1")]))

    assert bench.slept == [waited]


def test_who_asks_for_more_patience_than_a_run_has_is_not_asked_again(bench: Any, scripted: Any) -> None:
    """An hourly quota that is used up ends the run with its reason; asking before its reset would hammer."""
    outcome = bench.runner.run("s", scripted([RetryableError("429", retry_after_seconds=3_600.0), page("1")]))

    assert (bench.slept, outcome.error, outcome.failure) == ([], "429", "unavailable")


# --- all or nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 7])
def test_a_run_that_breaks_keeps_nothing(bench: Any, scripted: Any, probe: Any, pages: int) -> None:
    """Page 7 of 9 fails → nothing is kept, whether pages still waited in memory or were already written."""
    before = bench.dump()
    good = [page(str(n), *(probe(f"{n}-{i}") for i in range(1_000)), rejected=[BAD]) for n in range(pages)]

    outcome = bench.runner.run("s", scripted([*good, ContractError("no page")]))

    assert (outcome.error, outcome.changed) == ("no page", 0)
    assert bench.dump() == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_a_stop_in_mid_run_keeps_nothing(new_bench: Any, scripted: Any, probe: Any, stop: BaseException) -> None:
    """Cancel really stops, and the next run gives the same store as an undisturbed one."""
    stopped, whole = new_bench("stopped"), new_bench("whole")
    pages = [page(str(n), *(probe(f"{n}-{i}") for i in range(1_000))) for n in range(8)]
    with pytest.raises(type(stop)):
        stopped.runner.run("s", scripted([*pages[:7], stop, *pages[7:]]))
    assert stopped.store.cursor("s") is None

    stopped.runner.run("s", scripted(pages))
    whole.runner.run("s", scripted(pages))

    assert stopped.dump() == whole.dump()


KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from collector.events import Probe
from collector.run import Runner
from collector.run import Runner
from collector.source import Page
from collector.store import Database, EventStore

AT = datetime(2026, 1, 2, tzinfo=UTC)


class Source:
    def pull(self, cursor):
        for n in range(8):
            if n == int(sys.argv[2]):
                os._exit(9)
            ids = [f"{n}-{i}" for i in range(1000)]
            events = [Probe(source="s", native_id=i, service="api", at=AT, passed=1) for i in ids]
            yield Page(events=events, cursor=str(n))


database = Database.open(Path(sys.argv[1]))
outcome = Runner(database, EventStore(database), lambda: AT).run("s", Source())
sys.exit(0 if outcome.succeeded else 1)
"""


def run_killed(folder: Path, at_page: int) -> int:
    """Run a source in another process, which is killed at a page; the process's exit code."""
    command = [sys.executable, "-c", KILLED, str(folder), str(at_page)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, dumped: Callable[[Path], Any]) -> Any:
    """The store after the same run without a kill."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run_killed(folder, 99) == 0
    return dumped(folder)


@pytest.mark.parametrize("at_page", [1, 6, 7])
def test_a_killed_run_is_made_good_by_the_next(bench: Any, undisturbed: Any, at_page: int) -> None:
    """Killed in mid-run → events and cursor agree after restart, as if nothing had happened."""
    untouched = bench.dump()
    assert run_killed(bench.folder, at_page) == 9
    assert bench.dump() == untouched

    assert run_killed(bench.folder, 99) == 0

    assert bench.dump() == undisturbed


# --- rejected records ---------------------------------------------------------------------------------


def test_bad_records_are_kept_beside_the_good_ones(bench: Any, scripted: Any, probe: Any) -> None:
    """A record that cannot be used costs itself alone; its place and reason stay, once."""
    source = scripted([page("1", probe(), rejected=[BAD]), page("2", rejected=[BAD])])

    outcome = bench.runner.run("s", source)

    assert (outcome.succeeded, outcome.events, outcome.rejected) == (True, 1, (BAD, BAD))
    (kept,) = bench.store.quarantined("s")
    assert (kept.source, kept.location, kept.reason) == ("s", "a.csv:2", "`service` is missing")
    assert bench.store.quarantined("other") == []


def test_totals_add_up_over_runs(bench: Any, scripted: Any, probe: Any) -> None:
    """The totals of a source are the sums over its runs, failed ones included."""
    bench.runner.run("s", scripted([page("1", probe("1"), probe("2"), rejected=[BAD])]))
    bench.runner.run("s", scripted([ContractError("no")]))
    bench.runner.run("s", scripted([page("2", probe("2"), probe("3"), rejected=[BAD])]))

    run = bench.store.runs()["s"]

    assert (run.events_total, run.changed_total, run.rejected_total) == (4, 3, 2)


# --- the run as an event ------------------------------------------------------------------------------


def test_a_run_is_kept_as_an_event(bench: Any, scripted: Any, probe: Any) -> None:
    """What a run read and refused, when, and how long its success counts stays known after the next one."""
    source = scripted([page("1", probe("1"), probe("2"), rejected=[BAD])])

    outcome = bench.runner.run("s", source, stale_after=timedelta(hours=6))

    (kept,) = bench.store.events(Collection)
    assert (kept.source, kept.collector, kept.succeeded, kept.events, kept.rejected) == ("", "s", True, 2, 1)
    assert (kept.started_at, kept.finished_at) == (outcome.started_at, outcome.finished_at)
    assert kept.stale_after_seconds == 21_600.0


def test_a_failed_run_is_an_event_too(bench: Any, scripted: Any, probe: Any) -> None:
    """Nothing of it was kept, and that it failed is."""
    bench.runner.run("s", scripted([page("1", probe()), ContractError("html")]))

    (kept,) = bench.store.events(Collection)
    assert (kept.succeeded, kept.events) == (False, 0)


def test_each_run_is_an_event_of_its_own(bench: Any, scripted: Any) -> None:
    """The next run does not take the place of the one before, nor does another source's at the same time."""
    later = Runner(bench.database, bench.store, lambda: NOW + timedelta(minutes=5))

    bench.runner.run("s", scripted([]))
    bench.runner.run("t", scripted([]))
    later.run("s", scripted([]))

    assert sorted(e.collector for e in bench.store.events(Collection)) == ["s", "s", "t"]


def test_what_a_webhook_told_while_a_list_was_read_is_not_taken_for_deleted(bench: Any, scripted: Any) -> None:
    """A whole list was asked for before the event happened: that it lacks it says nothing."""
    old, new = (
        Probe(source="s", native_id=name, service="shop", at=CLOCK - age, passed=1)
        for name, age in (("old", timedelta(hours=1)), ("new", timedelta(minutes=1)))
    )
    bench.write(old, new)
    listed = Complete(kind=Probe, where={}, dated="at", since=CLOCK - timedelta(days=1), native_ids=frozenset())

    outcome = bench.runner.run("s", scripted([Page(cursor="1", complete=[listed])]))

    assert outcome.removed == 1
    assert [p.native_id for p in bench.store.events(Probe)] == ["new"]


# --- where several processes write -----------------------------------------------------------------------


@dataclasses.dataclass
class Looking:
    """A long source in one checkpoint that looks whether others may write while it is read."""

    bench: Any
    probe: Any
    pages: int
    ends: type[Exception] | None = None
    free: list[bool] = dataclasses.field(default_factory=list)

    def pull(self, _cursor: str | None) -> Iterator[Page]:
        """Pages of a thousand events, with texts that no memory is kept for."""
        for n in range(self.pages):
            free = self.bench.database._writing.acquire(blocking=False)
            if free:
                self.bench.database._writing.release()
            self.free.append(free)
            yield page(str(n), *(self.probe(f"{n}-{m}", service="x" * 200) for m in range(1_000)), checkpoint=False)
        if self.ends is not None:
            raise self.ends("gone")


def test_a_long_run_holds_up_no_writer_while_it_is_read(bench: Any, probe: Any, tmp_path: Path) -> None:
    """With a place to wait in, pages are all read before the first is written, and all of them are kept."""
    alone, shared = Looking(bench, probe, 8), Looking(bench, probe, 8)

    bench.runner.run("s", alone)
    outcome = dataclasses.replace(bench.runner, spool=tmp_path).run("t", shared)

    assert (False in alone.free, set(shared.free)) == (True, {True})
    assert (outcome.events, bench.store.cursor("t"), outcome.error) == (8_000, "7", None)
    assert [f.name for f in tmp_path.iterdir() if f.is_file()] == []


def test_a_long_run_that_breaks_while_it_waits_keeps_nothing(bench: Any, probe: Any, tmp_path: Path) -> None:
    """What was read before the failure and waited is gone; the cursor stands where it was."""
    runner = dataclasses.replace(bench.runner, spool=tmp_path)

    outcome = runner.run("s", Looking(bench, probe, 8, ends=SourceError))

    assert (outcome.error, bench.store.counts()["probe"], bench.store.cursor("s")) == ("gone", 0, None)


def test_a_run_says_how_long_its_account_is_to_be_left_alone(bench: Any, scripted: Any, probe: Any) -> None:
    """What the system asked for, or until when its limit is used up; nothing where there is room."""
    patient = bench.runner.run("a", scripted([RetryableError("busy", retry_after_seconds=900)]))
    spent, left = Traffic(), Traffic()
    spent.quota = {"core": Quota(0, 100, 300.0), "search": Quota(0, 30, 20.0)}
    left.quota = {"core": Quota(1, 100, 300.0)}

    limited = bench.runner.run("b", scripted([page("1", probe())]), traffic=spent)
    free = bench.runner.run("c", scripted([page("1", probe("2"))]), traffic=left)

    assert [one.limited_seconds for one in (patient, limited, free)] == [900.0, 300.0, 0.0]
