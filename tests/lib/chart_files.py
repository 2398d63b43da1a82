"""What code and schema write into the Helm chart: rules, boards, the starter's SLOs, the table of its values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dashboards.build import boards_of
from paceline.resources import alert_windows, starter_slos
from slo_engine.alert_windows import load_tiers
from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos
from slo_engine.rule_files import render_rules

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "deploy" / "helm" / "paceline"
ADDRESS = "https://paceline.invalid"
"""Where boards in the chart say that Paceline is; a release puts its own address there, or none."""
_TABLE = re.compile(r"(?<=<!-- values -->\n).*(?=<!-- end of values -->)", re.DOTALL)


def written() -> dict[Path, str]:
    """The text of each file of the chart that is made from something else."""
    tiers = load_tiers(alert_windows())
    slos = [slo for path in starter_slos() for slo in load_slos(path, indicators())]
    found = {
        CHART / "files" / "rules" / "health.yml": render_rules((), tiers),
        CHART / "files" / "rules" / "starter.yml": render_rules(slos, tiers),
    }
    found |= {CHART / "files" / "slos" / path.name: path.read_text(encoding="utf-8") for path in starter_slos()}
    for board in boards_of(indicators().values(), base_url=ADDRESS):
        # Without spaces a board fits into what `kubectl apply` notes of an object, 256 KiB.
        text = json.dumps(board.document, separators=(",", ":"), ensure_ascii=False)
        found[CHART / "files" / "dashboards" / f"{board.uid}.json"] = text
    readme = CHART / "README.md"
    found[readme] = _TABLE.sub(lambda _: _table(), readme.read_text(encoding="utf-8"))
    return found


def defaults() -> dict[str, Any]:
    """The values of the chart."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(CHART / "values.yaml")
    return found


def schema() -> dict[str, Any]:
    """The schema of the values."""
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return found


def documented(part: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each value of the schema by its path, with what is said of it; below a group of values stand those in it."""
    for name, one in part["properties"].items():
        if name != "global":
            yield f"{prefix}{name}", one
        if one.get("additionalProperties") is False:
            yield from documented(one, f"{prefix}{name}.")


def _table() -> str:
    values: Any = defaults()
    lines = ["\n| Value | Default | Meaning |\n|---|---|---|\n"]
    for path, one in documented(schema()):
        value = values
        for name in path.split("."):
            value = value.get(name, "")
        group = one.get("additionalProperties") is False
        shown = "" if group or value == "" else f"`{json.dumps(value)}`"
        lines.append(f"| `{path}` | {shown} | {one['description']} |\n")
    return "".join([*lines, "\n"])
