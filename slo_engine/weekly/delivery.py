"""The five metrics of delivery in a week, beside the week before and the Quick Check's scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from slo_engine.benchmarks import QUICK_CHECK, Benchmarks, QuickCheck, combined, quick_check
from slo_engine.indicator import Indicator, Shape
from slo_engine.number_words import leading
from slo_engine.numbers import summary_of
from slo_engine.observation import Subject
from slo_engine.reading import Group, Reader, Span
from slo_engine.snapshot import Number
from slo_engine.weekly.known import Asked, clean
from slo_engine.weekly.model import Delivery, Industry, Metric

FEW = 10
"""Fewer units are too few to compare."""
TOO_FEW, SAME, INCOMPLETE, NONE_BEFORE = (
    "too few to tell",
    "not distinguishable",
    "week incomplete",
    "no value before",
)
MOST = 20
"""Of so many levels or services there are metrics."""
_UNITS = {Shape.DURATION: "seconds", Shape.RATIO: "ratio", Shape.FREQUENCY: "count"}
_SCORED = {Shape.DURATION: "p50", Shape.RATIO: "value", Shape.FREQUENCY: "per_day"}
ROOT = "/"
"""The path of the whole organisation."""


def change_text(shape: Shape, now: Number, before: Number | None, stat: str) -> str:
    """A comparison only where it can be made: overlapping intervals are not distinguishable."""
    if before is None or not before.n:
        return NONE_BEFORE
    if min(now.n, before.n) < FEW:
        return TOO_FEW
    if shape is Shape.FREQUENCY:
        more = now.n - before.n
        return f"{abs(more)} {'more' if more > 0 else 'fewer'}" if more else "as many"
    if not all(bound in number.stats for number in (now, before) for bound in ("low", "high")):
        return TOO_FEW
    if now.stats["low"] <= before.stats["high"] and before.stats["low"] <= now.stats["high"]:
        return SAME
    return "higher" if now.stats[stat] > before.stats[stat] else "lower"


@dataclass(frozen=True)
class Delivering:
    """Reads the metrics of delivery of levels of teams, or of services; the reader tells their units apart."""

    asked: Asked
    reader: Reader

    @cached_property
    def _indicators(self) -> Mapping[str, Indicator]:
        known = self.asked.known.indicators
        return {name: known[name] for name in QUICK_CHECK if name in known}

    def rows(self) -> list[Delivery]:
        """The metrics of whoever is asked about: the organisation or the team first, in the order of names."""
        found: dict[Subject, list[Metric]] = {}
        for indicator in self._indicators.values():
            for group, metric in self._metrics(indicator):
                found.setdefault(group.subject, []).append(metric)
        return [self._row(subject, found[subject]) for subject in sorted(found, key=_order)]

    def _metrics(self, indicator: Indicator) -> Iterator[tuple[Group, Metric]]:
        groups = list(self._groups(indicator))
        spans = [self.asked.week.span, self.asked.week.before.span]
        # Those of others too: whether services of a level share units is asked of all of them.
        self.reader.prepare(self.reader.series(indicator), spans[1].after)
        for group in groups:
            now, before = (self._number(indicator, group, span) for span in spans)
            observed = self.asked.over and group.sources <= self.asked.fresh
            if now.n or before.n or observed:
                yield group, self._metric(indicator, now, before, observed=observed)

    def _number(self, indicator: Indicator, group: Group, span: Span) -> Number:
        return summary_of(indicator, group, self.reader, [span]).numbers[0][0]

    def _groups(self, indicator: Indicator) -> Iterable[Group]:
        """Whoever has metrics: levels of teams and services without one; a team's services; else all services."""
        organisation = self.asked.known.organisation
        every = self.reader.groups(indicator)
        groups = [g for g in every if organisation.is_production(g.subject.service, g.subject.environment)]
        if self.asked.team:
            return [g for g in groups if self.asked.concerns_team(g.subject.team)]
        levels = [g for g in groups if not g.subject.service and g.subject.team]
        alone = [g for g in groups if not g.subject.team]
        return [*levels, *alone] if levels else [*self._whole(groups), *groups]

    def _whole(self, groups: Sequence[Group]) -> Iterator[Group]:
        """All services of each environment as one, where no level of teams does that."""
        for environment in sorted({g.subject.environment for g in groups}):
            own = [g for g in groups if g.subject.environment == environment]
            by_dimension: dict[str, list[int]] = {}
            for group in own:
                for dimension, numbers in group.by_dimension.items():
                    by_dimension.setdefault(dimension, []).extend(numbers)
            series = tuple(chain.from_iterable(by_dimension.values()))
            sources = frozenset(chain.from_iterable(g.sources for g in own))
            yield Group(Subject("", environment, ROOT), by_dimension, series, sources, pooled=True)

    def _metric(self, indicator: Indicator, now: Number, before: Number, *, observed: bool) -> Metric:
        stat = leading(indicator)
        frequency = indicator.shape is Shape.FREQUENCY
        value, earlier = (self._value(indicator, number) for number in (now, before))
        scored = _scored(indicator, now) if observed else None
        check = quick_check({indicator.name: scored})
        benchmarks = self.asked.known.benchmarks
        return Metric(
            indicator=indicator.name,
            title=indicator.title,
            unit=_UNITS[indicator.shape],  # type: ignore[arg-type]  # the three shapes that delivery has
            n=now.n,
            value=(float(now.n) if observed or now.n else None) if frequency else value,
            low=None if frequency else now.stats.get("low"),
            high=None if frequency else now.stats.get("high"),
            before=(float(before.n) if before.n else None) if frequency else earlier,
            before_n=before.n,
            change=change_text(indicator.shape, now, before, stat) if observed else INCOMPLETE,
            score=check.scores.get(indicator.name) if benchmarks else None,
            tiers=_tiers(benchmarks, indicator.name, scored),
        )

    def _value(self, indicator: Indicator, number: Number) -> float | None:
        return number.stats.get(_SCORED[indicator.shape])

    def _row(self, subject: Subject, metrics: Sequence[Metric]) -> Delivery:
        check = _means({m.indicator: m.score for m in metrics})
        return Delivery(
            service=clean(subject.service),
            team=clean(subject.team),
            environment=clean(subject.environment),
            metrics=tuple(metrics),
            throughput=check.throughput if check else None,
            stability=check.stability if check else None,
            overall=check.overall if check else None,
        )


def _scored(indicator: Indicator, number: Number) -> float | None:
    """What a score is given for: a median, a frequency or a share. A negative duration has none."""
    value = number.stats.get(_SCORED[indicator.shape])
    return value if value is not None and value >= 0 else None


def _tiers(benchmarks: Benchmarks | None, name: str, value: float | None) -> tuple[str, ...]:
    """Where the year has tiers, what each prints that a value fits."""
    if benchmarks is None:
        return ()
    cells = benchmarks.cells(name)
    return tuple(f"{tier} ({cells[tier].words})" for tier in benchmarks.tiers_of(name, value))


def _means(scores: Mapping[str, float | None]) -> QuickCheck | None:
    known = {name: score for name, score in scores.items() if score is not None}
    return combined(known) if known else None


def _order(subject: Subject) -> tuple[int, str, Subject]:
    """The organisation first, then levels by their depth, then services; never by a value."""
    depth = subject.team.count("/") if len(subject.team) > 1 else 0
    return (99 if subject.service else depth), subject.team, subject


def industry(benchmarks: Benchmarks | None) -> Industry | None:
    """The industry's means of a year; None for a year without."""
    if benchmarks is None or benchmarks.industry is None:
        return None
    source = f"{benchmarks.source.title}, {benchmarks.source.section}"
    return Industry(year=benchmarks.year, source=source, scores=dict(benchmarks.industry.by_kind))
