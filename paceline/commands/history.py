"""The command that says whether an SLO was met: `slo history`."""

from __future__ import annotations

from pathlib import Path

import click

from paceline.commands.examples import examples
from paceline.commands.options import config_option, opened, output_option
from paceline.commands.output import or_none, print_json, table
from paceline.history import MOST_WINDOWS, USUAL_WINDOWS, view
from slo_engine.budget import shown
from slo_engine.slo_states import Finished
from slo_engine.words import share_text


@click.command(epilog=examples("paceline slo history checkout-latency --windows 6"))
@click.argument("name", metavar="SLO")
@click.option(
    "--windows",
    type=click.IntRange(1, MOST_WINDOWS),
    default=USUAL_WINDOWS,
    show_default=True,
    help="How many, newest first.",
)
@config_option
@output_option
def history(name: str, windows: int, config: Path | None, output: str) -> None:
    """Say whether an SLO was met in the windows that are over.

    They are those of its own calendar window; of a rolling one the calendar months of the organisation's zone.
    """
    with opened(config) as running:
        running.service.refresh()
        slo, found = running.service.history(name, windows)
        zone = running.service.zone
    if output == "json":
        print_json([view(one) for one in found])
        return
    excluded = any(one.raw is not None for one in found)
    table(
        f"{slo.name}: {share_text(float(slo.target))}, days in {zone.key}",
        ("From", "Until", "Attained", "n", "Bad", *(["Excluded"] if excluded else []), "Budget left", "Met"),
        [
            (
                f"{one.start.astimezone(zone):%Y-%m-%d}",
                f"{one.end.astimezone(zone):%Y-%m-%d}",
                "no value" if one.attainment is None else share_text(one.attainment),
                shown(one.counts.total),
                shown(one.counts.bad),
                *([_left_out(one)] if excluded else []),
                or_none(one.budget_remaining, ".1%"),
                "unknown" if one.met is None else "yes" if one.met else "no",
            )
            for one in found
        ],
    )
    for one in reversed(found):
        if one.met is None:
            click.echo(f"{one.start.astimezone(zone):%Y-%m-%d}: {one.why}")


def _left_out(found: Finished) -> str:
    """How many events exclusions leave out."""
    return "" if found.raw is None else shown(found.raw.total - found.counts.total)
