"""On how many examples a law is tried: `make test` tries it on a few, `make test-long` on many times as many."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """So many examples, as many times as LAW_TIMES says."""
    return count * int(os.environ.get("LAW_TIMES", "1"))
