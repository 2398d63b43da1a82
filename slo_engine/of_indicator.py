"""The stored series of one indicator alone: a reader of these is ready at once. Reads the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from collector.store import Judge, ObservationStore, Series, Tally
from slo_engine.organisation import Organisation


def narrowed(store: ObservationStore, indicator: str, organisation: Organisation) -> ObservationStore:
    """A store that holds no series but those of an indicator, where that changes no number of it.

    Without teams in the catalogue, those that any observation names decide whether there are levels.
    """
    return OfIndicator(store, indicator) if any(s.team for s in organisation.services) else store


class OfIndicator(ObservationStore):
    """The series of one indicator in a store, as if there were no others."""

    def __init__(self, store: ObservationStore, indicator: str) -> None:
        self._whole, self._indicator = store, indicator

    def series(self, indicator: str | None = None, among: Iterable[int] | None = None) -> dict[int, Series]:
        """As of the store, of the one indicator."""
        return self._whole.series(indicator or self._indicator, among)

    def since(self, after: Mapping[int, int], *names: str) -> Iterator[list[tuple[Any, ...]]]:
        """As of the store."""
        return self._whole.since(after, *names)

    def tallies(self, series_ids: Iterable[int], until: int, ripe_at: int, judge: Judge) -> dict[int, Tally]:
        """As of the store."""
        return self._whole.tallies(series_ids, until, ripe_at, judge)
