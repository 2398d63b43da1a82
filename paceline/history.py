"""Whether an SLO was met in the windows that are over: for the command line and the API alike."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from slo_engine.slo_states import Finished

MOST_WINDOWS = 60
USUAL_WINDOWS = 13
"""A year and a month of calendar months."""


class FinishedView(BaseModel):
    """A window that is over."""

    start: datetime
    end: datetime = Field(description="The first time after the window.")
    good: float
    bad: float
    excluded: float | None = Field(description="Events that exclusions leave out; null where none concerns the SLO.")
    attainment: float | None
    budget_remaining: float | None = Field(description="The share of the error budget that was left at its end.")
    met: bool | None = Field(description="Whether the target was met; null where that cannot be said.")
    why: str = Field(description="Why it cannot be said.")


class HistoryView(BaseModel):
    """The finished windows of an SLO, newest first."""

    slo: str
    target: float
    windows: list[FinishedView]


def view(found: Finished) -> FinishedView:
    """A finished window as it is answered."""
    return FinishedView(
        start=found.start,
        end=found.end,
        good=float(found.counts.good),
        bad=float(found.counts.bad),
        excluded=None if found.raw is None else float(found.raw.total - found.counts.total),
        attainment=found.attainment,
        budget_remaining=found.budget_remaining,
        met=found.met,
        why=found.why,
    )
