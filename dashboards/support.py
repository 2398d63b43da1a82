"""The board of support and documentation: whether people are helped in time, and pages keep up with the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dashboards import panels
from dashboards.adoption import UID as ADOPTION
from dashboards.making import Board, Making, board_link, datasource, team_variable, values_variable, window_variable
from dashboards.panels import Dashboard, Panel, Row
from dashboards.split_panels import EACH, SLOS, Cut, number, people_row, rows_of, table, trend

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
_USERS = board_link(ADOPTION, "Active users", "${team:queryparam}")


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared, asked = making.named(INDICATORS), making.named(SUPPORT)
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
        number("Age of open tickets", cuts["support_open_ticket_age"], stats=within, n=False),
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
            table(
                "Code and its pages, by team",
                "By method: a map of code to pages, or the age of a page.",
                (
                    fresh.column("In time"),
                    fresh.column("At least", "low"),
                    fresh.column("At most", "high"),
                    fresh.counted_column(),
                    fresh.used_column(),
                    fresh.waiting_column("Pending"),
                ),
                (fresh,),
                width=12,
            ),
            table(
                "Reviews of pages, by team",
                "Of all pages there are now.",
                (
                    reviewed.column("Reviewed"),
                    reviewed.column("At least", "low"),
                    reviewed.column("At most", "high"),
                    reviewed.counted_column("Pages (n)"),
                ),
                (reviewed,),
                width=12,
            ),
        ),
    )


BOARD = Board(UID, board, INDICATORS)
