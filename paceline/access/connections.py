"""Connections that are begun and not used: who is slow to ask, or to read, is hung up on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from paceline.access.limits import client_key

HEAD_SECONDS = 10.0
"""How long a request may take to arrive up to its body."""
STALLED_SECONDS = 30.0
"""After how long a reader must have read something of an answer."""
LEAST_READ_BYTES = 64 << 10
"""How much that is."""
MOST_HEAD_BYTES = 32 << 10
"""Of the address and the headers of a request, together."""


@dataclass
class Counted:
    """How many connections each client has: one may have `most`, so that nobody takes all; a proxy as many as come.

    A client is an address, or an IPv6 network of 64 bits, which somebody may have to themselves.
    """

    most: int
    is_proxy: Callable[[str], bool]
    _open: Counter[str] = field(default_factory=Counter)

    def begun(self, peer: str) -> bool:
        """Count a connection; whether its client may have it."""
        client = client_key(peer)
        self._open[client] += 1
        return self._open[client] <= self.most or self.is_proxy(peer)

    def ended(self, peer: str) -> None:
        """Count it no more."""
        client = client_key(peer)
        self._open[client] -= 1
        if self._open[client] <= 0:
            del self._open[client]


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 of the server, with an end to waiting for a request and for a reader."""

    head_seconds, stalled_seconds = HEAD_SECONDS, STALLED_SECONDS
    counted: Counted | None = None
    _head: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a request, for a while; a client that has too many connections is hung up on at once."""
        super().connection_made(transport)
        self._await_head()
        if self.counted is not None and not self.counted.begun(self._peer()):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Wait no longer once a request is there; what dribbles in does not begin the wait anew."""
        super().data_received(data)
        if self._is_busy():
            self._found_head()
        else:
            self._await_head()

    def pause_writing(self) -> None:
        """Nobody reads: wait, for a while."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Somebody reads again."""
        self._found_reader()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        if self.counted is not None:
            self.counted.ended(self._peer())
        self._found_head()
        self._found_reader()
        super().connection_lost(exc)

    def _peer(self) -> str:
        return self.client[0] if self.client else ""

    def _found_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _found_reader(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_reader(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.stalled_seconds, self._hang_up_on_sleeper, waiting)

    def _hang_up_on_sleeper(self, waited: int) -> None:
        """A slow line is no sleeper: a whole scrape may take it minutes."""
        if self.transport.get_write_buffer_size() > waited - LEAST_READ_BYTES:
            self.transport.abort()
        else:
            self._await_reader()

    def _await_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(self.head_seconds, self.transport.abort)


def counting(most: int, is_proxy: Callable[[str], bool]) -> type[BoundedProtocol]:
    """The same for a server of its own, of whose connections one client may have `most`."""

    class Counting(BoundedProtocol):
        counted = Counted(most, is_proxy)

    return Counting
