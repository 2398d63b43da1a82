"""Which numbers of an indicator that is split by labels a panel shows, how it asks for them, what they are called.

All are of the chosen window, and of the chosen teams or services.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dashboards.making import WINDOW, Making, by, matching
from dashboards.panels import Column, Link, Query, Unit
from slo_engine.catalog import IndicatorMetrics, Metric, metrics_of
from slo_engine.indicator import Indicator, Reach, Shape
from slo_engine.indicator import Unit as Measured
from slo_engine.number_words import leading
from slo_engine.sampling import NOW

EACH = "*"
"""Every value of a label, each for itself."""
TEAMS = 'team=~"$team|"'
"""Whatever belongs to the chosen teams; the empty alternative keeps what belongs to no team on the board."""
LEVEL = f'service="",{TEAMS}'
"""The chosen levels of teams alone, without the services that they pool."""
_SERVICES = 'service=~"$service",service!=""'

_UNITS: dict[Shape, Unit] = {Shape.DURATION: "s", Shape.RATIO: "percentunit", Shape.FREQUENCY: "short"}
_MEASURED: dict[Measured, Unit] = {Measured.SECONDS: "s", Measured.RATIO: "percentunit", Measured.COUNT: "short"}
_DAY_SECONDS = 86_400


def unit_of(indicator: Indicator) -> Unit:
    """The unit of the values of an indicator."""
    return _MEASURED[indicator.unit] if indicator.shape is Shape.MEASURE else _UNITS[indicator.shape]


def window_of(indicator: Indicator) -> str:
    """The matcher of the chosen window; of the only one where an indicator looks at all there ever was."""
    return f'window="{NOW}"' if indicator.reach is Reach.ALL else WINDOW


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Some numbers of an indicator: which values of its labels, and in which unit they are read.

    `values` has a variable like `$journey` or EACH for every label that is told apart; `fixed` has one value, or a
    variable of one value like `${stage}`, for labels that need not be told apart. All values of the other labels are
    taken together. `titles` say what a label is called in a table, where its name is not enough.
    `by_service`: of the chosen services, not of teams. `working_days`: seconds are read as days, as the page that
    explains them does. `decimals`, where Grafana is not to choose them.
    """

    indicator: Indicator
    making: Making
    values: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    by_service: bool = False
    working_days: bool = False
    decimals: int | None = None

    def of(self, **values: str) -> Cut:
        """The same with these labels told apart."""
        return replace(self, values=values)

    def only(self, **fixed: str) -> Cut:
        """The same for one value of these labels."""
        return replace(self, fixed=fixed)

    @property
    def metrics(self) -> IndicatorMetrics:
        """The metrics of the indicator."""
        return metrics_of(self.indicator)

    @property
    def unit(self) -> Unit:
        """The unit of the value."""
        return "suffix:working days" if self.working_days else unit_of(self.indicator)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that tell its series apart."""
        return (self._whose, *(label for label in self.indicator.labels if label in self.values))

    @property
    def keys(self) -> dict[str, str]:
        """What tells the rows of a table apart, with titles."""
        return {label: self.titles.get(label, label.capitalize()) for label in self.names}

    @property
    def legend(self) -> str:
        """How a series is called."""
        return " ".join(f"{{{{{label}}}}}" for label in self.names)

    def value(self, stat: str = "") -> str:
        """The query of a statistic; of the leading one where none is given."""
        named = "" if self.indicator.shape is Shape.FREQUENCY else f'stat="{stat or leading(self.indicator)}"'
        expr = self.beside(self.metrics.value, named)
        return f"{expr} / {_DAY_SECONDS}" if self.working_days else expr

    def beside(self, metric: Metric, *matchers: str, labels: Sequence[str] = ()) -> str:
        """The query of one of the indicator's metrics, with more labels where wanted."""
        who = _SERVICES if self.by_service else LEVEL
        where = matching(who, window_of(self.indicator), *self._chosen, *matchers)
        return by(metric, *self.names, *labels, where=where)

    def query(self, stat: str = "", words: str = "") -> Query:
        """A statistic of every series, called by its labels and these words."""
        legend = f"{self.legend}: {words}" if words else self.legend
        return Query(expr=self.value(stat), legend=legend, decimals=self.decimals)

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

    def columns(self, title: str, counted: str) -> tuple[Column, ...]:
        """The leading statistic, its 95 % interval and n, as columns."""
        return (
            self.column(title),
            self.column("At least", "low"),
            self.column("At most", "high"),
            self.counted_column(counted),
        )

    def counted_column(self, title: str) -> Column:
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
        return self._explained({label: f"${{__field.labels.{label}}}" for label in self.names})

    def row_links(self) -> tuple[Link, ...]:
        """From a row of a table to the events behind it."""
        return self._explained({label: f'${{__data.fields["{title}"]}}' for label, title in self.keys.items()})

    def _explained(self, taken: Mapping[str, str]) -> tuple[Link, ...]:
        """`taken` has for each label where its value is taken from."""
        first, *others = self.names
        chosen = {**self.fixed, **{label: taken[label] for label in others}}
        labels = "".join(f"&label={label}%3D{value}" for label, value in chosen.items())
        window = "" if self.indicator.reach is Reach.ALL else "&window=${window}"
        return self.making.explain(self.indicator, f"{first}={taken[first]}{labels}{window}")

    @property
    def _whose(self) -> str:
        return "service" if self.by_service else "team"

    @property
    def _chosen(self) -> list[str]:
        return [self._matcher(label) for label in self.indicator.labels if label]

    def _matcher(self, label: str) -> str:
        several = self.values.get(label)
        if several == EACH:
            return f'{label}!=""'
        return f'{label}=~"{several}"' if several else f'{label}="{self.fixed.get(label, "")}"'
