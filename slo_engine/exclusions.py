"""Exclusions: times that count for neither side of an SLO's ratio. Pure; definitions.md §6. Sole importer of dateutil.

Nothing is deleted: raw and adjusted numbers stand together, and whoever reads them sees who excluded what, why and
under which ticket. Recurrence is RFC 5545's RRULE on the clocks of a zone.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from dateutil.rrule import rrulestr
from numpy.typing import NDArray

from slo_engine.observation import from_micros, to_micros
from slo_engine.slo import Slo


class ExclusionReason(StrEnum):
    """Why a time does not count: the closed list of definitions.md §6."""

    MAINTENANCE = "maintenance"
    OUTSIDE_HOURS = "outside_hours"
    OTHER = "other"


class Slot(NamedTuple):
    """A stretch of excluded time in microseconds since 1970: `start` is excluded, `end` counts again."""

    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """Times that do not count, for the SLOs of a name or glob, or for those of a service.

    `starts_at` and `ends_at` are aware: the one occurrence, or the first of those that `recurrence` (an RRULE) gives
    on the clocks of `zone`. Both ends recur as local wall times, so an exclusion from 22:00 to 06:00 is 7 or 9 hours
    long in the night of a clock change. `author` is a team or role. `file` and `line` say where it was read.
    """

    reason: ExclusionReason
    author: str
    ticket: str
    starts_at: datetime
    ends_at: datetime
    slo: str = ""
    service: str = ""
    zone: str = ""
    recurrence: str = ""
    description: str = ""
    file: str = ""
    line: int = 0

    def concerns(self, slo: Slo) -> bool:
        """Whether it is about an SLO."""
        return concerns(slo, self.slo, self.service)

    def slots(self, after: int, until: int) -> list[Slot]:
        """What it excludes of the times after `after` up to and with `until`: sorted, disjoint, cut at the ends."""
        if not self.recurrence:
            return _within([Slot(to_micros(self.starts_at), to_micros(self.ends_at))], after, until)
        zone = ZoneInfo(self.zone)
        first, last = (at.astimezone(zone).replace(tzinfo=None) for at in (self.starts_at, self.ends_at))
        # A year at a time, so that asking again a moment later costs nothing.
        return _within(_recurring(self.recurrence, zone, first, last, from_micros(until).year + 1), after, until)


def concerns(slo: Slo, pattern: str, service: str) -> bool:
    """Whether a name or glob is that of an SLO; without one, whether a service owns the SLO or is measured by it."""
    return fnmatchcase(slo.name, pattern) if pattern else service in {slo.owner_service, slo.service}


def excluded(exclusions: Iterable[Exclusion], slo: Slo, after: int, until: int) -> list[Slot]:
    """What is excluded for an SLO of the times after `after` up to and with `until`, in microseconds.

    Sorted, disjoint and not touching: overlaps count once. Cut at the ends, so the parts of a split window add up.
    """
    return merged(slot for e in exclusions if e.concerns(slo) for slot in e.slots(after, until))


def merged(slots: Iterable[Slot]) -> list[Slot]:
    """The same times as sorted slots that neither overlap nor touch; empty slots vanish."""
    found: list[Slot] = []
    for slot in sorted(slots):
        if found and slot.start <= found[-1].end:
            found[-1] = Slot(found[-1].start, max(found[-1].end, slot.end))
        elif slot.start < slot.end:
            found.append(slot)
    return found


def counted(times: NDArray[np.int64], slots: Sequence[Slot]) -> NDArray[np.bool_]:
    """Which of some times (microseconds) count, being in none of the slots. `slots` are sorted and disjoint."""
    edges = np.array(slots, dtype=np.int64).ravel()
    passed = np.searchsorted(edges, times, side="right")
    found: NDArray[np.bool_] = passed % 2 == 0  # whole slots lie behind it, and no open one
    return found


def _within(slots: Sequence[Slot], after: int, until: int) -> list[Slot]:
    """The parts of sorted, disjoint slots after `after` up to and with `until`."""
    first = bisect_right(slots, after, key=lambda slot: slot.end - 1)
    last = bisect_left(slots, until + 1, key=lambda slot: slot.start)
    return [Slot(max(s.start, after + 1), min(s.end, until + 1)) for s in slots[first:last]]


# ---- recurrence

_NUMBER_LIST = "{0}(,{0})*"
_WEEKDAY = "(MO|TU|WE|TH|FR|SA|SU)"
_PARTS = {
    "FREQ": ("YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY", "YEARLY, MONTHLY, WEEKLY, DAILY or HOURLY"),
    "INTERVAL": ("[1-9][0-9]{0,3}", "a whole number from 1"),
    "COUNT": ("[1-9][0-9]{0,4}", "a whole number from 1"),
    "UNTIL": ("[0-9]{8}T[0-9]{6}Z", "a time in UTC such as 20261231T225959Z"),
    "BYMONTH": (_NUMBER_LIST.format("(1[0-2]|0?[1-9])"), "months from 1 to 12"),
    "BYMONTHDAY": (
        _NUMBER_LIST.format("[+-]?(3[01]|[12][0-9]|0?[1-9])"),
        "days from 1 to 31, or -1 to -31 from the end",
    ),
    "BYYEARDAY": (
        _NUMBER_LIST.format("[+-]?(36[0-6]|3[0-5][0-9]|[12][0-9]{2}|[1-9][0-9]?)"),
        "days from 1 to 366, or -1 to -366 from the end",
    ),
    "BYWEEKNO": (_NUMBER_LIST.format("[+-]?(5[0-3]|[1-4][0-9]|0?[1-9])"), "weeks from 1 to 53, or -1 to -53"),
    "BYDAY": (_NUMBER_LIST.format(f"([+-]?[1-9][0-9]?)?{_WEEKDAY}"), "days such as MO,TU or the first Sunday, 1SU"),
    "BYHOUR": (_NUMBER_LIST.format("(2[0-3]|[01]?[0-9])"), "hours from 0 to 23"),
    "BYMINUTE": (_NUMBER_LIST.format("([0-5]?[0-9])"), "minutes from 0 to 59"),
    "BYSECOND": (_NUMBER_LIST.format("([0-5]?[0-9])"), "seconds from 0 to 59"),
    "BYSETPOS": (
        _NUMBER_LIST.format("[+-]?(36[0-6]|3[0-5][0-9]|[12][0-9]{2}|[1-9][0-9]?)"),
        "positions such as 1 or -1",
    ),
    "WKST": (_WEEKDAY, "the first day of a week, such as MO"),
}
_NOT_WITH = {
    "MONTHLY": {"BYWEEKNO", "BYYEARDAY"},
    "WEEKLY": {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY"},
    "DAILY": {"BYWEEKNO", "BYYEARDAY"},
    "HOURLY": {"BYWEEKNO"},
}
"""What RFC 5545 §3.3.10 forbids; the library ignores it or means something else by it."""
_EXAMPLE = "an RRULE such as FREQ=WEEKLY;BYDAY=SA"
_MOST_A_DAY = 24
_DAY = timedelta(days=1)
_LAST_YEAR, _CYCLE_YEARS, _CYCLE = 9999, 400, timedelta(days=146_097)
_LONGEST_WAIT = timedelta(days=4 * 366)
"""From a 29 February to the next one."""


def check_recurrence(rule: str, zone: ZoneInfo, starts_at: datetime) -> None:
    """Raises ValueError, saying what to write, where a rule is no RRULE or does not begin with `starts_at` (aware)."""
    parts = _parts_of(rule)
    for name, value in parts.items():
        _check_part(name, value)
    _check_together(parts)
    first = starts_at.astimezone(zone).replace(tzinfo=None)
    if "UNTIL" in parts and _until(parts["UNTIL"]) < starts_at:
        raise ValueError(f"UNTIL={parts['UNTIL']} is before the first occurrence; expected a later time")
    begins = _first_of(rule, zone, first)
    if begins != first:
        expected = f"from: {begins:%Y-%m-%dT%H:%M}" if begins else "another rule"
        raise ValueError(f"the rule does not fall on {first:%A, %Y-%m-%d %H:%M}; expected {expected}")
    if len(list(islice(_local_starts(rule, zone, first, first + _DAY), _MOST_A_DAY + 1))) > _MOST_A_DAY:
        raise ValueError("the rule recurs more often than every hour; expected longer occurrences, less often")


def _first_of(rule: str, zone: ZoneInfo, first: datetime) -> datetime | None:
    """When a rule first holds, None where it does not within years."""
    try:
        return next(_local_starts(rule, zone, first, first + _LONGEST_WAIT), None)
    except ValueError as error:  # parts that contradict each other, such as every second hour and an odd one
        raise ValueError(f"the rule never holds ({error}); expected another rule") from error


def _parts_of(rule: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for pair in rule.upper().split(";"):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair[:40]!r} is no part of a recurrence; expected {_EXAMPLE}")
        if name in parts:
            raise ValueError(f"{name} stands twice; expected each part once")
        parts[name] = value
    if "FREQ" not in parts:
        raise ValueError(f"the recurrence has no FREQ; expected {_EXAMPLE}")
    return parts


def _check_part(name: str, value: str) -> None:
    if name not in _PARTS:
        raise ValueError(f"{name[:40]!r} is no part of a recurrence; expected one of {', '.join(_PARTS)}")
    pattern, expected = _PARTS[name]
    if not re.fullmatch(pattern, value):
        raise ValueError(f"{name}={value[:40]} is not valid; expected {expected}")
    if name == "UNTIL":
        _until(value)


def _check_together(parts: dict[str, str]) -> None:
    frequency = parts["FREQ"]
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("COUNT and UNTIL exclude each other; expected one of them")
    if wrong := sorted(_NOT_WITH.get(frequency, set()) & parts.keys()):
        raise ValueError(f"{wrong[0]} has no meaning with FREQ={frequency}; expected BYDAY, BYMONTH or another FREQ")
    numbers = [int(n) for n in re.findall(r"[+-]?[0-9]+", parts.get("BYDAY", ""))]
    if numbers and (frequency not in {"MONTHLY", "YEARLY"} or "BYWEEKNO" in parts):
        raise ValueError(f"BYDAY={parts['BYDAY'][:40]} counts days of a month or year; expected FREQ=MONTHLY or YEARLY")
    most = 53 if frequency == "YEARLY" and "BYMONTH" not in parts else 5
    if any(abs(n) > most for n in numbers):
        raise ValueError(f"BYDAY={parts['BYDAY'][:40]} counts too far; expected at most the {most}th of a weekday")
    if "BYSETPOS" in parts and frequency in {"DAILY", "HOURLY"}:
        raise ValueError(f"BYSETPOS is not supported with FREQ={frequency}; expected WEEKLY, MONTHLY or YEARLY")
    if "BYSETPOS" in parts and not any(name.startswith("BY") for name in parts.keys() - {"BYSETPOS"}):
        raise ValueError("BYSETPOS chooses from nothing; expected another BY… part beside it")


def _until(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"UNTIL={text} is no time; expected {_PARTS['UNTIL'][1]}") from error


@lru_cache(maxsize=4096)
def _recurring(rule: str, zone: ZoneInfo, first: datetime, last: datetime, year: int) -> tuple[Slot, ...]:
    """All slots that begin before a year, merged. `first` and `last` are local wall times."""
    starts = _local_starts(rule, zone, first, datetime(year, 1, 1) + _DAY)  # noqa: DTZ001 - the clocks of the zone
    return tuple(merged(Slot(_micros(start, zone), _micros(start + (last - first), zone)) for start in starts))


def _local_starts(rule: str, zone: ZoneInfo, first: datetime, before: datetime) -> Iterator[datetime]:
    """The local wall times at which occurrences begin, before one.

    A wall time that the clocks skip does not occur and does not count (RFC 5545 §3.3.10).
    """
    if before <= first:  # shifted by the cycles below, the first would lie behind the last year
        return iter(())
    parts = _parts_of(rule)
    count, until = parts.pop("COUNT", None), parts.pop("UNTIL", None)
    # The library looks for a next occurrence up to the year 9999, however long that takes. The calendar repeats every
    # 400 years, weekdays included, so the rule is followed in its last cycle, where little is left to look through.
    later = _CYCLE * ((_LAST_YEAR - before.year) // _CYCLE_YEARS)
    endless = ";".join(f"{name}={value}" for name, value in parts.items())
    times = takewhile(lambda at: at < before, (at - later for at in rrulestr(endless, dtstart=first + later)))
    starts: Iterator[datetime] = (at for at in times if exists(at, zone))
    if until is not None:
        last = to_micros(_until(until))
        starts = takewhile(lambda at: _micros(at, zone) <= last, starts)
    return islice(starts, None if count is None else int(count))


def exists(local: datetime, zone: ZoneInfo) -> bool:
    """Whether clocks of a zone ever show a (naive) wall time; they skip an hour when summer time begins."""
    return local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local


def _micros(local: datetime, zone: ZoneInfo) -> int:
    """When clocks show a wall time: of two times the first, and for a skipped one as if they had not yet changed."""
    return to_micros(local.replace(tzinfo=zone).astimezone(UTC))
