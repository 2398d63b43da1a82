"""The home page: where everything stands, worst first."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from paceline.explanations import explain_path
from paceline.pages.look import Look
from paceline.pages.remembered import Remembered
from paceline.service import Service
from paceline.status import MEANS, HomeView, home_view, left_of, pace_of
from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.indicator import Shape
from slo_engine.notes import no_production, unmatched_names
from slo_engine.snapshot import Snapshot
from slo_engine.weekly import Week


def home_routes(service: Service, look: Look) -> APIRouter:
    """The route of the page, from memory."""
    router = APIRouter()
    remembered = Remembered[tuple[Snapshot, HomeView]](1)

    def view_of(snapshot: Snapshot) -> HomeView:
        # By the object: a clock that stands gives several snapshots one time. Kept with it, so the id stays its own.
        return remembered(id(snapshot), lambda: (snapshot, home_view(snapshot, service.indicators)))[1]

    # Plain functions, so that the page of a thousand services holds up no scrape.
    @router.head("/", include_in_schema=False)
    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    def home() -> HTMLResponse:
        published = service.published
        if published is None:
            return look.page("starting.html", here="/")
        snapshot, configuration = published.snapshot, service.configuration
        note = no_production(snapshot, configuration.organisation)
        return look.page(
            "home.html",
            here="/",
            snapshot=snapshot,
            view=view_of(snapshot),
            week=Week.last_before(snapshot.at, service.zone).label,
            unmatched=unmatched_names(published.unmatched),
            undelivered=published.undelivered,
            indicators=service.indicators,
            notes=(*configuration.notes, *([note] if note else [])),
            year=configuration.benchmark_year,
            shapes=Shape,
            delivery=QUICK_CHECK,
            means=MEANS,
            explain_path=explain_path,
            left_of=left_of,
            pace_of=pace_of,
        )

    return router
