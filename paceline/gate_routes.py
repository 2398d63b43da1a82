"""The gate over HTTP, for pipelines without the command line. Reads what is published and the store, writes nothing."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from collector.errors import StoreError
from paceline.gate import Answer, UnknownService
from paceline.refusing import Refusal, refused, unreadable
from paceline.service import Service
from slo_engine.gate import Override, Verdict

_AT_ONCE = 2
"""How many answers are made at once: what spent a budget is looked for among all bad units of its window."""


class ReasonView(BaseModel):
    """Why a verdict is what it is, for one SLO."""

    verdict: Verdict
    slo: str = Field(description="The SLO; empty where the service has none.")
    text: str = Field(description="In words, with the numbers.")


class OverrideView(BaseModel):
    """An override that made less of a verdict."""

    slo: str
    service: str
    author: str = Field(description="A team or a role.")
    ticket: str
    reason: str
    until: datetime


class GateView(BaseModel):
    """Whether a service should be changed now. Only `allow` and `warn` say that it may."""

    service: str
    at: datetime
    policy: str = Field(description="Whose error-budget policy it is.")
    verdict: Verdict
    reasons: list[ReasonView] = Field(description="The worst first.")
    notes: list[str] = Field(description="Overrides that were ignored, and why.")
    overrides: list[OverrideView] = Field(description="Overrides that were applied; they are logged.")


_Asked = Annotated[
    str, Query(alias="service", min_length=1, max_length=200, description="The service that is to be changed.")
]


def gate_routes(service: Service) -> APIRouter:
    """The route of a service's gate."""
    router = APIRouter()
    turns = threading.Semaphore(_AT_ONCE)

    @router.get(
        "/api/v1/gate",
        summary="Whether a service should be changed now, by its error budgets",
        response_model=GateView,
        responses={404: {"model": Refusal}, 503: {"model": Refusal}},
    )
    def gate(asked: _Asked) -> GateView | JSONResponse:
        # A plain function, so it runs beside the event loop: it reads the store.
        published = service.published
        if published is None:
            return refused(503, "no snapshot is published yet")
        try:
            with turns:
                return _view(service.gate(asked, published))
        except UnknownService as error:
            return refused(404, str(error))
        except StoreError:
            return unreadable()

    return router


def _view(answer: Answer) -> GateView:
    decision = answer.decision
    return GateView(
        service=answer.service,
        at=answer.at,
        policy=answer.source,
        verdict=decision.verdict,
        reasons=[ReasonView(verdict=r.verdict, slo=r.slo, text=r.text) for r in decision.reasons],
        notes=list(decision.notes),
        overrides=[_override(o) for o in decision.applied],
    )


def _override(override: Override) -> OverrideView:
    return OverrideView(
        slo=override.slo,
        service=override.service,
        author=override.author,
        ticket=override.ticket,
        reason=override.reason,
        until=override.ends_at,
    )
