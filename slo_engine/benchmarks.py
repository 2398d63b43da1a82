"""DORA's published tables, and the Quick Check score from 0 to 10. Pure; the tables are data in `config/benchmarks/`.

The score follows DORA's Quick Check (https://dora.dev/quickcheck/, 2025 edition; definitions.md section 2): six
ordinal bands give 0, 2, 4, 6, 8, 10, a ratio r gives 10 - 10 r. Its options leave three things open, decided here:

- A month is 30 days, so six months are 180.
- "Less than", "more than" and "fewer than" exclude their bound; a value on any other bound has the better band.
- "On demand (multiple deploys per day)" starts at two deployments a day. The option before it reaches from one a day
  to one an hour, so the words overlap; a value that fits both has the better band. DORA itself counts on demand as
  four a day (2021 report, page 12).

Nothing here ranks teams, and no table gives a single letter: the tiers of a report are clusters, found over all of
its metrics together, and not in order for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import fsum, inf, isfinite

_HOUR = 3600.0
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_MONTH = 30 * _DAY

THROUGHPUT = ("change_lead_time", "deployment_frequency", "failed_deployment_recovery_time")
"""What throughput is the mean of: seconds, deployments per day, seconds."""
STABILITY = ("change_fail_rate", "deployment_rework_rate")
"""What stability is the mean of: ratios from 0 to 1."""
QUICK_CHECK = THROUGHPUT + STABILITY
"""The indicators that have a score."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Words of a table or a questionnaire, and the values they cover: seconds, deployments per day, or a ratio."""

    words: str
    at_least: float = -inf
    more_than: float = -inf
    at_most: float = inf
    less_than: float = inf

    def holds(self, value: float) -> bool:
        """Whether the words are true of a value."""
        return self.at_least <= value <= self.at_most and self.more_than < value < self.less_than


TIME_BANDS = (
    (10.0, Cell(words="Less than one hour", less_than=_HOUR)),
    (8.0, Cell(words="Less than one day", less_than=_DAY)),
    (6.0, Cell(words="One day to one week", at_most=_WEEK)),
    (4.0, Cell(words="One week to one month", at_most=_MONTH)),
    (2.0, Cell(words="One to six months", at_most=6 * _MONTH)),
    (0.0, Cell(words="More than six months", more_than=6 * _MONTH)),
)
"""Scores of lead and recovery times in seconds; the first band that holds counts."""

FREQUENCY_BANDS = (
    (10.0, Cell(words="On demand (multiple deploys per day)", at_least=2)),
    (8.0, Cell(words="Between once per hour and once per day", at_least=1)),
    (6.0, Cell(words="Between once per day and once per week", at_least=1 / 7)),
    (4.0, Cell(words="Between once per week and once per month", at_least=1 / 30)),
    (2.0, Cell(words="Between once per month and once every six months", at_least=1 / 180)),
    (0.0, Cell(words="Less than once per six months", less_than=1 / 180)),
)
"""Scores of deployments per day; the first band that holds counts."""


@dataclass(frozen=True, kw_only=True)
class QuickCheck:
    """Scores from 0 (worst) to 10 (best) of the indicators that have a value, and their means.

    A mean is over what is available, and None where nothing is.
    """

    scores: Mapping[str, float]
    throughput: float | None
    stability: float | None
    overall: float | None

    @property
    def by_kind(self) -> dict[str, float]:
        """The scores by indicator, then the means `throughput`, `stability` and `overall`, where they have a value."""
        means = {"throughput": self.throughput, "stability": self.stability, "overall": self.overall}
        return {**self.scores, **{kind: mean for kind, mean in means.items() if mean is not None}}


@lru_cache(maxsize=1 << 16)
def score(indicator: str, value: float | None) -> float | None:
    """The score of one value, 0 to 10; None for no value.

    A frequency of 0 is no value: a window without deployments does not say how long it will stay so. Raises ValueError
    for an indicator without a score, a negative or endless value, and a ratio above 1.
    """
    if indicator not in QUICK_CHECK:
        raise ValueError(f"{indicator!r} has no score; expected one of {', '.join(QUICK_CHECK)}")
    if value is None:
        return None
    _refuse_impossible(indicator, value)
    if indicator in STABILITY:
        return 10 - 10 * value
    if indicator == "deployment_frequency":
        return _points(FREQUENCY_BANDS, value) if value else None
    return _points(TIME_BANDS, value)


def quick_check(values: Mapping[str, float | None]) -> QuickCheck:
    """The scores of some values by indicator, and their means. Raises ValueError as `score` does."""
    return combined({name: found for name, value in values.items() if (found := score(name, value)) is not None})


def combined(scores: Mapping[str, float]) -> QuickCheck:
    """Scores with their means: throughput, stability, overall."""
    return QuickCheck(
        scores=scores,
        throughput=_mean(scores[name] for name in THROUGHPUT if name in scores),
        stability=_mean(scores[name] for name in STABILITY if name in scores),
        overall=_mean(scores[name] for name in QUICK_CHECK if name in scores),
    )


def _refuse_impossible(indicator: str, value: float) -> None:
    if not isfinite(value) or value < 0 or (indicator in STABILITY and value > 1):
        expected = "a ratio from 0 to 1" if indicator in STABILITY else "a finite number, 0 or above"
        raise ValueError(f"{indicator}: {value} is impossible; expected {expected}")


def _points(bands: Iterable[tuple[float, Cell]], value: float) -> float:
    return next(points for points, cell in bands if cell.holds(value))


def _mean(values: Iterable[float]) -> float | None:
    found = tuple(values)
    return fsum(found) / len(found) if found else None


# --- the published tables --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Where the numbers of a year come from."""

    title: str
    publisher: str
    section: str
    url: str


@dataclass(frozen=True, kw_only=True)
class BenchmarkTier:
    """One performance level of a report: what it prints for each indicator, where it does."""

    name: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Benchmarks:
    """The published numbers of one year: performance tiers, the industry's mean scores, or both.

    The tiers stand as in the file; their order means nothing.
    """

    year: int
    source: Publication
    tiers: tuple[BenchmarkTier, ...] = ()
    mean_scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def industry(self) -> QuickCheck | None:
        """The industry's mean scores with their means; None for a year without."""
        return combined(self.mean_scores) if self.mean_scores else None

    def cells(self, indicator: str) -> dict[str, Cell]:
        """What each tier prints for an indicator; empty where the year has no tiers or the cells are absent."""
        return {tier.name: tier.cells[indicator] for tier in self.tiers if indicator in tier.cells}

    def tiers_of(self, indicator: str, value: float | None) -> tuple[str, ...]:
        """The tiers whose cell holds a value, in the order of the file: none, one or several.

        None of them where there is no value, the year has no tiers or the cell is absent. Several may hold ("less than
        one hour" is also "less than one day"), and between the cells of a table there may be gaps. In 2024 a fail rate
        of 15 % is within the 20 % of high and the 40 % of low, and not within the 10 % of medium.
        """
        if value is None:
            return ()
        return tuple(name for name, cell in self.cells(indicator).items() if cell.holds(value))
