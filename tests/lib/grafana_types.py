"""Boards beside Grafana's own types: TypeScript's compiler says what does not fit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboards.lint import place
from dashboards.queries import panels_of

Json = Mapping[str, Any]

NPM = Path(__file__).parents[1] / "npm"
COMPILER = NPM / "node_modules" / ".bin" / "tsc"

TYPES = {
    "bargauge": "BarGaugePanel",
    "row": "RowPanel",
    "stat": "StatPanel",
    "state-timeline": "StateTimelinePanel",
    "table": "TablePanel",
    "text": "TextPanel",
    "timeseries": "TimeSeriesPanel",
}
_ERROR = re.compile(r"boards\.ts\((\d+),\d+\): error \w+: (.+)")
_OPTIONS = (
    *("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext"),
    *("--moduleResolution", "bundler", "--types", ""),
)


def type_findings(documents: Sequence[Json], folder: Path) -> list[str]:
    """What does not fit into Grafana's types, one sentence for each board or panel; empty if everything does.

    Raises AssertionError where the compiler fails in another way.
    """
    lines = [line for document in documents for line in _constants(document)]
    header = f"import type {{ Board, {', '.join(sorted(TYPES.values()))} }} from './board';"
    shutil.copy(NPM / "grafana" / "board.ts", folder)
    (folder / "boards.ts").write_text("\n".join([header, *(text for _, text in lines), ""]), encoding="utf-8")
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(NPM / "node_modules")
    done = subprocess.run(
        [str(COMPILER), *_OPTIONS, "boards.ts"], cwd=folder, capture_output=True, text=True, check=False
    )
    found = [f"{lines[int(line) - 2][0]}: {said}" for line, said in _ERROR.findall(done.stdout)]
    assert bool(found) is bool(done.returncode), done.stdout + done.stderr
    return found


def _constants(document: Json) -> Iterator[tuple[str, str]]:
    """A line of TypeScript for the board and for each of its panels, each with what it is about."""
    title = document["title"]
    yield title, _constant("Board", {k: v for k, v in document.items() if k != "panels"})
    for panel in panels_of(document):
        own = {k: v for k, v in panel.items() if not (panel["type"] == "row" and k == "panels")}
        yield f"{title}, {place(panel)}", _constant(TYPES[panel["type"]], own)


def _constant(type_name: str, value: Json) -> str:
    return f"(({json.dumps(value)}) satisfies {type_name});"
