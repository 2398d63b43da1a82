"""The weekly summaries of a service, each made once for as long as what it tells of stays the same."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Hashable

from collector.errors import PacelineError
from collector.events import Collection, kind_of
from paceline.pages.remembered import Remembered
from paceline.service import Published, Service
from slo_engine.weekly import Audience, Week, WeeklySummary

_MOST = 64
_LOOK_EVERY_SECONDS = 1.0
_REST = 10.0
"""Making summaries ahead rests so many times as long as it took: it may not be what keeps a processor busy."""


class Weeklies:
    """Makes summaries and remembers the last ones. Safe to ask from several threads.

    A week that is over is told from the observations and from how far sources cover it: while these stay, so does what
    is remembered. One that is not over is made anew for each snapshot.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._remembered = Remembered[WeeklySummary](_MOST)

    def __call__(self, week: Week, audience: Audience, team: str = "") -> WeeklySummary:
        """The summary of a week. Raises UnknownTeam and StoreError."""
        key = (week.label, audience, team, inputs_of(self._service, week))
        return self._remembered(key, lambda: self._service.summary(week, audience, team))

    def keep_ready(self, stop: threading.Event) -> None:
        """Make the newest week's page for leaders after each publication, until told to stop."""
        done: Published | None = None
        rest = _LOOK_EVERY_SECONDS
        while not stop.wait(rest):
            published, rest = self._service.published, _LOOK_EVERY_SECONDS
            if published is None or published is done:
                continue
            done, started = published, time.perf_counter()
            # Whoever asks for a page that cannot be made is told.
            with contextlib.suppress(PacelineError):
                self(Week.last_before(published.snapshot.at, self._service.zone), Audience.LEADER)
            rest += _REST * (time.perf_counter() - started)


def inputs_of(service: Service, week: Week) -> Hashable:
    """What the summary of a week is made from, as a value that is equal while the summary would be.

    What is derived of the runs of sources changes with each of them, and says nothing new about a week once they all
    cover it.
    """
    published = service.published
    if published is None:
        return None
    at, sources = published.snapshot.at, published.snapshot.sources
    covers = tuple(s.last_success_at and min(s.last_success_at, week.end) for s in sources)
    left_out = {kind_of(Collection)} if all(until == week.end for until in covers) else set()
    stamps = ((f, *((k, v) for k, v in stamp.items() if k not in left_out)) for f, stamp in service.stamps.items())
    return covers, tuple(sorted(stamps)), None if week.end <= at else at
