"""The board of the platform's reliability: uptime, incidents, and whether pipelines suffer beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dashboards import panels, slo_queries
from dashboards.annotations import deployments, incidents
from dashboards.making import (
    ENVIRONMENT,
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
from dashboards.panels import GREEN, ORANGE, SKY, VERMILLION, Column, Dashboard, Panel, Query, Row, Scale
from dashboards.rows import default_rows
from dashboards.service_rows import of_level
from slo_engine import catalog
from slo_engine.catalog import metrics_of
from slo_engine.indicator import Indicator
from slo_engine.observation import Outcome, Reason
from slo_engine.windows import INDICATOR_WINDOWS

UID = "paceline-reliability"
INDICATORS = ("uptime", "incident_time_to_restore")
_BESIDE = ("pipeline_success",)
_LONGEST = f'window="{max(INDICATOR_WINDOWS).label}"'
"""The longest window: what is open for longer is in none."""
_OF_TEAMS = f'service!="",team=~"$team|",{ENVIRONMENT}'
"""The services of the chosen teams, probed or not."""
_KEYS = {"service": "Service", "environment": "Environment"}
_STEP = "10m"
"""Sources are collected every few minutes: in shorter steps there would be gaps."""
_ROW_SELECTION = 'service=${__data.fields["Service"]}&environment=${__data.fields["Environment"]}&window=${window}'


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: platform reliability",
        "Are the parts of the platform there when they are needed?",
        [
            datasource(),
            team_variable(declared),
            service_variable(making.named(("uptime",)) or declared, everything=True),
            environment_variable(declared),
            window_variable(declared, "28d"),
        ],
        (*_rows(making), *default_rows(declared, making, folded=True)),
        annotations=(*deployments(making), *incidents(making)),
    )


def _rows(making: Making) -> tuple[Row, ...]:
    """What is seen at first, of the indicators that are declared."""
    rows = {
        "Parts of the platform: $service, $environment": [
            panel for i in making.named(("uptime",)) for panel in (_parts(i, making), *_slots(i, making), _promises())
        ],
        "Incidents of the services of $team, $environment": [
            panel for i in making.named(("incident_time_to_restore",)) for panel in _incidents(i, making)
        ],
        "Beside it: pipelines of $team, last $window": [_pipelines(i) for i in making.named(_BESIDE)],
    }
    return tuple(Row(title=title, panels=tuple(shown)) for title, shown in rows.items() if shown)


def _parts(uptime: Indicator, making: Making) -> Panel:
    """Each part in every window, and for the chosen one what is known of it."""
    metrics = metrics_of(uptime)
    known = by(metrics.samples, *_KEYS, where=matching(SERVICES, WINDOW))
    columns = [
        *(
            Column(
                title=f"Last {window.label}",
                expr=by(metrics.value, *_KEYS, where=matching(SERVICES, f'window="{window.label}"', 'stat="value"')),
                unit="percentunit",
                decimals=panels.NINES,
            )
            for window in INDICATOR_WINDOWS
        ),
        Column(title="Minutes known (n)", expr=known, unit="none"),
        Column(
            title="Minutes unknown",
            expr=by(metrics.excluded, *_KEYS, where=matching(SERVICES, WINDOW, f'reason="{Reason.UNKNOWN}"')),
            unit="none",
            absent="none counted",
        ),
        Column(title="Used", expr=by(metrics.coverage, *_KEYS, where=matching(SERVICES, WINDOW)), unit="percentunit"),
        *(
            Column(
                title="Incidents open",
                expr=f"{_open(i, SERVICES)} and on ({', '.join(_KEYS)}) {known}",
                unit="none",
                absent="none known",
            )
            for i in making.named(("incident_time_to_restore",))
        ),
    ]
    return panels.table(
        "Uptime of each part",
        f"Minutes known, minutes unknown and the used share are of the last $window.\n\n{about(uptime)}"
        + _with_open(making),
        columns,
        keys=_KEYS,
        no_data="No data: no part of the platform is probed, or its source is stale",
        sort_by="Service",
        links={"Service": making.explain(uptime, _ROW_SELECTION)},
    )


def _with_open(making: Making) -> str:
    return "".join(f"\n\nIncidents open: {about(i)}" for i in making.named(("incident_time_to_restore",)))


def _slots(uptime: Indicator, making: Making) -> Iterator[Panel]:
    """When each part was down, whether something is promised of it or not."""
    judged = metrics_of(uptime).total
    if judged is None:
        return
    where = {outcome: matching(SERVICES, f'outcome="{outcome}"') for outcome in (Outcome.GOOD, Outcome.BAD)}
    good, bad = (
        f"max by ({', '.join(_KEYS)}) (increase({judged.name}{{{own}}}[$__rate_interval]))" for own in where.values()
    )
    yield panels.state_timeline(
        "When each part was up or down",
        "Of the minutes that became known in each step, the share that was down: minutes are known when their source "
        f"is collected. A gap is neither up nor down: nothing is known. Colours tell up from down; whether that is too "
        f"much, a target says: below.\n\n{helps(judged)}\n\n{about(uptime)}",
        [Query(expr=f"{bad} / ({good} + {bad} > 0)", legend="{{service}} {{environment}}")],
        unit="percentunit",
        no_data="No data: no part of the platform is probed, or its source is stale",
        width=panels.GRID_COLUMNS,
        words={"0": ("up", SKY), "1": ("down", VERMILLION)},
        scale=Scale(base=SKY, steps=((1e-9, ORANGE),)),
        least_step=_STEP,
        links=making.explain(
            uptime, "service=${__field.labels.service}&environment=${__field.labels.environment}&window=${window}"
        ),
    )


def _promises() -> Panel:
    """How each SLO about a part does, hour by hour."""
    burning = slo_queries.among(slo_queries.burn("1h"), 'service=~"$service"')
    return panels.state_timeline(
        "Burn rates of the SLOs about these parts, over one hour",
        "Green: less than the SLO's target allows. Orange, from 1: at this rate its budget does not last. "
        f"Red, from 10: it lasts for a tenth of the SLO's window.\n\n{helps(catalog.SLO_BURN_RATE)}",
        [Query(expr=burning, legend="{{slo}}")],
        no_data="No data: no SLO is about these parts, or a source is stale",
        width=panels.GRID_COLUMNS,
        scale=Scale(base=GREEN, steps=((1.0, ORANGE), (10.0, VERMILLION))),
        links=(board_link("paceline-slo", "The SLO", "var-slo=${__field.labels.slo}"),),
    )


def _open(indicator: Indicator, where: str) -> str:
    """Incidents that were not restored yet."""
    return by(metrics_of(indicator).pending, *_KEYS, where=matching(where, _LONGEST))


def _incidents(indicator: Indicator, making: Making) -> Sequence[Panel]:
    """Those that are open, how long it took to restore the others, and when they were."""
    metrics = metrics_of(indicator)
    now = f"{_open(indicator, _OF_TEAMS)} > 0"
    none = "No data: no incident is open, or a source is stale"
    links = {"Service": making.explain(indicator, _ROW_SELECTION)}

    def of_window(title: str, stat: str) -> Column:
        where = matching(_OF_TEAMS, WINDOW, f'stat="{stat}"')
        return Column(title=title, expr=by(metrics.value, *_KEYS, where=where), unit="s")

    counted = by(metrics.samples, *_KEYS, where=matching(_OF_TEAMS, WINDOW))
    used = by(metrics.coverage, *_KEYS, where=matching(_OF_TEAMS, WINDOW))
    return (
        panels.table(
            "Incidents open now",
            f"Incidents that began within the longest window and are not resolved.\n\n{about(indicator)}",
            [Column(title="Open", expr=now, unit="none")],
            keys=_KEYS,
            no_data=none,
            width=8,
            sort_by="Service",
            links=links,
        ),
        panels.table(
            "Time to restore, last $window",
            about(indicator),
            [
                of_window("Median", "p50"),
                of_window("Nine of ten within", "p90"),
                Column(title="Counted (n)", expr=f"{counted} > 0", unit="none"),
                Column(title="Used", expr=used, unit="percentunit"),
            ],
            keys=_KEYS,
            no_data=NO_UNITS,
            width=16,
            sort_by="Service",
            links=links,
        ),
        panels.timeseries(
            "Open incidents over time",
            about(indicator),
            [Query(expr=now, legend="{{service}} {{environment}}")],
            unit="none",
            no_data=none,
            width=24,
            bars=True,
            stacked=True,
        ),
    )


def _pipelines(indicator: Indicator) -> Panel:
    """What people feel first when a part is down."""
    return panels.timeseries(
        f"{indicator.title}, by level of teams",
        about(indicator),
        [
            Query(
                expr=of_level(metrics_of(indicator).value, 'stat="value"'),
                legend="{{team}} {{environment}}",
            )
        ],
        unit="percentunit",
        no_data=NO_LEVEL,
        width=panels.GRID_COLUMNS,
        highest=1,
    )


BOARD = Board(UID, board, INDICATORS)
