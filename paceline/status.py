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
class StatusView:
    """The rows of the page, and how many more there are: levels of teams first, the highest above; then services."""

    numbers: tuple[tuple[Number, Accounting | None], ...]
    more_numbers: int
    scores: tuple[tuple[Subject, Mapping[str, float]], ...]
    more_scores: int


def status_view(snapshot: Snapshot) -> StatusView:
    """What the page shows of a snapshot."""
    numbers = _levels_first(((n.subject, n) for n in snapshot.numbers), MOST_NUMBERS)
    wanted = {(n.indicator, n.subject, n.window) for n in numbers}
    subjects = {n.subject for n in numbers}
    beside = {
        key: a
        for a in snapshot.accounting
        if a.subject in subjects and (key := (a.indicator, a.subject, a.window)) in wanted
    }
    scored = [(subject, found) for (subject, window), found in snapshot.scores.items() if window == _SCORED_WINDOW]
    scores = _levels_first(((subject, (subject, found)) for subject, found in scored), MOST_SCORES)
    return StatusView(
        numbers=tuple((n, beside.get((n.indicator, n.subject, n.window))) for n in numbers),
        more_numbers=len(snapshot.numbers) - len(numbers),
        scores=tuple(scores),
        more_scores=len(scored) - len(scores),
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
