"""The different numbers of an array."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slo_engine.distinct import distinct


@given(numbers=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3)))
def test_every_number_is_there_once_and_in_order(numbers: list[int]) -> None:
    """Also of none, of one, and of the largest there are."""
    found = distinct(np.array(numbers, dtype=np.uint64))

    assert found.tolist() == sorted(set(numbers))
    assert found.dtype == np.dtype(np.uint64)
