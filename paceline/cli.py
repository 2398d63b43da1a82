"""The command line: thin calls into the service. Tables for people, `--output json` for programs.

Exit codes: 0 done · 1 something failed (a source, the store) · 2 a person must edit something.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from collector.errors import ConfigError, PacelineError
from collector.run import RunOutcome
from paceline.settings import Configuration
from paceline.status import SCORES, scored
from paceline.wiring import Running, build, configuration, utc_now
from slo_engine.explain import MOST_UNITS, ExplainedNumber, Explanation, Selection, subject_text
from slo_engine.indicator import Indicator
from slo_engine.notes import no_production, unmatched_names
from slo_engine.snapshot import Snapshot
from slo_engine.words import share_text

_FAILED, _MISTAKE = 1, 2
_MOST_RESTATED = 10_000
_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file; else PACELINE_CONFIG, ./paceline.yaml, else the repository in PACELINE_REPO or here.",
)
_output_option = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people or for programs.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="paceline")
def cli() -> None:
    """Paceline tells a platform team whether its internal developer platform keeps its promises."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, the process's own unless told; what goes wrong is one clear text and an exit code."""
    try:
        cli(arguments, standalone_mode=False)
    except ConfigError as error:
        for mistake in error.mistakes:
            click.echo(str(mistake), err=True)
        sys.exit(_MISTAKE)
    except PacelineError as error:
        click.echo(str(error), err=True)
        sys.exit(_FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:  # a reader such as `head` has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_FAILED)
    except OSError as error:
        click.echo(f"{error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(_FAILED)


def _configuration(config: Path | None) -> Configuration:
    return configuration(config, os.environ, Path.cwd())


@contextlib.contextmanager
def _running(config: Path | None) -> Iterator[Running]:
    running = build(_configuration(config))
    try:
        yield running
    finally:
        running.close()


@cli.command()
@_config_option
def check(config: Path | None) -> None:
    """Check the settings and SLO files; writes nothing."""
    found = _configuration(config)
    for note in found.notes:
        click.echo(note)
    click.echo(f"{len(found.sources)} sources and {len(found.slos)} SLOs are well defined.")


@cli.command()
@_config_option
@click.option("--source", "names", multiple=True, help="Only this source; may be given several times.")
@_output_option
def collect(config: Path | None, names: tuple[str, ...], output: str) -> None:
    """Pull events from the sources into the store."""
    with _running(config) as running:
        outcomes = _collect(running, names)
    _print_outcomes(outcomes, output)
    if not all(o.succeeded for o in outcomes):
        sys.exit(_FAILED)


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


@cli.command()
@_config_option
@_output_option
def evaluate(config: Path | None, output: str) -> None:
    """Derive observations from the stored events and print the numbers and SLOs."""
    with _running(config) as running:
        with (
            Console(stderr=True).status("Deriving and evaluating") if sys.stderr.isatty() else contextlib.nullcontext()
        ):
            published = running.service.refresh()
        indicators = running.service.indicators
        organisation = running.service.configuration.organisation
    snapshot = published.snapshot
    note = no_production(snapshot, organisation)
    unmatched = unmatched_names(published.unmatched)
    if output == "json":
        _print_json(
            {
                "at": snapshot.at,
                "numbers": snapshot.numbers,
                "accounting": snapshot.accounting,
                "slos": snapshot.slos,
                "sources": snapshot.sources,
                "scores": scored(snapshot),
                "unmatched": unmatched,
                "restatements": snapshot.restatements,
                "notes": [note] if note else [],
            }
        )
        return
    _print_numbers(snapshot, indicators)
    for names in unmatched:
        click.echo(f"Unmatched names, {names.text}")
    restated = ", ".join(f"{n:g} of {name}" for name, n in sorted(snapshot.restatements.items()))
    click.echo(f"Restated units: {restated or 'none'}")
    if note:
        click.echo(note)


def _print_numbers(snapshot: Snapshot, indicators: Mapping[str, Indicator]) -> None:
    _table(
        "SLOs",
        ("SLO", "Status", "Target", "Attained", "n", "Budget left"),
        [
            (
                s.slo.name,
                s.status.value.replace("_", " ") + (f": {s.why}" if s.why else ""),
                f"{share_text(float(s.slo.target))} in {s.slo.window.label}",
                "no value" if s.attainment is None else share_text(s.attainment),
                str(s.counts[s.slo.window.label].total) if s.counts else "no value",
                _or_none(s.budget_remaining, ".1%"),
            )
            for s in snapshot.slos
        ],
    )
    _table(
        "Numbers",
        ("Indicator", "Subject", "Window", "n", "Statistics"),
        [
            (
                indicators[n.indicator].title + (f": {n.dimension}" if n.dimension else ""),
                "/".join(filter(None, n.subject)),
                n.window,
                str(n.n),
                ", ".join(f"{k} {v:.6g}" for k, v in n.stats.items()) or "no value",
            )
            for n in snapshot.numbers
        ],
    )
    if snapshot.scores:
        _table(
            "Quick Check, production, 0 (worst) to 10 (best)",
            ("Subject", "Window", *(indicators[k].title if k in indicators else k.capitalize() for k in SCORES)),
            [(subject_text(s.subject), s.window, *map(s.text, SCORES)) for s in scored(snapshot)],
        )


@cli.command()
@_config_option
@click.option("--host", help="Address to listen on, instead of the setting.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on, instead of the setting; 0 takes a free one.",
)
def serve(config: Path | None, host: str | None, port: int | None) -> None:
    """Collect, evaluate and serve until interrupted."""
    from paceline.server import serve as serve_service  # noqa: PLC0415 - only this command pays for the web framework

    found = _configuration(config)
    server = found.settings.server
    for note in found.notes:
        click.echo(note)
    running = build(found)
    try:
        serve_service(running, host or server.host, server.port if port is None else port, utc_now, click.echo)
    finally:
        running.close()


@cli.command()
@_config_option
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

    text = render_rules(_configuration(config).slos, load_tiers(alert_windows()))
    _write(text, out)


@cli.command()
@_config_option
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

    _configuration(config)
    if check_only:
        differences = check_dashboards(out, indicators().values())
        for difference in differences:
            click.echo(difference, err=True)
        sys.exit(_FAILED if differences else 0)
    for path in build_dashboards(out, indicators().values()):
        click.echo(str(path))


@cli.command()
@_config_option
@click.option("--week", default="", help="An ISO week like 2026-W14; the last whole one unless given.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; standard output unless given.",
)
def report(config: Path | None, week: str, out: Path | None) -> None:
    """Write the weekly summary of a calendar week as Markdown."""
    from slo_engine.report import Week  # noqa: PLC0415

    with _running(config) as running:
        try:
            wanted = Week.parse(week, running.service.zone) if week else None
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        text = running.service.report(wanted)
    _write(text, out)


@cli.command()
@_config_option
@click.option(
    "--since", type=click.DateTime(), metavar="TIME", help="Only later ones: 2026-11-01, or with a time, UTC."
)
@click.option("--limit", type=click.IntRange(1, _MOST_RESTATED), default=50, show_default=True, help="At most so many.")
@_output_option
def restatements(config: Path | None, since: datetime | None, limit: int, output: str) -> None:
    """List the newest published judgements that changed afterwards."""
    with _running(config) as running:
        lines = running.service.restated(since.replace(tzinfo=UTC) if since else None, limit)
        indicators = running.service.indicators
    if output == "json":
        _print_json(lines)
        return
    _table(
        f"Restated, the newest {len(lines)}, times in UTC",
        ("When", "Indicator", "Subject", "Unit", "Change", "Why"),
        [
            (
                f"{line.at:%Y-%m-%d %H:%M:%S}",
                indicators[line.indicator].title if line.indicator in indicators else line.indicator,
                subject_text(line.subject),
                f"{line.unit.kind} {line.unit.label}" if line.unit else "",
                line.change,
                line.why,
            )
            for line in lines
        ],
    )


@cli.command()
@click.argument("indicator")
@_config_option
@click.option("--window", default="28d", show_default=True, help="A rolling window like 7d that ends now.")
@click.option("--week", default="", help="An ISO week like 2026-W14 instead of a rolling window.")
@click.option("--service", default="", help="Only this service.")
@click.option("--environment", default="", help="Only this environment.")
@click.option("--team", default="", help="The services of a team, or of a level of teams like /commerce, pooled.")
@click.option("--dimension", default="", help="Only this part, for example a stage.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_UNITS),
    help=f"At most so many units; 50 in a table and {MOST_UNITS} in JSON unless given.",
)
@click.option(
    "--offset", type=click.IntRange(0), default=0, show_default=True, help="Skip so many of the oldest units."
)
@_output_option
def explain(indicator: str, config: Path | None, limit: int | None, output: str, **selection: Any) -> None:
    """List the events behind a number of INDICATOR, an indicator or an exported metric."""
    listed = limit or (MOST_UNITS if output == "json" else _SHOWN_UNITS)
    with _running(config) as running:
        found = running.service.explain(indicator, Selection(limit=listed, **selection))
    if output == "json":
        _print_json(found)
        return
    for line in _explained(found):
        click.echo(line)
    first, last = found.offset + bool(found.units), found.offset + len(found.units)
    links = any(u.unit.url for u in found.units)
    _table(
        f"Units {first} to {last} of {found.total}, oldest first",
        (
            "When",
            "Subject",
            "Value",
            "Outcome",
            "Counts as",
            "Unit",
            "Decided by",
            "Rule",
            *(("Link",) if links else ()),
        ),
        [
            (
                f"{u.at:%Y-%m-%d %H:%M:%S}",
                "/".join(filter(None, u.subject[:2])),
                _or_none(u.value, ".0f"),
                u.outcome + (f": {u.reason}" if u.reason else ""),
                u.role.value,
                f"{u.unit.kind} {u.unit.label}",
                ", ".join(f"{e.kind} {e.label}" for e in u.evidence),
                u.rule,
                *((u.unit.url or "",) if links else ()),
            )
            for u in found.units
        ],
    )


_SHOWN_UNITS = 50


def _explained(found: Explanation) -> Iterator[str]:
    """What stands above the units: definition, window, numbers both ways, what is beside them, the age of the data."""
    about = found.indicator
    yield f"{about.title} (definition {about.version}): {about.definition}"
    yield f"{found.window}: after {found.after:%Y-%m-%d %H:%M:%S} up to {found.until:%Y-%m-%d %H:%M:%S} UTC"
    for number in found.numbers:
        who = subject_text(number.subject) + (f": {number.dimension}" if number.dimension else "")
        sides = "" if number.denominator is None else f" ({number.numerator:g} of {number.denominator:g})"
        stats = ", ".join(f"{k} {v:.6g}" for k, v in number.stats.items()) or "no value"
        yield f"{who}: n {number.n}{sides}, {stats}, {_beside_exported(number)}"
    for row in found.accounting:
        left_out = ", ".join(f"{n} {reason}" for reason, n in row.excluded.items()) or "none"
        yield f"{subject_text(row.subject)}: {row.pending} pending, left out: {left_out}"
    for source in found.sources:
        last = f"{source.last_success_at:%Y-%m-%d %H:%M:%S} UTC" if source.last_success_at else "never"
        yield f"source {source.name}: last success {last}{'' if source.fresh else ', not fresh'}"


def _beside_exported(number: ExplainedNumber) -> str:
    if number.stale:
        return f"not exported: no recent success of {', '.join(number.stale)}"
    if number.exported is None:
        return "not exported"
    return "as exported" if number.agrees else f"exported: {dict(number.exported) or 'no value'}"


def _print_outcomes(outcomes: Sequence[RunOutcome], output: str) -> None:
    if output == "json":
        _print_json(
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
    _table(
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


_SHOWN_RECORDS = 20


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*head, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    Console().print(table)


def _plain(cell: str) -> str:
    """Text from outside shown as it is: brackets are no markup."""
    return cell.replace("[", r"\[")


def _or_none(value: float | None, form: str) -> str:
    return "no value" if value is None else format(value, form)


def _print_json(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=_encodable)).decode())


def _encodable(value: Any) -> Any:
    """What msgspec does not know by itself: models show their fields, everything else its text."""
    return value.model_dump() if hasattr(value, "model_dump") else str(value)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    click.echo(str(out), err=True)
