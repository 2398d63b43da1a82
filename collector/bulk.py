"""For long stretches that build many objects and no cycles: garbage collection waits until they are done. A leaf."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """No cyclic garbage collection inside.

    Looking through a million fresh tuples again and again, without ever finding a cycle, is more than half of
    the time of a large import. Reference counting still frees what is no longer used.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
