"""Error-budget arithmetic. Pure; definitions.md §6.

Budgets come from exact decimals: in floats 1 - 0.999 is not 0.001. What has no value is None, never 0.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from slo_engine.slo import EventCounts, Slo, SloStatus
from slo_engine.windows import CalendarWindow, Window
from slo_engine.words import so_many

LOW_BUDGET = Decimal("0.25")
"""The share of its error budget below which an SLO is at risk."""
_SHOWN = Decimal("0.001")


def allowed(counts: EventCounts, target: Decimal) -> Decimal:
    """The error budget in events: (1 - target) * total."""
    return (1 - target) * counts.total


def attainment(counts: EventCounts) -> float | None:
    """Good events over all, 0 to 1; None without events."""
    return float(counts.good / counts.total) if counts.total else None


def remaining_ratio(counts: EventCounts, target: Decimal) -> float | None:
    """The share of the budget that is left: 1 - bad / budget; negative when overspent, None without events."""
    exact = _remaining(counts, target)
    return None if exact is None else float(exact)


def _remaining(counts: EventCounts, target: Decimal) -> Decimal | None:
    return 1 - counts.bad / allowed(counts, target) if counts.total else None


def remaining_events(counts: EventCounts, target: Decimal) -> float | None:
    """How many more bad events the budget allows; negative when overspent, None without events."""
    return float(allowed(counts, target) - counts.bad) if counts.total else None


def burn_rate(counts: EventCounts, target: Decimal) -> float | None:
    """(bad / total) / (1 - target), None without events.

    At 1 the budget is used up exactly at the end of the SLO's window.
    """
    return float(Decimal(counts.bad) / counts.total / (1 - target)) if counts.total else None


def time_to_exhaustion(remaining: float | None, window: Window | CalendarWindow, burn: float | None) -> float | None:
    """The seconds until the budget is used up: remaining * window / burn.

    None where nothing burns, and where nothing is left to burn.
    """
    if remaining is None or burn is None or burn <= 0 or remaining <= 0:
        return None
    return remaining * window.seconds / burn


def status(slo: Slo, counts: EventCounts, *, alerting: bool) -> tuple[SloStatus, str]:
    """The status of an SLO with enough data, and in words why it is not healthy. Decided on exact numbers."""
    remaining = _remaining(counts, slo.target)
    if remaining is None:
        return SloStatus.INSUFFICIENT_DATA, f"no events in {slo.window.label}"
    if remaining <= 0:
        total = so_many(counts.total, "event", shown(counts.total))
        said = f"{shown(counts.bad)} bad of {total}, {allowed(counts, slo.target):.1f} allowed"
        return SloStatus.EXHAUSTED, said
    return status_of(remaining, alerting=alerting)


def status_of(remaining: Decimal, *, alerting: bool) -> tuple[SloStatus, str]:
    """The status that follows from the share of the budget that is left, and in words why it is not healthy."""
    if remaining <= 0:
        return SloStatus.EXHAUSTED, "the error budget is used up"
    if remaining < LOW_BUDGET:
        return SloStatus.AT_RISK, f"{_share(remaining)} of the error budget is left"
    if alerting:
        return SloStatus.AT_RISK, "a burn-rate alert is active"
    return SloStatus.HEALTHY, ""


def shown(count: int | Decimal) -> str:
    """A count as people read it: parts of slices with two decimals."""
    return str(count) if isinstance(count, int) else f"{count:.2f}"


def _share(remaining: Decimal) -> str:
    """A share of the budget in words, rounded down: 24.99 % is not the 25 % that would be healthy."""
    if remaining < _SHOWN:
        return "less than 0.1%"
    return f"{remaining.quantize(_SHOWN, ROUND_DOWN):.1%}"
