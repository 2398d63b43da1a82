"""Panels for chosen values of an indicator's labels, which boards put together: a number, its trend, a table.

All show the chosen teams and window. Panels show published numbers as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dashboards import panels
from dashboards.making import NOBODY, WINDOW, Making, about, board_link, by, helps, matching
from dashboards.panels import BLUE, CHART_HEIGHT, Column, Link, Panel, Query, Row, Unit
from dashboards.rows import default_rows
from slo_engine import catalog
from slo_engine.catalog import IndicatorMetrics, Metric, metrics_of
from slo_engine.indicator import Indicator, Reach, Shape
from slo_engine.indicator import Unit as Measured
from slo_engine.number_words import leading
from slo_engine.sampling import NOW

SLOS = board_link("paceline-overview", "SLOs and their budgets")
"""From a number to what is promised of it. The overview knows all boards, and so none can import its uid."""
EACH = "*"
"""Every value of a label, each for itself."""
LEVEL = 'service="",team=~"$team|"'
"""The chosen levels of teams; the empty alternative keeps what belongs to no team on the board."""

_UNITS: dict[Shape, Unit] = {Shape.DURATION: "s", Shape.RATIO: "percentunit", Shape.FREQUENCY: "short"}
_MEASURED: dict[Measured, Unit] = {Measured.SECONDS: "s", Measured.RATIO: "percentunit", Measured.COUNT: "short"}
_DAY_SECONDS = 86_400
_NOTHING_LEFT_OUT = "No data: nothing was left out, too few people, or a stale source"
_WITHHELD = """\
Numbers about **few people** are withheld, and with them those that would reveal them by a difference. *No data* may \
be that; the table counts what is withheld. A larger team, a longer window or all kinds together may be shown. \
Nobody is ever shown alone.
"""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Some numbers of an indicator: which values of its labels, and in which unit they are read.

    `values` has a value, a variable like `$journey` or EACH for every label that is told apart; all values of the
    others are taken together. `working_days`: seconds are read as days, as the page that explains them does.
    """

    indicator: Indicator
    making: Making
    values: Mapping[str, str] = field(default_factory=dict)
    working_days: bool = False

    def of(self, **values: str) -> Cut:
        """The same with these values of its labels."""
        return replace(self, values=values)

    @property
    def metrics(self) -> IndicatorMetrics:
        """The metrics of the indicator."""
        return metrics_of(self.indicator)

    @property
    def unit(self) -> Unit:
        """The unit of the value."""
        if self.working_days:
            return "suffix:working days"
        shape = self.indicator.shape
        return _MEASURED[self.indicator.unit] if shape is Shape.MEASURE else _UNITS[shape]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that tell its series apart, after the team."""
        return tuple(label for label in self.indicator.labels if label in self.values)

    @property
    def keys(self) -> dict[str, str]:
        """What tells the rows of a table apart, with titles."""
        return {label: label.capitalize() for label in ("team", *self.names)}

    @property
    def legend(self) -> str:
        """How a series is called."""
        return " ".join(f"{{{{{label}}}}}" for label in ("team", *self.names))

    def value(self, stat: str = "") -> str:
        """The query of a statistic; of the leading one where none is given."""
        named = "" if self.indicator.shape is Shape.FREQUENCY else f'stat="{stat or leading(self.indicator)}"'
        expr = self.beside(self.metrics.value, named)
        return f"{expr} / {_DAY_SECONDS}" if self.working_days else expr

    def beside(self, metric: Metric, *matchers: str, labels: Sequence[str] = ()) -> str:
        """The query of one of the indicator's metrics, with more labels where wanted."""
        return by(metric, "team", *self.names, *labels, where=matching(LEVEL, self._window, *self._chosen, *matchers))

    def query(self, stat: str = "", words: str = "") -> Query:
        """A statistic of every series, called by its labels and these words."""
        return Query(expr=self.value(stat), legend=f"{self.legend}: {words}" if words else self.legend)

    def counted(self) -> Query:
        """How many units stand behind the number: n."""
        legend = f"{self.legend}: {self.indicator.noun} (n)"
        return Query(expr=self.beside(self.metrics.samples), legend=legend, unit="none")

    def waiting(self, words: str) -> Query:
        """How many units cannot be judged yet."""
        return Query(expr=self.beside(self.metrics.pending), legend=f"{self.legend}: {words}", unit="none")

    def column(self, title: str, stat: str = "") -> Column:
        """A statistic as a column."""
        return Column(title=title, expr=self.value(stat), unit=self.unit)

    def counted_column(self, title: str = "Counted (n)") -> Column:
        """What stands behind the number, as a column."""
        return Column(title=title, expr=self.beside(self.metrics.samples), unit="none")

    def waiting_column(self, title: str) -> Column:
        """What cannot be judged yet, as a column."""
        return Column(title=title, expr=self.beside(self.metrics.pending), unit="none")

    def used_column(self, title: str = "Used") -> Column:
        """The share of the final units that could be used, as a column."""
        return Column(title=title, expr=self.beside(self.metrics.coverage), unit="percentunit")

    def links(self) -> tuple[Link, ...]:
        """From a series to the events behind it."""
        return self._explained({label: f"${{__field.labels.{label}}}" for label in ("team", *self.names)})

    def row_links(self) -> tuple[Link, ...]:
        """From a row of a table to the events behind it."""
        return self._explained({label: f'${{__data.fields["{title}"]}}' for label, title in self.keys.items()})

    def _explained(self, taken: Mapping[str, str]) -> tuple[Link, ...]:
        labels = "".join(f"&label={label}%3D{taken[label]}" for label in self.names)
        window = "" if self.indicator.reach is Reach.ALL else "&window=${window}"
        return self.making.explain(self.indicator, f"team={taken['team']}{labels}{window}")

    @property
    def _window(self) -> str:
        return f'window="{NOW}"' if self.indicator.reach is Reach.ALL else WINDOW

    @property
    def _chosen(self) -> list[str]:
        return [_matcher(label, self.values.get(label, "")) for label in self.indicator.labels if label]


def _matcher(label: str, value: str) -> str:
    if value == EACH:
        return f'{label}!=""'
    return f'{label}=~"{value}"' if value.startswith("$") else f'{label}="{value}"'


def rows_of(
    making: Making, names: Sequence[str], rows: Callable[[Mapping[str, Cut]], Iterable[Row]]
) -> tuple[Row, ...]:
    """Rows that are made from these indicators, taken whole; the default rows of some where not all are declared."""
    declared = making.named(names)
    if len(declared) < len(names):
        return default_rows(declared, making)
    return tuple(rows({i.name: Cut(indicator=i, making=making) for i in declared}))


def number(  # noqa: PLR0913 - what a panel says is as many words
    title: str,
    cut: Cut,
    *,
    stats: Mapping[str, str] | None = None,
    words: str = "",
    n: bool = True,
    width: int = 6,
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
