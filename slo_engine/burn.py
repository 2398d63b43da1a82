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
    """An alert on a share of the budget spent within a long window, and still being spent within a short one.

    `instead_of` names a faster tier: this one serves only the SLOs for which that one can never fire.
    """

    name: str
    severity: Severity
    budget_share: Decimal
    long: Window
    short: Window
    minimum_bad_events: int
    instead_of: str = ""

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
    """The tiers that serve an SLO, and those that can never fire for it.

    Even when everything fails the burn rate is only 1 / (1 - target): a factor at or above it is never exceeded.
    """
    known = tuple(tiers)
    highest = 1 / (1 - slo.target)
    within = {t.name for t in known if t.factor(slo.window) < highest}
    usable = tuple(t for t in known if t.name in within and t.instead_of not in within)
    stands_in = {t.instead_of: t.name for t in usable if t.instead_of}
    dropped = []
    for tier in known:
        if tier.name in within:
            continue
        reason = (
            f"a burn rate above {plain(tier.factor(slo.window))} is out of reach: with a target of "
            f"{plain(slo.target)} total failure burns at {plain(highest.quantize(Decimal('0.01')))}"
        )
        if tier.name in stands_in:
            reason += f"; {stands_in[tier.name]} stands in for it"
        dropped.append(Dropped(tier=tier, reason=reason))
    return usable, tuple(dropped)


def plain(number: Decimal) -> str:
    """A decimal as people write it: `13.44`, never `1E+1`; at most nine places."""
    text = f"{number:.9f}".rstrip("0").rstrip(".")
    return text or "0"


def active(slo: Slo, counts: Mapping[str, EventCounts], burn_rates: Mapping[str, float], tiers: Sequence[Tier]) -> bool:
    """True while a burn-rate alert of a busy SLO fires. A `count` SLO has none: its budget speaks for itself."""
    if slo.alert_class != "rate":
        return False
    usable, _ = tiers_for(slo, tiers)
    return any(
        counts.get(t.long.label, EventCounts()).bad >= t.minimum_bad_events
        # Both as floats: the float 14.4 is a little more than the decimal, and would exceed it.
        and all(burn_rates.get(w.label, 0.0) > float(t.factor(slo.window)) for w in (t.long, t.short))
        for t in usable
    )
