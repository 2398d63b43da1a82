"""What tests of deploy/ share: real tools in a venv of their own, and the chart as Helm renders it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from chart_files import CHART
from chart_release import Json, Of, Release, Tools, all_values

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def deploy_tools(requires_tool: Callable[[str], str]) -> Tools:
    """Asks the tools of requirements/deploy.txt."""
    python = requires_tool(str(ROOT / ".venv-deploy" / "bin" / "python"))

    def ask(**question: Any) -> Any:
        script = ROOT / "tests" / "lib" / "deploy_tools.py"
        done = subprocess.run(
            [python, str(script)], input=json.dumps(question), check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


@pytest.fixture(scope="session")
def helm(deploy_tools: Tools) -> Json:
    """What Helm's engine says of the chart: its lint, and every case; asked once."""
    found: Json = deploy_tools(asked="chart", chart=str(CHART), cases=all_values())
    return found


@pytest.fixture(scope="session")
def release(helm: Json) -> Of:
    """A case as Helm renders it; its manifests are read once."""

    @cache
    def of(case: str) -> Release:
        answer = helm["cases"][case]
        return Release(answer.get("texts", {}), answer.get("refused", ""))

    return of
