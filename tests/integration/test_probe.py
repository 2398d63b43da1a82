"""Real servers of this test, over real connections: what becomes of a service that stops, hangs and comes back."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.events import Probe
from collector.http import Wire
from collector.people import People
from collector.run import Runner, RunOutcome
from collector.source import SourceContext
from collector.sources.probe import ProbeConfig
from collector.store import Database, EventStore
from slo_engine.indicators import reliability
from slo_engine.organisation import Organisation

pytestmark = pytest.mark.integration

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BRIEF = timedelta(seconds=1)
NOW = datetime.now(UTC)


# ---- servers


class Server(ThreadingHTTPServer):
    """Closes what it serves without a word about clients that went away."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that do not trust a certificate go away."""


@dataclass
class Site:
    """A server that can be stopped and started on its port. `status`: what it answers; None drips for ever."""

    status: int | None = 200
    port: int = 0
    credentials: list[str | None] = field(default_factory=list)
    elsewhere: str = ""
    _server: Server | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, trust: ssl.SSLContext | None = None) -> Site:
        """Serve."""
        self._server = Server(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_port
        if trust is not None:
            self._server.socket = trust.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Serve no more: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.credentials.append(self.headers.get("Authorization"))
                if site.status is None:
                    self._drip()
                    return
                place = {"/circle": "/circle", "/elsewhere": site.elsewhere}.get(self.path)
                self.send_response(site.status if place is None else 302)
                if place is not None:
                    self.send_header("Location", place)
                self.end_headers()
                self.wfile.write(b"all is well")

            def _drip(self) -> None:
                with contextlib.suppress(OSError):
                    while True:
                        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                        time.sleep(0.02)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    """A server that is up."""
    made = Site().start()
    yield made
    made.stop()


# ---- rounds


@dataclass
class Rounds:
    """Runs a source with the real runner, at times of its own."""

    database: Database
    context: SourceContext

    def run(self, at: datetime, *targets: dict[str, Any]) -> RunOutcome:
        """A round."""
        fields = {"name": "checks", "type": "probe", "targets": [{"timeout": BRIEF, **t} for t in targets]}
        context = replace(self.context, clock=lambda: at)
        source = ProbeConfig.model_validate(fields).build(context)
        return Runner(self.database, self.store, lambda: at).run("checks", source)

    @property
    def store(self) -> EventStore:
        """The events."""
        return EventStore(self.database)

    def passed(self) -> dict[str, int]:
        """How many checks passed, by target."""
        return dict(self.store.columns(Probe, "target", "passed"))

    def failures(self, *targets: dict[str, Any]) -> dict[str, str]:
        """Why the checks of each target's service failed in one round."""
        outcome = self.run(NOW, *targets)
        assert outcome.error is None
        return {w.partition(",")[0]: w.rpartition(": ")[2].partition(" (")[0] for w in outcome.warnings}


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[Rounds]:
    """Rounds into a new store."""
    database = Database.open(tmp_path)
    wire = Wire(sleep=lambda _: None)
    people = People(b"k" * 32)
    context = SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=people, clock=lambda: START, wire=wire)
    yield Rounds(database, context)
    database.close()


def test_uptime_has_the_minutes_in_which_a_service_answered(rounds: Rounds, site: Site) -> None:
    """Up, an error, hanging, stopped, up again; a minute in which nobody looked is unknown."""
    shop = {"service": "shop", "url": f"{site.url}/health", "body_contains": "all is well"}

    said = [rounds.run(START, shop).warnings]
    site.status = 503
    said += [rounds.run(START + MINUTE, shop).warnings]
    site.status = None
    said += [rounds.run(START + 2 * MINUTE, shop).warnings]
    site.stop()
    said += [rounds.run(START + 3 * MINUTE, shop).warnings]
    site.status = 200
    site.start()
    said += [rounds.run(START + 4 * MINUTE, shop).warnings, rounds.run(START + 6 * MINUTE, shop).warnings]

    slots = list(reliability.observe(rounds.store, Organisation()))
    judged = {(o.at - START) // MINUTE: str(o.reason or o.outcome) for o in slots}
    assert [judged[n] for n in range(8)] == ["good", "bad", "bad", "bad", "good", "unknown", "good", "unknown"]
    assert [(o.subject.service, o.subject.environment) for o in slots[:1]] == [("shop", "production")]
    failed = "shop, url: 1 of 1 checks failed:"
    assert said == [
        (),
        (f"{failed} status 503 (1)",),
        (f"{failed} timeout (1)",),
        (f"{failed} connection refused (1)",),
        (),
        (),
    ]


def test_redirects_end_and_keep_credentials_at_home(rounds: Rounds, site: Site) -> None:
    """A circle fails; another server is asked without the credentials of the first."""
    other = Site().start()
    site.elsewhere = f"{other.url}/"
    headers = {"Authorization": "Bearer t0ken"}
    circle, elsewhere = (
        {"service": path, "url": f"{site.url}/{path}", "headers": headers} for path in ("circle", "elsewhere")
    )

    failures = rounds.failures(circle, elsewhere)
    other.stop()

    assert failures == {"circle": "too many redirects"}
    assert site.credentials == ["Bearer t0ken"] * 12
    assert other.credentials == [None]


def test_ports_are_open_or_closed(rounds: Rounds, site: Site) -> None:
    """A port that takes a connection is up; one that nobody listens on is down."""
    shut = Site().start()
    shut.stop()

    rounds.run(START, *({"service": "db", "tcp": f"localhost:{port}"} for port in (site.port, shut.port)))

    assert rounds.passed() == {f"tcp://localhost:{site.port}": 1, f"tcp://localhost:{shut.port}": 0}


# ---- certificates

KEY = ec.generate_private_key(ec.SECP256R1())
HERE = "127.0.0.1"
AUTHORITY = "authority"


def certificate(subject: str, issuer: str, ends_at: datetime) -> bytes:
    """A certificate as PEM: an authority's, or that of a server at an address."""
    named, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer))
    made = x509.CertificateBuilder(by, named, KEY.public_key(), x509.random_serial_number(), NOW - 90 * DAY, ends_at)
    made = made.add_extension(x509.BasicConstraints(ca=subject == AUTHORITY, path_length=None), critical=True)
    if subject != AUTHORITY:
        made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(subject))]), critical=False)
    return made.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def shown(folder: Path, subject: str, issuer: str, ends_at: datetime) -> ssl.SSLContext:
    """What a server with such a certificate shows."""
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "server.pem"
    key = KEY.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(key + certificate(subject, issuer, ends_at))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture(scope="module")
def tls_sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], dict[str, Any]]]:
    """Targets by the kind of certificate that their server shows; they trust the authority of these tests."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = folder / "authority.pem"
    authority.write_bytes(certificate(AUTHORITY, AUTHORITY, NOW + 90 * DAY))
    kinds = {
        "good": (HERE, AUTHORITY, NOW + 20 * DAY),
        "soon": (HERE, AUTHORITY, NOW + 13 * DAY),
        "expired": (HERE, AUTHORITY, NOW - DAY),
        "self-signed": (HERE, HERE, NOW + 20 * DAY),
        "of-another": ("127.0.0.2", AUTHORITY, NOW + 20 * DAY),
    }
    sites = {kind: Site().start(shown(folder, *told)) for kind, told in kinds.items()}
    common = {"ca_file": authority, "expires_within": "14d", "timeout": "2s"}
    yield lambda kind, what: {"service": kind, what: ADDRESSES[what].format(sites[kind].port), **common}
    for one in sites.values():
        one.stop()


ADDRESSES = {"tls": f"{HERE}:{{}}", "url": f"https://{HERE}:{{}}/"}
KINDS = ["good", "soon", "expired", "self-signed", "of-another"]
EXPECTED = {
    "soon": "certificate expires soon",
    "expired": "certificate expired",
    "self-signed": "certificate self-signed",
    "of-another": "certificate of another host",
}


@pytest.mark.parametrize("what", ["tls", "url"])
def test_a_bad_certificate_fails_for_its_reason(rounds: Rounds, tls_sites: Any, what: str) -> None:
    """Expired, expiring, self-signed, of another host: each is said, over HTTPS too; one that lasts passes."""
    assert rounds.failures(*(tls_sites(kind, what) for kind in KINDS)) == EXPECTED


def test_a_private_authority_is_not_trusted_by_itself(rounds: Rounds, tls_sites: Any) -> None:
    """Without `ca_file` the system's authorities count, and none of them signed it."""
    assert rounds.failures({**tls_sites("good", "tls"), "ca_file": None}) == {"good": "certificate not trusted"}


def test_a_replaced_file_of_certificates_is_read_again(rounds: Rounds, tls_sites: Any, tmp_path: Path) -> None:
    """A new authority is trusted from the next round on, without a restart."""
    good, mine = tls_sites("good", "tls"), tmp_path / "mine.pem"
    mine.write_bytes(certificate("127.0.0.3", "127.0.0.3", NOW + 90 * DAY))
    before = rounds.failures({**good, "ca_file": mine})
    mine.unlink()
    mine.write_bytes(good["ca_file"].read_bytes())

    after = rounds.run(NOW + MINUTE, {**good, "ca_file": mine}).warnings

    assert (before, after) == ({"good": "certificate not trusted"}, ())
