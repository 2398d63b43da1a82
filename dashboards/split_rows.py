"""The default panels of an indicator that is split by labels, about people, or has an arithmetic of its own.

They follow from its declaration: an indicator that somebody adds gets them without a change of any board. Panels show
published numbers as they are.
"""

from __future__ import annotations

from dashboards import panels
from dashboards.cuts import LEVEL, TEAMS, unit_of, window_of
from dashboards.making import NOBODY, Making, about, by, each, matching
from dashboards.panels import CHART_HEIGHT, Column, Panel, Query, Row
from slo_engine import catalog
from slo_engine.catalog import IndicatorMetrics, metrics_of
from slo_engine.indicator import Indicator, Reach, Shape
from slo_engine.number_words import leading

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


def split_row(indicator: Indicator, making: Making) -> Row:
    """The default panels of an indicator: now, over time, what was left out, and everything in a table.

    They ask for `$team` and `$window`.
    """
    return Row(title=f"{indicator.title}: $team, {_over(indicator)}", panels=tuple(_panels(indicator, making)))


def _panels(indicator: Indicator, making: Making) -> list[Panel]:
    metrics, title, words = metrics_of(indicator), indicator.title, about(indicator)
    links = making.explain(indicator, _selection(indicator))
    first = Query(expr=each(metrics.value, _where(indicator, LEVEL, leading(indicator))), legend=_legend(indicator))
    left = Query(expr=each(metrics.excluded, _where(indicator, LEVEL)), legend=_legend(indicator, "reason"))
    shown = [
        panels.stat(
            title,
            words,
            [first],
            unit=unit_of(indicator),
            no_data=NOBODY,
            width=12,
            height=CHART_HEIGHT,
            links=links,
        ),
        panels.timeseries(f"{title}: over time", words, [first], unit=unit_of(indicator), no_data=NOBODY, width=12),
        _table(indicator, metrics),
        panels.timeseries(
            f"{title}: left out, and why",
            f"{metrics.excluded.help}\n\n{words}",
            [left],
            unit="short",
            no_data="No data: nothing was left out, too few people, or a stale source",
            width=12 if metrics.total else panels.GRID_COLUMNS,
        ),
    ]
    if metrics.total:
        split = [label for label in metrics.total.labels if label not in catalog.SUBJECT_LABELS]
        legend = " ".join(f"{{{{{label}}}}}" for label in ("team", "service", *split))
        total = Query(expr=each(metrics.total, TEAMS), legend=legend)
        shown.append(
            panels.stat(
                f"{title}: since the beginning",
                f"{metrics.total.help}\n\n{words}",
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
            expr=by(metrics.value, *keys, where=_where(indicator, TEAMS, name)),
            unit=unit_of(indicator),
        )
        for name in stats
    ] or [Column(title="Per day", expr=by(metrics.value, *keys, where=_where(indicator, TEAMS)))]
    return panels.table(
        f"{indicator.title}: by team" + "".join(f" and {label}" for label in named),
        "Each level of teams pools what is below it; an empty name stands for all values together."
        f"\n\n{about(indicator)}",
        (
            *values,
            Column(title="Counted (n)", expr=by(metrics.samples, *keys, where=_where(indicator, TEAMS))),
            Column(title="Used", expr=by(metrics.coverage, *keys, where=_where(indicator, TEAMS)), unit="percentunit"),
            Column(title="Pending", expr=by(metrics.pending, *keys, where=_where(indicator, TEAMS))),
        ),
        keys={key: key.capitalize() for key in keys},
        no_data=NOBODY,
        sort_by="Team",
    )


def _over(indicator: Indicator) -> str:
    return "now" if indicator.reach is Reach.ALL else "last $window"


def _where(indicator: Indicator, who: str, stat: str = "") -> str:
    """The matchers of the chosen teams and window, and of a statistic."""
    named = f'stat="{stat}"' if stat and indicator.shape is not Shape.FREQUENCY else ""
    return matching(who, window_of(indicator), named)


def _legend(indicator: Indicator, *more: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in ("team", "environment", *filter(None, indicator.labels), *more))


def _selection(indicator: Indicator) -> str:
    """What the explaining page is asked for: whose number, in which window.

    No label is passed on: a number of all its values together has none, and the page takes no empty one.
    """
    window = "" if indicator.reach is Reach.ALL else "&window=${window}"
    return f"team=${{__field.labels.team}}{window}"
