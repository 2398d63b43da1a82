"""The parts of a snapshot that another process evaluates, as bytes: each time those that are others than before."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from collector.store import ObservationStore
from slo_engine.evaluate import Evaluator, Wanted
from slo_engine.exposition import LineWriter
from slo_engine.observation import Subject
from slo_engine.organisation import Organisation
from slo_engine.snapshot import Part


class News(msgspec.Struct, array_like=True, frozen=True):
    """What is new of an indicator: by place those parts that changed; whose the places are, where that changed."""

    subjects: list[Subject] | None
    parts: list[tuple[int, Part]]


class Apart:
    """Evaluates what it is asked for again and again, and tells what is new. In the other process."""

    def __init__(self, store: ObservationStore) -> None:
        self._store = store
        self._begin_anew(0)

    def _begin_anew(self, whose: int) -> None:
        self._whose, self._evaluator = whose, Evaluator(self._store, lines=LineWriter())
        self._told: Mapping[str, Mapping[Subject, Part]] = {}

    def answer(self, wanted: Wanted, organisation: Organisation) -> dict[str, News]:
        """What is new by indicator; all of it for who asks for the first time. Raises StoreError."""
        if wanted.whose != self._whose:
            self._begin_anew(wanted.whose)
        found, before = self._evaluator.parts(wanted, organisation), self._told
        self._told = found
        return {name: _news(before.get(name), own) for name, own in found.items()}


def _news(before: Mapping[Subject, Part] | None, now: Mapping[Subject, Part]) -> News:
    subjects = list(now)
    if before is None or list(before) != subjects:
        return News(subjects, list(enumerate(now.values())))
    return News(None, [(n, now[subject]) for n, subject in enumerate(subjects) if now[subject] is not before[subject]])


class Mirror:
    """What another process evaluates, as it told."""

    def __init__(self, whose: int) -> None:
        self.whose = whose
        self.parts: dict[str, Mapping[Subject, Part]] = {}

    def hear(self, told: Mapping[str, News]) -> None:
        """Have what is new."""
        self.parts = {name: _after(self.parts.get(name, {}), news) for name, news in told.items()}


def _after(known: Mapping[Subject, Part], news: News) -> Mapping[Subject, Part]:
    """The parts of an indicator after what is new of it."""
    if news.subjects is not None:
        return dict(zip(news.subjects, (part for _, part in news.parts), strict=True))
    subjects, found = list(known), dict(known)
    found.update((subjects[place], part) for place, part in news.parts)
    return found
