"""Which events are asked for: conditions on their columns. A leaf."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Above:
    """A condition on a column: greater than this number."""

    value: int


Where = str | int | None | Above | list[str] | tuple[str, ...]
"""What a column of the wanted events holds: a value, one of some, or more than a number."""
