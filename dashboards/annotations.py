"""Marks on charts: what else happened at that time, as Prometheus knows it, and so as fine as its steps.

Where nobody declared what a mark reads there is none, so that a board adds them up:
`annotations=[*deployments(making), *incidents(making)]`.
"""

from __future__ import annotations

from dashboards import panels
from dashboards.making import SERVICES, Making, by, matching
from dashboards.panels import BLUE, PURPLE, VERMILLION, Json
from slo_engine import catalog
from slo_engine.catalog import metrics_of
from slo_engine.windows import INDICATOR_WINDOWS

_DEPLOYED = ("service", "environment", "outcome")
_LONGEST = max(INDICATOR_WINDOWS).label
"""The longest window: an incident that is open for longer is in none."""


def deployments(making: Making, where: str = SERVICES, only: str = "") -> tuple[Json, ...]:
    """A mark at each step since whose predecessor deployments finished, by service, environment and outcome.

    A difference to the step before tells each deployment once, where an increase over `$__rate_interval` would tell
    some twice. The first of a service and outcome has nothing before it and is not marked. `where` selects series, and
    `only` keeps some of them: `and on (service) …`.
    """
    finished = [metrics_of(i).total for i in making.named(("deployment_frequency",))]
    return tuple(
        panels.annotation(
            "Deployments",
            _above_0(f"{_finished(total.name, where)} - {_finished(total.name, where, ' offset $__interval')}", only),
            title="Deployment of {{service}}",
            text="{{outcome}} in {{environment}}",
            tags=_DEPLOYED,
            color=BLUE,
        )
        for total in finished
        if total
    )


def _finished(name: str, where: str, before: str = "") -> str:
    return f"max by ({', '.join(_DEPLOYED)}) ({name}{{{where}}}{before})"


def _above_0(expr: str, only: str) -> str:
    return f"{expr} > 0 {only}".rstrip()


def incidents(making: Making, where: str = SERVICES, only: str = "") -> tuple[Json, ...]:
    """A region for the time in which incidents of a service and environment are open.

    `where` and `only` are as for deployments.
    """
    declared = making.named(("incident_time_to_restore",))
    window = f'window="{_LONGEST}"'
    return tuple(
        panels.annotation(
            "Open incidents",
            _above_0(by(metrics_of(i).pending, "service", "environment", where=matching(where, window)), only),
            title="Incident of {{service}}",
            text="open in {{environment}}",
            tags=("service", "environment"),
            color=VERMILLION,
        )
        for i in declared
    )


def exclusions(where: str = "") -> tuple[Json, ...]:
    """A region for the time that an SLO leaves out: maintenance, outside of its hours, others. `where` selects SLOs."""
    return (
        panels.annotation(
            "Exclusions",
            f"{by(catalog.SLO_EXCLUSION_ACTIVE, 'slo', where=where)} == 1",
            title="Left out of {{slo}}",
            text="an exclusion is active",
            tags=("slo",),
            color=PURPLE,
        ),
    )
