"""Garbage collection is seldom for who builds much, and often enough for everybody else."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from collector.bulk import seldom_collecting

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual_threshold() -> Iterator[None]:
    """Garbage is looked for as Python does by itself; other tests may have it otherwise."""
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*before)


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
    """However long one is inside, who waits for a server too, garbage does not pile up."""
    with seldom_collecting():
        before = len(gc.get_objects())
        for _ in range(300_000):
            circle: list[object] = []
            circle.append(circle)

        assert len(gc.get_objects()) - before < 50_000
