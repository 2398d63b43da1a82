"""The past of an example for Prometheus, which would else begin when it is started.

The service, whose clock is moved, publishes at moments of the past; what it published becomes the data of a Prometheus.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from collector.errors import PacelineError
from dashboards.boards import all_boards
from dashboards.lint_queries import metrics_in
from dashboards.making import Making
from paceline.demo.programs import INSTANCE, JOB
from paceline.settings import Configuration
from paceline.wiring import build
from slo_engine.exposition import Exposition, Publisher
from slo_engine.indicator import indicators
from slo_engine.past import Counters

PROMTOOL = ("promtool",)
_FAR_WEEKS = 4
_ONE_BLOCK = "--max-block-duration=13200h"  # with the usual two hours it takes minutes, and reads everything for each
SCRAPED = f'instance="{INSTANCE}",job="{JOB}"'
"""What a scrape adds to every series."""
_VALUE = re.compile(rb" (\S+)\n")
_FAMILY = re.compile(rb"^# TYPE (\S+) .*\n((?:[^#].*\n)*)", re.MULTILINE)


@dataclass
class _Clock:
    """A clock that stands until it is moved."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at


def moments(now: datetime, weeks: int) -> list[datetime]:
    """When the past is published: weeks' ends, of the older ones every other; days; quarters of a day; minutes.

    A few minutes are what a rate needs at the end.
    """
    ago = [timedelta(weeks=n) for n in range(weeks, 0, -1) if n <= _FAR_WEEKS or n % 2 == 0]
    ago += [timedelta(days=n) for n in range(6, 0, -1)]
    ago += [timedelta(hours=n) for n in range(18, 0, -6)]
    ago += [timedelta(minutes=n) for n in (4, 2, 0)]
    return [now - one for one in sorted(ago, reverse=True)]


def store_past(found: Configuration, when: Iterable[datetime], data: Path, promtool: str) -> None:
    """Make the data of a Prometheus, in a folder that is replaced, of what an imported example says at some moments.

    Raises PacelineError where `promtool` does not take it.
    """
    boards = all_boards(Making(indicators=tuple(indicators().values())))
    wanted = {name.encode() for board in boards for name in metrics_in(board.document)}
    if data.exists():
        shutil.rmtree(data)
    history = data.with_suffix(".om")
    try:
        with history.open("wb") as out:
            _publish(found, when, wanted, out.write)
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "-q", _ONE_BLOCK, str(history), str(data)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    finally:
        history.unlink()
    if done.returncode != 0:
        raise PacelineError(f"promtool did not take the past: {done.stderr.strip()}")


def _publish(
    found: Configuration, when: Iterable[datetime], wanted: Collection[bytes], write: Callable[[bytes], object]
) -> None:
    """Write the samples that the service publishes at each moment, as OpenMetrics."""
    first, *later = sorted(when)
    clock = _Clock(first)
    # The store's counters know what comes later, where it was served before.
    publisher, counters = Publisher(), Counters()
    with contextlib.closing(build(found, clock, {})) as running:
        known = running.service.past
        for clock.at in (first, *later):
            snapshot = running.service.snapshot()
            exposition = publisher.expose(snapshot, known.indicators, known.version, counters.floor, known.series_limit)
            write(_samples(exposition, clock.at, wanted))
    write(b"# EOF\n")


def _samples(exposition: Exposition, at: datetime, wanted: Collection[bytes]) -> bytes:
    """What is published at a time, each line with that time and what a scrape adds."""
    seconds = int(at.timestamp())
    return b"".join(
        _scraped(name, _until(name, lines, seconds)).replace(b"\n", b" %d\n" % seconds)
        for name, lines in _FAMILY.findall(exposition.text)
        if name in wanted
    )


def _until(name: bytes, lines: bytes, seconds: int) -> bytes:
    """All was collected at the end; until then, what lies behind a moment was collected at it."""
    if not name.endswith(b"_timestamp_seconds"):
        return lines
    return _VALUE.sub(lambda found: b" %d\n" % seconds if float(found[1]) > seconds else found[0], lines)


def _scraped(name: bytes, lines: bytes) -> bytes:
    """The lines of a metric with the labels of a scrape."""
    found = b"\n" + lines
    found = found.replace(b"\n%s{" % name, b"\n%s{%s," % (name, SCRAPED.encode()))
    return found.replace(b"\n%s " % name, b"\n%s{%s} " % (name, SCRAPED.encode()))[1:]
