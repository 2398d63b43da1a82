"""The board of self-service: whether people get what they ask for, by themselves, and how long they wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dashboards import panels
from dashboards.cuts import EACH, Cut
from dashboards.making import (
    NOBODY,
    Board,
    Making,
    about,
    board_link,
    datasource,
    environment_variable,
    service_variable,
    team_variable,
    values_variable,
    window_variable,
)
from dashboards.panels import CHART_HEIGHT, Dashboard, Panel, Query, Row
from dashboards.rows import default_rows
from dashboards.split_panels import SLOS, left_out, number, people_row, rows_of, table, trend
from dashboards.support import UID as SUPPORT

UID = "paceline-self-service"
REQUESTS = (
    "self_service_success",
    "self_service_first_attempt",
    "self_service_time",
    "self_service_assisted",
    "self_service_outcome",
    "self_service_adoption",
    "self_service_success_by_requester",
)
AUTONOMY = ("team_autonomy",)
WAIT = ("developer_wait_time",)
INDICATORS = (*REQUESTS, *AUTONOMY, *WAIT)
_GRACE = "A request is judged a day after its end: until then a ticket may still show that somebody had to help."
_ONE_TEAM = "Of several teams the bars add up, also of a level and what it pools: choose one."
_APART = "Success and adoption are different questions: nearly all may succeed where hardly anybody asks this way."
_SUPPORT = board_link(SUPPORT, "Support", "${team:queryparam}")


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    requests, autonomy = making.named(REQUESTS), making.named(AUTONOMY)
    return panels.board(
        UID,
        "Paceline: self-service",
        "Do people get what they ask the platform for, by themselves?",
        [
            datasource(),
            team_variable(declared, default="/"),
            *([values_variable("journey", "Journey", requests)] if requests else []),
            *([service_variable(autonomy), environment_variable(autonomy)] if autonomy else []),
            window_variable(declared, "28d"),
        ],
        (
            *rows_of(making, REQUESTS, _request_rows),
            *rows_of(making, WAIT, _wait_rows),
            *default_rows(autonomy, making),
            *people_row(declared),
        ),
        since="now-28d",
    )


def _request_rows(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    journeys = {name: cut.of(journey="$journey") for name, cut in cuts.items()}
    yield Row(title="Do people get what they ask for? $team, last $window", panels=_now(cuts))
    yield Row(title="By journey: $journey, $team, last $window", panels=_by_journey(journeys))
    yield Row(
        title="Does it get better? $journey, $team",
        panels=(
            trend("Success: over time", cuts["self_service_success"]),
            trend("Success, by journey", journeys["self_service_success"], bounds=False),
            trend("Done at the first attempt: over time", cuts["self_service_first_attempt"]),
            trend("Somebody had to help: over time", cuts["self_service_assisted"]),
            trend(
                "Asked by self-service instead of a ticket, by journey", journeys["self_service_adoption"], bounds=False
            ),
            trend(
                "Nine of ten fulfilled within, by journey",
                journeys["self_service_time"],
                stats={"p90": ""},
                bounds=False,
            ),
        ),
    )
    yield Row(
        title="How requests end: $journey, $team, last $window",
        panels=_outcomes(cuts["self_service_outcome"]),
    )
    yield Row(
        title="What it rests on: $team, last $window",
        panels=(
            left_out(
                "Left out, and why",
                {
                    "Requests": cuts["self_service_success"],
                    "Of the time to fulfil": cuts["self_service_time"],
                    "Of adoption": cuts["self_service_adoption"],
                },
            ),
            _coverage(journeys["self_service_success"], journeys["self_service_adoption"]),
        ),
    )


def _now(cuts: Mapping[str, Cut]) -> tuple[Panel, ...]:
    within = {"p50": "median", "p90": "nine of ten within"}
    return (
        number("Requests that succeeded in time", cuts["self_service_success"], words=_GRACE, links=[SLOS]),
        number("Done at the first attempt", cuts["self_service_first_attempt"]),
        number("Somebody had to help", cuts["self_service_assisted"], links=[_SUPPORT]),
        number("Self-service instead of a ticket", cuts["self_service_adoption"], words=_APART),
        number("Time to fulfil", cuts["self_service_time"], stats=within, width=12),
        number(
            "Success, every requester counting once",
            cuts["self_service_success_by_requester"],
            words="Beside the share of requests, which one script with many requests may set.",
            width=12,
        ),
    )


def _by_journey(journeys: Mapping[str, Cut]) -> tuple[Panel, ...]:
    success, time = journeys["self_service_success"], journeys["self_service_time"]
    first, helped = journeys["self_service_first_attempt"], journeys["self_service_assisted"]
    adopted = journeys["self_service_adoption"]
    return (
        table(
            "Each journey",
            f"{_GRACE} {_APART}",
            (
                *success.columns("Success", "Requests (n)"),
                first.column("First attempt"),
                helped.column("Helped"),
                adopted.column("Adoption"),
            ),
            (success, first, helped, adopted),
        ),
        table(
            "How long each journey takes",
            "Of the requests that succeeded.",
            (
                time.column("Median", "p50"),
                time.column("Three of four", "p75"),
                time.column("Nine of ten", "p90"),
                time.counted_column("Fulfilled (n)"),
            ),
            (time,),
            width=12,
        ),
        _by_requester(journeys["self_service_success_by_requester"]),
    )


def _by_requester(requesters: Cut) -> Panel:
    return table(
        "Each journey, every requester counting once",
        "Small groups are withheld.",
        requesters.columns("Success", "Requesters (n)"),
        (requesters,),
        width=12,
    )


def _outcomes(requests: Cut) -> tuple[Panel, ...]:
    outcomes, said = requests.of(outcome=EACH), about(requests.indicator)
    return (
        panels.timeseries(
            "Requests per day, by outcome",
            f"A day's mean of the window that ends at each time. {_ONE_TEAM}\n\n{said}",
            [outcomes.query()],
            unit="short",
            no_data=NOBODY,
            width=16,
            bars=True,
            stacked=True,
            lowest=0,
            links=outcomes.links(),
        ),
        panels.bars(
            "Requests of the window, by outcome",
            f"{outcomes.metrics.samples.help}\n\n{said}",
            [Query(expr=outcomes.beside(outcomes.metrics.samples), legend=outcomes.legend)],
            unit="none",
            no_data=NOBODY,
            width=8,
            links=outcomes.links(),
        ),
        _outcomes_of_journeys(requests.of(journey="$journey", outcome=EACH)),
    )


def _outcomes_of_journeys(outcomes: Cut) -> Panel:
    return table(
        "Each journey, by outcome",
        "Requests of the window, and a day's mean of them.",
        (outcomes.counted_column("Requests (n)"), outcomes.column("Per day"), outcomes.used_column()),
        (outcomes,),
    )


def _coverage(success: Cut, adopted: Cut) -> Panel:
    return table(
        "How many requests could be judged, by journey",
        f"Used: the share of the final units that could be counted. {_GRACE}",
        (
            success.counted_column("Requests (n)"),
            success.used_column(),
            success.waiting_column("Not judged yet"),
            adopted.counted_column("With tickets (n)"),
        ),
        (success, adopted),
        width=12,
    )


def _wait_rows(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    wait = cuts["developer_wait_time"]
    kinds = wait.of(kind=EACH)
    said = f"A sum over the window, not a mean of it; a day is 24 hours. {_ONE_TEAM}\n\n{about(wait.indicator)}"
    yield Row(
        title="How long do people wait? $team, last $window",
        panels=(
            number("Waited, per 100 developers", wait, width=8, height=CHART_HEIGHT),
            panels.bars(
                "Waited for, per 100 developers",
                said,
                [kinds.query()],
                unit=kinds.unit,
                no_data=NOBODY,
                width=16,
                height=CHART_HEIGHT,
                links=kinds.links(),
            ),
            panels.timeseries(
                "Waited for, per 100 developers: over time",
                said,
                [kinds.query()],
                unit=kinds.unit,
                no_data=NOBODY,
                width=panels.GRID_COLUMNS,
                bars=True,
                stacked=True,
                lowest=0,
                links=kinds.links(),
            ),
        ),
    )


BOARD = Board(UID, board, INDICATORS)
