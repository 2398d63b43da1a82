"""What is answered where nothing else is: a page for whoever asked for one, JSON for programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from paceline.pages.look import Look

_WHY = {404: "There is no page of this address.", 405: "This address is only to be looked at."}
_FAILED = "This went wrong; the log says how."


def answer_refusals(app: FastAPI, look: Look, headers: Mapping[str, str]) -> None:
    """Have an app answer unknown addresses, what it cannot understand and its own failures in the look of its pages.

    `headers` are those of all its answers: what failed is answered outside of everything that would add them.
    """

    async def unknown(request: Request, error: HTTPException) -> Response:
        if not _wants_page(request):
            return await http_exception_handler(request, error)
        page = look.message(_WHY.get(error.status_code, str(error.detail)), error.status_code)
        page.headers.update(error.headers or {})
        return page

    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        if not _wants_page(request):
            return await request_validation_exception_handler(request, error)
        said = dict.fromkeys(f"{_name(one['loc'])}: {one['msg']}" for one in error.errors())
        return look.message(". ".join(said) + ".", 422)

    async def failed(request: Request, _: Exception) -> Response:
        page = look.message(_FAILED, 500) if _wants_page(request) else JSONResponse({"detail": _FAILED}, 500)
        page.headers.update(headers)
        return page

    handlers: dict[type[Exception], Callable[..., Awaitable[Response]]] = {
        HTTPException: unknown,
        RequestValidationError: not_understood,
        Exception: failed,  # it is raised again after the answer, and logged
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)


def _wants_page(request: Request) -> bool:
    """Whether a browser asks, and not for what is for programs."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def _name(place: tuple[int | str, ...]) -> str:
    """What is refused, by the name that it has in the address."""
    return next((part for part in reversed(place) if isinstance(part, str)), "")
