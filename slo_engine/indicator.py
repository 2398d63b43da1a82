"""What an indicator is, and where the indicators are found.

A family is a pure function from events to observations, with the indicators it speaks of. Nothing downstream
knows which is which: metrics, SLOs, panels, report lines and explanations follow from the declarations here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar
from zlib import crc32

import slo_engine.indicators
from collector.conditions import Where
from collector.events import Event
from collector.plugins import plugins, refused
from slo_engine.measure import Measure
from slo_engine.observation import MOST_PARTS, Observation, Row, Rows
from slo_engine.options import Options
from slo_engine.organisation import Organisation

E = TypeVar("E", bound=Event)
ENTRY_POINT_GROUP = "paceline.indicators"


class Events(Protocol):
    """All known events, by kind. The store is one; `slo_engine.plain_events` is another, for tests."""

    def events(self, event_type: type[E]) -> Iterable[E]:
        """The events of a kind, each once."""

    def columns(self, event_type: type[Event], *names: str, **where: Where) -> list[tuple[Any, ...]]:
        """Columns of the events of a kind that fit: times in microseconds since 1970 UTC, tuples as JSON text."""

    def distinct(self, event_type: type[Event], name: str, since: int = -1) -> list[str]:
        """The values of a text column, in order; only those of events written after a revision."""

    def moved(self, event_type: type[Event], since: int) -> list[str]:
        """The services or repositories that an event of a kind left after a revision."""


class Shape(StrEnum):
    """What an indicator's observations add up to."""

    DURATION = "duration"
    """Values in seconds: quantiles, an interval of the median, n."""
    RATIO = "ratio"
    """Good and bad units: the share of bad or good ones, its interval, n."""
    FREQUENCY = "frequency"
    """Units that happened: how many a day, n."""
    MEASURE = "measure"
    """What the indicator's own `measure` makes of its units: see `slo_engine.measure`."""


class Unit(StrEnum):
    """What a MEASURE is in: the suffix of its metric and how people read it."""

    SECONDS = "seconds"
    RATIO = "ratio"
    COUNT = "count"


class Reach(StrEnum):
    """How far back a MEASURE looks from the end of a window."""

    WINDOW = "window"
    TWICE = "twice"
    """The window and one of the same length before it."""
    ALL = "all"
    """Everything there ever was: its value is one of a moment, and the window only has a label, `now`."""


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """One indicator: its name, its definition in the words of docs/definitions.md, and its metric's name.

    `metric` is the base of the exported names. `dimension` names the label that splits it, and `dimensions` lists
    that label's values: for a DURATION the parts it is made of (`stage`), at most MOST_PARTS; for a FREQUENCY the
    kinds of units (`outcome`), of which the first is the one whose frequency is published. For a RATIO, `share_of`
    says which outcome the published ratio counts. `part_of` and `part`: this indicator is one part of another
    duration, read from the same observations, so that one judgement is kept once.

    `labels` split the number by what its units name: their `dimension` is `labelled(...)` of a value for each.
    Published are every combination and, of each label not in `apart`, also all its values together, with an empty
    label. A label named "" is only for the indicator's own use: its values are always taken together. `values` are
    those a label can have, where they are known beforehand. An indicator has either labels or a dimension. `people`:
    its units are people, so that numbers of few are suppressed.

    `tallied`: its good and bad units are also counted since the beginning, which shows when each became known: of a
    RATIO without labels.

    `noun` is what people call its units, in the plural: what is left of an SLO's budget is so many of them.

    A MEASURE has a `measure`, which gives the statistics named in `stats`, the leading one first, in `unit`s.
    """

    name: str
    version: str
    title: str
    definition: str
    shape: Shape
    metric: str
    noun: str = "events"
    dimension: str = ""
    dimensions: tuple[str, ...] = ()
    share_of: str = "good"
    tallied: bool = False
    part_of: Indicator | None = None
    part: str = ""
    labels: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    shared: tuple[str, ...] = ()
    people: bool = False
    measure: Measure | None = None
    stats: tuple[str, ...] = ()
    unit: Unit = Unit.COUNT
    reach: Reach = Reach.WINDOW

    @property
    def observed_as(self) -> str:
        """The indicator whose observations hold this one's values."""
        return self.part_of.name if self.part_of else self.name

    @property
    def like_delivery(self) -> bool:
        """Whether it has one number for a service or team, of units that are no people: as those of delivery have."""
        return not (self.labels or self.people or self.shape is Shape.MEASURE)

    def column(self, part: str = "") -> int:
        """Where an observation holds the value: 0 for the whole, n for the n-th part."""
        if self.part_of is not None:
            return self.part_of.column(self.part)
        return self.dimensions.index(part) + 1 if part else 0


class Piece(NamedTuple):
    """A piece of a family, derived: for example everything about one service.

    `reads`: names of what it was derived from, so that it can be found when that changes. `state`: what its next
    derivation can start from. `observations` stand for all that is dated after `after` in microseconds (for all of
    the piece where that is None), and for the units in `reopened`, by time and unit, that were dated before.
    """

    scope: str
    observations: Iterable[Observation | Row | Rows]
    reads: tuple[str, ...] = ()
    state: bytes | None = None
    after: int | None = None
    reopened: frozenset[tuple[int, str]] = frozenset()
    kept: frozenset[tuple[int, str]] = frozenset()
    """Observations, by time and unit, dated after `after` that stay as they are."""
    same_state: bool = False
    """What is stored of the piece itself stays: neither `state` nor `reads` says anything new."""


Forgets = Callable[[str, int, Organisation], int | None]
"""Of a piece's scope, the time after which its observations rest on no event of a kind dated before another time.

Both in microseconds; None where none of them rests on any.
"""


_EIGHTHS = 8


class Silent(Exception):  # noqa: N818 - no error: it says who has to do the rest
    """Who derived at the same time says nothing any more: what of its pieces has not come is still to be derived."""


class Half(NamedTuple):
    """Which half of the touched pieces one of two derives. `eighths`: how large the first one is."""

    first: bool
    eighths: int

    def of(self, scopes: Iterable[str]) -> set[str]:
        """Those of some pieces that are in this half, whatever the others are."""
        return {s for s in scopes if (crc32(s.encode()) % _EIGHTHS < self.eighths) is self.first}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which pieces a derivation asks a family for.

    `known` are the stored pieces with what they read, `since` the revisions they know; None asks for all of them.
    `revisions` are those of the events now, and `state` gives what a piece can start from. `only`: these pieces and
    no other, whatever they mean for others. `derived` are pieces that were derived from these very events, with what
    they read: of them only what they mean for others is left to do.

    `half`: two derive at the same time what new events touch, one of them each half. The first is given the `others`,
    which are None where the second does not say, and does the rest; what pieces mean for others is left to it. Who asks
    for the next of them may wait for it, and raises Silent where it does not come.
    """

    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: Mapping[str, int] | None = None
    revisions: Mapping[str, int] = field(default_factory=dict)
    state: Callable[[str], bytes | None] = lambda _: None
    only: frozenset[str] | None = None
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    half: Half | None = None
    others: Callable[[], Iterable[Piece] | None] = lambda: None


class Pieces(Protocol):
    """Derives the pieces that new events touch."""

    def __call__(self, events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
        """The pieces to replace; one may come twice, and the later counts. One without events any more comes empty."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Indicators derived together. `observe` is pure: the same events and rules give the same observations.

    `inputs` are the kinds it reads: it is derived again when events of these kinds changed, and only then. Where it
    has `pieces`, only those that the changed events touch; all pieces together are what `observe` gives. `scopes` names
    all pieces: where it is there, several processes may share them, and everything of the family can be pickled.
    `halves`: where a half is asked for, its `pieces` derive that one; of another family a process derives all or none.
    `options` is what a person can set for it, under `indicators:` and its name; the organisation holds what was set.

    `forgets`: for kinds whose old events may go what stays as it was judged then. Of a kind that a family reads and
    does not name there, all events are kept.
    """

    name: str
    inputs: tuple[type[Event], ...]
    indicators: tuple[Indicator, ...]
    observe: Callable[[Events, Organisation], Iterable[Observation]]
    pieces: Pieces | None = None
    scopes: Callable[[Events, Organisation], Iterable[str]] | None = None
    halves: bool = False
    options: type[Options] | None = None
    forgets: Mapping[type[Event], Forgets] = field(default_factory=dict, hash=False)

    @property
    def version(self) -> str:
        """Changes when a definition does, so that stored observations are derived again."""
        return ";".join(f"{i.name}={i.version}" for i in self.indicators)


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    """All families: every module of `slo_engine/indicators/`, then the entry points of other distributions.

    Raises ConfigError for a plug-in that cannot be loaded, and where two define one indicator or one metric.
    """
    found: list[Family] = []
    for module in pkgutil.iter_modules(slo_engine.indicators.__path__):
        family = getattr(importlib.import_module(f"slo_engine.indicators.{module.name}"), "FAMILY", None)
        if isinstance(family, Family):
            found.append(family)
    for place, value in plugins(ENTRY_POINT_GROUP):
        if not isinstance(value, Family):
            raise refused(place, ENTRY_POINT_GROUP, "it is no family of indicators", "a Family")
        found.append(value)
    _check(found)
    return tuple(found)


def _check(found: Iterable[Family]) -> None:
    """Refuse what two indicators would both define, and what the store has no column for."""
    taken: dict[str, str] = {}
    for family in found:
        place = family.observe.__module__
        for indicator in family.indicators:
            for name in (f"indicator {indicator.name}", f"metric {indicator.metric}"):
                if name in taken:
                    problem = f"the {name} is already defined in {taken[name]}"
                    raise refused(place, indicator.name, problem, "another name")
                taken[name] = place
            for problem, expected in _unfit(indicator):
                raise refused(place, indicator.name, problem, expected)


def _unfit(indicator: Indicator) -> Iterator[tuple[str, str]]:
    """What is wrong with an indicator's declaration, and what is expected."""
    if indicator.shape is Shape.DURATION and len(indicator.dimensions) > MOST_PARTS:
        yield f"it has {len(indicator.dimensions)} parts", f"at most {MOST_PARTS}"
    if indicator.labels and indicator.dimension:
        yield "it has labels, and a dimension", "one of them"
    if indicator.part_of is not None and (indicator.labels, indicator.apart) != (
        indicator.part_of.labels,
        indicator.part_of.apart,
    ):
        yield f"its labels are not those of {indicator.part_of.name}, whose units it reads", "the same labels"
    if "" in indicator.labels[:-1]:
        yield "a label that is not published stands before others", "it last"
    if {"", *indicator.apart} - {"", *indicator.labels}:
        yield f"labels kept apart that it has not: {', '.join(indicator.apart)}", "some of its labels"
    if set(indicator.shared) - (set(indicator.values) & set(indicator.labels)):
        yield f"shared labels whose values are not known: {', '.join(indicator.shared)}", "labels with `values`"
    if (indicator.shape is Shape.MEASURE) != (indicator.measure is not None and bool(indicator.stats)):
        yield "its shape, its measure and its statistics do not belong together", "a MEASURE with both, or neither"


def widths_of(indicators: Mapping[str, Indicator]) -> dict[str, int]:
    """How many values the units of indicators can have, by the indicator that is observed: the whole and its parts."""
    found: dict[str, int] = {}
    for indicator in indicators.values():
        whole = indicator.part_of or indicator
        own = 1 + len(whole.dimensions) if whole.shape is Shape.DURATION else int(indicator.shape is Shape.MEASURE)
        found[whole.name] = max(own, found.get(whole.name, 0))
    return found


def named_of(indicators: Mapping[str, Indicator]) -> frozenset[str]:
    """The indicators whose units must be told apart: people, and those that an arithmetic of its own may count."""
    return frozenset(i.observed_as for i in indicators.values() if i.people or i.shape is Shape.MEASURE)


def indicators() -> dict[str, Indicator]:
    """All indicators by name."""
    return {i.name: i for f in families() for i in f.indicators}
