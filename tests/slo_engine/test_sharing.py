"""Units that several series have, asked for again after some of the series changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo_engine import sharing
from slo_engine.sharing import Sharing

Told = Mapping[int, Sequence[int]]
series = st.dictionaries(st.integers(0, 4), st.lists(st.integers(0, 12), max_size=4), max_size=5)


def naive(units: Told) -> set[int]:
    """The series with a unit that is there more than once."""
    count = Counter(unit for own in units.values() for unit in own)
    return {number for number, own in units.items() if any(count[unit] > 1 for unit in own)}


@given(steps=st.lists(series, max_size=8))
def test_asked_again_the_same_series_share(steps: list[Told]) -> None:
    """Series come, go, change and stay; what is found is what a look at everything finds."""
    held: dict[int, tuple[Sequence[int], np.ndarray]] = {}
    known = Sharing()
    for step in steps:
        for number, own in step.items():
            if number not in held or held[number][0] != own:
                held[number] = own, np.array(own, dtype=np.int64)
        units = {number: held[number][1] for number in step}

        assert known.among(units) == naive(step)


def test_of_what_stays_nothing_is_looked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One series has a new unit that no other has → the others are not sorted again."""
    units = {number: np.array([number, 10 + number], dtype=np.int64) for number in range(5)}
    known = Sharing()
    known.among(units)
    monkeypatch.setattr(sharing, "_looked_through", None)
    units[3] = np.array([3, 13, 99], dtype=np.int64)

    assert known.among(units) == set()
