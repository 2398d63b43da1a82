"""The default panels of an indicator, whatever its shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dashboards.making import Making
from dashboards.panels import Row
from dashboards.service_rows import service_row
from dashboards.split_rows import split_row
from slo_engine.indicator import Indicator


def default_row(indicator: Indicator, making: Making) -> Row:
    """The panels that an indicator gets by being declared.

    They ask for `$team` and `$window`, those of services also for `$service` and `$environment`.
    """
    return service_row(indicator, making) if indicator.like_delivery else split_row(indicator, making)


def default_rows(indicators: Iterable[Indicator], making: Making, *, folded: bool = False) -> tuple[Row, ...]:
    """A row for each of these indicators. `folded`, where a board says the main things above."""
    return tuple(replace(default_row(indicator, making), folded=folded) for indicator in indicators)
