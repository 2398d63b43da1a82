"""What the log was told, so that it is told again only of what is new: a failure that lasts is no flood of lines."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

_NUMBERS = re.compile(r"\d+")


class Said:
    """Remembers, of each matter, what was true when it was asked about last. Threads may share it."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def news(self, matter: str, now: Iterable[str]) -> list[str]:
        """Of the texts that are true now those that were not before; numbers in them make no difference."""
        current = {_NUMBERS.sub("", text): text for text in now}
        with self._lock:
            before = self._known.get(matter, frozenset())
            self._known[matter] = frozenset(current)
        return [text for bare, text in current.items() if bare not in before]
