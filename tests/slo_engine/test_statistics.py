"""Quantiles and intervals against SciPy's own and against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slo_engine.statistics import median_interval, quantiles, wilson


def test_the_median_of_four_lies_between() -> None:
    """The median of 1, 2, 3, 4 is 2.5, and the 90th percentile 3.7."""
    values = np.array([4.0, 1.0, 3.0, 2.0])

    assert quantiles(values, {"p50": 0.5, "p90": 0.9}) == {"p50": 2.5, "p90": pytest.approx(3.7)}


def test_one_value_is_every_quantile() -> None:
    """Of one value each quantile is that value."""
    assert quantiles(np.array([7.0]), {"p50": 0.5, "p95": 0.95}) == {"p50": 7.0, "p95": 7.0}


def test_no_values_have_no_quantile() -> None:
    """No data is no value: nothing, not 0."""
    assert quantiles(np.array([]), {"p50": 0.5}) == {}


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_are_of_type_seven(values: list[float], q: float) -> None:
    """Linear interpolation between order statistics, in any order of the values."""
    ordered = sorted(values)
    at = (len(ordered) - 1) * q
    low = ordered[int(at)]
    high = ordered[min(int(at) + 1, len(ordered) - 1)]

    found = quantiles(np.array(values), {"q": q})["q"]

    assert found == pytest.approx(low + (high - low) * (at - int(at)), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("n", range(6))
def test_few_values_have_no_interval(n: int) -> None:
    """Below six values no interval of the median reaches 95 %."""
    assert median_interval(np.arange(float(n))) is None


def test_six_values_have_their_whole_range() -> None:
    """Of six values, smallest and largest cover the median with 1 - 2/64 = 96.9 %."""
    assert median_interval(np.array([6.0, 1.0, 5.0, 2.0, 4.0, 3.0])) == (1.0, 6.0)


@pytest.mark.parametrize("n", [6, 7, 8, 9, 10, 11, 12, 17, 30, 99, 100, 999, 1000, 4001, 100_000])
def test_the_interval_is_the_narrowest_that_covers(n: int) -> None:
    """The ranks cover the median with at least 95 %, and one rank narrower they would not."""
    interval = median_interval(np.arange(1.0, n + 1))

    assert interval is not None
    rank = int(interval[0])
    assert interval[1] == n + 1 - rank
    assert 1 - 2 * stats.binom.cdf(rank - 1, n, 0.5) >= 0.95
    assert 1 - 2 * stats.binom.cdf(rank, n, 0.5) < 0.95
    assert rank == stats.binom.ppf(0.025, n, 0.5)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_what_scipy_computes(trial: tuple[int, int]) -> None:
    """Wilson's score interval, without continuity correction."""
    successes, n = trial
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")

    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "low", "high"), [(6, 0.125, 0.465), (4, 0.070, 0.371)])
def test_wilson_of_a_published_comparison(successes: int, low: float, high: float) -> None:
    """6/23 against 4/23 → intervals 12.5 to 46.5 % and 7.0 to 37.1 %."""
    assert wilson(successes, 23) == pytest.approx((low, high), abs=5e-4)


def test_no_trial_has_no_interval() -> None:
    """Without a trial there is no share and no interval."""
    assert wilson(0, 0) is None


@given(st.integers(1, 10**9))
def test_wilson_stays_within_zero_and_one(n: int) -> None:
    """All good or all bad never leaves 0 to 1, however many there are."""
    none, every = wilson(0, n), wilson(n, n)

    assert none is not None
    assert every is not None
    assert none[0] == pytest.approx(0, abs=1e-12)
    assert every[1] == pytest.approx(1, abs=1e-12)
    assert 0 <= none[0] < none[1] <= 1
    assert 0 <= every[0] < every[1] <= 1
