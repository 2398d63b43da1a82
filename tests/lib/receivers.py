"""Who is sent something: a real mail server, and a web server that keeps what is posted to it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "paceline", "a-password-of-this-test"
_KEPT = "250 kept"


# --- mail ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Received:
    """A mail as it came: the addresses of the envelope, and what it says."""

    sender: str
    to: list[str]
    mail: EmailMessage

    def part(self, kind: str) -> str:
        """The text of its part `plain` or `html`."""
        body = self.mail.get_body((kind,))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")


@dataclass
class MailBox:
    """Keeps mails, and answers as told: `answers` to mails one after another, `unknown` are addresses it refuses."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    on_mail: Callable[[], object] = lambda: None
    """Is called once a mail was kept, before that is said."""
    goodbye: str = "221 Bye"
    parting_seconds: float = 0.0

    async def handle_QUIT(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Part as told."""
        await asyncio.sleep(self.parting_seconds)
        return self.goodbye

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take an address, or not."""
        if address in self.unknown:
            return f"550 nobody here is called {address}"
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail, or answer what was told."""
        answer = self.answers.pop(0) if self.answers else _KEPT
        if answer == _KEPT:
            mail = message_from_bytes(envelope.content, policy=default)
            self.received.append(Received(envelope.mail_from, list(envelope.rcpt_tos), mail))
            self.on_mail()
        return answer

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of what sends to it."""
        to = ["leaders@example.com", "Second <second@example.com>"]
        where = {"host": "127.0.0.1", "port": self.port, "security": "none"}
        return {"type": "email", "name": "mail", "sender": "Paceline <paceline@example.com>", "to": to, **where, **more}


@contextlib.contextmanager
def mail_box(**options: Any) -> Iterator[MailBox]:
    """A mail server on loopback; options are those of aiosmtpd's."""
    box = MailBox(port=_free_port())
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **options)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def with_login(**options: Any) -> dict[str, Any]:
    """Options of a server that takes mail only from who logs in."""

    def checked(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
        right = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    return {"authenticator": checked, "auth_required": True, **options}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def dripping(said: bytes, seconds: float) -> Iterator[int]:
    """The port of a server that greets like a mail server if it says anything, then says this byte by byte, slowly.

    It listens, and hangs up, where there is nothing to say.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                taken, _ = listening.accept()
                with taken:
                    taken.sendall(b"220 ready\r\n") if said else taken.recv(1 << 16)
                    for byte in said:
                        time.sleep(seconds)
                        taken.sendall(bytes([byte]))

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


# --- certificates ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1 that nobody but who is shown it trusts."""

    file: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server shows it with."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.file, self.key)
        return made


def certificate(folder: Path) -> Certificate:
    """A new one, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    found = Certificate(folder / "certificate.pem", folder / "key.pem")
    found.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return found


# --- webhooks --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Posted:
    """What was posted: the path, headers by their names in lower case, and the body as JSON, or as it came."""

    path: str
    headers: Mapping[str, str]
    body: Any


class Hook(ThreadingHTTPServer):
    """Keeps what is posted to it, and answers as told: status, headers and body, one after another; else 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.posted: list[Posted] = []
        self.hanging = threading.Event()
        """Answers come once it is set."""
        self.hanging.set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Answering(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body: Any = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Type", "").startswith("application/json"):
            body = json.loads(body)
        self.server.posted.append(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.server.hanging.wait()
        status, headers, said = self.server.answers.pop(0) if self.server.answers else (200, {}, b"")
        with contextlib.suppress(OSError):  # whoever asked may have gone
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def hook() -> Iterator[Hook]:
    """A web server on loopback."""
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.hanging.set()
            server.shutdown()
            thread.join()
