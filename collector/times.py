"""One reader for the times that systems write; always UTC. A leaf.

A time without an offset is refused: guessing its zone would falsify durations. Where a system's documentation says in
which zone its plain times are, its source says so.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_TIME = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)[Tt ] *(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r" *(?:Z|z|UTC|GMT|([+-])(\d\d):?(\d\d)?)",
    re.ASCII,
)
_MILLISECONDS = 10**11
"""From here on a number counts milliseconds: as seconds it would be the year 5138."""
_EPOCH = datetime.fromtimestamp(0, UTC)


def parsed(text: str) -> datetime | None:
    """A time in ISO 8601 with an offset or `UTC`, unpadded too; fractions are rounded to microseconds."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    *numbers, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    microseconds = (int((fraction or "").ljust(7, "0")[:7]) + 5) // 10
    try:
        plain = datetime(*(int(n or 0) for n in numbers), tzinfo=timezone(offset))  # type: ignore[arg-type,misc]
        return (plain + timedelta(microseconds=microseconds)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def from_epoch(value: float) -> datetime | None:
    """A time from seconds, or milliseconds, since 1970; None for 0, by which systems say "not yet", and below."""
    if value <= 0:
        return None
    try:
        if value >= _MILLISECONDS:
            return _EPOCH + timedelta(milliseconds=value)
        return _EPOCH + timedelta(seconds=value)
    except OverflowError:
        return None


def later(at: datetime, milliseconds: float) -> datetime | None:
    """A time so much later, or earlier; None beyond all times that there are."""
    try:
        return at + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def as_rfc3339(at: datetime) -> str:
    """A time as APIs are asked for it: `2026-01-31T09:00:00Z`, with a fraction only where there is one."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
