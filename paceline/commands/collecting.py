"""Commands about what comes in: `check`, `collect` and `rejected`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from collector.api import ForgeConfig
from collector.errors import ConfigError
from collector.http import Tape, Wire
from collector.recording import Player, Recorder, recordings
from collector.run import RunOutcome
from collector.source import SourceConfig
from paceline.commands.examples import examples
from paceline.commands.options import config_option, configured, opened, output_option
from paceline.commands.output import print_json, table
from paceline.commands.trail import keep
from paceline.exits import FAILED
from paceline.settings import Configuration
from paceline.wiring import Running, build
from slo_engine.words import so_many

_SHOWN_RECORDS = 20
_MOST_REJECTED = 10_000


@click.command(epilog=examples("paceline check --config paceline.yaml"))
@config_option
def check(config: Path | None) -> None:
    """Check the settings and SLO files; writes nothing."""
    found = configured(config)
    if found.away:
        raise ConfigError(*found.away)
    for note in found.notes:
        click.echo(note)
    click.echo(f"{so_many(len(found.sources), 'source')} and {so_many(len(found.slos), 'SLO')} are well defined.")


@click.command(epilog=examples("paceline collect", "paceline collect --source shop --since 2026-01-01"))
@config_option
@click.option("--source", "names", multiple=True, help="Only this source; may be given several times.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="Read everything from this day or time (UTC) on, whatever was read before.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write what APIs answer into this folder, without people, texts and secrets: a file for each source.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Read what --record wrote instead of asking anybody; into a store that is thrown away.",
)
@output_option
def collect(
    config: Path | None,
    names: tuple[str, ...],
    since: datetime | None,
    record: Path | None,
    replay: Path | None,
    output: str,
) -> None:
    """Pull events from the sources into the store."""
    if record is not None and replay is not None:
        raise click.UsageError("--record and --replay exclude each other")
    since = None if since is None else since.replace(tzinfo=UTC)
    if replay is not None:
        outcomes = _replayed(config, replay, names, since)
    else:
        with opened(config) as running:
            chosen = _chosen(running.service.configuration, names)
            outcomes = _collect(running, chosen, since, lambda name: _recorder(record, name, running))
            if since is not None:
                keep(running.service.configuration, "collect --since", what=", ".join(one.name for one in chosen))
    _print_outcomes(outcomes, output)
    if not all(o.succeeded for o in outcomes):
        sys.exit(FAILED)


def _recorder(folder: Path | None, name: str, running: Running) -> Tape | None:
    return None if folder is None else Recorder(folder / f"{name}.jsonl", running.people)


def _replayed(config: Path | None, folder: Path, names: Sequence[str], since: datetime | None) -> list[RunOutcome]:
    """Run the sources that a folder has recordings of, into a store of their own."""
    known = set(recordings(folder))
    found = configured(config)
    # A recording holds what APIs answer: clones of repositories are not part of it.
    chosen = [_without_clones(s) for s in _chosen(found, names) if s.name in known]
    if not chosen:
        raise click.UsageError(f"{folder} has no recording of a source of these settings")
    with tempfile.TemporaryDirectory() as scratch:
        settings = found.settings.model_copy(update={"data_dir": Path(scratch), "store": None})
        running = build(replace(found, settings=settings))
        try:
            return _collect(running, chosen, since, lambda name: Player(folder / f"{name}.jsonl"))
        finally:
            running.close()


def _without_clones(source: SourceConfig) -> SourceConfig:
    return source.model_copy(update={"commits": False}) if isinstance(source, ForgeConfig) else source


def _chosen(found: Configuration, names: Sequence[str]) -> list[SourceConfig]:
    """The sources of some names, or all. Raises UsageError for a name that there is not."""
    unknown = sorted(set(names) - {s.name for s in found.sources})
    if unknown:
        there = ", ".join(s.name for s in found.sources)
        raise click.UsageError(f"no source named {', '.join(unknown)}; there are {there}")
    return [s for s in found.sources if not names or s.name in names]


def _collect(
    running: Running,
    sources: Sequence[SourceConfig],
    since: datetime | None,
    tape: Callable[[str], Tape | None],
) -> list[RunOutcome]:
    """Run sources one after another, with a progress bar where somebody is looking."""
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
            task = progress.add_task(f"Collecting {source.name}", total=None)
            report = _Report(progress, task)
            used = tape(source.name)
            outcomes.append(running.service.collect(source, report, since=since, wire=Wire(tape=used)))
            if isinstance(used, Recorder):
                used.close()
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
                    "removed": o.removed,
                    "warnings": o.warnings,
                    "truncations": o.truncations,
                    "requests": o.requests,
                    "error": o.error,
                    "failure": o.failure,
                }
                for o in outcomes
            ]
        )
        return
    table(
        "Collected",
        ("Source", "Result", "Events", "Changed", "Set aside", "Cut off", "Requests", "Seconds"),
        [
            (
                o.source,
                o.error or "ok",
                str(o.events),
                str(o.changed),
                str(o.rejected_total),
                str(o.truncated_total),
                str(o.requests),
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
        for truncation in outcome.truncations:
            click.echo(f"cut off: {outcome.source}: {truncation}", err=True)


@click.command(epilog=examples("paceline rejected", "paceline rejected --source shop --output json"))
@config_option
@click.option("--source", "name", help="Only those of this source.")
@click.option("--limit", type=click.IntRange(1, _MOST_REJECTED), default=50, show_default=True, help="At most so many.")
@output_option
def rejected(config: Path | None, name: str | None, limit: int, output: str) -> None:
    """List the records of the sources that could not be used: where each is, and why.

    A record is listed once, with the newest reason, also when it could be used later.
    """
    with opened(config) as running:
        if name is not None:
            _chosen(running.service.configuration, [name])
        records = running.service.set_aside(name, limit)
    if output == "json":
        print_json(records)
        return
    table(
        f"Set aside, {so_many(len(records), 'record')}",
        ("Source", "Record", "Why"),
        [(record.source, record.location, record.reason) for record in records],
    )
    if len(records) == limit:
        click.echo(f"There may be more than these {limit}: --limit shows them.")
