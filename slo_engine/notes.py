"""What a person should know about a snapshot and may want to configure, in one sentence each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slo_engine.event_lines import one_line
from slo_engine.organisation import Organisation
from slo_engine.snapshot import Snapshot

_DEPLOYMENTS = "deployment_frequency"
_NAMED = 20
_LONGEST = 120


@dataclass(frozen=True, kw_only=True)
class UnmatchedNames:
    """Names of a kind that no rule of the catalogue knows: how many, and the first of them, each on one line."""

    kind: str
    total: int
    names: tuple[str, ...]

    @property
    def text(self) -> str:
        """As people read it: `deployment: 2 names: a, b`."""
        more = f" and {self.total - len(self.names)} more" if self.total > len(self.names) else ""
        return f"{self.kind}: {self.total} name{'s' if self.total > 1 else ''}: {', '.join(self.names)}{more}"


def unmatched_names(unmatched: Mapping[str, Sequence[str]]) -> list[UnmatchedNames]:
    """The unmatched names by kind, at most 20 shown of each."""
    return [
        UnmatchedNames(
            kind=kind,
            total=len(names),
            names=tuple(one_line(n)[:_LONGEST] or "(empty)" for n in sorted(names)[:_NAMED]),
        )
        for kind, names in sorted(unmatched.items())
        if names
    ]


def no_production(snapshot: Snapshot, organisation: Organisation) -> str | None:
    """That deployments are known and none of them goes to production, with what to do; None where that is not so."""
    subjects = {subject for (name, subject, _), n in snapshot.totals.items() if name == _DEPLOYMENTS and n}
    if not subjects or any(organisation.is_production(s.service, s.environment) for s in subjects):
        return None
    seen = sorted({one_line(s.environment) or "(none)" for s in subjects})
    more = f" and {len(seen) - _NAMED} more" if len(seen) > _NAMED else ""
    rules = ", ".join(rule.text for rule in organisation.production) or "an empty list"
    return (
        f"No deployment goes to a production environment: the environments seen are {', '.join(seen[:_NAMED])}{more}, "
        f"and production is {rules}. Name yours in the setting environments.production."
    )
