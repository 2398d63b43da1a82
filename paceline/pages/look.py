"""What all pages share: templates with their filters, the way around, and the files that they load."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as Named
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, select_autoescape

from collector.events import kind_of
from paceline.service import Service
from slo_engine.explain import subject_text
from slo_engine.indicator import Indicator, Shape, Unit
from slo_engine.number_words import cell_text, interval_text, value_text
from slo_engine.words import duration_text, share_text

PAGES = (
    ("/", "Home"),
    ("/slos", "SLOs"),
    ("/indicators", "Indicators"),
    ("/weekly", "Weekly"),
    ("/sources", "Sources"),
    ("/definitions", "Definitions"),
)
"""Where the line on top of each page leads: path and title."""
_STATIC = Path(__file__).parents[1] / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_HEADINGS = {404: "Not found", 422: "Not understood", 500: "Something failed", 503: "Not available yet"}
_A_YEAR = "public, max-age=31536000, immutable"


class Look:
    """Renders the pages of a service. Everything from outside is escaped."""

    def __init__(self, service: Service) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "duration": duration_text,
            "percent": share_text,
            "whom": subject_text,
            "kind": kind_of,
            "amount": amount_text,
            "of": counted_text,
            "timed": in_seconds,
        }
        self._environment.globals |= {
            "value_text": value_text,
            "interval_text": interval_text,
            "cell_text": cell_text,
            "static": static_path,
            "ways": PAGES,
            "notice": service.configuration.settings.notice,
            "version": version("paceline"),
        }

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page made of a template. `here` among the values is the path of `PAGES` that it lies under."""
        return HTMLResponse(self._environment.get_template(template).render(values), status_code=status)

    def message(self, text: str, status: int) -> HTMLResponse:
        """A page that says why there is no other."""
        return self.page("message.html", status=status, heading=_HEADINGS.get(status, "Not shown"), message=text)


def amount_text(number: float | Decimal) -> str:
    """A count or a plain value as people read it: `1,234,567`, `12.50`; never with an exponent."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,.2f}"


def counted_text(number: int, one: str, several: str) -> str:
    """So many of something: `1 run`, `1,200 runs`."""
    return f"{number:,} {one if number == 1 else several}"


def in_seconds(indicator: Indicator) -> bool:
    """Whether the values of an indicator's units are durations: only an arithmetic of its own is given others."""
    return indicator.shape is not Shape.MEASURE or indicator.unit is Unit.SECONDS


def static_path(name: str) -> str:
    """The address of a file that pages load; it changes with the file, so a browser may keep it for good."""
    return f"/static/{name}?{_file(name)[1]}"


def static_routes() -> APIRouter:
    """The files that pages load."""
    router = APIRouter()

    @router.get("/static/{name}", include_in_schema=False)
    def static(name: Annotated[str, Named(max_length=60)]) -> Response:
        # Compared with the names there are, so no path can be told.
        if name not in {path.name for path in _STATIC.iterdir() if path.suffix in _TYPES}:
            return Response(status_code=404)
        content, _ = _file(name)
        return Response(content, media_type=_TYPES[Path(name).suffix], headers={"Cache-Control": _A_YEAR})

    return router


@cache
def _file(name: str) -> tuple[bytes, str]:
    """A file and a digest of it. They come with the program, and stay what they are while it runs."""
    content = (_STATIC / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]
