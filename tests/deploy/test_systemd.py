"""The systemd units and the bill of materials, by systemd's own tools and by the schema of CycloneDX."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from image import ROOT

from collector.registry import source_types
from paceline.cli import cli
from paceline.settings import ENVIRONMENT, OTHER_VARIABLES, load
from slo_engine.indicator import families

pytestmark = pytest.mark.integration

UNITS = tuple(sorted((ROOT / "deploy" / "systemd").glob("*.service")))
_MOST_EXPOSED = 15
"""Of 100, as systemd counts what a service could do; without restrictions it is 96."""
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)


def _with_a_program_that_is_there(unit: Path, folder: Path) -> Path:
    path = folder / unit.name
    path.write_text(
        unit.read_text(encoding="utf-8").replace("/opt/paceline/bin/paceline", "/bin/true"), encoding="utf-8"
    )
    return path


@each_unit
def test_systemd_takes_the_unit(unit: Path, requires_tool: Callable[[str], str], tmp_path: Path) -> None:
    """`systemd-analyze verify` says nothing of it."""
    verify = [requires_tool("systemd-analyze"), "verify", str(_with_a_program_that_is_there(unit, tmp_path))]
    done = subprocess.run(verify, check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@each_unit
def test_a_unit_is_exposed_to_little(unit: Path, requires_tool: Callable[[str], str], tmp_path: Path) -> None:
    """`systemd-analyze security` finds it well protected."""
    command = [requires_tool("systemd-analyze"), "security", "--offline=true", f"--threshold={_MOST_EXPOSED}"]
    command.append(str(_with_a_program_that_is_there(unit, tmp_path)))
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-200:]


@each_unit
def test_a_unit_runs_a_command_that_exists(unit: Path) -> None:
    """Its command, options and variables are Paceline's."""
    text = unit.read_text(encoding="utf-8")
    program, name, *options = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0].split()
    command = cli.get_command(click.Context(cli), name)
    variables = set(re.findall(r"(PACELINE_\w+)=", text))

    assert program == "/opt/paceline/bin/paceline"
    assert command is not None
    assert [one for one in options if one.startswith("--")] == ["--config"]
    assert variables <= {*ENVIRONMENT, *OTHER_VARIABLES}


def test_a_setting_names_a_credential_of_any_unit(tmp_path: Path) -> None:
    """A token in a credential is read by one path in both units, whose folders of credentials differ."""
    (tmp_path / "secrets_forge").write_text("a token", encoding="utf-8")
    source = "{type: gitlab, name: forge, organisations: [shop], token: 'file:${CREDENTIALS_DIRECTORY}/secrets_forge'}"
    (tmp_path / "paceline.yaml").write_text(f"sources: [{source}]\n", encoding="utf-8")

    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    (found,) = load(tmp_path / "paceline.yaml", environ, source_types(), families()).sources

    assert found.model_dump()["token"].get_secret_value() == f"file:{tmp_path}/secrets_forge"


def test_the_bill_of_materials_names_every_locked_package(requires_tool: Callable[[str], str], tmp_path: Path) -> None:
    """It is valid CycloneDX, and has each package of the runtime lock with its version and its hashes."""
    requires_tool(str(ROOT / ".venv-deploy" / "bin" / "cyclonedx-py"))
    out = tmp_path / "sbom.json"
    script = ROOT / "scripts" / "sbom.sh"
    done = subprocess.run([str(script), str(out)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    locked = re.findall(
        r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert found["metadata"]["component"]["name"] == "paceline"
    assert sorted((one["name"], one["version"]) for one in found["components"]) == sorted(locked)
    assert all(one["externalReferences"][0]["hashes"] for one in found["components"])
