"""Lines that the import contracts cannot draw: names of systems, broad excepts, the one place with a clock."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = sorted(
    p for folder in ("collector", "slo_engine", "dashboards", "paceline") for p in (ROOT / folder).rglob("*.py")
)
NEUTRAL = sorted(
    p
    for folder in (
        "slo_engine",
        "dashboards",
        "config/slos",
        "config/alert-windows",
        "config/benchmarks",
        "config/policies",
        "tests/dashboards/golden",
        "tests/slo_engine/golden",
    )
    for p in (ROOT / folder).rglob("*")
    if p.is_file() and p.suffix in {".py", ".json", ".yaml", ".yml", ".prom", ".md"}
)
SYSTEMS = re.compile(
    r"\b(git[\W_]?hub(?!\.com/OpenSLO)|git[\W_]?lab|gitea|bitbucket|jira|jenkins|argo[\W_]?cd|pager[\W_]?duty|opsgenie"
    r"|service[\W_]?now|circle[\W_]?ci|buildbot|redmine|zendesk|azure)",
    re.IGNORECASE,
)
BROAD = {
    *("collector/run.py", "collector/plugins.py", "paceline/enricher.py", "paceline/pushing.py"),
    "slo_engine/exposition.py",
}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", NEUTRAL, ids=_name)
def test_the_engine_and_the_boards_know_no_system(path: Path) -> None:
    """No provider's name stands downstream of the collector, nor in what is generated there."""
    assert SYSTEMS.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", [p for p in CODE if _name(p) not in BROAD], ids=_name)
def test_everything_is_caught_only_where_isolation_is_the_job(path: Path) -> None:
    """A bare or broad except hides defects: only runner, plug-in loader, exposition, enricher and pushes do so."""
    assert (
        re.findall(
            r"except(?: Exception\b[^:]*| BaseException(?! as error:\n\s+span)[^:]*)?:",
            path.read_text(encoding="utf-8"),
        )
        == []
    )


@pytest.mark.parametrize("path", [p for p in CODE if _name(p) != "paceline/wiring.py"], ids=_name)
def test_only_the_wiring_asks_the_time(path: Path) -> None:
    """Everybody else is handed a clock, so that every result can be repeated."""
    assert re.findall(r"datetime\.now\(|utcnow\(|date\.today\(|\btime\.time\(", path.read_text(encoding="utf-8")) == []
