"""The command that writes what would have been published in the past: `history export`."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from collector.durations import parse_duration
from collector.errors import PacelineError
from paceline.commands.backtest import Time
from paceline.commands.examples import examples
from paceline.commands.options import config_option, opened
from paceline.service import Service
from slo_engine.past import Spool, expositions, times
from slo_engine.words import so_many

_USUAL = timedelta(days=90)
_LOOKBACK = timedelta(minutes=5)
"""For how long Prometheus shows a sample: with a longer step there are gaps between them."""


class _Step(click.ParamType[timedelta]):
    """A length of time."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The length of a text."""
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group(name="history")
def history() -> None:
    """Bring the past of the numbers to where the present is."""


@history.command(
    epilog=examples(
        "paceline history export --from 2026-01-01 -o past.om",
        "paceline history export --from 2026-01-01 --until 2026-02-01 --step 1m -o january.om",
    )
)
@config_option
@click.option("--from", "start", type=Time(), help="The beginning; 90 days before the end unless given.")
@click.option("--until", "--to", "end", type=Time(), help="The end; now unless given.")
@click.option("--step", type=_Step(), default="5m", show_default=True, help="How far apart the times are.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write.",
)
def export(config: Path | None, start: datetime | None, end: datetime | None, step: timedelta, out: Path) -> None:
    """Write what /metrics would have said in the past, as it is known today, as OpenMetrics.

    A store of Prometheus takes it in with promtool. Late events count from when they happened, and SLOs and the
    catalogue are those of today. The metrics of sources and of Paceline itself are left out.
    """
    with opened(config) as running:
        service = running.service
        now = service.refresh().snapshot.at
        last = min(end or now, now)
        try:
            at = times(start or last - _USUAL, last, step)
        except ValueError as error:
            raise PacelineError(str(error)) from error
        samples = _written(service, at, out)
    if step > _LOOKBACK:
        click.echo("A step of more than 5m leaves gaps: Prometheus shows a sample for 5 minutes.", err=True)
    said = f"{so_many(samples, 'sample')} at {so_many(len(at), 'time')}"
    click.echo(f"{out}: {said}, {at[0]:%Y-%m-%d %H:%M} to {at[-1]:%Y-%m-%d %H:%M} UTC")


def _written(service: Service, at: list[datetime], out: Path) -> int:
    """How many samples there are in the file, which appears when it is whole."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    folder = out.resolve().parent
    # Beside the file: that is where there is room for as much.
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{out.name}.") as name:

        def new_file() -> IO[bytes]:
            return tempfile.TemporaryFile(dir=name)

        spool = Spool(new_file)
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("Evaluating", total=len(at))
            for one, exposition in expositions(service.past, at):
                spool.add(one, exposition)
                progress.advance(task)
        whole = Path(name) / "whole"
        with whole.open("wb") as file:
            spool.write(file)
        whole.replace(out)
    return spool.samples
