"""A stand-in for what probes meet: servers at the other end of a pair of sockets. Nothing goes over a network."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Sample

from collector.probing import Deadline, Prober
from collector.source import SourceContext
from collector.sources.probe import ProbeConfig, ProbeSource

TOKEN = "t0ken-of-the-sample"  # noqa: S105 - planted
OK = f"HTTP/1.1 200 OK\r\nContent-Length: 23\r\nX-Admin: {PLANTED_MAIL}\r\n\r\n{PLANTED_NAME}"
DOWN = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 23\r\n\r\n{PLANTED_NAME}"


@dataclass
class Servers:
    """What answers, by its host: a text, or how connecting fails. `asked`: who was sent what, in order."""

    answers: Mapping[str, str | OSError]
    asked: list[tuple[str, str]] = field(default_factory=list)

    def connect(self, host: str, _port: int, _deadline: Deadline) -> socket.socket:
        """A connection to a host."""
        answer = self.answers[host]
        if isinstance(answer, OSError):
            raise answer
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._serve, args=(theirs, host, answer)).start()
        return ours

    def _serve(self, line: socket.socket, host: str, answer: str) -> None:
        with line, contextlib.suppress(OSError):
            self.asked.append((host, line.recv(1 << 16).decode("latin-1")))
            line.sendall(answer.encode())


class StandingConfig(ProbeConfig):
    """Checks that meet the servers of a sample, and take no time by their timer."""

    def build(self, context: SourceContext) -> ProbeSource:
        """The source."""
        refused = ConnectionRefusedError(PLANTED_NAME)
        servers = Servers({"shop.example.com": OK, "down.example.com": DOWN, "db.example.com": refused})
        return ProbeSource(self, context, Prober(servers.connect, lambda: 0.0))


def sample(folder: Path) -> Sample:
    """A target that is up, one that is down and a closed port; a header's secret stands in a file that can vanish."""
    secret = folder / "secret"
    secret.write_text(TOKEN, encoding="utf-8")
    settings = {
        "name": "sample",
        "type": "probe",
        "targets": [
            {"service": "shop", "url": "http://shop.example.com/", "headers": {"Authorization": f"file:{secret}"}},
            {"service": "shop", "url": "http://down.example.com/health?by=" + PLANTED_MAIL, "checks": 2},
            {"service": "shop-db", "environment": "staging", "tcp": "db.example.com:5432"},
        ],
    }
    return Sample(StandingConfig.model_validate(settings), secret.unlink, people=False)
