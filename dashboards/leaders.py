"""The board for leaders: the week at a glance, for people who do not read PromQL. Nothing to choose but the team."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dashboards import (
    adoption,
    collectors,
    delivery,
    onboarding,
    panels,
    reliability,
    self_service,
    slo,
    slo_queries,
    support,
)
from dashboards.making import (
    OVERVIEW_UID,
    STATUS_WORDS,
    Board,
    Making,
    about,
    age,
    any_of,
    board_link,
    by,
    datasource,
    helps,
    matching,
)
from dashboards.panels import (
    CHART_HEIGHT,
    NEUTRAL,
    ORANGE,
    VERMILLION,
    Column,
    Dashboard,
    Link,
    Panel,
    Query,
    Row,
    Scale,
    Unit,
)
from slo_engine import catalog
from slo_engine.catalog import metrics_of
from slo_engine.indicator import Indicator, Shape
from slo_engine.indicator import Unit as Measured
from slo_engine.number_words import leading
from slo_engine.slo import SloStatus

UID = "paceline-leaders"

_TOO_FEW = "No data: too few to say, or a source is stale"
_LEVEL = 'service="",team="$team",environment=~"$environment|"'
_WORST = 3
_QUICK_CHECK_WINDOW = "28d"
_UNITS: Mapping[Shape | Measured, Unit] = {
    Shape.DURATION: "s",
    Shape.RATIO: "percentunit",
    Shape.FREQUENCY: "short",
    Measured.SECONDS: "s",
    Measured.RATIO: "percentunit",
    Measured.COUNT: "short",
}
_VALUES = {Shape.DURATION: "median", Shape.RATIO: "share", Shape.FREQUENCY: "per day", Shape.MEASURE: "value"}
_BOARDS = (delivery.BOARD, onboarding.BOARD, self_service.BOARD, support.BOARD, adoption.BOARD)


@dataclass(frozen=True)
class _Shown:
    """An indicator that is shown, over which window, and of which values of its labels."""

    indicator: str
    window: str = "7d"
    labels: Mapping[str, str] = field(default_factory=dict)


_DELIVERY = (
    _Shown("change_lead_time"),
    _Shown("deployment_frequency"),
    _Shown("change_fail_rate"),
    _Shown("failed_deployment_recovery_time"),
    _Shown("deployment_rework_rate"),
)
# Of people there are few in a week.
_PEOPLE = (
    _Shown("onboarding_success", "90d", {"stage": "first_deployed_change"}),
    _Shown("self_service_success"),
    _Shown("support_first_response"),
    _Shown("survey_nps", "90d"),
)


def board(making: Making) -> Dashboard:
    """The board of the week."""
    rows = [Row(title="Does the platform keep its promises?", panels=(*_verdict(), _worst()))]
    shown = making.named(one.indicator for one in (*_DELIVERY, *_PEOPLE))
    if delivered := tuple(_numbers(_DELIVERY, making, 8)):
        rows.append(Row(title="Delivery: $team, $environment", panels=(*delivered, _quick_check())))
    if people := tuple(_numbers(_PEOPLE, making, 12)):
        rows.append(Row(title="People: $team", panels=people))
    rows.append(Row(title="Can that be trusted?", panels=(*_uptime(making), *_data_health())))
    return panels.board(
        UID,
        "Paceline: the week for leaders",
        "The last week at a glance: promises, delivery, people, and how far to trust that.",
        [datasource(), *(_variables(shown) if shown else ())],
        rows,
    )


def _variables(shown: tuple[Indicator, ...]) -> tuple[object, ...]:
    """One level of teams, `/` for everybody, and one environment."""
    levels = any_of(shown, 'service=""')
    return (
        panels.label_variable("team", "Team", levels, "team", default="/"),
        panels.label_variable("environment", "Environment", levels, "environment", default="production"),
    )


# ---- promises


def _verdict() -> Iterator[Panel]:
    """How many promises are kept, of how many."""
    kept = slo_queries.with_status(SloStatus.HEALTHY, SloStatus.AT_RISK)
    told = (
        ("Promises kept", kept, "Budget is left: at most so many events were bad as the target allows.", None),
        (
            "Promises broken",
            slo_queries.with_status(SloStatus.EXHAUSTED),
            "The error budget is used up: more events were bad than the target allows.",
            Scale(base=NEUTRAL, steps=((1.0, VERMILLION),)),
        ),
        (
            "Too little data to say",
            slo_queries.with_status(SloStatus.INSUFFICIENT_DATA, slo_queries.UNKNOWN),
            "Neither kept nor broken: too few events of the target's window were seen, or a source is stale.",
            None,
        ),
        ("Promises in all", f"count({slo_queries.info()})", "Service level objectives, each with a target.", None),
    )
    for title, expr, words, scale in told:
        yield panels.stat(
            title,
            f"{words}\n\n{helps(catalog.SLO_STATUS)}",
            [Query(expr=expr)],
            unit="none",
            no_data="No data: no promise is configured, or Paceline itself is not scraped",
            width=6,
            scale=scale,
            links=(board_link(OVERVIEW_UID, "All promises"),),
        )


def _worst() -> Panel:
    """The promises with the least budget."""
    columns = {
        "Target": (by(catalog.SLO_OBJECTIVE, "slo"), panels.NINES),
        "Attained": (slo_queries.attained(), panels.NINES),
        "Budget left": (slo_queries.left(), None),
        "Window covered": (slo_queries.covered(), None),
    }
    return panels.table(
        f"The {_WORST} promises with the least error budget left",
        helps(catalog.SLO_STATUS, catalog.SLO_OBJECTIVE, catalog.SLO_ATTAINMENT, catalog.SLO_BUDGET_RATIO),
        (
            Column(title="Team", expr=_of_worst(slo_queries.info("", "team")), label="team"),
            Column(title="Status", expr=_of_worst(slo_queries.statuses()), label="status", words=STATUS_WORDS),
            *(
                Column(title=title, expr=_of_worst(expr), unit="percentunit", decimals=decimals)
                for title, (expr, decimals) in columns.items()
            ),
        ),
        keys={"slo": "Promise"},
        no_data="No data: no promise has an event yet, or its sources are stale",
        height=6,
        sort_by="Budget left",
        links={"Promise": (slo.link_from("Promise"),)},
    )


def _of_worst(expr: str) -> str:
    return f"({expr}) and on (slo) bottomk({_WORST}, {slo_queries.left()})"


# ---- numbers of indicators


def _numbers(shown: tuple[_Shown, ...], making: Making, width: int) -> Iterator[Panel]:
    """A number of the week for each indicator that is declared, with its interval and n."""
    for one in shown:
        for indicator in making.named((one.indicator,)):
            yield _number(one, indicator, making, width)


def _number(one: _Shown, indicator: Indicator, making: Making, width: int) -> Panel:
    metrics, shape = metrics_of(indicator), indicator.shape
    # A label whose values are never taken together tells series apart; of any other all values together are shown.
    per = tuple(label for label in indicator.apart if label not in one.labels)
    whole = (f'{label}="{one.labels.get(label, "")}"' for label in catalog.split_by(indicator) if label not in per)
    where = matching(_LEVEL, f'window="{one.window}"', *whole)
    named = "".join(f" {{{{{label}}}}}" for label in per)
    words = {leading(indicator): _VALUES[shape], "low": "at least", "high": "at most"}
    stats = (
        {f'stat="{stat}"': said for stat, said in words.items()} if shape is not Shape.FREQUENCY else {"": "per day"}
    )
    values = [
        Query(
            expr=by(metrics.value, "environment", *per, where=matching(where, stat)),
            legend=said + named,
            decimals=panels.HUNDREDTHS if shape is Shape.MEASURE else None,
        )
        for stat, said in stats.items()
    ]
    counted = by(metrics.samples, "environment", *per, where=where)
    return panels.stat(
        f"{indicator.title}, last {one.window}",
        f"{about(indicator)}\n\nBeside it its 95 % interval, and how many {indicator.noun} it rests on.",
        [*values, Query(expr=counted, legend=indicator.noun + named, unit="none")],
        unit=_UNITS[indicator.unit if shape is Shape.MEASURE else shape],
        no_data=_TOO_FEW,
        width=width,
        links=(*_more(indicator), *making.explain(indicator, _asked(one))),
    )


def _more(indicator: Indicator) -> tuple[Link, ...]:
    """The board that has more about an indicator."""
    found = (b.uid for b in _BOARDS if indicator.name in b.indicators)
    return tuple(board_link(uid, "More about it", "var-team=${team}") for uid in found)


def _asked(one: _Shown) -> str:
    labels = "".join(f"&label={label}%3D{value}" for label, value in one.labels.items())
    return f"team=${{team}}&environment=${{environment}}&window={one.window}{labels}"


def _quick_check() -> Panel:
    where = matching(_LEVEL, f'window="{_QUICK_CHECK_WINDOW}"', 'kind="overall"')
    score, mean = catalog.QUICK_CHECK_SCORE, catalog.QUICK_CHECK_INDUSTRY
    return panels.stat(
        f"DORA Quick Check, last {_QUICK_CHECK_WINDOW}",
        f"{helps(score, mean)}\n\nThe industry's mean tells where others stand; it is not wanted of anybody.",
        [
            Query(expr=by(score, "environment", where=where), legend="overall, of 10"),
            Query(expr=by(mean, "kind", where='kind="overall"'), legend="industry's mean"),
        ],
        unit="short",
        no_data=_TOO_FEW,
        width=8,
        links=(board_link(delivery.UID, "More about it", "var-team=${team}"),),
    )


# ---- what it rests on


def _uptime(making: Making) -> Iterator[Panel]:
    """The components of the platform, by name."""
    for indicator in making.named(("uptime",)):
        metrics, keys = metrics_of(indicator), ("service", "environment")
        where = 'service!="",window="7d"'
        values = {"Up": "value", "At least (95 %)": "low", "At most (95 %)": "high"}
        yield panels.table(
            f"{indicator.title} of the platform's parts, last 7d",
            about(indicator),
            (
                *(
                    Column(
                        title=title,
                        expr=by(metrics.value, *keys, where=matching(where, f'stat="{stat}"')),
                        unit="percentunit",
                        decimals=panels.NINES,
                    )
                    for title, stat in values.items()
                ),
                Column(title=indicator.noun.capitalize(), expr=by(metrics.samples, *keys, where=where)),
                Column(title="Observed", expr=by(metrics.coverage, *keys, where=where), unit="percentunit"),
            ),
            keys={"service": "Part", "environment": "Environment"},
            no_data=_TOO_FEW,
            width=16,
            sort_by="Part",
            links={"Part": (board_link(reliability.UID, "More about it", 'var-service=${__data.fields["Part"]}'),)},
        )


def _data_health() -> tuple[Panel, ...]:
    nothing = "No data: nothing was collected yet, or Paceline itself is not scraped"
    return (
        panels.stat(
            "Stale sources",
            f"What rests on a source that did not succeed recently is withheld.\n\n{helps(catalog.SOURCE_FRESH)}",
            [Query(expr=slo_queries.stale_sources())],
            unit="none",
            no_data=nothing,
            width=4,
            height=CHART_HEIGHT,
            scale=Scale(base=NEUTRAL, steps=((1.0, ORANGE),)),
            links=(board_link(collectors.UID, "Which, and why"),),
        ),
        panels.stat(
            "Age of the numbers",
            helps(catalog.SNAPSHOT_TIMESTAMP),
            [Query(expr=age(catalog.SNAPSHOT_TIMESTAMP))],
            unit="s",
            no_data=nothing,
            width=4,
            height=CHART_HEIGHT,
        ),
    )


BOARD = Board(UID, board)
