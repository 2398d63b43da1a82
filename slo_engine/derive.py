"""Events → observations, for every family whose inputs changed since its last derivation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from collector.bulk import seldom_collecting
from collector.events import kind_of
from collector.store import EventStore, ObservationStore, Series, to_micros
from slo_engine.indicator import MOST_PARTS, Family
from slo_engine.observation import Observation
from slo_engine.organisation import Organisation

_NO_PARTS = (None,) * MOST_PARTS


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What a derivation did: the families derived again, and how many observations they have now."""

    families: tuple[str, ...]
    observations: int


def derive(
    families: Sequence[Family],
    events: EventStore,
    observations: ObservationStore,
    organisation: Organisation | None = None,
) -> Derived:
    """Bring the stored observations up to date with the stored events.

    A family whose inputs and definitions are unchanged costs one look. Each family is replaced in one
    transaction together with the mark of what it was derived from, so a crash leaves the old state or the new.
    """
    organisation = organisation or Organisation()
    revisions = events.revisions()
    done, total = [], 0
    for family in families:
        inputs: dict[str, int | str] = {kind_of(t): revisions.get(kind_of(t), 0) for t in family.inputs}
        inputs["definitions"] = f"{family.version};{organisation.version}"
        if observations.derived_from(family.name) == inputs:
            continue
        with seldom_collecting():
            rows = _rows(family, family.observe(events, organisation))
            total += observations.replace_family(family.name, rows, inputs)
        done.append(family.name)
    return Derived(families=tuple(done), observations=total)


def _rows(family: Family, observations: Iterable[Observation]) -> dict[Series, list[tuple[Any, ...]]]:
    """Observations as the store keeps them, by series."""
    encode = msgspec.json.encode
    known = {i.name for i in family.indicators}
    found: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for o in observations:
        key = (o.indicator, o.dimension, *o.subject, o.source)
        rows = found.get(key)
        if rows is None:
            if o.indicator not in known:
                raise ValueError(f"the family {family.name} does not declare the indicator {o.indicator}")
            rows = found[key] = []
        rows.append(
            (
                to_micros(o.at),
                o.unit,
                o.value,
                *(o.parts or _NO_PARTS),
                o.outcome.value,
                o.reason,
                None if o.matures_at is None else to_micros(o.matures_at),
                o.rule,
                encode(o.evidence).decode() if o.evidence else "[]",
            )
        )
    return {Series(family.name, *key): rows for key, rows in found.items()}
