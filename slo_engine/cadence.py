"""Service-weeks with work waiting, and whether the promised deployments happened in them. Pure.

A week is Monday 00:00 to Monday 00:00 in the organisation's zone, computed in UTC.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from slo_engine.observation import to_micros

_FEW = 100
"""Of so many changes each is looked at alone; arrays are for more."""
MOST_WEEKS = 26
"""A change that waits longer than this is given up: it makes no more weeks."""


class Week(NamedTuple):
    """A local week: its ISO name, its first microsecond and the first after it."""

    label: str
    start: int
    end: int


Waiting = tuple[int, int | None]
"""A change that waited from its merge to its deployment, or waits still (None)."""


_NEVER = 2**62
_FIRST, _LAST = date(1970, 1, 5), date(2100, 1, 4)


@lru_cache(maxsize=16)
def _starts(zone: ZoneInfo) -> list[int]:
    """When each local week from 1970 to 2100 begins: a table is looked up much faster than a calendar."""
    weeks = (_LAST - _FIRST).days // 7
    mondays = (_FIRST + timedelta(days=7 * n) for n in range(weeks + 1))
    return [to_micros(datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC)) for d in mondays]


def week_start(at: int, zone: ZoneInfo) -> int:
    """When the local week that holds a time begins."""
    return _starts(zone)[_number(at, zone)]


def _number(at: int, zone: ZoneInfo) -> int:
    """The number of the week that holds a time; what lies outside the table belongs to its first or last one."""
    starts = _starts(zone)
    return min(max(bisect_right(starts, at) - 1, 0), len(starts) - 2)


@lru_cache(maxsize=4096)
def _week(number: int, zone: ZoneInfo) -> Week:
    year, week, _ = (_FIRST + timedelta(days=7 * number)).isocalendar()
    return Week(f"{year}-W{week:02}", *_starts(zone)[number : number + 2])


def service_weeks(
    waiting: Iterable[Waiting], deployed: Sequence[int], promised: int, horizon: int, zone: ZoneInfo
) -> Iterator[tuple[Week, bool]]:
    """The weeks after the horizon's own in which something waited, and whether enough was deployed in each.

    `deployed`: the times of successful deployments, ascending. What waits still makes weeks up to MOST_WEEKS after
    its merge; those that are not over yet are dated in the future, where nobody looks before they are.
    """
    first, last = _number(horizon, zone) + 1, len(_starts(zone)) - 2
    spans = list(waiting)
    if not spans:
        return
    if len(spans) <= _FEW:  # as of one service since its last deployments
        numbers: set[int] = set()
        for merged_at, shipped_at in spans:
            begin = _number(merged_at, zone)
            shipping = last if shipped_at is None else _number(shipped_at, zone)
            numbers.update(range(max(begin, first), min(begin + MOST_WEEKS, shipping, last) + 1))
        yield from _kept(sorted(numbers), deployed, promised, zone)
        return
    began, ended = zip(*spans, strict=True)
    merged = _numbers(np.array(began, dtype=np.int64), zone)
    shipped = _numbers(np.array([_NEVER if at is None else at for at in ended], dtype=np.int64), zone)
    ends = np.minimum(np.minimum(merged + MOST_WEEKS, shipped), last) + 1
    begins = np.minimum(np.maximum(merged, first), ends)
    earliest, weeks = int(begins.min()), int(ends.max() - begins.min()) + 1
    # How many changes begin to wait in a week, less how many have stopped before it.
    change = np.bincount(begins - earliest, minlength=weeks) - np.bincount(ends - earliest, minlength=weeks)
    numbered = (earliest + np.flatnonzero(np.cumsum(change))).tolist()
    yield from _kept(numbered, deployed, promised, zone)


def _kept(
    numbers: Iterable[int], deployed: Sequence[int], promised: int, zone: ZoneInfo
) -> Iterator[tuple[Week, bool]]:
    """Some weeks, and whether enough was deployed in each."""
    for number in numbers:
        week = _week(number, zone)
        done = bisect_left(deployed, week.end) - bisect_left(deployed, week.start)
        yield week, done >= promised


def _numbers(times: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """The numbers of the weeks that hold some times."""
    found = np.searchsorted(_table(zone), times, side="right") - 1
    return np.clip(found, 0, len(_starts(zone)) - 2)


@lru_cache(maxsize=16)
def _table(zone: ZoneInfo) -> NDArray[np.int64]:
    return np.array(_starts(zone), dtype=np.int64)
