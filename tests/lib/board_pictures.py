"""Pictures of all boards for the documentation, with the example's past: `python tests/lib/board_pictures.py FOLDER`.

They are drawn in Chromium by a page of our own from the boards' JSON and what a real Prometheus answers to their
queries: close to what Grafana shows, and not Grafana. The past is known at the ends of weeks and days; charts join
these, and say nothing where a number was withheld.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from asking import Opened
from boards import Filled, moments, serve_past, store_past

from dashboards.queries import annotation_queries, panels_of

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).parent / "pictures"
CHARTS = ROOT / "tests" / "npm" / "node_modules" / "uplot" / "dist"
WIDTH = 1_280
THEMES = ("light", "dark")
DAYS = 28
"""So many days are known each."""
CHOSEN: Mapping[str, dict[str, list[str]]] = {
    "paceline-slo": {"slo": ["dns-is-up"]},
    "paceline-delivery": {"service": ["checkout"]},
    "paceline-self-service": {"service": ["checkout"]},
}
"""What a reader would choose, where what a board begins with tells little."""

# As in the page: a line of the grid with its gap, and what stands above the grid.
_LINE, _HEAD = 38, 100
_PATIENCE_SECONDS = 60

Json = dict[str, Any]


def main() -> None:
    """Write a picture of each board in both themes into the folder that is named."""
    out = Path(sys.argv[1]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with contextlib.closing(serve_past(folder, store_past(folder, when=drawn))) as filled:
            take(filled, drawn(filled.now), folder, out)


def drawn(now: datetime) -> list[datetime]:
    """The times that charts join: the usual ones, and the days before."""
    return sorted({*moments(now), *(now - timedelta(days=n) for n in range(1, DAYS))})


def take(filled: Filled, known: Sequence[datetime], folder: Path, out: Path) -> None:
    """Take all pictures. `known`: the times that charts join."""
    for board in filled.boards:
        opened = Opened(board.document, filled.answers, filled.now)
        asked = answered(opened, known)
        for theme in THEMES:
            page = folder / f"{board.uid}-{theme}.html"
            page.write_text(page_of(asked | {"theme": theme}), encoding="utf-8")
            photograph(page, height_of(board.document), out / f"{board.uid.removeprefix('paceline-')}-{theme}.png")


def answered(opened: Opened, known: Sequence[datetime]) -> Json:
    """What the page draws: a board, what is chosen, and what its queries give."""
    uid = opened.document["uid"]
    chosen = opened.chosen | CHOSEN.get(uid, {})
    times = [at for at in known if opened.start <= at <= opened.now]
    panels = [(p, t) for p in visible(opened.document) for t in p.get("targets", ())]
    answers = {
        f"{panel['id']} {target['refId']}": series(opened, target, chosen, times if target["range"] else [opened.now])
        for panel, target in panels
    }
    shown = {name: words(values, opened.values.get(name, [])) for name, values in chosen.items()}
    labels = {v["name"]: v.get("label", v["name"]) for v in opened.document["templating"]["list"]}
    return {
        "board": opened.document,
        "answers": answers,
        "annotations": marks(opened, chosen, times),
        "texts": shown,
        "shown": [(labels[name], text) for name, text in shown.items()],
        "times": {
            "start": opened.start.timestamp(),
            "now": opened.now.timestamp(),
            "moments": [at.timestamp() for at in times],
        },
    }


def visible(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The panels that are not folded away."""
    folded = {inner["id"] for panel in document["panels"] for inner in panel.get("panels", ())}
    return [panel for panel in panels_of(document) if panel["id"] not in folded]


def series(
    opened: Opened, target: Mapping[str, Any], chosen: Mapping[str, list[str]], times: Sequence[datetime]
) -> list[Json]:
    """The series of a query at some times, each with its labels and the values that it had."""
    found = dict[str, Json]()
    for at in times:
        for one in opened.answers.instant(opened.asked(target, chosen), at):
            labels = {name: text for name, text in one["metric"].items() if name not in {"__name__", "instance", "job"}}
            kept = found.setdefault(json.dumps(labels, sort_keys=True), {"labels": labels, "values": []})
            kept["values"].append((at.timestamp(), float(one["value"][1])))
    return list(found.values())


def marks(opened: Opened, chosen: Mapping[str, list[str]], times: Sequence[datetime]) -> list[Json]:
    """The times at which annotations have a value, with their colours."""
    colors = {one["name"]: one["iconColor"] for one in opened.document["annotations"]["list"]}
    return [
        {"at": at, "color": colors[name]}
        for name, expr in annotation_queries(opened.document)
        for one in series(opened, {"expr": expr}, chosen, times)
        for at, _ in one["values"]
    ]


def words(chosen: Sequence[str], values: Sequence[str]) -> str:
    """What is chosen, as Grafana writes it into titles."""
    return "All" if len(chosen) > 1 and len(chosen) == len(values) else " + ".join(chosen)


def page_of(asked: Json) -> str:
    """A page that needs nothing else: the charts' library, our script and style, and what is drawn."""
    # A text that ends a script would end ours.
    said = json.dumps(asked, ensure_ascii=False).replace("</", "<\\/")
    library = (CHARTS / "uPlot.iife.min.js").read_text(encoding="utf-8")
    style = (CHARTS / "uPlot.min.css").read_text(encoding="utf-8") + (PAGE / "page.css").read_text(encoding="utf-8")
    script = (PAGE / "page.js").read_text(encoding="utf-8")
    return (
        f'<!doctype html><meta charset="utf-8"><style>{style}</style><body><script>{library}</script>'
        f"<script>window.asked = {said};</script><script>{script}</script>"
    )


def height_of(document: Mapping[str, Any]) -> int:
    """How many pixels a board is high."""
    lines: int = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"])
    return _HEAD + _LINE * lines


def photograph(page: Path, height: int, picture: Path) -> None:
    """Show a page and keep what is seen."""
    with tempfile.TemporaryDirectory() as profile:
        command = chromium(Path(profile), f"--window-size={WIDTH},{height}", f"--screenshot={picture}", page.as_uri())
        subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE_SECONDS)


def chromium(profile: Path, *options: str) -> list[str]:
    """The command of a Chromium without a window, which asks nobody on the network."""
    return [
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
        *(f"--user-data-dir={profile}", "--virtual-time-budget=2000", *options),
    ]


if __name__ == "__main__":
    main()
