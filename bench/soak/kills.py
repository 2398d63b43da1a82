"""Kills Paceline and its database at random moments, and compares what is kept with an undisturbed run.

    make soak ARGS="kills --kills 200 --seed 1"                      on SQLite and on PostgreSQL
    make soak ARGS="kills --kills 20 --databases postgresql"

SIGKILL hits `paceline collect`, `paceline evaluate` and a running `paceline serve`; with PostgreSQL also a
`paceline worker` and the server's own first process, which is then started again (it waits for the disk, as usual).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from crashing import killed_again_and_again
from forked import forks


def main() -> None:
    """Kill as often as is asked for."""
    parser = argparse.ArgumentParser(description="Kills at random moments.")
    parser.add_argument("--kills", type=int, default=200, help="how many, on each database")
    parser.add_argument("--seed", type=int, default=1, help="what moments and victims are drawn from")
    parser.add_argument("--databases", default="sqlite,postgresql", help="which databases")
    asked = parser.parse_args()
    failed = False
    for name in asked.databases.split(","):
        # Who runs PostgreSQL must be able to enter the folder, which is its maker's alone otherwise.
        with tempfile.TemporaryDirectory(prefix="kills", dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            began = time.monotonic()
            on_postgresql = name == "postgresql"
            with forks(Path(folder)) as base:
                figures = killed_again_and_again(
                    base, Path(folder) / "loop", asked.kills, asked.seed, on_postgresql=on_postgresql, say=_told
                )
        by_victim = ", ".join(f"{victim} {count}" for victim, count in sorted(figures.kills.items()))
        print(f"{name}: {figures.kills.total()} kills ({by_victim}) in {time.monotonic() - began:.0f} s,")
        print(f"  {figures.too_late} commands had ended before; seed {asked.seed}")
        print(f"  {figures.rows} rows compared, {len(figures.differences)} differ")
        print("".join(f"    {line}\n" for line in figures.differences[:20]), end="")
        failed = failed or bool(figures.differences)
    sys.exit(failed)


def _told(progress: str) -> None:
    print(f"  {progress}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
