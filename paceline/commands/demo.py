"""The command that makes an example organisation to look at: `demo`."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable
from pathlib import Path

import click

from collector.source import SourceConfig
from paceline.demo.folder import SETTINGS, make
from paceline.demo.period import Period, moment, period_ending
from paceline.demo.probes import SILENT, SILENT_AFTER, silent_at
from paceline.demo.stories import LEAST_WEEKS, STORIES
from paceline.settings import Configuration
from paceline.wiring import Running, build, configuration, utc_now

_NOW = "now"


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("paceline-demo"),
    show_default=True,
    help="The folder to make.",
)
@click.option(
    "--weeks", type=click.IntRange(LEAST_WEEKS, 104), default=26, show_default=True, help="How many weeks it tells of."
)
@click.option(
    "--ending",
    default="2026-W14",
    show_default=True,
    metavar="WEEK",
    help="The last week, at whose end time stands still; or `now`, for a past that ends now.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another number makes another organisation.")
def demo(folder: Path, weeks: int, ending: str, seed: int) -> None:
    """Make an example organisation, import it, and say what there is to see in it."""
    try:
        period = period_ending(ending, weeks, utc_now(), seed)
    except ValueError as error:
        raise click.UsageError(f"--ending: {error}, or now") from error
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty; name a new folder with --dir")
    written = make(folder, period, standing=ending != _NOW)
    click.echo(f"{sum(written.values()):,} events of {weeks} weeks written to {folder}")
    found = configuration(folder / SETTINGS, {}, folder)
    _import(found, period)
    _say(folder, period)


def _import(found: Configuration, period: Period) -> None:
    """Collect and evaluate as ever; the source that falls silent was last collected when its files were still new."""
    last_heard = moment(silent_at(period) + SILENT_AFTER)
    with contextlib.closing(build(found, lambda: last_heard)) as running:
        _collect(running, (source for source in found.sources if source.name == SILENT))
    with contextlib.closing(build(found)) as running:
        _collect(running, found.sources)
        click.echo("Deriving and evaluating; this takes about a minute")
        click.echo(f"{len(running.service.refresh().snapshot.numbers):,} numbers")


def _collect(running: Running, sources: Iterable[SourceConfig]) -> None:
    for source in sources:
        outcome = running.service.collect(source)
        click.echo(f"{source.name}: {outcome.error or f'{outcome.events:,} events'}")


def _say(folder: Path, period: Period) -> None:
    """What is planted where, and the commands that show it."""
    click.echo("\nWhat happened here:")
    for story in STORIES:
        weeks = " to ".join(dict.fromkeys(story.weeks(period)))
        click.echo(f"\n{story.name}, {weeks}, {story.where}\n  {story.what}\n  To see: {story.shows}.")
        for command in story.commands(period):
            click.echo(f"    {command}")
    click.echo(f"\nLook at it:\n    cd {shlex.quote(str(folder))}\n    paceline serve")
