"""The board of the collectors: whether the data can be trusted, what each source brings, and what it costs."""

from __future__ import annotations

from dashboards import panels
from dashboards.making import (
    WINDOW,
    YES_NO,
    Board,
    Making,
    about,
    age,
    by,
    datasource,
    helps,
    matching,
    team_variable,
    window_variable,
)
from dashboards.panels import (
    GREEN,
    NEUTRAL,
    ORANGE,
    VERMILLION,
    Column,
    Dashboard,
    Link,
    Panel,
    Query,
    Row,
    Unit,
    Words,
)
from dashboards.rows import default_rows
from slo_engine import catalog
from slo_engine.catalog import Metric, metrics_of
from slo_engine.indicator import Indicator

UID = "paceline-collectors"
INDICATORS = ("source_freshness", "source_coverage")
FAILURES: Words = {
    "credentials": ("its credentials are refused", VERMILLION),
    "unavailable": ("its system cannot be reached", ORANGE),
    "contract": ("its answer has an unknown form", VERMILLION),
    "refused": ("its system refuses or is silent", VERMILLION),
    "configuration": ("its settings are wrong", VERMILLION),
    "store": ("nothing could be written", VERMILLION),
    "defect": ("a defect of Paceline", VERMILLION),
}
"""Why a run failed, in words. What passes by itself is orange, what somebody must mend is vermillion."""
_NAMES: Words = {
    "deployment": ("services that deployments name", NEUTRAL),
    "component": ("services that incidents name", NEUTRAL),
    "pipeline": ("pipelines", NEUTRAL),
}
_COMPLETE: Words = {"0": ("complete", GREEN), "1": ("missing", VERMILLION)}

_KEY = {"source": "Source"}
_CHOSEN = 'source=~"$source"'
_NO_SOURCE = "No data: no source was collected yet, or Paceline itself is not scraped"
_NO_REQUESTS = "No data: these sources have no API, or were not collected yet"
_UNSCRAPED = "No data: Paceline itself is not scraped"
_UNSENT = "No data: metrics are sent nowhere, they are scraped"
_STEP = "[$__rate_interval]"


def board(making: Making) -> Dashboard:
    """The board of the sources."""
    declared = making.named(INDICATORS)
    chosen = [team_variable(declared), window_variable(declared, "28d")] if declared else []
    source = panels.label_variable("source", "Source", catalog.SOURCE_FRESH.name, "source", multi=True, everything=True)
    return panels.board(
        UID,
        "Paceline: collectors",
        "Can the data be trusted? How fresh each source is, what it rejected, what its API still allows.",
        [datasource(), source, *chosen],
        (
            Row(title="Can the data be trusted?", panels=(*_tiles(), _sources(making), _fresh_over_time())),
            Row(title="Lag and failures: $source", panels=(*_lag(), _failures_over_time())),
            Row(title="What the sources bring: $source", panels=(_brought(making), *_lost())),
            Row(title="What it costs: $source", panels=(*_costs(), _quotas())),
            Row(title="What is published", panels=_published()),
            Row(title="Where the metrics are sent", panels=_sent()),
            *default_rows(declared, making, folded=True),
        ),
    )


def _tiles() -> tuple[Panel, ...]:
    """A few big numbers: of all sources, whatever is chosen."""
    fresh = by(catalog.SOURCE_FRESH, "source")
    return (
        panels.stat(
            "Fresh sources",
            helps(catalog.SOURCE_FRESH),
            [Query(expr=f"sum({fresh})", legend="fresh"), Query(expr=f"count({fresh})", legend="of all")],
            unit="none",
            no_data=_NO_SOURCE,
            width=6,
        ),
        panels.stat(
            "Age of the numbers shown",
            helps(catalog.SNAPSHOT_TIMESTAMP),
            [Query(expr=age(catalog.SNAPSHOT_TIMESTAMP))],
            unit="s",
            no_data=_UNSCRAPED,
            width=6,
        ),
        panels.stat(
            "Parts of the metrics that are missing",
            helps(catalog.EXPOSITION_FAILED),
            [Query(expr=f"sum({by(catalog.EXPOSITION_FAILED, 'kind')})")],
            unit="none",
            no_data=_UNSCRAPED,
            width=6,
        ),
        panels.stat(
            "Numbers withheld to protect people",
            helps(catalog.SUPPRESSED),
            [Query(expr=f"sum({by(catalog.SUPPRESSED, 'metric')})")],
            unit="none",
            no_data="No data: no indicator is about people",
            width=6,
        ),
    )


def _sources(making: Making) -> Panel:
    """Each source, those first that are stale."""

    def column(title: str, metric: Metric, unit: Unit = "short", words: Words | None = None) -> Column:
        return Column(title=title, expr=by(metric, *_KEY, where=_CHOSEN), unit=unit, words=words or {})

    def ago(title: str, metric: Metric) -> Column:
        return Column(title=title, expr=age(metric, *_KEY, where=_CHOSEN), unit="s")

    return panels.table(
        "Sources, stale ones first",
        helps(
            catalog.SOURCE_FRESH, catalog.COLLECTOR_LAST_SUCCESS, catalog.COLLECTOR_FAILURE, catalog.COLLECTOR_NEWEST
        ),
        (
            Column(
                title="Type",
                expr=by(catalog.SOURCE_INFO, "source", "type", where=_CHOSEN),
                label="type",
            ),
            column("Fresh", catalog.SOURCE_FRESH, words=YES_NO),
            ago("Last success (ago)", catalog.COLLECTOR_LAST_SUCCESS),
            column("Last run succeeded", catalog.COLLECTOR_SUCCESS, words=YES_NO),
            Column(
                title="Why it failed",
                expr=by(catalog.COLLECTOR_FAILURE, "source", "kind", where=_CHOSEN),
                label="kind",
                words=FAILURES,
                absent="none",
            ),
            ago("Newest event (ago)", catalog.COLLECTOR_NEWEST),
            ago("Last run (ago)", catalog.COLLECTOR_LAST_RUN),
            column("Last run took", catalog.COLLECTOR_DURATION, "s"),
        ),
        keys=_KEY,
        no_data=_NO_SOURCE,
        height=12,
        sort_by="Fresh",
        links={"Source": _explained(making, "source_freshness")},
    )


def _explained(making: Making, name: str) -> tuple[Link, ...]:
    """The way to the hours or runs of a row's source."""
    query = 'label=source%3D${__data.fields["Source"]}&window=${window}'
    return tuple(link for indicator in making.named((name,)) for link in making.explain(indicator, query))


def _fresh_over_time() -> Panel:
    return panels.state_timeline(
        "Fresh or stale, over time",
        helps(catalog.SOURCE_FRESH),
        [_each(catalog.SOURCE_FRESH)],
        no_data=_NO_SOURCE,
        width=panels.GRID_COLUMNS,
        words={"1": ("fresh", YES_NO["1"][1]), "0": ("stale", YES_NO["0"][1])},
    )


def _failures_over_time() -> Panel:
    failing = by(catalog.COLLECTOR_FAILURE, "source", "kind", where=_CHOSEN)
    return panels.state_timeline(
        "Failing runs over time, by reason",
        "A source goes stale only when its runs have failed for long.\n\n" + helps(catalog.COLLECTOR_FAILURE),
        [Query(expr=failing, legend="{{source}}: {{kind}}")],
        no_data="No data: no run failed, or Paceline itself is not scraped",
        width=panels.GRID_COLUMNS,
        words={"1": ("failing", VERMILLION)},
    )


def _each(metric: Metric, said: str = "", *, dashed: bool = False) -> Query:
    """A line for each chosen source."""
    legend = f"{{{{source}}}}{said}"
    return Query(expr=by(metric, "source", where=_CHOSEN), legend=legend, dashed=dashed)


def _per_step(metric: Metric) -> Query:
    """How much a counter grew at each step."""
    return Query(expr=f"max by (source) (increase({metric.name}{{{_CHOSEN}}}{_STEP}))", legend="{{source}}")


def _lag() -> tuple[Panel, ...]:
    newest = age(catalog.COLLECTOR_NEWEST, "source", where=_CHOSEN)
    return (
        panels.timeseries(
            "Time since the last success",
            helps(catalog.SOURCE_STALENESS),
            [_each(catalog.SOURCE_STALENESS)],
            unit="s",
            no_data=_NO_SOURCE,
            width=12,
            lowest=0,
        ),
        panels.timeseries(
            "Time since the newest event",
            "A source in which little happens has old events although it is fresh.\n\n"
            + helps(catalog.COLLECTOR_NEWEST),
            [Query(expr=newest, legend="{{source}}")],
            unit="s",
            no_data=_NO_SOURCE,
            width=12,
            lowest=0,
        ),
    )


def _brought(making: Making) -> Panel:
    """What each source brought since the beginning, and how much of what it should have brought it did."""
    totals = {
        "Events": catalog.COLLECTOR_EVENTS,
        "Rejected records": catalog.COLLECTOR_REJECTED,
        "Lists cut off": catalog.COLLECTOR_TRUNCATIONS,
        "Deleted events": catalog.COLLECTOR_REMOVED,
        "Requests": catalog.COLLECTOR_REQUESTS,
    }
    coverage = making.named(("source_coverage",))
    return panels.table(
        "What each source brought since the beginning",
        "\n\n".join([helps(*totals.values()), *(f"Coverage, last $window: {about(i)}" for i in coverage)]),
        (
            *(Column(title=t, expr=by(m, *_KEY, where=_CHOSEN), unit="none") for t, m in totals.items()),
            *(column for indicator in coverage for column in _covered(indicator)),
        ),
        keys=_KEY,
        no_data=_NO_SOURCE,
        height=12,
        sort_by="Source",
        links={"Coverage": _explained(making, "source_coverage")} if coverage else {},
    )


def _covered(indicator: Indicator) -> tuple[Column, ...]:
    """The share of its records that a source's runs could use, and their n."""
    metrics = metrics_of(indicator)
    where = matching('service=""', WINDOW, _CHOSEN)
    return (
        Column(
            title="Coverage", expr=by(metrics.value, *_KEY, where=matching(where, 'stat="value"')), unit="percentunit"
        ),
        Column(title="Counted (n)", expr=by(metrics.samples, *_KEY, where=where), unit="none"),
    )


def _lost() -> tuple[Panel, ...]:
    """What is missing afterwards, when it was lost."""
    shown = {
        "Records rejected": catalog.COLLECTOR_REJECTED,
        "Lists cut off": catalog.COLLECTOR_TRUNCATIONS,
        "Events deleted at the source": catalog.COLLECTOR_REMOVED,
    }
    return tuple(
        panels.timeseries(
            f"{title}, at each step",
            helps(metric),
            [_per_step(metric)],
            unit="short",
            no_data=_NO_SOURCE,
            width=8,
            bars=True,
            stacked=True,
        )
        for title, metric in shown.items()
    )


def _costs() -> tuple[Panel, ...]:
    return (
        panels.timeseries(
            "How long collecting and computing take",
            helps(catalog.COLLECTOR_DURATION, catalog.SNAPSHOT_DURATION),
            [
                _each(catalog.COLLECTOR_DURATION, " is collected"),
                Query(expr=f"max({catalog.SNAPSHOT_DURATION.name})", legend="the numbers are computed"),
            ],
            unit="s",
            no_data=_NO_SOURCE,
            width=12,
            lowest=0,
        ),
        panels.timeseries(
            "Requests, at each step",
            helps(catalog.COLLECTOR_REQUESTS),
            [_per_step(catalog.COLLECTOR_REQUESTS)],
            unit="short",
            no_data=_NO_REQUESTS,
            width=12,
            bars=True,
            stacked=True,
        ),
    )


def _quotas() -> Panel:
    """What is left of the limit of an API, and the limit."""

    def of(metric: Metric) -> str:
        return by(metric, "source", "kind", where=_CHOSEN)

    return panels.timeseries(
        "Requests that an API still allows, and its limit",
        helps(catalog.COLLECTOR_QUOTA, catalog.COLLECTOR_QUOTA_LIMIT),
        [
            Query(expr=of(catalog.COLLECTOR_QUOTA), legend="{{source}} {{kind}}: left"),
            Query(expr=of(catalog.COLLECTOR_QUOTA_LIMIT), legend="{{source}} {{kind}}: limit", dashed=True),
        ],
        unit="short",
        no_data="No data: no system of these sources told a limit",
        width=panels.GRID_COLUMNS,
        lowest=0,
    )


def _counted(title: str, metric: Metric, of: tuple[str, str], no_data: str, words: Words | None = None) -> Panel:
    """A number for each value of a label, where there is any; `of` are the label and what it is called."""
    label, name = of
    expr = f"{by(metric, label)} > 0"
    columns = (
        Column(title=name, expr=expr, label=label, words=words or {}),
        Column(title="Number", expr=expr, unit="none"),
    )
    return panels.table(title, helps(metric), columns, keys={}, no_data=no_data, width=12, sort_by=name)


def _published() -> tuple[Panel, ...]:
    """What is missing in the metrics or changed in them, and by which definitions they were computed."""
    changed = catalog.RESTATEMENTS
    return (
        panels.table(
            "Are all parts of the metrics there?",
            helps(catalog.EXPOSITION_FAILED),
            (Column(title="State", expr=by(catalog.EXPOSITION_FAILED, "kind"), words=_COMPLETE),),
            keys={"kind": "Part"},
            no_data=_UNSCRAPED,
            width=12,
            sort_by="Part",
        ),
        _counted("Series that are cut off", catalog.EXPOSITION_CUT, ("metric", "Metric"), "No data: no series is cut"),
        _counted(
            "Names that the catalogue does not know",
            catalog.UNMATCHED,
            ("kind", "Kind"),
            "No data: every name is known, or there is no catalogue",
            _NAMES,
        ),
        _counted(
            "Numbers withheld to protect people, by metric",
            catalog.SUPPRESSED,
            ("metric", "Metric"),
            "No data: no number is withheld",
        ),
        panels.timeseries(
            "Published units that changed later, at each step",
            helps(changed),
            [Query(expr=f"max by (kind) (increase({changed.name}{_STEP}))", legend="{{kind}}")],
            unit="short",
            no_data="No data: nothing that was published changed",
            width=12,
            bars=True,
            stacked=True,
        ),
        panels.table(
            "Which definitions are in use",
            helps(catalog.INDICATOR_INFO),
            (Column(title="Version", expr=by(catalog.INDICATOR_INFO, "indicator", "version"), label="version"),),
            keys={"indicator": "Indicator"},
            no_data=_UNSCRAPED,
            width=12,
            sort_by="Indicator",
        ),
    )


def _sent() -> tuple[Panel, ...]:
    """Whether receivers take the metrics. Nothing queues: a receiver gets the newest, or fails."""
    key = {"kind": "Way"}
    return (
        panels.table(
            "Do receivers take the metrics?",
            helps(catalog.PUSH_SUCCESS, catalog.PUSH_TIMESTAMP, catalog.PUSH_FAILURES),
            (
                Column(title="Took the last", expr=by(catalog.PUSH_SUCCESS, *key), words=YES_NO),
                Column(title="Took all (ago)", expr=age(catalog.PUSH_TIMESTAMP, *key), unit="s"),
                Column(title="Failures since the start", expr=by(catalog.PUSH_FAILURES, *key), unit="none"),
            ),
            keys=key,
            no_data=_UNSENT,
            width=12,
            sort_by="Way",
        ),
        panels.timeseries(
            "Metrics that were not taken, at each step",
            helps(catalog.PUSH_FAILURES),
            [Query(expr=f"max by (kind) (increase({catalog.PUSH_FAILURES.name}{_STEP}))", legend="{{kind}}")],
            unit="short",
            no_data=_UNSENT,
            width=12,
            bars=True,
            stacked=True,
        ),
    )


BOARD = Board(UID, board, INDICATORS)
