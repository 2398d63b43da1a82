"""Serves for half an hour under signed deliveries, collections, evaluations and scrapes while things fail.

    make soak ARGS="load"                                   30 minutes, 500 deliveries a second, SQLite
    make soak ARGS="load --minutes 5 --rate 200 --database postgresql"

Prints whether each accepted delivery is stored once, the time of scrapes, the memory of the service, and what of
that does not hold: then it ends with 1. What fails:
a provider is down, slow and wrong in turn, readers take a byte a second, the service is killed three times in the first
sixth, and a PostgreSQL is stopped twice as by a power failure. Scrapes go on meanwhile, every 5 s.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from forked import forks
from soaking import WARM_SHARE, Result, growth_per_hour, quantile, soak, unkept


def main() -> None:
    """Serve as long as is asked for."""
    parser = argparse.ArgumentParser(description="A service under load while things fail.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=500, help="deliveries a second")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        busy = os.getloadavg()
        on_postgresql = asked.database == "postgresql"
        with forks(Path(folder)) as base:
            result = soak(
                base, Path(folder) / "soak", asked.minutes * 60, asked.rate, on_postgresql=on_postgresql, say=_told
            )
        print(f"{asked.database}, {asked.minutes:g} min, {asked.rate:g} deliveries a second asked for")
        print(f"  load of the machine before {busy[0]:.1f}, at the end {os.getloadavg()[0]:.1f}")
        told(result, asked.minutes * 60)
        broken = unkept(result, asked.minutes * 60)
        print("".join(f"  does not hold: {one}\n" for one in broken) or "  all of it holds\n", end="")
    sys.exit(bool(broken))


def told(result: Result, seconds: float) -> None:
    """Print the figures."""
    verdict, measured = result.verdict, result.measured
    accepted = result.said["accepted"]
    rate = accepted / result.sending_seconds
    print(f"  accepted {accepted} ({rate:.0f}/s) of {verdict.accepted} runs, sent again {result.said['repeated']}")
    lost = f"lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, never sent {len(verdict.unasked)}"
    print(f"  {lost}, the total differs by {verdict.uncounted}")
    times = ", ".join(f"{name} {1_000 * quantile(measured.scrapes, q):.0f} ms" for name, q in _SHARES)
    print(f"  scrapes {len(measured.scrapes)}: {times}; not answered {measured.unanswered}")
    warm = [mb for at, mb in measured.memory if at >= WARM_SHARE * seconds]
    if warm:
        line = growth_per_hour(measured.memory, WARM_SHARE * seconds)
        at_start = f"memory at the start {measured.memory[0][1]:.0f} MB, after warm-up {warm[0]:.0f} MB"
        print(f"  {at_start}, at the end {warm[-1]:.0f} MB, by a line {line:+.0f} MB/h")
    print("  happened: " + ", ".join(f"{name} {count}" for name, count in sorted(result.faults.items())))


_SHARES = (("p50", 0.5), ("p99", 0.99), ("longest", 1.0))


def _told(progress: str) -> None:
    print(f"  {progress}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
