"""A contributor's source and indicators, one file each: everything downstream shows them without another line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forked import Forks, forks

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PACKAGES = ("collector", "slo_engine", "dashboards", "paceline", "config")
CONFIGURATION = """\
evaluate_every: 1s
slos: [slo.yaml]
sources:
  - type: tea
    name: my-tea
    orders: {orders}
"""
SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: tea-served, displayName: Tea is served}
spec:
  service: tea-house
  indicator:
    spec:
      ratioMetric:
        rawType: success
        raw: {metricSource: {type: Paceline, spec: {indicator: tea_success}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.8}]
"""
ORDERS = 2_400
"""One an hour for 100 days: 672 in 28 days, of which 67 were never served."""


@pytest.fixture(scope="session")
def own_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the two files put into the folders of their kind, as in a pull request."""
    tree = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package)
    here = Path(__file__).parent
    shutil.copy(here / "plugin_source.py", tree / "collector" / "sources" / "tea.py")
    shutil.copy(here / "plugin_indicator.py", tree / "slo_engine" / "indicators" / "tea.py")
    return tree


@pytest.fixture(scope="module")
def own_copies(own_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts `paceline` as it is in that tree."""
    with forks(tmp_path_factory.mktemp("own"), PYTHONPATH=str(own_tree)) as found:
        yield found


@pytest.fixture(scope="module", params=["another distribution", "a file in each folder"])
def tea(
    request: pytest.FixtureRequest, tea_house: Path, workspaces: Any, serving: Any, eventually: Any
) -> Iterator[Any]:
    """A service that measures the tea house, with the plug-ins brought in either way."""
    if request.param == "another distribution":
        workspace = workspaces(CONFIGURATION.format(orders=ORDERS), PYTHONPATH=str(tea_house))
    else:
        tree = str(request.getfixturevalue("own_tree"))
        workspace = workspaces(CONFIGURATION.format(orders=ORDERS), PYTHONPATH=tree)
        workspace = replace(workspace, forks=request.getfixturevalue("own_copies"))
    (workspace.path / "slo.yaml").write_text(SLO)
    with serving(workspace) as served:
        eventually(lambda: served.get("/readyz").json["status"] == "ok")
        yield served


def test_the_metrics_of_a_new_indicator_are_published(tea: Any) -> None:
    """Each indicator of the new family has its value, n, coverage and help text on /metrics."""
    metrics = tea.metrics()
    who = 'environment="kitchen",service="tea-house"'

    assert metrics[f'platform_tea_success_samples{{{who},team="",window="28d"}}'] == 672
    assert metrics[f'platform_tea_success_ratio{{{who},stat="value",team="",window="28d"}}'] == pytest.approx(
        0.9, abs=0.002
    )
    assert metrics[f'platform_tea_time_seconds{{{who},stat="p50",team="",window="28d"}}'] == pytest.approx(480)
    assert metrics[f'platform_tea_orders_per_day{{{who},team="",window="28d"}}'] == 24
    assert metrics[f'platform_tea_orders_total{{{who},team=""}}'] == ORDERS
    assert metrics[f'platform_tea_success_coverage_ratio{{{who},team="",window="28d"}}'] == 1
    help_text = "# HELP platform_tea_success_ratio Share of the orders that were served at all.\n"
    assert help_text in tea.get("/metrics").text


def test_an_slo_on_a_new_indicator_is_judged(tea: Any) -> None:
    """An OpenSLO file names the new indicator, and its SLO has counts, a budget and a status."""
    (slo,) = tea.get("/api/v1/slos").json["slos"]

    assert (slo["name"], slo["indicator"], slo["status"]) == ("tea-served", "tea_success", "healthy")
    assert slo["events"]["28d"] == {"good": 605, "bad": 67}
    assert slo["error_budget_remaining_ratio"] == pytest.approx(1 - 67 / (0.2 * 672))


def test_a_new_indicator_is_on_the_pages(tea: Any) -> None:
    """The list of indicators has it, and its SLO is on the home page."""
    listed, home = tea.get("/indicators").text, tea.get("/").text

    assert [title in listed for title in ("Tea served", "Tea time", "Tea orders")] == [True, True, True]
    assert "Tea is served" in home


@pytest.mark.parametrize("indicator", ["tea_success", "tea_time", "tea_orders"])
def test_a_new_indicator_is_explained(tea: Any, indicator: str) -> None:
    """`explain` lists the units behind the number of a new indicator, and they add up to it."""
    found = tea.workspace.json("explain", indicator, "--window", "7d", "--service", "tea-house")

    (number,) = found["numbers"]
    counted = [u for u in found["units"] if u["outcome"] in {"good", "bad", "measured"}]
    assert number["n"] == len(counted) > 140
    assert {u["unit"]["kind"] for u in counted} == {"ticket"}


def test_a_new_indicator_is_in_the_report_rules_and_dashboard(tea: Any) -> None:
    """The weekly summary, the rules and the dashboard show it as they show the built-in ones."""
    report = tea.workspace.run("report", "--audience", "sre").stdout
    rules = tea.workspace.run("rules").stdout
    tea.workspace.run("dashboards build", "--out", "grafana")
    board = json.loads((tea.workspace.path / "grafana" / "paceline-others.json").read_text())
    titles = {panel["title"] for panel in board["panels"]}

    rows = [line for line in report.splitlines() if line.startswith("| Tea served |")]
    assert [row.count("|") for row in rows] == [9]
    assert "| Tea is served |" in report
    assert "tea-served" in rules or "platform_slo_events" in rules
    assert {"Tea served: share of good ones", "Tea time: median", "Tea orders per day"} <= titles


def test_a_bad_setting_is_refused_with_its_line(tea_house: Path, workspaces: Any) -> None:
    """A setting that the new source does not allow is named with file, line, path and what was expected."""
    workspace = workspaces(CONFIGURATION.format(orders=0), PYTHONPATH=str(tea_house))
    (workspace.path / "slo.yaml").write_text(SLO)

    said = workspace.run("check", fails=2).stderr

    assert said.startswith(f"{workspace.config}:6: sources[0].orders: ")
    assert "; expected " in said
    assert len(said.splitlines()) == 1


def test_an_unknown_setting_is_refused_with_its_line(tea_house: Path, workspaces: Any) -> None:
    """A setting that the new source does not have is named with file and line."""
    workspace = workspaces(CONFIGURATION.format(orders=1) + "    sugar: two\n", PYTHONPATH=str(tea_house))
    (workspace.path / "slo.yaml").write_text(SLO)

    said = workspace.run("check", fails=2).stderr

    assert said.startswith(f"{workspace.config}:7: sources[0].sugar: ")


@pytest.fixture(scope="session")
def clash(distribution: Callable[..., Path]) -> Callable[[str, str], Path]:
    """A second distribution with one of the files once more, under another module name."""

    def make(kind: str, entry: str) -> Path:
        file = Path(__file__).parent / f"plugin_{kind}.py"
        return distribution("other", {f"other_{kind}.py": file}, {f"paceline.{kind}s": entry})

    return make


@pytest.mark.parametrize(
    ("kind", "entry", "said"),
    [
        ("source", "tea = other_source:TeaConfig", "the source type 'tea' is already defined in"),
        ("indicator", "tea = other_indicator:FAMILY", "tea_success"),
    ],
)
def test_two_of_one_name_are_refused(
    tea_house: Path, clash: Callable[[str, str], Path], workspaces: Any, kind: str, entry: str, said: str
) -> None:
    """Two sources with one key, or two indicators with one name, stop the start with one clear line."""
    path = f"{tea_house}:{clash(kind, entry)}"
    workspace = workspaces(CONFIGURATION.format(orders=1), PYTHONPATH=path)
    (workspace.path / "slo.yaml").write_text(SLO)

    error = workspace.run("check", fails=2).stderr

    assert said in error
    assert len(error.splitlines()) == 1


def test_a_broken_plug_in_is_named(distribution: Callable[..., Path], workspaces: Any, tmp_path: Path) -> None:
    """A distribution whose source cannot be imported stops the start and is named, without a traceback."""
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    where = distribution(
        "broken", {"broken_source.py": tmp_path / "broken.py"}, {"paceline.sources": "x = broken_source:X"}
    )
    workspace = workspaces("sources: []\n", PYTHONPATH=str(where))

    said = workspace.run("check", fails=2).stderr

    assert "broken_source" in said
    assert len(said.splitlines()) == 1
