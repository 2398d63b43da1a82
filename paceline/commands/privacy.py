"""The commands about people: `privacy audit`, `privacy erase`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from collector.bulk import seldom_collecting
from paceline.commands.deleting import erase_command
from paceline.commands.examples import examples
from paceline.commands.options import config_option, output_option
from paceline.commands.output import print_json, table
from paceline.exits import FAILED
from paceline.settings import Configuration
from paceline.wiring import build, clock_of, configuration, people_of
from slo_engine.words import share_text

if TYPE_CHECKING:
    from paceline.audit import Audit


@click.group()
def privacy() -> None:
    """See to it that nobody is named."""


privacy.add_command(erase_command)


@privacy.command(name="audit", epilog=examples("paceline privacy audit"))
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
    with seldom_collecting(), _watched() as watch:
        own = own_words(commands, clock)
        with contextlib.closing(build(found)) as running:
            people = people_of(found, os.environ)
            ways = Ways(running, commands, config, clock, collect, watch.at_hand)
            return audited(running, people, ways.outputs(), own, watch.searched)


@contextlib.contextmanager
def _watched() -> Iterator[_Watch]:
    """Says on a terminal how far the search is. It keeps to that terminal while what commands write is taken."""
    looked_at = Console(stderr=True).is_terminal
    console = Console(file=sys.stderr, force_terminal=looked_at)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed} texts searched"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns,
        console=console,
        disable=not looked_at,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        yield _Watch(progress, progress.add_task("Learning Paceline's own words", total=None))


class _Watch:
    """Tells a progress display how far the search is."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def at_hand(self, way: str) -> None:
        """The way out that is made and searched now."""
        self._progress.update(self._task, description=f"Searching {way}")

    def searched(self, texts: int) -> None:
        """How many texts are behind it."""
        self._progress.update(self._task, completed=texts)


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
