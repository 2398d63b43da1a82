"""The board of delivery: the five metrics of DORA for services and levels of teams, and pipelines.

The first rows answer at a glance; what each number rests on is in the folded row of its indicator.
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboards import panels, reliability
from dashboards.annotations import deployments, incidents
from dashboards.making import (
    NO_LEVEL,
    NO_UNITS,
    SERVICES,
    WINDOW,
    Board,
    Making,
    about,
    board_link,
    by,
    datasource,
    environment_variable,
    helps,
    matching,
    service_variable,
    team_variable,
    window_variable,
)
from dashboards.panels import NEUTRAL, Column, Dashboard, Link, Panel, Query, Row, Unit, Words
from dashboards.rows import default_rows
from dashboards.service_rows import LEVEL_SELECTION, SELECTION, of_level, of_services, whole
from slo_engine import catalog
from slo_engine.catalog import metrics_of
from slo_engine.indicator import Indicator, Shape

UID = "paceline-delivery"
FIVE = (
    "change_lead_time",
    "deployment_frequency",
    "change_fail_rate",
    "failed_deployment_recovery_time",
    "deployment_rework_rate",
)
"""DORA's five, in the order in which they are read. They are those that have a Quick Check score."""
INDICATORS = (
    "change_lead_time",
    "change_delivery_time",
    "deployment_frequency",
    "deploy_cadence",
    "change_fail_rate",
    "failed_deployment_recovery_time",
    "deployment_rework_rate",
    "pipeline_wait",
    "pipeline_success",
)

_WHO = "{{service}} {{environment}}"
_LEADING: dict[Shape, tuple[str, str, Unit]] = {
    Shape.DURATION: ("median", "p50", "s"),
    Shape.RATIO: ("share", "value", "percentunit"),
    Shape.FREQUENCY: ("per day", "", "short"),
}
"""How the first number of an indicator is called, its statistic, and its unit."""
_MEANS = {"throughput": "Throughput", "stability": "Stability", "overall": "Overall"}
_SCORES_HEIGHT = 10
"""All scores of a service are seen without scrolling."""
_NO_SCORE = "No data: 7 days are too short for a score; else none of its metrics has a value, or a source is stale"


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: delivery",
        "How fast and how safely changes reach production: the five metrics of DORA, and pipelines.",
        [
            datasource(),
            team_variable(declared),
            service_variable(declared),
            environment_variable(declared),
            window_variable(declared, "28d"),
        ],
        (*_rows(making), *default_rows(declared, making, folded=True)),
        annotations=(*deployments(making), *incidents(making)),
        since="now-28d",
    )


def _rows(making: Making) -> tuple[Row, ...]:
    """What is seen at first, of those of the five that are declared."""
    five = making.named(FIVE)
    if not five:
        return ()
    lead_times = making.named(("change_lead_time",))
    return (
        Row(
            title="At a glance: $service, $environment, last $window",
            panels=(*(_tile(indicator, making) for indicator in five), _score_tile()),
        ),
        Row(title="Levels of teams: $team, $environment, last $window", panels=(_levels(five, making),)),
        *(
            Row(title="Where lead time goes, last $window", panels=(_stages(i), _stages_by_team(i, making)))
            for i in lead_times
        ),
        Row(title="Quick Check: from 0 to 10, last $window", panels=(_scores(five), _scores_over_time())),
    )


def _tile(indicator: Indicator, making: Making) -> Panel:
    """The first number of an indicator, and the n that it rests on."""
    metrics = metrics_of(indicator)
    said, _, unit = _LEADING[indicator.shape]
    return panels.stat(
        f"{indicator.title}, {said}",
        f"{about(indicator)}\n\nn: {metrics.samples.help}",
        [
            Query(expr=of_services(metrics.value, *_leading(indicator)), legend=_WHO),
            Query(expr=of_services(metrics.samples, whole(indicator)), legend=f"{_WHO}: n", unit="none"),
        ],
        unit=unit,
        no_data=NO_UNITS,
        width=8,
        links=(*making.explain(indicator, SELECTION), *_next(making)),
    )


def _next(making: Making) -> tuple[Link, ...]:
    """Where one looks when deployments of a service go wrong: at its team's incidents, for few services are probed."""
    chosen = "var-team=${__field.labels.team}&var-environment=${__field.labels.environment}"
    shown = making.named(reliability.INDICATORS)
    return (board_link(reliability.UID, "Uptime and incidents", chosen),) if shown else ()


def _leading(indicator: Indicator) -> tuple[str, ...]:
    """The matchers of an indicator's first number, of the whole and not of its parts."""
    _, stat, _ = _LEADING[indicator.shape]
    return (f'stat="{stat}"' if stat else "", whole(indicator))


def _levels(five: Sequence[Indicator], making: Making) -> Panel:
    """In the order of the teams' names: a board that ranks teams would be gamed."""
    values = [
        Column(
            title=f"{i.title}, {_LEADING[i.shape][0]}",
            expr=of_level(metrics_of(i).value, *_leading(i)),
            unit=_LEADING[i.shape][2],
        )
        for i in five
    ]
    counted = {
        "change_lead_time": "Changes (n)",
        "deployment_frequency": "Deployments (n)",
        "failed_deployment_recovery_time": "Recovered (n)",
    }
    counts = [
        Column(title=counted[i.name], expr=of_level(metrics_of(i).samples, whole(i)), unit="none")
        for i in five
        if i.name in counted
    ]
    return panels.table(
        "The five metrics by team",
        "Each level of teams pools the units of its services. Quantiles, intervals and coverage are in the row of each "
        "metric below.\n\n" + "\n\n".join(map(about, five)),
        (*values, *counts),
        keys={"team": "Team", "environment": "Environment"},
        no_data=NO_LEVEL,
        sort_by="Team",
        links={c.title: making.explain(i, LEVEL_SELECTION) for c, i in zip(values, five, strict=True)},
    )


def _stages(indicator: Indicator) -> Panel:
    """The stages beside each other, in the order in which a change passes them."""
    value = metrics_of(indicator).value
    return panels.bars(
        f"{indicator.title}: where it goes",
        f"The median of each stage. Medians do not add up to the median of the whole.\n\n{about(indicator)}",
        [
            Query(expr=of_services(value, 'stat="p50"', f'stage="{stage}"'), legend=f"{stage}: {_WHO}")
            for stage in indicator.dimensions
        ],
        unit="s",
        no_data="No data: no stage of a change is known in this window, or a source is stale",
        width=12,
    )


def _stages_by_team(indicator: Indicator, making: Making) -> Panel:
    value = metrics_of(indicator).value
    stages = {stage.capitalize(): stage for stage in indicator.dimensions}
    return panels.table(
        f"{indicator.title}: stages by team",
        f"The median of each stage. Medians do not add up to the median of the whole.\n\n{about(indicator)}",
        [
            Column(title=title, expr=of_level(value, 'stat="p50"', f'stage="{stage}"'), unit="s")
            for title, stage in stages.items()
        ],
        keys={"team": "Team", "environment": "Environment"},
        no_data=NO_LEVEL,
        width=12,
        sort_by="Team",
        links={
            title: making.explain(indicator, f"{LEVEL_SELECTION}&dimension={stage}") for title, stage in stages.items()
        },
    )


def _score_tile() -> Panel:
    overall = 'kind="overall"'
    return panels.stat(
        "Quick Check, overall",
        helps(catalog.QUICK_CHECK_SCORE, catalog.QUICK_CHECK_INDUSTRY),
        [
            Query(expr=of_services(catalog.QUICK_CHECK_SCORE, overall), legend=_WHO),
            Query(expr=by(catalog.QUICK_CHECK_INDUSTRY, "kind", where=overall), legend="industry's mean"),
        ],
        unit="short",
        no_data=_NO_SCORE,
        width=8,
    )


def _scores(five: Sequence[Indicator]) -> Panel:
    """Each score of the chosen services, with the industry's mean beside it."""
    key = ("service", "environment", "kind")
    words: Words = {i.name: (i.title, NEUTRAL) for i in five} | {k: (w, NEUTRAL) for k, w in _MEANS.items()}
    scores = by(catalog.QUICK_CHECK_SCORE, *key, where=matching(SERVICES, WINDOW))
    # `group` is 1 for each score: the product is the industry's mean, once for each service.
    industry = (
        f"group by ({', '.join(key)}) ({catalog.QUICK_CHECK_SCORE.name}{{{matching(SERVICES, WINDOW)}}})"
        f" * on (kind) group_left () {by(catalog.QUICK_CHECK_INDUSTRY, 'kind')}"
    )
    return panels.table(
        "Quick Check scores beside the industry's means",
        helps(catalog.QUICK_CHECK_SCORE, catalog.QUICK_CHECK_INDUSTRY),
        (
            Column(title="Metric", expr=scores, label="kind", words=words),
            Column(title="Score", expr=scores),
            Column(title="Industry's mean", expr=industry, absent="none published"),
        ),
        keys={"service": "Service", "environment": "Environment"},
        no_data=_NO_SCORE,
        width=12,
        height=_SCORES_HEIGHT,
        sort_by="Service",
    )


def _scores_over_time() -> Panel:
    kinds = f'kind=~"{"|".join(_MEANS)}"'
    return panels.timeseries(
        "Quick Check over time",
        helps(catalog.QUICK_CHECK_SCORE, catalog.QUICK_CHECK_INDUSTRY),
        [
            Query(expr=of_services(catalog.QUICK_CHECK_SCORE, kinds), legend=f"{_WHO}: {{{{kind}}}}"),
            Query(
                expr=by(catalog.QUICK_CHECK_INDUSTRY, "kind", where=kinds),
                legend="industry's mean: {{kind}}",
                dashed=True,
            ),
        ],
        unit="short",
        no_data=_NO_SCORE,
        width=12,
        height=_SCORES_HEIGHT,
        lowest=0,
        highest=10,
    )


BOARD = Board(UID, board, INDICATORS)
