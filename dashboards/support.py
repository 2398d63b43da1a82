"""The board of support and documentation: whether people are helped in time, and pages keep up with the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dashboards import panels
from dashboards.adoption import UID as ADOPTION
from dashboards.cuts import EACH, Cut
from dashboards.making import (
    Board,
    Making,
    board_link,
    datasource,
    service_variable,
    team_variable,
    values_variable,
    window_variable,
)
from dashboards.panels import Dashboard, Panel, Row
from dashboards.split_panels import SLOS, number, people_row, rows_of, table, trend

UID = "paceline-support"
SUPPORT = (
    "support_first_response",
    "support_first_response_time",
    "support_resolution",
    "support_resolution_time",
    "support_open_tickets",
    "support_open_ticket_age",
    "support_tickets_per_100_users",
)
DOCUMENTATION = ("documentation_freshness", "documentation_reviewed")
INDICATORS = (*SUPPORT, *DOCUMENTATION)
_HOURS = "In opening hours of the queue; a day is 24 of them."
_YOUNGER = {"p50": "median", "p90": "nine of ten younger than"}
_USERS = board_link(ADOPTION, "Active users", "${team:queryparam}")


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared, asked, written = (making.named(names) for names in (INDICATORS, SUPPORT, DOCUMENTATION))
    if not declared:
        return None
    queued = [i for i in asked if "queue" in i.labels]
    return panels.board(
        UID,
        "Paceline: support and documentation",
        "How people are helped, and whether pages keep up with the code.",
        [
            datasource(),
            team_variable(declared, default="/"),
            *([values_variable("queue", "Queue", queued)] if queued else []),
            *([service_variable(written, everything=True)] if written else []),
            window_variable(declared, "28d"),
        ],
        (
            *rows_of(making, SUPPORT, _support_rows),
            *rows_of(making, DOCUMENTATION, _documentation_rows),
            *people_row(declared),
        ),
        since="now-28d",
    )


def _support_rows(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    queues = {name: cut.of(queue="$queue") for name, cut in cuts.items()}
    yield Row(title="Are people helped in time? $team, last $window", panels=_now(cuts))
    yield Row(title="By queue: $team, last $window", panels=(_by_queue(queues),))
    yield Row(
        title="Over time, by queue: $team",
        panels=(
            trend("Open tickets, by queue", queues["support_open_tickets"], bounds=False),
            trend(
                "Nine of ten open tickets are younger than, by queue",
                queues["support_open_ticket_age"],
                stats={"p90": ""},
                bounds=False,
            ),
            trend("First response in time, by queue", queues["support_first_response"], bounds=False),
            trend("Resolved in time, by queue", queues["support_resolution"], bounds=False),
            *(
                trend(title, queues[name], stats={"p90": ""}, bounds=False)
                for title, name in (
                    ("Nine of ten get a first response within, by queue", "support_first_response_time"),
                    ("Nine of ten are resolved within, by queue", "support_resolution_time"),
                )
            ),
            trend("Tickets per 100 users: over time", cuts["support_tickets_per_100_users"], bounds=False),
            _rests_on(queues),
        ),
    )


def _now(cuts: Mapping[str, Cut]) -> tuple[Panel, ...]:
    within = {"p50": "median", "p90": "nine of ten within"}
    return (
        number("Open tickets now", cuts["support_open_tickets"], n=False),
        number("Age of open tickets", cuts["support_open_ticket_age"], stats=_YOUNGER, n=False),
        number("First response in time", cuts["support_first_response"], links=[SLOS]),
        number("Resolved in time", cuts["support_resolution"], links=[SLOS]),
        number("Time to a first response", cuts["support_first_response_time"], stats=within, words=_HOURS, width=8),
        number("Time to a resolution", cuts["support_resolution_time"], stats=within, words=_HOURS, width=8),
        number("Tickets per 100 users", cuts["support_tickets_per_100_users"], width=8, links=[_USERS]),
    )


def _by_queue(queues: Mapping[str, Cut]) -> Panel:
    response, resolution = queues["support_first_response"], queues["support_resolution"]
    response_time = queues["support_first_response_time"]
    still_open, age = queues["support_open_tickets"], queues["support_open_ticket_age"]
    return table(
        "Each queue",
        f"Open, and how long since: now. The rest: of the window. First response: {_HOURS[0].lower()}{_HOURS[1:]}",
        (
            still_open.column("Open"),
            age.column("Age, nine of ten", "p90"),
            response.column("Answered in time"),
            response.counted_column("Answers (n)"),
            response_time.column("First response, median", "p50"),
            resolution.column("Resolved in time"),
            resolution.counted_column("Resolutions (n)"),
        ),
        (response, response_time, resolution, still_open, age),
    )


def _rests_on(queues: Mapping[str, Cut]) -> Panel:
    response, resolution = queues["support_first_response"], queues["support_resolution"]
    return table(
        "What it rests on",
        "Used: the share of the judged tickets that could be counted. Pending: neither answered nor late yet.",
        (
            response.used_column("Answers used"),
            response.waiting_column("Answers pending"),
            resolution.used_column("Resolutions used"),
            resolution.waiting_column("Resolutions pending"),
        ),
        (response, resolution),
        width=12,
    )


def _documentation_rows(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    fresh, reviewed = (cuts[name].of(method=EACH) for name in DOCUMENTATION)
    yield Row(
        title="Does documentation keep up? $team, last $window",
        panels=(
            number("Changes whose page followed in time", fresh, width=12, links=[SLOS]),
            number("Pages that were reviewed", reviewed, width=12),
            trend("Changes whose page followed in time: over time", fresh),
            trend("Pages that were reviewed: over time", reviewed),
            *_pages("team", fresh, reviewed),
        ),
    )
    services = (replace(cut, by_service=True) for cut in (fresh, reviewed))
    yield Row(title="Documentation by service: $service, last $window", panels=_pages("service", *services))


def _pages(whose: str, fresh: Cut, reviewed: Cut) -> tuple[Panel, ...]:
    return (
        table(
            f"Code and its pages, by {whose}",
            "By method, which is how code and pages are brought together.",
            (*fresh.columns("In time", "Counted (n)"), fresh.used_column(), fresh.waiting_column("Pending")),
            (fresh,),
            width=12,
        ),
        table(
            f"Reviews of pages, by {whose}",
            "Of all pages that there are now.",
            reviewed.columns("Reviewed", "Pages (n)"),
            (reviewed,),
            width=12,
        ),
    )


BOARD = Board(UID, board, INDICATORS)
