"""An indicator week by week: what evaluating at the end of each week gives, with what is withheld of few people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples

from collector.store import ObservationStore, from_micros
from slo_engine.indicator import Indicator, Shape
from slo_engine.numbers import shown
from slo_engine.observation import Observation, Outcome, Subject
from slo_engine.organisation import Organisation, Service
from slo_engine.reading import Reader
from slo_engine.snapshot import Number
from slo_engine.suppression import Cell
from slo_engine.weekly import Week
from slo_engine.weeks_of import WeekNumber, beside_windows, weeks_before, weeks_of

BERLIN = ZoneInfo("Europe/Berlin")
LAST = Week.parse("2026-W14", BERLIN)
"""It begins with the hour that the clocks skipped behind it."""
PEOPLE = Indicator(
    name="people",
    version="1",
    title="People",
    definition="Share of people who did.",
    shape=Shape.RATIO,
    metric="platform_people",
    people=True,
)
TEAMS = Organisation(services=(Service(name="shop", team="/a"),))
WHOLE, ONE = Subject("", "", "/"), Subject("", "", "/a")


def person(number: int, at: datetime, team: str = "/a", **fields: Any) -> Observation:
    """Somebody of a team who did it."""
    known: dict[str, Any] = {"indicator": "people", "unit": f"person:{number}", "at": at, "source": "roster"}
    return Observation(**known | {"subject": Subject("", "", team), "outcome": Outcome.GOOD} | fields)


def evaluated(
    store: ObservationStore, week: Week, subject: Subject, organisation: Organisation
) -> tuple[bool, list[Number]]:
    """Whether a subject's number of a week is withheld, and what is told of it."""
    span = week.span
    reader = Reader(store, from_micros(span.until), organisation, named=["people"])
    rows, cells = shown(PEOPLE, reader, [span], ["roster"])
    return Cell(subject, week.label, "") in cells, [r for r in rows if isinstance(r, Number) and r.subject == subject]


def told(store: ObservationStore, subject: Subject, n: int, organisation: Organisation = TEAMS) -> list[WeekNumber]:
    """The last weeks of a subject."""
    return weeks_of(PEOPLE, subject, "", weeks_before(LAST, n), store, organisation)


@pytest.mark.parametrize("subject", [WHOLE, ONE])
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=st.lists(
        st.tuples(
            st.integers(0, 11),
            st.integers(0, 20),
            st.sampled_from(["/a", "/b"]),
            st.sampled_from([Outcome.GOOD, Outcome.BAD]),
        ),
        max_size=40,
        unique_by=lambda one: one[:3],
    ),
    organisation=st.sampled_from([TEAMS, Organisation()]),
)
def test_each_week_is_what_evaluating_at_its_end_gives(
    put: Any, subject: Subject, drawn: list[tuple[int, int, str, Outcome]], organisation: Organisation
) -> None:
    """The same numbers, and the same withheld because of few people, whether or not the catalogue has teams."""
    ago = [LAST.end - timedelta(days=day, hours=2) for _, day, _, _ in drawn]
    store = put(*(person(d[0], at, d[2], outcome=d[3]) for d, at in zip(drawn, ago, strict=True)))

    found = told(store, subject, 3, organisation)

    assert [(one.withheld, list(one.numbers)) for one in found] == [
        evaluated(store, one.week, subject, organisation) for one in found
    ]


def test_of_few_people_nothing_is_told(put: Any) -> None:
    """Four people are too few to be told of, five are not; a week without anybody is no secret."""
    before = LAST.before
    store = put(
        *(person(n, LAST.start) for n in range(5)),
        *(person(n, before.start) for n in range(4)),
    )

    assert [(w.withheld, w.whole.n if w.whole else None) for w in told(store, WHOLE, 3)] == [
        (False, 0),
        (True, None),
        (False, 5),
    ]


def test_what_others_would_reveal_is_withheld(put: Any) -> None:
    """Five of one team and two of another: the whole would tell of the two, so one of its parts is not told."""
    store = put(
        *(person(n, LAST.start) for n in range(5)),
        *(person(n, LAST.start, "/b") for n in range(5, 7)),
    )

    assert [one.withheld for subject in (WHOLE, ONE) for one in told(store, subject, 1)] == [False, True]


def test_a_unit_counts_as_it_was_judged_at_the_end_of_its_week(put: Any) -> None:
    """What matured later was pending then, and is so in the chart for good."""
    store = put(*(person(n, LAST.start, matures_at=LAST.end + timedelta(days=1)) for n in range(6)))
    (found,) = told(store, WHOLE, 1)

    assert found.whole is not None
    assert (found.whole.n, found.beside and found.beside.pending) == (0, 6)


def test_a_subject_without_units_has_no_number(put: Any) -> None:
    """A team that nobody is in is no zero."""
    store = put(person(1, LAST.start))

    assert told(store, Subject("", "", "/nobody"), 1) == [WeekNumber(LAST)]


def test_weeks_follow_each_other(put: Any) -> None:
    """A week of a clock change has its own length, and no hour is missed or counted twice."""
    weeks = weeks_before(LAST, 3)

    assert [week.label for week in weeks] == ["2026-W12", "2026-W13", "2026-W14"]
    assert [b.start for b in weeks[1:]] == [a.end for a in weeks[:-1]]
    assert weeks[1].end - weeks[1].start == timedelta(days=7, hours=-1)
    assert weeks[1].end == datetime(2026, 3, 29, 22, tzinfo=UTC)


def week_of(week: Week, n: int) -> WeekNumber:
    """A week whose number is about so many people; withheld where these are too few."""
    number = Number(indicator="people", subject=WHOLE, window=week.label, dimension="", n=n, stats={"value": 1.0})
    return WeekNumber(week, withheld=True) if 0 < n < 5 else WeekNumber(week, (number,))


@pytest.mark.parametrize(
    ("people", "left", "told"),
    [
        ([6, 9, 4, 8], 0, [None, 9, None, 8]),
        ([6, 9, 3, 3], 0, [6, 9, None, None]),
        ([6, 9, 0, 8], 0, [6, 9, 0, 8]),
        ([6, 9, 0, 8], 2, [None, 9, 0, 8]),
        ([6, 9, 0, 8], -4, [6, 9, 0, 8]),
    ],
)
def test_a_window_without_its_weeks_tells_of_nobody(people: list[int], left: int, told: list[int | None]) -> None:
    """Where a window shows the few of a withheld week, or of its beginning, its smallest week is withheld as well."""
    weeks = weeks_before(LAST, len(people))
    known = [week_of(week, n) for week, n in zip(weeks, people, strict=True)]

    found = beside_windows(known, [(weeks[0].span.after, sum(people) + left)], 5)

    assert [one.whole and one.whole.n for one in found] == told


def test_only_weeks_of_the_window_are_taken_from_it() -> None:
    """A week that began before a window is no part of it."""
    first, last = weeks_before(LAST, 2)

    found = beside_windows([week_of(first, 9), week_of(last, 20)], [(last.span.after, 22)], 5)

    assert [one.withheld for one in found] == [False, True]
