"""Events → observations, for every family whose inputs changed since its last derivation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from collector.events import kind_of
from collector.store import EventStore, ObservationRow, ObservationStore, Series, to_micros
from slo_engine.indicator import Family
from slo_engine.observation import Observation


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What a derivation did: the families derived again, and how many observations they have now."""

    families: tuple[str, ...]
    observations: int


def derive(families: Sequence[Family], events: EventStore, observations: ObservationStore) -> Derived:
    """Bring the stored observations up to date with the stored events.

    A family whose inputs and definitions are unchanged costs one look. Each family is replaced in one
    transaction together with the mark of what it was derived from, so a crash leaves the old state or the new.
    """
    revisions = events.revisions()
    done, total = [], 0
    for family in families:
        inputs: dict[str, int | str] = {kind_of(t): revisions.get(kind_of(t), 0) for t in family.inputs}
        inputs["definitions"] = family.version
        if observations.derived_from(family.name) == inputs:
            continue
        total += observations.replace_family(family.name, _rows(family, family.observe(events)), inputs)
        done.append(family.name)
    return Derived(families=tuple(done), observations=total)


def _rows(family: Family, observations: Iterable[Observation]) -> Iterator[ObservationRow]:
    encode = msgspec.json.encode
    known = {i.name for i in family.indicators}
    cached: dict[tuple[str, ...], Series] = {}
    for o in observations:
        key = (o.indicator, o.dimension, *o.subject, o.source)
        series = cached.get(key)
        if series is None:
            if o.indicator not in known:
                raise ValueError(f"the family {family.name} does not declare the indicator {o.indicator}")
            series = cached[key] = Series(family.name, *key)
        yield ObservationRow(
            series,
            to_micros(o.at),
            o.unit,
            o.value,
            o.outcome.value,
            str(o.reason),
            to_micros(o.matures_at) if o.matures_at is not None else None,
            o.rule,
            encode(o.evidence).decode(),
        )
