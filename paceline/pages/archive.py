"""The archive of the weekly summaries: every week since the first event, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from collector.errors import StoreError
from collector.store import from_micros
from paceline.pages.look import Look
from paceline.service import Service
from slo_engine.units import NEVER
from slo_engine.weekly import FORMATS, Audience, Week

MOST_WEEKS = 53
"""So many are listed on a page: a year."""
_Before = Annotated[str, Query(max_length=10, description="Only weeks before this ISO week, for example 2025-W14.")]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The weeks of a page with their Sundays, newest first.

    `before`: the label before which the next page begins; None on the last.
    """

    weeks: tuple[tuple[Week, date], ...]
    before: str | None


def archive_routes(service: Service, look: Look) -> APIRouter:
    """The route of the page."""
    router = APIRouter()
    known: list[tuple[int, int | None]] = []
    """The last change that was known, and the time of the first observation then."""

    def first() -> date | None:
        if not known or service.changes.last(NEVER if known[0][1] is None else known[0][1]) > known[0][0]:
            change = service.changes.last(NEVER)  # what changes while it is looked for is looked at the next time
            known[:] = [(change, service.observations.first_at())]
        found = known[0][1]
        return None if found is None else from_micros(found).astimezone(service.zone).date()

    @router.head("/weekly", include_in_schema=False)
    @router.get("/weekly", response_class=HTMLResponse, include_in_schema=False)
    def archive(before: _Before = "") -> HTMLResponse:
        # A plain function, so it runs beside the event loop: it reads the store.
        published = service.published
        if published is None:
            return look.message("no snapshot is published yet", 503)
        try:
            running = Week.last_before(published.snapshot.at, service.zone)
            newest = Week.parse(before, service.zone).before if before else running
            found = archive_of(min(newest, running, key=lambda w: w.monday), first())
        except ValueError as error:
            return look.message(str(error), 404)
        except StoreError:
            return look.message("the store cannot be read", 503)
        audiences = (Audience.LEADER, Audience.SRE)
        return look.page("archive.html", here="/weekly", archive=found, audiences=audiences, formats=FORMATS)

    return router


def archive_of(newest: Week, first: date | None) -> Archive:
    """The weeks from one back to that of a day; none where there is no such day."""
    if first is None:
        return Archive(weeks=(), before=None)
    oldest = first - timedelta(days=first.weekday())
    there_are = max((newest.monday - oldest).days // 7 + 1, 0)
    weeks = [Week(newest.monday - timedelta(weeks=n), newest.zone) for n in range(min(there_are, MOST_WEEKS))]
    return Archive(
        weeks=tuple((w, w.monday + timedelta(days=6)) for w in weeks),
        before=weeks[-1].label if there_are > MOST_WEEKS else None,
    )
