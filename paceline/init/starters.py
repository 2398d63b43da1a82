"""The first SLOs: targets suggested from what was attained, or the packaged target where too little is known.

Nothing here is invented: a limit is a bound of DORA's bands of time, what was attained is counted by the engine, and
the target is the next lower of the steps that people use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from collector.document import dump
from paceline.init.files import comment
from slo_engine.slo import EventCounts
from slo_engine.snapshot import SloState
from slo_engine.statistics import wilson
from slo_engine.words import share_text

STEPS = tuple(
    Decimal(text) for text in ("0.5", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95", "0.99", "0.995", "0.999")
)
"""Targets that people use, the lowest first."""
LOOK, USUAL = "90d", "28d"
"""The window whose attained share suggests a target; and that of an SLO, where enough happens in it."""
_DAY = 86_400
_LIMITS = {_DAY: "a day", 7 * _DAY: "a week", 30 * _DAY: "30 days", 180 * _DAY: "180 days"}
"""Bounds of DORA's bands of time from a day on, in seconds (definitions.md §2); the packaged SLO begins at a day."""
_PACKAGED_TARGET = Decimal("0.9")


@dataclass(frozen=True)
class Starter:
    """An SLO that may be written. `limit` in seconds, None for an indicator that counts good and bad itself."""

    name: str
    indicator: str
    title: str
    good: str
    limit: int | None = None

    def document(self, target: Decimal, window: str = USUAL) -> dict[str, Any]:
        """The SLO in OpenSLO v1."""
        metric = {"metricSource": {"type": "Paceline", "spec": {"indicator": self.indicator}}}
        sli: dict[str, Any] = {"thresholdMetric": metric}
        if self.limit is None:
            sli = {"ratioMetric": {"rawType": "success", "raw": metric}}
        within = {} if self.limit is None else {"op": "lte", "value": self.limit}
        return {
            "apiVersion": "openslo/v1",
            "kind": "SLO",
            "metadata": {"name": self.name, "displayName": self.title},
            "spec": {
                "service": "delivery",
                "indicator": {"metadata": {"name": self.indicator.replace("_", "-")}, "spec": sli},
                "budgetingMethod": "Occurrences",
                "timeWindow": [{"duration": window, "isRolling": True}],
                "objectives": [{**within, "target": target}],
            },
        }


DELIVERY = tuple(
    Starter(
        name="merge-to-production",
        indicator="change_delivery_time",
        title=f"Merged changes reach production within {words}",
        good=f"changes that went to production were there within {words} of their merge",
        limit=seconds,
    )
    for seconds, words in _LIMITS.items()
)
HOLD = Starter(
    name="deployments-hold",
    indicator="change_fail_rate",
    title="Production deployments hold",
    good="judged production deployments had no failure",
)
PIPELINES = Starter(
    name="pipelines-succeed",
    indicator="pipeline_success",
    title="Pipelines succeed",
    good="pipeline runs succeeded",
)


STARTERS = tuple(dict.fromkeys(s.name for s in (*DELIVERY, HOLD, PIPELINES)))
"""The names of the SLOs that may be written."""


def candidates() -> dict[str, str]:
    """Files with everything that may be written, by names that only count here."""
    return {f"{number}.yaml": _renamed(number, s) for number, s in enumerate((*DELIVERY, HOLD, PIPELINES))}


def _renamed(number: int, starter: Starter) -> str:
    document = starter.document(_PACKAGED_TARGET)
    document["metadata"]["name"] = f"candidate-{number}"
    return dump([document])


class _Counted(NamedTuple):
    """What a candidate counted in the long window and in the usual one; and how many events an SLO needs."""

    look: EventCounts
    usual: EventCounts
    needed: int

    @property
    def window(self) -> str:
        """The usual window where enough happens in it, else the long one."""
        return USUAL if self.usual.total >= self.needed or self.look.total < self.needed else LOOK

    @property
    def most(self) -> int | Decimal:
        """How many events the window of the SLO holds."""
        return self.usual.total if self.window == USUAL else self.look.total

    @property
    def attained(self) -> list[Decimal]:
        """The steps at or below the attained share; none where too little was counted."""
        return [s for s in STEPS if s * self.look.total <= self.look.good] if self.look.total >= self.needed else []

    @property
    def target(self) -> Decimal | None:
        """The highest of these that lets at least one event of the window be bad; None for none."""
        return max((s for s in self.attained if (1 - s) * self.most >= 1), default=None)


def suggested(states: Mapping[str, SloState]) -> dict[str, str]:
    """The files of the SLOs that are worth having, by name. `states`: of the candidates, by their names.

    Delivery is always there, with the packaged limit and target where too little was counted; the others only where
    something was.
    """
    counts = {s: _counted(states[f"candidate-{n}"]) for n, s in enumerate((*DELIVERY, HOLD, PIPELINES))}
    reached = next((s for s in DELIVERY if counts[s].target is not None), DELIVERY[0])
    others = [s for s in (HOLD, PIPELINES) if counts[s].look.total]
    return {f"{s.name}.yaml": _text(s, counts) for s in (reached, *others)}


def _counted(state: SloState) -> _Counted:
    look, usual = (state.counts.get(window) or EventCounts() for window in (LOOK, USUAL))
    return _Counted(look, usual, state.slo.minimum_events)


def _text(starter: Starter, counts: Mapping[Starter, _Counted]) -> str:
    """An SLO with a comment that says from what its target comes."""
    own = counts[starter]
    lines = [_attained(starter, own.look)]
    if own.target is not None:
        lines += [*_how(own, own.target), *_passed_over(starter, counts)]
    elif own.look.total < own.needed:
        lines.append(f"Too few to suggest a target from (fewer than {own.needed}): this one comes with Paceline.")
    else:
        lines.append(f"No step from {share_text(float(STEPS[0]))} on was attained: this target comes with Paceline.")
    head = [line for text in (f"{starter.title}. OpenSLO v1; see docs/slos.md.", *lines) for line in comment(text)]
    return "\n".join(head) + "\n" + dump([starter.document(own.target or _PACKAGED_TARGET, own.window)])


def _attained(starter: Starter, own: EventCounts) -> str:
    """What was counted, with n and its interval."""
    interval = wilson(float(own.good), int(own.total))
    if interval is None:
        return "In the last 90 days nothing was counted."
    low, high = map(share_text, interval)
    share = share_text(float(own.good / own.total))
    return (
        f"In the last 90 days {own.good} of {own.total} {starter.good}: {share}, n = {own.total}, 95 % interval "
        f"{low} to {high}."
    )


def _how(own: _Counted, target: Decimal) -> Iterator[str]:
    yield f"The target is that share, rounded down to a usual step: {share_text(float(target))}."
    if target < max(own.attained):
        yield f"A higher step would let none of the {own.most} of {own.window} be bad, which is no budget."
    if own.window != USUAL:
        yield f"Of {USUAL} there are {own.usual.total}, and an SLO needs {own.needed}: so its window is {LOOK}."


def _passed_over(starter: Starter, counts: Mapping[Starter, _Counted]) -> list[str]:
    """Why the limit is longer than the shortest one."""
    shorter = [s for s in DELIVERY if s.limit and starter.limit and s.limit < starter.limit]
    return [
        f"Within {_LIMITS[s.limit or 0]} were {counts[s].look.good} of {counts[s].look.total}: no step from "
        f"{share_text(float(STEPS[0]))} on was attained."
        for s in shorter
    ]
