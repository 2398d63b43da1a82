"""Commands that write what other systems read: `rules` and `dashboards`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from paceline.commands.options import FAILED, config_option, configured
from paceline.commands.output import write


@click.command()
@config_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; standard output unless given.",
)
def rules(config: Path | None, out: Path | None) -> None:
    """Write Prometheus recording and alerting rules for the SLOs."""
    from paceline.resources import alert_windows  # noqa: PLC0415
    from slo_engine.alert_windows import load_tiers  # noqa: PLC0415
    from slo_engine.rule_files import render_rules  # noqa: PLC0415

    text = render_rules(configured(config).slos, load_tiers(alert_windows()))
    write(text, out)


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

    configured(config)
    if check_only:
        differences = check_dashboards(out, indicators().values())
        for difference in differences:
            click.echo(difference, err=True)
        sys.exit(FAILED if differences else 0)
    for path in build_dashboards(out, indicators().values()):
        click.echo(str(path))
