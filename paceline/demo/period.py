"""The weeks that the example tells of, and its dice. Times are seconds since 1970 UTC; a leaf."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from slo_engine.weekly.week import Week

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800
ZONE = ZoneInfo("UTC")
"""The zone of the example's calendar weeks."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """Some whole weeks, of which everything up to `until` is known: what happens later nobody can say yet."""

    last: Week
    weeks: int
    until: datetime
    seed: int = 1

    @cached_property
    def end(self) -> int:
        """The first second after the last week."""
        return seconds(self.last.end)

    @property
    def start(self) -> int:
        """The first second of the first week."""
        return self.end - self.weeks * WEEK

    @cached_property
    def known(self) -> int:
        """The second up to which things are known."""
        return seconds(self.until)

    def week(self, ago: int) -> int:
        """The first second of the week that lies so many weeks before the last."""
        return self.end - (ago + 1) * WEEK

    def label(self, ago: int) -> str:
        """The ISO week that lies so many weeks before the last, like 2026-W12."""
        year, week, _ = moment(self.week(ago)).isocalendar()
        return f"{year}-W{week:02}"

    def dice(self, *scope: object) -> random.Random:
        """The dice of one part of the example: whatever the other parts do, these fall the same."""
        return random.Random("/".join(map(str, (self.seed, *scope))))  # noqa: S311 - the same example everywhere


def period_ending(ending: str, weeks: int, now: datetime, seed: int = 1) -> Period:
    """The weeks up to an ISO week, or up to `now` where `ending` says so. Raises ValueError for another text."""
    if ending == "now":
        until = now.replace(second=0, microsecond=0)
        year, week, _ = until.astimezone(ZONE).isocalendar()
        return Period(last=Week.parse(f"{year}-W{week:02}", ZONE), weeks=weeks, until=until, seed=seed)
    last = Week.parse(ending, ZONE)
    return Period(last=last, weeks=weeks, until=last.end, seed=seed)


def opaque(*scope: object) -> str:
    """A name that says nothing of what it is for."""
    return hashlib.blake2b("/".join(map(str, scope)).encode(), digest_size=6).hexdigest()


def happens(dice: random.Random, share: float) -> bool:
    """Throw the dice for what happens in such a share of all cases."""
    return dice.random() < share


def moment(at: float) -> datetime:
    """The time of so many seconds since 1970, without their fraction."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(at))


def seconds(at: datetime) -> int:
    """The seconds since 1970 of a time."""
    return int(at.timestamp())
