"""The delivery board: SLOs first, then a row for each indicator, then the health of the data behind them.

Everything follows from the declarations of the indicators and from the catalogue: an indicator that somebody
adds gets its row here without a change of this file. Panels show published numbers as they are; the only
calculation is the age of a timestamp.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dashboards import panels
from dashboards.panels import CHART_HEIGHT, Column, Dashboard, Panel, Query, Row, Scale, Unit
from slo_engine import catalog
from slo_engine.catalog import SUBJECT_LABELS, IndicatorMetrics, Metric, metrics_of
from slo_engine.indicator import Indicator, Shape

UID = "paceline-delivery"
BURN_WINDOWS_SHOWN = ("1h", "6h", "3d")
"""The windows of the alert tiers: 2 % of the budget in 1 h, 5 % in 6 h, 10 % in 3 d."""

# The empty alternative keeps subjects without an environment, or without a team, on the board.
_ENVIRONMENT = 'environment=~"$environment|"'
# A level of teams pools services that stand beside it: to show both as one subject would count units twice.
_SUBJECT = f'service=~"$service",service!="",{_ENVIRONMENT}'
_LEVEL = f'service="",team=~"$team|",{_ENVIRONMENT}'
_SUBJECT_LEGEND = " ".join(f"{{{{{label}}}}}" for label in SUBJECT_LABELS)
_COLUMNS: dict[Shape, dict[str, str]] = {
    Shape.DURATION: {"p50": "Median", "p75": "Three of four within", "p90": "Nine of ten within"},
    Shape.RATIO: {"value": "Share", "low": "At least (95 %)", "high": "At most (95 %)"},
    Shape.FREQUENCY: {},
}
"""The columns of a table by team, by statistic; a frequency has one value."""
_VALUE_STATS = {Shape.DURATION: "p50", Shape.RATIO: "value"}
_UNITS: dict[Shape, Unit] = {Shape.DURATION: "s", Shape.RATIO: "percentunit", Shape.FREQUENCY: "short"}
_NO_UNITS = "No data: nothing to measure in this window, or a stale source"
_NO_LEVEL = "No data: no service with a team has something to measure in this window, or a source is stale"

_READING = """\
Every number is given for the chosen **service**, **environment** and rolling **window**; tables *by team* pool the \
units of all services of the chosen **teams** and what is below them, `/` those of everybody. \
*No data* is not zero and not good news: nothing happened in the window, or a source is stale; \
*Data health* tells which. Only what has a target is coloured. \
n, the interval and the coverage say how far a number can be trusted.
"""
_STATUS_WORDS = {
    "healthy": ("healthy", "green"),
    "at_risk": ("at risk", "orange"),
    "exhausted": ("budget exhausted", "red"),
    "insufficient_data": ("insufficient data", "blue"),
}


def delivery(indicators: Iterable[Indicator], burn_windows: Sequence[str] = BURN_WINDOWS_SHOWN) -> Dashboard:
    """The board for those of these indicators that are like delivery's: see `Indicator.like_delivery`.

    `burn_windows` are the windows (labels) whose burn rates are shown. Raises ValueError where two indicators have one
    title.
    """
    declared = tuple(i for i in indicators if i.like_delivery)
    return panels.board(
        UID,
        "Paceline: delivery and SLOs",
        "Does the platform keep its promises? SLOs with error budgets, delivery, and how fresh the data is.",
        _variables(declared),
        (
            Row(title="Promises", panels=_slo_panels(burn_windows)),
            *(_indicator_row(i) for i in declared),
            Row(title="Data health", panels=_health_panels()),
        ),
    )


def _variables(indicators: Sequence[Indicator]) -> list[object]:
    names = "|".join(metrics_of(i).samples.name for i in indicators)
    any_indicator = f'{{__name__=~"{names}"}}'
    of_service = f'{{__name__=~"{names}",service=~"$service"}}'
    of_level = f'{{__name__=~"{names}",service=""}}'
    return [
        panels.datasource_variable(),
        panels.label_variable("service", "Service", any_indicator, "service", multi=True),
        panels.label_variable(
            "environment", "Environment", of_service, "environment", multi=True, default="production"
        ),
        panels.label_variable("team", "Teams", of_level, "team", multi=True, everything=True),
        panels.label_variable("window", "Window", any_indicator, "window", numerical=True, default="28d"),
        panels.label_variable("slo", "SLO", catalog.SLO_OBJECTIVE.name, "slo", multi=True, everything=True),
    ]


def _by(metric: Metric, *labels: str, where: str = "") -> str:
    """A metric with these labels only. Each series is one already; `max` drops the scraper's own labels."""
    selector = f"{metric.name}{{{where}}}" if where else metric.name
    return f"max by ({', '.join(labels)}) ({selector})"


def _slo_panels(burn_windows: Sequence[str]) -> tuple[Panel, ...]:
    chosen = 'slo=~"$slo"'
    no_slo = "No data: no SLO is configured, or its sources are stale"
    shown = "|".join(burn_windows)
    # Green is for the status alone: a full budget after three events is no good news. 0 is exhausted.
    budget = Scale(base="red", steps=((1e-9, "orange"), (0.25, "text")))
    burn = Scale(base="text", steps=((1.0, "orange"),))
    columns = (
        Column(
            title="Status",
            expr=f"{_by(catalog.SLO_STATUS, 'slo', 'status', where=chosen)} == 1",
            label="status",
            words=_STATUS_WORDS,
        ),
        Column(title="Target", expr=_by(catalog.SLO_OBJECTIVE, "slo", where=chosen), unit="percentunit"),
        Column(title="Attainment", expr=_by(catalog.SLO_ATTAINMENT, "slo", where=chosen), unit="percentunit"),
        Column(title="Over", expr=_by(catalog.SLO_PERIOD, "slo", where=chosen), unit="dtdurations"),
        Column(
            title="Budget left",
            expr=_by(catalog.SLO_BUDGET_RATIO, "slo", where=chosen),
            unit="percentunit",
            scale=budget,
        ),
        Column(title="Bad events left", expr=_by(catalog.SLO_BUDGET_EVENTS, "slo", where=chosen)),
        *(
            Column(
                title=f"Burn rate {window}",
                expr=_by(catalog.SLO_BURN_RATE, "slo", where=f'{chosen},window="{window}"'),
                scale=burn,
            )
            for window in burn_windows
        ),
        Column(title="Window covered", expr=_by(catalog.SLO_COVERAGE, "slo", where=chosen), unit="percentunit"),
    )
    return (
        panels.text("How to read this board", _READING),
        panels.table(
            "Are the promises kept? Least budget first",
            _helps(catalog.SLO_STATUS, catalog.SLO_ATTAINMENT, catalog.SLO_BUDGET_RATIO, catalog.SLO_BURN_RATE),
            columns,
            keys={"slo": "SLO"},
            no_data=no_slo,
            sort_by="Budget left",
        ),
        panels.timeseries(
            "Error budget left",
            _helps(catalog.SLO_BUDGET_RATIO),
            [Query(expr=f"{catalog.SLO_BUDGET_RATIO.name}{{{chosen}}}", legend="{{slo}}")],
            unit="percentunit",
            no_data=no_slo,
            width=12,
        ),
        panels.timeseries(
            "How fast the budget burns",
            _helps(catalog.SLO_BURN_RATE),
            [
                Query(
                    expr=f'{catalog.SLO_BURN_RATE.name}{{{chosen},window=~"{shown}"}}',
                    legend="{{slo}} over {{window}}",
                )
            ],
            unit="short",
            no_data=no_slo,
            width=12,
            limit=1.0,
        ),
    )


def _indicator_row(indicator: Indicator) -> Row:
    """The default panels of an indicator's shape."""
    of_shape = {
        Shape.DURATION: _duration_panels,
        Shape.RATIO: _ratio_panels,
        Shape.FREQUENCY: _frequency_panels,
    }
    metrics = metrics_of(indicator)
    shown = [*of_shape[indicator.shape](indicator, metrics), _by_team(indicator, metrics)]
    return Row(title=f"{indicator.title}: $service, $environment, last $window", panels=tuple(shown))


def _duration_panels(indicator: Indicator, metrics: IndicatorMetrics) -> list[Panel]:
    title, about = indicator.title, _about(indicator)
    headlines = (("p50", "median"), ("p75", "three of four within"), ("p90", "nine of ten within"))
    return [
        *(
            panels.stat(
                f"{title}: {words}",
                f"{about}\n\nThis is the {name} of the window.",
                [_of_stat(indicator, metrics, name)],
                unit="s",
                no_data=_NO_UNITS,
                width=6,
            )
            for name, words in headlines
        ),
        _interval(indicator, metrics, "median", width=6),
        _basis(indicator, metrics),
        *_over_time(indicator, metrics, tuple(name for name, _ in headlines)),
    ]


def _ratio_panels(indicator: Indicator, metrics: IndicatorMetrics) -> list[Panel]:
    return [
        panels.stat(
            f"{indicator.title}: share of {indicator.share_of} ones",
            _about(indicator),
            [_of_stat(indicator, metrics, "value")],
            unit="percentunit",
            no_data=_NO_UNITS,
            width=12,
        ),
        _interval(indicator, metrics, "share", width=12),
        _basis(indicator, metrics),
        *_over_time(indicator, metrics, ("value", "low", "high")),
    ]


def _frequency_panels(indicator: Indicator, metrics: IndicatorMetrics) -> list[Panel]:
    title, about = indicator.title, _about(indicator)
    per_day = Query(expr=_selected(metrics.value), legend=_SUBJECT_LEGEND)
    found = [panels.stat(f"{title} per day", about, [per_day], unit="short", no_data=_NO_UNITS, width=6)]
    if metrics.total:
        split = f" by {indicator.dimension}" if indicator.dimension else ""
        total = Query(
            expr=f"{metrics.total.name}{{{_SUBJECT}}}",
            legend=_legend(f"{{{{{indicator.dimension}}}}}" if split else ""),
        )
        found.append(
            panels.stat(
                f"{title} since the beginning{split}",
                f"{metrics.total.help}\n\n{about}",
                [total],
                unit="short",
                no_data="No data: none was ever seen",
                width=18,
            )
        )
    over_time = panels.timeseries(
        f"{title} per day over time", about, [per_day], unit="short", no_data=_NO_UNITS, width=18
    )
    return [*found, _basis(indicator, metrics), over_time]


def _interval(indicator: Indicator, metrics: IndicatorMetrics, of: str, width: int) -> Panel:
    bounds = [_of_stat(indicator, metrics, name, words) for name, words in (("low", "from"), ("high", "to"))]
    return panels.stat(
        f"{indicator.title}: the {of} lies between",
        f"95 % interval of the {of}. Two periods whose intervals overlap cannot be told apart.\n\n{_about(indicator)}",
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
        f"\n\n{_about(indicator)}",
        [
            Query(expr=_selected(metrics.samples, _whole(indicator)), legend=_legend("counted (n)")),
            Query(expr=_selected(metrics.coverage), legend=_legend("used"), unit="percentunit"),
            Query(expr=_selected(metrics.pending), legend=_legend("pending")),
            Query(expr=_selected(metrics.excluded), legend=_legend("left out: {{reason}}")),
        ],
        unit="short",
        no_data=_NO_UNITS,
        width=6,
        height=CHART_HEIGHT,
    )


def _over_time(indicator: Indicator, metrics: IndicatorMetrics, stats: Sequence[str]) -> list[Panel]:
    """The statistics over time and, where the indicator is split, its parts."""
    title, about, unit = indicator.title, _about(indicator), _UNITS[indicator.shape]
    whole = _selected(metrics.value, f'stat=~"{"|".join(stats)}"', _whole(indicator))
    queries = [Query(expr=whole, legend=_legend("{{stat}}"))]
    width = 9 if indicator.dimension else 18
    found = [panels.timeseries(f"{title} over time", about, queries, unit=unit, no_data=_NO_UNITS, width=width)]
    if indicator.dimension:
        stat = _VALUE_STATS[indicator.shape]
        expr = _selected(metrics.value, f'stat="{stat}"', f'{indicator.dimension}!=""')
        parts = [Query(expr=expr, legend=_legend(f"{{{{{indicator.dimension}}}}}"))]
        words = "median by" if indicator.shape is Shape.DURATION else "by"
        found.append(
            panels.timeseries(
                f"{title}: {words} {indicator.dimension}",
                f"Each {indicator.dimension} on its own; the parts need not add up to the whole.\n\n{about}",
                parts,
                unit=unit,
                no_data=f"No data: no {indicator.dimension} is known in this window",
                width=width,
            )
        )
    return found


def _by_team(indicator: Indicator, metrics: IndicatorMetrics) -> Panel:
    """The chosen levels of teams, in the order of their names: a board that ranks teams would be gamed."""
    unit, whole = _UNITS[indicator.shape], _whole(indicator)
    values: dict[str, tuple[str, ...]] = {
        title: (f'stat="{stat}"', whole) for stat, title in _COLUMNS[indicator.shape].items()
    } or {"Per day": ()}
    columns = (
        *(Column(title=title, expr=_of_level(metrics.value, *where), unit=unit) for title, where in values.items()),
        Column(title="Counted (n)", expr=_of_level(metrics.samples, whole)),
        Column(title="Used", expr=_of_level(metrics.coverage), unit="percentunit"),
        Column(title="Pending", expr=_of_level(metrics.pending)),
    )
    return panels.table(
        f"{indicator.title}: by team",
        "Each level pools the units of its services; a unit that reached several of them counts once. "
        f"What belongs to no service stands without a team.\n\n{_about(indicator)}",
        columns,
        keys={"team": "Team", "environment": "Environment"},
        no_data=_NO_LEVEL,
        sort_by="Team",
    )


def _of_level(metric: Metric, *matchers: str) -> str:
    """The series of a metric for the chosen teams and window."""
    return _by(metric, "team", "environment", where=_matching(_LEVEL, *matchers))


def _of_stat(indicator: Indicator, metrics: IndicatorMetrics, name: str, words: str = "") -> Query:
    return Query(expr=_selected(metrics.value, f'stat="{name}"', _whole(indicator)), legend=_legend(words))


def _whole(indicator: Indicator) -> str:
    """The matcher for all parts of a split indicator together: the label is absent."""
    return f'{indicator.dimension}=""' if indicator.dimension and indicator.shape is not Shape.FREQUENCY else ""


def _selected(metric: Metric, *matchers: str) -> str:
    """The series of a metric for the chosen services and window."""
    return f"{metric.name}{{{_matching(_SUBJECT, *matchers)}}}"


def _matching(subject: str, *matchers: str) -> str:
    return ",".join([subject, 'window="$window"', *filter(None, matchers)])


def _legend(words: str) -> str:
    return f"{_SUBJECT_LEGEND}: {words}" if words else _SUBJECT_LEGEND


def _about(indicator: Indicator) -> str:
    return f"{indicator.definition}\n\nDefinition: {indicator.name}, version {indicator.version}."


def _helps(*metrics: Metric) -> str:
    return "\n\n".join(f"{m.help} ({m.name})" for m in metrics)


def _age(metric: Metric, *labels: str) -> str:
    return f"time() - {_by(metric, *labels)}" if labels else f"time() - {metric.name}"


def _health_panels() -> tuple[Panel, ...]:
    nothing = "No data: no source was collected yet, or Paceline itself is not scraped"
    yes_no = {"1": ("yes", "green"), "0": ("no", "red")}
    key = "source"
    columns = (
        Column(title="Fresh", expr=_by(catalog.SOURCE_FRESH, key), words=yes_no),
        Column(title="Staleness", expr=_by(catalog.SOURCE_STALENESS, key), unit="s"),
        Column(title="Last success (ago)", expr=_age(catalog.COLLECTOR_LAST_SUCCESS, key), unit="s"),
        Column(title="Last run (ago)", expr=_age(catalog.COLLECTOR_LAST_RUN, key), unit="s"),
        Column(title="Last run succeeded", expr=_by(catalog.COLLECTOR_SUCCESS, key), words=yes_no),
        Column(title="Last run took", expr=_by(catalog.COLLECTOR_DURATION, key), unit="s"),
        Column(title="Newest event (ago)", expr=_age(catalog.COLLECTOR_NEWEST, key), unit="s"),
        Column(title="Events", expr=_by(catalog.COLLECTOR_EVENTS, key)),
        Column(title="Rejected records", expr=_by(catalog.COLLECTOR_REJECTED, key)),
    )
    return (
        panels.table(
            "Can the data be trusted? Stale sources first",
            _helps(
                catalog.SOURCE_FRESH,
                catalog.SOURCE_STALENESS,
                catalog.COLLECTOR_EVENTS,
                catalog.COLLECTOR_REJECTED,
            ),
            columns,
            keys={key: "Source"},
            no_data=nothing,
            sort_by="Fresh",
        ),
        panels.stat(
            "Age of the numbers shown",
            _helps(catalog.SNAPSHOT_TIMESTAMP),
            [Query(expr=_age(catalog.SNAPSHOT_TIMESTAMP))],
            unit="s",
            no_data=nothing,
            width=6,
            height=CHART_HEIGHT,
        ),
        panels.timeseries(
            "How stale each source is",
            _helps(catalog.SOURCE_STALENESS),
            [Query(expr=catalog.SOURCE_STALENESS.name, legend="{{source}}")],
            unit="s",
            no_data=nothing,
            width=9,
        ),
        panels.timeseries(
            "How long collecting and computing take",
            _helps(catalog.COLLECTOR_DURATION, catalog.SNAPSHOT_DURATION),
            [
                Query(expr=catalog.COLLECTOR_DURATION.name, legend="collecting {{source}}"),
                Query(expr=catalog.SNAPSHOT_DURATION.name, legend="computing the numbers"),
            ],
            unit="s",
            no_data=nothing,
            width=9,
        ),
        panels.table(
            "Which definitions are in use",
            _helps(catalog.INDICATOR_INFO),
            (Column(title="Version", expr=_by(catalog.INDICATOR_INFO, "indicator", "version"), label="version"),),
            keys={"indicator": "Indicator"},
            no_data=nothing,
        ),
    )
