"""Whether an SLO was met in the windows that are over: for the command line and the API alike."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from collector.errors import StoreError
from paceline.explanations import Refusal
from paceline.service import Service, UnknownSlo
from slo_engine.slo_states import Finished

MOST_WINDOWS = 60
USUAL_WINDOWS = 13
"""A year and a month of calendar months."""
_AT_ONCE = 2
"""How many answers are made at once: each reads the units of years."""


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


_Name = Annotated[str, Path(max_length=63, description="The name of the SLO.")]
_Windows = Annotated[int, Query(ge=1, le=MOST_WINDOWS, description="At most so many.")]


def history_routes(service: Service) -> APIRouter:
    """The route of the finished windows."""
    router = APIRouter()
    turns = threading.Semaphore(_AT_ONCE)

    @router.get(
        "/api/v1/slos/{name}/history",
        summary="Whether an SLO was met in the windows that are over",
        response_model=HistoryView,
        responses={404: {"model": Refusal}, 503: {"model": Refusal}},
    )
    def history(name: _Name, windows: _Windows = USUAL_WINDOWS) -> HistoryView | JSONResponse:
        # A plain function, so it runs beside the event loop: it reads the store.
        try:
            with turns:
                slo, found = service.history(name, windows)
        except UnknownSlo as error:
            return JSONResponse(Refusal(detail=str(error)).model_dump(), status_code=404)
        except StoreError:
            return JSONResponse(Refusal(detail="the store cannot be read").model_dump(), status_code=503)
        return HistoryView(slo=slo.name, target=float(slo.target), windows=[view(one) for one in found])

    return router
