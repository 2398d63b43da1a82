"""What the status page shows of a snapshot: cut to a size that a person reads and a browser bears. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.indicator import Indicator
from slo_engine.number_words import labels_of
from slo_engine.observation import Subject
from slo_engine.sampling import NOW
from slo_engine.snapshot import Accounting, Number, Snapshot

MOST_NUMBERS = 200
MOST_SCORES = 50
SCORES = (*QUICK_CHECK, "throughput", "stability", "overall")
"""The columns of the Quick Check."""
_SCORED_WINDOW = "28d"
_PEOPLE_WINDOW = "90d"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The Quick Check scores of a subject in a window, with the units behind each indicator's."""

    subject: Subject
    window: str
    scores: Mapping[str, float]
    n: Mapping[str, int]

    def text(self, name: str) -> str:
        """A score with its n, a mean alone: `9.82 (n 56)`, `9.2`, `no value`."""
        if name not in self.scores:
            return "no value"
        return f"{self.scores[name]:.3g}" + (f" (n {self.n[name]})" if name in self.n else "")


@dataclass(frozen=True, kw_only=True)
class StatusView:
    """The rows of the page, and how many more there are: levels of teams first, the highest above; then services.

    `promises` are the platform's own, of the whole organisation: people in 90 days, the rest in 28.
    """

    numbers: tuple[tuple[Number, Accounting | None], ...]
    more_numbers: int
    scores: tuple[Scored, ...]
    more_scores: int
    promises: tuple[tuple[Number, Accounting | None], ...] = ()
    more_promises: int = 0


def scored(snapshot: Snapshot) -> list[Scored]:
    """The Quick Check scores of a snapshot, in its order."""
    units: dict[tuple[Subject, str], dict[str, int]] = {key: {} for key in snapshot.scores}
    for number in snapshot.numbers:
        key = number.subject, number.window
        if number.indicator in QUICK_CHECK and not number.dimension and key in units:
            units[key][number.indicator] = number.n
    return [
        Scored(subject=subject, window=window, scores=found, n=units[subject, window])
        for (subject, window), found in snapshot.scores.items()
    ]


def status_view(snapshot: Snapshot, indicators: Mapping[str, Indicator]) -> StatusView:
    """What the page shows of a snapshot."""
    own = {name for name, indicator in indicators.items() if not indicator.like_delivery}
    delivered = [n for n in snapshot.numbers if n.indicator not in own]
    promised = [n for n in snapshot.numbers if n.indicator in own]
    promises = [n for n in promised if _is_promise(n, indicators[n.indicator])][:MOST_NUMBERS]
    numbers = [*_levels_first(((n.subject, n) for n in delivered), MOST_NUMBERS), *promises]
    subjects = {n.subject for n in numbers}
    beside = {(a.indicator, a.subject, a.window, a.dimension): a for a in snapshot.accounting if a.subject in subjects}
    # The parts of a duration have nothing beside them but what the whole has.
    rows = tuple((n, beside.get((n.indicator, n.subject, n.window, n.dimension))) for n in numbers)
    everyone = [s for s in scored(snapshot) if s.window == _SCORED_WINDOW]
    scores = _levels_first(((s.subject, s) for s in everyone), MOST_SCORES)
    return StatusView(
        numbers=rows[: len(rows) - len(promises)],
        more_numbers=len(delivered) - (len(rows) - len(promises)),
        promises=rows[len(rows) - len(promises) :],
        more_promises=len(promised) - len(promises),
        scores=tuple(scores),
        more_scores=len(everyone) - len(scores),
    )


def _is_promise(number: Number, indicator: Indicator) -> bool:
    """Whether a number is the one that a promise is told by: of everybody, all values taken together that can be."""
    whole = not number.subject.service and number.subject.team in {"", "/"}
    chosen = labels_of(indicator, number.dimension).items()
    together = not any(value for label, value in chosen if label not in indicator.apart)
    return whole and together and number.window in {NOW, _PEOPLE_WINDOW if indicator.people else _SCORED_WINDOW}


def _levels_first(rows: Iterable[tuple[Subject, T]], most: int) -> list[T]:
    """At most so many rows: those of levels by their depth, then those of services as they come."""
    levels: list[tuple[int, T]] = []
    services: list[T] = []
    for subject, row in rows:
        if not subject.service:
            levels.append((len(subject.team.strip("/").split("/")) if subject.team != "/" else 0, row))
        elif len(services) < most:
            services.append(row)
    levels.sort(key=lambda pair: pair[0])
    return list(islice((*(row for _, row in levels), *services), most))
