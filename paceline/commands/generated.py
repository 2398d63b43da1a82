"""The command that writes the rules: `rules`."""

from __future__ import annotations

from pathlib import Path

import click

from paceline.commands.examples import examples
from paceline.commands.links import base_url_option, dashboard_url_option, links_of
from paceline.commands.options import config_option, configured, labels_of
from paceline.commands.output import write
from paceline.resources import alert_windows
from slo_engine.alert_windows import load_tiers
from slo_engine.rule_files import render_alertmanager, render_mimir, render_prometheus_rule, render_rules

_FORMATS = ("prometheus", "prometheusrule", "mimir", "alertmanager")


@click.command(
    epilog=examples(
        "paceline rules --out rules.yaml", "paceline rules --format prometheusrule --label release=prometheus"
    )
)
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
        text = render_prometheus_rule(slos, tiers, links, labels=labels_of(labels))
    elif form == "mimir":
        text = render_mimir(slos, tiers, links)
    elif form == "alertmanager":
        text = render_alertmanager(slos)
    else:
        text = render_rules(slos, tiers, links)
    write(text, out)
