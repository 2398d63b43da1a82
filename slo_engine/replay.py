"""What alerts would have done over counted events: the conditions of the rules, minute by minute. Pure; arrays.

Windows are counted as the rules count them, (t - w, t] at every whole minute t. Limits are fractions of whole numbers,
so that a burn rate of exactly the factor is not above it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from slo_engine.alerts import BUDGET_ALERTS, BURN_ALERTS, FEWEST_BAD_EVENTS, policy_alert_name, policy_refusal
from slo_engine.burn import Severity, Tier, tiers_for
from slo_engine.comparison import Operator
from slo_engine.observation import from_micros, to_micros
from slo_engine.recordings import Scope, rolling
from slo_engine.slo import AlertPolicy, Composite, IndicatorSli, Slo
from slo_engine.windows import CalendarWindow, Window

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

MINUTE = 60_000_000
"""A minute in microseconds: how often rules are evaluated."""
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_HALF_AN_EVENT = 0.5
"""From rates an event may count as a little less than one, so the rules ask for half an event less."""


@dataclass(frozen=True, eq=False)
class History:
    """Events of an SLO in the order of time: at each of `at` (microseconds) some good and some bad ones.

    `after` and `until` bound what is asked about; what lies before is there for windows that reach back. Where each
    entry stands for a step of `step_seconds` of a rate over `rate_seconds`, as a recording rule sees it, a window of
    that length is read from one entry; longer ones are sums, and what these still lack of the newest entry.
    """

    at: Ints
    good: Floats
    bad: Floats
    after: int
    until: int
    step_seconds: float = 0.0
    rate_seconds: float = 0.0

    @classmethod
    def of(cls, at: Ints, good: Floats, bad: Floats, after: int, until: int) -> History:
        """The history of single events in any order; later ones than `until` are left out."""
        order = np.argsort(at, kind="stable")
        order = order[: int(at[order].searchsorted(until, side="right"))]
        return cls(at[order], good[order], bad[order], after, until)

    @property
    def known_from(self) -> int:
        """Since when events are known, in microseconds; `until` where there is none."""
        return int(self.at[0]) - int(self.step_seconds * _SECOND) if self.at.size else self.until

    @cached_property
    def _passed(self) -> tuple[Floats, Floats]:
        total, bad = (np.concatenate([[0.0], np.cumsum(one)]) for one in (self.good + self.bad, self.bad))
        return total, bad

    def count(self, after: Ints, until: Ints) -> tuple[Floats, Floats]:
        """Total and bad events of some stretches (after, until]."""
        start, end = self.at.searchsorted(after, side="right"), self.at.searchsorted(until, side="right")
        total, bad = (passed[end] - passed[start] for passed in self._passed)
        return total, bad

    def window(self, ticks: Ints, seconds: float) -> tuple[Floats, Floats]:
        """Total and bad events of the windows that end at some times."""
        total, bad = self.count(ticks - int(seconds * _SECOND), ticks)
        if not self.rate_seconds:
            return total, bad
        newest = self._of_rates(ticks)
        if seconds == self.rate_seconds:
            return newest
        # A sum of rates counts an event of just now only little by little: the rules add what it still lacks.
        recent = self.count(ticks - int(self.rate_seconds * _SECOND), ticks)
        return total + (newest[0] - recent[0]).clip(0), bad + (newest[1] - recent[1]).clip(0)

    def _of_rates(self, ticks: Ints) -> tuple[Floats, Floats]:
        """Total and bad events that the rates of some times stand for; none where there is no rate."""
        share = self.rate_seconds / self.step_seconds
        total, bad = self.count(ticks - int(self.step_seconds * _SECOND), ticks)
        return total * share, bad * share


@dataclass(frozen=True, kw_only=True)
class Fired:
    """One stretch in which an alert fires: from `start` until it is over at `end`.

    `alert` is the name of a tier, a budget alert or a policy, or of a notification. `lasting`: it still fires where the
    history ends. `grace_seconds`: for how long after an incident what it did alone can still start the alert.
    """

    alert: str
    severity: str
    start: datetime
    end: datetime
    lasting: bool = False
    grace_seconds: float = 0.0

    @property
    def duration_seconds(self) -> float:
        """How long it fires."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What fires by tier, budget step and policy; and the notifications of burn rates, one for each severity."""

    fired: tuple[Fired, ...]
    notified: tuple[Fired, ...]


@dataclass(frozen=True)
class _Condition:
    """When an alert fires, minute by minute."""

    alert: str
    severity: str
    holds: Mask
    grace_seconds: float = 0.0


def replay(slo: Slo, history: History, tiers: Sequence[Tier]) -> Replayed:
    """What the alerts of an SLO would have done, evaluated each minute. Raises ValueError for a composite."""
    if isinstance(slo.sli, Composite):
        problem = f"{slo.name} consists of other SLOs"
        raise ValueError(f"{problem}; expected one of its parts: {_parts(slo.sli)}")  # noqa: TRY004 - a wrong SLO
    ticks = np.arange(history.after // MINUTE + 1, history.until // MINUTE + 1, dtype=np.int64) * MINUTE
    own = list(_tiers(slo, history, tiers, ticks) if slo.alert_class == "rate" else _budget(slo, history, ticks))
    policies = list(_policies(slo, history, ticks))
    said = list(_notifications(own, tiers)) if slo.alert_class == "rate" else own
    return Replayed(
        fired=tuple(f for c in (*own, *policies) for f in _stretches(c, ticks)),
        notified=tuple(f for c in (*said, *policies) for f in _stretches(c, ticks)),
    )


def _parts(sli: Composite) -> str:
    return ", ".join(part.slo for part in sli.parts)


def _stretches(condition: _Condition, ticks: Ints) -> Iterator[Fired]:
    edges = np.flatnonzero(np.diff(condition.holds.astype(np.int8), prepend=0, append=0))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        lasting = end >= ticks.size
        yield Fired(
            alert=condition.alert,
            severity=condition.severity,
            start=from_micros(int(ticks[start])),
            end=from_micros(int(ticks[-1 if lasting else end])),
            lasting=lasting,
            grace_seconds=condition.grace_seconds,
        )


# ---- burn rates


def budget_of(slo: Slo) -> Fraction:
    """The share of events that may be bad, exactly."""
    return 1 - Fraction(slo.target)


def limit(slo: Slo, tier: Tier) -> Fraction:
    """The share of bad events above which a tier fires, exactly."""
    return Fraction(tier.budget_share) * int(slo.window.seconds) / int(tier.long.seconds) * budget_of(slo)


def _tiers(slo: Slo, history: History, tiers: Sequence[Tier], ticks: Ints) -> Iterator[_Condition]:
    for tier in tiers_for(slo, tiers)[0]:
        total, bad = history.window(ticks, tier.long.seconds)
        above, needed = limit(slo, tier), tier.minimum_bad_events - _HALF_AN_EVENT
        holds = _compared(np.greater, bad, total, above) & (bad >= needed)
        total, bad = history.window(ticks, tier.short.seconds)
        holds &= _compared(np.greater, bad, total, above)
        yield _Condition(tier.name, tier.severity, holds, tier.short.seconds)


def _compared(compare: Callable[[Floats, Floats], Mask], bad: Floats, total: Floats, share: Fraction) -> Mask:
    """Where the share of bad events, held between 0 and 1, compares with another one; nowhere without events."""
    found: Mask = compare(bad.clip(0, total) * share.denominator, total * share.numerator) & (total > 0)
    return found


def _notifications(conditions: Sequence[_Condition], tiers: Sequence[Tier]) -> Iterator[_Condition]:
    """One for each severity; what was paged for is no news for the while that it stays in a ticket's windows."""
    paged: Mask | None = None
    for severity in get_args(Severity):
        own = [c for c in conditions if c.severity == severity]
        if not own:
            continue
        holds: Mask = np.logical_or.reduce([c.holds for c in own])
        if severity == "page":
            paged = holds
        elif paged is not None:
            names = {c.alert for c in own}
            longest = max(t.short.seconds for t in tiers if t.name in names)
            holds &= paged | (_minutes_since(paged) > longest / 60)
        yield _Condition(BURN_ALERTS[severity], severity, holds, max(c.grace_seconds for c in own))


def _minutes_since(mask: Mask) -> Ints:
    """For each place how many places ago the mask last held; very many where it never did."""
    places = np.arange(mask.size, dtype=np.int64)
    never = -(2**40)
    return places - np.maximum.accumulate(np.where(mask, places, never)) if mask.size else places


# ---- budgets


def _budget(slo: Slo, history: History, ticks: Ints) -> Iterator[_Condition]:
    """The budget alerts of an SLO that counts few events; one at a time."""
    starts = window_starts(slo, ticks)
    total, bad = history.count(starts, ticks)
    spans = np.maximum(ticks - starts, 1)
    covered = (ticks - np.maximum(starts, history.known_from)) / spans
    sure = (total >= slo.minimum_events) & (total > 0) & (covered >= slo.minimum_coverage)
    budget = budget_of(slo)
    allowed, spent = total * budget.numerator, bad * budget.denominator
    breached, last = spent >= allowed, allowed - spent < budget.denominator
    half, most = 2 * spent >= allowed, 4 * spent >= 3 * allowed
    steps = (
        ("HalfUsed", half & ~most & ~last),
        ("MostlyUsed", most & ~breached & ~last),
        ("NextBreaches", (spent > 0) & ~breached & last),
        ("Exhausted", breached),
    )
    for name, holds in steps:
        yield _Condition(f"{BUDGET_ALERTS}{name}", "ticket", holds & sure)


def window_starts(slo: Slo, ticks: Ints) -> Ints:
    """Since when (exclusive, microseconds) events are in an SLO's budget at some ascending times.

    A range of Prometheus cannot follow the calendar: there the nominal length stands in for it.
    """
    window = slo.window if isinstance(slo.sli, IndicatorSli) else rolling(slo)
    if isinstance(window, Window):
        return ticks - window.length // _MICROSECOND
    if not ticks.size:
        return ticks
    firsts = np.array(list(_firsts(window, int(ticks[0]), int(ticks[-1]))), dtype=np.int64)
    found: Ints = firsts[firsts.searchsorted(ticks, side="right") - 1] - 1
    return found


def _firsts(window: CalendarWindow, first: int, last: int) -> Iterator[int]:
    """The starts of the calendar's windows that hold any of the times from the first to the last."""
    start, end = window.bounds(from_micros(first))
    yield to_micros(start)
    while to_micros(end) <= last:
        start, end = window.bounds(end)
        yield to_micros(start)


# ---- alert policies

_COMPARE: dict[Operator, Callable[[Floats, Floats], Mask]] = {
    Operator.GTE: np.greater_equal,
    Operator.GT: np.greater,
    Operator.LTE: np.less_equal,
    Operator.LT: np.less,
}


def _policies(slo: Slo, history: History, ticks: Ints) -> Iterator[_Condition]:
    scope = Scope.of([slo])
    for policy in slo.alert_policies:
        if not policy_refusal(slo, policy, scope):
            yield _policy(slo, policy, history, ticks)


def _policy(slo: Slo, policy: AlertPolicy, history: History, ticks: Ints) -> _Condition:
    total, bad = history.window(ticks, policy.lookback.seconds)
    share = Fraction(policy.factor) * budget_of(slo)
    holds = _compared(_COMPARE[policy.operator], bad, total, share) & (bad >= FEWEST_BAD_EVENTS - _HALF_AN_EVENT)
    held = _minutes_since(~holds) if holds.size else np.zeros(0, dtype=np.int64)
    # The minute in which a condition begins to hold is the start of its wait.
    held = np.minimum(held, np.arange(1, holds.size + 1)) - 1
    holds &= held * 60 >= policy.after.total_seconds()
    return _Condition(policy_alert_name(policy), policy.severity, holds, policy.after.total_seconds())
