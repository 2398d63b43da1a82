"""Burn-rate tiers: which can fire for an SLO, and which do. Pure; constants are exact decimals.

The windows and budget shares are data with their source (`config/alert-windows/`); slo_engine/rules.py turns them
into alerts, and the status of an SLO uses the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from slo_engine.slo import EventCounts, Slo
from slo_engine.windows import Window

Severity = Literal["page", "ticket"]


@dataclass(frozen=True, kw_only=True)
class Tier:
    """An alert on a share of the budget spent within a long window, and still being spent within a short one."""

    name: str
    severity: Severity
    budget_share: Decimal
    long: Window
    short: Window
    minimum_bad_events: int

    def factor(self, period: Window) -> Decimal:
        """The burn rate at which the tier fires: budget_share * period / long."""
        return self.budget_share * _seconds(period) / _seconds(self.long)


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A tier that can never fire for an SLO, and why."""

    tier: Tier
    reason: str


def _seconds(window: Window) -> Decimal:
    return Decimal(int(window.seconds))


def tiers_for(slo: Slo, tiers: Iterable[Tier]) -> tuple[tuple[Tier, ...], tuple[Dropped, ...]]:
    """The tiers that can fire for an SLO, and those that cannot.

    Even when everything fails the burn rate is only 1 / (1 - target): a factor at or above it is never exceeded.
    """
    highest = 1 / (1 - slo.target)
    usable, dropped = [], []
    for tier in tiers:
        factor = tier.factor(slo.window)
        if factor < highest:
            usable.append(tier)
            continue
        reason = (
            f"a burn rate above {plain(factor)} is out of reach: with a target of {plain(slo.target)} total failure "
            f"burns at {plain(highest.quantize(Decimal('0.01')))}"
        )
        dropped.append(Dropped(tier=tier, reason=reason))
    return tuple(usable), tuple(dropped)


def plain(number: Decimal) -> str:
    """A decimal as people write it: `13.44`, never `1E+1`; at most six places."""
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return text or "0"


def active(slo: Slo, counts: Mapping[str, EventCounts], burn_rates: Mapping[str, float], tiers: Sequence[Tier]) -> bool:
    """True while a burn-rate alert of a busy SLO fires. A `count` SLO has none: its budget speaks for itself."""
    if slo.alert_class != "rate":
        return False
    usable, _ = tiers_for(slo, tiers)
    return any(
        counts.get(t.long.label, EventCounts()).bad >= t.minimum_bad_events
        and all(burn_rates.get(w.label, 0.0) > t.factor(slo.window) for w in (t.long, t.short))
        for t in usable
    )
