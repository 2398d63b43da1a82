"""The Helm chart, by Helm's own engine: what it renders is valid, restricted, and runs what is configured."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from chart_files import CHART, defaults, documented, schema
from chart_release import CASES, WITH_BOARDS, WITHOUT_ADDRESS, Json, Of, Release, Tools, bad_values, loaded

from collector.registry import source_types
from dashboards.build import boards_of
from paceline.cli import cli
from paceline.settings import Configuration, load
from slo_engine.indicator import families, indicators

pytestmark = pytest.mark.integration

VERSIONS = ("1.29.0", "1.33.0", "1.37.0")
_RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_MOST_OF_A_RELEASE = 1024 * 1024
_MOST_OF_AN_ANNOTATION = 256 * 1024
every_case = pytest.mark.parametrize("case", CASES)


def test_helm_finds_nothing_wrong_with_the_chart(helm: Json) -> None:
    """`helm lint --strict` has no warning and no error."""
    assert helm["lint"] == []


@every_case
def test_a_release_is_what_it_was(case: str, release: Of, golden: Callable[[Path, str], None]) -> None:
    """What each set of values makes of the chart stands in a file, so that a change of it is seen."""
    found = release(case)
    assert found.refused == ""
    # The rules themselves are compared elsewhere, with the code that makes them.
    texts = {path: text.partition("\n  groups:")[0].strip() for path, text in sorted(found.texts.items())}
    text = "".join(f"# {path}\n{text}\n" for path, text in texts.items())

    golden(Path(__file__).parent / "golden" / f"{case}.yaml", text)


def test_kubernetes_takes_every_object(release: Of, deploy_tools: Tools) -> None:
    """By the schemas of three versions, strictly: no unknown key, no wrong type."""
    manifests = [m for case in (*CASES, WITH_BOARDS) for m in release(case).manifests]
    ours = [m for m in manifests if not m["apiVersion"].startswith("monitoring.coreos.com/")]

    assert {m["kind"] for m in ours} >= {"Deployment", "Job", "NetworkPolicy", "HorizontalPodAutoscaler", "Ingress"}
    assert deploy_tools(asked="kubernetes", manifests=ours, versions=VERSIONS) == []


def test_an_object_that_kubernetes_refuses_is_found(release: Of, deploy_tools: Tools) -> None:
    """The check above would see a key that Kubernetes does not know."""
    service = release("default").of("Service")
    service["spec"]["port"] = 80

    (found,) = deploy_tools(asked="kubernetes", manifests=[service], versions=VERSIONS[:1])
    assert "port" in found


@pytest.mark.parametrize("number", range(len(bad_values())), ids=lambda n: json.dumps(bad_values()[n][0])[:60])
def test_wrong_values_are_refused(number: int, release: Of) -> None:
    """Before anything reaches the cluster, with a sentence about the value."""
    assert bad_values()[number][1] in release(f"bad {number}").refused


@every_case
def test_every_pod_is_restricted(case: str, release: Of) -> None:
    """Each pod meets the restricted Pod Security Standard, has a read-only root and no token of Kubernetes."""
    pods = release(case).pods
    containers = [container for pod in pods for container in pod["containers"]]

    assert [pod["securityContext"]["runAsNonRoot"] for pod in pods] == [True] * len(pods)
    assert [pod["securityContext"]["seccompProfile"] for pod in pods] == [{"type": "RuntimeDefault"}] * len(pods)
    assert [pod["automountServiceAccountToken"] for pod in pods] == [False] * len(pods)
    assert [container["securityContext"] for container in containers] == [_RESTRICTED] * len(containers)


@every_case
def test_no_variable_of_kubernetes_is_taken_for_a_setting(case: str, release: Of) -> None:
    """A Service named `paceline` would be told to pods as PACELINE_PORT=tcp://…, which stops Paceline."""
    assert [pod["enableServiceLinks"] for pod in release(case).pods] == [False] * len(release(case).pods)


def _mounted(release: Release, component: str, folder: Path) -> Mapping[str, str]:
    """Write what a pod finds in /etc/paceline into a folder; the pod's plain variables."""
    pod = next(
        m["spec"]["template"]
        for m in release.manifests
        if m["kind"] == "Deployment" and m["spec"]["template"]["metadata"]["labels"][_COMPONENT] == component
    )["spec"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "config"]
    for source in volume["projected"]["sources"]:
        data = release.of("ConfigMap", source["configMap"]["name"])["data"]
        items = source["configMap"].get("items", [{"key": key, "path": key} for key in data])
        for item in items:
            path = folder / item["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(data[item["key"]], encoding="utf-8")
    return {one["name"]: one.get("value", "of a secret, long enough") for one in pod["containers"][0]["env"]}


_COMPONENT = "app.kubernetes.io/component"


def _configuration(release: Release, component: str, folder: Path) -> Configuration:
    environ = dict(_mounted(release, component, folder))
    return load(folder / Path(environ["PACELINE_CONFIG"]).name, environ, source_types(), families())


@every_case
def test_paceline_reads_what_is_mounted(case: str, release: Of, tmp_path: Path) -> None:
    """The settings, SLO files and variables of a pod are without a mistake, and listen where the probes look."""
    found = _configuration(release(case), "serve", tmp_path)

    assert found.settings.server.port == 8080
    assert str(found.settings.data_dir) == "/data"


def test_settings_arrive_as_they_were_given(release: Of, tmp_path: Path) -> None:
    """Sources, services, SLOs and odd texts: a large number stays one, and `no` a text."""
    found = _configuration(release("sqlite"), "serve", tmp_path)

    assert [source.name for source in found.sources] == ["forge", "alerts"]
    assert [slo.name for slo in found.slos] == ["fast"]
    assert [service.name for service in found.services] == ["shop"]
    assert found.settings.metrics.series_limit == 1_000_000
    assert found.settings.environments.production == ["prod-*", "no"]
    assert found.settings.notify.base_url == "https://paceline.example.com"


def test_without_slos_those_that_come_with_paceline_count(release: Of, tmp_path: Path) -> None:
    """A first installation has an SLO, and the rules for it."""
    assert [slo.name for slo in _configuration(release("default"), "serve", tmp_path).slos] == ["merge-to-production"]


def test_workers_read_the_same_settings(release: Of, tmp_path: Path) -> None:
    """Those who collect and those who serve share settings, the store, the people key and the tokens."""
    folders = [tmp_path / name for name in ("serve", "worker")]
    for folder in folders:
        folder.mkdir()
    serve, worker = (_mounted(release("postgresql"), folder.name, folder) for folder in folders)

    assert serve == worker
    assert worker["PACELINE_STORE"] == "file:/run/secrets/store/uri"
    assert worker.keys() >= {"PACELINE_PEOPLE_KEY", "PIPELINES_SECRET"}
    assert loaded((folders[1] / "paceline.yaml").read_text(encoding="utf-8"))["replicas"] == {"collect": "workers"}


@every_case
def test_every_pod_runs_a_command_that_exists(case: str, release: Of) -> None:
    """What is given to the image's entry point is a command of Paceline."""
    images = [c for pod in release(case).pods for c in pod["containers"] if "args" in c]

    assert images
    for container in images:
        command: click.Command | None = cli
        for name in container["args"]:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        assert command is not None, container["args"]


def test_sqlite_has_one_process_at_a_time(release: Of) -> None:
    """The old pod ends before the new one opens the database; on PostgreSQL they overlap."""
    assert release("default").of("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert release("postgresql").of("Deployment", "paceline")["spec"]["strategy"] == {"type": "RollingUpdate"}


def test_a_change_of_settings_starts_pods_anew(release: Of) -> None:
    """Pods carry a digest of their settings."""
    one, other = (
        release(case).of("Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for case in ("default", "sqlite")
    )
    assert one != other


@every_case
def test_what_selects_pods_selects_some(case: str, release: Of) -> None:
    """Services, monitors, budgets and deployments name labels that pods have."""
    found = release(case)
    labels = [m["spec"]["template"]["metadata"]["labels"] for m in found.manifests if m["kind"] == "Deployment"]
    labels += [m["metadata"]["labels"] for m in found.manifests if m["kind"] == "Service"]
    selectors = [m["spec"]["selector"] for m in found.manifests if "selector" in m.get("spec", {})]

    assert len(selectors) >= 2
    for selector in selectors:
        wanted = selector.get("matchLabels", selector)
        assert any(wanted.items() <= one.items() for one in labels), wanted


def test_no_secret_is_among_the_values(release: Of) -> None:
    """The chart makes no Secret; it names those that are there."""
    assert [m for case in CASES for m in release(case).manifests if m["kind"] == "Secret"] == []


def test_a_scrape_keeps_the_labels_of_numbers(release: Of) -> None:
    """`service` is what a number is about: the operator's own label of that name neither replaces nor joins it."""
    for kind, key in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
        (endpoint,) = release("postgresql").of(kind)["spec"][key]
        assert endpoint["honorLabels"] is True
        assert any(re.fullmatch(one["regex"], "service") for one in endpoint["relabelings"])


@every_case
def test_everything_asks_by_the_scheme_that_paceline_answers_by(case: str, release: Of) -> None:
    """With a certificate in the settings probes, scrapes, the Service, the ingress and the test ask by https."""
    found, scheme = release(case), "https" if case == "tls" else "http"
    containers = [c for m in found.manifests if m["kind"] == "Deployment" for c in _containers(m)]
    probes = [c[name]["httpGet"] for c in containers for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    scrapes = [s for m in found.manifests for key in _SCRAPES for s in m.get("spec", {}).get(key, [])]
    service, tried = found.of("Service"), found.of("Pod")["spec"]["containers"][0]["command"][-1]
    (port,) = service["spec"]["ports"]

    assert {one.get("scheme", "HTTP").lower() for one in probes} == {scheme}
    assert {one.get("scheme", "http") for one in scrapes} <= {scheme}
    assert f'"{scheme}://{service["metadata"]["name"]}:' in tried
    assert port.get("appProtocol", "http") == scheme
    # Whatever names a port names one that is there.
    assert {c["ports"][0]["name"] for c in containers} == {port["targetPort"]}
    assert {one["port"] for one in [*probes, *scrapes]} == {port["name"]}


_SCRAPES = ("endpoints", "podMetricsEndpoints")


def _containers(deployment: Json) -> list[Json]:
    found: list[Json] = deployment["spec"]["template"]["spec"]["containers"]
    return found


def test_an_ingress_and_a_prometheus_are_told_of_the_certificate(release: Of) -> None:
    """Nginx is told to ask by https, Prometheus by which CA and name; people are sent to https."""
    found = release("tls")
    ingress, policy = found.of("Ingress"), found.of("NetworkPolicy")
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]

    assert ingress["metadata"]["annotations"] == {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}
    assert path["backend"]["service"]["port"] == {"name": "https"}
    assert policy["spec"]["ingress"][0]["ports"] == [{"port": "https"}]
    assert found.of("ServiceMonitor")["spec"]["endpoints"][0]["tlsConfig"]["serverName"] == "paceline.example.com"
    assert "Pages:    https://paceline.example.com/" in found.texts["templates/NOTES.txt"]


@pytest.mark.parametrize(
    ("case", "alert"),
    [("passing", "PlatformSloBudgetExhausted"), ("sqlite", "PlatformDataOld"), ("autoscaled", "PlatformSourceStale")],
)
def test_promtool_takes_the_rules(
    case: str, alert: str, release: Of, requires_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """The groups of the PrometheusRule are a valid rule file with the alerts that its SLOs ask for."""
    promtool, groups = requires_tool("promtool"), release(case).of("PrometheusRule")["spec"]["groups"]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": groups}), encoding="utf-8")

    done = subprocess.run([promtool, "check", "rules", str(path)], check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert alert in [rule.get("alert") for group in groups for rule in group["rules"]]


def test_own_rules_take_the_place_of_the_packaged_ones(release: Of) -> None:
    """What `paceline rules` wrote for one's own SLOs is all that is applied."""
    groups = release("postgresql").of("PrometheusRule")["spec"]["groups"]

    assert [rule["record"] for group in groups for rule in group["rules"]] == ["slo:own:ratio"]


@pytest.mark.parametrize(
    ("case", "address"), [(WITH_BOARDS, "https://paceline.example.com"), (WITHOUT_ADDRESS, "")], ids=["links", "none"]
)
def test_the_boards_are_those_of_the_dashboards_command(case: str, address: str, release: Of) -> None:
    """Whatever the address, each ConfigMap holds the board that `paceline dashboards build` writes for it."""
    maps = [m for m in release(case).manifests if m["kind"] == "ConfigMap" and "grafana_dashboard" in _labels(m)]
    found = {name: json.loads(text) for one in maps for name, text in one["data"].items()}

    assert found == {f"{b.uid}.json": b.document for b in boards_of(indicators().values(), base_url=address)}
    assert {one["metadata"]["namespace"] for one in maps} == {"grafana"}
    assert max(len(json.dumps(one)) for one in maps) < _MOST_OF_AN_ANNOTATION


def _labels(manifest: Json) -> Json:
    found: Json = manifest["metadata"]["labels"]
    return found


def test_a_release_fits_into_the_secret_that_helm_keeps_of_it(release: Of) -> None:
    """Helm keeps the chart and what it rendered, compressed, in one Secret of at most 1 MiB."""
    chart = [base64.b64encode(p.read_bytes()).decode() for p in sorted(CHART.rglob("*")) if p.is_file()]
    kept = base64.b64encode(gzip.compress(json.dumps([chart, *release(WITH_BOARDS).texts.values()]).encode()))

    assert len(base64.b64encode(kept)) < _MOST_OF_A_RELEASE


# --- values, schema and README ---------------------------------------------------------------------------


def _paths(values: Mapping[str, Any], part: Json, prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        one = part["properties"].get(name, {})
        yield f"{prefix}{name}"
        if one.get("additionalProperties") is False:
            yield from _paths(value, one, f"{prefix}{name}.")


def test_every_value_is_in_the_schema_and_the_schema_in_the_values() -> None:
    """What can be set is seen in values.yaml, and nothing else is accepted; README.md is made of both."""
    assert set(_paths(defaults(), schema())) == {path for path, _ in documented(schema())}


def test_every_value_says_what_it_is() -> None:
    """Each has a sentence."""
    assert [path for path, one in documented(schema()) if not one.get("description", "").endswith(".")] == []


def test_every_value_is_used() -> None:
    """No value is there that no template asks for."""
    templates = "".join(p.read_text(encoding="utf-8") for p in (CHART / "templates").rglob("*") if p.is_file())
    handed_on = {"requests", "limits"}  # with the resources that they are part of
    names = {path.rpartition(".")[2] for path, _ in documented(schema())} - handed_on
    unused = [name for name in sorted(names) if not re.search(rf"\.{name}\b", templates)]

    assert unused == []


def test_the_chart_has_the_version_of_paceline() -> None:
    """The image of an installation is that of the chart's version."""
    chart = loaded((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    version = re.search(
        r'^version = "(.*)"', (CHART.parents[2] / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert version is not None
    assert (chart["version"], chart["appVersion"]) == (version[1], version[1])


def test_the_chart_can_be_copied_alone(tmp_path: Path) -> None:
    """It holds no link to anything outside of its folder."""
    copy = shutil.copytree(CHART, tmp_path / "paceline", symlinks=True)

    assert [p for p in copy.rglob("*") if p.is_symlink()] == []
