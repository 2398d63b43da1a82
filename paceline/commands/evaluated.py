"""What `evaluate` prints: SLOs, what a person reads first of the numbers, and of the rest how much there is."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import click

from paceline.commands.output import or_none, table
from paceline.status import MEANS, scored, scores_first, telling, worst_first
from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.explain import subject_text
from slo_engine.indicator import Indicator, families
from slo_engine.number_words import cell_text, interval_text, value_text
from slo_engine.snapshot import Number, Snapshot
from slo_engine.words import share_text


def print_evaluated(snapshot: Snapshot, indicators: Mapping[str, Indicator], *, everything: bool) -> None:
    """Print the tables: of all numbers and scores, or of those that a person reads first."""
    _print_slos(snapshot)
    first = list(snapshot.numbers) if everything else telling(snapshot.numbers, indicators)
    _print_numbers(first if everything else [n for n in first if n.stats], indicators)
    if not everything:
        _say_what_has_none({n.indicator for n in first} - {n.indicator for n in first if n.stats}, indicators)
    scores = scored(snapshot)
    shown = scores if everything else scores_first(scores)
    if shown:
        table(
            "Quick Check, production, 0 (worst) to 10 (best)",
            ("Subject", "Window", *map(str.capitalize, MEANS), "Of"),
            [
                (
                    subject_text(s.subject),
                    s.window,
                    *map(s.text, MEANS),
                    ", ".join(f"{indicators[k].title} {s.text(k)}" for k in QUICK_CHECK if k in s.scores),
                )
                for s in shown
            ],
        )
    if len(first) < len(snapshot.numbers):
        click.echo(
            f"These are the first of {len(snapshot.numbers):,} numbers: --all lists those of each service, team, "
            "window and label"
        )


def _print_slos(snapshot: Snapshot) -> None:
    table(
        "SLOs, worst first",
        ("SLO", "Status", "Target", "Attained", "n", "Budget left"),
        [
            (
                s.slo.name,
                s.status.value.replace("_", " ") + (f": {s.why}" if s.why else ""),
                f"{share_text(float(s.slo.target))} in {s.slo.window.label}",
                s.attained,
                str(s.counts[s.slo.window.label].total) if s.counts else "no value",
                or_none(s.budget_remaining, ".1%"),
            )
            for s in worst_first(snapshot.slos)
        ],
    )


def _print_numbers(numbers: Collection[Number], indicators: Mapping[str, Indicator]) -> None:
    table(
        "Numbers",
        ("Indicator", "Subject", "Window", "n", "Value", "95 % interval"),
        [
            (
                _about(indicators[n.indicator], n.dimension),
                subject_text(n.subject),
                n.window,
                str(n.n),
                value_text(indicators[n.indicator], n.stats),
                interval_text(indicators[n.indicator], n.stats),
            )
            for n in numbers
        ],
    )


def _about(indicator: Indicator, dimension: str) -> str:
    """An indicator's title, with the part or the label values that a number is about."""
    return ": ".join(filter(None, (indicator.title, cell_text(indicator, dimension))))


def _say_what_has_none(names: Collection[str], indicators: Mapping[str, Indicator]) -> None:
    """A line for each family: the indicators that nothing was told for."""
    for family in families():
        without = [indicators[i.name].title for i in family.indicators if i.name in names]
        if without:
            click.echo(f"No value, {family.name}: {', '.join(without)}")
