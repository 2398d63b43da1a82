"""Paceline's own traces and logs: off unless asked for, and without secrets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from paceline.logs import configure
from paceline.telemetry import Telemetry


@pytest.mark.parametrize("form", ["json", "text"])
def test_credentials_are_cut_out_of_logs(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A URL's user and password reach no log line, in no form."""
    log = configure("info", "json" if form == "json" else "text")

    log.error("failed at https://user:hunter2@example.com/a.git", error="https://token@example.com refused")

    err = capsys.readouterr().err
    assert "example.com" in err
    assert "hunter2" not in err
    assert "token@" not in err


def test_json_lines_are_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is one JSON object with level, event and a UTC time."""
    configure("info", "json").info("collected", events=3)

    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"], line["events"]) == ("info", "collected", 3)
    assert line["timestamp"].endswith("Z")


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not written."""
    configure("warning", "text").info("quiet")

    assert capsys.readouterr().err == ""


class _Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        """Take a request."""
        self.received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of a small OTLP receiver, and what it was sent."""
    received: list[tuple[str, bytes]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Receiver", (_Receiver,), {"received": received}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_are_sent_when_an_endpoint_is_given(receiver: tuple[str, list[tuple[str, bytes]]]) -> None:
    """A span carries what it was told and how it failed; closing sends what is waiting."""
    address, received = receiver
    telemetry = Telemetry(address)

    with telemetry.span("paceline.collect") as span:
        span.tell(source="git", events=3)
        span.failed("refused")
    telemetry.close()

    ((path, body),) = received
    (spans,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (sent,) = spans.scope_spans[0].spans
    attributes = {a.key: a.value.string_value or a.value.int_value for a in sent.attributes}
    assert (path, sent.name, sent.status.message) == ("/v1/traces", "paceline.collect", "refused")
    assert attributes == {"paceline.source": "git", "paceline.events": 3}


def test_an_exception_goes_on_and_marks_its_span(receiver: tuple[str, list[tuple[str, bytes]]]) -> None:
    """The work's exception is not swallowed, and only its type is sent: its text may hold a secret."""
    address, received = receiver
    telemetry = Telemetry(address)

    with pytest.raises(ValueError, match="hunter2"), telemetry.span("paceline.evaluate"):
        raise ValueError("hunter2")
    telemetry.close()

    assert b"ValueError" in received[0][1]
    assert b"hunter2" not in received[0][1]


def test_without_an_endpoint_nothing_is_recorded() -> None:
    """Telemetry that is not asked for costs nothing and fails at nothing."""
    telemetry = Telemetry(None)

    with telemetry.span("paceline.collect") as span:
        span.tell(source="git")

    telemetry.close()
