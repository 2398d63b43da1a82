"""Which target an SLO can keep, judged by its past. Pure.

Failures come in incidents, so events are not independent and a binomial interval over all of them is far too narrow.
Whole days are what is drawn again: many SLO windows are put together from days of the past, and 95 % of them lie in the
interval. Where hardly anything ever failed these would all be perfect; then chance alone says how bad the next window
may be, which is Wilson's bound for as many events. The lower of both is the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_UP, Decimal

import numpy as np

from slo_engine.replay import Floats, History
from slo_engine.slo import Slo
from slo_engine.statistics import CONFIDENCE, wilson
from slo_engine.words import duration_text

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_WEEK, _PARTS = timedelta(days=7), 24
"""A window shorter than a week is put together from so many parts; others from days, which have their own rhythm."""
_RESAMPLES, _AT_ONCE = 2_000, 100
_SEED = 20
"""The same past gives the same suggestion."""
_DIGITS = 2


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A target that an SLO can keep, and the interval of the attainment of a window, at 95 %.

    `method` says what the lower end rests on, `blocks` from how many days (or shorter stretches) of the past.
    """

    target: Decimal
    low: float
    high: float
    method: str
    blocks: int


def suggestion(slo: Slo, history: History) -> tuple[Suggestion | None, str]:
    """The target that the past of an SLO suggests; or None, and why there is none."""
    length = slo.window.length
    block = _DAY if length >= _WEEK else length / _PARTS
    total, bad = _blocks(history, block // _MICROSECOND)
    known = (history.until - history.known_from) * _MICROSECOND
    if known < length * slo.minimum_coverage or not total.size:
        return None, f"events are known for {known / length:.0%} of {slo.window.label} only"
    share_of_time = total.size * block / known
    many = max(1, min(total.size, round(length / block * min(1.0, share_of_time))))
    low, high = _resampled(total, bad, many)
    lasting = duration_text(block.total_seconds())
    method = f"{many} of {total.size} past stretches of {lasting}, drawn {_RESAMPLES} times"
    events = round(float(total.mean()) * many)
    chance = wilson(events - round(float(bad.mean()) * many), events)
    if chance is not None and chance[0] < low:
        low, method = chance[0], f"Wilson's interval of {events} events, as many as a window has"
    target = _rounded_down(low)
    if target is None:
        return None, f"at {low:.1%} no target can be kept"
    return Suggestion(target=target, low=low, high=high, method=method, blocks=total.size), ""


def _blocks(history: History, length: int) -> tuple[Floats, Floats]:
    """Total and bad events of the stretches of a length up to the end; those without events are left out."""
    number = max(0, (history.until - history.known_from) // length)
    ends = history.until - np.arange(number, dtype=np.int64) * length
    total, bad = history.count(ends - length, ends)
    return total[total > 0], bad[total > 0]


def _resampled(total: Floats, bad: Floats, many: int) -> tuple[float, float]:
    """The interval of the attainment of windows that are put together from `many` blocks, drawn with replacement."""
    from scipy import stats  # noqa: PLC0415 - it takes half a second to import, and most processes never come here

    if total.size < 2:  # noqa: PLR2004 - one block says nothing about others
        return float(1 - bad.sum() / total.sum()), float(1 - bad.sum() / total.sum())

    def attained(total: Floats, bad: Floats, axis: int) -> Floats:
        # Each draw has as many blocks as the past; the first ones of it are a window.
        drawn = [np.moveaxis(one, axis, -1)[..., :many].sum(axis=-1) for one in (total, bad)]
        share: Floats = 1 - drawn[1] / drawn[0]
        return share

    found = stats.bootstrap(
        (total, bad),
        attained,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_AT_ONCE,
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def _rounded_down(attainment: float) -> Decimal | None:
    """A target at or below an attainment, its budget with two digits; None where that is no target at all."""
    budget = 1 - Decimal(repr(attainment))
    if budget <= 0:
        return None
    rounded = budget.quantize(Decimal(1).scaleb(budget.adjusted() - _DIGITS + 1), ROUND_UP)
    return (1 - rounded).normalize() if rounded < 1 else None
