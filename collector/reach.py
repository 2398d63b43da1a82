"""Which addresses may be connected to: a name is looked up once, what it means is judged, and that alone is used.

Sole importer of urllib3. A name may mean another address each time it is asked for (DNS rebinding), and an address has
many spellings (`2130706433`, `0x7f.1`, `::ffff:127.0.0.1`), so nothing is judged by its text.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.util.connection import create_connection

from collector.errors import SourceError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Found = tuple[int, int, int, str, tuple[Any, ...]]
"""An address of a host, as `socket.getaddrinfo` gives it."""
Resolver = Callable[..., Sequence[Found]]

_NEVER: dict[str, tuple[str, ...]] = {
    "a metadata service": (
        *("169.254.169.254/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
        *("fd00:ec2::254/128", "fd20:ce::254/128"),
    ),
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "no address of a server": ("0.0.0.0/8", "240.0.0.0/4", "::/128"),
}
_MAPPED = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/96", "::/96")))
"""Where the last 32 bits of an IPv6 address are one of IPv4: NAT64, and the old form of what is mapped."""


class OutOfReachError(SourceError):
    """An address must not be connected to; the message says what it is."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Which addresses may be connected to.

    `private`: also those of private networks and of this machine, as what a person configured may be. Link-local and
    metadata addresses, multicast and what is no server only where a network of `allow` holds them.
    """

    private: bool = True
    allow: tuple[Network, ...] = ()
    resolve: Resolver = socket.getaddrinfo

    @property
    def of_data(self) -> Reach:
        """For addresses that no person configured, but an answer gave: public ones, and those of `allow`."""
        return replace(self, private=False)

    def fault(self, address: str) -> str | None:
        """What forbids an address, in words; None where it may be connected to."""
        meant = _meant(ip_address(address))
        if any(meant.version == network.version and meant in network for network in self.allow):
            return None
        for kind, networks in _never().items():
            if any(meant.version == network.version and meant in network for network in networks):
                return kind
        return None if self.private or meant.is_global else "a private address"

    def checked(self, found: Sequence[Found]) -> list[Found]:
        """Those of a host's addresses that may be connected to. Raises OutOfReachError where none is left."""
        faults = [self.fault(str(one[4][0])) for one in found]
        if found and all(faults):
            raise OutOfReachError(f"the host leads to {faults[0]}, which `network` does not allow")
        return [one for one, fault in zip(found, faults, strict=True) if fault is None]

    def addresses(self, host: str, port: int) -> list[Found]:
        """The addresses of a host that may be connected to, looked up once.

        Raises OutOfReachError where there are others only, and OSError where the name is not known.
        """
        try:
            return self.checked(self.resolve(host, port, type=socket.SOCK_STREAM))
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from None

    def connected(self, host: str, port: int, timeout: float | None, **options: Any) -> socket.socket:
        """A connection to the first of these addresses that takes one. Raises as `addresses` does, and TimeoutError."""
        failure = OSError("no address")
        for address in _numbers(self.addresses(host, port)):
            try:
                return create_connection((address, port), timeout, **options)
            except OSError as error:
                failure = error
        raise failure


@cache
def _never() -> dict[str, tuple[Network, ...]]:
    return {kind: tuple(map(ip_network, texts)) for kind, texts in _NEVER.items()}


def _meant(address: Address) -> Address:
    """The address that is reached in the end: the one of IPv4 that one of IPv6 stands for."""
    if isinstance(address, IPv4Address) or address in {IPv6Address("::"), IPv6Address("::1")}:
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if inner is None and any(address in network for network in _MAPPED):
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def pool_classes(reach: Reach) -> dict[str, type[HTTPConnectionPool]]:
    """Pools of connections, by scheme, that are made to checked addresses alone. `Host` and SNI stay the name.

    Their time limit for reading is that of a whole answer, its head and its body, however it drips.
    """

    def opened(line: HTTPConnection) -> socket.socket:
        try:
            return reach.connected(
                line._dns_host,  # noqa: SLF001 - with the dot at its end, which `host` lacks
                line.port or line.default_port,
                line.timeout,
                source_address=line.source_address,
                socket_options=line.socket_options,
            )
        except socket.gaierror as error:
            raise NameResolutionError(line.host, line, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(line, "timed out") from error
        except OSError as error:
            raise NewConnectionError(line, "failed") from error

    class Plain(HTTPConnection):
        response_class = _Bounded

        def _new_conn(self) -> socket.socket:
            return opened(self)

    class Encrypted(HTTPSConnection):
        response_class = _Bounded

        def _new_conn(self) -> socket.socket:
            return opened(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


def timed_out(error: Exception) -> bool:
    """Whether an error of reading says that the time for an answer is over."""
    return any(isinstance(one, ReadTimeoutError) for one in (error, *error.args))


class _Bounded(http.client.HTTPResponse):
    """An answer that must be over when the time of its connection is."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        bounded: Any = _Timed(sock)
        super().__init__(bounded, *arguments, **options)


class _Timed:
    """What an answer is read from. A connection's own limit begins anew with each byte; this one does not."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        """The only method that a response of the standard library asks for."""
        del mode
        return io.BufferedReader(_TimedFile(self._sock))


class _TimedFile(io.RawIOBase):
    """The bytes of a connection, until its time is over."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._whole = sock, sock.gettimeout()
        self._until = None if self._whole is None else time.monotonic() + self._whole
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read some bytes. Raises TimeoutError once the time for all of them is over."""
        if self._until is None:
            return self._file.readinto(buffer)
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        try:
            return self._file.readinto(buffer)
        finally:
            self._sock.settimeout(self._whole)

    def close(self) -> None:
        """Let go of the connection, which others may use."""
        if not self.closed:
            self._file.close()
        super().close()


def _numbers(found: Sequence[Found]) -> Iterator[str]:
    """Addresses as numbers, with the zone of one that needs it: to look them up asks nobody."""
    for family, _, _, _, place in found:
        zone = f"%{place[3]}" if family == socket.AF_INET6 and place[3] and "%" not in place[0] else ""
        yield f"{place[0]}{zone}"
