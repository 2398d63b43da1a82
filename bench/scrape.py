"""A scrape of 100 000 series through the real server on loopback: what it costs the server, without any I/O for data.

The server runs in a process of its own; its processor time is read before and after the scrapes, so the client's
work is not in it. Beside it stands the time until the client has the whole body.
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

SERIES = 100_000
SCRAPES = 100
ROUNDS = 5


def main() -> None:
    """Start the server, scrape it, print processor time per scrape."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port, published = server.stdout.readline().split()
        for name, encoding in (("plain", "identity"), ("gzip", "gzip")):
            rounds = [scrapes(server, int(port), encoding) for _ in range(ROUNDS)]
            cpu, wall, length = (statistics.median(figures) for figures in zip(*rounds, strict=True))
            cost = f"{cpu * 1000:.2f} ms of the server for {length / 1e6:.1f} MB (limit 5 ms)"
            print(f"scrape, {name:5}  {cost}, {wall * 1000:.2f} ms until the client has it")
        server.stdin.close()
    print(f"once per snapshot: rendering {float(published):.2f} s for {SERIES:,} series")


def scrapes(server: subprocess.Popen[str], port: int, encoding: str) -> tuple[float, float, float]:
    """Processor seconds of the server and wall seconds per scrape, and the body's length."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    length = 0
    before, started = cpu_of(server), time.perf_counter()
    for _ in range(SCRAPES):
        connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
        length = len(connection.getresponse().read())
    wall = time.perf_counter() - started
    used = cpu_of(server) - before
    connection.close()
    return used / SCRAPES, wall / SCRAPES, length


def cpu_of(server: subprocess.Popen[str]) -> float:
    """Processor seconds that the server has used, as it says itself."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("cpu\n")
    server.stdin.flush()
    return float(server.stdout.readline())


def serve() -> None:
    """Publish once, serve, and tell the processor time whenever a line comes in."""
    import socket  # noqa: PLC0415 - only the server needs these
    import threading  # noqa: PLC0415

    import uvicorn  # noqa: PLC0415

    from paceline.service import Published  # noqa: PLC0415
    from paceline.web import create_app  # noqa: PLC0415
    from paceline.wiring import utc_now  # noqa: PLC0415
    from slo_engine.catalog import SLO_BURN_RATE  # noqa: PLC0415
    from slo_engine.exposition import render  # noqa: PLC0415
    from slo_engine.snapshot import Snapshot  # noqa: PLC0415

    samples = [(SLO_BURN_RATE, (f"slo-{n // 10}", f"{n % 10}h"), n / 7) for n in range(SERIES)]
    started = time.perf_counter()
    exposition = render(samples)
    rendered = time.perf_counter() - started
    service: Any = SimpleNamespace(
        published=Published(snapshot=Snapshot(at=utc_now()), exposition=exposition),
        configuration=SimpleNamespace(notes=()),
        indicators={},
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(service), log_level="warning", access_log=False))
    threading.Thread(target=server.run, args=([listening],), daemon=True).start()
    print(listening.getsockname()[1], rendered, flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        main()
