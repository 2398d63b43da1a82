"""What pages made of a snapshot and the store, remembered while what it was made from is the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

_AT_ONCE = 2
"""How many things one memory makes at once: each reads months of units."""


class Remembered(Generic[T]):
    """The things that were asked for last. Safe to ask from several threads.

    A thing is made once, however many ask for it meanwhile; two different ones are made at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
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
                with self._turns:
                    found = make()
            except BaseException:
                with self._looking:
                    self._making.pop(key, None)
                raise
            with self._looking:
                self._making.pop(key, None)
                self._made[key] = found
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
            return found
