"""Panels for chosen values of an indicator's labels, which boards put together: a number, its trend, a table.

All show the chosen teams and window. Panels show published numbers as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dashboards import panels
from dashboards.cuts import Cut
from dashboards.making import NOBODY, Making, about, board_link, by, helps
from dashboards.panels import BLUE, CHART_HEIGHT, STAT_HEIGHT, Column, Link, Panel, Row
from dashboards.rows import default_rows
from slo_engine import catalog
from slo_engine.catalog import metrics_of
from slo_engine.indicator import Indicator, Reach

SLOS = board_link("paceline-overview", "SLOs and their budgets")
"""From a number to what is promised of it. The overview knows all boards, and so none can import its uid."""
_NOTHING_LEFT_OUT = "No data: nothing was left out, too few people, or a stale source"
_WITHHELD = """\
Numbers about **few people** are withheld, and with them those that would reveal them by a difference. *No data* may \
be that; the table counts what is withheld. A larger team, a longer window or all kinds together may be shown. \
Nobody is ever shown alone.
"""


def rows_of(
    making: Making,
    names: Sequence[str],
    rows: Callable[[Mapping[str, Cut]], Iterable[Row]],
    *,
    otherwise: bool = True,
) -> tuple[Row, ...]:
    """Rows that are made from all of these indicators.

    Where some are not declared, the default rows of the others, or nothing without `otherwise`: where they stand on
    the board already.
    """
    declared = making.named(names)
    if len(declared) < len(names):
        return default_rows(declared, making) if otherwise else ()
    return tuple(rows({i.name: Cut(indicator=i, making=making) for i in declared}))


def number(  # noqa: PLR0913 - what a panel says is as many words
    title: str,
    cut: Cut,
    *,
    stats: Mapping[str, str] | None = None,
    words: str = "",
    n: bool = True,
    width: int = 6,
    height: int = STAT_HEIGHT,
    links: Sequence[Link] = (),
) -> Panel:
    """Statistics now, the leading one where none are given with their words, and beside them n."""
    shown = [cut.query(stat, said) for stat, said in (stats or {"": ""}).items()]
    return panels.stat(
        title,
        f"{words}\n\n{about(cut.indicator)}".strip(),
        [*shown, *([cut.counted()] if n else [])],
        unit=cut.unit,
        no_data=NOBODY,
        width=width,
        height=height,
        links=(*cut.links(), *links),
    )


def interval(title: str, cut: Cut, *, width: int = 6) -> Panel:
    """Between which values a number lies, so that nobody reads more into it than it says."""
    return panels.stat(
        title,
        f"95 % interval. Two periods whose intervals overlap cannot be told apart.\n\n{about(cut.indicator)}",
        [cut.query("low", "from"), cut.query("high", "to")],
        unit=cut.unit,
        no_data="No data: too few for an interval, or a stale source",
        width=width,
    )


def trend(
    title: str,
    cut: Cut,
    *,
    stats: Mapping[str, str] | None = None,
    bounds: bool = True,
    from_zero: bool = True,
    width: int = 12,
) -> Panel:
    """Statistics over time, the leading one where none are given with their words; its interval is dashed.

    Shares of good ones are drawn up to all, not from none: what matters of them lies near the top.
    """
    good = cut.unit == "percentunit" and cut.indicator.share_of == "good"
    queries = [cut.query(stat, said) for stat, said in (stats or {"": ""}).items()]
    if bounds:
        ends = (("low", "at least"), ("high", "at most"))
        queries += [replace(cut.query(stat, said), dashed=True, color=BLUE) for stat, said in ends]
    when = "At each time, all there is then" if cut.indicator.reach is Reach.ALL else "The window ends at each time"
    return panels.timeseries(
        title,
        f"{when}.{' Dashed: the 95 % interval.' if bounds else ''}\n\n{about(cut.indicator)}",
        queries,
        unit=cut.unit,
        no_data=NOBODY,
        width=width,
        lowest=0 if from_zero and not good else None,
        highest=1 if good else None,
        links=cut.links(),
    )


def table(
    title: str,
    words: str,
    columns: Sequence[Column],
    shown: Sequence[Cut],
    *,
    width: int = panels.GRID_COLUMNS,
    height: int = CHART_HEIGHT,
) -> Panel:
    """A row for each team and value of the labels of the first of these cuts, whose numbers the rows lead to."""
    keys = shown[0].keys
    last = list(keys.values())[-1]
    definitions = dict.fromkeys(about(cut.indicator) for cut in shown)
    return panels.table(
        title,
        "\n\n".join((words, *definitions)),
        columns,
        keys=keys,
        no_data=NOBODY,
        width=width,
        height=height,
        sort_by=last,
        links={last: shown[0].row_links()},
    )


def left_out(title: str, cuts: Mapping[str, Cut], *, width: int = 12) -> Panel:
    """What was not counted, by reason, with a column for each of these cuts."""
    helped = helps(*(cut.metrics.excluded for cut in cuts.values()))
    definitions = "\n\n".join(about(cut.indicator) for cut in cuts.values())
    return panels.table(
        title,
        f"{helped}\n\n{definitions}",
        [
            Column(title=said, expr=cut.beside(cut.metrics.excluded, labels=["reason"]), unit="none")
            for said, cut in cuts.items()
        ],
        keys={**next(iter(cuts.values())).keys, "reason": "Reason"},
        no_data=_NOTHING_LEFT_OUT,
        width=width,
        sort_by="Reason",
    )


def people_row(indicators: Sequence[Indicator]) -> tuple[Row, ...]:
    """What a board about people says about the numbers that are withheld; nothing where none of these is."""
    names = [metrics_of(i).value.name for i in indicators if i.people]
    if not names:
        return ()
    metric, listed = catalog.SUPPRESSED, "|".join(names)
    counted = panels.table(
        "How many numbers are withheld",
        f"{helps(metric)}\n\nOf the metrics of this board, in all windows and of all teams.",
        (Column(title="Withheld", expr=by(metric, "metric", where=f'metric=~"{listed}"'), unit="none"),),
        keys={"metric": "Metric"},
        no_data="No data: no number is about people, or none was published yet",
        width=12,
    )
    said = panels.text("Why a number about people may be missing", _WITHHELD, width=12, height=CHART_HEIGHT)
    return (Row(title="Numbers about people", panels=(said, counted)),)
