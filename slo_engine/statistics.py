"""Quantiles and intervals over arrays. Pure.

One percentile method everywhere: linear interpolation between order statistics (Hyndman and Fan's type 7), so the
median of 1, 2, 3, 4 is 2.5. Intervals are at 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special

CONFIDENCE = 0.95
_TAIL = (1 - CONFIDENCE) / 2
_Z = float(special.ndtri(1 - _TAIL))


def quantiles(values: NDArray[np.float64], wanted: Mapping[str, float]) -> dict[str, float]:
    """The quantiles of some values, by name; nothing for no values."""
    if values.size == 0:
        return {}
    found = np.quantile(values, list(wanted.values()))
    return dict(zip(wanted, map(float, found), strict=True))


def median_interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """The order-statistic interval of the median, at least 95 %; None below six values, where none exists.

    It assumes nothing about the distribution: the number of values below the median is binomial(n, 1/2).
    """
    n = values.size
    rank = _lower_rank(n)
    if rank < 1:
        return None
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[n - rank])


def _lower_rank(n: int) -> int:
    """The largest rank r with P(binomial(n, 1/2) < r) ≤ 2.5 %; 0 where there is none."""
    if n == 0:
        return 0
    # bdtrik inverts the binomial distribution in its count; the smallest count that reaches the tail is the rank.
    return max(int(np.ceil(special.bdtrik(_TAIL, n, 0.5) - 1e-9)), 0)


def wilson(successes: int, n: int) -> tuple[float, float] | None:
    """Wilson's score interval of a share (Wilson 1927), within 0 to 1; None without a trial."""
    if n == 0:
        return None
    share, spread = successes / n, _Z * _Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * float(np.sqrt(share * (1 - share) / n + spread / (4 * n)))
    return max(0.0, middle - half), min(1.0, middle + half)
