"""Restatements in words: from what to what, of which unit, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from collector.events import Deployment, Result
from collector.store import Restatement, to_micros
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import Subject
from slo_engine.restated import change_text, restated_lines, units_in

AT = datetime(2026, 11, 12, 10, 0, tzinfo=UTC)
LEAD = Indicator(
    name="lead",
    version="1",
    title="Lead time",
    definition="Time to production.",
    shape=Shape.DURATION,
    metric="platform_lead",
    dimension="stage",
    dimensions=("coding", "delivery"),
)
DEPLOYMENT = Deployment(
    source="ci",
    native_id="42",
    service="api",
    environment="production",
    finished_at=AT,
    result=Result.SUCCESS,
    version="v1.2",
)


def judged(outcome: str, value: float | None = None, *, at: datetime = AT, reason: str = "", **parts: Any) -> str:
    """A judgement as the log keeps it."""
    stages = [parts.get(f"part_{n}") for n in (1, 2, 3, 4)]
    return msgspec.json.encode([to_micros(at), outcome, reason, value, *stages]).decode()


def record(was: str, now: str, **fields: Any) -> Restatement:
    """A record of the log."""
    values = {
        "restated_at": to_micros(datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        "indicator": "lead",
        "service": "api",
        "environment": "production",
        "team": "/commerce",
        "unit": DEPLOYMENT.id,
        "was": was,
        "now": now,
        "why": "new or changed events: incident",
        **fields,
    }
    return Restatement(**values)


@pytest.mark.parametrize(
    ("was", "now", "text"),
    [
        (judged("good"), judged("bad"), "good → bad"),
        (judged("bad"), judged("pending"), "bad → pending"),
        (judged("measured", 11_520), judged("measured", 14_760), "3.2 h → 4.1 h"),
        (judged("measured", 11_520), judged("measured", 11_521), "measured 11520.0 → measured 11521.0"),
        (judged("measured", 60), judged("excluded", reason="unknown_base"), "60 s → left out (unknown base)"),
        (judged("measured", None, reason="missing_time"), judged("measured", 60), "left out (missing time) → 60 s"),
        (
            judged("excluded", reason="bot"),
            judged("excluded", reason="unknown_base"),
            "left out (bot) → left out (unknown base)",
        ),
        (judged("measured"), judged("excluded", reason="cancelled"), "counted → left out (cancelled)"),
        ("", judged("bad"), "new, 12 Nov 2026 10:00: bad"),
        ("", judged("measured", 60), "new, 12 Nov 2026 10:00: 60 s"),
        (judged("good"), "", "gone, was good"),
        (
            judged("good"),
            judged("good", at=datetime(2026, 11, 13, 8, 5, tzinfo=UTC)),
            "dated 12 Nov 2026 10:00 → 13 Nov 2026 08:05",
        ),
        (
            judged("good"),
            judged("good", at=datetime(2026, 11, 12, 10, 0, 7, tzinfo=UTC)),
            "dated 2026-11-12 10:00:00+00:00 → 2026-11-12 10:00:07+00:00",
        ),
        (
            judged("measured", 7_200, part_1=3_600.0),
            judged("measured", 7_200, part_1=60.0, part_2=7_140.0),
            "coding 60 min → 60 s; delivery absent → 119 min",
        ),
        (
            judged("measured", 60),
            judged("measured", 120, at=datetime(2026, 11, 12, 10, 1, tzinfo=UTC), part_4=1.0),
            "60 s → 2 min; dated 12 Nov 2026 10:00 → 12 Nov 2026 10:01; part 4 absent → 1 s",
        ),
    ],
)
def test_a_change_reads_from_what_to_what(was: str, now: str, text: str) -> None:
    """Outcome, value, time and stages each read as people say them, and never the same on both sides."""
    assert change_text(record(was, now), LEAD) == text


def test_times_are_those_of_the_zone() -> None:
    """A unit that appeared at 10:00 UTC appeared at 11:00 in Berlin."""
    assert change_text(record("", judged("good")), LEAD, ZoneInfo("Europe/Berlin")) == "new, 12 Nov 2026 11:00: good"


def test_a_number_that_is_no_duration_has_no_unit() -> None:
    """A value of a ratio's unit is a plain number."""
    ratio = Indicator(
        name="kept", version="1", title="Kept", definition="Kept.", shape=Shape.RATIO, metric="platform_kept"
    )

    assert change_text(record(judged("measured", 2), judged("measured", 3)), ratio) == "2 → 3"


def test_many_units_are_said_by_their_number() -> None:
    """A record for all the units beyond what the log lists says how many, and counts as that many."""
    many = record("1200 more units", "", unit="")

    assert change_text(many, LEAD) == "1200 more units"
    assert units_in([many, record(judged("good"), judged("bad"))]) == 1_201


def test_a_line_names_the_event_and_why() -> None:
    """When, for whom, which event in one line, what changed, and why."""
    (line,) = restated_lines([record(judged("good"), judged("bad"))], {"lead": LEAD}, {DEPLOYMENT.id: DEPLOYMENT})

    assert (line.at, line.indicator) == (datetime(2026, 11, 20, 9, 30, tzinfo=UTC), "lead")
    assert line.subject == Subject("api", "production", "/commerce")
    assert line.unit is not None
    assert (line.unit.kind, line.unit.label) == ("deployment", "v1.2")
    assert (line.change, line.why) == ("good → bad", "new or changed events: incident")


def test_what_is_no_longer_stored_keeps_its_line() -> None:
    """An event that is gone shows its id, an indicator that is gone its values, many units no event."""
    gone, many = restated_lines(
        [record(judged("measured", 60), "", indicator="old"), record("3 more units", "", unit="")], {}, {}
    )

    assert gone.unit is not None
    assert (gone.unit.kind, gone.unit.label, gone.change) == ("event", DEPLOYMENT.id[:10], "gone, was 60 s")
    assert many.unit is None


def test_of_somebody_neither_key_nor_team_is_told() -> None:
    """Where a unit is a person, the log says what changed, but not of whom, nor of which team."""
    arrived = Indicator(
        name="arrived",
        version="1",
        title="Arrived",
        definition="Share who arrived.",
        shape=Shape.RATIO,
        metric="platform_arrived",
        people=True,
    )
    somebody = record(judged("good"), judged("bad"), indicator="arrived", unit=f"person:{'a' * 32}")

    (line,) = restated_lines([somebody], {"arrived": arrived}, {})

    assert (line.subject, line.change) == (Subject(), "good → bad")
    assert line.unit is not None
    assert (line.unit.kind, line.unit.label, line.unit.id) == ("person", "", "")
