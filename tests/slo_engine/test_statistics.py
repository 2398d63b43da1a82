"""Quantiles and intervals against SciPy's own and against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from slo_engine.catalog import QUANTILES
from slo_engine.statistics import (
    described,
    kaplan_meier,
    median_interval,
    ordered_interval,
    ordered_quantiles,
    quantiles,
    sifted,
    wilson,
)


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


@pytest.mark.parametrize("n", [0, 1, 7, 1_999, 2_000, 2_001, 2_041, 10_000])
@pytest.mark.parametrize("different", [3, 10**9])
def test_what_is_looked_at_among_sifted_values_is_as_if_all_were_sorted(n: int, different: int) -> None:
    """Of few values and of many, of values that are mostly the same and of others."""
    values = np.random.default_rng(n).integers(0, different, n).astype(np.float64)

    found = sifted(values, QUANTILES)

    assert ordered_quantiles(found, QUANTILES) == quantiles(values, QUANTILES)
    assert ordered_interval(found) == median_interval(values)


@pytest.mark.parametrize("sizes", [(), (0,), (0, 0), (1,), (5, 6), (0, 7, 0, 1, 40, 2, 0), (3, 1_999, 2_500, 12, 0)])
def test_stretches_that_are_described_together_say_what_each_says_alone(sizes: tuple[int, ...]) -> None:
    """To the last digit: the quantiles, and behind them the interval of the median where there is one."""
    draw = np.random.default_rng(1)
    rows = [np.sort(draw.lognormal(10, 3, size)) for size in sizes]

    found = described(np.concatenate([[], *rows]), sizes, QUANTILES)

    intervals = [ordered_interval(row) for row in rows]
    alone = [ordered_quantiles(row, QUANTILES) for row in rows]
    assert [list(f.items()) for f in found] == [
        [*one.items(), *zip(("low", "high"), ends or (), strict=False)]
        for one, ends in zip(alone, intervals, strict=True)
    ]


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
    assert 1 - 2 * scipy.stats.binom.cdf(rank - 1, n, 0.5) >= 0.95
    assert 1 - 2 * scipy.stats.binom.cdf(rank, n, 0.5) < 0.95
    assert rank == scipy.stats.binom.ppf(0.025, n, 0.5)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_what_scipy_computes(trial: tuple[int, int]) -> None:
    """Wilson's score interval, without continuity correction."""
    successes, n = trial
    expected = scipy.stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")

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


# --- durations of which some are still under way ----------------------------------------------------------

# Freireich et al. 1963, weeks in remission, the textbook example of Kaplan and Meier's curve. Published for it (SAS
# PROC LIFETEST and R's survfit with log-log intervals): treated: median 23, interval 13 to none; control: median 8,
# interval 4 to 11. Of the treated, 9 of 21 are over; their curve stays at 0.4482, so that it has no third quartile.
TREATED: tuple[list[float], list[float]] = (
    [6, 6, 6, 7, 10, 13, 16, 22, 23],
    [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35],
)
CONTROL: tuple[list[float], list[float]] = (
    [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23],
    [],
)


def survival(over: list[float], under_way: list[float]) -> dict[str, float]:
    """What Kaplan and Meier's estimate says of durations that are over, and of those under way so far."""
    durations = np.array([*over, *under_way], dtype=np.float64)
    return kaplan_meier(durations, np.arange(durations.size) < len(over))


@pytest.mark.parametrize(
    ("weeks", "published"),
    [(TREATED, {"p50": 23.0, "low": 13.0}), (CONTROL, {"p50": 8.0, "p75": 12.0, "low": 4.0, "high": 11.0})],
    ids=["treated", "control"],
)
def test_the_published_example_of_a_survival_curve(
    weeks: tuple[list[float], list[float]], published: dict[str, float]
) -> None:
    """Medians and intervals are those in print, and what the curve or its band does not reach is absent."""
    assert survival(*weeks) == published


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=60))
def test_a_survival_curve_is_what_scipy_computes(known: list[tuple[int, bool]]) -> None:
    """The first times at which half and a quarter at most are left, whatever ends and whatever is still under way."""
    over, going_on = ([float(time) for time, ended in known if ended is wanted] for wanted in (True, False))
    curve = scipy.stats.ecdf(scipy.stats.CensoredData(over, right=going_on)).sf
    shares = {"p50": 0.5, "p75": 0.25}
    reached = {name: curve.quantiles[curve.probabilities <= share + 1e-12] for name, share in shares.items()}
    found = survival(over, going_on)

    expected = {name: times[0] for name, times in reached.items() if times.size and over}
    assert {name: value for name, value in found.items() if name in shares} == expected


def test_who_is_still_on_the_way_counts() -> None:
    """Ten are there after 20, 21 … 24 days and four wait for 30: half are there at 23, not at the completers' 22.

    Of 14, each of the ten takes 1/14 away: after two on each of five days 12, 10, 8, 6, 4 of 14 are left; half, 7 of
    14, is first undershot on day 23, with 6 of 14. Completers only would have said 22.
    """
    there = [20.0, 20.0, 21.0, 21.0, 22.0, 22.0, 23.0, 23.0, 24.0, 24.0]

    assert survival(there, [30.0] * 4)["p50"] == 23.0


def test_a_median_that_few_have_reached_is_absent() -> None:
    """Where one of four is there nothing says when half will be, only that it may have been no sooner than that.

    3/4 are left with the variance 1/(4 * 3): the band's lower end 0.75 ** exp(1.96 * 0.289 / 0.288) is 0.13.
    """
    assert survival([3.0], [5.0, 5.0, 5.0]) == {"low": 3.0}


def test_nobody_there_yet_has_no_time() -> None:
    """Durations that are all under way have no quantile; no durations have none either."""
    assert survival([], [5.0, 6.0]) == {}
    assert survival([], []) == {}


def test_an_unknown_duration_is_left_out() -> None:
    """What has no value tells nothing of the others."""
    assert survival([float("nan"), 7.0], [float("nan")]) == survival([7.0], [])


def test_one_duration_has_no_interval() -> None:
    """A curve that falls from all to none at once has a median, and no band to cross."""
    assert survival([7.0], []) == {"p50": 7.0, "p75": 7.0}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_without_anyone_on_the_way_it_is_the_plain_median(durations: list[int]) -> None:
    """Where all are there, the median is the first time at which at least half are."""
    ordered = sorted(durations)

    assert survival([float(d) for d in durations], [])["p50"] == ordered[(len(ordered) - 1) // 2]
