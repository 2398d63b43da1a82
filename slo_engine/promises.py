"""The weekly summary's section of the platform's own promises: a line for each, of the whole organisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

from slo_engine.indicator import Indicator
from slo_engine.number_words import NO_VALUE, cell_text, interval_text, labels_of, value_text
from slo_engine.numbers import sizes_of, summary_of, withheld_of
from slo_engine.reading import Reader, Span
from slo_engine.sampling import NOW, reach_of
from slo_engine.snapshot import Accounting, Number
from slo_engine.suppression import Cell
from slo_engine.words import escaped, share_text

FEW = "not enough people"
PEOPLE_OVER = timedelta(days=90)
"""How long before the week's end people are looked at: few of them do anything in a single week."""

_MICROSECOND = timedelta(microseconds=1)


class _Line(NamedTuple):
    """A number of the whole organisation with what stands beside it; None where it is withheld."""

    indicator: Indicator
    dimension: str
    over: str
    shown: tuple[Number, Accounting] | None
    observed: bool


def promises(indicators: Iterable[Indicator], reader: Reader, week: Span, fresh: set[str]) -> list[str]:
    """The section, as lines of Markdown; nothing where nothing of it was ever observed.

    `fresh` are the sources that cover the whole week.
    """
    lines = [line for one in indicators if not one.like_delivery for line in _lines(one, reader, week, fresh)]
    if not lines:
        return []
    few = sum(line.shown is None for line in lines)
    smallest = reader.organisation.smallest_group
    said = [f"\nNumbers about fewer than {smallest} people, and what would reveal them, are withheld: {few} here."]
    return [
        "## The platform's own promises",
        "",
        "| Promise | Over | Value | 95 % interval | n | Used | Pending, left out |",
        "|---|---|---:|---:|---:|---:|---|",
        *map(_row, lines),
        *(said if few else []),
        "",
    ]


def _lines(indicator: Indicator, reader: Reader, week: Span, fresh: set[str]) -> Iterator[_Line]:
    """The lines of an indicator: labels taken together, but for those that never are."""
    span = week
    if indicator.people:
        span = Span(week.until - PEOPLE_OVER // _MICROSECOND, week.until, f"{PEOPLE_OVER.days} days")
    groups = reader.whole(indicator)
    reader.prepare({n for g in groups for n in g.series}, reach_of(indicator, span))
    summaries = [summary_of(indicator, g, reader, [span]) for g in groups]
    cells = withheld_of(indicator, sizes_of(indicator, summaries), reader.organisation.smallest_group, [span])
    for group, summary in zip(groups, summaries, strict=True):
        if any(v for label, v in labels_of(indicator, group.cell).items() if label not in indicator.apart):
            continue
        beside = summary.accounting[0]
        hidden = Cell(beside.subject, beside.window, beside.dimension) in cells
        shown = None if hidden else (summary.numbers[0][0], beside)
        yield _Line(indicator, group.cell, beside.window, shown, group.sources <= fresh)


def _row(line: _Line) -> str:
    """A line of the table. What a source did not observe to the week's end has no value, unless units are known."""
    about = cell_text(line.indicator, line.dimension)
    title = f"{line.indicator.title}: {about}" if about else line.indicator.title
    over = {NOW: "at its end"}.get(line.over, line.over)
    if line.shown is None:
        return _cells(title, over, FEW, "", "", "", "")
    number, beside = line.shown
    stats = number.stats if line.observed or number.n else {}
    waits = [f"{beside.pending} pending"] if beside.pending else []
    left = [f"{n} {reason.replace('_', ' ')}" for reason, n in sorted(beside.excluded.items())]
    return _cells(
        title,
        over,
        value_text(line.indicator, stats),
        interval_text(line.indicator, stats),
        str(number.n),
        NO_VALUE if beside.coverage is None else share_text(beside.coverage),
        ", ".join([*waits, *left]) or "none",
    )


def _cells(*texts: str) -> str:
    return f"| {' | '.join(escaped(text) for text in texts)} |"
