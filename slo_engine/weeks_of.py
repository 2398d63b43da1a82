"""One number of an indicator in calendar weeks that are over, each judged at its own end. Reads the store.

They are the numbers that explaining such a week adds up from its units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from collector.store import ObservationStore, from_micros
from slo_engine.indicator import Indicator, named_of, widths_of
from slo_engine.numbers import Summary, sizes_of, summary_of, withheld_of
from slo_engine.observation import Subject
from slo_engine.of_indicator import narrowed
from slo_engine.organisation import Organisation
from slo_engine.reading import Group, Reader, Span
from slo_engine.sampling import reach_of, spans_of
from slo_engine.snapshot import Accounting, Number
from slo_engine.suppression import Cell
from slo_engine.weekly.week import Week


class WeekNumber(NamedTuple):
    """The number of a week, with its parts, and what stands beside it.

    `numbers`: the whole first, then the parts of a duration. Nothing of a week is told that is `withheld`, because it,
    or what it would reveal, is about too few people.
    """

    week: Week
    numbers: tuple[Number, ...] = ()
    beside: Accounting | None = None
    withheld: bool = False

    @property
    def whole(self) -> Number | None:
        """The number itself; None where it is withheld, and where nothing of it is stored."""
        return self.numbers[0] if self.numbers else None


def weeks_before(last: Week, n: int) -> list[Week]:
    """So many weeks up to and with one, the oldest first."""
    found = [last]
    while len(found) < n:
        found.append(found[-1].before)
    return found[::-1]


def weeks_of(
    indicator: Indicator,
    subject: Subject,
    cell: str,
    weeks: Sequence[Week],
    store: ObservationStore,
    organisation: Organisation,
) -> list[WeekNumber]:
    """The numbers of an indicator for a subject in weeks that are over, given from the oldest on.

    `cell`: the values of the published labels, see `labelled`. Time only goes on, so that each unit is read once.
    """
    spans = [week.span for week in weeks]
    reader: Reader | None = None
    found = []
    for week, span in zip(weeks, spans, strict=True):
        at = from_micros(span.until)
        if reader is None:
            reader = _reader(indicator, store, span, organisation)
        else:
            reader.turn(at, {}, organisation)
        found.append(_told(indicator, subject, cell, reader, week, spans))
    return found


def _reader(indicator: Indicator, store: ObservationStore, span: Span, organisation: Organisation) -> Reader:
    """A reader at the end of a week."""
    own, known = {indicator.name: indicator}, narrowed(store, indicator.observed_as, organisation)
    return Reader(known, from_micros(span.until), organisation, widths_of(own), named_of(own))


def _told(
    indicator: Indicator, subject: Subject, cell: str, reader: Reader, week: Week, spans: Sequence[Span]
) -> WeekNumber:
    """The number of a week at its end."""
    groups = list(reader.cells(indicator))
    own = next((g for g in groups if (g.subject, g.cell) == (subject, cell)), None)
    if own is None:
        return WeekNumber(week)
    after = min(reach_of(indicator, s) for s in spans_of(indicator, spans, reader.now))
    # Of a level it is asked which units its services share; of people what is withheld hangs on all numbers.
    alone = not (own.pooled or indicator.people)
    reader.prepare(own.series if alone else (n for g in groups for n in g.series), after)
    summary = summary_of(indicator, own, reader, [week.span])
    if indicator.people and _is_withheld(indicator, own, summary, groups, reader, week):
        return WeekNumber(week, withheld=True)
    return WeekNumber(week, summary.numbers[0], summary.accounting[0])


def _is_withheld(
    indicator: Indicator, own: Group, summary: Summary, groups: Sequence[Group], reader: Reader, week: Week
) -> bool:
    """Whether a number is withheld: because it is about few people itself, or by what it would reveal."""
    smallest = reader.organisation.smallest_group
    if any(0 < people < smallest for people in summary.people[0]):
        return True  # whatever the others are: they are many, and this is nearly always known before
    if not any(summary.people[0]):
        return False  # nobody is told by a number about nobody
    every = [summary if g is own else summary_of(indicator, g, reader, [week.span]) for g in groups]
    beside = summary.accounting[0]
    cells = withheld_of(indicator, sizes_of(indicator, every), smallest, spans_of(indicator, [week.span], reader.now))
    return Cell(beside.subject, beside.window, beside.dimension) in cells


def beside_windows(
    weeks: Sequence[WeekNumber], windows: Iterable[tuple[int, int]], smallest: int
) -> Sequence[WeekNumber]:
    """The same weeks, without those that tell few people by what is left of a shown number of a longer window.

    `windows`: after which time (microseconds) each holds units, and how many it is about. Where a window without its
    shown weeks is about fewer than `smallest`, its smallest week is withheld too, and so on until that is not so.
    """
    found, asked = list(weeks), list(windows)
    while (place := next((p for w in asked if (p := _revealing(found, *w, smallest)) is not None), None)) is not None:
        found[place] = WeekNumber(found[place].week, withheld=True)
    return found


def _revealing(weeks: Sequence[WeekNumber], after: int, people: int, smallest: int) -> int | None:
    """The smallest shown week of a window whose other people are too few; None where they are not."""
    # A week begins with its first moment and a window after it: what lies there is in one of them alone.
    inside = {p: w.whole.n for p, w in enumerate(weeks) if w.whole and w.whole.n and w.week.span.after >= after - 1}
    left = people - sum(inside.values())
    return min(inside, key=lambda p: (inside[p], p)) if inside and 0 < left < smallest else None
