"""Commands about SLO files and what is made of them: `slo …` and `rules`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector.document import read_documents
from paceline.cli import cli
from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos

Run = Callable[..., tuple[object, str, str]]

SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: {name}
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(http_requests_total{{job="shop",code=~"5.."}}[{{{{.window}}}}]))
        total_query: sum(rate(http_requests_total{{job="shop"}}[{{{{.window}}}}]))
    alerting: {{name: ShopErrors}}
"""


@pytest.fixture
def sloth(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a file of Sloth with one SLO of a name."""

    def write(name: str, file: str = "") -> Path:
        path = tmp_path / f"{file or name}.sloth.yaml"
        path.write_text(SLOTH.format(name=name), encoding="utf-8")
        return path

    return write


@pytest.fixture
def tool(tmp_path: Path) -> Callable[[int], str]:
    """Makes a program that says something and ends with a code, whatever it is asked."""

    def make(code: int) -> str:
        path = tmp_path / "promtool"
        path.write_text(f'#!/bin/sh\necho "exp: 1"; echo "got: 2"\nexit {code}\n', encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make


# --- slo list


def test_slos_are_listed(run: Run) -> None:
    """People see each SLO with what is measured; no store is needed."""
    code, out, _ = run("slo", "list")

    assert code == 0
    assert "1 SLO" in out
    assert re.search(r"fast +│ shop +│ +│ 90.0% +│ 28d", out)


def test_slos_are_listed_for_programs(run: Run, settings_file: Path) -> None:
    """The exact target, what is measured, and where it was read."""
    (listed,) = json.loads(run("slo", "list", "--output", "json")[1])

    assert (listed["name"], listed["target"], listed["window"]) == ("fast", "0.9", "28d")
    assert listed["measured"] == "change_delivery_time ≤ 1h"
    assert (listed["file"], listed["line"]) == (str(settings_file.parent / "fast.yaml"), 4)


# --- slo verify


def test_rules_are_proven_by_the_real_promtool(run: Run, requires_tool: Callable[[str], str]) -> None:
    """What Prometheus makes of the rules is what counted events say, case by case."""
    requires_tool("promtool")

    code, out, _ = run("slo", "verify", "--output", "json")

    (verified,) = json.loads(out)
    assert (code, verified["slo"], verified["holds"]) == (0, "fast", True)
    assert {c["case"] for c in verified["cases"]} >= {"quiet", "fast burn and recovery", "slow burn", "no data"}
    assert {c["ok"] for c in verified["cases"]} == {True}


def test_cases_that_hold_are_a_table(run: Run, tool: Callable[[int], str]) -> None:
    """Each SLO and case has a line that says ok."""
    code, out, _ = run("slo", "verify", "fast", "--promtool", tool(0))

    assert code == 0
    assert re.search(r"fast +│ quiet +│ ok", out)


def test_a_case_that_fails_is_exit_code_1(run: Run, tool: Callable[[int], str]) -> None:
    """The table says which case failed, and below it what differed."""
    code, out, _ = run("slo", "verify", "--promtool", tool(1))

    assert code == 1
    assert re.search(r"fast +│ quiet +│ failed", out)
    assert "fast, quiet:\n  exp: 1\n  got: 2\n" in out


def test_a_case_that_fails_is_exit_code_1_for_programs_too(run: Run, tool: Callable[[int], str]) -> None:
    """JSON holds what differed."""
    code, out, _ = run("slo", "verify", "--promtool", tool(1), "--output", "json")

    (verified,) = json.loads(out)
    assert (code, verified["holds"]) == (1, False)
    assert verified["cases"][0] == {"case": "quiet", "ok": False, "detail": "exp: 1\ngot: 2"}


def test_without_promtool_it_says_what_to_do(run: Run) -> None:
    """A program that is not there is named, with where it comes from."""
    code, out, err = run("slo", "verify", "--promtool", "no-such-promtool")

    assert (code, out) == (1, "")
    assert err == ("no-such-promtool was not found; it comes with Prometheus: install it, or name it by --promtool\n")


@pytest.mark.parametrize(("name", "said"), [("fats", "did you mean fast?"), ("zzz", "there are fast")])
def test_an_slo_that_is_not_there_is_refused(run: Run, name: str, said: str) -> None:
    """A misspelt name would verify nothing: it is exit code 2, with the nearest name."""
    code, out, err = run("slo", "verify", name)

    assert (code, out) == (2, "")
    assert f"no SLO is named {name}; {said}" in err


# --- slo import and export


def test_an_import_is_openslo_that_is_read_back(run: Run, sloth: Callable[[str], Path], tmp_path: Path) -> None:
    """Several files become one text of OpenSLO v1, which Paceline accepts."""
    code, out, _ = run("slo", "import", str(sloth("errors")), str(sloth("more")), config=False)

    (tmp_path / "imported.yaml").write_text(out, encoding="utf-8")
    found = load_slos(tmp_path / "imported.yaml", indicators())
    assert code == 0
    assert [(s.name, str(s.target), s.window.label) for s in found] == [
        ("shop-errors", "0.999", "30d"),
        ("shop-more", "0.999", "30d"),
    ]


def test_notes_of_an_import_go_to_standard_error(run: Run, sloth: Callable[[str], Path], tmp_path: Path) -> None:
    """What could not be carried over is said with its place, and the file holds YAML alone."""
    source, out_file = sloth("errors"), tmp_path / "new" / "slos.yaml"

    code, out, err = run("slo", "import", str(source), "--period", "28d", "--out", str(out_file), config=False)

    assert (code, out) == (0, "")
    assert f"{source}:1: the window becomes 28d: Sloth's files do not hold it\n" in err
    assert err.endswith(f"{out_file}\n")
    assert {d.value["apiVersion"] for d in read_documents(out_file)} == {"openslo/v1"}


def test_one_name_in_two_imported_files_is_refused(run: Run, sloth: Callable[..., Path]) -> None:
    """Two SLOs of one name could not be loaded together."""
    first, second = sloth("errors"), sloth("errors", "other")

    code, out, err = run("slo", "import", str(first), str(second), config=False)

    assert (code, out) == (2, "")
    assert f"{first} and {second} both hold the SLO shop-errors; import them one by one" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--period", "1M"), "--period: '1M' is no duration"), ((), "is of no format that can be imported")],
)
def test_what_cannot_be_imported_is_exit_code_2(
    run: Run, settings_file: Path, arguments: tuple[str, ...], said: str
) -> None:
    """A person must write something else, and is told what."""
    code, out, err = run("slo", "import", str(settings_file), *arguments, config=False)

    assert (code, out) == (2, "")
    assert said in err


def test_an_export_is_read_back_as_the_same(run: Run, settings_file: Path, tmp_path: Path) -> None:
    """What is written is the configured SLOs."""
    code, out, err = run("slo", "export", "--out", str(tmp_path / "all.yaml"))

    assert (code, out, err) == (0, "", f"{tmp_path}/all.yaml\n")
    assert load_slos(tmp_path / "all.yaml", indicators()) == load_slos(settings_file.parent / "fast.yaml", indicators())


# --- rules


@pytest.mark.parametrize(
    ("form", "starts"),
    [
        ("prometheus", "groups:"),
        ("prometheusrule", "apiVersion: monitoring.coreos.com/v1"),
        ("mimir", 'namespace: "paceline"'),
        ("alertmanager", "inhibit_rules:"),
    ],
)
def test_rules_are_written_in_each_format(run: Run, form: str, starts: str) -> None:
    """One set of SLOs, four kinds of files."""
    code, out, _ = run("rules", "--format", form)

    assert code == 0
    assert starts in out.splitlines()


def test_alerts_link_to_where_they_are_told(run: Run) -> None:
    """The service's address and the dashboard's, with or without a slash at the end."""
    out = run("rules", "--base-url", "https://paceline.example.com/", "--dashboard-url", "https://g.example.com/d/x")[1]

    assert "https://paceline.example.com/explain/" in out
    assert "https://g.example.com/d/x?var-slo=" in out


def test_an_object_of_the_operator_has_the_labels_of_its_selector(run: Run) -> None:
    """Without them the operator would not read it."""
    out = run("rules", "--format", "prometheusrule", "--label", "release=monitoring")[1]

    assert '  labels:\n    release: "monitoring"\n' in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "json"), "'json' is not one of 'prometheus', 'prometheusrule', 'mimir', 'alertmanager'"),
        (("--base-url", "paceline"), "--base-url: 'paceline' is no address"),
        (("--format", "alertmanager", "--base-url", "https://p.example.com"), "holds no links"),
        (("--label", "a=b"), "--label is for --format prometheusrule"),
        (("--format", "prometheusrule", "--label", "a"), "'a' is no label; expected KEY=VALUE"),
    ],
)
def test_options_that_would_do_nothing_are_refused(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """What a person must write differently is exit code 2 and one sentence."""
    code, out, err = run("rules", *arguments)

    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    "command", [("slo",), ("slo", "list"), ("slo", "verify"), ("slo", "import"), ("slo", "export")]
)
def test_every_command_of_the_group_has_help(command: tuple[str, ...]) -> None:
    """The help of each ends with 0."""
    assert CliRunner().invoke(cli, [*command, "--help"]).exit_code == 0
