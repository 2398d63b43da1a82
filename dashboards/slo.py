"""The board of one SLO, whoever measures it: where it stands, what spent its budget, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboards import delivery, panels, reliability, slo_queries
from dashboards.annotations import deployments, exclusions, incidents
from dashboards.making import STATUS_WORDS, Board, Making, age, board_link, by, datasource, helps, slo_variable
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
from slo_engine.alerts import BURN_ALERTS
from slo_engine.catalog import Metric
from slo_engine.windows import BURN_WINDOWS, INDICATOR_WINDOWS

UID = "paceline-slo"

_CHOSEN = 'slo="$slo"'
_SPENDERS = catalog.SLO_BUDGET_SPENT.name + "{" + _CHOSEN + ',service!=""}'
_CONCERNED = f"and on (service) ({catalog.SLO_INFO.name}{{{_CHOSEN}}} or on (service) {_SPENDERS})"
"""The service that owns the SLO, and those whose events spent its budget."""
_BURN_WINDOWS = tuple(w.label for w in BURN_WINDOWS)
_WINDOWS = (*_BURN_WINDOWS, *(w.label for w in INDICATOR_WINDOWS))
_WINDOWS_SHOWN = (*slo_queries.BURN_WINDOWS_SHOWN, *(w.label for w in INDICATOR_WINDOWS))
"""SLOs of few events burn over weeks."""
_SAID = {"Service": "service", "Team": "team", "Tier": "tier", "Its events": "unit"}
"""What an SLO says about itself, by the title of a column."""
_NO_EVENTS = "No data: it has no event yet, or a source that it rests on is stale"
_NO_SLO = "No data: no SLO is chosen, or Paceline itself is not scraped"
_RULES = (
    "Of an SLO that Prometheus measures, or that consists of others, this follows from the recorded series of its "
    "rules; of one that is grouped, its worst group is shown."
)


def board(making: Making) -> Dashboard:
    """The board of the chosen SLO."""
    return panels.board(
        UID,
        "Paceline: one SLO",
        "Is this promise kept, for how long will it be, and what spent its error budget?",
        [datasource(), slo_variable(multi=False), _own_window()],
        (
            Row(title="$slo", panels=_headline(making)),
            Row(title="Error budget", panels=(_budget_over_time(), _spent(making))),
            Row(title="How fast it burns", panels=(_burn_rates(), _thresholds())),
            Row(title="Events", panels=(_bad_events(), _events_table(), _attainment(), _coverage())),
            Row(title="Promised to others, and parts", panels=(_promised(), _parts())),
        ),
        annotations=(
            *deployments(making, 'service!=""', _CONCERNED),
            *incidents(making, 'service!=""', _CONCERNED),
            *exclusions(_CHOSEN),
        ),
        since="now-28d",
    )


def _own_window() -> object:
    """How long the window of the chosen SLO is; nobody chooses it."""
    asked = f"{catalog.SLO_ATTAINMENT.name}{{{_CHOSEN}}}"
    return panels.label_variable("period", "Window", asked, "window", hidden=True)


def link_from(column: str) -> Link:
    """From the row of a table to the board of the SLO that a column names; in its own time, that of an SLO's window."""
    chosen = f'var-slo=${{__data.fields["{column}"]}}'
    return Link(title="This SLO", url=f"/d/{UID}?{chosen}&${{datasource:queryparam}}")


# ---- headline


def _headline(making: Making) -> tuple[Panel, ...]:
    """Where the SLO stands."""
    links = _explained(making)
    return (
        _standing(links),
        _stat(
            "Attained, and the target",
            (catalog.SLO_ATTAINMENT, catalog.SLO_OBJECTIVE),
            {"attained": slo_queries.attained(_CHOSEN), "target": by(catalog.SLO_OBJECTIVE, "slo", where=_CHOSEN)},
            unit="percentunit",
            links=links,
            decimals=panels.NINES,
        ),
        _stat(
            "Error budget left",
            (catalog.SLO_BUDGET_RATIO,),
            {"": slo_queries.left(_CHOSEN)},
            unit="percentunit",
            scale=Scale(base=VERMILLION, steps=((1e-9, ORANGE), (slo_queries.LOW_BUDGET, NEUTRAL))),
        ),
        _stat("Bad events left", (catalog.SLO_BUDGET_EVENTS,), {"": slo_queries.left_events(_CHOSEN)}, decimals=1),
        _stat(
            "Budget lasts for",
            (catalog.SLO_EXHAUSTION,),
            {"": by(catalog.SLO_EXHAUSTION, "slo", where=_CHOSEN)},
            unit="s",
            no_data="No data: nothing burned in the last 3 days, nothing is left, or Prometheus measures it",
        ),
        _stat(
            "Events in its window, and how many it needs",
            (catalog.SLO_EVENTS, catalog.SLO_MINIMUM_EVENTS),
            {
                "{{outcome}}": slo_queries.counted(_CHOSEN),
                "needed": by(catalog.SLO_MINIMUM_EVENTS, "slo", where=_CHOSEN),
            },
            width=8,
        ),
        _stat(
            "Window covered, and how much it needs",
            (catalog.SLO_COVERAGE, catalog.SLO_MINIMUM_COVERAGE),
            {
                "covered": slo_queries.covered(_CHOSEN),
                "needed": by(catalog.SLO_MINIMUM_COVERAGE, "slo", where=_CHOSEN),
            },
            unit="percentunit",
            width=8,
        ),
        _stat(
            "Data age",
            (catalog.SLO_DATA_TIMESTAMP,),
            {"": age(catalog.SLO_DATA_TIMESTAMP, "slo", where=_CHOSEN)},
            unit="s",
            no_data="No data: its source was never collected, or Prometheus measures it",
            width=8,
        ),
    )


def _standing(links: Sequence[Link]) -> Panel:
    """Its status in words, and what it says about itself."""
    return panels.table(
        "Where it stands",
        f"{helps(catalog.SLO_STATUS, catalog.SLO_INFO, catalog.SLO_PERIOD)}\n\n{_RULES}",
        (
            Column(title="Status", expr=slo_queries.statuses(_CHOSEN), label="status", words=STATUS_WORDS),
            *(
                Column(title=title, expr=slo_queries.info(_CHOSEN, label), label=label)
                for title, label in _SAID.items()
            ),
            Column(title="Window", expr=slo_queries.period_days(_CHOSEN), unit="suffix:days"),
        ),
        keys={"slo": "SLO"},
        no_data=_NO_SLO,
        height=panels.STAT_HEIGHT,
        links={"SLO": links},
    )


def _stat(  # noqa: PLR0913 - each argument is a property of the panel
    title: str,
    metrics: Sequence[Metric],
    queries: Mapping[str, str],
    *,
    unit: Unit = "short",
    no_data: str = _NO_EVENTS,
    width: int = 6,
    scale: Scale | None = None,
    links: Sequence[Link] = (),
    decimals: int | None = None,
) -> Panel:
    """Big numbers of the SLO, by their legends."""
    return panels.stat(
        title,
        f"{helps(*metrics)}\n\n{_RULES}",
        [Query(expr=expr, legend=legend, decimals=decimals) for legend, expr in queries.items()],
        unit=unit,
        no_data=no_data,
        width=width,
        scale=scale,
        links=links,
    )


def _explained(making: Making) -> tuple[Link, ...]:
    """The events of the SLO, and whether it was met in the windows that are over; nowhere without an address."""
    if not making.base_url:
        return ()
    explained = Link(title="Explain: the events that it counts", url=f"{making.base_url}/slos/${{slo}}/explain")
    return (
        explained,
        Link(title="Was it met, window by window (JSON)", url=f"{making.base_url}/api/v1/slos/${{slo}}/history"),
    )


# ---- error budget


def _budget_over_time() -> Panel:
    promised = by(catalog.SLO_SLA_BUDGET_RATIO, "slo", where=_CHOSEN)
    return panels.timeseries(
        "Error budget left over time",
        f"{helps(catalog.SLO_BUDGET_RATIO, catalog.SLO_SLA_BUDGET_RATIO)}\n\nAt 0 the budget is used up. In a rolling "
        "window it comes back when what spent it is older than the window. As much time is shown as the SLO's window "
        f"is long, until a time is chosen by its dates.\n\n{_RULES}",
        [
            Query(expr=slo_queries.left(_CHOSEN), legend="left"),
            Query(expr=promised, legend="left of what was promised to others", dashed=True),
        ],
        unit="percentunit",
        no_data=_NO_EVENTS,
        width=16,
        height=10,
        limit=0.0,
        highest=1.0,
        last="$period",
    )


def _spent(making: Making) -> Panel:
    labels = [label for label in catalog.SLO_BUDGET_SPENT.labels if label != "slo"]
    spent = by(catalog.SLO_BUDGET_SPENT, *labels, where=_CHOSEN)
    return panels.bars(
        "What spent the budget",
        helps(catalog.SLO_BUDGET_SPENT),
        [Query(expr=f"sort_desc({spent})", legend=" ".join(f"{{{{{label}}}}}" for label in labels))],
        unit="percentunit",
        no_data="No data: nothing spent its budget, or who did is not told: of people, of slices of time that several "
        "share, and of what Prometheus measures",
        width=8,
        height=10,
        links=tuple(
            board_link(b.uid, title, "var-service=${__field.labels.service}")
            for b, title in ((delivery.BOARD, "Delivery of this service"), (reliability.BOARD, "Its reliability"))
            if making.named(b.indicators)
        ),
    )


# ---- burn rates


def _burn_rates() -> Panel:
    return panels.timeseries(
        "Burn rates",
        f"{helps(catalog.SLO_BURN_RATE)}\n\n{_RULES}",
        [Query(expr=slo_queries.burns(_CHOSEN, _WINDOWS_SHOWN), legend="over {{window}}")],
        unit="short",
        no_data=_NO_EVENTS,
        width=12,
        limit=1.0,
    )


def _thresholds() -> Panel:
    """Burn rates of the windows that alerts have, beside the rates above which they do."""
    threshold = f"{catalog.SLO_BURN_THRESHOLD.name}{{{_CHOSEN}}}"
    burns = f"({slo_queries.burns(_CHOSEN, _WINDOWS)}) and on (slo, window) {threshold}"
    limits = (
        Query(
            expr=by(catalog.SLO_BURN_THRESHOLD, "window", where=f'{_CHOSEN},kind="{kind}"'),
            legend=f"{kind} above, over {{{{window}}}}",
            dashed=True,
        )
        for kind in BURN_ALERTS
    )
    return panels.timeseries(
        "Burn rates beside the thresholds of their alerts",
        f"{helps(catalog.SLO_BURN_RATE, catalog.SLO_BURN_THRESHOLD)}\n\nAn alert fires where the rate is above the "
        f"dashed line, in a shorter window too, and several events are bad.\n\n{_RULES}",
        [Query(expr=burns, legend="over {{window}}"), *limits],
        unit="short",
        no_data="No data: an SLO of few events has no alerts on burn rates; its budget has",
        width=12,
    )


# ---- events


def _bad_events() -> Panel:
    bad = f'{catalog.SLI_EVENTS.name}{{{_CHOSEN},outcome="bad"}}'
    return panels.timeseries(
        "Bad events, when they became known",
        f"{helps(catalog.SLI_EVENTS)}\n\nA bar holds those of its step, of four scrapes at least.",
        [Query(expr=f"max by (slo) (increase({bad}[$__rate_interval]))", legend="bad")],
        unit="short",
        no_data="No data: it has no event yet, only Prometheus measures it, or it consists of others",
        width=12,
        bars=True,
        lowest=0.0,
    )


def _events_table() -> Panel:
    """Adjusted and raw side by side: what was excluded stands beside what counts."""
    return panels.table(
        "Events by window, and what was left out",
        f"{helps(catalog.SLO_EVENTS, catalog.SLO_EXCLUDED)}\n\n{_RULES}",
        (
            Column(title="Good", expr=slo_queries.good_events(_CHOSEN, _BURN_WINDOWS)),
            Column(title="Bad", expr=slo_queries.bad_events(_CHOSEN, _BURN_WINDOWS)),
            Column(title="Good, left out", expr=_excluded("good")),
            Column(title="Bad, left out", expr=_excluded("bad")),
            Column(title="Burn rate", expr=slo_queries.burns(_CHOSEN, _WINDOWS)),
        ),
        keys={"slo": "SLO", "window": "Window"},
        no_data=_NO_EVENTS,
        width=12,
        sort_by="Good",
    )


def _excluded(outcome: str) -> str:
    return by(catalog.SLO_EXCLUDED, "slo", "window", where=f'{_CHOSEN},outcome="{outcome}"')


def _attainment() -> Panel:
    return panels.timeseries(
        "Attainment over time, and its target",
        f"{helps(catalog.SLO_ATTAINMENT, catalog.SLO_OBJECTIVE, catalog.SLO_SLA_OBJECTIVE)}\n\n{_RULES}",
        [
            Query(expr=slo_queries.attained(_CHOSEN), legend="attained"),
            Query(expr=by(catalog.SLO_OBJECTIVE, "slo", where=_CHOSEN), legend="target", dashed=True),
            Query(expr=by(catalog.SLO_SLA_OBJECTIVE, "slo", where=_CHOSEN), legend="promised to others", dashed=True),
        ],
        unit="percentunit",
        no_data=_NO_EVENTS,
        width=12,
    )


def _coverage() -> Panel:
    return panels.timeseries(
        "How much of its window was observed",
        f"{helps(catalog.SLO_COVERAGE, catalog.SLO_MINIMUM_COVERAGE)}\n\n{_RULES}",
        [
            Query(expr=slo_queries.covered(_CHOSEN), legend="observed"),
            Query(expr=by(catalog.SLO_MINIMUM_COVERAGE, "slo", where=_CHOSEN), legend="needed", dashed=True),
        ],
        unit="percentunit",
        no_data=_NO_EVENTS,
        width=12,
        lowest=0.0,
        highest=1.0,
    )


# ---- promises to others, parts


def _promised() -> Panel:
    nothing = "No data: nothing is promised to others on it"
    return panels.stat(
        "Promised to others, and what is left of that",
        helps(catalog.SLO_SLA_OBJECTIVE, catalog.SLO_SLA_BUDGET_RATIO),
        [
            Query(expr=by(catalog.SLO_SLA_OBJECTIVE, "slo", where=_CHOSEN), legend="promised"),
            Query(expr=by(catalog.SLO_SLA_BUDGET_RATIO, "slo", where=_CHOSEN), legend="of its budget left"),
        ],
        unit="percentunit",
        no_data=nothing,
        width=8,
        height=CHART_HEIGHT,
    )


def _parts() -> Panel:
    weights = by(catalog.SLO_PART_WEIGHT, "part", where=_CHOSEN)
    return panels.table(
        "What it consists of",
        f"{helps(catalog.SLO_PART_WEIGHT, catalog.SLO_STATUS, catalog.SLO_BUDGET_RATIO)}\n\n{_RULES}",
        (
            Column(title="Weight", expr=weights),
            Column(
                title="Status",
                expr=slo_queries.as_parts(slo_queries.statuses(), weights, "status"),
                label="status",
                words=STATUS_WORDS,
            ),
            Column(title="Budget left", expr=slo_queries.as_parts(slo_queries.left(), weights), unit="percentunit"),
        ),
        keys={"part": "Part"},
        no_data="No data: it does not consist of other SLOs",
        width=16,
        sort_by="Budget left",
        links={"Part": (link_from("Part"),)},
    )


BOARD = Board(UID, board)
