"""Numbers as people read them, in pages, tables and summaries."""

from __future__ import annotations

from decimal import Decimal

_NOISE = 12  # decimals: what differs beyond them is an error of floating point
_READABLE = ((120.0, 1.0, "{:.0f} s"), (7_200.0, 60.0, "{:.0f} min"), (172_800.0, 3_600.0, "{:.1f} h"))


def duration_text(seconds: float) -> str:
    """Seconds as people read them: `53 s`, `12 min`, `3.2 h`, `4.1 d`."""
    for limit, size, form in _READABLE:
        if seconds < limit:
            return form.format(seconds / size)
    return f"{seconds / 86_400:.1f} d"


def so_many(number: float | Decimal, what: str, text: str = "") -> str:
    """So many of something whose word takes an s where it is not one: `1 source`, `2 sources`.

    `text` is how the number is written, where that is not as it is.
    """
    return f"{text or number} {what}{'' if number == 1 else 's'}"


def share_text(share: float) -> str:
    """A share as people read it: `99.9%`. Never rounded to all or nothing: 0.99995 is `99.995%`."""
    share = round(share, _NOISE)
    for digits in (1, 2, 3, 4, 5):
        text = f"{share:.{digits}%}"
        if share in {0, 1} or float(text[:-1]) not in {0, 100}:
            return text
    return text
