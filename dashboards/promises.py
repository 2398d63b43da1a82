"""The board of the platform's own promises: what is split by labels, about people, or has an arithmetic of its own.

A row for each indicator follows from its declaration. Panels show published numbers as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dashboards import panels
from dashboards.panels import CHART_HEIGHT, Column, Dashboard, Panel, Query, Row, Unit
from slo_engine import catalog
from slo_engine.catalog import IndicatorMetrics, Metric, metrics_of
from slo_engine.indicator import Indicator, Reach, Shape
from slo_engine.indicator import Unit as Measured
from slo_engine.number_words import leading
from slo_engine.sampling import NOW

UID = "paceline-promises"

# The empty alternatives keep what belongs to no team, or to no service, on the board.
_WHO = 'service=~"$service|",team=~"$team|"'
_LEVEL = 'service="",team=~"$team|"'
_UNITS: dict[Shape, Unit] = {Shape.DURATION: "s", Shape.RATIO: "percentunit", Shape.FREQUENCY: "short"}
_MEASURED: dict[Measured, Unit] = {Measured.SECONDS: "s", Measured.RATIO: "percentunit", Measured.COUNT: "short"}
_STATS: dict[Shape, tuple[str, ...]] = {
    Shape.DURATION: ("p50", "p90", "low", "high"),
    Shape.RATIO: ("value", "low", "high"),
    Shape.FREQUENCY: (),
}
_TITLES = {
    "p50": "Median",
    "p75": "Three of four within",
    "p90": "Nine of ten within",
    "p95": "19 of 20 within",
    "value": "Value",
    "low": "At least (95 %)",
    "high": "At most (95 %)",
}
_NOBODY = "No data: nothing to measure in this window, too few people, or a stale source"

_READING = """\
Every number is given for the chosen **teams**, what is below them pooled, and the rolling **window**. A label such as \
a journey or a queue has a line for each of its values and, where that means something, one for all together, with an \
empty name. Numbers about **few people** are withheld, and with them what would reveal them: *No data* may be that. \
n and the coverage say how far a number can be trusted; nothing is coloured, for nothing here has a target. \
Targets are SLOs: they are on the board of delivery and SLOs.
"""


def promises(indicators: Iterable[Indicator]) -> Dashboard | None:
    """The board for those of these indicators that are not like delivery's; None where there is none.

    Raises ValueError where two indicators have one title.
    """
    declared = tuple(i for i in indicators if not i.like_delivery)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: the platform's own promises",
        "Self-service, support, documentation, onboarding, satisfaction: how the platform serves those who use it.",
        _variables(declared),
        (
            Row(title="Reading this board", panels=(panels.text("How to read this board", _READING), _withheld())),
            *(Row(title=f"{i.title}: $team, {_over(i)}", panels=tuple(_row(i))) for i in declared),
        ),
    )


def _variables(indicators: Sequence[Indicator]) -> list[object]:
    names = "|".join(metrics_of(i).samples.name for i in indicators)
    any_of_them = f'{{__name__=~"{names}"}}'
    rolling = f'{{__name__=~"{names}",window!="{NOW}"}}'
    return [
        panels.datasource_variable(),
        panels.label_variable("team", "Teams", any_of_them, "team", multi=True, everything=True),
        panels.label_variable("service", "Services", any_of_them, "service", multi=True, everything=True),
        panels.label_variable("window", "Window", rolling, "window", numerical=True, default="90d"),
    ]


def _withheld() -> Panel:
    metric = catalog.SUPPRESSED
    return panels.table(
        "How many numbers are withheld",
        f"{metric.help} ({metric.name})",
        (Column(title="Withheld", expr=f"max by (metric) ({metric.name})"),),
        keys={"metric": "Metric"},
        no_data="No data: no number is about people",
    )


def _row(indicator: Indicator) -> list[Panel]:
    """The default panels of an indicator: now, over time, what was left out, and everything in a table."""
    metrics, title, about = metrics_of(indicator), indicator.title, _about(indicator)
    first = Query(expr=_stat(indicator, metrics.value, leading(indicator), _LEVEL), legend=_legend(indicator))
    left = Query(expr=_selected(indicator, metrics.excluded, _LEVEL), legend=_legend(indicator, "reason"))
    shown = [
        panels.stat(title, about, [first], unit=_unit(indicator), no_data=_NOBODY, width=12, height=CHART_HEIGHT),
        panels.timeseries(f"{title}: over time", about, [first], unit=_unit(indicator), no_data=_NOBODY, width=12),
        _table(indicator, metrics),
        panels.timeseries(
            f"{title}: left out, and why",
            f"{metrics.excluded.help}\n\n{about}",
            [left],
            unit="short",
            no_data="No data: nothing was left out, too few people, or a stale source",
            width=12 if metrics.total else panels.GRID_COLUMNS,
        ),
    ]
    if metrics.total:
        split = [label for label in metrics.total.labels if label not in catalog.SUBJECT_LABELS]
        legend = " ".join(f"{{{{{label}}}}}" for label in ("team", "service", *split))
        total = Query(expr=f"{metrics.total.name}{{{_WHO}}}", legend=legend)
        shown.append(
            panels.stat(
                f"{title}: since the beginning",
                f"{metrics.total.help}\n\n{about}",
                [total],
                unit="short",
                no_data="No data: none was ever seen, or too few people",
                width=12,
                height=CHART_HEIGHT,
            )
        )
    return shown


def _table(indicator: Indicator, metrics: IndicatorMetrics) -> Panel:
    """Every team, service and label value, in the order of the teams' names: a board that ranks would be gamed."""
    named = [label for label in indicator.labels if label]
    keys = ["team", "service", "environment", *named]
    stats = _STATS.get(indicator.shape, indicator.stats)
    values = [
        Column(
            title=_TITLES.get(name, name.capitalize()),
            expr=f"max by ({', '.join(keys)}) ({_stat(indicator, metrics.value, name, _WHO)})",
            unit=_unit(indicator),
        )
        for name in stats
    ] or [Column(title="Per day", expr=_by(indicator, metrics.value, keys))]
    return panels.table(
        f"{indicator.title}: by team" + "".join(f" and {label}" for label in named),
        "Each level of teams pools what is below it; an empty name stands for all values together."
        f"\n\n{_about(indicator)}",
        (
            *values,
            Column(title="Counted (n)", expr=_by(indicator, metrics.samples, keys)),
            Column(title="Used", expr=_by(indicator, metrics.coverage, keys), unit="percentunit"),
            Column(title="Pending", expr=_by(indicator, metrics.pending, keys)),
        ),
        keys={key: key.capitalize() for key in keys},
        no_data=_NOBODY,
        sort_by="Team",
    )


def _unit(indicator: Indicator) -> Unit:
    return _MEASURED[indicator.unit] if indicator.shape is Shape.MEASURE else _UNITS[indicator.shape]


def _over(indicator: Indicator) -> str:
    return "now" if indicator.reach is Reach.ALL else "last $window"


def _window(indicator: Indicator) -> str:
    return f'window="{NOW}"' if indicator.reach is Reach.ALL else 'window="$window"'


def _selected(indicator: Indicator, metric: Metric, who: str, *matchers: str) -> str:
    """The series of a metric for the chosen teams and window."""
    return f"{metric.name}{{{','.join([who, _window(indicator), *matchers])}}}"


def _stat(indicator: Indicator, metric: Metric, name: str, who: str) -> str:
    stat = () if indicator.shape is Shape.FREQUENCY else (f'stat="{name}"',)
    return _selected(indicator, metric, who, *stat)


def _by(indicator: Indicator, metric: Metric, keys: Sequence[str]) -> str:
    """A metric with these labels only. Each series is one already; `max` drops the scraper's own labels."""
    return f"max by ({', '.join(keys)}) ({_selected(indicator, metric, _WHO)})"


def _legend(indicator: Indicator, *more: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in ("team", "environment", *filter(None, indicator.labels), *more))


def _about(indicator: Indicator) -> str:
    return f"{indicator.definition}\n\nDefinition: {indicator.name}, version {indicator.version}."
