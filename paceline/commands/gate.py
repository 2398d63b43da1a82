"""The command that a pipeline asks before it deploys: `gate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from paceline.commands.examples import examples
from paceline.commands.options import config_option, opened, output_option
from paceline.commands.output import print_json, table
from paceline.exits import MISTAKE
from paceline.gate import Answer, UnknownService


@click.command(
    epilog=examples("paceline gate --service checkout", "paceline gate --service checkout --strict --output json")
)
@click.option("--service", required=True, help="The service that is to be changed.")
@config_option
@click.option("--strict", is_flag=True, help="Exit code 1 for a warning, too.")
@click.option("--dry-run", is_flag=True, help="Exit code 0 whatever the verdict; says which it would be.")
@output_option
def gate(service: str, config: Path | None, strict: bool, dry_run: bool, output: str) -> None:
    """Say whether a service should be changed now, by its error budgets and the policy.

    Exit codes: 0 allow or warn, 3 block, 4 unknown; 1 and 2 as everywhere, a service that nobody knows is 2.
    """
    with opened(config) as running:
        published = running.service.refresh()
        try:
            answer = running.service.gate(service, published)
        except UnknownService as error:
            click.echo(str(error), err=True)
            _end(MISTAKE, dry_run=dry_run)
            return
    code = answer.exit_code(strict=strict)
    if output == "json":
        print_json({**_answered(answer), "exit_code": code, "dry_run": dry_run})
    else:
        _print(answer)
    _end(code, dry_run=dry_run)


def _end(code: int, *, dry_run: bool) -> None:
    if dry_run:
        click.echo(f"dry run: the exit code would be {code}", err=True)
    else:
        sys.exit(code)


def _answered(answer: Answer) -> dict[str, Any]:
    decision = answer.decision
    return {
        "service": answer.service,
        "at": answer.at,
        "policy": answer.source,
        "verdict": decision.verdict,
        "reasons": decision.reasons,
        "notes": decision.notes,
        "overrides": [
            {
                "slo": o.slo,
                "service": o.service,
                "author": o.author,
                "ticket": o.ticket,
                "reason": o.reason,
                "until": o.ends_at,
            }
            for o in decision.applied
        ],
    }


def _print(answer: Answer) -> None:
    decision = answer.decision
    table(
        f"{answer.service}: {decision.verdict}",
        ("Verdict", "SLO", "Why"),
        [(r.verdict.value, r.slo, r.text) for r in decision.reasons],
    )
    for note in decision.notes:
        click.echo(note)
    for override in decision.applied:
        click.echo(f"applied: the override of {override.who}, until {override.ends_at:%Y-%m-%d %H:%M} UTC")
    click.echo(f"Policy: {answer.source}")
