"""What the rules of an SLO must say, worked out without PromQL: events are counted in Python. Pure.

For each SLO some timelines are made (quiet, a fast burn and the recovery from it, a slow burn, data that ends), and it
is said which alerts fire when and what the error ratio is. Where the truth has just changed nothing is claimed: a
recorded 5-minute rate lags up to 5 minutes behind the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from math import ceil
from operator import attrgetter, ge, gt, le, lt

from slo_engine.alerts import (
    BUDGET_ALERTS,
    FEWEST_BAD_EVENTS,
    NO_DATA,
    PAGE,
    TICKET,
    policy_alert_name,
    policy_refusal,
)
from slo_engine.burn import Tier, tiers_for
from slo_engine.comparison import Operator
from slo_engine.recordings import Scope, rolling
from slo_engine.slo import AlertPolicy, EventCounts, Slo
from slo_engine.synthetic import MINUTES_OF_A_RATE, Minute, Timeline
from slo_engine.windows import Window, parse_window

_QUIET, _FAILING, _RECOVERING, _SILENT, _BURST, _AFTER_BURST = 20, 90, 210, 45, 30, 20
_LONGEST_SLOW = 2_400
_BAD_EVENTS_SEEN = 6
_SETTLED = 6
"""For how many minutes the truth must have been the same to be claimed."""
_EVERY = 5
_PENDING = 15
"""Minutes that missing data waits."""
_SIX_HOURS = parse_window("6h")
_COMPARED = {Operator.GTE: ge, Operator.GT: gt, Operator.LTE: le, Operator.LT: lt}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A timeline, and the truth about it.

    Firing alerts by minute, bad events and error ratios by minute and window, the share of budget left by minute.
    """

    name: str
    timeline: Timeline
    firing: Mapping[int, frozenset[str]]
    bad: Mapping[tuple[int, str], float] = field(default_factory=dict)
    ratios: Mapping[tuple[int, str], float] = field(default_factory=dict)
    left: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Oracle:
    """Counts the events of a timeline."""

    slo: Slo
    tiers: tuple[Tier, ...]
    timeline: Timeline

    @cached_property
    def _sums(self) -> tuple[list[int], list[int]]:
        counted = [m or Minute(0, 0) for m in self.timeline]
        total, bad = (list(accumulate((m[i] for m in counted), initial=0)) for i in (0, 1))
        return total, bad

    def count(self, minute: int, window: Window) -> EventCounts:
        """The events of the window that ends with a minute."""
        start = max(0, minute - int(window.seconds) // 60)
        total, bad = (sums[minute] - sums[start] for sums in self._sums)
        return EventCounts(good=total - bad, bad=bad)

    def ratio(self, minute: int, window: Window, spread: int = 1) -> float | None:
        """The error ratio of a window; None without events. `spread`: as recorded rates see it, some minutes late."""
        total, bad = self._seen(minute, window, spread)
        return bad / total if total else None

    def bad(self, minute: int, window: Window, spread: int = 1) -> float:
        """The bad events of a window, with `spread` as in `ratio`."""
        return self._seen(minute, window, spread)[1]

    def _seen(self, minute: int, window: Window, spread: int) -> tuple[float, float]:
        """Total and bad events. A recorded rate holds an event for minutes; what it lacks of the newest is added."""
        if spread == 1:
            counts = self.count(minute, window)
            return float(counts.total), float(counts.bad)
        newest = Window(timedelta(minutes=spread), f"{spread}m")
        late = [self.count(max(0, minute - k), window) for k in range(spread)]
        of_newest = [self.count(max(0, minute - k), newest) for k in range(MINUTES_OF_A_RATE)]
        total, bad = (
            sum(map(of, late)) / MINUTES_OF_A_RATE
            + max(0.0, of(of_newest[0]) - sum(map(of, of_newest)) / MINUTES_OF_A_RATE)
            for of in (attrgetter("total"), attrgetter("bad"))
        )
        return total, bad

    def states(self, minute: int) -> tuple[object, ...]:
        """All that decides which alerts fire at a minute."""
        asked = tuple(self._asks(policy, minute) for policy in self.policies)
        if self.slo.alert_class == "rate":
            return (*asked, *(part for tier in self.tiers for part in self._conditions(tier, minute)))
        return (*asked, self.budget_step(minute))

    def _conditions(self, tier: Tier, minute: int) -> tuple[bool, bool, bool]:
        limit = float(tier.factor(self.slo.window) * (1 - self.slo.target))
        above = [(self.ratio(minute, w) or 0.0) > limit for w in (tier.long, tier.short)]
        return above[0], above[1], self.count(minute, tier.long).bad >= tier.minimum_bad_events

    def burns(self, severity: str, minute: int) -> bool:
        """True where a tier of a severity fires."""
        return any(all(self._conditions(t, minute)) for t in self.tiers if t.severity == severity)

    def budget_step(self, minute: int) -> str:
        """The budget alert of a minute; empty for none."""
        counts = self.count(minute, rolling(self.slo))
        allowed = (1 - self.slo.target) * counts.total
        if counts.total < self.slo.minimum_events:
            return ""
        used, left = counts.bad / allowed, allowed - counts.bad
        if used >= 1:
            return "Exhausted"
        if left < 1:
            return "NextBreaches" if used > 0 else ""
        if used >= Decimal("0.75"):
            return "MostlyUsed"
        return "HalfUsed" if used >= Decimal("0.5") else ""

    def firing(self) -> list[frozenset[str]]:
        """The alerts that fire, for each minute from 0 on."""
        minutes = range(len(self.timeline) + 1)
        if self.slo.alert_class == "count":
            steps = map(self.budget_step, minutes)
            found = [frozenset([f"{BUDGET_ALERTS}{step}"] if step else []) for step in steps]
        else:
            found = list(self._burning(minutes))
        for policy in self.policies:
            fires = self._held(policy, minutes)
            found = [names | {policy_alert_name(policy)} if f else names for names, f in zip(found, fires, strict=True)]
        return found

    def _burning(self, minutes: Iterable[int]) -> Iterator[frozenset[str]]:
        """The burn alerts of each minute."""
        last_page = -int(_SIX_HOURS.seconds)
        for minute in minutes:
            page = self.burns("page", minute)
            last_page = minute if page else last_page
            # What was paged for is no news for the six hours for which it stays in a ticket's windows.
            ticket = self.burns("ticket", minute) and (page or minute - last_page > _SIX_HOURS.seconds // 60)
            yield frozenset(name for name, fires in ((PAGE, page), (TICKET, ticket)) if fires)

    @cached_property
    def policies(self) -> tuple[AlertPolicy, ...]:
        """The alert policies that became alerts."""
        scope = Scope.of([self.slo])
        return tuple(p for p in self.slo.alert_policies if not policy_refusal(self.slo, p, scope))

    def _asks(self, policy: AlertPolicy, minute: int) -> bool:
        """True where a policy's condition holds at a minute."""
        ratio = self.ratio(minute, policy.lookback)
        limit = float(policy.factor * (1 - self.slo.target))
        enough = self.count(minute, policy.lookback).bad >= FEWEST_BAD_EVENTS
        return ratio is not None and enough and _COMPARED[policy.operator](ratio, limit)

    def _held(self, policy: AlertPolicy, minutes: Iterable[int]) -> Iterator[bool]:
        """For each minute whether a policy's condition has held for as long as it waits."""
        since: int | None = None
        for minute in minutes:
            since = (minute if since is None else since) if self._asks(policy, minute) else None
            yield since is not None and minute - since >= policy.after.total_seconds() / 60


def scenarios(
    slo: Slo, tiers: Iterable[Tier], *, per_minute: int, every: int = 1, spread: int = 1
) -> tuple[list[Scenario], list[str]]:
    """The scenarios of an SLO and what could not be tried.

    There is an event `per_minute` times in every `every`-th minute; `spread` as in Oracle.ratio.
    """
    usable = tiers_for(slo, tiers)[0]
    make = _Made(slo, usable, per_minute, every, spread)
    found = [
        make.scenario("quiet", make.steady(60)),
        make.scenario(
            "fast burn and recovery",
            [*make.steady(_QUIET), *make.minutes(_FAILING, Decimal(1)), *make.steady(_RECOVERING)],
        ),
        *make.burst(),
        make.no_data(),
    ]
    slow, why_not = make.slow_burn()
    return ([*found, slow], []) if slow else (found, [why_not])


@dataclass(frozen=True)
class _Made:
    slo: Slo
    tiers: tuple[Tier, ...]
    per_minute: int
    every: int
    spread: int

    def minutes(self, count: int, ratio: Decimal) -> list[Minute | None]:
        """Minutes of steady traffic with a share of bad events, spread as evenly as whole events allow."""
        count = ceil(count / self.every) * self.every
        found: list[Minute | None] = []
        seen = 0
        for minute in range(1, count + 1):
            total = 0 if minute % self.every else self.per_minute
            before, seen = int(seen * ratio), seen + total
            found.append(Minute(total, int(seen * ratio) - before))
        return found

    def steady(self, count: int) -> list[Minute | None]:
        """Minutes in which nothing is bad."""
        return self.minutes(count, Decimal(0))

    def scenario(self, name: str, timeline: Timeline) -> Scenario:
        """A timeline with what the oracle says of it."""
        oracle = Oracle(self.slo, self.tiers, timeline)
        firing = oracle.firing()
        minutes = [m for m in range(_EVERY, len(timeline) + 1, _EVERY) if self._settled(oracle, firing, m)]
        kept = {m: firing[m] for m in minutes}
        last, windows = len(timeline), (_SIX_HOURS, rolling(self.slo))
        found = {(last, w.label): oracle.ratio(last, w, self.spread) for w in windows}
        ratios = {key: ratio for key, ratio in found.items() if ratio is not None}
        bad = {(last, w.label): oracle.bad(last, w, self.spread) for w in windows}
        whole = oracle.ratio(last, rolling(self.slo), self.spread)
        left = {} if whole is None else {last: 1 - whole / float(1 - self.slo.target)}
        return Scenario(name=name, timeline=timeline, firing=_thinned(kept), bad=bad, ratios=ratios, left=left)

    @staticmethod
    def _settled(oracle: Oracle, firing: Sequence[frozenset[str]], minute: int) -> bool:
        before = range(max(0, minute - _SETTLED), minute)
        now = oracle.states(minute), firing[minute]
        return minute > _SETTLED and all((oracle.states(m), firing[m]) == now for m in before)

    def no_data(self) -> Scenario:
        """Good data that ends: nothing burns, and that it is missing is said."""
        timeline = [*self.steady(_QUIET)]
        ends = len(timeline)
        timeline += [None] * (_SILENT + self.every)
        said = frozenset([NO_DATA])
        late = ends + _PENDING + _SETTLED + self.every
        firing = {ends: frozenset[str](), ends + _PENDING - 1: frozenset[str](), late: said, len(timeline): said}
        return Scenario(name="no data", timeline=timeline, firing=firing)

    def burst(self) -> Iterator[Scenario]:
        """Where there are two page tiers: a burst after good hours that only the faster one sees.

        And a burn at which only the slower one fires.
        """
        pages = sorted((t for t in self.tiers if t.severity == "page"), key=lambda t: t.long)
        if self.slo.alert_class != "rate" or len(pages) < 2:  # noqa: PLR2004 - one alone needs no burst of its own
            return
        fast, slower = pages[:2]
        budget = 1 - self.slo.target
        good = self.steady(int(slower.long.seconds) // 60)
        spent = (fast.budget_share + slower.budget_share) / 2 * int(self.slo.window.seconds) / 60 * budget
        minutes = max(_BURST, ceil(spent))
        after = self.steady(_AFTER_BURST)
        yield from self._paged("short burst", [*good, *self.minutes(minutes, spent / minutes), *after])
        share = (fast.factor(self.slo.window) + slower.factor(self.slo.window)) / 2 * budget
        yield from self._paged("medium burn", self.minutes(60, share))

    def _paged(self, name: str, timeline: Timeline) -> Iterator[Scenario]:
        """The scenario of a timeline, if it is sure that it pages at all: few events may hide it."""
        made = self.scenario(name, timeline)
        if PAGE in frozenset().union(*made.firing.values()):
            yield made

    def slow_burn(self) -> tuple[Scenario | None, str]:
        """A burn that is worth a ticket and no page; or why there is none to be tried."""
        share = self._slow_share()
        if share is None:
            return None, "slow burn: no rate of failure gives a ticket and no page"
        minutes = max(60, ceil(_BAD_EVENTS_SEEN * self.every / (self.per_minute * share)))
        if minutes > _LONGEST_SLOW:
            return None, f"slow burn: {minutes} minutes would be needed to see {_BAD_EVENTS_SEEN} bad events"
        made = self.scenario("slow burn", self.minutes(minutes, share))
        if not any(made.firing.values()):
            return None, "slow burn: there is no time at which a ticket alone is sure"
        return made, ""

    def _slow_share(self) -> Decimal | None:
        budget = 1 - self.slo.target
        if self.slo.alert_class == "count":
            return budget * Decimal("0.6")
        tickets = [t.factor(self.slo.window) for t in self.tiers if t.severity == "ticket"]
        pages = [t.factor(self.slo.window) for t in self.tiers if t.severity == "page"]
        if not tickets:
            return None
        lowest, highest = min(tickets), min([*pages, 1 / budget])
        return (lowest + min(highest, 2 * lowest)) / 2 * budget if highest > lowest else None


def _thinned(firing: Mapping[int, frozenset[str]]) -> dict[int, frozenset[str]]:
    """The first and the last minute of each stretch in which the same alerts fire: those are the ones to be wrong."""
    minutes = sorted(firing)
    return {m: firing[m] for m in _edges(minutes, firing)}


def _edges(minutes: Sequence[int], firing: Mapping[int, frozenset[str]]) -> Iterator[int]:
    for position, minute in enumerate(minutes):
        around = [minutes[p] for p in (position - 1, position + 1) if 0 <= p < len(minutes)]
        if len(around) < 2 or any(firing[m] != firing[minute] for m in around):  # noqa: PLR2004 - the ends
            yield minute
