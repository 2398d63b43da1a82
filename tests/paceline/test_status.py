"""What the home page shows of a snapshot, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from paceline.status import MOST_LEVELS, MOST_SLOS, home_view, left_of, pace_of, verdict_of, worst_first
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Subject
from slo_engine.slo import EventCounts, IndicatorSli, Slo, SloStatus
from slo_engine.snapshot import Accounting, Number, SloState, Snapshot, SourceState
from slo_engine.windows import parse_window

AT = datetime(2026, 3, 9, tzinfo=UTC)
SUBJECTS = (
    Subject("", "production", "/"),
    Subject("", "production", "/a"),
    Subject("", "production", "/a/b"),
    Subject("api", "production", "/a/b"),
)


def number(indicator: str, subject: Subject, **fields: Any) -> Number:
    """A number of three units."""
    given: dict[str, Any] = {"indicator": indicator, "subject": subject, "window": "28d", "n": 3, "stats": {}}
    return Number(**given | fields)


def scored(*subjects: Subject, **fields: Any) -> Snapshot:
    """A snapshot in which these have scores of two windows."""
    scores = {(s, window): {"overall": 5.0} for s in subjects for window in ("28d", "90d")}
    given: dict[str, Any] = {"at": AT, "scores": scores}
    return Snapshot(**given | fields)


def state(name: str, status: SloStatus = SloStatus.HEALTHY, left: float | None = 0.5, **fields: Any) -> SloState:
    """An SLO of 99 % over 28 days with a thousand events, of which so much of the budget is left."""
    slo = Slo(
        name=name,
        title=name,
        description="",
        owner_service="",
        target=Decimal("0.99"),
        window=parse_window("28d"),
        sli=IndicatorSli(indicator="x"),
    )
    given: dict[str, Any] = {
        "slo": slo,
        "status": status,
        "why": "",
        "counts": {"28d": EventCounts(995, 5)},
        "attainment": 0.995,
        "budget_remaining": left,
        "budget_remaining_events": None if left is None else 10 * left,
        "burn_rates": {},
        "time_to_exhaustion_seconds": None,
        "coverage": 1.0,
        "totals": None,
        "noun": "minutes",
    }
    return SloState(**given | fields)


# --- delivery --------------------------------------------------------------------------------------------


def test_the_organisation_stands_apart_and_levels_before_services() -> None:
    """The organisation has a table of its own; then teams by depth, then services; nothing is left out."""
    view = home_view(scored(*reversed(SUBJECTS)), {})

    assert view.whole is not None
    assert view.whole.subject == SUBJECTS[0]
    assert [found.subject for found in view.levels] == list(SUBJECTS[1:])
    assert view.more_levels == 0


def test_the_one_service_is_told_as_the_organisation_is() -> None:
    """Without a catalogue there is no level; one service is then all there is."""
    view = home_view(scored(SUBJECTS[3]), {})

    assert (view.whole and view.whole.subject, view.levels) == (SUBJECTS[3], ())


def test_several_services_without_a_level_are_equals() -> None:
    """None of them is told as if it were all of them."""
    view = home_view(scored(SUBJECTS[3], Subject("pay", "production")), {})

    assert (view.whole, len(view.levels)) == (None, 2)


def test_delivery_is_told_with_the_numbers_of_28_days() -> None:
    """Other windows, parts of a duration and other indicators are elsewhere."""
    told = number("change_lead_time", SUBJECTS[0])
    others = (
        number("change_lead_time", SUBJECTS[0], window="7d"),
        number("change_lead_time", SUBJECTS[0], dimension="review"),
        number("pipeline_wait", SUBJECTS[0]),
    )

    view = home_view(scored(SUBJECTS[0], numbers=(told, *others)), {})

    assert view.whole is not None
    assert view.whole.numbers == {"change_lead_time": told}


def test_a_thousand_services_are_cut_and_counted() -> None:
    """At most twenty are shown; the rest is a count."""
    view = home_view(scored(*(Subject(f"s{n:04}", "production") for n in range(1_000))), {})

    assert (len(view.levels), view.more_levels) == (MOST_LEVELS, 1_000 - MOST_LEVELS)


# --- the platform's own promises -------------------------------------------------------------------------


def test_the_platform_s_own_promises_stand_by_themselves() -> None:
    """A promise is told of everybody, in 28 days and of people in 90; its teams, labels and windows are counted."""
    known = {name: _ratio(name, people=name == "y", labels=("journey",)) for name in "xy"}
    whole, team = SUBJECTS[0], SUBJECTS[1]
    numbers = tuple(
        Number(indicator=name, subject=who, window=window, dimension=journey, n=9, stats={})
        for name in "xy"
        for who in (whole, team)
        for window in ("28d", "90d")
        for journey in ("", "db")
    )

    view = home_view(Snapshot(at=AT, numbers=numbers), known)

    assert [(n.indicator, n.subject, n.window, n.dimension) for n, _ in view.promises] == [
        ("x", whole, "28d", ""),
        ("y", whole, "90d", ""),
    ]
    assert view.more_promises == 14


def test_what_stands_beside_a_promise_is_its_own() -> None:
    """Pending and excluded units go with their indicator, subject, window and label."""
    known = {"x": _ratio("x", labels=("journey",), apart=("journey",))}
    numbers = [number("x", SUBJECTS[0], dimension=d) for d in ("", "db")]
    rows = [
        Accounting(indicator="x", subject=who, window=window, dimension=d, pending=p, excluded={}, coverage=None)
        for who, window, d, p in (
            (SUBJECTS[0], "28d", "", 3),
            (SUBJECTS[0], "28d", "db", 2),
            (SUBJECTS[0], "7d", "db", 1),
            (SUBJECTS[1], "28d", "db", 4),
        )
    ]

    view = home_view(Snapshot(at=AT, numbers=tuple(numbers), accounting=tuple(rows)), known)

    assert view.promises == ((numbers[0], rows[0]), (numbers[1], rows[1]))


def _ratio(name: str, **fields: Any) -> Indicator:
    """A ratio."""
    return Indicator(
        name=name, version="1", title=name, definition=name, shape=Shape.RATIO, metric=f"platform_{name}", **fields
    )


# --- SLOs ------------------------------------------------------------------------------------------------


def test_the_worst_slos_come_first() -> None:
    """Exhausted before at risk before unknown before healthy; among equals the one with the least budget left."""
    states = [
        state("fine", left=0.9),
        state("unknown", SloStatus.INSUFFICIENT_DATA, None),
        state("spent", SloStatus.EXHAUSTED, -0.5),
        state("near", SloStatus.AT_RISK, 0.1),
        state("worse", SloStatus.EXHAUSTED, -4.0),
        state("half"),
    ]

    assert [s.slo.name for s in worst_first(states)] == ["worse", "spent", "near", "unknown", "half", "fine"]


def test_of_many_slos_the_others_are_counted_by_status() -> None:
    """Twelve rows, and in words how the others are."""
    states = [state(f"bad{n}", SloStatus.EXHAUSTED, -1.0) for n in range(MOST_SLOS + 1)] + [state("fine")]

    view = home_view(Snapshot(at=AT, slos=tuple(states)), {})

    assert (len(view.slos), view.more_slos) == (MOST_SLOS, "1 out of budget, 1 healthy")


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        ([], "No SLO is defined."),
        ([SloStatus.HEALTHY], "1 of 1 promises is kept, and none is at risk."),
        ([SloStatus.HEALTHY, SloStatus.AT_RISK], "2 of 2 promises are kept; 1 at risk."),
        (
            [SloStatus.EXHAUSTED, SloStatus.INSUFFICIENT_DATA, SloStatus.HEALTHY],
            "1 of 3 promises is kept; 1 out of budget, 1 without enough data.",
        ),
    ],
)
def test_the_verdict_is_a_sentence(statuses: list[SloStatus], said: str) -> None:
    """Kept is what has budget left; what is not known is not called kept."""
    assert verdict_of([state(str(n), status) for n, status in enumerate(statuses)]) == said


@pytest.mark.parametrize(
    ("left", "said"),
    [(0.5, "5.0 of 10.0 minutes left"), (-0.25, "2.5 minutes over the 10.0 allowed"), (None, "")],
)
def test_what_is_left_is_told_in_the_slo_s_own_units(left: float | None, said: str) -> None:
    """Overspent is told as what is too much, and unknown as nothing."""
    assert left_of(state("x", left=left)) == said


@pytest.mark.parametrize(
    ("rates", "exhausted_after", "said"),
    [
        ({}, None, ("no value", "")),
        ({"5m": 9.0, "7d": 0.5, "28d": 0.2}, 8.6e6, ("0.5 in 7d", "")),
        ({"3d": 2.0, "7d": 0.5}, 345_600.0, ("2 in 3d", "used up in 4.0 d")),
        ({"3d": 2.0}, None, ("2 in 3d", "")),
    ],
)
def test_the_pace_is_that_of_the_last_days(
    rates: dict[str, float], exhausted_after: float | None, said: tuple[str, str]
) -> None:
    """Minutes and hours say nothing about the week; when the budget is used up is told where it does not last."""
    assert pace_of(state("x", burn_rates=rates, time_to_exhaustion_seconds=exhausted_after)) == said


# --- data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "is_behind"),
    [({}, False), ({"fresh": False}, True), ({"last_succeeded": False}, True), ({"truncations": ("jobs",)}, True)],
)
def test_sources_that_need_a_look_are_named(fields: dict[str, Any], is_behind: bool) -> None:  # noqa: FBT001 - a column
    """Those that are not fresh, whose last run failed, or that hold more than they handed out."""
    given: dict[str, Any] = {
        "name": "ci",
        "type": "files",
        "fresh": True,
        "staleness_seconds": 1.0,
        "last_success_at": AT,
        "last_run_at": AT,
        "last_duration_seconds": 1.0,
        "last_succeeded": True,
        "error": None,
        "events_total": 1,
        "rejected_total": 0,
        "newest_event_at": AT,
    }

    view = home_view(Snapshot(at=AT, sources=(SourceState(**given | fields),)), {})

    assert bool(view.behind) is is_behind
