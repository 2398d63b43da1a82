"""The example organisation: what importing 26 weeks of it costs, and an ordinary cycle afterwards.

    make bench ARGS=bench/demo.py

Each figure stands beside its limit. The import is that of `paceline demo`: the files are collected as ever, everything
is derived, evaluated and published, in a process of its own. Afterwards the organisation goes on, and every five
minutes what is new is appended to its files, collected and evaluated.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

BEFORE_THE_END = timedelta(days=4, hours=10)
"""How long before the last week's end the import is: a Wednesday, 14:00 UTC, when two of three sites work."""
EVERY = timedelta(minutes=5)
CYCLES = 7
PARTS = 5
"""How many parts of an import are printed at most."""


def main() -> None:
    """Measure once, each in a process of its own, and print the figures beside their limits."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    backfill = found["collect"] + found["refresh"]
    print(f"events                {found['events']:,.0f} of 26 weeks, {found['observations']:,.0f} observations")
    print(f"writing the files     {found['write']:.1f} s")
    print(f"collect               {found['collect']:.1f} s, {found['events'] / found['collect']:,.0f} events/s")
    print(f"derive and evaluate   {found['refresh']:.1f} s")
    print(f"backfill              {backfill:.1f} s (limit 60), processor {found['processor']:.1f} s")
    print(f"database              {found['size_mb']:.0f} MB (limit 300)")
    print(f"peak memory           {found['memory_mb']:.0f} MB")
    cycle = f"{found['cycle']:.2f} s (limit 1), processor {found['busy']:.2f} s"
    print(f"cycle after news      {cycle}, {found['news']:.0f} new events, median of {CYCLES}")
    print(f"cycle without news    {found['idle']:.2f} s (limit 1)")


def measure(folder: Path) -> dict[str, float]:
    """Import into an empty store, then go on; seconds and megabytes."""
    from paceline.demo.folder import SETTINGS, make  # noqa: PLC0415 - only the measured process needs them
    from paceline.demo.period import period_ending  # noqa: PLC0415
    from paceline.wiring import build, configuration  # noqa: PLC0415

    whole = period_ending("2026-W14", 26, datetime.now(UTC))
    now = [whole.until - BEFORE_THE_END]
    started = time.perf_counter()
    written = make(folder, replace(whole, until=now[0]), standing=False)
    found = {"write": time.perf_counter() - started, "events": float(sum(written.values()))}
    running = build(configuration(folder / SETTINGS, {}, folder), lambda: now[0], {})
    service = running.service
    started, cpu = time.perf_counter(), time.process_time()
    for source in service.configuration.sources:
        service.collect(source)
    found["collect"] = time.perf_counter() - started
    service.refresh()
    found["refresh"] = time.perf_counter() - started - found["collect"]
    found["processor"] = time.process_time() - cpu
    data_dir = service.configuration.data_dir
    with contextlib.closing(sqlite3.connect(data_dir / "paceline.db")) as database:
        (found["observations"],) = database.execute("SELECT count(*) FROM observation").fetchone()
    found["size_mb"] = sum(f.stat().st_size for f in data_dir.glob("paceline.db*")) / 1e6

    news, cycles, busy = [], [], []
    for _ in range(CYCLES):
        now[0] += EVERY
        news.append(append_news(folder, replace(whole, until=now[0])))
        started, cpu = time.perf_counter(), time.process_time()
        for source in service.configuration.sources:
            service.collect(source)
        service.refresh()
        cycles.append(time.perf_counter() - started)
        busy.append(time.process_time() - cpu)
    started = time.perf_counter()
    service.refresh()
    found["idle"] = time.perf_counter() - started
    running.close()
    found |= {"cycle": statistics.median(cycles), "busy": statistics.median(busy), "news": statistics.median(news)}
    return found | {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def append_news(folder: Path, period: object) -> int:
    """Write what happened meanwhile behind what the files hold; how many events that is."""
    with tempfile.TemporaryDirectory() as later:
        from paceline.demo.folder import make  # noqa: PLC0415
        from paceline.demo.period import Period  # noqa: PLC0415

        assert isinstance(period, Period)
        make(Path(later), period, standing=False)
        return sum(append_lines(new, folder / "events" / new.name, period.until) for new in files(Path(later)))


def files(folder: Path) -> Iterable[Path]:
    """The files of events."""
    return sorted((folder / "events").glob("*.jsonl"))


def append_lines(new: Path, old: Path, at: datetime) -> int:
    """Append the lines that a file does not hold yet; how many."""
    known = set(old.read_bytes().splitlines())
    lines = [line for line in new.read_bytes().splitlines() if line not in known]
    if lines:
        with old.open("ab") as file:
            file.write(b"\n".join(lines) + b"\n")
        os.utime(old, (at.timestamp(), at.timestamp()))
    return len(lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(Path(sys.argv[2]) / "example")))
    else:
        main()
