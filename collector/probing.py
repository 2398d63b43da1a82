"""Checks of targets: does a server answer, is a port open, is a certificate trusted and does it last.

A check is a measurement: it has a connection of its own, is never repeated, and is over within its timeout whatever the
other side does. Why it failed is said in words of ours: nothing that a server sent stands in them.
"""

from __future__ import annotations

import errno
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, cast
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from collector.reach import Found, OutOfReachError, Reach

NO_NETWORK = frozenset({"name not resolved", "network unreachable"})
"""Failures that no target is at fault for where every target has them."""
PORTS = {"http": 80, "https": 443}
"""The ports of addresses that name none."""

_MOST_BYTES = 1 << 18
_MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})
_OWN_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What this machine lacks says nothing about a target."""
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_NOT_TRUSTED = "certificate not trusted"
# By OpenSSL's codes of a verification (X509_V_ERR_…).
_CERTIFICATE = {
    9: "certificate not valid yet",
    10: "certificate expired",
    18: "certificate self-signed",
    62: "certificate of another host",
    64: "certificate of another host",
}
_CHARACTERS = "/%:@!$&'()*+,;=~-._?"
_HOST = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*|[0-9a-f.]*:[0-9a-f:.]*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is checked: `http://`, `https://`, `tcp://host:port` or `tls://host:port`, and what of it counts as well.

    `headers` go to the server of `url` and to no other. `valid_status_codes`: ranges of HTTP statuses. `body`: found
    somewhere in the first 256 KiB of the answer. `expires_within_seconds`: a certificate that lasts no longer fails.
    """

    url: str
    timeout_seconds: float
    trust: ssl.SSLContext
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    valid_status_codes: Sequence[range] = (range(200, 300),)
    body: re.Pattern[str] | None = None
    follow_redirects: bool = True
    expires_within_seconds: float = 0.0


class Checked(NamedTuple):
    """How a check ended: why it failed, None where it passed; and how long it took."""

    failure: str | None
    seconds: float


@dataclass(frozen=True)
class Deadline:
    """The end of a check, by a timer in seconds."""

    at: float
    timer: Callable[[], float]

    def left(self) -> float:
        """How many seconds are left. Raises TimeoutError where none are."""
        left = self.at - self.timer()
        if left <= 0:
            raise TimeoutError
        return left


Connect = Callable[[str, int, Deadline], socket.socket]
"""Makes a connection to a port of a host in time."""


def connected(host: str, port: int, deadline: Deadline, reach: Reach | None = None) -> socket.socket:
    """A connection to the first address of a host that takes one, of those that may be reached.

    Raises OSError for the last that does not, and OutOfReachError where none may be.
    """
    reach = reach or Reach()
    addresses = reach.checked(_addresses(host, port, deadline, reach))
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        line = socket.socket(family, kind, protocol)
        try:
            # An address that does not answer leaves time for the others.
            line.settimeout(deadline.left() / (len(addresses) - number))
            line.connect(address)
        except OSError:
            line.close()
            if number + 1 == len(addresses):
                raise
        else:
            return line
    raise socket.gaierror(socket.EAI_NONAME, "no address")


def _addresses(host: str, port: int, deadline: Deadline, reach: Reach) -> list[Found]:
    """The addresses of a host. Looked up beside: the system's resolver knows no deadline."""
    found = SimpleQueue[object]()

    def look() -> None:
        try:
            found.put(reach.resolve(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error)

    try:
        threading.Thread(target=look, name="resolver", daemon=True).start()
    except RuntimeError:
        raise OSError(errno.ENOMEM, "no thread") from None
    try:
        answer = found.get(timeout=deadline.left())
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    if isinstance(answer, UnicodeError):
        raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from None
    return cast("list[Found]", answer)


def is_host(name: str | None) -> bool:
    """Whether a text can be a host's name, or an address of IPv4 or IPv6."""
    return name is not None and _HOST.fullmatch(name) is not None


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """What certificates are verified by: a file, else the system's. Raises OSError for one that cannot be read."""
    return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))


@dataclass(frozen=True)
class Prober:
    """Makes checks, in any thread. `elsewhere`: how another host is reached to which a redirect leads."""

    connect: Connect = connected
    timer: Callable[[], float] = time.monotonic
    elsewhere: Connect | None = None

    def check(self, check: Check, now_seconds: float) -> Checked | None:
        """How a check made now ends, in seconds since 1970; None where this machine cannot make it."""
        started = self.timer()
        deadline = Deadline(started + check.timeout_seconds, self.timer)
        visit = _Visit(check, self.connect, self.elsewhere or self.connect, deadline, now_seconds)
        try:
            failure = visit.ended()
        except OutOfReachError:
            failure = "address not allowed"
        except (OSError, HTTPException) as error:
            if isinstance(error, OSError) and error.errno in _OWN_TROUBLE:
                return None
            failure = _failure(error)
        return Checked(failure, self.timer() - started)


def prober(reach: Reach) -> Prober:
    """One that reaches what a person configured, and by redirects no more than data may lead to."""
    return Prober(partial(connected, reach=reach), elsewhere=partial(connected, reach=reach.of_data))


def _failure(error: OSError | HTTPException) -> str:
    """Why a check failed, in our words: the most precise one first."""
    kinds: list[tuple[type[Exception], str]] = [
        (TimeoutError, "timeout"),
        (socket.gaierror, "name not resolved"),
        (ssl.SSLError, "TLS handshake failed"),
        (ConnectionRefusedError, "connection refused"),
        (ConnectionError, "connection closed"),
        (IncompleteRead, "answer cut off"),
        (HTTPException, "no HTTP answer"),
    ]
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE.get(error.verify_code, _NOT_TRUSTED)
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "network unreachable"
    return next((said for kind, said in kinds if isinstance(error, kind)), "connection failed")


@dataclass(frozen=True)
class _Visit:
    """One check under way."""

    check: Check
    connect: Connect
    elsewhere: Connect
    deadline: Deadline
    now_seconds: float

    def ended(self) -> str | None:
        """Why the check fails; None where it passes."""
        parts = urlsplit(self.check.url)
        if parts.scheme in PORTS:
            return self._http(parts)
        with closing(self._opened(parts)) as line:
            return self._expiry(line)

    def _opened(self, parts: SplitResult) -> socket.socket:
        """A connection to a server, encrypted where its address says so."""
        host = str(parts.hostname)
        connect = self.connect if host == urlsplit(self.check.url).hostname else self.elsewhere
        line = connect(host, parts.port or PORTS[parts.scheme], self.deadline)
        if parts.scheme not in {"https", "tls"}:
            return line
        with closing(line):  # its descriptor moves on; what is closed here is an empty shell
            line.settimeout(self.deadline.left())
            return self.check.trust.wrap_socket(line, server_hostname=host)

    def _expiry(self, line: socket.socket) -> str | None:
        """Why a certificate is not good enough, though it is trusted now."""
        if not isinstance(line, ssl.SSLSocket):
            return None
        ends = ssl.cert_time_to_seconds(str((line.getpeercert() or {})["notAfter"]))
        soon = ends - self.now_seconds < self.check.expires_within_seconds
        return "certificate expires soon" if soon else None

    def _http(self, parts: SplitResult) -> str | None:
        method = self.check.method
        for _ in range(_MOST_REDIRECTS + 1):
            with closing(self._opened(parts)) as line:
                if (failure := self._expiry(line)) is not None:
                    return failure
                answer = self._answer(line, method, parts)
                status, place = answer.status, answer.headers.get("Location")
                if status not in _REDIRECTS or not place or not self.check.follow_redirects:
                    return self._judged(answer)
            target = _target(parts, place)
            if target is None:
                return "redirected to no web address"
            parts = target
            method = method if status in _SAME_METHOD or method == "HEAD" else "GET"
        return "too many redirects"

    def _answer(self, line: socket.socket, method: str, parts: SplitResult) -> HTTPResponse:
        connection = HTTPConnection("")  # connected already: told a host, it looks for a port in one of IPv6
        connection.sock = _Paced(line, self.deadline)
        own = self.check.headers if _origin(parts) == _origin(urlsplit(self.check.url)) else {}
        given = {name.title() for name in own}
        usual = {"Host": parts.netloc, "User-Agent": "paceline", "Accept": "*/*", "Connection": "close"}
        headers = {name: value for name, value in usual.items() if name not in given}
        connection.request(method, _asked(parts), headers={**headers, **own})
        return connection.getresponse()

    def _judged(self, answer: HTTPResponse) -> str | None:
        if not any(answer.status in codes for codes in self.check.valid_status_codes):
            return f"status {answer.status}"
        body = answer.read(_MOST_BYTES)
        if len(body) < _MOST_BYTES and answer.length:
            return "answer cut off"
        if self.check.body is not None and not self.check.body.search(_text(body, answer)):
            return "body does not match"
        return None


def _text(body: bytes, answer: HTTPResponse) -> str:
    try:
        return body.decode(answer.headers.get_content_charset("utf-8"), "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _asked(parts: SplitResult) -> str:
    """What a request line asks for."""
    path, query = (quote(part, safe=_CHARACTERS) for part in (parts.path or "/", parts.query))
    return f"{path}?{query}" if query else path


def _target(parts: SplitResult, place: str) -> SplitResult | None:
    """Where a redirect leads; None where that is no web address."""
    try:
        found = urlsplit(urljoin(parts.geturl(), place))
        target = found._replace(netloc=found.netloc.rpartition("@")[2])
        _ = target.port
    except ValueError:
        return None
    return target if target.scheme in PORTS and is_host(target.hostname) else None


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


@dataclass(frozen=True)
class _Paced:
    """A connection as http.client uses it. No wait is longer than what is left of the check: servers may drip."""

    line: socket.socket
    deadline: Deadline

    def sendall(self, data: bytes) -> None:
        self.line.settimeout(self.deadline.left())
        self.line.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"  # noqa: S101 - http.client asks for nothing else
        return io.BufferedReader(_Reader(self.line, self.deadline))

    def close(self) -> None:
        """Nothing: whoever opened the connection closes it."""


class _Reader(io.RawIOBase):
    def __init__(self, line: socket.socket, deadline: Deadline) -> None:
        self._line, self._deadline = line, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._line.settimeout(self._deadline.left())
        return self._line.recv_into(buffer)
