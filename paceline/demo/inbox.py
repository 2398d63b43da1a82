"""Where alerts of the example end: an address on loopback that keeps what arrives and says it in a line."""

from __future__ import annotations

import contextlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from slo_engine.event_lines import one_line

_LARGEST_BYTES = 8 * 1024 * 1024
_POLL_SECONDS = 0.05


@contextlib.contextmanager
def inbox(kept: Path, secret: str, say: Callable[[str], object]) -> Iterator[str]:
    """The address of an inbox that appends each notification to a file; who posts shows the secret as bearer token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(kept, secret, say))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(kept: Path, secret: str, say: Callable[[str], object]) -> type[BaseHTTPRequestHandler]:
    writing = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            shown = self.headers.get("Authorization", "")
            if not hmac.compare_digest(shown.encode(), f"Bearer {secret}".encode()):
                self._answer(HTTPStatus.UNAUTHORIZED)
                return
            size = self.headers.get("Content-Length", "")
            if not size.isdecimal() or int(size) > _LARGEST_BYTES:
                self._answer(HTTPStatus.BAD_REQUEST)
                return
            notification = json.loads(self.rfile.read(int(size)))
            with writing:
                with kept.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(notification) + "\n")
                for alert in notification["alerts"]:
                    say(in_a_line(alert))
            self._answer(HTTPStatus.OK)

        def _answer(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: what arrives is said already."""

    return Handler


def in_a_line(alert: Any) -> str:
    """An alert of a notification as one line of text."""
    summary = alert.get("annotations", {}).get("summary") or alert["labels"].get("alertname", "an alert")
    return one_line(f"Alert, {alert['status']}: {summary}")
