"""Cursors of sources that keep what they know in one: read back, or begun anew. A leaf."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoded(cursor: str | None, kind: type[T]) -> T | None:
    """What a cursor says; None without one, and from a foreign or older form, as if it were the first run."""
    try:
        return None if cursor is None else msgspec.json.decode(cursor, type=kind)
    except msgspec.DecodeError:
        return None
