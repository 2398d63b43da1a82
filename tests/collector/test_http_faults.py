"""What a broken or hostile server answers: bombs and halves. Over real connections."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from receivers import certificate

from collector.errors import ContractError, RetryableError, SourceError
from collector.http import ApiClient, Limits

MEBIBYTE = 1 << 20
SMALL = Limits(bytes=4 * MEBIBYTE, attempts=1, seconds=20)
Said = Callable[[socket.socket], None]
"""What a server does once it was asked."""


@contextlib.contextmanager
def saying(answer: Said, context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[int]:
    """The port of a server that does the same to everybody who asks, for as long as they listen."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        ending = threading.Event()

        def serve() -> None:
            while not ending.is_set():
                with contextlib.suppress(OSError):
                    one, _ = listening.accept()
                    with one if context is None else context.wrap_socket(one, server_side=True) as asked:
                        asked.recv(65_536)
                        answer(asked)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ending.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


def whole(body: bytes, *headers: str, length: int | None = None) -> Said:
    """An answer with a body, in one go."""
    size = len(body) if length is None else length
    head = "\r\n".join(("HTTP/1.1 200 OK", f"Content-Length: {size}", "Connection: close", *headers, "", ""))
    return lambda asked: asked.sendall(head.encode() + body)


def asked(port: int, limits: Limits = SMALL, **options: Any) -> Any:
    """The answer to one request, as JSON."""
    client = ApiClient(f"http://127.0.0.1:{port}", limits=limits, sleep=lambda _: None, **options)
    try:
        return client.get("api").json()
    finally:
        client.close()


def _packed(kind: str, gibibytes: int) -> Iterator[bytes]:
    """So many zeros, compressed: a block of 64 MiB again and again."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31 if kind == "gzip" else 15)
    yield packing.compress(b"")
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = block.compress(bytes(64 * MEBIBYTE)) + block.flush(zlib.Z_FULL_FLUSH)
    yield packing.flush(zlib.Z_FULL_FLUSH)
    for _ in range(16 * gibibytes):
        yield zeros


@pytest.fixture(scope="module", params=["gzip", "deflate"])
def bomb(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """10 GiB of zeros in some 10 MB, and how they are packed."""
    return request.param, b"".join(_packed(request.param, 10))


def test_a_bomb_is_refused_while_it_is_unpacked(bomb: tuple[str, bytes]) -> None:
    """What unpacks to 10 GiB ends at the limit, in memory that the limit bounds."""
    kind, body = bomb
    with saying(whole(body, f"Content-Encoding: {kind}")) as port:
        tracemalloc.start()
        try:
            with pytest.raises(ContractError, match="the answer is larger than 4194304 bytes"):
                asked(port)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert most < 4 * SMALL.bytes


def test_a_bomb_in_a_bomb_is_refused() -> None:
    """Packed twice, a few kilobytes are gigabytes: each layer is bounded."""
    body = gzip.compress(gzip.compress(bytes(512 * MEBIBYTE)))
    with saying(whole(body, "Content-Encoding: gzip, gzip")) as port:
        tracemalloc.start()
        try:
            with pytest.raises(ContractError, match="the answer is larger than 4194304 bytes"):
                asked(port)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert len(body) < 16_384
    assert most < 4 * SMALL.bytes


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (whole(b'[{"id": 1}', length=9_000), RetryableError, "the connection failed"),
        (
            lambda asked: asked.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1, 2\r\nff\r\n, 3"
            ),
            RetryableError,
            "the connection failed",
        ),
        (whole(gzip.compress(b"[1, 2, 3]" * 50)[:-30], "Content-Encoding: gzip"), ContractError, "is no JSON"),
        (whole(b"no gzip at all", "Content-Encoding: gzip"), SourceError, "the request could not be made"),
        (lambda asked: asked.sendall(b"HTTP/1.1 200"), ContractError, "is no JSON"),
        (lambda asked: asked.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"), RetryableError, "the connection failed"),
        (lambda asked: asked.shutdown(socket.SHUT_RDWR), RetryableError, "the connection failed"),
        (whole(b"[" * 1_000_000), ContractError, "is no JSON"),
        (whole(b'{"a":' * 500_000), ContractError, "is no JSON"),
    ],
    ids=["cut", "cut chunk", "cut gzip", "no gzip", "half a head", "no http", "hung up", "deep list", "deep object"],
)
def test_half_an_answer_is_none(answer: Said, error: type[Exception], said: str) -> None:
    """What broke off may come whole later, what is no answer of an API is said; nothing of either is believed."""
    with saying(answer) as port, pytest.raises(error, match=said):
        asked(port)


def dripping(head: bytes, body: bytes) -> Said:
    """A head at once, then a byte each twentieth of a second."""

    def drip(asked: socket.socket) -> None:
        asked.sendall(head)
        for at in range(len(body)):
            time.sleep(0.05)
            asked.sendall(body[at : at + 1])

    return drip


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (dripping(b"", b"HTTP/1.1 200 OK\r\n" * 20), "no answer within 0.5 s"),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n" * 20), "no answer within 0.5 s"),
        (dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", b"1" * 200), "took longer than 0.5 s"),
        (
            dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n1\r\n" * 40),
            "took longer than 0.5 s",
        ),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"1" * 200), "took longer than 0.5 s"),
        (lambda asked: asked.recv(1), "no answer within 0.5 s"),
    ],
    ids=["status", "headers", "body", "chunks", "body without length", "nothing"],
)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_an_answer_that_drips_ends_at_the_limit(answer: Said, said: str, tmp_path: Path, *, encrypted: bool) -> None:
    """A byte now and then keeps nobody beyond the time of one answer, wherever in the answer it comes."""
    made = certificate(tmp_path) if encrypted else None
    with saying(answer, made.context() if made else None) as port:
        url = f"{'https' if made else 'http'}://127.0.0.1:{port}"
        client = ApiClient(url, limits=Limits(seconds=0.5, attempts=1), ca_file=made.file if made else None)
        began = time.monotonic()
        with contextlib.closing(client), pytest.raises(RetryableError, match=said):
            client.get("api")
        taken = time.monotonic() - began

    assert 0.4 < taken < 3


def test_a_connection_is_kept_after_an_answer_that_took_its_time() -> None:
    """The next request on the same connection has all its time again."""
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]"

    def twice(asked: socket.socket) -> None:
        for _ in range(2):
            time.sleep(0.6)
            asked.sendall(body)
            asked.recv(65_536)

    with saying(twice) as port:
        client = ApiClient(f"http://127.0.0.1:{port}", limits=Limits(seconds=5, attempts=1))
        with contextlib.closing(client):
            assert [client.get("api").json() for _ in range(2)] == [[1], [1]]


def test_a_server_that_hangs_is_not_asked_again_and_again() -> None:
    """After two waits of all its time a request is given up, whatever is left of its attempts."""
    asked_at: list[float] = []

    def hang(asked: socket.socket) -> None:
        asked_at.append(time.monotonic())
        asked.recv(1)

    with saying(hang) as port, pytest.raises(RetryableError, match=r"no answer within 0\.2 s"):
        asked(port, Limits(seconds=0.2, attempts=4))

    assert len(asked_at) == 2


def test_a_certificate_that_changes_is_not_trusted_until_it_is_named(tmp_path: Path) -> None:
    """Another certificate on the same address ends the run with what to do; with its CA in the file all goes on."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    first, second, trusted = certificate(old), certificate(new), tmp_path / "ca.pem"
    shutil.copy(first.file, trusted)

    def get(port: int) -> Any:
        client = ApiClient(f"https://127.0.0.1:{port}", ca_file=trusted, limits=SMALL)
        with contextlib.closing(client):
            return client.get("api").json()

    with saying(whole(b"[1]"), first.context()) as port:
        assert get(port) == [1]
    with saying(whole(b"[2]"), second.context(), port):
        with pytest.raises(SourceError, match="its certificate is not trusted; name its CA"):
            get(port)
        shutil.copy(second.file, trusted)
        assert get(port) == [2]
