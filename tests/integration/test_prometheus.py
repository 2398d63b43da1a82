"""A real Prometheus scrapes the service, evaluates the rules and answers every query of the dashboards."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dashboards.queries import queries, substituted, variable_queries
from slo_engine.catalog import metrics_of
from slo_engine.indicator import indicators
from slo_engine.rules import INTERVAL

pytestmark = pytest.mark.integration

# A group is first evaluated up to its interval after the start. With a minute the tests would mostly wait for it; the
# interval is all that is changed in the rules.
_INTERVAL = "5s"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# Without an event in the last five minutes they have no value; the newest release of the history is 20 minutes old.
_ONLY_WITH_AN_EVENT_JUST_NOW = {"slo:sli_error:ratio_rate5m", "slo:current_burn_rate:ratio"}
# A reason that never occurs is absent: no week and no deployment is ever left out of these.
_NOTHING_LEFT_OUT = {
    "platform_deploy_cadence_excluded",
    "platform_deployment_rework_excluded",
    "platform_failed_deployment_recovery_excluded",
}
# A week is too short for the bands of DORA's Quick Check.
_NOT_SCORED = {"platform_quick_check_score"}
# The workspace has neither probes nor anybody of a platform's team.
_NOT_COLLECTED = {m.name for name in ("uptime", "team_autonomy") for m in metrics_of(indicators()[name]).all()}


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str
    fetch: Callable[..., Any]

    def api(self, path: str) -> Any:
        """The data of an answer of its API."""
        answer = self.fetch(f"{self.url}/api/v1/{path}").json
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expr: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and values of the series that an expression gives now."""
        data = self.api(f"query?query={quote(expr)}")
        return [(s["metric"], float(s["value"][1])) for s in data["result"]]

    def values(self, label: str, selector: str) -> list[str]:
        """The values of a label among the series of a selector: Grafana's `label_values`."""
        found: list[str] = self.api(f"label/{label}/values?match[]={quote(selector)}")
        return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def rule_file(shop: Any) -> Path:
    """The rules as the command line writes them."""
    path: Path = shop.workspace.path / "rules.yml"
    shop.workspace.run("rules", "--out", str(path))
    return path


@pytest.fixture(scope="module")
def prometheus(
    shop: Any,
    rule_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
    requires_tool: Callable[[str], str],
    fetch: Any,
    eventually: Any,
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the service every second and has evaluated the rules at least once."""
    program, folder, port = requires_tool("prometheus"), tmp_path_factory.mktemp("prometheus"), _free_port()
    rules = rule_file.read_text(encoding="utf-8")
    assert f"interval: {INTERVAL}\n" in rules
    often = rules.replace(f"interval: {INTERVAL}\n", f"interval: {_INTERVAL}\n")
    (folder / "rules.yml").write_text(often, encoding="utf-8")
    configuration = {
        "global": {"scrape_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "paceline", "static_configs": [{"targets": [urlsplit(shop.url).netloc]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        server = Prometheus(f"http://127.0.0.1:{port}", fetch)
        eventually(lambda: server.fetch(f"{server.url}/-/ready").status == 200)
        eventually(lambda: server.query("slo:period_error_budget_remaining:ratio"))
        yield server
        assert (folder / "log.txt").read_text() == ""
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_promtool_accepts_the_metrics(shop: Any, requires_tool: Callable[[str], str]) -> None:
    """`promtool check metrics` finds nothing to complain about in what a scrape returns as text."""
    body = shop.get("/metrics").body

    done = subprocess.run([requires_tool("promtool"), "check", "metrics"], input=body, capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_openmetrics_and_text_say_the_same(shop: Any, eventually: Any) -> None:
    """Gzipped OpenMetrics parses strictly, and gives the series of the text format."""
    answer = shop.get("/metrics", Accept=OPENMETRICS, Accept_Encoding="gzip")

    text = gzip.decompress(answer.body).decode()
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.headers["content-encoding"] == "gzip"
    assert sum(len(f.samples) for f in families) == len(shop.metrics())
    assert all(f.documentation for f in families)


def test_the_scrape_is_up_and_complete(prometheus: Prometheus, shop: Any) -> None:
    """Every sample that the service exports is kept by Prometheus, at each scrape."""
    kept = prometheus.query('scrape_samples_post_metric_relabeling{job="paceline"}')
    lost = prometheus.fetch(f"{prometheus.url}/metrics").text

    assert [v for _, v in prometheus.query('min_over_time(up{job="paceline"}[1m])')] == [1.0]
    assert [v for _, v in kept] == [len(shop.metrics())]
    assert re.findall(r"^prometheus_target_scrapes_(?:sample_\w+|exceeded\w+)_total [1-9].*", lost, re.MULTILINE) == []


def test_promtool_accepts_the_rules(rule_file: Path, requires_tool: Callable[[str], str]) -> None:
    """`promtool check rules` accepts the rules with its lint as an error."""
    command = [requires_tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(rule_file)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_healthy(prometheus: Prometheus) -> None:
    """Every rule was evaluated and is healthy, without an error."""
    groups = prometheus.api("rules")["groups"]

    assert [g["name"] for g in groups] == ["paceline"]
    assert [(r["name"], r.get("lastError", "")) for r in groups[0]["rules"] if r["health"] != "ok"] == []


def test_every_recording_has_a_series(prometheus: Prometheus, rule_file: Path) -> None:
    """Each recorded name has a series for the SLO, with no label but the SLO's."""
    recorded = set(re.findall(r"record: (\S+)", rule_file.read_text())) - _ONLY_WITH_AN_EVENT_JUST_NOW

    found = {name: [set(labels) for labels, _ in prometheus.query(name)] for name in recorded}

    assert recorded
    assert found == {name: [{"__name__", "slo"}] for name in recorded}


@pytest.mark.parametrize(
    ("recorded", "exported"),
    [
        ("slo:objective:ratio", "platform_slo_objective_ratio"),
        ("slo:time_period:days", "platform_slo_period_seconds / 86400"),
        ("slo:period_error_budget_remaining:ratio", "platform_slo_error_budget_remaining_ratio"),
        ("slo:sli_error:ratio_rate28d", "1 - platform_slo_attainment_ratio"),
        ("slo:sli_error:ratio_rate28d / on (slo) slo:error_budget:ratio", 'platform_slo_burn_rate{window="28d"}'),
        ("slo:sli_error:ratio_rate1h / on (slo) slo:error_budget:ratio", 'platform_slo_burn_rate{window="1h"}'),
        ("slo:sli_total:events28d", 'sum by (slo) (platform_slo_events{window="28d"})'),
    ],
)
def test_recordings_equal_the_exported_numbers(prometheus: Prometheus, recorded: str, exported: str) -> None:
    """What the rules record is what the service computed itself."""
    ours = [value for _, value in prometheus.query(exported)]

    assert len(ours) == 1
    assert [value for _, value in prometheus.query(recorded)] == pytest.approx(ours)


def test_no_alert_fires_for_a_healthy_platform(prometheus: Prometheus) -> None:
    """A healthy SLO with fresh sources alerts nobody; before the first scrape an alert may have been pending."""
    assert prometheus.query('ALERTS{alertstate="firing"}') == []


@pytest.mark.parametrize(("window", "releases", "shipped"), [("7d", 3, 6), ("28d", 12, 24), ("90d", 32, 62)])
def test_the_numbers_are_those_of_the_history(prometheus: Prometheus, window: str, releases: int, shipped: int) -> None:
    """Releases and shipped changes are as many as the repository was given, the failed and the waiting aside."""
    chosen = f'{{service="shop",window="{window}"}}'

    found = {
        name: [value for _, value in prometheus.query(f"{name}{chosen}")]
        for name in (
            "platform_deployments_samples",
            "platform_deployments_per_day",
            "platform_deployments_coverage_ratio",
            "platform_change_delivery_time_samples",
            "platform_change_delivery_time_pending",
        )
    }

    assert found == {
        "platform_deployments_samples": [releases],
        "platform_deployments_per_day": [pytest.approx(releases / int(window[:-1]))],
        "platform_deployments_coverage_ratio": [1.0],
        "platform_change_delivery_time_samples": [shipped],
        "platform_change_delivery_time_pending": [2],
    }


@pytest.fixture(scope="module")
def written(shop: Any) -> Mapping[str, Mapping[str, Any]]:
    """The dashboards as the command line writes them, by uid."""
    folder = shop.workspace.path / "grafana"
    shop.workspace.run("dashboards build", "--out", str(folder))
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


@pytest.fixture(scope="module")
def boards(written: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The dashboards of what the workspace collects: delivery."""
    return [written["paceline-delivery"]]


def _variables(prometheus: Prometheus, board: Mapping[str, Any]) -> dict[str, list[str]]:
    """The values that Grafana would offer for each variable of a dashboard; later ones depend on earlier ones."""
    found: dict[str, list[str]] = {}
    for name, selector, label in variable_queries(board):
        chosen = {known: "|".join(values) for known, values in found.items()}
        found[name] = prometheus.values(label, substituted(selector, chosen))
    return found


def test_the_variables_offer_what_is_there(prometheus: Prometheus, boards: list[Mapping[str, Any]]) -> None:
    """Grafana's drop-downs list the service, environment, teams and windows that were collected."""
    assert [_variables(prometheus, board) for board in boards] == [
        {
            "team": ["/", "/commerce", "/commerce/shop"],
            "service": ["shop"],
            "environment": ["production"],
            "window": ["28d", "7d", "90d"],
        }
    ]


@pytest.mark.parametrize("window", ["7d", "28d", "90d"])
def test_every_dashboard_query_returns_data(
    prometheus: Prometheus, boards: list[Mapping[str, Any]], window: str
) -> None:
    """Every query of what is collected gives data, for each window that a person can choose."""
    chosen = [{n: "|".join(v) for n, v in _variables(prometheus, board).items()} for board in boards]
    asked = [
        (title, substituted(expr, values | {"window": window}))
        for board, values in zip(boards, chosen, strict=True)
        for title, expr in queries(board)
    ]

    assert len(asked) > 30
    without = [expr for _, expr in asked if not prometheus.query(expr)]
    silent = {found[0] for expr in without if (found := re.search(r"platform_\w+", expr))}
    assert silent - _NOT_COLLECTED == _NOTHING_LEFT_OUT | (_NOT_SCORED if window == "7d" else set())


def test_every_query_of_the_other_boards_is_answered(
    prometheus: Prometheus, written: Mapping[str, Mapping[str, Any]]
) -> None:
    """Prometheus accepts every query of the other boards, though most of what they ask for is not collected here."""
    values = {"team": "/", "service": "shop", "window": "28d", "slo": "merge-to-production"}
    chosen = defaultdict(lambda: ".+", values | {"__rate_interval": "1m", "__interval": "1m"})

    answers = [
        prometheus.query(substituted(expr, chosen))
        for uid, board in written.items()
        if uid != "paceline-delivery"
        for _, expr in queries(board)
    ]

    assert len(answers) > 300
