"""The command that makes an example organisation to look at: `demo`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from paceline.commands.examples import examples
from paceline.demo.folder import SETTINGS, make
from paceline.demo.importing import import_example
from paceline.demo.period import Period, period_ending
from paceline.demo.stories import LEAST_WEEKS, STORIES
from paceline.wiring import configuration, utc_now

_NOW, _USUAL = "now", "2026-W14"


@click.command(epilog=examples("paceline demo", "paceline demo --serve"))
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
    default=None,
    show_default=f"{_USUAL}; {_NOW} with --serve",
    metavar="WEEK",
    help="The last week, at whose end time stands still; or `now`, for a past that ends now.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another number makes another organisation.")
@click.option(
    "--serve", "serving", is_flag=True, help="Serve it as well, until interrupted; the folder is kept for a day."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=None,
    show_default="a free one",
    help="With --serve: the port of the pages.",
)
@click.option(
    "--without-servers", is_flag=True, help="With --serve: no Prometheus, Alertmanager and Grafana beside it."
)
@click.option(
    "--past", is_flag=True, help="With --serve: give Prometheus the past, so that charts of boards begin with it."
)
def demo(
    *,
    folder: Path,
    weeks: int,
    ending: str | None,
    seed: int,
    serving: bool,
    port: int | None,
    without_servers: bool,
    past: bool,
) -> None:
    """Make an example organisation, import it, and say what there is to see in it."""
    if serving:
        _serve(folder, weeks, ending, seed, port=port or 0, servers=not without_servers, past=past)
        return
    if port is not None or without_servers or past:
        raise click.UsageError("--port, --without-servers and --past are for --serve")
    ending = ending or _USUAL
    try:
        period = period_ending(ending, weeks, utc_now(), seed)
    except ValueError as error:
        raise click.UsageError(f"--ending: {error}, or now") from error
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty; name a new folder with --dir")
    written = make(folder, period, standing=ending != _NOW)
    click.echo(f"{sum(written.values()):,} events of {weeks} weeks written to {folder}")
    import_example(configuration(folder / SETTINGS, {}, folder), period, click.echo)
    _say(folder, period)


def _serve(folder: Path, weeks: int, ending: str | None, seed: int, *, port: int, servers: bool, past: bool) -> None:
    from paceline.demo.kept import NotUsable  # noqa: PLC0415 - what serves is slow to load, and seldom asked for
    from paceline.demo.serving import Wishes, serve_example  # noqa: PLC0415 - as above

    if ending not in {None, _NOW}:
        raise click.UsageError("--ending: what is served ends now")
    if past and not servers:
        raise click.UsageError("--past is for Prometheus; leave --without-servers out")
    wishes = Wishes(weeks=weeks, seed=seed, port=port, servers=servers, past=past)
    try:
        serve_example(folder, wishes, utc_now(), click.echo)
    except NotUsable as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        error.filename = error.filename or folder  # a full disk names no file
        raise


def _say(folder: Path, period: Period) -> None:
    """What is planted where, and the commands that show it."""
    click.echo("\nWhat happened here:")
    for story in STORIES:
        click.echo(f"\n{story.told(period)}")
        for command in story.commands(period):
            click.echo(f"    {command}")
    click.echo(f"\nLook at it:\n    cd {shlex.quote(str(folder))}\n    paceline serve")
