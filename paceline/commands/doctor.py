"""The command `doctor`: what sources would report, and what is missing, before anything is kept."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console

from collector.store import Database, DeliveryLog, EventStore, InboxStore, SourceRun
from paceline.commands.examples import examples
from paceline.commands.options import PEOPLE_KEY, config_option, configured, output_option
from paceline.commands.output import print_json, table
from paceline.doctor import Diagnosis, Seen, Share, examine, stored, together
from paceline.exits import FAILED
from paceline.health import Health
from paceline.settings import Configuration
from paceline.wiring import clock_of, looking, utc_now
from slo_engine.event_lines import one_line
from slo_engine.words import share_text, so_many

STORE = "paceline.db"
"""What a data directory holds that was collected into, beside the people key."""


@click.command(epilog=examples("paceline doctor", "paceline doctor --source shop --days 30"))
@config_option
@click.option("--source", "names", multiple=True, help="Only this source; may be given several times.")
@click.option("--days", type=click.IntRange(1, 3650), default=14, show_default=True, help="How far back to look.")
@output_option
def doctor(config: Path | None, names: tuple[str, ...], days: int, output: str) -> None:
    """Look at what the sources would report, and say what is missing; keeps nothing."""
    found = configured(config)
    unknown = sorted(set(names) - {s.name for s in found.sources})
    if unknown:
        raise click.UsageError(f"no source named {', '.join(unknown)}")
    seen = Seen()
    runs, lost = _stored(found)
    diagnoses: list[Diagnosis] = []
    for diagnosis in _examined(found, names, timedelta(days=days), seen, runs):
        diagnoses.append(diagnosis)
        if output != "json":
            # One that does not answer takes a while: what is known of the others is there already.
            print_diagnosis(diagnosis)
    said = [*lost, *together(diagnoses, seen, found.organisation)]
    if output == "json":
        print_json({"sources": [asdict(d) for d in diagnoses], "together": said, "shares": list(seen.shares)})
    else:
        _print_shares(seen.shares)
        for line in said:
            _say(f"! {line}")
    if any(d.error for d in diagnoses):
        sys.exit(FAILED)


def _examined(
    found: Configuration, names: Sequence[str], span: timedelta, seen: Seen, runs: Mapping[str, SourceRun] | None
) -> Iterator[Diagnosis]:
    """A diagnosis of each source that is wanted as soon as it is looked at; with its runs, where there is a store."""
    # Nothing is kept, so any key will do; a new one in the data directory would hide that the old one is gone.
    key = os.environ.get("PACELINE_PEOPLE_KEY") or secrets.token_hex(32)
    context, console = looking(found, {"PACELINE_PEOPLE_KEY": key}), Console(stderr=True)
    now = context.clock()
    for source in found.sources:
        if names and source.name not in names:
            continue
        with console.status(f"Looking at {source.name}"):
            one = examine(source, context, found.organisation, now - span, seen)
        known = () if runs is None else stored(source, runs.get(source.name), clock_of(found)())
        yield replace(one, advice=(*one.advice, *known))


def _stored(found: Configuration) -> tuple[Mapping[str, SourceRun] | None, list[str]]:
    """What the store says of each source, where there is one; and what is wrong with it itself."""
    if found.settings.store is None and not (found.data_dir / STORE).exists():
        return None, []
    database = Database.open(found.place)
    try:
        runs, own = EventStore(database).runs(), _troubles(found, database)
    finally:
        database.close()
    if os.environ.get("PACELINE_PEOPLE_KEY") or (found.data_dir / PEOPLE_KEY).exists():
        return runs, own
    path = found.settings.data_dir / PEOPLE_KEY
    gone = f"The people key is gone: {path} is not there, but the store is. With a new one "
    gone += "everybody who was collected before is somebody else: bring the file back, or set PACELINE_PEOPLE_KEY."
    return runs, [gone, *own]


def _troubles(found: Configuration, database: Database) -> list[str]:
    """What does not work of what a service needs: whether the store takes writes, space, clocks, what waits."""
    said = Lines()
    health = Health(
        database=database,
        inbox=InboxStore(database, EventStore(database)),
        reports=DeliveryLog(database),
        deliveries=[delivery.name for delivery in found.deliveries],
        folder=found.data_dir,
        clock=clock_of(found),
        real=utc_now,
        log=said,
    )
    failed = [f"The weekly summary did not reach {n}." for n, s in health.look().reports.items() if s == "failed"]
    whys = {what: why for what, why in said.errors if not what.endswith(" trouble")}
    lines = [f"{t.said[0].upper()}{t.said[1:]}." for t in health.troubles()]
    return [*lines, *(f"{what[0].upper()}{what[1:]}: {why}." for what, why in whys.items()), *failed]


class Lines:
    """A log that keeps what went wrong, for who prints it."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []

    def info(self, event: str, **values: object) -> None:
        """Nobody asks."""

    def warning(self, event: str, **values: object) -> None:
        """Nobody asks."""

    def error(self, event: str, **values: object) -> None:
        """Keep what failed, and why."""
        self.errors.append((event, str(values.get("error", ""))))


def print_diagnosis(found: Diagnosis) -> None:
    """A source in lines: what it gave, what rules took, what was left, what to do."""
    asked = f", {so_many(found.requests, 'request')}" if found.requests else ""
    quota = "".join(
        f", {n} of {most} {name} left" if most else f", {n} {name} left" for name, (n, most) in found.quota.items()
    )
    _say(f"{found.source} ({found.type}): {found.error or 'it can be read'}{asked}{quota}")
    if found.events:
        click.echo("  events: " + " · ".join(f"{kind} {n}" for kind, n in found.events.items()))
    if found.environments:
        _say("  deployments: " + " · ".join(f"{name} {n}" for name, n in found.environments.items()))
    if found.rules and not found.error:
        rows = [
            (str(n), r.rule, str(r.runs), one_line(", ".join(f"{name} {count}" for name, count in r.names)))
            for n, r in enumerate(found.rules, start=1)
        ]
        table(f"Rules for deployments, tried on {found.finished_runs} runs and jobs", _RULE_HEAD, rows)
    if found.lookalikes:
        left = [(one_line(name), str(n)) for name, n in found.lookalikes]
        table("Looks like a deployment, and no rule took it", ("Repository: pipeline / job", "Runs"), left)
    if found.unmapped:
        words = [(w.what, one_line(w.word), w.taken_as, str(w.times)) for w in found.unmapped]
        table("Words that no setting maps", ("What", "Word", "Taken as", "Times"), words)
    _print_shares(found.shares)
    for word, lines in (("cut off", found.truncations), ("warning", found.warnings), ("set aside", found.rejected)):
        for line in lines:
            _say(f"  {word}: {line}")
    if found.rejected_total > len(found.rejected):
        click.echo(f"  … and {found.rejected_total - len(found.rejected)} more set aside")
    for line in found.advice:
        _say(f"  ! {line}")


def _say(text: str) -> None:
    """Print a line with names from outside, without what would move a terminal's cursor."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    click.echo(f"{indent}{one_line(text)}")


_RULE_HEAD = ("Rule", "What it asks for", "Took", "Mostly")


def _print_shares(shares: Sequence[Share]) -> None:
    for share in shares:
        if share.whole:
            click.echo(f"  {share.what}: {share.part} of {share.whole} ({share_text(share.part / share.whole)})")
