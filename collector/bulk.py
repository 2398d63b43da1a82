"""For long stretches that build many objects and few cycles: garbage collection runs seldom meanwhile. A leaf."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

# By default a collection starts every 700 new objects. Looking through a million fresh rows again and again,
# without ever finding a cycle, was more than half of the time of a large import. Reference counting still frees
# what is no longer used, and cycles are still found, only later. Not much later: one source that waits for its server
# keeps this up for all threads for as long, and what others leave in cycles meanwhile must stay little.
_SELDOM = (20_000, 25, 10)
_entering = threading.Lock()
_inside = 0
_usual = gc.get_threshold()


@contextlib.contextmanager
def seldom_collecting() -> Iterator[None]:
    """Collects cyclic garbage seldom inside; as usual again when the last of several threads has left."""
    global _inside, _usual  # noqa: PLW0603 - the threshold is global to the process, and so is who needs it raised
    with _entering:
        if _inside == 0:
            _usual = gc.get_threshold()
            gc.set_threshold(*_SELDOM)
        _inside += 1
    try:
        yield
    finally:
        with _entering:
            _inside -= 1
            if _inside == 0:
                gc.set_threshold(*_usual)
