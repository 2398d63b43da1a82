"""What an SLO is, after its file was read. Pure; reading OpenSLO is `slo_engine/openslo.py`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from slo_engine.windows import Window


class Operator(StrEnum):
    """How a value is compared with an objective's threshold to be good. OpenSLO `op`."""

    LTE = "lte"
    LT = "lt"
    GTE = "gte"
    GT = "gt"


class SloStatus(StrEnum):
    """definitions.md §6."""

    HEALTHY = "healthy"
    AT_RISK = "at_risk"
    EXHAUSTED = "exhausted"
    INSUFFICIENT_DATA = "insufficient_data"


AlertClass = Literal["rate", "count"]
"""`rate`: busy, at least 30 events in a normal 6 h, multi-window multi-burn-rate alerts. `count`: people and
process, budget tickets and no paging."""


@dataclass(frozen=True, kw_only=True)
class Slo:
    """A target on an indicator over a window.

    `target` is an exact decimal between 0 and 1, both excluded: 0 % and 100 % have no budget. `operator` and
    `threshold` judge a duration (in seconds); for a ratio indicator they are None and the observation's own
    outcome counts. Empty `service` or `environment` take in every one, pooled.
    """

    name: str
    title: str
    description: str
    owner_service: str
    indicator: str
    target: Decimal
    window: Window
    operator: Operator | None = None
    threshold: float | None = None
    service: str = ""
    environment: str = ""
    dimension: str = ""
    team: str = ""
    owner: str = ""
    tier: str = ""
    runbook: str = ""
    alert_class: AlertClass = "count"
    minimum_events: int = 10
    minimum_coverage: float = 0.9


@dataclass(frozen=True)
class EventCounts:
    """Final events of an SLO in a window."""

    good: int = 0
    bad: int = 0

    @property
    def total(self) -> int:
        """Good and bad together."""
        return self.good + self.bad
