"""The gate: whether a service should be changed now, by an error-budget policy. Pure.

Source: Google SRE Workbook, appendix B, Example Error Budget Policy. The numbers are data, in `config/policies/`.
What is not known never reads as allowed, and only a named, expiring override makes less of a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

from slo_engine.budget import allowed
from slo_engine.exclusions import concerns
from slo_engine.slo import EventCounts, Slo, SloStatus
from slo_engine.snapshot import SloState


class Verdict(StrEnum):
    """What the gate says, from the best to the worst."""

    ALLOW = "allow"
    WARN = "warn"
    UNKNOWN = "unknown"
    BLOCK = "block"


_BADNESS = {verdict: n for n, verdict in enumerate(Verdict)}
EXIT_CODES: Mapping[Verdict, int] = MappingProxyType(
    {Verdict.ALLOW: 0, Verdict.WARN: 0, Verdict.BLOCK: 3, Verdict.UNKNOWN: 4}
)
"""How a program ends that asks the gate; 1 and 2 stay for errors and wrong usage."""
STRICT_EXIT_CODES: Mapping[Verdict, int] = MappingProxyType({**EXIT_CODES, Verdict.WARN: 1})
"""With `--strict` a warning stops a pipeline too."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a policy asks of some SLOs: those of its tiers and name patterns; empty ones take in all.

    Shares are of the error budget, 0 to 1: below `block_below` left the verdict is block, below `warn_below` warn; a
    budget with nothing left is below any of them. An incident or deployment that spent more than `review_above` is to
    be reviewed. None: not asked.
    """

    name: str
    slos: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    block_below: Decimal | None = None
    warn_below: Decimal | None = None
    review_above: Decimal | None = None

    def concerns(self, slo: Slo) -> bool:
        """Whether it is about an SLO."""
        named = not self.slos or any(fnmatchcase(slo.name, pattern) for pattern in self.slos)
        return named and (not self.tiers or slo.tier in self.tiers)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """An error-budget policy: for each SLO the first rule that concerns it holds. `source` says whose it is."""

    source: str
    rules: tuple[Rule, ...]
    longest_override: timedelta

    def rule_for(self, slo: Slo) -> Rule | None:
        """The rule that holds for an SLO, None where none does."""
        return next((rule for rule in self.rules if rule.concerns(slo)), None)


@dataclass(frozen=True, kw_only=True)
class Override:
    """Somebody takes the verdict on some SLOs upon them for a while: what it lifts becomes a warning.

    `slo` is a name or glob, else it is for the SLOs of a `service`. `author` is a team or role; the times are aware.
    `lifts` holds block, unknown or both.
    """

    author: str
    reason: str
    ticket: str
    starts_at: datetime
    ends_at: datetime
    slo: str = ""
    service: str = ""
    lifts: frozenset[Verdict] = frozenset({Verdict.BLOCK})
    file: str = ""
    line: int = 0

    def concerns(self, slo: Slo) -> bool:
        """Whether it is about an SLO."""
        return concerns(slo, self.slo, self.service)

    @property
    def who(self) -> str:
        """Who answers for it, and where."""
        return f"{self.author} ({self.ticket})"


@dataclass(frozen=True, kw_only=True, order=True)
class Spend:
    """The share of an SLO's error budget (1 is all of it) that one incident or deployment spent."""

    slo: str
    kind: Literal["incident", "deployment"]
    name: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a verdict is what it is, for one SLO (empty where there is none), with its numbers."""

    verdict: Verdict
    slo: str
    text: str

    def __str__(self) -> str:
        """`<slo>: <text>`."""
        return f"{self.slo}: {self.text}" if self.slo else self.text


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict, and for every SLO why, the worst first.

    `notes` say which overrides were ignored; `applied` are those that made a verdict less: to be logged.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...] = ()
    applied: tuple[Override, ...] = ()


def decide(
    policy: Policy,
    states: Sequence[SloState],
    overrides: Sequence[Override],
    at: datetime,
    spends: Iterable[Spend] = (),
) -> Decision:
    """The verdict on a service from the states of its SLOs: the worst of them counts, and without any it is unknown.

    `at` is aware. `spends` of SLOs that are not among the states are passed over.
    """
    reasons: list[Reason] = []
    applied: set[Override] = set()
    spent = sorted(spends)
    for state in states:
        judged = _judged(policy.rule_for(state.slo), state)
        if override := _lifting(overrides, judged.verdict, state.slo, at):
            applied.add(override)
            judged = _lifted(judged, override)
        reasons += [judged, *_reviews(policy.rule_for(state.slo), state.slo, spent)]
    if not reasons:
        reasons.append(Reason(verdict=Verdict.UNKNOWN, slo="", text="there is no SLO to decide by: 0 were found"))
    reasons.sort(key=lambda r: (-_BADNESS[r.verdict], r.slo, r.text))
    return Decision(
        verdict=reasons[0].verdict,
        reasons=tuple(reasons),
        notes=tuple(sorted(_ignored(overrides, states, at))),
        applied=tuple(sorted(applied, key=_order)),
    )


def of_service(states: Iterable[SloState], service: str) -> list[SloState]:
    """The states of the SLOs that a service owns, or whose events are its own."""
    return [state for state in states if concerns(state.slo, "", service)]


def spends_of(
    slo: Slo, counts: EventCounts, kind: Literal["incident", "deployment"], bad: Mapping[str, int]
) -> list[Spend]:
    """What single incidents or deployments spent of an SLO's budget: their bad events over those it allows.

    `counts` are of the SLO's whole window, `bad` the bad events in it by incident or deployment. Without events there
    is no budget, and nothing was spent.
    """
    budget = allowed(counts, slo.target)
    return [Spend(slo=slo.name, kind=kind, name=n, share=float(b / budget)) for n, b in sorted(bad.items()) if budget]


def _judged(rule: Rule | None, state: SloState) -> Reason:
    """What an SLO's budget alone says."""
    name, remaining = state.slo.name, state.budget_remaining
    if rule is None:
        return Reason(verdict=Verdict.UNKNOWN, slo=name, text="0 rules of the policy are for it")
    if state.status is SloStatus.INSUFFICIENT_DATA or remaining is None or not math.isfinite(remaining):
        coverage = _percent(state.coverage, ROUND_FLOOR)
        why = f" ({state.why})" if state.why else ""
        text = f"insufficient data{why}: {coverage} of {state.slo.window.label} is covered"
        return Reason(verdict=Verdict.UNKNOWN, slo=name, text=text)
    for verdict, bound in ((Verdict.BLOCK, rule.block_below), (Verdict.WARN, rule.warn_below)):
        if bound is not None and (remaining <= 0 or remaining < float(bound)):
            return Reason(
                verdict=verdict, slo=name, text=f"{_left(state, remaining)}; {rule.name}: {verdict} {_below(bound)}"
            )
    return Reason(verdict=Verdict.ALLOW, slo=name, text=_left(state, remaining))


def _left(state: SloState, remaining: float) -> str:
    """How much of the budget is left, rounded down: 24.99 % is not 25 %."""
    share = _percent(remaining, ROUND_FLOOR)
    window = state.slo.window.label
    if remaining <= 0:
        return f"nothing is left of the error budget of {window} ({share})"
    return f"{share} of the error budget of {window} is left"


def _below(bound: Decimal) -> str:
    return f"below {_plain_percent(bound)}" if bound else "when nothing is left (0%)"


def _reviews(rule: Rule | None, slo: Slo, spends: Iterable[Spend]) -> Iterator[Reason]:
    """The reviews that are due for an SLO."""
    if rule is None or rule.review_above is None:
        return
    for spend in spends:
        if spend.slo == slo.name and spend.share > float(rule.review_above):
            share = _percent(spend.share, ROUND_CEILING)
            said = f"{spend.kind} {spend.name} spent {share} of the error budget of {slo.window.label}"
            due = f"{said}; {rule.name}: a review is due above {_plain_percent(rule.review_above)}"
            yield Reason(verdict=Verdict.WARN, slo=slo.name, text=due)


def _lifting(overrides: Iterable[Override], verdict: Verdict, slo: Slo, at: datetime) -> Override | None:
    """The override that makes less of a verdict; of several the one that holds longest."""
    found = [o for o in overrides if verdict in o.lifts and o.starts_at <= at < o.ends_at and o.concerns(slo)]
    return max(found, key=_order, default=None)


def _order(override: Override) -> tuple[object, ...]:
    """All that tells overrides apart, so that none is chosen by where it stands."""
    o = override
    said = (o.ticket, o.author, o.reason, o.slo, o.service, sorted(o.lifts))
    return o.ends_at, o.starts_at, *said, o.file, o.line


def _lifted(judged: Reason, override: Override) -> Reason:
    who = f"{override.who} overrides {judged.verdict} until {_shown(override.ends_at)}: {override.reason}"
    return Reason(verdict=Verdict.WARN, slo=judged.slo, text=f"{judged.text}; {who}")


def _ignored(overrides: Iterable[Override], states: Sequence[SloState], at: datetime) -> Iterator[str]:
    """What is to be said of overrides for these SLOs that do not hold now."""
    for override in overrides:
        if any(override.concerns(state.slo) for state in states):
            if at >= override.ends_at:
                yield f"the override of {override.who} expired on {_shown(override.ends_at)} and is ignored"
            elif at < override.starts_at:
                yield f"the override of {override.who} begins on {_shown(override.starts_at)} and is ignored until then"


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _percent(share: float, rounding: str) -> str:
    return f"{Decimal(repr(float(share))).scaleb(2).quantize(Decimal('0.1'), rounding)}%"


def _plain_percent(share: Decimal) -> str:
    return f"{share.scaleb(2).normalize():f}%"
