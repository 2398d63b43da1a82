"""Burn-rate tiers: which can fire for an SLO, and which do. Pure; constants are exact decimals.

The windows and budget shares are data with their source (`config/alert-windows/`); slo_engine/rules.py turns them
into alerts, and the status of an SLO uses the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from slo_engine.slo import Composite, EventCounts, Slo
from slo_engine.windows import CalendarWindow, Window

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

    def factor(self, period: Window | CalendarWindow) -> Decimal:
        """The burn rate at which the tier fires: budget_share * period / long."""
        return self.budget_share * _seconds(period) / _seconds(self.long)


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A tier that can never fire for an SLO, and why."""

    tier: Tier
    reason: str


def _seconds(window: Window | CalendarWindow) -> Decimal:
    return Decimal(int(window.seconds))


def highest_burn(slo: Slo, slos: Iterable[Slo] = ()) -> Decimal:
    """The burn rate of total failure: 1 / (1 - target); of a composite the mean of its parts', found in `slos`."""
    if isinstance(slo.sli, Composite):
        targets = {other.name: other.target for other in slos}
        parts = [part for part in slo.sli.parts if part.slo in targets]
        if parts:
            burns = (p.weight / (1 - targets[p.slo]) for p in parts)
            return sum(burns, Decimal(0)) / sum((p.weight for p in parts), Decimal(0))
    return 1 / (1 - slo.target)


def tiers_for(
    slo: Slo, tiers: Iterable[Tier], slos: Iterable[Slo] = ()
) -> tuple[tuple[Tier, ...], tuple[Dropped, ...]]:
    """The tiers that serve an SLO, and those that can never fire for it. `slos` holds the parts of a composite.

    Even when everything fails the burn rate is only 1 / (1 - target): a factor at or above it is never exceeded. A
    tier that looks back further than the SLO's own window would alert on what the budget has forgotten.
    """
    known = tuple(tiers)
    highest = highest_burn(slo, slos)
    reasons = {t.name: reason for t in known if (reason := _dead(t, slo, highest))}
    usable = tuple(t for t in known if t.name not in reasons and (not t.instead_of or t.instead_of in reasons))
    stands_in = {t.instead_of: t.name for t in usable if t.instead_of}
    dropped = []
    for tier in known:
        if tier.name in reasons:
            after = f"; {stands_in[tier.name]} stands in for it" if tier.name in stands_in else ""
            dropped.append(Dropped(tier=tier, reason=reasons[tier.name] + after))
    return usable, tuple(dropped)


def _dead(tier: Tier, slo: Slo, highest: Decimal) -> str:
    """Why a tier can never fire for an SLO; empty where it can."""
    if tier.long.seconds > slo.window.seconds:
        return f"it looks back over {tier.long.label}, further than the SLO's window of {slo.window.label}"
    factor = tier.factor(slo.window)
    if factor < highest:
        return ""
    return (
        f"a burn rate above {plain(factor)} is out of reach: with a target of {plain(slo.target)} "
        f"total failure burns at {plain(highest.quantize(Decimal('0.01')))}"
    )


def thresholds(slo: Slo, tiers: Iterable[Tier], slos: Iterable[Slo] = ()) -> dict[tuple[str, Severity], Decimal]:
    """By long window and severity, the burn rate above which an SLO alerts; the lowest where several tiers share them.

    Nothing for one that has no burn-rate alerts. `slos` holds the parts of a composite.
    """
    if slo.alert_class != "rate":
        return {}
    found: dict[tuple[str, Severity], Decimal] = {}
    for tier in tiers_for(slo, tiers, slos)[0]:
        key, factor = (tier.long.label, tier.severity), tier.factor(slo.window)
        found[key] = min(factor, found.get(key, factor))
    return found


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
