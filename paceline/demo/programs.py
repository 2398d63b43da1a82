"""The programs that show an example, and what each is told: Paceline, Prometheus, Alertmanager, Grafana.

All of them listen on loopback alone and keep everything in the example's folder. JSON is YAML: what is written for them
is as good as the files that their manuals show.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.boards import all_boards
from dashboards.build import Form, build
from dashboards.grafana import FOLDER
from dashboards.making import OVERVIEW_UID, Making
from dashboards.slo import UID as SLO_UID
from paceline.demo.children import Program, answers
from paceline.demo.folder import SETTINGS
from paceline.demo.kept import SERVED, SERVERS
from paceline.resources import alert_windows
from paceline.settings import Configuration
from slo_engine.alert_windows import load_tiers
from slo_engine.annotations import Links
from slo_engine.indicator import indicators
from slo_engine.rule_files import render_alertmanager, render_rules

LOOPBACK = "127.0.0.1"
INSTANCE, JOB = "paceline", "paceline"
"""The labels of a scrape: the port, which is another at each start, is none of them."""
PROMETHEUS, ALERTMANAGER = ("prometheus",), ("prometheus-alertmanager", "alertmanager")
"""What the programs are called; distributions have names of their own."""
AMTOOL = ("amtool",)
GRAFANA = ("grafana", "grafana-server")
_HOMES = ("usr/share/grafana", "usr/local/share/grafana", "opt/homebrew/share/grafana")
_ALERTS = ("/alerts", "/classic/alerts")
_OURS = "PACELINE_"


@dataclass(frozen=True, kw_only=True)
class Places:
    """The example's folder, an absolute path, and the port of each program."""

    folder: Path
    paceline: int
    prometheus: int
    alertmanager: int
    grafana: int

    @property
    def servers(self) -> Path:
        """The folder of everything that the programs are told, say and keep."""
        return self.folder / SERVERS

    @property
    def secret(self) -> Path:
        """The file of what Alertmanager shows Paceline, and Paceline the inbox."""
        return self.servers / "secret"

    @property
    def grafana_folder(self) -> Path:
        """What Grafana is told: its variables, boards and provisioning."""
        return self.servers / "grafana"

    @property
    def paceline_url(self) -> str:
        """Where the pages are."""
        return url(self.paceline)


def url(port: int) -> str:
    """The address of a port on loopback."""
    return f"http://{LOOPBACK}:{port}"


def places(folder: Path, port: int) -> Places:
    """Free ports for all programs; `port` for Paceline unless it is 0."""
    with socket.socket() as a, socket.socket() as b, socket.socket() as c, socket.socket() as d:
        for one in (a, b, c, d):
            one.bind((LOOPBACK, 0))
        free = [int(one.getsockname()[1]) for one in (a, b, c, d)]
    return Places(folder=folder, paceline=port or free[0], prometheus=free[1], alertmanager=free[2], grafana=free[3])


def on_path(names: Sequence[str]) -> str | None:
    """The first program of these names that there is."""
    return next((found for name in names if (found := shutil.which(name))), None)


def new_secret(where: Places) -> str:
    """A secret of this start alone, which nobody else can read."""
    text = secrets.token_urlsafe(24)
    where.secret.unlink(missing_ok=True)
    with os.fdopen(os.open(where.secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return text


# --- Paceline --------------------------------------------------------------------------------------------


def paceline(where: Places, inbox: str) -> Program:
    """The service; alerts that it is handed go on to an inbox. Variables that change settings do not reach it."""
    secret = f"file:{where.secret}"
    target = {"type": "webhook", "name": "inbox", "url": inbox, "token": secret}
    notify = {"secret": secret, "base_url": where.paceline_url, "targets": [target]}
    settings = (where.folder / SETTINGS).read_text(encoding="utf-8")
    (where.folder / SERVED).write_text(f"{settings}notify: {json.dumps(notify)}\n", encoding="utf-8")
    run = [sys.executable, "-P", "-c", "from paceline.cli import main; main()"]
    options = ["--config", str(where.folder / SERVED), "--host", LOOPBACK, "--port", str(where.paceline)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return _program("Paceline", [*run, "serve", *options], where, f"{where.paceline_url}/readyz", environment)


def _program(
    name: str, command: Sequence[str], where: Places, ready: str, environment: Mapping[str, str] = os.environ
) -> Program:
    log = where.servers / f"{name.lower()}.log"
    return Program(name=name, command=command, folder=where.servers, log=log, ready=ready, environment=environment)


# --- Prometheus and Alertmanager -------------------------------------------------------------------------


def prometheus_data(where: Places) -> Path:
    """Where Prometheus keeps its data."""
    return where.servers / "prometheus"


def prometheus(where: Places, program: str, found: Configuration, boards: str) -> Program:
    """A Prometheus that scrapes Paceline with the rules of its SLOs, whose alerts lead to the boards at an address."""
    links = Links(paceline=where.paceline_url, dashboard=f"{boards}/d/{SLO_UID}" if boards else "")
    rules = render_rules(found.slos, load_tiers(alert_windows()), links)
    (where.servers / "rules.yml").write_text(rules, encoding="utf-8")
    target = {"targets": [f"{LOOPBACK}:{where.paceline}"], "labels": {"instance": INSTANCE}}
    alerting = {"alertmanagers": [{"static_configs": [{"targets": [f"{LOOPBACK}:{where.alertmanager}"]}]}]}
    settings = {
        "global": {"scrape_interval": "15s"},
        "rule_files": ["rules.yml"],
        "alerting": alerting,
        "scrape_configs": [{"job_name": JOB, "static_configs": [target]}],
    }
    options = {
        "config.file": _written(where, "prometheus.yml", settings),
        "storage.tsdb.path": prometheus_data(where),
        "storage.tsdb.retention.time": "100y",  # the past of an example is older than Prometheus keeps by itself
        "web.listen-address": f"{LOOPBACK}:{where.prometheus}",
        "web.external-url": url(where.prometheus),
    }
    return _program("Prometheus", _command(program, options), where, f"{url(where.prometheus)}/-/ready")


def alerts_page(where: Places) -> str:
    """Where a running Prometheus shows its alerts: some distributions have the older pages alone."""
    pages = [f"{url(where.prometheus)}{path}" for path in _ALERTS]
    return next((page for page in pages if answers(page)), pages[0])


def alertmanager(where: Places, program: str, found: Configuration) -> Program:
    """An Alertmanager with the routes and inhibit rules of the SLOs; all that is sent goes to Paceline's enricher."""
    http = {"authorization": {"credentials_file": str(where.secret)}}
    hook = {"url": f"{where.paceline_url}/webhooks/alertmanager", "send_resolved": True, "http_config": http}
    names = {target for slo in found.slos for policy in slo.alert_policies for target in policy.targets}
    receivers = [{"name": name, "webhook_configs": [hook]} for name in sorted({"page", "ticket", *names})]
    text = f"{render_alertmanager(found.slos)}receivers: {json.dumps(receivers)}\n"
    settings = where.servers / "alertmanager.yml"
    settings.write_text(text, encoding="utf-8")
    options = {
        "config.file": settings,
        "storage.path": where.servers / "alertmanager",
        "web.listen-address": f"{LOOPBACK}:{where.alertmanager}",
        "web.external-url": url(where.alertmanager),
        "cluster.listen-address": "",  # it is the only one
    }
    return _program("Alertmanager", _command(program, options), where, f"{url(where.alertmanager)}/-/ready")


def how_to_ask_alertmanager(where: Places) -> list[str]:
    """A command that lists the alerts, where there is the program: some distributions have no pages of it."""
    program = on_path(AMTOOL)
    return [f"              {program} --alertmanager.url={url(where.alertmanager)} alert query"] if program else []


def _written(where: Places, name: str, settings: Mapping[str, Any]) -> Path:
    path = where.servers / name
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return path


def _command(program: str, options: Mapping[str, object]) -> list[str]:
    return [program, *(f"--{name}={value}" for name, value in options.items())]


# --- Grafana ---------------------------------------------------------------------------------------------


def write_grafana(where: Places, notice: str) -> Mapping[str, str]:
    """Write the boards and what Grafana needs to load them; the variables that say so, also as `grafana.env`."""
    own = where.grafana_folder
    made = all_boards(Making(indicators=tuple(indicators().values()), base_url=where.paceline_url, notice=notice))
    build(own / "boards", made, Form(prometheus_url=url(where.prometheus)))
    for kind in ("dashboards", "datasources", "plugins", "alerting"):  # it complains about those that are missing
        (own / "provisioning" / kind).mkdir(parents=True, exist_ok=True)
    shutil.move(own / "boards" / "datasource.yaml", own / "provisioning" / "datasources" / "paceline.yaml")
    (own / "boards" / "provisioning.yaml").unlink()  # it names the usual place of the boards
    provider = {"name": "paceline", "folder": FOLDER, "type": "file", "options": {"path": str(own / "boards")}}
    provided = json.dumps({"apiVersion": 1, "providers": [provider]}, indent=2)
    (own / "provisioning" / "dashboards" / "paceline.yaml").write_text(f"{provided}\n", encoding="utf-8")
    variables = {
        "GF_PATHS_PROVISIONING": str(own / "provisioning"),
        "GF_SERVER_HTTP_ADDR": LOOPBACK,
        "GF_SERVER_HTTP_PORT": str(where.grafana),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(own / "boards" / f"{OVERVIEW_UID}.json"),
    }
    (own / "grafana.env").write_text("".join(f"{k}={v}\n" for k, v in variables.items()), encoding="utf-8")
    return variables


def grafana(where: Places, program: str, variables: Mapping[str, str]) -> Program:
    """A Grafana that shows the boards to whoever asks."""
    kept = {f"GF_PATHS_{kind.upper()}": str(where.grafana_folder / kind) for kind in ("data", "logs", "plugins")}
    environment = {**os.environ, **variables, **kept}
    command = [program, *(["server"] if Path(program).name == "grafana" else [])]
    command += [f"--homepath={home}" for home in _home_of(program)]
    return _program("Grafana", command, where, f"{url(where.grafana)}/api/health", environment)


def _home_of(program: str) -> list[Path]:
    """Where Grafana's own files are: beside the program's folder, or where packages put them; nothing if not found."""
    beside = Path(program).resolve().parents[1:2]
    homes = [*beside, *(Path("/") / home for home in _HOMES)]
    return [home for home in homes if (home / "conf" / "defaults.ini").is_file()][:1]


def how_to_see_boards(where: Places) -> list[str]:
    """What to do where there is no Grafana."""
    own = where.grafana_folder
    docker = f"docker run --rm --network host --env-file {own / 'grafana.env'} -v {own}:{own}:ro grafana/grafana"
    return [
        "Grafana       not found on PATH; install it and start this again, or show the boards with",
        f"              {docker}",
    ]
