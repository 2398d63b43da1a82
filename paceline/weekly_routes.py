"""The weekly summary over HTTP: the page of a week, as the command writes it for mail, and its other formats."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response

from collector.errors import StoreError
from paceline.explanations import Refusal
from paceline.service import Service, UnknownTeam
from slo_engine.weekly import Audience, Format, Week, rendered

_TYPES: dict[Format, str] = {
    "html": "text/html; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "text": "text/plain; charset=utf-8",
    "slack": "application/json",
    "json": "application/json",
}
_REMEMBERED = 16
_AS_MAIL = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_Label = Annotated[str, Path(max_length=10, description="An ISO week like 2026-W14.")]
_Form = Annotated[Format, Query(alias="format", description="How it is written.")]
_Whose = Annotated[Audience | None, Query(description="leader unless given, team where a team is.")]
_Team = Annotated[str, Query(max_length=200, description="Only this team and those below it, for example /commerce.")]


def weekly_routes(service: Service) -> APIRouter:
    """The route of the page. What was made is remembered until there is a new snapshot: it reads months of units."""
    router = APIRouter()
    remembered = _Remembered(service)

    @router.get("/weekly/{week}", response_class=HTMLResponse, include_in_schema=False)
    def weekly(week: _Label, form: _Form = "html", audience: _Whose = None, team: _Team = "") -> Response:
        # A plain function, so it runs beside the event loop: it reads the store.
        whose = audience or (Audience.TEAM if team else Audience.LEADER)
        if bool(team) != (whose is Audience.TEAM):
            return _refused(422, "audience team and a team belong together")
        try:
            wanted = Week.parse(week, service.zone)
            text = remembered(wanted, form, whose, team)
        except (ValueError, UnknownTeam) as error:
            return _refused(404, str(error))
        except StoreError:
            return _refused(503, "the store cannot be read")
        # It is the page that goes out by mail, with its styles in it.
        return Response(text, media_type=_TYPES[form], headers={"Content-Security-Policy": _AS_MAIL})

    return router


def _refused(status: int, why: str) -> Response:
    return JSONResponse(Refusal(detail=why).model_dump(), status_code=status)


class _Remembered:
    """The last texts that were made, one at a time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._texts: OrderedDict[tuple[object, ...], str] = OrderedDict()
        self._turn = threading.Lock()

    def __call__(self, week: Week, form: Format, audience: Audience, team: str) -> str:
        """The summary of a week in a format. Raises UnknownTeam and StoreError."""
        published = self._service.published
        key = (published.snapshot.at if published else None, week.label, form, audience, team)
        with self._turn:
            if key not in self._texts:
                self._texts[key] = rendered(self._service.summary(week, audience, team), form)
                while len(self._texts) > _REMEMBERED:
                    self._texts.popitem(last=False)
            return self._texts[key]
