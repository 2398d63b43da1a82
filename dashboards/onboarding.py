"""The board of onboarding: how soon those who join are productive, and how many are not there yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from collector.events import MilestoneKind
from dashboards import panels
from dashboards.cuts import EACH, Cut
from dashboards.making import (
    NOBODY,
    Board,
    Making,
    about,
    any_of,
    datasource,
    team_variable,
    window_variable,
)
from dashboards.panels import Dashboard, Panel, Query, Row
from dashboards.split_panels import SLOS, interval, left_out, number, people_row, rows_of, table, trend
from slo_engine.indicator import Indicator

UID = "paceline-onboarding"
INDICATORS = ("onboarding_success", "onboarding_time")
_CENSORED = (
    "Who is not there yet counts as not there yet (Kaplan-Meier): the time of those who have arrived would be too "
    "short. Absent while too few have arrived."
)
_DEADLINE = (
    "Good and bad alike are dated at the deadline: who still has time is not judged yet, however early others were."
)
_STAGE = "${stage}"
_STAGES = tuple(kind.value for kind in MilestoneKind if kind is not MilestoneKind.ROSTER_START)


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared = making.named(INDICATORS)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: onboarding",
        "How soon newcomers deploy their first change, and reach the milestones before it.",
        [datasource(), team_variable(declared, default="/"), _stage(declared), window_variable(declared, "90d")],
        (*rows_of(making, INDICATORS, _rows), *people_row(declared)),
        since="now-26w",
    )


def _stage(declared: Sequence[Indicator]) -> Any:
    """One milestone, at first that of the board's question: what several take together would answer nothing."""
    found, first = any_of(declared, 'stage!=""'), MilestoneKind.FIRST_DEPLOYED_CHANGE.value
    return panels.label_variable("stage", "Milestone", found, "stage", default=first)


def _rows(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    success, time = (replace(cuts[name], titles={"stage": "Milestone"}) for name in INDICATORS)
    time = replace(time, working_days=True)
    chosen, chosen_time = success.only(stage=_STAGE), time.only(stage=_STAGE)
    yield Row(title="Are newcomers productive in time? $stage, $team, last $window", panels=_now(chosen, chosen_time))
    yield Row(
        title="Does it get better? $stage, $team",
        panels=(
            trend(
                "Time to the milestone: over time", chosen_time, stats={"p50": "median", "p75": "three of four within"}
            ),
            trend("Share within the promised days: over time", chosen),
        ),
    )
    yield Row(title="From milestone to milestone: $team, last $window", panels=_stages(success, time))
    yield Row(title="By kind of joining: $stage, $team, last $window", panels=(_kinds(chosen, chosen_time),))
    yield Row(
        title="What it rests on: $team, last $window",
        panels=(
            left_out("Left out, and why", {"Newcomers": success.of(stage=EACH)}),
            _coverage(success.of(stage=EACH)),
        ),
    )


def _now(success: Cut, time: Cut) -> tuple[Panel, ...]:
    return (
        number("Median time to the milestone", time, words=_CENSORED),
        interval("The median lies between", time),
        number("Three of four are there within", time, stats={"p75": ""}, words=_CENSORED, n=False),
        _waiting("Joined, and still on the way", time, "on the way"),
        number("Share within the promised days", success, words=_DEADLINE, width=8, links=[SLOS]),
        interval("The share lies between", success, width=8),
        _waiting("Deadline not reached: not judged yet", success, "not judged yet", width=8),
    )


def _waiting(title: str, cut: Cut, said: str, *, width: int = 6) -> Panel:
    """Those who are not there yet."""
    return panels.stat(
        title,
        f"{cut.metrics.pending.help}\n\n{about(cut.indicator)}",
        [cut.waiting(said)],
        unit="none",
        no_data=NOBODY,
        width=width,
    )


def _stages(success: Cut, time: Cut) -> tuple[Panel, ...]:
    """All milestones side by side, in the order in which they are reached."""
    waterfall = [
        Query(expr=time.only(stage=stage).value(), legend=f"{{{{team}}}} {stage.replace('_', ' ')}")
        for stage in _STAGES
    ]
    each, each_time = success.of(stage=EACH), time.of(stage=EACH)
    return (
        panels.bars(
            "Median time from the start to each milestone",
            f"Each is counted from the start, not from the one before.\n\n{_CENSORED}\n\n{about(time.indicator)}",
            waterfall,
            unit=time.unit,
            no_data=NOBODY,
            width=8,
        ),
        table(
            "By milestone",
            f"{_CENSORED}\n\n{_DEADLINE}",
            (
                each_time.column("Median", "p50"),
                each_time.column("Three of four", "p75"),
                each_time.counted_column("Joined (n)"),
                each_time.waiting_column("On the way"),
                each.column("In time"),
                each.counted_column("Judged (n)"),
            ),
            (each_time, each),
            width=16,
        ),
    )


def _kinds(success: Cut, time: Cut) -> Panel:
    """Groups of newcomers, often too small to be shown; the method is the clock that starts their time."""
    judged, timed = (cut.of(kind=EACH, method=EACH) for cut in (success, time))
    return table(
        "By kind of joining, and by what starts the clock",
        "Hires, transfers and others, by method: a roster, or the first thing that somebody did. Small groups are "
        "withheld.",
        (
            timed.column("Median", "p50"),
            timed.column("Three of four", "p75"),
            timed.counted_column("Joined (n)"),
            judged.column("In time"),
            judged.counted_column("Judged (n)"),
        ),
        (timed, judged),
    )


def _coverage(cut: Cut) -> Panel:
    return table(
        "How many could be judged",
        "Used: the share of those past their deadline who could be judged.",
        (cut.counted_column("Judged (n)"), cut.used_column(), cut.waiting_column("Not judged yet")),
        (cut,),
        width=12,
    )


BOARD = Board(UID, board, INDICATORS)
