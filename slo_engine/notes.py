"""What a person should know about a snapshot and may want to configure, in one sentence each. Pure."""

from __future__ import annotations

from slo_engine.event_lines import one_line
from slo_engine.organisation import Organisation
from slo_engine.snapshot import Snapshot

_DEPLOYMENTS = "deployment_frequency"
_NAMED = 20


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
