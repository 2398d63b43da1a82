"""How sources fare, for tests of what is told of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from slo_engine.snapshot import SourceState

_FRESH = SourceState(
    name="ci",
    type="files",
    fresh=True,
    staleness_seconds=0.0,
    last_success_at=None,
    last_run_at=None,
    last_duration_seconds=None,
    last_succeeded=True,
    error=None,
    events_total=1,
    rejected_total=0,
    newest_event_at=None,
)


def source_state(name: str, **fields: Any) -> SourceState:
    """A source that is fresh, unless some fields say otherwise."""
    return dataclasses.replace(_FRESH, name=name, **fields)
