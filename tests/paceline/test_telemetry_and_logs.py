"""Paceline's own traces and logs: off unless asked for, and without secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from paceline.logs import configure
from paceline.server import bounded
from paceline.telemetry import Telemetry
from paceline.wiring import Running


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


def test_a_line_goes_on_to_standard_error_when_a_stream_was_closed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that has been replaced and closed since the log was made is not written to; until then it is."""
    earlier = io.StringIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", earlier)
        log = configure("error", "text")
        log.error("first")
    earlier_text = earlier.getvalue()
    earlier.close()

    log.error("second")

    assert "first" in earlier_text
    assert "second" in capsys.readouterr().err


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not written."""
    configure("warning", "text").info("quiet")

    assert capsys.readouterr().err == ""


WEB_SERVER = ("uvicorn", "uvicorn.error", "uvicorn.access")


@pytest.fixture
def of_libraries() -> Iterator[None]:
    """What is changed about the logging of the whole process is put back; nobody has set up the web server's yet."""
    loggers = [logging.getLogger(name) for name in (None, *WEB_SERVER)]
    before = [([*one.handlers], one.propagate, one.level) for one in loggers]
    for one in loggers[1:]:
        one.handlers[:], one.propagate = [], True
        one.setLevel(logging.NOTSET)
    yield
    for one, (handlers, propagate, level) in zip(loggers, before, strict=True):
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)
    logging.captureWarnings(capture=False)


LIBRARIES = ("uvicorn.error", "apscheduler.executors.default", "urllib3.connectionpool", "opentelemetry.exporter")


@pytest.mark.usefixtures("of_libraries")
@pytest.mark.parametrize("name", LIBRARIES)
def test_what_libraries_log_is_json_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Their warnings and errors are lines like all others, without credentials and addresses; less is not told."""
    configure("info", "json")
    configure("info", "json")  # each command of a process does
    library = logging.getLogger(name)

    library.info("nothing of note")
    library.warning("retrying %s for %s", "https://user:hunter2@example.com/a", "eve@evil.example")

    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"]) == ("warning", name)
    assert told["timestamp"].endswith("Z")
    assert "example.com/a" in told["event"]
    assert "hunter2" not in line
    assert "eve@" not in line


def _fails(secret: str) -> None:
    raise ZeroDivisionError(len(secret) * "x")


@pytest.mark.usefixtures("of_libraries")
@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_that_a_library_logs_tells_no_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it happened is told, in one line of JSON; what was in variables is not."""
    configure("error", "json" if form == "json" else "text")
    password = "hunter2"  # noqa: S105 - of a test

    try:
        _fails(password)
    except ZeroDivisionError:
        logging.getLogger("apscheduler.executors.default").exception("a job raised an exception")
        logging.getLogger("apscheduler.executors.default").warning("below the level")

    said = capsys.readouterr().err
    assert "a job raised an exception" in said
    assert "ZeroDivisionError: xxxxxxx" in said
    assert "hunter2" not in said
    assert "below" not in said
    if form == "json":
        assert "Traceback" in json.loads(said)["exception"]


@pytest.mark.usefixtures("of_libraries")
@pytest.mark.filterwarnings("default")
def test_a_warning_of_python_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a line of the log, whoever warns."""
    configure("info", "json")
    logging.getLogger("py.warnings").warning("what a library warns of")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)  # as it stands outside of a test, which catches warnings itself
        warnings.warn("this is old", UserWarning, stacklevel=1)

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["logger"] for line in lines] == ["py.warnings"] * 2
    assert "this is old" in lines[1]["event"]


@pytest.mark.usefixtures("of_libraries")
def test_the_web_server_leaves_its_log_to_ours(running: Running) -> None:
    """Uvicorn would set up handlers of its own, which write plain text."""
    uvicorn_logger = logging.getLogger("uvicorn")
    bounded(FastAPI(), running, None)

    assert uvicorn_logger.handlers == []
    assert uvicorn_logger.propagate
    assert logging.getLogger("uvicorn.error").propagate


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
