"""Whose bad events spent the error budget of an SLO. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo_engine import budget
from slo_engine.catalog import SERIES_LABELS
from slo_engine.indicator import Indicator
from slo_engine.observation import Subject, label_values
from slo_engine.reading import Group, Reader
from slo_engine.slo import EventCounts, Slo
from slo_engine.snapshot import Spent
from slo_engine.units import Ints

_MOST = 5


class Names(NamedTuple):
    """How the series of an SLO are published: the names in order, and the place of each series' own among them.

    A name is a subject with the values of SERIES_LABELS.
    """

    names: Sequence[tuple[Subject, tuple[str, ...]]]
    places: Ints


def names_of(slo: Slo, indicator: Indicator, reader: Reader, pool: Group) -> Names | None:
    """How the series of an SLO's pool are published; None for those about people."""
    if indicator.people:
        return None
    key = indicator.name, slo.dimension
    if key not in pool.names:
        whose = reader.whose(pool.series)
        labels = {dimension: _labels(slo, indicator, dimension) for dimension in {d for _, d in whose}}
        own = [(subject, labels[dimension]) for subject, dimension in whose]
        names = sorted(set(own))
        place = {name: n for n, name in enumerate(names)}
        pool.names[key] = Names(names, np.array([place[name] for name in own], dtype=np.int64))
    found: Names = pool.names[key]
    return found


def _labels(slo: Slo, indicator: Indicator, dimension: str) -> tuple[str, ...]:
    """The values of SERIES_LABELS of the units of a dimension; the part of a duration is the one that is judged."""
    values = label_values(dimension, len(indicator.labels)) if indicator.labels else (dimension or slo.dimension,)
    named = dict(zip(indicator.labels or (indicator.dimension,), values, strict=True))
    return tuple(named.get(label, "") for label in SERIES_LABELS)


def spent(slo: Slo, whole: EventCounts, series: Names, bad: NDArray[np.float64]) -> tuple[Spent, ...]:
    """What the series of an SLO spent of its budget, those first that spent most, ties by name; at most five.

    `whole`: the events of all of them in the SLO's window, `bad`: the bad ones of each. Slices are judged by the units
    of all series together, and `bad` does not say whose they are: that is known where all have one name.
    """
    if not whole.bad:
        return ()
    shares: dict[int, int | Decimal]
    if slo.budgeting == "occurrences":
        pooled = np.bincount(series.places, bad, len(series.names))
        most: list[int] = np.argsort(-pooled, kind="stable")[:_MOST].tolist()
        shares = {n: int(pooled[n]) for n in most if pooled[n]}
    else:
        shares = {0: whole.bad} if len(series.names) == 1 else {}
    allowed = budget.allowed(whole, slo.target)
    return tuple(Spent(*series.names[n], float(own / allowed)) for n, own in shares.items())
