"""A scrape of 100 000 series: what the server does for it, without I/O, against compressing the same bytes."""

from __future__ import annotations

import asyncio
import gzip
import statistics
import time
from types import SimpleNamespace
from typing import Any, cast

from paceline.service import Published
from paceline.web import create_app
from slo_engine.catalog import SLO_BURN_RATE
from slo_engine.exposition import render
from slo_engine.snapshot import Snapshot

SERIES = 100_000
RUNS = 50


def main() -> None:
    """Publish once, then answer scrapes through the app, without a socket in between."""
    from paceline.wiring import utc_now  # noqa: PLC0415

    samples = [(SLO_BURN_RATE, (f"slo-{n // 10}", f"{n % 10}h"), n / 7) for n in range(SERIES)]
    started = time.perf_counter()
    exposition = render(samples)
    published = time.perf_counter() - started
    service: Any = SimpleNamespace(
        published=Published(snapshot=Snapshot(at=utc_now()), exposition=exposition),
        configuration=SimpleNamespace(notes=()),
        indicators={},
        started_at=utc_now(),
    )
    app = create_app(service)
    for name, encoding, body in (("plain", b"", exposition.text), ("gzip", b"gzip", exposition.text_gzip)):
        seconds = [asyncio.run(scrape(app, encoding)) for _ in range(RUNS)]
        print(f"scrape, {name:5}  {statistics.median(seconds) * 1000:.2f} ms for {len(body) / 1e6:.1f} MB (limit 5 ms)")
    started = time.perf_counter()
    gzip.compress(exposition.text, 5)
    print(f"once per snapshot: rendering {published:.2f} s for {exposition.series:,} series; ", end="")
    print(f"compressing on each scrape instead would cost {time.perf_counter() - started:.2f} s")


async def scrape(app: Any, encoding: bytes) -> float:
    """Seconds of one request through the app; its body goes nowhere."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "raw_path": b"/metrics",
        "query_string": b"",
        "headers": [(b"accept-encoding", encoding)],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("localhost", 1),
        "root_path": "",
    }
    sent: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(len(cast("bytes", message.get("body", b""))))

    started = time.perf_counter()
    await app(scope, receive, send)
    seconds = time.perf_counter() - started
    assert sum(sent) > 0
    return seconds


if __name__ == "__main__":
    main()
