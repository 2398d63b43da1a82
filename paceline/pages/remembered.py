"""What pages made of a snapshot and the store, remembered while what it was made from is the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from collector.bulk import seldom_collecting
from paceline.service import Service
from slo_engine.snapshot import Snapshot

T = TypeVar("T")

_AT_ONCE = 2
"""How many things one memory makes at once: each reads months of units."""


def derived_from(service: Service, *families: str) -> Hashable:
    """What the stored numbers of some families, or of all, were derived from: while it is equal, so are they."""
    chosen = families or sorted(service.stamps)
    return tuple((name, *sorted(service.stamps.get(name, {}).items())) for name in chosen)


def seen_in(snapshot: Snapshot, service: Service) -> Hashable:
    """What a snapshot and the store beside it are known by: where the clock stands, several have one time."""
    return id(snapshot), snapshot.at, derived_from(service)


class Remembered(Generic[T]):
    """The things that were asked for last. Safe to ask from several threads.

    A thing is made once, however many ask for it meanwhile; two different ones are made at once. At most `most` are
    remembered, of those that are to be kept.
    """

    def __init__(self, most: int, keeps: Callable[[T], bool] = lambda _: True) -> None:
        self._most, self._keeps = most, keeps
        self._made: OrderedDict[Hashable, T] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._looking = threading.Lock()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def __call__(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was asked for, made where it is not known. Raises what making it raises; then nothing is remembered.

        `key` holds what it is made from, for example the time of a snapshot.
        """
        with self._looking:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
            own = self._making.setdefault(key, threading.Lock())
        with own:
            with self._looking:
                if key in self._made:  # another thread made it while this one waited
                    return self._made[key]
            try:
                with self._turns, seldom_collecting():
                    found = make()
                self._keep(key, found)
            finally:
                with self._looking:
                    self._making.pop(key, None)
            return found

    def _keep(self, key: Hashable, found: T) -> None:
        if not self._keeps(found):
            return
        with self._looking:
            self._made[key] = found
            while len(self._made) > self._most:
                self._made.popitem(last=False)
