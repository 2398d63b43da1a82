"""Deployments, incidents and exclusions over HTTP, as Grafana's JSON data sources take annotations. Writes nothing.

Prometheus knows them by its steps; here are their own times and what they are called. Never who.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from html import escape
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from collector.errors import StoreError
from collector.store import Series, from_micros, to_micros
from paceline.refusing import Refusal, refused, unreadable
from paceline.service import Published, Service
from slo_engine.event_lines import EventLine, line_of, one_line
from slo_engine.exclusions import Exclusion
from slo_engine.observation import Outcome
from slo_engine.slo_states import concerned

LONGEST = timedelta(days=100)
"""The longest time that one answer is about: a quarter, and a little more."""
MOST = 1_000
_USUAL = 200
_YEARS = 1971, 2200
"""Years that somebody may mean; what recurs is followed from its first time on, which takes its time."""
_OPEN_FOR = timedelta(days=90)
"""An incident that is open for longer is in no number, and is not marked either."""
_AT_ONCE = 2
"""How many answers are made at once: each reads all units of its time."""
_MOST_NAMED = 5


class MarkKind(StrEnum):
    """What may be marked on a chart."""

    DEPLOYMENT = "deployment"
    INCIDENT = "incident"
    EXCLUSION = "exclusion"


class MarkView(BaseModel):
    """A mark or region on a chart, in the fields that Grafana reads. Texts are escaped for HTML."""

    id: str
    kind: MarkKind
    time: int = Field(description="Milliseconds since 1970.")
    timeEnd: int | None = Field(description="The end of a region, of what is still open the published numbers' time.")  # noqa: N815 - Grafana's name
    title: str
    text: str
    tags: str = Field(description="Separated by commas.")
    url: str | None = Field(description="Where to look; http or https.")


class MarksView(BaseModel):
    """Marks of a time, oldest first."""

    annotations: list[MarkView]
    total: int = Field(description="How many there are; `annotations` are some of them.")
    offset: int


@dataclass(frozen=True, order=True)
class _Mark:
    """What is marked from a time to another, in microseconds; `end` is None for what has no length."""

    start: int
    id: str
    kind: MarkKind
    end: int | None
    title: str
    text: str
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """Marks of which kinds, after and up to which times, of which service and environment (empty: of all)."""

    after: datetime
    until: datetime
    kinds: frozenset[MarkKind]
    service: str
    environment: str

    def concerns(self, series: Series) -> bool:
        """Whether units of a series are asked for."""
        wanted = self.service in {"", series.service} and self.environment in {"", series.environment}
        return wanted and bool(series.service)


_From = Annotated[
    datetime, Query(alias="from", description="A time, or milliseconds since 1970; UTC unless it says another zone.")
]
_To = Annotated[datetime, Query(alias="to", description="The same; at most 100 days later.")]
_Kinds = Annotated[list[MarkKind], Query(alias="kind", description="Only these; may be repeated.")]
_Name = Annotated[str, Query(max_length=200)]
_Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many.")]
_Offset = Annotated[int, Query(ge=0, le=2**62, description="Skip so many of the oldest.")]


def annotation_routes(service: Service) -> APIRouter:
    """The route of what is marked on charts."""
    router = APIRouter()
    turns = threading.Semaphore(_AT_ONCE)

    @router.get(
        "/api/v1/annotations",
        summary="Deployments, incidents and exclusions, as annotations of Grafana",
        response_model=MarksView,
        responses={422: {"model": Refusal}, 503: {"model": Refusal}},
    )
    def annotations(  # noqa: PLR0913, PLR0917 - the parameters of the address
        since: _From,
        until: _To,
        kinds: _Kinds = list(MarkKind),  # noqa: B006 - FastAPI copies it
        of: Annotated[_Name, Query(alias="service", description="Only of this service.")] = "",
        environment: Annotated[_Name, Query(description="Only in this environment.")] = "",
        limit: _Limit = _USUAL,
        offset: _Offset = 0,
    ) -> MarksView | JSONResponse:
        # A plain function, so it runs beside the event loop: it reads the store.
        published = service.published
        if published is None:
            return refused(503, "no snapshot is published yet")
        asked = _Asked(
            after=_aware(since), until=_aware(until), kinds=frozenset(kinds), service=of, environment=environment
        )
        if not timedelta(0) < asked.until - asked.after <= LONGEST:
            return refused(422, f"`to` must be after `from`, and at most {LONGEST.days} days")
        if not _YEARS[0] <= asked.after.year <= asked.until.year <= _YEARS[1]:
            return refused(422, f"a time lies outside the years {_YEARS[0]} to {_YEARS[1]}")
        try:
            with turns:
                found = sorted(_marks(service, published, asked))
                page = found[offset : offset + limit]
                return MarksView(annotations=_views(page, service), total=len(found), offset=offset)
        except StoreError:
            return unreadable()

    return router


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _marks(service: Service, published: Published, asked: _Asked) -> Iterator[_Mark]:
    if MarkKind.DEPLOYMENT in asked.kinds:
        yield from _deployments(service, asked)
    if MarkKind.INCIDENT in asked.kinds:
        yield from _incidents(service, to_micros(published.snapshot.at), asked)
    if MarkKind.EXCLUSION in asked.kinds:
        yield from _exclusions(service, asked)


def _deployments(service: Service, asked: _Asked) -> Iterator[_Mark]:
    """Deployments that ended in the time, whatever their result."""
    for series, rows in _units(service, "deployment_frequency", asked, asked.after, "at", "unit"):
        for at, unit in rows:
            yield _Mark(
                start=at,
                id=unit,
                kind=MarkKind.DEPLOYMENT,
                end=None,
                title=f"Deployment of {series.service}",
                text=f"{series.dimension} in {series.environment}",
                tags=("deployment", series.service, series.environment, series.dimension),
            )


def _incidents(service: Service, now: int, asked: _Asked) -> Iterator[_Mark]:
    """Incidents of which some lies in the time; what is open lasts until the published numbers' time."""
    columns = ("at", "unit", "outcome", "value")
    before = asked.after - _OPEN_FOR
    for series, rows in _units(service, "incident_time_to_restore", asked, before, *columns, until=from_micros(now)):
        for at, unit, outcome, seconds in rows:
            if outcome == Outcome.MEASURED:
                start, end, said = at - round(seconds * 1e6), at, "restored"
            elif outcome == Outcome.PENDING:
                start, end, said = at, now, "open"
            else:
                continue
            if start <= to_micros(asked.until) and end > to_micros(asked.after):
                yield _Mark(
                    start=start,
                    id=unit,
                    kind=MarkKind.INCIDENT,
                    end=end,
                    title=f"Incident of {series.service}",
                    text=f"{said}, in {series.environment}",
                    tags=("incident", series.service, series.environment, said),
                )


def _units(
    service: Service, indicator: str, asked: _Asked, after: datetime, *columns: str, until: datetime | None = None
) -> Iterator[tuple[Series, list[tuple[Any, ...]]]]:
    """Columns of an indicator's units by series, of those that are asked for."""
    for number, series in service.observations.series(indicator).items():
        if asked.concerns(series):
            span = to_micros(after), to_micros(until or asked.until)
            yield series, service.observations.window([number], *span, *columns)


def _exclusions(service: Service, asked: _Asked) -> Iterator[_Mark]:
    """What exclusions leave out in the time, each with the SLOs that it concerns. They belong to no environment."""
    if asked.environment:
        return
    slos = service.configuration.slos
    owned = {slo.name for slo in slos if asked.service in {"", slo.owner_service, slo.service}}
    about: dict[Exclusion, list[str]] = {}
    for name, own in concerned(slos, service.configuration.exclusions).items():
        for exclusion in own if name in owned else ():
            about.setdefault(exclusion, []).append(name)
    for exclusion, names in about.items():
        reason = exclusion.reason.replace("_", " ")
        for slot in exclusion.slots(to_micros(asked.after), to_micros(asked.until)):
            yield _Mark(
                start=slot.start,
                id=f"{exclusion.ticket}/{slot.start}",
                kind=MarkKind.EXCLUSION,
                end=slot.end,
                title=f"Left out: {reason}",
                text=f"{_named(names)} ({exclusion.ticket})",
                tags=("exclusion", reason),
            )


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(sorted(names)[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _views(marks: Sequence[_Mark], service: Service) -> list[MarkView]:
    events = service.events.find([m.id for m in marks if m.kind is not MarkKind.EXCLUSION])
    lines = {name: line_of(event) for name, event in events.items()}
    return [_view(mark, lines.get(mark.id)) for mark in marks]


def _view(mark: _Mark, line: EventLine | None) -> MarkView:
    """A mark with what its event is called. Grafana shows a text as HTML, and tells tags apart by commas."""
    called = line.label if line and not mark.id.startswith(line.label) else ""  # without a name it is a piece of its id
    return MarkView(
        id=mark.id,
        kind=mark.kind,
        time=_millis(mark.start),
        timeEnd=None if mark.end is None else _millis(mark.end),
        title=escape(one_line(mark.title)),
        text=escape(one_line(f"{called}: {mark.text}" if called else mark.text)),
        tags=",".join(one_line(tag.replace(",", " ")) for tag in mark.tags if tag),
        url=line.url if line else None,
    )


def _millis(micros: int) -> int:
    return micros // 1_000
