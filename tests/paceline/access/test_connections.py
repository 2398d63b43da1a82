"""Connections over real sockets: who is slow is hung up on, certificates change, old TLS is refused."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from certificates import made
from cryptography import x509
from fastapi import FastAPI, Request

from collector.errors import PacelineError
from paceline.access.connections import MOST_HEAD_BYTES, BoundedProtocol, counting
from paceline.access.door import Access, guard
from paceline.access.tls import Certificate
from paceline.logs import configure

LARGE = b"x" * (16 << 20)


class Hasty(BoundedProtocol):
    """The same with less patience."""

    head_seconds, stalled_seconds = 0.3, 0.3


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers something large."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": LARGE})


@contextlib.contextmanager
def served(
    certificate: Certificate | None = None, asgi: Any = app, connections: int | None = None, http: Any = Hasty
) -> Iterator[int]:
    """A server of an app: its port."""
    config = uvicorn.Config(
        asgi,
        log_level="critical",
        http=http,
        ws="none",
        lifespan="off",
        limit_concurrency=connections,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        ssl_context_factory=None if certificate is None else lambda _config, _usual: certificate.context,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def hung_up(connection: socket.socket, dribble: bytes = b"") -> bool:
    """Whether the other side hangs up in time while one sends a byte now and then."""
    connection.settimeout(0.1)
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            if dribble:
                connection.send(dribble)
            if not connection.recv(1):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_who_is_slow_is_hung_up_on() -> None:
    """Nothing sent, headers that dribble in, a head without end, an answer that nobody reads: none lasts."""
    with served() as port:

        def connected() -> socket.socket:
            return socket.create_connection(("127.0.0.1", port), timeout=5)

        with connected() as silent:
            assert hung_up(silent)
        with connected() as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
            assert hung_up(slow, b"a")
        with connected() as long, contextlib.suppress(OSError):
            long.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * (2 * MOST_HEAD_BYTES))
            assert long.recv(100).startswith(b"HTTP/1.1 400")
        with connected() as sleeper:
            sleeper.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(1.5)
            assert _read_whole(sleeper) < len(LARGE)


@pytest.mark.parametrize("proxied", [False, True], ids=["client", "proxy"])
def test_one_client_does_not_take_all_connections(*, proxied: bool) -> None:
    """Beyond its share a client is hung up on at once; a connection that ended counts no more; a proxy has no share."""

    def works(connection: socket.socket) -> bool:
        with contextlib.suppress(OSError):
            connection.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            return connection.recv(8) == b"HTTP/1.1"
        return False

    with served(asgi=_nothing, http=counting(2, lambda _: proxied)) as port, contextlib.ExitStack() as stack:

        def connected() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))

        held = [connected() for _ in range(3)]
        answered = [works(one) for one in held]
        held[0].close()
        time.sleep(0.3)

        assert answered == [True, True, proxied]
        assert works(connected())


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def test_who_reads_steadily_gets_it_all() -> None:
    """A reader that takes longer than the wait, but reads, is no sleeper."""
    with served() as port, socket.create_connection(("127.0.0.1", port), timeout=5) as reader:
        reader.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert _read_whole(reader, pause=0.05) >= len(LARGE)


def _read_whole(connection: socket.socket, pause: float = 0.0) -> int:
    """How many bytes there are to read."""
    size = 0
    with contextlib.suppress(OSError):
        while chunk := connection.recv(1 << 20):
            size += len(chunk)
            time.sleep(pause)
    return size


def test_a_body_that_dribbles_in_is_not_waited_for(access: Callable[..., Access]) -> None:
    """Who announces a body and sends it byte by byte is answered 408 once the time for it is over."""
    asgi = FastAPI()
    asgi.add_api_route("/webhooks/{source}", _taken, methods=["POST"])
    own = access({"tokens": [{"name": "ci", "secret": "a-token-that-nobody-guesses", "scopes": ["read"]}]})
    guard(asgi, own, body_seconds=0.5)
    with served(asgi=asgi) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as slow:
        slow.sendall(b"POST /webhooks/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 1.5:
                slow.sendall(b"a")
                time.sleep(0.1)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


async def _taken(request: Request) -> str:
    return str(len(await request.body()))


def test_more_connections_than_there_may_be_are_told_so() -> None:
    """Beyond the limit 503 is answered; once others have gone there is room again."""
    with served(connections=4) as port:

        def asked() -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return connection.recv(12)

        with contextlib.ExitStack() as held:
            for _ in range(4):
                held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            assert asked() == b"HTTP/1.1 503"
        until = time.monotonic() + 5
        while (answer := asked()) != b"HTTP/1.1 200" and time.monotonic() < until:
            time.sleep(0.05)
        assert answer == b"HTTP/1.1 200"


# --- certificates ----------------------------------------------------------------------------------------


def shown(port: int, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> str:
    """The name in the certificate that a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, most
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        told = x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True) or b"")
        return str(told.subject.rfc4514_string())


def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    """Half of a pair changes nothing; the whole is shown to the next connection. TLS 1.2 is the least."""
    first, second = made(tmp_path, "first"), made(tmp_path, "second")
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    copy: Callable[..., Any] = shutil.copyfile
    for file, source in zip(files, first, strict=True):
        copy(source, file)
    certificate = Certificate(*files, configure("error", "text"))
    with served(certificate) as port:
        assert shown(port) == "CN=first"
        assert certificate.renew() is False
        copy(second[0], files[0])
        assert (certificate.renew(), shown(port)) == (False, "CN=first")
        copy(second[1], files[1])
        assert (certificate.renew(), shown(port)) == (True, "CN=second")
        assert shown(port, ssl.TLSVersion.TLSv1_2) == "CN=second"
        assert certificate.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    """A missing file, and a key that does not fit, stop the start in a clear sentence."""
    (first, _), (_, other) = made(tmp_path, "first"), made(tmp_path, "second")
    with pytest.raises(PacelineError, match=r"server\.tls"):
        Certificate(tmp_path / "gone.crt", other, configure("error", "text"))
    with pytest.raises(PacelineError, match=r"server\.tls"):
        Certificate(first, other, configure("error", "text"))
