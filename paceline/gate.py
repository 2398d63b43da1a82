"""The gate at work: which SLOs a service has, what spent their budgets, and what the policy says about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from collector.document import nearest
from collector.errors import PacelineError
from paceline.logs import Log
from paceline.settings import Configuration
from slo_engine.exclusions import concerns
from slo_engine.gate import EXIT_CODES, STRICT_EXIT_CODES, Decision, decide, of_service
from slo_engine.slo import SloStatus
from slo_engine.snapshot import SloState, Snapshot
from slo_engine.spending import Ledger, spends
from slo_engine.words import duration_text

_OLD = timedelta(minutes=15)
"""After as long the alert about old numbers fires: they say nothing about now."""
_LISTED = 10


class UnknownService(PacelineError):  # noqa: N818 - it says what is asked for, and what there is
    """Nobody knows a service of this name: neither the catalogue, nor an SLO, nor an event."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the gate says about a service, at the time of asking; `source` is whose policy it is."""

    service: str
    at: datetime
    source: str
    decision: Decision

    def exit_code(self, *, strict: bool) -> int:
        """How a program ends that asked; with `strict` a warning stops it, too."""
        return (STRICT_EXIT_CODES if strict else EXIT_CODES)[self.decision.verdict]


def ask(service: str, configuration: Configuration, snapshot: Snapshot, ledger: Ledger, at: datetime) -> Answer:
    """Whether a service should be changed at a time. Raises UnknownService, and StoreError.

    A service that is known and has no SLO gets `unknown`, and so does one whose numbers are old.
    """
    _known(service, configuration, snapshot)
    states = [_of_now(state, at - snapshot.at) for state in of_service(snapshot.slos, service)]
    policy = configuration.policy
    spent = spends(policy, states, ledger, snapshot.at)
    decision = decide(policy, states, configuration.overrides, at, spent)
    return Answer(service=service, at=at, source=policy.source, decision=decision)


def log_overrides(answer: Answer, log: Log) -> None:
    """Keep on record which overrides made less of a verdict: by ticket, never by a name."""
    for override in answer.decision.applied:
        log.warning(
            "an override of the gate was applied",
            service=answer.service,
            verdict=answer.decision.verdict.value,
            ticket=override.ticket,
            lifts=", ".join(sorted(override.lifts)),
            until=override.ends_at.isoformat(),
        )


def _known(service: str, configuration: Configuration, snapshot: Snapshot) -> None:
    """Raises UnknownService for a name that nobody uses: a misspelt one would else read as "no SLO"."""
    if any(concerns(slo, "", service) for slo in configuration.slos):
        return
    names = _names(configuration, snapshot)
    if not service or service not in names:
        near = nearest(service, names)
        hint = f"did you mean {near}?" if near else _listed(names)
        raise UnknownService(f"there is no service {service[:60]!r}; {hint}")


def _names(configuration: Configuration, snapshot: Snapshot) -> list[str]:
    own = {name for slo in configuration.slos for name in (slo.owner_service, slo.service)}
    listed = {s.name for s in configuration.services}
    seen = {part.subject.service for part in snapshot.parts}
    return sorted((own | listed | seen) - {""})


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "no service is known yet"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"there are {', '.join(names[:_LISTED])}{more}"


def _of_now(state: SloState, age: timedelta) -> SloState:
    """The state of an SLO as far as it says something about now."""
    if age <= _OLD:
        return state
    why = f"the numbers are {duration_text(age.total_seconds())} old"
    return dataclasses.replace(state, status=SloStatus.INSUFFICIENT_DATA, why=why, counts={})
