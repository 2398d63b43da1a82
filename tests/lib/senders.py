"""Signed deliveries at a rate, each sent until it is answered. Run as a program, so that it disturbs nobody's figures.

    python senders.py <port> <deliveries a second> <file for what was accepted> <secret>

Ends when its standard input is closed, once everything sent is answered. The file then holds the id of each delivery
that was answered with 2xx, a line each.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

CONNECTIONS = 64
_ANSWER_SECONDS = 20.0
_SUCCESS = range(200, 300)


def record(number: int, at: datetime) -> bytes:
    """The body of a delivery: a run of a pipeline that ended just now."""
    stamp, begun = at.isoformat(), (at - timedelta(seconds=90)).isoformat()
    told = {"kind": "pipeline_run", "native_id": f"run-{number}", "repository": f"service-{number % 50}"}
    times = {"created_at": begun, "started_at": begun, "finished_at": stamp, "updated_at": stamp}
    ended = {"pipeline": "build", "state": "completed", "result": "failure" if number % 20 == 7 else "success"}
    return json.dumps({**told, **times, **ended, "actor": f"p{number % 300}@people.example"}).encode()


@dataclass
class Senders:
    """Systems that deliver at a rate together, and send again what was not answered."""

    port: int
    rate: float
    secret: str
    accepted: list[str] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    repeated: int = 0
    sent: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    async def run(self) -> None:
        """Deliver until stopped."""
        began = time.monotonic()
        await asyncio.gather(*(self._deliver(began) for _ in range(CONNECTIONS)))

    async def _deliver(self, began: float) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.stopped.is_set():
            number = self.sent
            self.sent += 1
            if (early := began + number / self.rate - time.monotonic()) > 0:
                await asyncio.sleep(early)
            asked = self._request(number)
            while True:
                try:
                    if connection is None:
                        connection = await asyncio.open_connection("127.0.0.1", self.port)
                    status = await asyncio.wait_for(_asked(connection, asked), _ANSWER_SECONDS)
                except (OSError, EOFError, ValueError, TimeoutError):
                    if connection is not None:
                        connection[1].close()
                    connection, status = None, 0
                self.answers[status] = self.answers.get(status, 0) + 1
                if status in _SUCCESS:
                    if not self.accepted:
                        sys.stdout.write("the first one is accepted\n")
                        sys.stdout.flush()
                    self.accepted.append(f"run-{number}")
                    break
                self.repeated += 1
                await asyncio.sleep(0.2)
        if connection is not None:
            connection[1].close()

    def _request(self, number: int) -> bytes:
        body = record(number, datetime.now(UTC))
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        head = (
            "POST /webhooks/releases HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"X-Paceline-Delivery: run-{number}",
            f"X-Paceline-Signature-256: sha256={signature}",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join((*head, "", "")).encode() + body


async def _asked(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> int:
    reader, writer = connection
    writer.write(request)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(maxsplit=2)[1])


def main() -> None:
    """Send until standard input ends."""
    port, rate, path, secret = sys.argv[1:]
    senders = Senders(int(port), float(rate), secret)

    def wait() -> None:
        sys.stdin.read()
        senders.stopped.set()

    threading.Thread(target=wait, daemon=True).start()
    asyncio.run(senders.run())
    Path(path).write_text("".join(f"{one}\n" for one in senders.accepted), encoding="ascii")
    said = {"accepted": len(senders.accepted), "repeated": senders.repeated, "answers": senders.answers}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
