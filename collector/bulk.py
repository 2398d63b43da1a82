"""When cyclic garbage is collected: seldom where many objects are built, or somebody waits for answers. A leaf."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TypeVar

T = TypeVar("T")
# By default a collection starts every 700 new objects. Looking through a million fresh rows again and again,
# without ever finding a cycle, was more than half of the time of a large import. Reference counting still frees
# what is no longer used, and cycles are still found, only later. Not much later: one source that waits for its server
# keeps this up for all threads for as long, and what others leave in cycles meanwhile must stay little.
_SELDOM = (20_000, 25, 10)
# Who makes numbers keeps a hundred thousand new objects, waits for nobody, and is soon done: what is new is looked
# through when somebody already has the numbers.
_HARDLY = 200_000
_STAYING = (2_000, 10, 1_000_000)
"""New objects are looked through a few at a time, since all wait meanwhile; those that grow old when somebody asks."""
_ARENAS = (-8, 2)
_MAPPED = (-3, 1 << 17)
"""What the GNU C library's `mallopt` is told: two arenas at most, and what has 128 KiB is mapped by itself.

By default each thread has an arena, and what many threads take now and then stays scattered over all of them: a service
grew by half in half an hour, though what it held stayed the same. What is mapped goes back once it is free; by default
the size from which on that is done grows with what was freed.
"""
_entering = threading.Lock()
_inside: list[bool] = []
"""Of those inside, whether each waits for others meanwhile."""
_usual, _seldom = gc.get_threshold(), _SELDOM


@contextlib.contextmanager
def seldom_collecting(*, waits: bool = False) -> Iterator[None]:
    """Collects cyclic garbage seldom inside; as usual again when the last of several threads has left.

    `waits`: who is inside may wait for somebody else for long. For others it is collected more seldom still.
    """
    global _usual  # noqa: PLW0603 - the threshold is global to the process, and so is who needs it raised
    with _entering:
        if not _inside:
            _usual = gc.get_threshold()
        _inside.append(waits)
        _set()
    try:
        yield
    finally:
        with _entering:
            _inside.remove(waits)
            _set()


def _set() -> None:
    """Collect as seldom as one of those inside asks for."""
    if not _inside:
        gc.set_threshold(*_usual)
    elif all(_inside):
        gc.set_threshold(*_seldom)
    else:
        gc.set_threshold(_HARDLY, *_seldom[1:])


def collecting_between(tasks: Iterable[T]) -> Iterator[T]:
    """Some tasks, with cyclic garbage collected between them and never within.

    For a process that does nothing else and ends: of the objects that a task builds all but a few go without it.
    """
    usual = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        for task in tasks:
            yield task
            gc.collect()
    finally:
        gc.unfreeze()
        if usual:
            gc.enable()


def stay() -> None:
    """For a process that stays and answers: what is there by now is not looked through again, what grows old seldom.

    To look through all objects stops every thread for as long as that takes: up to a second in a large process.
    Whoever calls this calls `tidy` now and then.
    """
    global _seldom  # noqa: PLW0603 - as above
    _seldom = _STAYING
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_STAYING)


def share_memory() -> None:
    """Have the threads that are started from now on share what the C library keeps for each, where that can be told."""
    tell = _of_c("mallopt")
    if tell is not None:
        tell(*_ARENAS)
        tell(*_MAPPED)


def give_back() -> None:
    """Give memory that is free back to the system, where the C library can: it keeps what each thread once used."""
    trim = _of_c("malloc_trim")
    if trim is not None:
        trim(0)


def tidy() -> None:
    """Collect the cyclic garbage that has grown old."""
    gc.collect()


@cache
def _of_c(name: str) -> Callable[..., int] | None:
    """A function of the C library about memory; None of a library that has none such."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # of another system
        return None
    return found
