"""The home page: where everything stands, worst first."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from paceline.explanations import explain_path
from paceline.pages.look import Look
from paceline.service import Service
from paceline.status import SCORES, status_view
from slo_engine.indicator import Shape
from slo_engine.notes import no_production, unmatched_names


def home_routes(service: Service, look: Look) -> APIRouter:
    """The route of the page, from memory."""
    router = APIRouter()

    @router.head("/", include_in_schema=False)
    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def home() -> HTMLResponse:
        published = service.published
        note = no_production(published.snapshot, service.configuration.organisation) if published else None
        return look.page(
            "status.html",
            here="/",
            snapshot=published.snapshot if published else None,
            view=status_view(published.snapshot, service.indicators) if published else None,
            unmatched=unmatched_names(published.unmatched) if published else [],
            indicators=service.indicators,
            shapes=Shape,
            scores=SCORES,
            explain_path=explain_path,
            notes=(*service.configuration.notes, *([note] if note else [])),
        )

    return router
