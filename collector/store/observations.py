"""Observations in the database, as plain values: what they mean is the engine's business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from collector.store.database import Database, Transaction
from collector.store.tables import DERIVATION, OBSERVATION, PUBLISHED_COUNTER, SERIES


class Series(NamedTuple):
    """What a group of observations is about. Empty text where a part does not apply."""

    family: str
    indicator: str
    dimension: str
    service: str
    environment: str
    team: str
    source: str


class ObservationRow(NamedTuple):
    """One observation. Times in microseconds; `evidence` is a JSON list of event ids."""

    series: Series
    at: int
    unit: str
    value: float | None
    outcome: str
    reason: str
    matures_at: int | None
    rule: str
    evidence: str


_COLUMNS = [c.name for c in OBSERVATION.columns]


class ObservationStore:
    """Keeps observations by series and time, and remembers from which events they came."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace_family(self, family: str, rows: Iterable[ObservationRow], inputs: Mapping[str, int | str]) -> int:
        """Replace all observations of a family in one transaction; how many there are now.

        Readers see the old ones until the new ones are complete.
        """
        with self._database.transaction() as transaction:
            known = _series_ids(transaction, family)
            transaction.execute(
                sa.delete(OBSERVATION).where(
                    OBSERVATION.c.series_id.in_(sa.select(SERIES.c.id).where(SERIES.c.family == family))
                )
            )
            total = self._insert(transaction, known, rows)
            stamp = msgspec.json.encode(dict(sorted(inputs.items()))).decode()
            statement = insert(DERIVATION).values(family=family, inputs=stamp)
            transaction.execute(statement.on_conflict_do_update(index_elements=["family"], set_={"inputs": stamp}))
        return total

    def _insert(self, transaction: Transaction, known: dict[Series, int], rows: Iterable[ObservationRow]) -> int:
        next_id = count(1 + (transaction.execute(sa.select(sa.func.max(SERIES.c.id))).scalar() or 0))
        ids, fresh = dict(known), []
        values = []
        for series, *rest in rows:
            number = ids.get(series)
            if number is None:
                number = ids[series] = next(next_id)
                fresh.append((number, *series))
            values.append((number, *rest))
        # In the order of the primary key an insert appends instead of searching.
        values.sort(key=lambda v: v[:3])
        transaction.write_rows(insert(SERIES).values(_binds(["id", *Series._fields])), ["id", *Series._fields], fresh)
        transaction.write_rows(insert(OBSERVATION).values(_binds(_COLUMNS)), _COLUMNS, values)
        return len(values)

    def derived_from(self, family: str) -> dict[str, int | str]:
        """The inputs that a family's stored observations came from; empty before the first derivation."""
        with self._database.reading() as connection:
            stamp = connection.scalar(sa.select(DERIVATION.c.inputs).where(DERIVATION.c.family == family))
        found: dict[str, int | str] = msgspec.json.decode(stamp) if stamp else {}
        return found

    def series(self, indicator: str | None = None) -> dict[int, Series]:
        """The series that have observations, by their number."""
        query = sa.select(SERIES).where(sa.exists().where(OBSERVATION.c.series_id == SERIES.c.id))
        if indicator is not None:
            query = query.where(SERIES.c.indicator == indicator)
        with self._database.reading() as connection:
            return {row.id: Series(*row[1:]) for row in connection.execute(query)}

    def window(self, series_ids: Sequence[int], after: int, until: int, *names: str) -> list[tuple[Any, ...]]:
        """Columns of the observations of some series with after < at ≤ until, ordered by series and time."""
        columns = [OBSERVATION.c[n] for n in names]
        rows: list[tuple[Any, ...]] = []
        with self._database.reading() as connection:
            for number in sorted(series_ids):
                query = (
                    sa.select(*columns)
                    .where(OBSERVATION.c.series_id == number, OBSERVATION.c.at > after, OBSERVATION.c.at <= until)
                    .order_by(OBSERVATION.c.at, OBSERVATION.c.unit)
                )
                rows.extend(map(tuple, connection.execute(query)))
        return rows

    def counts(self, until: int) -> dict[int, dict[str, int]]:
        """For each series, how many observations of each outcome there are up to a time."""
        query = (
            sa.select(OBSERVATION.c.series_id, OBSERVATION.c.outcome, sa.func.count())
            .where(OBSERVATION.c.at <= until)
            .group_by(OBSERVATION.c.series_id, OBSERVATION.c.outcome)
        )
        found: dict[int, dict[str, int]] = {}
        with self._database.reading() as connection:
            for number, outcome, n in connection.execute(query):
                found.setdefault(number, {})[outcome] = n
        return found

    def first_at(self) -> dict[int, int]:
        """The time of each series' first observation."""
        query = sa.select(OBSERVATION.c.series_id, sa.func.min(OBSERVATION.c.at)).group_by(OBSERVATION.c.series_id)
        with self._database.reading() as connection:
            return {number: at for number, at in connection.execute(query)}  # noqa: C416 - rows are no pairs to mypy

    def raise_counters(self, values: Mapping[str, float]) -> dict[str, float]:
        """For each counter the highest value ever given here, kept across restarts.

        A restatement may lower the count behind a counter; a counter that fell would read as a reset.
        """
        with self._database.reading() as connection:
            stored = {r.series: r.value for r in connection.execute(sa.select(PUBLISHED_COUNTER))}
        higher = {s: v for s, v in values.items() if v > stored.get(s, -1.0)}
        if higher:
            statement = insert(PUBLISHED_COUNTER)
            upsert = statement.on_conflict_do_update(
                index_elements=["series"], set_={"value": sa.func.max(statement.excluded.value, PUBLISHED_COUNTER.c.value)}
            )
            with self._database.transaction() as transaction:
                transaction.execute(upsert, [{"series": s, "value": v} for s, v in higher.items()])
        return {s: max(v, stored.get(s, v)) for s, v in values.items()}


def _binds(names: Iterable[str]) -> dict[str, Any]:
    return {n: sa.bindparam(n) for n in names}


def _series_ids(transaction: Transaction, family: str) -> dict[Series, int]:
    rows = transaction.execute(sa.select(SERIES).where(SERIES.c.family == family))
    return {Series(*row[1:]): row[0] for row in rows}
