"""Garbage collection is seldom for who builds much, and often enough for everybody else."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from soaking import resident_mb

from collector import bulk
from collector.bulk import collecting_between, give_back, seldom_collecting, stay, tidy

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual_threshold() -> Iterator[None]:
    """Garbage is looked for as Python does by itself; other tests may have it otherwise."""
    before = gc.get_threshold(), bulk._seldom
    gc.set_threshold(*USUAL)
    yield
    gc.unfreeze()
    gc.set_threshold(*before[0])
    bulk._seldom = before[1]


def collections_of(lists: int) -> int:
    """How often garbage was collected while so many new lists were kept."""
    before: int = gc.get_stats()[0]["collections"]
    kept = [[number] for number in range(lists)]
    assert len(kept) == lists
    after: int = gc.get_stats()[0]["collections"]
    return after - before


def test_inside_garbage_is_collected_seldom() -> None:
    """What is built inside is looked through far less often than outside, and as usual again afterwards."""
    with seldom_collecting(), seldom_collecting():
        inside = collections_of(60_000)

    assert inside < collections_of(60_000) / 10
    assert gc.get_threshold() == USUAL


def test_what_others_leave_in_circles_meanwhile_stays_little() -> None:
    """However long one is inside who waits for a server, garbage does not pile up."""
    with seldom_collecting(waits=True):
        before = len(gc.get_objects())
        for _ in range(300_000):
            circle: list[object] = []
            circle.append(circle)

        assert len(gc.get_objects()) - before < 50_000


def test_a_task_is_not_interrupted() -> None:
    """While it builds objects nothing is looked for; between two tasks everything is, as usual again afterwards."""
    before = collections_of_the_old()
    found = [(collections_of_the_old() - before, collections_of(60_000)) for _ in collecting_between(range(3))]

    assert found == [(0, 0), (1, 0), (2, 0)]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_who_keeps_all_it_builds_and_waits_for_nobody_is_not_held_up() -> None:
    """Making numbers looks through nothing of a cycle's hundred thousand objects, whoever waits beside it."""
    with seldom_collecting(waits=True), seldom_collecting():
        making = collections_of(100_000)

    with seldom_collecting(waits=True):
        assert making == 0 < collections_of(100_000)


def test_who_answers_looks_through_what_is_old_when_asked_alone() -> None:
    """Where a process stays, no collection stops all for what has grown old, inside a long stretch neither."""
    stay()
    kept = [[number] for number in range(100_000)]
    old = collections_of_the_old()
    with seldom_collecting():
        kept += [[number] for number in range(500_000)]

    assert gc.get_freeze_count() > 0
    assert collections_of_the_old() == old
    tidy()
    assert collections_of_the_old() == old + 1


def test_memory_that_is_free_goes_back() -> None:
    """Between blocks that are kept the C library holds what is free, until it is told not to."""
    blocks = [bytearray(2_000) for _ in range(40_000)]
    del blocks[::2], blocks[::2], blocks[::2]
    kept = blocks[::100]
    del blocks
    before = resident_mb(os.getpid())

    give_back()

    assert len(kept) == 50
    assert resident_mb(os.getpid()) < before - 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library is asked")
def test_threads_share_memory_where_they_are_told_to() -> None:
    """By default each thread has an arena of its own, and what it took once stays scattered over all of them."""
    assert arenas("") > 8
    assert arenas("from collector.bulk import share_memory; share_memory()") <= 2


def arenas(first: str) -> int:
    """How many arenas a process has in which sixteen threads took memory at a time."""
    program = f"""\
import ctypes, threading
{first}
met = threading.Barrier(16)
def work():
    met.wait()
    kept = bytearray(3_000)
    met.wait()
threads = [threading.Thread(target=work) for _ in range(16)]
for one in threads: one.start()
for one in threads: one.join()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
library.malloc_info(0, ctypes.c_void_p(library.fdopen(1, b"w")))
library.fflush(None)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return said.stdout.count("<heap nr=")


def collections_of_the_old() -> int:
    """How often everything was looked through."""
    found: int = gc.get_stats()[2]["collections"]
    return found
