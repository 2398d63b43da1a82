"""What the status page shows of a snapshot: cut to a size that a person reads and a browser bears. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.observation import Subject
from slo_engine.snapshot import Accounting, Number, Snapshot

MOST_NUMBERS = 200
MOST_SCORES = 50
SCORES = (*QUICK_CHECK, "throughput", "stability", "overall")
"""The columns of the Quick Check."""
_SCORED_WINDOW = "28d"

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
    """The rows of the page, and how many more there are: levels of teams first, the highest above; then services."""

    numbers: tuple[tuple[Number, Accounting | None], ...]
    more_numbers: int
    scores: tuple[Scored, ...]
    more_scores: int


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


def status_view(snapshot: Snapshot) -> StatusView:
    """What the page shows of a snapshot."""
    numbers = _levels_first(((n.subject, n) for n in snapshot.numbers), MOST_NUMBERS)
    subjects = {n.subject for n in numbers}
    beside = {(a.indicator, a.subject, a.window, a.dimension): a for a in snapshot.accounting if a.subject in subjects}
    everyone = [s for s in scored(snapshot) if s.window == _SCORED_WINDOW]
    scores = _levels_first(((s.subject, s) for s in everyone), MOST_SCORES)
    return StatusView(
        # The parts of a duration have nothing beside them but what the whole has.
        numbers=tuple((n, beside.get((n.indicator, n.subject, n.window, n.dimension))) for n in numbers),
        more_numbers=len(snapshot.numbers) - len(numbers),
        scores=tuple(scores),
        more_scores=len(everyone) - len(scores),
    )


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
