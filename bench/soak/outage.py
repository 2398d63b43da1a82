"""One bad hour of every class of sources at once: gone, slow, wrong, and back, under a real service.

    make soak ARGS="outage"                  60 minutes
    make soak ARGS="outage --minutes 45"     all phases shorter

A real Prometheus scrapes the service and evaluates the rules that Paceline writes. Prints by source when its alert
fired and ended, what is stored, and what was not as promised.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from forked import forks
from outage_hour import bad_hour


def main() -> None:
    """Live through it once."""
    parser = argparse.ArgumentParser(description="A bad hour of every class of sources.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--folder", type=Path, help="a new folder for the store, the log and the metrics, to look at")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outage", dir="/tmp")))
        folder.mkdir(parents=True, exist_ok=True)
        busy = os.getloadavg()
        seen = bad_hour(stack.enter_context(forks(folder)), folder / "hour", asked.minutes, _told)
        print(f"{asked.minutes:g} minutes")
        print(f"  load of the machine before {busy[0]:.1f}, at the end {os.getloadavg()[0]:.1f}")
        print("".join(f"  {line}\n" for line in seen.lines), end="")
        memory = [mb for _, mb in seen.memory]
        if memory:
            print(f"  memory {memory[0]:.0f} MB at first, {max(memory):.0f} MB at most, {memory[-1]:.0f} MB at the end")
    wrong = {name: said for name, said in seen.found.items() if said}
    print(f"  {len(wrong)} of {len(seen.found)} were not as promised")
    print("".join(f"    {name}: {'; '.join(said)}\n" for name, said in wrong.items()), end="")
    sys.exit(not seen.passed)


def _told(progress: str) -> None:
    print(f"  {progress}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
