"""The numbers of many groups in one look are those of each alone."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slo_engine.indicator import Indicator, Shape
from slo_engine.numbers import summaries_of, summary_of
from slo_engine.observation import Observation, Outcome, Reason, Subject
from slo_engine.reading import Reader, rolling
from slo_engine.windows import INDICATOR_WINDOWS

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WAIT = Indicator(
    name="wait",
    version="1",
    title="Wait",
    definition="How long it took.",
    shape=Shape.DURATION,
    metric="platform_wait",
    dimension="stage",
    dimensions=("queue", "run"),
)
RUN = Indicator(
    name="run",
    version="1",
    title="Run",
    definition="How long it ran.",
    shape=Shape.DURATION,
    metric="platform_run",
    part_of=WAIT,
    part="run",
)


def some(draw: random.Random, number: int) -> Observation:
    """A unit of one of many services, by one of two sources: measured or not, waiting or not, with parts or without."""
    at = NOON + timedelta(seconds=draw.choice((40_000, 0, -60, -4_000, -500_000, -2_000_000, -7_000_000, -12_000_000)))
    outcome = draw.choice((Outcome.MEASURED, Outcome.MEASURED, Outcome.PENDING, Outcome.EXCLUDED))
    known: dict[str, Any] = {"reason": draw.choice((Reason.BOT, Reason.LEFT))} if outcome is Outcome.EXCLUDED else {}
    if outcome is Outcome.MEASURED and draw.random() < 0.9:
        parts = (draw.random(), draw.choice((None, draw.random()))) if draw.random() < 0.5 else ()
        known |= {"value": draw.lognormvariate(8, 3), "parts": parts}
    if draw.random() < 0.3:
        known["matures_at"] = at + draw.choice((-1, 1, 5)) * HOUR
    return Observation(
        indicator="wait",
        unit=str(number),
        at=at + timedelta(seconds=draw.random()),
        subject=Subject(f"s{draw.randrange(draw.randrange(1, 90))}", "production"),
        source=draw.choice(("a", "b")),
        outcome=outcome,
        **known,
    )


@pytest.mark.parametrize("indicator", [WAIT, RUN], ids=lambda i: i.name)
@pytest.mark.parametrize("hours", [0, 1, 6, 500])
def test_many_groups_in_one_look_say_what_each_says_alone(put: Any, indicator: Indicator, hours: int) -> None:
    """The same numbers, the same beside them, and until the same time."""
    draw, at = random.Random(hours), NOON + hours * HOUR  # noqa: S311 - the same units each time
    store = put(*(some(draw, number) for number in range(6_000)))
    reader, spans = Reader(store, at), rolling(INDICATOR_WINDOWS, at)
    reader.prepare(reader.series(indicator), spans[-1].after - 1)
    groups = list(reader.cells(indicator))

    found = summaries_of(indicator, groups, reader, spans, [None] * len(groups))

    alone = [summary_of(indicator, group, reader, spans) for group in groups]
    assert len(groups) > 64
    assert [s[:2] + s[3:] for s in found] == [s[:2] + s[3:] for s in alone]
    again = summaries_of(indicator, groups, reader, spans, found)
    assert all(new.numbers is old.numbers for new, old in zip(again, found, strict=True))
