"""Releases of the Helm chart: the values that tests give it, and what Helm makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HERE = Path(__file__).parent.parent / "deploy"
CASES = tuple(sorted(path.stem for path in (HERE / "cases").glob("*.yaml")))
WITH_BOARDS, WITHOUT_ADDRESS = "boards", "boards without an address"

Json = dict[str, Any]
Tools = Callable[..., Any]
Of = Callable[[str], "Release"]


def loaded(text: str) -> Any:
    """One document of YAML, as another reader sees it."""
    return YAML(typ="safe", pure=True).load(text)


@cache
def bad_values() -> list[tuple[Json, str]]:
    """Values that are refused, each with what is said of them."""
    return [(values, said) for values, said in loaded((HERE / "bad" / "cases.yaml").read_text(encoding="utf-8"))]


@dataclass(frozen=True)
class Release:
    """What Helm makes of some values: the texts of the templates, or why it refuses them."""

    texts: Mapping[str, str]
    refused: str = ""

    @cached_property
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


def all_values() -> dict[str, Json]:
    """The values of every case by its name, those that are refused with their numbers."""
    cases = {name: loaded((HERE / "cases" / f"{name}.yaml").read_text(encoding="utf-8")) or {} for name in CASES}
    boards = {"dashboards": {"enabled": True, "namespace": "grafana"}}
    cases |= {WITH_BOARDS: boards | {"baseUrl": "https://paceline.example.com"}, WITHOUT_ADDRESS: boards}
    return cases | {f"bad {number}": values for number, (values, _) in enumerate(bad_values())}
