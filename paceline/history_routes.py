"""Whether an SLO was met in the windows that are over, over HTTP."""

from __future__ import annotations

import threading
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from collector.errors import StoreError
from paceline.history import MOST_WINDOWS, USUAL_WINDOWS, HistoryView, view
from paceline.refusing import Refusal, refused, unreadable
from paceline.service import Service, UnknownSlo

_AT_ONCE = 2
"""How many answers are made at once: each reads the units of years."""
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
            return refused(404, str(error))
        except StoreError:
            return unreadable()
        return HistoryView(slo=slo.name, target=float(slo.target), windows=[view(one) for one in found])

    return router
