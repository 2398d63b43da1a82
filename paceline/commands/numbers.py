"""Commands about what is known: `evaluate`, `explain`, `restatements` and `report`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from collector.errors import PacelineError
from paceline.commands.delivering import EVERY, deliver_now, list_deliveries
from paceline.commands.evaluated import print_evaluated
from paceline.commands.examples import examples
from paceline.commands.options import config_option, opened, output_option
from paceline.commands.output import or_none, print_json, table, write
from paceline.status import scored
from slo_engine.explain import MOST_UNITS, ExplainedNumber, Explanation, Selection, label_choice, subject_text
from slo_engine.indicator import Indicator
from slo_engine.notes import no_production, unmatched_names
from slo_engine.number_words import cell_text, labels_of
from slo_engine.observation import Subject
from slo_engine.snapshot import Accounting, Number
from slo_engine.weekly import FORMATS, Audience, Format, Week

_MOST_RESTATED = 10_000
_SHOWN_UNITS = 50
_ABOUT = ("name", "version", "title", "definition", "shape", "metric", "unit", "labels", "people")
"""What a program is told of an indicator."""


@click.command(epilog=examples("paceline evaluate", "paceline evaluate --all", "paceline evaluate --output json"))
@config_option
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also the numbers of each service, team, window and label; JSON always has them.",
)
@output_option
def evaluate(config: Path | None, output: str, *, everything: bool) -> None:
    """Derive observations from the stored events and print the numbers and SLOs."""
    with opened(config) as running:
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
        print_json(
            {
                "at": snapshot.at,
                "numbers": [_labelled(indicators[n.indicator], n) for n in snapshot.numbers],
                "accounting": [_labelled(indicators[a.indicator], a) for a in snapshot.accounting],
                "slos": snapshot.slos,
                "sources": snapshot.sources,
                "scores": scored(snapshot),
                "unmatched": unmatched,
                "restatements": snapshot.restatements,
                "suppressed": {name: len(cells) for name, cells in snapshot.suppressed.items()},
                "notes": [note] if note else [],
            }
        )
        return
    print_evaluated(snapshot, indicators, everything=everything)
    for names in unmatched:
        click.echo(f"Unmatched names, {names.text}")
    restated = ", ".join(f"{n:g} of {name}" for name, n in sorted(snapshot.restatements.items()))
    click.echo(f"Restated units: {restated or 'none'}")
    if withheld := sum(map(len, snapshot.suppressed.values())):
        click.echo(f"Withheld numbers: {withheld}, about fewer than {organisation.smallest_group} people")
    if note:
        click.echo(note)


def _fields(value: Number | Accounting | ExplainedNumber | Explanation) -> dict[str, Any]:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _labelled(indicator: Indicator, row: Number | Accounting | ExplainedNumber) -> dict[str, Any]:
    """A row as programs read it: label values by their names."""
    labels = labels_of(indicator, row.dimension)
    return _fields(row) | {"dimension": "" if labels else row.dimension, "labels": labels}


@click.command(
    epilog=examples(
        "paceline report",
        "paceline report --week 2026-W14 --audience sre",
        "paceline report --team /commerce --format html --out week.html",
    )
)
@config_option
@click.option("--week", default="", help="An ISO week like 2026-W14; the last whole one unless given.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="markdown",
    show_default=True,
    help="How it is written; html is for mail, and text the part beside it.",
)
@click.option(
    "--audience",
    type=click.Choice([audience.value for audience in Audience]),
    help="leader: one page; sre: everything; team: what concerns a team. leader unless given, team with --team.",
)
@click.option("--team", default="", help="Only this team and those below it, for example /commerce.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; standard output unless given.",
)
@click.option(
    "--deliver",
    is_flag=False,
    flag_value=EVERY,
    metavar="[NAME]",
    help="Send it now instead, by the delivery of this name, else by all of report.deliveries.",
)
@click.option("--again", is_flag=True, help="With --deliver: also what was sent already.")
@click.option("--deliveries", "listed", is_flag=True, help="List what became of the summaries instead.")
@output_option
def report(config: Path | None, week: str, form: Format, out: Path | None, **options: Any) -> None:
    """Write the weekly summary of a calendar week, or deliver it."""
    whose, deliver = _audience(options["audience"], options["team"]), options["deliver"]
    if options["again"] and not deliver:
        raise click.UsageError("--again is for --deliver")
    if deliver and (options["audience"] or options["team"] or out):
        raise click.UsageError("--deliver sends what report.deliveries says; expected no --audience, --team and --out")
    with opened(config) as running:
        if options["listed"]:
            list_deliveries(running, options["output"])
            return
        try:
            wanted = Week.parse(week, running.service.zone) if week else running.service.last_week
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        if deliver:
            deliver_now(running, wanted, deliver, anew=options["again"])
            return
        text = running.service.report(wanted, form, whose, options["team"])
    write(text, out)


def _audience(audience: str | None, team: str) -> Audience:
    """Who reads a summary; a team's has a team, and a team has only its own. Raises UsageError."""
    whose = Audience(audience or (Audience.TEAM if team else Audience.LEADER))
    if whose is Audience.TEAM and not team:
        raise click.UsageError("--audience team: whose? expected --team with the path of a team, for example /commerce")
    if team and whose is not Audience.TEAM:
        raise click.UsageError(f"--team is for --audience team; expected that, or no --team with {whose.value}")
    return whose


@click.command(epilog=examples("paceline restatements"))
@config_option
@click.option(
    "--since", type=click.DateTime(), metavar="TIME", help="Only later ones: 2026-11-01, or with a time, UTC."
)
@click.option("--limit", type=click.IntRange(1, _MOST_RESTATED), default=50, show_default=True, help="At most so many.")
@output_option
def restatements(config: Path | None, since: datetime | None, limit: int, output: str) -> None:
    """List the newest published judgements that changed afterwards."""
    with opened(config) as running:
        lines = running.service.restated(since.replace(tzinfo=UTC) if since else None, limit)
        indicators = running.service.indicators
    if output == "json":
        print_json(lines)
        return
    table(
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


def _label_choices(
    _ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(map(label_choice, texts))
    except PacelineError as error:
        raise click.BadParameter(str(error)) from error


@click.command(
    epilog=examples(
        "paceline explain change_lead_time --service checkout",
        "paceline explain change_fail_rate --team /commerce --week 2026-W14",
        "paceline explain self_service_success --label journey=new-service --window 90d",
    )
)
@click.argument("indicator")
@config_option
@click.option("--window", default="28d", show_default=True, help="A rolling window like 7d that ends now.")
@click.option("--week", default="", help="An ISO week like 2026-W14 instead of a rolling window.")
@click.option("--service", default="", help="Only this service.")
@click.option("--environment", default="", help="Only this environment.")
@click.option("--team", default="", help="The services of a team, or of a level of teams like /commerce, pooled.")
@click.option("--dimension", default="", help="Only this part, for example a stage.")
@click.option(
    "--label",
    "labels",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_label_choices,
    help="Only this value of a label, like journey=provision-db; several for several labels.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_UNITS),
    help=f"At most so many units; 50 in a table and {MOST_UNITS} in JSON unless given.",
)
@click.option(
    "--offset", type=click.IntRange(0), default=0, show_default=True, help="Skip so many of the oldest units."
)
@output_option
def explain(indicator: str, config: Path | None, limit: int | None, output: str, **selection: Any) -> None:
    """List the events behind a number of INDICATOR, an indicator or an exported metric."""
    listed = limit or (MOST_UNITS if output == "json" else _SHOWN_UNITS)
    with opened(config) as running:
        found = running.service.explain(indicator, Selection(limit=listed, **selection))
    if output == "json":
        about = found.indicator
        print_json(
            _fields(found)
            | {
                "indicator": {name: getattr(about, name) for name in _ABOUT},
                "numbers": [_labelled(about, n) for n in found.numbers],
                "accounting": [_labelled(about, a) for a in found.accounting],
            }
        )
        return
    for line in _explained(found):
        click.echo(line)
    first, last = found.offset + bool(found.units), found.offset + len(found.units)
    links = any(u.unit.url for u in found.units)
    table(
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
                ", ".join(filter(None, ("/".join(filter(None, u.subject[:2])) or u.subject.team, *u.labels.values()))),
                or_none(u.value, ".0f"),
                u.outcome + (f": {u.reason}" if u.reason else ""),
                u.role.value,
                f"{u.unit.kind} {u.unit.label}",
                ", ".join(f"{e.kind} {e.label}".strip() for e in u.evidence),
                u.rule,
                *((u.unit.url or "",) if links else ()),
            )
            for u in found.units
        ],
    )


def _explained(found: Explanation) -> Iterator[str]:
    """What stands above the units: definition, window, numbers both ways, what is beside them, the age of the data."""
    about = found.indicator
    yield f"{about.title} (definition {about.version}): {about.definition}"
    after = f"after {found.after:%Y-%m-%d %H:%M:%S} " if found.after else ""
    yield f"{found.window}: {after}up to {found.until:%Y-%m-%d %H:%M:%S} UTC"
    yield from found.not_kept()
    for number in found.numbers:
        who = _whom(about, number.subject, number.dimension)
        if number.fewer_than is not None:
            yield f"{who}: withheld, fewer than {number.fewer_than} people, or others could be worked out"
            continue
        sides = "" if number.denominator is None else f" ({number.numerator:g} of {number.denominator:g})"
        stats = ", ".join(f"{k} {v:.6g}" for k, v in number.stats.items()) or "no value"
        yield f"{who}: n {number.n}{sides}, {stats}, {_beside_exported(number)}"
    for row in found.accounting:
        left_out = ", ".join(f"{n} {reason}" for reason, n in row.excluded.items()) or "none"
        yield f"{_whom(about, row.subject, row.dimension)}: {row.pending} pending, left out: {left_out}"
    for source in found.sources:
        last = f"{source.last_success_at:%Y-%m-%d %H:%M:%S} UTC" if source.last_success_at else "never"
        yield f"source {source.name}: last success {last}{'' if source.fresh else ', not fresh'}"


def _whom(indicator: Indicator, subject: Subject, dimension: str) -> str:
    """For whom a number is, and for which part or label values."""
    return ": ".join(filter(None, (subject_text(subject), cell_text(indicator, dimension)))) or "all"


def _beside_exported(number: ExplainedNumber) -> str:
    if number.stale:
        return f"not exported: no recent success of {', '.join(number.stale)}"
    if number.exported is None:
        return "not exported"
    return "as exported" if number.agrees else f"exported: {dict(number.exported) or 'no value'}"
