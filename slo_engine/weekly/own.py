"""The platform's own numbers in a week: all but the five of delivery, one line each; of few people nothing is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from slo_engine.benchmarks import QUICK_CHECK
from slo_engine.indicator import Indicator, Reach
from slo_engine.number_words import cell_text, interval_text, labels_of, leading, value_text
from slo_engine.numbers import sizes_of, summary_of, withheld_of
from slo_engine.observation import Subject
from slo_engine.reading import Group, Reader, Span
from slo_engine.sampling import NOW, reach_of
from slo_engine.snapshot import Accounting, Number
from slo_engine.suppression import Cell
from slo_engine.weekly.delivery import INCOMPLETE, ROOT, change_text
from slo_engine.weekly.known import Asked, clean
from slo_engine.weekly.model import OwnNumber

PEOPLE_OVER = timedelta(days=90)
"""How long before the week's end people are looked at: few of them do anything in a single week."""
_MICROSECOND = timedelta(microseconds=1)


class _Found(NamedTuple):
    """A number with what stands beside it; `before` is that of the week before, where it is compared."""

    number: Number
    beside: Accounting
    before: Number | None
    observed: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell, as for a team that has no units of a kind."""
        return not (self.number.n or self.number.stats or self.beside.pending or (self.before and self.before.n))


def own_numbers(asked: Asked, reader: Reader) -> Iterator[OwnNumber]:
    """The numbers of the whole organisation, or of a team; nothing of what was not observed in either week."""
    own = [i for i in asked.known.indicators.values() if i.name not in QUICK_CHECK]
    _prepare(own, asked, reader)
    for indicator in own:
        yield from _of(indicator, asked, reader)


def _prepare(indicators: Iterable[Indicator], asked: Asked, reader: Reader) -> None:
    """Have what the indicators look at: several look at the same series, which are read once."""
    wanted: dict[int, list[int]] = {}
    for indicator in indicators:
        span, before = _spans(indicator, asked)
        after = min(reach_of(indicator, s) for s in (span, before) if s is not None)
        wanted.setdefault(after, []).extend(reader.series(indicator))
    for after, numbers in sorted(wanted.items()):  # what is held from a time on is not read again for a later one
        reader.prepare(numbers, after)


def _spans(indicator: Indicator, asked: Asked) -> tuple[Span, Span | None]:
    """What an indicator is told of, and what it is compared with."""
    week = asked.week.span
    if indicator.people:
        return Span(week.until - PEOPLE_OVER // _MICROSECOND, week.until, f"{PEOPLE_OVER.days} days"), None
    return week, None if indicator.reach is Reach.ALL else asked.week.before.span


def _of(indicator: Indicator, asked: Asked, reader: Reader) -> Iterator[OwnNumber]:
    span, before = _spans(indicator, asked)
    groups, told = _groups(indicator, asked, reader)
    summaries = [summary_of(indicator, g, reader, [span]) for g in groups]
    hidden = withheld_of(indicator, sizes_of(indicator, summaries), reader.organisation.smallest_group, [span])
    for group, summary in zip(groups, summaries, strict=True):
        if group.subject not in told or not _is_whole(indicator, group):
            continue
        beside = summary.accounting[0]
        line = _named(indicator, group, beside.window, asked)
        if Cell(beside.subject, beside.window, beside.dimension) in hidden:
            yield line
            continue
        earlier = summary_of(indicator, group, reader, [before]).numbers[0][0] if before else None
        found = _Found(summary.numbers[0][0], beside, earlier, asked.over and group.sources <= asked.fresh)
        if not found.is_empty:
            yield _told(indicator, line, found)


def _groups(indicator: Indicator, asked: Asked, reader: Reader) -> tuple[Sequence[Group], set[Subject]]:
    """The groups that are looked at, and the subjects that are told: a team, or the whole organisation.

    Of people all groups are looked at, since what is withheld of one depends on what is told of others.
    """
    every = list(reader.cells(indicator))
    told = {g.subject for g in every if _is_told(g.subject, asked)}
    if not (told or asked.team):  # nothing of it has a team, so that no level holds it
        whole = reader.whole(indicator)
        return whole, {g.subject for g in whole}
    return every if indicator.people else [g for g in every if g.subject in told], told


def _is_told(subject: Subject, asked: Asked) -> bool:
    """Whether a subject is the team, or the whole organisation, and not of an environment that is no production."""
    judged = not subject.environment or asked.known.organisation.is_production("", subject.environment)
    return judged and not subject.service and subject.team == (asked.team or ROOT)


def _is_whole(indicator: Indicator, group: Group) -> bool:
    """Whether labels are taken together, but for those that never are."""
    return not any(v for label, v in labels_of(indicator, group.cell).items() if label not in indicator.apart)


def _named(indicator: Indicator, group: Group, window: str, asked: Asked) -> OwnNumber:
    """The line of a number of which nothing is told."""
    environment = group.subject.environment
    where = "" if environment == asked.known.organisation.default_environment else environment
    return OwnNumber(
        indicator=indicator.name,
        title=indicator.title,
        about=clean(", ".join(filter(None, (cell_text(indicator, group.cell), where)))),
        over={NOW: "at its end"}.get(window, window),
        withheld=True,
    )


def _told(indicator: Indicator, line: OwnNumber, found: _Found) -> OwnNumber:
    """A number. What a source did not observe to the week's end has no value, unless units are known."""
    number, beside = found.number, found.beside
    stats = dict(number.stats) if found.observed or number.n else {}
    change = ""
    if found.before is not None:
        change = (
            change_text(indicator.shape, number, found.before, leading(indicator)) if found.observed else INCOMPLETE
        )
    return replace(
        line,
        withheld=False,
        n=number.n,
        stats=stats,
        text=value_text(indicator, stats),
        interval=interval_text(indicator, stats),
        used=beside.coverage,
        pending=beside.pending,
        excluded=dict(sorted(beside.excluded.items())),
        change=change,
    )
