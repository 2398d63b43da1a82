"""The overview: is every promise kept? One row for each SLO, and the way to everything else."""

from __future__ import annotations

from functools import partial

from dashboards import (
    adoption,
    collectors,
    delivery,
    leaders,
    onboarding,
    panels,
    reliability,
    self_service,
    slo,
    slo_queries,
    support,
)
from dashboards.making import OVERVIEW_UID, STATUS_WORDS, Board, Making, age, board_link, by, datasource, helps
from dashboards.panels import GREEN, NEUTRAL, ORANGE, SKY, VERMILLION, Column, Dashboard, Panel, Query, Row, Scale
from dashboards.slo_queries import BURN_WINDOWS_SHOWN, UNKNOWN, among
from slo_engine import catalog
from slo_engine.slo import SloStatus

UID = OVERVIEW_UID
MOST_LINES = 10
"""So many SLOs a chart over time shows: the lines of more could not be told apart."""

# The empty alternatives keep SLOs of no team and of no service.
_ABOUT = 'team=~"$team|",service=~"$service|"'
_BURN_SHOWN = BURN_WINDOWS_SHOWN[-1]
"""SLOs of few events have a burn rate over days only."""
_NO_SLO = "No data: no SLO is configured for this team and service, or Paceline itself is not scraped"
_NOT_YET = "No data: no SLO has an event yet, or its sources are stale"
_MEASURED = (
    "Of an SLO that Prometheus measures, or that consists of others, all this follows from the recorded series of its "
    "rules; of one that is grouped, its worst group is shown."
)
_STATUSES = (
    ("Healthy", (SloStatus.HEALTHY,), GREEN),
    ("At risk", (SloStatus.AT_RISK,), ORANGE),
    ("Budget exhausted", (SloStatus.EXHAUSTED,), VERMILLION),
    ("Too little data", (SloStatus.INSUFFICIENT_DATA, UNKNOWN), SKY),
)
_SEVERITIES = {"page": ("page", VERMILLION), "ticket": ("ticket", ORANGE)}
_NEXT = (
    (leaders.BOARD, "For leaders", "the week at a glance, without PromQL"),
    (slo.BOARD, "One SLO", "what spent its budget, how fast it burns, since when"),
    (delivery.BOARD, "Delivery", "how fast and how safely changes reach production"),
    (reliability.BOARD, "Platform reliability", "whether the parts of the platform are there"),
    (onboarding.BOARD, "Onboarding", "how soon newcomers deploy"),
    (self_service.BOARD, "Self-service", "whether people get what they ask for without waiting for somebody"),
    (support.BOARD, "Support and documentation", "how soon questions are answered, and whether pages are fresh"),
    (adoption.BOARD, "Adoption and satisfaction", "who uses the platform, comes back, and is content"),
    (collectors.BOARD, "Collectors", "whether the data can be trusted"),
)
_ALWAYS_THERE = (leaders.BOARD, slo.BOARD, collectors.BOARD)
_READING = """\
*No data* is not zero and not good news: nothing happened in the window, or a source is stale; the board of collectors \
tells which. Only what has a target is coloured.
"""


def board(making: Making) -> Dashboard:
    """The board of all SLOs."""
    return panels.board(
        UID,
        "Paceline: overview",
        "Does the platform keep its promises? Every SLO with its error budget, worst first.",
        [datasource(), _variable("team", "Team", ""), _variable("service", "Service", 'team=~"$team|"')],
        (
            Row(title="At a glance", panels=_glance()),
            Row(title="Promises", panels=(_promises(), _basis())),
            Row(title="What changed", panels=(*_over_time(), _alerts())),
            Row(title="Where to look next", panels=(_next(making),)),
        ),
    )


def _variable(label: str, title: str, where: str) -> object:
    """A variable of what is known of SLOs: their team or service."""
    known = f"{catalog.SLO_INFO.name}{{{where}}}" if where else catalog.SLO_INFO.name
    return panels.label_variable(label, title, known, label, multi=True, everything=True)


# ---- at a glance


def _glance() -> tuple[Panel, ...]:
    """How many SLOs are how, and whether the numbers can be trusted."""
    return (
        *(
            panels.stat(
                title,
                f"SLOs of the chosen teams and services whose status this is; it follows from the error budget.\n\n"
                f"{helps(catalog.SLO_STATUS)}\n\n{_MEASURED}",
                [Query(expr=slo_queries.with_status(*statuses, about=_ABOUT))],
                unit="none",
                no_data=_NO_SLO,
                width=4,
                scale=Scale(base=NEUTRAL, steps=((1.0, color),)),
            )
            for title, statuses, color in _STATUSES
        ),
        panels.stat(
            "Stale sources",
            f"Sources that did not succeed recently enough.\n\n{helps(catalog.SOURCE_FRESH)}",
            [Query(expr=slo_queries.stale_sources())],
            unit="none",
            no_data="No data: no source was collected yet, or Paceline itself is not scraped",
            width=4,
            scale=Scale(base=NEUTRAL, steps=((1.0, ORANGE),)),
            links=(board_link(collectors.UID, "Which, and why"),),
        ),
        panels.stat(
            "Age of the numbers",
            helps(catalog.SNAPSHOT_TIMESTAMP),
            [Query(expr=age(catalog.SNAPSHOT_TIMESTAMP))],
            unit="s",
            no_data="No data: nothing was computed yet, or Paceline itself is not scraped",
            width=4,
        ),
    )


# ---- promises


def _promises() -> Panel:
    """One row for each SLO, least budget first."""
    # Green is for the status alone: a full budget after three events is no good news. 0 is exhausted.
    budget = Scale(base=VERMILLION, steps=((1e-9, ORANGE), (slo_queries.LOW_BUDGET, NEUTRAL)))
    burn = Scale(base=NEUTRAL, steps=((1.0, ORANGE),))
    columns = (
        Column(
            title="Status", expr=among(slo_queries.statuses(), _ABOUT), label="status", words=STATUS_WORDS, width=150
        ),
        _column("Target", by(catalog.SLO_OBJECTIVE, "slo"), share=True, decimals=panels.NINES),
        _column("Attained", slo_queries.attained(), share=True, decimals=panels.NINES),
        _column("Budget left", slo_queries.left(), share=True, scale=budget),
        _column("Left", slo_queries.left_events(), width=80, decimals=1),
        Column(title="Of these", expr=slo_queries.info(_ABOUT, "unit"), label="unit", width=120),
        *(_column(f"Burn {w}", slo_queries.burn(w), scale=burn, width=80) for w in BURN_WINDOWS_SHOWN),
        Column(title="Data age", expr=among(age(catalog.SLO_DATA_TIMESTAMP, "slo"), _ABOUT), unit="s", width=110),
    )
    described = helps(
        catalog.SLO_STATUS,
        catalog.SLO_ATTAINMENT,
        catalog.SLO_BUDGET_RATIO,
        catalog.SLO_BUDGET_EVENTS,
        catalog.SLO_BURN_RATE,
        catalog.SLO_DATA_TIMESTAMP,
    )
    return panels.table(
        "Are the promises kept? Least budget first",
        f"{described}\n\n{_MEASURED}",
        columns,
        keys={"slo": "SLO"},
        no_data=_NO_SLO,
        height=12,
        sort_by="Budget left",
        links={"SLO": (slo.link_from("SLO"),)},
    )


def _basis() -> Panel:
    """What the numbers of each SLO rest on, by name."""
    described = helps(catalog.SLO_INFO, catalog.SLO_PERIOD, catalog.SLO_COVERAGE)
    return panels.table(
        "What that rests on",
        f"{described}\n\n{_MEASURED}",
        (
            Column(title="Team", expr=slo_queries.info(_ABOUT, "team"), label="team"),
            Column(title="Service", expr=slo_queries.info(_ABOUT, "service"), label="service"),
            Column(title="Tier", expr=slo_queries.info(_ABOUT, "tier"), label="tier", width=70),
            Column(title="Alerts by", expr=slo_queries.info(_ABOUT, "kind"), label="kind", width=100),
            Column(title="Window", expr=among(slo_queries.period_days(), _ABOUT), unit="suffix:days", width=100),
            _column("Covered", slo_queries.covered(), share=True),
        ),
        keys={"slo": "SLO"},
        no_data=_NO_SLO,
        height=10,
        sort_by="SLO",
        links={"SLO": (slo.link_from("SLO"),)},
    )


def _column(
    title: str,
    expr: str,
    *,
    share: bool = False,
    scale: Scale | None = None,
    width: int = 100,
    decimals: int | None = None,
) -> Column:
    """A number of each SLO of the chosen teams and services."""
    unit: panels.Unit = "percentunit" if share else "short"
    return Column(title=title, expr=among(expr, _ABOUT), unit=unit, scale=scale, width=width, decimals=decimals)


# ---- over time


def _over_time() -> tuple[Panel, Panel]:
    """The SLOs that are worst now, over time."""
    left, burn = partial(slo_queries.left, ""), partial(slo_queries.burn, _BURN_SHOWN, "")
    return (
        panels.timeseries(
            f"Error budget left: the {MOST_LINES} SLOs that have least",
            f"{helps(catalog.SLO_BUDGET_RATIO)}\n\n{_MEASURED}",
            [Query(expr=slo_queries.worst("bottomk", MOST_LINES, left, _ABOUT), legend="{{slo}}")],
            unit="percentunit",
            no_data=_NOT_YET,
            width=12,
            limit=0.0,
        ),
        panels.timeseries(
            f"Burn rate over {_BURN_SHOWN}: the {MOST_LINES} SLOs that burn fastest",
            f"{helps(catalog.SLO_BURN_RATE)}\n\n{_MEASURED}",
            [Query(expr=slo_queries.worst("topk", MOST_LINES, burn, _ABOUT), legend="{{slo}}")],
            unit="short",
            no_data="No data: no SLO has an event in this time, or its sources are stale",
            width=12,
            limit=1.0,
        ),
    )


def _alerts() -> Panel:
    """The alerts that fire, pages first."""
    named = {label: label.capitalize() for label in ("group", "service", "team", "source")}
    keys = {"alertname": "Alert", "slo": "SLO", **named}
    labels = ", ".join((*keys, "severity"))
    firing = f'ALERTS{{alertname=~"{slo_queries.ALERTS_SHOWN}",alertstate="firing",{_ABOUT}}}'
    return panels.table(
        "Alerts that fire, pages first",
        "What the generated rules tell on-call: budgets that burn too fast or are used up, missing data. "
        "A page wants somebody now, a ticket within days.",
        (
            Column(
                title="Severity",
                expr=f"max by ({labels}) ({firing})",
                label="severity",
                words=_SEVERITIES,
            ),
        ),
        keys=keys,
        no_data="No data: none of Paceline's alerts fires, or its rules are not loaded",
        sort_by="Severity",
        links={"SLO": (slo.link_from("SLO"),)},
    )


def _next(making: Making) -> Panel:
    """The other boards, each with the question that it answers."""
    there = [(b, title, words) for b, title, words in _NEXT if b in _ALWAYS_THERE or making.named(b.indicators)]
    lines = (f"- [{title}]({board_link(b.uid, title).url}): {words}" for b, title, words in there)
    return panels.text("How to read this board, and what else there is", f"{_READING}\n" + "\n".join(lines), height=8)


BOARD = Board(UID, board)
