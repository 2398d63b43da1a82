"""The page of the definitions: what every indicator means, from the indicators themselves, plug-ins among them."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from paceline.pages.look import Look
from slo_engine.catalog import Metric, metrics_of
from slo_engine.indicator import Indicator, Reach, Shape, families
from slo_engine.windows import INDICATOR_WINDOWS

_SHAPES = {
    Shape.DURATION: "duration in seconds: quantiles, with a 95 % interval of the median",
    Shape.RATIO: "ratio from 0 to 1, with a 95 % interval (Wilson)",
    Shape.FREQUENCY: "how often: units a day of the window",
}
_UNITS = {"seconds": "seconds", "ratio": "a ratio", "count": "a count"}


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What the page says of an indicator."""

    indicator: Indicator
    shape: str
    labels: tuple[str, ...]
    windows: tuple[str, ...]
    """Empty where it is about a moment."""
    metrics: tuple[Metric, ...]


def definition_routes(look: Look) -> APIRouter:
    """The route of the page; it needs no snapshot."""
    router = APIRouter()

    @router.head("/definitions", include_in_schema=False)
    @router.get("/definitions", response_class=HTMLResponse, include_in_schema=False)
    def definitions() -> HTMLResponse:
        found = [(family, [definition_of(i) for i in family.indicators]) for family in families()]
        return look.page("definitions.html", here="/definitions", families=found)

    return router


def definition_of(indicator: Indicator) -> Definition:
    """What the page says of an indicator."""
    measured = f"a measure of its own: {', '.join(indicator.stats)}, in {_UNITS[indicator.unit.value]}"
    split = (*indicator.labels, indicator.dimension)
    return Definition(
        indicator=indicator,
        shape=_SHAPES.get(indicator.shape, measured),
        labels=tuple(label for label in split if label),
        windows=() if indicator.reach is Reach.ALL else tuple(w.label for w in INDICATOR_WINDOWS),
        metrics=tuple(metrics_of(indicator).all()),
    )
