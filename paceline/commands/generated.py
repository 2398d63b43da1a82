"""Commands that write what other systems read: `rules` and `dashboards`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from paceline.commands.links import base_url_option, dashboard_url_option, links_of
from paceline.commands.options import FAILED, config_option, configured
from paceline.commands.output import write
from paceline.resources import alert_windows
from slo_engine.alert_windows import load_tiers
from slo_engine.rule_files import render_alertmanager, render_mimir, render_prometheus_rule, render_rules

_FORMATS = ("prometheus", "prometheusrule", "mimir", "alertmanager")


@click.command()
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="prometheus",
    show_default=True,
    help="A rule file, an object for the Prometheus operator, a namespace for the Mimir ruler, or the inhibit rules "
    "and routes that Alertmanager needs.",
)
@base_url_option
@dashboard_url_option
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="A label of the PrometheusRule, as its rule selector asks for; may be given several times.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; standard output unless given.",
)
def rules(
    config: Path | None, form: str, base_url: str, dashboard_url: str, labels: tuple[str, ...], out: Path | None
) -> None:
    """Write Prometheus recording and alerting rules for the SLOs."""
    links = links_of(base_url, dashboard_url)
    if form == "alertmanager" and (base_url or dashboard_url):
        raise click.UsageError("what Alertmanager needs holds no links; give them with the rules")
    if labels and form != "prometheusrule":
        raise click.UsageError("--label is for --format prometheusrule")
    slos, tiers = configured(config).slos, load_tiers(alert_windows())
    if form == "prometheusrule":
        text = render_prometheus_rule(slos, tiers, links, labels=dict(map(_label, labels)))
    elif form == "mimir":
        text = render_mimir(slos, tiers, links)
    elif form == "alertmanager":
        text = render_alertmanager(slos)
    else:
        text = render_rules(slos, tiers, links)
    write(text, out)


def _label(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise click.UsageError(f"--label: {text!r} is no label; expected KEY=VALUE")
    return key, value


@click.command()
@config_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("grafana"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--check", "check_only", is_flag=True, help="Write nothing; fail where the folder differs.")
def dashboards(config: Path | None, out: Path, check_only: bool) -> None:
    """Write the Grafana dashboards and their provisioning file."""
    from dashboards.build import build as build_dashboards  # noqa: PLC0415
    from dashboards.build import check as check_dashboards  # noqa: PLC0415
    from slo_engine.indicator import indicators  # noqa: PLC0415

    notice = configured(config).settings.notice
    if check_only:
        differences = check_dashboards(out, indicators().values(), notice)
        for difference in differences:
            click.echo(difference, err=True)
        sys.exit(FAILED if differences else 0)
    for path in build_dashboards(out, indicators().values(), notice):
        click.echo(str(path))
