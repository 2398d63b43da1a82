"""What routes of the API share: how they say that there is no answer, and how many lines somebody may ask for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel

Limit = Annotated[int, Query(ge=1, le=1_000, description="At most so many.")]
"""How many lines of a list, the newest ones."""


class Refusal(BaseModel):
    """Why there is no answer, and what was expected."""

    detail: str | list[dict[str, Any]]


def refused(status: int, detail: str) -> JSONResponse:
    """An answer that says why there is none."""
    return JSONResponse(Refusal(detail=detail).model_dump(), status_code=status)


def unreadable() -> JSONResponse:
    """The answer where the store cannot be read: a while later it may be."""
    return refused(503, "the store cannot be read")
