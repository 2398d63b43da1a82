"""The command that finds what is well formed in SLO files and still will not do what its author wants: `slo lint`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from collector.document import read_documents
from collector.errors import PacelineError
from paceline.commands.examples import examples
from paceline.commands.options import config_option, opened, output_option
from paceline.commands.output import print_json
from paceline.commands.prometheus import asking, prometheus_option
from paceline.exits import FAILED
from paceline.resources import alert_windows
from slo_engine.alert_windows import load_tiers
from slo_engine.lint import Finding, as_json, lint, lint_rules, ordered, rules_in, usual
from slo_engine.lint_server import lint_server
from slo_engine.words import so_many


@click.command(
    name="lint", epilog=examples("paceline slo lint", "paceline slo lint --prometheus http://localhost:9090")
)
@config_option
@prometheus_option
@click.option(
    "--rules",
    "rule_files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A rule file or PrometheusRule to look at too; may be given several times.",
)
@output_option
def lint_slos(config: Path | None, url: str, rule_files: tuple[Path, ...], output: str) -> None:
    """Find what is well formed and still will not do what its author wants, in the files and on the server.

    Exit code 1 for an error; warnings alone are 0.
    """
    with opened(config) as running:
        published = running.service.refresh()
        slos = running.service.configuration.slos
    tiers, at = load_tiers(alert_windows()), published.snapshot.at
    found = lint(slos, tiers, at.date(), usual(published.snapshot.slos))
    if url:
        with asking(url) as ask:
            found = [*found, *lint_server(slos, tiers, ask, at)]
    for file in rule_files:
        found = [*found, *_of_rules(file)]
    _print(ordered(found), output, len(slos))


def _of_rules(file: Path) -> list[Finding]:
    found: list[Finding] = []
    for document in read_documents(file):
        try:
            found += lint_rules(rules_in(document.value if isinstance(document.value, dict) else {}), file.name)
        except ValueError as error:
            raise PacelineError(f"{file.name}:{document.line(())}: {error}") from error
    return found


def _print(found: list[Finding], output: str, slos: int) -> None:
    if output == "json":
        print_json(as_json(found))
    else:
        for finding in found:
            click.echo(str(finding))
        click.echo(f"{so_many(slos, 'SLO')}, {so_many(len(found), 'finding')}", err=True)
    if any(finding.severity == "error" for finding in found):
        sys.exit(FAILED)
