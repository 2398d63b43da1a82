"""The SLOs of a weekly summary: where they stood at its end, at that of the week before, and in the weeks before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collector.store import to_micros
from slo_engine.budget import allowed
from slo_engine.slo import Composite, EventCounts, Slo, SloStatus
from slo_engine.slo_states import Conditions
from slo_engine.snapshot import SloState
from slo_engine.weekly.counting import SloUnits
from slo_engine.weekly.known import Asked, clean
from slo_engine.weekly.model import Change, SloLine, StatusCount

STATUS_ORDER = (SloStatus.EXHAUSTED, SloStatus.AT_RISK, SloStatus.INSUFFICIENT_DATA, SloStatus.HEALTHY)
"""From the worst to the best, as far as it is known."""
WEEKS = 12
"""The budgets of so many weeks are drawn."""
WORST = 12
"""So many SLOs have a line."""
_NOT_COMPARED: Change = "not compared"


def states_at_end(asked: Asked, units: SloUnits) -> list[SloState]:
    """The states of the SLOs that are told, the worst first."""
    conditions = Conditions(fresh=asked.fresh, exclusions=tuple(asked.known.exclusions))
    now = to_micros(asked.at)
    units.read(asked.known.slos, now, to_micros(asked.week.start) - 1)
    found = units.states(asked.known.slos, now, conditions)
    return sorted((s for s in found if asked.concerns(s.slo)), key=_badness)


def _badness(state: SloState) -> tuple[int, float, str]:
    left = state.budget_remaining if _says(state) and state.budget_remaining is not None else 0.0
    return STATUS_ORDER.index(state.status), left, state.slo.name


def _says(state: SloState) -> bool:
    """Whether there are enough data to speak of a budget."""
    return state.status is not SloStatus.INSUFFICIENT_DATA


def counted(states: Iterable[SloState]) -> tuple[StatusCount, ...]:
    """How many have each status, the worst first."""
    found = Counter(state.status for state in states)
    return tuple(StatusCount(status=status, slos=found[status]) for status in STATUS_ORDER if found[status])


@dataclass(frozen=True)
class Before:
    """The states of some SLOs at the ends of the weeks before, the oldest first."""

    weeks: Sequence[Mapping[str, SloState]]

    @classmethod
    def of(cls, slos: Sequence[Slo], asked: Asked, units: SloUnits) -> Before:
        """Reads them: each unit once for all weeks."""
        known, weeks = asked.known, [asked.week]
        for _ in range(WEEKS - 1):
            weeks.append(weeks[-1].before)
        wanted = _with_parts(slos, known.slos)
        past, found = weeks[:0:-1], []
        units.read(wanted, past[0].span.until, past[0].span.after)
        for week in past:
            conditions = Conditions(fresh=asked.fresh_at(week), exclusions=tuple(known.exclusions))
            found.append({s.slo.name: s for s in units.states(wanted, week.span.until, conditions)})
        return cls(found)

    def history(self, state: SloState) -> tuple[float | None, ...]:
        """The budget left of an SLO at the end of each week; None where that cannot be said."""
        own = [*(week[state.slo.name] for week in self.weeks), state]
        return tuple(s.budget_remaining if _says(s) else None for s in own)

    def change(self, state: SloState, *, over: bool) -> tuple[float | None, Change]:
        """The change of the budget left since the week before, or why there is none."""
        before = self.weeks[-1][state.slo.name]
        if not over or state.budget_remaining is None or not _says(state):
            return None, "week incomplete" if not over else ""
        if before.budget_remaining is not None and _says(before):
            return state.budget_remaining - before.budget_remaining, ""
        composed = isinstance(state.slo.sli, Composite)  # of which nothing tells since when it has parts
        return None, "new" if not before.coverage and not composed else "no value before"


def _with_parts(slos: Sequence[Slo], every: Sequence[Slo]) -> list[Slo]:
    """Some SLOs with those that they are composed of."""
    names = {s.name for s in slos}
    for slo in slos:
        if isinstance(slo.sli, Composite):
            names |= {part.slo for part in slo.sli.parts}
    return [slo for slo in every if slo.name in names]


def line(state: SloState, asked: Asked, before: Before) -> SloLine:
    """An SLO as a line of the summary."""
    slo, says = state.slo, _says(state)
    counts, raw = state.counts.get(slo.window.label), state.raw.get(slo.window.label)
    indicator = asked.known.indicators.get(slo.indicator)
    people = indicator is not None and indicator.people
    change, word = (None, _NOT_COMPARED) if people else before.change(state, over=asked.over)
    return SloLine(
        name=slo.name,
        title=clean(slo.title or slo.name),
        service=slo.owner_service,
        team=slo.team or asked.known.organisation.team(slo.owner_service),
        status=state.status,
        why=clean(state.why),
        target=float(slo.target),
        window=slo.window.label,
        noun=indicator.noun if indicator else "events",
        attained=state.attainment,
        attained_raw=_ratio(raw) if raw is not None and raw != counts else None,
        events=float(counts.total) if counts else 0.0,
        budget_left=state.budget_remaining if says else None,
        units_left=state.budget_remaining_events if says else None,
        units_allowed=float(allowed(counts, slo.target)) if counts and says else None,
        change=change,
        change_word=word,
        history=() if people else before.history(state),
    )


def _ratio(counts: EventCounts) -> float | None:
    return float(counts.good / counts.total) if counts.total else None
