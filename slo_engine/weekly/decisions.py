"""What the error-budget policy asks for at the end of a week, with the rule that says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from collector.store import to_micros
from slo_engine.gate import Policy, Reason, Verdict, decide
from slo_engine.slo_states import is_counted
from slo_engine.snapshot import SloState
from slo_engine.weekly.counting import SloUnits
from slo_engine.weekly.known import Asked, clean, first_of
from slo_engine.weekly.losses import Charging, bad_of, lifts_at, losing
from slo_engine.weekly.model import Decision
from slo_engine.windows import CalendarWindow


def decisions(states: Sequence[SloState], asked: Asked, units: SloUnits, charging: Charging) -> list[Decision]:
    """What is to be frozen, then what is to be reviewed; in the order of SLOs."""
    return [*_freezes(states, asked, units), *_reviews(states, asked.known.policy, charging)]


def undecided(states: Iterable[SloState], asked: Asked) -> list[str]:
    """The SLOs of which nobody can say whether their budget allows changes."""
    by_name = {s.slo.name: s for s in states}
    reasons = decide(asked.known.policy, list(by_name.values()), asked.known.overrides, asked.at).reasons
    return [_title(by_name[r.slo]) for r in reasons if r.verdict is Verdict.UNKNOWN and r.slo in by_name]


def _title(state: SloState) -> str:
    return clean(state.slo.title or state.slo.name)


def _freezes(states: Sequence[SloState], asked: Asked, units: SloUnits) -> Iterator[Decision]:
    by_name = {s.slo.name: s for s in states}
    for reason in decide(asked.known.policy, states, asked.known.overrides, asked.at).reasons:
        if reason.verdict is Verdict.BLOCK:
            yield _freeze(by_name[reason.slo], reason, asked, units)


def _freeze(state: SloState, reason: Reason, asked: Asked, units: SloUnits) -> Decision:
    slo, rule = state.slo, asked.known.policy.rule_for(state.slo)
    bound = float(rule.block_below) if rule and rule.block_below else 0.0
    until = None
    if isinstance(slo.window, CalendarWindow):
        until = slo.window.bounds(asked.at)[1]
    elif is_counted(slo) and losing(state, asked.known.indicators):
        now = to_micros(asked.at)
        after = to_micros(asked.at - slo.window.length)
        until = lifts_at(state, bad_of(slo, asked, units, after, now), bound)
    whose = clean(first_of((slo.owner_service, slo.service, slo.title, slo.name)))
    return Decision(kind="freeze", slo=_title(state), whose=whose, why=clean(reason.text), until=until)


def _reviews(states: Iterable[SloState], policy: Policy, charging: Charging) -> Iterator[Decision]:
    for state in states:
        rule = policy.rule_for(state.slo)
        if rule is None or rule.review_above is None:
            continue
        for spend in sorted(charging.reviews(state, float(rule.review_above)), key=lambda s: (-s.share, s.name)):
            due = f"it spent {spend.share:.0%} of the error budget of {state.slo.window.label}"
            why = f"{due}; {rule.name}: a review is due above {float(rule.review_above):.0%}"
            yield Decision(kind="review", slo=_title(state), whose=f"{spend.kind} {spend.name}", why=why)
