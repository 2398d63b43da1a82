"""The stored series of one indicator alone: a reader of these is ready at once. Reads the store."""

from __future__ import annotations

from collector.store import ObservationStore
from slo_engine.organisation import Organisation


def narrowed(store: ObservationStore, indicator: str, organisation: Organisation) -> ObservationStore:
    """A store that holds no series but those of an indicator, where that changes no number of it.

    Without teams in the catalogue, those that any observation names decide whether there are levels.
    """
    return store.only(indicator) if any(s.team for s in organisation.services) else store
