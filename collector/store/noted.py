"""Which names (services, repositories…) this process wrote events with, and when last.

Who asks what is new looks at these, and not at every name that there is.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping

_MOST = 100_000
"""More names of a kind than these are not remembered."""

Names = Mapping[str, Collection[str]]
"""By column the names that some events have there."""


class _Kind:
    """What was written of a kind after one revision and up to another, without a gap."""

    def __init__(self, after: int) -> None:
        self.after = self.last = after
        self.newest: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """By column and name the last revision that wrote it."""


class Noted:
    """The names of what was written, by kind and revision. Threads share it.

    What another process writes is missing: then nothing is said of the time before.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._lock = threading.Lock()

    def note(self, kind: str, revision: int, names: Names) -> None:
        """Hear what was written with a revision, once it is kept."""
        with self._lock:
            known = self._kinds.get(kind)
            many = known is not None and sum(map(len, known.newest.values())) > _MOST
            if known is None or known.last != revision - 1 or many:
                known = self._kinds[kind] = _Kind(revision - 1)
            known.last = revision
            for column, own in names.items():
                known.newest[column].update(dict.fromkeys(own, revision))

    def since(self, kind: str, after: int, last: int) -> dict[str, list[str]] | None:
        """By column all names written after a revision and up to another one, and maybe more; None where unknown."""
        with self._lock:
            known = self._kinds.get(kind)
            if known is None or after < known.after or last > known.last:
                return None
            return {
                column: sorted(name for name, revision in own.items() if revision > after)
                for column, own in known.newest.items()
            }
