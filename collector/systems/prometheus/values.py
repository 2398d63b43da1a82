"""What the values of series mean: shares and counts as checks, labels as names. Pure."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

import msgspec

T = TypeVar("T")
R = TypeVar("R")

LABEL = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")
"""A label in a template."""
_EXCESS = Decimal("1.01")
"""What Prometheus extrapolates may make `good` larger than `total` by a hair; more of it is a mistake."""
_NINE_PLACES = Decimal("1e-9")
_LARGEST = 10**12


def filled(template: str, labels: Mapping[str, str]) -> str | None:
    """A template with the labels of a series in their places; None where it lacks one of them."""
    if any(not labels.get(name) for name in LABEL.findall(template)):
        return None
    return LABEL.sub(lambda found: labels[found[1]], template)


def _number(text: str) -> Decimal | None:
    """A sample's value to nine places; None for NaN. Raises ValueError for infinity, and beyond all counts."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError("no number") from None
    if math.isnan(value):
        return None
    if abs(value) > _LARGEST:
        raise ValueError("more than anything can be")
    return Decimal(repr(value)).quantize(_NINE_PLACES)


def share(text: str, checks: int) -> tuple[int, int] | None:
    """How many of so many checks a share is, rounded down; None for NaN. Raises ValueError for what is no share."""
    value = _number(text)
    if value is None:
        return None
    if not 0 <= value <= 1:
        raise ValueError("no share from 0 to 1")
    return int(value * checks), checks


def counts(good: str | None, total: str, checks: int) -> tuple[int, int] | None:
    """The share of good in total, of so many checks for each of total; None where there are none, and for NaN.

    No good is none; slightly more of it than in total is all of it. Raises ValueError for what is no count.
    """
    of, passed = _number(total), Decimal() if good is None else _number(good)
    if of is None or passed is None or of == 0:
        return None
    if of < 0 or passed < 0:
        raise ValueError("no count")
    found = min(passed / of, Decimal(2)).quantize(_NINE_PLACES)
    weight = checks * max(round(of), 1)
    return int((1 if 1 < found <= _EXCESS else found) * weight), weight


def uses(text: str) -> int | None:
    """A number of uses, rounded; None for none, and for NaN. Raises ValueError for what is no count."""
    value = _number(text)
    if value is None:
        return None
    if value < 0:
        raise ValueError("no count")
    return int(value.to_integral_value(ROUND_HALF_UP)) or None


def digest(labels: Mapping[str, str]) -> str:
    """The labels of a series in a few characters, the same everywhere."""
    whole = msgspec.json.encode(sorted(labels.items()))
    return hashlib.blake2b(whole, digest_size=8).hexdigest()


def usable(values: Iterable[tuple[float, T]], judge: Callable[[T], R | None]) -> tuple[list[tuple[float, R]], str]:
    """What is made of values by their times, and why some are left out; nothing is said of those that are None."""
    found: list[tuple[float, R]] = []
    problem, count = "", 0
    for at, value in values:
        try:
            made = judge(value)
        except ValueError as error:
            problem, count = problem or str(error), count + 1
            continue
        if made is not None:
            found.append((at, made))
    return found, f"{count} of its values are {problem}" if count else ""
