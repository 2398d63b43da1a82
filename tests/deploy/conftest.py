"""What tests of deploy/ share: real tools in a venv of their own, and the chart as Helm renders it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chart_files import CHART
from ruamel.yaml import YAML

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CASES = tuple(sorted(path.stem for path in (HERE / "cases").glob("*.yaml")))
WITH_BOARDS, WITHOUT_ADDRESS = "boards", "boards without an address"

Json = dict[str, Any]
Tools = Callable[..., Any]


def loaded(text: str) -> Any:
    """One document of YAML, as another reader sees it."""
    return YAML(typ="safe", pure=True).load(text)


def bad_values() -> list[tuple[Json, str]]:
    """Values that are refused, each with what is said of them."""
    return [(values, said) for values, said in loaded((HERE / "bad" / "cases.yaml").read_text(encoding="utf-8"))]


@dataclass(frozen=True)
class Release:
    """What Helm makes of some values: the texts of the templates, or why it refuses them."""

    texts: Mapping[str, str]
    refused: str = ""

    @property
    def manifests(self) -> list[Json]:
        """The objects for Kubernetes."""
        yaml = YAML(typ="safe", pure=True)
        found = (one for path, text in self.texts.items() if path.endswith(".yaml") for one in yaml.load_all(text))
        return [one for one in found if one]

    def of(self, kind: str, name: str | None = None) -> Json:
        """The one object of a kind, or that of a name."""
        (found,) = [m for m in self.manifests if m["kind"] == kind and name in {None, m["metadata"]["name"]}]
        return found

    @property
    def pods(self) -> list[Json]:
        """The specification of every pod that any object makes."""
        specs = [m["spec"] for m in self.manifests if m["kind"] == "Pod"]
        return specs + [m["spec"]["template"]["spec"] for m in self.manifests if m["kind"] in {"Deployment", "Job"}]


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
    cases = {name: loaded((HERE / "cases" / f"{name}.yaml").read_text(encoding="utf-8")) or {} for name in CASES}
    boards = {"dashboards": {"enabled": True, "namespace": "grafana"}}
    cases |= {WITH_BOARDS: boards | {"baseUrl": "https://paceline.example.com"}, WITHOUT_ADDRESS: boards}
    cases |= {f"bad {number}": values for number, (values, _) in enumerate(bad_values())}
    found: Json = deploy_tools(asked="chart", chart=str(CHART), cases=cases)
    return found


@pytest.fixture(scope="session")
def release(helm: Json) -> Callable[[str], Release]:
    """A case as Helm renders it."""

    def of(case: str) -> Release:
        answer = helm["cases"][case]
        return Release(answer.get("texts", {}), answer.get("refused", ""))

    return of
