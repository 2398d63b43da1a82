"""The Compose files: valid by the specification, their files there, their commands and variables known to Paceline."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from chart_release import Json, Tools, loaded
from image import ROOT, Image

from collector.registry import source_types
from paceline.cli import cli
from paceline.settings import ENVIRONMENT, OTHER_VARIABLES, load
from slo_engine.indicator import families

pytestmark = pytest.mark.integration

FOLDER = ROOT / "deploy"
ALONE, SHARED = "compose.yaml", "compose.workers.yaml"
OURS = [(ALONE, "paceline"), (ALONE, "rules"), (ALONE, "boards")]
OURS += [(SHARED, "migrate"), (SHARED, "standby"), (SHARED, "worker")]
each_file = pytest.mark.parametrize("file", [ALONE, SHARED])
each_of_ours = pytest.mark.parametrize(("file", "name"), OURS)


def _compose(file: str = ALONE) -> Json:
    found: Json = loaded((FOLDER / file).read_text(encoding="utf-8"))
    return found


def _together() -> Json:
    """The services as Compose makes them of both files, as far as these files need: mappings key by key."""
    services: Json = _compose(ALONE)["services"]
    for name, more in _compose(SHARED)["services"].items():
        one = services.setdefault(name, {})
        one |= {key: one.get(key, {}) | value if isinstance(value, dict) else value for key, value in more.items()}
    return services


def _command(service: Json) -> Sequence[str]:
    found: list[str] = service.get("command") or Image.read().command[1:]
    return found


@each_file
def test_the_specification_of_compose_takes_it(file: str, deploy_tools: Tools) -> None:
    """A reader that knows the specification, and refuses unknown keys, finds every service."""
    assert deploy_tools(asked="compose", text=json.dumps(_compose(file))) == sorted(_compose(file)["services"])


@each_file
def test_what_is_mounted_is_there(file: str) -> None:
    """Each folder and file beside it exists, and each volume is declared."""
    mounts = [text.split(":")[0] for one in _compose(file)["services"].values() for text in one.get("volumes", [])]

    assert [m for m in mounts if m.startswith(".") and not (FOLDER / m).exists()] == []
    # One without a name, which begins with a slash, is each container's own.
    assert {m for m in mounts if m[0] not in "./"} == set(_compose(file).get("volumes", ()))


@each_of_ours
def test_paceline_knows_its_commands(file: str, name: str) -> None:
    """Each command line of ours is one that Paceline takes."""
    words = list(_command(_compose(file)["services"][name]))
    # As the command line has it: a command keeps the help option of the first context that it is asked in.
    context = click.Context(cli, info_name="paceline", **cli.context_settings)
    found: click.Command = cli
    while isinstance(found, click.Group):
        inner = found.get_command(context, words.pop(0))
        assert inner is not None
        found = inner

    assert found.make_context(name, words, parent=context).params


@each_of_ours
def test_every_container_of_ours_is_restricted(file: str, name: str) -> None:
    """A read-only root, no capability, nothing to gain one by; what is written is in a volume."""
    service = _compose(file)["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(text.endswith((":ro", "/data")) for text in service["volumes"])


def test_paceline_knows_its_variables() -> None:
    """Each variable of ours is a setting or one that the settings name."""
    environ = [name for _, name in OURS for name in _together()[name].get("environment", {})]

    assert {name for name in environ if name.startswith("PACELINE_")} <= {*ENVIRONMENT, *OTHER_VARIABLES}


def test_processes_that_share_a_store_are_told_the_same() -> None:
    """With workers everything of ours has one store, one people key and one way to collect, after one migration."""
    services = {name: _together()[name] for name in ("migrate", "paceline", "standby", "worker")}
    (environ,) = {json.dumps(one["environment"], sort_keys=True) for one in services.values()}
    found = {name: value.replace("${", "").replace("}", "") for name, value in json.loads(environ).items()}
    settings = load(FOLDER / "compose" / "paceline" / "paceline.yaml", found, source_types(), families()).settings

    assert settings.replicas.collect == "workers"
    assert found.keys() >= {"PACELINE_STORE", "PACELINE_PEOPLE_KEY"}
    assert {name for name, one in services.items() if "migrate" in one["depends_on"]} == services.keys() - {"migrate"}
    # What they keep beside the store, such as clones, is each one's own.
    assert [one["volumes"][-1] for one in services.values()] == ["/data", "data:/data", "/data", "/data"]


def test_what_is_started_twice_opens_no_port_twice() -> None:
    """Any number of workers may run: none has a port of the machine, and those that serve have one each."""
    opened = [port.rpartition(":")[0] for one in _together().values() for port in one.get("ports", [])]

    assert "ports" not in _together()["worker"]
    assert len(opened) == len(set(opened))


def test_prometheus_scrapes_everything_that_serves() -> None:
    """Beside both that serve every worker, by the name under which Compose finds them all."""
    (mounted,) = _together()["prometheus"]["volumes"]
    one, other = loaded((FOLDER / mounted.split(":")[0]).read_text(encoding="utf-8"))["scrape_configs"]

    assert one["static_configs"] == [{"targets": ["paceline:8080", "standby:8080"]}]
    assert other["dns_sd_configs"][0]["names"] == ["worker"]


def test_nothing_is_open_to_the_network() -> None:
    """Ports are open on the machine alone until somebody decides otherwise."""
    ports = [port for one in _together().values() for port in one.get("ports", [])]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_no_password_stands_in_it() -> None:
    """The database's is asked for, and so is the key."""
    passwords = re.findall(r"PASSWORD: (.*)", (FOLDER / ALONE).read_text(encoding="utf-8"))
    passwords += re.findall(r"KEY: (.*)", (FOLDER / SHARED).read_text(encoding="utf-8"))

    assert passwords
    assert [one for one in passwords if not one.startswith('"${')] == []


def test_every_image_is_of_a_version() -> None:
    """None is `latest`."""
    images = [one["image"] for one in _together().values()]

    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_its_settings_are_well_defined() -> None:
    """The settings and SLOs that come with it have no mistake."""
    path = FOLDER / "compose" / "paceline" / "paceline.yaml"

    assert load(path, {}, source_types(), families()).slos


@pytest.mark.parametrize("file", ["prometheus.yml", "prometheus.workers.yml"])
def test_prometheus_takes_its_configuration(file: str, requires_tool: Callable[[str], str]) -> None:
    """It scrapes Paceline, and reads the rules where they are written."""
    path = FOLDER / "compose" / file
    checked = [requires_tool("promtool"), "check", "config", "--syntax-only", str(path)]
    done = subprocess.run(checked, check=False, capture_output=True, text=True)
    services = _compose()["services"]

    assert done.returncode == 0, done.stderr
    assert loaded(path.read_text(encoding="utf-8"))["rule_files"] == ["/etc/prometheus/rules/rules.yml"]
    assert "rules:/etc/prometheus/rules:ro" in services["prometheus"]["volumes"]
    assert "/data/rules.yml" in services["rules"]["command"]


def test_alertmanager_takes_its_configuration(
    run_rules: Callable[..., str], requires_tool: Callable[[str], str]
) -> None:
    """It begins with what `paceline rules` writes for it, and names the receivers."""
    path = FOLDER / "compose" / "alertmanager.yml"
    requires_tool("prometheus-alertmanager")
    checked = [requires_tool("amtool"), "check-config", str(path)]
    done = subprocess.run(checked, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert path.read_text(encoding="utf-8").startswith(run_rules("--format", "alertmanager"))


@pytest.fixture
def run_rules(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `paceline rules` prints for the settings that come with it."""

    def run(*arguments: str) -> str:
        config = FOLDER / "compose" / "paceline" / "paceline.yaml"
        cli(["rules", "--config", str(config), *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_grafana_finds_the_boards(tmp_path: Path) -> None:
    """They are written where Grafana looks for them."""
    services: Any = _compose()["services"]
    provider = loaded((FOLDER / "compose" / "grafana" / "dashboards" / "paceline.yaml").read_text(encoding="utf-8"))
    (options,) = [one["options"] for one in provider["providers"]]

    assert f"boards:{options['path']}:ro" in services["grafana"]["volumes"]
    assert "boards:/data" in services["boards"]["volumes"]
    assert services["boards"]["command"][:4] == ["dashboards", "build", "--out", "/data"]
