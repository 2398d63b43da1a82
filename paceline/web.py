"""The service over HTTP: /metrics, health, the API and the status page, from memory; explanations from the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from collector.errors import StoreError
from paceline.access.caller import caller_of
from paceline.access.door import Access, put_behind
from paceline.access.headers import HEADERS, SafeHeaders
from paceline.annotations_routes import annotation_routes
from paceline.delivery_routes import delivery_routes
from paceline.enricher import Enricher, router
from paceline.explanations import EventView, explain_routes
from paceline.gate_routes import gate_routes
from paceline.history_routes import history_routes
from paceline.pages.archive import archive_routes
from paceline.pages.definitions import definition_routes
from paceline.pages.home import home_routes
from paceline.pages.indicators import indicator_routes
from paceline.pages.look import Look, static_routes
from paceline.pages.refusals import answer_refusals
from paceline.pages.slos import slo_routes
from paceline.pages.sources import source_routes
from paceline.readiness import HealthView, readiness, starting
from paceline.refusing import Limit
from paceline.service import Service
from paceline.webhooks import Doorway, Webhooks, webhook_routes
from paceline.weeklies import Weeklies
from paceline.weekly_routes import weekly_routes
from slo_engine.exposition import follower_samples, render
from slo_engine.restated import RestatedLine
from slo_engine.sli_words import measured_by
from slo_engine.slo import EventCounts, SloStatus
from slo_engine.snapshot import SloState


class EventCountsView(BaseModel):
    """Final events of an SLO in a window: whole, unless slices of time count by how good they were."""

    good: int | float
    bad: int | float


class SloView(BaseModel):
    """An SLO and where it stands. What cannot be said is null."""

    name: str
    title: str
    description: str
    service: str = Field(description="The service that owns it.")
    team: str
    tier: str
    runbook: str
    review_at: date | None = Field(description="When somebody must look at it again.")
    indicator: str = Field(description="The indicator whose units count; empty where Prometheus or other SLOs measure.")
    measured: str = Field(description="What is measured, in words.")
    target: float = Field(description="Share of events that must be good, 0 to 1.")
    sla_target: float | None = Field(description="What was promised to others, 0 to 1.")
    window: str
    status: SloStatus
    why: str = Field(description="Why the status is what it is; empty when healthy.")
    attainment: float | None = Field(description="Good events over all in the window, 0 to 1.")
    error_budget_remaining_ratio: float | None
    error_budget_remaining_events: float | None
    sla_error_budget_remaining_ratio: float | None = Field(description="The share left of what `sla_target` allows.")
    time_to_exhaustion_seconds: float | None
    coverage: float = Field(description="Share of the window in which events were observed, 0 to 1.")
    burn_rates: dict[str, float]
    events: dict[str, EventCountsView] = Field(description="By window, without what was excluded.")
    raw_events: dict[str, EventCountsView] = Field(description="By window, with what was excluded; else empty.")


class SlosView(BaseModel):
    """All SLOs at one time."""

    at: datetime
    slos: list[SloView]


class RestatementView(BaseModel):
    """A published judgement that changed afterwards."""

    at: datetime = Field(description="When that was noticed.")
    indicator: str
    service: str
    environment: str
    team: str
    unit: EventView | None = Field(description="The unit that was judged; null where one line stands for many.")
    change: str = Field(description="From what to what; times are UTC.")
    why: str


class RestatementsView(BaseModel):
    """The newest published judgements that changed afterwards, newest first."""

    restatements: list[RestatementView]


_Since = Annotated[
    datetime | None, Query(description="Only what was noticed after this time; UTC unless it says another zone.")
]


def create_app(  # noqa: C901 - one short function for each route
    service: Service,
    enricher: Enricher | None = None,
    webhooks: Webhooks | None = None,
    weeklies: Weeklies | None = None,
    access: Access | None = None,
) -> FastAPI:
    """The app of a service; with an enricher it takes alerts, with webhooks what systems send.

    `weeklies`: the weekly summaries, where somebody else keeps them ready. `access`: who may ask for what; without it
    nobody is asked who they are, as a look from within this process needs it.
    """
    app = FastAPI(title="Paceline", version=version("paceline"), docs_url=None, redoc_url=None)
    look = Look(service)
    follower = render(follower_samples(version("paceline")))

    @app.head("/metrics", include_in_schema=False)
    @app.get("/metrics", response_class=Response, summary="Prometheus and OpenMetrics exposition")
    async def metrics(request: Request) -> Response:
        published = service.published
        if published is None:
            return Response("no snapshot yet\n", status_code=503, media_type="text/plain")
        accept, encoding = (request.headers.get(h, "") for h in ("accept", "accept-encoding"))
        body, headers = service.told(published).negotiate(accept, encoding)
        if not service.shows():  # asked last: a process that was frozen shows nothing that is old
            body, headers = follower.beside(service.health.exposition).negotiate(accept, encoding)
        return Response(body, headers=headers)

    @app.get("/healthz", summary="The process answers", response_model_exclude_none=True)
    async def healthz() -> HealthView:
        return HealthView(status="ok")

    @app.get(
        "/readyz",
        summary="A snapshot is published; what does not work is named, and what does",
        response_model=HealthView,
        response_model_exclude_none=True,
        responses={503: {"model": HealthView}},
    )
    async def readyz(request: Request) -> Response:
        view = readiness(service.published, service.health, service.role)
        if not caller_of(request.scope).is_known:
            view = view.model_copy(update={"problems": [], "parts": None})  # they name sources
        return JSONResponse(view.told(), status_code=503 if view.status == "starting" else 200)

    @app.get(
        "/api/v1/slos",
        summary="All SLOs and where they stand",
        response_model=SlosView,
        responses={503: {"model": HealthView}},
    )
    async def slos() -> SlosView | JSONResponse:
        published = service.published
        if published is None:  # an empty list would read as "there are no SLOs"
            view = starting()
            return JSONResponse(view.told(), status_code=503)
        return SlosView(at=published.snapshot.at, slos=[_slo_view(s) for s in published.snapshot.slos])

    @app.get(
        "/api/v1/restatements",
        summary="The newest published judgements that changed afterwards",
        response_model=RestatementsView,
        responses={503: {"model": HealthView}},
    )
    def restatements(since: _Since = None, limit: Limit = 100) -> RestatementsView | JSONResponse:
        # A plain function, so it runs beside the event loop: it reads the store.
        try:
            lines = service.restated(since if since is None or since.tzinfo else since.replace(tzinfo=UTC), limit)
        except StoreError:
            view = HealthView(status="degraded", problems=["the store cannot be read"])
            return JSONResponse(view.told(), status_code=503)
        return RestatementsView(restatements=[_restatement_view(line) for line in lines])

    app.include_router(static_routes())
    app.include_router(home_routes(service, look))
    app.include_router(slo_routes(service, look))
    app.include_router(indicator_routes(service, look))
    app.include_router(gate_routes(service))
    app.include_router(history_routes(service))
    app.include_router(archive_routes(service, look))
    app.include_router(weekly_routes(service, look, weeklies or Weeklies(service)))
    app.include_router(source_routes(service, look))
    app.include_router(definition_routes(look))
    app.include_router(annotation_routes(service))
    app.include_router(delivery_routes(service))
    if enricher is not None:
        app.include_router(router(enricher, service.configuration.settings.notify))
    if webhooks is not None:  # after the alerts, which have a path of their own among them
        app.include_router(webhook_routes(webhooks))
    app.include_router(explain_routes(service, look))
    answer_refusals(app, look, HEADERS)
    if webhooks is not None:
        app.add_middleware(Doorway, webhooks=webhooks)  # within the guard
    if access is not None:
        put_behind(app, access, look)
    app.add_middleware(SafeHeaders, headers=HEADERS)  # the last one is the outermost
    return app


def _restatement_view(line: RestatedLine) -> RestatementView:
    return RestatementView(
        at=line.at,
        indicator=line.indicator,
        **line.subject._asdict(),
        unit=None if line.unit is None else EventView(**vars(line.unit)),
        change=line.change,
        why=line.why,
    )


def _slo_view(state: SloState) -> SloView:
    slo = state.slo
    return SloView(
        name=slo.name,
        title=slo.title,
        description=slo.description,
        service=slo.owner_service,
        team=slo.team,
        tier=slo.tier,
        runbook=slo.runbook,
        review_at=slo.review_at,
        indicator=slo.indicator,
        measured=measured_by(slo.sli),
        target=float(slo.target),
        sla_target=None if slo.sla_target is None else float(slo.sla_target),
        window=slo.window.label,
        status=state.status,
        why=state.why,
        attainment=state.attainment,
        error_budget_remaining_ratio=state.budget_remaining,
        error_budget_remaining_events=state.budget_remaining_events,
        sla_error_budget_remaining_ratio=state.sla_budget_remaining,
        time_to_exhaustion_seconds=state.time_to_exhaustion_seconds,
        coverage=state.coverage,
        burn_rates=dict(state.burn_rates),
        events=_counts(state.counts),
        raw_events=_counts(state.raw),
    )


def _counts(counts: Mapping[str, EventCounts]) -> dict[str, EventCountsView]:
    return {window: EventCountsView(good=_count(c.good), bad=_count(c.bad)) for window, c in counts.items()}


def _count(count: int | Decimal) -> int | float:
    return count if isinstance(count, int) else float(count)
