"""The platform's own numbers in the weekly summary: one line each, and nothing about a few people."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from weeks import Small, source

from slo_engine.indicator import Indicator, Reach, Shape, Unit
from slo_engine.measure import Measured, Sample
from slo_engine.observation import Observation, Outcome, Subject, labelled
from slo_engine.organisation import Organisation
from slo_engine.weekly import Week, rendered

UTC_ZONE = ZoneInfo("UTC")
WEEK = Week(date(2026, 3, 30), UTC_ZONE)
IN_IT = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)


def _oldest(sample: Sample) -> Measured:
    ages = (sample.now - sample.at) / 1e6
    return Measured(int(ages.size), {"high": float(np.max(ages))}, coverage=1.0)


def _people(sample: Sample) -> Measured:
    n = np.unique(sample.unit).size
    return Measured(n, {"value": float(n)}, coverage=1.0)


def indicator(name: str, **fields: Any) -> Indicator:
    """A ratio of requests by journey, unless told otherwise."""
    given: dict[str, Any] = {"version": "1", "definition": name, "shape": Shape.RATIO, "metric": f"platform_{name}"}
    return Indicator(name=name, title=name.capitalize(), **given | fields)


SUCCESS = indicator("success", labels=("journey",))
FRESHNESS = indicator("freshness", labels=("method",), apart=("method",))
AGE = indicator("age", shape=Shape.MEASURE, measure=_oldest, stats=("high",), unit=Unit.SECONDS, reach=Reach.ALL)
ACTIVE = indicator("active", shape=Shape.MEASURE, measure=_people, stats=("value",), people=True)
DELIVERY = indicator("change_fail_rate")
INDICATORS = {i.name: i for i in (SUCCESS, FRESHNESS, AGE, ACTIVE, DELIVERY)}


def seen(name: str, unit: str, *labels: str, **fields: Any) -> Observation:
    """A good unit of the week, of some team."""
    given: dict[str, Any] = {"at": IN_IT, "subject": Subject(team="/shop"), "source": "desk", "outcome": Outcome.GOOD}
    return Observation(indicator=name, unit=unit, dimension=labelled(*labels), **given | fields)


def section(small: Small, *observations: Observation, until: datetime = WEEK.end) -> list[str]:
    """The lines of the section."""
    sources = (source("desk", until),)
    summary = small.put(*observations).told(
        week=WEEK, indicators=INDICATORS, sources=sources, organisation=Organisation()
    )
    _, _, rest = rendered(summary, "markdown").partition("## The platform's own numbers\n\n")
    return [line for line in rest.partition("\n## ")[0].splitlines() if line]


def rows(small: Small, *observations: Observation, **fields: Any) -> list[str]:
    """The rows of its table."""
    return [line for line in section(small, *observations, **fields)[2:] if line.startswith("|")]


def test_a_promise_is_one_line_of_the_whole_organisation(small: Small) -> None:
    """Two journeys of two teams are one share: 3 of 4, Wilson's interval 30.1 to 95.4 %, all of them used."""
    units = [seen("success", "1", "db"), seen("success", "2", "vm"), seen("success", "3", "vm", subject=Subject())]
    bad = seen("success", "4", "db", outcome=Outcome.BAD, subject=Subject(team="/data"))

    assert rows(small, *units, bad) == [
        "| Success | 2026-W14 | 75.0% | 30.1% to 95.4% | 4 | no value before | 100.0% | none |"
    ]


def test_what_is_never_one_number_has_a_line_for_each(small: Small) -> None:
    """Two methods of freshness stand beside each other."""
    found = rows(small, seen("freshness", "1", "map"), seen("freshness", "2", "age"))

    assert [row.split(" | ")[0] for row in found] == ["| Freshness: method age", "| Freshness: method map"]


def test_pending_and_left_out_stand_beside(small: Small) -> None:
    """What is not in the number is counted: one waits, one was left out, of two final units one was used."""
    waits = seen("success", "2", "db", outcome=Outcome.PENDING)
    left = seen("success", "3", "db", outcome=Outcome.EXCLUDED, reason="late_roster")

    (row,) = rows(small, seen("success", "1", "db"), waits, left)

    assert row.endswith("| 1 | no value before | 50.0% | 1 pending, 1 late roster |")


def test_people_are_looked_at_for_ninety_days(small: Small) -> None:
    """Five people in 90 days are enough, though one came in the week."""
    earlier = [seen("active", f"person:{i}", at=IN_IT - timedelta(days=60)) for i in range(4)]

    assert rows(small, *earlier, seen("active", "person:4")) == [
        "| Active | 90 days | 5 |  | 5 | not compared | 100.0% | none |"
    ]


def test_few_people_are_withheld_and_it_is_said(small: Small) -> None:
    """Of four people nothing is told but that they are too few."""
    found = section(small, *(seen("active", f"person:{i}") for i in range(4)))

    assert found[2] == "| Active | 90 days | withheld |  |  |  |  |  |"
    assert found[3] == "Numbers about fewer than 5 people, and what would reveal them, are withheld: 1 here."


def test_what_looks_at_everything_is_told_for_the_week_s_end(small: Small) -> None:
    """The age of what was opened in the middle of Wednesday is four and a half days at the end of Sunday."""
    assert rows(small, seen("age", "1")) == ["| Age | at its end | high 4.5 d |  | 1 | not compared | 100.0% | none |"]


def test_known_units_are_told_though_a_source_is_behind(small: Small) -> None:
    """As for delivery, what is known is shown; the first lines of the summary say which source is behind."""
    (row,) = rows(small, seen("success", "1", "db"), until=WEEK.start)

    assert row.startswith("| Success | 2026-W14 | 100.0% |")


def test_delivery_stays_in_its_own_table(small: Small) -> None:
    """What has one number for a service is no line here."""
    assert section(small, seen("change_fail_rate", "1", subject=Subject("api"))) == []
