"""Hands spoilt inputs to everything that takes some, and looks for crashes, hangs, secrets and people.

    make soak ARGS="fuzz --rounds 100000 --seed 1"
    make soak ARGS="fuzz --rounds 1000 --targets webhooks,api"

Rounds are shared out among provider answers, webhooks of all senders, the API by chance and by its own description,
settings, SLO files and PromQL. A finding names its target, the seed and its number, with which it comes again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from fuzzing import fuzzed, targets

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Take as many inputs as are asked for."""
    parser = argparse.ArgumentParser(description="Spoilt inputs for everything that takes some.")
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", default="", help="only these, with commas between")
    asked = parser.parse_args()
    total = 0
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder, targets(Path(folder), ROOT) as everything:
        began = time.monotonic()
        for name, count, weak in fuzzed(
            everything, asked.rounds, asked.seed, [t for t in asked.targets.split(",") if t]
        ):
            print(f"{name:14}{count:8,} inputs, {len(weak)} findings, {time.monotonic() - began:.0f} s", flush=True)
            print("".join(f"    {line[:2_000]}\n" for line in weak[:10]), end="", flush=True)
            total, found, began = total + count, found + weak, time.monotonic()
        taken = everything.served.taken
        by_sender = {
            name: sum(n for key, n in taken.items() if key == f"{name} 202") for name in everything.served.senders
        }
        print("deliveries taken: " + ", ".join(f"{name} {count:,}" for name, count in by_sender.items()))
        statuses = ", ".join(f"{status} {count}" for status, count in sorted(everything.served.statuses.items()))
    print(f"{total:,} inputs, {len(found)} findings; answers by status: {statuses}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
