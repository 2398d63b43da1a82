"""The page of the sources: how each fares, what its rules took, what the catalogue does not know, how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from collector.findings import Findings
from collector.pushed import PushedConfig
from collector.run import Failure
from collector.source import SourceConfig
from paceline.doctor import RuleFound, Unmapped, rules_found, unmapped_words
from paceline.pages.counting import Counting
from paceline.pages.look import Look
from paceline.service import Service
from slo_engine.notes import unmatched_names
from slo_engine.snapshot import SourceState

_MOST_LOOKALIKES = 10
_MENDING = {
    "deployment": "name it in a service's `deployed_as`",
    "component": "name it in a service's `components`",
    "pipeline": "name its repository in a service's `repositories`, or the pipeline in its `pipelines`",
}


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """A source as the page shows it. What was noticed is of its last run since the service started."""

    state: SourceState
    config: SourceConfig
    runs: int
    rules: tuple[RuleFound, ...]
    lookalikes: tuple[tuple[str, int], ...]
    unmapped: tuple[Unmapped, ...]

    @property
    def is_pushed(self) -> bool:
        """Whether it is only told what happens."""
        return isinstance(self.config, PushedConfig)

    @property
    def scopes(self) -> tuple[tuple[str, str], ...]:
        """What its token must be allowed, and what for, where the system refused it."""
        refused = self.state.failure == Failure.CREDENTIALS
        return self.config.about.scopes if refused and self.config.about else ()


def source_routes(service: Service, look: Look) -> APIRouter:
    """The route of the page: from memory, and the counts of events from the store."""
    router = APIRouter()
    counting = Counting(service.events)
    router.add_event_handler("shutdown", counting.close)

    @router.head("/sources", include_in_schema=False)
    @router.get("/sources", response_class=HTMLResponse, include_in_schema=False)
    def sources() -> HTMLResponse:
        published = service.published
        if published is None:
            return look.message("no snapshot is published yet", 503)
        values: dict[str, Any] = {
            "snapshot": published.snapshot,
            "rows": source_rows(service, published.snapshot.sources),
            "counts": counting(),
            "unmatched": unmatched_names(published.unmatched),
            "mending": _MENDING,
        }
        return look.page("sources.html", here="/sources", **values)

    return router


def source_rows(service: Service, states: tuple[SourceState, ...]) -> list[SourceRow]:
    """The sources in the order of the settings, those that need a look first."""
    configs = {config.name: config for config in service.configuration.sources}
    rows = [_row(state, configs[state.name], service.findings.get(state.name)) for state in states]
    return sorted(rows, key=lambda r: (r.state.fresh, r.state.last_succeeded is not False))


def _row(state: SourceState, config: SourceConfig, findings: Findings | None) -> SourceRow:
    noticed = findings or Findings()
    return SourceRow(
        state=state,
        config=config,
        runs=noticed.runs,
        rules=rules_found(config, noticed) if noticed.runs else (),
        lookalikes=tuple(noticed.lookalikes.most_common(_MOST_LOOKALIKES)),
        unmapped=unmapped_words(noticed),
    )
