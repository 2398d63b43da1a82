"""Quantiles and intervals over arrays. Pure.

One percentile method everywhere: linear interpolation between order statistics (Hyndman and Fan's type 7), so the
median of 1, 2, 3, 4 is 2.5. Intervals are at 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CONFIDENCE = 0.95
_TAIL = (1 - CONFIDENCE) / 2
MANY = 2_000
"""Fewer values are sorted as fast as they are sifted."""
_NOISE = 1e-12
"""What multiplying some hundred floats may add."""
DEVIATIONS = 1.959963984540054
"""So many standard deviations to each side hold that share of a normal distribution."""


def quantiles(values: NDArray[np.float64], wanted: Mapping[str, float]) -> dict[str, float]:
    """The quantiles of some values, by name; nothing for no values."""
    return ordered_quantiles(np.sort(values), wanted)


def ordered_quantiles(ordered: NDArray[np.float64], wanted: Mapping[str, float]) -> dict[str, float]:
    """The quantiles of values that are in ascending order, by name; nothing for no values."""
    last = ordered.size - 1
    if last < 0:
        return {}
    return {name: _between(ordered, last * share) for name, share in wanted.items()}


def described(ordered: Floats, sizes: Sequence[int], wanted: Mapping[str, float]) -> list[dict[str, float]]:
    """Of stretches of values, each in ascending order, the quantiles, and the ends of the median's interval.

    Digit by digit what `ordered_quantiles` and, as `low` and `high`, `ordered_interval` say of each alone. `sizes`: how
    many values are in each.
    """
    if not ordered.size:
        return [{} for _ in sizes]
    size, least, latest = np.array(sizes), np.array([_lower_rank(n) for n in sizes]), ordered.size - 1
    begin = np.cumsum(size) - size
    place = (size - 1)[:, np.newaxis] * np.array(list(wanted.values()))
    rank = place.astype(np.int64)
    share, at = place - rank, np.minimum(begin[:, np.newaxis] + rank, latest)
    low, high = ordered[at], ordered[np.minimum(at + 1, latest)]
    between = np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))  # noqa: PLR2004 - as in `_between`
    found = np.where(share == 0, low, between).tolist()
    ends = ordered[np.minimum(np.stack([begin + least - 1, begin + size - least], axis=1), latest)].tolist()
    few, all_names = tuple(wanted), (*wanted, "low", "high")
    return [
        {} if n == 0 else dict(zip(all_names if rank else few, (*own, *pair), strict=False))
        for n, rank, own, pair in zip(sizes, least.tolist(), found, ends, strict=True)
    ]


def sifted(values: NDArray[np.float64], wanted: Mapping[str, float]) -> NDArray[np.float64]:
    """Values among which those that quantiles and the median's interval look at are where they are in ascending order.

    Of many values that takes a third of sorting all; few are sorted.
    """
    last, rank = values.size - 1, _lower_rank(values.size)
    if values.size < MANY:
        return np.sort(values)
    places = {rank - 1, values.size - rank}
    for share in wanted.values():
        places |= {int(last * share), min(int(last * share) + 1, last)}
    return np.partition(values, sorted(places))


def _between(ordered: NDArray[np.float64], place: float) -> float:
    """The value at a place between two order statistics. From the nearer one, so that it never leaves them."""
    rank = int(place)
    low, share = ordered.item(rank), place - rank
    if share == 0:
        return low
    high = ordered.item(rank + 1)
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)  # noqa: PLR2004 - the nearer


def median_interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """The order-statistic interval of the median, at least 95 %; None below six values, where none exists.

    It assumes nothing about the distribution: the number of values below the median is binomial(n, 1/2).
    """
    return ordered_interval(np.sort(values))


def ordered_interval(ordered: NDArray[np.float64]) -> tuple[float, float] | None:
    """The interval of the median of values that are in ascending order."""
    n = ordered.size
    rank = _lower_rank(n)
    return (ordered.item(rank - 1), ordered.item(n - rank)) if rank >= 1 else None


@lru_cache(maxsize=65_536)
def _lower_rank(n: int) -> int:
    """The largest rank r with P(binomial(n, 1/2) < r) ≤ 2.5 %; 0 where there is none."""
    if n == 0:
        return 0
    # It takes a third of a second to import, and most commands ask for no interval.
    from scipy import special  # noqa: PLC0415

    # bdtrik inverts the binomial distribution in its count; the smallest count that reaches the tail is the rank.
    return max(int(np.ceil(special.bdtrik(_TAIL, n, 0.5) - 1e-9)), 0)


def wilson(successes: float, n: int) -> tuple[float, float] | None:
    """Wilson's score interval of a share (Wilson 1927), within 0 to 1; None without a trial."""
    if n == 0:
        return None
    share, spread = successes / n, DEVIATIONS * DEVIATIONS / n
    middle = (share + spread / 2) / (1 + spread)
    half = DEVIATIONS / (1 + spread) * sqrt(share * (1 - share) / n + spread / (4 * n))
    # It holds the share itself, whatever the last digit of a float says.
    return min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)


def kaplan_meier(durations: Floats, observed: NDArray[np.bool_]) -> dict[str, float]:
    """p50, p75 and the 95 % interval of the median of durations of which some are still under way.

    Kaplan and Meier 1958: the durations of what is not over yet (not `observed`) are what has passed so far. A quantile
    is the first time at which that share is over; one that the curve does not reach is absent. `low` and `high` are
    where the log-log band of the survival function crosses a half (Brookmeyer and Crowley 1982), each absent where it
    does not. Empty without a duration that is over; one that is not known (NaN) is left out.
    """
    known = ~np.isnan(durations)
    durations, observed = durations[known], observed[known]
    if not observed.any():
        return {}
    times = np.unique(durations)
    risk = durations.size - np.searchsorted(np.sort(durations), times, side="left").astype(np.float64)
    ended = np.searchsorted(np.sort(durations[observed]), times, side="right")
    ends = np.diff(ended, prepend=0).astype(np.float64)
    left = np.cumprod((risk - ends) / risk, dtype=np.float64)
    band = _log_log_band(risk, ends, left)
    found = {
        "p50": _first_at_most(times, left, 0.5),
        "p75": _first_at_most(times, left, 0.25),
        "low": _first_at_most(times, band[0], 0.5),
        "high": _first_at_most(times, band[1], 0.5),
    }
    return {name: value for name, value in found.items() if value is not None}


def _log_log_band(risk: Floats, ends: Floats, left: Floats) -> tuple[Floats, Floats]:
    """The band of a survival curve, from Greenwood's variance of log(-log); it says nothing where nobody is left."""
    inside = (left > 0) & (left < 1)
    spread = np.cumsum(np.divide(ends, risk * (risk - ends), out=np.zeros_like(ends), where=risk > ends))
    logs = np.log(left, where=inside, out=np.full_like(left, -1.0))
    half = DEVIATIONS * np.sqrt(spread) / np.abs(logs)
    return np.where(inside, left ** np.exp(half), 1.0), np.where(inside, left ** np.exp(-half), 1.0)


def _first_at_most(times: Floats, left: Floats, share: float) -> float | None:
    """The first time at which at most a share is left; floating-point noise of a product does not hide one."""
    reached = np.flatnonzero(left <= share + _NOISE)
    return float(times[reached[0]]) if reached.size else None
