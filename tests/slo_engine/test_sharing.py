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
APART = {number: [number] for number in range(12)}
"""Series that share nothing."""
changes = st.dictionaries(st.integers(0, 11), st.lists(st.integers(11, 14), max_size=2) | st.none(), max_size=3)
"""Some series with other units than before; without any where the series goes."""


def naive(units: Told) -> set[int]:
    """The series with a unit that is there more than once."""
    count = Counter(unit for own in units.values() for unit in own)
    return {number for number, own in units.items() if any(count[unit] > 1 for unit in own)}


@given(steps=st.lists(changes, max_size=6))
def test_asked_again_the_same_series_share(steps: Sequence[Mapping[int, Sequence[int] | None]]) -> None:
    """Series come, go, change and stay; what is found is what a look at everything finds."""
    units, known = {number: np.array(own, dtype=np.int64) for number, own in APART.items()}, Sharing()
    for step in [{}, *steps]:
        units |= {number: np.array(own, dtype=np.int64) for number, own in step.items() if own is not None}
        units = {number: own for number, own in units.items() if step.get(number, own) is not None}

        assert known.among(units) == naive({number: own.tolist() for number, own in units.items()})


def test_of_what_stays_nothing_is_looked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One series has a new unit that no other has → the others are not sorted again."""
    units = {number: np.array([number, 10 + number], dtype=np.int64) for number in range(5)}
    known = Sharing()
    known.among(units)
    monkeypatch.setattr(sharing, "_looked_through", None)
    units[3] = np.array([3, 13, 99], dtype=np.int64)

    assert known.among(units) == set()
