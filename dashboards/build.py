"""Writes the dashboards as files for Grafana or for Kubernetes, and checks what was written before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from dashboards.boards import all_boards
from dashboards.grafana import FOLDER, config_maps
from dashboards.making import Making
from dashboards.panels import Dashboard
from slo_engine.indicator import Indicator

PROVISIONING_FILE, DATASOURCE_FILE, CONFIG_MAPS_FILE = "provisioning.yaml", "datasource.yaml", "configmaps.yaml"
_PROVISIONING = """\
# Copy to Grafana's provisioning/dashboards/ folder, and the JSON files beside it to the path below.
apiVersion: 1
providers:
  - name: paceline
    folder: {folder}
    type: file
    disableDeletion: false
    allowUiUpdates: false # the files are the truth; save a copy to experiment
    updateIntervalSeconds: 60
    options:
      path: /var/lib/grafana/dashboards/paceline
"""
_DATASOURCE = """\
# Copy to Grafana's provisioning/datasources/ folder. Every board asks which Prometheus it shows.
apiVersion: 1
datasources:
  - name: Paceline's Prometheus
    type: prometheus
    access: proxy
    url: {url}
    jsonData:
      httpMethod: POST
      timeInterval: 60s # how often Prometheus scrapes Paceline
"""
_OURS = "paceline-*.json"


@dataclass(frozen=True, kw_only=True)
class Form:
    """How boards are written: as files, or as one file of ConfigMaps with these labels in this namespace.

    `folder` is the title of the boards' folder in Grafana. With `prometheus_url` a data source is written as well.
    """

    kind: Literal["files", "configmap"] = "files"
    folder: str = FOLDER
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    prometheus_url: str = ""


def boards_of(indicators: Iterable[Indicator], *, base_url: str = "", notice: str = "") -> tuple[Dashboard, ...]:
    """Every board that has something to show of these indicators.

    `base_url` is where Paceline's pages are, for links; `notice` stands above every board. Raises ValueError where two
    indicators have one title.
    """
    return all_boards(Making(indicators=tuple(indicators), base_url=base_url, notice=notice))


def files(boards: Sequence[Dashboard], form: Form | None = None) -> dict[str, str]:
    """What is written: texts by file name. The same boards give the same texts.

    Raises what `config_maps` raises.
    """
    form = form or Form()
    if form.kind == "configmap":
        text = config_maps(boards, folder=form.folder, labels=form.labels, namespace=form.namespace)
        return {CONFIG_MAPS_FILE: text}
    found = {f"{b.uid}.json": b.text() for b in boards}
    found[PROVISIONING_FILE] = _PROVISIONING.format(folder=_quoted(form.folder))
    if form.prometheus_url:
        found[DATASOURCE_FILE] = _DATASOURCE.format(url=_quoted(form.prometheus_url))
    return found


def build(directory: Path, boards: Sequence[Dashboard], form: Form | None = None) -> list[Path]:
    """Writes `files` into a directory, which is made where it is missing; the paths written, sorted."""
    texts = files(boards, form)
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8", newline="\n")
    return sorted(directory / name for name in texts)


def check(directory: Path, boards: Sequence[Dashboard], form: Form | None = None) -> list[str]:
    """How the directory differs from what `build` would write, one sentence each; empty if it does not."""
    texts = files(boards, form)
    found = [_difference(directory / name, text) for name, text in sorted(texts.items())]
    named = {f"{b.uid}.json" for b in boards}
    stray = sorted(p.name for p in directory.glob(_OURS) if p.name not in named)
    return [f for f in found if f] + [f"{name}: no dashboard has this name any more" for name in stray]


def _quoted(text: str) -> str:
    """JSON is YAML, whatever stands in it."""
    return json.dumps(text, ensure_ascii=False)


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
