"""The default panels of an indicator that has one number for a service or a team, as those of delivery have.

They follow from its declaration: an indicator that somebody adds gets them without a change of any board. Panels show
published numbers as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboards import panels
from dashboards.making import LEVELS, NO_LEVEL, NO_UNITS, SERVICES, WINDOW, Making, about, by, each, matching
from dashboards.panels import CHART_HEIGHT, Column, Link, Panel, Query, Row, Unit
from slo_engine.catalog import SUBJECT_LABELS, IndicatorMetrics, Metric, metrics_of
from slo_engine.indicator import Indicator, Shape

_SUBJECT_LEGEND = " ".join(f"{{{{{label}}}}}" for label in SUBJECT_LABELS)
_COLUMNS: dict[Shape, dict[str, str]] = {
    Shape.DURATION: {
        "p50": "Median",
        "low": "At least (95 %)",
        "high": "At most (95 %)",
        "p75": "Three of four within",
        "p90": "Nine of ten within",
    },
    Shape.RATIO: {"value": "Share", "low": "At least (95 %)", "high": "At most (95 %)"},
    Shape.FREQUENCY: {},
}
"""The columns of a table by team, by statistic, of which `low` and `high` are the interval of the first."""
_VALUE_STATS = {Shape.DURATION: "p50", Shape.RATIO: "value"}
_UNITS: dict[Shape, Unit] = {Shape.DURATION: "s", Shape.RATIO: "percentunit", Shape.FREQUENCY: "short"}
SELECTION = (
    "service=${__field.labels.service}&environment=${__field.labels.environment}"
    "&team=${__field.labels.team}&window=${window}"
)
LEVEL_SELECTION = 'team=${__data.fields["Team"]}&environment=${__data.fields["Environment"]}&window=${window}'

Links = Sequence[Link]


def service_row(indicator: Indicator, making: Making) -> Row:
    """The default panels of an indicator's shape, for the chosen services, and a table by team."""
    of_shape = {
        Shape.DURATION: _duration_panels,
        Shape.RATIO: _ratio_panels,
        Shape.FREQUENCY: _frequency_panels,
    }
    metrics = metrics_of(indicator)
    links = making.explain(indicator, SELECTION)
    shown = [*of_shape[indicator.shape](indicator, metrics, links), _by_team(indicator, metrics, making)]
    return Row(title=f"{indicator.title}: $service, $environment, last $window", panels=tuple(shown))


def _duration_panels(indicator: Indicator, metrics: IndicatorMetrics, links: Links) -> list[Panel]:
    title, words = indicator.title, about(indicator)
    headlines = (("p50", "median"), ("p75", "three of four within"), ("p90", "nine of ten within"))
    return [
        *(
            panels.stat(
                f"{title}: {said}",
                f"{words}\n\nThis is the {name} of the window.",
                [_of_stat(indicator, metrics, name)],
                unit="s",
                no_data=NO_UNITS,
                width=6,
                links=links,
            )
            for name, said in headlines
        ),
        _interval(indicator, metrics, "median", width=6),
        _basis(indicator, metrics),
        *_over_time(indicator, metrics, tuple(name for name, _ in headlines)),
    ]


def _ratio_panels(indicator: Indicator, metrics: IndicatorMetrics, links: Links) -> list[Panel]:
    return [
        panels.stat(
            f"{indicator.title}: share of {indicator.share_of} ones",
            about(indicator),
            [_of_stat(indicator, metrics, "value")],
            unit="percentunit",
            no_data=NO_UNITS,
            width=12,
            links=links,
        ),
        _interval(indicator, metrics, "share", width=12),
        _basis(indicator, metrics),
        *_over_time(indicator, metrics, ("value", "low", "high")),
    ]


def _frequency_panels(indicator: Indicator, metrics: IndicatorMetrics, links: Links) -> list[Panel]:
    title, words = indicator.title, about(indicator)
    per_day = Query(expr=of_services(metrics.value), legend=_SUBJECT_LEGEND)
    found = [panels.stat(f"{title} per day", words, [per_day], unit="short", no_data=NO_UNITS, width=6, links=links)]
    if metrics.total:
        split = f" by {indicator.dimension}" if indicator.dimension else ""
        total = Query(
            expr=each(metrics.total, SERVICES),
            legend=_legend(f"{{{{{indicator.dimension}}}}}" if split else ""),
        )
        found.append(
            panels.stat(
                f"{title} since the beginning{split}",
                f"{metrics.total.help}\n\n{words}",
                [total],
                unit="short",
                no_data="No data: none was ever seen",
                width=18,
            )
        )
    over_time = panels.timeseries(
        f"{title} per day over time", words, [per_day], unit="short", no_data=NO_UNITS, width=18
    )
    return [*found, _basis(indicator, metrics), over_time]


def _interval(indicator: Indicator, metrics: IndicatorMetrics, of: str, width: int) -> Panel:
    bounds = [_of_stat(indicator, metrics, name, words) for name, words in (("low", "from"), ("high", "to"))]
    return panels.stat(
        f"{indicator.title}: the {of} lies between",
        f"95 % interval of the {of}. Two periods whose intervals overlap cannot be told apart.\n\n{about(indicator)}",
        bounds,
        unit=_UNITS[indicator.shape],
        no_data="No data: too few units for an interval",
        width=width,
    )


def _basis(indicator: Indicator, metrics: IndicatorMetrics) -> Panel:
    """What always stands beside a number: n, coverage, and what was not counted."""
    return panels.stat(
        f"{indicator.title}: what it rests on",
        "Counted: units behind the number (n). Used: share of the final units that could be used. "
        "Pending: cannot be judged yet. Left out: excluded, and why; a reason that never occurs is absent."
        f"\n\n{about(indicator)}",
        [
            Query(expr=of_services(metrics.samples, whole(indicator)), legend=_legend("counted (n)")),
            Query(expr=of_services(metrics.coverage), legend=_legend("used"), unit="percentunit"),
            Query(expr=of_services(metrics.pending), legend=_legend("pending")),
            Query(expr=of_services(metrics.excluded), legend=_legend("left out: {{reason}}")),
        ],
        unit="short",
        no_data=NO_UNITS,
        width=6,
        height=CHART_HEIGHT,
    )


def _over_time(indicator: Indicator, metrics: IndicatorMetrics, stats: Sequence[str]) -> list[Panel]:
    """The statistics over time and, where the indicator is split, its parts."""
    title, words, unit = indicator.title, about(indicator), _UNITS[indicator.shape]
    together = of_services(metrics.value, f'stat=~"{"|".join(stats)}"', whole(indicator))
    queries = [Query(expr=together, legend=_legend("{{stat}}"))]
    width = 9 if indicator.dimension else 18
    found = [panels.timeseries(f"{title} over time", words, queries, unit=unit, no_data=NO_UNITS, width=width)]
    if indicator.dimension:
        stat = _VALUE_STATS[indicator.shape]
        expr = of_services(metrics.value, f'stat="{stat}"', f'{indicator.dimension}!=""')
        parts = [Query(expr=expr, legend=_legend(f"{{{{{indicator.dimension}}}}}"))]
        said = "median by" if indicator.shape is Shape.DURATION else "by"
        found.append(
            panels.timeseries(
                f"{title}: {said} {indicator.dimension}",
                f"Each {indicator.dimension} on its own; the parts need not add up to the whole.\n\n{words}",
                parts,
                unit=unit,
                no_data=f"No data: no {indicator.dimension} is known in this window",
                width=width,
            )
        )
    return found


def _by_team(indicator: Indicator, metrics: IndicatorMetrics, making: Making) -> Panel:
    """The chosen levels of teams, in the order of their names: a board that ranks teams would be gamed."""
    unit, together = _UNITS[indicator.shape], whole(indicator)
    values: dict[str, tuple[str, ...]] = {
        title: (f'stat="{stat}"', together) for stat, title in _COLUMNS[indicator.shape].items()
    } or {"Per day": ()}
    columns = (
        *(Column(title=title, expr=of_level(metrics.value, *where), unit=unit) for title, where in values.items()),
        Column(title="Counted (n)", expr=of_level(metrics.samples, together)),
        Column(title="Used", expr=of_level(metrics.coverage), unit="percentunit"),
        Column(title="Pending", expr=of_level(metrics.pending)),
    )
    return panels.table(
        f"{indicator.title}: by team",
        "Each level pools the units of its services; a unit that reached several of them counts once. "
        f"What belongs to no service stands without a team.\n\n{about(indicator)}",
        columns,
        keys={"team": "Team", "environment": "Environment"},
        no_data=NO_LEVEL,
        sort_by="Team",
        links={"Team": making.explain(indicator, LEVEL_SELECTION)},
    )


def of_level(metric: Metric, *matchers: str) -> str:
    """The series of a metric for the chosen teams and window."""
    return by(metric, "team", "environment", where=matching(LEVELS, WINDOW, *matchers))


def _of_stat(indicator: Indicator, metrics: IndicatorMetrics, name: str, words: str = "") -> Query:
    return Query(expr=of_services(metrics.value, f'stat="{name}"', whole(indicator)), legend=_legend(words))


def whole(indicator: Indicator) -> str:
    """The matcher for all parts of a split indicator together: the label is absent."""
    return f'{indicator.dimension}=""' if indicator.dimension and indicator.shape is not Shape.FREQUENCY else ""


def of_services(metric: Metric, *matchers: str) -> str:
    """The series of a metric for the chosen services and window."""
    return each(metric, matching(SERVICES, WINDOW, *matchers))


def _legend(words: str) -> str:
    return f"{_SUBJECT_LEGEND}: {words}" if words else _SUBJECT_LEGEND
