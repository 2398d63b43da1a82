"""The commands about people: `privacy audit`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paceline.commands.options import FAILED, config_option, output_option
from paceline.commands.output import print_json, table
from paceline.settings import Configuration
from paceline.wiring import build, clock_of, configuration, people_of
from slo_engine.words import share_text

if TYPE_CHECKING:
    from paceline.audit import Audit


@click.group()
def privacy() -> None:
    """See to it that nobody is named."""


@privacy.command(name="audit")
@config_option
@click.option("--collect", is_flag=True, help="Run the sources first, to search what the log says of it as well.")
@output_option
@click.pass_context
def audit(context: click.Context, config: Path | None, output: str, collect: bool) -> None:
    """Look through everything that leaves the process for people; exit code 1 where somebody is found.

    Metrics, rules, dashboards, summaries, pages, answers, notifications, tables and log lines are made anew and
    searched for mail addresses, keys of people, and every word and pair of words that is somebody's login or name.
    """
    found = configuration(config, os.environ, Path.cwd())
    commands = context.find_root().command
    assert isinstance(commands, click.Group)  # noqa: S101 - this command is in it
    result = _audited(found, commands, config, collect=collect)
    if output == "json":
        print_json({**vars(result), "clean": result.clean})
    else:
        _print(result)
    sys.exit(0 if result.clean else FAILED)


def _audited(found: Configuration, commands: click.Group, config: Path | None, *, collect: bool) -> Audit:
    from paceline.audit import audited, own_words  # noqa: PLC0415 - only this command pays for the web framework
    from paceline.outputs import Ways  # noqa: PLC0415 - likewise

    clock = clock_of(found)
    own = own_words(commands, clock)
    running = build(found)
    try:
        people = people_of(found, os.environ)
        return audited(running, people, Ways(running, commands, config, clock, collect).outputs(), own)
    finally:
        running.close()


def _print(found: Audit) -> None:
    table(
        "Labels of metrics",
        ("Metric", "Label", "Values", "For example"),
        [(u.metric, u.label, str(u.values), ", ".join(u.examples)) for u in found.labels],
    )
    table(
        "Ways out",
        ("Way", "Texts", "Characters"),
        [(u.channel, str(u.texts), f"{u.characters:,}") for u in found.channels],
    )
    people = found.people
    share = "" if people.coverage is None else f", {share_text(people.coverage)}"
    click.echo(
        f"Accounts that are mapped to people by reviewed files: {people.people_mapped} of {people.accounts}{share}."
    )
    if found.clean:
        click.echo("Nobody was found.")
        return
    table(
        f"Found: {found.total}",
        ("Way", "Where", "What", "Around it"),
        [(f.channel, f.place, f.what, f.excerpt) for f in found.findings],
    )
