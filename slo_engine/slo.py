"""What an SLO is, after its file was read. Pure; reading OpenSLO is `slo_engine/openslo.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal, TypeAlias

from slo_engine.comparison import Operator
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, PromqlSli, TimeSlices
from slo_engine.windows import CalendarWindow, Window

__all__ = [
    "AlertClass",
    "AlertPolicy",
    "Budgeting",
    "Composite",
    "EventCounts",
    "IndicatorSli",
    "Operator",
    "Part",
    "PromqlSli",
    "Sli",
    "Slo",
    "SloStatus",
]


class SloStatus(StrEnum):
    """definitions.md §6."""

    HEALTHY = "healthy"
    AT_RISK = "at_risk"
    EXHAUSTED = "exhausted"
    INSUFFICIENT_DATA = "insufficient_data"


AlertClass = Literal["rate", "count"]
"""`rate`: busy, at least 30 events in a normal 6 h, multi-window multi-burn-rate alerts. `count`: people and
process, budget tickets and no paging."""


Budgeting = Literal["occurrences", "timeslices", "ratio_timeslices"]
"""What is counted: events; slices of time that are good or bad; or slices that are bad by their share of bad events."""


@dataclass(frozen=True, kw_only=True)
class IndicatorSli:
    """Units of an indicator, counted by Paceline.

    `operator` and `threshold` judge a duration (in seconds); for a ratio indicator they are None and the observation's
    own outcome counts. Empty `service`, `environment` or `team` take in every one, pooled; a `team` takes in those
    below it. `labels` are values of the indicator's labels, in the order of the indicator.
    """

    indicator: str
    operator: Operator | None = None
    threshold: float | None = None
    service: str = ""
    environment: str = ""
    dimension: str = ""
    team: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One SLO of a composite, by its name, and how much it weighs (above 0; only the proportions matter)."""

    slo: str
    weight: Decimal = Decimal(1)


@dataclass(frozen=True, kw_only=True)
class Composite:
    """Several SLOs as one: its burn rate is the mean of its parts' burn rates by weight."""

    parts: tuple[Part, ...]


Sli: TypeAlias = IndicatorSli | PromqlSli | Composite


@dataclass(frozen=True, kw_only=True)
class AlertPolicy:
    """An alert of its own for an SLO: the burn rate over `lookback` is at least, or above, `factor` for `after`.

    From OpenSLO's AlertPolicy with its AlertCondition of kind `burnrate`. `targets` are the names of its
    AlertNotificationTargets, `severity` is the condition's.
    """

    name: str
    title: str = ""
    description: str = ""
    severity: str
    operator: Operator = Operator.GTE
    factor: Decimal
    lookback: Window
    after: timedelta = timedelta(0)
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Slo:
    """A target on an SLI over a window.

    `target` is an exact decimal between 0 and 1, both excluded: 0 % and 100 % have no budget. `sla_target` is what was
    promised to others on the same SLI. `slice` and `slice_target` belong to the time slices of an indicator SLI; those
    of PromQL are in the SLI. `group_by` are labels of a PromQL SLI. `file` and `line` say where it was read.
    """

    name: str
    title: str
    description: str
    owner_service: str
    target: Decimal
    window: Window | CalendarWindow
    sli: Sli
    sla_target: Decimal | None = None
    budgeting: Budgeting = "occurrences"
    slice: timedelta | None = None
    slice_target: Decimal | None = None
    group_by: tuple[str, ...] = ()
    alert_policies: tuple[AlertPolicy, ...] = ()
    team: str = ""
    owner: str = ""
    tier: str = ""
    runbook: str = ""
    review_at: date | None = None
    alert_class: AlertClass = "count"
    minimum_events: int = 10
    minimum_coverage: float = 0.9
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    @property
    def promql(self) -> PromqlSli | None:
        """The SLI, where Prometheus measures it."""
        promql = CounterRatio, Histogram, NativeHistogram, BooleanGauge, TimeSlices
        return self.sli if isinstance(self.sli, promql) else None

    @property
    def indicator(self) -> str:
        """The indicator; empty text where the SLI is none."""
        return self.counted.indicator

    @property
    def operator(self) -> Operator | None:
        """How a duration is compared; None for ratios and for SLIs that are no indicator."""
        return self.counted.operator

    @property
    def threshold(self) -> float | None:
        """Seconds; None for ratios and for SLIs that are no indicator."""
        return self.counted.threshold

    @property
    def service(self) -> str:
        """The service whose units count; empty text for all of them."""
        return self.counted.service

    @property
    def environment(self) -> str:
        """The environment whose units count; empty text for all of them."""
        return self.counted.environment

    @property
    def dimension(self) -> str:
        """The part of a unit that is judged; empty text for the unit itself."""
        return self.counted.dimension

    @property
    def counted(self) -> IndicatorSli:
        """The SLI, where Paceline counts its units; else one of no indicator."""
        return self.sli if isinstance(self.sli, IndicatorSli) else _NO_INDICATOR


_NO_INDICATOR = IndicatorSli(indicator="")


@dataclass(frozen=True)
class EventCounts:
    """Final events of an SLO in a window. Whole numbers, unless slices of time count by how good they were."""

    good: int | Decimal = 0
    bad: int | Decimal = 0

    @property
    def total(self) -> int | Decimal:
        """Good and bad together."""
        return self.good + self.bad
