"""The weekly summary over HTTP: a page of a week for people, as mail shows it, and its other formats."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, Response

from collector.errors import StoreError
from paceline.explanations import STARTING
from paceline.pages.look import Look
from paceline.refusing import refused
from paceline.service import Service, UnknownTeam
from paceline.weeklies import Weeklies
from slo_engine.organisation import levels
from slo_engine.weekly import FORMATS, Audience, Format, Week, WeeklySummary, rendered
from slo_engine.weekly.page import Notice, page_of

_TYPES: dict[Format, str] = {
    "html": "text/html; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "text": "text/plain; charset=utf-8",
    "slack": "application/json",
    "json": "application/json",
}
_AS_MAIL = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_Label = Annotated[str, Path(max_length=10, description="An ISO week like 2026-W14.")]
_Form = Annotated[Format | None, Query(alias="format", description="How it is written; a page unless given.")]
_Whose = Annotated[Audience | None, Query(description="leader unless given, team where a team is.")]
_Team = Annotated[str, Query(max_length=200, description="Only this team and those below it, for example /commerce.")]


def weekly_routes(service: Service, look: Look, weeklies: Weeklies) -> APIRouter:
    """The route of the page."""
    router = APIRouter()

    @router.head("/weekly/{week}", include_in_schema=False)
    @router.get("/weekly/{week}", response_class=HTMLResponse, include_in_schema=False)
    def weekly(week: _Label, form: _Form = None, audience: _Whose = None, team: _Team = "") -> Response:
        # A plain function, so it runs beside the event loop: it reads the store.
        whose = audience or (Audience.TEAM if team else Audience.LEADER)
        if bool(team) != (whose is Audience.TEAM):
            return _refused(look, form, 422, "audience team and a team belong together")
        published = service.published
        if published is None:
            return _refused(look, form, 503, STARTING)
        try:
            found = weeklies(_begun(Week.parse(week, service.zone), published.snapshot.at), whose, team)
        except (ValueError, UnknownTeam) as error:
            return _refused(look, form, 404, str(error))
        except StoreError:
            return _refused(look, form, 503, "the store cannot be read")
        if form is None:
            return _page(look, service, found, Week.last_before(published.snapshot.at, service.zone))
        # The HTML is what goes out by mail, with its styles in it.
        headers = {"Content-Security-Policy": _AS_MAIL}
        return Response(rendered(found, form), media_type=_TYPES[form], headers=headers)

    return router


def _begun(week: Week, at: datetime) -> Week:
    """A week of which something may be known at a time. Raises ValueError for another."""
    if week.start > at:
        raise ValueError(f"week {week.label} has not begun")
    return week


def _page(look: Look, service: Service, found: WeeklySummary, newest: Week) -> HTMLResponse:
    week = Week.parse(found.week, service.zone)
    return look.page(
        "weekly.html",
        here="/weekly",
        summary=found,
        # A page says the notice above everything anyway.
        blocks=[(type(block).__name__, block) for block in page_of(found) if not isinstance(block, Notice)],
        before=week.before.label,
        after=Week(week.monday + timedelta(days=7), week.zone).label if week.monday < newest.monday else None,
        audiences=(Audience.LEADER, Audience.SRE),
        teams=teams_of(service),
        formats=FORMATS,
    )


def teams_of(service: Service) -> list[str]:
    """The levels of teams that own services or SLOs, sorted."""
    configuration = service.configuration
    named = [*(s.team for s in configuration.services), *(s.team for s in configuration.slos)]
    return sorted({level for team in named for level in levels(team)})


def _refused(look: Look, form: Format | None, status: int, why: str) -> Response:
    if form is None:
        return look.message(why, status)
    return refused(status, why)
