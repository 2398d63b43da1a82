"""How far the data of a week reach: sources, what of their records could be used, names that nobody knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from collector.conditions import Above
from collector.events import Collection, Deployment, Incident, PipelineRun, kind_of
from slo_engine.notes import unmatched_names
from slo_engine.observation import to_micros
from slo_engine.organisation import unmatched
from slo_engine.snapshot import SourceState
from slo_engine.weekly.known import Asked, clean
from slo_engine.weekly.model import Data, Delivery, OwnNumber, SourceCover, UnmatchedKind


def data_of(asked: Asked, own: Iterable[OwnNumber], delivery: Iterable[Delivery]) -> Data:
    """How far the week is known, from when its sources were collected last and whether anything has a number."""
    records = _records(asked)
    sources = tuple(_cover(s, asked, records) for s in sorted(asked.known.sources, key=lambda s: s.name))
    counted = [o.n for o in own if o.over == asked.week.label] + [m.n for d in delivery for m in d.metrics]
    return Data(
        complete=sum(s.covered for s in sources) / len(sources) if sources else None,
        over=asked.over,
        told_until=asked.as_of,
        empty=not any(counted),
        sources=sources,
    )


def _cover(source: SourceState, asked: Asked, records: Mapping[str, tuple[int, int]]) -> SourceCover:
    week, last = asked.week, source.last_success_at
    taken, rejected = records.get(source.name, (None, None))
    # What a later run says was cut off says nothing of this week.
    own = source.last_run_at is not None and week.start <= source.last_run_at < week.end
    return SourceCover(
        name=clean(source.name),
        covered=0.0 if last is None else _share(last, week.start, week.end),
        last_success_at=None if last is None else min(last, week.end),
        records=taken,
        rejected=rejected,
        truncations=tuple(map(clean, source.truncations)) if own else (),
    )


def _share(last: datetime, start: datetime, end: datetime) -> float:
    """The share of a stretch of time up to a moment."""
    return min(max((last - start) / (end - start), 0.0), 1.0)


def _records(asked: Asked) -> dict[str, tuple[int, int]]:
    """By source how many records its runs in the week reported, and how many of them could not be used.

    Nothing is known of a week whose runs are not all kept.
    """
    first, last = to_micros(asked.week.start), to_micros(asked.at)
    if first < asked.known.events.kept_since().get(kind_of(Collection), first):
        return {}
    found: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    rows = asked.known.events.columns(
        Collection, "collector", "events", "rejected", "finished_at", finished_at=Above(first - 1)
    )
    for name, events, refused, finished_at in rows:
        if finished_at <= last:
            found[name] += events + refused
            rejected[name] += refused
    return {name: (n, rejected[name]) for name, n in found.items()}


def unmatched_in(asked: Asked) -> tuple[UnmatchedKind, ...]:
    """The names in the week's events that the catalogue does not know; they are no team's."""
    organisation, events = asked.known.organisation, asked.known.events
    if not organisation.services or asked.team:
        return ()
    after, last = Above(to_micros(asked.week.start) - 1), to_micros(asked.at)
    deployments = events.columns(Deployment, "service", "finished_at", finished_at=after)
    incidents = events.columns(Incident, "service", "started_at", started_at=after)
    unowned = [r for r in events.distinct(PipelineRun, "repository") if organisation.of_run(r, "") is None]
    runs = events.columns(PipelineRun, "repository", "pipeline", "finished_at", repository=unowned, finished_at=after)
    names = unmatched(
        organisation,
        deployments=_until(last, deployments),
        components=_until(last, incidents),
        runs={(repository, pipeline) for repository, pipeline, at in runs if at <= last},
    )
    return tuple(
        UnmatchedKind(kind=kind.kind, total=kind.total, names=tuple(map(clean, kind.names)))
        for kind in unmatched_names(names)
    )


def _until(last: int, rows: Sequence[tuple[str | None, int]]) -> set[str]:
    return {name for name, at in rows if name and at <= last}
