"""What the home page shows of a snapshot: cut to a size that a person reads and a browser bears. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.indicator import Indicator
from slo_engine.number_words import labels_of
from slo_engine.observation import Subject
from slo_engine.sampling import NOW
from slo_engine.slo import SloStatus
from slo_engine.snapshot import Accounting, Number, SloState, Snapshot, SourceState
from slo_engine.words import duration_text

MOST_SLOS = 12
MOST_LEVELS = 20
MOST_PROMISES = 60
MEANS = ("throughput", "stability", "overall")
"""The means of the Quick Check."""
SCORES = (*QUICK_CHECK, *MEANS)
"""All scores of the Quick Check."""
_SCORED_WINDOW = "28d"
_PEOPLE_WINDOW = "90d"
_TELLING = ("3d", "7d", "28d", "90d")
"""Windows whose burn rate says how things are going, not what happened in an hour; the first that is known."""
_WORST_FIRST = (SloStatus.EXHAUSTED, SloStatus.AT_RISK, SloStatus.INSUFFICIENT_DATA, SloStatus.HEALTHY)
_STATUS_WORDS = {
    SloStatus.EXHAUSTED: "out of budget",
    SloStatus.AT_RISK: "at risk",
    SloStatus.INSUFFICIENT_DATA: "without enough data",
    SloStatus.HEALTHY: "healthy",
}

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
class Delivered:
    """A subject's delivery in 28 days: its numbers by indicator, and its Quick Check scores with their means."""

    subject: Subject
    numbers: Mapping[str, Number]
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class HomeView:
    """What the page shows, and how much more there is.

    `slos`: the worst, `more_slos` of the others by status. `whole`: the delivery of the organisation, or of the one
    service there is; None where there are several and no level above them. `levels`: of the others, those of teams
    first, the highest above. `promises` are the platform's own, of the whole organisation: people in 90 days, the
    rest in 28.
    """

    verdict: str
    worst: SloStatus | None
    slos: tuple[SloState, ...]
    more_slos: str
    whole: Delivered | None
    levels: tuple[Delivered, ...]
    more_levels: int
    promises: tuple[tuple[Number, Accounting | None], ...]
    more_promises: int
    behind: tuple[SourceState, ...]
    """Sources that are not fresh, whose last run failed, or that hold more than they handed out."""


def home_view(snapshot: Snapshot, indicators: Mapping[str, Indicator]) -> HomeView:
    """What the page shows of a snapshot."""
    slos = worst_first(snapshot.slos)
    subjects = _levels_first([(s, s) for s, window in snapshot.scores if window == _SCORED_WINDOW])
    whole = subjects[:1] if len(subjects) == 1 or (subjects and _is_whole(subjects[0])) else []
    levels = subjects[len(whole) :]
    delivered = _delivered(snapshot, [*whole, *levels[:MOST_LEVELS]])
    own = [n for n in snapshot.numbers if n.indicator in indicators and not indicators[n.indicator].like_delivery]
    promises = [n for n in own if _is_promise(n, indicators[n.indicator])][:MOST_PROMISES]
    return HomeView(
        verdict=verdict_of(slos),
        worst=slos[0].status if slos else None,
        slos=tuple(slos[:MOST_SLOS]),
        more_slos=_counted(slos[MOST_SLOS:]),
        whole=delivered[0] if whole else None,
        levels=tuple(delivered[len(whole) :]),
        more_levels=max(len(levels) - MOST_LEVELS, 0),
        promises=_with_accounting(snapshot, promises),
        more_promises=len(own) - len(promises),
        behind=tuple(s for s in snapshot.sources if not s.fresh or s.last_succeeded is False or s.truncations),
    )


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


def telling(numbers: Iterable[Number], indicators: Mapping[str, Indicator]) -> list[Number]:
    """Of each indicator what a person reads first: everybody's number, else that of each service or team."""
    found = [n for n in numbers if is_telling(n, indicators[n.indicator])]
    whole = {n.indicator for n in found if is_of_everybody(n.subject)}
    return [n for n in found if is_of_everybody(n.subject) or n.indicator not in whole]


def scores_first(scores: Sequence[Scored]) -> list[Scored]:
    """Of scores what a person reads first: everybody's in the usual window, else those of each service or team."""
    found = [s for s in scores if s.window == _SCORED_WINDOW]
    return [s for s in found if is_of_everybody(s.subject)] or found


def worst_first(slos: Iterable[SloState]) -> list[SloState]:
    """SLOs by status, then by what is left of the budget; where nothing is known of it, after those."""

    def badness(state: SloState) -> tuple[int, bool, float]:
        left = state.budget_remaining
        return _WORST_FIRST.index(state.status), left is None, left or 0.0

    return sorted(slos, key=badness)


def verdict_of(slos: Sequence[SloState]) -> str:
    """Where all SLOs stand, in a sentence."""
    if not slos:
        return "No SLO is defined."
    kept = sum(s.status in {SloStatus.HEALTHY, SloStatus.AT_RISK} for s in slos)
    rest = [s for s in slos if s.status is not SloStatus.HEALTHY]
    said = f"{kept} of {len(slos)} promises {'is' if kept == 1 else 'are'} kept"
    return f"{said}; {_counted(rest)}." if rest else f"{said}, and none is at risk."


def pace_of(state: SloState) -> tuple[str, str]:
    """How fast an SLO spends, `2.1 in 3d`, over the shortest window that tells; and what follows, `used up in 4.1 d`.

    At a burn rate of 1 the budget lasts as long as the window.
    """
    window = next((w for w in _TELLING if w in state.burn_rates), None)
    if window is None:
        return "no value", ""
    rate, left = state.burn_rates[window], state.time_to_exhaustion_seconds
    return f"{rate:.2g} in {window}", f"used up in {duration_text(left)}" if rate > 1 and left else ""


def left_of(state: SloState) -> str:
    """What is left of an SLO's budget in its own units: `12.0 of 40.0 minutes left`; empty where it is not known."""
    left, counts = state.budget_remaining_events, state.counts.get(state.slo.window.label)
    if left is None or counts is None:
        return ""
    allowed = (1 - state.slo.target) * counts.total
    if left < 0:
        return f"{-left:.1f} {state.noun} over the {allowed:.1f} allowed"
    return f"{left:.1f} of {allowed:.1f} {state.noun} left"


def _counted(slos: Iterable[SloState]) -> str:
    """So many of each status: `2 out of budget, 1 at risk`; empty text for none."""
    statuses = [s.status for s in slos]
    return ", ".join(f"{statuses.count(s)} {_STATUS_WORDS[s]}" for s in _WORST_FIRST if s in statuses)


def _is_whole(subject: Subject) -> bool:
    return not subject.service and subject.team == "/"


def _delivered(snapshot: Snapshot, subjects: Sequence[Subject]) -> list[Delivered]:
    found: dict[Subject, dict[str, Number]] = {subject: {} for subject in subjects}
    for number in snapshot.numbers:
        is_told = number.indicator in QUICK_CHECK and number.window == _SCORED_WINDOW and not number.dimension
        if is_told and number.subject in found:
            found[number.subject][number.indicator] = number
    return [
        Delivered(subject=s, numbers=numbers, scores=snapshot.scores[s, _SCORED_WINDOW]) for s, numbers in found.items()
    ]


def _with_accounting(snapshot: Snapshot, numbers: Sequence[Number]) -> tuple[tuple[Number, Accounting | None], ...]:
    """Numbers with what stands beside each; the parts of a duration have nothing but what the whole has."""
    subjects = {n.subject for n in numbers}
    beside = {(a.indicator, a.subject, a.window, a.dimension): a for a in snapshot.accounting if a.subject in subjects}
    return tuple((n, beside.get((n.indicator, n.subject, n.window, n.dimension))) for n in numbers)


def _is_promise(number: Number, indicator: Indicator) -> bool:
    """Whether a number is the one that a promise is told by: of everybody, and telling."""
    return is_of_everybody(number.subject) and is_telling(number, indicator)


def is_of_everybody(subject: Subject) -> bool:
    """Whether it is the organisation, whole or where nobody said who belongs to it."""
    return not subject.service and subject.team in {"", "/"}


def is_telling(number: Number, indicator: Indicator) -> bool:
    """Whether one number would do for a subject: of the usual window, all values taken together that can be."""
    chosen = labels_of(indicator, number.dimension).items()
    together = not any(value for label, value in chosen if label not in indicator.apart)
    return together and number.window in {NOW, _PEOPLE_WINDOW if indicator.people else _SCORED_WINDOW}


def _levels_first(rows: Iterable[tuple[Subject, T]]) -> list[T]:
    """Rows of levels by their depth, then those of services as they come."""
    levels: list[tuple[int, T]] = []
    services: list[T] = []
    for subject, row in rows:
        if subject.service:
            services.append(row)
        else:
            levels.append((len(subject.team.strip("/").split("/")) if subject.team != "/" else 0, row))
    levels.sort(key=lambda pair: pair[0])
    return [*(row for _, row in levels), *services]
