"""Writes the dashboards as JSON with a provisioning file for Grafana, and checks what was written before."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

from dashboards.delivery import delivery
from dashboards.panels import with_notice
from dashboards.promises import promises
from slo_engine.indicator import Indicator

PROVISIONING_FILE = "provisioning.yaml"
PROVISIONING = """\
# Copy to Grafana's provisioning/dashboards/ folder, and the JSON files beside it to the path below.
apiVersion: 1
providers:
  - name: paceline
    folder: Paceline
    type: file
    disableDeletion: false
    allowUiUpdates: false # the files are the truth; save a copy to experiment
    updateIntervalSeconds: 60
    options:
      path: /var/lib/grafana/dashboards/paceline
"""
_OURS = "paceline-*.json"


def build(directory: Path, indicators: Iterable[Indicator], notice: str = "") -> list[Path]:
    """Writes one JSON file for each dashboard and the provisioning file; the paths written, sorted.

    The directory is made where it is missing. The same indicators give the same bytes. `notice` stands above
    every board.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in _files(indicators, notice).items():
        path = directory / name
        path.write_text(content, encoding="utf-8", newline="\n")
        written.append(path)
    return sorted(written)


def check(directory: Path, indicators: Iterable[Indicator], notice: str = "") -> list[str]:
    """How the directory differs from what `build` would write, one sentence each; empty if it does not."""
    files = _files(indicators, notice)
    stray = sorted(p.name for p in directory.glob(_OURS) if p.name not in files)
    found = [_difference(directory / name, content) for name, content in sorted(files.items())]
    return [f for f in found if f] + [f"{name}: no dashboard has this name any more" for name in stray]


def _files(indicators: Iterable[Indicator], notice: str) -> dict[str, str]:
    declared = tuple(indicators)
    made = (delivery(declared), promises(declared))
    boards = [with_notice(board, notice) for board in made if board is not None]
    return {f"{b.uid}.json": b.text() for b in boards} | {PROVISIONING_FILE: PROVISIONING}


def _difference(path: Path, expected: str) -> str:
    if not path.is_file():
        return f"{path.name}: missing"
    found = path.read_text(encoding="utf-8", errors="replace")
    if found == expected:
        return ""
    pairs = zip_longest(found.splitlines(), expected.splitlines(), fillvalue="")
    unequal = ((n, p) for n, p in enumerate(pairs, start=1) if p[0] != p[1])
    number, (old, new) = next(unequal, (1, ("other line ends", "a line feed")))
    return f"{path.name}:{number}: {old.strip()!r} stands where {new.strip()!r} belongs"
