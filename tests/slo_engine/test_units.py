"""What is held of many series at once: pools in the order of time, and histograms side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slo_engine.histograms import Histograms, counted
from slo_engine.reading import Span, cuts_of
from slo_engine.units import ALL_TIME, CODES, NEVER, Ints, Pool, Rows, joined, units_of

SERIES = range(12)
"""More than are put in order anew at once."""
times = st.lists(st.integers(0, 50), max_size=6).map(sorted)


class Change(NamedTuple):
    """From a time on a series has these units; all are gone where it says so. A pool need not see every change."""

    number: int
    start: int
    times: list[int]
    gone: bool
    seen: bool


changes = st.lists(
    st.builds(
        Change, st.sampled_from(SERIES), st.integers(0, 50), times, st.sampled_from([False] * 5 + [True]), st.booleans()
    )
)


class Held:
    """Some series as they are now, and what changed last of each."""

    def __init__(self, first: Mapping[int, list[int]]) -> None:
        self.series = {number: rows_at(at) for number, at in first.items()}
        self.earlier: dict[int, tuple[Rows, int]] = {}

    def change(self, change: Change) -> None:
        """Have other units from a time on."""
        before = self.series.pop(change.number, joined(()))
        if not change.gone:
            after = rows_at([at for at in change.times if at >= change.start])
            self.series[change.number] = joined([before.split(change.start)[0], after])
            self.earlier[change.number] = before, change.start

    def changed_from(self, number: int, rows: Rows) -> int:
        """From what time on a series has other rows than these."""
        before, start = self.earlier[number]
        return start if before is rows else ALL_TIME


def rows_at(at: list[int]) -> Rows:
    """Rows at some times, each with its time as its value."""
    size = len(at)
    ints, codes = np.array(at, dtype=np.int64), np.zeros(size, dtype=np.int16)
    return Rows(ints, ints.astype(np.float64)[np.newaxis], codes, codes, np.full(size, ALL_TIME), ints)


def held(pool: Pool) -> list[tuple[int, int, float]]:
    """The rows of a pool: when, of which series, and the value."""
    return sorted(zip(pool.rows.at.tolist(), pool.owner.tolist(), pool.rows.values[0].tolist(), strict=True))


@given(first=st.fixed_dictionaries(dict.fromkeys(SERIES, times)), changes=changes)
def test_a_pool_that_is_filled_again_holds_what_one_filled_at_once_does(
    first: dict[int, list[int]], changes: list[Change]
) -> None:
    """Whatever changes, comes or goes between two fillings, and whether or not each change was seen."""
    known, again, at_once = Held(first), Pool(), Pool()
    again.fill(known.series, known.changed_from)
    for change in changes:
        known.change(change)
        if change.seen:
            again.fill(known.series, known.changed_from)
    again.fill(known.series, known.changed_from)
    at_once.fill(known.series, known.changed_from)

    assert held(again) == held(at_once)
    assert again.rows.at.tolist() == sorted(again.rows.at.tolist())


def test_a_pool_goes_on_in_its_room() -> None:
    """A row that comes at the end is put behind the others, which stay where they are."""
    known, pool = Held({number: list(range(10)) for number in SERIES}), Pool()
    pool.fill(known.series, known.changed_from)
    before = pool.rows.at

    known.change(Change(3, 40, [45], gone=False, seen=True))
    pool.fill(known.series, known.changed_from)

    assert np.shares_memory(before, pool.rows.at)
    assert pool.rows.at[-1] == 45


def of_one_span(*counts: int) -> list[Ints]:
    """The histogram of one span."""
    return [np.array(counts, dtype=np.int64)]


def test_histograms_of_several_series_are_added_up() -> None:
    """They hold as long as all of them do; a set without any holds for ever."""
    known = Histograms(spans=1, width=2)
    places = known.places([7, 9])
    known.put(places[0], of_one_span(1, 2), until=50)
    known.put(places[1], of_one_span(10, 20), until=40)

    pooled, until = known.pooled([[], [7, 9], [7], []])

    assert pooled.tolist() == [[[0, 0]], [[11, 22]], [[1, 2]], [[0, 0]]]
    assert until.tolist() == [NEVER, 40, 50, NEVER]


def test_a_forgotten_series_is_asked_for_again() -> None:
    """Others are not."""
    known = Histograms(spans=1, width=2)
    for place in known.places([7, 9]):
        known.put(place, of_one_span(1, 2), until=NEVER)

    known.forget(9)

    assert known.expired(known.places([7, 9]), now=0) == [1]


def test_histograms_expire_when_time_says_so() -> None:
    """Until when they hold is exclusive."""
    known = Histograms(spans=1, width=2)
    places = known.places([7])
    known.put(places[0], of_one_span(1, 2), until=50)

    assert (known.expired(places, now=49), known.expired(places, now=50)) == ([], [0])


def test_many_series_find_room() -> None:
    """However many there are, each keeps its own."""
    known, numbers = Histograms(spans=1, width=1), list(range(5_000))
    places = known.places(numbers)
    for place, number in zip(places, numbers, strict=True):
        known.put(place, of_one_span(number), until=NEVER)

    sets = [[n, n + 1] for n in numbers[:-1]]
    assert known.pooled(sets)[0].tolist() == [[[a + b]] for a, b in sets]
    assert known.pooled([numbers])[0].tolist() == [[[sum(numbers)]]]


SPANS = [Span(20, 40, "short"), Span(0, 40, "long"), Span(0, 60, "beyond")]
_units = st.lists(st.tuples(st.integers(-9, 60), st.sampled_from(range(len(CODES))), st.integers(0, 2)), max_size=6)


def rows_of(units: list[tuple[int, int, int]]) -> Rows:
    """Final rows, each with its time, its outcome and its reason."""
    at, outcome, reason = np.array(sorted(units), dtype=np.int64).reshape(-1, 3).T
    final = rows_at(at.tolist())
    return final._replace(
        outcome=outcome.astype(np.int16), reason=reason.astype(np.int16), ripe_at=ALL_TIME, waits=False
    )


@given(st.lists(_units, min_size=1, max_size=5))
def test_histograms_of_many_series_are_those_of_each(several: list[list[tuple[int, int, int]]]) -> None:
    """Counted in one look, they are what each series has, and hold as long."""
    now, width, series = 50, len(CODES) + 3, [rows_of(units) for units in several]
    found, until = counted(series, [span[:2] for span in SPANS], now, width)

    each = [units_of(rows, now, None, 0) for rows in series]
    cuts = [cuts_of(units, SPANS, now) for units in each]

    assert found.tolist() == [
        np.array(units.histograms(own, width)).tolist() for units, (own, _) in zip(each, cuts, strict=True)
    ]
    assert until.tolist() == [until for _, until in cuts]
