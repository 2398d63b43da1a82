"""What sending metrics does to the cycle that makes them: receivers that take 100,000 series, and ones that hang.

A cycle here writes every series anew and hands them on, which is the most that a cycle has to do with metrics. It runs
without receivers, with two that take everything, and with two that read a request and never answer, in turns. The
receivers are a process of their own.
"""

from __future__ import annotations

import gc
import socketserver
import statistics
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from paceline.logs import configure
from paceline.push_senders import OtlpSender, RemoteWriteSender
from paceline.push_settings import OtlpSettings, RemoteWriteSettings
from paceline.pushing import Pushes
from slo_engine.catalog import SLO_BURN_RATE
from slo_engine.exposition import render

SERIES = 100_000
CYCLES = 8
ROUNDS = 3
_EACH_SECONDS = 4.0
"""How often a cycle begins."""


def main() -> None:
    """Run the cycles in turns, print what each took, and the memory before and after."""
    command = [sys.executable, __file__, "--receive"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receivers:
        assert receivers.stdin is not None
        assert receivers.stdout is not None
        takes, hangs = receivers.stdout.readline().split()
        found: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(ROUNDS):
            for name, port in (("no receiver", ""), ("two that take them", takes), ("two that hang", hangs)):
                cycles, taken = measured(port)
                found.setdefault(name, []).extend(cycles)
                print(f"  {name}: {taken} pushes went through, {resident():.0f} MB", flush=True)
        receivers.stdin.close()
    for name, cycles in found.items():
        wall, cpu, handing = zip(*cycles, strict=True)
        print(
            f"{name:18}  a cycle {statistics.median(wall):.2f} s, at most {max(wall):.2f} s; "
            f"its processor time {statistics.median(cpu):.2f} s; handing on at most {max(handing) * 1000:.1f} ms"
        )


def measured(port: str) -> tuple[list[tuple[float, float, float]], int]:
    """Of each cycle wall and processor seconds, and wall seconds of handing on; how many pushes were taken."""
    stopped = threading.Event()
    url = f"http://127.0.0.1:{port}"
    senders = (
        OtlpSender(
            OtlpSettings.model_validate({"url": url}), Path(), stopped, lambda: datetime(2026, 1, 1, tzinfo=UTC)
        ),
        RemoteWriteSender(RemoteWriteSettings.model_validate({"url": f"{url}/write"}), Path(), stopped),
    )
    took = 0

    def clock() -> datetime:
        return datetime.now(UTC)

    with closing(Pushes(senders if port else (), configure("error", "json"), clock, stopped)) as pushes:
        pushes.start()
        cycles = []
        for number in range(CYCLES):
            begun, used = time.perf_counter(), time.thread_time()
            published = render(
                [(SLO_BURN_RATE, (f"slo-{n // 10}", f"{n % 10}h"), n / 7 + number) for n in range(SERIES)]
            )
            handed = time.perf_counter()
            pushes.publish(published)
            end = time.perf_counter()
            cycles.append((end - begun, time.thread_time() - used, end - handed))
            time.sleep(max(0.0, begun + _EACH_SECONDS - end))
        took = sum(state.succeeded is True for state in pushes.states)
    gc.collect()
    return cycles, took


def resident() -> float:
    """Megabytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


class _Takes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Hangs(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while self.request.recv(1 << 16):
            """Read all, and answer nothing."""


def receive() -> None:
    """Listen on two ports until the input ends."""
    servers = ThreadingHTTPServer(("127.0.0.1", 0), _Takes), socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Hangs)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(*(server.server_address[1] for server in servers), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    receive() if sys.argv[1:] == ["--receive"] else main()
