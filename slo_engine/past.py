"""What would have been published at past times, as it is known today: an OpenMetrics file for Prometheus.

Nothing is derived and nothing is written to the store. Series of sources and of the process itself are left out: how
these fared then is not kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import IO

from collector.store import ObservationStore
from slo_engine import catalog
from slo_engine.burn import Tier
from slo_engine.evaluate import Evaluator
from slo_engine.exclusions import Exclusion
from slo_engine.exposition import Exposition, Publisher
from slo_engine.indicator import Indicator
from slo_engine.organisation import Organisation
from slo_engine.slo import Slo
from slo_engine.snapshot import SourceState

_RECORDS_AT_ONCE = 200_000
"""How many samples are sorted in memory, before they go to a file."""
_MOST_FILES = 64
"""So many files of a size are put together into one, since a process may have only some hundreds open."""
_OF_THIS_PROCESS = frozenset(
    m.name for m in (catalog.SNAPSHOT_DURATION, catalog.EXPOSITION_FAILED, catalog.EXPOSITION_CUT, catalog.BUILD_INFO)
)
_END = b"# EOF\n"


@dataclass(frozen=True, kw_only=True)
class Past:
    """What a past is evaluated from: all as it is today."""

    observations: ObservationStore
    indicators: Mapping[str, Indicator]
    slos: Sequence[Slo]
    tiers: Sequence[Tier]
    organisation: Organisation
    exclusions: Sequence[Exclusion]
    sources: Sequence[str]
    version: str
    series_limit: int


def times(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """The whole steps since the epoch from a time up to and including another one.

    Raises ValueError for what has none, and for a step that is not of whole seconds.
    """
    seconds = int(step.total_seconds())
    if seconds < 1 or step != timedelta(seconds=seconds):
        raise ValueError("the step is not of whole seconds; expected for example 5m")
    first, last = -(-int(start.timestamp()) // seconds), int(end.timestamp()) // seconds
    if first > last:
        raise ValueError(f"there is no step between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M}")
    return [datetime.fromtimestamp(n * seconds, start.tzinfo) for n in range(first, last + 1)]


def expositions(past: Past, at: Iterable[datetime]) -> Iterator[tuple[datetime, Exposition]]:
    """What would have been published at each of some times, which go on. Sources count as fresh."""
    # A number is withheld while its source is stale. That was a state of those days, and is no matter of what is past.
    fresh = [_fresh(name) for name in past.sources]
    evaluator, publisher, counters = Evaluator(past.observations), Publisher(), Counters()
    for one in at:
        snapshot = evaluator.evaluate(
            past.indicators,
            past.slos,
            fresh,
            one,
            past.tiers,
            organisation=past.organisation,
            exclusions=past.exclusions,
        )
        snapshot = replace(snapshot, sources=())
        yield (
            one,
            publisher.expose(snapshot, past.indicators, past.version, counters.floor, past.series_limit),
        )


class Counters:
    """Keeps the counters of a past from falling: what was pending may turn out to be no unit."""

    def __init__(self) -> None:
        self._highest: dict[str, float] = {}

    def floor(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """The highest values so far."""
        self._highest |= {s: v for s, v in values.items() if v > self._highest.get(s, -1.0)}
        return {s: self._highest[s] for s in values}


def _fresh(name: str) -> SourceState:
    return SourceState(
        name=name,
        type="",
        fresh=True,
        staleness_seconds=0.0,
        last_success_at=None,
        last_run_at=None,
        last_duration_seconds=None,
        last_succeeded=True,
        error=None,
        events_total=0,
        rejected_total=0,
        newest_event_at=None,
    )


@dataclass
class Spool:
    """Sorts samples by series and time with flat memory. `new_file` gives files that may be written and read.

    The format wants the samples of a series together, and they come time by time.
    """

    new_file: Callable[[], IO[bytes]]
    at_once: int = _RECORDS_AT_ONCE
    most_files: int = _MOST_FILES
    samples: int = 0
    _heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    _waiting: list[bytes] = field(default_factory=list)
    _files: list[list[IO[bytes]]] = field(default_factory=list)
    """Sorted ones by how often they were put together: of each size fewer than `most_files`."""

    def add(self, at: datetime, exposition: Exposition) -> None:
        """Take in what was published at a time; times go on."""
        stamp = b"\0%020d\0" % int(at.timestamp())
        for name, head, lines in exposition.by_openmetrics_family():
            if name in _OF_THIS_PROCESS:
                continue
            number, _ = self._heads.setdefault(name, (len(self._heads), head))
            start = b"%06d\0" % number
            for line in lines.splitlines():
                series, _, value = line.rpartition(b" ")
                self._waiting.append(start + series + stamp + value + b"\n")
            if len(self._waiting) >= self.at_once:
                self._put_away()

    def _put_away(self) -> None:
        self._waiting.sort()
        self.samples += len(self._waiting)
        self._keep(self._waiting, 0)
        self._waiting = []

    def _keep(self, records: Iterable[bytes], size: int) -> None:
        """Keep sorted records in a file, and put it together with others where they become many."""
        file = self.new_file()
        file.writelines(records)
        file.seek(0)
        if size == len(self._files):
            self._files.append([])
        self._files[size].append(file)
        if len(self._files[size]) >= self.most_files:
            many, self._files[size] = self._files[size], []
            with _closing(many):
                self._keep(heapq.merge(*many), size + 1)

    def write(self, out: IO[bytes]) -> None:
        """Write all of it as one OpenMetrics file."""
        self._put_away()
        heads = dict(self._heads.values())
        current = -1
        files = [file for some in self._files for file in some]
        with _closing(files):
            for record in heapq.merge(*files):
                number = int(record[:6])
                if number != current:
                    out.write(heads[number])
                    current = number
                series, at, value = record[7:-1].rsplit(b"\0", 2)
                out.write(b"%b %b %d\n" % (series, value, int(at)))
        out.write(_END)


@contextmanager
def _closing(files: Iterable[IO[bytes]]) -> Iterator[None]:
    """Close some files in the end, whose space is free then."""
    with ExitStack() as opened:
        for file in files:
            opened.enter_context(file)
        yield
