"""The frozen result of one evaluation: what every reader (metrics, pages, reports) is given. Pure data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, NamedTuple, Self

import msgspec

from slo_engine.burn import Severity
from slo_engine.observation import Subject
from slo_engine.organisation import Service
from slo_engine.segments import Piece
from slo_engine.slo import EventCounts, Slo, SloStatus
from slo_engine.suppression import Cell
from slo_engine.words import share_text


class Number(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An indicator's statistics for a subject, window and dimension. `stats` lacks what has no value.

    DURATION: p50 p75 p90 p95 low high in seconds. RATIO: value low high, 0 to 1. FREQUENCY: per_day. MEASURE: its own.
    `dimension` is the part of a duration, or the values of the published labels, see `labelled`: empty for all of them.
    """

    indicator: str
    subject: Subject
    window: str
    dimension: str = ""
    n: int
    stats: Mapping[str, float]


class Accounting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What stands beside the numbers of an indicator, subject and window: nothing vanishes silently.

    `dimension`: the values of the published labels; the parts of a duration have one accounting together.
    """

    indicator: str
    subject: Subject
    window: str
    dimension: str = ""
    pending: int
    excluded: Mapping[str, int]
    coverage: float | None


class Written(NamedTuple):
    """Lines as they are published: by the id of the row that they follow from, one text for each metric, and by metric.

    Who keeps them keeps the rows: while they are, their ids are nobody else's.
    """

    numbers: Mapping[int, tuple[str, ...]]
    accounting: Mapping[int, tuple[str, ...]]
    pieces: Mapping[str, Piece]


class Part(NamedTuple):
    """What is known of one indicator and subject; `totals` is how many units there ever were, by dimension.

    `lines`: how its numbers and accounting are published, by metric, where that was written with them.
    """

    indicator: str
    subject: Subject
    numbers: tuple[Number, ...] = ()
    accounting: tuple[Accounting, ...] = ()
    totals: tuple[tuple[str, float], ...] = ()
    lines: Mapping[str, Piece] = {}


class Spent(NamedTuple):
    """What the bad events of one series spent of an SLO's error budget: a share of all of it, above 1 when overspent.

    `labels` are the values of `catalog.SERIES_LABELS`, empty where the series has none.
    """

    subject: Subject
    labels: tuple[str, ...]
    ratio: float


@dataclass(frozen=True, kw_only=True)
class SloState:
    """An SLO at the snapshot's time. What cannot be said is None or absent, and `why` says why.

    `raw` is `counts` with what was excluded, where exclusions concern the SLO. `sla_budget_remaining` is the share left
    of what the `sla_target` allows. `totals` is None where events are not counted since the beginning. `sources` are
    those that its events come from, empty where they are unknown. `spent`: the series that spent most of the budget.
    `noun`: what its events are called, in the plural.
    """

    slo: Slo
    status: SloStatus
    why: str
    counts: Mapping[str, EventCounts]
    raw: Mapping[str, EventCounts] = field(default_factory=dict)
    attainment: float | None
    budget_remaining: float | None
    budget_remaining_events: float | None
    sla_budget_remaining: float | None = None
    burn_rates: Mapping[str, float]
    time_to_exhaustion_seconds: float | None
    coverage: float
    totals: EventCounts | None
    sources: frozenset[str] = frozenset()
    spent: tuple[Spent, ...] = ()
    noun: str = "events"

    @property
    def attained(self) -> str:
        """The attainment in words, with the raw one beside it where exclusions concern the SLO."""
        own = "no value" if self.attainment is None else share_text(self.attainment)
        raw = self.raw.get(self.slo.window.label)
        return own if raw is None or not raw.total else f"{own} (raw {share_text(float(raw.good / raw.total))})"


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """A source at the snapshot's time."""

    name: str
    type: str
    fresh: bool
    staleness_seconds: float | None
    last_success_at: datetime | None
    last_run_at: datetime | None
    last_duration_seconds: float | None
    last_succeeded: bool | None
    error: str | None
    events_total: int
    rejected_total: int
    newest_event_at: datetime | None
    warnings: tuple[str, ...] = ()
    truncations: tuple[str, ...] = ()
    truncated_total: int = 0
    removed_total: int = 0
    requests_total: int = 0
    failure: str | None = None
    quota: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    """By the limit's own name: how many requests are left of how many."""


@dataclass(frozen=True, kw_only=True)
class PushState:
    """How sending metrics to a destination fares, as this process knows: `succeeded` is None before the first try."""

    kind: str
    failures: int = 0
    succeeded: bool | None = None
    last_success_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class OwnHealth:
    """How this process fares, beside the numbers that it publishes. What was not looked at yet is None.

    `clock_ahead_seconds`: by how much the database's clock is ahead of ours; None where it has no other. `waiting`:
    deliveries of webhooks that are not written yet, and for how long the first of them waits. `evaluated`: whether the
    last evaluation succeeded. `reports`: by delivery of the weekly summary, what became of its newest week.
    """

    writable: bool | None = None
    clock_ahead_seconds: float | None = None
    free_bytes: int | None = None
    size_bytes: int | None = None
    waiting: int | None = None
    waiting_seconds: float | None = None
    evaluated: bool | None = None
    evaluation_failures: int = 0
    reports: Mapping[str, str] = field(default_factory=dict)


class _MadeOf(NamedTuple):
    """The parts of a snapshot, and what of it they make up."""

    numbers: tuple[Number, ...]
    accounting: tuple[Accounting, ...]
    totals: Mapping[tuple[str, Subject, str], float]
    parts: tuple[Part, ...]

    def still(self, numbers: object, accounting: object, totals: object) -> bool:
        """True where these are the same objects."""
        return self.numbers is numbers and self.accounting is accounting and self.totals is totals


class _Counted(Mapping[tuple[str, Subject, str], float]):
    """The totals of some parts by indicator, subject and dimension; put together when somebody asks."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    @cached_property
    def _all(self) -> dict[tuple[str, Subject, str], float]:
        return {(p.indicator, p.subject, dimension): n for p in self._parts for dimension, n in p.totals}

    def __getitem__(self, key: tuple[str, Subject, str]) -> float:
        return self._all[key]

    def __iter__(self) -> Iterator[tuple[str, Subject, str]]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything Paceline knows at one time."""

    at: datetime
    numbers: tuple[Number, ...] = ()
    accounting: tuple[Accounting, ...] = ()
    slos: tuple[SloState, ...] = ()
    sources: tuple[SourceState, ...] = ()
    totals: Mapping[tuple[str, Subject, str], float] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    """The catalogue."""
    scores: Mapping[tuple[Subject, str], Mapping[str, float]] = field(default_factory=dict)
    """Quick Check scores from 0 to 10 by subject and window, then by indicator and mean."""
    industry: Mapping[str, float] = field(default_factory=dict)
    """The industry's mean scores of the benchmark's year by indicator and mean; empty for a year without."""
    thresholds: Mapping[str, Mapping[tuple[str, Severity], Decimal]] = field(default_factory=dict)
    """By SLO, long window and severity, the burn rate above which its alerts fire."""
    excluding: Mapping[str, bool] = field(default_factory=dict)
    """By SLO that an exclusion concerns, whether one leaves out what happens at this time."""
    unmatched: Mapping[str, int] = field(default_factory=dict)
    """By kind, how many names no rule of the catalogue knows."""
    suppressed: Mapping[str, frozenset[Cell]] = field(default_factory=dict)
    """By indicator about people, what is withheld because it, or what it would reveal, concerns too few."""
    restatements: Mapping[str, float] = field(default_factory=dict)
    """By indicator, how many published units changed later."""
    forgotten: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By kind of which old events are not kept, how many were deleted, and how many came when they were too old."""
    pushes: tuple[PushState, ...] = ()
    """Where metrics are sent, besides being scraped."""
    duration_seconds: float = 0.0
    leads: bool | None = None
    """Of several replicas, that this one exposes; None where there is no other."""
    made_of: _MadeOf | None = field(default=None, repr=False, compare=False)
    """The parts that it was made of, so that they stay the same objects in a copy with something added."""

    @classmethod
    def of(cls, parts: Iterable[Part], **rest: Any) -> Self:
        """A snapshot with the numbers, accounting and totals of some parts, which it keeps as they are."""
        kept = tuple(parts)
        numbers = tuple(chain.from_iterable(map(attrgetter("numbers"), kept)))
        accounting = tuple(chain.from_iterable(map(attrgetter("accounting"), kept)))
        totals = _Counted(kept)
        made_of = _MadeOf(numbers, accounting, totals, kept)
        return cls(numbers=numbers, accounting=accounting, totals=totals, made_of=made_of, **rest)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Numbers, accounting and totals by indicator and subject, in the order in which they first appear."""
        if self.made_of is not None and self.made_of.still(self.numbers, self.accounting, self.totals):
            return self.made_of.parts
        whose = attrgetter("indicator", "subject")
        found: dict[tuple[str, Subject], tuple[list[Number], list[Accounting], list[tuple[str, float]]]] = {}
        for key, numbers in groupby(self.numbers, whose):
            found.setdefault(key, ([], [], []))[0].extend(numbers)
        for key, accounting in groupby(self.accounting, whose):
            found.setdefault(key, ([], [], []))[1].extend(accounting)
        for (name, subject, dimension), total in self.totals.items():
            found.setdefault((name, subject), ([], [], []))[2].append((dimension, total))
        return tuple(Part(*key, tuple(n), tuple(a), tuple(t)) for key, (n, a, t) in found.items())

    def number(self, indicator: str, subject: Subject, window: str, dimension: str = "") -> Number | None:
        """The number of an indicator, or None where there is none."""
        wanted = (indicator, subject, window, dimension)
        return next((n for n in self.numbers if (n.indicator, n.subject, n.window, n.dimension) == wanted), None)

    def beside(self, number: Number) -> Accounting | None:
        """What stands beside a number."""
        wanted = (number.indicator, number.subject, number.window)
        found = {a.dimension: a for a in self.accounting if (a.indicator, a.subject, a.window) == wanted}
        return found.get(number.dimension) or found.get("")
