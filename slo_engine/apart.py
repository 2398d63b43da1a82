"""The parts of a snapshot that another process evaluates, as bytes: each time those that are others than before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from collector.store import ObservationStore
from slo_engine.evaluate import Evaluator, Wanted
from slo_engine.exposition import LineWriter
from slo_engine.observation import Subject
from slo_engine.organisation import Organisation
from slo_engine.segments import Piece
from slo_engine.snapshot import Accounting, Number, Part


class _Number(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A number without what is known of its part."""

    window: str
    dimension: str
    n: int
    stats: Mapping[str, float]


class _Accounting(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What stands beside numbers, without what is known of its part."""

    window: str
    dimension: str
    pending: int
    excluded: Mapping[str, int]
    coverage: float | None


class _Told(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A part that changed, by its place among those of its indicator.

    A row that stays is told by where it stood. `metrics` are those that have lines, `lines` what changed of them.
    """

    place: int
    numbers: list[int | _Number]
    accounting: list[int | _Accounting]
    metrics: list[str]
    lines: dict[str, Piece]


class News(msgspec.Struct, array_like=True, frozen=True):
    """What is new of an indicator: by place those parts that changed; whose the places are, where that changed."""

    subjects: list[Subject] | None
    parts: list[_Told]


class Apart:
    """Evaluates what it is asked for again and again, and tells what is new. In the other process."""

    def __init__(self, store: ObservationStore) -> None:
        self._store = store
        self._begin_anew(0)

    def _begin_anew(self, whose: int) -> None:
        self._whose, self._evaluator = whose, Evaluator(self._store, lines=LineWriter())
        self._told: dict[str, Mapping[Subject, Part]] = {}

    def answer(self, wanted: Wanted, organisation: Organisation) -> Iterator[tuple[str, News]]:
        """What is new by indicator, one after the other; all of it for who asks for the first time. Raises StoreError.

        Each is told when it is evaluated, and all of them must be taken.
        """
        if wanted.whose != self._whose:
            self._begin_anew(wanted.whose)
        before, self._told = self._told, {}
        for name, found in self._evaluator.parts(wanted, organisation):
            self._told[name] = found
            yield name, _news(before.get(name), found)


_NO_PART = Part("", Subject())


def _news(before: Mapping[Subject, Part] | None, now: Mapping[Subject, Part]) -> News:
    if before is None or before.keys() != now.keys() or list(before) != list(now):
        return News(list(now), [_told(n, _NO_PART, part) for n, part in enumerate(now.values())])
    pairs = enumerate(zip(before.values(), now.values(), strict=True))
    return News(None, [_told(n, old, new) for n, (old, new) in pairs if new is not old])


def _told(place: int, before: Part, now: Part) -> _Told:
    numbers: dict[int, int] = {id(row): n for n, row in enumerate(before.numbers)}
    beside: dict[int, int] = {id(row): n for n, row in enumerate(before.accounting)}
    return _Told(
        place,
        [numbers[id(r)] if id(r) in numbers else _Number(r.window, r.dimension, r.n, r.stats) for r in now.numbers],
        [
            beside[id(r)] if id(r) in beside else _Accounting(r.window, r.dimension, r.pending, r.excluded, r.coverage)
            for r in now.accounting
        ],
        list(now.lines),
        {name: piece for name, piece in now.lines.items() if before.lines.get(name) is not piece},
    )


class Mirror:
    """What another process evaluates, as it told."""

    def __init__(self, whose: int) -> None:
        self.whose = whose
        self.parts: Mapping[str, Mapping[Subject, Part]] = {}
        self._heard: dict[str, Mapping[Subject, Part]] = {}

    def hear(self, name: str, news: News) -> None:
        """Have what is new of an indicator."""
        self._heard[name] = _after(name, self.parts.get(name, {}), news)

    def heard(self) -> None:
        """Hear that this was all."""
        self.parts, self._heard = self._heard, {}


def _after(name: str, known: Mapping[Subject, Part], news: News) -> Mapping[Subject, Part]:
    """The parts of an indicator after what is new of it."""
    if news.subjects is not None:
        return {s: _part(name, s, _NO_PART, told) for s, told in zip(news.subjects, news.parts, strict=True)}
    subjects, found = list(known), dict(known)
    for told in news.parts:
        subject = subjects[told.place]
        found[subject] = _part(name, subject, found[subject], told)
    return found


def _part(name: str, subject: Subject, before: Part, told: _Told) -> Part:
    """A part after the one before."""
    numbers = [before.numbers[r] if isinstance(r, int) else _number(name, subject, r) for r in told.numbers]
    beside = [before.accounting[r] if isinstance(r, int) else _accounting(name, subject, r) for r in told.accounting]
    lines = {metric: told.lines.get(metric) or before.lines[metric] for metric in told.metrics}
    return Part(name, subject, tuple(numbers), tuple(beside), lines=lines)


def _number(name: str, subject: Subject, told: _Number) -> Number:
    return Number(
        indicator=name,
        subject=subject,
        window=told.window,
        dimension=told.dimension,
        n=told.n,
        stats=told.stats,
    )


def _accounting(name: str, subject: Subject, told: _Accounting) -> Accounting:
    return Accounting(
        indicator=name,
        subject=subject,
        window=told.window,
        dimension=told.dimension,
        pending=told.pending,
        excluded=told.excluded,
        coverage=told.coverage,
    )
