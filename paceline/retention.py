"""How long events are kept: what can be set, and the pruning of older ones, bit by bit beside all else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

from pydantic import BeforeValidator

from collector.document import Document, nearest
from collector.durations import parse_duration
from collector.errors import Mistake, StoreError
from collector.events import TYPE_OF_KIND, Event, kind_of
from collector.store import RetentionStore, from_micros, to_micros
from paceline.logs import Log
from slo_engine.indicator import Family
from slo_engine.organisation import Organisation
from slo_engine.slo import Slo
from slo_engine.windows import INDICATOR_WINDOWS, Window

ALWAYS = "always"
DEFAULT = timedelta(days=400)
"""How long runs of sources are kept unless told: each source makes one every few minutes."""
_DEFAULT_KIND = "collection"
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_BATCHES_AT_A_TIME = 10
_MEANWHILE_SECONDS = 0.02
"""After each transaction others take their turn."""


def _kept_for(value: Any) -> timedelta | None:
    return None if value is None or value == ALWAYS else parse_duration(value)


KeptFor = Annotated[timedelta | None, BeforeValidator(_kept_for)]
"""How long events of a kind are kept: `400d`, or None, written `always`."""


def kept_for(
    told: Mapping[str, timedelta | None], families: Sequence[Family], organisation: Organisation, slos: Sequence[Slo]
) -> dict[type[Event], timedelta]:
    """How long events are kept, for the kinds of which not all are: what is told, and the rest by default."""
    found = {TYPE_OF_KIND[kind]: length for kind, length in told.items() if length is not None}
    usual = TYPE_OF_KIND[_DEFAULT_KIND]
    if _DEFAULT_KIND not in told and usual in _prunable(families):
        found[usual] = max(DEFAULT, _least(usual, families, organisation, slos))
    return found


def retention_mistakes(
    told: Mapping[str, timedelta | None],
    families: Sequence[Family],
    organisation: Organisation,
    slos: Sequence[Slo],
    document: Document,
) -> Iterator[Mistake]:
    """Kinds that there are not or that must be kept, and times that are too short for what is shown."""
    prunable = {kind_of(event_type): event_type for event_type in _prunable(families)}
    listed = ", ".join(sorted(prunable))
    for kind, length in told.items():
        place = ("retention", kind)
        if kind not in TYPE_OF_KIND:
            yield document.mistake(place, "no kind of events", nearest(kind, prunable) or f"one of {listed}")
        elif kind not in prunable and length is not None:
            problem = "judging goes back to them however old they are, so all are kept"
            yield document.mistake(place, problem, f"one of {listed}")
        elif length is not None and length < (least := _least(prunable[kind], families, organisation, slos)):
            problem = f"numbers of up to {_shown(slos).days}d are shown, and judging looks further back"
            yield document.mistake(place, problem, f"at least {least.days}d, or {ALWAYS}")


def _prunable(families: Sequence[Family]) -> list[type[Event]]:
    """The kinds of which every family that reads them says what rests on old events."""
    read = {event_type for family in families for event_type in family.inputs}
    return [t for t in read if all(t in family.forgets for family in families if t in family.inputs)]


def _shown(slos: Sequence[Slo]) -> timedelta:
    """The longest time that a number is of: some compare a window with the one before it."""
    twice = 2 * max(window.length for window in INDICATOR_WINDOWS)
    return max([twice, *(_length(slo) for slo in slos)])


def _length(slo: Slo) -> timedelta:
    window = slo.window
    return window.length if isinstance(window, Window) else timedelta(days=window.most_days)


def _least(
    event_type: type[Event], families: Sequence[Family], organisation: Organisation, slos: Sequence[Slo]
) -> timedelta:
    """How long events must be kept so that all that is shown can be judged anew by them, in whole days."""
    backs = (f.forgets[event_type]("", 0, organisation) or 0 for f in families if event_type in f.inputs)
    back = max(backs) * _MICROSECOND
    return timedelta(days=1 - (-(_shown(slos) + back) // _DAY))


@dataclass(frozen=True)
class Due:
    """Of a kind: from when on events are kept, and how many older ones there are, or were."""

    kind: str
    kept_since: datetime
    events: int


@dataclass
class Pruner:
    """Prunes what is older than it is kept, up to whole UTC days."""

    store: RetentionStore
    kept: Mapping[type[Event], timedelta]
    clock: Callable[[], datetime]
    pause: Callable[[float], object]
    log: Log
    _done: datetime | None = None

    def due(self) -> list[Due]:
        """What pruning would delete. Raises StoreError."""
        return [
            Due(kind_of(t), since, self.store.due(t, to_micros(since)))
            for t, since in self._since(self._today()).items()
        ]

    def prune(self) -> list[Due]:
        """Delete all that is due: how much there was. Raises StoreError; what was deleted before stays so."""
        found: dict[type[Event], int] = {}
        since = self._since(self._today())
        for event_type, gone in self._batches(since):
            found[event_type] = found.get(event_type, 0) + gone
        return [Due(kind_of(t), since[t], found.get(t, 0)) for t in since]

    def look(self) -> int:
        """Once a day delete what is due, and no more than a little at a time: how many events. Never raises."""
        today = self._today()
        if self._done == today:
            return 0
        gone = batches = 0
        try:
            for _, deleted in islice(self._batches(self._since(today)), _BATCHES_AT_A_TIME):
                gone, batches = gone + deleted, batches + 1
        except StoreError as error:
            self.log.error("old events are not pruned yet", error=str(error))
            return gone
        if batches < _BATCHES_AT_A_TIME:
            self._done = today
        if gone:
            self.log.info("pruned", events=gone)
        return gone

    def _today(self) -> datetime:
        return self.clock().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def _since(self, today: datetime) -> dict[type[Event], datetime]:
        """Since when events are kept. Never since earlier than before: what is gone is gone."""
        told = self.store.told()
        found = {}
        for event_type, length in sorted(self.kept.items(), key=lambda one: kind_of(one[0])):
            since = (today - length).replace(hour=0, minute=0, second=0, microsecond=0)
            known = told.get(kind_of(event_type))
            found[event_type] = since if known is None else max(since, from_micros(known.before))
        return found

    def _batches(self, since: Mapping[type[Event], datetime]) -> Iterator[tuple[type[Event], int]]:
        for event_type, at in since.items():
            for gone in self.store.prune(event_type, to_micros(at)):
                yield event_type, gone
                self.pause(_MEANWHILE_SECONDS)
