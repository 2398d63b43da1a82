"""Waits for runners, carried on from one derivation to the next: what new runs change is what all runs say.

Times are minutes after Monday, 5 January 2026, 00:00 UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from ci_runs import ANN, DAY, START, job, run
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from steps import Derived

from collector.events import Event, Member, MemberKind, PipelineRun, Result, RunState
from slo_engine.ci_waits import NEVER
from slo_engine.indicator import Piece
from slo_engine.indicators import wait

BOB = "person:bob"


def under_way(name: str, created: float, started: float | None, **more: Any) -> PipelineRun:
    """A pipeline's run that has not ended."""
    return run(name, created, started, **{"state": RunState.EXECUTING, "result": None, "finished_at": None, **more})


def changed(pieces: Sequence[Piece]) -> list[tuple[int | None, int]]:
    """For each piece whether it stands for all there is, and how many observations it has."""
    return [(piece.after, len(list(piece.observations))) for piece in pieces]


def test_new_runs_are_added_to_the_sum_of_their_day() -> None:
    """Runs of today change today's sum and how many there are, whatever else there was."""
    derived = Derived(wait.FAMILY)
    derived.after(*(run(f"{day}", day * DAY, day * DAY + 3) for day in range(30)))

    found = derived.after(run("new", 29 * DAY + 10, 29 * DAY + 14))

    assert changed(found) == [(NEVER, 2)]
    assert derived.everything == derived.anew


def test_a_run_is_followed_until_it_ends() -> None:
    """It waits, starts, is known by its jobs and ends: each time only what it changes is said."""
    derived = Derived(wait.FAMILY)
    derived.after(run("old", 0, 3))
    told = [
        [under_way("p", 10, None)],
        [under_way("p", 10, 12)],
        [job("a", 12, 15), job("b", 12, None, state=RunState.PENDING, result=None)],
        [job("b", 12, 18, state=RunState.EXECUTING, result=None)],
        [job("b", 12, 18), run("p", 10, 12)],
    ]

    for events in told:
        assert changed(derived.after(*events))[0][0] == NEVER
        assert derived.everything == derived.anew


def test_what_became_of_a_run_that_had_ended_is_looked_up() -> None:
    """It is run again, or a job of it is told late: all runs are looked at, and nothing is counted twice."""
    derived = Derived(wait.FAMILY)
    derived.after(run("p", 10, 12), run("q", 10, 12))

    assert changed(derived.after(run("q", 10, 20)))[0][0] is None
    assert changed(derived.after(job("a", 12, 15)))[0][0] is None
    assert derived.everything == derived.anew


def test_a_run_of_a_day_that_is_closed_is_looked_up() -> None:
    """Of a day with fifteen later ones no sum is kept: it is added up again."""
    derived = Derived(wait.FAMILY)
    derived.after(*(run(f"{day}", day * DAY, day * DAY + 3) for day in range(16)))

    assert changed(derived.after(run("late", 10, 20)))[0][0] is None
    assert derived.everything == derived.anew


def test_a_run_that_never_ends_costs_nothing_later() -> None:
    """Once its day is closed it is settled as it was; what comes of today is added still."""
    derived = Derived(wait.FAMILY)
    derived.after(under_way("p", 0, 3))
    for day in range(20):
        derived.after(run(f"{day}", day * DAY, day * DAY + 3))

    assert changed(derived.after(run("new", 19 * DAY, 19 * DAY + 3)))[0][0] == NEVER
    assert derived.everything == derived.anew


def test_what_is_written_during_a_derivation_is_told_again() -> None:
    """It is in the sum already, and is still open when it comes as something new: so it costs what it changes."""
    derived = Derived(wait.FAMILY)
    derived.after(run("1", 0, 3))
    derived.after(run("2", 0, 3), meanwhile=[run("3", 0, 3)])

    assert changed(derived.after(run("4", 0, 3))) == [(NEVER, 2)]
    assert derived.everything == derived.anew


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(under_way("q", DAY, DAY + 5), id="another day"),
        pytest.param(under_way("q", 0, None), id="it waits again"),
        pytest.param(under_way("q", 0, 3, bot=True), id="a bot"),
        pytest.param(under_way("q", 9, 3), id="no time"),
    ],
)
def test_a_run_that_turns_out_to_be_elsewhere_takes_nobody_along(told: PipelineRun) -> None:
    """Two were counted together, one of them under way: what becomes of it leaves the other one where it is."""
    derived = Derived(wait.FAMILY)
    derived.after(run("p", 0, 4), under_way("q", 0, 3))
    derived.after(told)

    assert derived.everything == derived.anew


def test_only_so_many_runs_under_way_are_read_again() -> None:
    """Of 1,200 that wait the newest thousand are open; the others are counted among those that wait all the same."""
    derived = Derived(wait.FAMILY)
    derived.after(*(under_way(f"{n}", n / 10, None) for n in range(1200)))

    assert changed(derived.after(run("1199", 119.9, 300))) == [(NEVER, 3)]
    assert derived.everything == derived.anew
    assert changed(derived.after(run("7", 0.7, 300)))[0][0] is None
    assert derived.everything == derived.anew


_minute = st.none() | st.builds(lambda day, minute: day * DAY + minute, st.integers(0, 20), st.integers(0, 9))
_names = st.sampled_from([*"pqrstuvw"])
_run = st.builds(
    lambda task, name, parent, created, started, more: (
        job(f"j{name}", created, started, parent_native_id=parent, **more)
        if task
        else run(name, created, started, **more)
    ),
    *(st.booleans(), _names, st.none() | _names, _minute, _minute),
    st.fixed_dictionaries(
        {
            "state": st.sampled_from([RunState.COMPLETED, RunState.COMPLETED, *RunState]),
            "result": st.sampled_from([Result.SUCCESS, Result.SUCCESS, None, *Result]),
            "repository": st.sampled_from(["o/shop", "o/shop", "o/api"]),
            "source": st.sampled_from(["ci", "ci", "forge"]),
            "pipeline": st.sampled_from(["build", "build", "test"]),
            "actor": st.sampled_from([None, ANN, BOB]),
            "bot": st.sampled_from([False, False, True]),
        }
    ),
)
_member = st.builds(
    lambda who, start, team: Member(
        source="hr",
        native_id=f"{who}@{start}",
        person=who,
        team=team,
        member_kind=MemberKind.HIRE,
        started_at=START + timedelta(days=start),
    ),
    *(st.sampled_from([ANN, BOB]), st.integers(-1, 20), st.sampled_from(["/a", "/b"])),
)
_new = st.builds(
    lambda number, day: run(f"new{number}", day * DAY, day * DAY + 2), st.integers(0, 10**9), st.integers(0, 20)
)
_batch = st.lists(_run | _new, max_size=6)


@settings(max_examples=examples(150), deadline=None)
@given(
    batches=st.lists(st.tuples(_batch, _batch, st.lists(_member, max_size=1)), min_size=2, max_size=7), data=st.data()
)
def test_runs_step_by_step_are_those_of_one_step(
    batches: list[tuple[list[Event], list[Event], list[Event]]], data: st.DataObject
) -> None:
    """Told late, again, otherwise, in parts, elsewhere, meanwhile, of people who move: it is as if all were known."""
    derived = Derived(wait.FAMILY)
    roster = data.draw(st.booleans())
    if data.draw(st.booleans()):
        derived.after(*(run(f"old{day}", day * DAY, day * DAY + 3) for day in range(17)))
    for now, meanwhile, members in batches:
        derived.after(*now, *(members if roster else ()), meanwhile=meanwhile)
        assert derived.everything == derived.anew
