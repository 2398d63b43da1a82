"""Commands about what comes in: `check` and `collect`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from collector.run import RunOutcome
from paceline.commands.options import FAILED, config_option, configured, opened, output_option
from paceline.commands.output import print_json, table
from paceline.wiring import Running

_SHOWN_RECORDS = 20


@click.command()
@config_option
def check(config: Path | None) -> None:
    """Check the settings and SLO files; writes nothing."""
    found = configured(config)
    for note in found.notes:
        click.echo(note)
    click.echo(f"{len(found.sources)} sources and {len(found.slos)} SLOs are well defined.")


@click.command()
@config_option
@click.option("--source", "names", multiple=True, help="Only this source; may be given several times.")
@output_option
def collect(config: Path | None, names: tuple[str, ...], output: str) -> None:
    """Pull events from the sources into the store."""
    with opened(config) as running:
        outcomes = _collect(running, names)
    _print_outcomes(outcomes, output)
    if not all(o.succeeded for o in outcomes):
        sys.exit(FAILED)


def _collect(running: Running, names: Sequence[str] = ()) -> list[RunOutcome]:
    """Run sources one after another, with a progress bar where somebody is looking."""
    sources = running.service.configuration.sources
    unknown = sorted(set(names) - {s.name for s in sources})
    if unknown:
        raise click.UsageError(f"no source named {', '.join(unknown)}; there are {', '.join(s.name for s in sources)}")
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} events"),
        TimeElapsedColumn(),
    )
    outcomes = []
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        for source in sources:
            if names and source.name not in names:
                continue
            task = progress.add_task(f"Collecting {source.name}", total=None)
            report = _Report(progress, task)
            outcomes.append(running.service.collect(source, report))
    return outcomes


class _Report:
    """Tells a progress bar how far a source is."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress, self._task = progress, task

    def __call__(self, _name: str, events: int) -> None:
        self._progress.update(self._task, completed=events)


def _print_outcomes(outcomes: Sequence[RunOutcome], output: str) -> None:
    if output == "json":
        print_json(
            [
                {
                    "source": o.source,
                    "succeeded": o.succeeded,
                    "duration_seconds": o.duration_seconds,
                    "events": o.events,
                    "changed": o.changed,
                    "rejected": [{"location": r.location, "reason": r.reason} for r in o.rejected],
                    "warnings": o.warnings,
                    "error": o.error,
                }
                for o in outcomes
            ]
        )
        return
    table(
        "Collected",
        ("Source", "Result", "Events", "Changed", "Set aside", "Seconds"),
        [
            (
                o.source,
                o.error or "ok",
                str(o.events),
                str(o.changed),
                str(len(o.rejected)),
                f"{o.duration_seconds:.2f}",
            )
            for o in outcomes
        ],
    )
    for outcome in outcomes:
        shown = outcome.rejected[:_SHOWN_RECORDS]
        for record in shown:
            click.echo(f"set aside: {record.location}: {record.reason}", err=True)
        if outcome.rejected_total > len(shown):
            click.echo(f"… and {outcome.rejected_total - len(shown)} more of {outcome.source}", err=True)
