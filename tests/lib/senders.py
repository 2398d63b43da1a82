"""Signed deliveries at a rate, each sent until it is answered. Run as a program, so that it disturbs nobody's figures.

    python senders.py <port> <deliveries a second> <file for what was accepted> <secret>

As a CI system does, each run is delivered when it is queued, when it starts and when it ends. It ends when its standard
input is closed, once everything sent is answered. The file then holds the id of each delivery that was answered with
2xx, a line each.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

CONNECTIONS = 64
_ANSWER_SECONDS = 20.0
_SUCCESS = range(200, 300)


STATES = ("pending", "executing", "completed")
_STEP_SECONDS = 3
"""After how long a run that was queued starts, and one that has started ends."""


def step_of(number: int, rate: float) -> tuple[int, int]:
    """Of which run a delivery tells, and which of its steps: many are queued, then all of them start, then end."""
    many = max(round(rate * _STEP_SECONDS), 1)
    block, rest = divmod(number, len(STATES) * many)
    step, place = divmod(rest, many)
    return block * many + place, step


def record(run: int, step: int, at: datetime) -> bytes:
    """The body of a delivery: what happened to a run of a pipeline just now."""
    passed = [(at - timedelta(seconds=_STEP_SECONDS * (step - number))).isoformat() for number in range(step + 1)]
    times = dict(zip(("created_at", "started_at", "finished_at"), passed, strict=False))
    told = {"kind": "pipeline_run", "native_id": f"run-{run}", "repository": f"service-{run % 50}", "pipeline": "build"}
    ended = {"result": "failure" if run % 20 == 7 else "success"} if STATES[step] == "completed" else {}
    state = {"state": STATES[step], "updated_at": at.isoformat(), "actor": f"p{run % 300}@people.example"}
    return json.dumps({**told, **times, **ended, **state}).encode()


def lasting(accepted: Iterable[str]) -> list[str]:
    """What must be stored after these deliveries: each run in the state that was told last."""
    newest: dict[str, int] = {}
    for one in accepted:
        run, _, step = one.rpartition("-")
        newest[run] = max(int(step), newest.get(run, 0))
    return [f"{run} {STATES[step]}" for run, step in newest.items()]


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
                    self.accepted.append(self._id(number))
                    break
                self.repeated += 1
                await asyncio.sleep(0.2)
        if connection is not None:
            connection[1].close()

    def _id(self, number: int) -> str:
        run, step = step_of(number, self.rate)
        return f"run-{run}-{step}"

    def _request(self, number: int) -> bytes:
        body = record(*step_of(number, self.rate), datetime.now(UTC))
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        head = (
            "POST /webhooks/releases HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"X-Paceline-Delivery: {self._id(number)}",
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
