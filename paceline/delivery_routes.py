"""The log of the weekly summary's deliveries over HTTP: no receiver is named; why one failed names its server."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from collector.errors import StoreError
from paceline.deliveries import DeliveryView, delivery_view
from paceline.refusing import Limit, Refusal, unreadable
from paceline.service import Service


class DeliveriesView(BaseModel):
    """The newest weeks first."""

    deliveries: list[DeliveryView]


def delivery_routes(service: Service) -> APIRouter:
    """The route of the log."""
    router = APIRouter()

    @router.get(
        "/api/v1/deliveries",
        summary="What became of the weekly summaries",
        response_model=DeliveriesView,
        responses={503: {"model": Refusal}},
    )
    def deliveries(limit: Limit = 100) -> DeliveriesView | JSONResponse:
        # A plain function, so it runs beside the event loop: it reads the store.
        try:
            found = service.delivery_log.listed(limit)
        except StoreError:
            return unreadable()
        return DeliveriesView(deliveries=[delivery_view(record) for record in found])

    return router
