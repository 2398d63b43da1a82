"""An indicator family as a third party writes it, in one file: one indicator of each shape. Tests install it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from collector.events import Ticket
from slo_engine.indicator import Events, Family, Indicator, Shape
from slo_engine.observation import Observation, Outcome, Subject
from slo_engine.organisation import Organisation

TEA_SUCCESS = Indicator(
    name="tea_success",
    version="1",
    title="Tea served",
    definition="Share of the orders that were served at all.",
    shape=Shape.RATIO,
    metric="platform_tea_success",
)
TEA_TIME = Indicator(
    name="tea_time",
    version="1",
    title="Tea time",
    definition="Time from the order to the cup, for the orders served in the window.",
    shape=Shape.DURATION,
    metric="platform_tea_time",
)
TEA_ORDERS = Indicator(
    name="tea_orders",
    version="1",
    title="Tea orders",
    definition="Orders per day of the window.",
    shape=Shape.FREQUENCY,
    metric="platform_tea_orders",
)


def observe(events: Events, _organisation: Organisation) -> Iterator[Observation]:
    """Each order, judged."""
    for ticket in events.events(Ticket):
        common: dict[str, Any] = {
            "unit": ticket.id,
            "subject": Subject(service=ticket.service or "", environment="kitchen"),
            "source": ticket.source,
        }
        served = ticket.resolved_at
        outcome = Outcome.BAD if served is None else Outcome.GOOD
        yield Observation(indicator="tea_success", at=ticket.created_at, outcome=outcome, **common)
        yield Observation(indicator="tea_orders", at=ticket.created_at, outcome=Outcome.MEASURED, **common)
        if served is not None:
            waited = (served - ticket.created_at).total_seconds()
            yield Observation(indicator="tea_time", at=served, outcome=Outcome.MEASURED, value=waited, **common)


FAMILY = Family(name="tea", inputs=(Ticket,), indicators=(TEA_SUCCESS, TEA_TIME, TEA_ORDERS), observe=observe)
