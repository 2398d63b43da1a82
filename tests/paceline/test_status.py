"""What the status page shows of a snapshot, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from paceline.status import MOST_NUMBERS, MOST_SCORES, status_view
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Subject
from slo_engine.snapshot import Accounting, Number, Snapshot

AT = datetime(2026, 3, 9, tzinfo=UTC)
SUBJECTS = (
    Subject("", "production", "/"),
    Subject("", "production", "/a"),
    Subject("", "production", "/a/b"),
    Subject("api", "production", "/a/b"),
)


def number(indicator: str, subject: Subject) -> Number:
    """A number of three units."""
    return Number(indicator=indicator, subject=subject, window="28d", n=3, stats={})


def test_levels_come_first_and_the_highest_above() -> None:
    """The organisation with all its indicators, then teams by depth, then services; nothing is left out."""
    snapshot = Snapshot(at=AT, numbers=tuple(number(i, s) for i in ("x", "y") for s in reversed(SUBJECTS)))

    view = status_view(snapshot, {})

    assert [n.subject for n, _ in view.numbers] == [s for s in SUBJECTS for _ in "xy"]
    assert view.more_numbers == 0


def test_what_stands_beside_a_number_is_its_own() -> None:
    """Pending and excluded units go with their indicator, subject and window."""
    one, other = number("x", SUBJECTS[3]), number("y", SUBJECTS[3])
    beside = Accounting(indicator="y", subject=SUBJECTS[3], window="28d", pending=2, excluded={}, coverage=None)

    view = status_view(Snapshot(at=AT, numbers=(one, other), accounting=(beside,)), {})

    assert view.numbers == ((one, None), (other, beside))


def test_what_stands_beside_a_label_is_its_own() -> None:
    """A journey's pending units go with the journey's number, and a duration's part has nothing of its own."""
    who = SUBJECTS[1]
    numbers = [Number(indicator="x", subject=who, window="28d", dimension=d, n=3, stats={}) for d in ("", "db")]
    rows = [
        Accounting(indicator="x", subject=who, window="28d", dimension=d, pending=p, excluded={}, coverage=None)
        for d, p in (("", 3), ("db", 2))
    ]
    part = Number(indicator="y", subject=who, window="28d", dimension="review", n=1, stats={})

    view = status_view(Snapshot(at=AT, numbers=(*numbers, part), accounting=tuple(rows)), {})

    assert view.numbers == ((numbers[0], rows[0]), (numbers[1], rows[1]), (part, None))


def test_a_thousand_services_are_cut_and_counted() -> None:
    """At most 200 numbers and 50 scored subjects are shown, of one window; the rest is a count."""
    services = [Subject(f"s{n:04}", "production") for n in range(1_000)]
    scores = {(s, window): {"overall": 5.0} for s in services for window in ("28d", "90d")}
    snapshot = Snapshot(at=AT, numbers=tuple(number("x", s) for s in services), scores=scores)

    view = status_view(snapshot, {})

    assert (len(view.numbers), view.more_numbers) == (MOST_NUMBERS, 800)
    assert (len(view.scores), view.more_scores) == (MOST_SCORES, 950)


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

    view = status_view(Snapshot(at=AT, numbers=numbers), known)

    assert [(n.indicator, n.subject, n.window, n.dimension) for n, _ in view.promises] == [
        ("x", whole, "28d", ""),
        ("y", whole, "90d", ""),
    ]
    assert (view.numbers, view.more_numbers, view.more_promises) == ((), 0, 14)


def _ratio(name: str, **fields: Any) -> Indicator:
    """A ratio."""
    return Indicator(
        name=name, version="1", title=name, definition=name, shape=Shape.RATIO, metric=f"platform_{name}", **fields
    )
