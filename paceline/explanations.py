"""The events behind a number over HTTP: as JSON for programs, as a page for people. Reads the store, writes nothing.

The routes are plain functions, so they run beside the event loop: a scrape never waits for an explanation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, Field

from collector.errors import PacelineError, StoreError
from paceline.pages.look import Look
from paceline.pages.remembered import Remembered, seen_in
from paceline.refusing import Refusal
from paceline.service import Published, Service
from slo_engine.catalog import metrics_of
from slo_engine.counted import Role
from slo_engine.event_lines import EventLine
from slo_engine.explain import (
    MOST_UNITS,
    ExplainedNumber,
    Explanation,
    Selection,
    UnknownIndicator,
    label_choice,
)
from slo_engine.indicator import Indicator, Shape
from slo_engine.number_words import labels_of
from slo_engine.observation import Subject
from slo_engine.sampling import NOW
from slo_engine.slo import IndicatorSli, Slo
from slo_engine.snapshot import Accounting, Number
from slo_engine.unit_lines import UnitLine
from slo_engine.windows import Window

_LISTED = 100
_REMEMBERED = 64
STARTING = "no snapshot is published yet"
"""Why nothing is told yet."""
_NOT_COUNTED = "Paceline counts no events for this SLO: it is unknown, or measured by Prometheus, or made of others."


COUNTED_AS: Mapping[Role, str] = {
    Role.NUMERATOR: "It is counted above and below the line of the ratio.",
    Role.DENOMINATOR: "It is counted below the line of the ratio only.",
    Role.VALUE: "Its value is one of those that the median and the quantiles are taken of.",
    Role.COUNT: "It is counted; the count is divided by the days of the window.",
    Role.GIVEN: "It is given to the indicator's own arithmetic; the definition says what becomes of it.",
    Role.NONE: "It is not in the number.",
}
"""Why a unit counts, by what it is in the number."""


class EventView(BaseModel):
    """An event in one line. Never who: where a number is about people, only of what kind it is."""

    id: str
    kind: str
    label: str
    at: datetime | None
    url: str | None = Field(description="Where to look; http or https.")


class UnitView(BaseModel):
    """One judged unit, what it is in the number, and the events that decided."""

    at: datetime
    service: str
    environment: str
    team: str
    value: float | None
    parts: dict[str, float]
    outcome: str
    reason: str = Field(description="Why it is left out; empty unless it is.")
    role: Role = Field(description="numerator (of both sides), denominator, value, count or given; empty: no part.")
    rule: str = Field(description="How the events were brought together.")
    labels: dict[str, str] = Field(description="The labels of the indicator that it names.")
    unit: EventView
    evidence: list[EventView]


class NumberView(BaseModel):
    """A number added up from its units, beside the exported one."""

    service: str
    environment: str
    team: str
    dimension: str = Field(description="The part of a duration; empty for the whole, and where there are labels.")
    labels: dict[str, str] = Field(description="Values of the indicator's labels; empty text for all together.")
    n: int | None
    numerator: float | None
    denominator: float | None = Field(description="Of a ratio the units that count; of a frequency the days.")
    stats: dict[str, float] = Field(description="Added up from the units.")
    exported: dict[str, float] | None = Field(description="As published; null where it is not.")
    agrees: bool | None = Field(description="Whether both are the same; null where none is exported.")
    stale: list[str] = Field(description="Sources without a recent success: the number is withheld because of them.")
    fewer_than: int | None = Field(
        description="Withheld: it, or what it would reveal, is about fewer people than this; null where it is shown."
    )


class BesideView(BaseModel):
    """What stands beside the numbers of a subject."""

    service: str
    environment: str
    team: str
    labels: dict[str, str] = Field(description="Values of the indicator's labels; empty text for all together.")
    pending: int
    excluded: dict[str, int]
    coverage: float | None = Field(description="Share of the final units that could be used, 0 to 1.")


class SourceAgeView(BaseModel):
    """How old the data of a source is."""

    name: str
    fresh: bool
    last_success_at: datetime | None
    age_seconds: float | None


class ExplanationView(BaseModel):
    """A number, its definition, and the units behind or beside it, oldest first."""

    indicator: str
    title: str
    definition: str
    version: str
    metric: str
    window: str
    after: datetime | None = Field(description="Units after this time are looked at; null for all there ever were.")
    until: datetime = Field(description="The window's last moment.")
    at: datetime = Field(description="When the units are judged: that of the published numbers, or the week's end.")
    numbers: list[NumberView]
    accounting: list[BesideView]
    sources: list[SourceAgeView]
    total: int = Field(description="How many units there are; `units` are some of them.")
    offset: int
    units: list[UnitView]
    kept_since: dict[str, datetime] = Field(
        description="For kinds of events that are not kept from the beginning of the window on, since when they are; "
        "units that rest on earlier ones stand as they were judged, without the events."
    )


_Choice = Annotated[str, Field(pattern=r"^[^=]+=.*$")]
_Choices = Annotated[
    list[_Choice], Query(description="Only this value of a label, like journey=provision-db; empty: all of them.")
]


def _selection(  # noqa: PLR0913, PLR0917 - the parameters of the address
    window: Annotated[str, Query(description="A rolling window like 7d, up to the published numbers.")] = "28d",
    week: Annotated[str, Query(description="An ISO week like 2026-W14 instead of a rolling window.")] = "",
    service: Annotated[str, Query(description="Only this service.")] = "",
    environment: Annotated[str, Query(description="Only this environment.")] = "",
    team: Annotated[str, Query(description="The services of a team or level of teams like /commerce, pooled.")] = "",
    dimension: Annotated[str, Query(description="Only this part, for example a stage.")] = "",
    label: Annotated[
        list[_Choice],
        Query(description="Only this value of a label, like journey=provision-db; empty: all of them."),
    ] = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=MOST_UNITS, description="At most so many units.")] = _LISTED,
    offset: Annotated[int, Query(ge=0, le=2**62, description="Skip so many of the oldest units.")] = 0,
) -> Selection:
    return Selection(
        window=window,
        week=week,
        service=service,
        environment=environment,
        team=team,
        dimension=dimension,
        labels=tuple(label_choice(one) for one in label if not one.endswith("=")),
        limit=limit,
        offset=offset,
    )


_Selected = Annotated[Selection, Depends(_selection)]
_SloName = Annotated[str, Path(max_length=63, description="The name of the SLO.")]
_Named = Annotated[str, Path(description="An indicator, or one of its exported metrics.")]


def explain_routes(service: Service, look: Look) -> APIRouter:
    """The routes of a service."""
    router = APIRouter()
    # A list of thousands of units is asked for once, by a program.
    remembered = Remembered[Explanation](_REMEMBERED, lambda found: len(found.units) <= _LISTED)

    def explained(name: str, selection: Selection) -> Explanation | tuple[int, str]:
        """The explanation, or a status and the reason why there is none."""
        published = service.published
        if published is None:
            return 503, STARTING
        return _explained(service, published, name, selection, remembered)

    @router.get(
        "/api/v1/explain/{indicator}",
        summary="The events behind a number",
        response_model=ExplanationView,
        responses={404: {"model": Refusal}, 422: {"model": Refusal}, 503: {"model": Refusal}},
    )
    def explain_json(indicator: _Named, selection: _Selected) -> Response:
        found = explained(indicator, selection)
        if isinstance(found, tuple):
            return JSONResponse({"detail": found[1]}, status_code=found[0])
        return Response(_view(found).model_dump_json(), media_type="application/json")

    @router.head("/explain/{indicator}", include_in_schema=False)
    @router.get("/explain/{indicator}", response_class=HTMLResponse, include_in_schema=False)
    def explain_page(indicator: _Named, selection: _Selected) -> HTMLResponse:
        found = explained(indicator, selection)
        if isinstance(found, tuple):
            return look.message(found[1], found[0])
        return look.page(
            "explain.html",
            here="/indicators",
            found=found,
            links=_links(found, selection),
            anchors=_anchors(found.units),
            shapes=Shape,
            roles=Role,
            counted_as=COUNTED_AS,
        )

    @router.get("/slos/{name}/explain", include_in_schema=False)
    def explain_slo(name: _SloName) -> Response:
        published = service.published
        slos = [] if published is None else [state.slo for state in published.snapshot.slos]
        address = next((explain_slo_path(slo) for slo in slos if slo.name == name), None)
        if address is None:
            reason = STARTING if published is None else _NOT_COUNTED
            return look.message(reason, 503 if published is None else 404)
        return RedirectResponse(address, status_code=302)

    return router


def _explained(
    service: Service, published: Published, name: str, selection: Selection, remembered: Remembered[Explanation]
) -> Explanation | tuple[int, str]:
    key = seen_in(published.snapshot, service), name, selection
    try:
        return remembered(key, lambda: service.explain_published(published, name, selection))
    except UnknownIndicator as error:
        return 404, str(error)
    except StoreError:
        return 503, "the store cannot be read"
    except PacelineError as error:
        return 422, str(error)


def explain_path(number: Number, indicator: Indicator, week: str = "") -> str:
    """The address of the page that explains a published number, or that of a week where one is named."""
    subject = number.subject
    chosen: dict[str, object] = {"service": subject.service, "environment": subject.environment}
    if week:
        chosen["week"] = week
    elif number.window != NOW:
        chosen["window"] = number.window
    if not subject.service:
        chosen["team"] = subject.team
    if indicator.labels:
        chosen["label"] = [
            f"{label}={value}" for label, value in labels_of(indicator, number.dimension).items() if value
        ]
    else:
        chosen["dimension"] = number.dimension
    return _path("/explain/", number.indicator, chosen)


def explain_slo_path(slo: Slo, week: str = "") -> str | None:
    """The address of the page with the events that an SLO counts, in its window or in a week.

    None where Paceline counts none for it.
    """
    sli = slo.sli
    if not isinstance(sli, IndicatorSli):
        return None
    chosen: dict[str, object] = {
        "service": sli.service,
        "environment": sli.environment,
        "team": sli.team,
        "dimension": sli.dimension,
        "label": [f"{label}={value}" for label, value in sli.labels],
    }
    if week:
        chosen["week"] = week
    elif isinstance(slo.window, Window):
        chosen["window"] = slo.window.label
    return _path("/explain/", sli.indicator, chosen)


def unit_anchor(event_id: str) -> str:
    """What names the row of a unit on the page that explains it."""
    return f"unit-{quote(event_id, safe='')}"


def _anchors(units: Sequence[UnitLine]) -> list[str]:
    """The names of the rows of units, each once: a unit may be listed twice, and people have no id that is shown."""
    seen: set[str] = set()
    found = []
    for place, unit in enumerate(units):
        name = unit_anchor(unit.unit.id)
        found.append(name if unit.unit.id and name not in seen else f"row-{place}")
        seen.add(name)
    return found


def _path(start: str, indicator: str, chosen: Mapping[str, object]) -> str:
    query = urlencode({name: value for name, value in chosen.items() if value}, doseq=True)
    return start + quote(indicator, safe="") + (f"?{query}" if query else "")


def _links(found: Explanation, selection: Selection) -> dict[str, str]:
    """Where else to look from here: the same as JSON, other windows, the units before and after."""
    name = found.indicator.name
    who: dict[str, object] = {key: getattr(selection, key) for key in ("service", "environment", "team", "dimension")}
    who["label"] = [f"{label}={value}" for label, value in selection.labels]
    when = {"week": selection.week} if selection.week else {"window": selection.window}
    size = {"limit": selection.limit} if selection.limit != _LISTED else {}
    links = {"json": _path("/api/v1/explain/", name, {**who, **when, **size, "offset": selection.offset})}
    windows = () if found.window == NOW else ("7d", "28d", "90d")
    links |= {window: _path("/explain/", name, {**who, "window": window}) for window in windows}
    if selection.offset:
        before = max(selection.offset - selection.limit, 0)
        links["before"] = _path("/explain/", name, {**who, **when, **size, "offset": before})
    if found.offset + len(found.units) < found.total:
        after = selection.offset + selection.limit
        links["after"] = _path("/explain/", name, {**who, **when, **size, "offset": after})
    return links


def _view(found: Explanation) -> ExplanationView:
    about = found.indicator
    return ExplanationView(
        indicator=about.name,
        title=about.title,
        definition=about.definition,
        version=about.version,
        metric=metrics_of(about).value.name,
        window=found.window,
        after=found.after,
        until=found.until,
        at=found.at,
        numbers=[_number_view(about, n) for n in found.numbers],
        accounting=[_beside_view(about, a) for a in found.accounting],
        sources=[SourceAgeView(**vars(s)) for s in found.sources],
        total=found.total,
        offset=found.offset,
        units=[_unit_view(u) for u in found.units],
        kept_since=dict(found.kept_since),
    )


def _who(subject: Subject) -> dict[str, str]:
    return subject._asdict()


def _number_view(indicator: Indicator, number: ExplainedNumber) -> NumberView:
    return NumberView(
        **_who(number.subject),
        dimension="" if indicator.labels else number.dimension,
        labels=labels_of(indicator, number.dimension),
        n=number.n,
        numerator=number.numerator,
        denominator=number.denominator,
        stats=dict(number.stats),
        exported=None if number.exported is None else dict(number.exported),
        agrees=number.agrees,
        stale=list(number.stale),
        fewer_than=number.fewer_than,
    )


def _beside_view(indicator: Indicator, row: Accounting) -> BesideView:
    return BesideView(
        **_who(row.subject),
        labels=labels_of(indicator, row.dimension),
        pending=row.pending,
        excluded=dict(row.excluded),
        coverage=row.coverage,
    )


def _unit_view(unit: UnitLine) -> UnitView:
    return UnitView(
        at=unit.at,
        **_who(unit.subject),
        value=unit.value,
        parts=dict(unit.parts),
        outcome=unit.outcome,
        reason=unit.reason,
        role=unit.role,
        rule=unit.rule,
        labels=dict(unit.labels),
        unit=_event_view(unit.unit),
        evidence=[_event_view(e) for e in unit.evidence],
    )


def _event_view(line: EventLine) -> EventView:
    return EventView(**vars(line))
